"""Table 4: which images the SVMs, fine-tuning and box regression should learn from (sec. 4.5).

The paper's detector of two hundred classes learns from two kinds of images: few that are annotated in full, val1,
and many of which only some objects are known, train. Each row of its Table 4 is a choice for each of the three
trainings. The rows are read from ``data/paper``; `table4` trains and judges them on any data in the same roles:
ILSVRC2013's folders, or ToyVOC, where pictures with one class annotated stand for train.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.ablation.identity import dataset_root, digest, digest_dataset
from rcnn_helpers.ablation.seed_run import Latest, percent
from rcnn_helpers.datasets.balanced_split import Split, balanced_split, class_counts
from rcnn_helpers.datasets.training_mix import OneClassAnnotated, ValPlusTrain
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.features import FeatureStore, choose_precision
from rcnn_helpers.finetuning import FinetuneSettings, finetune, settings_for
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.storage import read_json, write_json

NOTHING = "n/a"
TEST_SETS = ("val2", "test")
# What val1 or val can be mixed with: nothing, or boxes of train. The paper's N are 500 and 1,000.
MIXES = ("", "+train.5k", "+train1k")
_VERSION = 1


def _parts(name: str) -> tuple[str, str]:
    """A training set's name in two: val or val1, and what it is mixed with."""
    half, plus, rest = name.partition("+")
    if half not in ("val", "val1") or plus + rest not in MIXES:
        known = ", ".join(f"{half}{mix}" for half in ("val1", "val") for mix in MIXES)
        raise SettingsError(f"there is no training set {name!r}; choose one of {known}")
    return half, plus + rest


@dataclass(frozen=True)
class Table4Row:
    """A row of Table 4, with the names of the paper's columns.

    Attributes
    ----------
    test_set : {"val2", "test"}
    svm_training_set : str
        ``"val1"``, ``"val1+train.5k"`` or ``"val1+train1k"``; with ``"val"`` instead of ``"val1"``, both halves.
    cnn_fine_tuning_set : str
        The same, or ``"n/a"``: the pre-trained network.
    bbox_reg_set : str
        ``"val1"``, ``"val"`` or ``"n/a"``: no box regression. It learns from the images of the SVMs that are
        annotated in full.
    cnn_feature_layer : str
        Layer whose features the SVMs see.
    """

    test_set: str = "val2"
    svm_training_set: str = "val1"
    cnn_fine_tuning_set: str = NOTHING
    bbox_reg_set: str = NOTHING
    cnn_feature_layer: str = "fc6"

    def __post_init__(self):
        if self.test_set not in TEST_SETS:
            raise SettingsError(f"test_set is {self.test_set!r}; choose one of {', '.join(TEST_SETS)}")
        trained_on = [self.svm_training_set]
        if self.cnn_fine_tuning_set != NOTHING:
            trained_on.append(self.cnn_fine_tuning_set)
        for name in trained_on:
            if _parts(name)[0] == "val" and self.test_set == "val2":
                raise SettingsError(
                    f"{name} holds val2, which the row is judged on; train on val1, or judge on test"
                )
        if self.bbox_reg_set not in (NOTHING, _parts(self.svm_training_set)[0]):
            raise SettingsError(
                f"bbox_reg_set is {self.bbox_reg_set!r}; with the SVMs on {self.svm_training_set} it can be "
                f"{_parts(self.svm_training_set)[0]} or {NOTHING}"
            )

    @property
    def name(self) -> str:
        """What the row is, in a few words."""
        words = [] if self.test_set == "val2" else [f"{self.test_set}:"]
        words.append(self.svm_training_set)
        if self.cnn_fine_tuning_set != NOTHING:
            words.append(f"FT {self.cnn_fine_tuning_set}")
        words.append(self.cnn_feature_layer)
        if self.bbox_reg_set != NOTHING:
            words.append("BB")
        return " ".join(words)


FIELDS = tuple(Table4Row.__dataclass_fields__)
_MIXED = "val1+train1k"
# Table 4 goes from fc6 to fc7 in the row in which it starts to fine-tune. These two rows are between the two.
BETWEEN = (
    Table4Row(svm_training_set=_MIXED, cnn_feature_layer="fc7"),
    Table4Row(svm_training_set=_MIXED, cnn_fine_tuning_set="val1", cnn_feature_layer="fc6"),
)


