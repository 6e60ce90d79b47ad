"""``rcnn split`` and ``rcnn many-classes``: what two hundred classes need (sec. 4)."""

import argparse
import time
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.options import (
    NETWORKS,
    add_parser,
    common_options,
    device_options,
    picture_counts,
    positive,
    seed_list,
)
from rcnn_helpers.cli.output import percent, provenance, save_json, save_tables
from rcnn_helpers.errors import SettingsError

# Of ToyVOC, in the roles of ILSVRC's sets: pictures to draw, and boxes a class from train.
_PICTURES = {"train": 500, "val": 100, "test": 150}
_BOXES = (20, 40)


def split(options) -> None:
    """Divide a set of images into two halves with about as many objects of every class in each (sec. 4.2).

    By default the set is ToyVOC's val pictures; --voc and --ilsvrc name folders, and --synthetic draws counts that
    are shaped like those of ILSVRC2013's val, to set the outcome beside the paper's.
    """
    from rcnn_helpers.datasets.balanced_split import balanced_split, random_split

    counts, dataset, name = _counts(options)
    balanced_split(counts[:2] + 1, restarts=1)  # compile first
    started = time.perf_counter()
    halves = balanced_split(counts, seed=options.seed, restarts=options.restarts)
    seconds = time.perf_counter() - started
    by_chance = random_split(counts, seed=options.seed)
    totals = counts.sum(axis=0)
    print(f"{len(counts)} images of {name}, {counts.shape[1]} classes, {totals.sum()} objects")
    print(f"  halves              {len(halves.first):8d} and {len(halves.second)} images")
    for what, ours, chance in (
        ("largest", halves.maximal, by_chance.maximal),
        ("median", halves.median, by_chance.median),
    ):
        print(
            f"  {what + ' imbalance':18s}  {percent(ours):8.1f} %   (a random half: {percent(chance):.1f} %)"
        )
    print("  the paper's, of ILSVRC2013's val: 11 % and 4 %")
    print(f"  seconds             {seconds:8.1f}")
    if options.out:
        _write_lists(options, dataset, halves)
    save_json(
        options.json,
        provenance(options)
        | {
            "data": name,
            "images": len(counts),
            "classes": counts.shape[1],
            "objects": int(totals.sum()),
            "smallest_class": int(totals.min()),
            "classes_under_110": int((totals < 110).sum()),
            "seed": options.seed,
            "restarts": options.restarts,
            "halves": [len(halves.first), len(halves.second)],
            "max_imbalance": halves.maximal,
            "median_imbalance": halves.median,
            "mean_imbalance": halves.mean,
            "random_max_imbalance": by_chance.maximal,
            "random_median_imbalance": by_chance.median,
            "paper_max_imbalance": 0.11,
            "paper_median_imbalance": 0.04,
            "seconds": round(seconds, 2),
        },
    )


def _counts(options):
    """Class counts, the data set they are of (None for drawn ones), and what to call it."""
    from rcnn_helpers.datasets.balanced_split import class_counts, synthetic_counts

    if options.synthetic:
        if options.out:
            raise SettingsError(
                "--out writes lists of images, and --synthetic has none; leave one of them out"
            )
        return synthetic_counts(options.seed), None, "drawn counts, shaped like ILSVRC2013's val"
    if options.ilsvrc:
        from rcnn_helpers.datasets.ilsvrc import ILSVRCDataset

        dataset = ILSVRCDataset(options.ilsvrc, options.split, classes_file=options.class_list)
    else:
        from rcnn_helpers.cli.data import open_dataset

        dataset = open_dataset(options)
    return class_counts(dataset), dataset, f"{dataset.root}, split {options.split}"


def _write_lists(options, dataset, halves) -> None:
    from rcnn_helpers.datasets.voc import write_image_set

    for number, rows in ((1, halves.first), (2, halves.second)):
        path = Path(options.out) / f"{options.split}{number}.txt"
        write_image_set(path, [dataset.ids[row] for row in rows])
        print(f"wrote {path}")


