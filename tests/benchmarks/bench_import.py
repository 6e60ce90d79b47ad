"""What a fresh process waits for before it can do anything: imports of the package and its modules, and `rcnn`.

Each line is the median of several processes that import nothing else, less what an empty one takes, beside
``import torch`` alone; they take turns. "loads" names the heavy libraries that came along.

Run: python tests/benchmarks/bench_import.py [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import time

from _report import report

MODULES = (
    "proposals",
    "warping",
    "networks",
    "finetuning",
    "features",
    "svm",
    "bbox_regression",
    "nms",
    "evaluation",
    "detector",
    "diagnosis",
    "units",
    "segmentation",
    "baselines",
    "sliding_window_detector",
    "scaling",
    "redundancy",
    "ablation",
    "claims",
    "widgets",
)
HEAVY = ("torch", "sklearn", "matplotlib", "pandas", "cv2", "numba")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cases = {
        "nothing": [sys.executable, "-c", ""],
        "import torch": importing("torch"),
        "import rcnn_helpers": importing("rcnn_helpers"),
        **{f"import rcnn_helpers.{name}": importing(f"rcnn_helpers.{name}") for name in MODULES},
        "from rcnn_helpers.svm import LinearSVMs": [
            sys.executable,
            "-c",
            "from rcnn_helpers.svm import LinearSVMs",
        ],
        "rcnn --help": [sys.executable, "-m", "rcnn_helpers.cli", "--help"],
        "rcnn detect --help": [sys.executable, "-m", "rcnn_helpers.cli", "detect", "--help"],
    }
    loaded = {what: loads(command) for what, command in cases.items()}  # also brings the files into memory
    rounds = [{what: wall(command) for what, command in cases.items()} for _ in range(options.rounds)]
    medians = {what: statistics.median(each[what] for each in rounds) for what in cases}
    empty = medians.pop("nothing")
    torch = medians["import torch"] - empty
    rows = [
        {
            "what": what,
            "ours s": max(seconds - empty, 1e-3),
            "import torch s": torch,
            "ratio": torch / max(seconds - empty, 1e-3),
            "loads": loaded[what],
        }
        for what, seconds in medians.items()
        if what != "import torch"
    ]
    report(f"Imports in fresh processes, less the {empty:.2f} s of an empty one", rows)


def importing(module: str) -> list[str]:
    return [sys.executable, "-c", f"import {module}"]


def wall(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def loads(command: list[str]) -> str:
    """Heavy libraries that a process of this command has loaded, said by Python itself when asked to."""
    done = subprocess.run([command[0], "-v", *command[1:]], check=True, capture_output=True, text=True)
    found = {line.split("'")[1] for line in done.stderr.splitlines() if line.startswith("import '")}
    return " ".join(name for name in HEAVY if name in found) or "-"


if __name__ == "__main__":
    main()
