"""Files that are whole or absent: atomic writes, checksums, JSON.

A file under its final name is always complete. Whatever is being written lies beside it under a hidden
temporary name and is renamed at the end, which file systems do in one step; a run that is killed half-way
leaves at most a temporary file behind, never half a result.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rcnn_helpers.errors import StoreError

# What a file system answers when a file or a user's quota does not fit.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def atomic_write(path, write: Callable[[BinaryIO], None]) -> None:
    """Write the file `path` so that it appears complete or not at all.

    Parameters
    ----------
    path : path-like
        Final name. Missing folders are made; a file of that name is replaced.
    write : callable
        Called once with a binary file open for writing.

    Raises
    ------
    StoreError
        If the file cannot be written. The message says how much space is left when the disk is full.
    """
    path = Path(path)
    temporary = _temporary_sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def atomic_folder(path) -> Iterator[Path]:
    """Build the folder `path` so that it appears complete or not at all.

    Yields a temporary folder beside `path` to be filled; it is renamed to `path` when the block ends. If the
    block raises, the temporary folder is removed. If another process has made `path` meanwhile, its folder is
    kept and ours is removed: both were built from the same settings.

    Raises
    ------
    StoreError
        If the folder cannot be made or filled.
    """
    path = Path(path)
    temporary = _temporary_sibling(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path) -> Any:
    """Read a JSON file.

    Raises
    ------
    StoreError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}); delete it and make it anew") from error


def write_json(path, value) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    atomic_write(path, lambda file: file.write(text.encode("utf-8")))


def free_space(path) -> int:
    """Free bytes on the disk that holds `path`, which need not exist yet."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _temporary_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")


def _cannot_write(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        megabytes = free_space(path) / 1e6
        return StoreError(
            f"cannot write {path}: {reason}; {megabytes:.0f} MB are free there. "
            "Free some space or choose another folder (RCNN_CACHE names the folder for caches)"
        )
    return StoreError(f"cannot write {path}: {reason}; check that its folder exists and may be written to")
