"""The comparison: each descriptor through the same proposals, SVMs, suppression and evaluation.

What differs from `rcnn_helpers.detector.RCNN` is that regions are described by anything with the face of a
`Descriptor`, and that boxes are not regressed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers import settings
from rcnn_helpers.baselines.contestants import Contestant
from rcnn_helpers.baselines.described_images import describe_data
from rcnn_helpers.baselines.judging import judge
from rcnn_helpers.baselines.tables import RESULT_COLUMNS, class_columns, shown
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.storage import read_json, write_json

# Raised whenever a change of the code changes the results: it is part of their names.
_VERSION = 1


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

    Contestants that follow each other and differ in C alone share their descriptors.

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
                tqdm.write(f"seed {seed}: {found['name']}, mAP {shown(found['mAP'])}")
            records.append(
                {"name": found["name"], "dim": found["dim"], "C": found["C"], "seed": seed}
                | found["ap"]
                | {name: found[name] for name in RESULT_COLUMNS}
            )
    # All seeds of a row stand together, in the order of the rows.
    order = {record["name"]: i for i, record in reversed(list(enumerate(records)))}
    frame = pd.DataFrame(sorted(records, key=lambda record: order[record["name"]]))
    return frame.astype({name: float for name in (*class_columns(frame), *RESULT_COLUMNS)})


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
