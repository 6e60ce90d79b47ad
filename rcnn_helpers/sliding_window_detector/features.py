"""pool5 of all windows of a picture, from convolutions that the windows share.

A window's pool5 differs from that of the same square cut out and sent through the network by itself, in one point:
at the borders of a crop each layer pads with zeros, while around a window there is picture. A cell whose receptive
field lies inside the crop is the same; of the T-Net's 6x6 cells those are the middle 2x2, as they see 195 of 227
pixels; AlexNet and SqueezeNet have none. At the borders of the picture itself, windows are padded as crops are.
`pool5_of_boxes` computes what a window at any box would have, by cutting out more than the crop.

Memory is bounded: a scaled picture is worked through in tiles, with enough around each that the tiling makes no
difference.
"""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.feature_store import choose_precision
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.pool5 import in_precision
from rcnn_helpers.sliding_window_detector.windows import Level, WindowGeometry
from rcnn_helpers.warping import Warper

# Longest side of a tile in pixels: a map of 64 channels at half its resolution, SqueezeNet's first, takes 67 MB.
TILE = 1024
# Windows whose features are in memory at a time: 19 MB of the quarter T-Net's pool5, 151 MB of SqueezeNet's.
CHUNK = 2048
# Crops of `pool5_of_boxes` at a time.
_BATCH = 16


