"""The detection images of ILSVRC2013 (sec. 4.1), and the settings that the paper and its code have for them.

Two layouts are read. That of 2013 and 2014, one folder for each archive::

    ILSVRC2013/
        ILSVRC2013_DET_val/ILSVRC2012_val_00000001.JPEG
        ILSVRC2013_DET_bbox_val/ILSVRC2012_val_00000001.xml
        ILSVRC2013_DET_train/n02672831/n02672831_1148.JPEG
        ILSVRC2013_DET_bbox_train/n02672831/n02672831_1148.xml
        ILSVRC2013_devkit/data/det_lists/val.txt, train_pos_1.txt, ...

and that of later years::

    ILSVRC/
        Data/DET/val/ILSVRC2012_val_00000001.JPEG
        Annotations/DET/val/ILSVRC2012_val_00000001.xml
        ImageSets/DET/val.txt, train_1.txt, ...

Annotations name classes by their WordNet ids, such as n02672831; the development kit says what they are called, in
``map_det.txt`` or ``meta_det.mat``. Without it the ids are the names.

The images are registered for, not downloaded here. Nothing in this module has been tried on the whole set.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from rcnn_helpers.datasets.annotated_images import AnnotatedImages, Annotation, subset_ids
from rcnn_helpers.datasets.voc import read_annotation
from rcnn_helpers.errors import AnnotationError, DatasetError
from rcnn_helpers.images import read_image

# Images are brought to this width before selective search (sec. 4.2).
IMAGE_WIDTH = 500
# N of val1+trainN, and the images of val1 that hard negatives are mined from (sec. 4.3).
BOXES_PER_CLASS = 1000
MINING_IMAGES = 5000
# Batches of fine-tuning on val1+train1k (sec. 4.3).
FINETUNE_STEPS = 50_000
# Options of `RCNN`: what sec. 4.3 says, and the released code's limit for easy negatives.
DETECTOR_SETTINGS = {"max_mining_images": MINING_IMAGES, "evict_score": -1.1}
# Options of `RCNN.detect_dataset` (released code): suppression comes before the caps.
DETECTION_SETTINGS = {
    "least_score": -1.5,
    "suppress_first": True,
    "max_per_image": 100,
    "max_total": 30_000,
}

PARTS = ("train", "val", "test")
_LAYOUTS = ("ILSVRC2013_DET_{part}", "ILSVRC2014_DET_{part}", "Data/DET/{part}")
_ANNOTATIONS = ("ILSVRC2013_DET_bbox_{part}", "ILSVRC2014_DET_bbox_{part}", "Annotations/DET/{part}")
_DEVKIT = (
    "ILSVRC2013_devkit",
    "ILSVRC2014_devkit",
    "ILSVRC2015_devkit",
    "ILSVRC2015_devkit/devkit",
    "devkit",
    ".",
)
_LISTS = ("ImageSets/DET", "data/det_lists")
_CLASS_FILES = ("data/map_det.txt", "map_det.txt", "data/meta_det.mat", "meta_det.mat")
_SUFFIXES = (".JPEG", ".jpeg", ".jpg", ".JPG", ".png")


class ILSVRCDataset(AnnotatedImages):
    """A part of ILSVRC's detection images, with the same methods as `VOCDataset`.

    Parameters
    ----------
    root : path-like
        The folder that holds the ones above.
    split : str
        Name of a list of the development kit, such as ``"val"``. Its images are looked for in the part its name
        begins with. ``"train"`` are the images whose list says that all objects of the class it is about are
        annotated: label 1 in ``train_1.txt`` and so on, or all of ``train_pos_1.txt`` and so on.
    list_file : path-like, optional
        A list to use instead, such as one of `rcnn split`: an id a line, and what follows it is ignored.
    classes_file : path-like, optional
        ``map_det.txt`` or ``meta_det.mat``, by default looked for in `root`.
    classes : sequence of str, optional
        Names of the classes to use, in order; by default all of `classes_file`, or, without one, the WordNet ids
        that the annotations have, sorted.
    leave_out : iterable of str
        Ids of images that are not to be used, such as those of `read_blacklist`.
    width : int or None
        Images are brought to this width, and boxes with them (sec. 4.2). None: they stay as they are.

    Attributes
    ----------
    root : Path
    split : str
    ids : list of str
        File names without suffix; images of train with their folder, as the lists have them.
    classes : tuple of str

    Raises
    ------
    DatasetError
        If the layout, the list or a file is not there; the message says what is.

    Notes
    -----
    The challenge judges small objects more leniently than IoU 0.5 does, and skips a class on the few images whose
    objects of it are in doubt (its blacklist). `rcnn_helpers.evaluation` has neither; give the blacklisted images
    to `leave_out`.
    """

    _size_remedy = "give its id to leave_out"

    def __init__(
        self,
        root,
        split: str = "val",
        *,
        list_file=None,
        classes_file=None,
        classes=None,
        leave_out: Iterable[str] = (),
        width: int | None = IMAGE_WIDTH,
    ):
        if width is not None and width < 1:
            raise DatasetError(
                f"width is {width}; images are at least a pixel wide (None leaves them as they are)"
            )
        root, self.width = Path(root), width
        self.part = next((part for part in PARTS if split.startswith(part)), None)
        if self.part is None:
            raise DatasetError(f"the split is {split!r}; its name begins with one of {', '.join(PARTS)}")
        if not root.is_dir():
            raise DatasetError(
                f"there is no folder {root}; name the one that ILSVRC's archives were unpacked in"
            )
        self._images = _first_folder(root, _LAYOUTS, self.part)
        self._annotations_folder = _first_folder(root, _ANNOTATIONS, self.part)
        if self._images is None and self._annotations_folder is None:
            looked_for = ", ".join(name.format(part=self.part) for name in (*_LAYOUTS, *_ANNOTATIONS))
            raise DatasetError(
                f"{root} holds no images and no annotations of {self.part}: looked for {looked_for}"
            )
        path = _find_class_file(root) if classes_file is None else Path(classes_file)
        self.names = {} if path is None else read_class_names(path)
        self._given_classes = None if classes is None else tuple(classes)
        listed = _split_ids(root, split) if list_file is None else _read_list(Path(list_file))
        left_out = set(leave_out)
        super().__init__(root, split, (image_id for image_id in listed if image_id not in left_out))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        if self._given_classes is not None:
            return self._given_classes
        if self.names:
            return tuple(self.names.values())
        return tuple(sorted({name for image_id in self.ids for name in self.annotation(image_id).names}))

    def gives_negatives(self, image_id: str) -> bool:
        """Whether all objects of all classes are annotated: in val and test they are, in train not (sec. 4.1)."""
        return self.part != "train"

    def image_path(self, image_id: str) -> Path:
        """Path of an image; DatasetError if there is none."""
        if self._images is None:
            raise DatasetError(
                f"{self.root} has annotations of {self.part}, but no images; unpack them there"
            )
        path = _find_file(self._images, image_id, _SUFFIXES)
        if path is None:
            raise DatasetError(
                f"there is no image {image_id!r} in {self._images}; unpack the archive again, or give the id to "
                "leave_out"
            )
        return path

    def image(self, image_id: str) -> np.ndarray:
        """Read an image, `width` pixels wide, uint8 [H, W, 3].

        Raises
        ------
        DatasetError, ImageError
            If it is missing or cannot be read.
        AnnotationError
            If it is not of the size its annotation says.
        """
        return _resized(super().image(image_id), self.width)

    def annotation(self, image_id: str) -> Annotation:
        """The annotation of an image, with boxes where they are at `width`; read once and kept.

        An image of train without an annotation file shows no object that is known of.

        Raises
        ------
        AnnotationError
            If it is missing in val, not public as for test, or malformed.
        """
        return super().annotation(image_id)

    def subset(self, which) -> "ILSVRCDataset":
        """The same with fewer images and the same classes: the first so many, or those of the ids given."""
        smaller = object.__new__(ILSVRCDataset)
        smaller.__dict__.update(self.__dict__, ids=subset_ids(self, which), _given_classes=self.classes)
        return smaller

    def _annotation_path(self, image_id: str) -> Path | None:
        if self._annotations_folder is None:
            return None
        return _find_file(self._annotations_folder, image_id, (".xml",))

    def _size_of(self, image: np.ndarray) -> tuple[int, int]:
        return _size_at(self.width, *image.shape[:2])

    def _read_annotation(self, image_id: str) -> Annotation:
        path = self._annotation_path(image_id)
        if path is None:
            return self._without_objects(image_id)
        found = read_annotation(path)
        height, width = _size_at(self.width, found.height, found.width)
        scale = np.array([width / found.width, height / found.height] * 2, dtype=np.float32)
        return replace(
            found,
            image_id=image_id,
            height=height,
            width=width,
            boxes=found.boxes * scale,
            names=tuple(self.names.get(name, name) for name in found.names),
        )

    def _without_objects(self, image_id: str) -> Annotation:
        if self.part == "test":
            raise AnnotationError(
                "the annotations of ILSVRC's test images are not public; judge on val2 instead"
            )
        if self.part == "val":
            raise AnnotationError(
                f"there is no annotation of {image_id!r} in {self._annotations_folder or self.root}; unpack the "
                "boxes of val there, or give the id to leave_out"
            )
        height, width = _size_at(self.width, *read_image(self.image_path(image_id)).shape[:2])
        none = np.zeros(0, bool)
        return Annotation(
            image_id, height, width, np.zeros((0, 4), np.float32), (), none, none.copy(), none.copy(), ()
        )


def read_class_names(path) -> dict[str, str]:
    """Names of the classes by WordNet id, in the challenge's order.

    Parameters
    ----------
    path : path-like
        ``map_det.txt``, a line of id, number and name each, or ``meta_det.mat``, whose field ``synsets`` has the
        same. Classes above the two hundred, which group them, are left out.

    Raises
    ------
    DatasetError
        If the file is missing or does not say that.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"there is no file {path} of class names; it is map_det.txt of the development kit"
        )
    numbered = _classes_of_mat(path) if path.suffix == ".mat" else _classes_of_text(path)
    names = {synset: name for _, synset, name in sorted(numbered)}
    if len(names) < len(numbered) or len(set(names.values())) < len(names):
        raise DatasetError(f"{path} names a class twice; take the development kit's own file")
    return names


