"""How much memory a process has needed, and how much there is."""

import ctypes
import os
import sys
from pathlib import Path

# What is taken for free where the system does not tell.
_UNKNOWN = 4 * 2**30


def available_memory() -> int:
    """Return the bytes of memory that programs can still take without swapping.

    On Linux that counts what the system only uses to remember files, and stays below the limit of a container or a
    batch system (control groups). Elsewhere it is half of the machine's memory, or 4 GiB if that is not known.
    """
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return _half_of_all()
    return max(0, min([free, *_left_in_groups()]))


def _half_of_all() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _left_in_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Bytes left below the limit of each control group (version 2) that this process is in."""
    try:
        (place,) = [
            line.removeprefix("0::/") for line in own.read_text().splitlines() if line.startswith("0::")
        ]
    except (OSError, ValueError):
        return []
    left = []
    for group in [root / place, *(root / place).parents]:
        if not group.is_relative_to(root):
            break
        try:
            limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # the group has no limit: its file says "max", or is not there
            continue
        left.append(limit - used + int(statistics.get("inactive_file", 0)))
    return left


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
