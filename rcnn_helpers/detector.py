"""The R-CNN detector: regions in, warped to one size, CNN features out, one linear SVM a class (sec. 2, Fig. 1).

`RCNN` puts the stages together. Each stage lives in a module of its own and can be used alone:

1. `rcnn_helpers.proposals` finds around 2000 boxes that may hold an object, whatever its class;
2. `rcnn_helpers.warping` cuts each box out and warps it to the network's input size;
3. `rcnn_helpers.features` runs the crops through the network up to pool5, and `rcnn_helpers.pool5` further;
4. `rcnn_helpers.svm` scores all boxes for all classes in one matrix product;
5. `rcnn_helpers.bbox_regression` moves each box to where its pool5 features say the object is (App. C);
6. `rcnn_helpers.candidates` and `rcnn_helpers.nms` keep the best boxes of each class and remove those that overlap
   a better one.

What the trainings see is in `rcnn_helpers.training_regions`, how a detector is kept in `rcnn_helpers.model_files`.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.bbox_regression import regress_within
from rcnn_helpers.boxes import as_boxes, clip
from rcnn_helpers.candidates import (
    Candidates,
    best_of_image,
    best_thresholds,
    pick_boxes,
    suppress,
    suppress_scores,
)
from rcnn_helpers.datasets.training_mix import fully_annotated
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.model_files import load_detector, save_detector
from rcnn_helpers.proposals import LazyProposals, proposals_of, propose_dataset
from rcnn_helpers.streaming import over_images
from rcnn_helpers.training_regions import TrainingRegions, regression_chunks

CLASSIFIERS = ("svm", "softmax")
# Larger pictures are shrunk before detection: VOC's have at most 500 pixels a side, and features of a region
# cost the same whatever its size.
LONGEST_SIDE = 1000


@dataclass(frozen=True)
class _Prepared:
    """What a search knows of an image before the network or the SVMs have seen it.

    Attributes
    ----------
    boxes : float32 [N, 4]
    height, width : int
        Of the image.
    image : uint8 [H, W, 3] or None
    pool5 : float32 [N, D] or None
        Given where the image is not.
    """

    boxes: np.ndarray
    height: int
    width: int
    image: np.ndarray | None = None
    pool5: np.ndarray | None = None


@dataclass(frozen=True)
class _Search:
    """The search of `RCNN.detect_dataset`, image by image; see `streaming.over_images`."""

    detector: "RCNN"
    dataset: Any
    proposals: Mapping | None
    store: Any
    regress: bool
    max_per_image: int
    least_score: float
    suppress_first: bool

    def prepare(self, image_id: str) -> _Prepared:
        if self.store is None:
            image = self.dataset.image(image_id)
            boxes = proposals_of(self.proposals, self.dataset, image_id, image)
            return _Prepared(boxes, *image.shape[:2], image=image)
        regions, annotation = self.store.read(image_id), self.dataset.annotation(image_id)
        proposed = ~regions.is_gt
        pool5 = regions.features[proposed]
        return _Prepared(regions.boxes[proposed], annotation.height, annotation.width, pool5=pool5)

    def finish(self, prepared: _Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The image's best regions of each class, as `best_of_image` gives them."""
        detector, boxes, pool5 = self.detector, prepared.boxes, prepared.pool5
        if pool5 is None:
            pool5 = detector._pool5(prepared.image, boxes)
        scores = detector.score_pool5(pool5)
        if self.regress:
            boxes = detector.regress_pool5(boxes, pool5, prepared.height, prepared.width)
        if self.suppress_first or self.least_score > -np.inf:
            overlap = detector.nms_iou if self.suppress_first else 1.0
            scores = suppress_scores(boxes, scores, least_score=self.least_score, iou_threshold=overlap)
        return best_of_image(boxes, scores, self.max_per_image)


