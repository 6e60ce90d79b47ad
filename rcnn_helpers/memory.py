"""How much memory a process has needed."""

import ctypes
import os
import sys
from pathlib import Path


def peak_memory(process: int | None = None) -> float:
    """Return the largest resident memory a process has had, in MiB; NaN where the system does not tell.

    Parameters
    ----------
    process : int, optional
        Its number; by default this process.
    """
    try:
        status = Path(f"/proc/{process or os.getpid()}/status").read_text()
    except OSError:
        return float("nan")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def reset_peak_memory() -> None:
    """Let `peak_memory` of this process count from now on, where the system can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def release_freed_memory() -> None:
    """Hand memory that this process has freed back to the system, so that it does not count as in use.

    The C library keeps some of it for later. Elsewhere than with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass
