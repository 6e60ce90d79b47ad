"""The rows of a comparison as a table: means over the seeds, and what many classes would take (sec. 2.2)."""

import numpy as np
import pandas as pd

NAME_COLUMNS = ("name", "dim", "C", "seed")
RESULT_COLUMNS = (
    "mAP",
    "learn_seconds",
    "describe_seconds",
    "svm_seconds",
    "train_seconds",
    "detect_seconds",
    "region_bytes",
)
# Sec. 2.2: the UVA system's features beside R-CNN's, and the memory of 100,000 linear detectors on them.
PAPER_COSTS = {"UVA": {"dim": 360_000, "GB": 134.0}, "R-CNN": {"dim": 4096, "GB": 1.5}}
MANY_CLASSES = 100_000


def class_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame of `compare` that hold the AP of a class."""
    return [name for name in frame.columns if name not in (*NAME_COLUMNS, *RESULT_COLUMNS)]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a descriptor: means over the seeds, the spread of mAP, and what many classes would take.

    Returns
    -------
    pandas.DataFrame
        ``name``, ``dim``, ``seeds``, ``mAP``, ``spread`` (standard deviation, NaN with one
        seed), ``train_seconds``, ``detect_seconds``, ``region_bytes``, and ``many_classes_gib``: memory of
        100,000 linear detectors in float32, in GiB (sec. 2.2).
    """
    lines = []
    for name, group in frame.groupby("name", sort=False):
        dim = int(group["dim"].iloc[0])
        lines.append(
            {
                "name": name,
                "dim": dim,
                "seeds": len(group),
                "mAP": group["mAP"].mean(),
                "spread": group["mAP"].std() if len(group) > 1 else np.nan,
                "train_seconds": group["train_seconds"].mean(),
                "detect_seconds": group["detect_seconds"].mean(),
                "region_bytes": int(group["region_bytes"].iloc[0]),
                "many_classes_gib": dim * MANY_CLASSES * 4 / 2**30,
            }
        )
    return pd.DataFrame(lines)


def format_table(frame: pd.DataFrame) -> str:
    """A frame of `compare` as text, one line a descriptor, and below it the paper's two (sec. 2.2)."""
    head = ("", "figures", "mAP", "train CPU s", "image CPU s", "bytes", f"GiB for {MANY_CLASSES:,} classes")
    lines = [head]
    for line in summary(frame).to_dict("records"):
        spread = "" if np.isnan(line["spread"]) else f" ± {line['spread']:.1f}"
        lines.append(
            (
                line["name"],
                f"{line['dim']:,}",
                shown(line["mAP"]) + spread,
                "-" if np.isnan(line["train_seconds"]) else f"{line['train_seconds']:.0f}",
                f"{line['detect_seconds']:.2f}",
                f"{line['region_bytes']:,}",
                f"{line['many_classes_gib']:.1f}",
            )
        )
    for name, costs in PAPER_COSTS.items():
        lines.append(
            (f"paper: {name}", f"{costs['dim']:,}", "", "", "", f"{4 * costs['dim']:,}", f"{costs['GB']:.1f}")
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )


def shown(percent: float | None) -> str:
    """A figure in percent as text."""
    return "not defined" if percent is None or np.isnan(percent) else f"{percent:.1f}"
