"""Label maps as pictures, and the figures of segmentation."""

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.datasets.voc import palette
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy
from rcnn_helpers.segmentation.figures import accuracy_dots, confusion_figure, features_figure
from rcnn_helpers.segmentation.painting import outline_mask, paint_labels

IMAGE = np.full((90, 120, 3), 100, np.uint8)
CLASSES = ("car", "dog")


def a_map():
    labels = np.zeros((90, 120), np.uint8)
    labels[10:80, 10:50] = 1
    labels[10:80, 70:110] = 2
    labels[:5] = 255
    return labels


def test_colours_are_the_palettes_at_full_strength():
    painted = paint_labels(IMAGE, a_map(), CLASSES, strength=1.0)
    assert painted[12, 12].tolist() == palette()[1].tolist()
    assert painted[12, 72].tolist() == palette()[2].tolist()
    assert painted[85, 60].tolist() == [139, 139, 139]  # background: a quarter white


def test_void_is_hatched_and_borders_are_white():
    painted = paint_labels(IMAGE, a_map(), CLASSES)
    assert len(np.unique(painted[2, :, 0])) == 2
    assert (painted[40, 49] == 255).all(), "the car's right border"


def test_every_area_carries_its_name():
    labels = a_map()
    one = paint_labels(IMAGE, labels, ("car", "dog"))
    other = paint_labels(IMAGE, labels, ("bus", "dog"))
    changed = (one != other).any(axis=2)
    assert changed[:, :60].any() and not changed[:, 60:].any()
    labels[60:80, 10:50] = 0
    labels[65:85, 10:50] = 1  # a second area of the car
    one, other = (paint_labels(IMAGE, labels, (name, "dog")) for name in ("car", "bus"))
    changed = (one != other).any(axis=2)
    assert changed[:60].any() and changed[65:].any()


def test_specks_have_no_name_and_nothing_breaks_at_the_border():
    labels = np.zeros((90, 120), np.uint8)
    labels[0, 0] = 1
    labels[70:, 115:] = 2
    assert paint_labels(IMAGE, labels, ("a long name", "another long name")).shape == IMAGE.shape


def test_it_can_be_enlarged_and_leaves_the_image_alone():
    before = IMAGE.copy()
    assert paint_labels(IMAGE, a_map(), CLASSES, zoom=2).shape == (180, 240, 3)
    assert (before == IMAGE).all()


def test_maps_that_do_not_fit():
    with pytest.raises(DisplayError, match="same picture"):
        paint_labels(IMAGE, np.zeros((3, 3)), CLASSES)
    with pytest.raises(DisplayError, match=r"labels \[3\]"):
        paint_labels(IMAGE, np.full((90, 120), 3), CLASSES)


def test_an_outline_follows_the_mask_at_any_size():
    mask = np.zeros((45, 60), bool)
    mask[10:30, 20:40] = True
    outlined = outline_mask(IMAGE, mask, "yellow")
    changed = (outlined != IMAGE).any(axis=2)
    assert changed[20, 40] and changed[40, 79] and not changed[40, 60] and not changed[5, 5]


def test_confusion_leaves_out_absent_classes():
    figure = confusion_figure(SegmentationAccuracy(CLASSES, [[8, 2, 0], [5, 5, 0], [0, 0, 0]]))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["background", "car"]
    assert sorted(text.get_text() for text in ax.texts) == ["20", "50", "50", "80"]
    with pytest.raises(DisplayError, match="nothing can be confused"):
        confusion_figure(SegmentationAccuracy(CLASSES, np.zeros((3, 3))))


def test_dots_stand_at_their_numbers_and_say_the_means():
    figure = accuracy_dots({"ours": {"car": 40.0, "dog": np.nan}, "theirs": {"car": 50.0, "dog": 70.0}})
    (ax,) = figure.axes
    marks = [line for line in ax.lines if line.get_marker() not in ("", "None", None)]
    np.testing.assert_equal([line.get_xdata().tolist() for line in marks], [[40.0, np.nan], [50.0, 70.0]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "ours (mean 40.0)",
        "theirs (mean 60.0)",
    ]
    with pytest.raises(DisplayError, match="0 methods"):
        accuracy_dots({})


def test_features_show_means_of_seeds():
    rows = [("full", "fc6", 40.0), ("full", "fc6", 42.0), ("fg", "fc6", 50.0), ("full", "fc7", 30.0)]
    frame = pd.DataFrame([*rows, ("O2P", None, 45.0)], columns=["features", "layer", "mean"])
    figure = features_figure({"ours": frame})
    (ax,) = figure.axes
    assert {text.get_text() for text in ax.texts} == {"41.0", "50.0", "30.0", "45.0"}
    assert [text.get_text() for text in ax.get_xticklabels()] == ["full", "fg", "O2P"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"fc6", "fc7", "no network"}
    with pytest.raises(DisplayError, match="no table"):
        features_figure({})