@cache
def paper_table4() -> pd.DataFrame:
    """The paper's Table 4: the columns of `Table4Row`, mAP and median AP in percent."""
    path = settings.data_dir() / "paper" / "table4_ilsvrc2013_ablation.csv"
    return pd.read_csv(path, keep_default_na=False)


def table4_rows() -> tuple[Table4Row, ...]:
    """The rows of the paper's Table 4, in its order."""
    return tuple(
        Table4Row(**{name: line[name] for name in FIELDS}) for line in paper_table4().to_dict("records")
    )


@dataclass(frozen=True)
class Roles:
    """Images in the roles of ILSVRC2013's sets.

    Attributes
    ----------
    val : data set
        Annotated in full.
    split : Split
        Its two halves, by the place of images in ``val.ids``.
    train : data set
        Of which only ground-truth boxes are used.
    test : data set or None
        Annotated in full; None where its annotations are not to be had.
    few, many : int
        Boxes a class that "+train.5k" and "+train1k" stand for.
    seed : int
        Decides which boxes are taken.
    """

    val: object
    split: Split
    train: object
    test: object | None
    few: int = 500
    many: int = 1000
    seed: int = 0
    _made: dict = field(default_factory=dict, repr=False)

    def training_set(self, name: str):
        """The images behind a name such as ``"val1+train1k"``."""
        if name not in self._made:
            half, mix = _parts(name)
            complete = self.val if half == "val" else self.half(1)
            n_boxes = {"": 0, "+train.5k": self.few, "+train1k": self.many}[mix]
            self._made[name] = (
                ValPlusTrain(complete, self.train, n_boxes, seed=self.seed) if mix else complete
            )
        return self._made[name]

    def test_set(self, name: str):
        """The images behind ``"val2"`` or ``"test"``; DatasetError if there are none."""
        if name == "val2":
            return self.half(2)
        if self.test is None:
            raise DatasetError(
                "there is no test set with annotations here; leave out the rows that are judged on it"
            )
        return self.test

    def half(self, number: int):
        """val1 or val2."""
        rows = (self.split.first, self.split.second)[number - 1]
        return self.val.subset([self.val.ids[row] for row in rows])


def toyvoc_roles(
    *, pictures: Mapping[str, int], few: int, many: int, seed: int = 0, root=None, restarts: int = 50
) -> Roles:
    """ToyVOC in the roles of ILSVRC2013: val is divided into balanced halves, train keeps one class a picture.

    Parameters
    ----------
    pictures : mapping
        Of ``"train"``, ``"val"`` and ``"test"``: how many to draw.
    few, many : int
        See `Roles`.
    seed : int
        Decides the pictures, the halves and the classes that stay annotated.
    root : path, optional
        As for `open_toyvoc`.
    restarts : int
        As for `balanced_split`.
    """
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    train, val, test = (
        open_toyvoc(part, counts=pictures, seed=seed, root=root) for part in ("train", "val", "test")
    )
    split = balanced_split(class_counts(val), seed=seed, restarts=restarts)
    return Roles(val, split, OneClassAnnotated(train, seed=seed), test, few, many, seed)


