"""Average precision by the rules of the PASCAL VOC development kit.

The rules, as `VOCevaldet.m` has them, for one class:

- Detections of the whole test set are visited from the best score down; equal scores keep their order.
- A detection looks at the object of its class in its image that it overlaps best, among *all* of them: those
  marked ``difficult`` and those already found included. It never falls back on the second best.
- IoU below 0.5 (or no object): false positive. Otherwise, an object marked ``difficult``: the detection is
  ignored, and any number of detections may be. An object found before: false positive, a duplicate. Else:
  true positive.
- Recall is counted over the objects not marked ``difficult``.
- Average precision is the mean, over the recalls 0, 0.1, ..., 1, of the best precision at that recall or more
  (``"11point"``, VOC 2007 and the R-CNN paper), the same over 0, 0.01, ..., 1 (``"101point"``, COCO and TIDE),
  or the area under that curve of best precisions (``"area"``, VOC 2010 and later).

Boxes are half-open here, so the development kit's "+1" is already in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.settings import MATCH_IOU

METRICS = ("11point", "101point", "area")
_RECALL_STEPS = {"11point": 10, "101point": 100}
OUTCOMES = ("tp", "fp", "duplicate", "ignored")
_TP, _FP, _DUPLICATE, _IGNORED = range(len(OUTCOMES))


@dataclass(frozen=True)
class Detections:
    """Detections of one image or of a whole data set, as columns of equal length.

    Attributes
    ----------
    image_ids : tuple of str
        The images that were searched, also those in which nothing was found.
    classes : tuple of str
        The classes that were searched for.
    image_index, class_index : int32 arrays of shape [N]
        Positions in `image_ids` and `classes`.
    scores : float32 array of shape [N]
    boxes : float32 array of shape [N, 4]
        ``(x1, y1, x2, y2)`` in pixels, half-open.
    """

    image_ids: tuple[str, ...]
    classes: tuple[str, ...]
    image_index: np.ndarray
    class_index: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray

    def __post_init__(self):
        # A frozen dataclass is filled in through object.__setattr__.
        for name, dtype in (("image_index", np.int32), ("class_index", np.int32), ("scores", np.float32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype).reshape(-1))
        object.__setattr__(self, "image_ids", tuple(self.image_ids))
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        lengths = {
            name: len(getattr(self, name)) for name in ("image_index", "class_index", "scores", "boxes")
        }
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of Detections differ in length: {lengths}")
        if np.isnan(self.scores).any():
            raise ValueError("scores contain NaN; a detector whose scores are not numbers cannot be ranked")
        _check_indices("image_index", self.image_index, len(self.image_ids), "image_ids")
        _check_indices("class_index", self.class_index, len(self.classes), "classes")

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"Detections({len(self)} in {len(self.image_ids)} images, {len(self.classes)} classes)"

    @classmethod
    def empty(cls, image_ids: Sequence[str], classes: Sequence[str]) -> "Detections":
        """Nothing found in `image_ids`."""
        return cls(tuple(image_ids), tuple(classes), [], [], [], [])

    def select(self, rows) -> "Detections":
        """The detections at `rows` (indices or a mask); images and classes stay."""
        return Detections(
            self.image_ids,
            self.classes,
            self.image_index[rows],
            self.class_index[rows],
            self.scores[rows],
            self.boxes[rows],
        )

    def of_class(self, name: str) -> "Detections":
        """Only the detections of class `name`."""
        return self.select(self.class_index == _position(name, self.classes, "class"))

    def of_image(self, image_id: str) -> "Detections":
        """Only the detections in image `image_id`."""
        return self.select(self.image_index == _position(image_id, self.image_ids, "image"))

    def sorted(self) -> "Detections":
        """Best score first; equal scores keep their order."""
        return self.select(np.argsort(-self.scores, kind="stable"))

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> "Detections":
        """Join detections of the same classes, for instance image by image, in the order given."""
        if not parts:
            raise ValueError(
                "nothing to concatenate: give at least one Detections (Detections.empty will do)"
            )
        classes = parts[0].classes
        for part in parts:
            if part.classes != classes:
                raise ValueError(f"cannot join detections of classes {part.classes} to those of {classes}")
        image_ids = tuple(dict.fromkeys(image_id for part in parts for image_id in part.image_ids))
        position = {image_id: i for i, image_id in enumerate(image_ids)}
        image_index = [
            np.array([position[image_id] for image_id in part.image_ids], dtype=np.int32)[part.image_index]
            for part in parts
        ]
        return cls(
            image_ids,
            classes,
            np.concatenate(image_index),
            np.concatenate([part.class_index for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.boxes for part in parts]),
        )

    def to_frame(self):
        """A pandas frame with columns image, class, score, x1, y1, x2, y2."""
        import pandas as pd

        columns = {
            "image": np.array(self.image_ids, dtype=object)[self.image_index],
            "class": np.array(self.classes, dtype=object)[self.class_index],
            "score": self.scores,
        }
        columns |= {name: self.boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))}
        return pd.DataFrame(columns)


@dataclass(frozen=True)
class GroundTruth:
    """All objects of a data set as columns, in the order of its images and their annotations.

    Attributes
    ----------
    image_ids, classes : tuple of str
    image_index, class_index : int32 arrays of shape [M]
    boxes : float32 array of shape [M, 4]
    difficult : bool array of shape [M]
    object_index : int32 array of shape [M]
        Position of the object in the annotation of its image.
    """

    image_ids: tuple[str, ...]
    classes: tuple[str, ...]
    image_index: np.ndarray
    class_index: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray
    object_index: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def n_positives(self, name: str) -> int:
        """Objects of class `name` that are not marked ``difficult``."""
        of_class = self.class_index == _position(name, self.classes, "class")
        return int((of_class & ~self.difficult).sum())


def collect_ground_truth(dataset) -> GroundTruth:
    """Read the annotations of every image of `dataset` once.

    Objects whose name is not one of ``dataset.classes`` are left out.

    Parameters
    ----------
    dataset : VOCDataset
        Anything with ``ids``, ``classes`` and ``annotation(image_id)``.
    """
    position = {name: i for i, name in enumerate(dataset.classes)}
    image_index, class_index, object_index, boxes, difficult = [], [], [], [], []
    for image, image_id in enumerate(dataset.ids):
        annotation = dataset.annotation(image_id)
        kept = [i for i, name in enumerate(annotation.names) if name in position]
        image_index += [image] * len(kept)
        class_index += [position[annotation.names[i]] for i in kept]
        object_index += kept
        boxes.append(np.asarray(annotation.boxes, dtype=np.float32).reshape(-1, 4)[kept])
        difficult.append(np.asarray(annotation.difficult, dtype=bool)[kept])
    return GroundTruth(
        image_ids=tuple(dataset.ids),
        classes=tuple(dataset.classes),
        image_index=np.array(image_index, dtype=np.int32),
        class_index=np.array(class_index, dtype=np.int32),
        boxes=np.concatenate([np.empty((0, 4), np.float32), *boxes]),
        difficult=np.concatenate([np.empty(0, bool), *difficult]),
        object_index=np.array(object_index, dtype=np.int32),
    )


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall of one class after each detection that counts, best score first.

    Ignored detections (matched to ``difficult`` objects) have no point: neither value changes there.

    Attributes
    ----------
    recall, precision : float64 arrays of shape [P]
        Recall is NaN where the class has no positives.
    scores : float32 array of shape [P]
    detection : int64 array of shape [P]
        Row of each point's detection in the `Detections` that were evaluated.
    n_positives : int
        Objects of the class that are not marked ``difficult``.
    """

    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray
    detection: np.ndarray
    n_positives: int

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best_precision(self) -> np.ndarray:
        """The highest precision at each point's recall or beyond: the curve that AP is computed from."""
        return _best_from_here_on(self.precision)


