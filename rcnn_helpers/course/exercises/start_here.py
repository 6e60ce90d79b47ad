"""Exercises of notebook 00: overlap, boxes and scores."""

import numpy as np

from rcnn_helpers import boxes
from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.drawing import draw_boxes

# --- IoU of two boxes -------------------------------------------------------------------------------------------


def _iou_reference(box, other):
    return float(boxes.iou([box], [other])[0, 0])


def _iou_cases(rng):
    by_hand = [
        ([0, 0, 10, 10], [0, 0, 10, 10]),
        ([0, 0, 10, 10], [5, 0, 15, 10]),
        ([0, 0, 10, 10], [20, 20, 30, 30]),
        ([0, 0, 10, 10], [10, 0, 20, 10]),  # they touch and share nothing
        ([0, 0, 20, 10], [5, 2, 10, 8]),  # one inside the other
        ([0, 30, 10, 40], [20, 0, 30, 10]),  # apart both ways: two negative sides have a positive product
    ]
    corners = rng.integers(0, 40, size=(20, 2, 2))
    sides = rng.integers(1, 30, size=(20, 2, 2))
    random = np.concatenate([corners, corners + sides], axis=-1)
    return by_hand + [tuple(pair.tolist()) for pair in random]


def _overlap(box, other, *, gap=0.0, clip=True):
    width = min(box[2], other[2]) - max(box[0], other[0]) + gap
    height = min(box[3], other[3]) - max(box[1], other[1]) + gap
    return max(width, 0) * max(height, 0) if clip else width * height


def _area(box, gap=0.0):
    return (box[2] - box[0] + gap) * (box[3] - box[1] + gap)


def _iou_of(shared, box, other, gap=0.0):
    return shared / (_area(box, gap) + _area(other, gap) - shared)


def _iou_of_xywh(box, other):
    as_corners = [[x, y, x + w, y + h] for x, y, w, h in (box, other)]
    return _iou_reference(*as_corners)


def _draw_iou(arguments, answer, expected):
    box, other = np.asarray(arguments, dtype=np.float32) * 8 + 40
    canvas = np.full((480, 640, 3), 245, np.uint8)
    picture = draw_boxes(canvas, [box, other], ["first", "second"], ["truth", "detection"])
    return picture, f"The two boxes: your IoU is {answer:.3f}, the reference's {expected:.3f}."


IOU = Exercise(
    name="iou",
    title="Intersection over union",
    notebook="00",
    difficulty=1,
    minutes=10,
    reference=_iou_reference,
    cases=_iou_cases,
    slips=(
        Slip(
            lambda box, other: _iou_of(_overlap(box, other, clip=False), box, other),
            "Boxes that lie apart share nothing, but your overlap is not 0 for them: a side of the overlap is "
            "negative there, or two negative sides make a positive product. Let no side go below 0.",
        ),
        Slip(
            lambda box, other: _iou_of(_overlap(box, other, gap=1), box, other, gap=1),
            "You seem to count `x2 - x1 + 1` pixels. Boxes here are half-open: `x2` is the first column *behind* "
            "the box, and its width is `x2 - x1`.",
        ),
        Slip(
            _iou_of_xywh,
            "You read the boxes as (x, y, width, height). They are (x1, y1, x2, y2): two corners.",
        ),
        Slip(
            lambda box, other: _overlap(box, other) / (_area(box) + _area(other)),
            "The shared pixels are counted twice below the line: each box's area holds them.",
        ),
        Slip(
            lambda box, other: _overlap(box, other) / min(_area(box), _area(other)),
            "You divide by the smaller box. A small box inside a large one would then be a perfect match; divide "
            "by the area of the *union*.",
        ),
    ),
    hints=(
        "Where does the overlap begin on the left: at the smaller or at the larger of the two `x1`?",
        "The overlap runs from `max(box[0], other[0])` to `min(box[2], other[2])`. Its width is the difference, "
        "but never below 0. The height goes the same way.",
        "The union is both areas together, minus what they share, which was counted twice.",
    ),
    draw=_draw_iou,
)

EXERCISES = (IOU,)
