"""``rcnn ablate``."""

import argparse
import shutil
import sys
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import class_list, require_classes, some_images, training_images
from rcnn_helpers.cli.fine_tuning import positives_of, schedule_options
from rcnn_helpers.cli.options import (
    NETWORKS,
    TABLES,
    add_parser,
    data_options,
    device_options,
    picture_counts,
    positive,
    seed_list,
)
from rcnn_helpers.cli.output import save_tables
from rcnn_helpers.errors import SettingsError


def ablate(options) -> None:
    """Compare detectors row by row as in the paper's Table 2, and say which of its claims hold.

    Everything that rows have in common is computed once and kept; an interrupted command goes on with the row it
    was at. Choose settings on data that you do not report on: --split train --test-split val. Several GPUs can
    share fine-tuning: run rcnn finetune under torchrun and give its file with --finetuned.
    """
    from rcnn_helpers import ablation

    profile = settings.get_profile(options.profile)
    network = options.network or profile.network
    rows = _rows(options, network)
    max_proposals = options.proposals or profile.max_proposals
    print(
        f"{len(rows)} rows, seeds {', '.join(map(str, options.seeds))}; {network}; training on {options.split}, "
        f"judging on {options.test_split} of {options.voc or f'ToyVOC, profile {profile.name}'}; "
        f"{max_proposals} proposals an image",
        flush=True,
    )
    frame = ablation.ablate(
        rows,
        data=lambda seed: data_to_compare_on(options, seed),
        seeds=options.seeds,
        cache=Path(options.cache) if options.cache else settings.cache_dir() / "ablation",
        finetune_settings=finetune_settings(rows, options),
        weights=weights_by_network(options.weights, network),
        finetuned=options.finetuned,
        max_proposals=max_proposals,
        metric=options.metric,
        keep_features=not options.drop_features,
        device=options.device,
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    found = ablation.signs(frame)
    print(
        "\nAverage precision, %; ± is the standard deviation over the seeds; work that rows share counts as"
    )
    print("seconds of the one that came first")
    print(ablation.format_table(frame, paper=options.voc is not None, width=width))
    if options.voc is not None:
        print(
            "The paper's rows: T-Net or O-Net, VOC 2007 test, trained on trainval; mAP over the classes shown."
        )
    print("\nThe paper's claims, by differences in mAP between rows of the same seed")
    print(ablation.format_signs(found))
    if len(options.seeds) < 3:
        print("One or two seeds show little: by chance alone, n seeds agree in one of 2^(n-1) cases.")
    save_tables(options, frame, signs=found)


def _rows(options, network):
    """The rows of ``--tables`` and of each ``--row``; without either, those of Table 2."""
    from rcnn_helpers.ablation import Row, table_rows

    tables = options.tables or (() if options.row else ("table2",))
    own = [Row.parse(text, network=network) for text in options.row]
    return tuple(dict.fromkeys((*table_rows(tables, network=network), *own)))


def data_to_compare_on(options, seed: int):
    """Training and test images of a seed: ToyVOC is drawn with it, a folder's images are chosen with it."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc
    from rcnn_helpers.datasets.voc import VOCDataset

    if options.voc and options.pictures:
        raise SettingsError("--pictures is for ToyVOC, which is drawn; with --voc use --max-images")
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


def _tables(text: str) -> tuple[str, ...]:
    all_of_a_network = tuple(name for name in TABLES if name != "table3")
    names = (
        all_of_a_network if text == "all" else tuple(name.strip() for name in text.split(",") if name.strip())
    )
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no table {unknown[0]!r}; choose among {', '.join(TABLES)}"
        )
    return names


def comparison_options(parser) -> None:
    """Which data, seeds, network and proposals rows of a table are compared on."""
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
    parser.add_argument("--classes", metavar="A,B", help="these classes only")
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
        "--weights",
        action="append",
        default=[],
        metavar="[NETWORK=]FILE",
        help="pre-trained weights; with NETWORK= for one of several networks",
    )
    schedule_options(parser)
    parser.add_argument("--proposals", type=positive, metavar="N", help="boxes an image")
    parser.add_argument(
        "--metric", default="11point", choices=["11point", "101point", "area"], help="(default: 11point)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a line for each row and seed there")
    device_options(parser)


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "ablate", ablate, "compare detectors as in the paper's Tables 2 and 3")
    comparison_options(parser)
    parser.add_argument(
        "--tables",
        type=_tables,
        metavar="A,B",
        help=f"rows to run, any of {', '.join(TABLES)}; all stands for all but table3 "
        "(default: table2, or none with --row)",
    )
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="KEY=VALUE,...",
        help='a row of your own, such as "layer=fc6,fine_tuned=no,negative_iou=0.2"; can be given several times',
    )
    parser.add_argument(
        "--finetuned", metavar="FILE", help="weights that rcnn finetune has written, for a single seed"
    )
    parser.add_argument(
        "--drop-features",
        action="store_true",
        help="remove features once no row needs them; a network's take up to 18 KB a region (T-Net, before zeros "
        "are left out), and what a step needs is checked before it starts",
    )
    parser.add_argument("--json", metavar="FILE", help="write rows and claims there")
