"""Graph segmentation against a slow reference that keeps every component as a set of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rcnn_helpers.proposals.graph_segmentation import segment, segment_scales


def slow_segments(channels, scale, min_size):
    """Felzenszwalb and Huttenlocher's algorithm on sets of pixels, without blur."""
    height, width = channels.shape[:2]
    edges = []
    for y in range(height):
        for x in range(width):
            for there in [(y, x + 1), (y + 1, x), (y + 1, x + 1), (y + 1, x - 1)]:
                if 0 <= there[0] < height and 0 <= there[1] < width:
                    difference = channels[y, x].astype(np.float32) - channels[there].astype(np.float32)
                    distance = np.sqrt((difference**2).sum())
                    rounded = min(np.floor(distance * 16 + np.float32(0.5)) / 16, 256.0)
                    edges.append((np.float32(rounded), (y, x), there))
    edges.sort(key=lambda edge: edge[0])

    component = {(y, x): frozenset([(y, x)]) for y in range(height) for x in range(width)}
    heaviest_inside = dict.fromkeys(component.values(), np.float32(0))

    def join(a, b, weight):
        joined = a | b
        heaviest_inside[joined] = weight
        component.update(dict.fromkeys(joined, joined))

    for weight, here, there in edges:
        a, b = component[here], component[there]
        if a != b and all(
            weight <= heaviest_inside[c] + np.float32(scale) / np.float32(len(c)) for c in (a, b)
        ):
            join(a, b, weight)
    for weight, here, there in edges:
        a, b = component[here], component[there]
        if a != b and min(len(a), len(b)) < min_size:
            join(a, b, weight)

    numbers, labels = {}, np.zeros((height, width), dtype=np.int32)
    for pixel, members in component.items():
        labels[pixel] = numbers.setdefault(members, len(numbers))
    return labels


IMAGES = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 3, 8, 20, 60, 255]))
)


@settings(deadline=None)
@given(IMAGES, st.sampled_from([0, 1, 10, 50, 200, 1000]), st.integers(0, 9))
def test_equals_the_slow_reference(image, scale, min_size):
    labels = segment(image, scale=scale, sigma=0, min_size=min_size)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, slow_segments(image, scale, min_size))


def test_equals_the_slow_reference_on_noise(rng):
    image = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
    image[:, 10:] //= 8
    np.testing.assert_array_equal(
        segment(image, scale=100, sigma=0, min_size=5), slow_segments(image, 100, 5)
    )


def test_two_flat_halves_are_two_segments():
    image = np.zeros((10, 12), dtype=np.uint8)
    image[:, 5:] = 200
    expected = np.zeros((10, 12))
    expected[:, 5:] = 1
    np.testing.assert_array_equal(segment(image, scale=50, sigma=0, min_size=1), expected)


def test_blur_removes_noise(rng):
    image = np.full((40, 40), 100.0)
    image[:, 20:] += 80
    noisy = image + rng.normal(scale=12, size=image.shape)
    without = segment(noisy, scale=60, sigma=0, min_size=1).max()
    assert segment(noisy, scale=60, sigma=1.5, min_size=1).max() < without / 3


def test_no_segment_is_smaller_than_min_size(rng):
    labels = segment(rng.integers(0, 256, (50, 60, 3), dtype=np.uint8), scale=20, min_size=30)
    assert np.bincount(labels.ravel()).min() >= 30


def test_larger_scales_make_fewer_segments(rng):
    image = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    counts = [labels.max() for labels in segment_scales(image, scales=(10, 100, 1000), min_sizes=(1, 1, 1))]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (1, 1, 3), (3, 200, 3)])
def test_degenerate_images_of_one_colour_are_one_segment(shape):
    assert (segment(np.full(shape, 7, dtype=np.uint8), scale=100, min_size=5) == 0).all()
