"""What data sets of images with boxes have in common, wherever their files lie.

`VOCDataset` and `ILSVRCDataset` differ in layout: how lists name images, where files are, what an annotation
without a file means. The rest, from keeping annotations to refusing an image of the wrong size, is here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcnn_helpers.errors import AnnotationError, DatasetError
from rcnn_helpers.images import read_image

# Annotations kept in memory, of 1 KB each or so; when there are more, all are forgotten and read again.
KEPT_ANNOTATIONS = 100_000


@dataclass(frozen=True)
class Annotation:
    """What is known about the objects of one image.

    Attributes
    ----------
    image_id : str
    height, width : int
        Size of the image in pixels.
    boxes : float32 array of shape [N, 4]
        Half-open boxes ``(x1, y1, x2, y2)``, 0-based, inside the image.
    names : tuple of N str
        Class of each object.
    difficult, truncated, occluded : bool arrays of shape [N]
        `difficult` objects count neither for nor against a detector.
    poses : tuple of N str
        ``"Left"``, ``"Frontal"`` and so on, or ``"Unspecified"``.
    """

    image_id: str
    height: int
    width: int
    boxes: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    poses: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


class AnnotatedImages:
    """Images of a split with annotations, which are kept once they are read, as far as they are not too many.

    A subclass has `classes` and finds files: it defines ``image_path``, ``_annotation_path`` and
    ``_read_annotation``, each of an image's id.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    split : str
    ids : iterable of str
    """

    classes: tuple[str, ...]
    # What to do about an image of the wrong size, beside correcting its annotation.
    _size_remedy = "correct the one or the other"

    def __init__(self, root: Path, split: str, ids: Iterable[str]):
        self.root, self.split, self.ids = root, split, list(ids)
        self._annotations: dict[str, Annotation] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}, {self.split!r}): {len(self)} images"

    def __getstate__(self) -> dict:
        # Worker processes get the data set with every task; they read the few annotations they need.
        return {**self.__dict__, "_annotations": {}}

    def class_index(self, name: str) -> int:
        """Place of the class `name` in `classes`; DatasetError if it is none of them."""
        if name not in self.classes:
            raise DatasetError(f"{name!r} is not a class of {self.root}; it has {', '.join(self.classes)}")
        return self.classes.index(name)

    def image(self, image_id: str) -> np.ndarray:
        """Read an image, uint8 [H, W, 3].

        Raises
        ------
        DatasetError, ImageError
            If it is missing or cannot be read.
        AnnotationError
            If it is not of the size its annotation says, as then the boxes are those of another picture.
        """
        image = read_image(self.image_path(image_id))
        annotation_path = self._annotation_path(image_id)
        if annotation_path is not None:
            annotation = self.annotation(image_id)
            height, width = self._size_of(image)
            if (height, width) != (annotation.height, annotation.width):
                raise AnnotationError(
                    f"{annotation_path} is for an image of {annotation.width} x {annotation.height} pixels, but "
                    f"{self.image_path(image_id)} is {width} x {height} when upright; {self._size_remedy}"
                )
        return image

    def annotation(self, image_id: str) -> Annotation:
        """The annotation of an image, kept once it is read; AnnotationError if it is missing or malformed."""
        annotation = self._annotations.get(image_id)
        if annotation is None:
            annotation = self._read_annotation(image_id)
            if len(self._annotations) >= KEPT_ANNOTATIONS:
                self._annotations.clear()
            self._annotations[image_id] = annotation
        return annotation

    def boxes_of(self, image_id: str, name: str, *, include_difficult: bool = True) -> np.ndarray:
        """Boxes of the objects of one class in one image, float32 [N, 4]."""
        annotation = self.annotation(image_id)
        wanted = np.array([found == name for found in annotation.names], dtype=bool)
        if not include_difficult:
            wanted &= ~annotation.difficult
        return annotation.boxes[wanted]

    def image_path(self, image_id: str) -> Path:
        """Path of an image; DatasetError if there is none."""
        raise NotImplementedError

    def _annotation_path(self, image_id: str) -> Path | None:
        """Path of an image's annotation; None if there is none."""
        raise NotImplementedError

    def _read_annotation(self, image_id: str) -> Annotation:
        raise NotImplementedError

    def _size_of(self, image: np.ndarray) -> tuple[int, int]:
        """Height and width of an image in the pixels that its annotation is in."""
        return image.shape[:2]


def subset_ids(dataset, which) -> list[str]:
    """The ids of some images of a data set.

    Parameters
    ----------
    dataset : VOCDataset or the like
    which : int or sequence of str
        The first so many images (all, if there are fewer), or the ids of some.

    Raises
    ------
    DatasetError
        If there are none, or one is not in the data set.
    """
    if isinstance(which, (int, np.integer)):
        ids = dataset.ids[: max(0, which)]
    else:
        ids = list(which)
        known = set(dataset.ids)
        missing = [image_id for image_id in ids if image_id not in known]
        if missing:
            raise DatasetError(f"{missing[0]!r} is not among the images of {dataset!r}")
    if not ids:
        raise DatasetError(f"a subset of no images of {dataset!r} is empty; ask for at least one")
    return ids
