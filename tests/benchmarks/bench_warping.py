"""Warping 2,000 boxes of one image to 227 x 227 beside a loop of cv2.resize.

Two peers: the bare resize of each source rectangle into a batch, which does less than we do (no fill, no mean, no
half precision), and the loop that ends with the same batch as ours.

Run: python tests/benchmarks/bench_warping.py
"""

import cv2
import numpy as np
import torch
from _report import alternate, report

from rcnn_helpers.warping import Warper, crop_buffer, crop_geometry

SIZE, BATCH, N = 227, 64, 2000
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def boxes_like_proposals(rng, n, height, width):
    """Boxes of all sizes and shapes from 20 pixels up to the image."""
    sides = np.exp(rng.uniform(np.log(20), np.log([width, height]), (n, 2)))
    start = rng.uniform(0, 1, (n, 2)) * ([width, height] - sides)
    return np.round(np.concatenate([start, start + sides], axis=1)).astype(np.float32)


def main():
    rng = np.random.default_rng(0)
    height, width = 375, 500
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 2)
    floats = image.astype(np.float32)
    boxes = boxes_like_proposals(rng, N, height, width)
    geometry = crop_geometry(boxes, height, width)
    sources, targets = geometry.source.tolist(), geometry.target.tolist()
    cv2.setNumThreads(1)
    buffers = {dtype: crop_buffer(BATCH, SIZE, dtype) for dtype in (torch.float32, torch.bfloat16)}
    plain_batch = np.empty((BATCH, SIZE, SIZE, 3), np.float32)
    mean, std = np.float32(MEAN), np.float32(STD)

    def ours(dtype, threads):
        warper = Warper(image, size=SIZE, mean=MEAN, std=STD, out_dtype=dtype, threads=threads)
        for start in range(0, N, BATCH):
            warper(boxes[start : start + BATCH], out=buffers[dtype])

    def bare_resize():
        for k, (x1, y1, x2, y2) in enumerate(sources):
            cv2.resize(floats[y1:y2, x1:x2], (SIZE, SIZE), dst=plain_batch[k % BATCH])

    def resize_loop(dtype):
        crops = np.empty((BATCH, SIZE, SIZE, 3), np.float32)
        for start in range(0, N, BATCH):
            crops[:] = 0
            for k, (source, target) in enumerate(
                zip(sources[start : start + BATCH], targets[start : start + BATCH], strict=True)
            ):
                (x1, y1, x2, y2), (left, top, right, bottom) = source, target
                resized = cv2.resize(floats[y1:y2, x1:x2], (right - left, bottom - top))
                crops[k, top:bottom, left:right] = (resized - mean) / std
            torch.from_numpy(crops).permute(0, 3, 1, 2).to(dtype)

    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        one, two, bare, loop = alternate(
            lambda dtype=dtype: ours(dtype, 1),
            lambda dtype=dtype: ours(dtype, 2),
            bare_resize,
            lambda dtype=dtype: resize_loop(dtype),
        )
        for threads, own in ((1, one), (2, two)):
            rows.append(
                {
                    "batch of": str(dtype).removeprefix("torch."),
                    "our threads": threads,
                    "ours s": own,
                    "bare cv2.resize s": bare,
                    "ratio": bare / own,
                    "same batch by cv2.resize s": loop,
                    "ratio ": loop / own,
                }
            )
    report(f"Warp {N} boxes to {SIZE} x {SIZE}; the peers are loops of cv2.resize in float32, 1 thread", rows)


if __name__ == "__main__":
    main()
