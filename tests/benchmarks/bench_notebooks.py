"""Seconds from opening a notebook to its first picture: its kernel starts, its first cells run, a picture arrives.

Beside it stands a notebook of one cell that shows an array with matplotlib: what starting a kernel and drawing
cost by themselves. Each notebook is run to its first picture twice and the second time counts, so that what the
picture needs is in the cache (RCNN_CACHE). RCNN_PROFILE decides the size of the course, by default "smoke".
"cells" are the code cells until then; the first of them holds the imports.

Run: python tests/benchmarks/bench_notebooks.py [--only 00,03] [--no-warm-up]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import nbformat
from _report import report
from nbclient import NotebookClient
from traitlets.config import Config

from rcnn_helpers.course.notebooks import build
from rcnn_helpers.course.sources import NOTEBOOKS, sources

PICTURES = {"image/jpeg", "image/png"}
BARE = """
import numpy as np
from matplotlib import pyplot as plt
plt.imshow(np.random.default_rng(0).random((375, 500, 3)));
"""


class FirstPicture(NotebookClient):
    """A client that notes when the first picture arrives."""

    seen: float | None = None

    def process_message(self, message, cell, cell_index):
        data = message["content"].get("data", {})
        if self.seen is None and PICTURES & set(data):
            self.seen = time.perf_counter()
        return super().process_message(message, cell, cell_index)


def first_picture(notebook, profile: str) -> tuple[float, int, float]:
    """Seconds to the first picture, code cells until then, and seconds of the first code cell."""
    n_cells, first_cell = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        config = Config()
        if os.name == "posix":  # over sockets in that folder; a kernel on TCP warns of eavesdroppers
            config.KernelManager.transport = "ipc"
            config.KernelManager.ip = f"{folder}/kernel"
        client = FirstPicture(
            notebook,
            config=config,
            kernel_name="python3",
            timeout=600,
            resources={"metadata": {"path": str(NOTEBOOKS)}},
            store_widget_state=False,
        )
        own = {"RCNN_PROFILE": profile, "RCNN_PROGRESS": str(Path(folder) / "progress")}
        started = time.perf_counter()
        with client.setup_kernel(env={**os.environ, **own}):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    continue
                before = time.perf_counter()
                client.execute_cell(cell, index)
                n_cells += 1
                first_cell = first_cell or time.perf_counter() - before
                if client.seen is not None:
                    return client.seen - started, n_cells, first_cell
    return float("nan"), n_cells, first_cell


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="numbers of notebooks, such as 00,03")
    parser.add_argument("--no-warm-up", action="store_true", help="run once: the cache is warm already")
    options = parser.parse_args()
    profile = os.environ.get("RCNN_PROFILE", "smoke")
    chosen = [
        source for source in sources() if options.only is None or source.stem[:2] in options.only.split(",")
    ]
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BARE)])
    first_picture(bare, profile)
    bare_seconds, _, _ = first_picture(bare, profile)
    rows = []
    for source in chosen:
        if not options.no_warm_up:
            first_picture(build(source), profile)
        taken, n_cells, first_cell = first_picture(build(source), profile)
        rows.append(
            {
                "notebook": source.stem,
                "first picture s": taken,
                "cells": n_cells,
                "first cell s": first_cell,
                "a bare figure s": bare_seconds,
                "ratio": bare_seconds / taken,
            }
        )
    report(f"From a kernel's start to the first picture, profile {profile}, warm cache", rows)


if __name__ == "__main__":
    main()
