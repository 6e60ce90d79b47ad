"""Table 4: its rows, the images behind their names, one run of all of them, and the steps between."""

import json

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.ablation import table4
from rcnn_helpers.ablation.table4 import (
    BETWEEN,
    FIELDS,
    STEPS,
    Roles,
    Table4Row,
    paper_table4,
    table4_rows,
    table4_steps,
    toyvoc_roles,
)
from rcnn_helpers.cli import main
from rcnn_helpers.datasets.balanced_split import Split
from rcnn_helpers.datasets.training_mix import OneClassAnnotated, ValPlusTrain
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.finetuning import FinetuneSettings, finetune
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals import propose_dataset

# A few pictures do not show every class.
pytestmark = pytest.mark.filterwarnings("ignore:class .* has no positive region")

PICTURES = {"train": 4, "val": 4, "test": 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folder that ToyVOC's pictures are drawn into, once."""
    return tmp_path_factory.mktemp("toyvoc")


@pytest.fixture(scope="module")
def roles(pictures):
    return toyvoc_roles(pictures=PICTURES, few=1, many=2, seed=0, root=pictures)


def test_the_rows_are_the_papers():
    rows = table4_rows()
    assert len(rows) == 8
    assert rows[0] == Table4Row("val2", "val1", "n/a", "n/a", "fc6")
    assert rows[5] == Table4Row("val2", "val1+train1k", "val1+train1k", "val1", "fc7")
    assert [row.name for row in rows[-2:]] == [
        "test: val+train1k FT val1+train1k fc7",
        "test: val+train1k FT val1+train1k fc7 BB",
    ]
    everything = (*rows, *BETWEEN)
    assert len({row.name for row in everything}) == len(set(everything)) == 10
    assert {row for _, *pair in STEPS for row in pair} == set(everything)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_set": "val1"}, "test_set is 'val1'"),
        ({"svm_training_set": "train"}, "no training set 'train'"),
        ({"cnn_fine_tuning_set": "val1+train2k"}, "no training set 'val1.train2k'"),
        ({"svm_training_set": "val+train1k"}, "holds val2"),
        ({"cnn_fine_tuning_set": "val"}, "holds val2"),
        ({"bbox_reg_set": "val"}, "can be val1 or n/a"),
    ],
)
def test_rows_that_cannot_be(changes, message):
    with pytest.raises(SettingsError, match=message):
        Table4Row(**changes)


def test_the_images_behind_the_names(roles):
    val1, val2 = roles.training_set("val1"), roles.test_set("val2")
    assert set(val1.ids) | set(val2.ids) == set(roles.val.ids) and not set(val1.ids) & set(val2.ids)
    few, many = roles.training_set("val1+train.5k"), roles.training_set("val1+train1k")
    assert few.val.ids == many.val.ids == val1.ids
    assert few.n_boxes_.max() == 1 and many.n_boxes_.max() == 2
    assert roles.training_set("val+train1k").val is roles.val
    assert roles.training_set("val1+train1k") is many
    assert isinstance(roles.train, OneClassAnnotated)
    for image_id in roles.train.ids:
        assert len(set(roles.train.annotation(image_id).names)) <= 1
    assert len(roles.test_set("test")) == 2


def test_without_a_test_set_rows_on_test_are_refused(roles):
    rows = np.arange(2)
    without = Roles(roles.val, Split(rows, rows + 2, np.zeros(1)), roles.train, None)
    with pytest.raises(DatasetError, match="no test set with annotations"):
        without.test_set("test")
    with pytest.raises(SettingsError, match="no rows to run"):
        table4.table4((), roles=lambda seed: without, cache="nowhere")


def test_the_papers_own_figures_give_the_papers_steps():
    frame = paper_table4().assign(name="", seed=0)
    steps = table4_steps(frame).set_index("step")
    np.testing.assert_allclose(steps["mean"], steps["paper"], atol=0.05)
    assert steps["paper"].tolist() == [3.2, 0.0, 2.4, 3.2, 1.3, 1.2]
    assert steps["verdict"].tolist() == ["holds", "no sign in the paper", *["holds"] * 4]


