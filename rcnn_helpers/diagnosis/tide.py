"""TIDE: six types of error, and the AP that mending each of them alone would bring.

Bolya, Foley, Hays & Hoffman, "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020. Where
Hoiem et al. sort false positives by what lies under them, TIDE also names the objects that nothing found, and
prices each type: everything of one type is mended, all else stays as it was, and AP is computed anew.

**Types.** A false positive is of the first type that fits, in the order of the published code (``own``: its best
IoU with an object of its class, ``other``: with one of another class, ``any``: the larger of the two):

====== ==================================================== ====================================================
type   test                                                 mended by
====== ==================================================== ====================================================
Loc    ``background_iou <= own < match_iou``                making it a true positive of that object
Cls    ``other >= match_iou``                               making it a true positive of that object's class
Dupe   ``own >= match_iou``, but the object was found       deleting it
Bkg    ``any <= background_iou``, or no object in the image deleting it
Both   the rest: another class, and loosely                 deleting it
Miss   an object not found, and no Loc or Cls points at it  lowering the number of objects by one
====== ==================================================== ====================================================

**Mending Loc and Cls.** The detection keeps its score. An object can be found once, so a Loc or Cls detection is
deleted instead if its object was found by another detection, or if a Loc or Cls detection *of either type* with a
better score points at the same object (the published code does so too; the text of the paper reads as if only
detections of the type being mended competed). A detection may point at an object that was found before: the
question is whether there is something under it, and being deleted is all that mending then does. This was asked
of the authors (issue 7 of their repository), who meant it so.

**FP and FN.** Two prices beside the six: AP without any false positive, and AP if the objects never found were not
counted. The eight do not add up to what is missing to 1, as each is measured alone.

**Where this departs from the published tool**, so that AP here is the AP of `rcnn_helpers.evaluation`:

- Matching is VOC's. The tool lets a detection fall back on the next best object that is still free; here it is a
  duplicate. With one object of a class to a place the two agree.
- Objects marked ``difficult`` are ignored: they are not missed, name no error, and a detection that matches one
  is left out, as VOC leaves it out. (The tool has regions to ignore, by their share of the detection.)
- A class without objects has no AP, before and after; the tool counts it as 0 in its mean. Its detections have
  types like all others.
- A class of which nothing is left to be found after mending keeps the AP it had, 0; the tool drops it from the
  mean if it had no detections.
- All detections count; the tool keeps the 100 best of each image. The more a detector is allowed to say, the fewer
  objects are a Miss: with hundreds of boxes an image, one of them lies loosely on almost everything.
- At an IoU of exactly `match_iou` a second detection is a Dupe; the tool calls it Loc. The tool also fails where
  a Loc or Cls has a score of -1 or less, which the scores of a support vector machine may well be.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from rcnn_helpers.diagnosis.arguments import check_type, class_number, judged
from rcnn_helpers.diagnosis.false_positives import BACKGROUND_IOU, FP_TYPES
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    average_precision,
)
from rcnn_helpers.settings import MATCH_IOU

TIDE_TYPES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
# A missed object has no detection.
DETECTION_TYPES = TIDE_TYPES[:-1]


@dataclass(frozen=True)
class TideResult:
    """What `tide` found.

    Attributes
    ----------
    detections : Detections
    truth : GroundTruth
    evaluation : EvaluationResult
        Of the same matching.
    match_iou, background_iou : float
    types : array of str, shape [N]
        One of `DETECTION_TYPES` for each false positive, ``""`` for what is right or ignored.
    nearest : int32 array of shape [N]
        Row in `truth` of the object that explains the detection: the one found (true positive), the one it would
        be right for (Loc, Cls), found before (Dupe), or best overlapped (Both); -1 for Bkg and what is ignored.
    nearest_iou : float32 array of shape [N]
        IoU with that object; 0 where there is none.
    mended : bool array of shape [N]
        The Loc and Cls detections that become true positives when their type is mended; others are deleted.
    missed : bool array of shape [M]
        The objects of type Miss.
    ap : float
        Mean AP over the classes that have objects, in [0, 1].
    delta_ap : dict of str to float
        For each of `TIDE_TYPES`, how much mean AP rises if all errors of the type are mended and no other.
    delta_fp, delta_fn : float
        The same without any false positive, and without counting any object that was not found.
    per_class : pandas.DataFrame
        A row for each class and one for the ``"mean"``; columns ``"AP"``, the rise for each of `TIDE_TYPES`,
        ``"FP"`` and ``"FN"``. NaN for a class without objects.
    """

    detections: Detections
    truth: GroundTruth
    evaluation: EvaluationResult
    match_iou: float
    background_iou: float
    types: np.ndarray = field(repr=False)
    nearest: np.ndarray = field(repr=False)
    nearest_iou: np.ndarray = field(repr=False)
    mended: np.ndarray = field(repr=False)
    missed: np.ndarray = field(repr=False)
    ap: float
    delta_ap: dict[str, float]
    delta_fp: float
    delta_fn: float
    per_class: object = field(repr=False)

    @property
    def metric(self) -> str:
        """How AP was computed."""
        return self.evaluation.metric

    def rows(
        self, name: str | None = None, error_type: str | None = None, limit: int | None = None
    ) -> np.ndarray:
        """Rows of the false positives, best score first.

        Parameters
        ----------
        name : str, optional
            Of this class only.
        error_type : str, optional
            Of this one of `DETECTION_TYPES` only.
        limit : int, optional
            At most so many.
        """
        if error_type is not None:
            check_type(error_type, DETECTION_TYPES)
        wanted = self.types != "" if error_type is None else self.types == error_type
        if name is not None:
            wanted = wanted & (self.detections.class_index == class_number(name, self.detections.classes))
        rows = np.flatnonzero(wanted)
        return rows[np.argsort(-self.detections.scores[rows], kind="stable")][:limit]

    def missed_rows(self, name: str | None = None, limit: int | None = None) -> np.ndarray:
        """Rows in `truth` of the objects of type Miss, of the class `name` only if given; the largest first."""
        wanted = self.missed
        if name is not None:
            wanted = wanted & (self.truth.class_index == class_number(name, self.truth.classes))
        rows = np.flatnonzero(wanted)
        width, height = (self.truth.boxes[rows, 2:] - self.truth.boxes[rows, :2]).T
        return rows[np.argsort(-width * height, kind="stable")][:limit]

    def counts(self):
        """A pandas frame: how many there are of each type, class by class and in ``"all"``.

        Columns are ``"tp"``, `TIDE_TYPES` and ``"ignored"``. All but Miss count detections and add up to those of
        the class; a Cls or Both counts for the class it was detected as.
        """
        import pandas as pd

        classes, outcomes = self.detections.classes, self.evaluation.outcomes
        columns = {}
        for column in ("tp", *TIDE_TYPES, "ignored"):
            if column == "Miss":
                index = _place(self.truth.classes, classes)[self.truth.class_index[self.missed]]
            else:
                chosen = self.types == column if column in DETECTION_TYPES else outcomes == column
                index = self.detections.class_index[chosen]
            columns[column] = np.bincount(index, minlength=len(classes))
        frame = pd.DataFrame(columns, index=pd.Index(classes, name="class"))
        frame.loc["all"] = frame.sum()
        return frame


def tide(
    detections: Detections,
    dataset,
    *,
    metric: str = "11point",
    match_iou: float = MATCH_IOU,
    background_iou: float = BACKGROUND_IOU,
) -> TideResult:
    """Sort the errors of a detector into TIDE's six types and measure what each of them costs.

    Parameters
    ----------
    detections : Detections
        Its `classes` are the ones evaluated. Objects of other classes are not missed, but a detection that lies
        on one is a Cls or a Both; mended, it leaves the ranking.
    dataset : VOCDataset or GroundTruth
        All its images count.
    metric : {"11point", "101point", "area"}
        The published tool has ``"101point"``.
    match_iou : float
        A detection is right from this IoU on.
    background_iou : float
        Up to this IoU with every object, a detection lies on background.

    Raises
    ------
    DatasetError
        If a detection lies in an image, or is of a class, that the data set does not have.
    SettingsError
        If `background_iou` is not below `match_iou`, or detections and data set are exchanged.
    """
    if not 0 <= background_iou < match_iou:
        raise SettingsError(
            f"background_iou is {background_iou}; it must be at least 0 and less than match_iou, {match_iou}"
        )
    truth, evaluation = judged(detections, dataset, metric=metric, match_iou=match_iou)
    own, other = _overlaps(detections, truth)
    types = _types(evaluation.outcomes, own.iou, other.iou, match_iou, background_iou)
    right = evaluation.outcomes == "tp"

    points_at_own = right | np.isin(types, ("Loc", "Dupe"))
    points_at_other = np.isin(types, ("Cls", "Both"))
    nearest = np.where(points_at_own, own.row, np.where(points_at_other, other.row, -1))
    nearest_iou = np.where(points_at_own, own.iou, np.where(points_at_other, other.iou, 0.0))

    found = np.zeros(len(truth), dtype=bool)
    found[nearest[right]] = True
    mended, reachable = _claims(types, nearest, found, detections.scores)
    place = _place(truth.classes, detections.classes)[
        truth.class_index
    ]  # of each object's class, -1: not evaluated
    missed = ~found & ~reachable & ~truth.difficult & (place >= 0)

    ranking = _Ranking(detections, evaluation, right)
    ap = ranking.ap()
    rises = {}
    for error in TIDE_TYPES:
        if error == "Miss":
            rises[error] = ranking.ap(fewer=np.bincount(place[missed], minlength=len(ap))) - ap
            continue
        of_type = types == error
        class_index = detections.class_index
        if error == "Cls":
            # A class that is not evaluated has no ranking to enter: the detection only leaves its own.
            class_index = class_index.copy()
            class_index[of_type & mended] = place[nearest[of_type & mended]]
        rises[error] = ranking.ap(mended=of_type & mended, deleted=of_type, class_index=class_index) - ap
    rises["FP"] = ranking.ap(deleted=~right) - ap
    not_found = ~found & ~truth.difficult & (place >= 0)
    rises["FN"] = ranking.ap(fewer=np.bincount(place[not_found], minlength=len(ap))) - ap

    per_class = _frame(detections.classes, ap, rises)
    mean = per_class.loc["mean"]
    return TideResult(
        detections=detections,
        truth=truth,
        evaluation=evaluation,
        match_iou=match_iou,
        background_iou=background_iou,
        types=types,
        nearest=nearest.astype(np.int32),
        nearest_iou=nearest_iou.astype(np.float32),
        mended=mended,
        missed=missed,
        ap=float(mean["AP"]),
        delta_ap={error: float(mean[error]) for error in TIDE_TYPES},
        delta_fp=float(mean["FP"]),
        delta_fn=float(mean["FN"]),
        per_class=per_class,
    )


def agreement(diagnosis, tide_result: TideResult):
    """How the false positives of one detector are sorted by Hoiem et al. and by TIDE.

    Parameters
    ----------
    diagnosis : Diagnosis
        Of `diagnose`, with the same detections, truth and IoU of a match.
    tide_result : TideResult

    Returns
    -------
    pandas.DataFrame
        Numbers of detections: a row for each of Hoiem's types, a column for each of `DETECTION_TYPES`. All
        together they are the false positives.

    Notes
    -----
    Where the two part: Hoiem's Loc holds the duplicates (Dupe here, or Cls if they fit an object of another class
    as well); his Sim and Oth ask how much alike the classes are and are content with the IoU of background, where
    TIDE asks whether the box fits (Cls) or not (Both). An object marked ``difficult`` may explain a detection to
    him, but not to TIDE, which then sees background or another object.

    Raises
    ------
    SettingsError
        If the two are not about the same false positives.
    """
    import pandas as pd

    theirs, ours = np.asarray(diagnosis.fp_type), tide_result.types
    if len(theirs) != len(ours) or ((theirs != "") != (ours != "")).any():
        raise SettingsError(
            f"the diagnosis has {np.count_nonzero(theirs != '')} false positives of {len(theirs)} detections and "
            f"the TIDE result {np.count_nonzero(ours != '')} of {len(ours)}, or they are not the same ones; "
            "make both from the same detections and truth, with the same match_iou"
        )
    table = [
        [np.count_nonzero((theirs == row) & (ours == column)) for column in DETECTION_TYPES]
        for row in FP_TYPES
    ]
    return pd.DataFrame(
        table, index=pd.Index(FP_TYPES, name="Hoiem"), columns=pd.Index(DETECTION_TYPES, name="TIDE")
    )


@dataclass(frozen=True)
class _Overlap:
    """The best IoU of every detection with one kind of object, float64 [N], and the object's row, -1: none."""

    iou: np.ndarray
    row: np.ndarray


