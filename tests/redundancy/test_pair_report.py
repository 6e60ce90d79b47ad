"""The report of pairs: a table, a picture and a page, in which nothing of a file name is code."""

import csv
import html.parser

import numpy as np
import pytest
from drawn_pictures import drawn

from rcnn_helpers.errors import DisplayError, StoreError
from rcnn_helpers.images import read_image, write_image
from rcnn_helpers.redundancy import fingerprints, near_duplicates, open_pictures
from rcnn_helpers.redundancy.report import in_words, pair_sheet, write_report

STRANGE = 'a <b> & "c".png'


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    a, b = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    for number in range(3):
        write_image(a / f"{number}.png", drawn(number, 60, 90))
        write_image(b / f"{10 + number}.png", drawn(10 + number, 80, 60))
    write_image(a / STRANGE, drawn(5))
    write_image(b / STRANGE, drawn(5))
    prints = [fingerprints(open_pictures(folder)) for folder in (a, b)]
    return near_duplicates(*prints, k=2), *(each.pictures for each in prints)


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.alts, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.alts += [value for key, value in attributes if key == "alt"]

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_a_table_a_picture_and_a_page(compared, tmp_path):
    frame, a, b = compared
    page = write_report(tmp_path / "out", frame, a, b, top=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html",
        "pairs.csv",
        "pairs.jpg",
    ]
    with open(tmp_path / "out" / "pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(frame) == 8
    assert rows[0]["a"] == rows[0]["b"] == STRANGE and rows[0]["same_file"] == "True"
    assert "row_a" not in rows[0]
    parsed = Tags(page.read_text(encoding="utf-8"))
    assert parsed.tags.count("img") == 6 and parsed.tags.count("figure") == 3
    assert parsed.alts[:2] == [STRANGE, STRANGE] and "b" not in parsed.tags
    assert any("distance 0.000, same file" in words for words in parsed.words)
    assert read_image(tmp_path / "out" / "pairs.jpg").shape[2] == 3
    write_report(tmp_path / "out", frame.head(0), a, b)
    assert "img" not in Tags(page.read_text(encoding="utf-8")).tags, "the same folder can be written again"


def test_the_sheet_shows_the_pairs_side_by_side(compared):
    frame, a, b = compared
    sheet = pair_sheet(frame, a, b, top=1, columns=1, height=60)
    left, right = np.array_split(sheet[:70], 2, axis=1)
    assert np.abs(left.mean(axis=(0, 1)) - right.mean(axis=(0, 1))).max() < 3, "one picture, twice"
    assert pair_sheet(frame, a, b, top=4).shape[0] > pair_sheet(frame, a, b, top=2).shape[0]


def test_a_pair_in_words(compared):
    frame = compared[0].assign(mirrored=True)
    first, last = [next(part.itertuples()) for part in (frame.head(1), frame.tail(1))]
    assert in_words(first) == "distance 0.000, same file, mirrored"
    assert in_words(last) == f"distance {frame.distance.iloc[-1]:.3f}, mirrored"


def test_what_cannot_be_written_is_refused(compared, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        write_report(tmp_path / "file", *compared)
    with pytest.raises(DisplayError, match="0 pairs"):
        pair_sheet(*compared, top=0)
