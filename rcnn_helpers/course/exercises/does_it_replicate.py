"""Exercises of notebook 13: mean and spread, a verdict from signs, the sign test, a paired bootstrap interval."""

import math

import numpy as np

from rcnn_helpers import paired
from rcnn_helpers.course.exercises.engine import Exercise, Slip

# --- mean and spread --------------------------------------------------------------------------------------------


def _mean_and_spread_cases(rng):
    by_hand = [
        ([2.0, 4.0, 6.0],),
        ([5.0, 5.0, 5.0, 5.0],),
        ([3.5],),  # one seed has no spread
        ([-1.0, 1.0],),
        ([1.0, 1.0, 4.0],),  # the median is another
    ]
    return by_hand + [(rng.normal(20, 4, int(rng.integers(2, 9))).round(1).tolist(),) for _ in range(20)]


def _mean_with(spread):
    """The right mean, with a spread that is to be got wrong."""
    return lambda values: (float(np.mean(values)), float(spread(values)) if len(values) > 1 else math.nan)


MEAN_AND_SPREAD = Exercise(
    name="mean_and_spread",
    title="Mean and spread",
    notebook="13",
    difficulty=1,
    minutes=5,
    reference=paired.mean_and_spread,
    cases=_mean_and_spread_cases,
    slips=(
        Slip(
            lambda values: (
                float(np.mean(values)),
                float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            ),
            "A single seed has no spread that anybody could know. Zero would claim that all seeds are alike; "
            "return NaN (`float('nan')`).",
        ),
        Slip(
            lambda values: (float(np.mean(values)), float(np.std(values))),
            "You divide by n. These are a few seeds out of all there could be, so their own mean lies closer "
            "to them than the true one; divide by n - 1 (`ddof=1`).",
        ),
        Slip(
            _mean_with(lambda values: np.std(values, ddof=1) / np.sqrt(len(values))),
            "That is the uncertainty of the *mean*, which shrinks with more seeds. Asked for is how far "
            "single seeds lie apart: do not divide by the root of n.",
        ),
        Slip(
            _mean_with(lambda values: np.var(values, ddof=1)),
            "That is the variance, in points squared. Take its root.",
        ),
        Slip(
            _mean_with(lambda values: max(values) - min(values)),
            "That is the range between the best and the worst seed. It grows with the number of seeds; asked "
            "for is the standard deviation.",
        ),
        Slip(
            lambda values: (
                float(np.median(values)),
                float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
            ),
            "Your first number is the median. Asked for is the mean.",
        ),
        Slip(
            lambda values: paired.mean_and_spread(values)[::-1],
            "The mean comes first, then the spread.",
        ),
    ),
    hints=(
        "NumPy has both: `np.mean` and `np.std`. What does the second divide by?",
        "`np.std(values, ddof=1)` for two values or more; for one, `float('nan')`.",
    ),
)

# --- a verdict from signs ---------------------------------------------------------------------------------------


def _verdict_reference(differences, may_be_zero):
    return paired.verdict(differences, may_be_zero=may_be_zero)


def _verdict_cases(rng):
    by_hand = [
        ([0.5, 2.0, 1.1], False),
        ([-0.4, -0.1, -3.0], False),
        ([4.0, 5.0, -0.1], False),  # a large mean, and yet
        ([-0.1, -0.2, 3.0], False),
        ([0.0, 0.5, 1.0], False),
        ([0.0, 0.5, 1.0], True),
        ([0.0, 0.0, 0.0], True),
        ([0.0, 0.0, 0.0], False),
        ([0.0, -0.5, -1.0], True),
        ([0.0, -0.5, -1.0], False),
        ([1.5], False),
        ([-2.0, 1.0], True),
    ]
    drawn = [
        (rng.normal(rng.choice([-1, 0, 1]), 1, int(rng.integers(1, 5))).round(1).tolist(), bool(zero))
        for zero in rng.integers(0, 2, 24)
    ]
    return by_hand + drawn


def _verdict_of(supports, differences):
    """The rule, with the sides that differences take to be got wrong."""
    sides = [supports(value) for value in differences]
    return paired.HOLDS if all(sides) else paired.UNDECIDED if any(sides) else paired.FAILS


def _by_share(differences, may_be_zero, share):
    sides = [value >= 0 if may_be_zero else value > 0 for value in differences]
    return paired.HOLDS if share(sides) else paired.FAILS


