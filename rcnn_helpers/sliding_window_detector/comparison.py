"""Side by side: the same SVMs on region proposals and on dense windows (sec. 4.6)."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.proposals.recall import recall_at
from rcnn_helpers.sliding_window_detector.detector import DenseDetector, detect_with

METHODS = ("proposals", "dense", "dense retrained")


def compare(
    rcnn: RCNN,
    train,
    test,
    *,
    proposals: Mapping[str, np.ndarray] | None = None,
    detections: Detections | None = None,
    cache=None,
    n_timed: int = 5,
    metric: str = "11point",
    progress: bool = True,
    **options,
) -> pd.DataFrame:
    """Compare an R-CNN on its proposals with dense windows.

    Parameters
    ----------
    rcnn : RCNN
        Trained.
    train : VOCDataset or the like, or None
        What to train on dense windows with; None leaves that row out.
    test : VOCDataset or the like
    proposals : mapping from image id to float32 [N, 4], optional
        Of the test images; by default selective search's.
    detections : Detections, optional
        The R-CNN's on `test`, or on more images, if they are there already.
    cache : path, optional
        Folder for proposals, features of training windows and what is found, so that an interrupted call goes on.
    n_timed : int
        Images, spread over `test`, that each detector searches by itself to be timed.
    metric : str
        See `rcnn_helpers.evaluation.evaluate`.
    progress : bool
    **options
        Those of `DenseDetector`.

    Returns
    -------
    DataFrame with a row for each method
        method: "proposals", "dense" (SVMs that were trained on warped regions) and "dense retrained" (on dense
        windows); regions an image; recall_50 and recall_70, the objects in percent that a region overlaps so
        much; seconds and cpu_seconds an image, wall time and processor time of all threads, median over the
        timed images, everything from pixels to detections; a column of average precision for each class, and
        mAP, in percent.
    """
    from rcnn_helpers.proposals import propose_dataset

    if n_timed < 1:
        raise SettingsError(f"n_timed is {n_timed}; time at least one image")
    dense = DenseDetector(rcnn, **options)
    detectors = {"dense": dense}
    if train is not None:
        detectors["dense retrained"] = DenseDetector(rcnn, **options).fit(
            train, cache=cache, progress=progress
        )
    if proposals is None:
        proposals = propose_dataset(
            test, mode=rcnn.mode, max_boxes=rcnn.max_proposals, seed=rcnn.seed, cache=cache, progress=progress
        )
    if detections is None:
        detections = rcnn.detect_dataset(test, proposals=proposals, progress=progress)
    detections = _of_images(detections, test.ids)
    sizes = {image_id: _size(test, image_id) for image_id in test.ids}
    regions = {"proposals": proposals} | dict.fromkeys(
        detectors, {image_id: dense.windows(*size) for image_id, size in sizes.items()}
    )
    found = detect_with(list(detectors.values()), test, cache=cache, progress=progress)
    found = {"proposals": detections} | dict(zip(detectors, found, strict=True))
    seconds = _timed({"proposals": rcnn} | detectors, test, n_timed)
    rows = []
    for method, of_method in found.items():
        result = evaluate(of_method, test, metric=metric)
        rows.append(
            {
                "method": method,
                "regions": np.mean([len(regions[method][image_id]) for image_id in test.ids]),
                "recall_50": 100 * recall_at(regions[method], test, iou_threshold=0.5),
                "recall_70": 100 * recall_at(regions[method], test, iou_threshold=0.7),
                **seconds[method],
                **{name: 100 * value for name, value in result.ap.items()},
                "mAP": 100 * result.mean_ap,
            }
        )
    return pd.DataFrame(rows)


def _of_images(detections: Detections, image_ids) -> Detections:
    """Those on some of the images only."""
    place = {image_id: index for index, image_id in enumerate(image_ids)}
    new_index = np.array([place.get(image_id, -1) for image_id in detections.image_ids], dtype=np.int32)
    index = new_index[detections.image_index]
    found = detections.select(index >= 0)
    return replace(found, image_ids=tuple(image_ids), image_index=index[index >= 0])


def _size(dataset, image_id) -> tuple[int, int]:
    annotation = dataset.annotation(image_id)
    return annotation.height, annotation.width


def _timed(detectors, dataset, n_images: int) -> dict[str, dict[str, float]]:
    """Seconds an image of each detector; they take turns, so that a busy machine slows all of them alike."""
    chosen = [dataset.ids[i * len(dataset.ids) // n_images] for i in range(min(n_images, len(dataset.ids)))]
    times = {name: [] for name in detectors}
    for number, image_id in enumerate([chosen[0], *chosen]):
        image = dataset.image(image_id)
        for name, detector in detectors.items():
            wall, processor = time.perf_counter(), time.process_time()
            detector.detect(image)
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
            if number == 0:
                times[name].clear()  # the first image only wakes everything up
    medians = {name: np.median(of_detector, axis=0) for name, of_detector in times.items()}
    return {name: {"seconds": wall, "cpu_seconds": cpu} for name, (wall, cpu) in medians.items()}
