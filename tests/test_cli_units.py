"""`rcnn units` as a user meets it."""

import json

import numpy as np
import pytest

from rcnn_helpers.cli import main
from rcnn_helpers.units import UnitIndex


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc")).root


@pytest.fixture(scope="module")
def build_command(toy_folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return [
        "units",
        "build",
        "--voc",
        str(toy_folder),
        "--split",
        "test",
        "--max-images",
        "4",
        "--device",
    ] + ["cpu", "--proposals", "40", "--top", "9", "--cache", str(cache), "--out"]


@pytest.fixture(scope="module")
def index_file(build_command, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "units.safetensors"
    assert main([*build_command, str(path)]) == 0
    return path


def test_build(build_command, tmp_path, capsys):
    out, report = tmp_path / "units.safetensors", tmp_path / "report.json"
    assert main([*build_command, str(out), "--json", str(report)]) == 0
    index, result, printed = UnitIndex.load(out), json.loads(report.read_text()), capsys.readouterr().out
    assert (index.network_name, index.layer, index.shape, index.top) == (
        "quarter_tnet",
        "pool5",
        (64, 6, 6),
        9,
    )
    assert (result["units"], result["images"], result["regions"]) == (2304, 4, index.n_regions)
    assert 4 * 40 < index.n_regions  # the objects, too
    assert "2304 units, 64 channels of 6x6 cells: the best 9 of" in printed
    best = ",".join(map(str, index.place(int(index.maximum.argmax()))))
    assert f"try: rcnn units show {out} --unit {best}" in printed


def test_build_of_another_layer_without_objects(build_command, tmp_path):
    out = tmp_path / "units.safetensors"
    assert main([*build_command, str(out), "--layer", "conv3", "--no-ground-truth"]) == 0
    index = UnitIndex.load(out)
    assert (index.layer, index.shape) == ("conv3", (96, 13, 13))
    assert index.n_regions <= 4 * 40


def test_show(index_file, tmp_path, capsys):
    report = tmp_path / "units.json"
    index = UnitIndex.load(index_file)
    unit = int(index.maximum.argmax())
    channel, row, column = index.place(unit)
    silent = [u for u in range(index.n_units) if index.maximum[u] == 0][:1]
    others = [f"--unit={','.join(map(str, index.place(u)))}" for u in silent]
    arguments = [str(index_file), "--unit", f"{channel},{row},{column}", *others, "--top", "3"]
    assert main(["units", "show", *arguments, "--json", str(report)]) == 0
    result, *rest = json.loads(report.read_text())
    found = index.regions(unit, 3)
    assert [region["image"] for region in result["regions"]] == list(found.image_ids)
    assert np.array_equal([region["field"] for region in result["regions"]], found.fields)
    assert result["regions"][0]["scaled"] == 1
    printed = capsys.readouterr().out
    assert f"unit ({channel}, {row}, {column}), number {unit}" in printed
    assert f"{index.n_regions} regions of 4 images" in printed
    assert len(rest) == len(silent)
    for image_id in found.image_ids:
        assert image_id in printed


def test_show_draws_a_row_for_each_unit(index_file, toy_folder, tmp_path):
    from rcnn_helpers.images import read_image

    index = UnitIndex.load(index_file)
    first, second = np.argsort(-index.maximum)[:2]
    heights = []
    for units in ([first], [first, second]):
        picture = tmp_path / "units.png"
        places = [f"--unit={','.join(map(str, index.place(int(unit))))}" for unit in units]
        arguments = [str(index_file), *places, "--voc", str(toy_folder), "--picture", str(picture)]
        assert main(["units", "show", *arguments]) == 0
        heights.append(read_image(picture).shape[0])
    assert heights[1] > 1.5 * heights[0]


@pytest.mark.parametrize(("by", "share"), [("class", "precision"), ("attribute", "share")])
def test_best_units(by, share, index_file, toy_folder, tmp_path, capsys):
    report = tmp_path / "best.json"
    arguments = [str(index_file), "--voc", str(toy_folder), "--top", "8", "--json", str(report)]
    assert main(["units", "best", *arguments, "--by", by]) == 0
    printed = capsys.readouterr().out
    assert "beside random regions" in printed
    for line in json.loads(report.read_text()):
        assert line[share] > line["base"]
        assert line[by] in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nowhere.safetensors", "--unit", "0,0,0"], "there is no index nowhere.safetensors"),
        (["show", "INDEX", "--unit", "64,0,0"], "no channel 64; there are 0 to 63"),
        (["show", "INDEX", "--unit", "3"], "has 6x6 cells; name a unit by channel, row and column"),
        (["best", "INDEX", "--voc", "nowhere"], "nowhere"),
        (["build", "--layer", "conv9", "--weights", "random", "--out", "OUT"], "no layer 'conv9'"),
        (["build", "--out", "nowhere/units.safetensors"], "the folder of nowhere/units.safetensors"),
        (["build", "--weights", "random", "--out", "INDEX"], "holds an index made from something else"),
    ],
)
def test_mistakes_are_explained(arguments, message, build_command, index_file, tmp_path, capsys):
    names = {"INDEX": str(index_file), "OUT": str(tmp_path / "units.safetensors")}
    task, *others = [names.get(argument, argument) for argument in arguments]
    if task == "build":
        others = [*build_command[2:-1], *others]
    assert main(["units", task, *others]) == 1
    error = capsys.readouterr().err
    assert error.startswith("rcnn units: ")
    assert message in error


@pytest.mark.parametrize("place", ["1,2", "a,b,c", "-1,0,0", "1,2,3,4"])
def test_a_unit_is_one_or_three_numbers(place, index_file, capsys):
    with pytest.raises(SystemExit):
        main(["units", "show", str(index_file), f"--unit={place}"])
    assert "is not a unit; write channel,row,column" in capsys.readouterr().err