VERDICT = Exercise(
    name="verdict",
    title="A verdict from signs",
    notebook="13",
    difficulty=1,
    minutes=10,
    reference=_verdict_reference,
    cases=_verdict_cases,
    slips=(
        Slip(
            lambda differences, may_be_zero: _by_share(
                differences, may_be_zero, lambda sides: sum(sides) * 2 > len(sides)
            ),
            "You let the majority decide. Two of three seeds agree three times in four by chance alone; here "
            "all of them have to.",
        ),
        Slip(
            lambda differences, may_be_zero: (
                paired.HOLDS
                if np.mean(differences) > 0 or (may_be_zero and np.mean(differences) == 0)
                else paired.FAILS
            ),
            "You ask for the sign of the mean. One seed with a large difference can outweigh all others; ask "
            "every seed for its sign.",
        ),
        Slip(
            lambda differences, may_be_zero: _by_share(differences, may_be_zero, all),
            "You have two outcomes, and there are three. If some seeds support the claim and others do not, it is "
            '`"undecided"`.',
        ),
        Slip(
            lambda differences, may_be_zero: _verdict_of(lambda value: value > 0, differences),
            'With `may_be_zero` a difference of exactly 0 supports the claim: something that "does not '
            'help" may well change nothing.',
        ),
        Slip(
            lambda differences, may_be_zero: _verdict_of(lambda value: value >= 0, differences),
            "Without `may_be_zero` a difference of exactly 0 supports nothing: only a gain does.",
        ),
        Slip(
            lambda differences, may_be_zero: {
                paired.HOLDS: paired.FAILS,
                paired.FAILS: paired.HOLDS,
            }.get(verdict := _verdict_reference(differences, may_be_zero), verdict),
            "You have the sign the wrong way round: above 0 speaks *for* the claim.",
        ),
    ),
    hints=(
        "First make a list of yes and no, one a seed: does it support the claim?",
        "`supports = [d >= 0 if may_be_zero else d > 0 for d in differences]`. Then there are three cases: "
        "all of them, none of them, the rest.",
    ),
)

# --- the sign test ----------------------------------------------------------------------------------------------


def _sign_cases(rng):
    by_hand = [
        ([1.0, 2.0, 0.5],),  # 2 of 8
        ([-1.0, -2.0, -0.5],),  # the same
        ([1.0, 1.0, -1.0],),  # as even as can be
        ([1.0, 1.0, -1.0, -1.0],),
        ([1.0, 1.0, 1.0, 1.0, 1.0, -1.0],),  # 14 of 64
        ([1.0, 0.0, 0.0, 2.0],),  # two coins
        ([0.0, 0.0],),
        ([],),
        ([3.0],),
    ]
    drawn = []
    for _ in range(20):
        n = int(rng.integers(4, 16))
        drawn.append((rng.choice([-1.3, -0.2, 0.0, 0.4, 2.0], size=n, p=rng.dirichlet(np.ones(5))).tolist(),))
    return by_hand + drawn


def _sides(differences):
    above = sum(value > 0 for value in differences)
    return above, sum(value < 0 for value in differences)


def _tail(fewer, n):
    """How often n coins fall on one side at most so often."""
    return sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n


def _one_sided(differences):
    above, below = _sides(differences)
    return _tail(min(above, below), above + below)


def _this_many_exactly(differences):
    above, below = _sides(differences)
    return min(2 * math.comb(above + below, above) / 2 ** (above + below), 1.0)


def _zeros_count_against(differences):
    above = sum(value > 0 for value in differences)
    n = len(differences)
    return min(2 * _tail(min(above, n - above), n), 1.0)


def _gains_only(differences):
    above, below = _sides(differences)
    return min(2 * _tail(below, above + below), 1.0)


def _not_capped(differences):
    return 2 * _one_sided(differences)


def _by_normal_curve(differences):
    above, below = _sides(differences)
    n = above + below
    if n == 0:
        return 1.0
    return math.erfc(abs(above - n / 2) / math.sqrt(n / 4) / math.sqrt(2))


SIGN_TEST = Exercise(
    name="sign_test",
    title="How often coins agree as much",
    notebook="13",
    difficulty=2,
    minutes=15,
    reference=paired.sign_test,
    cases=_sign_cases,
    slips=(
        Slip(
            _one_sided,
            "You count one side only. Coins could agree on the other side just as well: double it.",
        ),
        Slip(
            _not_capped,
            "A probability above 1? Where both sides are equally strong, doubling counts the middle twice. "
            "It is 1 at most.",
        ),
        Slip(
            _this_many_exactly,
            'You take the probability of exactly this split. "At least as much" takes in all splits that are '
            "still more one-sided.",
        ),
        Slip(
            _zeros_count_against,
            "A difference of exactly 0 takes no side: leave it out, and out of the number of coins too.",
        ),
        Slip(
            _gains_only,
            "Differences below 0 can agree, too. Look at the side that has *fewer*, whichever it is.",
        ),
        Slip(
            _by_normal_curve,
            "That is the bell curve's approximation. For a few coins it is far off; count the ways: "
            "`math.comb(n, k)` of `2**n`.",
        ),
    ),
    hints=(
        "Count the differences above 0 and those below. Forget the zeros. Which side has fewer, and how many "
        "of the 2^n ways to fall are at least as one-sided?",
        "With `fewer` on the weaker side of `n`: `sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n` is "
        "one tail. Two tails, and 1 at most.",
    ),
)

