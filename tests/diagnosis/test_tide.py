"""TIDE: every type and every rise in AP computed by hand, a slow plain-Python reference, and real detections."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.diagnosis.tide import DETECTION_TYPES, TIDE_TYPES, agreement, tide
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import Detections, GroundTruth, evaluate
from rcnn_helpers.voc_results import read_voc_results

CLASSES = ("cat", "dog", "bus")
A, B, C = [0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10]
# Of A (10 x 10) these cover 60, 50, 30, 10 and 5 of 100 pixels: their IoU with it.
A_60, A_50, A_30, A_10, A_5 = ([0, 0, 10, height] for height in (6, 5, 3, 1, 0.5))
NOWHERE = [300, 300, 310, 310]


def rises(result):
    """What is not 0 of the eight prices."""
    prices = result.delta_ap | {"FP": result.delta_fp, "FN": result.delta_fn}
    return {name: pytest.approx(value) for name, value in prices.items() if abs(value) > 1e-12}


def test_loc_becomes_a_true_positive_of_its_object(scene):
    detections, truth = scene(
        ("cat",), [("1", "cat", A), ("1", "cat", B)], [("1", "cat", 0.9, A_30), ("1", "cat", 0.8, B)]
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["Loc", ""]
    assert result.nearest.tolist() == [0, 1]
    assert result.nearest_iou == pytest.approx([0.3, 1])
    assert result.mended.tolist() == [True, False]
    assert not result.missed.any()  # A was not found, but mending the Loc finds it
    # Wrong, right: recall 1/2 at precision 1/2.
    assert result.ap == pytest.approx(1 / 4)
    # Mended: AP 1. Without the false positive: recall 1/2 at precision 1. With B the only object: 1 at 1/2.
    assert rises(result) == {"Loc": 3 / 4, "FP": 1 / 4, "FN": 1 / 4}


def test_cls_becomes_a_true_positive_of_the_objects_class(scene):
    detections, truth = scene(
        ("cat", "dog"), [("1", "cat", A), ("1", "dog", B)], [("1", "dog", 0.9, A), ("1", "dog", 0.8, B)]
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["Cls", ""]
    assert result.nearest.tolist() == [0, 1]
    assert not result.missed.any()
    # cat: nothing found, 0. dog: wrong, right: recall 1 at precision 1/2.
    assert result.ap == pytest.approx(1 / 4)
    assert rises(result) == {"Cls": 3 / 4, "FP": 1 / 4}
    assert result.per_class.loc["cat", ["AP", "Cls", "FP", "FN"]].tolist() == [0, 1, 0, 0]
    assert result.per_class.loc["dog", ["AP", "Cls", "FP", "FN"]].tolist() == [0.5, 0.5, 0.5, 0]
    assert result.per_class.loc["mean", "Cls"] == result.delta_ap["Cls"]
    assert list(result.per_class.columns) == ["AP", *TIDE_TYPES, "FP", "FN"]


@pytest.mark.parametrize(
    ("error", "class_and_box"), [("Dupe", ("cat", A_60)), ("Bkg", ("cat", NOWHERE)), ("Both", ("cat", C))]
)
def test_dupe_bkg_and_both_are_deleted(scene, error, class_and_box):
    near_c = [200, 0, 210, 3]  # IoU 0.3 with C
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A), ("1", "cat", B), ("1", "dog", near_c)],
        [
            ("1", "cat", 0.9, A),
            ("1", class_and_box[0], 0.8, class_and_box[1]),
            ("1", "cat", 0.7, B),
            ("1", "dog", 0.6, near_c),
        ],
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["", error, "", ""]
    assert not result.mended.any() and not result.missed.any()
    # cat: right, wrong, right: 1/2 at precision 1 and 1/2 at 2/3. dog: 1.
    assert result.per_class.loc["cat", "AP"] == pytest.approx(5 / 6)
    assert rises(result) == {error: 1 / 12, "FP": 1 / 12}
    expected = {"Dupe": (0, 0.6), "Bkg": (-1, 0), "Both": (2, 0.3)}[error]
    assert (result.nearest[1], result.nearest_iou[1]) == pytest.approx(expected)


def test_a_missed_object_is_not_counted_when_mended(scene):
    detections, truth = scene(
        ("cat",),
        [("1", "cat", A), ("2", "cat", B), ("3", "cat", C)],
        [("1", "cat", 0.9, A), ("2", "cat", 0.8, B)],
    )
    result = tide(detections, truth)
    assert result.missed.tolist() == [False, False, True]
    assert result.missed_rows("cat").tolist() == [2]
    # Recall 2/3 at precision 1 reaches 0 to 0.6, 7 of the 11 recalls.
    assert result.ap == pytest.approx(7 / 11)
    assert rises(result) == {"Miss": 4 / 11, "FN": 4 / 11}
    by_101 = tide(detections, truth, metric="101point")
    assert (by_101.metric, by_101.ap) == ("101point", pytest.approx(67 / 101))


def test_a_class_of_which_all_is_missed_keeps_its_ap(scene):
    detections, truth = scene(("cat", "dog"), [("1", "cat", A), ("1", "dog", B)], [("1", "cat", 1, A)])
    result = tide(detections, truth)
    assert result.missed.tolist() == [False, True]
    assert result.ap == 0.5
    assert rises(result) == {}


OWN, OTHER = ("1", "cat", A), ("1", "dog", A)


@pytest.mark.parametrize(
    ("objects", "box", "error"),
    [
        ([OWN], A_50, ""),
        ([OWN], [0, 0, 10, 4.99], "Loc"),
        ([OWN], A_10, "Loc"),
        ([OWN], A_5, "Bkg"),
        ([OTHER], A_50, "Cls"),
        ([OTHER], A_30, "Both"),
        ([OTHER], [0, 0, 10, 1.01], "Both"),
        ([OTHER], A_10, "Bkg"),
        ([], A, "Bkg"),
        ([("2", "cat", A)], A, "Bkg"),
        # Loc is tested first, even if the box fits an object of another class perfectly.
        ([("1", "cat", A), ("1", "dog", A_30)], A_30, "Loc"),
        ([("1", "cat", A), ("1", "dog", A_5)], A_5, "Cls"),
        ([("1", "cat", A), ("1", "dog", [0, 0, 10, 2])], A_5, "Both"),
    ],
)
def test_the_first_type_that_fits(scene, objects, box, error):
    detections, truth = scene(CLASSES, objects, [("1", "cat", 1, box)], images=["1", "2"])
    assert tide(detections, truth).types.tolist() == [error]


def test_cls_is_tested_before_dupe(scene):
    detections, truth = scene(
        CLASSES, [("1", "cat", A), ("1", "dog", A_60)], [("1", "cat", 2, A), ("1", "cat", 1, A_60)]
    )
    result = tide(detections, truth)
    assert result.evaluation.outcomes.tolist() == ["tp", "duplicate"]
    assert result.types.tolist() == ["", "Cls"]
    assert result.nearest.tolist() == [0, 1]


def test_thresholds_can_be_moved(scene):
    detections, truth = scene(CLASSES, [OWN], [("1", "cat", 1, A_30)])
    assert tide(detections, truth, match_iou=0.3).types.tolist() == [""]
    assert tide(detections, truth, background_iou=0.31).types.tolist() == ["Bkg"]
    assert tide(detections, truth, background_iou=0).types.tolist() == ["Loc"]


def test_an_object_is_claimed_once_by_the_best_of_both_types(scene):
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A)],
        [
            ("1", "cat", 0.7, A_30),
            ("1", "dog", 0.8, A),
            ("1", "cat", 0.9, [0, 0, 10, 4]),
            ("1", "dog", 0.8, A),
        ],
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["Loc", "Cls", "Loc", "Cls"]
    assert result.mended.tolist() == [False, False, True, False]
    assert not result.missed.any()
    # dog has no objects and no AP. cat: mending Loc leaves one detection, which is right; mending Cls deletes
    # both dogs and leaves the cat where it was.
    assert result.ap == 0
    assert rises(result) == {"Loc": 1}
    swapped = detections.select([0, 1, 3])
    result = tide(swapped, truth, metric="area")
    assert result.mended.tolist() == [False, True, False]  # of two equally good, the first
    # Mended, the dog leads the ranking of cat: right, wrong.
    assert rises(result) == {"Cls": 1}


def test_errors_on_a_found_object_are_deleted(scene):
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A), ("1", "dog", B)],
        [("1", "cat", 0.9, A_30), ("1", "dog", 0.8, A), ("1", "cat", 0.7, A), ("1", "dog", 0.6, B)],
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["Loc", "Cls", "", ""]
    assert result.nearest.tolist() == [0, 0, 0, 1]
    assert not result.mended.any()
    # cat and dog: wrong, right, each 1/2; deleting the wrong one makes it 1.
    assert rises(result) == {"Loc": 1 / 4, "Cls": 1 / 4, "FP": 1 / 2}


def test_scores_below_minus_one_are_mended_too(scene):
    # Scores of support vector machines; the published tool takes -1 for lower than any score.
    detections, truth = scene(("cat",), [("1", "cat", A)], [("1", "cat", -2.5, A_30)])
    assert rises(tide(detections, truth)) == {"Loc": 1}


def test_difficult_objects_are_ignored(scene):
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A, True), ("1", "dog", C, True), ("1", "cat", B)],
        [
            ("1", "cat", 5, A),
            ("1", "cat", 4, A_30),
            ("1", "cat", 3, C),
            ("1", "cat", 2, A_60),
            ("1", "cat", 1, B),
        ],
    )
    result = tide(detections, truth)
    # No Loc on the difficult cat, no Cls on the difficult dog, and neither is missed.
    assert result.types.tolist() == ["", "Bkg", "Bkg", "", ""]
    assert result.evaluation.outcomes.tolist() == ["ignored", "fp", "fp", "ignored", "tp"]
    assert result.nearest.tolist() == [-1, -1, -1, -1, 2]
    assert not result.missed.any()
    assert result.ap == pytest.approx(1 / 3)
    assert rises(result) == {"Bkg": 2 / 3, "FP": 2 / 3}
    assert result.counts().loc["cat"].to_dict() == {
        "tp": 1, "Cls": 0, "Loc": 0, "Both": 0, "Dupe": 0, "Bkg": 2, "Miss": 0, "ignored": 2,
    }  # fmt: skip


def test_a_class_without_objects_has_types_but_no_ap(scene):
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A)],
        [("1", "dog", 0.9, A), ("1", "dog", 0.8, NOWHERE), ("1", "cat", 0.7, A)],
    )
    result = tide(detections, truth)
    assert result.types.tolist() == ["Cls", "Bkg", ""]
    assert result.ap == 1
    assert result.per_class.loc["dog"].isna().all()
    assert rises(result) == {}
    assert rises(tide(detections.select([0]), truth)) == {"Cls": 1}


def test_classes_that_were_not_searched_for(scene):
    # The dog is an object, so what lies on it is a Cls; but there is no ranking of dogs, and none is missed.
    detections, truth = scene(
        ("dog", "cat"),
        [("1", "dog", A), ("1", "dog", C), ("1", "cat", B)],
        [("1", "cat", 0.9, A), ("1", "cat", 0.8, B)],
        searched=("cat",),
    )
    result = tide(detections, truth, metric="area")
    assert result.types.tolist() == ["Cls", ""]
    assert not result.missed.any()
    assert result.ap == 0.5
    assert rises(result) == {"Cls": 0.5, "FP": 0.5}
    assert result.counts().loc["all", "Miss"] == 0


def test_images_are_matched_by_name(scene):
    _, truth = scene(("cat",), [("1", "cat", A), ("2", "cat", B)], [])
    detections = Detections(("elsewhere", "2"), ("cat",), [1], [0], [1.0], [[100, 0, 110, 3]])
    result = tide(detections, truth)
    assert result.types.tolist() == ["Loc"]
    assert result.nearest.tolist() == [1]
    assert result.missed.tolist() == [True, False]


def test_nothing_detected_and_nothing_to_detect(scene):
    detections, truth = scene(("cat",), [("1", "cat", A)], [])
    result = tide(detections, truth)
    assert (result.ap, result.missed.tolist(), len(result.types)) == (0, [True], 0)
    assert rises(result) == {}
    detections, truth = scene(("cat",), [], [("1", "cat", 1, A)])
    result = tide(detections, truth)
    assert result.types.tolist() == ["Bkg"]
    assert np.isnan(result.ap) and np.isnan(result.delta_ap["Bkg"])


def test_rows_of_a_type_best_first(scene):
    detections, truth = scene(
        ("cat", "dog"),
        [("1", "cat", A)],
        [("1", "cat", 1, NOWHERE), ("1", "dog", 3, NOWHERE), ("1", "cat", 2, A_30), ("1", "cat", 4, A)],
    )
    result = tide(detections, truth)
    assert result.rows().tolist() == [1, 2, 0]
    assert result.rows(error_type="Bkg").tolist() == [1, 0]
    assert result.rows("cat").tolist() == [2, 0]
    assert result.rows("cat", "Bkg").tolist() == [0]
    assert result.rows(limit=1).tolist() == [1]
    with pytest.raises(SettingsError, match="unknown type of detection 'Miss'; choose one of Cls, Loc"):
        result.rows(error_type="Miss")
    with pytest.raises(SettingsError, match="no class 'cow'"):
        result.rows("cow")


def test_bad_input_is_named(scene):
    detections, truth = scene(("cat",), [("1", "cat", A)], [("1", "cat", 1, A)])
    with pytest.raises(SettingsError, match="given a GroundTruth where detections belong"):
        tide(truth, detections)
    with pytest.raises(SettingsError, match="background_iou is 0.5"):
        tide(detections, truth, background_iou=0.5)
    with pytest.raises(ValueError, match="unknown metric 'coco'"):
        tide(detections, truth, metric="coco")
    with pytest.raises(DatasetError, match="class 'cow'"):
        tide(Detections.empty(["1"], ["cow"]), truth)


def test_agreement_counts_detections_and_needs_the_same_ones(scene):
    detections, truth = scene(
        CLASSES,
        [("1", "cat", A), ("1", "dog", B)],
        [
            ("1", "cat", 5, A),
            ("1", "cat", 4, A),
            ("1", "cat", 3, A_30),
            ("1", "cat", 2, B),
            ("1", "cat", 1, NOWHERE),
        ],
    )
    result = tide(detections, truth)
    hoiem = SimpleNamespace(fp_type=np.array(["", "Loc", "Loc", "Sim", "BG"]))
    table = agreement(hoiem, result)
    assert table.to_numpy().sum() == 4
    assert table.loc["Loc", ["Loc", "Dupe"]].tolist() == [1, 1]
    assert table.loc["Sim", "Cls"] == table.loc["BG", "Bkg"] == 1
    assert list(table.columns) == list(DETECTION_TYPES)
    with pytest.raises(SettingsError, match="3 false positives of 5 detections"):
        agreement(SimpleNamespace(fp_type=np.array(["", "", "Loc", "Sim", "BG"])), result)


def iou_exact(a, b):
    """IoU of boxes with whole coordinates, as a fraction."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return Fraction(shared, area_a + area_b - shared)


