"""What the paper's procedure takes on a data set: hours, disk, memory and money, from the cost of each part.

The procedure (sec. 2 and 4) does the same few things again and again: propose boxes for an image, warp a region
and send it through the network, read its features, step through a batch. `cost_measurement.measure` times each of
them on this machine in about a minute; `plan` multiplies. So the whole of PASCAL VOC, or of ILSVRC2013, can be
planned on a laptop that could not hold it.

A plan is arithmetic on measured parts, not a promise. Three of its numbers were measured elsewhere and once:
`PAIRS_PER_OBJECT`, `SVM_TRAININGS` and `SVM_ROWS` say where. A column for a GPU is an estimate from published
throughput (`RTX_3090`), and says so.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.settings import MAX_PROPOSALS

# Pairs of proposal and object that teach box regression, for each object, its own box among them: 657 pairs of 104
# objects in 40 photographs of VOC 2007, with 1,931 proposals each.
PAIRS_PER_OBJECT = 6.3
# How often a class's SVM is trained in one pass, and on how many rows. On ToyVOC 3.0 times with 50 pictures, 3.5
# with 100 and 4.3 with 200, on 2,000 to 2,400 rows on average; for thousands of photographs this is a guess.
SVM_TRAININGS = 10
SVM_ROWS = 5000
# Bytes of rows that the SVMs keep, or twice what their positives take if that is more (`svm.mining.ROW_MEMORY`).
SVM_MEMORY = 4 * 2**30
# Boxes of an image on disk: four float32 each.
BOX_BYTES = 16
# Fine-tuning's batch (sec. 2.3) and its steps in the released code.
BATCH = 128
STEPS = 70_000

_HOUR = 3600.0
_GB = 1e9


@dataclass(frozen=True)
class Workload:
    """A data set in the roles of the paper's procedure.

    Attributes
    ----------
    name : str
    images : int
        To train on, annotated in full: they have proposals.
    objects : int
        In these images, difficult ones included.
    test_images, classes : int
    partial_images, partial_objects : int
        Images of which some boxes are taken as positives, and nothing else (sec. 4.3), and those boxes.
    mined_images : int, optional
        Hard negatives come from so many images (sec. 4.3); by default from all that are annotated in full.
    download_gb : float
        Archives, in 10^9 bytes.
    steps : int
        Batches of fine-tuning.
    """

    name: str
    images: int
    objects: int
    test_images: int
    classes: int
    partial_images: int = 0
    partial_objects: int = 0
    mined_images: int | None = None
    download_gb: float = 0.0
    steps: int = STEPS

    def __post_init__(self):
        for field in ("images", "objects", "test_images", "classes", "steps"):
            if getattr(self, field) < 1:
                raise SettingsError(f"{self.name}: {field} is {getattr(self, field)}; it must be 1 or more")


# ILSVRC's images take 115 KB each on average, as those of ILSVRC2012 do (its training archive has 147.9 GB).
_ILSVRC_IMAGE_GB = 115e3 / _GB
# Sec. 4.1; train has 345,854 boxes and val 55,502 (Russakovsky et al., 2015). val+train1k takes at most 1,000
# boxes of each of 200 classes, in at most as many images.
_ILSVRC = {"test_images": 40_152, "classes": 200, "mined_images": 5000, "steps": 50_000}

WORKLOADS = {
    "voc2007": Workload("VOC 2007", 5011, 15_662, 4952, 20, download_gb=0.91),
    "voc2012": Workload("VOC 2012", 11_540, 31_561, 10_991, 20, download_gb=3.8),
    "ilsvrc13": Workload(
        "ILSVRC2013, val+train1k",
        20_121,
        55_502,
        partial_images=200_000,
        partial_objects=200_000,
        download_gb=(395_918 + 20_121 + 40_152) * _ILSVRC_IMAGE_GB,
        **_ILSVRC,
    ),
    "ilsvrc13_all": Workload(
        "ILSVRC2013, all of train and val",
        395_918 + 20_121,
        345_854 + 55_502,
        download_gb=(395_918 + 20_121 + 40_152) * _ILSVRC_IMAGE_GB,
        **_ILSVRC,
    ),
}


@dataclass(frozen=True)
class Costs:
    """What each part of the procedure costs on one machine, as `measure` finds it.

    Attributes
    ----------
    network, device, precision, machine, date : str
        What was measured, where and when.
    pool5, deepest : int
        Numbers that describe a region in pool5, and in the layer that the SVMs read.
    decode, propose : float
        Seconds an image: reading its JPEG file, and selective search.
    forward : float
        Seconds a region: warping it and computing pool5.
    deeper : float
        Seconds a region: from pool5 to the layer of the SVMs.
    write, read : float
        Seconds a region: pool5 into the store and back, checksums included.
    score : float
        Seconds a region and class: the SVMs' scores.
    search : float
        Seconds a region and class: scores, regressed boxes, the choice of candidates and suppression.
    solve : float
        Seconds a row: one training of one class's SVM.
    train_window : float
        Seconds a window: fine-tuning's whole step, forward and backward.
    gflops : float
        10^9 operations a second in the sums of ridge regression.
    stored : float
        Bytes of a region in the store, at most.
    resident, forward_memory, train_memory : float
        GB of the process at its highest: with the network loaded, while it computes features, while it is
        fine-tuned.
    forward_gflop, deeper_gflop : float
        10^9 operations a region, from the crop to pool5, and from there to the layer of the SVMs.
    """

    network: str
    device: str
    precision: str
    machine: str
    date: str
    pool5: int
    deepest: int
    decode: float
    propose: float
    forward: float
    deeper: float
    write: float
    read: float
    score: float
    search: float
    solve: float
    train_window: float
    gflops: float
    stored: float
    resident: float
    forward_memory: float
    train_memory: float
    forward_gflop: float
    deeper_gflop: float

    @classmethod
    def from_dict(cls, values: Mapping) -> "Costs":
        """Costs from the values of a JSON file.

        Raises
        ------
        SettingsError
            If a value is missing, unknown, or no number where one belongs.
        """
        names = {field.name: field.type for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != set(names):
            wrong = (
                sorted(set(names) ^ set(values)) if isinstance(values, Mapping) else [type(values).__name__]
            )
            raise SettingsError(
                f"these are not the costs of a machine: {', '.join(wrong[:3])} is missing or unknown; make the "
                "file anew with rcnn plan --json"
            )
        for name, kind in names.items():
            value = values[name]
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_number == (kind is str) or (is_number and not 0 <= value < math.inf):
                raise SettingsError(f"the cost {name} is {value!r}; make the file anew with rcnn plan --json")
        return cls(**values)


@dataclass(frozen=True)
class Accelerator:
    """A card by its published throughput.

    Attributes
    ----------
    name : str
    forward_tflops, train_tflops : float
        10^12 operations a second that it keeps up in the forward pass, and in whole training steps.
    source : str
    """

    name: str
    forward_tflops: float
    train_tflops: float
    source: str


# VGG-16 at 224 pixels, mixed precision, channels last: 1,729 images a second forward and 546 in training, times
# its 30.9 GFLOP an image, and three times as many for a step.
RTX_3090 = Accelerator(
    "NVIDIA RTX 3090",
    1729.39 * 30.94e-3,
    546.06 * 3 * 30.94e-3,
    "timm's published benchmarks of VGG-16 (results/benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv and "
    "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv in huggingface/pytorch-image-models)",
)


@dataclass(frozen=True)
class Stage:
    """What one stage takes.

    Attributes
    ----------
    name : str
    hours : float
        On one machine.
    disk_gb : float
        What it leaves on disk, at most.
    memory_gb : float
        Of the process at its highest; fine-tuning also keeps as many decoded images as half of the rest holds.
    spread : {"images", "batches", "no"}
        How several machines can share it: each takes its images; each takes its part of every batch
        (``torchrun``); not at all.
    gpu_hours : float
        Estimated, with the network on an `Accelerator` and all else on the machine that was measured.
    """

    name: str
    hours: float
    disk_gb: float
    memory_gb: float
    spread: str
    gpu_hours: float


def plan(
    work: Workload,
    costs: Costs,
    *,
    proposals: int = MAX_PROPOSALS,
    batch: int = BATCH,
    megabits: float = 100.0,
    card: Accelerator = RTX_3090,
) -> tuple[Stage, ...]:
    """Plan the paper's procedure on a data set.

    Its order is that of the paper and of the commands: proposals, fine-tuning, features, SVMs, box regression, a
    threshold for each class, and the detection of the test images.

    Parameters
    ----------
    work : Workload
    costs : Costs
    proposals : int
        Boxes an image (sec. 2.2: about 2,000).
    batch : int
        Windows in a batch of fine-tuning.
    megabits : float
        Of the network connection, in 10^6 bits a second.
    card : Accelerator
        For `Stage.gpu_hours`.

    Raises
    ------
    SettingsError
        If a number is not above zero.
    """
    for name, value in {"proposals": proposals, "batch": batch, "megabits": megabits}.items():
        if not value > 0:
            raise SettingsError(f"{name} is {value}; it must be above zero")
    regions = _regions(work, proposals)
    return (
        _download(work, megabits),
        _proposals(work, costs, proposals),
        _fine_tuning(work, costs, batch, card),
        _features("features, train", work.images + work.partial_images, regions["train"], costs, card),
        _features("features, test", work.test_images, regions["test"], costs, card),
        _svms(work, costs, regions, proposals, card),
        _box_regression(work, costs, regions["full"], proposals),
        _search("thresholds", work, regions["full"], costs, card),
        _search("detection, test", work, regions["test"], costs, card),
    )


def total(stages: Iterable[Stage]) -> Stage:
    """All stages as one: hours and disk add up, of memory the highest counts."""
    stages = tuple(stages)
    return Stage(
        "total",
        sum(stage.hours for stage in stages),
        sum(stage.disk_gb for stage in stages),
        max(stage.memory_gb for stage in stages),
        "",
        sum(stage.gpu_hours for stage in stages),
    )


def hours_on(stage: Stage, machines: int) -> float:
    """Hours of a stage that is shared by several machines, each as fast as the one measured.

    Stages of single images are divided evenly. Fine-tuning stays on one machine: between machines each step waits
    for the slowest and for the gradients, and what that costs was not measured.
    """
    if machines < 1:
        raise SettingsError(f"the number of machines is {machines}; it must be 1 or more")
    return stage.hours / machines if stage.spread == "images" else stage.hours


def most_speedup(stages: Iterable[Stage]) -> float:
    """How many times as fast any number of machines could be (Amdahl): all hours over those not shared."""
    stages = tuple(stages)
    alone = sum(stage.hours for stage in stages if stage.spread != "images")
    return math.inf if alone == 0 else sum(stage.hours for stage in stages) / alone


def money(hours: float, price: float) -> float:
    """What the hours cost at a price per hour; several machines for a shorter time cost the same."""
    if price < 0:
        raise SettingsError(f"the price is {price} an hour; it must be 0 or more")
    return hours * price


# -- the stages ----------------------------------------------------------------------------------------------


def _regions(work: Workload, proposals: int) -> dict[str, int]:
    """Regions of the images annotated in full, of all training images, and of the test images."""
    full = work.images * proposals + work.objects
    return {"full": full, "train": full + work.partial_objects, "test": work.test_images * proposals}


def _download(work: Workload, megabits: float) -> Stage:
    hours = work.download_gb * 8e3 / megabits / _HOUR
    return Stage("download", hours, work.download_gb, 0.1, "no", hours)


def _proposals(work: Workload, costs: Costs, proposals: int) -> Stage:
    images = work.images + work.test_images
    hours = images * (costs.decode + costs.propose) / _HOUR
    return Stage("proposals", hours, images * proposals * BOX_BYTES / _GB, costs.resident, "images", hours)


def _fine_tuning(work: Workload, costs: Costs, batch: int, card: Accelerator) -> Stage:
    """Images beyond what half of the free memory holds are decoded again by other threads; windows go to files."""
    images = work.images + work.partial_images
    windows = work.steps * batch
    reading = images * costs.decode
    on_card = windows * 3 * (costs.forward_gflop + costs.deeper_gflop) / card.train_tflops / 1e3
    hours = (reading + windows * costs.train_window) / _HOUR
    return Stage("fine-tuning", hours, 0.0, costs.train_memory, "batches", (reading + on_card) / _HOUR)


def _features(name: str, images: int, regions: int, costs: Costs, card: Accelerator) -> Stage:
    kept = images * costs.decode + regions * costs.write
    on_card = regions * costs.forward_gflop / card.forward_tflops / 1e3
    return Stage(
        name,
        (kept + regions * costs.forward) / _HOUR,
        regions * costs.stored / _GB,
        costs.forward_memory,
        "images",
        (kept + on_card) / _HOUR,
    )


def _svms(work: Workload, costs: Costs, regions: Mapping, proposals: int, card: Accelerator) -> Stage:
    """Two rounds through the features: one gathers the positives, one mines the hard negatives."""
    mined = min(work.images, work.mined_images or work.images) * proposals
    reading = 2 * regions["train"] * costs.read
    deeper = 2 * regions["train"] * costs.deeper
    on_card = 2 * regions["train"] * costs.deeper_gflop / card.forward_tflops / 1e3
    rest = mined * work.classes * costs.score + work.classes * SVM_TRAININGS * SVM_ROWS * costs.solve
    row_bytes = 4 * costs.deepest + 5 * work.classes + 40
    positives = (work.objects + work.partial_objects) * row_bytes
    wanted = positives + work.classes * SVM_ROWS * row_bytes
    rows_gb = min(wanted, max(SVM_MEMORY, 2 * positives)) / _GB
    memory = costs.resident + rows_gb + _image_gb(costs, proposals)
    return Stage(
        "SVMs", (reading + deeper + rest) / _HOUR, 0.0, memory, "no", (reading + on_card + rest) / _HOUR
    )


def _box_regression(work: Workload, costs: Costs, regions: int, proposals: int) -> Stage:
    """One round through pool5; then for each class a system as large as its pairs, or as its features."""
    d = costs.pool5
    pairs = PAIRS_PER_OBJECT * work.objects / work.classes
    side, other = min(pairs, d), max(pairs, d)
    operations = work.classes * (side * side * other + side**3 / 3)
    hours = (regions * costs.read + operations / costs.gflops / 1e9) / _HOUR
    memory = costs.resident + work.classes * side * d * 4 / _GB + _image_gb(costs, proposals)
    return Stage("box regression", hours, 0.0, memory, "no", hours)


def _search(name: str, work: Workload, regions: int, costs: Costs, card: Accelerator) -> Stage:
    rest = regions * (costs.read + work.classes * costs.search)
    on_card = regions * costs.deeper_gflop / card.forward_tflops / 1e3
    proposals = regions / (work.images if name == "thresholds" else work.test_images)
    boxes = proposals * work.classes * 4 * 8 / _GB
    memory = costs.resident + _image_gb(costs, proposals) + boxes
    return Stage(
        name, (rest + regions * costs.deeper) / _HOUR, 0.0, memory, "images", (rest + on_card) / _HOUR
    )


def _image_gb(costs: Costs, proposals: float) -> float:
    """One image's features in float32, as read and scaled."""
    return proposals * (2 * costs.pool5 + 2 * costs.deepest) * 4 / _GB
