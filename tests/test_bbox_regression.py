"""The geometry of bounding-box regression: numbers from paper, the round trip, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import boxes as geometry
from rcnn_helpers.bbox_regression import (
    BoxRegressors,
    apply_regression,
    regress_within,
    regression_targets,
    ridge,
    training_pairs,
)
from rcnn_helpers.errors import TrainingError
from rcnn_helpers.ridge import RidgeRows

PLACES = st.integers(-500, 2000)
SIDES = st.integers(1, 1500)
BOXES = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], PLACES, PLACES, SIDES, SIDES)


class TestTargets:
    def test_the_case_on_paper(self):
        # Proposal: centre (30, 20), 40 x 20. Truth: centre (40, 15), 80 x 10.
        found = regression_targets([[10, 10, 50, 30]], [[0, 10, 80, 20]])
        assert found.dtype == np.float32
        assert found[0] == pytest.approx([10 / 40, -5 / 20, np.log(2), -np.log(2)])

    def test_equal_boxes_have_nothing_to_mend(self):
        assert regression_targets([[3, 4, 9, 20]], [[3, 4, 9, 20]]).tolist() == [[0, 0, 0, 0]]

    def test_odd_sizes_have_their_centre_between_pixels(self):
        assert regression_targets([[0, 0, 1, 1]], [[0, 0, 2, 1]])[0] == pytest.approx([0.5, 0, np.log(2), 0])

    def test_the_released_code_measures_a_pixel_short(self):
        # Its boxes (1, 1, 4, 4) and (2, 1, 7, 4) include their last pixels and have 3 x 3 and 5 x 3 there.
        theirs = [(2 + 2.5 - 1 - 1.5) / 3, 0, np.log(5 / 3), 0]
        half_open = geometry.from_voc([[1, 1, 4, 4], [2, 1, 7, 4]])
        shorter = half_open - [0, 0, 1, 1]
        assert regression_targets(shorter[:1], shorter[1:])[0] == pytest.approx(theirs)

    @given(BOXES, BOXES, st.integers(1, 8), PLACES)
    def test_scaling_and_shifting_the_picture_changes_nothing(self, proposal, truth, factor, shift):
        before = regression_targets([proposal], [truth])
        both = np.array([proposal, truth]) * factor + shift
        assert regression_targets(both[:1], both[1:]) == pytest.approx(before, rel=1e-5, abs=1e-6)

    @given(BOXES, BOXES, st.integers(1, 3000))
    def test_a_mirrored_picture_turns_the_shift_round(self, proposal, truth, width):
        before = regression_targets([proposal], [truth])[0]
        mirrored = geometry.flip([proposal, truth], width)
        after = regression_targets(mirrored[:1], mirrored[1:])[0]
        assert after == pytest.approx(before * [-1, 1, 1, 1], rel=1e-5, abs=1e-6)


class TestRoundTrip:
    @given(BOXES, BOXES)
    def test_applied_targets_give_the_truth(self, proposal, truth):
        targets = regression_targets([proposal], [truth])
        assert apply_regression([proposal], targets)[0] == pytest.approx(truth, rel=1e-5, abs=0.01)

    @given(BOXES, st.tuples(*[st.floats(-2, 2)] * 4))
    def test_targets_of_an_applied_box_are_those_applied(self, proposal, targets):
        proposal = [0, 0, proposal[2] - proposal[0] + 20, proposal[3] - proposal[1] + 20]  # near 0: float32
        moved = apply_regression([proposal], [targets])
        assert regression_targets([proposal], moved)[0] == pytest.approx(targets, abs=1e-4)

    def test_the_case_on_paper(self):
        found = apply_regression([[10, 10, 50, 30]], [[0.25, -0.25, np.log(2), -np.log(2)]])
        assert found.dtype == np.float32
        assert found[0] == pytest.approx([0, 10, 80, 20], abs=1e-5)

    def test_none_at_all(self):
        assert regression_targets([], []).shape == (0, 4)
        assert apply_regression([], []).shape == (0, 4)


class TestRefusals:
    @pytest.mark.parametrize("flat", [[5, 5, 5, 9], [5, 5, 9, 5]])
    def test_boxes_without_a_side(self, flat):
        good = [0, 0, 10, 10]
        with pytest.raises(TrainingError, match=r"proposal 1 is \[5.*no width or no height"):
            regression_targets([good, flat], [good, good])
        with pytest.raises(TrainingError, match=r"true box 0 is \[5"):
            regression_targets([good], [flat])
        with pytest.raises(TrainingError, match=r"proposal 0 is \[5"):
            apply_regression([flat], [[0, 0, 0, 0]])

    def test_unequal_numbers(self):
        with pytest.raises(TrainingError, match="2 proposals but 1 true boxes"):
            regression_targets([[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]])
        with pytest.raises(TrainingError, match=r"\[1, 4\].*\[1, 3\]"):
            apply_regression([[0, 0, 1, 1]], [[0, 0, 0]])

    @pytest.mark.parametrize("target", [1000, np.nan, np.inf])
    def test_targets_that_give_no_box(self, target):
        with pytest.raises(TrainingError, match="proposal 0 give no finite box"):
            apply_regression([[0, 0, 1, 1]], [[0, 0, target, 0]])


class TestRegressWithin:
    def test_boxes_are_moved_and_clipped(self):
        proposals = [[10, 10, 50, 30], [10, 10, 50, 30]]
        targets = [[0.5, 0, 0, 0], [0, 0, np.log(3), 0]]  # 20 to the right; 120 wide about x = 30
        found = regress_within(proposals, targets, height=40, width=60)
        assert found.dtype == np.float32
        assert found == pytest.approx(np.array([[30, 10, 60, 30], [0, 10, 60, 30]]), abs=1e-4)

    def test_a_box_that_would_leave_the_image_stays(self):
        proposals = [[10, 10, 50, 30], [20, 10, 50, 30], [5, 5, 5, 9]]
        targets = [[9, 0, 0, 0], [0, 0, 0, -200], [0.5, 0, 0, 0]]
        found = regress_within(proposals, targets, height=40, width=60)
        assert found[[0, 2]].tolist() == [proposals[0], proposals[2]]
        assert found[1, 3] > found[1, 1], "however small, it has an area"

    @given(BOXES, st.tuples(*[st.floats(-1e30, 1e30)] * 4))
    def test_any_finite_prediction_gives_a_box_inside_the_image(self, proposal, targets):
        found = regress_within([proposal], [targets], height=300, width=400)[0]
        assert (found[:2] <= found[2:]).all()
        assert (found >= 0).all() and (found <= [400, 300, 400, 300]).all()

    def test_none_at_all(self):
        assert regress_within([], np.zeros((0, 4)), 10, 10).shape == (0, 4)


class TestTrainingPairs:
    def test_each_proposal_goes_to_the_object_it_overlaps_most_and_only_if_near(self):
        objects = [[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]]
        proposals = [
            [1, 0, 11, 10],  # 9/11 with both: the first
            [2, 0, 12, 10],  # the second itself
            [50, 50, 60, 56],  # 0.6, and not above it
            [50, 50, 60, 57],
            [80, 80, 90, 90],
        ]
        rows, nearest = training_pairs(proposals, objects)
        assert rows.tolist() == [0, 1, 3] and nearest.tolist() == [0, 1, 2]

    def test_an_image_without_objects_teaches_nothing(self):
        rows, nearest = training_pairs([[0, 0, 1, 1]], [])
        assert len(rows) == len(nearest) == 0


def _pairs(n_rows, n_features, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(1, 1, (n_rows, n_features)).astype(np.float32)
    targets = (
        features @ rng.normal(0, 0.1, (n_features, 4)) + [0.3, -0.2, 0.1, 2] + rng.normal(0, 0.1, (n_rows, 4))
    )
    return features, targets


class TestRidge:
    @pytest.mark.parametrize("n_rows, n_features", [(200, 30), (30, 200), (50, 50), (1, 5), (5, 1)])
    @pytest.mark.parametrize("penalty", [1.0, 1000.0])
    def test_it_is_scikit_learns(self, n_rows, n_features, penalty):
        from sklearn.linear_model import Ridge

        features, targets = _pairs(n_rows, n_features)
        theirs = Ridge(alpha=penalty).fit(features.astype(np.float64), targets)
        coef, intercept = ridge(features, targets, penalty)
        assert coef.shape == (4, n_features)
        np.testing.assert_allclose(coef, theirs.coef_, atol=2e-4)
        np.testing.assert_allclose(intercept, theirs.intercept_, atol=2e-3)

    def test_two_points_by_hand(self):
        # Centred: x = -1, 1 and t = -1, 1. w = 2 / (2 + 2) = 1/2; the line passes through the means (2, 5).
        coef, intercept = ridge(np.array([[1.0], [3.0]], np.float32), np.array([[4.0], [6.0]]), 2.0)
        assert coef.tolist() == [[0.5]] and intercept.tolist() == [4.0]

    def test_it_leaves_the_data_alone(self):
        features, targets = _pairs(20, 5)
        before = features.copy(), targets.copy()
        ridge(features, targets, 1.0)
        assert (features == before[0]).all() and (targets == before[1]).all()


class TestBoxRegressors:
    def test_each_class_learns_from_its_own_pairs(self):
        features, targets = _pairs(90, 12)
        classes = np.arange(90) % 3
        together = BoxRegressors(penalty=2.0).fit(features, targets, classes, n_classes=4)
        for c in range(3):
            coef, intercept = ridge(features[classes == c], targets[classes == c], 2.0)
            np.testing.assert_allclose(together.coef_[c], coef, atol=1e-6)
            np.testing.assert_allclose(together.intercept_[c], intercept, atol=1e-6)
        assert together.n_pairs_.tolist() == [30, 30, 30, 0]
        assert (together.predict(features, 3) == 0).all(), "a class without pairs moves nothing"
        mixed = together.predict(features, classes)
        np.testing.assert_allclose(
            mixed[1], features[1] @ together.coef_[1].T + together.intercept_[1], rtol=1e-5
        )

    @pytest.mark.parametrize("n_rows", [40, 400])
    def test_whitening_changes_nothing(self, n_rows):
        features, targets = _pairs(n_rows, 100)
        plain, whitened = (
            BoxRegressors(penalty=50.0, whiten=whiten).fit(
                features, targets, np.zeros(n_rows, int), n_classes=1
            )
            for whiten in (False, True)
        )
        np.testing.assert_allclose(plain.predict(features, 0), whitened.predict(features, 0), atol=1e-4)

    def test_all_classes_at_once_predict_as_one_by_one(self):
        features, targets = _pairs(60, 12)
        regressors = BoxRegressors().fit(features, targets, np.arange(60) % 3, n_classes=4)
        together = regressors.predict_all(features)
        assert together.shape == (60, 4, 4) and together.dtype == np.float32
        for c in range(4):
            np.testing.assert_allclose(together[:, c], regressors.predict(features, c), atol=1e-5)

    def test_boxes_shifted_by_a_rule_that_the_features_tell_are_put_right(self):
        rng = np.random.default_rng(0)
        corners, sides = rng.uniform(0, 100, (300, 2)), rng.uniform(20, 80, (300, 2))
        truth = np.concatenate([corners, corners + sides], axis=1)
        shift = rng.uniform(-0.2, 0.2, (300, 2))
        moved = np.tile(shift * sides, 2)
        proposals = truth + moved
        features = np.concatenate([shift, rng.normal(0, 0.01, (300, 6))], axis=1) * 20
        targets = regression_targets(proposals, truth)
        regressors = BoxRegressors(penalty=1.0).fit(
            features[:200], targets[:200], np.zeros(200, int), n_classes=1
        )
        found = regressors.refine(proposals[200:], features[200:], 0)
        before = np.diag(geometry.iou(proposals[200:], truth[200:]))
        after = np.diag(geometry.iou(found, truth[200:]))
        assert after.min() > 0.95 > before.mean()

    def test_it_is_a_scikit_learn_estimator(self):
        from sklearn.base import clone

        assert clone(BoxRegressors(penalty=3.0, whiten=True)).get_params() == {"penalty": 3.0, "whiten": True}

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"targets": np.zeros((3, 3))}, "must have shapes"),
            ({"class_index": [0, 1]}, "must have shapes"),
            ({"class_index": [0, 2, 1]}, "no class 2; classes go from 0 to 1"),
            ({"features": [[1.0, np.nan], [0, 0], [0, 0]]}, "row 0 holds NaN"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change, message):
        good = {"features": np.zeros((3, 2)), "targets": np.zeros((3, 4)), "class_index": [0, 1, 0]}
        with pytest.raises(TrainingError, match=message):
            BoxRegressors().fit(**(good | change), n_classes=2)

    def test_other_features_than_in_training_are_refused(self):
        regressors = BoxRegressors().fit(np.zeros((3, 2)), np.zeros((3, 4)), [0, 0, 0], n_classes=1)
        with pytest.raises(TrainingError, match=r"\[N, 2\], as in training; got \[1, 3\]"):
            regressors.predict(np.zeros((1, 3)), 0)
        with pytest.raises(TrainingError, match="no class 1"):
            regressors.predict(np.zeros((1, 2)), 1)
        with pytest.raises(TrainingError, match="penalty must be positive"):
            BoxRegressors(penalty=0).fit(np.zeros((3, 2)), np.zeros((3, 4)), [0, 0, 0], n_classes=1)


class TestChunks:
    """Pairs that come image by image: class 0 has many rows, 1 as many as features, 2 few, 3 none."""

    D = 40
    COUNTS = (700, 40, 9, 0)

    def pairs(self):
        features, targets = _pairs(sum(self.COUNTS), self.D)
        class_index = np.repeat(np.arange(4), self.COUNTS)
        order = np.random.default_rng(3).permutation(len(features))
        return features[order], targets[order], class_index[order]

    @pytest.mark.parametrize("chunk", [1, 7, 300, 10_000])
    @pytest.mark.parametrize("whiten", [False, True])
    def test_they_give_what_all_at_once_and_scikit_learn_give(self, chunk, whiten):
        from sklearn.linear_model import Ridge

        pairs = self.pairs()
        chunks = (tuple(column[i : i + chunk] for column in pairs) for i in range(0, len(pairs[0]), chunk))
        found = BoxRegressors(penalty=20.0, whiten=whiten).fit_chunks(chunks, n_classes=4)
        at_once = BoxRegressors(penalty=20.0, whiten=whiten).fit(*pairs, n_classes=4)
        assert found.n_pairs_.tolist() == at_once.n_pairs_.tolist() == list(self.COUNTS)
        np.testing.assert_allclose(found.coef_, at_once.coef_, atol=2e-5)
        np.testing.assert_allclose(found.intercept_, at_once.intercept_, atol=2e-4)
        features, targets, class_index = pairs
        for c in range(3):
            theirs = Ridge(alpha=20.0).fit(
                features[class_index == c].astype(np.float64), targets[class_index == c]
            )
            np.testing.assert_allclose(found.coef_[c], theirs.coef_, atol=2e-4)
            np.testing.assert_allclose(found.intercept_[c], theirs.intercept_, atol=2e-3)
        assert (found.coef_[3] == 0).all() and (found.intercept_[3] == 0).all()

    def test_memory_does_not_grow_with_the_rows(self):
        import tracemalloc

        d, rows = 300, RidgeRows(300)
        rng = np.random.default_rng(0)
        tracemalloc.start()
        for _ in range(60):  # 12,000 rows, 14 MB
            rows.add(rng.normal(size=(200, d)).astype(np.float32), rng.normal(size=(200, 4)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        square = 4 * d * d
        assert rows.n_rows == 12_000
        assert peak < 6 * square, "rows as many as features, their sums, and a chunk in float32 and float64"

    def test_chunks_without_rows_are_nothing_to_learn_from_but_fine(self):
        empty = np.zeros((0, 5)), np.zeros((0, 4)), np.zeros(0, int)
        found = BoxRegressors().fit_chunks([empty, empty], n_classes=2)
        assert found.coef_.shape == (2, 4, 5) and (found.predict(np.ones((1, 5)), 1) == 0).all()

    def test_what_does_not_fit_is_refused(self):
        good = np.zeros((3, 2)), np.zeros((3, 4)), [0, 0, 0]
        with pytest.raises(TrainingError, match="no chunk of pairs"):
            BoxRegressors().fit_chunks([], n_classes=1)
        with pytest.raises(TrainingError, match="chunk 1 has 5 features a row, those before it 2"):
            BoxRegressors().fit_chunks([good, (np.zeros((1, 5)), np.zeros((1, 4)), [0])], n_classes=1)
        with pytest.raises(TrainingError, match="no class 1"):
            BoxRegressors().fit_chunks([(good[0], good[1], [0, 1, 0])], n_classes=1)
        with pytest.raises(TrainingError, match="penalty must be positive"):
            BoxRegressors(penalty=-1).fit_chunks([good], n_classes=1)


def test_a_penalty_too_small_for_float32_is_named(rng):
    direction = rng.normal(size=400).astype(np.float32)
    features = np.outer(rng.normal(size=60), 1000 * direction).astype(np.float32)  # rank one
    with pytest.raises(TrainingError, match="penalty 1e-06 is too small"):
        BoxRegressors(penalty=1e-6).fit(features, np.ones((60, 4)), np.zeros(60, int), n_classes=1)
