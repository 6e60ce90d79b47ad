"""Fine-tuning: labels, batches, one step by hand, resuming, several processes, and the command."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from rcnn_helpers import finetuning, networks
from rcnn_helpers.cli import main
from rcnn_helpers.errors import DatasetError, SettingsError, TrainingError, WeightsError
from rcnn_helpers.finetuning import (
    LABELS,
    SETTINGS,
    FinetuneSettings,
    TrainingWindows,
    compose_batch,
    finetune,
    label_windows,
    learning_rate,
    parameter_groups,
    settings_for,
)
from rcnn_helpers.networks import Network, NetworkSpec, RegionNet, load_network
from rcnn_helpers.networks.network import initialise, shared_dropout
from rcnn_helpers.networks.tnet import ResponseNorm
from rcnn_helpers.warping import warp_reference

CLASSES = ("red", "blue")
QUICK = FinetuneSettings(steps=8, batch_size=8, positives=2, lr=0.01, lr_drop_every=5, seed=3)


def build_tiny(n_classes):
    """A region network like the T-Net in all parts, but small: crops of 35 pixels, 2 x 2 cells in pool5."""
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=4),  # 35 -> 8
        nn.ReLU(inplace=True),
        ResponseNorm(8),
        nn.Conv2d(8, 12, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
    )
    return RegionNet(
        trunk, nn.MaxPool2d(4, 4), nn.Linear(48, 32), nn.Linear(32, 32), nn.Linear(32, n_classes)
    )


TINY = NetworkSpec("tiny", build_tiny, 35, (120.0, 115.0, 105.0), (60.0, 60.0, 60.0), {"pool5": (12, 2, 2)})


@pytest.fixture(autouse=True, scope="module")
def tiny_on_offer():
    networks.NETWORKS["tiny"] = TINY
    yield
    del networks.NETWORKS["tiny"]


def tiny_network() -> Network:
    module = build_tiny(5)
    initialise(module, seed=1)
    return Network(TINY, module)


@dataclasses.dataclass
class Annotation:
    boxes: np.ndarray
    names: tuple


class Squares:
    """Noise with a red square on the left, a blue one on the right, and a thing of no class below."""

    classes = CLASSES

    def __init__(self, n=3):
        self.ids = [f"{index:06d}" for index in range(n)]

    def image(self, image_id):
        image = np.random.default_rng(int(image_id)).integers(60, 200, (70, 100, 3), dtype=np.uint8)
        image[10:40, 10:40] = (255, 0, 0)
        image[10:40, 55:85] = (0, 0, 255)
        return image

    def annotation(self, image_id):
        boxes = np.array([[10, 10, 40, 40], [55, 10, 85, 40], [30, 45, 60, 65]], np.float32)
        return Annotation(boxes, ("red", "blue", "thing"))


def proposals_of(dataset, n=60):
    """Boxes near the objects and anywhere."""
    found = {}
    for image_id in dataset.ids:
        rng = np.random.default_rng([7, int(image_id)])
        objects = dataset.annotation(image_id).boxes
        near = objects[rng.integers(3, size=n // 2)] + rng.uniform(-8, 8, (n // 2, 4))
        start = rng.uniform(0, [70, 40], (n // 2, 2))
        anywhere = np.concatenate([start, start + rng.uniform(8, 30, (n // 2, 2))], axis=1)
        boxes = np.concatenate([near, anywhere])
        found[image_id] = np.clip(boxes, 0, [100, 70, 100, 70]).astype(np.float32)
    return found


def run(out=None, *, settings=QUICK, n=3, **options):
    dataset = Squares(n)
    options = {"validate_every": 3, "progress": False} | options
    return finetune(tiny_network(), dataset, proposals_of(dataset), settings=settings, out=out, **options)


@pytest.fixture
def windows():
    dataset = Squares()
    return TrainingWindows(dataset, proposals_of(dataset))


@pytest.fixture
def full_precision(monkeypatch):
    """No bfloat16, so that results can be compared with arithmetic done here."""
    monkeypatch.setattr(finetuning, "fast_bfloat16", lambda device: False)


# -- what a window teaches ---------------------------------------------------------------------------------


def test_labels_of_hand_computed_overlaps():
    annotation = Annotation(
        np.array([[0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]], np.float32), ("blue", "red", "thing")
    )
    boxes = [
        [0, 0, 10, 10],  # IoU 1 and 1/2: blue
        [0, 0, 10, 15],  # IoU 2/3 and 3/4: red
        [0, 0, 10, 5],  # IoU 1/2 and 1/4: blue, at the threshold
        [0, 0, 10, 4.9],  # just below it
        [50, 50, 60, 60],  # an object of no class
        [30, 30, 40, 40],  # nothing
    ]
    assert label_windows(boxes, annotation, CLASSES).tolist() == [2, 1, 2, 0, 0, 0]
    # Between the two thresholds a window is not used.
    assert label_windows(boxes, annotation, CLASSES, positive_iou=0.7, negative_iou=0.4).tolist() == [
        2,
        1,
        -1,
        -1,
        0,
        0,
    ]
    assert label_windows(boxes, annotation, CLASSES, **LABELS["ground_truth"]).tolist() == [
        2,
        -1,
        -1,
        -1,
        0,
        0,
    ]


def test_the_first_of_equally_good_objects_counts():
    annotation = Annotation(np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32), ("blue", "red"))
    assert label_windows([[0, 0, 10, 9]], annotation, CLASSES).tolist() == [2]


def test_without_objects_everything_is_background():
    nothing = Annotation(np.zeros((0, 4), np.float32), ())
    labels = label_windows([[0, 0, 5, 5]], nothing, CLASSES)
    assert labels.dtype == np.int64 and labels.tolist() == [0]
    assert label_windows(np.zeros((0, 4)), nothing, CLASSES).shape == (0,)


def slow_label(box, annotation, positive_iou, negative_iou):
    best, label = 0.0, 0
    for other, name in zip(annotation.boxes.tolist(), annotation.names, strict=True):
        if name not in CLASSES:
            continue
        width = max(0, min(box[2], other[2]) - max(box[0], other[0]))
        height = max(0, min(box[3], other[3]) - max(box[1], other[1]))
        union = (
            (box[2] - box[0]) * (box[3] - box[1])
            + (other[2] - other[0]) * (other[3] - other[1])
            - width * height
        )
        overlap = width * height / union
        if overlap > best:
            best, label = overlap, 1 + CLASSES.index(name)
    if best >= positive_iou:
        return label
    return 0 if best < negative_iou else -1


corner = st.integers(0, 8)
side = st.integers(1, 8)
box_strategy = st.tuples(corner, corner, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


@hypothesis_settings(max_examples=60)
@given(
    st.lists(box_strategy, min_size=1, max_size=6),
    st.lists(st.tuples(box_strategy, st.sampled_from(["red", "blue", "thing"])), min_size=1, max_size=4),
    # No quotient of two areas in play comes close to these, so rounding cannot decide.
    st.sampled_from([(0.5003, 0.5003), (0.5003, 0.3007), (0.7009, 0.1011)]),
)
def test_labels_agree_with_a_slow_loop(boxes, objects, thresholds):
    annotation = Annotation(np.array([box for box, _ in objects], np.float32), tuple(n for _, n in objects))
    positive_iou, negative_iou = thresholds
    labels = label_windows(boxes, annotation, CLASSES, positive_iou=positive_iou, negative_iou=negative_iou)
    assert labels.tolist() == [slow_label(box, annotation, *thresholds) for box in boxes]


def test_the_windows_are_objects_and_proposals_of_all_images(windows):
    dataset = Squares()
    proposals = proposals_of(dataset)
    assert len(windows) == 3 * 63
    assert np.bincount(windows.image_index).tolist() == [63, 63, 63]
    for position, image_id in enumerate(dataset.ids):
        rows = windows.image_index == position
        annotation = dataset.annotation(image_id)
        np.testing.assert_array_equal(
            windows.boxes[rows], np.concatenate([annotation.boxes, proposals[image_id]])
        )
        assert windows.labels[rows][:3].tolist() == [1, 2, 0]
        np.testing.assert_array_equal(windows.images[position], dataset.image(image_id))
    assert set(windows.positives) | set(windows.background) == set(range(len(windows)))


def test_an_image_without_an_entry_in_the_proposals_is_refused():
    dataset = Squares()
    proposals = proposals_of(dataset)
    del proposals["000001"]
    with pytest.raises(DatasetError, match="1 images have no proposals, the first is 000001"):
        TrainingWindows(dataset, proposals)


def test_without_positives_or_background_nothing_can_be_learnt():
    dataset = Squares()
    dataset.classes = ("green",)
    with pytest.raises(TrainingError, match="is a positive.*green"):
        TrainingWindows(dataset, proposals_of(dataset))
    dataset = Squares()
    with pytest.raises(TrainingError, match="is a background"):
        TrainingWindows(dataset, proposals_of(dataset), negative_iou=0.0)


# -- batches and schedule ----------------------------------------------------------------------------------


def test_a_batch_has_the_asked_for_positives_first(windows):
    batch = compose_batch(windows, QUICK, 0)
    labels = windows.labels[batch.windows]
    assert len(batch.windows) == len(batch.mirrored) == 8
    assert (labels[:2] > 0).all() and (labels[2:] == 0).all()


def test_windows_that_are_not_used_are_never_drawn():
    dataset = Squares()
    windows = TrainingWindows(dataset, proposals_of(dataset), **LABELS["ground_truth"])
    drawn = np.concatenate([compose_batch(windows, QUICK, step).windows for step in range(300)])
    assert (windows.labels == -1).any() and (windows.labels[drawn] >= 0).all()


def test_batches_follow_from_seed_and_step_alone(windows):
    first = compose_batch(windows, QUICK, 4)
    compose_batch(windows, QUICK, 5)
    again = compose_batch(windows, QUICK, 4)
    np.testing.assert_array_equal(first.windows, again.windows)
    np.testing.assert_array_equal(first.mirrored, again.mirrored)
    for other in (
        compose_batch(windows, QUICK, 5),
        compose_batch(windows, dataclasses.replace(QUICK, seed=4), 4),
    ):
        assert (first.windows != other.windows).any()


def test_each_kind_is_drawn_uniformly_and_half_are_mirrored(windows):
    settings = dataclasses.replace(QUICK, batch_size=400, positives=200)
    batches = [compose_batch(windows, settings, step) for step in range(100)]
    for rows, drawn in (
        (windows.positives, np.concatenate([batch.windows[:200] for batch in batches])),
        (windows.background, np.concatenate([batch.windows[200:] for batch in batches])),
    ):
        counts = np.bincount(drawn, minlength=len(windows))[rows]
        expected = 20_000 / len(rows)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        degrees = len(rows) - 1
        assert abs(chi_square - degrees) < 4 * np.sqrt(2 * degrees)
    mirrored = np.mean([batch.mirrored.mean() for batch in batches])
    assert abs(mirrored - 0.5) < 4 * 0.5 / np.sqrt(40_000)
    still = compose_batch(windows, dataclasses.replace(settings, mirror=False), 0)
    assert not still.mirrored.any()


def test_the_learning_rate_falls_tenfold_at_regular_intervals():
    settings = FinetuneSettings(lr=0.001, lr_drop_every=20_000, lr_drop=0.1)
    rates = [learning_rate(step, settings) for step in (0, 19_999, 20_000, 39_999, 40_000, 69_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-6])


def test_parameters_learn_at_the_released_codes_rates():
    module = tiny_network().module
    groups = parameter_groups(module, FinetuneSettings())
    named = {id(parameter): name for name, parameter in module.named_parameters()}
    found = {
        named[id(parameter)]: (group["multiplier"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert set(found) == set(named.values()) and sum(len(group["params"]) for group in groups) == len(named)
    assert found["trunk.0.weight"] == found["fc7.weight"] == (1, 5e-4)
    assert found["trunk.0.bias"] == found["fc7.bias"] == (2, 0)
    assert found["classifier.weight"] == (10, 5e-4)
    assert found["classifier.bias"] == (20, 0)


def test_settings_by_network_and_their_changes():
    assert settings_for("alexnet") == FinetuneSettings()
    assert settings_for("vgg16").batch_size == 24
    changed = settings_for("alexnet", momentum=0.5, lr=None)
    assert changed == FinetuneSettings(momentum=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positives": 0}, "0 positives in a batch of 128"),
        ({"positives": 128}, "at least one positive"),
        ({"positive_iou": 0.2, "negative_iou": 0.3}, "the first not above the second"),
        ({"negative_iou": -0.1}, "between 0 and 1"),
        ({"steps": 0}, "steps must be above zero"),
        ({"lr": -1.0}, "lr must be above zero"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        FinetuneSettings(**changes)


# -- dropout over several processes ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("shape", [(12, 7), (12, 5, 4, 3)])
def test_dropout_does_not_depend_on_the_number_of_processes(shape, count):
    x = torch.rand(shape) + 1
    if len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(5)
    whole = shared_dropout(x, 0.3, (0, 1))
    parts = []
    for rank, part in enumerate(x.chunk(count)):
        torch.manual_seed(5)
        parts.append(shared_dropout(part, 0.3, (rank, count)))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=0)
    dropped = float((whole == 0).float().mean())
    assert 0.1 < dropped < 0.6
    torch.testing.assert_close(whole[whole != 0], (x / 0.7)[whole != 0])


# -- training ----------------------------------------------------------------------------------------------


def crops_of(dataset, batch, windows):
    """The crops of a batch, made one by one by the definition of warping."""
    crops = []
    for row, mirrored in zip(batch.windows, batch.mirrored, strict=True):
        image = dataset.image(dataset.ids[windows.image_index[row]])
        crop = warp_reference(image, windows.boxes[row], size=35, mean=TINY.mean)
        crop = (crop - np.float32(TINY.mean)) / np.float32(TINY.std)
        crops.append(crop[:, ::-1] if mirrored else crop)
    return torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy())


def test_steps_agree_with_momentum_and_decay_written_out(windows, full_precision):
    settings = dataclasses.replace(QUICK, steps=4, dropout=0.0, lr_drop_every=2)
    result = run(settings=settings)

    dataset = Squares()
    module = tiny_network().with_classifier(3, seed=settings.seed).module.eval()
    velocity = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    losses = []
    for step in range(4):
        batch = compose_batch(windows, settings, step)
        labels = torch.from_numpy(windows.labels[batch.windows].astype(np.int64))
        log_probabilities = module(crops_of(dataset, batch, windows)).log_softmax(dim=1)
        loss = -log_probabilities[torch.arange(8), labels].mean()
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, list(module.parameters()))
        rate = 0.01 if step < 2 else 0.001
        with torch.no_grad():
            for (name, parameter), gradient in zip(module.named_parameters(), gradients, strict=True):
                is_bias = name.endswith("bias")
                factor = (10 if name.startswith("classifier") else 1) * (2 if is_bias else 1)
                decay = 0 if is_bias else 5e-4
                velocity[name] = 0.9 * velocity[name] + gradient + decay * parameter
                parameter -= rate * factor * velocity[name]

    for name, tensor in result.network.module.state_dict().items():
        torch.testing.assert_close(tensor, module.state_dict()[name], rtol=1e-4, atol=1e-6, msg=name)
    assert result.history.train_loss.tolist() == pytest.approx([np.mean(losses[:3]), losses[3]], rel=1e-5)
    assert result.history.lr.tolist() == pytest.approx([1e-3, 1e-3])


def test_a_run_learns_and_writes_weights_curve_and_header(tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "VALIDATION_WINDOWS", 128)
    val = Squares(2)
    settings = FinetuneSettings(
        steps=60, batch_size=16, positives=8, lr=0.005, lr_drop_every=50, dropout=0.0, seed=3
    )
    out = tmp_path / "tuned.safetensors"
    result = run(out, settings=settings, val=val, val_proposals=proposals_of(val), validate_every=20)
    history = result.history
    assert history.step.tolist() == [20, 40, 60]
    assert history.windows.tolist() == [320, 640, 960]
    assert (history.train_loss < np.log(3)).all() and history.train_loss.iloc[-1] < 0.4
    assert history.val_accuracy.iloc[-1] > 0.85 and history.val_object_accuracy.iloc[-1] > 0.85
    assert result.seconds > 0
    written = pd.read_csv(tmp_path / "tuned.csv")
    pd.testing.assert_frame_equal(written, history)
    assert not (tmp_path / "tuned.checkpoint").exists()
    with safe_open(out, "pt") as file:
        header = file.metadata()
    assert json.loads(header["classes"]) == ["background", "red", "blue"]
    assert FinetuneSettings(**json.loads(header["settings"])) == settings
    assert result.network.n_classes == 3
    # The weights that come back are those of the file.
    for name, tensor in load_file(out).items():
        assert torch.equal(result.network.module.state_dict()[name], tensor.float())


def test_validation_is_computed_without_dropout_over_windows_mixed_as_in_training(
    monkeypatch, full_precision
):
    monkeypatch.setattr(finetuning, "VALIDATION_WINDOWS", 40)
    val = Squares(2)
    settings = dataclasses.replace(QUICK, steps=3)
    result = run(settings=settings, val=val, val_proposals=proposals_of(val))
    windows = TrainingWindows(val, proposals_of(val))
    rows = windows.draw(40, 10, np.random.default_rng(0))
    batch = finetuning.Batch(rows, np.zeros(40, bool))
    with torch.inference_mode():
        probabilities = result.network.module(crops_of(val, batch, windows)).softmax(dim=1).numpy()
    labels = windows.labels[rows]
    right = probabilities.argmax(axis=1) == labels
    row = result.history.iloc[-1]
    assert row.val_loss == pytest.approx(-np.log(probabilities[np.arange(40), labels]).mean(), rel=1e-4)
    assert row.val_accuracy == pytest.approx(right.mean())
    assert row.val_object_accuracy == pytest.approx(right[:10].mean())


def test_network_and_images_are_left_as_they_are():
    network, dataset = tiny_network(), Squares()
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    images = {image_id: dataset.image(image_id) for image_id in dataset.ids}
    kept = {image_id: image.copy() for image_id, image in images.items()}
    dataset.image = images.__getitem__
    proposals = proposals_of(dataset)
    random_state, flags = torch.get_rng_state(), (network.module.training, network.n_classes)
    result = finetune(network, dataset, proposals, settings=QUICK, progress=False)
    assert result.network.module is not network.module and not result.network.module.training
    assert flags == (network.module.training, network.n_classes)
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for image_id in dataset.ids:
        np.testing.assert_array_equal(images[image_id], kept[image_id])
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    prints = [
        run(settings=dataclasses.replace(QUICK, steps=3, seed=seed)).network.fingerprint for seed in (1, 1, 2)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_a_learning_rate_that_diverges_is_reported(tmp_path):
    settings = dataclasses.replace(QUICK, lr=1e6, steps=30)
    with pytest.raises(TrainingError, match="diverged; lower the learning rate"):
        run(tmp_path / "tuned.safetensors", settings=settings, checkpoint_seconds=0)
    assert not list(tmp_path.glob("*.checkpoint"))  # nothing worth going on from
    assert not list(tmp_path.glob("*.safetensors"))


# -- interruptions -----------------------------------------------------------------------------------------


def trained_weights(monkeypatch, out, **options):
    """Run to the end; the weights in full precision, before they are written in half, and the curve."""
    kept = {}

    def write(self, path):
        kept.update({name: tensor.clone() for name, tensor in self.module.state_dict().items()})
        original(self, path)

    original = finetuning._Run.write
    with monkeypatch.context() as patch:
        patch.setattr(finetuning._Run, "write", write)
        result = run(out, **options)
    return kept, result.history.drop(columns="seconds")


def assert_same(ours, theirs):
    assert ours[0].keys() == theirs[0].keys()
    for name in ours[0]:
        assert torch.equal(ours[0][name], theirs[0][name]), name
    pd.testing.assert_frame_equal(ours[1], theirs[1], check_exact=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return trained_weights(patch, tmp_path_factory.mktemp("whole") / "tuned.safetensors")


@pytest.mark.parametrize("place", ["forward", "update", "look"])
def test_a_run_interrupted_anywhere_goes_on_to_the_same_weights(
    place, tmp_path, monkeypatch, uninterrupted, ctrl_c
):
    at = int(np.random.default_rng().integers(3 if place == "look" else 8))
    print(f"interrupted at {place} {at}")  # shown if the test fails
    owner, name = {
        "forward": (RegionNet, "forward"),
        "update": (torch.optim.SGD, "step"),
        "look": (finetuning._Run, "_look"),
    }[place]
    original, calls = getattr(owner, name), []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == at + 1:
            signal.raise_signal(signal.SIGINT)
        return original(self, *arguments, **options)

    out = tmp_path / "tuned.safetensors"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, interrupted)
        run(out)
    assert (tmp_path / "tuned.checkpoint").is_file() and not out.exists()
    assert_same(trained_weights(monkeypatch, out), uninterrupted)
    assert not (tmp_path / "tuned.checkpoint").exists()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_finetuning
test_finetuning.networks.NETWORKS["tiny"] = test_finetuning.TINY
replace, checkpoints = os.replace, []
def kill_in_the_fourth_checkpoint(source, target):
    checkpoints.append(target) if str(target).endswith(".checkpoint") else None
    if len(checkpoints) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = kill_in_the_fourth_checkpoint
test_finetuning.run(Path(sys.argv[2]), checkpoint_seconds=0)
"""


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(
    tmp_path, monkeypatch, uninterrupted
):
    out = tmp_path / "tuned.safetensors"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(out)]
    threads = str(torch.get_num_threads())  # another number of threads may round differently
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": threads}, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    checkpoint = torch.load(tmp_path / "tuned.checkpoint", weights_only=True)
    assert checkpoint["step"] == 3
    assert_same(trained_weights(monkeypatch, out), uninterrupted)


