"""Trained detectors in files: one safetensors file each, network included.

A file holds numbers and plain text only, so opening one from a stranger runs nothing. Its header says what the
numbers are: the format, the network's name, the classes, the settings; whatever does not fit is refused.
"""

import json
from pathlib import Path

import numpy as np

from rcnn_helpers.errors import ModelError
from rcnn_helpers.storage import tensors_are_damaged, write_tensors

MODEL_FORMAT = "rcnn_helpers.model.2"
_OLDER_FORMATS = ("rcnn_helpers.model.1",)
# Options of `RCNN` that a file keeps.
SETTINGS = (
    "layer",
    "classifier",
    "mode",
    "max_proposals",
    "warp_mode",
    "padding",
    "C",
    "positive_weight",
    "bias_scale",
    "positive_iou",
    "negative_iou",
    "evict_score",
    "max_mining_images",
    "box_regression",
    "nms_iou",
    "precision",
    "seed",
)


def save_detector(detector, path) -> None:
    """Write a trained `RCNN` to one safetensors file, atomically."""
    import torch
    from safetensors.torch import save

    arrays = {"thresholds": detector.thresholds_}
    scales = {}
    if detector.svms_ is not None:
        arrays |= {"svm.coef": detector.svms_.coef_, "svm.intercept": detector.svms_.intercept_}
        scales["feature_scale"] = float(detector.feature_scale_)
    if detector.regressors_ is not None:
        arrays["regressors.coef"] = detector.regressors_.coef_
        arrays["regressors.intercept"] = detector.regressors_.intercept_
        arrays["regressors.n_pairs"] = detector.regressors_.n_pairs_
        scales["pool5_scale"] = float(detector.pool5_scale_)
    header = {
        "format": MODEL_FORMAT,
        "network": detector.network.name,
        "classes": list(detector.classes_),
        "settings": {name: getattr(detector, name) for name in SETTINGS},
        **scales,
    }
    tensors = {f"network.{name}": value for name, value in detector.network.module.state_dict().items()}
    tensors |= {
        name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
        for name, value in arrays.items()
    }
    payload = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"rcnn": json.dumps(header)},
    )
    write_tensors(path, payload)


def load_detector(make, path, *, device: str | None = None, precision: str | None = None):
    """Read a detector that `save_detector` wrote.

    Parameters
    ----------
    make : callable
        ``make(network, **settings)`` returns the detector to fill, such as the class `RCNN`.
    path : path-like
    device, precision : str, optional
        Instead of the best device, and of the file's precision.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of an older format, or no such detector.
    """
    path = Path(path)
    header, tensors = _read(path)
    from rcnn_helpers.networks import load_network

    prefix = "network."
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    try:
        options = dict(header["settings"])
        if precision:
            options["precision"] = precision
        detector = make(load_network(header["network"], weights=weights, device=device), **options)
        detector.classes_ = tuple(header["classes"])
        _fill(detector, header, _Arrays(path, detector, tensors))
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a complete detector ({error}); train it again") from error
    return detector


def _fill(detector, header, arrays: "_Arrays") -> None:
    """Give a detector what it has learned."""
    from rcnn_helpers.bbox_regression import BoxRegressors
    from rcnn_helpers.svm import LinearSVMs

    n_classes = len(detector.classes_)
    detector.thresholds_ = arrays.get("thresholds", n_classes)
    if detector.classifier == "svm":
        dim = detector.network.feature_dim(detector.layer)
        svms = LinearSVMs(detector.C, detector.positive_weight, detector.bias_scale)
        svms.coef_, svms.n_features_in_ = arrays.get("svm.coef", n_classes, dim), dim
        svms.intercept_ = arrays.get("svm.intercept", n_classes)
        detector.svms_, detector.feature_scale_ = svms, float(header["feature_scale"])
    if detector.box_regression:
        dim = detector.network.feature_dim("pool5")
        regressors = BoxRegressors()
        regressors.coef_, regressors.n_features_in_ = arrays.get("regressors.coef", n_classes, 4, dim), dim
        regressors.intercept_ = arrays.get("regressors.intercept", n_classes, 4)
        regressors.n_pairs_ = arrays.get("regressors.n_pairs", n_classes).astype(np.int64)
        detector.regressors_, detector.pool5_scale_ = regressors, float(header["pool5_scale"])


class _Arrays:
    """The arrays of a model file, each checked for its shape and its numbers when taken."""

    def __init__(self, path, detector, tensors):
        self.path, self.detector, self.tensors = path, detector, tensors

    def get(self, name: str, *shape: int) -> np.ndarray:
        array = self.tensors[name].numpy()
        if array.shape != shape:
            detector = self.detector
            raise ModelError(
                f"{self.path}: {name} has shape {list(array.shape)}, but {len(detector.classes_)} classes on "
                f"{detector.network.name}'s {detector.layer} need {list(shape)}; train the detector again"
            )
        # The threshold of a class that is never reported is infinite.
        if np.isnan(array).any() or (name != "thresholds" and np.isinf(array).any()):
            raise ModelError(
                f"{self.path}: {name} holds NaN or infinity; the file is damaged or training diverged: "
                "train the detector again"
            )
        return array


def _read(path: Path):
    """Header and tensors of a model file, checked for being one."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"there is no model file {path}; write one with: rcnn train --out {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("rcnn", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        damaged = tensors_are_damaged(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged or no model file ({error}); train it again") from error
    if damaged:
        raise ModelError(f"{path} is damaged: its checksum is wrong; train the detector again")
    found = header.get("format") if isinstance(header, dict) else None
    if found in _OLDER_FORMATS:
        raise ModelError(
            f"{path} is a detector of an older version of this package ({found}, from before box regression); "
            f"this one reads {MODEL_FORMAT}: train it again"
        )
    if found != MODEL_FORMAT:
        raise ModelError(f"{path} was not written by rcnn train: its header does not say {MODEL_FORMAT!r}")
    return header, tensors
