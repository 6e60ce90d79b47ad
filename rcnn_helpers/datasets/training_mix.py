"""Training sets of two kinds of images: annotated in full, and annotated in part (sec. 4.3).

ILSVRC2013's val images are annotated with all two hundred classes. Its train images, twenty times as many, are
annotated with the classes they were collected for; whatever else they show is not marked. A region without a mark
is then no proof of background. The paper therefore takes from train only what is sure: up to N ground-truth boxes
of each class, as positives. Proposals, negatives and the pairs of box regression come from val's images alone.
This set is called val1+trainN.

A data set says so by a method ``gives_negatives(image_id)``; one without it is taken to be annotated in full.
Fine-tuning, the mining of hard negatives and box regression ask for it through the functions of this module.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rcnn_helpers.datasets.annotated_images import Annotation, subset_ids
from rcnn_helpers.errors import DatasetError


def gives_negatives(dataset, image_id: str) -> bool:
    """Whether what is not marked in an image is background: all objects of all classes are annotated there."""
    ask = getattr(dataset, "gives_negatives", None)
    return True if ask is None else bool(ask(image_id))


def fully_annotated(dataset):
    """The images of a data set that give negatives, as a data set; itself if these are all."""
    ids = [image_id for image_id in dataset.ids if gives_negatives(dataset, image_id)]
    if len(ids) == len(dataset.ids):
        return dataset
    if not ids:
        raise DatasetError(
            f"none of the {len(dataset.ids)} images is annotated in full, so there are no negatives; add images "
            "that are, such as ILSVRC's val"
        )
    return dataset.subset(ids)


def mining_images(dataset, limit: int | None = None, *, seed: int = 0) -> frozenset[str]:
    """The images that hard negatives are mined from (sec. 4.3).

    Parameters
    ----------
    dataset : VOCDataset, ValPlusTrain or the like
    limit : int, optional
        At most so many, drawn at random; the paper mined on 5,000 of val1, which cost half a point of mAP and
        saved half of the time. By default all that give negatives.
    seed : int
    """
    ids = list(fully_annotated(dataset).ids)
    if limit is None or limit >= len(ids):
        return frozenset(ids)
    if limit < 1:
        raise DatasetError(f"the limit of mining images is {limit}; negatives need at least one image")
    chosen = np.random.default_rng(seed).choice(len(ids), size=limit, replace=False)
    return frozenset(ids[i] for i in chosen)


def keep_objects(annotation: Annotation, rows: Iterable[int]) -> Annotation:
    """An annotation with some of its objects only, in the order of `rows`."""
    rows = np.asarray(list(rows), dtype=np.int64)
    return replace(
        annotation,
        boxes=annotation.boxes[rows],
        names=tuple(annotation.names[row] for row in rows),
        difficult=annotation.difficult[rows],
        truncated=annotation.truncated[rows],
        occluded=annotation.occluded[rows],
        poses=tuple(annotation.poses[row] for row in rows),
    )


class ValPlusTrain:
    """The paper's val1+trainN: images annotated in full, and N ground-truth boxes a class from others (sec. 4.3).

    Parameters
    ----------
    val : VOCDataset, ILSVRCDataset or the like
        Annotated in full: val1, or all of val.
    train : VOCDataset, ILSVRCDataset or the like
        With the same classes, in the same order.
    n_per_class : int
        Ground-truth boxes to take of each class, drawn at random; all of a class that has fewer. The boxes of a
        smaller number are among those of a larger one, for the same seed.
    seed : int

    Attributes
    ----------
    classes : tuple of str
    ids : list of str
        The images of `val`, then those of `train` that have a box that was taken.
    root : path
        Of `val`.
    n_boxes_ : int64 array [C]
        Boxes taken of each class.

    Raises
    ------
    DatasetError
        If the classes differ, an id is in both sets, or `n_per_class` is below 0.

    Notes
    -----
    The released code counts images rather than boxes: at most 1,000 train images a class.
    """

    def __init__(self, val, train, n_per_class: int, *, seed: int = 0):
        if tuple(val.classes) != tuple(train.classes):
            raise DatasetError(
                f"{val!r} and {train!r} have different classes, or the same in another order; open both with the "
                "same list"
            )
        if n_per_class < 0:
            raise DatasetError(f"n_per_class is {n_per_class}; take 0 boxes of a class, or more")
        shared = sorted(set(val.ids) & set(train.ids))
        if shared:
            raise DatasetError(
                f"{len(shared)} images are in both sets, the first is {shared[0]!r}; an image is annotated in "
                "full or it is not"
            )
        self.classes = tuple(val.classes)
        self.root = getattr(val, "root", None)
        self.val, self.train = val, train
        self.n_per_class, self.seed = n_per_class, seed
        taken, self.n_boxes_ = _take_boxes(train, n_per_class, seed)
        self._taken: dict[str, Sequence[int]] = taken
        self.ids = [*val.ids, *(image_id for image_id in train.ids if image_id in taken)]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        n_train = sum(image_id in self._taken for image_id in self.ids)
        return f"ValPlusTrain: {len(self) - n_train} images annotated in full, {n_train} with positives only"

    def gives_negatives(self, image_id: str) -> bool:
        """Whether the image is annotated in full."""
        return image_id not in self._taken

    def image(self, image_id: str) -> np.ndarray:
        """Read an image, uint8 [H, W, 3]."""
        return self._of(image_id).image(image_id)

    def image_path(self, image_id: str):
        """Path of an image's file."""
        return self._of(image_id).image_path(image_id)

    def annotation(self, image_id: str) -> Annotation:
        """The annotation of an image; of one from train, the boxes that were taken."""
        annotation = self._of(image_id).annotation(image_id)
        return keep_objects(annotation, self._taken[image_id]) if image_id in self._taken else annotation

    def proposals(self, of_val: Mapping) -> dict[str, np.ndarray]:
        """Proposals of all images: those of val as given, none for train, where the paper ran no search either.

        Parameters
        ----------
        of_val : mapping of image id to float32 [N, 4]
        """
        missing = [
            image_id for image_id in self.ids if image_id not in self._taken and image_id not in of_val
        ]
        if missing:
            raise DatasetError(
                f"{len(missing)} images that are annotated in full have no proposals, the first is {missing[0]!r}"
            )
        none = np.zeros((0, 4), np.float32)
        return {image_id: none if image_id in self._taken else of_val[image_id] for image_id in self.ids}

    def subset(self, which) -> "ValPlusTrain":
        """The same with fewer images: the first so many, or those of the ids given."""
        smaller = copy.copy(self)
        smaller.ids = subset_ids(self, which)
        return smaller

    def _of(self, image_id: str):
        """The data set that an image is from."""
        return self.train if image_id in self._taken else self.val


