"""Regions: masks that may cover an object, whatever its class (sec. 5).

The paper segments with CPMC's regions. Ours come from the merge trees of selective search, whose nodes are regions
with outlines: `segment_regions` ranks the nodes of all trees and keeps the best that differ. Any other masks take
part as well, through `regions_from_masks`.

The masks of an image overlap a lot and share most of their outlines. `SegmentRegions` therefore cuts the image
into atoms, the pieces that no outline cuts any further, and notes for each region which atoms it is made of. So
150 masks take little more room than one, and whatever is to be counted in masks (pixels, pixels of a class, pixels
in common) is counted in atoms once and then added up by one matrix product.

How well the regions cover objects, as the mean over objects of the best IoU of a mask with the object's
(``rcnn segment regions --split val``, the 70 validation pictures of ToyVOC with seed 0):

=============  =====  ======  ==========
regions           50     150         300
=============  =====  ======  ==========
best IoU        0.66    0.73        0.75
=============  =====  ======  ==========

All nodes of all trees together reach 0.76.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numba import njit

from rcnn_helpers.datasets.voc import VOID
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.segmentation.codes import random_codes

# Regions kept of an image, as many as the paper's framework takes of CPMC's (sec. 5).
MAX_REGIONS = 150
# Regions of fewer pixels of the searched image are left out.
MIN_PIXELS = 100
# Larger images are shrunk for the search, as VOC's are at most so long.
LONGEST_SIDE = 500
_N_LABELS = 256


@dataclass(frozen=True)
class SegmentRegions:
    """The regions of one image, best first where they are ranked.

    Attributes
    ----------
    atoms : int32 [H, W]
        The atom that each pixel belongs to, 0 to A - 1.
    members : bool [N, A]
        Which atoms each region is made of.
    boxes : float32 [N, 4]
        The tightest box around each region.
    """

    atoms: np.ndarray = field(repr=False)
    members: np.ndarray = field(repr=False)
    boxes: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def height(self) -> int:
        return self.atoms.shape[0]

    @property
    def width(self) -> int:
        return self.atoms.shape[1]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Pixels of each region, int64 [N]."""
        return self.members @ np.bincount(self.atoms.ravel(), minlength=self.members.shape[1])

    def mask(self, index: int) -> np.ndarray:
        """The region's mask, bool [H, W]."""
        return self.members[index][self.atoms]

    def pixels(self, index: int) -> np.ndarray:
        """Positions of the region's pixels in the flattened image, int64 [sizes[index]]."""
        return np.flatnonzero(self.mask(index))

    def select(self, which) -> "SegmentRegions":
        """Some of the regions: those at these positions, in this order, or those of a slice."""
        return SegmentRegions(self.atoms, self.members[which], self.boxes[which])

    def label_counts(self, label_map: np.ndarray) -> np.ndarray:
        """How many pixels of each label, 0 to 255, each atom has, int64 [A, 256].

        Raises
        ------
        SettingsError
            If the label map is not of the image's size, or not of whole numbers from 0 to 255.
        """
        label_map = _checked_labels(label_map, self.atoms.shape)
        codes = self.atoms.astype(np.int64) * _N_LABELS + label_map
        n_atoms = self.members.shape[1]
        return np.bincount(codes.ravel(), minlength=n_atoms * _N_LABELS).reshape(n_atoms, _N_LABELS)


def segment_regions(
    image,
    *,
    max_regions: int | None = MAX_REGIONS,
    min_pixels: int = MIN_PIXELS,
    longest_side: int = LONGEST_SIDE,
) -> SegmentRegions:
    """Find regions that may cover an object, best first.

    Candidates are the nodes of all merge trees of selective search's fast mode. `ranking.node_scores` says by size
    and outline how likely each of them covers an object; `ranking.diverse_order` takes the best one by one and
    puts back those that overlap with what it has taken. There is no chance in it.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    max_regions : int, optional
        At most so many; None for all that are considered, some 600.
    min_pixels : int
        Smaller regions are left out.
    longest_side : int
        A longer image is shrunk for the search; masks come back in its own pixels.

    Returns
    -------
    SegmentRegions
        Without any region where the image shows no outline at all.

    Raises
    ------
    ValueError
        If the image is not uint8 [H, W, 3].
    SettingsError
        If a number is below 1.
    """
    from rcnn_helpers.proposals.selective_search import merge_trees
    from rcnn_helpers.segmentation import ranking

    for name, value in (("max_regions", max_regions), ("min_pixels", min_pixels)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} is {value}; it must be 1 or more")
    image = _checked_image(image)
    searched, _ = shrink_to_fit(image, longest_side)
    trees = merge_trees(searched, "fast")
    candidates = ranking.candidates(searched, trees, min_pixels=min_pixels)
    atoms, members = ranking.atoms_and_members(trees, candidates)
    order = ranking.diverse_order(candidates.scores, members, np.bincount(atoms.ravel()), n=max_regions)
    atoms, members = _merge_atoms(atoms, members[order])
    return _regions(_enlarged(atoms, *image.shape[:2]), members)


