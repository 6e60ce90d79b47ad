"""Why do features of the region alone (fg) segment worse here than those of its whole window (full)?

The paper finds fg slightly better (Table 5). Two explanations come to mind. Outlines: what a region shows of an
object is only as good as its outline, and ours are ragged. The network: it is fine-tuned for detection on whole
windows and has never seen an object on a blank ground. Each can be taken away by itself. `foreground_table` trains
with the true outlines of all objects among the regions, with the network as it was pre-trained, and with both;
`foreground_differences` says whether fg still loses.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from rcnn_helpers.ablation.printing import as_text, number, spread
from rcnn_helpers.ablation.segmentation_table import OUTLINES, FeatureRow, table5
from rcnn_helpers.paired import mean_and_spread, verdict

LAYER = "fc6"
ROWS = tuple(FeatureRow(kind, LAYER) for kind in ("full", "fg", "full+fg"))
_SETTING = ["fine_tuned", "outlines"]
# What is compared: the mean accuracy of the label maps and, with true outlines, how many objects are named right.
_MEASURES = ("mean", "named")


def foreground_table(*, data: Callable, seeds: Sequence[int] = (0,), cache, **options) -> pd.DataFrame:
    """Rows full, fg and full+fg on fc6, with and without fine-tuning, on outlines found and true.

    Parameters
    ----------
    data, seeds, cache, options
        As for `rcnn_helpers.ablation.segmentation_table.table5`, which also keeps the results.

    Returns
    -------
    pandas.DataFrame
        The columns of `table5`, after fine_tuned (bool) and outlines ("found" or "true"). named is NaN on outlines
        that are found.
    """
    parts = []
    for fine_tuned in (True, False):
        for outlines in OUTLINES:
            part = table5(
                ROWS,
                data=data,
                seeds=seeds,
                cache=cache,
                fine_tuned=fine_tuned,
                outlines=outlines,
                **options,
            )
            part.insert(0, "fine_tuned", fine_tuned)
            part.insert(1, "outlines", outlines)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def foreground_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """What fg has more than full in each setting, within a seed.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `foreground_table`, or read back from its CSV.

    Returns
    -------
    pandas.DataFrame
        One line for each setting and measure: fine_tuned, outlines, measure ("mean", the mean accuracy, or
        "named", objects named right; both in points), mean and spread over the seeds, seeds, and verdict on the
        paper's claim that fg is better.
    """
    lines = []
    for (fine_tuned, outlines), part in frame.groupby(_SETTING, sort=False):
        by_seed = {kind: rows.set_index("seed") for kind, rows in part.groupby("features")}
        for measure in _MEASURES:
            values = (by_seed["fg"][measure] - by_seed["full"][measure]).dropna().tolist()
            if not values:
                continue
            mean, deviation = mean_and_spread(values)
            lines.append(
                {
                    "fine_tuned": fine_tuned,
                    "outlines": outlines,
                    "measure": measure,
                    "mean": mean,
                    "spread": deviation,
                    "seeds": len(values),
                    "verdict": verdict(values),
                }
            )
    return pd.DataFrame(lines)


def format_foreground(frame: pd.DataFrame) -> str:
    """A frame of `foreground_table` as text: a line for each setting, and what fg has more than full."""
    names, lines = [], []
    for (fine_tuned, outlines), part in frame.groupby(_SETTING, sort=False):
        tuned = "fine-tuned" if fine_tuned else "not fine-tuned"
        by_kind = {kind: rows for kind, rows in part.groupby("features")}
        for measure in _MEASURES:
            if part[measure].isna().all():
                continue
            names.append(f"{tuned}, {outlines} outlines: {_WORDS[measure]}")
            of_kinds = [number(by_kind[row.features][measure].mean()) for row in ROWS]
            lines.append([*of_kinds, _difference(part, measure)])
    return as_text(names, [*(row.features for row in ROWS), "fg - full"], lines, None)


_WORDS = {"mean": "accuracy", "named": "objects named right"}


def _difference(part: pd.DataFrame, measure: str) -> str:
    found = foreground_differences(part)
    line = found[found["measure"] == measure].iloc[0]
    return f"{line['mean']:+.1f}" + spread(line["spread"])
