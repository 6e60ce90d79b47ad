"""The exercises of notebook 09: pinned by hand, other right answers pass, other wrong ones do not."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.pool5_units import (
    BEST_REGIONS,
    FIELD_IN_IMAGE,
    LIFT_OF_CLASS,
    PLACE_OF_UNIT,
)

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "rows", "columns", "place"),
    [
        (375, 6, 6, (10, 2, 3)),  # 360 + 12 + 3
        (100, 6, 6, (2, 4, 4)),  # 72 + 24 + 4
        (9215, 6, 6, (255, 5, 5)),  # the last of the paper's pool5
        (47, 4, 3, (3, 3, 2)),  # 36 + 9 + 2
        (7, 1, 1, (7, 0, 0)),
    ],
)
def test_place_by_hand(number, rows, columns, place):
    assert PLACE_OF_UNIT.reference(number, rows, columns) == place


@pytest.mark.parametrize(
    ("box", "field", "size", "padding", "seen"),
    [
        # 39/195 = 0.2 and 78/195 = 0.4 pixels; the crop begins at 96.8 and 53.6
        ([100, 60, 139, 138], [32, 0, 227, 195], 227, 16, [103.2, 53.6, 142.2, 131.6]),
        # 8 x 16 pixels fill the inner 8 x 8: pixels of 1 x 2, and one of them around the region
        ([10, 20, 18, 36], [0, 0, 10, 10], 10, 1, [9, 18, 19, 38]),
        ([10, 20, 18, 36], [1, 1, 9, 9], 10, 1, [10, 20, 18, 36]),
        ([0, 0, 80, 40], [0, 0, 5, 5], 10, 1, [-10, -5, 40, 20]),
        ([10, 20, 20, 30], [2, 4, 7, 8], 10, 0, [12, 24, 17, 28]),
    ],
)
def test_field_by_hand(box, field, size, padding, seen):
    assert_allclose(FIELD_IN_IMAGE.reference(box, field, size, padding), seen, atol=1e-4)


WHEELS = [[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10]]


@pytest.mark.parametrize(
    ("pictures", "k", "best"),
    [
        ([(WHEELS, [0.9, 0.8, 0.3]), (WHEELS[:1], [0.5])], 3, [(0, 0), (1, 0), (0, 2)]),
        ([(WHEELS, [0.9, 0.8, 0.3]), (WHEELS[:1], [0.5])], 1, [(0, 0)]),
        ([(WHEELS, [0.8, 0.9, 0.3])], 9, [(0, 1), (0, 2)]),
        ([(WHEELS, [0.0, 0.4, 0.0]), (WHEELS, [0.0, 0.0, 0.0])], 4, [(0, 1)]),
        ([([[0, 0, 10, 11], [0, 9, 10, 20]], [0.9, 0.8])], 4, [(0, 0), (0, 1)]),  # IoU 20/200
        ([([[0, 0, 10, 12], [0, 9, 10, 20]], [0.9, 0.8])], 4, [(0, 0)]),  # IoU 30/200
        ([([], [])], 4, []),
        ([], 4, []),
    ],
)
def test_best_regions_by_hand(pictures, k, best):
    assert BEST_REGIONS.reference(pictures, k) == best


@pytest.mark.parametrize(
    ("top", "random", "lift"),
    [
        (["car", "car", "bus", None], ["car", None, None, None, None, "bus", None, None], 4),
        (
            ["car", "car", "bus", None],
            ["bus", None, None, None, None, "bus", None, None],
            4.5,
        ),  # 1/2 over 1/9
        (["bus", None], ["car", "car", None], 0),
        (["car", "car"], ["car", "car", "car"], 1),
        (["car", None, None, None], ["car", "car", None, None], 0.5),
    ],
)
def test_lift_by_hand(top, random, lift):
    assert_allclose(LIFT_OF_CLASS.reference(top, random, "car"), lift, rtol=1e-6)


def test_no_random_case_of_the_best_regions_hangs_on_rounding():
    for seed in range(10):
        for pictures, _ in BEST_REGIONS.cases(np.random.default_rng(seed))[7:]:
            for boxes, _ in pictures:
                overlaps = iou(boxes, boxes)
                assert (np.abs(overlaps - 0.1) > 1e-6).all()
            values = [value for _, values in pictures for value in values if value > 0]
            assert len(set(values)) == len(values)


# --- Other right answers ------------------------------------------------------------------------------------


def place_by_numpy(number, rows, columns):
    return [int(part) for part in np.unravel_index(number, (number + 1, rows, columns))]


def place_by_counting(number, rows, columns):
    channel = row = 0
    while number >= rows * columns:
        number, channel = number - rows * columns, channel + 1
    while number >= columns:
        number, row = number - columns, row + 1
    return np.array([channel, row, number])


def field_by_shares(box, field, size, padding):
    """By the share of the crop's inner part, as float32."""
    box, field = np.array(box, float), np.array(field, float)
    share = (field - padding) / (size - 2 * padding)
    low, side = np.tile(box[:2], 2), np.tile(box[2:] - box[:2], 2)
    return (low + share * side).astype(np.float32)


def field_in_fractions(box, field, size, padding):
    x1, y1, x2, y2 = box
    lows, sides = [x1, y1, x1, y1], [x2 - x1, y2 - y1] * 2
    return [
        float(low + Fraction(side * (f - padding), size - 2 * padding))
        for low, side, f in zip(lows, sides, field, strict=True)
    ]


