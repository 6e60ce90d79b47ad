"""``rcnn segment``: train a segmenter, use and judge it, and the paper's Table 5 (sec. 5)."""

import time
from pathlib import Path

from rcnn_helpers.cli.data import cache_of, open_dataset, readable_pictures, some_images
from rcnn_helpers.cli.experiments import (
    cache_to_share,
    experiment_options,
    network_of,
    proposals_of,
    refuse_pictures_of_a_folder,
    roles_of_splits,
    say_how_little_few_seeds_show,
    screen_width,
)
from rcnn_helpers.cli.options import (
    NETWORKS,
    add_parser,
    common_options,
    data_options,
    device_options,
    positive,
)
from rcnn_helpers.cli.output import percent, print_seconds, progress_bar, provenance, save_json, save_tables
from rcnn_helpers.errors import DatasetError, SettingsError

# Written out here so that --help needs no heavy import; a test keeps them true.
VOID = 255
FEATURES = ("full", "fg", "full+fg")
MAX_REGIONS = 150
# Of the table: as many as let three seeds take a quarter of an hour on one core.
TABLE_REGIONS = 100
_REGION_COUNTS = (50, 150, 300)


def train(options) -> None:
    """Train a segmenter on pictures with masks, and save it."""
    from rcnn_helpers.segmentation.segmenter import Segmenter

    out = Path(options.out)
    if not out.resolve().parent.is_dir():
        raise DatasetError(f"the folder of {out} does not exist; create it or choose another --out")
    dataset = some_images(_open(options), options.max_images)
    segmenter = Segmenter(
        options.network,
        weights=options.weights,
        features=options.features,
        layer=options.layer,
        max_regions=options.regions,
        max_background=options.max_background,
        device=options.device,
        seed=options.seed,
    )
    print(
        f"{len(dataset.ids)} images of {dataset.root}, split {dataset.split}; {len(dataset.classes)} classes; "
        f"{segmenter.network.name}, {options.features} {options.layer}",
        flush=True,
    )
    segmenter.fit(dataset, cache=cache_of(options, dataset))
    segmenter.save(out)
    print_seconds(segmenter.seconds_)
    chosen = segmenter.pasting_
    print(f"regions are pasted above {chosen.threshold:.2f}, suppressed above IoU {chosen.nms_iou:.2f}")
    print(f"segmenter saved in {out}; try: rcnn segment run IMAGE --model {out}")
    save_json(
        options.json,
        provenance(options)
        | {
            "images": len(dataset.ids),
            "threshold": chosen.threshold,
            "nms_iou": chosen.nms_iou,
            "training_mean": percent(chosen.accuracy),
            "seconds": segmenter.seconds_,
        },
    )


def run(options) -> int:
    """Segment pictures of your own: a label map in VOC's colours for each, and the picture painted with it."""
    import numpy as np

    from rcnn_helpers.datasets.voc import write_mask
    from rcnn_helpers.images import write_image
    from rcnn_helpers.segmentation.painting import paint_labels
    from rcnn_helpers.segmentation.segmenter import Segmenter
    from rcnn_helpers.storage import make_folder

    segmenter = Segmenter.load(options.model, device=options.device)
    out = make_folder(options.out)
    results = []
    for path, image in readable_pictures(options):
        started = time.perf_counter()
        label_map = segmenter.segment(image)
        seconds = time.perf_counter() - started
        write_mask(out / f"{path.stem}.png", label_map)
        write_image(out / f"{path.stem}_painted.jpg", paint_labels(image, label_map, segmenter.classes_))
        shares = np.bincount(label_map.ravel(), minlength=len(segmenter.classes_) + 1) / label_map.size
        shown = {
            name: float(share)
            for name, share in zip(segmenter.classes_, shares[1:], strict=True)
            if share > 0
        }
        found = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shown.items()) or "background only"
        print(f"{path}: {found}; {seconds:.1f} s")
        results.append({"image": str(path), "shares": shown, "seconds": seconds})
    print(f"label maps are in {out}")
    save_json(options.json, results)
    return 0 if len(results) == len(options.images) else 1


def evaluate(options) -> None:
    """Segmentation accuracy by the PASCAL VOC protocol: intersection over union of all pixels of a class."""
    from rcnn_helpers.segmentation.segmenter import Segmenter

    segmenter = Segmenter.load(options.model, device=options.device)
    dataset = some_images(_open(options, classes=segmenter.classes_), options.max_images)
    result = segmenter.evaluate(dataset, cache=cache_of(options, dataset))
    print(f"segmentation accuracy on {len(dataset.ids)} images of {dataset.root}, split {dataset.split}")
    accuracy = {name: percent(value) for name, value in result.per_class.items()}
    for name, value in accuracy.items():
        print(f"  {name:16s} {'no pixels' if value is None else f'{value:6.2f}'}")
    print(f"  {'mean':16s} {percent(result.mean):6.2f}")
    save_json(options.json, provenance(options) | {"accuracy": accuracy, "mean": percent(result.mean)})


