"""The explorer of bounding-box regression: move a box by its four targets, and meet what a regression says."""

import ipywidgets
import numpy as np

from rcnn_helpers.bbox_regression import apply_regression, regression_targets
from rcnn_helpers.boxes import as_boxes, clip, iou
from rcnn_helpers.drawing import BoxStyle, draw_arrows, draw_boxes
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets.controls import dropdown, target_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import ImageCache, View

_BEFORE, _AFTER = BoxStyle("sky", "dashed"), BoxStyle("green")
_TARGETS = ("t_x", "t_y", "t_w", "t_h")
_PROPOSAL, _LEARNED, _TRUE, _OWN = (
    "0: the proposal",
    "what the regression says",
    "the true targets",
    "your own",
)


class RegressionExplorer(Explorer):
    """A proposal, the box that four sliders make of it, and the object it belongs to (App. C).

    One list chooses a proposal; another one sets the sliders to 0, to what a regression predicts, or to the true
    targets. Moved by hand, they are your own.

    Parameters
    ----------
    dataset : VOCDataset or the like
    image_ids, names : sequence of str, N long
        Of each proposal, its image and the class that it was detected as.
    proposals, truth : array-like of shape [N, 4]
        Boxes, and for each the true box of the object it lies near.
    predicted : array-like of shape [N, 4], optional
        What a regression says for each proposal. Without it, there is no such entry in the list.

    Raises
    ------
    DisplayError
        If there is no proposal, or there is not one of everything for each.
    TrainingError
        If a box has no width or no height, or a predicted target is not finite.
    """

    _REACH = 1.5  # of the sliders; a box e^1.5 = 4.5 times as large has no IoU of 0.3 any more

    def __init__(self, dataset, image_ids, names, proposals, truth, predicted=None):
        self._images = ImageCache(dataset)
        self.image_ids, self.names = list(image_ids), list(names)
        self.proposals, self.truth = as_boxes(proposals), as_boxes(truth)
        lengths = {len(self.image_ids), len(self.names), len(self.proposals), len(self.truth)}
        predicted = None if predicted is None else np.asarray(predicted, dtype=np.float32)
        if (
            len(lengths) > 1
            or 0 in lengths
            or (predicted is not None and predicted.shape != self.truth.shape)
        ):
            raise DisplayError(
                f"{len(self.image_ids)} images, {len(self.names)} names, {len(self.proposals)} proposals and "
                f"{len(self.truth)} true boxes are given, and predicted targets of shape "
                f"{None if predicted is None else list(predicted.shape)}; give one of each for each proposal, and "
                "at least one proposal"
            )
        self._settings = {_PROPOSAL: np.zeros_like(self.truth)}
        if predicted is not None:
            self._settings[_LEARNED] = predicted
        self._settings[_TRUE] = regression_targets(self.proposals, self.truth)
        self._learned = None if predicted is None else apply_regression(self.proposals, predicted)
        shown = [f"{number + 1}: {name} in {image}" for number, (name, image) in enumerate(self._titles())]
        controls = {
            "proposal": dropdown("proposal", [(title, number) for number, title in enumerate(shown)]),
            "targets": dropdown("targets", [*self._settings, _OWN]),
        }
        controls |= {name: target_slider(name, self._REACH) for name in _TARGETS}
        super().__init__(controls)
        self._lay_out()

    def _titles(self):
        return zip(self.names, self.image_ids, strict=True)

    def _lay_out(self):
        """Two columns where there is room: the two lists, then the sliders, then the picture."""
        for control in self.controls.values():
            control.layout.width, control.layout.flex, control.layout.max_width = "auto", "1 1 320px", "460px"
        columns = {"flex_flow": "row wrap", "align_items": "flex-start", "max_width": "980px"}
        self.children = [
            ipywidgets.Box([self.controls["proposal"], self.controls["targets"]], layout=columns),
            ipywidgets.Box([self.controls[name] for name in _TARGETS], layout=columns),
            self.text,
            self.picture,
        ]

    def _follow(self, change):
        """Lists lead the sliders; a slider that was moved by hand makes the targets your own."""
        chosen = self.controls["targets"]
        if change.owner is self.controls["proposal"] and chosen.value == _OWN:
            chosen.value = _PROPOSAL
        if change.owner in (self.controls["proposal"], chosen):
            for name, value in self._sliders(self.controls["proposal"].value, chosen.value).items():
                self.controls[name].value = value
        else:
            chosen.value = _OWN

    def _state(self, values, named):
        """As for all explorers; but a choice from the lists, and no targets, sets the targets."""
        state = super()._state(values, named)
        given = {*list(self.controls)[: len(values)], *named}
        if given & {"proposal", "targets"} and not given & set(_TARGETS):
            if state["targets"] == _OWN and "targets" not in given:
                state["targets"] = _PROPOSAL
            state |= self._sliders(state["proposal"], state["targets"])
        return state

    def _sliders(self, number, setting):
        """Values of the sliders for an entry of the second list: those of it, or none."""
        if setting == _OWN:
            return {}
        reachable = np.clip(self._settings[setting][number].astype(float), -self._REACH, self._REACH)
        return dict(zip(_TARGETS, reachable.round(2).tolist(), strict=True))

    def _draw(self, proposal, targets, **sliders):
        start, truth = self.proposals[[proposal]], self.truth[[proposal]]
        image = self._images[self.image_ids[proposal]]
        height, width = image.shape[:2]
        moved = clip(apply_regression(start, [list(sliders.values())]), height, width)
        view = View(image)
        before, after, goal = (view.scaled(boxes)[0] for boxes in (start, moved, truth))
        picture = draw_boxes(view.image, [before, goal], styles=[_BEFORE, "truth"])
        picture = draw_arrows(picture, _corners(before), _corners(after), _AFTER)
        picture = draw_boxes(picture, [after], [self.names[proposal]], _AFTER)
        return picture, self._words(proposal, start, moved, truth, height, width)

    def _words(self, number, start, moved, truth, height, width):
        before, after = (float(iou(box, truth)[0, 0]) for box in (start, moved))
        learned = ""
        if self._learned is not None:
            by_regression = float(iou(clip(self._learned[[number]], height, width), truth)[0, 0])
            learned = f", the regression {by_regression:.2f}"
        goal = ", ".join(f"{value:+.2f}" for value in self._settings[_TRUE][number])
        return (
            f"IoU with the object (dotted): the proposal (dashed) has {before:.2f}{learned}, your box (solid) "
            f"{after:.2f}. The goal: ({goal})."
        )


def _corners(box):
    """The four corners of a box, clockwise from the upper left, [4, 2]."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
