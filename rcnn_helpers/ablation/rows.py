"""Rows of the experiment table: what can be chosen about a detector, and the choices the paper compares."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from rcnn_helpers import settings
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.finetuning import LABELS
from rcnn_helpers.networks import NETWORKS
from rcnn_helpers.warping import MODES as WARP_MODES

CLASSIFIERS = ("svm", "softmax")
_LABELS_IN_SHORT = {
    "ground_truth": "GT labels",
    "overlap_far": "labels .5/.3",
    "ground_truth_near": "GT labels/.5",
}
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class Row:
    """One way to build the detector.

    Attributes
    ----------
    name : str
        By default composed of what the row is, in the words of the paper's Table 2: "FT fc7 BB".
    network : str
        Backbone, by its name in `rcnn_helpers.networks`.
    layer : str
        Layer whose features the SVMs see (sec. 3.2).
    fine_tuned : bool
        Whether the network is fine-tuned on the training images first (sec. 2.3).
    box_regression : int
        How often boxes are regressed: 0, 1 as in the paper, or more to iterate it (App. C).
    classifier : {"svm", "softmax"}
        What scores a region: a linear SVM a class, or the softmax of the fine-tuned network itself (App. B).
    warp_mode, padding : str, int
        How a region becomes a crop (App. A), in fine-tuning too.
    positive_iou : float or None
        None: the SVMs' positives are the ground-truth boxes. Else all regions of at least this IoU (App. B).
    negative_iou : float
        Regions below this IoU with all boxes of a class are the SVMs' negatives (sec. 2.3).
    labels : {"overlap", "ground_truth", "overlap_far", "ground_truth_near"}
        Labels in fine-tuning: objects are the regions of IoU 0.5 or more and the rest is background; or objects
        are the ground-truth boxes alone and background lies below 0.3, as for the SVMs (App. B). The other two are
        between these: regions of IoU 0.5 or more against those below 0.3, ground truth against those below 0.5.

    Raises
    ------
    SettingsError
        If a value is unknown, or two do not go together.
    """

    name: str = ""
    network: str = "quarter_tnet"
    layer: str = "fc7"
    fine_tuned: bool = True
    box_regression: int = 0
    classifier: str = "svm"
    warp_mode: str = "warp"
    padding: int = settings.CONTEXT_PADDING
    positive_iou: float | None = None
    negative_iou: float = settings.SVM_NEGATIVE_IOU
    labels: str = "overlap"

    def __post_init__(self):
        for key, choices in (
            ("network", tuple(NETWORKS)),
            ("classifier", CLASSIFIERS),
            ("warp_mode", WARP_MODES),
            ("labels", tuple(LABELS)),
        ):
            if getattr(self, key) not in choices:
                raise SettingsError(
                    f"{key} is {getattr(self, key)!r} in a row; choose one of {', '.join(choices)}"
                )
        layers = tuple(NETWORKS[self.network].shapes)
        if self.layer not in layers:
            raise SettingsError(f"{self.network} has no layer {self.layer!r}; it has {', '.join(layers)}")
        if self.box_regression < 0 or self.padding < 0:
            raise SettingsError(
                f"box_regression and padding are {self.box_regression} and {self.padding} in a row; "
                "neither can be below 0"
            )
        for key in ("positive_iou", "negative_iou"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= 1:
                raise SettingsError(f"{key} is {value} in a row; an IoU lies between 0 and 1")
        self._require_use_of_every_setting()
        if not self.name:
            # A frozen dataclass is filled in through object.__setattr__.
            object.__setattr__(self, "name", _describe(self))

    def _require_use_of_every_setting(self) -> None:
        """Refuse settings that this row would not use: two rows would look different and be the same."""
        if self.labels != "overlap" and not self.fine_tuned:
            raise SettingsError("a row that is not fine-tuned has no labels; add fine_tuned=yes")
        if self.classifier != "softmax":
            return
        if not self.fine_tuned:
            raise SettingsError(
                "a network that is not fine-tuned has no outputs for these classes; with classifier=softmax "
                "use fine_tuned=yes"
            )
        if not has_fc_layers(self.network) or self.layer != "fc7":
            raise SettingsError(
                f"classifier=softmax reads fc7, and the row says {self.network}, {self.layer}; "
                "use layer=fc7 and a network that has it"
            )
        if self.positive_iou is not None or self.negative_iou != settings.SVM_NEGATIVE_IOU:
            raise SettingsError("classifier=softmax trains no SVMs; leave positive_iou and negative_iou out")

    @classmethod
    def parse(cls, text: str, *, network: str = "quarter_tnet") -> "Row":
        """Read a row written as ``"layer=fc6,fine_tuned=no,negative_iou=0.2"``.

        What is not mentioned has the paper's value.

        Parameters
        ----------
        text : str
            Pairs of attribute and value. ``positive_iou=none`` stands for ground truth alone.
        network : str
            Backbone of a row that names none.
        """
        values = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if key not in FIELDS or not equals:
                raise SettingsError(
                    f"{part!r} in row {text!r} is not KEY=VALUE; possible are {possible_settings()}"
                )
            values[key] = _read_value(key, value)
        if values.get("network", network) != network:
            values.setdefault("name", f"{values['network']} {_describe(cls(**values))}")
        return cls(**{"network": network} | values)


FIELDS = tuple(field.name for field in fields(Row))


def possible_settings() -> str:
    """What the text of a row can say, for whoever has mistyped one: keys, and what each of them takes."""
    layers = dict.fromkeys(layer for network in NETWORKS.values() for layer in network.shapes)
    values = {
        "name": "TEXT",
        "network": "|".join(NETWORKS),
        "layer": "|".join(layers),
        "fine_tuned": "yes|no",
        "box_regression": "ROUNDS",
        "classifier": "|".join(CLASSIFIERS),
        "warp_mode": "|".join(WARP_MODES),
        "padding": "PIXELS",
        "positive_iou": "none|IOU",
        "negative_iou": "IOU",
        "labels": "|".join(LABELS),
    }
    return ", ".join(f"{key}={values[key]}" for key in FIELDS)


def _read_value(key: str, value: str):
    """A row's value from its text."""
    kind = type(getattr(PAPER, key))
    try:
        if kind is bool:
            return _YES_NO[value.lower()]
        if key == "positive_iou":
            return None if value.lower() in ("none", "") else float(value)
        return kind(value)
    except (KeyError, ValueError):
        wanted = {bool: "yes or no", int: "a whole number"}.get(kind, "a number")
        raise SettingsError(f"{key} is {value!r} in a row; give {wanted}") from None