def many_classes_table(options) -> None:
    """Which images should SVMs, fine-tuning and box regression learn from? The rows of the paper's Table 4.

    By default on ToyVOC in the roles of ILSVRC2013's sets: val is divided into balanced halves, pictures with one
    class annotated stand for train. With --ilsvrc on those folders, by the released code's settings for them; its
    test annotations are not public, so rows on test are left out. An interrupted command goes on where it was.
    """
    from rcnn_helpers.ablation.table4 import BETWEEN, table4, table4_rows, table4_steps
    from rcnn_helpers.finetuning import settings_for

    rows = (*table4_rows(), *BETWEEN)
    network = options.network or ("tnet" if options.ilsvrc else "quarter_tnet")
    changes = {"steps": options.steps, "batch_size": options.batch_size}
    if options.batch_size:
        changes["positives"] = max(1, options.batch_size // 4)
    if options.ilsvrc:
        from rcnn_helpers.datasets import ilsvrc

        rows = tuple(row for row in rows if row.test_set != "test")
        changes["steps"] = options.steps or ilsvrc.FINETUNE_STEPS
        extra = {
            "detector_settings": ilsvrc.DETECTOR_SETTINGS,
            "detection_settings": ilsvrc.DETECTION_SETTINGS,
            "metric": "area",
        }
    else:
        extra = {}
    frame = table4(
        rows,
        roles=lambda seed: _roles(options, seed),
        seeds=options.seeds,
        cache=Path(options.cache) if options.cache else settings.cache_dir() / "table4",
        network=network,
        weights=options.weights,
        finetune_settings=settings_for(network, **changes),
        max_proposals=options.proposals or (settings.MAX_PROPOSALS if options.ilsvrc else 100),
        device=options.device,
        **extra,
    )
    steps = table4_steps(frame)
    _print_table(frame, steps)
    boxes = dict(zip(("train.5k", "train1k"), options.boxes or _default_boxes(options), strict=True))
    save_tables(options, frame, steps=steps, boxes_a_class=boxes)


def _default_boxes(options) -> tuple[int, int]:
    return (500, 1000) if options.ilsvrc else _BOXES


def _roles(options, seed: int):
    """The images of a seed in the roles of Table 4."""
    from rcnn_helpers.ablation.table4 import Roles, toyvoc_roles

    few, many = options.boxes or _default_boxes(options)
    if not options.ilsvrc:
        return toyvoc_roles(pictures=options.pictures or _PICTURES, few=few, many=many, seed=seed)
    from rcnn_helpers.datasets.balanced_split import balanced_split, class_counts
    from rcnn_helpers.datasets.ilsvrc import ILSVRCDataset

    val, train = (
        ILSVRCDataset(options.ilsvrc, part, classes_file=options.class_list) for part in ("val", "train")
    )
    return Roles(val, balanced_split(class_counts(val), seed=seed), train, None, few, many, seed)


def _print_table(frame, steps) -> None:
    from rcnn_helpers.ablation.table4 import FIELDS, paper_table4

    papers = {tuple(line[name] for name in FIELDS): line["mAP"] for line in paper_table4().to_dict("records")}
    by_row = (
        frame.groupby(["name", *FIELDS], sort=False)[["mAP", "median_AP", "seconds"]].mean().reset_index()
    )
    width = max(map(len, by_row["name"]))
    print(f"\n{'':{width}}    mAP  median  seconds  paper's mAP (ILSVRC2013)")
    for line in by_row.to_dict("records"):
        paper = papers.get(tuple(line[name] for name in FIELDS))
        beside = "-" if paper is None else f"{paper:.1f}"
        figures = f"{line['mAP']:5.1f}  {line['median_AP']:6.1f}  {line['seconds']:7.0f}"
        print(f"{line['name']:{width}}  {figures}  {beside:>5}")
    width = max(map(len, steps["step"]))
    print(f"\n{'step, in points of mAP':{width}}   ours  paper  verdict")
    for line in steps.to_dict("records"):
        paper = "-" if line["paper"] != line["paper"] else f"{line['paper']:+.1f}"
        print(
            f"{line['step']:{width}}  {line['mean']:+5.1f}  {paper:>5}  {line['verdict']} ({line['seeds']} seeds)"
        )


def _box_counts(text: str) -> tuple[int, ...]:
    counts = [part.strip() for part in text.split(",")]
    if len(counts) != 2 or not all(part.isascii() and part.isdigit() and int(part) for part in counts):
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers from 1 on, such as 20,40")
    few, many = map(int, counts)
    if few > many:
        raise argparse.ArgumentTypeError(f"{text!r}: the first number is to be the smaller one")
    return few, many


def _ilsvrc_options(parser) -> None:
    parser.add_argument(
        "--ilsvrc", metavar="DIR", help="folder of ILSVRC's detection images, annotations and lists"
    )
    parser.add_argument(
        "--class-list",
        metavar="FILE",
        help="with --ilsvrc: the development kit's map_det.txt, by default looked for in DIR",
    )


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "split", split, "two halves with as many objects of each class")
    parser.add_argument("--voc", metavar="DIR", help="folder in VOC layout, the one that holds JPEGImages")
    _ilsvrc_options(parser)
    parser.add_argument(
        "--synthetic", action="store_true", help="drawn counts, shaped like those of ILSVRC2013's val"
    )
    parser.add_argument(
        "--split", default="val", metavar="NAME", help="list to divide (default: %(default)s)"
    )
    parser.add_argument(
        "--restarts", type=positive, default=10, metavar="N", help="candidates to make (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", help="write the lists NAME1.txt and NAME2.txt there")
    common_options(parser)

    group = commands.add_parser("many-classes", help="the experiments with two hundred classes")
    inner = group.add_subparsers(dest="what", required=True, metavar="WHAT")
    parser = add_parser(inner, "table", many_classes_table, "Table 4: which images to learn from")
    _ilsvrc_options(parser)
    parser.add_argument(
        "--pictures",
        type=picture_counts,
        metavar="TRAIN,VAL,TEST",
        help="pictures of ToyVOC (default: 500,100,150)",
    )
    parser.add_argument(
        "--boxes",
        type=_box_counts,
        metavar="FEW,MANY",
        help="boxes a class from train in the rows train.5k and train1k (default: 20,40; with --ilsvrc 500,1000)",
    )
    parser.add_argument(
        "--seeds", type=seed_list, default=(0,), metavar="A,B", help="such as 0,1,2 (default: 0)"
    )
    parser.add_argument(
        "--network", choices=NETWORKS, help="backbone (default: quarter_tnet; --ilsvrc: tnet)"
    )
    parser.add_argument("--weights", metavar="FILE", help="pre-trained weights")
    parser.add_argument("--steps", type=positive, metavar="N", help="steps of fine-tuning")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="windows of a step of fine-tuning")
    parser.add_argument(
        "--proposals", type=positive, metavar="N", help="boxes an image (default: 100; with --ilsvrc 2000)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a line for each row and seed there")
    parser.add_argument("--json", metavar="FILE", help="write rows and steps there")
    device_options(parser)
