"""What each step of the course takes, as it was measured, for a notebook's first cell to say.

``data/costs.csv`` holds seconds and memory of every stage and notebook, with machine and date; ``rcnn
course --record`` writes it.
"""

import datetime
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rcnn_helpers.memory import peak_memory, reset_peak_memory
from rcnn_helpers.settings import data_dir
from rcnn_helpers.storage import atomic_write

__all__ = [
    "duration",
    "forecast",
    "machine",
    "of",
    "peak_memory",
    "read",
    "record",
    "reset_peak_memory",
]

COLUMNS = ("profile", "device", "step", "seconds", "memory_mb", "machine", "date")


def read() -> pd.DataFrame:
    """Return all measured costs, one row a step; empty if there are none."""
    path = data_dir() / "costs.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))


def record(profile: str, device: str, steps: Mapping[str, tuple[float, float]]) -> Path:
    """Write down what steps took on this machine, in place of what stood there for them.

    Parameters
    ----------
    profile, device : str
    steps : mapping from step to (seconds, largest resident memory in MB)

    Returns
    -------
    Path of the table
    """
    today = datetime.date.today().isoformat()
    new = pd.DataFrame(
        [
            (profile, device, step, round(seconds, 1), np.round(memory), machine(), today)
            for step, (seconds, memory) in steps.items()
        ],
        columns=list(COLUMNS),
    )
    old = read()
    replaced = (old.profile == profile) & (old.device == device) & old.step.isin(list(steps))
    kept = old[~replaced]
    table = pd.concat([kept, new]) if len(kept) else new
    table = table.sort_values(["profile", "device", "step"], kind="stable")
    path = data_dir() / "costs.csv"
    atomic_write(path, lambda file: file.write(table.to_csv(index=False).encode()))
    return path


def of(profile: str, device: str, step: str) -> pd.Series | None:
    """Return the row of one step, or None if it was not measured on this kind of device."""
    table = read()
    rows = table[(table.profile == profile) & (table.device == device.split(":")[0]) & (table.step == step)]
    return rows.iloc[0] if len(rows) else None


def forecast(profile: str, device: str, notebook: str, missing: list[str]) -> str:
    """Say what a notebook is going to take, from what was measured.

    Parameters
    ----------
    profile, device : str
    notebook : str
        Its number.
    missing : list of str
        Stages that earlier notebooks would have computed and that are not in the cache.

    Returns
    -------
    str
        One or two lines.
    """
    lines = []
    if missing:
        rows = {stage: of(profile, device, stage) for stage in missing}
        named = [
            stage if row is None else f"{stage} ({duration(row.seconds)})" for stage, row in rows.items()
        ]
        lines.append(f"To be computed first, and then kept: {', '.join(named)}.")
    own = of(profile, device, f"notebook {notebook}")
    if own is None:
        lines.append(f"How long this notebook takes on {device!r} was not measured.")
    else:
        memory = "" if pd.isna(own.memory_mb) else f" and {own.memory_mb / 1000:.1f} GB of memory"
        lines.append(
            f"All its cells take about {duration(own.seconds)}{memory} ({own.machine}, measured {own.date})."
        )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a duration as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def machine() -> str:
    """Return processor and cores of this machine in a few words."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {name}"
