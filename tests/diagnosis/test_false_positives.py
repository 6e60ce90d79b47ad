"""False positives by type: scenes computed by hand, a slow plain-Python reference, and real detections."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import build_scene

from rcnn_helpers.datasets.voc import VOC_CLASSES, VOCDataset
from rcnn_helpers.diagnosis import (
    FP_TYPES,
    SimilarClasses,
    counts,
    detection_trend,
    diagnose,
    impact,
    trends,
)
from rcnn_helpers.errors import DatasetError, RCNNError
from rcnn_helpers.evaluation import Detections, collect_ground_truth, evaluate
from rcnn_helpers.voc_results import read_voc_results

CLASSES = ("bus", "cat", "dog")
SIMILAR = SimilarClasses.from_sets(CLASSES, [("cat", "dog")])
A, B, C = [0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10]
# Of the 10 x 10 box A these cover 60, 30, 10 and 9 of 100 pixels: their IoU with it.
A_60, A_30, A_10, A_9 = [0, 0, 10, 6], [0, 0, 10, 3], [0, 0, 10, 1], [0, 0, 10, 0.9]
NOWHERE = [300, 300, 310, 310]


# Types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "box", "outcome", "fp_type", "nearest", "iou"),
    [
        ("dog", A_60, "tp", "", 0, 0.6),
        ("dog", A_30, "fp", "Loc", 0, 0.3),
        ("dog", A_10, "fp", "Loc", 0, 0.1),
        ("dog", A_9, "fp", "BG", 0, 0.09),
        ("cat", A_60, "fp", "Sim", 0, 0.6),
        ("cat", A_10, "fp", "Sim", 0, 0.1),
        ("cat", A_9, "fp", "BG", 0, 0.09),
        ("bus", A_60, "fp", "Oth", 0, 0.6),
        ("bus", A_10, "fp", "Oth", 0, 0.1),
        ("bus", A_9, "fp", "BG", 0, 0.09),
        ("dog", NOWHERE, "fp", "BG", -1, 0),
        ("bus", NOWHERE, "fp", "BG", -1, 0),
    ],
)
def test_each_type_on_one_dog(scene, name, box, outcome, fp_type, nearest, iou):
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A)], [("1", name, 1.0, box)]), similar=SIMILAR)
    assert diagnosis.outcome.tolist() == [outcome]
    assert diagnosis.fp_type.tolist() == [fp_type]
    assert diagnosis.nearest.tolist() == [nearest]
    assert diagnosis.nearest_iou.tolist() == pytest.approx([iou])
    assert diagnosis.found_by.tolist() == [0 if outcome == "tp" else -1]


def test_the_first_type_that_fits_counts_however_well_the_others_overlap(scene):
    # The dog is overlapped least, then the cat, and the bus best: Loc still goes before Sim, and Sim before Oth.
    dog, cat, bus = [0, 0, 10, 1], [0, 0, 10, 3], [0, 0, 10, 6]
    objects = [("1", "bus", bus), ("1", "cat", cat), ("1", "dog", dog)]
    for n_objects, expected in ((3, "Loc"), (2, "Sim"), (1, "Oth")):
        diagnosis = diagnose(*scene(CLASSES, objects[:n_objects], [("1", "dog", 1.0, A)]), similar=SIMILAR)
        assert diagnosis.fp_type.tolist() == [expected]
        assert diagnosis.nearest.tolist() == [n_objects - 1]


def test_of_two_similar_objects_the_one_overlapped_best_explains(scene):
    objects = [("1", "cat", A_10), ("1", "cat", A_30), ("1", "bus", A)]
    diagnosis = diagnose(*scene(CLASSES, objects, [("1", "dog", 1.0, A)]), similar=SIMILAR)
    assert (diagnosis.fp_type[0], diagnosis.nearest[0]) == ("Sim", 1)


def test_background_names_the_best_overlap_of_any_class(scene):
    objects = [("1", "dog", [0, 0, 10, 0.5]), ("1", "bus", A_9), ("1", "cat", [0, 0, 10, 0.7])]
    diagnosis = diagnose(*scene(CLASSES, objects, [("1", "dog", 1.0, A)]), similar=SIMILAR)
    assert (diagnosis.fp_type[0], diagnosis.nearest[0]) == ("BG", 1)


def test_a_duplicate_is_a_localisation_error(scene):
    rows = [("1", "dog", 0.9, A), ("1", "dog", 0.8, A_60), ("1", "dog", 0.7, A_30)]
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A)], rows), similar=SIMILAR)
    assert diagnosis.outcome.tolist() == ["tp", "fp", "fp"]
    assert diagnosis.fp_type.tolist() == ["", "Loc", "Loc"]
    assert diagnosis.duplicate.tolist() == [False, True, False]
    assert diagnosis.nearest.tolist() == [0, 0, 0]
    assert diagnosis.found_by.tolist() == [0]


def test_a_duplicate_does_not_find_a_neighbouring_object(scene):
    # Both detections lie on the first dog. The published tool would give the second dog to the second of them.
    near_a = [0, 0, 10, 12]
    rows = [("1", "dog", 2, A), ("1", "dog", 1, A)]
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A), ("1", "dog", near_a)], rows), similar=SIMILAR)
    assert diagnosis.outcome.tolist() == ["tp", "fp"]
    assert diagnosis.duplicate.tolist() == [False, True]
    assert diagnosis.found_by.tolist() == [0, -1]


def test_difficult_objects_explain_but_are_neither_found_nor_missed(scene):
    rows = [("1", "dog", 4, A), ("1", "dog", 3, A), ("1", "dog", 2, A_30), ("1", "cat", 1, A)]
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A, True)], rows), similar=SIMILAR)
    assert diagnosis.outcome.tolist() == ["ignored", "ignored", "fp", "fp"]
    assert diagnosis.fp_type.tolist() == ["", "", "Loc", "Sim"]
    assert diagnosis.nearest.tolist() == [0, 0, 0, 0]
    assert diagnosis.found_by.tolist() == [-1]
    assert len(diagnosis.missed()) == 0
    assert counts(diagnosis).loc["dog"].to_dict() == {
        "tp": 0, "Loc": 1, "Sim": 0, "Oth": 0, "BG": 0, "ignored": 2, "missed": 0
    }  # fmt: skip


def test_objects_in_other_images_explain_nothing(scene):
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A)], [("2", "dog", 1.0, A)]), similar=SIMILAR)
    assert (diagnosis.fp_type[0], diagnosis.nearest[0]) == ("BG", -1)


def test_classes_that_were_not_searched_for_still_explain(scene):
    detections, truth = scene(
        CLASSES,
        [("1", "cat", A), ("1", "bus", B)],
        [("1", "dog", 2, A), ("1", "dog", 1, B)],
        searched=["dog"],
    )
    diagnosis = diagnose(detections, truth, similar=SIMILAR)
    assert diagnosis.classes == ("dog",)
    assert diagnosis.fp_type.tolist() == ["Sim", "Oth"]
    assert counts(diagnosis).index.tolist() == ["dog"]
    assert len(diagnosis.missed()) == 0


def test_images_and_classes_in_another_order_than_the_truth(scene):
    objects = [("1", "dog", A), ("2", "cat", B), ("3", "bus", C)]
    rows = [("3", "bus", 3, C), ("1", "cat", 2, A), ("2", "cat", 1, B)]
    _, truth = scene(CLASSES, objects, [])
    detections, _ = scene(("dog", "cat", "bus"), [], rows, images=["3", "1", "2"])
    diagnosis = diagnose(detections, truth, similar=SIMILAR)
    assert diagnosis.outcome.tolist() == ["tp", "fp", "tp"]
    assert diagnosis.fp_type.tolist() == ["", "Sim", ""]
    assert diagnosis.nearest.tolist() == [2, 0, 1]
    assert diagnosis.found_by.tolist() == [-1, 2, 0]


def test_similar_classes_are_found_by_name_unless_given(scene):
    detections, truth = scene(CLASSES, [("1", "cat", A)], [("1", "dog", 1, A)])
    assert diagnose(detections, truth).fp_type.tolist() == ["Sim"]
    none = SimilarClasses.from_sets(["dog"])
    assert diagnose(detections, truth, similar=none).fp_type.tolist() == ["Oth"]
    unknown, truth = scene(("spam", "eggs"), [("1", "spam", A)], [("1", "eggs", 1, A)])
    assert diagnose(unknown, truth).fp_type.tolist() == ["Oth"]


def test_other_thresholds(scene):
    detections, truth = scene(CLASSES, [("1", "dog", A)], [("1", "dog", 2, A_60), ("1", "dog", 1, A_30)])
    strict = diagnose(detections, truth, match_iou=0.7, background_iou=0.4)
    assert strict.fp_type.tolist() == ["Loc", "BG"]
    lenient = diagnose(detections, truth, match_iou=0.3, background_iou=0.3)
    assert lenient.outcome.tolist() == ["tp", "fp"]
    assert lenient.duplicate.tolist() == [False, True]


@pytest.mark.parametrize("background_iou", [0, -0.1, 0.6])
def test_thresholds_that_cannot_be(scene, background_iou):
    with pytest.raises(RCNNError, match=f"background_iou is {background_iou}; .*at most match_iou"):
        diagnose(*scene(CLASSES, [], [("1", "dog", 1, A)]), background_iou=background_iou)


def test_detections_of_another_data_set_are_refused(scene):
    detections, _ = scene(("unicorn",), [], [("1", "unicorn", 1, A)])
    _, truth = scene(CLASSES, [("1", "dog", A)], [])
    with pytest.raises(DatasetError, match="unicorn"):
        diagnose(detections, truth)


# Against a slow reference ----------------------------------------------------------------------------------


def exact_iou(a, b):
    """IoU as a fraction, without any rounding."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = ([Fraction(float(v)) for v in box] for box in (a, b))
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    if width <= 0 or height <= 0:
        return Fraction(0)
    shared = width * height
    return Fraction(shared, (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)


def best_of(overlaps, candidates):
    """The candidate with the largest positive overlap, the first of equals; None if there is none."""
    positive = [row for row in candidates if overlaps[row] > 0]
    return max(positive, key=lambda row: overlaps[row], default=None)


def explain_slowly(detections, truth, similar):
    """(outcome, type, duplicate, nearest, IoU) of each detection, and who found each object, in plain Python."""
    explained, found_by = {}, [-1] * len(truth)
    ranking = sorted(range(len(detections)), key=lambda row: (-detections.scores[row], row))
    for row in ranking:
        name = detections.classes[detections.class_index[row]]
        image = detections.image_ids[detections.image_index[row]]
        here = [j for j in range(len(truth)) if truth.image_ids[truth.image_index[j]] == image]
        overlaps = {j: exact_iou(detections.boxes[row], truth.boxes[j]) for j in here}
        name_of = {j: truth.classes[truth.class_index[j]] for j in here}
        own = best_of(overlaps, [j for j in here if name_of[j] == name])
        if own is not None and overlaps[own] >= Fraction(1, 2):
            if truth.difficult[own]:
                explained[row] = ("ignored", "", False, own, overlaps[own])
            elif found_by[own] >= 0:
                explained[row] = ("fp", "Loc", True, own, overlaps[own])
            else:
                found_by[own] = row
                explained[row] = ("tp", "", False, own, overlaps[own])
            continue
        like = best_of(overlaps, [j for j in here if name_of[j] in similar.of(name)])
        unlike = best_of(overlaps, [j for j in here if name_of[j] not in (name, *similar.of(name))])
        for kind, nearest in (("Loc", own), ("Sim", like), ("Oth", unlike)):
            if nearest is not None and overlaps[nearest] >= Fraction(1, 10):
                explained[row] = ("fp", kind, False, nearest, overlaps[nearest])
                break
        else:
            best = max((overlaps[j] for j in here), default=0)
            explained[row] = ("fp", "BG", False, "any" if best > 0 else None, best)
    return [explained[row] for row in range(len(detections))], found_by


few_examples = settings(max_examples=30)
NAMES = ("bus", "cat", "dog", "person")
LIKE = SimilarClasses.from_sets(NAMES, [("cat", "dog"), ("person", "dog")])


@st.composite
def scenes(draw):
    """A few images with boxes on a coarse grid: overlaps, ties and exact thresholds abound."""
    corner, side = st.integers(0, 8), st.integers(0, 10)
    box = st.tuples(corner, corner, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
    image = st.sampled_from(["1", "2"])
    name = st.sampled_from(NAMES)
    objects = draw(st.lists(st.tuples(image, name, box, st.booleans()), max_size=8))
    score = st.integers(0, 6).map(float)
    rows = draw(st.lists(st.tuples(image, name, score, box), max_size=25))
    # Some detections lie exactly on objects, which is otherwise rare.
    on_objects = draw(st.lists(st.tuples(st.sampled_from(objects), score), max_size=6)) if objects else []
    rows += [(image, name, score, box) for (image, name, box, _), score in on_objects]
    return build_scene(NAMES, objects, rows, images=["1", "2", "3"])


def assert_explained_alike(diagnosis):
    """`explain_slowly` says the same."""
    detections, truth = diagnosis.detections, diagnosis.truth
    expected, found_by = explain_slowly(detections, truth, diagnosis.similar)
    assert diagnosis.found_by.tolist() == found_by
    for row, (outcome, fp_type, duplicate, nearest, iou) in enumerate(expected):
        assert (diagnosis.outcome[row], diagnosis.fp_type[row]) == (outcome, fp_type)
        assert diagnosis.duplicate[row] == duplicate
        assert diagnosis.nearest_iou[row] == pytest.approx(float(iou), abs=1e-7)
        if nearest == "any":
            assert exact_iou(detections.boxes[row], truth.boxes[diagnosis.nearest[row]]) == iou
        else:
            assert diagnosis.nearest[row] == (-1 if nearest is None else nearest)


@given(scenes())
def test_agrees_with_a_slow_reference(detections_and_truth):
    assert_explained_alike(diagnose(*detections_and_truth, similar=LIKE))


@few_examples
@given(scenes(), st.sampled_from(["11point", "area"]))
def test_average_precision_is_the_evaluation_s(detections_and_truth, metric):
    detections, truth = detections_and_truth
    expected = evaluate(detections, truth, metric=metric)
    diagnosis = diagnose(detections, truth, similar=LIKE, metric=metric)
    assert list(diagnosis.ap) == list(expected.ap)
    np.testing.assert_array_equal(list(diagnosis.ap.values()), list(expected.ap.values()))
    np.testing.assert_array_equal(diagnosis.mean_ap, expected.mean_ap)
    np.testing.assert_array_equal(impact(diagnosis)["AP"], [*expected.ap.values(), expected.mean_ap])


@few_examples
@given(scenes())
def test_counts_add_up(detections_and_truth):
    detections, truth = detections_and_truth
    diagnosis = diagnose(detections, truth, similar=LIKE)
    table = counts(diagnosis)
    for index, name in enumerate(NAMES):
        row = table.loc[name]
        assert row.drop("missed").sum() == (detections.class_index == index).sum()
        assert row["tp"] + row["missed"] == truth.n_positives(name)
        assert row["missed"] == len(diagnosis.missed(name))
        for kind in ("tp", "ignored", *FP_TYPES):
            assert row[kind] == len(diagnosis.rows(name, kind))
    assert len(diagnosis.rows()) == table[list(FP_TYPES)].to_numpy().sum()


# Impact ----------------------------------------------------------------------------------------------------


def test_counts_and_impact_by_hand(scene):
    objects = [("1", "dog", A), ("1", "dog", B), ("1", "cat", C)]
    rows = [
        ("1", "dog", 0.9, NOWHERE),
        ("1", "dog", 0.8, A_30),
        ("1", "dog", 0.7, A),
        ("1", "dog", 0.6, C),
        ("1", "dog", 0.5, B),
    ]
    diagnosis = diagnose(*scene(CLASSES, objects, rows), similar=SIMILAR, metric="area")
    assert diagnosis.fp_type.tolist() == ["BG", "Loc", "", "Sim", ""]
    table = counts(diagnosis)
    assert table.loc["dog"].to_dict() == {
        "tp": 2, "Loc": 1, "Sim": 1, "Oth": 0, "BG": 1, "ignored": 0, "missed": 0
    }  # fmt: skip
    assert table.loc["cat"].to_dict() == {
        "tp": 0, "Loc": 0, "Sim": 0, "Oth": 0, "BG": 0, "ignored": 0, "missed": 1
    }  # fmt: skip
    # Down the ranking 0 0 1 0 1 (1 is right): the best precision at either recall is 2/5.
    table = impact(diagnosis)
    row = table.loc["dog"]
    assert row["AP"] == pytest.approx(2 / 5)
    assert row["Loc removed"] == pytest.approx(2 / 4)  # 0 1 0 1
    assert row["Loc fixed"] == pytest.approx(
        2 / 4
    )  # 0 1 0 1: the one at 0.8 finds A, so that at 0.7 is dropped
    assert row["Sim removed"] == pytest.approx(2 / 4)  # 0 0 1 1
    assert row["Oth removed"] == pytest.approx(2 / 5)
    assert row["BG removed"] == pytest.approx(2 / 4)  # 0 1 0 1
    # The cat has AP 0, the bus no objects: the mean is over two classes.
    assert np.isnan(table.loc["bus"]).all()
    assert table.loc["mean", "AP"] == pytest.approx(1 / 5)


def test_mending_finds_what_was_never_found(scene):
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A)], [("1", "dog", 1, A_30)]), similar=SIMILAR)
    row = impact(diagnosis).loc["dog"]
    assert (row["AP"], row["Loc removed"], row["Loc fixed"]) == (0, 0, 1)


