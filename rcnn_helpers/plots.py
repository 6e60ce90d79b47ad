"""Figures of the course: arrays in, matplotlib figures or pictures out.

Every function that plots takes an optional `ax` and returns the `Axes`; a function that needs a figure of its own
returns the `Figure`. `show` puts either in a notebook as a small JPEG with a description for those who do
not see it. Fast drawing into pixels lies in `rcnn_helpers.drawing`; its functions can be reached from here too.

matplotlib is imported where it is needed, so that programs that only draw boxes need not wait for it.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np

from rcnn_helpers.drawing import (
    COLOURS,
    STYLES,
    BoxStyle,
    draw_arrows,
    draw_boxes,
    draw_detections,
    draw_filters,
    fit,
    montage,
    paint_segments,
    region_borders,
    tint,
    with_caption,
)

__all__ = [
    "COLOURS",
    "STYLES",
    "BoxStyle",
    "Picture",
    "average_precision_bars",
    "average_precision_table",
    "recall_curves",
    "draw_arrows",
    "draw_boxes",
    "draw_detections",
    "draw_filters",
    "fit",
    "image_grid",
    "jpeg_figure",
    "merge_step",
    "montage",
    "paint_segments",
    "precision_recall",
    "recall_by_iou",
    "recall_by_number",
    "region_borders",
    "region_rows",
    "show",
    "show_image",
    "svm_history",
    "tint",
    "use_style",
    "warp_grid",
    "with_caption",
]

# Lines of one plot differ in colour, dash and marker at once.
_LINES = [
    (COLOURS["blue"], "-", "o"),
    (COLOURS["vermillion"], "--", "s"),
    (COLOURS["green"], "-.", "^"),
    (COLOURS["purple"], ":", "D"),
    (COLOURS["orange"], (0, (5, 1, 1, 1, 1, 1)), "v"),
    (COLOURS["sky"], (0, (8, 2)), "P"),
    ("#000000", (0, (1, 1)), "X"),
]
# A legend with more lines than this stands beside the plot.
_MOST_INSIDE = 8
WARP_MODES = ("original", "square_context", "square", "warp")
_MODE_NAMES = {
    "box": "the box",
    "original": "(A) original scale",
    "square_context": "(B) tightest square\nwith context",
    "square": "(C) tightest square\nwithout context",
    "warp": "(D) warp",
}


class Picture:
    """A JPEG with a description; notebooks show the one, and keep the other beside it as alternative text."""

    def __init__(self, data: bytes, alt: str, *, width: int | None = None):
        self.data = data
        self.alt = alt
        self.width = width

    def __repr__(self) -> str:
        return f"Picture({self.alt!r}, {len(self.data) / 1024:.0f} KiB)"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        """The JPEG twice: plain, which code hosts show, and as HTML, as JupyterLab has no alternative text else.

        The mark in the metadata tells the builder of the notebooks that the HTML holds nothing of its own, so that
        it need not be saved.
        """
        data = base64.b64encode(self.data).decode()
        width = {"width": self.width} if self.width else {}
        attributes = "".join(f' {name}="{value}"' for name, value in width.items())
        content = {
            "text/html": (
                f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(self.alt)}"{attributes} '
                'style="max-width: 100%; height: auto">'
            ),
            "image/jpeg": data,
            "text/plain": self.alt,
        }
        return content, {"image/jpeg": {"alt": self.alt} | width, "rcnn_course": {"picture": True}}


def use_style() -> None:
    """Make all matplotlib figures from here on readable on a projector and for colour-blind readers."""
    import matplotlib

    matplotlib.rcParams.update(
        {
            "figure.figsize": (8, 5),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.labelsize": 13,
            "xtick.labelsize": 12,
            "ytick.labelsize": 12,
            "legend.fontsize": 12,
            "legend.framealpha": 0.9,
            "lines.linewidth": 2.2,
            "axes.grid": True,
            "grid.alpha": 0.35,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.cmap": "viridis",
            "axes.prop_cycle": _cycle(),
        }
    )


def _cycle():
    from cycler import cycler

    return cycler(color=[line[0] for line in _LINES], linestyle=[line[1] for line in _LINES])


def jpeg_figure(figure, *, alt: str, quality: int = 85, width: int | None = None) -> Picture:
    """Turn a figure or an image into a JPEG that a notebook shows, and close the figure.

    Parameters
    ----------
    figure : matplotlib Figure or Axes, or uint8 array of shape [H, W, 3]
    alt : str
        What is to be seen and what it means, for those who do not see it.
    quality : int
        Of the JPEG, up to 95.
    width : int, optional
        Shown as wide as this many pixels; by default in its own size.
    """
    from PIL import Image

    if not alt.strip():
        raise ValueError("alt is empty: say in a sentence what the figure shows")
    if isinstance(figure, np.ndarray):
        pixels = figure
    else:
        pixels = figure_pixels(figure)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return Picture(buffer.getvalue(), alt, width=width)


def show(figure, *, alt: str, quality: int = 85, width: int | None = None) -> None:
    """Show a figure, or an image, in the notebook at once; see `jpeg_figure`."""
    from IPython.display import display

    display(jpeg_figure(figure, alt=alt, quality=quality, width=width))


def figure_pixels(figure) -> np.ndarray:
    """Render a matplotlib figure (or the one of an Axes) to uint8 [H, W, 3], and close it."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = getattr(figure, "figure", figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    plt.close(figure)
    return pixels


