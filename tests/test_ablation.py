"""The experiment table: rows, what they share, resuming, the paper's signs, and how it is printed."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers import settings
from rcnn_helpers.ablation import (
    TABLES,
    Row,
    ablate,
    class_columns,
    format_signs,
    format_table,
    paper_row,
    seed_run,
    signs,
    summary,
    table_rows,
)
from rcnn_helpers.cli import main
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.finetuning import FinetuneSettings, finetune
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals import propose_dataset

QUICK = FinetuneSettings(steps=2, batch_size=8, positives=2)
N_PROPOSALS = 30
# They share at every stage: two networks, two stores, three SVM trainings, a softmax, one set of regressors.
ROWS = (
    Row(box_regression=1),
    Row(layer="fc6", fine_tuned=False),
    Row(),
    Row(classifier="softmax", box_regression=1),
    Row(negative_iou=0.5),
)
N_IMAGES = 3 + 2  # trained on and judged

# Three pictures do not show every class.
pytestmark = pytest.mark.filterwarnings("ignore:class .* has no positive region")


@pytest.fixture(scope="module")
def open_tiny(tmp_path_factory):
    """A few ToyVOC pictures: a function from split and seed to a data set."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    root = tmp_path_factory.mktemp("toyvoc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(settings.PROFILES, "tiny", settings.Profile("tiny", 3, 1, 2, "quarter_tnet", "fc7", 30))
        opened = {
            (split, seed): open_toyvoc(split, profile="tiny", seed=seed, root=root, n_jobs=1)
            for seed in (0, 1)
            for split in ("train", "trainval", "test")
        }
    return lambda split, seed=0: opened[split, seed]


@pytest.fixture(scope="module")
def tiny_data(open_tiny):
    return lambda seed: (open_tiny("train", seed), open_tiny("test", seed))


def run(rows, data, cache, seeds=(0,), **options):
    options = {"finetune_settings": QUICK, "max_proposals": N_PROPOSALS, "device": "cpu"} | options
    return ablate(rows, data=data, seeds=seeds, cache=cache, progress=False, **options)


def count_work(patch) -> list[str]:
    """A list that gets an entry each time one of the dear steps is taken."""
    from rcnn_helpers import bbox_regression, features, proposals, svm

    taken = []

    def counted(name, step):
        def take(*arguments, **options):
            taken.append(name)
            return step(*arguments, **options)

        return take

    for owner, name in (
        (proposals, "propose"),
        (seed_run, "finetune"),
        (features, "extract"),
        (svm, "train_detector_svms"),
        (bbox_regression.BoxRegressors, "fit_chunks"),
        (RCNN, "detect_dataset"),
    ):
        patch.setattr(owner, name, counted(name, getattr(owner, name)))
    return taken


@pytest.fixture
def work(monkeypatch):
    return count_work(monkeypatch)


@pytest.fixture(scope="module")
def first_run(tiny_data, tmp_path_factory):
    """The frame of `ROWS` with two seeds, its cache, and the work it took."""
    cache = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        taken = count_work(patch)
        return run(ROWS, tiny_data, cache, seeds=(0, 1)), cache, Counter(taken)


# -- running -----------------------------------------------------------------------------------------------


def test_lines_come_in_the_order_asked_with_all_their_attributes(first_run, open_tiny):
    frame, _, _ = first_run
    assert list(zip(frame["name"], frame["seed"], strict=True)) == [
        (row.name, seed) for row in ROWS for seed in (0, 1)
    ]
    assert class_columns(frame) == list(open_tiny("train").classes)
    assert frame["box_regression"].tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 0, 0]
    assert frame["positive_iou"].isna().all()
    assert (frame["seconds"] > 0).all()
    # A class that no picture shows has no AP and does not count in the mean.
    assert frame[class_columns(frame)].isna().any(axis=None)
    np.testing.assert_allclose(frame["mAP"], frame[class_columns(frame)].mean(axis=1))


def test_nothing_is_computed_twice(first_run):
    _, _, taken = first_run
    assert taken == {
        "propose": 2 * N_IMAGES,  # once a seed
        "finetune": 2,
        "extract": 2 * 2 * N_IMAGES,  # once for the pre-trained and once for the fine-tuned network
        "train_detector_svms": 2 * 3,
        "fit_chunks": 2 * 1,
        "detect_dataset": 2 * len(ROWS),
    }


