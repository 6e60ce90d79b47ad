"""The exercises of notebook 12: pinned by hand, other right answers pass, other wrong ones do not."""

import heapq

import numpy as np
import pytest

from rcnn_helpers.course.exercises.dataset_redundancy import (
    BLOCK_MEANS,
    MERGE_NEAREST,
    PRECISION_AND_RECALL,
    SQUARED_DISTANCES,
)
from rcnn_helpers.course.exercises.engine import Outcome, judge

# --- References, by hand ------------------------------------------------------------------------------------


def test_blocks_by_hand():
    rising = np.arange(64.0).reshape(8, 8)
    means = BLOCK_MEANS.reference(rising)
    # the first block holds 0, 1, 8 and 9; the next one 2, 3, 10, 11; the one below the first 16, 17, 24, 25
    assert means[0, 0] == 4.5 and means[0, 1] == 6.5 and means[1, 0] == 20.5 and means.shape == (4, 4)


def test_distances_by_hand():
    assert SQUARED_DISTANCES.reference([[0, 0]], [[3, 4], [0, 1]]).tolist() == [[25, 1]]
    assert SQUARED_DISTANCES.reference([[1], [2]], [[4]]).tolist() == [[9], [4]]


@pytest.mark.parametrize(
    ("case", "distances", "rows"),
    [
        (([0.2, 0.5], [7, 3], [0.4, 0.9, 0.1], 100, 2), [0.1, 0.2], [102, 7]),
        (([], [], [0.3, 0.1], 0, 3), [0.1, 0.3], [1, 0]),
        (([0.2, 0.4], [1, 0], [0.2, 0.2], 5, 3), [0.2, 0.2, 0.2], [1, 5, 6]),
        (([0.3], [2], [], 8, 1), [0.3], [2]),
    ],
)
def test_merging_by_hand(case, distances, rows):
    found, numbers = MERGE_NEAREST.reference(*case)
    assert found.tolist() == distances and numbers.tolist() == rows


@pytest.mark.parametrize(
    ("threshold", "n_copies", "expected"),
    [(0.3, 4, (2 / 3, 2 / 4)), (0.15, 3, (1, 1 / 3)), (0.05, 3, (1, 0)), (0.4, 3, (3 / 4, 1))],
)
def test_precision_and_recall_by_hand(threshold, n_copies, expected):
    distances, right = [0.1, 0.2, 0.3, 0.4], [True, False, True, True]
    assert PRECISION_AND_RECALL.reference(distances, right, n_copies, threshold) == pytest.approx(expected)


# --- Other right answers ------------------------------------------------------------------------------------