def show_image(image, *, title: str = "", ax=None):
    """An image without axes, one pixel a pixel or larger; returns the Axes."""
    ax = _axes(ax, size=_size_of(image))
    ax.imshow(image)
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def image_grid(images, titles=None, *, columns: int | None = None, width: float = 12.0):
    """Images side by side with titles, such as the same picture before and after; returns the Figure."""
    import matplotlib.pyplot as plt

    images = list(images)
    titles = [""] * len(images) if titles is None else list(titles)
    columns = columns or min(len(images), 4)
    rows = -(-len(images) // columns)
    shape = max(image.shape[0] / image.shape[1] for image in images)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, width / columns * shape * rows + 0.45 * rows),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image)
        ax.set_title(title)
    return figure


def precision_recall(curves: Mapping, *, ap: Mapping | None = None, envelope: bool = True, ax=None):
    """Precision over recall, one line a class.

    Parameters
    ----------
    curves : mapping of str to PrecisionRecall
        Or anything with `recall` and `precision`; a class without positives is left out.
    ap : mapping of str to float, optional
        Average precisions in [0, 1], written into the legend.
    envelope : bool
        For a single class, draw also the best precision at each recall or beyond, which AP is computed from, and
        the eleven recalls of the VOC 2007 rule.
    ax : matplotlib Axes, optional
    """
    curves = {
        name: curve for name, curve in curves.items() if len(curve.recall) and np.isfinite(curve.recall[-1])
    }
    ax = _axes(ax, size=(11.5, 5.5) if len(curves) > _MOST_INSIDE else None)
    for number, (name, curve) in enumerate(curves.items()):
        colour, line, _ = _line(number)
        label = name if ap is None else f"{name}, AP {100 * ap[name]:.1f}"
        ax.plot(curve.recall, curve.precision, color=colour, linestyle=line, label=label)
    if envelope and len(curves) == 1:
        [curve] = curves.values()
        best = np.maximum.accumulate(curve.precision[::-1])[::-1]
        ax.step(
            np.concatenate([[0], curve.recall, [curve.recall[-1]]]),
            np.concatenate([best[:1], best, [0]]),
            where="pre",
            color="black",
            linestyle=":",
            linewidth=1.6,
            label="best from here on",
        )
        thresholds = np.arange(11) / 10
        reached = np.searchsorted(curve.recall, thresholds - 1e-9)
        ax.plot(
            thresholds,
            np.append(best, 0)[reached],
            "o",
            color=COLOURS["vermillion"],
            markersize=7,
            clip_on=False,
            label="the 11 recalls of VOC 2007",
        )
    ax.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02))
    _legend(ax)
    return ax


def recall_by_number(numbers, recalls: Mapping, *, title: str = "", ax=None):
    """Recall as a function of the number of boxes an image, one line a method.

    Parameters
    ----------
    numbers : array-like of shape [K]
    recalls : mapping of str to array-like of shape [K]
        Fractions.
    """
    ax = _axes(ax)
    _lines(ax, numbers, recalls)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.set(xlabel="Boxes per image", ylabel="Recall", ylim=(0, 1.02), title=title)
    _legend(ax)
    return ax


def recall_by_iou(thresholds, recalls: Mapping, *, title: str = "", ax=None):
    """Recall as a function of the IoU a box needs to count, one line a method; see `recall_by_number`."""
    ax = _axes(ax)
    _lines(ax, thresholds, recalls)
    ax.set(xlabel="IoU a box needs to count", ylabel="Recall", ylim=(0, 1.02), title=title)
    _legend(ax)
    return ax


