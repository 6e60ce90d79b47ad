"""Processes that can be killed, and the pictures and models they work on."""

import multiprocessing
from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A small picture of noise."""
    from rcnn_helpers.images import write_image

    path = tmp_path_factory.mktemp("photo") / "photo.png"
    write_image(path, np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A whole model, its weights and coefficients drawn at random; beside it the weights alone."""
    from rcnn_helpers.detector import RCNN
    from rcnn_helpers.svm import LinearSVMs

    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    detector = RCNN("quarter_tnet", weights="random", device="cpu", box_regression=False)
    dim = detector.network.feature_dim(detector.layer)
    svms = LinearSVMs()
    svms.coef_ = np.random.default_rng(0).normal(size=(2, dim)).astype(np.float32)
    svms.intercept_, svms.n_features_in_ = np.zeros(2, np.float32), dim
    detector.classes_, detector.svms_ = ("car", "dog"), svms
    detector.thresholds_ = np.array([0.5, np.inf], np.float32)
    detector.save(path)
    detector.network.save(path.with_name("weights.safetensors"))
    return path
