"""The explorer of warping: draw a box, and see what each way of cropping makes of it."""

import ipywidgets

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.drawing import draw_boxes, montage
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.warping import FILLS, MODES, crop_geometry, warp_reference
from rcnn_helpers.widgets.box_canvas import SIDES, BoxCanvas, box_of, sides_of
from rcnn_helpers.widgets.controls import dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN, View, as_picture, beside, jpeg, names_for, pixels


class WarpExplorer(Explorer):
    """A box, drawn with the mouse or moved by sliders, and the crop of each mode (App. A, Fig. 7).

    Where the browser can run the canvas, the box is drawn and dragged on the picture; sliders and canvas follow
    each other. Where it cannot, there is one picture with everything, and the sliders do it all.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        Your own, if you like.
    boxes : array-like of shape [M, 4], optional
        Ground-truth boxes; the list of objects sets the box to one of them. Without any, the box starts in the
        middle of the image, and no IoU is told.
    names : sequence of str, optional
        Classes of the objects.
    size : int
        Side of the crops.
    mean : three floats
        The colour of the fill.
    """

    def __init__(self, image, boxes=None, names=None, *, size: int = 227, mean=IMAGENET_MEAN):
        self._image = as_picture(image)
        self._view = View(self._image, longest=560)
        self.truth, self.size, self.mean = as_boxes([] if boxes is None else boxes), size, mean
        names = names_for(self.truth, names, default="object")
        height, width = self._image.shape[:2]
        controls = {
            "mode": dropdown("mode", [(_spoken(mode), mode) for mode in MODES], "warp"),
            "padding": int_slider("padding p", 0, size // 4, min(CONTEXT_PADDING, size // 4)),
            "fill": dropdown("fill", FILLS),
        }
        if len(self.truth):
            objects = [(f"{number + 1}: {name}", number) for number, name in enumerate(names)]
            controls = {"object": dropdown("object", objects)} | controls
            start = self._sides_of(0)
        else:
            start = sides_of(height, width)
        controls |= {
            "x1": int_slider("left", 0, width - 1, start["x1"]),
            "y1": int_slider("top", 0, height - 1, start["y1"]),
            "x2": int_slider("right", 1, width, start["x2"]),
            "y2": int_slider("bottom", 1, height, start["y2"]),
        }
        self.canvas = BoxCanvas(
            image=jpeg(self._view.image),
            width=width,
            height=height,
            box=list(start.values()),
            label="Draw a box, drag it, or pull its handles. Arrow keys move it; with Shift they resize it.",
            # Not shown until the browser says that it can draw it. It shrinks where there is little room.
            layout={"display": "none", "flex": "1 1 320px", "max_width": f"{self._view.image.shape[1]}px"},
        )
        super().__init__(controls)
        self._lay_out()
        self.canvas.observe(self._moved, names=["box", "alive"])

    def _lay_out(self):
        """Two columns where there is room: controls, then canvas and crops, which share the width."""
        in_columns = {"flex_flow": "row wrap", "align_items": "flex-start"}
        for control in self.controls.values():
            control.layout.width, control.layout.flex, control.layout.max_width = "auto", "1 1 340px", "480px"
        self.picture.layout.flex, self.picture.layout.min_width = "1 1 280px", "0"
        two_columns = in_columns | {"max_width": "980px"}
        sides = [self.controls[side] for side in SIDES]
        others = [control for control in self.controls.values() if control not in sides]
        self.children = [
            ipywidgets.Box(others, layout=two_columns),
            ipywidgets.Box(sides, layout=two_columns),
            self.text,
            ipywidgets.Box([self.canvas, self.picture], layout=in_columns),
        ]

    def _follow(self, change):
        """The box of the canvas, the four sliders and the object chosen: what moved leads."""
        if change.owner is self.canvas:
            self._set_sides(dict(zip(SIDES, self.canvas.box, strict=True)))
        elif change.owner is self.controls.get("object"):
            self._set_sides(self._sides_of(change.new))
        self.canvas.box = box_of(**{side: self.controls[side].value for side in SIDES})

    def _show(self):
        if not self.canvas.alive:
            super()._show()
            return
        state = self._values()
        box, window = self._box_and_window(**state)
        seen = [{"box": window, "look": "window", "label": "what the crop shows"}]
        if len(self.truth):
            seen.append({"box": self.truth[state["object"]].tolist(), "look": "truth", "label": ""})
        self.canvas.outlines = seen
        self.canvas.layout.display = None
        self._put(self._crops(box, **state), self._words(box, window, **state))

    def _put(self, picture, text):
        super()._put(picture, text)
        self.picture.layout.max_width = f"{picture.shape[1]}px"  # it may shrink but not grow

    def _draw(self, **state):
        box, window = self._box_and_window(**state)
        seen, labels, styles = [box, window], ["box", "what the crop shows"], ["best", "detection"]
        if len(self.truth):
            seen, labels, styles = [*seen, self.truth[state["object"]]], [*labels, ""], [*styles, "truth"]
        marked = draw_boxes(self._view.image, self._view.scaled(seen), labels, styles)
        return beside(marked, self._crops(box, **state)), self._words(box, window, **state)

    def _state(self, values, named):
        """As for all explorers; but choosing an object, and no sides, sets the sides to that object."""
        state = super()._state(values, named)
        given = {*list(self.controls)[: len(values)], *named}
        if "object" in given and not given & set(SIDES):
            state |= self._sides_of(state["object"])
        return state

    def _sides_of(self, number):
        """Values of the four sliders for an object."""
        return sides_of(*self._image.shape[:2], self.truth[number])

    def _set_sides(self, sides):
        for side, value in sides.items():
            self.controls[side].value = value

    def _box_and_window(self, *, mode, padding, x1, y1, x2, y2, **_):
        """The box, and the part of the image that its crop shows."""
        box = box_of(x1, y1, x2, y2)
        height, width = self._image.shape[:2]
        geometry = crop_geometry([box], height, width, mode=mode, size=self.size, padding=padding)
        return box, geometry.window[0].tolist()

    def _crops(self, box, *, mode, padding, fill, **_):
        """The crops of all modes, the chosen one framed."""
        options = {"size": self.size, "padding": padding, "fill": fill, "mean": self.mean}
        crops = [pixels(warp_reference(self._image, box, mode=each, **options)) for each in MODES]
        captions = [f"{_spoken(each)} (chosen)" if each == mode else _spoken(each) for each in MODES]
        styles = ["best" if each == mode else "proposal" for each in MODES]
        return montage(crops, captions, columns=2, cell=(210, 210), styles=styles)

    def _words(self, box, window, *, mode, padding, object=None, **_):
        x1, y1, x2, y2 = box
        compared = ""
        if object is not None:
            overlap = float(iou([box], self.truth[[object]])[0, 0])
            compared = f", IoU {overlap:.2f} with the object (dotted)"
        return (
            f"Box of {x2 - x1} x {y2 - y1} pixels{compared}. The crop '{_spoken(mode)}' with padding {padding} "
            f"(framed in green) shows {window[2] - window[0]} x {window[3] - window[1]} pixels of the image in "
            f"{self.size} x {self.size}."
        )


def _spoken(mode):
    return mode.replace("_", " ")
