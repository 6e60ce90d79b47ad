"""Figures of a diagnosis, for one detector or several side by side.

They show what Figures 5 and 6 of the R-CNN paper show, and what Hoiem et al. (ECCV 2012) and TIDE (Bolya et al.,
ECCV 2020) add. Kinds of mistakes differ in colour and hatch, and carry their names where there is room; numbers
stand at the bars. All functions return a matplotlib Figure.

Average precision is in percent here, as on the axes of the papers; the functions that compute it return [0, 1].
"""

from collections.abc import Mapping

import numpy as np

from rcnn_helpers.diagnosis.false_positives import FP_TYPES, impact, trends
from rcnn_helpers.diagnosis.looks import LOOKS
from rcnn_helpers.diagnosis.sensitivity import FEWEST_OBJECTS, sensitivity_summary
from rcnn_helpers.drawing import COLOURS
from rcnn_helpers.errors import DisplayError

_IMPACTS = ("Loc fixed", "Loc removed", "Sim removed", "Oth removed", "BG removed")
_INK = "#222222"
_ON_WHITE = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
_LEAST_WIDTH = 7.6  # inches, for the legend of the types in two columns
# Detectors in one plot differ in colour, hatch and marker; the eighth begins anew.
_DETECTORS = (
    (COLOURS["blue"], "", "o"),
    (COLOURS["orange"], "//", "s"),
    (COLOURS["green"], "xx", "^"),
    (COLOURS["purple"], "..", "D"),
    (COLOURS["sky"], "\\\\", "v"),
    (COLOURS["vermillion"], "++", "P"),
    (COLOURS["yellow"], "--", "X"),
)
_PAGE_WIDTH = 14.0  # inches, of a page of small panels
_LEAST_LABELLED = 0.13  # share of an area that has room for its name
_LEAST_NUMBERED = 0.08  # share of a bar that has room for its number


def false_positive_trend(diagnoses: Mapping, *, groups: Mapping | None = None):
    """Types of the top-ranked false positives, as more of them are counted (R-CNN paper, Fig. 5).

    One column of panels for each detector, one row for each group of classes; a single detector's panels stand
    side by side.

    Parameters
    ----------
    diagnoses : mapping of str to Diagnosis
        Detectors by name.
    groups : mapping of str to sequence of str, optional
        Classes to average over; by default the groups of the data set's similar classes, those of which every
        detector searched for a class.

    Raises
    ------
    DisplayError
        If there is no diagnosis, or a group has none of the classes.
    """
    first = _first(diagnoses)
    groups = _searched_groups(diagnoses, first.similar.groups) if groups is None else dict(groups)
    down, across = (len(groups), len(diagnoses)) if len(diagnoses) > 1 else (1, len(groups))
    figure, axes = _panels(down, across, width=4.6, height=3.0, sharex=True, sharey=True)
    panels = [(group, name) for group in groups for name in diagnoses]
    for ax, (group, name) in zip(axes.flat, panels, strict=True):
        diagnosis = diagnoses[name]
        present = [each for each in groups[group] if each in diagnosis.classes]
        if not present:
            raise DisplayError(f"none of the classes of group {group!r} was searched for by {name!r}")
        _stack(ax, trends(diagnosis, present).dropna(how="all"))
        ax.set_title(f"{name}: {group}" if len(groups) > 1 else name)
    for row in axes:
        row[0].set_ylabel("share of the\nfalse positives (%)")
    for ax in axes[-1]:
        ax.set_xlabel("false positives counted, a class")
    _legend_of_types(figure, FP_TYPES)
    return figure


def _searched_groups(diagnoses: Mapping, groups: Mapping) -> dict:
    """Groups of which every detector searched for a class; without any, one of all classes."""
    searched = {
        group: names
        for group, names in groups.items()
        if all(set(names) & set(diagnosis.classes) for diagnosis in diagnoses.values())
    }
    return searched or {"all": _first(diagnoses).classes}