def test_a_second_call_reads_everything_and_works_on_new_rows_alone(first_run, tiny_data, work):
    frame, cache, _ = first_run
    pd.testing.assert_frame_equal(run(ROWS, tiny_data, cache, seeds=(0, 1)), frame)
    assert work == []
    more = run((*ROWS, Row(layer="fc6")), tiny_data, cache, seeds=(0, 1))
    pd.testing.assert_frame_equal(more.iloc[: len(frame)], frame)
    assert Counter(work) == {"train_detector_svms": 2, "detect_dataset": 2}


def test_an_interrupted_call_loses_the_row_at_work_alone(first_run, tiny_data, tmp_path, work, monkeypatch):
    frame, _, _ = first_run
    detect = RCNN.detect_dataset

    def interrupted(*arguments, **options):
        if work.count("detect_dataset") == 2:
            raise KeyboardInterrupt
        return detect(*arguments, **options)

    monkeypatch.setattr(RCNN, "detect_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(ROWS, tiny_data, tmp_path)
    assert len(list((tmp_path / "results").iterdir())) == 2
    monkeypatch.setattr(RCNN, "detect_dataset", detect)
    work.clear()
    resumed = run(ROWS, tiny_data, tmp_path)
    # The row at work was FT fc7: its SVMs are trained again, and those of the other threshold are new.
    assert Counter(work) == {"detect_dataset": 3, "train_detector_svms": 2, "fit_chunks": 1}
    uninterrupted = frame[frame["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), uninterrupted.drop(columns="seconds"))


def test_a_row_is_what_the_stages_give_one_by_one(first_run, tiny_data, tmp_path):
    frame, _, _ = first_run
    train, test = tiny_data(1)
    boxes, test_boxes = (
        propose_dataset(d, max_boxes=N_PROPOSALS, seed=1, progress=False) for d in (train, test)
    )
    pretrained = load_network("quarter_tnet", device="cpu")
    weights = tmp_path / "tuned.safetensors"
    finetune(pretrained, train, boxes, settings=replace(QUICK, seed=1), out=weights, progress=False)
    tuned = load_network("quarter_tnet", weights=weights, device="cpu")
    for network, row in ((tuned, ROWS[0]), (pretrained, ROWS[1]), (tuned, ROWS[3])):
        detector = RCNN(
            network,
            layer=row.layer,
            classifier=row.classifier,
            box_regression=row.box_regression == 1,
            seed=1,
        )
        # With a cache, features pass through a store and its float16, as in the table.
        detector.fit(train, proposals=boxes, cache=tmp_path / row.name, progress=False)
        store = detector.extract(test, test_boxes, cache=tmp_path / row.name, progress=False)
        found = detector.detect_dataset(test, proposals=test_boxes, store=store, progress=False)
        expected = evaluate(found, test)
        line = frame[(frame["name"] == row.name) & (frame["seed"] == 1)].iloc[0]
        assert line["mAP"] == pytest.approx(100 * expected.mean_ap)
        for name, ap in expected.ap.items():
            assert line[name] == pytest.approx(100 * ap, nan_ok=True)


def test_features_are_removed_when_no_row_needs_them(first_run, tiny_data, tmp_path):
    frame, _, _ = first_run
    dropped = run(ROWS[1:3], tiny_data, tmp_path, keep_features=False)
    assert list((tmp_path / "features").rglob("*.safetensors")) == []
    expected = frame[(frame["seed"] == 0) & frame["name"].isin(dropped["name"])]["mAP"].tolist()
    assert dropped["mAP"].tolist() == expected


def test_iterated_regression_runs_on_the_same_detector(first_run, tiny_data, work):
    _, cache, _ = first_run
    run((Row(box_regression=1), Row(box_regression=2)), tiny_data, cache)
    counts = Counter(work)
    assert (counts["train_detector_svms"], counts["fit_chunks"], counts["detect_dataset"]) == (1, 1, 1)
    assert counts["extract"] <= 2  # the regressed boxes of each test picture, and no proposal


class Measured(list):
    """Rows that were measured, with results made up."""

    def measure(self, run_of_seed, row, pending):
        self.append((run_of_seed.seed, row.name))
        return {"name": row.name, "ap": dict.fromkeys(run_of_seed.test.classes, 50.0), "mAP": 50.0}


@pytest.fixture
def measured(monkeypatch):
    rows = Measured()
    monkeypatch.setattr(seed_run.SeedRun, "_measure", lambda *arguments: rows.measure(*arguments))
    return rows


def test_whatever_decides_a_result_makes_it_anew(tiny_data, open_tiny, tmp_path, measured):
    plain, tuned = Row(fine_tuned=False), Row()

    def also_found(**options):
        """Names of the rows that have to be worked out with these options."""
        measured.clear()
        run((plain, tuned), options.pop("data", tiny_data), tmp_path, **options)
        return [name for _, name in measured]

    both = ["fc7", "FT fc7"]
    assert also_found() == both
    assert also_found() == []
    assert also_found(max_proposals=N_PROPOSALS - 1) == both
    assert also_found(metric="area") == both
    assert also_found(seeds=(1,)) == both
    assert also_found(weights="random") == both
    assert also_found(finetune_settings=replace(QUICK, steps=3)) == ["FT fc7"]
    assert also_found(finetune_settings={"quarter_tnet": replace(QUICK, steps=3)}) == []
    assert also_found(finetune_settings=replace(QUICK, seed=9)) == []  # the row's seed is taken

    train, test = tiny_data(0)
    assert also_found(data=lambda seed: (train.subset(train.ids[:2]), test)) == both
    assert also_found(data=lambda seed: (train, test.subset(test.ids[:1]))) == both
    relabelled = type(train)(train.root, train.split, classes=train.classes)
    annotation = train.annotation(train.ids[0])
    relabelled._annotations[train.ids[0]] = replace(annotation, boxes=annotation.boxes + 1)
    assert also_found(data=lambda seed: (relabelled, test)) == both
    assert also_found() == []


def test_a_row_by_another_name_is_the_same_row(tiny_data, tmp_path, measured):
    rows = (Row(), Row("T-Net"), Row())
    frame = run(rows, tiny_data, tmp_path)
    assert measured == [(0, "FT fc7")]
    assert frame["name"].tolist() == ["FT fc7", "T-Net"]


def test_rows_that_share_features_run_together(tiny_data, tmp_path, measured):
    rows = (Row(), Row(fine_tuned=False), Row(layer="fc6"), Row(fine_tuned=False, layer="fc6"))
    run((*rows, Row(box_regression=1), Row(fine_tuned=False, padding=0)), tiny_data, tmp_path, seeds=(1, 0))
    assert [seed for seed, _ in measured] == 6 * [1] + 6 * [0]
    assert [name for _, name in measured[:6]] == [
        "fc7 warp p=0",
        "fc6",
        "fc7",
        "FT fc6",
        "FT fc7",
        "FT fc7 BB",
    ]


def test_given_weights_stand_for_fine_tuning(first_run, tiny_data, tmp_path, work):
    frame, cache, _ = first_run
    (mine,) = [
        path
        for path in (cache / "finetuned").glob("*.safetensors")
        if path != _finetuned_of(tiny_data, cache)
    ]
    work.clear()
    found = run((Row(),), tiny_data, tmp_path, seeds=(1,), finetuned=mine)
    assert "finetune" not in work
    expected = frame[(frame["name"] == "FT fc7") & (frame["seed"] == 1)]
    assert found["mAP"].tolist() == expected["mAP"].tolist()


def _finetuned_of(tiny_data, cache):
    """The file that the first run has made for seed 0."""
    options = seed_run.RunOptions(cache, {}, None, QUICK, N_PROPOSALS, "11point", True, "cpu", False)
    return seed_run.SeedRun(0, *tiny_data(0), seed_run.PretrainedNetworks(options), options)._finetuned_path(
        Row()
    )


def test_given_weights_must_fit(tiny_data, tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(SettingsError, match="no file .*weights.safetensors.*rcnn finetune"):
        run((Row(),), tiny_data, tmp_path, finetuned=path)
    load_network("quarter_tnet", device="cpu").save(path)
    with pytest.raises(SettingsError, match="77 outputs.* 13"):
        run((Row(),), tiny_data, tmp_path, finetuned=path)
    with pytest.raises(SettingsError, match=r"seeds \[0, 1\]"):
        run((Row(),), tiny_data, tmp_path, seeds=(0, 1), finetuned=path)
    with pytest.raises(SettingsError, match="no row uses"):
        run((Row(fine_tuned=False),), tiny_data, tmp_path, finetuned=path)


def test_calls_that_contradict_themselves_are_refused(tiny_data, open_tiny, tmp_path, measured):
    with pytest.raises(SettingsError, match="no rows"):
        run((), tiny_data, tmp_path)
    with pytest.raises(SettingsError, match="called 'mine'"):
        run((Row("mine"), Row("mine", layer="fc6")), tiny_data, tmp_path)
    for seeds in ((), (0, 0), (-1,)):
        with pytest.raises(SettingsError, match="seeds are"):
            run((Row(),), tiny_data, tmp_path, seeds=seeds)
    with pytest.raises(SettingsError, match="quarter_tnet, alexnet"):
        run((Row(), Row("other", network="alexnet")), tiny_data, tmp_path, weights="random")
    with pytest.raises(SettingsError, match="weights are given for tnet"):
        run((Row(),), tiny_data, tmp_path, weights={"tnet": "random"})
    train = open_tiny("train")
    with pytest.raises(DatasetError, match="3 images are both trained on and judged"):
        run((Row(),), lambda seed: (open_tiny("trainval"), train), tmp_path)
    cars = type(train)(train.root, "test", classes=("car",))
    with pytest.raises(DatasetError, match="open both with the same list"):
        run((Row(),), lambda seed: (train, cars), tmp_path)
    assert measured == []


def test_labels_decide_how_a_row_is_fine_tuned(tiny_data, tmp_path):
    options = seed_run.RunOptions(tmp_path, {}, None, QUICK, 10, "11point", True, "cpu", False)
    of_seed = seed_run.SeedRun(1, *tiny_data(1), seed_run.PretrainedNetworks(options), options)
    overlap = of_seed._finetune_settings(Row())
    assert overlap == replace(QUICK, seed=1)
    ground_truth = of_seed._finetune_settings(Row(labels="ground_truth", padding=0))
    # App. B: objects alone are positives, background lies below 0.3.
    assert ground_truth == replace(QUICK, seed=1, positive_iou=1.0, negative_iou=0.3, padding=0)
    far = of_seed._finetune_settings(Row(labels="overlap_far"))
    assert far == replace(QUICK, seed=1, positive_iou=0.5, negative_iou=0.3)
    near = of_seed._finetune_settings(Row(labels="ground_truth_near"))
    assert near == replace(QUICK, seed=1, positive_iou=1.0, negative_iou=0.5)


# -- rows --------------------------------------------------------------------------------------------------


def test_tables_hold_the_papers_comparisons():
    names = {table: [row.name for row in rows] for table, rows in TABLES.items()}
    assert names["table2"] == ["pool5", "fc6", "fc7", "FT pool5", "FT fc6", "FT fc7", "FT fc7 BB"]
    assert names["classifier"] == ["FT fc7", "FT softmax"]
    assert names["warp"] == ["fc7", "fc7 warp p=0", "fc7 square+context p=16", "fc7 square p=16"]
    assert names["negatives"][2:4] == ["FT fc7 neg 0.2", "FT fc7"]
    assert names["positives"] == ["fc7", "fc7 pos 0.5", "FT fc7", "FT fc7 pos 0.5"]
    assert names["labels"] == [
        "FT fc7",
        "FT fc7 GT labels",
        "FT fc7 labels .5/.3",
        "FT fc7 GT labels/.5",
    ]
    assert names["iteration"] == ["FT fc7", "FT fc7 BB", "FT fc7 BB x2", "FT fc7 BB x3"]
    assert [row.network for row in TABLES["table3"]] == ["tnet", "tnet", "vgg16", "vgg16"]
    assert names["table3"] == ["T-Net", "T-Net BB", "O-Net", "O-Net BB"]


def test_tables_of_another_network():
    rows = table_rows(("table2", "negatives"), network="alexnet")
    assert len(rows) == 7 + 5  # FT fc7 stands in both
    assert {row.network for row in rows} == {"alexnet"}
    # SqueezeNet has pool5 alone, and no softmax that follows from it.
    rows = table_rows(("table2", "classifier"), network="squeezenet1_1")
    assert [row.name for row in rows] == ["pool5", "FT pool5", "FT pool5 BB"]
    assert table_rows(("table3",), network="alexnet") == TABLES["table3"]
    with pytest.raises(SettingsError, match="no table 'table9'.*table2"):
        table_rows(("table9",))


def test_a_row_is_read_from_text():
    row = Row.parse("layer=fc6, fine_tuned=no,negative_iou=0.2")
    assert row == Row("fc6 neg 0.2", layer="fc6", fine_tuned=False, negative_iou=0.2)
    row = Row.parse("name=mine,box_regression=2,positive_iou=0.5,padding=0,warp_mode=square", network="tnet")
    assert row == Row("mine", "tnet", box_regression=2, positive_iou=0.5, padding=0, warp_mode="square")
    assert Row.parse("positive_iou=none") == Row()
    assert Row.parse("network=vgg16").name == "vgg16 FT fc7"
    assert Row.parse("network=vgg16", network="vgg16").name == "FT fc7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers=fc6", r"'layers=fc6'.*layer=pool5\|.*fc6.*fine_tuned=yes\|no"),
        ("fc6", "'fc6'.*KEY=VALUE"),
        ("labels", r"labels=overlap\|ground_truth"),
        ("layer=fc9", "no layer 'fc9'; it has pool5, fc6, fc7"),
        ("fine_tuned=perhaps", "fine_tuned is 'perhaps' in a row; give yes or no"),
        ("box_regression=yes", "box_regression is 'yes' in a row; give a whole number"),
        ("box_regression=-1", "neither can be below 0"),
        ("negative_iou=low", "give a number"),
        ("negative_iou=1.2", "an IoU lies between 0 and 1"),
        ("positive_iou=2", "an IoU lies between 0 and 1"),
        ("network=resnet", "choose one of quarter_tnet, tnet"),
        ("classifier=tree", "choose one of svm, softmax"),
        ("warp_mode=round", "choose one of warp, square_context"),
        ("labels=mine", "choose one of overlap, ground_truth"),
        ("labels=ground_truth,fine_tuned=no", "has no labels; add fine_tuned=yes"),
        ("classifier=softmax,fine_tuned=no", "use fine_tuned=yes"),
        ("classifier=softmax,layer=fc6", "softmax reads fc7"),
        ("classifier=softmax,network=squeezenet1_1,layer=pool5", "softmax reads fc7"),
        ("classifier=softmax,negative_iou=0.1", "trains no SVMs"),
    ],
)
def test_a_wrong_row_is_refused_in_words(text, message):
    with pytest.raises(SettingsError, match=message):
        Row.parse(text)


# -- reading the results -----------------------------------------------------------------------------------


def frame_of(results: dict[Row, list[float]], classes=("car", "dog")) -> pd.DataFrame:
    """A frame as `ablate` returns it, with mAP by row and seed; the classes lie 1 above and below it."""
    records = []
    for row, values in results.items():
        for seed, value in enumerate(values):
            aps = {classes[0]: value + 1, **dict.fromkeys(classes[1:-1], value), classes[-1]: value - 1}
            attributes = {key: getattr(row, key) for key in Row.__dataclass_fields__}
            records.append({**attributes, "seed": seed, **aps, "mAP": value, "seconds": 10.0 * (seed + 1)})
    return pd.DataFrame(records).astype({"positive_iou": float})


def test_summary_is_mean_and_spread_over_seeds():
    frame = frame_of(
        {Row(layer="pool5"): [40, 42, 47], Row(): [50, 50, 50], Row(positive_iou=0.5): [1, 2, 3]}
    )
    table = summary(frame)
    assert table.index.tolist() == ["FT pool5", "FT fc7", "FT fc7 pos 0.5"]
    assert table["mAP"].tolist() == [43, 50, 2]
    assert table["spread"].tolist() == pytest.approx([np.sqrt((9 + 1 + 16) / 2), 0, 1])
    assert table["car"].tolist() == [44, 51, 3]
    assert table["seeds"].tolist() == [3, 3, 3]
    assert table["seconds"].tolist() == [20, 20, 20]
    assert np.isnan(summary(frame[frame["seed"] == 0])["spread"]).all()


def test_signs_are_paired_by_seed():
    table = signs(frame_of({Row(fine_tuned=False): [30, 50, 40], Row(): [33, 51, 45]}))
    (line,) = table.to_dict("records")
    assert line["claim"] == "fine-tuning helps"
    assert line["source"] == "sec. 3.2, Table 2"
    assert line["compared"] == "FT fc7 - fc7"
    # Differences 3, 1 and 5, though the seeds themselves are 20 apart.
    assert (line["mean"], line["spread"], line["smallest"], line["largest"]) == (3, 2, 1, 5)
    assert (line["seeds"], line["verdict"]) == (3, "holds")
    assert line["paper"] == "+9.5"  # Table 2: 54.2 - 44.7


def verdicts(results):
    return dict(zip(*(signs(frame_of(results))[name] for name in ("claim", "verdict")), strict=True))


@pytest.mark.parametrize(
    ("differences", "verdict", "verdict_where_none_supports"),
    [
        ([1, 2, 3], "holds", "holds"),
        ([-1, -2, -3], "does not hold", "does not hold"),
        ([1, -1, 3], "undecided", "undecided"),
        ([0, 2, 3], "undecided", "holds"),
        ([0, 0, 0], "does not hold", "holds"),
        ([0, -1, -1], "does not hold", "undecided"),
    ],
)
def test_verdicts(differences, verdict, verdict_where_none_supports):
    better = [10 + difference for difference in differences]
    assert verdicts({Row(box_regression=1): better, Row(): [10, 10, 10]}) == {"box regression helps": verdict}
    # "Does not help" is a claim that no difference supports, too.
    assert verdicts({Row(box_regression=1): better, Row(box_regression=2): [10, 10, 10]}) == {
        "iterating box regression 2 times does not help": verdict_where_none_supports
    }


def test_every_claim_is_found_in_the_tables():
    rows = dict.fromkeys(row for table in TABLES.values() for row in table)
    results = {row: [100.0 - number] for number, row in enumerate(rows)}
    table = signs(frame_of(results))
    by_claim = {claim: lines["compared"].tolist() for claim, lines in table.groupby("claim", sort=False)}
    assert by_claim == {
        "fine-tuning helps": ["FT pool5 - pool5", "FT fc6 - fc6", "FT fc7 - fc7"],
        "fine-tuning helps fc6 more than pool5": ["(FT fc6 - fc6) - (FT pool5 - pool5)"],
        "fine-tuning helps fc7 more than pool5": ["(FT fc7 - fc7) - (FT pool5 - pool5)"],
        "box regression helps": ["FT fc7 BB - FT fc7", "T-Net BB - T-Net", "O-Net BB - O-Net"],
        "SVMs beat the softmax": ["FT fc7 - FT softmax"],
        "negatives below IoU 0.3 beat 0": ["FT fc7 - FT fc7 neg 0"],
        "negatives below IoU 0.3 beat 0.5": ["FT fc7 - FT fc7 neg 0.5"],
        "context helps: p = 16 beats 0": ["fc7 - fc7 warp p=0"],
        "warping beats squares with context": ["fc7 - fc7 square+context p=16"],
        "warping beats squares without": ["fc7 - fc7 square p=16"],
        "SVM positives: ground truth alone beats IoU >= 0.5": [
            "fc7 - fc7 pos 0.5",
            "FT fc7 - FT fc7 pos 0.5",
        ],
        "fine-tuning: its own labels beat those of the SVMs": ["FT fc7 - FT fc7 GT labels"],
        "iterating box regression 2 times does not help": ["FT fc7 BB - FT fc7 BB x2"],
        "iterating box regression 3 times does not help": ["FT fc7 BB - FT fc7 BB x3"],
        "the O-Net beats the T-Net": ["O-Net - T-Net", "O-Net BB - T-Net BB"],
    }
    paper = dict(zip(table["compared"], table["paper"], strict=True))
    assert paper["FT pool5 - pool5"] == "+3.1"  # 47.3 - 44.2
    assert paper["(FT fc7 - fc7) - (FT pool5 - pool5)"] == "+6.4"  # 9.5 - 3.1
    assert paper["FT fc7 BB - FT fc7"] == "+4.3"  # 58.5 - 54.2
    assert paper["O-Net BB - O-Net"] == "+3.8"  # 66.0 - 62.2
    assert paper["O-Net - T-Net"] == "+8.0"
    assert paper["FT fc7 - FT softmax"] == "+3.3"  # 54.2 - 50.9, App. B
    assert paper["FT fc7 - FT fc7 GT labels"] == ""


def test_signs_need_rows_that_differ_in_the_claim_alone():
    # Fine-tuned with square crops and not with warped ones; and 0.3 against 0.5 at different layers.
    rows = (Row(warp_mode="square"), Row(fine_tuned=False, layer="fc6"), Row(negative_iou=0.5))
    assert signs(frame_of({row: [1.0, 2.0] for row in rows})).empty


def test_seeds_that_lack_one_of_the_rows_do_not_count():
    frame = frame_of({Row(): [50, 60, 70], Row(fine_tuned=False): [40]})
    (line,) = signs(frame).to_dict("records")
    assert (line["mean"], line["seeds"], line["verdict"]) == (10, 1, "holds")
    assert np.isnan(line["spread"])


def test_a_frame_read_back_from_csv_says_the_same(tmp_path):
    frame = frame_of(
        {row: [100.0 - n, 99.5 - n] for n, row in enumerate(TABLES["table2"] + TABLES["positives"])}
    )
    frame = frame.drop_duplicates(["name", "seed"])
    frame.to_csv(tmp_path / "frame.csv", index=False)
    again = pd.read_csv(tmp_path / "frame.csv")
    pd.testing.assert_frame_equal(signs(again), signs(frame))
    pd.testing.assert_frame_equal(summary(again), summary(frame))
    assert format_table(again) == format_table(frame)


# -- the paper's rows and printing -------------------------------------------------------------------------


def test_the_papers_rows_are_found():
    assert paper_row(Row(fine_tuned=False, layer="pool5"))["mAP"] == 44.2
    assert paper_row(Row(network="tnet", box_regression=1))["aeroplane"] == 68.1
    assert paper_row(Row(network="alexnet")).name == "R-CNN FT fc7"
    assert paper_row(Row(network="vgg16", box_regression=1)).name == "R-CNN O-Net BB"
    without = (
        Row(box_regression=1, layer="fc6"),
        Row(network="vgg16", layer="fc6"),
        Row(network="vgg16", fine_tuned=False),
        Row(box_regression=2),
        Row(classifier="softmax"),
        Row(negative_iou=0.2),
        Row(padding=0),
    )
    assert [paper_row(row) for row in without] == [None] * len(without)


def test_the_table_is_printed_like_the_papers():
    frame = frame_of({Row(fine_tuned=False): [40, 44], Row(): [50, 50.5]}, ("aeroplane", "car", "tvmonitor"))
    assert format_table(frame).splitlines() == [
        "        aero   car    tv         mAP  seconds",
        "fc7     43.0  42.0  41.0  42.0 ± 2.8       15",
        "FT fc7  51.2  50.2  49.2  50.2 ± 0.4       15",
    ]
    one_seed = frame[frame["seed"] == 0]
    # Means of the paper's numbers over these three classes: (57.6 + 58.9 + 57.4) / 3 and (64.2 + 71.0 + 64.7) / 3.
    assert format_table(one_seed, paper=True).splitlines() == [
        "                       aero   car    tv   mAP  seconds",
        "fc7                    41.0  40.0  39.0  40.0       10",
        "  paper: R-CNN fc7     57.6  58.9  57.4  58.0",
        "FT fc7                 51.0  50.0  49.0  50.0       10",
        "  paper: R-CNN FT fc7  64.2  71.0  64.7  66.6",
    ]


def test_what_does_not_fit_the_screen_is_printed_below():
    frame = frame_of({Row(): [50]}, ("car", "dog", "lamp"))
    assert format_table(frame, width=24).splitlines() == [
        "         car   dog  lamp",
        "FT fc7  51.0  50.0  49.0",
        "",
        "         mAP  seconds",
        "FT fc7  50.0       10",
    ]
    assert max(map(len, format_table(frame, width=12).splitlines())) <= 15


def test_a_class_that_is_not_vocs_has_no_paper_beside_it():
    frame = frame_of({Row(): [50]}, ("car", "lamp"))
    assert format_table(frame, paper=True) == format_table(frame)


def test_class_names_stay_apart_when_they_are_cut():
    frame = frame_of({Row(): [50]}, ("traffic light", "traffic sign", "car"))
    assert format_table(frame).splitlines()[0] == "        traffic l  traffic s   car   mAP  seconds"


def test_a_class_without_objects_is_printed_as_a_dash():
    frame = frame_of({Row(): [50]}).assign(dog=np.nan)
    assert format_table(frame).splitlines()[1].split() == ["FT", "fc7", "51.0", "-", "50.0", "10"]


def test_signs_are_printed_claim_by_claim():
    results = {
        Row(fine_tuned=False, layer="pool5"): [30, 40],
        Row(fine_tuned=False): [35, 45],
        Row(layer="pool5"): [34, 41],
        Row(): [36, 49],
    }
    assert format_signs(signs(frame_of(results))).splitlines() == [
        "                                             points         range  seeds  paper    verdict",
        "fine-tuning helps (sec. 3.2, Table 2)",
        "    FT pool5 - pool5                     +2.5 ± 2.1  +1.0 to +4.0      2   +3.1      holds",
        "    FT fc7 - fc7                         +2.5 ± 2.1  +1.0 to +4.0      2   +9.5      holds",
        "fine-tuning helps fc7 more than pool5 (sec. 3.2, Table 2)",
        "    (FT fc7 - fc7) - (FT pool5 - pool5)  +0.0 ± 4.2  -3.0 to +3.0      2   +6.4  undecided",
    ]
    assert "No rows here" in format_signs(signs(frame_of({Row(): [1]})))


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_runs_saves_and_resumes(open_tiny, tmp_path, capsys):
    root = str(open_tiny("train").root)
    arguments = ["ablate", "--voc", root, "--split", "train", "--test-split", "test", "--seeds", "0,1"]
    arguments += ["--row", "fine_tuned=no", "--row", "fine_tuned=no,negative_iou=0.5", "--proposals", "20"]
    arguments += ["--network", "quarter_tnet", "--max-test-images", "1", "--device", "cpu"]
    arguments += ["--cache", str(tmp_path / "cache"), "--csv", str(tmp_path / "rows.csv")]
    arguments += ["--json", str(tmp_path / "all.json")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "fc7 neg 0.5" in printed and "negatives below IoU 0.3 beat 0.5 (sec. 2.3)" in printed
    assert "2 rows, seeds 0, 1; quarter_tnet; training on train, judging on test" in printed
    frame = pd.read_csv(tmp_path / "rows.csv")
    assert frame["name"].tolist() == ["fc7", "fc7", "fc7 neg 0.5", "fc7 neg 0.5"]
    saved = json.loads((tmp_path / "all.json").read_text())
    assert [line["mAP"] for line in saved["rows"]] == pytest.approx(frame["mAP"].tolist())
    assert saved["signs"][0]["seeds"] == 2
    assert saved["command"].startswith("rcnn ablate ") and str(tmp_path / "all.json") in saved["command"]
    assert " cores of " in saved["machine"] and len(saved["date"].split("-")) == 3

    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "results").iterdir()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "results").iterdir()} == results


