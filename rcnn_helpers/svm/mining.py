"""Training the detectors' SVMs on all regions of many images, with hard negatives mined in one pass.

Which regions teach a class's SVM what (sec. 2.3 and App. B):

- positives: the ground-truth boxes of the class, and nothing else;
- negatives: regions of IoU below 0.3 with every ground-truth box of the class, other classes' boxes among them;
- the grey zone between is ignored.

A few thousand images hold millions of negatives, too many for memory and nearly all of them easy. So each class
keeps a *cache* of negatives, and the images are gone through once, in order (the released code's rules):

1. every region is scored with the detectors of the moment;
2. a class takes up the negatives that violate its margin or nearly so (score above -1.0001). A class that has not
   been trained yet scores 0 everywhere and takes them all: the first image's negatives are every class's start;
3. a class is retrained when it has taken up more than 2,000 since the last time, and at the first and last image;
4. after training, a class evicts the negatives that have become easy (score below -1.2).

A row that leaves the cache does not move the solution, because its alpha is 0 beyond the margin; if nothing were
ever mistaken for easy, the outcome would be the SVM trained on all negatives. All classes share one pass and one
`_RowPool`: a region stands in memory once, however many classes have it in their caches.
"""

import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rcnn_helpers.errors import TrainingError
from rcnn_helpers.settings import NEVER_FIRES, SVM_BIAS_SCALE, SVM_C, SVM_NEGATIVE_IOU, SVM_POSITIVE_WEIGHT
from rcnn_helpers.svm.estimator import LinearSVMs
from rcnn_helpers.svm.solver import row_squared_norms, solve

# Released code: a negative is hard above this score, and leaves the cache below the other.
HARD_SCORE = -1.0001
EVICT_SCORE = -1.2
# Released code: negatives a class takes up before it is retrained.
RETRAIN_AFTER = 2000
# Bytes for the rows in the caches, unless the positives alone take more than half of that.
ROW_MEMORY = 4 * 2**30

