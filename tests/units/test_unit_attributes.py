"""Attributes of pixels: against counts made the slow way, colours picked by hand, and ToyVOC's own maps."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rcnn_helpers.datasets.toyvoc import open_toyvoc
from rcnn_helpers.datasets.toyvoc.part_maps import part_maps
from rcnn_helpers.units.attributes import (
    COLOURS,
    Attribute,
    attributes_of_part,
    colour_names,
    highlights,
    label_shares,
    pixel_attributes,
)


@settings(max_examples=60)
@given(
    labels=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
    ),
    boxes=st.lists(st.tuples(*[st.integers(-4, 16)] * 4), max_size=6),
)
def test_shares_are_those_of_the_pixels_cut_out(labels, boxes):
    found = label_shares(labels, 4, boxes)
    assert found.shape == (len(boxes), 4)
    for share, (x1, y1, x2, y2) in zip(found, boxes, strict=True):
        cut = labels[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
        if cut.size == 0:
            assert np.isnan(share).all()
        else:
            np.testing.assert_allclose(share, np.bincount(cut.ravel(), minlength=4) / cut.size, rtol=1e-6)


def test_boxes_are_rounded_to_whole_pixels():
    labels = np.arange(4, dtype=np.uint8)[None].repeat(3, axis=0)
    np.testing.assert_allclose(label_shares(labels, 4, [[0.6, 0, 2.6, 2.4]]), [[0, 0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 30), "red"),
        ((250, 140, 20), "orange"),
        ((120, 70, 25), "brown"),
        ((240, 220, 30), "yellow"),
        ((40, 160, 50), "green"),
        ((40, 210, 210), "turquoise"),
        ((30, 60, 220), "blue"),
        ((130, 40, 190), "purple"),
        ((240, 60, 180), "pink"),
        ((10, 12, 9), "black"),
        ((130, 128, 126), "grey"),
        ((250, 250, 248), "white"),
        ((40, 5, 5), "black"),
    ],
)
def test_colours_have_the_names_a_person_gives_them(rgb, name):
    assert COLOURS[colour_names(np.array([[rgb]], np.uint8))[0, 0]] == name


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name_that_fits_the_standard_librarys_hue(rgb):
    name = COLOURS[colour_names(np.array([[rgb]], np.uint8))[0, 0]]
    hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in rgb))
    if value < 0.19:
        assert name == "black"
    elif saturation < 0.19 and value > 0.21:
        assert name in ("grey", "white")
    elif saturation > 0.21 and value > 0.21 and 80 < 360 * hue < 160:
        assert name == "green"


def test_highlights_are_small_and_brighter_than_their_surroundings():
    image = np.full((60, 80, 3), 90, np.uint8)
    image[10:14, 10:14] = 250  # a glint
    image[10:14, 40:44] = 130  # a spot, but not bright
    image[30:55, 10:60] = 250  # bright, but a surface
    expected = np.zeros((60, 80), bool)
    expected[10:14, 10:14] = True
    found = highlights(image)
    assert (found[:25] == expected[:25]).all()
    assert not found[34:50, 14:56].any()


def test_what_a_part_counts_for():
    assert attributes_of_part("car:wheel") == (
        Attribute("family", "vehicles"),
        Attribute("class", "car"),
        Attribute("class part", "car:wheel"),
        Attribute("part", "wheel"),
    )
    assert Attribute("part", "ball") not in attributes_of_part("clutter:ball")


def test_attributes_of_a_toyvoc_picture_are_those_of_its_maps(tmp_path):
    dataset = open_toyvoc("test", counts={"train": 1, "val": 1, "test": 1}, root=tmp_path, n_jobs=1)
    (image_id,) = dataset.ids
    attributes, shares = pixel_attributes(dataset, image_id).shares([[0, 0, 9999, 9999], [500, 0, 600, 10]])
    assert np.isnan(shares[1]).any()
    share = dict(zip(attributes, shares[0].tolist(), strict=True))
    maps = part_maps(dataset, image_id)
    for label, name in enumerate(maps.part_names):
        assert share[Attribute("class part", name)] == pytest.approx((maps.parts == label).mean())
    for label, name in enumerate(maps.surface_names):
        assert share[Attribute("surface", name)] == pytest.approx((maps.surfaces == label).mean())
    by_kind = {
        kind: sum(s for a, s in share.items() if a.kind == kind) for kind in ("class", "surface", "colour")
    }
    assert by_kind == pytest.approx({"class": 1, "surface": 1, "colour": 1})


class Photographs:
    """A data set that knows nothing of parts."""

    def __init__(self, root, image):
        self.root, self._image = root, image

    def image(self, image_id):
        return self._image


def test_of_photographs_colours_are_known_and_large_ones_are_shrunk(tmp_path):
    image = np.zeros((1000, 2000, 3), np.uint8)
    image[:, :1000] = (220, 20, 30)
    named = pixel_attributes(Photographs(tmp_path, image), "x")
    assert named.layers[0][0].shape == (250, 500)
    attributes, shares = named.shares([[0, 0, 1000, 1000], [500, 0, 1500, 1000]])
    red = attributes.index(Attribute("colour", "red"))
    np.testing.assert_allclose(shares[:, red], [1, 0.5], atol=0.01)
    assert {attribute.kind for attribute in attributes} == {"colour", "light"}