def test_mending_drops_detections_of_difficult_objects(scene):
    objects = [("1", "dog", A, True), ("1", "dog", B)]
    rows = [("1", "dog", 3, A_30), ("1", "dog", 2, A_10), ("1", "dog", 1, B)]
    row = impact(diagnose(*scene(CLASSES, objects, rows), similar=SIMILAR, metric="area")).loc["dog"]
    assert row["AP"] == pytest.approx(1 / 3)
    assert row["Loc fixed"] == 1


def without_duplicates(detections, truth, **options):
    """Drop what the evaluation calls duplicates."""
    return detections.select(evaluate(detections, truth, **options).outcomes != "duplicate")


@few_examples
@given(scenes(), st.sampled_from(["11point", "area"]))
def test_impact_is_what_an_evaluation_from_scratch_says(detections_and_truth, metric):
    detections, truth = detections_and_truth
    diagnosis = diagnose(detections, truth, similar=LIKE, metric=metric)
    table = impact(diagnosis)
    for kind in FP_TYPES:
        removed = evaluate(detections.select(diagnosis.fp_type != kind), truth, metric=metric)
        np.testing.assert_allclose(
            table[f"{kind} removed"], [*removed.ap.values(), removed.mean_ap], rtol=0, atol=1e-12
        )
    # Move each Loc onto its object and look again: some are now right, the others duplicates or ignored.
    boxes = detections.boxes.copy()
    moved = diagnosis.fp_type == "Loc"
    boxes[moved] = truth.boxes[diagnosis.nearest[moved]]
    mended = Detections(
        detections.image_ids,
        detections.classes,
        detections.image_index,
        detections.class_index,
        detections.scores,
        boxes,
    )
    fixed = evaluate(without_duplicates(mended, truth), truth, metric=metric)
    np.testing.assert_allclose(table["Loc fixed"], [*fixed.ap.values(), fixed.mean_ap], rtol=0, atol=1e-12)
    # A third way: a match from an IoU of 0.1 on.
    kept = without_duplicates(detections, truth, match_iou=0.1)
    lenient = evaluate(kept, truth, metric=metric, match_iou=0.1)
    np.testing.assert_allclose(
        table["Loc fixed"], [*lenient.ap.values(), lenient.mean_ap], rtol=0, atol=1e-12
    )


