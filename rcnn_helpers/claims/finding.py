"""Ways to find out: functions that make the `find` of a claim, and the paper's figures beside them.

A sign is judged on differences within a seed, by `rcnn_helpers.paired.verdict`, the rule of ``rcnn ablate``. With
fewer than three seeds it is judged on the classes, by an exact sign test: classes of one detector are not
independent, so this is a weak reading, and the text says how many classes there were.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rcnn_helpers import paired
from rcnn_helpers.claims.model import (
    FROM_SIGN,
    HOLDS,
    NOT_COMPARABLE,
    NOT_RUN,
    REVERSE,
    SHOWN,
    UNDECIDED,
    Claim,
    Finding,
)
from rcnn_helpers.claims.results import Missing, Results, by_class, by_seed

MAIN = "ablation_toyvoc"
SAMPLE = "ablation_voc2007_sample"
SEEDS = 3  # from so many on, seeds decide
RISK = 0.05  # of the sign test over classes, where there are fewer


@dataclass(frozen=True)
class Difference:
    """A difference between rows of a saved result, or between two such differences.

    Attributes
    ----------
    file : str
        Name of the result, without its ending.
    terms : tuple of (weight, selection)
        A selection is a mapping from column to value; a plain text is the value of the column ``name``.
    column : str
        What is compared.
    may_be_zero : bool
        Whether a difference of 0 supports the claim.
    """

    file: str
    terms: tuple[tuple[int, Mapping | str], ...]
    column: str = "mAP"
    may_be_zero: bool = False

    def of_seeds(self, results: Results) -> dict[int, float]:
        """The difference within each seed that has all the rows.

        Raises
        ------
        Missing
            If a row is not there, or no seed has them all.
        """
        rows = results.rows(self.file)
        sides = [(weight, by_seed(rows, _selection(which), self.column)) for weight, which in self.terms]
        seeds = [seed for seed in sides[0][1] if all(seed in values for _, values in sides)]
        if not seeds:
            raise Missing(f"no seed of data/results/{self.file}.csv has all the rows of a comparison")
        return {seed: math.fsum(weight * values[seed] for weight, values in sides) for seed in sorted(seeds)}

    def of_classes(self, results: Results) -> dict[str, float]:
        """The same for each class, mean over the seeds."""
        rows = results.rows(self.file)
        sides = [(weight, by_class(rows, _selection(which))) for weight, which in self.terms]
        classes = [name for name in sides[0][1] if all(name in values for _, values in sides)]
        found = {name: math.fsum(weight * values[name] for weight, values in sides) for name in classes}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def judged(self, results: Results) -> tuple[str, list[float]]:
        """The verdict, and the differences of the seeds."""
        values = list(self.of_seeds(results).values())
        if len(values) >= SEEDS:
            return FROM_SIGN[paired.verdict(values, may_be_zero=self.may_be_zero)], values
        classes = list(self.of_classes(results).values())
        more = sum(value > 0 for value in classes) - sum(value < 0 for value in classes)
        mean = math.fsum(values) / len(values)
        if paired.sign_test(classes) > RISK or more * mean <= 0:
            return UNDECIDED, values
        return (HOLDS if mean > 0 else REVERSE), values

    def text(self, results: Results) -> str:
        """The difference in words: mean and spread, or for fewer seeds the classes that speak for it."""
        values = list(self.of_seeds(results).values())
        mean, spread = paired.mean_and_spread(values)
        if len(values) >= SEEDS:
            return f"{mean:+.1f} ± {spread:.1f}"
        classes = list(self.of_classes(results).values())
        better = sum(value > 0 for value in classes)
        seeds = "1 seed" if len(values) == 1 else f"{len(values)} seeds"
        return f"{mean:+.1f} ({seeds}; better in {better} of {len(classes)} classes)"


def minus(better, worse, *, file: str = MAIN, column: str = "mAP", may_be_zero: bool = False) -> Difference:
    """The difference of two rows."""
    return Difference(file, ((1, better), (-1, worse)), column, may_be_zero)


def gain_minus_gain(after, before, other_after, other_before, *, file: str = MAIN) -> Difference:
    """How much more one step gains than another."""
    return Difference(file, ((1, after), (-1, before), (-1, other_after), (1, other_before)))


def sign(
    difference: Difference,
    *,
    paper: float | Callable[[Results], float] = math.nan,
    sample: Sequence[tuple[str, Difference]] = (),
    also: Sequence[tuple[str, Difference]] = (),
) -> Callable[[Results], Finding]:
    """A finding from the sign of a difference.

    Parameters
    ----------
    difference : Difference
        Above 0 speaks for the claim.
    paper : float or callable
        The paper's difference in points; a callable reads it.
    sample : sequence of (text, Difference)
        The same on real photographs, each with what tells the runs apart. They are shown, and do not decide.
    also : sequence of (text, Difference)
        Further runs to be shown beside it; of these and of `sample` those that were not made are left out.
    """

    def find(results: Results) -> Finding:
        verdict, values = difference.judged(results)
        mean, spread = paired.mean_and_spread(values)
        return Finding(
            verdict,
            toyvoc="; ".join([difference.text(results), *_texts(also, results)]),
            sample="; ".join(_texts(sample, results)) or "–",
            difference=mean,
            spread=spread,
            values=tuple(values),
            paper_difference=paper(results) if callable(paper) else paper,
        )

    return find


def _texts(runs: Sequence[tuple[str, Difference]], results: Results) -> list[str]:
    """Label and difference of each run that was made."""
    texts = []
    for label, run in runs:
        try:
            texts.append(f"{label} {run.text(results)}")
        except Missing:
            continue
    return texts


def rule(
    read: Callable[[Results], tuple[str, bool | None]], *, sample: Callable[[Results], str] | None = None
):
    """A finding from a figure and a rule of its own.

    Parameters
    ----------
    read : callable
        From `Results` to our figure as text and whether it meets the rule; None if the rule cannot decide.
    sample : callable, optional
        From `Results` to the text of the real sample's figure.
    """
    verdicts = {True: HOLDS, False: REVERSE, None: UNDECIDED}

    def find(results: Results) -> Finding:
        text, met = read(results)
        return Finding(verdicts[met], toyvoc=text, sample=_or_dash(sample, results))

    return find


def shown_beside(
    read: Callable[[Results], str], *, sample: Callable[[Results], str] | None = None
) -> Callable[[Results], Finding]:
    """A finding that sets our figure beside the paper's and draws no conclusion."""

    def find(results: Results) -> Finding:
        return Finding(NOT_COMPARABLE, toyvoc=read(results), sample=_or_dash(sample, results))

    return find