def _describe(row: Row) -> str:
    """A short name: what the paper's Table 2 says, then whatever is not as in the paper."""
    words = ["FT"] if row.fine_tuned else []
    words.append("softmax" if row.classifier == "softmax" else row.layer)
    if row.labels != "overlap":
        words.append(_LABELS_IN_SHORT[row.labels])
    if row.positive_iou is not None:
        words.append(f"pos {row.positive_iou:g}")
    if row.negative_iou != settings.SVM_NEGATIVE_IOU:
        words.append(f"neg {row.negative_iou:g}")
    if (row.warp_mode, row.padding) != ("warp", settings.CONTEXT_PADDING):
        words.append(f"{row.warp_mode.replace('_', '+')} p={row.padding}")
    if row.box_regression:
        words.append("BB" if row.box_regression == 1 else f"BB x{row.box_regression}")
    return " ".join(words)


def has_fc_layers(network: str) -> bool:
    return "fc7" in NETWORKS[network].shapes


# The paper's choices, which a row has unless it says otherwise.
PAPER = Row()

TABLES: dict[str, tuple[Row, ...]] = {
    # Table 2: layer by layer, without and with fine-tuning, and the best one with box regression.
    "table2": (
        *(Row(layer=layer, fine_tuned=tuned) for tuned in (False, True) for layer in ("pool5", "fc6", "fc7")),
        Row(box_regression=1),
    ),
    # App. B: why SVMs and not the softmax that fine-tuning leaves behind.
    "classifier": (Row(), Row(classifier="softmax")),
    # App. A, Fig. 7: warping with and without context, squares with and without.
    "warp": tuple(
        Row(fine_tuned=False, warp_mode=mode, padding=padding)
        for mode, padding in (("warp", 16), ("warp", 0), ("square_context", 16), ("square", 16))
    ),
    # Sec. 2.3: the grid from which 0.3 was chosen.
    "negatives": tuple(Row(negative_iou=iou) for iou in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
    # App. B: the SVMs' positives. The paper compared them before it had fine-tuning.
    "positives": tuple(
        Row(fine_tuned=tuned, positive_iou=iou) for tuned in (False, True) for iou in (None, 0.5)
    ),
    # App. B: fine-tuning with its own labels, with those of the SVMs, and with each half of the change.
    "labels": tuple(Row(labels=labels) for labels in LABELS),
    # App. C: box regression, iterated.
    "iteration": tuple(Row(box_regression=rounds) for rounds in (0, 1, 2, 3)),
    # Table 3: two networks. They keep their networks whatever network is asked for.
    "table3": tuple(
        Row(name + suffix, network=network, box_regression=rounds)
        for name, network in (("T-Net", "tnet"), ("O-Net", "vgg16"))
        for suffix, rounds in (("", 0), (" BB", 1))
    ),
}


def table_rows(names: Iterable[str], *, network: str = "quarter_tnet") -> tuple[Row, ...]:
    """The rows of some tables, each once, for a network.

    Parameters
    ----------
    names : iterable of str
        Keys of `TABLES`.
    network : str
        Replaces the quarter T-Net. A network without fc6 and fc7 gives its pool5 in their place, and has no
        softmax rows.
    """
    rows = []
    for name in names:
        if name not in TABLES:
            raise SettingsError(f"there is no table {name!r}; choose among {', '.join(TABLES)}")
        for row in TABLES[name]:
            if name == "table3":
                rows.append(row)
            elif has_fc_layers(network):
                rows.append(replace(row, network=network))
            elif row.classifier == "svm":
                rows.append(replace(row, name="", network=network, layer="pool5"))
    return tuple(dict.fromkeys(rows))