def test_steps_take_differences_within_a_seed():
    rows = [(Table4Row(), 10.0, 20.0), (Table4Row(svm_training_set="val1+train.5k"), 12.0, 19.0)]
    lines = [
        {name: getattr(row, name) for name in FIELDS} | {"seed": seed, "mAP": value}
        for row, *values in rows
        for seed, value in enumerate(values)
    ]
    (step,) = table4_steps(pd.DataFrame(lines)).to_dict("records")
    assert (step["mean"], step["smallest"], step["largest"], step["seeds"]) == (0.5, -1.0, 2.0, 2)
    assert step["verdict"] == "undecided" and step["paper"] == 3.2


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures):
    """The whole table on a handful of pictures, through the command: its files and its arguments."""
    folder = tmp_path_factory.mktemp("table4")
    arguments = ["many-classes", "table", "--pictures", "4,4,2", "--boxes", "1,2", "--steps", "2"]
    arguments += [
        "--batch-size",
        "8",
        "--proposals",
        "20",
        "--device",
        "cpu",
        "--cache",
        str(folder / "cache"),
    ]
    arguments += ["--csv", str(folder / "table.csv"), "--json", str(folder / "table.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCNN_CACHE", str(pictures))
        assert main(arguments) == 0
    return folder, arguments


def test_the_command_runs_every_row_and_writes_it(run, pictures, capsys, monkeypatch):
    folder, arguments = run
    frame = pd.read_csv(folder / "table.csv", keep_default_na=False)
    assert frame["name"].tolist() == [row.name for row in (*table4_rows(), *BETWEEN)]
    assert frame["mAP"].between(0, 100).all() and (frame["seed"] == 0).all()
    written = json.loads((folder / "table.json").read_text())
    assert written["command"].startswith("rcnn many-classes table --pictures 4,4,2")
    assert written["boxes_a_class"] == {"train.5k": 1, "train1k": 2}
    assert len(written["rows"]) == 10 and len(written["steps"]) == len(STEPS)
    # Asked again, it reads what it has found.
    monkeypatch.setenv("RCNN_CACHE", str(pictures))
    monkeypatch.setattr(RCNN, "fit", lambda *args, **options: pytest.fail("a row was trained again"))
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "20.9" in printed and "boxes of train help the SVMs" in printed


def test_a_row_is_what_the_steps_by_hand_give(run, roles, tmp_path):
    row = Table4Row("test", "val+train1k", "val1+train1k", "val", "fc7")
    boxes = propose_dataset(roles.val, max_boxes=20, seed=0, progress=False)
    half, whole = (ValPlusTrain(val, roles.train, 2, seed=0) for val in (roles.half(1), roles.val))
    settings = FinetuneSettings(steps=2, batch_size=8, positives=2, lr=0.003, lr_drop_every=1)
    network = finetune(
        load_network("quarter_tnet", device="cpu"),
        half,
        half.proposals(boxes),
        settings=settings,
        out=tmp_path / "tuned.safetensors",
        progress=False,
    ).network
    detector = RCNN(network, layer="fc7", max_proposals=20, seed=0)
    detector.fit(whole, proposals=whole.proposals(boxes), cache=tmp_path, progress=False)
    test = roles.test_set("test")
    test_boxes = propose_dataset(test, max_boxes=20, seed=0, progress=False)
    store = detector.extract(test, test_boxes, cache=tmp_path, progress=False)
    found = detector.detect_dataset(test, proposals=test_boxes, store=store, progress=False)
    by_hand = evaluate(found, test)
    folder, _ = run
    frame = pd.read_csv(folder / "table.csv", keep_default_na=False).set_index("name")
    assert float(frame.loc[row.name, "mAP"]) == pytest.approx(100 * by_hand.mean_ap, abs=1e-6)
    ap = [
        float(frame.loc[row.name, name]) if frame.loc[row.name, name] != "" else np.nan for name in by_hand.ap
    ]
    np.testing.assert_allclose(ap, [100 * value for value in by_hand.ap.values()], atol=1e-6)


def test_split_writes_lists_that_can_be_read(roles, tmp_path, capsys):
    toyvoc = roles.val.root
    out, file = tmp_path / "lists", tmp_path / "split.json"
    assert main(["split", "--voc", str(toyvoc), "--out", str(out), "--json", str(file)]) == 0
    halves = [(out / f"val{i}.txt").read_text().split() for i in (1, 2)]
    assert sorted(sum(halves, [])) == (toyvoc / "ImageSets/Main/val.txt").read_text().split()
    written = json.loads(file.read_text())
    assert written["halves"] == [len(half) for half in halves] and 0 <= written["max_imbalance"] <= 1
    assert "largest imbalance" in capsys.readouterr().out


def test_drawn_counts_have_no_lists_to_write(tmp_path, capsys):
    assert main(["split", "--synthetic", "--out", str(tmp_path)]) == 1
    assert "--synthetic has none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--boxes", "4,2"], ["--boxes", "4"], ["--pictures", "1,2"], ["--seeds", "x"]]
)
def test_numbers_that_make_no_sense_are_wrong_usage(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["many-classes", "table", *wrong])
    assert wrong[0] in capsys.readouterr().err