def ap_exact(ranking, n_positives, metric):
    """AP of rows (score, right), sorted stably, in fractions; None without objects, 0 with none left."""
    if n_positives == 0:
        return Fraction(0)
    right, points = 0, []
    for rank, (_, is_right) in enumerate(sorted(ranking, key=lambda row: -row[0]), start=1):
        right += is_right
        points.append((right, Fraction(right, rank)))
    if metric == "area":
        return sum(
            Fraction(1, n_positives) * max((p for r, p in points if r >= found), default=0)
            for found in range(1, right + 1)
        )
    steps = {"11point": 10, "101point": 100}[metric]
    levels = [
        max((p for r, p in points if steps * r >= k * n_positives), default=0) for k in range(steps + 1)
    ]
    return Fraction(sum(levels), len(levels))


def tide_in_plain_python(objects, rows, n_classes, metric):
    """Objects (image, class, box, difficult), rows (image, class, score, box); types, missed, AP and rises.

    From the definitions, one detection and one object at a time, in exact arithmetic.
    """
    types, points_at = [""] * len(rows), [None] * len(rows)
    right, ignored, found_by = set(), set(), {}
    best_first = sorted(range(len(rows)), key=lambda i: -rows[i][2])
    for i in best_first:  # VOC's matching
        image, name, _, box = rows[i]
        own = [j for j, o in enumerate(objects) if o[0] == image and o[1] == name]
        best = max(own, key=lambda j: iou_exact(box, objects[j][2]), default=None)
        if best is not None and iou_exact(box, objects[best][2]) >= Fraction(1, 2):
            if objects[best][3]:
                ignored.add(i)
            elif best not in found_by:
                found_by[best] = i
                right.add(i)
    for i, (image, name, _, box) in enumerate(rows):
        if i in right or i in ignored:
            continue
        overlaps = {j: iou_exact(box, o[2]) for j, o in enumerate(objects) if o[0] == image and not o[3]}
        own = {j: value for j, value in overlaps.items() if objects[j][1] == name}
        other = {j: value for j, value in overlaps.items() if objects[j][1] != name}
        best_own, best_other = max(own.values(), default=0), max(other.values(), default=0)
        if Fraction(1, 10) <= best_own < Fraction(1, 2):
            types[i], points_at[i] = "Loc", min(j for j in own if own[j] == best_own)
        elif best_other >= Fraction(1, 2):
            types[i], points_at[i] = "Cls", min(j for j in other if other[j] == best_other)
        elif best_own >= Fraction(1, 2):
            types[i] = "Dupe"
        elif max(best_own, best_other) <= Fraction(1, 10):
            types[i] = "Bkg"
        else:
            types[i] = "Both"
    claimed = {}
    for i in best_first:
        if points_at[i] is not None and points_at[i] not in found_by:
            claimed.setdefault(points_at[i], i)
    counted = {j for j, o in enumerate(objects) if not o[3]}
    missed = {j for j in counted if j not in found_by and j not in claimed}

    def mean_ap(fixed=None):
        scores = []
        for name in range(n_classes):
            positives = {j for j in counted if objects[j][1] == name}
            if not positives:
                continue
            if fixed == "Miss":
                positives -= missed
            if fixed == "FN":
                positives = {j for j in positives if j in found_by}
            ranking = []
            for i, (_, detected, score, _) in enumerate(rows):
                is_right, final = i in right, detected
                if i in ignored:
                    continue
                if not is_right and fixed in (types[i], "FP"):
                    if fixed == "FP" or claimed.get(points_at[i]) != i:
                        continue
                    is_right, final = True, objects[points_at[i]][1]
                if final == name:
                    ranking.append((score, is_right))
            scores.append(ap_exact(ranking, len(positives), metric))
        return sum(scores) / len(scores) if scores else None

    base = mean_ap()
    return types, missed, base, {name: mean_ap(name) for name in (*TIDE_TYPES, "FP", "FN")}


