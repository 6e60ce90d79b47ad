"""Region proposals (sec. 2.1): boxes that may hold an object, whatever its class.

>>> boxes = propose(image)                                        # selective search, fast mode
>>> boxes = propose(image, "sliding_window", max_boxes=2000)
>>> proposals = propose_dataset(dataset, max_boxes=2000, cache="cache")
>>> proposals = propose_dataset(dataset, max_boxes=2000, cache="cache", lazy=True)   # each when asked for
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from rcnn_helpers.boxes import as_boxes, clip, unique
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.images import digest_of_file, file_of
from rcnn_helpers.proposals import random_boxes, selective_search, sliding_window
from rcnn_helpers.storage import atomic_write
from rcnn_helpers.streaming import SentOnce, is_spread, packed_for_engine

__all__ = [
    "METHODS",
    "LazyProposals",
    "propose",
    "propose_dataset",
    "random_boxes",
    "selective_search",
    "sliding_window",
]

# Raise this when a change of the code changes the boxes: it is part of the names of cached files.
_CACHE_VERSION = 2
# How a file of NumPy's begins in the format's first version, whose header is short; arrays of boxes have no other.
_NPY_1_0 = b"\x93NUMPY\x01\x00"


def _propose_selective_search(image, max_boxes, seed, **options):
    return selective_search.selective_search(image, max_boxes=max_boxes, seed=seed, **options)


def _propose_sliding_window(image, max_boxes, seed, **options):
    height, width = image.shape[:2]
    return sliding_window.sliding_windows(height, width, max_boxes=max_boxes, **options)


def _propose_random(image, max_boxes, seed, **options):
    height, width = image.shape[:2]
    n = 2000 if max_boxes is None else max_boxes
    # The image takes part in the seed, so that images of one size do not all get the same boxes.
    rng = np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(image))])
    return random_boxes.random_boxes(height, width, n, rng=rng, **options)


METHODS: dict[str, Callable] = {
    "selective_search": _propose_selective_search,
    "sliding_window": _propose_sliding_window,
    "random": _propose_random,
}


def propose(
    image, method="selective_search", *, max_boxes: int | None = None, seed: int = 0, **options
) -> np.ndarray:
    """Propose boxes for one image.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
        RGB.
    method : str, callable or array-like
        A name in `METHODS`; or a function that takes the image (and the options) and returns boxes, best first;
        or the boxes themselves.
    max_boxes : int, optional
        Keep at most so many. Without it selective search returns all that it finds, and 2000 boxes are drawn at
        random.
    seed : int
        Seed of the ranking, or of random boxes.
    **options
        Passed on to the method: the function of that name in its module, or your function.

    Returns
    -------
    float32 array of shape [N, 4]
        Best first, inside the image, all different, none of zero area.
    """
    height, width = image.shape[:2]
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
        boxes = METHODS[method](image, max_boxes, seed, **options)
    elif callable(method):
        boxes = method(image, **options)
    else:
        boxes = method
    boxes = unique(clip(as_boxes(boxes), height, width))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[has_area][:max_boxes]


def propose_dataset(
    dataset,
    *,
    method="selective_search",
    max_boxes: int | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    cache: str | Path | None = None,
    lazy: bool = False,
    progress: bool = True,
    **options,
) -> Mapping[str, np.ndarray]:
    """Propose boxes for every image of a data set.

    Parameters
    ----------
    dataset : VOCDataset or anything with `ids` and `image`
    method : str, callable or dict from image id to boxes
        As for `propose`; a dict holds boxes of your own.
    max_boxes, seed, **options
        As for `propose`.
    n_jobs : int, optional
        Images worked on at a time: by default by two threads, or by whatever ``joblib.parallel_config`` says,
        processes or a cluster.
    cache : path-like, optional
        Folder in which every image's boxes are kept, so that an interrupted run resumes where it stopped. Boxes
        are found again only if something that decides them has changed: the method, its options, the data set's
        folder, or the bytes of the image's file. Of a function only its name is known: empty the folder when you
        change it.
    lazy : bool
        Find no boxes now, but those of each image when they are asked for: memory then holds the boxes of no
        more images than are worked on, where a dict of 2,000 boxes an image takes 32 KB an image.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict from image id to float32 [N, 4], or LazyProposals
        In the order of ``dataset.ids``.
    """
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    if isinstance(method, Mapping):
        missing = [image_id for image_id in dataset.ids if image_id not in method]
        if missing:
            raise DatasetError(
                f"no boxes are given for {len(missing)} of {len(dataset.ids)} images, the first is {missing[0]}; "
                "give an empty array to an image without boxes"
            )
    proposals = LazyProposals(dataset, method, max_boxes=max_boxes, seed=seed, cache=cache, **options)
    if lazy:
        return proposals
    if n_jobs is None and not is_spread():
        n_jobs = 2
    sent = packed_for_engine(proposals)
    work = (delayed(_boxes_of)(sent, image_id) for image_id in dataset.ids)
    found = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(work)
    bar = tqdm(found, total=len(dataset.ids), desc="proposals", unit="image", disable=not progress)
    return dict(zip(dataset.ids, bar, strict=True))


def _boxes_of(sent: SentOnce, image_id: str) -> np.ndarray:
    return sent.value[image_id]


class LazyProposals(Mapping):
    """The boxes of a data set's images, each found when it is asked for.

    Made by `propose_dataset` with ``lazy=True``. With a cache, boxes are found once and then read from there;
    without one they are found anew each time. Membership, length and the ids take no work.

    Parameters
    ----------
    dataset, method, max_boxes, seed, cache, **options
        As for `propose_dataset`.
    """

    def __init__(self, dataset, method="selective_search", *, max_boxes=None, seed=0, cache=None, **options):
        self.dataset = dataset
        self.method = method
        self.max_boxes = max_boxes
        self.seed = seed
        self.options = options
        self.folder = None
        if cache is not None:
            self.folder = Path(cache) / _cache_key(dataset, method, max_boxes, seed, options)
        self._ids = dict.fromkeys(dataset.ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self):
        return iter(self._ids)

    def __contains__(self, image_id) -> bool:
        return image_id in self._ids

    def __repr__(self) -> str:
        return f"LazyProposals of {self.dataset!r}, {'not cached' if self.folder is None else self.folder}"

    def __getitem__(self, image_id: str) -> np.ndarray:
        """Boxes of one image, float32 [N, 4]; KeyError if it is not in the data set."""
        return self.of_image(image_id)

    def of_image(self, image_id: str, image: np.ndarray | None = None) -> np.ndarray:
        """The same; with the image at hand, uint8 [H, W, 3], it is not read once more."""
        if image_id not in self._ids:
            raise KeyError(image_id)
        if self.folder is None:
            return self._find(image_id, image)
        path = self.path(image_id)
        boxes = self._read_up_to_date(path, image_id)
        if boxes is None:
            # First: should the file change while its boxes are searched, the seal does not fit it any more.
            image_digest = digest_of_file(self.dataset, image_id)
            boxes = self._find(image_id, image)
            _write_boxes(path, boxes, image_digest)
        return boxes

    def path(self, image_id: str) -> Path:
        """The file in the cache that an image's boxes are kept in."""
        return self.folder / f"{image_id}.npy"

    def most_boxes(self, image_id: str) -> int | None:
        """How many boxes an image has at most, without finding them; None where nothing is known."""
        if isinstance(self.method, Mapping):
            return len(self.method[image_id])
        return self.max_boxes

    def _find(self, image_id: str, image: np.ndarray | None) -> np.ndarray:
        method = self.method[image_id] if isinstance(self.method, Mapping) else self.method
        image = self.dataset.image(image_id) if image is None else image
        return propose(image, method, max_boxes=self.max_boxes, seed=self.seed, **self.options)

    def _read_up_to_date(self, path: Path, image_id: str) -> np.ndarray | None:
        """Cached boxes of the image as it is now; None if there are none, or the file is damaged."""
        if not path.exists():
            return None
        boxes, seal = _read_sealed(path)
        if boxes is None:
            return None
        if seal:
            return boxes if seal == _seal(boxes, digest_of_file(self.dataset, image_id)) else None
        # Written before boxes were sealed. The dates of the files tell less, but more than nothing.
        image = file_of(self.dataset, image_id)
        newer = image is not None and image.stat().st_mtime_ns > path.stat().st_mtime_ns
        return None if newer else boxes


