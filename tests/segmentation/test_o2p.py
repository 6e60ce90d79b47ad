"""Second-order pooling: the logarithm against SciPy, the pooling against a loop over points."""

import numpy as np
import pytest
from scipy.linalg import expm, logm
from sklearn.exceptions import NotFittedError

from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.segmentation.o2p import (
    SecondOrderPooling,
    matrix_logarithm,
    second_order_average,
    upper_triangle,
)
from rcnn_helpers.sift import dense_sift


class Pictures:
    """Noise with a bright disc, and regions on it."""

    ids = ("a", "b")
    classes = ("disc",)

    def image(self, image_id):
        rng = np.random.default_rng(ord(image_id))
        picture = rng.integers(0, 120, (60, 80, 3)).astype(np.uint8)
        picture[disc(60, 80)] += 130
        return picture


class Regions:
    """Masks by hand, with their tightest boxes."""

    def __init__(self, masks):
        self.masks = masks
        self.boxes = np.array([tight_box(mask) for mask in masks], np.float32)

    def __len__(self):
        return len(self.masks)

    def mask(self, i):
        return self.masks[i]


def disc(height, width, radius=18):
    y, x = np.mgrid[:height, :width]
    return (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2


def tight_box(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def covariances(rng, n, size):
    roots = rng.standard_normal((n, size + 3, size))
    return np.einsum("nki,nkj->nij", roots, roots) / size


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_logarithm_against_scipy(size):
    matrices = covariances(np.random.default_rng(size), 3, size)
    found = matrix_logarithm(matrices, floor=0.01)
    for matrix, logarithm in zip(matrices, found, strict=True):
        np.testing.assert_allclose(logarithm, logm(matrix + 0.01 * np.eye(size)), atol=1e-8)
        np.testing.assert_allclose(expm(logarithm), matrix + 0.01 * np.eye(size), atol=1e-8)


def test_logarithm_of_a_singular_matrix_is_finite_and_known():
    # x x^T of x = (3, 4): eigenvalue 25 along (0.6, 0.8), 0 across.
    found = matrix_logarithm([[9.0, 12.0], [12.0, 16.0]], floor=1e-3)
    along, across = np.array([0.6, 0.8]), np.array([0.8, -0.6])
    expected = np.log(25.001) * np.outer(along, along) + np.log(1e-3) * np.outer(across, across)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_triangle_keeps_the_product_of_matrices():
    a, b = covariances(np.random.default_rng(0), 2, 6)
    assert upper_triangle(a) @ upper_triangle(b) == pytest.approx((a * b).sum())
    assert upper_triangle(np.stack([a, b])).shape == (2, 21)


def test_average_against_a_loop():
    rows = np.random.default_rng(1).standard_normal((20, 4))
    slow = sum(np.outer(row, row) for row in rows) / 20
    np.testing.assert_allclose(second_order_average(rows), slow, rtol=1e-5)
    assert not second_order_average(np.empty((0, 4))).any()


def slow_vector(pooling, image, mask, box):
    """One region, point by point."""
    import cv2

    sift = dense_sift(image, step=pooling.step, patches=pooling.patches)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    total, n = 0.0, 0
    for row in range(sift.shape[1]):
        for column in range(sift.shape[2]):
            x = pooling.step // 2 + pooling.step * column
            y = pooling.step // 2 + pooling.step * row
            if not mask[y, x]:
                continue
            for k, patch in enumerate(pooling.patches):
                light, a, b = lab[y, x]
                place = [(x + 0.5 - box[0]) / (box[2] - box[0]), (y + 0.5 - box[1]) / (box[3] - box[1])]
                colours = [*(image[y, x] / 255), light / 100, a / 255 + 0.5, b / 255 + 0.5]
                one = [
                    *(pooling.components_ @ sift[k, row, column]),
                    *colours,
                    patch / max(pooling.patches),
                    *place,
                ]
                total, n = total + np.outer(one, one), n + 1
    logarithm = logm(total / n + pooling.floor * np.eye(len(one)))
    vector = upper_triangle(logarithm)
    return np.sign(vector) * np.abs(vector) ** pooling.power


def test_regions_against_a_loop_over_points():
    pictures = Pictures()
    pooling = SecondOrderPooling(5, step=6, patches=(12, 18), samples=200).fit(pictures)
    image = pictures.image("a")
    masks = [disc(60, 80), ~disc(60, 80), disc(60, 80, radius=6)]
    regions = Regions(masks)
    found = pooling.describe(image, regions)
    assert found.shape == (3, pooling.dim) == (3, 14 * 15 // 2) and found.dtype == np.float32
    for vector, mask, box in zip(found, masks, regions.boxes.tolist(), strict=True):
        np.testing.assert_allclose(vector, slow_vector(pooling, image, mask, box), atol=5e-3)


def test_only_the_inside_of_a_region_counts():
    pictures = Pictures()
    # Patches of the smallest region reach over its border; colours and places do not.
    pooling = SecondOrderPooling(3, patches=(6,), samples=200).fit(pictures)
    image = pictures.image("a")
    inner = disc(60, 80, radius=8)
    changed = image.copy()
    changed[~disc(60, 80, radius=17)] = 0
    found = [pooling.describe(each, Regions([inner]))[0] for each in (image, changed)]
    np.testing.assert_allclose(*found, atol=5e-3)  # SIFT blurs a little across
    outside = [pooling.describe(each, Regions([~inner]))[0] for each in (image, changed)]
    assert np.abs(outside[0] - outside[1]).max() > 0.1


def test_a_region_between_the_points_takes_the_nearest():
    pictures = Pictures()
    pooling = SecondOrderPooling(3, step=8, samples=200).fit(pictures)
    between = np.zeros((60, 80), bool)
    between[21:23, 30:32] = True  # the grid has points at 4, 12, 20, 28, ...
    nearest = np.zeros((60, 80), bool)
    nearest[20, 28] = True
    by_hand = Regions([nearest])
    by_hand.boxes = Regions([between]).boxes  # places are shares of this box
    image = pictures.image("a")
    assert (pooling.describe(image, Regions([between])) == pooling.describe(image, by_hand)).all()


def test_no_regions():
    pooling = SecondOrderPooling(3, samples=100).fit(Pictures())
    regions = Regions([])
    regions.boxes = np.zeros((0, 4), np.float32)
    assert pooling.describe(Pictures().image("a"), regions).shape == (0, pooling.dim)


def test_all_of_sift_needs_no_components():
    pooling = SecondOrderPooling(128).fit(Pictures())
    assert (pooling.components_ == np.eye(128)).all() and pooling.dim == 137 * 138 // 2


def test_equal_seeds_learn_the_same_and_identity_names_the_options():
    first, second = (SecondOrderPooling(4, samples=100, seed=3).fit(Pictures()) for _ in range(2))
    assert (first.components_ == second.components_).all()
    assert first.identity()["components"] == 4 and first.identity()["patches"] == [16, 24]


def test_bad_options_and_use():
    with pytest.raises(SettingsError, match="components"):
        SecondOrderPooling(0)
    with pytest.raises(SettingsError, match="power"):
        SecondOrderPooling(power=0)
    with pytest.raises(NotFittedError):
        SecondOrderPooling().describe(Pictures().image("a"), Regions([disc(60, 80)]))

    class Nothing(Pictures):
        ids = ()

    with pytest.raises(DatasetError, match="no image"):
        SecondOrderPooling().fit(Nothing())
    with pytest.raises(DatasetError, match="too few"):
        SecondOrderPooling(100, step=50).fit(Pictures())
