"""The ``rcnn`` command: thin over the package, one subcommand a task.

Each module holds a few commands and the parsers of their options; `options`, `data` and `output` hold what they
share.

Exit status: 0 on success, 1 for bad input or missing files (with a message that says what to do, never a
traceback), 2 for wrong usage, 130 after Ctrl-C.
"""

import argparse
import os
import shlex
import sys

from rcnn_helpers.cli import (
    ablation,
    baselines,
    claims,
    course,
    dense,
    detection,
    diagnosis,
    extraction,
    fine_tuning,
    many_classes,
    plan,
    proposals,
    redundancy,
    segmentation,
    units,
)
from rcnn_helpers.errors import RCNNError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command_line = shlex.join(["rcnn", *arguments])
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read us, such as head, has seen enough: nothing more is written, nor complained about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RCNNError as error:
        print(f"rcnn {options.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"rcnn {options.command}: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") != "0":
            return 130  # under torchrun the first process speaks for all
        print(
            f"\nrcnn {options.command}: interrupted; what was computed is kept, "
            "and the same command goes on from there",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rcnn",
        description="R-CNN (Girshick et al., arXiv 1311.2524), step by step: propose, train, detect, evaluate.",
        epilog="Without --voc, commands work on ToyVOC, the data set that is drawn on this machine.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (
        proposals,
        extraction,
        fine_tuning,
        detection,
        diagnosis,
        ablation,
        baselines,
        segmentation,
        many_classes,
        dense,
        units,
        redundancy,
        claims,
        course,
        plan,
    ):
        group.add(commands)
    return parser
