"""What a claim is, and what was found out about it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rcnn_helpers import paired

HOLDS = "holds"
REVERSE = "the reverse"
UNDECIDED = "undecided"
NOT_COMPARABLE = "not comparable"
SHOWN = "shown"
NOT_RUN = "not run"

# Every verdict there is, and when it is given. A rule that a single row adds to these stands in that row.
VERDICTS: dict[str, str] = {
    HOLDS: "all seeds agree with the paper's sign (or: our figure meets the rule that the row states)",
    REVERSE: "all seeds agree on the other sign (or: our figure is on the other side of the rule)",
    UNDECIDED: "the seeds disagree; or, with fewer than three, chance could favour as many of the classes",
    NOT_COMPARABLE: "measured, but on other data or by another network, so that no sign decides",
    SHOWN: "nothing is claimed that could fail: an illustration or a procedure, which runs here",
    NOT_RUN: "not run yet, or not possible without data or weights that cannot be shipped; the row says which",
}
FROM_SIGN = {paired.HOLDS: HOLDS, paired.FAILS: REVERSE, paired.UNDECIDED: UNDECIDED}


@dataclass(frozen=True)
class Finding:
    """What our results say about one claim.

    Attributes
    ----------
    verdict : str
        One of `VERDICTS`.
    toyvoc, sample : str
        Our figure on ToyVOC, and on the real photographs of the VOC 2007 sample; "–" where there is none.
    difference, spread : float
        The paired difference behind a sign, and its standard deviation over the seeds; NaN where there is none.
    values : tuple of float
        The difference within each seed.
    paper_difference : float
        The paper's difference in the same points, NaN where it gives none.
    """

    verdict: str
    toyvoc: str = "–"
    sample: str = "–"
    difference: float = math.nan
    spread: float = math.nan
    values: tuple[float, ...] = ()
    paper_difference: float = math.nan

    @property
    def seeds(self) -> int:
        """How many seeds the difference is of."""
        return len(self.values)


@dataclass(frozen=True)
class Claim:
    """One row: something that the paper says or shows, and how to find out whether it holds here.

    Attributes
    ----------
    id : str
        Short and unique, such as ``"fine-tuning-fc7"``.
    section : str
        Group of the table that the row stands in.
    where : tuple of str
        Places in the paper: ``("sec. 3.2", "Table 2")``. All eight tables, twelve figures and seven appendices are
        named somewhere, which `rcnn_helpers.claims.checks` makes sure of.
    says : str
        The claim, in our words.
    paper : str or callable
        The paper's figure; a callable reads it from ``data/paper``.
    commands : tuple of str
        What computes our figure anew.
    find : callable
        From `Results` to a `Finding`: reads our figure from the saved results, never from memory.
    rule : str
        How the verdict is reached, where it is not the agreement of the seeds.
    why : str or mapping from verdict to str
        Why it holds or does not, as far as we know. Under a verdict that a mapping lacks, nothing is explained.
    """

    id: str
    section: str
    where: tuple[str, ...]
    says: str
    paper: str | Callable
    commands: tuple[str, ...]
    find: Callable
    rule: str = ""
    why: str | Mapping[str, str] = field(default="")

    def reason(self, verdict: str) -> str:
        """Why the claim came to `verdict`."""
        if isinstance(self.why, str):
            return self.why
        return self.why.get(verdict, "No explanation was looked for.")


@dataclass(frozen=True)
class Line:
    """A claim with all that the table prints of it.

    Attributes
    ----------
    claim : Claim
    finding : Finding
    paper : str
        The paper's figure as text.
    why : str
        The reason that goes with the verdict.
    """

    claim: Claim
    finding: Finding
    paper: str
    why: str

    def as_dict(self) -> dict:
        """The line as JSON has it."""

        def number(value):
            return None if math.isnan(value) else value

        return {
            "id": self.claim.id,
            "section": self.claim.section,
            "where": list(self.claim.where),
            "claim": self.claim.says,
            "paper": self.paper,
            "toyvoc": self.finding.toyvoc,
            "real_sample": self.finding.sample,
            "verdict": self.finding.verdict,
            "rule": self.claim.rule,
            "why": self.why,
            "commands": list(self.claim.commands),
            "difference": number(self.finding.difference),
            "spread": number(self.finding.spread),
            "differences_by_seed": list(self.finding.values),
            "paper_difference": number(self.finding.paper_difference),
        }
