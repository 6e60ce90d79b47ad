"""Per-class non-maximum suppression beside torchvision's, one image with 2,000 boxes and 20 classes.

Run: python tests/benchmarks/bench_nms.py
"""

import numpy as np
import torch
import torchvision
from _report import alternate, report

from rcnn_helpers.nms import nms_per_class


def boxes_like_proposals(rng, n):
    """Boxes crowded around a few dozen centres, as proposals are around objects."""
    centres = rng.uniform(50, 450, (40, 2))[rng.integers(0, 40, n)] + rng.normal(0, 15, (n, 2))
    half = rng.uniform(10, 120, (n, 2))
    return np.clip(np.concatenate([centres - half, centres + half], axis=1), 0, 500).astype(np.float32)


def main():
    rng = np.random.default_rng(0)
    rows = []
    for n_boxes, n_classes in ((500, 20), (2000, 20), (2000, 200)):
        boxes = boxes_like_proposals(rng, n_boxes)
        scores = rng.normal(size=(n_boxes, n_classes)).astype(np.float32)
        box_tensor, score_tensor = torch.from_numpy(boxes), torch.from_numpy(scores)

        def ours(boxes=boxes, scores=scores):
            return len(nms_per_class(boxes, scores, iou_threshold=0.3)[0])

        def peer(boxes=box_tensor, scores=score_tensor, n_classes=n_classes):
            return sum(len(torchvision.ops.nms(boxes, scores[:, c], 0.3)) for c in range(n_classes))

        own, other = alternate(ours, peer, repeats=5)
        rows.append(
            {
                "boxes x classes": f"{n_boxes} x {n_classes}",
                "ours ms": 1e3 * own,
                "torchvision ms": 1e3 * other,
                "ratio": other / own,
                "kept by us": ours(),
                "kept by torchvision": peer(),
            }
        )
    report("NMS per class, IoU 0.3, torchvision.ops.nms class by class", rows)


if __name__ == "__main__":
    main()
