import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.warping import (
    FILLS,
    MODES,
    DevicePixels,
    Warper,
    WindowWarper,
    context_boxes,
    crop_buffer,
    crop_geometry,
    round_half_away,
    warp_boxes,
    warp_reference,
)

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 55.0, 50.0)
BOXES = np.array(
    [
        [30, 20, 90, 100],  # well inside
        [0, 0, 40, 12],  # corner
        [100, 70, 160, 120],  # opposite corner
        [0, 0, 160, 120],  # the whole image
        [-40, -30, 200, 150],  # larger than the image
        [70, 5, 73, 115],  # a line
        [50.25, 30.5, 77.75, 60.5],  # between pixels
        [60, 60, 60, 60],  # nothing
        [150, 100, 400, 119],  # mostly outside
    ],
    dtype=np.float32,
)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)


PLACES = st.integers(0, 60)
SIDES = st.integers(1, 60)


def test_context_by_hand():
    # 39 x 78 pixels fill 195 x 195: 16 pixels of the crop are 3.2 and 6.4 of the image.
    assert_allclose(context_boxes([[100, 60, 139, 138]]), [[96.8, 53.6, 142.2, 144.4]])
    # The tightest square is as wide as the box is high.
    square = context_boxes([[100, 60, 139, 138]], mode="square_context", padding=0)
    assert_allclose(square, [[80.5, 60, 158.5, 138]])


@given(
    x1=PLACES, y1=PLACES, width=SIDES, height=SIDES, padding=st.integers(1, 15), mode=st.sampled_from(MODES)
)
def test_context_is_the_window_less_its_rounding(x1, y1, width, height, padding, mode):
    box = [x1, y1, x1 + width, y1 + height]
    window = crop_geometry([box], 130, 130, size=64, mode=mode, padding=padding).window[0]
    context = context_boxes([box], size=64, mode=mode, padding=padding)[0]
    extra = [0, 0, 1, 1] if mode in ("warp", "square_context") else [0, 0, 0, 0]  # the original's own pixel
    off = window - extra - context
    assert (np.abs(off) <= (1 if mode == "original" else 0.5) + 1e-9).all()


def literal_geometry(box, height, width, size, padding, square):
    """The original's rules, one number at a time, with 1-based boxes that include their last pixel."""

    def rounded(value):
        return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)

    x1, y1, x2, y2 = box[0] + 1, box[1] + 1, box[2], box[3]
    half_w, half_h = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
    centre_x, centre_y = x1 + half_w, y1 + half_h
    if square:
        half_w = half_h = max(half_w, half_h)
    scale = size / (size - padding * 2)
    if padding or square:
        x1, x2 = rounded(centre_x - half_w * scale), rounded(centre_x + half_w * scale)
        y1, y2 = rounded(centre_y - half_h * scale), rounded(centre_y + half_h * scale)

    def one_axis(first, last, limit):
        whole = last - first + 1
        pad = max(0, 1 - first)
        first, last = max(1, first), min(limit, last)
        pad, length = rounded(pad * size / whole), rounded((last - first + 1) * size / whole)
        return (first, last), (pad, min(length, size - pad))

    (x1, x2), (left, columns) = one_axis(x1, x2, width)
    (y1, y2), (top, rows) = one_axis(y1, y2, height)
    return [x1 - 1, y1 - 1, x2, y2], [left, top, left + columns, top + rows]


# -- rounding and geometry ---------------------------------------------------------------------------------


def test_halves_are_rounded_away_from_zero():
    assert round_half_away([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, -0.49, 7]).tolist() == [1, 2, 3, -1, -2, 0, 0, 7]


def test_window_of_a_box_inside_the_image_is_as_computed_by_hand():
    # 1-based: x 101..200, half 50, centre 151, reach 50 * 227/195 = 58.2: round(92.8) = 93 to round(209.2) = 209.
    geometry = crop_geometry([[100, 50, 200, 150]], 375, 500, size=227, padding=16)
    assert geometry.window.tolist() == geometry.source.tolist() == [[92, 42, 209, 159]]
    assert geometry.target.tolist() == [[0, 0, 227, 227]]


