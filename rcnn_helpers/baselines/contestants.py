"""What takes part in a comparison: a descriptor, with the settings that its SVMs do best with."""

from dataclasses import dataclass

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.baselines.bag_of_words import BagOfWords
from rcnn_helpers.baselines.descriptors import Descriptor, RawPixels
from rcnn_helpers.baselines.hog import HOG
from rcnn_helpers.errors import SettingsError


@dataclass(frozen=True)
class Contestant:
    """A descriptor in the comparison.

    Attributes
    ----------
    descriptor : Descriptor
    C : float
        Regularisation of its SVMs, with features scaled to a mean norm of 20.
    stores : tuple of two FeatureStores, optional
        Of a `NetworkLayer`: pool5 of the training and of the test images, so that it need not be computed anew.
    learn_seconds : float, optional
        What learning the descriptor took, where that was done before; NaN where it is not known.
    """

    descriptor: Descriptor
    C: float = settings.SVM_C
    stores: tuple | None = None
    learn_seconds: float | None = None


# What was best on ToyVOC's val of seed 0, trained on train (see `rcnn baselines --split train --test-split val`).
_HANDMADE: dict[str, tuple[type[Descriptor], float]] = {
    "raw": (RawPixels, 1e-2),
    "hog": (HOG, 1e-2),
    "bow": (BagOfWords, 1e-2),
}
HANDMADE = tuple(_HANDMADE)


def handmade(text: str, *, seed: int = 0) -> Contestant:
    """A descriptor made by hand, from a text such as ``"hog"`` or ``"hog:cells=10,C=1e-4"``.

    Parameters
    ----------
    text : str
        One of ``raw``, ``hog`` and ``bow``, and after a colon what shall differ from the defaults: keywords of the
        class and C; they become part of its name. Several numbers are joined by a plus sign: ``"bow:levels=1+2"``.
    seed : int
        Of the vocabulary.

    Raises
    ------
    SettingsError
        If name, key or value is unknown.
    """
    import inspect

    short, _, pairs = text.partition(":")
    if short not in _HANDMADE:
        raise SettingsError(f"there is no descriptor {short!r}; choose among {', '.join(HANDMADE)}")
    kind, C = _HANDMADE[short]
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()} | {"C": C}
    has_seed = "seed" in defaults
    defaults.pop("seed", None)
    values = {}
    for pair in filter(None, (piece.strip() for piece in pairs.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if key not in defaults or not equals:
            raise SettingsError(
                f"{pair!r} in {text!r} is not KEY=VALUE; the keys of {short} are {', '.join(defaults)}"
            )
        values[key] = _read_value(key, value, defaults[key])
    C = values.pop("C", C)
    descriptor = kind(**values, **({"seed": seed} if has_seed else {}))
    if pairs:
        descriptor.name = f"{descriptor.name} {pairs}"
    return Contestant(descriptor, C)


def _read_value(key: str, text: str, default):
    """A keyword's value from its text, of the type of its default."""
    try:
        if isinstance(default, bool):
            return {"yes": True, "no": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(int(part) for part in text.split("+"))
        value = type(default)(text)
    except (KeyError, ValueError):
        wanted = {bool: "yes or no", tuple: "whole numbers such as 1+2+4", int: "a whole number"}
        raise SettingsError(f"{key} is {text!r}; give {wanted.get(type(default), 'a number')}") from None
    if key == "C" and not 0 < value < np.inf:
        raise SettingsError(f"C is {text!r}; give a number above 0")
    return value
