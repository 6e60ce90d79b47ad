"""The learner's progress: kept apart from the cache, sticky once passed, and never in the way."""

import pytest

from rcnn_helpers.cli import main
from rcnn_helpers.course import progress


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_PROGRESS", str(tmp_path / "progress"))
    return tmp_path / "progress"


def test_once_passed_stays_passed():
    for outcome in ("wrong", "pass", "error"):
        progress.record_outcome("iou", outcome)
    assert progress.recall("exercise", "iou") == {
        "kind": "exercise", "name": "iou", "tries": 3, "outcome": "error", "passed": True,
    }  # fmt: skip


def test_damaged_entries_count_as_none(folder):
    progress.record_outcome("iou", "pass")
    for content in ("{", "[]", ""):
        (folder / "exercise" / "iou.json").write_text(content)
        assert progress.recall("exercise", "iou") is None
        assert progress.entries("exercise") == []
    progress.record_outcome("iou", "wrong")
    assert progress.recall("exercise", "iou")["tries"] == 1


def test_a_disk_that_cannot_be_written_warns_and_goes_on(folder):
    folder.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="progress is not kept"):
        progress.record_outcome("iou", "pass")


def test_without_a_name_it_is_in_the_users_data_folder_and_not_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("RCNN_PROGRESS")
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "shared_by_a_class"))
    assert tmp_path not in progress.folder().parents


def test_the_command_lists_and_forgets(capsys, folder):
    progress.record_outcome("iou", "pass")
    progress.record("prediction", "99 boxes", {"answer": 3})
    (folder / "notes.txt").write_text("someone else's")
    assert main(["progress"]) == 0
    out = capsys.readouterr().out
    assert any(line.split()[:2] == ["00", "iou"] and line.endswith("pass") for line in out.splitlines())
    assert "1 of" in out and "1 predictions" in out
    assert main(["progress", "--reset"]) == 0
    assert main(["progress"]) == 0
    assert "0 of" in capsys.readouterr().out
    assert (folder / "notes.txt").exists()
