"""Ctrl-C during every command: it says so, ends with status 130, and leaves whole files that it goes on with."""

import os
import random
import signal
import time

import pytest
from commands import COMMANDS, run_command

pytestmark = pytest.mark.slow

INTERRUPTIONS = 3
# A process waits so long for what it does at the end; more means that it hangs.
PATIENCE = 120


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_at_random_moments(name, processes, photo, model, tmp_path, monkeypatch):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "cache"))
    for place in ("in_peace", "interrupted", "cache"):
        (tmp_path / place).mkdir()

    def start(out, cache):
        arguments = [str(argument) for argument in COMMANDS[name](tmp_path / out, photo, model)]
        said = tmp_path / "said.txt"
        said.unlink(missing_ok=True)
        process = processes.Process(target=run_command, args=(arguments, str(tmp_path / cache), str(said)))
        process.start()
        while not said.exists():  # it is then about to run the command
            time.sleep(0.01)
        return process, said

    began = time.monotonic()
    process, said = start("in_peace", "cache_in_peace")
    process.join()
    seconds = time.monotonic() - began
    assert process.exitcode == 0, said.read_text()

    moments, interrupted = random.Random(name), 0
    for _ in range(4 * INTERRUPTIONS):
        process, said = start("interrupted", "cache")
        process.join(moments.uniform(0.1, 1.0) * seconds)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGINT)
        process.join(PATIENCE)
        text = said.read_text()
        assert process.exitcode in (0, 130) and "Traceback" not in text, (process.exitcode, text)
        if process.exitcode == 130:
            assert "interrupted; what was computed is kept" in text
            interrupted += 1
        assert not list(tmp_path.rglob(".*.tmp"))
        if interrupted == INTERRUPTIONS or process.exitcode == 0:
            break
    process, said = start("interrupted", "cache")
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert names(tmp_path / "interrupted") == names(tmp_path / "in_peace")


def names(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
