"""The saved results that claims are judged by, read without waiting for a numerical library."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.errors import DatasetError

TOYVOC_CLASSES = (
    "horse",
    "car",
    "bus",
    "truck",
    "chair",
    "sofa",
    "cat",
    "bird",
    "dog",
    "table",
    "lamp",
    "aeroplane",
)
# Those of VOC that ToyVOC lacks.
VOC_ONLY_CLASSES = (
    "bicycle",
    "boat",
    "bottle",
    "cow",
    "diningtable",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "train",
    "tvmonitor",
)
_AS_NUMBER = {"": math.nan, "True": 1.0, "False": 0.0}


class Missing(Exception):
    """A result that was not computed yet; its text names the file, or what the file lacks."""


class Results:
    """The folder of saved results, each file read once, when it is asked for.

    Parameters
    ----------
    folder : path-like, optional
        What holds ``results``, ``paper`` and ``costs.csv``; by default the data folder of the checkout.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder is not None else settings.data_dir()
        self._read: dict[str, object] = {}

    def rows(self, name: str) -> list[dict]:
        """Lines of ``results/NAME.csv``: a dict each, with numbers where the text is one.

        Raises
        ------
        Missing
            If there is no such file, or nothing in it.
        DatasetError
            If it is no table.
        """
        return self._kept(self.folder / "results" / f"{name}.csv", _read_csv)

    def document(self, name: str) -> dict:
        """The object in ``results/NAME.json``; raises like `rows`."""
        return self._kept(self.folder / "results" / f"{name}.json", _read_json)

    def paper(self, name: str) -> list[dict]:
        """Lines of ``paper/NAME.csv``."""
        return self._kept(self.folder / "paper" / f"{name}.csv", _read_csv)

    def seconds_of(self, step: str) -> float:
        """Seconds that a step of the course took, profile laptop, on a CPU (``costs.csv``)."""
        for row in self._kept(self.folder / "costs.csv", _read_csv):
            if (row["profile"], row["device"], row["step"]) == ("laptop", "cpu", step):
                return row["seconds"]
        raise Missing(f"data/costs.csv has no line for {step!r}")

    def _kept(self, path, read):
        key = str(path)
        if key not in self._read:
            if not path.is_file():
                raise Missing(f"there is no data/{path.relative_to(self.folder).as_posix()}")
            self._read[key] = read(path)
        return self._read[key]


def matching(rows: list[dict], selection: Mapping) -> list[dict]:
    """Those rows that have all the values of a selection.

    Raises
    ------
    Missing
        If there are none.
    """
    found = [row for row in rows if all(row.get(key) == value for key, value in selection.items())]
    if not found:
        wanted = ", ".join(f"{key} {value}" for key, value in selection.items())
        raise Missing(f"no saved result has {wanted}")
    return found


def by_seed(rows: list[dict], selection: Mapping, column: str = "mAP") -> dict[int, float]:
    """The value of a column for each seed of the rows selected; one without seeds counts as seed 0."""
    values = {int(row.get("seed") or 0): row.get(column, math.nan) for row in matching(rows, selection)}
    values = {seed: value for seed, value in values.items() if not math.isnan(value)}
    if not values:
        raise Missing(f"the saved rows have no {column}")
    return values


def by_class(rows: list[dict], selection: Mapping) -> dict[str, float]:
    """AP (or accuracy) of each class, mean over the seeds of the rows selected."""
    found = matching(rows, selection)
    classes = [name for name in found[0] if name in (*TOYVOC_CLASSES, *VOC_ONLY_CLASSES, "background")]
    return {name: math.fsum(row[name] for row in found) / len(found) for name in classes}


def _read_csv(path: Path) -> list[dict]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = [{key: _value(text) for key, text in line.items()} for line in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error, AttributeError, TypeError) as error:
        raise DatasetError(
            f"{path} is no table of results ({error}); write it again with its command"
        ) from error
    if not lines:
        raise Missing(f"data/results/{path.name} is empty")
    return lines


def _value(text: str):
    """A cell as a number where it is one."""
    if text in _AS_NUMBER:
        return _AS_NUMBER[text]
    try:
        return float(text)
    except ValueError:
        return text


def _read_json(path: Path) -> dict:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} is no JSON ({error}); write it again with its command") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path} holds a {type(document).__name__}, not an object; write it again")
    return document
