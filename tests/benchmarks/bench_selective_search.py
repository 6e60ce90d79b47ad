"""Selective search beside OpenCV's, on the same photographs with one thread each.

OpenCV has selective search in its contrib packages only, which cannot share an environment with plain OpenCV.
Make one for it, once, with

    python tests/benchmarks/bench_selective_search.py --set-up

and then run

    python tests/benchmarks/bench_selective_search.py --voc DIR --split test --images 100

The two take turns image by image, so that a busy neighbour slows both alike. Reading the files is not timed.
OpenCV's boxes narrower or lower than 20 pixels are left out, as ours are.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from _report import pass_over

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-benchmark"
PEER = Path(__file__).with_name("_opencv_selective_search.py")
MIN_WIDTH = 20


def main() -> None:
    options = _parse()
    if options.set_up:
        venv.create(ENVIRONMENT, with_pip=True)
        command = [_peer_python(), "-m", "pip", "install", "opencv-contrib-python-headless", "numpy"]
        subprocess.run(command, check=True)
        return
    if not Path(_peer_python()).exists():
        pass_over(f"{ENVIRONMENT.name} is missing; make it with: python {sys.argv[0]} --set-up")
    if not options.voc:
        pass_over("name a folder in VOC layout with --voc, or set RCNN_REAL_DATA")
    _compare(options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    real_data = os.environ.get("RCNN_REAL_DATA")
    default = Path(real_data) / "voc2007_sample/VOCdevkit/VOC2007" if real_data else None
    parser.add_argument("--set-up", action="store_true", help="make OpenCV's environment and stop")
    parser.add_argument(
        "--voc", metavar="DIR", default=default, help="folder in VOC layout (RCNN_REAL_DATA's)"
    )
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--images", type=int, default=100, metavar="N", help="the first N images of the split"
    )
    parser.add_argument("--modes", default="single,fast_uijlings,fast", help="ours, separated by commas")
    parser.add_argument("--peer-mode", choices=["single", "fast", "quality"], default="fast", help="OpenCV's")
    return parser.parse_args()


def _peer_python() -> str:
    return str(ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _compare(options) -> None:
    import time

    import cv2
    import numpy as np
    from _report import report

    from rcnn_helpers.boxes import from_xywh
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.proposals.selective_search import selective_search

    cv2.setNumThreads(1)
    dataset = VOCDataset(options.voc, options.split).subset(options.images)
    modes = options.modes.split(",")
    peer_name = f"OpenCV {options.peer_mode} (base 50)"
    boxes = {name: {} for name in [peer_name, *modes]}
    seconds = {name: [] for name in boxes}

    for mode in modes:
        selective_search(dataset.image(dataset.ids[0]), mode=mode)  # compile
    with subprocess.Popen(
        [_peer_python(), str(PEER), options.peer_mode, "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peer:
        for image_id in dataset.ids:
            peer.stdin.write(f"{dataset.image_path(image_id)}\n")
            peer.stdin.flush()
            answer = json.loads(peer.stdout.readline())
            xywh = np.array(answer["xywh"], dtype=np.float32).reshape(-1, 4)
            wide_enough = (xywh[:, 2:] >= MIN_WIDTH).all(axis=1)
            boxes[peer_name][image_id] = from_xywh(xywh[wide_enough])
            seconds[peer_name].append(answer["seconds"])

            image = dataset.image(image_id)
            for mode in modes:
                start = time.perf_counter()
                boxes[mode][image_id] = selective_search(image, mode=mode, min_width=MIN_WIDTH)
                seconds[mode].append(time.perf_counter() - start)
        peer.stdin.close()

    rows = [_row(name, boxes[name], dataset, seconds[name], seconds[peer_name]) for name in boxes]
    report(f"Selective search, {len(dataset.ids)} images of {options.split}, one thread each", rows)


def _row(name, boxes, dataset, seconds, peer_seconds) -> dict:
    from rcnn_helpers.proposals.recall import average_best_overlap, recall_at

    return {
        "search": name,
        "boxes": round(sum(map(len, boxes.values())) / len(boxes)),
        "recall at 0.5": f"{recall_at(boxes, dataset, iou_threshold=0.5):.3f}",
        "recall at 0.7": f"{recall_at(boxes, dataset, iou_threshold=0.7):.3f}",
        "average best overlap": f"{average_best_overlap(boxes, dataset, n_boxes=(None,)).abo[0]:.3f}",
        "s/image": f"{sum(seconds) / len(seconds):.3f}",
        "times as fast as OpenCV": f"{sum(peer_seconds) / sum(seconds):.1f}",
    }


if __name__ == "__main__":
    main()
