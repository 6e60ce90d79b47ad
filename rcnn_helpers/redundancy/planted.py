"""How well are near-duplicates found? Plant some, altered in known ways, and look for them.

App. F says how its matches tend to differ: in JPEG compression and resolution, and to a lesser extent by
cropping. It cannot say how many others its search has missed. With planted copies that can be measured: half
of a set of pictures is the database, and altered copies of *all* of them are the queries. Those from the one
half should be found; those from the other half have nothing to find, and whatever they find is a false alarm
(unless the set itself holds two pictures of one scene).
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.redundancy.gist import gist, mirrored, warp
from rcnn_helpers.redundancy.pictures import PictureSet
from rcnn_helpers.redundancy.search import nearest

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 17))


def recompressed(image, quality: int) -> np.ndarray:
    """Save as JPEG of some quality (1 to 95) and read again."""
    from PIL import Image

    from rcnn_helpers.images import read_image

    coded = io.BytesIO()
    Image.fromarray(image).save(coded, "JPEG", quality=quality)
    return read_image(coded.getvalue())


def resized(image, factor: float) -> np.ndarray:
    """Enlarge or shrink both sides."""
    import cv2

    size = tuple(max(1, round(side * factor)) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def cropped(image, share: float, rng) -> np.ndarray:
    """Cut off a share of the height and of the width; where, is drawn at random."""
    height, width = image.shape[:2]
    keep_y, keep_x = (max(1, round(side * (1 - share))) for side in (height, width))
    top, left = rng.integers(0, height - keep_y + 1), rng.integers(0, width - keep_x + 1)
    return image[top : top + keep_y, left : left + keep_x]


def framed(image, share: float) -> np.ndarray:
    """Lay a white frame over the borders, a share of each side wide in all."""
    height, width = image.shape[:2]
    y, x = round(height * share / 2), round(width * share / 2)
    inside = np.full_like(image, 255)
    inside[y : height - y, x : width - x] = image[y : height - y, x : width - x]
    return inside


def relit(image, *, brightness: float = 1.0, contrast: float = 1.0) -> np.ndarray:
    """Multiply by `brightness`, and stretch by `contrast` about the mean; what leaves 0 to 255 is cut off."""
    values = brightness * np.asarray(image, np.float32)
    middle = values.mean()
    return np.clip(np.rint(middle + contrast * (values - middle)), 0, 255).astype(np.uint8)


def grey(image) -> np.ndarray:
    """Take the colours away."""
    import cv2

    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def saved_again(image, rng) -> np.ndarray:
    """Several at once, as on the way through a few web sites: cropped by 3%, shrunk to 60%, JPEG of quality 60."""
    return recompressed(resized(cropped(image, 0.03, rng), 0.6), 60)


# Kind of change -> function of a picture and a random generator.
ALTERATIONS: dict[str, Callable] = {
    **{f"JPEG quality {q}": lambda image, rng, q=q: recompressed(image, q) for q in (90, 70, 50, 30)},
    **{f"resized to {100 * f:g}%": lambda image, rng, f=f: resized(image, f) for f in (0.5, 0.75, 1.5, 2)},
    **{f"cropped by {100 * s:g}%": lambda image, rng, s=s: cropped(image, s, rng) for s in (0.02, 0.05, 0.1)},
    **{
        f"brightness {100 * (b - 1):+g}%": lambda image, rng, b=b: relit(image, brightness=b)
        for b in (0.7, 1.3)
    },
    **{f"contrast {100 * (c - 1):+g}%": lambda image, rng, c=c: relit(image, contrast=c) for c in (0.7, 1.3)},
    "greyscale": lambda image, rng: grey(image),
    "framed by 5%": lambda image, rng: framed(image, 0.05),
    "mirrored": lambda image, rng: np.ascontiguousarray(image[:, ::-1]),
    "saved again": saved_again,
}


def thumbnails(images) -> np.ndarray:
    """The baseline: a picture's 32 x 32 pixels as they are, less their mean and to length 1, float32 [N, 3072]."""
    rows = np.array([warp(image).reshape(-1) for image in images], dtype=np.float32).reshape(-1, 32 * 32 * 3)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6)