def interrupt_after(monkeypatch, out, n_steps, **options):
    original = finetuning._Run._train_step

    def interrupted(self, crops, labels):
        if self.step == n_steps:
            raise KeyboardInterrupt
        original(self, crops, labels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetuning._Run, "_train_step", interrupted)
        run(out, **options)


def test_a_checkpoint_of_other_settings_or_windows_is_refused(tmp_path, monkeypatch):
    out = tmp_path / "tuned.safetensors"
    interrupt_after(monkeypatch, out, 2)
    with pytest.raises(WeightsError, match="other settings"):
        run(out, settings=dataclasses.replace(QUICK, lr=0.02))
    with pytest.raises(WeightsError, match="other settings"):
        run(out, n=4)
    run(out)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "tuned.checkpoint").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(WeightsError, match="damaged.*remove it"):
        run(tmp_path / "tuned.safetensors")


# -- several processes -------------------------------------------------------------------------------------

TOGETHER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
import test_finetuning
test_finetuning.networks.NETWORKS["tiny"] = test_finetuning.TINY
from rcnn_helpers import finetuning
from rcnn_helpers.training import processes
finetuning.fast_bfloat16 = lambda device: False
folder = Path(sys.argv[2])
with processes("cpu") as here:
    with here.first_alone():
        if here.is_first:
            (folder / "cache").write_text("made by the first process")
        assert (folder / "cache").exists()
    result = test_finetuning.run(folder / "tuned.safetensors", settings=test_finetuning.TOGETHER_SETTINGS)
    assert result.network.n_classes == 3
    result = test_finetuning.run(None, settings=test_finetuning.TOGETHER_SETTINGS)
    torch.save(result.network.module.state_dict(), folder / f"weights{here.rank}.pt")
    try:
        test_finetuning.run(None, settings=test_finetuning.ODD_SETTINGS)
    except finetuning.SettingsError as error:
        (folder / f"error{here.rank}.txt").write_text(str(error))
