"""Exercises of notebook 12: means of blocks, distances, a running list of the nearest, copies found."""

import numpy as np

from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.drawing import montage

# --- means of blocks --------------------------------------------------------------------------------------------


def _blocks_reference(strength):
    from rcnn_helpers.redundancy.gist import block_means  # OpenCV and numba, only when they are needed

    return block_means(strength, 4)


def _blocks_cases(rng):
    rising = np.arange(64.0).reshape(8, 8)
    one_corner = np.zeros((8, 8))
    one_corner[0, 7] = 4
    by_hand = [(rising,), (one_corner,), (np.arange(16.0).reshape(4, 4),), (np.ones((12, 12)),)]
    sides = rng.choice([8, 12, 16, 32], size=16)
    return by_hand + [(rng.random((side, side)).round(3),) for side in sides]


def _by_blocks(strength, reduce):
    """The map cut into 4 x 4 blocks, each reduced to one number."""
    size = len(strength) // 4
    return np.array(
        [
            [reduce(strength[y : y + size, x : x + size]) for x in range(0, 4 * size, size)]
            for y in range(0, 4 * size, size)
        ]
    )


def _draw_blocks(arguments, answer, expected):
    def panel(values):
        grey = np.uint8(255 * np.clip(values / max(arguments[0].max(), 1e-9), 0, 1))
        zoom = 192 // len(grey)
        return grey.repeat(zoom, axis=0).repeat(zoom, axis=1)[:, :, None].repeat(3, axis=2)

    answer = np.asarray(answer, float).reshape(4, 4)
    panels = [panel(arguments[0]), panel(answer), panel(expected)]
    told = "; ".join(np.array2string(row, precision=2) for row in answer)
    return montage(panels, ["the map", "yours", "the reference"], columns=3, cell=(192, 192)), (
        f"The map and the 4 x 4 means of blocks, dark for 0. Yours by rows: {told}."
    )


BLOCK_MEANS = Exercise(
    name="block_means",
    title="Roughly where",
    notebook="12",
    difficulty=1,
    minutes=10,
    reference=_blocks_reference,
    cases=_blocks_cases,
    slips=(
        Slip(
            lambda strength: _by_blocks(strength, np.mean).T,
            "Rows and columns are exchanged: the upper right block of the map is the *last of the first "
            "row* of the result.",
        ),
        Slip(
            lambda strength: _by_blocks(strength, np.sum),
            "You add up each block. Asked for is the **mean**: divide by the number of its pixels.",
        ),
        Slip(
            lambda strength: _by_blocks(strength, np.max),
            "You take the largest value of each block, as a pooling layer does. Asked for is the mean.",
        ),
        Slip(
            lambda strength: _by_blocks(strength, lambda block: block[0, 0]),
            "You take one pixel of each block. The mean is over all of its pixels.",
        ),
        Slip(
            lambda strength: np.array([[strength[y::4, x::4].mean() for x in range(4)] for y in range(4)]),
            "Your blocks are combs: every fourth row and column. A block is a square of *neighbouring* "
            "pixels, a quarter of the map high and wide.",
        ),
        Slip(
            lambda strength: _by_blocks(strength, np.mean).ravel(),
            "The 16 numbers are right. Return them as 4 rows of 4.",
        ),
    ),
    hints=(
        "How many pixels is a block high and wide? `size = len(strength) // 4`.",
        "The block in row `r` and column `c` is `strength[r * size:(r + 1) * size, c * size:(c + 1) * "
        "size]`.",
        "Two loops over `range(4)`, or in one go: `strength.reshape(4, size, 4, size).mean(axis=(1, 3))`.",
    ),
    draw=_draw_blocks,
)

# --- distances by one product -----------------------------------------------------------------------------------


def _distances_reference(queries, database):
    from rcnn_helpers.redundancy import squared_distances

    return squared_distances(queries, database)


def _distances_cases(rng):
    by_hand = [
        (np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])),
        (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])),  # all of length 1
        (np.array([[2.0], [5.0], [-1.0]]), np.array([[1.0], [3.0]])),
    ]
    shapes = rng.integers(1, 7, size=(18, 3))
    random = [
        (rng.integers(-4, 5, (q, d)).astype(float), rng.integers(-4, 5, (n, d)).astype(float))
        for q, n, d in shapes
    ]
    return by_hand + random


def _expanded(queries, database, *, factor=-2.0, of_queries=True, of_database=True):
    """The three terms, with parts to be left out."""
    result = factor * queries @ database.T
    result += (queries**2).sum(axis=1)[:, None] if of_queries else 0
    return result + ((database**2).sum(axis=1) if of_database else 0)


