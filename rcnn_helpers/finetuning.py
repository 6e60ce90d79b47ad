"""Domain-specific fine-tuning: the pre-trained network learns the detection classes (sec. 2.3, App. B).

The network has learnt to name other things in whole pictures. Its last layer is replaced by a new one with N + 1
outputs, the N detection classes and background (output 0), and training goes on, on warped proposals:

- a proposal that overlaps an object by IoU >= 0.5 is a positive of that object's class (of the object it overlaps
  most), any other is background;
- a batch is 32 positives and 96 background windows, drawn anew each time, each kind uniformly over all images. By
  themselves positives would be rare;
- the learning rate is 0.001, a tenth of pre-training's, so that what was learnt is not lost; the new layer, which
  knows nothing yet, learns ten times faster.

The images stay in memory as far as they fit, a byte a channel (`rcnn_helpers.kept_images`), and windows are
warped out of them on the device that trains, while the network works on the batch before. Batches, mirroring and
dropout follow from the seed and the number of the step alone: a run that was interrupted, or shared by several
processes under ``torchrun``, gives the network that one uninterrupted process would have given, bit for bit in the
first case and to rounding in the second.
"""

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.columns import Columns
from rcnn_helpers.datasets.training_mix import gives_negatives
from rcnn_helpers.errors import DatasetError, SettingsError, TrainingError
from rcnn_helpers.kept_images import KeptImages, memory_for_images
from rcnn_helpers.networks import Network, load_network
from rcnn_helpers.networks.network import fast_bfloat16
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.storage import atomic_write
from rcnn_helpers.training import Checkpoint, Prefetcher, Processes, interrupts_held, processes
from rcnn_helpers.warping import WindowWarper, crop_buffer

BACKGROUND = 0
IGNORED = -1
# Windows of the validation set that the curve is computed from.
VALIDATION_WINDOWS = 1024


