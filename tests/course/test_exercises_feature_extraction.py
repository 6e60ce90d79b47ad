"""The exercises of notebook 03: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.feature_extraction import FEATURE_SCALE, OUTPUT_SIZE, RECEPTIVE_FIELD

TNET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]
THREE = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 10.0], [12.0, 9.0, 0.0]])

# --- References, by hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "arguments", "value"),
    [
        (OUTPUT_SIZE, (227, 11, 4, 0, False), 55),
        (OUTPUT_SIZE, (27, 5, 1, 2, False), 27),
        (OUTPUT_SIZE, (224, 3, 2, 0, False), 111),
        (OUTPUT_SIZE, (224, 3, 2, 0, True), 112),
        (RECEPTIVE_FIELD, ([],), (1, 1)),
        (RECEPTIVE_FIELD, ([(11, 4), (3, 2)],), (19, 8)),
        (RECEPTIVE_FIELD, ([(2, 2), (2, 2)],), (4, 4)),
        (RECEPTIVE_FIELD, (TNET,), (195, 32)),  # sec. 3.1 of the paper
        (FEATURE_SCALE, (THREE,), 2),  # norms 5, 10 and 15
        (FEATURE_SCALE, (np.array([[0.0, 0.0], [6.0, 8.0]]),), 4),
        (FEATURE_SCALE, (np.array([[0.0, 20.0]]),), 1),
    ],
)
def test_references_by_hand(exercise, arguments, value):
    assert_allclose(exercise.reference(*arguments), value)


# --- Other right answers ----------------------------------------------------------------------------------------


def output_by_walking(side, kernel, stride, padding, ceil):
    """Put the window down as long as it fits; the last one may stick out if `ceil`."""
    cells, at = 0, -padding
    while at + kernel <= side + padding:
        cells, at = cells + 1, at + stride
    covered = at - stride + kernel >= side + padding
    return np.int64(cells if covered or not ceil else cells + 1)


def field_from_above(layers):
    """From one unit downwards, without spacings: a window of windows."""
    field, apart = 1, 1
    for kernel, stride in reversed(layers):
        field, apart = stride * (field - 1) + kernel, apart * stride
    return [field, apart]


def scale_by_loops(features):
    lengths = [sum(float(value) ** 2 for value in feature) ** 0.5 for feature in features]
    return np.float32(20 * len(lengths) / sum(lengths))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (OUTPUT_SIZE, output_by_walking),
        (
            OUTPUT_SIZE,
            lambda n, k, s, p, ceil: float(-(-(n + 2 * p - k) // s) if ceil else (n + 2 * p - k) // s) + 1,
        ),
        (RECEPTIVE_FIELD, field_from_above),
        (FEATURE_SCALE, scale_by_loops),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text


# --- Wrong answers that no slip names ---------------------------------------------------------------------------

MUTANTS = [
    (OUTPUT_SIZE, lambda n, k, s, p, ceil: output_by_walking(n, k, s, p, not ceil), Outcome.WRONG),
    (OUTPUT_SIZE, lambda n, k, s, p, ceil: output_by_walking(n, k, s, p, ceil) + 1, Outcome.WRONG),
    (
        OUTPUT_SIZE,
        lambda n, k, s, p, ceil: output_by_walking(n, s, k, p, ceil),
        Outcome.WRONG,
    ),  # k and s swapped
    (
        OUTPUT_SIZE,
        lambda n, k, s, p, ceil: {227: 55, 55: 27, 27: 27, 13: 13}[n],
        Outcome.ERROR,
    ),  # learnt by heart
    (RECEPTIVE_FIELD, lambda layers: field_from_above(layers)[0], Outcome.WRONG),
    (RECEPTIVE_FIELD, lambda layers: field_from_above(layers[:-1]), Outcome.WRONG),
    (RECEPTIVE_FIELD, lambda layers: field_from_above([(s, k) for k, s in layers]), Outcome.WRONG),
    (RECEPTIVE_FIELD, lambda layers: (195, 32), Outcome.WRONG),
    (RECEPTIVE_FIELD, lambda layers: field_from_above([*layers, (3, 1)]), Outcome.WRONG),
    (FEATURE_SCALE, lambda features: 20 / np.median(np.linalg.norm(features, axis=1)), Outcome.WRONG),
    (FEATURE_SCALE, lambda features: (20 / np.linalg.norm(features, axis=1)).mean(), Outcome.WRONG),
    (FEATURE_SCALE, lambda features: 1 / np.linalg.norm(features, axis=1).mean(), Outcome.WRONG),
    (FEATURE_SCALE, lambda features: 20 / np.abs(features).max(axis=1).mean(), Outcome.WRONG),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("exercise", "mutant", "outcome"), MUTANTS)
def test_mutants_are_caught(exercise, mutant, outcome):
    verdict = judge(exercise, mutant)
    assert verdict.outcome is outcome, verdict.text
    assert not any(slip.message in verdict.message for slip in exercise.slips)


def test_features_must_not_be_changed():
    def in_place(features):
        scale = scale_by_loops(features)
        features *= scale
        return scale

    verdict = judge(FEATURE_SCALE, in_place)
    assert verdict.outcome is Outcome.WRONG
    assert "Work on a copy" in verdict.message


@pytest.mark.parametrize("exercise", [OUTPUT_SIZE, RECEPTIVE_FIELD, FEATURE_SCALE])
@pytest.mark.parametrize("seed", [0, 1])
def test_slips_are_told_apart(exercise, seed):
    for slip in exercise.slips:
        verdict = judge(exercise, slip.wrong, seed=seed)
        assert verdict.outcome is Outcome.WRONG
        assert verdict.message.startswith(slip.message), verdict.message
