"""The README's pictures: chosen by rule, small enough, and all of them there."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from rcnn_helpers.course import pictures
from rcnn_helpers.errors import ImageError
from rcnn_helpers.evaluation import Detections, evaluate

REPOSITORY = Path(__file__).resolve().parents[2]


def _annotation(boxes, names=None, *, hidden=()):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    occluded = np.isin(np.arange(len(boxes)), hidden)
    return SimpleNamespace(
        boxes=boxes,
        names=tuple(names or ["car"] * len(boxes)),
        difficult=np.zeros(len(boxes), bool),
        truncated=np.zeros(len(boxes), bool),
        occluded=occluded,
    )


class _Dataset:
    """Annotations by image, as much of a data set as the choices need."""

    classes = ("bus", "car", "dog")

    def __init__(self, **annotations):
        self.annotations = annotations
        self.ids = list(annotations)

    def annotation(self, image_id):
        return self.annotations[image_id]


def test_the_widest_and_tallest_are_whole_and_large():
    dataset = _Dataset(
        a=_annotation([[0, 0, 100, 50], [0, 0, 200, 20], [0, 0, 9, 1]], hidden=[1]),
        b=_annotation([[0, 0, 40, 90], [0, 0, 60, 60]]),
    )
    (wide_id, wide), (tall_id, tall) = pictures.extreme_objects(dataset)
    assert (wide_id, wide.tolist()) == ("a", [0, 0, 100, 50])  # 200 x 20 is hidden, 9 x 1 is small
    assert (tall_id, tall.tolist()) == ("b", [0, 0, 40, 90])


def test_the_most_frequent_class_and_ties():
    assert (
        pictures.most_frequent_class(_Dataset(a=_annotation(np.zeros((3, 4)), ["dog", "car", "dog"])))
        == "dog"
    )
    assert pictures.most_frequent_class(_Dataset(a=_annotation(np.zeros((2, 4)), ["dog", "car"]))) == "car"


@pytest.mark.parametrize(
    ("ap", "expected"),
    [
        ({"a": 0.1, "b": 0.5, "c": 0.3}, ["b", "c", "a"]),
        ({"a": 0.1, "b": 0.5, "c": 0.3, "d": 0.4}, ["b", "d", "a"]),
        ({"a": 0.1, "b": np.nan, "c": 0.3, "d": 0.2}, ["c", "d", "a"]),
    ],
)
def test_best_median_and_worst_class(ap, expected):
    assert pictures.best_median_worst(ap) == expected


def test_images_come_in_the_order_of_their_right_detections():
    box = [0, 0, 10, 10]
    test = _Dataset(x=_annotation([box]), y=_annotation([box, [50, 50, 60, 60]]), z=_annotation([box]))
    found = Detections(
        image_ids=("x", "y", "z"),
        classes=("bus", "car", "dog"),
        image_index=np.array([1, 1, 2, 0]),
        class_index=np.array([1, 1, 1, 1]),
        boxes=np.array([box, [50, 50, 60, 60], box, [30, 30, 40, 40]], np.float32),
        scores=np.array([0.9, 0.8, 0.7, 0.6], np.float32),
    )
    course = SimpleNamespace(test=test, detections=found, evaluation=evaluate(found, test))
    assert pictures.images_by_right_detections(course).tolist() == [1, 2, 0]


def test_a_picture_is_written_at_the_best_quality_that_fits(tmp_path, rng, monkeypatch):
    noise = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    sizes = {}
    for quality in (90, 70, 65):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        sizes[quality] = file.tell()
    for limit, written in [(sizes[90], sizes[90]), (sizes[70], sizes[70]), (sizes[70] - 1, sizes[65])]:
        monkeypatch.setattr(pictures, "LARGEST_FILE", limit)
        pictures.write_small(tmp_path / "noise.jpg", noise)
        assert (tmp_path / "noise.jpg").stat().st_size == written
    monkeypatch.setattr(pictures, "LARGEST_FILE", 1000)
    with pytest.raises(ImageError, match=r"large\.jpg needs more than 1,000 bytes"):
        pictures.write_small(tmp_path / "large.jpg", noise)
    assert not (tmp_path / "large.jpg").exists()


def test_the_readme_shows_every_picture_with_a_description():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"!\[([^\]]*)\]\(data/pictures/([^)]+)\)", readme))
    assert sorted(shown.values()) == sorted(pictures.PICTURES)
    assert all(len(alt) > 40 for alt in shown)
    for name in pictures.PICTURES:
        path = REPOSITORY / "data" / "pictures" / name
        assert path.stat().st_size <= pictures.LARGEST_FILE
        assert 780 <= Image.open(path).width <= 900


@pytest.mark.slow
def test_every_picture_can_be_drawn_from_a_small_course():
    course = pictures.Course("smoke", progress=False)
    for name, draw in pictures.PICTURES.items():
        picture = draw(course)
        assert picture.dtype == np.uint8 and picture.shape[2] == 3, name