# --- a paired bootstrap interval --------------------------------------------------------------------------------


def _interval_reference(first, second, draws):
    return paired.interval(first, second, draws)


def _interval_cases(rng):
    def drawn(n, n_draws):
        return rng.integers(0, n, size=(n_draws, n))

    fixed = np.random.default_rng(0)
    by_hand = [
        ([1.0, 4.0, 6.0], [0.0, 2.0, 0.0], np.array([[0, 0, 0], [0, 1, 2], [2, 2, 2]])),
        ([5.0, 6.0], [4.0, 5.0], np.array([[0, 0], [0, 1], [1, 1], [1, 0]])),  # always 1
        ([10.0, 30.0, 20.0], [12.0, 29.0, 24.0], fixed.integers(0, 3, size=(40, 3))),
    ]
    cases = []
    for _ in range(15):
        n = int(rng.integers(4, 14))
        second = rng.uniform(5, 60, n).round(1)
        first = (second + rng.normal(1, 3, n)).round(1)
        cases.append((first.tolist(), second.tolist(), drawn(n, int(rng.integers(50, 200)))))
    return by_hand + cases


def _quantiles(means, low=0.025, high=0.975):
    return tuple(np.quantile(means, [low, high]).tolist())


def _differences(first, second):
    return np.asarray(first, float) - np.asarray(second, float)


def _unpaired(first, second, draws):
    draws = np.asarray(draws)
    first, second = np.asarray(first, float), np.asarray(second, float)
    return _quantiles(first[draws].mean(axis=1) - second[np.roll(draws, 1, axis=0)].mean(axis=1))


def _by_spread(first, second, draws):
    means = _differences(first, second)[np.asarray(draws)].mean(axis=1)
    return (float(means.mean() - 1.96 * means.std()), float(means.mean() + 1.96 * means.std()))


BOOTSTRAP_INTERVAL = Exercise(
    name="bootstrap_interval",
    title="A paired bootstrap interval",
    notebook="13",
    difficulty=2,
    minutes=15,
    reference=_interval_reference,
    cases=_interval_cases,
    slips=(
        Slip(
            _unpaired,
            "Each side gets a draw of its own. Take the **same** rows for both sides, so that hard things "
            "are hard "
            'for both: that is what "paired" means.',
        ),
        Slip(
            lambda first, second, draws: _quantiles(
                _differences(first, second)[np.asarray(draws)].mean(axis=1), 0.05, 0.95
            ),
            "Between 5% and 95% lie 90% of the draws. For 95% cut off 2.5% on either side.",
        ),
        Slip(
            lambda first, second, draws: _quantiles(
                _differences(first, second)[np.asarray(draws)].mean(axis=0)
            ),
            "You take the mean over the draws. Each row of `draws` is one imaginary data set: take the mean "
            "*within* a row (`axis=1`), then percentiles over the rows.",
        ),
        Slip(
            lambda first, second, draws: _quantiles(
                np.median(_differences(first, second)[np.asarray(draws)], axis=1)
            ),
            "You take the median of each draw. Asked for is the mean, as mAP is a mean.",
        ),
        Slip(
            lambda first, second, draws: _quantiles(
                _differences(second, first)[np.asarray(draws)].mean(axis=1)
            ),
            "The sign is the wrong way round: `first - second`.",
        ),
        Slip(
            lambda first, second, draws: _quantiles(_differences(first, second)),
            "These are percentiles of the differences themselves. How far can their **mean** be trusted? "
            "Draw first.",
        ),
        Slip(
            _by_spread,
            "Mean and 1.96 standard deviations of the draws are close, if the draws are many and "
            "bell-shaped. Take their percentiles: they need neither.",
        ),
    ),
    hints=(
        "Make the differences first, one a thing. NumPy takes an array of positions as an index: "
        "`differences[draws]` has the shape of `draws`.",
        "`means = differences[draws].mean(axis=1)`, then `np.quantile(means, [0.025, 0.975])`.",
    ),
)

EXERCISES = (MEAN_AND_SPREAD, VERDICT, SIGN_TEST, BOOTSTRAP_INTERVAL)
