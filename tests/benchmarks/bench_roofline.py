"""How fast this machine can be at all, and how near each stage of detection comes to it.

First what the machine sustains: products and convolutions in float32 and bfloat16 (the best of several shapes), a
copy in memory, decoding of JPEG by Pillow, and writing and reading of a file that is not in the system's cache.
Then every stage for one picture with 2,000 regions: what it cannot do without, the time in which the machine could
have done that, and the time it takes. Of the networks that is 2 operations for each weight that meets a value,
counted layer by layer (the first convolution, which reads 3 channels only, also by itself); of warping, the bytes
of the crops, which must be written; of scores and ridge regression, the operations of their matrix products; of
decoding, Pillow's own time; of stored features, the bytes in memory.

The plainest algorithms are counted: one with fewer operations could go below a floor. Selective search has no
floor here: what it needs at least is not known.

Run: python tests/benchmarks/bench_roofline.py [--networks quarter_tnet,tnet,alexnet,vgg16] [--folder DIR]
"""

import argparse
import io
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import alternate, report, seconds
from bench_bbox_regression import sparse_features
from bench_detection import drawn
from PIL import Image
from torch import nn
from torch.nn import functional as F

from rcnn_helpers.bbox_regression import ridge
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import choose_batch_size, choose_precision, in_precision
from rcnn_helpers.images import read_image
from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.proposals import propose
from rcnn_helpers.settings import BOX_REGRESSION_PENALTY, choose_device
from rcnn_helpers.warping import Warper, crop_buffer

N_REGIONS, N_CLASSES = 2000, 20
# Rows, columns and inner length of products, and channels and side of 3x3 convolutions of 32 maps.
PRODUCTS = ((2048, 2048, 2048), (2048, 4096, 9216))
CONVOLUTIONS = ((64, 56), (256, 28), (384, 13))
FILE_MB, COPY_MB = 256, 512


def operations_a_second(device: str) -> list[dict]:
    """GFLOP/s of products and convolutions in each precision."""
    rows = []
    for precision in ("float32", "bfloat16"):
        dtype = PRECISIONS[precision]
        for rows_, columns, inner in PRODUCTS:
            a = torch.randn(rows_, inner).to(device, dtype)
            b = torch.randn(columns, inner).to(device, dtype)
            taken = seconds(lambda a=a, b=b: _done(F.linear(a, b)), repeats=3)
            flop = 2 * rows_ * columns * inner
            rows.append(_rate(f"product {rows_} x {inner} x {columns}", precision, flop, taken))
        for channels, side in CONVOLUTIONS:
            maps = torch.randn(32, channels, side, side).to(device, dtype, memory_format=torch.channels_last)
            layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            layer = layer.to(device, dtype, memory_format=torch.channels_last)
            with torch.inference_mode():
                taken = seconds(lambda layer=layer, maps=maps: _done(layer(maps)), repeats=3)
            flop = 2 * 9 * channels**2 * 32 * side**2
            rows.append(
                _rate(f"convolution 3x3, {channels} channels of {side} x {side}", precision, flop, taken)
            )
    return rows


def _rate(what, precision, flop, taken):
    return {"what": what, "precision": precision, "a second": flop / taken / 1e9, "unit": "GFLOP"}


def _done(result):
    """Wait for a GPU to finish."""
    if result.is_cuda:
        torch.cuda.synchronize()
    return result


def bytes_a_second(folder: Path) -> list[dict]:
    """GB/s or MB/s of memory, JPEG and the disk that holds `folder`."""
    source = torch.ones(COPY_MB * 2**18)
    target = torch.empty_like(source)
    copied = seconds(lambda: target.copy_(source), repeats=5)
    coded = _jpeg(drawn())
    decoded = seconds(lambda: np.asarray(Image.open(io.BytesIO(coded)).convert("RGB")), repeats=9)
    write, read = disk(folder)
    return [
        {
            "what": "copy in memory, read and written",
            "precision": "-",
            "a second": 2 * source.nbytes / copied / 1e9,
        }
        | {"unit": "GB"},
        {
            "what": "JPEG, pixels decoded",
            "precision": "-",
            "a second": 375 * 500 / decoded / 1e6,
            "unit": "Mpixel",
        },
        {"what": "JPEG, bytes read", "precision": "-", "a second": len(coded) / decoded / 1e6, "unit": "MB"},
        {"what": "disk, written and flushed", "precision": "-", "a second": FILE_MB / write, "unit": "MB"},
        {"what": "disk, read uncached", "precision": "-", "a second": FILE_MB / read, "unit": "MB"},
    ]


