"""The exercise engine: outcomes, what it says, and that nothing a learner writes gets through."""

import dataclasses
import sys
import threading
import time

import numpy as np
import pytest

from rcnn_helpers.course.exercises import Exercise, Outcome, Slip, engine
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


def mean_beside_the_dots(values):
    """Written below the stub's line, which was left."""
    ...  # your code
    return sum(values) / len(values)


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
        (mean_beside_the_dots, Outcome.PASS, "3 cases"),
        (np.sum, Outcome.WRONG, "You forgot to divide. For `mean([1.0, 2.0, 6.0])` it gives `9.0`"),
        (np.median, Outcome.WRONG, "That is the median."),
        (np.max, Outcome.WRONG, "For `mean([1.0, 2.0, 6.0])` it gives `6.0`, expected is `3.0`."),
        (
            lambda values: [np.mean(values)],
            Outcome.WRONG,
            "`[2.0]`, a list of 1 number; expected is `2.0`, a single number.",
        ),
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


def _raising(error):
    def mean(values):
        raise error

    return mean


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError


class Bare(BaseException):
    pass


class Incomparable:
    def __array__(self, *_, **__):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error, said",
    [
        (SystemExit(3), "ends Python (`exit`)"),
        (Bare("oh"), "`Bare: oh`"),
        (Unspeakable(), "`Unspeakable`"),
        (GeneratorExit(), "`GeneratorExit`"),
        (MemoryError(), "`MemoryError`"),
    ],
)
def test_whatever_an_answer_raises_does_not_end_the_notebook(error, said):
    verdict = judge(MEAN, _raising(error))
    assert verdict.outcome is Outcome.ERROR and said in verdict.message


async def mean_async(values):
    return sum(values) / len(values)


def mean_one_by_one(values):
    while True:
        yield sum(values) / len(values)


def mean_that_asks(values):
    return float(input("The mean? "))


def mean_for_many(values):
    if len(values) > 1:
        return sum(values) / len(values)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "answer, outcome, said",
    [
        (mean_async, Outcome.WRONG, "leave out the `async`"),
        (mean_one_by_one, Outcome.WRONG, "a `generator`, which makes its values later"),
        (lambda values: map(abs, values), Outcome.WRONG, "a `map`, which is no list yet"),
        (lambda values: dict(a=1).values(), Outcome.WRONG, "a `dict_values`, which is no list yet"),
        (lambda values: {np.float64(1.5)}, Outcome.WRONG, "a `set`, `{1.5}`, which has no order"),
        (lambda values: {"mean": np.float64(1.5)}, Outcome.WRONG, "gives `{'mean': 1.5}`"),
        (
            lambda values: np.ones((3000, 3000)),
            Outcome.WRONG,
            "gives `[...]`, an array of 3000 x 3000 numbers;",
        ),
        (lambda values: (np.ones(2), np.ones(2)), Outcome.WRONG, "a tuple of 2 x 2 numbers"),
        (lambda values: object(), Outcome.WRONG, "an object of the type `object`"),
        (lambda values: Incomparable(), Outcome.WRONG, "an object of the type `Incomparable`"),
        (lambda values: [[1], [1, 2]], Outcome.WRONG, "it gives `[[1], [1, 2]]`"),
        (mean_for_many, Outcome.WRONG, "`mean([2.0])` it gives `None`, expected is `2.0`. Does every way"),
        (lambda values: print(values), Outcome.WRONG, "It prints; only `return`"),
        (lambda values: ..., Outcome.NOT_ATTEMPTED, "in place of the `...`"),
        (lambda values, weights: 1, Outcome.ERROR, "Keep its first line as it was given"),
        (mean_that_asks, Outcome.ERROR, "leave out input()"),
    ],
)
def test_odd_results_are_called_what_they_are(answer, outcome, said):
    verdict = judge(MEAN, answer)
    assert (verdict.outcome, said in verdict.message) == (outcome, True), verdict.message


def test_arguments_made_odd_have_been_changed():
    def spoiling(values):
        total = sum(values) / len(values)
        values[0] = Incomparable()
        return total

    of_lists = dataclasses.replace(MEAN, cases=lambda rng: [([2.0],), ([1.0, 2.0, 6.0],)])
    assert "changes what it is given" in judge(of_lists, spoiling).message


def test_of_huge_results_only_the_shape_is_kept(monkeypatch):
    monkeypatch.setattr(engine, "KEPT_BYTES", 8_000)
    results = []

    def huge(values):
        results.append(np.ones((50, 40)))
        return results[-1]

    assert "`[...]`, an array of 50 x 40 numbers" in judge(MEAN, huge).message
    assert all(sys.getrefcount(result) <= 3 for result in results)  # the list, the loop, the call


def test_tensors_and_tables_count_by_their_numbers():
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")

    def with_gradients(values):
        return torch.tensor(list(values), requires_grad=True).mean()

    verdict = judge(MEAN, with_gradients)
    assert verdict.outcome is Outcome.PASS and "into NumPy arrays" in verdict.message
    assert np.isclose(verdict.function(values=[1.0, 3.0]), 2.0)  # numpy refuses tensors with gradients
    pair = dataclasses.replace(MEAN, reference=lambda values: [len(values), 1], slips=())
    for answer in (
        lambda values: [torch.tensor(len(values)), torch.tensor(1.0, requires_grad=True)],
        lambda values: pandas.Series([len(values), 1], index=["a", "b"]),
    ):
        assert judge(pair, answer).outcome is Outcome.PASS
    verdict = judge(MEAN, lambda values: torch.tensor(0.5))
    assert "it gives `0.5`, expected" in verdict.message


def test_what_has_no_end_is_neither_compared_nor_drawn():
    picky = dataclasses.replace(
        MEAN,
        same=lambda answer, expected: None if 9 in answer else "it is missing.",
        draw=lambda arguments, answer, expected: list(answer),
    )
    assert judge(picky, mean_one_by_one).picture is None


def test_a_flood_of_prints_is_cut_off(capsys):
    def talkative(values):
        while True:
            print("still here", values)

    verdict = judge(MEAN, talkative, time_limit=0.3)
    said = capsys.readouterr().out
    assert verdict.outcome is Outcome.ERROR
    assert said.startswith("still here [2.0]") and len(said) < 1200 and "left out" in said


def test_a_bare_except_in_a_loop_does_not_hide_the_stop():
    def stubborn(values):
        while values:
            try:
                while True:
                    pass
            except:  # noqa: E722
                values = values[:-1]
        return 0.0

    assert judge(MEAN, stubborn, time_limit=0.1).outcome is Outcome.WRONG  # after two stops or more


def test_an_import_is_never_interrupted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_to_import.py").write_text("import time\nfor _ in range(40):\n    time.sleep(0.01)\n")

    def importing(values):
        import slow_to_import  # noqa: F401

        return sum(values) / len(values)

    assert judge(MEAN, importing, time_limit=0.1).outcome is Outcome.PASS


def test_ctrl_c_gets_through():
    def interrupted(values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(MEAN, interrupted)


def test_the_time_limit_begins_with_the_answer(monkeypatch):
    """On a machine with much else to do, a watch that had begun earlier broke off its own start, and all hung."""
    start = threading.Thread.start

    def slow_start(thread):
        start(thread)
        time.sleep(1.5)

    monkeypatch.setattr(threading.Thread, "start", slow_start)
    assert judge(MEAN, np.mean, time_limit=1).outcome == Outcome.PASS


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
