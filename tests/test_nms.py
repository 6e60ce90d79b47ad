"""Non-maximum suppression: its defining properties, hand-computed cases and torchvision as an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.boxes import iou
from rcnn_helpers.nms import nms, nms_per_class

INTEGER_BOX = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 15)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
SCORED_BOXES = st.lists(st.tuples(INTEGER_BOX, st.integers(0, 5)), max_size=30)
THRESHOLDS = st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 1.0])


def random_scored_boxes(rng, n, classes=None):
    top_left = rng.uniform(0, 100, (n, 2))
    boxes = np.concatenate([top_left, top_left + rng.uniform(5, 60, (n, 2))], axis=1).astype(np.float32)
    return boxes, rng.normal(size=n if classes is None else (n, classes)).astype(np.float32)


def exact_iou(a, b):
    """IoU of two boxes of whole numbers in double precision, for comparisons with a threshold."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = float(max(width, 0) * max(height, 0))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


@given(SCORED_BOXES, THRESHOLDS)
def test_kept_boxes_do_not_overlap_and_dropped_ones_overlap_a_better_kept_one(scored, threshold):
    boxes = [box for box, _ in scored]
    scores = np.array([score for _, score in scored], dtype=np.float32)
    kept = nms(boxes, scores, iou_threshold=threshold).tolist()
    assert len(set(kept)) == len(kept)
    for i, a in enumerate(kept):
        for b in kept[i + 1 :]:
            assert scores[a] >= scores[b]
            assert exact_iou(boxes[a], boxes[b]) <= threshold
    for dropped in set(range(len(boxes))) - set(kept):
        assert any(
            exact_iou(boxes[k], boxes[dropped]) > threshold
            and (scores[k], -k) > (scores[dropped], -dropped)  # better, or as good and given earlier
            for k in kept
        )


@given(SCORED_BOXES, THRESHOLDS)
def test_a_second_pass_drops_nothing(scored, threshold):
    boxes = np.array([box for box, _ in scored], dtype=np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in scored], dtype=np.float32)
    kept = nms(boxes, scores, iou_threshold=threshold)
    again = nms(boxes[kept], scores[kept], iou_threshold=threshold)
    assert again.tolist() == list(range(len(kept)))


@given(SCORED_BOXES, THRESHOLDS, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter_where_no_scores_tie(scored, threshold, random):
    boxes = np.array([box for box, _ in scored], dtype=np.float32).reshape(-1, 4)
    scores = np.arange(len(boxes), dtype=np.float32)
    shuffled = list(range(len(boxes)))
    random.shuffle(shuffled)
    straight = nms(boxes, scores, iou_threshold=threshold)
    crooked = nms(boxes[shuffled], scores[shuffled], iou_threshold=threshold)
    assert np.array(shuffled, dtype=int)[crooked].tolist() == straight.tolist()


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.9])
def test_agrees_with_torchvision(rng, threshold):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    boxes, scores = random_scored_boxes(rng, 800)
    # torchvision works in single precision and may differ where an IoU equals the threshold; none does here.
    assert np.abs(iou(boxes, boxes) - threshold).min() > 1e-7
    theirs = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert nms(boxes, scores, iou_threshold=threshold).tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("shared_columns", "threshold"), [(3, 0.3), (5, 0.5), (7, 0.7), (6, 0.6), (1, 0.1), (9, 0.9)]
)
def test_an_iou_equal_to_the_threshold_is_kept(shared_columns, threshold):
    # The small box lies within the large one, so IoU = its 10 * shared_columns pixels out of 100, exactly.
    boxes = [[0, 0, 10, 10], [0, 0, shared_columns, 10]]
    assert nms(boxes, [2, 1], iou_threshold=threshold).tolist() == [0, 1]
    assert nms(boxes, [2, 1], iou_threshold=threshold - 1e-6).tolist() == [0]


def test_boxes_with_equal_scores_are_visited_in_the_order_given():
    boxes = [[0, 0, 10, 10]] * 3 + [[50, 0, 60, 10]]
    assert nms(boxes, [1, 1, 1, 1]).tolist() == [0, 3]


def test_a_dropped_box_drops_no_other():
    # 0 drops 1; 2 overlaps only 1, and stays.
    boxes = [[0, 0, 10, 10], [4, 0, 14, 10], [9, 0, 19, 10]]
    assert nms(boxes, [3, 2, 1], iou_threshold=0.3).tolist() == [0, 2]


def test_boxes_without_area_suppress_nothing():
    assert nms([[5, 5, 5, 9], [5, 5, 5, 9]], [1, 2], iou_threshold=0.0).tolist() == [1, 0]


def test_no_boxes():
    assert nms([], []).shape == (0,)
    box_index, class_index = nms_per_class([], np.empty((0, 3)))
    assert len(box_index) == len(class_index) == 0
    box_index, class_index = nms_per_class([[0, 0, 1, 1]], np.empty((1, 0)))
    assert len(box_index) == len(class_index) == 0


def test_per_class_is_nms_class_by_class(rng):
    boxes, scores = random_scored_boxes(rng, 300, classes=4)
    box_index, class_index = nms_per_class(boxes, scores, score_threshold=-0.5, iou_threshold=0.4)
    assert (np.diff(class_index) >= 0).all()
    for c in range(4):
        candidates = np.flatnonzero(scores[:, c] > -0.5)
        expected = candidates[nms(boxes[candidates], scores[candidates, c], iou_threshold=0.4)]
        assert box_index[class_index == c].tolist() == expected.tolist()


def test_per_class_limit_keeps_the_best(rng):
    boxes, scores = random_scored_boxes(rng, 200, classes=2)
    all_boxes, all_classes = nms_per_class(boxes, scores)
    few_boxes, few_classes = nms_per_class(boxes, scores, max_per_class=5)
    for c in range(2):
        assert few_boxes[few_classes == c].tolist() == all_boxes[all_classes == c][:5].tolist()
    assert len(nms_per_class(boxes, scores, max_per_class=0)[0]) == 0


def test_a_score_equal_to_the_threshold_is_not_above_it():
    boxes = [[0, 0, 1, 1], [5, 5, 6, 6]]
    box_index, _ = nms_per_class(boxes, [[0.0], [0.1]], score_threshold=0.0)
    assert box_index.tolist() == [1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nms([[0, 0, 1, 1]], [1, 2]), "shape"),
        (lambda: nms([[0, 0, 1, 1]], [float("nan")]), "NaN"),
        (lambda: nms([[0, 0, 1, 1]], [1], iou_threshold=30), "between 0 and 1"),
        (lambda: nms_per_class([[0, 0, 1, 1]], [1.0]), "classes"),
        (lambda: nms_per_class([[0, 0, 1, 1]], [[1.0]], max_per_class=-1), "max_per_class"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
