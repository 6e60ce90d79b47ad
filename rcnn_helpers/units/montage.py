"""Rows of regions as in Figures 4 and 12: what excites a unit, how much, and what of it the unit sees."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rcnn_helpers.drawing import BoxStyle, draw_boxes, write
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.units.index import UnitIndex
from rcnn_helpers.warping import WindowWarper

COLUMNS = 16  # regions of a unit, as in the paper
SIDE = 96  # pixels, as in the original viewer
GAP = 3
LABEL_SIZE = 24
FIELD = BoxStyle("#FFFFFF")
FILL = (
    124.0,
    117.0,
    104.0,
)  # where a crop leaves its image: about the mean colour, which the network is given


def unit_rows(
    index: UnitIndex,
    dataset,
    units: Sequence[int],
    k: int = COLUMNS,
    *,
    labels: Sequence[str] | None = None,
    side: int = SIDE,
) -> np.ndarray:
    """Draw a row for each unit: its best regions, what it sees of them, and its activation.

    Each region is warped as the network saw it, context included. The white box is the unit's receptive field; the
    white number is its activation, divided by the largest of its channel.

    Parameters
    ----------
    index : UnitIndex
    dataset : VOCDataset or the like
        The images of the index, of whatever split.
    units : sequence of int
    k : int
        Regions of each unit. A unit that fewer excite has a shorter row.
    labels : sequence of str, optional
        What stands above each row; by default the unit's place.
    side : int
        Of a region, in pixels.

    Returns
    -------
    uint8 [H, W, 3]

    Raises
    ------
    DisplayError
        If there is nothing to draw, or not one label for each unit.
    """
    if len(units) == 0 or k < 1 or side < 16:
        raise DisplayError(
            f"{len(units)} units with {k} regions of {side} pixels cannot be drawn; take one unit, one region and "
            "16 pixels at least"
        )
    labels = [name_of_unit(index, unit) for unit in units] if labels is None else list(labels)
    if len(labels) != len(units):
        raise DisplayError(f"{len(units)} units need as many labels, got {len(labels)}")
    regions = [index.regions(unit, k) for unit in units]
    pictures = _read(dataset, {image_id for found in regions for image_id in found.image_ids})

    head = round(1.4 * LABEL_SIZE)
    sheet = np.full((len(units) * (head + side + 3 * GAP), k * (side + GAP) + GAP, 3), 255, np.uint8)
    for number, (unit, found, label) in enumerate(zip(units, regions, labels, strict=True)):
        top = number * (head + side + 3 * GAP)
        write(sheet, label, 0, top + GAP, font_size=LABEL_SIZE)
        field = index.field(unit) * (side / index.input_size)
        crops = _warped([pictures[image_id] for image_id in found.image_ids], found.boxes, index, side)
        for rank, crop in enumerate(crops):
            crop = draw_boxes(crop, [field], styles=FIELD, line_width=2)
            crop = _with_value(crop, f"{found.scaled[rank]:.2f}")
            left = GAP + rank * (side + GAP)
            sheet[top + head + GAP : top + head + GAP + side, left : left + side] = crop
    return sheet


def name_of_unit(index: UnitIndex, unit: int) -> str:
    """A unit by its place, such as ``"channel 17, cell (2, 3)"``: row and column of the cell."""
    channel, row, column = index.place(unit)
    if index.shape[1:] == (1, 1):
        return f"{index.layer} unit {channel}"
    return f"channel {channel}, cell ({row}, {column})"


def describe(index: UnitIndex, row) -> str:
    """What was measured of a unit, in words: a row of `attribute_selectivity` or `class_selectivity`.

    Such as ``"channel 17, cell (2, 3): car wheel, 31% of its field against 4%"``.
    """
    unit = name_of_unit(index, int(row["unit"]))
    if "precision" in row:
        return (
            f"{unit}: {row['class']}, in {_percent(row['precision'])} of its regions against "
            f"{_percent(row['base'])}"
        )
    name = row["attribute"].replace(":", " ")
    return f"{unit}: {name}, {_percent(row['share'])} of its field against {_percent(row['base'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}%"


def _with_value(crop: np.ndarray, text: str) -> np.ndarray:
    """Write a number in white with a dark edge, which shows on any background, into the lower left corner."""
    picture = Image.fromarray(crop)
    font_size = max(10, round(crop.shape[0] / 5.2))
    font = ImageFont.load_default(font_size)
    place = (3, crop.shape[0] - 4)
    ImageDraw.Draw(picture).text(
        place, text, font=font, anchor="lb", fill="white", stroke_width=2, stroke_fill="black"
    )
    return np.array(picture)


def _read(dataset, image_ids) -> dict[str, np.ndarray]:
    """Read each image once."""
    return {image_id: dataset.image(image_id) for image_id in sorted(image_ids)}


def _warped(pictures, boxes, index: UnitIndex, side: int) -> list[np.ndarray]:
    """Regions as the network saw them, one of each picture, uint8 [side, side, 3] each."""
    warper = WindowWarper(
        pictures, size=index.input_size, mode=index.mode, padding=index.padding, mean=FILL, threads=1
    )
    crops = warper(np.arange(len(pictures)), boxes).permute(0, 2, 3, 1).numpy()
    pixels = np.clip(crops + FILL, 0, 255).astype(np.uint8)
    method = cv2.INTER_AREA if side < index.input_size else cv2.INTER_LINEAR
    return [cv2.resize(crop, (side, side), interpolation=method) for crop in pixels]
