"""Paired differences: pinned by hand, and against SciPy and NumPy."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import paired
from rcnn_helpers.errors import SettingsError

NUMBERS = st.lists(st.floats(-50, 50, allow_nan=False), min_size=1, max_size=12)


def test_differences_pair_what_both_sides_have():
    assert paired.differences({0: 5.0, 1: 7.0, 2: 1.0}, {2: 3.0, 0: 4.0, 9: 0.0}) == {0: 1.0, 2: -2.0}
    assert paired.differences({"cat": math.nan, "dog": 2.0}, {"cat": 1.0, "dog": 2.0}) == {"dog": 0.0}


def test_mean_and_spread_by_hand():
    assert paired.mean_and_spread([2, 4, 6]) == (4, 2)
    mean, spread = paired.mean_and_spread([3.5])
    assert mean == 3.5 and math.isnan(spread)
    assert all(map(math.isnan, paired.mean_and_spread([])))


@given(NUMBERS)
def test_mean_and_spread_are_those_of_the_standard_library(values):
    mean, spread = paired.mean_and_spread(values)
    assert mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    if len(values) > 1:
        assert spread == pytest.approx(statistics.stdev(values), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "verdict", "where_zero_supports"),
    [
        ([1, 2, 3], "holds", "holds"),
        ([-1, -2, -0.1], "does not hold", "does not hold"),
        ([1, -2, 3], "undecided", "undecided"),
        ([0, 1, 2], "undecided", "holds"),
        ([0.0], "does not hold", "holds"),
        ([0, -1], "does not hold", "undecided"),
    ],
)
def test_verdicts(values, verdict, where_zero_supports):
    assert paired.verdict(values) == verdict
    assert paired.verdict(np.array(values, float)) == verdict
    assert paired.verdict(values, may_be_zero=True) == where_zero_supports


def test_nothing_cannot_be_judged():
    with pytest.raises(SettingsError, match="give one for each seed"):
        paired.verdict([])


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1, 1, 1], 1 / 4),  # 2 of 8 ways agree
        ([-1, -1, -1], 1 / 4),
        ([1, 1, -1], 1),
        ([1, 0, 0, 1], 1 / 2),
        ([1, 1, 1, 1, 1, -1], 14 / 64),  # 1 + 6 ways on either side
        ([0, 0], 1),
        ([], 1),
        ([5], 1),
    ],
)
def test_sign_test_by_hand(values, p):
    assert paired.sign_test(values) == pytest.approx(p)


@given(st.lists(st.sampled_from([-1.5, 0, 0.2]), max_size=30))
def test_sign_test_is_the_binomial_test_of_scipy(values):
    from scipy.stats import binomtest

    above, below = sum(v > 0 for v in values), sum(v < 0 for v in values)
    if above + below:
        assert paired.sign_test(values) == pytest.approx(binomtest(above, above + below).pvalue)


def test_interval_by_hand():
    # Differences 1, 2, 6; three draws with the means 1, 3 and 6, and the middle half between 2 and 4.5.
    draws = [[0, 0, 0], [0, 1, 2], [2, 2, 2]]
    assert paired.interval([1, 4, 6], [0, 2, 0], draws, level=0.5) == pytest.approx((2, 4.5))


def test_interval_is_about_the_one_of_a_normal_mean():
    rng = np.random.default_rng(0)
    second = rng.normal(20, 9, 400)
    first = second + rng.normal(1, 2, 400)
    low, high = paired.interval(first, second, paired.resamples(400, 2000, rng))
    assert (low + high) / 2 == pytest.approx((first - second).mean(), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.1)


def test_pairing_is_what_makes_the_interval_narrow():
    rng = np.random.default_rng(1)
    second = rng.normal(20, 9, 100)
    draws = paired.resamples(100, 500, rng)
    low, high = paired.interval(second + 1, second, draws)
    assert low == pytest.approx(1) and high == pytest.approx(1)


def test_sides_of_unequal_length_are_refused():
    with pytest.raises(SettingsError, match=r"\(2,\) and \(3,\)"):
        paired.interval([1, 2], [1, 2, 3], [[0, 1]])
    with pytest.raises(SettingsError, match="5 draws of 0"):
        paired.resamples(0, 5, np.random.default_rng(0))
