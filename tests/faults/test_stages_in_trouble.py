"""Stages on a full disk, and two at once on one folder: nothing is damaged, and in the end all is there."""

import resource
import sys

import pytest
from pipeline_stages import STAGES, run_stage
from stage_files import finished_files

from rcnn_helpers.errors import RCNNError

pytestmark = pytest.mark.slow

REFUSED = 7
# No stage but the drawing of pictures and the search for proposals does with less than this in each of its files.
LARGEST_FILE = 1000


def run_on_full_disk(name: str, folder: str, pictures: str) -> None:
    """Do one stage where no file can grow large, and exit with `REFUSED` if it says so in an error of ours."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    try:
        run_stage(name, folder, pictures)
    except RCNNError as error:
        sys.exit(REFUSED if folder in str(error) else f"the error names no file: {error}")


@pytest.mark.parametrize("name", [name for name in STAGES if name != "propose"])
def test_a_full_disk(name, processes, pictures, tmp_path):
    in_peace, full = tmp_path / "in_peace", tmp_path / "full"
    for folder, target, exit_code in (
        (full, run_on_full_disk, REFUSED),
        (full, run_stage, 0),
        (in_peace, run_stage, 0),
    ):
        folder.mkdir(exist_ok=True)
        process = processes.Process(target=target, args=(name, str(folder), str(pictures)))
        process.start()
        process.join()
        assert process.exitcode == exit_code
    assert finished_files(full) == finished_files(in_peace)


@pytest.mark.parametrize("name", STAGES)
def test_two_at_once_on_one_folder(name, processes, pictures, tmp_path):
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    for folder, count in ((shared, 2), (alone, 1)):
        folder.mkdir()
        running = [
            processes.Process(target=run_stage, args=(name, str(folder), str(pictures))) for _ in range(count)
        ]
        for process in running:
            process.start()
        for process in running:
            process.join()
        assert [process.exitcode for process in running] == [0] * count
    assert finished_files(shared) == finished_files(alone)
