import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from rcnn_helpers import features as features_module
from rcnn_helpers.feature_store import choose_precision
from rcnn_helpers.features import choose_batch_size, extract, in_precision
from rcnn_helpers.networks import load_network
from rcnn_helpers.networks.network import Network, NetworkSpec, RegionNet, initialise
from rcnn_helpers.warping import warp_reference


def tiny_network(seed: int = 0, bgr: bool = False) -> Network:
    """A network with all layers and hardly any weights, that reads crops of 35 pixels."""

    def build(n_classes):
        trunk = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
        return RegionNet(
            trunk, nn.MaxPool2d(4), nn.Linear(32, 16), nn.Linear(16, 12), nn.Linear(12, n_classes)
        )

    spec = NetworkSpec(
        "tiny",
        build,
        input_size=35,
        mean=(120.0, 110.0, 100.0),
        std=(60.0, 55.0, 50.0),
        bgr=bgr,
        shapes={"pool5": (8, 2, 2), "fc6": (16,), "fc7": (12,)},
        n_classes=3,
    )
    module = build(3)
    initialise(module, seed)
    return Network(spec, module)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture
def boxes(rng):
    corners = rng.integers(0, 40, (37, 2))
    return np.concatenate([corners, corners + rng.integers(1, 20, (37, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("bgr", [False, True])
def test_features_are_those_of_each_region_warped_alone(image, boxes, bgr):
    network = tiny_network(bgr=bgr)
    found = extract(
        network, image, boxes, layers=("pool5", "fc7"), padding=5, mode="square", precision="float32"
    )
    for index in (0, 17, 36):
        crop = warp_reference(image, boxes[index], size=35, padding=5, mode="square", mean=network.mean)
        crop = (crop - network.mean) / network.std
        crop = crop[..., ::-1] if bgr else crop
        batch = torch.from_numpy(crop.astype(np.float32)).permute(2, 0, 1)[None]
        expected = network.features(batch, ("pool5", "fc7"))
        for layer in ("pool5", "fc7"):
            assert_allclose(found[layer][index], expected[layer][0].numpy(), atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 10, 37, 1000])
def test_the_batch_size_changes_nothing(image, boxes, batch_size):
    network = tiny_network()
    usual = extract(network, image, boxes, precision="float32")["fc7"]
    found = extract(network, image, boxes, precision="float32", batch_size=batch_size)["fc7"]
    assert found.dtype == np.float32
    assert_allclose(found, usual, atol=1e-4)


def test_an_image_without_boxes_has_no_features(image):
    found = extract(tiny_network(), image, [], layers=("pool5", "fc6"))
    assert found["pool5"].shape == (0, 32)
    assert found["fc6"].shape == (0, 16)


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_half_precision_costs_about_one_per_cent(image, boxes, precision):
    network = load_network("quarter_tnet", weights="random", device="cpu")
    exact = extract(network, image, boxes[:6], precision="float32")["fc7"]
    half = extract(network, image, boxes[:6], precision=precision)["fc7"]
    assert np.linalg.norm(half - exact) < 0.02 * np.linalg.norm(exact)
    assert network.dtype == torch.float32


def test_float16_is_possible_on_a_cpu(image, boxes):
    exact = extract(tiny_network(), image, boxes, precision="float32")["fc7"]
    assert_allclose(extract(tiny_network(), image, boxes, precision="float16")["fc7"], exact, atol=0.05)


def test_automatic_precision_follows_the_hardware(monkeypatch):
    for fast, expected in [(True, "bfloat16"), (False, "float32")]:
        monkeypatch.setattr("rcnn_helpers.feature_store.fast_bfloat16", lambda device, fast=fast: fast)
        assert choose_precision("auto", "cpu") == expected
    assert choose_precision("float16", "cpu") == "float16"
    with pytest.raises(ValueError, match="unknown precision 'double'"):
        choose_precision("double", "cpu")


def test_a_converted_network_is_remembered_until_the_weights_change():
    network = tiny_network()
    copy = in_precision(network, "bfloat16")
    assert copy.dtype == torch.bfloat16
    assert in_precision(network, "bfloat16") is copy
    assert in_precision(network, "float32") is network
    with torch.no_grad():
        network.module.fc7.weight.mul_(2)
    changed = in_precision(network, "bfloat16")
    assert changed is not copy
    assert torch.equal(changed.module.fc7.weight, network.module.fc7.weight.bfloat16())


def test_the_batch_is_halved_until_the_memory_suffices(image, boxes, monkeypatch):
    network = tiny_network()
    expected = extract(network, image, boxes, precision="float32")["fc7"]
    sizes = []
    compute = network.features

    def features(batch, layers):
        sizes.append(len(batch))
        if len(batch) > 9:
            raise torch.OutOfMemoryError("no memory left")
        return compute(batch, layers)

    monkeypatch.setattr(network, "features", features)
    found = extract(network, image, boxes, precision="float32", batch_size=32)["fc7"]
    assert sizes == [32, 16, 8, 8, 8, 8, 5]
    assert_allclose(found, expected, atol=1e-4)


def test_memory_that_does_not_suffice_for_one_crop_is_an_error(image, boxes, monkeypatch):
    network = tiny_network()

    def features(batch, layers):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(network, "features", features)
    with pytest.raises(torch.OutOfMemoryError):
        extract(network, image, boxes, precision="float32")


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    # First maps: 24 channels of 56x56 cells; 64 of 112x112, which in 2 or 4 bytes go 20 or 10 times into 32 MiB.
    [("quarter_tnet", "float32", 64), ("squeezenet1_1", "bfloat16", 20), ("squeezenet1_1", "float32", 10)],
)
def test_on_a_cpu_the_batch_follows_the_largest_map(name, precision, expected):
    from rcnn_helpers.networks import load_network

    network = load_network(name, weights="random", device="cpu")
    assert choose_batch_size(in_precision(network, precision)) == expected


def test_on_a_gpu_the_batch_follows_the_free_memory(monkeypatch):
    class OnGPU:
        device = torch.device("cuda")
        dtype = torch.float16
        input_size = 227

    crop = 3 * 64 * 227**2 * 2
    for free, expected in [(100 * crop, 50), (crop, 1), (10**6 * crop, features_module.GPU_BATCH)]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert choose_batch_size(OnGPU()) == expected


def test_unknown_layers_are_refused(image, boxes):
    with pytest.raises(ValueError, match="no layer 'fc9'"):
        extract(tiny_network(), image, boxes, layers=("fc9",))


def test_the_network_is_left_as_it_was(image, boxes):
    network = tiny_network()
    before = network.fingerprint
    extract(network, image, boxes, precision="bfloat16")
    assert network.fingerprint == before
    assert_array_equal(
        extract(network, image, boxes, precision="bfloat16")["fc7"],
        extract(network, image, boxes, precision="bfloat16")["fc7"],
    )
