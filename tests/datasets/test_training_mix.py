"""val1+trainN: which boxes are taken, and that images annotated in part give positives and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from rcnn_helpers.bbox_regression import BoxRegressors
from rcnn_helpers.boxes import iou
from rcnn_helpers.datasets.training_mix import (
    OneClassAnnotated,
    ValPlusTrain,
    fully_annotated,
    gives_negatives,
    keep_objects,
    mining_images,
)
from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.feature_store import RegionFeatures
from rcnn_helpers.finetuning import BACKGROUND, IGNORED, TrainingWindows
from rcnn_helpers.svm import train_detector_svms
from rcnn_helpers.training_regions import TrainingRegions, regression_chunks

CLASSES = ("car", "dog")
SIZE = 60


class Pictures:
    """A data set in memory: names and boxes of each image's objects, and grey pixels."""

    root = None

    def __init__(self, objects, classes=CLASSES):
        self.objects = objects
        self.classes = classes
        self.ids = list(objects)

    def image(self, image_id):
        return np.full((SIZE, SIZE, 3), 128, np.uint8)

    def image_path(self, image_id):
        return f"{image_id}.jpg"

    def annotation(self, image_id):
        names, boxes = zip(*self.objects[image_id], strict=True) if self.objects[image_id] else ((), ())
        n = len(names)
        flags = np.zeros(n, bool)
        boxes = np.array(boxes, np.float32).reshape(n, 4)
        poses = ("Unspecified",) * n
        return Annotation(image_id, SIZE, SIZE, boxes, tuple(names), flags, flags, flags, poses)

    def subset(self, which):
        return Pictures({image_id: self.objects[image_id] for image_id in which}, self.classes)


CAR, DOG, ELSEWHERE = [0, 0, 20, 20], [30, 30, 50, 50], [0, 40, 15, 55]


@pytest.fixture
def val():
    return Pictures({"v0": [("car", CAR), ("dog", DOG)], "v1": [("dog", DOG)], "v2": []})


@pytest.fixture
def train():
    pictures = {f"t{i}": [("car", CAR), ("car", ELSEWHERE)] for i in range(6)}
    pictures |= {f"t{i}": [("dog", DOG)] for i in range(6, 9)}
    return Pictures(pictures | {"t9": []})


def test_n_boxes_of_each_class_are_taken_and_all_of_a_rare_one(val, train):
    mix = ValPlusTrain(val, train, 4)
    names = [name for image_id in mix.ids[3:] for name in mix.annotation(image_id).names]
    assert names.count("car") == 4 and names.count("dog") == 3
    np.testing.assert_array_equal(mix.n_boxes_, [4, 3])
    assert mix.ids[:3] == val.ids and "t9" not in mix.ids
    assert mix.ids[3:] == [image_id for image_id in train.ids if image_id in mix.ids]


def test_no_boxes_of_train_is_val_alone(val, train):
    mix = ValPlusTrain(val, train, 0)
    assert mix.ids == val.ids and not mix.n_boxes_.any()
    assert mix.annotation("v0").names == ("car", "dog")


def test_fewer_boxes_are_among_more_and_the_seed_decides(val, train):
    def taken(n, seed=0):
        mix = ValPlusTrain(val, train, n, seed=seed)
        return {(i, tuple(box)) for i in mix.ids[3:] for box in mix.annotation(i).boxes.tolist()}

    assert taken(2) < taken(5)
    assert taken(5) == taken(5)
    assert len({frozenset(taken(3, seed)) for seed in range(8)}) > 1


def test_a_taken_box_keeps_its_image_size_and_flags(val, train):
    mix = ValPlusTrain(val, train, 100)
    np.testing.assert_array_equal(mix.annotation("t0").boxes, [CAR, ELSEWHERE])
    assert (mix.annotation("t0").height, mix.annotation("t0").width) == (SIZE, SIZE)
    assert mix.image_path("t0") == "t0.jpg" and mix.image("v0").shape == (SIZE, SIZE, 3)


def test_only_val_gives_negatives_and_proposals(val, train):
    mix = ValPlusTrain(val, train, 2)
    assert [gives_negatives(mix, i) for i in mix.ids] == [i.startswith("v") for i in mix.ids]
    assert list(fully_annotated(mix).ids) == val.ids
    assert fully_annotated(val) is val
    boxes = {i: np.ones((5, 4), np.float32) for i in val.ids}
    proposals = mix.proposals(boxes)
    assert list(proposals) == mix.ids
    assert [len(proposals[i]) for i in mix.ids] == [5 if i.startswith("v") else 0 for i in mix.ids]
    with pytest.raises(DatasetError, match="have no proposals, the first is 'v1'"):
        mix.proposals({"v0": boxes["v0"]})


def test_a_subset_keeps_what_its_images_are(val, train):
    mix = ValPlusTrain(val, train, 2)
    part = mix.subset([mix.ids[0], mix.ids[-1]])
    assert [gives_negatives(part, i) for i in part.ids] == [True, False]
    assert len(part.annotation(mix.ids[-1])) == len(mix.annotation(mix.ids[-1]))
    assert mix.subset(2).ids == val.ids[:2]
    with pytest.raises(DatasetError, match="'t9' is not among"):
        mix.subset(["t9"])
    with pytest.raises(DatasetError, match="at least one"):
        mix.subset([])


