"""What is known about each object beyond its class and box: occlusion, truncation, pose, visible parts and sides.

Three sources, by data set:

- Any VOC folder has the box, and with it area, height, width and aspect ratio; ``truncated``, ``occluded`` and
  ``pose`` where its makers filled them in.
- ToyVOC knows all of them for all its classes, exactly, from the renderer.
- Hoiem et al. (ECCV 2012) annotated the objects of seven classes of VOC 2007's test set by hand. They published
  them as one text file a class and a list of names, ``Labels.txt``; `object_attributes` reads these.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import collect_ground_truth

OCCLUSION_LEVELS = ("N", "L", "M", "H")
UNKNOWN_POSE = "Unspecified"
# The columns of sides mean what Labels.txt says (bottom, front, rear, side, top) but for these two classes.
_SIDES_OF = {
    "bicycle": ("bottom", "front", "rear", "top", "side"),
    "diningtable": ("side", "top"),
}
# A row belongs to an object if their areas differ by at most this share, or by one pixel.
_AREA_TOLERANCE = 0.001


def object_attributes(dataset, *, extras=None):
    """Collect the attributes of every object of a data set.

    Parameters
    ----------
    dataset : VOCDataset
        ToyVOC's details are found by themselves.
    extras : path-like, optional
        Folder with the annotations of Hoiem et al. for VOC 2007's test set: ``CLASS.txt`` and ``Labels.txt``.

    Returns
    -------
    DataFrame
        One row an object, in the order of `collect_ground_truth`. Columns:

        - ``image``, ``class`` (str), ``difficult`` (bool);
        - ``area`` (square pixels), ``height``, ``width`` (pixels), ``aspect`` (width / height);
        - ``truncated``, ``occluded`` (bool): VOC's own flags;
        - ``occlusion``: ``"N"``, ``"L"``, ``"M"``, ``"H"`` (none, low, medium, high) or None;
        - ``pose``: ``"Frontal"``, ``"Left"``, ``"Rear"``, ``"Right"`` or ``"Unspecified"``;
        - ``part:NAME`` and ``side:NAME``: True if it can be seen, False if not, None where that is not known or
          the class has no such part.

    Raises
    ------
    DatasetError
        If the extras are not there, cannot be read, or do not belong to these objects.

    Notes
    -----
    *Order of the rows.* A file of the extras has a row for each object of its class that is not difficult, in
    the order of the test images. Each row names the object's area (in VOC's pixels, which is ours), and that is
    compared; a data set with other images, or in another order, is refused. The files' own aspect ratio is not
    used: it was computed without the development kit's "+1", as (xmax - xmin) / (ymax - ymin), unlike their area.

    *Order of the sides.* ``Labels.txt`` gives one order for all classes: bottom, front, rear, side, top. For the
    bicycle the last two are exchanged. Of the 186 bicycles that VOC says point left or right, the fifth column
    marks 178 and the fourth 13; for the other classes with a pose it is the other way round (for the aeroplane 5
    and 121 of 124, for the chair 121 and 228 of 233). The second column marks 33 of 36 frontal bicycles and the
    third 10 of 11 seen from the rear, as it should be. The diningtable has two columns, side and top: the first
    marks 82 of the 83 tables whose legs are visible and 50 of the other 123, the second 196 of all 206.

    *Order of the parts.* As in ``Labels.txt``. One name is doubtful: of the birds, 49 are marked as showing a beak
    and no face, and 6 a face and no beak, and of the 21 seen from the rear 12 show a beak and 8 a face. It looks
    as if these two columns were exchanged, but nothing here can prove it.

    *ToyVOC.* A part counts as visible from a tenth of its silhouette on, a side from a twentieth of what is seen
    of the object, and the levels of occlusion end at 5, 30 and 60 % (`rcnn_helpers.datasets.toyvoc.truth`);
    Hoiem et al. judged by eye, with low up to 10 % and medium up to 50 %.
    """
    import pandas as pd

    truth = collect_ground_truth(dataset)
    annotations = [dataset.annotation(truth.image_ids[image]) for image in truth.image_index]
    places = list(zip(annotations, truth.object_index, strict=True))
    width = (truth.boxes[:, 2] - truth.boxes[:, 0]).astype(np.float64)
    height = (truth.boxes[:, 3] - truth.boxes[:, 1]).astype(np.float64)
    columns = {
        "image": np.array(truth.image_ids, dtype=object)[truth.image_index],
        "class": np.array(truth.classes, dtype=object)[truth.class_index],
        "difficult": truth.difficult,
        "area": width * height,
        "height": height,
        "width": width,
        "aspect": width / height,
        "truncated": np.array([annotation.truncated[i] for annotation, i in places], dtype=bool),
        "occluded": np.array([annotation.occluded[i] for annotation, i in places], dtype=bool),
        "occlusion": _nothing_known(len(truth)),
        "pose": np.array([annotation.poses[i] for annotation, i in places], dtype=object),
    }
    root = getattr(dataset, "root", None)
    if root is not None and (Path(root) / "Details").is_dir():
        _add_details(columns, dataset, truth)
    if extras is not None:
        _add_extras(columns, Path(extras), truth)
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def _nothing_known(length):
    return np.full(length, None, dtype=object)


def _add_details(columns, dataset, truth):
    """Fill in what ToyVOC's renderer knows."""
    from rcnn_helpers.datasets.toyvoc import read_details

    details = [read_details(dataset, image_id) for image_id in truth.image_ids]
    for row, (image, i) in enumerate(zip(truth.image_index, truth.object_index, strict=True)):
        known = details[image][i]
        columns["occlusion"][row] = known.occlusion_level
        for kind, names, visible in (
            ("part", known.parts, known.visible_parts),
            ("side", known.sides, known.visible_sides),
        ):
            for name in names:
                column = columns.setdefault(f"{kind}:{name}", _nothing_known(len(truth)))
                column[row] = name in visible