"""
TOGETHER_SETTINGS = dataclasses.replace(QUICK, batch_size=16, positives=4, steps=12)
ODD_SETTINGS = dataclasses.replace(QUICK, batch_size=9)


def torchrun(n, *command):
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(n),
        *command,
    ]


def test_two_processes_give_the_weights_of_one(tmp_path, full_precision):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = torchrun(2, str(script), str(Path(__file__).parent), str(tmp_path))
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    alone = run(settings=TOGETHER_SETTINGS)
    first, second = (torch.load(tmp_path / f"weights{rank}.pt", weights_only=True) for rank in (0, 1))
    start = tiny_network().module.state_dict()
    for name, tensor in alone.network.module.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        # Dropout is on: with other masks the weights would differ as much as training has moved them.
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    moved = float((alone.network.module.state_dict()["fc6.weight"] - start["fc6.weight"]).abs().max())
    assert moved > 1e-3
    curve = pd.read_csv(tmp_path / "tuned.csv")
    assert curve.train_loss.tolist() == pytest.approx(alone.history.train_loss.tolist(), rel=1e-5)
    assert "a batch of 9 cannot be shared equally by 2" in (tmp_path / "error1.txt").read_text()


# -- the real networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squeezenet1_1", "alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_other_networks_are_fine_tuned_as_well(name):
    network = load_network(name, weights="random", device="cpu")
    settings = dataclasses.replace(QUICK, steps=1, batch_size=4, positives=1, lr=1e-3)
    dataset = Squares(1)
    result = finetune(network, dataset, proposals_of(dataset), settings=settings, progress=False)
    assert result.network.n_classes == 3
    before, after = network.module.state_dict(), result.network.module.state_dict()
    moved = [name for name in after if name in before and not torch.equal(before[name], after[name])]
    assert len(moved) > len(after) / 2
    assert np.isfinite(result.history.train_loss).all()


@pytest.fixture(scope="module")
def toyvoc(tmp_path_factory):
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc("trainval", profile="smoke", root=tmp_path_factory.mktemp("toyvoc"))


def test_the_pre_trained_network_learns_toyvoc(toyvoc):
    from rcnn_helpers.proposals import propose_dataset

    proposals = propose_dataset(toyvoc, max_boxes=80, progress=False)
    settings = settings_for("quarter_tnet", steps=24, batch_size=32, positives=8, lr=0.003)
    network = load_network("quarter_tnet", device="cpu")
    result = finetune(network, toyvoc, proposals, settings=settings, validate_every=6, progress=False)
    losses = result.history.train_loss.tolist()
    assert losses[0] < 1.2 * np.log(13)
    assert losses[-1] < 0.7 * losses[0]


# -- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def command(toyvoc, tmp_path, monkeypatch):
    """Arguments of a short run."""
    monkeypatch.setattr(finetuning, "VALIDATION_WINDOWS", 64)
    return (
        ["finetune", "--voc", str(toyvoc.root), "--split", "train", "--device", "cpu"]
        + ["--proposals", "60", "--steps", "2", "--batch-size", "8", "--lr", "0.002", "--seed", "1"]
        + ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "tuned.safetensors")]
    )


def test_the_command_fine_tunes_shows_the_curve_and_says_what_comes_next(command, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main([*command, "--val-split", "val", "--classes", "car,dog", "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert "12 images" in out and "2 classes" in out and "2 steps of 8 windows, 2 of them positives" in out
    assert "step      1" in out and "step      2" in out and "val loss" in out
    assert "rcnn train --network quarter_tnet --weights" in out and "--classes car,dog" in out
    result = json.loads(report.read_text())
    assert [row["step"] for row in result["history"]] == [1, 2]
    assert (result["images"], result["processes"]) == (12, 1)
    assert load_network("quarter_tnet", weights=tmp_path / "tuned.safetensors", device="cpu").n_classes == 3
    assert len(pd.read_csv(tmp_path / "tuned.csv")) == 2
    with safe_open(tmp_path / "tuned.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["settings"])
    assert (settings["lr"], settings["seed"], settings["positive_iou"]) == (0.002, 1, 0.5)


def test_the_command_takes_the_svms_labels_and_warns_of_common_images(command, tmp_path, capsys):
    assert main([*command, "--val-split", "train", "--labels", "ground_truth", "--positives", "3"]) == 0
    assert "12 of the 12 validation images are trained on as well" in capsys.readouterr().out
    with safe_open(tmp_path / "tuned.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["settings"])
    assert (settings["positive_iou"], settings["negative_iou"], settings["positives"]) == (1.0, 0.3, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--out", "nowhere/tuned.safetensors"], "a folder that exists"),
        (["--out", "tuned.pth"], "must be a .safetensors file"),
        (["--classes", "car,zebra"], "no object of zebra"),
        (["--positives", "8"], "8 positives in a batch of 8"),
        (["--lr", "nan"], "lr must be above zero"),
        (["--weights", "missing.pth"], "no weights file missing.pth"),
    ],
)
def test_the_command_refuses_mistakes_in_one_line(command, changes, message, capsys):
    assert main([*command, *changes]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_the_command_limits_the_memory_for_images(command, monkeypatch, capsys):
    def seen(*data, image_memory, **options):
        raise TrainingError(f"{image_memory} bytes")

    monkeypatch.setattr(finetuning, "finetune", seen)
    assert main([*command, "--image-memory", "3"]) == 1
    assert "3000000000 bytes" in capsys.readouterr().err


def test_the_command_goes_on_after_ctrl_c(command, tmp_path, monkeypatch, capsys):
    original = finetuning._Run._train_step

    def interrupted(self, crops, labels):
        if self.step == 1:
            raise KeyboardInterrupt
        original(self, crops, labels)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning._Run, "_train_step", interrupted)
        assert main(command) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "step      2" in out and "step      1" not in out


def test_help_mentions_the_command_and_several_gpus(capsys):
    for arguments, words in ((["--help"], "finetune"), (["finetune", "--help"], "torchrun")):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        assert words in capsys.readouterr().out


def test_the_schedule_stretches_with_the_number_of_steps():
    assert settings_for("quarter_tnet") == SETTINGS["quarter_tnet"]
    short = settings_for("tnet", steps=700)
    assert (short.steps, short.lr_drop_every) == (700, 200)  # as 70,000 and 20,000
    assert settings_for("tnet", steps=700, lr_drop_every=650).lr_drop_every == 650
    assert settings_for("tnet", steps=1).lr_drop_every == 1
