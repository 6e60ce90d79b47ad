"""``rcnn dense`` on a few pictures in VOC layout."""

import json

import pandas as pd
import pytest

from rcnn_helpers.cli import main


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc")).root


def test_proposals_and_windows_are_put_side_by_side(toy_folder, tmp_path, capsys):
    csv, report = tmp_path / "dense.csv", tmp_path / "dense.json"
    arguments = ["dense", "--voc", str(toy_folder), "--classes", "car,dog", "--weights", "random"]
    arguments += ["--proposals", "40", "--max-training-images", "4", "--max-images", "2", "--timed", "1"]
    arguments += ["--min-size", "150", "--aspect-ratios", "1", "--device", "cpu"]
    arguments += ["--cache", str(tmp_path / "cache"), "--csv", str(csv), "--json", str(report)]
    assert main(arguments) == 0
    frame = pd.read_csv(csv)
    assert list(frame.method) == ["proposals", "dense", "dense retrained"]
    assert {"seed", "regions", "recall_50", "recall_70", "seconds", "car", "dog", "mAP"} <= set(frame)
    assert frame.regions[1] == frame.regions[2] > 1
    saved = json.loads(report.read_text())
    assert [row["method"] for row in saved["rows"]] == list(frame.method)
    assert saved["command"].startswith("rcnn dense")
    assert "dense retrained" in capsys.readouterr().out


@pytest.mark.parametrize("ratios", ["1,x", "0", ""])
def test_ratios_that_are_none_are_refused(ratios, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["dense", "--aspect-ratios", ratios])
    assert stopped.value.code == 2
    assert "not a list of numbers above zero" in capsys.readouterr().err
