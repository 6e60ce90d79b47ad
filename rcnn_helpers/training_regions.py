"""The regions of a data set as the two trainings want them: the SVMs' and the box regression's.

Both read a feature store image by image, so that no more than one image's features are in memory beside what the
trainings themselves keep.
"""

from collections.abc import Iterator

import numpy as np

from rcnn_helpers.bbox_regression import regression_targets, training_pairs
from rcnn_helpers.boxes import iou
from rcnn_helpers.datasets.training_mix import gives_negatives, mining_images
from rcnn_helpers.settings import BOX_REGRESSION_IOU


class TrainingRegions:
    """The regions of a data set as the SVMs want them, read from a feature store image by image.

    Parameters
    ----------
    dataset : VOCDataset or the like
    store : FeatureStore
        Must hold every image of the data set.
    feature_scale : float
        Factor for the features (see `RCNN.feature_scale_`).
    layer : str, optional
        Layer of the features; by default the store's own. One behind pool5 is computed at each reading.
    max_mining_images : int, optional
        Negatives come from at most so many images, drawn with `seed`. By default from all that are annotated in
        full, see `rcnn_helpers.datasets.training_mix`.
    seed : int
    """

    def __init__(
        self,
        dataset,
        store,
        feature_scale: float,
        *,
        layer: str | None = None,
        max_mining_images: int | None = None,
        seed: int = 0,
    ):
        self.dataset = dataset
        self.store = store
        self.feature_scale = feature_scale
        self.layer = layer
        self.mined = mining_images(dataset, max_mining_images, seed=seed)

    def __len__(self) -> int:
        return len(self.dataset.ids)

    def __getitem__(self, index: int):
        from rcnn_helpers.svm import TrainingImage

        image_id = self.dataset.ids[index]
        annotation = self.dataset.annotation(image_id)
        regions = self.store.read(image_id, self.layer)
        overlaps, gt_class = region_labels(regions.boxes, regions.is_gt, annotation, self.dataset.classes)
        return TrainingImage(
            image_id=image_id,
            features=regions.features * np.float32(self.feature_scale),
            boxes=regions.boxes,
            overlaps=overlaps,
            gt_class=gt_class,
            gives_negatives=image_id in self.mined,
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
    object_class = _object_classes(annotation, classes)
    pairwise = iou(boxes, annotation.boxes)  # [N, objects]
    for c in np.unique(object_class[object_class >= 0]):
        overlaps[:, c] = pairwise[:, object_class == c].max(axis=1)
    gt_class = np.full(len(boxes), -1, dtype=np.int64)
    gt_class[np.flatnonzero(is_gt)] = object_class
    return overlaps, gt_class


def regression_chunks(
    dataset, store, feature_scale: float, *, min_iou: float = BOX_REGRESSION_IOU
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The pairs that box regression learns from, image by image, for `BoxRegressors.fit_chunks` (App. C).

    A region is paired with the object it overlaps most, of any class; it teaches if that object is of one of the
    data set's classes. The objects' own boxes are regions too, with targets 0, as in the released code. Images
    that are annotated in part only give no pairs (sec. 4.3): a region's own object may be one that is not marked.

    Parameters
    ----------
    dataset : VOCDataset or the like
    store : FeatureStore
        Holds pool5 of every image of the data set.
    feature_scale : float
        Factor for the features (see `RCNN.pool5_scale_`).
    min_iou : float
        As in `training_pairs`.

    Yields
    ------
    features : float32 [K, D]
        pool5, scaled.
    targets : float32 [K, 4]
    class_index : int64 [K]
    """
    for image_id in dataset.ids:
        if not gives_negatives(dataset, image_id):
            continue
        annotation = dataset.annotation(image_id)
        regions = store.read(image_id, "pool5")
        rows, nearest = training_pairs(regions.boxes, annotation.boxes, min_iou=min_iou)
        class_index = _object_classes(annotation, dataset.classes)[nearest]
        known = class_index >= 0
        rows, nearest, class_index = rows[known], nearest[known], class_index[known]
        targets = regression_targets(regions.boxes[rows], np.asarray(annotation.boxes)[nearest])
        yield regions.features[rows] * np.float32(feature_scale), targets, class_index


def _object_classes(annotation, classes) -> np.ndarray:
    """Class index of each object of an annotation, -1 for classes that are not asked for, int64 [M]."""
    classes = list(classes)
    return np.array([classes.index(n) if n in classes else -1 for n in annotation.names], dtype=np.int64)
