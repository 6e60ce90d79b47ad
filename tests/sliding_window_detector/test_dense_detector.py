"""The dense detector on drawn pictures, with an untrained network."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rcnn_helpers.boxes import iou
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.networks import load_network
from rcnn_helpers.nms import nms
from rcnn_helpers.sliding_window_detector import METHODS, DenseDetector, compare, detect_with
from rcnn_helpers.sliding_window_detector.detector import _Best, _Sample

sys.path.insert(0, str(Path(__file__).parent.parent))
from test_detector import ShapesDataset

WINDOWS = {"min_size": 45, "aspect_ratios": (1.0,)}


@pytest.fixture(scope="module")
def network():
    return load_network("quarter_tnet", weights="random", device="cpu")


@pytest.fixture(scope="module")
def untrained(network):
    return RCNN(network, layer="pool5", C=1.0, precision="float32")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dense(untrained, cache):
    return DenseDetector(untrained, **WINDOWS).fit(
        ShapesDataset(), cache=cache, n_windows=200, progress=False
    )


@pytest.fixture(scope="module")
def unseen():
    dataset = ShapesDataset(9)
    dataset.ids = dataset.ids[6:]
    return dataset


def test_planted_objects_of_pictures_it_has_not_seen_are_found(dense, unseen):
    detections = dense.detect_dataset(unseen, progress=False)
    assert evaluate(detections, unseen).mean_ap > 0.9


def test_one_picture_alone_gives_what_it_gives_in_a_data_set(dense, unseen):
    whole = dense.detect_dataset(unseen, progress=False)
    alone = dense.detect(unseen.image(unseen.ids[1]), score_threshold=-np.inf)
    of_image = whole.select(whole.image_index == 1).sorted()
    n = min(len(of_image), 20)
    np.testing.assert_allclose(alone.scores[:n], of_image.scores[:n], atol=1e-4)
    np.testing.assert_allclose(alone.boxes[:n], of_image.boxes[:n], atol=1e-2)


def test_detections_are_the_scores_of_all_windows_suppressed(dense, unseen):
    """Against the plain way: score every window, regress, and suppress class by class."""
    image = unseen.image(unseen.ids[0])
    rcnn = dense.rcnn
    boxes, pool5 = map(np.concatenate, zip(*dense.pool5(image), strict=True))
    windows = dense.windows(*image.shape[:2])
    assert np.array_equal(boxes[np.lexsort(boxes.T)], windows[np.lexsort(windows.T)])
    scores = rcnn.svms_.decision_function(pool5 * np.float32(rcnn.feature_scale_))
    moved = rcnn.regressors_.predict_all(pool5 * np.float32(rcnn.pool5_scale_))
    found = dense.detect(image, score_threshold=-np.inf)
    for c in range(2):
        best = np.argsort(-scores[:, c], kind="stable")[:100]
        corners = boxes[best].astype(float)
        sizes = corners[:, 2:] - corners[:, :2]
        centres = corners[:, :2] + sizes / 2 + moved[best, c, :2] * sizes
        half = sizes * np.exp(moved[best, c, 2:]) / 2
        expected = np.hstack([centres - half, centres + half]).clip(0, [200, 150, 200, 150])
        kept = nms(expected, scores[best, c])
        mine = found.select(found.class_index == c)
        np.testing.assert_allclose(mine.scores, scores[best[kept], c], rtol=1e-5)
        np.testing.assert_allclose(mine.boxes, expected[kept], atol=0.01)


def test_an_interrupted_training_goes_on_with_the_features_that_are_there(
    untrained, dense, cache, monkeypatch
):
    def refuse(*arguments, **options):
        raise AssertionError("features were computed anew")

    monkeypatch.setattr(DenseDetector, "_training_windows", refuse)
    again = DenseDetector(untrained, **WINDOWS)
    again.fit(ShapesDataset(), cache=cache, n_windows=200, progress=False)
    assert np.array_equal(again.rcnn.svms_.coef_, dense.rcnn.svms_.coef_)
    with pytest.raises(AssertionError, match="anew"):
        again.fit(ShapesDataset(), cache=cache, n_windows=100, progress=False)


def test_the_r_cnn_itself_stays_as_it_was(untrained, dense):
    assert not hasattr(untrained, "thresholds_") and untrained.svms_ is None
    assert dense.classes_ == ("square", "disc")


def test_detectors_that_share_features_find_what_each_finds(dense, unseen):
    one, two = detect_with([dense, dense], unseen, progress=False)
    assert np.array_equal(one.scores, two.scores) and np.array_equal(one.boxes, two.boxes)


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 260, 3), (260, 4, 3)])
def test_tiny_and_narrow_pictures_are_searched(dense, shape):
    found = dense.detect(np.full(shape, 128, np.uint8), score_threshold=-np.inf)
    assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= shape[1]).all()


def test_boxes_come_back_in_the_pixels_of_a_large_picture(network, dense):
    image = np.kron(ShapesDataset().image("001"), np.ones((6, 6, 1), np.uint8))  # 1200 pixels wide
    few = DenseDetector(dense.rcnn, min_size=200, aspect_ratios=(1.0,))
    found = few.detect(image, score_threshold=-np.inf)
    for c, truth in enumerate(6 * ShapesDataset().annotation("001").boxes):
        best = np.flatnonzero(found.class_index == c)[0]
        assert iou(found.boxes[[best]], [truth])[0, 0] > 0.5


def test_side_by_side(dense, unseen):
    proposals = {image_id: unseen.annotation(image_id).boxes for image_id in unseen.ids}
    frame = compare(
        dense.rcnn, None, unseen, proposals=proposals, n_timed=1, progress=False, **WINDOWS
    ).set_index("method")
    assert list(frame.index) == list(METHODS[:2])
    assert frame.regions["proposals"] == 2 and frame.recall_70["proposals"] == 100
    assert frame.regions["dense"] == len(dense.windows(150, 200))
    expected = evaluate(dense.detect_dataset(unseen, progress=False), unseen)
    assert frame["mAP"]["dense"] == pytest.approx(100 * expected.mean_ap)
    assert (frame.cpu_seconds > 0).all()


def test_best_keeps_every_window_among_the_best_of_a_class():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(500, 3)).astype(np.float32)
    best = _Best(10, 3)
    for start in range(0, 500, 60):
        part = scores[start : start + 60]
        rows = best.promising(part)
        best.add(np.zeros((len(rows), 4)), part[rows])
    kept = np.concatenate(best.scores)
    assert len(kept) < 300
    for c in range(3):
        assert np.array_equal(np.sort(kept[:, c])[-10:], np.sort(scores[:, c])[-10:])


def test_sample_keeps_the_largest_keys():
    sample = _Sample(3)
    for keys, names in (([5.0, 1.0], [0, 1]), ([-np.inf, 7.0], [2, 3]), ([6.0], [4])):
        sample.add(np.array(keys), np.array(names))
    assert sample.kept[0].tolist() == [3, 4, 0]


def test_what_does_not_fit_is_refused(network, untrained):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        DenseDetector(untrained).detect(np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(SettingsError, match="warp"):
        DenseDetector(RCNN(network, warp_mode="square"))
    with pytest.raises(SettingsError, match="size_step"):
        DenseDetector(untrained, size_step=1)
