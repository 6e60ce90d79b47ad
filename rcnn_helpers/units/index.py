"""The index of units: for every unit of a layer, the regions of a data set that excite it most (sec. 3.1).

"Compute the unit's activations on a large set of held-out region proposals, sort them, perform non-maximum
suppression, and then display the top-scoring regions", says the paper, for one unit at a time. A `UnitIndex`
holds the answer for all units of a layer; `rcnn_helpers.units.building.build_index` makes it in one pass.

A unit is a number: unit ``(channel, row, column)`` of a map of 6x6 cells is ``36 channel + 6 row + column``, as in
flattened features. Only activations above 0 count, those that a ReLU lets pass.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rcnn_helpers.errors import SettingsError, StoreError
from rcnn_helpers.storage import atomic_write
from rcnn_helpers.warping import crop_geometry

# Raised whenever the files change in a way that older ones must not be read any more.
FORMAT = 1
_TENSORS = {
    "values": np.float32,
    "image_index": np.int32,
    "boxes": np.float32,
    "sums": np.float64,
    "counts": np.int64,
    "spans": np.int64,
}
_SETTINGS = (
    "network_name",
    "fingerprint",
    "layer",
    "shape",
    "nms_iou",
    "mode",
    "padding",
    "input_size",
    "image_ids",
    "n_regions",
    "inputs",
)
# An image so large that no region lies outside: where a crop's window lies does not depend on the image.
_NO_LIMIT = 2**40


@dataclass(frozen=True)
class TopRegions:
    """The regions that excite one unit most, best first.

    Attributes
    ----------
    image_ids : tuple of k str
    boxes : float32 [k, 4]
        The regions, in pixels of their images.
    values : float32 [k]
        The unit's activation.
    scaled : float32 [k]
        The same, divided by the largest activation of the unit's channel: between 0 and 1.
    fields : float32 [k, 4]
        What the unit sees of each region, in pixels of its image: the white box of the paper's figures. It may
        reach over the region, as the network is shown some context around it, and out of the image.
    """

    image_ids: tuple[str, ...]
    boxes: np.ndarray
    values: np.ndarray
    scaled: np.ndarray
    fields: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class UnitIndex:
    """For every unit of a layer the K regions that excite it most, and how active it is.

    With U units and at most K regions kept for each.

    Attributes
    ----------
    network_name : str
    fingerprint : str
        Of the network's weights.
    layer : str
    shape : (int, int, int)
        Channels, rows and columns of the layer; ``(D, 1, 1)`` of a fully connected one.
    nms_iou : float
        Of two regions of an image that overlap by more, only the better one is listed.
    mode, padding, input_size : see `rcnn_helpers.warping.crop_geometry`
        How regions were made the network's input.
    image_ids : tuple of str
        All images taken in, in order.
    n_regions : int
        All regions taken in.
    inputs : str
        Digest of all that the index was made from.
    values : float32 [U, K]
        Activations, largest first, 0 where there is none any more.
    image_index : int32 [U, K]
        Position of a region's image in `image_ids`, -1 where there is none.
    boxes : float32 [U, K, 4]
        The region, in pixels of its image.
    sums : float64 [U, 2]
        Sum of all activations, in two parts: the second is what the first lost by rounding.
    counts : int64 [U]
        Regions with an activation above 0.
    spans : int64 [cells, 2]
        First pixel of the crop that a unit of each row or column sees, and the one behind the last; see
        `rcnn_helpers.units.receptive_field.FieldGeometry`.
    """

    network_name: str
    fingerprint: str
    layer: str
    shape: tuple[int, int, int]
    nms_iou: float
    mode: str
    padding: int
    input_size: int
    image_ids: tuple[str, ...]
    n_regions: int
    inputs: str
    values: np.ndarray
    image_index: np.ndarray
    boxes: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    spans: np.ndarray

    def __repr__(self):
        channels, rows, columns = self.shape
        return (
            f"UnitIndex({self.network_name} {self.layer}, {channels} channels of {rows}x{columns} cells, "
            f"top {self.top} of {self.n_regions} regions in {self.n_images} images)"
        )

    # -- numbers -------------------------------------------------------------------------------------------

    @property
    def top(self) -> int:
        """Regions kept for each unit, at most."""
        return self.values.shape[1]

    @property
    def n_units(self) -> int:
        return len(self.values)

    @property
    def n_images(self) -> int:
        return len(self.image_ids)

    @property
    def maximum(self) -> np.ndarray:
        """Each unit's largest activation, float32 [U]."""
        return self.values[:, 0]

    @cached_property
    def mean(self) -> np.ndarray:
        """Each unit's mean activation over all regions, float32 [U]."""
        return (self.sums.sum(axis=1) / max(1, self.n_regions)).astype(np.float32)

    @cached_property
    def active(self) -> np.ndarray:
        """Share of all regions that excite each unit at all, float32 [U]."""
        return (self.counts / max(1, self.n_regions)).astype(np.float32)

    @cached_property
    def channel_maximum(self) -> np.ndarray:
        """The largest activation of any cell of each channel, float32 [C]; `TopRegions.scaled` refers to it."""
        return self.maximum.reshape(self.shape[0], -1).max(axis=1)

    # -- units ---------------------------------------------------------------------------------------------

    def unit(self, channel: int, row: int = 0, column: int = 0) -> int:
        """The number of a unit.

        Raises
        ------
        SettingsError
            If the layer has no such unit.
        """
        place = (channel, row, column)
        for name, value, count in zip(("channel", "row", "column"), place, self.shape, strict=True):
            if not 0 <= value < count:
                raise SettingsError(
                    f"{self.layer} of {self.network_name} has no {name} {value}; there are 0 to {count - 1}"
                )
        return int(np.ravel_multi_index(place, self.shape))

    def place(self, unit: int) -> tuple[int, int, int]:
        """The channel, row and column of a unit."""
        self._require_unit(unit)
        return tuple(int(part) for part in np.unravel_index(unit, self.shape))

    def regions(self, unit: int, k: int | None = None) -> TopRegions:
        """The regions that excite a unit most.

        Parameters
        ----------
        unit : int
            See `unit`.
        k : int, optional
            At most so many; by default all that are kept. A unit that few regions excite has fewer.
        """
        self._require_unit(unit)
        n_kept = int(np.count_nonzero(self.values[unit]))
        part = slice(0, n_kept if k is None else min(k, n_kept))
        values, boxes = self.values[unit, part], self.boxes[unit, part]
        channel, _, _ = self.place(unit)
        return TopRegions(
            image_ids=tuple(self.image_ids[i] for i in self.image_index[unit, part]),
            boxes=boxes,
            values=values,
            scaled=values / self.channel_maximum[channel] if len(values) else values,
            fields=self.fields(unit, boxes),
        )

    def field(self, unit: int) -> np.ndarray:
        """What a unit sees of the crop, a box float32 [4]."""
        _, row, column = self.place(unit)
        (y1, y2), (x1, x2) = self.spans[row], self.spans[column]
        return np.array([x1, y1, x2, y2], dtype=np.float32)

    def fields(self, unit: int, boxes) -> np.ndarray:
        """What a unit sees of regions, in pixels of their images.

        The crop shows a window of the image, stretched to a square; this leads back from the crop to the window.

        Parameters
        ----------
        unit : int
        boxes : array-like [N, 4]
            Regions, in pixels of their images.

        Returns
        -------
        float32 [N, 4]
        """
        window = crop_geometry(
            boxes, _NO_LIMIT, _NO_LIMIT, size=self.input_size, mode=self.mode, padding=self.padding
        ).window.astype(np.float64)
        pixels = (window[:, 2:] - window[:, :2]) / self.input_size  # of the image, for one of the crop [N, 2]
        field = self.field(unit).astype(np.float64)
        start, end = window[:, :2] + field[:2] * pixels, window[:, :2] + field[2:] * pixels
        return np.concatenate([start, end], axis=1).astype(np.float32)

    def similar_channels(self, channel: int, n: int | None = None) -> np.ndarray:
        """Other channels, the one most like this one first.

        Two channels are alike if, cell by cell, the same images excite them: each is described by one number for
        each cell and image, the largest of its scaled activations that are listed, and likeness is the cosine of
        the angle between two descriptions. What the lists do not hold counts as 0.

        Parameters
        ----------
        channel : int
        n : int, optional
            So many; by default all others.

        Returns
        -------
        int64 [n]
        """
        self.unit(channel)
        likeness = (self._descriptions @ self._descriptions[channel].T).toarray().ravel()
        order = np.argsort(-likeness, kind="stable")
        return order[order != channel][:n]

    @cached_property
    def _descriptions(self):
        """A sparse row of length 1 for each channel: its best value in each cell and image."""
        from scipy.sparse import csr_matrix

        n_cells = self.shape[1] * self.shape[2]
        unit, rank = np.nonzero(self.values)
        image = self.image_index[unit, rank]
        # The first of an image in a unit's list is its best.
        _, first = np.unique(unit * self.n_images + image, return_index=True)
        unit, rank, image = unit[first], rank[first], image[first]
        channel, cell = np.divmod(unit, n_cells)
        values = (self.values[unit, rank] / self.channel_maximum[channel]).astype(np.float64)
        length = np.sqrt(np.bincount(channel, values**2, minlength=self.shape[0]))
        size = (self.shape[0], n_cells * self.n_images)
        return csr_matrix((values / length[channel], (channel, cell * self.n_images + image)), shape=size)

    def _require_unit(self, unit: int) -> None:
        if not 0 <= unit < self.n_units:
            raise SettingsError(
                f"{self.layer} of {self.network_name} has no unit {unit}; there are 0 to {self.n_units - 1}"
            )

    # -- files ---------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the index to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        tensors = {name: np.ascontiguousarray(getattr(self, name), kind) for name, kind in _TENSORS.items()}
        about = {"format": FORMAT} | {name: getattr(self, name) for name in _SETTINGS}
        about["checksum"] = _checksum(tensors, about)
        # One field only: safetensors writes several in random order, and equal indexes shall be equal files.
        content = save(tensors, metadata={"unit_index": json.dumps(about, sort_keys=True)})
        atomic_write(path, lambda file: file.write(content))

    @classmethod
    def load(cls, path) -> "UnitIndex":
        """Read an index from a file.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or not an index of units.
        """
        path = Path(path)
        try:
            with safe_open(path, framework="np") as file:
                header = (file.metadata() or {}).get("unit_index")
                if header is None:
                    raise StoreError(
                        f"{path} is not an index of units; make one with build_index or rcnn units build"
                    )
                about = json.loads(header)
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            if about["format"] != FORMAT:
                raise StoreError(
                    f"{path} is an index of format {about['format']}, but {FORMAT} is read here; build it anew"
                )
            if about.pop("checksum") != _checksum(tensors, about):
                raise StoreError(f"{path} is damaged: its checksum is wrong; build it anew")
            settings = {name: about[name] for name in _SETTINGS}
        except FileNotFoundError:
            raise StoreError(
                f"there is no index {path}; make it with build_index or rcnn units build"
            ) from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} is no sound index of units ({error}); build it anew") from error
        settings["shape"], settings["image_ids"] = tuple(settings["shape"]), tuple(settings["image_ids"])
        return cls(**settings, **tensors)


def _checksum(tensors: dict[str, np.ndarray], about: dict) -> str:
    """SHA-256 over names, types, shapes and content of tensors, and over what the index says about itself."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
