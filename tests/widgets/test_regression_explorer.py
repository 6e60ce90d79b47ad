"""The explorer of box regression: lists lead the sliders, sliders move the box, words say what became of it."""

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.drawing import rgb
from rcnn_helpers.errors import DisplayError, TrainingError

NAMES = ("cat", "dog")
TRUTH = np.array([[20, 30, 90, 80], [110, 40, 180, 130]], dtype=np.float32)
# Of the first, the lower half: 25 pixels lower, half as high. Of the second, the left half.
PROPOSALS = np.array([[20, 55, 90, 80], [110, 40, 145, 130]], dtype=np.float32)
TARGETS = ("t_x", "t_y", "t_w", "t_h")
LOG_2 = np.log(2)


@pytest.fixture
def explorer(dataset):
    predicted = [[0, -0.2, 0, 0], [0.5, 0, LOG_2, 0]]
    return widgets.RegressionExplorer(dataset, ("a", "b"), NAMES, PROPOSALS, TRUTH, predicted)


def sliders(explorer):
    return [explorer.controls[name].value for name in TARGETS]


def test_at_first_nothing_is_moved_and_the_goal_is_told(explorer):
    assert sliders(explorer) == [0, 0, 0, 0]
    # The lower half has 1/2; moved up by a fifth of its 25 pixels, it still covers 25 of the object's 50 rows.
    assert explorer.describe() == (
        "IoU with the object (dotted): the proposal (dashed) has 0.50, the regression 0.50, your box (solid) "
        "0.50. The goal: (+0.00, -0.50, +0.00, +0.69)."
    )


def test_the_list_sets_the_sliders(explorer):
    explorer.controls["targets"].value = "the true targets"
    assert sliders(explorer) == pytest.approx([0, -0.5, 0, 0.69])
    assert "your box (solid) 0.99" in explorer.describe() or "your box (solid) 1.00" in explorer.describe()
    explorer.controls["proposal"].value = 1
    assert sliders(explorer) == pytest.approx([0.5, 0, 0.69, 0])
    explorer.controls["targets"].value = "what the regression says"
    assert sliders(explorer) == pytest.approx([0.5, 0, 0.69, 0])
    assert "the regression 1.00" in explorer.describe()
    explorer.controls["targets"].value = "0: the proposal"
    assert sliders(explorer) == [0, 0, 0, 0]


def test_a_slider_moved_by_hand_makes_the_targets_your_own(explorer):
    explorer.controls["t_y"].value = -0.5
    assert explorer.controls["targets"].value == "your own"
    # 25 rows around y = 55: 42.5 to 67.5, all of them inside the object.
    assert "your box (solid) 0.50" in explorer.describe()
    explorer.controls["t_h"].value = LOG_2
    assert "your box (solid) 1.00" in explorer.describe()
    explorer.controls["proposal"].value = 1
    assert explorer.controls["targets"].value == "0: the proposal" and sliders(explorer) == [0, 0, 0, 0]


def test_static_twins_know_the_lists_too(explorer):
    assert "your box (solid) 1.00" in explorer.describe(1, "what the regression says", t_x=0.5, t_w=LOG_2)
    assert "has 0.50" in explorer.describe(1, "the true targets")
    assert "your box (solid) 0.50" in explorer.describe(t_y=-0.5)
    assert sliders(explorer) == [0, 0, 0, 0]


def test_without_a_regression_there_is_none_in_list_and_words(dataset):
    explorer = widgets.RegressionExplorer(dataset, ("a", "b"), NAMES, PROPOSALS, TRUTH)
    assert "what the regression says" not in explorer.controls["targets"].options
    assert "the regression" not in explorer.describe()


def test_the_moved_box_is_drawn_where_the_targets_bring_it(explorer):
    green = (explorer.render(targets="the true targets")[:300] == rgb("green")).all(axis=2)
    x1, y1, x2, y2 = (2 * TRUTH[0]).astype(int)  # the image is shown twice as large
    for side in (green[y1 : y1 + 3, x1:x2].any(axis=0), green[y1:y2, x2 - 3 : x2].any(axis=1)):
        assert side.mean() > 0.8
    assert not green[:, x2 + 30 :].any()


def test_a_box_moved_out_of_the_picture_has_no_overlap(explorer):
    assert "your box (solid) 0.00" in explorer.describe(1, t_x=1.5, t_y=1.5)
    assert "your box (solid) 0.00" in explorer.describe(0, t_x=-1.5)


def test_true_targets_beyond_the_sliders_stop_at_their_ends(dataset):
    tiny = [[50, 50, 54, 54]]
    explorer = widgets.RegressionExplorer(dataset, ["a"], ["cat"], tiny, TRUTH[:1])
    explorer.controls["targets"].value = "the true targets"
    assert sliders(explorer)[2:] == [1.5, 1.5] and "+2.86" in explorer.describe()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"image_ids": []}, DisplayError, "0 images, 2 names"),
        ({"predicted": np.zeros((1, 4))}, DisplayError, r"shape \[1, 4\].*one of each for each proposal"),
        ({"truth": TRUTH[:1]}, DisplayError, "1 true boxes"),
        ({"predicted": np.full((2, 4), np.nan)}, TrainingError, "no finite box"),
        ({"proposals": [[5, 5, 5, 9]] * 2}, TrainingError, "no width"),
    ],
)
def test_what_cannot_be_shown_is_refused(dataset, wrong, error, message):
    given = {"image_ids": ("a", "b"), "names": NAMES, "proposals": PROPOSALS, "truth": TRUTH} | wrong
    with pytest.raises(error, match=message):
        widgets.RegressionExplorer(dataset, **given)


def test_no_proposals_are_refused(dataset):
    with pytest.raises(DisplayError, match="at least one proposal"):
        widgets.RegressionExplorer(dataset, [], [], [], [])
