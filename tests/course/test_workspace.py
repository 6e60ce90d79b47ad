"""The first cell of a notebook: what is in the cache, what is missing, and what it costs."""

import pandas as pd
import pytest

from rcnn_helpers.course import costs, open_course, workspace
from rcnn_helpers.course.notebooks import sources
from rcnn_helpers.errors import SettingsError


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(monkeypatch, tmp_path):
    """A data folder of the test's own."""
    monkeypatch.setenv("RCNN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_stages_are_missing_until_they_are_computed():
    course = workspace.Course("smoke", progress=False)
    assert course.missing() == list(workspace.STAGES)
    course.compute("pictures")
    assert course.missing() == ["proposals", "features", "detector", "detections"]
    course.compute("proposals")
    assert course.missing(["pictures", "proposals"]) == []
    with pytest.raises(SettingsError, match="no stage 'dreams'; there are pictures"):
        course.compute("dreams")


def test_every_notebook_says_what_it_builds_on():
    assert set(workspace.NEEDS) == {source.stem[:2] for source in sources()}
    for stages in workspace.NEEDS.values():
        assert stages == workspace.STAGES[: len(stages)]


def test_the_first_cell_says_what_will_take_how_long(data, capsys):
    costs.record(
        "smoke", "cpu", {"pictures": (3.2, 500), "proposals": (240, 700), "notebook 02": (12.3, 1234)}
    )
    open_course("02", profile="smoke", device="cpu")
    said = capsys.readouterr().out
    assert "device cpu; profile smoke" in said
    assert "To be computed first, and then kept: pictures (3 s), proposals (4 min)." in said
    assert f"All its cells take about 12 s and 1.2 GB of memory ({costs.machine()}, measured " in said


def test_what_was_not_measured_is_said_so(data, capsys):
    open_course("05", profile="smoke", device="cpu")
    said = capsys.readouterr().out
    assert "pictures, proposals, features." in said
    assert "How long this notebook takes on 'cpu' was not measured." in said


def test_costs_are_replaced_not_repeated(data):
    costs.record("smoke", "cpu", {"notebook 01": (10, 100), "notebook 02": (20, 200)})
    costs.record("laptop", "cpu", {"notebook 01": (30, 300)})
    costs.record("smoke", "cpu", {"notebook 01": (11, float("nan"))})
    table = costs.read().set_index(["profile", "step"])
    assert table.seconds.to_dict() == {
        ("smoke", "notebook 01"): 11, ("smoke", "notebook 02"): 20, ("laptop", "notebook 01"): 30,
    }  # fmt: skip
    assert pd.isna(table.memory_mb["smoke", "notebook 01"])
    assert "memory" not in costs.forecast("smoke", "cpu", "01", [])
    assert costs.of("smoke", "cuda:0", "notebook 01") is None


def test_peak_memory_knows_an_array():
    import numpy as np

    if costs.peak_memory() != costs.peak_memory():
        pytest.skip("this system does not tell a process's memory")
    costs.reset_peak_memory()
    before = costs.peak_memory()
    np.ones(25_000_000)  # 200 MB
    assert costs.peak_memory() - before > 150
    costs.reset_peak_memory()
    assert costs.peak_memory() - before < 100
