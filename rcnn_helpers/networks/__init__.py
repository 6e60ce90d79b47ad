"""Backbones behind one interface: T-Net, quarter T-Net, AlexNet, VGG-16 (O-Net) and SqueezeNet 1.1.

>>> network = load_network("quarter_tnet")
>>> network.features(crops, ["pool5", "fc7"])["fc7"].shape
torch.Size([N, 1024])
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from rcnn_helpers.networks.backbones import ALEXNET, SQUEEZENET1_1, VGG16
from rcnn_helpers.networks.network import Network, NetworkSpec, RegionNet, initialise
from rcnn_helpers.networks.tnet import QUARTER_TNET, TNET
from rcnn_helpers.networks.weights import (
    classes_in,
    default_weights_path,
    put_weights,
    read_weights,
    rename,
)
from rcnn_helpers.settings import choose_device

_SPECS = (QUARTER_TNET, TNET, ALEXNET, VGG16, SQUEEZENET1_1)
NETWORKS: dict[str, NetworkSpec] = {spec.name: spec for spec in _SPECS}

__all__ = ["NETWORKS", "Network", "NetworkSpec", "RegionNet", "load_network"]


def load_network(
    name: str,
    *,
    weights: str | Path | Mapping[str, torch.Tensor] | None = None,
    n_classes: int | None = None,
    device: str | None = None,
    seed: int = 0,
) -> Network:
    """Build a backbone and give it its weights.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    weights : "default", "random", path, mapping or None
        ``None`` and ``"default"``: the file in ``data/weights`` for the quarter T-Net, a checked download for
        the others. ``"random"``: He initialisation from `seed`. A path: a safetensors, state-dict (``.pth``)
        or, for the T-Net, ``.caffemodel`` file, named by our names, torchvision's or Caffe's. A mapping:
        named tensors.
    n_classes : int, optional
        Outputs of the classifier of ``"random"`` weights; otherwise the weights decide.
    device : str, optional
        Default: `rcnn_helpers.settings.choose_device`.
    seed : int

    Raises
    ------
    ValueError
        If there is no such network.
    WeightsError
        If the weights are missing, damaged, unsafe to open, or belong to another architecture.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; choose one of {', '.join(NETWORKS)}")
    spec = NETWORKS[name]
    if isinstance(weights, str) and weights == "random":
        module = _build(spec, n_classes or spec.n_classes)
        initialise(module, seed)
    else:
        source, tensors = _find_weights(spec, weights)
        tensors = rename(spec, tensors)
        module = _build(spec, classes_in(spec, tensors), names=tensors.keys())
        put_weights(spec, module, tensors, source)
    return Network(spec, module).to(choose_device(device))


def _find_weights(spec, weights):
    """A name for messages, and the named tensors."""
    if isinstance(weights, Mapping):
        return "the mapping of weights", dict(weights)
    path = default_weights_path(spec) if weights in (None, "default") else weights
    return str(path), read_weights(path)


def _build(spec, n_classes, names=frozenset()):
    """Build the module without touching the global random state.

    Where `names` are those of weights behind a new classifier, whose layers may be others than the original's
    (SqueezeNet's are), it gets such a one.
    """
    with torch.random.fork_rng(devices=[]):
        module = spec.build(n_classes)
        new = module.new_classifier(n_classes)
    if not _tensors_of(module.classifier) <= names and _tensors_of(new) <= names:
        module.classifier = new
    return module


def _tensors_of(classifier):
    return {f"classifier.{name}" for name in classifier.state_dict()}