def _overlaps(detections, truth):
    """Best overlaps with objects that count: of a detection's own class, and of any other."""
    place = {image_id: i for i, image_id in enumerate(truth.image_ids)}
    image = np.array([place.get(image_id, -1) for image_id in detections.image_ids], dtype=np.int64)
    class_of_name = np.array([truth.classes.index(name) for name in detections.classes], dtype=np.int64)
    objects = np.flatnonzero(~truth.difficult)
    objects = objects[np.argsort(truth.image_index[objects], kind="stable")]
    start = np.searchsorted(truth.image_index[objects], np.arange(len(truth.image_ids) + 1))
    ious, positions = _best_overlaps(
        detections.boxes,
        image[detections.image_index],
        class_of_name[detections.class_index],
        truth.boxes[objects],
        truth.class_index[objects],
        start,
    )
    rows = np.where(positions >= 0, np.append(objects, -1)[positions], -1)
    return _Overlap(ious[0], rows[0]), _Overlap(ious[1], rows[1])


@njit(cache=True, nogil=True)
def _best_overlaps(boxes, image, own_class, object_boxes, object_class, start):
    """Best IoU and the object's position, [2, N] each: first of the own class, then of all others.

    The first of equally good objects counts, and IoU is computed as `evaluation` does.
    """
    ious = np.zeros((2, len(boxes)))
    positions = np.full((2, len(boxes)), -1, dtype=np.int64)
    for i in range(len(boxes)):
        x1, y1 = np.float64(boxes[i, 0]), np.float64(boxes[i, 1])
        x2, y2 = np.float64(boxes[i, 2]), np.float64(boxes[i, 3])
        for j in range(start[image[i]], start[image[i] + 1]):
            tx1, ty1 = np.float64(object_boxes[j, 0]), np.float64(object_boxes[j, 1])
            tx2, ty2 = np.float64(object_boxes[j, 2]), np.float64(object_boxes[j, 3])
            width = min(x2, tx2) - max(x1, tx1)
            height = min(y2, ty2) - max(y1, ty1)
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            iou = shared / ((x2 - x1) * (y2 - y1) + (tx2 - tx1) * (ty2 - ty1) - shared)
            kind = 0 if object_class[j] == own_class[i] else 1
            if iou > ious[kind, i]:
                ious[kind, i] = iou
                positions[kind, i] = j
    return ious, positions


