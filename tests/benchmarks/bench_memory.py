"""Peak memory of every stage on 10, 100 and 1,000 images, each run in a process of its own.

The stages are the real ones. What surrounds them is small so that a thousand images take seconds: pictures of 96
x 64 pixels made up when they are asked for (500 x 375 for the two trainings that draw from many images), few
regions, and made-up features for the stages that only read them; eight scenes of ToyVOC are rendered, and written
again and again. Each process is forked from one that has imported everything; its growth is what it takes beyond
that, with what each stage takes once (machine code, buffers of the network). ``KiB an image`` is the slope between
the two larger numbers. Beside it stands the law: what grows by design, in bytes, and what bounds it.

Run: python tests/benchmarks/bench_memory.py [--images 10,100,1000] [--stages name,...] [--json FILE]
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _report import machine, report

from rcnn_helpers.cli.output import provenance, save_json
from rcnn_helpers.datasets import toyvoc
from rcnn_helpers.datasets.voc import Annotation, VOCDataset, write_annotation, write_image_set
from rcnn_helpers.detector import RCNN
from rcnn_helpers.diagnosis import diagnose, tide
from rcnn_helpers.evaluation import Detections, collect_ground_truth, evaluate
from rcnn_helpers.feature_store import FeatureStore, RegionFeatures
from rcnn_helpers.features import extract_dataset
from rcnn_helpers.finetuning import FinetuneSettings, finetune
from rcnn_helpers.images import write_image
from rcnn_helpers.memory import peak_memory, reset_peak_memory
from rcnn_helpers.networks import load_network
from rcnn_helpers.pretraining import PretrainSettings, pretrain
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.redundancy import fingerprints, near_duplicates, open_pictures
from rcnn_helpers.segmentation.accuracy import segmentation_accuracy
from rcnn_helpers.segmentation.segmenter import Segmenter
from rcnn_helpers.svm import train_detector_svms
from rcnn_helpers.training_regions import TrainingRegions, regression_chunks
from rcnn_helpers.units import build_index

CLASSES = ("red", "green", "blue")
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
# Regions of an image for the stages that read made-up features, and detections for those that judge them.
REGIONS, DETECTIONS = 50, 120
# Room for the images of the two trainings: 64 photographs of VOC's size.
IMAGE_MEMORY = 36 * 2**20


class Scenes:
    """Noise with three coloured rectangles in each picture; nothing of it is kept.

    Parameters
    ----------
    n : int
    height, width : int
    """

    classes = CLASSES

    def __init__(self, n: int, height: int = 64, width: int = 96):
        self.ids = [f"{number:06d}" for number in range(n)]
        self.height, self.width = height, width

    def image(self, image_id: str) -> np.ndarray:
        seed = int(image_id)
        noise = np.random.default_rng(seed).integers(60, 160, (32, 48, 3), dtype=np.uint8)
        image = np.tile(noise, (-(-self.height // 32), -(-self.width // 48), 1))[: self.height, : self.width]
        for (x1, y1, x2, y2), colour in zip(self._boxes(seed), COLOURS, strict=True):
            image[y1:y2, x1:x2] = image[y1:y2, x1:x2] // 4 + np.uint8(colour) // 2
        return image

    def annotation(self, image_id: str) -> Annotation:
        boxes = self._boxes(int(image_id)).astype(np.float32)
        no = np.zeros(len(boxes), bool)
        poses = ("Unspecified",) * len(boxes)
        return Annotation(image_id, self.height, self.width, boxes, CLASSES, no, no, no, poses)

    def segmentation(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        mask = np.zeros((self.height, self.width), np.uint8)
        for number, (x1, y1, x2, y2) in enumerate(self._boxes(int(image_id)), start=1):
            mask[y1:y2, x1:x2] = number
        return mask, mask

    def _boxes(self, seed: int) -> np.ndarray:
        third, shift = self.width // 3, seed % 7
        left = np.arange(3) * third + shift // 2
        top = np.array([4, 10, 16]) + shift
        return np.stack([left, top, left + third - 6, top + self.height // 2], axis=1)


class Boxes(dict):
    """Boxes of each image, made up when they are asked for: a third of them near an object."""

    def __init__(self, dataset: Scenes, n: int):
        super().__init__()
        self.dataset, self.n = dataset, n

    def __contains__(self, image_id) -> bool:
        return True

    def __missing__(self, image_id: str) -> np.ndarray:
        rng = np.random.default_rng([1, int(image_id)])
        size = np.array([self.dataset.width, self.dataset.height])
        start = rng.uniform(0, 0.6, (self.n, 2)) * size
        anywhere = np.concatenate([start, start + rng.uniform(0.1, 0.4, (self.n, 2)) * size], axis=1)
        objects = self.dataset.annotation(image_id).boxes
        near = objects[rng.integers(len(objects), size=-(-self.n // 3))]
        near = near + rng.uniform(-3, 3, near.shape)
        boxes = np.concatenate([near, anywhere])[: self.n]
        return np.clip(boxes, 0, np.tile(size, 2)).astype(np.float32)


class MadeUpFeatures(FeatureStore):
    """A store that makes its features up when they are read: the objects' own boxes, then the proposals.

    `length` features of a region are made; by default as many as the layer has.
    """

    def __init__(self, folder, dataset: Scenes, network, *, length: int | None = None):
        super().__init__(folder, network=network)
        self.dataset, self.proposals, self.length = dataset, Boxes(dataset, REGIONS), length

    def read(self, image_id, layer=None) -> RegionFeatures:
        dim = self.length or self.network.feature_dim(layer or self.layer)
        objects = self.dataset.annotation(image_id).boxes
        boxes = np.concatenate([objects, self.proposals[image_id]])
        rng = np.random.default_rng([2, int(image_id)])
        features = np.maximum(rng.standard_normal((len(boxes), dim), dtype=np.float32), 0)
        for row in range(len(objects)):
            features[row, row::8] += 4  # by which an SVM can tell the objects of a class
        return RegionFeatures(image_id, boxes, np.arange(len(boxes)) < len(objects), features)


def quarter_tnet(n_classes: int | None = None):
    """The quarter T-Net with random weights."""
    return load_network("quarter_tnet", weights="random", n_classes=n_classes, device="cpu")


def made_up_detections(dataset: Scenes) -> Detections:
    """Detections of each image, a third of them near an object."""
    boxes = Boxes(dataset, DETECTIONS)
    rng = np.random.default_rng(3)
    n = len(dataset.ids) * DETECTIONS
    return Detections(
        dataset.ids,
        CLASSES,
        np.repeat(np.arange(len(dataset.ids), dtype=np.int32), DETECTIONS),
        rng.integers(len(CLASSES), size=n),
        rng.random(n),
        np.concatenate([boxes[image_id] for image_id in dataset.ids]),
    )


# -- the stages --------------------------------------------------------------------------------------------


def drawing(n: int, folder: Path) -> None:
    rendered = functools.cache(toyvoc.dataset.scene_of)

    def one_of_eight(split, index, **options):
        return rendered(split, index % 8, **options)

    toyvoc.dataset.scene_of = one_of_eight
    toyvoc.open_toyvoc("train", counts={"train": n, "val": 1, "test": 1}, root=folder, n_jobs=1)


def reading_annotations(n: int, folder: Path) -> None:
    scenes = Scenes(n)
    for image_id in scenes.ids:
        write_annotation(folder / "Annotations" / f"{image_id}.xml", scenes.annotation(image_id))
    write_image_set(folder / "ImageSets" / "Main" / "train.txt", scenes.ids)
    (folder / "JPEGImages").mkdir()
    dataset = VOCDataset(folder, "train")
    assert sum(len(dataset.annotation(image_id)) for image_id in dataset.ids) == 3 * n


def proposals(n: int, folder: Path) -> None:
    found = propose_dataset(Scenes(n), max_boxes=REGIONS, cache=folder, lazy=True, progress=False)
    assert sum(len(found[image_id]) for image_id in found) > 0


def features(n: int, folder: Path) -> None:
    dataset, network = Scenes(n), quarter_tnet()
    store = FeatureStore(folder / "store", network=network)
    extract_dataset(network, dataset, Boxes(dataset, 2), store=store, progress=False)


def svms(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    store = MadeUpFeatures(folder, dataset, quarter_tnet(), length=256)
    train_detector_svms(TrainingRegions(dataset, store, 1.0), CLASSES)


def regression(n: int, folder: Path) -> None:
    from rcnn_helpers.bbox_regression import BoxRegressors

    dataset = Scenes(n)
    # So few features that each class has as many pairs after some tens of images; from then on only sums are kept.
    store = MadeUpFeatures(folder, dataset, quarter_tnet(), length=256)
    BoxRegressors().fit_chunks(regression_chunks(dataset, store, 1.0), n_classes=len(CLASSES))


def detection(n: int, folder: Path) -> None:
    few, dataset = Scenes(6), Scenes(n)
    detector = RCNN(quarter_tnet(), max_proposals=6)
    detector.fit(few, proposals=Boxes(few, 6), progress=False)
    found = detector.detect_dataset(dataset, proposals=Boxes(dataset, 6), progress=False)
    assert len(found.image_ids) == n


def evaluation(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    evaluate(made_up_detections(dataset), dataset)


def diagnosis(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    found, truth = made_up_detections(dataset), collect_ground_truth(dataset)
    diagnose(found, truth)
    tide(found, truth)


def fine_tuning(n: int, folder: Path) -> None:
    dataset = Scenes(n, 375, 500)
    settings = FinetuneSettings(steps=6, batch_size=16, positives=4)
    boxes = Boxes(dataset, 200)
    finetune(quarter_tnet(), dataset, boxes, settings=settings, image_memory=IMAGE_MEMORY, progress=False)


def pre_training(n: int, folder: Path) -> None:
    dataset = Scenes(n, 375, 500)
    settings = PretrainSettings(steps=4, batch_size=16, warmup=1)
    options = {"settings": settings, "image_memory": IMAGE_MEMORY, "progress": False}
    pretrain(out=folder / "net.safetensors", train_set=dataset, val_set=Scenes(2), device="cpu", **options)


def units(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    store = MadeUpFeatures(folder, dataset, quarter_tnet())
    build_index(dataset, store=store, out=folder / "units.safetensors", progress=False)


def redundancy(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    for image_id in dataset.ids:
        write_image(folder / "pictures" / f"{image_id}.jpg", dataset.image(image_id))
    known = fingerprints(open_pictures(folder / "pictures"), cache=folder / "cache")
    near_duplicates(known, k=5)


def segmentation(n: int, folder: Path) -> None:
    dataset = Scenes(n)
    segmenter = Segmenter(quarter_tnet(), features="full", max_regions=4, min_pixels=50, folds=1)
    segmenter.fit(dataset, cache=folder, progress=False)
    segmentation_accuracy(segmenter.segment_dataset(dataset, cache=folder, progress=False), dataset)


@dataclass(frozen=True)
class Stage:
    """A stage, and what its memory depends on.

    Attributes
    ----------
    run : callable
        ``run(n_images, folder)``.
    grows : str
        What grows with the data, in bytes; D is the length of a feature, C the number of classes.
    bound : str
        What bounds it.
    """

    run: object
    grows: str
    bound: str


STAGES = {
    "annotations": Stage(
        reading_annotations,
        "830 an image and 140 an object, kept once read",
        "100,000 annotations: about 0.1 GB",
    ),
    "drawing": Stage(drawing, "an annotation an image, about 1 KB", "nothing: 1 GB a million images"),
    "proposals": Stage(proposals, "nothing; as a dict 16 a box, 32 KB an image of 2,000", "lazy=True"),
    "features": Stage(features, "nothing: one image's regions", "4 x D x regions of an image"),
    "SVMs": Stage(
        svms,
        "4 x D + 5 x C + 300 a positive or hard negative",
        "max_memory: 4 GiB, or twice the positives",
    ),
    "box regression": Stage(
        regression, "4 x D a pair, until a class has D pairs", "4 x D x D a class: 340 MB for the T-Net"
    ),
    "detection": Stage(
        detection, "28 a detection; two lists while it runs", "40 x C detections an image: 1.1 KB x C"
    ),
    "evaluation": Stage(evaluation, "140 a detection", "the detections"),
    "diagnosis": Stage(diagnosis, "220 a detection", "the detections"),
    "fine-tuning": Stage(
        fine_tuning,
        "560 KB a photograph, 30 a window",
        "image_memory: half of what is free, and a quarter more",
    ),
    "pre-training": Stage(pre_training, "560 KB a photograph, 60 an object", "image_memory, as above"),
    "units index": Stage(
        units, "nothing: 24 x units x regions listed", "22 MB for the T-Net's pool5, top 100"
    ),
    "redundancy": Stage(
        redundancy,
        "3.8 KB a picture, 0.5 KB beside it",
        "half of the free memory, then a mapped file; 0.5 KB stays",
    ),
    "segmentation": Stage(
        segmentation,
        "4 x D + 4 x C a training region, 1 KB a label map",
        "max_background; objects' regions must fit",
    ),
}


# -- measuring ---------------------------------------------------------------------------------------------


def measure(stage: str, n_images: int) -> dict[str, float]:
    """Peak and growth of a stage in MiB, and its seconds, in a process forked from this one."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_and_tell, args=(stage, n_images, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise SystemExit(f"{stage} on {n_images} images failed; its message is above") from None
    finally:
        process.join()


