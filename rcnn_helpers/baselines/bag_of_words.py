"""A bag of visual words with a spatial pyramid: how images were classified before the networks.

The recipe of the time, and in its outlines that of UVA's detector, which the paper compares itself with (sec. 2.2;
Uijlings et al., Selective Search for Object Recognition, IJCV 2013, who use colour SIFTs, more words and an
intersection kernel):

1. SIFT descriptors (Lowe 2004) on a dense grid of points, in patches of a few sizes, square-rooted (Arandjelovic
   and Zisserman, CVPR 2012): once an image, whatever the number of its regions.
2. A vocabulary: the centres of k-means on descriptors of training images. Each patch is the word nearest to it.
3. Of a region, how often each word occurs: in the whole of it and in each cell of finer grids over it (Lazebnik,
   Schmid, Ponce: Beyond Bags of Features, CVPR 2006).
4. The counts of each grid are divided by their sum and square-rooted. The product of two such histograms is
   Hellinger's, which lets a linear SVM do what else takes a kernel.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from rcnn_helpers.baselines.descriptors import Descriptor, require_positive
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.sift import SIFT_DIM, dense_sift

_ASSIGNED_AT_A_TIME = 4096


@dataclass(frozen=True)
class WordMap:
    """The visual words of an image, on a grid of points.

    Attributes
    ----------
    words : int32 [sizes, rows, columns]
        For each patch size and point the index of the word.
    first, step : int
        Column or row, in pixels, of the first point, and the distance to the next.
    """

    words: np.ndarray
    first: int
    step: int


class BagOfWords(Descriptor):
    """How often each visual word occurs in a region, and where in it.

    Parameters
    ----------
    words : int
        Size of the vocabulary.
    levels : tuple of int
        Grids over the region: ``(1, 2, 4)`` are the whole region, 2 x 2 and 4 x 4 cells. The descriptor has
        ``words * (1 + 4 + 16)`` figures: level by level, cell by cell in rows, word by word.
    step : int
        Pixels between neighbouring points.
    patches : tuple of int
        Sides of the patches, in pixels.
    samples : int
        Patches of training images that the vocabulary is learnt from.
    sampled_images : int
        They come from at most so many images, drawn at random.
    seed : int
        Decides those patches and the start of k-means.

    Attributes
    ----------
    vocabulary_ : float32 [words, 128]
    """

    name = "bag of words"
    keeps_prepared = True

    def __init__(
        self,
        words: int = 500,
        *,
        levels: tuple[int, ...] = (1, 2, 4),
        step: int = 4,
        patches: tuple[int, ...] = (16, 24),
        samples: int = 50_000,
        sampled_images: int = 100,
        seed: int = 0,
    ):
        require_positive("bag of words", words=words, step=step, samples=samples)
        require_positive("bag of words", sampled_images=sampled_images)
        for name, values in (("levels", levels), ("patches", patches)):
            if not values:
                raise SettingsError(f"{name} of bag of words is empty; give at least one number")
            for value in values:
                require_positive("bag of words", **{name: value})
        if samples < words:
            raise SettingsError(
                f"{samples} samples cannot make a vocabulary of {words} words; take as many as words, or more"
            )
        self.words, self.levels, self.step = words, tuple(levels), step
        self.patches, self.samples = tuple(patches), samples
        self.sampled_images, self.seed = sampled_images, seed
        self.dim = words * sum(level**2 for level in self.levels)

    def fit(self, dataset, *, progress: bool = False) -> "BagOfWords":
        """Learn the vocabulary from patches of training images, as many from each.

        Raises
        ------
        DatasetError
            If the images have fewer patches than there are words.
        """
        from sklearn.cluster import MiniBatchKMeans
        from tqdm.auto import tqdm

        rng = np.random.default_rng(self.seed)
        n_images = min(self.sampled_images, len(dataset.ids))
        chosen = [dataset.ids[i] for i in sorted(rng.choice(len(dataset.ids), size=n_images, replace=False))]
        quota = -(-self.samples // max(1, n_images))
        pieces = []
        for image_id in tqdm(chosen, desc="patches", unit="image", disable=not progress, leave=False):
            found = self._sift(dataset.image(image_id)).reshape(-1, SIFT_DIM)
            pieces.append(found[rng.choice(len(found), size=min(quota, len(found)), replace=False)])
        patches = np.concatenate(pieces) if pieces else np.empty((0, SIFT_DIM), np.float32)
        if len(patches) < self.words:
            raise DatasetError(
                f"{n_images} images have {len(patches)} patches, too few for {self.words} words; "
                "give more images, a smaller step or fewer words"
            )
        means = MiniBatchKMeans(
            self.words, batch_size=max(2048, 2 * self.words), n_init=1, random_state=self.seed
        )
        self.vocabulary_ = means.fit(patches).cluster_centers_.astype(np.float32)
        return self

    def prepare(self, image: np.ndarray) -> WordMap:
        """Find the word of each point and patch size of an image."""
        self._require_fitted()
        patches = self._sift(image)
        words = nearest_words(patches.reshape(-1, patches.shape[-1]), self.vocabulary_)
        return WordMap(words.reshape(patches.shape[:-1]), self.step // 2, self.step)

    def describe_prepared(self, prepared: WordMap, boxes: np.ndarray) -> np.ndarray:
        """Count the words in regions, float32 [N, dim]; see `describe`."""
        counts = count_words(prepared, boxes, n_words=self.words, levels=self.levels)
        return _rooted_shares(counts, [self.words * level**2 for level in self.levels])

    def identity(self) -> dict:
        """Everything that decides the descriptor, as JSON values."""
        return {
            "descriptor": type(self).name,
            "words": self.words,
            "levels": list(self.levels),
            "step": self.step,
            "patches": list(self.patches),
            "samples": self.samples,
            "sampled_images": self.sampled_images,
            "seed": self.seed,
        }

    def _sift(self, image: np.ndarray) -> np.ndarray:
        return dense_sift(image, step=self.step, patches=self.patches)

    def _require_fitted(self) -> None:
        if not hasattr(self, "vocabulary_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this bag of words has no vocabulary yet; call fit(dataset) first")


def nearest_words(patches: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Index of the word nearest to each patch, int32 [N], from float32 [N, D] and [words, D]."""
    # |p - w|^2 = |p|^2 - 2 p.w + |w|^2, and |p|^2 is the same for all words.
    half_norms = (vocabulary**2).sum(axis=1) / 2
    nearest = np.empty(len(patches), np.int32)
    for start in range(0, len(patches), _ASSIGNED_AT_A_TIME):
        part = slice(start, start + _ASSIGNED_AT_A_TIME)
        nearest[part] = (patches[part] @ vocabulary.T - half_norms).argmax(axis=1)
    return nearest


