"""Normalised precision and average precision: numbers that can be compared between rare and common objects.

Precision depends on how many objects there are to be found: a detector of equal skill looks worse on a class, or
on a size of object, that is ten times as rare, because the false positives stay as many. Hoiem et al. (ECCV 2012,
sec. 2.2) therefore reckon as if every class and every subset had the same number N of objects. With recall R and
F false positives so far::

    normalised precision = R * N / (R * N + F)

N is 0.15 objects for each image of the data set, for all classes alike.
"""

from dataclasses import dataclass, field

import numpy as np

# Objects taken to exist for each image, whatever the class (Hoiem et al., sec. 2.2).
OBJECTS_PER_IMAGE = 0.15
_OUTCOMES = ("tp", "fp", "duplicate", "ignored")


@dataclass(frozen=True)
class NormalizedAP:
    """Average of the normalised precision over the objects of a class, or of a subset of them.

    Attributes
    ----------
    ap : float
        In [0, 1]: the mean normalised precision over all objects, where an object that was never found counts
        as 0. NaN without objects.
    standard_error : float
        Of that mean; NaN with fewer than two objects.
    n_positives : int
        Objects there were to be found.
    final_recall : float
        Share of them that was found at all; NaN without objects.
    precision : float64 array of shape [T]
        Normalised precision at each true positive, best score first, interpolated: the best at that recall or
        more, so it never rises.
    """

    ap: float
    standard_error: float
    n_positives: int
    final_recall: float
    precision: np.ndarray = field(repr=False)


def normalized_ap(outcomes, *, n_positives: int, normalisation: float) -> NormalizedAP:
    """Normalised average precision of a ranked list of detections.

    Parameters
    ----------
    outcomes : sequence of str, best score first
        ``"tp"``, ``"fp"``, ``"duplicate"`` (a false positive too) or ``"ignored"`` (neither).
    n_positives : int
        Objects there were to be found, at least as many as there are true positives.
    normalisation : float
        The number N of objects to reckon with: `OBJECTS_PER_IMAGE` times the number of images.

    Notes
    -----
    The average is the mean of the interpolated normalised precision at the true positives, times the final
    recall. Where no object was found that is 0; the published tool (``averagePrecisionNormalized.m``) takes the
    mean of nothing there, and its NaN then drops the hardest subsets from its summary. The standard error is
    the standard deviation (with n - 1) over the true positives' values and a 0 for each missed object, divided
    by the root of their number; for a single object it is unknown here and 0 in the tool.
    """
    outcomes = np.asarray(outcomes, dtype=str)
    unknown = ~np.isin(outcomes, _OUTCOMES)
    if unknown.any():
        raise ValueError(f"unknown outcome {str(outcomes[unknown][0])!r}; choose from {', '.join(_OUTCOMES)}")
    false_positives = np.cumsum((outcomes == "fp") | (outcomes == "duplicate"))
    return ap_from_counts(false_positives[outcomes == "tp"], n_positives, normalisation)


def ap_from_counts(false_positives, n_positives: int, normalisation: float) -> NormalizedAP:
    """Normalised average precision from the number of false positives ranked above each true positive.

    Nothing else of the ranking matters: false positives only lower the precision, so that its best from a recall
    on is always met at a true positive.

    Parameters
    ----------
    false_positives : int array of shape [T]
        For each true positive, best score first.
    n_positives, normalisation
        As for `normalized_ap`.
    """
    false_positives = np.asarray(false_positives, dtype=np.float64)
    n_found = len(false_positives)
    if n_found > n_positives:
        raise ValueError(f"{n_found} true positives, but n_positives is {n_positives}")
    if not normalisation > 0:
        raise ValueError(f"normalisation is {normalisation}; it is a number of objects, greater than 0")
    if n_positives == 0:
        return NormalizedAP(float("nan"), float("nan"), 0, float("nan"), np.empty(0))
    expected_found = normalisation * np.arange(1, n_found + 1) / n_positives
    precision = expected_found / (expected_found + false_positives)
    interpolated = np.maximum.accumulate(precision[::-1])[::-1]
    of_each_object = np.concatenate([interpolated, np.zeros(n_positives - n_found)])
    error = of_each_object.std(ddof=1) / np.sqrt(n_positives) if n_positives > 1 else float("nan")
    return NormalizedAP(
        float(of_each_object.mean()), float(error), int(n_positives), n_found / n_positives, interpolated
    )


@dataclass(frozen=True)
class ClassRanking:
    """What normalised precision needs to know of one class's ranked detections.

    Attributes
    ----------
    objects : int array of shape [M]
        Rows of the class's objects that are not marked ``difficult``.
    found : int array of shape [T]
        Row of the object that each true positive found, best score first.
    false_positives : int array of shape [T]
        How many false positives of the class are ranked above each true positive.
    normalisation : float
        The N of this data set.
    """

    objects: np.ndarray
    found: np.ndarray
    false_positives: np.ndarray
    normalisation: float

    def of_subset(self, members) -> NormalizedAP:
        """Normalised AP on the objects at the rows `members` (a bool array over all rows of the truth).

        True positives on other objects are ignored, false positives all remain (Hoiem et al., sec. 2.3).
        """
        members = np.asarray(members, dtype=bool)
        kept = members[self.found]
        n_positives = int(members[self.objects].sum())
        return ap_from_counts(self.false_positives[kept], n_positives, self.normalisation)


def rank_class(diagnosis, name: str) -> ClassRanking:
    """Objects, true positives and false positives of class `name`, in the order of the evaluation.

    Parameters
    ----------
    diagnosis : Diagnosis
    name : str
        One of the classes of the detections.
    """
    truth = diagnosis.truth
    rows = diagnosis.evaluation.curves[name].detection
    is_found = diagnosis.outcome[rows] == "tp"
    of_class = truth.class_index == truth.classes.index(name)
    return ClassRanking(
        objects=np.flatnonzero(of_class & ~truth.difficult),
        found=diagnosis.nearest[rows[is_found]],
        false_positives=np.cumsum(~is_found)[is_found],
        normalisation=OBJECTS_PER_IMAGE * len(truth.image_ids),
    )


def normalized_aps(diagnosis):
    """Normalised average precision of each class.

    Parameters
    ----------
    diagnosis : Diagnosis

    Returns
    -------
    DataFrame
        A row a class: ``ap_n`` and ``standard_error`` (both NaN for a class without objects), ``n`` objects that
        are not difficult, and the final ``recall``.

    Notes
    -----
    Detections are matched as VOC's development kit does it, so that AP and normalised AP speak of the same true
    positives. The published tool instead gives each detection the best object not found before.
    """
    import pandas as pd

    rows = []
    for name in diagnosis.detections.classes:
        ranking = rank_class(diagnosis, name)
        result = ranking.of_subset(np.ones(len(diagnosis.truth), dtype=bool))
        rows.append(
            {
                "class": name,
                "ap_n": result.ap,
                "standard_error": result.standard_error,
                "n": result.n_positives,
                "recall": result.final_recall,
            }
        )
    return pd.DataFrame(rows, columns=["class", "ap_n", "standard_error", "n", "recall"]).set_index("class")
