"""Exercises of notebook 07: suppression, matching, average precision."""

import numpy as np

from rcnn_helpers import evaluation, plots
from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.drawing import montage
from rcnn_helpers.nms import nms

# --- pictures of boxes ------------------------------------------------------------------------------------------


_HALF = (270, 380)  # height and width of one of two pictures side by side


def _side_by_side(yours, reference):
    return montage([yours, reference], ["yours", "the reference"], columns=2, font_size=18)


# --- greedy non-maximum suppression -----------------------------------------------------------------------------


def _nms_reference(boxes, scores, threshold):
    return nms(boxes, scores, iou_threshold=threshold).tolist()


def _nms_cases(rng):
    row = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
    half = [[0, 0, 10, 10], [0, 0, 10, 5]]  # their IoU is exactly 0.5
    by_hand = [
        (row, [0.9, 0.8, 0.7], 0.3),
        (row, [0.7, 0.9, 0.8], 0.3),
        (half, [0.6, 0.9], 0.5),
        ([[0, 0, 10, 10], [10, 0, 20, 10]], [0.5, 0.6], 0.3),  # they touch and share nothing
        ([[0, 0, 10, 10], [30, 0, 40, 10], [1, 0, 11, 10]], [0.9, 0.8, 0.7], 0.3),
        ([[5, 5, 9, 9]], [-1.5], 0.3),
        ([], [], 0.3),
    ]
    return by_hand + [_crowd(rng) for _ in range(20)]


def _crowd(rng):
    """Some boxes around a few places, with scores of which no two are equal."""
    n = int(rng.integers(3, 15))
    places = rng.integers(0, 60, size=(3, 2))
    corners = places[rng.integers(0, 3, size=n)] + rng.integers(-6, 7, size=(n, 2))
    boxes = np.concatenate([corners, corners + rng.integers(8, 25, size=(n, 2))], axis=1)
    scores = (rng.permutation(n) + 1) / 20
    return boxes.tolist(), scores.tolist(), float(rng.uniform(0.15, 0.6))


def _overlap(box, other):
    return float(iou([box], [other])[0, 0])


def _suppress(boxes, scores, threshold, *, rivals=None, drops=lambda overlap, threshold: overlap > threshold):
    """Visit boxes best first; `rivals` chooses, from those kept and those visited, the ones that suppress."""
    kept, visited = [], []
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        against = kept if rivals is None else rivals(kept, visited)
        if not any(drops(_overlap(boxes[i], boxes[j]), threshold) for j in against):
            kept.append(int(i))
        visited.append(i)
    return kept


def _draw_nms(arguments, answer, expected):
    boxes, scores, _ = arguments
    panels = []
    for kept in (answer, expected):
        styles = ["detection" if i in list(kept) else "ignored" for i in range(len(boxes))]
        panels.append(
            sketch(boxes, [f"{i}: {score:.2f}" for i, score in enumerate(scores)], styles, size=_HALF)
        )
    return _side_by_side(*panels), (
        "All boxes with index and score, twice: solid those kept, dotted those dropped. "
        f"You keep {np.asarray(answer).tolist()}, the reference {list(expected)}."
    )


GREEDY_NMS = Exercise(
    name="greedy_nms",
    title="Greedy non-maximum suppression",
    notebook="07",
    difficulty=2,
    minutes=20,
    reference=_nms_reference,
    cases=_nms_cases,
    slips=(
        Slip(
            lambda boxes, scores, threshold: _suppress(
                boxes, scores, threshold, rivals=lambda kept, visited: visited
            ),
            "A box that has been dropped drops others in your version. Compare each box with those that were "
            "**kept**, and with no others.",
        ),
        Slip(
            lambda boxes, scores, threshold: _suppress(boxes, [-score for score in scores], threshold),
            "You seem to begin with the worst score. The best box comes first; `np.argsort` sorts upwards.",
        ),
        Slip(
            lambda boxes, scores, threshold: _suppress(
                boxes, scores, threshold, drops=lambda overlap, limit: overlap >= limit
            ),
            "An IoU that *equals* the threshold drops a box in your version. The rule says: greater than.",
        ),
        Slip(
            lambda boxes, scores, threshold: _suppress(
                boxes, scores, threshold, rivals=lambda kept, visited: kept[-1:]
            ),
            "You compare with the box kept last only. Any of the kept boxes may suppress.",
        ),
        Slip(
            lambda boxes, scores, threshold: [boxes[i] for i in _nms_reference(boxes, scores, threshold)],
            "You return the boxes themselves. Asked for are their indices, the places in `boxes`.",
        ),
        Slip(
            lambda boxes, scores, threshold: sorted(_nms_reference(boxes, scores, threshold)),
            "You keep the right boxes, but return them in the order given. The best one comes first.",
        ),
        Slip(
            lambda boxes, scores, threshold: _suppress(boxes, [0] * len(boxes), threshold),
            "You visit the boxes in the order given. Which of them comes first is for the scores to say.",
        ),
    ),
    hints=(
        "Begin with an empty list `kept`, and go through the boxes from the best score down.",
        "A box joins `kept` if its IoU with **every** box in `kept` is at most `threshold`. A dropped box is in "
        "no list, so it cannot suppress anything.",
        "`np.argsort([-score for score in scores])` is the order of the visits. For each index `i` in it, ask "
        "`all(iou([boxes[i]], [boxes[j]])[0, 0] <= threshold for j in kept)`.",
    ),
    draw=_draw_nms,
)

