"""One interface to every backbone: a region network, and the `Network` that knows how to feed it.

`RegionNet` is the trainable module: convolutions up to pool5, the fully connected layers fc6 and fc7, a
classifier. `Network` adds what its user has to know: the size, colour order, mean and scale of the input, the
names and shapes of the feature layers. Features are always computed without dropout and without gradients.
"""

import copy
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def shared_dropout(x: torch.Tensor, rate: float, share: tuple[int, int]) -> torch.Tensor:
    """Dropout on one process's equal share of a batch, as if the whole batch were here.

    Parameters
    ----------
    x : Tensor [n, ...]
    rate : float
        Probability to drop a value.
    share : (int, int)
        Number of this process, and how many there are. Each draws the mask of the whole batch and takes its own
        rows; with equal random states the masks do not depend on how many processes there are.
    """
    index, count = share
    if count == 1:
        return F.dropout(x, rate, training=True)
    memory_format = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    whole = torch.ones((count * len(x), *x.shape[1:]), dtype=x.dtype, device=x.device)
    mask = F.dropout(whole.contiguous(memory_format=memory_format), rate, training=True)
    return x * mask[index * len(x) : (index + 1) * len(x)]


class RegionNet(nn.Module):
    """Convolutions to pool5, two fully connected layers, a classifier (Krizhevsky et al., 2012).

    Parameters
    ----------
    trunk : nn.Module
        Everything before the last pooling.
    pool5 : nn.Module
        The last pooling.
    fc6, fc7 : nn.Linear
        ReLU follows each of them, and dropout in `forward` while training.
    classifier : nn.Linear
        One output a class, before the softmax.

    Attributes
    ----------
    dropout : float
        Probability to drop a unit while training.
    share : (int, int)
        Where several processes train on parts of one batch: number of this one, and how many there are.
    """

    dropout = 0.5
    share = (0, 1)

    def __init__(self, trunk, pool5, fc6, fc7, classifier):
        super().__init__()
        self.trunk = trunk
        self.pool5 = pool5
        self.fc6 = fc6
        self.fc7 = fc7
        self.classifier = classifier

    def forward(self, x):
        """Class scores [N, C] of a batch [N, 3, S, S]; dropout is active in training mode."""
        x = self.pool5(self.trunk(x)).flatten(1)
        x = self._drop(F.relu(self.fc6(x)))
        x = self._drop(F.relu(self.fc7(x)))
        return self.classifier(x)

    def _drop(self, x):
        return shared_dropout(x, self.dropout, self.share) if self.training else x

    def new_classifier(self, n_classes: int) -> nn.Module:
        """An uninitialised classifier with `n_classes` outputs that fits this network."""
        return nn.Linear(self.classifier.in_features, n_classes)


@dataclass(frozen=True)
class NetworkSpec:
    """What is fixed about a backbone before any weight is loaded.

    Attributes
    ----------
    name : str
    build : callable
        ``build(n_classes)`` returns the uninitialised module.
    input_size : int
        Side of the square crops, in pixels.
    mean, std : tuple of 3 floats
        Red, green, blue, on the scale 0..255: the network reads ``(pixel - mean) / std``.
    bgr : bool
        Whether the channels of the input are blue, green, red.
    shapes : dict
        Feature layer -> shape of one feature before it is flattened, e.g. ``(256, 6, 6)``.
    renames : tuple of (pattern, replacement)
        Regular expressions that turn the parameter names of other software into ours.
    shipped : str or None
        File in ``data/weights`` that holds the default weights.
    url, digest : str or None
        Where the default weights are downloaded from, and ``"sha256:..."`` (a prefix suffices) or
        ``"sha1:..."``.
    """

    name: str
    build: Callable[[int], RegionNet]
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    shapes: dict[str, tuple[int, ...]]
    bgr: bool = False
    n_classes: int = 1000
    renames: tuple[tuple[str, str], ...] = ()
    shipped: str | None = None
    url: str | None = None
    digest: str | None = None


