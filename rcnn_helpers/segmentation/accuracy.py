"""Segmentation accuracy by the rules of the PASCAL VOC development kit (sec. 5; Tables 5 to 7).

All pixels of all test pictures go into one table: how many of true class ``t`` were given the label ``p``. For
each label, background included,

    accuracy = TP / (TP + FP + FN)

is the intersection over union of all its true pixels with all pixels given it, over the whole set: one large
object counts as much as many small ones of as many pixels. Pixels that are void in the truth (outlines, difficult
objects) do not count, whatever was predicted there. The mean is over the labels, each with the same weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.datasets.voc import VOID
from rcnn_helpers.errors import DatasetError

BACKGROUND = "background"


def confusion(predicted, truth, n_classes: int) -> np.ndarray:
    """Count the pixels of one picture by true and predicted label.

    Parameters
    ----------
    predicted, truth : uint8 arrays [H, W]
        Label maps: 0 is background, 1 to `n_classes` are the classes. In `truth`, pixels of value 255 (void) do
        not count; `predicted` has to commit itself everywhere.
    n_classes : int
        Classes besides the background.

    Returns
    -------
    int64 array [n_classes + 1, n_classes + 1]
        Row: true label; column: predicted label. Add those of all pictures.

    Raises
    ------
    DatasetError
        If the maps differ in size or hold labels that are not there.

    Examples
    --------
    >>> confusion([[0, 1, 1]], [[0, 1, 255]], 1).tolist()  # the last pixel is void
    [[1, 0], [0, 1]]
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.ndim != 2 or predicted.shape != truth.shape:
        raise DatasetError(
            f"the predicted label map has shape {list(predicted.shape)}, the true one {list(truth.shape)}; both "
            "must be [H, W] of the same picture"
        )
    counted = truth != VOID
    n_labels = n_classes + 1
    rows, columns = truth[counted].astype(np.intp), predicted[counted].astype(np.intp)
    for labels, name, remedy in (
        (rows, "true", "give the classes of the whole data set"),
        (columns, "predicted", "give every pixel a class or 0, the background"),
    ):
        if len(labels) and not 0 <= labels.min() <= labels.max() < n_labels:
            strange = labels[(labels < 0) | (labels >= n_labels)][0]
            raise DatasetError(
                f"the {name} label map holds label {strange}, but labels run from 0 to {n_classes}; {remedy}"
            )
    return np.bincount(rows * n_labels + columns, minlength=n_labels**2).reshape(n_labels, n_labels)


@dataclass(frozen=True)
class SegmentationAccuracy:
    """How well label maps agree with the truth over a set of pictures.

    Attributes
    ----------
    classes : tuple of str
        Without the background.
    confusion : int64 array [C + 1, C + 1]
        Pixels by true label (row) and predicted label (column); 0 is background, ``i + 1`` is class ``i``.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "classes", tuple(self.classes))
        table = np.asarray(self.confusion, dtype=np.int64)
        if table.shape != (len(self.labels),) * 2 or (table < 0).any():
            raise DatasetError(
                f"the confusion of {len(self.classes)} classes and background needs shape "
                f"[{len(self.labels)}, {len(self.labels)}] and no negative counts; got shape {list(table.shape)}"
            )
        object.__setattr__(self, "confusion", table)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the rows and columns: background, then the classes."""
        return (BACKGROUND, *self.classes)

    @property
    def per_class(self) -> dict[str, float]:
        """Accuracy of each label in [0, 1]; NaN for a class that is neither in the truth nor predicted."""
        right = np.diagonal(self.confusion).astype(float)
        either = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - right
        ratios = np.divide(right, either, out=np.full(len(right), np.nan), where=either > 0)
        return dict(zip(self.labels, ratios.tolist(), strict=True))

    @property
    def mean(self) -> float:
        """Mean accuracy over background and classes, those that are NaN left out; the figure VOC ranks by."""
        values = np.array([value for value in self.per_class.values() if not np.isnan(value)])
        return float(values.mean()) if len(values) else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of all counted pixels that have their true label; mostly the background's."""
        total = self.confusion.sum()
        return float(np.trace(self.confusion) / total) if total else float("nan")

    def __add__(self, other: "SegmentationAccuracy") -> "SegmentationAccuracy":
        """Of both sets of pictures together."""
        if self.classes != other.classes:
            raise DatasetError(f"cannot add accuracies of classes {other.classes} to those of {self.classes}")
        return SegmentationAccuracy(self.classes, self.confusion + other.confusion)

    def to_frame(self):
        """A pandas frame, one row a label and one for the mean.

        Columns: accuracy in 0..100; pixels in the truth, pixels predicted, pixels right.
        """
        import pandas as pd

        columns = {
            "accuracy": [100 * value for value in self.per_class.values()],
            "true pixels": self.confusion.sum(axis=1),
            "predicted pixels": self.confusion.sum(axis=0),
            "right": np.diagonal(self.confusion),
        }
        frame = pd.DataFrame(columns, index=pd.Index(self.labels, name="class"))
        totals = frame.drop(columns="accuracy").sum()
        frame.loc["mean"] = pd.Series({"accuracy": 100 * self.mean} | totals.to_dict())
        return frame.astype(dict.fromkeys(totals.index, np.int64))


def segmentation_accuracy(
    label_maps: Mapping[str, np.ndarray], dataset, *, classes: Sequence[str] | None = None
) -> SegmentationAccuracy:
    """Compare label maps with the masks of a data set.

    Parameters
    ----------
    label_maps : mapping from image id to uint8 array [H, W]
        For every image of `dataset`; read one after the other.
    dataset : VOCDataset
        Anything with ``ids``, ``classes`` and ``segmentation(image_id)``.
    classes : sequence of str, optional
        Of the label maps; they must be those of `dataset`, in the same order.

    Raises
    ------
    DatasetError
        If an image has no label map, or a map does not fit its picture or the classes.
    """
    if classes is not None and tuple(classes) != tuple(dataset.classes):
        raise DatasetError(
            f"the label maps are of classes {', '.join(classes)}, the data set has {', '.join(dataset.classes)}; "
            "labels are positions in this list, so both must be the same"
        )
    n_classes = len(dataset.classes)
    total = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    for image_id in dataset.ids:
        if image_id not in label_maps:
            raise DatasetError(
                f"image {image_id!r} has no label map; segment all {len(dataset.ids)} images of {dataset!r}"
            )
        total += confusion(label_maps[image_id], dataset.segmentation(image_id)[0], n_classes)
    return SegmentationAccuracy(tuple(dataset.classes), total)