# --- true, false, duplicate -------------------------------------------------------------------------------------


def _match_reference(boxes, scores, objects):
    n, m = len(boxes), len(objects)
    truth = evaluation.GroundTruth(
        image_ids=("picture",),
        classes=("object",),
        image_index=np.zeros(m, np.int32),
        class_index=np.zeros(m, np.int32),
        boxes=np.asarray(objects, dtype=np.float32).reshape(-1, 4),
        difficult=np.zeros(m, bool),
        object_index=np.arange(m, dtype=np.int32),
    )
    found = evaluation.Detections(("picture",), ("object",), [0] * n, [0] * n, scores, boxes)
    return evaluation.evaluate(found, truth).outcomes.tolist()


def _match_cases(rng):
    two = [[10, 10, 60, 60], [80, 10, 130, 60]]
    three_found = [[10, 10, 40, 60], [32, 10, 60, 60], [80, 10, 130, 50]]  # the first two share an object
    close = [[0, 0, 20, 20], [6, 0, 26, 20]]
    whole, half, less = [0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4]
    by_hand = [
        (three_found, [0.9, 0.8, 0.5], two),
        (three_found, [0.5, 0.9, 0.8], two),
        ([close[0], [2, 0, 22, 20]], [0.9, 0.8], close),  # the second is nearer to what is found already
        ([half], [0.7], [whole]),  # an IoU of exactly 0.5
        ([less, whole], [0.9, 0.8], [whole]),
        ([whole], [0.4], []),
        ([], [], [whole]),
    ]
    return by_hand + [_scene(rng) for _ in range(20)]


def _scene(rng):
    """Objects of which some stand close, and detections around them."""
    n_objects, n_found = int(rng.integers(1, 5)), int(rng.integers(2, 9))
    corners = rng.integers(0, 50, size=(2, 2))[rng.integers(0, 2, size=n_objects)]
    corners = corners + rng.integers(0, 9, size=(n_objects, 2))
    objects = np.concatenate([corners, corners + rng.integers(20, 30, size=(n_objects, 2))], axis=1)
    boxes = objects[rng.integers(0, n_objects, size=n_found)] + rng.integers(-5, 6, size=(n_found, 4))
    scores = (rng.permutation(n_found) + 1) / 10
    best = np.sort(iou(boxes, objects), axis=1)[:, ::-1]
    if (
        n_objects > 1 and (best[:, 0] - best[:, 1] < 1e-4).any()
    ):  # which object is nearest must be beyond doubt
        return _scene(rng)
    return boxes.tolist(), scores.tolist(), objects.tolist()


def _match(
    boxes,
    scores,
    objects,
    *,
    right=lambda overlap: overlap >= 0.5,
    order=None,
    falls_back=False,
    misses_take=False,
    duplicates=True,
):
    """The rule, with some of its parts to be got wrong."""
    outcomes, found = [""] * len(boxes), set()
    order = np.argsort(-np.asarray(scores), kind="stable") if order is None else order
    overlaps = iou(boxes, objects)
    for i in order:
        free = [j for j in range(len(objects)) if not (falls_back and j in found)]
        best = max(free, key=lambda j: overlaps[i, j], default=None)
        hit = best is not None and right(overlaps[i, best])
        outcomes[i] = "fp" if not hit else "duplicate" if duplicates and best in found else "tp"
        if hit or (misses_take and best is not None):
            found.add(best)
    return outcomes


