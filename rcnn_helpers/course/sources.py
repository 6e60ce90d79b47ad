"""The notebooks' sources: one ``py:percent`` script a notebook, with lesson, exercises and solutions.

A cell that opens with ``# %% exercise="NAME"`` is an exercise. What stands in it from a line ``# solution`` to the
end of the cell, or to a line ``# end of solution``, is cut from the student's notebook, where three dots stand for
it.
"""

import re
from pathlib import Path

from rcnn_helpers.errors import DatasetError

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_SOLUTION = re.compile(
    r"^([ \t]*)# solution[ \t]*\n(.*?)(?:^[ \t]*# end of solution[ \t]*\n?|\Z)", re.M | re.S
)


def sources(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the sources of all notebooks in course order."""
    return sorted((folder / "sources").glob("[0-9][0-9]_*.py"))


def without_solution(code: str) -> str:
    """Return an exercise cell as the student finds it: three dots where the solution stood."""
    return _SOLUTION.sub(lambda match: f"{match[1]}...  # your code\n", code + "\n").rstrip("\n")


def with_solution(code: str) -> str:
    """Return an exercise cell solved: the markers are gone."""
    return _SOLUTION.sub(lambda match: match[2], code + "\n").rstrip("\n")


def solution_of(name: str, folder: Path = NOTEBOOKS) -> str:
    """Return the code that solves exercise `name`, from the notebooks' sources.

    Raises
    ------
    DatasetError
        If the sources are not there (a package installed without its repository) or hold no such exercise.
    """
    found = sources(folder)
    if not found:
        raise DatasetError(
            f"the notebooks' sources are not in {folder / 'sources'}; solutions need a copy of the repository"
        )
    cell = re.compile(rf'^# %% exercise="{re.escape(name)}"[^\n]*\n(.*?)(?=^# %%|\Z)', re.M | re.S)
    for source in found:
        match = cell.search(source.read_text(encoding="utf-8"))
        if match:
            return with_solution(match[1].strip("\n"))
    raise DatasetError(f"no notebook holds an exercise {name!r}")
