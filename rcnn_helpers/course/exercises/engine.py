"""What an exercise is, and how an answer to it is judged.

An exercise asks for one function. The checker calls the learner's function and a reference on the same arguments:
a few chosen by hand, then some drawn at random. Where they differ it does not only say so. Each exercise names the
*slips* that people make, every one as a wrong implementation; the slip whose results agree with the learner's is
named. That the checker tells right from wrong is tested with those same slips, and with others.
"""

import ast
import copy
import ctypes
import functools
import inspect
import io
import linecache
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, MappingView, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from unittest.mock import patch

import numpy as np

TOLERANCE = 1e-4  # relative, and absolute for numbers below 1: room for float32
TIME_LIMIT = 10.0  # seconds for all cases together; a right answer takes a small part of one
PRINT_LIMIT = 1000  # characters that an answer may print; an endless loop would flood the notebook
KEPT_BYTES = 50_000_000  # of one result; no exercise asks for nearly as much
SHOWN_ENTRIES = 1000  # larger arrays are not written out


class Outcome(StrEnum):
    """What became of an answer."""

    PASS = "pass"
    WRONG = "wrong"
    NOT_ATTEMPTED = "not attempted"
    ERROR = "error"


@dataclass(frozen=True)
class Slip:
    """A mistake that people make: the wrong function, and what to say to whoever made it.

    Attributes
    ----------
    wrong : callable
        Takes the exercise's arguments; may raise, which counts as "not this slip".
    message : str
        Markdown; says what is wrong and points at the remedy without writing it out.
    """

    wrong: Callable
    message: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: a function to write, and all that is needed to judge it.

    Attributes
    ----------
    name : str
        Of the exercise and of the function that the learner writes.
    title : str
    notebook : str
        Number of the notebook it stands in, such as ``"01"``.
    difficulty : int
        1 to 3.
    minutes : int
        For someone who has read the section above it.
    reference : callable
        The right function; it steps in for an answer that does not pass.
    cases : callable
        From a `numpy.random.Generator` to a list of tuples of arguments. The first ones are small enough for paper
        and the same for every generator.
    slips : sequence of Slip
        Tried in this order.
    hints : sequence of str
        Markdown, from a nudge to nearly the answer.
    same : callable, optional
        ``same(answer, expected)`` says in Markdown how an answer differs, or returns None; `difference` unless
        given.
    draw : callable, optional
        ``draw(arguments, answer, expected)`` gives a picture (uint8 [H, W, 3]) of a case that went wrong, and its
        description.
    """

    name: str
    title: str
    notebook: str
    difficulty: int
    minutes: int
    reference: Callable
    cases: Callable[[np.random.Generator], list[tuple]]
    slips: Sequence[Slip]
    hints: Sequence[str]
    same: Callable = field(default_factory=lambda: difference)
    draw: Callable | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check, and the function to go on with.

    Attributes
    ----------
    exercise : Exercise
    outcome : Outcome
    message : str
        Markdown.
    function : callable
        The learner's where it passed (made to return arrays where it returns tensors), else the reference.
    picture : uint8 array of shape [H, W, 3], optional
    alt : str
        What the picture shows.
    """

    exercise: Exercise
    outcome: Outcome
    message: str
    function: Callable
    picture: np.ndarray | None = None
    alt: str = ""

    _MARKS = {
        Outcome.PASS: "✓ **Right.**",
        Outcome.WRONG: "✗ **Not yet.**",
        Outcome.NOT_ATTEMPTED: "○ **Not attempted.**",
        Outcome.ERROR: "! **An error.**",
    }

    @property
    def text(self) -> str:
        """The whole verdict in Markdown, with who goes on from here."""
        text = f"{self._MARKS[self.outcome]} {self.message}"
        if self.outcome is not Outcome.PASS:
            text += f" *What follows uses the reference for `{self.exercise.name}`.*"
        return text

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/markdown": self.text, "text/plain": self.text}


