"""Histograms of oriented gradients (HOG) of a warped region: what detectors saw before the networks.

In the form that the deformable part models of the paper's Tables 1 and 2 use (Felzenszwalb, Girshick, McAllester,
Ramanan: Object Detection with Discriminatively Trained Part-Based Models, PAMI 2010, sec. 6), after Dalal and
Triggs: Histograms of Oriented Gradients for Human Detection, CVPR 2005.

1. At each pixel, the gradient of the colour in which it is steepest.
2. In square cells, a histogram of its 18 directions, weighted by its length. A pixel counts for the four nearest
   cells and the two nearest directions, by linear interpolation.
3. Each cell is divided by the energy of each of the four blocks of 2 x 2 cells that it lies in; so light and
   contrast of the surroundings drop out. What is above 0.2 after that is cut.
4. A cell's 31 figures: 18 directions, 9 directions without their sign, each averaged over the four blocks, and for
   each block the sum of all directions, which says how much texture there is.
"""

import numpy as np
from numba import njit

from rcnn_helpers.baselines.descriptors import Descriptor, crops_of, require_positive

DIRECTIONS = 18
FIGURES_PER_CELL = DIRECTIONS + DIRECTIONS // 2 + 4
CLIP = 0.2
# Below any energy that can be seen, but above 0: of pixel values in 0..255.
_EPSILON = 1e-4
# Sums over the four blocks are halved, as in the released code; texture is divided by the root of 18.
_BLOCK_WEIGHT = 0.5
_TEXTURE_WEIGHT = 1 / np.sqrt(DIRECTIONS)