@few_examples
@given(scenes())
def test_losing_mistakes_never_hurts(detections_and_truth):
    detections, truth = detections_and_truth
    table = impact(diagnose(detections, truth, similar=LIKE)).dropna()
    for kind in FP_TYPES:
        assert (table[f"{kind} removed"] >= table["AP"] - 1e-12).all()
    assert (table["Loc fixed"] >= table["Loc removed"] - 1e-12).all()


# Trends ----------------------------------------------------------------------------------------------------


def test_trends_by_hand(scene):
    objects = [("1", "dog", A), ("1", "cat", B), ("1", "bus", C)]
    rows = [
        ("1", "dog", 9, A),  # right: not among the false positives
        ("1", "dog", 8, A_30),  # Loc
        ("1", "dog", 7, B),  # Sim
        ("1", "dog", 6, C),  # Oth
        ("1", "dog", 5, NOWHERE),  # BG
        ("1", "cat", 9, C),  # Oth
        ("1", "cat", 8, NOWHERE),  # BG
    ]
    diagnosis = diagnose(*scene(CLASSES, objects, rows), similar=SIMILAR)
    frame = trends(diagnosis, counts=(1, 2, 4, 100))
    assert frame.index.tolist() == [1, 2, 4, 100]
    assert frame.columns.tolist() == list(FP_TYPES)
    # The dog's shares and the cat's, averaged; from 2 on the cat has no more, the bus never has any.
    dog = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]])
    cat = np.array([[0, 0, 1, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]])
    assert frame.to_numpy() == pytest.approx((dog + cat) / 2)
    assert trends(diagnosis, ["dog"], (1, 2, 4, 100)).to_numpy() == pytest.approx(dog)
    assert trends(diagnosis, ["bus"]).isna().all(axis=None)
    assert trends(diagnosis).index.tolist() == [25, 50, 100, 200, 400, 800, 1600, 3200]


