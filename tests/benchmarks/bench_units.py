"""The index of units: what it takes beside the bare forward pass, beside the plain way, and how much memory.

Speed: pool5 of the regions of a few images, by the bare network from one ready-made batch again and again, by
`extract`, and by `build_index`, which also keeps the best regions of every unit. The plain way does the same from
the same features with one non-maximum suppression for each unit and image, and sorts at the end.

Memory: the peak of a process that indexes 10,000, 20,000 and 40,000 regions, whose features are drawn at random.

Run: python tests/benchmarks/bench_units.py [--networks quarter_tnet] [--regions 1000] [--images 8] [--rounds 3]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _report import alternate, report, seconds
from bench_extraction import boxes_like_proposals

from rcnn_helpers.feature_store import FeatureStore, RegionFeatures
from rcnn_helpers.features import choose_batch_size, choose_precision, extract, in_precision
from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.nms import nms
from rcnn_helpers.settings import choose_device
from rcnn_helpers.units import build_index
from rcnn_helpers.warping import crop_buffer

HEIGHT, WIDTH = 375, 500


class Noise:
    """Images of noise."""

    def __init__(self, n: int):
        self.ids = [f"{number:06d}" for number in range(n)]

    def image(self, image_id):
        return np.random.default_rng(int(image_id)).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class RandomFeatures(FeatureStore):
    """A store that makes its features up when they are read; half of them are 0."""

    def read(self, image_id, layer=None):
        rng = np.random.default_rng(int(image_id))
        n = 1000
        features = rng.standard_normal((n, self.dim), dtype=np.float32)
        np.maximum(features, 0, out=features)
        boxes = boxes_like_proposals(rng, n, HEIGHT, WIDTH)
        return RegionFeatures(image_id, boxes, np.zeros(n, bool), features)


def speed(name: str, n_regions: int, n_images: int, rounds: int, device: str) -> dict:
    rng = np.random.default_rng(0)
    dataset = Noise(n_images)
    proposals = {image_id: boxes_like_proposals(rng, n_regions, HEIGHT, WIDTH) for image_id in dataset.ids}
    network = load_network(name, weights="random", device=device)
    precision = choose_precision("auto", device)
    converted = in_precision(network, precision)
    size = min(n_regions, choose_batch_size(converted))
    batch = crop_buffer(size, network.input_size, PRECISIONS[precision]).normal_().to(device)

    def bare():
        for _ in dataset.ids:
            for start in range(0, n_regions, size):
                converted.features(batch[: min(size, n_regions - start)], ("pool5",))["pool5"].cpu()

    def features_only():
        for image_id in dataset.ids:
            extract(network, dataset.image(image_id), proposals[image_id], layers=("pool5",))

    def ours():
        build_index(dataset, proposals, network=network, include_ground_truth=False, progress=False)

    times = alternate(bare, features_only, ours, repeats=rounds)
    forward, extraction, index = (1e3 * time / n_images for time in times)
    return {
        "network": name,
        "units": network.feature_dim("pool5"),
        "regions": n_regions,
        "precision": precision,
        "bare forward ms": forward,
        "extract ms": extraction,
        "build_index ms": index,
        "bare / index": forward / index,
        "regions/s": 1e3 * n_regions / index,
    }


def lists_only(name: str, n_images: int, rounds: int) -> dict:
    """From features that are at hand, beside one suppression for each unit and image."""
    dataset = Noise(n_images)
    with tempfile.TemporaryDirectory() as folder:
        store = RandomFeatures(folder, network=load_network(name, weights="random", device="cpu"))

    def read():
        for image_id in dataset.ids:
            store.read(image_id)

    def ours():
        build_index(dataset, store=store, progress=False)

    def plain():
        found = [[] for _ in range(store.dim)]
        for image, image_id in enumerate(dataset.ids):
            entry = store.read(image_id)
            for unit, values in enumerate(np.ascontiguousarray(entry.features.T)):
                active = np.flatnonzero(values > 0)
                kept = active[nms(entry.boxes[active], values[active], iou_threshold=0.1)]
                found[unit] += [(-values[row], image, row) for row in kept]
        return [sorted(each)[:100] for each in found]

    reading, own = alternate(read, ours, repeats=rounds)
    other = seconds(plain, repeats=1)
    own, other = (1e3 * (time - reading) / n_images for time in (own, other))
    return {
        "units": store.dim,
        "regions": 1000,
        "images": n_images,
        "lists ms": own,
        "plain way ms": other,
        "ratio": other / own,
        "ns a value": 1e6 * own / 1000 / store.dim,
    }


def peak_memory(name: str, n_images: int) -> float:
    """Peak of a fresh process that indexes so many images of 1,000 regions, in MB."""
    code = "import sys, bench_units; bench_units.index_random_features(sys.argv[1], int(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(n_images)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def index_random_features(name: str, n_images: int) -> None:
    """Index images of 1,000 regions each with random features, and print the peak of memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        store = RandomFeatures(folder, network=load_network(name, weights="random", device="cpu"))
        index = build_index(
            Noise(n_images), store=store, out=Path(folder) / "units.safetensors", progress=False
        )
    assert index.n_regions == 1000 * n_images
    print(peak_of_this_process())


def peak_of_this_process() -> float:
    """In MB. What getrusage tells begins, under Linux, with the memory of the process that started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) / 1024


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="quarter_tnet")
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = choose_device()
    names = arguments.networks.split(",")
    rows = [speed(name, arguments.regions, arguments.images, arguments.rounds, device) for name in names]
    report(f"Index of all pool5 units, per image, on {device}, {torch.get_num_threads()} threads", rows)
    rows = [lists_only(name, arguments.images, arguments.rounds) for name in names]
    report("The lists alone, per image, beside a suppression for each unit", rows, name="units_lists")
    rows = [
        {"network": name, "regions": 1000 * n_images, "peak MB": peak_memory(name, n_images)}
        for name in names
        for n_images in (10, 20, 40)
    ]
    report("Peak memory of the process", rows, name="units_memory")


if __name__ == "__main__":
    main()
