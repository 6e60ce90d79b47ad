"""Ground truth read off the buffers: boxes, masks, viewpoint, truncation, occlusion, visible parts and sides."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from rcnn_helpers.datasets.toyvoc.primitives import NO_PART, normal_at
from rcnn_helpers.datasets.voc import VOID

SIDES = ("front", "rear", "left", "right", "top", "bottom")
# Shares at which an object counts as truncated, a side or a part as visible.
TRUNCATED_FROM = 0.05
SIDE_FROM = 0.05
PART_FROM = 0.1
# Upper ends of the occlusion levels none, low and medium; beyond is high.
OCCLUSION_LEVELS = (("N", 0.05), ("L", 0.3), ("M", 0.6), ("H", 1.0))
# An object is difficult if its box is this thin (pixels) or this little of it is to be seen.
DIFFICULT_SIDE = 16
DIFFICULT_VISIBLE = 0.25


@dataclass(frozen=True)
class ObjectDetails:
    """What is known about one object beyond its box.

    Attributes
    ----------
    name : str
        Category.
    azimuth : float
        Direction of the camera seen from the toy, degrees in 0..360: 0 in front of it, 90 to its left, 180 behind.
    elevation : float
        Height of the camera above the toy's horizon, degrees.
    pose : str
        The azimuth as VOC names it: Frontal, Left (facing left), Rear or Right; Unspecified without a front.
    truncation : float
        Share of the unhidden object that lies outside the picture, 0..1 (beyond a margin of one picture on every
        side nothing is counted).
    occlusion : float
        Share of the object inside the picture that other things hide, 0..1.
    occlusion_level : str
        N (none, below 0.05), L (low, below 0.3), M (medium, below 0.6) or H (high).
    visible_pixels : int
        Pixels of its mask.
    parts : dict of str to float
        For each part name, the share of its silhouettes that is visible, be it hidden by other things, by the
        object itself or by the edge of the picture.
    sides : dict of str to float
        For each side of the toy, its share of the visible surface.
    """

    name: str
    azimuth: float
    elevation: float
    pose: str
    truncation: float
    occlusion: float
    occlusion_level: str
    visible_pixels: int
    parts: dict[str, float]
    sides: dict[str, float]

    @property
    def visible_parts(self) -> tuple[str, ...]:
        """Parts of which at least a tenth is visible."""
        return tuple(name for name, share in self.parts.items() if share >= PART_FROM)

    @property
    def visible_sides(self) -> tuple[str, ...]:
        """Sides that make up at least a twentieth of what is visible."""
        return tuple(name for name in SIDES if self.sides[name] >= SIDE_FROM)


@njit(cache=True, nogil=True)
def count_visible(
    depth,
    parts,
    kinds,
    centres,
    rotations,
    radii,
    shapes,
    owners,
    solid_to_toy,
    eye,
    axes,
    focal,
    part_count,
    side_count,
):
    """Count visible samples of each solid [P] and of each object's six sides [N, 6], in place.

    `solid_to_toy` [P, 3, 3] turns normals from the solid's frame into its toy's.
    """
    height, width = depth.shape
    for j in range(height):
        b = (j + 0.5 - 0.5 * height) / focal
        for i in range(width):
            p = parts[j, i]
            if p == NO_PART:
                continue
            part_count[p] += 1
            a = (i + 0.5 - 0.5 * width) / focal
            q, t = rotations[p], depth[j, i]
            x = eye[0] + t * (a * axes[0, 0] + b * axes[1, 0] + axes[2, 0]) - centres[p, 0]
            y = eye[1] + t * (a * axes[0, 1] + b * axes[1, 1] + axes[2, 1]) - centres[p, 1]
            z = eye[2] + t * (a * axes[0, 2] + b * axes[1, 2] + axes[2, 2]) - centres[p, 2]
            normal = normal_at(
                kinds[p],
                q[0, 0] * x + q[0, 1] * y + q[0, 2] * z,
                q[1, 0] * x + q[1, 1] * y + q[1, 2] * z,
                q[2, 0] * x + q[2, 1] * y + q[2, 2] * z,
                radii[p],
                shapes[p],
            )
            to_toy = solid_to_toy[p]
            nx = to_toy[0, 0] * normal[0] + to_toy[0, 1] * normal[1] + to_toy[0, 2] * normal[2]
            ny = to_toy[1, 0] * normal[0] + to_toy[1, 1] * normal[1] + to_toy[1, 2] * normal[2]
            nz = to_toy[2, 0] * normal[0] + to_toy[2, 1] * normal[1] + to_toy[2, 2] * normal[2]
            side = 0 if nx > 0.0 else 1
            if abs(ny) > max(abs(nx), abs(nz)):
                side = 2 if ny > 0.0 else 3
            elif abs(nz) > abs(nx):
                side = 4 if nz > 0.0 else 5
            side_count[owners[p], side] += 1


@njit(cache=True, nogil=True)
def instance_mask(parts, owners, supersample):
    """Number of the object (plus one, 0 for the backdrop) that covers most samples of each pixel, int32 [H, W].

    Of objects with equally many samples the one met first in reading order wins.
    """
    height, width = parts.shape[0] // supersample, parts.shape[1] // supersample
    mask = np.zeros((height, width), dtype=np.int32)
    n = supersample * supersample
    labels = np.empty(n, dtype=np.int32)
    for j in range(height):
        for i in range(width):
            for k in range(n):
                p = parts[j * supersample + k // supersample, i * supersample + k % supersample]
                labels[k] = 0 if p == NO_PART else owners[p] + 1
            most = 0
            for k in range(n):
                votes = 0
                for m in range(n):
                    if labels[m] == labels[k]:
                        votes += 1
                if votes > most:
                    most = votes
                    mask[j, i] = labels[k]
    return mask


@njit(cache=True, nogil=True)
def mask_boxes(mask, count):
    """Tight half-open boxes [count, 4] of the labels 1..count in a mask (zeros where absent), and their pixels."""
    height, width = mask.shape
    boxes = np.zeros((count, 4), dtype=np.int64)
    pixels = np.zeros(count, dtype=np.int64)
    for j in range(height):
        for i in range(width):
            k = mask[j, i] - 1
            if k < 0 or k >= count:
                continue
            if pixels[k] == 0:
                boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3] = i, j, i + 1, j + 1
            else:
                boxes[k, 0], boxes[k, 2] = min(boxes[k, 0], i), max(boxes[k, 2], i + 1)
                boxes[k, 3] = j + 1
            pixels[k] += 1
    return boxes, pixels


def occlusion_level(occlusion: float) -> str:
    """N, L, M or H."""
    return next((level for level, below in OCCLUSION_LEVELS if occlusion < below), "H")


def pose_name(azimuth: float) -> str:
    """VOC's name of a viewpoint: a camera to the toy's left sees it face left."""
    return ("Frontal", "Left", "Rear", "Right")[int(((azimuth + 45.0) % 360.0) // 90.0)]


def segmentation(mask, class_numbers, difficult) -> tuple[np.ndarray, np.ndarray]:
    """VOC's class and object masks, uint8 [H, W].

    Parameters
    ----------
    mask : int array [H, W]
        0 for everything that has no category, else the number of the object, from 1 on.
    class_numbers : sequence of int
        Number of each object's category, from 1 on.
    difficult : sequence of bool
        Difficult objects are void in both masks, as VOC wants it.

    Notes
    -----
    Where two objects touch, the pixels on both sides of the border are void (255). Elsewhere the masks are exact.
    """
    object_lookup = np.array([0, *[VOID if d else k + 1 for k, d in enumerate(difficult)]], dtype=np.uint8)
    class_lookup = np.array([0, *np.where(difficult, VOID, class_numbers)], dtype=np.uint8)
    border = np.zeros(mask.shape, dtype=bool)
    for axis in (0, 1):
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = mask[tuple(first)], mask[tuple(second)]
        touching = (a != b) & (a > 0) & (b > 0)
        border[tuple(first)] |= touching
        border[tuple(second)] |= touching
    objects, classes = object_lookup[mask], class_lookup[mask]
    objects[border] = VOID
    classes[border] = VOID
    return classes, objects
