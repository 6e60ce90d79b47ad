"""Detection of one picture from its file to the last box, stage by stage, with 2,000 proposals and 20 classes.

All of it counts: decoding, selective search, warping, the network up to pool5, fc6 and fc7, the SVMs' scores, box
regression of all classes and non-maximum suppression. Beside it stand the bare forward pass of the same network on
ready-made crops of the same precision, and the plain way: the same proposals, each cut out and resized by itself
with `cv2.resize`, the network as torchvision has it (eager, float32, response normalization by
`torch.nn.LocalResponseNorm`) in batches of 64, one product for the scores, one `torchvision.ops.nms` a class.
Weights are random (but for the quarter T-Net's), which costs the same. The paper's T-Net took 13 s on a GPU
and 53 s on a CPU for an image.

A third table has several pictures in a row: `RCNN.detect` for each, and `RCNN.detect_dataset`, which makes the
next pictures' proposals meanwhile (beside a GPU on the processor's cores, else in a thread for each core).

Photographs are those of the VOC sample named by RCNN_REAL_DATA with at least 2,000 proposals; without it, one is
drawn. The plain way is timed on 200 regions, VGG-16 on 64 in all three ways, and what grows with the regions is
then scaled to 2,000 (``--full`` does them all).

Run: python tests/benchmarks/bench_detection.py [--networks quarter_tnet,tnet,alexnet,vgg16] [--rounds 2] [--full]
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from _report import report

from rcnn_helpers.bbox_regression import BoxRegressors
from rcnn_helpers.candidates import suppress
from rcnn_helpers.detector import RCNN
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.features import choose_batch_size, choose_precision, in_batches, in_precision
from rcnn_helpers.images import read_image, write_image
from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.networks.tnet import ResponseNorm
from rcnn_helpers.settings import choose_device
from rcnn_helpers.svm import LinearSVMs
from rcnn_helpers.warping import crop_buffer

N_PROPOSALS, N_CLASSES, FIRING = 2000, 20, 0.05  # about so many regions lie above the threshold of a class
PLAIN_BATCH, PLAIN_REGIONS, LARGE_REGIONS = 64, 200, 64
WARM_UP, IN_A_ROW = 16, 3  # regions, pictures
STAGES = ("decode", "propose", "warp", "network", "fc6 fc7", "SVMs", "regression", "suppression")
PER_REGION = ("warp", "network", "fc6 fc7", "SVMs", "regression")


def random_detector(name: str, device: str) -> RCNN:
    """A detector of 20 classes whose SVMs and regressions are drawn at random."""
    rng = np.random.default_rng(0)
    weights = None if name == "quarter_tnet" else "random"
    detector = RCNN(load_network(name, weights=weights, device=device))
    network = detector.network
    n_features, n_pool5 = network.feature_dim(detector.layer), network.feature_dim("pool5")
    detector.classes_ = tuple(f"class {number}" for number in range(N_CLASSES))
    detector.svms_ = LinearSVMs()
    detector.svms_.coef_ = rng.normal(0, 0.1, (N_CLASSES, n_features)).astype(np.float32)
    detector.svms_.intercept_ = np.zeros(N_CLASSES, np.float32)
    detector.regressors_ = BoxRegressors()
    detector.regressors_.coef_ = rng.normal(0, 1e-4, (N_CLASSES, 4, n_pool5)).astype(np.float32)
    detector.regressors_.intercept_ = np.zeros((N_CLASSES, 4), np.float32)
    detector.thresholds_ = np.zeros(N_CLASSES, np.float32)
    return detector


def warm_up(detector: RCNN, image: np.ndarray, boxes: np.ndarray) -> None:
    """Compile kernels and convert precisions; set thresholds that about `FIRING` of the regions exceed."""
    scores = detector.score(image, boxes[:WARM_UP])
    detector.regress(image, boxes[:WARM_UP])
    deviations = statistics.NormalDist().inv_cdf(1 - FIRING)
    detector.thresholds_ = np.float32(scores.mean(axis=0) + deviations * scores.std(axis=0))


class Stopwatch:
    """Seconds by stage."""

    def __init__(self, device: str):
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.device = device

    def __call__(self, stage: str, function, *arguments):
        started = self.now()
        result = function(*arguments)
        self.seconds[stage] += self.now() - started
        return result

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def by_stage(detector: RCNN, path: Path, n_regions: int, device: str) -> dict[str, float]:
    """Seconds of every stage of `RCNN.detect`, one after the other as it calls them."""
    watch = Stopwatch(device)
    image = watch("decode", read_image, path)
    boxes = watch("propose", detector.propose, image)[:n_regions]
    pool5 = np.empty((len(boxes), detector.network.feature_dim("pool5")), np.float32)

    def forward(converted, crops):
        return watch("network", lambda: converted.features(crops, ("pool5",))["pool5"].cpu().numpy())

    started = watch.now()
    for part, found in in_batches(detector.network, image, boxes, forward):
        pool5[part] = found
    watch.seconds["warp"] = watch.now() - started - watch.seconds["network"]
    features = watch("fc6 fc7", detector._features, pool5)
    scores = watch("SVMs", detector.svms_.decision_function, features)
    moved = watch("regression", detector.regress_pool5, boxes, pool5, *image.shape[:2])
    rows, classes = np.nonzero(scores > detector.thresholds_)
    image_index = np.zeros(len(rows), np.int32)
    found = Detections(
        ("image",), detector.classes_, image_index, classes, scores[rows, classes], moved[rows, classes]
    )
    watch("suppression", suppress, found)
    return watch.seconds


def plain_network(detector: RCNN):
    """The same network as torchvision would have it: float32, not channels-last, torch's own normalization."""
    module = copy.deepcopy(detector.network.module).float().to(memory_format=torch.contiguous_format)
    for name, layer in list(module.trunk.named_children()):
        if isinstance(layer, ResponseNorm):
            setattr(module.trunk, name, torch.nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0))
    return module.eval()


