"""The explorer of near-duplicates: pairs of two sets side by side, down the ranking."""

import numpy as np

from rcnn_helpers.drawing import fit
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.redundancy.gist import warp
from rcnn_helpers.redundancy.pairs import NEAR
from rcnn_helpers.redundancy.report import in_words
from rcnn_helpers.widgets.controls import fraction_slider, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import above, beside

_HEIGHT, _WIDTH = 250, 360  # pixels of each picture at most
_SMALL = 128  # pixels of what the descriptor sees of each


class DuplicateExplorer(Explorer):
    """Ranked pairs of pictures, one at a time: the two, and below them the 32 x 32 pixels that GIST sees.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `rcnn_helpers.redundancy.near_duplicates`.
    a, b : PictureSet
        The sets compared; within one set, that set twice.
    threshold : float
        At first; pairs further apart are not counted as near-duplicates.

    Raises
    ------
    DisplayError
        If there is no pair.
    """

    def __init__(self, frame, a, b, *, threshold: float = NEAR):
        if not len(frame):
            raise DisplayError("there is no pair to be shown; look for more neighbours, or further away")
        self.frame, self.a, self.b = frame.sort_values("distance", kind="stable"), a, b
        self._distances = self.frame.distance.to_numpy()
        controls = {
            "rank": int_slider("pair", 1, len(frame), 1),
            "threshold": fraction_slider("distance up to", threshold),
        }
        super().__init__(controls)

    def _draw(self, rank, threshold):
        pair = next(self.frame.iloc[rank - 1 : rank].itertuples())
        left, right = self.a.image(pair.row_a), self.b.image(pair.row_b)
        n_within = int((self._distances <= threshold).sum())
        called = "within" if pair.distance <= threshold else "beyond"
        lie = "pair lies" if n_within == 1 else "pairs lie"
        text = (
            f"Pair {rank} of {len(self.frame)}: {pair.a} (left) and {pair.b} (right), {in_words(pair)}. It lies "
            f"{called} {threshold:.2f}; {n_within} {lie} within. Below: the 32 x 32 pixels that are described."
        )
        return above(beside(_framed(left), _framed(right)), beside(_seen(left), _seen(right))), text


def _framed(image):
    """A picture as large as fits, in the middle of a white area of one size."""
    sheet = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    fitted = fit(image, _HEIGHT, _WIDTH)
    height, width = fitted.shape[:2]
    top, left = (_HEIGHT - height) // 2, (_WIDTH - width) // 2
    sheet[top : top + height, left : left + width] = fitted
    return sheet


def _seen(image):
    """The warped picture, its pixels enlarged so that each can be seen, in the middle of as wide an area."""
    zoom = _SMALL // 32
    small = warp(image).repeat(zoom, axis=0).repeat(zoom, axis=1)
    sheet = np.full((_SMALL, _WIDTH, 3), 255, np.uint8)
    left = (_WIDTH - _SMALL) // 2
    sheet[:, left : left + _SMALL] = small
    return sheet
