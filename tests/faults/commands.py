"""The commands of `rcnn` at their smallest, as a user would start them, and processes to start them in."""

import ctypes
import os
import signal
import sys
from pathlib import Path

# PR_SET_SECUREBITS of prctl with SECBIT_NOROOT, and the version of capset's structures with 64 capabilities.
_SET_SECUREBITS, _NOROOT = 28, 1
_CAPABILITY_VERSION = 0x20080522

_FEW = ("--max-images", "3", "--proposals", "40")

# name: arguments for a folder to write to, a picture and a model
COMMANDS = {
    "toyvoc": lambda out, photo, model: ("toyvoc", "--profile", "smoke", "--json", out / "toyvoc.json"),
    "proposals": lambda out, photo, model: ("proposals", "--image", photo, "--out", out / "proposals.jpg"),
    "train": lambda out, photo, model: ("train", *_FEW, "--out", out / "model.safetensors"),
    "detect": lambda out, photo, model: ("detect", photo, "--model", model, "--out", out / "found"),
    "evaluate": lambda out, photo, model: (
        *("evaluate", *_FEW, "--model", model),
        *("--write-results", out / "results", "--json", out / "evaluation.json"),
    ),
    "diagnose": lambda out, photo, model: ("diagnose", "--model", model, "--report", out / "report"),
    "finetune": lambda out, photo, model: (
        *("finetune", *_FEW, "--steps", "3", "--batch-size", "8", "--positives", "2"),
        *("--out", out / "weights.safetensors"),
    ),
    "pretrain": lambda out, photo, model: (
        *("pretrain", "--scenes", "4", "--steps", "2", "--out", out / "pretrained.safetensors"),
    ),
    "ablate": lambda out, photo, model: (
        *("ablate", *_FEW, "--profile", "smoke", "--max-test-images", "2", "--row", "fine_tuned=no"),
        *("--csv", out / "rows.csv"),
    ),
    "baselines": lambda out, photo, model: (
        *("baselines", *_FEW, "--profile", "smoke", "--max-test-images", "2", "--features", "hog"),
        *("--csv", out / "rows.csv"),
    ),
    "segment train": lambda out, photo, model: (
        *("segment", "train", "--max-images", "3", "--regions", "15", "--out", out / "segmenter.safetensors"),
    ),
    "units build": lambda out, photo, model: (
        *("units", "build", "--max-images", "2", "--proposals", "20", "--out", out / "units.safetensors"),
    ),
    "duplicates": lambda out, photo, model: (
        *("duplicates", "toyvoc:test", "--cache", os.environ["RCNN_CACHE"], "--out", out / "pairs"),
    ),
    "dense": lambda out, photo, model: (
        *("dense", "--model", model, "--max-images", "1", "--timed", "1", "--no-retraining"),
        *("--csv", out / "rows.csv"),
    ),
}
# These neither draw pictures nor keep anything.
WITHOUT_CACHE = ("proposals", "detect")


def run_command(arguments: list[str], cache: str, said: str, unprivileged: bool = False) -> None:
    """Run `rcnn` in a process of its own, what it says into the file `said`, and exit with its status."""
    os.environ |= {"RCNN_CACHE": cache, "RCNN_PROFILE": "smoke", "RCNN_DEVICE": "cpu"}
    os.setsid()  # so that a signal can be sent to it and its workers, as a terminal does
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from rcnn_helpers.cli import main

    with open(said, "w") as file:  # whoever waits for it knows that the command is about to start
        sys.stdout = sys.stderr = file
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        if unprivileged:
            give_up_privileges()
        status = main(arguments)
        file.flush()
    os._exit(status)


def give_up_privileges() -> None:
    """From here on the permissions of files bind this process and its children, even if it is root's."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.prctl(_SET_SECUREBITS, _NOROOT, 0, 0, 0) or libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "cannot give up root's privileges")


def lock(folder: Path) -> None:
    """Let nobody write in a folder."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


def unlock(folder: Path) -> None:
    folder.chmod(folder.stat().st_mode | 0o200)
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and date of everything in a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }
