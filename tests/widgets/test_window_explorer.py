"""The explorer of windows: what it says of the window it stands at and of the whole set."""

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.errors import DisplayError

IMAGE = np.zeros((100, 200, 3), np.uint8)
TRUTH = [[10, 10, 50, 50], [120, 20, 160, 80]]
SETS = {
    "large": [[0, 0, 100, 100], [100, 0, 200, 100]],
    "small": [[10, 10, 50, 50], [60, 10, 100, 50], [110, 10, 150, 50]],
}


@pytest.fixture
def explorer():
    return widgets.WindowExplorer(IMAGE, SETS, TRUTH, ["cat", "dog"])


def test_it_names_the_window_and_its_nearest_object(explorer):
    words = explorer.describe("large", 1)
    assert words.startswith("Window 1 of 2 (large): 100 x 100 pixels, IoU 0.16 with the cat.")
    assert "Window 3 of 3 (small): 40 x 40 pixels, IoU 0.29 with the dog." in explorer.describe("small", 3)


def test_it_counts_the_objects_that_the_whole_set_reaches(explorer):
    # large: 1600 / 10000 and 2400 / 10000; small: 1 and 900 / (1600 + 2400 - 900)
    assert "0.5 with 0 of 2 objects (dotted); their mean best overlap is 0.20" in explorer.describe(
        "large", 2
    )
    assert "0.5 with 1 of 2 objects (dotted); their mean best overlap is 0.65" in explorer.describe(
        "small", 1
    )


def test_the_window_moves_with_the_slider(explorer):
    """The image is shown twice as large, so the third window begins at column 220."""
    first, third = (explorer.render("small", number, False)[:200] for number in (1, 3))
    changed = (first != third).any(axis=(0, 2))
    assert changed[215:310].any(), "the third window appears"
    assert not changed[110:210].any(), "nothing happens at the second one"
    assert (explorer.render("small", 1, True)[:200] != first).any(), "the outlines can be left out"


def test_the_slider_ends_where_the_set_does(explorer):
    assert explorer.controls["number"].max == 2
    explorer.controls["windows"].value = "small"
    assert explorer.controls["number"].max == 3
    explorer.controls["number"].value = 3
    explorer.controls["windows"].value = "large"
    assert explorer.controls["number"].value == 2
    assert explorer.describe("large", 3) == explorer.describe("large", 2), "beyond the last is the last"


def test_without_objects_and_names():
    bare = widgets.WindowExplorer(IMAGE, SETS, np.zeros((0, 4)))
    assert bare.describe("large", 1) == "Window 1 of 2 (large): 100 x 100 pixels. There are no objects."
    assert "with the object" in widgets.WindowExplorer(IMAGE, SETS, TRUTH).describe("large", 1)


def test_sets_must_hold_windows():
    with pytest.raises(DisplayError, match="'none' holds no window"):
        widgets.WindowExplorer(IMAGE, SETS | {"none": []}, TRUTH)
    with pytest.raises(DisplayError, match="no set of windows"):
        widgets.WindowExplorer(IMAGE, {}, TRUTH)
