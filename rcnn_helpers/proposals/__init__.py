"""Region proposals (sec. 2.1): boxes that may hold an object, whatever its class.

>>> boxes = propose(image)                                        # selective search, fast mode
>>> boxes = propose(image, "sliding_window", max_boxes=2000)
>>> proposals = propose_dataset(dataset, max_boxes=2000, cache="cache")
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from rcnn_helpers.boxes import as_boxes, clip, unique
from rcnn_helpers.errors import DatasetError
from rcnn_helpers.proposals import random_boxes, selective_search, sliding_window
from rcnn_helpers.storage import atomic_write

__all__ = ["METHODS", "propose", "propose_dataset", "random_boxes", "selective_search", "sliding_window"]

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
    n_jobs: int = 2,
    cache: str | Path | None = None,
    progress: bool = True,
    **options,
) -> dict[str, np.ndarray]:
    """Propose boxes for every image of a data set.

    Parameters
    ----------
    dataset : VOCDataset or anything with `ids` and `image`
    method : str, callable or dict from image id to boxes
        As for `propose`; a dict holds boxes of your own.
    max_boxes, seed, **options
        As for `propose`.
    n_jobs : int
        Images worked on at a time. The work is done in threads unless ``joblib.parallel_config`` says otherwise.
    cache : path-like, optional
        Folder in which every image's boxes are kept, so that an interrupted run resumes where it stopped. Boxes
        are found again only if nothing that decides them has changed: the method, its options, the data set's
        folder, and the image file's date. Of a function only its name is known: empty the folder when you change
        it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict from image id to float32 [N, 4]
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
    folder = None
    if cache is not None:
        folder = Path(cache) / _cache_key(dataset, method, max_boxes, seed, options)
    work = (
        delayed(_propose_one)(
            dataset,
            image_id,
            method[image_id] if isinstance(method, Mapping) else method,
            max_boxes,
            seed,
            folder,
            options,
        )
        for image_id in dataset.ids
    )
    found = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(work)
    bar = tqdm(found, total=len(dataset.ids), desc="proposals", unit="image", disable=not progress)
    return dict(zip(dataset.ids, bar, strict=True))


def _propose_one(dataset, image_id, method, max_boxes, seed, folder, options) -> np.ndarray:
    """Return one image's boxes, from its file in `folder` where that is up to date."""
    if folder is None:
        return propose(dataset.image(image_id), method, max_boxes=max_boxes, seed=seed, **options)
    path = folder / f"{image_id}.npy"
    if _is_up_to_date(path, dataset, image_id):
        boxes = _read_boxes(path)
        if boxes is not None:
            return boxes
    boxes = propose(dataset.image(image_id), method, max_boxes=max_boxes, seed=seed, **options)
    atomic_write(path, lambda file: np.save(file, boxes, allow_pickle=False))
    return boxes


def _is_up_to_date(path: Path, dataset, image_id: str) -> bool:
    if not path.exists():
        return False
    if not hasattr(dataset, "image_path"):
        return True
    return path.stat().st_mtime_ns >= Path(dataset.image_path(image_id)).stat().st_mtime_ns


def _read_boxes(path: Path) -> np.ndarray | None:
    """Read cached boxes; None if the file is damaged, so that the boxes are made again."""
    try:
        with open(path, "rb") as file:
            if file.read(8) != _NPY_1_0:
                return None
        # Mapped first: that holds what the header promises against the file's size before memory is taken.
        return np.array(as_boxes(np.load(path, allow_pickle=False, mmap_mode="r")))
    except Exception:  # whatever a damaged file makes NumPy raise, even a tokenizer's error
        return None


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