def judge(exercise: Exercise, answer: Callable, *, seed: int = 0, time_limit: float = TIME_LIMIT) -> Verdict:
    """Judge an answer: call it on the exercise's cases and compare with the reference.

    Parameters
    ----------
    exercise : Exercise
    answer : callable
        The learner's function.
    seed : int
        Of the random cases.
    time_limit : float
        Seconds for all cases; an endless loop ends here.

    Returns
    -------
    Verdict
        Whatever the answer does: its exceptions are caught and explained. Only Ctrl-C gets through.
    """

    reference = exercise.reference
    if not callable(answer):
        message = f"`{exercise.name}` is {_shown(answer)}; it must be a function (`def ...`)."
        return Verdict(exercise, Outcome.ERROR, message, reference)
    cases = exercise.cases(np.random.default_rng(seed))
    printed = _Shortened(sys.stdout)
    try:
        with redirect_stdout(printed), patch("builtins.input", _no_input), _time_limit(time_limit):
            trials = [_try(answer, arguments) for arguments in cases]
    except _TooSlow:
        message = (
            f"It was stopped after {time_limit:g} seconds. Is there a loop that never ends? "
            "Whatever a loop waits for must change inside it."
        )
        return Verdict(exercise, Outcome.ERROR, message, reference)
    problems = [_problem(exercise, trial) for trial in trials]
    if not any(problems):
        return _passed(exercise, answer, trials)
    blank = _left_blank(
        exercise, answer, trials
    )  # asked late: a `...` left beside a right answer does no harm
    if blank:
        return Verdict(exercise, Outcome.NOT_ATTEMPTED, blank, reference)
    if all(trial.result is None and trial.error is None for trial in trials):
        return Verdict(exercise, Outcome.WRONG, _nothing_returned(printed), reference)
    return _explained(exercise, answer, trials, problems)


def _passed(exercise, answer, trials) -> Verdict:
    message = f"{len(trials)} cases agree with the reference."
    if all(trial.plain for trial in trials):
        return Verdict(exercise, Outcome.PASS, message, answer)
    message += " Its tensors or tables are turned into NumPy arrays for the cells below."
    return Verdict(exercise, Outcome.PASS, message, _settling(answer))


def _left_blank(exercise, answer, trials) -> str | None:
    if all(trial.result is Ellipsis for trial in trials):
        return f"Write `{exercise.name}` in place of the `...`."
    return _unfinished(answer)


def _nothing_returned(printed) -> str:
    has_printed = printed.left < PRINT_LIMIT
    remedy = (
        "It prints; only `return` hands a result over." if has_printed else "Is there a `return` at its end?"
    )
    return f"Your function returns nothing (`None`) each time. {remedy}"


def _explained(exercise, answer, trials, problems) -> Verdict:
    """The verdict on an answer that failed: its first problem, and the slip behind all of them if one is known."""
    trial, problem = next(
        (trial, problem) for trial, problem in zip(trials, problems, strict=True) if problem
    )
    slip = _slip_behind(exercise, trials)
    if trial.error is not None and slip is None:
        message = problem + _line_of(trial.error, answer)
        return Verdict(exercise, Outcome.ERROR, message, exercise.reference)
    message = f"{slip.message} {problem}" if slip else problem
    return Verdict(exercise, Outcome.WRONG, message, exercise.reference, *_drawn(exercise, trial))


@dataclass(frozen=True)
class _Trial:
    """One call of an answer: what it was given, what it left of that, and what came out."""

    arguments: tuple
    left: tuple
    result: object = None
    error: BaseException | None = None
    plain: bool = True  # the result is the very thing that the answer returned


def _try(function, arguments) -> _Trial:
    given = copy.deepcopy(arguments)
    try:
        raw = function(*given)
        result = _settled(raw)
        if isinstance(result, np.ndarray) and result.nbytes > KEPT_BYTES:
            result = np.broadcast_to(np.nan, result.shape)  # surely wrong: its shape is kept, not its memory
        return _Trial(arguments, given, result=result, plain=result is raw)
    except (KeyboardInterrupt, _TooSlow):
        raise
    except BaseException as error:  # whoever calls exit() does not mean to end the notebook
        return _Trial(arguments, given, error=error)


def _settled(result):
    """A result as numpy or plain Python holds it: tensors and tables become arrays, also inside lists."""
    if hasattr(result, "detach"):  # a tensor of PyTorch, wherever it lies
        return result.detach().cpu().numpy()
    if hasattr(result, "to_numpy"):  # a table of pandas
        return result.to_numpy()
    if inspect.iscoroutine(result):
        result.close()  # or Python complains that nobody waited for it
    if type(result) in (list, tuple):
        parts = type(result)(_settled(part) for part in result)
        return result if all(part is raw for part, raw in zip(parts, result, strict=True)) else parts
    return result


def _settling(function):
    @functools.wraps(function)
    def settling(*arguments, **named):
        return _settled(function(*arguments, **named))

    return settling


def _problem(exercise, trial) -> str | None:
    """What is wrong with a trial, in Markdown; None if it is as it should be."""
    call = f"`{_call(exercise, trial.arguments)}`"
    if trial.error is not None:
        return f"For {call} your function {_raised(trial.error)}"
    if difference(trial.left, trial.arguments) is not None:
        return (
            f"Your function changes what it is given: after {call} the arguments are others than before. "
            "Work on a copy."
        )
    expected = exercise.reference(*copy.deepcopy(trial.arguments))
    problem = _compared(exercise, trial.result, expected)
    return None if problem is None else f"For {call} {problem}"


