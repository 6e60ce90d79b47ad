"""Paired differences: two ways to build a detector, measured on the same seeds or on the same classes.

Two seeds of the same detector can differ by more than two detectors do: one of them drew the harder pictures. Both
sides of a comparison meet the same pictures, though, so the *difference* within a seed is free of that. What is
asked of such differences here: how large they are, whether they agree (`verdict`), how often chance would agree as
much (`sign_test`), and how far their mean can be trusted (`interval`).

Plain Python on plain numbers, so that a table of results need not wait for a numerical library; only `interval`
imports NumPy.
"""

import math
from collections.abc import Mapping, Sequence

from rcnn_helpers.errors import SettingsError

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


def differences(first: Mapping, second: Mapping) -> dict:
    """What `first` has more than `second`, for every key (seed, class) that both have, in the order of `first`.

    A value that is not a number (NaN) has no difference.
    """
    found = {key: first[key] - second[key] for key in first if key in second}
    return {key: value for key, value in found.items() if not math.isnan(value)}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and standard deviation as of a sample (divided by n - 1).

    Parameters
    ----------
    values : sequence of float

    Returns
    -------
    (float, float)
        The spread of a single value is NaN, and so are both of none.
    """
    values = [float(value) for value in values]
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (len(values) - 1))


def verdict(values: Sequence[float], *, may_be_zero: bool = False) -> str:
    """Whether differences speak with one voice: "holds", "does not hold", or "undecided" if they do not.

    Parameters
    ----------
    values : sequence of float
        One difference a seed; above 0 speaks for the claim.
    may_be_zero : bool
        Whether 0 speaks for the claim, too, as for "does not help".

    Raises
    ------
    SettingsError
        If there is no difference at all.

    Notes
    -----
    Three seeds of pure chance agree one time in four: a verdict is only as good as its number of seeds.
    """
    if len(values) == 0:
        raise SettingsError("there are no differences to judge; give one for each seed")
    supporting = [value >= 0 if may_be_zero else value > 0 for value in values]
    if all(supporting):
        return HOLDS
    return UNDECIDED if any(supporting) else FAILS


def sign_test(values: Sequence[float]) -> float:
    """How often fair coins would agree at least as much as the signs of these differences do (two-sided, exact).

    Parameters
    ----------
    values : sequence of float
        Differences; those that are exactly 0 take no side and are left out.

    Returns
    -------
    float
        In (0, 1]; 1 if no difference takes a side.
    """
    above = sum(value > 0 for value in values)
    sides = above + sum(value < 0 for value in values)
    fewer = min(above, sides - above)
    tail = sum(math.comb(sides, k) for k in range(fewer + 1)) / 2**sides
    return min(2 * tail, 1.0)


def resamples(n: int, n_draws: int, rng):
    """Rows of a bootstrap: `n_draws` times `n` positions out of `n`, drawn with replacement.

    Parameters
    ----------
    n, n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    int array of shape [n_draws, n]
    """
    if n < 1 or n_draws < 1:
        raise SettingsError(
            f"{n_draws} draws of {n} things cannot be made; both numbers must be at least one"
        )
    return rng.integers(0, n, size=(n_draws, n))


def interval(first, second, draws, *, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of a mean paired difference: where it lies in `level` of the draws.

    Parameters
    ----------
    first, second : float arrays of shape [n]
        The two sides, measured on the same n things.
    draws : int array of shape [n_draws, n]
        As from `resamples`. Both sides are drawn with the same rows: that is what makes it paired.
    level : float

    Returns
    -------
    (float, float)
        Percentiles (1 - level) / 2 and (1 + level) / 2 of the mean of ``first - second`` over the draws.

    Raises
    ------
    SettingsError
        If the two sides are not equally long.
    """
    import numpy as np

    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise SettingsError(
            f"the two sides have shapes {first.shape} and {second.shape}; a paired difference needs as many "
            "numbers on either side, one a thing measured"
        )
    means = (first - second)[np.asarray(draws)].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
