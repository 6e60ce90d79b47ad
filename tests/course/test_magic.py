"""The exercise cell and its buttons, in an IPython shell of the test's own."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rcnn_helpers.course import progress
from rcnn_helpers.course.exercises import Outcome, get_exercise, magic
from rcnn_helpers.course.exercises.engine import judge

RIGHT = """
def iou(box, other):
    width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return width * height / (areas - width * height)
"""


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A shell, and in ``shell.shown`` what is displayed."""
    monkeypatch.setenv("RCNN_PROGRESS", str(tmp_path / "progress"))
    shell = InteractiveShell()
    shell.shown = []
    monkeypatch.setattr(magic, "display", shell.shown.append)
    magic.register(shell)
    yield shell
    InteractiveShell.clear_instance()


def _run(shell, code):
    shell.shown.clear()
    shell.run_cell_magic("exercise", "iou", code)
    verdict, panel = shell.shown
    return verdict, panel


def test_a_right_answer_takes_its_name(shell):
    verdict, _ = _run(shell, RIGHT)
    assert verdict.outcome is Outcome.PASS
    assert shell.user_ns["iou"] is verdict.function is not get_exercise("iou").reference
    assert progress.recall("exercise", "iou")["outcome"] == "pass"


@pytest.mark.parametrize(
    "code, outcome, said",
    [
        ("def iou(box, other):\n    ...\n", Outcome.NOT_ATTEMPTED, "in place of the"),
        ("def iou(box, other):\n    return 0.5\n", Outcome.WRONG, "expected is"),
        ("def iou(box, other)\n    return 0\n", Outcome.ERROR, "cannot read line 2 of the cell, `def iou"),
        ("1 / 0\ndef iou(box, other):\n    return 0\n", Outcome.ERROR, "ZeroDivisionError"),
        ("def uoi(box, other):\n    return 0\n", Outcome.ERROR, "defines no function `iou`"),
        ("\n", Outcome.NOT_ATTEMPTED, "defines no function `iou`"),
        ("def iou(box, other):\n    return box[9]\n", Outcome.ERROR, "arises in line 3: `return box[9]`"),
    ],
)
def test_any_other_answer_is_replaced_by_the_reference(shell, capsys, code, outcome, said):
    _run(shell, RIGHT)  # an earlier right answer must not hide that this one fails
    verdict, panel = _run(shell, code)
    assert verdict.outcome is outcome and said in verdict.message, verdict.message
    assert shell.user_ns["iou"] is get_exercise("iou").reference
    entry = progress.recall("exercise", "iou")
    assert entry["outcome"] == str(outcome) and entry["passed"] and entry["tries"] == 2


def test_a_cell_emptied_by_the_learner_does_not_stop_the_notebook(shell):
    for cell in ("%%exercise iou", "%%exercise iou\n\n"):
        shell.shown.clear()
        assert shell.run_cell(cell).success
        assert shell.shown[0].outcome is Outcome.NOT_ATTEMPTED


def test_registering_twice_is_registering_once(shell):
    before = list(shell.input_transformers_cleanup)
    magic.register(shell)
    assert shell.input_transformers_cleanup == before


@pytest.mark.filterwarnings("ignore:To exit")
def test_exit_does_not_end_the_kernel(shell):
    left = []
    shell.user_ns["exit"] = shell.user_ns["quit"] = lambda: left.append("the kernel is gone")
    for code in ("def iou(box, other):\n    exit()\n", "quit()\n"):
        verdict, panel = _run(shell, code)
        assert verdict.outcome is Outcome.ERROR and "exit" in verdict.message.lower()
        panel.check.click()
    assert not left
    shell.user_ns["exit"]()
    assert left


def test_the_learners_interrupt_stops_the_cell(shell):
    with pytest.raises(KeyboardInterrupt):
        magic.run_exercise(shell, "iou", "raise KeyboardInterrupt")


def test_the_buttons(shell):
    _, panel = _run(shell, "def iou(box, other):\n    return 0.5\n")
    assert panel.picture.value[:2] == b"\xff\xd8" and panel.picture.layout.display != "none"
    hints = get_exercise("iou").hints
    for number in (1, 2, 3, 3):
        panel.hint.click()
        assert f"Hint {number} of {len(hints)}" in panel.text.value
    panel.solution.click()
    assert "def iou" in panel.text.value and "<pre>" in panel.text.value
    panel.check.click()
    assert "Not yet" in panel.text.value
    _, panel = _run(shell, RIGHT)
    assert panel.picture.layout.display == "none"
    panel.check.click()
    assert "Right" in panel.text.value


def test_new_cases_are_new(shell, monkeypatch):
    seeds = []

    def spy(exercise, answer, *, seed=0, **options):
        seeds.append(seed)
        return judge(exercise, answer, seed=seed, **options)

    monkeypatch.setattr("rcnn_helpers.course.exercises.registry.judge", spy)
    _, panel = _run(shell, RIGHT)
    panel.check.click()
    panel.check.click()
    assert seeds == [0, 1, 2]


def test_code_that_did_not_run_cannot_be_checked_again(shell, capsys):
    _, panel = _run(shell, "def iou(")
    assert panel.check.disabled and not panel.hint.disabled


def test_a_saved_notebook_keeps_no_buttons(shell):
    _, panel = _run(shell, RIGHT)
    assert panel._repr_mimebundle_()["text/plain"] == ""


def test_an_unknown_exercise_says_which_there_are(shell):
    with pytest.raises(Exception, match="there is no exercise 'uoi'; there are iou"):
        magic.run_exercise(shell, "uoi", RIGHT)
