"""The detector: dense windows in place of proposals, and everything else as in R-CNN."""

import copy
import hashlib
import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.boxes import iou
from rcnn_helpers.candidates import Candidates, suppress
from rcnn_helpers.detector import LONGEST_SIDE, RCNN
from rcnn_helpers.errors import SettingsError, StoreError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.feature_store import FeatureStore, choose_precision, digest_inputs
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.pool5 import from_pool5
from rcnn_helpers.sliding_window_detector.features import TILE, dense_pool5, pool5_of_boxes
from rcnn_helpers.sliding_window_detector.windows import (
    ASPECT_RATIOS,
    MIN_SIZE,
    SIZE_STEP,
    Level,
    pyramid,
    window_geometry,
)
from rcnn_helpers.storage import read_tensors, write_tensors

# Windows of a picture that `fit` learns from: as many as the course has proposals.
TRAINING_WINDOWS = 1000
# Windows from this IoU with an object on are kept for training before others are: regression needs them (App. C).
_NEAR = 0.5


class DenseDetector:
    """A multi-scale sliding-window detector on shared convolutions (sec. 4.6), made of the pieces of an R-CNN.

    Parameters
    ----------
    rcnn : RCNN
        Its network, layer and settings are used. If it is trained, so are its SVMs, box regression and thresholds,
        which have learnt from warped regions; `fit` trains others on dense windows.
    min_size, size_step, aspect_ratios : see `pyramid`
    stride : int, optional
        See `window_geometry`.
    tile : int
        Longest side of what goes through the network at once, in pixels.

    Attributes
    ----------
    rcnn : RCNN
        The one given or, after `fit`, a copy of it with other SVMs, box regression and thresholds.
    geometry : WindowGeometry
    seconds_ : dict from stage to seconds
        Wall time of each stage of the last `fit`.
    """

    def __init__(
        self,
        rcnn: RCNN,
        *,
        min_size: float = MIN_SIZE,
        size_step: float = SIZE_STEP,
        aspect_ratios: Sequence[float] = ASPECT_RATIOS,
        stride: int | None = None,
        tile: int = TILE,
    ):
        if rcnn.warp_mode != "warp":
            raise SettingsError(
                f"the R-CNN warps regions in mode {rcnn.warp_mode!r}; windows of scaled pictures correspond to "
                "mode 'warp'"
            )
        self.rcnn = rcnn
        self.geometry = window_geometry(rcnn.network, padding=rcnn.padding, stride=stride)
        self.min_size = min_size
        self.size_step = size_step
        self.aspect_ratios = tuple(aspect_ratios)
        self.tile = tile
        self.seconds_: dict[str, float] = {}
        self.levels(1, 1)  # refuses options out of range before any work is done

    @property
    def classes_(self) -> tuple[str, ...]:
        """The classes that the R-CNN was trained for."""
        return self.rcnn.classes_

    # -- windows -------------------------------------------------------------------------------------------

    def levels(self, height: int, width: int) -> list[Level]:
        """The pyramid of a picture of this size, largest windows first."""
        return pyramid(
            height,
            width,
            self.geometry,
            min_size=self.min_size,
            size_step=self.size_step,
            aspect_ratios=self.aspect_ratios,
        )

    def windows(self, height: int, width: int) -> np.ndarray:
        """The boxes of all windows of a picture of this size, float32 [N, 4], largest first."""
        return np.concatenate([level.boxes() for level in self.levels(height, width)])

    def pool5(self, image: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Boxes float32 [N, 4] and pool5 float32 [N, D] of all windows of a picture, some at a time."""
        levels = self.levels(*image.shape[:2])
        return dense_pool5(self.rcnn.network, image, levels, precision=self.rcnn.precision, tile=self.tile)

    # -- training ------------------------------------------------------------------------------------------

    def fit(
        self, dataset, *, cache=None, n_windows: int = TRAINING_WINDOWS, progress: bool = True
    ) -> "DenseDetector":
        """Train SVMs and box regression anew, on dense windows.

        The rules are R-CNN's (sec. 2.3, App. C): a class's positives are its objects, as a window at their box
        would see them (`pool5_of_boxes`); its negatives are windows of IoU below 0.3. A picture has too many
        windows to learn from all. Up to a quarter of those taken are near an object (IoU from 0.5 on), the rest
        are any; both are chosen at random. But where SVMs are there already, half of all are the windows that
        these score highest for any class, so that the new ones meet the negatives that are hard.

        Parameters
        ----------
        dataset : VOCDataset or the like
        cache : path, optional
            Folder for the windows' features, so that an interrupted training goes on from there.
        n_windows : int
            Windows taken of a picture, about.
        progress : bool

        Returns
        -------
        self
        """
        started = time.perf_counter()
        if cache is None:
            with TemporaryDirectory(prefix="rcnn-") as folder:
                return self.fit(dataset, cache=folder, n_windows=n_windows, progress=progress)
        store = self._fill_store(dataset, Path(cache), n_windows, progress)
        self.seconds_ = {"windows": time.perf_counter() - started}
        self.rcnn = self._trained_on(dataset, store, progress)
        self.seconds_ |= self.rcnn.seconds_
        return self

    def _fill_store(self, dataset, cache: Path, n_windows: int, progress: bool) -> FeatureStore:
        """pool5 of objects and chosen windows of every picture, computed where it is not there yet."""
        from tqdm.auto import tqdm

        network, precision = self.rcnn.network, self.rcnn.precision
        store = FeatureStore(
            cache / "dense",
            network=network,
            mode=f"dense-{self._key(n_windows)}",
            padding=self.rcnn.padding,
            precision=precision,
        )
        ids = tqdm(dataset.ids, desc="dense windows", unit="image", disable=not progress, leave=False)
        for image_id in ids:
            image, truth = dataset.image(image_id), dataset.annotation(image_id).boxes
            inputs = digest_inputs(image, truth, np.ones(len(truth), bool))
            if store.has(image_id, inputs):
                continue
            rng = np.random.default_rng([self.rcnn.seed, zlib.crc32(np.ascontiguousarray(image))])
            boxes, pool5 = self._training_windows(image, truth, n_windows, rng)
            of_objects = pool5_of_boxes(network, image, truth, self.geometry, precision=precision)
            store.write(
                image_id,
                np.concatenate([truth, boxes]),
                np.concatenate([of_objects, pool5]),
                is_gt=np.arange(len(truth) + len(boxes)) < len(truth),
                inputs=inputs,
            )
        return store

    def _key(self, n_windows: int) -> str:
        """Hash of everything that decides which windows are taken for training."""
        windows = [self.geometry.stride, self.min_size, self.size_step, self.aspect_ratios]
        values = [windows, n_windows, self.rcnn.seed, self._is_trained]
        digest = hashlib.sha256(json.dumps(values).encode())
        if self.rcnn.svms_ is not None:
            digest.update(self.rcnn.svms_.coef_.tobytes())
        return digest.hexdigest()[:12]

    def _training_windows(self, image, truth, n_windows, rng) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] and pool5 [N, D] of the windows of one picture that `fit` learns from."""
        n_near, n_hard = n_windows // 4, n_windows // 2 if self._is_trained else 0
        near, hard, others = _Sample(n_near), _Sample(n_hard), _Sample(n_windows - n_near - n_hard)
        first = 0
        for boxes, pool5 in self.pool5(image):
            index = np.arange(first, first + len(boxes))
            first += len(boxes)
            chance = rng.random(len(boxes))
            overlap = iou(boxes, truth).max(axis=1, initial=0)
            near.add(np.where(overlap >= _NEAR, chance, -np.inf), index, boxes, pool5)
            others.add(chance, index, boxes, pool5)
            if self._is_trained:
                scores = _scores(self.rcnn, pool5, _behind(self.rcnn, pool5))
                hard.add(scores.max(axis=1), index, boxes, pool5)
            else:
                hard.add(chance, index, boxes, pool5)
        index, boxes, pool5 = (
            np.concatenate(parts) for parts in zip(near.kept, hard.kept, others.kept, strict=True)
        )
        _, once = np.unique(index, return_index=True)
        return boxes[once], pool5[once]

    def _trained_on(self, dataset, store, progress) -> RCNN:
        """A copy of the R-CNN that has learnt, by its own rules, from the windows in a store."""
        rcnn = copy.copy(self.rcnn)
        rcnn.seconds_ = {}
        return rcnn.fit_store(dataset, store, progress=progress)

    # -- detection -----------------------------------------------------------------------------------------

    def detect(
        self, image: np.ndarray, *, score_threshold: float | None = None, image_id: str = "image"
    ) -> Detections:
        """Detect the objects of one image.

        Parameters
        ----------
        image : uint8 [H, W, 3], RGB
            An image longer than 1000 pixels is shrunk for the work; boxes come back in its own pixels.
        score_threshold : float, optional
            Detections score more. By default each class has its own, the R-CNN's ``thresholds_``.
        image_id : str

        Returns
        -------
        Detections
            Best first.
        """
        self._require_trained()
        working, scale = shrink_to_fit(image, LONGEST_SIDE)
        ((boxes, scores),) = _search(working, [self])
        candidates = Candidates((image_id,), self.classes_, settings.MAX_PER_IMAGE, settings.MAX_PER_IMAGE)
        candidates.add(0, boxes, scores)
        found = candidates.best()
        least = self.rcnn.thresholds_ if score_threshold is None else score_threshold
        least = np.broadcast_to(least, len(self.classes_))
        found = found.select(found.scores > least[found.class_index])
        found = suppress(found, iou_threshold=self.rcnn.nms_iou) if len(found) else found
        return replace(found, boxes=found.boxes / np.float32(scale)).sorted()

    def detect_dataset(
        self,
        dataset,
        *,
        max_per_image: int = settings.MAX_PER_IMAGE,
        mean_per_image: int = settings.MEAN_PER_IMAGE,
        progress: bool = True,
    ) -> Detections:
        """Detect the objects of every image, with the same caps as `RCNN.detect_dataset`."""
        (found,) = detect_with(
            [self], dataset, max_per_image=max_per_image, mean_per_image=mean_per_image, progress=progress
        )
        return found

    @property
    def _is_trained(self) -> bool:
        return hasattr(self.rcnn, "thresholds_")

    def _require_trained(self) -> None:
        if not self._is_trained:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this detector is not trained; give it a trained RCNN, or call fit(dataset)")


def detect_with(
    detectors: Sequence[DenseDetector],
    dataset,
    *,
    max_per_image: int = settings.MAX_PER_IMAGE,
    mean_per_image: int = settings.MEAN_PER_IMAGE,
    cache=None,
    progress: bool = True,
) -> list[Detections]:
    """Detect with several detectors that differ in what follows the network only; features are computed once.

    Parameters
    ----------
    detectors : sequence of DenseDetector
        Trained, of one network, layer and pyramid.
    dataset : VOCDataset or the like
    max_per_image, mean_per_image, progress : as for `DenseDetector.detect_dataset`
    cache : path, optional
        Folder for what each image gave, so that an interrupted call goes on from there.

    Returns
    -------
    list of Detections, one for each detector
    """
    from tqdm.auto import tqdm

    for detector in detectors:
        detector._require_trained()
    candidates = [
        Candidates(dataset.ids, detector.classes_, max_per_image, mean_per_image * len(dataset.ids))
        for detector in detectors
    ]
    kept = None if cache is None else Path(cache) / "dense-found" / _search_key(detectors, max_per_image)
    ids = tqdm(dataset.ids, desc="dense windows", unit="image", disable=not progress, leave=False)
    for index, image_id in enumerate(ids):
        found = _best_of_image(dataset.image(image_id), detectors, max_per_image, kept)
        for taken, columns in zip(candidates, found, strict=True):
            image_index = np.full(len(columns["scores"]), index, np.int32)
            taken.keep(Detections(taken.image_ids, taken.classes, image_index, **columns))
    return [
        suppress(taken.best(), iou_threshold=detector.rcnn.nms_iou) if taken.n_pending else taken.best()
        for taken, detector in zip(candidates, detectors, strict=True)
    ]


def _search_key(detectors, max_per_image: int) -> str:
    """Hash of everything but the image that decides what `_best_of_image` finds."""
    digest = hashlib.sha256(f"{max_per_image} {detectors[0].rcnn.network.fingerprint}".encode())
    for detector in detectors:
        rcnn = detector.rcnn
        digest.update(detector._key(0).encode())
        digest.update(json.dumps([rcnn.layer, rcnn.precision, rcnn.padding, list(rcnn.classes_)]).encode())
        if rcnn.svms_ is not None:
            digest.update(rcnn.svms_.intercept_.tobytes() + np.float64(rcnn.feature_scale_).tobytes())
        if rcnn.regressors_ is not None:
            digest.update(rcnn.regressors_.coef_.tobytes() + np.float64(rcnn.pool5_scale_).tobytes())
    return digest.hexdigest()[:16]


def _best_of_image(image, detectors, max_per_image: int, folder: Path | None) -> list[dict]:
    """For each detector the columns class_index, scores and boxes of an image's best windows of each class."""
    from safetensors.numpy import save

    path = None
    if folder is not None:
        path = folder / f"{hashlib.sha256(np.ascontiguousarray(image)).hexdigest()[:32]}.safetensors"
    columns = None if path is None else _read_columns(path)
    if columns is None:
        columns = {}
        for number, (boxes, scores) in enumerate(_search(image, detectors, max_per_image)):
            candidates = Candidates(("image",), detectors[number].classes_, max_per_image, max_per_image)
            candidates.add(0, boxes, scores)
            best = candidates.best()
            columns |= {
                f"{name}.{number}": getattr(best, name) for name in ("class_index", "scores", "boxes")
            }
        if path is not None:
            write_tensors(path, save({name: np.ascontiguousarray(c) for name, c in columns.items()}))
    return [
        {name: columns[f"{name}.{number}"] for name in ("class_index", "scores", "boxes")}
        for number in range(len(detectors))
    ]


def _read_columns(path: Path) -> dict[str, np.ndarray] | None:
    """The columns kept of an image; None if there are none, or their file is damaged."""
    try:
        return read_tensors(path) if path.exists() else None
    except StoreError:
        return None


def _search(
    image, detectors, max_per_image: int = settings.MAX_PER_IMAGE
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each detector the windows among the best of any class: boxes [N, C, 4] or [N, 4], and scores [N, C]."""
    height, width = image.shape[:2]
    kept = [_Best(max_per_image, len(detector.classes_)) for detector in detectors]
    for boxes, pool5 in detectors[0].pool5(image):
        features = _behind(detectors[0].rcnn, pool5)
        for best, detector in zip(kept, detectors, strict=True):
            rcnn = detector.rcnn
            scores = _scores(rcnn, pool5, features)
            rows = best.promising(scores)
            moved = boxes[rows]
            if rcnn.regressors_ is not None:
                moved = rcnn.regress_pool5(moved, pool5[rows], height, width)
            best.add(moved, scores[rows])
    return [(np.concatenate(best.boxes), np.concatenate(best.scores)) for best in kept]


def _behind(rcnn: RCNN, pool5: np.ndarray) -> np.ndarray | None:
    """Features of the SVMs' layer, not scaled, [N, D]; None where the network's own classifier scores (App. B)."""
    if rcnn.svms_ is None:
        return None
    precision = choose_precision(rcnn.precision, rcnn.network.device)
    return from_pool5(rcnn.network, pool5, rcnn.layer, precision=precision)


def _scores(rcnn: RCNN, pool5: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    """Score of each window for each class, float32 [N, C]; detectors of one network share `features`."""
    if features is None:
        return rcnn.score_pool5(pool5)
    return rcnn.svms_.decision_function(features * np.float32(rcnn.feature_scale_))


class _Best:
    """Windows of one picture that were among the `k` best of some class when they came."""

    def __init__(self, k: int, n_classes: int):
        self.k = k
        self.boxes, self.scores = [], []
        self.top = np.empty((0, n_classes), np.float32)
        self.floor = np.full(n_classes, settings.NEVER_FIRES, np.float32)

    def promising(self, scores: np.ndarray) -> np.ndarray:
        """Rows that beat the k-th best so far of any class."""
        return np.flatnonzero((scores > self.floor).any(axis=1))

    def add(self, boxes: np.ndarray, scores: np.ndarray) -> None:
        self.boxes.append(boxes)
        self.scores.append(scores)
        self.top = np.concatenate([self.top, scores])
        if len(self.top) >= self.k:
            self.top = np.partition(self.top, len(self.top) - self.k, axis=0)[len(self.top) - self.k :]
            self.floor = np.maximum(self.floor, self.top.min(axis=0))


class _Sample:
    """The `k` windows of largest key, and what belongs to them; a key of minus infinity is no window."""

    def __init__(self, k: int):
        self.k = k
        self.keys, self.kept = np.empty(0), None

    def add(self, keys, *columns) -> None:
        if self.kept is not None:
            keys = np.concatenate([self.keys, keys])
            columns = [np.concatenate(both) for both in zip(self.kept, columns, strict=True)]
        order = np.argsort(-keys, kind="stable")[: self.k]
        order = order[keys[order] > -np.inf]
        self.keys, self.kept = keys[order], [column[order] for column in columns]
