"""pool5 of dense windows against crops sent through the network one by one."""

import cv2
import numpy as np
import pytest
import torch

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.networks import load_network
from rcnn_helpers.sliding_window_detector import (
    Level,
    dense_pool5,
    pool5_of_boxes,
    window_geometry,
)
from rcnn_helpers.units import field_geometry
from rcnn_helpers.warping import context_boxes

# Of the 6x6 cells of a crop, those whose receptive field lies inside it: only they have nothing padded in them.
# AlexNet's first layer pads 2 pixels more, and SqueezeNet's units see 239 of 224 pixels: neither has such a cell.
INTERIOR = {"quarter_tnet": 2, "alexnet": 0, "squeezenet1_1": 0}


@pytest.fixture(scope="module", params=["quarter_tnet", "alexnet", "squeezenet1_1"])
def network(request):
    return load_network(request.param, weights="random", device="cpu")


@pytest.fixture(scope="module")
def tnet():
    return load_network("quarter_tnet", weights="random", device="cpu")


def smooth_picture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 20 + 2, width // 20 + 2, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height))


def at_scale_one(network, rows, columns, **options):
    """A picture that its only level does not scale, and that level."""
    geometry = window_geometry(network, **options)
    height, width = (geometry.inner + (n - 1) * geometry.stride for n in (rows, columns))
    return smooth_picture(height, width), Level(height, width, rows, columns, geometry)


def all_windows(network, image, levels, **options):
    parts = zip(*dense_pool5(network, image, levels, precision="float32", **options), strict=True)
    return tuple(map(np.concatenate, parts))


def padded(network, image, border):
    """The picture as the network reads it, with a border of the mean, float32 [H, W, 3]."""
    pixels = (image - np.float32(network.mean)) / np.float32(network.std)
    return np.pad(pixels, [(border, border), (border, border), (0, 0)])


@torch.inference_mode()
def crop_pool5(network, pixels):
    crop = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return network.features(crop, ["pool5"])["pool5"].numpy().reshape(network.feature_shape("pool5"))


def test_the_geometry_of_the_t_net_by_hand(tnet):
    geometry = window_geometry(tnet)
    assert (geometry.size, geometry.inner, geometry.stride) == (227, 195, 32)  # sec. 3.1: 227 and 195 pixels
    assert (geometry.cell, geometry.cells) == (16, 13)  # conv5 has 13x13 cells, 4*2*2 pixels apart
    assert geometry.margin == 64  # paddings: 2 cells of 8 pixels and 3 times 1 of 16


def test_where_no_zero_is_padded_a_window_equals_the_crop_of_its_square(network):
    image, level = at_scale_one(network, 4, 5)
    geometry = level.geometry
    boxes, pool5 = all_windows(network, image, [level])
    pixels = padded(network, image, geometry.padding)
    field = field_geometry(network, "pool5")
    first = field.start + field.stride * np.arange(field.cells)
    inside = (first >= 0) & (first + field.size <= network.input_size)
    assert inside.sum() == INTERIOR[network.name]
    for row, column in ((1, 2), (2, 1), (2, 3)):
        y, x = geometry.stride * row, geometry.stride * column
        crop = crop_pool5(network, pixels[y : y + geometry.size, x : x + geometry.size])
        window = pool5[5 * row + column].reshape(crop.shape)
        error = np.abs(window - crop).max(axis=0) / np.abs(crop).max()
        assert error[np.ix_(inside, inside)].max(initial=0) < 1e-5
        assert np.delete(error, np.flatnonzero(inside), axis=0).max() > 1e-3


def test_a_window_equals_the_middle_of_a_larger_crop_in_every_cell(network):
    image, level = at_scale_one(network, 8, 8)
    geometry = level.geometry
    boxes, pool5 = all_windows(network, image, [level])
    y, x = 3 * geometry.stride, 4 * geometry.stride
    around = padded(network, image, geometry.padding)[
        y - geometry.margin : y + geometry.size + geometry.margin,
        x - geometry.margin : x + geometry.size + geometry.margin,
    ]
    skip = geometry.margin // geometry.cell
    with torch.inference_mode():
        cells = network.module.trunk(torch.from_numpy(around.copy()).permute(2, 0, 1)[None])
        cells = cells[:, :, skip : skip + geometry.cells, skip : skip + geometry.cells]
        expected = network.module.pool5(cells).flatten().numpy()
    np.testing.assert_allclose(pool5[8 * 3 + 4], expected, atol=1e-5 * expected.max())