def proposals_of(proposals: Mapping, dataset, image_id: str, image: np.ndarray) -> np.ndarray:
    """Boxes of an image of `dataset` that is at hand, float32 [N, 4]; `proposals` need not read it again."""
    if isinstance(proposals, LazyProposals) and proposals.dataset is dataset:
        return proposals.of_image(image_id, image)
    return as_boxes(proposals[image_id])


def _write_boxes(path: Path, boxes: np.ndarray, image_digest: str) -> None:
    """Write an array file and, behind its end, a seal of the boxes and of the image they are from."""

    def write(file):
        np.save(file, boxes, allow_pickle=False)
        file.write(_seal(boxes, image_digest))

    atomic_write(path, write)


def _seal(boxes: np.ndarray, image_digest: str) -> bytes:
    """SHA-256 of boxes and the digest of their image, 32 bytes."""
    digest = hashlib.sha256(image_digest.encode())
    digest.update(np.ascontiguousarray(boxes, dtype=np.float32))
    return digest.digest()


def _read_boxes(path: Path) -> np.ndarray | None:
    """Read cached boxes; None if the file is damaged, so that the boxes are made again."""
    return _read_sealed(path)[0]


def _read_sealed(path: Path) -> tuple[np.ndarray | None, bytes]:
    """Read cached boxes, None if the file is damaged, and the seal behind them, empty in files of old."""
    try:
        with open(path, "rb") as file:
            if file.read(8) != _NPY_1_0:
                return None, b""
            # Mapped first: that holds what the header promises against the file's size before memory is taken.
            mapped = np.load(path, allow_pickle=False, mmap_mode="r")
            file.seek(mapped.offset + mapped.nbytes)
            return np.array(as_boxes(mapped)), file.read()
    except Exception:  # whatever a damaged file makes NumPy raise, even a tokenizer's error
        return None, b""


def _cache_key(dataset, method, max_boxes, seed, options) -> str:
    """Name the folder of everything that decides the boxes, apart from the images themselves."""
    if isinstance(method, str):
        name = method
        if method == "selective_search":
            # What a mode's name stands for may change; its settings are what decides.
            mode = options.get("mode", "fast")
            options = options | {"mode": selective_search.MODES.get(mode, mode)}
    elif isinstance(method, Mapping):
        parts = [f"{image_id}:{np.asarray(method[image_id]).tolist()}" for image_id in dataset.ids]
        name = "given " + hashlib.sha256("\n".join(parts).encode()).hexdigest()
    else:
        name = f"{method.__module__}.{method.__qualname__}"
    root = Path(dataset.root).resolve() if hasattr(dataset, "root") else None
    described = (_CACHE_VERSION, name, max_boxes, seed, sorted(options.items()), str(root))
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]
