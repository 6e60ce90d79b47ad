"""Cells in rows and columns, one of which is chosen by mouse, finger or keyboard."""

import anywidget
import traitlets

from rcnn_helpers.widgets.scripts import script, style


class UnitGrid(anywidget.AnyWidget):
    """The cells of a channel, or pictures in rows: click one, or go from cell to cell by keys.

    Arrow keys go to the neighbour, as do i, j, k and l in the authors' own viewer; Home and End to the ends of the
    row; Page Down and ``+`` to the next channel, Page Up and ``-`` to the one before.

    Attributes
    ----------
    cells : list of dict
        Row by row: ``{"name": str, "text": str, "colour": "#rrggbb", "ink": "#rrggbb"}``. Screen readers say the
        name; the text stands in the cell, in the colour `ink`. All but the name may be absent.
    columns : int
        Cells in a row.
    chosen : int
        Number of the chosen cell; kept within `cells`.
    framed : bool
        Whether the chosen cell has a frame; a click or a key gives it one. Of several grids, one shows it.
    channel, n_channels : int
        The channel on show, and how many there are.
    image : bytes
        JPEG or PNG behind the cells, which divide it evenly; where it is empty, cells are squares.
    rows : int
        Rows of cells that `image` has room for; the last ones may have no cells.
    label : str
        What the cells are: what screen readers say first.
    hint : str
        How to use them: stands below.
    alive : bool
        Set by the browser once it has loaded the script; False where nothing can be drawn.
    """

    _esm = script("unit_grid")
    _css = style("unit_grid")

    cells = traitlets.List(traitlets.Dict()).tag(sync=True)
    columns = traitlets.Int(1, min=1).tag(sync=True)
    rows = traitlets.Int(1, min=1).tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)
    framed = traitlets.Bool(True).tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)
    n_channels = traitlets.Int(1, min=1).tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode().tag(sync=True)
    alive = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("chosen")
    def _keep_to_cells(self, proposal):
        return min(max(proposal.value, 0), max(len(self.cells) - 1, 0))

    @traitlets.validate("channel")
    def _keep_to_channels(self, proposal):
        return min(max(proposal.value, 0), self.n_channels - 1)
