"""torchvision's AlexNet, VGG-16 (the paper's O-Net) and SqueezeNet 1.1 as region networks.

The layers are torchvision's own, regrouped: a state dict of torchvision loads into them, and only dropout
differs (here always after fc6 and fc7, as in the paper's networks; torchvision's AlexNet has it before them).
"""

from torch import nn

from rcnn_helpers.networks.network import NetworkSpec, RegionNet

# torchvision's normalisation, on the scale 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class SqueezeRegionNet(RegionNet):
    """SqueezeNet 1.1: its classifier is convolutional and reads the 13x13 map in front of pool5.

    The original has no pool5, fc6 or fc7. Our pool5 is the 3x3 max pooling of stride 2 that AlexNet has at this
    depth: it turns the 13x13 cells of the last fire module into 512 channels of 6x6 cells, 18,432 values. Crops
    are 224 pixels wide, as in the net's training; at 227 its pools, which round up, would give 14x14 cells, and
    no window of our pool5 would cover the last row and column.
    """

    def __init__(self, trunk, pool5, classifier):
        super().__init__(trunk, pool5, None, None, classifier)

    def forward(self, x):
        """Class scores [N, C] of a batch [N, 3, S, S]; dropout is active in training mode."""
        _, *layers = self.classifier  # the first is dropout, see `shared_dropout`
        x = self._drop(self.trunk(x))
        for layer in layers:
            x = layer(x)
        return x.flatten(1)

    def new_classifier(self, n_classes):
        return nn.Sequential(
            nn.Dropout(self.dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(512, n_classes, 1),
        )


def build_alexnet(n_classes: int) -> RegionNet:
    """torchvision's AlexNet ("One weird trick"): 64/192/384/256/256 channels, no groups, no normalization."""
    from torchvision.models import alexnet

    model = alexnet(num_classes=n_classes)
    fc6, fc7, classifier = (layer for layer in model.classifier if isinstance(layer, nn.Linear))
    return RegionNet(model.features[:-1], model.features[-1], fc6, fc7, classifier)


def build_vgg16(n_classes: int) -> RegionNet:
    """VGG-16, the paper's O-Net (sec. 3.3)."""
    from torchvision.models import vgg16

    model = vgg16(num_classes=n_classes, init_weights=False)
    fc6, fc7, classifier = (layer for layer in model.classifier if isinstance(layer, nn.Linear))
    return RegionNet(model.features[:-1], model.features[-1], fc6, fc7, classifier)


def build_squeezenet(n_classes: int) -> RegionNet:
    """SqueezeNet 1.1 with a pool5 of our own, see `SqueezeRegionNet`."""
    from torchvision.models import squeezenet1_1

    model = squeezenet1_1(num_classes=n_classes)
    return SqueezeRegionNet(model.features, nn.MaxPool2d(3, 2), model.classifier)


def _linear_renames(fc6, fc7, classifier):
    """torchvision's names of the three linear layers and the trunk -> ours."""
    return (
        (r"^features\.", "trunk."),
        (rf"^classifier\.{fc6}\.", "fc6."),
        (rf"^classifier\.{fc7}\.", "fc7."),
        (rf"^classifier\.{classifier}\.", "classifier."),
    )


ALEXNET = NetworkSpec(
    name="alexnet",
    build=build_alexnet,
    input_size=224,
    mean=MEAN,
    std=STD,
    shapes={"pool5": (256, 6, 6), "fc6": (4096,), "fc7": (4096,)},
    renames=_linear_renames(1, 4, 6),
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    digest="sha256:7be5be79",
)

VGG16 = NetworkSpec(
    name="vgg16",
    build=build_vgg16,
    input_size=224,
    mean=MEAN,
    std=STD,
    shapes={"pool5": (512, 7, 7), "fc6": (4096,), "fc7": (4096,)},
    renames=_linear_renames(0, 3, 6),
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    digest="sha256:397923af",
)

SQUEEZENET1_1 = NetworkSpec(
    name="squeezenet1_1",
    build=build_squeezenet,
    input_size=224,
    mean=MEAN,
    std=STD,
    shapes={"pool5": (512, 6, 6)},
    renames=((r"^features\.", "trunk."),),
    url="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
    digest="sha256:b8a52dc0",
)
