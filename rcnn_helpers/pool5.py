"""What lies behind pool5: fc6, fc7 and the class probabilities, from pool5 features that are at hand.

The convolutions are the dear part of a network; what follows pool5 is two or three matrix products. So features
are computed and stored up to pool5, and deeper layers follow from it, as in the released code. A picture that is
searched on its own goes the same way: features that were trained on and features that are scored have come about
by the same arithmetic, in the same precision.
"""

import weakref

import numpy as np
import torch

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.networks.network import PRECISIONS

# Copies of networks in another precision, for as long as the network lives and its weights stay as they are.
_converted: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def in_precision(network, precision: str):
    """`network` itself if it has that precision, else a copy that has; the last copy is remembered."""
    if network.dtype == PRECISIONS[precision]:
        return network
    # Training changes weights in place and raises their version; moving or replacing them changes their address.
    stamp = (precision, *((weight.data_ptr(), weight._version) for weight in network.module.parameters()))
    known_stamp, copy = _converted.get(network, (None, None))
    if known_stamp != stamp:
        copy = network.to_precision(precision)
        _converted[network] = (stamp, copy)
    return copy


def from_pool5(network, pool5: np.ndarray, layer: str, *, precision: str) -> np.ndarray:
    """Compute a layer from pool5: ReLU after each layer, no dropout.

    Parameters
    ----------
    network : Network
    pool5 : float32 [N, D]
        As from `rcnn_helpers.features.extract` or a `FeatureStore`; not scaled.
    layer : str
        ``"pool5"`` itself, ``"fc6"`` or ``"fc7"``.
    precision : {"float32", "bfloat16", "float16"}
        Of the arithmetic; the one that pool5 was computed in.

    Returns
    -------
    float32 [N, feature_dim(layer)]
    """
    if layer == "pool5":
        return pool5
    return in_precision(network, precision).from_pool5(torch.from_numpy(pool5), layer).cpu().numpy()


@torch.inference_mode()
def probabilities_from_pool5(network, pool5: np.ndarray, *, precision: str) -> np.ndarray:
    """Compute the class probabilities, the softmax of the classifier, from pool5 (App. B).

    Parameters
    ----------
    network : Network
        One with fully connected layers; see `require_fully_connected`.
    pool5, precision : as in `from_pool5`

    Returns
    -------
    float32 [N, n_classes], each row summing to 1
    """
    require_fully_connected(network)
    converted = in_precision(network, precision)
    deepest = converted.from_pool5(torch.from_numpy(pool5), converted.layers[-1])
    return converted.module.classifier(deepest.to(converted.dtype)).float().softmax(dim=1).cpu().numpy()


def require_outputs(network, n_classes: int) -> None:
    """Raise `SettingsError` if the network's outputs are not so many classes and background (App. B)."""
    if network.n_classes != n_classes + 1:
        raise SettingsError(
            f"the classifier of {network.name} has {network.n_classes} outputs, but as a detector of {n_classes} "
            f"classes it needs {n_classes + 1}, background first; fine-tune the network for these classes, or use "
            'classifier="svm"'
        )


def require_fully_connected(network) -> None:
    """Raise `SettingsError` if the network's classifier does not read the last layer that follows pool5."""
    if "fc7" not in network.layers:
        raise SettingsError(
            f"the classifier of {network.name} does not follow from pool5: it has no fully connected layers fc6 "
            'and fc7; use classifier="svm", or another network'
        )
