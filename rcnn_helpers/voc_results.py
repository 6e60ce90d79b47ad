"""VOC result files: what the PASCAL VOC challenge takes in, one text file a class.

A file is called ``comp3_det_test_car.txt`` (competition, split, class) and holds a line for each detection::

    000004 0.702732 89.000000 112.000000 516.000000 466.000000

image, score, and the box ``xmin ymin xmax ymax`` in VOC's own pixels (counted from 1, last one included).
Files may be gzipped (``.txt.gz``). The reader is strict: what it cannot understand it names, file and line.
"""

import gzip
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn_helpers.boxes import from_voc, to_voc
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.storage import atomic_write, make_folder

# Split names have no underscore where nothing else tells split and class apart.
_FILE_NAME = re.compile(r"(comp[^_]*)_det_(?P<split>[^_]+)_(?P<name>.+)\.txt(\.gz)?")

# Lines of detections shrink to a quarter or so; a file that unpacks to more than this many times its size, and
# more than the slack, is none of ours.
_MOST_UNPACKED = 20
_SLACK = 1_000_000


def read_voc_results(
    folder,
    classes: Sequence[str] | None = None,
    *,
    image_ids: Sequence[str] | None = None,
) -> Detections:
    """Read all VOC result files of a folder.

    Parameters
    ----------
    folder : path
        Holds files called ``comp*_det_*_CLASS.txt`` or ``comp*_det_*_CLASS.txt.gz``.
    classes : sequence of str, optional
        Classes to read, in this order. One without a file is named in a warning and stays in the result,
        without detections. By default the classes that have files, sorted.
    image_ids : sequence of str, optional
        Images of the split, in this order; any other image in a file is an error. By default the images that
        occur in the files, sorted.

    Raises
    ------
    DatasetError
        If there are no result files, two for a class, or a line that is not a detection.
    """
    folder = Path(folder)
    files = _find_files(folder, classes)
    if classes is None:
        classes = sorted(files)
    missing = [name for name in classes if name not in files]
    if missing:
        warnings.warn(
            f"{folder} has no result file for {', '.join(missing)}: taken as nothing detected",
            stacklevel=2,
        )
    columns = {name: _read_file(files[name]) for name in classes if name in files}
    if image_ids is None:
        image_ids = sorted({image_id for ids, _ in columns.values() for image_id in ids})
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    image_index, class_index, numbers = [], [], [np.empty((0, 5), np.float64)]
    for index, name in enumerate(classes):
        ids, values = columns.get(name, ([], np.empty((0, 5), np.float64)))
        images = [position.get(image_id, -1) for image_id in ids]
        if -1 in images:
            line = images.index(-1)
            raise DatasetError(
                f"{files[name]}, line {line + 1}: image {ids[line]!r} is not one of the "
                f"{len(position)} images of the split; evaluate these results on the split they were made for"
            )
        image_index += images
        class_index += [index] * len(images)
        numbers.append(values)
    numbers = np.concatenate(numbers)
    return Detections(
        image_ids=tuple(image_ids),
        classes=tuple(classes),
        image_index=image_index,
        class_index=class_index,
        scores=numbers[:, 0],
        boxes=from_voc(numbers[:, 1:]),
    )