@torch.inference_mode()
def plain_detection(detector: RCNN, module, image: np.ndarray, boxes: np.ndarray, device: str) -> int:
    """Crops one by one, float32 batches, one suppression a class; how many boxes are left."""
    network = detector.network
    mean, std = np.float32(network.mean), np.float32(network.std)
    svms = torch.from_numpy(detector.svms_.coef_).to(device)
    regressors = torch.from_numpy(detector.regressors_.coef_.reshape(4 * N_CLASSES, -1)).to(device)
    scores, moves = [], []
    for start in range(0, len(boxes), PLAIN_BATCH):
        crops = []
        for x1, y1, x2, y2 in boxes[start : start + PLAIN_BATCH].astype(int):
            crop = cv2.resize(image[y1:y2, x1:x2], (network.input_size, network.input_size))
            crops.append(torch.from_numpy((crop.astype(np.float32) - mean) / std).permute(2, 0, 1))
        pool5 = module.pool5(module.trunk(torch.stack(crops).to(device))).flatten(1)
        fc7 = torch.relu(module.fc7(torch.relu(module.fc6(pool5))))
        scores.append(fc7 @ svms.T)
        moves.append(pool5 @ regressors.T)
    scores, moves = torch.cat(scores), torch.cat(moves).reshape(len(boxes), N_CLASSES, 4)
    corners = torch.from_numpy(boxes).to(device)
    sizes = corners[:, 2:] - corners[:, :2]
    centres = corners[:, :2] + sizes / 2
    left = 0
    for c in range(N_CLASSES):
        rows = torch.nonzero(scores[:, c] > torch.quantile(scores[:, c], 1 - FIRING)).flatten()
        centre = centres[rows] + sizes[rows] * moves[rows, c, :2]
        size = sizes[rows] * moves[rows, c, 2:].exp()
        moved = torch.cat([centre - size / 2, centre + size / 2], dim=1)
        left += len(torchvision.ops.nms(moved, scores[rows, c], 0.3))
    return left


def bare_pass(detector: RCNN, n_regions: int, device: str):
    """A function that runs the network, down to fc7, on ready-made crops."""
    network = detector.network
    precision = choose_precision("auto", network.device)
    converted = in_precision(network, precision)
    size = min(n_regions, choose_batch_size(converted))
    batch = crop_buffer(size, network.input_size, PRECISIONS[precision]).normal_().to(device)

    def run():
        for start in range(0, n_regions, size):
            converted.features(batch[: min(size, n_regions - start)], (detector.layer,))[detector.layer].cpu()

    return run


def timed(function, device: str) -> float:
    watch = Stopwatch(device)
    started = watch.now()
    function()
    return watch.now() - started


