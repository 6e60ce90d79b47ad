"""The steps of segmentation on one picture beside plain ways to take them.

- Regions with outlines beside selective search alone, whose merges they are chosen from: what is missing to a
  ratio of 1 is the choice.
- IoU with objects, pasting, and masks of crops beside the same on one full mask a region; both
  sides must agree.
- Features of "full" and "fg" crops together beside each by itself.

With RCNN_REAL_DATA on the VOC sample's first test photograph, else on a drawn picture.

Run: python tests/benchmarks/bench_segmentation.py [--regions 150]
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from _report import alternate, report
from bench_detection import drawn

from rcnn_helpers.images import read_image
from rcnn_helpers.networks import load_network
from rcnn_helpers.proposals.selective_search import merge_trees
from rcnn_helpers.segmentation.features import region_features, warp_masks
from rcnn_helpers.segmentation.pasting import paste
from rcnn_helpers.segmentation.regions import mask_overlaps, segment_regions
from rcnn_helpers.warping import crop_geometry

N_CLASSES, THRESHOLD, NMS_IOU, SIZE = 20, 0.2, 0.2, 227


def picture() -> np.ndarray:
    real = os.environ.get("RCNN_REAL_DATA")
    if not real:
        return drawn()
    folder = Path(real) / "voc2007_sample/VOCdevkit/VOC2007/JPEGImages"
    return read_image(min(folder.glob("*.jpg")))


def objects(height: int, width: int) -> np.ndarray:
    """Five rectangles with a void edge, uint8 [H, W]."""
    labels = np.zeros((height, width), np.uint8)
    for number in range(5):
        left, top = number * width // 6, number * height // 8
        labels[top : top + height // 3, left : left + width // 3] = 255
        labels[top + 3 : top + height // 3 - 3, left + 3 : left + width // 3 - 3] = number + 1
    return labels


def plain_overlaps(masks, labels):
    """IoU of every mask with every object, pixel by pixel."""
    known = labels != 255
    found = np.zeros((len(masks), labels[known].max()))
    for row, mask in enumerate(masks):
        for label in range(1, found.shape[1] + 1):
            thing = labels == label
            found[row, label - 1] = (mask & thing).sum() / ((mask & known) | thing).sum()
    return found


def plain_paste(masks, scores):
    """Strongest first, without those that overlap with a kept one; then painted from the weakest on."""
    kept = []
    for i in np.argsort(-scores.max(axis=1), kind="stable"):
        overlaps = [(masks[i] & masks[j]).sum() / (masks[i] | masks[j]).sum() for j in kept]
        if scores[i].max() > THRESHOLD and max(overlaps, default=0) <= NMS_IOU:
            kept.append(i)
    labels = np.zeros(masks.shape[1:], np.uint8)
    for i in kept[::-1]:
        labels[masks[i]] = scores[i].argmax() + 1
    return labels


def plain_warps(masks, boxes):
    """Every mask cut out and resized from its full size."""
    geometry = crop_geometry(boxes, *masks.shape[1:], size=SIZE)
    warped = np.zeros((len(masks), SIZE, SIZE), bool)
    for k, mask in enumerate(masks):
        (x1, y1, x2, y2), (left, top, right, bottom) = (
            geometry.source[k].tolist(),
            geometry.target[k].tolist(),
        )
        resized = cv2.resize(mask.astype(np.float32)[y1:y2, x1:x2], (right - left, bottom - top))
        warped[k, top:bottom, left:right] = resized >= 0.5
    return warped


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--regions", type=int, default=150)
    options = parser.parse_args()
    image = picture()
    labels = objects(*image.shape[:2])
    regions = segment_regions(image, max_regions=options.regions)
    masks = np.stack([regions.mask(i) for i in range(len(regions))])
    scores = np.random.default_rng(0).uniform(-0.5, 1, (len(regions), N_CLASSES))
    network = load_network("quarter_tnet", device="cpu")
    np.testing.assert_allclose(mask_overlaps(regions, labels), plain_overlaps(masks, labels), rtol=1e-6)
    pasting = {"threshold": THRESHOLD, "nms_iou": NMS_IOU}
    np.testing.assert_array_equal(paste(regions, scores, **pasting), plain_paste(masks, scores))
    apart = warp_masks(regions, size=SIZE) != plain_warps(masks, regions.boxes)
    assert apart.any(axis=(1, 2)).mean() < 0.05  # regions too thin to be seen are kept by ours

    def features(*kinds):
        return [region_features(image, regions, network, kind=kind) for kind in kinds]

    cases = {
        ("regions with outlines", "selective search alone"): (
            lambda: segment_regions(image, max_regions=options.regions),
            lambda: merge_trees(image, "fast"),
        ),
        ("IoU with 5 objects", "full masks, one by one"): (
            lambda: mask_overlaps(regions, labels),
            lambda: plain_overlaps(masks, labels),
        ),
        ("pasting, 20 classes", "full masks, one by one"): (
            lambda: paste(regions, scores, **pasting),
            lambda: plain_paste(masks, scores),
        ),
        ("masks of the fg crops", "resized from full masks"): (
            lambda: warp_masks(regions, size=SIZE),
            lambda: plain_warps(masks, regions.boxes),
        ),
        ("features full+fg, quarter T-Net", "full, then fg"): (
            lambda: features("full+fg"),
            lambda: features("full", "fg"),
        ),
    }
    rows = []
    for (what, peer), functions in cases.items():
        own, other = alternate(*functions, repeats=3)
        rows.append({"what": what, "ours s": own, "peer": peer, "peer s": other, "ratio": other / own})
    height, width = image.shape[:2]
    threads = torch.get_num_threads()
    report(
        f"Segmentation of one picture, {width} x {height}, {len(regions)} regions, {threads} threads", rows
    )


if __name__ == "__main__":
    main()