def read_blacklist(path, listed: Iterable[str] = ()) -> list[str]:
    """Ids of the images on the development kit's blacklist, each once, in its order.

    Parameters
    ----------
    path : path-like
        Lines of an image, by id or by its number in the list of val (from 1), and a class.
    listed : sequence of str
        That list, for numbers: ``ILSVRCDataset(root, "val").ids``.
    """
    listed = list(listed)
    found = []
    for line in _read_lines(Path(path)):
        image = line.split()[0]
        if image.isdigit():
            if not 1 <= int(image) <= len(listed):
                raise DatasetError(
                    f"{path} names image number {image}, and the list of val has {len(listed)}"
                )
            image = listed[int(image) - 1]
        found.append(image)
    return list(dict.fromkeys(found))


def _classes_of_text(path: Path) -> list[tuple[int, str, str]]:
    classes = []
    for line in _read_lines(path):
        parts = line.split(maxsplit=2)
        if len(parts) != 3 or not parts[1].isdigit():
            raise DatasetError(
                f"{path} has the line {line!r}; expected a WordNet id, a number and a name, such as "
                "'n02672831 1 accordion'"
            )
        classes.append((int(parts[1]), parts[0], parts[2].replace("_", " ")))
    return classes


def _classes_of_mat(path: Path) -> list[tuple[int, str, str]]:
    from scipy.io import loadmat

    try:
        synsets = np.atleast_1d(loadmat(path, squeeze_me=True, struct_as_record=False)["synsets"])
        number = next(name for name in synsets[0]._fieldnames if name.endswith("DET_ID"))
        classes = [(int(getattr(s, number)), str(s.WNID), str(s.name)) for s in synsets]
    # scipy raises whatever it stumbles over in a file that is not what it says.
    except Exception as error:
        raise DatasetError(f"{path} is no meta_det.mat of the development kit ({error})") from error
    return [line for line in classes if line[0] <= 200]


