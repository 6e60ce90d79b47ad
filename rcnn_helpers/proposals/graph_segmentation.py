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
# The four neighbours that come later in some direction: right, below, below right, below left.
N_DIRECTIONS = 4


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
    pixels = np.ascontiguousarray(pixels.reshape(*np.shape(channels)[:2], -1))
    buckets, counts = _weigh_edges(pixels)
    return _sort_edges(buckets, counts)


@njit(cache=True, nogil=True)
def _weigh_edges(pixels):
    """Return each edge's rounded weight, uint16 [H, W, 4], and how many edges have each weight.

    Edges that would leave the image get the weight one above the largest, which sorts them out of the way.
    """
    height, width, n_channels = pixels.shape
    heaviest = MAX_WEIGHT * WEIGHT_STEPS
    buckets = np.full((height, width, N_DIRECTIONS), heaviest + 1, dtype=np.uint16)
    counts = np.zeros(heaviest + 1, dtype=np.int64)
    for y in range(height):
        for x in range(width):
            for direction in range(N_DIRECTIONS):
                if direction == 0:
                    neighbour_y, neighbour_x = y, x + 1
                elif direction == 1:
                    neighbour_y, neighbour_x = y + 1, x
                elif direction == 2:
                    neighbour_y, neighbour_x = y + 1, x + 1
                else:
                    neighbour_y, neighbour_x = y + 1, x - 1
                if neighbour_y >= height or neighbour_x >= width or neighbour_x < 0:
                    continue
                squared = np.float32(0)
                for channel in range(n_channels):
                    difference = pixels[y, x, channel] - pixels[neighbour_y, neighbour_x, channel]
                    squared += difference * difference
                bucket = min(int(np.sqrt(squared) * WEIGHT_STEPS + np.float32(0.5)), heaviest)
                buckets[y, x, direction] = bucket
                counts[bucket] += 1
    return buckets, counts


@njit(cache=True, nogil=True)
def _sort_edges(buckets, counts):
    """Counting sort: one pass in reading order drops each edge into the next free place of its weight."""
    bucket_starts = np.zeros(len(counts) + 1, dtype=np.int64)
    bucket_starts[1:] = np.cumsum(counts)
    next_place = bucket_starts.copy()
    edges = np.empty(bucket_starts[-1], dtype=np.uint32)
    flat = buckets.ravel()
    for edge in range(len(flat)):
        bucket = flat[edge]
        if bucket < len(counts):
            edges[next_place[bucket]] = edge
            next_place[bucket] += 1
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
                rejected[n_rejected] = edge
                n_rejected += 1

    # Only an edge that was rejected can lead out of a segment, and they are still in order.
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
