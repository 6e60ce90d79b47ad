"""Supervised pre-training of the quarter T-Net on ToyVOC's auxiliary categories (sec. 2.3 of the paper).

The paper trains its network on the 1000 categories of ILSVRC2012 before it sees a single PASCAL image. Here
the many labels are those of ToyVOC's auxiliary scenes, none of whose categories is a detection class. As
there, the task is to name the object in a picture: there is no background class and no localisation. The
pictures are crops cut around an object, warped with context exactly as proposals will be, shifted, mirrored
and recoloured at random.

Batch normalization helps a short training; it is folded into the weights at the end, so the network that is
saved is the plain architecture. Every batch follows from the seed and the number of the step alone, so a run
that was killed and resumed sees what an uninterrupted one would have seen.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.kept_images import KeptImages
from rcnn_helpers.networks import Network, load_network
from rcnn_helpers.networks.network import fast_bfloat16
from rcnn_helpers.settings import CONTEXT_PADDING, choose_device
from rcnn_helpers.storage import atomic_write
from rcnn_helpers.training import Checkpoint, Prefetcher, interrupts_held
from rcnn_helpers.warping import crop_buffer, warp_boxes


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that decides the outcome of a pre-training run.

    Attributes
    ----------
    scenes, val_scenes : int
        Auxiliary scenes to cut training and validation crops from.
    steps, batch_size : int
    lr : float
        Highest learning rate: reached after `warmup` steps, then lowered to zero along half a cosine.
    momentum, weight_decay : float
        Of stochastic gradient descent; biases and batch normalization are not decayed.
    label_smoothing : float
        Probability mass spread evenly over all categories in the target.
    dropout : float
        After fc6 and fc7.
    batch_norm : bool
        Train with batch normalization and fold it into the weights at the end.
    box_jitter : float
        Each side of a box moves by up to this fraction of the box's width or height.
    colour_jitter : float
        Largest relative change of the contrast and of each channel; the brightness shifts by as much of 58
        grey levels.
    min_side : int
        Objects narrower or lower than this are not cut out.
    seed : int
    """

    scenes: int = 2000
    val_scenes: int = 150
    steps: int = 1800
    batch_size: int = 128
    lr: float = 0.08
    warmup: int = 100
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    dropout: float = 0.3
    batch_norm: bool = True
    box_jitter: float = 0.15
    colour_jitter: float = 0.2
    min_side: int = 20
    seed: int = 0


@dataclass(frozen=True)
class PretrainResult:
    """What `pretrain` returns.

    Attributes
    ----------
    network : Network
        With batch normalization folded in, as it was saved.
    history : pandas.DataFrame
        One row a validation: step, crops, seconds, lr, train_loss, val_loss, val_top1, val_top5.
    seconds : float
        Training time over all sessions, rendering and decoding left out.
    """

    network: Network
    history: pd.DataFrame
    seconds: float