def _run_and_tell(stage: str, n_images: int, sender) -> None:
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        reset_peak_memory()
        before, started = peak_memory(), time.perf_counter()
        STAGES[stage].run(n_images, Path(folder))
        seconds = time.perf_counter() - started
        sender.send({"peak": peak_memory(), "growth": peak_memory() - before, "seconds": seconds})


def slope(growth: dict[int, float]) -> float:
    """KiB an image, between the two largest numbers of images."""
    fewer, more = sorted(growth)[-2:]
    return 1024 * (growth[more] - growth[fewer]) / (more - fewer)


def table(stages: list[str], sizes: list[int]) -> list[dict]:
    """A row for each stage."""
    rows = []
    for stage in stages:
        found = {n: measure(stage, n) for n in sizes}
        growth = {n: value["growth"] for n, value in found.items()}
        row = {"stage": stage}
        row |= {f"peak MiB, {n:,}": round(value["peak"]) for n, value in found.items()}
        row |= {f"growth MiB, {n:,}": round(value, 1) for n, value in growth.items()}
        row["KiB an image"] = round(slope(growth), 2) if len(sizes) > 1 else None
        row["seconds"] = round(found[max(sizes)]["seconds"], 1)
        row["grows"], row["bound"] = STAGES[stage].grows, STAGES[stage].bound
        rows.append(row)
        print(f"{stage}: {row}", file=sys.stderr)
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="10,100,1000", help="numbers of images (default 10,100,1000)")
    parser.add_argument("--stages", default=",".join(STAGES), help="stages (default: all)")
    parser.add_argument("--json", metavar="FILE", help="write the table, with command, machine and date")
    options = parser.parse_args()
    options.command_line = " ".join(["python tests/benchmarks/bench_memory.py", *sys.argv[1:]])
    if not hasattr(os, "fork") or peak_memory() != peak_memory():
        raise SystemExit("peak memory of forked processes can be measured under Linux only")
    torch.set_num_threads(1)
    rows = table(options.stages.split(","), [int(n) for n in options.images.split(",")])
    report("Peak memory by number of images", rows)
    save_json(
        options.json, provenance(options) | {"processor": machine(), "rows": json.loads(json.dumps(rows))}
    )


if __name__ == "__main__":
    main()
