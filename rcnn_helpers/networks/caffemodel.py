"""Reader of Caffe's ``.caffemodel`` files: just enough of the protocol-buffer wire format, nothing executed.

A ``.caffemodel`` is one serialised ``NetParameter`` message. Of its fields this reader follows four levels::

    NetParameter      2: layers (V1LayerParameter, repeated)   100: layer (LayerParameter, repeated)
    V1LayerParameter  4: name     6: blobs                     (files of 2013 and 2014)
    LayerParameter    1: name     7: blobs                     (files since then)
    BlobProto         5: data     8: double_data   7: shape    1-4: num, channels, height, width (old)
    BlobShape         1: dim

Everything else is skipped.
"""

from pathlib import Path

import numpy as np

from rcnn_helpers.errors import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class _Damaged(Exception):
    """The bytes are no protocol-buffer message."""


def read_caffemodel(path) -> dict[str, np.ndarray]:
    """Read the weights and biases of a ``.caffemodel`` file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to float32 array
        ``"<layer>.weight"`` and ``"<layer>.bias"``. Convolutions have the shape [out, in / groups, rows,
        columns], fully connected layers [out, in], biases [out].

    Raises
    ------
    WeightsError
        If the file is missing, damaged or contains no layer with weights.
    """
    path = Path(path)
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"cannot read the Caffe model {path}: {error.strerror}") from None
    weights = {}
    try:
        for number, value in _fields(data):
            if number in (2, 100) and isinstance(value, memoryview):
                name_field, blobs_field = (4, 6) if number == 2 else (1, 7)
                name, blobs = _layer(value, name_field, blobs_field)
                for part, blob in zip(("weight", "bias"), blobs, strict=False):
                    weights[f"{name}.{part}"] = blob
    except _Damaged as damage:
        raise WeightsError(
            f"{path} is damaged or no Caffe model ({damage}); fetch it again and compare its checksum"
        ) from None
    if not weights:
        raise WeightsError(
            f"{path} holds no layer with weights; a .prototxt or a solver state will not do, "
            "and files of the format before 2014 must first be upgraded with Caffe"
        )
    return weights


def _layer(message, name_field, blobs_field):
    """Name and blobs of one layer message."""
    name, blobs = "", []
    for number, value in _fields(message):
        if number == name_field and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", errors="replace")
        elif number == blobs_field and isinstance(value, memoryview):
            blobs.append(_blob(value))
    return name, blobs


def _blob(message):
    """One BlobProto as a float32 array of its shape."""
    old_shape = {}
    shape = None
    chunks = []
    for number, value in _fields(message):
        if number in (1, 2, 3, 4) and isinstance(value, int):
            old_shape[number] = value
        elif number == 5:
            chunks.append(_floats(value, "<f4"))
        elif number == 8:
            chunks.append(_floats(value, "<f8"))
        elif number == 7 and isinstance(value, memoryview):
            shape = _dims(value)
    data = np.concatenate(chunks) if chunks else np.empty(0, np.float32)
    if shape is None:
        shape = tuple(old_shape.get(number, 1) for number in (1, 2, 3, 4))
        while len(shape) > 1 and shape[0] == 1:  # (1, 1, out, in) and (1, 1, 1, out) of the old format
            shape = shape[1:]
    count = 1
    for side in shape:
        count *= side
    if count != data.size:
        raise _Damaged(f"a blob of shape {shape} holds {data.size} numbers")
    return data.reshape(shape)


def _floats(value, dtype):
    """The numbers of a packed field, or the one number of an unpacked field, as float32."""
    data = bytes(value) if isinstance(value, _Fixed) else value
    if isinstance(data, int) or len(data) % np.dtype(dtype).itemsize:
        raise _Damaged("a blob's data is no list of floating-point numbers")
    return np.frombuffer(data, dtype=dtype).astype(np.float32)


def _dims(message):
    """The sides of a BlobShape, packed or not."""
    dims = []
    for number, value in _fields(message):
        if number != 1:
            continue
        if isinstance(value, int):
            dims.append(value)
            continue
        position = 0
        while position < len(value):
            side, position = _varint(value, position)
            dims.append(side)
    return tuple(dims)


class _Fixed(bytes):
    """The bytes of a fixed-width number."""


def _fields(message):
    """Yield (field number, value) of a message: an int, a `_Fixed`, or a memoryview of bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == BYTES:
            length, position = _varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise _Damaged(f"unknown wire type {wire_type}")
        if position + length > len(message):
            raise _Damaged("a field ends beyond the end of the file")
        value = message[position : position + length]
        position += length
        yield number, (value if wire_type == BYTES else _Fixed(value))


def _varint(message, position):
    """Decode the variable-length integer at `position`; returns it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _Damaged("it ends in the middle of a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Damaged("a number is longer than 64 bits")
