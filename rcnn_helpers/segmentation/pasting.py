"""From scored regions to a label map: suppress, then paste the strongest on top (sec. 5, after O2P).

The paper leaves this step to O2P's open framework (Carreira et al., ECCV 2012), whose simple inference it is:

1. each region stands for the class that it scores highest for, and has that score;
2. regions below a threshold are dropped: where nothing is left, there is background;
3. from the best score down, a region is dropped if its mask overlaps a kept one's by more than `nms_iou`, whatever
   their classes;
4. what is left is pasted from the weakest to the strongest, so that the strongest lies on top.

So each pixel has the class of the strongest kept region that covers it. Two numbers are to be chosen, the
threshold and `nms_iou`; both are the same for all classes, and `PastingChoice` picks the pair with the best mean
accuracy on training pictures. Suppression does not depend on the threshold, as a weaker region never suppresses a
stronger one. That is why one pass over the pictures is enough for all thresholds.
"""

from dataclasses import dataclass

import numpy as np

from rcnn_helpers.datasets.voc import VOID
from rcnn_helpers.errors import SettingsError, TrainingError
from rcnn_helpers.segmentation.regions import SegmentRegions

# What `PastingChoice` tries.
THRESHOLDS = np.round(np.arange(0, 1.0, 0.01), 2)
NMS_IOUS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)


def paste(
    regions: SegmentRegions,
    scores,
    *,
    threshold: float,
    nms_iou: float = 0.2,
    max_pasted: int | None = None,
) -> np.ndarray:
    """Label every pixel of an image.

    Parameters
    ----------
    regions : SegmentRegions
    scores : array [N, C]
        Of each region for each class; the regressors predict overlaps.
    threshold : float
        A region is pasted if its best score is above.
    nms_iou : float
        See the module's text; 1 drops nothing.
    max_pasted : int, optional
        Paste the strongest so many only, to see how the picture comes about.

    Returns
    -------
    uint8 [H, W]
        0 is background, ``c + 1`` the class of column ``c``.

    Raises
    ------
    SettingsError
        If there is not one row of finite scores for each region, or `nms_iou` is not within 0 and 1.
    """
    scores = _checked_scores(regions, scores)
    kept = kept_regions(regions, scores, threshold=threshold, nms_iou=nms_iou)[:max_pasted]
    labels = np.zeros(regions.members.shape[1], np.uint8)
    for index in reversed(kept):
        labels[regions.members[index]] = 1 + scores[index].argmax()
    return labels[regions.atoms]


def kept_regions(
    regions: SegmentRegions, scores, *, threshold: float = -np.inf, nms_iou: float = 0.2
) -> np.ndarray:
    """Positions of the regions that `paste` pastes, strongest first, int64 [K]; see there for the parameters."""
    scores = _checked_scores(regions, scores)
    if not 0 <= nms_iou <= 1:
        raise SettingsError(f"nms_iou is {nms_iou}; an IoU lies between 0 and 1")
    if len(regions) == 0:
        return np.zeros(0, np.int64)
    best = scores.max(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > threshold]
    sizes = np.bincount(regions.atoms.ravel(), minlength=regions.members.shape[1]).astype(np.float32)
    members = regions.members[order].astype(np.float32)
    shared = (members * sizes) @ members.T
    area = np.diagonal(shared)
    overlaps = shared / np.maximum(area[:, None] + area - shared, 1)
    alive, kept = np.ones(len(order), bool), []
    for position in range(len(order)):
        if alive[position]:
            kept.append(position)
            alive &= ~(overlaps[position] > nms_iou)
    return order[kept]


@dataclass(frozen=True)
class Pasting:
    """How regions are pasted, and how well that did on the pictures it was chosen on.

    Attributes
    ----------
    threshold, nms_iou : float
        For `paste`.
    accuracy : float
        Mean accuracy in [0, 1], as `SegmentationAccuracy.mean`.
    """

    threshold: float
    nms_iou: float
    accuracy: float = float("nan")


