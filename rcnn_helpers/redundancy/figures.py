"""Figures of planted copies: how far each kind of change moves a picture, and what a threshold then finds."""

from collections.abc import Mapping, Sequence

import numpy as np

from rcnn_helpers.drawing import COLOURS

_MARKERS = "os^DvPX"  # the style of the course tells lines by colour and dash; without it these still do


def distances_by_kind(summaries: Sequence[Mapping], *, threshold: float | None = None, title: str = ""):
    """Draw a line a kind of change: where its copies lie, and where other pictures begin.

    Parameters
    ----------
    summaries : sequence of dicts
        From `Planted.summary`, each with its ``kind``.
    threshold : float, optional
        Marked by a line.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    import matplotlib.pyplot as plt

    def column(name):
        return np.array([each[name] for each in summaries], dtype=float)  # None, as JSON has it, becomes NaN

    figure, ax = plt.subplots(figsize=(9.5, 0.3 * len(summaries) + 1.2), layout="constrained")
    rows = np.arange(len(summaries))
    ax.barh(rows, column("distance_99"), height=0.55, color=COLOURS["sky"], label="copies: 99% of them")
    look = {"color": "black", "markersize": 12, "markeredgewidth": 2, "linestyle": ""}
    ax.plot(column("median_distance"), rows, "|", label="copies: median", **look)
    for name, marker, what in (("stranger_lowest", "<", "the nearest"), ("stranger_median", "D", "median")):
        look = {"color": COLOURS["vermillion"], "linestyle": ""}
        ax.plot(column(name), rows, marker, label=f"other pictures: {what}", **look)
    if threshold is not None:
        ax.axvline(threshold, color="black", linestyle=":", label=f"threshold {threshold:g}")
    ax.set_yticks(rows, [each["kind"] for each in summaries])
    ax.invert_yaxis()
    ax.set_xlim(0, None)
    ax.set_xlabel("distance to the nearest picture of the database")
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def recall_by_threshold(
    thresholds, recalls: Mapping[str, Sequence[float]], false_alarms=None, *, title: str = ""
):
    """Draw the share of copies found against the threshold, a line a kind, and the number of false alarms.

    Parameters
    ----------
    thresholds : array-like of shape [T]
    recalls : mapping of str to array-like of shape [T]
        By kind of change, from 0 to 1.
    false_alarms : array-like of shape [T], optional
        Numbers of queries; drawn against an axis of their own.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
    for number, (kind, values) in enumerate(recalls.items()):
        marker = _MARKERS[number % len(_MARKERS)]
        ax.plot(thresholds, 100 * np.asarray(values, dtype=float), marker=marker, label=kind)
    ax.set_xlabel("threshold of the distance")
    ax.set_ylabel("copies found (%)")
    ax.set_ylim(-2, 102)
    ax.set_title(title)
    if false_alarms is not None:
        other = ax.twinx()
        other.fill_between(thresholds, false_alarms, step=None, color=COLOURS["grey"], alpha=0.5)
        other.set_ylabel("false alarms (grey)")
        other.set_ylim(0, max(10, 2 * max(false_alarms)))
        other.grid(visible=False)
        ax.set_zorder(other.get_zorder() + 1)
        ax.patch.set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1.12, 0.5), fontsize=9)
    return figure