class HOG(Descriptor):
    """HOG of a region that is warped to a square of cells.

    One ring of cells around the box is looked at as well. It takes part in the normalisation and gives no figures.

    Parameters
    ----------
    cells : int
        Cells along a side of the box; the descriptor has ``31 * cells ** 2`` figures.
    cell_size : int
        Pixels along a side of a cell.
    """

    name = "HOG"

    def __init__(self, cells: int = 8, *, cell_size: int = 8):
        require_positive("HOG", cells=cells, cell_size=cell_size)
        self.cells, self.cell_size = cells, cell_size
        self.dim = FIGURES_PER_CELL * cells**2

    def describe_prepared(self, prepared: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Describe regions of an image, float32 [N, 31 * cells ** 2]; see `describe`."""
        found = np.empty((len(boxes), self.dim), np.float32)
        side = (self.cells + 2) * self.cell_size
        for part, crops in crops_of(prepared, boxes, size=side, padding=self.cell_size):
            found[part] = hog(crops, self.cell_size).reshape(len(crops), -1)
        return found

    def identity(self) -> dict:
        """Everything that decides the descriptor, as JSON values."""
        return {"descriptor": type(self).name, "cells": self.cells, "cell_size": self.cell_size}


def hog(crops: np.ndarray, cell_size: int) -> np.ndarray:
    """HOG of square crops.

    Parameters
    ----------
    crops : float32 [N, S, S, 3]
        Pixel values in 0..255; S is a multiple of `cell_size`.
    cell_size : int

    Returns
    -------
    float32 [N, S / cell_size - 2, S / cell_size - 2, 31]
        All cells but the outermost.
    """
    side = crops.shape[1]
    n_cells = side // cell_size
    if crops.shape[1:] != (side, side, 3) or side % cell_size or n_cells < 3:
        raise ValueError(
            f"crops are {list(crops.shape)}; they must be [N, S, S, 3], and S a multiple of the cell size "
            f"{cell_size}, at least three cells"
        )
    found = np.empty((len(crops), n_cells - 2, n_cells - 2, FIGURES_PER_CELL), np.float32)
    _hog_of_all(np.ascontiguousarray(crops, dtype=np.float32), cell_size, found)
    return found


@njit(cache=True, nogil=True)
def _hog_of_all(crops, cell_size, found):
    side = crops.shape[1]
    n_cells = side // cell_size
    lower, weight = _nearest_cells(side, cell_size)
    histograms = np.empty((n_cells + 2, n_cells + 2, DIRECTIONS), np.float32)
    for i in range(len(crops)):
        histograms[:] = 0
        _count_gradients(crops[i], lower, weight, histograms)
        # The frame took what lies half a cell beyond the crop; it is dropped.
        _normalise(histograms[1:-1, 1:-1], found[i])


@njit(cache=True, nogil=True)
def _nearest_cells(side, cell_size):
    """Of each pixel along a side: the nearest cell before its centre, counted from the frame, and its share."""
    lower = np.empty(side, np.int64)
    weight = np.empty(side, np.float32)
    for p in range(side):
        position = (
            p + 0.5
        ) / cell_size + 0.5  # cell centres lie at whole numbers, the first of the crop at 1
        lower[p] = int(position)
        weight[p] = 1 - (position - lower[p])
    return lower, weight


@njit(cache=True, nogil=True)
def _count_gradients(crop, lower, weight, histograms):
    """Add the gradient of each pixel to the histograms, float32 [cells + 2, cells + 2, 18]."""
    side = len(crop)
    per_radian = np.float32(DIRECTIONS / (2 * np.pi))
    one = np.float32(1)
    for y in range(side):
        above, here, below = crop[max(y - 1, 0)], crop[y], crop[min(y + 1, side - 1)]
        upper_row, lower_row = histograms[lower[y]], histograms[lower[y] + 1]
        for x in range(side):
            before, after = max(x - 1, 0), min(x + 1, side - 1)
            best, gx, gy = np.float32(0), np.float32(0), np.float32(0)
            for c in range(3):
                dx = here[after, c] - here[before, c]
                dy = below[x, c] - above[x, c]
                squared = dx * dx + dy * dy
                if squared > best:
                    best, gx, gy = squared, dx, dy
            if best == 0:
                continue
            # Adding a turn keeps the number above 0, where int() rounds down; a whole turn is direction 0.
            direction = np.arctan2(gy, gx) * per_radian + np.float32(DIRECTIONS)
            first = int(direction)
            second_share = direction - np.float32(first)
            first = first - DIRECTIONS if first >= DIRECTIONS else first
            second = first + 1 if first < DIRECTIONS - 1 else 0
            length = np.sqrt(best)
            up, left, column = length * weight[y], weight[x], lower[x]
            down = length - up
            for votes, share in (
                (upper_row[column], up * left),
                (upper_row[column + 1], up * (one - left)),
                (lower_row[column], down * left),
                (lower_row[column + 1], down * (one - left)),
            ):
                to_second = share * second_share
                votes[first] += share - to_second
                votes[second] += to_second


@njit(cache=True, nogil=True)
def _normalise(histograms, found):
    """The 31 figures of all cells but the outermost, from the histograms, float32 [cells, cells, 18]."""
    n = len(histograms)
    half = DIRECTIONS // 2
    energy = np.zeros((n, n), np.float32)
    for row in range(n):
        for column in range(n):
            for d in range(half):
                unsigned = histograms[row, column, d] + histograms[row, column, d + half]
                energy[row, column] += unsigned * unsigned
    factor = np.empty((n - 1, n - 1), np.float32)
    for row in range(n - 1):
        for column in range(n - 1):
            block = energy[row, column] + energy[row, column + 1]
            block += energy[row + 1, column] + energy[row + 1, column + 1]
            factor[row, column] = 1 / np.sqrt(block + _EPSILON)
    for row in range(1, n - 1):
        for column in range(1, n - 1):
            figures = found[row - 1, column - 1]
            figures[:] = 0
            for k in range(4):
                scale = factor[row - 1 + k // 2, column - 1 + k % 2]
                for d in range(DIRECTIONS):
                    value = min(histograms[row, column, d] * scale, CLIP)
                    figures[d] += _BLOCK_WEIGHT * value
                    figures[DIRECTIONS + half + k] += _TEXTURE_WEIGHT * value
                for d in range(half):
                    unsigned = histograms[row, column, d] + histograms[row, column, d + half]
                    figures[DIRECTIONS + d] += _BLOCK_WEIGHT * min(unsigned * scale, CLIP)
