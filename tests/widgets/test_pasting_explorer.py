"""The explorer of segmentation: what is pasted, what it says of it, and what it refuses."""

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.errors import DisplayError


class TinyDataset:
    """Two pictures of 60 x 80 pixels: a car to the left, and in the second nothing."""

    ids = ("a", "b")
    classes = ("car", "dog")

    def image(self, image_id):
        return np.full((60, 80, 3), 100, np.uint8)

    def segmentation(self, image_id):
        classes = np.zeros((60, 80), np.uint8)
        if image_id == "a":
            classes[:, :40] = 1
            classes[:, 40:44] = 255
        return classes, classes


def half(columns):
    mask = np.zeros((60, 80), bool)
    mask[:, columns] = True
    return mask


STEPS = {
    "a": [(half(slice(40, 80)), 2, 0.3), (half(slice(0, 60)), 1, 0.7)],
    "b": [(half(slice(0, 8)), 2, 0.4)],
}


@pytest.fixture
def explorer():
    return widgets.PastingExplorer(TinyDataset(), STEPS)


def test_it_says_what_was_pasted_and_how_good_the_map_is(explorer):
    start = explorer.describe("a", 0)
    assert start.startswith("0 of 2 regions are pasted.")
    # 36 of 76 columns that count are background: accuracies 36/76 and 0
    assert "47.4% of the pixels are right; mean accuracy in this picture 23.7%" in start
    first = explorer.describe("a", 1)
    assert "The last one (outlined): dog, score 0.30, 50.0% of the picture." in first
    # 40 columns of the car are called background, 36 of the background dog: nothing is right
    assert "0.0% of the pixels are right" in first
    # car: 40 right, 16 too many; background none; dog 20 wrong ones
    assert "52.6% of the pixels are right; mean accuracy in this picture 23.8%" in explorer.describe("a", 2)


def test_the_picture_changes_where_a_region_is_pasted(explorer):
    before, after = (explorer.render("a", n)[:300, :480] for n in (0, 1))
    changed = (before != after).any(axis=2)
    assert changed[:, 300:].mean() > 0.9 and changed[:, :200].mean() == 0


def test_another_picture_has_its_own_steps(explorer):
    assert explorer.controls["n_pasted"].value == 2
    explorer.controls["picture"].value = "b"
    assert explorer.controls["n_pasted"].max == explorer.controls["n_pasted"].value == 1
    assert explorer.describe("b", 2) == explorer.describe("b", 1), "beyond the last is the last"
    explorer.controls["picture"].value = "a"
    assert explorer.controls["n_pasted"].value == 2


def test_a_picture_into_which_nothing_is_pasted():
    empty = widgets.PastingExplorer(TinyDataset(), {"b": []})
    assert "0 of 0 regions are pasted. 100.0% of the pixels are right" in empty.describe("b", 0)
    assert empty.render("b", 0).dtype == np.uint8


def test_steps_must_fit():
    with pytest.raises(DisplayError, match="no picture"):
        widgets.PastingExplorer(TinyDataset(), {})
    with pytest.raises(DisplayError, match="'a' has label 3"):
        widgets.PastingExplorer(TinyDataset(), {"a": [(half(slice(0, 8)), 3, 0.4)]})
