"""Explorers: every control redraws, what is shown is right, static twins equal the widget, errors surface."""

import io
import re
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rcnn_helpers import widgets
from rcnn_helpers.drawing import rgb
from rcnn_helpers.evaluation import Detections, evaluate

BOXES = np.array([[20, 30, 90, 80], [110, 40, 180, 130]], dtype=np.float32)
NAMES = ("cat", "dog")


class TinyDataset:
    """Two images of 200 x 150 pixels, each with a cat and a dog."""

    ids = ("a", "b")
    classes = NAMES

    def image(self, image_id):
        return np.random.default_rng(ord(image_id)).integers(0, 256, (150, 200, 3), dtype=np.uint8)

    def annotation(self, image_id):
        return SimpleNamespace(names=NAMES, boxes=BOXES, difficult=np.zeros(2, dtype=bool))


@pytest.fixture
def dataset():
    return TinyDataset()


@pytest.fixture
def image(dataset):
    return dataset.image("a")


@pytest.fixture
def tree():
    """Four quarters of a 150 x 200 image; the left two merge, then the right two, then all."""
    segments = np.zeros((150, 200), dtype=np.int32)
    segments[75:, :100], segments[:75, 100:], segments[75:, 100:] = 1, 2, 3
    children = np.array([[0, 1], [2, 3], [4, 5]])
    ancestors = {0: (0, 4, 6), 1: (1, 4, 6), 2: (2, 5, 6), 3: (3, 5, 6)}

    def labels_after(n_merges):
        owner = [max(node for node in ancestors[leaf] if node < 4 + n_merges) for leaf in range(4)]
        return np.array(owner)[segments]

    quarters = [[0, 0, 100, 75], [0, 75, 100, 150], [100, 0, 200, 75], [100, 75, 200, 150]]
    return SimpleNamespace(
        n_segments=4,
        segments=segments,
        children=children,
        similarity=np.array([0.9, 0.8, 0.3]),
        boxes=np.array([*quarters, [0, 0, 100, 150], [100, 0, 200, 150], [0, 0, 200, 150]], dtype=np.float32),
        sizes=np.array([7500] * 4 + [15000] * 2 + [30000]),
        labels_after=labels_after,
    )


@pytest.fixture
def detections():
    """In image a: a right cat, its duplicate, and a wrong dog; in b: a right dog."""
    return Detections(
        ("a", "b"),
        NAMES,
        image_index=[0, 0, 0, 1],
        class_index=[0, 0, 1, 1],
        scores=[1.5, 0.5, 0.25, -0.5],
        boxes=[BOXES[0], BOXES[0] + 2, [0, 100, 60, 150], BOXES[1]],
    )


@pytest.fixture
def evaluation(dataset, detections):
    return evaluate(detections, dataset)


@pytest.fixture
def hardest():
    rows = [("cat", i, 3 - k / 10, 10 * k, 5, 10 * k + 40, 60) for k, i in enumerate("abab")]
    rows += [("dog", "b", 0.5, 0, 0, 50, 50)]
    return pd.DataFrame(rows, columns=["class", "image_id", "score", "x1", "y1", "x2", "y2"])


@pytest.fixture
def explorers(dataset, image, tree, detections, evaluation, hardest, rng):
    proposals = np.concatenate([BOXES + 30, BOXES + 4, BOXES])
    scores = np.stack([np.linspace(-1, 1, 6), np.linspace(1, -1, 6)], axis=1)
    pool5 = np.maximum(rng.normal(size=(6, 5, 6, 6)), 0)
    return {
        "merge": widgets.MergeScrubber(image, tree),
        "proposals": widgets.ProposalBrowser(image, proposals, BOXES, NAMES),
        "warp": widgets.WarpExplorer(image, BOXES, NAMES, size=64),
        "features": widgets.FeatureExplorer(image, proposals, pool5),
        "negatives": widgets.HardNegativeBrowser(dataset, hardest, n_shown=3),
        "detections": widgets.DetectionExplorer(dataset, detections, evaluation),
        "suppression": widgets.SuppressionExplorer(image, proposals, scores, NAMES, truth=BOXES, names=NAMES),
        "curve": widgets.PrecisionRecallExplorer(dataset, detections, evaluation),
    }


def another_value(control):
    if hasattr(control, "options"):
        return next((o[1] if isinstance(o, tuple) else o for o in control.options[1:]), None)
    if isinstance(control.value, bool):
        return not control.value
    return control.min if control.value != control.min else control.max


def everything_in(container):
    parts = [part for child in getattr(container, "children", ()) for part in everything_in(child)]
    return [container, *parts]


def test_every_explorer_shows_a_jpeg_and_says_in_words_what_it_shows(explorers):
    for name, explorer in explorers.items():
        assert Image.open(io.BytesIO(explorer.picture.value)).format == "JPEG", name
        assert 'role="status"' in explorer.text.value
        assert len(explorer.describe()) > 20
        assert explorer.picture in everything_in(explorer)