def test_a_picture_of_one_window_is_padded_as_a_crop_is(tnet):
    image, level = at_scale_one(tnet, 1, 1)
    boxes, pool5 = all_windows(tnet, image, [level])
    expected = crop_pool5(tnet, padded(tnet, image, 16))
    assert boxes.tolist() == [[0, 0, 195, 195]]
    np.testing.assert_allclose(pool5[0], expected.ravel(), atol=1e-5 * expected.max())


@pytest.mark.parametrize("tile, chunk", [(1, 2048), (450, 7), (600, 1)])
def test_neither_tiles_nor_chunks_make_a_difference(tnet, tile, chunk):
    image, level = at_scale_one(tnet, 6, 9)
    boxes, pool5 = all_windows(tnet, image, [level])
    sizes = [len(part) for part, _ in dense_pool5(tnet, image, [level], tile=tile, chunk=chunk)]
    tiled_boxes, tiled = all_windows(tnet, image, [level], tile=tile, chunk=chunk)
    assert max(sizes) <= chunk
    order, tiled_order = (np.lexsort(each.T) for each in (boxes, tiled_boxes))
    assert np.array_equal(boxes[order], tiled_boxes[tiled_order])
    np.testing.assert_allclose(tiled[tiled_order], pool5[order], atol=1e-5 * pool5.max())


def test_half_the_stride_gives_four_times_the_windows_and_the_same_ones_among_them(tnet):
    image, coarse = at_scale_one(tnet, 3, 4)
    fine = Level(coarse.height, coarse.width, 5, 7, window_geometry(tnet, stride=16))
    assert fine.scaled == coarse.scaled
    _, pool5 = all_windows(tnet, image, [coarse])
    _, finer = all_windows(tnet, image, [fine])
    every_other = finer.reshape(5, 7, -1)[::2, ::2].reshape(12, -1)
    np.testing.assert_allclose(every_other, pool5, atol=1e-5 * pool5.max())


def test_scaled_pictures_are_what_opencv_makes_of_them(tnet):
    geometry = window_geometry(tnet)
    image = smooth_picture(120, 170)
    level = Level(120, 170, 4, 3, geometry)
    scaled = cv2.resize(image.astype(np.float32), level.scaled[::-1], interpolation=cv2.INTER_LINEAR)
    _, pool5 = all_windows(tnet, image, [level])
    _, expected = all_windows(tnet, scaled, [Level(*level.scaled, 4, 3, geometry)])
    np.testing.assert_allclose(pool5, expected, atol=1e-4 * expected.max())


def test_boxes_on_the_grid_have_the_features_of_windows(tnet):
    """By way of the warper, whose windows are rounded and one pixel wider: alike, not equal."""
    image, level = at_scale_one(tnet, 8, 8)
    boxes, pool5 = all_windows(tnet, image, [level])
    inner = [8 * row + column for row in (3, 4) for column in (3, 4)]
    found = pool5_of_boxes(tnet, image, boxes[inner], level.geometry, precision="float32")
    for a, b, other in zip(found, pool5[inner], pool5[[0, 7, 56, 63]], strict=True):
        similarity = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert similarity > 0.98 > a @ other / np.linalg.norm(a) / np.linalg.norm(other)
    assert pool5_of_boxes(tnet, image, [], level.geometry).shape == (0, 2304)


def test_boxes_are_the_crops_without_their_context(tnet):
    _, level = at_scale_one(tnet, 3, 4)
    corners = 32.0 * np.array([(x, y) for y in range(3) for x in range(4)])
    windows = np.hstack([corners - 16, corners + 211])  # 227 pixels, in a picture that begins 16 pixels later
    np.testing.assert_allclose(context_boxes(level.boxes()), windows, atol=1e-3)


@pytest.mark.parametrize("options", [{"stride": 24}, {"stride": 0}, {"padding": 114}, {"padding": -1}])
def test_a_stride_or_padding_that_does_not_fit_is_refused(tnet, options):
    with pytest.raises(SettingsError):
        window_geometry(tnet, **options)
