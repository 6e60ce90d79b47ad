"""``rcnn units build``, ``rcnn units show`` and ``rcnn units best``."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import cache_of, open_dataset, some_images
from rcnn_helpers.cli.options import (
    NETWORKS,
    add_parser,
    common_options,
    data_options,
    device_options,
    fraction,
    positive,
    proposal_options,
)
from rcnn_helpers.cli.output import save_json
from rcnn_helpers.errors import DatasetError, SettingsError

KINDS = ("class", "attribute")


def build(options) -> None:
    """Find, for every unit of a layer, the regions of a data set that excite it most (sec. 3.1).

    An interrupted command goes on where it stopped.
    """
    from rcnn_helpers.networks import load_network
    from rcnn_helpers.proposals import propose_dataset
    from rcnn_helpers.units import build_index

    out = Path(options.out)
    if not out.resolve().parent.is_dir():
        raise DatasetError(f"the folder of {out} does not exist; create it or choose another --out")
    network = load_network(
        options.network, weights=options.weights, device=settings.choose_device(options.device)
    )
    dataset = some_images(open_dataset(options), options.max_images)
    print(
        f"{len(dataset.ids)} images of {dataset.root}, split {dataset.split}; "
        f"{options.layer} of {network.name} on {network.device}",
        flush=True,
    )
    proposals = propose_dataset(
        dataset,
        mode=options.mode,
        max_boxes=options.proposals,
        seed=options.seed,
        cache=cache_of(options, dataset) / "proposals",
        progress=sys.stderr.isatty(),
    )
    started = time.perf_counter()
    index = build_index(
        dataset,
        proposals,
        network=network,
        layer=options.layer,
        top=options.top,
        nms_iou=options.nms_iou,
        include_ground_truth=not options.no_ground_truth,
        out=out,
        progress=sys.stderr.isatty(),
    )
    seconds = time.perf_counter() - started
    channels, rows, columns = index.shape
    result = {
        "units": index.n_units,
        "silent_units": int((index.maximum == 0).sum()),
        "regions": index.n_regions,
        "images": index.n_images,
        "seconds": seconds,
        "bytes": out.stat().st_size,
    }
    print(
        f"{index.n_units} units, {channels} channels of {rows}x{columns} cells: the best {index.top} of "
        f"{index.n_regions} regions for each"
    )
    print(f"  seconds                       {seconds:10.1f}")
    print(f"  units that no region excites  {result['silent_units']:10d}")
    unit = ",".join(map(str, index.place(int(index.maximum.argmax()))))
    next_command = ["rcnn", "units", "show", str(out), "--unit", unit]
    print(f"index saved in {out}, {out.stat().st_size / 1e6:.1f} MB; try: {shlex.join(next_command)}")
    save_json(options.json, result)


def show(options) -> None:
    """Show what excites some units: their best regions, as a table and, if asked for, as a picture."""
    from rcnn_helpers.units import UnitIndex

    index = UnitIndex.load(options.index)
    units = [_unit(index, place) for place in options.unit]
    channels, rows, columns = index.shape
    print(
        f"{index.layer} of {index.network_name}: {channels} channels of {rows}x{columns} cells; "
        f"{index.n_regions} regions of {index.n_images} images"
    )
    results = [_described(index, unit, options.top) for unit in units]
    for result in results:
        _print_unit(index, result)
    if options.picture:
        _write_picture(options, index, units)
    save_json(options.json, results)


def _described(index, unit: int, top: int) -> dict:
    """What is known of a unit, as JSON values."""
    found = index.regions(unit, top)
    place = index.place(unit)
    return {
        "unit": unit,
        "place": list(place),
        "field": index.field(unit).tolist(),
        "maximum": float(index.maximum[unit]),
        "channel_maximum": float(index.channel_maximum[place[0]]),
        "mean": float(index.mean[unit]),
        "active": float(index.active[unit]),
        "similar_channels": index.similar_channels(place[0], 5).tolist(),
        "regions": [
            {
                "image": image_id,
                "value": float(value),
                "scaled": float(scaled),
                "box": box.tolist(),
                "field": field.tolist(),
            }
            for image_id, value, scaled, box, field in zip(
                found.image_ids, found.values, found.scaled, found.boxes, found.fields, strict=True
            )
        ],
    }


def _print_unit(index, result: dict) -> None:
    place = ", ".join(map(str, result["place"]))
    x1, y1, x2, y2 = result["field"]
    print(f"\nunit ({place}), number {result['unit']}")
    print(f"  sees of the crop     x {x1:g} to {x2:g}, y {y1:g} to {y2:g} of {index.input_size} pixels")
    print(f"  largest activation   {result['maximum']:.4g}; {result['channel_maximum']:.4g} in its channel")
    print(f"  mean activation      {result['mean']:.4g}")
    print(f"  excited by           {100 * result['active']:.1f} % of the regions")
    print(f"  most alike channels  {', '.join(map(str, result['similar_channels'])) or 'none'}")
    if not result["regions"]:
        print("  no region excites it")
        return
    width = max(5, *(len(region["image"]) for region in result["regions"]))
    print(f"  rank  scaled  {'image':{width}s}  {'region x1 y1 x2 y2':>27s}  {'of it, the unit sees':>27s}")
    for rank, region in enumerate(result["regions"], start=1):
        box, field = (
            " ".join(f"{value:6.0f}" for value in region[name]).rjust(27) for name in ("box", "field")
        )
        print(f"  {rank:4d}  {region['scaled']:6.2f}  {region['image']:{width}s}  {box}  {field}")


def _write_picture(options, index, units: list[int]) -> None:
    from rcnn_helpers.images import write_image
    from rcnn_helpers.units.montage import unit_rows

    picture = unit_rows(index, _pictures_of(options, index), units, k=min(options.top, 16))
    write_image(Path(options.picture), picture)
    print(f"\na row of regions for each unit, what it sees in white, drawn in {options.picture}")


def best(options) -> None:
    """List the units that are most selective for a class, or for what is to be seen in their receptive fields.

    The share of a unit's best regions that show it is compared with the share of random regions.
    """
    from rcnn_helpers.units import UnitIndex
    from rcnn_helpers.units.selectivity import attribute_selectivity, best_units, class_selectivity

    index = UnitIndex.load(options.index)
    dataset = _pictures_of(options, index)
    if options.by == "class":
        frame, share = class_selectivity(index, dataset, options.top), "precision"
    else:
        frame = attribute_selectivity(index, dataset, options.top, progress=sys.stderr.isatty())
        share = "share"
    found = best_units(frame, options.name, options.count)
    print(
        f"{index.layer} of {index.network_name}: the {options.top} best regions of {index.n_units} units, beside "
        "random regions of the same images"
    )
    if found.empty:
        print("no unit shows more of it than chance could")
    lines = json.loads(found.to_json(orient="records"))
    names = [" ".join(line[key] for key in ("kind", options.by) if key in line) for line in lines]
    width = max((len(name) for name in names), default=0)
    for number, (name, line) in enumerate(zip(names, lines, strict=True)):
        if number == 0:
            print(f"  {'':{width}s}  {'unit':>9s}  {'share':>7s}  {'random':>7s}  {'times':>6s}")
        place = f"{line['channel']},{line['row']},{line['column']}"
        print(
            f"  {name:{width}s}  {place:>9s}  {100 * line[share]:6.1f}%  {100 * line['base']:6.1f}%  "
            f"{line['lift']:6.1f}"
        )
    save_json(options.json, lines)


def _pictures_of(options, index):
    """The images of an index, in the folder of ``--voc`` or of ToyVOC, whatever split they are of."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc
    from rcnn_helpers.datasets.voc import VOCDataset

    root = open_toyvoc("trainval").root if options.voc is None else options.voc
    return VOCDataset(root, "of the index", ids=index.image_ids)


