"""Explorer of sets of windows: where each lies, and how well the best of a set fit the objects."""

from collections.abc import Mapping

import cv2
import numpy as np

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.drawing import STYLES, BoxStyle, draw_boxes
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.settings import MATCH_IOU
from rcnn_helpers.widgets.controls import checkbox, dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import View, as_picture, names_for

_CHOSEN = BoxStyle("orange")


class WindowExplorer(Explorer):
    """Windows of one picture in several sets, such as proposals and the levels of a pyramid, one set at a time.

    A slider moves through the set: the window it stands at is drawn boldly over the outlines of all others.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    sets : mapping of str to array-like of shape [N, 4]
        Windows by the name of their set, each in an order worth going through.
    truth : array-like of shape [M, 4]
        Ground-truth boxes.
    names : sequence of str, optional
        Classes of the objects.

    Raises
    ------
    DisplayError
        If there is no set, or one without windows.
    """

    def __init__(self, image, sets: Mapping, truth, names=None):
        self._view = View(as_picture(image))
        self.sets = {name: as_boxes(boxes) for name, boxes in sets.items()}
        self.truth = as_boxes(truth)
        self.names = names_for(self.truth, names, default="object")
        empty = [name for name, boxes in self.sets.items() if len(boxes) == 0]
        if empty or not self.sets:
            raise DisplayError(
                f"the set {empty[0]!r} holds no window; leave it out"
                if empty
                else "there is no set of windows to show"
            )
        first = next(iter(self.sets.values()))
        controls = {
            "windows": dropdown("windows", self.sets),
            "number": int_slider("number", 1, len(first), (len(first) + 1) // 2),
            "outlines": checkbox("outline all", True),
        }
        super().__init__(controls)

    def _maxima(self, state):
        return {"number": len(self.sets[state["windows"]])}

    def _draw(self, windows, number, outlines):
        boxes = self.sets[windows]
        picture = self._outlined(boxes) if outlines else self._view.image
        chosen = boxes[number - 1]
        width, height = chosen[2:] - chosen[:2]
        text = f"Window {number} of {len(boxes)} ({windows}): {width:.0f} x {height:.0f} pixels"
        if len(self.truth) == 0:
            picture = draw_boxes(picture, self._view.scaled([chosen]), styles=_CHOSEN)
            return picture, text + ". There are no objects."
        overlaps = iou(boxes, self.truth)
        here, best = overlaps[number - 1], overlaps.max(axis=0)
        nearest = int(here.argmax())
        shown = np.concatenate([[chosen], boxes[overlaps.argmax(axis=0)], self.truth])
        styles = [_CHOSEN, *("tp" if value >= MATCH_IOU else "fp" for value in best)]
        labels = ["this", *(f"{STYLES[s].mark}{v:.2f}" for s, v in zip(styles[1:], best, strict=True))]
        picture = draw_boxes(
            picture,
            self._view.scaled(shown),
            labels + [""] * len(self.truth),
            styles + ["truth"] * len(self.truth),
        )
        return picture, (
            f"{text}, IoU {here[nearest]:.2f} with the {self.names[nearest]}. The best windows of this set reach "
            f"an IoU of 0.5 with {int((best >= MATCH_IOU).sum())} of {len(best)} objects (dotted); their mean "
            f"best overlap is {best.mean():.2f}."
        )

    def _outlined(self, boxes):
        """The picture under thin white outlines, faint where there are many."""
        lines = draw_boxes(self._view.image, self._view.scaled(boxes), colours="white", line_width=1)
        strength = 0.7 if len(boxes) <= 100 else 0.35
        return cv2.addWeighted(self._view.image, 1 - strength, lines, strength, 0)
