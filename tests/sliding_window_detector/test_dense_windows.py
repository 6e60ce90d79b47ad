"""The pyramid: which windows a picture has, and where they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.sliding_window_detector import Level, WindowGeometry, pyramid, window_boxes

TNET = WindowGeometry(size=227, padding=16, stride=32, cell=16, cells=13, margin=64)


def test_boxes_of_a_level_by_hand():
    level = Level(195, 259, 1, 3, TNET)  # not scaled: 195 + 2 * 32 = 259
    assert level.boxes().tolist() == [[0, 0, 195, 195], [32, 0, 227, 195], [64, 0, 259, 195]]
    half = Level(390, 518, 1, 3, TNET)
    np.testing.assert_allclose(half.boxes(), 2 * level.boxes(), rtol=1e-6)


def test_the_whole_picture_is_a_window_however_small_it_is():
    assert window_boxes(5, 300, TNET).tolist()[0] == [0, 0, 300, 5]
    assert window_boxes(1, 1, TNET).tolist() == [[0, 0, 1, 1]]


@given(
    height=st.integers(20, 600),
    width=st.integers(20, 600),
    min_size=st.floats(40, 300),
    ratio=st.floats(0.3, 3),
    stride=st.sampled_from([16, 32]),
)
def test_windows_cover_the_picture_and_keep_inside(height, width, min_size, ratio, stride):
    geometry = WindowGeometry(227, 16, stride, 16, 13, 64)
    for level in pyramid(height, width, geometry, min_size=min_size, aspect_ratios=[ratio]):
        boxes = level.boxes()
        assert len(boxes) == len(level)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [width, height]).all()
        np.testing.assert_allclose(boxes.min(axis=0)[:2], 0, atol=1e-3)
        np.testing.assert_allclose(boxes.max(axis=0)[2:], [width, height], atol=1e-3)
        # Neighbours lie a sixth of a window apart (an eleventh with half the stride), so none is missed between.
        grid = boxes.reshape(level.rows, level.columns, 4)
        np.testing.assert_allclose(
            np.diff(grid[:, :, 0], axis=1), level.window[1] * stride / 195, rtol=1e-3, atol=1e-3
        )


@given(height=st.integers(100, 600), width=st.integers(100, 600), min_size=st.floats(32, 90))
def test_windows_have_about_the_sizes_asked_for(height, width, min_size):
    levels = pyramid(height, width, TNET, min_size=min_size, size_step=2, aspect_ratios=[0.5, 1, 2])
    for level in levels[1:]:
        tall, wide = level.window
        size, ratio = (tall * wide) ** 0.5, wide / tall
        steps = np.log2(size / min_size)
        assert abs(steps - round(steps)) < np.log2(1 + 16 / 195) + 1e-6
        assert min(abs(np.log(ratio / asked)) for asked in (0.5, 1, 2)) < 2 * np.log(1 + 16 / 195) + 1e-6
    sizes = [np.prod(level.window) for level in levels]
    assert all(later < 1.2 * earlier for earlier, later in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize(
    "options",
    [{"min_size": 0}, {"size_step": 1}, {"aspect_ratios": []}, {"aspect_ratios": [1, -1]}],
)
def test_a_pyramid_that_cannot_be_is_refused(options):
    with pytest.raises(SettingsError):
        pyramid(100, 100, TNET, **options)
    with pytest.raises(SettingsError):
        pyramid(0, 100, TNET)
