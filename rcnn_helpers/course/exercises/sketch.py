"""The picture of a case that went wrong: its boxes on an empty sheet, as large as they fit."""

import numpy as np

from rcnn_helpers.drawing import draw_boxes

_PAPER = 245  # grey level of the empty sheet


def sketch(boxes, labels, styles, *, size=(480, 640), margin: int = 40) -> np.ndarray:
    """Draw boxes in the middle of an empty sheet, whatever their units and place.

    Parameters
    ----------
    boxes : array-like of shape [N, 4]
        ``(x1, y1, x2, y2)``; at least one.
    labels, styles : sequences of str, N long
        As in `rcnn_helpers.drawing.draw_boxes`.
    size : (height, width)
        Of the sheet, in pixels.
    margin : int
        Pixels left free on each side.

    Returns
    -------
    uint8 array of shape [height, width, 3]
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    sheet = np.array(size[::-1])
    scale = ((sheet - 2 * margin) / np.maximum(high - low, 1)).min()
    placed = (boxes - np.tile((low + high) / 2, 2)) * scale + np.tile(sheet / 2, 2)
    return draw_boxes(np.full((*size, 3), _PAPER, np.uint8), placed, labels, styles)
