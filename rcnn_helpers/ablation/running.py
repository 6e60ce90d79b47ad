"""Running the rows of an experiment table: everything that rows share is made once, and every result is kept."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.ablation.reading import class_columns
from rcnn_helpers.ablation.rows import PAPER, Row
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.features import FeatureStore, choose_precision, extract_dataset
from rcnn_helpers.finetuning import LABELS, FinetuneSettings, finetune, settings_for
from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.storage import read_json, sha256, write_json

# Raised whenever a change of the code changes the results: it is part of their names.
_VERSION = 1


def ablate(
    rows: Iterable[Row],
    *,
    data: Callable,
    seeds: Sequence[int] = (0,),
    cache,
    finetune_settings: FinetuneSettings | Mapping[str, FinetuneSettings] | None = None,
    weights=None,
    finetuned=None,
    max_proposals: int = settings.MAX_PROPOSALS,
    metric: str = "11point",
    keep_features: bool = True,
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and judge every row with every seed.

    Parameters
    ----------
    rows : iterable of Row
        Such as ``TABLES["table2"]``, or rows of your own.
    data : callable
        ``data(seed)`` returns the training set and the set to judge on, as `VOCDataset` or the like.
    seeds : sequence of int
        A seed decides the ranking of proposals, fine-tuning, the order in which SVMs are solved, and whatever
        `data` makes of it. The pre-trained weights do not change with it.
    cache : path
        Folder of everything that is kept: proposals, fine-tuned networks, features, finished rows.
    finetune_settings : FinetuneSettings or mapping from network names to FinetuneSettings, optional
        By default `settings_for` each network. Seed and warp are replaced by those of the row, and the labels
        where the row says other than ``"overlap"``.
    weights : str, path or mapping, optional
        Pre-trained weights as `load_network` takes them; for several networks a mapping from their names.
    finetuned : path, optional
        Weights that are fine-tuned already; they serve the rows with the paper's labels and warp. For one seed
        and one network.
    max_proposals : int
        Boxes an image.
    metric : {"11point", "101point", "area"}
        See `rcnn_helpers.evaluation`.
    keep_features : bool
        False removes features that no later row of the call needs; what is to be computed from them once more
        must then be extracted anew.
    device : str, optional
    progress : bool
        Show progress bars, and a line for each row.

    Returns
    -------
    pandas.DataFrame
        One line for each row and seed, rows in the order given: the attributes of `Row` (a `positive_iou` of NaN
        stands for None), seed, AP of each class in percent (NaN where no object is to be found), mAP, and the
        seconds it took. Shared work counts for the row that needed it first.

    Raises
    ------
    SettingsError
        If rows or seeds contradict each other.
    DatasetError
        If an image is trained on and judged, or the two sets have different classes.
    """
    rows, seeds = _checked_rows(rows), _checked_seeds(seeds)
    options = _Options(
        cache=Path(cache),
        weights=_weights_by_network(weights, rows),
        finetuned=_checked_finetuned(finetuned, rows, seeds),
        finetune_settings=finetune_settings,
        max_proposals=max_proposals,
        metric=metric,
        keep_features=keep_features,
        device=device,
        progress=progress,
    )
    networks = _Networks(options)
    lines = {}
    for seed in seeds:
        lines[seed] = _SeedRun(seed, *data(seed), networks, options).results(rows)
    records = [
        {**asdict(row), "seed": seed, **lines[seed][row]["ap"]}
        | {key: lines[seed][row][key] for key in ("mAP", "seconds")}
        for row in rows
        for seed in seeds
    ]
    frame = pd.DataFrame(records)
    return frame.astype({name: float for name in ("positive_iou", *class_columns(frame), "mAP")})


@dataclass(frozen=True)
class RowParts:
    """What a row is made from, for whoever wants to build something else on it.

    Attributes
    ----------
    network : Network
        Fine-tuned if the row is.
    stores : tuple of two FeatureStores
        pool5 of the training images and of those to judge on.
    """

    network: object
    stores: tuple[FeatureStore, FeatureStore]


def row_parts(
    row: Row,
    train,
    test,
    *,
    cache,
    seed: int = 0,
    finetune_settings: FinetuneSettings | Mapping[str, FinetuneSettings] | None = None,
    weights=None,
    max_proposals: int = settings.MAX_PROPOSALS,
    device: str | None = None,
    progress: bool = True,
) -> RowParts:
    """Fine-tune and extract for one row and seed as `ablate` does, and find again what it has left in `cache`.

    Parameters
    ----------
    row : Row
    train, test : VOCDataset or the like
    cache, finetune_settings, weights, max_proposals, device, progress
        As in `ablate`.
    seed : int
    """
    options = _Options(
        cache=Path(cache),
        weights=_weights_by_network(weights, (row,)),
        finetuned=None,
        finetune_settings=finetune_settings,
        max_proposals=max_proposals,
        metric="11point",
        keep_features=True,
        device=device,
        progress=progress,
    )
    run = _SeedRun(seed, train, test, _Networks(options), options)
    network, stores = run._network(row), run._stores(row)
    for dataset, proposals, store in zip((train, test), run._proposals(), stores, strict=True):
        extract_dataset(network, dataset, proposals, store=store, progress=progress)
    return RowParts(network, stores)


