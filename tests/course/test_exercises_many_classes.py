"""The exercises of notebook 11: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest

from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.many_classes import (
    BEST_CLASSES,
    RELATIVE_IMBALANCE,
    SPATIAL_PYRAMID,
    WINDOW_BOX,
)

WORDS = [[0, 0, 1, 1, 3], [0, 2, 1, 1, 3], [2, 2, 2, 0, 3], [2, 2, 0, 0, 3]]

# --- References, by hand ------------------------------------------------------------------------------------


def test_best_classes_by_hand():
    blocks = [np.array([[0.2, 5.0], [0.9, -5.0], [0.4, 0.0]]), np.array([[0.5, 0.0], [0.1, 0.0]])]
    classes, scores = BEST_CLASSES.reference(np.array([[1.0, 0.0]]), blocks, 2)
    assert classes.tolist() == [[1, 3]]
    assert scores == pytest.approx(np.array([[0.9, 0.5]]))
    # A second region that looks at the other feature: -5, 0, 0, 0, 5.
    classes, _ = BEST_CLASSES.reference(np.array([[1.0, 0.0], [0.0, 1.0]]), blocks, 1)
    assert classes.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("box", "n_words", "levels", "counts"),
    [
        ([0, 0, 4, 4], 4, [1], [6, 4, 6, 0]),
        ([0, 0, 4, 4], 4, [2], [3, 0, 1, 0] + [0, 4, 0, 0] + [0, 0, 4, 0] + [3, 0, 1, 0]),
        ([4, 0, 5, 4], 4, [1], [0, 0, 0, 4]),
        ([2, 2, 4, 4], 5, [1, 2], [3, 0, 1, 0, 0, 0, 0, 1, 0, 0, *([1, 0, 0, 0, 0] * 3)]),
    ],
)
def test_pyramids_by_hand(box, n_words, levels, counts):
    assert SPATIAL_PYRAMID.reference(WORDS, box, n_words, levels).tolist() == counts


@pytest.mark.parametrize(
    ("counts", "in_first", "imbalance"),
    [
        ([[1, 0], [1, 0], [0, 3], [2, 1]], [True, True, False, False], [0, 1]),
        ([[3], [1]], [True, False], [1 / 2]),
        ([[20], [11]], [False, True], [9 / 31]),
        ([[5, 0], [5, 0]], [True, False], [0, np.nan]),
        ([[2, 1], [0, 1]], [False, False], [1, 1]),
    ],
)
def test_imbalances_by_hand(counts, in_first, imbalance):
    assert RELATIVE_IMBALANCE.reference(counts, in_first) == pytest.approx(imbalance, nan_ok=True)


@pytest.mark.parametrize(
    ("arguments", "box"),
    [
        # 4 x 7 windows fill 387 x 291 pixels, and the picture has 400 x 300
        (
            (1, 2, 4, 7, 300, 400),
            (64 * 400 / 387, 32 * 300 / 291, 259 * 400 / 387, 227 * 300 / 291),
        ),
        ((0, 0, 1, 1, 300, 400), (0, 0, 400, 300)),
        ((0, 5, 1, 6, 195, 355), (160, 0, 355, 195)),
        ((3, 6, 4, 7, 300, 400), (192 * 400 / 387, 96 * 300 / 291, 400, 300)),
    ],
)
def test_windows_by_hand(arguments, box):
    assert WINDOW_BOX.reference(*arguments) == pytest.approx(box, rel=1e-6)


# --- Other right answers ------------------------------------------------------------------------------------


def best_by_sorted_lists(features, blocks, k):
    classes, best = [], []
    for region in features:
        kept, start = [], 0
        for block in blocks:
            kept += [(-float(region @ row), start + i) for i, row in enumerate(block)]
            kept, start = sorted(kept)[:k], start + len(block)
        classes.append([number for _, number in kept])
        best.append([-score for score, _ in kept])
    return classes, best


def best_of_all_at_once(features, blocks, k):
    scores = np.float32(features) @ np.concatenate(blocks).T.astype(np.float32)
    order = np.argsort(-scores)[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def pyramid_by_pixels(words, box, n_words, levels):
    x1, y1, x2, y2 = box
    found = []
    for level in levels:
        counts = np.zeros((level, level, n_words))
        for y in range(y1, y2):
            for x in range(x1, x2):
                counts[(y - y1) * level // (y2 - y1), (x - x1) * level // (x2 - x1), words[y][x]] += 1
        found += counts.ravel().tolist()
    return found


def pyramid_by_reshaping(words, box, n_words, levels):
    x1, y1, x2, y2 = box
    one_hot = np.eye(n_words)[np.array(words)[y1:y2, x1:x2]]
    height, width = one_hot.shape[:2]
    return np.concatenate(
        [
            one_hot.reshape(n, height // n, n, width // n, n_words).sum(axis=(1, 3)).ravel()
            for n in map(int, levels)
        ]
    )


def imbalance_by_loops(counts, in_first):
    found = []
    for column in zip(*counts, strict=True):
        a = sum(n for n, first in zip(column, in_first, strict=True) if first)
        total = sum(column)
        found.append(abs(2 * a - total) / total if total else float("nan"))
    return found


def window_by_shares(row, column, rows, columns, height, width):
    def side(place, n, length):
        whole = 195 + 32 * (n - 1)
        return np.array([32 * place, 32 * place + 195]) / whole * length

    (x1, x2), (y1, y2) = side(column, columns, width), side(row, rows, height)
    return (x1, y1, x2, y2)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (BEST_CLASSES, best_by_sorted_lists),
        (BEST_CLASSES, best_of_all_at_once),
        (SPATIAL_PYRAMID, pyramid_by_pixels),
        (SPATIAL_PYRAMID, pyramid_by_reshaping),
        (RELATIVE_IMBALANCE, imbalance_by_loops),
        (WINDOW_BOX, window_by_shares),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def best_without_scores(features, blocks, k):
    return best_of_all_at_once(features, blocks, k)[0]


def best_regions_of_classes(features, blocks, k):
    scores = np.concatenate(blocks) @ features.T
    return np.argsort(-scores, axis=0)[:k], -np.sort(-scores, axis=0)[:k]


def best_with_numbers_from_one(features, blocks, k):
    classes, scores = best_of_all_at_once(features, blocks, k)
    return classes + 1, scores


def best_that_wants_k_of_each_block(features, blocks, k):
    tops = [np.argpartition(-(features @ block.T), k - 1, axis=1)[:, :k] for block in blocks]
    return np.concatenate(tops, axis=1), best_of_all_at_once(features, blocks, k)[1]


def pyramid_of_equal_weight(words, box, n_words, levels):
    return np.array(pyramid_by_pixels(words, box, n_words, levels)) / len(levels)


def pyramid_without_rare_words(words, box, n_words, levels):
    x1, y1, x2, y2 = box
    return np.bincount(np.array(words)[y1:y2, x1:x2].ravel())


def pyramid_with_the_border(words, box, n_words, levels):
    x1, y1, x2, y2 = box
    return pyramid_by_pixels(words, [x1, y1, min(x2 + 1, len(words[0])), y2], n_words, levels)


def pyramid_in_grids(words, box, n_words, levels):
    flat = pyramid_by_pixels(words, box, n_words, [levels[-1]])
    return np.reshape(flat, (levels[-1], levels[-1], n_words))


def imbalance_in_percent(counts, in_first):
    return [100 * value for value in imbalance_by_loops(counts, in_first)]


def imbalance_of_the_worst_class(counts, in_first):
    return float(np.nanmax(imbalance_by_loops(counts, in_first)))


def imbalance_that_divides_by_zero(counts, in_first):
    totals = [sum(column) for column in zip(*counts, strict=True)]
    firsts = [
        sum(n for n, first in zip(c, in_first, strict=True) if first) for c in zip(*counts, strict=True)
    ]
    return [abs(2 * a - total) / total for a, total in zip(firsts, totals, strict=True)]


def imbalance_against_the_other_half(counts, in_first):
    counts, in_first = np.array(counts), np.array(in_first)
    a, b = counts[in_first].sum(axis=0), counts[~in_first].sum(axis=0)
    return np.abs(a - b) / np.maximum(b, 1)


def window_on_whole_pixels(*case):
    return np.round(window_by_shares(*case))


def window_with_its_context(row, column, rows, columns, height, width):
    x1, y1, x2, y2 = window_by_shares(row, column, rows, columns, height, width)
    y_scale, x_scale = height / (195 + 32 * (rows - 1)), width / (195 + 32 * (columns - 1))
    return x1 - 16 * x_scale, y1 - 16 * y_scale, x2 + 16 * x_scale, y2 + 16 * y_scale


def window_on_a_grid_of_strides(row, column, rows, columns, height, width):
    x, y = column * width / columns, row * height / rows
    return x, y, x + width / columns, y + height / rows


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (BEST_CLASSES, best_without_scores, Outcome.WRONG),
        (BEST_CLASSES, best_regions_of_classes, Outcome.WRONG),
        (BEST_CLASSES, best_with_numbers_from_one, Outcome.WRONG),
        (BEST_CLASSES, best_that_wants_k_of_each_block, Outcome.WRONG),
        (SPATIAL_PYRAMID, pyramid_of_equal_weight, Outcome.WRONG),
        (SPATIAL_PYRAMID, pyramid_without_rare_words, Outcome.WRONG),
        (SPATIAL_PYRAMID, pyramid_with_the_border, Outcome.WRONG),
        (SPATIAL_PYRAMID, pyramid_in_grids, Outcome.WRONG),
        (RELATIVE_IMBALANCE, imbalance_in_percent, Outcome.WRONG),
        (RELATIVE_IMBALANCE, imbalance_of_the_worst_class, Outcome.WRONG),
        (RELATIVE_IMBALANCE, imbalance_that_divides_by_zero, Outcome.ERROR),
        (RELATIVE_IMBALANCE, imbalance_against_the_other_half, Outcome.WRONG),
        (WINDOW_BOX, window_on_whole_pixels, Outcome.WRONG),
        (WINDOW_BOX, window_with_its_context, Outcome.WRONG),
        (WINDOW_BOX, window_on_a_grid_of_strides, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_the_random_cases_are_what_the_exercises_promise():
    """No two scores of a region are near each other, cells divide the box, and something is always there."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for features, blocks, k in BEST_CLASSES.cases(rng):
            scores = np.sort(features @ np.concatenate(blocks).T, axis=1)
            assert k <= scores.shape[1] and (np.diff(scores, axis=1) > 1e-5).all()
        for words, (x1, y1, x2, y2), n_words, levels in SPATIAL_PYRAMID.cases(rng):
            assert 0 <= x1 < x2 <= len(words[0]) and 0 <= y1 < y2 <= len(words)
            assert all((x2 - x1) % level == 0 and (y2 - y1) % level == 0 for level in levels)
            assert np.max(words) < n_words
        for counts, in_first in RELATIVE_IMBALANCE.cases(rng):
            assert len(counts) == len(in_first) >= 2 and np.sum(counts) > 0
        for row, column, rows, columns, _, _ in WINDOW_BOX.cases(rng):
            assert row < rows and column < columns
