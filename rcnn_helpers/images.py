"""Images: any picture file in, uint8 [H, W, 3] RGB out.

Photographs come with an orientation flag, as greyscale, in printers' colours, with transparency or 16 bits
deep; all of that ends here. Nothing else in this package opens a picture file.
"""

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from rcnn_helpers.errors import ImageError
from rcnn_helpers.storage import atomic_write, sha256

# More is a decompression bomb: a small file that unpacks to gigabytes. The limit is the one Pillow has, too.
MAX_PIXELS = 178_956_970

# Pillow's readers that decode in-process. PostScript, which would start an interpreter, is not among them.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# What those readers raise when they meet bytes that are no picture, or a damaged one.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
)

_ORIENTATION_TAG = 0x0112
# EXIF orientation -> what has to be done to the stored pixels to see the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Filters for warnings are global to the process, so only one thread at a time may change them.
_open_lock = threading.Lock()


def read_image(source, *, shrink: int = 1) -> np.ndarray:
    """Read a picture as RGB, upright.

    Parameters
    ----------
    source : path-like, bytes or binary file
        JPEG, PNG, BMP, GIF (first frame), TIFF, WebP or PPM. The EXIF orientation is applied; greyscale,
        palette, CMYK and 16-bit pictures are converted (16 bits keep their upper 8); transparent ones are
        laid on white.
    shrink : {1, 2, 4, 8}
        Divide both sides by this, rounding up: a small view for less time, as a JPEG need not be decoded in full.
        Pixel i of the result covers pixels ``i * shrink`` and following of the picture.

    Returns
    -------
    uint8 array of shape [H, W, 3], RGB

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, not a picture, or holds more than `MAX_PIXELS` pixels.
    """
    name, file = _open_source(source)
    with file:
        image, left = _decode(name, file, shrink=shrink)
        image = _to_rgb(name, _upright(image))
        return np.array(image if left == 1 else image.reduce(left))


def read_index_image(path) -> np.ndarray:
    """Read a picture whose values are labels, not colours, such as a segmentation mask.

    Parameters
    ----------
    path : path-like
        A palette or 8-bit greyscale picture.

    Returns
    -------
    uint8 array of shape [H, W]
        The index each pixel stores; the palette's colours are ignored.

    Raises
    ------
    ImageError
        As for `read_image`, or if the picture stores colours.
    """
    name, file = _open_source(path)
    with file:
        image, _ = _decode(name, file)
        if image.mode not in ("P", "L"):
            raise ImageError(
                f"{name} stores colours (mode {image.mode}), but a mask stores one index a pixel; "
                "save it as a palette PNG"
            )
        return np.array(image)


def write_image(path, image, *, quality: int = 92) -> None:
    """Write a picture as JPEG or PNG, whichever the suffix says, atomically.

    Parameters
    ----------
    path : path-like
        Ends in .jpg, .jpeg or .png.
    image : uint8 array of shape [H, W, 3], RGB
    quality : int
        JPEG quality from 1 to 95.

    Raises
    ------
    ImageError
        If the suffix is another one.
    ValueError
        If `image` is not uint8 [H, W, 3].
    StoreError
        If the file cannot be written.
    """
    path = Path(path)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image is uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    encoded = io.BytesIO()
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        if max(image.shape) > 65500:
            raise ImageError(f"{path}: a JPEG holds at most 65500 pixels a side; use .png")
        Image.fromarray(image).save(encoded, "JPEG", quality=quality)
    elif suffix == ".png":
        Image.fromarray(image).save(encoded, "PNG")
    else:
        raise ImageError(f"cannot write {path}: the suffix is {suffix!r}; use .jpg or .png")
    atomic_write(path, lambda file: file.write(encoded.getvalue()))


def write_index_image(path, labels, *, palette) -> None:
    """Write labels as a palette PNG, atomically; `read_index_image` reads them back.

    Parameters
    ----------
    path : path-like
    labels : uint8 array of shape [H, W]
    palette : uint8 array of shape [256, 3]
        The colour in which each label is shown.
    """
    labels = np.asarray(labels)
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"labels are uint8 [H, W], got {labels.dtype} {list(labels.shape)}")
    image = Image.fromarray(labels)
    image.putpalette(np.asarray(palette, dtype=np.uint8).tobytes())
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    atomic_write(path, lambda file: file.write(encoded.getvalue()))