def test_detection_trend_by_hand(scene):
    objects = [("1", "dog", A), ("1", "dog", B), ("1", "dog", C, True), ("2", "cat", A), ("2", "dog", C)]
    objects += [("2", "dog", B)]  # four dogs that are not difficult
    rows = [
        ("1", "dog", 9, A),  # right
        ("1", "dog", 8, C),  # ignored: not counted at all
        ("1", "dog", 7, A_30),  # Loc, its dog is known already
        ("1", "dog", 6, [100, 0, 110, 3]),  # Loc at B: weakly found
        ("2", "dog", 5, A),  # Sim
        ("1", "dog", 4, B),  # right
        ("1", "dog", 3, [200, 0, 210, 3]),  # Loc at a difficult dog
    ]
    diagnosis = diagnose(*scene(CLASSES, objects, rows), similar=SIMILAR)
    frame = detection_trend(diagnosis, "dog", (1 / 8, 1 / 4, 1 / 2, 1, 2))
    assert frame["detections"].tolist() == [1, 1, 2, 4, 6]
    assert frame["correct"].tolist() == pytest.approx([1, 1, 1 / 2, 1 / 4, 2 / 6])
    assert frame["Loc"].tolist() == pytest.approx([0, 0, 1 / 2, 2 / 4, 3 / 6])
    assert frame["Sim"].tolist() == pytest.approx([0, 0, 0, 1 / 4, 1 / 6])
    assert frame[["Oth", "BG"]].to_numpy().sum() == 0
    assert frame["strong recall"].tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 4, 2 / 4])
    assert frame["weak recall"].tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 4, 2 / 4, 2 / 4])
    assert frame.index.tolist() == [1 / 8, 1 / 4, 1 / 2, 1, 2]


