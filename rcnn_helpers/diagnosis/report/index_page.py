"""The first page of a report: numbers and figures of all detectors, each number with its page."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rcnn_helpers.diagnosis import figures
from rcnn_helpers.diagnosis.false_positives import FP_TYPES, counts, impact, trends
from rcnn_helpers.diagnosis.looks import LOOKS, TIDE_LOOKS
from rcnn_helpers.diagnosis.report.elements import Markup, element, join, page, table
from rcnn_helpers.diagnosis.sensitivity import sensitivity_summary
from rcnn_helpers.diagnosis.tide import agreement
from rcnn_helpers.plots import figure_pixels

_COUNTED = ("tp", *FP_TYPES, "ignored", "missed")
_MOST_COLUMNS = 12
_LEAST_NUMBERED = 0.1  # share of a bar that has room for its number


@dataclass(frozen=True)
class Material:
    """What the page is made of: see `rcnn_helpers.diagnosis.report.write_report`; `links` lead to the pages."""

    dataset: object
    diagnoses: dict
    tides: dict
    sensitivities: dict
    links: dict[tuple[str, str, str], str] = field(repr=False)


def write_index(folder: Path, material: Material) -> None:
    """Write ``index.html`` and the figures beside it."""
    (folder / "figures").mkdir()
    parts = [_introduction(material), _comparison(material), _types(folder, material)]
    parts += [_counts(name, material) for name in material.diagnoses]
    parts += [_impact(folder, material), _tide(folder, material), _sensitivity(folder, material)]
    text = page("Detection error diagnosis", *parts, style="style.css")
    (folder / "index.html").write_text(text, encoding="utf-8")


def _introduction(material):
    dataset, first = material.dataset, next(iter(material.diagnoses.values()))
    root = getattr(dataset, "root", None)
    where = f"{Path(root).name}, split {dataset.split}: " if root is not None else ""
    n_counted = sum(first.truth.n_positives(name) for name in first.classes)
    return element(
        "p",
        f"{where}{len(first.truth.image_ids):,} images, {len(first.classes)} classes searched for, {n_counted:,} "
        f"objects to be found. A detection is right from an IoU of {first.match_iou:g} with an object; "
        f"average precision by the metric {first.metric}. Follow any number to see what is behind it.",
    )


def _comparison(material):
    """One line a detector."""
    rows = []
    for name, diagnosis in material.diagnoses.items():
        total = counts(diagnosis).sum()
        rows.append((name, _percent(diagnosis.mean_ap), *(f"{total[kind]:,}" for kind in _COUNTED)))
    header = ("detector", "mean AP (%)", *(_heading(kind) for kind in _COUNTED))
    return join(
        [
            element("h2", "All classes together"),
            table(header, rows, caption="Numbers of detections; missed: of objects."),
        ]
    )


def _types(folder, material):
    """How the types change down the ranking."""
    sentences = []
    for name, diagnosis in material.diagnoses.items():
        shares = trends(diagnosis, counts=(25, 400))
        told = [
            ", ".join(f"{kind} {_percent(share, 0)}%" for kind, share in shares.loc[n].items())
            for n in (25, 400)
        ]
        sentences.append(f"{name}, all classes: {told[0]} of the first 25; {told[1]} of the first 400.")
    return element(
        "section",
        element("h2", "Which mistakes come first"),
        element(
            "p",
            "The false positives of each class are taken from the best score down. The figure shows the share of "
            "each type, averaged over the classes of a group.",
        ),
        _figure(
            folder,
            "trend",
            figures.false_positive_trend(material.diagnoses),
            "Share of each type among the top-ranked false positives. " + " ".join(sentences),
        ),
    )


def _counts(detector, material):
    """Class by class: AP, numbers with links, and a bar of the top-ranked false positives."""
    diagnosis = material.diagnoses[detector]
    totals = counts(diagnosis)
    rows = []
    for name in diagnosis.classes:
        cells = [
            _linked(f"{totals.loc[name, kind]:,}", (detector, name, kind), material) for kind in _COUNTED
        ]
        rows.append((name, _percent(diagnosis.ap[name]), *cells, _bar(detector, name, material)))
    header = ("class", "AP (%)", *(_heading(kind) for kind in _COUNTED), "top false positives by type")
    return element(
        "section",
        element("h2", f"Class by class: {detector}" if len(material.diagnoses) > 1 else "Class by class"),
        _key(),
        table(
            header,
            rows,
            caption="The bar: as many of the best-scored false positives as the class has objects; numbers in %.",
        ),
    )


def _bar(detector, name, material):
    """Shares of the types among a class's top-ranked false positives; each part leads to its page."""
    diagnosis = material.diagnoses[detector]
    kinds = diagnosis.fp_type[diagnosis.rows(name, limit=diagnosis.truth.n_positives(name))]
    parts = []
    for kind in FP_TYPES:
        share = np.count_nonzero(kinds == kind) / max(len(kinds), 1)
        if share:
            number = element("span", f"{100 * share:.0f}") if share >= _LEAST_NUMBERED else ""
            parts.append(
                element(
                    "a",
                    number,
                    class_=kind,
                    href=material.links[detector, name, kind],
                    style=f"width: {100 * share:.2f}%",
                    title=f"{kind}: {100 * share:.0f}%",
                    aria_label=f"{name}, {kind}: {100 * share:.0f}%",
                )
            )
    return element("div", *parts, class_="bar") if parts else ""


