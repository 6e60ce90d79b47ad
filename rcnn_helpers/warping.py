"""Warping: from a box of any shape to the fixed square a network reads (sec. 2.1, App. A, Fig. 7).

Four transformations, each with a padding of `padding` pixels, counted in the crop:

- ``"warp"`` (Fig. 7 D, the paper's choice): the box is stretched to the square, whatever its shape.
- ``"square_context"`` (Fig. 7 B): the tightest square around the box is scaled to the crop.
- ``"square"`` (Fig. 7 C): the same square, but what lies outside the box and its padding is filled.
- ``"original"`` (Fig. 7 A): the box at its own scale in the middle of the crop; of a box larger than the crop
  only the middle is seen.

Padding makes room for the surroundings of the box: with ``padding=16`` and a crop of 227 pixels the box
itself takes the inner 195, and 16 pixels of context, warped along with it, lie on each side. Where the crop
leaves the image (and in ``"square"`` and ``"original"`` around the box) it is filled: with the mean colour,
which is zero once the network's mean is subtracted, or by repeating the border pixels.

Three functions stand on one `crop_geometry`. `warp_reference` is the definition: one box, plain NumPy.
`warp_boxes` does thousands at a time, on the CPU in numba and elsewhere in torch. All of them resample
bilinearly without antialiasing, as the original code does; the centre of pixel 0 lies at 0.5, so crop pixel i
looks at ``(i + 0.5) * source / target - 0.5``, as `cv2.resize` does. They agree to float32 rounding.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.settings import CONTEXT_PADDING

MODES = ("warp", "square_context", "square", "original")
FILLS = ("mean", "replicate")

# Crops made at a time by the torch path: 4 taps of 3 channels in float32 at 227 pixels take 2.5 MB a crop.
_TORCH_CHUNK = 256
# Fewer crops than this are not worth waking another thread for.
_CROPS_PER_THREAD = 8


@dataclass(frozen=True)
class CropGeometry:
    """Which pixels of the image go to which pixels of the crop, for N boxes.

    Attributes
    ----------
    window : int64 [N, 4]
        What the whole crop would show, in image pixels; it may leave the image.
    source : int64 [N, 4]
        The part of the window that is really read, in image pixels.
    target : int64 [N, 4]
        Where that part comes to lie, in crop pixels. The rest of the crop is filled.

    All are half-open ``(x1, y1, x2, y2)``.
    """

    window: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.window)


def round_half_away(values) -> np.ndarray:
    """Round to the nearest integer, halves away from zero as MATLAB does (NumPy rounds them to even)."""
    values = np.asarray(values, dtype=np.float64)
    return (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64)


def crop_geometry(
    boxes,
    height: int,
    width: int,
    *,
    size: int = 227,
    mode: str = "warp",
    padding: int = CONTEXT_PADDING,
) -> CropGeometry:
    """Work out the crops of `boxes` in an image of `height` x `width` pixels.

    The rounding is that of the original code (``rcnn_im_crop.m``), pixel by pixel: with
    ``scale = size / (size - 2 * padding)`` the window is the rounded ``centre +- half side * scale`` in
    1-based inclusive coordinates, so it is one pixel wider to the right and to the bottom than arithmetic on
    half-open boxes would make it. Only an unpadded ``"warp"`` takes the box as it is. ``"square"`` and
    ``"original"`` are not in that code and follow the same rules.

    Parameters
    ----------
    boxes : array-like [N, 4]
        A side shorter than one pixel counts as one pixel.
    height, width : int
        Size of the image.
    size : int
        Side of the crop.
    mode : {"warp", "square_context", "square", "original"}
    padding : int
        Pixels of context on each side of the box, in the crop.

    Raises
    ------
    ValueError
        If an option is out of range, a box is inverted, or a box lies wholly outside the image.
    """
    if mode not in MODES:
        raise ValueError(f"unknown warp mode {mode!r}; choose one of {', '.join(MODES)}")
    if padding < 0 or 2 * padding >= size:
        raise ValueError(
            f"padding {padding} does not fit a crop of {size} pixels; take 0 to {(size - 1) // 2}"
        )
    boxes = _at_least_one_pixel(as_boxes(boxes).astype(np.float64), height, width)

    side = boxes[:, 2:] - boxes[:, :2]  # [N, 2]: width, height
    half = side / 2
    centre = boxes[:, :2] + half
    if mode == "original":
        start = round_half_away(centre - size / 2)
        window = np.concatenate([start, start + size], axis=1)
        allowed = _rounded_box(centre, half + padding)
    elif mode == "warp" and padding == 0:
        window = allowed = round_half_away(boxes)
    else:
        scale = size / (size - 2 * padding)
        framed = half if mode == "warp" else np.repeat(half.max(axis=1, keepdims=True), 2, axis=1)
        reach = framed * scale
        window = _rounded_box(centre, reach)
        # In "square" the short side keeps the box and its padding only.
        allowed = _rounded_box(centre, reach - (framed - half)) if mode == "square" else window

    # A window that rounding has pushed out of the image altogether still reads the pixel next to it.
    limits = np.array([width, height])
    start = np.clip(np.maximum(window[:, :2], allowed[:, :2]), 0, limits - 1)
    end = np.clip(np.minimum(window[:, 2:], allowed[:, 2:]), start + 1, limits)
    source = np.concatenate([start, end], axis=1)
    return CropGeometry(window, source, _target(window, source, size))


def _at_least_one_pixel(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Widen sides shorter than a pixel to one, inside the image; refuse boxes that do not touch it."""
    limits = np.array([width, height], dtype=np.float64)
    start, end = boxes[:, :2], boxes[:, 2:]
    short = (end - start < 1) & (start <= limits) & (end >= 0)
    start = np.where(short, np.clip(np.floor(start), 0, limits - 1), start)
    end = np.where(short, start + 1, end)
    outside = ((start >= limits) | (end <= 0)).any(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"box {first} is {boxes[first].tolist()} and lies outside the image, {width} x {height} pixels; "
            "do the boxes belong to this image, at this scale?"
        )
    return np.concatenate([start, end], axis=1)