def test_pads_at_the_left_and_top_are_as_computed_by_hand():
    # 1-based: centre 51, reach 58.2: -7 to 109, 117 pixels, 8 of them missing. 8 * 227/117 = 15.5 -> 16 columns,
    # 109 * 227/117 = 211.5 -> 211 columns of image.
    geometry = crop_geometry([[0, 0, 100, 100]], 375, 500, size=227, padding=16)
    assert geometry.window.tolist() == [[-8, -8, 109, 109]]
    assert geometry.source.tolist() == [[0, 0, 109, 109]]
    assert geometry.target.tolist() == [[16, 16, 227, 227]]


def test_what_is_missing_at_the_right_and_bottom_follows_from_the_length():
    # 1-based: centre 451, reach 58.2: 393 to 509, 108 of 117 pixels in the image; 108 * 227/117 = 209.5 -> 210.
    geometry = crop_geometry([[400, 100, 500, 200]], 375, 500, size=227, padding=16)
    assert geometry.source[0, [0, 2]].tolist() == [392, 500]
    assert geometry.target[0, [0, 2]].tolist() == [0, 210]


@pytest.mark.parametrize(
    "box, columns",
    [
        ([0, 0, 3, 4], [0, 5]),  # 1-based centre 2.5, reach 2: round(0.5) = 1 to round(4.5) = 5
        ([0, 0, 2, 5], [-2, 5]),  # 1-based centre 2, reach 2.5: round(-0.5) = -1 to round(4.5) = 5
    ],
)
def test_unpadded_squares_round_halves_away_from_zero_and_gain_a_pixel(box, columns):
    geometry = crop_geometry([box], 50, 50, size=32, mode="square_context", padding=0)
    assert geometry.window[0, [0, 2]].tolist() == columns


def test_an_unpadded_warp_takes_the_box_as_it_is():
    geometry = crop_geometry([[3, 4, 17, 30]], 50, 50, size=32, padding=0)
    assert geometry.source.tolist() == [[3, 4, 17, 30]]
    assert geometry.target.tolist() == [[0, 0, 32, 32]]


@given(
    corners=st.tuples(st.integers(0, 99), st.integers(0, 69), st.integers(1, 100), st.integers(1, 70)),
    size=st.sampled_from([32, 224, 227]),
    padding=st.integers(0, 15),
    square=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_geometry_equals_a_literal_derivation_of_the_originals_rules(corners, size, padding, square):
    x1, y1, width, height = corners
    box = [x1, y1, min(100, x1 + width), min(70, y1 + height)]
    mode = "square_context" if square else "warp"
    geometry = crop_geometry([box], 70, 100, size=size, mode=mode, padding=padding)
    source, target = literal_geometry(box, 70, 100, size, padding, square)
    assert geometry.source[0].tolist() == source
    assert geometry.target[0].tolist() == target


@given(
    box=st.tuples(*[st.floats(-60, 160, width=32)] * 4),
    mode=st.sampled_from(MODES),
    padding=st.integers(0, 15),
)
@settings(max_examples=400, deadline=None)
def test_any_box_that_touches_the_image_reads_inside_it_and_writes_inside_the_crop(box, mode, padding):
    x1, y1, x2, y2 = min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])
    try:
        geometry = crop_geometry([[x1, y1, x2, y2]], 70, 100, size=32, mode=mode, padding=padding)
    except ValueError:
        assert x2 <= 0 or y2 <= 0 or x1 >= 100 or y1 >= 70
        return
    for (left, top, right, bottom), width, height in [
        (geometry.source[0], 100, 70),
        (geometry.target[0], 32, 32),
    ]:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [0, 16, 40])
def test_the_box_has_the_padding_around_it(mode, padding):
    image = np.zeros((300, 300, 3), np.uint8)
    x1, y1, x2, y2 = 60, 80, 200, 180  # 140 x 100
    image[y1:y2, x1:x2] = 255
    crop = warp_reference(image, [x1, y1, x2, y2], mode=mode, padding=padding)[..., 0] > 127
    columns, rows = np.flatnonzero(crop.any(axis=0)), np.flatnonzero(crop.any(axis=1))
    inner = 227 - 2 * padding
    wide = 140 if mode == "original" else inner
    high = {"original": 100, "warp": inner}.get(mode, inner * 100 / 140)
    # The window is rounded to whole pixels of the image, which are up to two pixels of the crop wide.
    assert columns[0] == pytest.approx((227 - wide) / 2, abs=2)
    assert columns[-1] + 1 == pytest.approx((227 + wide) / 2, abs=4)
    assert rows[0] == pytest.approx((227 - high) / 2, abs=2)
    assert rows[-1] + 1 == pytest.approx((227 + high) / 2, abs=4)


