"""Building the index of units: all regions of a data set, image by image, in one pass and in bounded memory.

Of each image only those regions matter to a unit whose value exceeds the K-th best that it has met so far. They
are the first of the image's regions in the order that suppression visits them, so suppressing among them alone
gives what suppressing among all would give. The lists are therefore exact: those of a full non-maximum
suppression in every image, followed by a sort over all images.

What is kept in memory does not grow with the number of regions: the lists, and one image's features.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numba import njit

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.features import FeatureStore, choose_precision, in_batches
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.training import interrupts_held
from rcnn_helpers.units.index import UnitIndex
from rcnn_helpers.units.receptive_field import field_geometry, module_name

TOP = 100
NMS_IOU = 0.1  # the original explorer's

# Features of an image that are held at a time. A layer with more units than fit is computed several times, for
# some of its units each; such layers lie early in a network, where computing is cheap.
_FEATURE_BYTES = 512 * 2**20
# A slow network shall not lose more than this when its process is killed.
_CHECKPOINT_SECONDS = 300
# Units looked at together: a few cache lines of each region's features, and buffers that stay in the cache.
_BLOCK = 32
# Fewer units than this are not worth waking another thread for.
_UNITS_PER_THREAD = 256


def build_index(
    dataset,
    proposals: Mapping[str, np.ndarray] | None = None,
    *,
    network=None,
    store: FeatureStore | None = None,
    layer: str = "pool5",
    top: int = TOP,
    nms_iou: float = NMS_IOU,
    mode: str | None = None,
    padding: int | None = None,
    fill: str | None = None,
    precision: str | None = None,
    include_ground_truth: bool = True,
    out=None,
    checkpoint_images: int = 50,
    batch_size: int | None = None,
    progress: bool = True,
) -> UnitIndex:
    """Find, for every unit of a layer, the regions of a data set that excite it most.

    Parameters
    ----------
    dataset : VOCDataset or the like
        With ``ids``, and ``image(id)`` where features are to be computed, ``annotation(id)`` for the objects.
    proposals : mapping of image id to float32 [N, 4], optional
        With a store it may be left out; if it is given, the store must hold these regions.
    network : Network, optional
        Computes the features where there is no store.
    store : FeatureStore, optional
        Features that are there already. From pool5, fc6 and fc7 follow.
    layer : str
        ``"pool5"``, ``"fc6"``, ``"fc7"``, or a module of the network as `field_geometry` names them, such as
        ``"conv3"``.
    top : int
        Regions kept for each unit. Lists take ``24 * units * top`` bytes.
    nms_iou : float
        Of two regions of an image whose IoU is larger, a unit's list holds only the better.
    mode, padding, fill, precision : optional
        See `rcnn_helpers.features.extract`; by default the store's, or those of `extract`.
    include_ground_truth : bool
        Take the boxes of all objects for regions, too, before the proposals, as the original code does.
    out : path-like, optional
        File to save the index in. What an interrupted call has done is kept beside it, in a file with ``.part``
        added to its name, and the next call goes on from there. If `out` holds this index already, it is read.
    checkpoint_images : int
        Write that file after so many images, and at least every five minutes.
    batch_size : int, optional
        See `rcnn_helpers.features.extract`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    UnitIndex

    Raises
    ------
    SettingsError
        If a setting is out of range or the network has no such layer.
    DatasetError
        If an image has no entry in `proposals`.
    StoreError
        If the store lacks an image or holds other regions, a feature is not a finite number, or `out` holds
        another index.
    """
    from tqdm.auto import tqdm

    _check_numbers(top, nms_iou, checkpoint_images)
    source = _source(
        dataset,
        proposals,
        network=network,
        store=store,
        layer=layer,
        include_ground_truth=include_ground_truth,
        batch_size=batch_size,
        warp={"mode": mode, "padding": padding, "fill": fill, "precision": precision},
    )
    empty = _empty_index(source, top, nms_iou)
    files = _Files(out, empty.inputs)
    finished = files.finished()
    if finished is not None:
        return finished
    growing = _Growing(files.unfinished() or empty)

    todo = dataset.ids[len(growing.image_ids) :]
    bar = tqdm(
        todo,
        desc=f"units ({layer})",
        unit="image",
        total=len(dataset.ids),
        initial=len(growing.image_ids),
        disable=not progress,
    )
    saved = time.monotonic()
    try:
        for image_id in bar:
            growing.take_in(image_id, source.regions(image_id))
            n_done = len(growing.image_ids)
            is_due = n_done % checkpoint_images == 0 or time.monotonic() - saved > _CHECKPOINT_SECONDS
            if is_due and n_done < len(dataset.ids):
                files.checkpoint(growing.index())
                saved = time.monotonic()
    except KeyboardInterrupt:
        files.checkpoint(growing.index())
        raise
    index = growing.index()
    files.finish(index)
    return index


def merge_indexes(indexes: Iterable[UnitIndex]) -> UnitIndex:
    """Join indexes of different images: the result is that of one pass over all of them, in this order.

    Parameters
    ----------
    indexes : iterable of UnitIndex
        Made alike, with the same number of regions kept for each unit.

    Raises
    ------
    SettingsError
        If there is none, they were made differently, or an image is in two of them.
    """
    indexes = list(indexes)
    _check_alike(indexes)
    first = indexes[0]
    if len(indexes) == 1:
        return first
    behind = np.cumsum([index.n_images for index in indexes])
    values = np.concatenate([index.values for index in indexes], axis=1)
    # Stable: of equal values, the earlier index has the earlier images.
    order = np.argsort(-values, axis=1, kind="stable")[:, : first.top]
    image_index = np.concatenate(
        [
            np.where(index.image_index >= 0, index.image_index + offset, -1)
            for index, offset in zip(indexes, [0, *behind[:-1]], strict=True)
        ],
        axis=1,
    )
    boxes = np.concatenate([index.boxes for index in indexes], axis=1)
    sums = first.sums.copy()
    for index in indexes[1:]:
        _add_up(sums, index.sums[:, 0])
        sums[:, 1] += index.sums[:, 1]
    return replace(
        first,
        image_ids=tuple(image_id for index in indexes for image_id in index.image_ids),
        n_regions=sum(index.n_regions for index in indexes),
        inputs=_digest_json([index.inputs for index in indexes]),
        values=np.take_along_axis(values, order, axis=1),
        image_index=np.take_along_axis(image_index, order, axis=1).astype(np.int32),
        boxes=np.take_along_axis(boxes, order[:, :, None], axis=1),
        sums=sums,
        counts=np.sum([index.counts for index in indexes], axis=0),
    )


# -- where features come from ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Regions:
    """The regions of one image: boxes float32 [R, 4], and features(units), float32 [R, n] for a slice of units.

    Where `parts` are several slices, not all units' features fit into memory at a time.
    """

    boxes: np.ndarray
    features: Callable[[slice], np.ndarray]
    parts: list[slice]


class _Source:
    """Regions and their features, image by image; and what they have in common.

    Attributes
    ----------
    network : Network
    fingerprint, layer, shape : as in `UnitIndex`
    warp : dict
        mode, padding, fill and precision.
    """

    def __init__(self, dataset, proposals, network, layer, include_ground_truth, warp):
        self.dataset = dataset
        self.proposals = proposals
        self.network = network
        self.fingerprint = network.fingerprint
        self.layer = layer
        self.include_ground_truth = include_ground_truth
        self.warp = warp
        if proposals is not None:
            _check_proposals(dataset, proposals)

    def given_boxes(self, image_id: str) -> np.ndarray:
        """The objects, if they are wanted, and the proposals: float32 [R, 4]."""
        proposed = as_boxes(self.proposals[image_id])
        if not self.include_ground_truth:
            return proposed
        return np.concatenate([as_boxes(self.dataset.annotation(image_id).boxes), proposed])

    def identity(self) -> dict:
        """JSON values that decide all features, and a digest of the regions where these are given."""
        digest = hashlib.sha256()
        if self.proposals is not None:
            for image_id in self.dataset.ids:
                boxes = self.given_boxes(image_id)
                digest.update(f"{image_id} {len(boxes)} ".encode())
                digest.update(boxes)
        return {
            "weights": self.fingerprint,
            "layer": self.layer,
            "images": list(self.dataset.ids),
            "ground truth": self.include_ground_truth,
            "boxes": digest.hexdigest(),
            **self.warp,
        }


class _StoredFeatures(_Source):
    """Features that a `FeatureStore` holds, or that follow from those."""

    def __init__(self, dataset, proposals, store: FeatureStore, layer, include_ground_truth, warp):
        if layer not in store.network.layers:
            raise SettingsError(
                f"{layer} does not follow from the {store.layer} features of {store.folder}; leave the store out "
                "and give the network"
            )
        store.require(**{name: value for name, value in warp.items() if value is not None})
        settings = {name: store.settings[name] for name in warp}
        super().__init__(dataset, proposals, store.network, layer, include_ground_truth, settings)
        self.store = store
        self.shape = _three_sides(store.network.feature_shape(layer))

    def identity(self) -> dict:
        return super().identity() | {"store": self.store.key}

    def regions(self, image_id: str) -> _Regions:
        entry = self.store.read(image_id, self.layer)
        wanted = np.ones(len(entry), bool) if self.include_ground_truth else ~entry.is_gt
        boxes, features = entry.boxes[wanted], entry.features[wanted]
        if self.proposals is not None and not np.array_equal(boxes, self.given_boxes(image_id)):
            raise StoreError(
                f"{self.store.folder} holds other regions of image {image_id} than the proposals given; extract "
                "them with extract_dataset, or leave the proposals out"
            )
        return _Regions(boxes, lambda units: features[:, units], [slice(0, features.shape[1])])


class _ComputedFeatures(_Source):
    """Features that the network computes when they are asked for."""

    def __init__(self, dataset, proposals, network, layer, include_ground_truth, warp, batch_size):
        if proposals is None:
            raise SettingsError("an index needs proposals, or a store whose regions are taken")
        defaults = {"mode": "warp", "padding": CONTEXT_PADDING, "fill": "mean", "precision": "auto"}
        warp = {name: defaults[name] if value is None else value for name, value in warp.items()}
        warp["precision"] = choose_precision(warp["precision"], network.device)
        super().__init__(dataset, proposals, network, layer, include_ground_truth, warp)
        self.batch_size = batch_size
        self.forward = _Forward(network, layer)
        self.shape = self.forward.shape

    def regions(self, image_id: str) -> _Regions:
        image, boxes = self.dataset.image(image_id), self.given_boxes(image_id)
        return _Regions(
            boxes,
            lambda units: self._features(image, boxes, units),
            _parts(len(boxes), int(np.prod(self.shape))),
        )

    def _features(self, image, boxes, units: slice) -> np.ndarray:
        features = np.empty((len(boxes), units.stop - units.start), dtype=np.float32)
        batches = in_batches(
            self.network,
            image,
            boxes,
            lambda network, crops: self.forward(network, crops)[:, units],
            batch_size=self.batch_size,
            **self.warp,
        )
        for part, found in batches:
            features[part] = found.float().cpu().numpy()
        return features


class _Forward:
    """A network up to one of its layers.

    Attributes
    ----------
    shape : (int, int, int)
        Of the layer: channels, rows and columns.
    """

    def __init__(self, network, layer: str):
        self.layer = layer
        self.is_feature_layer = layer in network.layers
        if self.is_feature_layer:
            self.shape = _three_sides(network.feature_shape(layer))
            return
        self.module = module_name(network, layer)
        field_geometry(network, layer)  # refuses what has no place in the crop
        size = network.input_size
        self.shape = tuple(self._map(network, torch.zeros(1, 3, size, size)).shape[1:])

    def __call__(self, network, crops) -> torch.Tensor:
        """The layer's activations [N, U] of some crops, flattened in the order channel, row, column."""
        if self.is_feature_layer:
            return network.features(crops, (self.layer,))[self.layer]
        return self._map(network, crops).flatten(1)

    @torch.inference_mode()
    def _map(self, network, crops) -> torch.Tensor:
        """The module's output [N, C, H, W]; what comes after it is not computed."""

        def stop(module, inputs, output):
            raise _Reached(output)

        hook = network.module.get_submodule(self.module).register_forward_hook(stop)
        try:
            crops = crops.to(network.device, network.dtype).contiguous(memory_format=torch.channels_last)
            network.module.trunk(crops)
        except _Reached as reached:
            return reached.output
        finally:
            hook.remove()
        raise SettingsError(f"{network.name} does not use its layer {self.layer!r}")