def test_sets_that_do_not_go_together(val, train):
    with pytest.raises(DatasetError, match="in both sets, the first is 'v0'"):
        ValPlusTrain(val, val, 2)
    with pytest.raises(DatasetError, match="different classes"):
        ValPlusTrain(val, Pictures(train.objects, ("dog", "car")), 2)
    with pytest.raises(DatasetError, match="n_per_class is -1"):
        ValPlusTrain(val, train, -1)
    with pytest.raises(DatasetError, match="none of the 10 images is annotated in full"):
        fully_annotated(OneClassAnnotated(train))


def test_mining_images_are_some_of_those_annotated_in_full(val, train):
    mix = ValPlusTrain(val, train, 2)
    assert mining_images(mix) == set(val.ids) == mining_images(mix, 10)
    few = mining_images(mix, 2, seed=1)
    assert len(few) == 2 and few < set(val.ids) and few == mining_images(mix, 2, seed=1)
    with pytest.raises(DatasetError, match="limit of mining images is 0"):
        mining_images(mix, 0)


def test_one_class_of_each_image_stays_annotated():
    both = [("car", CAR), ("dog", DOG), ("car", ELSEWHERE)]
    pictures = Pictures({f"p{i}": both for i in range(20)} | {"none": []})
    partial = OneClassAnnotated(pictures, seed=0)
    kept = {i: partial.annotation(i).names for i in partial.ids}
    assert set(kept.values()) == {("car", "car"), ("dog",), ()}
    assert kept["none"] == () and not any(gives_negatives(partial, i) for i in partial.ids)
    np.testing.assert_array_equal(keep_objects(pictures.annotation("p0"), [2, 0]).boxes, [ELSEWHERE, CAR])


# The three trainings.


def test_fine_tuning_takes_no_background_from_train(val, train):
    mix = ValPlusTrain(val, train, 3)
    far = np.array([[40, 0, 58, 18]], np.float32)
    near = np.array([[1, 1, 21, 20]], np.float32)  # IoU 0.86 with CAR
    windows = TrainingWindows(mix, {i: np.concatenate([far, near]) for i in mix.ids})
    for index, image_id in enumerate(mix.ids):
        labels = windows.labels[windows.image_index == index]
        if image_id.startswith("v"):
            assert BACKGROUND in labels and IGNORED not in labels
        else:
            assert BACKGROUND not in labels
            n = len(mix.annotation(image_id))
            assert (labels[:n] > 0).all() and labels[n] == IGNORED
            has_car = any(box.tolist() == CAR for box in mix.annotation(image_id).boxes)
            assert labels[n + 1] == (1 if has_car else IGNORED)


class Store:
    """Features of regions: the objects' own boxes, then proposals; each feature says where its region is."""

    def __init__(self, dataset, proposals):
        self.dataset, self.proposals = dataset, proposals

    def read(self, image_id, layer=None):
        objects = self.dataset.annotation(image_id).boxes
        boxes = np.concatenate([objects, self.proposals[image_id]]).astype(np.float32)
        is_gt = np.arange(len(boxes)) < len(objects)
        return RegionFeatures(image_id, boxes, is_gt, np.column_stack([boxes / SIZE, np.ones(len(boxes))]))


def _mixed(val, train):
    mix = ValPlusTrain(val, train, 3)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, size=(len(mix.ids), 30, 2))
    proposals = {
        image_id: np.concatenate([corners[i], corners[i] + rng.uniform(5, 20, size=(30, 2))], axis=1)
        for i, image_id in enumerate(mix.ids)
    }
    return mix, Store(mix, proposals)


def test_svms_take_positives_everywhere_and_negatives_from_val(val, train):
    mix, store = _mixed(val, train)
    svms = train_detector_svms(TrainingRegions(mix, store, 1.0), CLASSES)
    assert {i[0] for i in svms.hardest_["image_id"]} == {"v"}
    last = svms.history_.drop_duplicates("class", keep="last").set_index("class")
    # One car and two dogs in val, three of each from train.
    assert last["positives"].to_dict() == {"car": 4, "dog": 5}
    unaware = [replace(image, gives_negatives=True) for image in TrainingRegions(mix, store, 1.0)]
    assert "t" in {i[0] for i in train_detector_svms(unaware, CLASSES).hardest_["image_id"]}


def test_svms_mine_from_few_images(val, train):
    mix, store = _mixed(val, train)
    regions = TrainingRegions(mix, store, 1.0, max_mining_images=1, seed=3)
    svms = train_detector_svms(regions, CLASSES)
    assert set(svms.hardest_["image_id"]) == mining_images(mix, 1, seed=3)


def test_random_negatives_are_from_val_too(val, train):
    mix, store = _mixed(val, train)
    svms = train_detector_svms(TrainingRegions(mix, store, 1.0), CLASSES, mine=False, n_random=60)
    assert {i[0] for i in svms.hardest_["image_id"]} == {"v"}


def test_box_regression_learns_from_val_alone(val, train):
    mix, store = _mixed(val, train)
    n_pairs = sum(len(features) for features, _, _ in regression_chunks(mix, store, 1.0))
    expected = 0
    for image_id in val.ids:
        objects = val.annotation(image_id).boxes
        if len(objects):
            regions = store.read(image_id).boxes
            expected += int((iou(regions, objects).max(axis=1) > 0.6).sum())
    assert n_pairs == expected >= 3
    alone = BoxRegressors().fit_chunks(regression_chunks(val, store, 1.0), n_classes=2)
    mixed = BoxRegressors().fit_chunks(regression_chunks(mix, store, 1.0), n_classes=2)
    np.testing.assert_array_equal(alone.coef_, mixed.coef_)
