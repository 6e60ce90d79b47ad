"""Table 5: which features of a region segment best (sec. 5).

Rows are the three kinds of features by two layers, and second-order pooling on the same regions. `table5` trains
and judges each with every seed, on a network that is fine-tuned for detection as `ablate` does it (and found again
where it has been); `segmentation_signs` says which of the paper's claims hold. A finished row is written at once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache as remember
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.ablation.arguments import checked_seeds
from rcnn_helpers.ablation.identity import digest, digest_dataset
from rcnn_helpers.ablation.printing import as_text, number, shortened, spread
from rcnn_helpers.ablation.rows import Row
from rcnn_helpers.ablation.seed_run import PretrainedNetworks, RunOptions, SeedRun
from rcnn_helpers.datasets.voc import VOID
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.paired import verdict
from rcnn_helpers.segmentation.features import FEATURES, RegionFolder
from rcnn_helpers.segmentation.o2p import SecondOrderPooling
from rcnn_helpers.segmentation.regions import SegmentRegions, add_masks, regions_from_masks
from rcnn_helpers.segmentation.segmenter import Segmenter
from rcnn_helpers.storage import read_json, write_json

# Raised whenever a change of the code changes the results: it is part of their names.
_VERSION = 1
O2P = "O2P"
# Regions as they are found in the picture, or with the true outline of every object among them.
OUTLINES = ("found", "true")
# Columns of the frame that are no label's accuracy.
_OTHER = ("features", "layer", "seed", "mean", "seconds", "svr_seconds", "threshold", "named")


@dataclass(frozen=True)
class FeatureRow:
    """A row of Table 5.

    Attributes
    ----------
    features : {"full", "fg", "full+fg", "O2P"}
    layer : {"fc6", "fc7", ""}
        Empty for O2P, which has no network.
    """

    features: str
    layer: str = ""

    @property
    def name(self) -> str:
        return f"{self.features} {self.layer}".strip()


TABLE5 = (FeatureRow(O2P), *(FeatureRow(kind, layer) for layer in ("fc6", "fc7") for kind in FEATURES))


def table5(
    rows: Sequence[FeatureRow] = TABLE5,
    *,
    data: Callable,
    seeds: Sequence[int] = (0,),
    cache,
    network: str = "quarter_tnet",
    weights=None,
    finetune_settings=None,
    fine_tuned: bool = True,
    outlines: str = "found",
    max_proposals: int = settings.MAX_PROPOSALS,
    max_regions: int = 100,
    max_images: int | None = None,
    max_test_images: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and judge a segmenter for every row and seed.

    Parameters
    ----------
    rows : sequence of FeatureRow
    data : callable
        ``data(seed)`` returns the training set and the set to judge on, both with masks.
    seeds : sequence of int
        A seed decides fine-tuning, the folds behind the threshold, and whatever `data` makes of it.
    cache : path
        The folder that `ablate` keeps its fine-tuned networks in. Regions, features and results go to
        ``segmentation`` in it.
    network, weights, finetune_settings, max_proposals, device
        Decide the fine-tuned network; see `ablate`.
    fine_tuned : bool
        False takes the network as it was pre-trained.
    outlines : {"found", "true"}
        With ``"true"``, the true outlines of all objects are put before the regions that are found, in training
        and in judging.
    max_regions : int
        Regions of an image that are found.
    max_images, max_test_images : int, optional
        Train and judge on so many images, spread evenly over the sets. Fine-tuning is on all.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One line for each row and seed: features, layer, seed, accuracy of background and of each class in percent
        (NaN where a class is neither shown nor found), their mean, the seconds it took, those of them that the
        regressors took, and the threshold that was chosen. Work that rows share counts for the first. With true
        outlines also named: of how many objects, in percent, the outline scores highest for their own class.
    """
    seeds, rows = checked_seeds(seeds), tuple(dict.fromkeys(rows))
    if not rows:
        raise SettingsError("there are no rows to run; give at least one FeatureRow")
    if outlines not in OUTLINES:
        raise SettingsError(f"outlines are {outlines!r}; choose one of {', '.join(OUTLINES)}")
    options = RunOptions(
        cache=Path(cache),
        weights={} if weights is None else {network: weights},
        finetuned=None,
        finetune_settings=finetune_settings,
        max_proposals=max_proposals,
        metric="11point",
        keep_features=True,
        device=device,
        progress=progress,
    )
    networks = PretrainedNetworks(options)
    records = []
    for seed in seeds:
        detection = SeedRun(seed, *data(seed), networks, options)
        run = _SeedTable(detection, Row(network=network, fine_tuned=fine_tuned), outlines, max_regions)
        run.limit(max_images, max_test_images)
        records += [{**asdict(row), "seed": seed, **run.result(row)} for row in rows]
    order = {row: number for number, row in enumerate(rows)}
    records.sort(key=lambda record: order[FeatureRow(record["features"], record["layer"])])
    return pd.DataFrame(records)