def regions(options) -> None:
    """How well regions cover objects: the mean over objects of the best IoU of a region's mask with theirs."""
    import numpy as np

    from rcnn_helpers.segmentation.regions import best_overlaps, segment_regions

    dataset = some_images(_with_masks(open_dataset(options)), options.max_images)
    best = {count: [] for count in _REGION_COUNTS}
    seconds, n_found = 0.0, []
    for image_id in progress_bar(dataset.ids, "regions"):
        image, (_, object_map) = dataset.image(image_id), dataset.segmentation(image_id)
        started = time.perf_counter()
        found = segment_regions(image, max_regions=max(best))
        seconds += time.perf_counter() - started
        n_found.append(len(found))
        for count in best:
            best[count].append(best_overlaps(found.select(slice(count)), object_map))
    best = {count: np.concatenate(parts) for count, parts in best.items()}
    print(
        f"{len(best[_REGION_COUNTS[0]])} objects in {len(dataset.ids)} images of {dataset.root}, split "
        f"{dataset.split}; {np.mean(n_found):.0f} regions an image, {seconds / len(dataset.ids):.2f} s an image"
    )
    print("  regions   best IoU, mean   objects with 0.5 or more")
    rows = []
    for count, overlaps in best.items():
        covering, recall = float(overlaps.mean()), float((overlaps >= 0.5).mean())
        rows.append({"regions": count, "covering": covering, "recall": recall})
        print(f"  {count:7d}   {covering:14.3f}   {100 * recall:8.1f} %")
    save_json(options.json, provenance(options) | {"rows": rows})


def table(options) -> None:
    """Which features of a region segment best? The rows of the paper's Table 5, with seeds.

    Full boxes, foreground alone and both, by layers fc6 and fc7, and second-order pooling on the same regions. The
    networks are fine-tuned for detection as rcnn ablate does it, and found where it has left them in the cache
    (with the same --proposals). An interrupted command goes on with the row it was at.
    """
    from rcnn_helpers.ablation.printing import format_signs
    from rcnn_helpers.ablation.segmentation_table import format_table5, segmentation_signs, table5

    frame = table5(**_table_arguments(options))
    found = segmentation_signs(frame)
    print(
        "\nSegmentation accuracy, %; ± is the standard deviation over the seeds; the paper's is VOC 2011 val"
    )
    print(format_table5(frame, width=screen_width()))
    print("\nThe paper's claims, by differences in mean accuracy between rows of the same seed")
    print(format_signs(found))
    say_how_little_few_seeds_show(options)
    save_tables(options, frame, signs=found)


def why(options) -> None:
    """Why do features of the foreground alone (fg) lose here? Two explanations, each taken away by itself.

    Rows full, fg and full+fg of the table on layer fc6: on regions as they are found and with the true outlines of
    all objects among them, with the fine-tuned network and with the pre-trained one. What rcnn segment table has
    left in the cache is used. An interrupted command goes on with the row it was at.
    """
    from rcnn_helpers.ablation.foreground import (
        foreground_differences,
        foreground_table,
        format_foreground,
    )

    frame = foreground_table(**_table_arguments(options))
    print("\nAccuracy of label maps and objects named right by their true outlines, %, means over the seeds")
    print(format_foreground(frame))
    say_how_little_few_seeds_show(options)
    save_tables(options, frame, differences=foreground_differences(frame))


