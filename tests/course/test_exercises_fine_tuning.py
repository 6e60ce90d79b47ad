"""The exercises of notebook 04: pinned by hand, other right answers pass, other wrong ones do not."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.fine_tuning import (
    BATCH_WINDOWS,
    LEARNING_RATE_OF,
    SGD_STEP,
    SOFTMAX_LOSS,
    WINDOW_LABELS,
)

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "objects", "classes", "labels"),
    [
        # A shares 800 of the car's 1600 pixels; B 1280 of 1920 with the car and 1440 of 1760 with the dog; C 720.
        (
            [[10, 10, 50, 30], [18, 10, 58, 50], [10, 10, 50, 28]],
            [[10, 10, 50, 50], [22, 10, 62, 50]],
            [0, 1],
            [1, 2, 0],
        ),
        ([[0, 0, 10, 10], [0, 0, 10, 10]], [[0, 0, 10, 10]], [7], [8, 8]),
        ([[0, 0, 10, 10]], [[20, 20, 30, 30]], [0], [0]),
    ],
)
def test_labels_by_hand(boxes, objects, classes, labels):
    boxes, objects = np.array(boxes, float), np.array(objects, float)
    assert_array_equal(WINDOW_LABELS.reference(boxes, objects, np.array(classes)), labels)


def test_a_batch_by_hand():
    # Positives stand at 1 and 4, background at 0, 2, 3, 5 and 6.
    labels, draws = np.array([0, 3, 0, 0, 1, 0, 0]), np.array([0.9, 0.1, 0.0, 0.45, 0.99, 0.99])
    assert_array_equal(BATCH_WINDOWS.reference(labels, draws, 2), [4, 1, 0, 3, 6, 6])


@pytest.mark.parametrize(
    ("scores", "label", "loss", "gradient"),
    [
        ([0, 0, 0], 0, math.log(3), [-2 / 3, 1 / 3, 1 / 3]),
        ([math.log(3), 0], 0, math.log(4 / 3), [-0.25, 0.25]),
        ([math.log(3), 0], 1, math.log(4), [0.75, -0.75]),
        ([1000, 0], 1, 1000, [1, -1]),
        ([0, -3000], 1, 3000, [1, -1]),
        ([-1000, -1000], 1, math.log(2), [0.5, -0.5]),
    ],
)
def test_losses_by_hand(scores, label, loss, gradient):
    found, direction = SOFTMAX_LOSS.reference(np.array(scores, float), label)
    assert found == pytest.approx(loss)
    assert_allclose(direction, gradient, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "rate"),
    [
        ((0, False, False, 0.001, 20_000), 0.001),
        ((0, True, False, 0.001, 20_000), 0.01),
        ((19_999, False, True, 0.001, 20_000), 0.002),
        ((20_000, True, True, 0.001, 20_000), 0.002),
        ((60_000, False, False, 0.001, 20_000), 1e-6),
    ],
)
def test_rates_by_hand(arguments, rate):
    assert LEARNING_RATE_OF.reference(*arguments) == pytest.approx(rate)


def test_steps_by_hand():
    w, v = SGD_STEP.reference(np.array([2.0]), np.array([1.0]), np.array([-0.1]), 0.1, 0.9, 0.5)
    assert v.item() == pytest.approx(-0.09 - 0.1 * (1 + 0.5 * 2))
    assert w.item() == pytest.approx(2 + v.item())


# --- Other right answers ------------------------------------------------------------------------------------


def labels_by_loop(boxes, objects, classes):
    labels = []
    for box in boxes:
        overlaps = [float(iou([box], [each])[0, 0]) for each in objects]
        best = max(range(len(objects)), key=overlaps.__getitem__)
        labels.append(int(classes[best]) + 1 if overlaps[best] >= 0.5 else 0)
    return labels


def labels_as_floats(boxes, objects, classes):
    overlaps = iou(boxes, objects)
    return (overlaps.max(axis=1) >= 0.5) * (1.0 + classes[overlaps.argmax(axis=1)])


def batch_by_loop(labels, draws, n_positive):
    positives = [i for i, label in enumerate(labels) if label > 0]
    background = [i for i, label in enumerate(labels) if label == 0]
    kinds = [positives if i < n_positive else background for i in range(len(draws))]
    return tuple(kind[int(u * len(kind))] for kind, u in zip(kinds, draws, strict=True))


def batch_in_float32(labels, draws, n_positive):
    parts = (np.where(labels > 0)[0], draws[:n_positive]), (np.where(labels == 0)[0], draws[n_positive:])
    return np.hstack([rows[np.floor(np.float32(u) * len(rows)).astype(int)] for rows, u in parts])


def loss_by_loop(scores, label):
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    gradient = [power / sum(powers) for power in powers]
    gradient[label] -= 1
    return math.log(sum(powers)) + highest - scores[label], gradient


def loss_by_logaddexp(scores, label):
    logs = scores - np.logaddexp.reduce(scores)
    return [-logs[label], np.exp(logs) - np.eye(len(scores))[label]]


def rate_by_loop(step, is_new, is_bias, lr, drop_every):
    while step >= drop_every:
        step, lr = step - drop_every, lr / 10
    if is_new:
        lr *= 10
    return np.float32(2 * lr if is_bias else lr)


def rate_by_table(step, is_new, is_bias, lr, drop_every):
    return lr * [[1, 2], [10, 20]][is_new][is_bias] / 10 ** math.floor(step / drop_every)


def step_by_loop(w, gradient, v, rate, momentum, decay):
    new_v = [
        momentum * each - rate * (slope + decay * weight)
        for weight, slope, each in zip(w, gradient, v, strict=True)
    ]
    return [weight + each for weight, each in zip(w, new_v, strict=True)], new_v


def step_as_torch_counts(w, gradient, v, rate, momentum, decay):
    pull = -momentum * v / rate + gradient + decay * w
    return w - rate * pull, -rate * pull


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (WINDOW_LABELS, labels_by_loop),
        (WINDOW_LABELS, labels_as_floats),
        (BATCH_WINDOWS, batch_by_loop),
        (BATCH_WINDOWS, batch_in_float32),
        (SOFTMAX_LOSS, loss_by_loop),
        (SOFTMAX_LOSS, loss_by_logaddexp),
        (LEARNING_RATE_OF, rate_by_loop),
        (LEARNING_RATE_OF, rate_by_table),
        (SGD_STEP, step_by_loop),
        (SGD_STEP, step_as_torch_counts),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def labels_by_the_smaller_overlap(boxes, objects, classes):
    overlaps = iou(boxes, objects)
    return np.where(overlaps.max(axis=1) >= 0.5, classes[overlaps.argmin(axis=1)] + 1, 0)


def labels_along_the_other_axis(boxes, objects, classes):
    overlaps = iou(boxes, objects).T
    return np.where(overlaps.max(axis=1) >= 0.5, classes + 1, 0)


def labels_for_any_touch(boxes, objects, classes):
    overlaps = iou(boxes, objects)
    return np.where(overlaps.max(axis=1) > 0, classes[overlaps.argmax(axis=1)] + 1, 0)


def labels_that_overwrite_the_classes(boxes, objects, classes):
    overlaps = iou(boxes, objects)
    classes += 1
    return np.where(overlaps.max(axis=1) >= 0.5, classes[overlaps.argmax(axis=1)], 0)


def batch_without_repeats(labels, draws, n_positive):
    return np.unique(BATCH_WINDOWS.reference(labels, draws, n_positive))


def batch_of_positives_only(labels, draws, n_positive):
    return BATCH_WINDOWS.reference(labels, draws, len(draws))


def batch_in_order(labels, draws, n_positive):
    return np.sort(BATCH_WINDOWS.reference(labels, draws, n_positive))


def batch_of_its_own_luck(labels, draws, n_positive):
    rng = np.random.default_rng(1)
    positives, background = np.flatnonzero(labels > 0), np.flatnonzero(labels == 0)
    return [*rng.choice(positives, n_positive), *rng.choice(background, len(draws) - n_positive)]


def loss_without_gradient(scores, label):
    return SOFTMAX_LOSS.reference(scores, label)[0]


def loss_over_all_outputs(scores, label):
    loss, gradient = SOFTMAX_LOSS.reference(scores, label)
    return loss / len(scores), gradient / len(scores)


def loss_of_the_best(scores, label):
    return SOFTMAX_LOSS.reference(scores, int(np.argmax(scores)))


def loss_of_scores_as_they_are(scores, label):
    return -scores[label], scores


def loss_with_the_mean_subtracted(scores, label):
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(scores - scores.mean())
        shares = powers / powers.sum()
        return np.log(powers.sum()) - scores[label] + scores.mean(), shares - np.eye(len(scores))[label]


def loss_kept_off_zero(scores, label):
    powers = np.exp(scores - scores.max())
    shares = powers / powers.sum()
    return -np.log(shares[label] + 1e-12), shares - np.eye(len(scores))[label]


def rate_of_nothing_where_it_is_small(*given):
    rate = LEARNING_RATE_OF.reference(*given)
    return rate if rate > 1e-4 else 0


def rate_never_below(*given):
    return max(LEARNING_RATE_OF.reference(*given), 1e-5)


def rate_of_four_digits(*given):
    return round(LEARNING_RATE_OF.reference(*given), 4)


def rate_in_a_list(*given):
    return [LEARNING_RATE_OF.reference(*given)]


def rate_that_halves(step, is_new, is_bias, lr, drop_every):
    return lr * 0.5 ** (step // drop_every) * (10 if is_new else 1) * (2 if is_bias else 1)


def rate_with_the_factors_exchanged(step, is_new, is_bias, lr, drop_every):
    return lr * 0.1 ** (step // drop_every) * (2 if is_new else 1) * (10 if is_bias else 1)


def rate_of_the_paper(step, is_new, is_bias, lr, drop_every):
    return 0.001


def rate_that_is_no_number(step, is_new, is_bias, lr, drop_every):
    return "small"


def step_of_nesterov(w, gradient, v, rate, momentum, decay):
    v = momentum * v - rate * (gradient + decay * w)
    return w + momentum * v - rate * (gradient + decay * w), v


def step_in_place(w, gradient, v, rate, momentum, decay):
    v *= momentum
    v -= rate * (gradient + decay * w)
    w += v
    return w, v


def step_the_wrong_way_round(w, gradient, v, rate, momentum, decay):
    return SGD_STEP.reference(w, gradient, v, rate, momentum, decay)[::-1]


def step_with_half_the_decay(w, gradient, v, rate, momentum, decay):
    return SGD_STEP.reference(w, gradient, v, rate, momentum, decay / 2)


def step_of_the_first_weight(w, gradient, v, rate, momentum, decay):
    return w[5], v


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (WINDOW_LABELS, labels_by_the_smaller_overlap, Outcome.WRONG),
        (WINDOW_LABELS, labels_along_the_other_axis, Outcome.WRONG),
        (WINDOW_LABELS, labels_for_any_touch, Outcome.WRONG),
        (WINDOW_LABELS, labels_that_overwrite_the_classes, Outcome.WRONG),
        (BATCH_WINDOWS, batch_without_repeats, Outcome.WRONG),
        (BATCH_WINDOWS, batch_of_positives_only, Outcome.WRONG),
        (BATCH_WINDOWS, batch_in_order, Outcome.WRONG),
        (BATCH_WINDOWS, batch_of_its_own_luck, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_without_gradient, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_over_all_outputs, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_of_the_best, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_of_scores_as_they_are, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_with_the_mean_subtracted, Outcome.WRONG),
        (SOFTMAX_LOSS, loss_kept_off_zero, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_of_nothing_where_it_is_small, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_never_below, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_of_four_digits, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_in_a_list, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_that_halves, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_with_the_factors_exchanged, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_of_the_paper, Outcome.WRONG),
        (LEARNING_RATE_OF, rate_that_is_no_number, Outcome.WRONG),
        (SGD_STEP, step_of_nesterov, Outcome.WRONG),
        (SGD_STEP, step_in_place, Outcome.WRONG),
        (SGD_STEP, step_the_wrong_way_round, Outcome.WRONG),
        (SGD_STEP, step_with_half_the_decay, Outcome.WRONG),
        (SGD_STEP, step_of_the_first_weight, Outcome.ERROR),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_a_wrong_label_is_drawn_with_the_overlaps_in_words():
    verdict = judge(WINDOW_LABELS, labels_for_any_touch)
    assert verdict.picture.shape == (480, 640, 3)
    assert verdict.alt.startswith("Window 2, dashed")
    assert "0.45" in verdict.alt and "your label is 1, the reference's 0" in verdict.alt


# --- No case hangs on rounding or on a choice that nobody explained -----------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_every_window_has_one_best_object_and_every_draw_one_place(seed):
    rng = np.random.default_rng(seed)
    for boxes, objects, classes in WINDOW_LABELS.cases(rng):
        overlaps = np.sort(iou(boxes, objects), axis=1)
        if len(set(classes.tolist())) > 1:
            tied = overlaps[:, -1] - overlaps[:, -2] < 1e-4
            assert not (tied & (overlaps[:, -1] >= 0.5)).any()
    for labels, draws, n_positive in BATCH_WINDOWS.cases(rng):
        assert 0 < n_positive < len(draws) and (draws < 1).all()
        sizes = np.where(np.arange(len(draws)) < n_positive, (labels > 0).sum(), (labels == 0).sum())
        beyond = draws * sizes % 1
        assert ((draws == 0) | ((beyond > 1e-4) & (beyond < 1 - 1e-4))).all()
