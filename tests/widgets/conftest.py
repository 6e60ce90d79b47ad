"""A tiny data set with known detections, and one explorer of each kind on it."""

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.diagnosis import diagnose
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.images import write_image
from rcnn_helpers.networks import load_network
from rcnn_helpers.redundancy import fingerprints, near_duplicates, open_pictures
from rcnn_helpers.units.index import UnitIndex

BOXES = np.array([[20, 30, 90, 80], [110, 40, 180, 130]], dtype=np.float32)
NAMES = ("cat", "dog")


class OnDemand(Mapping):
    """Explorers by name, each made when it is first asked for."""

    def __init__(self, builders):
        self.builders, self.built = builders, {}

    def __getitem__(self, name):
        if name not in self.built:
            self.built[name] = self.builders[name]()
        return self.built[name]

    def __iter__(self):
        return iter(self.builders)

    def __len__(self):
        return len(self.builders)


class TinyDataset:
    """Two images of 200 x 150 pixels, each with a cat and a dog."""

    ids = ("a", "b")
    classes = NAMES

    def image(self, image_id):
        return np.random.default_rng(ord(image_id)).integers(0, 256, (150, 200, 3), dtype=np.uint8)

    def annotation(self, image_id):
        return SimpleNamespace(names=NAMES, boxes=BOXES, difficult=np.zeros(2, dtype=bool))

    def segmentation(self, image_id):
        classes = np.zeros((150, 200), np.uint8)
        for number, (x1, y1, x2, y2) in enumerate(BOXES.astype(int).tolist(), 1):
            classes[y1:y2, x1:x2] = number
        return classes, classes


@pytest.fixture
def dataset():
    return TinyDataset()


@pytest.fixture
def image(dataset):
    return dataset.image("a")


@pytest.fixture
def tree():
    """Four quarters of a 150 x 200 image; the left two merge, then the right two, then all."""
    segments = np.zeros((150, 200), dtype=np.int32)
    segments[75:, :100], segments[:75, 100:], segments[75:, 100:] = 1, 2, 3
    children = np.array([[0, 1], [2, 3], [4, 5]])
    ancestors = {0: (0, 4, 6), 1: (1, 4, 6), 2: (2, 5, 6), 3: (3, 5, 6)}

    def labels_after(n_merges):
        owner = [max(node for node in ancestors[leaf] if node < 4 + n_merges) for leaf in range(4)]
        return np.array(owner)[segments]

    quarters = [[0, 0, 100, 75], [0, 75, 100, 150], [100, 0, 200, 75], [100, 75, 200, 150]]
    return SimpleNamespace(
        n_segments=4,
        segments=segments,
        children=children,
        similarity=np.array([0.9, 0.8, 0.3]),
        boxes=np.array([*quarters, [0, 0, 100, 150], [100, 0, 200, 150], [0, 0, 200, 150]], dtype=np.float32),
        sizes=np.array([7500] * 4 + [15000] * 2 + [30000]),
        labels_after=labels_after,
    )


@pytest.fixture
def detections():
    """In image a: a right cat, its duplicate, and a wrong dog; in b: a right dog."""
    return Detections(
        ("a", "b"),
        NAMES,
        image_index=[0, 0, 0, 1],
        class_index=[0, 0, 1, 1],
        scores=[1.5, 0.5, 0.25, -0.5],
        boxes=[BOXES[0], BOXES[0] + 2, [0, 100, 60, 150], BOXES[1]],
    )


@pytest.fixture
def evaluation(dataset, detections):
    return evaluate(detections, dataset)


@pytest.fixture
def diagnosis(dataset, detections):
    return diagnose(detections, dataset)


@pytest.fixture
def hardest():
    rows = [("cat", i, 3 - k / 10, 10 * k, 5, 10 * k + 40, 60) for k, i in enumerate("abab")]
    rows += [("dog", "b", 0.5, 0, 0, 50, 50)]
    return pd.DataFrame(rows, columns=["class", "image_id", "score", "x1", "y1", "x2", "y2"])


@pytest.fixture
def rounds(hardest):
    """Round 1 has all four negatives of the cat and the dog's; round 2 two of the cat's and one more."""
    second = hardest[hardest["class"] == "cat"].iloc[[1, 2, 2]].reset_index(drop=True)
    second.loc[2, ["x1", "x2"]] = [77, 99]
    return pd.concat([hardest.assign(round=1), second.assign(round=2)], ignore_index=True)


