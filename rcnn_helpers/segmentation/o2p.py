"""Second-order pooling: what regions were described by before networks (the baseline of Tables 5 to 7).

O2P (Carreira, Caseiro, Batista, Sminchisescu, "Semantic segmentation with second-order pooling", ECCV 2012), here
on the same regions as for the network:

1. SIFT descriptors on a dense grid of points, for a few patch sizes, once an image; each enriched with the colour
   of its point, where in the region's box it lies, and its patch size.
2. Of the points inside a region, the mean of the products of each descriptor ``x`` with itself: the symmetric
   ``G = mean(x x^T)``. An average of descriptors would forget which values occur together; ``G`` does not.
3. The matrix logarithm ``log(G + floor I)``. Such matrices form a curved space, and the logarithm maps it to a
   flat one, where a linear regressor is at home.
4. The upper triangle, as ``log G`` is symmetric; and each value ``v`` becomes ``sign(v) |v|^power``.

Differences from O2P: one descriptor instead of three (SIFT over the region, the same with the background masked,
and local binary patterns), and its 128 values shortened by principal components, which leaves 1,225 values a
region instead of tens of thousands. Values off the diagonal count sqrt(2) times, so that the product of two
vectors is that of the two matrices.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.sift import SIFT_DIM, dense_sift

# Colour (RGB and Lab, in 0..1), place in the region's box (x, y), and patch size.
_COLOURS, _PLACES, _SIZES = 6, 2, 1
_EXTRA = _COLOURS + _PLACES + _SIZES
_LOGARITHMS_AT_A_TIME = 256


def matrix_logarithm(matrices, *, floor: float = 1e-3) -> np.ndarray:
    """Logarithms of symmetric, positive semi-definite matrices, float64 [..., K, K].

    Parameters
    ----------
    matrices : array [..., K, K]
        Symmetric; eigenvalues that rounding has made negative count as 0.
    floor : float
        Added to all eigenvalues first; a mean of few products has many of 0, whose logarithm is not finite.

    Examples
    --------
    >>> matrix_logarithm([[1.0, 0.0], [0.0, 1.0]], floor=0).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    values, axes = np.linalg.eigh(np.asarray(matrices, dtype=np.float64))
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.maximum(values, 0) + floor)
    return (axes * logarithms[..., None, :]) @ np.swapaxes(axes, -1, -2)


