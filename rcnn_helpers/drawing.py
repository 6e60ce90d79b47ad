"""Fast pictures of boxes: plain pixels in, plain pixels out.

Widgets redraw on every move of a slider and the ``rcnn`` command writes annotated photographs, so this module
writes into arrays and does without matplotlib. What a box *is* can be told in three ways that do not depend on
each other: by its line (solid, dashed, dotted), by its label, and by a colour from a palette that colour-blind
readers can tell apart (Okabe and Ito's).
"""

import importlib.util
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import DisplayError

# Okabe and Ito's palette: eight colours that stay apart for every common kind of colour blindness.
COLOURS = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#BBBBBB",
}
# Pixels drawn and left out, in turn, for a line one pixel wide; wider lines scale them.
DASHES = {"solid": (), "dashed": (6, 4), "dotted": (2, 2), "dashdot": (6, 2, 2, 2)}
SMALLEST_FONT = 13
_FAR = 30_000  # pixels; OpenCV cannot count much further


@dataclass(frozen=True)
class BoxStyle:
    """How a box is drawn: a colour (a name or ``#rrggbb``), a line of `DASHES`, and a mark before its label."""

    colour: str
    line: str = "solid"
    mark: str = ""


STYLES = {
    "proposal": BoxStyle("sky"),
    "detection": BoxStyle("sky"),
    "truth": BoxStyle("yellow", "dotted"),
    "best": BoxStyle("green", "solid", "best "),
    "tp": BoxStyle("green", "solid", "✓ "),
    "fp": BoxStyle("vermillion", "dashed", "✗ "),
    "duplicate": BoxStyle("orange", "dashdot", "✗ 2nd "),
    "ignored": BoxStyle("grey", "dotted", "– "),
    "missed": BoxStyle("purple", "dotted", "missed "),
}


def draw_boxes(
    image,
    boxes,
    labels=None,
    styles="detection",
    *,
    colours=None,
    line_width: int | None = None,
    font_size: int | None = None,
) -> np.ndarray:
    """Draw boxes, and labels that stay inside the picture.

    Lines run just inside their box; if wider than a pixel they have dark edges and show on any background. A
    label stands above its box where there is room, else inside or below it, away from the labels before it. The
    boxes given first lie on top.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        It is copied.
    boxes : array-like of shape [N, 4]
        Half-open, in pixels; parts outside the image are not seen.
    labels : sequence of str, optional
        One for each box; an empty string draws none.
    styles : str, BoxStyle, or a sequence of them
        Names in `STYLES`, such as ``"tp"`` and ``"fp"``.
    colours : str or sequence of str, optional
        Colours that replace those of the styles.
    line_width, font_size : int, optional
        In pixels; by default they grow with the image.

    Returns
    -------
    uint8 array of shape [H, W, 3]
    """
    canvas = _checked(image).copy()
    boxes = as_boxes(boxes)
    styles = _resolve_styles(styles, colours, len(boxes))
    height, width = canvas.shape[:2]
    line_width = line_width or max(2, round(max(height, width) / 160))
    font_size = font_size or max(SMALLEST_FONT, round(max(height, width) / 36))
    edges = np.rint(boxes).astype(np.int64)
    for (x1, y1, x2, y2), style in zip(edges[::-1].tolist(), styles[::-1], strict=True):
        _outline(canvas, x1, y1, x2, y2, rgb(style.colour), DASHES[style.line], line_width)
    if labels is not None:
        _draw_labels(canvas, edges, list(labels), styles, font_size)
    return canvas


def draw_detections(image, boxes, names, values=None, *, outcomes=None, truth=None, **options) -> np.ndarray:
    """Draw detections labelled as the paper does: class, and the precision at their score.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    boxes : array-like of shape [N, 4]
    names : sequence of str
        The class of each detection; an empty one leaves the box without a label.
    values : sequence of float, optional
        A precision or score for each; NaN is left out.
    outcomes : sequence of str, optional
        ``"tp"``, ``"fp"``, ``"duplicate"`` or ``"ignored"`` for each: another line, mark and colour.
    truth : array-like of shape [M, 4], optional
        Ground-truth boxes, drawn below in the style ``"truth"``.
    **options
        Passed on to `draw_boxes`.
    """
    boxes = as_boxes(boxes)
    styles = ["detection"] * len(boxes) if outcomes is None else [str(outcome) for outcome in outcomes]
    values = [np.nan] * len(boxes) if values is None else values
    labels = [
        f"{STYLES[style].mark}{name}{'' if np.isnan(value) else f' {value:.2f}'}" if name else ""
        for style, name, value in zip(styles, names, values, strict=True)
    ]
    truth = as_boxes([] if truth is None else truth)
    return draw_boxes(
        image,
        np.concatenate([boxes, truth]),
        labels + [""] * len(truth),
        styles + ["truth"] * len(truth),
        **options,
    )


