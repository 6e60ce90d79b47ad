"""The comparison: each descriptor through the same proposals, SVMs, suppression and evaluation.

What differs from `rcnn_helpers.detector.RCNN` is that regions are described by anything with the face of a
`Descriptor`, and that boxes are not regressed.

Seconds are processor time, of all threads together: what else the machine does meanwhile hardly counts, and on one
core it is the time that passes.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.baselines.bag_of_words import BagOfWords
from rcnn_helpers.baselines.descriptors import Descriptor, RawPixels
from rcnn_helpers.baselines.hog import HOG
from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.candidates import Candidates, suppress
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.storage import read_json, write_json
from rcnn_helpers.training_regions import TrainingRegions

# Raised whenever a change of the code changes the results: it is part of their names.
_VERSION = 1
# Images of the test set whose descriptors are timed, and regions behind a feature scale as in `FeatureStore`.
TIMED_IMAGES = 10
_SCALE_IMAGES, _SCALE_BOXES = 200, 200
# Descriptors of a data set that are kept in memory for the next reading.
_KEPT_BYTES = 2**30

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


@dataclass(frozen=True)
class Contestant:
    """A descriptor in the comparison.

    Attributes
    ----------
    descriptor : Descriptor
    C : float
        Regularisation of its SVMs, with features scaled to a mean norm of 20.
    stores : tuple of two FeatureStores, optional
        Of a `NetworkLayer`: pool5 of the training and of the test images, so that it need not be computed anew.
    learn_seconds : float, optional
        What learning the descriptor took, where that was done before; NaN where it is not known.
    """

    descriptor: Descriptor
    C: float = settings.SVM_C
    stores: tuple | None = None
    learn_seconds: float | None = None


# What was best on ToyVOC's val of seed 0, trained on train (see `rcnn baselines --split train --test-split val`).
_HANDMADE: dict[str, tuple[type[Descriptor], float]] = {
    "raw": (RawPixels, 1e-2),
    "hog": (HOG, 1e-2),
    "bow": (BagOfWords, 1e-2),
}
HANDMADE = tuple(_HANDMADE)


def handmade(text: str, *, seed: int = 0) -> Contestant:
    """A descriptor made by hand, from a text such as ``"hog"`` or ``"hog:cells=10,C=1e-4"``.

    Parameters
    ----------
    text : str
        One of ``raw``, ``hog`` and ``bow``, and after a colon what shall differ from the defaults: keywords of the
        class and C; they become part of its name. Several numbers are joined by a plus sign: ``"bow:levels=1+2"``.
    seed : int
        Of the vocabulary.

    Raises
    ------
    SettingsError
        If name, key or value is unknown.
    """
    import inspect

    short, _, pairs = text.partition(":")
    if short not in _HANDMADE:
        raise SettingsError(f"there is no descriptor {short!r}; choose among {', '.join(HANDMADE)}")
    kind, C = _HANDMADE[short]
    defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()} | {"C": C}
    has_seed = "seed" in defaults
    defaults.pop("seed", None)
    values = {}
    for pair in filter(None, (piece.strip() for piece in pairs.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if key not in defaults or not equals:
            raise SettingsError(
                f"{pair!r} in {text!r} is not KEY=VALUE; the keys of {short} are {', '.join(defaults)}"
            )
        values[key] = _read_value(key, value, defaults[key])
    C = values.pop("C", C)
    descriptor = kind(**values, **({"seed": seed} if has_seed else {}))
    if pairs:
        descriptor.name = f"{descriptor.name} {pairs}"
    return Contestant(descriptor, C)


def _read_value(key: str, text: str, default):
    """A keyword's value from its text, of the type of its default."""
    try:
        if isinstance(default, bool):
            return {"yes": True, "no": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(int(part) for part in text.split("+"))
        value = type(default)(text)
    except (KeyError, ValueError):
        wanted = {bool: "yes or no", tuple: "whole numbers such as 1+2+4", int: "a whole number"}
        raise SettingsError(f"{key} is {text!r}; give {wanted.get(type(default), 'a number')}") from None
    if key == "C" and not 0 < value < np.inf:
        raise SettingsError(f"C is {text!r}; give a number above 0")
    return value


class DescribedImages:
    """The regions of a data set with their descriptors, image by image, computed when they are read.

    Descriptors made by hand are quickly computed and large: keeping them on disk would cost more than it saves. Up
    to 1 GiB is kept in memory.

    Parameters
    ----------
    dataset : VOCDataset or the like
    proposals : mapping of image id to float32 [N, 4]
    descriptor : Descriptor
    store : FeatureStore, optional
        Where the regions of a `NetworkLayer` are read, from pool5.

    Attributes
    ----------
    seconds_ : float
        Spent on reading and describing so far.
    """

    def __init__(self, dataset, proposals: Mapping[str, np.ndarray], descriptor: Descriptor, *, store=None):
        self.dataset, self.proposals = dataset, proposals
        self.descriptor, self.store = descriptor, store
        self.prepared: dict[str, object] = {}
        self.kept: dict[str, object] = {}
        self.kept_bytes = 0
        self.seconds_ = 0.0

    def read(self, image_id: str, layer: str | None = None):
        """The regions of one image, ground truth first, as `RegionFeatures`; `layer` is the descriptor's own."""
        from rcnn_helpers.feature_store import RegionFeatures

        started = time.process_time()
        regions = self.kept.get(image_id)
        if regions is None and self.store is not None:
            regions = self.store.read(image_id, self.descriptor.layer)
        elif regions is None:
            boxes, is_gt = self._boxes(image_id)
            regions = RegionFeatures(image_id, boxes, is_gt, self._describe(image_id, boxes))
            if self.kept_bytes + regions.features.nbytes <= _KEPT_BYTES:
                self.kept[image_id] = regions
                self.kept_bytes += regions.features.nbytes
        self.seconds_ += time.process_time() - started
        return regions

    def feature_scale(self, *, seed: int) -> float:
        """Factor that brings descriptors to a mean L2 norm of 20; see `FeatureStore.feature_scale`."""
        ids = list(self.dataset.ids)
        if self.store is not None:
            return self.store.feature_scale(ids, layer=self.descriptor.layer, seed=seed)
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.choice(len(ids), size=min(_SCALE_IMAGES, len(ids)), replace=False))
        norms = []
        for index in chosen:
            boxes, _ = self._boxes(ids[index])
            if len(boxes) > _SCALE_BOXES:
                boxes = boxes[rng.choice(len(boxes), size=_SCALE_BOXES, replace=False)]
            norms.append(np.linalg.norm(self._describe(ids[index], boxes), axis=1))
        mean = np.concatenate(norms).mean() if sum(map(len, norms)) else 0.0
        if mean == 0:
            raise DatasetError(
                f"no feature scale for {self.descriptor.name}: the {len(ids)} images have no region, or all "
                "descriptors are zero"
            )
        return float(settings.FEATURE_NORM / mean)

    def _boxes(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        truth = as_boxes(self.dataset.annotation(image_id).boxes)
        boxes = np.concatenate([truth, as_boxes(self.proposals[image_id])])
        return boxes, np.arange(len(boxes)) < len(truth)

    def _describe(self, image_id: str, boxes: np.ndarray) -> np.ndarray:
        prepared = self.prepared.get(image_id)
        if prepared is None:
            prepared = self.descriptor.prepare(self.dataset.image(image_id))
            if self.descriptor.keeps_prepared:
                self.prepared[image_id] = prepared
        return self.descriptor.describe_prepared(prepared, boxes)


@dataclass(frozen=True)
class DescribedData:
    """Training images and those to judge on, seen by one descriptor.

    Attributes
    ----------
    training, judged : DescribedImages
    learn_seconds : float
        Processor time of learning the descriptor; NaN where it is not known.
    """

    training: DescribedImages
    judged: DescribedImages
    learn_seconds: float


def describe_data(
    contestant: Contestant, train, test, proposals: tuple[Mapping, Mapping], *, progress: bool = False
) -> DescribedData:
    """Let a contestant's descriptor learn from the training images, and see both data sets with it.

    Parameters
    ----------
    contestant : Contestant
    train, test : VOCDataset or the like
    proposals : two mappings of image id to float32 [N, 4]
        Of the training and of the test images.
    progress : bool
    """
    started = time.process_time()
    contestant.descriptor.fit(train, progress=progress)
    learn_seconds = time.process_time() - started
    training, judged = (
        DescribedImages(dataset, boxes, contestant.descriptor, store=store)
        for dataset, boxes, store in zip(
            (train, test), proposals, contestant.stores or (None, None), strict=True
        )
    )
    known = contestant.learn_seconds
    return DescribedData(training, judged, learn_seconds if known is None else known)


def judge(
    described: DescribedData,
    *,
    C: float = settings.SVM_C,
    seed: int = 0,
    metric: str = "11point",
    progress: bool = False,
) -> dict:
    """Train detectors on one data set and judge them on another.

    Parameters
    ----------
    described : DescribedData
    C : float
        Regularisation of the SVMs, with descriptors scaled to a mean norm of 20.
    seed : int
        Of the SVMs' solver and of the sample behind the feature scale.
    metric : {"11point", "101point", "area"}
        See `rcnn_helpers.evaluation`.
    progress : bool

    Returns
    -------
    dict
        ``name``, ``dim``, ``C``.

        ``ap`` : AP of each class in percent, None where the test images have no object of it; ``mAP``.

        In seconds of processor time: ``learn_seconds`` of the descriptor (a vocabulary), None where not known;
        ``describe_seconds`` an image, measured on a few test images; ``svm_seconds`` of training without
        describing; ``train_seconds``, which is learning, describing each training image once, and the SVMs; and
        ``detect_seconds`` an image whose proposals are given: description, scores, suppression.

        ``region_bytes`` : of a descriptor in float32.
    """
    from rcnn_helpers.svm import train_detector_svms

    training, judged = described.training, described.judged
    train, descriptor = training.dataset, training.descriptor
    scale = training.feature_scale(seed=seed)
    training.seconds_ = 0.0
    started = time.process_time()
    svms = train_detector_svms(
        TrainingRegions(train, training, scale), train.classes, C=C, seed=seed, progress=progress
    )
    svm_seconds = time.process_time() - started - training.seconds_
    result = evaluate(detect_all(svms, judged, scale, progress=progress), judged.dataset, metric=metric)
    describe_seconds, detect_seconds = _seconds_an_image(svms, judged, scale)
    train_seconds = described.learn_seconds + len(train.ids) * describe_seconds + svm_seconds
    return {
        "name": descriptor.name,
        "dim": descriptor.dim,
        "C": C,
        "ap": {name: _percent(value) for name, value in result.ap.items()},
        "mAP": _percent(result.mean_ap),
        "learn_seconds": _number(described.learn_seconds),
        "describe_seconds": describe_seconds,
        "svm_seconds": svm_seconds,
        "train_seconds": _number(train_seconds),
        "detect_seconds": detect_seconds,
        "region_bytes": descriptor.dim * np.dtype(np.float32).itemsize,
    }


def detect_all(svms, regions: DescribedImages, scale: float, *, progress: bool = False) -> Detections:
    """Detections of fitted SVMs in all images, with the released code's caps, after suppression.

    Parameters
    ----------
    svms : svm.LinearSVMs
    regions : DescribedImages
    scale : float
        Factor for the descriptors; see `DescribedImages.feature_scale`.
    progress : bool
    """
    from tqdm.auto import tqdm

    ids = regions.dataset.ids
    candidates = Candidates(ids, svms.classes_, settings.MAX_PER_IMAGE, settings.MEAN_PER_IMAGE * len(ids))
    shown = tqdm(ids, desc="detecting", unit="image", disable=not progress, leave=False)
    for index, image_id in enumerate(shown):
        found = regions.read(image_id)
        proposed = ~found.is_gt
        scores = svms.decision_function(found.features[proposed] * np.float32(scale))
        candidates.add(index, found.boxes[proposed], scores)
    return suppress(candidates.best())


def _seconds_an_image(svms, regions: DescribedImages, scale: float) -> tuple[float, float]:
    """Mean seconds to describe the proposals of an image, and to detect in it, over a few images."""
    described = detected = 0.0
    timed = list(regions.dataset.ids[:TIMED_IMAGES])
    for number, image_id in enumerate([timed[0], *timed]):  # the first one twice, to warm up
        image, boxes = regions.dataset.image(image_id), as_boxes(regions.proposals[image_id])
        started = time.process_time()
        features = regions.descriptor.describe(image, boxes)
        after = time.process_time()
        candidates = Candidates((image_id,), svms.classes_, settings.MAX_PER_IMAGE, settings.MAX_PER_IMAGE)
        candidates.add(0, boxes, svms.decision_function(features * np.float32(scale)))
        suppress(candidates.best())
        if number:
            described += after - started
            detected += time.process_time() - started
    return described / len(timed), detected / len(timed)


def compare(
    contestants: Callable[[int, object, object], Iterable[Contestant]],
    *,
    data: Callable,
    cache,
    seeds: Sequence[int] = (0,),
    max_proposals: int = settings.MAX_PROPOSALS,
    metric: str = "11point",
    progress: bool = True,
) -> pd.DataFrame:
    """Train and judge descriptors on the same proposals of the same images, for several seeds.

    Parameters
    ----------
    contestants : callable
        ``contestants(seed, train, test)`` returns what is to be compared, in this order; names must differ.
    data : callable
        ``data(seed)`` returns the training images and those to judge on.
    cache : path
        Folder of proposals and of finished rows: an interrupted call goes on with the row it was at.
    seeds : sequence of int
        Decide the ranking of proposals, vocabularies, the order in which SVMs are solved, and what `data` makes
        of it.
    max_proposals : int
        Boxes an image.
    metric : {"11point", "101point", "area"}
    progress : bool
        Show progress bars, and a line for each row.

    Contestants that follow each other and differ in C alone share their descriptors.

    Returns
    -------
    pandas.DataFrame
        A line for each descriptor and seed: name, dim, C, seed, AP of each class in percent, and the figures of
        `judge`.
    """
    from tqdm.auto import tqdm

    cache = Path(cache)
    records = []
    for seed in seeds:
        train, test = data(seed)
        _require_apart(train, test)
        proposals = tuple(_proposals(part, seed, max_proposals, cache, progress) for part in (train, test))
        rows = list(contestants(seed, train, test))
        _require_different_names(rows)
        common = {
            "version": _VERSION,
            "seed": seed,
            "metric": metric,
            "data": [_digest(part, boxes) for part, boxes in zip((train, test), proposals, strict=True)],
        }
        latest = (None, None)
        for contestant in rows:
            descriptor = contestant.descriptor
            identity = descriptor.identity()
            decided_by = common | identity | {"C": contestant.C, "name": descriptor.name}
            path = cache / "baselines" / f"{_hash(decided_by)}.json"
            if not path.exists():
                if latest[0] != identity:
                    latest = (None, None)  # gone before the next one needs its memory
                    latest = (identity, describe_data(contestant, train, test, proposals, progress=progress))
                found = judge(latest[1], C=contestant.C, seed=seed, metric=metric, progress=progress)
                write_json(path, {**found, "name": descriptor.name, "settings": decided_by}, checksum=True)
            found = read_json(path)
            if progress:
                tqdm.write(f"seed {seed}: {found['name']}, mAP {_shown(found['mAP'])}")
            records.append(
                {"name": found["name"], "dim": found["dim"], "C": found["C"], "seed": seed}
                | found["ap"]
                | {name: found[name] for name in RESULT_COLUMNS}
            )
    # All seeds of a row stand together, in the order of the rows.
    order = {record["name"]: i for i, record in reversed(list(enumerate(records)))}
    frame = pd.DataFrame(sorted(records, key=lambda record: order[record["name"]]))
    return frame.astype({name: float for name in (*class_columns(frame), *RESULT_COLUMNS)})


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
                _shown(line["mAP"]) + spread,
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


def _proposals(dataset, seed: int, max_proposals: int, cache: Path, progress: bool) -> dict:
    from rcnn_helpers.proposals import propose_dataset

    return propose_dataset(
        dataset, max_boxes=max_proposals, seed=seed, cache=cache / "proposals", progress=progress
    )


def _require_different_names(rows: Sequence[Contestant]) -> None:
    names = [row.descriptor.name for row in rows]
    if not names:
        raise SettingsError("there is nothing to compare; name a descriptor")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SettingsError(f"two descriptors are called {twice[0]!r}; give one of them another name")


def _require_apart(train, test) -> None:
    """Raise `DatasetError` if an image is both trained on and judged."""
    trained_on = set(train.ids)
    shared = [image_id for image_id in test.ids if image_id in trained_on]
    if shared and str(getattr(train, "root", "")) == str(getattr(test, "root", "")):
        raise DatasetError(
            f"{len(shared)} images are both trained on and judged, the first is {shared[0]}; choose splits "
            "that have none in common, such as train and val, or trainval and test"
        )


def _digest(dataset, proposals: Mapping[str, np.ndarray]) -> str:
    """Digest of which images are used, what is said to be in them, and where boxes are proposed."""
    digest = hashlib.sha256(json.dumps([str(getattr(dataset, "root", "")), list(dataset.classes)]).encode())
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        said = [image_id, list(annotation.names), annotation.difficult.tolist()]
        digest.update(json.dumps(said).encode())
        for boxes in (annotation.boxes, proposals[image_id]):
            digest.update(np.ascontiguousarray(boxes, dtype=np.float32))
    return digest.hexdigest()


def _hash(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _percent(fraction: float) -> float | None:
    """A fraction in percent; None for NaN, which JSON does not have."""
    return None if np.isnan(fraction) else 100 * float(fraction)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _shown(percent: float | None) -> str:
    return "not defined" if percent is None or np.isnan(percent) else f"{percent:.1f}"
