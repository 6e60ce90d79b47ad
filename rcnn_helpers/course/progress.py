"""What the learner has done so far: exercises and predictions, one small file each.

The files lie in the user's data folder, or where ``RCNN_PROGRESS`` says, apart from the cache, which a class
may share and anyone may delete. ``rcnn progress`` lists them and ``rcnn progress --reset`` removes them. Nothing
leaves the machine.
"""

import os
import re
import shutil
import warnings
from pathlib import Path

from rcnn_helpers.errors import RCNNError
from rcnn_helpers.storage import read_json, write_json


def folder() -> Path:
    """Return the folder of the learner's progress."""
    named = os.environ.get("RCNN_PROGRESS")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("rcnn_helpers")) / "progress"


def record(kind: str, name: str, entry: dict) -> None:
    """Keep an entry, in place of the one before; on a full or read-only disk, warn and go on.

    Parameters
    ----------
    kind : {"exercise", "prediction"}
    name : str
    entry : dict
        Anything JSON can hold.
    """
    try:
        path = _path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        tries = (recall(kind, name) or {}).get("tries", 0) + 1
        write_json(path, {"kind": kind, "name": name, "tries": tries} | entry)
    except (OSError, RCNNError) as error:
        warnings.warn(f"your progress is not kept: {error}", stacklevel=2)


def record_outcome(exercise: str, outcome: str) -> None:
    """Keep the outcome of a check; an exercise once passed stays so, whatever is tried later."""
    before = recall("exercise", exercise) or {}
    passed = outcome == "pass" or before.get("passed", False)
    record("exercise", exercise, {"outcome": outcome, "passed": passed})


def recall(kind: str, name: str) -> dict | None:
    """Return the entry last recorded, or None; a damaged file counts as none."""
    return _read(_path(kind, name))


def entries(kind: str, where: Path | None = None) -> list[dict]:
    """Return all entries of a kind, by name; from another folder than the learner's if `where` names one."""
    files = sorted(((where or folder()) / kind).glob("*.json"))
    return [entry for entry in map(_read, files) if entry]


def reset() -> Path:
    """Forget all progress and return the folder it was in."""
    where = folder()
    for kind in ("exercise", "prediction"):
        shutil.rmtree(where / kind, ignore_errors=True)
    return where


def _path(kind: str, name: str) -> Path:
    return folder() / kind / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.json"


def _read(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        entry = read_json(path)
    except RCNNError:
        return None
    return entry if isinstance(entry, dict) else None
