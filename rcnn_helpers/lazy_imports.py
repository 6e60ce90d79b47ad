"""Packages whose names are there at once and whose modules load when a name is first used.

``import rcnn_helpers.svm`` then costs milliseconds, and scikit-learn loads with the first `LinearSVMs`::

    __all__, __getattr__, __dir__ = lazy_names(__name__, {"estimator": ["LinearSVMs"]})

Python asks a module's ``__getattr__`` for what it does not find in it (PEP 562).
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """What a package needs to offer names of its modules without importing them.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    names : mapping of str to sequence of str
        Module of the package -> what the package offers of it.

    Returns
    -------
    __all__ : list of str
    __getattr__, __dir__ : callable
        ``__getattr__`` raises AttributeError, as Python asks for, where there is no such name.
    """
    home = {name: module for module, offered in names.items() for name in offered}

    def load(name: str):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return sorted(home), load, listed
