"""Similar classes: the shipped sets against the paper's and ToyVOC's own families, and files of one's own."""

import json

import numpy as np
import pytest

from rcnn_helpers.datasets.toyvoc.toys import CATEGORIES, FAMILIES
from rcnn_helpers.datasets.voc import VOC_CLASSES
from rcnn_helpers.diagnosis import SimilarClasses, similar_classes
from rcnn_helpers.errors import DatasetError, RCNNError


def test_voc_has_the_sets_of_hoiem():
    similar = similar_classes(VOC_CLASSES)
    assert similar.classes == VOC_CLASSES
    assert set(similar.of("person")) == {"bird", "cat", "cow", "dog", "horse", "sheep"}
    assert set(similar.of("bird")) == {"aeroplane", "cat", "cow", "dog", "horse", "sheep", "person"}
    assert set(similar.of("bicycle")) == {"aeroplane", "boat", "bus", "car", "motorbike", "train"}
    assert similar.of("chair") == ("diningtable", "sofa")
    for alone in ("bottle", "pottedplant", "tvmonitor"):
        assert similar.of(alone) == ()


def test_persons_are_in_no_group_of_voc():
    groups = similar_classes(VOC_CLASSES).groups
    assert list(groups) == ["animals", "vehicles", "furniture"]
    assert groups["animals"] == ("bird", "cat", "cow", "dog", "horse", "sheep")
    assert sorted(sum(groups.values(), ())) == sorted(
        set(VOC_CLASSES) - {"person", "bottle", "pottedplant", "tvmonitor"}
    )


def test_toyvoc_has_its_families():
    similar = similar_classes(CATEGORIES)
    assert {group: set(names) for group, names in similar.groups.items()} == {
        family: set(names) for family, names in FAMILIES.items()
    }
    for names in FAMILIES.values():
        for name in names:
            assert set(similar.of(name)) == set(names) - {name}


@pytest.mark.parametrize("classes", [VOC_CLASSES, CATEGORIES])
def test_similarity_is_mutual_and_not_with_oneself(classes):
    matrix = similar_classes(classes).matrix
    assert (matrix == matrix.T).all()
    assert not np.diag(matrix).any()


def test_unknown_classes_are_similar_to_none_and_in_one_group():
    similar = similar_classes(["rose", "tulip"])
    assert similar.of("rose") == ()
    assert similar.groups == {"all": ("rose", "tulip")}


def test_an_unknown_class_among_known_ones_puts_all_in_one_group():
    similar = similar_classes(["wolf", "dog", "cat"])
    assert similar.of("dog") == ("cat",)
    assert similar.of("wolf") == ()
    assert similar.groups == {"all": ("wolf", "dog", "cat")}


def test_some_of_the_classes_in_any_order():
    similar = similar_classes(["sheep", "train", "person"])
    assert similar.of("person") == ("sheep",)
    assert similar.groups == {"animals": ("sheep",), "vehicles": ("train",)}
    assert similar_classes(["person"]).groups == {"all": ("person",)}
    assert similar_classes([]).matrix.shape == (0, 0)


def test_other_classes_than_those_it_was_made_for():
    similar = similar_classes(VOC_CLASSES)
    assert similar.for_classes(VOC_CLASSES) is similar
    fewer = similar.for_classes(["dog", "bus", "cat"])
    assert fewer.of("dog") == ("cat",) and fewer.of("bus") == ()
    assert fewer.groups == {"animals": ("dog", "cat"), "vehicles": ("bus",)}
    more = similar.for_classes(["dog", "wolf", "cat"])
    assert more.of("dog") == ("cat",) and more.groups == {"all": ("dog", "wolf", "cat")}


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "garden.json"
    content = {"classes": ["ant", "bee", "rose"], "similar": [["ant", "bee"]]}
    path.write_text(json.dumps(content))
    similar = SimilarClasses.read(path)
    assert similar.classes == ("ant", "bee", "rose")
    assert similar.of("bee") == ("ant",)
    assert similar.groups == {"all": ("ant", "bee", "rose")}
    path.write_text(json.dumps(content | {"groups": {"insects": ["bee", "ant"]}, "source": "a gardener"}))
    assert SimilarClasses.read(path, ["bee", "ant"]).groups == {"insects": ("bee", "ant")}
    assert SimilarClasses.read(path).source == "a gardener"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ('{"classes": ["ant"]}', "'similar'"),
        ('{"classes": "ant", "similar": []}', "not a list of names"),
        ('{"classes": ["ant"], "similar": [], "groups": ["ant"]}', "not the form"),
        ('["ant"]', "not the form"),
        ('{"classes": ["ant"], "similar": [["ant", "bee"]]}', "'bee' similar or grouped"),
        ('{"classes": ["ant"], "similar": [], "groups": {"all": ["bee"]}}', "'bee' similar or grouped"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        SimilarClasses.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_an_unknown_name(tmp_path):
    with pytest.raises(DatasetError, match="none.json"):
        SimilarClasses.read(tmp_path / "none.json")
    with pytest.raises(RCNNError, match="'whale'.*choose one of cat, dog"):
        similar_classes(["cat", "dog"]).of("whale")