class _SeedTable:
    """All rows of one seed."""

    def __init__(self, detection: SeedRun, row: Row, outlines: str, max_regions: int):
        """`row` is the row of `ablate` that makes the network."""
        self.seed, self.train, self.test = detection.seed, detection.train, detection.test
        self.detection, self.options, self.row = detection, detection.options, row
        self.outlines, self.max_regions = outlines, max_regions
        self.folder = self.options.cache / "segmentation"

    def limit(self, n_train: int | None, n_test: int | None) -> None:
        """Leave so many images; fine-tuning has its own list."""
        self.train, self.test = _spread_over(self.train, n_train), _spread_over(self.test, n_test)

    def result(self, row: FeatureRow) -> dict:
        """Accuracies, mean and seconds of a row, read where it has been worked out before."""
        path = self.folder / "results" / f"{digest(self._identity(row))}.json"
        if not path.exists():
            write_json(path, {**self._measure(row), "settings": self._identity(row)}, checksum=True)
        found = read_json(path)
        if self.options.progress:
            from tqdm.auto import tqdm

            tqdm.write(f"seed {self.seed}: {row.name}, mean {found['mean']:.1f}, {found['seconds']:.0f} s")
        accuracy = {name: np.nan if value is None else value for name, value in found["accuracy"].items()}
        others = ("mean", "seconds", "svr_seconds", "threshold", "named")
        return accuracy | {key: found[key] for key in others if key in found}

    def _measure(self, row: FeatureRow) -> dict:
        started = time.perf_counter()
        segmenter = self._segmenter(row)
        options = {"cache": self.folder, "progress": self.options.progress}
        segmenter.fit(self.train, regions=self._regions(self.train), **options)
        result = segmenter.evaluate(self.test, regions=self._regions(self.test), **options)
        accuracy = {
            name: None if np.isnan(value) else 100 * value for name, value in result.per_class.items()
        }
        return {
            "row": row.name,
            "accuracy": accuracy,
            "mean": 100 * result.mean,
            "seconds": time.perf_counter() - started,
            "svr_seconds": segmenter.seconds_["regressors"],
            "threshold": segmenter.pasting_.threshold,
            "nms_iou": segmenter.pasting_.nms_iou,
        } | ({"named": named_objects(segmenter, self.test)} if self.outlines == "true" else {})

    def _regions(self, dataset) -> Mapping[str, SegmentRegions] | None:
        """The regions to use; None leaves it to the segmenter to find them."""
        if self.outlines == "found":
            return None
        found = RegionFolder(dataset, self.folder / "regions", max_regions=self.max_regions)
        return _WithTrueOutlines(dataset, found)

    def _segmenter(self, row: FeatureRow) -> Segmenter:
        options = {"max_regions": self.max_regions, "seed": self.seed}
        if row.features == O2P:
            return Segmenter(SecondOrderPooling(seed=self.seed), **options)
        network = self.detection.network(self.row)
        return Segmenter(network, features=row.features, layer=row.layer, **options)

    def _identity(self, row: FeatureRow) -> dict:
        """Everything that decides a result, as JSON values."""
        network = None
        if row.features != O2P:
            network = {
                "weights": self.detection.networks.fingerprint(self.row.network),
                "finetuning": self.detection.finetuning_identity(self.row),
                "max_proposals": self.options.max_proposals,
                "data": self.detection.digests["train"],
            }
        identity = {
            "version": _VERSION,
            "row": asdict(row),
            "seed": self.seed,
            "network": network,
            "train": digest_dataset(self.train),
            "test": digest_dataset(self.test),
            "max_regions": self.max_regions,
        }
        # Absent for found outlines: results from before there was a choice keep their names.
        return identity if self.outlines == "found" else identity | {"outlines": self.outlines}


class _WithTrueOutlines(Mapping):
    """Regions by image id, the true outlines of the image's objects before those that were found."""

    def __init__(self, dataset, found: Mapping[str, SegmentRegions]):
        self.dataset, self.found = dataset, found

    def __getitem__(self, image_id: str) -> SegmentRegions:
        masks, _ = true_outlines(self.dataset, image_id)
        return add_masks(self.found[image_id], masks) if masks else self.found[image_id]

    def __iter__(self):
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


def true_outlines(dataset, image_id: str) -> tuple[list[np.ndarray], list[int]]:
    """Mask, bool [H, W], and class, from 0, of each object of an image that has pixels of one class."""
    class_map, object_map = dataset.segmentation(image_id)
    masks, classes = [], []
    for object_number in np.setdiff1d(object_map, (0, VOID)):
        mask = object_map == object_number
        labels = np.setdiff1d(class_map[mask], (0, VOID))
        if len(labels) == 1:
            masks.append(mask)
            classes.append(int(labels[0]) - 1)
    return masks, classes


