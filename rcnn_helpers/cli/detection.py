"""``rcnn train``, ``rcnn detect`` and ``rcnn evaluate``."""

import time
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import (
    cache_of,
    class_list,
    compare_classes,
    open_dataset,
    readable_pictures,
    require_classes,
    some_images,
    training_images,
)
from rcnn_helpers.cli.options import (
    CLASSIFIERS,
    MODES,
    NETWORKS,
    add_parser,
    common_options,
    data_options,
    device_options,
    fraction,
    positive,
)
from rcnn_helpers.cli.output import percent, print_seconds, save_json
from rcnn_helpers.errors import DatasetError


def train(options) -> None:
    """Train a detector, SVMs and box regression, and save it."""
    from rcnn_helpers.detector import RCNN

    out = Path(options.out)
    if not out.resolve().parent.is_dir():
        raise DatasetError(f"the folder of {out} does not exist; create it or choose another --out")
    dataset = open_dataset(options)
    if options.classes:
        require_classes(dataset)
    dataset = training_images(dataset, options.max_images, seed=options.seed)
    detector = RCNN(
        options.network,
        weights=options.weights,
        layer=options.layer,
        classifier=options.classifier,
        mode=options.mode,
        max_proposals=options.proposals,
        positive_iou=options.positive_iou,
        negative_iou=options.negative_iou,
        box_regression=not options.no_box_regression,
        precision=options.precision,
        device=options.device,
        seed=options.seed,
    )
    print(
        f"{len(dataset.ids)} images of {dataset.root}, split {dataset.split}; {len(dataset.classes)} classes; "
        f"{detector.network.name}, {_description(detector)}"
    )
    detector.fit(dataset, cache=cache_of(options, dataset))
    detector.save(out)
    print_seconds(detector.seconds_)
    print(f"detector saved in {out}; try: rcnn detect IMAGE --model {out}")
    save_json(options.json, {"seconds": detector.seconds_, "images": len(dataset.ids)})


def detect(options) -> None:
    """Detect objects in pictures of the user's own."""
    from rcnn_helpers.detector import RCNN
    from rcnn_helpers.drawing import draw_boxes
    from rcnn_helpers.images import write_image
    from rcnn_helpers.storage import make_folder

    detector = RCNN.load(options.model, device=options.device)
    out = make_folder(options.out)
    results = []
    for path, image in readable_pictures(options):
        started = time.perf_counter()
        found = detector.detect(
            image, score_threshold=options.threshold, box_regression=_box_regression(options)
        )
        seconds = time.perf_counter() - started
        names = [found.classes[c] for c in found.class_index]
        labels = [f"{name} {score:.2f}" for name, score in zip(names, found.scores, strict=True)]
        picture = out / f"{path.stem}.jpg"
        write_image(picture, draw_boxes(image, found.boxes, labels))
        print(f"{path}: {len(labels)} detections in {seconds:.1f} s, drawn in {picture}")
        for label in labels[:10]:
            print(f"  {label}")
        results.append(
            {
                "image": str(path),
                "detections": [
                    {"class": name, "score": float(score), "box": [float(v) for v in box]}
                    for name, score, box in zip(names, found.scores, found.boxes, strict=True)
                ],
            }
        )
    save_json(options.json, results)
    return 0 if len(results) == len(options.images) else 1


def evaluate(options) -> None:
    """Compute average precision by the PASCAL VOC protocol."""
    from rcnn_helpers.evaluation import evaluate as evaluate_detections

    if options.results:
        dataset, detections = _results(options)
    else:
        dataset, detections = _detections_of_model(options)
    result = evaluate_detections(detections, dataset, metric=options.metric)
    ap = {name: percent(value) for name, value in result.ap.items()}
    print(
        f"average precision ({options.metric}) on {len(dataset.ids)} images of {dataset.root}, "
        f"split {dataset.split}"
    )
    for name, value in ap.items():
        print(f"  {name:16s} {'no objects' if value is None else f'{value:6.2f}'}")
    mean = percent(result.mean_ap)
    print(f"  {'mean':16s} {'no objects' if mean is None else f'{mean:6.2f}'}")
    save_json(options.json, {"ap": ap, "mAP": mean})


