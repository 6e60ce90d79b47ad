"""The exercise cell of the notebooks: ``%%exercise NAME`` above the learner's code.

Running the cell runs the code, checks the function it defines, and shows the verdict with three buttons below. An
empty, wrong or broken answer does not stop "Run All": the reference takes the function's name.
"""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets
import mistune
from IPython.display import display
from PIL import Image

from rcnn_helpers.course import progress
from rcnn_helpers.course.exercises.engine import Outcome, Verdict, said_by
from rcnn_helpers.course.exercises.registry import check, get_exercise, hint, solution
from rcnn_helpers.errors import DatasetError


def register(shell) -> None:
    """Teach an IPython shell the cell magic ``%%exercise``."""
    shell.register_magic_function(
        lambda line, code: run_exercise(shell, line.strip(), code), "cell", "exercise"
    )
    shell.input_transformers_cleanup[:] = [
        *(known for known in shell.input_transformers_cleanup if known is not _fill_an_empty_cell),
        _fill_an_empty_cell,
    ]


def _fill_an_empty_cell(lines: list[str]) -> list[str]:
    """IPython refuses a cell magic without a body, which would stop "Run All"."""
    if lines and lines[0].startswith("%%exercise") and not "".join(lines[1:]).strip():
        return [lines[0].rstrip("\n") + "\n", "...\n"]
    return lines


def run_exercise(shell, name: str, code: str) -> None:
    """Run and check an exercise cell, show the verdict, and bind the function to go on with.

    Parameters
    ----------
    shell : IPython shell
    name : str
        Of the exercise and of its function.
    code : str
        The cell's text without its first line.

    Raises
    ------
    SettingsError
        If there is no such exercise.
    KeyboardInterrupt
        If the learner stopped the cell.
    """
    exercise = get_exercise(name)
    shell.user_ns.pop(name, None)  # an older answer must not pass for one that could not be run
    with _exit_disarmed(shell):
        # The comment stands in the place of the magic, so that line numbers are those of the cell.
        result = shell.run_cell(f"# exercise {name}\n{code}", store_history=False)
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, KeyboardInterrupt):
        raise error
    answer = shell.user_ns.get(name)
    if error is None and answer is not None:
        with _exit_disarmed(shell):
            verdict = check(name, answer)
    else:
        verdict = Verdict(exercise, *_why_there_is_no_answer(name, code, error), exercise.reference)
        progress.record_outcome(name, str(verdict.outcome))
    shell.user_ns[name] = verdict.function
    display(verdict)
    display(ExercisePanel(verdict, answer, shell))


@contextmanager
def _exit_disarmed(shell) -> Iterator[None]:
    """In a notebook `exit()` ends the kernel; while an exercise is run it is an exception like any other."""
    armed = {name: shell.user_ns[name] for name in ("exit", "quit") if name in shell.user_ns}
    shell.user_ns.update(dict.fromkeys(armed, sys.exit))
    try:
        yield
    finally:
        shell.user_ns.update(armed)


def _why_there_is_no_answer(name: str, code: str, error: BaseException | None) -> tuple[Outcome, str]:
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        return Outcome.ERROR, f"Python cannot read line {error.lineno} of the cell, `{line}`: {error.msg}."
    if error is not None:
        return Outcome.ERROR, f"The cell raises `{said_by(error)}` before its function is called."
    missing = f"The cell defines no function `{name}`; it needs a line `def {name}(...)`."
    return (Outcome.NOT_ATTEMPTED if code.strip() in ("", "...") else Outcome.ERROR), missing


class ExercisePanel(ipywidgets.VBox):
    """Buttons below an exercise: check on new cases, a hint, a solution; and the picture of what went wrong.

    Parameters
    ----------
    verdict : Verdict
        Of the check that has just been shown.
    answer : callable or None
        The learner's function; None if the cell could not be run.
    shell : IPython shell
    """

    def __init__(self, verdict: Verdict, answer: Callable | None, shell):
        self.name, self.answer, self.shell = verdict.exercise.name, answer, shell
        self._seed = self._hints = 0
        self.check = ipywidgets.Button(description="Check on new cases", disabled=answer is None)
        self.hint = ipywidgets.Button(description="Hint")
        self.solution = ipywidgets.Button(description="Solution")
        for button, react in (
            (self.check, self._check),
            (self.hint, self._hint),
            (self.solution, self._solution),
        ):
            button.layout.width = "auto"
            button.on_click(react)
        self.text = ipywidgets.HTMLMath()
        self.picture = ipywidgets.Image(
            format="jpeg", layout={"align_self": "flex-start", "max_width": "100%"}
        )
        buttons = ipywidgets.HBox([self.check, self.hint, self.solution])
        super().__init__([buttons, self.text, self.picture])
        self._show_picture(verdict)
        if verdict.alt:
            self._say(verdict.alt)  # the verdict itself stands above the buttons

    def _check(self, _button):
        self._seed += 1
        with _exit_disarmed(self.shell):
            verdict = check(self.name, self.answer, seed=self._seed)
        self._show_picture(verdict)
        self._say(f"{verdict.text}\n\n{verdict.alt}")

    def _hint(self, _button):
        self._hints += 1
        self._say(hint(self.name, self._hints).text)

    def _solution(self, _button):
        try:
            self._say(solution(self.name).text)
        except DatasetError as error:
            self._say(str(error))

    def _say(self, markdown: str):
        # role="status": screen readers speak the text when it changes.
        self.text.value = f'<div role="status">{mistune.html(markdown)}</div>'

    def _show_picture(self, verdict: Verdict):
        shown = verdict.picture is not None
        self.picture.layout.display = "" if shown else "none"
        if shown:
            buffer = io.BytesIO()
            Image.fromarray(verdict.picture).save(buffer, "JPEG", quality=85)
            self.picture.value = buffer.getvalue()

    def _repr_mimebundle_(self, **options):
        """The live view alone: a saved notebook has no use for buttons."""
        bundle = super()._repr_mimebundle_(**options)
        bundle["text/plain"] = ""
        return bundle