def draw_arrows(
    image, starts, ends, styles="detection", *, colours=None, line_width: int | None = None
) -> np.ndarray:
    """Draw arrows from point to point, such as from where a box's corners were to where they have moved.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        It is copied.
    starts, ends : array-like of shape [N, 2]
        Points (x, y) in pixels; an arrow of less than a pixel is left out.
    styles : str, BoxStyle, or a sequence of them
        As in `draw_boxes`; of a style, only its colour is used.
    colours : str or sequence of str, optional
        Colours that replace those of the styles.
    line_width : int, optional
        In pixels; by default it grows with the image.

    Returns
    -------
    uint8 array of shape [H, W, 3]

    Raises
    ------
    DisplayError
        If the points do not have these shapes, or are not finite.
    """
    canvas = _checked(image).copy()
    starts, ends = (np.asarray(points, dtype=np.float64) for points in (starts, ends))
    starts, ends = (points.reshape(0, 2) if points.size == 0 else points for points in (starts, ends))
    if starts.shape != ends.shape or starts.shape[1:] != (2,) or not np.isfinite([starts, ends]).all():
        raise DisplayError(
            f"arrows need as many finite starts [N, 2] as ends [N, 2], got {list(starts.shape)} and "
            f"{list(ends.shape)}"
        )
    line_width = line_width or max(2, round(max(canvas.shape[:2]) / 200))
    colours_drawn = [rgb(style.colour) for style in _resolve_styles(styles, colours, len(starts))]
    lengths = np.linalg.norm(ends - starts, axis=1)
    for start, end, length, colour in zip(starts, ends, lengths, colours_drawn, strict=True):
        if length >= 1:
            tip = min(4 * line_width / length, 0.5)  # as large on a long arrow as on a short one
            near = np.rint(np.clip([start, end], -_FAR, _FAR)).astype(int).tolist()
            for paint, width in (((0, 0, 0), line_width + 2), (colour, line_width)):
                cv2.arrowedLine(canvas, *near, paint, width, cv2.LINE_AA, tipLength=tip)
    return canvas


