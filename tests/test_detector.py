"""The detector as a whole: fit, detect, save, load, and what bad input gets."""

import copy
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.bbox_regression import BoxRegressors
from rcnn_helpers.boxes import iou
from rcnn_helpers.candidates import Candidates, best_thresholds, suppress
from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, ModelError, SettingsError, StoreError
from rcnn_helpers.evaluation import Detections, PrecisionRecall, evaluate
from rcnn_helpers.networks.network import Network
from rcnn_helpers.nms import nms
from rcnn_helpers.training_regions import region_labels, regression_chunks
from rcnn_helpers.warping import warp_reference

sys.path.insert(0, str(Path(__file__).parent))
from test_features import tiny_network


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


def test_by_default_a_class_is_reported_from_its_own_threshold_on(fitted, proposals):
    image, boxes = ShapesDataset().image("001"), proposals["001"]
    everything = fitted.detect(image, boxes=boxes, score_threshold=-np.inf)
    reported = fitted.detect(image, boxes=boxes)
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


def test_training_and_detection_see_the_same_features(fitted, proposals, tmp_path):
    """Also where the arithmetic is rounded: what a store computes from pool5 is what one image gets on its own."""
    dataset = ShapesDataset(1)
    for precision in ("float32", "bfloat16"):
        detector = RCNN(fitted.network, layer="fc7", precision=precision)
        store = detector.extract(dataset, proposals, cache=tmp_path, progress=False)
        stored = store.read("000", "fc7").features[2:]
        assert np.allclose(
            detector.features(dataset.image("000"), proposals["000"]), stored, rtol=0.01, atol=0.01
        )


