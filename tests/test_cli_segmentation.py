"""`rcnn segment` as a user meets it: pictures in, label maps, tables and JSON out, clear words for mistakes."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.cli import main
from rcnn_helpers.cli import segmentation as command
from rcnn_helpers.datasets import voc
from rcnn_helpers.datasets.toyvoc import CATEGORIES
from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.images import read_image, read_index_image, write_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ToyVOC at its smallest."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc")).root


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    status = main(
        [
            "segment",
            "train",
            "--voc",
            str(folder),
            "--max-images",
            "4",
            "--regions",
            "10",
            "--weights",
            "random",
        ]
        + ["--device", "cpu", "--cache", str(out / "cache"), "--out", str(out / "model.safetensors")]
        + ["--json", str(out / "train.json")]
    )
    assert status == 0
    saved = json.loads((out / "train.json").read_text())
    assert (
        saved["images"] == 4
        and 0 <= saved["threshold"] < 1
        and {"regions", "features"} <= set(saved["seconds"])
    )
    return out / "model.safetensors"


def test_choices_written_out_are_those_there_are():
    from rcnn_helpers.segmentation.features import FEATURES
    from rcnn_helpers.segmentation.regions import MAX_REGIONS

    assert command.FEATURES == FEATURES and command.MAX_REGIONS == MAX_REGIONS and command.VOID == voc.VOID


def test_classes_have_the_numbers_of_the_masks(folder):
    """Not those of the names in the annotations: this split lacks classes."""
    dataset = VOCDataset(folder, "val")
    assert set(dataset.classes) < set(CATEGORIES)
    options = argparse.Namespace(voc=folder, split="val")
    opened = command._open(options)
    assert opened.classes == CATEGORIES[: len(opened.classes)]
    assert set(dataset.classes) <= set(opened.classes)
    with pytest.raises(SettingsError, match="in the masks of .* stands for"):
        command._open(options, classes=tuple(reversed(CATEGORIES)))


def test_a_mask_is_read_only_where_a_class_has_no_number_yet(folder, monkeypatch):
    dataset = VOCDataset(folder, "trainval")
    found = {image_id: command._names_by_number(dataset, [image_id]) for image_id in dataset.ids}
    shown = {image_id: set(dataset.annotation(image_id).names) for image_id in dataset.ids}
    plain = next(image_id for image_id in dataset.ids if set(found[image_id].values()) == shown[image_id])
    read, segmentation = [], VOCDataset.segmentation
    monkeypatch.setattr(
        VOCDataset,
        "segmentation",
        lambda self, image_id: read.append(image_id) or segmentation(self, image_id),
    )
    assert command._names_by_number(dataset, [plain] * 3) == found[plain]
    assert read == [plain]


def test_pictures_get_label_maps_of_their_size(model, folder, tmp_path, capsys, rng):
    picture = sorted((folder / "JPEGImages").iterdir())[0]
    grey = tmp_path / "grey.png"
    from PIL import Image

    Image.fromarray(rng.integers(0, 256, (40, 33), dtype=np.uint8)).save(grey)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    out, report = tmp_path / "out", tmp_path / "found.json"
    arguments = ["--model", str(model), "--out", str(out), "--json", str(report), "--device", "cpu"]
    assert main(["segment", "run", str(picture), str(broken), str(grey), *arguments]) == 1
    streams = capsys.readouterr()
    assert "broken.jpg" in streams.err and "label maps are in" in streams.out
    for path in (picture, grey):
        label_map = read_index_image(out / f"{path.stem}.png")
        assert label_map.shape == read_image(path).shape[:2] and label_map.max() <= 12
        assert (out / f"{path.stem}_painted.jpg").is_file()
    assert [entry["image"] for entry in json.loads(report.read_text())] == [str(picture), str(grey)]


def test_evaluate_prints_every_class_and_the_mean(model, folder, tmp_path, capsys):
    report = tmp_path / "result.json"
    arguments = ["--voc", str(folder), "--model", str(model), "--max-images", "3", "--cache", str(tmp_path)]
    assert main(["segment", "evaluate", *arguments, "--device", "cpu", "--json", str(report)]) == 0
    saved = json.loads(report.read_text())
    printed = capsys.readouterr().out
    assert f"mean             {saved['mean']:6.2f}" in printed and "background" in printed
    values = [value for value in saved["accuracy"].values() if value is not None]
    assert saved["mean"] == pytest.approx(np.mean(values))


def test_regions_reports_how_well_objects_are_covered(folder, tmp_path, capsys):
    report = tmp_path / "regions.json"
    arguments = ["--voc", str(folder), "--max-images", "3", "--json", str(report)]
    assert main(["segment", "regions", *arguments]) == 0
    rows = json.loads(report.read_text())["rows"]
    assert [row["regions"] for row in rows] == [50, 150, 300]
    assert 0.3 < rows[0]["covering"] <= rows[1]["covering"] <= rows[2]["covering"] <= 1
    assert "best IoU, mean" in capsys.readouterr().out


def test_table_saves_rows_and_signs(monkeypatch, tmp_path, capsys):
    from rcnn_helpers.ablation import segmentation_table

    asked = {}

    def canned(**options):
        asked.update(options)
        columns = {"background": 80.0, "car": 20.0, "seconds": 9.0, "svr_seconds": 1.0, "threshold": 0.2}
        return pd.DataFrame(
            {"features": kind, "layer": "fc6", "seed": seed, "mean": mean + seed, **columns}
            for kind, mean in (("full", 50.0), ("full+fg", 52.0))
            for seed in (0, 1, 2)
        )

    monkeypatch.setattr(segmentation_table, "table5", canned)
    csv, report = tmp_path / "table.csv", tmp_path / "table.json"
    arguments = ["--seeds", "0,1,2", "--proposals", "500", "--csv", str(csv), "--json", str(report)]
    assert main(["segment", "table", *arguments]) == 0
    assert asked["seeds"] == (0, 1, 2) and asked["max_proposals"] == 500 and asked["max_regions"] == 100
    saved = json.loads(report.read_text())
    assert len(saved["rows"]) == len(pd.read_csv(csv)) == 6 and {"command", "machine", "date"} <= set(saved)
    assert [sign["verdict"] for sign in saved["signs"]] == ["holds"]
    printed = capsys.readouterr().out
    assert "full+fg fc6" in printed and "+2.0 ± 0.0" in printed


def test_why_saves_rows_of_all_settings_and_differences(monkeypatch, tmp_path, capsys):
    from rcnn_helpers.ablation import foreground

    def canned(rows, *, fine_tuned, outlines, seeds, **options):
        assert options["max_proposals"] == 500
        named = {"named": 60.0} if outlines == "true" else {}
        return pd.DataFrame(
            {**row.__dict__, "seed": seed, "mean": 20.0 - (row.features == "fg") - seed} | named
            for row in rows
            for seed in seeds
        )

    monkeypatch.setattr(foreground, "table5", canned)
    csv, report = tmp_path / "why.csv", tmp_path / "why.json"
    arguments = ["--seeds", "0,1", "--proposals", "500", "--csv", str(csv), "--json", str(report)]
    assert main(["segment", "why", *arguments]) == 0
    saved = json.loads(report.read_text())
    settings = {(row["fine_tuned"], row["outlines"]) for row in saved["rows"]}
    assert len(saved["rows"]) == len(pd.read_csv(csv)) == 2 * 2 * 3 * 2 and len(settings) == 4
    assert [line["mean"] for line in saved["differences"] if line["measure"] == "mean"] == [-1.0] * 4
    printed = capsys.readouterr().out
    assert "not fine-tuned, true outlines: objects named right" in printed and "-1.0 ± 0.0" in printed
    assert "One or two seeds show little" in printed


def test_a_folder_without_masks_is_named(tmp_path, folder, capsys):
    dataset = VOCDataset(folder, "val")
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / part).mkdir(parents=True)
    image_id = dataset.ids[0]
    write_image(tmp_path / "JPEGImages" / f"{image_id}.jpg", dataset.image(image_id))
    annotation = folder / "Annotations" / f"{image_id}.xml"
    (tmp_path / "Annotations" / f"{image_id}.xml").write_bytes(annotation.read_bytes())
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text(f"{image_id}\n")
    assert main(["segment", "regions", "--voc", str(tmp_path)]) == 1
    assert "has a mask in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "a.jpg", "--model", "none"], "there is no model file none"),
        (["train", "--out", "no/such/folder/model"], "does not exist"),
        (["table", "--voc", "here", "--pictures", "1,1,1"], "--pictures is for ToyVOC"),
    ],
)
def test_mistakes_are_named(arguments, words, capsys):
    assert main(["segment", *arguments]) == 1
    assert words in capsys.readouterr().err
