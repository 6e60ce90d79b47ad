import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.baselines import HOG, Descriptor, NetworkLayer, RawPixels
from rcnn_helpers.baselines.hog import hog
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.features import extract
from rcnn_helpers.networks import load_network
from rcnn_helpers.warping import warp_reference


@pytest.fixture
def image(rng):
    """Blocks of noise, so that a warp has something smooth to read."""
    small = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    return small.repeat(6, axis=0).repeat(6, axis=1)


@pytest.fixture
def boxes(rng):
    corners = rng.integers(0, 60, (9, 2))
    return np.concatenate([corners, corners + rng.integers(2, 30, (9, 2))], axis=1).astype(np.float32)


# -- raw pixels ----------------------------------------------------------------------------------------------


def block_means(crop, step):
    size = len(crop) // step
    return np.array(
        [
            [
                crop[r * step : (r + 1) * step, c * step : (c + 1) * step].mean(axis=(0, 1))
                for c in range(size)
            ]
            for r in range(size)
        ]
    )


def test_raw_pixels_are_block_means_of_the_warped_box(image, boxes):
    found = RawPixels(6, padding=1, oversampling=3, contrast=False).describe(image, boxes)
    assert found.shape == (len(boxes), 6 * 6 * 3) and found.dtype == np.float32
    for box, row in zip(boxes, found, strict=True):
        crop = warp_reference(image, box, size=18, padding=3, fill="replicate")
        assert_allclose(row.reshape(6, 6, 3), block_means(crop, 3) / 127.5 - 1, atol=1e-4)


