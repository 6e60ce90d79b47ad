"""Geometry against hand-computed cases and against counting pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import boxes

SIDE = 12  # images in these tests are SIDE x SIDE, small enough to count pixels


@st.composite
def pixel_boxes(draw, low=0, high=SIDE, max_count=5):
    """Float32 [N, 4] boxes with whole coordinates between `low` and `high`, some of them without area."""
    coordinate = st.integers(low, high)
    corners = draw(st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=max_count))
    return boxes.as_boxes([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners])


def pixels(box) -> np.ndarray:
    """The pixels a box covers, as a mask."""
    x1, y1, x2, y2 = (int(v) for v in box)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_iou_of_hand_computed_cases():
    a = [[0, 0, 10, 10]]
    b = [
        [0, 0, 10, 10],  # the same
        [5, 0, 15, 10],  # 50 shared of 150
        [0, 0, 5, 5],  # 25 inside 100
        [10, 0, 20, 10],  # touching edges share nothing
        [3, 3, 3, 8],  # without area
        [50, 50, 60, 60],  # far away
        [8, 8, 18, 28],  # 4 shared of 296
    ]
    expected = [1, 1 / 3, 0.25, 0, 0, 0, 4 / 296]
    np.testing.assert_allclose(boxes.iou(a, b), [expected], rtol=1e-6)


def test_iou_of_two_boxes_without_area_is_zero():
    assert boxes.iou([[3, 3, 3, 3]], [[3, 3, 3, 3]]).tolist() == [[0.0]]


def test_iou_with_no_boxes_has_an_empty_side():
    assert boxes.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert boxes.iou([[0, 0, 1, 1]], []).shape == (1, 0)


def test_iou_near_half_is_exact_enough_to_be_matched():
    # 100 x 100 against 100 x 50 within: exactly a half, the threshold of VOC.
    assert boxes.iou([[0, 0, 100, 100]], [[0, 0, 100, 50]])[0, 0] == 0.5


@given(pixel_boxes(), pixel_boxes())
def test_iou_counts_pixels(a, b):
    expected = np.zeros((len(a), len(b)), dtype=np.float32)
    for i, j in np.ndindex(*expected.shape):
        union = (pixels(a[i]) | pixels(b[j])).sum()
        if union:
            expected[i, j] = (pixels(a[i]) & pixels(b[j])).sum() / union
    np.testing.assert_allclose(boxes.iou(a, b), expected, rtol=1e-6)


@given(pixel_boxes(), pixel_boxes())
def test_iou_is_symmetric_bounded_and_survives_mirroring(a, b):
    overlap = boxes.iou(a, b)
    assert overlap.dtype == np.float32
    assert ((overlap >= 0) & (overlap <= 1)).all()
    np.testing.assert_array_equal(overlap, boxes.iou(b, a).T)
    np.testing.assert_array_equal(overlap, boxes.iou(boxes.flip(a, SIDE), boxes.flip(b, SIDE)))


@given(pixel_boxes())
def test_area_counts_pixels(a):
    assert boxes.area(a).tolist() == [pixels(box).sum() for box in a]


@given(pixel_boxes(low=-5, high=SIDE + 5))
def test_clip_keeps_what_lies_inside(a):
    clipped = boxes.clip(a, SIDE, SIDE)
    assert (clipped >= 0).all() and (clipped <= SIDE).all()
    np.testing.assert_array_equal(boxes.area(clipped), boxes.intersection(a, [[0, 0, SIDE, SIDE]])[:, 0])
    np.testing.assert_array_equal(boxes.clip(clipped, SIDE, SIDE), clipped)


def test_clip_takes_height_before_width():
    assert boxes.clip([[-3, -4, 100, 100]], 20, 30).tolist() == [[0, 0, 30, 20]]


def test_flip_of_a_hand_computed_box():
    assert boxes.flip([[1, 2, 4, 8]], 10).tolist() == [[6, 2, 9, 8]]


@given(pixel_boxes())
def test_flip_moves_the_pixels_and_twice_is_nothing(a):
    mirrored = boxes.flip(a, SIDE)
    for box, twin in zip(a, mirrored, strict=True):
        np.testing.assert_array_equal(pixels(box)[:, ::-1], pixels(twin))
    np.testing.assert_array_equal(boxes.flip(mirrored, SIDE), a)


def test_voc_box_of_one_pixel_has_area_one():
    # VOC counts from 1 and includes the last pixel: the first pixel of an image is (1, 1, 1, 1).
    assert boxes.from_voc([[1, 1, 1, 1]]).tolist() == [[0, 0, 1, 1]]
    assert boxes.from_voc([48, 240, 195, 371]).tolist() == [[47, 239, 195, 371]]


@given(pixel_boxes(low=-5, high=3000))
def test_voc_conversion_is_undone_by_its_inverse(a):
    np.testing.assert_array_equal(boxes.from_voc(boxes.to_voc(a)), a)


def test_xywh():
    assert boxes.from_xywh([[10, 20, 3, 4]]).tolist() == [[10, 20, 13, 24]]


def test_unique_keeps_the_first_of_each_in_order():
    given_boxes = [[5, 5, 6, 6], [0, 0, 1, 1], [5, 5, 6, 6], [2, 2, 3, 3], [0, 0, 1, 1]]
    assert boxes.unique(given_boxes).tolist() == [[5, 5, 6, 6], [0, 0, 1, 1], [2, 2, 3, 3]]
    assert boxes.unique([]).shape == (0, 4)


@given(pixel_boxes(high=3, max_count=20))
def test_unique_does_what_a_dictionary_does(a):
    expected = list(dict.fromkeys(tuple(box) for box in a.tolist()))
    assert [tuple(box) for box in boxes.unique(a).tolist()] == expected


def test_as_boxes_accepts_lists_and_nothing():
    assert boxes.as_boxes([[1, 2, 3, 4]]).dtype == np.float32
    assert boxes.as_boxes([]).shape == (0, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([1, 2, 3, 4], "wrap a single box"),
        ([[1, 2, 3]], r"\[1, 3\]"),
        ([[0, 0, 1, 1], [5, 0, 3, 1]], "box 1 .*from_xywh"),
        ([[0, 9, 1, 1]], "box 0"),
        ([[0, 0, np.nan, 1]], "NaN"),
        ([[0, 0, np.inf, 1]], "infinity"),
    ],
)
def test_as_boxes_names_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        boxes.as_boxes(wrong)


def test_inputs_are_left_as_they_were():
    original = np.array([[-2, 1, 50, 8]], dtype=np.float32)
    kept = original.copy()
    for change in (lambda b: boxes.clip(b, 5, 5), lambda b: boxes.flip(b, 9), boxes.from_voc, boxes.unique):
        change(original)
        np.testing.assert_array_equal(original, kept)
