"""Crops of a data set's regions, small and fast: what the explorers of units show by the dozen.

Where the time goes, and what is done about it: most of it into decoding JPEGs, so those are decoded at half size
where the crop is small enough, several at a time, and the last ones are kept; so are the crops.
"""

import functools
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from rcnn_helpers.drawing import BoxStyle, draw_boxes, write
from rcnn_helpers.images import read_image
from rcnn_helpers.warping import crop_geometry
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN

FIELD_STYLE = BoxStyle("white")  # the white box of the paper's Figure 4; draw_boxes gives it dark edges
CAPTION_HEIGHT = 17
_MARGIN = 2  # pixels around a crop on a sheet
_NARROWEST = 12  # pixels: of a crop in its own shape
# A crop that shows fewer pixels of the image than this share of its own is blurred; half-size pictures stop there.
_SHARP_ENOUGH = 0.8
_MOST_PICTURE_BYTES = 96 * 2**20
_MOST_CROPS = 3000


class LastUsed:
    """A dictionary that forgets what has not been asked for longest, once its values have grown too heavy."""

    def __init__(self, most: float, weight=lambda value: 1):
        self._most, self._weight, self._total, self._values = most, weight, 0, OrderedDict()

    def __len__(self):
        return len(self._values)

    def get(self, key):
        """The value, or None."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def __setitem__(self, key, value):
        if key in self._values:
            self._total -= self._weight(self._values.pop(key))
        self._values[key] = value
        self._total += self._weight(value)
        while self._total > self._most and len(self._values) > 1:
            self._total -= self._weight(self._values.popitem(last=False)[1])


class Thumbnails:
    """Crops of regions of a data set, as the network sees them, with what one unit sees of them.

    Parameters
    ----------
    dataset : VOCDataset or the like
        With ``image(id)``; with ``image_path(id)`` too, small crops take less time.
    mode, padding, input_size : see `rcnn_helpers.warping.crop_geometry`
    """

    def __init__(self, dataset, *, mode: str, padding: int, input_size: int):
        self._dataset = dataset
        self._geometry = {"mode": mode, "padding": padding, "size": input_size}
        self.forget()

    def forget(self) -> None:
        """Give the memory of all pictures and crops back."""
        self._pictures = LastUsed(_MOST_PICTURE_BYTES, weight=lambda value: value[0].nbytes)
        self._crops = LastUsed(_MOST_CROPS)

    def picture(self, image_id: str) -> np.ndarray:
        """A whole image of the data set, uint8 [H, W, 3]."""
        return self._fetch({image_id: 1})[image_id][0]

    def crops(self, requests, *, own_shape: bool = False) -> list[list[np.ndarray]]:
        """Crops of several lists of regions; pictures they need are decoded together.

        Parameters
        ----------
        requests : sequence of (regions, field, side)
            ``regions.image_ids`` and ``regions.boxes`` as in a `TopRegions`; a box in the crop to be drawn, or
            None; the longer side of the crops, in pixels.
        own_shape : bool
            Undo the stretching to a square.

        Returns
        -------
        list of lists of uint8 [h, w, 3]
        """
        keys = [
            [
                (image_id, tuple(box), None if field is None else tuple(field), side, own_shape)
                for image_id, box in zip(regions.image_ids, regions.boxes.tolist(), strict=True)
            ]
            for regions, field, side in requests
        ]
        found = {key: self._crops.get(key) for each in keys for key in each}
        absent = [key for key, crop in found.items() if crop is None]
        for key, crop in zip(absent, self._made(absent), strict=True):
            self._crops[key] = found[key] = crop
        return [[found[key] for key in each] for each in keys]

    def _fetch(self, shrinks: dict[str, int]) -> dict[str, tuple[np.ndarray, int]]:
        """These images, shrunk at most by so much, and by how much they are; those not at hand are decoded."""
        found = {image_id: self._pictures.get(image_id) for image_id in shrinks}
        absent = [image_id for image_id, kept in found.items() if kept is None or kept[1] > shrinks[image_id]]
        decoded = _threads().map(lambda image_id: self._decode(image_id, shrinks[image_id]), absent)
        for image_id, value in zip(absent, decoded, strict=True):
            self._pictures[image_id] = found[image_id] = value
        return found

    def _decode(self, image_id, shrink):
        if shrink == 1 or not hasattr(self._dataset, "image_path"):
            return self._dataset.image(image_id), 1
        return read_image(self._dataset.image_path(image_id), shrink=shrink), shrink

    def crop(self, picture, box, field, side: int, *, own_shape: bool = False, shrink: int = 1) -> np.ndarray:
        """A crop of any picture.

        Parameters
        ----------
        picture : uint8 [H, W, 3]
        box : four numbers
            In pixels of the picture before it was shrunk.
        field, side, own_shape : see `crops`
        shrink : int
            By what the picture has been shrunk.

        Returns
        -------
        uint8 [h, w, 3]
        """
        height, width = (shrink * length for length in picture.shape[:2])
        geometry = crop_geometry([box], height, width, **self._geometry)
        return self._drawn(picture, shrink, geometry, 0, field, side, own_shape)

    def _made(self, keys) -> list[np.ndarray]:
        """The crops of these keys."""
        if not keys:
            return []
        pictures = self._fetch(_shrinks_needed(keys))
        here = [pictures[image_id] for image_id, *_ in keys]
        heights, widths = np.array([[shrink * length for length in p.shape[:2]] for p, shrink in here]).T
        geometry = crop_geometry([box for _, box, *_ in keys], heights, widths, **self._geometry)
        return [
            self._drawn(*picture, geometry, number, *how)
            for number, (picture, (_, _, *how)) in enumerate(zip(here, keys, strict=True))
        ]

    def _drawn(self, picture, shrink, geometry, number, field, side, own_shape):
        """Crop `number` of a geometry, with the field on it."""
        shape = _shape_within(side, geometry.window[number]) if own_shape else (side, side)
        scale = np.tile([shape[1], shape[0]], 2) / self._geometry["size"]
        crop = _pasted(picture, geometry.source[number] / shrink, geometry.target[number] * scale, shape)
        if field is None:
            return crop
        return draw_boxes(crop, [np.array(field) * scale], styles=FIELD_STYLE, line_width=2)


def sheet(crops, captions, *, columns: int, rows: int, side: int) -> np.ndarray:
    """Lay crops out row by row in cells of one size, each with a caption below; what is left over stays white.

    Parameters
    ----------
    crops : sequence of uint8 [h, w, 3], at most `side` pixels high and wide
    captions : sequence of str
    columns, rows, side : int

    Returns
    -------
    uint8 [rows * h, columns * w, 3], where [h, w] is `cell_size`
    """
    height, width = cell_size(side)
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, (crop, caption) in enumerate(zip(crops, captions, strict=True)):
        top, left = number // columns * height, number % columns * width
        y = top + _MARGIN + (side - crop.shape[0]) // 2
        x = left + _MARGIN + (side - crop.shape[1]) // 2
        canvas[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        write(canvas, caption, left + _MARGIN, top + side + _MARGIN + 1, font_size=13)
    return canvas


def cell_size(side: int) -> tuple[int, int]:
    """Height and width of a cell of a `sheet`."""
    return side + 2 * _MARGIN + CAPTION_HEIGHT, side + 2 * _MARGIN


def _shrinks_needed(keys) -> dict[str, int]:
    """By how much each image may be shrunk for all its crops, the smallest of which decides."""
    shrinks = {}
    for image_id, (x1, y1, x2, y2), _, side, _ in keys:
        room = min(x2 - x1, y2 - y1) / (_SHARP_ENOUGH * side)
        shrink = max(each for each in (1, 2, 4, 8) if each <= max(room, 1))
        shrinks[image_id] = min(shrink, shrinks.get(image_id, 8))
    return shrinks


def _shape_within(side, window):
    """Height and width of the largest picture of the window's shape that fits a square."""
    width, height = window[2:] - window[:2]
    scale = side / max(width, height)
    return max(round(height * scale), _NARROWEST), max(round(width * scale), _NARROWEST)


def _pasted(picture, source, target, shape):
    """The part `source` of a picture, scaled to `target`; around it, the mean colour that the network is shown."""
    x1, y1 = np.minimum(np.floor(source[:2]).astype(int), np.array(picture.shape[1::-1]) - 1)
    x2, y2 = np.maximum(np.rint(source[2:]).astype(int), (x1 + 1, y1 + 1))
    part = picture[y1:y2, x1:x2]
    left, top = np.minimum(np.rint(target[:2]).astype(int), np.array(shape[::-1]) - 1)
    right, bottom = np.maximum(np.rint(target[2:]).astype(int), (left + 1, top + 1))
    crop = np.empty((*shape, 3), np.uint8)
    crop[:] = np.rint(IMAGENET_MEAN)
    shrinks = part.shape[0] >= bottom - top and part.shape[1] >= right - left
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    crop[top:bottom, left:right] = cv2.resize(
        part, (int(right - left), int(bottom - top)), interpolation=method
    )
    return crop


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads that decode pictures, for all explorers; decoders let the others run meanwhile."""
    return ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1)), thread_name_prefix="thumbnails")
