"""The first cell of a notebook: what is in the cache, what is missing, and what it costs."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers import settings
from rcnn_helpers.course import costs, open_course, run, workspace
from rcnn_helpers.course.notebooks import sources
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.evaluation import Detections
from rcnn_helpers.networks import load_network


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(monkeypatch, tmp_path):
    """A data folder of the test's own."""
    monkeypatch.setenv("RCNN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def _course_with_random_weights(data, seed=0):
    """A course whose fine-tuned weights are drawn at random, with a picture's worth of everything else."""
    (data / "weights").mkdir(exist_ok=True)
    random = load_network("quarter_tnet", weights="random", n_classes=13, seed=seed, device="cpu")
    random.save(data / "weights" / "quarter_tnet_toyvoc.safetensors", precision="float16")
    course = workspace.Course("smoke", device="cpu", progress=False)
    course.trainval = SimpleNamespace(ids=["train_0"], classes=("car",))
    course.test = SimpleNamespace(ids=["test_0"], classes=("car",))
    course._proposals = {"trainval": {"train_0": np.zeros((1, 4))}, "test": {"test_0": np.ones((1, 4))}}
    return course


def test_stages_are_missing_until_they_are_computed():
    course = workspace.Course("smoke", progress=False)
    assert course.missing() == [stage for stage in workspace.STAGES if stage != "fine-tuning"]  # it ships
    course.compute("pictures")
    not_shipped = [stage for stage in workspace.STAGES if stage not in ("pictures", "fine-tuning")]
    assert course.missing() == not_shipped
    course.compute("proposals")
    assert course.missing(["pictures", "proposals"]) == []
    with pytest.raises(SettingsError, match="no stage 'dreams'; there are pictures"):
        course.compute("dreams")


def test_every_notebook_says_what_it_builds_on():
    assert set(workspace.NEEDS) == {source.stem[:2] for source in sources()}
    for stages in workspace.NEEDS.values():
        assert list(stages) == [stage for stage in workspace.STAGES if stage in stages], "in their order"


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
    assert "To be computed first, and then kept: pictures, proposals, features." in said
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


def test_only_features_of_the_fine_tuned_networks_pool5_count(data):
    course = _course_with_random_weights(data)
    counts = {"train": 12, "val": 4, "test": 8}
    names = [f"{split}_{i}" for split, count in counts.items() for i in range(count)]

    def write(folder):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.safetensors").touch()

    write(course.folder / "features" / "quarter_tnet-fc6-0123456789abcdef")
    write(course.folder / "features" / "quarter_tnet-pool5-0123456789abcdef")
    assert course.missing(["features"]) == ["features"]
    write(course._store(course.network).folder)
    assert course.missing(["features"]) == []
    assert _course_with_random_weights(data, seed=1).missing(["features"]) == ["features"]


def test_results_are_kept_for_these_weights_and_proposals_alone(data, monkeypatch):
    course = _course_with_random_weights(data)
    calls = []

    def detect_dataset(dataset, *, box_regression=True, **_):
        calls.append(box_regression)
        return Detections(("test_0",), ("car",), [0], [0], [0.5], [[0, 0, 1 + box_regression, 1]])

    def opened(seed=0):
        course = _course_with_random_weights(data, seed=seed)
        course.detector = SimpleNamespace(detect_dataset=detect_dataset, network=course.network)
        monkeypatch.setattr(course, "features", lambda split, network: None)
        return course

    assert course.missing(["detector", "detections"]) == ["detector", "detections"]
    opened().compute("detections")
    assert calls == [True, False]
    again = opened()
    assert again.missing(["detections"]) == []
    assert again.detections.boxes.tolist() == [[0, 0, 2, 1]]
    assert again.detections_without_regression.boxes.tolist() == [[0, 0, 1, 1]]
    assert again.detections.image_ids == ("test_0",) and again.detections.scores.tolist() == [0.5]
    assert len(calls) == 2, "read, not computed again"
    (path,) = course.folder.glob("detections-*")
    whole = path.read_bytes()
    for damaged in (b"", whole[:-3], whole.replace(b"scores", b"sc0res"), whole[:-1] + b"\x01"):
        path.write_bytes(damaged)
        with pytest.warns(RuntimeWarning, match="damaged.*Computing it anew"):
            assert opened().detections.boxes.tolist() == [[0, 0, 2, 1]]
        assert path.read_bytes() == whole
    calls.clear()
    other_boxes = opened()
    other_boxes._proposals["test"] = {"test_0": np.zeros((1, 4))}
    other_weights = opened(seed=1)
    assert other_weights.missing(["detections"]) == ["detections"]
    _ = other_boxes.detections, other_weights.detections
    assert len(calls) == 2


def test_the_detector_before_fine_tuning_is_another_network_on_the_same_boxes(data, monkeypatch):
    course = _course_with_random_weights(data)
    course.pretrained = load_network("quarter_tnet", weights="random", seed=7, device="cpu")
    calls = []

    def new_detector(network, *, box_regression):
        def fit(dataset, *, proposals, store, **_):
            calls.append(("fit", network, store, list(proposals), box_regression))

        def detect_dataset(dataset, *, proposals, store, **_):
            calls.append(("detect", network, store, list(proposals)))
            return Detections(("test_0",), ("car",), [0], [0], [0.5], [[0, 0, 1, 1]])

        return SimpleNamespace(fit=fit, detect_dataset=detect_dataset, network=network)

    monkeypatch.setattr(course, "new_detector", new_detector)
    monkeypatch.setattr(course, "features", lambda split, network: (split, network))
    assert course.missing(["before fine-tuning"]) == ["before fine-tuning"]
    course.compute("before fine-tuning")
    net = course.pretrained
    assert calls == [
        ("fit", net, ("trainval", net), ["train_0"], False),
        ("detect", net, ("test", net), ["test_0"]),
    ]
    assert course.missing(["before fine-tuning"]) == []
    assert course.missing(["detections"]) == ["detections"], "the fine-tuned network's are others"


def test_units_are_indexed_once_for_each_network(data, monkeypatch):
    from rcnn_helpers import units

    course = _course_with_random_weights(data)
    course.pretrained = load_network("quarter_tnet", weights="random", seed=7, device="cpu")
    built = []

    def build_index(dataset, proposals, *, store=None, network=None, out, progress):
        built.append((dataset, list(proposals), store, network))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()

    monkeypatch.setattr(units, "build_index", build_index)
    monkeypatch.setattr(units.UnitIndex, "load", lambda path: "loaded")
    monkeypatch.setattr(course, "features", lambda split, network: network)
    monkeypatch.setattr(course, "pictures", lambda *splits: splits)
    assert course.missing(["units"]) == ["units"]
    course.compute("units")
    both = (("trainval", "test"), ["train_0", "test_0"])
    assert built == [
        (*both, course.network, None),
        (*both, course.pretrained, None),
        (("test",), ["test_0"], None, course.untrained),
    ]
    assert course.missing(["units"]) == []
    assert course.unit_index("pre-trained") == "loaded" and len(built) == 3
    with pytest.raises(SettingsError, match="no units of a 'dreamt' network"):
        course.unit_index("dreamt")


def test_label_maps_are_made_once_for_these_weights_and_kept(data, monkeypatch):
    from rcnn_helpers.segmentation import segmenter

    calls = []

    class Segmenter:
        def __init__(self, network, *, max_regions):
            self.made_of = network.fingerprint, max_regions

        def fit(self, dataset, *, regions, cache, progress):
            calls.append(("fit", *self.made_of, dataset.ids, regions.split))

        def save(self, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

        def segment_dataset(self, dataset, *, regions, cache, progress):
            calls.append(("segment", dataset.ids, regions.split))
            return {"test_0": np.array([[0, 1, 255]], np.uint8)}

        @classmethod
        def load(cls, path, device):
            calls.append("load")
            return cls(SimpleNamespace(fingerprint="loaded"), max_regions=0)

    def opened(seed=0):
        course = _course_with_random_weights(data, seed=seed)
        monkeypatch.setattr(
            course, "regions", lambda split: SimpleNamespace(split=split, folder=Path("0123456789abcdef"))
        )
        return course

    monkeypatch.setattr(segmenter, "Segmenter", Segmenter)
    course = opened()
    assert course.missing(["segmentation"]) == ["segmentation"]
    course.compute("segmentation")
    thirty = 30  # a fifth of the profile's proposals
    assert calls == [
        ("fit", course.network.fingerprint, thirty, ["train_0"], "trainval"),
        ("segment", ["test_0"], "test"),
    ]
    again = opened()
    assert again.missing(["segmentation"]) == []
    assert again.segmentations["test_0"].tolist() == [[0, 1, 255]] and len(calls) == 2
    assert again.segmenter.made_of == ("loaded", 0) and calls[2:] == ["load"]
    assert opened(seed=1).missing(["segmentation"]) == ["segmentation"]


def test_the_pictures_of_several_splits_are_one_data_set():
    course = workspace.Course("smoke", progress=False)
    both = course.pictures("val", "test")
    assert both.ids == [*course.dataset("val").ids, *course.dataset("test").ids]
    assert both.image(both.ids[-1]).shape == course.test.image(course.test.ids[-1]).shape
    assert both.classes == course.test.classes


def test_a_course_without_shipped_weights_fine_tunes_once(data, monkeypatch):
    unshipped = dataclasses.replace(settings.PROFILES["smoke"], finetuned=None)
    monkeypatch.setitem(settings.PROFILES, "smoke", unshipped)
    runs = []

    def finetune(network, dataset, proposals, *, out, progress):
        runs.append((network, dataset.ids, list(proposals)))
        network.with_classifier(13).save(out)
        return SimpleNamespace(network=load_network("quarter_tnet", weights=out, device="cpu"))

    monkeypatch.setattr("rcnn_helpers.finetuning.finetune", finetune)
    pretrained = load_network("quarter_tnet", weights="random", device="cpu")
    for _ in range(2):
        course = _course_with_random_weights(data)
        course.pretrained = pretrained
        assert (course.missing(["fine-tuning", "features"]) == ["fine-tuning", "features"]) is (not runs)
        course.compute("fine-tuning")
        assert course.network.n_classes == 13
        assert course.missing(["fine-tuning"]) == []
    assert runs == [(pretrained, ["train_0"], ["train_0"])]


def test_the_courses_table_tells_its_rows_apart(capsys):
    course = SimpleNamespace(
        test=SimpleNamespace(ids=["a", "b"], classes=("bus", "car"), root="somewhere"),
    )
    rows = {
        "R-CNN fc7": {"ap": {"bus": 8.0, "car": float("nan")}, "mAP": 8.0},
        "R-CNN FT fc7": {"ap": {"bus": 10.04, "car": float("nan")}, "mAP": 10.04},
        "R-CNN FT fc7 BB": {"ap": {"bus": 12.5, "car": float("nan")}, "mAP": 12.5},
    }
    run._print_result(course, {"rows": rows, "recall": 0.995, "seconds": {"pictures": 60}})
    said = capsys.readouterr().out
    lines = {line.split("  ")[1]: line.split() for line in said.splitlines() if line.startswith("  ")}
    assert lines["bus"] == ["bus", "8.0", "10.0", "12.5"]
    assert lines["car"] == ["car", "nan", "nan", "nan"]
    assert lines["mean"] == ["mean", "8.0", "10.0", "12.5"]
    assert said.index("R-CNN FT fc7 ") < said.index("R-CNN FT fc7 BB")
    assert "Recall of the proposals at 0.5 IoU: 99.5 %" in said
