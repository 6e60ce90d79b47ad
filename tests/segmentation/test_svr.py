"""The regressors against scikit-learn's LinearSVR, the dual's optimality conditions, and bad input."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.svm import LinearSVR

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.segmentation.svr import SupportVectorRegressors, training_rows


def problem(n_rows=300, n_features=40, n_classes=3, seed=0):
    """Rectified features of mean norm 20 and overlaps, mostly 0, that follow from them with noise."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n_rows, 6))
    X = latent @ rng.standard_normal((6, n_features)) + rng.standard_normal((n_rows, n_features))
    X = np.maximum(X, 0)
    X = (X * 20 / np.linalg.norm(X, axis=1).mean()).astype(np.float32)
    Y = 0.3 * latent @ rng.standard_normal((6, n_classes)) + 0.05 * rng.standard_normal((n_rows, n_classes))
    return X, np.clip(Y - 0.2, 0, 1).astype(np.float32)


def linear_svr(X, y, *, C, epsilon, bias_scale):
    svr = LinearSVR(
        C=C,
        epsilon=epsilon,
        loss="epsilon_insensitive",
        dual=True,
        intercept_scaling=bias_scale,
        tol=1e-6,
        max_iter=100_000,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        svr.fit(X, y)
    return svr.coef_.ravel(), float(np.ravel(svr.intercept_)[0])


def objective(X, y, coef, intercept, *, C, epsilon, bias_scale):
    residual = np.abs(y - (X.astype(float) @ np.asarray(coef, float) + intercept))
    loss = np.maximum(residual - epsilon, 0).sum()
    return (np.dot(coef, coef) + (intercept / bias_scale) ** 2) / 2 + C * loss


@pytest.mark.parametrize(("C", "epsilon"), [(1e-3, 0.1), (1e-2, 0.05), (3e-3, 0.2)])
def test_reaches_the_objective_of_scikit_learn(C, epsilon):
    X, Y = problem()
    options = {"C": C, "epsilon": epsilon, "bias_scale": 10.0}
    ours = SupportVectorRegressors(**options, feature_norm=None, tol=1e-5, max_iter=1000).fit(X, Y)
    for c in range(Y.shape[1]):
        coef, intercept = linear_svr(X, Y[:, c], **options)
        theirs = objective(X, Y[:, c], coef, intercept, **options)
        assert objective(X, Y[:, c], ours.coef_[c], ours.intercept_[c], **options) <= theirs * (1 + 1e-4)
        assert ours.objective_[c] == pytest.approx(theirs, rel=1e-3)
        np.testing.assert_allclose(ours.predict(X)[:, c], X @ coef + intercept, atol=5e-3)
    assert (ours.gap_ <= 1e-5).all()


def test_one_feature_by_hand():
    # Two points (1, 1) and (-1, -1), no bias, C large: the smallest slope that leaves both within 0.1 is 0.9.
    X = np.array([[1.0], [-1.0]])
    slope = SupportVectorRegressors(C=100.0, epsilon=0.1, bias_scale=0, feature_norm=None, tol=1e-6).fit(
        X, np.array([1.0, -1.0])
    )
    assert slope.coef_.item() == pytest.approx(0.9, abs=1e-4)
    assert slope.intercept_.item() == 0
    # C small: both betas stay at C, so the slope is 2 C.
    small = SupportVectorRegressors(C=0.2, epsilon=0.1, bias_scale=0, feature_norm=None).fit(X, [1.0, -1.0])
    assert small.coef_.item() == pytest.approx(0.4, abs=1e-5)


def test_targets_within_the_zone_need_no_weights():
    X, _ = problem()
    flat = SupportVectorRegressors(epsilon=0.1).fit(X, np.full(len(X), 0.09))
    assert not flat.coef_.any() and not flat.intercept_.any()
    assert flat.gap_.tolist() == [0.0] and flat.n_iter_.tolist() == [0]


def test_scaling_of_features_changes_nothing():
    X, Y = problem()
    plain = SupportVectorRegressors(tol=1e-5, max_iter=1000).fit(X, Y)
    scaled = SupportVectorRegressors(tol=1e-5, max_iter=1000).fit(X * np.float32(7.5), Y)
    assert scaled.scale_ == pytest.approx(plain.scale_ / 7.5, rel=1e-5)
    assert np.linalg.norm(X * plain.scale_, axis=1).mean() == pytest.approx(20, rel=1e-5)
    np.testing.assert_allclose(scaled.predict(X * np.float32(7.5)), plain.predict(X), atol=2e-3)


def test_threads_and_equal_seeds_change_nothing():
    X, Y = problem()
    one = SupportVectorRegressors(n_jobs=1).fit(X, Y)
    three = SupportVectorRegressors(n_jobs=3).fit(X, Y)
    assert (one.coef_ == three.coef_).all() and (one.intercept_ == three.intercept_).all()


def test_classes_do_not_depend_on_each_other():
    X, Y = problem()
    together = SupportVectorRegressors(tol=1e-5, max_iter=1000).fit(X, Y)
    alone = SupportVectorRegressors(tol=1e-5, max_iter=1000).fit(X, Y[:, 1])
    np.testing.assert_allclose(alone.predict(X)[:, 0], together.predict(X)[:, 1], atol=1e-3)


def test_rows_of_zeros_and_predictions_outside_0_and_1_are_fine():
    X, Y = problem()
    X[:10] = 0
    fitted = SupportVectorRegressors(C=0.1).fit(X, Y)
    assert np.isfinite(fitted.predict(X * 5)).all()
    assert SupportVectorRegressors().fit(np.zeros((4, 2)), np.zeros((4, 1))).scale_ == 1


def test_gives_up_with_a_warning():
    X, Y = problem()
    with pytest.warns(ConvergenceWarning, match="duality gap above"):
        SupportVectorRegressors(C=1.0, epsilon=0.01, max_iter=1, tol=1e-6).fit(X, Y)


def test_manners_of_an_estimator():
    regressors = SupportVectorRegressors(C=0.5, epsilon=0.2)
    assert clone(regressors).get_params() == regressors.get_params()
    with pytest.raises(NotFittedError):
        regressors.predict(np.zeros((1, 2)))


def test_training_rows_keeps_all_that_touch_and_a_sample_of_the_rest():
    overlaps = np.zeros((100, 2))
    overlaps[[3, 50], [0, 1]] = 0.01
    assert training_rows(overlaps).tolist() == list(range(100))
    rows = training_rows(overlaps, max_background=10, seed=1)
    assert len(rows) == 12 and {3, 50} <= set(rows.tolist()) and (np.diff(rows) > 0).all()
    assert rows.tolist() == training_rows(overlaps, max_background=10, seed=1).tolist()
    assert training_rows(overlaps, max_background=0).tolist() == [3, 50]
    with pytest.raises(TrainingError, match=r"\[N, C\]"):
        training_rows(overlaps[:, 0])


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.zeros(3), np.zeros(3), r"\[N, D\]"),
        (np.zeros((0, 3)), np.zeros((0, 1)), r"\[N, D\]"),
        (np.zeros((3, 2)), np.zeros((2, 1)), r"shape \[3, C\]"),
        (np.zeros((3, 2)), np.zeros((3, 0)), r"shape \[3, C\]"),
        (np.array([[0, 1], [np.nan, 0]]), np.zeros(2), "row 1 of X"),
        (np.zeros((2, 2)), np.array([0, np.inf]), "row 1 of Y"),
    ],
)
def test_bad_input(X, Y, message):
    with pytest.raises(TrainingError, match=message):
        SupportVectorRegressors().fit(X, Y)


@pytest.mark.parametrize(
    ("option", "value"), [("C", 0), ("epsilon", -0.1), ("bias_scale", -1), ("feature_norm", 0), ("tol", 0)]
)
def test_bad_options(option, value):
    with pytest.raises(TrainingError, match=option):
        SupportVectorRegressors(**{option: value}).fit(np.ones((3, 2)), np.ones((3, 1)))


def test_more_features_than_in_training():
    X, Y = problem()
    with pytest.raises(TrainingError, match="as in training"):
        SupportVectorRegressors().fit(X, Y).predict(X[:, :5])
