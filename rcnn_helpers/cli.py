"""The ``rcnn`` command: thin over the package, one subcommand a task.

Exit status: 0 on success, 1 for bad input or missing files (with a message that says what to do, never a
traceback), 2 for wrong usage, 130 after Ctrl-C.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.errors import DatasetError, RCNNError, SettingsError

# Written out here so that --help and a mistyped name need no heavy import; a test keeps them true.
MODES = ("fast", "fast_uijlings", "quality", "single")
CLASSIFIERS = ("svm", "softmax")
LABELS = ("overlap", "ground_truth")
NETWORKS = ("quarter_tnet", "tnet", "alexnet", "vgg16", "squeezenet1_1")
TABLES = ("table2", "classifier", "warp", "negatives", "positives", "labels", "iteration", "table3")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command_line = shlex.join(["rcnn", *arguments])
    try:
        return options.run(options) or 0
    except RCNNError as error:
        print(f"rcnn {options.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"rcnn {options.command}: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") != "0":
            return 130  # under torchrun the first process speaks for all
        print(
            f"\nrcnn {options.command}: interrupted; what was computed is kept, "
            "and the same command goes on from there",
            file=sys.stderr,
        )
        return 130


# -- commands ----------------------------------------------------------------------------------------------


def proposals(options) -> None:
    """Propose regions and measure how many objects they cover."""
    if options.image:
        _picture_of_proposals(options)
        return
    from rcnn_helpers.proposals import propose
    from rcnn_helpers.proposals.recall import recall_at

    dataset = _some_images(_open_dataset(options), options.max_images)
    boxes, seconds = {}, 0.0
    if dataset.ids:
        propose(
            dataset.image(dataset.ids[0]), mode=options.mode, max_boxes=options.proposals
        )  # compile first
    for image_id in _progress(dataset.ids, "proposals"):
        image = dataset.image(image_id)
        started = time.perf_counter()
        boxes[image_id] = propose(image, mode=options.mode, max_boxes=options.proposals, seed=options.seed)
        seconds += time.perf_counter() - started
    result = {
        "recall": {str(t): recall_at(boxes, dataset, iou_threshold=t) for t in (0.5, 0.7)},
        "boxes_per_image": sum(map(len, boxes.values())) / len(boxes),
        "seconds_per_image": seconds / len(boxes),
        "images": len(boxes),
        "mode": options.mode,
    }
    print(
        f"{result['images']} images of {dataset.root}, split {dataset.split}; "
        f"selective search, {options.mode} mode"
    )
    print(f"  boxes an image      {result['boxes_per_image']:8.0f}")
    print(f"  recall at 0.5 IoU   {100 * result['recall']['0.5']:8.1f} %")
    print(f"  recall at 0.7 IoU   {100 * result['recall']['0.7']:8.1f} %")
    print(f"  seconds an image    {result['seconds_per_image']:8.3f}")
    _write_json(options.json, result)


def _picture_of_proposals(options) -> None:
    from rcnn_helpers.drawing import draw_boxes
    from rcnn_helpers.images import read_image, write_image
    from rcnn_helpers.proposals import propose

    image = read_image(options.image)
    boxes = propose(image, mode=options.mode, max_boxes=options.proposals, seed=options.seed)
    out = Path(options.out or f"{Path(options.image).stem}_proposals.jpg")
    write_image(out, draw_boxes(image, boxes[: options.draw]))
    print(f"{len(boxes)} proposals, the first {min(options.draw, len(boxes))} drawn in {out}")
    _write_json(options.json, {"boxes": boxes.tolist()})


def train(options) -> None:
    """Train a detector, SVMs and box regression, and save it."""
    from rcnn_helpers.detector import RCNN

    out = Path(options.out)
    if not out.resolve().parent.is_dir():
        raise DatasetError(f"the folder of {out} does not exist; create it or choose another --out")
    dataset = _open_dataset(options)
    if options.classes:
        _require_classes(dataset)
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
    detector.fit(dataset, cache=_cache_of(options, dataset))
    detector.save(out)
    _print_seconds(detector.seconds_)
    print(f"detector saved in {out}; try: rcnn detect IMAGE --model {out}")
    _write_json(options.json, {"seconds": detector.seconds_, "images": len(dataset.ids)})


def detect(options) -> None:
    """Detect objects in pictures of the user's own."""
    from rcnn_helpers.detector import RCNN
    from rcnn_helpers.drawing import draw_boxes
    from rcnn_helpers.images import read_image, write_image

    detector = RCNN.load(options.model, device=options.device)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    results, failures = [], 0
    for path in options.images:
        try:
            image = read_image(path)
        except RCNNError as error:
            print(f"rcnn detect: {error}", file=sys.stderr)
            failures += 1
            continue
        started = time.perf_counter()
        found = detector.detect(
            image, score_threshold=options.threshold, box_regression=_box_regression(options)
        )
        seconds = time.perf_counter() - started
        names = [found.classes[c] for c in found.class_index]
        labels = [f"{name} {score:.2f}" for name, score in zip(names, found.scores, strict=True)]
        picture = out / f"{Path(path).stem}.jpg"
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
    _write_json(options.json, results)
    return 1 if failures else 0


