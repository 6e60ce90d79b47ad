"""PASCAL VOC layout: annotations, image lists, segmentation masks, and a data set over them.

The layout of 2007 to 2012, and of any folder of your own::

    VOC2007/
        JPEGImages/000012.jpg
        Annotations/000012.xml
        ImageSets/Main/trainval.txt          one image id a line
        SegmentationClass/000012.png         optional: class of each pixel, as palette index
        SegmentationObject/000012.png        optional: object of each pixel

Files come from anywhere, so the readers are strict: a box outside its image or an image that is listed but not
there is an error that names the file, what was found and what to do, never a silent guess.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

import defusedxml.ElementTree
import numpy as np
from defusedxml.common import DefusedXmlException

from rcnn_helpers.boxes import clip, from_voc, to_voc
from rcnn_helpers.datasets.annotated_images import AnnotatedImages, Annotation, subset_ids
from rcnn_helpers.errors import AnnotationError, DatasetError
from rcnn_helpers.images import read_index_image, write_index_image
from rcnn_helpers.storage import atomic_write

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

# Value of the pixels in a segmentation mask that belong to no class for sure: the outline of each object.
VOID = 255

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".JPG", ".JPEG", ".png", ".PNG")

# A box that sticks out by at most this many pixels is cut off at the border: tools that count from 0 write
# xmin = 0, and rounding adds another fraction. More than that means wrong boxes or the wrong image.
_BORDER_TOLERANCE = 1.0


def read_annotation(path) -> Annotation:
    """Read an annotation file.

    Parameters
    ----------
    path : path-like
        An XML file; its name without suffix is the image id, whatever its ``<filename>`` says.

    Returns
    -------
    Annotation
        Coordinates may be whole numbers or fractions. ``difficult``, ``truncated``, ``occluded`` and ``pose`` may
        be absent, as in files of common labelling tools, and count as 0 and ``"Unspecified"``. The parts of a
        person (``<part>``) are left out.

    Raises
    ------
    AnnotationError
        If the file is missing, is not well-formed XML, declares entities, lacks a field or has text where a
        number is expected, or if a box is inverted, has no area, or lies more than a pixel outside the image.
    """
    path = Path(path)
    root = _parse_xml(path)
    height = _image_side(path, root, "height")
    width = _image_side(path, root, "width")
    objects = root.findall("object")
    places = [f"{path}, object {i + 1} of {len(objects)}" for i in range(len(objects))]
    names = tuple(_object_name(place, o) for place, o in zip(places, objects, strict=True))
    corners = [_corners(place, name, o) for place, name, o in zip(places, names, objects, strict=True)]
    return Annotation(
        image_id=path.stem,
        height=height,
        width=width,
        boxes=_inside(from_voc(corners), height, width, places, names),
        names=names,
        difficult=_flags(places, objects, "difficult"),
        truncated=_flags(places, objects, "truncated"),
        occluded=_flags(places, objects, "occluded"),
        poses=tuple((o.findtext("pose") or "").strip() or "Unspecified" for o in objects),
    )


def write_annotation(
    path, annotation: Annotation, *, folder: str = "VOC2007", image_suffix: str = ".jpg"
) -> None:
    """Write an annotation as VOC XML, atomically; `read_annotation` reads the same back.

    Boxes whose coordinates are whole numbers are written as whole numbers, others as fractions.

    Parameters
    ----------
    path : path-like
        File to write; its name should be the image id with suffix .xml.
    annotation : Annotation
    folder : str
        Name of the data set's folder, noted in the file.
    image_suffix : str
        Suffix of the image's file name, noted in the file.
    """
    root = Element("annotation")
    _add(root, "folder", folder)
    _add(root, "filename", annotation.image_id + image_suffix)
    size = SubElement(root, "size")
    _add(size, "width", annotation.width)
    _add(size, "height", annotation.height)
    _add(size, "depth", 3)
    _add(root, "segmented", 0)
    for i, box in enumerate(to_voc(annotation.boxes)):
        element = SubElement(root, "object")
        _add(element, "name", annotation.names[i])
        _add(element, "pose", annotation.poses[i])
        _add(element, "truncated", int(annotation.truncated[i]))
        _add(element, "occluded", int(annotation.occluded[i]))
        _add(element, "difficult", int(annotation.difficult[i]))
        bndbox = SubElement(element, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            _add(bndbox, tag, np.format_float_positional(value, trim="-"))
    indent(root, "\t")
    text = tostring(root, encoding="utf-8") + b"\n"
    atomic_write(path, lambda file: file.write(text))


def read_image_set(path) -> list[str]:
    """Read the image ids of a list in ``ImageSets``.

    Parameters
    ----------
    path : path-like
        Lines of one id each, or, as in the lists of one class (``car_trainval.txt``), of an id and a flag -1, 0
        or 1. The flags are dropped: the annotations say the same and more. Empty lines are skipped.

    Raises
    ------
    DatasetError
        If the list is missing, empty, not text, names an image twice, or an id leads out of the data set.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(f"there is no image list {path}") from error
    except OSError as error:
        raise DatasetError(f"cannot read the image list {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the image list {path} is not UTF-8 text; save it as UTF-8") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DatasetError(f"the image list {path} is empty; it should hold one image id a line")
    with_flag = [re.fullmatch(r"(.*\S)\s+(?:-1|0|1)", line) for line in lines]
    ids = [match[1] for match in with_flag] if all(with_flag) else lines
    _check_ids(path, ids)
    return ids


