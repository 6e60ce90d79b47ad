"""Where the windows lie: the levels of the pyramid, and the box of each window in the picture.

A window is as large as the network's crops, 227 pixels of the scaled picture for the T-Net. As in a crop, the
outer 16 pixels are context (App. A), so the window's box is the inner 195. Windows begin every 32 pixels, the
stride of pool5; with half of that, the stride of the layer before it, there are four times as many (OverFeat's
offsets).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.boxes import clip
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.settings import CONTEXT_PADDING

# The square root of the smallest window's area, in pixels of the picture, and the factor from size to size.
MIN_SIZE = 32.0
SIZE_STEP = 2**0.5
# Width divided by height.
ASPECT_RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class WindowGeometry:
    """How windows lie in a scaled picture, and in the maps that the network makes of it; rows and columns alike.

    Attributes
    ----------
    size : int
        Side of a window in pixels, the side of the network's crops.
    padding : int
        Pixels of context on each side of a window's box.
    stride : int
        Pixels from window to window.
    cell : int
        Pixels from cell to cell of the map before pool5.
    cells : int
        Side of a window in cells of that map.
    margin : int
        So far outside of the window lie pixels that its features depend on, rounded up to whole cells. A crop has
        nothing there: each layer of it pads with zeros.
    """

    size: int
    padding: int
    stride: int
    cell: int
    cells: int
    margin: int

    @property
    def inner(self) -> int:
        """Side of a window's box in pixels of the scaled picture: 195 for the T-Net."""
        return self.size - 2 * self.padding


@dataclass(frozen=True)
class Level:
    """One scaled picture of the pyramid, and its grid of windows.

    The picture is scaled so that the grid fits it: the boxes of the outer windows touch its borders.

    Attributes
    ----------
    height, width : int
        Of the picture.
    rows, columns : int
        Of windows.
    geometry : WindowGeometry
    """

    height: int
    width: int
    rows: int
    columns: int
    geometry: WindowGeometry

    def __len__(self) -> int:
        """Number of windows."""
        return self.rows * self.columns

    @property
    def scaled(self) -> tuple[int, int]:
        """Height and width of the scaled picture in pixels."""
        inner, stride = self.geometry.inner, self.geometry.stride
        return inner + (self.rows - 1) * stride, inner + (self.columns - 1) * stride

    @property
    def window(self) -> tuple[float, float]:
        """Height and width of a window's box in pixels of the picture."""
        scaled_height, scaled_width = self.scaled
        inner = self.geometry.inner
        return inner * self.height / scaled_height, inner * self.width / scaled_width

    def boxes(self) -> np.ndarray:
        """The boxes of all windows in pixels of the picture, in reading order, float32 [rows * columns, 4]."""
        scaled_height, scaled_width = self.scaled
        window_height, window_width = self.window
        tops = np.arange(self.rows) * (self.geometry.stride * self.height / scaled_height)
        lefts = np.arange(self.columns) * (self.geometry.stride * self.width / scaled_width)
        y1, x1 = (corner.ravel() for corner in np.meshgrid(tops, lefts, indexing="ij"))
        boxes = np.stack([x1, y1, x1 + window_width, y1 + window_height], axis=1)
        return clip(boxes.astype(np.float32), self.height, self.width)


