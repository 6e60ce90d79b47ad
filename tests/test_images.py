"""Every kind of picture people have, and files that are none."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rcnn_helpers import images
from rcnn_helpers.datasets.voc import palette
from rcnn_helpers.errors import ImageError, StoreError

# A picture whose four corners differ, so that every wrong turn shows: 2 rows, 3 columns.
CORNERS = np.array(
    [[[255, 0, 0], [9, 9, 9], [0, 255, 0]], [[0, 0, 255], [99, 99, 99], [255, 255, 0]]], dtype=np.uint8
)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(height: int = 30, width: int = 40) -> np.ndarray:
    """A gradient, which JPEG keeps to within a few grey levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], axis=2).astype(
        np.uint8
    )


def assert_close(image, expected, grey_levels):
    assert image.shape == expected.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).mean() < grey_levels


def test_rgb_png_is_read_exactly():
    np.testing.assert_array_equal(images.read_image(encode(Image.fromarray(CORNERS))), CORNERS)


def test_result_is_contiguous_and_writable():
    image = images.read_image(encode(Image.fromarray(CORNERS)))
    assert image.flags.c_contiguous and image.flags.writeable


def test_path_bytes_and_open_file_are_the_same(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.fromarray(smooth()), "JPEG"))
    expected = images.read_image(path)
    np.testing.assert_array_equal(images.read_image(str(path)), expected)
    np.testing.assert_array_equal(images.read_image(path.read_bytes()), expected)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(images.read_image(file), expected)


def test_greyscale_has_three_equal_channels():
    grey = np.array([[0, 100, 255]], dtype=np.uint8)
    image = images.read_image(encode(Image.fromarray(grey)))
    np.testing.assert_array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))


def test_greyscale_jpeg():
    grey = smooth()[:, :, 0]
    image = images.read_image(encode(Image.fromarray(grey), "JPEG", quality=95))
    assert_close(image, np.repeat(grey[:, :, None], 3, axis=2), 2)


def test_sixteen_bits_keep_the_upper_eight():
    deep = np.array([[0, 0x00FF, 0x0100, 0x8040, 0xFFFF]], dtype=np.uint16)
    image = images.read_image(encode(Image.fromarray(deep)))
    assert image[0, :, 0].tolist() == [0, 0, 1, 0x80, 0xFF]


def test_sixteen_bit_colour_png():
    # Pillow does not write these: assemble the chunks by hand.
    row = np.array([0x1234, 0x00FF, 0xFFFF, 0xFF00, 0x0100, 0x7FFF], dtype=">u2")
    image = images.read_image(png_bytes(2, 1, depth=16, colour=2, raw=b"\0" + row.tobytes()))
    assert image.tolist() == [[[0x12, 0x00, 0xFF], [0xFF, 0x01, 0x7F]]]


def test_palette():
    labels = np.array([[0, 1, 2]], dtype=np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert images.read_image(encode(image)).tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


def test_black_and_white():
    image = images.read_image(encode(Image.fromarray(np.array([[True, False]]))))
    assert image.tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_transparency_is_laid_on_white():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], dtype=np.uint8)
    image = images.read_image(encode(Image.fromarray(rgba)))
    assert image[0, 0].tolist() == [200, 100, 0]
    assert image[0, 1].tolist() == [255, 255, 255]
    half = 255 + (np.array([200, 100, 0]) - 255) * 128 / 255
    assert np.abs(image[0, 2] - half).max() <= 1


