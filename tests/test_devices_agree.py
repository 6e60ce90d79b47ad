"""A GPU computes what the CPU computes, stage by stage: warps, features, scores, fine-tuning, whole detection.

Everything is compared with this machine's CPU in float32, whose results other tests pin to references. The tests
run on every accelerator that is present. ``RCNN_TEST_DEVICES=cpu`` runs them on the CPU instead, against itself:
that tells whether the tests work, not whether devices agree.
"""

import os

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_detector import ShapesDataset

from rcnn_helpers import finetuning
from rcnn_helpers.detector import RCNN
from rcnn_helpers.features import extract
from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.pool5 import from_pool5
from rcnn_helpers.warping import DevicePixels, Warper, WindowWarper, crop_geometry


def present() -> list[str]:
    """Accelerators of this machine, or those named by RCNN_TEST_DEVICES."""
    named = os.environ.get("RCNN_TEST_DEVICES")
    if named:
        return named.split(",")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [device for device in there if there[device]]


DEVICES = present() or [
    pytest.param("none", marks=pytest.mark.skip(reason="this machine has no accelerator to compare with"))
]
pytestmark = pytest.mark.parametrize("device", DEVICES)

BOXES = np.array(
    [[0, 0, 200, 150], [10, 20, 60, 70], [120.5, 30.25, 180, 110], [195, 145, 200, 150], [3, 3, 4, 4]],
    np.float32,
)


@pytest.fixture
def image(rng) -> np.ndarray:
    coarse = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)


