"""Sensitivity and missed objects: a plain-Python reference, cases by hand, properties, and real detections."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.diagnosis import (
    CHARACTERISTICS,
    characteristics_left_out,
    diagnose,
    missed_objects,
    normalized_ap,
    normalized_aps,
    sensitivity,
    sensitivity_summary,
    subset_ap,
)
from rcnn_helpers.diagnosis.sensitivity import five_bins
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.voc_results import read_voc_results

CLASSES = ("cat", "dog")
WITH_EXTRAS = ("aeroplane", "bicycle", "bird", "boat", "cat", "diningtable")


@pytest.fixture
def world(scene):
    """A diagnosis of random detections of random objects, and the objects' attributes."""
    return random_world(scene)


def random_world(scene, seed=0, n_images=40):
    rng = np.random.default_rng(seed)
    objects, rows = [], []
    for image in range(n_images):
        for place in range(3):
            corner = np.array([200 * place, 0])
            box = np.concatenate([corner, corner + rng.integers(10, 100, 2)])
            name = CLASSES[rng.integers(2)]
            objects.append((str(image), name, box, bool(rng.random() < 0.1)))
            for _ in range(rng.integers(3)):
                found = box if rng.random() < 0.6 else box + 500
                rows.append((str(image), name, rng.integers(20) / 20, found))
    detections, truth = scene(CLASSES, objects, rows, images=[str(image) for image in range(n_images)])
    n = len(truth)
    width, height = (truth.boxes[:, 2:] - truth.boxes[:, :2]).T
    is_dog = truth.class_index == 1
    attributes = pd.DataFrame(
        {
            "image": np.array(truth.image_ids, dtype=object)[truth.image_index],
            "class": np.array(CLASSES, dtype=object)[truth.class_index],
            "difficult": truth.difficult,
            "area": (width * height).astype(float),
            "height": height.astype(float),
            "width": width.astype(float),
            "aspect": width.astype(float) / height,
            "truncated": rng.random(n) < 0.3,
            "occluded": rng.random(n) < 0.3,
            "occlusion": rng.choice(np.array(["N", "L", "M", "H"], dtype=object), n),
            "pose": rng.choice(np.array(["Frontal", "Rear", "Unspecified"], dtype=object), n),
            "side:top": np.where(rng.random(n) < 0.5, True, False).astype(object),
            "part:tail": np.where(is_dog, rng.random(n) < 0.5, None).astype(object),
        }
    )
    return diagnose(detections, truth), attributes


def reference(diagnosis, name, members):
    """Normalised AP on a subset by relabelling the whole ranking, detection by detection."""
    outcomes = []
    n_positives = sum(
        bool(members[row]) and not diagnosis.truth.difficult[row] and diagnosis.truth.classes[number] == name
        for row, number in enumerate(diagnosis.truth.class_index)
    )
    of_class = np.flatnonzero(diagnosis.detections.class_index == diagnosis.classes.index(name))
    for row in sorted(of_class, key=lambda row: -diagnosis.detections.scores[row]):
        outcome = diagnosis.outcome[row]
        is_elsewhere = outcome == "tp" and not members[diagnosis.nearest[row]]
        outcomes.append("ignored" if is_elsewhere else outcome)
    n_images = len(diagnosis.truth.image_ids)
    return normalized_ap(outcomes, n_positives=n_positives, normalisation=0.15 * n_images)


def rows_of(frame, name, characteristic):
    return frame[(frame["class"] == name) & (frame["characteristic"] == characteristic)].set_index("subset")


def test_five_bins_by_hand():
    # Ten values: one below the first cut, two, four, two, and one above the last.
    assert five_bins(range(10)).tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3, 4]
    # Equal values stay together, in the lower bin.
    assert five_bins([7, 7, 7, 7, 7, 7, 7, 7, 7, 9]).tolist() == 9 * [0] + [4]
    # Cuts at the places 1 (0.5, rounded up), 2 (1.5), 4 (3.5) and 5 (4.5).
    assert five_bins([50, 10, 40, 20, 30]).tolist() == [3, 0, 2, 1, 2]


