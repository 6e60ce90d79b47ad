"""What each part of the paper's procedure costs on this machine, measured in about a minute, for `planning`.

Every part is run as the package runs it, on pictures that ship with the course: a few hundred regions, a few
steps, a small system of equations. The network's weights are random, which costs as much time as good ones; only
pool5 is then less empty than a trained network's, so that its place on disk is given as the most it can take.
"""

import datetime
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.images import read_image, write_image
from rcnn_helpers.memory import peak_memory, reset_peak_memory
from rcnn_helpers.planning import Costs
from rcnn_helpers.settings import MAX_PROPOSALS, choose_device, data_dir

# Pictures of VOC's size, cut out of a sheet that ships with the course.
_SHEET = "pictures/detections.jpg"
_HEIGHT, _WIDTH = 375, 500
_CLASSES = tuple(f"class {number}" for number in range(20))
# Seconds that the two dear parts, features and fine-tuning, are measured for at least.
_LONG_ENOUGH = 5.0
_MIB = 2**20 / 1e9


class Pictures:
    """Pictures of VOC's size with two boxes each, as JPEG files in a folder; a data set for `measure` alone."""

    classes = _CLASSES

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        sheet = read_image(data_dir() / _SHEET)
        rows, columns = sheet.shape[0] // _HEIGHT, sheet.shape[1] // _WIDTH
        if not rows * columns:
            raise SettingsError(
                f"{data_dir() / _SHEET} is too small to cut pictures of {_WIDTH}x{_HEIGHT} from it"
            )
        self.ids = [f"{number:02d}" for number in range(rows * columns)]
        for number, image_id in enumerate(self.ids):
            top, left = _HEIGHT * (number // columns), _WIDTH * (number % columns)
            write_image(self.image_path(image_id), sheet[top : top + _HEIGHT, left : left + _WIDTH])

    def image_path(self, image_id: str) -> Path:
        """Path of a picture's file."""
        return self.folder / f"{image_id}.jpg"

    def image(self, image_id: str) -> np.ndarray:
        """Read a picture, uint8 [375, 500, 3]."""
        return read_image(self.image_path(image_id))

    def annotation(self, image_id: str) -> Annotation:
        """Two boxes of two classes; nothing need be in them."""
        boxes = np.array([[50, 60, 200, 210], [250, 100, 400, 300]], np.float32)
        no = np.zeros(len(boxes), bool)
        return Annotation(
            image_id, _HEIGHT, _WIDTH, boxes, _CLASSES[:2], no, no, no, ("Unspecified",) * len(boxes)
        )


def measure(network: str = "tnet", *, device: str | None = None, seed: int = 0) -> Costs:
    """Measure what each part costs on this machine.

    Parameters
    ----------
    network : str
        A backbone of `rcnn_helpers.networks`; its weights are random.
    device : str, optional
        By default the best one present.
    seed : int

    Returns
    -------
    Costs
        Wall time with all the threads that the libraries use by themselves; other work on the machine counts.
    """
    from rcnn_helpers.course.costs import machine
    from rcnn_helpers.features import choose_precision
    from rcnn_helpers.networks import load_network

    device = choose_device(device)
    backbone = load_network(network, weights="random", n_classes=len(_CLASSES) + 1, device=device, seed=seed)
    deepest = backbone.layers[-1]
    with TemporaryDirectory(prefix="rcnn-plan-") as folder:
        pictures = Pictures(Path(folder) / "pictures")
        parts = {"resident": peak_memory() * _MIB}
        boxes, proposing = _of_images(pictures)
        extracting, pool5 = _of_features(backbone, pictures.image(pictures.ids[0]), boxes)
        parts |= proposing | extracting
        parts |= _of_store(backbone, boxes[: len(pool5)], pool5, Path(folder) / "store")
        parts |= _of_search(backbone, deepest, boxes[: len(pool5)], pool5, seed)
        parts |= _of_solvers(backbone.feature_dim(deepest), seed)
        parts |= _of_training(backbone, pictures, boxes)
    return Costs(
        network=network,
        device=device,
        precision=choose_precision("auto", device),
        machine=machine(),
        date=datetime.date.today().isoformat(),
        pool5=backbone.feature_dim("pool5"),
        deepest=backbone.feature_dim(deepest),
        **parts,
        **_operations(backbone, deepest),
    )


def _seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Median seconds of a call, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _of_images(pictures: Pictures) -> tuple[np.ndarray, dict[str, float]]:
    """Boxes of all the pictures, as if of one, and the costs of an image."""
    from rcnn_helpers.proposals import propose

    images = [pictures.image(image_id) for image_id in pictures.ids]
    found = [propose(image, mode="fast", max_boxes=MAX_PROPOSALS) for image in images]
    decode = _seconds(lambda: [pictures.image(image_id) for image_id in pictures.ids])
    search = _seconds(lambda: [propose(image, mode="fast", max_boxes=MAX_PROPOSALS) for image in images], 1)
    boxes = np.concatenate(found)
    while len(boxes) < MAX_PROPOSALS:
        boxes = np.concatenate([boxes, boxes])
    return boxes[:MAX_PROPOSALS], {"decode": decode / len(images), "propose": search / len(images)}


def _of_features(network, image, boxes) -> tuple[dict[str, float], np.ndarray]:
    """Costs of a region on its way to pool5; and some regions' pool5."""
    from rcnn_helpers.features import choose_batch_size, extract

    def features(n):
        return extract(network, image, boxes[:n], layers=("pool5",))["pool5"]

    n = min(len(boxes), 2 * choose_batch_size(network))
    features(n)
    started = time.perf_counter()
    features(n)
    for_few = time.perf_counter() - started
    n = int(np.clip(n * _LONG_ENOUGH / for_few, n, len(boxes)))
    reset_peak_memory()
    started = time.perf_counter()
    pool5 = features(n)
    seconds = time.perf_counter() - started
    return {"forward": seconds / n, "forward_memory": peak_memory() * _MIB}, pool5


def _of_store(network, boxes, pool5, folder: Path) -> dict[str, float]:
    from rcnn_helpers.feature_store import FeatureStore

    store = FeatureStore(folder, network=network)
    write = _seconds(lambda: store.write("picture", boxes, pool5))
    read = _seconds(lambda: store.read("picture"))
    n = len(boxes)
    return {"write": write / n, "read": read / n, "stored": store.space_needed([n]) / n}


def _of_search(network, deepest: str, boxes, pool5, seed: int) -> dict[str, float]:
    """Costs of a region behind pool5: the layer that the SVMs read, and the search for objects of all classes."""
    from rcnn_helpers.candidates import Candidates, suppress
    from rcnn_helpers.detector import RCNN

    rng = np.random.default_rng(seed)
    detector = RCNN(network)
    deeper = _seconds(lambda: detector._features(pool5))
    features = detector._features(pool5)
    detector.classes_ = _CLASSES
    detector.svms_ = _random_svms(features.shape[1], rng)
    detector.regressors_ = _random_regressors(pool5.shape[1], rng)

    def score():
        return detector.svms_.decision_function(features)

    def search():
        scores = score()
        regressed = detector.regress_pool5(boxes, pool5, _HEIGHT, _WIDTH)
        candidates = Candidates(("picture",), _CLASSES, 100, 100 * len(_CLASSES))
        candidates.add(0, regressed, scores)
        return suppress(candidates.best())

    n = len(boxes) * len(_CLASSES)
    return {"deeper": deeper / len(boxes), "score": _seconds(score) / n, "search": _seconds(search) / n}


def _random_svms(n_features: int, rng):
    from rcnn_helpers.svm import LinearSVMs

    svms = LinearSVMs()
    svms.coef_ = 0.01 * rng.standard_normal((len(_CLASSES), n_features), dtype=np.float32)
    svms.intercept_ = np.zeros(len(_CLASSES), np.float32)
    return svms


def _random_regressors(n_features: int, rng):
    from rcnn_helpers.bbox_regression import BoxRegressors

    regressors = BoxRegressors()
    regressors.coef_ = 1e-4 * rng.standard_normal((len(_CLASSES), 4, n_features), dtype=np.float32)
    regressors.intercept_ = np.zeros((len(_CLASSES), 4), np.float32)
    return regressors


def _of_solvers(n_features: int, seed: int) -> dict[str, float]:
    """Costs of the SVMs' solver and of ridge regression, on numbers drawn like features."""
    from rcnn_helpers.ridge import ridge
    from rcnn_helpers.svm import LinearSVMs

    rng = np.random.default_rng(seed)
    n_rows, n_classes = 1500, 4
    features = np.maximum(rng.standard_normal((n_rows, n_features), dtype=np.float32), 0)
    features *= 20 / np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.where(rng.random((n_rows, n_classes)) < 0.05, 1, -1)
    solve = _seconds(lambda: LinearSVMs().fit(features, labels), 1)

    d, n = 1024, 2048
    rows = rng.standard_normal((n, d), dtype=np.float32)
    system = _seconds(lambda: ridge(rows, rows[:, :4], 1000.0))
    operations = d * d * n + d**3 / 3
    return {"solve": solve / (n_rows * n_classes), "gflops": operations / system / 1e9}


def _of_training(network, pictures: Pictures, boxes) -> dict[str, float]:
    """Costs of a window of fine-tuning: the difference of a longer and a shorter run, each a whole one."""
    from rcnn_helpers.finetuning import finetune, settings_for

    settings = settings_for(network.name)
    proposals = {image_id: boxes for image_id in pictures.ids}

    def seconds(steps):
        short = replace(settings, steps=steps)
        return finetune(network, pictures, proposals, settings=short, progress=False).seconds

    reset_peak_memory()
    few = 2
    for_few = seconds(few)
    more = int(np.clip(_LONG_ENOUGH / (for_few / few), 2, 30))
    for_more = seconds(few + more)
    window = max(for_more - for_few, 0.1 * for_more) / (more * settings.batch_size)
    return {"train_window": window, "train_memory": peak_memory() * _MIB}


def _operations(network, deepest: str) -> dict[str, float]:
    """Multiplications and additions of one region, counted by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    crop = torch.zeros(
        1, 3, network.input_size, network.input_size, device=network.device, dtype=network.dtype
    )
    counts = []
    for layer in ("pool5", deepest):
        with FlopCounterMode(display=False) as counter:
            network.features(crop, (layer,))
        counts.append(counter.get_total_flops() / 1e9)
    return {"forward_gflop": counts[0], "deeper_gflop": counts[1] - counts[0]}