def _table_arguments(options) -> dict:
    """What the options of a table ask `table5` for; says so, too."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc
    from rcnn_helpers.datasets.voc import VOCDataset

    refuse_pictures_of_a_folder(options)

    def data(seed):
        if options.voc is None:
            opened = {"profile": options.profile, "seed": seed, "counts": options.pictures}
            return tuple(open_toyvoc(name, **opened) for name in (options.split, options.test_split))
        train = _open(options)
        return train, _with_masks(VOCDataset(options.voc, options.test_split, classes=train.classes))

    print(
        f"seeds {', '.join(map(str, options.seeds))}; {roles_of_splits(options)}; "
        f"{options.regions} regions an image",
        flush=True,
    )
    return {
        "data": data,
        "seeds": options.seeds,
        "cache": cache_to_share(options),
        "network": network_of(options),
        "weights": options.weights,
        "max_proposals": proposals_of(options),
        "max_regions": options.regions,
        "max_images": options.max_images,
        "max_test_images": options.max_test_images,
        "device": options.device,
    }


def _open(options, classes=None):
    """The images of a split that have masks, with the classes in the order of the numbers in the masks.

    Annotations give names and masks numbers. Which number is which class follows from objects that have both.
    """
    dataset = _with_masks(open_dataset(options, classes=classes))
    if options.voc is None:
        return dataset
    if classes is None:
        names = _names_by_number(dataset, _all_masked(dataset))
        found = [names.get(number, f"class {number}") for number in range(1, max(names, default=1) + 1)]
        return type(dataset)(dataset.root, dataset.split, classes=found).subset(list(dataset.ids))
    names = _names_by_number(dataset, dataset.ids)
    wrong = [number for number, name in names.items() if classes[number - 1 : number] != (name,)]
    if wrong:
        raise SettingsError(
            f"number {wrong[0]} in the masks of {dataset.root} stands for {names[wrong[0]]}, but the segmenter's "
            f"classes are {', '.join(classes)}; evaluate it on masks with the numbers it was trained with"
        )
    return dataset


def _names_by_number(dataset, image_ids) -> dict[int, str]:
    """What each number in the class masks is called, by the objects' annotations.

    Masks are read of those images alone that show a class whose number is not known yet.
    """
    import numpy as np

    names = {}
    for image_id in image_ids:
        objects = dataset.annotation(image_id).names
        if set(objects) <= set(names.values()):
            continue
        class_map, object_map = dataset.segmentation(image_id)
        for index, name in enumerate(objects):
            numbers = np.setdiff1d(class_map[object_map == index + 1], (0, VOID))
            if len(numbers) == 1:
                names.setdefault(int(numbers[0]), name)
    return names


def _all_masked(dataset) -> list[str]:
    """All images of the folder with masks and annotation, whatever their split: a split may lack a class."""
    root = Path(dataset.root)
    masked = sorted(path.stem for path in (root / "SegmentationClass").glob("*.png"))
    return [image_id for image_id in masked if (root / "Annotations" / f"{image_id}.xml").is_file()]


def _with_masks(dataset):
    """Only the images that have masks: in VOC most have none."""
    folder = Path(dataset.root) / "SegmentationClass"
    masked = [image_id for image_id in dataset.ids if (folder / f"{image_id}.png").is_file()]
    if not masked:
        raise DatasetError(
            f"none of the {len(dataset.ids)} images of {dataset.root}, split {dataset.split}, has a mask in "
            f"{folder}; segmentation needs a data set with masks, such as ToyVOC or the whole of PASCAL VOC"
        )
    return dataset if len(masked) == len(dataset.ids) else dataset.subset(masked)


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = commands.add_parser(
        "segment",
        help="give every pixel a class",
        description="Give every pixel a class by classifying regions and pasting the best (sec. 5).",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_train(actions)
    _add_use(actions)
    parser = add_parser(actions, "table", table, "features compared, as in the paper's Table 5")
    _table_options(parser)
    parser = add_parser(
        actions, "why", why, "why features of the foreground alone lose: two explanations tried"
    )
    _table_options(parser)


def _add_train(actions) -> None:
    parser = add_parser(actions, "train", train, "train a segmenter on pictures with masks")
    data_options(parser, split="trainval")
    parser.add_argument("--network", default="quarter_tnet", choices=NETWORKS, help="(default: %(default)s)")
    parser.add_argument("--weights", metavar="FILE", help="its weights, as rcnn finetune writes them")
    parser.add_argument("--features", default="full+fg", choices=FEATURES, help="(default: %(default)s)")
    parser.add_argument("--layer", default="fc6", help="(default: %(default)s)")
    parser.add_argument(
        "--regions",
        type=positive,
        default=MAX_REGIONS,
        metavar="N",
        help="regions an image (default: %(default)s)",
    )
    parser.add_argument(
        "--max-background",
        type=positive,
        metavar="N",
        help="train on at most N regions that overlap no object (default: all; they must fit into memory)",
    )
    parser.add_argument("--max-images", type=positive, metavar="N", help="train on N images")
    parser.add_argument("--out", required=True, metavar="MODEL", help="file to save the segmenter in")
    device_options(parser)
    common_options(parser)


def _add_use(actions) -> None:
    parser = add_parser(actions, "run", run, "segment your own pictures")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--model", required=True, help="a segmenter saved by rcnn segment train")
    parser.add_argument("--out", default="segmentations", metavar="DIR", help="folder for the label maps")
    device_options(parser)
    common_options(parser)

    parser = add_parser(actions, "evaluate", evaluate, "accuracy by the PASCAL VOC protocol")
    data_options(parser, split="test")
    parser.add_argument("--model", required=True, help="a segmenter saved by rcnn segment train")
    parser.add_argument("--max-images", type=positive, metavar="N", help="judge on N images of the split")
    device_options(parser)
    common_options(parser)

    parser = add_parser(actions, "regions", regions, "how well regions cover objects")
    data_options(parser, split="val")
    parser.add_argument("--max-images", type=positive, metavar="N", help="look at N images of the split")
    common_options(parser)


def _table_options(parser) -> None:
    experiment_options(parser)
    parser.add_argument("--weights", metavar="FILE", help="the network's pre-trained weights")
    parser.add_argument(
        "--regions",
        type=positive,
        default=TABLE_REGIONS,
        metavar="N",
        help="regions an image (default: %(default)s)",
    )
