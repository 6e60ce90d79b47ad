"""Diagnosis, sensitivity and TIDE beside the plain way of doing them, on half a million detections.

The peers are written here as a careful reader of the two papers would write them with NumPy, and as the published
tools work: `diagnose` visits each class's detections in turn and compares one with all objects of its image; the
sensitivity goes through the whole ranking of a class for each subset of its objects; TIDE takes image by image,
with a matrix of IoUs, and computes AP anew for each type. Both sides must find the same. Building the data is
left out of the time.

With RCNN_REAL_DATA naming the folder of the real data, the same on the YOLO detections of VOC 2007's test set.

Run: python tests/benchmarks/bench_diagnosis.py [--detections 500000]
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from _report import report, seconds
from bench_evaluation import synthetic

from rcnn_helpers.boxes import iou
from rcnn_helpers.datasets.voc import VOC_CLASSES, VOCDataset
from rcnn_helpers.diagnosis import diagnose, object_attributes, sensitivity, similar_classes, tide
from rcnn_helpers.diagnosis.sensitivity import _subsets
from rcnn_helpers.diagnosis.tide import TIDE_TYPES
from rcnn_helpers.evaluation import GroundTruth, average_precision, collect_ground_truth
from rcnn_helpers.voc_results import read_voc_results


def attributes_at_random(rng, truth):
    """A frame as `object_attributes` makes it: boxes as they are, the rest drawn."""
    n = len(truth)
    width, height = (truth.boxes[:, 2:] - truth.boxes[:, :2]).T.astype(np.float64)
    columns = {
        "image": np.array(truth.image_ids, dtype=object)[truth.image_index],
        "class": np.array(truth.classes, dtype=object)[truth.class_index],
        "difficult": truth.difficult,
        "area": width * height,
        "height": height,
        "width": width,
        "aspect": width / height,
        "truncated": rng.random(n) < 0.3,
        "occluded": rng.random(n) < 0.3,
        "occlusion": rng.choice(np.array(["N", "L", "M", "H"], dtype=object), n),
        "pose": rng.choice(np.array(["Frontal", "Left", "Rear", "Right"], dtype=object), n),
    }
    for number in range(10):
        kind = "side" if number < 5 else "part"
        columns[f"{kind}:{number}"] = rng.choice(np.array([True, False], dtype=object), n)
    return pd.DataFrame(columns)


def plain_diagnosis(detections, truth, similar):
    """Outcome (0 false, 1 true, 2 ignored) and Hoiem's type of every detection, one after the other."""
    outcome, types = np.zeros(len(detections), dtype=int), np.full(len(detections), "", dtype="<U3")
    objects = [np.flatnonzero(truth.image_index == image) for image in range(len(truth.image_ids))]
    boxes, taken = truth.boxes.astype(np.float64), np.zeros(len(truth), dtype=bool)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index, class_name in enumerate(detections.classes):
        name = truth.classes.index(class_name)
        rows = np.flatnonzero(detections.class_index == index)
        for row in rows[np.argsort(-detections.scores[rows], kind="stable")]:
            here = objects[detections.image_index[row]]
            x1, y1, x2, y2 = detections.boxes[row].astype(np.float64)
            width = np.minimum(x2, boxes[here, 2]) - np.maximum(x1, boxes[here, 0])
            height = np.minimum(y2, boxes[here, 3]) - np.maximum(y1, boxes[here, 1])
            shared = np.clip(width, 0, None) * np.clip(height, 0, None)
            overlap = shared / ((x2 - x1) * (y2 - y1) + areas[here] - shared)
            own = truth.class_index[here] == name
            best = np.where(own, overlap, -1).argmax() if own.any() else -1
            if best >= 0 and overlap[best] >= 0.5:
                if truth.difficult[here[best]]:
                    outcome[row] = 2
                    continue
                if not taken[here[best]]:
                    taken[here[best]] = True
                    outcome[row] = 1
                    continue
            close = truth.class_index[here][overlap >= 0.1]
            if (close == name).any():
                types[row] = "Loc"
            elif similar[name, close].any():
                types[row] = "Sim"
            else:
                types[row] = "Oth" if len(close) else "BG"
    return outcome, types


