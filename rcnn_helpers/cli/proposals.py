"""``rcnn proposals``."""

import time
from pathlib import Path

from rcnn_helpers.cli.data import open_dataset, some_images
from rcnn_helpers.cli.options import MODES, add_parser, common_options, data_options, positive
from rcnn_helpers.cli.output import progress_bar, provenance, save_json


def proposals(options) -> None:
    """Propose regions and measure how many objects they cover."""
    if options.image:
        _picture_of_proposals(options)
        return
    from rcnn_helpers.proposals import propose
    from rcnn_helpers.proposals.recall import recall_at

    dataset = some_images(open_dataset(options), options.max_images)
    boxes, seconds = {}, 0.0
    if dataset.ids:
        propose(
            dataset.image(dataset.ids[0]), mode=options.mode, max_boxes=options.proposals
        )  # compile first
    for image_id in progress_bar(dataset.ids, "proposals"):
        image = dataset.image(image_id)
        started = time.perf_counter()
        boxes[image_id] = propose(image, mode=options.mode, max_boxes=options.proposals, seed=options.seed)
        seconds += time.perf_counter() - started
    result = {
        "recall": {str(t): recall_at(boxes, dataset, iou_threshold=t) for t in (0.5, 0.7)},
        "boxes_per_image": sum(map(len, boxes.values())) / len(boxes),
        "seconds_per_image": seconds / len(boxes),
        "images": len(boxes),
        "mode": options.mode,
    }
    print(
        f"{result['images']} images of {dataset.root}, split {dataset.split}; "
        f"selective search, {options.mode} mode"
    )
    print(f"  boxes an image      {result['boxes_per_image']:8.0f}")
    print(f"  recall at 0.5 IoU   {100 * result['recall']['0.5']:8.1f} %")
    print(f"  recall at 0.7 IoU   {100 * result['recall']['0.7']:8.1f} %")
    print(f"  seconds an image    {result['seconds_per_image']:8.3f}")
    save_json(options.json, provenance(options) | result)


def _picture_of_proposals(options) -> None:
    from rcnn_helpers.drawing import draw_boxes
    from rcnn_helpers.images import read_image, write_image
    from rcnn_helpers.proposals import propose

    image = read_image(options.image)
    boxes = propose(image, mode=options.mode, max_boxes=options.proposals, seed=options.seed)
    out = Path(options.out or f"{Path(options.image).stem}_proposals.jpg")
    write_image(out, draw_boxes(image, boxes[: options.draw]))
    print(f"{len(boxes)} proposals, the first {min(options.draw, len(boxes))} drawn in {out}")
    save_json(options.json, {"boxes": boxes.tolist()})


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "proposals", proposals, "region proposals: how many, how good, how fast")
    data_options(parser, split="test")
    parser.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    parser.add_argument("--proposals", type=positive, metavar="N", help="keep the N best boxes an image")
    parser.add_argument("--max-images", type=positive, metavar="N", help="use N images spread over the split")
    parser.add_argument("--image", metavar="FILE", help="draw the proposals of one picture instead")
    parser.add_argument("--out", metavar="FILE", help="with --image: the picture to write")
    parser.add_argument("--draw", type=positive, default=200, metavar="N", help="with --image: boxes to draw")
    common_options(parser)
