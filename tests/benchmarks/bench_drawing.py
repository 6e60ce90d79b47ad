"""Drawing 200 labelled boxes beside Pillow and matplotlib: what a widget or the command line waits for.

Run: python tests/benchmarks/bench_drawing.py
"""

import io

import matplotlib
import numpy as np
from _report import alternate, report
from PIL import Image, ImageDraw

from rcnn_helpers.drawing import _font, draw_boxes

matplotlib.use("Agg")


def with_pillow(image, boxes, labels):
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), _font(14)
    for box, label in zip(boxes.tolist(), labels, strict=True):
        draw.rectangle(box, outline="red", width=3)
        draw.rectangle(draw.textbbox(box[:2], label, font=font), fill="red")
        draw.text(box[:2], label, font=font, fill="white")
    return np.asarray(picture)


def with_matplotlib(image, boxes, labels):
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 3.75))
    ax.imshow(image)
    for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels, strict=True):
        ax.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="red"))
        ax.text(x1, y1, label, color="white", backgroundcolor="red")
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)


def main():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    top_left = rng.uniform(0, [400, 300], (200, 2))
    boxes = np.concatenate([top_left, top_left + rng.uniform(20, 100, (200, 2))], axis=1)
    labels = [f"car {score:.2f}" for score in rng.random(200)]
    styles = ["tp", "fp", "duplicate", "ignored"] * 50
    ours, dashed, pillow, slow = alternate(
        lambda: draw_boxes(image, boxes, labels),
        lambda: draw_boxes(image, boxes, labels, styles),
        lambda: with_pillow(image, boxes, labels),
        lambda: with_matplotlib(image, boxes, labels),
        repeats=5,
    )
    rows = [
        {
            "what": "solid",
            "ours ms": 1e3 * ours,
            "peer": "Pillow",
            "peer ms": 1e3 * pillow,
            "ratio": pillow / ours,
        },
        {
            "what": "solid",
            "ours ms": 1e3 * ours,
            "peer": "matplotlib",
            "peer ms": 1e3 * slow,
            "ratio": slow / ours,
        },
        {"what": "4 styles", "ours ms": 1e3 * dashed, "peer": "Pillow, solid", "peer ms": 1e3 * pillow}
        | {"ratio": pillow / dashed},
    ]
    report("200 labelled boxes on 500 x 375 pixels (labels that avoid each other only in ours)", rows)


if __name__ == "__main__":
    main()
