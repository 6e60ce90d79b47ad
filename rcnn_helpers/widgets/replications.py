"""The explorer of seeds: what a verdict is worth, by the size of a gain, the spread of seeds and their number."""

import cv2
import numpy as np

from rcnn_helpers import paired
from rcnn_helpers.drawing import rgb, write
from rcnn_helpers.widgets.controls import int_slider, points_slider
from rcnn_helpers.widgets.explorer import Explorer

_SHOWN, _COUNTED = 40, 2000
_COLOURS = {paired.HOLDS: "green", paired.UNDECIDED: "grey", paired.FAILS: "vermillion"}
_MOST_SEEDS = 12
_WIDTH, _HEIGHT, _MARGIN, _ABOVE = 760, 360, 60, 34
_REACH = 8.0  # points shown above and below 0


class ReplicationExplorer(Explorer):
    """Imaginary replications of a true gain: a column each, a dot for each seed, the verdict below.

    Parameters
    ----------
    gain, spread : float
        To begin with: the true gain in points, and the standard deviation of a difference from seed to seed.
    seeds : int
    """

    def __init__(self, gain: float = 1.0, spread: float = 1.5, seeds: int = 3):
        normal = np.random.default_rng(0).standard_normal((_COUNTED, _MOST_SEEDS))
        self._normal = normal
        super().__init__(
            {
                "gain": points_slider("true gain", -2, 6, gain),
                "spread": points_slider("spread", 0.1, 5, spread),
                "seeds": int_slider("seeds", 1, _MOST_SEEDS, seeds),
            }
        )

    def verdicts(self, gain: float, spread: float, seeds: int) -> list[str]:
        """Verdicts of all imaginary replications."""
        return [paired.verdict(values) for values in gain + spread * self._normal[:, :seeds]]

    def _draw(self, gain, spread, seeds):
        verdicts = self.verdicts(gain, spread, seeds)
        shares = {verdict: 100 * verdicts.count(verdict) / len(verdicts) for verdict in _COLOURS}
        values = gain + spread * self._normal[:_SHOWN, :seeds]
        words = (
            f"A true gain of {gain:.1f} points, seeds that differ by {spread:.1f}, {seeds} "
            f"{'seed' if seeds == 1 else 'seeds'}: {shares[paired.HOLDS]:.0f}% of {_COUNTED:,} replications "
            f"say that it holds, {shares[paired.FAILS]:.0f}% that it does not, "
            f"{shares[paired.UNDECIDED]:.0f}% are undecided."
        )
        return _columns(values, verdicts[:_SHOWN]), words


def _columns(values, verdicts) -> np.ndarray:
    """Dots over a zero line, a column each, with a mark for its verdict below."""
    sheet = np.full((_ABOVE + _HEIGHT + 64, _MARGIN + _WIDTH + 20, 3), 255, np.uint8)

    def height(points):
        return int(round(_ABOVE + _HEIGHT * (0.5 - float(np.clip(points, -_REACH, _REACH)) / (2 * _REACH))))

    for tick in (-8, -4, 0, 4, 8):
        y = height(tick)
        colour = (0, 0, 0) if tick == 0 else (225, 225, 225)
        cv2.line(sheet, (_MARGIN, y), (_MARGIN + _WIDTH, y), colour, 1)
        write(sheet, f"{tick:+d}" if tick else "0", 24, y - 9)
    step = _WIDTH / len(values)
    for column, (of_one, verdict) in enumerate(zip(values, verdicts, strict=True)):
        x = int(round(_MARGIN + (column + 0.5) * step))
        colour = rgb(_COLOURS[verdict])
        for value in of_one:
            cv2.circle(sheet, (x, height(value)), 4, colour, -1, cv2.LINE_AA)
        _mark(sheet, x, _ABOVE + _HEIGHT + 16, verdict, colour)
    write(sheet, "difference in points; below: holds +, does not -, undecided o", _MARGIN, 4)
    return sheet


def _mark(sheet, x, y, verdict, colour) -> None:
    """A sign besides the colour: plus, minus or a ring."""
    if verdict == paired.UNDECIDED:
        cv2.circle(sheet, (x, y), 5, colour, 2, cv2.LINE_AA)
        return
    cv2.line(sheet, (x - 6, y), (x + 6, y), colour, 3)
    if verdict == paired.HOLDS:
        cv2.line(sheet, (x, y - 6), (x, y + 6), colour, 3)
