"""Build the course's notebooks from their sources, execute them, and check that they are up to date.

Only the sources in ``notebooks/sources`` are edited. From each come two notebooks: the student's, where three dots
stand for the solutions, and in ``notebooks/solutions`` the same with all exercises solved.

    python -m rcnn_helpers.course.notebooks --write    # generate, execute and save
    python -m rcnn_helpers.course.notebooks --check    # fail on a stale notebook or a failing cell; save nothing
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from rcnn_helpers.course import costs
from rcnn_helpers.course.exercises import Outcome
from rcnn_helpers.course.progress import entries
from rcnn_helpers.course.sources import NOTEBOOKS, sources, with_solution, without_solution
from rcnn_helpers.storage import atomic_write

LARGEST_NOTEBOOK = 1_500_000  # bytes
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
SOLUTIONS = "solutions"  # folder of the solved notebooks, beside the sources
_SOLUTION_NOTE = (
    "> **With solutions.** This is the chapter `{name}` with every exercise solved. To keep it small, its "
    "pictures were left out when it was saved; they are in the chapter itself, and appear here when you run it."
)


def build(source: Path, *, solved: bool = False) -> nbformat.NotebookNode:
    """Return the unexecuted notebook of one source, the same for the same source.

    Parameters
    ----------
    source : Path
    solved : bool
        Keep the solutions of the exercises instead of cutting them.
    """
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    for cell in notebook.cells:
        exercise = cell.metadata.get("exercise")
        if exercise:
            code = with_solution(cell.source) if solved else without_solution(cell.source)
            cell.source = f"%%exercise {exercise}\n{code}"
    if solved:
        note = nbformat.v4.new_markdown_cell(_SOLUTION_NOTE.format(name=source.stem))
        notebook.cells.insert(1, note)
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{position:03d}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "rcnn_course": {"source": source.name, "solved": solved},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def saved_as(source: Path, *, solved: bool = False, folder: Path = NOTEBOOKS) -> Path:
    """Return where the notebook of `source` is saved."""
    return (folder / SOLUTIONS if solved else folder) / f"{source.stem}.ipynb"


@dataclass(frozen=True)
class Run:
    """What executing a notebook took.

    Attributes
    ----------
    seconds : float
    memory : float
        Largest resident memory of the kernel, MB; NaN where the system does not tell.
    outcomes : dict of str to str
        Outcome of each exercise.
    """

    seconds: float
    memory: float
    outcomes: dict


def execute(notebook: nbformat.NotebookNode, *, folder: Path = NOTEBOOKS, timeout: float = 1800) -> Run:
    """Run all cells in place, in `folder`, as someone who has not done any exercise before.

    Raises
    ------
    CellExecutionError
        If a cell raises; widgets' ``observe`` callbacks raise through the cell that moves them.
    """
    with tempfile.TemporaryDirectory() as folder_of_run:
        progress = Path(folder_of_run) / "progress"
        config = Config()
        if os.name == "posix":  # over sockets in that folder; a kernel on TCP warns of eavesdroppers
            config.KernelManager.transport = "ipc"
            config.KernelManager.ip = f"{folder_of_run}/kernel"
        client = NotebookClient(
            notebook,
            config=config,
            kernel_name="python3",
            timeout=timeout,
            resources={"metadata": {"path": str(folder)}},
            store_widget_state=False,
        )
        started = time.perf_counter()
        with client.setup_kernel(env={**os.environ, "RCNN_PROGRESS": str(progress)}):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            seconds = time.perf_counter() - started
            memory = costs.peak_memory(client.km.provisioner.pid)
        outcomes = {entry["name"]: entry["outcome"] for entry in entries("exercise", progress)}
    return Run(seconds, memory, outcomes)


def tidy_outputs(notebook: nbformat.NotebookNode) -> None:
    """Drop what only makes sense while a kernel runs, in place.

    Progress bars and live widget views go; a widget leaves the picture and text it gives beside its view. Of a
    figure the JPEG stays and the HTML that JupyterLab shows in its place goes.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr" and "\r" in output.text:
                continue
            data = output.get("data", {})
            if "image/jpeg" in data:
                data.pop("text/html", None)
            if data.pop(WIDGET_MIME, None) is not None and set(data) == {"text/plain"}:
                text = data["text/plain"]
                if not text or "%|" in text:  # a widget of buttons; tqdm's bar, drawn as a widget
                    continue
            kept.append(output)
        cell.outputs = kept


