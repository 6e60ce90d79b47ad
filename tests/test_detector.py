"""The detector as a whole: fit, detect, save, load, and what bad input gets."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.boxes import iou
from rcnn_helpers.candidates import Candidates, best_thresholds, suppress
from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, ModelError
from rcnn_helpers.evaluation import Detections, PrecisionRecall, evaluate
from rcnn_helpers.nms import nms
from rcnn_helpers.training_regions import region_labels


@dataclass
class ShapesDataset:
    """Red squares and striped blue discs on grey noise, in memory."""

    n: int = 6
    seed: int = 0
    classes: tuple = ("square", "disc")
    ids: list = field(init=False)

    def __post_init__(self):
        self.ids = [f"{i:03d}" for i in range(self.n)]

    def _draw(self, image_id):
        rng = np.random.default_rng([self.seed, int(image_id)])
        image = rng.integers(90, 150, (150, 200, 3)).astype(np.uint8)
        side, radius = int(rng.integers(40, 60)), int(rng.integers(22, 30))
        x, y = int(rng.integers(5, 40)), int(rng.integers(5, 80))
        image[y : y + side, x : x + side] = (200, 30, 30)
        cx, cy = int(rng.integers(140, 165)), int(rng.integers(35, 110))
        rows, columns = np.mgrid[:150, :200]
        disc = (columns - cx) ** 2 + (rows - cy) ** 2 < radius**2
        image[disc] = (20, 40, 200)
        image[disc & (rows % 8 < 3)] = (240, 240, 240)
        covered = np.argwhere(disc)
        (y1, x1), (y2, x2) = covered.min(axis=0), covered.max(axis=0) + 1
        return image, np.array([[x, y, x + side, y + side], [x1, y1, x2, y2]], np.float32)

    def image(self, image_id):
        return self._draw(image_id)[0]

    def annotation(self, image_id):
        return Annotation(
            image_id=image_id,
            height=150,
            width=200,
            boxes=self._draw(image_id)[1],
            names=("square", "disc"),
            difficult=np.zeros(2, bool),
            truncated=np.zeros(2, bool),
            occluded=np.zeros(2, bool),
            poses=("Unspecified",) * 2,
        )


@pytest.fixture(scope="module")
def proposals():
    """A grid of windows and, jittered, the objects themselves: selective search has tests of its own."""
    dataset, boxes = ShapesDataset(10), {}
    for image_id in dataset.ids:
        rng = np.random.default_rng(int(image_id))
        corners = rng.uniform(0, [150, 100], (60, 2))
        windows = np.hstack([corners, corners + rng.uniform(20, 50, (60, 2))])
        truth = dataset.annotation(image_id).boxes
        jittered = np.repeat(truth, 6, axis=0) + rng.normal(0, 2, (12, 4))
        boxes[image_id] = np.vstack([windows, jittered]).astype(np.float32).clip(0, [200, 150, 200, 150])
    return boxes


@pytest.fixture(scope="module")
def fitted(proposals, tmp_path_factory):
    from rcnn_helpers.networks import load_network

    network = load_network("quarter_tnet", weights="random", device="cpu")
    detector = RCNN(network, layer="pool5", C=1.0, precision="float32")
    return detector.fit(
        ShapesDataset(), proposals=proposals, cache=tmp_path_factory.mktemp("cache"), progress=False
    )


def test_detects_the_objects_of_images_it_has_not_seen(fitted, proposals):
    unseen = ShapesDataset(10)
    unseen.ids = unseen.ids[6:]
    detections = fitted.detect_dataset(unseen, proposals=proposals, progress=False)
    assert evaluate(detections, unseen).mean_ap > 0.9


def test_detect_finds_both_objects_by_selective_search(fitted):
    dataset = ShapesDataset()
    found = fitted.detect(dataset.image("001"), score_threshold=-1)
    for c, truth in enumerate(dataset.annotation("001").boxes):
        best = np.flatnonzero(found.class_index == c)[0]
        assert iou(found.boxes[[best]], [truth])[0, 0] > 0.5
    assert (np.diff(found.scores) <= 0).all()


def test_by_default_a_class_is_reported_from_its_own_threshold_on(fitted):
    image = ShapesDataset().image("001")
    everything = fitted.detect(image, score_threshold=-np.inf)
    reported = fitted.detect(image)
    expected = everything.scores > fitted.thresholds_[everything.class_index]
    assert np.array_equal(reported.scores, everything.scores[expected])
    assert 0 < len(reported) < len(everything)


def test_thresholds_have_the_best_f1_by_hand():
    curve = PrecisionRecall(
        recall=np.array([0.5, 0.5, 1.0, 1.0]),
        precision=np.array([1.0, 0.5, 2 / 3, 0.5]),  # F1: 0.67, 0.5, 0.8, 0.67
        scores=np.array([0.9, 0.5, -0.2, -0.7], np.float32),
        detection=np.arange(4),
        n_positives=2,
    )
    never = replace(curve, recall=np.zeros(4), precision=np.zeros(4))
    nothing = replace(curve, recall=np.zeros(0), precision=np.zeros(0), scores=np.zeros(0, np.float32))
    evaluation = SimpleNamespace(curves={"cat": curve, "dog": never, "cow": nothing})
    cat, dog, cow = best_thresholds(evaluation, ("cat", "dog", "cow"))
    assert np.float32(-0.2) > cat > np.float32(-0.201)
    assert dog == cow == np.inf


def test_an_image_without_proposals_has_no_detections(fitted):
    found = fitted.detect(np.zeros((30, 40, 3), np.uint8), boxes=[])
    assert len(found) == 0
    assert found.classes == ("square", "disc")


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 3)])
def test_tiny_and_narrow_images_are_searched_without_an_error(fitted, shape):
    found = fitted.detect(np.full(shape, 128, np.uint8))
    assert (found.boxes[:, 2] <= shape[1]).all()


def test_a_picture_12000_pixels_wide_gives_boxes_in_its_own_pixels(fitted):
    image = np.full((900, 12000, 3), 120, np.uint8)
    image[200:700, 3000:3500] = (200, 30, 30)
    found = fitted.detect(
        image, boxes=[[3000, 200, 3500, 700]], score_threshold=-np.inf, box_regression=False
    )
    assert np.allclose(found.boxes, [3000, 200, 3500, 700], atol=1)


def test_scores_from_a_store_equal_scores_computed_anew(fitted, proposals, tmp_path):
    from rcnn_helpers.features import FeatureStore

    dataset = ShapesDataset(2)
    store = FeatureStore(tmp_path, network=fitted.network, precision="float32")
    stored = fitted.detect_dataset(dataset, proposals=proposals, store=store, progress=False)
    direct = fitted.detect_dataset(dataset, proposals=proposals, progress=False)
    # Stored features are rounded to float16, which may tip a suppression far down the list.
    assert abs(len(stored) - len(direct)) <= 3
    assert np.allclose(np.sort(stored.scores)[-30:], np.sort(direct.scores)[-30:], atol=0.01)


def test_a_saved_detector_detects_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = RCNN.load(tmp_path / "model.safetensors", device="cpu")
    image = ShapesDataset().image("003")
    before, after = fitted.detect(image), loaded.detect(image)
    assert np.array_equal(before.boxes, after.boxes)
    assert np.allclose(before.scores, after.scores, atol=1e-5)


def test_a_class_without_objects_never_fires(proposals):
    from rcnn_helpers.networks import load_network

    dataset = ShapesDataset(3, classes=("square", "teapot"))
    detector = RCNN(
        load_network("quarter_tnet", weights="random", device="cpu"), layer="pool5", precision="float32"
    )
    with pytest.warns(UserWarning, match="teapot"):
        detector.fit(dataset, proposals=proposals, progress=False)
    found = detector.detect(dataset.image("000"), boxes=proposals["000"])
    assert 1 not in found.class_index
    everywhere = detector.detect_dataset(dataset, proposals=proposals, progress=False)
    assert set(everywhere.class_index) == {0}


def test_training_without_any_object_names_what_is_annotated(proposals):
    dataset = ShapesDataset(2, classes=("teapot",))
    with pytest.raises(DatasetError, match="teapot.*disc, square"):
        RCNN("quarter_tnet", weights="random", device="cpu").fit(dataset, proposals=proposals, progress=False)


def test_missing_proposals_are_named(fitted):
    with pytest.raises(DatasetError, match="no proposals for 6 of 6 images, the first is 000"):
        fitted.detect_dataset(ShapesDataset(), proposals={}, progress=False)


def test_an_unfitted_detector_says_what_to_call():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="fit"):
        RCNN("quarter_tnet", weights="random", device="cpu").detect(np.zeros((20, 20, 3), np.uint8))


class TestLoad:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ModelError, match="no model file"):
            RCNN.load(tmp_path / "nothing.safetensors")

    def test_a_file_that_is_no_model(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"not a model at all")
        with pytest.raises(ModelError, match="damaged or no model file"):
            RCNN.load(tmp_path / "model.safetensors")

    def test_a_pickle_is_not_executed(self, tmp_path):
        import pickle

        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "executed"), "w"))

        (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ModelError):
            RCNN.load(tmp_path / "model.safetensors")
        assert not (tmp_path / "executed").exists()

    def test_a_truncated_model(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ModelError, match="damaged"):
            RCNN.load(path)

    def test_plain_weights_are_not_a_detector(self, fitted, tmp_path):
        fitted.network.save(tmp_path / "weights.safetensors")
        with pytest.raises(ModelError, match="not written by rcnn train"):
            RCNN.load(tmp_path / "weights.safetensors")

    def test_a_header_that_does_not_fit_its_numbers(self, fitted, tmp_path):
        from safetensors import safe_open
        from safetensors.torch import save_file

        path = tmp_path / "model.safetensors"
        fitted.save(path)
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["rcnn"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        header["classes"] = ["square"]
        save_file(tensors, path, metadata={"rcnn": json.dumps(header)})
        with pytest.raises(ModelError, match="1 classes"):
            RCNN.load(path)


def test_region_labels_by_hand():
    annotation = Annotation(
        image_id="a",
        height=100,
        width=100,
        boxes=np.array([[0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]], np.float32),
        names=("cat", "cat", "hat"),
        difficult=np.zeros(3, bool),
        truncated=np.zeros(3, bool),
        occluded=np.zeros(3, bool),
        poses=("Unspecified",) * 3,
    )
    boxes = np.vstack([annotation.boxes, [[0, 0, 10, 5], [25, 0, 35, 10]]]).astype(np.float32)
    is_gt = np.array([True, True, True, False, False])
    overlaps, gt_class = region_labels(boxes, is_gt, annotation, ("dog", "cat"))
    assert gt_class.tolist() == [1, 1, -1, -1, -1]  # a hat is background to a detector of cats and dogs
    assert np.allclose(overlaps[:, 0], 0)
    assert np.allclose(overlaps[:, 1], [1, 1, 0, 0.5, 1 / 3])


@given(st.integers(0, 1000))
def test_candidates_keep_what_sorting_everything_would_keep(seed):
    rng = np.random.default_rng(seed)
    per_image = [rng.normal(size=(rng.integers(0, 9), 2)).astype(np.float32) for _ in range(5)]
    candidates = Candidates("abcde", ("x", "y"), max_per_image=3, max_total=4)
    for i, scores in enumerate(per_image):
        candidates.add(i, np.zeros((len(scores), 4), np.float32), scores)
    best = candidates.best()
    for c in range(2):
        everything = np.concatenate([np.sort(scores[:, c])[::-1][:3] for scores in per_image])
        expected = np.sort(everything)[::-1][:4]
        assert np.array_equal(np.sort(best.scores[best.class_index == c])[::-1], expected)


def test_suppression_looks_at_one_image_and_one_class_at_a_time(rng):
    n = 200
    corners = rng.uniform(0, 30, (n, 2))
    boxes = np.hstack([corners, corners + 20]).astype(np.float32)
    images, classes = rng.integers(0, 3, n), rng.integers(0, 2, n)
    scores = rng.normal(size=n).astype(np.float32)
    kept = suppress(Detections("abc", "xy", images, classes, scores, boxes), iou_threshold=0.3)
    for image in range(3):
        for c in range(2):
            rows = np.flatnonzero((images == image) & (classes == c))
            expected = scores[rows[nms(boxes[rows], scores[rows], iou_threshold=0.3)]]
            found = kept.scores[(kept.image_index == image) & (kept.class_index == c)]
            assert np.array_equal(np.sort(found), np.sort(expected))


def test_suppression_of_nothing():
    assert len(suppress(Detections.empty(("a",), ("x",)))) == 0
