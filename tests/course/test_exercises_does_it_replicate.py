"""The exercises of notebook 13: pinned by hand, other right answers pass, other wrong ones do not."""

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest

from rcnn_helpers.course.exercises.does_it_replicate import (
    BOOTSTRAP_INTERVAL,
    MEAN_AND_SPREAD,
    SIGN_TEST,
    VERDICT,
)
from rcnn_helpers.course.exercises.engine import Outcome, judge

# --- References, by hand ------------------------------------------------------------------------------------


def test_the_notebooks_own_examples():
    mean, spread = MEAN_AND_SPREAD.reference([20, 22, 27])
    assert mean == 23 and spread == pytest.approx(math.sqrt(13))
    assert VERDICT.reference([0.5, 2.0, 1.1], False) == "holds" == VERDICT.reference([0.0, 0.5], True)
    assert VERDICT.reference([4.0, 5.0, -0.1], False) == "undecided"
    assert SIGN_TEST.reference([1, 1, 1, 1, 1, -1]) == pytest.approx(14 / 64)
    assert SIGN_TEST.reference([]) == 1


def test_an_interval_by_hand():
    draws = [[0, 0, 0]] * 39 + [[2, 2, 2]]  # one of forty draws means 6, the others 1
    low, high = BOOTSTRAP_INTERVAL.reference([1, 4, 6], [0, 2, 0], draws)
    assert low == 1 and high == pytest.approx(1 + 5 * 0.025)  # 97.5% is a fortieth of a step before the last


# --- Other right answers ------------------------------------------------------------------------------------


def mean_and_spread_by_statistics(values):
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return [np.float32(statistics.fmean(values)), np.float32(spread)]


def mean_and_spread_by_pairs(values):
    n = len(values)
    if n == 1:
        return values[0], float("nan")
    squares = sum((a - b) ** 2 for a in values for b in values)
    return sum(values) / n, (squares / (2 * n * (n - 1))) ** 0.5


def verdict_by_extremes(differences, may_be_zero):
    low, high = min(differences), max(differences)
    if low > 0 or (low == 0 and may_be_zero):
        return "holds"
    return "does not hold" if high < 0 or (high == 0 and not may_be_zero) else "undecided"


def verdict_by_counting(differences, may_be_zero):
    supporting = sum(1 for d in differences if d > 0 or (d == 0 and may_be_zero))
    return {len(differences): "holds", 0: "does not hold"}.get(supporting, "undecided")


def sign_test_by_scipy(differences):
    from scipy.stats import binomtest

    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return binomtest(above, above + below).pvalue if above + below else 1


def sign_test_by_pascals_triangle(differences):
    ways = [1]
    sides = [d for d in differences if d]
    for _ in sides:
        ways = [a + b for a, b in zip([0, *ways], [*ways, 0], strict=True)]
    above = sum(d > 0 for d in sides)
    distance = abs(2 * above - len(sides))
    return float(
        sum(Fraction(w, sum(ways)) for k, w in enumerate(ways) if abs(2 * k - len(sides)) >= distance)
    )


def interval_by_loop(first, second, draws):
    means = sorted(sum(first[i] - second[i] for i in draw) / len(draw) for draw in draws)

    def at(share):
        place = share * (len(means) - 1)
        below = math.floor(place)
        above = min(below + 1, len(means) - 1)
        return means[below] + (place - below) * (means[above] - means[below])

    return [at(0.025), at(0.975)]


def interval_of_both_sides(first, second, draws):
    sides = [np.asarray(side)[draws].mean(axis=1) for side in (first, second)]
    return np.percentile(sides[0] - sides[1], [2.5, 97.5])


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (MEAN_AND_SPREAD, mean_and_spread_by_statistics),
        (MEAN_AND_SPREAD, mean_and_spread_by_pairs),
        (VERDICT, verdict_by_extremes),
        (VERDICT, verdict_by_counting),
        (SIGN_TEST, sign_test_by_scipy),
        (SIGN_TEST, sign_test_by_pascals_triangle),
        (BOOTSTRAP_INTERVAL, interval_by_loop),
        (BOOTSTRAP_INTERVAL, interval_of_both_sides),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text


