"""Average precision: hand-computed cases, a literal loop over the VOC rules, and pycocotools."""

import contextlib
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    average_precision,
    collect_ground_truth,
    evaluate,
)


class TinyDataset:
    """Annotations by hand: ``{image: [(class, box, difficult), ...]}``."""

    def __init__(self, objects, classes):
        self.ids = list(objects)
        self.classes = tuple(classes)
        self._objects = objects

    def annotation(self, image_id):
        rows = self._objects[image_id]
        return SimpleNamespace(
            names=tuple(name for name, _, _ in rows),
            boxes=np.array([box for _, box, _ in rows], dtype=np.float32).reshape(-1, 4),
            difficult=np.array([difficult for _, _, difficult in rows], dtype=bool),
        )


def detections_from(dataset, rows):
    """`rows` are (image, class, score, box)."""
    return Detections(
        tuple(dataset.ids),
        dataset.classes,
        [dataset.ids.index(image) for image, _, _, _ in rows],
        [dataset.classes.index(name) for _, name, _, _ in rows],
        [score for _, _, score, _ in rows],
        [box for _, _, _, box in rows],
    )


A, B, C = [0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10]
NOWHERE = [300, 300, 310, 310]


def test_by_hand_both_metrics():
    dataset = TinyDataset({"1": [("cat", A, False), ("cat", B, False)], "2": [("cat", C, False)]}, ["cat"])
    detections = detections_from(
        dataset,
        [("1", "cat", 0.9, A), ("1", "cat", 0.8, NOWHERE), ("2", "cat", 0.7, C), ("2", "cat", 0.6, NOWHERE)],
    )
    result = evaluate(detections, dataset)
    assert result.outcomes.tolist() == ["tp", "fp", "tp", "fp"]
    curve = result.curves["cat"]
    assert curve.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert curve.best_precision == pytest.approx([1, 2 / 3, 2 / 3, 1 / 2])
    # Recalls 0 to 0.3 at precision 1, 0.4 to 0.6 at 2/3, the other four out of reach.
    assert result.ap["cat"] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert evaluate(detections, dataset, metric="area").ap["cat"] == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_a_second_detection_of_an_object_is_a_duplicate():
    dataset = TinyDataset({"1": [("cat", A, False)]}, ["cat"])
    detections = detections_from(dataset, [("1", "cat", 0.5, A), ("1", "cat", 0.9, A)])
    result = evaluate(detections, dataset)
    assert result.outcomes.tolist() == ["duplicate", "tp"]
    assert result.curves["cat"].precision.tolist() == [1, 0.5]
    assert result.ap["cat"] == 1


def test_a_duplicate_does_not_fall_back_on_the_second_best_object():
    near_a = [0, 0, 10, 12]
    dataset = TinyDataset({"1": [("cat", A, False), ("cat", near_a, False)]}, ["cat"])
    result = evaluate(detections_from(dataset, [("1", "cat", 2, A), ("1", "cat", 1, A)]), dataset)
    assert result.outcomes.tolist() == ["tp", "duplicate"]
    assert result.match_object.tolist() == [0, 0]


def test_difficult_objects_swallow_any_number_of_detections_and_are_not_missed():
    dataset = TinyDataset({"1": [("cat", A, True), ("cat", B, False)]}, ["cat"])
    detections = detections_from(
        dataset, [("1", "cat", 4, A), ("1", "cat", 3, A), ("1", "cat", 2, B), ("1", "cat", 1, A)]
    )
    result = evaluate(detections, dataset)
    assert result.outcomes.tolist() == ["ignored", "ignored", "tp", "ignored"]
    assert result.ap["cat"] == 1
    assert result.curves["cat"].n_positives == 1
    assert result.curves["cat"].precision.tolist() == [1]  # no 0/0 from the ignored detections before it


def test_the_best_overlap_decides_even_if_it_is_a_difficult_object():
    # The detection covers both, the difficult one a little better: ignored, though the other one would match.
    dataset = TinyDataset({"1": [("cat", [0, 0, 10, 9], False), ("cat", A, True)]}, ["cat"])
    result = evaluate(detections_from(dataset, [("1", "cat", 1, A)]), dataset)
    assert result.outcomes.tolist() == ["ignored"]
    assert result.ap["cat"] == 0