def window_geometry(network, *, padding: int = CONTEXT_PADDING, stride: int | None = None) -> WindowGeometry:
    """Work out the windows of a network from the shapes of its layers.

    Parameters
    ----------
    network : Network
        Its pool5 is a max pooling without padding, as in all networks of the course.
    padding : int
        Context on each side of a window's box, in pixels of the scaled picture.
    stride : int, optional
        Pixels from window to window: a multiple of the stride of the layer before pool5. By default pool5's own,
        32 for the T-Net, a sixth of a box.

    Raises
    ------
    SettingsError
        If the network's layers cannot be followed, or the padding or the stride does not fit it.
    """
    from torch import nn

    from rcnn_helpers.units import field_geometry

    field = field_geometry(network, "pool5")
    pool = network.module.pool5
    plain = isinstance(pool, nn.MaxPool2d) and (pool.padding, pool.dilation) == (0, 1)
    if not plain:
        raise SettingsError(
            f"pool5 of {network.name} is {pool}; windows are known for max pooling without padding"
        )
    if not 0 <= 2 * padding < network.input_size:
        raise SettingsError(
            f"padding {padding} leaves nothing of a window of {network.input_size} pixels; "
            f"take 0 to {(network.input_size - 1) // 2}"
        )
    cell = field.stride // pool.stride
    stride = field.stride if stride is None else stride
    if stride < 1 or stride % cell:
        raise SettingsError(
            f"stride {stride} is no multiple of {cell} pixels, a cell of the map before pool5"
        )
    before = -field.start
    after = field.start + (field.cells - 1) * field.stride + field.size - network.input_size
    return WindowGeometry(
        size=network.input_size,
        padding=padding,
        stride=stride,
        cell=cell,
        cells=(field.cells - 1) * pool.stride + pool.kernel_size,
        margin=math.ceil(max(before, after) / cell) * cell,
    )


def pyramid(
    height: int,
    width: int,
    geometry: WindowGeometry,
    *,
    min_size: float = MIN_SIZE,
    size_step: float = SIZE_STEP,
    aspect_ratios: Sequence[float] = ASPECT_RATIOS,
) -> list[Level]:
    """Choose the levels for a picture: all sizes and shapes of window that fit into it, and the whole picture.

    Parameters
    ----------
    height, width : int
        Of the picture.
    geometry : WindowGeometry
    min_size : float
        Square root of the smallest window's area, in pixels of the picture.
    size_step : float
        Each size is so many times the one before.
    aspect_ratios : sequence of float
        Width divided by height.

    Returns
    -------
    list of Level
        Largest windows first. To make the grid fit, windows become up to a twelfth larger or smaller than asked
        for; of levels that are equal then, one stays.

    Raises
    ------
    SettingsError
        If a number is out of range.

    Examples
    --------
    >>> geometry = WindowGeometry(size=227, padding=16, stride=32, cell=16, cells=13, margin=64)
    >>> [(level.rows, level.columns) for level in pyramid(300, 400, geometry, min_size=150, aspect_ratios=[1])]
    [(1, 1), (4, 7), (7, 11)]
    """
    if min(height, width) < 1:
        raise SettingsError(f"a picture of {width} x {height} pixels has no windows")
    if not (min_size > 0 and size_step > 1 and len(aspect_ratios) > 0 and min(aspect_ratios) > 0):
        raise SettingsError(
            f"min_size must be above 0, size_step above 1 and aspect ratios above 0; got {min_size}, {size_step} "
            f"and {list(aspect_ratios)}"
        )
    grids = {(1, 1): None}  # a dict keeps the order and drops what comes twice
    n_sizes = 1 + int(max(0, math.log(max(height, width) / min_size) / math.log(size_step)))
    for size in (min_size * size_step**k for k in reversed(range(n_sizes))):
        for ratio in aspect_ratios:
            window_height, window_width = size / ratio**0.5, size * ratio**0.5
            if window_height <= height and window_width <= width:
                grids[_places(height, window_height, geometry), _places(width, window_width, geometry)] = None
    return [Level(height, width, rows, columns, geometry) for rows, columns in grids]


def _places(length: int, window: float, geometry: WindowGeometry) -> int:
    """Number of windows along a side that brings their size nearest to the one asked for."""
    scaled_length = length / window * geometry.inner
    return 1 + round((scaled_length - geometry.inner) / geometry.stride)


def window_boxes(height: int, width: int, geometry: WindowGeometry, **options) -> np.ndarray:
    """Return the boxes of all windows of a picture, largest first, float32 [N, 4].

    Parameters
    ----------
    height, width, geometry, **options : as for `pyramid`
    """
    return np.concatenate([level.boxes() for level in pyramid(height, width, geometry, **options)])