def measure(name: str, paths: list[Path], options, device: str) -> tuple[dict, dict]:
    """One row of seconds by stage, and one beside the peers."""
    detector = random_detector(name, device)
    whole = options.full or device == "cuda" or name != "vgg16"
    n_regions = N_PROPOSALS if whole else LARGE_REGIONS
    scale = N_PROPOSALS / n_regions
    n_plain = N_PROPOSALS if options.full else min(n_regions, PLAIN_REGIONS)
    image = read_image(paths[0])
    boxes = detector.propose(image)
    bare, module = bare_pass(detector, n_regions, device), plain_network(detector)

    warm_up(detector, image, boxes)
    plain_detection(detector, module, image, boxes[:WARM_UP], device)

    stages, totals, passes, plain = [], [], [], []
    for path in (paths * options.rounds)[: max(options.rounds, 1)]:
        image = read_image(path)
        boxes = detector.propose(image)[:N_PROPOSALS]
        stages.append(by_stage(detector, path, n_regions, device))
        if scale == 1:
            totals.append(timed(lambda path=path: detector.detect(read_image(path)), device))
        passes.append(timed(bare, device) * scale)
        seconds = timed(
            lambda image=image, boxes=boxes: plain_detection(
                detector, module, image, boxes[:n_plain], device
            ),
            device,
        )
        plain.append(seconds * N_PROPOSALS / n_plain)
    median = {
        stage: statistics.median(each[stage] for each in stages) * (scale if stage in PER_REGION else 1)
        for stage in STAGES
    }
    total = statistics.median(totals) if totals else sum(median.values())
    shared = median["decode"] + median["propose"]
    first = {"network": name, "precision": choose_precision("auto", device)}
    timed_regions = {"regions timed": n_regions, "plain way's": n_plain}
    by_stages = first | {f"{stage} s": seconds for stage, seconds in median.items()} | {"in all s": total}
    bare_seconds, plain_seconds = statistics.median(passes), statistics.median(plain) + shared
    beside = first | {
        "in all s": total,
        "bare forward s": bare_seconds,
        "bare / ours": bare_seconds / total,
        "plain way s": plain_seconds,
        "ratio": plain_seconds / total,
    }
    return by_stages, beside | timed_regions


class Pictures:
    """Pictures in files, as a data set without annotations."""

    classes = tuple(f"class {number}" for number in range(N_CLASSES))

    def __init__(self, paths: list[Path]):
        self.paths = {f"{number:06d}": path for number, path in enumerate(paths)}
        self.ids = tuple(self.paths)

    def image(self, image_id: str) -> np.ndarray:
        return read_image(self.paths[image_id])


def in_a_row(name: str, paths: list[Path], rounds: int, device: str) -> dict:
    """Seconds of each of several pictures, searched one by one and as a data set, in turns."""
    detector = random_detector(name, device)
    pictures = Pictures(paths)
    first = pictures.image(pictures.ids[0])
    warm_up(detector, first, detector.propose(first))

    def one_by_one():
        for image_id in pictures.ids:
            detector.detect(pictures.image(image_id), image_id=image_id)

    def as_a_data_set():
        detector.detect_dataset(pictures, progress=False)

    single, together = zip(
        *((timed(one_by_one, device), timed(as_a_data_set, device)) for _ in range(rounds)), strict=True
    )
    single, together = statistics.median(single), statistics.median(together)
    return {
        "network": name,
        "pictures": len(paths),
        "data set, s each": together / len(paths),
        "one by one, s each": single / len(paths),
        "ratio": single / together,
    }


def photographs(folder: Path, n: int) -> list[Path]:
    """Photographs with enough proposals, at most `n`: the VOC sample's first, or one that is drawn."""
    real = os.environ.get("RCNN_REAL_DATA")
    if not real:
        path = folder / "drawn.jpg"
        write_image(path, drawn())
        return [path]
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.proposals import propose

    dataset = VOCDataset(Path(real) / "voc2007_sample/VOCdevkit/VOC2007", "test")
    found = []
    for image_id in dataset.ids:
        if len(propose(dataset.image(image_id), max_boxes=N_PROPOSALS)) == N_PROPOSALS:
            found.append(Path(dataset.image_path(image_id)))
        if len(found) == n:
            break
    return found


def drawn() -> np.ndarray:
    """A picture of VOC's size with blots of many sizes, in which selective search finds more than 2,000 boxes."""
    rng = np.random.default_rng(0)
    image = np.full((375, 500, 3), 128, np.float32)
    for sigma in (3, 6, 12, 25):
        noise = cv2.GaussianBlur(rng.normal(size=image.shape).astype(np.float32), (0, 0), sigma)
        image += 25 * noise / noise.std()
    return np.clip(image, 0, 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="quarter_tnet,tnet,alexnet,vgg16")
    parser.add_argument("--rounds", type=int, default=2, help="photographs, one after the other")
    parser.add_argument(
        "--full", action="store_true", help="all 2,000 regions in every way; takes many minutes"
    )
    options = parser.parse_args()
    device = choose_device()
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(Path(folder), max(options.rounds, IN_A_ROW))
        names = options.networks.split(",")
        measured = [measure(name, paths, options, device) for name in names]
        row_names = names if device == "cuda" else names[:1]  # on a processor one network says it all
        rows = [in_a_row(name, (IN_A_ROW * paths)[:IN_A_ROW], options.rounds, device) for name in row_names]
    kind = "photographs" if os.environ.get("RCNN_REAL_DATA") else "a drawn picture"
    what = (
        f"{kind}, {N_PROPOSALS} proposals, {N_CLASSES} classes, {torch.get_num_threads()} threads, {device}"
    )
    report(f"Detection by stage, {what}", [stages for stages, _ in measured])
    report(f"Detection beside its peers, {what}", [beside for _, beside in measured], name="detection_peers")
    report(f"Detection in several pictures, {what}", rows, name="detection_in_a_row")


if __name__ == "__main__":
    main()
