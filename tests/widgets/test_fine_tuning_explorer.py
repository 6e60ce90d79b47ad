"""The explorer of fine-tuning: what it counts, what it draws, and what it makes of bad input."""

import re

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets import fine_tuning

# Around the cat (20, 30, 90, 80), 3500 pixels: IoU 0.6, 0.4 and 0, then half of the dog (110, 40, 180, 130).
PROPOSALS = [[20, 30, 90, 60], [20, 30, 90, 50], [0, 100, 20, 140], [110, 40, 180, 85]]


@pytest.fixture
def explorer(dataset):
    return widgets.FineTuningExplorer(dataset, {"a": PROPOSALS, "b": []})


def counts(text):
    return [int(n) for n in re.findall(r"(\d+) (?:positives|negatives|ignored)", text)]


def test_it_counts_as_fine_tuning_does(explorer):
    # The two objects, the cat's proposal at 0.6, the dog's at exactly 0.5; the other two are negatives.
    assert counts(explorer.describe()) == [4, 2, 0]
    assert "2.0 for each object" in explorer.describe()


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [(0.55, 0.55, [3, 3, 0]), (0.65, 0.3, [2, 1, 3]), (0.65, 0.45, [2, 2, 2]), (1.0, 0.3, [2, 1, 3])],
)
def test_the_limits_move_windows_from_kind_to_kind(explorer, positive, negative, expected):
    text = explorer.describe(positive_iou=positive, negative_iou=negative)
    assert counts(text) == expected
    assert f"IoU {positive:.2f} or more" in text and f"Below {negative:.2f}" in text


def test_no_window_is_positive_and_negative_at_once(explorer):
    text = explorer.describe(positive_iou=0.3, negative_iou=0.9)
    assert "Below 0.30" in text and counts(text) == [5, 1, 0]


def test_a_picture_without_proposals_has_its_objects(explorer):
    text = explorer.describe("b")
    assert counts(text) == [2, 0, 0]


def test_each_draw_is_another_batch_and_the_same_each_time(explorer):
    assert (explorer.render(draw=3) == explorer.render(draw=3)).all()
    assert (explorer.render(draw=3) != explorer.render(draw=4)).any()


def test_a_batch_has_one_positive_to_three_negatives(explorer, monkeypatch):
    captions = []
    drawn = fine_tuning.montage
    monkeypatch.setattr(fine_tuning, "montage", lambda *a, **k: captions.extend(a[1]) or drawn(*a, **k))
    explorer.describe()
    names = [caption.split("\n")[0] for caption in captions]
    assert set(names[:4]) <= {"cat", "dog"} and names[4:] == ["background"] * 12
    assert all(float(caption.split("\n")[1]) >= 0.5 for caption in captions[:4])


def test_only_the_closest_windows_are_outlined(dataset, monkeypatch):
    many = np.concatenate([np.tile([20, 30, 90, 60], (100, 1)), np.tile([20, 30, 90, 50], (100, 1))])
    explorer = widgets.FineTuningExplorer(dataset, {"a": many}, ["a"])
    outlined = []
    draw = fine_tuning.draw_boxes
    monkeypatch.setattr(
        fine_tuning, "draw_boxes", lambda *a, **k: outlined.append((k["styles"], len(a[1]))) or draw(*a, **k)
    )
    text = explorer.describe(negative_iou=0.3)
    assert counts(text) == [102, 0, 100] and "only the closest are outlined" in text
    assert outlined == [("ignored", 15), ("tp", 40)]


def test_pictures_can_be_chosen(dataset):
    explorer = widgets.FineTuningExplorer(dataset, {"b": PROPOSALS}, ["b"])
    assert explorer.describe().startswith("Picture b")


@pytest.mark.parametrize(
    ("image_ids", "message"), [(None, "picture b has no proposals"), ([], "there are no pictures")]
)
def test_missing_proposals_are_named(dataset, image_ids, message):
    with pytest.raises(DisplayError, match=message):
        widgets.FineTuningExplorer(dataset, {"a": PROPOSALS}, image_ids)
