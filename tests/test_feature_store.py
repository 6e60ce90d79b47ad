import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rcnn_helpers import feature_store, features
from rcnn_helpers.errors import DatasetError, StoreError
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract, extract_dataset

sys.path.insert(0, str(Path(__file__).parent))
from test_features import tiny_network


@dataclass
class Annotation:
    boxes: np.ndarray

    def __len__(self):
        return len(self.boxes)


class NoiseDataset:
    """Six images of noise with one or two objects each."""

    ids = [f"{n:06d}" for n in range(6)]

    def image(self, image_id):
        return np.random.default_rng(int(image_id)).integers(0, 256, (50, 70, 3), dtype=np.uint8)

    def annotation(self, image_id):
        boxes = np.array([[2, 3, 30, 40], [20, 10, 65, 45]], dtype=np.float32)
        return Annotation(boxes[: 1 + int(image_id) % 2])


def make_proposals():
    rng = np.random.default_rng(5)
    corners = {image_id: rng.integers(0, 35, (int(image_id) * 3, 2)) for image_id in NoiseDataset.ids}
    return {
        image_id: np.concatenate([xy, xy + rng.integers(1, 15, xy.shape)], axis=1).astype(np.float32)
        for image_id, xy in corners.items()
    }


def fill_store(root, layer="pool5") -> FeatureStore:
    """What a run does: in one thread, so that every process computes the same bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = tiny_network()
        store = FeatureStore(root, network=network, layer=layer, precision="float32")
        return extract_dataset(network, NoiseDataset(), make_proposals(), store=store, progress=False)
    finally:
        torch.set_num_threads(threads)


def fill_store_and_die(root, written: int) -> None:
    """Fill a store, but be killed while the file after the first `written` ones is being written."""
    synced = []
    fsync = os.fsync

    def fsync_or_die(descriptor):
        if len(synced) == written:
            os.kill(os.getpid(), signal.SIGKILL)
        synced.append(descriptor)
        fsync(descriptor)

    os.fsync = fsync_or_die
    fill_store(root)


def start(call: str) -> subprocess.Popen:
    """Run a call of this module's functions in a process of its own."""
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent)]}; import test_feature_store as t; t.{call}"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)


def assert_same_content(store, other):
    assert store.ids() == other.ids() == NoiseDataset.ids
    for image_id in store.ids():
        assert store.path(image_id).read_bytes() == other.path(image_id).read_bytes()


@pytest.fixture
def store(tmp_path):
    return fill_store(tmp_path / "store")


# -- content -----------------------------------------------------------------------------------------------


def test_entries_hold_ground_truth_then_proposals_and_their_features(store):
    dataset, proposals = NoiseDataset(), make_proposals()
    for image_id in dataset.ids:
        regions = store.read(image_id)
        truth = dataset.annotation(image_id).boxes
        boxes = np.concatenate([truth, proposals[image_id]])
        assert_array_equal(regions.boxes, boxes)
        assert regions.is_gt.tolist() == [True] * len(truth) + [False] * len(proposals[image_id])
        direct = extract(
            store.network, dataset.image(image_id), boxes, layers=("pool5",), precision="float32"
        )["pool5"]
        assert regions.features.dtype == np.float32
        # float16 keeps 11 binary digits, and below 6e-5 a fixed step of 6e-8.
        assert_allclose(regions.features, direct, rtol=2**-11, atol=6e-8)


@pytest.mark.parametrize("layer", ["fc6", "fc7"])
def test_deeper_layers_are_recomputed_from_stored_pool5(store, layer):
    dataset = NoiseDataset()
    regions = store.read("000004")
    direct = extract(
        store.network, dataset.image("000004"), regions.boxes, layers=(layer,), precision="float32"
    )
    assert_allclose(store.read("000004", layer).features, direct[layer], rtol=2e-3, atol=2e-3)