def false_positive_bars(diagnoses: Mapping):
    """Types of each class's false positives, among as many top-ranked ones as the class has objects.

    Parameters
    ----------
    diagnoses : mapping of str to Diagnosis
        One panel each.
    """
    first = _first(diagnoses)
    classes = first.classes
    figure, axes = _panels(1, len(diagnoses), width=5.4, height=1.2 + 0.4 * len(classes), sharey=True)
    for ax, (name, diagnosis) in zip(axes[0], diagnoses.items(), strict=True):
        shares = [_top_shares(diagnosis, each) for each in classes]
        _stacked_bars(ax, classes, np.array(shares).reshape(-1, len(FP_TYPES)))
        ax.set(title=name, xlabel="share of the false positives (%)")
    _legend_of_types(figure, FP_TYPES)
    return figure


def impact_bars(diagnoses: Mapping):
    """What mean AP would gain if all mistakes of a type were removed or, for location, mended.

    Parameters
    ----------
    diagnoses : mapping of str to Diagnosis
        One bar each, beside each other.
    """
    _first(diagnoses)
    gains, names = {}, {}
    for name, diagnosis in diagnoses.items():
        mean = 100 * impact(diagnosis).loc["mean"]
        gains[name] = [mean[change] - mean["AP"] for change in _IMPACTS]
        names[name] = f"{name} (mAP {mean['AP']:.1f})"
    return _grouped_bars(_IMPACTS, gains, names, label="gain in mean average precision (points)")


def tide_bars(results: Mapping):
    """TIDE's delta AP: what mean AP would gain if all errors of a type were mended, each type by itself.

    Below the six types stand the two that mend all false positives, or all missed objects, at once.

    Parameters
    ----------
    results : mapping of str to TideResult
        One bar each, beside each other.
    """
    _first(results)
    types = tuple(next(iter(results.values())).delta_ap)
    gains, names = {}, {}
    for name, result in results.items():
        changes = [*(result.delta_ap[each] for each in types), result.delta_fp, result.delta_fn]
        gains[name] = [100 * change for change in changes]
        names[name] = f"{name} (mAP {100 * result.ap:.1f})"
    labels = (*types, "all false\npositives", "all missed\nobjects")
    return _grouped_bars(labels, gains, names, label="gain in mean average precision (points)")