@given(st.lists(st.integers(0, 30), max_size=40))
def test_five_bins_equal_the_definition(values):
    bins = five_bins(values)
    ordered = sorted(values)
    for value, found in zip(values, bins, strict=True):
        places = [max(1, math.floor(tenths * len(values) / 10 + 0.5)) for tenths in (1, 3, 7, 9)]
        assert found == sum(value > ordered[place - 1] for place in places)
    by_value = sorted(zip(values, bins, strict=True))
    assert [number for _, number in by_value] == sorted(bins)


@pytest.mark.parametrize("seed", range(3))
def test_every_subset_equals_the_reference(scene, seed):
    diagnosis, attributes = random_world(scene, seed)
    frame = sensitivity(diagnosis, attributes)
    masks = {
        ("occlusion", "M"): attributes["occlusion"] == "M",
        ("truncation", "yes"): attributes["truncated"],
        ("truncation", "no"): ~attributes["truncated"],
        ("viewpoint", "top: visible"): attributes["side:top"] == True,  # noqa: E712
        ("viewpoint", "top: hidden"): attributes["side:top"] == False,  # noqa: E712
        ("pose", "Rear"): attributes["pose"] == "Rear",
    }
    for name in CLASSES:
        counted = attributes[(attributes["class"] == name) & ~attributes["difficult"]]
        smallest = np.sort(counted["area"])[math.floor(len(counted) / 10 + 0.5) - 1]
        widest = np.sort(counted["aspect"])[math.floor(9 * len(counted) / 10 + 0.5) - 1]
        masks["box area", "XS"] = attributes["area"] <= smallest
        masks["aspect ratio", "XW"] = attributes["aspect"] > widest
        for (characteristic, subset), members in masks.items():
            row = rows_of(frame, name, characteristic).loc[subset]
            expected = reference(diagnosis, name, members.to_numpy(dtype=bool))
            assert row["n"] == expected.n_positives > 0
            assert row["found"] == len(expected.precision)
            assert row["ap_n"] == pytest.approx(expected.ap)
            assert row["standard_error"] == pytest.approx(expected.standard_error, nan_ok=True)


def test_all_objects_give_the_value_of_the_class(world):
    diagnosis, attributes = world
    classes = normalized_aps(diagnosis)
    frame = sensitivity(diagnosis, attributes)
    for name in CLASSES:
        result = subset_ap(diagnosis, name, np.ones(len(attributes), dtype=bool))
        assert result.ap == classes.loc[name, "ap_n"]
        assert result.standard_error == classes.loc[name, "standard_error"]
        assert set(frame[frame["class"] == name]["class_ap_n"]) == {result.ap}


def test_subsets_share_out_the_objects(world):
    diagnosis, attributes = world
    frame = sensitivity(diagnosis, attributes)
    totals = frame.groupby(["class", "characteristic"])[["n", "found"]].sum()
    for name in CLASSES:
        n_positives = diagnosis.truth.n_positives(name)
        n_found = (
            diagnosis.outcome[diagnosis.detections.class_index == diagnosis.classes.index(name)] == "tp"
        ).sum()
        for characteristic in set(CHARACTERISTICS) - {"pose", "part visibility"}:
            assert totals.loc[(name, characteristic)].tolist() == [n_positives, n_found]
        # A pose that is not specified belongs to no subset.
        assert totals.loc[(name, "pose"), "n"] < n_positives
    assert totals.loc[("dog", "part visibility"), "n"] == diagnosis.truth.n_positives("dog")
    assert ("cat", "part visibility") not in totals.index


def test_no_order_of_the_detections_matters_while_scores_differ(scene):
    objects = [(str(image), "dog", [0, 0, 10 + image, 10]) for image in range(10)]
    rows = [(str(image), "dog", image / 10, [0, 0, 10 + image, 10]) for image in range(0, 10, 2)]
    rows += [(str(image), "dog", image / 10, [50, 50, 60, 60]) for image in range(1, 10, 2)]
    images = [str(image) for image in range(10)]
    results = [
        subset_ap(diagnose(*scene(CLASSES, objects, order, images=images)), "dog", np.arange(10) > 3).ap
        for order in (rows, rows[::-1])
    ]
    # Of the last six objects three are found, at the scores 0.8, 0.6, 0.4, each below one more false positive.
    n = 0.15 * 10
    found = [n * i / 6 for i in (1, 2, 3)]
    by_hand = [value / (value + i) for i, value in enumerate(found, start=1)]
    assert results == pytest.approx([sum(max(by_hand[i:]) for i in range(3)) / 6] * 2)