def disk(folder: Path) -> tuple[float, float]:
    """Seconds to write and to read a file of `FILE_MB` megabytes, past the cache where the system allows."""
    path = folder / "roofline"
    content = np.random.default_rng(0).bytes(10**6)
    started = time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(FILE_MB):
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
        written = time.perf_counter() - started
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    with open(path, "rb") as file:
        while file.read(2**22):
            pass
    read = time.perf_counter() - started
    path.unlink()
    return written, read


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def operations(network, part: str) -> float:
    """Operations of one crop, multiplications and additions, in ``"trunk"`` or in ``"fc6 fc7"``."""
    total = 0.0
    hooks = []

    def count(layer, _, output):
        nonlocal total
        a_value = layer.weight[0].numel()
        total += 2 * a_value * output.numel()

    wanted = network.module.trunk.modules() if part == "trunk" else (network.module.fc6, network.module.fc7)
    for layer in wanted:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            hooks.append(layer.register_forward_hook(count))
    crop = torch.zeros(1, 3, network.input_size, network.input_size, device=network.device)
    network.features(crop, (network.layers[-1],))
    for hook in hooks:
        hook.remove()
    return total


def network_rows(name: str, rates: dict[str, float], device: str) -> list[dict]:
    """The convolutions, and fc6 and fc7, of 2,000 regions; the time of one batch is scaled."""
    network = load_network(name, weights=None if name == "quarter_tnet" else "random", device=device)
    precision = choose_precision("auto", network.device)
    converted = in_precision(network, precision)
    size = choose_batch_size(converted)
    crops = crop_buffer(size, network.input_size, PRECISIONS[precision]).normal_().to(device)
    pool5 = converted.features(crops, ("pool5",))["pool5"]
    pool5 = pool5.repeat(N_REGIONS // size + 1, 1)[:N_REGIONS].contiguous()
    n = 1 if name == "vgg16" else 3
    first = next(layer for layer in converted.module.trunk.modules() if isinstance(layer, nn.Conv2d))
    with torch.inference_mode():
        alone = seconds(lambda: _done(first(crops)), repeats=n)
        a_crop = 2 * first.weight[0].numel() * first(crops[:1]).numel()
    trunk = seconds(lambda: _done(converted.features(crops, ("pool5",))["pool5"]), repeats=n)
    rest = seconds(lambda: _done(converted.from_pool5(pool5, "fc7")), repeats=n)
    rows = []
    for part, taken in (("trunk", trunk * N_REGIONS / size), ("fc6 fc7", rest)):
        gflop = N_REGIONS * operations(network, part) / 1e9
        what = "convolutions" if part == "trunk" else "fc6 and fc7"
        rows.append(_stage(f"{what}, {name}, {precision}", gflop, "GFLOP", gflop / rates[precision], taken))
    gflop, taken = N_REGIONS * a_crop / 1e9, alone * N_REGIONS / size
    rows.insert(1, _stage(f"of these the first, {name}", gflop, "GFLOP", gflop / rates[precision], taken))
    return rows


def _stage(what, needed, unit, floor, taken):
    return {
        "stage": what,
        "needed": needed,
        "unit": unit,
        "floor s": floor,
        "measured s": taken,
        "share": floor / taken,
    }


def warp_row(gb_a_second: float) -> dict:
    """Half-precision crops of 227 pixels, of the proposals of a picture."""
    image = drawn()
    boxes = propose(image, max_boxes=N_REGIONS)
    buffer = crop_buffer(64, 227, torch.bfloat16)

    def warp():
        warper = Warper(image, mean=(120.0,) * 3, std=(58.0,) * 3, out_dtype=torch.bfloat16)
        for start in range(0, len(boxes), 64):
            warper(boxes[start : start + 64], out=buffer)

    written = len(boxes) * 227 * 227 * 3 * 2 / 1e9
    return _stage(
        "warping, 227 pixels, bfloat16",
        written,
        "GB written",
        written / gb_a_second,
        seconds(warp, repeats=3),
    )


def score_row(rates: dict[str, float], gb_a_second: float) -> dict:
    """Scores of 20 classes: the features must be read once, which takes longer than the operations."""
    rng = np.random.default_rng(0)
    features = rng.random((N_REGIONS, 4096), np.float32)
    weights = rng.random((N_CLASSES, 4096), np.float32)
    read = features.nbytes / 1e9
    floor = max(read / gb_a_second, 2 * features.size * N_CLASSES / 1e9 / rates["float32"])
    return _stage(
        "scores of 20 classes", read, "GB read", floor, seconds(lambda: features @ weights.T, repeats=9)
    )


def ridge_row(rates: dict[str, float]) -> dict:
    """Half of the products of features with each other, and a Cholesky decomposition."""
    rng = np.random.default_rng(0)
    n_rows, n_features = 5000, 2304
    features = sparse_features(rng, n_rows, n_features)
    targets = features @ rng.normal(0, 0.02, (n_features, 4)).astype(np.float32)
    gflop = (n_rows * n_features**2 + n_features**3 / 3) / 1e9
    taken = seconds(lambda: ridge(features, targets, BOX_REGRESSION_PENALTY), repeats=3)
    return _stage(
        "ridge regression of a class, 5,000 x 2,304", gflop, "GFLOP", gflop / rates["float32"], taken
    )


def decode_row() -> dict:
    """The reader of this package beside Pillow alone."""
    coded = _jpeg(drawn())
    alone, taken = alternate(
        lambda: np.asarray(Image.open(io.BytesIO(coded)).convert("RGB")),
        lambda: read_image(coded),
        repeats=15,
    )
    return _stage("decoding a JPEG of 500 x 375", 375 * 500 / 1e6, "Mpixel", alone, taken)


def store_row(folder: Path, gb_a_second: float) -> dict:
    """pool5 of 2,000 regions from a store; what was written a moment ago is read from memory."""
    network = load_network("quarter_tnet", device="cpu")
    store = FeatureStore(folder / "store", network=network)
    rng = np.random.default_rng(0)
    pool5 = np.maximum(rng.standard_normal((N_REGIONS, network.feature_dim("pool5")), np.float32) - 0.5, 0)
    boxes = np.tile(np.float32([0, 0, 10, 10]), (N_REGIONS, 1))
    store.write("image", boxes, pool5)
    handled = pool5.nbytes / 1e9
    taken = seconds(lambda: store.read("image"), repeats=3)
    return _stage(
        "reading pool5 of 2,000 regions, quarter T-Net", handled, "GB made", handled / gb_a_second, taken
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="quarter_tnet,tnet,alexnet,vgg16")
    parser.add_argument(
        "--folder", type=Path, help="on the disk to measure; default: the system's temporary one"
    )
    options = parser.parse_args()
    device = choose_device()
    threads = f"{torch.get_num_threads()} threads, {device}"
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        speed = operations_a_second(device)
        flow = bytes_a_second(Path(folder))
        report(f"What this machine sustains, {threads}", speed + flow, name="roofline_machine")
        rates = {
            precision: max(row["a second"] for row in speed if row["precision"] == precision)
            for precision in ("float32", "bfloat16")
        }
        rates["float16"] = rates["bfloat16"]
        copied = flow[0]["a second"]
        rows = [row for name in options.networks.split(",") for row in network_rows(name, rates, device)]
        rows += [warp_row(copied), score_row(rates, copied), ridge_row(rates), decode_row()]
        rows.append(store_row(Path(folder), copied))
    report(f"Stages beside the machine's limits, one picture of {N_REGIONS} regions, {threads}", rows)


if __name__ == "__main__":
    main()
