"""The descriptors made by hand beside plain ways to compute them, 500 regions of one picture, one thread.

HOG beside the same histograms gathered by NumPy, crop by crop; the spatial pyramid of visual words beside one
`numpy.bincount` a cell. What both share is not timed: warping for HOG, SIFT and the nearest words for the pyramid,
which are shown as lines of their own.

Run: OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python tests/benchmarks/bench_baselines.py
"""

import cv2
import numpy as np
import torch
from _report import alternate, report, seconds

from rcnn_helpers.baselines import BagOfWords, RawPixels
from rcnn_helpers.baselines.bag_of_words import WordMap, count_words
from rcnn_helpers.baselines.descriptors import crops_of
from rcnn_helpers.baselines.hog import hog
from rcnn_helpers.proposals import propose

HEIGHT, WIDTH, N_BOXES, N_WORDS, LEVELS = 375, 500, 500, 500, (1, 2, 4)
CELL, CELLS = 8, 10


def picture(rng):
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def hog_by_numpy(crop):
    """HOG of one crop: all pixels' votes gathered by `numpy.add.at`."""
    padded = np.pad(crop, ((1, 1), (1, 1), (0, 0)), mode="edge")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    steepest = (dx**2 + dy**2).argmax(axis=2)[..., None]
    dx, dy = (np.take_along_axis(d, steepest, axis=2)[..., 0] for d in (dx, dy))
    length, turn = np.hypot(dx, dy), np.arctan2(dy, dx) * 9 / np.pi % 18
    first = turn.astype(int) % 18
    share = turn - np.floor(turn)
    place = (np.arange(len(crop)) + 0.5) / CELL + 0.5
    lower, weight = place.astype(int), 1 - place % 1
    signed = np.zeros((CELLS + 2, CELLS + 2, 18))
    for i, down in ((0, weight), (1, 1 - weight)):
        for j, across in ((0, weight), (1, 1 - weight)):
            votes = length * down[:, None] * across
            cells = ((lower + i)[:, None], (lower + j)[None, :])
            np.add.at(signed, (*cells, first), votes * (1 - share))
            np.add.at(signed, (*cells, (first + 1) % 18), votes * share)
    signed = signed[1:-1, 1:-1]
    unsigned = signed[..., :9] + signed[..., 9:]
    energy = (unsigned**2).sum(axis=2)
    blocks = energy[:-1, :-1] + energy[:-1, 1:] + energy[1:, :-1] + energy[1:, 1:]
    scale = 1 / np.sqrt(blocks + 1e-4)
    n = CELLS - 2
    scales = [scale[i : i + n, j : j + n, None] for i in (0, 1) for j in (0, 1)]
    cut = [np.minimum(signed[1:-1, 1:-1] * s, 0.2) for s in scales]
    cut_unsigned = [np.minimum(unsigned[1:-1, 1:-1] * s, 0.2) for s in scales]
    texture = np.stack([c.sum(axis=2) for c in cut], axis=2) / np.sqrt(18)
    return np.concatenate([sum(cut) / 2, sum(cut_unsigned) / 2, texture], axis=2)


def counts_by_bincount(word_map, boxes):
    n_sizes, n_rows, n_columns = word_map.words.shape
    x = word_map.first + word_map.step * np.arange(n_columns) + 0.5
    y = word_map.first + word_map.step * np.arange(n_rows) + 0.5
    found = []
    for x1, y1, x2, y2 in boxes.astype(float):
        columns, rows = np.flatnonzero((x >= x1) & (x < x2)), np.flatnonzero((y >= y1) & (y < y2))
        words = word_map.words[:, rows[:, None], columns]
        across, down = (x[columns] - x1) / (x2 - x1), (y[rows] - y1) / (y2 - y1)
        counts = []
        for level in LEVELS:
            cell = (down * level).astype(int)[:, None] * level + (across * level).astype(int)
            index = cell * N_WORDS + words
            counts.append(np.bincount(index.ravel(), minlength=level**2 * N_WORDS))
        found.append(np.concatenate(counts))
    return np.array(found, np.float32)


def line(what, own, other=None):
    return {
        "what": what,
        "ours ms": 1e3 * own,
        "plain ms": "-" if other is None else 1e3 * other,
        "ratio": "-" if other is None else other / own,
    }


def main():
    rng = np.random.default_rng(0)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    image = picture(rng)
    boxes = propose(image, "random", max_boxes=N_BOXES)
    side = CELL * CELLS
    crops = np.concatenate([c.copy() for _, c in crops_of(image, boxes, size=side, padding=CELL)])
    np.testing.assert_allclose(hog(crops[:3], CELL), [hog_by_numpy(c) for c in crops[:3]], atol=2e-3)
    shape = (2, HEIGHT // 4, WIDTH // 4)
    word_map = WordMap(rng.integers(0, N_WORDS, shape, dtype=np.int32), 2, 4)
    options = {"n_words": N_WORDS, "levels": LEVELS}
    np.testing.assert_array_equal(
        count_words(word_map, boxes, **options), counts_by_bincount(word_map, boxes)
    )

    bag = BagOfWords(N_WORDS)
    bag.vocabulary_ = rng.random((N_WORDS, 128), np.float32)
    raw = RawPixels()
    rows = [
        line("raw pixels, warps in it", seconds(lambda: raw.describe(image, boxes), repeats=3)),
        line(
            "warps for HOG",
            seconds(lambda: sum(1 for _ in crops_of(image, boxes, size=side, padding=CELL)), repeats=3),
        ),
        line(
            "HOG",
            *alternate(lambda: hog(crops, CELL), lambda: [hog_by_numpy(c) for c in crops], repeats=3),
        ),
        line("SIFT and words, once an image", seconds(lambda: bag.prepare(image), repeats=3)),
        line(
            "pyramid of words",
            *alternate(
                lambda: count_words(word_map, boxes, **options),
                lambda: counts_by_bincount(word_map, boxes),
                repeats=3,
            ),
        ),
    ]
    report(f"Descriptors of {N_BOXES} regions, {WIDTH} x {HEIGHT} pixels", rows)


if __name__ == "__main__":
    main()
