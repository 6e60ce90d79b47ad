"""The SVM solver against scikit-learn's LinearSVC, the estimator's manners, and the miner against slow twins."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.svm import LinearSVC

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.svm import LinearSVMs, TrainingImage, mining, train_detector_svms
from rcnn_helpers.svm.mining import HISTORY_COLUMNS, NEVER_FIRES


def features_like_fc7(rng, n_rows, n_features, *, nonzero=0.36):
    """Correlated, rectified features of mean norm 20, `nonzero` of them not 0."""
    latent = rng.standard_normal((n_rows, 8))
    X = latent @ rng.standard_normal((8, n_features)) + rng.standard_normal((n_rows, n_features))
    X = np.maximum(X - np.quantile(X, 1 - nonzero), 0)
    return (X * 20 / np.linalg.norm(X, axis=1).mean()).astype(np.float32), latent


def labels_from(latent, rng, n_classes, *, positives):
    """Noisy linear classes, each with this fraction of positives, int8 [N, C] in {+1, -1}."""
    scores = latent @ rng.standard_normal((latent.shape[1], n_classes))
    scores += rng.standard_normal(scores.shape)
    return np.where(scores > np.quantile(scores, 1 - positives, axis=0), 1, -1).astype(np.int8)


def problem(n_rows, n_features, n_classes, *, positives=0.1, nonzero=0.36, ignored=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X, latent = features_like_fc7(rng, n_rows, n_features, nonzero=nonzero)
    Y = labels_from(latent, rng, n_classes, positives=positives)
    Y[rng.random(Y.shape) < ignored] = 0
    return X, Y


def linear_svc(X, y, *, C=1e-3, positive_weight=2, bias_scale=10, tol=1e-7):
    """scikit-learn's weights and bias for one class; rows of label 0 left out."""
    svc = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        intercept_scaling=bias_scale,
        class_weight={1: positive_weight, -1: 1},
        tol=tol,
        max_iter=100_000,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        svc.fit(X[y != 0], y[y != 0])
    return svc.coef_[0], float(svc.intercept_[0])


def objective(X, y, coef, intercept, *, C=1e-3, positive_weight=2, bias_scale=10):
    X, y = X[y != 0].astype(float), y[y != 0]
    coef = np.asarray(coef, dtype=float)
    hinge = np.maximum(0, 1 - y * (X @ coef + intercept))
    weight = np.where(y > 0, positive_weight, 1)
    return 0.5 * (coef @ coef + (intercept / bias_scale) ** 2) + C * (weight * hinge).sum()


SHAPES = {
    "dense": dict(n_rows=300, n_features=20, n_classes=2, positives=0.4, nonzero=1.0),
    "sparse": dict(n_rows=800, n_features=60, n_classes=3, nonzero=0.1),
    "imbalanced": dict(n_rows=3000, n_features=120, n_classes=3, positives=0.005),
    "wide": dict(n_rows=60, n_features=500, n_classes=4),
    "ignored": dict(n_rows=600, n_features=80, n_classes=3, ignored=0.7),
    "mostly_ignored": dict(n_rows=2000, n_features=80, n_classes=6, ignored=0.9),
}