@dataclass(frozen=True)
class EvaluationResult:
    """What `evaluate` found.

    Attributes
    ----------
    ap : dict of str to float
        Average precision of each class in [0, 1]; NaN for a class without positives.
    curves : dict of str to PrecisionRecall
    outcomes : array of str, shape [N]
        ``"tp"``, ``"fp"``, ``"duplicate"`` or ``"ignored"`` for each detection, in the order they were given.
    match_iou : float32 array of shape [N]
        IoU of each detection with the object of its class that it overlaps best; 0 where there is none.
    match_object : int32 array of shape [N]
        That object's position in the annotation of the image, or -1.
    metric : str
    """

    ap: dict[str, float]
    curves: dict[str, PrecisionRecall]
    outcomes: np.ndarray = field(repr=False)
    match_iou: np.ndarray = field(repr=False)
    match_object: np.ndarray = field(repr=False)
    metric: str = "11point"

    @property
    def mean_ap(self) -> float:
        """Mean over the classes that have positives; NaN if none has."""
        values = np.array([value for value in self.ap.values() if not np.isnan(value)])
        return float(values.mean()) if len(values) else float("nan")

    def precision_at(self, name: str, score):
        """Precision of all detections of class `name` that score at least `score`.

        The paper labels the detections in its figures with this number (Figs. 8 to 11). For a score above all
        that were seen it is the precision at the highest of them; NaN if nothing of the class was detected.

        Parameters
        ----------
        name : str
        score : float or array-like
        """
        curve = self.curves[name]
        if len(curve) == 0:
            return np.full(np.shape(score), np.nan)[()]
        reaching = np.searchsorted(-curve.scores, -np.asarray(score, dtype=np.float32), side="right")
        tied_with_best = np.searchsorted(-curve.scores, -curve.scores[0], side="right")
        return curve.precision[np.maximum(reaching, tied_with_best) - 1]

    def to_frame(self):
        """A pandas frame, one row a class (AP in 0..100, objects, outcomes) and one for the mean."""
        import pandas as pd

        rows = []
        for name, curve in self.curves.items():
            found = int((self.outcomes[curve.detection] == "tp").sum())
            rows.append(
                {
                    "class": name,
                    "AP": 100 * self.ap[name],
                    "objects": curve.n_positives,
                    "detections": len(curve),
                    "true positives": found,
                    "duplicates": int((self.outcomes[curve.detection] == "duplicate").sum()),
                }
            )
        total = {
            key: sum(row[key] for row in rows)
            for key in ("objects", "detections", "true positives", "duplicates")
        }
        rows.append({"class": "mean", "AP": 100 * self.mean_ap} | total)
        return pd.DataFrame(rows).set_index("class")


