"""Figures of segmentation: what was taken for what, and the tables of the paper beside ours."""

from collections.abc import Mapping

import numpy as np

from rcnn_helpers.drawing import COLOURS
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy

_LAYERS = {"fc6": (COLOURS["blue"], "o", "-"), "fc7": (COLOURS["orange"], "s", "--")}
_OTHER = (COLOURS["green"], "D", ":")
# Methods beside each other differ in colour and mark.
_MARKS = (
    (COLOURS["orange"], "D"),
    (COLOURS["blue"], "o"),
    (COLOURS["green"], "s"),
    (COLOURS["purple"], "^"),
    (COLOURS["vermillion"], "v"),
)


def confusion_figure(accuracy: SegmentationAccuracy):
    """Where the pixels of each class went: a row a true label, in percent of its pixels.

    Labels without pixels are left out of the rows.
    """
    import matplotlib.pyplot as plt

    pixels = accuracy.confusion.sum(axis=1)
    rows = np.flatnonzero(pixels > 0)
    if len(rows) == 0:
        raise DisplayError("no pixel was counted, so nothing can be confused; give pictures with objects")
    shares = 100 * accuracy.confusion[rows] / pixels[rows, None]
    labels = accuracy.labels
    figure, ax = plt.subplots(
        figsize=(2.6 + 0.62 * len(labels), 1.8 + 0.42 * len(rows)), layout="constrained"
    )
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if share >= 0.5:
                ax.text(
                    j,
                    i,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=12,
                    color="white" if share > 55 else "black",
                    fontweight="bold" if rows[i] == j else "normal",
                )
    ax.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    ax.set_yticks(range(len(rows)), [labels[row] for row in rows])
    ax.set(xlabel="predicted", ylabel="true")
    ax.grid(visible=False)
    return figure


def accuracy_dots(results: Mapping):
    """Accuracy of each label, a row each, with a mark for every method.

    Parameters
    ----------
    results : mapping of str to (mapping of label to accuracy in percent)
        Methods by name, at most five. Labels in the order of the first one; NaN has no mark.
    """
    import matplotlib.pyplot as plt

    if not 1 <= len(results) <= len(_MARKS):
        raise DisplayError(f"{len(results)} methods are given; show 1 to {len(_MARKS)} in one figure")
    labels = list(next(iter(results.values())))
    table = np.array(
        [[values.get(label, np.nan) for label in labels] for values in results.values()], dtype=float
    )
    figure, ax = plt.subplots(figsize=(9, 1.3 + 0.29 * len(labels)), layout="constrained")
    for row, column in enumerate(table.T):
        if not np.isnan(column).all():
            ends = [np.nanmin(column), np.nanmax(column)]
            ax.plot(ends, [row, row], "-", color=COLOURS["grey"], linewidth=2)
    for (colour, marker), method, values in zip(_MARKS, results, table, strict=False):
        ax.plot(
            values,
            range(len(labels)),
            linestyle="none",
            marker=marker,
            markersize=9,
            color=colour,
            label=f"{method} (mean {np.nanmean(values):.1f})",
        )
    ax.set_yticks(range(len(labels)), labels)
    ax.set(ylim=(len(labels) - 0.4, -0.6), xlim=(0, 100))
    ax.set_xlabel("accuracy: intersection over union of pixels (%)")
    ax.legend(loc="lower right")
    return figure


def features_figure(panels: Mapping):
    """Mean accuracy by features and layer, one panel a source: Table 5 and its repetition.

    Every seed is a small mark, the mean of the seeds a large one; marks of a layer are joined by a line.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Titles to frames with columns ``features``, ``layer`` (empty for O2P) and ``mean`` (percent), one row a
        seed.
    """
    import matplotlib.pyplot as plt

    if not panels:
        raise DisplayError("there is no table to show; give at least one")
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.6 * len(panels), 4.6), squeeze=False, layout="constrained"
    )
    for ax, (title, frame) in zip(axes[0], panels.items(), strict=True):
        kinds = list(dict.fromkeys(frame.features))
        for layer, rows in frame.fillna({"layer": ""}).groupby("layer", sort=True):
            colour, marker, line = _LAYERS.get(layer, _OTHER)
            means = rows.groupby("features")["mean"].mean()
            x = [kinds.index(kind) for kind in means.index]
            order = np.argsort(x)
            ax.plot(
                np.array(x)[order],
                means.to_numpy()[order],
                line if len(x) > 1 else "",
                marker=marker,
                markersize=11,
                color=colour,
                label=layer or "no network",
            )
            for kind, value in means.items():
                # fc7's numbers to the left, all others to the right: the two layers may be close to each other.
                left = layer == "fc7"
                beside = {
                    "xytext": (-10 if left else 10, 0),
                    "textcoords": "offset points",
                    "ha": "right" if left else "left",
                    "va": "center",
                }
                ax.annotate(
                    f"{value:.1f}",
                    (kinds.index(kind), value),
                    color="black",
                    fontsize=12,
                    bbox={
                        "boxstyle": "round,pad=0.1",
                        "facecolor": "white",
                        "edgecolor": "none",
                        "alpha": 0.8,
                    },
                    **beside,
                )
            if len(rows) > len(means):
                ax.plot(
                    [kinds.index(kind) for kind in rows.features],
                    rows["mean"],
                    linestyle="none",
                    marker=marker,
                    markersize=4,
                    color="black",
                )
        ax.set_xticks(range(len(kinds)), kinds)
        ax.set_xlim(-0.4, len(kinds) - 0.4)
        ax.set(title=title, ylabel="mean accuracy (%)", xlabel="features")
        ax.margins(y=0.15)
        ax.legend(loc="best")
    return figure
