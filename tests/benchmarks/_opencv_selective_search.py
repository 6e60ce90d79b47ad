"""OpenCV's selective search, run image by image in an environment of its own; see `bench_selective_search`.

Reads one image path a line from standard input and answers each with a line of JSON: seconds and boxes.
"""

import json
import sys
import time

import cv2


def main() -> None:
    mode, threads = sys.argv[1], int(sys.argv[2])
    cv2.setNumThreads(threads)
    for line in sys.stdin:
        image = cv2.imread(line.strip())
        start = time.perf_counter()
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(image)
        if mode == "fast":
            search.switchToSelectiveSearchFast(50, 50, 0.8)
        elif mode == "quality":
            search.switchToSelectiveSearchQuality(50, 50, 0.8)
        else:
            search.switchToSingleStrategy(100, 0.8)
        boxes = search.process()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "xywh": boxes.tolist()}), flush=True)


if __name__ == "__main__":
    main()
