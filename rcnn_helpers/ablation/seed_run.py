"""All rows of one seed: every stage that rows share is made once, and every result is kept."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from rcnn_helpers import settings
from rcnn_helpers.ablation.arguments import check_data, takes_given_weights
from rcnn_helpers.ablation.identity import dataset_root, digest, digest_dataset
from rcnn_helpers.ablation.rows import PAPER, Row
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.features import FeatureStore, choose_precision
from rcnn_helpers.finetuning import LABELS, FinetuneSettings, finetune, settings_for
from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.proposals import propose_dataset
from rcnn_helpers.storage import read_json, sha256, write_json

# Raised whenever a change of the code changes the results: it is part of their names.
_VERSION = 1


@dataclass(frozen=True)
class RunOptions:
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


class Latest:
    """Remembers the last thing that was made. Rows come in an order in which that is enough."""

    def __init__(self):
        self.key = self.value = None

    def get(self, key, make: Callable):
        if key != self.key:
            self.key = self.value = None  # gone before the next one needs its memory
            self.value = make()
            self.key = key
        return self.value


class PretrainedNetworks:
    """The pre-trained networks of all rows."""

    def __init__(self, options: RunOptions):
        self.options = options
        self.latest = Latest()
        self.fingerprints: dict[str, str] = {}

    def load(self, name: str):
        weights = self.options.weights.get(name)
        return self.latest.get(name, lambda: load_network(name, weights=weights, device=self.options.device))

    def fingerprint(self, name: str) -> str:
        if name not in self.fingerprints:
            self.fingerprints[name] = self.load(name).fingerprint
        return self.fingerprints[name]


class SeedRun:
    """All rows of one seed, on one pair of data sets."""

    def __init__(self, seed: int, train, test, networks: PretrainedNetworks, options: RunOptions):
        self.seed = seed
        self.train, self.test = train, test
        self.networks = networks
        self.options = options
        check_data(train, test)
        self.digests = {"train": digest_dataset(train), "test": digest_dataset(test)}
        self.latest = {
            kind: Latest() for kind in ("proposals", "network", "stores", "detector", "regressors")
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
        _, test_store = self.stores(row)
        _, test_proposals = self.proposals()
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
        ap = {name: percent(value) for name, value in result.ap.items()}
        return {"name": row.name, "ap": ap, "mAP": percent(result.mean_ap)}

    # What rows share, from the first stage to the last. Each is made once, as rows that share it come together.

    def proposals(self) -> tuple[dict, dict]:
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

    def network(self, row: Row):
        """The row's network: pre-trained, or fine-tuned where the row is."""
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
                self.proposals()[0],
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

    def stores(self, row: Row) -> tuple[FeatureStore, FeatureStore]:
        """Where the pool5 features of the training and the test images lie."""
        return self.latest["stores"].get(
            _store_key(row), lambda: (self._open_store(row, self.train), self._open_store(row, self.test))
        )

    def _open_store(self, row: Row, dataset) -> FeatureStore:
        # Images of equal names in two data sets, and other boxes of the same images, must not meet in one store.
        place = digest([dataset_root(dataset), self.seed, self.options.max_proposals])
        return FeatureStore(
            self.options.cache / "features" / f"{Path(dataset_root(dataset)).name}-seed{self.seed}-{place}",
            network=self.network(row),
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
            self.network(row),
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
        store, _ = self.stores(row)
        proposals, _ = self.proposals()
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
        return self.options.cache / "results" / f"{digest(self._identity(row))}.json"

    def _identity(self, row: Row) -> dict:
        """Everything that decides the result of a row, as JSON values."""
        attributes = asdict(row)
        del attributes["name"]
        return {
            "version": _VERSION,
            "row": attributes,
            "seed": self.seed,
            "weights": self.networks.fingerprint(row.network),
            "finetuning": self.finetuning_identity(row),
            "data": self.digests,
            "max_proposals": self.options.max_proposals,
            "metric": self.options.metric,
            "precision": choose_precision("auto", settings.choose_device(self.options.device)),
        }

    def finetuning_identity(self, row: Row) -> dict | None:
        """Everything but data and first weights that decides a row's fine-tuning; None for a row without."""
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
        return self.options.cache / "finetuned" / f"{row.network}-{digest(decided_by)}.safetensors"

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
        return self.options.finetuned is not None and takes_given_weights(row)

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


def percent(fraction: float) -> float | None:
    """A fraction in percent; None for NaN, which JSON does not have."""
    return None if np.isnan(fraction) else 100 * float(fraction)


def _shown(percent: float | None) -> str:
    return "not defined" if percent is None else f"{percent:.1f}"
