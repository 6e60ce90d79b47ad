"""The weights in data/weights are the ones their card describes, and they know what they were taught."""

import json
import re

import numpy as np
import pytest
from safetensors import safe_open

from rcnn_helpers.datasets.toyvoc import AUXILIARY_CATEGORIES, CATEGORIES, scene_of
from rcnn_helpers.networks import load_network
from rcnn_helpers.settings import data_dir
from rcnn_helpers.storage import sha256
from rcnn_helpers.warping import warp_boxes


@pytest.fixture(scope="module")
def path():
    return data_dir() / "weights" / "quarter_tnet.safetensors"


@pytest.fixture(scope="module")
def categories(path):
    with safe_open(path, "pt") as file:
        return tuple(json.loads(file.metadata()["categories"]))


def test_the_card_names_the_hash_and_the_file_is_small(path):
    card = (path.parent / "README.md").read_text()
    assert sha256(path) in re.findall(r"[0-9a-f]{64}", card)
    assert path.stat().st_size < 10e6


def test_no_pretraining_category_is_a_detection_class(categories):
    assert not set(categories) & set(CATEGORIES)
    assert set(categories) <= set(AUXILIARY_CATEGORIES)


def test_the_network_names_toys_it_has_never_seen(categories):
    """On fresh scenes, rendered from another seed; naming at random would be right once in 77 times."""
    network = load_network("quarter_tnet", device="cpu")
    assert network.n_classes == len(categories)
    right = []
    for index in range(6):
        scene = scene_of("auxiliary_val", index, seed=12345)
        crops = warp_boxes(scene.image, scene.boxes, mean=network.mean, std=network.std)
        best = network.probabilities(crops).argmax(dim=1).tolist()
        named = [categories[number] == name for number, name in zip(best, scene.names, strict=True)]
        right += [hit for hit, difficult in zip(named, scene.difficult, strict=True) if not difficult]
    assert len(right) > 25
    assert np.mean(right) > 0.4
