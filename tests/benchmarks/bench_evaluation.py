"""VOC average precision beside pycocotools, on synthetic detections of the size of the VOC 2007 test set.

pycocotools gets the same objects (none ``difficult``, which it treats otherwise), one IoU threshold, eleven
recalls and no cap on detections. Its matching falls back on the second-best object where the best is taken, so
its AP may be higher by a little. Time for building the data structures of either side is left out.

Run: python tests/benchmarks/bench_evaluation.py [--detections 50000,500000]
"""

import argparse
import contextlib
import io

import numpy as np
from _report import report, seconds
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rcnn_helpers.evaluation import Detections, GroundTruth, evaluate


def synthetic(rng, *, n_images, n_classes, n_objects, n_detections):
    """Objects at random, and detections of which a tenth lie near an object and the others anywhere."""

    def random_boxes(n):
        top_left = rng.uniform(0, 350, (n, 2))
        return np.concatenate([top_left, top_left + rng.uniform(20, 150, (n, 2))], axis=1)

    truth = GroundTruth(
        image_ids=tuple(f"{i:06d}" for i in range(n_images)),
        classes=tuple(f"class{i}" for i in range(n_classes)),
        image_index=np.sort(rng.integers(0, n_images, n_objects)).astype(np.int32),
        class_index=rng.integers(0, n_classes, n_objects).astype(np.int32),
        boxes=random_boxes(n_objects).astype(np.float32),
        difficult=np.zeros(n_objects, dtype=bool),
        object_index=np.arange(n_objects, dtype=np.int32),
    )
    n_near = n_detections // 10
    near = rng.integers(0, n_objects, n_near)
    boxes = random_boxes(n_detections)
    boxes[:n_near] = truth.boxes[near] + np.tile(rng.normal(0, 8, (n_near, 2)), 2)
    image_index = rng.integers(0, n_images, n_detections)
    class_index = rng.integers(0, n_classes, n_detections)
    image_index[:n_near], class_index[:n_near] = truth.image_index[near], truth.class_index[near]
    scores = rng.normal(0, 1, n_detections) + 1.5 * (np.arange(n_detections) < n_near)
    shuffled = rng.permutation(n_detections)
    detections = Detections(
        truth.image_ids,
        truth.classes,
        image_index[shuffled],
        class_index[shuffled],
        scores[shuffled],
        boxes[shuffled],
    )
    return truth, detections


def coco_evaluation(truth, detections):
    """A COCOeval set up for the same question."""

    def xywh(boxes):
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()

    annotations = [
        {
            "id": i + 1,
            "image_id": int(truth.image_index[i]),
            "category_id": int(truth.class_index[i]),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, box in enumerate(xywh(truth.boxes))
    ]
    results = [
        {
            "image_id": int(detections.image_index[i]),
            "category_id": int(detections.class_index[i]),
            "bbox": box,
            "score": float(detections.scores[i]),
        }
        for i, box in enumerate(xywh(detections.boxes))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truth.image_ids))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(truth.classes)],
            "annotations": annotations,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.recThrs = np.arange(11) / 10
    evaluation.params.maxDets = [len(detections)]
    evaluation.params.areaRng = [[0, 1e10]]
    evaluation.params.areaRngLbl = ["all"]
    return evaluation


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detections", default="50000,500000", help="how many; several, separated by commas")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    for n_detections in map(int, options.detections.split(",")):
        truth, detections = synthetic(
            rng, n_images=4952, n_classes=20, n_objects=12_000, n_detections=n_detections
        )
        evaluation = coco_evaluation(truth, detections)

        def peer(evaluation=evaluation):
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation.evaluate()
                evaluation.accumulate()
            return float(np.mean(evaluation.eval["precision"][0, :, :, 0, 0]))

        def ours(truth=truth, detections=detections):
            return evaluate(detections, truth).mean_ap

        own = seconds(ours, repeats=5)
        other = seconds(peer, repeats=1, warm_up=0)
        rows.append(
            {
                "images": 4952,
                "objects": len(truth),
                "detections": n_detections,
                "ours s": own,
                "pycocotools s": other,
                "ratio": other / own,
                "our mAP": 100 * ours(),
                "pycocotools mAP": 100 * float(np.mean(evaluation.eval["precision"][0, :, :, 0, 0])),
            }
        )
    report("VOC AP (11 points, IoU 0.5, 20 classes) beside pycocotools, 1 thread", rows)


if __name__ == "__main__":
    main()