def test_of_equally_good_objects_the_first_is_matched():
    dataset = TinyDataset({"1": [("cat", A, False), ("cat", A, False)]}, ["cat"])
    result = evaluate(detections_from(dataset, [("1", "cat", 1, A), ("1", "cat", 1, A)]), dataset)
    assert result.outcomes.tolist() == ["tp", "duplicate"]


def test_an_iou_of_exactly_one_half_is_a_match():
    dataset = TinyDataset({"1": [("cat", A, False)], "2": [("cat", A, False)]}, ["cat"])
    half, less = [0, 0, 10, 5], [0, 0, 10, 4.99]
    result = evaluate(detections_from(dataset, [("1", "cat", 1, half), ("2", "cat", 1, less)]), dataset)
    assert result.outcomes.tolist() == ["tp", "fp"]
    assert result.match_iou[0] == 0.5


def test_equal_scores_keep_their_order():
    dataset = TinyDataset({"1": [("cat", A, False)]}, ["cat"])
    rows = [("1", "cat", 0.5, NOWHERE), ("1", "cat", 0.5, A)]
    assert evaluate(detections_from(dataset, rows), dataset).curves["cat"].precision.tolist() == [0, 0.5]
    assert evaluate(detections_from(dataset, rows[::-1]), dataset).curves["cat"].precision.tolist() == [
        1,
        0.5,
    ]


def test_other_classes_and_images_do_not_match():
    dataset = TinyDataset({"1": [("cat", A, False)], "2": [("dog", A, False)]}, ["cat", "dog"])
    result = evaluate(detections_from(dataset, [("1", "dog", 1, A), ("2", "cat", 1, A)]), dataset)
    assert result.outcomes.tolist() == ["fp", "fp"]
    assert result.match_object.tolist() == [-1, -1]


def test_class_without_positives_is_nan_and_left_out_of_the_mean():
    dataset = TinyDataset({"1": [("cat", A, False), ("dog", B, True)]}, ["cat", "dog", "cow"])
    result = evaluate(detections_from(dataset, [("1", "cat", 1, A), ("1", "cow", 1, A)]), dataset)
    assert result.ap["cat"] == 1
    assert np.isnan(result.ap["dog"]) and np.isnan(result.ap["cow"])
    assert np.isnan(result.curves["cow"].recall).all()
    assert result.mean_ap == 1
    nothing = TinyDataset({"1": []}, ["cat"])
    assert np.isnan(evaluate(detections_from(nothing, []), nothing).mean_ap)


def test_class_without_detections_has_an_ap_of_zero():
    dataset = TinyDataset({"1": [("cat", A, False)]}, ["cat"])
    result = evaluate(detections_from(dataset, []), dataset)
    assert result.ap == {"cat": 0.0}
    assert np.isnan(result.precision_at("cat", 0.5))


def test_only_the_classes_of_the_detections_are_evaluated():
    dataset = TinyDataset({"1": [("dog", B, False), ("cat", A, False)]}, ["dog", "cat"])
    detections = Detections(("1",), ("cat",), [0], [0], [1.0], [A])
    result = evaluate(detections, dataset)
    assert result.ap == {"cat": 1.0}
    assert result.match_object.tolist() == [1]  # counted within the annotation, with the dog


def test_images_are_matched_by_name():
    dataset = TinyDataset({"1": [("cat", A, False)], "2": [("cat", B, False)]}, ["cat"])
    detections = Detections(("2", "elsewhere"), ("cat",), [0], [0], [1.0], [B])
    result = evaluate(detections, dataset)
    assert result.outcomes.tolist() == ["tp"]
    assert result.curves["cat"].recall.tolist() == [0.5]


@pytest.mark.parametrize("n_positives", [10, 20, 30, 70, 130])
def test_eleven_points_at_recalls_of_exactly_k_tenths(n_positives):
    # k tenths of the objects are found, without an error: recalls 0 to k/10 are reached, the others are not.
    for k in range(11):
        found = k * n_positives // 10
        recall = np.arange(1, found + 1) / n_positives
        assert average_precision(recall, np.ones(found)) == pytest.approx((k + 1 if k else 0) / 11)