@dataclass(frozen=True)
class FinetuneSettings:
    """Everything that decides the outcome of a fine-tuning run, besides network and data.

    Defaults are the paper's (sec. 2.3) and, where it is silent, the released code's.

    Attributes
    ----------
    steps : int
        Batches. The released networks saw 70,000; the gain saturates near 40,000.
    batch_size, positives : int
        Windows in a batch, and how many of them are positives.
    positive_iou : float
        A window is a positive from this IoU with an object on. 1 means: only the objects' own boxes.
    negative_iou : float
        Below this IoU with every object a window is background; between the two it is not used.
    lr : float
        Learning rate of the first steps.
    lr_drop_every : int
        The rate is multiplied by `lr_drop` each time so many steps have passed.
    lr_drop : float
    momentum, weight_decay : float
        Of stochastic gradient descent; biases are not decayed.
    new_layer_rate, bias_rate : float
        How many times faster the new layer and biases learn; the biases of the new layer have both.
    dropout : float
        After fc6 and fc7.
    mirror : bool
        Swap left and right in half of the windows.
    warp_mode, padding : see `rcnn_helpers.warping.crop_geometry`
    seed : int
    """

    steps: int = 70_000
    batch_size: int = 128
    positives: int = 32
    positive_iou: float = 0.5
    negative_iou: float = 0.5
    lr: float = 0.001
    lr_drop_every: int = 20_000
    lr_drop: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    new_layer_rate: float = 10.0
    bias_rate: float = 2.0
    dropout: float = 0.5
    mirror: bool = True
    warp_mode: str = "warp"
    padding: int = CONTEXT_PADDING
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.positives < self.batch_size:
            raise SettingsError(
                f"{self.positives} positives in a batch of {self.batch_size}: there must be at least one positive "
                "and one background window"
            )
        if not 0 <= self.negative_iou <= self.positive_iou <= 1:
            raise SettingsError(
                f"negative_iou {self.negative_iou} and positive_iou {self.positive_iou} must lie between 0 and 1, "
                "the first not above the second"
            )
        for name in ("steps", "lr", "lr_drop_every", "lr_drop"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above zero, got {getattr(self, name)!r}")


# What teaches fine-tuning: windows near an object, as in the paper (sec. 2.3), or what teaches the SVMs (App. B).
# The two definitions differ in what is an object and in what is background; the others change one of these alone.
LABELS = {
    "overlap": {"positive_iou": 0.5, "negative_iou": 0.5},
    "ground_truth": {"positive_iou": 1.0, "negative_iou": 0.3},
    "overlap_far": {"positive_iou": 0.5, "negative_iou": 0.3},
    "ground_truth_near": {"positive_iou": 1.0, "negative_iou": 0.5},
}

# Settings by network. The quarter T-Net's did best, of a few, on ToyVOC's val pictures after training on its train
# pictures: it learns from so few that it has seen them often enough long before 70,000 steps. VGG-16 takes the
# smaller batch with which the released code trains it. SqueezeNet's averaged features are long (their mean squared
# length is 5,200 on photographs), and a new layer's steps grow with the square of what it reads: at ten times the
# rate they were too long, and what came back from there spoilt the features.
SETTINGS = {
    "quarter_tnet": FinetuneSettings(steps=1200, lr=0.003, lr_drop_every=800),
    "vgg16": FinetuneSettings(batch_size=24, positives=6),
    "squeezenet1_1": FinetuneSettings(new_layer_rate=3.0),
}


def settings_for(network_name: str, **changes) -> FinetuneSettings:
    """Default settings of a network, with those `changes` that are not None.

    Other `steps` stretch or shrink the schedule of the learning rate, unless `lr_drop_every` is given too.
    """
    settings = SETTINGS.get(network_name, FinetuneSettings())
    changes = {name: value for name, value in changes.items() if value is not None}
    if "steps" in changes and "lr_drop_every" not in changes:
        stretch = changes["steps"] / settings.steps
        changes["lr_drop_every"] = max(1, round(settings.lr_drop_every * stretch))
    return replace(settings, **changes)


@dataclass(frozen=True)
class FinetuneResult:
    """What `finetune` returns.

    Attributes
    ----------
    network : Network
        With N + 1 outputs: background, then the classes.
    history : pandas.DataFrame
        The curve, one row a look: step, windows, seconds, lr, train_loss and, with a validation set, val_loss,
        val_accuracy and val_object_accuracy (of the positives alone).
    seconds : float
        Training time over all sessions, without reading images and without validation.
    """

    network: Network
    history: pd.DataFrame
    seconds: float


def label_windows(
    boxes, annotation, classes: Sequence[str], *, positive_iou: float = 0.5, negative_iou: float = 0.5
) -> np.ndarray:
    """What each window of an image teaches (sec. 2.3), int64 [N].

    Parameters
    ----------
    boxes : array-like [N, 4]
    annotation : Annotation
        Objects of the image, difficult ones included; those of classes not in `classes` count as background.
    classes : sequence of str
    positive_iou, negative_iou : float
        See `FinetuneSettings`.

    Returns
    -------
    int64 array [N]
        0 for background, ``c + 1`` for class ``c`` of the object of largest overlap (the first of equals), -1 for
        a window that is not used.
    """
    boxes = as_boxes(boxes)
    objects = [i for i, name in enumerate(annotation.names) if name in classes]
    if not objects:
        return np.full(len(boxes), BACKGROUND, dtype=np.int64)
    class_of = np.array([classes.index(annotation.names[i]) for i in objects], dtype=np.int64)
    overlaps = iou(boxes, annotation.boxes[objects])  # [N, objects]
    best = overlaps.max(axis=1)
    labels = np.where(best < negative_iou, BACKGROUND, IGNORED)
    positive = best >= positive_iou
    labels[positive] = 1 + class_of[overlaps[positive].argmax(axis=1)]
    return labels


class TrainingWindows:
    """All windows of a data set, objects' own boxes and proposals, with its images at hand.

    Parameters
    ----------
    dataset : VOCDataset or the like
        With ``classes``, ``ids``, ``image(id)`` and ``annotation(id)``. Images that are annotated in part only
        (see `rcnn_helpers.datasets.training_mix`) have positives, and their other windows are not used.
    proposals : mapping of image id to float32 [N, 4]
    positive_iou, negative_iou : float
        See `FinetuneSettings`.
    image_memory : int, optional
        Bytes for decoded images; by default half of what is free. Images beyond it are decoded again whenever a
        batch draws a window of theirs. The windows themselves, 30 bytes each, take at most a quarter as much and
        lie in temporary files beyond that. What is drawn does not depend on it.
    progress : bool

    Attributes
    ----------
    images : KeptImages
        uint8 [H, W, 3] by position.
    image_index : int32 array [N]
        Image of each window.
    boxes : float32 [N, 4]
    labels : int16 [N]
        As from `label_windows`.
    positives, background : int64 arrays
        Rows of either kind.

    Raises
    ------
    DatasetError
        If an image has no entry in `proposals`.
    TrainingError
        If no window is a positive, or none is background.
    """

    def __init__(
        self,
        dataset,
        proposals: Mapping,
        *,
        positive_iou=0.5,
        negative_iou=0.5,
        image_memory: int | None = None,
        progress=False,
    ):
        self.classes = tuple(dataset.classes)
        missing = [image_id for image_id in dataset.ids if image_id not in proposals]
        if missing:
            raise DatasetError(
                f"{len(missing)} images have no proposals, the first is {missing[0]}; an image without any region "
                "needs an empty list"
            )
        memory = memory_for_images() if image_memory is None else image_memory
        ids = list(dataset.ids)
        limits = {"positive_iou": positive_iou, "negative_iou": negative_iou}
        found = self._label(dataset, ids, proposals, limits, memory // 4, progress)
        self.image_index, self.boxes, self.labels = found["image_index"], found["boxes"], found["labels"]
        self.positives, self.background = found["positives"], found["background"]
        for kind, rows in (("positive", self.positives), ("background", self.background)):
            if not len(rows):
                raise TrainingError(
                    f"none of the {len(self)} windows of {len(ids)} images is a {kind}; fine-tuning needs "
                    f"both kinds. The classes are {', '.join(self.classes)}: are they annotated in these images?"
                )
        self.images = KeptImages(
            lambda position: dataset.image(ids[position]), len(ids), memory=memory, progress=progress
        )

    def _label(self, dataset, ids, proposals, limits, memory: int, progress: bool) -> dict[str, np.ndarray]:
        """The windows of all images, one after the other, as columns."""
        from tqdm.auto import tqdm

        windows = Columns(
            {
                "image_index": (np.int32, 0),
                "boxes": (np.float32, 4),
                "labels": (np.int16, 0),
                "positives": (np.int64, 0),
                "background": (np.int64, 0),
            },
            memory,
        )
        first = 0
        bar = tqdm(ids, desc="labelling windows", unit="image", disable=not progress, leave=False)
        for position, image_id in enumerate(bar):
            annotation = dataset.annotation(image_id)
            boxes = np.concatenate([as_boxes(annotation.boxes), as_boxes(proposals[image_id])])
            labels = label_windows(boxes, annotation, self.classes, **limits)
            if not gives_negatives(dataset, image_id):
                labels[labels == BACKGROUND] = IGNORED
            windows.append(
                image_index=np.full(len(boxes), position, dtype=np.int32),
                boxes=boxes,
                labels=labels,
                positives=first + np.flatnonzero(labels > BACKGROUND),
                background=first + np.flatnonzero(labels == BACKGROUND),
            )
            first += len(boxes)
        return windows.finish()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def checksum(self) -> int:
        """A number that tells these windows and their labels from others."""
        total = 0
        for array in (self.image_index, self.boxes, self.labels):
            total = zlib.crc32(np.ascontiguousarray(array), total)
        return total

    def draw(self, n: int, n_positive: int, rng) -> np.ndarray:
        """Choose `n` windows, `n_positive` positives first, each kind uniformly over all images; int64 [n]."""
        positives = self.positives[rng.integers(len(self.positives), size=n_positive)]
        background = self.background[rng.integers(len(self.background), size=n - n_positive)]
        return np.concatenate([positives, background])

    def warper(self, network: Network, *, mode: str = "warp", padding: int = CONTEXT_PADDING) -> WindowWarper:
        """What turns windows into the crops that `network` reads, on its device."""
        return WindowWarper(
            self.images,
            size=network.input_size,
            mode=mode,
            padding=padding,
            mean=network.mean,
            std=network.std,
            bgr=network.bgr,
            device=network.device,
            threads=1 if network.device.type == "cpu" else None,  # the network keeps the cores busy
        )


@dataclass(frozen=True)
class Batch:
    """One step's windows.

    Attributes
    ----------
    windows : int64 array [n]
        Rows of `TrainingWindows`.
    mirrored : bool array [n]
    """

    windows: np.ndarray
    mirrored: np.ndarray


def compose_batch(windows: TrainingWindows, settings: FinetuneSettings, step: int) -> Batch:
    """Choose the windows of a step; the seed and the step decide them, and nothing else does."""
    rng = np.random.default_rng([settings.seed, step])
    chosen = windows.draw(settings.batch_size, settings.positives, rng)
    mirrored = (rng.random(settings.batch_size) < 0.5) & settings.mirror
    return Batch(chosen, mirrored)


def learning_rate(step: int, settings: FinetuneSettings) -> float:
    """Learning rate of a step, counted from 0: lowered by a factor at regular intervals."""
    return settings.lr * settings.lr_drop ** (step // settings.lr_drop_every)


def parameter_groups(module, settings: FinetuneSettings) -> list[dict]:
    """Parameters by how fast they learn and whether they decay, as `torch.optim.SGD` wants them.

    ``multiplier`` of a group is the factor on the learning rate: 1 for weights, `bias_rate` for biases, and
    `new_layer_rate` times as much in the new classifier (the released code: 1, 2, 10 and 20).
    """
    groups = []
    for of_classifier in (False, True):
        for is_bias in (False, True):
            parameters = [
                parameter
                for name, parameter in module.named_parameters()
                if name.startswith("classifier.") == of_classifier and (parameter.ndim == 1) == is_bias
            ]
            multiplier = (settings.new_layer_rate if of_classifier else 1.0) * (
                settings.bias_rate if is_bias else 1.0
            )
            decay = 0.0 if is_bias else settings.weight_decay
            groups.append({"params": parameters, "multiplier": multiplier, "weight_decay": decay})
    return groups


def finetune(
    network: Network,
    dataset,
    proposals: Mapping,
    *,
    val=None,
    val_proposals: Mapping | None = None,
    settings: FinetuneSettings | None = None,
    out=None,
    validate_every: int | None = None,
    checkpoint_seconds: float = 60.0,
    image_memory: int | None = None,
    progress: bool = True,
) -> FinetuneResult:
    """Fine-tune `network` on the warped proposals of a data set (sec. 2.3).

    With `out`, Ctrl-C leaves a checkpoint beside it (``.checkpoint``), and one is written every
    `checkpoint_seconds`; the same call goes on from there. The checkpoint is removed at the end. Under
    ``torchrun`` every process calls this with the same arguments and takes its share of each batch; the first one
    reports and writes.

    Parameters
    ----------
    network : Network
        Pre-trained. It is left as it is; training starts from a copy with a new classifier.
    dataset : VOCDataset or the like
    proposals : mapping of image id to float32 [N, 4]
    val : VOCDataset or the like, optional
        Images for the validation part of the curve.
    val_proposals : mapping, optional
        Their proposals.
    settings : FinetuneSettings, optional
        By default `settings_for` the network.
    out : path-like, optional
        Weights to write, a ``.safetensors`` file (float16), the classes and settings in its header; the curve goes
        beside it (``.csv``) and grows while the run lasts.
    validate_every : int, optional
        Steps between two rows of the curve; by default a twelfth of all, at most 1000.
    checkpoint_seconds : float
        Time between two checkpoints.
    image_memory : int, optional
        Bytes for the decoded images of either data set, see `TrainingWindows`; by default half of what is free.
    progress : bool
        Show progress bars and a line for each row of the curve.

    Raises
    ------
    DatasetError, TrainingError
        See `TrainingWindows`.
    TrainingError
        If the loss is no longer a number.
    WeightsError
        If a checkpoint lies there that was made with other settings or is damaged.
    """
    settings = settings or settings_for(network.name)
    with processes(network.device.type) as here:
        progress = progress and here.is_first
        labels = {"positive_iou": settings.positive_iou, "negative_iou": settings.negative_iou}
        options = labels | {"image_memory": image_memory, "progress": progress}
        windows = TrainingWindows(dataset, proposals, **options)
        val_windows = None
        if val is not None:
            val_windows = TrainingWindows(val, val_proposals, **options)
        run = _Run(network, windows, val_windows, settings, out, here)
        every = validate_every or max(1, min(1000, settings.steps // 12))
        run.train(every, checkpoint_seconds, progress)
        if out is not None and here.is_first:
            run.write(out)
        here.wait()
    tuned = (
        run.network if out is None else load_network(network.name, weights=out, device=str(network.device))
    )
    return FinetuneResult(tuned, pd.DataFrame(run.history), run.seconds)


class _Run:
    """The state of one fine-tuning run."""

    def __init__(self, network, windows, val_windows, settings, out, here: Processes):
        self.settings = settings
        self.here = here
        self.share = here.share(settings.batch_size)
        self.windows, self.val_windows = windows, val_windows
        self.val_warper = None
        self.network = network.with_classifier(len(windows.classes) + 1, seed=settings.seed)
        self.module = self.network.module
        self.module.dropout = settings.dropout
        self.module.share = (here.rank, here.count)
        self.optimizer = torch.optim.SGD(
            parameter_groups(self.module, settings), lr=settings.lr, momentum=settings.momentum
        )
        self.step, self.seconds, self.started = 0, 0.0, time.monotonic()
        self.history, self.recent_losses = [], []
        self.curve_path = None if out is None else Path(out).with_suffix(".csv")
        identity = {
            "settings": asdict(settings),
            "network": network.fingerprint,
            "classes": list(windows.classes),
            "windows": [len(windows), windows.checksum],
        }
        self.checkpoint = None if out is None else Checkpoint(Path(out).with_suffix(".checkpoint"), identity)
        self._restore()
        self.trained = self.module
        if here.count > 1:
            self.trained = torch.nn.parallel.DistributedDataParallel(
                self.module, gradient_as_bucket_view=True
            )
        self.autocast = torch.autocast(
            network.device.type, torch.bfloat16, enabled=fast_bfloat16(network.device)
        )

    def train(self, validate_every: int, checkpoint_seconds: float, progress: bool) -> None:
        """Go on from the current step to the last one."""
        from tqdm.auto import tqdm

        steps = self.settings.steps
        bar = tqdm(total=steps, initial=self.step, desc="fine-tuning", unit="batch", disable=not progress)
        devices = [self.network.device] if self.network.device.type == "cuda" else []
        self.module.train()
        self.started = saved = time.monotonic()
        try:
            with bar, torch.random.fork_rng(devices=devices):
                # Ctrl-C may have come between a step and its row of the curve.
                self._look_if_due(validate_every, bar)
                for crops, labels in self._batches():
                    self._train_step(crops, labels)
                    bar.update()
                    save = time.monotonic() - saved > checkpoint_seconds
                    if save or self._look_is_due(validate_every):
                        self._count_time()
                        self._look_if_due(validate_every, bar)
                        if save:
                            self._save()
                            saved = time.monotonic()
                        self.started = time.monotonic()
        except KeyboardInterrupt:
            self._count_time()
            self._save()
            raise
        finally:
            self.module.eval()

    def write(self, out) -> None:
        """Write the fine-tuned weights; the checkpoint has done its service."""
        self.network.save(
            out,
            precision="float16",
            metadata={
                "classes": ["background", *self.windows.classes],
                "settings": asdict(self.settings),
                "result": self.history[-1] if self.history else {},
            },
        )
        self.checkpoint.remove()

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Crops and labels of this process's share of every batch that is left."""
        network, settings = self.network, self.settings
        warper = self.windows.warper(network, mode=settings.warp_mode, padding=settings.padding)
        buffers = [None, None]
        if network.device.type == "cpu":
            size = self.share.stop - self.share.start
            buffers = [crop_buffer(size, network.input_size, torch.float32) for _ in buffers]

        def make(step):
            batch = compose_batch(self.windows, settings, step)
            rows, mirrored = batch.windows[self.share], batch.mirrored[self.share]
            crops = warper(
                self.windows.image_index[rows],
                self.windows.boxes[rows],
                mirrored=mirrored,
                out=buffers[step % 2],
            )
            labels = torch.from_numpy(self.windows.labels[rows].astype(np.int64))
            return crops, labels.to(network.device, non_blocking=True)

        yield from Prefetcher(make, self.step, settings.steps)

    def _train_step(self, crops, labels) -> None:
        rate = learning_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["multiplier"]
        # Dropout, too, follows from seed and step alone; 2 keeps it apart from the draw of the windows.
        torch.manual_seed(
            int(np.random.SeedSequence([self.settings.seed, self.step, 2]).generate_state(1)[0])
        )
        with self.autocast:
            scores = self.trained(crops)
        loss = F.cross_entropy(scores.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        loss = self.here.mean(loss.detach())
        with interrupts_held():
            self.optimizer.step()
            self.step += 1
            self.recent_losses.append(loss)

    def _look_is_due(self, every: int) -> bool:
        at_step = self.step > 0 and (self.step % every == 0 or self.step == self.settings.steps)
        return at_step and not (self.history and self.history[-1]["step"] == self.step)

    def _look_if_due(self, every: int, bar) -> None:
        """Append a row to the curve every so many steps, and write it."""
        if not self._look_is_due(every):
            return
        row = self._look()
        with interrupts_held():
            self.history.append(row)
            self.recent_losses = []
        if self.here.is_first and self.curve_path is not None:
            curve = pd.DataFrame(self.history).to_csv(index=False).encode()
            atomic_write(self.curve_path, lambda file: file.write(curve))
        if not bar.disable:
            bar.write(_line(row))

    def _look(self) -> dict[str, float]:
        """A row of the curve."""
        loss = torch.stack(self.recent_losses).mean()
        if not torch.isfinite(loss):
            if self.checkpoint is not None and self.here.is_first:
                self.checkpoint.remove()
            raise TrainingError(
                f"the loss is {float(loss)} after {self.step} steps: training has diverged; lower the learning "
                f"rate ({self.settings.lr}) and start again"
            )
        row = {
            "step": self.step,
            "windows": self.step * self.settings.batch_size,
            "seconds": round(self.seconds, 1),
            "lr": learning_rate(self.step - 1, self.settings),
            "train_loss": float(loss),
        }
        if self.val_windows is not None and self.here.is_first:
            row |= self._validate()
        return row

    def _validate(self) -> dict[str, float]:
        """Loss and accuracy over validation windows, mixed as the training batches are."""
        settings, windows = self.settings, self.val_windows
        n_positive = VALIDATION_WINDOWS * settings.positives // settings.batch_size
        rows = windows.draw(VALIDATION_WINDOWS, n_positive, np.random.default_rng(0))
        if self.val_warper is None:
            self.val_warper = windows.warper(self.network, mode=settings.warp_mode, padding=settings.padding)
        self.module.eval()
        loss, right = 0.0, []
        with torch.inference_mode(), self.autocast:
            for part in np.array_split(rows, -(-len(rows) // settings.batch_size)):
                scores = self.module(self.val_warper(windows.image_index[part], windows.boxes[part])).float()
                labels = torch.from_numpy(windows.labels[part].astype(np.int64)).to(scores.device)
                loss += float(F.cross_entropy(scores, labels, reduction="sum"))
                right.append((scores.argmax(dim=1) == labels).cpu().numpy())
        self.module.train()
        right = np.concatenate(right)
        return {
            "val_loss": loss / len(rows),
            "val_accuracy": float(right.mean()),
            "val_object_accuracy": float(right[:n_positive].mean()),
        }

    def _count_time(self) -> None:
        """Count what passed since `started` as training time."""
        if self.network.device.type == "cuda":
            torch.cuda.synchronize(self.network.device)
        now = time.monotonic()
        self.seconds += now - self.started
        self.started = now

    def _save(self) -> None:
        if self.checkpoint is None or not self.here.is_first:
            return
        self.checkpoint.save(
            self.module,
            self.optimizer,
            step=self.step,
            seconds=self.seconds,
            history=self.history,
            recent_losses=[float(loss) for loss in self.recent_losses],
        )

    def _restore(self) -> None:
        state = None if self.checkpoint is None else self.checkpoint.restore(self.module, self.optimizer)
        if state is None:
            return
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self.recent_losses = [
            torch.tensor(loss, device=self.network.device) for loss in state["recent_losses"]
        ]


def _line(row: dict[str, float]) -> str:
    text = (
        f"step {row['step']:6d}  {row['seconds']:7.0f} s  rate {row['lr']:.0e}  loss {row['train_loss']:.3f}"
    )
    if "val_loss" not in row:
        return text
    return (
        f"{text}  val loss {row['val_loss']:.3f}  right {100 * row['val_accuracy']:.1f}%, "
        f"of objects {100 * row['val_object_accuracy']:.1f}%"
    )