def test_without_context_the_square_shows_nothing_but_the_box_and_its_padding():
    image = np.full((300, 300, 3), 200, np.uint8)
    crop = warp_reference(image, [100, 50, 140, 250], mode="square", padding=16, mean=(1, 2, 3))
    seen = (crop == 200).all(axis=2)
    columns = np.flatnonzero(seen.any(axis=0))
    assert seen.any(axis=1).all()  # the long side fills the crop
    # The short side takes 40 / 200 of the inner 195 pixels, and 16 on each side of it.
    assert len(columns) == pytest.approx(195 * 40 / 200 + 32, abs=2)
    assert (crop[~seen] == [1, 2, 3]).all()


@pytest.mark.parametrize("mode", ["square", "original"])
def test_without_padding_the_modes_without_context_show_nothing_but_the_box(mode):
    image = np.full((100, 100, 3), 50, np.uint8)
    image[30:50, 20:60] = 200
    crop = warp_reference(image, [20, 30, 60, 50], size=80, mode=mode, padding=0)
    assert set(np.unique(crop)) == {0, 200}
    assert (crop == 200).mean() == {"square": 40 * 80 / 80**2, "original": 20 * 40 / 80**2}[mode]


def test_the_original_mode_shows_image_pixels_unchanged(image):
    crop = warp_reference(image, [40, 30, 70, 50], size=64, mode="original", padding=3)
    # The window starts at (55 - 32, 40 - 32) = (23, 8); seen are columns 37 to 73 and rows 27 to 53.
    assert_array_equal(crop[19:45, 14:50], image[27:53, 37:73].astype(np.float32))
    assert crop.sum() == crop[19:45, 14:50].sum()


# -- resampling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [[30, 20, 90, 100], [12, 8, 148, 112], [70, 40, 80, 46]])
def test_inside_the_image_the_reference_is_the_bilinear_resize_of_opencv_and_torch(image, box):
    (x1, y1, x2, y2), *_ = crop_geometry([box], 120, 160, size=100, padding=5).source
    patch = image[y1:y2, x1:x2].astype(np.float32)
    crop = warp_reference(image, box, size=100, padding=5)
    assert_allclose(crop, cv2.resize(patch, (100, 100), interpolation=cv2.INTER_LINEAR), atol=0.01)
    tensor = torch.from_numpy(patch).permute(2, 0, 1)[None]
    torchs = torch.nn.functional.interpolate(tensor, (100, 100), mode="bilinear", align_corners=False)
    assert_allclose(crop, torchs[0].permute(1, 2, 0).numpy(), atol=0.01)


