"""The detector: dense windows in place of proposals, and everything else as in R-CNN."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.bbox_regression import BoxRegressors, regress_within
from rcnn_helpers.boxes import iou
from rcnn_helpers.candidates import Candidates, best_thresholds, suppress
from rcnn_helpers.detector import LONGEST_SIDE, RCNN
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.feature_store import FeatureStore, choose_precision, digest_inputs
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.pool5 import from_pool5, probabilities_from_pool5
from rcnn_helpers.sliding_window_detector.features import TILE, dense_pool5, pool5_of_boxes
from rcnn_helpers.sliding_window_detector.windows import (
    ASPECT_RATIOS,
    MIN_SIZE,
    SIZE_STEP,
    Level,
    pyramid,
    window_geometry,
)
from rcnn_helpers.training_regions import TrainingRegions, regression_chunks

# Windows of a picture that `fit` learns from: as many as the course has proposals.
TRAINING_WINDOWS = 1000
# Windows from this IoU with an object on are kept for training before others are: regression needs them (App. C).
_NEAR = 0.5


@dataclass(frozen=True)
class Scorer:
    """What follows the network: scores of windows, and where their boxes move.

    Attributes
    ----------
    svms : svm.LinearSVMs or None
        None where the network's own classifier scores (App. B).
    feature_scale : float
        Factor for the SVMs' features.
    regressors : bbox_regression.BoxRegressors or None
    pool5_scale : float
        Factor for the regressors' features.
    thresholds : float32 [C]
        Score from which on `DenseDetector.detect` reports a class.
    """

    svms: object
    feature_scale: float
    regressors: BoxRegressors | None
    pool5_scale: float
    thresholds: np.ndarray

    def boxes(self, boxes: np.ndarray, pool5: np.ndarray, height: int, width: int) -> np.ndarray:
        """Where each class moves each window, float32 [N, C, 4]; without regression they stay, [N, 4]."""
        if self.regressors is None:
            return boxes
        targets = self.regressors.predict_all(pool5 * np.float32(self.pool5_scale))
        repeated = np.repeat(boxes, targets.shape[1], axis=0)
        return regress_within(repeated, targets.reshape(-1, 4), height, width).reshape(targets.shape)


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
    geometry : WindowGeometry
    classes_ : tuple of str
    scorer_ : Scorer
        SVMs and box regression; of the R-CNN, or from `fit`.
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
        if hasattr(rcnn, "thresholds_"):
            self.classes_ = rcnn.classes_
            self.scorer_ = Scorer(
                rcnn.svms_, rcnn.feature_scale_, rcnn.regressors_, rcnn.pool5_scale_, rcnn.thresholds_
            )

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
        self.seconds_["features"] = time.perf_counter() - started
        started = time.perf_counter()
        self.classes_ = tuple(dataset.classes)
        self.scorer_ = self._train(dataset, store, progress)
        self.seconds_["training"] = time.perf_counter() - started
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
        for number, image_id in enumerate(ids):
            image, truth = dataset.image(image_id), dataset.annotation(image_id).boxes
            inputs = digest_inputs(image, truth, np.ones(len(truth), bool))
            if store.has(image_id, inputs):
                continue
            rng = np.random.default_rng([self.rcnn.seed, number])
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
        values = [
            self.geometry.stride,
            self.min_size,
            self.size_step,
            self.aspect_ratios,
            n_windows,
            self.rcnn.seed,
        ]
        digest = hashlib.sha256(json.dumps(values).encode())
        svms = self.scorer_.svms if hasattr(self, "scorer_") else None
        if svms is not None:
            digest.update(svms.coef_.tobytes())
        return digest.hexdigest()[:12]

    def _training_windows(self, image, truth, n_windows, rng) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] and pool5 [N, D] of the windows of one picture that `fit` learns from."""
        scores_hard = hasattr(self, "scorer_")
        n_near, n_hard = n_windows // 4, n_windows // 2 if scores_hard else 0
        near, hard, others = _Sample(n_near), _Sample(n_hard), _Sample(n_windows - n_near - n_hard)
        first = 0
        for boxes, pool5 in self.pool5(image):
            index = np.arange(first, first + len(boxes))
            first += len(boxes)
            chance = rng.random(len(boxes))
            overlap = iou(boxes, truth).max(axis=1, initial=0)
            near.add(np.where(overlap >= _NEAR, chance, -np.inf), index, boxes, pool5)
            others.add(chance, index, boxes, pool5)
            if scores_hard:
                hard.add(self._scores(pool5).max(axis=1), index, boxes, pool5)
        index, boxes, pool5 = (
            np.concatenate(parts) for parts in zip(near.kept, hard.kept, others.kept, strict=True)
        )
        _, once = np.unique(index, return_index=True)
        return boxes[once], pool5[once]

    def _train(self, dataset, store, progress) -> Scorer:
        """SVMs, box regression and thresholds from the windows in a store."""
        from rcnn_helpers.svm import train_detector_svms

        rcnn, ids = self.rcnn, list(dataset.ids)
        feature_scale = store.feature_scale(ids, layer=rcnn.layer, seed=rcnn.seed)
        svms = train_detector_svms(
            TrainingRegions(dataset, store, feature_scale, layer=rcnn.layer),
            self.classes_,
            C=rcnn.C,
            positive_weight=rcnn.positive_weight,
            bias_scale=rcnn.bias_scale,
            positive_iou=rcnn.positive_iou,
            negative_iou=rcnn.negative_iou,
            seed=rcnn.seed,
            progress=progress,
        )
        regressors, pool5_scale = None, 1.0
        if rcnn.box_regression:
            pool5_scale = store.feature_scale(ids, layer="pool5", seed=rcnn.seed)
            chunks = regression_chunks(dataset, store, pool5_scale)
            regressors = BoxRegressors().fit_chunks(chunks, n_classes=len(self.classes_))
        scorer = Scorer(
            svms, feature_scale, regressors, pool5_scale, np.zeros(len(self.classes_), np.float32)
        )
        return replace(scorer, thresholds=self._thresholds(dataset, store, scorer))

    def _thresholds(self, dataset, store, scorer) -> np.ndarray:
        """Each class's score of best F1 on the windows that it was trained on, float32 [C]."""
        candidates = Candidates(
            dataset.ids,
            self.classes_,
            settings.MAX_PER_IMAGE,
            settings.MEAN_PER_IMAGE * len(dataset.ids),
        )
        for index, image_id in enumerate(dataset.ids):
            regions, annotation = store.read(image_id), dataset.annotation(image_id)
            pool5 = regions.features[~regions.is_gt]
            boxes = scorer.boxes(regions.boxes[~regions.is_gt], pool5, annotation.height, annotation.width)
            candidates.add(index, boxes, _scores(self.rcnn, scorer, pool5, self._fc(pool5)))
        found = suppress(candidates.best(), iou_threshold=self.rcnn.nms_iou)
        return best_thresholds(evaluate(found, dataset), self.classes_)

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
            Detections score more. By default each class has its own, `Scorer.thresholds`.
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
        least = self.scorer_.thresholds if score_threshold is None else score_threshold
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

    def _scores(self, pool5) -> np.ndarray:
        return _scores(self.rcnn, self.scorer_, pool5, self._fc(pool5))

    def _fc(self, pool5) -> np.ndarray | None:
        """Features of the SVMs' layer, not scaled; None where the network's own classifier scores."""
        if self.rcnn.classifier == "softmax":
            return None
        precision = choose_precision(self.rcnn.precision, self.rcnn.network.device)
        return from_pool5(self.rcnn.network, pool5, self.rcnn.layer, precision=precision)

    def _require_trained(self) -> None:
        if not hasattr(self, "scorer_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this detector is not trained; give it a trained RCNN, or call fit(dataset)")


