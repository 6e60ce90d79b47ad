"""Damaged files: every reader reads them or refuses them with an error of its own, and does nothing else.

A valid file of each kind is damaged in many ways: bits turned, pieces cut out, doubled or put elsewhere, the end
missing, numbers and names replaced. What a reader may raise is an `RCNNError`; anything else is a fault of ours.
The number of the damage is in the message of a failure, and the damage follows from it alone.
"""

import json
import random
import re
import tracemalloc
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.coco_results import read_coco_annotations, read_coco_results
from rcnn_helpers.datasets.voc import read_annotation, read_image_set
from rcnn_helpers.errors import RCNNError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.images import read_image, read_index_image
from rcnn_helpers.networks.weights import read_weights
from rcnn_helpers.proposals import _read_boxes
from rcnn_helpers.storage import read_json
from rcnn_helpers.voc_results import read_voc_results

DAMAGES = 150
# A file of a few kilobytes must not make a reader ask for more.
MOST_MEMORY = 200e6

XML = b"""<annotation><filename>000001.jpg</filename>
<size><width>50</width><height>40</height><depth>3</depth></size>
<object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>38</ymax></bndbox></object>
<object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>1.5</xmin><ymin>1</ymin><xmax>50</xmax><ymax>40</ymax></bndbox></object></annotation>
"""
RESULTS = b"000001 0.93 3 4 30 38\n000002 0.51 1.5 1 50 40\n000002 1e-3 7 7 9 9\n"
COCO_RESULTS = [
    {"image_id": 1, "category_id": 1, "bbox": [2, 3, 28, 35], "score": 0.93},
    {"image_id": 2, "category_id": 2, "bbox": [0.5, 0, 49.5, 40], "score": 0.5},
]
COCO_ANNOTATIONS = {
    "images": [
        {"id": 1, "width": 50, "height": 40, "file_name": "a.jpg"},
        {"id": 2, "width": 50, "height": 40},
    ],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 28, 35], "area": 980, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [0, 0, 50, 40], "area": 2000, "iscrowd": 1},
    ],
}
VALUES = [
    b"0",
    b"-1",
    b"1e309",
    b"nan",
    b"inf",
    b"99999999999999999999",
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"\xff",
]


def picture(suffix: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return cv2.imencode(suffix, cv2.GaussianBlur(pixels, (5, 5), 2))[1].tobytes()


def index_picture() -> bytes:
    return cv2.imencode(".png", np.arange(200, dtype=np.uint8).reshape(10, 20) % 21)[1].tobytes()


def through_file(write) -> bytes:
    """Bytes of a file that `write` writes to the path it is given."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return next(found for found in Path(folder).iterdir() if found.name.startswith("file")).read_bytes()


def tensors() -> dict[str, np.ndarray]:
    return {"fc7.weight": np.eye(4, dtype=np.float32), "fc7.bias": np.ones(4, np.float16)}


def varint(value: int) -> bytes:
    """A whole number as protocol buffers write it."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffemodel() -> bytes:
    """One convolution with its biases, in the newer of Caffe's two forms."""
    blobs = b"".join(
        field(7, field(7, field(1, b"".join(map(varint, values.shape)))) + field(5, values.tobytes()))
        for values in (np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32))
    )
    layer = field(1, b"conv1") + field(2, b"Convolution") + field(4, b"conv1") + blobs
    return field(1, b"CaffeNet") + field(100, layer)


def boxes_file(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, as_boxes([[0, 0, 4, 5], [1, 2, 3, 4]]))


def results_folder(path: Path) -> Detections:
    return read_voc_results(path.parent)


READERS = {
    # name: (name of the file, its bytes, reader)
    "annotation": ("000001.xml", lambda: XML, read_annotation),
    "image set": ("train.txt", lambda: b"000001\n000002  1\n000003 -1\n", read_image_set),
    "results": ("comp4_det_test_dog.txt", lambda: RESULTS, results_folder),
    "COCO results": (
        "results.json",
        lambda: json.dumps(COCO_RESULTS).encode(),
        lambda path: read_coco_results(path, classes=("dog", "cat")),
    ),
    "COCO annotations": (
        "instances.json",
        lambda: json.dumps(COCO_ANNOTATIONS).encode(),
        lambda path: [read_coco_annotations(path).annotation(i) for i in read_coco_annotations(path).ids],
    ),
    "JPEG": ("a.jpg", lambda: picture(".jpg"), read_image),
    "PNG": ("a.png", lambda: picture(".png"), read_image),
    "BMP": ("a.bmp", lambda: picture(".bmp"), read_image),
    "label map": ("a.png", index_picture, read_index_image),
    "safetensors": (
        "a.safetensors",
        lambda: through_file(lambda path: save_file(tensors(), path, metadata={"classes": '["a"]'})),
        read_weights,
    ),
    "state dict": (
        "a.pth",
        lambda: through_file(
            lambda path: torch.save({name: torch.from_numpy(v) for name, v in tensors().items()}, path)
        ),
        read_weights,
    ),
    "caffemodel": ("a.caffemodel", caffemodel, read_weights),
    "proposals": ("a.npy", lambda: through_file(boxes_file), _read_boxes),
    "JSON": ("a.json", lambda: json.dumps(COCO_ANNOTATIONS).encode(), read_json),
}


def damage(content: bytes, number: int) -> bytes:
    """The `number`-th way to damage a file."""
    rng = random.Random(number)
    for _ in range(rng.choice((1, 1, 2, 5))):
        content = rng.choice(WAYS)(content, rng)
    return content


def turn_bits(content, rng):
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 3, 20))):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut_off(content, rng):
    return content[: rng.randrange(len(content) + 1)]


def cut_out(content, rng):
    first, last = piece(content, rng)
    return content[:first] + content[last:]


def double(content, rng):
    first, last = piece(content, rng)
    return content[:last] + content[first:]


def insert(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.choice((1, 4, 60))) + content[at:]


def replace_value(content, rng):
    """Put something unexpected in the place of a number or a name."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?|\"[^\"]*\"|>[a-z]+<", content))
    if not found:
        return insert(content, rng)
    chosen = rng.choice(found)
    value = rng.choice(VALUES)
    if chosen.group().startswith(b">"):
        value = b">" + value + b"<"
    return content[: chosen.start()] + value + content[chosen.end() :]


def damage_header(content, rng):
    """Of a safetensors file: something unexpected in the header, whose length is put right."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        return turn_bits(content, rng)
    header = replace_value(content[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def piece(content, rng):
    first = rng.randrange(len(content) + 1)
    return first, min(len(content), first + rng.choice((1, 8, 100)))


WAYS = (turn_bits, cut_off, cut_out, double, insert, replace_value, replace_value, damage_header)


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    name, make, read = READERS[kind]
    content, path = make(), tmp_path / name
    path.write_bytes(content)
    read(path)  # undamaged it is read

    refused = 0
    for number in range(DAMAGES):
        path.write_bytes(damage(content, number))
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except RCNNError as error:
            refused += 1
            assert str(error), f"damage {number}: the error says nothing"
        except Exception as error:
            raise AssertionError(f"damage {number} of {kind}: {type(error).__name__}: {error}") from error
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert most < MOST_MEMORY, f"damage {number} of {kind} took {most / 1e6:.0f} MB"
    if read is not _read_boxes:  # which answers with None: the boxes are then found again
        assert refused > 0
