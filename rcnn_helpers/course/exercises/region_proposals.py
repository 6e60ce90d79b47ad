"""Exercises of notebook 01: joining pixels, joining regions, and what a set of boxes can find."""

from types import SimpleNamespace

import numpy as np

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Exercise, Slip, difference
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.proposals import graph_segmentation, selective_search
from rcnn_helpers.proposals.recall import recall_at

# --- May an edge join two regions? ------------------------------------------------------------------------------


def _may_join_reference(weight, internal_a, internal_b, size_a, size_b, k):
    """Lay the two regions out in a row of pixels, with the edge between them, and segment the row."""
    row_a = _row_of_one_region(internal_a, size_a)
    row_b = row_a[-1] + weight + _row_of_one_region(internal_b, size_b)
    row = np.concatenate([row_a, row_b])[None]
    segments = graph_segmentation.segment(row, scale=k, sigma=0, min_size=1)[0]
    for part in segments[:size_a], segments[size_a:]:
        if len(np.unique(part)) > 1:
            raise SettingsError(
                f"no such regions come about at k = {k:g}: edges of {internal_a:g} and {internal_b:g} are too "
                f"heavy to build regions of {size_a} and {size_b} pixels; take a larger k"
            )
    return bool(segments[0] == segments[-1])


def _row_of_one_region(internal, size):
    """Grey levels of two even halves, with one step of `internal` between them."""
    levels = np.zeros(size)
    levels[size // 2 :] = internal if size > 1 else 0
    return levels


def _may_join_cases(rng):
    by_hand = [
        (27, 2, 3, 3, 3, 150),  # the row of six pixels of the notebook
        (27, 2, 3, 3, 3, 20),
        (27, 2, 3, 3, 3, 75),  # just as heavy as the first region allows
        (27.5, 2, 3, 4, 4, 102),  # half grey levels, after a blur
        (5, 0, 0, 1, 1, 5),  # two single pixels: nothing lies inside them
        (9, 0, 4, 2, 60, 300),  # allowed are 150 and 9
        (12, 0, 8, 40, 4, 100),  # allowed are 2.5 and 33
        (12, 10, 2, 100, 8, 600),  # allowed are 16 and 77
        (30, 20, 2, 20, 4, 400),  # allowed are 40 and 102; 2 and 20 belong to different regions
    ]
    random = []
    while len(random) < 20:
        internal, size = rng.integers(0, 20, 2), rng.integers(2, 60, 2)
        k = int((internal * size).max() * rng.uniform(0.6, 2)) + int(rng.integers(1, 100))
        allowed = internal + k / size
        weight = max(int(internal.max()), round(allowed.min() * rng.uniform(0.5, 1.8)))
        if np.abs(weight - allowed).min() > 0.05 and weight < 200:  # no ties left to rounding
            random.append((weight, *internal.tolist(), *size.tolist(), k))
    return by_hand + random


MAY_JOIN = Exercise(
    name="may_join",
    title="May an edge join two regions?",
    notebook="01",
    difficulty=1,
    minutes=8,
    reference=_may_join_reference,
    cases=_may_join_cases,
    slips=(
        Slip(
            lambda w, ia, ib, na, nb, k: w <= max(ia + k / na, ib + k / nb),
            "You ask whether *one* of the regions accepts the edge. Both must: the stricter one decides.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w < min(ia + k / na, ib + k / nb),
            "An edge that is exactly as heavy as allowed still joins: the rule says ≤.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w <= min(ia, ib) + min(k / na, k / nb),
            "You take the smaller internal difference and the smaller `k / size` separately, perhaps from "
            "different regions. Add the two numbers of *one* region first, then take the smaller sum.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w <= min(ia, ib) + k / (na + nb),
            "You divide `k` by the size of both regions together. Each region's allowance depends on its "
            "own size.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w <= min(ia, ib) + k,
            "Your `k` is not divided by a size. The larger a region, the less it lets itself be talked "
            "into: `k / size`.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w <= min(k / na, k / nb),
            "You leave out what already lies inside the regions. A busy region accepts a heavier edge than "
            "an even one.",
        ),
        Slip(
            lambda w, ia, ib, na, nb, k: w >= min(ia + k / na, ib + k / nb),
            "It is the other way round: a *light* edge joins, a heavy one keeps the regions apart.",
        ),
    ),
    hints=(
        "What is the heaviest edge that region A alone would accept? Write it down as a number, and B's as "
        "well.",
        "A accepts edges up to `internal_a + k / size_a`. The edge must be light enough for A *and* for B.",
        "Compare `weight` with the `min` of the two sums, and let equality join.",
    ),
)

# --- One step of merging ----------------------------------------------------------------------------------------

_PARTS = ("pair", "size", "box", "histogram")


def _merge_step_reference(sizes, boxes, histograms, pairs):
    """The first merge of selective search with the similarity CSF."""
    sizes = np.asarray(sizes, dtype=np.int64)
    histograms = np.ascontiguousarray(histograms, dtype=np.float32)
    children, _, all_boxes, all_sizes = selective_search._merge_regions(
        sizes,
        np.asarray(boxes, dtype=np.int32),
        histograms,
        np.zeros((len(sizes), 0), dtype=np.float32),  # no texture
        np.asarray(pairs, dtype=np.int32),
        np.array([1, 0, 1, 1], dtype=np.float32) / np.float32(3),  # colour, texture, size, fill
        np.float32(sizes.sum()),
        np.float32(1),
    )
    a, b = children[0]
    merged = len(sizes)
    histogram = np.empty_like(histograms[a])
    selective_search._mix(histogram, histograms[a], histograms[b], np.float32(sizes[a] / all_sizes[merged]))
    return (int(a), int(b)), int(all_sizes[merged]), all_boxes[merged].tolist(), histogram.tolist()


def _merge_step_cases(rng):
    by_hand = [
        # A, B and C of the notebook
        (
            [24, 18, 18],
            [[0, 0, 4, 6], [4, 0, 10, 3], [4, 3, 10, 6]],
            [[0, 1], [1, 0], [0.5, 0.5]],
            [(0, 1), (0, 2), (1, 2)],
        ),
        # two regions of unequal size: whatever their similarity, they are joined
        ([30, 10], [[0, 0, 6, 5], [6, 0, 8, 5]], [[1, 0], [0.2, 0.8]], [(0, 1)]),
        # three in a row; the two ends are alike, but they do not touch
        (
            [20, 20, 20],
            [[0, 0, 4, 5], [4, 0, 8, 5], [8, 0, 12, 5]],
            [[1, 0, 0], [0, 0.4, 0.6], [0.9, 0.1, 0]],
            [(0, 1), (1, 2)],
        ),
        # an L around a block, beside a large even field of the L's colour
        (
            [22, 8, 70],
            [[0, 0, 6, 5], [2, 1, 6, 3], [6, 0, 20, 5]],
            [[0.7, 0.3], [0, 1], [0.9, 0.1]],
            [(0, 1), (0, 2), (1, 2)],
        ),
    ]
    random = []
    while len(random) < 18:
        case = _random_regions(rng)
        similarities = sorted(_similarity(*case[:3], i, j) for i, j in case[3])
        if len(similarities) > 1 and similarities[-1] - similarities[-2] > 0.01:  # no ties left to rounding
            random.append(case)
    return by_hand + random


def _random_regions(rng):
    """A picture of 12 x 9 pixels, each of which belongs to the nearest of a few points."""
    n = int(rng.integers(3, 7))
    points = rng.choice(12 * 9, n, replace=False)
    ys, xs = np.mgrid[:9, :12]
    distances = [(xs - point % 12) ** 2 + (ys - point // 12) ** 2 for point in points]
    owner = np.argmin(distances, axis=0).astype(np.int32)
    boxes = [
        [int(x) for x in (xs[mine].min(), ys[mine].min(), xs[mine].max() + 1, ys[mine].max() + 1)]
        for mine in (owner == region for region in range(n))
    ]
    histograms = rng.multinomial(20, rng.dirichlet(np.full(3, 0.7), n)) / 20
    pairs = [tuple(pair) for pair in selective_search.neighbour_pairs(owner).tolist()]
    return np.bincount(owner.ravel()).tolist(), boxes, histograms.tolist(), pairs


def _shared_colours(a, b):
    return np.minimum(a, b).sum()


def _around(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def _small(size_a, size_b, picture):
    return 1 - (size_a + size_b) / picture


def _filled(box_a, box_b, size_a, size_b, picture):
    return 1 - (_area(_around(box_a, box_b)) - size_a - size_b) / picture


def _similarity(sizes, boxes, histograms, i, j, *, colour=_shared_colours, small=_small, filled=_filled):
    picture = sum(sizes)
    return (
        colour(np.asarray(histograms[i]), np.asarray(histograms[j]))
        + small(sizes[i], sizes[j], picture)
        + filled(boxes[i], boxes[j], sizes[i], sizes[j], picture)
    ) / 3


def _weighted_mean(a, b, size_a, size_b):
    return (size_a * a + size_b * b) / (size_a + size_b)


def _all_pairs(n):
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def _merge_with(*, choose=max, neighbours_only=True, box=_around, mix=_weighted_mean, **terms):
    """A whole step in which single parts can be exchanged for wrong ones."""

    def merge_step(sizes, boxes, histograms, pairs):
        candidates = pairs if neighbours_only else _all_pairs(len(sizes))
        i, j = choose(candidates, key=lambda pair: _similarity(sizes, boxes, histograms, *pair, **terms))
        histogram = mix(np.asarray(histograms[i]), np.asarray(histograms[j]), sizes[i], sizes[j])
        return (i, j), sizes[i] + sizes[j], box(boxes[i], boxes[j]), histogram

    return merge_step


def _shared_box(a, b):
    return [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]


def _merge_differs(answer, expected):
    """Name the part that is wrong; the two numbers of the pair may come in any order."""
    if not isinstance(answer, tuple | list) or len(answer) != len(expected):
        return difference(answer, expected)
    for name, part, wanted in zip(_PARTS, answer, expected, strict=True):
        if name == "pair":
            part, wanted = _in_order(part), _in_order(wanted)
        problem = difference(part, wanted)
        if problem:
            return f"the {name} is wrong: {problem}"
    return None


def _in_order(pair):
    try:
        return sorted(pair)
    except (TypeError, ValueError):
        return pair


def _draw_merge_step(arguments, answer, expected):
    _, boxes, _, _ = arguments
    joined = ["yours: " + " + ".join(map(str, answer[0])), "expected: " + " + ".join(map(str, expected[0]))]
    labels = [*joined, *(f"region {i}" for i in range(len(boxes)))]
    styles = ["fp", "best", *["ignored"] * len(boxes)]
    alt = (
        f"The regions' boxes (grey, dotted), the box you return (red, dashed) and the reference's (green, solid). "
        f"You join {joined[0][7:]}, the reference joins {joined[1][10:]}."
    )
    return sketch([answer[2], expected[2], *boxes], labels, styles), alt


MERGE_STEP = Exercise(
    name="merge_step",
    title="One step of region merging",
    notebook="01",
    difficulty=3,
    minutes=25,
    reference=_merge_step_reference,
    cases=_merge_step_cases,
    slips=(
        Slip(
            _merge_with(choose=min),
            "You join the *least* similar pair. Similarity is large for regions that belong together.",
        ),
        Slip(
            _merge_with(neighbours_only=False),
            "You join regions that do not touch. Only the pairs in `pairs` are neighbours.",
        ),
        Slip(
            _merge_with(mix=lambda a, b, size_a, size_b: (a + b) / 2),
            "Your merged histogram is the plain mean. A region of 30 pixels must count three times as much "
            "as one of 10: weight the two histograms by the sizes.",
        ),
        Slip(
            _merge_with(mix=lambda a, b, size_a, size_b: a + b),
            "Your merged histogram sums to 2. It must sum to 1 again: it is a mean, weighted by the sizes.",
        ),
        Slip(
            _merge_with(box=_shared_box),
            "Your merged box is what the two boxes *share*, as for an IoU. It must go around both: the "
            "smaller of the two `x1`, the larger of the two `x2`.",
        ),
        Slip(
            _merge_with(small=lambda a, b, picture: (a + b) / picture),
            "Your size term is large for large regions. It is *1 minus* their share of the picture: small "
            "regions go first.",
        ),
        Slip(
            _merge_with(colour=lambda a, b: np.abs(a - b).sum()),
            "Your colour term measures how much the histograms *differ*. It is what they have in common: "
            "the sum over the bins of the smaller of the two values.",
        ),
        Slip(
            _merge_with(
                filled=lambda a, b, size_a, size_b, picture: (
                    1 - (_area(_around(a, b)) - _area(a) - _area(b)) / picture
                )
            ),
            "In your fill term you subtract the areas of the two *boxes*. A region need not fill its box: "
            "subtract the regions' pixels, `sizes`.",
        ),
    ),
    hints=(
        "Three parts: a number for every pair, the best pair, and the merged region. For the first, write a "
        "function inside yours: `def similarity(i, j):` that returns the mean of colour, size and fill. "
        "The table for A, B and C has its results.",
        "Colour: `np.minimum(histograms[i], histograms[j]).sum()`. Size: `1 - (sizes[i] + sizes[j]) / "
        "picture`. For fill, find the box around both first; you need it again for the merged region.",
        "`i, j = max(pairs, key=lambda pair: similarity(*pair))` is the best pair. The merged histogram is "
        "`(sizes[i] * a + sizes[j] * b) / (sizes[i] + sizes[j])`, where `a` and `b` are the two histograms "
        "as numpy arrays.",
    ),
    same=_merge_differs,
    draw=_draw_merge_step,
)

# --- Recall -----------------------------------------------------------------------------------------------------


def _recall_reference(objects, proposals, threshold):
    objects = np.asarray(objects, dtype=np.float32).reshape(-1, 4)
    truth = SimpleNamespace(
        boxes=objects, names=("object",) * len(objects), difficult=np.zeros(len(objects), dtype=bool)
    )
    picture = SimpleNamespace(classes=("object",), ids=("picture",), annotation=lambda image_id: truth)
    return recall_at({"picture": proposals}, picture, iou_threshold=threshold)


def _recall_cases(rng):
    two_objects = [[0, 0, 10, 10], [20, 0, 40, 10]]
    by_hand = [
        (two_objects, [[0, 0, 10, 8], [22, 0, 40, 10], [0, 0, 40, 10]], 0.5),
        (two_objects, [[0, 0, 10, 8], [22, 0, 40, 10], [0, 0, 40, 10]], 0.85),
        (two_objects, [[0, 0, 10, 5]], 0.5),  # an IoU of just 0.5 counts
        (two_objects, [], 0.5),
        ([[0, 0, 10, 10]], [[0, 0, 10, 9], [0, 0, 9, 10], [1, 0, 10, 10]], 0.5),  # three boxes on one object
        ([[0, 0, 10, 10], [1, 0, 11, 10]], [[0, 0, 10, 10], [50, 50, 60, 60]], 0.5),  # one box covers two
    ]
    random = []
    while len(random) < 18:
        objects = _random_boxes(rng, int(rng.integers(1, 5)))
        moved = objects[rng.integers(0, len(objects), 6)] + rng.integers(-6, 7, (6, 4))
        proposals = np.concatenate([moved, _random_boxes(rng, 4)])
        threshold = float(rng.choice([0.3, 0.5, 0.7]))
        sides = proposals[:, 2:] - proposals[:, :2]
        if sides.min() > 0 and np.abs(iou(objects, proposals) - threshold).min() > 1e-3:
            random.append((objects.tolist(), proposals.tolist(), threshold))
    return by_hand + random


def _random_boxes(rng, n):
    corners = rng.integers(0, 50, (n, 2))
    return np.concatenate([corners, corners + rng.integers(12, 40, (n, 2))], axis=1)


def _overlaps(objects, proposals):
    return iou(objects, np.asarray(proposals).reshape(-1, 4))


def _each_proposal_once(objects, proposals, threshold):
    overlaps = _overlaps(objects, proposals)
    used, n_found = set(), 0
    for row in overlaps:
        free = [j for j in range(len(row)) if j not in used and row[j] >= threshold]
        if free:
            used.add(max(free, key=lambda j: row[j]))
            n_found += 1
    return n_found / len(objects)


def _draw_recall(arguments, answer, expected):
    objects, proposals, threshold = arguments
    best = _overlaps(objects, proposals).max(axis=1, initial=0)
    labels = [f"object {i}: {value:.2f}" for i, value in enumerate(best)] + [""] * len(proposals)
    styles = ["best" if value >= threshold else "missed" for value in best] + ["ignored"] * len(proposals)
    yours = "missing" if answer is None else f"{answer:.3f}"
    alt = (
        f"Each object with its best IoU: found (green, solid) from {threshold:g} on, else missed (purple, "
        f"dotted). The proposals are grey. Your recall is {yours}, the reference's {expected:.3f}."
    )
    return sketch([*objects, *proposals], labels, styles), alt


RECALL = Exercise(
    name="recall",
    title="Recall of a set of boxes",
    notebook="01",
    difficulty=2,
    minutes=12,
    reference=_recall_reference,
    cases=_recall_cases,
    slips=(
        Slip(
            lambda objects, proposals, threshold: (
                (_overlaps(objects, proposals).max(axis=0, initial=0) >= threshold).sum()
                / max(len(proposals), 1)
            ),
            "You count *proposals* that lie on an object (their precision). Recall counts objects: take the "
            "best overlap of each object, along the other axis.",
        ),
        Slip(
            lambda objects, proposals, threshold: (
                _overlaps(objects, proposals).max(axis=1, initial=0) > threshold
            ).mean(),
            "An overlap of exactly the threshold counts as found: at least means ≥.",
        ),
        Slip(
            lambda objects, proposals, threshold: (
                _overlaps(objects, proposals).max(axis=1) >= threshold
            ).mean(),
            "Without proposals there is no largest overlap to take. No proposals find no object: the recall "
            "is 0.",
        ),
        Slip(
            lambda objects, proposals, threshold: (
                (_overlaps(objects, proposals) >= threshold).sum() / len(objects)
            ),
            "You count every match, so an object with three good boxes counts three times, and your recall "
            "may pass 1. An object is found or it is not.",
        ),
        Slip(
            lambda objects, proposals, threshold: (
                _overlaps(objects, proposals).max(axis=1, initial=0) >= threshold
            ).sum(),
            "That is the *number* of objects found. Divide it by the number of objects.",
        ),
        Slip(
            lambda objects, proposals, threshold: _overlaps(objects, proposals).max(axis=1, initial=0).mean(),
            "That is the average best overlap, another measure. Recall asks of each best overlap only "
            "whether it reaches the threshold.",
        ),
        Slip(
            _each_proposal_once,
            "You let each proposal find one object only. That is right for *detections*, but a proposal is "
            "not used up: two objects may share their best box.",
        ),
    ),
    hints=(
        "`iou(objects, proposals)` has a row for each object. When is that object found, in terms of its "
        "row?",
        "An object is found if the largest number of its row is at least the threshold. The recall is the "
        "share of such rows. What does your code do when the rows have no columns?",
        "`(overlaps >= threshold).any(axis=1)` says of each object whether it is found, and is all False "
        "without proposals. The mean of true and false is the share of true.",
    ),
    draw=_draw_recall,
)

EXERCISES = (MAY_JOIN, MERGE_STEP, RECALL)
