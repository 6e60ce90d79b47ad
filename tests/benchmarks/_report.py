"""How every benchmark reports: one table with what it ran on, and the same kept in a file if one is asked for.

The environment variable RCNN_BENCHMARKS names the file; ``python tests/benchmarks/run.py`` sets it. It is JSON::

    {"date": "2026-11-23", "machine": "...", "benchmarks": {"nms": {"1": SECTION, "2": SECTION}, ...}}

Behind a benchmark's name stands on how many cores it ran, or ``"gpu"``. A SECTION has ``title``, ``rows`` (a list
of dicts from column to text or number), ``machine``, ``threads``, ``versions``, ``command`` and ``date``. A run
replaces its own sections and leaves the others as they are, so that the file can be filled bit by bit.
"""

import datetime
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

FILE_VARIABLE = "RCNN_BENCHMARKS"
PASSED_OVER = 3
_PACKAGES = ("numpy", "torch", "numba", "opencv-python", "scikit-learn")


def seconds(function: Callable[[], object], *, repeats: int = 5, warm_up: int = 1) -> float:
    """Median wall time of `function` over `repeats` calls, after `warm_up` calls that compile and fill caches."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def alternate(*functions: Callable[[], object], repeats: int = 5, warm_up: int = 1) -> list[float]:
    """Median wall time of each function; they take turns, so that a busy neighbour slows all of them alike."""
    for _ in range(warm_up):
        for function in functions:
            function()
    times = [[seconds(function, repeats=1, warm_up=0) for function in functions] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def report(title: str, rows: list[dict], *, name: str | None = None) -> None:
    """Print `rows` as a table under `title`, with the machine and the number of threads; keep them if asked for.

    By custom the columns are: what, size, ours, peer, ratio (the peer's time over ours: above 1 we are faster).

    Parameters
    ----------
    name : str, optional
        What the table is kept under; by default the script's name without ``bench_``. A script's second table
        needs a name of its own.
    """
    print(f"\n{title}")
    print(machine())
    cells = [[str(key) for key in rows[0]]] + [[_format(value) for value in row.values()] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for number, row in enumerate(cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    if path := os.environ.get(FILE_VARIABLE):
        script = Path(sys.argv[0])
        keep(Path(path), name or script.stem.removeprefix("bench_"), section(title, rows))


def pass_over(reason: str) -> None:
    """End with the status that says: nothing is wrong, but something to measure with is missing."""
    print(reason)
    sys.exit(PASSED_OVER)


def section(title: str, rows: list[dict]) -> dict:
    """What a file of benchmarks keeps of one table."""
    script, *arguments = sys.argv
    return {
        "title": title,
        "rows": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "machine": machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "versions": versions(),
        "command": " ".join(["python", f"tests/benchmarks/{Path(script).name}", *arguments]),
        "date": datetime.date.today().isoformat(),
    }


def versions() -> dict[str, str]:
    """Of Python and of those installed of the packages that decide how fast something is."""
    installed = {each.name: each.version for each in metadata.distributions() if each.name in _PACKAGES}
    return {"python": platform.python_version()} | dict(sorted(installed.items()))


def keep(path: Path, name: str, kept: dict) -> None:
    """Put one section into the file at `path`, under its name and the cores it ran on."""
    from rcnn_helpers.storage import atomic_write

    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"benchmarks": {}}
    benchmarks = content["benchmarks"]
    benchmarks.setdefault(name, {})[_ran_on()] = kept
    content = {
        "date": kept["date"],
        "machine": kept["machine"],
        "benchmarks": {each: dict(sorted(sections.items())) for each, sections in sorted(benchmarks.items())},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    atomic_write(path, lambda file: file.write(text.encode()))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """One line: processor, cores in use, threads, Python and NumPy, and the GPU where torch has one at work."""
    import numpy as np

    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return (
        f"{_processor()}, {cores()} of {os.cpu_count()} cores{_gpu()}, OMP_NUM_THREADS={threads}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def _ran_on() -> str:
    return "gpu" if _gpu() else str(cores())


def _gpu() -> str:
    torch = sys.modules.get("torch")
    return f", {torch.cuda.get_device_name()}" if torch and torch.cuda.is_available() else ""


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _format(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value):
    """A value as JSON knows it: floats to four digits, null for one that is not finite."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(f"{value:.4g}") if isinstance(value, float) else value
