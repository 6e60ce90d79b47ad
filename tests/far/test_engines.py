"""Per-image stages on joblib's engines: threads, processes, a Dask cluster. Each gives what one process gives."""

import os
import pickle
import sys
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from rcnn_helpers import streaming
from rcnn_helpers.errors import ImageError
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.streaming import SentOnce, is_spread, over_images

sys.path.insert(0, str(Path(__file__).parent))
import shapes


class Names:
    """A stage that tells which process did what, and carries a megabyte and more."""

    def __init__(self, log):
        self.log = log
        self.payload = np.random.default_rng(0).bytes(3_000_000)

    def __getstate__(self):
        self.note("pickled")
        return self.__dict__

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.note(f"unpickled by {os.getpid()}")

    def note(self, line):
        with self.log.open("a") as file:
            file.write(f"{line}\n")

    def prepare(self, image_id):
        return image_id, len(self.payload)

    def finish(self, prepared):
        if prepared[0] == "bad":
            raise ImageError("the image bad is bad")
        return *prepared, os.getpid()


# -- the same outcome --------------------------------------------------------------------------------------


def test_proposals(spread, dataset):
    assert is_spread()
    found = propose_dataset(dataset, max_boxes=shapes.N_BOXES, progress=False)
    assert list(found) == dataset.ids
    for image_id, boxes in shapes.lazy_proposals(dataset).items():
        np.testing.assert_array_equal(found[image_id], boxes)


def test_features_and_the_proposals_behind_them(spread, dataset, alone, tmp_path):
    shapes.fill(dataset, tmp_path)
    assert shapes.files_below(tmp_path) == shapes.files_below(alone)


@pytest.mark.parametrize("stored", [True, False])
def test_detection(engine, dataset, detector, alone, stored):
    store = shapes.fill(dataset, alone) if stored else None
    expected = detector.detect_dataset(dataset, store=store, cache=alone, progress=False)
    with joblib.parallel_config(**engine):
        found = detector.detect_dataset(dataset, store=store, cache=alone, progress=False)
    assert len(found) > 20
    for name in ("image_index", "class_index", "scores", "boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def test_training_as_a_whole(spread, dataset, detector, tmp_path):
    found = shapes.trained(dataset, tmp_path)
    np.testing.assert_array_equal(found.svms_.coef_, detector.svms_.coef_)
    np.testing.assert_array_equal(found.thresholds_, detector.thresholds_)


def test_an_unreadable_image_is_named(spread, dataset, tmp_path):
    shapes.write_voc(tmp_path, 3)
    (tmp_path / "JPEGImages" / "000001.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"000001\.jpg is not an image"):
        shapes.fill(shapes.open_voc(tmp_path), tmp_path / "cache")


# -- what travels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["loky", "dask"])
def test_what_images_share_travels_once_a_worker(kind, request, tmp_path):
    engine = {"backend": "loky", "n_jobs": 2}
    if kind == "dask":
        request.getfixturevalue("dask_cluster")
        engine = {"backend": "dask"}
    log = tmp_path / "pickled.txt"
    ids = [str(i) for i in range(40)]
    with joblib.parallel_config(**engine):
        found = list(over_images(Names(log), ids, device=torch.device("cpu")))
    assert [(name, size) for name, size, _ in found] == [(name, 3_000_000) for name in ids]
    workers = {worker for _, _, worker in found}
    assert os.getpid() not in workers
    said = Counter(log.read_text().splitlines())
    assert said.pop("pickled") <= 2  # once here; a Dask worker may hand it on to the other
    assert set(said.values()) == {1}, "no worker unpacks it twice"
    assert len(said) <= 2


def test_a_worker_keeps_the_last_value_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "_kept", {})
    first, second = SentOnce({"a": 1}), SentOnce({"b": 2})
    received = pickle.loads(pickle.dumps(first))
    assert received.value == {"a": 1} and received.value is not first.value
    assert pickle.loads(pickle.dumps(first)) is received
    assert pickle.loads(pickle.dumps(received)) is received, "handed on, it is still the same"
    assert pickle.loads(pickle.dumps(second)).value == {"b": 2}
    assert list(streaming._kept) == [second.key]


def test_things_that_no_module_holds_can_be_sent(monkeypatch):
    monkeypatch.setattr(streaming, "_kept", {})

    class OfANotebook:
        answer = 42

    assert pickle.loads(pickle.dumps(SentOnce(OfANotebook()))).value.answer == 42


def test_its_size_tells_dask_to_send_it_ahead():
    assert sys.getsizeof(SentOnce(bytes(10_000))) > 10_000


def test_without_a_configuration_nothing_is_spread():
    assert not is_spread()
    with joblib.parallel_config(n_jobs=2):
        assert is_spread()
    with joblib.parallel_config(backend="loky"):
        assert not is_spread()
