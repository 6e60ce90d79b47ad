"""Colour spaces: selective search looks at an image through several, each blind to something else.

A shadow changes intensity but hardly hue; two grey things differ in intensity alone. Grouping in several spaces
catches objects that any single one would break up or lose (Uijlings et al., IJCV 2013, table 1).
"""

import cv2
import numpy as np


def _hsv(image):
    """Hue, saturation and value; hue fills the whole range 0 to 255."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)


def _lab(image):
    """CIE L*a*b*, each channel spread over 0 to 255."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)


def _intensity(image):
    """Grey levels."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def _hue(image):
    """The hue of HSV alone."""
    return np.ascontiguousarray(_hsv(image)[:, :, :1])


def _rgi(image):
    """Red and green as shares of red + green + blue, and intensity."""
    total = np.maximum(image.sum(axis=2, dtype=np.float32), 1)
    red_share = 255 * image[:, :, 0] / total
    green_share = 255 * image[:, :, 1] / total
    return np.dstack(
        [red_share.round().astype(np.uint8), green_share.round().astype(np.uint8), _intensity(image)]
    )


def _rgb(image):
    """The image as it is."""
    return image


COLOUR_SPACES = {
    "hsv": _hsv,
    "lab": _lab,
    "rgi": _rgi,
    "hue": _hue,
    "intensity": _intensity,
    "rgb": _rgb,
}


def convert(image, space: str) -> np.ndarray:
    """Convert an image to one of the `COLOUR_SPACES`.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        RGB.
    space : str
        ``"hsv"``, ``"lab"``, ``"rgi"``, ``"hue"``, ``"intensity"`` or ``"rgb"``.

    Returns
    -------
    uint8 array of shape [H, W, C]
        C is 3, or 1 for ``"hue"`` and ``"intensity"``.
    """
    if space not in COLOUR_SPACES:
        raise ValueError(f"unknown colour space {space!r}; choose one of {', '.join(COLOUR_SPACES)}")
    return np.ascontiguousarray(COLOUR_SPACES[space](np.ascontiguousarray(image)))