class TestSolver:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_reaches_the_objective_of_liblinear(self, shape):
        X, Y = problem(**SHAPES[shape])
        svms = LinearSVMs(tol=1e-3).fit(X, Y)
        for k, y in enumerate(Y.T):
            best = objective(X, y, *linear_svc(X, y))
            ours = objective(X, y, svms.coef_[k], svms.intercept_[k])
            assert best * (1 - 1e-5) <= ours <= best * (1 + 1e-3)
            assert ours == pytest.approx(svms.objective_[k], rel=1e-4)

    def test_a_tight_tolerance_gives_the_weights_of_liblinear(self):
        X, Y = problem(**SHAPES["imbalanced"])
        svms = LinearSVMs(tol=3e-6).fit(X, Y)
        for k, y in enumerate(Y.T):
            coef, intercept = linear_svc(X, y)
            assert np.abs(svms.coef_[k] - coef).max() < 0.01 * np.abs(coef).max()
            assert svms.intercept_[k] == pytest.approx(intercept, abs=0.01)

    @pytest.mark.parametrize("options", [dict(C=0.02), dict(positive_weight=5.0), dict(bias_scale=0.5)])
    def test_options_mean_what_they_mean_to_liblinear(self, options):
        X, Y = problem(**SHAPES["sparse"])
        svms = LinearSVMs(tol=1e-4, **options).fit(X, Y)
        for k, y in enumerate(Y.T):
            best = objective(X, y, *linear_svc(X, y, tol=1e-5, **options), **options)
            ours = objective(X, y, svms.coef_[k], svms.intercept_[k], **options)
            assert ours == pytest.approx(best, rel=5e-4)

    def test_one_row_of_each_sign_by_hand(self):
        # x = (1), (-1); w = a1 + a2, bias column 0: both alphas rise to w = 1 by symmetry, a = 1/2 each.
        svms = LinearSVMs(C=10.0, positive_weight=1, bias_scale=0, tol=1e-6).fit([[1.0], [-1.0]], [1, -1])
        assert svms.coef_ == pytest.approx(np.array([[1.0]]), abs=1e-4)
        assert svms.alphas_.sum() == pytest.approx(1.0, abs=1e-4)
        assert svms.objective_[0] == pytest.approx(0.5, abs=1e-4)

    def test_rows_of_zeros_without_a_bias_do_no_harm(self):
        X = np.array([[1.0], [-1.0], [0.0]])
        svms = LinearSVMs(C=10.0, positive_weight=1, bias_scale=0, tol=1e-6).fit(X, [1, -1, -1])
        assert svms.coef_ == pytest.approx(np.array([[1.0]]), abs=1e-3)
        assert svms.alphas_[2, 0] == 10.0 and svms.objective_[0] == pytest.approx(10.5, rel=1e-4)

    def test_duality_gap_is_small_and_not_negative(self):
        X, Y = problem(**SHAPES["imbalanced"])
        svms = LinearSVMs(tol=1e-4).fit(X, Y)
        assert (svms.gap_ <= 1e-4).all()
        pull = svms.alphas_.astype(float) * Y
        weights = pull.T @ X.astype(float)
        bias = 10 * pull.sum(axis=0)
        dual = svms.alphas_.sum(axis=0, dtype=float) - 0.5 * ((weights**2).sum(axis=1) + bias**2)
        primal = [objective(X, y, svms.coef_[k], svms.intercept_[k]) for k, y in enumerate(Y.T)]
        gap = 1 - dual / primal
        assert (gap > -1e-6).all()
        assert gap == pytest.approx(svms.gap_, abs=1e-5)

    def test_kkt_conditions(self):
        X, Y = problem(**SHAPES["ignored"])
        svms = LinearSVMs(tol=1e-6, max_iter=500).fit(X, Y)
        margins = Y * svms.decision_function(X)
        upper = 1e-3 * np.where(Y > 0, 2, 1)
        alphas, used = svms.alphas_, Y != 0
        slack = 0.01
        assert (alphas[~used] == 0).all()
        assert (alphas >= 0).all() and (alphas <= upper * (1 + 1e-6)).all()
        assert (margins[used & (alphas == 0)] >= 1 - slack).all()
        assert (margins[used & (alphas >= upper)] <= 1 + slack).all()
        inside = used & (alphas > 0) & (alphas < upper)
        assert inside.any() and np.abs(margins[inside] - 1).max() < slack

    def test_warm_start_after_adding_and_evicting_rows_equals_cold_start(self):
        X, Y = problem(**SHAPES["imbalanced"])
        half = len(X) // 2
        first = LinearSVMs(tol=1e-5).fit(X[:half], Y[:half])
        kept = np.flatnonzero(
            (Y[:half] == 1).any(axis=1) | (first.decision_function(X[:half]) > -1.2).any(axis=1)
        )
        X_new = np.concatenate([X[kept], X[half:]])
        Y_new = np.concatenate([Y[kept], Y[half:]])
        alphas = np.concatenate(
            [first.alphas_[kept], np.zeros_like(first.alphas_[half:], shape=Y[half:].shape)]
        )
        cold = LinearSVMs(tol=1e-5).fit(X_new, Y_new)
        warm = LinearSVMs(tol=1e-5).fit(X_new, Y_new, initial_alphas=alphas)
        assert warm.objective_ == pytest.approx(cold.objective_, rel=2e-5)
        assert np.abs(warm.coef_ - cold.coef_).max() < 0.02 * np.abs(cold.coef_).max()

    def test_starting_from_the_solution_changes_nothing(self):
        X, Y = problem(**SHAPES["imbalanced"])
        first = LinearSVMs().fit(X, Y)
        again = LinearSVMs().fit(X, Y, initial_alphas=first.alphas_)
        assert (first.n_iter_ > 0).all() and (again.n_iter_ == 0).all()
        assert (again.alphas_ == first.alphas_).all()
        assert np.abs(again.coef_ - first.coef_).max() < 1e-4 * np.abs(first.coef_).max()

    def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads(self):
        X, Y = problem(**SHAPES["ignored"])
        one = LinearSVMs(n_jobs=1).fit(X, Y)
        three = LinearSVMs(n_jobs=3).fit(X, Y)
        assert (one.coef_ == three.coef_).all() and (one.alphas_ == three.alphas_).all()
        other_order = LinearSVMs(n_jobs=1, seed=1).fit(X, Y)
        assert (one.coef_ != other_order.coef_).any()

    def test_a_class_does_not_depend_on_the_others(self):
        X, Y = problem(**SHAPES["dense"])
        together = LinearSVMs(tol=1e-5).fit(X, Y)
        alone = LinearSVMs(tol=1e-5).fit(X, Y[:, 1])
        assert together.objective_[1] == pytest.approx(alone.objective_[0], rel=2e-5)


