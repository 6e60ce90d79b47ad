"""``rcnn dense`` and ``rcnn scaling``: two ways to share computation (secs. 4.6 and 2.2)."""

import argparse
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import cache_of, open_dataset, require_classes, some_images, training_images
from rcnn_helpers.cli.options import NETWORKS, add_parser, data_options, device_options, positive
from rcnn_helpers.cli.output import save_tables


def dense(options) -> None:
    """Put a sliding-window detector that shares convolutions, as OverFeat does, beside R-CNN on its proposals.

    Both have the same network. The SVMs of the R-CNN, which have learnt from warped regions, are tried on dense
    windows as they are, and once more after they have been trained on dense windows.
    """
    from rcnn_helpers.sliding_window_detector import METHODS, compare

    rcnn, train, test, found = _sides(options)
    print(
        f"{rcnn.network.name}, SVMs on {rcnn.layer}; {len(test.ids)} images of {test.root}, split {test.split}",
        flush=True,
    )
    frame = compare(
        rcnn,
        None if options.no_retraining else train,
        some_images(test, options.max_images),
        cache=Path(options.cache) if options.cache else settings.cache_dir() / "dense",
        n_timed=options.timed,
        metric=options.metric,
        min_size=options.min_size,
        size_step=options.size_step,
        aspect_ratios=options.aspect_ratios,
        stride=options.stride,
        **found,
    )
    frame.insert(1, "seed", rcnn.seed)
    print(
        "\nRegions are those of an image, recall the objects (%) that one of them overlaps by 0.5 and by 0.7;\n"
        "seconds of an image, on the clock and of all processor cores; mAP in %."
    )
    shown = ["regions", "recall_50", "recall_70", "seconds", "cpu_seconds", "mAP"]
    print(
        frame.set_index("method").loc[[name for name in METHODS if name in set(frame.method)], shown].round(2)
    )
    save_tables(options, frame)


def _sides(options):
    """The R-CNN, trained; images to train on and to judge on; and what is there of proposals and detections."""
    if options.voc is None and options.model is None:
        from rcnn_helpers.course.workspace import Course

        course = Course(options.profile, device=options.device)
        train = training_images(course.trainval, options.max_training_images)
        found = {"proposals": course.proposals("test"), "detections": course.detections}
        return course.detector, train, course.test, found
    from rcnn_helpers.detector import RCNN

    if options.model is not None:
        rcnn = RCNN.load(options.model, device=options.device)
        classes = rcnn.classes_
        train = training_images(open_dataset(options, classes=classes), options.max_training_images)
        return rcnn, train, open_dataset(options, classes=classes, split=options.test_split), {}
    train = open_dataset(options)
    if options.classes:
        require_classes(train)
    train = training_images(train, options.max_training_images)
    rcnn = RCNN(
        options.network,
        weights=options.weights,
        max_proposals=options.proposals or settings.MAX_PROPOSALS,
        device=options.device,
    )
    rcnn.fit(train, cache=cache_of(options, train))
    return rcnn, train, open_dataset(options, split=options.test_split), {}


def scaling(options) -> None:
    """Measure the product of sec. 2.2: 2,000 regions' features times the weights of many classes, chunk by chunk.

    Features and weights are random numbers; the time does not depend on what they are.
    """
    from rcnn_helpers import scaling as engine

    frame = engine.measure(
        options.classes,
        n_regions=options.regions,
        n_features=options.features,
        precisions=options.precision,
        threads=options.threads,
        seed=options.seed,
    )
    columns = [
        "precision",
        "classes",
        "threads",
        "seconds",
        "cpu_seconds",
        "seconds_best",
        "gflops",
        "weights_gib",
        "peak_gib",
    ]
    print(f"{options.regions} regions of {options.features} features")
    print(frame[columns].round(3).to_string(index=False))
    print(
        "seconds: the product, on the clock and of processors; seconds_best: choosing each class's best regions\n"
        "after it. A GiB is 2**30 bytes.\n"
        "The paper (sec. 2.2): 10 s and 1.5 GB for 100,000 classes; UVA's features would take "
        f"{engine.memory_needed(100_000, 360_000):.0f} GB."
    )
    save_tables(options, frame)


def _above_zero(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers above zero, separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers above zero, such as 0.5,1,2")
    return values


def _counts(text: str) -> tuple[int, ...]:
    """Whole numbers above zero, separated by commas."""
    return tuple(positive(part) for part in text.split(","))


def _result_options(parser) -> None:
    parser.add_argument("--csv", metavar="FILE", help="write a line a row there")
    parser.add_argument("--json", metavar="FILE", help="write rows, command, machine and date there")


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(
        commands, "dense", dense, "compare proposals with sliding windows on shared convolutions"
    )
    data_options(parser, split="trainval")
    parser.add_argument(
        "--test-split", default="test", metavar="NAME", help="list to judge on (default: %(default)s)"
    )
    parser.add_argument(
        "--model", help="a detector saved by rcnn train (default: one is trained, or the course's)"
    )
    parser.add_argument("--profile", choices=sorted(settings.PROFILES), help="of ToyVOC (default: laptop)")
    parser.add_argument("--classes", metavar="A,B", help="with --voc: these classes only")
    parser.add_argument("--network", default="quarter_tnet", choices=NETWORKS, help="with --voc: backbone")
    parser.add_argument("--weights", metavar="FILE", help="with --voc: its weights")
    parser.add_argument("--proposals", type=positive, metavar="N", help="with --voc: boxes an image")
    parser.add_argument("--max-training-images", type=positive, metavar="N", help="train on N images")
    parser.add_argument("--max-images", type=positive, metavar="N", help="judge on N images")
    parser.add_argument(
        "--no-retraining", action="store_true", help="leave out SVMs trained on dense windows"
    )
    parser.add_argument(
        "--min-size",
        type=_above_zero,
        default=32.0,
        metavar="PIXELS",
        help="square root of the smallest window's area (default: %(default)s)",
    )
    parser.add_argument(
        "--size-step", type=_above_zero, default=2**0.5, metavar="F", help="from size to size (default: 1.41)"
    )
    parser.add_argument(
        "--aspect-ratios",
        type=_numbers,
        default=(0.5, 1.0, 2.0),
        metavar="A,B",
        help="width divided by height (default: 0.5,1,2)",
    )
    parser.add_argument(
        "--stride",
        type=positive,
        metavar="PIXELS",
        help="of the scaled picture from window to window (default: pool5's, 32)",
    )
    parser.add_argument(
        "--timed", type=positive, default=5, metavar="N", help="images to be timed (default: %(default)s)"
    )
    parser.add_argument(
        "--metric", default="11point", choices=["11point", "101point", "area"], help="(default: 11point)"
    )
    _result_options(parser)
    device_options(parser)

    parser = add_parser(commands, "scaling", scaling, "measure what a hundred thousand classes cost")
    parser.add_argument(
        "--classes",
        type=_counts,
        default=(20, 200, 10_000, 100_000),
        metavar="N,M",
        help="numbers of classes (default: 20,200,10000,100000; 100,000 need 1.6 GB of memory)",
    )
    parser.add_argument("--regions", type=positive, default=2000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--features", type=positive, default=4096, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--precision",
        type=lambda text: tuple(text.split(",")),
        default=("float32", "bfloat16"),
        metavar="A,B",
        help="float32, bfloat16 or both (default: both)",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="(default: as many as there are)")
    parser.add_argument("--seed", type=int, default=0, help="decides the random numbers (default: 0)")
    _result_options(parser)
