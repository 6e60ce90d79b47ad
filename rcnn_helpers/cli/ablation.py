"""``rcnn ablate``."""

import argparse

from rcnn_helpers.cli.experiments import (
    cache_to_share,
    data_to_compare_on,
    detection_options,
    finetune_settings,
    network_of,
    proposals_of,
    roles_of_splits,
    say_how_little_few_seeds_show,
    screen_width,
    weights_by_network,
)
from rcnn_helpers.cli.options import TABLES, add_parser
from rcnn_helpers.cli.output import save_tables


def ablate(options) -> None:
    """Compare detectors row by row as in the paper's Table 2, and say which of its claims hold.

    Everything that rows have in common is computed once and kept; an interrupted command goes on with the row it
    was at. Choose settings on data that you do not report on: --split train --test-split val. Several GPUs can
    share fine-tuning: run rcnn finetune under torchrun and give its file with --finetuned.
    """
    from rcnn_helpers import ablation

    network = network_of(options)
    rows = _rows(options, network)
    print(
        f"{len(rows)} rows, seeds {', '.join(map(str, options.seeds))}; {network}; {roles_of_splits(options)}; "
        f"{proposals_of(options)} proposals an image",
        flush=True,
    )
    frame = ablation.ablate(
        rows,
        data=lambda seed: data_to_compare_on(options, seed),
        seeds=options.seeds,
        cache=cache_to_share(options),
        finetune_settings=finetune_settings(rows, options),
        weights=weights_by_network(options.weights, network),
        finetuned=options.finetuned,
        max_proposals=proposals_of(options),
        metric=options.metric,
        keep_features=not options.drop_features,
        device=options.device,
    )
    found = ablation.signs(frame)
    print(
        "\nAverage precision, %; ± is the standard deviation over the seeds; work that rows share counts as"
    )
    print("seconds of the one that came first")
    print(ablation.format_table(frame, paper=options.voc is not None, width=screen_width()))
    if options.voc is not None:
        print(
            "The paper's rows: T-Net or O-Net, VOC 2007 test, trained on trainval; mAP over the classes shown."
        )
    print("\nThe paper's claims, by differences in mAP between rows of the same seed")
    print(ablation.format_signs(found))
    say_how_little_few_seeds_show(options)
    save_tables(options, frame, signs=found)


def _rows(options, network):
    """The rows of ``--tables`` and of each ``--row``; without either, those of Table 2."""
    from rcnn_helpers.ablation import Row, table_rows

    tables = options.tables or (() if options.row else ("table2",))
    own = [Row.parse(text, network=network) for text in options.row]
    return tuple(dict.fromkeys((*table_rows(tables, network=network), *own)))


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


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "ablate", ablate, "compare detectors as in the paper's Tables 2 and 3")
    detection_options(parser)
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
