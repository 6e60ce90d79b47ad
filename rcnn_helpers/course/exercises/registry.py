"""All exercises of the course by name, and what a learner does with one: `check`, `hint`, `solution`."""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from rcnn_helpers.course import progress
from rcnn_helpers.course.exercises.engine import Exercise, Verdict, judge
from rcnn_helpers.course.sources import solution_of
from rcnn_helpers.errors import SettingsError

# One module for each notebook that has exercises.
_MODULES = (
    "start_here",
    "region_proposals",
    "warping",
    "feature_extraction",
    "fine_tuning",
    "svm_training",
    "bounding_box_regression",
    "detection_and_evaluation",
    "error_analysis",
    "pool5_units",
    "segmentation",
    "many_classes",
    "dataset_redundancy",
    "does_it_replicate",
)


@cache
def exercises() -> dict[str, Exercise]:
    """Return all exercises of the course by name, in course order."""
    found = {}
    for module in _MODULES:
        for exercise in import_module(f"rcnn_helpers.course.exercises.{module}").EXERCISES:
            if exercise.name in found:
                raise SettingsError(f"two exercises are called {exercise.name!r}")
            found[exercise.name] = exercise
    return found


def get_exercise(name: str) -> Exercise:
    """Return an exercise by its name.

    Raises
    ------
    SettingsError
        If there is none; the message lists those there are.
    """
    if name not in exercises():
        raise SettingsError(f"there is no exercise {name!r}; there are {', '.join(exercises())}")
    return exercises()[name]


def check(name: str, answer: Callable, *, seed: int = 0) -> Verdict:
    """Check an answer and remember the outcome in the learner's progress.

    Parameters
    ----------
    name : str
        Of the exercise.
    answer : callable
        The learner's function.
    seed : int
        Of the random cases.

    Returns
    -------
    Verdict
        Shown by a notebook in words; ``verdict.outcome`` says pass, wrong, not attempted or error, and
        ``verdict.function`` is the answer if it passed and else the reference.

    Examples
    --------
    >>> from rcnn_helpers.course import check
    >>> check("iou", lambda box, other: 0.5).outcome
    <Outcome.WRONG: 'wrong'>
    """
    verdict = judge(get_exercise(name), answer, seed=seed)
    progress.record_outcome(name, str(verdict.outcome))
    return verdict


class Note:
    """A text in Markdown that a notebook shows as such."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self):
        return self.text

    def _repr_markdown_(self):
        return self.text


def hint(name: str, number: int = 1) -> Note:
    """Return hint `number` of an exercise, from 1 on; past the last one, the last.

    Parameters
    ----------
    name : str
    number : int
    """
    hints = get_exercise(name).hints
    number = min(max(number, 1), len(hints))
    return Note(f"**Hint {number} of {len(hints)}.** {hints[number - 1]}")


def solution(name: str) -> Note:
    """Return a solution of an exercise: the code that stands in the solution notebook.

    Raises
    ------
    SettingsError
        If there is no such exercise.
    DatasetError
        If the notebooks' sources are not at hand.
    """
    return Note(
        f"**A solution** to compare with yours:\n\n```python\n{solution_of(get_exercise(name).name)}\n```"
    )
