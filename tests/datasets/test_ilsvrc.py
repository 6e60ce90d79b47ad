"""ILSVRC's layouts, written small: both are read to the same, and what is missing is named."""

import inspect

import numpy as np
import pytest
from scipy.io import savemat

from rcnn_helpers.candidates import Candidates, suppress, suppress_scores
from rcnn_helpers.cli import main
from rcnn_helpers.datasets import ilsvrc
from rcnn_helpers.datasets.balanced_split import class_counts
from rcnn_helpers.datasets.ilsvrc import ILSVRCDataset, read_blacklist, read_class_names
from rcnn_helpers.datasets.training_mix import ValPlusTrain
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import AnnotationError, DatasetError
from rcnn_helpers.images import write_image

ACCORDION, HAT = "n02672831", "n03497657"
FIRST, SECOND = "ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002"
TRAIN = [f"{ACCORDION}/{ACCORDION}_1148", f"{HAT}/{HAT}_7"]
MAP = f"{HAT} 2 hat_with_a_wide_brim\n{ACCORDION} 1 accordion\n"
# Folders of images, annotations and lists of each layout, and where the names of classes are.
LAYOUTS = {
    2013: (
        "ILSVRC2013_DET_{}",
        "ILSVRC2013_DET_bbox_{}",
        "ILSVRC2013_devkit/data/det_lists",
        "ILSVRC2013_devkit/data/map_det.txt",
    ),
    2015: ("Data/DET/{}", "Annotations/DET/{}", "ImageSets/DET", "devkit/data/map_det.txt"),
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def xml(width, height, *objects):
    boxes = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><xmax>{x2}</xmax><ymin>{y1}</ymin><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation><filename>x</filename>{size}{boxes}</annotation>"


@pytest.fixture(params=LAYOUTS, ids=str)
def root(request, tmp_path):
    images, annotations, lists, names = LAYOUTS[request.param]
    rng = np.random.default_rng(0)
    for part, image_id, (height, width) in (
        ("val", FIRST, (100, 250)),
        ("val", SECOND, (300, 1000)),
        ("train", TRAIN[0], (80, 60)),
        ("train", TRAIN[1], (50, 100)),
        ("test", "ILSVRC2012_test_00000001", (50, 50)),
    ):
        path = tmp_path / images.format(part) / f"{image_id}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path.with_suffix(".jpg"), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        path.with_suffix(".jpg").rename(path)
    first = xml(250, 100, (ACCORDION, 11, 21, 60, 70), (HAT, 1, 1, 250, 100))
    write(tmp_path / annotations.format("val") / f"{FIRST}.xml", first)
    write(tmp_path / annotations.format("val") / f"{SECOND}.xml", xml(1000, 300))
    train = xml(60, 80, (ACCORDION, 1, 1, 30, 40), (ACCORDION, 31, 41, 60, 80))
    write(tmp_path / annotations.format("train") / f"{TRAIN[0]}.xml", train)
    write(tmp_path / lists / "val.txt", f"{FIRST} 1\n{SECOND} 2\n")
    write(tmp_path / lists / "test.txt", "ILSVRC2012_test_00000001 1\n")
    if request.param == 2013:
        # The older lists leave the folder out, and have one file for each class and kind of image.
        write(tmp_path / lists / "train_pos_1.txt", f"{ACCORDION}_1148\n")
        write(tmp_path / lists / "train_neg_1.txt", f"{HAT}_7\n")
        write(tmp_path / lists / "train_pos_2.txt", f"{HAT}_7\n")
    else:
        write(tmp_path / lists / "train_1.txt", f"{TRAIN[0]} 1\n{TRAIN[1]} -1\n")
        write(tmp_path / lists / "train_2.txt", f"{TRAIN[0]} 0\n{TRAIN[1]} 1\n")
    write(tmp_path / names, MAP)
    return tmp_path


def test_val_is_read_at_a_width_of_500(root):
    dataset = ILSVRCDataset(root, "val")
    assert dataset.ids == [FIRST, SECOND]
    assert dataset.classes == ("accordion", "hat with a wide brim")
    annotation = dataset.annotation(FIRST)
    assert (annotation.height, annotation.width) == (200, 500)
    # Half-open and from 0: (10, 20, 60, 70) and the whole image, twice as large.
    np.testing.assert_allclose(annotation.boxes, [[20, 40, 120, 140], [0, 0, 500, 200]])
    assert annotation.names == ("accordion", "hat with a wide brim")
    assert dataset.image(FIRST).shape == (200, 500, 3)
    assert dataset.image(SECOND).shape == (150, 500, 3)
    assert len(dataset.annotation(SECOND)) == 0
    np.testing.assert_array_equal(class_counts(dataset), [[1, 1], [0, 0]])


def test_the_command_divides_val(root, tmp_path):
    assert main(["split", "--ilsvrc", str(root), "--out", str(tmp_path / "lists")]) == 0
    halves = [
        ILSVRCDataset(root, f"val{i}", list_file=tmp_path / "lists" / f"val{i}.txt").ids for i in (1, 2)
    ]
    assert sorted(sum(halves, [])) == [FIRST, SECOND]


def test_images_can_stay_as_they_are(root):
    dataset = ILSVRCDataset(root, "val", width=None)
    assert dataset.image(SECOND).shape == (300, 1000, 3)
    np.testing.assert_allclose(dataset.boxes_of(FIRST, "accordion"), [[10, 20, 60, 70]])


def test_train_are_the_images_that_show_a_class_and_have_it_annotated(root):
    dataset = ILSVRCDataset(root, "train")
    assert [image_id.rpartition("/")[2] for image_id in dataset.ids] == [f"{ACCORDION}_1148", f"{HAT}_7"]
    assert dataset.annotation(dataset.ids[0]).names == ("accordion", "accordion")
    assert dataset.image(dataset.ids[0]).shape == (667, 500, 3)
    # No file: no object that is known of.
    assert len(dataset.annotation(dataset.ids[1])) == 0 and dataset.annotation(dataset.ids[1]).height == 250


def test_only_train_is_annotated_in_part(root):
    val, train = ILSVRCDataset(root, "val"), ILSVRCDataset(root, "train")
    assert val.gives_negatives(FIRST) and not train.gives_negatives(train.ids[0])
    mix = ValPlusTrain(val, train, 1)
    assert len(mix) == 3 and mix.n_boxes_.tolist() == [1, 0]
    assert mix.image(mix.ids[2]).shape == (667, 500, 3) and len(mix.annotation(mix.ids[2])) == 1


def test_lists_subsets_and_images_left_out(root, tmp_path):
    write(tmp_path / "val1.txt", f"{SECOND}\n")
    assert ILSVRCDataset(root, "val1", list_file=tmp_path / "val1.txt").ids == [SECOND]
    assert ILSVRCDataset(root, "val", leave_out=[FIRST]).ids == [SECOND]
    dataset = ILSVRCDataset(root, "val", classes=["hat with a wide brim"])
    assert dataset.subset([SECOND]).ids == [SECOND] and dataset.subset(1).ids == [FIRST]
    assert dataset.subset(1).classes == ("hat with a wide brim",)
    assert dataset.class_index("hat with a wide brim") == 0
    with pytest.raises(DatasetError, match="not among"):
        dataset.subset(["nothing"])


def test_without_names_the_ids_are_the_names(root):
    for path in root.rglob("map_det.txt"):
        path.unlink()
    assert ILSVRCDataset(root, "val").classes == (ACCORDION, HAT)


def test_names_from_the_mat_file_leave_groups_out(tmp_path):
    fields = [("ILSVRC2013_DET_ID", "O"), ("WNID", "O"), ("name", "O")]
    synsets = np.array(
        [(2, HAT, "hat"), (1, ACCORDION, "accordion"), (201, "n00000001", "thing")], dtype=fields
    )
    savemat(tmp_path / "meta_det.mat", {"synsets": synsets})
    names = read_class_names(tmp_path / "meta_det.mat")
    assert list(names.items()) == [(ACCORDION, "accordion"), (HAT, "hat")]
    (tmp_path / "broken.mat").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"broken\.mat is no meta_det"):
        read_class_names(tmp_path / "broken.mat")