def recall_curves(numbers, by_number: Mapping, thresholds, by_iou: Mapping):
    """`recall_by_number` and `recall_by_iou` side by side; returns the Figure."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    recall_by_number(numbers, by_number, title="At an IoU of 0.5", ax=left)
    recall_by_iou(thresholds, by_iou, title="With all boxes", ax=right)
    right.legend().remove()
    return figure


def average_precision_bars(results: Mapping, *, title: str = "", ax=None):
    """Average precision of each class as bars, worst at the bottom, with the number at each bar's end.

    Parameters
    ----------
    results : mapping
        Either class to AP in [0, 1], or the name of a method to such a mapping, for a comparison.
    """
    methods = results if isinstance(next(iter(results.values())), Mapping) else {"": results}
    first = next(iter(methods.values()))
    order = sorted(first, key=lambda name: -np.inf if np.isnan(first[name]) else first[name])
    ax = _axes(ax, size=(8, 1.2 + 0.3 * len(order) * (1 + 0.5 * (len(methods) - 1))))
    thickness = 0.8 / len(methods)
    hatches = ("", "//", "..", "xx", "\\\\")
    for number, (method, ap) in enumerate(methods.items()):
        values = np.array([100 * ap.get(name, np.nan) for name in order])
        positions = np.arange(len(order)) + (len(methods) / 2 - number - 0.5) * thickness
        bars = ax.barh(
            positions,
            np.nan_to_num(values),
            thickness,
            color=_line(number)[0],
            hatch=hatches[number % len(hatches)],
            edgecolor="white",
            label=f"{method} (mean {np.nanmean(values):.1f})" if method else f"mean {np.nanmean(values):.1f}",
        )
        texts = ["no objects" if np.isnan(value) else f"{value:.1f}" for value in values]
        ax.bar_label(bars, texts, padding=4, fontsize=11)
    ax.set_yticks(range(len(order)), order)
    ax.set(xlabel="Average precision (%)", xlim=(0, 100), ylim=(-0.6, len(order) - 0.4), title=title)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")
    return ax


def average_precision_table(results: Mapping):
    """Average precisions in percent as a pandas frame: a row a method, a column a class, and the mean.

    `results` is what `average_precision_bars` takes.
    """
    import pandas as pd

    methods = results if isinstance(next(iter(results.values())), Mapping) else {"AP": results}
    frame = pd.DataFrame({name: {k: 100 * v for k, v in ap.items()} for name, ap in methods.items()}).T
    frame["mAP"] = frame.mean(axis=1)
    return frame.round(1)


def merge_step(image, before, after, *, outlined=None, title: str = ""):
    """One step of a merging: the image, the regions before and after it; returns the Figure.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    before, after : integer arrays of shape [H, W]
        Region of each pixel.
    outlined : array-like of shape [N, 4], optional
        Boxes drawn on the image, such as those of the two regions and of their union.
    """
    marked = image
    if outlined is not None:
        styles = ["truth"] * (len(outlined) - 1) + ["best"]
        marked = draw_boxes(image, outlined, styles=styles)
    panels = [marked, paint_segments(image, before), paint_segments(image, after)]
    counts = [len(np.unique(labels)) for labels in (before, after)]
    titles = [title or "image", f"before: {counts[0]} regions", f"after: {counts[1]} regions"]
    return image_grid(panels, titles, columns=3)


def region_rows(
    crops,
    features,
    scores,
    classes,
    *,
    threshold: float = 0.0,
    limits=(-2.0, 2.0),
    titles=("region", "features", "scores"),
):
    """The lower half of the paper's Figure 1: each region's crop, its features as a strip, its scores as bars.

    Parameters
    ----------
    crops : sequence of uint8 arrays [S, S, 3]
    features : array of shape [N, D]
    scores : array of shape [N, C]
    classes : sequence of C str
    threshold : float
        Drawn as a line; bars that rise above it are green.
    limits : two floats
        Range of the scores that is shown; bars stand on the lower one.
    titles : three str

    Returns
    -------
    matplotlib Figure
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(crops),
        3,
        figsize=(15, 1.3 * len(crops) + 1.2),
        width_ratios=[1, 4, 4],
        sharex="col",
        squeeze=False,
        layout="constrained",
    )
    brightest = np.quantile(features, 0.99)
    for crop, strip, values, (left, middle, right) in zip(crops, features, scores, axes, strict=True):
        left.imshow(crop)
        left.set_axis_off()
        middle.imshow(strip[None], aspect="auto", cmap="magma", vmin=0, vmax=brightest)
        middle.set_axis_off()
        colours = [COLOURS["green" if value > threshold else "grey"] for value in values]
        right.bar(classes, values - limits[0], bottom=limits[0], color=colours)
        right.axhline(threshold, color="black", linestyle="--", linewidth=1)
        right.set_ylim(*limits)
    axes[-1, 2].tick_params(axis="x", rotation=60)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    return figure