def test_a_saved_detector_detects_the_same(fitted, proposals, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = RCNN.load(tmp_path / "model.safetensors", device="cpu")
    image, boxes = ShapesDataset().image("003"), proposals["003"]
    for options in ({}, {"score_threshold": -1}, {"score_threshold": -1, "box_regression": False}):
        before, after = (detector.detect(image, boxes=boxes, **options) for detector in (fitted, loaded))
        assert len(before) > 0
        assert np.array_equal(before.boxes, after.boxes)
        assert np.allclose(before.scores, after.scores, atol=1e-5)
    assert np.array_equal(loaded.regressors_.n_pairs_, fitted.regressors_.n_pairs_)


def test_a_class_without_objects_never_fires_and_moves_nothing(proposals):
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
    moved = detector.regress(dataset.image("000"), proposals["000"])
    assert np.allclose(moved[:, 1], proposals["000"], atol=1e-3)
    assert np.abs(moved[:, 0] - proposals["000"]).max() > 0.5


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


# -- box regression ----------------------------------------------------------------------------------------

IMAGE = np.zeros((40, 100, 3), np.uint8)
LEFT, RIGHT = [10, 10, 30, 30], [40, 10, 60, 30]


class OneImage:
    ids = ("only",)
    classes = ("wide", "shifted")

    def image(self, image_id):
        return IMAGE

    def annotation(self, image_id):
        return Annotation(
            image_id=image_id,
            height=40,
            width=100,
            boxes=np.zeros((0, 4), np.float32),
            names=(),
            difficult=np.zeros(0, bool),
            truncated=np.zeros(0, bool),
            occluded=np.zeros(0, bool),
            poses=(),
        )


@pytest.fixture
def made_by_hand():
    """Scores LEFT 0.9 and 0.2, RIGHT 0.8 and 0.7; "wide" triples a width, "shifted" moves by half of one."""
    detector = RCNN(tiny_network(), precision="float32")
    detector.classes_ = OneImage.classes
    detector.thresholds_ = np.zeros(2, np.float32)
    scores = np.array([[0.9, 0.2], [0.8, 0.7]], np.float32)
    detector.svms_ = SimpleNamespace(decision_function=lambda features: scores)
    detector.regressors_ = BoxRegressors()
    detector.regressors_.coef_ = np.zeros((2, 4, 32), np.float32)
    detector.regressors_.intercept_ = np.array([[0, 0, np.log(3), 0], [0.5, 0, 0, 0]], np.float32)
    return detector


def listed(detections):
    return [
        (detections.classes[c], round(float(score), 3), [round(float(v), 3) for v in box])
        for c, score, box in zip(detections.class_index, detections.scores, detections.boxes, strict=True)
    ]


class TestBoxRegressionInDetection:
    # Tripled and clipped, LEFT is [0, 50] and RIGHT [20, 80] wide: an IoU of 30 / 80, and the worse one goes.
    REGRESSED = (
        ("wide", 0.9, [0, 10, 50, 30]),
        ("shifted", 0.7, [50, 10, 70, 30]),
        ("shifted", 0.2, [20, 10, 40, 30]),
    )
    AS_PROPOSED = (
        ("wide", 0.9, LEFT),
        ("wide", 0.8, RIGHT),
        ("shifted", 0.7, RIGHT),
        ("shifted", 0.2, LEFT),
    )

    def test_boxes_move_before_suppression_and_keep_their_scores(self, made_by_hand):
        assert listed(made_by_hand.detect(IMAGE, boxes=[LEFT, RIGHT])) == list(self.REGRESSED)
        plain = made_by_hand.detect(IMAGE, boxes=[LEFT, RIGHT], box_regression=False)
        assert listed(plain) == list(self.AS_PROPOSED)

    @pytest.mark.parametrize("with_store", [False, True])
    def test_the_same_over_a_data_set(self, made_by_hand, with_store, tmp_path):
        proposals = {"only": np.array([LEFT, RIGHT], np.float32)}
        store = None
        if with_store:
            store = made_by_hand.extract(OneImage(), proposals, cache=tmp_path, progress=False)
        options = {"proposals": proposals, "store": store, "progress": False}
        found = made_by_hand.detect_dataset(OneImage(), **options)
        assert sorted(listed(found)) == sorted(self.REGRESSED)
        plain = made_by_hand.detect_dataset(OneImage(), box_regression=False, **options)
        assert sorted(listed(plain)) == sorted(self.AS_PROPOSED)

    @pytest.mark.parametrize("with_store", [False, True])
    @pytest.mark.parametrize("regression_rounds", [1, 2])
    def test_an_image_without_proposals(self, made_by_hand, with_store, regression_rounds, tmp_path):
        made_by_hand.svms_ = SimpleNamespace(decision_function=lambda features: np.zeros((len(features), 2)))
        nothing = {"only": np.zeros((0, 4), np.float32)}
        store = None
        if with_store:
            store = made_by_hand.extract(OneImage(), nothing, cache=tmp_path, progress=False)
        options = {"regression_rounds": regression_rounds, "store": store, "progress": False}
        assert len(made_by_hand.detect_dataset(OneImage(), proposals=nothing, **options)) == 0

    def test_regress_says_where_every_class_moves_every_box(self, made_by_hand):
        moved = made_by_hand.regress(IMAGE, [LEFT, RIGHT])
        assert np.allclose(moved[0], [[0, 10, 50, 30], [20, 10, 40, 30]], atol=1e-4)
        assert np.allclose(moved[1], [[20, 10, 80, 30], [50, 10, 70, 30]], atol=1e-4)

    def test_a_shrunken_picture_is_regressed_in_its_own_pixels(self, made_by_hand):
        large = np.zeros((800, 2000, 3), np.uint8)
        found = made_by_hand.detect(large, boxes=20 * np.array([LEFT, RIGHT]))
        assert [name for name, _, _ in listed(found)] == [name for name, _, _ in self.REGRESSED]
        assert np.allclose(found.boxes, 20 * np.array([box for _, _, box in self.REGRESSED]), atol=0.01)


def test_regression_improves_places_and_leaves_scores(fitted, proposals):
    unseen = ShapesDataset(10)
    unseen.ids = unseen.ids[6:]
    tight = {}
    for box_regression in (False, True):
        found = fitted.detect_dataset(
            unseen, proposals=proposals, box_regression=box_regression, progress=False
        )
        tight[box_regression] = evaluate(found, unseen, match_iou=0.85).mean_ap
    assert tight[True] >= tight[False]


def test_a_detector_trained_without_regression_is_the_same_but_for_it(proposals, tmp_path):
    dataset, network = ShapesDataset(2), tiny_network()
    with_regression, plain = (
        RCNN(network, precision="float32", box_regression=wanted).fit(
            dataset, proposals=proposals, cache=tmp_path, progress=False
        )
        for wanted in (True, False)
    )
    assert plain.regressors_ is None and "box regression" not in plain.seconds_
    options = {"proposals": proposals, "progress": False}
    expected = with_regression.detect_dataset(dataset, box_regression=False, **options)
    found = plain.detect_dataset(dataset, **options)
    assert np.array_equal(found.boxes, expected.boxes)
    assert np.array_equal(found.scores, expected.scores)
    assert not np.array_equal(found.boxes, with_regression.detect_dataset(dataset, **options).boxes)
    with pytest.raises(SettingsError, match="trained without box regression"):
        plain.detect_dataset(dataset, box_regression=True, **options)
    with pytest.raises(SettingsError, match="trained without box regression"):
        plain.regress(dataset.image("000"), proposals["000"])


def test_a_detector_without_regression_is_saved_without(fitted, proposals, tmp_path):
    plain = copy.copy(fitted)
    plain.box_regression, plain.regressors_ = False, None
    plain.save(tmp_path / "plain.safetensors")
    loaded = RCNN.load(tmp_path / "plain.safetensors", device="cpu")
    image, boxes = ShapesDataset().image("000"), proposals["000"]
    assert loaded.regressors_ is None
    assert np.array_equal(loaded.detect(image, boxes=boxes).boxes, plain.detect(image, boxes=boxes).boxes)


def test_two_rounds_are_those_done_by_hand(fitted, proposals):
    dataset = ShapesDataset(1)
    image, boxes = dataset.image("000"), proposals["000"]
    options = {"proposals": proposals, "progress": False, "max_per_image": 10**6, "mean_per_image": 10**6}
    found = fitted.detect_dataset(dataset, regression_rounds=2, **options)
    first = fitted.regress(image, boxes)
    for c in range(2):
        second = fitted.regress(image, first[:, c])[:, c]
        scores = fitted.score(image, first[:, c])[:, c]
        kept = nms(second, scores, iou_threshold=fitted.nms_iou)
        of_class = found.of_class(dataset.classes[c]).sorted()
        assert np.allclose(of_class.scores, scores[kept], atol=1e-4)
        assert np.allclose(of_class.boxes, second[kept], atol=0.05)
    single = fitted.detect(image, boxes=boxes, regression_rounds=2, score_threshold=0)
    assert (single.scores > 0).all()
    everywhere = found.select(found.scores > 0).sorted()
    assert np.allclose(single.scores[:5], everywhere.scores[:5], atol=1e-4)


@pytest.mark.parametrize("rounds, box_regression, message", [(0, None, "1 or more"), (2, False, "2 rounds")])
def test_rounds_that_make_no_sense_are_refused(fitted, rounds, box_regression, message):
    with pytest.raises(SettingsError, match=message):
        fitted.detect(IMAGE, boxes=[LEFT], regression_rounds=rounds, box_regression=box_regression)


def test_regression_learns_from_near_regions_of_the_right_class(proposals, tmp_path):
    """The pairs of every image, against a search region by region and object by object."""
    dataset = ShapesDataset(3, classes=("disc",))  # the squares are of no class then, and teach nothing
    detector = RCNN(tiny_network(), precision="float32")
    store = detector.extract(dataset, proposals, cache=tmp_path, progress=False)
    chunks = list(regression_chunks(dataset, store, 0.5))
    assert len(chunks) == 3
    for image_id, (features, targets, class_index) in zip(dataset.ids, chunks, strict=True):
        square, disc = dataset.annotation(image_id).boxes
        regions = store.read(image_id)
        rows = []
        for row, box in enumerate(regions.boxes):
            to_square, to_disc = iou([box], [square])[0, 0], iou([box], [disc])[0, 0]
            if to_disc > 0.6 and to_disc > to_square:
                rows.append(row)
        assert 1 in rows, "the disc's own box is a pair, with nothing to mend"
        assert len(rows) == len(targets) > 3
        assert (targets[0] == 0).all() and (class_index == 0).all()
        assert np.array_equal(features, regions.features[rows] * np.float32(0.5))
        width = regions.boxes[rows, 2] - regions.boxes[rows, 0]
        centre = regions.boxes[rows][:, [0, 2]].mean(axis=1)
        assert np.allclose(targets[:, 0], (disc[[0, 2]].mean() - centre) / width, atol=1e-5)


# -- the softmax as detector, and stores that do not fit ---------------------------------------------------


def test_softmax_scores_are_the_networks_class_probabilities(proposals, tmp_path):
    dataset, network = ShapesDataset(2), tiny_network()
    detector = RCNN(network, classifier="softmax", precision="float32")
    detector.fit(dataset, proposals=proposals, cache=tmp_path, progress=False)
    assert detector.svms_ is None and "SVMs" not in detector.seconds_
    image, boxes = dataset.image("001"), proposals["001"][::5]
    crops = np.stack([warp_reference(image, box, size=35, mean=network.mean) for box in boxes])
    crops = ((crops - network.mean) / network.std).astype(np.float32)
    with torch.no_grad():
        outputs = network.module(torch.from_numpy(crops).permute(0, 3, 1, 2))
    expected = torch.softmax(outputs, dim=1).numpy()
    assert np.allclose(detector.score(image, boxes), expected[:, 1:], atol=1e-4)
    store = detector.extract(dataset, proposals, cache=tmp_path, progress=False)
    stored = detector.detect_dataset(dataset, proposals=proposals, store=store, progress=False)
    direct = detector.detect_dataset(dataset, proposals=proposals, progress=False)
    assert np.allclose(np.sort(stored.scores)[-9:], np.sort(direct.scores)[-9:], atol=1e-3)
    assert 0 < stored.scores.min() and stored.scores.max() < 1


def test_a_saved_softmax_detector_detects_the_same(proposals, tmp_path):
    from rcnn_helpers.networks import load_network

    network = load_network("quarter_tnet", weights="random", n_classes=3, device="cpu")
    detector = RCNN(network, classifier="softmax", precision="float32", box_regression=False)
    dataset = ShapesDataset(1)
    detector.fit(dataset, proposals=proposals, progress=False)
    detector.save(tmp_path / "model.safetensors")
    loaded = RCNN.load(tmp_path / "model.safetensors", device="cpu")
    image, boxes = dataset.image("000"), proposals["000"]
    assert loaded.classifier == "softmax"
    assert np.allclose(loaded.score(image, boxes), detector.score(image, boxes), atol=1e-6)


def test_a_softmax_that_knows_other_classes_is_refused(proposals):
    detector = RCNN(tiny_network(), classifier="softmax")
    with pytest.raises(SettingsError, match="has 3 outputs.*1 classes it needs 2.*fine-tune"):
        detector.fit(ShapesDataset(1, classes=("disc",)), proposals=proposals, progress=False)


def test_choices_that_a_network_does_not_offer_are_refused():
    network = tiny_network()
    without_fc = Network(replace(network.spec, shapes={"pool5": (8, 2, 2)}), network.module)
    with pytest.raises(SettingsError, match="tiny.*no fully connected layers"):
        RCNN(without_fc, classifier="softmax")
    with pytest.raises(SettingsError, match="unknown classifier 'forest'; choose one of svm, softmax"):
        RCNN(tiny_network(), classifier="forest")
    with pytest.raises(SettingsError, match="no layer 'fc9'; it has pool5, fc6, fc7"):
        RCNN(tiny_network(), layer="fc9")


def test_stores_of_another_kind_are_refused(proposals, tmp_path):
    from rcnn_helpers.features import FeatureStore

    detector = RCNN(tiny_network())
    of_fc7 = FeatureStore(tmp_path, network=detector.network, layer="fc7")
    with pytest.raises(StoreError, match="opened with layer='fc7', but layer='pool5' is needed"):
        detector.fit(ShapesDataset(1), proposals=proposals, store=of_fc7, progress=False)
    of_squares = FeatureStore(tmp_path, network=detector.network, mode="square")
    with pytest.raises(StoreError, match="opened with mode='square', but mode='warp' is needed"):
        detector.extract(ShapesDataset(1), proposals, store=of_squares, progress=False)
    with pytest.raises(SettingsError, match="store or a cache"):
        detector.extract(ShapesDataset(1), proposals)


def test_overlaps_of_training_are_passed_on_to_the_svms(proposals, tmp_path):
    detector = RCNN(tiny_network(), precision="float32", positive_iou=0.7, negative_iou=0.1)
    detector.fit(ShapesDataset(2), proposals=proposals, cache=tmp_path, progress=False)
    n_positives = {"square": 0, "disc": 0}
    for image_id in ShapesDataset(2).ids:
        truth = ShapesDataset(2).annotation(image_id).boxes
        regions = np.vstack([truth, proposals[image_id]])
        for name, overlaps in zip(n_positives, iou(truth, regions), strict=True):
            n_positives[name] += int((overlaps >= 0.7).sum())
    trained = detector.svms_.history_.groupby("class")["positives"].last()
    assert trained.to_dict() == n_positives


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

    def test_a_model_of_the_format_before(self, fitted, tmp_path):
        from safetensors.numpy import save_file

        path = tmp_path / "model.safetensors"
        header = {"format": "rcnn_helpers.model.1", "classes": ["square"]}
        save_file({"svm.coef": np.zeros(3)}, path, metadata={"rcnn": json.dumps(header)})
        with pytest.raises(ModelError, match="older version.*model.1.*before box regression.*train it again"):
            RCNN.load(path)

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