def test_names_that_are_no_names(tmp_path):
    write(tmp_path / "a.txt", "accordion\n")
    with pytest.raises(DatasetError, match="expected a WordNet id"):
        read_class_names(tmp_path / "a.txt")
    write(tmp_path / "b.txt", f"{HAT} 1 hat\n{ACCORDION} 2 hat\n")
    with pytest.raises(DatasetError, match="names a class twice"):
        read_class_names(tmp_path / "b.txt")
    with pytest.raises(DatasetError, match="there is no file"):
        read_class_names(tmp_path / "c.txt")


def test_a_blacklist_by_number_or_id(tmp_path):
    write(tmp_path / "black.txt", f"2 17\n{FIRST} 3\n2 18\n")
    assert read_blacklist(tmp_path / "black.txt", [FIRST, SECOND]) == [SECOND, FIRST]
    with pytest.raises(DatasetError, match="image number 2"):
        read_blacklist(tmp_path / "black.txt", [FIRST])


def test_what_is_missing_is_named(root, tmp_path):
    dataset = ILSVRCDataset(root, "val")
    dataset.image_path(FIRST).unlink()
    with pytest.raises(DatasetError, match=f"no image '{FIRST}'"):
        dataset.image(FIRST)
    dataset._annotation_path(SECOND).unlink()
    with pytest.raises(AnnotationError, match=f"no annotation of '{SECOND}'"):
        dataset.annotation(SECOND)
    with pytest.raises(AnnotationError, match="not public"):
        ILSVRCDataset(root, "test").annotation("ILSVRC2012_test_00000001")
    with pytest.raises(DatasetError, match="no list of 'val7'"):
        ILSVRCDataset(root, "val7")
    with pytest.raises(DatasetError, match="begins with one of"):
        ILSVRCDataset(root, "first")
    with pytest.raises(DatasetError, match="there is no folder"):
        ILSVRCDataset(root / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no images and no annotations of val"):
        ILSVRCDataset(tmp_path / "empty")


def test_an_annotation_of_another_size_is_refused(root):
    dataset = ILSVRCDataset(root, "val")
    dataset._annotation_path(FIRST).write_text(xml(250, 130), encoding="utf-8")
    with pytest.raises(AnnotationError, match="500 x 260 pixels, but .* is 500 x 200 when upright; give its"):
        dataset.image(FIRST)


@pytest.mark.parametrize("line", ["../x 1", "/etc/x 1", "a\\..\\x 1"])
def test_lists_do_not_lead_out_of_the_data_set(root, tmp_path, line):
    write(tmp_path / "list.txt", line + "\n")
    with pytest.raises(DatasetError, match="leads out"):
        ILSVRCDataset(root, "val", list_file=tmp_path / "list.txt")


def test_an_image_listed_twice_is_named(root, tmp_path):
    write(tmp_path / "list.txt", f"{FIRST} 1\n{FIRST} 2\n")
    with pytest.raises(DatasetError, match="twice"):
        ILSVRCDataset(root, "val", list_file=tmp_path / "list.txt")


# The named settings.


def test_the_settings_are_options_that_exist():
    assert set(ilsvrc.DETECTOR_SETTINGS) <= set(inspect.signature(RCNN.__init__).parameters)
    assert set(ilsvrc.DETECTION_SETTINGS) <= set(inspect.signature(RCNN.detect_dataset).parameters)


def test_suppression_before_the_caps_lets_other_places_in():
    # Three boxes on one object and one elsewhere: a cap of two keeps the other place only if it comes second.
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 1, 10, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([[3.0], [2.0], [1.0], [0.5]], np.float32)

    def kept(scores):
        candidates = Candidates(("a",), ("thing",), max_per_image=2, max_total=100)
        candidates.add(0, boxes, scores)
        return suppress(candidates.best()).scores.tolist()

    assert kept(scores) == [3.0]
    assert kept(suppress_scores(boxes, scores, least_score=-1.5, iou_threshold=0.3)) == [3.0, 0.5]
    assert kept(suppress_scores(boxes, scores, least_score=0.7, iou_threshold=0.3)) == [3.0]
    # Each class may have moved the boxes to places of its own.
    moved = np.repeat(boxes[:, None], 2, axis=1)
    moved[1, 1] = [20, 20, 30, 30]
    left = suppress_scores(moved, np.repeat(scores, 2, axis=1), least_score=-1.5, iou_threshold=0.3)
    np.testing.assert_array_equal(left > -np.inf, [[True, True], [False, True], [False, False], [True, True]])
