"""The index of units against the plainest way to make it: everything in memory, one unit after the other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract, extract_dataset
from rcnn_helpers.nms import nms
from rcnn_helpers.units import UnitIndex, build_index, building, field_geometry, merge_indexes

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_feature_store import NoiseDataset, make_proposals
from test_features import tiny_network

ARRAYS = ("values", "image_index", "boxes", "counts", "sums", "spans")


class Pictures(NoiseDataset):
    """Some of the images of noise."""

    def __init__(self, ids):
        self.ids = list(ids)


class Numbers:
    """Stands for a data set, its store and its network: features are given as they are."""

    def __init__(self, boxes, features):
        self.ids = [f"{n}" for n in range(len(boxes))]
        self.boxes = boxes
        self.features = features

    def lists(self, top, nms_iou):
        index = empty_index(self.features[0].shape[1], top, nms_iou)
        growing = building._Growing(index)
        for image_id, boxes, features in zip(self.ids, self.boxes, self.features, strict=True):
            whole = slice(0, features.shape[1])
            growing.take_in(
                image_id, building._Regions(boxes, lambda units, f=features: f[:, units], [whole])
            )
        return growing.index()

    def slow_lists(self, top, nms_iou):
        return slow_lists(self.boxes, self.features, top, nms_iou)


def empty_index(n_units, top, nms_iou):
    return UnitIndex(
        network_name="none",
        fingerprint="",
        layer="pool5",
        shape=(n_units, 1, 1),
        nms_iou=nms_iou,
        mode="warp",
        padding=16,
        input_size=227,
        image_ids=(),
        n_regions=0,
        inputs="",
        values=np.zeros((n_units, top), np.float32),
        image_index=np.full((n_units, top), -1, np.int32),
        boxes=np.zeros((n_units, top, 4), np.float32),
        sums=np.zeros((n_units, 2)),
        counts=np.zeros(n_units, np.int64),
        spans=np.array([[0, 227]]),
    )


def slow_lists(boxes, features, top, nms_iou):
    """Suppress among all active regions of each image with the package's NMS, then sort over all images."""
    n_units = features[0].shape[1]
    values = np.zeros((n_units, top), np.float32)
    image_index = np.full((n_units, top), -1, np.int32)
    listed = np.zeros((n_units, top, 4), np.float32)
    for unit in range(n_units):
        found = []
        for image, (image_boxes, image_features) in enumerate(zip(boxes, features, strict=True)):
            active = np.flatnonzero(image_features[:, unit] > 0)
            for kept in nms(image_boxes[active], image_features[active, unit], iou_threshold=nms_iou):
                row = active[kept]
                found.append((-image_features[row, unit], image, row))
        for rank, (negative, image, row) in enumerate(sorted(found)[:top]):
            values[unit, rank], image_index[unit, rank] = -negative, image
            listed[unit, rank] = boxes[image][row]
    return values, image_index, listed


def assert_same(index, other):
    for name in ARRAYS:
        assert_array_equal(getattr(index, name), getattr(other, name), err_msg=name)
    assert (index.image_ids, index.n_regions, index.shape) == (
        other.image_ids,
        other.n_regions,
        other.shape,
    )


@st.composite
def numbers(draw):
    """A few images of overlapping boxes with activations of few different values, so that many are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_units = draw(st.sampled_from([1, 5, 70]))
    step = draw(st.sampled_from([0.5, 0.001]))
    boxes, features = [], []
    for _ in range(draw(st.integers(1, 5))):
        n = draw(st.integers(0, 80))
        corner, side = rng.integers(0, 60, (n, 2)), rng.integers(0, 30, (n, 2))
        boxes.append(np.concatenate([corner, corner + side], axis=1).astype(np.float32))
        features.append((np.round(rng.normal(0, 2, (n, n_units)) / step) * step).astype(np.float32))
    return Numbers(boxes, features)


@settings(max_examples=80)
@given(numbers(), st.sampled_from([1, 3, 20, 100]), st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 1.0]))
def test_lists_are_those_of_suppressing_everything_and_sorting(data, top, nms_iou):
    index = data.lists(top, nms_iou)
    for ours, slow in zip(
        (index.values, index.image_index, index.boxes), data.slow_lists(top, nms_iou), strict=True
    ):
        assert_array_equal(ours, slow)


@settings(max_examples=30)
@given(numbers())
def test_statistics(data):
    index = data.lists(10, 0.1)
    features = np.maximum(np.concatenate(data.features), 0)
    assert index.n_regions == len(features)
    if len(features):
        assert_array_equal(index.maximum, features.max(axis=0))
        assert_array_equal(index.active, (features > 0).mean(axis=0, dtype=np.float64).astype(np.float32))
        assert_allclose(index.mean, features.mean(axis=0, dtype=np.float64), rtol=1e-6)