def on_device(image, boxes, *, size, mode, padding, fill):
    """The path of accelerators, run on whatever is here."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pixels = DevicePixels([image], mean=MEAN, std=STD, bgr=False, device=device)
    geometry = crop_geometry(boxes, *image.shape[:2], size=size, mode=mode, padding=padding)
    image_index = np.zeros(len(geometry), np.int64)
    return pixels.warp(image_index, geometry, size=size, fill=fill, dtype=torch.float32).cpu()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize("mode", MODES)
def test_batches_agree_with_the_reference(image, mode, padding, fill):
    options = dict(size=61, mode=mode, padding=padding, fill=fill)
    expected = np.stack([warp_reference(image, box, mean=MEAN, **options) for box in BOXES])
    on_cpu = warp_boxes(image, BOXES, mean=MEAN, std=STD, **options)
    for crops in (on_cpu, on_device(image, BOXES, **options)):
        assert crops.shape == (len(BOXES), 3, 61, 61)
        assert crops.is_contiguous(memory_format=torch.channels_last)
        levels = crops.permute(0, 2, 3, 1).numpy() * STD + MEAN
        assert_allclose(levels, expected, atol=0.02)


def test_places_outside_the_image_are_zero_or_repeat_its_border(image):
    corner = [[0, 0, 40, 12]]
    left, top = crop_geometry(corner, 120, 160, size=61, padding=10).target[0, :2]
    assert left > 0 and top > 0
    filled = warp_boxes(image, corner, size=61, padding=10, mean=MEAN, std=STD)[0]
    assert (filled[:, :top] == 0).all() and (filled[:, :, :left] == 0).all()
    repeated = warp_boxes(image, corner, size=61, padding=10, mean=MEAN, std=STD, fill="replicate")[0]
    assert_array_equal(repeated[:, :top, left:], filled[:, top : top + 1, left:].expand(-1, top, -1))
    assert_array_equal(repeated[:, top:, :left], filled[:, top:, left : left + 1].expand(-1, -1, left))
    assert_array_equal(repeated[:, :top, :left], filled[:, top, left][:, None, None].expand(-1, top, left))


def test_bfloat16_is_the_float32_batch_rounded_to_nearest_even(image):
    exact = warp_boxes(image, BOXES, size=61, mean=MEAN, std=STD)
    assert torch.equal(
        warp_boxes(image, BOXES, size=61, mean=MEAN, std=STD, out_dtype=torch.bfloat16), exact.bfloat16()
    )
    assert torch.equal(
        warp_boxes(image, BOXES, size=61, mean=MEAN, std=STD, out_dtype=torch.float16), exact.half()
    )


def test_channels_change_places_together_with_their_mean_and_deviation(image):
    rgb = warp_boxes(image, BOXES, size=32, padding=2, mean=MEAN, std=STD)
    bgr = warp_boxes(image, BOXES, size=32, padding=2, mean=MEAN, std=STD, bgr=True)
    assert_allclose(rgb.flip(1).numpy(), bgr.numpy(), atol=1e-5)


def test_threads_do_not_change_the_result(image):
    boxes = np.tile(BOXES, (8, 1))
    one, four = (warp_boxes(image, boxes, size=61, threads=threads) for threads in (1, 4))
    assert torch.equal(one, four)


def test_a_warper_gives_the_same_crops_in_any_order_of_calls(image):
    warper = Warper(image, size=61, mean=MEAN, std=STD)
    whole = warp_boxes(image, BOXES, size=61, mean=MEAN, std=STD)
    for index in (0, 2, 1, 3, 0):
        assert torch.equal(warper(BOXES[index : index + 1])[0], whole[index])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_buffer_is_written_in_place_and_may_be_too_long(image, dtype):
    buffer = crop_buffer(len(BOXES) + 3, 61, dtype).fill_(7)
    crops = warp_boxes(image, BOXES, size=61, out=buffer, out_dtype=dtype)
    assert crops.data_ptr() == buffer.data_ptr()
    assert len(crops) == len(BOXES)
    assert (buffer[len(BOXES) :] == 7).all()
    assert torch.equal(crops, warp_boxes(image, BOXES, size=61, out_dtype=dtype))


@pytest.mark.parametrize(
    "buffer",
    [
        crop_buffer(2, 61, torch.float32),
        crop_buffer(20, 60, torch.float32),
        crop_buffer(20, 61, torch.bfloat16),
        torch.empty(20, 3, 61, 61),
    ],
    ids=["too short", "another size", "another type", "another layout"],
)
def test_a_buffer_that_does_not_fit_is_refused(image, buffer):
    with pytest.raises(ValueError, match="crop_buffer"):
        warp_boxes(image, BOXES, size=61, out=buffer)


# -- edges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_one_pixel_fills_the_box_with_its_colour(mode):
    image = np.full((1, 1, 3), 77, np.uint8)
    crop = warp_reference(image, [0, 0, 1, 1], size=31, mode=mode, padding=4, fill="replicate")
    assert (crop == 77).all()
    batch = warp_boxes(image, [[0, 0, 1, 1], [1, 1, 1, 1]], size=31, mode=mode, padding=4, fill="replicate")
    assert_allclose(batch.numpy(), 77, atol=1e-3)


@pytest.mark.parametrize(
    "empty, pixel",
    [
        ([60, 50, 60, 50], [60, 50, 61, 51]),
        ([60, 50, 60.5, 58], [60, 50, 61, 58]),
        ([160, 120, 160, 120], [159, 119, 160, 120]),
        ([0, 0, 0, 0], [0, 0, 1, 1]),
    ],
)
def test_a_side_without_length_counts_as_one_pixel(image, empty, pixel):
    assert_array_equal(warp_reference(image, empty), warp_reference(image, pixel))


def test_no_boxes_give_an_empty_batch(image):
    assert warp_boxes(image, [], size=61).shape == (0, 3, 61, 61)
    assert on_device(image, [], size=61, mode="warp", padding=4, fill="mean").shape == (0, 3, 61, 61)
    assert len(crop_geometry([], 10, 10)) == 0


def test_an_image_12000_pixels_wide_is_warped_exactly():
    image = np.zeros((4, 12000, 3), np.uint8)
    image[:, ::2] = 255
    box = [3, 0, 11990, 4]
    batch = warp_boxes(image, [box])[0].permute(1, 2, 0).numpy()
    assert_allclose(batch, warp_reference(image, box), atol=0.5)


@pytest.mark.parametrize("box", [[200, 0, 220, 20], [-30, 0, 0, 20], [10, 120, 20, 140], [161, 3, 161, 3]])
def test_a_box_outside_the_image_is_an_error_that_names_it(image, box):
    with pytest.raises(ValueError, match=r"box 1 is .* outside the image, 160 x 120"):
        warp_boxes(image, [[0, 0, 9, 9], box])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mode": "wrap"}, "unknown warp mode 'wrap'"),
        ({"fill": "black"}, "unknown fill 'black'"),
        ({"size": 32, "padding": 16}, "padding 16 does not fit"),
        ({"padding": -1}, "padding -1 does not fit"),
    ],
)
def test_options_out_of_range_are_refused(image, options, message):
    with pytest.raises(ValueError, match=message):
        warp_boxes(image, BOXES, **options)
    with pytest.raises(ValueError, match=message):
        warp_reference(image, BOXES[0], **options)


@pytest.mark.parametrize("wrong", [np.zeros((5, 5)), np.zeros((5, 5, 3)), np.zeros((5, 5, 4), np.uint8)])
def test_anything_but_a_colour_image_of_bytes_is_refused(wrong):
    with pytest.raises(ValueError, match="read_image"):
        warp_boxes(wrong, [[0, 0, 2, 2]])


def windows_of_two_images(image):
    """Images of different size and shape, and windows of either in turn."""
    images = [image, np.ascontiguousarray(image[:90, ::-1])]
    image_index = np.array([1, 0, 1, 0, 0])
    boxes = np.array(
        [[5, 3, 60, 80], [5, 3, 60, 110], [90, 10, 158, 89], [0, 0, 160, 120], [100, 95, 130, 119]]
    )
    return images, image_index, boxes


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("mode", MODES)
def test_windows_of_many_images_are_what_each_image_gives_alone(image, mode, fill, bgr):
    images, image_index, boxes = windows_of_two_images(image)
    mirrored = np.array([True, False, False, True, False])
    options = dict(size=61, mode=mode, padding=7, fill=fill)
    expected = np.stack(
        [
            warp_reference(images[i], box, mean=MEAN, **options)
            for i, box in zip(image_index, boxes, strict=True)
        ]
    )
    expected[mirrored] = expected[mirrored][:, :, ::-1]
    expected = (expected - MEAN) / STD
    if bgr:
        expected = expected[..., ::-1]

    warper = WindowWarper(images, mean=MEAN, std=STD, bgr=bgr, threads=2, **options)
    on_cpu = warper(image_index, boxes, mirrored=mirrored)
    pixels = DevicePixels(images, mean=MEAN, std=STD, bgr=bgr, device="cpu")
    heights, widths = ([images[i].shape[axis] for i in image_index] for axis in (0, 1))
    geometry = crop_geometry(boxes, heights, widths, size=61, mode=mode, padding=7)
    on_device = pixels.warp(image_index, geometry, size=61, fill=fill, dtype=torch.float32, mirrored=mirrored)
    for crops in (on_cpu, on_device):
        assert np.allclose(crops.permute(0, 2, 3, 1).numpy(), expected, atol=2e-5)


def test_a_box_outside_its_own_image_is_named(image):
    images, *_ = windows_of_two_images(image)
    with pytest.raises(ValueError, match="box 1 .* lies outside the image, 160 x 90 pixels"):
        crop_geometry([[0, 95, 10, 110], [0, 95, 10, 110]], [120, 90], [160, 160])
    with pytest.raises(ValueError, match="160 x 90"):
        WindowWarper(images)([1], [[0, 95, 10, 110]])