def best_by_walking(pictures, k):
    """All regions of all pictures from the best down, dropping those that overlap a kept one of their picture."""
    found = [(v, p, r) for p, (_, values) in enumerate(pictures) for r, v in enumerate(values) if v > 0]
    kept = []
    for _, picture, region in sorted(found, reverse=True):
        box = pictures[picture][0][region]
        others = [pictures[p][0][r] for p, r in kept if p == picture]
        if all(iou([box], [other])[0, 0] <= 0.1 for other in others):
            kept.append([picture, region])
    return kept[:k]


def best_as_arrays(pictures, k):
    return np.array(best_by_walking(pictures, k), dtype=np.int64).reshape(-1, 2)


def lift_by_numpy(top, random, name):
    shares = [np.mean(np.array(names, dtype=object) == name) for names in (top, random)]
    return np.float32(shares[0] / max(shares[1], 1 / (1 + len(random))))


def lift_in_fractions(top, random, name):
    base = Fraction(random.count(name), len(random)) or Fraction(1, len(random) + 1)
    return float(Fraction(top.count(name), len(top)) / base)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (PLACE_OF_UNIT, place_by_numpy),
        (PLACE_OF_UNIT, place_by_counting),
        (FIELD_IN_IMAGE, field_by_shares),
        (FIELD_IN_IMAGE, field_in_fractions),
        (BEST_REGIONS, best_by_walking),
        (BEST_REGIONS, best_as_arrays),
        (LIFT_OF_CLASS, lift_by_numpy),
        (LIFT_OF_CLASS, lift_in_fractions),
    ],
)
def test_other_right_answers_pass(exercise, answer):
    verdict = judge(exercise, answer)
    assert verdict.outcome is Outcome.PASS, verdict.message


# --- Other wrong answers ------------------------------------------------------------------------------------


def place_in_another_order(number, rows, columns):
    return place_by_numpy(number, rows, columns)[::-1]


def place_without_the_rest(number, rows, columns):
    channel, row, _ = place_by_numpy(number, rows, columns)
    return channel, row, number


def place_in_fractions(number, rows, columns):
    return number / (rows * columns), number / columns, number % columns


def field_rounded(box, field, size, padding):
    return np.rint(field_by_shares(box, field, size, padding))


def field_as_width_and_height(box, field, size, padding):
    x1, y1, x2, y2 = field_by_shares(box, field, size, padding)
    return x1, y1, x2 - x1, y2 - y1


def field_with_padding_on_one_side(box, field, size, padding):
    return field_in_fractions(box, field, size + padding, padding)


def field_of_the_box_as_corner_and_sides(box, field, size, padding):
    x, y, width, height = box
    return field_by_shares([x, y, x + width, y + height], field, size, padding)


def best_with_values(pictures, k):
    return [(p, r, pictures[p][1][r]) for p, r in best_by_walking(pictures, k)]


def best_unsuppressed_below(pictures, k):
    """Suppress what overlaps by less than 0.1."""
    found = [(v, p, r) for p, (_, values) in enumerate(pictures) for r, v in enumerate(values) if v > 0]
    kept = []
    for _, picture, region in sorted(found, reverse=True):
        others = [pictures[p][0][r] for p, r in kept if p == picture]
        if all(iou([pictures[picture][0][region]], [other])[0, 0] > 0.1 for other in others):
            kept.append((picture, region))
    return kept[:k]


def best_sorted_by_place(pictures, k):
    return sorted(best_by_walking(pictures, k))


def best_with_touching_suppressed(pictures, k):
    found = [(v, p, r) for p, (_, values) in enumerate(pictures) for r, v in enumerate(values) if v > 0]
    kept = []
    for _, picture, region in sorted(found, reverse=True):
        others = [pictures[p][0][r] for p, r in kept if p == picture]
        if all(iou([pictures[picture][0][region]], [other])[0, 0] < 0.1 for other in others):
            kept.append((picture, region))
    return kept[:k]


def lift_with_one_more(top, random, name):
    """A Laplace estimate of the base rate, whether any was seen or not."""
    return top.count(name) / len(top) * (len(random) + 1) / (random.count(name) + 1)


def lift_in_bits(top, random, name):
    return np.log2(lift_by_numpy(top, random, name) + 1e-9)


def lift_among_the_same(top, random, name):
    return top.count(name) / len(top) / max(random.count(name) / len(top), 1 / (len(random) + 1))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (PLACE_OF_UNIT, place_in_another_order),
        (PLACE_OF_UNIT, place_without_the_rest),
        (PLACE_OF_UNIT, place_in_fractions),
        (FIELD_IN_IMAGE, field_rounded),
        (FIELD_IN_IMAGE, field_as_width_and_height),
        (FIELD_IN_IMAGE, field_with_padding_on_one_side),
        (FIELD_IN_IMAGE, field_of_the_box_as_corner_and_sides),
        (BEST_REGIONS, best_with_values),
        (BEST_REGIONS, best_unsuppressed_below),
        (BEST_REGIONS, best_sorted_by_place),
        (BEST_REGIONS, best_with_touching_suppressed),
        (LIFT_OF_CLASS, lift_with_one_more),
        (LIFT_OF_CLASS, lift_in_bits),
        (LIFT_OF_CLASS, lift_among_the_same),
    ],
)
def test_other_wrong_answers_do_not_pass(exercise, answer):
    verdict = judge(exercise, answer)
    assert verdict.outcome is Outcome.WRONG
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)
    assert verdict.function is exercise.reference


def test_the_drawings_show_what_differs():
    for exercise, answer in ((FIELD_IN_IMAGE, field_rounded), (BEST_REGIONS, best_sorted_by_place)):
        verdict = judge(exercise, answer)
        assert verdict.picture.shape == (480, 640, 3) and verdict.alt
        assert len(np.unique(verdict.picture)) > 2
