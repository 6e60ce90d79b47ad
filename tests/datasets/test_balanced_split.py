"""Balanced halves: pairs and imbalance against slow references, the search against what the paper reached."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from rcnn_helpers.datasets.balanced_split import (
    balanced_split,
    class_counts,
    nearest_pairs,
    random_split,
    relative_imbalance,
    split_of,
    synthetic_counts,
)
from rcnn_helpers.errors import DatasetError

COUNTS = arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=st.integers(0, 4))


@pytest.fixture(scope="module")
def val_like():
    return synthetic_counts(0)


def test_imbalance_by_hand():
    counts = np.array([[3, 0, 0], [1, 2, 0], [0, 2, 0]])
    found = relative_imbalance(counts, [True, False, False])
    np.testing.assert_allclose(found, [0.5, 1.0, np.nan])  # |3 - 1| / 4, |0 - 4| / 4, no objects


@given(COUNTS, st.randoms(use_true_random=False))
def test_each_image_takes_the_nearest_that_is_left(counts, random):
    order = list(range(len(counts)))
    random.shuffle(order)
    partner = nearest_pairs(counts, order)
    distances = cdist(counts, counts, "cityblock")
    left = set(order)
    for image in order:
        if image not in left:
            continue
        left.remove(image)
        if not left:
            assert partner[image] == -1
            continue
        assert partner[image] in left
        assert distances[image, partner[image]] == min(distances[image, other] for other in left)
        assert partner[partner[image]] == image
        left.remove(partner[image])


@given(COUNTS.filter(lambda counts: counts.any()), st.integers(0, 5))
def test_a_split_has_every_image_once_and_says_its_own_imbalance(counts, seed):
    split = balanced_split(counts, seed=seed, restarts=2)
    assert sorted([*split.first, *split.second]) == list(range(len(counts)))
    first, second = counts[split.first].sum(axis=0), counts[split.second].sum(axis=0)
    for c, (a, b) in enumerate(zip(first, second, strict=True)):
        if a + b:
            assert split.imbalance[c] == pytest.approx(abs(a - b) / (a + b))
        else:
            assert np.isnan(split.imbalance[c])


def test_few_images_are_divided_almost_as_well_as_can_be():
    counts = np.random.default_rng(5).poisson(1.0, size=(12, 4))
    best = min(
        np.nanmax(relative_imbalance(counts, [(code >> bit) & 1 for bit in range(12)]))
        for code in range(1, 2**12 - 1)
    )
    assert balanced_split(counts, restarts=200).maximal <= best + 0.05


def test_the_counts_have_the_shape_of_the_papers(val_like):
    totals = np.sort(val_like.sum(axis=0))
    assert val_like.shape == (20_121, 200)
    assert totals[0] == 31 and totals[99] < 110 <= totals[101]
    assert val_like.sum() == pytest.approx(55_502, rel=0.01)
    assert val_like.any(axis=1).all()
    np.testing.assert_array_equal(val_like, synthetic_counts(0))


def test_as_balanced_as_the_papers_split(val_like):
    split = balanced_split(val_like, restarts=2)
    assert split.maximal <= 0.11 and split.median <= 0.04
    assert abs(len(split.first) - len(split.second)) <= 0.01 * len(val_like)
    by_chance = random_split(val_like)
    assert by_chance.maximal > 2 * split.maximal and by_chance.median > 0.04


def test_the_same_seed_gives_the_same_split_and_restarts_never_harm():
    counts = synthetic_counts(1, images=500, classes=20)
    once, again = balanced_split(counts, seed=3, restarts=4), balanced_split(counts, seed=3, restarts=4)
    np.testing.assert_array_equal(once.first, again.first)
    assert once.maximal <= balanced_split(counts, seed=3, restarts=1).maximal


def test_counts_of_a_data_set():
    class Objects:
        def __init__(self, names):
            self.names = names

    class Dataset:
        ids, classes = ["a", "b", "c"], ("car", "dog")

        def annotation(self, image_id):
            return Objects({"a": ("dog", "dog", "lamp"), "b": (), "c": ("dog", "car")}[image_id])

    np.testing.assert_array_equal(class_counts(Dataset()), [[0, 2], [0, 0], [1, 1]])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones((1, 3), int), "cannot be divided"),
        (np.zeros((4, 3), int), "no object at all"),
        (-np.ones((4, 3), int), "below zero"),
        (np.ones((4, 3)), "whole numbers"),
        (np.ones(4, int), "images, classes"),
    ],
)
def test_counts_that_cannot_be_divided(counts, message):
    with pytest.raises(DatasetError, match=message):
        balanced_split(counts)


def test_wrong_arguments():
    with pytest.raises(DatasetError, match="restarts is 0"):
        balanced_split(np.ones((4, 2), int), restarts=0)
    with pytest.raises(DatasetError, match="in_first"):
        split_of(np.ones((4, 2), int), [True])
