"""Receptive fields against a slow proof: spoil one pixel after the other and see which units notice."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import nn
from torch.nn import functional as F

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.networks import NETWORKS, Network, RegionNet
from rcnn_helpers.units import field_geometry, output_side, receptive_field


def network_of(trunk, pool5, size):
    """Something like a network whose layers are given."""
    return SimpleNamespace(name="test", module=RegionNet(trunk, pool5, None, None, None), input_size=size)


def without_weights(name):
    """A network of the package whose weights are shapes only: no memory, no time."""
    with torch.device("meta"):
        return Network(NETWORKS[name], NETWORKS[name].build(10))


def thin_vgg16():
    """VGG-16's geometry by torchvision's own recipe, with a few channels."""
    from torchvision.models import vgg

    cfg = [width if width == "M" else 4 for width in vgg.cfgs["D"]]
    layers = vgg.make_layers(cfg)
    return network_of(layers[:-1], layers[-1], 224)


@torch.inference_mode()
def noticed(module, size, places, batch=32):
    """Which units (i, i) of a module's output notice NaN at the pixel (place, place): [units, places]."""
    parts = []
    for start in range(0, len(places), batch):
        part = places[start : start + batch]
        spoilt = torch.zeros(len(part), 3, size, size)
        spoilt[range(len(part)), 0, part, part] = math.nan
        maps = module(spoilt).isnan().any(dim=1)  # [places, rows, columns]
        parts.append(maps.diagonal(dim1=1, dim2=2).numpy())
    return np.concatenate(parts).T


class Through(nn.Module):
    """ReLU as a function that lets NaN pass, whatever the library's kernels do."""

    def forward(self, x):
        return x.where(x.isnan(), x.clamp(min=0))


def module_of(network):
    """The layers up to pool5 with random weights, in one module that lets NaN pass."""
    sequence = nn.Sequential(network.module.trunk, network.module.pool5)
    for parent in list(sequence.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, Through())
    return sequence.eval()


def test_the_papers_numbers():
    for name in ("tnet", "quarter_tnet"):
        geometry = field_geometry(without_weights(name))
        assert (geometry.size, geometry.stride, geometry.start, geometry.cells) == (195, 32, -64, 6)


def test_by_hand():
    network = without_weights("quarter_tnet")
    assert receptive_field(network, "pool5", (2, 3)).tolist() == [32, 0, 227, 195]  # x: 96 - 64, y: 64 - 64
    assert receptive_field(network, "pool5", (0, 5)).tolist() == [96, 0, 227, 131]
    assert receptive_field(network, "conv1", (0, 1)).tolist() == [4, 0, 15, 11]
    conv3 = field_geometry(network, "trunk.conv3")
    assert (conv3.size, conv3.stride, conv3.start, conv3.cells) == (99, 16, -32, 13)


def test_vgg16_by_its_literature():
    # 196 and 16 in front of the last pooling; that adds one step of 16 and doubles it.
    network = without_weights("vgg16")
    assert (field_geometry(network, "trunk").size, field_geometry(network, "trunk").stride) == (196, 16)
    geometry = field_geometry(network)
    assert (geometry.size, geometry.stride, geometry.cells) == (212, 32, 7)


