"""Recall: how many of the objects do the proposals cover, and how tightly.

An object that no proposal covers is lost, whatever the rest of the detector does. An object counts as found when
some proposal overlaps it by at least a given intersection over union (IoU); its best overlap is the largest one.
Objects marked difficult are left out, as in the evaluation of detections, unless asked for; so are objects of
classes that the data set does not list.
"""

import numpy as np
import pandas as pd

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.errors import DatasetError

N_BOXES = (10, 20, 50, 100, 200, 500, 1000, 2000)
IOU_THRESHOLDS = tuple(np.round(np.arange(0.5, 1.0, 0.05), 2))


def best_overlaps(proposals, dataset, *, n_boxes=(None,), include_difficult: bool = False) -> pd.DataFrame:
    """Find every object's best overlap with the first proposals of its image.

    Parameters
    ----------
    proposals : dict from image id to float32 [N, 4]
        Ranked boxes, best first.
    dataset : VOCDataset or anything with `classes`, `ids` and `annotation`
    n_boxes : sequence of int or None
        Numbers of proposals to look at; None for all, which shows as the number that the richest image has.
    include_difficult : bool

    Returns
    -------
    DataFrame with the columns image_id, object (its number in the annotation), name, n_boxes, best_iou
        One row for each object and each entry of `n_boxes`; an image without proposals has overlaps of 0.
    """
    missing = [image_id for image_id in dataset.ids if image_id not in proposals]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(dataset.ids)} images have no entry in the proposals, the first is "
            f"{missing[0]}; give an empty array to an image without boxes"
        )
    n_boxes = _numbers(n_boxes, proposals)
    parts = []
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        counted = np.isin(annotation.names, dataset.classes)
        if not include_difficult:
            counted &= ~np.asarray(annotation.difficult, dtype=bool)
        objects = np.flatnonzero(counted)
        best = _best_of_first(annotation.boxes[objects], as_boxes(proposals[image_id]), n_boxes)
        for n, column in zip(n_boxes, best.T, strict=True):
            part = {
                "image_id": image_id,
                "object": objects,
                "name": np.asarray(annotation.names, dtype=object)[objects],
                "n_boxes": n,
                "best_iou": column,
            }
            parts.append(pd.DataFrame(part))
    columns = ["image_id", "object", "name", "n_boxes", "best_iou"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _numbers(n_boxes, proposals) -> list[int]:
    """Replace None by the number of proposals of the image that has most."""
    most = max(map(len, proposals.values()), default=0)
    return [most if n is None else n for n in n_boxes]


def _best_of_first(objects, boxes, n_boxes) -> np.ndarray:
    """Best overlap of each object with the first n boxes, for every n, float32 [objects, len(n_boxes)]."""
    if len(objects) == 0 or len(boxes) == 0:
        return np.zeros((len(objects), len(n_boxes)), dtype=np.float32)
    best_so_far = np.maximum.accumulate(iou(objects, boxes), axis=1)
    last = [min(n, len(boxes)) for n in n_boxes]
    best_so_far = np.pad(best_so_far, [(0, 0), (1, 0)])
    return best_so_far[:, last]


def recall_at(
    proposals, dataset, *, iou_threshold: float = 0.5, n_boxes: int | None = None, include_difficult=False
) -> float:
    """Fraction of the objects that some proposal overlaps by at least `iou_threshold`; NaN without objects.

    Parameters
    ----------
    proposals, dataset, include_difficult
        As for `best_overlaps`.
    iou_threshold : float
    n_boxes : int, optional
        Look at the first so many proposals of each image only.
    """
    overlaps = best_overlaps(proposals, dataset, n_boxes=(n_boxes,), include_difficult=include_difficult)
    return float((overlaps.best_iou >= iou_threshold).mean()) if len(overlaps) else float("nan")


def recall_curves(
    proposals,
    dataset,
    *,
    n_boxes=N_BOXES,
    iou_thresholds=IOU_THRESHOLDS,
    include_difficult: bool = False,
) -> pd.DataFrame:
    """Recall as a function of the number of proposals and of the IoU threshold.

    Parameters
    ----------
    proposals, dataset, include_difficult
        As for `best_overlaps`.
    n_boxes : sequence of int
    iou_thresholds : sequence of float

    Returns
    -------
    DataFrame with the columns n_boxes, iou_threshold, recall
        One row for each pair; ``frame.pivot(index="n_boxes", columns="iou_threshold", values="recall").plot()``
        draws the curves.
    """
    n_boxes = _numbers(n_boxes, proposals)
    overlaps = best_overlaps(proposals, dataset, n_boxes=n_boxes, include_difficult=include_difficult)
    best = {n: rows.best_iou.to_numpy() for n, rows in overlaps.groupby("n_boxes")}
    rows = [
        (n, threshold, float((best[n] >= threshold).mean()) if n in best else float("nan"))
        for n in n_boxes
        for threshold in iou_thresholds
    ]
    return pd.DataFrame(rows, columns=["n_boxes", "iou_threshold", "recall"])


def average_best_overlap(
    proposals, dataset, *, n_boxes=N_BOXES, include_difficult: bool = False
) -> pd.DataFrame:
    """Average best overlap as a function of the number of proposals.

    Parameters
    ----------
    proposals, dataset, n_boxes, include_difficult
        As for `recall_curves`.

    Returns
    -------
    DataFrame with the columns n_boxes, abo, mabo
        ``abo`` is the mean over all objects; ``mabo`` the mean over classes of their means, as Uijlings et al.
        report it.
    """
    n_boxes = _numbers(n_boxes, proposals)
    overlaps = best_overlaps(proposals, dataset, n_boxes=n_boxes, include_difficult=include_difficult)
    over_objects = overlaps.groupby("n_boxes").best_iou.mean()
    over_classes = overlaps.groupby(["n_boxes", "name"]).best_iou.mean().groupby("n_boxes").mean()
    return pd.DataFrame(
        {
            "n_boxes": n_boxes,
            "abo": over_objects.reindex(n_boxes).to_numpy(dtype=float),
            "mabo": over_classes.reindex(n_boxes).to_numpy(dtype=float),
        }
    )
