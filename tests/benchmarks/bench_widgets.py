"""Milliseconds from moving a control to the new JPEG, for every explorer, over a sweep of its main control.

On pictures of the laptop profile, and with RCNN_REAL_DATA also on photographs of the VOC sample. The peer is
matplotlib, which is only given the finished pixels and codes them as PNG; drawing boxes in it would take longer.

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
from rcnn_helpers.proposals.selective_search import merge_trees, selective_search

matplotlib.use("Agg")
N_IMAGES = 20
N_STEPS = 40


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="folder to save the last picture of each explorer in")
    options = parser.parse_args()
    datasets = {"ToyVOC": Course("laptop", progress=False).test}
    if folder := os.environ.get("RCNN_REAL_DATA"):
        datasets["VOC"] = VOCDataset(Path(folder) / "voc2007_sample/VOCdevkit/VOC2007", "test")
    for title, dataset in datasets.items():
        dataset = dataset.subset(dataset.ids[:N_IMAGES])
        rows = []
        for explorer, control, values in cases(dataset):
            rows.append(measure(explorer, control, values))
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                name = f"{title}_{type(explorer).__name__}_{len(rows)}.png"
                Image.fromarray(explorer.render()).save(options.pictures / name)
        height, width = dataset.image(dataset.ids[0]).shape[:2]
        report(f"Explorers on {title}, {N_IMAGES} pictures such as {width} x {height}", rows)


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


def measure(explorer, control, values):
    """Median and worst time of a redraw over `values`, beside matplotlib's for the pixels of the last."""
    moved, trait = (explorer.canvas, "box") if control == "canvas" else (explorer.controls[control], "value")
    milliseconds = []
    for value in [values[1], values[0], *values[1:]]:  # the first two warm up and start the sweep
        start = time.perf_counter()
        setattr(moved, trait, value)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    peer = matplotlib_milliseconds(explorer._draw(**explorer._values())[0])
    median, worst = statistics.median(milliseconds[2:]), max(milliseconds[2:])
    return {
        "explorer": type(explorer).__name__,
        "control": control,
        "steps": len(values) - 1,
        "median ms": median,
        "worst ms": worst,
        "JPEG KiB": round(len(explorer.picture.value) / 1024),
        "matplotlib ms": peer,
        "ratio": peer / median,
    }


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
