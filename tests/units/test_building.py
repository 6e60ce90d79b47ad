"""The index of units against the plainest way to make it: everything in memory, one unit after the other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers.errors import DatasetError, SettingsError, StoreError
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract, extract_dataset
from rcnn_helpers.nms import nms
from rcnn_helpers.units import UnitIndex, build_index, building, field_geometry, merge_indexes

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_feature_store import NoiseDataset, make_proposals
from test_features import tiny_network

ARRAYS = ("values", "image_index", "boxes", "counts", "sums", "spans")


class Pictures(NoiseDataset):
    """Some of the images of noise."""

    def __init__(self, ids):
        self.ids = list(ids)


class Numbers:
    """Stands for a data set, its store and its network: features are given as they are."""

    def __init__(self, boxes, features):
        self.ids = [f"{n}" for n in range(len(boxes))]
        self.boxes = boxes
        self.features = features

    def lists(self, top, nms_iou):
        index = empty_index(self.features[0].shape[1], top, nms_iou)
        growing = building._Growing(index)
        for image_id, boxes, features in zip(self.ids, self.boxes, self.features, strict=True):
            whole = slice(0, features.shape[1])
            growing.take_in(
                image_id, building._Regions(boxes, lambda units, f=features: f[:, units], [whole])
            )
        return growing.index()

    def slow_lists(self, top, nms_iou):
        return slow_lists(self.boxes, self.features, top, nms_iou)


def empty_index(n_units, top, nms_iou):
    return UnitIndex(
        network_name="none",
        fingerprint="",
        layer="pool5",
        shape=(n_units, 1, 1),
        nms_iou=nms_iou,
        mode="warp",
        padding=16,
        input_size=227,
        image_ids=(),
        n_regions=0,
        inputs="",
        values=np.zeros((n_units, top), np.float32),
        image_index=np.full((n_units, top), -1, np.int32),
        boxes=np.zeros((n_units, top, 4), np.float32),
        sums=np.zeros((n_units, 2)),
        counts=np.zeros(n_units, np.int64),
        spans=np.array([[0, 227]]),
    )


def slow_lists(boxes, features, top, nms_iou):
    """Suppress among all active regions of each image with the package's NMS, then sort over all images."""
    n_units = features[0].shape[1]
    values = np.zeros((n_units, top), np.float32)
    image_index = np.full((n_units, top), -1, np.int32)
    listed = np.zeros((n_units, top, 4), np.float32)
    for unit in range(n_units):
        found = []
        for image, (image_boxes, image_features) in enumerate(zip(boxes, features, strict=True)):
            active = np.flatnonzero(image_features[:, unit] > 0)
            for kept in nms(image_boxes[active], image_features[active, unit], iou_threshold=nms_iou):
                row = active[kept]
                found.append((-image_features[row, unit], image, row))
        for rank, (negative, image, row) in enumerate(sorted(found)[:top]):
            values[unit, rank], image_index[unit, rank] = -negative, image
            listed[unit, rank] = boxes[image][row]
    return values, image_index, listed


def assert_same(index, other):
    for name in ARRAYS:
        assert_array_equal(getattr(index, name), getattr(other, name), err_msg=name)
    assert (index.image_ids, index.n_regions, index.shape) == (
        other.image_ids,
        other.n_regions,
        other.shape,
    )


