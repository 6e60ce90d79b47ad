"""Pairs of two folders or of one: what was planted comes out on top, and says in which way it is the same."""

import os

import numpy as np
import pytest
from drawn_pictures import drawn
from PIL import Image

from rcnn_helpers.datasets.voc import VOCDataset, write_image_set
from rcnn_helpers.errors import AnnotationError, DatasetError, ImageError
from rcnn_helpers.images import read_image, write_image
from rcnn_helpers.redundancy import (
    fingerprints,
    identical_pairs,
    near_duplicates,
    open_pictures,
    pictures_of,
    pixel_hash,
)
from rcnn_helpers.redundancy import pictures as pictures_module


@pytest.fixture
def folders(tmp_path):
    """Two folders of drawn pictures; in the second lie altered copies of pictures 1, 2, 3 and 4 of the first."""
    a, b = tmp_path / "a", tmp_path / "b"
    for number in range(6):
        write_image(a / f"{number}.png", drawn(number, 90, 120))
    for number in range(6):
        write_image(b / f"new_{number}.png", drawn(100 + number, 90, 120))
    (b / "deep").mkdir()
    (b / "deep" / "file.png").write_bytes((a / "1.png").read_bytes())
    Image.fromarray(drawn(2, 90, 120)).save(b / "pixels.PNG", compress_level=1)
    write_image(b / "jpeg.jpg", drawn(3, 90, 120)[2:, :116], quality=60)
    write_image(b / "mirror.png", np.ascontiguousarray(drawn(4, 90, 120)[:, ::-1]))
    (b / "notes.txt").write_text("no picture")
    return a, b


def test_planted_copies_come_first_and_say_why(folders):
    a, b = (fingerprints(open_pictures(folder)) for folder in folders)
    assert len(a) == 6 and len(b) == 10
    frame = near_duplicates(a, b, threshold=0.3, mirror=True)
    top = frame.set_index("a").loc[["1.png", "2.png", "3.png", "4.png"]]
    assert top.b.tolist() == ["deep/file.png", "pixels.PNG", "jpeg.jpg", "mirror.png"]
    assert top.same_file.tolist() == [True, False, False, False]
    assert top.same_pixels.tolist() == [True, True, False, False]
    assert top.mirrored.tolist() == [False, False, False, True]
    assert top.distance.iloc[[0, 1, 3]].max() < 1e-5 and 0 < top.distance.iloc[2] < 0.3
    assert len(frame) == 4 and (frame.a[:2] == ["1.png", "2.png"]).all()
    assert "4.png" not in set(near_duplicates(a, b, threshold=0.3).a)


def test_rows_name_pictures_and_distances_are_those_of_descriptors(folders):
    a, b = (fingerprints(open_pictures(folder)) for folder in folders)
    frame = near_duplicates(a, b, k=3)
    assert len(frame) == 18 and (np.diff(frame.distance[2:]) >= 0).all()
    for row in frame.itertuples():
        assert row.a == a.pictures.ids[row.row_a] and row.b == b.pictures.ids[row.row_b]
        expected = np.linalg.norm(a.descriptors[row.row_a] - b.descriptors[row.row_b])
        assert row.distance == pytest.approx(expected, abs=1e-6)


def test_identical_pairs_are_told_at_any_distance(folders):
    a, b = (fingerprints(open_pictures(folder)) for folder in folders)
    frame = near_duplicates(a, b, threshold=-1.0)
    assert list(zip(frame.a, frame.b, strict=True)) == [("1.png", "deep/file.png"), ("2.png", "pixels.PNG")]
    assert (frame.distance < 1e-5).all()
    assert set(map(frozenset, identical_pairs(a, b).values())) == {
        frozenset({"file", "pixels"}),
        frozenset({"pixels"}),
    }


def test_within_one_set_each_pair_is_named_once(folders):
    a, b = folders
    (b / "again.png").write_bytes((b / "new_0.png").read_bytes())
    prints = fingerprints(open_pictures(b))
    frame = near_duplicates(prints, threshold=0.3)
    assert [{row.a, row.b} for row in frame.itertuples()] == [{"again.png", "new_0.png"}]
    assert frame.same_file.all() and (frame.row_a < frame.row_b).all()
    everything = near_duplicates(prints, k=20)
    assert len(everything) == 11 * 10 // 2 and (everything.row_a < everything.row_b).all()
    assert len(identical_pairs(prints)) == 1


