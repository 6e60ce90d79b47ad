"""A picture with one box on it that is drawn, dragged and resized by mouse, finger or keyboard."""

import anywidget
import numpy as np
import traitlets

from rcnn_helpers.boxes import clip
from rcnn_helpers.widgets.scripts import script, style

SIDES = ("x1", "y1", "x2", "y2")


class BoxCanvas(anywidget.AnyWidget):
    """The picture, its box, and further boxes that are only shown.

    Drag inside the box to move it, by a handle to resize it, and anywhere else to draw a new one. Arrow keys move
    the box; with Shift they move its lower right corner.

    Attributes
    ----------
    image : bytes
        JPEG or PNG.
    width, height : int
        What boxes refer to, whatever the size of `image`.
    box : list of four int
        ``[x1, y1, x2, y2]``, half-open, at least one pixel wide and high, inside the picture.
    outlines : list of dict
        Boxes that cannot be moved: ``{"box": [...], "look": "truth" or "window", "label": str}``.
    label : str
        How to use it: stands below the picture, and screen readers say it.
    alive : bool
        Set by the browser once it has loaded the script; False where nothing can be drawn.
    """

    _esm = script("box_canvas")
    _css = style("box_canvas")

    image = traitlets.Bytes().tag(sync=True)
    width = traitlets.Int(1).tag(sync=True)
    height = traitlets.Int(1).tag(sync=True)
    box = traitlets.List(traitlets.Int(), [0, 0, 1, 1], minlen=4, maxlen=4).tag(sync=True)
    outlines = traitlets.List().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    alive = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("box")
    def _put_inside(self, proposal):
        """Sides in order, at least a pixel apart and inside the picture, wherever the box came from."""
        x1, y1, x2, y2 = proposal.value
        x1, x2 = _ordered(x1, x2, self.width)
        y1, y2 = _ordered(y1, y2, self.height)
        return [x1, y1, x2, y2]


def _ordered(one, other, length):
    start = min(max(min(one, other), 0), length - 1)
    return start, min(max(one, other, start + 1), length)


def box_of(x1: int, y1: int, x2: int, y2: int) -> list[int]:
    """A box of at least a pixel from four sliders, which may have crossed over or met."""
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return [left, top, max(right, left + 1), max(bottom, top + 1)]


def sides_of(height: int, width: int, box=None) -> dict[str, int]:
    """Values of four sliders for a box in a picture, by name; without a box, for the middle of the picture."""
    if box is None:
        box = [width // 4, height // 4, max(width - width // 4, 1), max(height - height // 4, 1)]
    x1, y1, x2, y2 = np.rint(clip([box], height, width))[0].astype(int).tolist()
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    return {"x1": x1, "y1": y1, "x2": max(x2, x1 + 1), "y2": max(y2, y1 + 1)}