class TestEstimator:
    def test_has_the_manners_of_scikit_learn(self):
        svms = LinearSVMs(C=0.5)
        assert svms.get_params()["C"] == 0.5
        assert svms.set_params(tol=1e-2) is svms and clone(svms).get_params() == svms.get_params()
        X, Y = problem(**SHAPES["dense"])
        assert svms.fit(X, Y) is svms
        assert svms.coef_.shape == (2, 20) and svms.intercept_.shape == (2,) and svms.n_features_in_ == 20
        assert svms.predict(X).shape == Y.shape and (svms.predict(X) == Y).mean() > 0.7
        assert not hasattr(clone(svms), "coef_")

    def test_is_not_fitted_before_fit(self):
        with pytest.raises(NotFittedError):
            LinearSVMs().decision_function(np.zeros((1, 3)))

    def test_decision_function_is_the_matrix_product(self):
        X, Y = problem(**SHAPES["wide"])
        svms = LinearSVMs().fit(X, Y)
        assert svms.decision_function(X) == pytest.approx(X @ svms.coef_.T + svms.intercept_)
        with pytest.raises(TrainingError, match="500"):
            svms.decision_function(X[:, :10])

    def test_features_are_not_changed(self):
        X, Y = problem(**SHAPES["dense"])
        before = X.copy()
        LinearSVMs().fit(X, Y)
        assert (X == before).all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (dict(X=np.zeros((0, 3))), "non-empty"),
            (dict(X=np.zeros(4)), "X must be"),
            (dict(X=np.array([[0.0], [np.nan], [1.0]])), "row 1 of X"),
            (dict(X=np.array([[0.0], [1.0], [np.inf]])), "row 2 of X"),
            (dict(Y=np.array([1, -1])), r"\[3, C\]"),
            (dict(Y=np.array([1, 2, -1])), "found.*2"),
            (dict(Y=np.array([[1, -1], [-1, -1], [-1, 0]])), "class 1 has no positive"),
            (dict(Y=np.array([1, 1, 0])), "class 0 has no negative"),
            (dict(initial_alphas=np.zeros((2, 1))), "initial_alphas"),
            (dict(initial_alphas=np.full((3, 1), np.nan)), "initial_alphas"),
        ],
    )
    def test_says_what_is_wrong_with_the_examples(self, change, message):
        good = dict(X=np.array([[1.0], [0.0], [-1.0]]), Y=np.array([1, -1, -1]))
        with pytest.raises(TrainingError, match=message):
            LinearSVMs().fit(**{**good, **change})

    @pytest.mark.parametrize("bad", [dict(C=0), dict(tol=-1), dict(bias_scale=-1), dict(positive_weight=0)])
    def test_says_which_parameter_is_wrong(self, bad):
        with pytest.raises(TrainingError, match=next(iter(bad))):
            LinearSVMs(**bad).fit([[1.0], [0.0]], [1, -1])

    def test_warns_when_it_gives_up(self):
        X, Y = problem(**SHAPES["dense"])
        with pytest.warns(ConvergenceWarning, match="raise max_iter"):
            LinearSVMs(tol=1e-6, max_iter=1).fit(X, Y)


