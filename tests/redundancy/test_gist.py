"""GIST against a slow reference: direct sums over a mirrored plane instead of Fourier transforms."""

import cv2
import numpy as np
import pytest
from drawn_pictures import drawn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rcnn_helpers.errors import ImageError
from rcnn_helpers.redundancy import DIMENSION, gist, mirrored
from rcnn_helpers.redundancy import gist as gist_function
from rcnn_helpers.redundancy.gist import block_means, filter_bank, local_contrast, responses, warp

PERIOD = 64  # of the plane of mirrored tiles


def mirrored_plane(plane):
    """Four tiles by a walk over every pixel: 0 1 ... 31 31 ... 1 0, and again."""
    walk = [i if i < 32 else 63 - i for i in range(PERIOD)]
    return np.array([[plane[y, x] for x in walk] for y in walk], dtype=np.float64)


def kernel_of(transfer):
    """The kernel of a filter by an inverse Fourier sum, term by term."""
    waves = np.exp(2j * np.pi * np.outer(np.arange(PERIOD), np.arange(PERIOD)) / PERIOD)
    return waves @ transfer @ waves / PERIOD**2


def convolved_at(plane, kernel, y, x):
    """One pixel of a circular convolution: every pixel of the plane times the kernel at its distance."""
    steps_y = (y - np.arange(PERIOD)) % PERIOD
    steps_x = (x - np.arange(PERIOD)) % PERIOD
    return (plane * kernel[np.ix_(steps_y, steps_x)]).sum()


def transfer(scale, number, n):
    """What a filter lets pass, frequency by frequency."""
    table = np.zeros((PERIOD, PERIOD))
    centre, step = 0.3 / 1.85**scale, np.pi / n
    for i in range(PERIOD):
        for j in range(PERIOD):
            down, right = ((f if f < 32 else f - 64) / 64 for f in (i, j))
            radius = (down * down + right * right) ** 0.5
            if radius == 0:
                continue
            away = np.angle(np.exp(1j * (np.arctan2(down, right) - number * step)))
            table[i, j] = np.exp(
                -(((radius / centre - 1) / 0.38) ** 2) / 2 - ((away / (0.72 * step)) ** 2) / 2
            )
    return table


def slow_contrast(image):
    """Local contrast of a 32 x 32 picture with direct sums, float64 [3, 32, 32]."""
    frequencies = np.array([f if f < 32 else f - 64 for f in range(PERIOD)]) * 32 / 64
    squared = frequencies[:, None] ** 2 + frequencies**2
    smoothing = kernel_of(0.5 ** (squared / 4.0**2)).real

    def smooth(plane):
        around = mirrored_plane(plane)
        return np.array([[convolved_at(around, smoothing, y, x) for x in range(32)] for y in range(32)])

    light = np.log(1 + image.astype(np.float64)).transpose(2, 0, 1)
    fine = np.array([plane - smooth(plane) for plane in light])
    strength = np.sqrt(smooth((fine[0] ** 2 + fine[1] ** 2 + fine[2] ** 2) / 3))
    return fine / (0.2 + strength)


@pytest.fixture(scope="module")
def small():
    return warp(drawn(3))


@pytest.fixture(scope="module")
def slow_fine(small):
    return slow_contrast(small)


def test_local_contrast_is_that_of_direct_sums(small, slow_fine):
    assert np.allclose(local_contrast(small[None])[0], slow_fine, atol=2e-5)


@pytest.mark.parametrize(
    ("place", "scale", "number", "n"), [(0, 0, 0, 8), (5, 0, 5, 8), (10, 1, 2, 8), (19, 2, 3, 4)]
)
def test_responses_are_those_of_direct_sums(small, slow_fine, place, scale, number, n):
    kernel = kernel_of(transfer(scale, number, n))
    for channel in (0, 2):
        around = mirrored_plane(slow_fine[channel])
        for y, x in [(0, 0), (31, 31), (7, 20), (16, 3), (31, 0)]:
            expected = abs(convolved_at(around, kernel, y, x))
            assert responses(small[None])[0, channel, place, y, x] == pytest.approx(
                expected, rel=1e-3, abs=1e-5
            )


