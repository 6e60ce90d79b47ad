"""The explorer of excited units: draw a box, on a photograph of your own if you like, and see who fires."""

import html
import io

import ipywidgets
import numpy as np

from rcnn_helpers.drawing import draw_boxes, write
from rcnn_helpers.errors import DisplayError, ImageError
from rcnn_helpers.features import extract
from rcnn_helpers.images import read_image, shrink_to_fit
from rcnn_helpers.widgets.box_canvas import SIDES, BoxCanvas, box_of, sides_of
from rcnn_helpers.widgets.controls import checkbox, dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import View, beside, jpeg
from rcnn_helpers.widgets.thumbnails import FIELD_STYLE, LastUsed, Thumbnails
from rcnn_helpers.widgets.unit_words import classes_under

_LONGEST_UPLOADED = 1000  # pixels: a larger photograph is shrunk, as the network sees 227 of a box anyway
_VIEW = 420  # pixels
_SIDE, _GAP = 72, 4  # pixels: of a crop, and between two
_LINE = 20  # pixels: of text
# A larger message makes Jupyter's server drop the connection, and the photograph is lost without a word.
_HINT = "A JPEG or PNG of up to 10 MB; Jupyter lets no larger one through. Nobody but this notebook gets it."
_MOST_BOXES = 200  # whose excitements are kept