@st.composite
def numbers(draw):
    """A few images of overlapping boxes with activations of few different values, so that many are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_units = draw(st.sampled_from([1, 5, 70]))
    step = draw(st.sampled_from([0.5, 0.001]))
    boxes, features = [], []
    for _ in range(draw(st.integers(1, 5))):
        n = draw(st.integers(0, 80))
        corner, side = rng.integers(0, 60, (n, 2)), rng.integers(0, 30, (n, 2))
        boxes.append(np.concatenate([corner, corner + side], axis=1).astype(np.float32))
        features.append((np.round(rng.normal(0, 2, (n, n_units)) / step) * step).astype(np.float32))
    return Numbers(boxes, features)


@settings(max_examples=80)
@given(numbers(), st.sampled_from([1, 3, 20, 100]), st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 1.0]))
def test_lists_are_those_of_suppressing_everything_and_sorting(data, top, nms_iou):
    index = data.lists(top, nms_iou)
    for ours, slow in zip(
        (index.values, index.image_index, index.boxes), data.slow_lists(top, nms_iou), strict=True
    ):
        assert_array_equal(ours, slow)


@settings(max_examples=30)
@given(numbers())
def test_statistics(data):
    index = data.lists(10, 0.1)
    features = np.maximum(np.concatenate(data.features), 0)
    assert index.n_regions == len(features)
    if len(features):
        assert_array_equal(index.maximum, features.max(axis=0))
        assert_array_equal(index.active, (features > 0).mean(axis=0, dtype=np.float64).astype(np.float32))
        assert_allclose(index.mean, features.mean(axis=0, dtype=np.float64), rtol=1e-6)


# -- features of a network ---------------------------------------------------------------------------------


def build(**options):
    """The index of the images of noise, on one thread, so that every call computes the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return build_index(
            **{
                "dataset": NoiseDataset(),
                "proposals": make_proposals(),
                "network": tiny_network(),
                "top": 7,
                "precision": "float32",
                "progress": False,
            }
            | options
        )
    finally:
        torch.set_num_threads(threads)


def regions_with_features(layer="pool5", include_ground_truth=True):
    dataset, proposals, network = NoiseDataset(), make_proposals(), tiny_network()
    boxes, features = [], []
    for image_id in dataset.ids:
        truth = dataset.annotation(image_id).boxes[: None if include_ground_truth else 0]
        boxes.append(np.concatenate([truth, proposals[image_id]]))
        features.append(
            extract(network, dataset.image(image_id), boxes[-1], layers=(layer,), precision="float32")[layer]
        )
    return boxes, features


@pytest.mark.parametrize("layer", ["pool5", "fc6", "fc7"])
@pytest.mark.parametrize("include_ground_truth", [True, False])
def test_index_of_a_network(layer, include_ground_truth):
    index = build(layer=layer, include_ground_truth=include_ground_truth)
    boxes, features = regions_with_features(layer, include_ground_truth)
    values, image_index, listed = slow_lists(boxes, features, 7, 0.1)
    assert_array_equal(index.image_index, image_index)
    assert_array_equal(index.boxes, listed)
    assert_allclose(index.values, values, rtol=1e-5)
    assert index.n_regions == sum(map(len, boxes))
    assert index.image_ids == tuple(NoiseDataset.ids)
    assert index.shape == {"pool5": (8, 2, 2), "fc6": (16, 1, 1), "fc7": (12, 1, 1)}[layer]


def test_fully_connected_units_see_all_that_pool5_sees():
    assert build(layer="fc7").spans.tolist() == [[0, 35]]


@pytest.mark.parametrize("name", ["trunk.0", "trunk.1", "0", "trunk"])
def test_any_module_can_be_indexed(name):
    """The convolution before its ReLU and after it: what is below 0 does not count."""
    network = tiny_network()
    index = build(layer=name)
    assert index.shape == (8, 8, 8)
    assert_array_equal(index.spans, field_geometry(network, name).spans)
    maps = {}
    handle = network.module.trunk[1].register_forward_hook(
        lambda module, inputs, output: maps.setdefault("seen", []).append(output.flatten(1).numpy().copy())
    )
    dataset, proposals = NoiseDataset(), make_proposals()
    boxes = []
    for image_id in dataset.ids:
        boxes.append(np.concatenate([dataset.annotation(image_id).boxes, proposals[image_id]]))
        extract(network, dataset.image(image_id), boxes[-1], layers=("pool5",), precision="float32")
    handle.remove()
    values, image_index, listed = slow_lists(boxes, maps["seen"], 7, 0.1)
    assert_allclose(index.values, values, rtol=1e-5, atol=1e-6)
    features = np.concatenate(maps["seen"])
    assert_allclose(index.mean, features.mean(axis=0, dtype=np.float64), rtol=1e-5)
    assert_array_equal(index.counts, (features > 0).sum(axis=0))
    assert (index.image_index == image_index).mean() > 0.99  # equal but for the order of nearly equal values