def _match_to_best_free(boxes, scores, objects):
    """Each object once, to the nearest that is free; a duplicate is what no object is left for."""
    fallen_back = _match(boxes, scores, objects, falls_back=True)
    near = (iou(boxes, objects) >= 0.5).any(axis=1) if objects else np.zeros(len(boxes), bool)
    return ["duplicate" if o == "fp" and near[i] else o for i, o in enumerate(fallen_back)]


def _draw_match(arguments, answer, expected):
    boxes, scores, objects = arguments
    everything = [*boxes, *objects]
    panels = []
    for outcomes in (answer, expected):
        labels = [f"{outcome} {score:.2f}" for outcome, score in zip(outcomes, scores, strict=True)]
        labels += [""] * len(objects)
        panels.append(
            sketch(everything, labels, [*map(str, outcomes), *["truth"] * len(objects)], size=_HALF)
        )
    return _side_by_side(*panels), (
        "The detections with outcome and score, twice; dotted: the objects. "
        f"Yours: {', '.join(map(str, answer))}. The reference: {', '.join(expected)}."
    )


MATCH_DETECTIONS = Exercise(
    name="match_detections",
    title="True positive, duplicate, false positive",
    notebook="07",
    difficulty=2,
    minutes=20,
    reference=_match_reference,
    cases=_match_cases,
    slips=(
        Slip(
            _match_to_best_free,
            "When the object that a detection overlaps most has been found before, you look for another that is "
            "free. The rule of PASCAL VOC does not: the detection is a duplicate, even if the second nearest "
            "object would fit.",
        ),
        Slip(
            lambda boxes, scores, objects: _match(boxes, scores, objects, falls_back=True),
            "You match each detection to the best object that is still *free*, and call the rest `fp`. First look "
            "for the nearest of **all** objects; whether that one was found before decides between `tp` and "
            "`duplicate`.",
        ),
        Slip(
            lambda boxes, scores, objects: _match(boxes, scores, objects, duplicates=False),
            "No detection is ever a duplicate in your version. An object counts once; remember which were found.",
        ),
        Slip(
            lambda boxes, scores, objects: _match(boxes, scores, objects, order=range(len(boxes))),
            "You visit the detections in the order given. The better score has the first right to an object.",
        ),
        Slip(
            lambda boxes, scores, objects: _match(
                boxes, scores, objects, right=lambda overlap: overlap > 0.5
            ),
            "An IoU of exactly 0.5 is wrong in your version; it is the least that is right.",
        ),
        Slip(
            lambda boxes, scores, objects: _match(boxes, scores, objects, misses_take=True),
            "A detection with too small an IoU uses up its object in your version. Only a true positive does.",
        ),
        Slip(
            lambda boxes, scores, objects: [
                _match_reference(boxes, scores, objects)[i]
                for i in np.argsort(-np.asarray(scores), kind="stable")
            ],
            "Your outcomes stand in the order of the scores. Visit in that order, but write each outcome to the "
            "place of its detection in `boxes`.",
        ),
    ),
    hints=(
        "Keep a set of the objects found so far. Go through the detections from the best score down.",
        "For each detection: `best = overlaps[i].argmax()` over all objects. Below 0.5 it is `fp`, whatever else. "
        "Mind the picture without objects, where there is nothing to take the maximum of.",
        "From 0.5 on: is `best` among those found? Then `duplicate`. Else `tp`, and `best` joins them.",
    ),
    draw=_draw_match,
)

# --- average precision ------------------------------------------------------------------------------------------

_TENTHS = np.linspace(0, 1, 11)


def _ap_cases(rng):
    by_hand = [
        ([1 / 4, 1 / 4, 2 / 4, 2 / 4, 3 / 4], [1, 1 / 2, 2 / 3, 2 / 4, 3 / 5]),  # notebook 07: 6.2 / 11
        ([1], [1]),
        ([0, 1 / 2, 1 / 2], [0, 1 / 2, 1 / 3]),  # the best detection is a mistake
        ([1 / 3, 1 / 3, 1 / 3, 2 / 3, 1], [1, 1 / 2, 1 / 3, 2 / 4, 3 / 5]),
        ([0, 0], [0, 0]),
        ([], []),
    ]
    cases = [(np.array(recall, float), np.array(precision, float)) for recall, precision in by_hand]
    return cases + [_curve(rng) for _ in range(20)]


