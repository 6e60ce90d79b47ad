"""Options that commands have in common, and what their values can be."""

import argparse

# Written out here so that --help and a mistyped name need no heavy import; a test keeps them true.
MODES = ("fast", "fast_uijlings", "quality", "single")
CLASSIFIERS = ("svm", "softmax")
LABELS = ("overlap", "ground_truth", "overlap_far", "ground_truth_near")
NETWORKS = ("quarter_tnet", "tnet", "alexnet", "vgg16", "squeezenet1_1")
DESCRIPTORS = ("raw", "hog", "bow")
TABLES = ("table2", "classifier", "warp", "negatives", "positives", "labels", "iteration", "table3")


def add_parser(commands, name, run, summary) -> argparse.ArgumentParser:
    """The parser of a new command: `run` is called with its options, and explains it."""
    parser = commands.add_parser(name, help=summary, description=run.__doc__.strip())
    parser.set_defaults(run=run)
    return parser


def seed_list(text: str) -> tuple[int, ...]:
    """Seeds such as ``0,1,2``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 0,1,2")
    return tuple(map(int, parts))


def picture_counts(text: str) -> dict[str, int]:
    """Numbers of ToyVOC's pictures, such as ``430,70,100``."""
    counts = [part.strip() for part in text.split(",")]
    if len(counts) != 3 or not all(part.isascii() and part.isdigit() and int(part) for part in counts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not three numbers from 1 on, of train, val and test pictures, such as 430,70,100"
        )
    return dict(zip(("train", "val", "test"), map(int, counts), strict=True))


def data_options(parser, *, split: str) -> None:
    """Which images: a folder and a split of it, by default `split`."""
    parser.add_argument("--voc", metavar="DIR", help="folder in VOC layout, the one that holds JPEGImages")
    parser.add_argument(
        "--split", default=split, metavar="NAME", help="list in ImageSets/Main (default: %(default)s)"
    )


def proposal_options(parser) -> None:
    """How selective search finds the boxes of an image, and how many of them are used."""
    from rcnn_helpers import settings

    parser.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    parser.add_argument(
        "--proposals",
        type=positive,
        default=settings.MAX_PROPOSALS,
        metavar="N",
        help="boxes an image (default: %(default)s)",
    )


def device_options(parser) -> None:
    """Where it is computed and kept."""
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best one present)")
    parser.add_argument(
        "--cache", metavar="DIR", help="folder for proposals and features that may be used again"
    )


def common_options(parser) -> None:
    """Seed and result file."""
    parser.add_argument("--seed", type=int, default=0, help="decides everything random (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")


def positive(text: str) -> int:
    """A whole number above zero."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def shard(text: str) -> tuple[int, int]:
    """One of several equal parts, such as ``3/16``."""
    number, slash, count = text.partition("/")
    if not (slash and all(part.isascii() and part.isdigit() for part in (number, count))):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 3/16")
    if not 1 <= int(number) <= int(count):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: they go from 1/{count} to {count}/{count}")
    return int(number), int(count)