@pytest.fixture
def make_index(rng):
    """Makes an index of random regions of images a and b; unit 0 is silent, and unit 1 has three regions."""

    def make(shape=(4, 3, 3), top=10, network=None, spans=((0, 120), (50, 180), (110, 227))):
        n_units = int(np.prod(shape))
        values = -np.sort(-rng.uniform(0.1, 9, (n_units, top)).astype(np.float32), axis=1)
        image_index = rng.integers(0, 2, (n_units, top)).astype(np.int32)
        for unit, n_regions in ((0, 0), (1, 3)):
            values[unit, n_regions:], image_index[unit, n_regions:] = 0, -1
        corners = rng.integers(0, 100, (n_units, top, 2))
        boxes = np.concatenate([corners, corners + rng.integers(20, 50, (n_units, top, 2))], axis=2)
        return UnitIndex(
            network_name="toy" if network is None else network.name,
            fingerprint="" if network is None else network.fingerprint,
            layer="pool5",
            shape=shape,
            nms_iou=0.1,
            mode="warp",
            padding=16,
            input_size=227,
            image_ids=("a", "b"),
            n_regions=2000,
            inputs="",
            values=values,
            image_index=image_index,
            boxes=boxes.astype(np.float32),
            sums=np.stack([values.sum(axis=1), np.zeros(n_units)], axis=1).astype(np.float64),
            counts=rng.integers(top, 2000, n_units) * (values[:, 0] > 0),
            spans=np.array(spans),
        )

    return make


@pytest.fixture(scope="session")
def untrained():
    """A quarter T-Net of random weights."""
    return load_network("quarter_tnet", weights="random", n_classes=2)


@pytest.fixture
def index_of_untrained(make_index, untrained):
    index = make_index((64, 6, 6), 8, untrained, [(10 * i, 170 + 10 * i) for i in range(6)])
    index.values[36 * 7 : 36 * 8] /= 10  # so that many units of one channel are excited
    return index


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Near-duplicates of two folders, the first pair with one picture twice, and the two sets."""
    sets = []
    for name, seeds in (("first", (1, 2, 3)), ("second", (1, 4, 5))):
        folder = tmp_path_factory.mktemp(name)
        for seed in seeds:
            noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
            write_image(folder / f"{seed}.png", noise.repeat(10, axis=0).repeat(10, axis=1))
        sets.append(fingerprints(open_pictures(folder)))
    return near_duplicates(*sets, k=3), *(each.pictures for each in sets)


@pytest.fixture
def explorers(
    dataset,
    image,
    tree,
    detections,
    evaluation,
    diagnosis,
    hardest,
    rounds,
    rng,
    make_index,
    untrained,
    index_of_untrained,
    pairs,
):
    proposals = np.concatenate([BOXES + 30, BOXES + 4, BOXES])
    scores = np.stack([np.linspace(-1, 1, 6), np.linspace(1, -1, 6)], axis=1)
    pool5 = np.maximum(rng.normal(size=(6, 5, 6, 6)), 0)
    builders = {
        "merge": lambda: widgets.MergeScrubber(image, tree),
        "proposals": lambda: widgets.ProposalBrowser(image, proposals, BOXES, NAMES),
        "warp": lambda: widgets.WarpExplorer(image, BOXES, NAMES, size=64),
        "own picture": lambda: widgets.WarpExplorer(image, size=64),
        "features": lambda: widgets.FeatureExplorer(image, proposals, pool5),
        "fine-tuning": lambda: widgets.FineTuningExplorer(dataset, {"a": proposals, "b": proposals}),
        "negatives": lambda: widgets.HardNegativeBrowser(dataset, hardest, n_shown=3),
        "rounds": lambda: widgets.HardNegativeBrowser(dataset, rounds, n_shown=3),
        "regression": lambda: widgets.RegressionExplorer(
            dataset, ("a", "b"), NAMES, BOXES + [4, -6, 10, 3], BOXES, np.full((2, 4), 0.1)
        ),
        "detections": lambda: widgets.DetectionExplorer(dataset, detections, evaluation),
        "suppression": lambda: widgets.SuppressionExplorer(
            image, proposals, scores, NAMES, truth=BOXES, names=NAMES
        ),
        "units": lambda: widgets.UnitExplorer(make_index(), dataset, k=7),
        "two networks": lambda: widgets.UnitExplorer(make_index(), dataset, other=make_index(), k=8),
        "excited units": lambda: widgets.ExcitedUnitsExplorer(
            untrained, dataset, index_of_untrained, n_units=3, k=5
        ),
        "diagnosis": lambda: widgets.DiagnosisExplorer(
            dataset, {"first": diagnosis, "second": diagnosis}, kind="tp"
        ),
        "duplicates": lambda: widgets.DuplicateExplorer(*pairs),
        "pasting": lambda: widgets.PastingExplorer(
            dataset, {"a": [(dataset.segmentation("a")[0] == 1, 1, 0.5)], "b": []}
        ),
        "windows": lambda: widgets.WindowExplorer(
            image, {"proposals": proposals, "windows": proposals[::-1] - 20}, BOXES, NAMES
        ),
        "replications": lambda: widgets.ReplicationExplorer(),
        "curve": lambda: widgets.PrecisionRecallExplorer(dataset, detections, evaluation),
    }
    return OnDemand(builders)