def test_what_splits_nothing_has_no_rows_and_is_named(world):
    diagnosis, attributes = world
    attributes = attributes.assign(truncated=False, occluded=False, pose="Unspecified", occlusion=None)
    attributes = attributes.astype({"occlusion": object}).drop(columns=["side:top"])
    frame = sensitivity(diagnosis, attributes)
    assert set(frame["characteristic"]) == {"box area", "box height", "aspect ratio", "part visibility"}
    left_out = frame.attrs["left_out"]
    assert left_out == characteristics_left_out(attributes)
    assert list(left_out) == ["occlusion", "truncation", "viewpoint", "pose"]
    assert "never filled in" in left_out["truncation"] and "False" in left_out["truncation"]
    assert "Unspecified" in left_out["pose"]
    assert left_out["viewpoint"] == "this data set does not tell visible sides"
    assert characteristics_left_out(attributes[:0])["box area"] == "there are no objects"
    assert "same value" in characteristics_left_out(attributes.assign(pose="Rear"))["pose"]


def test_the_flag_stands_in_where_levels_are_unknown(world):
    diagnosis, attributes = world
    without = attributes.assign(occlusion=None).astype({"occlusion": object})
    rows = rows_of(sensitivity(diagnosis, without), "dog", "occlusion")
    assert rows.index.tolist() == ["no", "yes"]
    expected = reference(diagnosis, "dog", attributes["occluded"].to_numpy())
    assert rows.loc["yes", "ap_n"] == pytest.approx(expected.ap)


def test_attributes_of_other_objects_are_refused(world):
    diagnosis, attributes = world
    for wrong in (attributes[1:], attributes[::-1]):
        with pytest.raises(DatasetError, match="call object_attributes on the data set of the diagnosis"):
            sensitivity(diagnosis, wrong)


def test_summary_by_hand():
    columns = ("class", "characteristic", "subset", "n", "found", "ap_n", "standard_error", "class_ap_n")
    frame = pd.DataFrame(
        [
            ("cat", "pose", "Rear", 9, 4, 0.4, 0, 0.5),
            ("cat", "pose", "Left", 9, 6, 0.6, 0, 0.5),
            ("cat", "pose", "Right", 4, 4, 1.0, 0, 0.5),  # too few
            ("dog", "pose", "Rear", 5, 0, 0.0, 0, 0.2),
            ("dog", "pose", "Left", 5, 2, 0.4, 0, 0.2),
            ("cow", "pose", "Rear", 9, 9, 0.9, 0, 0.9),  # nothing to compare with
            ("cow", "pose", "Left", 0, 0, np.nan, np.nan, 0.9),
            ("cat", "occlusion", "N", 9, 3, 0.3, 0, 0.5),
            ("cat", "occlusion", "L", 9, 2, 0.2, 0, 0.5),
        ],
        columns=list(columns),
    )
    summary = sensitivity_summary(frame)
    assert summary.index.tolist() == ["occlusion", "pose"]
    assert summary.loc["pose"].tolist() == pytest.approx([0.2, 0.5, 0.35, 2])
    assert summary.loc["occlusion"].tolist() == pytest.approx([0.2, 0.3, 0.5, 1])
    assert len(sensitivity_summary(frame[:0])) == 0