SQUARED_DISTANCES = Exercise(
    name="squared_distances",
    title="All distances from one product",
    notebook="12",
    difficulty=2,
    minutes=15,
    reference=_distances_reference,
    cases=_distances_cases,
    slips=(
        Slip(
            lambda queries, database: np.sqrt(np.maximum(_expanded(queries, database), 0)),
            "You take the root. Asked for are *squared* distances: they have the same order, and a root for "
            "each pair is work for nothing.",
        ),
        Slip(
            lambda queries, database: _expanded(queries, database, factor=2.0),
            "The product has the wrong sign: $|q - d|^2 = |q|^2 + |d|^2 - 2\\,q \\cdot d$.",
        ),
        Slip(
            lambda queries, database: _expanded(queries, database, factor=-1.0),
            "The product is taken once. It comes twice out of the square: once as $-q \\cdot d$, once as "
            "$-d \\cdot q$.",
        ),
        Slip(
            lambda queries, database: _expanded(queries, database, of_queries=False),
            "$|q|^2$ is missing. The order of the neighbours is right without it, the distances are not.",
        ),
        Slip(
            lambda queries, database: _expanded(queries, database, of_database=False),
            "$|d|^2$ is missing, so long rows of the database come too near.",
        ),
        Slip(
            lambda queries, database: queries @ database.T,
            "That is the product alone. Two long vectors have a large one however far apart they are.",
        ),
        Slip(
            lambda queries, database: _expanded(queries, database).T,
            "Queries and database are exchanged: there is a **row** for each query and a column for each "
            "row of the database.",
        ),
    ),
    hints=(
        "Write out $|q - d|^2$ for two vectors. Which of its three parts belongs to one of them alone?",
        "All products at once: `queries @ database.T`. Squared lengths: `(queries ** 2).sum(axis=1)`.",
        "Lengths of queries stand in a column, `[:, None]`, those of the database in a row; add both, and "
        "subtract twice the products.",
    ),
)

# --- a running list of the nearest ------------------------------------------------------------------------------


def _merge_reference(distances, rows, block, first, k):
    from rcnn_helpers.redundancy import merge_nearest

    return merge_nearest(distances, rows, block, first, k)


def _merge_cases(rng):
    by_hand = [
        ([0.2, 0.5], [7, 3], [0.4, 0.9, 0.1], 100, 2),
        ([], [], [0.3, 0.1], 0, 3),  # the first block, and fewer than k so far
        ([0.1, 0.2], [4, 0], [0.5, 0.6], 10, 2),  # nothing new
        ([0.2, 0.4], [1, 0], [0.2, 0.2], 5, 3),  # ties: the lower row first
        ([0.3], [2], [], 8, 1),
    ]
    return by_hand + [_merge_case(rng) for _ in range(20)]


def _merge_case(rng):
    k = int(rng.integers(1, 6))
    first = int(rng.integers(6, 2000))
    n_before = int(rng.integers(0, k + 1))
    values = rng.integers(0, 30, size=n_before + int(rng.integers(1, 8))) / 10
    before = np.sort(values[:n_before])
    rows = np.sort(
        rng.permutation(first)[:n_before]
    )  # so that equal distances stand in the order of their rows
    return before.tolist(), rows.tolist(), values[n_before:].tolist(), first, k


def _merged(distances, rows, block, first, k, *, order=None, offset=0):
    """The merge, with parts to be got wrong: the order, and how the block is numbered."""
    pairs = list(zip(distances, rows, strict=True))
    pairs += [(distance, first + offset + i) for i, distance in enumerate(block)]
    pairs = sorted(pairs, key=order)[:k]
    return [distance for distance, _ in pairs], [row for _, row in pairs]


def _block_alone(distances, rows, block, first, k):
    return _merged([], [], block, first, k)


def _best_of_each(distances, rows, block, first, k):
    new, numbers = _merged([], [], block, first, k)
    return [*distances, *new][:k], [*rows, *numbers][:k]