def evaluate(
    detections: Detections,
    dataset,
    *,
    metric: str = "11point",
    match_iou: float = MATCH_IOU,
) -> EvaluationResult:
    """Compare detections with the truth, class by class.

    Parameters
    ----------
    detections : Detections
        Its `classes` are the ones evaluated; a class without detections has an AP of 0.
    dataset : VOCDataset or GroundTruth
        *All* its images count, also those in which nothing was detected.
    metric : {"11point", "101point", "area"}
    match_iou : float
        A detection is right from this IoU on.

    Raises
    ------
    DatasetError
        If a detection lies in an image, or is of a class, that the data set does not have.
    """
    _check_metric(metric)
    if not 0 < match_iou <= 1:
        raise ValueError(f"match_iou is {match_iou}; it must be greater than 0 and at most 1")
    truth = dataset if isinstance(dataset, GroundTruth) else collect_ground_truth(dataset)
    image_of_detection = _translate(detections.image_index, detections.image_ids, truth.image_ids, "image")
    class_of_truth = np.full(len(truth.classes), -1, dtype=np.int32)
    for index, name in enumerate(detections.classes):
        if name not in truth.classes:
            raise DatasetError(
                f"detections are of class {name!r}, which the data set does not have; "
                f"its classes are {', '.join(truth.classes)}"
            )
        class_of_truth[truth.classes.index(name)] = index

    n_classes = len(detections.classes)
    ranking, class_start = _rank_within_classes(detections.class_index, detections.scores, n_classes)
    # Objects are grouped by image and class, so that those a detection may match stand side by side.
    group_of_object = _group(truth.image_index, class_of_truth[truth.class_index], n_classes)
    group_of_object[class_of_truth[truth.class_index] < 0] = -1
    objects = np.argsort(group_of_object, kind="stable")
    group_start = np.searchsorted(group_of_object[objects], np.arange(len(truth.image_ids) * n_classes + 1))
    codes, ious, matches = _match(
        ranking,
        _group(image_of_detection, detections.class_index, n_classes),
        detections.boxes,
        group_start,
        truth.boxes[objects],
        truth.difficult[objects],
        float(match_iou),
    )
    match_object = np.full(len(detections), -1, dtype=np.int32)
    match_object[matches >= 0] = truth.object_index[objects[matches[matches >= 0]]]

    curves, ap = {}, {}
    for index, name in enumerate(detections.classes):
        rows = ranking[class_start[index] : class_start[index + 1]]
        curves[name] = _curve(
            rows[codes[rows] != _IGNORED], codes, detections.scores, truth.n_positives(name)
        )
        positives = curves[name].n_positives
        ap[name] = (
            average_precision(curves[name].recall, curves[name].precision, metric=metric)
            if positives
            else float("nan")
        )
    return EvaluationResult(ap, curves, np.array(OUTCOMES)[codes], ious, match_object, metric)


def average_precision(recall, precision, *, metric: str = "11point") -> float:
    """Summarise a curve of precision over recall in one number in [0, 1].

    Parameters
    ----------
    recall, precision : array-like of shape [P]
        After each detection, best score first; recall never falls. A NaN precision (nothing counted yet) does
        not matter.
    metric : {"11point", "101point", "area"}
        Eleven recalls (VOC 2007), COCO's 101, or the exact area (VOC 2010 and later).
    """
    _check_metric(metric)
    recall = np.asarray(recall, dtype=np.float64)
    precision = np.nan_to_num(np.asarray(precision, dtype=np.float64), nan=0.0)
    if recall.shape != precision.shape or recall.ndim != 1:
        raise ValueError(
            f"recall {list(recall.shape)} and precision {list(precision.shape)} must be equally long"
        )
    if len(recall) == 0:
        return 0.0
    if np.isnan(recall).any():
        return float("nan")
    best = _best_from_here_on(precision)
    if metric == "area":
        return float(np.sum(np.diff(recall, prepend=0.0) * best))
    # 0.3 as a float may lie above 3/10 computed from counts; recalls are much further apart than the slack.
    steps = _RECALL_STEPS[metric]
    thresholds = np.arange(steps + 1) / steps - 1e-9
    reached = np.searchsorted(recall, thresholds, side="left")
    return float(np.append(best, 0.0)[reached].mean())


