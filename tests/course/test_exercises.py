"""Every exercise of the course: its checker tells right from wrong, and says what is wrong."""

import copy

import numpy as np
import pytest

from rcnn_helpers.course.exercises import Outcome, exercises, get_exercise, hint, solution
from rcnn_helpers.course.exercises.engine import difference, judge
from rcnn_helpers.course.sources import solution_of
from rcnn_helpers.errors import DatasetError, SettingsError

NAMED_BY_THE_ISSUE = {
    "iou",
    "context_box",
    "greedy_nms",
    "hard_negatives",
    "regression_targets",
    "apply_regression",
    "average_precision",
    "receptive_field",
    "merge_step",
}


@pytest.fixture(params=list(exercises()))
def exercise(request):
    return get_exercise(request.param)


def test_the_exercises_that_were_asked_for_are_there():
    assert set(exercises()) >= NAMED_BY_THE_ISSUE


def test_an_exercise_is_complete(exercise):
    assert exercise.difficulty in (1, 2, 3) and 5 <= exercise.minutes <= 60
    assert len(exercise.slips) >= 3 and len(exercise.hints) >= 2
    assert len({slip.message for slip in exercise.slips}) == len(exercise.slips)


def test_the_reference_passes_on_many_cases(exercise):
    for seed in range(5):
        assert judge(exercise, exercise.reference, seed=seed).outcome is Outcome.PASS


def test_every_slip_is_named(exercise):
    for slip in exercise.slips:
        verdict = judge(exercise, slip.wrong)
        assert verdict.outcome is Outcome.WRONG
        assert verdict.message.startswith(slip.message)
        assert verdict.function is exercise.reference
        assert (verdict.picture is None) == (exercise.draw is None)
        if verdict.picture is not None:
            assert verdict.picture.dtype == np.uint8 and verdict.picture.ndim == 3 and verdict.alt


def test_the_solution_passes_and_its_stub_is_not_attempted(exercise, tmp_path):
    from rcnn_helpers.course.sources import NOTEBOOKS, sources, without_solution

    namespace = {"np": np}
    exec(compile(solution_of(exercise.name), "solution", "exec"), namespace)
    assert judge(exercise, namespace[exercise.name]).outcome is Outcome.PASS
    source = next(path for path in sources(NOTEBOOKS) if path.name.startswith(exercise.notebook))
    _, after = source.read_text(encoding="utf-8").split(f'# %% exercise="{exercise.name}"', 1)
    stub = without_solution(after.split("\n", 1)[1].split("# %%")[0].strip("\n"))
    file = tmp_path / "stub.py"
    file.write_text(stub, encoding="utf-8")
    exec(compile(stub, str(file), "exec"), namespace)
    assert judge(exercise, namespace[exercise.name]).outcome is Outcome.NOT_ATTEMPTED


def test_nonsense_is_wrong_or_an_error_and_never_more(exercise):
    for answer in (
        lambda *arguments: None,
        lambda *arguments: 0.123,
        lambda *arguments: "a text",
        lambda *arguments: np.full((3, 3), np.nan),
        lambda *arguments: arguments,
        lambda *arguments: {"a": 1},
        lambda *arguments: 1 / 0,
        lambda: 1,
    ):
        verdict = judge(exercise, answer)
        assert verdict.outcome in (Outcome.WRONG, Outcome.ERROR), verdict
        assert verdict.function is exercise.reference


def test_checking_leaves_the_cases_alone(exercise):
    cases = exercise.cases(np.random.default_rng(0))
    before = copy.deepcopy(cases)
    for arguments in cases:
        exercise.reference(*arguments)
    assert all(difference(list(a), list(b)) is None for a, b in zip(cases, before, strict=True))


def test_hints_and_solutions_can_be_asked_for(exercise):
    assert hint(exercise.name).text.startswith("**Hint 1 of ")
    assert hint(exercise.name, 99).text.endswith(exercise.hints[-1])
    assert f"def {exercise.name}(" in solution(exercise.name).text


def test_an_unknown_exercise_is_refused_and_the_known_ones_named():
    with pytest.raises(SettingsError, match="no exercise 'iuo'.*iou"):
        get_exercise("iuo")


def test_a_solution_without_the_sources_says_what_is_missing(tmp_path):
    with pytest.raises(DatasetError, match="need a copy of the repository"):
        solution_of("iou", tmp_path)
