"""Checkers of notebook 00: right answers written otherwise pass, further wrong ones do not, references by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.course.exercises import Outcome
from rcnn_helpers.course.exercises.engine import judge
from rcnn_helpers.course.exercises.start_here import BOX_OF_MASK, CLASS_SCORES, IOU


def _no_slip_named(verdict):
    return not any(verdict.message.startswith(slip.message) for slip in verdict.exercise.slips)


# --- iou --------------------------------------------------------------------------------------------------------

coordinates = st.integers(0, 12)
any_box = st.tuples(coordinates, coordinates, st.integers(1, 8), st.integers(1, 8)).map(
    lambda xywh: [xywh[0], xywh[1], xywh[0] + xywh[2], xywh[1] + xywh[3]]
)


def _pixels(box):
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


def _by_counting(box, other):
    first, second = _pixels(box), _pixels(other)
    return len(first & second) / len(first | second)


@given(any_box, any_box)
def test_reference_of_iou_counts_pixels(box, other):
    assert IOU.reference(box, other) == pytest.approx(_by_counting(box, other))


def test_reference_of_iou_on_paper():
    assert IOU.reference([0, 0, 10, 10], [5, 0, 15, 10]) == pytest.approx(50 / 150)
    assert IOU.reference([5, 0, 15, 10], [5, 0, 25, 10]) == 0.5
    assert IOU.reference([0, 0, 10, 10], [10, 0, 20, 10]) == 0


def _with_numpy(box, other):
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    areas = [np.prod(np.subtract(each[2:], each[:2])) for each in (box, other)]
    return np.float32(shared / (sum(areas) - shared))


@pytest.mark.parametrize("answer", [_by_counting, _with_numpy])
def test_iou_written_otherwise_passes(answer):
    assert judge(IOU, answer).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "mutant, outcome",
    [
        (lambda box, other: 100 * _by_counting(box, other), Outcome.WRONG),  # percent
        (lambda box, other: 1 - _by_counting(box, other), Outcome.WRONG),  # a distance
        (lambda box, other: _by_counting(box, other) > 0.5, Outcome.WRONG),
        (lambda box, other: _by_counting(box, box), Outcome.WRONG),
        (lambda box, other: round(_by_counting(box, other), 1), Outcome.WRONG),
        (lambda box, other: [_by_counting(box, other)], Outcome.WRONG),
        (lambda box, other: box.area() / other.area(), Outcome.ERROR),
        (lambda box: 1, Outcome.ERROR),
    ],
)
def test_mutants_of_iou(mutant, outcome):
    verdict = judge(IOU, mutant)
    assert verdict.outcome is outcome and _no_slip_named(verdict)


def test_the_two_boxes_of_a_wrong_iou_fit_into_the_picture():
    for seed in range(5):
        for arguments in IOU.cases(np.random.default_rng(seed)):
            picture, alt = IOU.draw(arguments, 0.25, 0.5)
            assert (picture[-20:] == 245).all() and (picture[:, -20:] == 245).all()
            assert "your IoU is 0.250, the reference's 0.500" in alt


# --- box_of_mask ------------------------------------------------------------------------------------------------


def test_reference_of_box_of_mask_on_paper():
    mask = np.zeros((3, 4), dtype=bool)
    assert BOX_OF_MASK.reference(mask) is None
    mask[1, 2] = True
    assert BOX_OF_MASK.reference(mask) == [2, 1, 3, 2]
    mask[2, 0] = True
    assert BOX_OF_MASK.reference(mask) == [0, 1, 3, 3]
    mask[:] = True
    assert BOX_OF_MASK.reference(mask) == [0, 0, 4, 3]


@given(any_box)
def test_reference_of_box_of_mask_finds_a_painted_box(box):
    mask = np.zeros((20, 20), dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    assert BOX_OF_MASK.reference(mask) == box


def _with_loops(mask):
    inside = [(x, y) for y, row in enumerate(mask) for x, value in enumerate(row) if value]
    if not inside:
        return None
    xs, ys = zip(*inside, strict=True)
    return min(xs), min(ys), 1 + max(xs), 1 + max(ys)


def _with_projections(mask):
    if not mask.any():
        return None
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


@pytest.mark.parametrize("answer", [_with_loops, _with_projections])
def test_box_of_mask_written_otherwise_passes(answer):
    assert judge(BOX_OF_MASK, answer).outcome is Outcome.PASS


def _moved(*by):
    def box_of_mask(mask):
        box = _with_loops(mask)
        return None if box is None else [corner + step for corner, step in zip(box, by, strict=True)]

    return box_of_mask


@pytest.mark.parametrize(
    "mutant, outcome, words",
    [
        (_moved(1, 1, 0, 0), Outcome.WRONG, "it gives `[2, 2, 3, 3]`, expected is `[1, 1, 3, 3]`"),
        (_moved(-1, -1, 0, 0), Outcome.WRONG, "it gives"),
        (_moved(0, 0, -1, 0), Outcome.WRONG, "it gives"),  # one side only
        (lambda mask: (0, 0, *mask.shape[::-1]) if mask.any() else None, Outcome.WRONG, "it gives"),
        (lambda mask: _with_loops(~mask), Outcome.WRONG, "it gives"),
        (lambda mask: _with_loops(mask)[:2] if mask.any() else None, Outcome.WRONG, "a tuple of 2 numbers"),
        (lambda mask: mask.fill(False) or (0, 0, 1, 1), Outcome.WRONG, "Work on a copy"),
        (lambda mask: mask.bounds(), Outcome.ERROR, "AttributeError"),
    ],
)
def test_mutants_of_box_of_mask(mutant, outcome, words):
    verdict = judge(BOX_OF_MASK, mutant)
    assert verdict.outcome is outcome and words in verdict.message and _no_slip_named(verdict)


# --- class_scores -----------------------------------------------------------------------------------------------


def test_reference_of_class_scores_on_paper():
    scores = CLASS_SCORES.reference([[1, 0, 2], [0, 3, 1]], [[1, -1, 0.5], [-1, 1, 0]], [-1, 0])
    assert scores.tolist() == [[1, -1], [-3.5, 3]]
    assert CLASS_SCORES.reference([[2, 3]], [[10, 100]], [1]).tolist() == [[321]]


def _sum_by_sum(features, weights, biases):
    return [
        [
            sum(f * w for f, w in zip(region, row, strict=True)) + bias
            for row, bias in zip(weights, biases, strict=True)
        ]
        for region in features
    ]


def _with_einsum(features, weights, biases):
    return np.einsum("nd,kd->nk", features, weights).astype(np.float32) + biases[None]


@pytest.mark.parametrize("answer", [_sum_by_sum, _with_einsum])
def test_class_scores_written_otherwise_pass(answer):
    assert judge(CLASS_SCORES, answer).outcome is Outcome.PASS


def _constant_inside_the_loop(features, weights, biases):
    """The constant is added once for every feature."""
    scores = np.zeros((len(features), len(weights)))
    for n, region in enumerate(features):
        for k, row in enumerate(weights):
            for feature, weight in zip(region, row, strict=True):
                scores[n, k] += feature * weight + biases[k]
    return scores


@pytest.mark.parametrize(
    "mutant, outcome",
    [
        (_constant_inside_the_loop, Outcome.WRONG),
        (lambda features, weights, biases: (features @ weights.T + biases).argmax(axis=1), Outcome.WRONG),
        (lambda features, weights, biases: np.maximum(features @ weights.T + biases, 0), Outcome.WRONG),
        (lambda features, weights, biases: features @ weights.T + biases.sum(), Outcome.WRONG),
        (lambda features, weights, biases: features @ weights.T * biases, Outcome.WRONG),
        (lambda features, weights, biases: (features @ weights.T + biases)[0], Outcome.WRONG),
        (lambda features, weights, biases: features @ weights.T + biases[len(features)], Outcome.ERROR),
    ],
)
def test_mutants_of_class_scores(mutant, outcome):
    verdict = judge(CLASS_SCORES, mutant)
    assert verdict.outcome is outcome and _no_slip_named(verdict)


def test_all_arrays_of_class_scores_have_one_type():
    """PyTorch refuses to multiply whole numbers with real ones; that is not what is asked here."""
    for case in CLASS_SCORES.cases(np.random.default_rng(0)):
        assert {array.dtype for array in case} == {np.dtype(np.float64)}
