"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The first example of a numba function pays for its compilation; a deadline would call that a failure.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real VOC sample, annotations, detections and weights."""
    folder = os.environ.get("RCNN_REAL_DATA")
    if not folder:
        pytest.skip("RCNN_REAL_DATA is not set: it names the folder with the real VOC sample")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"RCNN_REAL_DATA={folder} is not a folder")
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache or progress: all of them share two fresh folders."""
    cache = tmp_path_factory.getbasetemp() / "rcnn-cache"
    monkeypatch.setenv("RCNN_CACHE", str(cache))
    monkeypatch.setenv("RCNN_PROGRESS", str(tmp_path_factory.getbasetemp() / "rcnn-progress"))


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also where the tests were started in the background, which ignores it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)
