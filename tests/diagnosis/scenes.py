"""Scenes made by hand, as detections and truth."""

import numpy as np

from rcnn_helpers.evaluation import Detections, GroundTruth


def build_scene(classes, objects, rows, *, images=None, searched=None):
    """Make ``(Detections, GroundTruth)`` from rows.

    Detections are ``(image, class, score, box)``, objects ``(image, class, box)`` or, with a fourth entry,
    ``(image, class, box, difficult)``. `images` and `searched` (the classes of the detections) name more than
    occur, or another order.
    """
    searched = tuple(classes if searched is None else searched)
    if images is None:
        images = sorted({row[0] for row in [*objects, *rows]})
    detections = Detections(
        tuple(images),
        searched,
        [images.index(row[0]) for row in rows],
        [searched.index(row[1]) for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )
    objects = sorted(objects, key=lambda row: images.index(row[0]))
    image_index = np.array([images.index(row[0]) for row in objects], dtype=np.int32)
    truth = GroundTruth(
        image_ids=tuple(images),
        classes=tuple(classes),
        image_index=image_index,
        class_index=np.array([classes.index(row[1]) for row in objects], dtype=np.int32),
        boxes=np.array([row[2] for row in objects], dtype=np.float32).reshape(-1, 4),
        difficult=np.array([row[3] if len(row) > 3 else False for row in objects], dtype=bool),
        object_index=np.array(
            [int((image_index[:i] == image).sum()) for i, image in enumerate(image_index)], dtype=np.int32
        ),
    )
    return detections, truth