def upper_triangle(matrices) -> np.ndarray:
    """Symmetric matrices [..., K, K] as vectors [..., K (K + 1) / 2] with the same dot product.

    Row by row from the diagonal on; an entry off the diagonal stands for two and counts sqrt(2) times.

    Examples
    --------
    >>> upper_triangle([[1.0, 2.0], [2.0, 3.0]]).round(3).tolist()
    [1.0, 2.828, 3.0]
    """
    matrices = np.asarray(matrices)
    rows, columns = np.triu_indices(matrices.shape[-1])
    return matrices[..., rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def second_order_average(descriptors) -> np.ndarray:
    """Mean over rows of ``x x^T``, float64 [K, K], from descriptors [n, K]; all 0 for no rows."""
    descriptors = np.asarray(descriptors, dtype=np.float32)
    return (descriptors.T @ descriptors).astype(np.float64) / max(len(descriptors), 1)


class SecondOrderPooling(BaseEstimator):
    """Describe regions of any shape by second-order pooling.

    Parameters
    ----------
    components : int
        Principal components that SIFT's 128 values are shortened to; 128 leaves them as they are.
    step : int
        Pixels between neighbouring points.
    patches : tuple of int
        Sides of the SIFT patches, in pixels.
    power : float
        Of the power normalisation; 1 changes nothing, O2P takes 0.75.
    floor : float
        Added to eigenvalues before the logarithm.
    samples : int
        SIFT descriptors that the components are learned from.
    seed : int
        Decides which.

    Attributes
    ----------
    components_ : float32 array [components, 128]
    dim : int
        Length of a region's vector: ``K (K + 1) / 2`` with ``K = components + 9``.
    """

    name = "O2P"

    def __init__(
        self,
        components: int = 40,
        *,
        step: int = 4,
        patches: tuple[int, ...] = (16, 24),
        power: float = 0.75,
        floor: float = 1e-3,
        samples: int = 50_000,
        seed: int = 0,
    ):
        if not 1 <= components <= SIFT_DIM:
            raise SettingsError(f"components must lie between 1 and {SIFT_DIM}, got {components}")
        for name, value in (("step", step), ("power", power), ("floor", floor), ("samples", samples)):
            if not value > 0:
                raise SettingsError(f"{name} must be positive, got {value}")
        self.components, self.step, self.patches = components, step, patches
        self.power, self.floor, self.samples, self.seed = power, floor, samples, seed

    @property
    def dim(self) -> int:
        """Length of a region's vector."""
        n_values = self.components + _EXTRA
        return n_values * (n_values + 1) // 2

    def fit(self, dataset, *, progress: bool = False) -> "SecondOrderPooling":
        """Learn the principal components of SIFT from points of all images, as many from each.

        Raises
        ------
        DatasetError
            If there is no image.
        """
        from sklearn.decomposition import PCA
        from tqdm.auto import tqdm

        if not len(dataset.ids):
            raise DatasetError("there is no image to learn the components of SIFT from; give at least one")
        rng = np.random.default_rng(self.seed)
        quota = -(-self.samples // len(dataset.ids))
        pieces = []
        for image_id in tqdm(dataset.ids, desc="SIFT", unit="image", disable=not progress, leave=False):
            found = dense_sift(dataset.image(image_id), step=self.step, patches=self.patches).reshape(
                -1, SIFT_DIM
            )
            pieces.append(found[rng.choice(len(found), size=min(quota, len(found)), replace=False)])
        sample = np.concatenate(pieces)
        if self.components == SIFT_DIM:
            self.components_ = np.eye(SIFT_DIM, dtype=np.float32)
            return self
        if len(sample) < self.components:
            raise DatasetError(
                f"{len(dataset.ids)} images have {len(sample)} points, too few for {self.components} components; "
                "give more or larger images"
            )
        pca = PCA(self.components, random_state=self.seed).fit(sample)
        # Descriptors are turned, not centred: their mean is one of the things that G tells.
        self.components_ = pca.components_.astype(np.float32)
        return self

    def describe(self, image: np.ndarray, regions) -> np.ndarray:
        """Return the vector of each region, float32 [N, dim].

        A region so small that no point of the grid lies inside is described by the point nearest to the middle of
        its box.

        Parameters
        ----------
        image : uint8 [H, W, 3], RGB
        regions : SegmentRegions
            Anything with a length, ``boxes`` [N, 4] and ``mask(i)``, bool [H, W].
        """
        check_is_fitted(self, "components_")
        points, values = self._points_of(image)
        vectors = np.empty((len(regions), self.dim), np.float32)
        for start in range(0, len(regions), _LOGARITHMS_AT_A_TIME):
            some = range(start, min(start + _LOGARITHMS_AT_A_TIME, len(regions)))
            pooled = np.stack([self._pooled(points, values, regions, i) for i in some])
            logarithms = upper_triangle(matrix_logarithm(pooled, floor=self.floor))
            vectors[some.start : some.stop] = np.sign(logarithms) * np.abs(logarithms) ** self.power
        return vectors

    def identity(self) -> dict:
        """Everything that decides the vectors beside the training images, as JSON values."""
        return {"descriptor": self.name} | {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.get_params().items()
        }

    def _pooled(self, points, values, regions, i):
        """The mean product of the enriched descriptors inside region i, [K, K]."""
        x1, y1, x2, y2 = np.asarray(regions.boxes[i], dtype=np.float32)
        inside = np.flatnonzero(regions.mask(i)[points[:, 1], points[:, 0]])
        if len(inside) == 0:
            inside = np.abs(points - [(x1 + x2) / 2, (y1 + y2) / 2]).sum(axis=1).argmin(keepdims=True)
        # Middles of pixels, as shares of the box.
        places = (points[inside] + 0.5 - [x1, y1]) / [max(x2 - x1, 1), max(y2 - y1, 1)]
        per_size = [np.concatenate([values[k][inside], places], axis=1) for k in range(len(values))]
        return second_order_average(np.concatenate(per_size))

    def _points_of(self, image):
        """Points of the grid, int [P, 2] as (x, y), and what describes each, float32 [sizes, P, K - 2]."""
        import cv2

        sift = dense_sift(image, step=self.step, patches=self.patches)
        n_sizes, n_rows, n_columns = sift.shape[:3]
        first = self.step // 2
        x, y = np.meshgrid(first + self.step * np.arange(n_columns), first + self.step * np.arange(n_rows))
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        rgb = image.astype(np.float32) / 255
        lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB) / [100, 255, 255] + [0, 0.5, 0.5]
        colours = np.concatenate([rgb, lab], axis=2)[points[:, 1], points[:, 0]]
        values = np.empty((n_sizes, len(points), self.components + _COLOURS + _SIZES), np.float32)
        for k, patch in enumerate(self.patches):
            short = sift[k].reshape(-1, SIFT_DIM) @ self.components_.T
            relative_size = np.full((len(points), 1), patch / max(self.patches))
            values[k] = np.concatenate([short, colours, relative_size], axis=1)
        return points, values
