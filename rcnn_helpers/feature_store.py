"""Features on disk: one file an image, whole or absent, checked when read.

Features are by far the dearest thing R-CNN computes, and every later stage reads them again; so they are kept. A
`FeatureStore` is a folder whose name holds a hash of everything that decides a feature (weights, layer, warp,
precision), with one safetensors file for each image in it. A file also holds a digest of the image and the boxes
it was computed from, and a checksum of its own content: what is stale or damaged is found out, never used.

Features are stored as float16, which costs a relative error of at most 0.05% (bfloat16 features lose nothing,
float32 is an option). Most of pool5 is zero after the ReLU; where that saves space only the other values are
written, beside one bit for each feature. This is exact.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rcnn_helpers.errors import StoreError
from rcnn_helpers.networks.network import PRECISIONS, fast_bfloat16
from rcnn_helpers.pool5 import from_pool5
from rcnn_helpers.settings import CONTEXT_PADDING, FEATURE_NORM
from rcnn_helpers.storage import atomic_write, free_space, write_json

# Raised whenever the files change in a way that older ones must not be read any more.
FORMAT = 1
# Bytes of a stored region beside its features (four float32 coordinates, one flag), and of a file's header.
_REGION_BYTES = 17
_HEADER_BYTES = 1024
_DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class RegionFeatures:
    """The regions of one image.

    Attributes
    ----------
    image_id : str
    boxes : float32 [N, 4]
        Ground truth first, in the annotation's order, then the proposals.
    is_gt : bool [N]
    features : float32 [N, D]
    """

    image_id: str
    boxes: np.ndarray
    is_gt: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class FeatureStore:
    """Features of the regions of many images, in a folder.

    Several processes may use one store at the same time: they write the same content, whole files at a time.

    Parameters
    ----------
    root : path-like
        Folder that holds stores; this one is a folder in it, see `folder`.
    network : Network
    layer : str
        Layer whose features are stored. From ``"pool5"``, the default, the deeper ones can be read as well.
    mode, padding, fill : see `rcnn_helpers.warping.crop_geometry`
    precision : str
        Precision of the network, see `rcnn_helpers.features.extract`.
    dtype : {"float16", "float32"}
        How features are stored. Should a feature be too large for float16 (65504), its image is stored as
        float32.

    Attributes
    ----------
    folder : Path
        ``root / NETWORK-LAYER-KEY``; its ``settings.json`` says what the key stands for.
    key : str
        Hash of all settings that decide the content.
    """

    def __init__(
        self,
        root,
        *,
        network,
        layer: str = "pool5",
        mode: str = "warp",
        padding: int = CONTEXT_PADDING,
        fill: str = "mean",
        precision: str = "auto",
        dtype: str = "float16",
    ):
        if dtype not in _DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}; features are stored as {' or '.join(_DTYPES)}")
        self.network = network
        self.layer = layer
        self.mode, self.padding, self.fill = mode, padding, fill
        self.precision = choose_precision(precision, network.device)
        self.dtype = np.dtype(dtype)
        self.dim = network.feature_dim(layer)
        self.settings = {
            "format": FORMAT,
            "network": network.name,
            "weights": network.fingerprint,
            "layer": layer,
            "mode": mode,
            "padding": padding,
            "fill": fill,
            "precision": self.precision,
            "dtype": dtype,
        }
        self.key = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = Path(root) / f"{network.name}-{layer}-{self.key}"

    def __repr__(self):
        return f"FeatureStore({str(self.folder)!r}, {len(self.ids())} images)"

    def path(self, image_id: str) -> Path:
        """The file of an image. Characters that mean something to a file system are escaped."""
        return self.folder / f"{quote(image_id, safe=' ')}.safetensors"

    def ids(self) -> list[str]:
        """Images with an entry, sorted."""
        return sorted(unquote(path.stem) for path in self.folder.glob("*.safetensors"))

    def has(self, image_id: str, inputs: str | None = None) -> bool:
        """Whether an image has an entry, made from `inputs` (see `digest_inputs`) if these are given.

        Raises
        ------
        StoreError
            If `inputs` are given and the entry is damaged: it is then read whole.
        """
        if inputs is None:
            return self.path(image_id).exists()
        return self.path(image_id).exists() and self._load(image_id)[0]["inputs"] == inputs

    def write(self, image_id: str, boxes, features: np.ndarray, *, is_gt=None, inputs: str = "") -> None:
        """Write the entry of one image, atomically.

        Parameters
        ----------
        image_id : str
        boxes : float32 [N, 4]
        features : float32 [N, D]
        is_gt : bool [N], optional
            Which boxes are ground truth; by default none.
        inputs : str
            Digest of what the features were computed from, see `digest_inputs`.
        """
        boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
        is_gt = np.zeros(len(boxes), bool) if is_gt is None else np.asarray(is_gt, dtype=bool)
        if features.shape != (len(boxes), self.dim) or len(is_gt) != len(boxes):
            raise ValueError(
                f"{len(boxes)} boxes of image {image_id} need features of shape [{len(boxes)}, {self.dim}] and "
                f"as many flags, got {list(features.shape)} and {len(is_gt)}"
            )
        if not np.isfinite(features).all():
            raise StoreError(
                f"features of image {image_id} are not finite numbers; are the network's weights sound? "
                'With precision="float16" try "float32"'
            )
        tensors = {"boxes": boxes, "is_gt": is_gt, **_pack(features, self.dtype)}
        entry = {"image_id": image_id, "key": self.key, "inputs": inputs}
        entry["checksum"] = _checksum(tensors, entry)
        settings = self.folder / "settings.json"
        if not settings.exists():
            write_json(settings, self.settings)
        # One field only: safetensors writes several in random order, and equal entries shall be equal files.
        content = save(tensors, metadata={"entry": json.dumps(entry, sort_keys=True)})
        atomic_write(self.path(image_id), lambda file: file.write(content))

    def read(self, image_id: str, layer: str | None = None) -> RegionFeatures:
        """Read the entry of one image.

        Parameters
        ----------
        image_id : str
        layer : str, optional
            A layer that follows a stored ``"pool5"``; it is computed from it in the store's precision, as the
            original code does.

        Raises
        ------
        StoreError
            If there is no entry or it is damaged.
        """
        _, tensors = self._load(image_id)
        features = self._as_layer(_unpack(tensors, self.dim), layer)
        return RegionFeatures(image_id, tensors["boxes"], tensors["is_gt"], features)

    def _as_layer(self, features: np.ndarray, layer: str | None) -> np.ndarray:
        """Stored features [N, D], or those of a deeper layer computed from them."""
        if layer in (None, self.layer):
            return features
        if self.layer != "pool5":
            raise ValueError(
                f"this store holds {self.layer}; {layer} can only be computed from a store of pool5"
            )
        return from_pool5(self.network, features, layer, precision=self.precision)

    def require(self, **settings) -> None:
        """Raise `StoreError` unless the store was opened with these settings, such as ``layer="pool5"``."""
        other = {name: value for name, value in settings.items() if self.settings[name] != value}
        if other:
            name, wanted = next(iter(other.items()))
            raise StoreError(
                f"{self.folder} was opened with {name}={self.settings[name]!r}, but {name}={wanted!r} is needed "
                "here; make a FeatureStore with that"
            )

    def remove(self, image_id: str) -> None:
        """Remove the entry of an image, if there is one."""
        self.path(image_id).unlink(missing_ok=True)

    def _load(self, image_id: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
        """What an entry says about itself and its tensors, after the checksum has been verified."""
        path = self.path(image_id)
        try:
            with safe_open(path, framework="np") as file:
                entry = json.loads(file.metadata()["entry"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except FileNotFoundError:
            raise StoreError(
                f"there are no features of image {image_id} in {self.folder}; extract them with extract_dataset"
            ) from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, str(error)) from error
        if entry.pop("checksum", None) != _checksum(tensors, entry):
            raise _damaged(path, "its checksum is wrong")
        if (entry["image_id"], entry["key"]) != (image_id, self.key):
            raise _damaged(path, "it belongs to another image or store")
        return entry, tensors

    # -- space ---------------------------------------------------------------------------------------------

    def space_needed(self, regions_per_image: Iterable[int]) -> int:
        """Bytes that the entries of images with so many regions each take at most."""
        region = self.dim * self.dtype.itemsize + _REGION_BYTES
        return sum(_HEADER_BYTES + n * region for n in regions_per_image)

    def require_space(self, regions_per_image: Iterable[int]) -> int:
        """Return `space_needed`, or raise `StoreError` if the disk does not have it."""
        needed, free = self.space_needed(regions_per_image), free_space(self.folder)
        if needed > free:
            raise StoreError(
                f"the {self.layer} features of these regions need up to {needed / 1e9:.2f} GB, but only "
                f"{free / 1e9:.2f} GB are free at {self.folder}; use fewer proposals or images, a smaller layer, "
                "or a folder on a larger disk"
            )
        return needed

    # -- feature scale -------------------------------------------------------------------------------------

    def feature_scale(
        self,
        image_ids: Iterable[str] | None = None,
        *,
        layer: str | None = None,
        max_images: int = 200,
        max_boxes: int = 200,
        seed: int = 3,
    ) -> float:
        """Factor that brings features to a mean L2 norm of 20, as the original code scales them.

        The mean is taken over at most `max_boxes` random regions of each of `max_images` random images; the
        limits and the seed are the original's.

        Parameters
        ----------
        image_ids : iterable of str, optional
            By default all images in the store.
        layer : str, optional
            See `read`.

        Raises
        ------
        StoreError
            If there is no region, or all features are zero.
        """
        ids = self.ids() if image_ids is None else list(image_ids)
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.choice(len(ids), size=min(max_images, len(ids)), replace=False)) if ids else []
        norms = []
        for index in chosen:
            features = self.read(ids[index]).features
            if len(features) > max_boxes:
                features = features[rng.choice(len(features), size=max_boxes, replace=False)]
            features = self._as_layer(features, layer)
            norms.append(np.linalg.norm(features.astype(np.float64), axis=1))
        mean = np.concatenate(norms).mean() if sum(map(len, norms)) else 0.0
        if mean == 0:
            raise StoreError(
                f"no feature scale: the {len(ids)} images asked for have no region in {self.folder}, or all "
                "their features are zero"
            )
        return float(FEATURE_NORM / mean)


def choose_precision(precision: str, device) -> str:
    """Resolve ``"auto"``: bfloat16 where `device` computes in it natively, float32 elsewhere."""
    if precision == "auto":
        return "bfloat16" if fast_bfloat16(device) else "float32"
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose auto or one of {', '.join(PRECISIONS)}")
    return precision


def digest_inputs(image: np.ndarray, boxes: np.ndarray, is_gt: np.ndarray) -> str:
    """Digest of what the entry of one image is computed from: its pixels and its boxes, in order."""
    digest = hashlib.sha256()
    for array in (image, np.asarray(boxes, dtype=np.float32), np.asarray(is_gt, dtype=bool)):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _pack(features: np.ndarray, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Features as tensors to be stored: all of them, or where they are not zero and what they are there."""
    if features.size and np.abs(features).max() > np.finfo(dtype).max:
        dtype = np.dtype(np.float32)
    features = features.astype(dtype)
    occupied = features != 0
    sparse_bytes = features.size // 8 + np.count_nonzero(occupied) * dtype.itemsize
    if sparse_bytes < 0.75 * features.nbytes:
        return {"occupied": np.packbits(occupied), "values": features[occupied]}
    return {"features": features}


def _unpack(tensors: dict[str, np.ndarray], dim: int) -> np.ndarray:
    """Undo `_pack`, to float32 [N, dim]."""
    if "features" in tensors:
        return tensors["features"].astype(np.float32)
    n = len(tensors["boxes"])
    features = np.zeros(n * dim, dtype=np.float32)
    features[np.unpackbits(tensors["occupied"], count=n * dim).view(bool)] = tensors["values"]
    return features.reshape(n, dim)


def _checksum(tensors: dict[str, np.ndarray], entry: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and content of tensors, and over what the entry says about itself."""
    digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path} is damaged: {reason}. Delete it, or run extract_dataset again, which computes it anew"
    )
