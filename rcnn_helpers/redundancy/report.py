"""Pairs as files to look at: a table, a picture of the best ones, and a page that shows them side by side."""

import base64
import html
import io
from pathlib import Path

import numpy as np

from rcnn_helpers.drawing import fit, montage
from rcnn_helpers.errors import DisplayError, StoreError
from rcnn_helpers.images import write_image
from rcnn_helpers.redundancy.pairs import IDENTITIES
from rcnn_helpers.redundancy.pictures import PictureSet
from rcnn_helpers.storage import atomic_write

_IN_WORDS = {"source": "same id at the source", "file": "same file", "pixels": "same pixels"}
_STYLE = """
body { font: 16px/1.4 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
figure { margin: 0 0 2em } figure img { max-width: 49%; vertical-align: top } figcaption { margin-top: .3em }
"""


def in_words(pair) -> str:
    """What is known of a pair: its distance, and in which ways the two are the same.

    Parameters
    ----------
    pair : row of the frame of `near_duplicates`, as ``itertuples`` gives it
    """
    parts = [f"distance {pair.distance:.3f}"]
    same = [what for what in IDENTITIES if getattr(pair, f"same_{what}")]
    parts += [_IN_WORDS[what] for what in same if not (what == "pixels" and "file" in same)]
    return ", ".join(parts + (["mirrored"] if pair.mirrored else []))


def pair_sheet(frame, a: PictureSet, b: PictureSet, *, top: int = 12, columns: int = 2, height: int = 150):
    """Draw the first pairs of a frame on one sheet, each with its names and distance.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `near_duplicates` of these sets.
    a, b : PictureSet
    top : int
        Pairs shown.
    columns : int
        Pairs in a row.
    height : int
        Of each picture, in pixels.

    Returns
    -------
    uint8 array of shape [H, W, 3]
    """
    if top < 1 or columns < 1:
        raise DisplayError(f"{top} pairs in {columns} columns cannot be drawn; both are 1 or more")
    crops, captions = [], []
    for pair in frame.head(top).itertuples():
        crops += [a.image(pair.row_a), b.image(pair.row_b)]
        captions += [pair.a, f"{pair.b}\n{in_words(pair)}"]
    return montage(crops, captions, columns=2 * columns, cell=(height, round(1.4 * height)))


def write_report(folder, frame, a: PictureSet, b: PictureSet, *, top: int = 50) -> Path:
    """Write ``pairs.csv``, ``pairs.jpg`` and ``index.html`` into a folder; files of these names are replaced.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    frame : pandas.DataFrame
        From `near_duplicates`; all of it goes into the table.
    a, b : PictureSet
    top : int
        Pairs on the page; the picture shows the first 12 of them.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    StoreError
        If `folder` is a file, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file; name a folder for the report")
    table = frame.drop(columns=["row_a", "row_b"]).to_csv(index=False)
    atomic_write(folder / "pairs.csv", lambda file: file.write(table.encode()))
    write_image(folder / "pairs.jpg", pair_sheet(frame, a, b, top=min(top, 12)), quality=85)
    page = _page(frame, a, b, top)
    atomic_write(folder / "index.html", lambda file: file.write(page.encode()))
    return folder / "index.html"


def _page(frame, a, b, top) -> str:
    shown = min(top, len(frame))
    title = f"Near-duplicates of {a.name} in {b.name}"
    figures = "\n".join(
        f"<figure>{_thumbnail(a.image(pair.row_a), pair.a)} {_thumbnail(b.image(pair.row_b), pair.b)}"
        f"<figcaption>{rank}. {html.escape(pair.a)} and {html.escape(pair.b)}: {in_words(pair)}</figcaption>"
        "</figure>"
        for rank, pair in enumerate(frame.head(top).itertuples(), start=1)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n"
        f"<p>{len(a):,} pictures against {len(b):,}. The first {shown} of {len(frame):,} pairs, the likeliest "
        f'first; all of them stand in <a href="pairs.csv">pairs.csv</a>.</p>\n{figures}\n</body></html>\n'
    )


def _thumbnail(image, name: str) -> str:
    from PIL import Image

    coded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(fit(image, 260, 400))).save(coded, "JPEG", quality=80)
    data = base64.b64encode(coded.getvalue()).decode()
    return f'<img alt="{html.escape(name, quote=True)}" src="data:image/jpeg;base64,{data}">'