class OneClassAnnotated:
    """A data set in which only one class of each image is annotated, as images of ILSVRC's train are.

    It makes the roles of sec. 4 out of a data set that is annotated in full, such as ToyVOC.

    Parameters
    ----------
    dataset : VOCDataset or the like
    seed : int
        Decides which of its classes an image keeps.
    """

    def __init__(self, dataset, *, seed: int = 0):
        self.dataset = dataset
        self.classes = tuple(dataset.classes)
        self.ids = list(dataset.ids)
        self.root = getattr(dataset, "root", None)
        rng = np.random.default_rng(seed)
        self._kept: dict[str, str] = {}
        for image_id in self.ids:
            there = sorted(set(dataset.annotation(image_id).names) & set(self.classes))
            chance = rng.random()  # drawn for every image, so that one without objects changes no other
            if there:
                self._kept[image_id] = there[int(chance * len(there))]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"OneClassAnnotated({self.dataset!r})"

    def gives_negatives(self, image_id: str) -> bool:
        """No: what is not marked may be anything."""
        return False

    def image(self, image_id: str) -> np.ndarray:
        """Read an image, uint8 [H, W, 3]."""
        return self.dataset.image(image_id)

    def image_path(self, image_id: str):
        """Path of an image's file."""
        return self.dataset.image_path(image_id)

    def annotation(self, image_id: str) -> Annotation:
        """The annotation of an image: objects of one class."""
        annotation = self.dataset.annotation(image_id)
        kept = self._kept.get(image_id)
        return keep_objects(annotation, [i for i, name in enumerate(annotation.names) if name == kept])


def _take_boxes(train, n_per_class: int, seed: int) -> tuple[dict[str, list[int]], np.ndarray]:
    """Objects taken from each image, by their place in its annotation, and how many of each class."""
    place = {name: c for c, name in enumerate(train.classes)}
    boxes_of = [[] for _ in place]
    if n_per_class:
        for image_id in train.ids:
            for row, name in enumerate(train.annotation(image_id).names):
                if name in place:
                    boxes_of[place[name]].append((image_id, row))
    taken: dict[str, list[int]] = {}
    for c, found in enumerate(boxes_of):
        order = np.random.default_rng([seed, c]).permutation(len(found))
        for i in order[:n_per_class]:
            image_id, row = found[i]
            taken.setdefault(image_id, []).append(row)
    counts = np.array([min(n_per_class, len(found)) for found in boxes_of], dtype=np.int64)
    return {image_id: sorted(rows) for image_id, rows in taken.items()}, counts
