"""``rcnn extract``: shards, a kill, several processes, and a training that finds everything done."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rcnn_helpers.cli import main

sys.path.insert(0, str(Path(__file__).parent))
import shapes

N_BOXES = "25"
# The command's own process, which dies while it writes the file after so many.
DIES = """
import os, signal, sys
import rcnn_helpers.cli
synced, fsync = [], os.fsync
def fsync_or_die(descriptor):
    if len(synced) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    synced.append(descriptor)
    fsync(descriptor)
os.fsync = fsync_or_die
sys.exit(rcnn_helpers.cli.main(sys.argv[2:]))
"""


def arguments(root: Path, cache: Path, *more: str) -> list[str]:
    usual = ["--voc", str(root), "--proposals", N_BOXES, "--precision", "float32", "--device", "cpu"]
    return ["extract", *usual, "--cache", str(cache), *more]


def environment() -> dict[str, str]:
    repository = Path(__file__).parent.parent.parent
    return os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    shapes.write_voc(root, 5)
    return root


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory) -> Path:
    """Cache of a run that nothing disturbed."""
    cache = tmp_path_factory.mktemp("whole")
    assert main(arguments(root, cache)) == 0
    return cache


@pytest.mark.parametrize("written", [2, 5])
def test_a_killed_shard_is_taken_up_under_another_numbering(root, whole, tmp_path, written):
    first = [sys.executable, "-c", DIES, str(written), *arguments(root, tmp_path, "--shard", "1/2")]
    killed = subprocess.run(first, env=environment(), capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(shapes.files_below(tmp_path)) < len(shapes.files_below(whole))
    for number in (1, 2, 3):
        assert main(arguments(root, tmp_path, "--shard", f"{number}/3")) == 0
    assert shapes.files_below(tmp_path) == shapes.files_below(whole)


def test_a_cache_may_be_moved_while_nothing_runs(root, whole, tmp_path, capsys):
    """Half of it done in one folder, the other half in a copy of it elsewhere."""
    assert main(arguments(root, tmp_path / "here", "--shard", "2/2")) == 0
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    capsys.readouterr()
    assert main(arguments(root, tmp_path / "there", "--shard", "1/2")) == 0
    assert "5 images" in (said := capsys.readouterr().out) and "3 of them here" in said
    assert shapes.files_below(tmp_path / "there") == shapes.files_below(whole)


def test_two_processes_under_torchrun_fill_the_same_store(root, whole, tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = ["-m", "rcnn_helpers.cli", *arguments(root, tmp_path / "torchrun")]
    done = subprocess.run([*start, *program], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 images" in done.stdout and "3 of them here" in done.stdout
    assert shapes.files_below(tmp_path / "torchrun") == shapes.files_below(whole)


def test_jobs_fill_the_same_store(root, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(arguments(root, tmp_path, "--jobs", "2")) == 0
    assert shapes.files_below(tmp_path) == shapes.files_below(whole)


def test_training_finds_everything_done(root, whole, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    shutil.copytree(whole, cache)

    def never(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr("rcnn_helpers.features.extract", never)
    monkeypatch.setattr("rcnn_helpers.proposals.propose", never)
    train = ["train", *arguments(root, cache)[1:], "--out", str(tmp_path / "model.safetensors")]
    assert main(train) == 0
    assert shapes.files_below(cache) == shapes.files_below(whole)


def test_more_shards_than_images_leave_some_idle(root, tmp_path, capsys):
    assert main(arguments(root, tmp_path, "--shard", "9/9")) == 0
    assert "0 of them here" in capsys.readouterr().out
    assert shapes.files_below(tmp_path) == {}


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["extract", f"--shard={text}"])
    assert "--shard" in capsys.readouterr().err
