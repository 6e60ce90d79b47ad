"""One descriptor judged: SVMs on its vectors, detections, average precision, and what all of it takes.

Seconds are processor time, of all threads together: what else the machine does meanwhile hardly counts, and on one
core it is the time that passes.
"""

import time

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.baselines.described_images import DescribedData, DescribedImages
from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.candidates import Candidates, suppress
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.training_regions import TrainingRegions

# Images of the test set whose descriptors are timed.
TIMED_IMAGES = 10


def judge(
    described: DescribedData,
    *,
    C: float = settings.SVM_C,
    seed: int = 0,
    metric: str = "11point",
    progress: bool = False,
) -> dict:
    """Train detectors on one data set and judge them on another.

    Parameters
    ----------
    described : DescribedData
    C : float
        Regularisation of the SVMs, with descriptors scaled to a mean norm of 20.
    seed : int
        Of the SVMs' solver and of the sample behind the feature scale.
    metric : {"11point", "101point", "area"}
        See `rcnn_helpers.evaluation`.
    progress : bool

    Returns
    -------
    dict
        ``name``, ``dim``, ``C``.

        ``ap`` : AP of each class in percent, None where the test images have no object of it; ``mAP``.

        In seconds of processor time: ``learn_seconds`` of the descriptor (a vocabulary), None where not known;
        ``describe_seconds`` an image, measured on a few test images; ``svm_seconds`` of training without
        describing; ``train_seconds``, which is learning, describing each training image once, and the SVMs; and
        ``detect_seconds`` an image whose proposals are given: description, scores, suppression.

        ``region_bytes`` : of a descriptor in float32.
    """
    from rcnn_helpers.svm import train_detector_svms

    training, judged = described.training, described.judged
    train, descriptor = training.dataset, training.descriptor
    scale = training.feature_scale(seed=seed)
    training.seconds_ = 0.0
    started = time.process_time()
    svms = train_detector_svms(
        TrainingRegions(train, training, scale), train.classes, C=C, seed=seed, progress=progress
    )
    svm_seconds = time.process_time() - started - training.seconds_
    result = evaluate(detect_all(svms, judged, scale, progress=progress), judged.dataset, metric=metric)
    describe_seconds, detect_seconds = _seconds_an_image(svms, judged, scale)
    train_seconds = described.learn_seconds + len(train.ids) * describe_seconds + svm_seconds
    return {
        "name": descriptor.name,
        "dim": descriptor.dim,
        "C": C,
        "ap": {name: _percent(value) for name, value in result.ap.items()},
        "mAP": _percent(result.mean_ap),
        "learn_seconds": _number(described.learn_seconds),
        "describe_seconds": describe_seconds,
        "svm_seconds": svm_seconds,
        "train_seconds": _number(train_seconds),
        "detect_seconds": detect_seconds,
        "region_bytes": descriptor.dim * np.dtype(np.float32).itemsize,
    }


def detect_all(svms, regions: DescribedImages, scale: float, *, progress: bool = False) -> Detections:
    """Detections of fitted SVMs in all images, with the released code's caps, after suppression.

    Parameters
    ----------
    svms : svm.LinearSVMs
    regions : DescribedImages
    scale : float
        Factor for the descriptors; see `DescribedImages.feature_scale`.
    progress : bool
    """
    from tqdm.auto import tqdm

    ids = regions.dataset.ids
    candidates = Candidates(ids, svms.classes_, settings.MAX_PER_IMAGE, settings.MEAN_PER_IMAGE * len(ids))
    shown = tqdm(ids, desc="detecting", unit="image", disable=not progress, leave=False)
    for index, image_id in enumerate(shown):
        found = regions.read(image_id)
        proposed = ~found.is_gt
        scores = svms.decision_function(found.features[proposed] * np.float32(scale))
        candidates.add(index, found.boxes[proposed], scores)
    return suppress(candidates.best())


def _seconds_an_image(svms, regions: DescribedImages, scale: float) -> tuple[float, float]:
    """Mean seconds to describe the proposals of an image, and to detect in it, over a few images."""
    described = detected = 0.0
    timed = list(regions.dataset.ids[:TIMED_IMAGES])
    for number, image_id in enumerate([timed[0], *timed]):  # the first one twice, to warm up
        image, boxes = regions.dataset.image(image_id), as_boxes(regions.proposals[image_id])
        started = time.process_time()
        features = regions.descriptor.describe(image, boxes)
        after = time.process_time()
        candidates = Candidates((image_id,), svms.classes_, settings.MAX_PER_IMAGE, settings.MAX_PER_IMAGE)
        candidates.add(0, boxes, svms.decision_function(features * np.float32(scale)))
        suppress(candidates.best())
        if number:
            described += after - started
            detected += time.process_time() - started
    return described / len(timed), detected / len(timed)


def _percent(fraction: float) -> float | None:
    """A fraction in percent; None for NaN, which JSON does not have."""
    return None if np.isnan(fraction) else 100 * float(fraction)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
