"""Fixtures of the diagnosis tests."""

import pytest
from scenes import build_scene

from rcnn_helpers.datasets.voc import VOCDataset


@pytest.fixture(scope="session")
def voc2007_test(real_data):
    """The official test split of VOC 2007, annotations only: read once, since it is 4,952 files."""
    folder = real_data / "voc2007_test_annotations"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return VOCDataset(folder, "test")


@pytest.fixture
def scene():
    """`build_scene`: ``(Detections, GroundTruth)`` from rows."""
    return build_scene
