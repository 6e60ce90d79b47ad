"""The interface all backbones share, and each architecture against its definition."""

import pytest
import torch
from torch import nn

from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.networks.tnet import ResponseNorm

# Architecture -> parameters of the published network, its 1000-way classifier included.
PARAMETERS = {"tnet": 60_965_224, "alexnet": 61_100_840, "vgg16": 138_357_544, "squeezenet1_1": 1_235_496}
# Counted by hand from the layer sizes of DESIGN.md: 24/64/96/96/64 channels, 1024 units, 1000 classes.
CONVOLUTIONS = 24 * 364 + 64 * (24 * 25 + 1) + 96 * (64 * 9 + 1) + 96 * (96 * 9 + 1) + 64 * (96 * 9 + 1)
PARAMETERS["quarter_tnet"] = CONVOLUTIONS + 1024 * (2304 + 1) + 1024 * 1025 + 1000 * 1025


@pytest.fixture(scope="module")
def quarter():
    return load_network("quarter_tnet", weights="random", device="cpu")


@pytest.fixture(scope="module")
def crops():
    return torch.randn(3, 3, 227, 227, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_its_published_size_and_the_shapes_it_states(name):
    network = load_network(name, weights="random", device="cpu")
    assert sum(tensor.numel() for tensor in network.module.parameters()) == PARAMETERS[name]
    batch = torch.randn(2, 3, network.input_size, network.input_size)
    features = network.features(batch, network.layers)
    assert list(features) == list(network.layers)
    for layer, feature in features.items():
        assert feature.shape == (2, network.feature_dim(layer))
        assert feature.dtype == torch.float32
        assert (feature >= 0).all()
        torch.testing.assert_close(
            network.from_pool5(features["pool5"], layer), feature, rtol=1e-4, atol=1e-4
        )
    assert network.module(batch).shape == (2, 1000)
    assert network.n_classes == 1000


def test_unknown_networks_and_layers_are_named(quarter, crops):
    with pytest.raises(ValueError, match="unknown network 'lenet'; choose one of quarter_tnet"):
        load_network("lenet")
    with pytest.raises(ValueError, match="no layer 'fc8'; choose one of pool5, fc6, fc7"):
        quarter.features(crops, ["fc8"])
    squeezenet = load_network("squeezenet1_1", weights="random", device="cpu")
    with pytest.raises(ValueError, match="choose one of pool5"):
        squeezenet.feature_dim("fc7")


def test_crops_and_pool5_of_a_wrong_shape_are_refused(quarter):
    with pytest.raises(ValueError, match=r"\[N, 3, 227, 227\], got \[1, 3, 224, 224\]"):
        quarter.features(torch.zeros(1, 3, 224, 224))
    with pytest.raises(ValueError, match=r"\[N, 2304\], got \[1, 9216\]"):
        quarter.from_pool5(torch.zeros(1, 9216), "fc7")


def test_pool5_is_flattened_channel_row_column(quarter, crops):
    pool5 = quarter.features(crops, ["pool5"])["pool5"]
    with torch.inference_mode():
        maps = quarter.module.pool5(quarter.module.trunk(crops))
    for channel, y, x in ((0, 0, 0), (5, 2, 4), (63, 5, 5)):
        assert torch.equal(pool5[:, 36 * channel + 6 * y + x], maps[:, channel, y, x])


def test_features_are_those_of_the_layers_written_out(quarter, crops):
    trunk = quarter.module.trunk
    pool, relu = nn.functional.max_pool2d, torch.relu
    with torch.inference_mode():
        x = pool(relu(trunk.conv1(crops)), 3, 2)
        x = pool(relu(trunk.conv2(x)), 3, 2)
        x = relu(trunk.conv5(relu(trunk.conv4(relu(trunk.conv3(x))))))
        pool5 = pool(x, 3, 2).reshape(3, -1)
        fc6 = relu(pool5 @ quarter.module.fc6.weight.T + quarter.module.fc6.bias)
        fc7 = relu(fc6 @ quarter.module.fc7.weight.T + quarter.module.fc7.bias)
    features = quarter.features(crops, ["pool5", "fc6", "fc7"])
    for layer, expected in (("pool5", pool5), ("fc6", fc6), ("fc7", fc7)):
        torch.testing.assert_close(features[layer], expected, rtol=1e-4, atol=1e-4)


def test_dropout_acts_while_training_and_never_on_features(quarter, crops):
    still = quarter.features(crops)["fc7"]
    quarter.module.train()
    try:
        assert torch.equal(quarter.features(crops)["fc7"], still)
        torch.manual_seed(0)
        first = quarter.module(crops)
        assert not torch.equal(first, quarter.module(crops))
        assert torch.equal(quarter.probabilities(crops), quarter.probabilities(crops))
        assert quarter.module.training
    finally:
        quarter.module.eval()
    assert torch.allclose(quarter.probabilities(crops).sum(dim=1), torch.ones(3))


def test_response_norm_agrees_with_the_framework():
    x = torch.randn(2, 96, 27, 27, generator=torch.Generator().manual_seed(0)) * 50
    ours = ResponseNorm(96)(x)
    framework = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x)
    torch.testing.assert_close(ours, framework, rtol=1e-6, atol=1e-6)


