"""What the pixels of a picture show: toys and their parts, surfaces, colours, highlights.

A unit is said to like wheels if they fill more of what it sees than they fill of what it might as well have seen.
For that every pixel must be known by name. Parts and surfaces are known of ToyVOC alone, by its scenes; colours
and highlights are read off any photograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from rcnn_helpers.datasets.toyvoc import FAMILIES
from rcnn_helpers.datasets.toyvoc.part_maps import BACKDROP, CLUTTER, has_part_maps, part_maps
from rcnn_helpers.images import shrink_to_fit

NO_CLASSES = (BACKDROP, CLUTTER)
KINDS = ("family", "class", "class part", "part", "surface", "colour", "light")
# Colours of pixels that are not grey, by hue: where each begins, on the circle of 360 degrees. What is orange
# when bright is brown when dark.
HUES = (
    (0, "red"),
    (15, "orange"),
    (45, "yellow"),
    (70, "green"),
    (165, "turquoise"),
    (195, "blue"),
    (255, "purple"),
    (300, "pink"),
    (345, "red"),
)
GREY_BELOW = 0.2  # saturation
BLACK_BELOW, WHITE_FROM, BROWN_BELOW = 0.2, 0.8, 0.6  # value: the largest of red, green and blue
COLOURS = ("black", "grey", "white", "brown", *dict.fromkeys(name for _, name in HUES))
# A highlight is at most so many pixels across, at least so bright, and by so much brighter than what surrounds it.
HIGHLIGHT_PIXELS, HIGHLIGHT_FROM, HIGHLIGHT_ABOVE = 9, 0.75, 0.25
# Pictures larger than this are shrunk before their colours are named.
LONGEST_SIDE = 500


@dataclass(frozen=True, order=True)
class Attribute:
    """Something that pixels can show.

    `kind` is one of `KINDS`: a family of classes (``"animals"``), a class of objects (``"car"``), a part of one
    (``"car:wheel"``), a part of whatever class (``"wheel"``), a surface (``"stripes"``, ``"glass"``), a colour, or
    ``"highlight"``.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class PixelAttributes:
    """A picture in which every pixel is known by name.

    Attributes
    ----------
    layers : list of (labels uint8 [H, W], names)
        Each layer gives every pixel one of its names; a name is a tuple of the attributes that such pixels show.
    scale : float
        Pixels of the layers for one pixel of the picture.
    """

    layers: list[tuple[np.ndarray, tuple[tuple[Attribute, ...], ...]]]
    scale: float

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """All that some pixel may show, without repetition."""
        return tuple(
            dict.fromkeys(attribute for _, names in self.layers for name in names for attribute in name)
        )

    def shares(self, boxes) -> tuple[tuple[Attribute, ...], np.ndarray]:
        """Share of the pixels in each box that show each attribute.

        Parameters
        ----------
        boxes : array-like [N, 4]
            In pixels of the picture. What lies outside the picture does not count.

        Returns
        -------
        attributes : tuple of A Attribute
        shares : float32 [N, A]
            NaN for a box that lies outside the picture altogether.
        """
        attributes = self.attributes
        place = {attribute: column for column, attribute in enumerate(attributes)}
        shares = np.zeros((len(boxes), len(attributes)), np.float32)
        for labels, names in self.layers:
            of_label = label_shares(labels, len(names), np.asarray(boxes, np.float64) * self.scale)
            for label, name in enumerate(names):
                shares[:, [place[attribute] for attribute in name]] += of_label[:, label, None]
        return attributes, shares


def pixel_attributes(dataset, image_id: str) -> PixelAttributes:
    """Name every pixel of a picture.

    Parameters
    ----------
    dataset : VOCDataset
        Of ToyVOC, parts and surfaces are known, too.
    image_id : str
    """
    image = dataset.image(image_id)
    layers, scale = [], 1.0
    if has_part_maps(dataset, image_id):
        maps = part_maps(dataset, image_id)
        layers.append((maps.parts, tuple(attributes_of_part(name) for name in maps.part_names)))
        layers.append((maps.surfaces, tuple((Attribute("surface", name),) for name in maps.surface_names)))
    else:
        image, scale = shrink_to_fit(image, LONGEST_SIDE)
    layers.append((colour_names(image), tuple((Attribute("colour", name),) for name in COLOURS)))
    layers.append((highlights(image).astype(np.uint8), ((), (Attribute("light", "highlight"),))))
    return PixelAttributes(layers, scale)


