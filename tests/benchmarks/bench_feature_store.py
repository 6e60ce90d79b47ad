"""Reading the features of one image from a store of pool5, beside computing them from its pixels.

Run: python tests/benchmarks/bench_feature_store.py
"""

import tempfile

import numpy as np
import torch
from _report import report, seconds

from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract
from rcnn_helpers.networks import load_network

N_REGIONS = 1000


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    corners = rng.uniform(0, 200, (N_REGIONS, 2))
    boxes = np.hstack([corners, corners + rng.uniform(20, 150, (N_REGIONS, 2))]).astype(np.float32)
    network = load_network("quarter_tnet", device="cpu")
    rows = []
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(folder, network=network, precision=precision)
            pool5 = extract(network, image, boxes, layers=("pool5",), precision=precision)["pool5"]
            store.write("image", boxes, pool5)
            for layer in network.layers:
                own = seconds(lambda store=store, layer=layer: store.read("image", layer))
                other = seconds(
                    lambda layer=layer, precision=precision: extract(
                        network, image, boxes, layers=(layer,), precision=precision
                    ),
                    repeats=2,
                    warm_up=0,
                )
                rows.append(
                    {
                        "read": layer,
                        "precision": precision,
                        "regions": N_REGIONS,
                        "read s": own,
                        "computed s": other,
                        "ratio": other / own,
                    }
                )
    report("The quarter T-Net's features of one image's regions, one thread", rows)


if __name__ == "__main__":
    main()
