"""The profile ``paper`` is the paper's experiment, and can be looked at before days are spent on it."""

import pytest

from rcnn_helpers import settings
from rcnn_helpers.cli import main
from rcnn_helpers.course import run, workspace
from rcnn_helpers.errors import WeightsError
from rcnn_helpers.finetuning import settings_for
from rcnn_helpers.networks import NETWORKS, load_network

PROFILES = ("paper", "paper_onet")


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RCNN_DEVICE", "cpu")


def test_fine_tuning_is_the_papers():
    tuning = settings_for(settings.get_profile("paper").network)
    assert (tuning.batch_size, tuning.positives) == (128, 32)  # sec. 2.3: 32 positives, 96 background windows
    assert (tuning.positive_iou, tuning.negative_iou) == (
        0.5,
        0.5,
    )  # sec. 2.3: IoU >= 0.5, the rest negatives
    assert tuning.lr == 0.001  # sec. 2.3: a tenth of the rate of pre-training
    assert tuning.mirror and tuning.warp_mode == "warp" and tuning.padding == 16  # App. A
    assert (tuning.steps, tuning.lr_drop_every, tuning.lr_drop) == (70_000, 20_000, 0.1)  # released code


def test_the_deeper_network_differs_in_its_batch_alone():
    tnet, onet = (settings_for(settings.get_profile(name).network) for name in PROFILES)
    assert (onet.batch_size, onet.positives) == (24, 6)  # released code: memory for one GPU
    assert settings_for("vgg16", batch_size=128, positives=32) == tnet


@pytest.mark.parametrize(
    ("profile", "size", "shapes"),
    [
        # sec. 2.2: 227 x 227 in, 4,096 out; sec. 3.1: pool5 is 6 x 6 x 256
        ("paper", 227, {"pool5": (256, 6, 6), "fc6": (4096,), "fc7": (4096,)}),
        # Simonyan and Zisserman, configuration D
        ("paper_onet", 224, {"pool5": (512, 7, 7), "fc6": (4096,), "fc7": (4096,)}),
    ],
)
def test_networks_have_the_papers_sizes(profile, size, shapes):
    spec = NETWORKS[settings.get_profile(profile).network]
    assert (spec.input_size, spec.n_classes) == (size, 1000)
    assert dict(spec.shapes) == shapes


def test_the_detector_that_the_course_builds_has_the_papers_constants():
    course = workspace.Course("paper", progress=False)
    small = load_network(
        "quarter_tnet", weights="random", n_classes=21, device="cpu"
    )  # its size decides nothing
    detector = course.new_detector(small)
    assert (detector.layer, detector.max_proposals) == ("fc7", 2000)  # sec. 2.2, Table 2
    assert detector.padding == 16  # App. A
    assert (detector.negative_iou, detector.C) == (0.3, 1e-3)  # sec. 2.3; released code
    assert detector.nms_iou == 0.3  # released code
    assert detector.box_regression  # App. C


def test_a_dry_run_says_what_would_be_done_and_does_nothing(capsys, tmp_path):
    main(["course", "--profile", "paper", "--dry-run"])
    said = capsys.readouterr().out
    assert "profile paper, device cpu" in said
    assert "1000 train, 1000 val, 2000 test" in said and "2,000 an image at most" in said
    assert "tnet, weights to be downloaded from http" in said
    assert "70,000 batches of 128 windows, 32 of them positives; learning rate 0.001" in said
    stages = said.split("Stages")[1]
    assert all(f"  {stage} " in stages for stage in workspace.STAGES)
    assert stages.count("to be computed") == len(workspace.STAGES)
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_tells_what_ships(capsys):
    main(["course", "--profile", "smoke", "--dry-run"])
    said = capsys.readouterr().out
    assert "shipped: quarter_tnet_toyvoc.safetensors" in said
    assert said.count("to be computed") == len(workspace.STAGES) - 1


def test_weights_that_cannot_be_had_are_missed_before_anything_is_computed(monkeypatch):
    """Found by this test: hours of pictures and proposals came first."""

    def fails(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", fails)
    monkeypatch.setattr(workspace.Course, "compute", lambda self, stage: pytest.fail(f"computed {stage}"))
    with pytest.raises(WeightsError, match="tnet could not be downloaded .no network.*by hand"):
        run.run_course(profile="paper", notebooks=False)
