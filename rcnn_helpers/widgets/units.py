"""The explorer of units: what each cell of each channel looks for, and where that was found."""

import ipywidgets
import numpy as np

from rcnn_helpers.drawing import BoxStyle, draw_boxes, rgb, write
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets.controls import dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import View, above, beside, jpeg
from rcnn_helpers.widgets.thumbnails import FIELD_STYLE, LastUsed, Thumbnails, cell_size, sheet
from rcnn_helpers.widgets.unit_grid import UnitGrid
from rcnn_helpers.widgets.unit_words import classes_under, object_under, with_article

_NEIGHBOURS = {"above": (-1, 0), "below": (1, 0), "left": (0, -1), "right": (0, 1)}
_COLUMNS = 6  # of a sheet
_SIDE, _SIDE_OF_TWO = 88, 72  # pixels: of a top region; of one where two networks stand side by side
_N_BEST, _SIDE_OF_BEST = 5, 56  # of each neighbour
_BELOW = 360  # pixels: width of the whole image, and of what the neighbours see
_MAP_CELL = 34  # pixels
_LOW, _HIGH = np.array([236.0, 244.0, 250.0]), np.array([0.0, 58.0, 102.0])  # light blue to dark blue
_CHOSEN = BoxStyle("vermillion")
_MOST_SHEETS = 100


