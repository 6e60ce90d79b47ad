"""All benchmarks one after the other, on one core and on two, kept in one file.

Each runs in a process of its own, which may use so many cores and no others, and as many threads. A benchmark
that lacks something, such as photographs (RCNN_REAL_DATA) or a peer's environment, says so and is passed over.
The course's cache (RCNN_CACHE) should be warm before notebooks and explorers are timed.

Run: python tests/benchmarks/run.py [NAME ...] [--cores 1,2] [--quick] [--json FILE]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from _report import FILE_VARIABLE, PASSED_OVER

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
RESULTS = REPOSITORY / "data" / "results" / "benchmarks.json"
# These say the same on a second core, since they keep to one thread or start processes: one run is enough.
ONE_CORE = {"selective_search", "feature_store", "baselines", "memory", "notebooks", "import", "widgets"}
# Options of those that are run otherwise than without any, once for each list.
FULL: dict[str, list[list[str]]] = {
    "memory": [["--json", "data/results/memory.json"]],
    "svm": [[], ["--full"]],
}
# What --quick runs, and how it is made short; all the others take too long or say little in short.
QUICK: dict[str, list[str]] = {
    "bbox_regression": [],
    "detection": ["--networks", "quarter_tnet,alexnet", "--rounds", "1"],
    "diagnosis": ["--detections", "50000"],
    "drawing": [],
    "evaluation": ["--detections", "50000"],
    "extraction": ["--networks", "quarter_tnet", "--rounds", "2"],
    "finetuning": ["--rounds", "3"],
    "import": ["--rounds", "1"],
    "nms": [],
    "notebooks": ["--only", "00", "--no-warm-up"],
    "roofline": ["--networks", "quarter_tnet,alexnet"],
    "segmentation": [],
    "selective_search": ["--images", "20"],
    "svm": [],
    "warping": [],
}


def main() -> int:
    options = _parse()
    names = options.names or [name for name in benchmarks() if not options.quick or name in QUICK]
    passed_over, failed = [], []
    for name in names:
        for cores in options.cores.split(","):
            if cores == "2" and name in ONE_CORE and not options.names:
                continue
            where = "GPU" if cores == "gpu" else f"{cores} core{'s' * (cores != '1')}"
            for arguments in [QUICK.get(name, [])] if options.quick else FULL.get(name, [[]]):
                print(f"\n== {' '.join([name, *arguments])}, {where}", flush=True)
                started = time.perf_counter()
                status = run(name, arguments, cores, options.json)
                print(f"{time.perf_counter() - started:.0f} s", flush=True)
                if status:
                    (passed_over if status == PASSED_OVER else failed).append(f"{name}, {where}")
    for what, which in (("passed over", passed_over), ("failed", failed)):
        if which:
            print(f"\n{what}: {'; '.join(which)}")
    return len(failed) > 0


def benchmarks() -> list[str]:
    """Names of all benchmarks."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run(name: str, arguments: list[str], cores: str, results: Path) -> int:
    """Exit status of one benchmark on so many cores, or on the GPU with all cores."""
    environment = os.environ | {FILE_VARIABLE: str(results.resolve())}
    command = [sys.executable, str(HERE / f"bench_{name}.py"), *arguments]
    if cores == "gpu":
        return subprocess.run(command, env=environment, cwd=REPOSITORY).returncode
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), cores)
    environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, preexec_fn=lambda: keep_to(int(cores)))
    return done.returncode


def keep_to(cores: int) -> None:
    """Let this process have so many cores, where the system can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks())}; by default all"
    )
    parser.add_argument("--cores", default="1,2", help="such as 1,2 (the default), 4 or gpu")
    parser.add_argument(
        "--quick", action="store_true", help="a choice of them, with fewer rounds and smaller"
    )
    parser.add_argument(
        "--json", type=Path, default=RESULTS, metavar="FILE", help="default: data/results/benchmarks.json"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(benchmarks()):
        parser.error(
            f"there is no benchmark {', '.join(sorted(unknown))}; choose of {', '.join(benchmarks())}"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
