"""Figures of notebook 11: two hundred classes, what a class costs, what the features are worth.

Frames in, matplotlib figures out; average precision is in percent, as in the paper's tables. Everything that
differs in colour differs in hatch, marker or line style as well, and numbers stand at the bars.
"""

from collections.abc import Mapping

import numpy as np

from rcnn_helpers.drawing import COLOURS
from rcnn_helpers.errors import DisplayError

_INK = "#222222"
# Series in one plot: colour, hatch of bars, marker and dash of lines.
_LOOKS = (
    (COLOURS["blue"], "", "o", "-"),
    (COLOURS["orange"], "//", "s", "--"),
    (COLOURS["green"], "xx", "^", "-."),
    (COLOURS["purple"], "..", "D", ":"),
    (COLOURS["sky"], "\\\\", "v", (0, (5, 1, 1, 1, 1, 1))),
)
_ROW = 0.42  # inches, of a horizontal bar


def competition(results, aps):
    """mAP of all methods of ILSVRC2013 as bars, and one method's APs as a box plot (R-CNN paper, Fig. 3).

    The paper draws a box for every method. The APs of the others are in no table of it, so there is one box here.

    Parameters
    ----------
    results : DataFrame
        Columns ``method``, ``external_training_data`` and ``post_competition`` (0 or 1), and ``mAP`` in percent.
    aps : DataFrame
        Columns ``class`` and ``AP`` in percent, of the best method of `results`.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    ranked = results.sort_values("mAP", ignore_index=True)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 0.9 + _ROW * len(ranked)), width_ratios=(3, 1), layout="constrained"
    )
    for place, row in enumerate(ranked.itertuples()):
        late = bool(row.post_competition)
        bar = left.barh(
            place,
            row.mAP,
            0.72,
            color=COLOURS["sky"] if late else COLOURS["blue"],
            hatch="//" if late else "",
            edgecolor=_INK,
        )
        left.bar_label(bar, [f"{row.mAP:.1f}"], padding=4)
    names = [
        f"{'* ' if extern else ''}{method}"
        for method, extern in zip(ranked.method, ranked.external_training_data, strict=True)
    ]
    left.set_yticks(range(len(names)), names)
    left.set(xlabel="mAP, %", xlim=(0, 1.14 * ranked.mAP.max()))
    left.grid(axis="y", visible=False)
    left.legend(
        handles=[
            plt.Rectangle(
                (0, 0), 1, 1, facecolor=COLOURS["blue"], edgecolor=_INK, label="in the competition"
            ),
            plt.Rectangle(
                (0, 0), 1, 1, facecolor=COLOURS["sky"], hatch="//", edgecolor=_INK, label="after it"
            ),
        ],
        title="* learned from outside data, too",
        loc="lower right",
    )
    _box_of(right, aps.AP.to_numpy(), ranked.method.iloc[-1])
    return figure


def _box_of(ax, values, name):
    """A box plot as the paper draws it: whiskers to the ends, the median as a line, every value as a dot."""
    ax.boxplot(
        values,
        whis=(0, 100),
        widths=0.5,
        medianprops={"color": COLOURS["vermillion"], "linewidth": 2.5},
        boxprops={"linewidth": 1.6},
    )
    spread = np.random.default_rng(0).uniform(-0.17, 0.17, len(values))
    ax.plot(1 + spread, values, "o", color=COLOURS["green"], markersize=4, alpha=0.5, markeredgewidth=0)
    ax.text(
        1.28, np.median(values), f"median\n{_tenths(np.median(values))}", va="center", fontsize=12, color=_INK
    )
    ax.set_xticks([1], [f"{name}, {len(values)} classes"])
    ax.set(ylabel="AP, %", ylim=(0, 100), xlim=(0.65, 1.6))
    ax.grid(axis="x", visible=False)


def _tenths(value):
    """A number to one digit, halves up: the median of Table 8, 30.25, is 30.3 in the paper's Table 4."""
    return f"{np.floor(10 * value + 0.5 + 1e-6) / 10:.1f}"


