"""Extraction of an image's regions beside the bare forward pass of the same network.

The bare pass reads one ready-made batch again and again, in the same precision and of the same size; what is
missing to a ratio of 1 is the cost of warping, of copies and of Python.

Run: python tests/benchmarks/bench_extraction.py [--networks quarter_tnet,alexnet] [--regions 2000] [--rounds 5]
"""

import argparse
import time

import numpy as np
import torch
from _report import report

from rcnn_helpers.features import choose_batch_size, choose_precision, extract, in_precision
from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.settings import choose_device
from rcnn_helpers.warping import crop_buffer


def boxes_like_proposals(rng, n, height, width):
    """Boxes of all sizes and shapes from 20 pixels up to the image."""
    sides = np.exp(rng.uniform(np.log(20), np.log([width, height]), (n, 2)))
    start = rng.uniform(0, 1, (n, 2)) * ([width, height] - sides)
    return np.round(np.concatenate([start, start + sides], axis=1)).astype(np.float32)


def measure(name, layer, n, rounds, device):
    """Median seconds of both, in turns, for `n` regions; and their median ratio."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    boxes = boxes_like_proposals(rng, n, 375, 500)
    network = load_network(name, weights="random", device=device)
    precision = choose_precision("auto", device)
    converted = in_precision(network, precision)
    size = min(n, choose_batch_size(converted))
    batch = crop_buffer(size, network.input_size, PRECISIONS[precision]).normal_().to(device)

    def bare():
        for start in range(0, n, size):
            converted.features(batch[: min(size, n - start)], (layer,))[layer].cpu()

    def ours():
        extract(network, image, boxes, layers=(layer,))

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    bare(), ours()
    times = np.array([(seconds(ours), seconds(bare)) for _ in range(rounds)])
    own, other = np.median(times, axis=0)
    return {
        "network": name,
        "layer": layer,
        "regions": n,
        "batch": size,
        "precision": precision,
        "extract s": own,
        "bare forward s": other,
        "bare / extract": float(np.median(times[:, 1] / times[:, 0])),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="quarter_tnet,alexnet")
    parser.add_argument("--regions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = choose_device()
    rows = []
    for name in arguments.networks.split(","):
        layer = "pool5" if name == "squeezenet1_1" else "fc7"
        rows.append(measure(name, layer, arguments.regions, arguments.rounds, device))
    report(f"Features of the regions of one image, on {device}, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