class RCNN:
    """Region proposals, CNN features, one linear SVM and one box regression a class.

    Parameters
    ----------
    network : str or Network
        Backbone, by name or as returned by `networks.load_network`.
    weights : str or path, optional
        Weights of a backbone given by name: ``"default"``, ``"random"`` or a file.
    layer : str, optional
        Layer whose features the SVMs read; by default the network's last one, fc7 for the T-Net (sec. 2.3).
    classifier : {"svm", "softmax"}
        What scores a region. ``"softmax"`` takes the class probabilities of the network itself (App. B), which
        must have been fine-tuned for the data set's classes, in their order, behind background.
    mode : str
        Mode of selective search (sec. 2.2 uses "fast").
    max_proposals : int
        Boxes kept of each image's ranked proposals.
    warp_mode, padding : str, int
        How a box becomes a square crop (App. A).
    C, positive_weight, bias_scale : float
        Settings of the SVMs (sec. 2.3 and the released code); see `svm.LinearSVMs`.
    positive_iou : float, optional
        By default the SVMs' positives are the ground-truth boxes alone. Given, they are all regions of at least
        this IoU with an object of the class (App. B).
    negative_iou : float
        Regions below this IoU with every object of a class are its negatives (sec. 2.3, App. B); at 0, those
        that overlap none.
    evict_score : float, optional
        See `svm.train_detector_svms`; by default its own.
    max_mining_images : int, optional
        Hard negatives are mined from at most so many images (sec. 4.3); by default from all that are annotated in
        full.
    box_regression : bool
        Whether to train box regression on pool5 and to use it (App. C).
    nms_iou : float
        Boxes that overlap a better one of their class by more are dropped (sec. 2.2).
    precision : str
        ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``, for the network's forward pass.
    device : str, optional
        ``"cuda"``, ``"mps"`` or ``"cpu"``; by default the best one present.
    seed : int
        Decides the ranking of proposals, the sample behind the feature scales, and the solver's order.

    Attributes
    ----------
    classes_ : tuple of str
    svms_ : svm.LinearSVMs or None
        None with the classifier ``"softmax"``.
    feature_scale_ : float
        Factor that brings the mean L2 norm of a feature of `layer` to 20; 1 with the classifier ``"softmax"``.
    regressors_ : box_regressors.BoxRegressors or None
        None without box regression.
    pool5_scale_ : float
        Factor that brings the mean L2 norm of a pool5 feature to 20, for `regressors_`.
    thresholds_ : float32 array of shape [C]
        Score from which on `detect` reports a class: the one with the best F1 on the training images. SVM scores
        have no scale of their own; with few positives even sure detections score below zero.
    seconds_ : dict from stage to seconds
        Wall time of each stage of the last `fit` or `detect_dataset`. Proposals that are found while the network
        works have no time of their own: the stage is called ``"proposals and features"`` then.
    """

    def __init__(
        self,
        network="quarter_tnet",
        *,
        weights=None,
        layer: str | None = None,
        classifier: str = "svm",
        mode: str = "fast",
        max_proposals: int = settings.MAX_PROPOSALS,
        warp_mode: str = "warp",
        padding: int = settings.CONTEXT_PADDING,
        C: float = settings.SVM_C,
        positive_weight: float = settings.SVM_POSITIVE_WEIGHT,
        bias_scale: float = settings.SVM_BIAS_SCALE,
        positive_iou: float | None = None,
        negative_iou: float = settings.SVM_NEGATIVE_IOU,
        evict_score: float | None = None,
        max_mining_images: int | None = None,
        box_regression: bool = True,
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
        self.classifier = classifier
        self._check_choices()
        self.mode = mode
        self.max_proposals = max_proposals
        self.warp_mode = warp_mode
        self.padding = padding
        self.C = C
        self.positive_weight = positive_weight
        self.bias_scale = bias_scale
        self.positive_iou = positive_iou
        self.negative_iou = negative_iou
        self.evict_score = evict_score
        self.max_mining_images = max_mining_images
        self.box_regression = box_regression
        self.nms_iou = nms_iou
        self.precision = precision
        self.seed = seed
        self.svms_ = self.regressors_ = None
        self.feature_scale_ = self.pool5_scale_ = 1.0
        self.seconds_: dict[str, float] = {}

    # -- training ------------------------------------------------------------------------------------------

    def fit(self, dataset, *, proposals=None, store=None, cache=None, progress: bool = True) -> "RCNN":
        """Train one SVM and one box regression a class on `dataset` (sec. 2.3, App. C).

        Parameters
        ----------
        dataset : VOCDataset or the like
            Anything with ``classes``, ``ids``, ``image(id)`` and ``annotation(id)``. Images that are annotated in
            part only, as those of train in `ValPlusTrain`, give positives and nothing else (sec. 4.3).
        proposals : dict from image id to float32 [N, 4], optional
            Boxes to use instead of selective search's.
        store : FeatureStore, optional
            Of pool5: where features are kept and looked up; by default a store in `cache`.
        cache : path, optional
            Folder in which proposals and features survive this call, so that an interrupted run resumes. Without
            it they live in a temporary folder.
        progress : bool
            Show progress bars.

        Raises
        ------
        DatasetError
            If no object of any class is in the data set.
        SettingsError
            If the classifier is ``"softmax"`` and the network's outputs are not those classes and background.
        StoreError
            If `store` holds another layer than pool5 or regions warped another way.
        """
        self.classes_ = tuple(dataset.classes)
        self._require_objects(dataset)
        if self.classifier == "softmax":
            from rcnn_helpers.pool5 import require_outputs

            require_outputs(self.network, len(self.classes_))
        with self._working_folder(cache) as folder:
            store = self.extract(dataset, proposals, store=store, cache=folder, progress=progress)
            return self.fit_store(dataset, store, progress=progress)

    def fit_store(self, dataset, store, *, progress: bool = True) -> "RCNN":
        """Train as `fit` does, on the regions whose features a store holds already.

        Parameters
        ----------
        dataset : VOCDataset or the like
        store : FeatureStore
            Of pool5, with an entry for every image. Its regions need not be proposals, see `DenseDetector`.
        progress : bool

        Returns
        -------
        self
        """
        self.classes_ = tuple(dataset.classes)
        self.svms_ = self.regressors_ = None
        if self.classifier == "svm":
            self._fit_svms(dataset, store, progress)
        if self.box_regression:
            self._fit_regressors(dataset, store, progress)
        with self._timed("thresholds"):
            judged = fully_annotated(dataset)
            found = self._search(judged, None, store, regress=self.box_regression, progress=progress)
            self.thresholds_ = best_thresholds(evaluate(found, judged), self.classes_)
        return self

    def _fit_svms(self, dataset, store, progress) -> None:
        from rcnn_helpers.svm import train_detector_svms

        with self._timed("feature scale"):
            ids = list(fully_annotated(dataset).ids)
            self.feature_scale_ = store.feature_scale(ids, layer=self.layer, seed=self.seed)
        regions = TrainingRegions(
            dataset,
            store,
            self.feature_scale_,
            layer=self.layer,
            max_mining_images=self.max_mining_images,
            seed=self.seed,
        )
        mining = {} if self.evict_score is None else {"evict_score": self.evict_score}
        with self._timed("SVMs"):
            self.svms_ = train_detector_svms(
                regions,
                self.classes_,
                C=self.C,
                positive_weight=self.positive_weight,
                bias_scale=self.bias_scale,
                positive_iou=self.positive_iou,
                negative_iou=self.negative_iou,
                seed=self.seed,
                progress=progress,
                **mining,
            )

    def _fit_regressors(self, dataset, store, progress) -> None:
        from rcnn_helpers.bbox_regression import BoxRegressors

        with self._timed("box regression"):
            ids = list(fully_annotated(dataset).ids)
            self.pool5_scale_ = store.feature_scale(ids, layer="pool5", seed=self.seed)
            chunks = regression_chunks(dataset, store, self.pool5_scale_)
            chunks = _progress(chunks, "box regression", progress, total=len(dataset.ids))
            self.regressors_ = BoxRegressors().fit_chunks(chunks, n_classes=len(self.classes_))

    def extract(self, dataset, proposals=None, *, store=None, cache=None, progress: bool = True):
        """Bring pool5 of every region of `dataset` into a store and return the store.

        Regions that a former, interrupted call has extracted are not extracted again. Without proposals those of
        selective search are found, and kept in `cache`.
        """
        from rcnn_helpers.features import FeatureStore, extract_dataset

        if store is None and cache is None:
            raise SettingsError("features need a place; give a store or a cache folder")
        if store is None:
            store = FeatureStore(
                Path(cache) / "features",
                network=self.network,
                layer="pool5",
                mode=self.warp_mode,
                padding=self.padding,
                precision=self.precision,
            )
        store.require(layer="pool5", mode=self.warp_mode, padding=self.padding)
        proposals = self._propose(dataset, proposals, cache)
        with self._timed(_with_proposals("features", proposals)):
            extract_dataset(self.network, dataset, proposals, store=store, progress=progress)
        return store

    # -- detection -----------------------------------------------------------------------------------------

    def propose(self, image: np.ndarray) -> np.ndarray:
        """Return the ranked proposals of one image, float32 [N, 4]."""
        from rcnn_helpers.proposals import propose

        return propose(image, mode=self.mode, max_boxes=self.max_proposals, seed=self.seed)

    def features(self, image: np.ndarray, boxes) -> np.ndarray:
        """Return the features of `layer` of `boxes` of one image, scaled as for the SVMs, float32 [N, D]."""
        return self._features(self._pool5(image, boxes))

    def score(self, image: np.ndarray, boxes) -> np.ndarray:
        """Score `boxes` of one image for every class, float32 [N, C]: one matrix product (sec. 2.2)."""
        self._require_fitted()
        return self.score_pool5(self._pool5(image, boxes))

    def regress(self, image: np.ndarray, boxes) -> np.ndarray:
        """Return where each class would move each of `boxes` of one image, float32 [N, C, 4] (App. C)."""
        self._require_fitted()
        self._require_regressors()
        boxes = as_boxes(boxes)
        return self.regress_pool5(boxes, self._pool5(image, boxes), *image.shape[:2])

    def score_pool5(self, pool5: np.ndarray) -> np.ndarray:
        """Score regions, given by their pool5 features as the network gives them [N, D]: float32 [N, C]."""
        if self.classifier == "svm":
            return self.svms_.decision_function(self._features(pool5))
        from rcnn_helpers.pool5 import probabilities_from_pool5

        return probabilities_from_pool5(self.network, pool5, precision=self._precision())[:, 1:]

    def regress_pool5(self, boxes: np.ndarray, pool5: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return where each class moves regions, inside the image: float32 [N, C, 4] (App. C).

        Parameters
        ----------
        boxes : float32 [N, 4]
        pool5 : float32 [N, D]
            Their features, as the network gives them.
        height, width : int
            Of the image.
        """
        targets = self.regressors_.predict_all(pool5 * np.float32(self.pool5_scale_))
        repeated = np.repeat(boxes, len(self.classes_), axis=0)
        return regress_within(repeated, targets.reshape(-1, 4), height, width).reshape(targets.shape)

    def detect(
        self,
        image: np.ndarray,
        *,
        boxes=None,
        score_threshold: float | None = None,
        image_id: str = "image",
        box_regression: bool | None = None,
        regression_rounds: int = 1,
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
        box_regression : bool, optional
            Whether boxes are regressed before suppression; by default as the detector was trained.
        regression_rounds : int
            See `detect_dataset`.

        Returns
        -------
        Detections
            Best first. Empty if the image has no proposals.
        """
        self._require_fitted()
        regress = self._regresses(box_regression, regression_rounds)
        working, scale = shrink_to_fit(image, LONGEST_SIDE)
        height, width = working.shape[:2]
        proposals = self.propose(working) if boxes is None else clip(as_boxes(boxes) * scale, height, width)
        if len(proposals) == 0:
            return Detections.empty((image_id,), self.classes_)
        pool5 = self._pool5(working, proposals)
        scores = self.score_pool5(pool5)
        least = self.thresholds_ if score_threshold is None else score_threshold
        rows, class_index = np.nonzero(scores > least)
        boxes = self.regress_pool5(proposals, pool5, height, width) if regress else proposals
        found = Detections(
            (image_id,),
            self.classes_,
            np.zeros(len(rows), np.int32),
            class_index,
            scores[rows, class_index],
            pick_boxes(boxes, rows, class_index),
        )
        found = self._iterated(found, lambda _: working, regression_rounds - 1)
        least = np.broadcast_to(least, len(self.classes_))
        found = suppress(found.select(found.scores > least[found.class_index]), iou_threshold=self.nms_iou)
        return replace(found, boxes=found.boxes / scale).sorted()

    def detect_dataset(
        self,
        dataset,
        *,
        proposals=None,
        store=None,
        cache=None,
        box_regression: bool | None = None,
        regression_rounds: int = 1,
        max_per_image: int = settings.MAX_PER_IMAGE,
        mean_per_image: int = settings.MEAN_PER_IMAGE,
        max_total: int | None = None,
        least_score: float = -np.inf,
        suppress_first: bool = False,
        progress: bool = True,
    ) -> Detections:
        """Detect the objects of every image, with the released code's caps.

        For each class, the best `max_per_image` regions of an image and the best ``mean_per_image * images``
        of all are kept; their boxes are regressed and clipped to the image; then overlapping boxes of an image are
        suppressed (`nms_iou`). A box keeps the score of the region it comes from.

        Parameters
        ----------
        proposals : dict from image id to float32 [N, 4], optional
        store : FeatureStore, optional
            Of pool5. Features are read from it and written to it; without it they are used once and forgotten.
        cache : path, optional
            Folder in which proposals are kept.
        box_regression : bool, optional
            By default as the detector was trained. With False, the outcome is that of a detector trained without.
        regression_rounds : int
            With 2 or more, the boxes that were kept are warped and scored anew and regressed from there, and so
            on: the iteration that the paper found not to help (App. C). It needs the network for every such box.
        max_total : int, optional
            Instead of ``mean_per_image * images``.
        least_score : float
            Regions have to score more.
        suppress_first : bool
            Drop overlapping boxes of an image before the caps and not after them alone, as the released code does
            for ILSVRC's many classes; see `datasets.ilsvrc.DETECTION_SETTINGS`.
        """
        self._require_fitted()
        regress = self._regresses(box_regression, regression_rounds)
        if store is not None:
            with self._working_folder(cache) as folder:
                self.extract(dataset, proposals, store=store, cache=folder, progress=progress)
        else:
            proposals = self._propose(dataset, proposals, cache)
        stage = "detection" if store is not None else _with_proposals("detection", proposals)
        with self._timed(stage):
            return self._search(
                dataset,
                proposals,
                store,
                regress=regress,
                rounds=regression_rounds,
                max_per_image=max_per_image,
                max_total=mean_per_image * len(dataset.ids) if max_total is None else max_total,
                least_score=least_score,
                suppress_first=suppress_first,
                progress=progress,
            )

    def _search(
        self,
        dataset,
        proposals,
        store,
        *,
        regress: bool,
        rounds: int = 1,
        max_per_image: int = settings.MAX_PER_IMAGE,
        max_total: int | None = None,
        least_score: float = -np.inf,
        suppress_first: bool = False,
        progress: bool = True,
    ) -> Detections:
        """Score the proposals of every image, keep the best within the caps, and suppress."""
        if max_total is None:
            max_total = settings.MEAN_PER_IMAGE * len(dataset.ids)
        work = _Search(self, dataset, proposals, store, regress, max_per_image, least_score, suppress_first)
        best = over_images(work, dataset.ids, device=self.network.device)
        candidates = Candidates(dataset.ids, self.classes_, max_per_image, max_total)
        for index, found in enumerate(_progress(best, "detecting", progress, total=len(dataset.ids))):
            candidates.take(index, *found)
        found = self._iterated(candidates.best(), dataset.image, rounds - 1, progress)
        return suppress(found, iou_threshold=self.nms_iou)

    def _iterated(self, found: Detections, image_of, rounds: int, progress: bool = False) -> Detections:
        """Score the boxes of `found` anew and regress them from their own features, `rounds` times (App. C)."""
        if rounds == 0 or len(found) == 0:
            return found
        scores, boxes = found.scores.copy(), found.boxes.copy()
        for index in _progress(np.unique(found.image_index), "further rounds of regression", progress):
            image = image_of(found.image_ids[index])
            rows = np.flatnonzero(found.image_index == index)
            classes = found.class_index[rows]
            for _ in range(rounds):
                pool5 = self._pool5(image, boxes[rows])
                scores[rows] = self.score_pool5(pool5)[np.arange(len(rows)), classes]
                targets = self.regressors_.predict(pool5 * np.float32(self.pool5_scale_), classes)
                boxes[rows] = regress_within(boxes[rows], targets, *image.shape[:2])
        return replace(found, scores=scores, boxes=boxes)

    def _pool5(self, image, boxes) -> np.ndarray:
        """pool5 of `boxes` of one image, not scaled, float32 [N, D]."""
        from rcnn_helpers.features import extract

        options = {"mode": self.warp_mode, "padding": self.padding, "precision": self.precision}
        return extract(self.network, image, boxes, layers=("pool5",), **options)["pool5"]

    def _features(self, pool5) -> np.ndarray:
        """Features of `layer`, scaled as for the SVMs, float32 [N, D]."""
        from rcnn_helpers.pool5 import from_pool5

        features = from_pool5(self.network, pool5, self.layer, precision=self._precision())
        return features * np.float32(self.feature_scale_)

    def _precision(self) -> str:
        from rcnn_helpers.features import choose_precision

        return choose_precision(self.precision, self.network.device)

    # -- saving --------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the detector, its network's weights included, to one safetensors file.

        The file holds numbers and plain text only: opening one from a stranger runs nothing.
        """
        self._require_fitted()
        save_detector(self, path)

    @classmethod
    def load(cls, path, *, device: str | None = None, precision: str | None = None) -> "RCNN":
        """Read a detector written by `save`.

        Raises
        ------
        ModelError
            If the file is missing, damaged, of an older format, or no such detector.
        """
        return load_detector(cls, path, device=device, precision=precision)

    # -- housekeeping --------------------------------------------------------------------------------------

    def _propose(self, dataset, proposals, cache) -> Mapping[str, np.ndarray]:
        """The proposals given or, without any, such as are found when an image's turn comes."""
        if proposals is not None:
            missing = [image_id for image_id in dataset.ids if image_id not in proposals]
            if missing:
                raise DatasetError(
                    f"no proposals for {len(missing)} of {len(dataset.ids)} images, the first is {missing[0]}; "
                    "give every image an entry, an empty one if it has no boxes"
                )
            return proposals
        return propose_dataset(
            dataset,
            mode=self.mode,
            max_boxes=self.max_proposals,
            seed=self.seed,
            cache=None if cache is None else Path(cache) / "proposals",
            lazy=True,
        )

    def _check_choices(self) -> None:
        """Refuse a layer or classifier that the network does not have."""
        network = self.network
        if self.layer not in network.layers:
            raise SettingsError(
                f"{network.name} has no layer {self.layer!r}; it has {', '.join(network.layers)}"
            )
        if self.classifier not in CLASSIFIERS:
            raise SettingsError(
                f"unknown classifier {self.classifier!r}; choose one of {', '.join(CLASSIFIERS)}"
            )
        if self.classifier == "softmax":
            from rcnn_helpers.pool5 import require_fully_connected

            require_fully_connected(network)

    def _regresses(self, box_regression: bool | None, rounds: int) -> bool:
        """Whether to regress boxes, as asked for or as trained."""
        if rounds < 1:
            raise SettingsError(
                f"regression_rounds is {rounds}; it must be 1 or more (box_regression=False leaves boxes alone)"
            )
        regress = self.box_regression if box_regression is None else box_regression
        if regress or rounds > 1:
            self._require_regressors()
        if rounds > 1 and not regress:
            raise SettingsError(f"{rounds} rounds of regression need box_regression=True")
        return regress

    def _require_regressors(self) -> None:
        if self.regressors_ is None:
            raise SettingsError(
                "this detector was trained without box regression; train one with box_regression=True, or detect "
                "with box_regression=False"
            )

    def _require_fitted(self) -> None:
        if not hasattr(self, "thresholds_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this RCNN is not trained yet; call fit(dataset) or RCNN.load(path) first")

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


def _with_proposals(stage: str, proposals) -> str:
    """Name of a stage for `RCNN.seconds_`: proposals that are found meanwhile have no time of their own."""
    return f"proposals and {stage}" if isinstance(proposals, LazyProposals) else stage


def _progress(items, description: str, show: bool, total: int | None = None):
    from tqdm.auto import tqdm

    return tqdm(items, desc=description, unit="image", disable=not show, leave=False, total=total)
