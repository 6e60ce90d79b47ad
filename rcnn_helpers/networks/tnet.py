"""The T-Net of the paper (Caffe's CaffeNet) and the quarter T-Net the course runs on a laptop.

CaffeNet is Krizhevsky et al.'s network with one change: pooling comes before local response normalization.
Layers conv2, conv4 and conv5 are split into two groups of channels, as the two graphics cards of 2012
required.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from rcnn_helpers.networks.network import NetworkSpec, RegionNet


class ResponseNorm(nn.Module):
    """Local response normalization across channels, as a banded 1x1 convolution.

    ``y = x / (k + alpha/size * sum of x^2 over the size nearest channels) ** 0.75``

    The windowed sum is a 1x1 convolution of ``x^2`` whose weight matrix is a band around the diagonal; so it
    runs in every precision and memory format, many times faster than `torch.nn.LocalResponseNorm`, which it
    agrees with to float32 rounding. The exponent is fixed at Krizhevsky's 0.75, so that two square roots can
    do its work.
    """

    def __init__(self, channels: int, *, size: int = 5, alpha: float = 1e-4, k: float = 1.0):
        super().__init__()
        index = torch.arange(channels)
        distance = (index[:, None] - index[None, :]).abs()
        band = (distance <= size // 2).float() * (alpha / size)  # [channels, channels]
        self.register_buffer("band", band[:, :, None, None], persistent=False)
        self.register_buffer("offset", torch.full((channels,), float(k)), persistent=False)

    def forward(self, x):
        scale = F.conv2d(x * x, self.band, self.offset)  # k + alpha/size * sum x^2
        root = scale.rsqrt()  # scale ** -0.5
        return x * root * root.sqrt()  # scale ** -0.75


def _trunk(channels, *, groups, normalise):
    """conv1 to the ReLU of conv5, at the geometry of CaffeNet."""
    c1, c2, c3, c4, c5 = channels
    layers = OrderedDict()

    def pool_and_normalise(number, width):
        layers[f"pool{number}"] = nn.MaxPool2d(3, 2)
        if normalise:
            layers[f"norm{number}"] = ResponseNorm(width)

    layers["conv1"] = nn.Conv2d(3, c1, 11, stride=4)  # 227 -> 55
    layers["relu1"] = nn.ReLU(inplace=True)
    pool_and_normalise(1, c1)  # 55 -> 27
    layers["conv2"] = nn.Conv2d(c1, c2, 5, padding=2, groups=groups)
    layers["relu2"] = nn.ReLU(inplace=True)
    pool_and_normalise(2, c2)  # 27 -> 13
    layers["conv3"] = nn.Conv2d(c2, c3, 3, padding=1)
    layers["relu3"] = nn.ReLU(inplace=True)
    layers["conv4"] = nn.Conv2d(c3, c4, 3, padding=1, groups=groups)
    layers["relu4"] = nn.ReLU(inplace=True)
    layers["conv5"] = nn.Conv2d(c4, c5, 3, padding=1, groups=groups)
    layers["relu5"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def build_tnet(n_classes: int) -> RegionNet:
    """CaffeNet: 96/256/384/384/256 channels, two groups, response normalization, 4096 units in fc6, fc7."""
    return RegionNet(
        _trunk((96, 256, 384, 384, 256), groups=2, normalise=True),
        nn.MaxPool2d(3, 2),  # 13 -> 6
        nn.Linear(256 * 36, 4096),
        nn.Linear(4096, 4096),
        nn.Linear(4096, n_classes),
    )


def build_quarter_tnet(n_classes: int) -> RegionNet:
    """The same geometry with a quarter of the channels, without response normalization and groups."""
    return RegionNet(
        _trunk((24, 64, 96, 96, 64), groups=1, normalise=False),
        nn.MaxPool2d(3, 2),
        nn.Linear(64 * 36, 1024),
        nn.Linear(1024, 1024),
        nn.Linear(1024, n_classes),
    )


# Mean of ImageNet's training images: Caffe's mean file averaged over its pixels.
IMAGENET_MEAN = (122.679, 116.669, 104.007)

TNET = NetworkSpec(
    name="tnet",
    build=build_tnet,
    input_size=227,
    mean=IMAGENET_MEAN,
    std=(1.0, 1.0, 1.0),
    bgr=True,
    shapes={"pool5": (256, 6, 6), "fc6": (4096,), "fc7": (4096,)},
    # Caffe's own layer names; a fine-tuned model has renamed its fc8 (to fc8_pascal, say).
    renames=((r"^conv(\d)\.", r"trunk.conv\1."), (r"^fc8[^.]*\.", "classifier.")),
    url="http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
    digest="sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
)

QUARTER_TNET = NetworkSpec(
    name="quarter_tnet",
    build=build_quarter_tnet,
    input_size=227,
    mean=IMAGENET_MEAN,
    std=(58.0, 58.0, 58.0),
    shapes={"pool5": (64, 6, 6), "fc6": (1024,), "fc7": (1024,)},
    shipped="quarter_tnet.safetensors",
)