def test_the_descriptor_is_the_block_means_in_order_and_of_length_1(small):
    strength = responses(small[None])[0].astype(np.float64)
    numbers = [
        strength[channel, number, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].mean()
        for channel in range(3)
        for number in range(20)
        for row in range(4)
        for column in range(4)
    ]
    expected = np.array(numbers) / np.linalg.norm(numbers)
    assert np.allclose(gist([small])[0], expected, atol=1e-6)
    assert len(numbers) == DIMENSION == 960


def test_filters_pass_their_own_frequency_and_orientation_best():
    """Stripes across: only the frequency down the picture counts, and each scale has its favourite."""
    bank = filter_bank()
    assert bank.shape == (20, 64, 64) and bank[:, 0, 0].max() == 0
    x = np.arange(32)
    for scale, first, n in ((0, 0, 8), (1, 8, 8), (2, 16, 4)):
        wave = 127 + 60 * np.cos(2 * np.pi * x * 0.3 / 1.85**scale)
        upright = np.repeat(np.broadcast_to(wave, (32, 32))[:, :, None], 3, axis=2).astype(np.uint8)
        by_filter = responses(upright[None])[0].mean(axis=(0, 2, 3))
        assert by_filter.argmax() == first, "upright stripes belong to the first orientation of their scale"
        lying = np.ascontiguousarray(upright.swapaxes(0, 1))
        assert responses(lying[None])[0].mean(axis=(0, 2, 3)).argmax() == first + n // 2


def test_light_hardly_matters_and_another_picture_does():
    image = drawn(1, 120, 160)
    dim = (0.6 * image).astype(np.uint8)
    tall = cv2.resize(image, (100, 200), interpolation=cv2.INTER_AREA)
    same, dimmed, warped, other = gist([image, dim, tall, drawn(2, 120, 160)])
    assert np.linalg.norm(same - dimmed) < 0.1
    assert np.linalg.norm(same - warped) < 0.2
    assert np.linalg.norm(same - other) > 0.4


def test_a_picture_of_one_colour_has_zeros():
    assert not gist([np.full((50, 60, 3), 90, np.uint8)]).any()


def test_batches_and_generators_make_no_difference():
    images = [drawn(seed) for seed in range(5)]
    together = gist(images)
    assert together.dtype == np.float32
    assert np.allclose(gist(image for image in images), together, atol=1e-6)
    assert np.allclose(gist(images, batch=2), together, atol=1e-6)
    assert gist([]).shape == (0, 960)


@given(hnp.arrays(np.uint8, (32, 32, 3), elements=st.integers(0, 255)))
def test_mirroring_a_descriptor_is_mirroring_the_picture(image):
    there, expected = gist([image, image[:, ::-1]])
    assert np.allclose(mirrored(there[None])[0], expected, atol=2e-5)
    assert (mirrored(mirrored(there[None]))[0] == there).all()


@given(
    hnp.arrays(np.float64, (2, 12, 12), elements=st.floats(-100, 100)), st.sampled_from([1, 2, 3, 4, 6, 12])
)
def test_block_means_by_loops(maps, blocks):
    size = 12 // blocks
    for one, means in zip(maps, block_means(maps, blocks), strict=True):
        for row in range(blocks):
            for column in range(blocks):
                block = [
                    one[y, x]
                    for y in range(row * size, (row + 1) * size)
                    for x in range(column * size, (column + 1) * size)
                ]
                assert means[row, column] == pytest.approx(sum(block) / len(block), abs=1e-9)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(ImageError, match=r"uint8 \[H, W, 3\]"):
        gist([wrong])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="batch is 0"):
        gist_function([], batch=0)
    with pytest.raises(ValueError, match=r"shape \[N, 960\]"):
        mirrored(np.zeros((2, 512)))
