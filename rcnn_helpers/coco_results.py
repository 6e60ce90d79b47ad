"""COCO's JSON: detections as a list of results, and the annotation files they belong to.

A result file is a list with an entry for each detection::

    [{"image_id": 42, "category_id": 18, "bbox": [258.15, 41.29, 348.26, 243.78], "score": 0.236}, ...]

``bbox`` is ``[x, y, width, height]`` in pixels, counted from 0, with fractions: COCO's boxes have no "+1", so they
are the half-open boxes of this package as they stand. Images and categories are numbers, which an annotation file
(``instances_val2017.json``) or another data set gives a meaning. Without an annotation file, category 1 is the
first class, and an image's number is its id read as a number: 12 is ``"000012"``, 2008000001 ``"2008_000001"``.

Files come from anywhere, so the readers are strict: what they cannot take they name, file and entry.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.images import read_image
from rcnn_helpers.storage import atomic_write

# No coordinate or score is meant to be larger; the sum of two still fits into float32.
_LARGEST = 1e30
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class CocoDataset:
    """The images, classes and objects of a COCO annotation file; see `read_coco_annotations`.

    Attributes
    ----------
    path : Path
        The annotation file.
    images : Path or None
        Folder of the pictures.
    ids : list of str
        The images' ids, as text, in the order of the file.
    classes : tuple of str
        Names of the categories, in the order of their ids.
    category_ids : dict of str to int
        The file's own number of each class.
    image_numbers : dict of str to int or str
        The file's own id of each image, mostly a number.
    """

    def __init__(self, path, images, records, category_ids, annotations):
        self.path = Path(path)
        self.images = None if images is None else Path(images)
        self.ids = list(annotations)
        self.classes = tuple(category_ids)
        self.category_ids = category_ids
        self.image_numbers = {image_id: record["id"] for image_id, record in records.items()}
        self._records = records
        self._annotations = annotations

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"CocoDataset({str(self.path)!r}): {len(self)} images, {len(self.classes)} classes"

    def annotation(self, image_id: str) -> Annotation:
        """The objects of an image; DatasetError if the file does not have it."""
        if image_id not in self._annotations:
            raise DatasetError(f"there is no image {image_id!r} in {self.path}")
        return self._annotations[image_id]

    def image_path(self, image_id: str) -> Path:
        """Path of a picture, under the folder `images`; DatasetError if there is none."""
        self.annotation(image_id)
        if self.images is None:
            raise DatasetError(
                f"{self.path} says nothing about where its pictures are; "
                "name their folder: read_coco_annotations(path, images=FOLDER)"
            )
        name = self._records[image_id].get("file_name")
        if not isinstance(name, str):
            raise DatasetError(f"{self.path}: image {image_id} has no file_name; add it to show the picture")
        path = self.images / name
        if not path.resolve().is_relative_to(self.images.resolve()):
            raise DatasetError(
                f"{self.path}: image {image_id} is called {name!r}, which leads out of {self.images}"
            )
        if not path.is_file():
            raise DatasetError(
                f"{self.path}: image {image_id} is called {name!r}, which is not in {self.images}"
            )
        return path

    def image(self, image_id: str) -> np.ndarray:
        """Read a picture, uint8 [H, W, 3]; DatasetError or ImageError if it is missing or cannot be read."""
        return read_image(self.image_path(image_id))


def read_coco_annotations(path, *, images=None) -> CocoDataset:
    """Read a COCO annotation file of boxes (``instances_*.json``) as a data set to evaluate and diagnose on.

    Objects marked ``iscrowd`` or ``ignore`` become ``difficult``. They are then treated by VOC's rule (a detection
    that matches one is ignored), where COCO measures the share of the detection that lies in a crowd.

    Parameters
    ----------
    path : path-like
    images : path-like, optional
        Folder of the pictures, by the names in the file. Evaluating results needs none.

    Raises
    ------
    DatasetError
        If the file is missing or no such file, or an entry of it is wrong; the message names the entry.

    Notes
    -----
    Masks and key points are left out. Boxes are kept as they are, also where they reach over the image's border.
    """
    content = _read_json(path)
    if isinstance(content, list):
        raise DatasetError(
            f"{path} holds a list, as files of results do; an annotation file is an object with "
            '"images", "annotations" and "categories"'
        )
    parts = {}
    for part in ("images", "categories", "annotations"):
        parts[part] = content.get(part) if isinstance(content, dict) else None
        if not isinstance(parts[part], list):
            raise DatasetError(
                f'{path} has no list "{part}"; a COCO annotation file of boxes has "images", "annotations" '
                'and "categories"'
            )
    _check_all(path, "images", parts["images"], _problem_with_image)
    _check_all(path, "categories", parts["categories"], _problem_with_category)
    records = {str(record["id"]): record for record in parts["images"]}
    categories = {category["id"]: category["name"] for category in parts["categories"]}
    for part, n_different, what in (
        ("images", len(records), "an image id"),
        ("categories", len(categories), "a category id"),
        ("categories", len(set(categories.values())), "the name of a category"),
    ):
        if n_different < len(parts[part]):
            raise DatasetError(f'{path} gives {what} twice in "{part}"; remove or rename one')
    name_of = {record["id"]: str(record["id"]) for record in parts["images"]}
    _check_all(
        path,
        "annotations",
        parts["annotations"],
        lambda entry: _problem_with_object(entry, name_of, categories),
    )
    objects = {image_id: [] for image_id in records}
    for entry in parts["annotations"]:
        objects[name_of[entry["image_id"]]].append(entry)
    annotations = {
        image_id: _annotation(image_id, records[image_id], entries, categories)
        for image_id, entries in objects.items()
    }
    category_ids = {categories[number]: number for number in sorted(categories)}
    return CocoDataset(path, images, records, category_ids, annotations)


def read_coco_results(
    path, *, annotations=None, classes: Sequence[str] | None = None, image_ids: Sequence[str] | None = None
) -> Detections:
    """Read a COCO result file.

    Parameters
    ----------
    path : path-like
    annotations : path-like, CocoDataset, VOCDataset or the like, optional
        What the numbers of images and categories mean: a COCO annotation file, or a data set with ``ids`` and
        ``classes``.
    classes : sequence of str, optional
        Classes to keep, in this order. By default all of `annotations`; needed if there is none, and then category
        1 is the first of them.
    image_ids : sequence of str, optional
        Images of the split, in this order; any other image in the file is an error. By default all of
        `annotations`, and without one the images that occur, in the order of their numbers.

    Raises
    ------
    DatasetError
        If the file is missing, is not JSON, or an entry of it is not a detection in one of the images and of one
        of the categories; the message names the entry.
    """
    entries = _read_json(path)
    if not isinstance(entries, list):
        hint = ""
        if isinstance(entries, dict) and "annotations" in entries:
            hint = " (it looks like an annotation file: read it with read_coco_annotations)"
        raise DatasetError(f"{path} holds {_kind(entries)}, not a list of results{hint}")
    dataset = _as_dataset(annotations)
    if dataset is None and classes is None:
        raise DatasetError(
            f"the numbers in {path} do not say what the categories are called; "
            "give annotations (a file or a data set) or classes"
        )
    names = _category_names(dataset, classes)
    classes = tuple(names.values()) if classes is None else tuple(classes)
    unknown = sorted(set(classes) - set(names.values()))
    if unknown:
        raise DatasetError(
            f"there is no category {unknown[0]!r} in the annotations; they have {_some(names.values())}"
        )
    if image_ids is None and dataset is not None:
        image_ids = dataset.ids
    keys = None if image_ids is None else _keys(image_ids)
    _check_all(path, "", entries, lambda entry: _problem_with_result(entry, keys, names))
    if keys is None:
        found = {_key(entry["image_id"]): entry["image_id"] for entry in entries}
        ordered = sorted(found, key=lambda key: (isinstance(key, str), key))
        image_ids = [found[key] if isinstance(found[key], str) else str(key) for key in ordered]
        keys = {key: index for index, key in enumerate(ordered)}
    position = {name: index for index, name in enumerate(classes)}
    kept = [entry for entry in entries if names[entry["category_id"]] in position]
    return Detections(
        image_ids=tuple(image_ids),
        classes=classes,
        image_index=[keys[_key(entry["image_id"])] for entry in kept],
        class_index=[position[names[entry["category_id"]]] for entry in kept],
        scores=[entry["score"] for entry in kept],
        boxes=_corners([entry["bbox"] for entry in kept]),
    )


def write_coco_results(path, detections: Detections, *, annotations=None) -> Path:
    """Write detections as a COCO result file; `read_coco_results` reads the same back, to the last bit.

    Parameters
    ----------
    path : path-like
    detections : Detections
    annotations : path-like, CocoDataset, VOCDataset or the like, optional
        Gives images and categories their numbers, as in `read_coco_results`. By default a category's number is
        the position of the class in ``detections.classes``, from 1 on. An image whose id is no number keeps it
        as text, which not every reader of COCO's format takes.

    Raises
    ------
    DatasetError
        If `annotations` lack a class or an image of the detections, or a score is infinite.
    """
    dataset = _as_dataset(annotations)
    numbers = {name: number for number, name in _category_names(dataset, detections.classes).items()}
    missing = [name for name in detections.classes if name not in numbers]
    if missing:
        raise DatasetError(
            f"there is no category {missing[0]!r} in the annotations; they have {_some(numbers)}"
        )
    image_numbers = [_key(image_id) for image_id in detections.image_ids]
    if dataset is not None:
        known = _keys(dataset.ids)
        absent = [i for i, key in enumerate(image_numbers) if key not in known]
        if absent:
            raise DatasetError(
                f"image {detections.image_ids[absent[0]]!r} is not one of the {len(known)} of the annotations"
            )
    if isinstance(dataset, CocoDataset):
        image_numbers = [dataset.image_numbers[dataset.ids[known[key]]] for key in image_numbers]
    if not np.isfinite(detections.scores).all():
        raise DatasetError("a score is infinite, which JSON cannot hold; cut the scores off before writing")
    corners = detections.boxes.astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
    category_of = [numbers[name] for name in detections.classes]
    columns = zip(
        detections.image_index.tolist(),
        detections.class_index.tolist(),
        boxes,
        detections.scores.tolist(),
        strict=True,
    )
    lines = [
        json.dumps(
            {
                "image_id": image_numbers[image],
                "category_id": category_of[category],
                "bbox": box,
                "score": score,
            }
        )
        for image, category, box, score in columns
    ]
    text = "[\n" + ",\n".join(lines) + "\n]\n"
    atomic_write(path, lambda file: file.write(text.encode()))
    return Path(path)


def _read_json(path):
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"there is no file {path}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path} is not JSON ({error}); it may be damaged or cut short: write it again"
        ) from error


def _as_dataset(annotations):
    if annotations is None or hasattr(annotations, "annotation"):
        return annotations
    return read_coco_annotations(annotations)


def _category_names(dataset, classes):
    """Name of each category number."""
    if isinstance(dataset, CocoDataset):
        return {number: name for name, number in dataset.category_ids.items()}
    return dict(enumerate(classes if dataset is None else dataset.classes, start=1))


def _key(image_id):
    """What two ways of writing one image's id have in common: its number, or the text if it is none."""
    if not isinstance(image_id, str):
        return int(image_id)
    digits = image_id.replace("_", "")
    return int(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else image_id


def _keys(image_ids):
    """Position of each image by its key."""
    keys = {}
    for position, image_id in enumerate(image_ids):
        key = _key(image_id)
        if key in keys:
            raise DatasetError(
                f"images {image_ids[keys[key]]!r} and {image_id!r} have the same number, {key}; rename one"
            )
        keys[key] = position
    return keys


def _corners(boxes):
    """Boxes ``(x, y, width, height)`` as half-open corners, added up in double precision."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float32)


def _annotation(image_id, record, entries, categories):
    n = len(entries)
    return Annotation(
        image_id=image_id,
        height=record["height"],
        width=record["width"],
        boxes=_corners([entry["bbox"] for entry in entries]),
        names=tuple(categories[entry["category_id"]] for entry in entries),
        difficult=np.array(
            [bool(entry.get("iscrowd") or entry.get("ignore")) for entry in entries], dtype=bool
        ),
        truncated=np.zeros(n, dtype=bool),
        occluded=np.zeros(n, dtype=bool),
        poses=("Unspecified",) * n,
    )


def _check_all(path, part, entries, problem_with):
    """Raise a DatasetError for the first entry that `problem_with` finds something wrong with."""
    for number, entry in enumerate(entries, start=1):
        problem = problem_with(entry) if isinstance(entry, dict) else f"it is {_kind(entry)}, not an object"
        if problem:
            where = f'"{part}", entry' if part else "entry"
            raise DatasetError(f"{path}, {where} {number} of {len(entries)} ({str(entry)[:150]}): {problem}")


def _problem_with_result(entry, keys, names):
    for key in ("image_id", "category_id", "bbox", "score"):
        if key not in entry:
            return f'no "{key}"; a result has image_id, category_id, bbox and score'
    image_id = entry["image_id"]
    if not _is_id(image_id):
        return f"image_id is {_kind(image_id)}; write the image's number, a whole one"
    if keys is not None and _key(image_id) not in keys:
        return (
            f"image_id {image_id!r} is not one of the {len(keys)} images of the split; "
            "evaluate these results on the split they were made for"
        )
    category_id = entry["category_id"]
    if not _is_number(category_id) or category_id not in names:
        return f"category_id {category_id!r} is no category; it must be one of {_some(names)}"
    if not _is_finite(entry["score"]):
        return f"the score {entry['score']!r} is not a finite number; give every detection one"
    return _problem_with_box(entry["bbox"])


def _problem_with_object(entry, known, categories):
    for key in ("image_id", "category_id", "bbox"):
        if key not in entry:
            return f'no "{key}"; an annotation of a box has image_id, category_id and bbox'
    if not _is_id(entry["image_id"]) or entry["image_id"] not in known:
        return f'image_id {entry["image_id"]!r} is not in "images"; add the image or remove the annotation'
    if not _is_number(entry["category_id"]) or entry["category_id"] not in categories:
        return f'category_id {entry["category_id"]!r} is not in "categories"; add it or remove the annotation'
    return _problem_with_box(entry["bbox"])


def _problem_with_image(entry):
    number = entry.get("id")
    if not isinstance(number, int | str) or isinstance(number, bool):
        return f"id is {number!r}; write a whole number"
    for side in ("width", "height"):
        value = entry.get(side)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
            return f"{side} is {value!r}; write the image's {side} in whole pixels"
    return ""


def _problem_with_category(entry):
    number, name = entry.get("id"), entry.get("name")
    if not isinstance(number, int) or isinstance(number, bool):
        return f"id is {number!r}; write a whole number"
    if not isinstance(name, str) or not name:
        return f"name is {name!r}; write the name of the category"
    return ""


def _problem_with_box(box):
    if not isinstance(box, list) or len(box) != 4:
        found = f"{len(box)} numbers" if isinstance(box, list) else _kind(box)
        return f"bbox is {found}; write four, [x, y, width, height]"
    if not all(_is_finite(value) for value in box):
        return f"bbox {box} holds something that is not a finite number; write [x, y, width, height]"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {box} has a negative width or height; write [x, y, width, height]"
    return ""


def _is_id(value):
    whole = isinstance(value, float) and value.is_integer()
    return isinstance(value, int | str) and not isinstance(value, bool) or whole


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value):
    return _is_number(value) and abs(value) < _LARGEST  # False for NaN, too


def _kind(value):
    """What a JSON value is, for messages."""
    return _KINDS.get(type(value)) or f"the number {value}"


def _some(values, limit=30):
    values = [str(value) for value in values]
    return ", ".join(values[:limit]) + (f" and {len(values) - limit} more" if len(values) > limit else "")