def evaluate(options) -> None:
    """Compute average precision by the PASCAL VOC protocol."""
    from rcnn_helpers.evaluation import evaluate as evaluate_detections

    if options.results:
        dataset, detections = _results(options)
    else:
        dataset, detections = _detections_of_model(options)
    result = evaluate_detections(detections, dataset, metric=options.metric)
    ap = {name: _percent(value) for name, value in result.ap.items()}
    print(
        f"average precision ({options.metric}) on {len(dataset.ids)} images of {dataset.root}, "
        f"split {dataset.split}"
    )
    for name, value in ap.items():
        print(f"  {name:16s} {'no objects' if value is None else f'{value:6.2f}'}")
    mean = _percent(result.mean_ap)
    print(f"  {'mean':16s} {'no objects' if mean is None else f'{mean:6.2f}'}")
    _write_json(options.json, {"ap": ap, "mAP": mean})


def _results(options):
    """The data set and the detections of ``--results``: of the chosen classes or, by default, those with files."""
    from rcnn_helpers.voc_results import read_voc_results

    dataset = _open_dataset(options)
    detections = read_voc_results(options.results, _class_list(options), image_ids=dataset.ids)
    left_out = [name for name in dataset.classes if name not in detections.classes]
    if left_out:
        print(f"no result files for {', '.join(left_out)}: left out of the mean")
    return _open_dataset(options, classes=detections.classes), detections


def _detections_of_model(options):
    from rcnn_helpers.detector import RCNN

    detector = RCNN.load(options.model, device=options.device)
    if options.proposals:
        detector.max_proposals = options.proposals
    dataset = _some_images(_open_dataset(options, classes=detector.classes_), options.max_images)
    detections = detector.detect_dataset(
        dataset, cache=_cache_of(options, dataset), box_regression=_box_regression(options)
    )
    _print_seconds(detector.seconds_)
    if options.write_results:
        from rcnn_helpers.voc_results import write_voc_results

        write_voc_results(options.write_results, detections, split=dataset.split)
    return dataset, detections


