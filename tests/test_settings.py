"""Settings come from arguments before the environment before defaults."""

import dataclasses
import sys

import pytest

from rcnn_helpers import settings
from rcnn_helpers.errors import DatasetError, SettingsError


def test_constants_are_the_papers():
    assert settings.CONTEXT_PADDING == 16  # App. A: p = 16
    assert settings.SVM_NEGATIVE_IOU == 0.3  # sec. 2.3
    assert settings.MATCH_IOU == 0.5  # VOC
    assert settings.MAX_PROPOSALS == 2000  # sec. 2.1


def test_profile_by_argument_environment_and_default(monkeypatch):
    monkeypatch.delenv("RCNN_PROFILE", raising=False)
    assert settings.get_profile().name == "laptop"
    monkeypatch.setenv("RCNN_PROFILE", "smoke")
    assert settings.get_profile().name == "smoke"
    assert settings.get_profile("paper").name == "paper"


def test_profiles_are_frozen_and_grow():
    smoke, laptop, paper = (settings.PROFILES[name] for name in ("smoke", "laptop", "paper"))
    assert smoke.test_images < laptop.test_images < paper.test_images
    with pytest.raises(dataclasses.FrozenInstanceError):
        laptop.test_images = 1


def test_the_papers_two_networks_have_a_profile_each():
    tnet, onet = settings.PROFILES["paper"], settings.PROFILES["paper_onet"]
    assert (tnet.network, onet.network) == ("tnet", "vgg16")
    assert dataclasses.replace(onet, name="paper", network="tnet") == tnet


def test_unknown_profile_names_the_choices():
    with pytest.raises(ValueError, match="'laptpo'.*smoke, laptop, paper"):
        settings.get_profile("laptpo")


def test_the_cpu_is_taken_without_loading_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert settings.choose_device("cpu") == "cpu"
    monkeypatch.setenv("RCNN_DEVICE", "cpu")
    assert settings.choose_device() == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("RCNN_DEVICE", "cuda")
    with pytest.raises(SettingsError, match="no device 'cuda' on this machine; choose .*cpu"):
        settings.choose_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert settings.choose_device() == "cuda"
    assert settings.choose_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_best_device_present_is_chosen(monkeypatch, cuda, mps, expected):
    import torch

    monkeypatch.delenv("RCNN_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert settings.choose_device() == expected


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "here"))
    assert settings.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("RCNN_CACHE")
    assert settings.cache_dir().name == "rcnn_helpers"


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("RCNN_DATA", raising=False)
    assert (settings.data_dir() / "paper").is_dir()
    monkeypatch.setenv("RCNN_DATA", str(tmp_path))
    assert settings.data_dir() == tmp_path
    monkeypatch.setenv("RCNN_DATA", str(tmp_path / "missing"))
    with pytest.raises(DatasetError, match="missing.*RCNN_DATA"):
        settings.data_dir()
