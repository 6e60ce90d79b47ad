"""Receptive fields: which pixels of the crop a unit can see (sec. 3.1: 195 x 195 of 227 x 227 for pool5).

A map's geometry follows from its layers alone. Forwards, each layer adds to the side that a unit sees and to
the distance between neighbours (`FieldGeometry`). That tells the field of a unit far from any border. Near a
border, padding and rounded-up poolings look at cells that do not exist, so the exact field is found backwards:
from a unit to the cells it sees one layer below, and so on down to the pixels. Rows and columns are independent
of each other.

The layers are read off the network's graph of modules, so branches (SqueezeNet's fire modules) are followed too;
a unit above them sees what any of them sees.
"""

import math
import operator
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.networks.tnet import ResponseNorm

# Layers whose output at a place depends on their input at that place only.
_POINTWISE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.BatchNorm2d,
    nn.LocalResponseNorm,
    ResponseNorm,
)
_POINTWISE_FUNCTIONS = {torch.add, torch.mul, torch.relu, F.relu, F.dropout, operator.add, operator.mul}


@dataclass(frozen=True)
class FieldGeometry:
    """Where the units of a layer look, rows and columns alike.

    Attributes
    ----------
    layer : str
    input_size : int
        Side of the crop, in pixels.
    cells : int
        Units along a side of the layer's map.
    size : int
        Side of what a unit sees, in pixels, where no border cuts it off.
    stride : int
        Pixels from the field of a unit to that of its neighbour.
    start : int
        Where the field of unit 0 begins, as far as padding reaches: 0 or negative.
    spans : int64 [cells, 2]
        First pixel that unit 0, 1, ... really sees, and the pixel behind the last one.
    """

    layer: str
    input_size: int
    cells: int
    size: int
    stride: int
    start: int
    spans: np.ndarray

    def box(self, unit) -> np.ndarray:
        """The pixels that `unit`, a (row, column), can see: a box float32 [4] in the crop.

        Raises
        ------
        SettingsError
            If the layer's map has no such unit.
        """
        row, column = unit
        if not (0 <= row < self.cells and 0 <= column < self.cells):
            raise SettingsError(
                f"{self.layer} has no unit ({row}, {column}); rows and columns go from 0 to {self.cells - 1}"
            )
        (y1, y2), (x1, x2) = self.spans[row], self.spans[column]
        return np.array([x1, y1, x2, y2], dtype=np.float32)

    def boxes(self) -> np.ndarray:
        """The boxes of all units, float32 [cells, cells, 4], indexed by row and column."""
        starts, ends = self.spans.T.astype(np.float32)
        y1, x1 = np.meshgrid(starts, starts, indexing="ij")
        y2, x2 = np.meshgrid(ends, ends, indexing="ij")
        return np.stack([x1, y1, x2, y2], axis=-1)


def receptive_field(network, layer: str = "pool5", unit=(0, 0)) -> np.ndarray:
    """Return the pixels of the crop that a unit can see.

    Parameters
    ----------
    network : Network
    layer : str
        See `field_geometry`.
    unit : (row, column)

    Returns
    -------
    float32 [4]
        A half-open box ``(x1, y1, x2, y2)`` inside the crop.

    Examples
    --------
    >>> from rcnn_helpers.networks import load_network
    >>> receptive_field(load_network("quarter_tnet"), "pool5", (2, 3)).tolist()
    [32.0, 0.0, 227.0, 195.0]
    """
    return field_geometry(network, layer).box(unit)


def field_geometry(network, layer: str = "pool5") -> FieldGeometry:
    """Work out where the units of a layer look.

    Parameters
    ----------
    network : Network
        Only its layers' shapes are looked at; no weight is used and nothing is computed with it.
    layer : str
        ``"pool5"``, or a module of the network by its name: ``"trunk.conv3"`` or ``"conv3"`` of a T-Net,
        ``"trunk.12.expand3x3"`` or the whole fire module ``"trunk.12"`` of a SqueezeNet.

    Returns
    -------
    FieldGeometry

    Raises
    ------
    SettingsError
        If there is no such layer, its units have no place in the crop (fc6, fc7), or a layer before it is of a
        kind that cannot be followed.
    """
    trunk = nn.Sequential(OrderedDict(trunk=network.module.trunk, pool5=network.module.pool5))
    nodes = _nodes_up_to(trunk, module_name(network, layer))
    pixels, top = nodes[0], nodes[-1]
    windows = {node: _window_of(node, trunk) for node in nodes[1:]}

    maps = {pixels: _Map(cells=network.input_size, size=1, stride=1, start=0)}
    for node, window in windows.items():
        maps[node] = _joined([_above(maps[source], window) for source in node.all_input_nodes], node)

    seen = {top: np.eye(maps[top].cells, dtype=bool)}  # of each map on the way down: [units, cells]
    for node in reversed(nodes[1:]):
        for source in node.all_input_nodes:
            found = _seen_below(seen[node], maps[source].cells, windows[node])
            seen[source] = seen[source] | found if source in seen else found
    return FieldGeometry(
        layer=layer,
        input_size=network.input_size,
        cells=maps[top].cells,
        size=maps[top].size,
        stride=maps[top].stride,
        start=maps[top].start,
        spans=_first_and_behind(seen[pixels]),
    )


def output_side(
    side: int, kernel: int, stride: int = 1, padding: int = 0, *, dilation: int = 1, ceil: bool = False
) -> int:
    """Side of the map that a convolution or a pooling makes of a map.

    Parameters
    ----------
    side : int
        Of its input, in cells.
    kernel, stride, padding, dilation : int
        The padding is that of one side.
    ceil : bool
        Round up, as Caffe's poolings do: a last window may reach over the border, but must begin before the
        padding.

    Raises
    ------
    SettingsError
        If the window does not fit.
    """
    room = side + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise SettingsError(f"a window of {kernel} does not fit a map of {side} cells with padding {padding}")
    if not ceil:
        return room // stride + 1
    cells = math.ceil(room / stride) + 1
    return cells - 1 if (cells - 1) * stride >= side + padding else cells