def drop_pictures(notebook: nbformat.NotebookNode) -> None:
    """Leave only the descriptions of all pictures, in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in ("image/jpeg", "image/png"):
                if output.get("data", {}).pop(kind, None) is not None:
                    output.metadata.pop(kind, None)


def stale(source: Path, *, solved: bool = False, folder: Path = NOTEBOOKS) -> str | None:
    """Return why the saved notebook of `source` does not match it, or None if it does."""
    path = saved_as(source, solved=solved, folder=folder)
    name = str(path.relative_to(folder))
    if not path.exists():
        return f"{name} is missing; run: make notebooks"
    if path.stat().st_size > LARGEST_NOTEBOOK:
        size = f"{path.stat().st_size:,} bytes, more than {LARGEST_NOTEBOOK:,}"
        return f"{name} has {size}; use smaller figures"
    saved, fresh = nbformat.read(path, as_version=4), build(source, solved=solved)
    if [(c.cell_type, c.source) for c in saved.cells] != [(c.cell_type, c.source) for c in fresh.cells]:
        return f"{name} was generated from an older {source.name}; run: make notebooks"
    for cell in saved.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return f"{name} holds a cell that was not executed; run: make notebooks"
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{name} holds a cell that failed; run: make notebooks"
            for kind in ("image/jpeg", "image/png"):
                if kind in output.get("data", {}) and not output.metadata.get(kind, {}).get("alt"):
                    return f"{name} holds a picture without alt text in cell {cell.id}; show it by plots.show"
    return None


def wrong_outcomes(run: Run, *, solved: bool) -> list[str]:
    """Return the exercises that should have passed in a solution notebook, or been untouched in a student's."""
    wanted = Outcome.PASS if solved else Outcome.NOT_ATTEMPTED
    return [
        f"exercise {name}: {outcome}, not {wanted}"
        for name, outcome in run.outcomes.items()
        if outcome != wanted
    ]


def run_all(
    *, write: bool, only: list[str] | None = None, solutions: bool = True, folder: Path = NOTEBOOKS
) -> dict[str, Run]:
    """Execute every notebook in course order and print what each took.

    Parameters
    ----------
    write : bool
        Save the executed notebooks; a notebook that fails leaves its old file as it was.
    only : list of str, optional
        Numbers of the notebooks to run, such as ``["01", "07"]``.
    solutions : bool
        Execute the solution notebooks as well.

    Returns
    -------
    dict from notebook, such as ``"01_region_proposals"`` or ``"solutions/01_region_proposals"``, to `Run`

    Raises
    ------
    SystemExit
        If a notebook failed, or an exercise had another outcome than it should, after all have run.
    """
    runs, failures = {}, []
    print(f"{'notebook':44s} {'seconds':>8s} {'memory':>9s}  exercises")
    for source in sources(folder):
        if only and source.stem[:2] not in only:
            continue
        for solved in (False, True) if solutions else (False,):
            path = saved_as(source, solved=solved, folder=folder)
            name = str(path.relative_to(folder).with_suffix(""))
            notebook = build(source, solved=solved)
            print(f"{name:44s}", end=" ", flush=True)
            try:
                runs[name] = run = execute(notebook, folder=folder)
            except CellExecutionError as error:
                failures.append(name)
                print(f"FAILED\n{error}")
                continue
            print(f"{run.seconds:8.1f} {run.memory:6.0f} MB  {len(run.outcomes)}", flush=True)
            for problem in wrong_outcomes(run, solved=solved):
                failures.append(name)
                print(f"  {problem}")
            if write and name not in failures:
                tidy_outputs(notebook)
                if solved:
                    drop_pictures(notebook)
                path.parent.mkdir(exist_ok=True)
                text = nbformat.writes(notebook) + "\n"
                atomic_write(path, lambda file, text=text: file.write(text.encode()))
    seconds = sum(run.seconds for run in runs.values())
    print(f"{len(runs)} notebooks in {seconds:.0f} s, {len(set(failures))} failed")
    if failures:
        raise SystemExit(f"failed: {', '.join(sorted(set(failures)))}")
    return runs


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
        problems = [
            problem
            for source in sources()
            for solved in (False, True)
            if (problem := stale(source, solved=solved))
        ]
        if problems:
            sys.exit("\n".join(problems))
    run_all(write=options.write, only=options.only.split(",") if options.only else None)


if __name__ == "__main__":
    main()