def test_contrast_takes_light_and_exposure_away(image, boxes):
    dim = (image // 2 + 20).astype(np.uint8)
    descriptor = RawPixels(8)
    bright, dark = descriptor.describe(image, boxes), descriptor.describe(dim, boxes)
    assert_allclose(bright.mean(axis=1), 0, atol=1e-5)
    assert_allclose(bright.std(axis=1), 1, atol=1e-4)
    assert_allclose(bright, dark, atol=0.05)  # halves of odd levels are cut


def test_a_region_of_one_colour_stays_zero():
    plain = np.full((30, 30, 3), 77, np.uint8)
    assert_array_equal(RawPixels(4).describe(plain, [[3, 3, 20, 20]]), 0)


# -- HOG -----------------------------------------------------------------------------------------------------


def hog_reference(crop, cell_size):
    """Slow and plain: each pixel's vote goes to every cell and direction that is less than one step away."""
    crop = crop.astype(np.float64)
    side = len(crop)
    n_cells = side // cell_size
    padded = np.pad(crop, ((1, 1), (1, 1), (0, 0)), mode="edge")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    steepest = (dx**2 + dy**2).argmax(axis=2)[..., None]
    dx, dy = (np.take_along_axis(d, steepest, axis=2)[..., 0] for d in (dx, dy))
    length, angle = np.hypot(dx, dy), np.degrees(np.arctan2(dy, dx))

    centres = (np.arange(n_cells) + 0.5) * cell_size
    near = np.clip(1 - np.abs(np.arange(side)[:, None] + 0.5 - centres) / cell_size, 0, None)  # [side, cells]
    directions = np.arange(18) * 20.0
    turn = np.abs((angle[..., None] - directions + 180) % 360 - 180)
    vote = length[..., None] * np.clip(1 - turn / 20, 0, None)
    signed = np.einsum("yr,xc,yxd->rcd", near, near, vote)
    unsigned = signed[..., :9] + signed[..., 9:]

    found = np.zeros((n_cells - 2, n_cells - 2, 31))
    for r in range(1, n_cells - 1):
        for c in range(1, n_cells - 1):
            blocks = [(r - 1, c - 1), (r - 1, c), (r, c - 1), (r, c)]
            for k, (top, left) in enumerate(blocks):
                energy = (unsigned[top : top + 2, left : left + 2] ** 2).sum()
                scaled = np.minimum(signed[r, c] / np.sqrt(energy + 1e-4), 0.2)
                found[r - 1, c - 1, :18] += 0.5 * scaled
                found[r - 1, c - 1, 18:27] += 0.5 * np.minimum(unsigned[r, c] / np.sqrt(energy + 1e-4), 0.2)
                found[r - 1, c - 1, 27 + k] = scaled.sum() / np.sqrt(18)
    return found


@pytest.mark.parametrize("cell_size", [4, 5, 8])
def test_hog_agrees_with_a_slow_reference(rng, cell_size):
    crops = rng.uniform(0, 255, (3, 5 * cell_size, 5 * cell_size, 3)).astype(np.float32)
    crops[1, :, : 2 * cell_size] = 80  # cells without any gradient
    found = hog(crops, cell_size)
    assert found.shape == (3, 3, 3, 31)
    for crop, cells in zip(crops, found, strict=True):
        assert_allclose(cells, hog_reference(crop, cell_size), atol=2e-4)


def test_hog_of_boxes_is_that_of_their_warped_crops(image, boxes):
    descriptor = HOG(3, cell_size=6)
    found = descriptor.describe(image, boxes)
    assert found.shape == (len(boxes), descriptor.dim) == (len(boxes), 3 * 3 * 31)
    for box, row in zip(boxes, found, strict=True):
        crop = warp_reference(image, box, size=30, padding=6, fill="replicate")
        assert_allclose(row.reshape(3, 3, 31), hog_reference(crop, 6), atol=2e-3)


def test_an_edge_falls_into_its_own_direction():
    # Dark above, bright below: the gradient points down, at 90 degrees, between directions 80 and 100.
    crop = np.zeros((1, 24, 24, 3), np.float32)
    crop[:, 12:] = 200
    middle = hog(crop, 8)[0, 0, 0]
    assert set(np.flatnonzero(middle[:18] > 1e-6)) == {4, 5}
    assert middle[4] == pytest.approx(middle[5])
    # The picture turned over has the opposite direction, and the same one without its sign.
    turned = hog(crop[:, ::-1], 8)[0, 0, 0]
    assert set(np.flatnonzero(turned[:18] > 1e-6)) == {13, 14}
    assert_allclose(turned[18:27], middle[18:27], atol=1e-5)


def test_hog_does_not_mind_contrast(image, boxes):
    dim = (image // 4).astype(np.uint8)
    found, dimmed = (HOG(4).describe(picture, boxes) for picture in (image, dim))
    assert np.abs(found - dimmed).mean() < 0.02 < found.mean()


def test_hog_of_a_plain_picture_is_zero():
    assert_array_equal(hog(np.full((2, 32, 32, 3), 50, np.float32), 8), 0)


def test_hog_refuses_crops_that_are_not_whole_cells():
    with pytest.raises(ValueError, match="multiple of the cell size 8"):
        hog(np.zeros((1, 30, 30, 3), np.float32), 8)


# -- the network's layers, and what all have in common ---------------------------------------------------------


def test_a_layer_of_a_network_has_the_same_face(image, boxes):
    network = load_network("quarter_tnet", weights="random")
    descriptor = NetworkLayer(network, "fc6", precision="float32")
    wanted = extract(network, image, boxes, layers=("fc6",), precision="float32")["fc6"]
    assert_array_equal(descriptor.describe(image, boxes), wanted)
    assert (descriptor.name, descriptor.dim) == ("fc6", 1024)
    with pytest.raises(SettingsError, match="has no layer 'fc9'"):
        NetworkLayer(network, "fc9")


@pytest.mark.parametrize("descriptor", [RawPixels(), HOG()], ids=lambda d: d.name)
def test_no_boxes_and_many_boxes(descriptor, image, rng):
    assert descriptor.describe(image, np.empty((0, 4))).shape == (0, descriptor.dim)
    corners = rng.integers(0, 60, (300, 2))
    many = np.concatenate([corners, corners + rng.integers(2, 30, (300, 2))], axis=1)
    found = descriptor.describe(image, many)
    assert_allclose(found[290:], descriptor.describe(image, many[290:]), atol=1e-5)


def test_equal_settings_have_equal_identities():
    assert RawPixels(8).identity() == RawPixels(8).identity() != RawPixels(9).identity()
    assert HOG(8).identity() == HOG(8).identity() != HOG(8, cell_size=9).identity()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RawPixels(0), "size of raw pixels is 0"),
        (lambda: RawPixels(4, padding=2), "padding of raw pixels is 2; with size 4 it can be 0 to 1"),
        (lambda: HOG(2.5), "cells of HOG is 2.5"),
        (lambda: HOG(8, cell_size=-1), "cell_size of HOG is -1"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_a_descriptor_of_ones_own_needs_one_method():
    class MeanColour(Descriptor):
        name, dim = "mean colour", 3

        def describe_prepared(self, prepared, boxes):
            rows = [prepared[int(b[1]) : int(b[3]), int(b[0]) : int(b[2])].mean(axis=(0, 1)) for b in boxes]
            return np.array(rows, np.float32)

    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5] = (10, 20, 30)
    found = MeanColour().fit(None).describe(picture, [[0, 0, 10, 5], [0, 0, 10, 10]])
    assert_allclose(found, [[10, 20, 30], [5, 10, 15]])
