"""The experiment table as text, in the manner of the paper's Table 2."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rcnn_helpers.ablation.reading import class_columns, paper_row, row_of, summary
from rcnn_helpers.ablation.rows import FIELDS
from rcnn_helpers.datasets.voc import VOC_CLASSES

# The paper's own abbreviations, in its tables' heads.
_SHORT = {
    "aeroplane": "aero",
    "bicycle": "bike",
    "diningtable": "table",
    "motorbike": "mbike",
    "pottedplant": "plant",
    "tvmonitor": "tv",
}
_SHORT_LENGTH = 6


def format_table(frame: pd.DataFrame, *, paper: bool = False, width: int | None = None) -> str:
    """A frame of `ablate` as the paper prints Table 2: rows by classes, mAP last, percent.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `ablate`, or read back from its CSV.
    paper : bool
        Put the paper's row under each row that it has, with the mean over the classes of `frame`; only where all
        of these are PASCAL VOC's.
    width : int, optional
        Columns of the screen; classes that do not fit go to a block of their own.
    """
    classes = class_columns(frame)
    rows = [row_of(record) for record in frame.drop_duplicates(list(FIELDS)).to_dict("records")]
    names, lines = [], []
    for row, line in zip(rows, summary(frame).to_dict("records"), strict=True):
        names.append(row.name)
        lines.append([*(number(line[name]) for name in (*classes, "mAP")), number(line["seconds"], 0)])
        lines[-1][-2] += spread(line["spread"])
        beside = paper_row(row) if paper and set(classes) <= set(VOC_CLASSES) else None
        if beside is not None:
            values = beside[classes].tolist()
            names.append(f"  paper: {beside.name}")
            lines.append([*map(number, (*values, np.mean(values))), ""])
    return as_text(names, [*shortened(classes), "mAP", "seconds"], lines, width)


def format_signs(table: pd.DataFrame) -> str:
    """The frame of `signs` as text: each claim, and below it the comparisons that speak for or against it."""
    if table.empty:
        return "No rows here differ in just what a claim of the paper is about."
    indented = [f"    {compared}" for compared in table["compared"]]
    cells = [
        [
            f"{line['mean']:+.1f}" + spread(line["spread"]),
            f"{line['smallest']:+.1f} to {line['largest']:+.1f}",
            str(line["seeds"]),
            line["paper"] or "-",
            line["verdict"],
        ]
        for line in table.to_dict("records")
    ]
    head, *lines = as_text(
        indented, ["points", "range", "seeds", "paper", "verdict"], cells, None
    ).splitlines()
    text = [head]
    claims = [f"{line['claim']} ({line['source']})" for line in table.to_dict("records")]
    for place, (claim, line) in enumerate(zip(claims, lines, strict=True)):
        if place == 0 or claim != claims[place - 1]:
            text.append(claim)
        text.append(line)
    return "\n".join(text)


def shortened(names: Sequence[str]) -> list[str]:
    """Names cut to six letters, or to as many as tell them apart; VOC's as the paper has them."""
    names = [_SHORT.get(name, name) for name in names]
    length = _SHORT_LENGTH
    while len({name[:length] for name in names}) < len(set(names)):
        length += 1
    return [name[:length] for name in names]


def as_text(names: Sequence[str], head: Sequence[str], lines: Sequence[Sequence[str]], width) -> str:
    """A table of texts, names to the left and cells to the right; columns that do not fit go to further blocks."""
    names = ["", *names]
    indent = max(map(len, names))
    blocks, used = [[]], indent
    for column in zip(head, *lines, strict=True):
        wide = max(map(len, column)) + 2
        if width is not None and blocks[-1] and used + wide > width:
            blocks.append([])
            used = indent
        blocks[-1].append([cell.rjust(wide) for cell in column])
        used += wide
    return "\n\n".join(
        "\n".join(
            "".join([name.ljust(indent), *cells]).rstrip() for name, *cells in zip(names, *block, strict=True)
        )
        for block in blocks
    )


def number(value: float | None, digits: int = 1) -> str:
    """A number as cells show it; a dash where there is none."""
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def spread(value: float) -> str:
    """What follows a mean: its spread, or nothing for one seed."""
    return "" if np.isnan(value) else f" ± {value:.1f}"
