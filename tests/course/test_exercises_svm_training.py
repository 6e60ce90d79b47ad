"""The exercises of notebook 05: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.svm_training import HARD_NEGATIVES, HINGE_OBJECTIVE, SVM_LABELS
from rcnn_helpers.svm import LinearSVMs, is_hard, primal_objective, region_roles

THREE, SIGNS = np.array([[1.5], [0.2], [-0.4]]), np.array([1, 1, -1])

# --- What the package gained for them -----------------------------------------------------------------------


def test_roles_of_several_classes_at_once():
    overlaps = np.array([[1.0, 0.18], [0.18, 1.0], [0.6, 0.15], [0.17, 0.9], [0.3, 0.29999]])
    gt_class = np.array([0, 1, -1, -1, -1])
    roles = region_roles(overlaps, gt_class)
    assert roles.dtype == np.int8
    assert roles.tolist() == [[1, -1], [-1, 1], [0, -1], [-1, 0], [0, -1]]


def test_roles_with_the_positives_of_fine_tuning():
    roles = region_roles(
        np.array([[0.5], [0.49], [1.0]]), np.array([-1, -1, 0]), positive_iou=0.5, negative_iou=0.5
    )
    assert roles.ravel().tolist() == [1, -1, 1]


def test_a_limit_of_zero_leaves_the_regions_that_touch_no_object():
    overlaps, gt_class = np.array([[0.0], [0.01], [1.0]]), np.array([-1, -1, 0])
    assert region_roles(overlaps, gt_class, negative_iou=0)[:, 0].tolist() == [-1, 0, 1]
    assert region_roles(overlaps, gt_class, negative_iou=0.3)[:, 0].tolist() == [-1, -1, 1]


def test_hard_is_above_the_limit_and_negative():
    assert is_hard([-1.0, -1.2, 3, 3, 3], [-1, -1, -1, 1, 0]).tolist() == [True, False, True, False, False]
    assert is_hard([-1.0], [-1], hard_score=-1).tolist() == [False]


def test_the_objective_on_paper():
    # Losses 0, 0.8 (twice) and 0.6; half of w squared is 0.5, of (b / B) squared 0.02.
    constants = {"C": 0.1, "positive_weight": 2, "bias_scale": 10}
    assert primal_objective(THREE, SIGNS, [1], 0, **constants) == pytest.approx(0.5 + 0.1 * 2.2)
    assert primal_objective(THREE, [1, 0, -1], [1], 0, **constants) == pytest.approx(0.5 + 0.1 * 0.6)
    assert primal_objective(THREE, SIGNS, [0], 2, **constants) == pytest.approx(0.02 + 0.1 * 3)


@pytest.mark.parametrize("options", [{}, {"C": 0.5, "positive_weight": 5, "bias_scale": 1}])
def test_the_objective_is_the_one_that_training_reports(options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = np.where(X[:, 0] + rng.normal(size=60) > 0.5, 1, -1)
    fitted = LinearSVMs(**options).fit(X, y)
    constants = {name: getattr(fitted, name) for name in ("C", "positive_weight", "bias_scale")}
    ours = primal_objective(X, y, fitted.coef_[0], fitted.intercept_[0], **constants)
    assert ours == pytest.approx(fitted.objective_[0], rel=1e-5)


# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlaps", "gt_class", "k", "labels"),
    [
        ([1.0, 0.18, 0.6, 0.17, 0.15], [0, 1, -1, -1, -1], 0, [1, -1, 0, -1, -1]),
        ([0.18, 1.0, 0.13, 0.9, 0.08], [0, 1, -1, -1, -1], 1, [-1, 1, -1, 0, -1]),
        ([0.3, 0.29, 0.5, 0.0], [-1] * 4, 2, [0, -1, 0, -1]),
        ([0.45, 0.0, 1.0], [4, 4, 2], 2, [0, -1, 1]),
    ],
)
def test_labels_by_hand(overlaps, gt_class, k, labels):
    assert_array_equal(SVM_LABELS.reference(np.array(overlaps), np.array(gt_class), k), labels)


@pytest.mark.parametrize(
    ("w", "b", "C", "weight", "B", "value"),
    [
        (1, 0, 0.001, 2, 10, 0.5022),
        (1, -2, 0.1, 2, 10, 0.5 + 0.02 + 0.1 * (2 * 1.5 + 2 * 2.8 + 0)),
        (0, 5, 0, 2, 10, 0.125),
        (1, 0, 1, 1, 1, 0.5 + 0.8 + 0.6),
    ],
)
def test_objective_by_hand(w, b, C, weight, B, value):
    found = HINGE_OBJECTIVE.reference(np.array([float(w)]), b, THREE, SIGNS, C, weight, B)
    assert found == pytest.approx(value)


@pytest.mark.parametrize(
    ("scores", "labels", "cached", "joining"),
    [
        ([-1.6, -0.4, 0.3, 0.9, 0.5], [-1, -1, -1, 1, 0], [0, 0, 0, 0, 0], [2, 1]),
        ([-1.6, -0.4, 0.3, 0.9, 0.5], [-1, -1, -1, 1, 0], [0, 0, 1, 0, 0], [1]),
        ([-1.0, -1.1, -0.9], [-1, -1, -1], [0, 0, 0], [2, 0]),
        ([-2.0], [-1], [0], []),
    ],
)
def test_hard_negatives_by_hand(scores, labels, cached, joining):
    found = HARD_NEGATIVES.reference(np.array(scores), np.array(labels), np.array(cached, bool))
    assert found.tolist() == joining


# --- Other right answers ------------------------------------------------------------------------------------


def labels_by_loop(overlaps, gt_class, k):
    labels = []
    for overlap, of in zip(overlaps, gt_class, strict=True):
        labels.append(1 if of == k else -1 if overlap < 0.3 else 0)
    return labels


def labels_as_floats(overlaps, gt_class, k):
    labels = np.zeros(len(overlaps), np.float32)
    labels[overlaps < 0.3] = -1
    labels[gt_class == k] = 1
    return labels


def objective_by_loop(w, b, X, y, C, positive_weight, B):
    total = 0.5 * (sum(v * v for v in w) + b * b / B / B)
    for row, sign in zip(X, y, strict=True):
        short = 1 - sign * (sum(v * x for v, x in zip(w, row, strict=True)) + b)
        if short > 0:
            total += C * short * (positive_weight if sign == 1 else 1)
    return total


def objective_of_liblinear(w, b, X, y, C, positive_weight, B):
    """With one more column that is always B, and no bias."""
    longer, column = np.append(w, b / B), np.full((len(X), 1), B)
    margins = y * (np.hstack([X, column]) @ longer)
    losses = np.clip(1 - margins, 0, None)
    return np.float64(
        0.5 * longer @ longer + C * (losses[y < 0].sum() + positive_weight * losses[y > 0].sum())
    )


def hard_by_loop(scores, labels, cached):
    joining = [i for i in range(len(scores)) if labels[i] == -1 and scores[i] > -1.0001 and not cached[i]]
    return sorted(joining, key=lambda i: scores[i], reverse=True)


def hard_by_order(scores, labels, cached):
    order = np.argsort(scores)[::-1]
    return tuple(i for i in order if labels[i] < 0 and scores[i] >= -1.0001 and not cached[i])


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (SVM_LABELS, labels_by_loop),
        (SVM_LABELS, labels_as_floats),
        (HINGE_OBJECTIVE, objective_by_loop),
        (HINGE_OBJECTIVE, objective_of_liblinear),
        (HARD_NEGATIVES, hard_by_loop),
        (HARD_NEGATIVES, hard_by_order),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def labels_with_the_sign_turned(overlaps, gt_class, k):
    return -np.asarray(SVM_LABELS.reference(overlaps, gt_class, k))


def labels_of_class_zero(overlaps, gt_class, k):
    return SVM_LABELS.reference(overlaps, gt_class, 0)


def labels_that_forget_the_positives(overlaps, gt_class, k):
    return np.where(overlaps < 0.3, -1, 0)


def labels_in_words(overlaps, gt_class, k):
    words = {1: "positive", -1: "negative", 0: "ignored"}
    return [words[int(label)] for label in SVM_LABELS.reference(overlaps, gt_class, k)]


def labels_that_overwrite(overlaps, gt_class, k):
    labels = SVM_LABELS.reference(overlaps, gt_class, k)
    overlaps[:] = labels
    return labels


def objective_with_the_margin_at_zero(w, b, X, y, C, positive_weight, B):
    losses = np.maximum(0, -y * (X @ w + b)) * np.where(y > 0, positive_weight, 1)
    return w @ w / 2 + (b / B) ** 2 / 2 + C * losses.sum()


def objective_with_absolute_weights(w, b, X, y, C, positive_weight, B):
    right = HINGE_OBJECTIVE.reference(w, b, X, y, C, positive_weight, B)
    return right - w @ w / 2 + np.abs(w).sum()


def objective_of_each_row(w, b, X, y, C, positive_weight, B):
    return C * np.maximum(0, 1 - y * (X @ w + b))


def objective_without_the_signs(w, b, X, y, C, positive_weight, B):
    return HINGE_OBJECTIVE.reference(w, b, X, np.abs(y), C, positive_weight, B)


def hard_that_are_easy(scores, labels, cached):
    places = np.flatnonzero((labels == -1) & (scores < -1.0001) & ~cached)
    return places[np.argsort(-scores[places])]


def hard_as_mask(scores, labels, cached):
    return (labels == -1) & (scores > -1.0001) & ~cached


def hard_without_the_last(scores, labels, cached):
    return HARD_NEGATIVES.reference(scores, labels, cached)[:-1]


def hard_with_the_old_ones_first(scores, labels, cached):
    return [*np.flatnonzero(cached), *HARD_NEGATIVES.reference(scores, labels, cached)]


def hard_that_marks_the_cache(scores, labels, cached):
    joining = HARD_NEGATIVES.reference(scores, labels, cached)
    cached[joining] = True
    return joining


def hard_that_needs_one(scores, labels, cached):
    first = scores[0]
    return HARD_NEGATIVES.reference(scores, labels, cached) if first < 9 else []


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (SVM_LABELS, labels_with_the_sign_turned, Outcome.WRONG),
        (SVM_LABELS, labels_of_class_zero, Outcome.WRONG),
        (SVM_LABELS, labels_that_forget_the_positives, Outcome.WRONG),
        (SVM_LABELS, labels_in_words, Outcome.WRONG),
        (SVM_LABELS, labels_that_overwrite, Outcome.WRONG),
        (HINGE_OBJECTIVE, objective_with_the_margin_at_zero, Outcome.WRONG),
        (HINGE_OBJECTIVE, objective_with_absolute_weights, Outcome.WRONG),
        (HINGE_OBJECTIVE, objective_of_each_row, Outcome.WRONG),
        (HINGE_OBJECTIVE, objective_without_the_signs, Outcome.WRONG),
        (HARD_NEGATIVES, hard_that_are_easy, Outcome.WRONG),
        (HARD_NEGATIVES, hard_as_mask, Outcome.WRONG),
        (HARD_NEGATIVES, hard_without_the_last, Outcome.WRONG),
        (HARD_NEGATIVES, hard_with_the_old_ones_first, Outcome.WRONG),
        (HARD_NEGATIVES, hard_that_marks_the_cache, Outcome.WRONG),
        (HARD_NEGATIVES, hard_that_needs_one, Outcome.ERROR),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_no_random_case_hangs_on_rounding():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for scores, _, _ in HARD_NEGATIVES.cases(rng)[5:]:
            assert len(np.unique(scores)) == len(scores)
            assert np.abs(scores + 1.0001).min() > 1e-3
