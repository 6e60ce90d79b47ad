"""Sets of pictures to be compared, and what each picture is known by: ids, hashes, and its GIST descriptor."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcnn_helpers.columns import Columns
from rcnn_helpers.datasets.voc import IMAGE_SUFFIXES
from rcnn_helpers.errors import AnnotationError, DatasetError
from rcnn_helpers.images import read_image
from rcnn_helpers.kept_images import memory_for_images
from rcnn_helpers.redundancy.gist import DIMENSION, gist
from rcnn_helpers.storage import atomic_write, read_arrays

# Part of the name of every file in the cache: raise it when descriptors or hashes change.
_VERSION = 1
_SUFFIXES = {suffix.lower() for suffix in IMAGE_SUFFIXES} | {".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True)
class PictureSet:
    """Pictures in files, and where they come from.

    Attributes
    ----------
    name : str
    ids : tuple of N str
        Unique in the set.
    paths : tuple of N Path
    source_ids : tuple of N str
        Id of the picture where it was collected, such as Flickr's; empty where it is not known.
    """

    name: str
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    source_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, number: int) -> np.ndarray:
        """Read a picture by its number, uint8 [H, W, 3]; ImageError if it cannot be read."""
        return read_image(self.paths[number])

    def subset(self, numbers) -> "PictureSet":
        """The pictures of the given numbers, in that order."""
        parts = ([values[i] for i in numbers] for values in (self.ids, self.paths, self.source_ids))
        return PictureSet(self.name, *map(tuple, parts))


@dataclass(frozen=True)
class Fingerprints:
    """What the pictures of a set are known by.

    Attributes
    ----------
    pictures : PictureSet
    descriptors : float32 array of shape [N, 960]
        See `rcnn_helpers.redundancy.gist`. Those of a great many pictures are mapped from a temporary file.
    file_hashes, pixel_hashes : tuple of N str
        SHA-256 of the bytes of the file, and of the decoded picture (its size and its pixels).
    """

    pictures: PictureSet
    descriptors: np.ndarray
    file_hashes: tuple[str, ...]
    pixel_hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)


def open_pictures(where, *, source_ids: Mapping[str, str] | None = None) -> PictureSet:
    """Open a set of pictures by what it is called on the command line.

    Parameters
    ----------
    where : path-like
        A folder with pictures, also in folders below it; ``DIR:SPLIT`` for a split of a folder in VOC layout;
        or ``toyvoc:SPLIT``.
    source_ids : mapping of str to str, optional
        Source id by picture id, instead of those in the annotations.

    Raises
    ------
    DatasetError
        If there is no such folder or split, or no picture in it.
    """
    root, colon, split = str(where).rpartition(":")
    if not colon or Path(where).exists():
        pictures = _in_folder(Path(where))
    elif root == "toyvoc":
        from rcnn_helpers.datasets.toyvoc import open_toyvoc

        pictures = pictures_of(open_toyvoc(split))
    else:
        from rcnn_helpers.datasets.voc import VOCDataset

        pictures = pictures_of(VOCDataset(root, split))
    if source_ids is None:
        return pictures
    return PictureSet(
        pictures.name, pictures.ids, pictures.paths, tuple(source_ids.get(name, "") for name in pictures.ids)
    )


def pictures_of(dataset) -> PictureSet:
    """The pictures of a data set in VOC layout, with Flickr's id of each where its annotation has one.

    Parameters
    ----------
    dataset : VOCDataset
        VOC 2007 says ``<source><flickrid>`` in its annotations, which the check by id of App. F uses.
    """
    paths = tuple(dataset.image_path(image_id) for image_id in dataset.ids)
    annotations = Path(dataset.root) / "Annotations"
    sources = tuple(_flickr_id(annotations / f"{image_id}.xml") for image_id in dataset.ids)
    return PictureSet(f"{Path(dataset.root).name}:{dataset.split}", tuple(dataset.ids), paths, sources)


def fingerprints(
    pictures: PictureSet, *, cache=None, chunk: int = 500, progress: bool = False
) -> Fingerprints:
    """Read all pictures once, and keep what they are known by.

    Parameters
    ----------
    pictures : PictureSet
    cache : path-like, optional
        Folder in which every `chunk` pictures are kept: an interrupted run goes on where it stopped, and a
        file that has changed since is read again.
    chunk : int
    progress : bool
        Show a bar.

    Returns
    -------
    Fingerprints

    Raises
    ------
    ImageError
        If a picture cannot be read; the message names it.
    """
    from tqdm.auto import tqdm

    if chunk < 1:
        raise ValueError(f"chunk is {chunk}, but at least one picture is read at a time")
    described, files, pixels = Columns({"gist": (np.float32, DIMENSION)}, memory_for_images()), [], []
    with tqdm(total=len(pictures), desc=pictures.name, unit="picture", disable=not progress) as bar:
        for first in range(0, len(pictures), chunk):
            paths = pictures.paths[first : first + chunk]
            kept = None if cache is None else Path(cache) / f"{_key(paths)}.npz"
            part = _load(kept)
            if part is None:
                part = _computed(paths)
                if kept is not None:
                    atomic_write(kept, lambda file, part=part: np.savez(file, **part))
            described.append(gist=part["descriptors"])
            files += part["files"].tolist()
            pixels += part["pixels"].tolist()
            bar.update(len(paths))
    return Fingerprints(pictures, described.finish()["gist"], tuple(files), tuple(pixels))


def pixel_hash(image) -> str:
    """SHA-256 of a picture's size and pixels, whatever file it was in."""
    image = np.ascontiguousarray(image, dtype=np.uint8)
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _in_folder(folder: Path) -> PictureSet:
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {folder}; name a folder of pictures, DIR:SPLIT for a split of a folder in VOC "
            "layout, or toyvoc:SPLIT"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        raise DatasetError(f"there is no picture in {folder} (looked for {', '.join(sorted(_SUFFIXES))})")
    ids = tuple(path.relative_to(folder).as_posix() for path in paths)
    return PictureSet(folder.resolve().name, ids, tuple(paths), ("",) * len(paths))


def _flickr_id(path: Path) -> str:
    """Flickr's id of the picture that an annotation speaks of, or an empty text."""
    import defusedxml.ElementTree
    from defusedxml.common import DefusedXmlException

    if not path.is_file():
        return ""
    try:
        text = defusedxml.ElementTree.parse(path).getroot().findtext("source/flickrid") or ""
    except (DefusedXmlException, SyntaxError, ValueError, OSError) as error:
        raise AnnotationError(f"{path} is not well-formed XML ({error}); mend or remove it") from error
    return "" if text.strip() in ("", "0", "Unspecified") else text.strip()


def _computed(paths) -> dict[str, np.ndarray]:
    files, pixels = [], []

    def images():
        for path in paths:
            image = read_image(path)
            files.append(hashlib.sha256(path.read_bytes()).hexdigest())
            pixels.append(pixel_hash(image))
            yield image

    descriptors = gist(images())
    return {"descriptors": descriptors, "files": np.array(files, "U64"), "pixels": np.array(pixels, "U64")}


def _key(paths) -> str:
    """Changes with the files of a chunk: their names, sizes and times."""
    known = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps([_VERSION, known]).encode()).hexdigest()[:32]


def _load(path) -> dict[str, np.ndarray] | None:
    return None if path is None else read_arrays(path, ("descriptors", "files", "pixels"))