@dataclass(frozen=True)
class _Options:
    """What is the same for all rows and seeds of a call; see `ablate`."""

    cache: Path
    weights: dict
    finetuned: Path | None
    finetune_settings: FinetuneSettings | Mapping[str, FinetuneSettings] | None
    max_proposals: int
    metric: str
    keep_features: bool
    device: str | None
    progress: bool


class _Latest:
    """Remembers the last thing that was made. Rows come in an order in which that is enough."""

    def __init__(self):
        self.key = self.value = None

    def get(self, key, make: Callable):
        if key != self.key:
            self.key = self.value = None  # gone before the next one needs its memory
            self.value = make()
            self.key = key
        return self.value


class _Networks:
    """The pre-trained networks of all rows."""

    def __init__(self, options: _Options):
        self.options = options
        self.latest = _Latest()
        self.fingerprints: dict[str, str] = {}

    def load(self, name: str):
        weights = self.options.weights.get(name)
        return self.latest.get(name, lambda: load_network(name, weights=weights, device=self.options.device))

    def fingerprint(self, name: str) -> str:
        if name not in self.fingerprints:
            self.fingerprints[name] = self.load(name).fingerprint
        return self.fingerprints[name]


class _SeedRun:
    """All rows of one seed, on one pair of data sets."""

    def __init__(self, seed: int, train, test, networks: _Networks, options: _Options):
        self.seed = seed
        self.train, self.test = train, test
        self.networks = networks
        self.options = options
        _check_data(train, test)
        self.digests = {"train": _digest_dataset(train), "test": _digest_dataset(test)}
        self.latest = {
            kind: _Latest() for kind in ("proposals", "network", "stores", "detector", "regressors")
        }

    def results(self, rows: Sequence[Row]) -> dict[Row, dict]:
        """The result of each row, read where it has been found before, and else worked out."""
        found = {}
        for row in rows:
            path = self._path(row)
            if path.exists():
                found[row] = read_json(path)
        pending = sorted((row for row in rows if row not in found), key=_work_order)
        self._say(f"seed {self.seed}: {len(found)} of {len(rows)} rows are in the cache")
        for number, row in enumerate(pending):
            # A row of another name may have been worked out meanwhile.
            path = self._path(row)
            if not path.exists():
                started = time.perf_counter()
                result = self._measure(row, pending)
                result["seconds"] = time.perf_counter() - started
                write_json(path, {**result, "settings": self._identity(row)}, checksum=True)
            found[row] = read_json(path)
            self._say(
                f"seed {self.seed}, {number + 1} of {len(pending)}: {row.name}, "
                f"mAP {_shown(found[row]['mAP'])}, {found[row]['seconds']:.0f} s"
            )
            following = pending[number + 1 : number + 2]
            if not self.options.keep_features and _store_key(row) not in map(_store_key, following):
                self._drop_stores()
        return found

    def _measure(self, row: Row, pending: Sequence[Row]) -> dict:
        """Train and judge one row; AP in percent."""
        _, test_store = self._stores(row)
        _, test_proposals = self._proposals()
        detector = self._detector(row, pending)
        detections = detector.detect_dataset(
            self.test,
            proposals=test_proposals,
            store=test_store,
            box_regression=row.box_regression > 0,
            regression_rounds=max(1, row.box_regression),
            progress=self.options.progress,
        )
        result = evaluate(detections, self.test, metric=self.options.metric)
        ap = {name: _percent(value) for name, value in result.ap.items()}
        return {"name": row.name, "ap": ap, "mAP": _percent(result.mean_ap)}

    # What rows share, from the first stage to the last. Each is made once, as rows that share it come together.

    def _proposals(self) -> tuple[dict, dict]:
        """Boxes of the training and the test images."""
        return self.latest["proposals"].get(
            "both", lambda: (self._propose(self.train), self._propose(self.test))
        )

    def _propose(self, dataset) -> dict:
        return propose_dataset(
            dataset,
            max_boxes=self.options.max_proposals,
            seed=self.seed,
            cache=self.options.cache / "proposals",
            progress=self.options.progress,
        )

    def _network(self, row: Row):
        return self.latest["network"].get(_network_key(row), lambda: self._make_network(row))

    def _make_network(self, row: Row):
        """The pre-trained network, or the file it is fine-tuned into."""
        pretrained = self.networks.load(row.network)
        if not row.fine_tuned:
            return pretrained
        path = self.options.finetuned if self._is_given(row) else self._finetuned_path(row)
        if not path.exists():
            finetune(
                pretrained,
                self.train,
                self._proposals()[0],
                settings=self._finetune_settings(row),
                out=path,
                progress=self.options.progress,
            )
        network = load_network(row.network, weights=path, device=self.options.device)
        if network.n_classes != len(self.train.classes) + 1:
            raise SettingsError(
                f"{path} has {network.n_classes} outputs, and {len(self.train.classes)} classes and the "
                f"background need {len(self.train.classes) + 1}; fine-tune on these classes"
            )
        return network

    def _stores(self, row: Row) -> tuple[FeatureStore, FeatureStore]:
        """Where the pool5 features of the training and the test images lie."""
        return self.latest["stores"].get(
            _store_key(row), lambda: (self._open_store(row, self.train), self._open_store(row, self.test))
        )

    def _open_store(self, row: Row, dataset) -> FeatureStore:
        # Images of equal names in two data sets, and other boxes of the same images, must not meet in one store.
        place = _hash([_root(dataset), self.seed, self.options.max_proposals])
        return FeatureStore(
            self.options.cache / "features" / f"{Path(_root(dataset)).name}-seed{self.seed}-{place}",
            network=self._network(row),
            layer="pool5",
            mode=row.warp_mode,
            padding=row.padding,
        )

    def _detector(self, row: Row, pending: Sequence[Row]) -> RCNN:
        """The detector trained for a row; rows that differ in box regression alone share it."""
        return self.latest["detector"].get(_detector_key(row), lambda: self._train(row, pending))

    def _train(self, row: Row, pending: Sequence[Row]) -> RCNN:
        """Train a detector, with box regression if one of the `pending` rows that share it wants that."""
        regresses = any(
            other.box_regression and _detector_key(other) == _detector_key(row) for other in pending
        )
        known = self.latest["regressors"]
        detector = RCNN(
            self._network(row),
            layer=row.layer,
            classifier=row.classifier,
            max_proposals=self.options.max_proposals,
            warp_mode=row.warp_mode,
            padding=row.padding,
            positive_iou=row.positive_iou,
            negative_iou=row.negative_iou,
            box_regression=regresses and known.key != _store_key(row),
            seed=self.seed,
        )
        store, _ = self._stores(row)
        proposals, _ = self._proposals()
        detector.fit(self.train, proposals=proposals, store=store, progress=self.options.progress)
        if regresses:
            # They read pool5 and ignore the SVMs, so all detectors of a store have the same.
            detector.regressors_, detector.pool5_scale_ = known.get(
                _store_key(row), lambda: (detector.regressors_, detector.pool5_scale_)
            )
        return detector

    def _drop_stores(self) -> None:
        """Remove the features of the last stores that were opened."""
        for store in self.latest["stores"].value or ():
            shutil.rmtree(store.folder, ignore_errors=True)

    # What decides a result.

    def _path(self, row: Row) -> Path:
        return self.options.cache / "results" / f"{_hash(self._identity(row))}.json"

    def _identity(self, row: Row) -> dict:
        """Everything that decides the result of a row, as JSON values."""
        attributes = asdict(row)
        del attributes["name"]
        return {
            "version": _VERSION,
            "row": attributes,
            "seed": self.seed,
            "weights": self.networks.fingerprint(row.network),
            "finetuning": self._finetuning_identity(row),
            "data": self.digests,
            "max_proposals": self.options.max_proposals,
            "metric": self.options.metric,
            "precision": choose_precision("auto", settings.choose_device(self.options.device)),
        }

    def _finetuning_identity(self, row: Row) -> dict | None:
        if not row.fine_tuned:
            return None
        if self._is_given(row):
            return {"file": sha256(self.options.finetuned)}
        return asdict(self._finetune_settings(row))

    def _finetuned_path(self, row: Row) -> Path:
        decided_by = {
            "version": _VERSION,
            "weights": self.networks.fingerprint(row.network),
            "settings": asdict(self._finetune_settings(row)),
            "data": self.digests["train"],
            "max_proposals": self.options.max_proposals,
        }
        return self.options.cache / "finetuned" / f"{row.network}-{_hash(decided_by)}.safetensors"

    def _finetune_settings(self, row: Row) -> FinetuneSettings:
        """The settings of the call, or the network's own, with what the row says."""
        given = self.options.finetune_settings
        if isinstance(given, Mapping):
            given = given.get(row.network)
        labels = {} if row.labels == PAPER.labels else LABELS[row.labels]
        return replace(
            given or settings_for(row.network),
            seed=self.seed,
            warp_mode=row.warp_mode,
            padding=row.padding,
            **labels,
        )

    def _is_given(self, row: Row) -> bool:
        """Whether the file of fine-tuned weights serves this row."""
        return self.options.finetuned is not None and _takes_given_weights(row)

    def _say(self, line: str) -> None:
        if self.options.progress:
            from tqdm.auto import tqdm

            tqdm.write(line)