def montage(
    crops,
    captions=None,
    *,
    columns: int | None = None,
    cell: tuple[int, int] | None = None,
    gap: int = 8,
    font_size: int = 15,
    styles=None,
) -> np.ndarray:
    """Lay pictures out on a white sheet, each with a caption below it.

    Parameters
    ----------
    crops : sequence of uint8 arrays [h, w, 3]
        Each is scaled to fit its cell and keeps its shape.
    captions : sequence of str, optional
        Up to a few lines each (``"\\n"``); lines too long for the cell end in an ellipsis.
    columns : int, optional
        By default as many as make the sheet about twice as wide as high.
    cell : (height, width), optional
        By default the size of the largest crop.
    gap : int
    font_size : int
    styles : sequence of str or BoxStyle, optional
        A frame for each crop in that style.
    """
    crops = [_checked(crop) for crop in crops]
    if not crops:
        return with_caption(np.full((1, 200, 3), 255, np.uint8), "nothing to show", font_size=font_size)
    captions = [""] * len(crops) if captions is None else [str(caption) for caption in captions]
    if len(captions) != len(crops):
        raise ValueError(f"{len(crops)} crops need as many captions, got {len(captions)}")
    height, width = cell or (max(c.shape[0] for c in crops), max(c.shape[1] for c in crops))
    columns = columns or min(len(crops), max(1, round(np.sqrt(2 * len(crops) * height / width))))
    n_lines = max(len(caption.split("\n")) for caption in captions) if any(captions) else 0
    line_height = _line_height(font_size)
    rows = -(-len(crops) // columns)
    step_y, step_x = height + n_lines * line_height + gap, width + gap
    sheet = np.full((rows * step_y + gap, columns * step_x + gap, 3), 255, np.uint8)
    frames = [None] * len(crops) if styles is None else _resolve_styles(styles, None, len(crops))
    for i, (crop, caption, frame) in enumerate(zip(crops, captions, frames, strict=True)):
        top, left = gap + i // columns * step_y, gap + i % columns * step_x
        fitted = fit(crop, height, width)
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        if frame is not None:
            corners = (x, y, x + fitted.shape[1], y + fitted.shape[0])
            _outline(sheet, *corners, rgb(frame.colour), DASHES[frame.line], 3)
        for line, text in enumerate(caption.split("\n")):
            if text:
                tile = _text_tile(shorten(text, width, font_size), font_size, (0, 0, 0), (255, 255, 255))
                _paste(
                    sheet,
                    tile,
                    left + max(0, (width - tile.shape[1]) // 2),
                    top + height + line * line_height,
                )
    return sheet


def draw_filters(weights, *, columns: int | None = None, zoom: int = 6, gap: int = 4) -> np.ndarray:
    """Show the filters of a first layer as small colour pictures, as Krizhevsky et al. did.

    Each filter is scaled to its own range: its lowest weight becomes 0 and its highest 255, over the three colours
    together. So two filters cannot be compared in strength, but each shows its pattern.

    Parameters
    ----------
    weights : float array of shape [K, 3, h, w]
        Red, green, blue; those of a network that reads BGR must be turned around first.
    columns : int, optional
        By default as many as make the sheet about twice as wide as high.
    zoom : int
        Pixels of the picture for each side of a weight.
    gap : int
        White pixels between two filters.

    Returns
    -------
    uint8 array of shape [H, W, 3]

    Raises
    ------
    DisplayError
        If these are not the weights of filters that look at a colour picture.
    """
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim != 4 or weights.shape[1] != 3 or weights.size == 0 or not np.isfinite(weights).all():
        raise DisplayError(
            f"filters to draw have shape [K, 3, h, w] and finite weights, got shape {list(weights.shape)}; take "
            "the weights of the first convolution"
        )
    low = weights.min(axis=(1, 2, 3), keepdims=True)
    span = weights.max(axis=(1, 2, 3), keepdims=True) - low
    grey = np.full_like(weights, 0.5)  # what a filter without any pattern looks like
    scaled = np.divide(weights - low, span, out=grey, where=span > 0)
    pictures = np.rint(255 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    enlarged = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return montage(enlarged, columns=columns, gap=gap)


def write(canvas, text: str, x: int, y: int, *, font_size: int = 14, ground=(255, 255, 255)) -> None:
    """Write a line into `canvas`, with its upper left corner at (x, y): black or white, as `ground` asks for."""
    ground = tuple(int(level) for level in ground)
    _paste(canvas, _text_tile(_printable(text), font_size, _readable_on(ground), ground), x, y)


@lru_cache(maxsize=256)
def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour: a name in `COLOURS` or whatever Pillow understands."""
    return ImageColor.getrgb(COLOURS.get(colour, colour))[:3]


def fit(image, height: int, width: int) -> np.ndarray:
    """Scale an image so that it just fits into `height` x `width`, in its own shape."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if size == (image.shape[1], image.shape[0]):
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=method)


def with_caption(image, text: str, *, font_size: int = 15) -> np.ndarray:
    """Add a white strip with `text` below an image; long lines are broken between words."""
    image = _checked(image)
    margin = 6
    lines = [
        line for part in text.split("\n") for line in _broken(part, image.shape[1] - 2 * margin, font_size)
    ]
    line_height = _line_height(font_size)
    strip = np.full((len(lines) * line_height + 2 * margin, image.shape[1], 3), 255, np.uint8)
    for i, line in enumerate(lines):
        _paste(
            strip, _text_tile(line, font_size, (0, 0, 0), (255, 255, 255)), margin, margin + i * line_height
        )
    return np.concatenate([image, strip])


def paint_segments(image, labels, *, strength: float = 0.65, borders: bool = True) -> np.ndarray:
    """Tint every region of a segmentation in a colour of its own, over the image.

    A region's colour depends on its topmost pixel alone. So when two regions merge, the new one keeps the colour
    of one of them, and steps of a merging can be compared.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    labels : integer array of shape [H, W]
    strength : float
        0 shows the image, 1 only the colours.
    borders : bool
        Draw a white line where regions meet.
    """
    image = _checked(image)
    labels = np.asarray(labels)
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels have shape {list(labels.shape)}, the image {list(image.shape[:2])}")
    _, first_pixel, region = np.unique(labels, return_index=True, return_inverse=True)
    colours = _colours_of_numbers(first_pixel)[region.reshape(labels.shape)]
    painted = np.rint((1 - strength) * image + strength * colours).astype(np.uint8)
    if borders:
        painted[region_borders(labels)] = 255
    return painted


def region_borders(labels) -> np.ndarray:
    """Pixels whose right or lower neighbour belongs to another region, bool [H, W]."""
    labels = np.asarray(labels)
    border = np.zeros(labels.shape, dtype=bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def tint(image, mask, colour: str = "orange", *, strength: float = 0.5) -> np.ndarray:
    """Lay a colour over the pixels of `mask`."""
    painted = _checked(image).copy()
    painted[mask] = np.rint((1 - strength) * painted[mask] + strength * np.array(rgb(colour))).astype(
        np.uint8
    )
    return painted


@lru_cache(maxsize=4096)
def shorten(text: str, width: int, font_size: int) -> str:
    """Cut `text` so that it fits into `width` pixels, with an ellipsis where something was cut off."""
    font = _font(font_size)
    text = _printable(text)
    if font.getlength(text) <= width - 2 * _PAD:
        return text
    while text and font.getlength(text + "…") > width - 2 * _PAD:
        text = text[:-1]
    return text + "…"


_PAD = 3  # pixels of background left and right of a text


def _checked(image):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image is a uint8 array [H, W, 3], got {image.dtype} {list(image.shape)}; "
            "bring float crops to 0..255 and to channels last first"
        )
    return image


def _resolve_styles(styles, colours, n):
    if isinstance(styles, str | BoxStyle):
        styles = [styles] * n
    styles = [_style(style) for style in styles]
    if len(styles) != n:
        raise ValueError(f"{n} boxes need as many styles, got {len(styles)}")
    if colours is None:
        return styles
    colours = [colours] * n if isinstance(colours, str) else list(colours)
    if len(colours) != n:
        raise ValueError(f"{n} boxes need as many colours, got {len(colours)}")
    return [replace(style, colour=colour) for style, colour in zip(styles, colours, strict=True)]


def _style(style):
    if isinstance(style, BoxStyle):
        return style
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    return STYLES[style]


def _outline(canvas, x1, y1, x2, y2, colour, dashes, line_width):
    """The four sides, inside the box: the line, and unless it is thin, a dark edge on either side of it."""
    edge = int(line_width > 1)
    thick = line_width + 2 * edge
    if not dashes:
        for inset in range(min(thick, (x2 - x1 + 1) // 2, (y2 - y1 + 1) // 2)):
            paint = colour if edge <= inset < edge + line_width else (0, 0, 0)
            cv2.rectangle(canvas, (x1 + inset, y1 + inset), (x2 - 1 - inset, y2 - 1 - inset), paint)
        return
    for left, top, right, bottom in (
        (x1, y1, x2, min(y1 + thick, y2)),
        (x1, max(y2 - thick, y1), x2, y2),
        (x1, y1, min(x1 + thick, x2), y2),
        (max(x2 - thick, x1), y1, x2, y2),
    ):
        _dashed_bar(canvas, left, top, right, bottom, colour, dashes, line_width, edge)


def _dashed_bar(canvas, x1, y1, x2, y2, colour, dashes, line_width, edge):
    """A dashed line that fills a rectangle, as far as that lies on the canvas."""
    height, width = canvas.shape[:2]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if left >= right or top >= bottom:
        return
    line, drawn = _dashes(colour, dashes, line_width, edge, max(x2 - x1, y2 - y1))
    if x2 - x1 < y2 - y1:
        line, drawn = line.swapaxes(0, 1), drawn.swapaxes(0, 1)
    visible = np.s_[top - y1 : bottom - y1, left - x1 : right - x1]
    np.copyto(canvas[top:bottom, left:right], line[visible], where=drawn[visible])


@lru_cache(maxsize=4096)
def _dashes(colour, dashes, line_width, edge, length):
    """A dashed line from left to right, uint8 [thickness, length, 3], and which pixels are drawn."""
    line = np.zeros((line_width + 2 * edge, length, 3), np.uint8)
    line[edge : edge + line_width] = colour
    period = np.concatenate([np.full(n * line_width, i % 2 == 0) for i, n in enumerate(dashes)])
    drawn = np.resize(period, length)[None, :, None]
    return line, np.repeat(drawn, len(line), axis=0)


def _draw_labels(canvas, edges, labels, styles, font_size):
    if len(labels) != len(edges):
        raise ValueError(f"{len(edges)} boxes need as many labels, got {len(labels)}")
    height, width = canvas.shape[:2]
    covered = np.zeros((height, width), dtype=bool)
    for (x1, y1, x2, y2), label, style in zip(edges.tolist(), labels, styles, strict=True):
        if not label or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            continue
        background = rgb(style.colour)
        tile = _text_tile(shorten(label, width, font_size), font_size, _readable_on(background), background)
        x, y = _free_spot(x1, y1, y2, tile.shape[:2], covered)
        covered[y : y + tile.shape[0], x : x + tile.shape[1]] = True
        _paste(canvas, tile, x, y)


def _free_spot(x1, y1, y2, tile_shape, covered):
    """Where a label goes: the first place inside the picture that covers no earlier label."""
    tile_height, tile_width = tile_shape
    lowest = max(covered.shape[0] - tile_height, 0)
    x = min(max(x1, 0), max(covered.shape[1] - tile_width, 0))
    least, best = np.inf, 0
    for wanted in (y1 - tile_height, y1, y2, y2 - tile_height):
        y = min(max(wanted, 0), lowest)
        overlap = np.count_nonzero(covered[y : y + tile_height, x : x + tile_width])
        if overlap < least:
            least, best = overlap, y
        if overlap == 0 and y == wanted:
            break
    return x, best


def _paste(canvas, tile, x, y):
    height, width = canvas.shape[:2]
    bottom, right = min(y + tile.shape[0], height), min(x + tile.shape[1], width)
    canvas[y:bottom, x:right] = tile[: bottom - y, : right - x]


@lru_cache(maxsize=4096)
def _text_tile(text, font_size, colour, background):
    """A line of text as pixels, read-only since it is kept for the next time."""
    font = _font(font_size)
    width = int(np.ceil(font.getlength(text))) + 2 * _PAD
    picture = Image.new("RGB", (width, _line_height(font_size)), background)
    ImageDraw.Draw(picture).text((_PAD, 1), text, font=font, fill=colour)
    tile = np.array(picture)
    tile.setflags(write=False)
    return tile


@lru_cache(maxsize=64)
def _font(size):
    """DejaVu Sans as matplotlib brings it along (it is not imported for this), else Pillow's own font."""
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin:
        path = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            # The basic layout needs no further library, so a label looks the same everywhere.
            return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


def _printable(text):
    """Control characters, which no font can draw, become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def _line_height(font_size):
    ascent, descent = _font(font_size).getmetrics()
    return ascent + descent + 1


def _broken(text, width, font_size):
    """Break a text into lines of at most `width` pixels, between words."""
    font = _font(font_size)
    lines = [""]
    for word in _printable(text).split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and font.getlength(longer) > width - 2 * _PAD:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shorten(line, width, font_size) for line in lines]


def _readable_on(background):
    """Black or white, whichever stands out more (by relative luminance)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (255, 255, 255)


def _colours_of_numbers(numbers):
    """A fixed, vivid colour for each whole number, float [N, 3]."""
    hue = (np.asarray(numbers, dtype=np.float64) * 0.6180339887498949 * 180) % 180  # golden ratio: spread out
    value = 255 - (np.asarray(numbers) * 37) % 90
    hsv = np.stack([hue, np.full(len(hue), 170.0), value], axis=1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.float64)
