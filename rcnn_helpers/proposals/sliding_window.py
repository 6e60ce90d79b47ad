"""Sliding windows: boxes of a few shapes and sizes at regular places, whatever the image shows."""

import numpy as np


def sliding_windows(
    height: int,
    width: int,
    *,
    min_size: float = 32,
    size_step: float = 2**0.5,
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
    stride: float = 0.25,
    max_boxes: int | None = None,
) -> np.ndarray:
    """Lay out windows of several sizes and aspect ratios over an image.

    Parameters
    ----------
    height, width : int
        Size of the image.
    min_size : float
        Square root of the smallest window's area, in pixels.
    size_step : float
        Each size is so many times the one before.
    aspect_ratios : tuple of float
        Width divided by height.
    stride : float
        Largest distance of neighbouring windows, as a fraction of their width and of their height.
    max_boxes : int, optional
        Widen the stride, so that no more windows than this are laid out. With so few that not even one window
        of each shape is allowed, the largest ones are kept.

    Returns
    -------
    float32 array of shape [N, 4]
        Largest windows first, each size in reading order. All lie inside the image, and the outer ones touch
        its borders.
    """
    if min_size <= 0 or size_step <= 1 or stride <= 0:
        raise ValueError(
            f"min_size and stride must be above 0 and size_step above 1, got {min_size}, {stride}, {size_step}"
        )
    shapes = _window_shapes(height, width, min_size, size_step, aspect_ratios)
    if max_boxes is not None:
        stride = _stride_for(shapes, height, width, stride, max_boxes)
    windows = [_lay_out(height, width, shape, stride) for shape in shapes]
    return np.concatenate([np.zeros((0, 4), dtype=np.float32), *windows])[:max_boxes]


def _window_shapes(height, width, min_size, size_step, aspect_ratios) -> list[tuple[float, float]]:
    """Heights and widths of the windows that fit into the image, largest area first."""
    shapes = []
    n_sizes = 1 + int(max(0, np.log(max(height, width) / min_size) / np.log(size_step)))
    for size in min_size * size_step ** np.arange(n_sizes)[::-1]:
        for ratio in aspect_ratios:
            shape = (size / ratio**0.5, size * ratio**0.5)
            if shape[0] <= height and shape[1] <= width:
                shapes.append(shape)
    return shapes


def _places(length: int, window: float, stride: float) -> int:
    """Number of places for a window along one side of the image, its first and last place at the borders."""
    return 1 + int(np.ceil((length - window) / (stride * window) - 1e-9))


def _stride_for(shapes, height, width, stride, max_boxes) -> float:
    """Return the smallest stride, from `stride` on in steps of 2 %, that lays out at most `max_boxes` windows."""

    def count(stride):
        return sum(_places(height, h, stride) * _places(width, w, stride) for h, w in shapes)

    # At the widest stride worth trying every window has a place at each border only.
    widest = max([stride, *(max(height / h, width / w) for h, w in shapes)])
    while count(stride) > max_boxes and stride < widest:
        stride *= 1.02
    return stride


def _lay_out(height, width, shape, stride) -> np.ndarray:
    window_height, window_width = shape
    tops = np.linspace(0, height - window_height, _places(height, window_height, stride))
    lefts = np.linspace(0, width - window_width, _places(width, window_width, stride))
    y1, x1 = (corner.ravel() for corner in np.meshgrid(tops, lefts, indexing="ij"))
    windows = np.stack([x1, y1, x1 + window_width, y1 + window_height], axis=1)
    return np.minimum(windows, [width, height, width, height]).astype(np.float32)