def plain_sensitivity(diagnosis, attributes):
    """Normalised AP of every class and subset, from the whole ranking each time."""
    truth, found = diagnosis.truth, []
    normalisation = 0.15 * len(truth.image_ids)
    for index, name in enumerate(diagnosis.detections.classes):
        rows = np.flatnonzero(diagnosis.detections.class_index == index)
        rows = rows[np.argsort(-diagnosis.detections.scores[rows], kind="stable")]
        wrong = np.cumsum(diagnosis.outcome[rows] == "fp")
        of_class = np.flatnonzero((truth.class_index == truth.classes.index(name)) & ~truth.difficult)
        for subsets in _subsets(attributes.iloc[of_class]).values():
            for _, chosen in subsets:
                right = (diagnosis.outcome[rows] == "tp") & np.isin(diagnosis.nearest[rows], of_class[chosen])
                recall = np.cumsum(right) / max(chosen.sum(), 1)
                expected = recall * normalisation
                precision = expected / np.maximum(expected + wrong, 1e-300)
                best = np.maximum.accumulate(precision[::-1])[::-1]
                found.append(best[right].sum() / chosen.sum() if chosen.any() else np.nan)
    return np.array(found)


def plain_tide(detections, truth):
    """Rise of mean AP for each of TIDE's types, image by image and type by type; and the types."""
    n, n_classes = len(detections), len(detections.classes)
    place = [detections.classes.index(name) if name in detections.classes else -1 for name in truth.classes]
    object_class = np.array(place)[truth.class_index]
    types, right, ignored = np.full(n, "", dtype="<U4"), np.zeros(n, bool), np.zeros(n, bool)
    points_at, taken = np.full(n, -1), np.zeros(len(truth), bool)
    by_image = np.argsort(detections.image_index, kind="stable")
    start = np.searchsorted(detections.image_index[by_image], np.arange(len(truth.image_ids) + 1))
    for image in range(len(truth.image_ids)):
        rows = by_image[start[image] : start[image + 1]]
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        objects = np.flatnonzero(truth.image_index == image)
        counted = ~truth.difficult[objects]
        overlaps = iou(detections.boxes[rows].astype(float), truth.boxes[objects].astype(float))
        same = detections.class_index[rows][:, None] == object_class[objects][None, :]
        for i, row in enumerate(rows):
            own_all = np.where(same[i], overlaps[i], 0)
            best = own_all.argmax() if len(objects) else -1
            duplicate = False
            if best >= 0 and own_all[best] >= 0.5:
                if not counted[best]:
                    ignored[row] = True
                    continue
                duplicate = taken[objects[best]]
                if not duplicate:
                    taken[objects[best]] = right[row] = True
                    continue
            own, other = np.where(counted, own_all, 0), np.where(counted & ~same[i], overlaps[i], 0)
            own_best, other_best = own.max(initial=0), other.max(initial=0)
            if 0.1 <= own_best < 0.5:
                types[row], points_at[row] = "Loc", objects[own.argmax()]
            elif other_best >= 0.5:
                types[row], points_at[row] = "Cls", objects[other.argmax()]
            elif duplicate:
                types[row] = "Dupe"
            else:
                types[row] = "Bkg" if max(own_best, other_best) <= 0.1 else "Both"
    claimed = {}
    for row in np.argsort(-detections.scores, kind="stable"):
        if points_at[row] >= 0 and not taken[points_at[row]]:
            claimed.setdefault(points_at[row], row)
    mended = np.zeros(n, bool)
    mended[list(claimed.values())] = True
    reachable = np.zeros(len(truth), bool)
    reachable[list(claimed)] = True
    positives = ~truth.difficult & (object_class >= 0)

    def mean_ap(error):
        gone = ignored | ((types == error) & ~mended)
        is_right = right | ((types == error) & mended)
        final = np.where((types == error) & mended, object_class[points_at], detections.class_index)
        wanted = positives & (taken | reachable) if error == "Miss" else positives
        values = []
        for name in range(n_classes):
            if not (positives & (object_class == name)).any():
                continue
            rows = np.flatnonzero((final == name) & ~gone)
            rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
            found, n_objects = np.cumsum(is_right[rows]), (wanted & (object_class == name)).sum()
            precision = found / np.arange(1, len(rows) + 1)
            values.append(average_precision(found / n_objects, precision) if n_objects else 0.0)
        return np.mean(values)

    base = mean_ap(None)
    return types, {error: mean_ap(error) - base for error in TIDE_TYPES}