def test_missed_objects_by_hand(scene):
    # Ten dogs in ten images: N is 1.5. Seven large ones are found at once, a large one after 40 false
    # positives, where the normalised precision is 1.2 / 41.2; one large and one small one never.
    boxes = [[0, 0, 100 + image, 100] for image in range(9)] + [[0, 0, 10, 10]]
    objects = [(str(image), "dog", box) for image, box in enumerate(boxes)]
    rows = [(str(image), "dog", 0.9, boxes[image]) for image in range(7)]
    rows += [("0", "dog", 0.5, [300, 300, 310, 310])] * 40 + [("7", "dog", 0.4, boxes[7])]
    detections, truth = scene(CLASSES, objects, rows)
    diagnosis = diagnose(detections, truth)
    width, height = (truth.boxes[:, 2:] - truth.boxes[:, :2]).astype(float).T
    attributes = pd.DataFrame(
        {
            "image": np.array(truth.image_ids, dtype=object),
            "class": np.full(10, "dog", dtype=object),
            "difficult": False,
            "area": width * height,
            "height": height,
            "width": width,
            "aspect": width / height,
            "truncated": False,
            "occluded": False,
            "occlusion": np.full(10, None, dtype=object),
            "pose": np.full(10, "Unspecified", dtype=object),
        }
    )
    missed = missed_objects(diagnosis, attributes)
    assert set(missed.index) == {7, 8, 9}
    assert missed["detection"].to_dict() == {7: 47, 8: -1, 9: -1}
    assert missed.loc[7, "precision"] == pytest.approx(1.2 / 41.2)
    assert missed.loc[[8, 9], "precision"].tolist() == [0, 0]
    # The small one is alone in its bin, so that nothing else was expected of it.
    assert missed.index[-1] == 9
    assert missed.loc[9, "expected"] == pytest.approx(0, abs=1e-9)
    assert missed["surprise"].is_monotonic_decreasing
    assert missed["image"].to_dict() == {7: "7", 8: "8", 9: "9"}


def test_nothing_is_missed_by_a_perfect_detector(scene):
    objects = [(str(image), name, [0, 0, 10 + image, 20]) for image in range(5) for name in CLASSES]
    rows = [(image, name, 0.5, box) for image, name, box in objects]
    diagnosis = diagnose(*scene(CLASSES, objects, rows))
    attributes = pd.DataFrame(
        {
            "image": np.array(diagnosis.truth.image_ids, dtype=object)[diagnosis.truth.image_index],
            "class": np.array(CLASSES, dtype=object)[diagnosis.truth.class_index],
            "difficult": False,
            "area": np.arange(10.0),
            "height": 20.0,
            "width": np.arange(10.0),
            "aspect": np.arange(10.0),
            "truncated": False,
            "occluded": False,
            "occlusion": np.full(10, None, dtype=object),
            "pose": "Unspecified",
        }
    )
    assert len(missed_objects(diagnosis, attributes)) == 0
    # What cannot be found is not missed.
    assert (sensitivity(diagnosis, attributes)["ap_n"].dropna() == 1).all()


@pytest.mark.real_data
def test_real_detections_and_hoiems_annotations(voc2007_test):
    from rcnn_helpers.diagnosis import object_attributes

    detections = read_voc_results(
        voc2007_test.root / "detections_yolov1", classes=WITH_EXTRAS, image_ids=voc2007_test.ids
    )
    diagnosis = diagnose(detections, voc2007_test)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attributes = object_attributes(voc2007_test, extras=voc2007_test.root / "hoiem_extra")
        frame = sensitivity(diagnosis, attributes)
        missed = missed_objects(diagnosis, attributes)
    totals = frame.groupby(["class", "characteristic"])["n"].sum()
    for name in WITH_EXTRAS:
        for characteristic in ("occlusion", "truncation", "box area", "box height", "aspect ratio"):
            assert totals.loc[name, characteristic] == diagnosis.truth.n_positives(name)
    summary = sensitivity_summary(frame)
    assert summary.loc[list(CHARACTERISTICS[:6]), "n_classes"].tolist() == [6] * 6
    assert (summary["lowest"] <= summary["average"]).all() and (
        summary["average"] <= summary["highest"]
    ).all()
    # What one would expect of any detector: small objects and heavily occluded birds are hard.
    for name in WITH_EXTRAS:
        sizes = rows_of(frame, name, "box area")["ap_n"]
        assert sizes["XS"] < sizes["S"] < sizes["M"]
    birds = rows_of(frame, "bird", "occlusion")["ap_n"]
    assert birds["N"] > birds["L"] > birds["M"]
    never_found = (diagnosis.found_by < 0) & ~diagnosis.truth.difficult
    searched = np.isin(attributes["class"], WITH_EXTRAS)
    assert set(np.flatnonzero(never_found & searched)) <= set(missed.index)
    assert (missed["precision"] < 0.05).all()
