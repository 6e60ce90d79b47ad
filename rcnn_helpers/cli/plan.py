"""``rcnn plan``: what the paper's procedure would take, before a disk is bought or a night is lost."""

import argparse
from dataclasses import asdict, replace

from rcnn_helpers.cli.options import NETWORKS, add_parser, positive
from rcnn_helpers.cli.output import provenance, save_json
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.settings import MAX_PROPOSALS

# Written out here so that --help needs no import; a test keeps it true.
DATA_SETS = ("voc2007", "voc2012", "ilsvrc13", "ilsvrc13_all")


def plan(options) -> None:
    """Plan the paper's whole procedure on a data set: hours, disk, memory and money, stage by stage.

    What each part costs is measured on this machine, in about a minute and without a network, or read from a file
    that --json of this command has written. Nothing is downloaded and nothing is trained.
    """
    from rcnn_helpers import planning
    from rcnn_helpers.finetuning import settings_for

    work = _workload(options, planning)
    costs = _costs(options, planning)
    batch = settings_for(costs.network).batch_size
    stages = planning.plan(work, costs, proposals=options.proposals, batch=batch, megabits=options.megabits)
    _print_heading(options, work, costs, batch)
    rows = [_row(options, stage, planning) for stage in (*stages, planning.total(stages))]
    rows[-1]["hours on N"] = sum(row["hours on N"] for row in rows[:-1])
    _print_table(options, rows, costs)
    _print_remarks(options, stages, costs, planning)
    save_json(
        options.json,
        provenance(options)
        | {"machine": costs.machine, "workload": asdict(work), "proposals": options.proposals, "batch": batch}
        | {
            "costs": asdict(costs),
            "stages": [asdict(stage) for stage in stages],
            "card": asdict(planning.RTX_3090),
        },
    )


def _workload(options, planning):
    """The data set by its name, or one of the numbers given."""
    numbers = {
        "images": options.images,
        "test_images": options.test_images,
        "classes": options.classes,
        "objects": options.objects,
    }
    given = {name: value for name, value in numbers.items() if value is not None}
    if options.data:
        work = planning.WORKLOADS[options.data]
        if given:
            raise SettingsError(
                f"{options.data} has its own numbers; leave out --{next(iter(given)).replace('_', '-')}, or the "
                "data set's name"
            )
    else:
        if options.images is None or options.classes is None:
            raise SettingsError(
                f"name a data set ({', '.join(DATA_SETS)}), or give --images and --classes of your own"
            )
        # VOC 2007 has three objects an image.
        defaults = {"objects": 3 * options.images, "test_images": options.images}
        work = planning.Workload("your images", **(defaults | given))
    return work if options.steps is None else replace(work, steps=options.steps)


def _costs(options, planning):
    """From the file of --costs, or measured here and now."""
    if options.costs:
        from rcnn_helpers.storage import read_json

        saved = read_json(options.costs)
        costs = planning.Costs.from_dict(saved.get("costs", saved) if isinstance(saved, dict) else saved)
        if options.network and options.network != costs.network:
            raise SettingsError(
                f"{options.costs} holds the costs of {costs.network}; leave out --network {options.network}, or "
                "measure it here by leaving out --costs"
            )
        return costs
    from rcnn_helpers.cost_measurement import measure

    network = options.network or "tnet"
    print(f"measuring what {network} costs here, about a minute ...", flush=True)
    return measure(network, device=options.device)


def _row(options, stage, planning) -> dict:
    row = {
        "stage": stage.name,
        "hours": stage.hours,
        "hours on N": planning.hours_on(stage, options.jobs) if stage.spread else stage.hours,
        "disk GB": stage.disk_gb,
        "memory GB": stage.memory_gb,
        "GPU hours": stage.gpu_hours,
    }
    if options.price is not None:
        row["money"] = planning.money(stage.hours, options.price)
    return row