def _add_extras(columns, folder, truth):
    """Fill in what Hoiem et al. annotated."""
    labels = _read_labels(folder / "Labels.txt")
    names = [name for name in truth.classes if (folder / f"{name}.txt").is_file()]
    if not names:
        raise DatasetError(
            f"{folder} holds extra annotations for none of the classes {', '.join(truth.classes)}; "
            "expected files called CLASS.txt"
        )
    for name in names:
        table = _read_table(folder / f"{name}.txt", name, labels)
        of_class = truth.class_index == truth.classes.index(name)
        rows = np.flatnonzero(of_class & ~truth.difficult)
        _check_order(table, rows, columns)
        columns["occlusion"][rows] = np.array(OCCLUSION_LEVELS, dtype=object)[table.occlusion]
        for title, visible in table.visible.items():
            column = columns.setdefault(title, _nothing_known(len(truth)))
            column[rows] = visible


@dataclass(frozen=True)
class _Labels:
    """Names of the views, and of the parts of each class, in the order of their columns."""

    views: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Table:
    """One class's file: columns of equal length, and the number of the line that each row stands in."""

    path: Path
    name: str
    lines: list[int]
    occlusion: np.ndarray
    visible: dict[str, list[bool]]
    area: np.ndarray


def _read_text(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(
            f"there is no file {path}; the extra annotations are a folder with Labels.txt and CLASS.txt files"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path} ({error}); copy it again") from error


def _read_labels(path) -> _Labels:
    views, parts = [], {}
    current = None
    for line in _read_text(path).splitlines():
        heading = re.fullmatch(r"\s*(\w+)\s*:\s*", line)
        entry = re.fullmatch(r"\s*([pv])\d+\s+(\S.*?)\s*", line)
        if heading:
            current = parts.setdefault(heading[1], [])
        elif entry and entry[1] == "v":
            views.append(entry[2])
        elif entry:
            if current is None:
                raise DatasetError(
                    f"{path} names the part {entry[2]!r} before any class; copy the file again"
                )
            current.append(entry[2])
    if not views or not parts:
        raise DatasetError(f"{path} names no views or no parts; it should list v1, v2, ... and p1, p2, ...")
    return _Labels(tuple(views), {name: tuple(of_class) for name, of_class in parts.items()})


def _read_table(path, name, labels) -> _Table:
    if name not in labels.parts:
        raise DatasetError(f"{path.parent / 'Labels.txt'} does not name the parts of the {name}")
    titles = [f"part:{part}" for part in labels.parts[name]]
    titles += [f"side:{side}" for side in _SIDES_OF.get(name, labels.views)]
    numbered = [(number, line.split()) for number, line in enumerate(_read_text(path).splitlines(), start=1)]
    numbered = [(number, fields) for number, fields in numbered if fields]
    rows = [_parse_row(f"{path}, line {number}", fields, len(titles)) for number, fields in numbered[1:]]
    visible = {title: [row[1][i] for row in rows] for i, title in enumerate(titles)}
    return _Table(
        path=path,
        name=name,
        lines=[number for number, _ in numbered[1:]],
        occlusion=np.array([row[0] for row in rows], dtype=np.int64),
        visible=visible,
        area=np.array([row[2] for row in rows], dtype=np.float64),
    )


def _parse_row(place, fields, n_visible):
    """Level of occlusion, visibilities and area from: det conf occ p1 ... v1 ... size ratio."""
    if len(fields) != n_visible + 5:
        raise DatasetError(f"{place}: {len(fields)} columns instead of {n_visible + 5}; copy the file again")
    level, *visible, area = fields[2:-1]
    if level not in ("0", "1", "2", "3"):
        raise DatasetError(f"{place}: the occlusion is {level!r}; it must be 0, 1, 2 or 3")
    if not set(visible) <= {"0", "1"}:
        raise DatasetError(f"{place}: parts and sides are {' '.join(visible)}; each must be 0 or 1")
    try:
        return int(level), [value == "1" for value in visible], float(area)
    except ValueError:
        raise DatasetError(f"{place}: the size is {area!r}, not a number") from None


def _check_order(table, rows, columns):
    """Refuse a table whose rows are not these objects, one by one."""
    remedy = (
        "these annotations are of VOC 2007's test set; open all its 4,952 images in the order of its own list"
    )
    if len(table.area) != len(rows):
        raise DatasetError(
            f"{table.path} has {len(table.area)} rows, but the data set has {len(rows)} objects of class "
            f"{table.name!r} that are not difficult; {remedy}"
        )
    area = columns["area"][rows]
    # Not "is wrong": a size that is not a number fits no object.
    fits = np.abs(table.area - area) <= np.maximum(1.0, _AREA_TOLERANCE * area)
    if not fits.all():
        first = int(np.flatnonzero(~fits)[0])
        raise DatasetError(
            f"{table.path}, row {first + 1} (line {table.lines[first]}): the object there covers "
            f"{table.area[first]:g} pixels, but number {first + 1} of class {table.name!r}, in image "
            f"{columns['image'][rows[first]]}, covers {area[first]:g}; {remedy}"
        )
