"""Memory is flat in the number of images: how many of them are alive at once, in every stage that decodes any."""

import dataclasses
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from torch import nn

from rcnn_helpers import kept_images, memory
from rcnn_helpers.columns import Columns
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import ImageError
from rcnn_helpers.feature_store import FeatureStore, RegionFeatures
from rcnn_helpers.features import extract_dataset
from rcnn_helpers.finetuning import FinetuneSettings, TrainingWindows, compose_batch, finetune
from rcnn_helpers.kept_images import KeptImages, memory_for_images
from rcnn_helpers.networks import Network, NetworkSpec, RegionNet
from rcnn_helpers.networks.network import initialise
from rcnn_helpers.pretraining import ObjectCrops
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.svm import train_detector_svms
from rcnn_helpers.training_regions import TrainingRegions, regression_chunks
from rcnn_helpers.units import build_index
from rcnn_helpers.warping import WindowWarper, crop_buffer

CLASSES = ("red", "blue")
HEIGHT, WIDTH = 60, 90
IMAGE_BYTES = HEIGHT * WIDTH * 3
# Images that may be alive at once, whatever their number: those that a few threads work on, and a few ahead.
FEW = 8
SIZES = (12, 36)


def build_tiny(n_classes):
    trunk = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4), nn.ReLU())
    return RegionNet(trunk, nn.MaxPool2d(4, 4), nn.Linear(16, 8), nn.Linear(8, 8), nn.Linear(8, n_classes))


TINY = NetworkSpec(
    "tiny",
    build_tiny,
    35,
    (120.0, 115.0, 105.0),
    (60.0, 60.0, 60.0),
    {"pool5": (4, 2, 2), "fc6": (8,), "fc7": (8,)},
)


@pytest.fixture
def network():
    module = build_tiny(3)
    initialise(module, seed=1)
    return Network(TINY, module)


class Alive:
    """Counts the objects that have been registered and are not gone yet."""

    def __init__(self):
        self.now = self.most = self.ever = 0
        self.lock = threading.RLock()  # a finalizer may run while its own thread counts

    def register(self, thing):
        with self.lock:
            self.now += 1
            self.ever += 1
            self.most = max(self.most, self.now)
        weakref.finalize(thing, self._gone)
        return thing

    def _gone(self):
        with self.lock:
            self.now -= 1


class Scenes:
    """Noise with a red and a blue square; every image handed out is counted as long as somebody holds it."""

    classes = CLASSES

    def __init__(self, n):
        self.ids = [f"{number:06d}" for number in range(n)]
        self.images = Alive()

    def image(self, image_id):
        rng = np.random.default_rng(int(image_id))
        image = rng.integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        image[10:40, 10:40], image[10:40, 50:80] = (255, 0, 0), (0, 0, 255)
        return self.images.register(image)

    def annotation(self, image_id):
        boxes = np.array([[10, 10, 40, 40], [50, 10, 80, 40]], np.float32)
        no = np.zeros(2, bool)
        return SimpleNamespace(
            image_id=image_id,
            height=HEIGHT,
            width=WIDTH,
            boxes=boxes,
            names=CLASSES,
            difficult=no,
            truncated=no,
            occluded=no,
            poses=("Unspecified",) * 2,
            __len__=lambda: 2,
        )

    def segmentation(self, image_id):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[10:40, 10:40], mask[10:40, 50:80] = 1, 2
        return mask, mask


class WithLength(Scenes):
    """The same, with annotations that have a length, as those of data sets do."""

    def annotation(self, image_id):
        from rcnn_helpers.datasets.voc import Annotation

        given = vars(super().annotation(image_id))
        return Annotation(**{field.name: given[field.name] for field in dataclasses.fields(Annotation)})


