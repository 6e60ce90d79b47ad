"""Attributes of objects: a VOC folder and extra annotations written by hand, ToyVOC, and the real files."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from rcnn_helpers.datasets.toyvoc.truth import ObjectDetails
from rcnn_helpers.datasets.voc import Annotation, VOCDataset, write_annotation, write_image_set
from rcnn_helpers.diagnosis import object_attributes
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.evaluation import collect_ground_truth

LABELS = """\
==================== OCCLUSIONS ====================
0\tnone
3\thigh occlusion (50-100%)

======================= VIEWS ======================
v1 \tbottom
v2\tfront
v3\trear
v4\tside
v5\ttop

======================= PARTS ======================
bicycle :
\tp1\tbody
\tp2\thand

cat :
\tp1\tear
\tp2\tlong tail

diningtable :
\tp1\ttable leg
"""
EXTRAS = {
    "bicycle": [
        "det conf occ p1 p2 v1 v2 v3 v4 v5 size ratio(w/h)",
        "1 0.5 0  1 0  0 0 0 0 1  200 2.111",
        "0 0   3  0 1  0 1 0 1 0  600 1.526",
        "",
    ],
    "cat": ["det conf occ p1 p2 v1 v2 v3 v4 v5 size ratio(w/h)", "0 0 1  1 0  0 0 0 1 0  1250 0.5"],
    "diningtable": ["det conf occ p1 v1 v2 size ratio(w/h)", "0 0 2  1  0 1  100 1"],
}
HOIEMS_CLASSES = {
    "aeroplane": 285,
    "bicycle": 337,
    "bird": 459,
    "boat": 263,
    "cat": 358,
    "chair": 756,
    "diningtable": 206,
}


@pytest.fixture
def folder(tmp_path):
    """A VOC folder of two images: a bicycle, a difficult bicycle and a cat; another bicycle, a table and a dog."""
    images = {
        "000002": [
            ("bicycle", [0, 0, 20, 10], False, True, "Left"),
            ("bicycle", [50, 50, 60, 60], True, False, "Rear"),
            ("cat", [10, 10, 35, 60], False, False, "Unspecified"),
        ],
        "000001": [
            ("bicycle", [5, 5, 35, 25], False, False, "Frontal"),
            ("diningtable", [0, 0, 10, 10], False, False, "Unspecified"),
            ("dog", [0, 0, 10, 20], False, False, "Right"),
        ],
    }
    for image_id, objects in images.items():
        names, boxes, difficult, truncated, poses = zip(*objects, strict=True)
        annotation = Annotation(
            image_id=image_id,
            height=100,
            width=100,
            boxes=np.array(boxes, dtype=np.float32),
            names=names,
            difficult=np.array(difficult),
            truncated=np.array(truncated),
            occluded=np.array(truncated),
            poses=poses,
        )
        write_annotation(tmp_path / "Annotations" / f"{image_id}.xml", annotation)
    write_image_set(tmp_path / "ImageSets" / "Main" / "test.txt", images)
    return tmp_path


@pytest.fixture
def dataset(folder):
    return VOCDataset(folder, "test")


@pytest.fixture
def extras(tmp_path):
    path = tmp_path / "extras"
    path.mkdir()
    (path / "Labels.txt").write_text(LABELS)
    for name, lines in EXTRAS.items():
        (path / f"{name}.txt").write_text("\n".join(lines))
    return path


def column(frame, name):
    return frame[name].tolist()


def test_what_any_voc_folder_tells(dataset):
    frame = object_attributes(dataset)
    assert column(frame, "image") == 3 * ["000002"] + 3 * ["000001"]
    assert column(frame, "class") == ["bicycle", "bicycle", "cat", "bicycle", "diningtable", "dog"]
    assert column(frame, "difficult") == [False, True, False, False, False, False]
    assert column(frame, "area") == [200, 100, 1250, 600, 100, 200]
    assert column(frame, "width") == [20, 10, 25, 30, 10, 10]
    assert column(frame, "height") == [10, 10, 50, 20, 10, 20]
    assert column(frame, "aspect") == [2, 1, 0.5, 1.5, 1, 0.5]
    assert (
        column(frame, "truncated") == column(frame, "occluded") == [True, False, False, False, False, False]
    )
    assert column(frame, "pose") == ["Left", "Rear", "Unspecified", "Frontal", "Unspecified", "Right"]
    assert column(frame, "occlusion") == 6 * [None]
    assert not [name for name in frame if ":" in name]


def test_rows_are_those_of_the_truth(dataset):
    truth = collect_ground_truth(dataset)
    frame = object_attributes(dataset)
    assert len(frame) == len(truth)
    assert [truth.classes.index(name) for name in frame["class"]] == truth.class_index.tolist()
    assert [truth.image_ids.index(name) for name in frame["image"]] == truth.image_index.tolist()


def test_extra_annotations_skip_difficult_objects_and_other_classes(dataset, extras):
    frame = object_attributes(dataset, extras=extras)
    assert column(frame, "occlusion") == ["N", None, "L", "H", "M", None]
    assert column(frame, "part:body") == [True, None, None, False, None, None]
    assert column(frame, "part:hand") == [False, None, None, True, None, None]
    assert column(frame, "part:ear") == [None, None, True, None, None, None]
    assert column(frame, "part:long tail") == [None, None, False, None, None, None]
    assert column(frame, "part:table leg") == [None, None, None, None, True, None]


def test_order_of_the_sides_of_bicycles_and_tables(dataset, extras):
    frame = object_attributes(dataset, extras=extras)
    # The cat has its mark in the fourth column, the first bicycle in the fifth, and both show their side.
    assert column(frame, "side:side") == [True, None, True, False, False, None]
    assert column(frame, "side:top") == [False, None, False, True, True, None]
    assert column(frame, "side:front") == [False, None, False, True, None, None]
    assert column(frame, "side:bottom") == [False, None, False, False, None, None]


def rewrite(extras, name, old, new):
    path = extras / f"{name}.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("bicycle", " 600 ", " 603 ", r"bicycle.txt, row 2 \(line 3\).*603 pixels.*image 000001, covers 600"),
        ("bicycle", " 200 ", " nan ", r"bicycle.txt, row 1 \(line 2\)"),
        ("bicycle", " 600 ", " 6OO ", r"bicycle.txt, line 3: the size is '6OO'"),
        ("bicycle", "0 0   3 ", "0 0   4 ", r"line 3: the occlusion is '4'"),
        ("bicycle", "1 0  0 0 0 0 1", "1 0  0 0 0 0 2", r"line 2: parts and sides are 1 0 0 0 0 0 2"),
        ("bicycle", "1 0  0 0 0 0 1", "1 0  0 0 0 1", r"line 2: 11 columns instead of 12"),
        ("cat", "0 0 1  1 0  0 0 0 1 0  1250 0.5", "", r"cat.txt has 0 rows.*1 objects of class 'cat'"),
        ("Labels", "cat :", "kitten :", r"Labels.txt does not name the parts of the cat"),
        ("Labels", LABELS, "nothing", r"Labels.txt names no views or no parts"),
        ("Labels", "bicycle :", "", r"Labels.txt names the part 'body' before any class"),
    ],
)
def test_files_that_do_not_fit_are_refused(dataset, extras, name, old, new, message):
    rewrite(extras, name, old, new)
    with pytest.raises(DatasetError, match=message):
        object_attributes(dataset, extras=extras)


def test_areas_may_differ_by_a_rounded_pixel(dataset, extras):
    rewrite(extras, "bicycle", " 600 ", " 601 ")
    assert object_attributes(dataset, extras=extras)["occlusion"][3] == "H"


def test_other_images_are_refused(dataset, extras):
    with pytest.raises(DatasetError, match="in the order of its own list"):
        object_attributes(dataset.subset(["000001", "000002"]), extras=extras)
    with pytest.raises(DatasetError, match="2 rows, but the data set has 1 objects of class 'bicycle'"):
        object_attributes(dataset.subset(["000002"]), extras=extras)


def test_folders_without_extras_are_refused(dataset, extras, tmp_path):
    with pytest.raises(DatasetError, match="there is no file .*Labels.txt"):
        object_attributes(dataset, extras=tmp_path)
    for name in EXTRAS:
        (extras / f"{name}.txt").unlink()
    with pytest.raises(DatasetError, match="for none of the classes"):
        object_attributes(dataset, extras=extras)


def test_toyvocs_details_are_found_by_themselves(dataset):
    sides = dict.fromkeys(("front", "rear", "left", "right", "top", "bottom"), 0.0)
    known = {
        "000002": [
            ("bicycle", "L", {"wheel": 0.1, "seat": 0.0}, {"left": 0.95, "top": 0.05}),
            ("bicycle", "H", {"wheel": 0.0, "seat": 0.09}, {"rear": 1.0}),
            ("cat", "N", {"tail": 1.0}, {"front": 0.96, "top": 0.04}),
        ],
        "000001": [
            ("bicycle", "M", {"wheel": 0.5, "seat": 0.4}, {"front": 0.5, "top": 0.5}),
            ("diningtable", "N", {}, {"top": 1.0}),
            ("dog", "N", {"tail": 0.0}, {"right": 1.0}),
        ],
    }
    for image_id, objects in known.items():
        details = [
            ObjectDetails(
                name=name,
                azimuth=0.0,
                elevation=0.0,
                pose="Left",
                truncation=0.0,
                occlusion=0.0,
                occlusion_level=level,
                visible_pixels=1,
                parts=parts,
                sides=sides | visible,
            )
            for name, level, parts, visible in objects
        ]
        path = dataset.root / "Details" / f"{image_id}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"objects": [asdict(detail) for detail in details]}))
    frame = object_attributes(dataset)
    assert column(frame, "occlusion") == ["L", "H", "N", "M", "N", "N"]
    # Visible from a tenth of a part's silhouette on, and from a twentieth of what is seen of the object.
    assert column(frame, "part:wheel") == [True, False, None, True, None, None]
    assert column(frame, "part:seat") == [False, False, None, True, None, None]
    assert column(frame, "part:tail") == [None, None, True, None, None, False]
    assert column(frame, "side:top") == [True, False, False, True, True, False]
    assert column(frame, "side:front") == [False, False, True, True, False, False]
    assert column(frame, "side:bottom") == 6 * [False]


@pytest.fixture(scope="module")
def real(voc2007_test):
    extras = voc2007_test.root / "hoiem_extra"
    return extras, object_attributes(voc2007_test, extras=extras)


@pytest.mark.real_data
def test_real_extras_cover_seven_classes(real):
    _, frame = real
    counted = frame[~frame["difficult"]]
    annotated = counted[counted["occlusion"].notna()]
    assert annotated.groupby("class").size().to_dict() == HOIEMS_CLASSES
    for name, expected in HOIEMS_CLASSES.items():
        of_class = counted[counted["class"] == name]
        assert sum((of_class["occlusion"] == level).sum() for level in "NLMH") == expected
        for attribute in [title for title in frame if ":" in title and of_class[title].notna().any()]:
            assert (of_class[attribute] == True).sum() + (of_class[attribute] == False).sum() == expected  # noqa: E712
    assert frame[frame["difficult"]]["occlusion"].isna().all()


@pytest.mark.real_data
def test_sides_agree_with_the_pose_that_voc_gives(real):
    _, frame = real
    counts = {}
    for name in ("aeroplane", "bicycle", "chair"):
        of_class = frame[(frame["class"] == name) & ~frame["difficult"]]
        in_profile = of_class[of_class["pose"].isin(["Left", "Right"])]
        counts[name] = [len(in_profile), *(int(in_profile[f"side:{side}"].sum()) for side in ("side", "top"))]
    # The numbers in the docstring of object_attributes.
    assert counts == {"aeroplane": [124, 121, 5], "bicycle": [186, 178, 13], "chair": [233, 228, 121]}
    bicycles = frame[(frame["class"] == "bicycle") & ~frame["difficult"]]
    assert bicycles[bicycles["pose"] == "Frontal"]["side:front"].sum() == 33
    assert bicycles[bicycles["pose"] == "Rear"]["side:rear"].sum() == 10


@pytest.mark.slow
@pytest.mark.real_data
def test_real_extras_equal_the_published_structure(real):
    """The same annotations as the published tool had put them together, object by object, in a .mat file."""
    folder, frame = real
    path = folder / "VOC2007_annotations_test.mat"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    from scipy.io import loadmat

    records = loadmat(path, squeeze_me=True, struct_as_record=False)["ann"].rec
    objects = [found for record in records for found in np.atleast_1d(record.objects)]
    assert [getattr(found, "class") for found in objects] == frame["class"].tolist()
    assert [bool(found.truncated) for found in objects] == frame["truncated"].tolist()
    compared = 0
    rows = frame.to_dict("records")
    part_columns = {
        name: [title for title in frame if title.startswith("part:") and of_class[title].notna().any()]
        for name, of_class in frame.groupby("class")
    }
    for found, row in zip(objects, rows, strict=True):
        if not found.detailedannotation:
            assert row["occlusion"] is None
            continue
        compared += 1
        assert "NLMH"[found.details.occ_level - 1] == row["occlusion"]
        sides = found.details.side_visible
        assert {side: bool(getattr(sides, side)) for side in sides._fieldnames} == {
            side: row[f"side:{side}"] for side in sides._fieldnames
        }
        # Parts are named a little differently there: compared by number.
        parts = found.details.part_visible
        visible = sum(bool(getattr(parts, part)) for part in parts._fieldnames)
        assert visible == sum(row[title] for title in part_columns[row["class"]])
    assert compared == sum(HOIEMS_CLASSES.values())
