"""Segmentation accuracy: hand-computed cases and a loop over single pixels."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy, confusion, segmentation_accuracy

VOID = 255


class TinyDataset:
    """True label maps by hand."""

    def __init__(self, maps, classes):
        self.ids, self.classes, self._maps = list(maps), tuple(classes), maps

    def segmentation(self, image_id):
        truth = np.array(self._maps[image_id], dtype=np.uint8)
        return truth, truth


def slow_accuracies(predicted_maps, true_maps, n_classes):
    """Every pixel by itself, as the definition says."""
    accuracies = []
    for label in range(n_classes + 1):
        right = wrong = missed = 0
        for predicted, truth in zip(predicted_maps, true_maps, strict=True):
            for p, t in zip(np.ravel(predicted).tolist(), np.ravel(truth).tolist(), strict=True):
                if t == VOID:
                    continue
                right += p == label and t == label
                wrong += p == label and t != label
                missed += p != label and t == label
        total = right + wrong + missed
        accuracies.append(right / total if total else float("nan"))
    return accuracies


def random_maps(rng, n_maps, n_classes):
    true_maps = [rng.integers(0, n_classes + 1, (7, 9)).astype(np.uint8) for _ in range(n_maps)]
    predicted = [
        np.where(rng.random((7, 9)) < 0.6, t, rng.integers(0, n_classes + 1, (7, 9))) for t in true_maps
    ]
    for truth in true_maps:
        truth[rng.random(truth.shape) < 0.2] = VOID
    return [p.astype(np.uint8) for p in predicted], true_maps


def test_by_hand():
    # Car (1): 2 right, 1 missed, 1 wrong: 2/4. Dog (2): 1 right, 1 wrong: 1/2. Background: 3 right of 5.
    truth = [[0, 0, 1, 1], [0, 0, 1, 2], [VOID, VOID, VOID, 0]]
    predicted = [[0, 1, 1, 1], [0, 2, 0, 2], [1, 2, 0, 0]]
    table = confusion(predicted, truth, 2)
    assert table.tolist() == [[3, 1, 1], [1, 2, 0], [0, 0, 1]]
    accuracy = SegmentationAccuracy(("car", "dog"), table)
    assert accuracy.per_class == pytest.approx({"background": 3 / 6, "car": 2 / 4, "dog": 1 / 2})
    assert accuracy.mean == pytest.approx(0.5)
    assert accuracy.pixel_accuracy == pytest.approx(6 / 9)


def test_pixels_of_the_set_count_not_pictures():
    # A picture all right (1 of 1 pixel) and one with 1 right of 9 give 2/10, not the mean of 1 and 1/9.
    small, large = [[1]], np.ones((3, 3), np.uint8)
    poor = np.zeros((3, 3), np.uint8)
    poor[0, 0] = 1
    dataset = TinyDataset({"a": small, "b": large}, ["car"])
    accuracy = segmentation_accuracy({"a": small, "b": poor}, dataset)
    assert accuracy.per_class["car"] == pytest.approx(0.2)


def test_a_class_in_neither_is_out_of_the_mean_and_one_only_predicted_counts_as_0():
    accuracy = SegmentationAccuracy(("car", "dog", "cow"), confusion([[0, 0, 2]], [[0, 0, 0]], 3))
    assert accuracy.per_class["dog"] == 0
    assert np.isnan(accuracy.per_class["car"]) and np.isnan(accuracy.per_class["cow"])
    assert accuracy.mean == pytest.approx((2 / 3 + 0) / 2)


def test_void_everywhere_gives_nan():
    accuracy = SegmentationAccuracy(("car",), confusion([[1, 0]], [[VOID, VOID]], 1))
    assert np.isnan(accuracy.mean) and np.isnan(accuracy.pixel_accuracy)


@pytest.mark.parametrize("seed", range(5))
def test_against_a_loop_over_pixels_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(1, 6))
    predicted, truth = random_maps(rng, 3, n_classes)
    names = [f"class{i}" for i in range(n_classes)]
    dataset = TinyDataset({str(i): t for i, t in enumerate(truth)}, names)
    accuracy = segmentation_accuracy({str(i): p for i, p in enumerate(predicted)}, dataset)
    found = list(accuracy.per_class.values())
    np.testing.assert_allclose(found, slow_accuracies(predicted, truth, n_classes))
    counted = np.ravel(truth) != VOID
    jaccard = jaccard_score(np.ravel(truth)[counted], np.ravel(predicted)[counted], average=None)
    np.testing.assert_allclose(found, jaccard)


def test_two_halves_add_up_to_the_whole():
    predicted, truth = random_maps(np.random.default_rng(9), 4, 3)
    maps = {str(i): p for i, p in enumerate(predicted)}
    true_maps = {str(i): t for i, t in enumerate(truth)}

    def of(ids):
        return segmentation_accuracy(maps, TinyDataset({i: true_maps[i] for i in ids}, "abc"))

    whole = of("0123")
    both = of("01") + of("23")
    assert (both.confusion == whole.confusion).all()
    assert whole.confusion.sum() == sum((t != VOID).sum() for t in truth)
    with pytest.raises(DatasetError, match="cannot add"):
        SegmentationAccuracy(("x",), np.zeros((2, 2))) + whole


def test_frame():
    accuracy = SegmentationAccuracy(("car",), [[3, 1], [0, 2]])
    frame = accuracy.to_frame()
    assert frame.index.tolist() == ["background", "car", "mean"]
    assert frame.accuracy.round(2).tolist() == [75.0, 66.67, 70.83]
    assert frame.loc["mean"].tolist()[1:] == [6, 6, 5]
    assert frame["true pixels"].dtype == np.int64


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([[0, 1]], [[0], [1]], "same picture"),
        ([0, 1], [0, 1], "same picture"),
        ([[0, 3]], [[0, 1]], "predicted label map holds label 3"),
        ([[0, 255]], [[0, 1]], "predicted label map holds label 255"),
        ([[0, 1]], [[0, 7]], "true label map holds label 7"),
    ],
)
def test_maps_that_do_not_fit(predicted, truth, message):
    with pytest.raises(DatasetError, match=message):
        confusion(predicted, truth, 2)


def test_sets_that_do_not_fit():
    dataset = TinyDataset({"a": [[0]], "b": [[0]]}, ["car"])
    with pytest.raises(DatasetError, match="'b' has no label map"):
        segmentation_accuracy({"a": np.zeros((1, 1), np.uint8)}, dataset)
    with pytest.raises(DatasetError, match="classes dog"):
        segmentation_accuracy({}, dataset, classes=["dog"])
    with pytest.raises(DatasetError, match="needs shape"):
        SegmentationAccuracy(("car",), np.zeros((3, 3)))
