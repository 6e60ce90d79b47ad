"""The explorer of a diagnosis in real JupyterLab: bars clicked and walked over by keys.

The screenshots go to the folder named by RCNN_SCREENSHOTS: look at them after a change.
"""

import pytest
from jupyter_lab import picture_bytes

pytestmark = pytest.mark.browser

NAME = "diagnosis_explorer.ipynb"
# Detections made from the objects: most of them right, some too large, some called by the name of another class.
DIAGNOSIS = """
import numpy as np
from rcnn_helpers import widgets
from rcnn_helpers.course.workspace import Course
from rcnn_helpers.diagnosis import diagnose
from rcnn_helpers.evaluation import Detections, collect_ground_truth

pictures = Course(progress=False).test
truth = collect_ground_truth(pictures)
rng = np.random.default_rng(0)

def detector(share_right):
    larger = rng.choice([0, 9], (len(truth), 1)) * np.array([-1, -1, 1, 1])
    names = np.where(rng.random(len(truth)) < share_right, truth.class_index, 0)
    scores = rng.random(len(truth))
    return Detections(truth.image_ids, truth.classes, truth.image_index, names, scores, truth.boxes + larger)

diagnoses = {name: diagnose(detector(share), truth) for name, share in (("good", 0.9), ("bad", 0.4))}
"""
CELLS = (DIAGNOSIS, 'widgets.DiagnosisExplorer(pictures, diagnoses, among=float("inf"))')


@pytest.fixture
def explorer(explorers_of):
    [found] = explorers_of(NAME, CELLS)
    return found


def test_bars_are_clicked_and_walked_over_by_keys(lab, explorer):
    chart = explorer.output.get_by_role("listbox")
    chart.wait_for()
    lab.screenshot("1-shown", of=explorer.output)
    kinds = ["tp", "Loc", "Sim", "Oth", "BG", "missed"]
    options = chart.get_by_role("option")
    assert [option.get_attribute("data-key") for option in options.all()] == kinds

    before = picture_bytes(explorer.picture)
    options.nth(0).click()
    explorer.wait_for_words("of tp (right)")
    assert lab.wait(lambda: picture_bytes(explorer.picture) != before, 20)
    lab.screenshot("2-clicked", of=explorer.output)
    cell = lab.page.locator(".jp-Notebook .jp-Cell.jp-mod-active").element_handle()
    before = picture_bytes(explorer.picture)
    lab.page.keyboard.press("ArrowRight")
    explorer.wait_for_words("of Loc (poor location or duplicate)")
    assert lab.wait(lambda: picture_bytes(explorer.picture) != before, 20)
    milliseconds = lab.page.evaluate("() => pictureClock.shown - pictureClock.pressed")
    print(f"from key to picture: {milliseconds:.0f} ms")
    lab.screenshot("3-by-key", of=explorer.output)
    lab.page.keyboard.press("End")
    explorer.wait_for_words("of missed")
    active = lab.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    assert active.evaluate("(node, before) => node === before", cell), "JupyterLab stays at its cell"
    assert chart.evaluate("node => node === document.activeElement"), "the chart keeps the focus"

    explorer.output.locator("select").nth(0).select_option("bad")
    explorer.wait_for_words("bad, all classes")
    options.nth(3).click()
    explorer.wait_for_words("of Oth (confused with another class)")
    rank = explorer.sliders()[-1]
    keys = [explorer.move_by_key(rank) for _ in range(3)]
    print(f"next example: {min(keys):.0f} to {max(keys):.0f} ms")
    lab.screenshot("4-bad-detector", of=explorer.output)
    explorer.use_every_control()
    with lab.window(1280, 720):
        lab.check_widths()
        lab.screenshot("5-projector", of=explorer.output)
