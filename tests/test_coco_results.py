"""COCO's JSON: round trips, what it means, strictness, and pycocotools on the same files."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnn_helpers.coco_results import read_coco_annotations, read_coco_results, write_coco_results
from rcnn_helpers.datasets.voc import VOC_CLASSES, VOCDataset
from rcnn_helpers.diagnosis import diagnose, tide
from rcnn_helpers.errors import DatasetError, ImageError
from rcnn_helpers.evaluation import Detections, collect_ground_truth, evaluate
from rcnn_helpers.images import write_image
from rcnn_helpers.voc_results import read_voc_results

ANNOTATIONS = {
    "info": {"year": 2017},
    "images": [
        {"id": 42, "width": 100, "height": 80, "file_name": "a.png"},
        {"id": 7, "width": 60, "height": 50, "file_name": "b.png"},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car", "supercategory": "vehicle"}],
    "annotations": [
        {"id": 1, "image_id": 42, "category_id": 18, "bbox": [10.5, 20, 30, 40.25], "iscrowd": 0, "area": 1},
        {"id": 2, "image_id": 42, "category_id": 3, "bbox": [0, 0, 90, 10], "iscrowd": 1},
        {"id": 3, "image_id": 42, "category_id": 18, "bbox": [50, 50, 20, 20]},
    ],
}
RESULTS = [
    {"image_id": 42, "category_id": 18, "bbox": [10.5, 20, 30, 40.25], "score": 0.5},
    {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.25, "segmentation": None},
]


def save(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def annotations(tmp_path):
    return save(tmp_path / "instances.json", ANNOTATIONS)


@pytest.fixture
def results(tmp_path):
    return save(tmp_path / "results.json", RESULTS)


def test_annotations_are_a_data_set(annotations):
    dataset = read_coco_annotations(annotations)
    assert dataset.ids == ["42", "7"]
    assert dataset.classes == ("car", "dog")  # in the order of their numbers, 3 and 18
    assert dataset.category_ids == {"car": 3, "dog": 18}
    assert len(dataset) == 2 and "2 images, 2 classes" in repr(dataset)
    annotation = dataset.annotation("42")
    assert (annotation.height, annotation.width) == (80, 100)
    assert annotation.names == ("dog", "car", "dog")
    assert annotation.boxes.tolist() == [[10.5, 20, 40.5, 60.25], [0, 0, 90, 10], [50, 50, 70, 70]]
    assert annotation.difficult.tolist() == [False, True, False]
    assert not annotation.truncated.any() and annotation.poses == ("Unspecified",) * 3
    assert len(dataset.annotation("7")) == 0
    truth = collect_ground_truth(dataset)
    assert truth.n_positives("dog") == 2 and truth.n_positives("car") == 0
    with pytest.raises(DatasetError, match="no image '8'"):
        dataset.annotation("8")


def test_results_get_the_meaning_of_the_annotation_file(annotations, results):
    for source in (annotations, str(annotations), read_coco_annotations(annotations)):
        detections = read_coco_results(results, annotations=source)
        assert detections.image_ids == ("42", "7")
        assert detections.classes == ("car", "dog")
        assert detections.image_index.tolist() == [0, 1]
        assert detections.class_index.tolist() == [1, 0]
        assert detections.scores.tolist() == [0.5, 0.25]
        assert detections.boxes.tolist() == [[10.5, 20, 40.5, 60.25], [1, 2, 4, 6]]
    dogs = read_coco_results(results, annotations=annotations, classes=["dog"])
    assert dogs.classes == ("dog",) and len(dogs) == 1


def test_without_annotations_numbers_are_positions_and_ids(tmp_path):
    entries = [
        {"image_id": 12, "category_id": 2, "bbox": [0, 0, 1, 1], "score": 1},
        {"image_id": "000004", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 2},
        {"image_id": 12.0, "category_id": 1.0, "bbox": [0, 0, 1, 1], "score": -3.5},
    ]
    path = save(tmp_path / "results.json", entries)
    detections = read_coco_results(path, classes=["cat", "dog"], image_ids=["000004", "000008", "000012"])
    assert detections.image_index.tolist() == [2, 0, 2]
    assert detections.class_index.tolist() == [1, 0, 0]
    assert read_coco_results(path, classes=["cat", "dog"]).image_ids == ("000004", "12")
    later = save(tmp_path / "2008.json", [{**entries[0], "image_id": 2008000012}])
    detections = read_coco_results(later, classes=["cat", "dog"], image_ids=["2008_000003", "2008_000012"])
    assert detections.image_index.tolist() == [1]
    named = save(tmp_path / "named.json", [{**entries[0], "image_id": "kitchen"}, entries[0]])
    assert read_coco_results(named, classes=["cat", "dog"]).image_ids == ("12", "kitchen")
    empty = read_coco_results(save(tmp_path / "empty.json", []), classes=["cat"])
    assert (len(empty), empty.image_ids) == (0, ())


SCORES = st.floats(-1e6, 1e6, width=32)
SIDES = st.floats(0, 1e4, width=32)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), SCORES, SIDES, SIDES, SIDES, SIDES), max_size=20)
)
def test_round_trip_to_the_last_bit(tmp_path_factory, rows):
    columns = np.array(rows, dtype=np.float64).reshape(-1, 7)
    top_left = columns[:, 3:5]
    detections = Detections(
        ("000012", "2008_000004", "kitchen"),
        ("cat", "dog"),
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        np.concatenate([top_left, top_left + columns[:, 5:7]], axis=1),
    )
    path = tmp_path_factory.mktemp("coco") / "results.json"
    assert write_coco_results(path, detections) == path
    read = read_coco_results(path, classes=detections.classes, image_ids=detections.image_ids)
    for name in ("image_ids", "classes"):
        assert getattr(read, name) == getattr(detections, name)
    for name in ("image_index", "class_index", "scores", "boxes"):
        assert np.array_equal(getattr(read, name), getattr(detections, name))


def test_round_trip_with_the_numbers_of_an_annotation_file(tmp_path, annotations, results):
    detections = read_coco_results(results, annotations=annotations)
    written = write_coco_results(tmp_path / "new" / "again.json", detections, annotations=annotations)
    expected = [
        {key: entry[key] for key in ("image_id", "category_id", "bbox", "score")} for entry in RESULTS
    ]
    assert json.loads(written.read_text()) == expected


def test_numbers_of_a_voc_data_set(tmp_path):
    dataset = type("Tiny", (), {"ids": ["000005", "000012"], "classes": ("cat", "dog"), "annotation": None})()
    detections = Detections(("000012",), ("dog",), [0], [0], [0.5], [[1, 2, 4, 6]])
    path = write_coco_results(tmp_path / "results.json", detections, annotations=dataset)
    assert json.loads(path.read_text()) == [
        {"image_id": 12, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}
    ]
    read = read_coco_results(path, annotations=dataset)
    assert (read.image_ids, read.image_index.tolist()) == (("000005", "000012"), [1])
    assert (read.classes, read.class_index.tolist()) == (("cat", "dog"), [1])


def test_pictures_are_found_where_their_folder_is_named(tmp_path, annotations):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_image(folder / "a.png", np.full((80, 100, 3), 7, dtype=np.uint8))
    dataset = read_coco_annotations(annotations, images=folder)
    assert dataset.image("42").shape == (80, 100, 3)
    with pytest.raises(DatasetError, match="'b.png', which is not in"):
        dataset.image("7")
    (folder / "b.png").write_text("no picture")
    with pytest.raises(ImageError):
        dataset.image("7")
    with pytest.raises(DatasetError, match="images=FOLDER"):
        read_coco_annotations(annotations).image("42")
    content = copy.deepcopy(ANNOTATIONS)
    content["images"][0]["file_name"] = "../instances.json"
    del content["images"][1]["file_name"]
    dataset = read_coco_annotations(save(tmp_path / "other.json", content), images=folder)
    with pytest.raises(DatasetError, match="leads out of"):
        dataset.image("42")
    with pytest.raises(DatasetError, match="no file_name"):
        dataset.image("7")


RESULT = RESULTS[0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([1, 2], r"entry 2 of 2 \(\[1, 2\]\): it is a list"),
        (None, "it is null"),
        ({**RESULT, "bbox": [1, 2, 3]}, "bbox is 3 numbers; write four"),
        ({**RESULT, "bbox": None}, "bbox is null; write four"),
        ({**RESULT, "bbox": [1, 2, float("nan"), 4]}, "not a finite number"),
        ({**RESULT, "bbox": [1, 2, "3", 4]}, "not a finite number"),
        ({**RESULT, "bbox": [1, 2, True, 4]}, "not a finite number"),
        ({**RESULT, "bbox": [1, 2, 1e300, 4]}, "not a finite number"),
        ({**RESULT, "bbox": [1, 2, 10**400, 4]}, "not a finite number"),
        ({**RESULT, "bbox": [10, 10, -5, 4]}, "negative width or height"),
        ({**RESULT, "score": float("nan")}, "score nan is not a finite number"),
        ({**RESULT, "score": "high"}, "score 'high'"),
        ({**RESULT, "image_id": 43}, "image_id 43 is not one of the 2 images"),
        ({**RESULT, "image_id": 42.5}, "image_id is the number 42.5"),
        ({**RESULT, "image_id": [42]}, "image_id is a list"),
        ({**RESULT, "category_id": 1}, "category_id 1 is no category; it must be one of 3, 18"),
        ({**RESULT, "category_id": {}}, "category_id {} is no category"),
        ({"image": 42}, 'no "image_id"; a result has image_id, category_id, bbox and score'),
        ({key: RESULT[key] for key in ("image_id", "category_id", "score")}, 'no "bbox"'),
    ],
)
def test_a_bad_result_is_named(tmp_path, annotations, entry, message):
    path = save(tmp_path / "results.json", [RESULT, entry])
    with pytest.raises(DatasetError, match=r"results.json, entry 2 of 2") as caught:
        read_coco_results(path, annotations=annotations)
    assert caught.match(message)


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("images", {"id": None, "width": 1, "height": 1}, "id is None; write a whole number"),
        ("images", {"id": 1, "width": "1", "height": 1}, "width is '1'"),
        ("images", {"id": 1, "width": 1}, "height is None; write the image's height in whole pixels"),
        ("images", "a.png", "it is a text, not an object"),
        ("categories", {"id": "x", "name": "cat"}, "id is 'x'"),
        ("categories", {"id": 5}, "name is None; write the name of the category"),
        (
            "annotations",
            {"image_id": 99, "category_id": 3, "bbox": [0, 0, 1, 1]},
            'image_id 99 is not in "images"',
        ),
        (
            "annotations",
            {"image_id": 7, "category_id": 4, "bbox": [0, 0, 1, 1]},
            'category_id 4 is not in "cat',
        ),
        ("annotations", {"image_id": 7, "category_id": 3, "bbox": [0, 0, 1]}, "bbox is 3 numbers"),
        ("annotations", {"image_id": 7, "category_id": 3}, 'no "bbox"'),
    ],
)
def test_a_bad_annotation_is_named(tmp_path, part, entry, message):
    content = copy.deepcopy(ANNOTATIONS)
    content[part].append(entry)
    path = save(tmp_path / "instances.json", content)
    n = len(content[part])
    with pytest.raises(DatasetError, match=f'instances.json, "{part}", entry {n} of {n}') as caught:
        read_coco_annotations(path)
    assert caught.match(message)


def test_files_of_the_wrong_kind_are_refused(tmp_path, annotations, results):
    broken = tmp_path / "broken.json"
    for text in ('[{"image_id": 42', "", "[" * 100_000, "\xff\xfe"):
        broken.write_text(text, encoding="latin-1")
        with pytest.raises(DatasetError, match=r"broken.json is not JSON .*write it again"):
            read_coco_results(broken, annotations=annotations)
    with pytest.raises(DatasetError, match="there is no file"):
        read_coco_results(tmp_path / "absent.json", classes=["cat"])
    with pytest.raises(DatasetError, match="cannot read"):
        read_coco_annotations(tmp_path)
    with pytest.raises(DatasetError, match="read it with read_coco_annotations"):
        read_coco_results(annotations, annotations=annotations)
    with pytest.raises(DatasetError, match="holds a list, as files of results do"):
        read_coco_annotations(results)
    with pytest.raises(DatasetError, match='has no list "categories"'):
        read_coco_annotations(save(tmp_path / "x.json", {"images": []}))
    with pytest.raises(DatasetError, match='has no list "images"'):
        read_coco_annotations(save(tmp_path / "x.json", 3))
    for part, message in (("images", "an image id"), ("categories", "a category id")):
        content = copy.deepcopy(ANNOTATIONS)
        content[part].append(content[part][0])
        with pytest.raises(DatasetError, match=f"gives {message} twice"):
            read_coco_annotations(save(tmp_path / "x.json", content))
    content = copy.deepcopy(ANNOTATIONS)
    content["categories"][0]["name"] = "car"
    with pytest.raises(DatasetError, match="gives the name of a category twice"):
        read_coco_annotations(save(tmp_path / "x.json", content))


def test_other_bad_input_is_named(tmp_path, annotations, results):
    with pytest.raises(DatasetError, match="give annotations .* or classes"):
        read_coco_results(results)
    with pytest.raises(DatasetError, match="no category 'cow' in the annotations; they have car, dog"):
        read_coco_results(results, annotations=annotations, classes=["cow"])
    with pytest.raises(DatasetError, match="'12' and '000012' have the same number"):
        read_coco_results(results, classes=["cat"], image_ids=["12", "000012"])
    one = Detections(("42",), ("cow",), [], [], [], [])
    with pytest.raises(DatasetError, match="no category 'cow'"):
        write_coco_results(tmp_path / "x.json", one, annotations=annotations)
    with pytest.raises(DatasetError, match="image '43' is not one of the 2"):
        write_coco_results(tmp_path / "x.json", Detections.empty(["43"], ["dog"]), annotations=annotations)
    endless = Detections(("42",), ("dog",), [0], [0], [np.inf], [[0, 0, 1, 1]])
    with pytest.raises(DatasetError, match="infinite"):
        write_coco_results(tmp_path / "x.json", endless)
    assert not (tmp_path / "x.json").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "42", "dog", "image_id"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["image_id", "category_id", "bbox", "score", "id", "images", "annotations", "categories"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(JSON)
def test_any_json_is_read_or_refused_clearly(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("coco")
    path = save(folder / "any.json", content)
    with contextlib.suppress(DatasetError):
        read_coco_annotations(path)
    with contextlib.suppress(DatasetError):
        read_coco_results(path, classes=["cat"])


def coco_scene(rng, n_images=59):
    """One object of a class in an image, so that falling back on a second-best object cannot happen.

    With 59 of a class no recall lies on a hundredth, where rounding would decide.
    """
    images = [{"id": 1000 + 3 * i, "width": 200, "height": 200} for i in range(n_images)]
    categories = [{"id": number, "name": name} for number, name in ((1, "cat"), (17, "dog"), (90, "cow"))]
    objects, results = [], []
    for image in images:
        for category in categories:
            box = np.concatenate([rng.uniform(0, 100, 2), rng.uniform(20, 60, 2)]).round(2)
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image["id"],
                    "category_id": category["id"],
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
            )
            for _ in range(rng.integers(0, 6)):
                near = np.abs(box + rng.normal(0, 5, 4)).round(2)
                results.append(
                    {
                        "image_id": image["id"],
                        "category_id": int(rng.choice([category["id"], 90])),
                        "bbox": near.tolist(),
                        "score": float(rng.random()),
                    }
                )
    return {"images": images, "categories": categories, "annotations": objects}, results


def test_average_precision_on_coco_files_is_that_of_pycocotools(tmp_path, rng):
    coco_module = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    content, entries = coco_scene(rng)
    annotations, results = (
        save(tmp_path / "instances.json", content),
        save(tmp_path / "results.json", entries),
    )
    detections = read_coco_results(results, annotations=annotations)
    # Written again by us, pycocotools takes the file as well.
    written = write_coco_results(tmp_path / "written.json", detections, annotations=annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO(str(annotations))
        evaluation = cocoeval.COCOeval(coco, coco.loadRes(str(written)), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [1000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    theirs = evaluation.eval["precision"][0, :, :, 0, 0].mean(axis=0)
    ours = evaluate(detections, read_coco_annotations(annotations), metric="101point").ap
    assert list(ours) == ["cat", "dog", "cow"]
    assert 0.05 < theirs.min() < theirs.max() < 0.95
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-6)


def test_coco_data_can_be_diagnosed(tmp_path, rng):
    content, entries = coco_scene(rng, n_images=10)
    dataset = read_coco_annotations(save(tmp_path / "instances.json", content))
    detections = read_coco_results(save(tmp_path / "results.json", entries), annotations=dataset)
    result = tide(detections, dataset, metric="101point")
    assert result.counts().loc["all"].drop("Miss").sum() == len(entries)
    assert len(diagnose(detections, dataset).outcome) == len(entries)


@pytest.mark.real_data
def test_real_detections_survive_the_way_through_coco(real_data, tmp_path):
    folder = real_data / "voc2007_test_annotations"
    dataset = VOCDataset(folder, "test", classes=VOC_CLASSES)
    detections = read_voc_results(folder / "detections_yolov1", ["aeroplane", "cat"], image_ids=dataset.ids)
    path = write_coco_results(tmp_path / "yolo.json", detections, annotations=dataset)
    read = read_coco_results(path, annotations=dataset, classes=["aeroplane", "cat"])
    assert read.image_ids == detections.image_ids
    for name in ("image_index", "class_index", "scores", "boxes"):
        assert np.array_equal(getattr(read, name), getattr(detections, name))


def test_images_of_negative_numbers_are_images_too(tmp_path):
    entries = [{"image_id": n, "category_id": 1, "bbox": [0, 0, 4, 5], "score": 0.5} for n in (3, -1)]
    read = read_coco_results(save(tmp_path / "results.json", entries), classes=["dog"])
    assert read.image_ids == ("-1", "3")
    assert read.image_index.tolist() == [1, 0]