def test_deeper_layers_are_computed_in_the_stores_precision(tmp_path):
    """A bfloat16 store multiplies in bfloat16: spelt out with plain torch, and told apart from float32."""
    network = tiny_network()
    store = FeatureStore(tmp_path, network=network, precision="bfloat16")
    pool5 = np.random.default_rng(0).random((50, 32), dtype=np.float32)
    pool5 = torch.from_numpy(pool5).bfloat16().float().numpy()
    store.write("noise", np.zeros((50, 4)), pool5)

    def two_layers(dtype):
        found = torch.from_numpy(pool5).to(dtype)
        for layer in (network.module.fc6, network.module.fc7):
            found = torch.relu(found @ layer.weight.detach().to(dtype).T + layer.bias.detach().to(dtype))
        return found.float().numpy()

    found = store.read("noise", "fc7").features
    apart = {dtype: np.abs(found - two_layers(dtype)).max() for dtype in (torch.bfloat16, torch.float32)}
    assert found.dtype == np.float32
    # A sum rounded once instead of twice may differ by a last digit of bfloat16, 2^-8 of the value.
    assert apart[torch.bfloat16] <= 2**-7 * np.abs(found).max()
    assert np.array_equal(found, torch.from_numpy(found).bfloat16().float().numpy())
    assert apart[torch.float32] > 0
    assert network.dtype == torch.float32, "the network itself is not converted"


def test_a_store_holds_pool5_unless_told_otherwise(tmp_path):
    store = FeatureStore(tmp_path, network=tiny_network())
    assert (store.layer, store.dim) == ("pool5", 32)


def test_pool5_cannot_be_had_from_a_store_of_fc7(tmp_path):
    store = fill_store(tmp_path, layer="fc7")
    with pytest.raises(ValueError, match="this store holds fc7"):
        store.read("000000", "fc6")


def test_an_image_without_any_region_has_an_entry(tmp_path):
    network = tiny_network()
    store = FeatureStore(tmp_path, network=network, layer="fc7")
    nothing = {image_id: [] for image_id in NoiseDataset.ids}
    extract_dataset(network, NoiseDataset(), nothing, store=store, include_ground_truth=False, progress=False)
    assert len(store.read("000000")) == 0
    assert store.read("000000").features.shape == (0, 12)


@given(
    occupied=st.floats(0, 1),
    shape=st.tuples(st.integers(0, 9), st.just(13)),
    dtype=st.sampled_from(["float16", "float32"]),
)
def test_packing_is_exact_however_many_zeros_there_are(occupied, shape, dtype):
    rng = np.random.default_rng(0)
    stored = (rng.normal(size=shape) * (rng.random(shape) < occupied)).astype(dtype).astype(np.float32)
    tensors = feature_store._pack(stored, np.dtype(dtype))
    tensors["boxes"] = np.zeros((shape[0], 4))
    assert_array_equal(feature_store._unpack(tensors, shape[1]), stored)


def test_zeros_take_no_more_than_a_bit(tmp_path):
    network = tiny_network()
    store = FeatureStore(tmp_path, network=network, layer="pool5")
    features = np.zeros((2000, 32), np.float32)
    features[:, 0] = 1
    store.write("sparse", np.zeros((2000, 4)), features)
    assert store.path("sparse").stat().st_size < 2000 * (16 + 1 + 32 / 8 + 2) + 1024
    assert_array_equal(store.read("sparse").features, features)


def test_features_too_large_for_float16_are_stored_as_float32(tmp_path):
    store = FeatureStore(tmp_path, network=tiny_network(), layer="fc7")
    features = np.full((1, 12), 1e5 + 0.25, np.float32)
    store.write("large", [[0, 0, 1, 1]], features)
    assert_array_equal(store.read("large").features, features)


def test_features_that_are_not_numbers_are_refused(tmp_path):
    store = FeatureStore(tmp_path, network=tiny_network(), layer="fc7")
    with pytest.raises(StoreError, match="image broken are not finite"):
        store.write("broken", [[0, 0, 1, 1]], np.full((1, 12), np.nan, np.float32))
    assert not store.has("broken")


def test_features_of_another_shape_are_refused(tmp_path):
    store = FeatureStore(tmp_path, network=tiny_network(), layer="fc7")
    with pytest.raises(ValueError, match=r"\[1, 12\]"):
        store.write("short", [[0, 0, 1, 1]], np.zeros((1, 11), np.float32))