def illustrated(text: str, *files: str) -> Callable[[Results], Finding]:
    """A finding for what is shown rather than measured: it is there if its files are.

    Parameters
    ----------
    text : str
        What is to be seen, and where.
    *files : str
        Paths from the root of the repository.
    """

    def find(results: Results) -> Finding:
        for name in files:
            if not (results.folder.parent / name).is_file():
                raise Missing(f"there is no {name}")
        return Finding(SHOWN, toyvoc=text)

    return find


def not_run(results: Results) -> Finding:
    """A finding for what nothing that ships with the course could measure; the row's `why` says what it takes."""
    return Finding(NOT_RUN)


def found(find: Callable[[Results], Finding], results: Results) -> tuple[Finding, str]:
    """A finding, and what was missing if there is none: the verdict is then "not run"."""
    try:
        return find(results), ""
    except Missing as missing:
        return Finding(NOT_RUN), str(missing)


def beats(
    id: str,
    section: str,
    where: tuple[str, ...],
    says: str,
    difference: Difference,
    *,
    paper: Callable[[Results], float],
    commands: tuple[str, ...],
    **parts,
) -> Claim:
    """A claim that one thing beats another: the paper's difference is its figure, and our sign is held to it.

    Parameters
    ----------
    id, section, where, says, commands
        See `Claim`.
    difference, paper : see `sign`
    **parts
        ``sample`` and ``also`` of `sign`, ``rule`` and ``why`` of `Claim`.
    """
    shown = {name: parts.pop(name) for name in ("sample", "also") if name in parts}
    find = sign(difference, paper=paper, **shown)
    return Claim(id, section, where, says, points(paper), commands, find, **parts)


# -- the paper's own figures ---------------------------------------------------------------------------------


def paper_value(file: str, method: str, column: str = "mAP", *, key: str = "method"):
    """A callable that reads one of the paper's figures."""

    def read(results: Results) -> float:
        return next(row[column] for row in results.paper(file) if row[key] == method)

    return read


def paper_minus(file: str, better: str, worse: str, column: str = "mAP", *, key: str = "method"):
    """A callable that reads the difference of two of the paper's figures, rounded as the paper rounds."""

    def read(results: Results) -> float:
        first, second = (paper_value(file, name, column, key=key)(results) for name in (better, worse))
        return round(first - second, 1)

    return read


def paper_gain_minus_gain(file: str, after: str, before: str, other_after: str, other_before: str):
    """A callable that reads how much more one step gains than another in the paper."""

    def read(results: Results) -> float:
        return round(
            paper_minus(file, after, before)(results) - paper_minus(file, other_after, other_before)(results),
            1,
        )

    return read


def points(read: Callable[[Results], float]) -> Callable[[Results], str]:
    """The text of a difference that a callable reads."""
    return lambda results: f"{read(results):+.1f}"


def _selection(which: Mapping | str) -> Mapping:
    return {"name": which} if isinstance(which, str) else which


def _or_dash(read, results: Results) -> str:
    if read is None:
        return "–"
    try:
        return read(results)
    except Missing:
        return "–"
