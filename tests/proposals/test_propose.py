"""One front door for all ways to propose boxes, and the cache that lets a run resume."""

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.proposals import propose, propose_dataset
from rcnn_helpers.proposals.selective_search import MODES, Settings, selective_search
from rcnn_helpers.proposals.sliding_window import sliding_windows


@dataclass
class FakeDataset:
    """Images made of noise; counts how often each is read, and can fail like a broken file."""

    ids: list
    folder: Path | None = None
    reads: list = field(default_factory=list)
    broken: str | None = None

    def image(self, image_id):
        if image_id == self.broken:
            raise OSError("broken")
        self.reads.append(image_id)
        rng = np.random.default_rng(int(image_id))
        return rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)


@dataclass
class FakeFolder(FakeDataset):
    """A data set with a folder and image files."""

    @property
    def root(self):
        return self.folder

    def image_path(self, image_id):
        return self.folder / f"{image_id}.jpg"


@pytest.fixture
def image():
    return FakeDataset(["1"]).image("1")


def whole_image(image):
    height, width = image.shape[:2]
    return [[0, 0, width, height]]


def test_methods(image):
    np.testing.assert_array_equal(propose(image, seed=3), selective_search(image, seed=3))
    np.testing.assert_array_equal(
        propose(image, mode="single", max_boxes=3), selective_search(image, mode="single", max_boxes=3)
    )
    windows = propose(image, "sliding_window", max_boxes=50)
    np.testing.assert_array_equal(windows, sliding_windows(60, 80, max_boxes=50))
    assert len(propose(image, "random")) > 1900
    assert propose(image, whole_image).tolist() == [[0, 0, 80, 60]]
    with pytest.raises(ValueError, match="'magic'.*selective_search"):
        propose(image, "magic")


def test_boxes_of_the_users_own_are_tidied(image):
    given = [[-5, 10, 30, 40], [10, 10, 10, 40], [0, 10, 30, 40], [70, 50, 99, 99], [90, 0, 99, 9]]
    assert propose(image, given).tolist() == [[0, 10, 30, 40], [70, 50, 80, 60]]
    assert propose(image, given, max_boxes=1).tolist() == [[0, 10, 30, 40]]
    assert propose(image, []).shape == (0, 4)


