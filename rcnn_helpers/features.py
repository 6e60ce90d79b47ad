"""Features: every region of an image through the network, batch by batch (sec. 2.1 and 2.2).

`extract` does it for one image; `extract_dataset` does it for all images of a data set into a `FeatureStore` and
takes up where an earlier run was interrupted.

Regions are warped on the device that computes, straight into a reused batch. On a CPU the warps take a tenth of
the time of even the quarter T-Net, and the network keeps all cores busy, so they simply alternate. Images are
decoded, and proposed regions found, ahead of the network; see `rcnn_helpers.streaming`.
"""

import ctypes
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.errors import DatasetError, StoreError
from rcnn_helpers.feature_store import FeatureStore, RegionFeatures, choose_precision, digest_inputs
from rcnn_helpers.networks.network import PRECISIONS
from rcnn_helpers.pool5 import in_precision
from rcnn_helpers.proposals import proposals_of
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.streaming import over_images
from rcnn_helpers.warping import Warper, crop_buffer

__all__ = [
    "FeatureStore",
    "RegionFeatures",
    "choose_precision",
    "extract",
    "extract_dataset",
    "in_batches",
    "in_precision",
]

# On CPUs 32 to 128 crops are equally fast; more only take memory. Fewer are faster where a map would otherwise
# outgrow the largest block that the C library can be told to keep (see `_keep_freed_memory`).
CPU_BATCH = 64
_LEAST_CPU_BATCH = 8
_LARGEST_KEPT_BLOCK = 32 * 2**20
# On a GPU: at most so many crops, and at most half of the free memory for what one crop needs at its widest, three
# maps of 64 channels at the resolution of the input (VGG-16's first layers; other networks need less).
GPU_BATCH = 512
_WIDEST_CHANNELS = 3 * 64


def extract(
    network,
    image: np.ndarray,
    boxes,
    *,
    layers: Sequence[str] = ("fc7",),
    mode: str = "warp",
    padding: int = CONTEXT_PADDING,
    fill: str = "mean",
    batch_size: int | None = None,
    precision: str = "auto",
) -> dict[str, np.ndarray]:
    """Features of the regions of one image.

    Parameters
    ----------
    network : Network
        Regions are warped and features computed on its device.
    image : uint8 [H, W, 3], RGB
    boxes : array-like [N, 4]
    layers : sequence of str
        Wanted layers of the network; nothing beyond the deepest is computed.
    mode, padding, fill : see `rcnn_helpers.warping.crop_geometry`
    batch_size : int, optional
        Regions at a time; by default what suits the device. When a GPU's memory does not suffice, it is halved
        until it does.
    precision : {"auto", "float32", "bfloat16", "float16"}
        "auto" is bfloat16 where the hardware computes in it natively and float32 elsewhere. bfloat16 is about
        twice as fast and changes features by about one per cent.

    Returns
    -------
    dict of layer to float32 [N, D]
    """
    boxes = as_boxes(boxes)
    features = {layer: np.empty((len(boxes), network.feature_dim(layer)), np.float32) for layer in layers}
    batches = in_batches(
        network,
        image,
        boxes,
        lambda converted, crops: converted.features(crops, layers),
        mode=mode,
        padding=padding,
        fill=fill,
        batch_size=batch_size,
        precision=precision,
    )
    for part, batch_features in batches:
        for layer in layers:
            features[layer][part] = batch_features[layer].cpu().numpy()
    return features


