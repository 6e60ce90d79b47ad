"""Ridge regression in closed form, on the smaller side of the data, and on rows that come in a stream.

With ``X`` and ``T`` centred, the weights are

    W = (X'X + penalty I)^-1 X'T = X' (XX' + penalty I)^-1 T,

a system as large as there are features, or as there are rows. `ridge` builds the smaller one. All that the first
form needs of the rows are sums over them (`RidgeSums`), so rows beyond the number of features need not be kept:
`RidgeRows` keeps them while they are few and adds them up when they are many.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import ssyr, ssyrk

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.settings import BOX_REGRESSION_PENALTY

# Rows that a sum over rows takes up at a time: enough for a quick matrix product, and little memory.
_BLOCK_ROWS = 1024


def ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve a ridge regression with a free constant in closed form, on the smaller side of the data.

    Neither a centred copy of `features` nor the larger of the two systems is built.

    Parameters
    ----------
    features : float32 array [N, D]
    targets : array [N, K]
    penalty : float

    Returns
    -------
    coef : float32 array [K, D]
    intercept : float32 array [K]
    """
    n_rows, n_features = features.shape
    if n_features <= n_rows:
        sums = RidgeSums(n_features, targets.shape[1])
        sums.add(features, targets)
        return sums.solve(penalty)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    target_mean = targets.mean(axis=0)
    gram = features @ features.T
    to_mean = features @ mean
    gram -= to_mean[:, None]
    gram -= to_mean[None, :]
    gram += mean @ mean
    dual = _solve(gram, penalty, (targets - target_mean).astype(np.float32))
    coef = (features.T @ dual - np.outer(mean, dual.sum(axis=0))).T
    return coef, (target_mean - coef @ mean).astype(np.float32)


class RidgeSums:
    """Sums over rows, all that a ridge regression needs of them once they outnumber the features.

    Attributes
    ----------
    n_rows : int
    gram : float32 [D, D], Fortran order
        ``X'X``, of which only the lower triangle is kept: the other half would be a mirror image.
    origin : float64 [K]
        Mean target of the first rows. Targets are counted from there, so that little cancels when the true mean is
        taken off in the end.
    products : float64 [D, K]
        ``X'T``.
    features, targets, target_products : float64 [D], [K], [K, K]
        Sums of ``X`` and of ``T`` over rows, and ``T'T``.
    """

    def __init__(self, n_features: int, n_targets: int = 4):
        self.n_rows = 0
        self.gram = np.zeros((n_features, n_features), np.float32, order="F")
        self.products = np.zeros((n_features, n_targets))
        self.origin = None
        self.features = np.zeros(n_features)
        self.targets = np.zeros(n_targets)
        self.target_products = np.zeros((n_targets, n_targets))

    def add(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Take up the rows of `features` [N, D], float32, and `targets` [N, K]."""
        if self.origin is None:
            self.origin = targets.mean(axis=0)
        targets = targets - self.origin
        columns = np.ascontiguousarray(features, dtype=np.float32).T
        self.gram = ssyrk(1.0, columns, beta=1.0, c=self.gram, lower=1, overwrite_c=1)  # in place
        self.products += columns @ targets.astype(np.float32)
        self.features += features.sum(axis=0, dtype=np.float64)
        self.targets += targets.sum(axis=0)
        self.target_products += targets.T @ targets
        self.n_rows += len(features)

    def target_covariance(self) -> np.ndarray:
        """Covariance of the targets, float64 [K, K]."""
        mean = self.targets / self.n_rows
        return self.target_products / self.n_rows - np.outer(mean, mean)

    def solve(self, penalty: float, transform=None) -> tuple[np.ndarray, np.ndarray]:
        """As `ridge`, for targets multiplied by `transform` [K, K]. Works once: `gram` is overwritten."""
        mean, target_mean = self.features / self.n_rows, self.targets / self.n_rows
        products = self.products - self.n_rows * np.outer(mean, target_mean)
        target_mean = target_mean + self.origin
        if transform is not None:
            products, target_mean = products @ transform, target_mean @ transform
        centred = ssyr(-self.n_rows, mean.astype(np.float32), lower=1, a=self.gram, overwrite_a=1)
        coef = _solve(centred, penalty, products.astype(np.float32)).T
        return coef, (target_mean - coef @ mean).astype(np.float32)


def _solve(gram, penalty, right):
    """Solve ``(gram + penalty I) x = right``; of `gram`, which is overwritten, only the lower triangle is read."""
    gram[np.diag_indices_from(gram)] += penalty
    try:
        factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise TrainingError(
            f"the penalty {penalty:g} is too small for these features: in float32 the regression has no solution; "
            f"the paper's is {BOX_REGRESSION_PENALTY:g}, for features of mean norm 20"
        ) from None
    return cho_solve(factor, right)


class RidgeRows:
    """Rows for one ridge regression of four targets, as they come: kept while they are few, then added up.

    Attributes
    ----------
    n_rows : int
        Rows so far.
    """

    def __init__(self, n_features: int):
        self.n_kept = 0
        self.most_kept = n_features
        self.features = np.zeros((0, n_features), np.float32)  # grows in steps; the first n_kept rows count
        self.targets = np.zeros((0, 4))
        self.sums: RidgeSums | None = None  # of the rows that are not kept any more

    @property
    def n_rows(self) -> int:
        return self.n_kept + (self.sums.n_rows if self.sums else 0)

    def add(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Take up the rows of `features` [N, D], float32, and `targets` [N, 4]."""
        start = 0
        while start < len(features):
            if self.n_kept == self.most_kept:
                self._add_up()
            stop = min(len(features), start + self.most_kept - self.n_kept)
            self._keep(features[start:stop], targets[start:stop])
            start = stop

    def target_covariance(self) -> np.ndarray:
        """Covariance of the targets, float64 [4, 4]."""
        if self.sums is None:
            return np.cov(self.targets[: self.n_kept], rowvar=False, bias=True)
        self._add_up()
        return self.sums.target_covariance()

    def solve(self, penalty: float, transform) -> tuple[np.ndarray, np.ndarray]:
        """As `ridge`, for targets multiplied by `transform` [4, 4]. Works once."""
        if self.sums is None:
            return ridge(self.features[: self.n_kept], self.targets[: self.n_kept] @ transform, penalty)
        self._add_up()
        return self.sums.solve(penalty, transform)

    def _keep(self, features, targets):
        end = self.n_kept + len(features)
        if end > len(self.features):
            self._resize(min(max(end, 2 * len(self.features)), self.most_kept))
        self.features[self.n_kept : end], self.targets[self.n_kept : end] = features, targets
        self.n_kept = end

    def _add_up(self):
        if self.n_kept == 0:
            return
        n_features = self.features.shape[1]
        if self.sums is None:
            self.sums = RidgeSums(n_features)
        self.sums.add(self.features[: self.n_kept], self.targets[: self.n_kept])
        self.n_kept, self.most_kept = 0, min(n_features, _BLOCK_ROWS)
        self._resize(min(len(self.features), self.most_kept))

    def _resize(self, capacity):
        for array in (self.features, self.targets):  # in place: the rows are not held twice
            array.resize((capacity, array.shape[1]), refcheck=False)
