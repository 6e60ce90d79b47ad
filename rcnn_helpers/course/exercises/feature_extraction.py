"""Exercises of notebook 03: sides of maps, the receptive field recursion, the scale of features."""

import math
from types import SimpleNamespace

import numpy as np

from rcnn_helpers.course.exercises.engine import Exercise, Slip

# --- The side of a map ------------------------------------------------------------------------------------------


def _output_reference(side, kernel, stride, padding, ceil):
    from rcnn_helpers.units import output_side  # torch, which takes its time, only when it is needed

    return output_side(side, kernel, stride, padding, ceil=ceil)


def _output_cases(rng):
    by_hand = [
        (227, 11, 4, 0, False),  # conv1
        (55, 3, 2, 0, False),  # pool1
        (27, 5, 1, 2, False),  # conv2
        (13, 3, 1, 1, False),  # conv3 to conv5
        (224, 3, 2, 0, False),  # one pixel is left over ...
        (224, 3, 2, 0, True),  # ... and rounding up takes it along
        (6, 6, 1, 0, True),  # the window fits once
    ]
    random = []
    for _ in range(25):
        kernel = int(rng.integers(1, 8))
        padding = int(rng.integers(0, kernel // 2 + 1))
        stride = int(rng.integers(1, kernel - padding + 1))  # so no window lies in the padding only
        random.append((int(rng.integers(8, 240)), kernel, stride, padding, bool(rng.integers(2))))
    return by_hand + random


def _steps(side, kernel, stride, padding):
    return (side + 2 * padding - kernel) / stride


def _rounded(value, ceil):
    return math.ceil(value) if ceil else math.floor(value)


OUTPUT_SIZE = Exercise(
    name="output_size",
    title="The side of a layer's map",
    notebook="03",
    difficulty=1,
    minutes=10,
    reference=_output_reference,
    cases=_output_cases,
    slips=(
        Slip(
            lambda side, kernel, stride, padding, ceil: _rounded(_steps(side, kernel, stride, padding), ceil),
            "You count the *steps* of the window. Before the first step it stood somewhere too: one more.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: (
                _rounded((side + padding - kernel) / stride, ceil) + 1
            ),
            "The padding is added once. It lies on *both* sides of the map.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: _rounded((side - kernel) / stride, ceil) + 1,
            "The padding is missing: it makes the map larger by `padding` on each side.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: math.floor(_steps(side, kernel, stride, padding)) + 1,
            "You always round down. With `ceil`, a last window that only partly fits counts as well.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: math.ceil(_steps(side, kernel, stride, padding)) + 1,
            "You always round up. Without `ceil`, a window that does not fit wholly does not count.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: round(_steps(side, kernel, stride, padding)) + 1,
            "You round to the nearest whole number. It goes down, or with `ceil` up; halves and tenths alike.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: _steps(side, kernel, stride, padding) + 1,
            "Your result is not always a whole number, and there is no half a cell: round the number of steps.",
        ),
        Slip(
            lambda side, kernel, stride, padding, ceil: _rounded((side + 2 * padding) / stride, ceil),
            "You divide the whole map by the stride. The window's first place takes `kernel` cells; only what is "
            "left is there to step through.",
        ),
    ),
    hints=(
        "Put the window at the left end of the padded map. How many cells are left to its right?",
        "There are `side + 2 * padding - kernel` cells left. Divided by `stride` and rounded, that is the steps.",
        "One more than the steps. `//` rounds down; `math.ceil(a / b)`, or `-(-a // b)`, rounds up.",
    ),
)

# --- The receptive field recursion ------------------------------------------------------------------------------

_TNET = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]


def _field_reference(layers):
    from torch import nn

    from rcnn_helpers.networks import RegionNet
    from rcnn_helpers.units import field_geometry

    side = 1  # of an input that leaves the last layer just one unit
    for kernel, stride in reversed(layers):
        side = stride * (side - 1) + kernel
    chain = nn.Sequential(*(nn.MaxPool2d(kernel, stride) for kernel, stride in layers))
    module = RegionNet(chain, nn.Identity(), None, None, None)
    geometry = field_geometry(SimpleNamespace(name="a chain", module=module, input_size=side))
    return geometry.size, geometry.stride


def _field_cases(rng):
    by_hand = [
        ([],),  # the input itself
        ([(3, 1)],),
        ([(2, 2), (2, 2)],),
        ([(11, 4), (3, 2)],),  # conv1 and pool1
        (_TNET,),
        ([(3, 1), (3, 1), (2, 2), (3, 1)],),
        ([(1, 2), (3, 1)],),  # a kernel of 1 sees no more, but moves neighbours apart
    ]
    random = []
    for _ in range(15):
        n_layers = int(rng.integers(1, 7))
        kernels, strides = rng.integers(1, 8, size=n_layers), rng.integers(1, 4, size=n_layers)
        random.append((list(zip(kernels.tolist(), strides.tolist(), strict=True)),))
    return by_hand + random


def _recursion(layers, step, field=1, apart=1):
    """Go through layers with a rule ``step(field, apart, kernel, stride)``."""
    for kernel, stride in layers:
        field, apart = step(field, apart, kernel, stride)
    return field, apart


def _right(field, apart, kernel, stride):
    return field + (kernel - 1) * apart, apart * stride


