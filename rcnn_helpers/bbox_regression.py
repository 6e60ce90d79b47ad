"""Bounding-box regression: how a proposal would have to move and stretch to fit an object (sec. 3.5 and App. C).

With a box's centre ``(x, y)``, width ``w`` and height ``h``, a proposal ``P`` and an object's true box ``G`` have
the targets

    t_x = (G_x - P_x) / P_w        t_y = (G_y - P_y) / P_h        (eqs. 6 and 7)
    t_w = log(G_w / P_w)           t_h = log(G_h / P_h)           (eqs. 8 and 9)

and applying them moves the proposal onto the object again (eqs. 1 to 4). They are measured in the proposal's own
size, so they stay as they are when a picture is scaled or shifted. So does what the network sees: a crop that
always has the same size.

`BoxRegressors` predicts the targets from a proposal's features, by one ridge regression a class (eq. 5), learned
from the proposals that lie near an object (`training_pairs`). `regress_within` moves boxes as predicted and keeps
them in their image.

The released code measures a width as ``x2 - x1`` on boxes that *include* their last pixel, and so a pixel short
(plus a tiny constant against division by zero). Here boxes are half-open and widths are exact. For the numbers of
the released code, take 1 from `x2` and `y2` of both boxes.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from rcnn_helpers.boxes import area, as_boxes, clip, iou
from rcnn_helpers.errors import TrainingError
from rcnn_helpers.ridge import RidgeRows, ridge
from rcnn_helpers.settings import BOX_REGRESSION_IOU, BOX_REGRESSION_PENALTY

__all__ = [
    "BoxRegressors",
    "apply_regression",
    "regress_within",
    "regression_targets",
    "ridge",
    "training_pairs",
]

_WHITENING_FLOOR = 0.001  # added to variances, as in the released code
# Predictions are cut off here: 10 widths away, or e^10 times as large. Pairs of IoU above 0.6 have targets within
# 0.7, so nothing sound is lost, and a wild prediction cannot overflow.
_WILDEST_TARGET = 10.0


def regression_targets(proposals, truth) -> np.ndarray:
    """Return what would bring each proposal onto its true box, float32 [N, 4].

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    truth : array-like of shape [N, 4]
        The true box that belongs to each proposal.

    Returns
    -------
    float32 array of shape [N, 4]
        ``(t_x, t_y, t_w, t_h)`` of eqs. 6 to 9: shifts in units of the proposal's width and height, and logarithms
        of the factors by which both grow. All 0 where the boxes are equal.

    Raises
    ------
    TrainingError
        If there are not as many boxes of either kind, or one has no width or no height.

    Examples
    --------
    >>> regression_targets([[0, 0, 10, 10]], [[5, 0, 15, 10]]).tolist()  # half a width to the right
    [[0.5, 0.0, 0.0, 0.0]]
    """
    proposals, truth = as_boxes(proposals), as_boxes(truth)
    if len(proposals) != len(truth):
        raise TrainingError(
            f"{len(proposals)} proposals but {len(truth)} true boxes; give each proposal the box it belongs to"
        )
    centres, sizes = _centres_and_sizes(proposals, "proposal")
    true_centres, true_sizes = _centres_and_sizes(truth, "true box")
    shifts = (true_centres - centres) / sizes
    growth = np.log(true_sizes / sizes)
    return np.concatenate([shifts, growth], axis=1).astype(np.float32)


def apply_regression(proposals, targets) -> np.ndarray:
    """Move and stretch each proposal as its targets say, float32 [N, 4]: the inverse of `regression_targets`.

    The boxes are not clipped; `rcnn_helpers.boxes.clip` does that, before suppression in the released code.

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    targets : array-like of shape [N, 4]
        ``(t_x, t_y, t_w, t_h)``, true ones or what a regression predicts (eqs. 1 to 4).

    Raises
    ------
    TrainingError
        If there are not as many targets as proposals, a proposal has no width or no height, or a target is not
        finite or so large that the box would have no finite size.

    Examples
    --------
    >>> apply_regression([[0, 0, 10, 10]], [[0.5, 0, 0, 0]]).tolist()
    [[5.0, 0.0, 15.0, 10.0]]
    """
    proposals = as_boxes(proposals)
    targets = np.asarray(targets, dtype=np.float64)
    targets = targets.reshape(0, 4) if targets.size == 0 else targets
    if targets.shape != proposals.shape:
        raise TrainingError(
            f"targets must have shape [{len(proposals)}, 4], one row for each proposal; got {list(targets.shape)}"
        )
    centres, sizes = _centres_and_sizes(proposals, "proposal")
    with np.errstate(over="ignore", invalid="ignore"):
        moved, stretched = centres + sizes * targets[:, :2], sizes * np.exp(targets[:, 2:])
        boxes = np.concatenate([moved - stretched / 2, moved + stretched / 2], axis=1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(bad):
        raise TrainingError(
            f"targets {targets[bad[0]].tolist()} of proposal {bad[0]} give no finite box; the last two are "
            "logarithms, and a size a thousand times the proposal's has only 6.9"
        )
    return boxes


def regress_within(proposals, targets, height: int, width: int) -> np.ndarray:
    """Apply predicted targets and clip to the image, float32 [N, 4], as the released code does before suppression.

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    targets : array-like of shape [N, 4]
        As `BoxRegressors.predict` gives them. Values beyond 10 either way are cut off there.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    float32 array of shape [N, 4]
        A proposal without a width or height stays where it is, and so does one of which nothing would be left
        inside the image.
    """
    proposals = as_boxes(proposals)
    targets = np.clip(np.asarray(targets, dtype=np.float64), -_WILDEST_TARGET, _WILDEST_TARGET)
    boxes = clip(proposals, height, width)
    movable = np.flatnonzero((proposals[:, 2:] > proposals[:, :2]).all(axis=1))
    moved = clip(apply_regression(proposals[movable], targets[movable]), height, width)
    left = area(moved) > 0
    boxes[movable[left]] = moved[left]
    return boxes


def _centres_and_sizes(boxes, what):
    """Centres (x, y) and sizes (width, height), float64 [N, 2] each; no size is 0."""
    corners = boxes.astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    flat = np.flatnonzero((sizes <= 0).any(axis=1))
    if len(flat):
        raise TrainingError(
            f"{what} {flat[0]} is {boxes[flat[0]].tolist()}: it has no width or no height, by which shifts are "
            "measured; leave such boxes out"
        )
    return corners[:, :2] + sizes / 2, sizes


def training_pairs(
    proposals, objects, *, min_iou: float = BOX_REGRESSION_IOU
) -> tuple[np.ndarray, np.ndarray]:
    """Pair proposals with the objects they lie near (App. C).

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
    objects : array-like of shape [M, 4]
        True boxes of one image, of all classes.
    min_iou : float
        A proposal is used if its largest IoU with an object lies above this.

    Returns
    -------
    proposal_index, object_index : int64 arrays of shape [K]
        Each proposal at most once, with the object of largest overlap (the first of equals). The pair's class is
        the object's.
    """
    proposals, objects = as_boxes(proposals), as_boxes(objects)
    if len(objects) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    overlaps = iou(proposals, objects)
    nearest = overlaps.argmax(axis=1)
    near = np.flatnonzero(overlaps[np.arange(len(proposals)), nearest] > min_iou)
    return near, nearest[near]


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