@pytest.mark.parametrize(
    "name", ["quarter_tnet", "alexnet", "squeezenet1_1", pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_units_see_these_pixels_and_no_others(name):
    network = without_weights(name)
    geometry = field_geometry(network)
    module = module_of(SimpleNamespace(module=NETWORKS[name].build(10)))
    assert_seen(module, geometry, every=1 if name == "quarter_tnet" else 50)


def test_units_of_vgg16_see_these_pixels_and_no_others():
    thin = thin_vgg16()
    geometry = field_geometry(thin)
    assert_array_equal(geometry.spans, field_geometry(without_weights("vgg16")).spans)
    assert_seen(module_of(thin), geometry, every=10)


def assert_seen(module, geometry, *, every):
    """Try the pixels on either side of every end of a field, and every so many of the others."""
    size, spans = geometry.input_size, geometry.spans
    places = np.unique(np.concatenate([spans.ravel() - 1, spans.ravel(), np.arange(0, size, every)]))
    places = places[(places >= 0) & (places < size)]
    expected = (spans[:, :1] <= places) & (places < spans[:, 1:])
    assert_array_equal(noticed(module, size, places.tolist()), expected)


def test_a_pixel_that_no_unit_sees():
    # SqueezeNet's first layer leaves the last column of 224 over, although padding above it reaches further.
    geometry = field_geometry(without_weights("squeezenet1_1"))
    assert geometry.spans.max() == 223
    last = geometry.start + geometry.stride * (geometry.cells - 1) + geometry.size
    assert last > 224  # so cutting the plain field off at the border would be wrong


def test_branches_and_whole_modules():
    network = without_weights("squeezenet1_1")
    one, three = (field_geometry(network, f"trunk.3.expand{k}x{k}") for k in (1, 3))
    fire = field_geometry(network, "trunk.3")
    assert (one.size, three.size, fire.size) == (7, 15, 15)
    assert one.stride == three.stride == fire.stride == 4
    assert_array_equal(fire.spans, three.spans)


@st.composite
def layers(draw):
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel // 2))
    if draw(st.booleans()):
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=draw(st.booleans()))
    return nn.Conv2d(3, 3, kernel, stride, padding, dilation=draw(st.integers(1, 2)))


@settings(max_examples=60, deadline=None)
@given(chain=st.lists(layers(), min_size=1, max_size=4), last=layers(), size=st.integers(8, 30))
def test_any_chain_of_layers(chain, last, size):
    network = network_of(nn.Sequential(*chain), last, size)
    try:
        geometry = field_geometry(network)
    except SettingsError as error:
        assert "does not fit" in str(error)
        assume(False)
    module = nn.Sequential(*chain, last).eval()
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, size, size)).shape[2:] == (geometry.cells, geometry.cells)
    seen = noticed(module, size, list(range(size)))
    hit = [row.nonzero()[0] for row in seen]
    assert_array_equal(
        geometry.spans, [(places[0], places[-1] + 1) if len(places) else (0, 0) for places in hit]
    )
    # What the recursion says holds without borders; with them, less of it is left.
    plain = geometry.start + geometry.stride * np.arange(geometry.cells)
    inside = seen.any(axis=1)
    assert (geometry.spans[inside, 0] >= plain[inside].clip(0)).all()
    assert (geometry.spans[inside, 1] <= plain[inside] + geometry.size).all()


@given(
    side=st.integers(1, 60),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    ceil=st.booleans(),
)
def test_output_side_is_that_of_torch(side, kernel, stride, padding, ceil):
    assume(2 * padding <= kernel and side + 2 * padding >= kernel)
    expected = F.max_pool2d(torch.zeros(1, 1, side, side), kernel, stride, padding, ceil_mode=ceil).shape[-1]
    assert output_side(side, kernel, stride, padding, ceil=ceil) == expected


def test_boxes_of_all_units():
    network = without_weights("quarter_tnet")
    geometry = field_geometry(network)
    boxes = geometry.boxes()
    assert boxes.shape == (6, 6, 4) and boxes.dtype == np.float32
    for unit in ((0, 0), (2, 3), (5, 1)):
        assert_array_equal(boxes[unit], geometry.box(unit))


class Doubled(nn.Module):
    """Something the geometry does not know."""

    def forward(self, x):
        return F.interpolate(x, scale_factor=2)


class Choosy(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("trunk", "layer", "message"),
    [
        (nn.AdaptiveAvgPool2d(6), "pool5", "AdaptiveAvgPool2d"),
        (Doubled(), "pool5", "interpolate"),
        (Choosy(), "pool5", "cannot be followed"),
        (nn.Conv2d(3, 3, (3, 5)), "pool5", r"\(3, 5\)"),
        (nn.Conv2d(3, 3, 3, padding="same"), "pool5", "same"),
        (nn.Conv2d(3, 3, 40), "pool5", "does not fit"),
        (nn.Conv2d(3, 3, 3), "fc7", "sees the whole crop"),
        (nn.Conv2d(3, 3, 3), "conv9", "no layer 'conv9'"),
    ],
)
def test_what_cannot_be_followed_is_refused(trunk, layer, message):
    network = network_of(nn.Sequential(trunk), nn.MaxPool2d(3, 2), 30)
    with pytest.raises(SettingsError, match=message):
        field_geometry(network, layer)


@pytest.mark.parametrize("unit", [(6, 0), (0, 6), (-1, 2)])
def test_a_unit_outside_the_map_is_refused(unit):
    with pytest.raises(SettingsError, match="0 to 5"):
        receptive_field(without_weights("quarter_tnet"), "pool5", unit)