def _types(outcomes, own, other, match_iou, background_iou):
    """The type of every detection, ``""`` where it is no false positive."""
    wrong = (outcomes == "fp") | (outcomes == "duplicate")
    loose = (own > 0) & (own >= background_iou) & (own < match_iou)
    # `np.select` takes the first condition that holds: the order of the published code.
    return np.select(
        [
            ~wrong,
            loose,
            other >= match_iou,
            outcomes == "duplicate",
            np.maximum(own, other) <= background_iou,
        ],
        ["", "Loc", "Cls", "Dupe", "Bkg"],
        default="Both",
    )


def _claims(types, nearest, found, scores):
    """Which Loc and Cls detections become true positives, and which objects these or others point at.

    Of all detections of the two types that point at an object not found, the best one gets it; of equally good
    ones the first.
    """
    rows = np.flatnonzero((types == "Loc") | (types == "Cls"))
    rows = rows[~found[nearest[rows]]]
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    objects, first = np.unique(nearest[rows], return_index=True)
    mended = np.zeros(len(types), dtype=bool)
    mended[rows[first]] = True
    reachable = np.zeros(len(found), dtype=bool)
    reachable[objects] = True
    return mended, reachable


class _Ranking:
    """The ranking of each class, from which AP is computed as it is and with errors mended."""

    def __init__(self, detections, evaluation, right):
        self._class_index, self._scores = detections.class_index, detections.scores
        self._right = right
        self._counted = evaluation.outcomes != "ignored"
        self._n_positives = np.array(
            [evaluation.curves[name].n_positives for name in detections.classes], int
        )
        self._metric = evaluation.metric
        self._order = self._sort(self._class_index)

    def _sort(self, class_index):
        """Rows by class, the best score first; of equal scores the first row."""
        return np.lexsort((-self._scores, class_index))

    def ap(self, *, mended=None, deleted=None, fewer=0, class_index=None):
        """AP of each class [C]: rows of `mended` are right, others of `deleted` gone, and objects `fewer` [C].

        NaN for a class that has no objects to begin with; 0 if none of them is left.
        """
        nothing = np.zeros(len(self._right), dtype=bool)
        mended = nothing if mended is None else mended
        kept = self._counted & (mended | ~(nothing if deleted is None else deleted))
        right = self._right | mended
        if class_index is None or class_index is self._class_index:
            class_index, order = self._class_index, self._order
        else:
            order = self._sort(class_index)
        order = order[kept[order]]
        n_classes = len(self._n_positives)
        start = np.searchsorted(class_index[order], np.arange(n_classes + 1))
        n_positives = self._n_positives - fewer
        ap = np.where(self._n_positives > 0, 0.0, np.nan)
        for index in np.flatnonzero(n_positives > 0):
            true_positives = np.cumsum(right[order[start[index] : start[index + 1]]])
            recall = true_positives / n_positives[index]
            precision = true_positives / np.arange(1, len(true_positives) + 1)
            ap[index] = average_precision(recall, precision, metric=self._metric)
        return ap


def _frame(classes, ap, rises):
    """AP and rises of each class and their means over the classes that have an AP."""
    import pandas as pd

    frame = pd.DataFrame({"AP": ap} | rises, index=pd.Index(classes, name="class"))
    frame.loc["mean"] = frame.mean(skipna=True)
    return frame


def _place(names, other_names):
    """Positions in `other_names` of `names`, -1 for a name that is not there."""
    position = {name: i for i, name in enumerate(other_names)}
    return np.array([position.get(name, -1) for name in names], dtype=np.int64)
