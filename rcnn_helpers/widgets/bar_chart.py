"""A bar chart whose bars can be chosen by mouse, finger or keyboard."""

import anywidget
import numpy as np
import traitlets

from rcnn_helpers.drawing import rgb, write
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets.scripts import script, style

_BAR_WIDTH, _GAP, _HEIGHT, _LINE = 64, 20, 150, 22  # pixels of the static picture


class BarChart(anywidget.AnyWidget):
    """A few bars, one of which is chosen: click a bar, or go from bar to bar with the arrow keys, Home and End.

    Attributes
    ----------
    bars : list of dict
        From left to right: ``{"key": str, "label": str, "value": number, "text": str, "colour": "#rrggbb",
        "pattern": str, "title": str}``. `text` stands above the bar, `label` below it; `title` is what a screen
        reader says and the mouse shows; `pattern` is one of those of `rcnn_helpers.diagnosis.looks.Look`.
    selected : str
        Key of the chosen bar.
    label : str
        What the bars are and how to use them: stands below, and screen readers say it.
    alive : bool
        Set by the browser once it has loaded the script; False where nothing can be drawn.
    """

    _esm = script("bar_chart")
    _css = style("bar_chart")

    bars = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    alive = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("bars")
    def _check_bars(self, proposal):
        """Refuse bars that could not be told apart or drawn."""
        keys = [bar.get("key") for bar in proposal.value]
        if len(set(keys)) < len(keys) or not all(isinstance(key, str) for key in keys):
            raise DisplayError(f"every bar needs a key of its own, a str, got {keys}")
        values = [bar.get("value") for bar in proposal.value]
        if not all(np.isscalar(value) and np.isfinite(value) and value >= 0 for value in values):
            raise DisplayError(f"bars have finite values from 0 on, got {values}")
        return proposal.value


def draw_bars(bars, selected: str) -> np.ndarray:
    """The chart as pixels, uint8 [H, W, 3], for where no browser draws it; the chosen bar has a black frame.

    Parameters
    ----------
    bars : list of dict
        As in `BarChart`.
    selected : str
    """
    step = _BAR_WIDTH + _GAP
    canvas = np.full((_HEIGHT + 2 * _LINE + 16, max(len(bars), 1) * step + _GAP, 3), 255, np.uint8)
    highest = max([bar["value"] for bar in bars], default=0) or 1
    ground = 8 + _LINE + _HEIGHT
    for number, bar in enumerate(bars):
        left = _GAP + number * step
        top = ground - max(1, round(_HEIGHT * bar["value"] / highest))
        canvas[top:ground, left : left + _BAR_WIDTH] = rgb(bar["colour"])
        _hatch(canvas[top:ground, left : left + _BAR_WIDTH], bar["pattern"])
        if bar["key"] == selected:
            _frame(canvas, left - 5, top - _LINE - 6, left + _BAR_WIDTH + 5, ground + _LINE + 4)
        write(canvas, bar["text"], left, top - _LINE + 1)
        write(canvas, bar["label"], left, ground + 3)
    canvas[ground : ground + 1] = 0
    return canvas


def _hatch(area, pattern):
    """Dark lines or dots over an area, by the same names as in the style sheet."""
    y, x = np.indices(area.shape[:2])
    marks = {
        "stripes": (x + y) % 8 < 2,
        "crosses": ((x + y) % 10 < 2) | ((x - y) % 10 < 2),
        "dots": (x % 6 < 2) & (y % 6 < 2),
        "lines": y % 6 < 2,
        "rungs": x % 6 < 2,
    }
    if pattern in marks:
        area[marks[pattern]] = np.rint(0.45 * area[marks[pattern]]).astype(np.uint8)


def _frame(canvas, left, top, right, bottom):
    canvas[top:bottom, [left, left + 1, right - 2, right - 1]] = 0
    canvas[[top, top + 1, bottom - 2, bottom - 1], left:right] = 0
