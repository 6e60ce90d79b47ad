"""What a descriptor is: a fixed number of figures that say how a region looks.

R-CNN's descriptor is a layer of a network. The others in this package were made by hand; all of them have the same
face, so that the rest of the detector, from the proposals to the evaluation, is the same for all.
"""

from collections.abc import Iterator

import numpy as np

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import SettingsError

# Crops made at a time: 64 x 64 pixels of three float32 colours, 256 times, are 12 MiB.
_CROPS_AT_A_TIME = 256


class Descriptor:
    """Base class: what is computed of a region, whatever its size and shape.

    A subclass sets `name` and `dim` and writes `describe_prepared`; one that learns from images writes `fit` too,
    and one that computes something once an image, for all of its regions, writes `prepare`.

    Attributes
    ----------
    name : str
    dim : int
        Length of the descriptor of a region.
    keeps_prepared : bool
        Whether what `prepare` makes of an image is small and dear, and so worth keeping.
    """

    name: str = ""
    dim: int = 0
    keeps_prepared: bool = False

    def fit(self, dataset, *, progress: bool = False) -> "Descriptor":
        """Learn what there is to learn from the training images; by default nothing."""
        return self

    def prepare(self, image: np.ndarray):
        """Compute what all regions of an image share; by default the image itself stands for it."""
        return image

    def describe_prepared(self, prepared, boxes: np.ndarray) -> np.ndarray:
        """Describe regions of an image that was given to `prepare`, float32 [N, dim]."""
        raise NotImplementedError

    def describe(self, image: np.ndarray, boxes) -> np.ndarray:
        """Describe regions of one image.

        Parameters
        ----------
        image : uint8 [H, W, 3], RGB
        boxes : array-like [N, 4]

        Returns
        -------
        float32 [N, dim]
        """
        return self.describe_prepared(self.prepare(image), as_boxes(boxes))

    def identity(self) -> dict:
        """Everything that decides the descriptor, as JSON values; what is learnt follows from it and the data."""
        raise NotImplementedError


class RawPixels(Descriptor):
    """The region's own pixels, shrunk to a small square: the least that one can do.

    The region is warped as for the network (App. A) to `oversampling` times the wanted size, and each block of
    ``oversampling ** 2`` pixels is averaged. A warp straight to a small square would read single pixels of a large
    region and leave out the rest.

    Parameters
    ----------
    size : int
        Side of the small square; the descriptor has ``3 * size ** 2`` figures, row by row, colours last.
    padding : int
        Pixels of context on each side, in the small square.
    oversampling : int
    contrast : bool
        Whether each square is brought to mean 0 and standard deviation 1, so that light and exposure do not
        matter. Without it, pixel values run from -1 (0) to 1 (255).
    """

    name = "raw pixels"

    def __init__(self, size: int = 16, *, padding: int = 1, oversampling: int = 4, contrast: bool = True):
        require_positive("raw pixels", size=size, oversampling=oversampling)
        _require_room(size, padding)
        self.size, self.padding, self.oversampling, self.contrast = size, padding, oversampling, contrast
        self.dim = 3 * size**2

    def describe_prepared(self, prepared: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Describe regions of an image, float32 [N, 3 * size ** 2]; see `describe`."""
        found = np.empty((len(boxes), self.dim), np.float32)
        size, step = self.size, self.oversampling
        for part, crops in crops_of(prepared, boxes, size=size * step, padding=self.padding * step):
            blocks = crops.reshape(-1, size, step, size, step, 3).mean(axis=(2, 4))
            found[part] = blocks.reshape(len(blocks), -1)
        if not self.contrast:
            return found / np.float32(127.5) - np.float32(1)
        found -= found.mean(axis=1, keepdims=True)
        # A square of one colour stays 0: half a level of 255 is less than any contrast that can be seen.
        return found / np.maximum(found.std(axis=1, keepdims=True), np.float32(0.5))

    def identity(self) -> dict:
        """Everything that decides the descriptor, as JSON values."""
        return {
            "descriptor": type(self).name,
            "size": self.size,
            "padding": self.padding,
            "oversampling": self.oversampling,
            "contrast": self.contrast,
        }


class NetworkLayer(Descriptor):
    """A layer of a network, as R-CNN has it (sec. 2.1): the others' rival, with the same face.

    Parameters
    ----------
    network : Network
    layer : str
    name : str, optional
        By default the layer's.
    mode, padding : see `rcnn_helpers.warping.crop_geometry`
    precision : str
        See `rcnn_helpers.features.extract`.
    """

    def __init__(
        self,
        network,
        layer: str,
        *,
        name: str | None = None,
        mode: str = "warp",
        padding: int = 16,
        precision: str = "auto",
    ):
        if layer not in network.layers:
            raise SettingsError(f"{network.name} has no layer {layer!r}; it has {', '.join(network.layers)}")
        self.network, self.layer = network, layer
        self.name = name or layer
        self.mode, self.padding, self.precision = mode, padding, precision
        self.dim = network.feature_dim(layer)

    def describe_prepared(self, prepared: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Describe regions of an image, float32 [N, feature_dim(layer)]; see `describe`."""
        from rcnn_helpers.features import extract

        options = {"mode": self.mode, "padding": self.padding, "precision": self.precision}
        return extract(self.network, prepared, boxes, layers=(self.layer,), **options)[self.layer]

    def identity(self) -> dict:
        """Everything that decides the descriptor, as JSON values."""
        return {
            "descriptor": "network layer",
            "network": self.network.name,
            "weights": self.network.fingerprint,
            "layer": self.layer,
            "mode": self.mode,
            "padding": self.padding,
            "precision": self.precision,
        }


def crops_of(
    image: np.ndarray, boxes: np.ndarray, *, size: int, padding: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Warp boxes of an image as for the network, some at a time; what lies outside repeats the image's border.

    Yields
    ------
    slice, float32 [n, size, size, 3]
        Some of the boxes and their crops, RGB in 0..255. The memory is used again for the next ones.
    """
    import torch

    from rcnn_helpers.warping import Warper, crop_buffer

    warper = Warper(image, size=size, padding=padding, fill="replicate", device="cpu")
    buffer = crop_buffer(min(len(boxes), _CROPS_AT_A_TIME), size, torch.float32)
    for start in range(0, len(boxes), _CROPS_AT_A_TIME):
        part = slice(start, min(start + _CROPS_AT_A_TIME, len(boxes)))
        yield part, warper(boxes[part], out=buffer).permute(0, 2, 3, 1).numpy()


def require_positive(what: str, **values: int) -> None:
    """Raise `SettingsError` unless all values are whole numbers from 1 on."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise SettingsError(f"{name} of {what} is {value!r}; give a whole number from 1 on")


def _require_room(size: int, padding: int) -> None:
    if padding < 0 or 2 * padding >= size:
        raise SettingsError(
            f"padding of raw pixels is {padding}; with size {size} it can be 0 to {(size - 1) // 2}"
        )
