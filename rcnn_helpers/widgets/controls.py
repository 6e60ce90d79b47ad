"""The controls of the explorers: plain ipywidgets, each with a name before it, all usable by keyboard."""

import ipywidgets
import numpy as np

from rcnn_helpers.errors import DisplayError
from rcnn_helpers.settings import NEVER_FIRES

_LOOK = {"layout": {"width": "480px", "max_width": "100%"}, "style": {"description_width": "130px"}}


def int_slider(description: str, low: int, high: int, value: int):
    """A slider over whole numbers."""
    return ipywidgets.IntSlider(value=value, min=low, max=high, description=description, **_LOOK)


def fraction_slider(description: str, value: float):
    """A slider from 0 to 1 in steps of 0.05."""
    return ipywidgets.FloatSlider(value=value, min=0, max=1, step=0.05, description=description, **_LOOK)


def target_slider(description: str, reach: float):
    """A slider from -`reach` to `reach` in steps of 0.01, at 0: a shift or a logarithm of a box's target."""
    return ipywidgets.FloatSlider(value=0, min=-reach, max=reach, step=0.01, description=description, **_LOOK)


def points_slider(description: str, low: float, high: float, value: float):
    """A slider over points of mAP, in tenths."""
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=0.1, description=description, readout_format=".1f", **_LOOK
    )


def score_slider(description: str, scores, value: float):
    """A slider over the range of `scores`, in steps of 0.05, at `value` or as near as the range allows.

    The score of classes that could not be trained is left out: its distance would leave no room for the others.
    """
    scores = np.asarray(scores)
    if np.isnan(scores).any():
        raise DisplayError("scores hold NaN, which is neither above nor below any threshold; leave those out")
    scores = scores[scores > NEVER_FIRES]
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (-1.0, 1.0)
    low, high = np.floor(low * 20) / 20, np.ceil(high * 20) / 20
    value = min(max(value, low), high)
    return ipywidgets.FloatSlider(value=value, min=low, max=high, step=0.05, description=description, **_LOOK)


def dropdown(description: str, options, value=None):
    """A list to choose from; at first `value` is chosen, or else the first option."""
    options = list(options)
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    value = first if value is None else value
    return ipywidgets.Dropdown(options=options, value=value, description=description, **_LOOK)


def steps(description: str, options):
    """A slider over the given values, at the last one."""
    return ipywidgets.SelectionSlider(options=options, value=options[-1], description=description, **_LOOK)


def checkbox(description: str, value: bool):
    """A box to tick."""
    return ipywidgets.Checkbox(value, description=description, style=_LOOK["style"])