def test_random_boxes_depend_on_seed_and_image(image):
    a, again, other_seed = (propose(image, "random", max_boxes=5, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, other_seed)
    assert not np.array_equal(a, propose(image[::-1], "random", max_boxes=5))


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_data_set_image_by_image(n_jobs):
    dataset = FakeDataset([str(i) for i in range(5)])
    found = propose_dataset(dataset, max_boxes=10, seed=2, n_jobs=n_jobs, progress=False)
    assert list(found) == dataset.ids
    for image_id, boxes in found.items():
        np.testing.assert_array_equal(boxes, propose(dataset.image(image_id), max_boxes=10, seed=2))


def test_given_boxes_for_a_data_set():
    dataset = FakeDataset(["1", "2"])
    given = {"1": [[0, 0, 5, 5]], "2": np.zeros((0, 4))}
    found = propose_dataset(dataset, method=given, progress=False)
    assert found["1"].tolist() == [[0, 0, 5, 5]] and found["2"].shape == (0, 4)
    with pytest.raises(DatasetError, match="first is 2"):
        propose_dataset(dataset, method={"1": []}, progress=False)


def test_an_interrupted_run_resumes(tmp_path):
    dataset = FakeDataset([str(i) for i in range(4)], broken="3")
    with pytest.raises(OSError, match="broken"):
        propose_dataset(dataset, cache=tmp_path, n_jobs=1, progress=False)
    done = list(dataset.reads)
    assert done
    dataset.broken, dataset.reads = None, []
    found = propose_dataset(dataset, cache=tmp_path, n_jobs=1, progress=False)
    assert set(dataset.reads) == set(dataset.ids) - set(done)
    np.testing.assert_array_equal(found["0"], propose(dataset.image("0")))


def test_the_cache_knows_what_decides_the_boxes(tmp_path):
    dataset = FakeDataset(["1"])
    for options in ({}, {"max_boxes": 5}, {"seed": 1}, {"mode": "single"}, {"method": "random"}):
        for _ in range(2):
            cached = propose_dataset(dataset, cache=tmp_path, progress=False, **options)["1"]
        np.testing.assert_array_equal(cached, propose(dataset.image("1"), **options))
    assert dataset.reads.count("1") == 2 * 5
    for given in ([[0, 0, 5, 5]], [[0, 0, 6, 6]]):
        found = propose_dataset(dataset, method={"1": given}, cache=tmp_path, progress=False)
        assert found["1"].tolist() == given


@pytest.fixture
def folder(tmp_path):
    """A folder with the file of image 1."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"picture")
    return folder


@pytest.mark.parametrize("seconds", [-1000, 0, 1000])
def test_another_picture_of_the_same_name_is_searched_again_whatever_its_date(tmp_path, folder, seconds):
    dataset = FakeFolder(["1"], folder)
    for _ in range(2):
        propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    assert len(dataset.reads) == 1
    date = (folder / "1.jpg").stat().st_mtime + seconds
    (folder / "1.jpg").write_bytes(b"another")
    os.utime(folder / "1.jpg", (date, date))
    for _ in range(2):
        propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    assert len(dataset.reads) == 2


def test_the_same_picture_copied_again_is_not_searched_again(tmp_path, folder):
    dataset = FakeFolder(["1"], folder)
    propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    later = (folder / "1.jpg").stat().st_mtime + 1000
    os.utime(folder / "1.jpg", (later, later))
    propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    assert len(dataset.reads) == 1


def test_caches_made_before_boxes_were_sealed_still_serve(tmp_path, folder):
    """Their files end with the array; all they can be judged by is their date."""
    dataset = FakeFolder(["1"], folder)
    propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    (file,) = tmp_path.rglob("*.npy")
    np.save(file, np.array([[1, 2, 3, 4]], np.float32))
    found = propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    assert found["1"].tolist() == [[1, 2, 3, 4]]
    later = file.stat().st_mtime + 1000
    os.utime(folder / "1.jpg", (later, later))
    found = propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
    assert found["1"].tolist() == [[0, 0, 80, 60]]


def test_another_folder_is_searched_again(tmp_path, folder):
    other = tmp_path / "others"
    other.mkdir()
    (other / "1.jpg").write_bytes(b"picture")
    for place in (folder, other):
        dataset = FakeFolder(["1"], place)
        propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)
        assert len(dataset.reads) == 1


def test_any_flipped_bit_of_cached_boxes_is_found(tmp_path, folder):
    dataset = FakeFolder(["1"], folder)
    expected = propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)["1"]
    (file,) = tmp_path.rglob("*.npy")
    sound = file.read_bytes()
    for at in range(128, len(sound)):  # the coordinates and the seal; NumPy's header is 128 bytes of text
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
        found = propose_dataset(dataset, method=whole_image, cache=tmp_path / "cache", progress=False)["1"]
        np.testing.assert_array_equal(found, expected)
        assert file.read_bytes() == sound


def test_lazy_boxes_are_found_when_asked_for(tmp_path):
    dataset = FakeDataset([str(i) for i in range(4)])
    eager = propose_dataset(dataset, max_boxes=10, seed=2, progress=False)
    dataset.reads.clear()
    for cache, reads in ((tmp_path, ["2"]), (None, ["2", "2"])):
        lazy = propose_dataset(dataset, max_boxes=10, seed=2, cache=cache, lazy=True)
        assert list(lazy) == dataset.ids and len(lazy) == 4 and "3" in lazy and "4" not in lazy
        assert lazy.most_boxes("1") == 10
        assert dataset.reads == []
        for _ in range(2):
            np.testing.assert_array_equal(lazy["2"], eager["2"])
        assert dataset.reads == reads
        with pytest.raises(KeyError):
            lazy["4"]
        dataset.reads.clear()


def test_lazy_and_eager_boxes_share_a_cache(tmp_path):
    dataset = FakeDataset(["1", "2"])
    lazy = propose_dataset(dataset, max_boxes=5, cache=tmp_path, lazy=True)
    expected = dict(lazy)
    dataset.reads.clear()
    eager = propose_dataset(dataset, max_boxes=5, cache=tmp_path, progress=False)
    assert dataset.reads == []
    for image_id, boxes in eager.items():
        np.testing.assert_array_equal(boxes, expected[image_id])


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"garbage", pickle.dumps([1])])
def test_damaged_files_are_made_again(tmp_path, damage):
    dataset = FakeDataset(["1"])
    expected = propose_dataset(dataset, method=whole_image, cache=tmp_path, progress=False)["1"]
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(damage)
    for _ in range(2):
        found = propose_dataset(dataset, method=whole_image, cache=tmp_path, progress=False)["1"]
        np.testing.assert_array_equal(found, expected)
    assert len(dataset.reads) == 2


def test_the_cache_notices_that_a_mode_has_changed(tmp_path, monkeypatch):
    dataset = FakeDataset(["1"])
    first = propose_dataset(dataset, mode="single", cache=tmp_path, n_jobs=1, progress=False)["1"]
    other = Settings(("lab",), (50,), ("CTSF",))
    monkeypatch.setitem(MODES, "single", other)
    second = propose_dataset(dataset, mode="single", cache=tmp_path, n_jobs=1, progress=False)["1"]
    np.testing.assert_array_equal(second, propose(dataset.image("1"), mode=other))
    assert not np.array_equal(first, second)
