"""The segmenter as a whole: fit, segment, evaluate, save and load, odd pictures, and what bad input gets."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from rcnn_helpers.errors import DatasetError, ModelError, SettingsError
from rcnn_helpers.networks import load_network
from rcnn_helpers.segmentation import segmenter as module
from rcnn_helpers.segmentation.o2p import SecondOrderPooling
from rcnn_helpers.segmentation.regions import regions_from_masks
from rcnn_helpers.segmentation.segmenter import LabelMaps, Segmenter

sys.path.insert(0, str(Path(__file__).parent.parent))
from test_features import tiny_network


class Shapes:
    """Red squares and striped blue discs on grey noise, with masks."""

    classes = ("square", "disc")

    def __init__(self, n=8, first=0):
        self.ids = [f"{i:03d}" for i in range(first, first + n)]

    def _draw(self, image_id):
        rng = np.random.default_rng(int(image_id))
        image = rng.integers(110, 130, (90, 120, 3)).astype(np.uint8)
        objects = np.zeros((90, 120), np.uint8)
        x, y, side = rng.integers(5, 20), rng.integers(5, 40), rng.integers(25, 35)
        objects[y : y + side, x : x + side] = 1
        rows, columns = np.mgrid[:90, :120]
        cx, cy, radius = rng.integers(80, 95), rng.integers(30, 60), rng.integers(14, 20)
        objects[(columns - cx) ** 2 + (rows - cy) ** 2 < radius**2] = 2
        image[objects == 1] = (200, 30, 30)
        image[objects == 2] = (20, 40, 200)
        return image, objects

    def image(self, image_id):
        return self._draw(image_id)[0]

    def segmentation(self, image_id):
        objects = self._draw(image_id)[1]
        return objects, objects  # object 1 is of class 1, object 2 of class 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def fitted(cache):
    network = load_network("quarter_tnet", weights="random", device="cpu")
    segmenter = Segmenter(network, layer="pool5", max_regions=12, C=0.02, precision="float32")
    return segmenter.fit(Shapes(), cache=cache, progress=False)


def test_pictures_it_has_not_seen_are_segmented(fitted, cache):
    unseen = Shapes(4, first=50)
    result = fitted.evaluate(unseen, cache=cache, progress=False)
    assert result.mean > 0.9 and set(result.per_class) == {"background", "square", "disc"}
    label_map = fitted.segment(unseen.image("050"))
    assert (label_map == fitted.segment_dataset(unseen, cache=cache, progress=False)["050"]).mean() > 0.99
    assert {"regions", "features", "regressors", "threshold", "segmentation"} <= set(fitted.seconds_)


def test_equal_seeds_give_equal_segmenters(fitted, cache):
    again = Segmenter(fitted.network, layer="pool5", max_regions=12, C=0.02, precision="float32")
    again.fit(Shapes(), cache=cache, progress=False)
    assert (again.regressors_.coef_ == fitted.regressors_.coef_).all() and again.pasting_ == fitted.pasting_


def test_it_comes_back_from_a_file_as_it_was(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = Segmenter.load(tmp_path / "model.safetensors", device="cpu")
    image = Shapes().image("003")
    assert (loaded.segment(image) == fitted.segment(image)).all()
    assert loaded.classes_ == ("square", "disc") and loaded.pasting_.threshold == fitted.pasting_.threshold


def test_files_that_are_no_segmenter_are_refused(fitted, tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        Segmenter.load(tmp_path / "none")
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ModelError, match="damaged"):
        Segmenter.load(path)
    fitted.network.save(path)
    with pytest.raises(ModelError, match="not written by rcnn segment train"):
        Segmenter.load(path)
    from safetensors.torch import load, safe_open, save

    tensors = load(content)
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["segmenter"])
    header["classes"].append("cone")
    path.write_bytes(save(tensors, metadata={"segmenter": json.dumps(header)}))
    with pytest.raises(ModelError, match="3 classes on full"):
        Segmenter.load(path)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (700, 9), (1300, 1100)])
def test_pictures_of_any_shape_get_a_label_for_every_pixel(fitted, shape, rng):
    image = rng.integers(0, 256, (shape[0] // 8 + 1, shape[1] // 8 + 1, 3), dtype=np.uint8)
    image = image.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]]
    label_map = fitted.segment(image)
    assert label_map.shape == shape and label_map.dtype == np.uint8 and label_map.max() <= 2


def test_a_picture_of_one_colour_is_background(fitted):
    assert not fitted.segment(np.full((80, 90, 3), 77, np.uint8)).any()


def test_masks_of_your_own_take_the_place_of_ours(tmp_path):
    dataset = Shapes(6)
    masks = {}
    for image_id in dataset.ids:
        objects = dataset.segmentation(image_id)[0]
        shifted = np.roll(objects == 1, 30, axis=1)
        masks[image_id] = regions_from_masks([objects == 2, objects == 1, shifted])
    segmenter = Segmenter(tiny_network(), layer="fc7", C=1.0, features="fg").fit(
        dataset, regions=masks, cache=tmp_path, progress=False
    )
    label_map = segmenter.segment(dataset.image("002"), regions=masks["002"])
    assert (label_map == dataset.segmentation("002")[0]).mean() > 0.95


def test_regions_may_be_described_without_a_network(tmp_path):
    segmenter = Segmenter(SecondOrderPooling(8, step=3, samples=2000), max_regions=8, C=1.0)
    segmenter.fit(Shapes(4), cache=tmp_path, progress=False)
    assert segmenter.evaluate(Shapes(2, first=60), progress=False).mean > 0.7
    kept = sorted(tmp_path.rglob("*.npy"))
    assert len(kept) == 4
    kept[0].write_bytes(b"\x93NUMPY")
    segmenter.fit(Shapes(4), cache=tmp_path, progress=False)
    with pytest.raises(SettingsError, match="cannot be saved"):
        segmenter.save(tmp_path / "model")


def test_the_threshold_is_chosen_on_pictures_the_regressors_have_not_seen(monkeypatch, cache, fitted):
    seen = []
    fit = Segmenter._fit_regressors
    monkeypatch.setattr(
        Segmenter, "_fit_regressors", lambda self, X, Y: seen.append(len(X)) or fit(self, X, Y)
    )
    Segmenter(fitted.network, layer="pool5", max_regions=12, folds=4).fit(
        Shapes(), cache=cache, progress=False
    )
    assert len(seen) == 5 and sum(seen[1:]) == 3 * seen[0]


def test_background_may_be_sampled(monkeypatch, cache, fitted):
    seen = []
    fit = Segmenter._fit_regressors
    monkeypatch.setattr(Segmenter, "_fit_regressors", lambda self, X, Y: seen.append(Y) or fit(self, X, Y))
    options = {"layer": "pool5", "max_regions": 12, "folds": 1}
    Segmenter(fitted.network, max_background=5, **options).fit(Shapes(), cache=cache, progress=False)
    assert ((seen[0] == 0).all(axis=1)).sum() <= 5


def test_an_interrupted_fit_computes_nothing_twice(cache, fitted, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("computed anew")

    monkeypatch.setattr(module, "segment_regions", never)
    monkeypatch.setattr("rcnn_helpers.segmentation.features._features", never)
    Segmenter(fitted.network, layer="fc7", max_regions=12, features="fg", precision="float32").fit(
        Shapes(), cache=cache, progress=False
    )


def test_label_maps_are_kept_small_and_whole():
    maps = LabelMaps()
    maps["a"] = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert list(maps) == ["a"] and len(maps) == 1 and maps["a"].tolist()[2] == [8, 9, 10, 11]


def test_bad_choices_are_named(cache):
    with pytest.raises(SettingsError, match="unknown features"):
        Segmenter(tiny_network(), features="shape")
    with pytest.raises(SettingsError, match="tiny has no layer 'fc9'; it has pool5, fc6, fc7"):
        Segmenter(tiny_network(), layer="fc9")
    with pytest.raises(SettingsError, match="folds is 0"):
        Segmenter(tiny_network(), folds=0)
    with pytest.raises(NotFittedError, match="call fit"):
        Segmenter(tiny_network()).segment(Shapes().image("000"))
    with pytest.raises(DatasetError, match="cannot be split into 2 folds"):
        Segmenter(tiny_network()).fit(Shapes(1), progress=False)
    dataset = Shapes(2)
    dataset.segmentation = lambda image_id: (np.zeros((90, 120), np.uint8),) * 2
    with pytest.raises(DatasetError, match="no region overlaps an object of square, disc"):
        Segmenter(tiny_network(), max_regions=3).fit(dataset, progress=False)