class ObjectCrops:
    """The labelled objects of a data set, with its images at hand.

    Parameters
    ----------
    dataset : VOCDataset
    network : Network
        Decides the size and normalisation of the crops.
    min_side : int
        Objects narrower or lower than this many pixels are left out, and so are `difficult` ones.
    image_memory : int, optional
        Bytes for decoded images; by default half of what is free. Images beyond it are decoded again whenever a
        batch draws an object of theirs. What is drawn does not depend on it.
    progress : bool

    Attributes
    ----------
    images : KeptImages
        uint8 [H, W, 3] by position.
    image_index : int array [N]
        Image of each object.
    boxes : float32 [N, 4]
    labels : int64 [N]
        Index into ``dataset.classes``.
    """

    def __init__(
        self,
        dataset,
        network: Network,
        *,
        min_side: int = 20,
        image_memory: int | None = None,
        progress: bool = False,
    ):
        self.network = network
        self.classes = tuple(dataset.classes)
        class_index = {name: index for index, name in enumerate(self.classes)}
        ids = list(dataset.ids)
        image_index, boxes, labels = [], [], []
        for number, image_id in enumerate(ids):
            annotation = dataset.annotation(image_id)
            sides = annotation.boxes[:, 2:] - annotation.boxes[:, :2]
            usable = (sides.min(axis=1, initial=np.inf) >= min_side) & ~annotation.difficult
            for position in np.flatnonzero(usable):
                image_index.append(number)
                boxes.append(annotation.boxes[position])
                labels.append(class_index[annotation.names[position]])
        if not boxes:
            raise DatasetError(
                f"the {len(dataset.ids)} images of {dataset} show no object of at least {min_side} pixels that is "
                "not marked difficult; pre-training needs labelled objects"
            )
        self.image_index = np.array(image_index)
        self.boxes = np.array(boxes, dtype=np.float32)
        self.labels = np.array(labels, dtype=np.int64)
        self.images = KeptImages(
            lambda number: dataset.image(ids[number]), len(ids), memory=image_memory, progress=progress
        )

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, n: int, *, rng, box_jitter: float, colour_jitter: float, out: torch.Tensor):
        """Cut `n` random objects, jittered and half of them mirrored, into the buffer `out`.

        Returns
        -------
        crops : Tensor [n, 3, S, S], a view of `out`
        labels : int64 Tensor [n]
        """
        objects = rng.integers(len(self), size=n)
        boxes = jitter_boxes(self.boxes[objects], box_jitter, rng)
        mirrored = rng.random(n) < 0.5
        contrast = rng.uniform(1 - colour_jitter, 1 + colour_jitter, size=(n, 1))
        tint = rng.uniform(1 - colour_jitter / 2, 1 + colour_jitter / 2, size=(n, 3))
        brightness = rng.uniform(-colour_jitter, colour_jitter, size=(n, 1))
        mean, std = np.array(self.network.mean), np.array(self.network.std)
        # gain * (pixel - mean) / std + brightness, written as another mean and deviation: then it costs nothing.
        gain = contrast * tint
        stds = std / gain
        means = mean - brightness * stds
        pictures = self.images.several(self.image_index[objects])
        for row, (index, box) in enumerate(zip(objects, boxes, strict=True)):
            picture = pictures[self.image_index[index]]
            self._warp(picture, box, means[row], stds[row], out[row : row + 1])
            if mirrored[row]:
                out[row] = out[row].flip(-1)
        return out[:n], torch.from_numpy(self.labels[objects])

    def batches(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All objects in order, as they are: batches of crops and labels for validation."""
        buffer = crop_buffer(batch_size, self.network.input_size, torch.float32)
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            pictures = self.images.several(self.image_index[start:stop])
            for row, index in enumerate(range(start, stop)):
                picture = pictures[self.image_index[index]]
                self._warp(
                    picture, self.boxes[index], self.network.mean, self.network.std, buffer[row : row + 1]
                )
            yield buffer[: stop - start], torch.from_numpy(self.labels[start:stop])

    def _warp(self, picture, box, mean, std, out):
        warp_boxes(
            picture,
            box[None],
            size=self.network.input_size,
            padding=CONTEXT_PADDING,
            mean=mean,
            std=std,
            bgr=self.network.bgr,
            out=out,
            threads=1,
        )


def jitter_boxes(boxes, amount: float, rng) -> np.ndarray:
    """Move each side of each box by up to `amount` of the box's width or height, float32 [N, 4]."""
    boxes = np.asarray(boxes, dtype=np.float32)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + sides * rng.uniform(-amount, amount, size=boxes.shape)).astype(np.float32)


