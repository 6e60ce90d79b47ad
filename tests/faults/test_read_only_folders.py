"""A cache that may be read only, as a teacher shares it with a class, and folders that may not be written to.

Every command is run once so that the cache holds what it needs, then again as somebody who may read the cache but
not write there: it does its work, computes nothing that the cache holds, and leaves the cache as it was. On an
empty cache of that kind, and with an output folder of that kind, it names the folder and what to do.
"""

import contextlib
import os
import sys

import pytest
from commands import COMMANDS, WITHOUT_CACHE, lock, run_command, snapshot, unlock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" and getattr(os, "geteuid", lambda: 1)() == 0,
        reason="permissions do not bind root, and only Linux lets root give that up",
    ),
]


@contextlib.contextmanager
def locked(folder):
    folder.mkdir(exist_ok=True)
    lock(folder)
    try:
        yield folder
    finally:
        unlock(folder)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("shared") / "cache"


@pytest.fixture
def run(processes, photo, model, tmp_path, monkeypatch):
    def run(name, cache, out, *, unprivileged=True):
        monkeypatch.setenv("RCNN_CACHE", str(cache))
        arguments = [str(argument) for argument in COMMANDS[name](out, photo, model)]
        said = tmp_path / "said.txt"
        process = processes.Process(target=run_command, args=(arguments, str(cache), str(said), unprivileged))
        process.start()
        process.join()
        text = said.read_text()
        assert "Traceback" not in text, text
        return process.exitcode, text

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_cache_that_may_be_read_only(name, run, shared_cache, tmp_path):
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
    status, said = run(name, shared_cache, tmp_path / "first", unprivileged=False)
    assert status == 0, said
    shared_cache.mkdir(exist_ok=True)  # where the command needs none
    with locked(shared_cache):
        before = snapshot(shared_cache)
        status, said = run(name, shared_cache, tmp_path / "second")
        assert status == 0, said
        assert snapshot(shared_cache) == before
    assert sorted(snapshot(tmp_path / "second")) == sorted(snapshot(tmp_path / "first"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_CACHE])
def test_an_empty_cache_that_may_be_read_only(name, run, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "cache") as cache:
        status, said = run(name, cache, tmp_path / "out")
    assert status == 1
    assert f"cannot write {cache}" in said and "RCNN_CACHE (or --cache" in said, said


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_folder_that_may_be_read_only(name, run, shared_cache, tmp_path):
    with locked(tmp_path / "out") as out:
        status, said = run(name, shared_cache, out)
    assert status == 1
    assert f"cannot write {out}" in said and "folder of your own" in said, said
    assert not list(out.iterdir())