def write_image_set(path, ids: Iterable[str]) -> None:
    """Write a list of image ids, one a line, atomically."""
    text = "".join(f"{image_id}\n" for image_id in ids)
    atomic_write(path, lambda file: file.write(text.encode("utf-8")))


def palette() -> np.ndarray:
    """The colours VOC's masks are shown in, uint8 [256, 3]: bits of the index, spread over the channels."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def write_mask(path, mask) -> None:
    """Write a segmentation mask, uint8 [H, W], as a PNG in VOC's colours, atomically."""
    write_index_image(path, mask, palette=palette())


class VOCDataset(AnnotatedImages):
    """A split of a folder in PASCAL VOC layout.

    Parameters
    ----------
    root : path-like
        The folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``. A folder above is taken, too, if
        exactly one folder ``VOC*`` or ``VOCdevkit/VOC*`` in it has that layout.
    split : str
        Name of a list in ``ImageSets/Main``, without ``.txt``.
    classes : sequence of str, optional
        Names of the classes, in order. By default the 20 of VOC where the split has no others, else the names
        found in its annotations, sorted.
    ids : sequence of str, optional
        Ids of the images; by default those the list names.

    Attributes
    ----------
    root : Path
    split : str
    ids : list of str
    classes : tuple of str

    Raises
    ------
    DatasetError
        If `root` has not that layout or the split is not there; the message names what is.

    Notes
    -----
    Without ``JPEGImages`` all but the pictures can be had: evaluating results needs nothing else.
    """

    _size_remedy = "if it was labelled before its EXIF rotation was applied, remove the EXIF orientation"

    def __init__(self, root, split: str = "trainval", *, classes=None, ids=None):
        root = _find_root(Path(root))
        super().__init__(root, split, _read_split(root, split) if ids is None else ids)
        self._classes = None if classes is None else _checked_classes(classes)

    @property
    def classes(self) -> tuple[str, ...]:
        if self._classes is None:
            found = {name for image_id in self.ids for name in self._annotation_or_nothing(image_id)}
            self._classes = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
        return self._classes

    def image_path(self, image_id: str) -> Path:
        """Path of an image, whichever of `IMAGE_SUFFIXES` it has; DatasetError if there is none."""
        folder = self.root / "JPEGImages"
        for suffix in IMAGE_SUFFIXES:
            path = folder / f"{image_id}{suffix}"
            if path.is_file():
                return path
        if not folder.is_dir():
            raise DatasetError(
                f"{self.root} has no folder JPEGImages: there are annotations, but no pictures"
            )
        raise DatasetError(
            f"there is no image {image_id!r} in {folder} (looked for {', '.join(IMAGE_SUFFIXES)}); "
            f"add it or remove it from the list {self.split!r}"
        )

    def segmentation(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Masks of an image, both uint8 [H, W]: class of each pixel and object of each pixel.

        Background is 0 and uncertain pixels are `VOID`; class ``i`` of VOC has the value ``i + 1``, object ``i``
        of the annotation the value ``i + 1``.

        Raises
        ------
        DatasetError
            If the image has no masks (in VOC most have none), or the two differ in size.
        ImageError
            If a mask cannot be read or stores colours.
        """
        masks = []
        for folder in ("SegmentationClass", "SegmentationObject"):
            path = self.root / folder / f"{image_id}.png"
            if not path.is_file():
                raise DatasetError(
                    f"there is no mask {path}; images with masks are listed in "
                    f"{self.root / 'ImageSets' / 'Segmentation'}"
                )
            masks.append(read_index_image(path))
        class_mask, object_mask = masks
        if class_mask.shape != object_mask.shape:
            raise DatasetError(
                f"the two masks of {image_id!r} in {self.root} differ in size: "
                f"{list(class_mask.shape)} and {list(object_mask.shape)}"
            )
        return class_mask, object_mask

    def subset(self, which) -> "VOCDataset":
        """The same data set with fewer images and the same classes.

        Parameters
        ----------
        which : int or sequence of str
            The first so many images (all, if there are fewer), or the ids of some.
        """
        smaller = VOCDataset(self.root, self.split, classes=self.classes, ids=subset_ids(self, which))
        smaller._annotations = self._annotations
        return smaller

    def _annotation_path(self, image_id: str) -> Path | None:
        path = self._expected_annotation(image_id)
        return path if path.is_file() else None

    def _expected_annotation(self, image_id: str) -> Path:
        return self.root / "Annotations" / f"{image_id}.xml"

    def _read_annotation(self, image_id: str) -> Annotation:
        found = read_annotation(self._expected_annotation(image_id))
        # An id may name a subfolder, which the file's own name does not tell.
        return found if found.image_id == image_id else replace(found, image_id=image_id)

    def _annotation_or_nothing(self, image_id: str) -> tuple[str, ...]:
        """Names of the objects of an image; none where the data set has no annotations at all."""
        if not (self.root / "Annotations").is_dir():
            return ()
        return self.annotation(image_id).names


def _parse_xml(path: Path) -> Element:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(
            f"there is no annotation {path}; lists hold ids without suffix, and each needs an XML file"
        ) from error
    except OSError as error:
        raise AnnotationError(f"cannot read the annotation {path}: {error.strerror or error}") from error
    try:
        root = defusedxml.ElementTree.fromstring(content)
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{path} declares XML entities, which an annotation never needs and an attack does; remove them"
        ) from error
    # An encoding that the file names but nobody knows is a LookupError or ValueError.
    except (ParseError, LookupError, ValueError) as error:
        raise AnnotationError(
            f"{path} is not well-formed XML ({error}); if its text is not UTF-8, its first line must say which "
            'encoding it is, as in <?xml version="1.0" encoding="latin-1"?>'
        ) from error
    if root.tag != "annotation":
        raise AnnotationError(f"{path} starts with <{root.tag}>; a VOC annotation starts with <annotation>")
    return root


def _number(place: str, text: str | None, tag: str) -> float:
    if text is None:
        raise AnnotationError(f"{place}: <{tag}> is missing")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{place}: <{tag}> is {text.strip()!r}, not a number")
    return value


def _image_side(path: Path, root: Element, tag: str) -> int:
    value = _number(f"{path}, <size>", root.findtext(f"size/{tag}"), tag)
    if not 1 <= value <= 1e6 or value != int(value):
        raise AnnotationError(
            f"{path}, <size>: <{tag}> is {value:g}; write the image's {tag} in whole pixels"
        )
    return int(value)


def _object_name(place: str, element: Element) -> str:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise AnnotationError(f"{place}: <name> is missing or empty")
    return name


def _corners(place: str, name: str, element: Element) -> list[float]:
    box = element.find("bndbox")
    if box is None:
        raise AnnotationError(f"{place} ({name}): <bndbox> is missing")
    return [_number(f"{place} ({name})", box.findtext(tag), tag) for tag in ("xmin", "ymin", "xmax", "ymax")]


def _flags(places: list[str], objects: list[Element], tag: str) -> np.ndarray:
    return np.array(
        [_flag(place, o.findtext(tag), tag) for place, o in zip(places, objects, strict=True)], bool
    )


def _flag(place: str, text: str | None, tag: str) -> bool:
    text = (text or "").strip()
    if text in ("", "0", "Unspecified"):
        return False
    if text == "1":
        return True
    raise AnnotationError(f"{place}: <{tag}> is {text!r}; write 0 or 1")


def _inside(
    boxes: np.ndarray, height: int, width: int, places: list[str], names: tuple[str, ...]
) -> np.ndarray:
    """Cut boxes off at the border of the image, or say which of them is wrong."""
    clipped = clip(boxes, height, width)
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    outside = (np.abs(clipped - boxes) > _BORDER_TOLERANCE).any(axis=1)
    empty = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    for wrong, what in (
        (inverted, "has its corners swapped (xmax < xmin or ymax < ymin)"),
        (outside, f"lies outside the image of {width} x {height} pixels"),
        (empty, "has no area"),
    ):
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            corners = ", ".join(f"{value:g}" for value in to_voc(boxes)[i])
            raise AnnotationError(
                f"{places[i]} ({names[i]}): the box (xmin, ymin, xmax, ymax) = ({corners}) {what}; "
                "correct or remove the object"
            )
    return clipped


def _add(parent: Element, tag: str, value) -> None:
    SubElement(parent, tag).text = str(value)


def _check_ids(path: Path, ids: list[str]) -> None:
    seen = set()
    for image_id in ids:
        if image_id in seen:
            raise DatasetError(f"the image list {path} names {image_id!r} twice; remove one")
        seen.add(image_id)
        parts = PurePosixPath(image_id.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in image_id or "\0" in image_id:
            raise DatasetError(f"the image list {path} names {image_id!r}, which leads out of the data set")


def _checked_classes(classes) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise DatasetError(f"classes is the text {classes!r}; give a list of names")
    classes = tuple(classes)
    if not classes or len(set(classes)) != len(classes):
        raise DatasetError(
            f"the list of classes is empty or names one twice: {', '.join(classes) or 'nothing'}"
        )
    return classes


def _has_layout(folder: Path) -> bool:
    return (folder / "Annotations").is_dir() or (folder / "ImageSets" / "Main").is_dir()


def _find_root(folder: Path) -> Path:
    """The folder in VOC layout that is meant by `folder`: itself, or the only one below."""
    if _has_layout(folder):
        return folder
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}; name the one that holds JPEGImages and Annotations")
    below = sorted(path for pattern in ("VOC*", "VOCdevkit/VOC*") for path in folder.glob(pattern))
    candidates = [path for path in below if _has_layout(path)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        choices = ", ".join(str(path) for path in candidates)
        raise DatasetError(f"{folder} holds several data sets; name one of them: {choices}")
    if _has_layout(folder.parent):
        raise DatasetError(f"{folder} is a part of the data set {folder.parent}; name that folder instead")
    raise DatasetError(
        f"{folder} is not in VOC layout: expected the folders JPEGImages, Annotations and ImageSets/Main, "
        f"found {_listing(folder)}"
    )


def _listing(folder: Path, limit: int = 8) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:limit]) or "nothing"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _read_split(root: Path, split: str) -> list[str]:
    folder = root / "ImageSets" / "Main"
    path = folder / f"{split}.txt"
    if path.parent != folder or not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) if folder.is_dir() else ""
        raise DatasetError(f"{root} has no split {split!r} in ImageSets/Main; there are: {there or 'none'}")
    return read_image_set(path)
