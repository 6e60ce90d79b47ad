"""Fine-tuning's whole step beside the bare one, and beside a pipeline as torchvision's users write it.

The whole step draws windows, warps them, and trains; the bare one trains on one ready-made batch again and
again, in the same precision and of the same size. What is missing to a ratio of 1 is the cost of drawing and
warping. The peer crops with PIL through `torchvision.transforms.functional.resized_crop` in a DataLoader with two
workers, by the original's padding rule, and trains the same network the same way. Memory is the largest resident
set of this process so far, or what is reserved on the GPU.

Run: python tests/benchmarks/bench_finetuning.py [--networks quarter_tnet] [--batch 128] [--rounds 9]
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch
from _report import report
from PIL import Image
from torchvision.transforms import functional as transforms

from rcnn_helpers.finetuning import TrainingWindows, _Run, compose_batch, settings_for
from rcnn_helpers.networks import load_network
from rcnn_helpers.settings import choose_device
from rcnn_helpers.training import Processes
from rcnn_helpers.warping import crop_geometry

WORKERS = 2


class Scenes:
    """Pictures of VOC's size with two objects each."""

    classes = tuple(f"class {number}" for number in range(20))
    ids = tuple(f"{number:06d}" for number in range(100))

    class Annotation:
        boxes = np.array([[50, 60, 200, 210], [250, 100, 400, 300]], np.float32)
        names = ("class 0", "class 7")

    def image(self, image_id):
        return np.random.default_rng(int(image_id)).integers(0, 256, (375, 500, 3), dtype=np.uint8)

    def annotation(self, image_id):
        return self.Annotation()


def boxes_like_proposals(rng, n, height=375, width=500):
    """Boxes of all sizes and shapes from 20 pixels up to the image."""
    sides = np.exp(rng.uniform(np.log(20), np.log([width, height]), (n, 2)))
    start = rng.uniform(0, 1, (n, 2)) * ([width, height] - sides)
    return np.round(np.concatenate([start, start + sides], axis=1)).astype(np.float32)


class Crops(torch.utils.data.Dataset):
    """The same windows, cut with PIL one by one: what the peer's workers read."""

    def __init__(self, windows, network, settings):
        self.windows, self.network, self.settings = windows, network, settings
        self.pictures = [Image.fromarray(image) for image in windows.images]

    def __getitem__(self, key):
        row, mirrored = key
        picture = self.pictures[self.windows.image_index[row]]
        geometry = crop_geometry(
            self.windows.boxes[row][None], picture.height, picture.width, size=self.network.input_size
        )
        x1, y1, x2, y2 = geometry.window[0].tolist()
        size = [self.network.input_size] * 2
        crop = transforms.resized_crop(picture, y1, x1, y2 - y1, x2 - x1, size)
        crop = transforms.hflip(crop) if mirrored else crop
        mean, std = ([value / 255 for value in values] for values in (self.network.mean, self.network.std))
        return transforms.normalize(transforms.to_tensor(crop), mean, std), int(self.windows.labels[row])


def peer_batches(windows, network, settings):
    """Batches of the plain pipeline, without end."""

    def rows():
        for step in range(settings.steps):
            batch = compose_batch(windows, settings, step)
            yield list(zip(batch.windows.tolist(), batch.mirrored.tolist(), strict=True))

    loader = torch.utils.data.DataLoader(
        Crops(windows, network, settings),
        batch_sampler=rows(),
        num_workers=WORKERS,
        pin_memory=network.device.type == "cuda",
    )
    for crops, labels in loader:
        crops = crops.to(network.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        yield crops, labels.to(network.device)


def memory(device) -> float:
    """GB: reserved on the GPU, or this process's largest resident set."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def measure(name, batch_size, rounds, device):
    """Images a second of all three, which take turns; the ratios are medians over the turns."""
    network = load_network(name, weights="random", device=device)
    rng = np.random.default_rng(0)
    scenes = Scenes()
    windows = TrainingWindows(scenes, {image_id: boxes_like_proposals(rng, 1000) for image_id in scenes.ids})
    settings = settings_for(
        name, steps=10**6, batch_size=batch_size, positives=batch_size // 4, lr=1e-4, lr_drop_every=10**6
    )
    run = _Run(network, windows, None, settings, None, Processes())
    run.module.train()
    ours = run._batches()
    crops, labels = next(ours)
    fixed = crops.clone(), labels.clone()
    peers = peer_batches(windows, run.network, settings)

    def seconds(batches, n=4):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            run._train_step(*(fixed if batches is None else next(batches)))
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / n

    def peer_seconds():
        # Its workers go on cutting while others are measured, so what they have ready is used up first.
        for _ in range(2 * WORKERS):
            next(peers)
        return seconds(peers, n=8)

    seconds(ours), seconds(None)
    times = np.array([(seconds(ours), seconds(None)) for _ in range(rounds)])
    used = memory(device)
    peer = np.median([peer_seconds() for _ in range(max(1, rounds // 3))])
    own, bare = np.median(times, axis=0)
    return {
        "network": name,
        "batch": batch_size,
        "fine-tune images/s": batch_size / own,
        "bare step images/s": batch_size / bare,
        "of bare": float(np.median(times[:, 1] / times[:, 0])),
        "PIL and DataLoader images/s": float(batch_size / peer),
        "ratio to peer": float(peer / own),
        "memory GB": used,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = choose_device()
    parser.add_argument("--networks", default="tnet" if device == "cuda" else "quarter_tnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    rows = [
        measure(name, arguments.batch, arguments.rounds, device) for name in arguments.networks.split(",")
    ]
    report(f"A step of fine-tuning, on {device}, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
