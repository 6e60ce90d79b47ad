"""The report: links lead somewhere, numbers agree, data cannot break out of its text, foreign files are safe."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import numpy as np
import pytest

from rcnn_helpers.diagnosis import counts, diagnose, object_attributes, sensitivity, tide
from rcnn_helpers.diagnosis.examples import Examples, picture_of
from rcnn_helpers.diagnosis.report import MARK, write_report
from rcnn_helpers.diagnosis.report.elements import Markup, element, table
from rcnn_helpers.diagnosis.report.examples_pages import slugs
from rcnn_helpers.errors import DatasetError, DisplayError, StoreError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.images import read_image

EVIL = '<script>alert("x")</script>'
CLASSES = ("cat", EVIL)
BOXES = np.array([[20, 30, 90, 80], [110, 40, 180, 130]], dtype=np.float32)


class Tiny:
    """Two images with an object of each class; their pictures may be missing."""

    ids, classes = ("a & b", "c"), CLASSES
    has_pictures = True

    def image(self, image_id):
        if not self.has_pictures:
            raise DatasetError("there are annotations, but no pictures")
        return np.full((150, 200, 3), 90 if image_id == "c" else 200, np.uint8)

    def annotation(self, image_id):
        nothing = np.zeros(2, dtype=bool)
        return SimpleNamespace(
            image_id=image_id,
            height=150,
            width=200,
            names=CLASSES,
            boxes=BOXES,
            difficult=nothing,
            truncated=np.array([True, False]),
            occluded=nothing,
            poses=("Left", "Unspecified"),
        )


@pytest.fixture
def dataset():
    return Tiny()


@pytest.fixture
def diagnoses(dataset):
    """In the first image a right cat, its duplicate, and a wrong one on background; detectors with odd names."""
    found = Detections(
        dataset.ids,
        CLASSES,
        image_index=[0, 0, 0],
        class_index=[0, 0, 1],
        scores=[1.5, 0.5, 0.25],
        boxes=[BOXES[0], BOXES[0] + 2, [0, 100, 60, 150]],
    )
    return {EVIL: diagnose(found, dataset), "../b": diagnose(found, dataset)}


@pytest.fixture
def report(tmp_path, dataset, diagnoses):
    attributes = object_attributes(dataset)
    first = next(iter(diagnoses.values()))
    return write_report(
        tmp_path / "report",
        dataset,
        diagnoses,
        tides={name: tide(each.detections, each.truth) for name, each in diagnoses.items()},
        sensitivities={EVIL: sensitivity(first, attributes)},
        attributes=attributes,
        top=1,
    )


class Page(HTMLParser):
    """What a page links to and shows, and the tags that it opens."""

    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.tags, self.alts, self.text = path, [], [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag == "img":
            self.alts.append(attributes.get("alt", ""))

    def handle_data(self, data):
        self.text += data


def all_pages(index):
    return [Page(path) for path in sorted(index.parent.rglob("*.html"))]


def test_every_link_leads_to_a_file_of_the_report_and_every_page_is_reached(report):
    reached = {report}
    for page in all_pages(report):
        for link in page.links:
            assert not urlparse(link).scheme and not link.startswith("/"), link
            target = (page.path.parent / unquote(link)).resolve()
            assert target.is_file() and report.parent in target.parents, link
            reached.add(target)
    assert {page.path for page in all_pages(report)} <= reached
    assert set((report.parent / "pictures").iterdir()) <= reached


def test_there_is_no_script_and_data_stays_text(report):
    pages = all_pages(report)
    for page in pages:
        assert "script" not in page.tags and not any(tag.startswith("on") for tag in page.tags)
        assert "<script" not in page.path.read_text("utf-8")
    assert EVIL in pages[0].text or any(EVIL in page.text for page in pages)


def test_every_picture_is_described(report):
    alts = [alt for page in all_pages(report) for alt in page.alts]
    assert len(alts) > 8 and all(len(alt) > 20 for alt in alts)


def test_the_numbers_are_those_of_the_diagnosis(report, diagnoses):
    shown = Page(report).text
    totals = counts(diagnoses["../b"]).loc["cat"]
    assert totals["tp"] == 1 and totals["Loc"] == 1 and totals["missed"] == 1
    row = re.search(r"cat\d+\.\d(\d)(\d)(\d)(\d)(\d)(\d)(\d)", shown).groups()
    assert list(map(int, row)) == totals[["tp", "Loc", "Sim", "Oth", "BG", "ignored", "missed"]].tolist()


def test_a_page_says_score_reason_and_how_many_there_are(report, diagnoses):
    detector = slugs(diagnoses)["../b"]
    page = Page(report.parent / detector / "cat-loc.html")
    assert "1. score 0.50" in page.text and "a & b" in page.text and "Duplicate" in page.text
    assert "Shown: all 1" in page.text
    missed = Page(report.parent / detector / f"{slugs(CLASSES)[EVIL]}-missed.html")
    assert "Shown: 1 of 2, the most surprising first" in missed.text
    cats = Page(report.parent / detector / "cat-missed.html")
    assert "70 x 50 pixels" in cats.text and "The object: truncated, left." in cats.text


def test_without_pictures_the_boxes_stand_on_grey(tmp_path, dataset, diagnoses):
    dataset.has_pictures = False
    index = write_report(tmp_path / "grey", dataset, diagnoses)
    assert (picture_of(dataset, "c") == 110).all() and picture_of(dataset, "c").shape == (150, 200, 3)
    picture = read_image(next((index.parent / "pictures").iterdir()))
    assert np.abs(np.median(picture, axis=(0, 1)) - 110).max() < 6


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path, report, dataset, diagnoses):
    (report.parent / "stale.html").write_text("old")
    write_report(report.parent, dataset, diagnoses)
    assert not (report.parent / "stale.html").exists() and report.is_file()
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "photo.jpg").write_bytes(b"beach")
    with pytest.raises(StoreError, match="not an earlier report"):
        write_report(foreign, dataset, diagnoses)
    assert (foreign / "photo.jpg").read_bytes() == b"beach"
    with pytest.raises(StoreError, match="not an earlier report"):
        write_report(foreign / "photo.jpg", dataset, diagnoses)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert write_report(empty, dataset, diagnoses).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "holiday", "report"]


def test_a_report_that_fails_leaves_the_earlier_one(tmp_path, report, dataset, diagnoses, monkeypatch):
    before = report.read_bytes()

    def broken(image_id):
        raise OSError("the disk is gone")

    monkeypatch.setattr(dataset, "image", broken)
    with pytest.raises(StoreError):
        write_report(report.parent, dataset, diagnoses)
    assert report.read_bytes() == before and (report.parent / MARK).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"top": 0}, "one example a page"), ({"tides": {"other": None}}, "'other' is not among")],
)
def test_bad_input_is_refused(tmp_path, dataset, diagnoses, options, words):
    with pytest.raises(DisplayError, match=words):
        write_report(tmp_path / "report", dataset, diagnoses, **options)
    with pytest.raises(DisplayError, match="at least one detector"):
        write_report(tmp_path / "report", dataset, {})


def test_elements_escape_all_but_elements():
    inner = element("b", "1 < 2")
    assert inner == "<b>1 &lt; 2</b>" and isinstance(inner, Markup)
    assert element("p", inner, class_='a"b', aria_label=None) == '<p class="a&quot;b"><b>1 &lt; 2</b></p>'
    assert "<td>&amp;</td>" in table(("x", "y"), [("1", "&")], caption="c")


def test_names_of_files_are_plain_and_differ():
    found = slugs(["../etc", "etc", "Etc!", "", "日本"])
    assert all(re.fullmatch(r"[a-z0-9-]+", slug) for slug in found.values())
    assert len(set(found.values())) == 5


def test_an_example_shows_what_explains_it(diagnoses, dataset):
    examples = Examples(diagnoses["../b"])
    duplicate = examples.of_detection(1)
    assert duplicate.labels == ["cat 0.50", "truth: cat", "found before 1.50"]
    assert duplicate.boxes.tolist() == [(BOXES[0] + 2).tolist(), BOXES[0].tolist(), BOXES[0].tolist()]
    background = examples.of_detection(2)
    assert background.labels == [f"{EVIL} 0.25"] and "ackground" in background.words
    missed = examples.of_object(2)
    assert missed.image_id == "c" and missed.labels == ["missed cat"]
    assert missed.words == "No detection of cat in this image touches it."


def test_a_crop_holds_all_boxes_and_stays_in_the_picture(diagnoses):
    example = Examples(diagnoses["../b"]).of_detection(0)
    image = np.zeros((150, 200, 3), np.uint8)
    image[30:80, 20:90] = 255
    crop = example.crop(image, longest=300)
    assert max(crop.shape[:2]) == 300
    assert (crop > 200).all(axis=2).mean() > 0.15, "the object is large in it"
    assert example.picture(image).shape == (300, 400, 3)
