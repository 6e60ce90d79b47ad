"""Features of regions of any shape: ``"full"``, ``"fg"`` and ``"full+fg"`` (sec. 5).

All begin with the box around a region, warped to the network's input as for detection, context included:

- ``"full"`` reads the crop as it is, and ignores the region's shape;
- ``"fg"`` reads the region's own pixels: the background is set to the network's mean, which is zero once the mean
  is subtracted;
- ``"full+fg"`` puts the features of both side by side.

A region is warped once. Its mask follows by the same geometry, to the same pixels of the crop: it is resized
bilinearly and cut at one half, which keeps the outline of a small region smooth, and crop pixels outside of it
become zero. So a background pixel is zero exactly, and a foreground pixel is that of the full crop exactly.

As in detection, features are computed and kept up to pool5, and fc6 and fc7 follow from it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.images import digest_of_file, file_of
from rcnn_helpers.segmentation.regions import MAX_REGIONS, MIN_PIXELS, SegmentRegions, segment_regions
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.storage import atomic_write, read_arrays

FEATURES = ("full", "fg", "full+fg")
# What "full+fg" is made of, and what is kept on disk.
PARTS = ("full", "fg")
# Raise this when a change of the code changes the regions: it is part of the names of kept files.
_REGIONS_VERSION = 1


def parts_of(kind: str) -> tuple[str, ...]:
    """The features that `kind` is made of, in their order.

    Raises
    ------
    SettingsError
        If `kind` is not one of `FEATURES`.
    """
    if kind not in FEATURES:
        raise SettingsError(f"unknown features {kind!r}; choose one of {', '.join(FEATURES)}")
    return tuple(kind.split("+"))


def warp_masks(
    regions: SegmentRegions,
    *,
    size: int,
    padding: int = CONTEXT_PADDING,
    mode: str = "warp",
    part: slice | None = None,
) -> np.ndarray:
    """Warp the masks of regions as `rcnn_helpers.warping` warps their boxes.

    Parameters
    ----------
    regions : SegmentRegions
    size, padding, mode : see `rcnn_helpers.warping.crop_geometry`
    part : slice, optional
        Which of the regions; by default all.

    Returns
    -------
    bool [N, size, size]
        True where a pixel of the crop shows the region. A region too thin to be seen in its crop keeps the pixels
        that any of it falls on.
    """
    import cv2

    from rcnn_helpers.warping import crop_geometry

    chosen = range(len(regions))[part or slice(None)]
    geometry = crop_geometry(
        regions.boxes[chosen.start : chosen.stop],
        regions.height,
        regions.width,
        size=size,
        mode=mode,
        padding=padding,
    )
    warped = np.zeros((len(chosen), size, size), bool)
    for k, index in enumerate(chosen):
        x1, y1, x2, y2 = geometry.source[k]
        left, top, right, bottom = geometry.target[k]
        seen = regions.members[index][regions.atoms[y1:y2, x1:x2]].astype(np.float32)
        resized = cv2.resize(seen, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_LINEAR)
        inside = resized >= 0.5
        warped[k, top:bottom, left:right] = inside if inside.any() else resized > 0
    return warped


def region_features(
    image: np.ndarray,
    regions: SegmentRegions,
    network,
    *,
    kind: str = "full+fg",
    layer: str = "fc6",
    padding: int = CONTEXT_PADDING,
    batch_size: int | None = None,
    precision: str = "auto",
) -> np.ndarray:
    """Features of the regions of one image.

    Parameters
    ----------
    image : uint8 [H, W, 3], RGB
    regions : SegmentRegions
        Of this image.
    network : Network
    kind : {"full", "fg", "full+fg"}
    layer : str
        Layer of the network; fc6 is the paper's best (Table 5).
    padding, batch_size, precision : see `rcnn_helpers.features.extract`

    Returns
    -------
    float32 [N, D], with ``D = feature_dim(layer)``, or twice that for "full+fg"

    Raises
    ------
    SettingsError
        If `kind` is unknown, or image and regions differ in size.
    """
    parts = parts_of(kind)
    found = _features(
        image, regions, network, parts, layer, padding=padding, batch_size=batch_size, precision=precision
    )
    return np.concatenate([found[part] for part in parts], axis=1)


def crops(
    image: np.ndarray, regions: SegmentRegions, network, *, kind: str = "full", padding: int = CONTEXT_PADDING
) -> np.ndarray:
    """What the network is shown of each region, as pictures, uint8 [N, S, S, 3]; background in the mean colour."""
    from rcnn_helpers.warping import warp_boxes

    if kind not in PARTS:
        raise SettingsError(f"{kind!r} is no crop; choose one of {', '.join(PARTS)}")
    size, mean = network.input_size, np.asarray(network.mean, np.float32)
    warped = warp_boxes(image, regions.boxes, size=size, padding=padding, mean=network.mean)
    warped = warped.permute(0, 2, 3, 1).numpy()
    if kind == "fg":
        warped = warped * warp_masks(regions, size=size, padding=padding)[..., None]
    return np.clip(np.rint(warped + mean), 0, 255).astype(np.uint8)


def _features(
    image, regions, network, parts, layer, *, padding, batch_size, precision
) -> dict[str, np.ndarray]:
    """Features of each of `parts`, float32 [N, D], from one warp of each box."""
    import torch

    from rcnn_helpers.features import in_batches

    if image.shape[:2] != regions.atoms.shape:
        raise SettingsError(
            f"the image has {list(image.shape[:2])} pixels and its regions {list(regions.atoms.shape)}; "
            "do they belong together?"
        )
    found = {part: np.empty((len(regions), network.feature_dim(layer)), np.float32) for part in parts}
    done = 0

    def compute(converted, crops):
        rows = slice(done, done + len(crops))
        features = {}
        if "full" in parts:
            features["full"] = converted.features(crops, (layer,))[layer]
        if "fg" in parts:
            masks = warp_masks(regions, size=network.input_size, padding=padding, part=rows)
            crops *= torch.from_numpy(masks)[:, None].to(crops.device)
            features["fg"] = converted.features(crops, (layer,))[layer]
        return features

    options = {"padding": padding, "batch_size": batch_size, "precision": precision}
    for rows, features in in_batches(network, image, regions.boxes, compute, **options):
        for part, values in features.items():
            found[part][rows] = values.cpu().numpy()
        done = rows.stop
    return found


class RegionFolder(Mapping):
    """The regions of a data set by image id: found when they are first asked for, and kept on disk.

    Regions are found again only if what decides them has changed: the options, the data set's folder, or the date
    of the image's file. A damaged file is replaced.

    Parameters
    ----------
    dataset : VOCDataset or the like
        With ``ids`` and ``image(id)``.
    folder : path-like
    max_regions, min_pixels : see `segment_regions`
    """

    def __init__(self, dataset, folder, *, max_regions: int = MAX_REGIONS, min_pixels: int = MIN_PIXELS):
        self.dataset = dataset
        self.ids = set(dataset.ids)
        self.max_regions, self.min_pixels = max_regions, min_pixels
        root = str(Path(dataset.root).resolve()) if hasattr(dataset, "root") else ""
        decided_by = repr((_REGIONS_VERSION, max_regions, min_pixels, root))
        self.folder = Path(folder) / hashlib.sha256(decided_by.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.dataset.ids)

    def __iter__(self):
        return iter(self.dataset.ids)

    def __getitem__(self, image_id: str) -> SegmentRegions:
        if image_id not in self.ids:
            raise KeyError(image_id)
        path = self._path(image_id)
        regions = read_regions(path) if self._is_up_to_date(path, image_id) else None
        return self._find(image_id) if regions is None else regions

    def ensure(self, image_id: str) -> None:
        """Find the regions of an image unless its file is there."""
        if not self._is_up_to_date(self._path(image_id), image_id):
            self._find(image_id)

    def _find(self, image_id: str) -> SegmentRegions:
        source = digest_of_file(self.dataset, image_id)  # first: a picture that changes meanwhile is noticed
        image = self.dataset.image(image_id)
        regions = segment_regions(image, max_regions=self.max_regions, min_pixels=self.min_pixels)
        write_regions(self._path(image_id), regions, source=source)
        return regions

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{quote(image_id, safe=' ')}.npz"

    def __contains__(self, image_id) -> bool:
        return image_id in self.ids

    def _is_up_to_date(self, path: Path, image_id: str) -> bool:
        image = file_of(self.dataset, image_id)
        if not path.exists() or image is None:
            return path.exists()
        if not image.exists():
            return False  # reading it will say so
        written_for = read_arrays(path, ("source",))
        if written_for is None:  # by an older version, which went by dates alone
            return path.stat().st_mtime_ns >= image.stat().st_mtime_ns
        return written_for["source"].tolist() == digest_of_file(self.dataset, image_id)


def write_regions(path, regions: SegmentRegions, *, source: str = "") -> None:
    """Write the regions of an image to a file, atomically; some 20 KB for 150 of them.

    Parameters
    ----------
    path : path-like
    regions : SegmentRegions
    source : str
        SHA-256 of the image's file, if it is in one.
    """
    n_atoms = regions.members.shape[1]
    arrays = {
        "atoms": regions.atoms.astype(np.uint16 if n_atoms <= 2**16 else np.int32),
        "members": np.packbits(regions.members, axis=1),
        "n_atoms": np.array(n_atoms),
        "boxes": regions.boxes,
    }
    if source:
        arrays["source"] = np.array(source)
    atomic_write(path, lambda file: np.savez_compressed(file, **arrays))


def read_regions(path) -> SegmentRegions | None:
    """Read what `write_regions` wrote; None if the file is damaged."""
    arrays = read_arrays(path, ("atoms", "members", "n_atoms", "boxes"))
    if arrays is None:
        return None
    members = np.unpackbits(arrays["members"], axis=1, count=int(arrays["n_atoms"])).astype(bool)
    return SegmentRegions(arrays["atoms"].astype(np.int32), members, arrays["boxes"])


class SegmentationFeatures:
    """The features of the regions of many images, on disk: one `FeatureStore` of pool5 for each part.

    Parameters
    ----------
    root : path-like
        Folder for the stores.
    network : Network
    padding, precision : see `rcnn_helpers.features.extract`
    """

    def __init__(self, root, network, *, padding: int = CONTEXT_PADDING, precision: str = "auto"):
        from rcnn_helpers.features import FeatureStore

        self.network = network
        self.stores = {
            part: FeatureStore(
                Path(root) / part, network=network, layer="pool5", padding=padding, precision=precision
            )
            for part in PARTS
        }

    def read(self, image_id: str, *, kind: str = "full+fg", layer: str = "fc6") -> np.ndarray:
        """Features of an image's regions, in their order, float32 [N, D].

        Raises
        ------
        StoreError
            If the image has no entry or it is damaged.
        """
        parts = [self.stores[part].read(image_id, layer).features for part in parts_of(kind)]
        return np.concatenate(parts, axis=1)

    def extract(
        self, image_id: str, image: np.ndarray, regions: SegmentRegions, parts: Sequence[str] = PARTS
    ) -> None:
        """Compute and write what is not there yet of an image's features."""
        inputs = digest_regions(image, regions)
        missing = [part for part in parts if not _has(self.stores[part], image_id, inputs)]
        if not missing:
            return
        store = self.stores[PARTS[0]]
        options = {"padding": store.padding, "precision": store.precision, "batch_size": None}
        found = _features(image, regions, self.network, missing, "pool5", **options)
        for part in missing:
            self.stores[part].write(image_id, regions.boxes, found[part], inputs=inputs)