RECEPTIVE_FIELD = Exercise(
    name="receptive_field",
    title="The receptive field recursion",
    notebook="03",
    difficulty=2,
    minutes=15,
    reference=_field_reference,
    cases=_field_cases,
    slips=(
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r + (k - 1) * j * s, j * s)),
            "You move the neighbours apart first and then let the layer look. It looks at the cells *below* it, "
            "and its own stride does not move those.",
        ),
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r + k * j, j * s)),
            "You add `kernel` cells. One of them was seen already: from the first cell of the window to its last "
            "there are `kernel - 1` steps.",
        ),
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r + k - 1, j * s)),
            "You count cells as if each were one pixel from the next. They are `apart` pixels from each other.",
        ),
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r * k, j * s)),
            "You multiply the fields. Neighbouring cells see mostly the *same* pixels: a window adds only the "
            "steps from its first cell to its last.",
        ),
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r + (k - 1) * j, s)),
            "You forget the strides further down: two layers of stride 2 move neighbours 4 pixels apart.",
        ),
        Slip(
            lambda layers: _recursion(layers, lambda r, j, k, s: (r + (k - 1) * j, j + s - 1)),
            "You add the strides. They multiply: two layers of stride 4 move neighbours 16 pixels apart.",
        ),
        Slip(
            lambda layers: _recursion(layers, _right, field=0),
            "You begin with 0 pixels. A pixel of the input sees one pixel: itself.",
        ),
        Slip(
            lambda layers: _recursion(layers[::-1], _right),
            "You go through the layers from the last to the first. The recursion begins at the pixels.",
        ),
        Slip(
            lambda layers: _recursion(layers, _right)[::-1],
            "Your two results are swapped: first how many pixels a unit sees, then how far neighbours are apart.",
        ),
    ),
    hints=(
        "Before any layer, a pixel sees itself: `field = 1`. The next pixel is one pixel further: `apart = 1`. "
        "What does a layer do to these two numbers?",
        "From the first cell in the window to the last there are `kernel - 1` steps, each `apart` pixels long.",
        "In a loop over the layers: `field = field + (kernel - 1) * apart`, and *after* that "
        "`apart = apart * stride`.",
    ),
)

# --- The scale of features --------------------------------------------------------------------------------------


def _scale_reference(features):
    from rcnn_helpers.features import FeatureStore

    one_image = SimpleNamespace(
        ids=lambda: ["the only one"],
        read=lambda image_id: SimpleNamespace(features=features),
        _as_layer=lambda features, layer: features,
        folder="these features",
    )
    return FeatureStore.feature_scale(one_image, max_boxes=len(features))


def _scale_cases(rng):
    by_hand = [
        (np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 10.0], [12.0, 9.0, 0.0]]),),  # norms 5, 10 and 15
        (np.array([[0.0, 20.0]]),),
        (np.array([[0.0, 0.0], [6.0, 8.0]]),),  # one region excites nothing
        (np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]]),),  # opposite directions
    ]
    random = []
    for _ in range(15):
        shape = rng.integers(2, 9, size=2)
        features = np.maximum(rng.normal(0.5, 1, size=shape), 0) * rng.uniform(0.2, 30, size=(shape[0], 1))
        features[0, 0] += 1  # never all zeros
        random.append((features.round(2),))
    return by_hand + random


def _norms(features, axis=1, order=2):
    return np.linalg.norm(features, ord=order, axis=axis)


def _factor_of_each(features):
    with np.errstate(divide="ignore"):  # a region that excites nothing has no length
        return 20 / _norms(features)


FEATURE_SCALE = Exercise(
    name="feature_scale",
    title="One factor for all features",
    notebook="03",
    difficulty=1,
    minutes=10,
    reference=_scale_reference,
    cases=_scale_cases,
    slips=(
        Slip(
            lambda features: 20 / np.linalg.norm(features.mean(axis=0)),
            "You take the norm of the *mean feature*. Features that point in different directions cancel there; "
            "take each feature's norm first, and then the mean of the norms.",
        ),
        Slip(
            lambda features: 20 / np.mean(_norms(features) ** 2),
            "You take the mean of the *squared* norms: the square root is missing.",
        ),
        Slip(
            lambda features: 20 / math.sqrt(np.mean(_norms(features) ** 2)),
            "You take the root of the mean of the squares. That is not the mean norm: long features weigh more in "
            "it. Take the root of each feature's own sum first.",
        ),
        Slip(
            lambda features: 20 / _norms(features, axis=0).mean(),
            "Your norms run down the *columns*: one a dimension. A row is a region's feature; sum along axis 1.",
        ),
        Slip(
            _factor_of_each,
            "You give one factor for each feature. All would have the length 20 then, and what their lengths say "
            "would be lost. It is *one* factor for all.",
        ),
        Slip(
            lambda features: 20 / np.linalg.norm(features),
            "You take one norm over all numbers together. Each row has a norm of its own.",
        ),
        Slip(
            lambda features: 20 / _norms(features, order=1).mean(),
            "You add up absolute values. The L2 norm is the root of the sum of *squares*.",
        ),
        Slip(
            lambda features: _norms(features).mean() / 20,
            "It is the other way round: features that are too long need a factor below 1.",
        ),
        Slip(
            lambda features: 20 * features / _norms(features).mean(),
            "You give the scaled features. What is asked for is the factor.",
        ),
    ),
    hints=(
        "A row is one region's feature. Its length is the root of the sum of its squares. What is the mean?",
        "`np.linalg.norm(features, axis=1)` gives the norm of each row. What must their mean be multiplied by to "
        "be 20?",
    ),
)

EXERCISES = (OUTPUT_SIZE, RECEPTIVE_FIELD, FEATURE_SCALE)
