"""Milliseconds from moving a control to the new JPEG, for every explorer, over a sweep of its main control.

On pictures of the laptop profile, and with RCNN_REAL_DATA also on photographs of the VOC sample. The peer is
matplotlib, which is only given the finished pixels and codes them as PNG; drawing boxes in it would take longer.
The explorers of units go over 50 units whose regions lie anywhere in all pictures of the split; "cold" forgets
every picture and crop before each redraw, so that all of them are decoded anew.

Run: python tests/benchmarks/bench_widgets.py [--pictures DIR]
"""

import argparse
import io
import os
import statistics
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from _report import report
from PIL import Image

from rcnn_helpers import widgets
from rcnn_helpers.course.workspace import Course
from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals.random_boxes import random_boxes
from rcnn_helpers.proposals.selective_search import merge_trees, selective_search
from rcnn_helpers.units import UnitIndex, field_geometry

matplotlib.use("Agg")
N_IMAGES = 20
N_STEPS = 40
N_UNITS = 50


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="folder to save the last picture of each explorer in")
    options = parser.parse_args()
    datasets = {"ToyVOC": Course("laptop", progress=False).test}
    if folder := os.environ.get("RCNN_REAL_DATA"):
        datasets["VOC"] = VOCDataset(Path(folder) / "voc2007_sample/VOCdevkit/VOC2007", "test")
    for title, whole in datasets.items():
        dataset = whole.subset(whole.ids[:N_IMAGES])
        rows = []
        for explorer, control, values, *before in [*cases(dataset), *unit_cases(whole)]:
            rows.append(measure(explorer, control, values, *before))
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                name = f"{title}_{type(explorer).__name__}_{len(rows)}.png"
                Image.fromarray(explorer.render()).save(options.pictures / name)
        height, width = dataset.image(dataset.ids[0]).shape[:2]
        report(
            f"Explorers on {title}, {N_IMAGES} pictures such as {width} x {height}",
            rows,
            name=f"widgets_{title.lower()}",
        )


def cases(dataset):
    """Yield each explorer, the name of its main control, and the values to sweep."""
    rng = np.random.default_rng(0)
    image_id = max(dataset.ids, key=lambda each: len(dataset.annotation(each).names))
    image, annotation = dataset.image(image_id), dataset.annotation(image_id)
    truth, names = annotation.boxes, annotation.names

    tree = merge_trees(image)[0]
    yield widgets.MergeScrubber(image, tree), "n_merges", spread(0, len(tree.children))
    proposals = selective_search(image)[:2000]
    yield widgets.ProposalBrowser(image, proposals, truth, names), "n_boxes", spread(1, len(proposals))
    warp = widgets.WarpExplorer(image, truth, names)
    yield warp, "padding", spread(0, 56)
    warp.canvas.alive = True  # as in a browser: crops alone
    boxes = [sorted_box(rng, warp.canvas.width, warp.canvas.height) for _ in range(N_STEPS)]
    yield warp, "canvas", boxes
    pool5 = np.maximum(rng.standard_normal((len(proposals), 64, 6, 6), dtype=np.float32), 0)
    yield widgets.FeatureExplorer(image, proposals, pool5), "channel", spread(0, 63)

    negatives = hard_negatives(dataset, rng)
    yield widgets.HardNegativeBrowser(dataset, negatives), "rank", spread(1, 60)
    scores = rng.normal(size=(len(proposals), len(dataset.classes)))
    suppression = widgets.SuppressionExplorer(
        image, proposals, scores, dataset.classes, truth=truth, names=names, score=-4
    )
    yield suppression, "iou_threshold", np.linspace(0, 1, 21).tolist()
    found = detections(dataset, rng)
    result = evaluate(found, dataset)
    shown = widgets.DetectionExplorer(dataset, found, result)
    yield shown, "score", np.linspace(shown.controls["score"].min, shown.controls["score"].max, 21).tolist()
    curve = widgets.PrecisionRecallExplorer(dataset, found, result)
    yield curve, "rank", spread(1, curve.controls["rank"].max)


def unit_cases(dataset):
    """The same for the explorers of units, and, for some, what to do before each redraw."""
    rng = np.random.default_rng(0)
    network = load_network("quarter_tnet")
    index, other = (random_index(dataset, network, rng) for _ in range(2))
    channels = [0, *rng.permutation(np.arange(1, index.shape[0]))[:N_UNITS].tolist()]
    for options in ({}, {"other": other}):
        explorer = widgets.UnitExplorer(index, dataset, **options)
        explorer.grid.alive = True
        yield explorer, "channel", channels, "cold"
        yield explorer, "channel", channels
    excited = widgets.ExcitedUnitsExplorer(network, dataset, index)
    excited.canvas.alive = True
    boxes = [sorted_box(rng, excited.canvas.width, excited.canvas.height) for _ in range(N_STEPS)]
    yield excited, "canvas", boxes, "cold"
    yield excited, "canvas", boxes


