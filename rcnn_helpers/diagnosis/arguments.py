"""What a user of `diagnose` and `tide` gives, checked in one place and in the same words."""

from collections.abc import Sequence

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import (
    Detections,
    EvaluationResult,
    GroundTruth,
    collect_ground_truth,
    evaluate,
)

# Classes that a message names at most.
_NAMED = 30


def judged(
    detections: Detections, dataset, *, metric: str, match_iou: float
) -> tuple[GroundTruth, EvaluationResult]:
    """The objects of a data set, and what `evaluate` says of detections in it.

    Parameters
    ----------
    detections : Detections
    dataset : VOCDataset or GroundTruth
    metric, match_iou : see `rcnn_helpers.evaluation.evaluate`

    Raises
    ------
    DatasetError
        If a detection lies in an image, or is of a class, that the data set does not have.
    SettingsError
        If detections and data set are exchanged.
    """
    if not isinstance(detections, Detections):
        raise SettingsError(
            f"given a {type(detections).__name__} where detections belong; the detections come first, the data "
            "set second"
        )
    truth = dataset if isinstance(dataset, GroundTruth) else collect_ground_truth(dataset)
    return truth, evaluate(detections, truth, metric=metric, match_iou=match_iou)


def class_number(name: str, classes: Sequence[str]) -> int:
    """Place of a class among those of a diagnosis; SettingsError if it is none of them."""
    if name not in classes:
        raise SettingsError(f"there is no class {name!r} here; choose one of {', '.join(classes[:_NAMED])}")
    return classes.index(name)


def check_type(kind: str, kinds: Sequence[str]) -> None:
    """Raise SettingsError for a type of detection that there is not."""
    if kind not in kinds:
        raise SettingsError(f"unknown type of detection {kind!r}; choose one of {', '.join(kinds)}")