def test_a_layer_too_large_for_memory_is_computed_in_parts(monkeypatch):
    whole = build(layer="trunk.1")
    monkeypatch.setattr(building, "_FEATURE_BYTES", 3000)
    assert len(building._parts(20, 512)) == 14
    assert_same(build(layer="trunk.1"), whole)


def test_threads_change_nothing(monkeypatch):
    one = build(layer="trunk.1")
    monkeypatch.setattr(building, "_UNITS_PER_THREAD", 100)
    monkeypatch.setattr(building.torch, "get_num_threads", lambda: 5)
    assert_same(build(layer="trunk.1"), one)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    network = tiny_network()
    store = FeatureStore(
        tmp_path_factory.mktemp("store"), network=network, precision="float32", dtype="float32"
    )
    return extract_dataset(network, NoiseDataset(), make_proposals(), store=store, progress=False)


@pytest.mark.parametrize("layer", ["pool5", "fc7"])
@pytest.mark.parametrize("proposals", [None, make_proposals()], ids=["all", "checked"])
def test_stored_features_give_the_same(store, layer, proposals):
    ours = build(layer=layer, store=store, network=None, proposals=proposals)
    computed = build(layer=layer)
    assert_allclose(ours.values, computed.values, rtol=1e-5)
    assert_array_equal(ours.boxes, computed.boxes)
    assert (ours.mode, ours.padding) == (computed.mode, computed.padding)


def test_objects_of_a_store_can_be_left_out(store):
    ours = build(store=store, network=None, proposals=None, include_ground_truth=False)
    assert_array_equal(ours.boxes, build(include_ground_truth=False).boxes)


# -- interruptions -----------------------------------------------------------------------------------------


class Interrupted(NoiseDataset):
    """Counts how often each image is asked for, and is interrupted at one of them."""

    def __init__(self, at=None):
        self.at = at
        self.asked = []

    def image(self, image_id):
        self.asked.append(image_id)
        if image_id == self.at:
            raise KeyboardInterrupt
        return super().image(image_id)


