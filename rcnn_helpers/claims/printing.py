"""The table of claims as text."""

import textwrap
from collections.abc import Sequence

from rcnn_helpers.claims.model import NOT_RUN, VERDICTS, Line

_INDENT = max(map(len, VERDICTS)) + 2
_NARROWEST = 60


def format_table(lines: Sequence[Line], *, width: int = 100, commands: bool = False) -> str:
    """Every claim with its verdict, figures and reason, section by section.

    Parameters
    ----------
    lines : sequence of Line
        As from `table`.
    width : int
        Columns of the screen; what does not fit is wrapped. At least 60.
    commands : bool
        Put its commands under each claim.
    """
    width = max(width, _NARROWEST)
    text, section = [], None
    for line in lines:
        if line.claim.section != section:
            section = line.claim.section
            text += ["", section, "=" * len(section)]
        text += ["", *_block(line, width, commands)]
    return "\n".join(text).lstrip("\n")


def markdown_table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """Rows of text as a table in Markdown, for a notebook or a README; bars in the text are escaped."""

    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def markdown_claims(lines: Sequence[Line]) -> str:
    """Claims, the paper's figures, ours and verdicts as a table in Markdown."""
    rows = [
        (
            f"{line.claim.says} *({', '.join(line.claim.where)}; {line.claim.id})*",
            line.paper,
            line.finding.toyvoc,
            line.finding.sample,
            f"**{line.finding.verdict}**",
        )
        for line in lines
    ]
    return markdown_table(rows, ("claim", "the paper", "ToyVOC", "photographs", "verdict"))


def format_counts(lines: Sequence[Line]) -> str:
    """How many claims came to each verdict, and what the verdict means."""
    counts = {verdict: sum(line.finding.verdict == verdict for line in lines) for verdict in VERDICTS}
    rows = [f"{count:4d}  {verdict:{_INDENT}s}" for verdict, count in counts.items()]
    return "\n".join(rows)


def format_verdicts(*, width: int = 100) -> str:
    """What each verdict means."""
    text = []
    for verdict, meaning in VERDICTS.items():
        text += _wrapped(verdict.ljust(_INDENT), meaning, width)
    return "\n".join(text)


def format_commands(lines: Sequence[Line], *, width: int = 100) -> str:
    """Each command once, with the claims whose figures it computes."""
    claims_of: dict[str, list[str]] = {}
    for line in lines:
        for command in line.claim.commands:
            claims_of.setdefault(command, []).append(line.claim.id)
    text = []
    for command, ids in claims_of.items():
        text += _command(command, "", width)
        text += _wrapped("    ", ", ".join(ids), width)
    return "\n".join(text)


def _block(line: Line, width: int, commands: bool) -> list[str]:
    claim, finding = line.claim, line.finding
    places = f"({', '.join(claim.where)}; {claim.id})"
    block = _wrapped(finding.verdict.ljust(_INDENT), f"{claim.says} {places}", width)
    figures = f"paper: {line.paper} | ToyVOC: {finding.toyvoc} | photographs: {finding.sample}"
    block += _wrapped(" " * _INDENT, figures, width)
    if claim.rule and finding.verdict != NOT_RUN:
        block += _wrapped(" " * _INDENT, f"rule: {claim.rule}", width)
    block += _wrapped(" " * _INDENT, line.why, width)
    if commands:
        for command in claim.commands:
            block += _command(command, " " * _INDENT, width)
    return block


def _wrapped(first: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def _command(command: str, indent: str, width: int) -> list[str]:
    """A command over several lines, as a shell takes it."""
    lines = textwrap.wrap(
        command,
        width - 2,
        initial_indent=f"{indent}$ ",
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]
