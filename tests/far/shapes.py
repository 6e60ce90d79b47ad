"""A small data set on disk and what is done with it, importable by the processes that do it."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from rcnn_helpers.datasets.voc import Annotation, VOCDataset, write_annotation, write_image_set
from rcnn_helpers.detector import RCNN
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract_dataset
from rcnn_helpers.images import write_image
from rcnn_helpers.networks.network import Network, NetworkSpec, RegionNet, initialise
from rcnn_helpers.proposals import propose_dataset

N_IMAGES = 7
N_BOXES = 40


def build(n_classes: int) -> RegionNet:
    trunk = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    return RegionNet(trunk, nn.MaxPool2d(4), nn.Linear(32, 16), nn.Linear(16, 12), nn.Linear(12, n_classes))


def small_network(seed: int = 0) -> Network:
    """All layers and hardly any weights; crops of 35 pixels."""
    spec = NetworkSpec(
        "small",
        build,
        input_size=35,
        mean=(120.0, 110.0, 100.0),
        std=(60.0, 55.0, 50.0),
        shapes={"pool5": (8, 2, 2), "fc6": (16,), "fc7": (12,)},
        n_classes=3,
    )
    module = build(3)
    initialise(module, seed)
    return Network(spec, module)


def write_voc(root: Path, n: int = N_IMAGES) -> None:
    """Red squares and blue bars on grey noise, in VOC's layout; split ``trainval``."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids = [f"{i:06d}" for i in range(n)]
    for image_id in ids:
        rng = np.random.default_rng(int(image_id))
        image = rng.integers(90, 150, (80, 110, 3)).astype(np.uint8)
        x, y, side = (int(v) for v in rng.integers((5, 5, 20), (20, 40, 35)))
        image[y : y + side, x : x + side] = (200, 30, 30)
        image[20:60, 80:95] = (20, 40, 200)
        write_image(root / "JPEGImages" / f"{image_id}.jpg", image)
        annotation = Annotation(
            image_id=image_id,
            height=80,
            width=110,
            boxes=np.array([[x, y, x + side, y + side], [80, 20, 95, 60]], np.float32),
            names=("square", "bar"),
            difficult=np.zeros(2, bool),
            truncated=np.zeros(2, bool),
            occluded=np.zeros(2, bool),
            poses=("Unspecified",) * 2,
        )
        write_annotation(root / "Annotations" / f"{image_id}.xml", annotation)
    write_image_set(root / "ImageSets" / "Main" / "trainval.txt", ids)


def open_voc(root: Path) -> VOCDataset:
    return VOCDataset(root, "trainval", classes=("square", "bar"))


def lazy_proposals(dataset, cache=None):
    return propose_dataset(dataset, max_boxes=N_BOXES, cache=cache, lazy=True)


def fill(dataset, cache: Path) -> FeatureStore:
    """Proposals and features of a data set, below `cache`."""
    network = small_network()
    store = FeatureStore(cache / "features", network=network, precision="float32")
    proposals = lazy_proposals(dataset, cache / "proposals")
    return extract_dataset(network, dataset, proposals, store=store, progress=False)


def trained(dataset, cache: Path) -> RCNN:
    detector = RCNN(small_network(), max_proposals=N_BOXES, C=1.0, precision="float32")
    return detector.fit(dataset, cache=cache, progress=False)


def files_below(folder: Path) -> dict[str, bytes]:
    """Content of every file in a folder, by its path in it; what a killed run left half written is none."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".tmp")
    }


torch.set_num_threads(1)  # here and in every process, so that all compute the same bits
