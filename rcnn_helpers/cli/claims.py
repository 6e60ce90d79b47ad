"""``rcnn claims``."""

import argparse
import shlex
import shutil
import sys
import textwrap

from rcnn_helpers.cli.options import add_parser

# Written out here so that --help needs no heavy import; a test keeps them true.
MEASUREMENTS = ("networks", "jitter", "mining", "penalty", "diagnosis", "units")
_WIDEST = 120
_LEGEND = (
    "Claims of arXiv 1311.2524v5 in our words. Figures with a sign are differences in points, above 0 where they "
    "speak for the claim; ± is the standard deviation over seeds; photographs are a sample of VOC 2007."
)


def claims(options) -> int | None:
    """Print every claim, table, figure and appendix of the paper, with our figures beside its own, and a verdict.

    The figures are read from saved results, so it takes no time; the commands that compute them anew stand below.
    """
    if options.measure:
        _measure(options)
        return None
    from rcnn_helpers.claims import (
        CLAIMS,
        Results,
        check,
        chosen,
        format_commands,
        format_counts,
        format_table,
    )
    from rcnn_helpers.claims import table as judge

    results = Results(options.results)
    lines = judge(CLAIMS, results)
    if options.check:
        problems = check(lines, parse_command)
        print("\n".join(problems) or f"{len(lines)} rows, nothing missing; every command parses")
        return 1 if problems else None
    if options.only:
        kept = {claim.id for claim in chosen(options.only, CLAIMS, lines)}
        lines = [line for line in lines if line.claim.id in kept]
    width = min(shutil.get_terminal_size().columns, _WIDEST) if sys.stdout.isatty() else 100
    print(textwrap.fill(_LEGEND, width) + "\n")
    print(format_table(lines, width=width, commands=options.commands))
    print(f"\nVerdicts of {len(lines)} rows\n{format_counts(lines)}")
    if not options.commands:
        print(f"\nCommands that compute these figures\n{format_commands(lines, width=width)}")
    if options.json:
        from rcnn_helpers.cli.output import save_json

        save_json(options.json, _provenance(options) | {"claims": [line.as_dict() for line in lines]})
    return None


def parse_command(command: str) -> None:
    """Check that a command of the table can be given as it stands there.

    Raises
    ------
    ValueError
        If ``rcnn`` would refuse it, or it is neither an ``rcnn`` command nor a ``make`` target.
    """
    from rcnn_helpers.cli import _parser

    words = shlex.split(command)
    if words[:1] == ["make"] and len(words) == 2:
        return
    if words[:1] != ["rcnn"]:
        raise ValueError("it begins with neither rcnn nor make")
    parser = _parser()
    try:
        with _quiet():
            parser.parse_args(words[1:])
    except SystemExit as refused:
        raise ValueError("rcnn refuses its options") from refused


def _quiet():
    """Keep argparse's own message off the screen."""
    import contextlib
    import io

    return contextlib.redirect_stderr(io.StringIO())


def _measure(options) -> None:
    """Run measurements and write each beside the other results."""
    from pathlib import Path

    from rcnn_helpers import settings
    from rcnn_helpers.claims.measuring import measure
    from rcnn_helpers.cli.output import provenance
    from rcnn_helpers.course.workspace import Course
    from rcnn_helpers.storage import write_json

    course = Course(options.profile, progress=sys.stderr.isatty())
    folder = Path(options.results or settings.data_dir()) / "results"
    for name in options.measure:
        path = folder / f"claims_{name}.json"
        write_json(path, provenance(options) | {"profile": course.profile.name} | measure(name, course))
        print(f"{name}: {path}")


def _provenance(options) -> dict[str, str]:
    """As `output.provenance`, without the wait for the library that knows the machine."""
    import datetime

    return {"command": options.command_line, "date": datetime.date.today().isoformat()}


def _names(text: str) -> tuple[str, ...]:
    names = MEASUREMENTS if text == "all" else tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"there is no measurement {(unknown or [text])[0]!r}; choose among {', '.join(MEASUREMENTS)}, or "
            "all"
        )
    return names


def _words(text: str) -> list[str]:
    words = [part.strip() for part in text.split(",") if part.strip()]
    if not words:
        raise argparse.ArgumentTypeError(
            "nothing is named; give an id, a place such as 'Table 2', or a verdict"
        )
    return words


def add(commands) -> None:
    """Add the parsers of these commands."""
    from rcnn_helpers.settings import PROFILES

    parser = add_parser(commands, "claims", claims, "does the paper replicate? every claim, with a verdict")
    parser.add_argument(
        "--only",
        type=_words,
        metavar="A,B",
        help="rows with an id, at a place ('Table 2', 'App. B', 'sec. 3'), or with a verdict ('the reverse')",
    )
    parser.add_argument("--commands", action="store_true", help="put its commands under each claim")
    parser.add_argument(
        "--check", action="store_true", help="say what the table lacks, and fail if it lacks something"
    )
    parser.add_argument(
        "--measure",
        type=_names,
        metavar="A,B",
        help=f"run small measurements that no other command makes, and save them: {', '.join(MEASUREMENTS)}, "
        "or all",
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), help="with --measure (default: laptop)")
    parser.add_argument(
        "--results", metavar="DIR", help="data folder to read from and to write to (default: the course's)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the rows there as well")
