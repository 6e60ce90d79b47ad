"""An index of units written by hand."""

import numpy as np
import pytest

from rcnn_helpers.units import UnitIndex


def index_by_hand(lists, *, shape, image_ids, spans=None, **changes) -> UnitIndex:
    """An index whose unit u lists ``lists[u]``: tuples of value, image id and box, best first.

    By default a unit sees all of an unpadded crop of 100 pixels, that is, all of its region.
    """
    n_units, top = int(np.prod(shape)), max(1, *(len(each) for each in lists.values()))
    values = np.zeros((n_units, top), np.float32)
    image_index = np.full((n_units, top), -1, np.int32)
    boxes = np.zeros((n_units, top, 4), np.float32)
    for unit, entries in lists.items():
        for rank, (value, image_id, box) in enumerate(entries):
            values[unit, rank], boxes[unit, rank] = value, box
            image_index[unit, rank] = image_ids.index(image_id)
    settings = {
        "network_name": "made up",
        "fingerprint": "abc",
        "layer": "pool5",
        "shape": shape,
        "nms_iou": 0.1,
        "mode": "warp",
        "padding": 0,
        "input_size": 100,
        "image_ids": tuple(image_ids),
        "n_regions": 1000,
        "inputs": "def",
        "values": values,
        "image_index": image_index,
        "boxes": boxes,
        "sums": np.column_stack([values.sum(axis=1, dtype=np.float64), np.zeros(n_units)]),
        "counts": np.count_nonzero(values, axis=1),
        "spans": np.array([[0, 100]] * shape[1]) if spans is None else np.array(spans),
    }
    return UnitIndex(**(settings | changes))


@pytest.fixture(name="index_by_hand", scope="session")
def _index_by_hand():
    return index_by_hand