def write_voc_results(
    folder,
    detections: Detections,
    split: str,
    *,
    competition: str = "comp3",
    compress: bool = False,
) -> list[Path]:
    """Write one file a class in the format of the challenge; a class without detections gets an empty file.

    Parameters
    ----------
    folder : path
        Created where it is missing.
    detections : Detections
    split : str
        Name of the image set, such as ``"test"``; without an underscore, so that names can be told apart.
    competition : str
        ``"comp3"``: trained on the challenge's data alone; ``"comp4"``: on other data too (as R-CNN is, its
        network being pre-trained on ImageNet).
    compress : bool
        Write ``.txt.gz``.
    """
    if not split or "_" in split or "/" in split:
        raise ValueError(f"split is {split!r}; it becomes part of a file name and must not hold '_' or '/'")
    folder = make_folder(folder)
    written = []
    for name in detections.classes:
        part = detections.of_class(name)
        ids = [part.image_ids[i] for i in part.image_index]
        lines = [
            f"{image_id} {score:.6f} {box[0]:.6f} {box[1]:.6f} {box[2]:.6f} {box[3]:.6f}\n"
            for image_id, score, box in zip(
                ids, part.scores.tolist(), to_voc(part.boxes).tolist(), strict=True
            )
        ]
        text = "".join(lines).encode()
        path = folder / f"{competition}_det_{split}_{name}.txt{'.gz' if compress else ''}"
        # mtime=0: the same detections give the same bytes.
        content = gzip.compress(text, mtime=0) if compress else text
        atomic_write(path, lambda file, content=content: file.write(content))
        written.append(path)
    return written


def _find_files(folder, classes):
    """The result file of each class: a dict of class name to path."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; name the one that holds comp*_det_*_CLASS.txt")
    files = {}
    n_results = 0
    for path in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(path.name)
        if not match:
            continue
        n_results += 1
        name = _class_in(match, classes)
        if name is None:
            continue
        if name in files:
            raise DatasetError(f"two result files for class {name!r}: {files[name]} and {path}; remove one")
        files[name] = path
    if not n_results:
        raise DatasetError(
            f"{folder} holds no VOC result files; they are called comp*_det_*_CLASS.txt (or .txt.gz)"
        )
    if not files:
        raise DatasetError(
            f"{folder} holds result files, but none is for one of the classes {', '.join(classes)}"
        )
    return files


def _class_in(match, classes):
    """The class a file is for. Known classes are looked for at the end of the name, the longest first."""
    if classes is None:
        return match["name"]
    rest = f"{match['split']}_{match['name']}"
    fitting = [name for name in classes if rest.endswith(f"_{name}")]
    return max(fitting, key=len) if fitting else None


def _read_file(path):
    """Image ids (list of str) and float64 [N, 5] of score and box, one row a line."""
    try:
        if path.suffix == ".gz":
            lines = _unpacked(path).decode("ascii").splitlines()
        else:
            lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); it may be damaged: copy it again") from error
    while lines and not lines[-1].strip():
        lines.pop()
    fields = [line.split() for line in lines]
    try:
        if any(len(parts) != 6 for parts in fields):
            raise ValueError
        values = np.array([parts[1:] for parts in fields], dtype=np.float64).reshape(-1, 5)
        if not np.isfinite(values).all() or (values[:, 3:] - values[:, 1:3] + 1 <= 0).any():
            raise ValueError
    except ValueError:
        raise _first_bad_line(path, lines) from None
    return [parts[0] for parts in fields], values


def _unpacked(path) -> bytes:
    """Content of a gzipped file, unless it is a bomb: a small file that unpacks to gigabytes."""
    most = _SLACK + _MOST_UNPACKED * path.stat().st_size
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DatasetError(
            f"{path} unpacks to more than {most / 1e6:.0f} MB, far more than lines of detections can; "
            "if you trust it, unpack it yourself"
        )
    return content


def _first_bad_line(path, lines):
    for number, line in enumerate(lines, start=1):
        problem = _problem_with(line.split())
        if problem:
            return DatasetError(
                f"{path}, line {number}: {problem} in {line.strip()[:100]!r}; "
                "a line is: image score xmin ymin xmax ymax"
            )
    raise AssertionError(f"{path} was refused as a whole, but every line is in order")


def _problem_with(parts):
    if len(parts) != 6:
        return f"{len(parts)} fields instead of 6"
    try:
        values = [float(part) for part in parts[1:]]
    except ValueError:
        return "something that is not a number"
    if not np.isfinite(values).all():
        return "a number that is not finite"
    if values[3] - values[1] + 1 <= 0 or values[4] - values[2] + 1 <= 0:
        return "a box that ends before it starts"
    return ""
