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
`warp_boxes` does thousands at a time, on the CPU with OpenCV in threads, elsewhere in torch. All of them resample
bilinearly without antialiasing, as the original code does; the centre of pixel 0 lies at 0.5, so crop pixel i
looks at ``(i + 0.5) * source / target - 0.5``, as `cv2.resize` does. They agree to float32 rounding.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.kept_images import KeptImages
from rcnn_helpers.settings import CONTEXT_PADDING

MODES = ("warp", "square_context", "square", "original")
FILLS = ("mean", "replicate")

# Crops made at a time by the torch path: 4 taps of 3 channels in float32 at 227 pixels take 2.5 MB a crop.
_TORCH_CHUNK = 256
# Pixels that are brought to a device together: 96 MB, the images of a batch.
_COPIED_PIXELS = 32 * 2**20
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
    height,
    width,
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
    ``"original"`` are not in that code and have no such extra pixel: unpadded, they show the box and nothing
    else.

    Parameters
    ----------
    boxes : array-like [N, 4]
        A side shorter than one pixel counts as one pixel.
    height, width : int, or int array [N]
        Size of the image, or of the image of each box.
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
    _check_options(size, mode, padding)
    boxes = _at_least_one_pixel(as_boxes(boxes).astype(np.float64), height, width)

    centre, half, framed, reach = _frames(boxes, size, mode, padding)
    if mode == "original":
        start = round_half_away(centre - size / 2)
        window = np.concatenate([start, start + size], axis=1)
        allowed = _rounded_box(centre, half + padding)
    elif mode == "square":
        window = _rounded_box(centre, reach)
        # The short side keeps the box and its padding only.
        allowed = _rounded_box(centre, reach - (framed - half))
    elif mode == "warp" and padding == 0:
        window = allowed = round_half_away(boxes)
    else:
        window = allowed = _rounded_box_of_the_original(centre, reach)

    # A window that rounding has pushed out of the image altogether still reads the pixel next to it.
    limits = _limits(height, width)
    start = np.clip(np.maximum(window[:, :2], allowed[:, :2]), 0, limits - 1)
    end = np.clip(np.minimum(window[:, 2:], allowed[:, 2:]), start + 1, limits)
    source = np.concatenate([start, end], axis=1)
    return CropGeometry(window, source, _target(window, source, size))


def context_boxes(
    boxes, *, size: int = 227, mode: str = "warp", padding: int = CONTEXT_PADDING
) -> np.ndarray:
    """What the crops of `boxes` show, before it is rounded to whole pixels: the idea behind `crop_geometry`.

    A crop of side `size` gives its box the inner ``size - 2 * padding`` pixels, so what it shows is larger than
    the box by ``size / (size - 2 * padding)``, about the same centre. It may leave the image.

    Parameters
    ----------
    boxes : array-like [N, 4]
    size, mode, padding : see `crop_geometry`

    Returns
    -------
    float64 [N, 4], in image pixels

    Examples
    --------
    >>> context_boxes([[100, 60, 139, 138]]).round(1).tolist()
    [[96.8, 53.6, 142.2, 144.4]]
    """
    _check_options(size, mode, padding)
    centre, _, _, reach = _frames(as_boxes(boxes).astype(np.float64), size, mode, padding)
    return np.concatenate([centre - reach, centre + reach], axis=1)


def _check_options(size: int, mode: str, padding: int) -> None:
    if mode not in MODES:
        raise ValueError(f"unknown warp mode {mode!r}; choose one of {', '.join(MODES)}")
    if padding < 0 or 2 * padding >= size:
        raise ValueError(
            f"padding {padding} does not fit a crop of {size} pixels; take 0 to {(size - 1) // 2}"
        )


