"""`LinearSVMs`: one linear SVM per class over shared features, as a scikit-learn estimator."""

import warnings

import numba
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.settings import SVM_BIAS_SCALE, SVM_C, SVM_POSITIVE_WEIGHT
from rcnn_helpers.svm.solver import row_squared_norms, solve


class LinearSVMs(BaseEstimator):
    """One linear SVM per class, all trained together on features that are stored once.

    Each class is the problem of scikit-learn's ``LinearSVC(loss="hinge", dual=True, C=C,
    intercept_scaling=bias_scale, class_weight={1: positive_weight, -1: 1})``, which is LIBLINEAR's ``-s 3``.

    Parameters
    ----------
    C : float
        Weight of the hinge loss beside the regulariser. The R-CNN code uses 1e-3 with features of norm 20.
    positive_weight : float
        How many times more a positive's loss counts than a negative's.
    bias_scale : float
        Value of the constant column that carries the bias; the larger, the less the bias is regularised.
    tol : float
        Training stops at this relative duality gap: the objective is at most this fraction above its minimum.
    max_iter : int
        Rounds of the solver before it gives up with a `ConvergenceWarning`.
    seed : int
        Of the order in which rows are visited. Equal seeds give equal results, for any `n_jobs`.
    n_jobs : int, optional
        Threads; by default as many as numba may use (``NUMBA_NUM_THREADS``). The matrix products among the work
        use BLAS's own threads (``OMP_NUM_THREADS``).

    Attributes
    ----------
    coef_ : float32 array [C, D]
    intercept_ : float32 array [C]
    alphas_ : float32 array [N, C]
        Dual solution: 0 where a row lies beyond its margin, positive where it is a support vector.
    objective_, gap_, n_iter_ : array [C]
        Primal objective, relative duality gap and rounds of each class.
    n_features_in_ : int

    Examples
    --------
    >>> X = np.array([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0]])
    >>> Y = np.array([[1, -1], [-1, 1], [-1, -1]])  # one column a class
    >>> svms = LinearSVMs(C=1.0).fit(X, Y)
    >>> svms.predict(X).tolist()
    [[1, -1], [-1, 1], [-1, -1]]
    """

    def __init__(
        self,
        C=SVM_C,
        positive_weight=SVM_POSITIVE_WEIGHT,
        bias_scale=SVM_BIAS_SCALE,
        tol=1e-3,
        max_iter=200,
        seed=0,
        n_jobs=None,
    ):
        self.C = C
        self.positive_weight = positive_weight
        self.bias_scale = bias_scale
        self.tol = tol
        self.max_iter = max_iter
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(self, X, Y, *, initial_alphas=None):
        """Train all classes.

        Parameters
        ----------
        X : array [N, D]
            Features; used as they are, without a copy, if they are float32 and C-contiguous.
        Y : array [N, C] (or [N] for a single class)
            +1 for positives of the class, -1 for negatives, 0 for rows the class ignores.
        initial_alphas : array [N, C], optional
            Where to start, such as ``alphas_`` of an earlier fit with rows removed or, with alpha 0, added.

        Returns
        -------
        self

        Raises
        ------
        TrainingError
            If shapes or labels do not fit, a feature is not finite, or a class lacks positives or negatives.
        """
        self._check_parameters()
        X = np.ascontiguousarray(_two_dimensional(X, "X"), dtype=np.float32)
        squared_norms = row_squared_norms(X)
        _check_finite(squared_norms, "X")
        labels = _as_labels(Y, len(X))
        alphas = _as_alphas(initial_alphas, labels)
        classes = range(labels.shape[1])
        solutions = solve(X, labels, alphas, squared_norms, classes=classes, **self._solver_options())
        self._store(solutions, alphas)
        return self

    def decision_function(self, X) -> np.ndarray:
        """Scores of every row for every class, float32 [N, C]: one matrix product."""
        check_is_fitted(self, "coef_")
        X = np.asarray(_two_dimensional(X, "X"), dtype=np.float32)
        if X.shape[1] != self.coef_.shape[1]:
            raise TrainingError(
                f"X has {X.shape[1]} features but the SVMs were trained on {self.coef_.shape[1]}; "
                "use the same network and layer as in training"
            )
        return X @ self.coef_.T + self.intercept_

    def predict(self, X) -> np.ndarray:
        """+1 where the score is positive, else -1, int8 [N, C]."""
        return np.where(self.decision_function(X) > 0, 1, -1).astype(np.int8)

    def _check_parameters(self):
        for name in ("C", "positive_weight", "tol", "max_iter"):
            value = getattr(self, name)
            if not value > 0:
                raise TrainingError(f"{name} must be positive, got {value!r}")
        if not self.bias_scale >= 0:
            raise TrainingError(f"bias_scale must be positive, or 0 for no bias; got {self.bias_scale!r}")

    def _solver_options(self) -> dict:
        return {
            "C": self.C,
            "positive_weight": self.positive_weight,
            "bias_scale": self.bias_scale,
            "tol": self.tol,
            "max_iter": self.max_iter,
            "seed": self.seed,
            "n_jobs": self.n_jobs or numba.get_num_threads(),
        }

    def _store(self, solutions, alphas):
        self.coef_ = np.stack([solution.coef for solution in solutions])
        self.intercept_ = np.array([solution.intercept for solution in solutions], dtype=np.float32)
        self.objective_ = np.array([solution.objective for solution in solutions])
        self.gap_ = np.array([solution.gap for solution in solutions])
        self.n_iter_ = np.array([solution.n_iter for solution in solutions])
        self.alphas_ = alphas
        self.n_features_in_ = self.coef_.shape[1]
        self._warn_of_gaps(range(len(solutions)), self.gap_)

    def _warn_of_gaps(self, names, gaps):
        unsolved = [str(name) for name, gap in zip(names, gaps, strict=True) if gap > self.tol]
        if unsolved:
            warnings.warn(
                f"class {', '.join(unsolved)}: duality gap above tol={self.tol} after {self.max_iter} rounds; "
                "raise max_iter or tol, or scale the features to a mean norm near 20",
                ConvergenceWarning,
                stacklevel=4,
            )


