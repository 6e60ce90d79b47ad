"""The R-CNN detector: regions in, warped to one size, CNN features out, one linear SVM a class (sec. 2, Fig. 1).

`RCNN` puts the stages together. Each stage lives in a module of its own and can be used alone:

1. `rcnn_helpers.proposals` finds around 2000 boxes that may hold an object, whatever its class;
2. `rcnn_helpers.warping` cuts each box out and warps it to the network's input size;
3. `rcnn_helpers.features` runs the crops through the network and keeps one layer;
4. `rcnn_helpers.svm` scores all boxes for all classes in one matrix product;
5. `rcnn_helpers.nms` removes, class by class, boxes that overlap a better one.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.boxes import as_boxes, clip, iou
from rcnn_helpers.errors import DatasetError, ModelError, SettingsError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.nms import nms, nms_per_class
from rcnn_helpers.storage import atomic_write

MODEL_FORMAT = "rcnn_helpers.model.1"
# Larger pictures are shrunk before detection: VOC's have at most 500 pixels a side, and features of a region
# cost the same whatever its size.
LONGEST_SIDE = 1000


class RCNN:
    """Region proposals, CNN features and one linear SVM a class.

    Parameters
    ----------
    network : str or Network
        Backbone, by name or as returned by `networks.load_network`.
    weights : str or path, optional
        Weights of a backbone given by name: ``"default"``, ``"random"`` or a file.
    layer : str, optional
        Feature layer; by default the network's last one, fc7 for the T-Net (sec. 2.3).
    mode : str
        Mode of selective search (sec. 2.2 uses "fast").
    max_proposals : int
        Boxes kept of each image's ranked proposals.
    warp_mode, padding : str, int
        How a box becomes a square crop (App. A).
    C, positive_weight, bias_scale, negative_iou : float
        Settings of the SVMs (sec. 2.3 and the released code); see `svm.LinearSVMs`.
    nms_iou : float
        Boxes that overlap a better one of their class by more are dropped (sec. 2.2).
    precision : str
        ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``, for the network's forward pass.
    device : str, optional
        ``"cuda"``, ``"mps"`` or ``"cpu"``; by default the best one present.
    seed : int
        Decides the ranking of proposals, the sample behind the feature scale, and the solver's order.

    Attributes
    ----------
    classes_ : tuple of str
    svms_ : svm.LinearSVMs
    feature_scale_ : float
        Factor that brings the mean L2 norm of a feature to 20.
    thresholds_ : float32 array of shape [C]
        Score from which on `detect` reports a class: the one with the best F1 on the training images. SVM scores
        have no scale of their own; with few positives even sure detections score below zero.
    seconds_ : dict from stage to seconds
        Wall time of each stage of the last `fit` or `detect_dataset`.
    """

    def __init__(
        self,
        network="quarter_tnet",
        *,
        weights=None,
        layer: str | None = None,
        mode: str = "fast",
        max_proposals: int = settings.MAX_PROPOSALS,
        warp_mode: str = "warp",
        padding: int = settings.CONTEXT_PADDING,
        C: float = settings.SVM_C,
        positive_weight: float = settings.SVM_POSITIVE_WEIGHT,
        bias_scale: float = settings.SVM_BIAS_SCALE,
        negative_iou: float = settings.SVM_NEGATIVE_IOU,
        nms_iou: float = settings.NMS_IOU,
        precision: str = "auto",
        device: str | None = None,
        seed: int = 0,
    ):
        if isinstance(network, str):
            from rcnn_helpers.networks import load_network

            network = load_network(network, weights=weights, device=device)
        self.network = network
        self.layer = layer or network.layers[-1]
        if self.layer not in network.layers:
            raise SettingsError(
                f"{network.name} has no layer {self.layer!r}; it has {', '.join(network.layers)}"
            )
        self.mode = mode
        self.max_proposals = max_proposals
        self.warp_mode = warp_mode
        self.padding = padding
        self.C = C
        self.positive_weight = positive_weight
        self.bias_scale = bias_scale
        self.negative_iou = negative_iou
        self.nms_iou = nms_iou
        self.precision = precision
        self.seed = seed
        self.seconds_: dict[str, float] = {}

    # -- training ------------------------------------------------------------------------------------------

    def fit(self, dataset, *, proposals=None, store=None, cache=None, progress: bool = True) -> "RCNN":
        """Train one SVM a class on `dataset` (sec. 2.3).

        Parameters
        ----------
        dataset : VOCDataset or the like
            Anything with ``classes``, ``ids``, ``image(id)`` and ``annotation(id)``.
        proposals : dict from image id to float32 [N, 4], optional
            Boxes to use instead of selective search's.
        store : FeatureStore, optional
            Where features are kept and looked up; by default a store in `cache`.
        cache : path, optional
            Folder in which proposals and features survive this call, so that an interrupted run resumes. Without
            it they live in a temporary folder.
        progress : bool
            Show progress bars.

        Raises
        ------
        DatasetError
            If no object of any class is in the data set.
        """
        from rcnn_helpers.svm import train_detector_svms

        self.classes_ = tuple(dataset.classes)
        self._require_objects(dataset)
        with self._working_folder(cache) as folder:
            proposals = self._propose(dataset, proposals, folder, progress)
            store = self.extract(dataset, proposals, store=store, cache=folder, progress=progress)
            with self._timed("feature scale"):
                self.feature_scale_ = store.feature_scale(list(dataset.ids), seed=self.seed)
            with self._timed("SVMs"):
                regions = TrainingRegions(dataset, store, self.feature_scale_)
                self.svms_ = train_detector_svms(
                    regions,
                    self.classes_,
                    C=self.C,
                    positive_weight=self.positive_weight,
                    bias_scale=self.bias_scale,
                    negative_iou=self.negative_iou,
                    seed=self.seed,
                    progress=progress,
                )
            with self._timed("thresholds"):
                found = self._search(dataset, proposals, store, progress=progress)
                self.thresholds_ = best_thresholds(evaluate(found, dataset), self.classes_)
        return self

    def extract(self, dataset, proposals, *, store=None, cache=None, progress: bool = True):
        """Bring the features of every region of `dataset` into a store and return the store.

        Regions that a former, interrupted call has extracted are not extracted again.
        """
        from rcnn_helpers.features import FeatureStore, extract_dataset

        if store is None:
            store = FeatureStore(
                Path(cache) / "features",
                network=self.network,
                layer=self.layer,
                mode=self.warp_mode,
                padding=self.padding,
                precision=self.precision,
            )
        with self._timed("features"):
            extract_dataset(self.network, dataset, proposals, store=store, progress=progress)
        return store

    # -- detection -----------------------------------------------------------------------------------------

    def propose(self, image: np.ndarray) -> np.ndarray:
        """Return the ranked proposals of one image, float32 [N, 4]."""
        from rcnn_helpers.proposals import propose

        return propose(image, mode=self.mode, max_boxes=self.max_proposals, seed=self.seed)

    def features(self, image: np.ndarray, boxes) -> np.ndarray:
        """Return the scaled features of `boxes` of one image, float32 [N, D]."""
        from rcnn_helpers.features import extract

        features = extract(
            self.network,
            image,
            boxes,
            layers=(self.layer,),
            mode=self.warp_mode,
            padding=self.padding,
            precision=self.precision,
        )[self.layer]
        return features * self.feature_scale_

    def score(self, image: np.ndarray, boxes) -> np.ndarray:
        """Score `boxes` of one image for every class, float32 [N, C]: one matrix product (sec. 2.2)."""
        self._require_fitted()
        return self.svms_.decision_function(self.features(image, boxes))

    def detect(
        self, image: np.ndarray, *, boxes=None, score_threshold: float | None = None, image_id: str = "image"
    ) -> Detections:
        """Detect the objects of one image.

        Parameters
        ----------
        image : uint8 array of shape [H, W, 3]
            RGB. An image longer than 1000 pixels is shrunk for the work; boxes come back in its own pixels.
        boxes : array-like of shape [N, 4], optional
            Proposals, by default those of selective search.
        score_threshold : float, optional
            Detections score more. By default each class has its own, `thresholds_`; the released demo uses -1.

        Returns
        -------
        Detections
            Best first. Empty if the image has no proposals.
        """
        self._require_fitted()
        working, scale = shrink_to_fit(image, LONGEST_SIDE)
        height, width = working.shape[:2]
        proposals = self.propose(working) if boxes is None else clip(as_boxes(boxes) * scale, height, width)
        if len(proposals) == 0:
            return Detections.empty((image_id,), self.classes_)
        scores = self.score(working, proposals)
        above = scores > (self.thresholds_ if score_threshold is None else score_threshold)
        rows, class_index = nms_per_class(
            proposals, np.where(above, scores, -np.inf), iou_threshold=self.nms_iou
        )
        return Detections(
            (image_id,),
            self.classes_,
            np.zeros(len(rows), np.int32),
            class_index,
            scores[rows, class_index],
            proposals[rows] / scale,
        ).sorted()

    def detect_dataset(
        self,
        dataset,
        *,
        proposals=None,
        store=None,
        cache=None,
        max_per_image: int = settings.MAX_PER_IMAGE,
        mean_per_image: int = settings.MEAN_PER_IMAGE,
        progress: bool = True,
    ) -> Detections:
        """Detect the objects of every image, with the released code's caps.

        For each class, the best `max_per_image` regions of an image and the best ``mean_per_image * images``
        of all are kept; then overlapping boxes of an image are suppressed (`nms_iou`).

        Parameters
        ----------
        proposals : dict from image id to float32 [N, 4], optional
        store : FeatureStore, optional
            Features are read from it and written to it; without it they are used once and forgotten.
        cache : path, optional
            Folder in which proposals are kept.
        """
        self._require_fitted()
        if store is not None:
            with self._working_folder(cache) as folder:
                proposals = self._propose(dataset, proposals, folder, progress)
                self.extract(dataset, proposals, store=store, progress=progress)
        else:
            proposals = self._propose(dataset, proposals, cache, progress)
        with self._timed("detection"):
            return self._search(dataset, proposals, store, max_per_image, mean_per_image, progress)

    def _search(
        self,
        dataset,
        proposals,
        store,
        max_per_image: int = settings.MAX_PER_IMAGE,
        mean_per_image: int = settings.MEAN_PER_IMAGE,
        progress: bool = True,
    ) -> Detections:
        """Score the proposals of every image, keep the best within the caps, and suppress."""
        n_images = len(dataset.ids)
        candidates = _Candidates(dataset.ids, self.classes_, max_per_image, mean_per_image * n_images)
        for index, image_id in enumerate(_progress(dataset.ids, "detecting", progress)):
            boxes, scores = self._scored_regions(dataset, image_id, proposals[image_id], store)
            candidates.add(index, boxes, scores)
        return suppress(candidates.best(), iou_threshold=self.nms_iou)

    def _scored_regions(self, dataset, image_id, boxes, store) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] and scores [N, C] of one image's proposals, ground truth left out."""
        if len(boxes) == 0:
            return as_boxes([]), np.zeros((0, len(self.classes_)), np.float32)
        if store is None:
            return boxes, self.score(dataset.image(image_id), boxes)
        regions = store.read(image_id)
        proposed = ~regions.is_gt
        features = regions.features[proposed].astype(np.float32) * self.feature_scale_
        return regions.boxes[proposed], self.svms_.decision_function(features)

    # -- saving --------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the detector, its network's weights included, to one safetensors file.

        The file holds numbers and plain text only: opening one from a stranger runs nothing.
        """
        self._require_fitted()
        import torch
        from safetensors.torch import save

        tensors = {f"network.{name}": value for name, value in self.network.module.state_dict().items()}
        tensors["svm.coef"] = torch.from_numpy(np.ascontiguousarray(self.svms_.coef_, dtype=np.float32))
        tensors["svm.intercept"] = torch.from_numpy(
            np.ascontiguousarray(self.svms_.intercept_, dtype=np.float32)
        )
        tensors["svm.thresholds"] = torch.from_numpy(np.asarray(self.thresholds_, dtype=np.float32))
        header = {
            "format": MODEL_FORMAT,
            "network": self.network.name,
            "classes": list(self.classes_),
            "feature_scale": float(self.feature_scale_),
            "settings": self._settings(),
        }
        payload = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            metadata={"rcnn": json.dumps(header)},
        )
        atomic_write(path, lambda file: file.write(payload))

    @classmethod
    def load(cls, path, *, device: str | None = None, precision: str | None = None) -> "RCNN":
        """Read a detector written by `save`.

        Raises
        ------
        ModelError
            If the file is missing, damaged, or no such detector.
        """
        header, tensors = _read_model(Path(path))
        from rcnn_helpers.networks import load_network
        from rcnn_helpers.svm import LinearSVMs

        weights = {
            name.removeprefix("network."): value
            for name, value in tensors.items()
            if name.startswith("network.")
        }
        try:
            options = dict(header["settings"])
            if precision:
                options["precision"] = precision
            network = load_network(header["network"], weights=weights, device=device)
            detector = cls(network, **options)
            detector.classes_ = tuple(header["classes"])
            detector.feature_scale_ = float(header["feature_scale"])
            coef, intercept = tensors["svm.coef"].numpy(), tensors["svm.intercept"].numpy()
            detector.thresholds_ = tensors["svm.thresholds"].numpy()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} is not a complete detector ({error}); train it again") from error
        expected = (len(detector.classes_), network.feature_dim(detector.layer))
        if coef.shape != expected or not intercept.shape == detector.thresholds_.shape == expected[:1]:
            raise ModelError(
                f"{path}: SVM weights have shape {coef.shape}, but {len(detector.classes_)} classes on "
                f"{network.name}'s {detector.layer} need {expected}; train the detector again"
            )
        svms = LinearSVMs(detector.C, detector.positive_weight, detector.bias_scale)
        svms.coef_, svms.intercept_, svms.n_features_in_ = coef, intercept, expected[1]
        detector.svms_ = svms
        return detector

    def _settings(self) -> dict:
        """The constructor's options, as plain values."""
        names = (
            "layer",
            "mode",
            "max_proposals",
            "warp_mode",
            "padding",
            "C",
            "positive_weight",
            "bias_scale",
            "negative_iou",
            "nms_iou",
            "precision",
            "seed",
        )
        return {name: getattr(self, name) for name in names}

    # -- housekeeping --------------------------------------------------------------------------------------

    def _propose(self, dataset, proposals, cache, progress) -> dict[str, np.ndarray]:
        if proposals is not None:
            missing = [image_id for image_id in dataset.ids if image_id not in proposals]
            if missing:
                raise DatasetError(
                    f"no proposals for {len(missing)} of {len(dataset.ids)} images, the first is {missing[0]}; "
                    "give every image an entry, an empty one if it has no boxes"
                )
            return proposals
        from rcnn_helpers.proposals import propose_dataset

        with self._timed("proposals"):
            return propose_dataset(
                dataset,
                mode=self.mode,
                max_boxes=self.max_proposals,
                seed=self.seed,
                cache=None if cache is None else Path(cache) / "proposals",
                progress=progress,
            )

    def _require_fitted(self) -> None:
        if not hasattr(self, "svms_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this RCNN has no SVMs yet; call fit(dataset) or RCNN.load(path) first")

    def _require_objects(self, dataset) -> None:
        present = {name for image_id in dataset.ids for name in dataset.annotation(image_id).names}
        if not present & set(self.classes_):
            raise DatasetError(
                f"none of the classes {', '.join(self.classes_)} is annotated in the {len(dataset.ids)} images; "
                f"the annotations name {', '.join(sorted(present)) or 'no object at all'}"
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds_[stage] = time.perf_counter() - started

    @staticmethod
    @contextmanager
    def _working_folder(cache) -> Iterator[Path]:
        if cache is not None:
            yield Path(cache)
            return
        with TemporaryDirectory(prefix="rcnn-") as folder:
            yield Path(folder)


class TrainingRegions:
    """The regions of a data set as the SVMs want them, read from a feature store image by image.

    Parameters
    ----------
    dataset : VOCDataset or the like
    store : FeatureStore
        Must hold every image of the data set.
    feature_scale : float
        Factor for the features (see `RCNN.feature_scale_`).
    """

    def __init__(self, dataset, store, feature_scale: float):
        self.dataset = dataset
        self.store = store
        self.feature_scale = feature_scale

    def __len__(self) -> int:
        return len(self.dataset.ids)

    def __getitem__(self, index: int):
        from rcnn_helpers.svm import TrainingImage

        image_id = self.dataset.ids[index]
        annotation = self.dataset.annotation(image_id)
        regions = self.store.read(image_id)
        overlaps, gt_class = region_labels(regions.boxes, regions.is_gt, annotation, self.dataset.classes)
        return TrainingImage(
            image_id=image_id,
            features=regions.features.astype(np.float32) * np.float32(self.feature_scale),
            boxes=regions.boxes,
            overlaps=overlaps,
            gt_class=gt_class,
        )


def region_labels(boxes, is_gt, annotation, classes) -> tuple[np.ndarray, np.ndarray]:
    """Overlap of each region with each class, and the class of the regions that are ground truth themselves.

    Parameters
    ----------
    boxes : float32 [N, 4]
        Regions; those marked in `is_gt` are the annotation's objects, in its order.
    is_gt : bool [N]
    annotation : Annotation
    classes : sequence of str
        Objects of other classes count as background.

    Returns
    -------
    overlaps : float32 [N, C]
        Largest IoU with an object of the class, 0 where the image has none.
    gt_class : int64 [N]
        Class index, -1 for proposals and for objects of other classes.
    """
    overlaps = np.zeros((len(boxes), len(classes)), np.float32)
    object_class = np.array(
        [classes.index(n) if n in classes else -1 for n in annotation.names], dtype=np.int64
    )
    pairwise = iou(boxes, annotation.boxes)  # [N, objects]
    for c in np.unique(object_class[object_class >= 0]):
        overlaps[:, c] = pairwise[:, object_class == c].max(axis=1)
    gt_class = np.full(len(boxes), -1, dtype=np.int64)
    gt_class[np.flatnonzero(is_gt)] = object_class
    return overlaps, gt_class


def best_thresholds(evaluation, classes) -> np.ndarray:
    """The score of each class at which F1, the harmonic mean of precision and recall, is best, float32 [C].

    Infinite for a class that was never right, so that it is never reported.
    """
    thresholds = np.full(len(classes), np.inf, np.float32)
    for c, name in enumerate(classes):
        curve = evaluation.curves[name]
        total = curve.precision + curve.recall
        f1 = np.divide(2 * curve.precision * curve.recall, total, out=np.zeros_like(total), where=total > 0)
        if len(f1) and f1.max() > 0:
            # Just below the score itself, which thus counts.
            thresholds[c] = np.nextafter(curve.scores[f1.argmax()], np.float32(-np.inf))
    return thresholds


def suppress(detections: Detections, *, iou_threshold: float = settings.NMS_IOU) -> Detections:
    """Non-maximum suppression over a data set: in each image, class by class (sec. 2.2)."""
    group = detections.image_index.astype(np.int64) * len(detections.classes) + detections.class_index
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    kept = [
        rows[nms(detections.boxes[rows], detections.scores[rows], iou_threshold=iou_threshold)]
        for rows in np.split(order, starts[1:])
    ]
    return detections.select(np.concatenate(kept))


class _Candidates:
    """The best-scoring regions of each class, within the released code's two caps."""

    def __init__(self, image_ids, classes, max_per_image: int, max_total: int):
        self.image_ids = tuple(image_ids)
        self.classes = tuple(classes)
        self.max_per_image = max_per_image
        self.max_total = max_total
        self.pending: list[Detections] = []
        self.n_pending = 0

    def add(self, image_index: int, boxes: np.ndarray, scores: np.ndarray) -> None:
        """Take the best `max_per_image` regions of each class from one image's `scores` [N, C]."""
        best = np.argsort(-scores, axis=0, kind="stable")[: self.max_per_image]  # [K, C]
        class_index = np.broadcast_to(np.arange(len(self.classes)), best.shape).ravel()
        rows = best.ravel()
        fires = scores[rows, class_index] > settings.NEVER_FIRES
        rows, class_index = rows[fires], class_index[fires]
        images = np.full(len(rows), image_index, np.int32)
        self._keep(
            Detections(
                self.image_ids, self.classes, images, class_index, scores[rows, class_index], boxes[rows]
            )
        )

    def _keep(self, found: Detections) -> None:
        self.pending.append(found)
        self.n_pending += len(found)
        if self.n_pending > 2 * self.max_total * len(self.classes):
            self.pending = [self.best()]
            self.n_pending = len(self.pending[0])

    def best(self) -> Detections:
        """The best `max_total` candidates of each class, in the order they were added."""
        if not self.pending:
            return Detections.empty(self.image_ids, self.classes)
        joined = Detections.concatenate(self.pending)
        kept = np.zeros(len(joined), bool)
        for c in range(len(self.classes)):
            rows = np.flatnonzero(joined.class_index == c)
            kept[rows[np.argsort(-joined.scores[rows], kind="stable")[: self.max_total]]] = True
        return joined.select(kept)


def _read_model(path: Path):
    """Header and tensors of a model file, checked for being one."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"there is no model file {path}; write one with: rcnn train --out {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("rcnn", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged or no model file ({error}); train it again") from error
    if not isinstance(header, dict) or header.get("format") != MODEL_FORMAT:
        raise ModelError(f"{path} was not written by rcnn train: its header does not say {MODEL_FORMAT!r}")
    return header, tensors


def _progress(items, description: str, show: bool):
    from tqdm.auto import tqdm

    return tqdm(items, desc=description, unit="image", disable=not show, leave=False)