@dataclass(frozen=True)
class _Window:
    """What a unit of a layer looks at in the map below; by default at its own place only."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil: bool = False


@dataclass(frozen=True)
class _Map:
    """How the cells of a map lie in the crop: how many a side, how much each sees, how far apart, from where."""

    cells: int
    size: int
    stride: int
    start: int


class _Tracer(fx.Tracer):
    """Takes apart what consists of other modules, and nothing that works place by place."""

    def is_leaf_module(self, module, name):
        return isinstance(module, _POINTWISE) or super().is_leaf_module(module, name)


def module_name(network, layer: str) -> str:
    """The name of the module behind a layer, inside trunk and pool5, such as ``"trunk.conv3"`` of ``"conv3"``.

    Raises
    ------
    SettingsError
        If there is no such layer, or its units have no place in the crop.
    """
    if layer in ("fc6", "fc7", "classifier"):
        raise SettingsError(
            f"{layer} has no receptive fields: each of its units sees the whole crop; take pool5 or a layer before"
        )
    names = dict(network.module.named_modules())
    for name in (layer, f"trunk.{layer}"):
        if name in names and name.split(".")[0] in ("trunk", "pool5"):
            return name
    convolutions = [name for name, module in names.items() if isinstance(module, nn.Conv2d)]
    raise SettingsError(
        f"{network.name} has no layer {layer!r}; there are pool5 and, among others, {', '.join(convolutions[:8])}"
    )


def _nodes_up_to(module: nn.Module, name: str) -> list[fx.Node]:
    """The module's input, all operations on the way to the output of its part `name`, and that; in order."""
    try:
        nodes = list(_Tracer().trace(module).nodes)
    except Exception as error:  # whatever the traced code raises: control flow that depends on values, say
        raise SettingsError(f"the network's layers cannot be followed: {error}") from error
    inside = [node for node in nodes if name in node.meta.get("nn_module_stack", {})]
    if not inside:
        raise SettingsError(f"the network does not use its layer {name!r}")
    needed = {inside[-1]}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed]


def _window_of(node: fx.Node, module: nn.Module) -> _Window:
    """What an operation looks at; an operation it cannot tell of is refused."""
    if node.op == "call_module":
        layer = module.get_submodule(node.target)
        if isinstance(layer, _POINTWISE):
            return _Window()
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            return _Window(
                kernel=_equal_sides(layer.kernel_size, node),
                stride=_equal_sides(layer.stride, node),
                padding=_equal_sides(layer.padding, node),
                dilation=_equal_sides(getattr(layer, "dilation", 1), node),
                ceil=getattr(layer, "ceil_mode", False),
            )
    elif node.op == "call_function":
        channels_joined = node.target is torch.cat and 1 in (*node.args[1:], node.kwargs.get("dim"))
        if channels_joined or node.target in _POINTWISE_FUNCTIONS:
            return _Window()
    raise SettingsError(
        f"the receptive field cannot be followed through {node.name}, {_kind(node, module)}: it is known for "
        "convolutions, max and average pooling, and for what works place by place"
    )


def _kind(node: fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return type(module.get_submodule(node.target)).__name__
    return getattr(node.target, "__name__", str(node.target))


def _equal_sides(value, node: fx.Node) -> int:
    """A setting that is the same for rows and columns."""
    sides = {value} if isinstance(value, int | str) else set(value)
    if len(sides) > 1 or not all(isinstance(side, int) for side in sides):
        raise SettingsError(
            f"{node.name} treats rows and columns unlike: {value!r}; only equal numbers are known"
        )
    return sides.pop()


def _above(below: _Map, window: _Window) -> _Map:
    """The map that a window makes of the one below."""
    reach = window.dilation * (window.kernel - 1)
    return _Map(
        cells=output_side(
            below.cells,
            window.kernel,
            window.stride,
            window.padding,
            dilation=window.dilation,
            ceil=window.ceil,
        ),
        size=below.size + reach * below.stride,
        stride=below.stride * window.stride,
        start=below.start - window.padding * below.stride,
    )


def _joined(maps: list[_Map], node: fx.Node) -> _Map:
    """Branches that end at one place: there, a unit sees what any of them sees."""
    if len({(each.cells, each.stride) for each in maps}) > 1:
        raise SettingsError(f"{node.name} joins maps of unlike geometry: {maps}")
    start = min(each.start for each in maps)
    end = max(each.start + each.size for each in maps)
    return _Map(maps[0].cells, end - start, maps[0].stride, start)


def _seen_below(seen: np.ndarray, cells: int, window: _Window) -> np.ndarray:
    """Which of the `cells` below a layer are seen [units, cells], given those seen of its own map."""
    below = np.zeros((len(seen), cells), dtype=bool)
    first = np.arange(seen.shape[1]) * window.stride - window.padding
    for tap in range(window.kernel):
        cell = first + tap * window.dilation
        exists = (cell >= 0) & (cell < cells)
        below[:, cell[exists]] |= seen[:, exists]
    return below


def _first_and_behind(seen: np.ndarray) -> np.ndarray:
    """First True of each row and the place behind the last one, [N, 2]; 0, 0 where there is none."""
    first = seen.argmax(axis=1)
    behind = seen.shape[1] - seen[:, ::-1].argmax(axis=1)
    return np.where(seen.any(axis=1)[:, None], np.stack([first, behind], axis=1), 0)