def regions_from_masks(masks) -> SegmentRegions:
    """Regions of masks that come from elsewhere, such as CPMC's; their order is kept.

    Parameters
    ----------
    masks : bool [N, H, W], or sequence of bool [H, W]
        Numbers count as inside where they are not zero.

    Raises
    ------
    SettingsError
        If there is no mask, a mask is empty, or two differ in size.
    """
    masks = [_checked_mask(number, mask) for number, mask in enumerate(masks)]
    if not masks:
        raise SettingsError("no mask is given; an image needs at least one")
    shape = masks[0].shape
    odd = [number for number, mask in enumerate(masks) if mask.shape != shape]
    if odd:
        raise SettingsError(
            f"mask {odd[0]} is of {list(masks[odd[0]].shape)} pixels and mask 0 of {list(shape)}; give the masks "
            "of one image, all of its size"
        )
    pattern = np.zeros(shape, np.uint64)
    for mask, code in zip(masks, random_codes(len(masks)), strict=True):
        pattern[mask] += code
    _, first, number = np.unique(pattern, return_index=True, return_inverse=True)
    atoms = number.reshape(shape).astype(np.int32)
    return _regions(atoms, np.stack([mask.ravel()[first] for mask in masks]))


def add_masks(regions: SegmentRegions, masks) -> SegmentRegions:
    """Put masks that come from elsewhere before the regions of an image.

    Parameters
    ----------
    regions : SegmentRegions
    masks : bool [N, H, W], or sequence of bool [H, W]
        See `regions_from_masks`.

    Returns
    -------
    SegmentRegions
        One for each mask, then those of `regions`, both in their order.

    Raises
    ------
    SettingsError
        If a mask is empty or not of the image's size.
    """
    added = regions_from_masks(masks)
    if added.atoms.shape != regions.atoms.shape:
        raise SettingsError(
            f"the masks are of {list(added.atoms.shape)} pixels and the image's regions of "
            f"{list(regions.atoms.shape)}; give masks of the same image"
        )
    n_atoms = regions.members.shape[1]
    codes = added.atoms.astype(np.int64) * n_atoms + regions.atoms
    pairs, number = np.unique(codes, return_inverse=True)
    members = [added.members[:, pairs // n_atoms], regions.members[:, pairs % n_atoms]]
    return SegmentRegions(
        number.reshape(codes.shape).astype(np.int32),
        np.concatenate(members),
        np.concatenate([added.boxes, regions.boxes]),
    )


def mask_overlaps(
    regions: SegmentRegions, label_map: np.ndarray, *, n_labels: int | None = None
) -> np.ndarray:
    """IoU of each region's mask with the pixels of each label.

    Parameters
    ----------
    regions : SegmentRegions
    label_map : uint8 [H, W]
        0 is background and 255 void; void pixels count nowhere, neither in the region nor in the label.
    n_labels : int, optional
        Labels 1 to `n_labels` are looked at; by default up to the largest in the map.

    Returns
    -------
    float32 [N, n_labels]
        Column ``i`` is label ``i + 1``, as objects and classes are counted; 0 for a label without pixels.
    """
    counts = regions.label_counts(label_map)
    counts[:, VOID] = 0
    if n_labels is None:
        n_labels = int(np.flatnonzero(counts.any(axis=0)).max(initial=0))
    shared = _times(regions.members, counts[:, 1 : n_labels + 1])
    sizes = _times(regions.members, counts.sum(axis=1, keepdims=True))
    union = sizes + counts[:, 1 : n_labels + 1].sum(axis=0) - shared
    return (shared / np.maximum(union, 1)).astype(np.float32)


def class_overlaps(
    regions: SegmentRegions, class_map: np.ndarray, object_map: np.ndarray, n_classes: int
) -> np.ndarray:
    """Best IoU of each region's mask with an object of each class: what the regressors learn (sec. 5).

    Parameters
    ----------
    regions : SegmentRegions
    class_map, object_map : uint8 [H, W]
        As from `VOCDataset.segmentation`.
    n_classes : int

    Returns
    -------
    float32 [N, n_classes], 0 for classes without an object

    Raises
    ------
    SettingsError
        If a class beyond `n_classes` is in the map.
    """
    overlaps = mask_overlaps(regions, object_map)
    best = np.zeros((len(regions), n_classes), np.float32)
    for number in range(overlaps.shape[1]):
        labels = class_map[object_map == number + 1]
        labels = labels[(labels != 0) & (labels != VOID)]
        if len(labels) == 0:
            continue
        label = int(np.bincount(labels).argmax())
        if label > n_classes:
            raise SettingsError(
                f"an object has class number {label}, but there are {n_classes} classes; open the data set with "
                "the classes that its masks were drawn with"
            )
        best[:, label - 1] = np.maximum(best[:, label - 1], overlaps[:, number])
    return best


def best_overlaps(regions: SegmentRegions, object_map: np.ndarray) -> np.ndarray:
    """The best IoU that any region has with each object, float32 [objects that have pixels].

    Its mean over all objects of a data set is the covering: how much the regions alone allow.
    """
    present = np.setdiff1d(np.unique(object_map), (0, VOID)).astype(int)
    overlaps = mask_overlaps(regions, object_map)[:, present - 1]
    return overlaps.max(axis=0, initial=0)


def _times(members: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of counts over the atoms of each region. float64 is exact for as many pixels as a picture has."""
    return members.astype(np.float64) @ counts.astype(np.float64)


def _merge_atoms(atoms: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make one of all atoms that no region tells apart."""
    pattern = random_codes(len(members)) @ members
    _, first, number = np.unique(pattern, return_index=True, return_inverse=True)
    return number.astype(np.int32)[atoms], np.ascontiguousarray(members[:, first])


def _enlarged(atoms: np.ndarray, height: int, width: int) -> np.ndarray:
    """Atoms for an image of this size: each pixel has that of the nearest pixel of the smaller image."""
    if atoms.shape == (height, width):
        return atoms
    rows = ((np.arange(height) + 0.5) * atoms.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * atoms.shape[1] / width).astype(int)
    return atoms[rows[:, None], columns]


def _regions(atoms: np.ndarray, members: np.ndarray) -> SegmentRegions:
    """Regions with the boxes around them."""
    boxes = _boxes_around(members, _atom_boxes(atoms, members.shape[1]))
    return SegmentRegions(atoms, members, boxes)


def _boxes_around(members: np.ndarray, atom_boxes: np.ndarray) -> np.ndarray:
    """The tightest box around the atoms of each region, float32 [N, 4]."""
    inside = members[:, :, None]
    start = np.where(inside, atom_boxes[:, :2], np.inf).min(axis=1, initial=np.inf)
    end = np.where(inside, atom_boxes[:, 2:], -np.inf).max(axis=1, initial=-np.inf)
    return np.concatenate([start, end], axis=1).astype(np.float32)


@njit(cache=True, nogil=True)
def _atom_boxes(atoms, n_atoms):
    """The tightest box around each atom, int64 [A, 4]."""
    height, width = atoms.shape
    boxes = np.zeros((n_atoms, 4), np.int64)
    boxes[:, 0], boxes[:, 1] = width, height
    for y in range(height):
        for x in range(width):
            box = boxes[atoms[y, x]]
            box[0], box[1] = min(box[0], x), min(box[1], y)
            box[2], box[3] = max(box[2], x + 1), max(box[3], y + 1)
    return boxes


def _checked_image(image) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image must be uint8 of shape [H, W, 3], got {image.dtype} {list(image.shape)}; "
            "read it with rcnn_helpers.images.read_image"
        )
    return image


def _checked_mask(number: int, mask) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise SettingsError(
            f"mask {number} has shape {list(mask.shape)}; give masks [H, W], a list of them or an array [N, H, W]"
        )
    mask = mask.astype(bool)
    if not mask.any():
        raise SettingsError(f"mask {number} is empty; leave out masks without a pixel")
    return mask


def _checked_labels(label_map, shape) -> np.ndarray:
    label_map = np.asarray(label_map)
    if label_map.shape != shape:
        raise SettingsError(
            f"the label map has shape {list(label_map.shape)} and the image "
            f"{list(shape)}; do they belong together?"
        )
    if label_map.dtype != np.uint8:
        raise SettingsError(f"label maps are uint8, 0 to 255; this one is {label_map.dtype}")
    return label_map
