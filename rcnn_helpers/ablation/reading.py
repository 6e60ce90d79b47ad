"""What the results say: mean and spread over the seeds, and the paper's signs as paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.ablation.rows import FIELDS, PAPER, Row
from rcnn_helpers.paired import verdict


def class_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame of `ablate` that hold the AP of a class."""
    return [name for name in frame.columns if name not in (*FIELDS, "seed", "mAP", "seconds")]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of each row over the seeds.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `ablate`, or read back from its CSV.

    Returns
    -------
    pandas.DataFrame
        One line a row, by name, in the order of `frame`: mean AP of each class and mean mAP in percent, spread of
        the mAP (standard deviation over the seeds, NaN for one), number of seeds, mean seconds.
    """
    classes = class_columns(frame)
    by_row = frame.groupby(list(FIELDS), sort=False, dropna=False)
    result = by_row[[*classes, "mAP"]].mean()
    result["spread"] = by_row["mAP"].std(ddof=1)
    result["seeds"] = by_row["mAP"].count()
    result["seconds"] = by_row["seconds"].mean()
    result.index = pd.Index(result.index.get_level_values("name"), name="row")
    return result


@dataclass(frozen=True)
class Sign:
    """A claim of the paper that a difference between rows decides.

    Attributes
    ----------
    claim : str
    source : str
        Where the paper says so.
    terms : tuple of (int, dict)
        The difference: weights of rows, and what each row has in particular. Weights are 1, -1 for the difference
        of two rows, and 1, -1, -1, 1 for that of two such differences.
    free : tuple of str
        Attributes in which the claim may be looked at anywhere, the same in all its rows. All others are as in the
        paper.
    may_be_zero : bool
        Whether no difference supports the claim, too.
    paper : str
        The paper's difference in points, where no table of it has the rows.
    """

    claim: str
    source: str
    terms: tuple[tuple[int, dict], ...]
    free: tuple[str, ...]
    may_be_zero: bool = False
    paper: str = ""

    def rows(self, first: Row) -> list[tuple[int, Row]] | None:
        """The rows compared when `first` is the first of them; None if it cannot be."""
        special = {key for _, changes in self.terms for key in changes}
        for key in FIELDS:
            expected = self.terms[0][1].get(key, getattr(PAPER, key))
            if key != "name" and (key in special or key not in self.free) and getattr(first, key) != expected:
                return None
        return [(weight, replace(first, name="", **changes)) for weight, changes in self.terms]


def _better(claim: str, source: str, better: dict, worse: dict, free: str, **options) -> Sign:
    return Sign(claim, source, ((1, better), (-1, worse)), tuple(free.split()), **options)


def _gains_more(layer: str) -> Sign:
    tuned, plain = {"fine_tuned": True}, {"fine_tuned": False}
    deep, pool5 = {"layer": layer}, {"layer": "pool5"}
    terms = ((1, deep | tuned), (-1, deep | plain), (-1, pool5 | tuned), (1, pool5 | plain))
    return Sign(
        f"fine-tuning helps {layer} more than pool5",
        "sec. 3.2, Table 2",
        terms,
        ("network", "box_regression"),
    )


_ANY_NETWORK = "network layer fine_tuned"
SIGNS = (
    _better(
        "fine-tuning helps",
        "sec. 3.2, Table 2",
        {"fine_tuned": True},
        {"fine_tuned": False},
        "network layer box_regression",
    ),
    _gains_more("fc6"),
    _gains_more("fc7"),
    _better(
        "box regression helps",
        "sec. 3.5, Table 2; App. C",
        {"box_regression": 1},
        {"box_regression": 0},
        _ANY_NETWORK,
    ),
    _better(
        "SVMs beat the softmax",
        "App. B",
        {"classifier": "svm"},
        {"classifier": "softmax"},
        "network",
        paper="+3.3",
    ),
    *(
        _better(
            f"negatives below IoU 0.3 beat {iou:g}",
            "sec. 2.3",
            {"negative_iou": 0.3},
            {"negative_iou": iou},
            _ANY_NETWORK,
            paper=points,
        )
        for iou, points in ((0.0, "+4"), (0.5, "+5"))
    ),
    _better(
        "context helps: p = 16 beats 0",
        "App. A",
        {"padding": 16},
        {"padding": 0},
        _ANY_NETWORK,
        paper="+3 to +5",
    ),
    *(
        _better(
            f"warping beats {words}",
            "App. A",
            {"warp_mode": "warp"},
            {"warp_mode": mode},
            f"{_ANY_NETWORK} padding",
            paper="+3 to +5",
        )
        for mode, words in (("square_context", "squares with context"), ("square", "squares without"))
    ),
    _better(
        "SVM positives: ground truth alone beats IoU >= 0.5",
        "App. B",
        {"positive_iou": None},
        {"positive_iou": 0.5},
        _ANY_NETWORK,
    ),
    _better(
        "fine-tuning: its own labels beat those of the SVMs",
        "App. B",
        {"labels": "overlap"},
        {"labels": "ground_truth"},
        "network layer box_regression",
    ),
    *(
        _better(
            f"iterating box regression {rounds} times does not help",
            "App. C",
            {"box_regression": 1},
            {"box_regression": rounds},
            _ANY_NETWORK,
            may_be_zero=True,
        )
        for rounds in (2, 3)
    ),
    _better(
        "the O-Net beats the T-Net",
        "sec. 3.3, Table 3",
        {"network": "vgg16"},
        {"network": "tnet"},
        "layer fine_tuned box_regression",
    ),
)

_SIGN_COLUMNS = (
    "claim",
    "source",
    "compared",
    "paper",
    "mean",
    "spread",
    "smallest",
    "largest",
    "seeds",
    "verdict",
)


def signs(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's signs, as differences between rows of the same seed.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `ablate`, or read back from its CSV.

    Returns
    -------
    pandas.DataFrame
        One line for each claim and each set of rows in `frame` that it can be seen on: claim, source, the rows
        compared, the paper's difference (text), mean difference in mAP (points), its spread (standard deviation,
        NaN for one seed), smallest and largest over the seeds, number of seeds that have all the rows, and the
        verdict: "holds" or "does not hold" if all seeds agree, else "undecided".

    Notes
    -----
    Differences are taken within a seed, so what makes one seed's pictures harder than another's falls out. Three
    seeds of pure chance agree one time in four: a verdict is only as good as its number of seeds.
    """
    values, names = _values_by_row(frame)
    lines = []
    for sign in SIGNS:
        for first in values:
            compared = sign.rows(first)
            if compared is None or any(row not in values for _, row in compared):
                continue
            shared = [seed for seed in values[first] if all(seed in values[row] for _, row in compared)]
            if not shared:
                continue
            differences = np.array(
                [sum(weight * values[row][seed] for weight, row in compared) for seed in shared]
            )
            lines.append(
                {
                    "claim": sign.claim,
                    "source": sign.source,
                    "compared": _formula([(weight, names[row]) for weight, row in compared]),
                    "paper": sign.paper or _paper_difference(compared),
                    "mean": differences.mean(),
                    "spread": differences.std(ddof=1) if len(shared) > 1 else np.nan,
                    "smallest": differences.min(),
                    "largest": differences.max(),
                    "seeds": len(shared),
                    "verdict": verdict(differences, may_be_zero=sign.may_be_zero),
                }
            )
    return pd.DataFrame(lines, columns=_SIGN_COLUMNS)


