"""GIST: a whole picture as 960 numbers, of what orientation and coarseness lies roughly where (paper, App. F).

The descriptor is Oliva and Torralba's ("Modeling the shape of the scene", IJCV 2001). As App. F does, it is
taken of the picture warped to 32 x 32 pixels, so that size, shape and compression hardly matter. Douze et al.
("Evaluation of GIST descriptors for web-scale image search", CIVR 2009) found near-duplicates with such
descriptors in very large collections; the dimensions here are theirs: 3 colour channels, 20 filters (8, 8 and
4 orientations from fine to coarse), 4 x 4 blocks. The filters are the published ones up to details, so
distances are not to be compared with those of other programs.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np

from rcnn_helpers.errors import ImageError

SIDE = 32  # pixels of the warped picture (App. F)
ORIENTATIONS = (8, 8, 4)  # filters of each scale, fine to coarse
BLOCKS = 4  # blocks in each direction
N_FILTERS = sum(ORIENTATIONS)
DIMENSION = 3 * N_FILTERS * BLOCKS**2

# The filters: frequency of the finest scale in cycles a pixel, ratio to the next one, and two Gaussian
# widths, of the frequency relative to the filter's own and of the angle relative to the step between two
# orientations.
_FINEST, _RATIO = 0.3, 1.85
_RADIAL_WIDTH, _ANGULAR_WIDTH = 0.38, 0.72
# Local contrast: what is coarser than this (cycles over the whole picture) is taken away, and what is left is
# divided by its local strength plus a little.
_COARSEST, _LEAST_CONTRAST = 4.0, 0.2
# Descriptors of photographs have a length of 1.5 to 3 before it is made 1. Below this, only rounding would be
# described.
_LEAST_LENGTH = 0.01


def gist(images: Iterable, *, batch: int = 32) -> np.ndarray:
    """Describe pictures by GIST descriptors of length 1.

    Parameters
    ----------
    images : iterable of uint8 arrays of shape [H, W, 3]
        Of any sizes; each is warped to 32 x 32 pixels, whatever its shape. They may come from a generator.
    batch : int
        Pictures worked on at once; the result does not depend on it.

    Returns
    -------
    float32 array of shape [N, 960]
        Mean strength by channel, filter (fine to coarse), block row and block column, in this order, never
        negative. The Euclidean distance of two of them lies between 0 and the root of 2. A picture of one
        colour has nothing to describe and gets zeros.

    Raises
    ------
    ImageError
        If one of them is no picture.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}, but at least one picture is worked on at a time")
    parts, waiting = [np.zeros((0, DIMENSION), np.float32)], []
    for image in images:
        waiting.append(warp(image))
        if len(waiting) == batch:
            parts.append(_described(np.stack(waiting)))
            waiting = []
    if waiting:
        parts.append(_described(np.stack(waiting)))
    return np.concatenate(parts)


