"""How every benchmark reports: one table, and beside it what it ran on."""

import os
import platform
import statistics
import time
from collections.abc import Callable


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


def report(title: str, rows: list[dict]) -> None:
    """Print `rows` as a table under `title`, with the machine and the number of threads.

    By custom the columns are: what, size, ours, peer, ratio (the peer's time over ours: above 1 we are faster).
    """
    print(f"\n{title}")
    print(machine())
    cells = [[str(key) for key in rows[0]]] + [[_format(value) for value in row.values()] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for number, row in enumerate(cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def machine() -> str:
    """One line: processor, cores, threads in use, Python and NumPy."""
    import numpy as np

    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return (
        f"{_processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _format(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
