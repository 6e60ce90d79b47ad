"""Proposals and features of some images: one stage after the other, in turns, and overlapped.

"one after the other" finds the boxes of all images in two threads and then extracts, as this course did at first;
its memory grows with the images. "in turns" prepares as many images as there are cores and then extracts them:
what `over_images` does on a CPU. "overlapped" prepares images while the network works: what it does beside a GPU.
On a CPU both want the same cores; the CPU seconds show whether anything was wasted on waiting.

Run: python tests/benchmarks/bench_overlap.py [--network quarter_tnet] [--images 8] [--proposals 500] [--rounds 3]
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _report import report

from rcnn_helpers import streaming
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract_dataset
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.settings import choose_device


class Clouds:
    """Pictures of 500 x 375 smooth blotches, in which selective search finds some two thousand boxes."""

    def __init__(self, n):
        self.ids = [f"{i:04d}" for i in range(n)]

    def image(self, image_id):
        import cv2

        rng = np.random.default_rng(int(image_id))
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        noise = rng.integers(-12, 13, (375, 500, 3))
        smooth = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
        return (smooth + noise).clip(0, 255).astype(np.uint8)

    def annotation(self, image_id):
        return SimpleNamespace(boxes=np.zeros((0, 4), np.float32))


def run(network, dataset, n_proposals, ahead):
    """Fill a fresh store; `ahead` is a generator of `streaming`, or None for one stage after the other."""
    found = propose_dataset(dataset, max_boxes=n_proposals, lazy=ahead is not None, progress=False)
    usual = streaming.in_turns, streaming.look_ahead
    streaming.in_turns = streaming.look_ahead = ahead or usual[0]
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder), network=network)
            extract_dataset(network, dataset, found, store=store, progress=False)
    finally:
        streaming.in_turns, streaming.look_ahead = usual


def with_threads(ahead, threads):
    return lambda make, items, **_: ahead(make, items, threads=threads)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="quarter_tnet")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--proposals", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device, cores = choose_device(), streaming.preparing_threads()
    network = load_network(arguments.network, weights="random", device=device)
    dataset = Clouds(arguments.images)
    ways = {
        "one after the other": None,
        f"in turns, {cores} threads": with_threads(streaming.in_turns, cores),
        "overlapped, 1 thread": with_threads(streaming.look_ahead, 1),
        f"overlapped, {cores} threads": with_threads(streaming.look_ahead, cores),
    }
    work = [partial(run, network, dataset, arguments.proposals, ahead) for ahead in ways.values()]
    run(network, Clouds(1), 50, None)  # compiles
    wall, busy = np.zeros((2, arguments.rounds, len(work)))
    for turn in range(arguments.rounds):
        for way, function in enumerate(work):
            started, used = time.perf_counter(), time.process_time()
            function()
            wall[turn, way] = time.perf_counter() - started
            busy[turn, way] = time.process_time() - used
    rows = [
        {
            "way": name,
            "images": arguments.images,
            "s an image": float(np.median(wall[:, way])) / arguments.images,
            "CPU s an image": float(np.median(busy[:, way])) / arguments.images,
            "of one after the other": float(np.median(wall[:, way] / wall[:, 0])),
        }
        for way, name in enumerate(ways)
    ]
    report(f"Proposals and features ({arguments.network} on {device}, {arguments.proposals} boxes)", rows)


if __name__ == "__main__":
    main()