def _first_folder(root: Path, names, part: str) -> Path | None:
    return next(
        (root / name.format(part=part) for name in names if (root / name.format(part=part)).is_dir()), None
    )


def _find_class_file(root: Path) -> Path | None:
    paths = (root / devkit / name for devkit in _DEVKIT for name in _CLASS_FILES)
    return next((path for path in paths if path.is_file()), None)


def _find_file(folder: Path, image_id: str, suffixes) -> Path | None:
    """A file by its id, which may lack the folder that train has for each WordNet id."""
    names = [image_id]
    if "/" not in image_id and image_id.startswith("n"):
        names.append(f"{image_id.split('_')[0]}/{image_id}")
    paths = (folder / f"{name}{suffix}" for name in names for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)


def _split_ids(root: Path, split: str) -> list[str]:
    """Ids of a list of the development kit; of train, the images that show a class and have it annotated."""
    folders = [root / devkit / lists for devkit in _DEVKIT for lists in _LISTS]
    folders = [folder for folder in folders if folder.is_dir()]
    for folder in folders:
        if split == "train":
            found = _positives_of_train(folder)
            if found:
                return found
        elif (folder / f"{split}.txt").is_file():
            return _read_list(folder / f"{split}.txt")
    looked_in = ", ".join(map(str, folders)) or ", ".join(_LISTS) + f" of {root} and its development kit"
    raise DatasetError(f"there is no list of {split!r} in {looked_in}; unpack it, or give list_file")


