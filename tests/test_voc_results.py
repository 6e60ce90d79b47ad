"""VOC result files: round trips, strictness, and a real detector's files against the VOC rules spelt out."""

import gzip
import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.voc_results import read_voc_results, write_voc_results


@pytest.fixture
def detections(rng):
    n = 200
    top_left = rng.uniform(0, 300, (n, 2))
    return Detections(
        image_ids=tuple(f"{i:06d}" for i in range(20)),
        classes=("cat", "toy_car", "car"),
        image_index=rng.integers(0, 20, n),
        class_index=np.repeat([0, 1], n // 2),
        scores=rng.normal(size=n),
        boxes=np.concatenate([top_left, top_left + rng.uniform(1, 200, (n, 2))], axis=1),
    )


@pytest.mark.parametrize("compress", [False, True])
def test_round_trip(tmp_path, detections, compress):
    written = write_voc_results(tmp_path, detections, "test", compress=compress)
    suffix = ".txt.gz" if compress else ".txt"
    assert [path.name for path in written] == [f"comp3_det_test_{c}{suffix}" for c in detections.classes]
    read = read_voc_results(tmp_path, detections.classes, image_ids=detections.image_ids)
    assert read.image_ids == detections.image_ids
    assert read.classes == detections.classes
    assert (read.image_index == detections.image_index).all()
    assert (read.class_index == detections.class_index).all()
    assert read.scores == pytest.approx(detections.scores, abs=1e-6)
    assert read.boxes == pytest.approx(detections.boxes, abs=1e-4)


def test_the_files_count_pixels_from_one(tmp_path):
    one = Detections(("000004",), ("car",), [0], [0], [0.702732], [[88, 111, 516, 466]])
    [path] = write_voc_results(tmp_path / "new", one, "test", competition="comp4")
    assert path.name == "comp4_det_test_car.txt"
    assert path.read_text() == "000004 0.702732 89.000000 112.000000 516.000000 466.000000\n"
    assert read_voc_results(path.parent).boxes.tolist() == [[88, 111, 516, 466]]


def test_classes_and_images_are_found_from_the_files(tmp_path):
    (tmp_path / "comp4_det_val_dog.txt").write_text("7 0.5 1 1 10 10\n3 0.4 1 1 10 10\n")
    with gzip.open(tmp_path / "comp4_det_val_cat.txt.gz", "wt") as file:
        file.write("5 0.5 1 1 10 10\n")
    (tmp_path / "notes.txt").write_text("not a result file")
    read = read_voc_results(tmp_path)
    assert read.classes == ("cat", "dog")
    assert read.image_ids == ("3", "5", "7")
    assert read.to_frame()["image"].tolist() == ["5", "7", "3"]


def test_a_known_class_is_told_from_one_that_ends_alike_and_from_a_long_split_name(tmp_path):
    (tmp_path / "comp3_det_my_test_toy_car.txt").write_text("1 0.5 1 1 10 10\n")
    (tmp_path / "comp3_det_my_test_car.txt").write_text("1 0.6 1 1 10 10\n")
    read = read_voc_results(tmp_path, ["car", "toy_car"])
    assert read.of_class("car").scores.tolist() == [np.float32(0.6)]
    assert read.of_class("toy_car").scores.tolist() == [np.float32(0.5)]


def test_a_class_without_a_file_is_named_and_stays(tmp_path):
    (tmp_path / "comp4_det_test_dog.txt").write_text("7 0.5 1 1 10 10\n")
    with pytest.warns(UserWarning, match="no result file for cat, cow"):
        read = read_voc_results(tmp_path, ["cat", "dog", "cow"])
    assert read.classes == ("cat", "dog", "cow")
    assert len(read) == 1


def test_an_empty_file_is_no_detections(tmp_path):
    (tmp_path / "comp4_det_test_dog.txt").write_text("\n\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_voc_results(tmp_path, ["dog"])) == 0


GOOD = "000001 0.5 1 1 10 10\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("000001 0.5 1 1 10", "5 fields instead of 6"),
        ("000001 0.5 1 1 10 10 car", "7 fields instead of 6"),
        ("", "0 fields"),
        ("000001 high 1 1 10 10", "not a number"),
        ("000001 nan 1 1 10 10", "not finite"),
        ("000001 0.5 1 1 inf 10", "not finite"),
        ("000001 0.5 10 1 5 10", "ends before it starts"),
        ("000001 0.5 1 10 10 9", "ends before it starts"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path, line, problem):
    (tmp_path / "comp4_det_test_dog.txt").write_text(GOOD * 2 + line + "\n" + GOOD)
    with pytest.raises(DatasetError, match=rf"comp4_det_test_dog\.txt, line 3: .*{problem}"):
        read_voc_results(tmp_path)


def test_a_line_too_short_and_one_too_long_do_not_make_up_for_each_other(tmp_path):
    (tmp_path / "comp4_det_test_dog.txt").write_text("000001 0.5 1 1 10\n000001 0.5 1 1 10 10 1\n")
    with pytest.raises(DatasetError, match="line 1: 5 fields"):
        read_voc_results(tmp_path)


def test_an_unknown_image_is_named(tmp_path):
    (tmp_path / "comp4_det_test_dog.txt").write_text(GOOD + "000009 0.5 1 1 10 10\n")
    with pytest.raises(DatasetError, match=r"line 2: image '000009'"):
        read_voc_results(tmp_path, image_ids=["000001"])


def test_a_damaged_gzip_file_is_named(tmp_path):
    whole = gzip.compress(GOOD.encode() * 1000)
    for damaged in (whole[: len(whole) // 2], b"no gzip at all", whole[:20] + b"\xff" * 10 + whole[30:]):
        (tmp_path / "comp4_det_test_dog.txt.gz").write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"dog\.txt\.gz cannot be read"):
            read_voc_results(tmp_path)


def test_text_that_is_no_text_is_named(tmp_path):
    (tmp_path / "comp4_det_test_dog.txt").write_bytes(b"\x80\xff\x00")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_voc_results(tmp_path)


def test_two_files_for_a_class_are_refused(tmp_path):
    for name in ("comp3_det_test_dog.txt", "comp4_det_test_dog.txt"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(DatasetError, match="two result files for class 'dog'"):
        read_voc_results(tmp_path)


def test_folders_without_result_files(tmp_path):
    with pytest.raises(DatasetError, match="not a folder"):
        read_voc_results(tmp_path / "missing")
    with pytest.raises(DatasetError, match="no VOC result files"):
        read_voc_results(tmp_path)
    (tmp_path / "comp3_det_test_dog.txt").write_text(GOOD)
    with pytest.raises(DatasetError, match="none is for one of the classes cat"):
        read_voc_results(tmp_path, ["cat"])


def test_a_split_name_that_could_not_be_read_back_is_refused(tmp_path, detections):
    with pytest.raises(ValueError, match="split is 'my_test'"):
        write_voc_results(tmp_path, detections, "my_test")


# The real detections -------------------------------------------------------------------------------------------


def read_objects(folder, image_ids):
    """image -> list of (class, box in VOC pixels, difficult), with the standard library alone."""
    objects = {}
    for image_id in image_ids:
        root = ElementTree.parse(folder / "Annotations" / f"{image_id}.xml").getroot()
        objects[image_id] = [
            (
                node.findtext("name"),
                [float(node.find("bndbox").findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")],
                node.findtext("difficult") == "1",
            )
            for node in root.findall("object")
        ]
    return objects


def voc_ap_of_file(path, name, objects):
    """11-point AP of one result file by the VOC rules, in VOC's own pixels and with plain Python numbers."""
    with gzip.open(path, "rt") as file:
        lines = [line.split() for line in file]
    candidates = {
        image_id: [[box, difficult, False] for kind, box, difficult in rows if kind == name]
        for image_id, rows in objects.items()
    }
    n_positives = sum(not difficult for rows in candidates.values() for _, difficult, _ in rows)
    true, false, points = 0, 0, []
    for image_id, _, *box in sorted(lines, key=lambda line: -float(line[1])):
        left, top, right, bottom = map(float, box)
        best_overlap, best = -1.0, None
        for candidate in candidates[image_id]:
            l2, t2, r2, b2 = candidate[0]
            width = min(right, r2) - max(left, l2) + 1
            height = min(bottom, b2) - max(top, t2) + 1
            if width <= 0 or height <= 0:
                continue
            both = (right - left + 1) * (bottom - top + 1) + (r2 - l2 + 1) * (b2 - t2 + 1)
            overlap = width * height / (both - width * height)
            if overlap > best_overlap:
                best_overlap, best = overlap, candidate
        if best_overlap >= 0.5 and best[1]:
            continue
        if best_overlap >= 0.5 and not best[2]:
            true += 1
            best[2] = True
        else:
            false += 1
        points.append((true, true / (true + false)))
    levels = [
        max((precision for found, precision in points if 10 * found >= k * n_positives), default=0.0)
        for k in range(11)
    ]
    return sum(levels) / 11


@pytest.mark.real_data
def test_real_detections_agree_with_the_voc_rules_class_by_class(real_data):
    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test")
    detections = read_voc_results(folder / "detections_yolov1", image_ids=dataset.ids)
    assert len(detections.classes) == 18
    assert not {"chair", "person"} & set(detections.classes)
    result = evaluate(detections, dataset)
    image_ids = (folder / "ImageSets" / "Main" / "test.txt").read_text().split()
    objects = read_objects(folder, image_ids)
    for name in detections.classes:
        path = folder / "detections_yolov1" / f"comp4_det_test_{name}.txt.gz"
        assert 100 * result.ap[name] == pytest.approx(100 * voc_ap_of_file(path, name, objects), abs=0.01)


@pytest.mark.real_data
def test_real_detections_for_all_twenty_classes(real_data):
    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test")
    with pytest.warns(UserWarning, match="no result file for chair, person"):
        detections = read_voc_results(folder / "detections_yolov1", dataset.classes, image_ids=dataset.ids)
    result = evaluate(detections, dataset)
    assert result.ap["chair"] == result.ap["person"] == 0
    assert result.mean_ap == pytest.approx(sum(result.ap.values()) / 20)
