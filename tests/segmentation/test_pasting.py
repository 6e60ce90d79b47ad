"""Pasting against its definition, pixel by pixel, and the choice of its numbers against trying them all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnn_helpers.errors import SettingsError, TrainingError
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy, confusion
from rcnn_helpers.segmentation.pasting import NMS_IOUS, THRESHOLDS, PastingChoice, kept_regions, paste
from rcnn_helpers.segmentation.regions import regions_from_masks, segment_regions


def rectangles(*corners, height=10, width=12):
    masks = np.zeros((len(corners), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, corners, strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def random_scene(seed):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 8, (7, 2))
    masks = rectangles(*np.concatenate([starts, starts + rng.integers(1, 7, (7, 2))], axis=1))
    masks = masks[masks.any(axis=(1, 2))]
    truth = np.zeros((10, 12), np.uint8)
    truth[1:6, 1:6], truth[4:9, 5:11], truth[9] = 1, 2, 255
    return masks, rng.uniform(-0.2, 1, (len(masks), 3)), truth


def pasted_slowly(masks, scores, threshold, nms_iou):
    """Step by step as the module's text says."""
    strongest_first = np.argsort(-scores.max(axis=1))
    kept = []
    for i in strongest_first:
        overlaps = [(masks[i] & masks[j]).sum() / (masks[i] | masks[j]).sum() for j in kept]
        if scores[i].max() > threshold and max(overlaps, default=0) <= nms_iou:
            kept.append(i)
    labels = np.zeros(masks.shape[1:], np.uint8)
    for i in kept[::-1]:
        labels[masks[i]] = scores[i].argmax() + 1
    return labels


@given(st.integers(0, 10**6), st.sampled_from([-1, 0.3, 0.7]), st.sampled_from(NMS_IOUS))
def test_pasting_is_what_the_text_says(seed, threshold, nms_iou):
    masks, scores, _ = random_scene(seed)
    found = paste(regions_from_masks(masks), scores, threshold=threshold, nms_iou=nms_iou)
    assert found.dtype == np.uint8
    assert (found == pasted_slowly(masks, scores, threshold, nms_iou)).all()


def test_the_strongest_lies_on_top_and_its_double_is_dropped():
    masks = rectangles((0, 0, 6, 10), (4, 0, 10, 10), (0, 0, 6, 9), (11, 0, 12, 10))
    scores = [[0.5, 0], [0, 0.8], [0, 0.4], [0.1, 0]]
    regions = regions_from_masks(masks)
    labels = paste(regions, scores, threshold=0.2, nms_iou=0.5)
    assert labels[0].tolist() == [1] * 4 + [2] * 6 + [0, 0]
    assert kept_regions(regions, scores, threshold=0.2, nms_iou=0.5).tolist() == [1, 0]
    assert kept_regions(regions, scores, nms_iou=1).tolist() == [1, 0, 2, 3]
    first = paste(regions, scores, threshold=0.2, nms_iou=0.5, max_pasted=1)
    assert first[0].tolist() == [0] * 4 + [2] * 6 + [0, 0]


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_accuracies_of_all_choices_are_those_of_pasting_with_each(seed):
    scenes = [random_scene(seed + i) for i in range(3)]
    choice = PastingChoice(3)
    for masks, scores, truth in scenes:
        choice.add(regions_from_masks(masks), scores, truth)
    accuracies = choice.accuracies()
    rng = np.random.default_rng(seed)
    for k, t in zip(rng.integers(0, len(NMS_IOUS), 6), rng.integers(0, len(THRESHOLDS), 6), strict=True):
        table = sum(
            confusion(pasted_slowly(masks, scores, THRESHOLDS[t], NMS_IOUS[k]), truth, 3)
            for masks, scores, truth in scenes
        )
        assert accuracies[k, t] == pytest.approx(SegmentationAccuracy("abc", table).mean)
    best = choice.best()
    assert best.accuracy == accuracies.max()
    assert accuracies[NMS_IOUS.index(best.nms_iou), list(THRESHOLDS).index(best.threshold)] == best.accuracy


def test_a_score_at_a_threshold_is_not_above_it():
    masks = rectangles((0, 0, 6, 10))
    truth = masks[0].astype(np.uint8)
    choice = PastingChoice(1, thresholds=[0.4, 0.5, 0.6], nms_ious=(1.0,))
    choice.add(regions_from_masks(masks), [[0.5]], truth)
    assert choice.accuracies().tolist() == [[1.0, 0.25, 0.25]]
    assert not paste(regions_from_masks(masks), [[0.5]], threshold=0.5).any()


def test_an_image_without_regions_is_background():
    nothing = segment_regions(np.full((10, 12, 3), 90, np.uint8))
    assert not paste(nothing, np.zeros((0, 2)), threshold=0).any()
    choice = PastingChoice(2)
    choice.add(nothing, np.zeros((0, 2)), np.ones((10, 12), np.uint8))
    assert choice.best().accuracy == 0


def test_bad_input_is_named():
    regions = regions_from_masks(rectangles((0, 0, 6, 10)))
    with pytest.raises(SettingsError, match=r"1 regions need scores of shape \[1, C\], got \[2, 3\]"):
        paste(regions, np.zeros((2, 3)), threshold=0)
    with pytest.raises(SettingsError, match="NaN"):
        paste(regions, [[np.nan]], threshold=0)
    with pytest.raises(SettingsError, match="nms_iou is 2"):
        paste(regions, [[1.0]], threshold=0, nms_iou=2)
    with pytest.raises(TrainingError, match="no picture"):
        PastingChoice(2).best()
