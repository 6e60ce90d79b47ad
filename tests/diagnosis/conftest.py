"""Fixtures of the diagnosis tests."""

import pytest
from scenes import build_scene


@pytest.fixture
def scene():
    """`build_scene`: ``(Detections, GroundTruth)`` from rows."""
    return build_scene