def sensitivity_summary_figure(frames: Mapping):
    """How far normalised AP depends on what an object looks like (R-CNN paper, Fig. 6).

    For each characteristic, the lowest and the highest of its subsets, averaged over the classes; the dashed line
    is the average over all objects. A long line means: sensitive. A high one: good where objects are easy.

    Parameters
    ----------
    frames : mapping of str to pandas frame
        From `rcnn_helpers.diagnosis.sensitivity.sensitivity`, one panel each.

    Raises
    ------
    DisplayError
        If there is no frame, or one with too few objects for any comparison.
    """
    _first(frames)
    summaries = {name: sensitivity_summary(frame) for name, frame in frames.items()}
    if any(summary.empty for summary in summaries.values()):
        raise DisplayError(
            f"no class has two subsets of at least {FEWEST_OBJECTS} objects by any characteristic; "
            "diagnose more images"
        )
    width = 1.5 + 0.95 * max(len(summary) for summary in summaries.values())
    across = 1 if width * len(frames) > 16 else len(frames)
    down = -(-len(frames) // across)
    figure, axes = _panels(down, across, width=width, height=4.6, sharey=True)
    for ax, (name, summary) in zip(axes.flat, summaries.items(), strict=True):
        _ranges(ax, summary)
        ax.set_title(name)
    highest = max(100 * summary["highest"].max() for summary in summaries.values())
    axes[0, 0].set_ylim(-8, max(20, highest + 12))
    for row in axes:
        row[0].set_ylabel("normalised AP (%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def sensitivity_by_class(frame, characteristic: str):
    """Normalised AP of each subset of a characteristic, one panel a class, with its standard error.

    The dashed line is that of all objects of the class.

    Parameters
    ----------
    frame : pandas frame
        From `rcnn_helpers.diagnosis.sensitivity.sensitivity`.
    characteristic : str
        One of the frame's, such as ``"box area"``.

    Raises
    ------
    DisplayError
        If the frame does not have it.
    """
    rows = frame[frame["characteristic"] == characteristic]
    if rows.empty:
        known = ", ".join(dict.fromkeys(frame["characteristic"]))
        raise DisplayError(f"there is no characteristic {characteristic!r}; choose one of {known}")
    by_class = list(rows.groupby("class", sort=False))
    is_paired = rows["subset"].str.endswith((": visible", ": hidden")).all()
    draw, room = (_pairs, 0.48) if is_paired else (_subsets, 0.62)
    most = max(part["subset"].str.split(":").str[0].nunique() for _, part in by_class)
    across = max(1, min(len(by_class), int(_PAGE_WIDTH / (1.0 + room * most))))
    down = -(-len(by_class) // across)
    figure, axes = _panels(down, across, width=_PAGE_WIDTH / across, height=3.1, sharey=True)
    for ax in axes.flat[len(by_class) :]:
        ax.set_visible(False)
    for ax, (name, part) in zip(axes.flat, by_class, strict=False):
        draw(ax, part)
        ax.axhline(100 * part["class_ap_n"].iloc[0], color="black", linestyle="--", linewidth=1.6)
        ax.set(title=name, ylim=(0, 115), yticks=range(0, 101, 20))
        ax.set_xlim(-0.6, max(ax.get_xticks().max(), 2) + 0.6)  # no bar becomes a wall
        ax.grid(axis="x", visible=False)
    for row in axes:
        row[0].set_ylabel("normalised AP (%)")
    title = f"{characteristic}; numbers of objects below, pale: fewer than {FEWEST_OBJECTS}"
    if is_paired:
        handles = _legend_handles(_VISIBILITY)
        figure.legend(handles=handles, loc="outside upper center", ncols=2, title=title)
    else:
        figure.suptitle(title, fontsize=14)
    return figure


def agreement_figure(frame):
    """Where Hoiem's types and TIDE's meet: counts of detections, darker for a larger share of the row.

    Parameters
    ----------
    frame : pandas frame
        From `rcnn_helpers.diagnosis.tide.agreement`: Hoiem's types down, TIDE's across.
    """
    import matplotlib.pyplot as plt

    counts = frame.to_numpy(dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure, ax = plt.subplots(
        figsize=(2.2 + 1.25 * counts.shape[1], 1.6 + 0.75 * counts.shape[0]), layout="constrained"
    )
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for i, j in np.ndindex(*counts.shape):
        ink = "white" if shares[i, j] > 0.7 else _INK
        ax.text(j, i, f"{counts[i, j]:,.0f}", ha="center", va="center", fontsize=14, color=ink)
    ax.set_xticks(range(counts.shape[1]), [str(name) or "none" for name in frame.columns], fontsize=14)
    ax.set_yticks(range(counts.shape[0]), [str(name) or "none" for name in frame.index], fontsize=14)
    ax.set(xlabel="type by TIDE", ylabel="type by Hoiem et al.")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


# -- pieces ------------------------------------------------------------------------------------------------


def _first(detectors):
    if not detectors:
        raise DisplayError("there is nothing to draw; give at least one detector by its name")
    return next(iter(detectors.values()))


def _panels(down, across, *, width, height, **options):
    """Figure and axes [down, across], each panel so many inches wide and high."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        down,
        across,
        figsize=(max(_LEAST_WIDTH, width * across), height * down + 0.7),
        squeeze=False,
        layout="constrained",
        **options,
    )
    figure.get_layout_engine().set(
        wspace=0.06
    )  # else the last tick of one panel runs into the next one's first
    return figure, axes


def _stack(ax, shares):
    """Shares of the types as areas over the number of false positives, each named where it is thickest."""
    x = shares.index.to_numpy(dtype=float)
    values = 100 * shares[list(FP_TYPES)].to_numpy()
    tops = np.cumsum(values, axis=1)
    bottoms = tops - values
    for number, kind in enumerate(FP_TYPES):
        look = LOOKS[kind]
        ax.fill_between(
            x,
            bottoms[:, number],
            tops[:, number],
            facecolor=look.colour,
            hatch=look.hatch,
            edgecolor=_INK,
            linewidth=0.8,
        )
        if len(x) and values[:, number].max() >= 100 * _LEAST_LABELLED:
            _name_area(ax, kind, x, bottoms[:, number], tops[:, number])
    ax.set_xscale("log", base=2)
    ax.set_xticks([25, 100, 400, 1600], ["25", "100", "400", "1600"])
    ax.set(xlim=(25, 3200), ylim=(0, 100))
    ax.minorticks_off()


def _name_area(ax, name, x, bottom, top):
    """Write a name into an area, near where it is thickest but not across the panel's edge."""
    inside = np.arange(len(x))[1:-1] if len(x) > 2 else np.arange(len(x))
    place = inside[np.argmax((top - bottom)[inside])]
    ax.text(
        x[place],
        (bottom[place] + top[place]) / 2,
        name,
        ha="center",
        va="center",
        fontsize=14,
        fontweight="bold",
        color=_INK,
        bbox=_ON_WHITE,
    )


def _top_shares(diagnosis, name):
    """Share of each type among a class's best-scored false positives, as many as it has objects."""
    rows = diagnosis.rows(name, limit=diagnosis.truth.n_positives(name))
    kinds = diagnosis.fp_type[rows]
    return [np.count_nonzero(kinds == kind) / max(len(rows), 1) for kind in FP_TYPES]


def _stacked_bars(ax, names, shares):
    """A full bar for each name from the top down, with the percentages in those parts that have room."""
    positions = np.arange(len(names))
    left = np.zeros(len(names))
    for number, kind in enumerate(FP_TYPES):
        look, part = LOOKS[kind], shares[:, number]
        ax.barh(
            positions,
            100 * part,
            0.8,
            left=100 * left,
            color=look.colour,
            hatch=look.hatch,
            edgecolor=_INK,
            linewidth=0.6,
        )
        for position in np.flatnonzero(part >= _LEAST_NUMBERED):
            middle = 100 * (left[position] + part[position] / 2)
            _number(ax, middle, position, f"{100 * part[position]:.0f}")
        left += part
    for position in np.flatnonzero(left == 0):
        ax.text(2, position, "no false positives", va="center", fontsize=12)
    ax.set_yticks(positions, names)
    ax.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)


def _number(ax, x, y, text):
    ax.text(x, y, text, ha="center", va="center", fontsize=11, color=_INK, bbox=_ON_WHITE)


def _grouped_bars(labels, values, names, *, label):
    """Horizontal bars with numbers at their ends: a group for each label, in it a bar for each detector."""
    import matplotlib.pyplot as plt

    thickness = 0.8 / len(values)
    figure, ax = plt.subplots(
        figsize=(9.5, 1.5 + len(labels) * (0.35 + 0.27 * len(values))), layout="constrained"
    )
    largest = np.nanmax([0.0, *(value for column in values.values() for value in column)])
    for number, (name, column) in enumerate(values.items()):
        colour, hatch, _ = _DETECTORS[number % len(_DETECTORS)]
        positions = np.arange(len(labels)) + (number - (len(values) - 1) / 2) * thickness
        bars = ax.barh(
            positions,
            np.nan_to_num(column),
            thickness * 0.92,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=names[name],
        )
        ax.bar_label(
            bars, ["–" if np.isnan(value) else f"{value:+.1f}" for value in column], padding=4, fontsize=12
        )
    ax.axvline(0, color=_INK, linewidth=1)
    ax.set_yticks(range(len(labels)), labels, fontsize=13)
    ax.set(xlabel=label, ylim=(len(labels) - 0.5, -0.5), xlim=(None, 1.15 * largest or 1))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=min(len(values), 3))
    return figure


def _ranges(ax, summary):
    """Lowest and highest of each characteristic as a line between two markers, with the numbers."""
    positions = np.arange(len(summary))
    low, high, average = (100 * summary[column].to_numpy() for column in ("lowest", "highest", "average"))
    ax.vlines(positions, low, high, color=COLOURS["blue"], linewidth=4)
    ax.plot(positions, high, "^", color=COLOURS["blue"], markersize=11, label="best subset")
    ax.plot(positions, low, "v", color=COLOURS["vermillion"], markersize=11, label="worst subset")
    ax.hlines(
        average,
        positions - 0.35,
        positions + 0.35,
        color="black",
        linestyle="--",
        linewidth=2,
        label="all objects",
    )
    for position, lowest, highest in zip(positions, low, high, strict=True):
        ax.annotate(f"{highest:.0f}", (position, highest), (0, 9), **_NUMBER)
        ax.annotate(f"{lowest:.0f}", (position, lowest), (0, -22), **_NUMBER)
    ax.set_xticks(positions, [_two_lines(name) for name in summary.index])
    ax.set_xlim(-0.6, len(summary) - 0.4)
    ax.set_yticks(range(0, 101, 20))
    ax.grid(axis="x", visible=False)


_NUMBER = {"textcoords": "offset points", "ha": "center", "fontsize": 13}


def _subsets(ax, rows):
    """Normalised AP of the subsets of one class, side by side."""
    positions = np.arange(len(rows))
    _bars_with_errors(ax, positions, rows, 0.7, LOOKS["Loc"], font_size=13)
    labels = [f"{name}\n{n}" for name, n in zip(rows["subset"], rows["n"], strict=True)]
    ax.set_xticks(positions, labels, fontsize=12 if len(rows) < 5 else 11)


def _pairs(ax, rows):
    """Normalised AP where each part or side is visible, and beside it where it is hidden."""
    split = rows["subset"].str.rsplit(": ", n=1)
    parts = list(dict.fromkeys(split.str[0]))
    for shift, (state, look) in zip((-0.2, 0.2), _VISIBILITY.items(), strict=True):
        of_state = rows[split.str[1] == state]
        positions = np.array([parts.index(part) for part in split.str[0][of_state.index]]) + shift
        _bars_with_errors(ax, positions, of_state, 0.38, look, font_size=10)
    numbers = [" | ".join(str(n) for n in rows["n"][split.str[0] == part]) for part in parts]
    labels = [f"{part}\n{n}" for part, n in zip(parts, numbers, strict=True)]
    ax.set_xticks(range(len(parts)), labels, fontsize=11, rotation=40 if len(parts) > 6 else 0)


_VISIBILITY = {"visible": LOOKS["Loc"], "hidden": LOOKS["Sim"]}


def _bars_with_errors(ax, positions, rows, width, look, *, font_size):
    """Bars with standard errors and a number above each; pale where there are few objects."""
    values = 100 * np.nan_to_num(rows["ap_n"].to_numpy())
    errors = 100 * np.nan_to_num(rows["standard_error"].to_numpy())
    bars = ax.bar(positions, values, width, color=look.colour, hatch=look.hatch, edgecolor=_INK)
    for bar, n in zip(bars, rows["n"], strict=True):
        bar.set_alpha(1.0 if n >= FEWEST_OBJECTS else 0.35)
    ax.errorbar(positions, values, yerr=errors, fmt="none", ecolor="black", elinewidth=1.5, capsize=4)
    for position, value, error, n in zip(positions, values, errors, rows["n"], strict=True):
        if n:
            top = value + error + 2
            ax.text(position, top, f"{value:.0f}", ha="center", fontsize=font_size, bbox=_ON_WHITE)


def _legend_of_types(figure, kinds):
    handles = _legend_handles({f"{kind}: {LOOKS[kind].word}": LOOKS[kind] for kind in kinds})
    columns = 2 if figure.get_figwidth() < 13 else 4
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=2.2)


def _legend_handles(looks):
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=look.colour, hatch=look.hatch, edgecolor=_INK, label=label)
        for label, look in looks.items()
    ]


def _two_lines(name):
    return str(name).replace(" ", "\n", 1)
