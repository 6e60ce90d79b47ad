"""Pictures on their way into an explorer and out of it: checked, scaled, put together, coded."""

import io
from collections import OrderedDict

import numpy as np
from PIL import Image

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.drawing import fit
from rcnn_helpers.errors import DisplayError

# Pictures are shown with their longer side about this long, in pixels, but never more than doubled in size.
LONGEST = 640
IMAGENET_MEAN = (124.0, 117.0, 104.0)


class View:
    """An image scaled for showing, and its boxes with it."""

    def __init__(self, image, *, longest: int = LONGEST):
        self.scale = min(2.0, longest / max(image.shape[:2]))
        height, width = round(image.shape[0] * self.scale), round(image.shape[1] * self.scale)
        self.image = fit(image, max(height, 1), max(width, 1))

    def scaled(self, boxes):
        return as_boxes(boxes) * np.float32(self.scale)


class ImageCache:
    """The last few images of a data set, since sliders come back to the same ones."""

    def __init__(self, dataset, size: int = 32):
        self._dataset, self._size, self._images = dataset, size, OrderedDict()

    def __getitem__(self, image_id):
        if image_id not in self._images:
            self._images[image_id] = self._dataset.image(image_id)
        self._images.move_to_end(image_id)
        while len(self._images) > self._size:
            self._images.popitem(last=False)
        return self._images[image_id]


def as_picture(image) -> np.ndarray:
    """Check an image given to an explorer, and make a greyscale one RGB.

    Raises
    ------
    DisplayError
        If it is not uint8 [H, W, 3] or [H, W], or empty.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise DisplayError(
            f"an image is a uint8 array [H, W, 3], or [H, W] if it is grey, got {image.dtype} "
            f"{list(image.shape)}; read files with images.read_image, and bring values in 0..1 to 0..255"
        )
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def names_for(boxes, names, default: str = "") -> list[str]:
    """The names of objects as a list, one for each box, or a DisplayError; without names, the default."""
    names = [default] * len(boxes) if names is None else list(names)
    if len(names) != len(boxes):
        raise DisplayError(f"{len(boxes)} objects need as many names, got {len(names)}")
    return names


def pixels(crop) -> np.ndarray:
    """A crop of floats in 0..255 as uint8."""
    return np.clip(np.rint(crop), 0, 255).astype(np.uint8)


def within(picture, longest: int) -> np.ndarray:
    """Shrink a picture that is longer than `longest`; leave others as they are."""
    return fit(picture, longest, longest) if max(picture.shape[:2]) > longest else picture


def beside(left, right, *, gap: int = 10) -> np.ndarray:
    """Two pictures side by side, the lower one with white below it."""
    height = max(left.shape[0], right.shape[0])
    sheet = np.full((height, left.shape[1] + gap + right.shape[1], 3), 255, np.uint8)
    sheet[: left.shape[0], : left.shape[1]] = left
    sheet[: right.shape[0], left.shape[1] + gap :] = right
    return sheet


def above(top, bottom, *, gap: int = 10) -> np.ndarray:
    """Two pictures one above the other, the narrower one with white to its right."""
    return beside(top.swapaxes(0, 1), bottom.swapaxes(0, 1), gap=gap).swapaxes(0, 1)


def jpeg(picture, quality: int = 85) -> bytes:
    """Code a picture as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def small_jpeg(picture, most: int = 90_000) -> bytes:
    """Code a picture as JPEG of at most `most` bytes: coarser if it must be, then smaller."""
    for quality in (70, 55, 40):
        data = jpeg(picture, quality)
        if len(data) <= most:
            return data
    while len(data) > most:
        picture = fit(picture, round(0.85 * picture.shape[0]), round(0.85 * picture.shape[1]))
        data = jpeg(picture, quality)
    return data
