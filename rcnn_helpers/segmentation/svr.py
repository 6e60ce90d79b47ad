"""Support vector regression: how well a region covers an object of each class, from its features (sec. 5).

A region is seldom all of an object or nothing of it. So instead of "is this a horse?" a regressor for each class
is asked "what is the intersection over union of this region with a horse?". O2P does so, and the paper follows.

For one class with rows ``x_i``, overlaps ``y_i`` in [0, 1] and ``z_i = (x_i, B)``, where the constant ``B``
carries the bias, the problem is LIBLINEAR's ``-s 13``, regression with an insensitive zone of half width
``epsilon``:

    primal   min over w     P(w) = 1/2 |w|^2 + C sum_i max(0, |y_i - w.z_i| - epsilon)
    dual     max over beta  D(b) = sum_i (y_i b_i - epsilon |b_i|) - 1/2 |w(b)|^2
                            with |b_i| <= C and w(b) = sum_i b_i z_i

``P >= D`` always, with equality at the solution: ``(P - D) / P`` bounds how far the objective is from its minimum.

Coordinate descent (Ho and Lin, "Large-scale linear support vector regression", JMLR 2012) sets one ``b_i`` to the
best value while the others stay: one Newton step, softened by epsilon and clipped to [-C, C]. As in
`rcnn_helpers.svm.solver`, rounds alternate between one matrix product, which gives the scores of all rows for all
classes and the exact gap, and some epochs over the rows of each class that can still move. A region that overlaps
no object of the class and is predicted to do so is within the zone, and costs nothing more: most rows are such.

Memory: the features once, as they are given (float32), and some 8 bytes for each row and class. No row is left
out. `training_rows` chooses which regions to compute features for, if all are too many.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.settings import FEATURE_NORM, SVM_BIAS_SCALE
from rcnn_helpers.svm.solver import row_squared_norms

_EPOCHS_PER_ROUND = 10
# A row without weight joins a round if its residual comes this close to the edge of the zone, in units of epsilon.
_ZONE_SLACK = 0.25
_TINY = np.float32(1e-12)


class SupportVectorRegressors(BaseEstimator):
    """One linear epsilon-insensitive regressor per class, all trained on features that are stored once.

    Each class is the problem of scikit-learn's ``LinearSVR(loss="epsilon_insensitive", dual=True, C=C,
    epsilon=epsilon, intercept_scaling=bias_scale)`` on features scaled to a mean norm of `feature_norm`.

    Parameters
    ----------
    C : float
        Weight of the loss beside the regulariser, for features of norm 20. On ToyVOC's 70 validation pictures (130
        to train, full+fg of fc6) 1e-4, 3e-4, 1e-3 and 1e-2 gave a mean accuracy of 21.3, 23.6, 24.1 and 21.6%.
    epsilon : float
        Errors up to this overlap cost nothing.
    bias_scale : float
        Value of the constant column that carries the bias; the larger, the less the bias is regularised.
    feature_norm : float or None
        Mean L2 norm that rows are scaled to, in training and prediction alike, so that one `C` suits all features;
        20 as for the SVMs of the detector. None: features are used as they are.
    tol : float
        Training stops at this relative duality gap.
    max_iter : int
        Rounds before it gives up with a `ConvergenceWarning`.
    seed : int
        Of the order in which rows are visited. Equal seeds give equal results, for any `n_jobs`.
    n_jobs : int, optional
        Threads; by default as many as numba may use.

    Attributes
    ----------
    coef_ : float32 array [C, D]
        Of the features as they are given: the scale is in it.
    intercept_ : float32 array [C]
    scale_ : float
        Factor that brings the mean norm of the training rows to `feature_norm`.
    objective_, gap_, n_iter_ : array [C]
        Primal objective, relative duality gap and rounds of each class.
    n_features_in_ : int

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 1.0]])
    >>> overlaps = np.array([[0.9], [0.1], [0.5], [0.7]])
    >>> regressors = SupportVectorRegressors(C=1.0, epsilon=0.01, feature_norm=None).fit(X, overlaps)
    >>> bool(np.abs(regressors.predict(X) - overlaps).max() < 0.2)
    True
    """

    def __init__(
        self,
        C: float = 1e-3,
        epsilon: float = 0.1,
        bias_scale: float = SVM_BIAS_SCALE,
        feature_norm: float | None = FEATURE_NORM,
        tol: float = 1e-3,
        max_iter: int = 200,
        seed: int = 0,
        n_jobs: int | None = None,
    ):
        self.C = C
        self.epsilon = epsilon
        self.bias_scale = bias_scale
        self.feature_norm = feature_norm
        self.tol = tol
        self.max_iter = max_iter
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(self, X, Y):
        """Train all classes.

        Parameters
        ----------
        X : array [N, D]
            Features; used without a copy if they are float32 and C-contiguous.
        Y : array [N, C] (or [N] for a single class)
            Overlap of each region with the object of each class that it covers best, 0 where there is none.

        Returns
        -------
        self

        Raises
        ------
        TrainingError
            If shapes do not fit, a number is not finite, or an option is out of range.
        """
        self._check_parameters()
        X, targets = _checked_features(X), _checked_targets(Y, len(X))
        squared_norms = row_squared_norms(X)
        _check_finite(squared_norms, "X")
        self.scale_ = self._feature_scale(squared_norms)
        problems = [
            _Problem(targets[:, c], self.scale_, X.shape[1], self._options()) for c in range(targets.shape[1])
        ]
        self._solve(X, squared_norms, problems)
        self.coef_ = np.stack([problem.weights[:-1] for problem in problems])
        self.intercept_ = np.array(
            [problem.weights[-1] * self.bias_scale for problem in problems], dtype=np.float32
        )
        self.objective_ = np.array([problem.objective() for problem in problems])
        self.gap_ = np.array([problem.gap() for problem in problems])
        self.n_iter_ = np.array([problem.n_iter for problem in problems])
        self.n_features_in_ = X.shape[1]
        self._warn_of_gaps()
        return self

    def predict(self, X) -> np.ndarray:
        """Predicted overlap of every row with every class, float32 [N, C]; not confined to [0, 1].

        Raises
        ------
        TrainingError
            If there are more or fewer features than in training.
        """
        check_is_fitted(self, "coef_")
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] != self.coef_.shape[1]:
            raise TrainingError(
                f"X must have shape [N, {self.coef_.shape[1]}], as in training; got {list(X.shape)}; use the same "
                "network, layer and kind of features"
            )
        return X @ self.coef_.T + self.intercept_

    def _solve(self, X, squared_norms, problems):
        curvature = np.maximum(
            np.float32(self.scale_**2) * squared_norms + np.float32(self.bias_scale) ** 2, _TINY
        )
        with ThreadPoolExecutor(self.n_jobs or numba.get_num_threads()) as pool:
            unsolved = problems
            while unsolved:
                weights = np.stack([problem.weights for problem in unsolved])
                scores = X @ weights[:, :-1].T + np.float32(self.bias_scale) * weights[:, -1]
                for problem, column in zip(unsolved, scores.T, strict=True):
                    problem.scores = np.ascontiguousarray(column)
                unsolved = [p for p in unsolved if p.gap() > self.tol and p.n_iter < self.max_iter]
                list(pool.map(lambda problem: problem.descend(X, curvature), unsolved))

    def _feature_scale(self, squared_norms) -> float:
        if self.feature_norm is None:
            return 1.0
        mean_norm = float(np.sqrt(squared_norms).mean(dtype=np.float64))
        return self.feature_norm / mean_norm if mean_norm else 1.0

    def _options(self) -> dict:
        return {"C": self.C, "epsilon": self.epsilon, "bias_scale": self.bias_scale, "seed": self.seed}

    def _check_parameters(self):
        for name in ("C", "tol", "max_iter", "feature_norm"):
            value = getattr(self, name)
            if name == "feature_norm" and value is None:
                continue
            if not value > 0:
                raise TrainingError(f"{name} must be positive, got {value!r}")
        for name in ("epsilon", "bias_scale"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must be 0 or more, got {getattr(self, name)!r}")

    def _warn_of_gaps(self):
        unsolved = np.flatnonzero(self.gap_ > self.tol)
        if len(unsolved):
            warnings.warn(
                f"class {', '.join(map(str, unsolved))}: duality gap above tol={self.tol} after {self.max_iter} "
                "rounds; raise max_iter, tol or epsilon, or lower C",
                ConvergenceWarning,
                stacklevel=3,
            )


def training_rows(overlaps, *, max_background: int | None = None, seed: int = 0) -> np.ndarray:
    """Choose the regions to train on: all that overlap an object of any class, and a sample of the others.

    Regions on nothing are the most frequent and the least telling. Where the features of all would not fit into
    memory, compute those of these rows only.

    Parameters
    ----------
    overlaps : array [N, C]
    max_background : int, optional
        Of the regions that overlap nothing, at most so many; by default all of them.
    seed : int
        Of the sample.

    Returns
    -------
    int64 array [K]
        Sorted.
    """
    overlaps = np.asarray(overlaps)
    if overlaps.ndim != 2 or (max_background is not None and max_background < 0):
        raise TrainingError(
            f"overlaps must have shape [N, C] and max_background must be 0 or more; got shape "
            f"{list(overlaps.shape)} and {max_background!r}"
        )
    touches = (overlaps > 0).any(axis=1)
    background = np.flatnonzero(~touches)
    if max_background is not None and len(background) > max_background:
        background = np.random.default_rng(seed).choice(background, max_background, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(touches), background]))


class _Problem:
    """The state of one class: its targets, dual variables, weights of the unscaled features, and last scores."""

    def __init__(self, targets, scale, n_features, options):
        self.targets = np.ascontiguousarray(targets)
        self.betas = np.zeros(len(targets), np.float32)
        # w.z = scale * w[:-1].x + B * w[-1]; kept is scale * w[:-1], so that features need no scaled copy.
        self.weights = np.zeros(n_features + 1, np.float32)
        self.scores = np.zeros(len(targets), np.float32)
        self.scale, self.options, self.n_iter = scale, options, 0

    def descend(self, X, curvature):
        """Some epochs over the rows that can still move, each in an order of its own."""
        rng = np.random.default_rng([self.options["seed"], self.n_iter])
        working = self._working_set()
        for _ in range(_EPOCHS_PER_ROUND + self.n_iter):
            _epoch(
                X,
                rng.permutation(working),
                self.targets,
                curvature,
                np.float32(self.scale**2),
                np.float32(self.options["bias_scale"]),
                np.float32(self.options["C"]),
                np.float32(self.options["epsilon"]),
                self.betas,
                self.weights,
            )
        self.n_iter += 1

    def _working_set(self):
        epsilon = self.options["epsilon"]
        outside = np.abs(self.targets - self.scores) >= (1 - _ZONE_SLACK) * epsilon
        return np.flatnonzero(outside | (self.betas != 0))

    def objective(self):
        """Primal objective P(w)."""
        beyond = np.abs(self.targets - self.scores) - self.options["epsilon"]
        return self._regulariser() + self.options["C"] * float(np.maximum(beyond, 0).sum(dtype=float))

    def gap(self):
        """Relative duality gap (P - D) / P; 0 where both are 0."""
        gains = self.targets * self.betas - self.options["epsilon"] * np.abs(self.betas)
        dual = float(gains.sum(dtype=float)) - self._regulariser()
        primal = self.objective()
        return (primal - dual) / primal if primal > 0 else 0.0

    def _regulariser(self):
        weights = self.weights.astype(float)
        return 0.5 * float(weights[:-1] @ weights[:-1] / self.scale**2 + weights[-1] ** 2)


def _checked_features(X):
    X = np.asarray(X)
    if X.ndim != 2 or X.size == 0:
        raise TrainingError(f"X must be a non-empty array [N, D], got shape {list(X.shape)}")
    return np.ascontiguousarray(X, dtype=np.float32)


def _checked_targets(Y, n_rows):
    Y = np.asarray(Y, dtype=np.float32)
    Y = Y[:, None] if Y.ndim == 1 else Y
    if Y.ndim != 2 or len(Y) != n_rows or Y.shape[1] == 0:
        raise TrainingError(
            f"Y must have shape [{n_rows}, C], one row for each row of X; got {list(Y.shape)}"
        )
    _check_finite(Y.sum(axis=1), "Y")
    return Y


def _check_finite(row_values, name):
    bad = np.flatnonzero(~np.isfinite(row_values))
    if len(bad):
        raise TrainingError(
            f"row {bad[0]} of {name} holds NaN, infinity or numbers too large ({len(bad)} such rows); "
            "remove those rows"
        )


# Sums may be reordered, so that they run in vector registers; the order is fixed when the loop is compiled.
@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _epoch(X, order, targets, curvature, squared_scale, bias_scale, C, epsilon, betas, weights):
    """Set each beta of `order` to its best value, with all others as they are, and correct the weights."""
    n_features = X.shape[1]
    for position in range(len(order)):
        i = order[position]
        x = X[i]
        score = bias_scale * weights[n_features]
        for d in range(n_features):
            score += x[d] * weights[d]
        newton = betas[i] + (targets[i] - score) / curvature[i]
        softened = max(abs(newton) - epsilon / curvature[i], np.float32(0))
        best = min(softened, C) if newton > 0 else -min(softened, C)
        change = best - betas[i]
        if change == 0:
            continue
        betas[i] = best
        for d in range(n_features):
            weights[d] += change * squared_scale * x[d]
        weights[n_features] += change * bias_scale