@few_examples
@given(scenes())
def test_detection_trend_sums_to_one_and_finds_what_the_evaluation_finds(detections_and_truth):
    detections, truth = detections_and_truth
    diagnosis = diagnose(detections, truth, similar=LIKE)
    for name in NAMES:
        n_positives = truth.n_positives(name)
        frame = detection_trend(diagnosis, name, (0.5, 2))
        shares = frame[["correct", *FP_TYPES]].sum(axis=1)
        assert shares.to_numpy() == pytest.approx((frame["detections"] > 0).astype(float).to_numpy())
        for _, row in frame.iterrows():
            first = detections.select(diagnosis.ranked(name)[: int(row["detections"])])
            for column, match_iou in (("strong recall", 0.5), ("weak recall", 0.1)):
                n_found = (evaluate(first, truth, match_iou=match_iou).outcomes == "tp").sum()
                if n_positives:
                    assert row[column] == pytest.approx(n_found / n_positives)
                else:
                    assert np.isnan(row[column])


# Looking things up -----------------------------------------------------------------------------------------


def test_rows_are_ranked_and_limited(scene):
    rows = [
        ("1", "dog", 1, NOWHERE),
        ("1", "cat", 3, NOWHERE),
        ("1", "dog", 2, A_30),
        ("1", "dog", 4, A),
        ("1", "dog", 2, NOWHERE),
    ]
    diagnosis = diagnose(*scene(CLASSES, [("1", "dog", A)], rows), similar=SIMILAR)
    assert diagnosis.rows().tolist() == [1, 2, 4, 0]
    assert diagnosis.rows(limit=2).tolist() == [1, 2]
    assert diagnosis.rows("dog").tolist() == [2, 4, 0]
    assert diagnosis.rows("dog", "BG").tolist() == [4, 0]
    assert diagnosis.rows(fp_type="BG", limit=2).tolist() == [1, 4]
    assert diagnosis.rows("dog", "tp").tolist() == [3]
    assert diagnosis.ranked("dog").tolist() == [3, 2, 4, 0]
    with pytest.raises(RCNNError, match="'whale'.*choose one of bus, cat, dog"):
        diagnosis.rows("whale")
    with pytest.raises(RCNNError, match="'Dupe'.*choose one of Loc, Sim, Oth, BG"):
        diagnosis.rows(fp_type="Dupe")


