"""Exercises of notebook 00: overlap, boxes and scores."""

import numpy as np

from rcnn_helpers import boxes
from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.drawing import draw_boxes, tint

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


def _around(box, other):
    return [min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3])]


def _draw_iou(arguments, answer, expected):
    picture = sketch(arguments, ["box", "other"], ["detection", "fp"])
    alt = "The two boxes, `box` solid and `other` dashed"
    return picture, f"{alt}: your IoU is {answer:.3f}, the reference's {expected:.3f}."


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
            "Boxes that lie apart share nothing, but your overlap is not 0 for them: a side of the overlap "
            "is negative there, or two negative sides make a positive product. Let no side go below 0.",
        ),
        Slip(
            lambda box, other: _iou_of(_overlap(box, other, gap=1), box, other, gap=1),
            "You seem to count `x2 - x1 + 1` pixels. Boxes here are half-open: `x2` is the first column "
            "*behind* the box, and its width is `x2 - x1`.",
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
            "You divide by the smaller box. A small box inside a large one would then be a perfect match; "
            "divide by the area of the *union*.",
        ),
        Slip(
            lambda box, other: _overlap(box, other) / _area(_around(box, other)),
            "You divide by the box around both. That holds pixels of neither; the union is the pixels that lie in "
            "at least one: both areas, minus what they share.",
        ),
        Slip(
            _overlap,
            "That is the *number* of shared pixels. Divide it by the number of pixels that the two cover "
            "together.",
        ),
    ),
    hints=(
        "Where does the overlap begin on the left: at the smaller or at the larger of the two `x1`?",
        "The overlap runs from `max(box[0], other[0])` to `min(box[2], other[2])`. Its width is the "
        "difference, but never below 0. The height goes the same way.",
        "The union is both areas together, minus what they share, which was counted twice.",
    ),
    draw=_draw_iou,
)

# --- The box of a mask ------------------------------------------------------------------------------------------


def _box_of_mask_reference(mask):
    from rcnn_helpers.datasets.toyvoc.truth import mask_boxes

    found, n_pixels = mask_boxes(np.asarray(mask, dtype=np.int32), 1)
    return found[0].tolist() if n_pixels[0] else None


def _box_of_mask_cases(rng):
    by_hand = [
        np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], dtype=bool),
        np.array([[0, 0, 0], [0, 0, 1]], dtype=bool),  # one pixel is 1 x 1, and here in the corner
        np.zeros((2, 3), dtype=bool),
        np.ones((2, 3), dtype=bool),
        np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=bool),  # the first pixel is not leftmost
    ]
    random = []
    for _ in range(20):
        mask = np.zeros(rng.integers(3, 12, 2), dtype=bool)
        rows, columns = np.sort(rng.integers(0, mask.shape, (2, 2)), axis=0).T
        inside = mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
        inside[:] = rng.random(inside.shape) < 0.4
        random.append(mask)
    return [(mask,) for mask in by_hand + random]


def _first_and_last(mask):
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max(), ys.max()] if len(xs) else None


def _tight(mask):
    inside = _first_and_last(mask)
    return None if inside is None else [inside[0], inside[1], inside[2] + 1, inside[3] + 1]


def _tight_unless_empty(mask):
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def _rows_for_columns(mask):
    return _tight(np.transpose(mask))