def test_an_interrupted_build_goes_on_where_it_was(tmp_path):
    out = tmp_path / "units.safetensors"
    with pytest.raises(KeyboardInterrupt):
        build(dataset=Interrupted("000003"), out=out)
    assert not out.exists()
    begun = UnitIndex.load(tmp_path / "units.safetensors.part")
    assert begun.image_ids == tuple(NoiseDataset.ids[:3])
    dataset = Interrupted()
    index = build(dataset=dataset, out=out)
    assert dataset.asked == NoiseDataset.ids[3:]
    assert_same(index, build())
    assert_same(UnitIndex.load(out), index)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_slow_images_are_kept_more_often(monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(building, "_CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(building._Files, "checkpoint", lambda files, index: saved.append(index.n_images))
    build(out=tmp_path / "units.safetensors")
    assert saved == [1, 2, 3, 4, 5]


def test_a_finished_index_is_read(tmp_path):
    out = tmp_path / "units.safetensors"
    index = build(out=out)
    dataset = Interrupted()
    assert_same(build(dataset=dataset, out=out), index)
    assert dataset.asked == []


def build_and_die(out, written: int) -> None:
    """Build an index, but be killed while the file after the first `written` ones is being written."""
    synced = []
    fsync = os.fsync

    def fsync_or_die(descriptor):
        if len(synced) == written:
            os.kill(os.getpid(), signal.SIGKILL)
        synced.append(descriptor)
        fsync(descriptor)

    os.fsync = fsync_or_die
    build(out=out, checkpoint_images=2)


def test_a_build_killed_while_it_writes(tmp_path):
    """Killed in the first, then in the second checkpoint it makes, then in the last write of all."""
    out = tmp_path / "units.safetensors"
    code = "import sys; from test_building import build_and_die; build_and_die(sys.argv[1], int(sys.argv[2]))"
    done = []
    for written in (0, 1, 1):
        died = subprocess.run(
            [sys.executable, "-c", code, str(out), str(written)],
            cwd=Path(__file__).parent,
            capture_output=True,
            timeout=600,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
        part = out.with_name(f"{out.name}.part")
        done.append(UnitIndex.load(part).n_images if part.exists() else 0)
        assert not out.exists()
    assert done == [0, 2, 4]
    assert_same(build(out=out), build())


def test_ctrl_c_waits_until_an_image_is_taken_in_whole(ctrl_c, monkeypatch, tmp_path):
    update = building._update

    def update_and_interrupt(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        update(*arguments)

    out = tmp_path / "units.safetensors"
    monkeypatch.setattr(building, "_update", update_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(out=out)
    monkeypatch.undo()
    assert UnitIndex.load(out.with_name(f"{out.name}.part")).n_images == 1
    assert_same(build(out=out), build())


# -- shards ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(numbers(), st.integers(0, 5), st.integers(0, 5), st.sampled_from([1, 3, 40]))
def test_shards_merge_into_the_whole(data, a, b, top):
    a, b = sorted((a, b))
    shards = []
    for part in (slice(0, a), slice(a, b), slice(b, None)):
        shard = Numbers(data.boxes, data.features)
        shard.ids, shard.boxes, shard.features = data.ids[part], data.boxes[part], data.features[part]
        if shard.ids:
            shards.append(shard.lists(top, 0.1))
    merged, whole = merge_indexes(shards), data.lists(top, 0.1)
    for name in ("values", "image_index", "boxes", "counts", "mean"):
        assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)
    assert (merged.image_ids, merged.n_regions) == (whole.image_ids, whole.n_regions)


def test_merging_refuses_what_does_not_belong_together():
    one, two = build(dataset=Pictures(NoiseDataset.ids[:2])), build(dataset=Pictures(NoiseDataset.ids[2:]))
    assert_array_equal(merge_indexes([one, two]).values, build().values)
    with pytest.raises(SettingsError, match="image 000000 is in two"):
        merge_indexes([one, two, one])
    with pytest.raises(SettingsError, match="unlike top cannot be merged: 7 and 3"):
        merge_indexes([one, build(top=3)])
    with pytest.raises(SettingsError, match="at least one"):
        merge_indexes([])


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"top": 0}, SettingsError, "top is 0"),
        ({"nms_iou": 1.5}, SettingsError, "nms_iou is 1.5"),
        ({"checkpoint_images": 0}, SettingsError, "checkpoint_images is 0"),
        ({"network": None}, SettingsError, "needs a network, or a store"),
        ({"proposals": None}, SettingsError, "needs proposals, or a store"),
        ({"proposals": {"000000": []}}, DatasetError, "5 images have no proposals, the first is 000001"),
        ({"layer": "conv9"}, SettingsError, "no layer 'conv9'"),
        ({"layer": "classifier"}, SettingsError, "no receptive fields"),
    ],
)
def test_bad_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        build(**options)


def test_stores_that_do_not_fit(store):
    proposals = make_proposals()
    proposals["000002"] = proposals["000002"][:-1]
    with pytest.raises(StoreError, match="other regions of image 000002"):
        build(store=store, network=None, proposals=proposals)
    with pytest.raises(SettingsError, match="trunk.0 does not follow"):
        build(store=store, network=None, layer="trunk.0")
    with pytest.raises(SettingsError, match="other weights"):
        build(store=store, network=tiny_network(seed=1))
    with pytest.raises(StoreError, match="padding=16, but padding=0"):
        build(store=store, network=None, padding=0)


def test_another_index_is_not_overwritten(tmp_path):
    out = tmp_path / "units.safetensors"
    build(out=out)
    for other in ({"top": 8}, {"network": tiny_network(seed=1)}, {"padding": 0}, {"layer": "fc7"}):
        with pytest.raises(StoreError, match="made from something else"):
            build(out=out, **other)
    assert_same(UnitIndex.load(out), build())


def test_features_that_are_no_numbers():
    network = tiny_network()
    with torch.no_grad():
        network.module.trunk[0].bias[3] = float("nan")
    with pytest.raises(StoreError, match="pool5 of image 000000 has values that are not finite"):
        build(network=network)
