"""Graph segmentation: the small regions from which selective search starts.

Every pixel is a node, joined to its eight neighbours by edges weighted with the difference of their colours.
Edges are taken from the lightest to the heaviest, and an edge joins the two components it touches when it is
hardly heavier than the heaviest edge already inside each of them. "Hardly" is ``scale / size``: the larger a
component has grown, the stricter it is, so that smooth areas become large segments and busy ones small.

Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 2004.
"""

import cv2
import numpy as np
from numba import njit

# Edge weights are rounded to 1 / WEIGHT_STEPS of a grey level, so that one counting pass sorts them.
WEIGHT_STEPS = 16
# Weights of at least MAX_WEIGHT grey levels (three channels differ by 441 at most) are all taken as equal.
MAX_WEIGHT = 256
# The neighbours that come later in reading order: right, below, below right, below left.
N_DIRECTIONS = 4
STEPS_DOWN = (0, 1, 1, 1)
STEPS_RIGHT = (1, 0, 1, -1)


def segment(channels, *, scale: float, sigma: float = 0.8, min_size: int = 50) -> np.ndarray:
    """Cut an image into segments of similar colour.

    Parameters
    ----------
    channels : array of shape [H, W] or [H, W, C]
        The image in any colour space, in grey levels (0 to 255).
    scale : float
        The paper's k: larger values give larger segments.
    sigma : float
        Standard deviation, in pixels, of the Gaussian blur applied first; 0 for none.
    min_size : int
        Segments of fewer pixels are joined to a neighbour, over the lightest edge that leads out of them.

    Returns
    -------
    int32 array of shape [H, W]
        The number of each pixel's segment; segments are numbered from 0 in reading order.

    Notes
    -----
    Differs from the paper in one thing: weights are rounded to 1/16 of a grey level and capped at 256.
    """
    return segment_scales(channels, scales=(scale,), sigma=sigma, min_sizes=(min_size,))[0]


def segment_scales(channels, *, scales, sigma: float = 0.8, min_sizes) -> list[np.ndarray]:
    """`segment` for several scales: the edges are weighed and sorted only once.

    Parameters
    ----------
    channels, sigma
        As for `segment`.
    scales, min_sizes : sequences of equal length

    Returns
    -------
    list of int32 arrays of shape [H, W], one for each scale
    """
    height, width = np.shape(channels)[:2]
    edges, bucket_starts = sorted_edges(channels, sigma=sigma)
    return [
        _grow_segments(edges, bucket_starts, height, width, np.float32(scale), min_size)
        for scale, min_size in zip(scales, min_sizes, strict=True)
    ]


