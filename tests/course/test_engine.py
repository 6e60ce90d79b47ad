"""The exercise engine: outcomes, what it says, and that nothing a learner writes gets through."""

import numpy as np
import pytest

from rcnn_helpers.course.exercises import Exercise, Outcome, Slip
from rcnn_helpers.course.exercises.engine import difference, judge, unfinished

MEAN = Exercise(
    name="mean",
    title="Mean",
    notebook="99",
    difficulty=1,
    minutes=5,
    reference=lambda values: sum(values) / len(values),
    cases=lambda rng: [([2.0],), ([1.0, 2.0, 6.0],), (rng.normal(size=5),)],
    slips=(
        Slip(lambda values: sum(values), "You forgot to divide."),
        Slip(lambda values: sorted(values)[len(values) // 2], "That is the median."),
        Slip(lambda values: values.mean(), "It only works on arrays."),
    ),
    hints=("Add.", "Divide."),
)


def mean_that_sorts(values):
    values.sort()
    return sum(values) / len(values)


def mean_without_return(values):
    sum(values) / len(values)


def mean_without_end(values):
    while len(values):
        pass


def mean_that_hides_its_stop(values):
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


def mean(values):
    """The stub."""
    ...


def mean_half_done(values):
    total = sum(values)
    count = ...
    return total / count


def mean_with_an_ellipsis_that_belongs(values):
    return np.asarray(values)[..., :].mean()


def mean_with_a_bug(values):
    return sum(values) / values[7]


@pytest.mark.parametrize(
    "answer, outcome, said",
    [
        (np.mean, Outcome.PASS, "3 cases"),
        (lambda values: np.float32(np.mean(values)), Outcome.PASS, "3 cases"),
        (lambda values: np.mean(values) + 1e-6, Outcome.PASS, "3 cases"),
        (mean_with_an_ellipsis_that_belongs, Outcome.PASS, "3 cases"),
        (np.sum, Outcome.WRONG, "You forgot to divide. For `mean([1.0, 2.0, 6.0])` it gives `9.0`"),
        (np.median, Outcome.WRONG, "That is the median."),
        (np.max, Outcome.WRONG, "For `mean([1.0, 2.0, 6.0])` it gives `6.0`, expected is `3.0`."),
        (lambda values: [np.mean(values)], Outcome.WRONG, "an array of shape (1,)"),
        (mean_that_sorts, Outcome.WRONG, "changes what it is given"),
        (mean_without_return, Outcome.WRONG, "a `return`"),
        (lambda values: values.mean(), Outcome.WRONG, "It only works on arrays."),
        (mean_without_end, Outcome.ERROR, "a loop that never ends"),
        (mean_that_hides_its_stop, Outcome.ERROR, "a loop that never ends"),
        (mean_with_a_bug, Outcome.ERROR, "`IndexError: list index out of range`. It arises in line"),
        (lambda: 1, Outcome.ERROR, "TypeError"),
        (5, Outcome.ERROR, "it must be a function"),
        (mean, Outcome.NOT_ATTEMPTED, "in place of the `...`"),
        (mean_half_done, Outcome.NOT_ATTEMPTED, "Line 3 still holds"),
    ],
)
def test_outcomes_and_messages(answer, outcome, said):
    verdict = judge(MEAN, answer, time_limit=0.3 if "end" in str(answer) or "stop" in str(answer) else 10)
    assert (verdict.outcome, said in verdict.message) == (outcome, True), verdict.message
    assert verdict.function is (answer if outcome is Outcome.PASS else MEAN.reference)
    assert ("reference" in verdict.text.split("*")[-2]) == (outcome is not Outcome.PASS)


def test_an_answer_that_exits_does_not_end_the_notebook():
    def leaving(values):
        raise SystemExit(3)

    verdict = judge(MEAN, leaving)
    assert verdict.outcome is Outcome.ERROR and "SystemExit" in verdict.message


def test_ctrl_c_gets_through():
    def interrupted(values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(MEAN, interrupted)


def test_the_time_limit_leaves_no_exception_behind():
    for _ in range(50):
        assert judge(MEAN, np.mean, time_limit=0.01).outcome in (Outcome.PASS, Outcome.ERROR)
    assert sum(range(100_000)) == 4_999_950_000  # an exception on its way would surface here


@pytest.mark.parametrize(
    "answer, expected, same",
    [
        (1.0, 1, True),
        (np.float32(0.1), 0.1, True),
        ([1, 2], np.array([1.0, 2.0]), True),
        ((1, [2, 3]), (1, [2, 3]), True),
        ((1, [2, 4]), (1, [2, 3]), False),
        ([1, 2], [1, 2, 3], False),
        (np.array([True, False]), np.array([1, 0]), True),
        (True, True, True),
        (np.array([True, True]), True, False),
        (None, None, True),
        (0, None, False),
        ("fp", "fp", True),
        (["tp", "fp"], ["tp", "fp"], True),
        (["tp", "tp"], ["tp", "fp"], False),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        ({"a": 1}, {"a": 1.00001}, True),
        ({"a": 1}, {"b": 1}, False),
        ([], np.zeros((0,)), True),
        ("text", 1.0, False),
        (None, 1.0, False),
    ],
)
def test_difference(answer, expected, same):
    assert (difference(answer, expected) is None) == same


@pytest.mark.parametrize(
    "body, blank",
    [
        ("...", True),
        ("pass", True),
        ("return None", True),
        ("return ...", True),
        ("raise NotImplementedError", True),
        ("'''Text.'''\n    ...  # your code", True),
        ("x = ...\n    return x", True),
        ("return x[..., 0]", False),
        ("return 0", False),
        ("raise ValueError", False),
    ],
)
def test_stubs_are_told_from_answers(body, blank):
    assert (unfinished(f"def f(x):\n    {body}\n", "f") is not None) == blank