@pytest.mark.parametrize("image_id", ["n01/n01_4", "../../etc", "..", "a b%c", "größe"])
def test_image_names_cannot_leave_the_folder(tmp_path, image_id):
    store = FeatureStore(tmp_path, network=tiny_network(), layer="fc7")
    store.write(image_id, [[0, 0, 1, 1]], np.ones((1, 12), np.float32))
    assert store.path(image_id).resolve().parent == store.folder.resolve()
    assert store.ids() == [image_id]
    assert len(store.read(image_id)) == 1


# -- the key -----------------------------------------------------------------------------------------------


def test_everything_that_decides_features_decides_the_folder(tmp_path):
    network = tiny_network()
    variants = [
        {},
        {"layer": "fc6"},
        {"mode": "square"},
        {"padding": 0},
        {"fill": "replicate"},
        {"precision": "float32"},
        {"precision": "bfloat16"},
        {"dtype": "float32"},
        {"network": tiny_network(seed=1)},
    ]
    usual = {"network": network, "precision": "float16"}
    folders = [FeatureStore(tmp_path, **(usual | variant)).folder for variant in variants]
    assert len(set(folders)) == len(variants)
    assert FeatureStore(tmp_path, network=tiny_network(), precision="float16").folder == folders[0]


def test_another_network_than_the_stores_is_refused(store):
    with pytest.raises(StoreError, match="other weights"):
        extract_dataset(tiny_network(seed=1), NoiseDataset(), make_proposals(), store=store)


# -- resuming ----------------------------------------------------------------------------------------------


def count_extractions(monkeypatch) -> list:
    calls = []

    def counted(network, image, boxes, **options):
        calls.append(len(boxes))
        return extract(network, image, boxes, **options)

    monkeypatch.setattr(features, "extract", counted)
    return calls


def test_a_full_store_is_not_computed_again(store, tmp_path, monkeypatch):
    calls = count_extractions(monkeypatch)
    fill_store(tmp_path / "store")
    assert calls == []


def test_other_boxes_or_another_image_of_the_same_name_are_computed_anew(store, monkeypatch):
    calls = count_extractions(monkeypatch)
    proposals = make_proposals()
    proposals["000003"] = proposals["000003"][:4]
    dataset = NoiseDataset()
    negative = 255 - dataset.image("000005")
    monkeypatch.setattr(
        NoiseDataset,
        "image",
        lambda self, image_id, usual=NoiseDataset.image: (
            negative if image_id == "000005" else usual(self, image_id)
        ),
    )
    extract_dataset(store.network, dataset, proposals, store=store, progress=False)
    assert calls == [2 + 4, 2 + 15]
    assert len(store.read("000003")) == 6


def test_a_killed_run_resumes_and_ends_like_an_uninterrupted_one(store, tmp_path):
    child = start(f"fill_store_and_die({str(tmp_path / 'killed')!r}, written=4)")
    child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL
    # settings.json and three entries were complete; of the fourth there is a temporary file.
    killed = FeatureStore(tmp_path / "killed", network=store.network, layer="pool5", precision="float32")
    assert killed.ids() == NoiseDataset.ids[:3]
    assert len(list(killed.folder.glob(".*.tmp"))) == 1
    written = {image_id: killed.path(image_id).stat().st_mtime_ns for image_id in killed.ids()}

    resumed = fill_store(tmp_path / "killed")
    assert_same_content(resumed, store)
    assert all(resumed.path(image_id).stat().st_mtime_ns == time for image_id, time in written.items())


def test_two_processes_may_fill_one_store(store, tmp_path):
    children = [start(f"fill_store({str(tmp_path / 'shared')!r})") for _ in range(2)]
    for child in children:
        _, messages = child.communicate(timeout=120)
        assert child.returncode == 0, messages
    assert_same_content(fill_store(tmp_path / "shared"), store)


# -- damage ------------------------------------------------------------------------------------------------


