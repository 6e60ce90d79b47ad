"""The file in which benchmarks keep what they measured, and the runner's list of them."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A function that loads a module of the benchmarks' folder, as a script there would find it."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def loaded(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return loaded


def test_sections_are_kept_side_by_side_and_replaced_by_their_own(load, monkeypatch, tmp_path, capsys):
    report = load("_report")
    path = tmp_path / "new" / "benchmarks.json"
    monkeypatch.setenv(report.FILE_VARIABLE, str(path))
    monkeypatch.setattr(sys, "argv", ["/some/where/bench_things.py", "--fast"])
    for cores, ours in ((1, 2.00004), (2, 1.5), (2, float("inf"))):
        monkeypatch.setattr(report, "cores", lambda cores=cores: cores)
        report.report("Things", [{"what": "sort", "ours s": np.float64(ours), "n": np.int64(3)}])
    report.report("Others", [{"what": "count"}], name="things_others")

    kept = json.loads(path.read_text())
    assert set(kept) == {"date", "machine", "benchmarks"}
    assert list(kept["benchmarks"]) == ["things", "things_others"]
    sections = kept["benchmarks"]["things"]
    assert sections["1"]["rows"] == [{"what": "sort", "ours s": 2.0, "n": 3}]
    assert sections["2"]["rows"] == [{"what": "sort", "ours s": None, "n": 3}]
    assert sections["1"]["title"] == "Things"
    assert sections["1"]["command"] == "python tests/benchmarks/bench_things.py --fast"
    assert sections["1"]["versions"]["numpy"] == np.__version__
    assert "sort" in capsys.readouterr().out


def test_without_a_file_nothing_is_kept(load, monkeypatch, tmp_path, capsys):
    report = load("_report")
    monkeypatch.delenv(report.FILE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    report.report("Things", [{"what": "sort"}])
    assert list(tmp_path.iterdir()) == []
    assert "Things" in capsys.readouterr().out


def test_the_runner_knows_only_benchmarks_that_exist(load, monkeypatch):
    load("_report")
    runner = load("run")
    found = set(runner.benchmarks())
    assert {"nms", "detection", "selective_search"} <= found
    assert runner.ONE_CORE <= found and set(runner.QUICK) <= found
    monkeypatch.setattr(sys, "argv", ["run.py", "nms", "nonsense"])
    with pytest.raises(SystemExit):
        runner._parse()


def test_the_operations_of_a_network_are_those_counted_by_hand(load):
    """The quarter T-Net: twice the inputs of a channel's window, times channels, times places."""
    for name in ("_report", "bench_bbox_regression", "bench_detection"):
        load(name)
    roofline = load("bench_roofline")
    network = roofline.load_network("quarter_tnet", device="cpu")
    convolutions = (
        2 * 3 * 11**2 * 24 * 55**2
        + 2 * 24 * 5**2 * 64 * 27**2
        + 2 * (64 * 9 * 96 + 96 * 9 * 96 + 96 * 9 * 64) * 13**2
    )
    assert roofline.operations(network, "trunk") == convolutions
    assert roofline.operations(network, "fc6 fc7") == 2 * (2304 * 1024 + 1024 * 1024)
