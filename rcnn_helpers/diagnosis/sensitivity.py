"""Which objects a detector finds: its normalised average precision on subsets of them, and what it misses.

Each class's objects are sorted into subsets by one characteristic at a time, after Hoiem et al. (ECCV 2012,
secs. 2.3 and 3.2): how much is hidden, how large the box is, which sides are seen. On each subset the detector's
normalised AP is computed; the spread between a class's best and worst subset says how sensitive the detector is
to that characteristic (the R-CNN paper's Fig. 6).
"""

import numpy as np

from rcnn_helpers.diagnosis.attributes import OCCLUSION_LEVELS, UNKNOWN_POSE
from rcnn_helpers.diagnosis.normalized import NormalizedAP, rank_class
from rcnn_helpers.errors import DatasetError

# The six of the R-CNN paper's Figure 6, in its order, and two more.
PAPER_CHARACTERISTICS = (
    "occlusion",
    "truncation",
    "box area",
    "aspect ratio",
    "viewpoint",
    "part visibility",
)
CHARACTERISTICS = (*PAPER_CHARACTERISTICS, "box height", "pose")
# Subsets of fewer objects do not enter the summary.
FEWEST_OBJECTS = 5
# An object counts as missed if the normalised precision at its detection is below this.
MISSED_BELOW = 0.05

_SIZES = ("XS", "S", "M", "L", "XL")
_BINNED = {
    "box area": ("area", _SIZES),
    "box height": ("height", _SIZES),
    "aspect ratio": ("aspect", ("XT", "T", "M", "W", "XW")),
}
_POSES = ("Frontal", "Left", "Rear", "Right")
# Cuts between the five bins, in tenths of the objects.
_CUTS = (1, 3, 7, 9)
# What an object's normalised precision is expected from, as in displayGtConfidencePredictions.m.
_EXPECTED_FROM = ("box area", "aspect ratio", "occlusion", "truncation")


def subset_ap(diagnosis, name: str, members) -> NormalizedAP:
    """Normalised AP of class `name` on some of its objects.

    True positives on other objects are ignored, and false positives all remain.

    Parameters
    ----------
    diagnosis : Diagnosis
    name : str
        One of the classes of the detections.
    members : bool array of shape [M]
        Which rows of the truth to count. Objects of other classes and difficult ones never do.
    """
    return rank_class(diagnosis, name).of_subset(members)


