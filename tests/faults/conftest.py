"""Processes that can be killed, and the pictures they work on."""

import multiprocessing
from pathlib import Path

import pytest
from pipeline_stages import draw


@pytest.fixture(scope="module")
def processes():
    """Fresh processes that have imported what is slow to import, so that kills fall into the work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["numba", "torch", "torchvision", "cv2", "pandas", "rcnn_helpers.detector", "rcnn_helpers.units"]
    )
    return context


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder)
    return folder
