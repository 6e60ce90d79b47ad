"""Every long stage survives being killed at any moment: it goes on, and ends with what it would have ended with.

Each stage is run once in peace, then in another folder again and again, killed each time after a random while, and
at last to its end. Between the kills every finished file must be one that the run in peace has too, bit for bit:
a file is whole or not there, and nothing finished is lost.
"""

import random
import signal
import time
from pathlib import Path

import pytest
from pipeline_stages import STAGES, run_stage
from stage_files import GROWING, finished_files

pytestmark = pytest.mark.slow

KILLS = 8


def run_whole(processes, name: str, folder: Path, pictures: Path) -> float:
    """Run a stage to its end in a process of its own; how long that took, s."""
    process = processes.Process(target=run_stage, args=(name, str(folder), str(pictures)))
    started = time.monotonic()
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_random_moments(name, processes, pictures, tmp_path):
    in_peace, killed = tmp_path / "in_peace", tmp_path / "killed"
    in_peace.mkdir()
    killed.mkdir()
    seconds = run_whole(processes, name, in_peace, pictures)
    expected = finished_files(in_peace)
    assert expected

    moments = random.Random(name)
    deaths, before = 0, {}
    for attempt in range(10 * KILLS):
        process = processes.Process(target=run_stage, args=(name, str(killed), str(pictures)))
        process.start()
        process.join(moments.uniform(0.0, seconds))
        process.kill()
        process.join()
        deaths += process.exitcode == -signal.SIGKILL
        after = {name: value for name, value in finished_files(killed).items() if not name.endswith(GROWING)}
        assert after.items() <= expected.items(), "a file is damaged, or one that should not be there"
        assert before.items() <= after.items(), "something finished was lost"
        before = after
        if deaths == KILLS:
            break
        if process.exitcode == 0:  # it came to its end before the kill: begin anew
            killed = tmp_path / f"killed_{attempt}"
            killed.mkdir()
            before = {}
    assert deaths == KILLS
    run_whole(processes, name, killed, pictures)
    assert finished_files(killed) == expected
