import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from rcnn_helpers.baselines import BagOfWords
from rcnn_helpers.baselines.bag_of_words import WordMap, count_words, nearest_words
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.sift import dense_sift


class Pictures:
    """A data set without annotations."""

    def __init__(self, images):
        self.images = images
        self.ids = tuple(images)

    def image(self, image_id):
        return self.images[image_id]


@pytest.fixture
def image(rng):
    return cv2.GaussianBlur(rng.integers(0, 256, (50, 62, 3), dtype=np.uint8), (0, 0), 2)


@pytest.fixture
def pictures(image):
    return Pictures({"a": image, "b": image[::-1].copy()})


def counts_reference(word_map, box, n_words, levels):
    """Box by box, cell by cell, point by point."""
    x1, y1, x2, y2 = (float(value) for value in box)
    n_sizes, n_rows, n_columns = word_map.words.shape
    counts = []
    for level in levels:
        cells = np.zeros((level, level, n_words))
        for row in range(n_rows):
            for column in range(n_columns):
                x = word_map.first + column * word_map.step + 0.5
                y = word_map.first + row * word_map.step + 0.5
                if x1 <= x < x2 and y1 <= y < y2:
                    cell = cells[int((y - y1) / (y2 - y1) * level), int((x - x1) / (x2 - x1) * level)]
                    for size in range(n_sizes):
                        cell[word_map.words[size, row, column]] += 1
        counts.append(cells.ravel())
    return np.concatenate(counts)


corner = st.integers(0, 60) | st.floats(0, 60, width=32)


@given(
    corners=st.tuples(corner, corner),
    sides=st.tuples(st.integers(1, 40) | st.floats(0.25, 40, width=32), st.integers(1, 40)),
    step=st.integers(1, 6),
    levels=st.sampled_from([(1,), (1, 2), (1, 2, 4), (3,)]),
)
def test_counts_are_those_of_a_slow_count(corners, sides, step, levels):
    words = np.random.default_rng(step).integers(0, 5, (2, 60 // step, 70 // step), dtype=np.int32)
    word_map = WordMap(words, step // 2, step)
    box = np.float32([*corners, corners[0] + sides[0], corners[1] + sides[1]])
    found = count_words(word_map, box[None], n_words=5, levels=levels)
    assert_array_equal(found[0], counts_reference(word_map, box, 5, levels))


def test_each_level_counts_every_point_in_the_box_once(rng):
    word_map = WordMap(rng.integers(0, 7, (3, 20, 25), dtype=np.int32), 1, 2)
    boxes = np.float32([[0, 0, 50, 40], [3, 5, 20, 33], [10, 10, 11, 11]])
    found = count_words(word_map, boxes, n_words=7, levels=(1, 2, 4))
    by_level = np.split(found, [7, 7 * 5], axis=1)
    # Points lie at odd pixels: 25 x 20 of them; columns 3 to 19 and rows 5 to 31; none in the last box.
    for level in by_level:
        assert_array_equal(level.sum(axis=1), [3 * 500, 3 * 9 * 14, 0])


def test_descriptors_are_rooted_shares(pictures, image):
    bag = BagOfWords(6, levels=(1, 2), patches=(12,), step=3, samples=400).fit(pictures)
    boxes = np.float32([[0, 0, 62, 50], [10, 5, 40, 45]])
    found = bag.describe(image, boxes)
    assert found.shape == (2, bag.dim) == (2, 6 * 5)
    word_map = bag.prepare(image)
    for box, row in zip(boxes, found, strict=True):
        counts = counts_reference(word_map, box, 6, (1, 2))
        whole, cells = counts[:6], counts[6:]
        wanted = np.sqrt(np.concatenate([whole / whole.sum(), cells / cells.sum()]))
        assert_allclose(row, wanted, rtol=1e-5)
    # A box without any point is described by zeros.
    assert_array_equal(bag.describe(image, [[2, 2, 3, 3]]), 0)


def test_words_are_the_nearest_centres(rng):
    patches, vocabulary = rng.random((9000, 16), np.float32), rng.random((40, 16), np.float32)
    distance = ((patches[:, None] - vocabulary) ** 2).sum(axis=2)
    found = nearest_words(patches, vocabulary)
    chosen = distance[np.arange(len(patches)), found]
    assert_allclose(chosen, distance.min(axis=1), atol=1e-5)
    assert (found == distance.argmin(axis=1)).mean() > 0.999


def test_a_picture_of_two_textures_has_two_words():
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[(np.arange(64) // 4) % 2 == 0, :64] = 255
    stripes[:, 64:][:, (np.arange(64) // 4) % 2 == 0] = 255
    bag = BagOfWords(2, levels=(1,), patches=(16,), samples=500).fit(Pictures({"a": stripes}))
    left, right = bag.describe(stripes, [[12, 12, 48, 52], [80, 12, 116, 52]])
    assert {left.argmax(), right.argmax()} == {0, 1}
    assert left.max() > 0.99 and right.max() > 0.99


def test_equal_seeds_learn_equal_vocabularies(pictures):
    first, again, other = (BagOfWords(8, samples=200, seed=s).fit(pictures).vocabulary_ for s in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_dense_sift_is_the_rooted_sift_of_each_patch(image):
    found = dense_sift(image, step=8, patches=(12, 24))
    assert found.shape == (2, 6, 8, 128)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, wanted = cv2.SIFT_create().compute(grey, [cv2.KeyPoint(4 + 3 * 8, 4 + 2 * 8, 24 / 6, 0)])
    assert_allclose(found[1, 2, 3], np.sqrt(wanted[0] / wanted[0].sum()), rtol=1e-5)
    assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-5)


def test_it_says_what_is_missing(pictures, image):
    with pytest.raises(NotFittedError, match="no vocabulary yet"):
        BagOfWords().describe(image, [[0, 0, 9, 9]])
    with pytest.raises(DatasetError, match="too few for 5000 words"):
        BagOfWords(5000, samples=5000).fit(pictures)
    with pytest.raises(SettingsError, match="100 samples cannot make a vocabulary of 200"):
        BagOfWords(200, samples=100)
    with pytest.raises(SettingsError, match="levels of bag of words is 0"):
        BagOfWords(levels=(1, 0))
    with pytest.raises(SettingsError, match="patches of bag of words is empty"):
        BagOfWords(patches=())
