"""The exercises of notebook 07: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.detection_and_evaluation import (
    AVERAGE_PRECISION,
    GREEDY_NMS,
    MATCH_DETECTIONS,
)
from rcnn_helpers.course.exercises.engine import Outcome, judge

ROW = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
PAIR = [[10, 10, 60, 60], [80, 10, 130, 60]]
THREE_FOUND = [[10, 10, 40, 60], [32, 10, 60, 60], [80, 10, 130, 50]]  # two of them share an object

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "scores", "threshold", "kept"),
    [
        (ROW, [0.9, 0.8, 0.7], 0.3, [0, 2]),  # IoUs of neighbours 60/140, of the outer two 20/180
        (ROW, [0.9, 0.8, 0.7], 0.1, [0]),
        (ROW, [0.7, 0.8, 0.9], 0.5, [2, 1, 0]),
        (ROW, [0.7, 0.9, 0.8], 0.3, [1]),
        ([[0, 0, 10, 10], [0, 0, 10, 5]], [0.6, 0.9], 0.5, [1, 0]),  # equal to the threshold: it stays
        ([], [], 0.3, []),
    ],
)
def test_suppression_by_hand(boxes, scores, threshold, kept):
    assert GREEDY_NMS.reference(boxes, scores, threshold) == kept


@pytest.mark.parametrize(
    ("boxes", "scores", "objects", "outcomes"),
    [
        (THREE_FOUND, [0.9, 0.8, 0.5], PAIR, ["tp", "duplicate", "tp"]),
        (THREE_FOUND, [0.5, 0.9, 0.8], PAIR, ["duplicate", "tp", "tp"]),
        # IoUs of the second: 360/440 with the first object, 320/480 with the other, which is free
        ([[0, 0, 20, 20], [2, 0, 22, 20]], [0.9, 0.8], [[0, 0, 20, 20], [6, 0, 26, 20]], ["tp", "duplicate"]),
        ([[0, 0, 10, 5]], [0.1], [[0, 0, 10, 10]], ["tp"]),
        ([[0, 0, 10, 4], [0, 0, 10, 10]], [0.9, 0.1], [[0, 0, 10, 10]], ["fp", "tp"]),
        ([[0, 0, 10, 10]], [0.1], [], ["fp"]),
        ([], [], [[0, 0, 10, 10]], []),
    ],
)
def test_matching_by_hand(boxes, scores, objects, outcomes):
    assert MATCH_DETECTIONS.reference(boxes, scores, objects) == outcomes


@pytest.mark.parametrize(
    ("recall", "precision", "value"),
    [
        ([0.25, 0.25, 0.5, 0.5, 0.75], [1, 1 / 2, 2 / 3, 2 / 4, 3 / 5], (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11),
        ([1], [1], 1),
        ([0, 0.5, 0.5], [0, 1 / 2, 1 / 3], 6 * 0.5 / 11),
        ([1 / 3, 1 / 3, 1 / 3, 2 / 3, 1], [1, 1 / 2, 1 / 3, 2 / 4, 3 / 5], (4 * 1 + 7 * 3 / 5) / 11),
        ([0, 0], [0, 0], 0),
        ([], [], 0),
    ],
)
def test_average_precision_by_hand(recall, precision, value):
    assert AVERAGE_PRECISION.reference(np.array(recall), np.array(precision)) == pytest.approx(value)


# --- Other right answers ------------------------------------------------------------------------------------


def nms_by_crossing_out(boxes, scores, threshold):
    """The same rule the other way round: each kept box crosses out those below it."""
    left = sorted(range(len(boxes)), key=lambda i: scores[i], reverse=True)
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou([boxes[best]], [boxes[i]])[0, 0] <= threshold]
    return tuple(kept)


def nms_by_matrix(boxes, scores, threshold):
    boxes = np.array(boxes, float).reshape(-1, 4)
    order = np.argsort(scores)[::-1].astype(int)
    too_close = iou(boxes, boxes) > threshold
    alive, kept = np.ones(len(boxes), bool), []
    for i in order:
        if alive[i]:
            kept.append(i)
            alive &= ~too_close[i]
    return np.array(kept, dtype=np.int64)


def matching_with_plain_lists(boxes, scores, objects):
    taken = [False] * len(objects)
    outcomes = [None] * len(boxes)
    for _, i in sorted(zip(scores, range(len(boxes)), strict=True), reverse=True):
        nearest, most = None, 0
        for j, other in enumerate(objects):
            overlap = iou([boxes[i]], [other])[0, 0]
            if overlap > most:
                nearest, most = j, overlap
        if most < 0.5:
            outcomes[i] = "fp"
        elif taken[nearest]:
            outcomes[i] = "duplicate"
        else:
            outcomes[i], taken[nearest] = "tp", True
    return tuple(outcomes)


def matching_as_array(boxes, scores, objects):
    return np.array(matching_with_plain_lists(boxes, scores, objects), dtype=str)


def ap_by_loop(recall, precision):
    total, t = 0.0, 0.0
    for _ in range(11):
        total += max([p for r, p in zip(recall, precision, strict=True) if r >= t], default=0)
        t += 0.1
    return total / 11


def ap_by_accumulation(recall, precision):
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return np.float32(best[np.searchsorted(recall, np.arange(11) / 10)].mean())


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (GREEDY_NMS, nms_by_crossing_out),
        (GREEDY_NMS, nms_by_matrix),
        (MATCH_DETECTIONS, matching_with_plain_lists),
        (MATCH_DETECTIONS, matching_as_array),
        (AVERAGE_PRECISION, ap_by_loop),
        (AVERAGE_PRECISION, ap_by_accumulation),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def nms_for_ever(boxes, scores, threshold):
    left = list(range(len(boxes)))
    kept = []
    while left:
        kept = [max(left, key=lambda i: scores[i])]  # nothing ever leaves the list
    return kept


def nms_with_its_own_threshold(boxes, scores, threshold):
    return GREEDY_NMS.reference(boxes, scores, 0.3)


def nms_that_drops_the_far_ones(boxes, scores, threshold):
    kept = []
    for i in np.argsort([-score for score in scores]):
        if all(iou([boxes[i]], [boxes[j]])[0, 0] > threshold for j in kept):
            kept.append(int(i))
    return kept


def nms_with_pixels_counted_double(boxes, scores, threshold):
    return GREEDY_NMS.reference([[x1, y1, x2 + 1, y2 + 1] for x1, y1, x2, y2 in boxes], scores, threshold)


def nms_as_mask(boxes, scores, threshold):
    return [i in GREEDY_NMS.reference(boxes, scores, threshold) for i in range(len(boxes))]


def nms_that_empties_its_list(boxes, scores, threshold):
    kept = GREEDY_NMS.reference(boxes, scores, threshold)
    boxes.clear()
    return kept


def matching_without_a_limit(boxes, scores, objects):
    return ["tp" if len(objects) and iou([box], objects).max() > 0 else "fp" for box in boxes]


def matching_that_says_false_positive(boxes, scores, objects):
    return ["false positive" if o == "fp" else o for o in MATCH_DETECTIONS.reference(boxes, scores, objects)]


def matching_that_fails_on_empty_pictures(boxes, scores, objects):
    iou(boxes, objects).max(axis=1)
    return MATCH_DETECTIONS.reference(boxes, scores, objects)


def matching_worst_first(boxes, scores, objects):
    return MATCH_DETECTIONS.reference(boxes, [-score for score in scores], objects)


def ap_by_trapezes(recall, precision):
    return float(trapezoid(precision, recall)) if len(recall) else 0.0


def ap_of_101_points(recall, precision):
    return np.mean([max(precision[recall >= t], default=0) for t in np.linspace(0, 1, 101)])


def ap_in_percent(recall, precision):
    return 100 * AVERAGE_PRECISION.reference(recall, precision)


def ap_divided_by_ten(recall, precision):
    return AVERAGE_PRECISION.reference(recall, precision) * 11 / 10


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (GREEDY_NMS, nms_with_its_own_threshold, Outcome.WRONG),
        (GREEDY_NMS, nms_that_drops_the_far_ones, Outcome.WRONG),
        (GREEDY_NMS, nms_with_pixels_counted_double, Outcome.WRONG),
        (GREEDY_NMS, nms_as_mask, Outcome.WRONG),
        (GREEDY_NMS, nms_that_empties_its_list, Outcome.WRONG),
        (MATCH_DETECTIONS, matching_without_a_limit, Outcome.WRONG),
        (MATCH_DETECTIONS, matching_that_says_false_positive, Outcome.WRONG),
        (MATCH_DETECTIONS, matching_that_fails_on_empty_pictures, Outcome.ERROR),
        (MATCH_DETECTIONS, matching_worst_first, Outcome.WRONG),
        (AVERAGE_PRECISION, ap_by_trapezes, Outcome.WRONG),
        (AVERAGE_PRECISION, ap_of_101_points, Outcome.WRONG),
        (AVERAGE_PRECISION, ap_in_percent, Outcome.WRONG),
        (AVERAGE_PRECISION, ap_divided_by_ten, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_a_loop_that_never_ends_is_stopped_and_said():
    verdict = judge(GREEDY_NMS, nms_for_ever, time_limit=0.3)
    assert verdict.outcome is Outcome.ERROR
    assert "loop that never ends" in verdict.message


def test_no_random_case_hangs_on_rounding():
    """Recalls keep off the tenths, and no two objects are equally near to a detection."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for recall, _ in AVERAGE_PRECISION.cases(rng)[6:]:
            tenths = np.abs(recall * 10 - np.round(recall * 10)) < 1e-6
            assert np.isin(np.round(recall[tenths] * 10), (0, 5, 10)).all()
        for boxes, scores, objects in MATCH_DETECTIONS.cases(rng)[7:]:
            assert len(set(scores)) == len(scores) == len(boxes)
            best = np.sort(iou(boxes, objects), axis=1)
            assert best.shape[1] == 1 or (best[:, -1] - best[:, -2] > 1e-5).all()