def _raised(error) -> str:
    if isinstance(error, SystemExit):
        return "ends Python (`exit`). Leave that out: a function ends with `return`."
    text = f"raises `{said_by(error)}`."
    never_entered = error.__traceback__.tb_next is None
    if isinstance(error, TypeError) and never_entered:
        text += " Does it take the arguments that the exercise names? Keep its first line as it was given."
    return text


def said_by(error: BaseException) -> str:
    """The name of an exception and its text; the name alone if it has none."""
    try:
        text = str(error)
    except Exception:  # a learner's own exception
        text = ""
    return type(error).__name__ + (f": {text}" if text else "")


def _no_value(result, expected) -> str | None:
    """What is to be said of a result that is no value at all, in Markdown; None for any other."""
    kind = f"it gives a `{type(result).__name__}`"
    if result is None and expected is not None:
        return (
            f"it gives `None`, expected is {_shown(expected)}. Does every way through the function end at a "
            "`return` with a value?"
        )
    if inspect.iscoroutine(result):
        return f"{kind}, not a result: leave out the `async` before `def`."
    if inspect.isgenerator(result):
        return f"{kind}, which makes its values later, one by one. Make a list of them and `return` that."
    if isinstance(result, AbstractSet) and not isinstance(result, MappingView):
        return f"{kind}, {_shown(result)}, which has no order. Return a list; expected is {_shown(expected)}."
    if isinstance(result, Iterator | MappingView):
        return f"{kind}, which is no list yet: make one of it with `list(...)`."
    return None


def _compared(exercise, answer, expected) -> str | None:
    try:
        return _no_value(answer, expected) or exercise.same(answer, expected)
    except Exception:  # whatever a learner's object does when it is compared
        return f"it gives {_shown(answer)}, expected is {_shown(expected)}."


def _slip_behind(exercise, trials) -> Slip | None:
    """The first slip that does what the answer did, in every trial."""
    for slip in exercise.slips:
        if all(_alike(exercise, trial, _try(slip.wrong, trial.arguments)) for trial in trials):
            return slip
    return None


def _alike(exercise, trial, other) -> bool:
    if trial.error is not None or other.error is not None:
        return type(trial.error) is type(other.error)
    return _compared(exercise, trial.result, other.result) is None


def _drawn(exercise, trial):
    """A picture of a wrong answer; an answer too odd to draw, or without end, has none."""
    if exercise.draw is None or isinstance(trial.result, Iterator):
        return None, ""
    try:
        expected = exercise.reference(*copy.deepcopy(trial.arguments))
        return exercise.draw(trial.arguments, trial.result, expected)
    except Exception:
        return None, ""


