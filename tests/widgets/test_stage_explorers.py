"""What each explorer shows and says, stage by stage, and what it makes of bad input."""

import re

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.drawing import rgb
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.settings import NEVER_FIRES
from rcnn_helpers.widgets import detection

BOXES = np.array([[20, 30, 90, 80], [110, 40, 180, 130]], dtype=np.float32)
NAMES = ("cat", "dog")


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


def test_warp_explorer_jumps_to_an_object(explorers):
    explorer = explorers["warp"]
    explorer.controls["object"].value = 1
    assert [explorer.controls[side].value for side in ("x1", "y1", "x2", "y2")] == [110, 40, 180, 130]
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


def test_warp_explorer_starts_in_the_middle_of_a_picture_of_your_own(explorers):
    explorer = explorers["own picture"]
    assert list(explorer.controls) == ["mode", "padding", "fill", "x1", "y1", "x2", "y2"]
    assert "Box of 100 x 76 pixels. The crop" in explorer.describe()  # 200 x 150, a quarter off on each side
    assert "IoU" not in explorer.describe() and explorer.canvas.box == [50, 37, 150, 113]
    assert "Box of 1 x 1 pixels" in widgets.WarpExplorer(np.zeros((1, 1, 3), np.uint8)).describe()


def test_hard_negatives_page_by_page(explorers):
    browser = explorers["negatives"]
    assert "Hard negative 4 of 4 for cat, in image b: SVM score 2.70" in browser.describe("cat", 4)
    assert "Hard negative 1 of 1 for dog" in browser.describe("dog", 4), "beyond the last is the last"


def test_hard_negatives_round_by_round(explorers):
    browser = explorers["rounds"]
    assert browser.controls["round"].value == 2, "the last round at first"
    # Two of the three of round 2 were there in round 1.
    assert "Hard negative 1 of 3 for cat in round 2" in browser.describe("cat", 1, 2)
    assert "Of the 3 negatives 1 are new in this round" in browser.describe("cat", 1, 2)
    assert "new in this round" not in browser.describe("cat", 1, 1), "in the first round all are new"
    assert browser.describe("dog", 1, 2) == "There are no hard negatives of class dog in round 2."
    assert "Hard negative 1 of 1 for dog in round 1" in browser.describe("dog", 1, 1)


def test_the_rank_slider_ends_where_the_class_ends(explorers):
    for kind, lengths in (("negatives", {"cat": 4, "dog": 1}), ("curve", {"cat": 2, "dog": 2})):
        explorer = explorers[kind]
        for name in ("dog", "cat", "dog"):
            explorer.controls["rank"].value = explorer.controls["rank"].max
            explorer.controls["name"].value = name
            assert explorer.controls["rank"].max == lengths[name]
            assert explorer.controls["rank"].value <= lengths[name]
    browser = explorers["rounds"]
    assert browser.controls["rank"].max == 3
    browser.controls["rank"].value = 3
    browser.controls["name"].value = "dog"  # has nothing in round 2
    assert (browser.controls["rank"].value, browser.controls["rank"].max) == (1, 1)
    assert "There are no hard negatives" in browser.text.value
    browser.controls["round"].value = 1
    browser.controls["name"].value = "cat"
    assert browser.controls["rank"].max == 4


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


def test_suppression_explorer_labels_only_the_best_of_many(image, rng):
    corners = rng.uniform(0, 100, (100, 2))
    boxes = np.concatenate([corners, corners + 1], axis=1)
    explorer = widgets.SuppressionExplorer(image, boxes, np.linspace(0, 1, 100)[:, None], ["cat"])
    assert "keeps 100 (solid; the best 20 with their scores)" in explorer.describe(iou_threshold=1.0)
    assert "keeps 20 (solid)" in explorer.describe(score=0.8, iou_threshold=1.0)


def test_precision_recall_explorer_tells_the_verdict(explorers):
    explorer = explorers["curve"]
    first = explorer.describe("cat", 1)
    assert "image a: right; IoU 1.00" in first and "precision is 1.00 and recall 0.50" in first
    assert "a duplicate of a better detection" in explorer.describe("cat", 2)
    assert "image a: wrong; it touches no dog" in explorer.describe("dog", 1)


def test_bad_input_is_named(dataset, image, detections, evaluation, hardest):
    with pytest.raises(DisplayError, match="no proposals"):
        widgets.ProposalBrowser(image, [], BOXES)
    with pytest.raises(DisplayError, match="2 objects need as many names, got 1"):
        widgets.ProposalBrowser(image, BOXES, BOXES, ["cat"])
    with pytest.raises(DisplayError, match="evaluation is of 4 detections, but 1"):
        widgets.DetectionExplorer(dataset, detections.select([0]), evaluation)
    with pytest.raises(DisplayError, match="no images to choose from"):
        widgets.DetectionExplorer(dataset, detections, evaluation, image_ids=[])
    with pytest.raises(DisplayError, match="scores must have shape"):
        widgets.SuppressionExplorer(image, BOXES, np.zeros((2, 3)), NAMES)
    with pytest.raises(DisplayError, match="scores hold NaN"):
        widgets.SuppressionExplorer(image, BOXES, [[0, np.nan], [1, 1]], NAMES)
    with pytest.raises(DisplayError, match="channel 1 of pool5 holds NaN"):
        pool5 = np.zeros((2, 2, 6, 6))
        pool5[1, 1, 3, 3] = np.nan
        widgets.FeatureExplorer(image, BOXES, pool5).render(1)
    with pytest.raises(DisplayError, match="no curve to explore"):
        nothing = Detections.empty(("a", "b"), NAMES)
        widgets.PrecisionRecallExplorer(dataset, nothing, evaluate(nothing, dataset))


