"""Exercises of notebook 09: a unit's place, what it sees of a picture, its best regions, the lift of a class."""

from types import SimpleNamespace

import numpy as np

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Exercise, Slip, difference
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.nms import nms, nms_per_class
from rcnn_helpers.units.index import UnitIndex
from rcnn_helpers.units.selectivity import class_selectivity

_SUPPRESS = 0.1  # IoU, within a picture
# Pictures are enlarged so much before their windows are rounded to whole pixels; then the rounding does not show.
_FINE = 2.0**20


def _index(shape, **others) -> UnitIndex:
    """An index of units of some layer, made by hand."""
    n_units = int(np.prod(shape))
    empty = {
        "network_name": "by hand",
        "fingerprint": "",
        "layer": "pool5",
        "shape": tuple(shape),
        "nms_iou": _SUPPRESS,
        "mode": "warp",
        "padding": 0,
        "input_size": 227,
        "image_ids": (),
        "n_regions": 0,
        "inputs": "",
        "values": np.zeros((n_units, 1), np.float32),
        "image_index": np.full((n_units, 1), -1, np.int32),
        "boxes": np.zeros((n_units, 1, 4), np.float32),
        "sums": np.zeros((n_units, 2)),
        "counts": np.zeros(n_units, np.int64),
        "spans": np.zeros((max(shape[1:]), 2), np.int64),
    }
    return UnitIndex(**empty | others)


# --- the place of a unit ----------------------------------------------------------------------------------------


