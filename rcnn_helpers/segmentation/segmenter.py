"""The segmenter as a whole: regions in, described and scored, the best pasted into a label map (sec. 5).

`Segmenter` puts the stages together. Each lives in a module of its own and can be used alone:

1. `regions` finds masks that may cover an object;
2. `features` describes them by a network, in full or by their foreground (or `o2p` by second-order pooling);
3. `svr` predicts how well each of them covers an object of each class;
4. `pasting` makes one label map of the best; its two numbers are chosen on the training pictures;
5. `accuracy` compares label maps with the truth, by VOC's rules.
"""

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.images import shrink_to_fit
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy, segmentation_accuracy
from rcnn_helpers.segmentation.features import (
    RegionFolder,
    digest_regions,
    extract_segmentation,
    parts_of,
    region_features,
)
from rcnn_helpers.segmentation.pasting import PastingChoice, paste
from rcnn_helpers.segmentation.regions import (
    MAX_REGIONS,
    MIN_PIXELS,
    SegmentRegions,
    class_overlaps,
    segment_regions,
)
from rcnn_helpers.storage import atomic_write

# Larger pictures are shrunk before they are segmented, as they are before detection.
LONGEST_SIDE = 1000


class Segmenter:
    """Regions, their features, one support vector regressor a class, and pasting.

    Parameters
    ----------
    network : str, Network or descriptor
        Backbone, by name or as returned by `networks.load_network`; or something else that describes regions, with
        ``fit(dataset)``, ``describe(image, regions)`` and ``identity()``, such as `SecondOrderPooling`.
    weights : str or path, optional
        Weights of a backbone given by name: ``"default"``, ``"random"`` or a file.
    features : {"full", "fg", "full+fg"}
        What of a region the network is shown. Without meaning for a descriptor.
    layer : str
        Layer of the network; fc6 is the paper's best (Table 5).
    max_regions, min_pixels : int
        See `segment_regions`.
    C, epsilon : float
        Of the regressors, see `SupportVectorRegressors`.
    max_background : int, optional
        Train on at most so many regions that overlap no object; by default on all. All features that are trained
        on must fit into memory: 4 KB a region for a thousand of them.
    folds : int
        Threshold and suppression are chosen on scores of training pictures. With 2 or more folds, each picture is
        scored by regressors that have not seen it, which are then thrown away; with 1 by the final ones, which
        predict their own training regions too well.
    precision : str
        ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``, for the network's forward pass.
    device : str, optional
        ``"cuda"``, ``"mps"`` or ``"cpu"``; by default the best one present.
    seed : int
        Decides the folds, the sample of background regions, and the solver's order.

    Attributes
    ----------
    classes_ : tuple of str
    regressors_ : SupportVectorRegressors
    pasting_ : Pasting
        Threshold and suppression.
    seconds_ : dict from stage to seconds
        Wall time of each stage of the last call.
    """

    def __init__(
        self,
        network="quarter_tnet",
        *,
        weights=None,
        features: str = "full+fg",
        layer: str = "fc6",
        max_regions: int = MAX_REGIONS,
        min_pixels: int = MIN_PIXELS,
        C: float = 1e-3,
        epsilon: float = 0.1,
        max_background: int | None = None,
        folds: int = 2,
        precision: str = "auto",
        device: str | None = None,
        seed: int = 0,
    ):
        if isinstance(network, str):
            from rcnn_helpers.networks import load_network

            network = load_network(network, weights=weights, device=device)
        self.network = network
        self.features = features
        self.layer = layer
        self.max_regions, self.min_pixels = max_regions, min_pixels
        self.C, self.epsilon = C, epsilon
        self.max_background = max_background
        self.folds = folds
        self.precision = precision
        self.seed = seed
        self.seconds_: dict[str, float] = {}
        self._check_choices()

    # -- training ------------------------------------------------------------------------------------------

    def fit(
        self,
        dataset,
        *,
        regions: Mapping[str, SegmentRegions] | None = None,
        cache=None,
        progress: bool = True,
    ) -> "Segmenter":
        """Train one regressor a class on the overlaps of regions with objects, and choose how to paste.

        Parameters
        ----------
        dataset : VOCDataset or the like
            With ``classes``, ``ids``, ``image(id)`` and ``segmentation(id)``.
        regions : mapping of image id to SegmentRegions, optional
            Masks to use instead of those of the merge trees; see `regions_from_masks`.
        cache : path, optional
            Folder in which regions and features survive this call, so that an interrupted run resumes. Without it
            they live in a temporary folder.
        progress : bool
            Show progress bars.

        Raises
        ------
        DatasetError
            If no region overlaps an object, an image has no masks, or there are fewer images than folds.
        """
        self.classes_ = tuple(dataset.classes)
        if len(dataset.ids) < self.folds:
            raise DatasetError(
                f"{len(dataset.ids)} images cannot be split into {self.folds} folds; give more images or folds=1"
            )
        with _working_folder(cache) as folder:
            if self.is_descriptor:
                with self._timed("learning the descriptor"):
                    self.network.fit(dataset)
            regions = self._regions(dataset, regions, folder, progress)
            read = self._describe(dataset, regions, folder, progress)
            with self._timed("reading features"):
                training = _TrainingSet(dataset, regions, read, self.max_background, self.seed, progress)
            training.require_objects(dataset)
            with self._timed("regressors"):
                self.regressors_ = self._fit_regressors(training.features, training.overlaps)
            with self._timed("threshold"):
                self.pasting_ = self._choose_pasting(dataset, regions, read, training, progress)
        return self

    def _fit_regressors(self, features, overlaps):
        from rcnn_helpers.segmentation.svr import SupportVectorRegressors

        return SupportVectorRegressors(C=self.C, epsilon=self.epsilon, seed=self.seed).fit(features, overlaps)

    def _choose_pasting(self, dataset, regions, read, training, progress):
        """Threshold and suppression on scores of the training pictures, by folds."""
        choice = PastingChoice(len(self.classes_))
        fold_of = np.random.default_rng(self.seed).permutation(len(dataset.ids)) % self.folds
        for fold in range(self.folds):
            regressors = self.regressors_
            if self.folds > 1:
                rows = np.flatnonzero(fold_of[training.image_index] != fold)
                regressors = self._fit_regressors(training.features[rows], training.overlaps[rows])
            inside = np.flatnonzero(fold_of == fold)
            for index in _progress(inside, "choosing the threshold", progress):
                image_id = dataset.ids[index]
                scores = regressors.predict(read(image_id))
                choice.add(regions[image_id], scores, dataset.segmentation(image_id)[0])
        return choice.best()

    # -- use -----------------------------------------------------------------------------------------------

    def scores(self, image: np.ndarray, regions: SegmentRegions) -> np.ndarray:
        """Predicted overlap of each region of an image with each class, float32 [N, C]."""
        self._require_fitted()
        return self.regressors_.predict(self.describe(image, regions))

    def describe(self, image: np.ndarray, regions: SegmentRegions) -> np.ndarray:
        """Features of the regions of an image, as the regressors want them, float32 [N, D]."""
        if self.is_descriptor:
            return self.network.describe(image, regions)
        options = {"kind": self.features, "layer": self.layer, "precision": self.precision}
        return region_features(image, regions, self.network, **options)

    def segment(self, image: np.ndarray, *, regions: SegmentRegions | None = None) -> np.ndarray:
        """Label every pixel of an image.

        Parameters
        ----------
        image : uint8 [H, W, 3], RGB
            One longer than 1000 pixels is shrunk for the work, and its label map enlarged.
        regions : SegmentRegions, optional
            Masks to use instead of those of the merge trees; the image is then not shrunk.

        Returns
        -------
        uint8 [H, W]
            0 is background, ``i + 1`` the class ``classes_[i]``.
        """
        self._require_fitted()
        working = image
        if regions is None:
            working, _ = shrink_to_fit(image, LONGEST_SIDE)
            regions = segment_regions(working, max_regions=self.max_regions, min_pixels=self.min_pixels)
        if len(regions) == 0:
            return np.zeros(image.shape[:2], np.uint8)
        return _enlarge(self._paste(regions, self.scores(working, regions)), *image.shape[:2])

    def segment_dataset(
        self, dataset, *, regions=None, cache=None, progress: bool = True
    ) -> Mapping[str, np.ndarray]:
        """Label every pixel of every image of a data set.

        Parameters
        ----------
        dataset, regions, cache, progress : see `fit`

        Returns
        -------
        mapping of image id to uint8 [H, W]
            Kept compressed, so that a data set's label maps take a few megabytes.
        """
        self._require_fitted()
        label_maps = LabelMaps()
        with _working_folder(cache) as folder:
            regions = self._regions(dataset, regions, folder, progress)
            read = self._describe(dataset, regions, folder, progress)
            with self._timed("segmentation"):
                for image_id in _progress(dataset.ids, "segmenting", progress):
                    found = regions[image_id]
                    scores = self.regressors_.predict(read(image_id))
                    label_maps[image_id] = self._paste(found, scores)
        return label_maps

    def evaluate(self, dataset, *, regions=None, cache=None, progress: bool = True) -> SegmentationAccuracy:
        """Segment a data set and compare it with its masks; the parameters are those of `segment_dataset`."""
        label_maps = self.segment_dataset(dataset, regions=regions, cache=cache, progress=progress)
        return segmentation_accuracy(label_maps, dataset, classes=self.classes_)

    def _paste(self, regions: SegmentRegions, scores) -> np.ndarray:
        return paste(regions, scores, threshold=self.pasting_.threshold, nms_iou=self.pasting_.nms_iou)

    # -- saving --------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write the segmenter, its network's weights included, to one safetensors file.

        The file holds numbers and plain text only: opening one from a stranger runs nothing.

        Raises
        ------
        SettingsError
            If regions are described by something other than a network.
        """
        from rcnn_helpers.segmentation.segmenter_files import save_segmenter

        self._require_fitted()
        if self.is_descriptor:
            raise SettingsError(
                f"a segmenter on {self.network.name} cannot be saved; only those on a network's features can"
            )
        save_segmenter(self, path)

    @classmethod
    def load(cls, path, *, device: str | None = None) -> "Segmenter":
        """Read a segmenter written by `save`.

        Raises
        ------
        ModelError
            If the file is missing, damaged, or no such segmenter.
        """
        from rcnn_helpers.segmentation.segmenter_files import load_segmenter

        return load_segmenter(cls, path, device=device)

    # -- housekeeping --------------------------------------------------------------------------------------

    @property
    def is_descriptor(self) -> bool:
        """Whether regions are described by something other than a network."""
        return hasattr(self.network, "describe")

    def _regions(self, dataset, regions, folder, progress) -> Mapping[str, SegmentRegions]:
        """The given regions, or those of the merge trees, all of them found before features are computed."""
        if regions is None:
            options = {"max_regions": self.max_regions, "min_pixels": self.min_pixels}
            regions = RegionFolder(dataset, Path(folder) / "regions", **options)
            with self._timed("regions"):
                for image_id in _progress(dataset.ids, "regions", progress):
                    regions.ensure(image_id)
        return regions

    def _describe(self, dataset, regions, folder, progress) -> Callable[[str], np.ndarray]:
        """Bring the features of all regions to disk; returns what reads those of an image."""
        place = Path(folder) / "features" / _place(dataset, regions)
        with self._timed("features"):
            if self.is_descriptor:
                store = _DescriptorFolder(place, self.network)
                for image_id in _progress(dataset.ids, self.network.name, progress):
                    store.ensure(image_id, dataset.image(image_id), regions[image_id])
                return store.read
            store = extract_segmentation(
                dataset,
                regions,
                self.network,
                cache=place,
                parts=parts_of(self.features),
                precision=self.precision,
                progress=progress,
            )
        return lambda image_id: store.read(image_id, kind=self.features, layer=self.layer)

    def _check_choices(self) -> None:
        parts_of(self.features)
        if self.folds < 1:
            raise SettingsError(f"folds is {self.folds}; it must be 1 or more")
        if not self.is_descriptor and self.layer not in self.network.layers:
            raise SettingsError(
                f"{self.network.name} has no layer {self.layer!r}; it has {', '.join(self.network.layers)}"
            )

    def _require_fitted(self) -> None:
        if not hasattr(self, "pasting_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "this Segmenter is not trained yet; call fit(dataset) or Segmenter.load(path) first"
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds_[stage] = time.perf_counter() - started


class LabelMaps(Mapping):
    """Label maps by image id, compressed in memory: one takes about a kilobyte."""

    def __init__(self):
        self._packed: dict[str, tuple[tuple[int, int], bytes]] = {}

    def __setitem__(self, image_id: str, label_map: np.ndarray) -> None:
        label_map = np.ascontiguousarray(label_map, dtype=np.uint8)
        self._packed[image_id] = label_map.shape, zlib.compress(label_map, 1)

    def __getitem__(self, image_id: str) -> np.ndarray:
        shape, packed = self._packed[image_id]
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self):
        return iter(self._packed)


class _TrainingSet:
    """Features and overlaps of the training regions of all images."""

    def __init__(self, dataset, regions, read, max_background, seed, progress):
        from rcnn_helpers.segmentation.svr import training_rows

        overlaps = []
        for image_id in _progress(dataset.ids, "overlaps", progress):
            maps = dataset.segmentation(image_id)
            overlaps.append(class_overlaps(regions[image_id], *maps, len(dataset.classes)))
        counts = [len(rows) for rows in overlaps]
        overlaps = np.concatenate(overlaps)
        rows = training_rows(overlaps, max_background=max_background, seed=seed)
        image_index = np.repeat(np.arange(len(counts)), counts)
        first = np.cumsum([0, *counts])
        features = None
        for index in _progress(range(len(counts)), "reading features", progress):
            chosen = np.flatnonzero(image_index[rows] == index)
            if len(chosen) == 0:
                continue
            found = read(dataset.ids[index])[rows[chosen] - first[index]]
            if features is None:
                features = np.empty((len(rows), found.shape[1]), np.float32)
            features[chosen] = found
        self.features, self.overlaps, self.image_index = features, overlaps[rows], image_index[rows]

    def require_objects(self, dataset) -> None:
        """Raise `DatasetError` where there is nothing to learn from."""
        if not self.overlaps.any():
            raise DatasetError(
                f"no region overlaps an object of {', '.join(dataset.classes)} in {len(dataset.ids)} images; "
                "do their masks show these classes, and do the regions belong to these images?"
            )


class _DescriptorFolder:
    """Vectors of regions from something other than a network, one file an image."""

    def __init__(self, folder, descriptor):
        learnt = np.ascontiguousarray(descriptor.components_)
        decided_by = [descriptor.identity(), hashlib.sha256(learnt).hexdigest()]
        key = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()[:16]
        self.descriptor, self.folder = descriptor, Path(folder) / f"{descriptor.name}-{key}"
        self.inputs: dict[str, str] = {}

    def ensure(self, image_id: str, image: np.ndarray, regions: SegmentRegions) -> None:
        """Describe the regions of an image unless that has been done."""
        self.inputs[image_id] = digest_regions(image, regions)[:16]
        if self._load(image_id) is None:
            vectors = self.descriptor.describe(image, regions).astype(np.float32)
            atomic_write(self._path(image_id), lambda file: np.save(file, vectors, allow_pickle=False))

    def read(self, image_id: str) -> np.ndarray:
        """The vectors of an image's regions, float32 [N, D]."""
        vectors = self._load(image_id)
        if vectors is None:
            raise StoreError(f"{self._path(image_id)} is missing or damaged; run this again to make it anew")
        return vectors

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}-{self.inputs[image_id]}.npy"

    def _load(self, image_id: str) -> np.ndarray | None:
        try:
            return np.load(self._path(image_id), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None


def _place(dataset, regions) -> str:
    """Name of a folder for features: images of equal names in two data sets must not meet in one."""
    if isinstance(regions, RegionFolder):
        return regions.folder.name
    root = str(Path(dataset.root).resolve()) if hasattr(dataset, "root") else ""
    return "given-" + hashlib.sha256(root.encode()).hexdigest()[:10]


def _enlarge(label_map: np.ndarray, height: int, width: int) -> np.ndarray:
    if label_map.shape == (height, width):
        return label_map
    import cv2

    return cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST)


def _progress(items, description: str, show: bool):
    from tqdm.auto import tqdm

    return tqdm(items, desc=description, unit="image", disable=not show, leave=False)


@contextmanager
def _working_folder(cache) -> Iterator[Path]:
    if cache is not None:
        yield Path(cache)
        return
    with TemporaryDirectory(prefix="rcnn-") as folder:
        yield Path(folder)
