"""The exercises of notebook 06: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers.course.exercises.bounding_box_regression import APPLY_REGRESSION, REGRESSION_TARGETS
from rcnn_helpers.course.exercises.engine import Outcome, judge

LOG_2 = np.log(2)

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposal", "truth", "targets"),
    [
        ([10, 10, 50, 30], [0, 10, 80, 20], [10 / 40, -5 / 20, LOG_2, -LOG_2]),
        ([0, 0, 10, 10], [5, 0, 15, 10], [0.5, 0, 0, 0]),
        ([3, 4, 9, 20], [3, 4, 9, 20], [0, 0, 0, 0]),
        ([0, 0, 1, 1], [0, 0, 2, 1], [0.5, 0, LOG_2, 0]),
    ],
)
def test_regression_by_hand(proposal, truth, targets):
    assert_allclose(REGRESSION_TARGETS.reference(proposal, truth), targets, atol=1e-6)
    assert_allclose(APPLY_REGRESSION.reference(proposal, targets), truth, atol=1e-5)


# --- Other right answers ------------------------------------------------------------------------------------


def targets_by_loop(proposal, truth):
    (px, py, pr, pb), (gx, gy, gr, gb) = proposal, truth
    w, h = pr - px, pb - py
    x, y = 0.5 * (gx + gr - px - pr) / w, 0.5 * (gy + gb - py - pb) / h
    return x, y, np.log(gr - gx) - np.log(w), np.log(gb - gy) - np.log(h)


def targets_as_float32(proposal, truth):
    return np.array(targets_by_loop(proposal, truth), dtype=np.float32)


def box_by_sides(proposal, targets):
    """Left and right side for themselves, without naming a centre."""
    sides = []
    for low, high, shift, growth in (
        (proposal[0], proposal[2], targets[0], targets[2]),
        (proposal[1], proposal[3], targets[1], targets[3]),
    ):
        length = high - low
        sides.append(low + length * (0.5 + shift - np.exp(growth) / 2))
        sides.append(low + length * (0.5 + shift + np.exp(growth) / 2))
    return [sides[0], sides[2], sides[1], sides[3]]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (REGRESSION_TARGETS, targets_by_loop),
        (REGRESSION_TARGETS, targets_as_float32),
        (APPLY_REGRESSION, box_by_sides),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def targets_with_base_two(proposal, truth):
    targets = REGRESSION_TARGETS.reference(proposal, truth)
    return [*targets[:2], *(targets[2:] / np.log(2))]


def targets_with_axes_swapped(proposal, truth):
    x, y, w, h = REGRESSION_TARGETS.reference(proposal, truth)
    return y, x, h, w


def targets_of_inclusive_boxes(proposal, truth):
    wider = [[x1, y1, x2 + 1, y2 + 1] for x1, y1, x2, y2 in (proposal, truth)]
    return REGRESSION_TARGETS.reference(*wider)


def targets_over_the_other_side(proposal, truth):
    x, y, w, h = REGRESSION_TARGETS.reference(proposal, truth)
    ratio = (proposal[2] - proposal[0]) / (proposal[3] - proposal[1])
    return x * ratio, y / ratio, w, h


def box_with_powers_of_two(proposal, targets):
    return APPLY_REGRESSION.reference(
        proposal, [*targets[:2], targets[2] * np.log(2), targets[3] * np.log(2)]
    )


def box_of_whole_pixels(proposal, targets):
    return np.round(APPLY_REGRESSION.reference(proposal, targets))


def box_kept_inside(proposal, targets):
    return np.maximum(APPLY_REGRESSION.reference(proposal, targets), 0)


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (REGRESSION_TARGETS, targets_with_base_two, Outcome.WRONG),
        (REGRESSION_TARGETS, targets_with_axes_swapped, Outcome.WRONG),
        (REGRESSION_TARGETS, targets_of_inclusive_boxes, Outcome.WRONG),
        (REGRESSION_TARGETS, targets_over_the_other_side, Outcome.WRONG),
        (APPLY_REGRESSION, box_with_powers_of_two, Outcome.WRONG),
        (APPLY_REGRESSION, box_of_whole_pixels, Outcome.WRONG),
        (APPLY_REGRESSION, box_kept_inside, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)
