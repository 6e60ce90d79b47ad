"""From claims and saved results to the lines of the table."""

from collections.abc import Iterable, Sequence

from rcnn_helpers.claims.finding import found
from rcnn_helpers.claims.model import VERDICTS, Claim, Line
from rcnn_helpers.claims.results import Missing, Results
from rcnn_helpers.claims.rows import CLAIMS
from rcnn_helpers.errors import SettingsError


def table(claims: Iterable[Claim] = CLAIMS, results: Results | None = None) -> list[Line]:
    """Judge claims by the saved results.

    Parameters
    ----------
    claims : iterable of Claim
        By default all of the paper's.
    results : Results, optional
        By default those that ship with the course.

    Returns
    -------
    list of Line
        In the order of `claims`. Where a result is missing the verdict is "not run", and the reason names it.
    """
    results = results or Results()
    return [_line(claim, results) for claim in claims]


def chosen(words: Sequence[str], claims: Sequence[Claim] = CLAIMS, lines: Sequence[Line] = ()) -> list[Claim]:
    """The claims that any of some words fits: an id, a place ("Table 2", "sec. 3"), a section or a verdict.

    Parameters
    ----------
    words : sequence of str
        Upper and lower case are the same.
    claims : sequence of Claim
    lines : sequence of Line
        Needed for verdicts alone.

    Raises
    ------
    SettingsError
        If a word fits nothing.
    """
    verdict_of = {line.claim.id: line.finding.verdict for line in lines}
    kept = set()
    for word in words:
        fitting = {claim.id for claim in claims if _fits(word.strip().lower(), claim, verdict_of)}
        if not fitting:
            raise SettingsError(
                f"no claim is called {word!r}, stands there or came to that verdict; give an id, a place such as "
                f"'Table 2', 'App. B' or 'sec. 3.2', or one of {', '.join(VERDICTS)}"
            )
        kept |= fitting
    return [claim for claim in claims if claim.id in kept]


def _fits(word: str, claim: Claim, verdict_of) -> bool:
    if word in (claim.id, claim.section.lower(), verdict_of.get(claim.id)):
        return True
    # "sec. 3" takes in 3.2, but "Table 1" is not the beginning of another table, nor "Figure 1" of Figure 10.
    return any(place == word or place.startswith(f"{word}.") for place in map(str.lower, claim.where))


def _line(claim: Claim, results: Results) -> Line:
    finding, missing = found(claim.find, results)
    try:
        paper = claim.paper(results) if callable(claim.paper) else claim.paper
    except Missing as lacking:
        paper = f"({lacking})"
    why = claim.reason(finding.verdict)
    if missing:
        why = f"Not run yet: {missing}; its command makes it."
    return Line(claim, finding, paper, why)