def named_objects(segmenter: Segmenter, dataset) -> float:
    """Percentage of objects whose true outline scores highest for their own class; NaN without any object."""
    right, total = 0, 0
    for image_id in dataset.ids:
        masks, classes = true_outlines(dataset, image_id)
        if masks:
            scores = segmenter.scores(dataset.image(image_id), regions_from_masks(masks))
            right += int((scores.argmax(axis=1) == classes).sum())
            total += len(classes)
    return 100 * right / total if total else float("nan")


def _spread_over(dataset, n: int | None):
    if n is None or n >= len(dataset.ids):
        return dataset
    return dataset.subset([dataset.ids[i * len(dataset.ids) // n] for i in range(n)])


def label_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame of `table5` that hold the accuracy of background or a class."""
    return [name for name in frame.columns if name not in _OTHER]


def segmentation_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of each row, by name, the spread of the mean accuracy (NaN for one seed), and seeds."""
    frame = frame.assign(layer=frame["layer"].fillna(""))
    by_row = frame.groupby(["features", "layer"], sort=False)
    result = by_row[[*label_columns(frame), "mean"]].mean()
    result["spread"] = by_row["mean"].std(ddof=1)
    result["seeds"] = by_row["mean"].count()
    result[["seconds", "svr_seconds"]] = by_row[["seconds", "svr_seconds"]].mean()
    result.index = pd.Index([FeatureRow(*key).name for key in result.index], name="row")
    return result


# Each claim of sec. 5 that Table 5 decides: the better row and the worse one.
_CLAIMS = (
    *(
        ("full+fg beats full", FeatureRow("full+fg", layer), FeatureRow("full", layer))
        for layer in ("fc6", "fc7")
    ),
    *(
        ("full+fg beats fg", FeatureRow("full+fg", layer), FeatureRow("fg", layer))
        for layer in ("fc6", "fc7")
    ),
    ("fg beats full", FeatureRow("fg", "fc6"), FeatureRow("full", "fc6")),
    ("fg beats full", FeatureRow("fg", "fc7"), FeatureRow("full", "fc7")),
    *(("fc6 beats fc7", FeatureRow(kind, "fc6"), FeatureRow(kind, "fc7")) for kind in FEATURES),
    ("full+fg beats O2P", FeatureRow("full+fg", "fc6"), FeatureRow(O2P)),
)


def segmentation_signs(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims on features for segmentation, as differences within a seed.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from `table5`, or read back from its CSV.

    Returns
    -------
    pandas.DataFrame
        The columns of `rcnn_helpers.ablation.signs`, in points of mean accuracy. In the paper's own table fg beats
        full on fc6 and not on fc7.
    """
    frame = frame.assign(layer=frame["layer"].fillna(""))
    means = {
        FeatureRow(*key): part.set_index("seed")["mean"]
        for key, part in frame.groupby(["features", "layer"], sort=False)
    }
    lines = []
    for claim, better, worse in _CLAIMS:
        if better not in means or worse not in means:
            continue
        differences = (means[better] - means[worse]).dropna().to_numpy()
        if len(differences) == 0:
            continue
        lines.append(
            {
                "claim": claim,
                "source": "sec. 5, Table 5",
                "compared": f"{better.name} - {worse.name}",
                "paper": f"{_paper()[better] - _paper()[worse]:+.1f}",
                "mean": differences.mean(),
                "spread": differences.std(ddof=1) if len(differences) > 1 else np.nan,
                "smallest": differences.min(),
                "largest": differences.max(),
                "seeds": len(differences),
                "verdict": verdict(differences),
            }
        )
    return pd.DataFrame(lines)


@remember
def _paper() -> dict[FeatureRow, float]:
    """The means of the paper's Table 5, VOC 2011 val. It sets O2P in the column of fc6."""
    table = pd.read_csv(settings.data_dir() / "paper" / "table5_voc2011_val_segmentation_mean.csv")
    values = {}
    for line in table.to_dict("records"):
        for layer in ("fc6", "fc7"):
            if not np.isnan(line[layer]):
                row = FeatureRow(O2P) if line["features"] == O2P else FeatureRow(line["features"], layer)
                values[row] = line[layer]
    return values


def format_table5(frame: pd.DataFrame, *, width: int | None = None) -> str:
    """A frame of `table5` as text, with the paper's means beside ours."""
    lines, table = [], segmentation_summary(frame)
    labels = label_columns(frame)
    rows = [FeatureRow(*name.split(" ")) for name in table.index]
    for row, line in zip(rows, table.to_dict("records"), strict=True):
        cells = [number(line[name]) for name in labels]
        mean = number(line["mean"]) + spread(line["spread"])
        paper = number(_paper().get(row))
        lines.append([*cells, mean, paper, number(line["seconds"], 0), number(line["svr_seconds"], 1)])
    head = [*shortened(labels), "mean", "paper", "seconds", "SVR s"]
    return as_text(list(table.index), head, lines, width)