def _print_heading(options, work, costs, batch) -> None:
    print(
        f"{work.name}: {work.images:,} images to train on, {work.test_images:,} to test, {work.classes} classes, "
        f"{work.objects:,} objects"
    )
    if work.partial_objects:
        print(f"  and at most {work.partial_objects:,} boxes from images annotated in part, as positives")
    print(
        f"{costs.network}, {options.proposals:,} proposals an image, {work.steps:,} batches of {batch} windows; "
        f"measured on {costs.machine}, {costs.device}, {costs.date}\n"
    )


def _print_table(options, rows, costs) -> None:
    shown = {"stage": "", "hours": "hours"}
    if options.jobs > 1:
        shown["hours on N"] = f"on {options.jobs}"
    shown |= {"disk GB": "disk GB", "memory GB": "memory GB"}
    if options.price is not None:
        shown["money"] = f"at {options.price:g}/h"
    if costs.device == "cpu":
        shown["GPU hours"] = "GPU hours*"
    print(f"{'':18s}" + "".join(f"{title:>11s}" for key, title in shown.items() if key != "stage"))
    for row in rows:
        if row["stage"] == "total":
            print("-" * (18 + 11 * (len(shown) - 1)))
        figures = "".join(f"{_figure(row[key]):>11s}" for key in shown if key != "stage")
        print(f"{row['stage']:18s}{figures}")


def _figure(value: float) -> str:
    """Two digits below ten, whole numbers above; "<0.01" for less, and a dash for nothing."""
    if value == 0:
        return "-"
    return "<0.01" if value < 0.005 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _print_remarks(options, stages, costs, planning) -> None:
    spread = [stage.name for stage in stages if stage.spread == "images"]
    alone = [stage.name for stage in stages if stage.spread != "images"]
    print(f"\nMachines can share: {', '.join(spread)}.")
    print(
        f"One machine alone: {', '.join(alone)} (processes on its GPUs share fine-tuning's batches: torchrun)."
    )
    print(f"However many machines: at most {planning.most_speedup(stages):.1f} times as fast.")
    if costs.device == "cpu":
        card = planning.RTX_3090
        print(
            f"* Not measured here: the network on an {card.name}, at {card.forward_tflops:.0f} TFLOP/s and "
            f"{card.train_tflops:.0f} in training\n  (timm's published figures of VGG-16; smaller networks may "
            "reach less), all else as on this machine."
        )
    print(
        "Disk is the most that features can take; zeros take none: the fine-tuned quarter T-Net's take two thirds."
    )


def _price(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a price an hour, 0 or more")
    return value


def _speed(text: str) -> float:
    value = _price(text)
    if value == 0:
        raise argparse.ArgumentTypeError("a connection of 0 megabits a second downloads nothing")
    return value


def add(commands) -> None:
    """Add the parser of this command."""
    parser = add_parser(commands, "plan", plan, "hours, disk, memory and money of the whole procedure")
    parser.add_argument("data", nargs="?", choices=DATA_SETS, metavar="DATA", help=" or ".join(DATA_SETS))
    parser.add_argument("--images", type=positive, metavar="N", help="of your own: images to train on")
    parser.add_argument("--classes", type=positive, metavar="N", help="of your own: classes")
    parser.add_argument(
        "--objects", type=positive, metavar="N", help="in these images (default: three an image, as in VOC)"
    )
    parser.add_argument("--test-images", type=positive, metavar="N", help="(default: as many as to train on)")
    parser.add_argument("--network", choices=NETWORKS, help="backbone (default: tnet)")
    parser.add_argument(
        "--proposals",
        type=positive,
        default=MAX_PROPOSALS,
        metavar="N",
        help="an image (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="batches of fine-tuning (default: the paper's number)"
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="machines that share the stages (default: 1)"
    )
    parser.add_argument(
        "--price", type=_price, metavar="P", help="of an hour of one machine, in any currency"
    )
    parser.add_argument(
        "--megabits",
        type=_speed,
        default=100.0,
        metavar="N",
        help="of the connection (default: 100 a second)",
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best one present)")
    parser.add_argument("--costs", metavar="FILE", help="costs that --json has saved, instead of measuring")
    parser.add_argument("--json", metavar="FILE", help="write costs and plan there")