def _values_by_row(frame: pd.DataFrame) -> tuple[dict[Row, dict[int, float]], dict[Row, str]]:
    """mAP by row and seed, and the name of each row in the frame; rows themselves have no name of their own."""
    values, names = {}, {}
    for record in frame.to_dict("records"):
        row = replace(row_of(record), name="")
        if not np.isnan(record["mAP"]):
            values.setdefault(row, {})[int(record["seed"])] = record["mAP"]
            names.setdefault(row, record["name"])
    return values, names


def row_of(record: Mapping) -> Row:
    """The row of a line of a frame, whatever number types pandas has made of its values."""
    attributes = {key: record[key] for key in FIELDS}
    for key, kind in (
        ("fine_tuned", bool),
        ("box_regression", int),
        ("padding", int),
        ("negative_iou", float),
    ):
        attributes[key] = kind(attributes[key])
    iou = attributes["positive_iou"]
    attributes["positive_iou"] = None if iou is None or np.isnan(iou) else float(iou)
    return Row(**attributes)


def _formula(terms: Sequence[tuple[int, str]]) -> str:
    """What is subtracted from what: one row from another, or one such difference from another."""
    differences = [
        f"{better} - {worse}" for (_, better), (_, worse) in zip(terms[::2], terms[1::2], strict=True)
    ]
    return differences[0] if len(differences) == 1 else " - ".join(f"({text})" for text in differences)


@cache
def _paper_table(file_name: str) -> pd.DataFrame:
    return pd.read_csv(settings.data_dir() / "paper" / file_name, index_col="method")


def paper_row(row: Row) -> pd.Series | None:
    """AP of each VOC 2007 class and mAP, in percent, that the paper reports for a row; None if it has no such row.

    The paper's rows are those of Table 2 for the T-Net, and of Table 3 for the O-Net (VGG-16). A network that the
    paper does not have is set beside the T-Net. The name of the series is the paper's name of the row.
    """
    as_in_paper = replace(PAPER, network=row.network, layer=row.layer, fine_tuned=row.fine_tuned)
    if replace(row, name="", box_regression=0) != replace(as_in_paper, name=""):
        return None
    if row.box_regression > 1:
        return None
    suffix = " BB" if row.box_regression else ""
    if row.network == "vgg16":
        if not (row.fine_tuned and row.layer == "fc7"):
            return None
        return _paper_table("table3_voc2007_test_networks.csv").loc[f"R-CNN O-Net{suffix}"]
    table = _paper_table("table2_voc2007_test.csv")
    name = f"R-CNN {'FT ' if row.fine_tuned else ''}{row.layer}{suffix}"
    return table.loc[name] if name in table.index else None


def _paper_difference(compared: Sequence[tuple[int, Row]]) -> str:
    """The difference in the paper's mAP, as text; empty if the paper lacks one of the rows."""
    known = [(weight, paper_row(row)) for weight, row in compared]
    if any(row is None for _, row in known):
        return ""
    return f"{sum(weight * row['mAP'] for weight, row in known):+.1f}"