def _unit(index, place: tuple[int, ...]) -> int:
    if len(place) == 1 and index.shape[1:] != (1, 1):
        _, rows, columns = index.shape
        raise SettingsError(
            f"{index.layer} has {rows}x{columns} cells; name a unit by channel, row and column, such as "
            f"{place[0]},0,0"
        )
    return index.unit(*place)


def _place(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (1, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a unit; write channel,row,column, such as 42,2,3, or one number for fc6 and fc7"
        )
    return tuple(map(int, parts))


def add(commands) -> None:
    """Add the parsers of these commands."""
    summary = "what the units of a network look for: build an index, query it"
    group = commands.add_parser("units", help=summary, description=f"Find out {summary}.")
    tasks = group.add_subparsers(dest="task", required=True, metavar="TASK")

    parser = add_parser(tasks, "build", build, "find the regions that excite every unit most")
    data_options(parser, split="test")
    parser.add_argument("--max-images", type=positive, metavar="N", help="use N images spread over the split")
    parser.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights, as rcnn finetune writes them or as downloaded; random for an untrained network",
    )
    parser.add_argument(
        "--layer",
        default="pool5",
        help="pool5, fc6, fc7, or a module of the network such as conv3 (default: %(default)s)",
    )
    proposal_options(parser)
    parser.add_argument(
        "--no-ground-truth", action="store_true", help="leave the objects' own boxes out of the regions"
    )
    parser.add_argument(
        "--top", type=positive, default=100, metavar="K", help="regions kept for each unit (default: 100)"
    )
    parser.add_argument(
        "--nms-iou",
        type=fraction,
        default=0.1,
        metavar="T",
        help="of two regions of an image that overlap by more, a unit's list has the better (default: 0.1)",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file to save the index in")
    device_options(parser)
    common_options(parser)

    parser = add_parser(tasks, "show", show, "show what excites some units")
    parser.add_argument("index", metavar="INDEX", help="a file written by rcnn units build")
    parser.add_argument(
        "--unit",
        type=_place,
        action="append",
        required=True,
        metavar="C,Y,X",
        help="channel, row and column, from 0; can be given several times",
    )
    parser.add_argument(
        "--top", type=positive, default=10, metavar="K", help="regions of each unit (default: %(default)s)"
    )
    _picture_options(parser)
    parser.add_argument("--picture", metavar="FILE", help="draw the regions, up to 16 a unit")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")

    parser = add_parser(tasks, "best", best, "list the most selective units")
    parser.add_argument("index", metavar="INDEX", help="a file written by rcnn units build")
    _picture_options(parser)
    parser.add_argument(
        "--by",
        default="class",
        choices=KINDS,
        help="class: of a region, by the annotation; attribute: of the pixels in the receptive field, such as "
        "colours and, of ToyVOC, parts (default: %(default)s)",
    )
    parser.add_argument("--name", metavar="NAME", help="this class or attribute only")
    parser.add_argument(
        "--count", type=positive, default=3, metavar="N", help="units for each (default: %(default)s)"
    )
    parser.add_argument(
        "--top",
        type=positive,
        default=24,
        metavar="K",
        help="regions of each unit to look at (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")


def _picture_options(parser) -> None:
    parser.add_argument(
        "--voc", metavar="DIR", help="folder with the images of the index, in VOC layout (default: ToyVOC)"
    )