def attributes_of_part(name: str) -> tuple[Attribute, ...]:
    """What a pixel of a part (``"owner:part"``) shows: family and class, that part of it, that part of any class.

    Ground, walls and clutter are no classes, and their parts count for no other class.
    """
    owner, part = name.split(":", 1)
    if owner in NO_CLASSES:
        return Attribute("class", owner), Attribute("class part", name)
    families = [Attribute("family", family) for family, members in FAMILIES.items() if owner in members]
    return *families, Attribute("class", owner), Attribute("class part", name), Attribute("part", part)


def colour_names(image) -> np.ndarray:
    """The colour of every pixel: a place in `COLOURS`, uint8 [H, W]."""
    pixels = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hue, saturation, value = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    begins = [begin for begin, _ in HUES]
    by_hue = np.array([COLOURS.index(name) for _, name in HUES], np.uint8)
    colour = by_hue[np.searchsorted(begins, hue, side="right") - 1]
    colour[(colour == COLOURS.index("orange")) & (value < BROWN_BELOW)] = COLOURS.index("brown")
    grey = saturation < GREY_BELOW
    colour[grey] = np.where(value[grey] >= WHITE_FROM, COLOURS.index("white"), COLOURS.index("grey"))
    colour[value < BLACK_BELOW] = COLOURS.index("black")
    return colour


def highlights(image) -> np.ndarray:
    """Small spots much brighter than what surrounds them, bool [H, W].

    Found by morphology: a spot too small to hold a disc of `HIGHLIGHT_PIXELS` vanishes when the picture is opened
    with that disc, and the difference tells how far it stood out.
    """
    brightness = image.max(axis=2)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (HIGHLIGHT_PIXELS, HIGHLIGHT_PIXELS))
    above = cv2.morphologyEx(brightness, cv2.MORPH_TOPHAT, disc)
    return (above >= 255 * HIGHLIGHT_ABOVE) & (brightness >= 255 * HIGHLIGHT_FROM)


def label_shares(labels, n_labels: int, boxes) -> np.ndarray:
    """Share of each label among the pixels of each box.

    Parameters
    ----------
    labels : uint8 [H, W]
        Below `n_labels`.
    n_labels : int
    boxes : array-like [N, 4]
        Rounded to whole pixels and cut off at the picture's edge.

    Returns
    -------
    float32 [N, n_labels]
        Each row sums to 1; NaN for a box without a pixel.
    """
    height, width = labels.shape
    corners = np.rint(np.asarray(boxes, np.float64)).reshape(-1, 4)
    corners = np.clip(corners, 0, [width, height, width, height]).astype(np.int64)
    counts = _label_counts(np.ascontiguousarray(labels), n_labels, corners)
    sides = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    pixels = sides.prod(axis=1).astype(np.float32)
    nothing = np.full(counts.shape, np.nan, np.float32)
    return np.divide(counts, pixels[:, None], out=nothing, where=pixels[:, None] > 0)


@njit(cache=True, nogil=True)
def _label_counts(labels, n_labels, corners):
    """Pixels of each label in each box [N, n_labels], by an integral image of every label."""
    height, width = labels.shape
    total = np.zeros((height + 1, width + 1, n_labels), np.int32)
    row = np.empty(n_labels, np.int32)
    for y in range(height):
        row[:] = 0
        for x in range(width):
            row[labels[y, x]] += 1
            for k in range(n_labels):
                total[y + 1, x + 1, k] = total[y, x + 1, k] + row[k]
    counts = np.empty((len(corners), n_labels), np.float32)
    for i in range(len(corners)):
        x1, y1, x2, y2 = corners[i]
        for k in range(n_labels):
            counts[i, k] = total[y2, x2, k] - total[y1, x2, k] - total[y2, x1, k] + total[y1, x1, k]
    return counts
