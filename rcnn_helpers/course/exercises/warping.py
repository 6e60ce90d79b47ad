"""Exercises of notebook 02: what a crop shows, the tightest square, and a value between pixels."""

import math

import numpy as np

from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.warping import context_boxes, interpolate

# --- The box with its context -----------------------------------------------------------------------------------


def _context_reference(box, size, padding):
    return context_boxes([box], size=size, padding=padding)[0]


def _context_cases(rng):
    by_hand = [
        ([100, 60, 139, 138], 227, 16),  # of the notebook: 3.2 and 6.4 pixels of context
        (
            [0, 0, 8, 8],
            10,
            1,
        ),  # 8 pixels fill the inner 8: one pixel of context, part of it outside the picture
        ([20, 30, 60, 40], 10, 0),  # no padding: the box itself
        ([0, 60, 39, 138], 227, 16),  # at the left border
    ]
    sizes = rng.choice([32, 100, 224, 227], size=20)
    paddings = [int(rng.integers(1, size // 4)) for size in sizes]
    boxes = _random_boxes(rng, 20)
    return by_hand + [(box, int(s), p) for box, s, p in zip(boxes, sizes, paddings, strict=True)]


def _random_boxes(rng, n):
    corners, sides = rng.integers(0, 200, size=(n, 2)), rng.integers(4, 150, size=(n, 2))
    return np.concatenate([corners, corners + sides], axis=1).tolist()


def _grown(box, across, down):
    """A box made larger by so much to each side."""
    x1, y1, x2, y2 = box
    return [x1 - across, y1 - down, x2 + across, y2 + down]


def _margins(box, size, padding):
    inner = size - 2 * padding
    return padding * (box[2] - box[0]) / inner, padding * (box[3] - box[1]) / inner


def _grown_about_its_corner(box, size, padding):
    x1, y1, x2, y2 = box
    scale = size / (size - 2 * padding)
    return [x1, y1, x1 + (x2 - x1) * scale, y1 + (y2 - y1) * scale]


def _same_margin_everywhere(box, size, padding):
    margin = max(_margins(box, size, padding))
    return _grown(box, margin, margin)


def _draw_context(arguments, answer, expected):
    box, answer, expected = (np.asarray(b, dtype=np.float64) for b in (arguments[0], answer, expected))
    return _draw_two(box, answer, expected, "what the crop shows")


def _draw_two(box, answer, expected, what):
    """A box, and where an answer and the reference put another one."""
    picture = sketch([box, answer, expected], ["box", "yours", "reference"], ["truth", "fp", "tp"])
    rounded = [np.round(b, 1).tolist() for b in (answer, expected)]
    return picture, f"The box (dotted), and {what}: yours {rounded[0]} (dashed), the reference {rounded[1]}."


CONTEXT_BOX = Exercise(
    name="context_box",
    title="What a crop shows",
    notebook="02",
    difficulty=2,
    minutes=15,
    reference=_context_reference,
    cases=_context_cases,
    slips=(
        Slip(
            lambda box, size, padding: _grown(box, padding, padding),
            "You add the padding in pixels of the *picture*. It is counted in the *crop*, where the box has been "
            "stretched: first ask how many pixels of the crop one pixel of the box becomes.",
        ),
        Slip(
            lambda box, size, padding: _grown(
                box, padding * (box[2] - box[0]) / size, padding * (box[3] - box[1]) / size
            ),
            "Your box grows by (S + 2p) / S. The *crop* has S pixels; the box gets the inner S - 2p of them.",
        ),
        Slip(
            _grown_about_its_corner,
            "Your box grows to the right and downwards only. It must grow about its centre: by the same on the "
            "left as on the right.",
        ),
        Slip(
            lambda box, size, padding: _grown(box, *(2 * margin for margin in _margins(box, size, padding))),
            "You add to each side what the box should gain on both sides together: twice too much.",
        ),
        Slip(
            lambda box, size, padding: _grown(box, *reversed(_margins(box, size, padding))),
            "Width and height are swapped: the context on the left and right depends on the box's *width*.",
        ),
        Slip(
            _same_margin_everywhere,
            "You take the same context on all four sides. The box is stretched differently sideways and "
            "downwards, so the context is different too.",
        ),
        Slip(
            lambda box, size, padding: [max(v, 0) for v in _context_reference(box, size, padding)],
            "You cut the box off at the border of the picture. Do not: what lies outside still takes its place in "
            "the crop, and is filled there.",
        ),
        Slip(
            lambda box, size, padding: np.rint(_context_reference(box, size, padding)),
            "Your numbers are rounded. Leave them real: rounding comes afterwards, and in its own way.",
        ),
        Slip(
            lambda box, size, padding: _grown(
                box, padding * box[2] / (size - 2 * padding), padding * box[3] / (size - 2 * padding)
            ),
            "You take `box[2]` and `box[3]` for width and height. A box is (x1, y1, x2, y2): two corners.",
        ),
    ),
    hints=(
        "The box fills the inner `size - 2 * padding` pixels of the crop. How many pixels of the crop is one "
        "pixel of the box, sideways? And downwards?",
        "Sideways the box is stretched by `(size - 2 * padding) / width`. So `padding` pixels of the crop are "
        "`padding * width / (size - 2 * padding)` pixels of the picture. They go to the left *and* to the right.",
        "With `across` and `down` for the two margins, the answer is "
        "`[x1 - across, y1 - down, x2 + across, y2 + down]`. Neither rounded nor cut off.",
    ),
    draw=_draw_context,
)

# --- The tightest square ----------------------------------------------------------------------------------------


def _square_reference(box):
    return context_boxes([box], mode="square_context", padding=0)[0]


def _square_cases(rng):
    by_hand = [
        ([10, 20, 50, 40],),  # twice as wide as high
        ([100, 60, 139, 138],),
        ([30, 30, 60, 60],),  # a square already
        ([0, 0, 30, 10],),  # it leaves the picture above
        ([5, 5, 8, 6],),  # its centre lies between pixels
    ]
    return by_hand + [(box,) for box in _random_boxes(rng, 20)]


def _square_of(box, side):
    middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    return [middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2]


def _sides(box):
    return box[2] - box[0], box[3] - box[1]


TIGHTEST_SQUARE = Exercise(
    name="tightest_square",
    title="The tightest square around a box",
    notebook="02",
    difficulty=1,
    minutes=10,
    reference=_square_reference,
    cases=_square_cases,
    slips=(
        Slip(
            lambda box: _square_of(box, min(_sides(box))),
            "Your square has the *shorter* side of the box and cuts off its ends. It must hold the whole box.",
        ),
        Slip(
            lambda box: [box[0], box[1], box[0] + max(_sides(box)), box[1] + max(_sides(box))],
            "Your square hangs at the top left corner of the box. Box and square share their *centre*.",
        ),
        Slip(
            lambda box: _square_of(box, 2 * max(_sides(box))),
            "Your square is twice too large: its side is the box's longer side, and half of that lies on each "
            "side of the centre.",
        ),
        Slip(
            lambda box: _square_of(box, math.sqrt(_sides(box)[0] * _sides(box)[1])),
            "Your square has the *area* of the box, and the box's ends stick out. It must hold the whole box.",
        ),
        Slip(
            lambda box: _square_of(box, math.hypot(*_sides(box))),
            "Your square has the box's diagonal for a side. The longer side is enough.",
        ),
        Slip(
            lambda box: [max(value, 0) for value in _square_reference(box)],
            "You cut the square off at the border of the picture. It may reach out: what lies there is filled.",
        ),
        Slip(
            lambda box: np.floor(_square_reference(box)),
            "Your numbers are rounded down, by `//` or `int`. A centre may lie between two pixels; divide by `/`.",
        ),
        Slip(
            lambda box: _square_of(box, max(box[2], box[3])),
            "You take `box[2]` and `box[3]` for width and height. A box is (x1, y1, x2, y2): two corners.",
        ),
    ),
    hints=(
        "How long must the square's side be at least, so that the box fits in both ways?",
        "The side is the longer of width and height. The centre is that of the box, `(x1 + x2) / 2` and "
        "`(y1 + y2) / 2`.",
    ),
    draw=lambda arguments, answer, expected: _draw_two(
        *(np.asarray(b, dtype=np.float64) for b in (arguments[0], answer, expected)), "the square"
    ),
)

# --- Between pixels ---------------------------------------------------------------------------------------------


def _bilinear_reference(image, x, y):
    height, width = image.shape
    column, row = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    return interpolate(interpolate(image, np.array([row]), axis=0), np.array([column]), axis=1)[0, 0]


def _bilinear_cases(rng):
    four = np.array([[0.0, 10.0], [20.0, 40.0]])
    slope = np.array([[0.0, 10.0, 30.0, 60.0], [100.0, 110.0, 130.0, 160.0]])
    by_hand = [
        (four, 0.5, 0.5),  # the centre of the first pixel
        (four, 1.0, 0.5),  # half way between two of them
        (four, 1.0, 1.0),  # in the middle of all four
        (four, 0.75, 1.25),
        (slope, 3.25, 1.5),
        (slope, 0.1, 0.2),  # before the first centre: the corner itself
        (slope, 4.0, 2.0),  # behind the last centre
        (slope, 2.0, 0.0),  # on the upper border
    ]
    random = []
    for _ in range(20):
        image = rng.integers(0, 256, size=rng.integers(2, 7, size=2)).astype(np.float64)
        height, width = image.shape
        at = [round(float(rng.uniform(0, side)), 2) for side in (width, height)]
        random.append((image, *at))
    return by_hand + random


def _between(image, x, y, *, half=0.5, outside="edge", weigh=lambda part: part):
    """Bilinear interpolation with the turns that go wrong as options."""
    across, down = x - half, y - half
    left, above = math.floor(across), math.floor(down)
    to_right, to_below = weigh(across - left), weigh(down - above)
    value = 0.0
    for row, row_weight in ((above, 1 - to_below), (above + 1, to_below)):
        for column, column_weight in ((left, 1 - to_right), (left + 1, to_right)):
            value += row_weight * column_weight * _pixel(image, row, column, outside)
    return value


def _pixel(image, row, column, outside):
    height, width = image.shape
    if outside == "wrap":
        return image[row % height, column % width]
    inside = 0 <= row < height and 0 <= column < width
    if outside == "zero" and not inside:
        return 0.0
    return image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]


def _nearest(image, x, y):
    return _pixel(image, math.floor(y), math.floor(x), "edge")


BILINEAR = Exercise(
    name="bilinear",
    title="A value between pixels",
    notebook="02",
    difficulty=3,
    minutes=20,
    reference=_bilinear_reference,
    cases=_bilinear_cases,
    slips=(
        Slip(
            lambda image, x, y: _between(image, x, y, half=0.0),
            "You look half a pixel too far right and below: the first pixel reaches from 0 to 1, so its centre, "
            "where its value holds, lies at 0.5. Subtract that first.",
        ),
        Slip(
            lambda image, x, y: _between(image.T, x, y),
            "x and y are swapped: an image is indexed `image[row, column]`, and the row belongs to *y*.",
        ),
        Slip(
            _nearest,
            "You return the one pixel that (x, y) lies in. Mix the four pixels whose centres are around it.",
        ),
        Slip(
            lambda image, x, y: _between(image, x, y, weigh=lambda part: 1 - part),
            "The weights are the wrong way round: the *nearer* a pixel's centre, the *more* it counts.",
        ),
        Slip(
            lambda image, x, y: _between(image, x, y, weigh=lambda part: 0.5),
            "You take the plain mean of four pixels. Each counts the more, the nearer its centre is.",
        ),
        Slip(
            lambda image, x, y: _between(image, x, y, outside="zero"),
            "Near the border you mix in zeros from outside the picture. Repeat the border's pixels there: no row "
            "or column goes below 0 or beyond the last.",
        ),
        Slip(
            lambda image, x, y: _between(image, x, y, outside="wrap"),
            "Near the border the opposite side of the picture shows through: index -1 is the *last* pixel in "
            "NumPy. Let no index go below 0 or beyond the last.",
        ),
    ),
    hints=(
        "On a scale where pixel 0 has its centre at 0, the point lies at `x - 0.5` and `y - 0.5`. Which two "
        "columns is it between? Which two rows?",
        "With `column = x - 0.5` and `left = floor(column)`, the right neighbour has the weight `column - left` "
        "and the left one the rest. Rows go the same way. The weight of a pixel is the product of its two.",
        "The border: bring `column` into 0 to `width - 1` and `row` into 0 to `height - 1` (`np.clip`) before "
        "anything else; and the right neighbour is `min(left + 1, width - 1)`.",
    ),
)

EXERCISES = (CONTEXT_BOX, TIGHTEST_SQUARE, BILINEAR)