def relative_error(found, expected) -> float:
    """Length of the difference of two arrays, relative to the length of the second."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def float32_error(device: str) -> float:
    """What float32 may be off by: CUDA multiplies the inputs of convolutions with 10 bits of mantissa (TF32)."""
    return 3e-3 if device == "cuda" else 1e-4


@pytest.mark.parametrize("mode", ["warp", "square"])
@pytest.mark.parametrize("fill", ["mean", "replicate"])
def test_warps(device, image, mode, fill):
    options = {"size": 61, "mode": mode, "padding": 8, "fill": fill}
    normalised = {"mean": (120.0, 110.0, 100.0), "std": (60.0, 55.0, 50.0), "bgr": True}
    expected = Warper(image, **options, **normalised, device="cpu")(BOXES).numpy()
    found = Warper(image, **options, **normalised, device=device)(BOXES).cpu().numpy()
    # In units of the standard deviation; the two round interpolated grey values differently.
    assert_allclose(found, expected, atol=1 / 50)
    pixels = DevicePixels([image], **normalised, device=device)
    geometry = crop_geometry(BOXES, *image.shape[:2], size=61, mode=mode, padding=8)
    index = np.zeros(len(BOXES), np.int64)
    alike = pixels.warp(index, geometry, size=61, fill=fill, dtype=torch.float32).cpu().numpy()
    assert_allclose(alike, expected, atol=1 / 50)


def test_windows_of_several_images(device, image, rng):
    images = [image, rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)]
    index, boxes = (
        np.array([1, 0, 1]),
        np.array([[5, 5, 80, 70], [10, 20, 60, 70], [0, 0, 9, 70]], np.float32),
    )
    mirrored = np.array([True, False, False])
    expected, found = (
        WindowWarper(images, size=61, device=d)(index, boxes, mirrored=mirrored).cpu().numpy()
        for d in ("cpu", device)
    )
    assert_allclose(found, expected, atol=1.0)  # of 256 grey values


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_features_of_each_network(device, name, image):
    on_cpu = load_network(name, weights="random", device="cpu")
    on_device = load_network(name, weights="random", device=device)
    assert on_device.fingerprint == on_cpu.fingerprint
    layers = on_cpu.layers
    expected = extract(on_cpu, image, BOXES[:3], layers=layers, precision="float32")
    for precision, most in (("float32", float32_error(device)), ("bfloat16", 0.01)):
        found = extract(on_device, image, BOXES[:3], layers=layers, precision=precision)
        for layer in layers:
            error = relative_error(found[layer], expected[layer])
            assert error < most, f"{layer} in {precision}: {error:.2%}"


def test_layers_behind_pool5(device, image):
    on_cpu = load_network("quarter_tnet", device="cpu")
    on_device = load_network("quarter_tnet", device=device)
    pool5 = extract(on_cpu, image, BOXES, layers=("pool5",), precision="float32")["pool5"]
    for layer in ("fc6", "fc7"):
        expected = from_pool5(on_cpu, pool5, layer, precision="float32")
        found = from_pool5(on_device, pool5, layer, precision="float32")
        assert relative_error(found, expected) < float32_error(device)


def proposals_of(dataset, n: int = 40) -> dict[str, np.ndarray]:
    """Boxes near the objects and anywhere."""
    found = {}
    for image_id in dataset.ids:
        rng = np.random.default_rng([1, int(image_id)])
        near = dataset.annotation(image_id).boxes[rng.integers(2, size=n // 2)]
        start = rng.uniform(0, [140, 90], (n - len(near), 2))
        anywhere = np.concatenate([start, start + rng.uniform(10, 60, start.shape)], axis=1)
        boxes = np.concatenate([near + rng.uniform(-6, 6, near.shape), anywhere])
        found[image_id] = np.clip(boxes, 0, [200, 150, 200, 150]).astype(np.float32)
    return found


@pytest.mark.parametrize("bfloat16, most", [(False, 0.01), (True, 0.05)])
def test_fine_tuning(device, bfloat16, most, monkeypatch):
    dataset = ShapesDataset(3)
    # Devices draw different masks of dropout from the same seed.
    settings = finetuning.FinetuneSettings(
        steps=6, batch_size=16, positives=4, lr=0.001, dropout=0.0, lr_drop_every=4
    )
    curves, networks = [], []
    for where, half in (("cpu", False), (device, bfloat16)):
        monkeypatch.setattr(finetuning, "fast_bfloat16", lambda device, half=half: half)
        result = finetuning.finetune(
            load_network("quarter_tnet", device=where),
            dataset,
            proposals_of(dataset),
            settings=settings,
            validate_every=1,
            progress=False,
        )
        curves.append(result.history["train_loss"].to_numpy())
        networks.append(result.network.module.state_dict())
    assert len(curves[0]) == 6 and np.isfinite(curves[0]).all()
    assert_allclose(curves[1], curves[0], rtol=most)
    for name, expected in networks[0].items():
        assert relative_error(networks[1][name].cpu(), expected) < most, name


def test_whole_detection(device, tmp_path):
    """SVMs, box regression and suppression on features of either device: one model, the same detections."""
    dataset = ShapesDataset(4)
    detector = RCNN("quarter_tnet", device="cpu", precision="float32")
    detector.fit(dataset, proposals=proposals_of(dataset), progress=False)
    detector.save(tmp_path / "model.safetensors")
    unseen = ShapesDataset(2, seed=9)
    image, boxes = unseen.image("000"), proposals_of(unseen)["000"]
    moved = RCNN.load(tmp_path / "model.safetensors", device=device)
    assert moved.network.device.type == torch.device(device).type
    expected, found = detector.score(image, boxes), moved.score(image, boxes)
    assert np.abs(found - expected).max() < 10 * float32_error(device) * np.abs(expected).max()
    assert_allclose(moved.regress(image, boxes), detector.regress(image, boxes), atol=1.0)  # pixels
    best = [
        d.detect_dataset(unseen, proposals=proposals_of(unseen), progress=False) for d in (detector, moved)
    ]
    strong = [found.select(found.scores > 0).sorted() for found in best]
    assert len(strong[0]) > 0 and len(strong[0]) == len(strong[1])
    assert strong[0].class_index.tolist() == strong[1].class_index.tolist()
    assert_allclose(strong[1].boxes, strong[0].boxes, atol=1.0)
