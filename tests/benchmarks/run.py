"""All benchmarks one after the other, on one core and on two, kept in one file.

Each runs in a process of its own that may use so many cores and no others, and as many threads. Where a peer, real
photographs or a cache is missing, the benchmark says so and is passed over. Without ``--quick`` everything takes
about half an hour on two cores.

Run: python tests/benchmarks/run.py [NAME ...] [--cores 1,2] [--quick] [--json FILE]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from _report import FILE_VARIABLE

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "data" / "results" / "benchmarks.json"
# Benchmarks that say something else on a second core or take it for nothing are run on one only.
ONE_CORE = {"selective_search", "feature_store", "baselines", "memory", "notebooks", "import"}
# What makes a benchmark shorter for --quick.
QUICK: dict[str, list[str]] = {
    "selective_search": ["--images", "20"],
    "extraction": ["--rounds", "2", "--regions", "500"],
    "finetuning": ["--rounds", "3"],
    "units": ["--rounds", "1", "--images", "3"],
}


def main() -> int:
    options = _parse()
    failed = []
    for name in options.names or benchmarks():
        for cores in options.cores.split(","):
            if cores == "2" and name in ONE_CORE and not options.names:
                continue
            print(f"\n== {name}, {'GPU' if cores == 'gpu' else f'{cores} core(s)'}", flush=True)
            started = time.perf_counter()
            if run(name, cores, options):
                failed.append(f"{name} ({cores})")
            print(f"{time.perf_counter() - started:.0f} s", flush=True)
    if failed:
        print("\nnot measured: " + ", ".join(failed))
    return len(failed) > 0


def benchmarks() -> list[str]:
    """Names of all benchmarks."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run(name: str, cores: str, options) -> int:
    """Exit status of one benchmark, run on so many cores."""
    environment = os.environ | {FILE_VARIABLE: str(options.json)}
    command = [sys.executable, str(HERE / f"bench_{name}.py")]
    if options.quick:
        command += QUICK.get(name, [])
    if cores == "gpu":
        return subprocess.run(command, env=environment).returncode
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), cores)
    return subprocess.run(command, env=environment, preexec_fn=lambda: _keep_to(int(cores))).returncode


def _keep_to(cores: int) -> None:
    """Let this process have so many cores, where the system can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *benchmarks()], help="which; all")
    parser.add_argument("--cores", default="1,2", help="such as 1,2 (the default), 4 or gpu")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes")
    parser.add_argument(
        "--json", type=Path, default=RESULTS, metavar="FILE", help=f"default: {RESULTS.name} of data/results"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