def test_frames_of_hard_negatives_that_cannot_be_browsed_are_named(dataset, hardest):
    with pytest.raises(DisplayError, match="hard negatives is empty"):
        widgets.HardNegativeBrowser(dataset, hardest.iloc[:0])
    with pytest.raises(DisplayError, match="lacks score, y2"):
        widgets.HardNegativeBrowser(dataset, hardest.drop(columns=["y2", "score"]))
    with pytest.raises(DisplayError, match="hold NaN"):
        widgets.HardNegativeBrowser(dataset, hardest.assign(score=np.nan))


def of_one_picture(image, tree):
    """All explorers that are given a picture, on this one."""
    pool5 = np.ones((2, 1, 6, 6))
    return [
        widgets.MergeScrubber(image, tree),
        widgets.ProposalBrowser(image, BOXES, BOXES),
        widgets.WarpExplorer(image),
        widgets.FeatureExplorer(image, BOXES, pool5),
        widgets.SuppressionExplorer(image, BOXES, [[1], [2]], ["cat"]),
    ]


@pytest.mark.parametrize("shape", [(150, 200), (150, 200, 1)])
def test_a_grey_picture_is_shown_grey(tree, rng, shape):
    grey = rng.integers(0, 256, shape, dtype=np.uint8)
    as_rgb = np.repeat(grey.reshape(150, 200, 1), 3, axis=2)
    shown, wanted = of_one_picture(grey, tree), of_one_picture(as_rgb, tree)
    for one, other in zip(shown, wanted, strict=True):
        assert (one.render() == other.render()).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((150, 200, 3)),
        np.zeros((150, 200, 4), np.uint8),
        np.zeros((0, 200, 3), np.uint8),
        "photo.jpg",
    ],
)
def test_what_is_no_picture_is_refused_by_name(tree, picture):
    makers = [
        lambda: widgets.MergeScrubber(picture, tree),
        lambda: widgets.ProposalBrowser(picture, BOXES, BOXES),
        lambda: widgets.WarpExplorer(picture),
        lambda: widgets.FeatureExplorer(picture, BOXES, np.ones((2, 1, 6, 6))),
        lambda: widgets.SuppressionExplorer(picture, BOXES, [[1], [2]], ["cat"]),
    ]
    for make in makers:
        with pytest.raises(
            DisplayError, match="an image is a uint8 array .* read files with images.read_image"
        ):
            make()


def test_detection_explorer_labels_only_the_best_of_many(dataset, monkeypatch):
    n = 30
    boxes = np.tile([5, 5, 30, 30], (n, 1))
    found = Detections(("a",), NAMES, np.zeros(n, int), np.zeros(n, int), np.arange(n), boxes)
    explorer = widgets.DetectionExplorer(dataset, found, evaluate(found, dataset))
    labels = []
    draw = detection.draw_detections
    monkeypatch.setattr(detection, "draw_detections", lambda *a, **k: labels.extend(a[2]) or draw(*a, **k))
    assert "only the best 20 are labelled" in explorer.describe(score=0.0)
    assert labels[:n] == [NAMES[0]] * 20 + [""] * 10
    assert "labelled" not in explorer.describe(score=15.0)


def test_detection_explorer_of_an_image_where_nothing_was_found(dataset):
    nothing = Detections.empty(("a", "b"), NAMES)
    explorer = widgets.DetectionExplorer(dataset, nothing, evaluate(nothing, dataset))
    assert "0 right and 0 wrong detections; 0 of 2 objects found" in explorer.describe()


def test_a_class_that_could_not_be_trained_does_not_stretch_the_slider():
    scores = np.array([[-1.2, NEVER_FIRES], [-0.6, NEVER_FIRES]], dtype=np.float32)
    explorer = widgets.SuppressionExplorer(np.zeros((150, 200, 3), np.uint8), BOXES, scores, NAMES, score=-1)
    slider = explorer.controls["score"]
    assert (slider.min, slider.max, slider.value) == pytest.approx((-1.2, -0.55, -1), abs=0.051)
    nothing_trained = np.full((2, 2), NEVER_FIRES, dtype=np.float32)
    widgets.SuppressionExplorer(np.zeros((150, 200, 3), np.uint8), BOXES, nothing_trained, NAMES)