def toy_images(n_images=12, n_regions=60, n_features=24, n_classes=3, *, seed=0, spread=1.0):
    """Images with two ground-truth boxes each, proposals near them, and background of a few kinds."""
    rng = np.random.default_rng(seed)
    prototypes = rng.standard_normal((n_classes + 4, n_features)) * 3
    images = []
    for number in range(n_images):
        gt = np.array([number % n_classes, rng.integers(n_classes)])
        n_near = 10
        near = rng.integers(2, size=n_near)
        kinds = np.concatenate([gt, gt[near], rng.integers(n_classes, n_classes + 4, n_regions - 2 - n_near)])
        overlap = np.concatenate(
            [[1, 1], rng.uniform(0, 0.9, n_near), rng.uniform(0, 0.2, n_regions - 2 - n_near)]
        )
        features = prototypes[kinds] * np.maximum(overlap, 0.5)[:, None]
        features = features + spread * rng.standard_normal(features.shape)
        overlaps = np.zeros((n_regions, n_classes), np.float32)
        owner = np.concatenate([gt, gt[near], rng.choice(gt, n_regions - 2 - n_near)])
        overlaps[np.arange(n_regions), owner] = overlap
        gt_class = np.full(n_regions, -1)
        gt_class[:2] = gt
        corner = rng.uniform(0, 100, (n_regions, 2))
        boxes = np.concatenate([corner, corner + 50], axis=1).astype(np.float32)
        images.append(TrainingImage(f"{number:06d}", features.astype(np.float32), boxes, overlaps, gt_class))
    return images


NAMES = ("car", "dog", "sofa")
# Strong regularisation of small toy features would leave no easy negatives; this leaves many.
TOY = dict(C=0.05, tol=1e-5)


def all_examples(images, k, negative_iou=0.3):
    """Every positive and negative row of class k: features, labels, and (image, region) keys."""
    X = np.concatenate([image.features for image in images])
    positive = np.concatenate([image.gt_class == k for image in images])
    negative = np.concatenate([image.overlaps[:, k] < negative_iou for image in images]) & ~positive
    keys = np.array([(i, j) for i, image in enumerate(images, start=1) for j in range(len(image.features))])
    used = positive | negative
    return X[used], np.where(positive, 1, -1)[used], keys[used]


def slow_miner(images, k, *, C, evict_score, retrain_after, train_on_first_image):
    """The cache rules of one class, written out plainly, with LinearSVC: weights and a history."""
    positives = np.concatenate([image.features[image.gt_class == k] for image in images])
    coef, intercept = np.zeros(positives.shape[1]), 0.0
    cache, added, history = np.zeros_like(positives[:0]), 0, []
    for number, image in enumerate(images, start=1):
        negative = (image.overlaps[:, k] < 0.3) & (image.gt_class != k)
        hard = negative & (image.features @ coef + intercept > -1.0001)
        cache = np.concatenate([cache, image.features[hard]])
        added += hard.sum()
        first = number == 1 and train_on_first_image
        if first or added > retrain_after or number == len(images):
            X = np.concatenate([positives, cache])
            y = np.concatenate([np.ones(len(positives)), -np.ones(len(cache))])
            coef, intercept = linear_svc(X, y, C=C)
            easy = cache @ coef + intercept < evict_score
            history.append((number, len(positives), len(cache), int(added), int(easy.sum())))
            cache, added = cache[~easy], 0
    return coef, intercept, history


