"""Selective search: boxes around everything that hangs together, at every size.

An image is cut into small segments (`graph_segmentation`). The two most similar neighbours are joined, and again,
until the whole image is one region: a tree of regions, whose boxes are the proposals. What counts as similar is
debatable, so the search runs several times, with different colour spaces, segment sizes and measures of
similarity, and pools the boxes.

Uijlings, van de Sande, Gevers and Smeulders, "Selective search for object recognition", IJCV 2013. The R-CNN
paper uses its fast mode (sec. 2.1), with about 2000 boxes an image.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numba import njit

from rcnn_helpers.proposals.colour_spaces import convert
from rcnn_helpers.proposals.graph_segmentation import segment_scales
from rcnn_helpers.settings import MAX_PROPOSALS

COLOUR_BINS = 25
TEXTURE_BINS = 10
TEXTURE_SIGMA = 0.8
# Derivatives of at least this much, in units of the grey range a pixel, fall into the last texture bin.
TEXTURE_CEILING = 0.43
# Directions 45 degrees apart. Each is one half of an axis: light to dark and dark to light count separately.
N_ORIENTATIONS = 8
TEXTURE_BINS_PER_CHANNEL = N_ORIENTATIONS * TEXTURE_BINS
# Similarities, 0 to 1, are rounded down to whole multiples of one over this while regions are joined, and share a
# number of 64 bits with the number of their pair.
SIMILARITY_STEPS = np.float32(2**30)
PAIR_BITS = 32
PAIR_MASK = 2**PAIR_BITS - 1
# The side of a square, in pixels, from which on a box counts as large; see `Settings.duplicate_iou`.
LARGE_BOX = 160


@dataclass(frozen=True)
class Settings:
    """Which searches are run, and what happens to their pooled boxes.

    A search is run for every colour space with every scale with every similarity.

    Attributes
    ----------
    colour_spaces : tuple of str
        Names in `colour_spaces.COLOUR_SPACES`.
    scales : tuple of float
        The k of the graph segmentation, in grey levels.
    similarities : tuple of str
        Each names the terms it averages: C(olour), T(exture), S(ize) and F(ill), as in ``"CTSF"``.
    min_sizes : tuple of int, optional
        The smallest segment of each scale, in pixels; by default the same number as the scale.
    sigma : float
        Blur before the segmentation, in pixels.
    duplicate_iou : tuple of two floats
        A box that overlaps a better ranked one by at least this is left out; ``(1, 1)`` leaves out equal boxes
        only. The first number is for the smallest boxes and the second for boxes of at least
        ``LARGE_BOX * LARGE_BOX`` pixels; in between it grows with the square root of the area.
    min_width : int
        Boxes narrower or lower than this, in pixels of the searched image, are left out.
    max_boxes : int or None
        Number of boxes kept; None for all.

    `min_width` and `max_boxes` hold unless the caller asks for others.
    """

    colour_spaces: tuple[str, ...]
    scales: tuple[float, ...]
    similarities: tuple[str, ...]
    min_sizes: tuple[int, ...] | None = None
    sigma: float = 0.8
    duplicate_iou: tuple[float, float] = (1.0, 1.0)
    min_width: int = 20
    max_boxes: int | None = None


# "fast" goes beyond the paper, within its budget of 2000 boxes and for hardly more time, as grouping is cheap
# beside segmentation: smaller segments at the finer scale, six ways of grouping instead of two, boxes from 16
# pixels on, and near duplicates thinned out to make room for boxes that differ, most of all among the small boxes,
# of which there are so many more. The others are the paper's, with the smallest segments and boxes of the authors'
# code.
MODES = {
    "single": Settings(("hsv",), (100,), ("CTSF",)),
    "fast": Settings(
        ("hsv", "lab"),
        (50, 100),
        ("CTSF", "TSF", "CSF", "SF", "S", "F"),
        min_sizes=(20, 100),
        duplicate_iou=(0.6, 0.8),
        min_width=16,
        max_boxes=MAX_PROPOSALS,
    ),
    "fast_uijlings": Settings(("hsv", "lab"), (50, 100), ("CTSF", "TSF")),
    "quality": Settings(
        ("hsv", "lab", "rgi", "hue", "intensity"), (50, 100, 150, 300), ("CTSF", "TSF", "F", "S")
    ),
}


@dataclass(frozen=True)
class MergeTree:
    """The regions of one search: the first segments, and every region made by joining two others.

    Nodes 0 to ``n_segments - 1`` are the segments; node ``n_segments + i`` is made by merge i, and the last node
    is the whole image.

    Attributes
    ----------
    name : str
        The colour space, scale and similarity, for titles.
    segments : int32 array of shape [H, W]
        Each pixel's segment.
    children : int32 array of shape [M, 2]
        The two nodes that each merge joins.
    similarity : float32 array of shape [M]
        How similar they were, 0 to 1.
    boxes : float32 array of shape [n_segments + M, 4]
        The tightest box around each node.
    sizes : int64 array of shape [n_segments + M]
        Pixels of each node.
    """

    name: str
    segments: np.ndarray = field(repr=False)
    children: np.ndarray = field(repr=False)
    similarity: np.ndarray = field(repr=False)
    boxes: np.ndarray = field(repr=False)
    sizes: np.ndarray = field(repr=False)

    @property
    def n_segments(self) -> int:
        """Number of segments before the first merge."""
        return len(self.boxes) - len(self.children)

    def mask(self, node: int) -> np.ndarray:
        """Return the pixels of a node, bool [H, W]."""
        inside = np.zeros(len(self.boxes), dtype=bool)
        inside[node] = True
        for merge in reversed(range(len(self.children))):
            if inside[self.n_segments + merge]:
                inside[self.children[merge]] = True
        return inside[self.segments]

    def labels_after(self, n_merges: int) -> np.ndarray:
        """Return the node that each pixel belongs to after the first `n_merges` merges, int32 [H, W]."""
        if not 0 <= n_merges <= len(self.children):
            raise ValueError(f"n_merges must lie between 0 and {len(self.children)}, got {n_merges}")
        owner = np.arange(len(self.boxes), dtype=np.int32)
        for merge in reversed(range(n_merges)):
            owner[self.children[merge]] = owner[self.n_segments + merge]
        return owner[self.segments]


@dataclass(frozen=True)
class Proposals:
    """Ranked boxes, and the region that each was drawn around.

    Attributes
    ----------
    boxes : float32 array of shape [N, 4]
        In pixels of the image, best first.
    trees : list of MergeTree
        One for each search; their coordinates are those of the image as it was searched, perhaps shrunk.
    tree : int array of shape [N]
        The search that found each box.
    node : int array of shape [N]
        Its region in that search's tree.
    height, width : int
        Size of the image.
    """

    boxes: np.ndarray
    trees: list[MergeTree] = field(repr=False)
    tree: np.ndarray = field(repr=False)
    node: np.ndarray = field(repr=False)
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, index: int) -> np.ndarray:
        """Return the region inside box `index`, bool [H, W] in pixels of the image."""
        mask = self.trees[self.tree[index]].mask(self.node[index])
        if mask.shape == (self.height, self.width):
            return mask
        full = cv2.resize(mask.astype(np.uint8), (self.width, self.height), interpolation=cv2.INTER_NEAREST)
        return full.astype(bool)


def selective_search(
    image,
    *,
    mode: str | Settings = "fast",
    min_width: int | None = None,
    max_boxes: int | None = None,
    max_size: int = 500,
    seed: int = 0,
    compat: str | None = None,
) -> np.ndarray:
    """Propose boxes that may hold an object.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        RGB.
    mode : str or Settings
        A name in `MODES`, or settings of your own.
    min_width : int, optional
        Boxes narrower or lower than this, in pixels of the searched image, are left out; by default as the mode
        says: 16 for ``"fast"`` and 20 for the others.
    max_boxes : int, optional
        Keep at most so many of the best ranked boxes; by default as the mode says: 2000 for ``"fast"`` and all
        for the others.
    max_size : int
        An image of more than ``max_size * max_size`` pixels is shrunk to that many, and the boxes found are
        scaled back. (The original makes every image 500 pixels wide.)
    seed : int
        Seed of the ranking.
    compat : {None, "uijlings2013"}
        ``"uijlings2013"`` repeats two quirks of the authors' code; see `texture_codes` and `group`.

    Returns
    -------
    float32 array of shape [N, 4]
        Boxes in pixels of `image`, best first, all different. Empty for an image smaller than `min_width`.
    """
    return search_regions(
        image,
        mode=mode,
        min_width=min_width,
        max_boxes=max_boxes,
        max_size=max_size,
        seed=seed,
        compat=compat,
    ).boxes


def search_regions(
    image,
    *,
    mode: str | Settings = "fast",
    min_width: int | None = None,
    max_boxes: int | None = None,
    max_size: int = 500,
    seed: int = 0,
    compat: str | None = None,
) -> Proposals:
    """`selective_search` that also returns the regions; the parameters are the same."""
    image = _check_image(image)
    settings = _get_settings(mode)
    height, width = image.shape[:2]
    searched = _shrink(image, max_size)
    trees = merge_trees(searched, settings, compat=compat)
    boxes, tree, node = _rank(trees, n_similarities=len(settings.similarities), seed=seed)

    min_width = settings.min_width if min_width is None else min_width
    wide_enough = (boxes[:, 2:] - boxes[:, :2] >= min_width).all(axis=1)
    boxes, tree, node = boxes[wide_enough], tree[wide_enough], node[wide_enough]
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    duplicate_iou = np.interp(sides, [0, LARGE_BOX], settings.duplicate_iou).astype(np.float32)
    limit = settings.max_boxes if max_boxes is None else max_boxes
    kept = _drop_duplicates(boxes, duplicate_iou, len(boxes) if limit is None else limit)
    scale = np.array([width / searched.shape[1], height / searched.shape[0]] * 2, dtype=np.float32)
    return Proposals(boxes[kept] * scale, trees, tree[kept], node[kept], height, width)


def merge_trees(image, mode: str | Settings = "fast", *, compat: str | None = None) -> list[MergeTree]:
    """Run all searches of a mode and return their trees.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        RGB; searched at its full size.
    mode, compat
        As for `selective_search`.

    Returns
    -------
    list of MergeTree
        Ordered by colour space, then scale, then similarity.
    """
    settings = _get_settings(mode)
    image = _check_image(image)
    trees = []
    for space in settings.colour_spaces:
        channels = convert(image, space)
        segmentations = segment_scales(
            channels,
            scales=settings.scales,
            sigma=settings.sigma,
            min_sizes=settings.min_sizes or [int(scale) for scale in settings.scales],
        )
        textures = texture_codes(channels, compat=compat)
        for scale, segments in zip(settings.scales, segmentations, strict=True):
            regions = _describe(segments, channels, textures)
            for similarity in settings.similarities:
                name = f"{space}, k = {scale:g}, {similarity}"
                trees.append(_grow_tree(name, segments, regions, similarity, compat))
    return trees


def group(
    channels, segments, *, similarity: str = "CTSF", compat: str | None = None, name: str = ""
) -> MergeTree:
    """Join the two most similar neighbouring regions until one is left.

    The similarity of two regions is the mean of the terms named by `similarity`, each between 0 and 1:

    - C, colour: the intersection (sum of minima) of their colour histograms;
    - T, texture: the intersection of their texture histograms;
    - S, size: 1 - (size_a + size_b) / size_image, so that small regions go first;
    - F, fill: 1 - (box_ab - size_a - size_b) / size_image, so that regions that fit into each other go first.

    Parameters
    ----------
    channels : uint8 array of shape [H, W, C]
        The image in some colour space.
    segments : int32 array of shape [H, W]
        Segments numbered from 0, as `graph_segmentation.segment` returns them.
    similarity : str
        Letters out of C, T, S, F.
    compat : {None, "uijlings2013"}
        The authors' code divides the size of a region by three once too often in S and F.
    name : str
        Name of the tree.
    """
    channels = np.asarray(channels)
    channels = channels.reshape(*channels.shape[:2], -1)
    regions = _describe(segments, channels, texture_codes(channels, compat=compat))
    return _grow_tree(name, segments, regions, similarity, compat)


@dataclass(frozen=True)
class _Regions:
    """What grouping needs to know of the segments, and which of them touch."""

    sizes: np.ndarray  # int64 [n]
    boxes: np.ndarray  # int32 [n, 4]
    colours: np.ndarray  # float32 [n, 25 C]
    textures: np.ndarray  # float32 [n, 80 C]
    pairs: np.ndarray  # int32 [P, 2], each pair of neighbours once


def _check_image(image) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image must be uint8 of shape [H, W, 3], got {image.dtype} {list(image.shape)}; "
            "read it with rcnn_helpers.images.read_image"
        )
    return image


def _get_settings(mode: str | Settings) -> Settings:
    if isinstance(mode, Settings):
        return mode
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    return MODES[mode]


def _shrink(image: np.ndarray, max_size: int) -> np.ndarray:
    """Shrink an image of more than `max_size` squared pixels to about that many."""
    height, width = image.shape[:2]
    scale = max_size / np.sqrt(height * width)
    if scale >= 1:
        return image
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)


def texture_codes(channels, *, compat: str | None = None) -> np.ndarray:
    """Return the texture bins that each pixel falls into.

    Gaussian derivatives are taken along four axes: 0, 45, 90 and 135 degrees. Each value counts for one of the
    two directions of its axis, by its sign, and falls into one of ten bins by its size.

    Parameters
    ----------
    channels : uint8 array of shape [H, W, C]
    compat : {None, "uijlings2013"}
        The authors' code takes the texture of the first channel for that of all channels.

    Returns
    -------
    uint8 array of shape [4, H, W, C]
        For each axis ``10 * direction + bin``, with directions numbered 0 to 7.
    """
    channels = np.asarray(channels)
    if compat == "uijlings2013":
        channels = np.repeat(channels[:, :, :1], channels.shape[2], axis=2)
    offsets = np.arange(-4, 5)
    smooth = np.exp(-(offsets**2) / (2 * TEXTURE_SIGMA**2))
    smooth /= smooth.sum()
    slope = smooth * offsets
    slope /= (slope * offsets).sum()
    border = cv2.BORDER_REPLICATE
    along_x = cv2.sepFilter2D(channels, cv2.CV_32F, slope, smooth, borderType=border)
    along_y = cv2.sepFilter2D(channels, cv2.CV_32F, smooth, slope, borderType=border)
    codes = np.empty((4, *channels.shape), dtype=np.uint8)
    _write_texture_codes(codes.reshape(4, -1), along_x.ravel(), along_y.ravel())
    return codes


@njit(cache=True, nogil=True)
def _write_texture_codes(codes, along_x, along_y):
    bins_per_level = np.float32(TEXTURE_BINS / (TEXTURE_CEILING * 255))
    half = np.float32(np.sqrt(0.5))
    for i in range(len(along_x)):
        dx = along_x[i] * bins_per_level
        dy = along_y[i] * bins_per_level
        codes[0, i] = _signed_bin(dx, 0)
        codes[1, i] = _signed_bin((dx + dy) * half, 1)
        codes[2, i] = _signed_bin(dy, 2)
        codes[3, i] = _signed_bin((dy - dx) * half, 3)


@njit(cache=True, nogil=True)
def _signed_bin(value, axis):
    """Return ``10 * direction + bin``: direction `axis` for positive values, ``axis + 4`` for negative ones."""
    strength = min(np.int32(abs(value)), np.int32(TEXTURE_BINS - 1))
    return np.uint8(TEXTURE_BINS * (axis + 4 * (value < 0)) + strength)


def _describe(segments, channels, textures) -> _Regions:
    n = int(segments.max()) + 1
    sizes, boxes, colours, texture_histograms = describe_segments(segments, n, channels, textures)
    return _Regions(sizes, boxes, colours, texture_histograms, neighbour_pairs(segments))


@njit(cache=True, nogil=True)
def describe_segments(segments, n_segments, channels, textures):
    """Count the pixels, the box and the two histograms of every segment.

    Returns
    -------
    sizes : int64 array of shape [n]
    boxes : int32 array of shape [n, 4]
    colours : float32 array of shape [n, 25 C]
        Sums to 1. Bins are centred on 0/24, 1/24, ... 24/24 of the range, so that the two outer ones are half
        as wide.
    textures : float32 array of shape [n, 80 C]
        Sums to 1.
    """
    height, width, n_channels = channels.shape
    sizes = np.zeros(n_segments, dtype=np.int64)
    boxes = np.empty((n_segments, 4), dtype=np.int32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = width, height, 0, 0
    colour_counts = np.zeros((n_segments, n_channels * COLOUR_BINS), dtype=np.int32)
    texture_counts = np.zeros((n_segments, n_channels * TEXTURE_BINS_PER_CHANNEL), dtype=np.int32)
    colour_bin = np.array(
        [int(level / 255 * (COLOUR_BINS - 1) + 0.5) for level in range(256)], dtype=np.uint32
    )

    for y in range(height):
        for x in range(width):
            segment = np.uint32(segments[y, x])
            sizes[segment] += 1
            boxes[segment, 0] = min(boxes[segment, 0], x)
            boxes[segment, 1] = min(boxes[segment, 1], y)
            boxes[segment, 2] = max(boxes[segment, 2], x + 1)
            boxes[segment, 3] = max(boxes[segment, 3], y + 1)
            for channel in range(n_channels):
                first = np.uint32(channel * COLOUR_BINS)
                colour_counts[segment, first + colour_bin[channels[y, x, channel]]] += 1
                first = np.uint32(channel * TEXTURE_BINS_PER_CHANNEL)
                for axis in range(4):
                    texture_counts[segment, first + textures[axis, y, x, channel]] += 1

    for segment in range(n_segments):
        for first in range(0, n_channels * TEXTURE_BINS_PER_CHANNEL, TEXTURE_BINS):
            # A pixel that is not counted for a direction, but for its opposite, has strength 0 in it.
            stronger = texture_counts[segment, first + 1 : first + TEXTURE_BINS].sum()
            texture_counts[segment, first] = sizes[segment] - stronger
    return sizes, boxes, _as_histograms(colour_counts), _as_histograms(texture_counts)


@njit(cache=True, nogil=True)
def _as_histograms(counts):
    """Divide each row by its sum."""
    histograms = np.empty(counts.shape, dtype=np.float32)
    for row in range(len(counts)):
        share = np.float32(1 / counts[row].sum())
        for i in range(counts.shape[1]):
            histograms[row, i] = counts[row, i] * share
    return histograms


@njit(cache=True, nogil=True)
def neighbour_pairs(segments):
    """Return the pairs of segments that share a side of a pixel, int32 [P, 2], each once, lower number first.

    They are ordered by their lower number.
    """
    height, width = segments.shape
    n_segments = segments.max() + 1
    # Along a border the same two segments meet at many pixels in a row, of which the first one is noted.
    low, high = [], []
    for down, right in ((0, 1), (1, 0)):
        for y in range(height - down):
            last_here, last_there = -1, -1
            for x in range(width - right):
                here, there = segments[y, x], segments[y + down, x + right]
                if here != there and (here != last_here or there != last_there):
                    low.append(min(here, there))
                    high.append(max(here, there))
                last_here, last_there = here, there

    # A chain of notes for every lower number, and a mark on every higher number that it has met before.
    first_note = np.full(n_segments, -1, dtype=np.int32)
    next_note = np.empty(len(low), dtype=np.int32)
    for note in range(len(low)):
        next_note[note] = first_note[low[note]]
        first_note[low[note]] = note
    met_by = np.full(n_segments, -1, dtype=np.int32)
    pairs = np.empty((len(low), 2), dtype=np.int32)
    n_pairs = 0
    for segment in range(n_segments):
        note = first_note[segment]
        while note >= 0:
            other = high[note]
            if met_by[other] != segment:
                met_by[other] = segment
                pairs[n_pairs, 0], pairs[n_pairs, 1] = segment, other
                n_pairs += 1
            note = next_note[note]
    return pairs[:n_pairs].copy()


def _grow_tree(name, segments, regions: _Regions, similarity: str, compat: str | None) -> MergeTree:
    if not similarity or set(similarity) - set("CTSF"):
        raise ValueError(f"similarity must be made of the letters C, T, S and F, got {similarity!r}")
    if compat not in (None, "uijlings2013"):
        raise ValueError(f"unknown compat {compat!r}; choose None or 'uijlings2013'")
    weights = np.array([letter in similarity for letter in "CTSF"], dtype=np.float32)
    # Histograms that play no part are cut to no bins, which spares joining them.
    colours = regions.colours if "C" in similarity else regions.colours[:, :0]
    textures = regions.textures if "T" in similarity else regions.textures[:, :0]
    children, merged_similarity, boxes, sizes = _merge_regions(
        regions.sizes,
        regions.boxes,
        np.ascontiguousarray(colours),
        np.ascontiguousarray(textures),
        regions.pairs,
        weights / weights.sum(),
        np.float32(segments.size),
        np.float32(3 if compat == "uijlings2013" else 1),
    )
    return MergeTree(name, segments, children, merged_similarity, boxes.astype(np.float32), sizes)


@njit(cache=True, nogil=True, fastmath=True)
def _intersection(a, b):
    """Sum of the minima of two histograms."""
    total = np.float32(0)
    for i in range(len(a)):
        total += min(a[i], b[i])
    return total


@njit(cache=True, nogil=True)
def _similarity(a, b, sizes, boxes, colours, textures, weights, image_size, size_divisor):
    """Weighted sum of the four terms, at least 0 even after rounding."""
    total = np.float32(0)
    if weights[0] > 0:
        total += weights[0] * _intersection(colours[a], colours[b])
    if weights[1] > 0:
        total += weights[1] * _intersection(textures[a], textures[b])
    both = np.float32(sizes[a] + sizes[b]) / size_divisor
    if weights[2] > 0:
        total += weights[2] * (1 - both / image_size)
    if weights[3] > 0:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        total += weights[3] * (1 - (np.float32(width) * np.float32(height) - both) / image_size)
    return max(total, np.float32(0))


@njit(cache=True, nogil=True)
def _merge_regions(sizes, boxes, colours, textures, pairs, weights, image_size, size_divisor):
    """Join the most similar pair of neighbours until no pair is left. See `group` for the similarity."""
    n_segments = len(sizes)
    n_nodes = 2 * n_segments - 1
    sizes = _with_room(sizes, n_nodes)
    boxes = _with_room(boxes, n_nodes)
    colours = _with_room(colours, n_nodes)
    textures = _with_room(textures, n_nodes)
    children = np.empty((n_segments - 1, 2), dtype=np.int32)
    merged_similarity = np.empty(n_segments - 1, dtype=np.float32)

    # Pair p has the ends 2 p and 2 p + 1, and every node a chain of its ends. The key of a pair is its similarity
    # as a whole number, followed by its own number: the largest key is found by a loop without branches and names
    # its pair. A pair that is no more has -1.
    n_pairs = len(pairs)
    node_at = pairs.ravel().copy()
    next_end = np.empty(2 * n_pairs, dtype=np.int32)
    first_end = np.full(n_nodes, -1, dtype=np.int32)
    keys = np.empty(n_pairs, dtype=np.int64)
    for end in range(2 * n_pairs):
        next_end[end] = first_end[node_at[end]]
        first_end[node_at[end]] = end
    for pair in range(n_pairs):
        i, j = node_at[2 * pair], node_at[2 * pair + 1]
        similarity = _similarity(i, j, sizes, boxes, colours, textures, weights, image_size, size_divisor)
        keys[pair] = _key(similarity, pair)
    met_by = np.full(n_nodes, -1, dtype=np.int32)

    for merge in range(n_segments - 1):
        node = n_segments + merge
        largest = np.int64(-1)
        for key in keys:
            largest = max(largest, key)
        pair = PAIR_MASK - (largest & PAIR_MASK)
        a, b = min(node_at[2 * pair], node_at[2 * pair + 1]), max(node_at[2 * pair], node_at[2 * pair + 1])
        children[merge, 0], children[merge, 1] = a, b
        merged_similarity[merge] = (largest >> PAIR_BITS) / SIMILARITY_STEPS

        sizes[node] = sizes[a] + sizes[b]
        for corner in range(2):
            boxes[node, corner] = min(boxes[a, corner], boxes[b, corner])
            boxes[node, corner + 2] = max(boxes[a, corner + 2], boxes[b, corner + 2])
        share = np.float32(sizes[a] / sizes[node])
        _mix(colours[node], colours[a], colours[b], share)
        _mix(textures[node], textures[a], textures[b], share)

        # The ends at a and b move to the new node, except those of the pair itself and of neighbours met before.
        for child in (a, b):
            end = first_end[child]
            while end >= 0:
                following = next_end[end]
                pair, other = end >> 1, node_at[end ^ 1]
                if keys[pair] >= 0:
                    if other == a or other == b or met_by[other] == node:
                        keys[pair] = -1
                    else:
                        met_by[other] = node
                        node_at[end] = node
                        next_end[end] = first_end[node]
                        first_end[node] = end
                        similarity = _similarity(
                            other, node, sizes, boxes, colours, textures, weights, image_size, size_divisor
                        )
                        keys[pair] = _key(similarity, pair)
                end = following
    return children, merged_similarity, boxes, sizes


@njit(cache=True, nogil=True)
def _key(similarity, pair):
    """Return one number that orders pairs by their similarity, and equally similar ones by their number."""
    return (np.int64(similarity * SIMILARITY_STEPS) << PAIR_BITS) + PAIR_MASK - pair


@njit(cache=True, nogil=True)
def _mix(out, a, b, share):
    """Write the mean of two histograms, of which `a` counts for `share`."""
    rest = np.float32(1) - share
    for i in range(len(out)):
        out[i] = share * a[i] + rest * b[i]


@njit(cache=True, nogil=True)
def _with_room(array, length):
    """Copy `array` to the start of a new one with `length` rows."""
    longer = np.empty((length,) + array.shape[1:], dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def _rank(trees: list[MergeTree], *, n_similarities: int, seed: int):
    """Order the regions of all trees, those made last first, with chance mixed in.

    A region's priority is its distance from the root of its tree, 1 for the root, times a random number between
    0 and 1, so that no single search fills the top of the list (sec. 4.3 of Uijlings et al.). The segments come
    last in their tree; trees that start from the same segments list them once.
    """
    rng = np.random.default_rng(seed)
    boxes, tree_index, nodes, priorities = [], [], [], []
    for index, tree in enumerate(trees):
        n_merges = len(tree.children)
        starts_at = 0 if index % n_similarities == 0 else tree.n_segments
        node = np.arange(starts_at, len(tree.boxes))
        from_root = np.minimum(len(tree.boxes) - node, n_merges + 1)
        boxes.append(tree.boxes[starts_at:])
        tree_index.append(np.full(len(node), index))
        nodes.append(node)
        priorities.append(from_root * rng.random(len(node)))
    order = np.argsort(np.concatenate(priorities), kind="stable")
    return np.concatenate(boxes)[order], np.concatenate(tree_index)[order], np.concatenate(nodes)[order]


@njit(cache=True, nogil=True)
def _drop_duplicates(boxes, duplicate_iou, limit):
    """Return the indices of at most `limit` boxes, none overlapping an earlier one by its `duplicate_iou` [N]."""
    kept = np.empty(len(boxes), dtype=np.int64)
    if len(boxes) == 0:
        return kept
    # The IoU of two boxes is at most the quotient of their areas. Boxes are kept apart by size, in classes so wide
    # that only those of a box's own class and of the two beside it can be its duplicates.
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    class_width = -np.log(0.999 * min(duplicate_iou.min(), 0.9))
    size_class = 1 + (np.log(areas) / class_width).astype(np.int64)
    class_start = np.zeros(size_class.max() + 3, dtype=np.int64)
    for number in size_class:
        class_start[number + 1] += 1
    class_start = np.cumsum(class_start)
    class_end = class_start.copy()
    by_class = np.empty((5, len(boxes)), dtype=np.float32)
    left, top, right, bottom, kept_areas = by_class

    nothing = np.float32(0)
    n_kept = 0
    for i in range(len(boxes)):
        if n_kept >= limit:
            break
        x1, y1, x2, y2 = boxes[i]
        area, allowed = areas[i], duplicate_iou[i]
        # Counting the overlaps of 64 boxes without a branch lets the compiler use vector instructions.
        n_overlaps = 0
        for number in range(size_class[i] - 1, size_class[i] + 2):
            start = class_start[number]
            while start < class_end[number] and n_overlaps == 0:
                stop = min(start + 64, class_end[number])
                for j in range(start, stop):
                    width = max(min(x2, right[j]) - max(x1, left[j]), nothing)
                    height = max(min(y2, bottom[j]) - max(y1, top[j]), nothing)
                    shared = width * height
                    n_overlaps += shared >= allowed * (area + kept_areas[j] - shared)
                start = stop
        if n_overlaps == 0:
            kept[n_kept] = i
            n_kept += 1
            place = class_end[size_class[i]]
            left[place], top[place], right[place], bottom[place] = x1, y1, x2, y2
            kept_areas[place] = area
            class_end[size_class[i]] += 1
    return kept[:n_kept]