def dense_pool5(
    network,
    image: np.ndarray,
    levels: Sequence[Level],
    *,
    precision: str = "auto",
    tile: int = TILE,
    chunk: int = CHUNK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compute pool5 of all windows of a picture.

    Parameters
    ----------
    network : Network
    image : uint8 [H, W, 3], RGB
    levels : sequence of Level
        As `pyramid` makes them for a picture of this size.
    precision : {"auto", "float32", "bfloat16", "float16"}
        See `rcnn_helpers.features.extract`.
    tile : int
        Longest side of what goes through the network at once, in pixels; a tile has at least one window.
    chunk : int
        Windows that are yielded at a time, at most.

    Yields
    ------
    boxes : float32 [N, 4]
        In pixels of the picture. All windows come, level by level, but within a level tile by tile.
    pool5 : float32 [N, D]
        Flattened as by `Network.features`.
    """
    converted = in_precision(network, choose_precision(precision, network.device))
    pixels = _normalised(image, network)
    for level in levels:
        wide = cv2.resize(pixels, (level.scaled[1], level.height), interpolation=cv2.INTER_LINEAR)
        boxes = level.boxes().reshape(level.rows, level.columns, 4)
        for rows, columns in _tiles(level, tile):
            windows = _tile_windows(converted, wide, level, rows, columns)
            tile_boxes = boxes[rows, columns]
            rows_at_once = max(1, chunk // windows.shape[1])
            for start in range(0, len(windows), rows_at_once):
                part = slice(start, start + rows_at_once)
                pool5 = windows[part].flatten(0, 1).flatten(1).float().cpu().numpy()
                yield from _in_chunks(tile_boxes[part].reshape(-1, 4), pool5, chunk)


def _in_chunks(boxes, pool5, chunk):
    """What a single row of windows has beyond a chunk comes in chunks of its own."""
    for start in range(0, len(boxes), chunk):
        yield boxes[start : start + chunk], pool5[start : start + chunk]


def _normalised(image: np.ndarray, network) -> np.ndarray:
    """Pixels as the network reads them, float32 [H, W, 3]."""
    pixels = (image.astype(np.float32) - np.float32(network.mean)) / np.float32(network.std)
    return np.ascontiguousarray(pixels[..., ::-1]) if network.bgr else pixels


def _tiles(level: Level, tile: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of windows, so many that a tile with its margins is no longer than `tile` pixels."""
    geometry = level.geometry
    n = max(1, 1 + (tile - geometry.size - 2 * geometry.margin) // geometry.stride)
    for top in range(0, level.rows, n):
        for left in range(0, level.columns, n):
            yield slice(top, min(top + n, level.rows)), slice(left, min(left + n, level.columns))


def _tile_windows(network, wide, level: Level, rows: slice, columns: slice) -> torch.Tensor:
    """pool5 of some windows of a level, [rows, columns, channels, cells, cells]; a view, windows share memory."""
    geometry = level.geometry
    y1, y2, above = _extent(rows, level.rows, geometry)
    x1, x2, left = _extent(columns, level.columns, geometry)
    batch = _pixels(wide, level, y1, y2, x1, x2)
    with torch.inference_mode():
        batch = torch.from_numpy(batch).to(network.device, network.dtype)
        cells = network.module.trunk(batch.permute(2, 0, 1)[None])[0]  # [channels, cells, cells]
        step = geometry.stride // geometry.cell
        height = (rows.stop - rows.start - 1) * step + geometry.cells
        width = (columns.stop - columns.start - 1) * step + geometry.cells
        cells = cells[:, above : above + height, left : left + width]
        return _pooled_windows(cells, network.module.pool5, geometry.cells, step)


def _extent(windows: slice, count: int, geometry: WindowGeometry) -> tuple[int, int, int]:
    """What a tile sees along one side: its first pixel, the one behind its last, and cells before its windows."""
    first = windows.start * geometry.stride
    end = (windows.stop - 1) * geometry.stride + geometry.size
    whole = (count - 1) * geometry.stride + geometry.size
    start = max(0, first - geometry.margin)
    return start, min(whole, end + geometry.margin), (first - start) // geometry.cell


def _pixels(wide, level: Level, y1: int, y2: int, x1: int, x2: int) -> np.ndarray:
    """A part of the scaled picture with its border of context; outside of the picture there is the mean, 0."""
    height, width = level.scaled
    padding = level.geometry.padding
    pixels = np.zeros((y2 - y1, x2 - x1, 3), dtype=np.float32)
    top, bottom = np.clip([y1 - padding, y2 - padding], 0, height)
    left, right = np.clip([x1 - padding, x2 - padding], 0, width)
    inside = pixels[top + padding - y1 : bottom + padding - y1, left + padding - x1 : right + padding - x1]
    points = np.clip((np.arange(top, bottom) + 0.5) * level.height / height - 0.5, 0, level.height - 1)
    lower = points.astype(int)
    weight = (points - lower).astype(np.float32)[:, None, None]
    # Between two rows, in place: a picture is scaled anew for each level, and this is a good part of its time.
    np.take(wide[:, left:right], lower + 1, axis=0, out=inside, mode="clip")
    below = wide[lower, left:right]
    inside -= below
    inside *= weight
    inside += below
    return pixels


def _pooled_windows(cells: torch.Tensor, pool, side: int, step: int) -> torch.Tensor:
    """Max-pool a map and cut out every window, [rows, columns, channels, n, n]; a view.

    Parameters
    ----------
    cells : Tensor [channels, height, width]
        The map before pool5.
    pool : nn.MaxPool2d
    side : int
        Of a window, in cells of `cells`.
    step : int
        From window to window, in cells.
    """
    shared = math.gcd(step, pool.stride)
    pooled = F.max_pool2d(cells[None], pool.kernel_size, shared)[0].contiguous()
    channels, height, width = pooled.shape
    n = (side - pool.kernel_size) // pool.stride + 1
    spread, step = pool.stride // shared, step // shared  # between a window's cells, and between windows
    reach = (n - 1) * spread + 1
    rows, columns = (height - reach) // step + 1, (width - reach) // step + 1
    plane, row, cell = pooled.stride()
    return pooled.as_strided(
        (rows, columns, channels, n, n), (step * row, step * cell, plane, spread * row, spread * cell)
    )


def pool5_of_boxes(
    network, image: np.ndarray, boxes, geometry: WindowGeometry, *, precision: str = "auto"
) -> np.ndarray:
    """Compute what pool5 would be if windows lay exactly at these boxes.

    Each box is warped as for R-CNN, but with so much of the picture around the crop that no zero that a layer
    pads with reaches the window. It serves to train on objects as windows see them. (Beyond the borders of the
    picture the crop shows the mean, where a scaled picture ends and its maps are padded with zeros; so windows
    near a border differ.)

    Parameters
    ----------
    network : Network
    image : uint8 [H, W, 3], RGB
    boxes : array-like [N, 4]
    geometry : WindowGeometry
    precision : as for `dense_pool5`

    Returns
    -------
    float32 [N, D]
    """
    precision = choose_precision(precision, network.device)
    converted = in_precision(network, precision)
    warper = Warper(
        image,
        size=geometry.size + 2 * geometry.margin,
        padding=geometry.padding + geometry.margin,
        mean=network.mean,
        std=network.std,
        bgr=network.bgr,
        out_dtype=PRECISIONS[precision],
        device=network.device,
    )
    boxes = as_boxes(boxes)
    found = np.empty((len(boxes), network.feature_dim("pool5")), dtype=np.float32)
    skip = geometry.margin // geometry.cell
    window = np.s_[:, :, skip : skip + geometry.cells, skip : skip + geometry.cells]
    for start in range(0, len(boxes), _BATCH):
        part = slice(start, start + _BATCH)
        with torch.inference_mode():
            cells = converted.module.trunk(warper(boxes[part]))[window]
            found[part] = converted.module.pool5(cells).flatten(1).float().cpu().numpy()
    return found
