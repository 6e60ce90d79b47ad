"""Features of regions: against crops warped and masked the slow way, and what is kept on disk."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.features import extract
from rcnn_helpers.segmentation import features as module
from rcnn_helpers.segmentation.features import (
    RegionFolder,
    crops,
    extract_segmentation,
    read_regions,
    region_features,
    warp_masks,
    write_regions,
)
from rcnn_helpers.segmentation.regions import regions_from_masks
from rcnn_helpers.warping import warp_reference

sys.path.insert(0, str(Path(__file__).parent.parent))
from test_features import tiny_network

HEIGHT, WIDTH = 60, 80


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def blobs(n=9, seed=0):
    """Discs here and there, some cut by the border."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    centres, radii = rng.uniform(0, [WIDTH, HEIGHT], (n, 2)), rng.uniform(3, 25, n)
    masks = [(columns - x) ** 2 + (rows - y) ** 2 < r**2 for (x, y), r in zip(centres, radii, strict=True)]
    return regions_from_masks(masks)


def warped_by_definition(mask, box, size, padding):
    """A mask as a picture, warped by the reference, and cut at one half."""
    picture = np.where(mask, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    return warp_reference(picture, box, size=size, padding=padding)[..., 0]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([(35, 0), (35, 5), (64, 16)]))
def test_masks_are_warped_as_pictures_are(seed, shape):
    size, padding = shape
    regions = blobs(4, seed)
    found = warp_masks(regions, size=size, padding=padding)
    for i in range(len(regions)):
        expected = warped_by_definition(regions.mask(i), regions.boxes[i], size, padding)
        undecided = np.abs(expected - 127.5) < 0.1  # rounding may cut these either way
        assert (found[i] == (expected >= 127.5))[~undecided].all()


def test_a_region_thinner_than_a_pixel_of_the_crop_is_still_seen():
    mask = np.zeros((300, 300), bool)
    mask[np.arange(300), np.arange(300)] = True
    assert warp_masks(regions_from_masks([mask]), size=20, padding=2).any()


def test_part_of_the_masks_are_those_masks():
    regions = blobs()
    everything = warp_masks(regions, size=35)
    assert (warp_masks(regions, size=35, part=slice(2, 5)) == everything[2:5]).all()
    assert warp_masks(regions, size=35, part=slice(9, 9)).shape == (0, 35, 35)


def test_full_features_are_those_of_detection(image):
    network, regions = tiny_network(), blobs()
    found = region_features(image, regions, network, kind="full", layer="fc6", padding=5)
    expected = extract(network, image, regions.boxes, layers=("fc6",), padding=5)["fc6"]
    assert np.allclose(found, expected)


@pytest.mark.parametrize("bgr", [False, True])
def test_foreground_features_see_zero_outside_of_the_region(image, bgr):
    network, regions = tiny_network(bgr=bgr), blobs()
    found = region_features(image, regions, network, kind="fg", layer="pool5", padding=5, precision="float32")
    for i in (0, 4, 8):
        crop = warp_reference(image, regions.boxes[i], size=35, padding=5, mean=network.mean)
        crop = (crop - network.mean) / network.std
        crop *= warped_by_definition(regions.mask(i), regions.boxes[i], 35, 5)[..., None] >= 127.5
        crop = crop[..., ::-1] if bgr else crop
        batch = torch.from_numpy(crop.astype(np.float32)).permute(2, 0, 1)[None]
        expected = network.features(batch, ("pool5",))["pool5"][0].numpy()
        assert np.abs(found[i] - expected).max() < 1e-3


def test_both_side_by_side_are_the_two(image):
    network, regions = tiny_network(), blobs()
    both = region_features(image, regions, network, kind="full+fg", layer="fc7")
    single = [region_features(image, regions, network, kind=kind, layer="fc7") for kind in ("full", "fg")]
    assert np.allclose(both, np.concatenate(single, axis=1))


def test_batches_do_not_matter(image):
    network, regions = tiny_network(), blobs()
    at_once = region_features(image, regions, network, precision="float32")
    assert np.allclose(
        at_once, region_features(image, regions, network, batch_size=2, precision="float32"), atol=1e-5
    )


def test_what_is_far_from_a_region_matters_to_full_only(image):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[15:45, 20:30] = True
    mask[15:20, 20:60] = True  # an L, whose box is mostly background
    regions = regions_from_masks([mask])
    other = image.copy()
    other[30:, 40:] = 0
    for kind, same in (("full", False), ("fg", True)):
        a, b = (region_features(x, regions, tiny_network(), kind=kind) for x in (image, other))
        assert np.array_equal(a, b) == same


def test_crops_show_the_mean_colour_outside_of_the_region(image):
    network, regions = tiny_network(), blobs(3)
    full, fg = (crops(image, regions, network, kind=kind, padding=5) for kind in ("full", "fg"))
    inside = warp_masks(regions, size=35, padding=5)
    assert (fg[inside] == full[inside]).all()
    assert (fg[~inside] == np.array(network.mean).round()).all()


def test_an_image_without_regions_has_no_features(image):
    regions = blobs().select(slice(0))
    assert region_features(image, regions, tiny_network()).shape == (0, 32)


