"""`rcnn diagnose` as a user meets it: detections in, tables, JSON and a report out, clear words for mistakes."""

import json

import numpy as np
import pytest

from rcnn_helpers import diagnosis, evaluation
from rcnn_helpers.boxes import to_voc
from rcnn_helpers.cli import diagnosis as command
from rcnn_helpers.cli import main
from rcnn_helpers.coco_results import write_coco_results
from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.diagnosis.false_positives import FP_TYPES
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.voc_results import write_voc_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ToyVOC at its smallest."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc")).root


@pytest.fixture(scope="module")
def dataset(folder):
    return VOCDataset(folder, "test")


@pytest.fixture(scope="module")
def detections(dataset):
    """Every object found, some boxes too large, and some called by another name."""
    truth = evaluation.collect_ground_truth(dataset)
    rng = np.random.default_rng(0)
    grown = truth.boxes + [[-1, -1, 1, 1]] * rng.choice([0.0, 9.0], (len(truth), 1)).astype(np.float32)
    names = np.where(rng.random(len(truth)) < 0.8, truth.class_index, 0)
    return Detections(
        truth.image_ids, truth.classes, truth.image_index, names, rng.random(len(truth)), np.abs(grown)
    )


@pytest.fixture(scope="module")
def results(detections, tmp_path_factory):
    written = tmp_path_factory.mktemp("results")
    write_voc_results(written, detections, "test")
    return written


def run(folder, *arguments):
    return main(["diagnose", "--voc", str(folder), "--split", "test", *map(str, arguments)])


def test_the_metrics_on_offer_are_those_there_are():
    assert set(command.METRICS) == set(evaluation.METRICS)


def test_everything_is_printed_within_a_hundred_columns_and_saved(
    folder, dataset, detections, results, tmp_path, capsys
):
    out = tmp_path / "all.json"
    assert run(folder, "--results", f"ours={results}", "--results", f"twin={results}", "--json", out) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines()[1:])) <= 100  # the first line names the folder
    for words in (
        "ours: detections by outcome",
        "What mean AP would gain",
        "The same by TIDE",
        "twin: too few objects for a summary",
    ):
        assert words in printed
    saved = json.loads(out.read_text())
    assert {"command", "machine", "date"} <= set(saved) and list(saved["detectors"]) == ["ours", "twin"]
    ours = saved["detectors"]["ours"]
    assert ours == saved["detectors"]["twin"]
    direct = diagnosis.diagnose(detections, dataset)
    table = diagnosis.counts(direct)
    for row in ours["counts"]:
        assert {kind: row[kind] for kind in table} == table.loc[row["class"]].to_dict()
    n_false = sum(row[kind] for row in ours["counts"] for kind in FP_TYPES)
    assert n_false == sum(sum(v for k, v in row.items() if k != "Hoiem") for row in ours["agreement"])
    evaluated = evaluation.evaluate(detections, dataset)
    assert ours["mAP"] == pytest.approx(evaluated.mean_ap, abs=0.01)  # result files round the boxes
    assert {row["characteristic"] for row in ours["sensitivity"]} >= {"box area", "occlusion"}


def test_coco_files_and_voc_files_of_the_same_detections_agree(
    folder, dataset, detections, results, tmp_path
):
    coco, out = tmp_path / "found.json", tmp_path / "both.json"
    write_coco_results(coco, detections, annotations=dataset)
    assert run(folder, "--results", f"voc={results}", "--coco", coco, "--json", out) == 0
    saved = json.loads(out.read_text())["detectors"]
    assert list(saved) == ["voc", "found"], "in the order of the command line; a file gives its name"
    assert saved["voc"]["counts"] == saved["found"]["counts"]


def test_a_model_is_diagnosed_and_the_classes_can_be_chosen(folder, tmp_path):
    model, out = tmp_path / "model.safetensors", tmp_path / "model.json"
    common = ["--voc", str(folder), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    training = ["--split", "trainval", "--weights", "random", "--max-images", "4", "--proposals", "60"]
    assert main(["train", *common, *training, "--classes", "car,dog", "--out", str(model)]) == 0
    arguments = [*common, "--split", "test", "--model", f"random={model}", "--json", str(out)]
    assert main(["diagnose", *arguments, "--classes", "dog"]) == 0
    saved = json.loads(out.read_text())["detectors"]["random"]
    assert [row["class"] for row in saved["counts"]] == ["dog"]
    # What lies on a car is no background, although cars were not searched for.
    assert sum(saved["counts"][0][kind] for kind in ("Sim", "Oth")) > 0
    assert main(["diagnose", *arguments, "--max-images", "2"]) == 0
    assert json.loads(out.read_text())["images"] == 2


def test_the_report_is_written_and_named(folder, results, tmp_path, capsys):
    assert run(folder, "--results", results, "--report", tmp_path / "pages", "--top", 2) == 0
    assert (tmp_path / "pages" / "index.html").is_file()
    assert f"report: {tmp_path / 'pages' / 'index.html'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --model, --results or --coco"),
        (["--results", "=x"], "neither a path nor NAME=PATH"),
        (["--results", "a=x", "--coco", "a=y"], "two detectors are called 'a'"),
        (["--results", "a=nowhere"], "is not a folder"),
        (["--results", "RESULTS", "--classes", "unicorn"], "unicorn"),
        (["--results", "RESULTS", "--max-images", "2"], "--max-images does not go with --results"),
        (["--results", "RESULTS", "--extras", "nowhere"], "Labels.txt"),
        (["--results", "RESULTS", "--report", "."], "not an earlier report"),
    ],
)
def test_mistakes_are_told_in_a_line(folder, results, arguments, words, capsys):
    arguments = [str(results) if each == "RESULTS" else each for each in arguments]
    assert run(folder, *arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith("rcnn diagnose: ") and words in told and "Traceback" not in told


@pytest.mark.parametrize(("boxes", "name"), [("Loc", "dog"), ("BG", "car")])
def test_a_single_mistake_is_counted_where_it_belongs(folder, dataset, boxes, name, tmp_path):
    """One detection: half of an object's box, or a corner with nothing in it."""
    truth = evaluation.collect_ground_truth(dataset)
    row = int(np.flatnonzero(truth.class_index == dataset.classes.index("dog"))[0])
    x1, y1, x2, y2 = truth.boxes[row]
    box = [x1, y1, x1 + 0.4 * (x2 - x1), y2] if boxes == "Loc" else [0, 0, 3, 3]
    image_id = truth.image_ids[truth.image_index[row]]
    written = tmp_path / "one"
    written.mkdir()
    corners = " ".join(f"{side:.4f}" for side in to_voc(np.array([box], np.float32))[0])
    (written / f"comp3_det_test_{name}.txt").write_text(f"{image_id} 1.0 {corners}\n")
    out = tmp_path / "one.json"
    assert run(folder, "--results", written, "--json", out) == 0
    [row] = json.loads(out.read_text())["detectors"]["one"]["counts"]
    assert {kind: row[kind] for kind in ("tp", *FP_TYPES)} == {"tp": 0} | {
        kind: int(kind == boxes) for kind in FP_TYPES
    }