def test_the_command_draws_toyvoc_with_each_seed(open_tiny, tmp_path, measured, monkeypatch):
    from rcnn_helpers.datasets import toyvoc

    opened = []

    def fake(split, *, profile, seed, counts):
        opened.append((profile, seed, counts))
        return open_tiny(split, seed)

    monkeypatch.setattr(toyvoc, "open_toyvoc", fake)
    arguments = ["ablate", "--split", "train", "--test-split", "test", "--profile", "smoke", "--seeds", "0,1"]
    arguments += ["--cache", str(tmp_path), "--tables", "table2,classifier"]
    assert main(arguments) == 0
    assert opened == [("smoke", 0, None), ("smoke", 1, None)]
    assert len(measured) == 2 * (7 + 1)

    opened.clear()
    assert main([*arguments, "--pictures", "430, 70, 100"]) == 0
    assert opened[0] == ("smoke", 0, {"train": 430, "val": 70, "test": 100})


def test_the_commands_schedule_goes_to_fine_tuning(open_tiny, tmp_path, monkeypatch):
    from rcnn_helpers import ablation

    def stop(rows, *, finetune_settings, **options):
        given.update(finetune_settings)
        raise DatasetError("far enough")

    given = {}
    monkeypatch.setattr(ablation, "ablate", stop)
    arguments = [
        "ablate",
        "--voc",
        str(open_tiny("train").root),
        "--split",
        "train",
        "--cache",
        str(tmp_path),
    ]
    schedule = ["--lr", "0.002", "--lr-drop-every", "5"]
    assert main([*arguments, "--batch-size", "40", "--steps", "6", *schedule]) == 1
    chosen = given["quarter_tnet"]
    assert (chosen.batch_size, chosen.positives, chosen.steps) == (40, 10, 6)
    assert (chosen.lr, chosen.lr_drop_every) == (0.002, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "layer=fc9"], "no layer 'fc9'"),
        (["--split", "trainval", "--test-split", "train"], "both trained on and judged"),
        (["--classes", "car,dgo"], "no object of dgo"),
        (["--pictures", "430,70,100"], "with --voc use --max-images"),
        (["--finetuned", "nothing.safetensors"], "rcnn finetune --out"),
        (["--weights", "alexnet=random", "--row", "fine_tuned=no"], "weights are given for alexnet"),
    ],
)
def test_the_command_says_what_is_wrong(open_tiny, tmp_path, arguments, message, capsys):
    root = str(open_tiny("train").root)
    command = ["ablate", "--voc", root, "--cache", str(tmp_path), "--device", "cpu", *arguments]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tables", "table9"],
        ["--seeds", "one"],
        ["--seeds", "0,-1"],
        ["--pictures", "200"],
        ["--pictures", "9,0,9"],
    ],
)
def test_wrong_usage_of_the_command(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(["ablate", *arguments])
    assert error.value.code == 2


def test_the_tables_on_offer_are_those_of_the_package():
    from rcnn_helpers.cli import options

    assert tuple(TABLES) == options.TABLES
