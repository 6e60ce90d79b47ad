"""The canvas and the sliders of the warp explorer follow each other; the canvas's script is tests/browser's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.widgets.box_canvas import BoxCanvas

SIDES = ("x1", "y1", "x2", "y2")
coordinate = st.integers(-300, 300)


def sides(explorer):
    return [explorer.controls[side].value for side in SIDES]


@pytest.fixture
def live(explorers):
    """A warp explorer whose canvas a browser has loaded, and the list of pictures it has sent since."""
    explorer = explorers["warp"]
    explorer.canvas.alive = True
    sent = []
    explorer.picture.observe(lambda change: sent.append(change.new), names="value")
    return explorer, sent


@given(st.tuples(coordinate, coordinate, coordinate, coordinate))
def test_every_box_ends_up_inside_the_picture_with_its_sides_in_order(box):
    canvas = BoxCanvas(width=200, height=150, box=[0, 0, 200, 150])
    canvas.box = list(box)
    x1, y1, x2, y2 = canvas.box
    assert 0 <= x1 < x2 <= 200 and 0 <= y1 < y2 <= 150
    inside = all(0 <= v <= limit for v, limit in zip(box, (200, 150, 200, 150), strict=True))
    if inside and box[0] < box[2] and box[1] < box[3]:
        assert canvas.box == list(box)


def test_without_a_browser_there_is_one_picture_with_everything_and_no_canvas(explorers):
    explorer = explorers["warp"]
    assert explorer.canvas.layout.display == "none"
    everything = explorer.picture.value
    explorer.canvas.alive = True
    assert explorer.canvas.layout.display is None
    assert len(explorer.picture.value) < 0.8 * len(everything)  # the crops alone


def test_a_box_drawn_on_the_canvas_moves_the_sliders_and_draws_once(live):
    explorer, sent = live
    explorer.canvas.box = [20, 30, 55, 80]
    assert sides(explorer) == [20, 30, 55, 80]
    assert "Box of 35 x 50 pixels, IoU 0.50" in explorer.text.value
    assert len(sent) == 1


def test_a_slider_moves_the_box_on_the_canvas_and_draws_once(live):
    explorer, sent = live
    explorer.controls["x2"].value = 55
    assert explorer.canvas.box == [20, 30, 55, 80]
    assert len(sent) == 1
    explorer.controls["x1"].value = 60  # past the right side
    assert explorer.canvas.box == [55, 30, 60, 80]
    assert sides(explorer) == [60, 30, 55, 80], "the sliders stay where they were put"
    assert len(sent) == 2


def test_choosing_an_object_moves_sliders_and_box_and_draws_once(live):
    explorer, sent = live
    explorer.controls["object"].value = 1
    assert sides(explorer) == explorer.canvas.box == [110, 40, 180, 130]
    assert len(sent) == 1


def test_the_canvas_shows_the_object_and_what_the_crop_reads(live):
    explorer, _ = live
    window, truth = explorer.canvas.outlines
    assert (truth["look"], truth["box"]) == ("truth", [20, 30, 90, 80])
    assert window["look"] == "window"
    left, top, right, bottom = window["box"]
    assert left < 20 and top < 30 and right > 90 and bottom > 80  # padding looks beyond the box
    explorer.controls["padding"].value = 0
    assert explorer.canvas.outlines[0]["box"] == [20, 30, 90, 80]


def test_an_error_after_a_drag_is_raised_and_told(live, monkeypatch):
    explorer, _ = live
    monkeypatch.setattr(explorer, "mean", "grey")
    with pytest.raises(ValueError):
        explorer.canvas.box = [20, 30, 55, 80]
    assert 'role="alert"' in explorer.text.value


def test_the_static_twin_is_the_same_with_and_without_a_browser(explorers):
    explorer = explorers["warp"]
    before = explorer.render()
    explorer.canvas.alive = True
    assert (explorer.render() == before).all()
    assert np.array_equal(explorer.render(object=0), before)
