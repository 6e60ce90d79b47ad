"""What commands have in common that compare rows on the same data, seed by seed."""

import shutil
import sys
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import class_list, require_classes, some_images, training_images
from rcnn_helpers.cli.fine_tuning import positives_of, schedule_options
from rcnn_helpers.cli.options import (
    NETWORKS,
    data_options,
    device_options,
    picture_counts,
    positive,
    seed_list,
)
from rcnn_helpers.errors import SettingsError


def data_to_compare_on(options, seed: int):
    """Training and test images of a seed: ToyVOC is drawn with it, a folder's images are chosen with it."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc
    from rcnn_helpers.datasets.voc import VOCDataset

    refuse_pictures_of_a_folder(options)
    if options.voc is None:
        drawn = open_toyvoc(options.split, profile=options.profile, seed=seed, counts=options.pictures)
        root, classes = drawn.root, class_list(options) or drawn.classes
    else:
        root, classes = options.voc, class_list(options)
    train = VOCDataset(root, options.split, classes=classes)
    if options.classes:
        require_classes(train)
    test = VOCDataset(root, options.test_split, classes=train.classes)
    return training_images(train, options.max_images, seed=seed), some_images(test, options.max_test_images)


def finetune_settings(rows, options) -> dict:
    """Settings of fine-tuning by network, with what ``--steps`` and ``--batch-size`` say."""
    from rcnn_helpers.finetuning import settings_for

    changes = {
        "steps": options.steps,
        "lr": options.lr,
        "lr_drop_every": options.lr_drop_every,
        "batch_size": options.batch_size,
        "positives": positives_of(options.batch_size),
    }
    return {row.network: settings_for(row.network, **changes) for row in rows}


def weights_by_network(given: list[str], network: str) -> dict[str, str]:
    """Files of weights by network, from ``FILE`` and ``NETWORK=FILE``."""
    files = {}
    for text in given:
        name, equals, path = text.partition("=")
        if equals and name in NETWORKS:
            files[name] = path
        else:
            files[network] = text
    return files


def refuse_pictures_of_a_folder(options) -> None:
    """Raise SettingsError where pictures are to be drawn for a data set that is not drawn."""
    if options.voc and options.pictures:
        raise SettingsError("--pictures is for ToyVOC, which is drawn; with --voc use --max-images")


def network_of(options) -> str:
    """The backbone asked for, or the profile's."""
    return options.network or settings.get_profile(options.profile).network


def proposals_of(options) -> int:
    """The boxes an image asked for, or the profile's."""
    return options.proposals or settings.get_profile(options.profile).max_proposals


def cache_to_share(options) -> Path:
    """Where proposals, fine-tuned networks and features lie, which these commands find of each other."""
    return Path(options.cache) if options.cache else settings.cache_dir() / "ablation"


def roles_of_splits(options) -> str:
    """Which images are trained on and which are judged on, in words."""
    profile = settings.get_profile(options.profile)
    return (
        f"training on {options.split}, judging on {options.test_split} of "
        f"{options.voc or f'ToyVOC, profile {profile.name}'}"
    )


def screen_width() -> int | None:
    """Columns that a table may have; None where it is not shown on a screen."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say_how_little_few_seeds_show(options) -> None:
    """A warning below the verdicts of fewer than three seeds."""
    if len(options.seeds) < 3:
        print("One or two seeds show little: by chance alone, n seeds agree in one of 2^(n-1) cases.")


def experiment_options(parser) -> None:
    """Which data, seeds, network and proposals rows are compared on, and where the result goes."""
    data_options(parser, split="trainval")
    parser.add_argument(
        "--test-split", default="test", metavar="NAME", help="images to judge on (default: %(default)s)"
    )
    parser.add_argument(
        "--profile",
        choices=sorted(settings.PROFILES),
        help="sets network, proposals and ToyVOC's number of pictures (default: laptop)",
    )
    parser.add_argument(
        "--pictures",
        type=picture_counts,
        metavar="TRAIN,VAL,TEST",
        help="draw so many pictures of ToyVOC, instead of the profile's; larger sets contain the smaller ones",
    )
    parser.add_argument(
        "--max-images", type=positive, metavar="N", help="train on N images, most of them with the classes"
    )
    parser.add_argument(
        "--max-test-images", type=positive, metavar="N", help="judge on N images spread over the split"
    )
    parser.add_argument(
        "--seeds", type=seed_list, default=(0,), metavar="A,B", help="seeds, such as 0,1,2 (default: 0)"
    )
    parser.add_argument("--network", choices=NETWORKS, help="backbone (default: the profile's)")
    parser.add_argument(
        "--proposals", type=positive, metavar="N", help="boxes an image (default: the profile's)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a line for each row and seed there")
    parser.add_argument("--json", metavar="FILE", help="write the rows, and what follows from them, there")
    device_options(parser)


def detection_options(parser) -> None:
    """The same, and how detectors are fine-tuned and judged."""
    experiment_options(parser)
    parser.add_argument("--classes", metavar="A,B", help="these classes only")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NETWORK=]FILE",
        help="pre-trained weights; with NETWORK= for one of several networks",
    )
    schedule_options(parser)
    parser.add_argument(
        "--metric", default="11point", choices=["11point", "101point", "area"], help="(default: 11point)"
    )
