"""The exercises of notebook 02: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.warping import BILINEAR, CONTEXT_BOX, TIGHTEST_SQUARE

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "arguments", "value"),
    [
        (CONTEXT_BOX, ([100, 60, 139, 138], 227, 16), [96.8, 53.6, 142.2, 144.4]),
        (CONTEXT_BOX, ([0, 0, 8, 8], 10, 1), [-1, -1, 9, 9]),
        (CONTEXT_BOX, ([20, 30, 60, 40], 10, 0), [20, 30, 60, 40]),
        (TIGHTEST_SQUARE, ([10, 20, 50, 40],), [10, 10, 50, 50]),
        (TIGHTEST_SQUARE, ([0, 0, 30, 10],), [0, -10, 30, 20]),
        (TIGHTEST_SQUARE, ([5, 5, 8, 6],), [5, 4, 8, 7]),
        (BILINEAR, (np.array([[0.0, 10.0], [20.0, 40.0]]), 0.5, 0.5), 0),
        (BILINEAR, (np.array([[0.0, 10.0], [20.0, 40.0]]), 1.0, 0.5), 5),
        (BILINEAR, (np.array([[0.0, 10.0], [20.0, 40.0]]), 1.0, 1.0), 17.5),
        # three quarters of the way down, a quarter to the right: 0.25 (0.75 * 0 + 0.25 * 10) + 0.75 (20 + 5)
        (BILINEAR, (np.array([[0.0, 10.0], [20.0, 40.0]]), 0.75, 1.25), 19.375),
        (BILINEAR, (np.array([[3.0, 10.0], [20.0, 40.0]]), 0.1, 0.2), 3),
        (BILINEAR, (np.array([[3.0, 10.0], [20.0, 40.0]]), 2.0, 2.0), 40),
    ],
)
def test_references_by_hand(exercise, arguments, value):
    assert_allclose(exercise.reference(*arguments), value, atol=1e-9)


# --- Other right answers ------------------------------------------------------------------------------------


def context_by_corners(box, size, padding):
    """Crop pixels to picture pixels by a straight line: the crop's corners are its ends."""
    ends = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        a_pixel = (high - low) / (size - 2 * padding)
        ends.append((low + (0 - padding) * a_pixel, low + (size - padding) * a_pixel))
    (x1, x2), (y1, y2) = ends
    return np.float32([x1, y1, x2, y2])


def square_by_padding(box):
    x1, y1, x2, y2 = box
    lack = (x2 - x1) - (y2 - y1)
    across, down = max(-lack, 0) / 2, max(lack, 0) / 2
    return x1 - across, y1 - down, x2 + across, y2 + down


def bilinear_by_tents(image, x, y):
    """Every pixel of an image with a repeated border, weighed by a tent around its centre."""
    padded = np.pad(image, 1, mode="edge")
    rows = np.maximum(1 - np.abs(np.arange(padded.shape[0]) - 0.5 - y), 0)
    columns = np.maximum(1 - np.abs(np.arange(padded.shape[1]) - 0.5 - x), 0)
    return np.float32(rows @ padded @ columns)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (CONTEXT_BOX, context_by_corners),
        (CONTEXT_BOX, lambda box, size, padding: tuple(context_by_corners(box, size, padding))),
        (TIGHTEST_SQUARE, square_by_padding),
        (BILINEAR, bilinear_by_tents),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text


# --- Wrong answers that no slip names -----------------------------------------------------------------------


def context_with_integer_centre(box, size, padding):
    x1, y1, x2, y2 = box
    scale = size / (size - 2 * padding)
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    w, h = (x2 - x1) * scale / 2, (y2 - y1) * scale / 2
    return [x - w, y - h, x + w, y + h]


def bilinear_along_rows_only(image, x, y):
    height, width = image.shape
    row = min(int(y), height - 1)
    return float(np.interp(x, np.arange(width) + 0.5, image[row]))


MUTANTS = [
    (CONTEXT_BOX, context_with_integer_centre, Outcome.WRONG),
    # the box's last pixel counted in
    (
        CONTEXT_BOX,
        lambda b, s, p: context_by_corners([b[0], b[1], b[2] - 1, b[3] - 1], s, p),
        Outcome.WRONG,
    ),
    (CONTEXT_BOX, lambda b, s, p: context_by_corners(b, 227, p), Outcome.WRONG),  # any size is 227
    (CONTEXT_BOX, lambda b, s, p: context_by_corners(b, s, 16), Outcome.WRONG),  # any padding is 16
    (CONTEXT_BOX, lambda b, s, p: context_by_corners(b, s, p)[[0, 2, 1, 3]], Outcome.WRONG),  # x1, x2, y1, y2
    (CONTEXT_BOX, lambda b, s, p: [b.x1, b.y1, b.x2, b.y2], Outcome.ERROR),
    (TIGHTEST_SQUARE, lambda box: square_by_padding(box)[:2], Outcome.WRONG),  # a corner only
    (TIGHTEST_SQUARE, lambda b: square_by_padding([b[1], b[0], b[3], b[2]]), Outcome.WRONG),
    # only wide boxes were thought of
    (TIGHTEST_SQUARE, lambda b: square_by_padding(b) if b[2] - b[0] > b[3] - b[1] else b, Outcome.WRONG),
    (TIGHTEST_SQUARE, lambda box: list(box), Outcome.WRONG),
    (BILINEAR, bilinear_along_rows_only, Outcome.WRONG),
    (BILINEAR, lambda image, x, y: bilinear_by_tents(image, x, y) + 0.01, Outcome.WRONG),
    (BILINEAR, lambda image, x, y: bilinear_by_tents(image, x - 0.5, y - 0.5), Outcome.WRONG),
    (BILINEAR, lambda image, x, y: image[y, x], Outcome.ERROR),  # real numbers are no indices
]


@pytest.mark.parametrize(("exercise", "mutant", "outcome"), MUTANTS)
def test_mutants_are_caught(exercise, mutant, outcome):
    verdict = judge(exercise, mutant)
    assert verdict.outcome is outcome, verdict.text
    assert not any(slip.message in verdict.message for slip in exercise.slips)


@pytest.mark.parametrize("exercise", [CONTEXT_BOX, TIGHTEST_SQUARE])
def test_a_wrong_box_is_drawn(exercise):
    verdict = judge(exercise, lambda box, *rest: [0, 0, 1, 1])
    assert verdict.outcome is Outcome.WRONG
    assert verdict.picture.shape == (480, 640, 3)
    assert "yours [0.0, 0.0, 1.0, 1.0]" in verdict.alt


@pytest.mark.parametrize("exercise", [CONTEXT_BOX, TIGHTEST_SQUARE, BILINEAR])
@pytest.mark.parametrize("seed", [0, 1])
def test_slips_are_told_apart(exercise, seed):
    for slip in exercise.slips:
        verdict = judge(exercise, slip.wrong, seed=seed)
        assert verdict.outcome is Outcome.WRONG
        assert verdict.message.startswith(slip.message), verdict.message