MERGE_NEAREST = Exercise(
    name="merge_nearest",
    title="The nearest so far",
    notebook="12",
    difficulty=2,
    minutes=15,
    reference=_merge_reference,
    cases=_merge_cases,
    slips=(
        Slip(
            lambda distances, rows, block, first, k: _merged(distances, rows, block, 0, k),
            "The rows of the block are counted from 0. They lie in the middle of a long database: the first "
            "of them is row `first`.",
        ),
        Slip(
            _block_alone,
            "Only the block is looked at. What was found before it may well be nearer.",
        ),
        Slip(
            lambda distances, rows, block, first, k: _merged(
                distances, rows, block, first, len(distances) + len(block)
            ),
            "The list grows with every block. Keep the `k` nearest, so that memory stays the same however "
            "long the database is.",
        ),
        Slip(
            lambda *case: _merged(*case, order=lambda pair: (-pair[0], pair[1])),
            "You keep the farthest. The nearest come first: ascending distances.",
        ),
        Slip(
            lambda *case: _merged(*case, order=lambda pair: (pair[0], -pair[1])),
            "Of equal distances you put the higher row first. The lower one comes first, so that the result "
            "does not depend on how the database is cut.",
        ),
        Slip(
            _best_of_each,
            "You append the new ones behind the old. A new one can be nearer than an old one: sort them "
            "together.",
        ),
        Slip(
            lambda *case: _merged(*case, offset=1),
            "Your rows are one too high: the first of the block is row `first`, not the one behind it.",
        ),
    ),
    hints=(
        "Pair each distance with its row, old and new ones in one list. What is left to do is sort and cut.",
        "The new pairs: `[(d, first + i) for i, d in enumerate(block)]`.",
        "`pairs = sorted(old + new)[:k]` sorts by distance, then by row. Then take the pairs apart again.",
    ),
)

# --- copies found -----------------------------------------------------------------------------------------------


def _found_reference(distances, right, n_copies, threshold):
    from rcnn_helpers.redundancy.planted import precision_recall

    return precision_recall(distances, right, threshold, n_copies=n_copies)


def _found_cases(rng):
    by_hand = [
        ([0.1, 0.2, 0.3, 0.4], [True, False, True, True], 4, 0.3),
        ([0.1, 0.2, 0.3, 0.4], [True, False, True, True], 3, 0.25),
        ([0.5, 0.6], [True, False], 1, 0.3),  # nothing is called a copy
        ([0.1, 0.2], [False, False], 2, 0.3),  # all wrong
        ([0.1, 0.1], [True, True], 2, 0.1),  # just at the threshold
    ]
    return by_hand + [_found_case(rng) for _ in range(20)]


def _found_case(rng):
    n = int(rng.integers(2, 12))
    right = rng.random(n) < 0.6
    distances = np.where(right, rng.integers(0, 8, n), rng.integers(3, 12, n)) / 10
    return (
        distances.tolist(),
        right.tolist(),
        int(right.sum() + rng.integers(1, 4)),
        int(rng.integers(2, 9)) / 10,
    )


def _share(part, of, empty=0.0):
    return part / of if of else empty


def _found(distances, right, n_copies, threshold, *, called=None, empty=1.0):
    """Precision and recall, with parts to be got wrong."""
    distances, right = np.array(distances), np.array(right, bool)
    called = distances <= threshold if called is None else called(distances, threshold)
    n_right = int((called & right).sum())
    return _share(n_right, int(called.sum()), empty), _share(n_right, n_copies)


PRECISION_AND_RECALL = Exercise(
    name="precision_and_recall",
    title="Copies found",
    notebook="12",
    difficulty=1,
    minutes=10,
    reference=_found_reference,
    cases=_found_cases,
    slips=(
        Slip(
            lambda *case: _found(*case, called=lambda distances, threshold: distances < threshold),
            "A distance of exactly the threshold does not count in your version; it does.",
        ),
        Slip(
            lambda *case: _found(*case)[::-1],
            "The two are exchanged: precision first, then recall.",
        ),
        Slip(
            lambda distances, right, n_copies, threshold: _found(distances, right, sum(right), threshold),
            "Your recall is a share of the copies whose nearest picture is the right one. It is a share of "
            "**all** copies, also of those that found another picture: divide by `n_copies`.",
        ),
        Slip(
            lambda distances, right, n_copies, threshold: (
                _found(distances, right, n_copies, threshold)[1] * n_copies / len(distances),
                _found(distances, right, n_copies, threshold)[1],
            ),
            "Your precision is a share of all queries. It is a share of those that are *called* copies.",
        ),
        Slip(
            lambda *case: _found(*case, empty=0.0),
            "Where nothing is called a copy, nothing is wrong: the precision is then 1, not 0.",
        ),
        Slip(
            lambda *case: _found(*case, called=lambda distances, threshold: distances >= threshold),
            "You call the far ones copies. Near is small: at most the threshold.",
        ),
    ),
    hints=(
        "First: which queries are called copies? Second: how many of these are right?",
        "`called = np.array(distances) <= threshold` and `n_right = (called & np.array(right)).sum()`. Both "
        "shares have `n_right` on top.",
        "Precision is `n_right / called.sum()`, or 1 if nothing is called; recall is `n_right / n_copies`.",
    ),
)

EXERCISES = (BLOCK_MEANS, SQUARED_DISTANCES, MERGE_NEAREST, PRECISION_AND_RECALL)