@st.composite
def boxes(draw):
    x, y = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return [x, y, x + draw(st.integers(1, 8)), y + draw(st.integers(1, 8))]


IMAGES, KINDS = st.integers(0, 1), st.integers(0, 2)
OBJECTS = st.lists(st.tuples(IMAGES, KINDS, boxes(), st.sampled_from([False, False, True])), max_size=7)
ROWS = st.lists(st.tuples(IMAGES, KINDS, st.integers(-2, 4), boxes()), max_size=14)


@given(OBJECTS, ROWS, st.sampled_from(["11point", "101point", "area"]))
def test_agrees_with_plain_python(objects, rows, metric):
    objects = sorted(objects, key=lambda row: row[0])
    types, missed, base, fixed = tide_in_plain_python(objects, rows, len(CLASSES), metric)
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    images, names, scores, places = columns
    detections = Detections(("0", "1"), CLASSES, images, names, scores, places)
    image, name, box, difficult = list(zip(*objects, strict=True)) or [[], [], [], []]
    truth = GroundTruth(
        ("0", "1"),
        CLASSES,
        np.array(image, np.int32),
        np.array(name, np.int32),
        np.array(box, np.float32).reshape(-1, 4),
        np.array(difficult, bool),
        np.arange(len(objects), dtype=np.int32),
    )
    result = tide(detections, truth, metric=metric)
    assert result.types.tolist() == types
    assert set(np.flatnonzero(result.missed)) == missed
    prices = result.delta_ap | {"FP": result.delta_fp, "FN": result.delta_fn}
    if base is None:
        assert np.isnan([result.ap, *prices.values()]).all()
        return
    assert result.ap == pytest.approx(float(base))
    assert prices == pytest.approx({key: float(value - base) for key, value in fixed.items()}, abs=1e-12)
    assert min(prices.values()) > -1e-12  # mending never makes anything worse
    counts = result.counts()
    assert counts.drop(columns="Miss").loc["all"].sum() == len(rows)
    assert counts.loc["all", "Miss"] == len(missed)


@pytest.mark.real_data
def test_real_detections_of_voc_2007(real_data):
    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test")
    with pytest.warns(UserWarning, match="no result file"):
        detections = read_voc_results(folder / "detections_yolov1", dataset.classes, image_ids=dataset.ids)
    result = tide(detections, dataset)
    assert result.ap == pytest.approx(evaluate(detections, dataset).mean_ap, abs=1e-12)
    counts = result.counts().loc["all"]
    assert counts.drop("Miss").sum() == len(detections)
    assert all(0 < rise < 1 for rise in result.delta_ap.values())
    unmatched = (~result.truth.difficult).sum() - counts["tp"]
    assert 0 < counts["Miss"] < unmatched
