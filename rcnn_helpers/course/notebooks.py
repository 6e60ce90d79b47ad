"""Build the course's notebooks from their sources, execute them, and check that they are up to date.

Each notebook has one source, a ``py:percent`` script in ``notebooks/sources``. Only the sources are edited:

    python -m rcnn_helpers.course.notebooks --write    # generate, execute and save notebooks/*.ipynb
    python -m rcnn_helpers.course.notebooks --check    # fail on a stale notebook or a failing cell; save nothing
"""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from rcnn_helpers.storage import atomic_write

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LARGEST_NOTEBOOK = 1_500_000  # bytes
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
WIDGET_PLACEHOLDER = (
    "An interactive view: run this cell in JupyterLab to use it. The next figure is its static twin."
)


def sources(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the sources of all notebooks in course order."""
    return sorted((folder / "sources").glob("[0-9][0-9]_*.py"))


def build(source: Path) -> nbformat.NotebookNode:
    """Return the unexecuted notebook of one source, the same for the same source."""
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{position:03d}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "rcnn_course": {
            "source": f"sources/{source.name}",
            "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: nbformat.NotebookNode, *, folder: Path = NOTEBOOKS, timeout: float = 1800) -> float:
    """Run all cells in place, in `folder`, and return the seconds taken.

    Raises
    ------
    CellExecutionError
        If a cell raises; widgets' ``observe`` callbacks raise through the cell that moves them.
    """
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
    )
    started = time.perf_counter()
    client.execute()
    return time.perf_counter() - started


def tidy_outputs(notebook: nbformat.NotebookNode) -> None:
    """Drop what only makes sense while a kernel runs: progress bars and live widget views, in place."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr" and "\r" in output.text:
                continue
            if output.get("data", {}).pop(WIDGET_MIME, None) is not None:
                if "%|" in output.data.get("text/plain", ""):  # tqdm's bar, drawn as a widget
                    continue
                output.data["text/plain"] = WIDGET_PLACEHOLDER
            kept.append(output)
        cell.outputs = kept


def stale(source: Path, folder: Path = NOTEBOOKS) -> str | None:
    """Return why the committed notebook of `source` does not match it, or None if it does."""
    path = folder / f"{source.stem}.ipynb"
    if not path.exists():
        return f"{path.name} is missing; run: make notebooks"
    if path.stat().st_size > LARGEST_NOTEBOOK:
        size = f"{path.stat().st_size:,} bytes, more than {LARGEST_NOTEBOOK:,}"
        return f"{path.name} has {size}; use smaller figures"
    committed, fresh = nbformat.read(path, as_version=4), build(source)
    if [(c.cell_type, c.source) for c in committed.cells] != [(c.cell_type, c.source) for c in fresh.cells]:
        return f"{path.name} was generated from an older {source.name}; run: make notebooks"
    for cell in committed.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return f"{path.name} holds a cell that was not executed; run: make notebooks"
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"{path.name} holds a cell that failed; run: make notebooks"
    return None


def run_all(*, write: bool, only: list[str] | None = None, folder: Path = NOTEBOOKS) -> dict[str, float]:
    """Execute every notebook in course order and print the seconds each took.

    Parameters
    ----------
    write : bool
        Save the executed notebooks; a notebook that fails leaves its old file as it was.
    only : list of str, optional
        Numbers of the notebooks to run, such as ``["01", "07"]``.

    Returns
    -------
    dict from notebook name to seconds

    Raises
    ------
    SystemExit
        If a notebook failed, after all of them have run.
    """
    seconds, failures = {}, []
    for source in sources(folder):
        if only and source.stem[:2] not in only:
            continue
        print(f"{source.stem} ...", end=" ", flush=True)
        notebook = build(source)
        try:
            seconds[source.stem] = execute(notebook, folder=folder)
        except CellExecutionError as error:
            failures.append(source.stem)
            print(f"FAILED\n{error}")
            continue
        print(f"{seconds[source.stem]:.1f} s", flush=True)
        if write:
            tidy_outputs(notebook)
            text = nbformat.writes(notebook) + "\n"
            atomic_write(folder / f"{source.stem}.ipynb", lambda file, text=text: file.write(text.encode()))
    print(f"{len(seconds)} notebooks in {sum(seconds.values()):.0f} s, {len(failures)} failed")
    if failures:
        raise SystemExit(f"failed: {', '.join(failures)}")
    return seconds


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m rcnn_helpers.course.notebooks``."""
    parser = argparse.ArgumentParser(
        prog="python -m rcnn_helpers.course.notebooks", description=__doc__.split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="generate, execute and save the notebooks")
    what.add_argument("--check", action="store_true", help="fail on a stale notebook or a failing cell")
    parser.add_argument("--only", metavar="NN,NN", help="numbers of the notebooks to run, such as 01,07")
    options = parser.parse_args(arguments)
    # A kernel started from here must not guess at a terminal's width or wait for one.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    if options.check:
        problems = [problem for source in sources() if (problem := stale(source))]
        if problems:
            sys.exit("\n".join(problems))
    run_all(write=options.write, only=options.only.split(",") if options.only else None)


if __name__ == "__main__":
    main()