def boxes_of(dataset, n=12):
    """Boxes near the objects and anywhere."""
    found = {}
    for image_id in dataset.ids:
        rng = np.random.default_rng([7, int(image_id)])
        near = dataset.annotation(image_id).boxes[rng.integers(2, size=n // 2)]
        near = near + rng.uniform(-4, 4, near.shape)
        start = rng.uniform(0, [60, 30], (n // 2, 2))
        anywhere = np.concatenate([start, start + rng.uniform(8, 28, (n // 2, 2))], axis=1)
        boxes = np.concatenate([near, anywhere])
        found[image_id] = np.clip(boxes, 0, [WIDTH, HEIGHT] * 2).astype(np.float32)
    return found


# -- images alive at once, by stage ------------------------------------------------------------------------


def stage_proposals(dataset, network, folder):
    propose_dataset(dataset, max_boxes=20, cache=folder, progress=False)


def stage_lazy_proposals(dataset, network, folder):
    found = propose_dataset(dataset, max_boxes=20, lazy=True, progress=False)
    assert all(len(found[image_id]) for image_id in dataset.ids)


def stage_features(dataset, network, folder):
    extract_dataset(
        network, dataset, boxes_of(dataset), store=FeatureStore(folder, network=network), progress=False
    )


def stage_detector(dataset, network, folder):
    detector = RCNN(network, layer="fc7").fit(dataset, proposals=boxes_of(dataset), progress=False)
    detector.detect_dataset(dataset, proposals=boxes_of(dataset), progress=False, regression_rounds=2)


def stage_units(dataset, network, folder):
    build_index(dataset, boxes_of(dataset), network=network, layer="pool5", top=5, progress=False)


def stage_segmentation(dataset, network, folder):
    from rcnn_helpers.segmentation.segmenter import Segmenter

    segmenter = Segmenter(network, features="full", layer="fc6", max_regions=5, min_pixels=50, folds=2)
    segmenter.fit(dataset, progress=False)
    segmenter.evaluate(dataset, progress=False)


def stage_fine_tuning(dataset, network, folder):
    settings = FinetuneSettings(steps=3, batch_size=4, positives=1)
    finetune(network, dataset, boxes_of(dataset), settings=settings, image_memory=0, progress=False)


def stage_pre_training(dataset, network, folder):
    crops = ObjectCrops(dataset, network, image_memory=0)
    draw_crops(crops, 4)
    for _ in crops.batches(4):
        pass


STAGES = (
    stage_proposals,
    stage_lazy_proposals,
    stage_features,
    stage_detector,
    stage_units,
    stage_segmentation,
    stage_fine_tuning,
    stage_pre_training,
)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__.removeprefix("stage_"))
def test_no_stage_holds_more_images_than_it_works_on(stage, network, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_images, "_threads", lambda: 2)
    monkeypatch.setattr(kept_images, "_AHEAD", 1)
    for n in SIZES:
        dataset = WithLength(n)
        stage(dataset, network, tmp_path / str(n))
        assert dataset.images.ever > 0
        assert dataset.images.most <= FEW, f"{dataset.images.most} of {n} images were alive at once"
        assert dataset.images.now == 0


def test_fingerprints_hold_one_picture_at_a_time(tmp_path, monkeypatch):
    from rcnn_helpers.images import read_image, write_image
    from rcnn_helpers.redundancy import fingerprints, near_duplicates, open_pictures, pictures

    alive = Alive()
    monkeypatch.setattr(pictures, "read_image", lambda path: alive.register(read_image(path)))
    scenes = Scenes(SIZES[-1])
    for image_id in scenes.ids:
        write_image(tmp_path / f"{image_id}.png", scenes.image(image_id))
    known = fingerprints(open_pictures(tmp_path), chunk=20)
    assert alive.ever == SIZES[-1] and alive.most <= 2
    monkeypatch.setattr(pictures, "memory_for_images", lambda: 0)
    mapped = fingerprints(open_pictures(tmp_path), chunk=20)
    assert isinstance(mapped.descriptors, np.memmap) and not isinstance(known.descriptors, np.memmap)
    assert_array_equal(mapped.descriptors, known.descriptors)
    assert_frame_equal(near_duplicates(mapped, k=3), near_duplicates(known, k=3))


def test_annotations_are_forgotten_when_they_are_too_many(tmp_path, monkeypatch):
    from rcnn_helpers.datasets import annotated_images
    from rcnn_helpers.datasets.voc import VOCDataset, write_annotation, write_image_set

    scenes, alive = WithLength(SIZES[-1]), Alive()
    for image_id in scenes.ids:
        write_annotation(tmp_path / "Annotations" / f"{image_id}.xml", scenes.annotation(image_id))
    write_image_set(tmp_path / "ImageSets" / "Main" / "train.txt", scenes.ids)
    (tmp_path / "JPEGImages").mkdir()
    read = VOCDataset._read_annotation
    monkeypatch.setattr(VOCDataset, "_read_annotation", lambda self, name: alive.register(read(self, name)))
    monkeypatch.setattr(annotated_images, "KEPT_ANNOTATIONS", 10)
    dataset = VOCDataset(tmp_path, "train", classes=CLASSES)
    for image_id in dataset.ids * 2:
        assert dataset.annotation(image_id).image_id == image_id
    assert alive.most <= 10 + 1 and alive.ever == 2 * SIZES[-1]
    ten = dataset.subset(10)
    ten._annotations.clear()
    for image_id in ten.ids * 3:
        ten.annotation(image_id)
    assert alive.ever == 2 * SIZES[-1] + 10, "as many as may be kept are read once"


def test_judging_detections_decodes_no_image():
    from rcnn_helpers.diagnosis import diagnose, tide
    from rcnn_helpers.evaluation import Detections, evaluate

    dataset = WithLength(SIZES[0])
    boxes = boxes_of(dataset)
    rows = np.repeat(np.arange(len(dataset.ids)), 12)
    detections = Detections(
        dataset.ids,
        CLASSES,
        rows,
        rows % 2,
        np.linspace(0, 1, len(rows)),
        np.concatenate(list(boxes.values())),
    )
    evaluate(detections, dataset), diagnose(detections, dataset), tide(detections, dataset)
    assert dataset.images.ever == 0


# -- features alive at once --------------------------------------------------------------------------------


class CountedFeatures(FeatureStore):
    """Features made up when they are read, and counted as long as somebody holds them."""

    def __init__(self, folder, network, dataset):
        super().__init__(folder, network=network)
        self.dataset, self.boxes, self.features = dataset, boxes_of(dataset), Alive()

    def read(self, image_id, layer=None):
        boxes = np.concatenate([self.dataset.annotation(image_id).boxes, self.boxes[image_id]])
        rng = np.random.default_rng([5, int(image_id)])
        features = rng.random((len(boxes), self.network.feature_dim(layer or self.layer)), dtype=np.float32)
        return RegionFeatures(image_id, boxes, np.arange(len(boxes)) < 2, self.features.register(features))


def train_svms(dataset, store):
    train_detector_svms(TrainingRegions(dataset, store, 1.0, layer="fc7"), CLASSES)


def train_regression(dataset, store):
    from rcnn_helpers.bbox_regression import BoxRegressors

    BoxRegressors().fit_chunks(regression_chunks(dataset, store, 1.0), n_classes=2)


def index_units(dataset, store):
    build_index(dataset, store=store, top=5, progress=False)


@pytest.mark.parametrize("stage", [train_svms, train_regression, index_units])
def test_no_stage_holds_the_features_of_many_images(stage, network, tmp_path):
    for n in SIZES:
        dataset = WithLength(n)
        store = CountedFeatures(tmp_path / str(n), network, dataset)
        stage(dataset, store)
        assert store.features.ever >= n
        assert store.features.most <= 3, f"the features of {store.features.most} images were alive at once"


# -- images of the trainings -------------------------------------------------------------------------------


def numbered(number):
    return np.full((2, 3, 3), number, np.uint8)


def test_the_first_images_are_kept_as_far_as_they_fit():
    images = KeptImages(numbered, 9, memory=4 * 18 + 17)
    assert len(images) == 9 and len(images.kept) == 4 and images.nbytes == 4 * 18 and not images.holds_all
    assert [int(image[0, 0, 0]) for image in images] == list(range(9))
    assert int(images[-1][0, 0, 0]) == 8
    several = images.several([7, 1, 7, 3, 8])
    assert list(several) == [1, 3, 7, 8] and all((several[i] == i).all() for i in several)
    with pytest.raises(IndexError):
        images[9]
    assert KeptImages(numbered, 9, memory=9 * 18).holds_all
    assert KeptImages.of([numbered(1)]).holds_all and len(KeptImages(numbered, 0, memory=0)) == 0


def test_what_fits_is_read_once():
    numbers = []
    images = KeptImages(lambda number: numbers.append(number) or numbered(number), 50, memory=50 * 18)
    for _ in range(3):
        images.several(range(50))
    assert sorted(numbers) == list(range(50))


def test_an_image_that_cannot_be_read_is_named_at_once():
    def read(number):
        if number == 3:
            raise ImageError("image 3 is damaged")
        return numbered(number)

    with pytest.raises(ImageError, match="image 3"):
        KeptImages(read, 9, memory=10**6)
    with pytest.raises(ImageError, match="image 3"):
        KeptImages(read, 9, memory=0).several([1, 3])


@pytest.mark.parametrize("kept", [0, 3])
def test_training_draws_the_same_whatever_is_kept(network, kept):
    settings = FinetuneSettings(steps=3, batch_size=8, positives=2, dropout=0.2)
    dataset = WithLength(9)
    boxes = boxes_of(dataset)
    whole = TrainingWindows(dataset, boxes, image_memory=10**8)
    part = TrainingWindows(dataset, boxes, image_memory=kept * IMAGE_BYTES)
    assert whole.images.holds_all and len(part.images.kept) == kept
    assert isinstance(part.boxes, np.memmap) == (kept == 0) and not isinstance(whole.boxes, np.memmap)
    for name in ("image_index", "boxes", "labels", "positives", "background"):
        assert_array_equal(getattr(part, name), getattr(whole, name))
        assert getattr(part, name).dtype == getattr(whole, name).dtype
    assert part.checksum == whole.checksum
    batch = compose_batch(part, settings, 1)
    assert_array_equal(batch.windows, compose_batch(whole, settings, 1).windows)
    crops = [
        windows.warper(network)(windows.image_index[batch.windows], windows.boxes[batch.windows])
        for windows in (part, whole)
    ]
    assert torch.equal(*crops)
    tuned = [
        finetune(network, dataset, boxes, settings=settings, image_memory=room, progress=False)
        for room in (kept * IMAGE_BYTES, 10**8)
    ]
    weights = [result.network.module.state_dict() for result in tuned]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def draw_crops(crops, n):
    out = crop_buffer(n, crops.network.input_size, torch.float32)
    found, labels = crops.draw(n, rng=np.random.default_rng(0), box_jitter=0.1, colour_jitter=0.1, out=out)
    return found.clone(), labels


def test_pre_training_draws_the_same_whatever_is_kept(network):
    whole, part = (
        ObjectCrops(WithLength(9), network, image_memory=room) for room in (10**8, 2 * IMAGE_BYTES)
    )
    assert whole.images.holds_all and len(part.images.kept) == 2
    assert all(torch.equal(*pair) for pair in zip(draw_crops(whole, 12), draw_crops(part, 12), strict=True))
    for pair in zip(whole.batches(5), part.batches(5), strict=True):
        assert torch.equal(pair[0][0], pair[1][0])


def test_a_device_that_does_not_hold_all_images_gets_those_of_a_batch(monkeypatch):
    """On the device "meta" nothing is computed; what is brought there can be looked at."""
    brought = []

    class Brought:
        def __init__(self, images, **options):
            brought.append([int(image[0, 0, 0]) for image in images])

        def warp(self, numbers, geometry, **options):
            return brought[-1], numbers.tolist()

    monkeypatch.setattr("rcnn_helpers.warping.DevicePixels", Brought)
    boxes = [[0, 0, 2, 2]] * 3
    assert WindowWarper([numbered(i) for i in range(5)], device="meta")([4, 2, 4], boxes) == (
        [0, 1, 2, 3, 4],
        [4, 2, 4],
    )
    images = KeptImages(numbered, 5, memory=18)
    assert WindowWarper(images, device="meta")([4, 2, 4], boxes) == ([2, 4], [1, 0, 1])


# -- columns, and how much memory there is -----------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 30, 10**6])
def test_columns_are_the_same_in_memory_and_in_files(limit):
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 100, (n, 4)) for n in (3, 0, 2, 5)]
    columns = Columns({"boxes": (np.float32, 4), "rows": (np.int64, 0), "none": (np.int16, 0)}, limit)
    for block in blocks:
        columns.append(boxes=block, rows=block[:, 0], none=np.zeros(0))
    found = columns.finish()
    assert_array_equal(found["boxes"], np.concatenate(blocks).astype(np.float32))
    assert_array_equal(found["rows"], np.concatenate(blocks)[:, 0])
    assert found["boxes"].dtype == np.float32 and found["none"].shape == (0,)
    assert isinstance(found["rows"], np.memmap) == (limit < 10 * (16 + 8))


def test_memory_left_is_below_the_tightest_limit(tmp_path):
    inner = tmp_path / "groups" / "batch" / "job"
    inner.mkdir(parents=True)
    (tmp_path / "own").write_text("1:cpu:/elsewhere\n0::/batch/job\n")

    def limit(folder, most, used, files):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon {used - files}\ninactive_file {files}\n")

    def left():
        return memory._left_in_groups(tmp_path / "groups", tmp_path / "own")

    assert left() == []
    limit(inner, "max", 500, 0)
    assert left() == []
    limit(inner.parent, 1000, 700, 200)
    assert left() == [1000 - 700 + 200]
    limit(inner, 600, 500, 0)
    assert left() == [100, 500]
    assert memory._left_in_groups(tmp_path / "groups", tmp_path / "missing") == []


def test_half_of_what_is_free_is_for_images_and_processes_share_it(monkeypatch):
    assert memory.available_memory() > 0
    monkeypatch.setattr(kept_images, "available_memory", lambda: 800)
    assert memory_for_images() == 400
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory_for_images() == 100