def _impact(folder, material):
    frames = {name: impact(diagnosis) for name, diagnosis in material.diagnoses.items()}
    details = [
        _frame(frame, f"{name}: average precision in % after each change") for name, frame in frames.items()
    ]
    told = [
        f"{name}: "
        + ", ".join(
            f"{change} {_points(frame.loc['mean', change] - frame.loc['mean', 'AP'])}"
            for change in frame
            if change != "AP"
        )
        for name, frame in frames.items()
    ]
    return element(
        "section",
        element("h2", "What each type costs"),
        element(
            "p",
            "Removing a type takes its false positives out of the ranking. Fixing location also moves them onto "
            "their objects.",
        ),
        _figure(
            folder,
            "impact",
            figures.impact_bars(material.diagnoses),
            "Gain in mean average precision, in points. " + "; ".join(told) + ".",
        ),
        element("details", element("summary", "Class by class"), *details),
    )


def _tide(folder, material):
    if not material.tides:
        return Markup()
    words = "; ".join(f"{kind}: {look.word}" for kind, look in TIDE_LOOKS.items())
    told = [
        f"{name}: " + ", ".join(f"{kind} {_points(gain)}" for kind, gain in result.delta_ap.items())
        for name, result in material.tides.items()
    ]
    meetings = []
    for name, result in material.tides.items():
        frame = agreement(material.diagnoses[name], result)
        rows = [(kind, *(f"{count:,}" for count in row)) for kind, row in frame.iterrows()]
        caption = f"{name}: numbers of false positives, types by Hoiem et al. down, by TIDE across"
        meetings.append(table(("", *frame.columns), rows, caption=caption))
    return element(
        "section",
        element("h2", "The same by TIDE"),
        element(
            "p",
            f"TIDE sorts by other rules ({words}), and mends each type by itself. So its gains do not add up to "
            "what is missing.",
        ),
        _figure(
            folder,
            "tide",
            figures.tide_bars(material.tides),
            "Gain in mean average precision, in points, if one type is mended. " + "; ".join(told) + ".",
        ),
        element("h3", "Where the two agree"),
        *meetings,
    )


def _sensitivity(folder, material):
    usable = {
        name: frame for name, frame in material.sensitivities.items() if len(sensitivity_summary(frame))
    }
    if not usable:
        return Markup()
    details, told = [], []
    for name, frame in usable.items():
        summary = sensitivity_summary(frame)
        told += [
            f"{name}, {row.Index}: {_percent(row.lowest, 0)} to {_percent(row.highest, 0)}"
            for row in summary.itertuples()
        ]
        for characteristic in summary.index:
            heading = f"{name}, class by class: {characteristic}"
            numbers = _subsets(frame[frame["characteristic"] == characteristic], heading)
            details.append(element("details", element("summary", heading), numbers))
    return element(
        "section",
        element("h2", "Which objects are found"),
        element(
            "p",
            "Objects are sorted by one characteristic at a time. The lines go from the worst to the best subset, "
            "averaged over the classes, in normalised average precision, which compares common with rare objects.",
        ),
        _figure(
            folder,
            "sensitivity",
            figures.sensitivity_summary_figure(usable),
            "Normalised AP in %, worst to best subset. " + "; ".join(told) + ".",
        ),
        *_left_out(next(iter(usable.values()))),
        *details,
    )


# -- pieces ------------------------------------------------------------------------------------------------


def _figure(folder, name, figure, alt):
    """Write a matplotlib figure as a picture, and return the element that shows it."""
    pixels = figure_pixels(figure)
    Image.fromarray(pixels).save(folder / "figures" / f"{name}.png", optimize=True)
    height, width = pixels.shape[:2]
    return element("p", element("img", src=f"figures/{name}.png", alt=alt, width=width, height=height))


def _frame(frame, caption):
    """A frame of fractions as a table of percentages."""
    rows = [
        (name, *(_percent(value) for value in row))
        for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return table((frame.index.name or "", *frame.columns), rows, caption=caption)


def _left_out(frame):
    """Why some characteristics are missing; the same for all detectors, as it is about the objects."""
    reasons = frame.attrs.get("left_out", {})
    return [element("p", f"Without {what}: {why}.") for what, why in reasons.items()]


def _subsets(rows, caption):
    """Normalised AP by class and subset: across where there are few subsets, else one below the other."""
    caption = f"{caption}. Normalised AP in % (number of objects)"
    subsets = list(dict.fromkeys(rows["subset"]))
    cells = {
        (name, subset): f"{_percent(ap, 0)} ({n})"
        for name, subset, ap, n in rows[["class", "subset", "ap_n", "n"]].itertuples(index=False)
    }
    if len(subsets) > _MOST_COLUMNS:
        lines = [(f"{name}, {subset}", text) for (name, subset), text in cells.items()]
        return table(("class and subset", "AP"), lines, caption=caption)
    classes = dict.fromkeys(rows["class"])
    lines = [(name, *(cells.get((name, subset), "") for subset in subsets)) for name in classes]
    return table(("class", *subsets), lines, caption=caption)


def _linked(text, key, material):
    address = material.links.get(key)
    return text if address is None else element("a", text, href=address)


def _key():
    """What the colours of the bars mean."""
    keys = []
    for kind in FP_TYPES:
        swatch = element("span", class_=f"swatch {kind}")
        keys.append(element("span", swatch, f"{kind}: {LOOKS[kind].word}", class_="key"))
    return element("p", *keys)


def _heading(kind):
    return "right" if kind == "tp" else kind


def _percent(fraction, digits=1):
    return "–" if np.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def _points(difference):
    return f"{100 * difference:+.1f}"
