"""Exercises of notebook 11: the best of many classes, a spatial pyramid, the imbalance of a split, windows."""

import numpy as np

from rcnn_helpers.baselines.bag_of_words import WordMap, count_words
from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.datasets import balanced_split
from rcnn_helpers.drawing import draw_boxes
from rcnn_helpers.scaling import best_regions

# --- the best of many classes -----------------------------------------------------------------------------------


def _best_reference(features, blocks, k):
    """`best_regions` asks each class for its regions; with the sides exchanged, each region for its classes."""
    return best_regions(np.concatenate(blocks), np.asarray(features), k=k)


def _best_cases(rng):
    one = np.array([[1.0, 0.0]])
    by_hand = [
        # scores 0.2 and 0.9, then 0.5: the best is the class in the middle
        (one, [np.array([[0.2, 5.0], [0.9, -5.0]]), np.array([[0.5, 0.0]])], 1),
        (one, [np.array([[0.2, 5.0], [0.9, -5.0]]), np.array([[0.5, 0.0]])], 2),
        (one, [np.array([[0.2, 0.0]]), np.array([[0.5, 0.0]]), np.array([[0.9, 0.0]])], 2),
        (one, [np.array([[-3.0, 0.0], [-1.0, 0.0]]), np.array([[-2.0, 0.0]])], 2),  # nobody scores above 0
        (one, [np.array([[0.1, 0.0], [0.7, 0.0], [0.4, 0.0]])], 3),  # one block, and all of it
        (np.eye(2), [np.array([[3.0, 0.1], [2.0, 0.2]]), np.array([[1.0, 0.3]])], 2),  # two regions
    ]
    return by_hand + [_many(rng) for _ in range(16)]


def _many(rng):
    """Regions, a few blocks of unequal size, and how many classes to return; often more than a block holds."""
    n_features = int(rng.integers(2, 9))
    sizes = rng.integers(1, 7, size=int(rng.integers(2, 6)))
    features = rng.normal(size=(int(rng.integers(1, 5)), n_features)).round(3)
    blocks = [rng.normal(size=(int(size), n_features)).round(3) for size in sizes]
    return features, blocks, int(rng.integers(1, sizes.sum() + 1))