def five_bins(values) -> np.ndarray:
    """Sort values into five bins: the lowest tenth, up to 30, 70 and 90 %, and the highest tenth.

    Parameters
    ----------
    values : array-like of shape [M]
        Of the objects of one class.

    Returns
    -------
    int array of shape [M]
        0 to 4. A value equal to a cut lies below it, so many equal values make a bin larger than its share.

    Notes
    -----
    A cut is the value at the place ``round(q * M)`` of the sorted values, as in ``analyzeTrueDetections.m``. With
    fewer than five values that place is 0 there, and the tool stops with an error; here it is at least the first.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    ordered = np.sort(values)
    # Round half up in whole numbers: floats would put some halves below.
    places = [max(1, (2 * tenths * len(values) + 10) // 20) for tenths in _CUTS]
    cuts = ordered[np.array(places) - 1]
    return (values[:, None] > cuts[None, :]).sum(axis=1)


def sensitivity(diagnosis, attributes):
    """Normalised AP of each class on subsets of its objects.

    Parameters
    ----------
    diagnosis : Diagnosis
    attributes : DataFrame
        Of the same data set, from `object_attributes`.

    Returns
    -------
    DataFrame
        A row a class, characteristic and subset, in this order:

        - ``class``, ``characteristic`` (one of `CHARACTERISTICS`), ``subset``;
        - ``n``: objects in the subset; ``found``: true positives among them;
        - ``ap_n``, ``standard_error``: NaN in an empty subset;
        - ``class_ap_n``: the same detector on all objects of the class.

        Subsets: occlusion N, L, M, H; truncation no, yes; box area and box height XS, S, M, L, XL; aspect ratio
        XT (extra tall), T, M, W, XW (extra wide); viewpoint and part visibility ``"SIDE: visible"`` and
        ``"SIDE: hidden"``; pose Frontal, Left, Rear, Right. ``frame.attrs["left_out"]`` says in a sentence which
        characteristics have no rows at all (`characteristics_left_out`).

    Raises
    ------
    DatasetError
        If the attributes are not those of the diagnosis' objects.

    Notes
    -----
    Objects marked difficult belong to no subset, nor do objects whose attribute is not known. An attribute that
    is the same for all objects of a class (as where a field was never filled in) splits nothing and has no rows.
    Where occlusion levels are not known, VOC's flag ``occluded`` stands in, with the subsets no and yes.
    Viewpoint is as in Hoiem et al., which sides can be seen; VOC's pose is a characteristic of its own.
    """
    import pandas as pd

    _check_attributes(diagnosis, attributes)
    rows = []
    for name in diagnosis.detections.classes:
        ranking = rank_class(diagnosis, name)
        everything = ranking.of_subset(np.ones(len(diagnosis.truth), dtype=bool))
        for characteristic, subsets in _subsets(attributes.iloc[ranking.objects]).items():
            for subset, chosen in subsets:
                members = np.zeros(len(diagnosis.truth), dtype=bool)
                members[ranking.objects[chosen]] = True
                result = ranking.of_subset(members)
                rows.append(
                    {
                        "class": name,
                        "characteristic": characteristic,
                        "subset": subset,
                        "n": result.n_positives,
                        "found": len(result.precision),
                        "ap_n": result.ap,
                        "standard_error": result.standard_error,
                        "class_ap_n": everything.ap,
                    }
                )
    columns = ("class", "characteristic", "subset", "n", "found", "ap_n", "standard_error", "class_ap_n")
    frame = pd.DataFrame(rows, columns=list(columns))
    frame.attrs["left_out"] = characteristics_left_out(attributes)
    return frame


def characteristics_left_out(attributes) -> dict[str, str]:
    """Characteristics by which no class can be split, each with the reason in a sentence.

    Parameters
    ----------
    attributes : DataFrame
        From `object_attributes`.
    """
    counted = attributes[~attributes["difficult"].to_numpy(dtype=bool)]
    usable = {
        characteristic
        for _, of_class in counted.groupby("class", sort=False)
        for characteristic in _subsets(of_class)
    }
    return {
        characteristic: _why_left_out(characteristic, counted)
        for characteristic in CHARACTERISTICS
        if characteristic not in usable
    }


def sensitivity_summary(frame):
    """How far each characteristic moves normalised AP, on average over the classes (the R-CNN paper's Fig. 6).

    Parameters
    ----------
    frame : DataFrame
        From `sensitivity`.

    Returns
    -------
    DataFrame
        A row for each characteristic that splits at least one class, in the order of `CHARACTERISTICS`:
        ``lowest`` and ``highest``, the mean over classes of each class's worst and best subset; ``average``, the
        mean of the same classes on all their objects; ``n_classes``.

    Notes
    -----
    Subsets of fewer than `FEWEST_OBJECTS` objects are left out; a class counts for a characteristic if it has
    at least two others. A subset of which nothing was found counts with its 0. In the published tool
    (``displayAverageSensitivityImpactPlot.m``) it is NaN and drops out, so that the hardest subset is the one
    that is not shown; ``sensitivity_summary(frame[frame["found"] > 0])`` does the same. As not every class has
    every attribute, averages may differ between characteristics.
    """
    import pandas as pd

    large = frame[frame["n"] >= FEWEST_OBJECTS]
    by_class = large.groupby(["characteristic", "class"], sort=False).agg(
        lowest=("ap_n", "min"),
        highest=("ap_n", "max"),
        average=("class_ap_n", "first"),
        subsets=("ap_n", "size"),
    )
    by_class = by_class[by_class["subsets"] >= 2].drop(columns="subsets")
    per_characteristic = by_class.groupby("characteristic", sort=False)
    summary = per_characteristic.mean().join(per_characteristic.size().rename("n_classes"))
    order = [name for name in CHARACTERISTICS if name in summary.index]
    return summary.reindex(pd.Index(order, name="characteristic")).astype({"n_classes": int})


def missed_objects(diagnosis, attributes):
    """Objects that were found too late or never, the most surprising first.

    An object is missed if it was never found, or if the normalised precision at its detection, interpolated, is
    below `MISSED_BELOW` (Hoiem et al.): so far down the ranking that hardly one detection in twenty is right.

    Parameters
    ----------
    diagnosis : Diagnosis
    attributes : DataFrame
        Of the same data set, from `object_attributes`.

    Returns
    -------
    DataFrame
        Its index, ``object``, holds rows of the truth. Columns ``image``, ``class``; ``detection``, the row of
        the detection that found the object or -1; ``precision``, the normalised precision there or 0;
        ``expected``, what objects like it reach in this class; ``surprise``, the difference, by which the rows
        are sorted.

    Notes
    -----
    What is expected of an object is a linear least-squares fit, within its class, of the normalised precision on
    its bins of area and aspect ratio, its occlusion and truncation (those that are known), cut to [0, 1]. That is
    ``displayGtConfidencePredictions.m``, which however mixes up positions and ranks where a class has difficult
    objects, and so leaves some out of the list; here none is.
    """
    import pandas as pd

    _check_attributes(diagnosis, attributes)
    parts = []
    for name in diagnosis.detections.classes:
        ranking = rank_class(diagnosis, name)
        if len(ranking.objects) == 0:
            continue
        precision = np.zeros(len(diagnosis.truth))
        everything = ranking.of_subset(np.ones(len(diagnosis.truth), dtype=bool))
        precision[ranking.found] = everything.precision
        of_class = attributes.iloc[ranking.objects]
        reached = precision[ranking.objects]
        expected = _expected_precision(of_class, reached)
        part = pd.DataFrame(
            {
                "object": ranking.objects,
                "image": of_class["image"].to_numpy(),
                "class": name,
                "detection": diagnosis.found_by[ranking.objects],
                "precision": reached,
                "expected": expected,
                "surprise": expected - reached,
            }
        )
        parts.append(part[part["precision"] < MISSED_BELOW])
    if not parts:
        columns = ["object", "image", "class", "detection", "precision", "expected", "surprise"]
        return pd.DataFrame(columns=columns).set_index("object")
    missed = pd.concat(parts, ignore_index=True).set_index("object")
    return missed.sort_values("surprise", ascending=False, kind="stable")


def _subsets(of_class) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Characteristic -> (subset, which of these objects) of the objects of one class, where it splits them."""
    found = {name: [] for name in CHARACTERISTICS}
    levels = of_class["occlusion"].to_numpy()
    if any(level is not None for level in levels):
        found["occlusion"] = _split(levels, OCCLUSION_LEVELS)
    else:
        found["occlusion"] = _split(of_class["occluded"].to_numpy(), (False, True), ("no", "yes"))
    found["truncation"] = _split(of_class["truncated"].to_numpy(), (False, True), ("no", "yes"))
    for characteristic, (column, names) in _BINNED.items():
        found[characteristic] = _split(five_bins(of_class[column]), range(5), names)
    found["pose"] = _split(of_class["pose"].to_numpy(), _POSES)
    for prefix, characteristic in (("side:", "viewpoint"), ("part:", "part visibility")):
        for column in of_class.columns:
            if column.startswith(prefix):
                what = column.removeprefix(prefix)
                found[characteristic] += _split(
                    of_class[column].to_numpy(), (True, False), (f"{what}: visible", f"{what}: hidden")
                )
    return {name: subsets for name, subsets in found.items() if subsets}


def _split(values, choices, names=None) -> list[tuple[str, np.ndarray]]:
    """Masks of the objects with each of the values; none at all where the objects do not differ."""
    masks = [np.asarray(values == choice, dtype=bool) for choice in choices]
    if sum(mask.any() for mask in masks) < 2:
        return []
    return list(zip(choices if names is None else names, masks, strict=True))


def _why_left_out(characteristic, counted) -> str:
    if len(counted) == 0:
        return "there are no objects"
    columns = {
        "occlusion": ["occlusion", "occluded"],
        "truncation": ["truncated"],
        "pose": ["pose"],
        "viewpoint": [name for name in counted.columns if name.startswith("side:")],
        "part visibility": [name for name in counted.columns if name.startswith("part:")],
    }.get(characteristic, [])
    if not columns:
        what = {"viewpoint": "visible sides", "part visibility": "visible parts"}
        return f"this data set does not tell {what.get(characteristic, characteristic)}"
    values = {value for name in columns for value in counted[name] if value is not None}
    shown = ", ".join(str(value) for value in sorted(values, key=str)) or "nothing"
    if values <= {UNKNOWN_POSE, False}:
        return f"it is {shown} for all {len(counted)} objects: never filled in, as it seems"
    return f"within each class all objects have the same value (in all: {shown})"


def _expected_precision(of_class, reached):
    """Least-squares fit of the precision that was reached on which subsets an object is in."""
    subsets = _subsets(of_class)
    known = [mask for name in _EXPECTED_FROM for _, mask in subsets.get(name, [])]
    design = np.column_stack([np.ones(len(of_class)), *known]).astype(np.float64)
    weights, *_ = np.linalg.lstsq(design, reached, rcond=None)
    return np.clip(design @ weights, 0.0, 1.0)


def _check_attributes(diagnosis, attributes):
    truth = diagnosis.truth
    names = np.array(truth.classes, dtype=object)[truth.class_index]
    images = np.array(truth.image_ids, dtype=object)[truth.image_index]
    same = (
        len(attributes) == len(truth)
        and (attributes["class"].to_numpy() == names).all()
        and (attributes["image"].to_numpy() == images).all()
    )
    if not same:
        raise DatasetError(
            f"these attributes are of {len(attributes)} objects, and not of the {len(truth)} that were diagnosed; "
            "call object_attributes on the data set of the diagnosis"
        )