def _place_reference(number, rows, columns):
    return _index((number // (rows * columns) + 1, rows, columns)).place(number)


def _place_cases(rng):
    by_hand = [(375, 6, 6), (100, 6, 6), (0, 6, 6), (35, 6, 6), (36, 6, 6), (47, 4, 3), (7, 1, 1)]
    sides = rng.integers(2, 14, size=(20, 2))
    return by_hand + [(int(rng.integers(0, 40 * r * c)), int(r), int(c)) for r, c in sides]


PLACE_OF_UNIT = Exercise(
    name="place_of_unit",
    title="From a unit's number to its place",
    notebook="09",
    difficulty=1,
    minutes=5,
    reference=_place_reference,
    cases=_place_cases,
    slips=(
        Slip(
            lambda number, rows, columns: (
                number // (rows * columns),
                number % columns,
                number % (rows * columns) // columns,
            ),
            "Row and column are swapped. Two units side by side in a row have consecutive numbers, so the column "
            "is what is left at the very end.",
        ),
        Slip(
            lambda number, rows, columns: (
                number // (rows * columns),
                number % (rows * columns) // rows,
                number % (rows * columns) % rows,
            ),
            "You divide by the number of rows. A row is as long as there are *columns*. (On a square map it makes "
            "no difference.)",
        ),
        Slip(
            lambda number, rows, columns: (number // (rows * columns), number // columns, number % columns),
            "Your row goes on counting through all channels. Take the channel's part away first.",
        ),
        Slip(
            lambda number, rows, columns: (number // 36, number % 36 // 6, number % 6),
            "You reckon with 6 x 6 cells whatever the map. `rows` and `columns` say how many there are.",
        ),
        Slip(
            lambda number, rows, columns: (
                number % (number // (rows * columns) + 1),
                number // (number // (rows * columns) + 1) // columns,
                number // (number // (rows * columns) + 1) % columns,
            ),
            "You let the channel run fastest. In pool5 all cells of channel 0 come first, then those of the next.",
        ),
        Slip(
            lambda number, rows, columns: tuple(part + 1 for part in _place_reference(number, rows, columns)),
            "You count from 1. Channels, rows and columns begin at 0: unit 0 is at (0, 0, 0).",
        ),
    ),
    hints=(
        "A channel has `rows * columns` cells. How many whole channels fit into `number`, and what is left over?",
        "`divmod(a, b)` gives both, whole times and rest. Use it twice: for the channel, then for the row.",
        "`channel, rest = divmod(number, rows * columns)`, and `row, column = divmod(rest, columns)`.",
    ),
)

# --- what it sees, in the picture -------------------------------------------------------------------------------


def _field_reference(box, field, size, padding):
    x1, y1, x2, y2 = field
    index = _index((1, 2, 2), input_size=size, padding=padding, spans=np.array([[y1, y2], [x1, x2]]))
    return index.fields(index.unit(0, 0, 1), [np.multiply(box, _FINE)])[0] / _FINE


def _field_cases(rng):
    by_hand = [
        ([100, 60, 139, 138], [32, 0, 227, 195], 227, 16),
        ([10, 20, 18, 36], [0, 0, 10, 10], 10, 1),  # a field of the whole crop: the window
        ([10, 20, 18, 36], [1, 1, 9, 9], 10, 1),  # just the box
        ([10, 20, 20, 30], [2, 4, 7, 8], 10, 0),  # one pixel of the crop is one of the picture
        ([0, 0, 80, 40], [0, 0, 5, 5], 10, 1),  # begins outside the picture
    ]
    return by_hand + [_field_case(rng) for _ in range(20)]


def _field_case(rng):
    size = int(rng.choice([100, 224, 227]))
    corner, sides = rng.integers(0, 200, size=2), rng.integers(20, 150, size=2)
    start, length = rng.integers(0, size // 2, size=2), rng.integers(size // 5, size // 2, size=2)
    box, field = np.concatenate([corner, corner + sides]), np.concatenate([start, start + length])
    return box.tolist(), field.tolist(), size, int(rng.integers(4, size // 6))


def _mapped(box, field, size, padding, *, begins=None, pixel=None):
    """The field in the picture by other rules: where the crop begins in it, and how large a crop's pixel is."""
    box, inner = np.asarray(box, float), size - 2 * padding
    sides = box[2:] - box[:2]
    begins = box[:2] - padding * sides / inner if begins is None else begins(box, sides, inner)
    pixel = sides / inner if pixel is None else pixel(sides, inner)
    return np.tile(begins, 2) + np.asarray(field, float) * np.tile(pixel, 2)


def _box_itself(box, sides, inner):
    return box[:2]


def _draw_field(arguments, answer, expected):
    box, field, size, padding = arguments
    window = _mapped(box, [0, 0, size, size], size, padding)
    boxes = [box, window, answer, expected]
    return sketch(boxes, ["region", "crop", "yours", ""], ["detection", "proposal", "fp", "truth"]), (
        "The region (solid), what its crop shows (dashed, around it), your field and that of the reference "
        "(dotted)."
    )


FIELD_IN_IMAGE = Exercise(
    name="field_in_image",
    title="What a unit sees of a picture",
    notebook="09",
    difficulty=2,
    minutes=15,
    reference=_field_reference,
    cases=_field_cases,
    slips=(
        Slip(
            lambda box, field, size, padding: _mapped(
                box, field, size, padding, begins=_box_itself, pixel=lambda sides, inner: sides / size
            ),
            "You map the crop onto the region alone. The crop shows more: `padding` pixels of context on every "
            "side.",
        ),
        Slip(
            lambda box, field, size, padding: _mapped(box, field, size, padding, begins=_box_itself),
            "Your pixels have the right size, but pixel 0 of the crop is not the region's corner. It lies "
            "`padding` pixels of the crop before it.",
        ),
        Slip(
            lambda box, field, size, padding: _mapped(
                box, field, size, padding, pixel=lambda sides, inner: sides / size
            ),
            "The region does not fill the whole crop, only its inner `size - 2 * padding` pixels. So a pixel of "
            "the crop stands for more of the picture than you say.",
        ),
        Slip(
            lambda box, field, size, padding: _mapped(
                box, field, size, padding, begins=lambda box, sides, inner: box[:2] - padding
            ),
            "The context is counted in pixels of the *crop*. In the picture it is `padding` times the size of "
            "such a pixel.",
        ),
        Slip(
            lambda box, field, size, padding: _mapped(
                box, field, size, padding, pixel=lambda sides, inner: sides[::-1] / inner
            ),
            "Width and height are swapped: how wide a pixel of the crop is depends on the region's *width*.",
        ),
        Slip(
            lambda box, field, size, padding: _mapped(
                box, field, size, padding, begins=lambda box, sides, inner: 0 * sides
            ),
            "Your field is measured from the crop's corner. Where in the picture is that corner?",
        ),
        Slip(
            lambda box, field, size, padding: _cut_off(_field_reference(box, field, size, padding), box),
            "You cut the field off at the region. The network sees the context, too, so a unit may look beyond "
            "the region.",
        ),
        Slip(
            lambda box, field, size, padding: np.maximum(_field_reference(box, field, size, padding), 0),
            "You cut the field off at the border of the picture. Leave it; who draws it may cut.",
        ),
    ),
    hints=(
        "Two questions: how large is a pixel of the crop in the picture, sideways and downwards? And where in the "
        "picture does the crop's pixel (0, 0) lie?",
        "The region fills the inner `size - 2 * padding` pixels. So a pixel of the crop is "
        "`(x2 - x1) / (size - 2 * padding)` wide, and the crop begins `padding` such pixels left of `x1`.",
        "Then every corner of the field is `begin + corner * pixel`, with its own `begin` and `pixel` for x and "
        "for y.",
    ),
    draw=_draw_field,
)


def _cut_off(field, box):
    return np.clip(field, [*box[:2], *box[:2]], [*box[2:], *box[2:]])


# --- the best regions -------------------------------------------------------------------------------------------


def _best_reference(pictures, k):
    found = []
    for number, (boxes, values) in enumerate(pictures):
        if len(boxes):
            column = np.asarray(values, np.float32)[:, None]
            kept, _ = nms_per_class(boxes, column, score_threshold=0, iou_threshold=_SUPPRESS)
            found += [(number, int(region)) for region in kept]
    order = np.argsort([-pictures[number][1][region] for number, region in found], kind="stable")
    return [found[place] for place in order[:k]]


def _best_cases(rng):
    wheel = [[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10]]
    by_hand = [
        # Suppressed: region 1 of picture 0, which overlaps region 0 by 9/11.
        ([(wheel, [0.9, 0.8, 0.3]), (wheel[:1], [0.5])], 3),
        ([(wheel, [0.9, 0.8, 0.3]), (wheel[:1], [0.5])], 2),
        # The same box in two pictures: both count.
        ([(wheel[:1], [0.7]), (wheel[:1], [0.6])], 5),
        # A unit that says 0 says nothing.
        ([(wheel, [0.0, 0.4, 0.0]), (wheel, [0.0, 0.0, 0.0])], 4),
        # IoU 2/20 = 0.1: not greater.
        ([([[0, 0, 10, 11], [0, 9, 10, 20]], [0.9, 0.8])], 4),
        ([([], []), (wheel, [0.2, 0.3, 0.4])], 4),
        ([], 3),
    ]
    return by_hand + [_album(rng) for _ in range(20)]


def _album(rng):
    """A few pictures with regions in clumps; no two values are equal unless they are 0."""
    n_pictures = int(rng.integers(2, 5))
    sizes = rng.integers(3, 8, size=n_pictures)
    levels = rng.permutation(sizes.sum() + 10)[: sizes.sum()] / 100 + 0.01
    levels[rng.random(len(levels)) < 0.2] = 0
    pictures, used = [], 0
    for n in sizes:
        pictures.append((_clumps(rng, n).tolist(), levels[used : used + n].tolist()))
        used += n
    return pictures, int(rng.integers(2, 9))


def _clumps(rng, n):
    """Boxes about a few places, no two of which overlap by just the IoU that suppresses."""
    while True:
        places = rng.integers(0, 60, size=(3, 2))
        corner = places[rng.integers(0, 3, size=n)] + rng.integers(0, 14, size=(n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(12, 28, size=(n, 2))], axis=1)
        if np.abs(iou(boxes, boxes) - _SUPPRESS).min() > 1e-3:
            return boxes


def _same_regions(answer, expected):
    """As for any array, but no regions at all are none in whatever shape."""
    if len(expected) == 0 and hasattr(answer, "__len__") and len(answer) == 0:
        return None
    return difference(answer, expected)


def _best(pictures, k, *, threshold=_SUPPRESS, above=0.0, first=None):
    """The rule, with parts to be got wrong: what suppresses, which values count, how many of a picture compete."""
    found = []
    for number, (boxes, values) in enumerate(pictures):
        if not len(boxes):
            continue
        kept = range(len(boxes)) if threshold is None else nms(boxes, values, iou_threshold=threshold)
        candidates = [(values[region], number, int(region)) for region in kept if values[region] > above]
        found += sorted(candidates, key=lambda each: -each[0])[:first]
    return [each[1:] for each in sorted(found, key=lambda each: -each[0])[:k]]


def _suppressed_too_late(pictures, k):
    """The k best of all, and of those what suppression leaves."""
    best = _best(pictures, k, threshold=None)
    kept = []
    for number, region in best:
        box = pictures[number][0][region]
        others = [pictures[n][0][r] for n, r in kept if n == number]
        if not others or iou([box], others).max() <= _SUPPRESS:
            kept.append((number, region))
    return kept


def _suppressed_across(pictures, k):
    """As if all regions lay in one picture."""
    places = [(n, r) for n, (boxes, _) in enumerate(pictures) for r in range(len(boxes))]
    if not places:
        return []
    boxes = [pictures[n][0][r] for n, r in places]
    values = [pictures[n][1][r] for n, r in places]
    kept = [i for i in nms(boxes, values, iou_threshold=_SUPPRESS) if values[i] > 0]
    return [places[i] for i in kept[:k]]


def _draw_best(arguments, answer, expected):
    pictures, k = arguments
    yours, wanted = ({tuple(map(int, place)) for place in places} for places in (answer, expected))
    number, _ = sorted(yours ^ wanted or wanted)[0]
    boxes, values = pictures[number]
    labels = [f"{region}: {value:.2f}" for region, value in enumerate(values)]
    styles = [
        "tp" if (number, region) in wanted else "fp" if (number, region) in yours else "proposal"
        for region in range(len(boxes))
    ]
    return sketch(boxes, labels, styles), (
        f"Picture {number} with the numbers of its regions and their values: solid those that belong to the best "
        f"{k}, dashed those that only your answer holds."
    )


BEST_REGIONS = Exercise(
    name="best_regions",
    title="The regions that excite a unit most",
    notebook="09",
    difficulty=3,
    minutes=20,
    reference=_best_reference,
    cases=_best_cases,
    same=_same_regions,
    slips=(
        Slip(
            lambda pictures, k: _best(pictures, k, threshold=None),
            "You do not suppress anything, so that one wheel fills the list with boxes shifted by a few pixels.",
        ),
        Slip(
            _suppressed_too_late,
            "You take the `k` best first and suppress among those. Then fewer than `k` are left, although good "
            "ones wait further down. Suppress first.",
        ),
        Slip(
            _suppressed_across,
            "You suppress across pictures: two boxes at the same place of *different* pictures show different "
            "things. Suppress within each picture.",
        ),
        Slip(
            lambda pictures, k: _best(pictures, k, above=-1.0),
            "Your list holds regions with the value 0. A unit that says 0 is not excited; leave those out, even "
            "if the list becomes shorter.",
        ),
        Slip(
            lambda pictures, k: _best(pictures, k, threshold=0.3),
            "You suppress at an IoU of 0.3, the detector's. The explorer of units uses 0.1.",
        ),
        Slip(
            lambda pictures, k: [
                place for n in range(len(pictures)) for place in _numbered(n, _best([pictures[n]], k))
            ],
            "You give the `k` best of *each* picture. Asked for are the best `k` of all, in one list.",
        ),
        Slip(
            lambda pictures, k: _best(pictures, k, first=1),
            "You keep one region of each picture. A picture may have two wheels; suppression sees to the rest.",
        ),
        Slip(
            lambda pictures, k: _best(pictures, k)[::-1],
            "Your list begins with the weakest. The best comes first.",
        ),
    ),
    hints=(
        "First each picture on its own: which of its regions survive suppression, and which of those have a value "
        "above 0? Only then all pictures together.",
        "`nms(boxes, values, iou_threshold=0.1)` gives the numbers of a picture's survivors. Collect "
        "`(value, picture, region)` for them. Beware of pictures without regions.",
        "`found.sort(key=lambda each: -each[0])`, then the first `k` without their values.",
    ),
    draw=_draw_best,
)


def _numbered(number, places):
    return [(number, region) for _, region in places]


# --- the lift of a class ----------------------------------------------------------------------------------------


def _lift_reference(top, random, name):
    """`class_selectivity` of one unit, in one picture: its regions side by side, each on an object or on none."""
    shown = [*top, *random]
    lefts = 20.0 * np.arange(len(shown))
    boxes = np.stack([lefts, 0 * lefts, lefts + 10, 0 * lefts + 10], axis=1).astype(np.float32)
    is_object = np.array([each is not None for each in shown])
    objects = SimpleNamespace(names=[each for each in shown if each is not None], boxes=boxes[is_object])
    index = _index(
        (1, 1, 1),
        image_ids=("picture",),
        values=np.linspace(1, 0.5, len(top), dtype=np.float32)[None],
        image_index=np.zeros((1, len(top)), np.int32),
        boxes=boxes[None, : len(top)],
    )
    measured = class_selectivity(
        index,
        SimpleNamespace(annotation=lambda image_id: objects),
        k=len(top),
        proposals={"picture": boxes[len(top) :]},
        n_random=len(random),
    )
    found = measured.loc[measured["class"] == name, "lift"]
    return float(found.iloc[0]) if len(found) else 0.0


def _lift_cases(rng):
    by_hand = [
        (["car", "car", "bus", None], ["car", "cat", None, None, None, "bus", "cat", None], "car"),
        (["car", "car"], ["car", "car"], "car"),
        (["car", None], ["car", "car", None], "bus"),  # never
        (["car", "car", None, None], ["cat", None, None], "car"),  # no random region shows one
    ]
    return by_hand + [_named_regions(rng) for _ in range(20)]


def _named_regions(rng):
    pool = np.array(["car", "cat", "bus", "none"])
    share = rng.dirichlet([2, 1, 1, 2])
    top = rng.choice(pool, size=int(rng.integers(6, 25)), p=share)
    random = rng.choice(pool, size=int(rng.integers(10, 60)), p=[0.1, 0.15, 0.1, 0.65])
    return *([None if each == "none" else str(each) for each in part] for part in (top, random)), "car"


def _share(names, name):
    return sum(each == name for each in names) / len(names)


def _lift(top, random, name, *, least=None):
    """The rule, with a part to be got wrong: what the base rate is at least."""
    least = 1 / (len(random) + 1) if least is None else least
    return _share(top, name) / max(_share(random, name), least)


LIFT_OF_CLASS = Exercise(
    name="lift_of_class",
    title="Does it like cars, or are there just many?",
    notebook="09",
    difficulty=1,
    minutes=10,
    reference=_lift_reference,
    cases=_lift_cases,
    slips=(
        Slip(
            lambda top, random, name: _share(top, name),
            "That is the share of the top regions alone. Divide it by the share that random regions have: the "
            "base rate.",
        ),
        Slip(
            lambda top, random, name: _share(top, name) - _share(random, name),
            "You subtract the base rate. A lift is a *ratio*: how many times as often.",
        ),
        Slip(
            lambda top, random, name: (
                sum(each == name for each in top) / max(1, sum(each == name for each in random))
            ),
            "You divide counts. There are more random regions than top ones; compare *shares*.",
        ),
        Slip(
            lambda top, random, name: _lift(
                [each for each in top if each is not None] or [None],
                [each for each in random if each is not None] or [None],
                name,
                least=1 / (len(random) + 1),
            ),
            "You leave out the regions that show no object. They count, in both lists: most of a picture shows "
            "nothing.",
        ),
        Slip(
            lambda top, random, name: _lift(random, top, name),
            "Your ratio is upside down: the share among the top regions, over the share among random ones.",
        ),
        Slip(
            lambda top, random, name: _lift(top, random, name, least=1e-9),
            "If no random region shows the class, you divide by (nearly) 0, and the lift is as large as you like. "
            "Nobody knows but that the next one would show it: take 1 in `len(random) + 1` at least.",
        ),
        Slip(
            lambda top, random, name: _share(top, name) / _share(random, name),
            "If no random region shows the class, you divide by 0. Take 1 in `len(random) + 1` as base rate then.",
        ),
    ),
    hints=(
        "Two shares: how many of `top` are `name`, and how many of `random`? Compare like with like.",
        "`sum(each == name for each in top) / len(top)`, and the same for `random`. Divide one by the other.",
        "What if the second share is 0? `base = max(base, 1 / (len(random) + 1))`.",
    ),
)

EXERCISES = (PLACE_OF_UNIT, FIELD_IN_IMAGE, BEST_REGIONS, LIFT_OF_CLASS)