def _frames(boxes: np.ndarray, size: int, mode: str, padding: int):
    """Of each box: centre, and half sides of the box, of what is framed and of what the crop shows; [N, 2]."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    centre = boxes[:, :2] + half
    framed = half if mode == "warp" else np.repeat(half.max(axis=1, keepdims=True), 2, axis=1)
    if mode == "original":
        return centre, half, framed, np.full_like(half, size / 2)
    return centre, half, framed, framed * (size / (size - 2 * padding))


def _limits(height, width) -> np.ndarray:
    """Width and height, int64 [2], or [N, 2] if every box has an image of its own."""
    return np.stack(np.broadcast_arrays(np.asarray(width), np.asarray(height)), axis=-1)


def _at_least_one_pixel(boxes: np.ndarray, height, width) -> np.ndarray:
    """Widen sides shorter than a pixel to one, inside the image; refuse boxes that do not touch it."""
    limits = _limits(height, width).astype(np.float64)
    start, end = boxes[:, :2], boxes[:, 2:]
    short = (end - start < 1) & (start <= limits) & (end >= 0)
    start = np.where(short, np.clip(np.floor(start), 0, limits - 1), start)
    end = np.where(short, start + 1, end)
    outside = ((start >= limits) | (end <= 0)).any(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        across, down = np.broadcast_to(limits, (len(boxes), 2))[first]
        raise ValueError(
            f"box {first} is {boxes[first].tolist()} and lies outside the image, {across:g} x {down:g} pixels; "
            "do the boxes belong to this image, at this scale?"
        )
    return np.concatenate([start, end], axis=1)


def _rounded_box(centre: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """``centre +- reach``, rounded to whole pixels."""
    return round_half_away(np.concatenate([centre - reach, centre + reach], axis=1))


def _rounded_box_of_the_original(centre: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """``centre +- reach``, rounded 1-based and with both ends included, as the original does."""
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
    resized = interpolate(interpolate(patch, rows, axis=0), columns, axis=1)

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


def interpolate(pixels: np.ndarray, points: np.ndarray, *, axis: int) -> np.ndarray:
    """Read `pixels` along one axis between their centres, linearly.

    Parameters
    ----------
    pixels : float array
    points : float [M]
        Positions along `axis`, between the centres of the first and the last pixel, which are 0 and N - 1. (On the
        scale of boxes the centre of pixel 0 lies at 0.5: subtract one half.)
    axis : int

    Returns
    -------
    float array like `pixels`, but M long along `axis`
    """
    lower = np.floor(points).astype(int)
    upper = np.minimum(lower + 1, pixels.shape[axis] - 1)
    shape = [1] * pixels.ndim
    shape[axis] = len(points)
    weight = (points - lower).reshape(shape)
    return (1 - weight) * pixels.take(lower, axis=axis) + weight * pixels.take(upper, axis=axis)


def warp_boxes(image: np.ndarray, boxes, *, out=None, **options):
    """Warp many boxes of one image into a batch a network can read.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    boxes : array-like [N, 4]
    out : torch.Tensor, optional
        A buffer to write into, see `Warper.__call__`.
    **options
        The keywords of `Warper`: ``size, mode, padding, fill, mean, std, bgr, out_dtype, device, threads``.

    Returns
    -------
    torch.Tensor [N, 3, size, size] in ``channels_last`` memory
    """
    return Warper(image, **options)(boxes, out=out)


class Warper:
    """Warps boxes of one image, whose normalised pixels it keeps: make it once, call it batch by batch.

    It is not meant to be called from several threads at once; it has threads of its own.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    size, mode, padding : see `crop_geometry`
    fill : {"mean", "replicate"}
    mean, std : three floats each, or one for all channels; RGB, in 0..255
        The crops hold ``(pixel - mean) / std``.
    bgr : bool
        Put the channels of the crops in the order blue, green, red, as Caffe's networks want them.
    out_dtype : torch.dtype, optional
        float32 (default), bfloat16 or float16.
    device : str or torch.device
        Where the crops shall lie; they are made there.
    threads : int, optional
        Threads on the CPU; by default as many as torch uses.
    """

    def __init__(
        self,
        image: np.ndarray,
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
        threads: int | None = None,
    ):
        import torch

        _check_image(image)
        _check_fill(fill)
        self.height, self.width = image.shape[:2]
        self.size, self.mode, self.padding, self.fill = size, mode, padding, fill
        self.dtype = out_dtype or torch.float32
        self.device = torch.device(device)
        self.threads = threads or torch.get_num_threads()

        self.image = image
        self.levels = _level_table(mean, std)
        self.order = np.array([2, 1, 0] if bgr else [0, 1, 2])
        self.part = np.array([self.width, self.height, 0, 0])  # normalised so far: nothing
        if self.device.type == "cpu":
            self.pixels = np.empty((0, 0, 3), dtype=np.float32)
            self.scratch = np.empty((self.threads, size, size, 3), dtype=np.float32)  # a crop for each thread
        else:
            self.on_device = DevicePixels([image], mean=mean, std=std, bgr=bgr, device=self.device)

    def __call__(self, boxes, *, out=None):
        """Warp `boxes`.

        Parameters
        ----------
        boxes : array-like [N, 4]
        out : torch.Tensor [M, 3, size, size], optional
            A `crop_buffer` with M >= N of the crops' own kind to write into, on the CPU. It saves the time the
            system takes to find fresh memory for every batch.

        Returns
        -------
        torch.Tensor [N, 3, size, size] in ``channels_last`` memory
        """
        geometry = crop_geometry(
            boxes, self.height, self.width, size=self.size, mode=self.mode, padding=self.padding
        )
        if self.device.type != "cpu":
            image_index = np.zeros(len(geometry), np.int64)
            return self.on_device.warp(
                image_index, geometry, size=self.size, fill=self.fill, dtype=self.dtype
            )
        return self._warp_on_cpu(geometry, out)

    def _warp_on_cpu(self, geometry: CropGeometry, out):
        """Share the boxes out over threads; OpenCV and numba both let go of the GIL."""
        import torch

        n, size = len(geometry), self.size
        computed = self.dtype if self.dtype == torch.bfloat16 else torch.float32
        if out is None:
            out = crop_buffer(n, size, computed)
        crops = _CropRows(out, n, size, computed)
        sources = self._in_normalised_part(geometry.source).tolist()
        targets = geometry.target.tolist()

        def work(worker: int, part: slice) -> None:
            for k in range(part.start, part.stop):
                x1, y1, x2, y2 = sources[k]
                crops.write(k, self.pixels[y1:y2, x1:x2], targets[k], self.fill, self.scratch[worker])

        _share_out(work, n, self.threads)
        return out[:n].to(self.dtype)

    def _in_normalised_part(self, source: np.ndarray) -> np.ndarray:
        """Normalise as much of the image as is read, unless it is already; return `source` counted from there.

        A photograph of many megapixels is thus not converted for the sake of one small box.
        """
        if len(source) == 0:
            return source
        needed = np.concatenate([source[:, :2].min(axis=0), source[:, 2:].max(axis=0)])
        if (needed[:2] < self.part[:2]).any() or (needed[2:] > self.part[2:]).any():
            start, end = np.minimum(needed[:2], self.part[:2]), np.maximum(needed[2:], self.part[2:])
            self.part = np.concatenate([start, end])
            image = np.ascontiguousarray(self.image[start[1] : end[1], start[0] : end[0]])
            self.pixels = _look_up(image, self.levels, self.order)
        return source - np.tile(self.part[:2], 2)


class _CropRows:
    """A buffer of crops on the CPU, seen as NumPy rows that can be written one by one.

    Parameters
    ----------
    out : torch.Tensor [M, 3, size, size] in ``channels_last`` memory
    n : int
        Rows that must fit.
    dtype : torch.dtype
        float32 or bfloat16.
    """

    def __init__(self, out, n: int, size: int, dtype):
        import torch

        rows = out.permute(0, 2, 3, 1)
        fits = len(out) >= n and tuple(out.shape[1:]) == (3, size, size) and out.dtype == dtype
        if not fits or not rows.is_contiguous():
            raise ValueError(
                f"the buffer is {list(out.shape)} of {out.dtype}, but {n} crops of {size} pixels of {dtype} "
                "in channels_last memory are asked for; make one with crop_buffer"
            )
        self.as_bits = dtype == torch.bfloat16  # NumPy has no bfloat16: write its bits
        self.crops = (rows.view(torch.uint16) if self.as_bits else rows).numpy()
        self.flat = self.crops.reshape(len(self.crops), size * size * 3)

    def write(self, k: int, pixels, target, fill: str, scratch, *, mirrored: bool = False) -> None:
        """Make crop `k` of normalised pixels; `scratch` is a float32 crop to work in."""
        crop = scratch if self.as_bits else self.crops[k]
        _resize_into(crop, pixels, target, fill)
        if mirrored:
            cv2.flip(crop, 1, dst=crop)
        if self.as_bits:
            _to_bfloat16(scratch.reshape(-1).view(np.uint32), self.flat[k])


def _resize_into(crop: np.ndarray, pixels: np.ndarray, target, fill: str) -> None:
    """Resize normalised pixels straight into `target` of a float32 crop, and fill the rest of it."""
    left, top, right, bottom = target
    inside = crop[top:bottom, left:right]
    shape = (right - left, bottom - top)
    cv2.resize(pixels, shape, dst=inside, interpolation=cv2.INTER_LINEAR)
    if shape == crop.shape[1::-1]:
        return
    repeat = 1 if fill == "replicate" else 0  # the normalised mean is zero
    crop[top:bottom, :left] = repeat * crop[top:bottom, left : left + 1]
    crop[top:bottom, right:] = repeat * crop[top:bottom, right - 1 : right]
    crop[:top] = repeat * crop[top]
    crop[bottom:] = repeat * crop[bottom - 1]


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


def _level_table(mean, std) -> np.ndarray:
    """What each of the 256 levels of each channel is once normalised, float32 [3, 256]."""
    mean, std = (np.broadcast_to(np.asarray(values, dtype=np.float64), 3)[:, None] for values in (mean, std))
    return ((np.arange(256) - mean) / std).astype(np.float32)


def _share_out(work, n: int, threads: int) -> None:
    """Call ``work(worker, slice)`` on `n` items in as many equal parts as threads are worth while."""
    workers = max(1, min(threads, os.cpu_count() or 1, n // _CROPS_PER_THREAD))
    edges = [n * k // workers for k in range(workers + 1)]
    first, *others = enumerate(slice(start, end) for start, end in zip(edges[:-1], edges[1:], strict=True))
    if not others:
        work(*first)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(work, *part) for part in others]
        work(*first)
        for task in running:
            task.result()


@njit(cache=True, nogil=True)
def _look_up(image, levels, order):
    """Normalised pixels of an image, float32 [H, W, 3], with the channels in the given order."""
    height, width = image.shape[:2]
    pixels = np.empty((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            for c in range(3):
                pixels[y, x, c] = levels[order[c], image[y, x, order[c]]]
    return pixels


@njit(cache=True, nogil=True)
def _to_bfloat16(float_bits, out):
    """Keep the upper 16 bits of float32 numbers, rounded to nearest, ties to even."""
    for i in range(len(out)):
        tie = (float_bits[i] >> np.uint32(16)) & np.uint32(1)
        out[i] = (float_bits[i] + np.uint32(0x7FFF) + tie) >> np.uint32(16)


class DevicePixels:
    """The pixels of many images in the memory of a device, to be warped there with torch operations only.

    Parameters
    ----------
    images : sequence of uint8 [H, W, 3], RGB
    mean, std, bgr : see `Warper`
    device : torch.device
    """

    def __init__(self, images, *, mean, std, bgr: bool, device):
        import torch

        order = [2, 1, 0] if bgr else [0, 1, 2]
        sizes = [image.shape[0] * image.shape[1] for image in images]
        self.first = np.concatenate([[0], np.cumsum(sizes)])[:-1]  # where each image begins among the pixels
        self.widths = np.array([image.shape[1] for image in images])
        self.pixels = torch.empty((sum(sizes), 3), dtype=torch.uint8, device=device)
        for first, flat in _joined(images, order, self.first):
            self.pixels[first : first + len(flat)] = torch.from_numpy(flat).to(device)
        mean, std = (np.broadcast_to(np.float32(values), 3)[order] for values in (mean, std))
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.std = torch.tensor(std, dtype=torch.float32, device=device)

    def warp(self, image_index, geometry: CropGeometry, *, size: int, fill: str, dtype, mirrored=None):
        """Warp as `geometry` says, each box from its image, a few hundred at a time and without a loop over boxes.

        Returns
        -------
        torch.Tensor [N, 3, size, size] in ``channels_last`` memory
        """
        import torch

        mirrored = np.zeros(len(geometry), bool) if mirrored is None else np.asarray(mirrored, dtype=bool)
        crops = torch.empty((len(geometry), size, size, 3), dtype=dtype, device=self.pixels.device)
        for start in range(0, len(geometry), _TORCH_CHUNK):
            part = slice(start, start + _TORCH_CHUNK)
            columns = _Taps(geometry, part, axis=0, size=size, mirrored=mirrored[part])
            rows = _Taps(geometry, part, axis=1, size=size)
            crops[part] = self._warp_part(image_index[part], columns, rows, fill)
        return crops.permute(0, 3, 1, 2)

    def _warp_part(self, image_index, columns: "_Taps", rows: "_Taps", fill: str):
        """Normalised crops float32 [n, size, size, 3] of some boxes."""
        import torch

        def on_device(array):
            return torch.from_numpy(array).to(self.pixels.device)

        first, width = self.first[image_index, None], self.widths[image_index, None]
        above, below = (on_device(first + width * row)[:, :, None] for row in (rows.lower, rows.upper))
        left, right = (on_device(column)[:, None, :] for column in (columns.lower, columns.upper))
        x_weight = on_device(columns.weight)[:, None, :, None]
        y_weight = on_device(rows.weight)[:, :, None, None]

        def blend_along_row(row):
            return torch.lerp(self.pixels[row + left].float(), self.pixels[row + right].float(), x_weight)

        crops = torch.lerp(blend_along_row(above), blend_along_row(below), y_weight)
        crops = (crops - self.mean) / self.std
        if fill == "mean":
            inside = on_device(rows.inside)[:, :, None] & on_device(columns.inside)[:, None, :]
            crops *= inside[..., None]
        return crops


def _joined(images, order, first):
    """Pixels of images behind each other, uint8 [n, 3], and where they begin: few copies are faster than many."""
    waiting, n_pixels, start = [], 0, 0
    for number, image in enumerate(images):
        waiting.append(np.ascontiguousarray(image[..., order]).reshape(-1, 3))
        n_pixels += len(waiting[-1])
        if n_pixels >= _COPIED_PIXELS or number == len(images) - 1:
            yield first[start], np.concatenate(waiting)
            waiting, n_pixels, start = [], 0, number + 1


class _Taps:
    """For some boxes, the pixels that each crop pixel lies between along one axis, arrays [n, size].

    Worked out in NumPy, because not every device has float64.
    """

    def __init__(self, geometry: CropGeometry, part: slice, *, axis: int, size: int, mirrored=None):
        source_start, source_end = geometry.source[part, axis, None], geometry.source[part, axis + 2, None]
        target_start, target_end = geometry.target[part, axis, None], geometry.target[part, axis + 2, None]
        at = np.broadcast_to(np.arange(size), (len(source_start), size))
        if mirrored is not None:
            at = np.where(mirrored[:, None], at[:, ::-1], at)
        nearest = np.clip(at, target_start, target_end - 1)
        ratio = (source_end - source_start) / (target_end - target_start)
        points = source_start + (nearest - target_start + 0.5) * ratio - 0.5
        points = np.clip(points, source_start, source_end - 1)
        self.lower = points.astype(np.int64)
        self.upper = np.minimum(self.lower + 1, source_end - 1)
        self.weight = (points - self.lower).astype(np.float32)
        self.inside = nearest == at


class WindowWarper:
    """Warps windows of many images into one batch: what training draws.

    Parameters
    ----------
    images : sequence of uint8 [H, W, 3], RGB, or KeptImages
        On a CPU they stay where they are. Another device gets a copy of all their pixels, a byte a channel, if
        they are all in memory and take at most half of what the device has free; else those of each batch anew.
    size, mode, padding, fill, mean, std, bgr, out_dtype, device, threads : see `Warper`
    """

    def __init__(
        self,
        images,
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
        threads: int | None = None,
    ):
        import torch

        _check_fill(fill)
        self.images = images if isinstance(images, KeptImages) else KeptImages.of(images)
        self.geometry = {"size": size, "mode": mode, "padding": padding}
        self.fill = fill
        self.dtype = out_dtype or torch.float32
        self.device = torch.device(device)
        self.threads = threads or torch.get_num_threads()
        self.levels = _level_table(mean, std)
        self.order = np.array([2, 1, 0] if bgr else [0, 1, 2])
        self.normalisation = {"mean": mean, "std": std, "bgr": bgr}
        self.on_device = None
        if self.device.type != "cpu" and _fits_on_device(self.images, self.device):
            self.on_device = DevicePixels(self.images.kept, device=self.device, **self.normalisation)

    def __call__(self, image_index, boxes, *, mirrored=None, out=None):
        """Warp a window of each of some images.

        Parameters
        ----------
        image_index : int array [N]
            Which image each box belongs to.
        boxes : array-like [N, 4]
        mirrored : bool array [N], optional
            Which crops to swap left and right.
        out : torch.Tensor, optional
            A buffer, as in `Warper.__call__`; on the CPU only.

        Returns
        -------
        torch.Tensor [N, 3, size, size] in ``channels_last`` memory
        """
        image_index = np.asarray(image_index, dtype=np.int64)
        mirrored = np.zeros(len(image_index), bool) if mirrored is None else np.asarray(mirrored, dtype=bool)
        numbers, place = np.unique(image_index, return_inverse=True)
        pictures = list(self.images.several(numbers).values())
        sizes = np.array([picture.shape[:2] for picture in pictures], dtype=np.int64).reshape(-1, 2)[place]
        geometry = crop_geometry(boxes, sizes[:, 0], sizes[:, 1], **self.geometry)
        if self.device.type == "cpu":
            return self._warp_on_cpu(pictures, place, geometry, mirrored, out)
        pixels, number = self.on_device, image_index
        if pixels is None:
            pixels, number = DevicePixels(pictures, device=self.device, **self.normalisation), place
        size = self.geometry["size"]
        return pixels.warp(number, geometry, size=size, fill=self.fill, dtype=self.dtype, mirrored=mirrored)

    def _warp_on_cpu(self, pictures, place, geometry: CropGeometry, mirrored, out):
        """Of each image only what a window reads is normalised."""
        import torch

        n, size = len(geometry), self.geometry["size"]
        computed = self.dtype if self.dtype == torch.bfloat16 else torch.float32
        if out is None:
            out = crop_buffer(n, size, computed)
        crops = _CropRows(out, n, size, computed)
        sources, targets = geometry.source.tolist(), geometry.target.tolist()

        def work(worker: int, part: slice) -> None:
            scratch = np.empty((size, size, 3), dtype=np.float32)
            for k in range(part.start, part.stop):
                x1, y1, x2, y2 = sources[k]
                read = np.ascontiguousarray(pictures[place[k]][y1:y2, x1:x2])
                pixels = _look_up(read, self.levels, self.order)
                crops.write(k, pixels, targets[k], self.fill, scratch, mirrored=mirrored[k])

        _share_out(work, n, self.threads)
        return out[:n].to(self.dtype)


def _fits_on_device(images: KeptImages, device) -> bool:
    """Whether a device can keep all images beside what training needs there."""
    import torch

    if device.type != "cuda":
        return images.holds_all
    free, _ = torch.cuda.mem_get_info(device)
    return images.holds_all and images.nbytes <= free // 2
