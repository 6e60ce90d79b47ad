"""The `rcnn` command as a user meets it: files in, tables and JSON out, clear words for mistakes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from rcnn_helpers.cli import main
from rcnn_helpers.cli.data import training_images
from rcnn_helpers.images import write_image


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    """ToyVOC at its smallest, as any folder in VOC layout."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc")).root


@pytest.fixture(scope="module")
def model(toy_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    status = main(
        ["train", "--voc", str(toy_folder), "--split", "trainval", "--network", "quarter_tnet"]
        + ["--weights", "random", "--max-images", "4", "--proposals", "60", "--classes", "car,dog"]
        + ["--device", "cpu", "--cache", str(folder / "cache"), "--out", str(folder / "model.safetensors")]
    )
    assert status == 0
    return folder / "model.safetensors"


def test_proposals_reports_recall_and_speed(toy_folder, tmp_path, capsys):
    report = tmp_path / "report.json"
    arguments = ["--voc", str(toy_folder), "--split", "test", "--max-images", "3", "--json", str(report)]
    assert main(["proposals", *arguments]) == 0
    result = json.loads(report.read_text())
    assert 0.5 < result["recall"]["0.5"] <= 1
    assert result["recall"]["0.7"] <= result["recall"]["0.5"]
    assert result["boxes_per_image"] > 50
    assert result["seconds_per_image"] > 0
    assert "recall at 0.5 IoU" in capsys.readouterr().out


def test_proposals_of_a_picture_are_drawn(toy_folder, tmp_path):
    from rcnn_helpers.images import read_image

    picture = sorted((toy_folder / "JPEGImages").iterdir())[0]
    out = tmp_path / "drawn.jpg"
    assert main(["proposals", "--image", str(picture), "--out", str(out)]) == 0
    assert read_image(out).shape == read_image(picture).shape
    assert np.abs(read_image(out).astype(int) - read_image(picture)).mean() > 1


def test_detect_draws_and_lists_what_it_finds(model, toy_folder, tmp_path):
    picture = sorted((toy_folder / "JPEGImages").iterdir())[0]
    report = tmp_path / "found.json"
    arguments = ["--model", str(model), "--out", str(tmp_path / "drawn"), "--json", str(report)]
    assert main(["detect", str(picture), *arguments, "--threshold", "-5", "--device", "cpu"]) == 0
    (result,) = json.loads(report.read_text())
    assert result["detections"]
    assert {found["class"] for found in result["detections"]} <= {"car", "dog"}
    assert (tmp_path / "drawn" / f"{picture.stem}.jpg").exists()


def test_boxes_are_regressed_unless_the_user_says_no(model, toy_folder, tmp_path):
    from rcnn_helpers.detector import RCNN
    from rcnn_helpers.images import read_image

    picture = sorted((toy_folder / "JPEGImages").iterdir())[0]
    detector, image = RCNN.load(model, device="cpu"), read_image(picture)
    for extra, expected in (
        ([], detector.detect(image, score_threshold=-5)),
        (["--no-box-regression"], detector.detect(image, score_threshold=-5, box_regression=False)),
    ):
        report = tmp_path / "found.json"
        arguments = ["--model", str(model), "--out", str(tmp_path), "--json", str(report), "--device", "cpu"]
        assert main(["detect", str(picture), *arguments, "--threshold", "-5", *extra]) == 0
        (result,) = json.loads(report.read_text())
        boxes = [found["box"] for found in result["detections"]]
        assert len(boxes) > 0
        assert np.allclose(boxes, expected.boxes, atol=0.01)


def test_training_options_reach_the_detector(toy_folder, tmp_path, capsys):
    from rcnn_helpers.detector import RCNN
    from rcnn_helpers.networks import load_network

    weights = tmp_path / "fine_tuned.safetensors"
    load_network("quarter_tnet", weights="random", n_classes=3, device="cpu").save(weights)
    common = ["--voc", str(toy_folder), "--classes", "car,dog", "--max-images", "2", "--proposals", "20"]
    common += ["--weights", str(weights), "--device", "cpu", "--cache", str(tmp_path / "cache")]
    out = tmp_path / "model.safetensors"
    options = ["--layer", "fc6", "--positive-iou", "0.6", "--negative-iou", "0.2", "--no-box-regression"]
    assert main(["train", *common, *options, "--out", str(out)]) == 0
    assert "SVMs on fc6, without box regression" in capsys.readouterr().out
    svms = RCNN.load(out, device="cpu")
    assert (svms.classifier, svms.layer, svms.regressors_) == ("svm", "fc6", None)
    assert (svms.positive_iou, svms.negative_iou) == (0.6, 0.2)
    assert main(["train", *common, "--classifier", "softmax", "--out", str(out)]) == 0
    assert "softmax, with box regression" in capsys.readouterr().out
    softmax = RCNN.load(out, device="cpu")
    assert (softmax.classifier, softmax.svms_) == ("softmax", None)
    assert softmax.regressors_ is not None


def test_a_softmax_of_other_classes_is_refused(toy_folder, tmp_path, capsys):
    arguments = ["--voc", str(toy_folder), "--classes", "car,dog", "--weights", "random", "--max-images", "2"]
    arguments += ["--classifier", "softmax", "--out", str(tmp_path / "model"), "--device", "cpu"]
    assert main(["train", *arguments]) == 1
    assert "needs 3, background first; fine-tune" in capsys.readouterr().err


def test_detect_goes_on_after_a_broken_picture_and_fails_at_the_end(model, toy_folder, tmp_path, capsys):
    good = sorted((toy_folder / "JPEGImages").iterdir())[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:2000])
    status = main(["detect", str(broken), str(good), "--model", str(model), "--out", str(tmp_path)])
    streams = capsys.readouterr()
    assert status == 1
    assert "broken.jpg" in streams.err
    assert good.name in streams.out