class _Reached(Exception):
    """The layer whose output is wanted has been computed."""

    def __init__(self, output: torch.Tensor):
        super().__init__()
        self.output = output


def _source(
    dataset, proposals, *, network, store, layer, include_ground_truth, batch_size, warp: dict
) -> _Source:
    if store is not None:
        if network not in (None, store.network) and network.fingerprint != store.settings["weights"]:
            raise SettingsError(
                f"{store.folder} was opened for {store.network.name} with other weights than {network.name}'s; "
                "give one of the two"
            )
        return _StoredFeatures(dataset, proposals, store, layer, include_ground_truth, warp)
    if network is None:
        raise SettingsError("an index of units needs a network, or a store of its features")
    return _ComputedFeatures(dataset, proposals, network, layer, include_ground_truth, warp, batch_size)


def _parts(n_regions: int, n_units: int) -> list[slice]:
    """All units in slices, the features of one of which fit into memory."""
    n_parts = -(-4 * n_regions * n_units // _FEATURE_BYTES) or 1
    edges = [n_units * k // n_parts for k in range(n_parts + 1)]
    return [slice(start, end) for start, end in zip(edges[:-1], edges[1:], strict=True)]


def _three_sides(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, rows and columns; a fully connected layer's units are channels of one cell."""
    return tuple(shape) if len(shape) == 3 else (shape[0], 1, 1)


def _spans(network, layer: str) -> np.ndarray:
    """Where the layer's units look; those of a fully connected layer see all that pool5 sees."""
    if layer in network.layers and layer != "pool5":
        spans = field_geometry(network, "pool5").spans
        return np.array([[spans[:, 0].min(), spans[:, 1].max()]])
    return field_geometry(network, layer).spans


# -- the lists while they grow -----------------------------------------------------------------------------


def _empty_index(source: _Source, top: int, nms_iou: float) -> UnitIndex:
    n_units = int(np.prod(source.shape))
    return UnitIndex(
        network_name=source.network.name,
        fingerprint=source.fingerprint,
        layer=source.layer,
        shape=source.shape,
        nms_iou=nms_iou,
        mode=source.warp["mode"],
        padding=source.warp["padding"],
        input_size=source.network.input_size,
        image_ids=(),
        n_regions=0,
        inputs=_digest_json(source.identity() | {"top": top, "nms_iou": nms_iou}),
        values=np.zeros((n_units, top), np.float32),
        image_index=np.full((n_units, top), -1, np.int32),
        boxes=np.zeros((n_units, top, 4), np.float32),
        sums=np.zeros((n_units, 2)),
        counts=np.zeros(n_units, np.int64),
        spans=_spans(source.network, source.layer),
    )


class _Growing:
    """An index that takes in image after image. It goes on in the arrays of the one it begins with."""

    def __init__(self, begun: UnitIndex):
        self.begun = begun
        self.image_ids = list(begun.image_ids)
        self.n_regions = begun.n_regions

    def index(self) -> UnitIndex:
        """All that has been taken in; the arrays are shared."""
        return replace(self.begun, image_ids=tuple(self.image_ids), n_regions=self.n_regions)

    def take_in(self, image_id: str, regions: _Regions) -> None:
        """Take in all regions of an image, or none of them."""
        overlaps = overlap_bits(regions.boxes, self.begun.nms_iou)
        first, *others = regions.parts
        features = regions.features(first)
        with interrupts_held():
            self._take_in_part(image_id, regions.boxes, overlaps, first, features)
            for units in others:
                self._take_in_part(image_id, regions.boxes, overlaps, units, regions.features(units))
            self.image_ids.append(image_id)
            self.n_regions += len(regions.boxes)

    def _take_in_part(self, image_id, boxes, overlaps, units: slice, features) -> None:
        index = self.begun
        image_sums = np.zeros(features.shape[1])
        lists = (index.values[units], index.image_index[units], index.boxes[units])
        number = len(self.image_ids)

        def work(part: slice) -> None:
            _update(
                features,
                boxes,
                overlaps,
                number,
                part.start,
                part.stop,
                *lists,
                image_sums,
                index.counts[units],
            )

        _share_out(work, features.shape[1])
        if not np.isfinite(image_sums).all():
            raise StoreError(
                f"{index.layer} of image {image_id} has values that are not finite numbers; are the network's "
                'weights sound? With precision="float16" try "float32"'
            )
        _add_up(index.sums[units], image_sums)


def _add_up(sums: np.ndarray, more: np.ndarray) -> None:
    """Add to sums float64 [U, 2] in place; what the first part loses by rounding goes to the second (Knuth)."""
    before = sums[:, 0].copy()
    total = before + more
    added = total - before
    sums[:, 1] += (before - (total - added)) + (more - added)
    sums[:, 0] = total


def _share_out(work: Callable[[slice], None], n_units: int) -> None:
    """Call `work` on slices of all units, in as many threads as torch uses."""
    workers = max(1, min(torch.get_num_threads(), n_units // _UNITS_PER_THREAD))
    edges = [n_units * k // workers for k in range(workers + 1)]
    parts = [slice(start, end) for start, end in zip(edges[:-1], edges[1:], strict=True)]
    if workers == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, parts))


@njit(cache=True, nogil=True)
def _overlap_bits(coordinates, iou_threshold):
    """Bit q of row r: whether regions r and q overlap by more than the threshold; r always overlaps itself.

    `coordinates` is float64 [4, R]; the IoU is that of `rcnn_helpers.nms`. Result uint64 [R, R / 64 rounded up].
    """
    x1, y1, x2, y2 = coordinates
    n = len(x1)
    n_words = (n + 63) // 64
    areas = (x2 - x1) * (y2 - y1)
    bits = np.empty((n, n_words), dtype=np.uint64)
    over = np.zeros(64 * n_words, dtype=np.uint8)
    eights = over.view(np.uint64)
    for r in range(n):
        for q in range(n):
            width = max(min(x2[r], x2[q]) - max(x1[r], x1[q]), 0.0)
            height = max(min(y2[r], y2[q]) - max(y1[r], y1[q]), 0.0)
            shared = width * height
            union = max(areas[r] + areas[q] - shared, 1e-300)  # two boxes without area: IoU 0, not NaN
            over[q] = shared / union > iou_threshold
        over[r] = 1
        for w in range(n_words):
            word = np.uint64(0)
            for part in range(8):
                # Byte i of the eight, 0 or 1, is moved to bit 56 + i; no two products meet, so none carries.
                gathered = (eights[8 * w + part] * np.uint64(0x0102040810204080)) >> np.uint64(56)
                word |= gathered << np.uint64(8 * part)
            bits[r, w] = word
    return bits


def overlap_bits(boxes: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Which regions of an image overlap by more than a threshold: uint64 [R, R / 64 rounded up].

    Bit ``q % 64`` of word ``q // 64`` in row r tells of regions r and q. It is worked out once for all units.
    """
    coordinates = np.ascontiguousarray(boxes.T, dtype=np.float64)
    return _overlap_bits(coordinates, float(iou_threshold))


@njit(cache=True, nogil=True)
def _update(
    features, boxes, overlaps, image, start, stop, values, image_index, top_boxes, image_sums, counts
):
    """Bring the regions of an image into the lists of the units from `start` to `stop`.

    `features` is float32 [R, U]; lists and statistics belong to its U units.
    """
    n_regions = len(boxes)
    top = values.shape[1]
    row = np.empty((_BLOCK, n_regions + 1), np.int32)  # of each unit, the regions that may enter its list ...
    value = np.empty((_BLOCK, n_regions + 1), np.float32)  # ... and how they excite it
    found = np.empty(_BLOCK, np.int64)
    total, active = np.empty(_BLOCK, np.float64), np.empty(_BLOCK, np.int64)
    kept_row = np.empty(min(top, n_regions), np.int32)
    kept_value = np.empty(min(top, n_regions), np.float32)
    for first in range(start, stop, _BLOCK):
        n_units = min(_BLOCK, stop - first)
        least = values[first : first + n_units, top - 1].copy()
        found[:] = 0
        total[:], active[:] = 0, 0
        for r in range(n_regions):
            activations = features[r, first : first + n_units]
            any_enters = False
            for j in range(n_units):  # no branch, so that the compiler can treat several units at once
                v = activations[j]
                total[j] += np.float32(0) if v <= 0 else v  # so that NaN is not lost
                active[j] += v > 0
                any_enters |= v > least[j]
            if any_enters:
                for j in range(n_units):
                    v = activations[j]
                    row[j, found[j]], value[j, found[j]] = r, v
                    found[j] += v > least[j]
        image_sums[first : first + n_units] = total[:n_units]
        counts[first : first + n_units] += active[:n_units]
        for j in range(n_units):
            unit = first + j
            n_kept = _suppress(row[j], value[j], found[j], overlaps, values[unit], kept_row, kept_value)
            _merge(
                kept_row, kept_value, n_kept, boxes, image, values[unit], image_index[unit], top_boxes[unit]
            )


@njit(cache=True, nogil=True)
def _suppress(row, value, n, overlaps, listed, kept_row, kept_value):
    """Greedy suppression among the first `n` candidates, which come in the order of their rows.

    It ends when no other candidate can enter a list that holds `listed`, best first. The candidates are used up;
    those kept are written to `kept_row` and `kept_value`, best first. Returns how many there are.
    """
    top = len(listed)
    n_kept = 0
    while n > 0 and n_kept < top:
        best = 0
        for i in range(1, n):
            if value[i] > value[best]:  # of equal values the first stays
                best = i
        if value[best] <= listed[top - 1 - n_kept]:
            break
        kept_row[n_kept], kept_value[n_kept] = row[best], value[best]
        n_kept += 1
        overlap = overlaps[row[best]]
        standing = 0
        for i in range(n):
            q = row[i]
            row[standing], value[standing] = q, value[i]
            overlapping = (overlap[q >> 6] >> np.uint64(q & 63)) & np.uint64(1)
            standing += overlapping == 0
        n = standing
    return n_kept


@njit(cache=True, nogil=True)
def _merge(kept_row, kept_value, n_kept, boxes, image, values, image_index, top_boxes):
    """Merge new regions into a unit's list, from its end; as many as come in drop out. Equal values: old first."""
    old = len(values) - 1 - n_kept
    new = n_kept - 1
    place = len(values) - 1
    while new >= 0:
        if old >= 0 and values[old] < kept_value[new]:
            values[place], image_index[place] = values[old], image_index[old]
            top_boxes[place] = top_boxes[old]
            old -= 1
        else:
            values[place], image_index[place] = kept_value[new], image
            top_boxes[place] = boxes[kept_row[new]]
            new -= 1
        place -= 1


# -- files -------------------------------------------------------------------------------------------------


class _Files:
    """The file of an index and, beside it, that of an unfinished one: an index of the images done so far."""

    def __init__(self, out, inputs: str):
        self.out = None if out is None else Path(out)
        self.part = None if out is None else self.out.with_name(f"{self.out.name}.part")
        self.inputs = inputs

    def finished(self) -> UnitIndex | None:
        """The index, if it has been made before."""
        return self._read(self.out)

    def unfinished(self) -> UnitIndex | None:
        """What an interrupted call has left."""
        return self._read(self.part)

    def checkpoint(self, index: UnitIndex) -> None:
        if self.part is not None:
            with interrupts_held():
                index.save(self.part)

    def finish(self, index: UnitIndex) -> None:
        if self.out is not None:
            with interrupts_held():
                index.save(self.out)
                self.part.unlink(missing_ok=True)

    def _read(self, path: Path | None) -> UnitIndex | None:
        if path is None or not path.exists():
            return None
        index = UnitIndex.load(path)
        if index.inputs != self.inputs:
            raise StoreError(
                f"{path} holds an index made from something else ({index!r}); remove it, or write to another file"
            )
        return index


# -- checks ------------------------------------------------------------------------------------------------


def _check_numbers(top: int, nms_iou: float, checkpoint_images: int) -> None:
    if top < 1 or checkpoint_images < 1:
        name, value = ("top", top) if top < 1 else ("checkpoint_images", checkpoint_images)
        raise SettingsError(f"{name} is {value}; it must be 1 or more")
    if not 0 <= nms_iou <= 1:
        raise SettingsError(f"nms_iou is {nms_iou}; it must lie between 0 and 1")


def _check_proposals(dataset, proposals) -> None:
    missing = [image_id for image_id in dataset.ids if image_id not in proposals]
    if missing:
        raise DatasetError(
            f"{len(missing)} images have no proposals, the first is {missing[0]}; an image without any region "
            "needs an empty list"
        )


def _check_alike(indexes: list[UnitIndex]) -> None:
    if not indexes:
        raise SettingsError("there is no index to merge; give at least one")
    first = indexes[0]
    for name in ("fingerprint", "layer", "top", "nms_iou", "mode", "padding", "input_size"):
        values = {getattr(index, name) for index in indexes}
        if len(values) > 1:
            raise SettingsError(
                f"indexes with unlike {name} cannot be merged: {getattr(first, name)} and "
                f"{(values - {getattr(first, name)}).pop()}; build them alike"
            )
    seen = set()
    for index in indexes:
        twice = seen & set(index.image_ids)
        if twice:
            raise SettingsError(f"image {min(twice)} is in two of the indexes; its regions would count twice")
        seen.update(index.image_ids)


def _digest_json(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
