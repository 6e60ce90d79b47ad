"""Caffe models: files written here byte by byte, activations compared with plain NumPy."""

import struct

import numpy as np
import pytest
import torch
from torch import nn

from rcnn_helpers.errors import WeightsError
from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.networks.caffemodel import read_caffemodel
from rcnn_helpers.networks.network import NetworkSpec, RegionNet
from rcnn_helpers.networks.tnet import TNET, _trunk

CHANNELS = (4, 8, 6, 6, 4)
UNITS = 10


# -- an encoder of protocol buffers -----------------------------------------------------------------------------


def varint(value):
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number, payload):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number_field(number, value):
    return varint(number << 3) + varint(value)


def blob_v1(array, *, fully_connected=False):
    """num, channels, height, width, then packed floats."""
    shape = (1,) * (4 - array.ndim) + array.shape
    head = b"".join(number_field(index + 1, side) for index, side in enumerate(shape))
    return head + field(5, array.astype("<f4").tobytes())


def blob_new(array):
    shape = field(1, b"".join(varint(side) for side in array.shape))
    return field(7, shape) + field(5, array.astype("<f4").tobytes())


def blob_unpacked(array):
    """Every number a field of its own, the shape too: allowed by the format, written by some tools."""
    shape = b"".join(number_field(1, side) for side in array.shape)
    data = b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel())
    return field(7, shape) + data


def blob_double(array):
    return field(7, field(1, b"".join(varint(s) for s in array.shape))) + field(
        8, array.astype("<f8").tobytes()
    )


def caffemodel_v1(weights):
    layers = []
    for name, arrays in weights.items():
        body = field(2, b"bottom") + field(3, name.encode()) + field(4, name.encode()) + number_field(5, 4)
        body += b"".join(field(6, blob_v1(array)) for array in arrays)
        body += varint(7 << 3 | 5) + struct.pack("<f", 1.0)  # blobs_lr, to be skipped
        layers.append(field(2, body))
    data_layer = field(2, field(4, b"data") + number_field(5, 5))
    return field(1, b"CaffeNet") + data_layer + b"".join(layers)


def caffemodel_new(weights, blob=blob_new):
    layers = []
    for name, arrays in weights.items():
        body = (
            field(1, name.encode()) + field(2, b"Convolution") + field(3, b"data") + field(4, name.encode())
        )
        body += b"".join(field(7, blob(array)) for array in arrays)
        body += varint(99 << 3 | 1) + struct.pack("<d", 1.0)  # an unknown field, to be skipped
        layers.append(field(100, body))
    return field(1, b"CaffeNet") + b"".join(layers)


