"""Pre-training: crops, batch normalization and its folding, the schedule, resuming."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors import safe_open

from rcnn_helpers import pretraining
from rcnn_helpers.errors import DatasetError, WeightsError
from rcnn_helpers.networks import load_network
from rcnn_helpers.pretraining import (
    ObjectCrops,
    PretrainSettings,
    add_batch_norm,
    fold_batch_norm,
    jitter_boxes,
    learning_rate,
    pretrain,
)

SETTINGS = PretrainSettings(steps=4, batch_size=4, warmup=2, lr=0.01, seed=3)


@dataclasses.dataclass
class FakeAnnotation:
    boxes: np.ndarray
    names: tuple
    difficult: np.ndarray


class FakeScenes:
    """Grey pictures with a red square on the left, a blue one on the right, and two objects not to be used."""

    classes = ("red", "blue")

    def __init__(self, n=3):
        self.ids = [f"{index:06d}" for index in range(n)]

    def image(self, image_id):
        image = np.full((60, 100, 3), 128, dtype=np.uint8)
        image[10:40, 10:40] = (255, 0, 0)
        image[10:40, 55:85] = (0, 0, 255)
        return image

    def annotation(self, image_id):
        boxes = np.array([[10, 10, 40, 40], [55, 10, 85, 40], [0, 0, 9, 30], [20, 20, 60, 60]], np.float32)
        return FakeAnnotation(boxes, ("red", "blue", "red", "blue"), np.array([False, False, False, True]))


@pytest.fixture
def network():
    return load_network("quarter_tnet", weights="random", n_classes=2, device="cpu")


def quick(tmp_path, **changes):
    options = {"train_set": FakeScenes(), "val_set": FakeScenes(2), "device": "cpu", "progress": False}
    options |= {"settings": SETTINGS, "validate_every": 2, "seed": SETTINGS.seed} | changes
    return pretrain(out=tmp_path / "net.safetensors", **options)


def test_objects_too_small_or_difficult_are_left_out(network):
    crops = ObjectCrops(FakeScenes(2), network)
    assert crops.labels.tolist() == [0, 1, 0, 1]
    assert crops.image_index.tolist() == [0, 0, 1, 1]
    assert crops.boxes[1].tolist() == [55, 10, 85, 40]


def test_scenes_without_usable_objects_are_refused(network):
    with pytest.raises(DatasetError, match="at least 50 pixels"):
        ObjectCrops(FakeScenes(2), network, min_side=50)


def test_drawn_crops_show_the_object_of_their_label(network):
    crops = ObjectCrops(FakeScenes(2), network)
    out = torch.empty((16, 227, 227, 3)).permute(0, 3, 1, 2)
    batch, labels = crops.draw(16, rng=np.random.default_rng(0), box_jitter=0.1, colour_jitter=0.1, out=out)
    centre = batch[:, :, 113, 113]
    assert torch.equal(centre[:, 0] > centre[:, 2], labels == 0)


def test_crops_without_jitter_are_the_validation_crops_or_their_mirror_images(network):
    crops = ObjectCrops(FakeScenes(1), network)
    plain, plain_labels = next(crops.batches(4))
    plain = plain.clone()
    out = torch.empty((8, 227, 227, 3)).permute(0, 3, 1, 2)
    batch, labels = crops.draw(8, rng=np.random.default_rng(0), box_jitter=0, colour_jitter=0, out=out)
    mirrored = 0
    for crop, label in zip(batch, labels, strict=True):
        same = torch.allclose(crop, plain[label], atol=1e-5)
        flipped = torch.allclose(crop, plain[label].flip(-1), atol=1e-5)
        assert same or flipped
        mirrored += not same
    assert 0 < mirrored < 8
    assert plain_labels.tolist() == [0, 1]


def test_colour_jitter_is_an_affine_change_of_the_normalised_pixels_that_keeps_the_fill(network):
    crops = ObjectCrops(FakeScenes(1), network)
    crops.boxes[:] = [0, 0, 100, 60]  # the context leaves the image on all sides
    plain = next(crops.batches(2))[0].clone()
    out = torch.empty((1, 227, 227, 3)).permute(0, 3, 1, 2)
    rng = np.random.default_rng(5)
    batch, _ = crops.draw(1, rng=rng, box_jitter=0, colour_jitter=0.3, out=out)
    x, y = plain[0, 0].flatten().numpy(), batch[0, 0].flatten().numpy()
    if np.abs(np.corrcoef(x, y)[0, 1]) < 0.99:
        y = batch[0, 0].flip(-1).flatten().numpy()
    inside = np.abs(x) > 1e-6
    slope, shift = np.polyfit(x[inside], y[inside], 1)
    np.testing.assert_allclose(y[inside], slope * x[inside] + shift, atol=1e-4)
    assert (y[~inside] == 0).all() and (~inside).any()
    assert slope != pytest.approx(1, abs=1e-3)


def test_jitter_moves_each_side_by_at_most_its_share(rng):
    boxes = np.tile(np.array([[10, 20, 50, 100]], np.float32), (500, 1))
    moved = jitter_boxes(boxes, 0.1, rng) - boxes
    assert np.abs(moved[:, [0, 2]]).max() <= 4.0001
    assert np.abs(moved[:, [1, 3]]).max() <= 8.0001
    assert (moved.std(axis=0) > [2, 4, 2, 4]).all()


def test_learning_rate_rises_then_falls_to_zero():
    settings = PretrainSettings(steps=1000, warmup=100, lr=0.1)
    assert learning_rate(0, settings) == pytest.approx(0.001)
    assert learning_rate(99, settings) == pytest.approx(0.1)
    assert learning_rate(550, settings) == pytest.approx(0.05)
    assert learning_rate(1000, settings) == pytest.approx(0, abs=1e-12)


def test_folding_batch_norm_keeps_the_function_and_restores_the_architecture(network):
    module = network.module
    names = list(module.state_dict())
    add_batch_norm(module)
    module.train()
    for _ in range(3):  # running statistics away from 0 and 1
        module(torch.randn(4, 3, 227, 227))
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2.0)
            torch.nn.init.normal_(layer.bias)
    module.eval()
    x = torch.randn(2, 3, 227, 227)
    with torch.inference_mode():
        before = module(x)
        fold_batch_norm(module)
        after = module(x)
    assert list(module.state_dict()) == names
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_a_run_learns_and_writes_weights_curve_and_metadata(tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=12, batch_size=8, dropout=0.0, label_smoothing=0.0)
    result = quick(tmp_path, settings=settings, validate_every=6)
    assert result.history.step.tolist() == [6, 12]
    assert result.history.crops.tolist() == [48, 96]
    assert result.history.train_loss.iloc[-1] < 0.5 * np.log(2)  # half of what guessing would give
    assert (tmp_path / "net.csv").read_text().count("\n") == 3
    assert not (tmp_path / "net.checkpoint").exists()
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert file.metadata()["categories"] == '["red", "blue"]'
        assert file.metadata()["architecture"] == "quarter_tnet"
        assert not any("running" in name for name in file.keys())
    again = load_network("quarter_tnet", weights=tmp_path / "net.safetensors", device="cpu")
    assert again.fingerprint == result.network.fingerprint
    assert again.n_classes == 2


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = quick(tmp_path / "whole")

    original = pretraining._Run._train_step
    calls = []

    def interrupted(self, crops, labels):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        original(self, crops, labels)

    monkeypatch.setattr(pretraining._Run, "_train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts")
    assert (tmp_path / "parts" / "net.checkpoint").is_file()
    monkeypatch.setattr(pretraining._Run, "_train_step", original)
    parts = quick(tmp_path / "parts")
    assert parts.network.fingerprint == whole.network.fingerprint
    assert parts.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    fingerprints = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        fingerprints.append(quick(tmp_path / name, seed=seed, steps=2).network.fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "net.checkpoint"
    torch.save({"settings": "{}"}, path)
    with pytest.raises(WeightsError, match="other settings"):
        quick(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "net.checkpoint").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(WeightsError, match="damaged"):
        quick(tmp_path)


def test_training_and_validation_scenes_must_share_their_classes(tmp_path):
    other = FakeScenes()
    other.classes = ("red", "blue", "green")
    with pytest.raises(DatasetError, match="different class lists"):
        quick(tmp_path, val_set=other)