class TestMining:
    @pytest.mark.parametrize(
        "rules",
        [
            dict(evict_score=-1.2, retrain_after=25, train_on_first_image=True),
            pytest.param(
                dict(evict_score=-1.1, retrain_after=60, train_on_first_image=False), id="python_port"
            ),
        ],
    )
    def test_follows_the_cache_rules(self, rules):
        """The MATLAB code's rules and those of Girshick's Python port, each against a plain rendering."""
        images = toy_images(spread=1.5)
        svms = train_detector_svms(images, NAMES, **TOY, **rules)
        for k, name in enumerate(NAMES):
            coef, intercept, history = slow_miner(images, k, C=TOY["C"], **rules)
            ours = svms.history_[svms.history_["class"] == name]
            columns = ["image", "positives", "negatives", "added", "evicted"]
            assert ours[columns].to_numpy().tolist() == [list(row) for row in history]
            assert np.abs(svms.coef_[k] - coef).max() < 0.02 * np.abs(coef).max()
            assert svms.intercept_[k] == pytest.approx(intercept, abs=0.02)

    def test_reproduces_the_svm_of_all_negatives(self):
        images = toy_images(spread=0.5)
        svms = train_detector_svms(images, NAMES, **TOY, retrain_after=20, passes=3, n_hardest=10_000)
        for k, name in enumerate(NAMES):
            X, y, keys = all_examples(images, k)
            best = objective(X, y, *linear_svc(X, y, C=TOY["C"]), C=TOY["C"])
            assert objective(X, y, svms.coef_[k], svms.intercept_[k], C=TOY["C"]) == pytest.approx(
                best, rel=1e-4
            )
            full = LinearSVMs(tol=1e-5, C=TOY["C"]).fit(X, y)
            support = {tuple(key) for key in keys[(full.alphas_[:, 0] > 0.01 * TOY["C"]) & (y < 0)]}
            mined = svms.hardest_[svms.hardest_["class"] == name]
            cached = set(zip(mined["image_id"].astype(int) + 1, mined["region"], strict=True))
            assert support <= cached
            assert len(cached) < (y < 0).sum() / 2  # while most negatives are out of memory

    def test_counts_in_history_add_up(self):
        svms = train_detector_svms(toy_images(spread=1.5), NAMES, **TOY, retrain_after=25, passes=2)
        history = svms.history_
        assert list(history.columns) == list(HISTORY_COLUMNS)
        assert not history.isna().any(axis=None)
        for _, rows in history.groupby("class"):
            kept_before = (rows["negatives"] - rows["evicted"]).shift(fill_value=0)
            assert (rows["negatives"] == kept_before + rows["added"]).all()
            assert rows["image"].iloc[0] == 1 and rows["image"].iloc[-1] == 12
        assert (history["gap"] <= TOY["tol"]).all()
        assert (history["positive_loss"] + history["negative_loss"] <= history["objective"]).all()

    def test_cache_rules_by_hand(self):
        """One feature, one class: the numbers can be followed on paper."""
        boxes = np.zeros((3, 4), np.float32)
        images = [
            TrainingImage("a", [[2.0], [-2.0], [-5.0]], boxes, [[1.0], [0.0], [0.1]], np.array([0, -1, -1])),
            TrainingImage("b", [[-1.0], [-4.0], [1.9]], boxes, [[0.0], [0.0], [0.4]], np.array([-1, -1, -1])),
        ]
        # Image a: w = 1/2, b = 0 separates 2 and -2 with margin 1; -5 scores -2.5 and is evicted.
        # Image b: -1 scores -0.5 and is hard, -4 scores -2 and is easy, 1.9 lies in the grey zone.
        # Then 2 and -1 are the support vectors: w = 2/3, b = -1/3; -2 scores -5/3 and is evicted.
        svms = train_detector_svms(images, ["thing"], C=10.0, bias_scale=1, tol=1e-6)
        columns = ["image", "positives", "negatives", "added", "evicted"]
        assert svms.history_[columns].to_numpy().tolist() == [[1, 1, 2, 2, 1], [2, 1, 2, 1, 1]]
        assert svms.coef_[0, 0] == pytest.approx(2 / 3, abs=1e-3)
        assert svms.intercept_[0] == pytest.approx(-1 / 3, abs=1e-3)
        (row,) = svms.hardest_.itertuples(index=False)
        assert (row.image_id, row.region) == ("b", 0) and row.score == pytest.approx(-1, abs=1e-3)

    def test_other_classes_boxes_are_negatives(self):
        images = toy_images(n_images=3)
        svms = train_detector_svms(images, NAMES, **TOY, n_hardest=10_000, evict_score=-1e9)
        for k, name in enumerate(NAMES):
            mined = svms.hardest_[svms.hardest_["class"] == name]
            from_first = set(mined.loc[mined["image_id"] == "000000", "region"])
            expected = np.flatnonzero((images[0].overlaps[:, k] < 0.3) & (images[0].gt_class != k))
            assert from_first == set(expected.tolist())

    def test_hardest_negatives_are_sorted_and_carry_their_boxes(self):
        images = toy_images(spread=1.5)
        svms = train_detector_svms(images, NAMES, **TOY, n_hardest=5)
        by_id = {image.image_id: image for image in images}
        assert (svms.hardest_.groupby("class").size() == 5).all()
        for k, name in enumerate(NAMES):
            rows = svms.hardest_[svms.hardest_["class"] == name]
            assert rows["score"].is_monotonic_decreasing
            for row in rows.itertuples():
                image = by_id[row.image_id]
                assert (image.boxes[row.region] == [row.x1, row.y1, row.x2, row.y2]).all()
                assert svms.decision_function(image.features)[row.region, k] == pytest.approx(
                    row.score, abs=1e-4
                )
                assert image.overlaps[row.region, k] < 0.3

    def test_positives_by_iou(self):
        images = toy_images()
        svms = train_detector_svms(images, NAMES, **TOY, positive_iou=0.5)
        for k, name in enumerate(NAMES):
            expected = sum(int((image.overlaps[:, k] >= 0.5).sum()) for image in images)
            assert (svms.history_.loc[svms.history_["class"] == name, "positives"] == expected).all()

    def test_without_mining_negatives_are_a_random_even_sample(self):
        images = toy_images()
        svms = train_detector_svms(
            images, NAMES, **TOY, mine=False, n_random=30, evict_score=-1e9, n_hardest=1000
        )
        assert len(svms.history_) == len(NAMES) and (svms.history_["negatives"] == 30).all()
        per_image = svms.hardest_.groupby(["class", "image_id"]).size()
        assert per_image.between(2, 3).all() and len(per_image) == len(NAMES) * len(images)

    def test_scale_multiplies_features(self):
        images = toy_images()
        scaled = [
            TrainingImage(i.image_id, i.features * np.float32(0.5), i.boxes, i.overlaps, i.gt_class)
            for i in images
        ]
        a = train_detector_svms(images, NAMES, **TOY, scale=0.5)
        b = train_detector_svms(scaled, NAMES, **TOY)
        assert (a.coef_ == b.coef_).all()

    def test_memory_is_bounded_by_retraining_early(self):
        images = toy_images(n_images=30, spread=0.5)
        free = train_detector_svms(images, NAMES, **TOY, train_on_first_image=False, passes=2)
        needed = int(free.history_["rows_in_memory"].max())
        row_bytes = 24 * 4 + 4 + 3 + 12 + 16 + 16
        limit = needed // 2
        tight = train_detector_svms(
            images, NAMES, **TOY, train_on_first_image=False, passes=2, max_memory=limit * row_bytes
        )
        assert tight.history_["rows_in_memory"].max() <= limit
        assert len(tight.history_) > len(free.history_)
        assert np.abs(tight.coef_ - free.coef_).max() < 0.05 * np.abs(free.coef_).max()
        with pytest.raises(TrainingError, match="raise max_memory"):
            train_detector_svms(images, NAMES, **TOY, max_memory=20 * row_bytes)

    def test_without_a_limit_given_the_positives_always_fit_and_negatives_get_as_much_room(self, monkeypatch):
        images = toy_images(n_images=30, spread=0.5)
        row_bytes = 24 * 4 + 4 + 3 + 12 + 16 + 16
        n_positives = sum((image.gt_class >= 0).sum() for image in images)
        monkeypatch.setattr(mining, "ROW_MEMORY", 20 * row_bytes)
        by_default = train_detector_svms(images, NAMES, **TOY)
        given = train_detector_svms(images, NAMES, **TOY, max_memory=2 * n_positives * row_bytes)
        assert by_default.history_["rows_in_memory"].max() > n_positives > 20
        assert by_default.history_.equals(given.history_) and (by_default.coef_ == given.coef_).all()

    def test_a_class_without_positives_never_fires_and_is_named(self):
        images = toy_images(n_classes=2)
        padded = [replace(image, overlaps=np.pad(image.overlaps, ((0, 0), (0, 1)))) for image in images]
        with pytest.warns(UserWarning, match="class sofa has no positive region"):
            svms = train_detector_svms(padded, NAMES, **TOY)
        assert (svms.coef_[2] == 0).all() and svms.intercept_[2] == NEVER_FIRES
        assert set(svms.history_["class"]) == {"car", "dog"}
        # Nor does it take up room: the other two are trained as if it were not there.
        two = train_detector_svms(images, NAMES[:2], **TOY)
        assert svms.history_.equals(two.history_) and (svms.coef_[:2] == two.coef_).all()

    def test_a_class_without_negatives_never_fires_and_is_named(self):
        box = np.zeros((1, 4))
        images = [TrainingImage("a", np.ones((1, 3)), box, np.ones((1, 1)), np.zeros(1, int))]
        with pytest.warns(UserWarning, match="class dog has no negative region"):
            svms = train_detector_svms(images, ["dog"])
        assert svms.intercept_[0] == NEVER_FIRES and len(svms.hardest_) == 0

    def test_no_positives_at_all_is_an_error(self):
        image = toy_images(1)[0]
        background = replace(image, gt_class=np.full(60, -1))
        with pytest.raises(TrainingError, match="none of the classes"):
            train_detector_svms([background], NAMES)

    def test_an_image_without_regions_is_passed_over(self):
        images = toy_images()
        empty = TrainingImage(
            "empty", np.zeros((0, 24)), np.zeros((0, 4)), np.zeros((0, 3)), np.zeros(0, int)
        )
        with_gap = train_detector_svms([*images[:4], empty, *images[4:]], NAMES, **TOY)
        assert (with_gap.coef_ == train_detector_svms(images, NAMES, **TOY).coef_).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_features_that_are_not_finite_name_the_image(self, value):
        images = toy_images()
        images[7].features[3, 5] = value
        with pytest.raises(TrainingError, match="image 000007: the features of region 3"):
            train_detector_svms(images, NAMES)

    @pytest.mark.parametrize(
        ("field", "change", "message"),
        [
            ("overlaps", lambda overlaps: overlaps[:, :2], "image odd: features"),
            ("boxes", lambda boxes: boxes[:-1], "image odd: features"),
            ("gt_class", lambda gt_class: gt_class + 3, "image odd: gt_class"),
            ("features", lambda features: features[:, :5], "image odd has 5 features"),
        ],
    )
    def test_arrays_that_do_not_fit_name_the_image(self, field, change, message):
        images = toy_images(2)
        odd = replace(images[0], image_id="odd", **{field: change(getattr(images[0], field))})
        with pytest.raises(TrainingError, match=message):
            train_detector_svms([*images, odd], NAMES)

    def test_a_generator_is_refused_with_the_remedy(self):
        with pytest.raises(TrainingError, match="starts anew"):
            train_detector_svms((image for image in toy_images()), NAMES)

    def test_images_in_another_order_or_number_are_refused(self):
        class Changing:
            def __init__(self, *rounds):
                self.rounds = list(rounds)

            def __iter__(self):
                # `iter` is called once before the first round, to see whether it starts anew.
                return iter(self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0])

        images = toy_images(4)
        for later, message in (
            (images[::-1], "was 000000 in the first round"),
            (images[:3], "only 3"),
            (images + toy_images(5)[4:], "image 5 is 000004 now but was none"),
        ):
            with pytest.raises(TrainingError, match=message):
                train_detector_svms(Changing(images, images, later), NAMES, **TOY, passes=2)

    def test_the_same_seed_gives_the_same_bits(self):
        images = toy_images(spread=1.5)
        one = train_detector_svms(images, NAMES, **TOY, n_jobs=1)
        two = train_detector_svms(images, NAMES, **TOY, n_jobs=2)
        assert (one.coef_ == two.coef_).all() and one.hardest_.equals(two.hardest_)

    def test_features_are_loaded_once_per_image_and_round(self):
        class Lazy:
            loads = 0

            def __iter__(self):
                for image in toy_images():
                    Lazy.loads += 1
                    yield image

        train_detector_svms(Lazy(), NAMES, **TOY)
        assert Lazy.loads == 2 * 12
