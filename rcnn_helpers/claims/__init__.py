"""Does it replicate? Every claim, table, figure and appendix of the paper as a row, judged by saved results.

A row (`Claim`) says where in the paper it stands, what is claimed, which command measures it here, and how its
verdict is reached. `table` reads the saved results (``data/results``) and gives each row its figures and its
verdict; nothing is computed anew and no figure of ours is written in this package. ``rcnn claims`` prints it.

>>> lines = table()
>>> print(format_table(lines, width=100))

The paper is R. Girshick, J. Donahue, T. Darrell and J. Malik, arXiv 1311.2524v5.
"""

from rcnn_helpers.claims.checks import check
from rcnn_helpers.claims.model import VERDICTS, Claim, Finding, Line
from rcnn_helpers.claims.printing import (
    format_commands,
    format_counts,
    format_table,
    format_verdicts,
    markdown_claims,
    markdown_table,
)
from rcnn_helpers.claims.results import Results
from rcnn_helpers.claims.rows import CLAIMS, SECTIONS
from rcnn_helpers.claims.table import chosen, table

__all__ = [
    "CLAIMS",
    "SECTIONS",
    "VERDICTS",
    "Claim",
    "Finding",
    "Line",
    "Results",
    "check",
    "chosen",
    "format_commands",
    "format_counts",
    "format_table",
    "format_verdicts",
    "markdown_claims",
    "markdown_table",
    "table",
]