def learning_rate(step: int, settings: PretrainSettings) -> float:
    """Learning rate of a step: a linear rise over `warmup` steps, then half a cosine down to zero."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr * 0.5 * (1 + float(np.cos(np.pi * done)))


def add_batch_norm(module: nn.Module) -> None:
    """Put batch normalization behind every convolution of the trunk, fc6 and fc7, in place."""
    for name, layer in list(module.trunk.named_children()):
        if isinstance(layer, nn.Conv2d):
            setattr(module.trunk, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))
    for name in ("fc6", "fc7"):
        layer = getattr(module, name)
        setattr(module, name, nn.Sequential(layer, nn.BatchNorm1d(layer.out_features)))


def fold_batch_norm(module: nn.Module) -> None:
    """Undo `add_batch_norm`, in place: scale and shift the weights so that the outputs stay what they were.

    With the running mean m and variance v, ``gamma (Wx + b - m) / sqrt(v + eps) + beta`` is again a linear
    layer.
    """
    module.eval()
    for name, layer in list(module.trunk.named_children()):
        if isinstance(layer, nn.Sequential):
            setattr(module.trunk, name, fuse_conv_bn_eval(*layer))
    for name in ("fc6", "fc7"):
        layer = getattr(module, name)
        if isinstance(layer, nn.Sequential):
            setattr(module, name, fuse_linear_bn_eval(*layer))


def pretrain(
    *,
    out,
    scenes: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    settings: PretrainSettings | None = None,
    train_set=None,
    val_set=None,
    device: str | None = None,
    validate_every: int = 250,
    checkpoint_seconds: float = 60.0,
    image_memory: int | None = None,
    progress: bool = True,
) -> PretrainResult:
    """Train the quarter T-Net to name the objects of ToyVOC's auxiliary scenes.

    Ctrl-C writes a checkpoint beside `out` (``.checkpoint``); the same call goes on from there, and the
    result is what an uninterrupted run would have given. The checkpoint is removed at the end.

    Parameters
    ----------
    out : path-like
        Weights to write, a ``.safetensors`` file (float16); the validation curve goes beside it (``.csv``).
    scenes, steps, seed : int, optional
        Shorthands for fields of `settings`.
    settings : PretrainSettings, optional
    train_set, val_set : VOCDataset, optional
        Scenes of your own; by default ToyVOC's auxiliary ones, rendered at need.
    device : str, optional
    validate_every : int
        Steps between two validations.
    checkpoint_seconds : float
        Time between two checkpoints.
    image_memory : int, optional
        Bytes for the decoded images of either set, see `ObjectCrops`; by default half of what is free.
    progress : bool
        Show progress bars and a line for each validation.

    Raises
    ------
    DatasetError
        If the scenes show no usable object.
    WeightsError
        If a checkpoint lies there that was made with other settings or is damaged.
    """
    settings = _override(settings or PretrainSettings(), scenes=scenes, steps=steps, seed=seed)
    out = Path(out)
    if train_set is None or val_set is None:
        from rcnn_helpers.datasets.toyvoc import open_auxiliary

        train_set = train_set or open_auxiliary("train", n_scenes=settings.scenes, seed=settings.seed)
        val_set = val_set or open_auxiliary("val", n_scenes=settings.val_scenes, seed=settings.seed)
    if tuple(train_set.classes) != tuple(val_set.classes):
        raise DatasetError(
            f"training and validation scenes have different class lists ({len(train_set.classes)} and "
            f"{len(val_set.classes)} names); open both from the same data set"
        )
    device = choose_device(device)
    network = load_network(
        "quarter_tnet", weights="random", n_classes=len(train_set.classes), device=device, seed=settings.seed
    )
    options = {"min_side": settings.min_side, "image_memory": image_memory, "progress": progress}
    train_crops = ObjectCrops(train_set, network, **options)
    val_crops = ObjectCrops(val_set, network, **options)
    run = _Run(network, settings, out)
    run.train(train_crops, val_crops, validate_every, checkpoint_seconds, progress)
    fold_batch_norm(network.module)
    history = pd.DataFrame(run.history)
    atomic_write(out.with_suffix(".csv"), lambda file: file.write(history.to_csv(index=False).encode()))
    network.save(
        out,
        precision="float16",
        metadata={
            "categories": list(train_set.classes),
            "settings": asdict(settings),
            "result": run.history[-1],
        },
    )
    run.checkpoint.remove()
    return PretrainResult(load_network("quarter_tnet", weights=out, device=device), history, run.seconds)


def _override(settings, **changes):
    """`settings` with those `changes` that are not None."""
    values = asdict(settings) | {name: value for name, value in changes.items() if value is not None}
    return PretrainSettings(**values)


class _Run:
    """The state of one training run, and how it is saved and restored."""

    def __init__(self, network, settings, out):
        self.network = network
        self.settings = settings
        self.checkpoint = Checkpoint(out.with_suffix(".checkpoint"), asdict(settings))
        self.module = network.module
        self.module.dropout = settings.dropout
        if settings.batch_norm:
            add_batch_norm(self.module)
        self.module.to(network.device, memory_format=torch.channels_last)
        weights = [tensor for tensor in self.module.parameters() if tensor.ndim > 1]
        others = [tensor for tensor in self.module.parameters() if tensor.ndim == 1]
        self.optimizer = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.lr,
            momentum=settings.momentum,
        )
        self.autocast = torch.autocast(
            network.device.type, torch.bfloat16, enabled=fast_bfloat16(network.device)
        )
        self.step = 0
        self.seconds = 0.0
        self.history = []
        self.recent_losses = []
        torch.manual_seed(settings.seed)  # of dropout
        self._restore()

    def train(self, train_crops, val_crops, validate_every, checkpoint_seconds, progress):
        """Go on from the current step to the last one."""
        from tqdm import tqdm

        steps = self.settings.steps
        last_save = time.monotonic()
        bar = tqdm(total=steps, initial=self.step, desc="pre-training", disable=not progress)
        batches = iter(self._batches(train_crops))
        try:
            with bar:
                self._validate_if_due(val_crops, validate_every, bar)
                while self.step < steps:
                    start = time.monotonic()
                    crops, labels = next(batches)
                    with interrupts_held():
                        self._train_step(crops, labels)
                        self.seconds += time.monotonic() - start
                    bar.update()
                    self._validate_if_due(val_crops, validate_every, bar)
                    if time.monotonic() - last_save > checkpoint_seconds:
                        self._save()
                        last_save = time.monotonic()
        except KeyboardInterrupt:
            self._save()
            raise

    def _train_step(self, crops, labels):
        rate = learning_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.module.train()
        crops, labels = crops.to(self.network.device), labels.to(self.network.device)
        with self.autocast:
            scores = self.module(crops)
        loss = F.cross_entropy(scores.float(), labels, label_smoothing=self.settings.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.recent_losses.append(float(loss.detach()))

    def _validate_if_due(self, crops, every, bar):
        """Add a row to the curve after every `every` steps, also where Ctrl-C came between a step and its row."""
        due = self.step > 0 and (self.step % every == 0 or self.step == self.settings.steps)
        if due and not (self.history and self.history[-1]["step"] == self.step):
            self._validate(crops)
            if not bar.disable:
                bar.write(_line(self.history[-1]))

    @torch.inference_mode()
    def _validate(self, crops):
        """Append a row to the history."""
        self.module.eval()
        loss, top1, top5 = 0.0, 0, 0
        for batch, labels in crops.batches(self.settings.batch_size):
            labels = labels.to(self.network.device)
            with self.autocast:
                scores = self.module(batch.to(self.network.device))
            scores = scores.float()
            loss += float(F.cross_entropy(scores, labels, reduction="sum"))
            best = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels[:, None]
            top1 += int(best[:, 0].sum())
            top5 += int(best.any(dim=1).sum())
        self.history.append(
            {
                "step": self.step,
                "crops": self.step * self.settings.batch_size,
                "seconds": round(self.seconds, 1),
                "lr": learning_rate(self.step - 1, self.settings),
                "train_loss": float(np.mean(self.recent_losses)),
                "val_loss": loss / len(crops),
                "val_top1": top1 / len(crops),
                "val_top5": top5 / len(crops),
            }
        )
        self.recent_losses = []

    def _batches(self, crops) -> Prefetcher:
        """Crops and labels of every step that is left; a batch is valid until the next one is asked for."""
        settings = self.settings
        size = crops.network.input_size
        buffers = [crop_buffer(settings.batch_size, size, torch.float32) for _ in range(2)]

        def make(step):
            return crops.draw(
                settings.batch_size,
                rng=np.random.default_rng([settings.seed, step]),
                box_jitter=settings.box_jitter,
                colour_jitter=settings.colour_jitter,
                out=buffers[step % 2],
            )

        return Prefetcher(make, self.step, settings.steps)

    def _save(self):
        self.checkpoint.save(
            self.module,
            self.optimizer,
            step=self.step,
            seconds=self.seconds,
            history=self.history,
            recent_losses=self.recent_losses,
            random=torch.get_rng_state(),
        )

    def _restore(self):
        state = self.checkpoint.restore(self.module, self.optimizer)
        if state is None:
            return
        torch.set_rng_state(state["random"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history, self.recent_losses = state["history"], state["recent_losses"]


def _line(row) -> str:
    return (
        f"step {row['step']:6d}  {row['seconds']:7.0f} s  train loss {row['train_loss']:.3f}  "
        f"val loss {row['val_loss']:.3f}  top-1 {100 * row['val_top1']:.1f}%  top-5 {100 * row['val_top5']:.1f}%"
    )
