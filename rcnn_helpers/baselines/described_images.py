"""Data sets seen by a descriptor: the vectors of all regions, computed when they are read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.baselines.contestants import Contestant
from rcnn_helpers.baselines.descriptors import Descriptor
from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import DatasetError

# Images and regions behind a feature scale, as in `FeatureStore`.
_SCALE_IMAGES, _SCALE_BOXES = 200, 200
# Descriptors of a data set that are kept in memory for the next reading.
_KEPT_BYTES = 2**30


class DescribedImages:
    """The regions of a data set with their descriptors, image by image, computed when they are read.

    Descriptors made by hand are quickly computed and large: keeping them on disk would cost more than it saves. Up
    to 1 GiB is kept in memory.

    Parameters
    ----------
    dataset : VOCDataset or the like
    proposals : mapping of image id to float32 [N, 4]
    descriptor : Descriptor
    store : FeatureStore, optional
        Where the regions of a `NetworkLayer` are read, from pool5.

    Attributes
    ----------
    seconds_ : float
        Spent on reading and describing so far.
    """

    def __init__(self, dataset, proposals: Mapping[str, np.ndarray], descriptor: Descriptor, *, store=None):
        self.dataset, self.proposals = dataset, proposals
        self.descriptor, self.store = descriptor, store
        self.prepared: dict[str, object] = {}
        self.kept: dict[str, object] = {}
        self.kept_bytes = 0
        self.seconds_ = 0.0

    def read(self, image_id: str, layer: str | None = None):
        """The regions of one image, ground truth first, as `RegionFeatures`; `layer` is the descriptor's own."""
        from rcnn_helpers.feature_store import RegionFeatures

        started = time.process_time()
        regions = self.kept.get(image_id)
        if regions is None and self.store is not None:
            regions = self.store.read(image_id, self.descriptor.layer)
        elif regions is None:
            boxes, is_gt = self._boxes(image_id)
            regions = RegionFeatures(image_id, boxes, is_gt, self._describe(image_id, boxes))
            if self.kept_bytes + regions.features.nbytes <= _KEPT_BYTES:
                self.kept[image_id] = regions
                self.kept_bytes += regions.features.nbytes
        self.seconds_ += time.process_time() - started
        return regions

    def feature_scale(self, *, seed: int) -> float:
        """Factor that brings descriptors to a mean L2 norm of 20; see `FeatureStore.feature_scale`."""
        ids = list(self.dataset.ids)
        if self.store is not None:
            return self.store.feature_scale(ids, layer=self.descriptor.layer, seed=seed)
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.choice(len(ids), size=min(_SCALE_IMAGES, len(ids)), replace=False))
        norms = []
        for index in chosen:
            boxes, _ = self._boxes(ids[index])
            if len(boxes) > _SCALE_BOXES:
                boxes = boxes[rng.choice(len(boxes), size=_SCALE_BOXES, replace=False)]
            norms.append(np.linalg.norm(self._describe(ids[index], boxes), axis=1))
        mean = np.concatenate(norms).mean() if sum(map(len, norms)) else 0.0
        if mean == 0:
            raise DatasetError(
                f"no feature scale for {self.descriptor.name}: the {len(ids)} images have no region, or all "
                "descriptors are zero"
            )
        return float(settings.FEATURE_NORM / mean)

    def _boxes(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        truth = as_boxes(self.dataset.annotation(image_id).boxes)
        boxes = np.concatenate([truth, as_boxes(self.proposals[image_id])])
        return boxes, np.arange(len(boxes)) < len(truth)

    def _describe(self, image_id: str, boxes: np.ndarray) -> np.ndarray:
        prepared = self.prepared.get(image_id)
        if prepared is None:
            prepared = self.descriptor.prepare(self.dataset.image(image_id))
            if self.descriptor.keeps_prepared:
                self.prepared[image_id] = prepared
        return self.descriptor.describe_prepared(prepared, boxes)


@dataclass(frozen=True)
class DescribedData:
    """Training images and those to judge on, seen by one descriptor.

    Attributes
    ----------
    training, judged : DescribedImages
    learn_seconds : float
        Processor time of learning the descriptor; NaN where it is not known.
    """

    training: DescribedImages
    judged: DescribedImages
    learn_seconds: float


def describe_data(
    contestant: Contestant, train, test, proposals: tuple[Mapping, Mapping], *, progress: bool = False
) -> DescribedData:
    """Let a contestant's descriptor learn from the training images, and see both data sets with it.

    Parameters
    ----------
    contestant : Contestant
    train, test : VOCDataset or the like
    proposals : two mappings of image id to float32 [N, 4]
        Of the training and of the test images.
    progress : bool
    """
    started = time.process_time()
    contestant.descriptor.fit(train, progress=progress)
    learn_seconds = time.process_time() - started
    training, judged = (
        DescribedImages(dataset, boxes, contestant.descriptor, store=store)
        for dataset, boxes, store in zip(
            (train, test), proposals, contestant.stores or (None, None), strict=True
        )
    )
    known = contestant.learn_seconds
    return DescribedData(training, judged, learn_seconds if known is None else known)
