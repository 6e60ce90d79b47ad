"""Checkers of notebook 01: right answers written otherwise pass, further wrong ones do not, references by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import boxes
from rcnn_helpers.course.exercises import Outcome
from rcnn_helpers.course.exercises.engine import judge
from rcnn_helpers.course.exercises.region_proposals import MAY_JOIN, MERGE_STEP, RECALL
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.proposals import selective_search

# A, B and C of the notebook, in a picture of 10 x 6 pixels.
SIZES = [24, 18, 18]
BOXES = [[0, 0, 4, 6], [4, 0, 10, 3], [4, 3, 10, 6]]
HISTOGRAMS = [[0, 1], [1, 0], [0.5, 0.5]]
PAIRS = [(0, 1), (0, 2), (1, 2)]


# --- may_join ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((27, 2, 3, 3, 3, 74), False),  # 2 + 74 / 3 is 26.67
        ((27, 2, 3, 3, 3, 75), True),  # 2 + 75 / 3 is 27
        ((5, 0, 0, 1, 1, 5), True),
        ((6, 0, 0, 1, 1, 5), False),
        ((20, 10, 2, 10, 10, 100), False),  # 20 and 12
        ((12, 10, 2, 10, 10, 100), True),
    ],
)
def test_reference_of_may_join_on_paper(arguments, expected):
    assert MAY_JOIN.reference(*arguments) is expected


def test_reference_of_may_join_refuses_regions_that_cannot_come_about():
    with pytest.raises(SettingsError, match="take a larger k"):
        MAY_JOIN.reference(30, 20, 0, 10, 10, 1)


def _both_accept(weight, internal_a, internal_b, size_a, size_b, k):
    for internal, size in ((internal_a, size_a), (internal_b, size_b)):
        if weight - internal > k / size:
            return 0
    return 1


def _as_numpy(weight, internal_a, internal_b, size_a, size_b, k):
    return (weight <= np.array([internal_a, internal_b]) + k / np.array([size_a, size_b])).all()


@pytest.mark.parametrize("answer", [_both_accept, _as_numpy])
def test_may_join_written_otherwise_passes(answer):
    assert judge(MAY_JOIN, answer).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "mutant, outcome",
    [
        (lambda w, ia, ib, na, nb, k: w <= ia + k / na, Outcome.WRONG),  # A alone
        (lambda w, ia, ib, na, nb, k: w <= min(ia + k * na, ib + k * nb), Outcome.WRONG),
        (lambda w, ia, ib, na, nb, k: w <= (ia + ib) / 2 + 2 * k / (na + nb), Outcome.WRONG),
        (lambda w, ia, ib, na, nb, k: w <= min(ia + k / nb, ib + k / na), Outcome.WRONG),  # sizes exchanged
        (lambda w, ia, ib, na, nb, k: w <= min(ia + k // na, ib + k // nb), Outcome.WRONG),  # rounded down
        (lambda w, ia, ib, na, nb, k: min(ia + k / na, ib + k / nb), Outcome.WRONG),  # the limit itself
        (lambda w, ia, ib, na, nb, k: w <= ia + k / (na - nb), Outcome.ERROR),
        (lambda w, ia, ib, na, nb: w <= ia, Outcome.ERROR),  # no k
    ],
)
def test_mutants_of_may_join(mutant, outcome):
    verdict = judge(MAY_JOIN, mutant)
    assert verdict.outcome is outcome
    assert not any(verdict.message.startswith(slip.message) for slip in MAY_JOIN.slips)


# --- merge_step -------------------------------------------------------------------------------------------------


def test_reference_of_merge_step_on_paper():
    pair, size, box, histogram = MERGE_STEP.reference(SIZES, BOXES, HISTOGRAMS, PAIRS)
    assert (pair, size, box) == ((1, 2), 36, [4, 0, 10, 6])
    assert histogram == pytest.approx([0.75, 0.25])
    # B and C apart: (A, C) is left before (A, B), as A and C share half of their colours
    pair, size, box, histogram = MERGE_STEP.reference(SIZES, BOXES, HISTOGRAMS, PAIRS[:2])
    assert (pair, size, box) == ((0, 2), 42, [0, 0, 10, 6])
    assert histogram == pytest.approx([9 / 42, 33 / 42])


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_reference_of_merge_step_is_the_first_merge_of_a_picture(seed, n_points):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (8, 11, 1), dtype=np.uint8)
    points = rng.choice(88, n_points, replace=False)
    ys, xs = np.mgrid[:8, :11]
    nearest = np.argmin([np.abs(xs - p % 11) + np.abs(ys - p // 11) for p in points], axis=0).astype(np.int32)
    no_texture = np.zeros((4, *picture.shape), dtype=np.uint8)
    described = selective_search.describe_segments(nearest, n_points, picture, no_texture)
    pairs = selective_search.neighbour_pairs(nearest)

    pair, size, box, histogram = MERGE_STEP.reference(*described[:3], pairs)

    tree = selective_search.group(picture, nearest, similarity="CSF")
    assert list(pair) == tree.children[0].tolist()
    assert size == tree.sizes[n_points] and box == tree.boxes[n_points].tolist()
    joined = np.where(np.isin(nearest, pair), 0, 1).astype(np.int32)
    counted = selective_search.describe_segments(joined, 1 + joined.max(), picture, no_texture)
    assert histogram == pytest.approx(counted[2][0].tolist(), abs=1e-6)


def _merged(*, flipped=False, sort=max, box=None, share=None, terms=(1, 1, 1)):
    """A right answer in plain Python; what is given exchanges a part of it."""

    def merge_step(sizes, boxes, histograms, pairs):
        scores = []
        for i, j in pairs:
            (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = boxes[i], boxes[j]
            around = (max(ax2, bx2) - min(ax1, bx1)) * (max(ay2, by2) - min(ay1, by1))
            colour = 1 - sum(abs(p - q) for p, q in zip(histograms[i], histograms[j], strict=True)) / 2
            size = 1 - (sizes[i] + sizes[j]) / sum(sizes)
            fill = 1 - (around - sizes[i] - sizes[j]) / sum(sizes)
            scores.append(terms[0] * colour + terms[1] * size + terms[2] * fill)
        i, j = pairs[scores.index(sort(scores))]
        corners = np.array([boxes[i], boxes[j]])
        new_box = np.hstack([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
        weight = sizes[i] / (sizes[i] + sizes[j]) if share is None else share
        histogram = [weight * p + (1 - weight) * q for p, q in zip(histograms[i], histograms[j], strict=True)]
        pair = (j, i) if flipped else [i, j]
        return pair, float(sizes[i] + sizes[j]), new_box if box is None else box(*corners), histogram

    return merge_step


@pytest.mark.parametrize("answer", [_merged(), _merged(flipped=True)])
def test_merge_step_written_otherwise_passes(answer):
    assert judge(MERGE_STEP, answer).outcome is Outcome.PASS


def _in_place(sizes, boxes, histograms, pairs):
    result = _merged()(sizes, boxes, histograms, pairs)
    sizes.append(result[1])
    return result


@pytest.mark.parametrize(
    "mutant, outcome, words",
    [
        (_merged(terms=(1, 0, 0)), Outcome.WRONG, "the pair is wrong"),
        (_merged(terms=(0, 1, 1)), Outcome.WRONG, "the pair is wrong"),
        (_merged(terms=(1, 1, -1)), Outcome.WRONG, "the pair is wrong"),
        (_merged(box=lambda a, b: a), Outcome.WRONG, "the box is wrong"),
        (_merged(share=1.0), Outcome.WRONG, "the histogram is wrong"),
        (lambda *given: _merged()(*given)[0], Outcome.WRONG, "it gives `[1, 2]`"),  # the pair only
        (_in_place, Outcome.WRONG, "Work on a copy"),
        (lambda sizes, boxes, histograms, pairs: pairs[0][2], Outcome.ERROR, "IndexError"),
    ],
)
def test_mutants_of_merge_step(mutant, outcome, words):
    verdict = judge(MERGE_STEP, mutant)
    assert verdict.outcome is outcome and words in verdict.message
    assert not any(verdict.message.startswith(slip.message) for slip in MERGE_STEP.slips)


def test_a_picture_of_a_wrong_merge_tells_both_boxes_apart_in_words():
    verdict = judge(MERGE_STEP, MERGE_STEP.slips[0].wrong)
    assert verdict.picture.shape == (480, 640, 3)
    assert "You join 0 + 1, the reference joins 1 + 2" in verdict.alt


# --- recall -----------------------------------------------------------------------------------------------------

OBJECTS = [[0, 0, 10, 10], [20, 0, 40, 10]]
PROPOSALS = [[0, 0, 10, 8], [22, 0, 40, 10], [0, 0, 40, 10]]  # best overlaps 0.8 and 0.9


@pytest.mark.parametrize("threshold, expected", [(0.5, 1), (0.85, 0.5), (0.95, 0)])
def test_reference_of_recall_on_paper(threshold, expected):
    assert RECALL.reference(OBJECTS, PROPOSALS, threshold) == expected
    assert RECALL.reference(OBJECTS, [], threshold) == 0
    assert RECALL.reference(OBJECTS, OBJECTS[:1], threshold) == 0.5


def _with_loops(objects, proposals, threshold):
    found = 0
    for x1, y1, x2, y2 in objects:
        for u1, v1, u2, v2 in proposals:
            shared = max(0, min(x2, u2) - max(x1, u1)) * max(0, min(y2, v2) - max(y1, v1))
            if shared >= threshold * ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared):
                found += 1
                break
    return np.float32(found / len(objects))


def _with_arrays(objects, proposals, threshold):
    if len(proposals) == 0:
        return 0
    return np.mean([overlaps.max() >= threshold for overlaps in boxes.iou(objects, proposals)])


@pytest.mark.parametrize("answer", [_with_loops, _with_arrays])
def test_recall_written_otherwise_passes(answer):
    assert judge(RECALL, answer).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "mutant, outcome",
    [
        (lambda objects, proposals, t: 100 * _with_loops(objects, proposals, t), Outcome.WRONG),  # percent
        (lambda objects, proposals, t: _with_loops(objects, proposals, 0.5), Outcome.WRONG),
        (lambda objects, proposals, t: _with_loops(objects, proposals[:1], t), Outcome.WRONG),
        (lambda objects, proposals, t: 1 - _with_loops(objects, proposals, t), Outcome.WRONG),  # missed
        (lambda objects, proposals, t: np.array([_with_loops(objects, proposals, t)]), Outcome.WRONG),
        (lambda objects, proposals, t: objects[len(objects)], Outcome.ERROR),
    ],
)
def test_mutants_of_recall(mutant, outcome):
    verdict = judge(RECALL, mutant)
    assert verdict.outcome is outcome
    assert not any(verdict.message.startswith(slip.message) for slip in RECALL.slips)


def test_no_case_of_merge_step_is_a_tie():
    """Whoever adds the three terms in another order must not lose to rounding."""
    for seed in range(5):
        for sizes, corners, histograms, pairs in MERGE_STEP.cases(np.random.default_rng(seed)):
            picture, similarities = sum(sizes), []
            for i, j in pairs:
                both = sizes[i] + sizes[j]
                low, high = np.minimum(corners[i], corners[j]), np.maximum(corners[i], corners[j])
                around = (high[2] - low[0]) * (high[3] - low[1])
                colour = np.minimum(histograms[i], histograms[j]).sum()
                similarities.append(colour + (1 - both / picture) + (1 - (around - both) / picture))
            similarities.sort()
            assert len(pairs) == 1 or similarities[-1] - similarities[-2] > 1e-3