def _positives_of_train(folder: Path) -> list[str]:
    positives: dict[str, None] = {}
    for path in sorted(folder.glob("train_pos_*.txt"), key=_number_at_end):
        positives |= dict.fromkeys(_read_list(path))
    for path in sorted(folder.glob("train_[0-9]*.txt"), key=_number_at_end):
        lines = [line.split() for line in _read_lines(path)]
        positives |= dict.fromkeys(parts[0] for parts in lines if len(parts) > 1 and parts[1] == "1")
    return list(positives)


def _number_at_end(path: Path) -> int:
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _read_list(path: Path) -> list[str]:
    """Ids of a list: the first word of each line."""
    ids = [line.split()[0] for line in _read_lines(path)]
    if len(set(ids)) < len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise DatasetError(f"the image list {path} names {twice!r} twice; remove one")
    for image_id in ids:
        if image_id.startswith("/") or ".." in image_id.split("/") or "\\" in image_id or ":" in image_id:
            raise DatasetError(f"the image list {path} names {image_id!r}, which leads out of the data set")
    return ids


def _read_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as error:
        raise DatasetError(f"there is no list {path}") from error
    except OSError as error:
        raise DatasetError(f"cannot read the list {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the list {path} is not UTF-8 text") from error
    lines = [line for line in lines if line]
    if not lines:
        raise DatasetError(f"the list {path} is empty")
    return lines


def _size_at(width: int | None, old_height: int, old_width: int) -> tuple[int, int]:
    """Height and width of an image that is brought to a width."""
    if width is None:
        return old_height, old_width
    return max(1, round(old_height * width / old_width)), width


def _resized(image: np.ndarray, width: int | None) -> np.ndarray:
    height, width = _size_at(width, *image.shape[:2])
    if image.shape[:2] == (height, width):
        return image
    import cv2

    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
