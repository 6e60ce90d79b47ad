"""`BoxRegressors`: from a proposal's pool5 features to where the object is (App. C, eq. 5).

What the targets are, and how boxes move by them, is in `rcnn_helpers.bbox_regression`, which offers it too.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from rcnn_helpers.bbox_regression import apply_regression
from rcnn_helpers.errors import TrainingError
from rcnn_helpers.ridge import RidgeRows
from rcnn_helpers.settings import BOX_REGRESSION_PENALTY

_WHITENING_FLOOR = 0.001  # added to variances, as in the released code


class BoxRegressors(BaseEstimator):
    """One ridge regression per class, from a proposal's features to its regression targets (App. C, eq. 5).

    For each class, with the features ``phi`` of its pairs and their targets ``t``, it minimises

        sum_i (t_i - w . phi_i - b)^2 + penalty ||w||^2

    for each of the four targets. The constant ``b`` is not in the paper's equation; the released code has it, and
    penalises it like a weight. Here it is free.

    Parameters
    ----------
    penalty : float
        The paper's lambda, for features of mean norm 20. It has to be large: with a small one, predictions for
        proposals unlike those of the training are wild.
    whiten : bool
        Decorrelate the four targets before the regression and undo it after, as the released code does. Since the
        four share their features and their penalty, this changes nothing but rounding.

    Attributes
    ----------
    coef_ : float32 array [C, 4, D]
    intercept_ : float32 array [C, 4]
    n_pairs_ : int64 array [C]
        Pairs that each class was trained on; a class without any predicts 0, which moves nothing.

    Examples
    --------
    >>> features = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> targets = np.array([[0.5, 0, 0, 0], [0, 0.5, 0, 0], [-0.5, -0.5, 0, 0]])
    >>> regressors = BoxRegressors(penalty=1e-6).fit(features, targets, [0, 0, 0], n_classes=1)
    >>> regressors.predict(features, [0, 0, 0]).round(3).tolist()
    [[0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [-0.5, -0.5, 0.0, 0.0]]
    """

    def __init__(self, penalty: float = BOX_REGRESSION_PENALTY, whiten: bool = False):
        self.penalty = penalty
        self.whiten = whiten

    def fit(self, features, targets, class_index, *, n_classes: int):
        """Train all classes.

        Parameters
        ----------
        features : array [N, D]
            Of the proposals, scaled as for the SVMs; the paper takes pool5.
        targets : array [N, 4]
            As from `regression_targets`.
        class_index : int array [N]
            Class of the object each proposal is paired with, from 0 to `n_classes` - 1.
        n_classes : int

        Returns
        -------
        self

        Raises
        ------
        TrainingError
            If shapes do not fit, a number is not finite, a class does not exist, or the penalty is not positive.
        """
        self._check_penalty()
        features, targets, class_index = _checked_pairs(features, targets, class_index, n_classes)
        self._allocate(n_classes, features.shape[1])
        for c in np.unique(class_index):
            of_class = class_index == c
            rows = RidgeRows(features.shape[1])
            rows.add(features[of_class], targets[of_class])
            self._fit_class(c, rows)
        return self

    def fit_chunks(self, chunks, *, n_classes: int):
        """Train all classes on pairs that come chunk by chunk, such as image by image; the outcome is `fit`'s.

        A class keeps its rows until they are as many as there are features. From then on it keeps sums over rows
        only: the products of features, a [D, D] matrix, and those of features and targets. So it holds at most D
        times D numbers (340 MB for the T-Net's pool5), and twice that at the turning point.

        Parameters
        ----------
        chunks : iterable of (features [K, D], targets [K, 4], class_index [K])
            As for `fit`; a chunk may have no rows.
        n_classes : int

        Returns
        -------
        self

        Raises
        ------
        TrainingError
            As `fit`; also if there is no chunk, or one has another number of features than those before it.
        """
        self._check_penalty()
        pairs = None
        for number, chunk in enumerate(chunks):
            features, targets, class_index = _checked_pairs(*chunk, n_classes)
            if pairs is None:
                n_features = features.shape[1]
                pairs = [RidgeRows(n_features) for _ in range(n_classes)]
            if features.shape[1] != n_features:
                raise TrainingError(
                    f"chunk {number} has {features.shape[1]} features a row, those before it {n_features}; "
                    "use one network and layer for all"
                )
            for c in np.unique(class_index):
                of_class = class_index == c
                pairs[c].add(features[of_class], targets[of_class])
        if pairs is None:
            raise TrainingError("there is no chunk of pairs to train on; give at least one, if without rows")
        self._allocate(n_classes, n_features)
        for c in range(n_classes):
            of_class, pairs[c] = pairs[c], None  # its memory is free after its turn
            if of_class.n_rows:
                self._fit_class(c, of_class)
        return self

    def _allocate(self, n_classes, n_features):
        self.coef_ = np.zeros((n_classes, 4, n_features), dtype=np.float32)
        self.intercept_ = np.zeros((n_classes, 4), dtype=np.float32)
        self.n_pairs_ = np.zeros(n_classes, dtype=np.int64)
        self.n_features_in_ = n_features

    def _fit_class(self, c: int, rows: RidgeRows) -> None:
        """Train one class on its rows."""
        transform, inverse = _whitening(rows.target_covariance()) if self.whiten else (np.eye(4), np.eye(4))
        coef, intercept = rows.solve(self.penalty, transform)
        self.coef_[c], self.intercept_[c] = inverse.T @ coef, intercept @ inverse
        self.n_pairs_[c] = rows.n_rows

    def _check_penalty(self):
        if not self.penalty > 0:
            raise TrainingError(f"penalty must be positive, got {self.penalty!r}")

    def predict(self, features, class_index) -> np.ndarray:
        """Return the targets that each row's class predicts for it, float32 [N, 4].

        Parameters
        ----------
        features : array [N, D]
        class_index : int array [N], or int
            The class to use for each row, such as the one it was detected as.

        Raises
        ------
        TrainingError
            If there are more or fewer features than in training, or a class does not exist.
        """
        features = self._checked_features(features)
        class_index = np.broadcast_to(np.asarray(class_index, dtype=np.int64), len(features))
        _check_classes(class_index, len(self.coef_))
        predicted = np.zeros((len(features), 4), dtype=np.float32)
        for c in np.unique(class_index):
            rows = class_index == c
            predicted[rows] = features[rows] @ self.coef_[c].T + self.intercept_[c]
        return predicted

    def predict_all(self, features) -> np.ndarray:
        """Return the targets that every class predicts for every row, float32 [N, C, 4]: one matrix product."""
        features = self._checked_features(features)
        n_classes, _, n_features = self.coef_.shape
        predicted = features @ self.coef_.reshape(-1, n_features).T
        return predicted.reshape(len(features), n_classes, 4) + self.intercept_

    def _checked_features(self, features):
        check_is_fitted(self, "coef_")
        features = np.asarray(features, dtype=np.float32)
        n_features = self.coef_.shape[2]
        if features.ndim != 2 or features.shape[1] != n_features:
            raise TrainingError(
                f"features must have shape [N, {n_features}], as in training; got {list(features.shape)}"
            )
        return features

    def refine(self, proposals, features, class_index) -> np.ndarray:
        """Return the boxes that the proposals become, float32 [N, 4]; not clipped to an image."""
        return apply_regression(proposals, self.predict(features, class_index))


def _whitening(covariance):
    """The symmetric transform that decorrelates targets, and its inverse, both [4, 4] (released code)."""
    variances, axes = np.linalg.eigh(covariance)
    scale = np.sqrt(np.maximum(variances, 0) + _WHITENING_FLOOR)
    return axes @ np.diag(1 / scale) @ axes.T, axes @ np.diag(scale) @ axes.T


def _checked_pairs(features, targets, class_index, n_classes):
    features = np.asarray(features, dtype=np.float32)
    targets, class_index = np.asarray(targets, dtype=np.float64), np.asarray(class_index, dtype=np.int64)
    if features.ndim != 2 or targets.shape != (len(features), 4) or class_index.shape != (len(features),):
        raise TrainingError(
            f"features, targets and class_index must have shapes [N, D], [N, 4] and [N]; got "
            f"{list(features.shape)}, {list(targets.shape)} and {list(class_index.shape)}"
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1) | ~np.isfinite(targets).all(axis=1))
    if len(bad):
        raise TrainingError(f"row {bad[0]} holds NaN or infinity ({len(bad)} such rows); remove those rows")
    _check_classes(class_index, n_classes)
    return features, targets, class_index


def _check_classes(class_index, n_classes):
    strange = class_index[(class_index < 0) | (class_index >= n_classes)]
    if len(strange):
        raise TrainingError(f"there is no class {strange[0]}; classes go from 0 to {n_classes - 1}")
