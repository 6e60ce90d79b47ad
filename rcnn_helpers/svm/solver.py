"""Dual coordinate descent for many linear SVMs that share their rows.

For one class with rows ``x_i``, signs ``y_i`` in {+1, -1} and ``z_i = (x_i, B)``, where the constant ``B`` is the
bias scale, the problem is LIBLINEAR's ``-s 3 -B B``, the one the R-CNN code solves:

    primal   min over w      P(w) = 1/2 |w|^2 + sum_i u_i max(0, 1 - y_i w.z_i)
    dual     max over alpha  D(a) = sum_i a_i - 1/2 |w(a)|^2,   0 <= a_i <= u_i,   w(a) = sum_i a_i y_i z_i

with ``u_i = C`` for negatives and ``C * positive_weight`` for positives. The bias is ``B * w_last``; it is
regularised with the rest, weakly because ``B`` is large. ``P(w(a)) >= D(a)`` always holds, with equality at the
solution: the relative duality gap ``(P - D) / P`` bounds how far the objective is from its minimum, and is what
`solve` stops at.

Coordinate descent (Hsieh et al., "A dual coordinate descent method for large-scale linear SVM", ICML 2008) picks
one row, sets its ``a_i`` to the best value while all others stay, and corrects ``w``; one visit costs two
passes over one row. At the solution almost all ``a_i`` are 0 (the row lies beyond its margin) or ``u_i``, so
`solve` works in rounds and visits few rows:

1. score the rows of all classes: one matrix product serves every class, gives the exact gap, and tells which
   rows of which class can still move;
2. for each class by itself, some epochs of coordinate descent over those rows only.

The rows are read-only and stored once. The classes do not touch each other's state, so threads share them out and
the result is the same for any number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

# A row at a bound of its alpha joins the round if its margin is this close to 1 (or violated).
_MARGIN_SLACK = 0.1
# Rows that enter a class's working set in the first round: this fraction, and at least this many.
_FIRST_FRACTION, _FIRST_ROWS = 0.05, 500
# Coordinate descent of the first round ends at this spread of projected gradients, each later round at half of it.
_FIRST_SPREAD, _LAST_SPREAD = 0.1, 1e-5
_EPOCHS_PER_ROUND = 10
# Stands for the squared norm of a row that is all zeros, which no weights can score.
_TINY = np.float32(1e-12)
# A matrix product over all rows is this many times cheaper, per row and class, than scoring row by row.
_PRODUCT_ADVANTAGE = 4


@dataclass
class ClassSolution:
    """What `solve` found for one class.

    Attributes
    ----------
    coef : float32 array [D]
    intercept : float
    rows : int64 array [n]
        Rows of the features that belong to the class's problem.
    scores : float32 array [n]
        ``rows @ coef + intercept``.
    positive_loss, negative_loss : float
        Hinge losses, weighted by ``C`` (and the weight of positives), summed over either sign.
    objective : float
        The primal objective P; an upper bound of the minimum.
    gap : float
        Relative duality gap ``(P - D) / P``.
    n_iter : int
        Rounds until the gap was small enough.
    """

    coef: np.ndarray
    intercept: float
    rows: np.ndarray
    scores: np.ndarray
    positive_loss: float
    negative_loss: float
    objective: float
    gap: float
    n_iter: int


def solve(
    features,
    labels,
    alphas,
    squared_norms,
    *,
    classes,
    C,
    positive_weight,
    bias_scale,
    tol,
    max_iter,
    seed=0,
    n_jobs=1,
) -> list[ClassSolution]:
    """Minimise the objectives of `classes` to a relative duality gap of `tol`.

    Parameters
    ----------
    features : float32 array [N, D], C-contiguous
    labels : int8 array [N, K]
        +1, -1, or 0 where a row is not part of a class's problem.
    alphas : float32 array [N, K]
        Start, and on return the solution: written to in place, in the columns `classes`. Values where the label
        is 0 are not looked at. The weights are always rebuilt from the alphas, so rows may be added (alpha 0)
        and removed between calls: that is the warm start.
    squared_norms : float32 array [N]
        Of the features' rows: `row_squared_norms`.
    classes : sequence of int
        Columns to solve.
    C, positive_weight, bias_scale : float
        See the head of this module.
    tol : float
        Relative duality gap to reach.
    max_iter : int
        Rounds after which to give up; compare ``gap`` with `tol`.
    seed : int
        Of the order in which rows are visited.
    n_jobs : int
        Threads.

    Returns
    -------
    list of ClassSolution, in the order of `classes`
    """
    curvature = np.maximum(squared_norms + np.float32(bias_scale) ** 2, _TINY)  # |z_i|^2
    problems = [_Problem(labels[:, k], alphas[:, k], C, positive_weight, features.shape[1]) for k in classes]
    bias_scale = np.float32(bias_scale)
    tie_breaks = np.random.default_rng(seed).random(len(features), dtype=np.float32)

    with ThreadPoolExecutor(n_jobs) as pool:

        def descend(problem):
            problem.descend(features, curvature, bias_scale, seed, tie_breaks)

        list(pool.map(lambda problem: problem.rebuild_weights(features, bias_scale), problems))
        unsolved = problems
        while True:
            _score(features, unsolved, bias_scale, pool)
            unsolved = [p for p in unsolved if p.gap() > tol and p.n_iter < max_iter]
            if not unsolved:
                break
            list(pool.map(descend, unsolved))

    for k, problem in zip(classes, problems, strict=True):
        alphas[problem.rows, k] = problem.alphas
    return [problem.solution(bias_scale) for problem in problems]


def primal_objective(X, y, coef, intercept, *, C, positive_weight, bias_scale) -> float:
    """The primal objective P of one class for any weights, whichever solver they come from.

    Parameters
    ----------
    X : array [N, D]
    y : array [N]
        +1, -1, or 0 for rows that are left out.
    coef : array [D]
    intercept : float
    C, positive_weight, bias_scale : float
        As in `LinearSVMs`; `bias_scale` must not be 0.
    """
    X, y, coef = (np.asarray(array, dtype=np.float64) for array in (X, y, coef))
    shortfall = np.maximum(0, 1 - y * (X @ coef + intercept))
    upper = C * np.where(y > 0, positive_weight, np.abs(y))
    return float((coef @ coef + (intercept / bias_scale) ** 2) / 2 + upper @ shortfall)


class _Problem:
    """The state of one class: its rows, signs, bounds, alphas, weights and last scores."""

    def __init__(self, labels, alphas, C, positive_weight, n_features):
        self.rows = np.flatnonzero(labels)
        self.signs = labels[self.rows].astype(np.float32)
        self.upper = np.where(self.signs > 0, np.float32(C * positive_weight), np.float32(C))
        self.alphas = np.clip(alphas[self.rows], 0, self.upper)
        self.weights = np.zeros(n_features + 1, np.float32)
        self.scores = np.zeros(len(self.rows), np.float32)
        self.n_iter = 0

    def rebuild_weights(self, features, bias_scale):
        moved = np.flatnonzero(self.alphas)
        pull = self.alphas[moved] * self.signs[moved]
        _add_rows(features, self.rows[moved], pull, bias_scale, self.weights)

    def descend(self, features, curvature, bias_scale, seed, tie_breaks):
        spread = max(_FIRST_SPREAD * 0.5**self.n_iter, _LAST_SPREAD)
        _coordinate_descent(
            features,
            self.rows,
            self._working_set(tie_breaks),
            self.signs,
            self.upper,
            curvature,
            bias_scale,
            self.alphas,
            self.weights,
            spread,
            _EPOCHS_PER_ROUND + self.n_iter,
            np.random.default_rng([seed, self.n_iter]),
        )
        self.n_iter += 1

    def _working_set(self, tie_breaks):
        """Rows that may move: alpha inside its bounds, or at a bound with a margin near or across 1.

        Negatives that enter from alpha 0 are capped, worst violations first, and the cap doubles from round to
        round: early weights are poor, and most of what violates them will not violate the solution's.
        """
        slope = self.signs * self.scores - 1  # of -D along alpha_i
        at_zero, at_upper = self.alphas <= 0, self.alphas >= self.upper
        settled = (at_zero & (slope >= _MARGIN_SLACK)) | (at_upper & (slope <= -_MARGIN_SLACK))
        capped = at_zero & ~settled & (self.signs < 0)
        working = np.flatnonzero(~settled & ~capped)
        entering = np.flatnonzero(capped)
        cap = max(_FIRST_ROWS, int(_FIRST_FRACTION * len(self.rows))) * 2**self.n_iter
        if len(entering) > cap:
            urgency = slope[entering] + 1e-3 * tie_breaks[self.rows[entering]]
            entering = entering[np.argpartition(urgency, cap)[:cap]]
        return np.concatenate([working, entering])

    def losses(self):
        """Weighted hinge losses of positives and of negatives."""
        hinge = self.upper * np.maximum(0, 1 - self.signs * self.scores)
        positive = self.signs > 0
        return float(hinge[positive].sum(dtype=float)), float(hinge[~positive].sum(dtype=float))

    def objective(self):
        """Primal objective P(w)."""
        return self._regulariser() + sum(self.losses())

    def gap(self):
        """Relative duality gap (P - D) / P."""
        dual = float(self.alphas.sum(dtype=float)) - self._regulariser()
        primal = self.objective()
        return (primal - dual) / primal

    def _regulariser(self):
        weights = self.weights.astype(float)
        return 0.5 * float(weights @ weights)

    def solution(self, bias_scale):
        positive_loss, negative_loss = self.losses()
        return ClassSolution(
            coef=self.weights[:-1].copy(),
            intercept=float(bias_scale * self.weights[-1]),
            rows=self.rows,
            scores=self.scores,
            positive_loss=positive_loss,
            negative_loss=negative_loss,
            objective=self.objective(),
            gap=self.gap(),
            n_iter=self.n_iter,
        )


def _score(features, problems, bias_scale, pool):
    """Score every row of every problem: by one matrix product if most rows serve most classes."""
    wanted = sum(len(problem.rows) for problem in problems)
    if wanted * _PRODUCT_ADVANTAGE >= len(features) * len(problems):
        weights = np.stack([problem.weights for problem in problems])
        scores = features @ weights[:, :-1].T + bias_scale * weights[:, -1]
        for problem, column in zip(problems, scores.T, strict=True):
            problem.scores = column[problem.rows]
    else:
        list(pool.map(lambda p: _score_rows(features, p.rows, bias_scale, p.weights, p.scores), problems))


def row_squared_norms(features) -> np.ndarray:
    """Return ``|x_i|^2`` for every row, float32 [N]; not finite exactly where a row is not."""
    return np.einsum("ij,ij->i", features, features)


# Sums may be reordered, so that they run in vector registers; the order is fixed when the loop is compiled.
_FAST_SUMS = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_FAST_SUMS)
def _dot(x, w):
    total = np.float32(0)
    for d in range(len(x)):
        total += x[d] * w[d]
    return total


@numba.njit(cache=True, nogil=True, fastmath=_FAST_SUMS)
def _add_rows(features, rows, factors, bias_scale, weights):
    """weights += sum over rows of factor * (x, bias_scale)."""
    n_features = features.shape[1]
    for i in range(len(rows)):
        x = features[rows[i]]
        for d in range(n_features):
            weights[d] += factors[i] * x[d]
        weights[n_features] += factors[i] * bias_scale


@numba.njit(cache=True, nogil=True, fastmath=_FAST_SUMS)
def _score_rows(features, rows, bias_scale, weights, scores):
    n_features = features.shape[1]
    for i in range(len(rows)):
        scores[i] = _dot(features[rows[i]], weights[:n_features]) + bias_scale * weights[n_features]


@numba.njit(cache=True, nogil=True)
def _shuffle(items, rng):
    # numba compiles the generator's own shuffle for five seconds, its random numbers at once.
    for i in range(len(items) - 1):
        j = i + int(rng.random() * (len(items) - i))
        items[i], items[j] = items[j], items[i]


@numba.njit(cache=True, nogil=True, fastmath=_FAST_SUMS)
def _coordinate_descent(
    features, rows, working, signs, upper, curvature, bias_scale, alphas, weights, spread, max_epochs, rng
):
    """Visit the rows in `working`, in a new order each epoch, until projected gradients lie within `spread`.

    Rows whose alpha sits at a bound and whose gradient is beyond last epoch's extremes leave the working set
    (LIBLINEAR's shrinking); the next round's exact scores bring back the few that left too early.
    """
    n_features = features.shape[1]
    n_working = len(working)
    last_highest, last_lowest = np.inf, -np.inf
    for _ in range(max_epochs):
        highest, lowest = -np.inf, np.inf
        _shuffle(working[:n_working], rng)
        position = 0
        while position < n_working:
            i = working[position]
            x = features[rows[i]]
            score = _dot(x, weights[:n_features]) + bias_scale * weights[n_features]
            gradient = signs[i] * score - np.float32(1)
            at_zero, at_upper = alphas[i] <= 0, alphas[i] >= upper[i]
            if (at_zero and gradient > last_highest) or (at_upper and gradient < last_lowest):
                n_working -= 1
                working[position], working[n_working] = working[n_working], working[position]
                continue
            position += 1
            projected = gradient
            if (at_zero and gradient > 0) or (at_upper and gradient < 0):
                projected = np.float32(0)
            highest, lowest = max(highest, projected), min(lowest, projected)
            if projected == 0:
                continue
            best = min(max(alphas[i] - gradient / curvature[rows[i]], np.float32(0)), upper[i])
            change = (best - alphas[i]) * signs[i]
            alphas[i] = best
            for d in range(n_features):
                weights[d] += change * x[d]
            weights[n_features] += change * bias_scale
        if highest - lowest <= spread:
            break
        last_highest = highest if highest > 0 else np.inf
        last_lowest = lowest if lowest < 0 else -np.inf