def sorted_edges(channels, *, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Weigh the edges between neighbouring pixels and sort them from light to heavy.

    Returns
    -------
    edges : uint32 array of shape [E]
        ``4 * pixel + direction`` of each edge. Edges of equal weight stay in reading order.
    bucket_starts : int64 array of shape [MAX_WEIGHT * WEIGHT_STEPS + 2]
        The edges of weight ``b / WEIGHT_STEPS`` are ``edges[bucket_starts[b]:bucket_starts[b + 1]]``.
    """
    pixels = np.asarray(channels, dtype=np.float32)
    if sigma > 0:
        pixels = cv2.GaussianBlur(pixels, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)
    planes = np.ascontiguousarray(pixels.reshape(*np.shape(channels)[:2], -1).transpose(2, 0, 1))
    return _sort_edges(_weigh_edges(planes))


@njit(cache=True, nogil=True)
def _weigh_edges(planes):
    """Return each edge's weight in steps of 1 / WEIGHT_STEPS, uint16 [4, H, W], from the channels [C, H, W].

    Edges that would leave the image get the weight one above the largest.
    """
    n_channels, height, width = planes.shape
    heaviest = np.int32(MAX_WEIGHT * WEIGHT_STEPS)
    weights = np.full((N_DIRECTIONS, height, width), heaviest + 1, dtype=np.uint16)
    squared = np.empty(width, dtype=np.float32)
    for direction in range(N_DIRECTIONS):
        down, right = STEPS_DOWN[direction], STEPS_RIGHT[direction]
        start, stop = max(0, -right), width - max(0, right)
        for y in range(height - down):
            squared[:] = 0
            for channel in range(n_channels):
                here = planes[channel, y, start:stop]
                there = planes[channel, y + down, start + right : stop + right]
                for x in range(len(here)):
                    difference = here[x] - there[x]
                    squared[x] += difference * difference
            row = weights[direction, y, start:stop]
            for x in range(len(row)):
                rounded = np.int32(np.sqrt(squared[x]) * np.float32(WEIGHT_STEPS) + np.float32(0.5))
                row[x] = min(rounded, heaviest)
    return weights


@njit(cache=True, nogil=True)
def _sort_edges(weights):
    """Counting sort: one pass in reading order drops each edge into the next free place of its weight."""
    outside = MAX_WEIGHT * WEIGHT_STEPS + 1
    counts = np.zeros(outside + 1, dtype=np.int64)
    for weight in weights.ravel():
        counts[weight] += 1
    bucket_starts = np.zeros(outside + 1, dtype=np.int64)
    bucket_starts[1:] = np.cumsum(counts[:outside])
    next_place = bucket_starts.copy()
    edges = np.empty(bucket_starts[-1], dtype=np.uint32)
    by_pixel = weights.reshape(N_DIRECTIONS, -1)
    for pixel in range(by_pixel.shape[1]):
        for direction in range(N_DIRECTIONS):
            weight = by_pixel[direction, pixel]
            if weight < outside:
                edges[next_place[weight]] = N_DIRECTIONS * pixel + direction
                next_place[weight] += 1
    return edges, bucket_starts


@njit(cache=True, nogil=True)
def _find(parents, node):
    """Return the root of `node`, halving the path to it on the way."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit(cache=True, nogil=True)
def _grow_segments(edges, bucket_starts, height, width, scale, min_size):
    """Join pixels into segments, then small segments into their neighbours, and number the result."""
    n_pixels = height * width
    # Everything that indexes is unsigned: it saves numba the test for negative indices, a quarter of the time.
    steps = np.array([1, width, width + 1, width - 1], dtype=np.uint32)
    parents = np.arange(n_pixels).astype(np.uint32)
    sizes = np.ones(n_pixels, dtype=np.uint32)
    # The heaviest edge that a component would still accept: Int(C) + scale / |C| in the paper.
    limits = np.full(n_pixels, scale, dtype=np.float32)
    rejected = np.empty(len(edges), dtype=np.uint32)
    n_rejected = 0

    for bucket in range(len(bucket_starts) - 1):
        weight = np.float32(bucket / WEIGHT_STEPS)
        for edge in edges[bucket_starts[bucket] : bucket_starts[bucket + 1]]:
            pixel = np.uint32(edge >> np.uint32(2))
            a = _find(parents, pixel)
            b = _find(parents, np.uint32(pixel + steps[edge & np.uint32(3)]))
            if a == b:
                continue
            if weight <= limits[a] and weight <= limits[b]:
                if sizes[a] < sizes[b]:
                    a, b = b, a
                parents[b] = a
                sizes[a] += sizes[b]
                limits[a] = weight + scale / np.float32(sizes[a])
            else:
                # Written always, but kept only if one side is still small: that spares a branch.
                rejected[n_rejected] = edge
                n_rejected += (sizes[a] < min_size) | (sizes[b] < min_size)

    # Only an edge that was rejected can lead out of a small segment, and they are still in order.
    for edge in rejected[:n_rejected]:
        pixel = np.uint32(edge >> np.uint32(2))
        a = _find(parents, pixel)
        b = _find(parents, np.uint32(pixel + steps[edge & np.uint32(3)]))
        if a != b and (sizes[a] < min_size or sizes[b] < min_size):
            if sizes[a] < sizes[b]:
                a, b = b, a
            parents[b] = a
            sizes[a] += sizes[b]

    return _number_segments(parents, height, width)


@njit(cache=True, nogil=True)
def _number_segments(parents, height, width):
    """Number the roots from 0 in reading order of their first pixel."""
    numbers = np.full(len(parents), -1, dtype=np.int32)
    labels = np.empty((height, width), dtype=np.int32)
    flat = labels.ravel()
    n_segments = 0
    for pixel in range(len(parents)):
        root = _find(parents, pixel)
        if numbers[root] < 0:
            numbers[root] = n_segments
            n_segments += 1
        flat[pixel] = numbers[root]
    return labels