def test_grey_with_transparency_and_transparent_palette_entry():
    grey_alpha = Image.merge("LA", [Image.new("L", (1, 1), 40), Image.new("L", (1, 1), 0)])
    assert images.read_image(encode(grey_alpha)).tolist() == [[[255, 255, 255]]]
    indexed = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    assert images.read_image(encode(indexed, transparency=0)).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_jpeg_has_its_colours_the_right_way_round():
    picture = smooth()
    cmyk = Image.fromarray(picture).convert("CMYK")
    assert_close(images.read_image(encode(cmyk, "JPEG", quality=95)), picture, 6)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_other_formats(kind):
    flat = np.full((8, 9, 3), (200, 30, 60), dtype=np.uint8)
    assert_close(images.read_image(encode(Image.fromarray(flat), kind)), flat, 4)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        # How a camera in each position stores the upright picture CORNERS (EXIF 2.3, table of tag 274).
        (1, CORNERS),
        (2, CORNERS[:, ::-1]),
        (3, CORNERS[::-1, ::-1]),
        (4, CORNERS[::-1]),
        (5, CORNERS.transpose(1, 0, 2)),
        (6, np.rot90(CORNERS)),
        (7, CORNERS[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(CORNERS, -1)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_undone(orientation, stored, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    np.testing.assert_array_equal(images.read_image(data), CORNERS)


def test_exif_orientation_of_a_greyscale_jpeg():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert images.read_image(encode(Image.new("L", (40, 30)), "JPEG", exif=exif)).shape == (40, 30, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_damaged_exif_does_not_cost_the_picture(exif):
    picture = smooth()
    assert_close(images.read_image(encode(Image.fromarray(picture), "JPEG", exif=exif)), picture, 6)


def test_unknown_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 42
    np.testing.assert_array_equal(images.read_image(encode(Image.fromarray(CORNERS), exif=exif)), CORNERS)


def test_one_pixel():
    assert images.read_image(encode(Image.new("RGB", (1, 1), (1, 2, 3)))).tolist() == [[[1, 2, 3]]]


def test_twelve_thousand_pixels_wide_is_read_without_a_warning():
    data = encode(Image.new("RGB", (12000, 8000), (1, 2, 3)))  # 96 million pixels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = images.read_image(data)
    assert image.shape == (8000, 12000, 3)
    assert image[-1, -1].tolist() == [1, 2, 3]


def test_decompression_bomb_is_refused_before_it_is_decoded():
    # A header that promises 100,000 x 100,000 pixels, and nothing behind it.
    with pytest.raises(ImageError, match="more than 179 million pixels"):
        images.read_image(png_bytes(100_000, 100_000, depth=8, colour=2, raw=b""))


def test_limit_on_pixels_is_exact(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 12)
    assert images.read_image(encode(Image.new("RGB", (4, 3)))).shape == (3, 4, 3)
    with pytest.raises(ImageError, match="million pixels"):
        images.read_image(encode(Image.new("RGB", (13, 1))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_truncated_file_is_an_error(kind, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        images.read_image(data[: int(kept * len(data))])


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM"]),
)
def test_any_bytes_give_a_picture_or_an_image_error(content, start):
    try:
        assert images.read_image(start + content).ndim == 3
    except ImageError:
        pass


@given(st.data(), st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM"]))
def test_any_damage_gives_a_picture_or_an_image_error(data, kind):
    content = bytearray(encode(Image.fromarray(smooth(9, 7)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert images.read_image(bytes(content)).ndim == 3
    except ImageError:
        pass


def test_text_with_the_suffix_of_a_picture(tmp_path):
    (tmp_path / "note.jpg").write_text("this is not a picture")
    with pytest.raises(ImageError, match=r"note\.jpg is not an image"):
        images.read_image(tmp_path / "note.jpg")


def test_postscript_is_not_handed_to_an_interpreter():
    with pytest.raises(ImageError, match="not an image"):
        images.read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


def test_empty_file(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match=r"a\.jpg is empty"):
        images.read_image(tmp_path / "a.jpg")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match=r"no image .*missing\.jpg"):
        images.read_image(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        images.read_image(tmp_path)


def test_more_than_sixteen_bits_are_refused():
    floating = Image.fromarray(np.ones((2, 2), dtype=np.float32))
    with pytest.raises(ImageError, match="more than 16 bits"):
        images.read_image(encode(floating, "TIFF"))


@pytest.mark.parametrize(("suffix", "grey_levels"), [(".png", 1e-9), (".jpg", 2), (".JPEG", 2)])
def test_written_picture_is_read_back(tmp_path, suffix, grey_levels):
    path = tmp_path / "new" / f"a{suffix}"
    images.write_image(path, smooth())
    assert_close(images.read_image(path), smooth(), grey_levels)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_quality_decides_the_size(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    images.write_image(tmp_path / "a.jpg", noise, quality=30)
    images.write_image(tmp_path / "b.jpg", noise, quality=95)
    assert (tmp_path / "a.jpg").stat().st_size < (tmp_path / "b.jpg").stat().st_size / 2


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ImageError, match=r"use \.jpg or \.png"):
        images.write_image(tmp_path / "a.bmp", CORNERS)
    with pytest.raises(ImageError, match="65500"):
        images.write_image(tmp_path / "a.jpg", np.zeros((1, 65501, 3), dtype=np.uint8))
    for wrong in (CORNERS.astype(np.float32), CORNERS[:, :, 0], CORNERS[:0]):
        with pytest.raises(ValueError, match="uint8"):
            images.write_image(tmp_path / "a.png", wrong)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        images.write_image(tmp_path / "file" / "a.png", CORNERS)


def test_labels_are_read_back_and_not_their_colours(tmp_path):
    labels = np.array([[0, 1, 20], [255, 3, 3]], dtype=np.uint8)
    images.write_index_image(tmp_path / "a.png", labels, palette=palette())
    np.testing.assert_array_equal(images.read_index_image(tmp_path / "a.png"), labels)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), palette()[labels])


def test_a_colour_picture_is_not_a_mask():
    with pytest.raises(ImageError, match="one index a pixel"):
        images.read_index_image(encode(Image.fromarray(CORNERS)))


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_a_small_view_covers_the_same_pixels(kind, shrink):
    height, width = 61, 83
    image = images.read_image(encode(Image.fromarray(smooth(height, width)), kind))
    view = images.read_image(encode(Image.fromarray(smooth(height, width)), kind), shrink=shrink)
    assert view.shape == (-(-height // shrink), -(-width // shrink), 3)
    whole = view[: height // shrink, : width // shrink]
    means = image[: len(whole) * shrink, : whole.shape[1] * shrink].astype(float)
    means = means.reshape(len(whole), shrink, whole.shape[1], shrink, 3).mean(axis=(1, 3))
    assert np.abs(whole - means).mean() < 3


def test_a_small_view_is_upright_and_never_empty():
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encode(Image.fromarray(smooth(40, 60)), "JPEG", exif=turned)
    assert images.read_image(content, shrink=2).shape == (30, 20, 3)
    for kind in ("JPEG", "PNG"):
        assert images.read_image(encode(Image.new("RGB", (3, 20)), kind), shrink=8).shape == (3, 1, 3)


def test_shrinking_averages_areas():
    image = np.zeros((2, 4, 3), dtype=np.uint8)
    image[:, 2:] = 200
    image[0, 0] = 100
    small, scale = images.shrink_to_fit(image, 2)
    assert scale == 0.5
    assert small[0, :, 0].tolist() == [25, 200]


def test_small_pictures_are_left_alone():
    image, scale = images.shrink_to_fit(CORNERS, 3)
    assert image is CORNERS and scale == 1.0


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_shrunk_pictures_fit_and_keep_their_shape(height, width, longest):
    image, scale = images.shrink_to_fit(np.zeros((height, width, 3), dtype=np.uint8), longest)
    assert max(image.shape[:2]) == min(longest, max(height, width))
    assert 0 < scale <= 1
    assert abs(image.shape[0] - max(1, scale * height)) <= 0.5
    assert abs(image.shape[1] - max(1, scale * width)) <= 0.5


def test_a_line_twelve_thousand_pixels_long_keeps_a_pixel_of_height():
    assert images.shrink_to_fit(np.zeros((1, 12000, 3), dtype=np.uint8), 500)[0].shape == (1, 500, 3)


def png_bytes(width: int, height: int, *, depth: int, colour: int, raw: bytes) -> bytes:
    """A PNG file around uncompressed scan lines."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