def in_batches(
    network,
    image: np.ndarray,
    boxes,
    compute: Callable,
    *,
    mode: str = "warp",
    padding: int = CONTEXT_PADDING,
    fill: str = "mean",
    batch_size: int | None = None,
    precision: str = "auto",
) -> Iterator[tuple[slice, Any]]:
    """Whatever is to be computed of the regions of one image, as many at a time as the device can hold.

    Parameters
    ----------
    network, image, boxes, mode, padding, fill, batch_size, precision : see `extract`
    compute : callable
        ``compute(network, crops)``, called with the network in the precision asked for and Tensors
        [n, 3, input_size, input_size]. The memory of the crops is used again for the next ones.

    Yields
    ------
    slice, object
        Some of the boxes, and what was computed of them.
    """
    boxes = as_boxes(boxes)
    if network.device.type == "cpu":
        _keep_freed_memory()
    precision = choose_precision(precision, network.device)
    converted = in_precision(network, precision)
    warper = Warper(
        image,
        size=network.input_size,
        mode=mode,
        padding=padding,
        fill=fill,
        mean=network.mean,
        std=network.std,
        bgr=network.bgr,
        out_dtype=PRECISIONS[precision],
        device=network.device,
    )
    size = batch_size or choose_batch_size(converted)
    size = min(size, max(1, len(boxes)))
    buffer = None
    if network.device.type == "cpu" and warper.dtype != torch.float16:
        buffer = crop_buffer(size, network.input_size, warper.dtype)
    start = 0
    while start < len(boxes):
        part = slice(start, min(start + size, len(boxes)))
        try:
            found = compute(converted, warper(boxes[part], out=buffer))
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = (size + 1) // 2
            torch.cuda.empty_cache()
            continue
        yield part, found
        start = part.stop