def blocks_by_loops(strength):
    size = len(strength) // 4
    result = [[0.0] * 4 for _ in range(4)]
    for y in range(4 * size):
        for x in range(4 * size):
            result[y // size][x // size] += strength[y][x] / size**2
    return result


def blocks_by_halves(strength):
    means = np.array([half.mean(axis=0) for half in np.split(strength, 4)])
    return np.stack([part.mean(axis=1) for part in np.split(means, 4, axis=1)], axis=1).astype(np.float32)


def distances_by_loops(queries, database):
    return [[sum((a - b) ** 2 for a, b in zip(q, d, strict=True)) for d in database] for q in queries]


def distances_by_differences(queries, database):
    return ((queries[:, None] - database[None]) ** 2).sum(axis=-1)


def merge_with_a_heap(distances, rows, block, first, k):
    pairs = [*zip(distances, rows, strict=True), *zip(block, range(first, first + len(block)), strict=True)]
    kept = heapq.nsmallest(k, pairs)
    return [pair[0] for pair in kept], [pair[1] for pair in kept]


def merge_with_numpy(distances, rows, block, first, k):
    everything = np.append(distances, block)
    numbers = np.append(rows, first + np.arange(len(block))).astype(int)
    order = np.argsort(everything, kind="stable")[:k]
    return everything[order], numbers[order]


def found_by_loops(distances, right, n_copies, threshold):
    called = n_right = 0
    for distance, is_right in zip(distances, right, strict=True):
        if distance <= threshold:
            called += 1
            n_right += is_right
    return (n_right / called if called else 1, n_right / n_copies)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (BLOCK_MEANS, blocks_by_loops),
        (BLOCK_MEANS, blocks_by_halves),
        (SQUARED_DISTANCES, distances_by_loops),
        (SQUARED_DISTANCES, distances_by_differences),
        (MERGE_NEAREST, merge_with_a_heap),
        (MERGE_NEAREST, merge_with_numpy),
        (PRECISION_AND_RECALL, found_by_loops),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def blocks_upside_down(strength):
    return BLOCK_MEANS.reference(strength)[::-1]


def blocks_of_halves(strength):
    half = len(strength) // 2
    return [[strength[y : y + half, x : x + half].mean() for x in (0, half)] for y in (0, half)]


def blocks_of_eight_pixels(strength):
    return strength.reshape(4, 8, 4, 8).mean(axis=(1, 3))


def medians(strength):
    size = len(strength) // 4
    return np.median(strength.reshape(4, size, 4, size), axis=(1, 3))


def absolute_differences(queries, database):
    return np.abs(queries[:, None] - database).sum(axis=2)


def mean_squares(queries, database):
    return ((queries[:, None] - database) ** 2).mean(axis=2)


def distances_with_a_shape_that_fits_by_luck(queries, database):
    return (queries**2).sum(axis=1) + (database**2).sum(axis=1) - 2 * queries @ database.T


def merge_that_forgets_rows(distances, rows, block, first, k):
    return MERGE_NEAREST.reference(distances, rows, block, first, k)[0]


def merge_of_the_best_alone(distances, rows, block, first, k):
    found, numbers = MERGE_NEAREST.reference(distances, rows, block, first, k)
    return found[:1], numbers[:1]


def merge_that_sorts_its_arguments(distances, rows, block, first, k):
    result = MERGE_NEAREST.reference(distances, rows, block, first, k)
    block.sort(reverse=True)
    return result


def merge_by_row(distances, rows, block, first, k):
    found, numbers = MERGE_NEAREST.reference(distances, rows, block, first, k)
    order = np.argsort(numbers)
    return found[order], numbers[order]


def found_in_percent(distances, right, n_copies, threshold):
    return tuple(
        100 * share for share in PRECISION_AND_RECALL.reference(distances, right, n_copies, threshold)
    )


def found_that_divides_by_zero(distances, right, n_copies, threshold):
    called = sum(distance <= threshold for distance in distances)
    n_right = sum(r for d, r in zip(distances, right, strict=True) if d <= threshold)
    return n_right / called, n_right / n_copies


def accuracy(distances, right, n_copies, threshold):
    share = np.mean((np.array(distances) <= threshold) == np.array(right))
    return share, share


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (BLOCK_MEANS, blocks_upside_down, Outcome.WRONG),
        (BLOCK_MEANS, blocks_of_halves, Outcome.WRONG),
        (BLOCK_MEANS, blocks_of_eight_pixels, Outcome.ERROR),
        (BLOCK_MEANS, medians, Outcome.WRONG),
        (SQUARED_DISTANCES, absolute_differences, Outcome.WRONG),
        (SQUARED_DISTANCES, mean_squares, Outcome.WRONG),
        (SQUARED_DISTANCES, distances_with_a_shape_that_fits_by_luck, Outcome.ERROR),
        (MERGE_NEAREST, merge_that_forgets_rows, Outcome.WRONG),
        (MERGE_NEAREST, merge_of_the_best_alone, Outcome.WRONG),
        (MERGE_NEAREST, merge_that_sorts_its_arguments, Outcome.WRONG),
        (MERGE_NEAREST, merge_by_row, Outcome.WRONG),
        (PRECISION_AND_RECALL, found_in_percent, Outcome.WRONG),
        (PRECISION_AND_RECALL, found_that_divides_by_zero, Outcome.ERROR),
        (PRECISION_AND_RECALL, accuracy, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_random_cases_keep_ties_in_the_order_of_rows():
    """Whoever sorts by distance alone, stably, is right as well: old rows are lower, and sorted among equals."""
    for seed in range(20):
        for distances, rows, block, first, k in MERGE_NEAREST.cases(np.random.default_rng(seed)):
            pairs = list(zip(distances, rows, strict=True))
            assert pairs == sorted(pairs) and len(pairs) <= k
            assert all(row < first for row in rows) and (block or distances)