def test_missed_objects_that_are_large_for_their_class_come_first(scene):
    small, middle, large = [0, 0, 5, 5], [50, 0, 60, 10], [100, 0, 150, 50]
    objects = [("1", "dog", small), ("1", "dog", large), ("1", "dog", middle), ("1", "dog", C, True)]
    objects += [("2", "bus", [0, 0, 90, 90]), ("2", "bus", [0, 0, 100, 100]), ("2", "bus", [0, 0, 80, 80])]
    detections, truth = scene(CLASSES, objects, [("2", "bus", 1, [0, 0, 100, 100])])
    diagnosis = diagnose(detections, truth, similar=SIMILAR)
    assert diagnosis.missed("dog").tolist() == [1, 2, 0]
    assert diagnosis.missed("dog", 1).tolist() == [1]
    # The largest dog is larger than both others, the bus than one of two, as is the middle dog.
    assert diagnosis.missed().tolist() == [1, 2, 4, 0, 6]
    assert diagnosis.missed("cat").tolist() == []
    with pytest.raises(RCNNError, match="'whale'"):
        diagnosis.missed("whale")


@pytest.mark.parametrize(
    ("objects", "name", "box", "sentence"),
    [
        ([("1", "dog", A)], "dog", A_60, "Right: 0.60 IoU with a dog."),
        ([("1", "dog", A, True)], "dog", A_60, "Ignored: 0.60 IoU with a dog that is marked as difficult."),
        (
            [("1", "dog", A)],
            "dog",
            A_30,
            "Localisation: 0.30 IoU with a dog; the box is too small and covers only 30% of the object.",
        ),
        (
            [("1", "dog", A_30)],
            "dog",
            A,
            "Localisation: 0.30 IoU with a dog; the box is too large and the object fills only 30% of it.",
        ),
        (
            [("1", "dog", A)],
            "dog",
            [5, 0, 15, 10],
            "Localisation: 0.33 IoU with a dog; the box is shifted: it covers 50% of the object, "
            "which fills 50% of it.",
        ),
        (
            [("1", "dog", A_30), ("1", "dog", [0, 6, 10, 10])],
            "dog",
            A,
            "Localisation: 0.40 IoU with a dog; the box takes in 2 objects of the class.",
        ),
        ([("1", "cat", A)], "dog", A_60, "Similar class: 0.60 IoU with a cat, which is similar to a dog."),
        ([("1", "bus", A)], "dog", A_60, "Other class: 0.60 IoU with a bus, which is not similar to a dog."),
        ([("1", "bus", A)], "dog", A_9, "Background: the best overlap is 0.09 IoU with a bus."),
        ([("1", "bus", A)], "dog", NOWHERE, "Background: the box overlaps no annotated object."),
        # 0.4995 is not a match and must not read as 0.50.
        (
            [("1", "dog", [0, 0, 100, 100])],
            "dog",
            [0, 0, 100, 49.95],
            "Localisation: 0.49 IoU with a dog; the box is too small and covers only 50% of the object.",
        ),
    ],
)
def test_reasons(scene, objects, name, box, sentence):
    diagnosis = diagnose(*scene(CLASSES, objects, [("1", name, 1, box)]), similar=SIMILAR)
    assert diagnosis.reason(0) == sentence