def ranked_precisions(aps, *, named: int = 6):
    """The APs of all classes from best to worst, with the names of those at both ends (R-CNN paper, Table 8).

    Parameters
    ----------
    aps : DataFrame
        Columns ``class`` and ``AP`` in percent.
    named : int
        Classes named at each end.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    ranked = aps.sort_values("AP", ascending=False, kind="stable", ignore_index=True)
    values, places = ranked.AP.to_numpy(), np.arange(1, len(ranked) + 1)
    figure, ax = plt.subplots(figsize=(11, 4.6), layout="constrained")
    ax.bar(places, values, 1.0, color=COLOURS["sky"], edgecolor="white", linewidth=0.3)
    for value, style, name in ((values.mean(), "-", "mean"), (np.median(values), "--", "median")):
        ax.axhline(
            value,
            color=COLOURS["vermillion"],
            linestyle=style,
            linewidth=1.8,
            label=f"{name} {_tenths(value)}",
        )
    best, worst = ranked.head(named), ranked.tail(named)
    _names_at(ax, best, 0.16, "best")
    _names_at(ax, worst, 0.80, "worst")
    ax.set(xlabel="class, ranked", ylabel="AP, %", xlim=(0, len(ranked) + 1), ylim=(0, 100))
    ax.legend(loc="upper center")
    return figure


def _names_at(ax, rows, x, title):
    """A list of classes with their APs, the top of it at a share `x` of the width."""
    lines = [f"{name}  {value:.1f}" for name, value in zip(rows["class"], rows.AP, strict=True)]
    ax.text(
        x,
        0.97,
        "\n".join([f"{title} {len(rows)}", *lines]),
        transform=ax.transAxes,
        va="top",
        fontsize=11.5,
        linespacing=1.35,
        bbox={"facecolor": "white", "edgecolor": "#bbbbbb", "alpha": 0.9, "boxstyle": "round,pad=0.4"},
    )


def imbalances(splits: Mapping, *, limits: Mapping | None = None):
    """The relative imbalance of every class, classes in descending order, a line for each way to split.

    Parameters
    ----------
    splits : mapping of str to array of shape [C]
        Relative imbalances from 0 to 1; NaN for classes that are nowhere.
    limits : mapping of str to float, optional
        Horizontal lines to draw, from 0 to 1, such as what the paper has reached.

    Raises
    ------
    DisplayError
        If there is nothing to draw.
    """
    import matplotlib.pyplot as plt

    if not splits:
        raise DisplayError("there is no split to draw; give at least one")
    figure, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
    for number, (name, values) in enumerate(splits.items()):
        colour, _, marker, dash = _LOOKS[number % len(_LOOKS)]
        values = np.asarray(values, float)
        ranked = 100 * np.sort(values[~np.isnan(values)])[::-1]
        ax.plot(
            np.arange(1, len(ranked) + 1),
            ranked,
            color=colour,
            linestyle=dash,
            marker=marker,
            markevery=max(1, len(ranked) // 10),
            label=f"{name}: largest {ranked[0]:.1f}%, median {np.median(ranked):.1f}%",
        )
    for name, value in (limits or {}).items():
        ax.axhline(100 * value, color=_INK, linestyle=(0, (1, 2)), linewidth=1.6)
        ax.text(0.995, 100 * value, name, transform=ax.get_yaxis_transform(), ha="right", va="bottom")
    ax.set(xlabel="class, the most imbalanced first", ylabel="relative imbalance, %", ylim=(0, None))
    ax.legend(loc="upper right")
    return figure


def cost_of_classes(seconds: Mapping, gibibytes: Mapping, *, paper=None, given: float | None = None):
    """Seconds and memory of scoring one image against the number of classes, both axes logarithmic.

    Parameters
    ----------
    seconds, gibibytes : mapping of str to (classes, values)
        Lines by name; two arrays of equal length each.
    paper : tuple of (classes, seconds, gibibytes), optional
        What the paper says, drawn as a star.
    given : float, optional
        Seconds that an image takes before its first class is scored, drawn across the left panel.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for ax, lines, unit in zip(panels, (seconds, gibibytes), ("seconds", "memory, GiB"), strict=True):
        for number, (name, (classes, values)) in enumerate(lines.items()):
            colour, _, marker, dash = _LOOKS[number % len(_LOOKS)]
            ax.plot(classes, values, color=colour, linestyle=dash, marker=marker, label=name)
        ax.set(xscale="log", yscale="log", xlabel="classes", ylabel=unit)
    if given is not None:
        panels[0].axhline(
            given, color=COLOURS["vermillion"], linestyle=(0, (1, 1)), label="features, whatever the classes"
        )
    if paper is not None:
        for ax, value in zip(panels, paper[1:], strict=True):
            ax.plot(paper[0], value, "*", color=_INK, markersize=16, label="the paper")
    for ax in panels:
        if ax.get_legend_handles_labels()[1]:
            ax.legend(loc="lower right", fontsize=11)
    return figure


def paired_bars(labels, values: Mapping, *, label: str):
    """Horizontal bars in groups: a group for each of `labels`, first on top, a bar for each series.

    Parameters
    ----------
    labels : sequence of str
    values : mapping of str to array of the same length
        Series by name; NaN leaves a bar out and says so.
    label : str
        Of the axis of values.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    labels = list(labels)
    thickness = 0.8 / max(len(values), 1)
    lines = max(text.count("\n") + 1 for text in labels) if labels else 1
    height = 1.3 + len(labels) * max(0.34 * len(values), 0.26 * lines) * 1.15
    figure, ax = plt.subplots(figsize=(10, height), layout="constrained")
    highest = 0.0
    for number, (name, each) in enumerate(values.items()):
        colour, hatch, _, _ = _LOOKS[number % len(_LOOKS)]
        each = np.asarray(each, float)
        positions = np.arange(len(labels)) + (number - (len(values) - 1) / 2) * thickness
        bars = ax.barh(
            positions,
            np.nan_to_num(each),
            thickness,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=name,
        )
        ax.bar_label(
            bars, ["not run" if np.isnan(value) else f"{value:.1f}" for value in each], padding=4, fontsize=11
        )
        highest = max(highest, float(np.nanmax(each, initial=0)))
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel=label, xlim=(0, 1.14 * highest or 1), ylim=(len(labels) - 0.45, -0.55))
    ax.grid(axis="y", visible=False)
    if len(values) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(values))
    return figure