class Network:
    """A backbone with its weights: crops in, features out.

    Made by `rcnn_helpers.networks.load_network`.

    Attributes
    ----------
    name : str
    input_size : int
        Side of the square crops it reads.
    mean, std : tuple of 3 floats
        Red, green, blue on the scale 0..255; a crop is ``(pixel - mean) / std``.
    bgr : bool
        Whether crops must have their channels in the order blue, green, red.
    layers : tuple of str
        Feature layers, shallow to deep, e.g. ``("pool5", "fc6", "fc7")``.
    module : RegionNet
        The trainable module; ``module(batch)`` gives class scores.
    """

    def __init__(self, spec: NetworkSpec, module: RegionNet):
        self.spec = spec
        self.module = module.to(memory_format=torch.channels_last).eval()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def input_size(self) -> int:
        return self.spec.input_size

    @property
    def mean(self) -> tuple[float, float, float]:
        return self.spec.mean

    @property
    def std(self) -> tuple[float, float, float]:
        return self.spec.std

    @property
    def bgr(self) -> bool:
        return self.spec.bgr

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.spec.shapes)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def n_classes(self) -> int:
        """Number of outputs of the classifier."""
        return _last_weighted(self.module.classifier).weight.shape[0]

    def feature_shape(self, layer: str) -> tuple[int, ...]:
        """Shape of one feature of `layer` before it is flattened: (channels, rows, columns) or (units,).

        Element ``(c, y, x)`` of a flattened pool5 of 6x6 cells has the index ``36 c + 6 y + x``.
        """
        if layer not in self.spec.shapes:
            raise ValueError(f"{self.name} has no layer {layer!r}; choose one of {', '.join(self.layers)}")
        return self.spec.shapes[layer]

    def feature_dim(self, layer: str) -> int:
        """Length of one flattened feature of `layer`."""
        dim = 1
        for side in self.feature_shape(layer):
            dim *= side
        return dim

    @torch.inference_mode()
    def features(self, batch: torch.Tensor, layers: Sequence[str] = ("fc7",)) -> dict[str, torch.Tensor]:
        """Features of a batch of crops, without dropout.

        Parameters
        ----------
        batch : Tensor of shape [N, 3, input_size, input_size]
            Normalised crops; they are converted to the network's device and precision.
        layers : sequence of str
            Wanted layers; nothing beyond the deepest one is computed.

        Returns
        -------
        dict of str to float32 Tensor of shape [N, D]
            On the network's device; pool5 is flattened in the order channel, row, column; fc6 and fc7 are
            after their ReLU.
        """
        for layer in layers:
            self.feature_shape(layer)
        size = self.input_size
        if batch.ndim != 4 or tuple(batch.shape[1:]) != (3, size, size):
            raise ValueError(
                f"{self.name} reads crops of shape [N, 3, {size}, {size}], got {list(batch.shape)}"
            )
        batch = batch.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        current = self.module.pool5(self.module.trunk(batch)).flatten(1)
        return self._continue_from(current, layers)

    @torch.inference_mode()
    def from_pool5(self, pool5: torch.Tensor, layer: str) -> torch.Tensor:
        """Recompute `layer` from stored pool5 features [N, D]: ReLU after each layer, no dropout.

        Returns
        -------
        float32 Tensor of shape [N, feature_dim(layer)], on the network's device
        """
        dim = self.feature_dim("pool5")
        if pool5.ndim != 2 or pool5.shape[1] != dim:
            raise ValueError(f"pool5 of {self.name} has shape [N, {dim}], got {list(pool5.shape)}")
        self.feature_shape(layer)
        return self._continue_from(pool5.to(self.device, self.dtype), (layer,))[layer]

    def _continue_from(self, pool5, layers):
        """Compute `layers` from pool5, stopping at the deepest wanted one."""
        current = pool5
        features = {}
        for layer in self.layers:
            if layer != "pool5":
                current = F.relu(getattr(self.module, layer)(current))
            if layer in layers:
                features[layer] = current.float()
            if len(features) == len(set(layers)):
                break
        return features

    @torch.inference_mode()
    def probabilities(self, batch: torch.Tensor) -> torch.Tensor:
        """Class probabilities float32 [N, C] of a batch of crops: softmax of the classifier, no dropout."""
        training = self.module.training
        self.module.eval()
        try:
            batch = batch.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
            return self.module(batch).float().softmax(dim=1)
        finally:
            self.module.train(training)

    def to(self, device) -> "Network":
        """Move the weights to `device`, in place; returns the network."""
        self.module.to(device)
        return self

    def to_precision(self, precision: str) -> "Network":
        """A copy whose weights and arithmetic are ``"float32"``, ``"bfloat16"`` or ``"float16"``.

        A bfloat16 copy is about twice as fast on a processor with AVX-512 bf16; its features differ by about
        one per cent. Convert once and keep the copy.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        return Network(self.spec, copy.deepcopy(self.module).to(PRECISIONS[precision]))

    def with_classifier(self, n_classes: int, *, seed: int = 0) -> "Network":
        """A copy with a new classifier of `n_classes` outputs, as fine-tuning starts from (sec. 2.3).

        Its weights are drawn from a normal distribution of standard deviation 0.01; everything else is
        copied.
        """
        if n_classes < 1:
            raise ValueError(f"a classifier needs at least one class, got {n_classes}")
        module = copy.deepcopy(self.module)
        with torch.random.fork_rng(devices=[]):
            module.classifier = module.new_classifier(n_classes)
        generator = torch.Generator().manual_seed(seed)
        last = _last_weighted(module.classifier)
        nn.init.normal_(last.weight, std=0.01, generator=generator)
        nn.init.zeros_(last.bias)
        module.classifier.to(self.device, self.dtype)
        return Network(self.spec, module)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the name and every weight that features depend on (so not over the classifier)."""
        digest = hashlib.sha256(self.name.encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            if name.startswith("classifier."):
                continue
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def save(self, path, *, precision: str = "float32", metadata: dict | None = None) -> None:
        """Write the weights to a safetensors file, atomically; `load_network` reads it back.

        Parameters
        ----------
        path : path-like
        precision : str
            How numbers are stored. float16 halves the file and costs about three decimal digits of precision.
        metadata : dict of str to JSON values, optional
            Kept in the header of the file.
        """
        from safetensors.torch import save

        from rcnn_helpers.storage import write_tensors

        dtype = PRECISIONS[precision]
        tensors = {
            name: tensor.detach().to("cpu", dtype).contiguous()
            for name, tensor in self.module.state_dict().items()
        }
        header = {key: json.dumps(value) for key, value in (metadata or {}).items()}
        header["architecture"] = self.name
        write_tensors(path, save(tensors, metadata=header))

    def __repr__(self):
        shapes = {layer: "x".join(map(str, shape)) for layer, shape in self.spec.shapes.items()}
        layers = ", ".join(f"{layer} {shape}" for layer, shape in shapes.items())
        precision = str(self.dtype).removeprefix("torch.")
        return f"Network({self.name!r}, input {self.input_size}, {layers}, {precision} on {self.device})"


def _last_weighted(module: nn.Module) -> nn.Module:
    """The last linear or convolutional layer of `module`."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def initialise(module: nn.Module, seed: int) -> None:
    """Draw He-initialised weights for `module`, 0.01-normal ones for its classifier, and zero biases."""
    generator = torch.Generator().manual_seed(seed)
    classifier = set(module.classifier.modules())
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if layer in classifier:
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)


def fast_bfloat16(device) -> bool:
    """Whether `device` computes in bfloat16 natively, so that half precision is faster than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        return "avx512_bf16" in _processor_flags() or "amx_bf16" in _processor_flags()
    return False


@functools.cache
def _processor_flags() -> frozenset[str]:
    """Instruction sets of an x86 processor under Linux; elsewhere empty."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = [line.partition(":")[2] for line in lines if line.startswith("flags")]
    return frozenset(flags[0].split()) if flags else frozenset()