class UnitExplorer(Explorer):
    """Any unit of a layer: the regions that excite it most, each with its receptive field and value (App. D).

    A click on the grid of cells, or arrow keys on it, choose the cell; Page Up and Page Down the channel; a click
    on a region shows the image it comes from. Sliders do the same where no script runs. Values are shares of the
    largest value in the unit's channel, as in the authors' own viewer.

    Parameters
    ----------
    index : UnitIndex
    dataset : VOCDataset or the like
        Holds the images of the index. Where it has ``annotation(id)``, the text tells on which class the regions
        lie.
    other : UnitIndex, optional
        Of another network of the same shape, such as the same before fine-tuning; its unit stands beside.
    name, other_name : str
        What the two are called, if there are two.
    k : int
        Top regions shown.
    unit : (channel, row, column), optional
        Shown at first; by default the middle cell of channel 0.

    Raises
    ------
    DisplayError
        If the two indexes differ in shape, or no region can be shown.
    """

    def __init__(
        self,
        index,
        dataset,
        *,
        other=None,
        name: str = "after fine-tuning",
        other_name: str = "before fine-tuning",
        k: int = 24,
        unit=None,
    ):
        if other is not None and other.shape != index.shape:
            raise DisplayError(
                f"the units of {index.layer} are {index.shape} of one network and {other.shape} of the other; "
                "only networks of the same shape can stand side by side"
            )
        if other is not None and name == other_name:
            raise DisplayError(f"both networks are called {name!r}; give each a name of its own")
        if k < 1:
            raise DisplayError(f"k is {k}, but at least one region must be shown")
        self.indexes = {name: index} if other is None else {name: index, other_name: other}
        self.k = min(k, index.top)
        self._dataset = dataset
        made = {}  # networks that see regions alike share pictures and crops
        for each in self.indexes.values():
            how = {"mode": each.mode, "padding": each.padding, "input_size": each.input_size}
            made.setdefault(tuple(how.values()), Thumbnails(dataset, **how))
        self._crops = {each: made[it.mode, it.padding, it.input_size] for each, it in self.indexes.items()}
        self._side = _SIDE if other is None else _SIDE_OF_TWO
        self._sheets = LastUsed(_MOST_SHEETS)
        self._walk = None, 0, None  # of similar channels: where it began, steps so far, where it has led
        self._make_grids(index.shape)
        super().__init__(self._make_controls(index, unit))
        self._lay_out()
        for grid in (self.grid, *self.sheets.values()):
            grid.observe(self._moved, names=["chosen", "framed", "channel"])
        self.grid.observe(self._moved, names="alive")

    def forget(self) -> None:
        """Give the memory of all pictures back; what is shown next is read anew."""
        self._sheets = LastUsed(_MOST_SHEETS)
        for each in self._crops.values():
            each.forget()

    # -- parts ---------------------------------------------------------------------------------------------

    def _make_controls(self, index, unit):
        channels, rows, columns = index.shape
        channel, row, column = (0, rows // 2, columns // 2) if unit is None else unit
        index.unit(channel, row, column)
        controls = {"channel": int_slider("channel", 0, channels - 1, channel)}
        if rows * columns > 1:
            controls["row"] = int_slider("row", 0, rows - 1, row)
            controls["column"] = int_slider("column", 0, columns - 1, column)
        controls["region"] = int_slider("region", 1, self.k, 1)
        if len(self.indexes) > 1:
            controls["network"] = dropdown("network", self.indexes)
        if rows * columns > 1:
            controls["colours"] = dropdown(
                "cells show", {label: key for key, (label, _) in _MAPS.items()}.items()
            )
        controls["shape"] = dropdown(
            "regions", [("as the network sees them", "warped"), ("in their own shape", "own")]
        )
        return controls

    def _make_grids(self, shape):
        channels, rows, columns = shape
        hidden = {"display": "none"}
        self.grid = UnitGrid(
            columns=columns,
            rows=rows,
            n_channels=channels,
            label="Cells of the channel",
            hint="Click a cell or use the arrow keys; Page Up and Page Down change the channel.",
            layout=hidden,
        )
        width = _COLUMNS * cell_size(self._side)[1]
        self.sheets = {
            name: UnitGrid(
                columns=_COLUMNS,
                rows=-(-self.k // _COLUMNS),
                n_channels=channels,
                label=f"Regions that excite the unit most{self._suffix(name)}",
                hint=f"Each with its share of the channel's highest value{self._suffix(name)}.",
                layout=hidden | {"flex": f"1 1 {round(0.55 * width)}px", "max_width": f"{width}px"},
            )
            for name in self.indexes
        }
        self.similar = ipywidgets.Button(
            description="next most similar channel", layout={"width": "220px", "margin": "2px 2px 2px 90px"}
        )
        self.similar.on_click(self._next_similar)
        self.similar_said = ipywidgets.HTML()

    def _lay_out(self):
        """Grid and controls on the left, the regions beside them where there is room, the picture below."""
        for control in self.controls.values():
            control.layout.width, control.layout.max_width = "auto", "330px"
            control.style.description_width = "90px"
        in_columns = {"flex_flow": "row wrap", "align_items": "flex-start"}
        left = ipywidgets.VBox(
            [self.grid, *self.controls.values(), self.similar, self.similar_said], layout={"width": "340px"}
        )
        regions = ipywidgets.Box(list(self.sheets.values()), layout=in_columns)
        right = ipywidgets.VBox(
            [regions, self.text, self.picture], layout={"flex": "1 1 420px", "min_width": "0"}
        )
        self.children = [ipywidgets.Box([left, right], layout=in_columns)]

    # -- what follows what ---------------------------------------------------------------------------------

    def _follow(self, change):
        """Grid, sheets and controls: what moved leads."""
        owner = change.owner
        if owner is self.grid and change.name == "chosen":
            row, column = divmod(self.grid.chosen, self.grid.columns)
            for name, value in (("row", row), ("column", column)):
                if name in self.controls:
                    self.controls[name].value = value
        for name, each in self.sheets.items():
            if owner is each and change.name in ("chosen", "framed") and each.framed:
                if "network" in self.controls:
                    self.controls["network"].value = name
                self.controls["region"].value = each.chosen + 1
        if change.name == "channel":
            self.controls["channel"].value = change.new
        if self.controls["channel"].value != self._walk[2]:
            self.similar_said.value = ""
        self._set_maxima()
        self._set_grids()

    def _set_grids(self):
        """Cells, their names and the chosen ones, for the present values of the controls."""
        state = self._values()
        self.grid.cells = self._map_cells(**state)
        self.grid.chosen = state.get("row", 0) * self.grid.columns + state.get("column", 0)
        self.grid.channel = state["channel"]
        for name, each in self.sheets.items():
            regions = self._regions(name, **state)
            each.cells = [
                {"name": f"region {number}: {scaled:.2f}, in image {image_id}"}
                for number, (image_id, scaled) in enumerate(
                    zip(regions.image_ids, regions.scaled, strict=True), start=1
                )
            ]
            each.chosen = state["region"] - 1
            each.framed = name == self._network(**state)
            each.channel = state["channel"]

    def _maxima(self, state):
        place = {name: self.controls[name] for name in ("channel", "row", "column") if name in self.controls}
        # A value out of range is told of later, by name.
        inside = {name: min(max(state[name], slider.min), slider.max) for name, slider in place.items()}
        return {"region": len(self._regions(self._network(**state), **state | inside))}

    def _next_similar(self, button):
        """Go to the channel most like the present one; pressed again, to the next ones like that same channel."""
        now = self.controls["channel"].value
        start, steps, reached = self._walk
        if now != reached:
            start, steps = now, 0
        ranked = self.indexes[self._network(**self._values())].similar_channels(start)
        if not len(ranked):
            return
        reached = int(ranked[steps % len(ranked)])
        self._walk = start, steps + 1, reached
        said = f"Channel {reached} is number {steps % len(ranked) + 1} in likeness to channel {start}."
        self.similar_said.value = f'<div role="status">{said}</div>'
        self.controls["channel"].value = reached

    # -- drawing -------------------------------------------------------------------------------------------

    def _show(self):
        if not self.grid.alive:
            super()._show()
            return
        state = self._values()
        crops = self._all_crops(**state)
        for name, each in self.sheets.items():
            key = (name, self._unit(name, **state), state["shape"])
            if self._sheets.get(key) is None:
                self._sheets[key] = jpeg(self._sheet(name, crops, **state))
            each.image = self._sheets.get(key)
        for each in (self.grid, *self.sheets.values()):
            each.layout.display = None
        self._put(self._below(crops, **state), self._words(**state))

    def _draw(self, **state):
        crops = self._all_crops(**state)
        sheets = []
        for name in self.indexes:
            drawn = self._sheet(name, crops, **state)
            if name == self._network(**state) and len(self._regions(name, **state)):
                drawn = _framed(drawn, state["region"] - 1, self._side)
            sheets.append(drawn if len(self.indexes) == 1 else _titled(drawn, name))
        top = sheets[0] if len(sheets) == 1 else beside(*sheets)
        if "row" in self.controls:
            top = beside(self._map_picture(**state), top)
        return above(top, self._below(crops, **state)), self._words(**state)

    def _all_crops(self, *, shape, **state):
        """Crops of the unit's regions for each network, and of its neighbours' for the chosen one."""
        own_shape = shape == "own"
        chosen = self._network(**state)
        found = {}
        for name, index in self.indexes.items():
            unit = self._unit(name, **state)
            keys, requests = [name], [(index.regions(unit, self.k), self._field(index, unit), self._side)]
            for word, near in self._neighbours(name, **state).items() if name == chosen else ():
                if near is not None:
                    keys.append(word)
                    requests.append((index.regions(near, _N_BEST), self._field(index, near), _SIDE_OF_BEST))
            found |= dict(zip(keys, self._crops[name].crops(requests, own_shape=own_shape), strict=True))
        return found

    def _sheet(self, name, crops, **state):
        regions = self._regions(name, **state)
        captions = [f"{number}: {scaled:.2f}" for number, scaled in enumerate(regions.scaled, start=1)]
        rows = -(-self.k // _COLUMNS)
        drawn = sheet(crops[name], captions, columns=_COLUMNS, rows=rows, side=self._side)
        if not len(regions):
            write(drawn, "No region excites this unit.", 8, 8)
        return drawn

    def _below(self, crops, **state):
        """The image of the chosen region, and what the neighbouring cells see best."""
        drawn = self._whole_image(**state)
        if "row" not in self.controls:
            return drawn
        return beside(drawn, self._beside_it(crops, **state))

    def _whole_image(self, *, region, **state):
        name = self._network(**state)
        regions = self._regions(name, **state)
        if not len(regions):
            return np.full((_BELOW // 2, _BELOW, 3), 235, np.uint8)
        chosen = min(region, len(regions)) - 1
        view = View(self._crops[name].picture(regions.image_ids[chosen]), longest=_BELOW)
        boxes, labels, styles = [regions.boxes[chosen]], [f"region {chosen + 1}"], [_CHOSEN]
        if "row" in self.controls:
            boxes.insert(0, regions.fields[chosen])
            labels.insert(0, "")
            styles.insert(0, FIELD_STYLE)
        return draw_boxes(view.image, view.scaled(boxes), labels, styles, line_width=3)

    def _beside_it(self, crops, **state):
        """Four rows: the best regions of the cells above, below, left and right."""
        height, text = _SIDE_OF_BEST + 6, 54
        canvas = np.full((len(_NEIGHBOURS) * height + 22, _BELOW, 3), 255, np.uint8)
        write(canvas, "What the neighbouring cells see best", 0, 2)
        for number, (word, near) in enumerate(self._neighbours(self._network(**state), **state).items()):
            top = 22 + number * height
            write(canvas, word, 0, top + height // 2 - 10, font_size=13)
            if near is None:
                write(canvas, "no cell: the map ends here", text, top + height // 2 - 10, font_size=13)
                continue
            for place, crop in enumerate(crops[word]):
                y, x = top + (_SIDE_OF_BEST - crop.shape[0]) // 2, text + place * (_SIDE_OF_BEST + 4)
                canvas[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return canvas

    def _map_cells(self, *, colours="maximum", **state):
        """The cells of the channel for a `UnitGrid`."""
        name = self._network(**state)
        shades, texts, spoken = _MAPS[colours][1](self.indexes[name], state["channel"])
        cells = []
        for number, (shade, text) in enumerate(zip(shades.ravel(), texts, strict=True)):
            row, column = divmod(number, self.grid.columns)
            colour = _colour(shade)
            cells.append(
                {
                    "name": f"row {row}, column {column}: {text} {spoken}",
                    "text": text,
                    "colour": _hexadecimal(colour),
                    "ink": "#000000" if shade < 0.65 else "#ffffff",
                }
            )
        return cells

    def _map_picture(self, *, row, column, **state):
        """The grid as pixels, the chosen cell framed."""
        cells = self._map_cells(row=row, column=column, **state)
        rows, columns = self.grid.rows, self.grid.columns
        canvas = np.full((rows * _MAP_CELL + 20, columns * _MAP_CELL, 3), 255, np.uint8)
        write(canvas, f"channel {state['channel']}", 0, 0)
        for number, cell in enumerate(cells):
            top, left = 20 + number // columns * _MAP_CELL, number % columns * _MAP_CELL
            ground = rgb(cell["colour"])
            canvas[top + 1 : top + _MAP_CELL - 1, left + 1 : left + _MAP_CELL - 1] = ground
            write(canvas, cell["text"], left + 1, top + 8, font_size=13, ground=ground)
        top, left = 20 + row * _MAP_CELL, column * _MAP_CELL
        return draw_boxes(
            canvas, [[left, top, left + _MAP_CELL, top + _MAP_CELL]], styles=_CHOSEN, line_width=2
        )

    # -- words ---------------------------------------------------------------------------------------------

    def _words(self, **state):
        chosen = self._network(**state)
        told = [self._told_of(name, **state) for name in self.indexes]
        regions = self._regions(chosen, **state)
        if len(regions):
            number = min(state["region"], len(regions)) - 1
            on, overlap = object_under(self._dataset, regions.image_ids[number], regions.boxes[number])
            lies = f", IoU {overlap:.2f} with {with_article(on)}" if on else ""
            told.append(
                f"Region {number + 1}{self._suffix(chosen)}, in image {regions.image_ids[number]}, reaches "
                f"{regions.scaled[number]:.2f}{lies}."
            )
        return " ".join(told)

    def _told_of(self, name, **state):
        """What is significant about the unit of one network."""
        index, unit = self.indexes[name], self._unit(name, **state)
        channel, row, column = index.place(unit)
        cell = f", row {row}, column {column}" if "row" in self.controls else ""
        if name == next(iter(self.indexes)):
            who = f"Unit {unit} of {index.layer}, channel {channel}{cell}{self._suffix(name)}:"
        else:
            who = f"The same unit{self._suffix(name)}:"
        regions = index.regions(unit, self.k)
        if not len(regions):
            return f"{who} none of {index.n_regions:,} regions excites it."
        share = float(index.maximum[unit]) / float(index.channel_maximum[channel])
        of_channel = f", {share:.2f} of its channel's highest" if cell else ""
        return (
            f"{who} its highest value is {index.maximum[unit]:.3g}{of_channel}, and "
            f"{100 * index.active[unit]:.1f}% of {index.n_regions:,} regions excite it. "
            f"{classes_under(self._dataset, regions)}"
        )

    # -- small things --------------------------------------------------------------------------------------

    def _network(self, *, network=None, **_):
        return next(iter(self.indexes)) if network is None else network

    def _unit(self, name, *, channel, row=0, column=0, **_):
        return self.indexes[name].unit(channel, row, column)

    def _regions(self, name, **state):
        return self.indexes[name].regions(self._unit(name, **state), self.k)

    def _field(self, index, unit):
        """What a unit sees of the crop; None where it sees all of it."""
        return index.field(unit) if "row" in self.controls else None

    def _neighbours(self, name, **state):
        """The units above, below, left and right, by these words; None where the map ends."""
        if "row" not in self.controls:
            return {}
        index = self.indexes[name]
        channel, row, column = index.place(self._unit(name, **state))
        _, rows, columns = index.shape
        found = {}
        for word, (down, right) in _NEIGHBOURS.items():
            exists = 0 <= row + down < rows and 0 <= column + right < columns
            found[word] = index.unit(channel, row + down, column + right) if exists else None
        return found

    def _suffix(self, name):
        return f", {name}" if len(self.indexes) > 1 else ""


def _highest_values(index, channel):
    shares = index.maximum.reshape(index.shape)[channel] / max(float(index.channel_maximum[channel]), 1e-12)
    return shares, [f"{share:.2f}" for share in shares.ravel()], "of the channel's highest value"


def _means(index, channel):
    means = index.mean.reshape(index.shape)[channel]
    shares = means / max(float(means.max()), 1e-12)
    return shares, [f"{share:.2f}" for share in shares.ravel()], "of the channel's largest mean value"


def _active(index, channel):
    shares = index.active.reshape(index.shape)[channel]
    texts = [f"{100 * share:.0f}%" if share >= 0.095 else f"{100 * share:.1f}%" for share in shares.ravel()]
    return shares / max(float(shares.max()), 1e-12), texts, "of all regions excite it"


# What the cells can show: a label, and a function that gives shades, texts and what to say after the text.
_MAPS = {
    "maximum": ("highest value", _highest_values),
    "mean": ("mean value", _means),
    "active": ("share of regions that excite it", _active),
}


def _colour(shade):
    return np.rint(_LOW + (_HIGH - _LOW) * float(shade)).astype(int)


def _hexadecimal(colour):
    return "#" + "".join(f"{level:02x}" for level in colour)


def _framed(drawn, number, side):
    """A sheet with a frame around one of its crops."""
    height, width = cell_size(side)
    top, left = number // _COLUMNS * height, number % _COLUMNS * width
    return draw_boxes(drawn, [[left, top, left + width, top + height]], styles=_CHOSEN, line_width=2)


def _titled(drawn, title):
    """A sheet with a line above it."""
    strip = np.full((20, drawn.shape[1], 3), 255, np.uint8)
    write(strip, title, 2, 1)
    return np.concatenate([strip, drawn])