def _best_from_here_on(precision):
    return np.maximum.accumulate(precision[::-1])[::-1]


def _curve(rows, codes, scores, n_positives):
    """Precision and recall after each of the detections `rows` of one class, best first."""
    true_positives = np.cumsum(codes[rows] == _TP)
    recall = true_positives / n_positives if n_positives else np.full(len(rows), np.nan)
    precision = true_positives / np.arange(1, len(rows) + 1)
    return PrecisionRecall(recall, precision, scores[rows], rows, n_positives)


def _rank_within_classes(class_index, scores, n_classes):
    """Rows by class, best first within a class (stable), and where each class starts."""
    short = np.int16 if n_classes < 2**15 else np.int32  # 16 bits: NumPy sorts in linear time
    by_class = np.argsort(class_index.astype(short), kind="stable")
    start = np.searchsorted(class_index[by_class], np.arange(n_classes + 1))
    ranking = np.empty(len(scores), dtype=np.int64)
    for first, last in zip(start[:-1], start[1:], strict=True):
        rows = by_class[first:last]
        ranking[first:last] = rows[np.argsort(-scores[rows], kind="stable")]
    return ranking, start


def _group(image_index, class_index, n_classes):
    return image_index.astype(np.int64) * n_classes + class_index


@njit(cache=True, nogil=True)
def _match(ranking, group_of_detection, boxes, group_start, truth_boxes, truth_difficult, match_iou):
    """Outcome, best IoU and best object (-1: none) of every detection, visited in the order of `ranking`."""
    codes = np.empty(len(boxes), dtype=np.int8)
    ious = np.zeros(len(boxes), dtype=np.float32)
    matches = np.full(len(boxes), -1, dtype=np.int64)
    found = np.zeros(len(truth_boxes), dtype=np.bool_)
    for row in ranking:
        x1, y1, x2, y2 = (
            np.float64(boxes[row, 0]),
            np.float64(boxes[row, 1]),
            np.float64(boxes[row, 2]),
            np.float64(boxes[row, 3]),
        )
        best_iou = 0.0
        best = -1
        group = group_of_detection[row]
        for j in range(group_start[group], group_start[group + 1]):
            tx1, ty1, tx2, ty2 = (
                np.float64(truth_boxes[j, 0]),
                np.float64(truth_boxes[j, 1]),
                np.float64(truth_boxes[j, 2]),
                np.float64(truth_boxes[j, 3]),
            )
            width = min(x2, tx2) - max(x1, tx1)
            height = min(y2, ty2) - max(y1, ty1)
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            iou = shared / ((x2 - x1) * (y2 - y1) + (tx2 - tx1) * (ty2 - ty1) - shared)
            if iou > best_iou:
                best_iou, best = iou, j
        ious[row] = best_iou
        matches[row] = best
        if best < 0 or best_iou < match_iou:
            codes[row] = _FP
        elif truth_difficult[best]:
            codes[row] = _IGNORED
        elif found[best]:
            codes[row] = _DUPLICATE
        else:
            codes[row] = _TP
            found[best] = True
    return codes, ious, matches


def _translate(index, names, other_names, what):
    """Positions in `other_names` of ``names[index]``."""
    if names == other_names:
        return index
    position = {name: i for i, name in enumerate(other_names)}
    table = np.array([position.get(name, -1) for name in names], dtype=np.int32)
    translated = table[index]
    if (translated < 0).any():
        name = names[index[np.flatnonzero(translated < 0)[0]]]
        raise DatasetError(
            f"detections lie in {what} {name!r}, which the data set does not have; "
            "evaluate them on the split they were made for"
        )
    return translated


def _position(name, names, what):
    if name not in names:
        raise ValueError(f"there is no {what} {name!r} here; choose one of {', '.join(names[:30])}")
    return names.index(name)


def _check_indices(column, index, length, names):
    if len(index) and (index.min() < 0 or index.max() >= length):
        raise ValueError(f"{column} runs from {index.min()} to {index.max()}, but there are {length} {names}")


def _check_metric(metric):
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
