"""The plan of the paper's procedure: worked out by hand on round numbers, and the command around it."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import planning
from rcnn_helpers.cli import main
from rcnn_helpers.cli.plan import DATA_SETS
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.planning import Accelerator, Costs, Workload, hours_on, money, most_speedup, plan, total

# Ten images, a hundred proposals each: numbers to reckon with by hand.
WORK = Workload("ten", images=10, objects=20, test_images=5, classes=2, download_gb=4.5, steps=36)
COSTS = Costs(
    network="tnet",
    device="cpu",
    precision="float32",
    machine="a machine",
    date="2026-11-23",
    pool5=100,
    deepest=10,
    decode=1.0,
    propose=2.0,
    forward=0.36,
    deeper=0.036,
    write=0.03,
    read=0.06,
    score=0.001,
    search=0.003,
    solve=0.0009,
    train_window=0.5,
    gflops=1e-6,
    stored=1e6,
    resident=1.0,
    forward_memory=2.0,
    train_memory=3.0,
    forward_gflop=2.0,
    deeper_gflop=1.0,
)
# A second for 1,000 GFLOP forward, half a second in training.
CARD = Accelerator("a card", forward_tflops=1.0, train_tflops=2.0, source="")


def stage(name, work=WORK, costs=COSTS, **options):
    (found,) = [s for s in plan(work, costs, proposals=100, batch=10, card=CARD, **options) if s.name == name]
    return found


def seconds(value):
    return pytest.approx(value / 3600)


def test_the_stages_come_in_the_order_in_which_they_are_run():
    assert [s.name for s in plan(WORK, COSTS)] == [
        "download",
        "proposals",
        "fine-tuning",
        "features, train",
        "features, test",
        "SVMs",
        "box regression",
        "thresholds",
        "detection, test",
    ]


def test_download():
    # 4.5 GB are 36,000 megabits: six minutes at 100 a second.
    assert stage("download").hours == pytest.approx(0.1)
    assert stage("download", megabits=10).hours == pytest.approx(1.0)
    assert stage("download").disk_gb == 4.5


def test_proposals():
    found = stage("proposals")
    assert found.hours == seconds(15 * (1 + 2))
    assert found.disk_gb == pytest.approx(15 * 100 * 16 / 1e9)
    assert found.spread == "images"


def test_fine_tuning():
    found = stage("fine-tuning")
    # Ten images to decode; 36 batches of 10 windows, half a second each.
    assert found.hours == seconds(10 + 360 * 0.5)
    # Three times the forward pass's 3 GFLOP, 360 windows, 2,000 GFLOP a second.
    assert found.gpu_hours == seconds(10 + 360 * 9 / 2000)
    assert (found.memory_gb, found.spread) == (3.0, "batches")


def test_features():
    train, test = stage("features, train"), stage("features, test")
    # 10 x 100 proposals and 20 objects; 5 x 100 proposals.
    assert train.hours == seconds(10 * 1 + 1020 * (0.36 + 0.03))
    assert test.hours == seconds(5 * 1 + 500 * (0.36 + 0.03))
    assert train.gpu_hours == seconds(10 * 1 + 1020 * 0.03 + 1020 * 2 / 1000)
    assert (train.disk_gb, test.disk_gb) == (pytest.approx(1.02), pytest.approx(0.5))
    assert train.memory_gb == 2.0


def test_svms():
    found = stage("SVMs")
    reading = 2 * 1020 * 0.06
    deeper = 2 * 1020 * 0.036
    mining = 1000 * 2 * 0.001
    solving = 2 * planning.SVM_TRAININGS * planning.SVM_ROWS * 0.0009
    assert found.hours == seconds(reading + deeper + mining + solving)
    assert found.gpu_hours == seconds(reading + 2 * 1020 * 1 / 1000 + mining + solving)
    assert found.spread == "no"
    # Rows of 10 features: 40 bytes, 5 for each class, 40 for where they are from.
    rows = (20 + 2 * planning.SVM_ROWS) * (40 + 10 + 40)
    assert found.memory_gb == pytest.approx(1 + (rows + 100 * 4 * (2 * 100 + 2 * 10)) / 1e9)


def test_the_rows_of_the_svms_are_bounded():
    from rcnn_helpers.svm.mining import ROW_MEMORY

    assert planning.SVM_MEMORY == ROW_MEMORY
    many = stage("SVMs", replace(WORK, classes=100_000))  # rows of 500,080 bytes
    assert many.memory_gb == pytest.approx(1 + ROW_MEMORY / 1e9, rel=1e-3)
    positives = stage("SVMs", replace(WORK, classes=100_000, objects=10_000))
    assert positives.memory_gb == pytest.approx(1 + 2 * 10_000 * 500_080 / 1e9, rel=1e-3)


def test_svms_mine_as_many_images_as_they_are_told():
    all_mined, three = stage("SVMs"), stage("SVMs", replace(WORK, mined_images=3))
    assert (all_mined.hours - three.hours) == seconds(7 * 100 * 2 * 0.001)


def test_box_regression_solves_the_smaller_system():
    # 6.3 pairs an object, 20 objects, 2 classes: 63 pairs a class, fewer than the 100 features.
    few = 2 * (63 * 63 * 100 + 63**3 / 3)
    assert stage("box regression").hours == seconds(1020 * 0.06 + few / 1e3)
    # With 200 objects 630 pairs a class, more than features.
    many = 2 * (100 * 100 * 630 + 100**3 / 3)
    assert stage("box regression", replace(WORK, objects=200)).hours == seconds(1200 * 0.06 + many / 1e3)


def test_search_for_thresholds_and_for_detections():
    # Reading, the layer of the SVMs, and 3 ms a class.
    a_region = 0.06 + 0.036 + 2 * 0.003
    assert stage("thresholds").hours == seconds(1020 * a_region)
    assert stage("detection, test").hours == seconds(500 * a_region)
    assert stage("detection, test").gpu_hours == seconds(500 * (0.06 + 2 * 0.003) + 500 / 1000)


def test_boxes_of_images_annotated_in_part_need_no_proposals():
    work = replace(WORK, partial_images=4, partial_objects=6)
    assert stage("proposals", work).hours == stage("proposals").hours
    assert stage("features, train", work).hours == seconds(14 * 1 + 1026 * (0.36 + 0.03))
    assert stage("box regression", work) == stage("box regression")
    assert stage("fine-tuning", work).hours == seconds(14 + 360 * 0.5)


def test_total_adds_hours_and_disk_and_takes_the_highest_memory():
    stages = plan(WORK, COSTS)
    whole = total(stages)
    assert whole.hours == pytest.approx(math.fsum(s.hours for s in stages))
    assert whole.disk_gb == pytest.approx(math.fsum(s.disk_gb for s in stages))
    assert whole.memory_gb == 3.0


def test_machines_share_what_is_of_single_images():
    assert hours_on(replace(stage("proposals"), hours=8.0), 4) == 2.0
    assert hours_on(replace(stage("SVMs"), hours=8.0), 4) == 8.0
    assert hours_on(replace(stage("fine-tuning"), hours=8.0), 4) == 8.0
    with pytest.raises(SettingsError, match="machines is 0"):
        hours_on(stage("SVMs"), 0)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_speed_grows_with_machines_up_to_amdahls_limit(few, more):
    stages = plan(WORK, COSTS)
    alone = total(stages).hours
    on_few = alone / sum(hours_on(s, few) for s in stages)
    on_more = alone / sum(hours_on(s, few + more) for s in stages)
    assert 1 - 1e-9 <= on_few < on_more < most_speedup(stages)


def test_amdahls_limit():
    shared, alone = replace(stage("proposals"), hours=9.0), replace(stage("SVMs"), hours=3.0)
    assert most_speedup([shared, alone]) == 4.0
    assert most_speedup([shared]) == math.inf


def test_money():
    assert money(12.5, 0.4) == pytest.approx(5.0)
    with pytest.raises(SettingsError, match="price is -1"):
        money(1, -1)


def test_data_sets_are_those_of_the_paper():
    sizes = {name: (work.images, work.test_images, work.classes) for name, work in planning.WORKLOADS.items()}
    assert sizes["voc2007"] == (5011, 4952, 20)
    assert sizes["voc2012"] == (11_540, 10_991, 20)
    assert sizes["ilsvrc13"] == (20_121, 40_152, 200)
    assert sizes["ilsvrc13_all"] == (416_039, 40_152, 200)
    assert planning.WORKLOADS["ilsvrc13"].steps == 50_000
    assert tuple(planning.WORKLOADS) == DATA_SETS


def test_the_features_of_voc_2007_take_what_the_store_says():
    """2,000 regions x 9,216 numbers of two bytes are 36.9 MB an image: 185 GB for trainval."""
    stored = 9216 * 2 + 17
    found = {s.name: s for s in plan(planning.WORKLOADS["voc2007"], replace(COSTS, stored=stored))}
    assert found["features, train"].disk_gb == pytest.approx(185, abs=1)
    assert found["proposals"].disk_gb == pytest.approx(9963 * 32e3 / 1e9, rel=1e-6)


@pytest.mark.parametrize("field", ["images", "objects", "test_images", "classes", "steps"])
def test_a_data_set_of_nothing_is_refused(field):
    with pytest.raises(SettingsError, match=f"{field} is 0"):
        replace(WORK, **{field: 0})


@pytest.mark.parametrize("option", ["proposals", "batch", "megabits"])
def test_options_must_be_above_zero(option):
    with pytest.raises(SettingsError, match=f"{option} is 0"):
        plan(WORK, COSTS, **{option: 0})


def test_costs_survive_their_file():
    assert Costs.from_dict(json.loads(json.dumps(asdict(COSTS)))) == COSTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("decode"), "decode is missing or unknown"),
        (lambda values: values.update(other=1), "other is missing or unknown"),
        (lambda values: values.update(decode="fast"), "the cost decode is 'fast'"),
        (lambda values: values.update(decode=float("nan")), "the cost decode is nan"),
        (lambda values: values.update(decode=-1.0), "the cost decode is -1.0"),
        (lambda values: values.update(network=3), "the cost network is 3"),
    ],
)
def test_damaged_costs_are_refused(change, message):
    values = asdict(COSTS)
    change(values)
    with pytest.raises(SettingsError, match=message):
        Costs.from_dict(values)


@pytest.mark.parametrize("values", [[], "text", None])
def test_what_is_no_costs_at_all_is_refused(values):
    with pytest.raises(SettingsError, match="not the costs of a machine"):
        Costs.from_dict(values)


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def costs_file(tmp_path):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"costs": asdict(COSTS)}))
    return path


def test_the_command_prints_every_stage_and_saves_the_plan(costs_file, tmp_path, capsys):
    out = tmp_path / "plan.json"
    arguments = ["plan", "voc2007", "--costs", str(costs_file), "--price", "2", "--jobs", "4"]
    assert main([*arguments, "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    stages = plan(planning.WORKLOADS["voc2007"], COSTS)
    lines = {line[:18].strip(): line[18:].split() for line in printed.splitlines()}
    for found in stages:
        hours, shared = found.hours, hours_on(found, 4)
        assert [float(n.replace(",", "")) for n in lines[found.name][:2]] == pytest.approx(
            [hours, shared], abs=0.51, rel=0.01
        )
    whole = total(stages).hours
    assert f"{2 * whole:,.0f}" in lines["total"]
    assert "Not measured here" in printed and "RTX 3090" in printed
    saved = json.loads(out.read_text())
    assert saved["command"].startswith("rcnn plan voc2007")
    assert Costs.from_dict(saved["costs"]) == COSTS
    assert [s["name"] for s in saved["stages"]] == [s.name for s in stages]


def test_numbers_of_your_own(costs_file, capsys):
    own = ["plan", "--images", "100", "--classes", "3", "--steps", "10", "--costs", str(costs_file)]
    assert main(own) == 0
    printed = capsys.readouterr().out
    assert "100 images to train on, 100 to test, 3 classes, 300 objects" in printed
    assert "10 batches of 128 windows" in printed


def test_vgg_16_is_fine_tuned_in_smaller_batches(tmp_path, capsys):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(asdict(replace(COSTS, network="vgg16"))))
    assert main(["plan", "voc2007", "--costs", str(path)]) == 0
    assert "70,000 batches of 24 windows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a data set"),
        (["--images", "10"], "name a data set"),
        (["voc2007", "--images", "10"], "leave out --images"),
        (["voc2007", "--network", "vgg16"], "holds the costs of tnet"),
    ],
)
def test_what_does_not_go_together_is_said(arguments, message, costs_file, capsys):
    assert main(["plan", *arguments, "--costs", str(costs_file)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--price", "dear"], ["--price", "-1"], ["--megabits", "0"], ["--jobs", "0"]]
)
def test_wrong_numbers_are_refused(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "voc2007", *option])
    assert stopped.value.code == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"costs": {}}'])
def test_a_file_of_costs_that_is_none_is_refused(content, tmp_path, capsys):
    path = tmp_path / "costs.json"
    path.write_text(content)
    assert main(["plan", "voc2007", "--costs", str(path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


# -- what is measured ----------------------------------------------------------------------------------------


def test_operations_are_those_of_the_layers():
    """The quarter T-Net's five convolutions and two fully connected layers, two operations a weight and place."""
    from rcnn_helpers.cost_measurement import _operations
    from rcnn_helpers.networks import load_network

    convolutions = [(24, 3, 11, 55), (64, 24, 5, 27), (96, 64, 3, 13), (96, 96, 3, 13), (64, 96, 3, 13)]
    expected = sum(2 * out * into * k**2 * side**2 for out, into, k, side in convolutions) / 1e9
    found = _operations(load_network("quarter_tnet", weights="random", device="cpu"), "fc7")
    assert found["forward_gflop"] == pytest.approx(expected)
    assert found["deeper_gflop"] == pytest.approx(2 * (2304 * 1024 + 1024 * 1024) / 1e9)


def test_pictures_to_measure_with_are_of_vocs_size(tmp_path):
    from rcnn_helpers.cost_measurement import Pictures

    pictures = Pictures(tmp_path)
    assert pictures.ids
    for image_id in pictures.ids:
        assert pictures.image(image_id).shape == (375, 500, 3)
        assert (pictures.annotation(image_id).height, pictures.annotation(image_id).width) == (375, 500)


@pytest.mark.slow
def test_every_part_is_measured():
    from rcnn_helpers.cost_measurement import measure

    costs = measure("quarter_tnet", device="cpu")
    assert Costs.from_dict(json.loads(json.dumps(asdict(costs)))) == costs
    numbers = {name: value for name, value in asdict(costs).items() if not isinstance(value, str)}
    assert all(value > 0 for value in numbers.values()), numbers
    assert (costs.pool5, costs.deepest) == (2304, 1024)
    # Two bytes a number, seventeen a region, and a header.
    assert 2304 * 2 + 17 < costs.stored < 2304 * 2 + 17 + 20
    assert costs.resident <= costs.forward_memory