def shrink_to_fit(image, longest: int) -> tuple[np.ndarray, float]:
    """Shrink an image so that its longer side is at most `longest` pixels.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    longest : int
        Upper limit for both sides, in pixels.

    Returns
    -------
    image : uint8 array of shape [H', W', 3]
        Averaged over the area of each new pixel; the array itself where it fits already.
    scale : float
        New length divided by old, at most 1: a box of the old image times `scale` is a box of the new one.
    """
    if longest < 1:
        raise ValueError(f"longest is {longest}, but an image has at least one pixel a side")
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image, 1.0
    import cv2

    new_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, new_size, interpolation=cv2.INTER_AREA), scale


def _open_source(source):
    """Return a name for messages and a binary file to read from."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, file = "the image data", io.BytesIO(source)
    elif hasattr(source, "read"):
        name, file = str(getattr(source, "name", "the image file")), io.BytesIO(source.read())
    else:
        name = str(source)
        if Path(source).is_dir():
            raise ImageError(f"{name} is a folder, not an image; name a file in it")
        try:
            file = open(source, "rb")
        except FileNotFoundError as error:
            raise ImageError(f"there is no image {name}; check the path") from error
        except OSError as error:
            raise ImageError(f"cannot read the image {name}: {error.strerror or error}") from error
    if not file.read(1):
        file.close()
        raise ImageError(f"{name} is empty (0 bytes); copy or download it again")
    file.seek(0)
    return name, file


def _decode(name: str, file, *, shrink: int = 1) -> tuple[Image.Image, int]:
    """Decode the picture, after a look at its size; tells by what its sides still have to be divided.

    The decoder of JPEG divides them itself, all others leave it to the caller.
    """
    try:
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except _DECODER_ERRORS as error:
        raise ImageError(
            f"{name} is not an image this program can read (JPEG, PNG, BMP, GIF, TIFF, WebP, PPM); "
            "if it is a picture of another kind, such as HEIC, convert it to JPEG first"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name)
    try:
        small = image.width // shrink, image.height // shrink
        divided = shrink > 1 and min(small) > 0 and image.draft(None, small) is not None
        image.load()
    except _DECODER_ERRORS as error:
        raise ImageError(f"{name} is damaged or truncated ({error}); copy or download it again") from error
    return image, 1 if divided else shrink


def _too_large(name: str) -> ImageError:
    return ImageError(
        f"{name} holds more than {MAX_PIXELS / 1e6:.0f} million pixels; shrink it with a picture editor first"
    )


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation to the pixels."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _DECODER_ERRORS:  # a damaged EXIF block is no reason to refuse a picture whose pixels are sound
        orientation = None
    operation = _UPRIGHT.get(orientation)
    return image if operation is None else image.transpose(operation)


def _to_rgb(name: str, image: Image.Image) -> Image.Image:
    """Convert any mode of Pillow to RGB."""
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max() > 65535):
        raise ImageError(f"{name} stores more than 16 bits a pixel; save it as an 8-bit JPEG or PNG")
    if image.mode == "I" or image.mode.startswith("I;16"):
        upper_byte = (np.asarray(image).clip(0) >> 8).astype(np.uint8)
        return Image.fromarray(upper_byte).convert("RGB")
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if not transparent:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def file_of(dataset, image_id: str) -> Path | None:
    """The file that an image of a data set is in; None for images that are made otherwise."""
    return Path(dataset.image_path(image_id)) if hasattr(dataset, "image_path") else None


def digest_of_file(dataset, image_id: str) -> str:
    """SHA-256 of the bytes of an image's file; empty for images that are in no file, or cannot be read.

    By it a cache knows an image again, whatever the dates of files say.
    """
    path = file_of(dataset, image_id)
    try:
        return "" if path is None else sha256(path)
    except OSError:
        return ""