def count_words(word_map: WordMap, boxes: np.ndarray, *, n_words: int, levels: tuple[int, ...]) -> np.ndarray:
    """Count the words of each cell of each grid over each box; a patch counts where its middle lies.

    Parameters
    ----------
    word_map : WordMap
    boxes : float32 [N, 4]
    n_words : int
    levels : tuple of int
        Cells along a side of each grid.

    Returns
    -------
    float32 [N, n_words * sum of squared levels]
        Level by level, cell by cell in rows, word by word.
    """
    counts = np.zeros((len(boxes), n_words * sum(level**2 for level in levels)), np.float32)
    _count(
        word_map.words,
        word_map.first,
        word_map.step,
        np.ascontiguousarray(boxes, dtype=np.float64),
        np.array(levels),
        n_words,
        counts,
    )
    return counts


def _rooted_shares(counts: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Divide the counts of each level by their sum and take the root, in place: each level then has L2 norm 1."""
    start = 0
    for length in lengths:
        level = counts[:, start : start + length]
        level /= np.maximum(level.sum(axis=1, keepdims=True), 1)
        start += length
    return np.sqrt(counts, out=counts)


@njit(cache=True, nogil=True)
def _count(words, first, step, boxes, levels, n_words, counts):
    n_sizes, n_rows, n_columns = words.shape
    for i in range(len(boxes)):
        x1, y1, x2, y2 = boxes[i]
        # The middle of pixel p lies at p + 0.5: the points whose middle is in [x1, x2) and [y1, y2).
        first_column = max(0, int(np.ceil((x1 - 0.5 - first) / step)))
        last_column = min(n_columns, int(np.ceil((x2 - 0.5 - first) / step)))
        first_row = max(0, int(np.ceil((y1 - 0.5 - first) / step)))
        last_row = min(n_rows, int(np.ceil((y2 - 0.5 - first) / step)))
        for row in range(first_row, last_row):
            down = (first + row * step + 0.5 - y1) / (y2 - y1)
            for column in range(first_column, last_column):
                across = (first + column * step + 0.5 - x1) / (x2 - x1)
                before = 0
                for level in levels:
                    cell = int(down * level) * level + int(across * level)
                    for size in range(n_sizes):
                        counts[i, before + cell * n_words + words[size, row, column]] += 1
                    before += level * level * n_words