def svm_history(history, *, columns: Sequence[str] | None = None, x: str | None = None):
    """What happened round by round while SVMs were trained: one small plot for each column; returns the Figure.

    Parameters
    ----------
    history : pandas frame
        One row a round; with a column ``class`` there is a line for each class.
    columns : sequence of str, optional
        What to plot; by default all columns of numbers but `x`.
    x : str, optional
        Column for the horizontal axis; by default ``round`` if there is one, else the position of the row.
    """
    import matplotlib.pyplot as plt

    x = x or ("round" if "round" in history.columns else None)
    if columns is None:
        columns = [name for name in history.select_dtypes("number").columns if name != x]
    across = (
        len(columns) if len(columns) <= 3 else -(-len(columns) // 2)
    )  # four in a row are too small to read
    down = -(-len(columns) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(max(6, 4.6 * across), 4.2 * down), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(columns) :]:
        ax.set_axis_off()
    groups = [("", history)]
    if "class" in history.columns:
        groups = [(str(name), rows) for name, rows in history.groupby("class", sort=False)]
    for ax, column in zip(axes.flat, columns, strict=False):
        for number, (name, rows) in enumerate(groups):
            colour, line, marker = _line(number)
            position = np.arange(1, len(rows) + 1) if x is None else rows[x]
            ax.plot(
                position,
                rows[column],
                color=colour,
                linestyle=line,
                marker=marker if len(rows) <= 30 else None,
                label=name,
            )
        ax.set(title=column.replace("_", " "), xlabel=(x or "round").replace("_", " "))
        ax.xaxis.get_major_locator().set_params(integer=True)
    if len(groups) > 1:
        axes[0, 0].legend(fontsize=11, ncols=1 + len(groups) // 11)
    return figure


def warp_grid(image, boxes, warp, *, modes=WARP_MODES, paddings=(0, 16), names=None):
    """The paper's Figure 7: for each box, its surroundings and each crop mode, with a row for each padding.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3], or a sequence of one for each box
    boxes : array-like of shape [N, 4]
    warp : callable
        ``warp(image, box, mode=..., padding=...)`` returns the crop, [S, S, 3] in 0..255; for instance
        `rcnn_helpers.warping.warp_reference`.
    modes : sequence of str
        Columns after the first, which shows the box in its picture.
    paddings : sequence of int
        Rows, in pixels of the crop.
    names : sequence of str, optional
        Of the boxes.

    Returns
    -------
    matplotlib Figure
    """
    import matplotlib.pyplot as plt

    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    images = [image] * len(boxes) if isinstance(image, np.ndarray) else list(image)
    n_rows, n_columns = len(boxes) * len(paddings), 1 + len(modes)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(2.5 * n_columns, 2.5 * n_rows + 0.7), squeeze=False, layout="constrained"
    )
    for row, axes_of_row in enumerate(axes):
        number, padding = row // len(paddings), paddings[row % len(paddings)]
        crops = [_surroundings(images[number], boxes[number])]
        crops += [warp(images[number], boxes[number], mode=mode, padding=padding) for mode in modes]
        for ax, crop in zip(axes_of_row, crops, strict=True):
            ax.imshow(np.clip(np.rint(crop), 0, 255).astype(np.uint8))
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
        name = "" if names is None else f"{names[number]}\n"
        axes_of_row[0].set_ylabel(f"{name}padding {padding}", fontsize=13)
    for ax, mode in zip(axes[0], ("box", *modes), strict=True):
        ax.set_title(_MODE_NAMES.get(mode, mode), fontsize=12)
    return figure


def _surroundings(image, box):
    """The box drawn in a square part of the image around it."""
    height, width = image.shape[:2]
    half = int(np.ceil(0.75 * max(box[2] - box[0], box[3] - box[1], 8)))
    x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    left, top = max(0, x - half), max(0, y - half)
    part = image[top : min(height, y + half), left : min(width, x + half)]
    part = fit(part, 227, 227)
    scale = part.shape[1] / (min(width, x + half) - left)
    moved = (np.asarray(box) - [left, top, left, top]) * scale
    return draw_boxes(part, [moved], styles="best", line_width=3)


def _line(number):
    """Colour, dash and marker of a line; after the seventh, colours come back with another dash."""
    colour, _, marker = _LINES[number % len(_LINES)]
    dash = _LINES[(number + number // len(_LINES)) % len(_LINES)][1]
    return colour, dash, marker


def _lines(ax, x, lines):
    for number, (name, values) in enumerate(lines.items()):
        colour, line, marker = _line(number)
        every = max(1, len(np.atleast_1d(x)) // 8)
        ax.plot(x, values, color=colour, linestyle=line, marker=marker, markevery=every, label=name)


def _legend(ax):
    n_labels = len(ax.get_legend_handles_labels()[1])
    if n_labels > _MOST_INSIDE:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=11, ncols=1 + n_labels // 18)
    elif n_labels:
        ax.legend(fontsize=12)


def _axes(ax, size=None):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _size_of(image):
    width = min(12.0, max(5.0, image.shape[1] / 80))
    return width, width * image.shape[0] / image.shape[1] + 0.4
