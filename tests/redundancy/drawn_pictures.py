"""Pictures for the tests of redundancy."""

import cv2
import numpy as np


def drawn(seed, height=48, width=64):
    """A picture with shapes of several sizes and colours."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(12):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.circle(image, centre, int(rng.integers(2, 14)), colour, -1)
        end = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.line(image, centre, end, colour[::-1], int(rng.integers(1, 3)))
    return image
