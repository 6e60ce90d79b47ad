"""Networks: the banded response normalization against the framework's, and half against full precision.

Run ``python tests/benchmarks/bench_networks.py``. "ours" and "peer" are milliseconds of one call.
"""

import torch
from _report import alternate, report
from torch import nn

from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.tnet import ResponseNorm

BATCH = 32


def response_norm_rows():
    rows = []
    for channels, side in ((96, 27), (256, 13)):
        ours = ResponseNorm(channels)
        peer = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        x = (torch.randn(BATCH, channels, side, side) * 50).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            difference = float((ours(x) - peer(x)).abs().max() / peer(x).abs().max())
            ours_s, peer_s = alternate(lambda o=ours, x=x: o(x), lambda p=peer, x=x: p(x), repeats=9)
        rows.append(
            {
                "what": "response norm, torch's",
                "size": f"{BATCH}x{channels}x{side}x{side}",
                "ours ms": 1000 * ours_s,
                "peer ms": 1000 * peer_s,
                "ratio": peer_s / ours_s,
                "relative difference": f"{difference:.0e}",
            }
        )
    return rows


def precision_rows():
    rows = []
    for name in ("quarter_tnet", "tnet", "alexnet", "squeezenet1_1"):
        network = load_network(name, weights="random", device="cpu")
        fast = network.to_precision("bfloat16")
        layer = network.layers[-1]
        x = torch.randn(BATCH, 3, network.input_size, network.input_size)
        x = x.contiguous(memory_format=torch.channels_last)
        exact, close = network.features(x, [layer])[layer], fast.features(x, [layer])[layer]
        ours_s, peer_s = alternate(
            lambda n=fast, x=x, layers=(layer,): n.features(x, layers),
            lambda n=network, x=x, layers=(layer,): n.features(x, layers),
        )
        rows.append(
            {
                "what": f"{name} in bfloat16, in float32",
                "size": f"{BATCH} crops",
                "ours ms": 1000 * ours_s,
                "peer ms": 1000 * peer_s,
                "ratio": peer_s / ours_s,
                "relative difference": f"{float((close - exact).norm() / exact.norm()):.0e}",
            }
        )
    return rows


if __name__ == "__main__":
    report("Local response normalization", response_norm_rows(), name="networks_response_norm")
    report("Half precision", precision_rows(), name="networks_half_precision")
