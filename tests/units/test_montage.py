"""Rows of regions: pixels where they should be, white boxes where the unit looks, words that name the numbers."""

import cv2
import numpy as np
import pytest

from rcnn_helpers.errors import DisplayError
from rcnn_helpers.units.montage import FILL, GAP, _warped, describe, name_of_unit, unit_rows
from rcnn_helpers.warping import MODES, warp_boxes


class Pictures:
    """Two pictures: a is red on the left and blue on the right, b is black."""

    def image(self, image_id):
        image = np.zeros((50, 100, 3), np.uint8)
        if image_id == "a":
            image[:, :50], image[:, 50:] = (200, 0, 0), (0, 0, 200)
        return image


@pytest.fixture
def index(index_by_hand):
    lists = {
        0: [(4.0, "a", (0, 0, 50, 50)), (2.0, "a", (50, 0, 100, 50)), (1.0, "b", (0, 0, 100, 50))],
        3: [(8.0, "b", (0, 0, 100, 50))],
    }
    return index_by_hand(lists, shape=(1, 2, 2), image_ids=["a", "b"], spans=[[0, 60], [40, 100]])


def crop_at(sheet, row, rank, side, n_rows):
    height = sheet.shape[0] // n_rows
    bottom = (row + 1) * height - GAP
    left = GAP + rank * (side + GAP)
    found = sheet[bottom - side - GAP : bottom, left : left + side]
    start = np.flatnonzero((found != 255).any(axis=(1, 2)))[0]
    return found[start : start + side]


def test_every_region_stands_in_its_place_with_its_white_box(index):
    side = 100
    sheet = unit_rows(index, Pictures(), [0, 3], k=4, side=side)
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 4 * (side + GAP) + GAP
    red, blue = (crop_at(sheet, 0, rank, side, 2) for rank in (0, 1))
    # Unit 0 sees the upper left 60 x 60 pixels of the crop; what lies inside and outside is left alone.
    assert (red[30, 30] == (200, 0, 0)).all() and (red[30, 90] == (200, 0, 0)).all()
    assert (blue[30, 30] == (0, 0, 200)).all()
    white = (red == 255).all(axis=2)
    assert white[1:3, 10:50].all() and white[10:50, 57:59].all() and not white[:, 60:].any()
    black = (red == 0).all(axis=2)
    assert black[0, 10:50].all() and black[3, 10:50].all(), "the white line has a dark edge on either side"
    # Unit 3 sees the lower right; it lists one region only, and the rest of its row stays white.
    only = crop_at(sheet, 1, 0, side, 2)
    white = (only == 255).all(axis=2)
    assert white[41:43, 50:90].all() and white[97:99, 50:90].all() and not white[:38, :].any()
    assert (sheet[-side:, GAP + side + GAP + 5 :] == 255).all()


def test_crops_are_shown_with_their_context_as_the_network_saw_them(index_by_hand):
    lists = {0: [(1.0, "a", (50, 10, 90, 40))]}
    index = index_by_hand(lists, shape=(1, 1, 1), image_ids=["a"], padding=20)
    crop = crop_at(unit_rows(index, Pictures(), [0], k=1, side=100), 0, 0, 100, 1)
    # Context of 20 pixels of 100: a third of the box on either side; the picture's red begins left of the box.
    assert crop[50, 8].tolist() == [200, 0, 0] and crop[50, 60].tolist() == [0, 0, 200]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", [60, 140])
def test_regions_are_warped_together_as_each_is_alone(index_by_hand, mode, side):
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((60, 80), (90, 50), (60, 80))]
    pictures.append(pictures[0])
    boxes = np.array([[0, 0, 80, 60], [10, 20, 45, 90], [30, 5, 79, 33], [7, 7, 9, 50]], np.float32)
    index = index_by_hand({0: []}, shape=(1, 1, 1), image_ids=["a"], padding=11, mode=mode)
    together = _warped(pictures, boxes, index, side)
    size = index.input_size
    for picture, box, crop in zip(pictures, boxes, together, strict=True):
        (alone,) = warp_boxes(picture, [box], size=size, mode=mode, padding=11, mean=FILL, threads=1)
        alone = np.clip(alone.permute(1, 2, 0).numpy() + FILL, 0, 255).astype(np.uint8)
        method = cv2.INTER_AREA if side < size else cv2.INTER_LINEAR
        np.testing.assert_array_equal(crop, cv2.resize(alone, (side, side), interpolation=method))
    assert _warped([], np.zeros((0, 4)), index, side) == []


def test_a_unit_is_named_by_what_was_measured(index, index_by_hand):
    row = {"unit": 3, "kind": "class part", "attribute": "car:wheel", "share": 0.314, "base": 0.042}
    assert describe(index, row) == "channel 0, cell (1, 1): car wheel, 31% of its field against 4.2%"
    row = {"unit": 0, "class": "dog", "precision": 0.5, "base": 0.0}
    assert describe(index, row) == "channel 0, cell (0, 0): dog, in 50% of its regions against 0%"
    dense = index_by_hand({0: []}, shape=(8, 1, 1), image_ids=["a"], layer="fc7")
    assert name_of_unit(dense, 5) == "fc7 unit 5"


def test_labels_change_the_picture(index):
    plain = unit_rows(index, Pictures(), [0], k=2)
    named = unit_rows(index, Pictures(), [0], k=2, labels=["reds"])
    assert plain.shape == named.shape and (plain != named).any()
    head = plain.shape[0] - 96 - 2 * GAP
    assert (plain[head:] == named[head:]).all()


@pytest.mark.parametrize("wrong", [{"units": []}, {"k": 0}, {"side": 3}, {"labels": ["one", "two"]}])
def test_what_cannot_be_drawn_is_refused(index, wrong):
    with pytest.raises(DisplayError, match="units"):
        unit_rows(index, Pictures(), **({"units": [0]} | wrong))