def choose_batch_size(network) -> int:
    """Regions at a time that suit the network's device; on a GPU by its free memory."""
    if network.device.type == "cpu":
        return int(np.clip(_LARGEST_KEPT_BLOCK // _bytes_of_first_map(network), _LEAST_CPU_BATCH, CPU_BATCH))
    if network.device.type != "cuda":
        return CPU_BATCH * 2
    free, _ = torch.cuda.mem_get_info(network.device)
    crop = _WIDEST_CHANNELS * network.input_size**2 * network.dtype.itemsize
    return int(np.clip(free // 2 // crop, 1, GPU_BATCH))


def _bytes_of_first_map(network) -> int:
    """Size of the first layer's output for one crop, the largest map in all of our networks."""
    first = next(layer for layer in network.module.modules() if isinstance(layer, torch.nn.Conv2d))
    side = network.input_size // first.stride[0]
    return first.out_channels * side**2 * network.dtype.itemsize


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep up to 2 GiB that a forward pass frees for the next one.

    By default glibc hands large blocks back to the system at once, and for the next batch the kernel must clear
    each page anew, which took a third of SqueezeNet's time. Elsewhere than on Linux this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_threshold, _LARGEST_KEPT_BLOCK)


def extract_dataset(
    network,
    dataset,
    proposals: Mapping[str, np.ndarray],
    *,
    store: FeatureStore,
    include_ground_truth: bool = True,
    batch_size: int | None = None,
    progress: bool = True,
) -> FeatureStore:
    """Bring the features of all regions of a data set into `store`.

    Images whose features are there already, computed from the same pixels and boxes, are passed over; so an
    interrupted run resumes. A damaged entry is computed anew, with a warning.

    With ``joblib.parallel_config`` around the call, images are spread over processes or over the workers of a
    cluster, which must see the store's folder and the images under the same paths; see
    `streaming.over_images`. The outcome is the same.

    Parameters
    ----------
    network : Network
        The network of the store.
    dataset : VOCDataset or the like
        With ``ids``, ``image(id)`` and ``annotation(id)``.
    proposals : mapping of image id to float32 [N, 4]
        `proposals.propose_dataset` with ``lazy=True`` gives one that is found while the network works.
    store : FeatureStore
    include_ground_truth : bool
        Put the boxes of all objects, difficult ones included, before the proposals, as the original code does.
    batch_size : int, optional
        See `extract`.
    progress : bool
        Show a progress bar and, before anything is computed, how much space is needed.

    Returns
    -------
    FeatureStore
        `store`.

    Raises
    ------
    DatasetError
        If an image has no entry in `proposals`.
    StoreError
        If the network is not the store's, or the disk has not enough space; nothing is computed then.
    """
    from tqdm.auto import tqdm

    _require_same_network(network, store)
    missing = [image_id for image_id in dataset.ids if image_id not in proposals]
    if missing:
        raise DatasetError(
            f"{len(missing)} images have no proposals, the first is {missing[0]}; an image without any region "
            "needs an empty list"
        )
    work = _Extraction(network, dataset, proposals, store, include_ground_truth, batch_size)
    _require_space(work, progress)
    done = over_images(work, dataset.ids, device=network.device)
    bar = tqdm(
        done,
        total=len(dataset.ids),
        desc=f"features ({store.layer})",
        unit="image",
        disable=not progress,
    )
    for complaint in bar:
        if complaint:
            warnings.warn(complaint, RuntimeWarning, stacklevel=2)
    return store


def _require_space(work: "_Extraction", progress: bool) -> None:
    """Refuse a disk that is too small before anything is computed, and say how much is needed."""
    from tqdm.auto import tqdm

    store = work.store
    absent = [image_id for image_id in work.dataset.ids if not store.has(image_id)]
    counts = [work.most_regions(image_id) for image_id in absent]
    known = [count for count in counts if count is not None]
    needed = store.require_space(known)
    if progress and absent:
        up_to = (
            f"up to {needed / 1e6:.0f} MB" if len(known) == len(counts) else "an unknown number of regions"
        )
        tqdm.write(f"{len(absent)} images' {store.layer} features: {up_to} in {store.folder}")


@dataclass(frozen=True)
class _Prepared:
    """What extraction knows of an image before the network has seen it.

    Attributes
    ----------
    image_id : str
    image : uint8 [H, W, 3] or None
        None if the store has the image's features already.
    boxes : float32 [N, 4]
    is_gt : bool [N]
    inputs : str
        See `digest_inputs`.
    complaint : str
        What is wrong with the entry that the store has; empty if nothing is.
    """

    image_id: str
    image: np.ndarray | None
    boxes: np.ndarray
    is_gt: np.ndarray
    inputs: str
    complaint: str


@dataclass(frozen=True)
class _Extraction:
    """`extract_dataset`, image by image; see `streaming.over_images`."""

    network: Any
    dataset: Any
    proposals: Mapping[str, np.ndarray]
    store: FeatureStore
    include_ground_truth: bool
    batch_size: int | None

    def most_regions(self, image_id: str) -> int | None:
        """How many regions an image has at most; None if that cannot be told without finding them."""
        if hasattr(self.proposals, "most_boxes"):
            most = self.proposals.most_boxes(image_id)
        else:
            most = len(self.proposals[image_id])
        return None if most is None else most + len(self._truth(image_id))

    def _truth(self, image_id: str) -> np.ndarray:
        return as_boxes(self.dataset.annotation(image_id).boxes if self.include_ground_truth else [])

    def prepare(self, image_id: str) -> _Prepared:
        image, truth = self.dataset.image(image_id), self._truth(image_id)
        boxes = np.concatenate([truth, proposals_of(self.proposals, self.dataset, image_id, image)])
        is_gt = np.arange(len(boxes)) < len(truth)
        inputs = digest_inputs(image, boxes, is_gt)
        is_done, complaint = self._is_done(image_id, inputs)
        return _Prepared(image_id, None if is_done else image, boxes, is_gt, inputs, complaint)

    def _is_done(self, image_id: str, inputs: str) -> tuple[bool, str]:
        """Whether the store has sound features of these inputs; and what is wrong with a damaged entry."""
        try:
            return self.store.has(image_id, inputs), ""
        except StoreError as error:
            return False, f"{error}. Computing it anew."

    def finish(self, prepared: _Prepared) -> str:
        """Compute and store the features of an image; returns its complaint."""
        if prepared.image is None:
            return ""
        store = self.store
        features = extract(
            self.network,
            prepared.image,
            prepared.boxes,
            layers=(store.layer,),
            mode=store.mode,
            padding=store.padding,
            fill=store.fill,
            batch_size=self.batch_size,
            precision=store.precision,
        )[store.layer]
        store.write(prepared.image_id, prepared.boxes, features, is_gt=prepared.is_gt, inputs=prepared.inputs)
        return prepared.complaint


def _require_same_network(network, store: FeatureStore) -> None:
    if network is not store.network and network.fingerprint != store.network.fingerprint:
        raise StoreError(
            f"{store.folder} was opened for {store.network.name} with other weights than {network.name}'s; "
            "make a FeatureStore for this network"
        )