# -- a tiny CaffeNet --------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_weights(rng):
    c1, c2, c3, c4, c5 = CHANNELS
    shapes = {
        "conv1": (c1, 3, 11, 11),
        "conv2": (c2, c1 // 2, 5, 5),
        "conv3": (c3, c2, 3, 3),
        "conv4": (c4, c3 // 2, 3, 3),
        "conv5": (c5, c4 // 2, 3, 3),
        "fc6": (UNITS, c5 * 36),
        "fc7": (UNITS, UNITS),
        "fc8_pascal": (21, UNITS),
    }
    return {
        name: (
            rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32),
            rng.normal(0, 0.1, shape[0]).astype(np.float32),
        )
        for name, shape in shapes.items()
    }


@pytest.fixture
def tiny_network(monkeypatch):
    def build(n_classes):
        return RegionNet(
            _trunk(CHANNELS, groups=2, normalise=True),
            nn.MaxPool2d(3, 2),
            nn.Linear(CHANNELS[-1] * 36, UNITS),
            nn.Linear(UNITS, UNITS),
            nn.Linear(UNITS, n_classes),
        )

    spec = NetworkSpec(
        name="tiny",
        build=build,
        input_size=227,
        mean=TNET.mean,
        std=TNET.std,
        bgr=True,
        shapes={"pool5": (CHANNELS[-1], 6, 6), "fc6": (UNITS,), "fc7": (UNITS,)},
        renames=TNET.renames,
    )
    monkeypatch.setitem(NETWORKS, "tiny", spec)


def convolve(x, weight, bias, *, stride=1, padding=0, groups=1):
    """Convolution of one image [C, H, W], written out."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    outputs = []
    inputs_per_group, outputs_per_group = x.shape[0] // groups, weight.shape[0] // groups
    for group in range(groups):
        part = x[group * inputs_per_group : (group + 1) * inputs_per_group]
        kernels = weight[group * outputs_per_group : (group + 1) * outputs_per_group]
        windows = np.lib.stride_tricks.sliding_window_view(part, weight.shape[2:], axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        outputs.append(np.einsum("chwij,ocij->ohw", windows, kernels))
    return np.concatenate(outputs) + bias[:, None, None]


def pool(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return windows.max(axis=(3, 4))


def normalise(x):
    """Caffe's LRN across channels: local_size 5, alpha 1e-4, beta 0.75, k 1."""
    out = np.empty_like(x)
    for channel in range(len(x)):
        near = x[max(0, channel - 2) : channel + 3]
        out[channel] = x[channel] / (1 + 1e-4 / 5 * (near**2).sum(axis=0)) ** 0.75
    return out


def reference_activations(x, weights):
    """conv1 ... fc7 of CaffeNet for one image, layer by layer."""
    relu = lambda values: np.maximum(values, 0)  # noqa: E731
    w = {name: tuple(array.astype(np.float64) for array in arrays) for name, arrays in weights.items()}
    steps = {"relu1": relu(convolve(x, *w["conv1"], stride=4))}
    steps["norm1"] = normalise(pool(steps["relu1"]))
    steps["relu2"] = relu(convolve(steps["norm1"], *w["conv2"], padding=2, groups=2))
    steps["norm2"] = normalise(pool(steps["relu2"]))
    steps["relu3"] = relu(convolve(steps["norm2"], *w["conv3"], padding=1))
    steps["relu4"] = relu(convolve(steps["relu3"], *w["conv4"], padding=1, groups=2))
    steps["relu5"] = relu(convolve(steps["relu4"], *w["conv5"], padding=1, groups=2))
    steps["pool5"] = pool(steps["relu5"]).ravel()
    steps["fc6"] = relu(w["fc6"][0] @ steps["pool5"] + w["fc6"][1])
    steps["fc7"] = relu(w["fc7"][0] @ steps["fc6"] + w["fc7"][1])
    return steps


@pytest.mark.parametrize("encode", [caffemodel_v1, caffemodel_new], ids=["v1", "new"])
def test_a_caffe_model_gives_caffes_activations_layer_by_layer(
    encode, tiny_weights, tiny_network, tmp_path, rng
):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(encode(tiny_weights))
    network = load_network("tiny", weights=path, device="cpu")
    x = rng.normal(0, 60, (3, 227, 227))
    expected = reference_activations(x, tiny_weights)
    batch = torch.from_numpy(x[None]).float()
    with torch.inference_mode():
        current = batch
        for name, layer in network.module.trunk.named_children():
            current = layer(current)
            if name in expected:
                np.testing.assert_allclose(
                    current[0].numpy(), expected[name], rtol=1e-4, atol=1e-3, err_msg=name
                )
    features = network.features(batch, network.layers)
    for layer in network.layers:
        np.testing.assert_allclose(features[layer][0], expected[layer], rtol=1e-4, atol=1e-3, err_msg=layer)
    assert network.n_classes == 21
    assert network.bgr


@pytest.mark.parametrize("blob", [blob_new, blob_unpacked, blob_double])
def test_every_way_of_writing_numbers_is_read(blob, tiny_weights, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel_new(tiny_weights, blob))
    read = read_caffemodel(path)
    assert list(read) == [f"{name}.{part}" for name in tiny_weights for part in ("weight", "bias")]
    for name, (weight, bias) in tiny_weights.items():
        np.testing.assert_array_equal(read[f"{name}.weight"], weight)
        np.testing.assert_array_equal(read[f"{name}.bias"], bias)


def test_a_truncated_model_is_refused_wherever_it_ends(tiny_weights, tmp_path):
    data = caffemodel_new(tiny_weights)
    path = tmp_path / "net.caffemodel"
    for length in (1, 5, len(data) // 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match="damaged or no Caffe model"):
            read_caffemodel(path)


def test_blobs_that_lie_about_their_size_are_refused(tmp_path):
    path = tmp_path / "net.caffemodel"
    huge = field(7, field(1, varint(2**40) + varint(2**40))) + field(5, np.zeros(3, "<f4").tobytes())
    path.write_bytes(field(100, field(1, b"conv1") + field(7, huge)))
    with pytest.raises(WeightsError, match="holds 3 numbers"):
        read_caffemodel(path)
    odd = field(7, field(1, varint(1))) + field(5, b"abc")
    path.write_bytes(field(100, field(1, b"conv1") + field(7, odd)))
    with pytest.raises(WeightsError, match="no list of floating-point numbers"):
        read_caffemodel(path)


def test_random_bytes_never_crash_the_reader(rng, tmp_path):
    path = tmp_path / "net.caffemodel"
    for _ in range(300):
        path.write_bytes(rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes())
        with pytest.raises(WeightsError):
            read_caffemodel(path)


def test_flipped_bytes_never_crash_the_reader(rng, tmp_path):
    """Damage anywhere gives other numbers or a `WeightsError`, and nothing else."""
    small = {"conv1": (np.ones((2, 1, 3, 3), np.float32), np.ones(2, np.float32))}
    path = tmp_path / "net.caffemodel"
    for encode in (caffemodel_v1, caffemodel_new):
        data = encode(small)
        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            try:
                read_caffemodel(path)
            except WeightsError:
                pass


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match="absent.caffemodel"):
        read_caffemodel(tmp_path / "absent.caffemodel")
