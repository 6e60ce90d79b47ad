"""Pictures of the table: verdicts by section, and the paper's differences beside ours."""

import math
from collections.abc import Sequence

from rcnn_helpers.claims.model import (
    HOLDS,
    NOT_COMPARABLE,
    NOT_RUN,
    REVERSE,
    SHOWN,
    UNDECIDED,
    VERDICTS,
    Line,
)
from rcnn_helpers.drawing import COLOURS
from rcnn_helpers.errors import DisplayError

# A verdict is told by colour, by hatch and by a sign.
LOOKS = {
    HOLDS: (COLOURS["green"], "", "+"),
    REVERSE: (COLOURS["vermillion"], "xx", "−"),
    UNDECIDED: (COLOURS["yellow"], "..", "?"),
    NOT_COMPARABLE: (COLOURS["sky"], "//", "="),
    SHOWN: (COLOURS["purple"], "\\\\", "o"),
    NOT_RUN: ("#FFFFFF", "", ""),
}


def verdict_bars(lines: Sequence[Line], ax=None):
    """How many claims of each section came to which verdict, as stacked bars.

    Parameters
    ----------
    lines : sequence of Line
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    import matplotlib.pyplot as plt

    if not lines:
        raise DisplayError("there are no claims to draw; give the lines of `table`")
    sections = list(dict.fromkeys(line.claim.section for line in lines))
    if ax is None:
        _, ax = plt.subplots(figsize=(10, 0.5 * len(sections) + 1.6))
    start = [0] * len(sections)
    for verdict in VERDICTS:
        counts = [
            sum(line.claim.section == section and line.finding.verdict == verdict for line in lines)
            for section in sections
        ]
        if not any(counts):
            continue
        colour, hatch, _ = LOOKS[verdict]
        bars = ax.barh(
            sections,
            counts,
            left=start,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.8,
            label=verdict,
        )
        ax.bar_label(
            bars,
            [str(count) if count else "" for count in counts],
            label_type="center",
            fontsize=11,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
        )
        start = [before + count for before, count in zip(start, counts, strict=True)]
    ax.invert_yaxis()
    ax.set(xlabel="claims")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(LOOKS), fontsize=10, frameon=False)
    return ax


def with_differences(lines: Sequence[Line]) -> list[Line]:
    """Those lines that have a difference of ours."""
    return [line for line in lines if not math.isnan(line.finding.difference)]


def difference_plot(lines: Sequence[Line], ax=None):
    """The paper's differences and ours, a claim a row, largest of the paper's first.

    Ours is a dot, the mean, among strokes, the seeds (a diamond where there is one seed); the paper's is a ring.

    Parameters
    ----------
    lines : sequence of Line
        Those without a difference of ours are left out.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DisplayError
        If no line has a difference.
    """
    import matplotlib.pyplot as plt

    kept = with_differences(lines)
    if not kept:
        raise DisplayError("no claim has a difference of ours; run the commands of the table first")
    kept = sorted(kept, key=_rank)
    if ax is None:
        _, ax = plt.subplots(figsize=(10, 0.36 * len(kept) + 1.8))
    for row, line in enumerate(kept):
        finding = line.finding
        colour, _, sign = LOOKS[finding.verdict]
        if not math.isnan(finding.paper_difference):
            between = [finding.paper_difference, finding.difference]
            ax.plot(between, [row, row], "-", color=COLOURS["grey"], linewidth=1.5, zorder=1)
            ax.plot(finding.paper_difference, row, "o", color="white", markeredgecolor="black", markersize=9)
        ax.plot(finding.values, [row] * finding.seeds, "|", color="black", markersize=14, markeredgewidth=1.8)
        marker = "o" if finding.seeds > 1 else "D"
        ax.plot(finding.difference, row, marker, color=colour, markeredgecolor="black", markersize=9)
        ax.annotate(
            sign, (1.0, row), xycoords=("axes fraction", "data"), xytext=(6, -4), textcoords="offset points"
        )
    ax.axvline(0, color="black", linewidth=1)
    ax.set_yticks(range(len(kept)), [line.claim.id for line in kept], fontsize=11)
    ax.invert_yaxis()
    ax.set(xlabel="difference in points (mAP, or mean accuracy in segmentation)")
    _legend(ax, {line.finding.verdict for line in kept}, any(line.finding.seeds == 1 for line in kept))
    return ax


def _legend(ax, verdicts, has_single_seeds: bool) -> None:
    from matplotlib.lines import Line2D

    def dot(colour, label, marker="o"):
        return Line2D(
            [],
            [],
            marker=marker,
            linestyle="",
            color="black",
            markerfacecolor=colour,
            markersize=9,
            label=label,
        )

    stroke = Line2D([], [], marker="|", linestyle="", color="black", markersize=12, label="ours, each seed")
    handles = [dot("white", "the paper"), stroke]
    handles += [
        dot(LOOKS[verdict][0], f"mean: {verdict} ({LOOKS[verdict][2]})")
        for verdict in VERDICTS
        if verdict in verdicts
    ]
    if has_single_seeds:
        handles.append(dot("white", "ours, one seed only", "D"))
    ax.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, fontsize=10, frameon=False
    )


def _rank(line: Line) -> float:
    paper = line.finding.paper_difference
    return math.inf if math.isnan(paper) else -paper
