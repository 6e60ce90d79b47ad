"""Boxes: the one geometry everything else stands on.

A box is ``(x1, y1, x2, y2)`` in pixels of its image, 0-based and half-open: it covers the columns
``x1 <= x < x2`` and the rows ``y1 <= y < y2``, so its width is ``x2 - x1`` and nothing in this package ever adds
one. PASCAL VOC counts pixels from 1 and includes the last one; `from_voc` and `to_voc` are the only places where
the two conventions meet.
"""

import numpy as np


def as_boxes(boxes) -> np.ndarray:
    """Return `boxes` as a float32 array of shape [N, 4].

    Parameters
    ----------
    boxes : array-like of shape [N, 4], or an empty sequence
        Boxes ``(x1, y1, x2, y2)`` in pixels.

    Raises
    ------
    ValueError
        If the shape is not [N, 4], a coordinate is not finite, or a box has ``x2 < x1`` or ``y2 < y1``.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(
            f"boxes must have shape [N, 4], got {list(array.shape)}; wrap a single box in a list"
        )
    if not np.isfinite(array).all():
        raise ValueError("boxes must be finite numbers; found NaN or infinity")
    inverted = (array[:, 2] < array[:, 0]) | (array[:, 3] < array[:, 1])
    if inverted.any():
        first = int(np.flatnonzero(inverted)[0])
        raise ValueError(
            f"box {first} is {array[first].tolist()}: x2 < x1 or y2 < y1. "
            "Boxes are (x1, y1, x2, y2); convert (x, y, width, height) with boxes.from_xywh"
        )
    return array


def from_voc(boxes) -> np.ndarray:
    """Convert VOC boxes (1-based, last pixel included) to half-open boxes, float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return boxes - np.array([1, 1, 0, 0], dtype=np.float32)


def to_voc(boxes) -> np.ndarray:
    """Convert half-open boxes to VOC boxes (1-based, last pixel included), float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return boxes + np.array([1, 1, 0, 0], dtype=np.float32)


def from_xywh(boxes) -> np.ndarray:
    """Convert ``(x, y, width, height)`` to ``(x1, y1, x2, y2)``, float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def area(boxes) -> np.ndarray:
    """Area of each box in square pixels, float32 [N]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersection(a, b) -> np.ndarray:
    """Area of the intersection of every box of `a` with every box of `b`, float32 [N, M]."""
    a = np.asarray(a, dtype=np.float32).reshape(-1, 4)
    b = np.asarray(b, dtype=np.float32).reshape(-1, 4)
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])  # [N, M, 2]
    return np.clip(bottom_right - top_left, 0, None).prod(axis=2)


def iou(a, b) -> np.ndarray:
    """Intersection over union of every box of `a` with every box of `b`.

    Parameters
    ----------
    a : array-like of shape [N, 4]
    b : array-like of shape [M, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels.

    Returns
    -------
    float32 array of shape [N, M], in [0, 1]
        Two boxes of which neither has any area overlap by 0, not NaN.

    Examples
    --------
    >>> float(iou([[0, 0, 10, 10]], [[5, 0, 15, 10]])[0, 0])  # 50 shared of 150 pixels
    0.3333333432674408
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes, height: int, width: int) -> np.ndarray:
    """Cut boxes off at the borders of an image of `height` x `width` pixels, float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    limits = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(boxes, 0, limits)


def flip(boxes, width: int) -> np.ndarray:
    """Mirror boxes left to right in an image `width` pixels wide, float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    mirrored = boxes.copy()
    mirrored[:, 0] = width - boxes[:, 2]
    mirrored[:, 2] = width - boxes[:, 0]
    return mirrored


def unique(boxes) -> np.ndarray:
    """Drop repeated boxes and keep the first of each, in the order given, float32 [M, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    if len(boxes) == 0:
        return boxes
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]
