"""From the scores of all regions to detections: caps, thresholds, suppression.

A data set has too many regions to keep a score of each for each class. `Candidates` keeps the best of each class
within the released code's two caps; `suppress` then drops those that overlap a better one; `best_thresholds` says
from which score on a detection is worth showing.
"""

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.nms import nms


def pick_boxes(boxes: np.ndarray, rows: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """The box of each region for each class, float32 [K, 4].

    Parameters
    ----------
    boxes : float32 [N, 4], or [N, C, 4] where each class has moved them to a place of its own
    rows, class_index : int64 [K]
    """
    return boxes[rows] if boxes.ndim == 2 else boxes[rows, class_index]


def best_of_image(
    boxes: np.ndarray, scores: np.ndarray, max_per_image: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best `max_per_image` regions of each class in one image.

    Parameters
    ----------
    boxes : float32 [N, 4] or [N, C, 4]
        See `pick_boxes`.
    scores : float32 [N, C]
    max_per_image : int

    Returns
    -------
    class_index : int64 [K]
    scores : float32 [K]
    boxes : float32 [K, 4]
    """
    n_classes = scores.shape[1]
    best = np.argsort(-scores, axis=0, kind="stable")[:max_per_image]  # [k, C]
    class_index = np.broadcast_to(np.arange(n_classes), best.shape).ravel()
    rows = best.ravel()
    fires = scores[rows, class_index] > settings.NEVER_FIRES
    rows, class_index = rows[fires], class_index[fires]
    return class_index, scores[rows, class_index], pick_boxes(boxes, rows, class_index)


class Candidates:
    """The best-scoring regions of each class, within the released code's two caps.

    Parameters
    ----------
    image_ids, classes : sequences of str
    max_per_image : int
        Regions of one image that a class may keep.
    max_total : int
        Regions of all images that a class may keep.
    """

    def __init__(self, image_ids, classes, max_per_image: int, max_total: int):
        self.image_ids = tuple(image_ids)
        self.classes = tuple(classes)
        self.max_per_image = max_per_image
        self.max_total = max_total
        self.pending: list[Detections] = []
        self.n_pending = 0

    def add(self, image_index: int, boxes: np.ndarray, scores: np.ndarray) -> None:
        """Take the best `max_per_image` regions of each class from one image.

        Parameters
        ----------
        image_index : int
        boxes : float32 [N, 4] or [N, C, 4]
            See `pick_boxes`.
        scores : float32 [N, C]
        """
        self.take(image_index, *best_of_image(boxes, scores, self.max_per_image))

    def take(self, image_index: int, class_index, scores, boxes) -> None:
        """Take what `best_of_image` found in one image, here or in another process."""
        of_image = np.full(len(class_index), image_index, np.int32)
        self.keep(Detections(self.image_ids, self.classes, of_image, class_index, scores, boxes))

    def keep(self, found: Detections) -> None:
        """Take all of `found`: regions of these images and classes, of one image the best alone, as `add` does."""
        self.pending.append(found)
        self.n_pending += len(found)
        if self.n_pending > 2 * self.max_total * len(self.classes):
            self.pending = [self.best()]
            self.n_pending = len(self.pending[0])

    def best(self) -> Detections:
        """The best `max_total` candidates of each class, in the order they were added."""
        if not self.pending:
            return Detections.empty(self.image_ids, self.classes)
        joined = Detections.concatenate(self.pending)
        kept = np.zeros(len(joined), bool)
        for c in range(len(self.classes)):
            rows = np.flatnonzero(joined.class_index == c)
            kept[rows[np.argsort(-joined.scores[rows], kind="stable")[: self.max_total]]] = True
        return joined.select(kept)


def suppress(detections: Detections, *, iou_threshold: float = settings.NMS_IOU) -> Detections:
    """Non-maximum suppression over a data set: in each image, class by class (sec. 2.2)."""
    group = detections.image_index.astype(np.int64) * len(detections.classes) + detections.class_index
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    kept = [
        rows[nms(detections.boxes[rows], detections.scores[rows], iou_threshold=iou_threshold)]
        for rows in np.split(order, starts[1:])
    ]
    return detections.select(np.concatenate(kept))


def suppress_scores(
    boxes: np.ndarray, scores: np.ndarray, *, least_score: float, iou_threshold: float
) -> np.ndarray:
    """Scores of one image's regions, with -inf for those that are out: float32 [N, C].

    Parameters
    ----------
    boxes : float32 [N, 4] or [N, C, 4]
        See `pick_boxes`.
    scores : float32 [N, C]
    least_score : float
        Regions have to score more.
    iou_threshold : float
        Regions that overlap a better one of the class by more are out, too; none are at 1.
    """
    left = np.full_like(scores, -np.inf)
    for c in range(scores.shape[1]):
        rows = np.flatnonzero(scores[:, c] > least_score)
        if iou_threshold < 1:
            rows = rows[nms(pick_boxes(boxes, rows, c), scores[rows, c], iou_threshold=iou_threshold)]
        left[rows, c] = scores[rows, c]
    return left


def best_thresholds(evaluation, classes) -> np.ndarray:
    """The score of each class at which F1, the harmonic mean of precision and recall, is best, float32 [C].

    Infinite for a class that was never right, so that it is never reported.
    """
    thresholds = np.full(len(classes), np.inf, np.float32)
    for c, name in enumerate(classes):
        curve = evaluation.curves[name]
        total = curve.precision + curve.recall
        f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total), where=total > 0)
        if len(f1) and f1.max() > 0:
            # Just below the score itself, which thus counts.
            thresholds[c] = np.nextafter(curve.scores[f1.argmax()], np.float32(-np.inf))
    return thresholds
