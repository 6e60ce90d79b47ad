"""Sliding windows and random boxes: where they lie, how many, and from which distribution."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.proposals.random_boxes import random_boxes
from rcnn_helpers.proposals.sliding_window import sliding_windows


def test_sliding_windows_by_hand():
    windows = sliding_windows(4, 6, min_size=2, size_step=2, aspect_ratios=(1,), stride=1)
    large = [[0, 0, 4, 4], [2, 0, 6, 4]]
    small = [[x, y, x + 2, y + 2] for y in (0, 2) for x in (0, 2, 4)]
    assert windows.tolist() == large + small
    assert windows.dtype == np.float32


def test_aspect_ratio_is_width_by_height():
    windows = sliding_windows(100, 100, min_size=40, size_step=10, aspect_ratios=(4,))
    sizes = windows[:, 2:] - windows[:, :2]
    np.testing.assert_allclose(sizes, [[80, 20]] * len(sizes), rtol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.1, 2), st.none() | st.integers(0, 500))
def test_sliding_windows_stay_inside_and_within_the_number_allowed(height, width, stride, max_boxes):
    windows = sliding_windows(height, width, stride=stride, max_boxes=max_boxes)
    assert (windows >= 0).all() and (windows <= [width, height, width, height]).all()
    assert (windows[:, 2:] > windows[:, :2]).all()
    assert max_boxes is None or len(windows) <= max_boxes
    areas = (windows[:, 2:] - windows[:, :2]).prod(axis=1)
    assert (np.diff(areas) <= 0.01 * areas[:-1]).all()


def test_neighbouring_windows_are_no_further_apart_than_the_stride():
    windows = sliding_windows(97, 131, min_size=40, size_step=10, aspect_ratios=(1,), stride=0.3)
    for axis, length in ((0, 131), (1, 97)):
        places = np.unique(windows[:, axis])
        assert places[0] == 0 and places[-1] == length - 40
        assert np.diff(places).max() <= 0.3 * 40 + 1e-3


def test_more_boxes_allowed_are_used():
    counts = [len(sliding_windows(375, 500, max_boxes=n)) for n in (500, 1000, 2000)]
    assert counts == sorted(counts) and 1500 < counts[-1] <= 2000


def test_impossible_windows_are_refused():
    with pytest.raises(ValueError, match="size_step"):
        sliding_windows(10, 10, size_step=1)


def test_random_boxes_are_uniform_over_all_boxes():
    height, width, min_width = 4, 5, 2
    every = [
        (x1, y1, x2, y2)
        for x1, x2 in product(range(width + 1), repeat=2)
        for y1, y2 in product(range(height + 1), repeat=2)
        if x2 - x1 >= min_width and y2 - y1 >= min_width
    ]
    n = 60000
    drawn = Counter(map(tuple, random_boxes(height, width, n, rng=0, min_width=min_width).tolist()))
    assert set(drawn) == set(every)
    counts = np.array([drawn[box] for box in every])
    expected = n / len(every)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < len(every) + 5 * np.sqrt(2 * len(every))


def test_random_boxes_are_seeded_and_empty_where_none_fits():
    np.testing.assert_array_equal(random_boxes(50, 60, 9, rng=4), random_boxes(50, 60, 9, rng=4))
    assert random_boxes(19, 60, 9, rng=4).shape == (0, 4)
    assert random_boxes(20, 20, 3, rng=4).tolist() == [[0, 0, 20, 20]] * 3