HISTORY_COLUMNS = (
    "class",
    "pass",
    "image",
    "positives",
    "negatives",
    "added",
    "evicted",
    "positive_loss",
    "negative_loss",
    "objective",
    "gap",
    "rows_in_memory",
)
HARDEST_COLUMNS = ("class", "image_id", "region", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class TrainingImage:
    """The regions of one image, ground-truth boxes and proposals, as the SVMs see them.

    Attributes
    ----------
    image_id : str
    features : float32 array [N, D]
        Scaled to a mean norm of 20, or else give the factor as `scale` to `train_detector_svms`.
    boxes : float32 array [N, 4]
    overlaps : float32 array [N, C]
        IoU of each region with the ground-truth box of each class that it overlaps most, 0 where the image has
        none. Count difficult objects too: a region on one of them is then no negative.
    gt_class : int array [N]
        Class index of a region that is a ground-truth box to learn from, else -1. The released code learns from
        difficult objects as from others; to leave them out give them -1, and their overlaps keep them from
        being negatives of their class.
    gives_negatives : bool
        Whether negatives may be taken from this image. False for one in which not all objects are annotated
        (sec. 4.3), and for one that is not mined to save time.
    """

    image_id: str
    features: np.ndarray
    boxes: np.ndarray
    overlaps: np.ndarray
    gt_class: np.ndarray
    gives_negatives: bool = True


def train_detector_svms(
    images: Iterable[TrainingImage],
    classes,
    *,
    C=SVM_C,
    positive_weight=SVM_POSITIVE_WEIGHT,
    bias_scale=SVM_BIAS_SCALE,
    scale=1.0,
    positive_iou=None,
    negative_iou=SVM_NEGATIVE_IOU,
    mine=True,
    n_random=RETRAIN_AFTER,
    hard_score=HARD_SCORE,
    evict_score=EVICT_SCORE,
    retrain_after=RETRAIN_AFTER,
    train_on_first_image=True,
    passes=1,
    max_memory=None,
    n_hardest=100,
    tol=1e-3,
    max_iter=200,
    seed=0,
    n_jobs=None,
    progress=False,
) -> LinearSVMs:
    """Train one linear SVM per class on the regions of many images.

    Parameters
    ----------
    images : iterable of TrainingImage, which can be gone through more than once
        A list, or an object whose ``__iter__`` starts anew each time and loads one image after the other. A first
        round gathers the positives, then each pass goes through all images in the same order. On small
        sets, put a typical image first: its negatives are all that the first detectors see.
    classes : sequence of str
        Names of the classes, in the order of the columns of ``overlaps``.
    C, positive_weight, bias_scale, tol, max_iter, seed, n_jobs
        As in `LinearSVMs`.
    scale : float
        Features are multiplied by it.
    positive_iou : float, optional
        By default the positives of a class are its ground-truth boxes (``gt_class``). Given, they are all regions,
        ground truth or proposal, of at least this IoU with a ground-truth box of the class.
    negative_iou : float
        A region is a negative of a class below this IoU with all its ground-truth boxes. 0 means: only those that
        touch none.
    mine : bool
        False trains once, on the positives and `n_random` random negatives per class, spread evenly over the
        images. It shows what mining is good for.
    n_random : int
        See `mine`.
    hard_score, evict_score, retrain_after
        The rules of the cache: see the head of this module. Girshick's later Python code has `evict_score` -1.1.
    train_on_first_image : bool
        False is how Girshick's later Python code starts: detectors stay 0, and so every negative is hard, until
        the class has taken up more than `retrain_after`.
    passes : int
        How often to go through the images.
    max_memory : int, optional
        Bytes for the rows in the caches, positives and negatives; a row of D features and C classes takes
        ``4 D + 5 C + 40``. When they are used up all classes are retrained and evict at once, earlier than
        `retrain_after` says; the outcome is of the same kind, the run slower. By default 4 GiB, or twice what the
        positives take where that is more (8 GB for ILSVRC's val1+train1k and fc7 of the T-Net).
    n_hardest : int
        Rows of ``hardest_`` per class.
    progress : bool
        Show a progress bar.

    Returns
    -------
    LinearSVMs, fitted, with these attributes besides ``coef_`` and ``intercept_``:
        ``classes_`` : tuple of str.

        ``history_`` : pandas frame with a row for each training of each class: class, pass and image (both from
        1), positives and negatives it was trained on, negatives added since the training before and evicted
        after it, weighted hinge losses of positives and negatives, objective, duality gap, and rows in memory.

        ``hardest_`` : pandas frame of the negatives in each class's cache that its final SVM scores highest, best
        first: class, image_id, region (its index in the image), score, x1, y1, x2, y2.

        ``alphas_`` and the like are not there, as the rows are gone. A class without positives, or without
        negatives, is named in a warning; its detector never fires (all weights 0, intercept -10,000).

    Raises
    ------
    TrainingError
        If no class has positives, features are not finite (the image is named), shapes do not fit, the images
        can be gone through only once, or `max_memory` does not hold what the classes need.
    """
    if iter(images) is images:
        raise TrainingError(
            "images can be gone through only once, but training needs at least two rounds; "
            "give a list or an object whose __iter__ starts anew"
        )
    svms = LinearSVMs(C, positive_weight, bias_scale, tol, max_iter, seed, n_jobs)
    svms._check_parameters()
    rules = _RegionRules(
        classes=tuple(classes), scale=scale, positive_iou=positive_iou, negative_iou=negative_iou
    )
    cache_rules = _CacheRules(hard_score, evict_score, retrain_after, train_on_first_image)
    miner = _Miner(rules, cache_rules, svms._solver_options(), max_memory)

    miner.gather_positives(_with_progress(images, progress, "positives"))
    if mine:
        for number in range(1, passes + 1):
            miner.mine(_with_progress(images, progress, f"hard negatives {number}/{passes}"), number, passes)
    else:
        miner.sample(
            _with_progress(images, progress, "random negatives"), n_random, np.random.default_rng(seed)
        )
    return miner.finish(svms, n_hardest)


def region_roles(overlaps, gt_class, *, positive_iou=None, negative_iou=SVM_NEGATIVE_IOU) -> np.ndarray:
    """What each region of an image is to each class: +1, -1, or 0 where the class ignores it, int8 [N, C].

    Parameters
    ----------
    overlaps : array [N, C]
        Largest IoU with a ground-truth box of the class.
    gt_class : int array [N]
        Class of a region that is a ground-truth box itself, else -1.
    positive_iou, negative_iou : float
        As in `train_detector_svms`.
    """
    overlaps, gt_class = np.asarray(overlaps), np.asarray(gt_class)
    if positive_iou is None:
        positive = gt_class[:, None] == np.arange(overlaps.shape[1])
    else:
        positive = overlaps >= positive_iou
    negative = ((overlaps < negative_iou) | (overlaps == 0)) & ~positive
    return positive.astype(np.int8) - negative.astype(np.int8)


def is_hard(scores, labels, *, hard_score=HARD_SCORE) -> np.ndarray:
    """Which regions are hard negatives: negatives that violate the margin or nearly so, a bool array.

    Parameters
    ----------
    scores, labels : arrays of equal shape
        SVM scores, and labels as `region_roles` gives them.
    hard_score : float
        The released code's limit lies just below the margin, so that a negative right on it counts.
    """
    return (np.asarray(labels) == -1) & (np.asarray(scores) > hard_score)


def _with_progress(images, progress, description):
    if not progress:
        return images
    from tqdm.auto import tqdm

    return tqdm(images, desc=description, unit="image")


@dataclass(frozen=True)
class _Regions:
    """One image, checked: features scaled, and what each region is to each class."""

    image_id: str
    number: int
    features: np.ndarray
    squared_norms: np.ndarray
    boxes: np.ndarray
    positive: np.ndarray  # bool [N, C]
    negative: np.ndarray  # bool [N, C]


@dataclass(frozen=True)
class _RegionRules:
    """Which regions are positives and negatives of which class."""

    classes: tuple
    scale: float
    positive_iou: float | None
    negative_iou: float

    def regions(self, image: TrainingImage, number: int) -> _Regions:
        features = np.ascontiguousarray(image.features, dtype=np.float32)
        n, k = len(features), len(self.classes)
        overlaps, gt_class = np.asarray(image.overlaps), np.asarray(image.gt_class)
        boxes = np.asarray(image.boxes, dtype=np.float32).reshape(-1, 4)
        if features.ndim != 2 or overlaps.shape != (n, k) or gt_class.shape != (n,) or len(boxes) != n:
            raise TrainingError(
                f"image {image.image_id}: features {list(features.shape)}, boxes {list(boxes.shape)}, overlaps "
                f"{list(overlaps.shape)} and gt_class {list(gt_class.shape)} do not fit {k} classes; "
                "they must be [N, D], [N, 4], [N, C] and [N]"
            )
        if n and (gt_class.min() < -1 or gt_class.max() >= k):
            raise TrainingError(
                f"image {image.image_id}: gt_class ranges from {gt_class.min()} to {gt_class.max()}; "
                f"it must be -1 for a proposal, else a class index below {k}"
            )
        if self.scale != 1:
            features = features * np.float32(self.scale)
        squared_norms = row_squared_norms(features)
        bad = np.flatnonzero(~np.isfinite(squared_norms))
        if len(bad):
            raise TrainingError(
                f"image {image.image_id}: the features of region {bad[0]} are NaN, infinite or too large "
                f"({len(bad)} such regions); extract this image's features again, in full precision"
            )
        labels = region_roles(
            overlaps, gt_class, positive_iou=self.positive_iou, negative_iou=self.negative_iou
        )
        negative = (labels == -1) & image.gives_negatives
        return _Regions(image.image_id, number, features, squared_norms, boxes, labels == 1, negative)


@dataclass(frozen=True)
class _CacheRules:
    hard_score: float
    evict_score: float
    retrain_after: int
    train_on_first_image: bool


class _RowPool:
    """Regions in memory, each once: features, where it came from, and what it is to each class.

    Slots of rows that no class needs any more are given to new rows.
    """

    def __init__(self, n_classes, max_memory):
        self.n_classes, self.max_memory = n_classes, max_memory
        self.size = 0  # slots in use or free; those beyond were never used
        self.free = []
        self.slot_of = {}  # (image number, region) -> slot
        self.features = None

    @property
    def max_rows(self):
        """Rows that fit; as many as come while there is no limit yet."""
        return sys.maxsize if self.max_memory is None else self.max_memory // self.row_bytes

    def settle_limit(self):
        """Without a limit given, leave as much room for negatives as the positives take, or what is usual."""
        if self.max_memory is None:
            self.max_memory = max(ROW_MEMORY, 2 * len(self) * self.row_bytes)

    def _allocate(self, n_features):
        self.features = np.zeros((0, n_features), np.float32)
        self.squared_norms = np.zeros(0, np.float32)
        self.labels = np.zeros((0, self.n_classes), np.int8)
        self.alphas = np.zeros((0, self.n_classes), np.float32)
        self.origins = np.zeros((0, 2), np.int64)  # image number and region
        self.boxes = np.zeros((0, 4), np.float32)
        self._columns = [
            self.features,
            self.squared_norms,
            self.labels,
            self.alphas,
            self.origins,
            self.boxes,
        ]
        self.row_bytes = sum(array.itemsize * int(np.prod(array.shape[1:])) for array in self._columns)

    def __len__(self):
        return len(self.slot_of)

    def has_room_for(self, n_rows):
        return self.features is None or len(self) + n_rows <= self.max_rows

    def add(self, regions: _Regions, labels) -> None:
        """Enter `labels` [N, C] (+1, -1, or 0 for leave as it is); rows that some class wants are stored."""
        wanted = np.flatnonzero(labels.any(axis=1))
        if not len(wanted):
            return
        if self.features is None:
            self._allocate(regions.features.shape[1])
        if regions.features.shape[1] != self.features.shape[1]:
            raise TrainingError(
                f"image {regions.image_id} has {regions.features.shape[1]} features a region, images before it "
                f"{self.features.shape[1]}; use one network and layer for all"
            )
        slots = self._slots(regions.number, wanted)
        self.features[slots] = regions.features[wanted]
        self.squared_norms[slots] = regions.squared_norms[wanted]
        self.boxes[slots] = regions.boxes[wanted]
        self.origins[slots] = np.column_stack([np.full(len(wanted), regions.number), wanted])
        self.labels[slots] = np.where(labels[wanted] != 0, labels[wanted], self.labels[slots])

    def labels_of(self, regions: _Regions):
        """Labels [N, C] that the rows of this image have in the pool; 0 for those that are not in it."""
        labels = np.zeros(regions.positive.shape, np.int8)
        for region in range(len(labels)):
            slot = self.slot_of.get((regions.number, region))
            if slot is not None:
                labels[region] = self.labels[slot]
        return labels

    def remove(self, slots, class_index) -> None:
        """Take rows out of a class's cache, and out of memory if no other class has them."""
        self.labels[slots, class_index] = 0
        self.alphas[slots, class_index] = 0
        for slot in slots[~self.labels[slots].any(axis=1)]:
            del self.slot_of[tuple(self.origins[slot].tolist())]
            self.free.append(int(slot))

    def _slots(self, number, wanted):
        slots = np.empty(len(wanted), np.int64)
        for i, region in enumerate(wanted.tolist()):
            slot = self.slot_of.get((number, region))
            if slot is None:
                slot = self.slot_of[number, region] = self._new_slot()
            slots[i] = slot
        return slots

    def _new_slot(self):
        if self.free:
            return self.free.pop()
        if self.size == len(self.features):
            capacity = min(max(1024, self.size * 3 // 2), self.max_rows)
            if capacity == self.size:
                raise TrainingError(
                    f"{self.size} rows fill the {self.max_memory / 2**20:.0f} MiB given to the SVMs' caches, and "
                    "all are needed; raise max_memory, or train on fewer classes or images at a time"
                )
            for array in self._columns:  # in place: the system moves pages, the rows are not held twice
                array.resize((capacity, *array.shape[1:]), refcheck=False)
        self.size += 1
        return self.size - 1


class _Miner:
    """The state of a training run: the pool, the detectors of the moment, and what happened so far."""

    def __init__(self, rules: _RegionRules, cache_rules: _CacheRules, solver_options, max_memory):
        self.rules, self.cache_rules, self.solver_options = rules, cache_rules, solver_options
        n_classes = len(rules.classes)
        self.pool = _RowPool(n_classes, max_memory)
        self.trainable = np.zeros(n_classes, bool)
        self.trained = np.zeros(n_classes, bool)
        self.n_added = np.zeros(n_classes, np.int64)  # since the class was last trained
        self.history = []
        self.image_ids = []
        self.coef = self.intercept = None

    def gather_positives(self, images):
        for number, image in enumerate(images, start=1):
            regions = self.rules.regions(image, number)
            self.pool.add(regions, regions.positive.astype(np.int8))
            self.trainable |= regions.positive.any(axis=0)
            self.image_ids.append(image.image_id)
        if not self.trainable.any():
            raise TrainingError(
                f"none of the classes {', '.join(self.rules.classes)} has a positive region in these images; "
                "check the class names, the annotations and the list of images"
            )
        self.pool.settle_limit()
        self._name_classes_without("positive", ~self.trainable)
        self.coef = np.zeros((len(self.rules.classes), self.pool.features.shape[1]), np.float32)
        self.intercept = np.zeros(len(self.rules.classes), np.float32)

    def mine(self, images, pass_number, n_passes):
        """Go through the images once, by the rules of the cache."""
        for number, image in self._again(images):
            self._take_up(self._hard_negatives, image, number, pass_number)
            if pass_number == n_passes and number == len(self.image_ids):
                self._train(np.ones(len(self.trainable), bool), pass_number, number)
                continue  # trained once, whether or not it was due; the progress bar fills up
            due = self.n_added > self.cache_rules.retrain_after
            if self.cache_rules.train_on_first_image:
                due |= ~self.trained & (self.n_added > 0)
            self._train(due, pass_number, number)

    def sample(self, images, n_random, rng):
        """Take up random negatives, as many from each image as from any other, and train once."""
        quotas = np.diff(np.linspace(0, n_random, len(self.image_ids) + 1).astype(int))

        def choose(regions):
            # One order for all classes: they then share most rows in memory.
            order = rng.permutation(len(regions.negative))
            rank = np.cumsum(regions.negative[order], axis=0)
            chosen = np.zeros_like(regions.negative)
            chosen[order] = regions.negative[order] & (rank <= quotas[regions.number - 1])
            return chosen

        for number, image in self._again(images):
            self._take_up(choose, image, number, 1)
        self._train(np.ones(len(self.trainable), bool), 1, len(self.image_ids))

    def _again(self, images):
        """Number the images of a later round, and see to it that they are those of the first."""
        number = 0
        for number, image in enumerate(images, start=1):
            expected = self.image_ids[number - 1] if number <= len(self.image_ids) else "none"
            if image.image_id != expected:
                raise TrainingError(
                    f"image {number} is {image.image_id} now but was {expected} in the first round; "
                    "give the same images in the same order in each round, without shuffling"
                )
            yield number, image
        if number < len(self.image_ids):
            raise TrainingError(
                f"the first round had {len(self.image_ids)} images, a later one only {number}; "
                "give the same images in each round"
            )

    def finish(self, svms: LinearSVMs, n_hardest) -> LinearSVMs:
        never_trained = ~self.trained
        self._name_classes_without("negative", never_trained & self.trainable)
        self.intercept[never_trained] = NEVER_FIRES
        svms.coef_, svms.intercept_ = self.coef, self.intercept
        svms.n_features_in_ = self.coef.shape[1]
        svms.classes_ = self.rules.classes
        svms.history_ = pd.DataFrame(self.history, columns=HISTORY_COLUMNS)
        svms.hardest_ = self._hardest(n_hardest)
        final = svms.history_.drop_duplicates("class", keep="last")
        svms._warn_of_gaps(final["class"], final["gap"])
        return svms

    def _take_up(self, choose, image, number, pass_number):
        """Let each class take up the negatives that `choose` gives it, unless it has them already."""
        regions = self.rules.regions(image, number)
        if not len(regions.features):
            return
        in_pool = self.pool.labels_of(regions)
        new = choose(regions) & (in_pool == 0) & self.trainable
        if not self.pool.has_room_for(int(new.any(axis=1).sum())):
            self._train(self.n_added > 0, pass_number, number - 1)
        self.pool.add(regions, -new.astype(np.int8))
        self.n_added += new.sum(axis=0)

    def _hard_negatives(self, regions):
        scores = regions.features @ self.coef.T + self.intercept
        return is_hard(scores, -regions.negative.astype(np.int8), hard_score=self.cache_rules.hard_score)

    def _train(self, due, pass_number, image_number):
        """Train the classes that are `due` and have examples, record it, and evict what has become easy."""
        pool = self.pool
        labels = pool.labels[: pool.size]
        has_negatives = (labels == -1).any(axis=0)
        chosen = np.flatnonzero(due & self.trainable & has_negatives)
        if not len(chosen):
            return
        solutions = solve(
            pool.features[: pool.size],
            labels,
            pool.alphas[: pool.size],
            pool.squared_norms[: pool.size],
            classes=chosen,
            **self.solver_options,
        )
        in_memory = len(pool)
        for k, solution in zip(chosen, solutions, strict=True):
            self.coef[k], self.intercept[k] = solution.coef, solution.intercept
            negative = labels[solution.rows, k] == -1
            easy = solution.rows[negative & (solution.scores < self.cache_rules.evict_score)]
            pool.remove(easy, k)
            self.history.append(
                {
                    "class": self.rules.classes[k],
                    "pass": pass_number,
                    "image": image_number,
                    "positives": int((~negative).sum()),
                    "negatives": int(negative.sum()),
                    "added": int(self.n_added[k]),
                    "evicted": len(easy),
                    "positive_loss": solution.positive_loss,
                    "negative_loss": solution.negative_loss,
                    "objective": solution.objective,
                    "gap": solution.gap,
                    "rows_in_memory": in_memory,
                }
            )
        self.trained[chosen] = True
        self.n_added[chosen] = 0

    def _hardest(self, n_hardest):
        pool, frames = self.pool, []
        for k in np.flatnonzero(self.trained):
            slots = np.flatnonzero(pool.labels[: pool.size, k] == -1)
            scores = pool.features[slots] @ self.coef[k] + self.intercept[k]
            best = np.argsort(-scores, kind="stable")[:n_hardest]
            slots, scores = slots[best], scores[best]
            numbers, regions = pool.origins[slots].T
            image_ids = [self.image_ids[number - 1] for number in numbers.tolist()]
            columns = (self.rules.classes[k], image_ids, regions, scores, *pool.boxes[slots].T)
            frames.append(pd.DataFrame(dict(zip(HARDEST_COLUMNS, columns, strict=True))))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=HARDEST_COLUMNS)

    def _name_classes_without(self, what, lacking):
        for k in np.flatnonzero(lacking):
            warnings.warn(
                f"class {self.rules.classes[k]} has no {what} region in these images; "
                "its detector will never fire",
                stacklevel=4,
            )