def table4(
    rows: Iterable[Table4Row],
    *,
    roles,
    seeds: Sequence[int] = (0,),
    cache,
    network: str = "quarter_tnet",
    weights=None,
    finetune_settings: FinetuneSettings | None = None,
    max_proposals: int = settings.MAX_PROPOSALS,
    detector_settings: Mapping | None = None,
    detection_settings: Mapping | None = None,
    metric: str = "11point",
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and judge rows of Table 4.

    Proposals, fine-tuned networks, features and finished rows are kept; an interrupted call goes on from there.

    Parameters
    ----------
    rows : iterable of Table4Row
        Such as ``table4_rows()``, with `BETWEEN` or rows of your own.
    roles : callable
        ``roles(seed)`` returns the `Roles`.
    seeds : sequence of int
    cache : path
        Folder of everything that is kept.
    network, weights
        As for `load_network`.
    finetune_settings : FinetuneSettings, optional
        By default `settings_for` the network; the seed is replaced.
    max_proposals : int
        Boxes an image of val and test. Images of train have none.
    detector_settings, detection_settings : mapping, optional
        Options of `RCNN` and of `RCNN.detect_dataset`, such as `datasets.ilsvrc.DETECTOR_SETTINGS`.
    metric : str
        See `rcnn_helpers.evaluation`.
    device : str, optional
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One line for each row and seed: name, the attributes of `Table4Row`, seed, AP of each class in percent,
        mAP, median_AP, and seconds. Shared work counts for the row that needed it first.
    """
    rows = tuple(dict.fromkeys(rows))
    if not rows:
        raise SettingsError("there are no rows to run; give some of table4_rows()")
    if not seeds:
        raise SettingsError("there are no seeds; give at least one")
    first = roles(seeds[0])  # before the network is opened: folders that are not there are told at once
    options = _Options(
        Path(cache),
        network,
        load_network(network, weights=weights, device=device),
        finetune_settings or settings_for(network),
        max_proposals,
        dict(detector_settings or {}),
        dict(detection_settings or {}),
        metric,
        device,
        progress,
    )
    found = {}
    for seed in seeds:
        found[seed] = _SeedRun(seed, first if seed == seeds[0] else roles(seed), options).results(rows)
    return pd.DataFrame(
        {"name": row.name, **asdict(row), "seed": seed, **found[seed][row]["ap"]}
        | {key: found[seed][row][key] for key in ("mAP", "median_AP", "seconds")}
        for row in rows
        for seed in seeds
    )


STEPS: tuple[tuple[str, Table4Row, Table4Row], ...] = (
    (
        "boxes of train help the SVMs",
        Table4Row(svm_training_set="val1+train.5k"),
        Table4Row(svm_training_set="val1"),
    ),
    (
        "twice as many boxes of train",
        Table4Row(svm_training_set=_MIXED),
        Table4Row(svm_training_set="val1+train.5k"),
    ),
    (
        "fine-tuning on val1, with fc7 instead of fc6, helps",
        Table4Row(svm_training_set=_MIXED, cnn_fine_tuning_set="val1", cnn_feature_layer="fc7"),
        Table4Row(svm_training_set=_MIXED),
    ),
    ("  of that, fine-tuning alone (fc6)", BETWEEN[1], Table4Row(svm_training_set=_MIXED)),
    ("  of that, fc7 instead of fc6, without fine-tuning", BETWEEN[0], Table4Row(svm_training_set=_MIXED)),
    (
        "  of that, fc7 instead of fc6, fine-tuned on val1",
        Table4Row(svm_training_set=_MIXED, cnn_fine_tuning_set="val1", cnn_feature_layer="fc7"),
        BETWEEN[1],
    ),
    (
        "fine-tuning on boxes of train, too, helps more",
        Table4Row(svm_training_set=_MIXED, cnn_fine_tuning_set=_MIXED, cnn_feature_layer="fc7"),
        Table4Row(svm_training_set=_MIXED, cnn_fine_tuning_set="val1", cnn_feature_layer="fc7"),
    ),
    (
        "box regression learnt on val1 helps",
        Table4Row("val2", _MIXED, _MIXED, "val1", "fc7"),
        Table4Row("val2", _MIXED, _MIXED, NOTHING, "fc7"),
    ),
    (
        "box regression learnt on val helps on test",
        Table4Row("test", "val+train1k", _MIXED, "val", "fc7"),
        Table4Row("test", "val+train1k", _MIXED, NOTHING, "fc7"),
    ),
)


def table4_steps(frame: pd.DataFrame) -> pd.DataFrame:
    """The steps down Table 4 as differences in mAP: the paper's and those of `frame`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `table4`, or read back with ``keep_default_na=False``.

    Returns
    -------
    pandas.DataFrame
        One line for each of `STEPS` that `frame` has the rows of: step, better and worse (names of rows), paper
        (points, NaN where the paper lacks a row), mean, smallest and largest over the seeds, seeds, and verdict:
        whether the paper's sign "holds" or "does not hold", "undecided" where seeds disagree, and "no sign in the
        paper" where it lacks a row or found no difference.
    """
    values: dict[Table4Row, dict[int, float]] = {}
    for line in frame.to_dict("records"):
        values.setdefault(_row_of(line), {})[int(line["seed"])] = float(line["mAP"])
    papers = {_row_of(line): float(line["mAP"]) for line in paper_table4().to_dict("records")}
    lines = []
    for step, better, worse in STEPS:
        seeds = sorted(set(values.get(better, ())) & set(values.get(worse, ())))
        if not seeds:
            continue
        ours = np.array([values[better][seed] - values[worse][seed] for seed in seeds])
        papers_step = round(papers.get(better, np.nan) - papers.get(worse, np.nan), 1)
        lines.append(
            {
                "step": step,
                "better": better.name,
                "worse": worse.name,
                "paper": papers_step,
                "mean": ours.mean(),
                "smallest": ours.min(),
                "largest": ours.max(),
                "seeds": len(seeds),
                "verdict": _verdict(ours, papers_step),
            }
        )
    return pd.DataFrame(lines)


def _verdict(ours: np.ndarray, papers: float) -> str:
    """Whether differences of all seeds have the sign of the paper's."""
    if np.isnan(papers) or papers == 0:
        return "no sign in the paper"
    agree = ours * papers > 0
    if agree.all():
        return "holds"
    return "undecided" if agree.any() else "does not hold"


def _row_of(line: Mapping) -> Table4Row:
    return Table4Row(**{name: line[name] for name in FIELDS})


@dataclass(frozen=True)
class _Options:
    """What is the same for all rows and seeds of a call; see `table4`."""

    cache: Path
    network_name: str
    pretrained: object
    finetune_settings: FinetuneSettings
    max_proposals: int
    detector_settings: dict
    detection_settings: dict
    metric: str
    device: str | None
    progress: bool


class _SeedRun:
    """All rows of one seed."""

    def __init__(self, seed: int, roles: Roles, options: _Options):
        self.seed, self.roles, self.options = seed, roles, options
        self.latest = {kind: Latest() for kind in ("network", "detector")}
        self.known_proposals: dict[str, dict] = {}
        self.digests: dict[str, str] = {}

    def results(self, rows: Sequence[Table4Row]) -> dict[Table4Row, dict]:
        """The result of each row, read where it has been found before, and else worked out."""
        found = {row: read_json(path) for row in rows if (path := self._path(row)).exists()}
        pending = sorted((row for row in rows if row not in found), key=_work_order)
        self._say(f"seed {self.seed}: {len(found)} of {len(rows)} rows are in the cache")
        for row in pending:
            started = time.perf_counter()
            result = self._measure(row, pending)
            result["seconds"] = time.perf_counter() - started
            write_json(self._path(row), {**result, "settings": self._identity(row)}, checksum=True)
            found[row] = result
            self._say(f"seed {self.seed}: {row.name}, mAP {result['mAP']:.1f}, {result['seconds']:.0f} s")
        return found

    def _measure(self, row: Table4Row, pending: Sequence[Table4Row]) -> dict:
        """Train and judge one row; AP in percent."""
        test = self.roles.test_set(row.test_set)
        detector = self._detector(row, pending)
        detections = detector.detect_dataset(
            test,
            proposals=self._proposals(test),
            store=self._store(row),
            box_regression=row.bbox_reg_set != NOTHING,
            progress=self.options.progress,
            **self.options.detection_settings,
        )
        result = evaluate(detections, test, metric=self.options.metric)
        ap = np.array(list(result.ap.values()))
        return {
            "ap": {name: percent(value) for name, value in result.ap.items()},
            "mAP": percent(result.mean_ap),
            "median_AP": percent(float(np.nanmedian(ap))),
        }

    def _detector(self, row: Table4Row, pending: Sequence[Table4Row]) -> RCNN:
        """The detector trained for a row; rows that differ in box regression alone share it."""

        def train():
            regresses = any(
                other.bbox_reg_set != NOTHING and _detector_key(other) == _detector_key(row)
                for other in pending
            )
            detector = RCNN(
                self._network(row),
                layer=row.cnn_feature_layer,
                max_proposals=self.options.max_proposals,
                box_regression=regresses,
                seed=self.seed,
                **self.options.detector_settings,
            )
            images = self.roles.training_set(row.svm_training_set)
            return detector.fit(
                images,
                proposals=self._proposals(images),
                store=self._store(row),
                progress=self.options.progress,
            )

        return self.latest["detector"].get(_detector_key(row), train)

    def _network(self, row: Table4Row):
        """The pre-trained network, or the one fine-tuned on the row's images."""
        if row.cnn_fine_tuning_set == NOTHING:
            return self.options.pretrained
        path = self._finetuned_path(row)

        def make():
            images = self.roles.training_set(row.cnn_fine_tuning_set)
            if not path.exists():
                finetune(
                    self.options.pretrained,
                    images,
                    self._proposals(images),
                    settings=self._finetune_settings(),
                    out=path,
                    progress=self.options.progress,
                )
            return load_network(self.options.network_name, weights=path, device=self.options.device)

        return self.latest["network"].get(row.cnn_fine_tuning_set, make)

    def _proposals(self, images) -> dict[str, np.ndarray]:
        """Boxes of images: searched for in those that are annotated in full, none for those of train."""
        if isinstance(images, ValPlusTrain):
            return images.proposals(self._proposals(images.val))
        searched = self.known_proposals.setdefault(dataset_root(images), {})
        if any(image_id not in searched for image_id in images.ids):
            searched |= propose_dataset(
                images,
                max_boxes=self.options.max_proposals,
                seed=self.seed,
                cache=self.options.cache / "proposals",
                progress=self.options.progress,
            )
        return searched

    def _store(self, row: Table4Row) -> FeatureStore:
        place = digest([dataset_root(self.roles.val), self.seed, self.options.max_proposals])
        return FeatureStore(
            self.options.cache / "features" / f"table4-seed{self.seed}-{place}",
            network=self._network(row),
            layer="pool5",
        )

    # What decides a result.

    def _path(self, row: Table4Row) -> Path:
        return self.options.cache / "results" / f"table4-{digest(self._identity(row))}.json"

    def _identity(self, row: Table4Row) -> dict:
        """Everything that decides the result of a row, as JSON values."""
        tuned = row.cnn_fine_tuning_set != NOTHING
        return {
            "version": _VERSION,
            "row": asdict(row),
            "seed": self.seed,
            "network": self.options.pretrained.fingerprint,
            "finetuning": self._finetuning_identity(row) if tuned else None,
            "svm_images": self._digest(self.roles.training_set(row.svm_training_set), row.svm_training_set),
            "test_images": self._digest(self.roles.test_set(row.test_set), row.test_set),
            "max_proposals": self.options.max_proposals,
            "detector": self.options.detector_settings,
            "detection": self.options.detection_settings,
            "metric": self.options.metric,
            "precision": choose_precision("auto", settings.choose_device(self.options.device)),
        }

    def _finetuning_identity(self, row: Table4Row) -> dict:
        name = row.cnn_fine_tuning_set
        return {
            "settings": asdict(self._finetune_settings()),
            "images": self._digest(self.roles.training_set(name), name),
        }

    def _finetuned_path(self, row: Table4Row) -> Path:
        decided_by = [
            _VERSION,
            self.options.pretrained.fingerprint,
            self._finetuning_identity(row),
            self.options.max_proposals,
        ]
        return (
            self.options.cache / "finetuned" / f"{self.options.network_name}-{digest(decided_by)}.safetensors"
        )

    def _finetune_settings(self) -> FinetuneSettings:
        return replace(self.options.finetune_settings, seed=self.seed)

    def _digest(self, images, name: str) -> str:
        if name not in self.digests:
            self.digests[name] = digest_dataset(images)
        return self.digests[name]

    def _say(self, line: str) -> None:
        if self.options.progress:
            from tqdm.auto import tqdm

            tqdm.write(line)


def _detector_key(row: Table4Row) -> tuple:
    return (
        row.cnn_fine_tuning_set != NOTHING,
        row.cnn_fine_tuning_set,
        row.svm_training_set,
        row.cnn_feature_layer,
    )


def _work_order(row: Table4Row) -> tuple:
    return (*_detector_key(row), row.test_set, row.bbox_reg_set)