def measure(explorer, control, values, *conditions):
    """Median and worst time of a redraw over `values`, beside matplotlib's for the pixels of the last."""
    moved, trait = (explorer.canvas, "box") if control == "canvas" else (explorer.controls[control], "value")
    milliseconds = []
    for value in [values[1], values[0], *values[1:]]:  # the first two warm up and start the sweep
        if "cold" in conditions:
            explorer.forget()
        start = time.perf_counter()
        setattr(moved, trait, value)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    peer = matplotlib_milliseconds(explorer._draw(**explorer._values())[0])
    median, worst = statistics.median(milliseconds[2:]), max(milliseconds[2:])
    return {
        "explorer": type(explorer).__name__,
        "control": " ".join([control, *conditions]),
        "steps": len(values) - 1,
        "median ms": median,
        "worst ms": worst,
        "JPEG KiB": round(len(explorer.picture.value) / 1024),
        "matplotlib ms": peer,
        "ratio": peer / median,
    }


def random_index(dataset, network, rng, *, top=24):
    """An index of random regions of all images, in the shape of a network's pool5."""
    shape = network.feature_shape("pool5")
    n_units = int(np.prod(shape))
    image_index = rng.integers(len(dataset), size=(n_units, top)).astype(np.int32)
    boxes = np.empty((n_units, top, 4), np.float32)
    for number, image_id in enumerate(dataset.ids):
        annotation = dataset.annotation(image_id)
        here = image_index == number
        boxes[here] = random_boxes(
            annotation.height, annotation.width, int(here.sum()), rng=rng, min_width=60
        )
    values = -np.sort(-rng.uniform(0.1, 9, (n_units, top)).astype(np.float32), axis=1)
    return UnitIndex(
        network_name=network.name,
        fingerprint=network.fingerprint,
        layer="pool5",
        shape=shape,
        nms_iou=0.1,
        mode="warp",
        padding=16,
        input_size=network.input_size,
        image_ids=tuple(dataset.ids),
        n_regions=2000 * len(dataset),
        inputs="",
        values=values,
        image_index=image_index,
        boxes=boxes,
        sums=np.stack([values.sum(axis=1), np.zeros(n_units)], axis=1).astype(np.float64),
        counts=np.full(n_units, 1000),
        spans=field_geometry(network).spans,
    )


def matplotlib_milliseconds(picture, repeats=5):
    from matplotlib import pyplot as plt

    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        figure = plt.figure(figsize=(picture.shape[1] / 100, picture.shape[0] / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(picture)
        axes.set_axis_off()
        figure.savefig(io.BytesIO(), format="png")
        plt.close(figure)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def spread(low, high):
    return np.unique(np.linspace(low, high, N_STEPS).astype(int)).tolist()


def sorted_box(rng, width, height):
    x, y = np.sort(rng.choice(width, 2, replace=False)), np.sort(rng.choice(height, 2, replace=False))
    return [int(x[0]), int(y[0]), int(x[1]), int(y[1])]


def hard_negatives(dataset, rng):
    """Five rounds of 60 boxes for each class, with falling scores."""
    rows = []
    for name in dataset.classes:
        for number in range(1, 6):
            for score in np.sort(rng.normal(1 - 0.4 * number, 0.3, 60))[::-1]:
                image_id = dataset.ids[rng.integers(len(dataset))]
                rows.append((name, number, image_id, score, *sorted_box(rng, 200, 200)))
    return pd.DataFrame(rows, columns=["class", "round", "image_id", "score", "x1", "y1", "x2", "y2"])


def detections(dataset, rng):
    """Every object twice, moved a little, and thirty boxes a picture anywhere."""
    rows = []
    for index, image_id in enumerate(dataset.ids):
        annotation = dataset.annotation(image_id)
        for box, name in zip(annotation.boxes, annotation.names, strict=True):
            for _ in range(2):
                moved = box + rng.normal(0, 6, 4)
                moved[2:] = np.maximum(moved[2:], moved[:2] + 4)
                rows.append((index, dataset.classes.index(name), rng.normal(1, 1), moved))
        for _ in range(30):
            box = sorted_box(rng, 200, 200)
            rows.append((index, rng.integers(len(dataset.classes)), rng.normal(-0.5, 1), box))
    image_index, class_index, scores, boxes = zip(*rows, strict=True)
    return Detections(dataset.ids, dataset.classes, image_index, class_index, scores, np.array(boxes))


if __name__ == "__main__":
    main()