def _rounded_box(centre: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Round ``centre +- reach`` as the original does: 1-based, both ends included; returned half-open."""
    first = round_half_away(centre + 1 - reach)
    last = round_half_away(centre + 1 + reach)
    return np.concatenate([first - 1, last], axis=1)


def _target(window: np.ndarray, source: np.ndarray, size: int) -> np.ndarray:
    """Where `source` comes to lie when `window` is scaled to the crop: offsets and lengths rounded apart.

    A sliver of image that rounds to nothing keeps one pixel, so that there is always something to show.
    """
    scale = size / (window[:, 2:] - window[:, :2])  # [N, 2]
    start = round_half_away((source[:, :2] - window[:, :2]) * scale)
    length = round_half_away((source[:, 2:] - source[:, :2]) * scale)
    start = np.clip(start, 0, size - 1)
    end = np.minimum(start + np.maximum(length, 1), size)
    return np.concatenate([start, end], axis=1)


def warp_reference(
    image: np.ndarray,
    box,
    *,
    size: int = 227,
    mode: str = "warp",
    padding: int = CONTEXT_PADDING,
    fill: str = "mean",
    mean=(0.0, 0.0, 0.0),
) -> np.ndarray:
    """Warp one box the slow and plain way: the definition `warp_boxes` is tested against.

    Parameters
    ----------
    image : uint8 [H, W, 3]
    box : four numbers ``(x1, y1, x2, y2)``
    size, mode, padding : see `crop_geometry`
    fill : {"mean", "replicate"}
    mean : three floats in 0..255
        The colour of ``fill="mean"``, in the order of the image's channels.

    Returns
    -------
    float32 [size, size, 3], pixel values in 0..255

    Examples
    --------
    >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> bool((warp_reference(image, [0, 0, 4, 4], size=4, padding=0) == image).all())
    True
    """
    _check_image(image)
    _check_fill(fill)
    height, width = image.shape[:2]
    geometry = crop_geometry([box], height, width, size=size, mode=mode, padding=padding)
    x1, y1, x2, y2 = geometry.source[0]
    left, top, right, bottom = geometry.target[0]

    patch = image[y1:y2, x1:x2].astype(np.float64)
    rows = _sample_points(bottom - top, y2 - y1)
    columns = _sample_points(right - left, x2 - x1)
    resized = _interpolate(_interpolate(patch, rows, axis=0), columns, axis=1)

    crop = np.empty((size, size, 3))
    if fill == "mean":
        crop[:] = mean
        crop[top:bottom, left:right] = resized
    else:
        around = ((top, size - bottom), (left, size - right), (0, 0))
        crop[:] = np.pad(resized, around, mode="edge")
    return crop.astype(np.float32)


def _sample_points(target_length: int, source_length: int) -> np.ndarray:
    """Where each pixel centre of the target lies in the source, in pixels, between the first and the last."""
    points = (np.arange(target_length) + 0.5) * source_length / target_length - 0.5
    return np.clip(points, 0, source_length - 1)


def _interpolate(pixels: np.ndarray, points: np.ndarray, *, axis: int) -> np.ndarray:
    """Read `pixels` along `axis` at fractional `points`, linearly between neighbours."""
    lower = np.floor(points).astype(int)
    upper = np.minimum(lower + 1, pixels.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(points)
    weight = (points - lower).reshape(shape)
    return (1 - weight) * pixels.take(lower, axis=axis) + weight * pixels.take(upper, axis=axis)


def warp_boxes(
    image: np.ndarray,
    boxes,
    *,
    size: int = 227,
    mode: str = "warp",
    padding: int = CONTEXT_PADDING,
    fill: str = "mean",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    bgr: bool = False,
    out_dtype=None,
    device="cpu",
    out=None,
    threads: int | None = None,
):
    """Warp many boxes of one image into a batch a network can read.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    boxes : array-like [N, 4]
    size, mode, padding : see `crop_geometry`
    fill : {"mean", "replicate"}
    mean, std : three floats each, or one for all channels; RGB, in 0..255
        The batch holds ``(pixel - mean) / std``.
    bgr : bool
        Put the channels of the batch in the order blue, green, red, as Caffe's networks want them.
    out_dtype : torch.dtype, optional
        float32 (default), bfloat16 or float16.
    device : str or torch.device
        Where the batch shall lie; it is made there.
    out : torch.Tensor [M, 3, size, size], optional
        A buffer in ``channels_last`` memory with M >= N, on the CPU and of float32 or bfloat16, to write
        into; see `crop_buffer`. It saves the time the system needs to find fresh memory for each batch.
    threads : int, optional
        Threads of the CPU path; by default as many as torch uses.

    Returns
    -------
    torch.Tensor [N, 3, size, size] in ``channels_last`` memory
    """
    import torch

    _check_image(image)
    _check_fill(fill)
    dtype = out_dtype or (out.dtype if out is not None else torch.float32)
    geometry = crop_geometry(boxes, *image.shape[:2], size=size, mode=mode, padding=padding)
    mean = np.broadcast_to(np.asarray(mean, dtype=np.float32), 3)
    std = np.broadcast_to(np.asarray(std, dtype=np.float32), 3)
    if torch.device(device).type != "cpu":
        return _warp_on_device(image, geometry, size, fill, mean, std, bgr, dtype, device)

    computed = dtype if dtype in (torch.float32, torch.bfloat16) else torch.float32
    if out is None:
        out = crop_buffer(len(geometry), size, computed)
    elif len(out) < len(geometry) or tuple(out.shape[1:]) != (3, size, size) or out.dtype != computed:
        raise ValueError(
            f"the buffer holds {list(out.shape)} of {out.dtype}, but {len(geometry)} crops of {size} pixels "
            f"of {computed} are asked for; make one with crop_buffer"
        )
    crops = out[: len(geometry)]
    _warp_on_cpu(image, geometry, fill, mean, std, bgr, crops, threads or torch.get_num_threads())
    return crops.to(dtype)


def crop_buffer(n: int, size: int, dtype):
    """Room for `n` crops that `warp_boxes` can write into: [n, 3, size, size] in ``channels_last`` memory."""
    import torch

    return torch.empty((n, size, size, 3), dtype=dtype).permute(0, 3, 1, 2)


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"the image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}; "
            "images.read_image makes one"
        )


def _check_fill(fill: str) -> None:
    if fill not in FILLS:
        raise ValueError(f"unknown fill {fill!r}; choose one of {', '.join(FILLS)}")


def _warp_on_cpu(image, geometry, fill, mean, std, bgr, crops, threads) -> None:
    """Share the boxes out over threads, each of which runs the numba kernel without the GIL."""
    import torch

    memory = crops.permute(0, 2, 3, 1)
    if not memory.is_contiguous():
        raise ValueError("the buffer is not in channels_last memory; make one with crop_buffer")
    n, size = memory.shape[:2]
    rows = memory.reshape(n, size, size * 3)
    nothing = np.empty((0, 0, 0), dtype=np.float32)
    if crops.dtype == torch.bfloat16:
        floats, bits = nothing, rows.view(torch.uint16).numpy()
    else:
        floats, bits = rows.numpy(), nothing.astype(np.uint16)
    order = np.array([2, 1, 0] if bgr else [0, 1, 2])
    pixels = np.ascontiguousarray(image)

    def work(part: slice) -> None:
        _warp_kernel(
            pixels,
            geometry.source[part],
            geometry.target[part],
            order,
            mean,
            1 / std,
            fill == "replicate",
            floats[part],
            bits[part],
        )

    workers = max(1, min(threads, os.cpu_count() or 1, n // _CROPS_PER_THREAD))
    edges = [n * k // workers for k in range(workers + 1)]
    parts = [slice(start, end) for start, end in zip(edges, edges[1:], strict=False)]
    if workers == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(workers - 1) as pool:
            others = [pool.submit(work, part) for part in parts[1:]]
            work(parts[0])
            for other in others:
                other.result()


@njit(cache=True, nogil=True)
def _warp_kernel(pixels, source, target, order, mean, inverse_std, replicate, floats, bits):
    """Warp each box row by row into `floats` [N, S, 3 S] or, as bfloat16, into `bits` [N, S, 3 S].

    Bilinear interpolation is separable: a row of the image is first stretched sideways, once, and kept while
    the rows of the crop that lie between it and the next are blended from the two. The blend runs over memory
    in order; subtracting the mean is linear, so it is done on the stretched rows.
    """
    as_bits = bits.size > 0
    size = bits.shape[1] if as_bits else floats.shape[1]
    x_lower, x_upper = np.empty(size, np.int64), np.empty(size, np.int64)
    y_lower, y_upper = np.empty(size, np.int64), np.empty(size, np.int64)
    x_weight, y_weight = np.empty(size, np.float32), np.empty(size, np.float32)
    upper_row, lower_row = np.empty(size * 3, np.float32), np.empty(size * 3, np.float32)
    blended = np.empty(size * 3, np.float32)
    blended_bits = blended.view(np.uint32)

    for k in range(len(source)):
        _taps(source[k, 0], source[k, 2], target[k, 0], target[k, 2], x_lower, x_upper, x_weight)
        _taps(source[k, 1], source[k, 3], target[k, 1], target[k, 3], y_lower, y_upper, y_weight)
        left, top, right, bottom = target[k]
        if replicate:
            left, top, right, bottom = 0, 0, size, size
        upper_row[:] = 0
        lower_row[:] = 0
        upper_y, lower_y = -1, -1
        for y in range(size):
            if y < top or y >= bottom:
                blended[:] = 0
            else:
                if y_lower[y] == lower_y:
                    upper_row, lower_row = lower_row, upper_row
                    upper_y, lower_y = lower_y, upper_y
                if y_lower[y] != upper_y:
                    upper_y = y_lower[y]
                    row = pixels[upper_y]
                    _stretch(
                        row, x_lower, x_upper, x_weight, left, right, order, mean, inverse_std, upper_row
                    )
                if y_upper[y] != lower_y:
                    lower_y = y_upper[y]
                    row = pixels[lower_y]
                    _stretch(
                        row, x_lower, x_upper, x_weight, left, right, order, mean, inverse_std, lower_row
                    )
                _blend(upper_row, lower_row, y_weight[y], blended)
            if as_bits:
                _to_bfloat16(blended_bits, bits[k, y])
            else:
                floats[k, y] = blended


@njit(cache=True, nogil=True)
def _taps(source_start, source_end, target_start, target_end, lower, upper, weight):
    """For each crop pixel of one axis, the two image pixels it lies between and the weight of the second."""
    ratio = (source_end - source_start) / (target_end - target_start)
    for i in range(len(lower)):
        inside = min(max(i, target_start), target_end - 1)
        point = source_start + (inside - target_start + 0.5) * ratio - 0.5
        point = min(max(point, float(source_start)), float(source_end - 1))
        lower[i] = int(point)
        upper[i] = min(lower[i] + 1, source_end - 1)
        weight[i] = point - lower[i]


@njit(cache=True, nogil=True)
def _stretch(row, lower, upper, weight, left, right, order, mean, inverse_std, out):
    """Interpolate one row of the image sideways and normalise it, for the columns [left, right) only."""
    for c in range(3):
        channel = order[c]
        shift, factor = mean[channel], inverse_std[channel]
        for x in range(left, right):
            a = np.float32(row[lower[x], channel])
            b = np.float32(row[upper[x], channel])
            out[3 * x + c] = (a + weight[x] * (b - a) - shift) * factor


@njit(cache=True, nogil=True)
def _blend(upper_row, lower_row, weight, out):
    """Blend two stretched rows."""
    for i in range(len(out)):
        out[i] = upper_row[i] + weight * (lower_row[i] - upper_row[i])


@njit(cache=True, nogil=True)
def _to_bfloat16(float_bits, out):
    """Keep the upper 16 bits of float32 numbers, rounded to nearest, ties to even."""
    for i in range(len(out)):
        tie = (float_bits[i] >> np.uint32(16)) & np.uint32(1)
        out[i] = (float_bits[i] + np.uint32(0x7FFF) + tie) >> np.uint32(16)


def _warp_on_device(image, geometry, size, fill, mean, std, bgr, dtype, device):
    """Warp with torch operations only, a few hundred boxes at a time; no loop over boxes."""
    import torch

    order = [2, 1, 0] if bgr else [0, 1, 2]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)[..., order].float()
    normalise = [torch.tensor(values[order], device=device) for values in (mean, std)]
    pixels = (pixels - normalise[0]) / normalise[1]
    crops = torch.empty((len(geometry), size, size, 3), dtype=dtype, device=device)
    for start in range(0, len(geometry), _TORCH_CHUNK):
        part = slice(start, start + _TORCH_CHUNK)
        x_lower, x_upper, x_weight, x_inside = _device_taps(geometry, part, 0, size, device)
        y_lower, y_upper, y_weight, y_inside = _device_taps(geometry, part, 1, size, device)
        x_weight, y_weight = x_weight[:, None, :, None], y_weight[:, :, None, None]
        above = torch.lerp(
            pixels[y_lower[:, :, None], x_lower[:, None, :]],
            pixels[y_lower[:, :, None], x_upper[:, None, :]],
            x_weight,
        )
        below = torch.lerp(
            pixels[y_upper[:, :, None], x_lower[:, None, :]],
            pixels[y_upper[:, :, None], x_upper[:, None, :]],
            x_weight,
        )
        blended = torch.lerp(above, below, y_weight)
        if fill == "mean":
            blended *= (x_inside[:, None, :] & y_inside[:, :, None])[..., None]
        crops[part] = blended.to(dtype)
    return crops.permute(0, 3, 1, 2)


def _device_taps(geometry, part, axis, size, device):
    """`_taps` for a slice of the boxes at once, as tensors [n, size]; in NumPy, as some devices lack float64."""
    import torch

    source_start, source_end = geometry.source[part, axis, None], geometry.source[part, axis + 2, None]
    target_start, target_end = geometry.target[part, axis, None], geometry.target[part, axis + 2, None]
    at = np.arange(size)[None, :]
    inside = np.clip(at, target_start, target_end - 1)
    ratio = (source_end - source_start) / (target_end - target_start)
    points = source_start + (inside - target_start + 0.5) * ratio - 0.5
    points = np.clip(points, source_start, source_end - 1)
    lower = points.astype(np.int64)
    upper = np.minimum(lower + 1, source_end - 1)
    weight = (points - lower).astype(np.float32)
    return tuple(torch.from_numpy(array).to(device) for array in (lower, upper, weight, inside == at))
