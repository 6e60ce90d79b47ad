"""The exercises of notebook 06: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.bounding_box_regression import (
    APPLY_REGRESSION,
    REGRESSION_TARGETS,
    RIDGE,
    TRAINING_PAIRS,
)
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


@pytest.mark.parametrize(
    ("proposals", "objects", "min_iou", "pairs"),
    [
        # IoUs 9/11 with both objects, 7/13 and 9/11, 0
        (
            [[1, 0, 11, 10], [3, 0, 13, 10], [40, 40, 50, 50]],
            [[0, 0, 10, 10], [2, 0, 12, 10]],
            0.6,
            [(0, 0), (1, 1)],
        ),
        ([[0, 0, 10, 5], [0, 0, 10, 6], [0, 0, 10, 10]], [[0, 0, 10, 10]], 0.5, [(1, 0), (2, 0)]),
        ([[0, 0, 10, 10]], [], 0.6, []),
        ([], [[0, 0, 10, 10]], 0.6, []),
    ],
)
def test_training_pairs_by_hand(proposals, objects, min_iou, pairs):
    assert TRAINING_PAIRS.reference(proposals, objects, min_iou) == pairs


def test_ridge_by_hand():
    # Centred: x = -1, 1; t = -1, 1 and 1/2, -1/2. So w = 2 / 4 and -1 / 4, through (2, 5) and (2, 1/2).
    weights, constants = RIDGE.reference(np.array([[1.0], [3.0]]), np.array([[4.0, 1], [6, 0]]), 2.0)
    assert_allclose(weights, [[0.5, -0.25]], atol=1e-6)
    assert_allclose(constants, [4, 1], atol=1e-6)
    # Centred: x = -1, 0, 1; t = -1, -1, 2. So w = 3 / (2 + 4), through (1, 1).
    weights, constants = RIDGE.reference(np.array([[0.0], [1], [2]]), np.array([[0.0], [0], [3]]), 4.0)
    assert_allclose(weights, [[0.5]], atol=1e-6)
    assert_allclose(constants, [0.5], atol=1e-6)


def test_no_random_case_of_the_pairs_hangs_on_rounding():
    for seed in range(20):
        for proposals, objects, min_iou in TRAINING_PAIRS.cases(np.random.default_rng(seed))[5:]:
            overlaps = np.sort(iou(proposals, objects), axis=1)
            assert (np.abs(overlaps - min_iou) > 1e-4).all()
            assert (overlaps[:, -1] - overlaps[:, -2] > 1e-4).all()


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


def pairs_with_plain_lists(proposals, objects, min_iou):
    pairs = []
    for i, proposal in enumerate(proposals):
        best, most = None, min_iou
        for j, other in enumerate(objects):
            overlap = iou([proposal], [other])[0, 0]
            if overlap > most:
                best, most = j, overlap
        if best is not None:
            pairs.append([i, best])
    return pairs


def pairs_as_array(proposals, objects, min_iou):
    if len(objects) == 0 or len(proposals) == 0:
        return np.zeros((0, 2), int)
    overlaps = iou(proposals, objects)
    rows = np.flatnonzero(overlaps.max(axis=1) > min_iou)
    return np.stack([rows, overlaps.argmax(axis=1)[rows]], axis=1)


def ridge_by_more_rows(features, targets, penalty):
    """Least squares with one further row for each weight, which pulls it to 0."""
    n_features = features.shape[1]
    X, T = features - features.mean(axis=0), targets - targets.mean(axis=0)
    pull = np.sqrt(penalty) * np.eye(n_features)
    weights = np.linalg.lstsq(
        np.concatenate([X, pull]), np.concatenate([T, np.zeros((n_features, T.shape[1]))]), rcond=None
    )[0]
    return [weights.astype(np.float32), (targets - features @ weights).mean(axis=0)]


def ridge_on_the_side_of_the_rows(features, targets, penalty):
    X, T = features - features.mean(axis=0), targets - targets.mean(axis=0)
    weights = X.T @ np.linalg.inv(X @ X.T + penalty * np.eye(len(X))) @ T
    return weights, targets.mean(axis=0) - features.mean(axis=0) @ weights


def ridge_of_sklearn(features, targets, penalty):
    from sklearn.linear_model import Ridge

    fitted = Ridge(alpha=penalty).fit(features, targets)
    return fitted.coef_.T, fitted.intercept_


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (TRAINING_PAIRS, pairs_with_plain_lists),
        (TRAINING_PAIRS, pairs_as_array),
        (RIDGE, ridge_by_more_rows),
        (RIDGE, ridge_on_the_side_of_the_rows),
        (RIDGE, ridge_of_sklearn),
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


def pairs_above_their_own_threshold(proposals, objects, min_iou):
    return TRAINING_PAIRS.reference(proposals, objects, 0.6)


def pairs_that_are_far(proposals, objects, min_iou):
    taught = {i for i, _ in TRAINING_PAIRS.reference(proposals, objects, min_iou)}
    every = TRAINING_PAIRS.reference(proposals, objects, -1)
    return [pair for pair in every if pair[0] not in taught]


def pairs_counted_from_one(proposals, objects, min_iou):
    return [(i + 1, j + 1) for i, j in TRAINING_PAIRS.reference(proposals, objects, min_iou)]


def pairs_in_order_of_overlap(proposals, objects, min_iou):
    return TRAINING_PAIRS.reference(proposals, objects, min_iou)[::-1]


def pairs_without_their_objects(proposals, objects, min_iou):
    return [i for i, _ in TRAINING_PAIRS.reference(proposals, objects, min_iou)]


def pairs_by_the_last_of_equals(proposals, objects, min_iou):
    pairs = TRAINING_PAIRS.reference(proposals, objects[::-1], min_iou)
    return [(i, len(objects) - 1 - j) for i, j in pairs]


def ridge_with_half_the_penalty(features, targets, penalty):
    return RIDGE.reference(features, targets, penalty / 2)


def ridge_with_one_penalty_for_all(features, targets, penalty):
    return RIDGE.reference(features, targets, 1.0)


def ridge_with_standardised_features(features, targets, penalty):
    scale = features.std(axis=0)
    scale[scale == 0] = 1
    weights, constants = RIDGE.reference(features / scale, targets, penalty)
    return weights / scale[:, None], constants


def ridge_without_the_inverse(features, targets, penalty):
    X, T = features - features.mean(axis=0), targets - targets.mean(axis=0)
    return (X.T @ X + penalty * np.eye(X.shape[1])) @ (X.T @ T), targets.mean(axis=0)


def ridge_that_centres_in_place(features, targets, penalty):
    result = RIDGE.reference(features, targets, penalty)
    features -= features.mean(axis=0)
    return result


def ridge_lying_on_its_side(features, targets, penalty):
    weights, constants = RIDGE.reference(features, targets, penalty)
    return weights.T, constants


def ridge_of_weights_only(features, targets, penalty):
    return RIDGE.reference(features, targets, penalty)[0]


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (TRAINING_PAIRS, pairs_above_their_own_threshold, Outcome.WRONG),
        (TRAINING_PAIRS, pairs_that_are_far, Outcome.WRONG),
        (TRAINING_PAIRS, pairs_counted_from_one, Outcome.WRONG),
        (TRAINING_PAIRS, pairs_in_order_of_overlap, Outcome.WRONG),
        (TRAINING_PAIRS, pairs_without_their_objects, Outcome.WRONG),
        (TRAINING_PAIRS, pairs_by_the_last_of_equals, Outcome.WRONG),
        (RIDGE, ridge_with_half_the_penalty, Outcome.WRONG),
        (RIDGE, ridge_with_one_penalty_for_all, Outcome.WRONG),
        (RIDGE, ridge_with_standardised_features, Outcome.WRONG),
        (RIDGE, ridge_without_the_inverse, Outcome.WRONG),
        (RIDGE, ridge_that_centres_in_place, Outcome.WRONG),
        (RIDGE, ridge_lying_on_its_side, Outcome.WRONG),
        (RIDGE, ridge_of_weights_only, Outcome.WRONG),
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