@dataclass(frozen=True)
class Planted:
    """Queries of one kind of change, and what the search has found for them.

    Attributes
    ----------
    kind : str
        One of `ALTERATIONS`.
    distances : float array of shape [N]
        To the nearest picture of the database.
    rows : int array of shape [N]
        Number of that picture in the set.
    originals : int array of shape [N]
        Number of the picture that each query was made from.
    is_copy : bool array of shape [N]
        Whether that one is in the database.
    """

    kind: str
    distances: np.ndarray
    rows: np.ndarray
    originals: np.ndarray
    is_copy: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Queries whose nearest picture is the one they were made from, bool [N]."""
        return self.is_copy & (self.rows == self.originals)

    def summary(self) -> dict[str, float]:
        """How far copies and others lie from what is nearest, and what that allows.

        Returns
        -------
        dict
            ``copies`` and ``strangers`` (numbers of queries); ``nearest_is_original`` (share of the copies);
            ``median_distance`` and ``distance_99`` (of the copies that found their original: median and 99th
            percentile); ``stranger_lowest`` and ``stranger_median`` (of the strangers); ``recall_no_alarm``
            (share of the copies found nearer than any stranger finds anything).
        """
        own, others = self.distances[self.right], self.distances[~self.is_copy]
        lowest = float(others.min()) if len(others) else np.inf
        n_copies = int(self.is_copy.sum())
        return {
            "copies": n_copies,
            "strangers": len(others),
            "nearest_is_original": self.right.sum() / n_copies,
            "median_distance": float(np.median(own)) if len(own) else np.nan,
            "distance_99": float(np.percentile(own, 99)) if len(own) else np.nan,
            "stranger_lowest": lowest,
            "stranger_median": float(np.median(others)) if len(others) else np.nan,
            "recall_no_alarm": float((own < lowest).sum()) / n_copies,
        }

    def at(self, threshold: float) -> dict[str, float]:
        """Recall, precision and number of false alarms if whatever lies within `threshold` is called a copy."""
        precision, recall = precision_recall(
            self.distances, self.right, threshold, n_copies=self.is_copy.sum()
        )
        wrong = int((~self.right & (self.distances <= threshold)).sum())
        return {"threshold": threshold, "recall": recall, "precision": precision, "false_alarms": wrong}


def precision_recall(
    distances, right, threshold: float, *, n_copies: int | None = None
) -> tuple[float, float]:
    """Precision and recall of calling every query a copy whose nearest picture is near.

    Parameters
    ----------
    distances : array-like of shape [N]
        Of each query to what is nearest to it.
    right : bool array-like of shape [N]
        Whether the query is a copy of just that picture.
    threshold : float
        What lies at this distance or nearer is called a copy.
    n_copies : int, optional
        Copies there are to be found; by default as many as are `right`.

    Returns
    -------
    precision, recall : float
        Precision is 1 where nothing is called a copy, and recall where there is no copy to find.
    """
    distances, right = np.asarray(distances, float), np.asarray(right, bool)
    n_copies = int(right.sum()) if n_copies is None else int(n_copies)
    called = distances <= threshold
    n_right = int((called & right).sum())
    precision = n_right / int(called.sum()) if called.any() else 1.0
    return precision, n_right / n_copies if n_copies else 1.0


def find_planted(
    pictures: PictureSet,
    *,
    kinds=tuple(ALTERATIONS),
    describe: Callable = gist,
    mirror: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> list[Planted]:
    """Plant altered copies of pictures, and look for the originals.

    Parameters
    ----------
    pictures : PictureSet
        A random half is the database.
    kinds : sequence of str
        Keys of `ALTERATIONS`.
    describe : callable
        From pictures to float32 [N, D]: `gist`, or `thumbnails` for the baseline.
    mirror : bool
        Look for mirrored copies as well; with `gist` only.
    seed : int
        Of the halves, and of where is cropped.
    progress : bool
        Show a bar.

    Returns
    -------
    list of Planted, one for each kind

    Raises
    ------
    DatasetError
        If there are fewer than two pictures.
    SettingsError
        If a kind is unknown, or mirrored copies are to be found by another descriptor than GIST.
    """
    if mirror and describe is not gist:
        raise SettingsError("only GIST descriptors can be mirrored; leave out mirror")
    originals, altered = describe_altered(
        pictures, kinds=kinds, describe=describe, seed=seed, progress=progress
    )
    return search_planted(originals, altered, mirror=mirror, seed=seed)


def describe_altered(
    pictures: PictureSet,
    *,
    kinds=tuple(ALTERATIONS),
    describe: Callable = gist,
    seed: int = 0,
    progress=False,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Descriptors of all pictures [N, D], and of their altered copies by kind; see `find_planted`."""
    from tqdm.auto import tqdm

    unknown = [kind for kind in kinds if kind not in ALTERATIONS]
    if unknown:
        raise SettingsError(f"there is no change {unknown[0]!r}; there are {', '.join(ALTERATIONS)}")
    if len(pictures) < 2:
        raise DatasetError(
            f"{pictures.name} holds {len(pictures)} pictures; to plant copies takes two: one to be found, one not"
        )
    each = []
    for number in tqdm(range(len(pictures)), desc="planting", unit="picture", disable=not progress):
        image, rng = pictures.image(number), np.random.default_rng([seed, number])
        each.append(describe([image, *(ALTERATIONS[kind](image, rng) for kind in kinds)]))
    described = np.stack(each)
    return described[:, 0], {kind: described[:, i] for i, kind in enumerate(kinds, start=1)}


def search_planted(originals, altered, *, mirror: bool = False, seed: int = 0) -> list[Planted]:
    """Look for altered copies among a random half of the originals; see `find_planted`."""
    n = len(originals)
    in_database = np.sort(np.random.default_rng(seed).permutation(n)[: n // 2])
    is_copy = np.isin(np.arange(n), in_database)
    database = originals[in_database]
    results = []
    for kind, queries in altered.items():
        distances, rows = (found[:, 0] for found in nearest(queries, database))
        if mirror:
            others, other_rows = (found[:, 0] for found in nearest(mirrored(queries), database))
            rows = np.where(others < distances, other_rows, rows)
            distances = np.minimum(distances, others)
        results.append(Planted(kind, distances, in_database[rows], np.arange(n), is_copy))
    return results
