"""The explorers of units in real JupyterLab: cells clicked, keys pressed, a box drawn, photographs uploaded.

The screenshots go to the folder named by RCNN_SCREENSHOTS: look at them after a change.
"""

import io

import numpy as np
import pytest
from jupyter_lab import picture_bytes
from PIL import Image

pytestmark = pytest.mark.browser

NAME = "unit_explorers.ipynb"
INDEXES = """
import numpy as np
from rcnn_helpers import widgets
from rcnn_helpers.course.workspace import Course
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals.random_boxes import random_boxes
from rcnn_helpers.units import build_index

pictures = Course(progress=False).test
rng = np.random.default_rng(0)
boxes = {name: random_boxes(*pictures.image(name).shape[:2], 60, rng=rng) for name in pictures.ids}
network = load_network("quarter_tnet")
index = build_index(pictures, boxes, network=network, progress=False)
untrained = load_network("quarter_tnet", weights="random", n_classes=2)
other = build_index(pictures, boxes, network=untrained, progress=False)
"""
CELLS = (
    INDEXES,
    "widgets.UnitExplorer(index, pictures, unit=(17, 2, 3))",
    'widgets.UnitExplorer(index, pictures, other=other, name="trained", other_name="untrained")',
    "widgets.ExcitedUnitsExplorer(network, pictures, index)",
)


@pytest.fixture
def explorers(explorers_of):
    found = explorers_of(NAME, CELLS)
    assert len(found) == 3
    return found


def test_cells_are_clicked_and_walked_over_by_keys(lab, explorers):
    explorer = explorers[0]
    grid, regions = explorer.output.get_by_role("grid").all()
    assert grid.get_by_role("gridcell").count() == 36
    assert "channel 17, row 2, column 3" in explorer.words()
    lab.screenshot("1-unit", of=explorer.output)

    grid.get_by_role("gridcell").nth(6 * 4 + 1).click()
    explorer.wait_for_words("row 4, column 1")
    before = picture_bytes(explorer.picture)
    lab.page.keyboard.press("ArrowUp")
    explorer.wait_for_words("row 3, column 1")
    assert lab.wait(lambda: picture_bytes(explorer.picture) != before, 20)
    milliseconds = lab.page.evaluate("() => pictureClock.shown - pictureClock.pressed")
    print(f"from key to picture: {milliseconds:.0f} ms")
    lab.page.keyboard.press("PageDown")
    explorer.wait_for_words("channel 18, row 3, column 1")
    assert lab.page.evaluate("document.activeElement.getAttribute('role')") == "gridcell"
    lab.screenshot("2-by-keys", of=explorer.output)

    regions.get_by_role("gridcell").nth(3).click()
    explorer.wait_for_words("Region 4, in image")
    lab.page.keyboard.press("ArrowRight")
    explorer.wait_for_words("Region 5, in image")
    lab.screenshot("3-another-region", of=explorer.output)

    explorer.output.get_by_role("button", name="next most similar channel").click()
    said = explorer.output.get_by_text("is number 1 in likeness to channel 18")
    said.wait_for()
    explorer.use_every_control()
    with lab.window(1280, 720):
        lab.check_widths()
        lab.screenshot("4-projector", of=explorer.output)


def test_two_networks_side_by_side(lab, explorers):
    explorer = explorers[1]
    _, trained, untrained = explorer.output.get_by_role("grid").all()
    assert "The same unit, untrained:" in explorer.words()
    lab.screenshot("5-two-networks", of=explorer.output)
    untrained.get_by_role("gridcell").nth(2).click()
    explorer.wait_for_words("Region 3, untrained")
    assert trained.locator("[aria-selected=true]").count() == 0
    trained.get_by_role("gridcell").nth(2).click()  # the same number in the other sheet
    explorer.wait_for_words("Region 3, trained")
    trained.get_by_role("gridcell").nth(1).click()
    explorer.wait_for_words("Region 2, trained")
    lab.page.keyboard.press("+")
    explorer.wait_for_words("channel 1, row 3")
    with lab.window(1280, 720):
        lab.check_widths()
        lab.screenshot("6-two-networks-projector", of=explorer.output)


def photograph(height, width, kind="JPEG", mode="RGB"):
    y, x = np.mgrid[:height, :width]
    stripes = 128 + 120 * np.sin(x / 9) * np.cos(y / 14)
    colours = np.stack([stripes, np.full_like(stripes, 90), 255 - stripes], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def test_a_box_is_drawn_and_photographs_are_uploaded(lab, explorers):
    explorer = explorers[2]
    lab.screenshot("7-excited", of=explorer.output)
    by_sliders = explorer.readouts()
    assert explorer.draw_box() != by_sliders
    explorer.move_box_by_key()
    lab.screenshot("8-box-drawn", of=explorer.output)

    def upload(name, content):
        with lab.page.expect_file_chooser() as chooser:
            explorer.output.get_by_role("button", name="your photograph").click()
        chooser.value.set_files({"name": name, "mimeType": "image/jpeg", "buffer": content})

    upload("mine.jpg", photograph(300, 400))
    explorer.wait_for_words("in your photograph 1: mine.jpg")
    explorer.draw_box()
    lab.screenshot("9-uploaded", of=explorer.output)
    for mode in ("L", "CMYK"):
        upload(f"{mode}.jpg", photograph(200, 300, mode=mode))
        explorer.wait_for_words(f"{mode}.jpg")
    upload("large.jpg", photograph(2000, 3000))
    explorer.wait_for_words("large.jpg")
    upload("notes.jpg", b"no picture at all")
    refusal = explorer.output.get_by_role("alert")
    refusal.wait_for()
    assert "notes.jpg is not an image this program can read" in refusal.text_content()
    lab.screenshot("10-refused", of=explorer.output)
    explorer.use_every_control()
    with lab.window(1280, 720):
        lab.check_widths()
        lab.screenshot("11-projector", of=explorer.output)