def once(function):
    """Seconds of one call, and what it returned."""
    kept = []
    return seconds(lambda: kept.append(function()), repeats=1, warm_up=0), kept[0]


def compare(what, detections, truth, attributes):
    """Rows of the report: each part beside its peer, after a check that they agree."""
    similar = similar_classes(truth.classes).matrix
    diagnosis = diagnose(detections, truth)
    own = [
        seconds(lambda: diagnose(detections, truth)),
        seconds(lambda: sensitivity(diagnosis, attributes)),
        seconds(lambda: tide(detections, truth)),
    ]
    slow_diagnosis, (outcome, types) = once(lambda: plain_diagnosis(detections, truth, similar))
    assert (types == diagnosis.fp_type).all()
    assert (
        outcome == np.select([diagnosis.outcome == "tp", diagnosis.outcome == "ignored"], [1, 2], 0)
    ).all()
    slow_sensitivity, values = once(lambda: plain_sensitivity(diagnosis, attributes))
    np.testing.assert_allclose(values, sensitivity(diagnosis, attributes)["ap_n"], atol=1e-9)
    slow_tide, (types, rises) = once(lambda: plain_tide(detections, truth))
    result = tide(detections, truth)
    assert (types == result.types).mean() > 0.9999  # boxes.iou rounds to float32
    np.testing.assert_allclose(list(rises.values()), list(result.delta_ap.values()), atol=1e-3)
    return [
        {"what": part, "data": what, "detections": len(detections), "ours s": a, "peer s": b, "ratio": b / a}
        for part, a, b in zip(
            ("diagnose", "sensitivity", "tide"),
            own,
            (slow_diagnosis, slow_sensitivity, slow_tide),
            strict=True,
        )
    ]


def real_rows(folder):
    """The YOLO detections of 18 of the 20 classes."""
    dataset = VOCDataset(folder, "test", classes=VOC_CLASSES)
    found = [name for name in VOC_CLASSES if list((folder / "detections_yolov1").glob(f"*_{name}.txt.gz"))]
    detections = read_voc_results(folder / "detections_yolov1", found, image_ids=dataset.ids)
    attributes = object_attributes(dataset, extras=folder / "hoiem_extra")
    return compare("YOLO, VOC 2007 test", detections, collect_ground_truth(dataset), attributes)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detections", type=int, default=500_000, help="synthetic ones")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    truth, detections = synthetic(
        rng, n_images=4952, n_classes=20, n_objects=12_000, n_detections=options.detections
    )
    truth = GroundTruth(**(vars(truth) | {"difficult": rng.random(len(truth)) < 0.15}))
    rows = compare("synthetic", detections, truth, attributes_at_random(rng, truth))
    real = os.environ.get("RCNN_REAL_DATA")
    if real:
        rows += real_rows(Path(real) / "voc2007_test_annotations")
    report("Error diagnosis beside plain NumPy, 20 classes, 1 thread", rows)


if __name__ == "__main__":
    main()
