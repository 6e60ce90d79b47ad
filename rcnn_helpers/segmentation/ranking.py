"""Which nodes of the merge trees are worth a look: their scores, and the order of the best that differ.

The trees of an image have some 20,000 nodes, most of them fragments of an object or of the background. A node's
score is a weighted sum of what is known of any region: its size, how strong the edges along its outline are, how
smooth and how long it is, how much of the outline is the image's border, and how alike its two parts were when
they were joined. The weights were fitted by least squares to the squared best IoU of
each node with an object, on 100 training pictures of ToyVOC (seed 0); square, as good regions are what matters.
They are about outlines in general, except for the preference for certain sizes.

Then the best are taken one by one, each time the one with the highest score less `DIVERSITY` times its largest
overlap with what has been taken (maximal marginal relevance, with which CPMC ranks its regions).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from rcnn_helpers.segmentation.codes import random_codes

# Weight of each term of the score, see `node_terms`.
WEIGHTS = {
    "size": -0.021,
    "size squared": -0.0032,
    "contrast": 0.01,
    "raggedness": -0.0126,
    "elongation": -0.007,
    "border": -0.187,
    "similarity": -0.151,
}
# What a full overlap with a region that is taken costs, in units of the score.
DIVERSITY = 0.08
# Two regions whose masks overlap by more are one.
DUPLICATE_IOU = 0.95
# The best scored nodes are looked at for diversity.
_POOL = 600
# A node of a larger share of the image is no object.
_LARGEST_SHARE = 0.9
_BLUR_SIGMA = 1.0


@dataclass(frozen=True)
class Candidates:
    """The best scored nodes of all trees, best first; no two are the same pixels of the same first segments.

    Attributes
    ----------
    tree, node : int64 [N]
        Positions in the list of trees and in the tree.
    scores : float64 [N]
    """

    tree: np.ndarray
    node: np.ndarray
    scores: np.ndarray


def candidates(image: np.ndarray, trees: Sequence, *, min_pixels: int) -> Candidates:
    """Score the nodes of all trees and keep the best.

    Parameters
    ----------
    image : uint8 [H, W, 3]
        The image that the trees were grown on.
    trees : sequence of MergeTree
    min_pixels : int
        Smaller nodes are left out.
    """
    edges = edge_strength(image)
    outlines, codes = {}, random_codes(max(tree.n_segments for tree in trees))
    found = []
    for number, tree in enumerate(trees):
        # Trees of different similarities start from the same segments.
        if id(tree.segments) not in outlines:
            outlines[id(tree.segments)] = len(outlines), _segment_outlines(tree.segments, edges)
        group, outline = outlines[id(tree.segments)]
        names, *measures = _measure_nodes(tree.children, codes[: tree.n_segments], *outline)
        nodes = np.flatnonzero(
            (tree.sizes >= min_pixels) & (tree.sizes <= _LARGEST_SHARE * tree.segments.size)
        )
        scores = node_scores(tree, nodes, *(measure[nodes] for measure in measures), edges.mean())
        found.append((np.full(len(nodes), number), nodes, scores, names[nodes] + np.uint64(group)))
    tree_index, node, scores, names = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(names[order], return_index=True)
    best = order[np.sort(first)][:_POOL]
    return Candidates(tree_index[best], node[best], scores[best])


def edge_strength(image: np.ndarray) -> np.ndarray:
    """Length of the colour gradient at each pixel, in units of Lab a pixel, float32 [H, W]."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab = cv2.GaussianBlur(lab, (0, 0), _BLUR_SIGMA)
    across, down = (cv2.Sobel(lab, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    return np.sqrt((across**2 + down**2).sum(axis=2))


def node_terms(tree, nodes, perimeter, strength, border, mean_edge: float) -> dict[str, np.ndarray]:
    """The terms of the score of some nodes of a tree, each float64 [K].

    Parameters
    ----------
    tree : MergeTree
    nodes : int64 [K]
    perimeter, strength, border : float64 [K]
        Sides of pixels along the outline inside the image, the sum of the edge strength along them, and sides of
        pixels along the image's border.
    mean_edge : float
        Mean edge strength of the image: what counts as a strong edge is relative to it.
    """
    share = tree.sizes[nodes] / tree.segments.size
    contrast = strength / np.maximum(perimeter, 1) / max(mean_edge, 1e-6)
    sides = tree.boxes[nodes, 2:] - tree.boxes[nodes, :2]
    similarity = np.concatenate([np.ones(tree.n_segments), tree.similarity])[nodes]
    length = np.maximum(perimeter + border, 1)
    return {
        "size": np.log(share),
        "size squared": np.log(share) ** 2,
        "contrast": contrast,
        "raggedness": np.log(length**2 / tree.sizes[nodes]),
        "elongation": np.abs(np.log(sides[:, 0] / sides[:, 1])),
        "border": (border / length) ** 2,
        "similarity": similarity,
    }


def node_scores(tree, nodes, perimeter, strength, border, mean_edge: float) -> np.ndarray:
    """How likely some nodes of a tree cover an object, float64 [K]; see `node_terms` for the parameters."""
    terms = node_terms(tree, nodes, perimeter, strength, border, mean_edge)
    return sum(weight * terms[name] for name, weight in WEIGHTS.items())


def atoms_and_members(trees: Sequence, found: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Cut the image along all first segments, and say which of the pieces each candidate is made of.

    Returns
    -------
    atoms : int32 [H, W]
    members : bool [N, A]
    """
    segmentations = {id(tree.segments): tree.segments for tree in trees}
    pattern = np.zeros(trees[0].segments.shape, np.uint64)
    for number, segments in enumerate(segmentations.values()):
        codes = np.random.default_rng(number).integers(0, 2**63, segments.max() + 1, dtype=np.uint64)
        pattern += codes[segments]
    _, first, number = np.unique(pattern, return_index=True, return_inverse=True)
    members = np.zeros((len(found.tree), len(first)), bool)
    for index in np.unique(found.tree):
        tree, rows = trees[index], np.flatnonzero(found.tree == index)
        segment_of_atom = tree.segments.ravel()[first]
        _mark_members(members, rows, found.node[rows], tree.children, tree.n_segments, segment_of_atom)
    return number.reshape(pattern.shape).astype(np.int32), members


def diverse_order(scores, members, atom_sizes, *, n: int | None = None) -> np.ndarray:
    """Positions of the best regions that differ, best first, int64 [at most n].

    Parameters
    ----------
    scores : float64 [N]
    members : bool [N, A]
    atom_sizes : int [A]
    n : int, optional
    """
    overlaps = _pairwise_iou(members, atom_sizes)
    n = len(scores) if n is None else min(n, len(scores))
    scores = np.array(scores, np.float64)
    largest = np.zeros(len(scores))
    order = []
    while len(order) < n:
        value = np.where(largest > DUPLICATE_IOU, -np.inf, scores - DIVERSITY * largest)
        best = int(np.argmax(value)) if len(value) else -1
        if best < 0 or value[best] == -np.inf:
            break
        order.append(best)
        largest = np.maximum(largest, overlaps[best])
        largest[best] = 1
    return np.array(order, dtype=np.int64)


def _pairwise_iou(members, atom_sizes) -> np.ndarray:
    """IoU of the masks of every two regions, float32 [N, N]."""
    weighted = members * atom_sizes.astype(np.float32)
    shared = weighted @ members.astype(np.float32).T
    sizes = np.diagonal(shared)
    return shared / np.maximum(sizes[:, None] + sizes - shared, 1)


@njit(cache=True, nogil=True)
def _segment_outlines(segments, edges):
    """Where two segments meet, side by side of pixels, and what of the image's border each segment has.

    Returns
    -------
    low, high : int32 [E]
        The two segments.
    strength : float32 [E]
        The stronger edge of the two pixels.
    border : float64 [n_segments]
    """
    height, width = segments.shape
    n_sides = 0
    for y in range(height):
        for x in range(width):
            n_sides += x + 1 < width and segments[y, x + 1] != segments[y, x]
            n_sides += y + 1 < height and segments[y + 1, x] != segments[y, x]
    low, high = np.empty(n_sides, np.int32), np.empty(n_sides, np.int32)
    strength = np.empty(n_sides, np.float32)
    border = np.zeros(segments.max() + 1)
    k = 0
    for y in range(height):
        for x in range(width):
            here = segments[y, x]
            border[here] += (x == 0) + (y == 0) + (x == width - 1) + (y == height - 1)
            for down, right in ((0, 1), (1, 0)):
                if y + down < height and x + right < width and segments[y + down, x + right] != here:
                    low[k], high[k] = here, segments[y + down, x + right]
                    strength[k] = max(edges[y, x], edges[y + down, x + right])
                    k += 1
    return low, high, strength, border


@njit(cache=True, nogil=True)
def _measure_nodes(children, codes, low, high, strength, segment_border):
    """Name and outline of every node of a tree, from those of its first segments.

    A node's outline is its parts' less twice what lies between them; a side of two pixels comes to lie inside at
    the node where its two segments meet.

    Returns
    -------
    names : uint64 [n_nodes]
        Equal for nodes of the same segments, in whatever tree.
    perimeter, total_strength, border : float64 [n_nodes]
        See `node_terms`.
    """
    n_segments = len(segment_border)
    n_nodes = n_segments + len(children)
    names = np.zeros(n_nodes, np.uint64)
    names[:n_segments] = codes
    perimeter, total_strength, border = np.zeros(n_nodes), np.zeros(n_nodes), np.zeros(n_nodes)
    border[:n_segments] = segment_border
    parent = np.empty(n_nodes, np.int64)
    for merge in range(len(children)):
        parent[children[merge, 0]] = parent[children[merge, 1]] = n_segments + merge

    for side in range(len(low)):
        a, b = np.int64(low[side]), np.int64(high[side])
        for node in (a, b):
            perimeter[node] += 1
            total_strength[node] += strength[side]
        while a != b:  # parents have higher numbers than their parts
            if a < b:
                a = parent[a]
            else:
                b = parent[b]
        perimeter[a] -= 2
        total_strength[a] -= 2 * strength[side]

    for merge in range(len(children)):
        node = n_segments + merge
        for child in children[merge]:
            names[node] += names[child]
            perimeter[node] += perimeter[child]
            total_strength[node] += total_strength[child]
            border[node] += border[child]
    return names, perimeter, total_strength, border


@njit(cache=True, nogil=True)
def _mark_members(members, rows, nodes, children, n_segments, segment_of_atom):
    """Set ``members[row, atom]`` for the atoms of each node."""
    inside = np.empty(n_segments + len(children), np.bool_)
    for k in range(len(nodes)):
        inside[:] = False
        inside[nodes[k]] = True
        for merge in range(nodes[k] - n_segments, -1, -1):
            if inside[n_segments + merge]:
                inside[children[merge, 0]] = inside[children[merge, 1]] = True
        for atom in range(len(segment_of_atom)):
            members[rows[k], atom] = inside[segment_of_atom[atom]]
