"""Greedy non-maximum suppression (paper, sec. 2.2): of boxes that overlap much, keep the best.

Boxes are visited from the best score down. A box is dropped when its IoU with a kept box is **greater** than
the threshold; an IoU that equals it stays. The IoU is computed in double precision, so a threshold such as
0.3 and an IoU of exactly 3/10 compare as they do on paper. Boxes with equal scores are visited in the order
given, so the result never depends on the sorting algorithm.
"""

import numpy as np
from numba import njit

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.settings import NMS_IOU


def nms(boxes, scores, *, iou_threshold: float = NMS_IOU) -> np.ndarray:
    """Suppress boxes that overlap a better one.

    Parameters
    ----------
    boxes : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    scores : array-like of shape [N]
        The higher, the better; NaN is refused.
    iou_threshold : float
        A box is dropped when its IoU with a kept, better box is greater than this.

    Returns
    -------
    int64 array of shape [K]
        Indices of the kept boxes, best first.

    Examples
    --------
    >>> nms([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], [0.8, 0.9, 0.1]).tolist()
    [1, 2]
    """
    boxes = as_boxes(boxes)
    scores = np.asarray(scores, dtype=np.float32)
    if scores.shape != (len(boxes),):
        raise ValueError(f"scores must have shape [{len(boxes)}], one for each box; got {list(scores.shape)}")
    _check_threshold(iou_threshold)
    _check_scores(scores)
    order = np.argsort(-scores, kind="stable")
    kept = _kept_positions(np.ascontiguousarray(boxes[order].T, dtype=np.float64), float(iou_threshold))
    return order[kept]


def nms_per_class(
    boxes,
    scores,
    *,
    score_threshold: float = -np.inf,
    iou_threshold: float = NMS_IOU,
    max_per_class: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Suppress boxes within each class on its own; the classes share the boxes.

    Parameters
    ----------
    boxes : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    scores : array-like of shape [N, C]
        Score of every box for every class.
    score_threshold : float
        Only boxes with a score greater than this take part.
    iou_threshold : float
        As in `nms`.
    max_per_class : int, optional
        Keep at most so many boxes of a class, the best ones.

    Returns
    -------
    box_index, class_index : int64 arrays of shape [K]
        What was kept, class by class, best first within a class.
    """
    boxes = as_boxes(boxes)
    scores = np.asarray(scores, dtype=np.float32)
    if scores.ndim != 2 or len(scores) != len(boxes):
        raise ValueError(f"scores must have shape [{len(boxes)}, classes]; got {list(scores.shape)}")
    if max_per_class is not None and max_per_class < 0:
        raise ValueError(f"max_per_class is {max_per_class}; it must be 0 or more, or None for no limit")
    _check_threshold(iou_threshold)
    _check_scores(scores)
    limit = len(boxes) if max_per_class is None else max_per_class
    kept_boxes, kept_classes = [], []
    for class_index, class_scores in enumerate(np.ascontiguousarray(scores.T)):
        candidates = np.flatnonzero(class_scores > score_threshold)
        order = candidates[np.argsort(-class_scores[candidates], kind="stable")]
        coordinates = np.ascontiguousarray(boxes[order].T, dtype=np.float64)
        kept = order[_kept_positions(coordinates, float(iou_threshold))[:limit]]
        kept_boxes.append(kept)
        kept_classes.append(np.full(len(kept), class_index, dtype=np.int64))
    if not kept_boxes:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(kept_boxes), np.concatenate(kept_classes)


def _check_threshold(iou_threshold):
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold is {iou_threshold}; it must lie between 0 and 1")


def _check_scores(scores):
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN; a detector whose scores are not numbers cannot be ranked")


@njit(cache=True, nogil=True)
def _kept_positions(coordinates, iou_threshold):
    """Positions that survive among boxes sorted best first; `coordinates` is float64 [4, N] and is used up.

    The boxes still standing are kept packed at the front, so each round looks at fewer of them.
    """
    x1, y1, x2, y2 = coordinates
    n = len(x1)
    areas = (x2 - x1) * (y2 - y1)
    position = np.arange(n)
    dropped = np.empty(n, dtype=np.bool_)
    kept = np.empty(n, dtype=np.int64)
    n_kept = 0
    while n > 0:
        kept[n_kept] = position[0]
        n_kept += 1
        left, top, right, bottom, area = x1[0], y1[0], x2[0], y2[0], areas[0]
        # No branch in either loop, so that the compiler can treat several boxes at once.
        for j in range(1, n):
            width = max(min(right, x2[j]) - max(left, x1[j]), 0.0)
            height = max(min(bottom, y2[j]) - max(top, y1[j]), 0.0)
            shared = width * height
            union = max(area + areas[j] - shared, 1e-300)  # two boxes without area: IoU 0, not NaN
            dropped[j] = shared / union > iou_threshold
        standing = 0
        for j in range(1, n):
            x1[standing], y1[standing], x2[standing], y2[standing] = x1[j], y1[j], x2[j], y2[j]
            areas[standing], position[standing] = areas[j], position[j]
            standing += not dropped[j]
        n = standing
    return kept[:n_kept]