def flip(position):
    def damage(content: bytes) -> bytes:
        at = int(position * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return damage


DAMAGES = {
    "first byte flipped": flip(0),
    "byte of the header flipped": flip(0.05),
    "byte in the middle flipped": flip(0.5),
    "last byte flipped": flip(1),
    "cut in half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "emptied": lambda content: b"",
    "something else": lambda content: b"<html>404</html>" * 40,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_an_error_when_reading_and_mended_when_extracting(store, tmp_path, damage):
    path = store.path("000004")
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    with pytest.raises(StoreError, match="000004.safetensors is damaged: .*extract_dataset"):
        store.read("000004")
    with pytest.warns(RuntimeWarning, match="000004.safetensors is damaged.*Computing it anew"):
        fill_store(tmp_path / "store")
    assert path.read_bytes() == sound


def test_any_flipped_bit_is_found(store):
    path = store.path("000001")
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.choice(len(sound), size=200, replace=False):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << rng.integers(8))]) + sound[at + 1 :])
        with pytest.raises(StoreError):
            store.read("000001")


def test_an_entry_moved_to_another_name_is_found(store):
    store.path("000001").rename(store.path("000002"))
    with pytest.raises(StoreError, match="belongs to another image"):
        store.read("000002")
    with pytest.raises(StoreError, match="no features of image 000001.*extract_dataset"):
        store.read("000001")


def test_a_removed_entry_is_computed_again_without_a_warning(store, tmp_path):
    sound = store.path("000002").read_bytes()
    store.remove("000002")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill_store(tmp_path / "store")
    assert store.path("000002").read_bytes() == sound


# -- space and input ---------------------------------------------------------------------------------------


def test_the_space_said_to_be_needed_is_enough_and_not_far_off(tmp_path):
    store = FeatureStore(tmp_path, network=tiny_network(), layer="pool5")
    features = np.random.default_rng(0).random((500, 32), dtype=np.float32)
    store.write("dense", np.zeros((500, 4)), features)
    taken = store.path("dense").stat().st_size
    assert taken <= store.space_needed([500]) <= 1.05 * taken
    assert store.space_needed([500, 0]) > store.space_needed([500])


def test_a_disk_too_small_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    calls = count_extractions(monkeypatch)
    monkeypatch.setattr(feature_store, "free_space", lambda path: 2000)
    with pytest.raises(StoreError, match="need up to 0.00 GB, but only 0.00 GB are free.*fewer proposals"):
        fill_store(tmp_path)
    assert calls == []


def test_space_is_asked_for_only_for_what_is_absent(store, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "free_space", lambda path: 0)
    assert_same_content(fill_store(tmp_path / "store"), store)


def test_what_is_needed_is_said_before_the_start(tmp_path, capsys):
    network = tiny_network()
    store = FeatureStore(tmp_path, network=network, layer="fc7")
    extract_dataset(network, NoiseDataset(), make_proposals(), store=store)
    said = capsys.readouterr()
    assert f"6 images' fc7 features: up to 0 MB in {store.folder}" in said.out + said.err


def test_images_without_an_entry_in_the_proposals_are_named(tmp_path):
    network = tiny_network()
    proposals = make_proposals()
    del proposals["000002"]
    with pytest.raises(DatasetError, match="1 images have no proposals, the first is 000002"):
        extract_dataset(
            network,
            NoiseDataset(),
            proposals,
            store=FeatureStore(tmp_path, network=network, layer="fc7"),
            progress=False,
        )


# -- feature scale -----------------------------------------------------------------------------------------


def test_the_feature_scale_brings_the_mean_norm_to_20(store):
    norms = np.concatenate([np.linalg.norm(store.read(i).features, axis=1) for i in store.ids()])
    assert store.feature_scale() == pytest.approx(20 / norms.mean(), rel=1e-5)
    norms = np.linalg.norm(store.read("000003", "fc6").features, axis=1)
    assert store.feature_scale(["000003"], layer="fc6") == pytest.approx(20 / norms.mean(), rel=1e-5)


def test_the_feature_scale_of_a_sample_depends_on_its_seed_only(store):
    scales = [store.feature_scale(max_images=3, max_boxes=2, seed=seed) for seed in (1, 1, 2)]
    assert scales[0] == scales[1] != scales[2]


def test_a_store_without_regions_has_no_feature_scale(tmp_path):
    with pytest.raises(StoreError, match="no feature scale: the 0 images"):
        FeatureStore(tmp_path, network=tiny_network()).feature_scale()