def test_every_control_redraws_and_agrees_with_the_static_twin(explorers):
    for name, explorer in explorers.items():
        for key, control in explorer.controls.items():
            value = another_value(control)
            if value is None:
                continue
            old, before = control.value, (explorer.picture.value, explorer.text.value)
            twin = explorer.render(**{key: value})
            words = explorer.describe(**{key: value})
            assert (explorer.picture.value, explorer.text.value) == before, "a static twin moves nothing"
            control.value = value
            assert (explorer.picture.value, explorer.text.value) != before, (name, key)
            assert explorer.describe() == words
            assert (explorer.render() == twin).all()
            assert twin.dtype == np.uint8 and twin.ndim == 3
            control.value = old
            assert (explorer.picture.value, explorer.text.value) == before, (name, key)


def test_controls_are_plain_and_work_by_keyboard(explorers):
    plain = (ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.Dropdown, ipywidgets.Checkbox)
    for explorer in explorers.values():
        for control in explorer.controls.values():
            assert isinstance(control, plain)
            assert control.description


def test_an_error_while_redrawing_reaches_whoever_moved_the_control(explorers, monkeypatch):
    explorer = explorers["merge"]

    def broken(**state):
        raise RuntimeError("cannot draw")

    monkeypatch.setattr(explorer, "_draw", broken)
    with pytest.raises(RuntimeError, match="cannot draw"):
        explorer.controls["n_merges"].value = 1


def test_values_of_static_twins_are_checked(explorers):
    with pytest.raises(ValueError, match="n_merges is 9; it goes from 0 to 3"):
        explorers["merge"].render(9)
    with pytest.raises(ValueError, match="mode is 'round'; choose one of"):
        explorers["warp"].render(mode="round")
    with pytest.raises(TypeError, match="control 'colour' is unknown"):
        explorers["merge"].render(colour=1)
    with pytest.raises(TypeError, match="2 values given"):
        explorers["merge"].render(1, 2)
    with pytest.raises(TypeError, match="given twice"):
        explorers["merge"].render(1, n_merges=2)


def test_merge_scrubber_outlines_what_is_joined_next(explorers):
    scrubber = explorers["merge"]
    assert "4 regions after 0 of 3 merges" in scrubber.describe(0)
    assert "7500 and 7500 pixels" in scrubber.describe(0) and "similarity 0.90" in scrubber.describe(0)
    assert "15000 and 15000" in scrubber.describe(2)
    assert scrubber.describe(3) == "1 region after 3 of 3 merges. All is one."
    picture = scrubber.render(0)[:300]  # the image is shown twice as large
    yellow = (picture == rgb("yellow")).all(axis=2)
    assert yellow[:150, :200].sum() > 100 and not yellow[:, 210:].any()


def test_merge_scrubber_shows_an_image_that_was_shrunk_for_the_search(tree):
    big = np.zeros((300, 400, 3), np.uint8)
    assert "4 regions" in widgets.MergeScrubber(big, tree).describe(0)


def test_proposal_browser_finds_the_best_box_for_each_object(explorers):
    browser = explorers["proposals"]
    assert "cover 0 of 2 objects" in browser.describe(2)
    assert "cover 2 of 2 objects" in browser.describe(4)
    assert "average best overlap is 1.00" in browser.describe(6)
    assert (
        "There are no objects" in widgets.ProposalBrowser(np.zeros((9, 9, 3), np.uint8), BOXES, []).describe()
    )


def test_warp_explorer_jumps_to_an_object_and_redraws_once(explorers, monkeypatch):
    explorer = explorers["warp"]
    drawn = []
    draw = explorer._draw
    monkeypatch.setattr(explorer, "_draw", lambda **state: drawn.append(state) or draw(**state))
    explorer.controls["object"].value = 1
    assert [explorer.controls[side].value for side in ("x1", "y1", "x2", "y2")] == [110, 40, 180, 130]
    assert drawn[-1] == {"object": 1, "mode": "warp", "padding": 16, "fill": "mean", "x1": 110, "y1": 40} | {
        "x2": 180,
        "y2": 130,
    }
    assert len(drawn) == 1
    assert "70 x 90 pixels, IoU 1.00" in explorer.describe()
    assert "70 x 50 pixels, IoU 1.00" in explorer.describe(0)
    assert "IoU 0.50" in explorer.describe(object=0, x1=20, y1=30, x2=55, y2=80)
    assert "IoU 0.50" in explorer.describe(object=0, x1=55, y1=80, x2=20, y2=30)  # sides crossed over


