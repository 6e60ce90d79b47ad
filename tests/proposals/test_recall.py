"""Recall and average best overlap against slow loops and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.proposals.recall import (
    average_best_overlap,
    best_overlaps,
    recall_at,
    recall_curves,
)


class FakeDataset:
    classes = ("cat", "dog")

    def __init__(self, annotations):
        self.ids = list(annotations)
        self._annotations = annotations

    def annotation(self, image_id):
        return self._annotations[image_id]


def annotation(objects):
    names, difficult, boxes = zip(*objects, strict=True) if objects else ((), (), ())
    return SimpleNamespace(
        names=tuple(names),
        difficult=np.array(difficult, dtype=bool),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
    )


@pytest.fixture
def by_hand():
    dataset = FakeDataset(
        {
            "a": annotation([("cat", False, [0, 0, 10, 10]), ("dog", True, [50, 50, 60, 60])]),
            "b": annotation([("dog", False, [0, 0, 10, 20]), ("unlisted", False, [0, 0, 9, 9])]),
            "c": annotation([("dog", False, [0, 0, 8, 8])]),
            "d": annotation([]),
        }
    )
    proposals = {
        "a": np.array([[0, 0, 10, 4], [0, 0, 10, 6], [0, 0, 10, 9]], dtype=np.float32),
        "b": np.array([[0, 0, 10, 14]], dtype=np.float32),
        "c": np.zeros((0, 4), dtype=np.float32),
        "d": np.array([[0, 0, 1, 1]], dtype=np.float32),
    }
    return proposals, dataset


def test_best_overlaps_by_hand(by_hand):
    frame = best_overlaps(*by_hand, n_boxes=(1, 2, None))
    cat = frame[frame.name == "cat"]
    assert cat.n_boxes.tolist() == [1, 2, 3]
    assert cat.best_iou.tolist() == pytest.approx([0.4, 0.6, 0.9])
    assert frame[frame.image_id == "b"].best_iou.tolist() == pytest.approx([0.7] * 3)
    assert frame[frame.image_id == "c"].best_iou.tolist() == [0] * 3
    assert len(frame) == 9
    assert len(best_overlaps(*by_hand, include_difficult=True)) == 4


def test_recall_by_hand(by_hand):
    assert recall_at(*by_hand, iou_threshold=0.5) == pytest.approx(2 / 3)
    assert recall_at(*by_hand, iou_threshold=0.5, n_boxes=1) == pytest.approx(1 / 3)
    assert recall_at(*by_hand, iou_threshold=0.8) == pytest.approx(1 / 3)
    assert recall_at(*by_hand, iou_threshold=0.5, include_difficult=True) == pytest.approx(2 / 4)


def test_average_best_overlap_by_hand(by_hand):
    frame = average_best_overlap(*by_hand, n_boxes=(0, 1, None))
    assert frame.n_boxes.tolist() == [0, 1, 3]
    assert frame.abo.tolist() == pytest.approx([0, (0.4 + 0.7 + 0) / 3, (0.9 + 0.7 + 0) / 3])
    assert frame.mabo.tolist() == pytest.approx([0, (0.4 + 0.35) / 2, (0.9 + 0.35) / 2])


def slow_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def test_curves_equal_a_slow_loop(rng):
    def boxes(n):
        corner = rng.integers(0, 60, (n, 2))
        return np.concatenate([corner, corner + rng.integers(5, 40, (n, 2))], axis=1).astype(np.float32)

    dataset = FakeDataset(
        {
            str(i): annotation(
                [(rng.choice(["cat", "dog"]), rng.random() < 0.2, box) for box in boxes(rng.integers(0, 4))]
            )
            for i in range(8)
        }
    )
    proposals = {image_id: boxes(rng.integers(0, 30)) for image_id in dataset.ids}
    curves = recall_curves(proposals, dataset, n_boxes=(1, 5, 20), iou_thresholds=(0.3, 0.5, 0.7))
    assert len(curves) == 9
    for row in curves.itertuples():
        hits = [
            any(slow_iou(box, p) >= row.iou_threshold for p in proposals[image_id][: row.n_boxes])
            for image_id in dataset.ids
            for box, difficult in zip(
                dataset.annotation(image_id).boxes, dataset.annotation(image_id).difficult, strict=True
            )
            if not difficult
        ]
        assert row.recall == pytest.approx(np.mean(hits))
        n, threshold = row.n_boxes, row.iou_threshold
        assert recall_at(proposals, dataset, iou_threshold=threshold, n_boxes=n) == pytest.approx(row.recall)


def test_curves_rise_with_boxes_and_fall_with_the_threshold(by_hand):
    table = recall_curves(*by_hand).pivot(index="n_boxes", columns="iou_threshold", values="recall")
    assert table.shape == (8, 10)
    assert (table.diff().iloc[1:] >= 0).all(axis=None)
    assert (table.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_without_objects_recall_is_not_a_number():
    for dataset in (FakeDataset({}), FakeDataset({"a": annotation([])})):
        proposals = {"a": np.zeros((0, 4))}
        assert np.isnan(recall_at(proposals, dataset))
        assert recall_curves(proposals, dataset, n_boxes=(1,), iou_thresholds=(0.5,)).recall.isna().all()
        assert average_best_overlap(proposals, dataset, n_boxes=(1, 2)).abo.isna().all()


def test_a_missing_image_is_an_error(by_hand):
    proposals, dataset = by_hand
    del proposals["c"]
    with pytest.raises(DatasetError, match="the first is c"):
        recall_at(proposals, dataset)