def test_a_hundred_and_one_points_by_hand():
    # Two of three objects: recalls 0 to 0.33 at precision 1, 0.34 to 0.66 at 2/3, the other 34 out of reach.
    recall, precision = [1 / 3, 1 / 3, 2 / 3], [1, 1 / 2, 2 / 3]
    assert average_precision(recall, precision, metric="101point") == pytest.approx((34 + 33 * 2 / 3) / 101)


@pytest.mark.parametrize("n_positives", [7, 29, 100, 300])
def test_a_hundred_and_one_points_at_recalls_of_exactly_k_hundredths(n_positives):
    for found in range(1, n_positives + 1):
        reached = sum(k * n_positives <= 100 * found for k in range(101))
        recall = np.arange(1, found + 1) / n_positives
        ap = average_precision(recall, np.ones(found), metric="101point")
        assert ap == pytest.approx(reached / 101)


def test_average_precision_takes_curves_that_begin_with_nothing_counted():
    recall, precision = [0, 0, 0.5], [np.nan, np.nan, 1]
    assert average_precision(recall, precision) == pytest.approx(6 / 11)
    assert average_precision(recall, precision, metric="area") == 0.5


def voc_loop(detections, truth, *, metric):
    """The VOC development kit's rules, spelt out step by step in its own pixels; returns AP and outcomes."""
    ap, outcomes = {}, [""] * len(detections)
    for c, name in enumerate(detections.classes):
        objects = {}  # image -> list of [box, difficult, detected]
        n_positives = 0
        for i in range(len(truth)):
            if truth.classes[truth.class_index[i]] == name:
                x1, y1, x2, y2 = truth.boxes[i].astype(float)
                image = truth.image_ids[truth.image_index[i]]
                objects.setdefault(image, []).append([(x1 + 1, y1 + 1, x2, y2), truth.difficult[i], False])
                n_positives += not truth.difficult[i]
        rows = [i for i in range(len(detections)) if detections.class_index[i] == c]
        rows.sort(key=lambda i: -detections.scores[i])
        tp, fp = [], []
        for i in rows:
            x1, y1, x2, y2 = detections.boxes[i].astype(float)
            box = (x1 + 1, y1 + 1, x2, y2)
            best_overlap, best = -np.inf, None
            for candidate in objects.get(detections.image_ids[detections.image_index[i]], []):
                other = candidate[0]
                width = min(box[2], other[2]) - max(box[0], other[0]) + 1
                height = min(box[3], other[3]) - max(box[1], other[1]) + 1
                if width > 0 and height > 0:
                    union = (
                        (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
                        + (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
                        - width * height
                    )
                    if width * height / union > best_overlap:
                        best_overlap, best = width * height / union, candidate
            tp.append(0)
            fp.append(0)
            if best_overlap < 0.5:
                outcomes[i], fp[-1] = "fp", 1
            elif best[1]:
                outcomes[i] = "ignored"
            elif best[2]:
                outcomes[i], fp[-1] = "duplicate", 1
            else:
                outcomes[i], tp[-1], best[2] = "tp", 1, True
        ap[name] = ap_loop(np.cumsum(tp), np.cumsum(fp), n_positives, metric)
    return ap, outcomes


def ap_loop(tp, fp, n_positives, metric):
    """AP from counts, with the comparisons of recalls made in whole numbers."""
    if n_positives == 0:
        return np.nan
    precision = [t / (t + f) if t + f else 0.0 for t, f in zip(tp, fp, strict=True)]
    if metric.endswith("point"):
        steps = int(metric.removesuffix("point")) - 1
        levels = [
            max((p for p, t in zip(precision, tp, strict=True) if steps * t >= k * n_positives), default=0)
            for k in range(steps + 1)
        ]
        return sum(levels) / len(levels)
    area, found = 0.0, 0
    for i, t in enumerate(tp):
        if t > found:
            area += max(precision[i:]) / n_positives
            found = t
    return area


def random_case(rng, *, n_images=12, n_objects=70, n_detections=1000, difficult=0.25):
    """Small whole-numbered boxes in a small image and coarse scores: many ties, many IoUs of exactly 0.5."""
    classes = ("cat", "dog", "cow")

    def boxes(n):
        top_left = rng.integers(0, 8, (n, 2))
        return np.concatenate([top_left, top_left + rng.integers(2, 9, (n, 2))], axis=1).astype(np.float32)

    image_index = np.sort(rng.integers(0, n_images, n_objects)).astype(np.int32)
    truth = GroundTruth(
        tuple(f"im{i}" for i in range(n_images)),
        classes,
        image_index,
        rng.integers(0, len(classes), n_objects).astype(np.int32),
        boxes(n_objects),
        rng.random(n_objects) < difficult,
        np.arange(n_objects, dtype=np.int32) - np.searchsorted(image_index, image_index).astype(np.int32),
    )
    detections = Detections(
        truth.image_ids,
        classes,
        rng.integers(0, n_images, n_detections),
        rng.integers(0, len(classes), n_detections),
        rng.integers(0, 40, n_detections) / 40,
        boxes(n_detections),
    )
    return truth, detections


@pytest.mark.parametrize("metric", ["11point", "101point", "area"])
@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_a_literal_loop_on_ties_and_exact_halves(seed, metric):
    truth, detections = random_case(np.random.default_rng(seed))
    result = evaluate(detections, truth, metric=metric)
    ap, outcomes = voc_loop(detections, truth, metric=metric)
    assert result.outcomes.tolist() == outcomes
    assert {"tp", "fp", "duplicate", "ignored"} == set(outcomes)
    assert (result.match_iou == 0.5).any()
    for name in truth.classes:
        assert result.ap[name] == pytest.approx(ap[name], abs=1e-12)


@pytest.mark.parametrize(("metric", "recalls"), [("11point", np.arange(11) / 10), ("101point", None)])
def test_agrees_with_pycocotools_where_its_rules_are_the_same(rng, metric, recalls):
    coco_module = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    # One object of a class in an image, none difficult: falling back on a second-best object cannot happen.
    # No recall k/149 lies on a hundredth, where rounding would decide.
    n_images, classes = 149, ("cat", "dog")
    top_left = rng.uniform(0, 100, (n_images * 2, 2))
    boxes = np.concatenate([top_left, top_left + rng.uniform(20, 60, (n_images * 2, 2))], axis=1)
    truth = GroundTruth(
        tuple(f"{i}" for i in range(n_images)),
        classes,
        np.repeat(np.arange(n_images), 2).astype(np.int32),
        np.tile([0, 1], n_images).astype(np.int32),
        boxes.astype(np.float32),
        np.zeros(n_images * 2, dtype=bool),
        np.tile([0, 1], n_images).astype(np.int32),
    )
    near = rng.integers(0, n_images * 2, 1500)
    detections = Detections(
        truth.image_ids,
        classes,
        truth.image_index[near],
        truth.class_index[near],
        rng.random(1500),
        truth.boxes[near] + np.tile(rng.normal(0, 8, (1500, 2)), 2),
    )

    def coco_box(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(n_images)],
            "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": int(truth.image_index[i]),
                    "category_id": int(truth.class_index[i]),
                    "bbox": coco_box(truth.boxes[i]),
                    "area": 1.0,
                    "iscrowd": 0,
                }
                for i in range(len(truth))
            ],
        }
        coco.createIndex()
        results = coco.loadRes(
            [
                {
                    "image_id": int(detections.image_index[i]),
                    "category_id": int(detections.class_index[i]),
                    "bbox": coco_box(detections.boxes[i]),
                    "score": float(detections.scores[i]),
                }
                for i in range(len(detections))
            ]
        )
        evaluation = cocoeval.COCOeval(coco, results, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        if recalls is not None:  # else COCO's own
            evaluation.params.recThrs = recalls
        evaluation.params.maxDets = [10_000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    theirs = evaluation.eval["precision"][0, :, :, 0, 0].mean(axis=0)
    ours = evaluate(detections, truth, metric=metric).ap
    assert 0.1 < theirs.min() < 0.95
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-6)


def test_precision_at_a_score():
    dataset = TinyDataset({"1": [("cat", A, False), ("cat", B, False)]}, ["cat"])
    rows = [
        ("1", "cat", 0.9, A),
        ("1", "cat", 0.6, NOWHERE),
        ("1", "cat", 0.6, B),
        ("1", "cat", 0.3, NOWHERE),
    ]
    result = evaluate(detections_from(dataset, rows), dataset)
    assert result.precision_at("cat", 0.9) == 1
    assert result.precision_at("cat", 0.7) == 1
    assert result.precision_at("cat", 0.6) == pytest.approx(2 / 3)  # both detections that score 0.6 count
    assert result.precision_at("cat", 0.0) == 0.5
    assert result.precision_at("cat", 5.0) == 1  # as at the highest score seen
    assert result.precision_at("cat", [0.9, 0.3]).tolist() == [1, 0.5]


def test_frame_of_the_result():
    truth, detections = random_case(np.random.default_rng(3))
    result = evaluate(detections, truth)
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == ["cat", "dog", "cow", "mean"]
    assert frame.loc["mean", "AP"] == pytest.approx(100 * result.mean_ap)
    assert frame.loc["cat", "true positives"] + frame.loc["dog", "true positives"] <= len(truth)
    assert isinstance(result, EvaluationResult)


def test_ground_truth_is_collected_in_order_and_only_for_the_classes():
    dataset = TinyDataset(
        {"1": [("dog", A, False), ("cat", B, True)], "2": [], "3": [("cat", C, False)]}, ["cat"]
    )
    truth = collect_ground_truth(dataset)
    assert len(truth) == 2
    assert truth.image_index.tolist() == [0, 2]
    assert truth.object_index.tolist() == [1, 0]
    assert truth.boxes.tolist() == [B, C]
    assert truth.n_positives("cat") == 1
    assert len(collect_ground_truth(TinyDataset({}, ["cat"]))) == 0


def test_detections_of_a_class_an_image_sorted_and_joined():
    dataset = TinyDataset({"1": [], "2": []}, ["cat", "dog"])
    detections = detections_from(
        dataset, [("1", "cat", 1, A), ("2", "dog", 3, B), ("2", "cat", 2, C), ("1", "dog", 3, A)]
    )
    assert detections.of_class("dog").scores.tolist() == [3, 3]
    assert detections.of_image("2").boxes.tolist() == [B, C]
    assert detections.sorted().boxes.tolist() == [B, A, C, A]
    joined = Detections.concatenate([detections.of_image("2"), Detections.empty(["9"], dataset.classes)])
    assert joined.image_ids == ("1", "2", "9") and len(joined) == 2
    apart = [
        Detections(("2",), ("cat", "dog"), [0], [1], [3], [B]),
        Detections(("1",), ("cat", "dog"), [0], [0], [1], [A]),
    ]
    joined = Detections.concatenate(apart)
    assert joined.image_ids == ("2", "1")
    assert joined.to_frame()["image"].tolist() == ["2", "1"]
    assert joined.to_frame()["class"].tolist() == ["dog", "cat"]
    assert "2 in 2 images" in repr(joined)


def test_bad_input_is_named():
    dataset = TinyDataset({"1": [("cat", A, False)]}, ["cat"])
    good = detections_from(dataset, [("1", "cat", 1, A)])
    with pytest.raises(ValueError, match="unknown metric 'coco'"):
        evaluate(good, dataset, metric="coco")
    with pytest.raises(ValueError, match="match_iou is 50"):
        evaluate(good, dataset, match_iou=50)
    with pytest.raises(DatasetError, match="class 'cow'"):
        evaluate(Detections(("1",), ("cow",), [], [], [], []), dataset)
    with pytest.raises(DatasetError, match="image '7'"):
        evaluate(Detections(("7",), ("cat",), [0], [0], [1.0], [A]), dataset)
    with pytest.raises(ValueError, match="differ in length"):
        Detections(("1",), ("cat",), [0], [0], [1.0, 2.0], [A])
    with pytest.raises(ValueError, match="NaN"):
        Detections(("1",), ("cat",), [0], [0], [np.nan], [A])
    with pytest.raises(ValueError, match="class_index runs from 3 to 3"):
        Detections(("1",), ("cat",), [0], [3], [1.0], [A])
    with pytest.raises(ValueError, match="no class 'cow'"):
        good.of_class("cow")
    with pytest.raises(ValueError, match="cannot join"):
        Detections.concatenate([good, Detections.empty(["1"], ["dog"])])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        Detections.concatenate([])
    with pytest.raises(ValueError, match="equally long"):
        average_precision([0, 1], [1])