def _two_dimensional(array, name):
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        raise TrainingError(f"{name} must be a non-empty array [N, D], got shape {list(array.shape)}")
    return array


def _check_finite(squared_norms, name):
    bad = np.flatnonzero(~np.isfinite(squared_norms))
    if len(bad):
        raise TrainingError(
            f"row {bad[0]} of {name} holds NaN, infinity or numbers too large ({len(bad)} such rows); "
            "remove those rows"
        )


def _as_labels(Y, n_rows) -> np.ndarray:
    Y = np.asarray(Y)
    Y = Y[:, None] if Y.ndim == 1 else Y
    if Y.ndim != 2 or len(Y) != n_rows:
        raise TrainingError(
            f"Y must have shape [{n_rows}, C], one row for each row of X; got {list(Y.shape)}"
        )
    strange = ~np.isin(Y, (-1, 0, 1))
    if strange.any():
        raise TrainingError(
            f"labels must be +1, -1 or 0 (ignored), found {Y[strange][0]!r}; give each class a column of its own"
        )
    for sign, name in ((1, "positive"), (-1, "negative")):
        lacking = np.flatnonzero(~(Y == sign).any(axis=0))
        if len(lacking):
            raise TrainingError(
                f"class {lacking[0]} has no {name} row; drop its column from Y or add {name} examples of it"
            )
    return np.ascontiguousarray(Y, dtype=np.int8)


def _as_alphas(initial_alphas, labels) -> np.ndarray:
    if initial_alphas is None:
        return np.zeros(labels.shape, np.float32)
    alphas = np.asarray(initial_alphas, dtype=np.float32)
    if alphas.shape != labels.shape or not np.isfinite(alphas).all():
        raise TrainingError(
            f"initial_alphas must be finite and of the shape of Y, {list(labels.shape)}; got {list(alphas.shape)}"
        )
    return np.where(labels != 0, alphas, np.float32(0))