def warp(image) -> np.ndarray:
    """A picture as 32 x 32 pixels, each the mean over its area; its shape is not kept.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]

    Returns
    -------
    uint8 array of shape [32, 32, 3]
    """
    import cv2

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"a picture to describe is uint8 [H, W, 3], got {image.dtype} {list(image.shape)}; read files with "
            "images.read_image"
        )
    return cv2.resize(np.ascontiguousarray(image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def mirrored(descriptors) -> np.ndarray:
    """The descriptors that the same pictures have when mirrored left to right.

    Mirroring moves numbers about: blocks change sides, and a stroke that leans to the left leans to the
    right. So no picture has to be looked at again.

    Parameters
    ----------
    descriptors : float array of shape [N, 960]

    Returns
    -------
    float array of shape [N, 960]
    """
    descriptors = as_descriptors(descriptors)
    by_part = descriptors.reshape(-1, 3, N_FILTERS, BLOCKS, BLOCKS)
    return by_part[:, :, _mirrored_filters(), :, ::-1].reshape(len(descriptors), DIMENSION)


def as_descriptors(descriptors) -> np.ndarray:
    """The argument as an array [N, 960], or a ValueError."""
    descriptors = np.asarray(descriptors)
    if descriptors.ndim != 2 or descriptors.shape[1] != DIMENSION:
        raise ValueError(f"GIST descriptors have shape [N, {DIMENSION}], got {list(descriptors.shape)}")
    return descriptors


def responses(images) -> np.ndarray:
    """How strongly each filter answers at each pixel of a warped picture.

    Parameters
    ----------
    images : uint8 array of shape [N, 32, 32, 3]

    Returns
    -------
    float32 array of shape [N, 3, 20, 32, 32]
    """
    from scipy import fft

    spectra = _spectra(local_contrast(images))
    filtered = spectra[:, :, None] * filter_bank()
    # Of the mirrored plane only one quarter is wanted: half of it can go after the first direction.
    columns = fft.ifft(filtered, axis=-2)[..., :SIDE, :]
    return np.abs(fft.ifft(columns, axis=-1)[..., :SIDE])


def local_contrast(images) -> np.ndarray:
    """Take light and shade away: what is left is about as strong in a dim corner as in bright sun.

    Parameters
    ----------
    images : uint8 array of shape [N, 32, 32, 3]

    Returns
    -------
    float32 array of shape [N, 3, 32, 32]
    """
    from scipy import fft

    def smooth(maps):
        low = _spectra(maps) * _low_pass()
        return fft.ifft2(low).real[..., :SIDE, :SIDE]

    light = np.log1p(np.moveaxis(np.asarray(images, dtype=np.float32), -1, 1))
    fine = light - smooth(light)
    power = smooth((fine**2).mean(axis=1, keepdims=True))
    return fine / (_LEAST_CONTRAST + np.sqrt(np.abs(power)))


def block_means(maps, blocks: int = BLOCKS) -> np.ndarray:
    """Mean of each block of a map cut into `blocks` x `blocks` equal ones.

    Parameters
    ----------
    maps : float array of shape [..., S, S]
        S is a multiple of `blocks`.
    blocks : int

    Returns
    -------
    float array of shape [..., blocks, blocks]
        By row and column.
    """
    maps = np.asarray(maps)
    *rest, height, width = maps.shape
    return maps.reshape(*rest, blocks, height // blocks, blocks, width // blocks).mean(axis=(-3, -1))


@cache
def filter_bank() -> np.ndarray:
    """What each filter lets pass of each frequency, float32 [20, 64, 64], in the order of a Fourier transform.

    Each is a Gaussian of frequency and angle, on one side of the origin only: its answer is complex, and the
    magnitude of that does not depend on where exactly a stroke lies.
    """
    down, right = _frequencies()
    frequency, angle = np.hypot(down, right), np.arctan2(down, right)
    filters = []
    for scale, n in enumerate(ORIENTATIONS):
        centre, step = _FINEST / _RATIO**scale, np.pi / n
        radial = np.exp(-0.5 * ((frequency / centre - 1) / _RADIAL_WIDTH) ** 2)
        for number in range(n):
            away = angle - number * step
            away = np.arctan2(np.sin(away), np.cos(away))  # the short way round
            filters.append(radial * np.exp(-0.5 * (away / (_ANGULAR_WIDTH * step)) ** 2))
    bank = np.array(filters, dtype=np.float32)
    bank[:, 0, 0] = 0  # plain brightness answers to no filter
    return bank


def _described(images: np.ndarray) -> np.ndarray:
    means = block_means(responses(images)).reshape(len(images), DIMENSION)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.divide(means, lengths, out=np.zeros_like(means), where=lengths > _LEAST_LENGTH)


def _spectra(maps):
    """Fourier transform of maps [..., 32, 32] and their mirror images around them, [..., 64, 64].

    A plane of mirrored tiles has no seams; a picture repeated as it is would have strong ones at its borders.
    """
    from scipy import fft

    tall = np.concatenate([maps, maps[..., ::-1, :]], axis=-2)
    return fft.fft2(np.concatenate([tall, tall[..., ::-1]], axis=-1).astype(np.float32, copy=False))


def _frequencies():
    """Vertical and horizontal frequency of each coefficient, in cycles a pixel."""
    along = np.fft.fftfreq(2 * SIDE)
    return np.meshgrid(along, along, indexing="ij")


@cache
def _low_pass() -> np.ndarray:
    """A Gaussian that lets half pass at `_COARSEST` cycles a picture, float32 [64, 64]."""
    frequency = SIDE * np.hypot(*_frequencies())
    return np.exp(-np.log(2) * (frequency / _COARSEST) ** 2).astype(np.float32)


@cache
def _mirrored_filters() -> np.ndarray:
    """For each filter the number of the one that sees in a mirrored picture what it sees in the picture itself."""
    numbers, first = [], 0
    for n in ORIENTATIONS:
        numbers += [first + (n - number) % n for number in range(n)]
        first += n
    return np.array(numbers)
