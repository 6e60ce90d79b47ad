"""False positives by type, after Hoiem, Chodpathumwan and Dai (ECCV 2012), sec. 2.1 and 2.2.

Which detections are false is decided by `rcnn_helpers.evaluation.evaluate`, so a diagnosis and an evaluation
speak of the same average precision. Each false positive then gets the first of these types that fits:

======  ====================  =====================================================================
type    in words              rule
======  ====================  =====================================================================
`Loc`   poor localisation     IoU of at least 0.1 with an object of the class itself (too little for
                              a match), or a duplicate: a match with an object found before
`Sim`   similar object        IoU of at least 0.1 with an object of a similar class
`Oth`   other object          IoU of at least 0.1 with an object of any other class
`BG`    background            the rest
======  ====================  =====================================================================

Objects marked ``difficult`` are objects: who overlaps one a little has a badly placed box, not one on the
background. Detections that match one are ignored, as in the evaluation: neither right nor false, of no type.

Where the tool published with the paper has a slip, or goes its own way, this does not follow:

- The tool gives a detection to the object it overlaps best among those *not yet found*, VOC among all of them. By
  the tool's rule a duplicate may find a neighbour, and a second detection of a ``difficult`` object is false, so
  that its AP is not VOC's.
- Its curves find their place on the x-axis by a number of detections in which the background counts twice: at
  "100 false positives" it shows fewer. Here each detection counts once (`trends`, `detection_trend`).
- Its curves for a group of classes go down all rankings in step and count the false positives of all classes
  together; here all classes have the same say (`trends`).
- Its curves count ignored detections as correct; here they are left out (`detection_trend`).
- Its flag for the background holds for confusions with other objects, too, so that its gain from removing the
  background is that of both; here the types exclude one another (`counts` add up, `impact` has a column for each).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from rcnn_helpers.diagnosis.arguments import check_type, class_number, judged
from rcnn_helpers.diagnosis.similar import SimilarClasses, similar_classes
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    average_precision,
)
from rcnn_helpers.settings import MATCH_IOU

FP_TYPES = ("Loc", "Sim", "Oth", "BG")
# An overlap below this is no overlap (sec. 2.1).
BACKGROUND_IOU = 0.1
# Numbers of top-ranked false positives of Fig. 5: 25, 50, ..., 3200.
TREND_COUNTS = tuple(25 * 2**i for i in range(8))
# Numbers of detections in objects of the class, for `detection_trend`.
TREND_FACTORS = tuple(2.0**i for i in range(-3, 4))

_OUTCOMES = ("tp", "fp", "ignored")
_IMPACT_COLUMNS = ["AP", "Loc removed", "Loc fixed", "Sim removed", "Oth removed", "BG removed"]
# How an object's class relates to the detection's: the columns of the overlaps below.
_OWN, _SIMILAR, _OTHER = range(3)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Every detection explained: what became of it, and because of which object.

    Rows are positions: a detection's in `detections`, an object's in `truth`.

    Attributes
    ----------
    detections : Detections
    truth : GroundTruth
    similar : SimilarClasses
        For the classes of `truth`, in their order.
    evaluation : EvaluationResult
        What `evaluate` says of the same detections.
    metric : str
    match_iou, background_iou : float
    outcome : array of str, shape [N]
        ``"tp"``, ``"fp"`` or ``"ignored"``.
    fp_type : array of str, shape [N]
        One of `FP_TYPES`, or ``""`` where the detection is not a false positive.
    duplicate : bool array of shape [N]
        Which of the Loc match an object (IoU of at least `match_iou`) that a detection ranked above has found.
    nearest : int32 array of shape [N]
        Row of the object that explains the detection: the one it matches or is too far off from (its own class),
        the one it is confused with (Sim, Oth), or for BG the one of any class that it overlaps best; -1 if it
        overlaps none.
    nearest_iou : float32 array of shape [N]
        IoU with that object; 0 where there is none.
    found_by : int32 array of shape [M]
        Row of the true positive that found each object; -1 if none did. Always -1 for those marked
        ``difficult``, which cannot be found or missed, and for classes that were not searched for.
    """

    detections: Detections
    truth: GroundTruth
    similar: SimilarClasses
    evaluation: EvaluationResult
    metric: str
    match_iou: float
    background_iou: float
    outcome: np.ndarray
    fp_type: np.ndarray
    duplicate: np.ndarray
    nearest: np.ndarray
    nearest_iou: np.ndarray
    found_by: np.ndarray

    def __repr__(self) -> str:
        n_right, n_false, n_ignored = (int((self.outcome == kind).sum()) for kind in _OUTCOMES)
        return (
            f"Diagnosis({len(self.detections)} detections of {len(self.classes)} classes: "
            f"{n_right} right, {n_false} false, {n_ignored} ignored)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that were searched for."""
        return self.detections.classes

    @property
    def ap(self) -> dict[str, float]:
        """Average precision of each class in [0, 1], as `evaluate` has it; NaN without positives."""
        return self.evaluation.ap

    @property
    def mean_ap(self) -> float:
        """Mean over the classes that have positives; NaN if none has."""
        return self.evaluation.mean_ap

    def ranked(self, name: str) -> np.ndarray:
        """Rows of the detections of class `name` that are not ignored, best score first, int64 [P]."""
        class_number(name, self.classes)
        return self.evaluation.curves[name].detection

    def rows(self, name: str | None = None, fp_type: str | None = None, limit: int | None = None):
        """Rows of false positives, best score first.

        Parameters
        ----------
        name : str, optional
            Only of this class; by default of all classes, ranked by score among each other.
        fp_type : str, optional
            One of `FP_TYPES`; by default all of them. ``"tp"`` gives the true positives instead, ``"ignored"``
            the detections of ``difficult`` objects.
        limit : int, optional
            At most so many.

        Returns
        -------
        int64 array of shape [K]
        """
        if fp_type is None:
            fp_type = "fp"
        check_type(fp_type, FP_TYPES + _OUTCOMES)
        wanted = self.fp_type == fp_type if fp_type in FP_TYPES else self.outcome == fp_type
        if name is not None:
            wanted &= self.detections.class_index == class_number(name, self.classes)
        return self._by_score[wanted[self._by_score]][:limit]

    def missed(self, name: str | None = None, limit: int | None = None) -> np.ndarray:
        """Rows of objects that no detection found, the surprising ones first: those large for their class.

        Parameters
        ----------
        name : str, optional
            Only of this class; by default of all classes that were searched for.
        limit : int, optional
            At most so many.

        Returns
        -------
        int64 array of shape [K]

        Notes
        -----
        Detectors miss small objects most, so a large one is news. Large means: larger than most objects of its
        class that are not ``difficult`` (the share of them that are smaller). Occlusion and truncation, which
        make a miss less surprising, are not in `GroundTruth`; `object_attributes` has them.
        """
        if name is not None:
            class_number(name, self.classes)
        searched = self.classes if name is None else (name,)
        of_class = np.isin(self.truth.class_index, [self.truth.classes.index(name) for name in searched])
        rows = np.flatnonzero(of_class & ~self.truth.difficult & (self.found_by < 0))
        return rows[np.argsort(-self._share_smaller[rows], kind="stable")][:limit]

    def reason(self, row: int) -> str:
        """One plain sentence on why the detection at `row` is right, false or ignored."""
        iou, own = float(self.nearest_iou[row]), self.classes[self.detections.class_index[row]]
        nearest = self.nearest[row]
        if nearest < 0:
            return "Background: the box overlaps no annotated object."
        found = self.truth.classes[self.truth.class_index[nearest]]
        overlap = f"{_floor_iou(iou)} IoU with {_with_article(found)}"
        if self.outcome[row] == "tp":
            return f"Right: {overlap}."
        if self.outcome[row] == "ignored":
            return f"Ignored: {overlap} that is marked as difficult."
        kind = self.fp_type[row]
        if kind == "Sim":
            return f"Similar class: {overlap}, which is similar to {_with_article(own)}."
        if kind == "Oth":
            return f"Other class: {overlap}, which is not similar to {_with_article(own)}."
        if kind == "BG":
            return f"Background: the best overlap is {overlap}."
        if self.duplicate[row]:
            return f"Duplicate: {overlap} that a detection ranked above it has found."
        return f"Localisation: {overlap}; {self._how_misplaced(row)}."

    def _how_misplaced(self, row):
        """What is wrong with a box that overlaps an object of its class too little."""
        box, target = self.detections.boxes[row], self.truth.boxes[self.nearest[row]]
        same = (self.truth.class_index == self.truth.class_index[self.nearest[row]]) & (
            self.truth.image_index == self.truth.image_index[self.nearest[row]]
        )
        objects = self.truth.boxes[same]
        n_inside = int((_shared_area(box, objects) > 0.5 * _area(objects)).sum())
        if n_inside > 1:
            return f"the box takes in {n_inside} objects of the class"
        shared = _shared_area(box, target)
        covered, filled = shared / _area(target), shared / _area(box)
        # Four fifths: a margin of a tenth on either side of a box still counts as all of it.
        if covered >= 0.8:
            return f"the box is too large and the object fills only {filled:.0%} of it"
        if filled >= 0.8:
            return f"the box is too small and covers only {covered:.0%} of the object"
        return f"the box is shifted: it covers {covered:.0%} of the object, which fills {filled:.0%} of it"

    @cached_property
    def _by_score(self):
        return np.argsort(-self.detections.scores, kind="stable")

    @cached_property
    def _share_smaller(self):
        """Share of the other objects of its class (difficult ones apart) that are smaller than each object."""
        areas = _area(self.truth.boxes)
        share = np.zeros(len(areas))
        for index in range(len(self.truth.classes)):
            of_class = self.truth.class_index == index
            sizes = np.sort(areas[of_class & ~self.truth.difficult])
            share[of_class] = np.searchsorted(sizes, areas[of_class]) / max(len(sizes) - 1, 1)
        return share


def diagnose(
    detections: Detections,
    dataset,
    *,
    similar: SimilarClasses | None = None,
    metric: str = "11point",
    match_iou: float = MATCH_IOU,
    background_iou: float = BACKGROUND_IOU,
) -> Diagnosis:
    """Say of every detection whether it is right, and of every false positive of which type it is.

    Parameters
    ----------
    detections : Detections
        Its classes are the ones diagnosed. Objects of the data set's other classes count as what a detection may
        be confused with.
    dataset : VOCDataset or GroundTruth
    similar : SimilarClasses, optional
        By default `similar_classes` of the data set's classes.
    metric : str
        One of `evaluation.METRICS`.
    match_iou : float
        A detection is right from this IoU on.
    background_iou : float
        Below this IoU an object does not explain a false positive.

    Raises
    ------
    DatasetError
        If a detection lies in an image, or is of a class, that the data set does not have.
    SettingsError
        If `background_iou` is not greater than 0 and at most `match_iou`, or detections and data set are
        exchanged.
    """
    if not 0 < background_iou <= match_iou:
        raise SettingsError(
            f"background_iou is {background_iou}; it must be greater than 0 and at most match_iou ({match_iou})"
        )
    truth, evaluation = judged(detections, dataset, metric=metric, match_iou=match_iou)
    similar = similar_classes(truth.classes) if similar is None else similar.for_classes(truth.classes)
    best_iou, best_object = _overlaps_by_relation(detections, truth, similar.matrix)

    duplicate = evaluation.outcomes == "duplicate"
    false = duplicate | (evaluation.outcomes == "fp")
    outcome = np.where(duplicate, "fp", evaluation.outcomes).astype("<U7")
    # The first relation that is close enough explains a false positive; a column after them stands for none.
    close = np.concatenate([best_iou >= background_iou, np.ones((len(detections), 1), dtype=bool)], axis=1)
    explained_by = close.argmax(axis=1)
    fp_type = np.where(false, np.array(FP_TYPES)[explained_by], "")
    # True positives and ignored detections are explained by their own class, background by the best overlap.
    relation = np.where(explained_by == len(FP_TYPES) - 1, best_iou.argmax(axis=1), explained_by)
    relation = np.where(false, relation, _OWN)[:, None]
    nearest = np.take_along_axis(best_object, relation, axis=1)[:, 0]
    nearest_iou = np.take_along_axis(best_iou, relation, axis=1)[:, 0]

    found_by = np.full(len(truth), -1, dtype=np.int32)
    right = np.flatnonzero(outcome == "tp")
    found_by[nearest[right]] = right
    return Diagnosis(
        detections=detections,
        truth=truth,
        similar=similar,
        evaluation=evaluation,
        metric=metric,
        match_iou=match_iou,
        background_iou=background_iou,
        outcome=outcome,
        fp_type=fp_type,
        duplicate=duplicate,
        nearest=nearest,
        nearest_iou=nearest_iou.astype(np.float32),
        found_by=found_by,
    )


def counts(diagnosis: Diagnosis):
    """How many detections of each class are right, false by type, or ignored, and how many objects are missed.

    Returns
    -------
    pandas.DataFrame
        One row a class; columns ``tp``, the types of `FP_TYPES`, ``ignored`` and ``missed``. All but the last sum
        to the detections of the class; ``tp + missed`` are its objects not marked ``difficult``.
    """
    import pandas as pd

    of_class = diagnosis.detections.class_index
    n_classes = len(diagnosis.classes)
    table = {"tp": diagnosis.outcome == "tp"}
    table |= {kind: diagnosis.fp_type == kind for kind in FP_TYPES}
    table |= {"ignored": diagnosis.outcome == "ignored"}
    columns = {key: np.bincount(of_class[rows], minlength=n_classes) for key, rows in table.items()}
    positives = [diagnosis.evaluation.curves[name].n_positives for name in diagnosis.classes]
    columns["missed"] = np.array(positives, dtype=np.int64) - columns["tp"]
    return pd.DataFrame(columns, index=pd.Index(diagnosis.classes, name="class"))


def trends(
    diagnosis: Diagnosis,
    classes: Sequence[str] | None = None,
    counts: Sequence[int] = TREND_COUNTS,
):
    """How the types of false positive change down the ranking (Fig. 5 of the R-CNN paper).

    Parameters
    ----------
    diagnosis : Diagnosis
    classes : sequence of str, optional
        Classes to average over, such as ``diagnosis.similar.groups["animals"]``; by default all.
    counts : sequence of int
        Numbers of top-ranked false positives to look at.

    Returns
    -------
    pandas.DataFrame
        Indexed by `counts`, a column for each of `FP_TYPES`: its share among so many top-ranked false positives of
        a class, averaged over the classes. A class with fewer of them enters with all it has, one without any
        not at all; NaN if that leaves no class.
    """
    import pandas as pd

    ends = np.asarray(counts, dtype=np.int64)
    if (ends < 1).any():
        raise SettingsError(f"counts are {list(counts)}; numbers of false positives begin with 1")
    shares = []
    for name in diagnosis.classes if classes is None else classes:
        ranked = diagnosis.ranked(name)
        kinds = diagnosis.fp_type[ranked[diagnosis.outcome[ranked] == "fp"]]
        if len(kinds):
            shares.append(_shares(kinds, FP_TYPES, np.minimum(ends, len(kinds))))
    mean = np.mean(shares, axis=0) if shares else np.full((len(ends), len(FP_TYPES)), np.nan)
    return pd.DataFrame(mean, index=pd.Index(ends, name="false positives"), columns=list(FP_TYPES))


def detection_trend(diagnosis: Diagnosis, name: str, factors: Sequence[float] = TREND_FACTORS):
    """What the top-ranked detections of a class are, and how many of its objects they reach.

    Detections are counted in multiples of the class's objects, so that common and rare classes compare (Hoiem et
    al., Fig. 2). With a perfect ranking all of the first 1 x are right.

    Parameters
    ----------
    diagnosis : Diagnosis
    name : str
    factors : sequence of float
        Multiples of the class's objects (those not ``difficult``).

    Returns
    -------
    pandas.DataFrame
        Indexed by `factors`. ``detections``: how many of the top-ranked were looked at, at least one, at most all
        that are not ignored. ``correct`` and `FP_TYPES`: shares of them, which sum to 1. ``strong recall``: share
        of the objects that they find; ``weak recall``: share of the objects that one of them points at, having its
        best overlap in the class there and an IoU of at least `Diagnosis.background_iou`. NaN where there is
        nothing to take a share of.
    """
    import pandas as pd

    ranked = diagnosis.ranked(name)
    n_positives = diagnosis.evaluation.curves[name].n_positives
    wanted = np.maximum(np.rint(np.asarray(factors, dtype=np.float64) * n_positives), 1).astype(np.int64)
    ends = np.minimum(wanted, len(ranked))
    right = diagnosis.outcome[ranked] == "tp"
    kinds = np.where(right, "correct", diagnosis.fp_type[ranked])
    columns = ["correct", *FP_TYPES]
    shares = _shares(kinds, columns, ends)
    frame = pd.DataFrame(shares, index=pd.Index(list(factors), name="objects x"), columns=columns)
    frame.insert(0, "detections", ends)
    reached = {"strong recall": right, "weak recall": _first_at_an_object(diagnosis, ranked)}
    for column, flags in reached.items():
        found = np.append(0, np.cumsum(flags))[ends]
        frame[column] = found / n_positives if n_positives else np.nan
    return frame


def impact(diagnosis: Diagnosis):
    """Average precision as it would be without the false positives of a type (Hoiem et al., sec. 2.2).

    Removing false positives changes nothing else: they find no object, so none is found or lost. ``Loc fixed``
    moves every Loc onto the object it points at, as if it had been drawn there in the first place. Of all
    detections that then lie on an object the top-ranked one is right, be it a mended one or one that was right
    before; the others are duplicates, which are dropped, as are those on objects marked ``difficult``. So an
    object is found earlier or found at all, and no Loc is left. No other mistake can be mended by moving a box
    without inventing what it should have shown.

    Returns
    -------
    pandas.DataFrame
        One row a class and one, ``"mean"``, over the classes that have positives. Columns ``AP`` (as it is),
        ``Loc removed``, ``Loc fixed``, ``Sim removed``, ``Oth removed``, ``BG removed``, in [0, 1]; NaN for
        classes without positives.
    """
    import pandas as pd

    table = {}
    for name in diagnosis.classes:
        ranked = diagnosis.ranked(name)
        kinds = diagnosis.fp_type[ranked]
        right = diagnosis.outcome[ranked] == "tp"
        values = {"AP": diagnosis.ap[name]}
        for kind in FP_TYPES:
            values[f"{kind} removed"] = _ap_of(diagnosis, name, right[kinds != kind])
            if kind == "Loc":
                mended = _first_at_an_object(diagnosis, ranked)
                kept = mended | ~(right | (kinds == "Loc"))
                values["Loc fixed"] = _ap_of(diagnosis, name, mended[kept])
        table[name] = values
    frame = pd.DataFrame.from_dict(table, orient="index", columns=_IMPACT_COLUMNS, dtype=np.float64)
    frame.loc["mean"] = frame.mean()
    return frame.rename_axis("class")


def _overlaps_by_relation(detections, truth, similar_matrix):
    """Best IoU (float64 [N, 3], 0 if none) and its object (int32 [N, 3], -1) of own, similar and other class."""
    position = {image_id: i for i, image_id in enumerate(truth.image_ids)}
    image_in_truth = np.array([position.get(image_id, -1) for image_id in detections.image_ids], np.int64)
    class_in_truth = np.array([truth.classes.index(name) for name in detections.classes], np.int64)
    relation = np.where(similar_matrix, _SIMILAR, _OTHER)
    np.fill_diagonal(relation, _OWN)
    objects = np.argsort(truth.image_index, kind="stable")
    image_start = np.searchsorted(truth.image_index[objects], np.arange(len(truth.image_ids) + 1))
    return _best_overlaps(
        image_in_truth[detections.image_index],
        class_in_truth[detections.class_index],
        detections.boxes,
        image_start,
        objects,
        truth.boxes,
        truth.class_index,
        relation,
    )


@njit(cache=True, nogil=True)
def _best_overlaps(images, classes, boxes, image_start, objects, truth_boxes, truth_classes, relation):
    """See `_overlaps_by_relation`. Of equal overlaps the first object's counts, as in the evaluation."""
    ious = np.zeros((len(boxes), 3), dtype=np.float64)
    nearest = np.full((len(boxes), 3), -1, dtype=np.int32)
    for row in range(len(boxes)):
        x1, y1 = np.float64(boxes[row, 0]), np.float64(boxes[row, 1])
        x2, y2 = np.float64(boxes[row, 2]), np.float64(boxes[row, 3])
        for k in range(image_start[images[row]], image_start[images[row] + 1]):
            j = objects[k]
            tx1, ty1 = np.float64(truth_boxes[j, 0]), np.float64(truth_boxes[j, 1])
            tx2, ty2 = np.float64(truth_boxes[j, 2]), np.float64(truth_boxes[j, 3])
            width = min(x2, tx2) - max(x1, tx1)
            height = min(y2, ty2) - max(y1, ty1)
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            iou = shared / ((x2 - x1) * (y2 - y1) + (tx2 - tx1) * (ty2 - ty1) - shared)
            column = relation[classes[row], truth_classes[j]]
            if iou > ious[row, column]:
                ious[row, column], nearest[row, column] = iou, j
    return ious, nearest


def _first_at_an_object(diagnosis, ranked):
    """Which rows of a ranking are the first that lie on or near an object of their class, bool [P].

    Objects marked ``difficult`` do not count.
    """
    near = (diagnosis.outcome[ranked] == "tp") | (diagnosis.fp_type[ranked] == "Loc")
    near[near] = ~diagnosis.truth.difficult[diagnosis.nearest[ranked[near]]]
    candidates = np.flatnonzero(near)
    _, first = np.unique(diagnosis.nearest[ranked[candidates]], return_index=True)
    flags = np.zeros(len(ranked), dtype=bool)
    flags[candidates[first]] = True
    return flags


def _ap_of(diagnosis, name, right):
    """Average precision of a ranking of class `name` given as its flags, true or false positive."""
    n_positives = diagnosis.evaluation.curves[name].n_positives
    if not n_positives:
        return float("nan")
    found = np.cumsum(right)
    return average_precision(
        found / n_positives, found / np.arange(1, len(right) + 1), metric=diagnosis.metric
    )


def _shares(kinds, names, ends):
    """Share of each of `names` among the first `ends` of `kinds`, float64 [E, K]; NaN where an end is 0."""
    totals = np.stack([np.append(0, np.cumsum(kinds == name))[ends] for name in names], axis=1)
    return np.divide(
        totals, ends[:, None], out=np.full(totals.shape, np.nan), where=ends[:, None] > 0, dtype=np.float64
    )


def _floor_iou(iou):
    """Two digits, rounded down: 0.499 misses the mark of 0.5 and must not read as 0.50."""
    return f"{np.floor(round(100 * iou, 4)) / 100:.2f}"


def _with_article(name):
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _area(boxes):
    return (boxes[..., 2] - boxes[..., 0]).astype(np.float64) * (boxes[..., 3] - boxes[..., 1])


def _shared_area(box, others):
    width = np.minimum(box[2], others[..., 2]) - np.maximum(box[0], others[..., 0])
    height = np.minimum(box[3], others[..., 3]) - np.maximum(box[1], others[..., 1])
    return np.clip(width, 0, None).astype(np.float64) * np.clip(height, 0, None)
