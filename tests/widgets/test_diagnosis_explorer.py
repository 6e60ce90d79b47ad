"""What the explorer of a diagnosis shows and says; its chart's script is tests/browser's."""

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.diagnosis import counts, diagnose
from rcnn_helpers.errors import DatasetError, DisplayError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.widgets.bar_chart import BarChart, draw_bars
from rcnn_helpers.widgets.diagnosis import KINDS

ALL = float("inf")
BARS = [
    {
        "key": "a",
        "label": "A",
        "value": 3,
        "text": "3",
        "colour": "#0072B2",
        "pattern": "plain",
        "title": "A",
    },
    {"key": "b", "label": "B", "value": 0, "text": "0", "colour": "#E69F00", "pattern": "dots", "title": "B"},
]


@pytest.fixture
def explorer(explorers):
    return explorers["diagnosis"]


@pytest.fixture
def live(explorer):
    """An explorer whose chart a browser has loaded, and the list of pictures it has sent since."""
    explorer.chart.alive = True
    sent = []
    explorer.picture.observe(lambda change: sent.append(change.new), names="value")
    return explorer, sent


def values(explorer):
    return {bar["key"]: bar["value"] for bar in explorer.chart.bars}


def test_the_bars_are_the_counts_of_the_diagnosis(explorer, diagnosis):
    explorer.controls["among"].value = ALL
    for name in ("", "cat", "dog"):
        explorer.controls["name"].value = name
        table = counts(diagnosis)
        wanted = table.sum() if name == "" else table.loc[name]
        assert values(explorer) == {kind: wanted[kind] for kind in KINDS}


def test_only_the_best_detections_of_each_class_count(explorer):
    # Two objects a class: half as many detections are one a class, the right cat and the wrong dog.
    explorer.controls["among"].value = 0.5
    assert values(explorer) == {"tp": 1, "Loc": 0, "Sim": 0, "Oth": 0, "BG": 1, "missed": 3}
    assert "number 1 of 3 of missed" in explorer.describe(kind="missed")
    # The dog of image b is found by the second dog; it comes after the two that nothing finds.
    assert "Image b. " in explorer.describe(kind="missed", rank=3)
    assert "It is found with an IoU of 1.00, but only at a score of -0.50." in explorer.describe(
        kind="missed", rank=3
    )


def test_an_example_says_image_score_and_reason(explorer):
    words = explorer.describe("first", "cat", ALL, "Loc", 1)
    assert "first, cat, counting all detections: number 1 of 1 of Loc" in words
    assert "Image a, score 0.50." in words and "Duplicate" in words
    assert "no example of Sim" in explorer.describe("first", "cat", ALL, "Sim")
    assert "No detection of dog in this image touches it." in explorer.describe("first", "dog", ALL, "missed")


def test_a_bar_chosen_in_the_chart_moves_the_list_and_draws_once(live):
    explorer, sent = live
    explorer.controls["rank"].value = 2
    sent.clear()
    explorer.chart.selected = "BG"
    assert explorer.controls["kind"].value == "BG"
    assert explorer.controls["rank"].value == 1, "another bar begins with its best-scored example"
    assert "of BG (on background)" in explorer.text.value
    assert len(sent) == 1


def test_the_list_moves_the_chart_and_draws_once(live):
    explorer, sent = live
    explorer.controls["kind"].value = "Loc"
    assert explorer.chart.selected == "Loc"
    assert len(sent) == 1


def test_with_a_browser_the_picture_is_without_the_bars(explorer):
    everything = explorer.picture.value
    assert explorer.chart.layout.display == "none"
    explorer.chart.alive = True
    assert explorer.chart.layout.display is None
    assert len(explorer.picture.value) < len(everything)


def test_a_single_detector_is_no_choice(dataset, diagnosis):
    explorer = widgets.DiagnosisExplorer(dataset, {"only": diagnosis})
    assert explorer.controls["detector"].layout.display == "none"
    assert explorer.controls["kind"].value in ("Loc", "BG"), "the most frequent type comes first"


def test_a_class_that_one_detector_does_not_know_has_empty_bars(dataset, diagnosis, detections):
    only_cats = Detections(("a", "b"), ("cat",), [0], [0], [1.0], detections.boxes[:1])
    explorer = widgets.DiagnosisExplorer(dataset, {"both": diagnosis, "cats": diagnose(only_cats, dataset)})
    explorer.controls["name"].value = "dog"
    explorer.controls["detector"].value = "cats"
    assert set(values(explorer).values()) == {0}
    assert "no example of" in explorer.text.value


def test_without_pictures_the_boxes_stand_on_grey(dataset, diagnosis, monkeypatch):
    class Sized:
        height, width = 150, 200

    def no_picture(image_id):
        raise DatasetError("there are annotations, but no pictures")

    monkeypatch.setattr(dataset, "image", no_picture)
    monkeypatch.setattr(dataset, "annotation", lambda image_id: Sized)
    explorer = widgets.DiagnosisExplorer(dataset, {"only": diagnosis}, kind="tp")
    explorer.chart.alive = True
    picture = explorer._draw(**explorer._values())[0]
    assert (picture == 110).all(axis=2).any()


def test_nothing_to_explore_is_refused(dataset):
    with pytest.raises(DisplayError, match="at least one diagnosis"):
        widgets.DiagnosisExplorer(dataset, {})


def test_the_chart_refuses_bars_that_cannot_be_told_apart_or_drawn():
    with pytest.raises(DisplayError, match="a key of its own"):
        BarChart(bars=[BARS[0], BARS[0]])
    with pytest.raises(DisplayError, match="from 0 on"):
        BarChart(bars=[BARS[0] | {"value": float("nan")}])


def test_drawn_bars_are_as_high_as_their_values_and_the_chosen_one_is_framed():
    picture = draw_bars(BARS, "a")
    blue = (picture == [0x00, 0x72, 0xB2]).all(axis=2)
    assert blue.any(axis=1).sum() == 150 and blue.any(axis=0).sum() == 64
    orange = (picture == [0xE6, 0x9F, 0x00]).all(axis=2)
    assert orange.any(axis=1).sum() <= 1
    black = (picture == 0).all(axis=2).sum()
    assert (draw_bars(BARS, "neither") == 0).all(axis=2).sum() < black - 300
    assert np.array_equal(draw_bars([], ""), draw_bars([], "a"))
