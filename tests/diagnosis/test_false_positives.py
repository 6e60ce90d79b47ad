"""False positives by type: scenes computed by hand, a slow plain-Python reference, and real detections."""

import pytest

from rcnn_helpers.diagnosis import FP_TYPES, SimilarClasses, counts, diagnose, impact
from rcnn_helpers.evaluation import evaluate

CLASSES = ("bus", "cat", "dog")
SIMILAR = SimilarClasses.from_sets(CLASSES, [("cat", "dog")])
A, B = [0, 0, 10, 10], [100, 0, 110, 10]
# Of the 10 x 10 box A these cover 60, 30, 10 and 9 of 100 pixels: their IoU with it.
A_60, A_30, A_10, A_9 = [0, 0, 10, 6], [0, 0, 10, 3], [0, 0, 10, 1], [0, 0, 10, 0.9]
NOWHERE = [300, 300, 310, 310]


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


def test_counts_and_impact_by_hand(scene):
    objects = [("1", "dog", A), ("1", "dog", B), ("1", "cat", [200, 0, 210, 10])]
    rows = [
        ("1", "dog", 0.9, NOWHERE),
        ("1", "dog", 0.8, A_30),
        ("1", "dog", 0.7, A),
        ("1", "dog", 0.6, [200, 0, 210, 10]),
        ("1", "dog", 0.5, B),
    ]
    diagnosis = diagnose(*scene(CLASSES, objects, rows), similar=SIMILAR, metric="area")
    assert diagnosis.fp_type.tolist() == ["BG", "Loc", "", "Sim", ""]
    assert counts(diagnosis).loc["dog"].to_dict() == {
        "tp": 2, "Loc": 1, "Sim": 1, "Oth": 0, "BG": 1, "ignored": 0, "missed": 0
    }  # fmt: skip
    # Flags down the ranking: 0 0 1 0 1. Best precision at the two recalls: 2/5 and 2/5.
    row = impact(diagnosis).loc["dog"]
    assert row["AP"] == pytest.approx(2 / 5)
    assert row["Loc removed"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # 0 1 0 1
    assert row["Loc fixed"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # 0 1 . 0 1: the one at 0.7 is too late
    assert row["Sim removed"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # 0 0 1 1
    assert row["Oth removed"] == pytest.approx(2 / 5)
    assert row["BG removed"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # 0 1 0 1


@pytest.mark.real_data
def test_real_detections_are_explained_and_the_counts_add_up(real_data):
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.voc_results import read_voc_results

    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test")
    detections = read_voc_results(folder / "detections_yolov1", image_ids=dataset.ids)
    diagnosis = diagnose(detections, dataset)
    assert diagnosis.ap == evaluate(detections, diagnosis.truth).ap
    table = counts(diagnosis)
    assert table.drop(columns="missed").to_numpy().sum() == len(detections)
    for name, row in table.iterrows():
        assert row["tp"] + row["missed"] == diagnosis.truth.n_positives(name)
        assert row.drop("missed").sum() == (detections.class_index == detections.classes.index(name)).sum()
    changed = impact(diagnosis)
    for kind in FP_TYPES:
        assert (changed[f"{kind} removed"] >= changed["AP"]).all()
    assert (changed["Loc fixed"] >= changed["Loc removed"]).all()
