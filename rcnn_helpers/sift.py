"""SIFT descriptors of patches on a dense grid: what classifiers and segmentations read before the networks.

Lowe: Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004, in the square-rooted form of
Arandjelovic and Zisserman: Three Things Everyone Should Know to Improve Object Retrieval, CVPR 2012.
"""

import numpy as np

SIFT_DIM = 128
# OpenCV's SIFT of size s looks at a square of 6 s pixels: 4 x 4 bins of 1.5 s.
_PATCH_PER_SIZE = 6


def dense_sift(image: np.ndarray, *, step: int, patches: tuple[int, ...]) -> np.ndarray:
    """Square-rooted SIFT descriptors of upright patches around a grid of points.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    step : int
        Pixels between neighbouring points; the first lies half a step from the corner.
    patches : tuple of int
        Sides of the patches in pixels; what of a patch lies outside the image does not count.

    Returns
    -------
    float32 [sizes, rows, columns, 128]
        Of L2 norm 1, or 0 where there is no gradient at all. In a patch of one colour, the rounding errors of the
        blur that goes before may leave one.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    rows = np.arange(step // 2, image.shape[0], step, dtype=float)
    columns = np.arange(step // 2, image.shape[1], step, dtype=float)
    sift = cv2.SIFT_create()
    found = np.empty((len(patches), len(rows), len(columns), SIFT_DIM), np.float32)
    for size_index, patch in enumerate(patches):
        points = [cv2.KeyPoint(x, y, patch / _PATCH_PER_SIZE, 0) for y in rows for x in columns]
        kept, descriptors = sift.compute(grey, points)
        if len(kept) != len(points):
            raise RuntimeError(f"OpenCV described {len(kept)} of {len(points)} patches")
        found[size_index] = descriptors.reshape(len(rows), len(columns), SIFT_DIM)
    total = found.sum(axis=-1, keepdims=True)
    return np.sqrt(found / np.maximum(total, 1))
