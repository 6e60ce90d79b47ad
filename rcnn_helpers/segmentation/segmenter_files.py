"""Trained segmenters in files: one safetensors file each, network included, numbers and plain text only."""

import json
from pathlib import Path

import numpy as np

from rcnn_helpers.errors import ModelError
from rcnn_helpers.storage import tensors_are_damaged, write_tensors

FORMAT = "rcnn_helpers.segmenter.1"
# Options of `Segmenter` that a file keeps.
SETTINGS = (
    "features",
    "layer",
    "max_regions",
    "min_pixels",
    "C",
    "epsilon",
    "max_background",
    "folds",
    "precision",
    "seed",
)
_NETWORK = "network."


def save_segmenter(segmenter, path) -> None:
    """Write a trained `Segmenter` to one safetensors file, atomically."""
    import torch
    from safetensors.torch import save

    header = {
        "format": FORMAT,
        "network": segmenter.network.name,
        "classes": list(segmenter.classes_),
        "settings": {name: getattr(segmenter, name) for name in SETTINGS},
        "threshold": segmenter.pasting_.threshold,
        "nms_iou": segmenter.pasting_.nms_iou,
    }
    weights = segmenter.network.module.state_dict()
    tensors = {_NETWORK + name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    for name in ("coef", "intercept"):
        array = getattr(segmenter.regressors_, f"{name}_")
        tensors[f"svr.{name}"] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    payload = save(tensors, metadata={"segmenter": json.dumps(header)})
    write_tensors(path, payload)


def load_segmenter(make, path, *, device: str | None = None):
    """Read a segmenter that `save_segmenter` wrote.

    Parameters
    ----------
    make : callable
        ``make(network, **settings)`` returns the segmenter to fill, such as the class `Segmenter`.
    path : path-like
    device : str, optional
        Instead of the best one.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or no such segmenter.
    """
    from rcnn_helpers.networks import load_network
    from rcnn_helpers.segmentation.pasting import Pasting
    from rcnn_helpers.segmentation.svr import SupportVectorRegressors

    path = Path(path)
    header, tensors = _read(path)
    weights = {name.removeprefix(_NETWORK): t for name, t in tensors.items() if name.startswith(_NETWORK)}
    try:
        network = load_network(header["network"], weights=weights, device=device)
        segmenter = make(network, **header["settings"])
        segmenter.classes_ = tuple(header["classes"])
        segmenter.pasting_ = Pasting(float(header["threshold"]), float(header["nms_iou"]))
        regressors = SupportVectorRegressors(C=segmenter.C, epsilon=segmenter.epsilon, seed=segmenter.seed)
        regressors.coef_ = tensors["svr.coef"].numpy()
        regressors.intercept_ = tensors["svr.intercept"].numpy()
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a complete segmenter ({error}); train it again") from error
    dim = network.feature_dim(segmenter.layer) * len(segmenter.features.split("+"))
    expected = (len(segmenter.classes_), dim)
    if regressors.coef_.shape != expected or regressors.intercept_.shape != expected[:1]:
        raise ModelError(
            f"{path} has regressors of shape {list(regressors.coef_.shape)}, but {expected[0]} classes on "
            f"{segmenter.features} {segmenter.layer} need {list(expected)}; train it again"
        )
    if not (np.isfinite(regressors.coef_).all() and np.isfinite(regressors.intercept_).all()):
        raise ModelError(f"{path} holds NaN or infinity; it is damaged or training diverged: train it again")
    regressors.n_features_in_ = dim
    segmenter.regressors_ = regressors
    return segmenter


def _read(path: Path):
    """Header and tensors of a segmenter's file, checked for being one."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"there is no model file {path}; write one with: rcnn segment train --out {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("segmenter", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        damaged = tensors_are_damaged(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged or no model file ({error}); train it again") from error
    if damaged:
        raise ModelError(f"{path} is damaged: its checksum is wrong; train the segmenter again")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelError(f"{path} was not written by rcnn segment train: its header does not say {FORMAT!r}")
    return header, tensors