def test_the_reason_of_a_duplicate_and_of_a_vowel(scene):
    rows = [("1", "aeroplane", 2, A), ("1", "aeroplane", 1, A)]
    diagnosis = diagnose(*scene(["aeroplane"], [("1", "aeroplane", A)], rows))
    assert (
        diagnosis.reason(1)
        == "Duplicate: 1.00 IoU with an aeroplane that a detection ranked above it has found."
    )
    assert repr(diagnosis) == "Diagnosis(2 detections of 1 classes: 1 right, 1 false, 0 ignored)"


# Nothing to diagnose ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "images", "objects"),
    [
        ((), [], []),
        (("dog",), [], []),
        (("dog",), ["1"], []),
        (("dog", "cat"), ["1"], [("1", "dog", A)]),
    ],
)
def test_without_detections(scene, classes, images, objects):
    diagnosis = diagnose(*scene(classes, objects, [], images=images))
    assert counts(diagnosis).drop(columns="missed").to_numpy().sum() == 0
    assert counts(diagnosis)["missed"].sum() == len(objects) == len(diagnosis.missed())
    assert impact(diagnosis).index.tolist() == [*classes, "mean"]
    assert trends(diagnosis).isna().all(axis=None)
    for name in classes:
        frame = detection_trend(diagnosis, name)
        assert (frame["detections"] == 0).all()
        assert frame["correct"].isna().all()
    assert len(diagnosis.rows()) == 0