# --- Other wrong answers ------------------------------------------------------------------------------------


def spread_as_mean_distance(values):
    mean = float(np.mean(values))
    return mean, float(np.mean(np.abs(np.subtract(values, mean)))) if len(values) > 1 else math.nan


def spread_that_fails_alone(values):
    return statistics.fmean(values), statistics.stdev(values)


def mean_alone(values):
    return float(np.mean(values))


def mean_that_sorts_what_it_is_given(values):
    values.sort(reverse=True)
    return MEAN_AND_SPREAD.reference(values)


def verdict_in_capitals(differences, may_be_zero):
    return VERDICT.reference(differences, may_be_zero).upper()


def verdict_of_the_first(differences, may_be_zero):
    return "holds" if differences[0] > 0 or (may_be_zero and differences[0] == 0) else "does not hold"


def verdict_with_a_margin(differences, may_be_zero):
    return VERDICT.reference([d if abs(d) > 0.5 else 0.0 for d in differences], may_be_zero)


def sign_test_of_agreement(differences):
    sides = [d > 0 for d in differences if d]
    return 2 / 2 ** len(sides) if len(set(sides)) == 1 else 1.0


def sign_test_in_percent(differences):
    return 100 * SIGN_TEST.reference(differences)


def sign_test_without_the_even_split(differences):
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    n, fewer = above + below, min(above, below)
    return min(2 * sum(math.comb(n, k) for k in range(fewer)) / 2**n, 1.0)


def sign_test_that_fails_on_nothing(differences):
    sides = [d > 0 for d in differences if d]
    return SIGN_TEST.reference(differences) * len(sides) / len(sides)


def interval_by_order(first, second, draws):
    means = np.sort((np.asarray(first) - np.asarray(second))[np.asarray(draws)].mean(axis=1))
    return means[0], means[-1]


def interval_of_the_sum(first, second, draws):
    sums = (np.asarray(first) - np.asarray(second))[np.asarray(draws)].sum(axis=1)
    return tuple(np.quantile(sums, [0.025, 0.975]))


def interval_backwards(first, second, draws):
    return BOOTSTRAP_INTERVAL.reference(first, second, draws)[::-1]


def interval_with_draws_of_its_own(first, second, draws):
    own = np.random.default_rng(5).integers(0, len(first), np.shape(draws))
    return BOOTSTRAP_INTERVAL.reference(first, second, own)


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (MEAN_AND_SPREAD, spread_as_mean_distance, Outcome.WRONG),
        (MEAN_AND_SPREAD, spread_that_fails_alone, Outcome.ERROR),
        (MEAN_AND_SPREAD, mean_alone, Outcome.WRONG),
        (MEAN_AND_SPREAD, mean_that_sorts_what_it_is_given, Outcome.WRONG),
        (VERDICT, verdict_in_capitals, Outcome.WRONG),
        (VERDICT, verdict_of_the_first, Outcome.WRONG),
        (VERDICT, verdict_with_a_margin, Outcome.WRONG),
        (SIGN_TEST, sign_test_of_agreement, Outcome.WRONG),
        (SIGN_TEST, sign_test_in_percent, Outcome.WRONG),
        (SIGN_TEST, sign_test_without_the_even_split, Outcome.WRONG),
        (SIGN_TEST, sign_test_that_fails_on_nothing, Outcome.ERROR),
        (BOOTSTRAP_INTERVAL, interval_by_order, Outcome.WRONG),
        (BOOTSTRAP_INTERVAL, interval_of_the_sum, Outcome.WRONG),
        (BOOTSTRAP_INTERVAL, interval_backwards, Outcome.WRONG),
        (BOOTSTRAP_INTERVAL, interval_with_draws_of_its_own, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_do_not(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