def detect_with(
    detectors: Sequence[DenseDetector],
    dataset,
    *,
    max_per_image: int = settings.MAX_PER_IMAGE,
    mean_per_image: int = settings.MEAN_PER_IMAGE,
    progress: bool = True,
) -> list[Detections]:
    """Detect with several detectors that differ in what follows the network only; features are computed once.

    Parameters
    ----------
    detectors : sequence of DenseDetector
        Trained, of one network, layer and pyramid.
    dataset : VOCDataset or the like
    max_per_image, mean_per_image, progress : as for `DenseDetector.detect_dataset`

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
    ids = tqdm(dataset.ids, desc="dense windows", unit="image", disable=not progress, leave=False)
    for index, image_id in enumerate(ids):
        found = _search(dataset.image(image_id), detectors, max_per_image)
        for taken, (boxes, scores) in zip(candidates, found, strict=True):
            taken.add(index, boxes, scores)
    return [
        suppress(taken.best(), iou_threshold=detector.rcnn.nms_iou) if taken.n_pending else taken.best()
        for taken, detector in zip(candidates, detectors, strict=True)
    ]


def _search(
    image, detectors, max_per_image: int = settings.MAX_PER_IMAGE
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each detector the windows among the best of any class: boxes [N, C, 4] or [N, 4], and scores [N, C]."""
    height, width = image.shape[:2]
    kept = [_Best(max_per_image, len(detector.classes_)) for detector in detectors]
    for boxes, pool5 in detectors[0].pool5(image):
        features = detectors[0]._fc(pool5)
        for best, detector in zip(kept, detectors, strict=True):
            scores = _scores(detector.rcnn, detector.scorer_, pool5, features)
            rows = best.promising(scores)
            moved = detector.scorer_.boxes(boxes[rows], pool5[rows], height, width)
            best.add(moved, scores[rows])
    return [(np.concatenate(best.boxes), np.concatenate(best.scores)) for best in kept]


def _scores(rcnn, scorer, pool5, features) -> np.ndarray:
    """Score of each window for each class, float32 [N, C]."""
    if scorer.svms is None:
        precision = choose_precision(rcnn.precision, rcnn.network.device)
        return probabilities_from_pool5(rcnn.network, pool5, precision=precision)[:, 1:]
    return scorer.svms.decision_function(features * np.float32(scorer.feature_scale))


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