def _curve(rng):
    """A curve as detections make it, of a class whose recalls meet no tenth but 0, 1/2 and 1.

    Whether 3/10 reaches 0.1 * 3 is a question of rounding, and none of this exercise.
    """
    n_objects = int(rng.choice([3, 4, 6, 7, 8, 9, 11, 12, 13]))
    right = rng.random(int(rng.integers(1, 26))) < rng.uniform(0.2, 0.9)
    found = np.minimum(np.cumsum(right), n_objects)
    hits = np.diff(found, prepend=0)
    return np.cumsum(hits) / n_objects, np.cumsum(hits) / np.arange(1, len(hits) + 1)


def _mean_over(recalls, choose, *, beyond=0.0):
    """A wrong AP: the mean, over `recalls`, of what ``choose(recall, precision, at)`` gives."""

    def wrong(recall, precision):
        chosen = [choose(recall, precision, at) for at in recalls]
        return float(np.mean([beyond if len(part) == 0 else part[0] for part in chosen]))

    return wrong


def _best(precisions):
    return precisions if len(precisions) == 0 else [max(precisions)]


def _ap_of_reached(recall, precision):
    reached = [max(precision[recall >= at]) for at in _TENTHS if (recall >= at).any()]
    return float(np.mean(reached)) if reached else 0.0


def _draw_ap(arguments, answer, expected):
    recall, precision = arguments
    curve = evaluation.PrecisionRecall(recall, precision, -np.arange(len(recall)), np.arange(len(recall)), 1)
    ax = plots.precision_recall({"the curve": curve})
    yours = "no number" if answer is None else f"{answer:.3f}"
    ax.set_title(f"yours: {yours}   the reference: {expected:.3f}")
    return plots.figure_pixels(ax), (
        f"The curve with the best precision from each recall on, and the eleven points. Their mean is "
        f"{expected:.3f}; you have {yours}."
    )


AVERAGE_PRECISION = Exercise(
    name="average_precision",
    title="Average precision by eleven points",
    notebook="07",
    difficulty=2,
    minutes=15,
    reference=evaluation.average_precision,
    cases=_ap_cases,
    slips=(
        Slip(
            lambda recall, precision: evaluation.average_precision(recall, precision, metric="area"),
            "That is the area below the curve of best precisions, VOC's rule from 2010 on. Asked for is the mean "
            "over eleven recalls.",
        ),
        Slip(
            _mean_over(_TENTHS, lambda recall, precision, at: precision[recall >= at]),
            "You take the precision where the recall is first reached. A later point may do better: take the "
            "**best** precision at this recall or beyond.",
        ),
        Slip(
            _mean_over(_TENTHS[1:], lambda recall, precision, at: _best(precision[recall >= at])),
            "Your points begin at a recall of 0.1. There are eleven of them: 0 is one, too.",
        ),
        Slip(
            _mean_over(_TENTHS[:-1], lambda recall, precision, at: _best(precision[recall >= at])),
            "Your points end at a recall of 0.9. There are eleven of them: 1 is one, too. "
            "(`np.arange(0, 1, 0.1)` stops before it.)",
        ),
        Slip(
            _ap_of_reached,
            "You leave out the recalls that are never reached. Each of them counts, with a precision of 0; the "
            "sum is always divided by 11.",
        ),
        Slip(
            lambda recall, precision: float(np.mean([max(precision[recall >= at]) for at in _TENTHS])),
            "Where a recall is never reached there is no precision to take the best of. It counts as 0.",
        ),
        Slip(
            _mean_over(_TENTHS, lambda recall, precision, at: _best(precision[recall > at])),
            "A point that has just the recall asked for counts as well: greater **or equal**.",
        ),
        Slip(
            _mean_over(_TENTHS, lambda recall, precision, at: _best(precision[recall <= at])),
            "You look at the points up to each recall. Look at those from there on.",
        ),
        Slip(
            lambda recall, precision: float(np.mean(precision)) if len(precision) else 0.0,
            "That is the mean of all precisions. A detector with a longer tail would be worse off; go by the "
            "recall instead, in eleven steps.",
        ),
    ),
    hints=(
        "Eleven recalls: 0, 0.1, ..., 1. For each of them one precision; then their mean.",
        "For the recall `t`, the precisions to look at are `precision[recall >= t]`. Take the largest.",
        "If none is left, this point counts 0. `max(..., default=0)` knows what to do with nothing.",
    ),
    draw=_draw_ap,
)

EXERCISES = (GREEDY_NMS, MATCH_DETECTIONS, AVERAGE_PRECISION)
