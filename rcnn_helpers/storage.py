"""Files that are whole or absent: atomic writes, checksums, JSON.

A file under its final name is always complete. Whatever is being written lies beside it under a hidden
temporary name and is renamed at the end, which file systems do in one step; a run that is killed half-way
leaves at most a temporary file behind, never half a result.

A file that was whole can still be damaged later, by a disk or in a transfer. `write_tensors` and
``write_json(..., checksum=True)`` put a CRC-32 of the content into the file, so that a changed number is found
out where it is read. Files without one, of an older version or another program, are read as they are.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rcnn_helpers.errors import StoreError

# What a file system answers when a file or a user's quota does not fit.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What it answers where nothing may be written: a read-only disk, or a folder of somebody else.
NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
# Key of the checksum in the header of a safetensors file and in a JSON file.
_CHECKSUM = "crc32"


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


def make_folder(path) -> Path:
    """Make a folder and those above it, unless it is there.

    Raises
    ------
    StoreError
        If it cannot be made, or a file is in its place.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def write_tensors(path, payload: bytes) -> None:
    """Write the bytes that `safetensors` made, atomically, with a checksum in the header.

    Parameters
    ----------
    path : path-like
    payload : bytes
        A whole file, as ``safetensors.numpy.save`` or ``safetensors.torch.save`` return it. Tensors and metadata
        stay as they are.
    """
    payload = memoryview(payload)
    start = 8 + int.from_bytes(payload[:8], "little")
    header = json.loads(bytes(payload[8:start]))
    metadata = header.setdefault("__metadata__", {})
    metadata[_CHECKSUM] = f"{zlib.crc32(payload[start:], _header_checksum(header)):08x}"
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of eight bytes

    def write(file):
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.write(payload[start:])

    atomic_write(path, write)


def read_tensors(path) -> dict[str, Any]:
    """Arrays of a safetensors file by name, held against its checksum where it has one.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors, damaged = load_file(path), tensors_are_damaged(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}); delete it and make it anew") from error
    if damaged:
        raise StoreError(f"{path} is damaged: its checksum is wrong; delete it and make it anew")
    return tensors


def tensors_are_damaged(path) -> bool:
    """Whether a safetensors file has another content than `write_tensors` gave it.

    Names, shapes, metadata and numbers all count. False for a file without a checksum.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or is no safetensors file at all.
    """
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
        expected = metadata.pop(_CHECKSUM, None)
        if expected is None:
            return False
        found = _header_checksum(header)
        while piece := file.read(1 << 20):
            found = zlib.crc32(piece, found)
    return f"{found:08x}" != expected


def _header_checksum(header: dict) -> int:
    """CRC-32 of a safetensors header; without metadata it is that of a header with empty ones."""
    return zlib.crc32(json.dumps(header, sort_keys=True).encode())


def read_arrays(path, names: Iterable[str]) -> dict[str, Any] | None:
    """Arrays of a file that ``numpy.savez`` wrote; None if it is missing, damaged, or lacks one of them.

    Such files hold a checksum of each array, which is verified.

    Parameters
    ----------
    path : path-like
    names : iterable of str

    Returns
    -------
    dict from name to array, or None
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except Exception:  # whatever a damaged file makes NumPy and its readers raise, even a tokenizer's error
        return None


def sha256(path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path) -> Any:
    """Read a JSON file; a checksum that `write_json` put there is verified and left out.

    Raises
    ------
    StoreError
        If the file is missing, is not JSON, or is not what was written.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}); delete it and make it anew") from error
    if isinstance(value, dict) and _CHECKSUM in value and value.pop(_CHECKSUM) != _json_checksum(value):
        raise StoreError(f"{path} is damaged: its checksum is wrong; delete it and make it anew")
    return value


def write_json(path, value, *, checksum: bool = False) -> None:
    """Write `value` as indented JSON, atomically.

    Parameters
    ----------
    path : path-like
    value : JSON value
    checksum : bool
        Of a dict: add a checksum, which `read_json` verifies. For results that are kept and read again.
    """
    if checksum:
        value = {**value, _CHECKSUM: _json_checksum(value)}
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    atomic_write(path, lambda file: file.write(text.encode("utf-8")))


def _json_checksum(value: dict) -> str:
    """CRC-32 of the value as it comes back from a file: a tuple as a list, a number as a key as text."""
    value = json.loads(json.dumps(value))
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"


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
    if error.errno in NOT_WRITABLE:
        return StoreError(
            f"cannot write {path}: {reason}. Results need a folder of your own. If this is a cache that others "
            "share with you, what is missing in it can only be added by whoever may write there; to go on with a "
            "cache of your own, name a folder for it with RCNN_CACHE (or --cache for one command)"
        )
    return StoreError(f"cannot write {path}: {reason}; check that its folder exists and may be written to")
