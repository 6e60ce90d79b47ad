"""Random boxes: the control that any way of proposing boxes has to beat."""

import numpy as np


def random_boxes(height: int, width: int, n: int, *, rng, min_width: int = 20) -> np.ndarray:
    """Draw boxes uniformly from all that fit into an image.

    Parameters
    ----------
    height, width : int
        Size of the image.
    n : int
        Number of boxes, drawn with replacement.
    rng : numpy.random.Generator or int
        Source of randomness, or a seed.
    min_width : int
        Smallest width and height of a box.

    Returns
    -------
    float32 array of shape [n, 4]
        Corners on whole pixels; empty if no box of `min_width` fits.
    """
    if min(height, width) < min_width:
        return np.zeros((0, 4), dtype=np.float32)
    rng = np.random.default_rng(rng)
    x1, x2 = _random_spans(width, n, rng, min_width)
    y1, y2 = _random_spans(height, n, rng, min_width)
    return np.stack([x1, y1, x2, y2], axis=1).astype(np.float32)


def _random_spans(length: int, n: int, rng, min_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw starts and ends, uniformly among all pairs in 0..length that lie at least `min_width` apart."""
    # Two different places among so many that moving the later one by min_width - 1 ends at `length`.
    places = length - min_width + 2
    a = rng.integers(places, size=n)
    b = rng.integers(places - 1, size=n)
    b += b >= a
    return np.minimum(a, b), np.maximum(a, b) + min_width - 1