# Keys of what rows share: each begins with the key of the stage before.


def _network_key(row: Row) -> tuple:
    warp = (row.warp_mode, row.padding) if row.fine_tuned else ()
    return (row.network, row.fine_tuned, row.labels, warp)


def _store_key(row: Row) -> tuple:
    return (*_network_key(row), row.warp_mode, row.padding)


def _detector_key(row: Row) -> tuple:
    depth = tuple(NETWORKS[row.network].shapes).index(row.layer)
    positive_iou = -1.0 if row.positive_iou is None else row.positive_iou  # None has no order
    return (*_store_key(row), depth, row.classifier, positive_iou, row.negative_iou)


def _work_order(row: Row) -> tuple:
    return (*_detector_key(row), row.box_regression)


def _takes_given_weights(row: Row) -> bool:
    paper = (PAPER.labels, PAPER.warp_mode, PAPER.padding)
    return row.fine_tuned and (row.labels, row.warp_mode, row.padding) == paper


def _checked_rows(rows) -> tuple[Row, ...]:
    rows = tuple(dict.fromkeys(rows))
    if not rows:
        raise SettingsError("there are no rows to run; name a table or give a row")
    names = [row.name for row in rows]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SettingsError(f"two different rows are called {twice[0]!r}; give one of them another name")
    return rows