def test_ids_of_the_source_are_read_from_annotations_or_given(tmp_path):
    for number, flickr in enumerate(["12345", "0", None]):
        write_image(tmp_path / "JPEGImages" / f"{number}.png", drawn(number))
        source = f"<source><flickrid>{flickr}</flickrid></source>" if flickr else ""
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{number}.xml").write_text(f"<annotation>{source}</annotation>")
    write_image_set(tmp_path / "ImageSets" / "Main" / "test.txt", ["0", "1", "2"])
    assert pictures_of(VOCDataset(tmp_path, "test")).source_ids == ("12345", "", "")
    named = open_pictures(f"{tmp_path}:test")
    assert named.source_ids == ("12345", "", "") and named.ids == ("0", "1", "2")
    other = open_pictures(tmp_path / "JPEGImages", source_ids={"2.png": "12345", "1.png": ""})
    assert other.source_ids == ("", "", "12345")
    frame = near_duplicates(fingerprints(named), fingerprints(other), threshold=0.01)
    by_id = frame[frame.same_source]
    assert by_id.a.tolist() == ["0"] and by_id.b.tolist() == ["2.png"] and by_id.distance.item() > 0.3
    (tmp_path / "Annotations" / "0.xml").write_text("<annotation><source>")
    with pytest.raises(AnnotationError, match=r"0\.xml is not well-formed"):
        open_pictures(f"{tmp_path}:test")


def test_the_cache_saves_reading_and_notices_changes(folders, tmp_path, monkeypatch):
    a, _ = folders
    cache, read = tmp_path / "cache", []
    monkeypatch.setattr(
        pictures_module, "read_image", lambda path: read.append(path.name) or read_image(path)
    )
    pictures = open_pictures(a)
    plain = fingerprints(pictures)
    first = fingerprints(pictures, cache=cache, chunk=2)
    assert len(read) == 12 and len(list(cache.glob("*.npz"))) == 3
    second = fingerprints(pictures, cache=cache, chunk=2)
    assert len(read) == 12
    for prints in (first, second):
        assert (prints.descriptors == plain.descriptors).all()
        assert prints.file_hashes == plain.file_hashes and prints.pixel_hashes == plain.pixel_hashes
    write_image(a / "0.png", drawn(50, 80, 70))
    changed = fingerprints(open_pictures(a), cache=cache, chunk=2)
    assert len(read) == 14 and changed.file_hashes[0] != plain.file_hashes[0]
    assert changed.file_hashes[1:] == plain.file_hashes[1:]


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:-30], lambda c: c[:700] + b"\x01" + c[701:]])
def test_damaged_files_of_the_cache_are_made_again(folders, tmp_path, damage):
    pictures, cache = open_pictures(folders[0]), tmp_path / "cache"
    plain = fingerprints(pictures, cache=cache)
    (path,) = cache.glob("*.npz")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert (fingerprints(pictures, cache=cache).descriptors == plain.descriptors).all()
    assert path.read_bytes() == whole


def test_a_clock_that_went_backwards_hides_no_change(folders, tmp_path):
    pictures, cache = open_pictures(folders[0]), tmp_path / "cache"
    before = fingerprints(pictures, cache=cache)
    write_image(folders[0] / "0.png", drawn(50, 80, 70))
    os.utime(folders[0] / "0.png", (0, 0))
    after = fingerprints(pictures, cache=cache)
    assert after.file_hashes[0] != before.file_hashes[0] and after.file_hashes[1:] == before.file_hashes[1:]


def test_equal_pixels_of_another_shape_are_another_picture():
    flat = np.arange(36, dtype=np.uint8)
    assert pixel_hash(flat.reshape(3, 4, 3)) != pixel_hash(flat.reshape(4, 3, 3))
    assert pixel_hash(flat.reshape(3, 4, 3)) == pixel_hash(flat.reshape(3, 4, 3).copy())


def test_bad_sets_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="there is no folder"):
        open_pictures(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="there is no picture in"):
        open_pictures(tmp_path)
    with pytest.raises(DatasetError):
        open_pictures(f"{tmp_path}:test")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="broken.jpg"):
        fingerprints(open_pictures(tmp_path))
    with pytest.raises(ValueError, match="chunk is 0"):
        fingerprints(open_pictures(tmp_path), chunk=0)