class ExcitedUnitsExplorer(Explorer):
    """The units that a box excites most, and what else excites them.

    A unit's excitement is measured against its own largest value in the index: 1 means as much as the best of all
    the data set's regions. The box is drawn with the mouse, moved by keys or by sliders, on an image of the data
    set or on a photograph from your disk, of up to 10 MB, which only this notebook's kernel gets to see.

    Parameters
    ----------
    network : Network
        The one that the index was made with.
    dataset : VOCDataset or the like
        Holds the images of the index.
    index : UnitIndex
        Of pool5, fc6 or fc7.
    image_ids : sequence of str, optional
        Images to draw on; by default the first 40 of the data set.
    n_units : int
        Units shown.
    k : int
        Top regions shown of each. Units with fewer are left out: too little is known of them.

    Raises
    ------
    DisplayError
        If the index is of another network or of a layer in between, or there is no image to draw on.
    """

    def __init__(self, network, dataset, index, *, image_ids=None, n_units: int = 6, k: int = 8):
        image_ids = list(dataset.ids[:40] if image_ids is None else image_ids)
        _check(network, index, image_ids)
        self.network, self.index, self._dataset = network, index, dataset
        self.n_units, self.k = n_units, min(k, index.top)
        self._crops = Thumbnails(dataset, mode=index.mode, padding=index.padding, input_size=index.input_size)
        self._known = index.values[:, self.k - 1] > 0
        self._channels = np.arange(index.n_units) // (index.shape[1] * index.shape[2])
        self._photographs = {}  # by their names in the list of images
        self._excitements = LastUsed(_MOST_BOXES)
        self.upload = ipywidgets.FileUpload(
            accept="image/*", description="your photograph", layout={"width": "190px"}
        )
        self.upload_said = ipywidgets.HTML()
        height, width = self._image(image_ids[0]).shape[:2]
        start = self._start(image_ids[0])
        controls = {
            "image_id": dropdown("image", image_ids),
            "x1": int_slider("left", 0, width - 1, start["x1"]),
            "y1": int_slider("top", 0, height - 1, start["y1"]),
            "x2": int_slider("right", 1, width, start["x2"]),
            "y2": int_slider("bottom", 1, height, start["y2"]),
        }
        if index.shape[1] * index.shape[2] > 1:
            controls["once"] = checkbox("each channel once", True)
        self.canvas = BoxCanvas(
            label="Draw a box, drag it, or pull its handles. Arrow keys move it; with Shift they resize it.",
            layout={"display": "none", "max_width": f"{_VIEW}px"},
        )
        self._set_canvas(image_ids[0])
        self.canvas.box = list(start.values())
        super().__init__(controls)
        self._lay_out()
        self.canvas.observe(self._moved, names=["box", "alive"])
        self.upload.observe(self._take_upload, names="value")

    def forget(self) -> None:
        """Give the memory of all pictures back, your photographs excepted; what is shown next is read anew."""
        self._excitements = LastUsed(_MOST_BOXES)
        self._crops.forget()

    def _lay_out(self):
        """Picture and controls on the left, the units beside them where there is room."""
        in_columns = {"flex_flow": "row wrap", "align_items": "flex-start"}
        for control in self.controls.values():
            control.layout.width, control.layout.max_width = "auto", "400px"
            control.style.description_width = "60px"
        left = ipywidgets.VBox(
            [self.canvas, *self.controls.values(), self.upload, ipywidgets.HTML(_HINT), self.upload_said],
            layout={"flex": "1 1 300px", "max_width": f"{_VIEW + 10}px"},
        )
        right = ipywidgets.VBox([self.text, self.picture], layout={"flex": "2 1 420px", "min_width": "0"})
        self.children = [ipywidgets.Box([left, right], layout=in_columns)]

    # -- what follows what ---------------------------------------------------------------------------------

    def _follow(self, change):
        """The image, the box on the canvas and the four sliders: what moved leads."""
        if change.owner is self.controls["image_id"]:
            self._set_maxima()
            self._set_canvas(change.new)
            self._set_sides(self._start(change.new))
        elif change.owner is self.canvas:
            self._set_sides(dict(zip(SIDES, self.canvas.box, strict=True)))
        self.canvas.box = box_of(**{side: self.controls[side].value for side in SIDES})

    def _set_sides(self, sides):
        for side, value in sides.items():
            self.controls[side].value = value

    def _set_canvas(self, image_id):
        image = self._image(image_id)
        with self.canvas.hold_sync():
            self.canvas.height, self.canvas.width = image.shape[:2]
            self.canvas.image = jpeg(View(image, longest=_VIEW).image)

    def _maxima(self, state):
        height, width = self._image(state["image_id"]).shape[:2]
        return {"x1": width - 1, "y1": height - 1, "x2": width, "y2": height}

    def _state(self, values, named):
        """As for all explorers; but choosing an image, and no sides, sets the sides for that image."""
        state = super()._state(values, named)
        given = {*list(self.controls)[: len(values)], *named}
        if "image_id" in given and not given & set(SIDES):
            state |= self._start(state["image_id"])
        return state

    def _image(self, image_id):
        return self._photographs[image_id] if image_id in self._photographs else self._crops.picture(image_id)

    def _start(self, image_id):
        """Where the box starts: on the first object, or in the middle."""
        size = self._image(image_id).shape[:2]
        if image_id in self._photographs or not hasattr(self._dataset, "annotation"):
            return sides_of(*size)
        boxes = self._dataset.annotation(image_id).boxes
        return sides_of(*size, boxes[0] if len(boxes) else None)

    def _take_upload(self, change):
        """Show a photograph that has arrived; of one that cannot be read, say why."""
        if not change.new:
            return
        name = change.new[0]["name"]
        file = io.BytesIO(change.new[0]["content"])
        file.name = name
        self.upload.value = ()  # so that the same file can come again, and is not kept twice
        try:
            image = read_image(file)
        except ImageError as error:
            self._say_of_upload(f"This photograph cannot be used: {error}.", role="alert")
            return
        image_id = f"your photograph {len(self._photographs) + 1}: {name}"
        self._photographs[image_id], scale = shrink_to_fit(image, _LONGEST_UPLOADED)
        height, width = self._photographs[image_id].shape[:2]
        shrunk = f", shrunk to {width} x {height}" if scale < 1 else ""
        self._say_of_upload(f"{name}: {image.shape[1]} x {image.shape[0]} pixels{shrunk}.")
        choice = self.controls["image_id"]
        self._following = True  # new options set the choice back, which is not to be drawn
        try:
            choice.options = [*choice.options, image_id]
        finally:
            self._following = False
        choice.value = image_id

    def _say_of_upload(self, text, role="status"):
        self.upload_said.value = f'<div role="{role}">{html.escape(text)}</div>'

    # -- drawing -------------------------------------------------------------------------------------------

    def _show(self):
        if not self.canvas.alive:
            super()._show()
            return
        state = self._values()
        excited = self._excited(**state)
        self.canvas.outlines = [
            {"box": field, "look": "window", "label": "what unit 1 sees"}
            for field in self._field_of_first(excited, **state)
        ]
        self.canvas.layout.display = None
        self._put(self._rows(excited, **state), self._words(excited, **state))

    def _draw(self, **state):
        excited = self._excited(**state)
        view = View(self._image(state["image_id"]), longest=_VIEW)
        fields = self._field_of_first(excited, **state)
        boxes = [*fields, _box(**state)]
        styles = [*[FIELD_STYLE for _ in fields], "best"]
        marked = draw_boxes(view.image, view.scaled(boxes), styles=styles, line_width=3)
        return beside(marked, self._rows(excited, **state)), self._words(excited, **state)

    def _excited(self, *, image_id, once=False, **state):
        """The units that the box excites most, and by what share of their largest value: a list of pairs."""
        shares = self._shares(image_id, _box(**state))
        order = np.argsort(-shares, kind="stable")
        if once:
            _, first = np.unique(self._channels[order], return_index=True)
            order = order[np.sort(first)]
        return [(int(unit), float(shares[unit])) for unit in order[: self.n_units] if shares[unit] > 0]

    def _shares(self, image_id, box):
        """What the box makes of each unit's largest value, float32 [U]; 0 of units of which little is known."""
        key = image_id, tuple(box)
        if self._excitements.get(key) is None:
            index = self.index
            values = extract(
                self.network,
                self._image(image_id),
                [box],
                layers=(index.layer,),
                mode=index.mode,
                padding=index.padding,
            )[index.layer][0]
            shares = np.zeros_like(values)
            np.divide(values, index.maximum, out=shares, where=self._known)
            self._excitements[key] = shares
        return self._excitements.get(key)

    def _field_of_first(self, excited, **state):
        """What the most excited unit sees, in pixels of the image: a list of one box, or none."""
        if not excited or "once" not in self.controls:
            return []
        return self.index.fields(excited[0][0], [_box(**state)]).tolist()

    def _rows(self, excited, *, image_id, **state):
        """For each unit, in a row: the box with what the unit sees of it, and the unit's top regions."""
        regions = [self.index.regions(unit, self.k) for unit, _ in excited]
        fields = [self.index.field(unit) if "once" in self.controls else None for unit, _ in excited]
        crops = self._crops.crops(
            [(found, field, _SIDE) for found, field in zip(regions, fields, strict=True)]
        )
        step, left = _SIDE + _LINE + 2 * _GAP, _SIDE + 4 * _GAP
        canvas = np.full((_LINE + self.n_units * step, left + self.k * (_SIDE + _GAP), 3), 255, np.uint8)
        write(canvas, "the box", 0, 0)
        write(canvas, "what excites the same unit most in the data set", left, 0)
        picture = self._image(image_id)
        for number, ((unit, share), field) in enumerate(zip(excited, fields, strict=True)):
            top = _LINE + number * step
            write(canvas, f"{number + 1}. {self._name(unit)}: {share:.2f} of its highest value", 0, top)
            own = self._crops.crop(picture, _box(**state), field, _SIDE)
            for place, crop in [(0, own), *enumerate(crops[number])]:
                x = 0 if crop is own else left + place * (_SIDE + _GAP)
                canvas[top + _LINE : top + _LINE + _SIDE, x : x + _SIDE] = crop
        return canvas

    def _words(self, excited, *, image_id, **state):
        x1, y1, x2, y2 = _box(**state)
        shares = self._shares(image_id, [x1, y1, x2, y2])
        half = f"{(shares >= 0.5).sum():,} of {self._known.sum():,} units reach half of their highest value"
        told = f"Box of {x2 - x1} x {y2 - y1} pixels in {image_id}: {half}."
        if not excited:
            return f"{told} None of them is excited."
        first, share = excited[0]
        known = classes_under(self._dataset, self.index.regions(first, self.k))
        others = ", ".join(f"{self._name(unit)} ({each:.2f})" for unit, each in excited[1:])
        return (
            f"{told} It excites most {self._name(first)}, to {share:.2f} of the most that any of "
            f"{self.index.n_regions:,} regions does. {known}{f' Next: {others}.' if others else ''}"
        )

    def _name(self, unit):
        channel, row, column = self.index.place(unit)
        return f"channel {channel}, row {row}, column {column}" if "once" in self.controls else f"unit {unit}"


def _box(*, x1, y1, x2, y2, **_):
    return box_of(x1, y1, x2, y2)


def _check(network, index, image_ids):
    if not image_ids:
        raise DisplayError("there are no images to draw on; give at least one in image_ids")
    if index.layer not in network.layers:
        raise DisplayError(
            f"the index is of {index.layer}, but only units of {', '.join(network.layers)} can be shown here"
        )
    if index.fingerprint != network.fingerprint:
        raise DisplayError(
            f"the index was made with other weights ({index.network_name}) than those of this {network.name}; "
            "their units have nothing in common. Give the network that the index was built with"
        )
