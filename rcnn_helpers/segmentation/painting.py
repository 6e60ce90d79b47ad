"""Label maps as pictures: each class in its colour from VOC's palette, with its name on it.

Two classes can always be told apart without their colours: every area carries its name, and a line runs where two
labels meet.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from rcnn_helpers.datasets.voc import VOID, palette
from rcnn_helpers.drawing import fit, region_borders, rgb, write
from rcnn_helpers.errors import DisplayError

_VOID_GREY = 235
_STRIPE = 6  # pixels of a void area's hatching
_LEAST_NAMED = 0.002  # share of the picture that an area needs to carry its name


def paint_labels(
    image,
    label_map,
    classes: Sequence[str],
    *,
    zoom: float = 1.0,
    strength: float = 0.6,
    font_size: int = 15,
) -> np.ndarray:
    """Tint each class's pixels and write its name on every area of it.

    Background stays as it is, though paler; void pixels are hatched in white.

    Parameters
    ----------
    image : uint8 array [H, W, 3]
    label_map : integer array [H, W]
        0 background, 1 to C classes, 255 void.
    classes : sequence of str
        C names.
    zoom : float
        The picture is enlarged so many times first.
    strength : float
        Of the tint; 1 hides the image.
    font_size : int
        In pixels of the enlarged picture.

    Returns
    -------
    uint8 array [zoom * H, zoom * W, 3]

    Raises
    ------
    DisplayError
        If the map does not fit the image or holds labels without a class.
    """
    image, label_map = np.asarray(image), np.asarray(label_map)
    if label_map.shape != image.shape[:2]:
        raise DisplayError(
            f"the label map has shape {list(label_map.shape)}, the image {list(image.shape[:2])}; both must be of "
            "the same picture"
        )
    present = [int(label) for label in np.unique(label_map) if label not in (0, VOID)]
    if present and not 1 <= min(present) <= max(present) <= len(classes):
        raise DisplayError(
            f"the label map holds labels {present}, but there are {len(classes)} classes; labels are 1 to "
            f"{len(classes)}, 0 for the background and {VOID} for void"
        )
    image, label_map = _enlarged(image, label_map, zoom)
    painted = np.rint(0.75 * image + 0.25 * 255)
    colours = palette()
    for label in present:
        inside = label_map == label
        painted[inside] = (1 - strength) * image[inside] + strength * colours[label]
    painted[(label_map == VOID) & _stripes(label_map.shape)] = _VOID_GREY
    painted = painted.astype(np.uint8)
    painted[region_borders(label_map)] = 255
    for label in present:
        _write_names(painted, label_map == label, classes[label - 1], colours[label], font_size)
    return painted


def outline_mask(picture, mask, colour: str = "yellow", *, width: int = 3) -> np.ndarray:
    """Draw the border of a mask, given at any resolution, onto a copy of a picture."""
    height, across = picture.shape[:2]
    mask = cv2.resize(np.asarray(mask).astype(np.uint8), (across, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlined = np.ascontiguousarray(picture).copy()
    cv2.drawContours(outlined, contours, -1, (0, 0, 0), width + 2)
    cv2.drawContours(outlined, contours, -1, rgb(colour), width)
    return outlined


def _enlarged(image, label_map, zoom):
    if zoom == 1:
        return image.astype(np.float64), label_map
    height, width = round(image.shape[0] * zoom), round(image.shape[1] * zoom)
    image = fit(image, height, width)
    size = image.shape[1], image.shape[0]
    label_map = cv2.resize(label_map.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return image.astype(np.float64), label_map


def _stripes(shape):
    """Diagonal stripes, bool [H, W]."""
    y, x = np.indices(shape)
    return (x + y) % _STRIPE < _STRIPE // 2


def _write_names(painted, mask, name, colour, font_size):
    """Write `name` into each connected area of `mask` that is not too small, where it is widest."""
    n_areas, areas, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for area in range(1, n_areas):
        if stats[area, cv2.CC_STAT_AREA] < _LEAST_NAMED * mask.size:
            continue
        depth = cv2.distanceTransform(np.pad((areas == area).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        # About the middle of the text; the left and upper margins stay on the picture.
        left = min(max(int(x) - len(name) * font_size // 3, 0), max(mask.shape[1] - len(name) * font_size, 0))
        write(painted, name, left, max(int(y) - font_size // 2, 0), font_size=font_size, ground=colour)
