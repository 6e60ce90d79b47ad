"""Queries of an index of units, where a unit looks in the image, and the file."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.errors import SettingsError, StoreError
from rcnn_helpers.networks import load_network
from rcnn_helpers.units import UnitIndex, field_geometry
from rcnn_helpers.warping import MODES, crop_geometry, warp_reference


def make_index(**changes):
    """Three channels of 2x2 cells, at most 3 regions kept, out of 10 in 4 images."""
    values = np.zeros((12, 3), np.float32)
    image_index = np.full((12, 3), -1, np.int32)
    boxes = np.zeros((12, 3, 4), np.float32)
    # Channel 0, cell (0, 1), and channel 2, the same cell: both like images 0 and 1.
    values[1], image_index[1] = [4, 3, 1], [0, 1, 1]
    values[9], image_index[9] = [2, 1, 0], [1, 0, -1]
    # Channel 1, cell (1, 0): another cell, so nothing in common.
    values[6], image_index[6] = [8, 0, 0], [0, -1, -1]
    boxes[1] = [[100, 60, 139, 138], [10, 20, 50, 60], [0, 0, 30, 30]]
    sums = np.zeros((12, 2))
    sums[1] = [8, 0]
    counts = np.zeros(12, np.int64)
    counts[1] = 3
    index = UnitIndex(
        network_name="made up",
        fingerprint="abc",
        layer="pool5",
        shape=(3, 2, 2),
        nms_iou=0.1,
        mode="warp",
        padding=16,
        input_size=227,
        image_ids=("a", "b", "c", "d"),
        n_regions=10,
        inputs="def",
        values=values,
        image_index=image_index,
        boxes=boxes,
        sums=sums,
        counts=counts,
        spans=np.array([[0, 195], [32, 227]]),
    )
    return replace(index, **changes)


def test_units_are_counted_as_in_flattened_features():
    tall = make_index(shape=(256, 6, 6), values=np.zeros((9216, 1), np.float32))
    assert tall.unit(3, 4, 5) == 36 * 3 + 6 * 4 + 5
    assert tall.place(36 * 3 + 6 * 4 + 5) == (3, 4, 5)
    assert [tall.place(tall.unit(*place)) for place in ((0, 0, 0), (255, 5, 5))] == [(0, 0, 0), (255, 5, 5)]
    assert make_index(shape=(12, 1, 1)).unit(7) == 7  # fully connected: a channel is a unit


def test_statistics():
    index = make_index()
    assert index.maximum.tolist() == [0, 4, 0, 0, 0, 0, 8, 0, 0, 2, 0, 0]
    assert index.channel_maximum.tolist() == [4, 8, 2]
    assert index.mean[1] == np.float32(0.8)
    assert index.active[1] == np.float32(0.3)
    assert (index.top, index.n_units, index.n_images) == (3, 12, 4)


def test_regions_of_a_unit():
    found = make_index().regions(1)
    assert found.image_ids == ("a", "b", "b")
    assert found.values.tolist() == [4, 3, 1]
    assert found.scaled.tolist() == [1, 0.75, 0.25]
    assert found.boxes[1].tolist() == [10, 20, 50, 60]
    assert len(make_index().regions(1, 2)) == 2
    assert len(make_index().regions(9)) == 2  # what is empty is left out
    dead = make_index().regions(0, 5)
    assert len(dead) == 0 and dead.fields.shape == (0, 4) and dead.image_ids == ()


def test_values_are_scaled_by_the_maximum_of_the_whole_channel():
    index = make_index()
    index.values[0], index.image_index[0] = [16, 0, 0], [3, -1, -1]
    assert index.regions(1).scaled.tolist() == [0.25, 0.1875, 0.0625]


def test_field_of_a_region_by_hand():
    # With padding 16 the crop of the box shows 227/195 of it: centre (119.5, 99), reach 22.7 and 45.4. The
    # original rounds that to the window (97, 54, 143, 145), 46 x 91 pixels. Of the crop the unit sees what lies
    # right of x = 32 and above y = 195.
    index = make_index()
    unit = index.unit(0, 0, 1)
    assert index.field(unit).tolist() == [32, 0, 227, 195]
    expected = [97 + 32 * 46 / 227, 54, 143, 54 + 195 * 91 / 227]
    assert_allclose(index.regions(unit).fields[0], expected, rtol=1e-6)
    # Without padding the crop shows the box.
    unpadded = make_index(padding=0).fields(unit, [[100, 60, 139, 138]])
    assert_allclose(unpadded[0], [100 + 32 * 39 / 227, 60, 139, 60 + 195 * 78 / 227], rtol=1e-6)


def test_fields_of_the_quarter_tnet():
    geometry = field_geometry(load_network("quarter_tnet"))
    index = make_index(shape=(64, 6, 6), values=np.zeros((2304, 1), np.float32), spans=geometry.spans)
    for row in range(6):
        for column in range(6):
            assert_array_equal(index.field(index.unit(11, row, column)), geometry.box((row, column)))


@settings(max_examples=150)
@given(data=st.data())
def test_fields_lie_where_the_warp_reads(data):
    """In an image whose pixels say where they are, each pixel of the crop tells where it comes from."""
    height, width = data.draw(st.integers(40, 250)), data.draw(st.integers(40, 250))
    x1, y1 = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    x2, y2 = data.draw(st.integers(x1 + 6, width)), data.draw(st.integers(y1 + 6, height))
    mode, size = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from([35, 64]))
    padding = data.draw(st.sampled_from([0, 3, 6]))
    box = [x1, y1, x2, y2]
    geometry = crop_geometry([box], height, width, size=size, mode=mode, padding=padding)
    left, top, right, bottom = geometry.target[0]
    assume(right - left > 4 and bottom - top > 4)
    places = np.zeros((height, width, 3), np.uint8)
    places[..., 0], places[..., 1] = np.arange(width), np.arange(height)[:, None]
    crop = warp_reference(places, box, size=size, mode=mode, padding=padding)

    # Units that see one pixel of the crop each; away from the edge, where the warp repeats the last pixel.
    spans = np.stack([np.arange(size), np.arange(size) + 1], axis=1)
    index = make_index(shape=(1, size, size), values=np.zeros((size**2, 1), np.float32), spans=spans)
    index = replace(index, mode=mode, padding=padding, input_size=size)
    row, column = (top + bottom) // 2, (left + right) // 2
    (field,) = index.fields(index.unit(0, row, column), [box])
    middle = (field[:2] + field[2:]) / 2  # of pixel n, the middle is at n + 0.5
    is_whole = (geometry.source == geometry.window).all()
    pixel = (geometry.window[0, 2:] - geometry.window[0, :2]) / size  # of the crop, in the image
    # Where a part of the window is filled, the rest is moved to whole pixels of the crop.
    assert_allclose(middle, crop[row, column, :2] + 0.5, atol=1e-3 if is_whole else 1.01 * pixel.max())


def test_similar_channels():
    # Descriptions of cell (0, 1), images a and b: channel 0 is (4, 3) / 4, channel 2 is (1, 2) / 2; cosine 0.894.
    index = make_index()
    assert index.similar_channels(0).tolist() == [2, 1]
    assert index.similar_channels(2, 1).tolist() == [0]
    likeness = (index._descriptions[0] @ index._descriptions[2].T).toarray()[0, 0]
    assert likeness == pytest.approx((4 * 1 + 3 * 2) / (5 * 5**0.5))
    silent = make_index(values=np.zeros((12, 3), np.float32))
    assert silent.similar_channels(1).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.unit(3, 0, 0), "no channel 3; there are 0 to 2"),
        (lambda index: index.unit(0, 0, -1), "no column -1; there are 0 to 1"),
        (lambda index: index.regions(12), "no unit 12; there are 0 to 11"),
        (lambda index: index.field(-1), "no unit -1"),
        (lambda index: index.similar_channels(5), "no channel 5"),
    ],
)
def test_units_that_are_not_there(call, message):
    with pytest.raises(SettingsError, match=message):
        call(make_index())


def test_what_is_saved_is_read_back(tmp_path):
    path = tmp_path / "deep" / "units.safetensors"
    index = make_index()
    index.save(path)
    again = UnitIndex.load(path)
    for name, value in vars(index).items():
        if isinstance(value, np.ndarray):
            assert_array_equal(getattr(again, name), value)
            assert getattr(again, name).dtype == value.dtype
        else:
            assert getattr(again, name) == value
    content = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == content


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "units.safetensors"
    with pytest.raises(StoreError, match="there is no index"):
        UnitIndex.load(path)
    make_index().save(path)
    content = path.read_bytes()
    for place in range(8, len(content), 97):
        spoilt = bytearray(content)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        with pytest.raises(StoreError, match="units.safetensors"):
            UnitIndex.load(path)
    for length in (0, 4, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError, match="no sound index"):
            UnitIndex.load(path)
    load_network("quarter_tnet", weights="random").save(path)
    with pytest.raises(StoreError, match="is not an index of units"):
        UnitIndex.load(path)