def _checked_seeds(seeds) -> tuple[int, ...]:
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise SettingsError(f"seeds are {list(seeds)}; give different whole numbers from 0 on, at least one")
    return seeds


def _checked_finetuned(path, rows, seeds) -> Path | None:
    if path is None:
        return None
    networks = sorted({row.network for row in rows if _takes_given_weights(row)})
    if len(seeds) > 1 or len(networks) > 1:
        raise SettingsError(
            f"{path} is one fine-tuned network, but the rows need one for each of seeds {list(seeds)} and "
            f"networks {', '.join(networks)}; leave it out, or run one seed and network at a time"
        )
    if not networks:
        raise SettingsError(f"no row uses the fine-tuned weights {path}; leave them out")
    if not Path(path).is_file():
        raise SettingsError(
            f"there is no file {path} of fine-tuned weights; write one with: rcnn finetune --out {path}"
        )
    return Path(path)


def _weights_by_network(weights, rows) -> dict:
    networks = list(dict.fromkeys(row.network for row in rows))
    if weights is None:
        return {}
    if not isinstance(weights, Mapping):
        if len(networks) > 1:
            raise SettingsError(
                f"one file of weights is given for {', '.join(networks)}; say which network each file is for"
            )
        return {networks[0]: weights}
    unknown = [name for name in weights if name not in networks]
    if unknown:
        raise SettingsError(f"weights are given for {unknown[0]}, but the rows use {', '.join(networks)}")
    return dict(weights)


def _check_data(train, test) -> None:
    if tuple(train.classes) != tuple(test.classes):
        raise DatasetError(
            f"the training images have classes {', '.join(train.classes)}, the others {', '.join(test.classes)}; "
            "open both with the same list"
        )
    trained_on = set(train.ids)
    shared = [image_id for image_id in test.ids if image_id in trained_on]
    if shared and _root(train) == _root(test):
        raise DatasetError(
            f"{len(shared)} images are both trained on and judged, the first is {shared[0]}; choose splits "
            "that have none in common, such as train and val, or trainval and test"
        )


def _root(dataset) -> str:
    root = getattr(dataset, "root", None)
    return "" if root is None else str(Path(root).resolve())


def _digest_dataset(dataset) -> str:
    """Digest of where a data set lies, which images are used, and what is said to be in them."""
    annotations = [dataset.annotation(image_id) for image_id in dataset.ids]
    content = [
        [image_id, list(a.names), a.boxes.tolist(), a.difficult.tolist()]
        for image_id, a in zip(dataset.ids, annotations, strict=True)
    ]
    return _hash([_root(dataset), list(dataset.classes), content])


def _hash(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _percent(fraction: float) -> float | None:
    """A fraction in percent; None for NaN, which JSON does not have."""
    return None if np.isnan(fraction) else 100 * float(fraction)


def _shown(percent: float | None) -> str:
    return "not defined" if percent is None else f"{percent:.1f}"
