"""The geometry of bounding-box regression: numbers from paper, the round trip, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import boxes as geometry
from rcnn_helpers.bbox_regression import apply_regression, regression_targets
from rcnn_helpers.errors import TrainingError

PLACES = st.integers(-500, 2000)
SIDES = st.integers(1, 1500)
BOXES = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], PLACES, PLACES, SIDES, SIDES)


class TestTargets:
    def test_the_case_on_paper(self):
        # Proposal: centre (30, 20), 40 x 20. Truth: centre (40, 15), 80 x 10.
        found = regression_targets([[10, 10, 50, 30]], [[0, 10, 80, 20]])
        assert found.dtype == np.float32
        assert found[0] == pytest.approx([10 / 40, -5 / 20, np.log(2), -np.log(2)])

    def test_equal_boxes_have_nothing_to_mend(self):
        assert regression_targets([[3, 4, 9, 20]], [[3, 4, 9, 20]]).tolist() == [[0, 0, 0, 0]]

    def test_odd_sizes_have_their_centre_between_pixels(self):
        assert regression_targets([[0, 0, 1, 1]], [[0, 0, 2, 1]])[0] == pytest.approx([0.5, 0, np.log(2), 0])

    def test_the_released_code_measures_a_pixel_short(self):
        # Its boxes (1, 1, 4, 4) and (2, 1, 7, 4) include their last pixels and have 3 x 3 and 5 x 3 there.
        theirs = [(2 + 2.5 - 1 - 1.5) / 3, 0, np.log(5 / 3), 0]
        half_open = geometry.from_voc([[1, 1, 4, 4], [2, 1, 7, 4]])
        shorter = half_open - [0, 0, 1, 1]
        assert regression_targets(shorter[:1], shorter[1:])[0] == pytest.approx(theirs)

    @given(BOXES, BOXES, st.integers(1, 8), PLACES)
    def test_scaling_and_shifting_the_picture_changes_nothing(self, proposal, truth, factor, shift):
        before = regression_targets([proposal], [truth])
        both = np.array([proposal, truth]) * factor + shift
        assert regression_targets(both[:1], both[1:]) == pytest.approx(before, rel=1e-5, abs=1e-6)

    @given(BOXES, BOXES, st.integers(1, 3000))
    def test_a_mirrored_picture_turns_the_shift_round(self, proposal, truth, width):
        before = regression_targets([proposal], [truth])[0]
        mirrored = geometry.flip([proposal, truth], width)
        after = regression_targets(mirrored[:1], mirrored[1:])[0]
        assert after == pytest.approx(before * [-1, 1, 1, 1], rel=1e-5, abs=1e-6)


class TestRoundTrip:
    @given(BOXES, BOXES)
    def test_applied_targets_give_the_truth(self, proposal, truth):
        targets = regression_targets([proposal], [truth])
        assert apply_regression([proposal], targets)[0] == pytest.approx(truth, rel=1e-5, abs=0.01)

    @given(BOXES, st.tuples(*[st.floats(-2, 2)] * 4))
    def test_targets_of_an_applied_box_are_those_applied(self, proposal, targets):
        proposal = [0, 0, proposal[2] - proposal[0] + 20, proposal[3] - proposal[1] + 20]  # near 0: float32
        moved = apply_regression([proposal], [targets])
        assert regression_targets([proposal], moved)[0] == pytest.approx(targets, abs=1e-4)

    def test_the_case_on_paper(self):
        found = apply_regression([[10, 10, 50, 30]], [[0.25, -0.25, np.log(2), -np.log(2)]])
        assert found.dtype == np.float32
        assert found[0] == pytest.approx([0, 10, 80, 20], abs=1e-5)

    def test_none_at_all(self):
        assert regression_targets([], []).shape == (0, 4)
        assert apply_regression([], []).shape == (0, 4)


class TestRefusals:
    @pytest.mark.parametrize("flat", [[5, 5, 5, 9], [5, 5, 9, 5]])
    def test_boxes_without_a_side(self, flat):
        good = [0, 0, 10, 10]
        with pytest.raises(TrainingError, match=r"proposal 1 is \[5.*no width or no height"):
            regression_targets([good, flat], [good, good])
        with pytest.raises(TrainingError, match=r"true box 0 is \[5"):
            regression_targets([good], [flat])
        with pytest.raises(TrainingError, match=r"proposal 0 is \[5"):
            apply_regression([flat], [[0, 0, 0, 0]])

    def test_unequal_numbers(self):
        with pytest.raises(TrainingError, match="2 proposals but 1 true boxes"):
            regression_targets([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]])
        with pytest.raises(TrainingError, match=r"\[1, 4\].*\[1, 3\]"):
            apply_regression([[0, 0, 1, 1]], [[0, 0, 0]])

    @pytest.mark.parametrize("target", [1000, np.nan, np.inf])
    def test_targets_that_give_no_box(self, target):
        with pytest.raises(TrainingError, match="proposal 0 give no finite box"):
            apply_regression([[0, 0, 1, 1]], [[0, 0, target, 0]])