def test_response_norm_runs_in_half_precision_where_the_framework_fails():
    x = torch.randn(2, 24, 9, 9, generator=torch.Generator().manual_seed(0)) * 50
    norm = ResponseNorm(24)
    exact = norm(x)
    half = norm.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.02, atol=0.02)


def test_response_norm_adds_nothing_to_the_state_dict():
    assert not ResponseNorm(24).state_dict()


@pytest.mark.parametrize("name", ["quarter_tnet", "tnet"])
def test_a_bfloat16_copy_is_close_and_leaves_the_original_alone(name, crops):
    network = load_network(name, weights="random", device="cpu")
    fast = network.to_precision("bfloat16")
    assert (fast.dtype, network.dtype) == (torch.bfloat16, torch.float32)
    exact = network.features(crops, ["fc7"])["fc7"]
    close = fast.features(crops, ["fc7"])["fc7"]
    assert close.dtype == torch.float32
    relative = (close - exact).norm(dim=1) / exact.norm(dim=1)
    assert relative.max() < 0.03
    with pytest.raises(ValueError, match="unknown precision 'int8'"):
        network.to_precision("int8")


def test_a_new_classifier_leaves_the_features_and_the_original_alone(quarter, crops):
    detector = quarter.with_classifier(21, seed=4)
    assert detector.n_classes == 21 and quarter.n_classes == 1000
    assert detector.module(crops).shape == (3, 21)
    assert torch.equal(detector.features(crops)["fc7"], quarter.features(crops)["fc7"])
    assert detector.fingerprint == quarter.fingerprint
    assert float(detector.module.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    again = quarter.with_classifier(21, seed=4)
    assert torch.equal(again.module.classifier.weight, detector.module.classifier.weight)
    with pytest.raises(ValueError, match="at least one class"):
        quarter.with_classifier(0)


@pytest.mark.parametrize("side, cells", [(224, 13), (227, 14)])
def test_squeezenets_last_fire_module_has_13_cells_only_at_its_own_input_size(side, cells):
    module = load_network("squeezenet1_1", weights="random", device="cpu").module
    with torch.inference_mode():
        assert module.trunk(torch.zeros(1, 3, side, side)).shape == (1, 512, cells, cells)


def test_squeezenet_takes_a_new_classifier_that_is_linear_in_the_averaged_map(tmp_path):
    network = load_network("squeezenet1_1", weights="random", device="cpu").with_classifier(5)
    assert network.n_classes == 5
    crops = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        average = network.module.trunk(crops).mean(dim=(2, 3))
        last = network.module.classifier[-1]
        expected = average @ last.weight[:, :, 0, 0].T + last.bias
        scores = network.module(crops)
    torch.testing.assert_close(scores, expected)
    assert (scores < 0).any()

    network.save(tmp_path / "tuned.safetensors")
    again = load_network("squeezenet1_1", weights=tmp_path / "tuned.safetensors", device="cpu")
    torch.testing.assert_close(again.probabilities(crops), scores.softmax(dim=1))
    assert again.fingerprint == network.fingerprint


def test_squeezenets_original_classifier_stays_as_torchvision_made_it(tmp_path):
    network = load_network("squeezenet1_1", weights="random", n_classes=7, device="cpu")
    network.save(tmp_path / "seven.safetensors")
    again = load_network("squeezenet1_1", weights=tmp_path / "seven.safetensors", device="cpu")
    assert [type(layer).__name__ for layer in again.module.classifier] == [
        "Dropout",
        "Conv2d",
        "ReLU",
        "AdaptiveAvgPool2d",
    ]


def test_the_fingerprint_changes_with_any_weight_and_with_the_name(quarter):
    same = load_network("quarter_tnet", weights="random", device="cpu")
    assert same.fingerprint == quarter.fingerprint
    with torch.no_grad():
        same.module.fc7.bias[17] += 1e-3
    assert same.fingerprint != quarter.fingerprint
    assert (
        load_network("quarter_tnet", weights="random", seed=1, device="cpu").fingerprint
        != quarter.fingerprint
    )


def test_building_a_network_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_network("quarter_tnet", weights="random", seed=5, device="cpu").with_classifier(3)
    assert torch.equal(torch.rand(3), expected)


def test_random_weights_keep_the_scale_of_the_signal(quarter, crops):
    features = quarter.features(crops, ["pool5", "fc7"])
    for feature in features.values():
        assert 0.5 < feature.std() < 10


def test_repr_names_input_layers_and_precision(quarter):
    assert repr(quarter) == (
        "Network('quarter_tnet', input 227, pool5 64x6x6, fc6 1024, fc7 1024, float32 on cpu)"
    )


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "squeezenet1_1"])
def test_torchvision_weights_give_torchvision_scores(name):
    import torchvision

    torch.manual_seed(0)
    original = getattr(torchvision.models, name)(num_classes=7).eval()
    network = load_network(name, weights=original.state_dict(), device="cpu")
    assert network.n_classes == 7
    batch = torch.randn(2, 3, network.input_size, network.input_size)
    with torch.inference_mode():
        torch.testing.assert_close(network.module(batch), original(batch), rtol=1e-4, atol=1e-5)