def extract_segmentation(
    dataset,
    regions: Mapping[str, SegmentRegions],
    network,
    *,
    cache,
    parts: Sequence[str] = PARTS,
    padding: int = CONTEXT_PADDING,
    precision: str = "auto",
    progress: bool = True,
) -> SegmentationFeatures:
    """Bring the features of all regions of a data set to disk.

    Images whose features are there, of the same pixels, masks and network, are passed over: an interrupted run
    resumes. All layers from pool5 on can be read.

    Parameters
    ----------
    dataset : VOCDataset or the like
    regions : mapping of image id to SegmentRegions
        Such as a `RegionFolder`, or masks of your own by `regions_from_masks`.
    network : Network
    cache : path-like
        Folder of the features.
    parts : sequence of str
        Of `PARTS`: what is to be there.
    padding, precision : see `rcnn_helpers.features.extract`
    progress : bool
        Show a progress bar.

    Raises
    ------
    DatasetError
        If an image has no entry in `regions`; nothing is computed then.
    """
    from tqdm.auto import tqdm

    missing = [image_id for image_id in dataset.ids if image_id not in regions]
    if missing:
        raise DatasetError(
            f"{len(missing)} images have no regions, the first is {missing[0]}; give every image an entry"
        )
    store = SegmentationFeatures(cache, network, padding=padding, precision=precision)
    for image_id in tqdm(
        dataset.ids, desc="region features", unit="image", leave=False, disable=not progress
    ):
        store.extract(image_id, dataset.image(image_id), regions[image_id], parts)
    return store


def digest_regions(image: np.ndarray, regions: SegmentRegions) -> str:
    """Digest of what the features of an image are computed from: its pixels and the masks, in order."""
    digest = hashlib.sha256()
    for array in (image, regions.atoms, regions.members):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _has(store, image_id: str, inputs: str) -> bool:
    """Whether a store has sound features of these inputs; a damaged entry counts as absent."""
    try:
        return store.has(image_id, inputs)
    except StoreError:
        return False