def _as_xywh(mask):
    box = _tight(mask)
    return None if box is None else [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _corners_in_reading_order(mask):
    ys, xs = np.nonzero(mask)
    return [xs[0], ys[0], xs[-1] + 1, ys[-1] + 1] if len(xs) else None


def _draw_box_of_mask(arguments, answer, expected):
    (mask,) = arguments
    side = 400 // max(mask.shape)
    canvas = np.full((480, 640, 3), 245, np.uint8)
    pixels = np.zeros((480, 640), dtype=bool)
    enlarged = np.kron(mask, np.ones((side, side), dtype=bool))
    pixels[40 : 40 + len(enlarged), 40 : 40 + enlarged.shape[1]] = enlarged
    canvas[40 : 40 + len(enlarged), 40 : 40 + enlarged.shape[1]] = 220
    found = [(answer, "yours", "fp"), (expected, "expected", "best")]
    shown = [entry for entry in found if entry[0] is not None]
    corners = [np.asarray(box, dtype=np.float32) * side + 40 for box, _, _ in shown]
    picture = draw_boxes(
        tint(canvas, pixels, "grey", strength=1),
        corners,
        [name for _, name, _ in shown],
        [style for _, _, style in shown],
    )
    yours = answer if answer is None else np.round(answer, 2).tolist()
    return picture, f"The mask's pixels in grey; your box (red, dashed) is {yours}, expected is {expected}."


BOX_OF_MASK = Exercise(
    name="box_of_mask",
    title="The box of a region",
    notebook="00",
    difficulty=1,
    minutes=8,
    reference=_box_of_mask_reference,
    cases=_box_of_mask_cases,
    slips=(
        Slip(
            _first_and_last,
            "Your box ends *at* the last pixel, so it is a column and a row too small. Boxes are half-open: "
            "`x2` and `y2` are the first column and row *behind* the region, one more than the last one "
            "inside.",
        ),
        Slip(
            _tight_unless_empty,
            "A mask without a single True pixel has no smallest row: numpy raises an error there. Return "
            "`None` for it before you look.",
        ),
        Slip(
            lambda mask: _tight(mask) or [0, 0, 0, 0],
            "An empty mask has no box at all. Return `None` for it: (0, 0, 0, 0) would be a place.",
        ),
        Slip(
            _rows_for_columns,
            "You have x and y exchanged. The first axis of an array counts rows, which is y; columns are x.",
        ),
        Slip(
            _as_xywh,
            "You return (x, y, width, height). A box is two corners, (x1, y1, x2, y2).",
        ),
        Slip(
            _corners_in_reading_order,
            "You take the first and the last True pixel in reading order. The first is the topmost, but "
            "perhaps not the leftmost: take the smallest and the largest of each axis.",
        ),
    ),
    hints=(
        "`ys, xs = np.nonzero(mask)` gives the rows and the columns of all True pixels, rows first.",
        "Left edge: the smallest x. Right edge: the largest x, and then one further, as boxes are half-open. "
        "What does your code do when there is no True pixel?",
        "After `if len(xs) == 0: return None`, the four numbers are the `min` and the `max() + 1` of `xs` "
        "and `ys`, in the order x1, y1, x2, y2.",
    ),
    draw=_draw_box_of_mask,
)

# --- Scores of regions ------------------------------------------------------------------------------------------


def _class_scores_reference(features, weights, biases):
    from rcnn_helpers.svm import LinearSVMs

    svms = LinearSVMs()
    svms.coef_ = np.asarray(weights, dtype=np.float32)
    svms.intercept_ = np.asarray(biases, dtype=np.float32)
    return svms.decision_function(features)


def _class_scores_cases(rng):
    by_hand = [
        ([[1, 0, 2], [0, 3, 1]], [[1, -1, 0.5], [-1, 1, 0]], [-1, 0]),  # the notebook's
        ([[1, 2], [3, 4]], [[1, 10], [2, 20]], [100, 500]),  # as many regions as features as classes
        ([[1, 2, 3]], [[1, 0, 0], [0, 0, 1]], [0, 5]),  # a single region
        ([[1, 2], [3, 4], [5, 6]], [[1, 1]], [-7]),  # a single class
    ]
    random = []
    for _ in range(16):
        n_regions, n_classes, n_features = (int(n) for n in rng.integers(1, 7, 3))
        features = rng.integers(0, 6, (n_regions, n_features))  # after a rectifier none is negative
        weights, biases = rng.normal(size=(n_classes, n_features)), rng.normal(size=n_classes) - 1
        random.append((features, weights.round(1), biases.round(1)))
    return [tuple(np.asarray(array, dtype=np.float64) for array in case) for case in by_hand + random]


def _softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


CLASS_SCORES = Exercise(
    name="class_scores",
    title="Scores of all regions for all classes",
    notebook="00",
    difficulty=2,
    minutes=8,
    reference=_class_scores_reference,
    cases=_class_scores_cases,
    slips=(
        Slip(
            lambda features, weights, biases: features @ weights.T,
            "The constants are missing. Each class adds its own entry of `biases` to its scores.",
        ),
        Slip(
            lambda features, weights, biases: (features @ weights.T + biases).T,
            "Your scores lie on their side: you have a row for each *class*. Each region needs a row, and "
            "each class a column.",
        ),
        Slip(
            lambda features, weights, biases: features @ weights.T + biases[:, None],
            "You add `biases` along the wrong axis, one constant for each region. They belong to the "
            "classes, that is to the columns.",
        ),
        Slip(
            lambda features, weights, biases: features @ weights + biases,
            "You multiply by `weights` as they are. They have a row for each class; the product needs the "
            "features of both factors next to each other, so one of the two must be transposed.",
        ),
        Slip(
            lambda features, weights, biases: features @ weights.T + biases[0],
            "You add the first class's constant to every class. Each has its own.",
        ),
        Slip(
            lambda features, weights, biases: features @ weights.T - biases,
            "You subtract the constants. They are to be added.",
        ),
        Slip(
            lambda features, weights, biases: _softmax(features @ weights.T + biases),
            "You turn scores into shares that sum to 1. Each SVM answers for itself: several classes may "
            "have a positive score, or none.",
        ),
    ),
    hints=(
        "Write the shapes down: `features` [N, D], `weights` [K, D], and the result [N, K]. Which product "
        "of two matrices has this shape?",
        "`A @ B` multiplies along A's columns and B's rows. The features are columns in both arrays, so one "
        "must be turned: `weights.T`.",
        "`features @ weights.T` has a column for each class. Adding an array of K numbers adds one of them "
        "to each column.",
    ),
)

EXERCISES = (IOU, BOX_OF_MASK, CLASS_SCORES)