def test_evaluate_a_model_and_then_its_result_files(model, toy_folder, tmp_path):
    first, second, results = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "results"
    data = ["--voc", str(toy_folder), "--split", "test"]
    cached = ["--cache", str(tmp_path / "cache"), "--device", "cpu"]
    assert main(["evaluate", *data, *cached, "--model", str(model), "--json", str(first)]
                + ["--write-results", str(results)]) == 0  # fmt: skip
    assert main(["evaluate", *data, "--results", str(results), "--json", str(second)]) == 0
    first, second = json.loads(first.read_text()), json.loads(second.read_text())
    assert set(first["ap"]) == {"car", "dog"}
    assert first["ap"] == pytest.approx(second["ap"], abs=0.01)
    assert 0 <= first["mAP"] <= 100
    third = tmp_path / "third.json"
    assert main(["evaluate", *data, *cached, "--model", str(model), "--json", str(third)]
                + ["--no-box-regression"]) == 0  # fmt: skip
    assert json.loads(third.read_text())["ap"] != first["ap"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detect", "picture.jpg", "--model", "nothing.safetensors"], "no model file"),
        (["evaluate", "--voc", "nowhere", "--results", "nowhere"], "nowhere"),
        (["proposals", "--image", "nothing.jpg"], "nothing.jpg"),
        (["train", "--out", "no/such/folder/model"], "does not exist"),
    ],
)
def test_a_mistake_gets_one_clear_line_and_no_traceback(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_mistyped_class_is_refused_and_the_right_ones_are_named(toy_folder, tmp_path, capsys):
    arguments = ["--voc", str(toy_folder), "--classes", "car,dgo", "--out", str(tmp_path / "model")]
    assert main(["train", *arguments]) == 1
    error = capsys.readouterr().err
    assert "dgo" in error and "dog" in error


@pytest.mark.parametrize("option", [["--layer", "fc9"], ["--device", "abacus"]])
def test_a_layer_or_device_that_is_not_there_is_refused(option, toy_folder, tmp_path, capsys):
    arguments = ["--voc", str(toy_folder), "--weights", "random", "--out", str(tmp_path / "model")]
    assert main(["train", *arguments, *option]) == 1
    assert option[1] in capsys.readouterr().err


def test_the_names_on_offer_are_those_of_the_package():
    from rcnn_helpers import detector, finetuning
    from rcnn_helpers.cli import options
    from rcnn_helpers.networks import NETWORKS
    from rcnn_helpers.proposals.selective_search import MODES

    assert set(options.NETWORKS) == set(NETWORKS)
    assert set(options.MODES) == set(MODES)
    assert options.CLASSIFIERS == detector.CLASSIFIERS
    assert options.LABELS == tuple(finetuning.LABELS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["train"],
        ["proposals", "--max-images", "0"],
        ["train", "--out", "model", "--positive-iou", "2"],
        ["train", "--out", "model", "--negative-iou", "some"],
        ["train", "--out", "model", "--classifier", "forest"],
    ],
)
def test_wrong_usage_exits_with_two(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_help_is_quick_and_needs_no_heavy_library():
    code = "import sys; from rcnn_helpers.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    check = "print(sorted({'torch', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_training_images_favour_the_chosen_classes_and_keep_some_without(toy_folder):
    from rcnn_helpers.datasets.voc import VOCDataset

    dataset = VOCDataset(toy_folder, "trainval", classes=("car",))
    shows = [i for i in dataset.ids if "car" in dataset.annotation(i).names]
    chosen = training_images(dataset, 4).ids
    assert len(chosen) == len(set(chosen)) == 4
    assert sum(i in shows for i in chosen) == min(3, len(shows))
    assert chosen == sorted(chosen, key=dataset.ids.index)
    assert training_images(dataset, 10_000).ids == dataset.ids


def test_pictures_of_any_kind_can_be_searched(model, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 90, 3)).astype(np.uint8)
    write_image(tmp_path / "rgb.png", pixels)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.jpg")
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "rgba.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    pictures = [str(tmp_path / name) for name in ("rgb.png", "grey.jpg", "cmyk.jpg", "rgba.png", "pixel.png")]
    assert main(["detect", *pictures, "--model", str(model), "--out", str(tmp_path / "out")]) == 0


def test_a_model_of_other_classes_is_refused_and_classes_it_does_not_know_are_told(toy_folder, capsys):
    from rcnn_helpers.cli.data import compare_classes
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.errors import SettingsError

    dataset = VOCDataset(toy_folder, "test")
    shown = sorted({name for image_id in dataset.ids for name in dataset.annotation(image_id).names})
    compare_classes(dataset, (*shown, "unicorn"))
    assert capsys.readouterr().out == ""
    compare_classes(dataset, shown[1:])
    assert f"was not trained for it: {shown[0]}\n" in capsys.readouterr().out
    with pytest.raises(SettingsError, match=f"show {shown[0]}.*was trained for unicorn"):
        compare_classes(dataset, ("unicorn",))