def difference(answer, expected) -> str | None:
    """Say in Markdown how an answer differs from what is expected, or return None if it does not.

    Numbers may differ by `TOLERANCE`. Lists, tuples and arrays are the same if their numbers are.
    """
    if expected is None or isinstance(expected, str | bool | np.bool_):
        same = answer == expected if np.ndim(answer) == 0 else False
        return None if same else f"it gives {_shown(answer)}, expected is {_shown(expected)}."
    try:
        got, wanted = np.asarray(answer, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    except Exception:  # no numbers; or an object that refuses to become an array, in whatever way
        return _parts_differ(answer, expected)
    if got.shape != wanted.shape:
        return (
            f"it gives {_shown(answer)}, {_shape_of(answer, got)}; "
            f"expected is {_shown(expected)}, {_shape_of(expected, wanted)}."
        )
    if np.allclose(got, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        return None
    return f"it gives {_shown(answer)}, expected is {_shown(expected)}."


def _parts_differ(answer, expected):
    """`difference` for what is no array: tuples, lists and dicts of unequal parts, part by part."""
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or set(answer) != set(expected):
            return f"it gives {_shown(answer)}, expected is {_shown(expected)}."
        parts = [(f"under {key!r} ", answer[key], expected[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != len(expected):
            return f"it gives {_shown(answer)}, expected is {_shown(expected)}."
        parts = [
            (f"in place {place} ", part, wanted)
            for place, (part, wanted) in enumerate(zip(answer, expected, strict=True))
        ]
    else:
        return f"it gives {_shown(answer)}, expected is {_shown(expected)}."
    for where, part, wanted in parts:
        problem = difference(part, wanted)
        if problem:
            return where + problem
    return None


def unfinished(source: str, name: str) -> str | None:
    """Say why the function `name` in `source` is still the stub it was, or return None if it is not."""
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            break
    else:
        return None
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if all(_says_nothing(statement) for statement in body):
        return f"Write the body of `{name}` in place of the `...`, then run the cell again."
    indexing = {
        id(part) for index in ast.walk(node) if isinstance(index, ast.Subscript) for part in ast.walk(index)
    }
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and part.value is Ellipsis and id(part) not in indexing:
            return f"Line {part.lineno} still holds a `...` to be replaced."
    return None


def _says_nothing(statement) -> bool:
    if isinstance(statement, ast.Return):
        statement = ast.Expr(statement.value or ast.Constant(None))
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.dump(statement)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value in (None, Ellipsis)
    )


def _unfinished(function) -> str | None:
    try:
        return unfinished(inspect.getsource(function), function.__name__)
    except (OSError, TypeError, SyntaxError):  # no source to look at: only its results can be judged
        return None


class _TooSlow(BaseException):
    """Raised inside a learner's function that runs too long; no `except Exception` of theirs catches it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_TooSlow` in this thread after `seconds`; works on every system, but not inside one long C call."""
    thread = threading.get_ident()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    lock, begun, ended, over = threading.Lock(), threading.Event(), threading.Event(), False

    def watch():
        begun.wait()  # what is raised while this thread is being started would break the starting
        step, left = min(0.1, seconds), seconds
        while not (ended.wait(step) or over):
            if _importing(thread):
                continue  # the first `import torch` takes long, and half of it would spoil the whole session
            left -= step
            with lock:
                if (
                    left <= 0 and not over
                ):  # at every step: a bare `except:` in a loop swallows the first ones
                    raise_in(ctypes.c_ulong(thread), ctypes.py_object(_TooSlow))

    threading.Thread(target=watch, daemon=True).start()
    try:
        begun.set()
        yield
    finally:
        over = True  # before anything else, as the exception may still arrive in the next line
        with lock:
            raise_in(ctypes.c_ulong(thread), None)  # one that was sent and has not arrived is taken back
        ended.set()


def _importing(thread: int) -> bool:
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _no_input(*_):
    raise RuntimeError("a function gets all it needs as arguments; leave out input()")


class _Shortened(io.TextIOBase):
    """Lets through the first `PRINT_LIMIT` characters that are printed."""

    def __init__(self, stream):
        self.stream, self.left = stream, PRINT_LIMIT

    def write(self, text):
        if self.left > 0:
            self.stream.write(text[: self.left])
            if len(text) >= self.left:
                self.stream.write("\n... (what the function prints further is left out)\n")
        self.left -= len(text)
        return len(text)


def _line_of(error, answer) -> str:
    """The line of an answer in which an error arose."""
    written = getattr(getattr(answer, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == written]
    if not own:
        return ""
    return f" It arises in line {own[-1].lineno}: `{linecache.getline(own[-1].filename, own[-1].lineno).strip()}`."


def _call(exercise, arguments) -> str:
    return f"{exercise.name}({', '.join(_shown(argument, bare=True) for argument in arguments)})"


def _shown(value, *, bare: bool = False) -> str:
    """A value, short enough for a message; in backticks unless `bare`."""
    nameless = f"an object of the type `{type(value).__name__}`"
    if callable(value):
        return "a function"
    if type(value).__repr__ is object.__repr__:  # an address in memory
        return nameless
    try:
        large = isinstance(value, np.ndarray) and value.size > SHOWN_ENTRIES
        text = "[...]" if large else repr(_plain(value))
    except Exception:  # whatever a learner's class does when it is written down
        return nameless
    if len(text) > 160:
        text = text[:120] + " ... " + text[-30:]
    return text if bare else f"`{text}`"


def _plain(value):
    """A value as people write it down: no numpy types, also inside lists or dicts, and few digits."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if type(value) in (list, tuple, set):
        return type(value)(_plain(part) for part in value)
    if type(value) is dict:
        return {_plain(key): _plain(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _shape_of(value, array) -> str:
    """What a value is and how many numbers it holds: a single one, a list of 3, an array of 2 x 3."""
    if not array.ndim:
        return "a single number"
    kind = type(value).__name__ if isinstance(value, list | tuple) else "array"
    name = {"array": "an array", "list": "a list", "tuple": "a tuple"}.get(kind, f"a {kind}")
    sides = " x ".join(str(side) for side in array.shape)
    return f"{name} of {sides} {'number' if array.shape == (1,) else 'numbers'}"
