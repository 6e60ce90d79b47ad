"""What an experiment table is asked for, checked before anything is computed."""

from collections.abc import Mapping
from pathlib import Path

from rcnn_helpers.ablation.identity import dataset_root
from rcnn_helpers.ablation.rows import PAPER, Row
from rcnn_helpers.errors import DatasetError, SettingsError


def checked_rows(rows) -> tuple[Row, ...]:
    rows = tuple(dict.fromkeys(rows))
    if not rows:
        raise SettingsError("there are no rows to run; name a table or give a row")
    names = [row.name for row in rows]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SettingsError(f"two different rows are called {twice[0]!r}; give one of them another name")
    return rows


def checked_seeds(seeds) -> tuple[int, ...]:
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise SettingsError(f"seeds are {list(seeds)}; give different whole numbers from 0 on, at least one")
    return seeds


def checked_finetuned(path, rows, seeds) -> Path | None:
    if path is None:
        return None
    networks = sorted({row.network for row in rows if takes_given_weights(row)})
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


def weights_by_network(weights, rows) -> dict:
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


def check_data(train, test) -> None:
    if tuple(train.classes) != tuple(test.classes):
        raise DatasetError(
            f"the training images have classes {', '.join(train.classes)}, the others {', '.join(test.classes)}; "
            "open both with the same list"
        )
    trained_on = set(train.ids)
    shared = [image_id for image_id in test.ids if image_id in trained_on]
    if shared and dataset_root(train) == dataset_root(test):
        raise DatasetError(
            f"{len(shared)} images are both trained on and judged, the first is {shared[0]}; choose splits "
            "that have none in common, such as train and val, or trainval and test"
        )


def takes_given_weights(row: Row) -> bool:
    paper = (PAPER.labels, PAPER.warp_mode, PAPER.padding)
    return row.fine_tuned and (row.labels, row.warp_mode, row.padding) == paper