def test_warp_explorer_shows_what_the_mode_reads(explorers):
    # Of 64 pixels 2 x 16 are padding, so the window is about twice the box of 70 x 50 (up to a pixel of rounding).
    words = explorers["warp"].describe(0, "warp", 16)
    width, height = map(int, re.search(r"shows (\d+) x (\d+) pixels", words).groups())
    assert abs(width - 140) <= 1 and abs(height - 100) <= 1
    words = explorers["warp"].describe(0, "square_context", 16)
    width, height = map(int, re.search(r"shows (\d+) x (\d+) pixels", words).groups())
    assert abs(width - 140) <= 1 and height == width


def test_feature_explorer_shows_the_strongest_regions(image, rng):
    pool5 = np.zeros((3, 2, 6, 6))
    pool5[1, 1, 2, 3] = 7.5
    boxes = [[0, 0, 50, 50], [60, 60, 120, 120], [150, 0, 190, 40]]
    explorer = widgets.FeatureExplorer(image, boxes, pool5)
    assert "33% of 3 regions" in explorer.describe(1)
    assert "0% of 3 regions" in explorer.describe(0)
    with pytest.raises(ValueError, match="feature_shape"):
        widgets.FeatureExplorer(image, boxes, pool5.reshape(3, -1))


def test_hard_negatives_page_by_page_and_round_by_round(explorers, dataset, hardest):
    browser = explorers["negatives"]
    assert "Hard negative 4 of 4 for cat, in image b: SVM score 2.70" in browser.describe("cat", 4)
    assert "Hard negative 1 of 1 for dog" in browser.describe("dog", 4)
    rounds = pd.concat([hardest.assign(round=1), hardest[hardest["class"] == "cat"].assign(round=2)])
    browser = widgets.HardNegativeBrowser(dataset, rounds)
    assert "no hard negatives of class dog in round 2" in browser.describe("dog", 1, 2)
    assert "Hard negative 1 of 1" in browser.describe("dog", 1, 1)


def test_detection_explorer_counts_right_wrong_and_found(explorers):
    explorer = explorers["detections"]
    assert "1 right and 2 wrong detections; 1 of 2 objects found" in explorer.describe(0.0, "a")
    assert "1 right and 0 wrong detections; 1 of 2 objects found" in explorer.describe(1.0, "a")
    assert "0 right and 1 wrong detections; 0 of 1 objects found" in explorer.describe(0.0, "a", "dog")
    assert "1 right and 0 wrong" in explorer.describe(-0.5, "b")
    picture = explorer.render(0.0, "a")
    for colour in ("green", "orange", "vermillion", "purple"):  # right, duplicate, wrong, missed
        assert (picture == rgb(colour)).all(axis=2).any(), colour


def test_suppression_explorer_counts_kept_and_dropped(explorers):
    explorer = explorers["suppression"]
    # Boxes 4 and 5 are the objects, 2 and 3 overlap them by IoU 0.77, 0 and 1 by 0.13 and 0.23.
    assert "6 of 6 regions" in explorer.describe("cat", -1.0, 0.5)
    assert "keeps 4 (solid) and drops 2 (dotted)" in explorer.describe("cat", -1.0, 0.5)
    assert "keeps 6 (solid) and drops 0" in explorer.describe("cat", -1.0, 1.0)
    assert "3 of 6 regions" in explorer.describe("dog", 0.0, 1.0)


def test_precision_recall_explorer_tells_the_verdict(explorers):
    explorer = explorers["curve"]
    first = explorer.describe("cat", 1)
    assert "image a: right; IoU 1.00" in first and "precision is 1.00 and recall 0.50" in first
    assert "a duplicate of a better detection" in explorer.describe("cat", 2)
    assert "image a: wrong; it touches no dog" in explorer.describe("dog", 1)


def test_bad_input_is_named(dataset, image, detections, evaluation, hardest):
    with pytest.raises(ValueError, match="no proposals"):
        widgets.ProposalBrowser(image, [], BOXES)
    with pytest.raises(ValueError, match="hard negatives is empty"):
        widgets.HardNegativeBrowser(dataset, hardest.iloc[:0])
    with pytest.raises(ValueError, match="evaluation is of 4 detections, but 1"):
        widgets.DetectionExplorer(dataset, detections.select([0]), evaluation)
    with pytest.raises(ValueError, match="scores must have shape"):
        widgets.SuppressionExplorer(image, BOXES, np.zeros((2, 3)), NAMES)
    with pytest.raises(ValueError, match="no curve to explore"):
        nothing = Detections.empty(("a", "b"), NAMES)
        widgets.PrecisionRecallExplorer(dataset, nothing, evaluate(nothing, dataset))


def test_detection_explorer_of_an_image_where_nothing_was_found(dataset):
    nothing = Detections.empty(("a", "b"), NAMES)
    explorer = widgets.DetectionExplorer(dataset, nothing, evaluate(nothing, dataset))
    assert "0 right and 0 wrong detections; 0 of 2 objects found" in explorer.describe()
