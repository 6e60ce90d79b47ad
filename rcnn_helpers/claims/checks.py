"""What must be true of the table as a whole."""

import re
from collections.abc import Callable, Iterable, Sequence

from rcnn_helpers.claims.model import VERDICTS, Line

TABLES, FIGURES, APPENDICES = range(1, 9), range(1, 13), "ABCDEFG"
SECTIONS_OF_THE_PAPER = ("1", "2", "3", "4", "5", "6")


def exhibits() -> tuple[str, ...]:
    """Names of all that the paper consists of and that needs a row."""
    return (
        "abstract",
        *(f"sec. {number}" for number in SECTIONS_OF_THE_PAPER),
        *(f"Table {number}" for number in TABLES),
        *(f"Figure {number}" for number in FIGURES),
        *(f"App. {letter}" for letter in APPENDICES),
    )


def check(lines: Sequence[Line], parse: Callable[[str], None] | None = None) -> list[str]:
    """Say what is wrong with a table, in a sentence each; an empty list if nothing is.

    Parameters
    ----------
    lines : sequence of Line
    parse : callable, optional
        Called with every command; raises `ValueError` for one that cannot be given.

    Returns
    -------
    list of str
        Rows with an empty cell or an unknown verdict, ids that are there twice, commands that do not parse, and
        tables, figures and appendices of the paper without a row.
    """
    problems = [problem for line in lines for problem in _of_line(line)]
    ids = [line.claim.id for line in lines]
    problems += [
        f"two rows are called {name}" for name in sorted({name for name in ids if ids.count(name) > 1})
    ]
    there = {place for line in lines for place in line.claim.where}
    problems += [f"{name} has no row" for name in exhibits() if not _covered(name, there)]
    if parse is not None:
        for line in lines:
            for command in line.claim.commands:
                try:
                    parse(command)
                except ValueError as error:
                    problems.append(f"{line.claim.id}: {command!r} cannot be given: {error}")
    return problems


def _of_line(line: Line) -> Iterable[str]:
    claim, finding = line.claim, line.finding
    cells = {
        "claim": claim.says,
        "paper": line.paper,
        "figure": finding.toyvoc,
        "sample": finding.sample,
        "why": line.why,
        "section": claim.section,
    }
    for name, text in cells.items():
        if not text or not text.strip():
            yield f"{claim.id} has no {name}"
    if not claim.where:
        yield f"{claim.id} says of no place that it stands there"
    if not claim.commands:
        yield f"{claim.id} has no command"
    if finding.verdict not in VERDICTS:
        yield f"{claim.id} has the unknown verdict {finding.verdict!r}"
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id):
        yield f"{claim.id!r} is no id of small letters, digits and hyphens"


def _covered(name: str, there: set[str]) -> bool:
    return any(place == name or place.startswith(f"{name}.") for place in there)
