"""Build the course's web site: ``python -m rcnn_helpers.course.site``."""

import argparse
import sys
import time
from pathlib import Path

from rcnn_helpers.course.site.build import REPOSITORY, build_site
from rcnn_helpers.errors import RCNNError


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m rcnn_helpers.course.site``."""
    parser = argparse.ArgumentParser(prog="python -m rcnn_helpers.course.site", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=REPOSITORY / "site", help="folder to write (default: site)"
    )
    out = parser.parse_args(arguments).out
    started = time.perf_counter()
    try:
        pages = build_site(out)
    except RCNNError as error:
        sys.exit(f"error: {error}")
    print(f"{pages} pages in {time.perf_counter() - started:.0f} s; open {out / 'index.html'}")


if __name__ == "__main__":
    main()