def test_bad_choices_are_named(image):
    with pytest.raises(SettingsError, match="unknown features 'shape'; choose one of full, fg"):
        region_features(image, blobs(), tiny_network(), kind="shape")
    with pytest.raises(SettingsError, match="do they belong together"):
        region_features(image[:-1], blobs(), tiny_network())
    with pytest.raises(SettingsError, match="no crop"):
        crops(image, blobs(), tiny_network(), kind="full+fg")


# --- on disk ----------------------------------------------------------------------------------------------


class Pictures:
    """Coloured squares on grey, with files whose dates can be changed."""

    ids = ("a", "b/c")

    def __init__(self, folder):
        self.root = folder
        for image_id in self.ids:
            self.image_path(image_id).touch()

    def image_path(self, image_id):
        return self.root / f"{image_id.replace('/', '_')}.jpg"

    def image(self, image_id):
        image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
        first = 10 + 5 * (image_id != "a")
        image[first : first + 30, 10:40] = (220, 40, 30)
        return image


def test_regions_are_kept_and_found_again_when_the_picture_changes(tmp_path, monkeypatch):
    dataset = Pictures(tmp_path)
    regions = RegionFolder(dataset, tmp_path / "kept", max_regions=5)
    assert list(regions) == list(dataset.ids) and "x" not in regions and len(regions) == 2
    first = regions["b/c"]
    calls = []
    search = module.segment_regions
    monkeypatch.setattr(module, "segment_regions", lambda *a, **k: calls.append(1) or search(*a, **k))
    again = regions["b/c"]
    assert not calls and len(first) and all((first.mask(i) == again.mask(i)).all() for i in range(len(first)))
    assert (first.boxes == again.boxes).all()
    (path,) = regions.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    assert read_regions(path) is None
    assert (regions["b/c"].boxes == first.boxes).all() and len(calls) == 1
    dataset.image_path("b/c").write_bytes(b"another")
    regions["b/c"]
    assert len(calls) == 2
    with pytest.raises(KeyError):
        regions["x"]


def test_regions_are_found_again_when_an_older_picture_takes_the_place(tmp_path, monkeypatch):
    dataset, calls, search = Pictures(tmp_path), [], module.segment_regions
    monkeypatch.setattr(module, "segment_regions", lambda *a, **k: calls.append(1) or search(*a, **k))
    regions = RegionFolder(dataset, tmp_path / "kept", max_regions=5)
    picture = dataset.image_path("a")
    for expected, date, content in ((1, 2e9, b"old"), (1, 3e9, b"old"), (2, 1e9, b"new"), (2, 0, b"new")):
        picture.write_bytes(content)
        os.utime(picture, (date, date))
        regions.ensure("a")
        assert len(regions["a"]) and len(calls) == expected


def test_regions_kept_by_an_older_version_are_used_unless_the_picture_is_newer(tmp_path, monkeypatch):
    dataset = Pictures(tmp_path)
    regions = RegionFolder(dataset, tmp_path / "kept", max_regions=5)
    expected = regions["a"]
    (path,) = regions.folder.iterdir()
    write_regions(path, expected)  # which says nothing about the picture, as that version did
    monkeypatch.setattr(module, "segment_regions", None)
    assert (regions["a"].boxes == expected.boxes).all()
    os.utime(dataset.image_path("a"), (path.stat().st_mtime + 9,) * 2)
    with pytest.raises(TypeError):
        regions["a"]


def test_features_are_kept_and_computed_again_only_where_something_changed(tmp_path, monkeypatch):
    dataset, network = Pictures(tmp_path), tiny_network()
    regions = {image_id: blobs(4) for image_id in dataset.ids}
    options = {"cache": tmp_path / "kept", "progress": False, "precision": "float32"}
    store = extract_segmentation(dataset, regions, network, **options)
    for kind in ("full", "fg", "full+fg"):
        expected = region_features(dataset.image("a"), regions["a"], network, kind=kind, precision="float32")
        assert np.allclose(store.read("a", kind=kind), expected, rtol=2e-3, atol=2e-3)
    assert store.read("a", kind="fg", layer="fc7").shape == (4, 12)

    computed = []
    compute = module._features
    monkeypatch.setattr(module, "_features", lambda *a, **k: computed.append(a[3]) or compute(*a, **k))
    extract_segmentation(dataset, regions, network, **options)
    assert not computed
    regions["a"] = regions_from_masks(
        [blobs(4).mask(i) for i in (1, 0, 2, 3)]
    )  # the same masks, another order
    extract_segmentation(dataset, regions, network, **options)
    assert computed == [["full", "fg"]]
    path = store.stores["fg"].path("b/c")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError):
        store.read("b/c")
    extract_segmentation(dataset, regions, network, **options)
    assert computed[1:] == [["fg"]] and len(store.read("b/c")) == 4


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DatasetError, match="1 images have no regions, the first is b/c"):
        extract_segmentation(
            Pictures(tmp_path), {"a": blobs()}, tiny_network(), cache=tmp_path, progress=False
        )