def test_without_objects(scene):
    diagnosis = diagnose(*scene(CLASSES, [], [("1", "dog", 1, A)]))
    assert diagnosis.fp_type.tolist() == ["BG"]
    assert impact(diagnosis).isna().all(axis=None)
    assert detection_trend(diagnosis, "dog")["BG"].tolist() == [1] * 7


def test_importing_stays_light():
    code = "import sys, rcnn_helpers.diagnosis; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "sklearn", "matplotlib", "cv2", "pandas"} & set(done.stdout.split()) == set()


# Real detections -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_detections(real_data):
    """Published detections of 18 classes in the 4,952 images of VOC 2007 test, and their data set."""
    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test", classes=VOC_CLASSES)
    return read_voc_results(folder / "detections_yolov1", image_ids=dataset.ids), dataset


@pytest.mark.real_data
def test_real_detections_are_explained_and_the_counts_add_up(real_detections):
    detections, dataset = real_detections
    truth = collect_ground_truth(dataset)
    diagnosis = diagnose(detections, truth)
    expected = evaluate(detections, truth)
    assert diagnosis.ap == expected.ap
    table = counts(diagnosis)
    assert table.drop(columns="missed").to_numpy().sum() == len(detections) == 185280
    for index, name in enumerate(detections.classes):
        assert table.loc[name, ["tp", "missed"]].sum() == truth.n_positives(name)
        assert table.loc[name].drop("missed").sum() == (detections.class_index == index).sum()
    changed = impact(diagnosis)
    for kind in FP_TYPES:
        removed = evaluate(detections.select(diagnosis.fp_type != kind), truth)
        np.testing.assert_allclose(changed[f"{kind} removed"].drop("mean"), list(removed.ap.values()))
    kept = without_duplicates(detections, truth, match_iou=0.1)
    fixed = evaluate(kept, truth, match_iou=0.1)
    np.testing.assert_allclose(changed["Loc fixed"].drop("mean"), list(fixed.ap.values()))
    assert trends(diagnosis).sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.real_data
def test_real_detections_agree_with_the_slow_reference(real_detections):
    detections, dataset = real_detections
    some = VOCDataset(dataset.root, "test", classes=VOC_CLASSES, ids=dataset.ids[:60])
    diagnosis = diagnose(detections.select(detections.image_index < len(some)), some)
    assert set(diagnosis.fp_type) == {"", *FP_TYPES}
    assert_explained_alike(diagnosis)