def _best(features, blocks, k, *, offset=True, over=lambda scores: -scores, kept=None):
    """The best classes of each region, with parts to be got wrong."""
    features = np.asarray(features)
    n = len(features)
    classes, best = np.zeros((n, 0), int), np.zeros((n, 0))
    start = 0
    for block in blocks:
        scores, numbers = features @ np.asarray(block).T, np.arange(len(block)) + start * offset
        if kept is not None:
            top = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
            numbers = numbers[top]
            scores = np.take_along_axis(scores, top, axis=1)
        classes = np.concatenate([classes, np.broadcast_to(numbers, scores.shape)], axis=1)
        best = np.concatenate([best, scores], axis=1)
        start += len(block)
    order = np.argsort(over(best), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(classes, order, axis=1), np.take_along_axis(best, order, axis=1)


def _best_of_last_block(features, blocks, k):
    before = sum(len(block) for block in blocks[:-1])
    classes, scores = _best(features, blocks[-1:], k)
    return classes + before, scores


def _best_in_order_of_classes(features, blocks, k):
    classes, scores = _best(features, blocks, k)
    order = classes.argsort(axis=1)
    return np.take_along_axis(classes, order, axis=1), np.take_along_axis(scores, order, axis=1)


BEST_CLASSES = Exercise(
    name="best_classes",
    title="The best of many classes, block by block",
    notebook="11",
    difficulty=2,
    minutes=15,
    reference=_best_reference,
    cases=_best_cases,
    slips=(
        Slip(
            lambda *case: _best(*case, offset=False),
            "You number the classes anew in each block. The number of a class counts on from block to block: add "
            "how many classes the blocks before held.",
        ),
        Slip(
            _best_of_last_block,
            "You return the best of the last block only. Keep the best so far, and let each block "
            "compete with them.",
        ),
        Slip(
            lambda *case: _best(*case, kept=1),
            "You keep one class of each block. The second best of a block can be better than the best of all "
            "others: up to `k` of a block must stay in the race.",
        ),
        Slip(
            lambda *case: _best(*case, over=lambda scores: scores),
            "You return the **worst** classes: `argsort` sorts ascending, and the best should come first.",
        ),
        Slip(
            lambda *case: _best(*case, over=lambda scores: -np.abs(scores)),
            "You go by the size of a score without its sign. A score far below zero says that it is *not* "
            "this class.",
        ),
        Slip(
            _best_in_order_of_classes,
            "These are the right classes, in the order of their numbers. Order them by score, best first.",
        ),
        Slip(
            lambda features, blocks, k: _best(features, blocks, k)[::-1],
            "Classes and scores are exchanged: return the numbers of the classes first, then their scores.",
        ),
    ),
    hints=(
        "Begin with two empty arrays of shape [N, 0]: the best classes so far and their scores. For each block, "
        "append its scores to the right, sort every row, and keep the first `k` columns.",
        "`order = np.argsort(-scores, axis=1)[:, :k]` are the places of the `k` largest in each row. "
        "`np.take_along_axis(scores, order, axis=1)` fetches them, and the same `order` fetches the classes.",
        "The numbers of a block's classes are `np.arange(start, start + len(block))`, the same in every row: "
        "`np.broadcast_to(numbers, scores.shape)`. After the block, `start += len(block)`.",
    ),
)

# --- how imbalanced a split is ----------------------------------------------------------------------------------


def _imbalance_reference(counts, in_first):
    return balanced_split.relative_imbalance(np.asarray(counts), np.asarray(in_first, bool))


def _imbalance_cases(rng):
    by_hand = [
        ([[1, 0], [1, 0], [0, 3], [2, 1]], [True, True, False, False]),  # 2 and 2; 0 and 4
        ([[3], [1]], [True, False]),  # 2 / 4
        ([[1], [3]], [True, False]),
        ([[5, 0], [5, 0]], [True, False]),  # the second class is nowhere
        ([[2, 1], [0, 1], [1, 2]], [False, False, False]),  # all in one half
        ([[31, 1], [0, 1]], [True, False]),
    ]
    return by_hand + [_split(rng) for _ in range(16)]


def _split(rng):
    """A few images with a few classes, some of them rare, and a way to divide them."""
    n, c = int(rng.integers(3, 12)), int(rng.integers(2, 6))
    counts = rng.poisson(rng.uniform(0.2, 3, size=c), size=(n, c))
    counts[0, 0] += 1  # something is always there
    return counts.tolist(), (rng.random(n) < rng.uniform(0.2, 0.8)).tolist()


def _imbalance(counts, in_first, *, of=lambda a, b: np.abs(a - b), over=lambda a, b: a + b, seen=None):
    """|a - b| / (a + b) of each class, with parts to be got wrong."""
    counts, in_first = np.asarray(counts), np.asarray(in_first, bool)
    counts = counts if seen is None else seen(counts)
    a, b = counts[in_first].sum(axis=0), counts[~in_first].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(of(a, b) / np.asarray(over(a, b), float), float)


def _imbalance_with_zeros(counts, in_first):
    return np.nan_to_num(_imbalance(counts, in_first))


RELATIVE_IMBALANCE = Exercise(
    name="relative_imbalance",
    title="How imbalanced a split is",
    notebook="11",
    difficulty=1,
    minutes=10,
    reference=_imbalance_reference,
    cases=_imbalance_cases,
    slips=(
        Slip(
            lambda *case: _imbalance(*case, of=lambda a, b: a - b),
            "Your imbalance can be negative. Which half has more does not matter: take the absolute value.",
        ),
        Slip(
            lambda *case: _imbalance(*case, over=lambda a, b: np.ones_like(a)),
            "That is the difference in objects. Ten too many are a lot for a rare class and nothing for a "
            "frequent one: divide by all objects of the class.",
        ),
        Slip(
            lambda *case: _imbalance(*case, over=np.maximum),
            "You divide by the larger half. The relative imbalance is $|a-b|/(a+b)$: divide by both together.",
        ),
        Slip(
            lambda *case: _imbalance(*case, over=lambda a, b: (a + b) / 2),
            "You divide by the mean of the halves, so yours is twice as large: it goes from 0 to 2. Divide by "
            "the sum.",
        ),
        Slip(
            lambda *case: _imbalance(*case, seen=lambda counts: np.minimum(counts, 1)),
            "You count the **images** that hold a class. Count its objects: an image with three horses counts "
            "three.",
        ),
        Slip(
            _imbalance_with_zeros,
            "A class without any object is balanced by your reckoning (0). It has no imbalance: let it be "
            "`np.nan`, so that it takes no part in a median.",
        ),
    ),
    hints=(
        "Two sums for each class: its objects in the images of the first half, and in all others.",
        "`counts = np.array(counts)`, `in_first = np.array(in_first)`; then `a = counts[in_first].sum(axis=0)` "
        "and `b = counts[~in_first].sum(axis=0)`.",
        "`np.where(a + b > 0, abs(a - b) / np.maximum(a + b, 1), np.nan)`.",
    ),
)

# --- a spatial pyramid ------------------------------------------------------------------------------------------


def _pyramid_reference(words, box, n_words, levels):
    """`count_words` on a grid with a point in every pixel."""
    every_pixel = WordMap(np.asarray(words, np.int32)[None], first=0, step=1)
    return count_words(every_pixel, np.float32([box]), n_words=n_words, levels=tuple(levels))[0]


_FOUR_WORDS = [[0, 0, 1, 1, 3], [0, 2, 1, 1, 3], [2, 2, 2, 0, 3], [2, 2, 0, 0, 3]]  # the map of the notebook


def _pyramid_cases(rng):
    by_hand = [
        (_FOUR_WORDS, [0, 0, 4, 4], 4, [1, 2]),
        (_FOUR_WORDS, [0, 0, 4, 4], 4, [1]),
        (_FOUR_WORDS, [1, 0, 5, 2], 4, [2]),
        (_FOUR_WORDS, [2, 2, 4, 4], 5, [1, 2]),  # word 4 is nowhere
        (_FOUR_WORDS, [4, 0, 5, 4], 4, [1]),
    ]
    return by_hand + [_map_of_words(rng) for _ in range(14)]


def _map_of_words(rng):
    """A map wider than it is high, and a box in it whose sides divide into the cells of all levels."""
    n_words, finest = int(rng.integers(2, 6)), int(rng.choice([2, 3, 4]))
    words = rng.integers(0, n_words, size=(int(rng.integers(9, 13)), int(rng.integers(13, 20))))
    width, height = (finest * int(rng.integers(1, side // finest + 1)) for side in words.shape[::-1])
    x, y = int(rng.integers(0, words.shape[1] - width + 1)), int(rng.integers(0, words.shape[0] - height + 1))
    levels = [1, finest] if rng.random() < 0.7 else [finest]
    return words.tolist(), [x, y, x + width, y + height], n_words, levels


def _pyramid(words, box, n_words, levels, *, inside=None, cells=None, order="cells", share=None):
    """Counts of words in the cells of all levels, with parts to be got wrong."""
    words = np.asarray(words)
    x1, y1, x2, y2 = box
    part = words[y1:y2, x1:x2] if inside is None else inside(words, box)
    counts = []
    for level in levels:
        of_level = []
        for row, column in (cells or _in_rows)(level):
            rows = np.array_split(part, level)[row]
            cell = np.array_split(rows, level, axis=1)[column]
            of_level.append(np.bincount(cell.ravel(), minlength=n_words))
        of_level = np.array(of_level, float)
        if share is not None:
            of_level = share(of_level)
        counts.append((of_level if order == "cells" else of_level.T).ravel())
    return np.concatenate(counts)


def _in_rows(level):
    return [(row, column) for row in range(level) for column in range(level)]


def _draw_pyramid(arguments, answer, expected):
    """The map, a tile with its number for each word, under the finest cells of the box."""
    import cv2

    words, (x1, y1, x2, y2), n_words, levels = arguments
    words, finest = np.asarray(words), max(levels)
    side = min(640 // words.shape[1], 480 // words.shape[0])
    shades = np.linspace(250, 150, n_words).astype(np.uint8)
    sheet = np.repeat(np.kron(shades[words], np.ones((side, side), np.uint8))[:, :, None], 3, axis=2)
    for (row, column), word in np.ndenumerate(words):
        place = (int((column + 0.38) * side), int((row + 0.62) * side))
        cv2.putText(
            sheet, str(word), place, cv2.FONT_HERSHEY_SIMPLEX, side / 80, (40, 40, 40), 1, cv2.LINE_AA
        )
    xs, ys = side * np.linspace(x1, x2, finest + 1), side * np.linspace(y1, y2, finest + 1)
    cells = [[xs[c], ys[r], xs[c + 1], ys[r + 1]] for r, c in _in_rows(finest)]
    return draw_boxes(sheet, cells, styles="tp", line_width=3), (
        f"The words of the map, and the box ({x1}, {y1}, {x2}, {y2}) in its {finest} x {finest} cells."
    )


SPATIAL_PYRAMID = Exercise(
    name="spatial_pyramid",
    title="A spatial pyramid of visual words",
    notebook="11",
    difficulty=2,
    minutes=15,
    reference=_pyramid_reference,
    cases=_pyramid_cases,
    slips=(
        Slip(
            lambda *case: _pyramid(*case, cells=lambda level: [(r, c) for c, r in _in_rows(level)]),
            "You go through the cells column by column. Go through them in rows: left to right, then the "
            "next row.",
        ),
        Slip(
            lambda *case: _pyramid(*case, order="words"),
            "Your numbers are ordered word by word, and the cells follow each other inside. It is cell by cell: "
            "all words of the first cell, then all of the second.",
        ),
        Slip(
            lambda *case: _pyramid(*case, inside=lambda words, box: words),
            "You divide the whole map. Only what lies inside the **box** counts, and its cells divide the box.",
        ),
        Slip(
            lambda *case: _pyramid(*case, inside=lambda words, b: words[b[0] : b[2], b[1] : b[3]]),
            "You take x for the row. The first index of `words` is the row, y; a box is (x1, y1, x2, y2).",
        ),
        Slip(
            lambda *case: _pyramid(
                *case, inside=lambda words, b: words[b[1] : b[1] + b[3], b[0] : b[0] + b[2]]
            ),
            "You read the box as (x, y, width, height). Its last two numbers are x2 and y2.",
        ),
        Slip(
            lambda *case: _pyramid(
                *case, share=lambda counts: counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            ),
            "You return shares. Asked for are counts; bags are brought to one scale later.",
        ),
        Slip(
            lambda words, box, n_words, levels: _pyramid(words, box, n_words, levels[-1:]),
            "You count the finest grid only. Every level takes part, in the order of `levels`: 1 is the "
            "whole box.",
        ),
    ),
    hints=(
        "`part = np.array(words)[y1:y2, x1:x2]` is what lies in the box. How do you cut it into `level` x `level` "
        "equal cells?",
        "A cell is `height // level` rows high and `width // level` columns wide. `np.bincount(cell.ravel(), "
        "minlength=n_words)` counts its words, those that do not occur included.",
        "Three loops, one in the other: `for level in levels`, `for row in range(level)`, `for column in "
        "range(level)`. Collect the counts of each cell in a list, and return `np.concatenate` of it.",
    ),
    draw=_draw_pyramid,
)

# --- the box of a window ----------------------------------------------------------------------------------------

# The T-Net's windows: 227 pixels with 16 of context on each side, one every 32 pixels of the scaled picture.
_WINDOWS = {"size": 227, "padding": 16, "stride": 32, "cell": 16, "cells": 13, "margin": 64}


def _window_reference(row, column, rows, columns, height, width):
    from rcnn_helpers.sliding_window_detector.windows import Level, WindowGeometry

    level = Level(height, width, rows, columns, WindowGeometry(**_WINDOWS))
    return level.boxes()[row * columns + column]


def _window_cases(rng):
    by_hand = [
        (1, 2, 4, 7, 300, 400),  # of the notebook
        (0, 0, 1, 1, 300, 400),  # one window: the whole picture
        (0, 0, 4, 7, 300, 400),
        (3, 6, 4, 7, 300, 400),  # ends at the picture's corner
        (0, 5, 1, 6, 195, 355),  # a picture that needs no scaling
        (5, 0, 6, 1, 355, 195),
    ]
    return by_hand + [_place_of_window(rng) for _ in range(20)]


def _place_of_window(rng):
    rows, columns = int(rng.integers(2, 12)), int(rng.integers(2, 12))
    height, width = int(rng.integers(150, 500)), int(rng.integers(150, 500))
    return int(rng.integers(0, rows)), int(rng.integers(0, columns)), rows, columns, height, width


def _window(row, column, rows, columns, height, width, *, side=195, stride=32, back=True, scale=None):
    """The box of a window, with parts to be got wrong."""
    y_scale, x_scale = height / (195 + (rows - 1) * 32), width / (195 + (columns - 1) * 32)
    if scale is not None:
        y_scale, x_scale = scale(y_scale, x_scale)
    if not back:
        y_scale = x_scale = 1
    x1, y1 = column * stride * x_scale, row * stride * y_scale
    return np.array([x1, y1, x1 + side * x_scale, y1 + side * y_scale])


def _draw_window(arguments, answer, expected):
    row, column, rows, columns, height, width = arguments
    yours = np.asarray(answer, float).reshape(4)
    sheet = [0, 0, width, height]
    return sketch([expected, yours, sheet], ["window", "yours", ""], ["truth", "fp", "proposal"]), (
        f"The picture, the window in row {row} and column {column} of {rows} x {columns} (dotted), and yours "
        "(dashed)."
    )


WINDOW_BOX = Exercise(
    name="window_box",
    title="Where a window lies",
    notebook="11",
    difficulty=2,
    minutes=15,
    reference=_window_reference,
    cases=_window_cases,
    slips=(
        Slip(
            lambda row, column, *case: _window(column, row, *case),
            "You take the row for x. The **column** counts to the right, x; the row downwards, y.",
        ),
        Slip(
            lambda *case: _window(*case, back=False),
            "Your box lies in the scaled picture. Bring it back: multiply by the size of the picture and divide "
            "by that of the scaled one.",
        ),
        Slip(
            lambda *case: _window(*case, scale=lambda y, x: (1 / y, 1 / x)),
            "You scale the wrong way round. From the scaled picture to the picture: times `width`, divided by the "
            "scaled width.",
        ),
        Slip(
            lambda *case: _window(*case, scale=lambda y, x: (x, x)),
            "You use the scale of the width for both directions. Height and width are scaled by factors of "
            "their own.",
        ),
        Slip(
            lambda *case: _window(*case, side=227),
            "Your window is 227 pixels long, with its context. The **box** of the region is the inner 195.",
        ),
        Slip(
            lambda *case: _window(*case, stride=195),
            "Your windows lie side by side. Neighbours begin 32 pixels apart, so they overlap by 163.",
        ),
        Slip(
            lambda *case: np.concatenate([(box := _window(*case))[:2], box[2:] - box[:2]]),
            "You return (x, y, width, height). Asked for are the corners (x1, y1, x2, y2).",
        ),
    ),
    hints=(
        "First in the scaled picture: where does the window in row 1, column 2 begin, and how large is the "
        "picture that `rows` x `columns` windows fill exactly?",
        "The scaled picture is `195 + (columns - 1) * 32` pixels wide. A pixel of it is `width` divided by that "
        "in the picture.",
        "`x1 = column * 32 * x_scale` and `x2 = x1 + 195 * x_scale`; the same for y with `row` and `y_scale`.",
    ),
    draw=_draw_window,
)

EXERCISES = (BEST_CLASSES, SPATIAL_PYRAMID, RELATIVE_IMBALANCE, WINDOW_BOX)