class PastingChoice:
    """Chooses threshold and suppression on pictures whose labels are known.

    Give it the pictures one by one, then ask for the `best`. It keeps counts only.

    Parameters
    ----------
    n_classes : int
    thresholds : increasing array [T]
    nms_ious : sequence of float
    """

    def __init__(self, n_classes: int, *, thresholds=THRESHOLDS, nms_ious=NMS_IOUS):
        self.n_labels = n_classes + 1
        self.thresholds, self.nms_ious = np.asarray(thresholds, dtype=float), tuple(nms_ious)
        # By the number of thresholds that a pixel's region exceeds, 0 to T: pixels with the label of that region,
        # those of them that are truly of it, and those that are truly background.
        shape = (len(self.nms_ious), self.n_labels, len(self.thresholds) + 1)
        self.pasted, self.right, self.background = (np.zeros(shape, np.int64) for _ in range(3))
        self.truth = np.zeros(self.n_labels, np.int64)

    def add(self, regions: SegmentRegions, scores, class_map: np.ndarray) -> None:
        """Take one picture into account; `class_map` is uint8 [H, W], 255 void."""
        scores = _checked_scores(regions, scores)
        counts = regions.label_counts(class_map)
        counts[:, VOID] = 0
        in_all = counts.sum(axis=1)
        self.truth += counts.sum(axis=0)[: self.n_labels]
        for k, nms_iou in enumerate(self.nms_ious):
            labels, strength = self._strongest(regions, scores, nms_iou)
            exceeded = np.searchsorted(self.thresholds, strength, side="left")
            atoms = np.arange(len(labels))
            np.add.at(self.pasted[k], (labels, exceeded), in_all)
            np.add.at(self.right[k], (labels, exceeded), counts[atoms, labels])
            np.add.at(self.background[k], (labels, exceeded), counts[:, 0])

    def accuracies(self) -> np.ndarray:
        """Mean accuracy of each suppression with each threshold, float64 [nms_ious, T]."""
        # A region is pasted at threshold t if it exceeds more than t of them.
        pasted, right, spoilt = (
            np.cumsum(counts[:, 1:, ::-1], axis=2)[:, :, ::-1][:, :, 1:]
            for counts in (self.pasted, self.right, self.background)
        )
        # Background that is left: what no pasted region of any class covers.
        total = self.truth.sum()
        left = total - pasted.sum(axis=1)
        right_background = self.truth[0] - spoilt.sum(axis=1)
        right = np.concatenate([right_background[:, None], right], axis=1)
        pasted = np.concatenate([left[:, None], pasted], axis=1)
        union = pasted + self.truth[:, None] - right
        ratios = np.divide(right, union, out=np.full(union.shape, np.nan), where=union > 0)
        return np.nanmean(ratios, axis=1)

    def best(self) -> Pasting:
        """The pair with the best mean accuracy.

        Raises
        ------
        TrainingError
            If no picture was given.
        """
        if not self.truth.sum():
            raise TrainingError("there is no picture to choose how to paste on; add some first")
        accuracies = self.accuracies()
        k, t = np.unravel_index(accuracies.argmax(), accuracies.shape)
        return Pasting(float(self.thresholds[t]), self.nms_ious[k], float(accuracies[k, t]))

    def _strongest(self, regions, scores, nms_iou):
        """Label and score of the strongest kept region at each atom, int64 [A] and float64 [A]."""
        labels = np.zeros(regions.members.shape[1], np.int64)
        strength = np.full(len(labels), -np.inf)
        for index in reversed(kept_regions(regions, scores, nms_iou=nms_iou)):
            covered = regions.members[index]
            labels[covered] = 1 + scores[index].argmax()
            strength[covered] = scores[index].max()
        return labels, strength


def _checked_scores(regions: SegmentRegions, scores) -> np.ndarray:
    scores = np.asarray(scores)
    if scores.ndim != 2 or len(scores) != len(regions) or scores.shape[1] == 0:
        raise SettingsError(
            f"{len(regions)} regions need scores of shape [{len(regions)}, C], got {list(scores.shape)}"
        )
    if not np.isfinite(scores).all():
        raise SettingsError("scores must be finite numbers; found NaN or infinity")
    return scores