def _results(options):
    """The data set and the detections of ``--results``: of the chosen classes or, by default, those with files."""
    from rcnn_helpers.voc_results import read_voc_results

    dataset = open_dataset(options)
    detections = read_voc_results(options.results, class_list(options), image_ids=dataset.ids)
    left_out = [name for name in dataset.classes if name not in detections.classes]
    if left_out:
        print(f"no result files for {', '.join(left_out)}: left out of the mean")
    return open_dataset(options, classes=detections.classes), detections


def _detections_of_model(options):
    from rcnn_helpers.detector import RCNN

    detector = RCNN.load(options.model, device=options.device)
    if options.proposals:
        detector.max_proposals = options.proposals
    dataset = open_dataset(options, classes=detector.classes_)
    compare_classes(dataset, detector.classes_)
    dataset = some_images(dataset, options.max_images)
    detections = detector.detect_dataset(
        dataset, cache=cache_of(options, dataset), box_regression=_box_regression(options)
    )
    print_seconds(detector.seconds_)
    if options.write_results:
        from rcnn_helpers.voc_results import write_voc_results

        write_voc_results(options.write_results, detections, split=dataset.split)
    return dataset, detections


def _box_regression(options) -> bool | None:
    """False where the user wants none, else None: as the detector was trained."""
    return False if options.no_box_regression else None


def _description(detector) -> str:
    scorer = "softmax" if detector.classifier == "softmax" else f"SVMs on {detector.layer}"
    return f"{scorer}, {'with' if detector.box_regression else 'without'} box regression"


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "train", train, "train a detector")
    data_options(parser, split="trainval")
    parser.add_argument("--classes", metavar="A,B", help="train these classes only")
    parser.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights, as rcnn finetune writes them or as downloaded: .safetensors, .pth or .caffemodel",
    )
    parser.add_argument("--layer", help="layer that the SVMs read (default: the network's last)")
    parser.add_argument(
        "--classifier",
        default="svm",
        choices=CLASSIFIERS,
        help="what scores a region; softmax needs weights fine-tuned for the same classes (default: svm)",
    )
    parser.add_argument(
        "--positive-iou",
        type=fraction,
        metavar="T",
        help="regions of at least this IoU with an object are the SVMs' positives (default: the objects alone)",
    )
    parser.add_argument(
        "--negative-iou",
        type=fraction,
        default=settings.SVM_NEGATIVE_IOU,
        metavar="T",
        help="regions below this IoU with all objects of a class are its negatives (default: %(default)s)",
    )
    parser.add_argument("--no-box-regression", action="store_true", help="train without it")
    parser.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    parser.add_argument("--max-images", type=positive, metavar="N", help="train on N images")
    parser.add_argument(
        "--proposals",
        type=positive,
        default=settings.MAX_PROPOSALS,
        metavar="N",
        help="boxes an image (default: %(default)s)",
    )
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--out", required=True, metavar="MODEL", help="file to save the detector in")
    device_options(parser)
    common_options(parser)

    parser = add_parser(commands, "detect", detect, "detect objects in your own pictures")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--model", required=True, help="a detector saved by rcnn train")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="least score of a detection (default: for each class, the best on the training images)",
    )
    parser.add_argument(
        "--no-box-regression", action="store_true", help="leave boxes where they were proposed"
    )
    parser.add_argument("--out", default="detections", metavar="DIR", help="folder for the pictures")
    device_options(parser)
    common_options(parser)

    parser = add_parser(commands, "evaluate", evaluate, "average precision by the PASCAL VOC protocol")
    data_options(parser, split="test")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="a detector saved by rcnn train")
    source.add_argument(
        "--results", metavar="DIR", help="VOC result files comp*_det_*_CLASS.txt, plain or gzipped"
    )
    parser.add_argument(
        "--metric",
        default="11point",
        choices=["11point", "101point", "area"],
        help="11point is VOC 2007's, area that of later years, 101point COCO's (default: 11point)",
    )
    parser.add_argument("--classes", metavar="A,B", help="with --results: evaluate these classes only")
    parser.add_argument(
        "--max-images", type=positive, metavar="N", help="with --model: N images spread over the split"
    )
    parser.add_argument("--proposals", type=positive, metavar="N", help="with --model: boxes an image")
    parser.add_argument(
        "--no-box-regression", action="store_true", help="with --model: leave boxes where they were proposed"
    )
    parser.add_argument("--write-results", metavar="DIR", help="with --model: write VOC result files")
    device_options(parser)
    common_options(parser)
