"""Running the rows of an experiment table, seed by seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.ablation.arguments import (
    checked_finetuned,
    checked_rows,
    checked_seeds,
    weights_by_network,
)
from rcnn_helpers.ablation.reading import class_columns
from rcnn_helpers.ablation.rows import Row
from rcnn_helpers.ablation.seed_run import PretrainedNetworks, RunOptions, SeedRun
from rcnn_helpers.features import FeatureStore, extract_dataset
from rcnn_helpers.finetuning import FinetuneSettings


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
    rows, seeds = checked_rows(rows), checked_seeds(seeds)
    options = RunOptions(
        cache=Path(cache),
        weights=weights_by_network(weights, rows),
        finetuned=checked_finetuned(finetuned, rows, seeds),
        finetune_settings=finetune_settings,
        max_proposals=max_proposals,
        metric=metric,
        keep_features=keep_features,
        device=device,
        progress=progress,
    )
    networks = PretrainedNetworks(options)
    lines = {}
    for seed in seeds:
        lines[seed] = SeedRun(seed, *data(seed), networks, options).results(rows)
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
    options = RunOptions(
        cache=Path(cache),
        weights=weights_by_network(weights, (row,)),
        finetuned=None,
        finetune_settings=finetune_settings,
        max_proposals=max_proposals,
        metric="11point",
        keep_features=True,
        device=device,
        progress=progress,
    )
    run = SeedRun(seed, train, test, PretrainedNetworks(options), options)
    network, stores = run.network(row), run.stores(row)
    for dataset, proposals, store in zip((train, test), run.proposals(), stores, strict=True):
        extract_dataset(network, dataset, proposals, store=store, progress=progress)
    return RowParts(network, stores)