def ablate(options) -> None:
    """Compare detectors row by row as in the paper's Table 2, and say which of its claims hold.

    Everything that rows have in common is computed once and kept; an interrupted command goes on with the row it
    was at. Choose settings on data that you do not report on: --split train --test-split val. Several GPUs can
    share fine-tuning: run rcnn finetune under torchrun and give its file with --finetuned.
    """
    from rcnn_helpers import ablation

    profile = settings.get_profile(options.profile)
    if options.voc and options.pictures:
        raise SettingsError("--pictures is for ToyVOC, which is drawn; with --voc use --max-images")
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
        data=lambda seed: _data_to_compare_on(options, seed),
        seeds=options.seeds,
        cache=Path(options.cache) if options.cache else settings.cache_dir() / "ablation",
        finetune_settings=_finetune_settings(rows, options),
        weights=_weights(options.weights, network),
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
    if options.csv:
        frame.to_csv(options.csv, index=False)
    _write_json(
        options.json,
        _provenance(options)
        | {
            name: json.loads(table.to_json(orient="records"))
            for name, table in (("rows", frame), ("signs", found))
        },
    )


def _provenance(options) -> dict[str, str]:
    """Where and when a result came about, and how to get it again."""
    import datetime

    from rcnn_helpers.course.costs import machine

    return {
        "command": options.command_line,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def _rows(options, network):
    """The rows of ``--tables`` and of each ``--row``; without either, those of Table 2."""
    from rcnn_helpers.ablation import Row, table_rows

    tables = options.tables or (() if options.row else ("table2",))
    own = [Row.parse(text, network=network) for text in options.row]
    return tuple(dict.fromkeys((*table_rows(tables, network=network), *own)))


def _data_to_compare_on(options, seed: int):
    """Training and test images of a seed: ToyVOC is drawn with it, a folder's images are chosen with it."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc
    from rcnn_helpers.datasets.voc import VOCDataset

    if options.voc is None:
        drawn = open_toyvoc(options.split, profile=options.profile, seed=seed, counts=options.pictures)
        root, classes = drawn.root, _class_list(options) or drawn.classes
    else:
        root, classes = options.voc, _class_list(options)
    train = VOCDataset(root, options.split, classes=classes)
    if options.classes:
        _require_classes(train)
    test = VOCDataset(root, options.test_split, classes=train.classes)
    return training_images(train, options.max_images, seed=seed), _some_images(test, options.max_test_images)


def _finetune_settings(rows, options) -> dict:
    from rcnn_helpers.finetuning import settings_for

    changes = {
        "steps": options.steps,
        "batch_size": options.batch_size,
        "positives": _positives_of(options.batch_size),
    }
    return {row.network: settings_for(row.network, **changes) for row in rows}


def _positives_of(batch_size: int | None) -> int | None:
    """The paper's share of positives, 32 of 128, in a batch of another size."""
    return None if batch_size is None else max(1, batch_size // 4)


def _weights(given: list[str], network: str) -> dict[str, str]:
    """Files of weights by network, from ``FILE`` and ``NETWORK=FILE``."""
    files = {}
    for text in given:
        name, equals, path = text.partition("=")
        if equals and name in NETWORKS:
            files[name] = path
        else:
            files[network] = text
    return files


def pretrain(options) -> None:
    """Pre-train the quarter T-Net on ToyVOC's auxiliary categories (sec. 2.3)."""
    from rcnn_helpers.pretraining import pretrain as run

    run(out=options.out, scenes=options.scenes, steps=options.steps, seed=options.seed, device=options.device)


def finetune(options) -> None:
    """Fine-tune a network on the warped proposals of a data set (sec. 2.3).

    To use several GPUs: torchrun --nproc-per-node N --no-python rcnn finetune ...
    """
    from rcnn_helpers.finetuning import finetune as run
    from rcnn_helpers.networks import load_network
    from rcnn_helpers.training import processes

    out = Path(options.out)
    if out.suffix != ".safetensors" or not out.resolve().parent.is_dir():
        raise SettingsError(f"--out {out} must be a .safetensors file in a folder that exists")
    chosen = _settings_of_finetuning(options)
    device = settings.choose_device(options.device)
    with processes(device.partition(":")[0]) as here:
        if here.count > 1 and device == "cuda":
            device = f"cuda:{here.local_rank}"
        here.share(chosen.batch_size)  # refuses a batch that cannot be shared before the long work begins
        with here.first_alone():  # the others then find pictures, proposals and downloads in their caches
            train_set, val_set = _data_to_fine_tune_on(options, speak=here.is_first)
            proposals = _cached_proposals(options, train_set, here.is_first)
            val_proposals = _cached_proposals(options, val_set, here.is_first)
            network = load_network(options.network, weights=options.weights, device=device)
        if here.is_first:
            print(
                f"{len(train_set.ids)} images of {train_set.root}, split {train_set.split}; "
                f"{len(train_set.classes)} classes; {network.name} on {device}\n"
                f"{chosen.steps} steps of {chosen.batch_size} windows, {chosen.positives} of them positives; "
                f"learning rate {chosen.lr:g}, a tenth of it every {chosen.lr_drop_every} steps",
                flush=True,
            )
        result = run(
            network,
            train_set,
            proposals,
            val=val_set,
            val_proposals=val_proposals,
            settings=chosen,
            out=out,
            progress=here.is_first,
        )
        if not here.is_first:
            return
    next_command = ["rcnn", "train", "--network", options.network, "--weights", str(out)]
    for name in ("voc", "classes"):
        if getattr(options, name):
            next_command += [f"--{name}", getattr(options, name)]
    next_command += ["--out", "model.safetensors"]
    print(
        f"fine-tuned in {result.seconds:.0f} s; network saved in {out}, the curve in {out.with_suffix('.csv')}\n"
        f"next: {shlex.join(next_command)}"
    )
    _write_json(
        options.json,
        {
            "seconds": result.seconds,
            "images": len(train_set.ids),
            "processes": here.count,
            "history": result.history.to_dict("records"),
        },
    )


def _settings_of_finetuning(options):
    """The network's default settings, changed where an option says so."""
    from rcnn_helpers.finetuning import SVM_LABELS, settings_for

    return settings_for(
        options.network,
        steps=options.steps,
        lr=options.lr,
        lr_drop_every=options.lr_drop_every,
        batch_size=options.batch_size,
        positives=_positives_of(options.batch_size) if options.positives is None else options.positives,
        seed=options.seed,
        **(SVM_LABELS if options.labels == "ground_truth" else {}),
    )


def _data_to_fine_tune_on(options, *, speak: bool):
    """Images to train on and, with ``--val-split``, images for the validation part of the curve."""
    train_set = _open_dataset(options)
    if options.classes:
        _require_classes(train_set)
    train_set = training_images(train_set, options.max_images, seed=options.seed)
    if options.val_split is None:
        return train_set, None
    val_set = _open_dataset(options, classes=train_set.classes, split=options.val_split)
    val_set = _some_images(val_set, options.max_images)
    n_shared = len(set(train_set.ids) & set(val_set.ids))
    if n_shared and speak:
        print(
            f"{n_shared} of the {len(val_set.ids)} validation images are trained on as well: there the curve "
            "shows memory, not learning; choose --split and --val-split without common images"
        )
    return train_set, val_set


def _cached_proposals(options, dataset, speak: bool):
    from rcnn_helpers.proposals import propose_dataset

    if dataset is None:
        return None
    return propose_dataset(
        dataset,
        mode=options.mode,
        max_boxes=options.proposals,
        seed=options.seed,
        cache=_cache_of(options, dataset) / "proposals",
        progress=speak,
    )


def toyvoc(options) -> None:
    """Render ToyVOC in PASCAL VOC layout and say where it lies."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    dataset = open_toyvoc("trainval", profile=options.profile, seed=options.seed)
    print(dataset.root)


def course(options) -> None:
    """Run the whole course and print its result table."""
    from rcnn_helpers.course.run import run_course

    run_course(profile=options.profile, notebooks=not options.no_notebooks, record=options.record)


def progress(options) -> None:
    """Show or forget what the learner has done."""
    from rcnn_helpers.course import progress as learner
    from rcnn_helpers.course.exercises import exercises

    if options.reset:
        print(f"Forgotten: the exercises and predictions in {learner.reset()}")
        return
    outcomes = {entry["name"]: entry for entry in learner.entries("exercise")}
    print(f"{'notebook':10s}{'exercise':24s}{'level':8s}{'minutes':>7s}  outcome")
    for name, exercise in exercises().items():
        entry = outcomes.get(name, {"outcome": "not attempted"})
        outcome = "pass" if entry.get("passed") else entry["outcome"]
        level = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
        print(f"{exercise.notebook:10s}{name:24s}{level:8s}{exercise.minutes:7d}  {outcome}")
    passed = sum(outcomes.get(name, {}).get("passed", False) for name in exercises())
    n_predictions = len(learner.entries("prediction"))
    print(f"{passed} of {len(exercises())} exercises passed, {n_predictions} predictions written down")


# -- pieces ------------------------------------------------------------------------------------------------


def _open_dataset(options, classes=None, split=None):
    """A split of the VOC folder of ``--voc`` or, by default, of ToyVOC; by default that of ``--split``."""
    classes, split = classes or _class_list(options), split or options.split
    if options.voc is None:
        from rcnn_helpers.datasets.toyvoc import open_toyvoc

        dataset = open_toyvoc(split)
        return dataset if classes is None else type(dataset)(dataset.root, split, classes=classes)
    from rcnn_helpers.datasets.voc import VOCDataset

    return VOCDataset(options.voc, split, classes=classes)


def _class_list(options) -> tuple[str, ...] | None:
    names = getattr(options, "classes", None)
    return tuple(name.strip() for name in names.split(",") if name.strip()) if names else None


def _require_classes(dataset) -> None:
    """Refuse a class that no annotation of the split names, as a mistyped one."""
    present = {name for image_id in dataset.ids for name in dataset.annotation(image_id).names}
    unknown = [name for name in dataset.classes if name not in present]
    if unknown:
        raise SettingsError(
            f"no object of {', '.join(unknown)} is annotated in split {dataset.split}; "
            f"--classes can be any of {', '.join(sorted(present))}"
        )


def _some_images(dataset, n: int | None):
    """`n` images spread evenly over the split, in its order; all of them without `n`."""
    if n is None or n >= len(dataset.ids):
        return dataset
    return dataset.subset([dataset.ids[i * len(dataset.ids) // n] for i in range(n)])


def training_images(dataset, n: int | None, *, seed: int = 0):
    """`n` images to train on: up to three quarters show a chosen class, the rest do not, drawn at random.

    A handful of classes in a random subset would leave few positives; the images without any of them are kept
    because that is where negatives come from.
    """
    if n is None or n >= len(dataset.ids):
        return dataset
    import numpy as np

    wanted = set(dataset.classes)
    shows = [bool(wanted & set(dataset.annotation(image_id).names)) for image_id in dataset.ids]
    order = np.random.default_rng(seed).permutation(len(dataset.ids))
    showing = [i for i in order if shows[i]]
    others = [i for i in order if not shows[i]]
    n_showing = max(min(len(showing), (3 * n + 3) // 4), n - len(others))
    chosen = sorted(showing[:n_showing] + others[: n - n_showing])
    return dataset.subset([dataset.ids[i] for i in chosen])


def _cache_of(options, dataset) -> Path:
    """Folder of a data set's proposals and features, so that an interrupted command goes on where it stopped."""
    import hashlib

    root = str(Path(dataset.root).resolve())
    base = Path(options.cache) if options.cache else settings.cache_dir() / "runs"
    return base / f"{Path(root).name}-{hashlib.sha256(root.encode()).hexdigest()[:12]}"


def _box_regression(options) -> bool | None:
    """False where the user wants none, else None: as the detector was trained."""
    return False if options.no_box_regression else None


def _description(detector) -> str:
    scorer = "softmax" if detector.classifier == "softmax" else f"SVMs on {detector.layer}"
    return f"{scorer}, {'with' if detector.box_regression else 'without'} box regression"


def _percent(fraction: float) -> float | None:
    return None if fraction != fraction else 100 * float(fraction)


def _print_seconds(seconds: dict[str, float]) -> None:
    for stage, value in seconds.items():
        print(f"  {stage:16s} {value:8.1f} s")


def _write_json(path, value) -> None:
    if path:
        from rcnn_helpers.storage import write_json

        write_json(path, value)


def _progress(items, description: str):
    from tqdm.auto import tqdm

    return tqdm(items, desc=description, unit="image", leave=False, disable=not sys.stderr.isatty())


# -- options -----------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rcnn",
        description="R-CNN (Girshick et al., arXiv 1311.2524), step by step: propose, train, detect, evaluate.",
        epilog="Without --voc, commands work on ToyVOC, the data set that is drawn on this machine.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _command(commands, "proposals", proposals, "region proposals: how many, how good, how fast")
    _data_options(command, split="test")
    command.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    command.add_argument("--proposals", type=_positive, metavar="N", help="keep the N best boxes an image")
    command.add_argument(
        "--max-images", type=_positive, metavar="N", help="use N images spread over the split"
    )
    command.add_argument("--image", metavar="FILE", help="draw the proposals of one picture instead")
    command.add_argument("--out", metavar="FILE", help="with --image: the picture to write")
    command.add_argument(
        "--draw", type=_positive, default=200, metavar="N", help="with --image: boxes to draw"
    )
    _common_options(command)

    command = _command(commands, "train", train, "train a detector")
    _data_options(command, split="trainval")
    command.add_argument("--classes", metavar="A,B", help="train these classes only")
    command.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    command.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights, as rcnn finetune writes them or as downloaded: .safetensors, .pth or .caffemodel",
    )
    command.add_argument("--layer", help="layer that the SVMs read (default: the network's last)")
    command.add_argument(
        "--classifier",
        default="svm",
        choices=CLASSIFIERS,
        help="what scores a region; softmax needs weights fine-tuned for the same classes (default: svm)",
    )
    command.add_argument(
        "--positive-iou",
        type=_fraction,
        metavar="T",
        help="regions of at least this IoU with an object are the SVMs' positives (default: the objects alone)",
    )
    command.add_argument(
        "--negative-iou",
        type=_fraction,
        default=settings.SVM_NEGATIVE_IOU,
        metavar="T",
        help="regions below this IoU with all objects of a class are its negatives (default: %(default)s)",
    )
    command.add_argument("--no-box-regression", action="store_true", help="train without it")
    command.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    command.add_argument("--max-images", type=_positive, metavar="N", help="train on N images")
    command.add_argument(
        "--proposals",
        type=_positive,
        default=settings.MAX_PROPOSALS,
        metavar="N",
        help="boxes an image (default: %(default)s)",
    )
    command.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    command.add_argument("--out", required=True, metavar="MODEL", help="file to save the detector in")
    _device_options(command)
    _common_options(command)

    command = _command(commands, "detect", detect, "detect objects in your own pictures")
    command.add_argument("images", nargs="+", metavar="IMAGE")
    command.add_argument("--model", required=True, help="a detector saved by rcnn train")
    command.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="least score of a detection (default: for each class, the best on the training images)",
    )
    command.add_argument(
        "--no-box-regression", action="store_true", help="leave boxes where they were proposed"
    )
    command.add_argument("--out", default="detections", metavar="DIR", help="folder for the pictures")
    _device_options(command)
    _common_options(command)

    command = _command(commands, "evaluate", evaluate, "average precision by the PASCAL VOC protocol")
    _data_options(command, split="test")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="a detector saved by rcnn train")
    source.add_argument(
        "--results", metavar="DIR", help="VOC result files comp*_det_*_CLASS.txt, plain or gzipped"
    )
    command.add_argument(
        "--metric",
        default="11point",
        choices=["11point", "area"],
        help="11point is VOC 2007's, area that of later years (default: 11point)",
    )
    command.add_argument("--classes", metavar="A,B", help="with --results: evaluate these classes only")
    command.add_argument(
        "--max-images", type=_positive, metavar="N", help="with --model: N images spread over the split"
    )
    command.add_argument("--proposals", type=_positive, metavar="N", help="with --model: boxes an image")
    command.add_argument(
        "--no-box-regression", action="store_true", help="with --model: leave boxes where they were proposed"
    )
    command.add_argument("--write-results", metavar="DIR", help="with --model: write VOC result files")
    _device_options(command)
    _common_options(command)

    command = _command(commands, "ablate", ablate, "compare detectors as in the paper's Tables 2 and 3")
    _data_options(command, split="trainval")
    command.add_argument(
        "--test-split", default="test", metavar="NAME", help="images to judge on (default: %(default)s)"
    )
    command.add_argument(
        "--profile",
        choices=sorted(settings.PROFILES),
        help="sets network, proposals and ToyVOC's number of pictures (default: laptop)",
    )
    command.add_argument(
        "--pictures",
        type=_picture_counts,
        metavar="TRAIN,VAL,TEST",
        help="draw so many pictures of ToyVOC, instead of the profile's; larger sets contain the smaller ones",
    )
    command.add_argument("--classes", metavar="A,B", help="these classes only")
    command.add_argument(
        "--max-images", type=_positive, metavar="N", help="train on N images, most of them with the classes"
    )
    command.add_argument(
        "--max-test-images", type=_positive, metavar="N", help="judge on N images spread over the split"
    )
    command.add_argument(
        "--tables",
        type=_tables,
        metavar="A,B",
        help=f"rows to run, any of {', '.join(TABLES)}; all stands for all but table3 "
        "(default: table2, or none with --row)",
    )
    command.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="KEY=VALUE,...",
        help='a row of your own, such as "layer=fc6,fine_tuned=no,negative_iou=0.2"; can be given several times',
    )
    command.add_argument(
        "--seeds", type=_seeds, default=(0,), metavar="A,B", help="seeds, such as 0,1,2 (default: 0)"
    )
    command.add_argument("--network", choices=NETWORKS, help="backbone (default: the profile's)")
    command.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[NETWORK=]FILE",
        help="pre-trained weights; with NETWORK= for one of several networks",
    )
    command.add_argument(
        "--finetuned", metavar="FILE", help="weights that rcnn finetune has written, for a single seed"
    )
    command.add_argument("--steps", type=_positive, metavar="N", help="steps of fine-tuning")
    command.add_argument(
        "--batch-size",
        type=_positive,
        metavar="N",
        help="windows of a step of fine-tuning, a quarter of them positives (default: the network's)",
    )
    command.add_argument("--proposals", type=_positive, metavar="N", help="boxes an image")
    command.add_argument(
        "--metric", default="11point", choices=["11point", "area"], help="(default: 11point)"
    )
    command.add_argument(
        "--drop-features",
        action="store_true",
        help="remove features once no row needs them; a network's take up to 18 KB a region (T-Net, before zeros "
        "are left out), and what a step needs is checked before it starts",
    )
    command.add_argument("--csv", metavar="FILE", help="write a line for each row and seed there")
    command.add_argument("--json", metavar="FILE", help="write rows and claims there")
    _device_options(command)

    command = _command(
        commands, "pretrain", pretrain, "pre-train the quarter T-Net on ToyVOC's auxiliary set"
    )
    command.add_argument("--out", required=True, metavar="FILE", help="weights to write (.safetensors)")
    command.add_argument("--scenes", type=_positive, metavar="N", help="auxiliary scenes to draw")
    command.add_argument("--steps", type=_positive, metavar="N", help="training steps")
    _device_options(command)
    _common_options(command)

    command = _command(commands, "finetune", finetune, "fine-tune a network on warped proposals")
    _data_options(command, split="trainval")
    command.add_argument(
        "--val-split",
        metavar="NAME",
        help="another list, for the validation part of the curve (default: none)",
    )
    command.add_argument("--classes", metavar="A,B", help="learn these classes only")
    command.add_argument(
        "--max-images", type=_positive, metavar="N", help="train on N images, and validate on at most N"
    )
    command.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    command.add_argument(
        "--weights", metavar="FILE", help="its pre-trained weights (default: those that come with it)"
    )
    command.add_argument("--mode", default="fast", choices=MODES, help="of selective search (default: fast)")
    command.add_argument(
        "--proposals",
        type=_positive,
        default=settings.MAX_PROPOSALS,
        metavar="N",
        help="boxes an image (default: %(default)s)",
    )
    command.add_argument("--steps", type=_positive, metavar="N", help="batches (default: the network's)")
    command.add_argument(
        "--lr",
        type=float,
        metavar="R",
        help="first learning rate (default: the network's, the paper's is 0.001)",
    )
    command.add_argument(
        "--lr-drop-every",
        type=_positive,
        metavar="N",
        help="steps until it falls to a tenth, again and again",
    )
    command.add_argument(
        "--batch-size", type=_positive, metavar="N", help="windows a step (default: the network's)"
    )
    command.add_argument(
        "--positives",
        type=_positive,
        metavar="N",
        help="how many of them show an object (default: a quarter)",
    )
    command.add_argument(
        "--labels",
        default="overlap",
        choices=LABELS,
        help="overlap: a proposal of IoU 0.5 or more with an object is a positive; ground_truth: only the "
        "objects' own boxes are, and background lies below 0.3, as for the SVMs (default: overlap)",
    )
    command.add_argument("--out", required=True, metavar="FILE", help="weights to write (.safetensors)")
    _device_options(command)
    _common_options(command)

    command = _command(commands, "toyvoc", toyvoc, "draw ToyVOC and say where it lies")
    command.add_argument("--profile", choices=sorted(settings.PROFILES))
    _common_options(command)

    command = _command(commands, "progress", progress, "show which exercises you have passed, or begin anew")
    command.add_argument("--reset", action="store_true", help="forget all exercises and predictions")
    command = _command(commands, "course", course, "run the whole course on embedded data")
    command.add_argument("--profile", choices=sorted(settings.PROFILES))
    command.add_argument("--no-notebooks", action="store_true", help="run the stages only")
    command.add_argument(
        "--record", action="store_true", help="write what stages and notebooks took into data/costs.csv"
    )
    _common_options(command)
    return parser


def _command(commands, name, run, summary) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=f"{run.__doc__.strip()}")
    command.set_defaults(run=run)
    return command


def _data_options(command, *, split: str) -> None:
    command.add_argument("--voc", metavar="DIR", help="folder in VOC layout, the one that holds JPEGImages")
    command.add_argument(
        "--split", default=split, metavar="NAME", help="list in ImageSets/Main (default: %(default)s)"
    )


def _device_options(command) -> None:
    command.add_argument("--device", help="cuda, mps or cpu (default: the best one present)")
    command.add_argument(
        "--cache", metavar="DIR", help="folder for proposals and features that may be used again"
    )


def _common_options(command) -> None:
    command.add_argument("--seed", type=int, default=0, help="decides everything random (default: 0)")
    command.add_argument("--json", metavar="FILE", help="write the results there as well")


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return value


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


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 0,1,2")
    return tuple(map(int, parts))


def _picture_counts(text: str) -> dict[str, int]:
    counts = [part.strip() for part in text.split(",")]
    if len(counts) != 3 or not all(part.isascii() and part.isdigit() and int(part) for part in counts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not three numbers from 1 on, of train, val and test pictures, such as 430,70,100"
        )
    return dict(zip(("train", "val", "test"), map(int, counts), strict=True))


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
