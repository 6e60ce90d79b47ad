"""``rcnn pretrain`` and ``rcnn finetune``."""

import shlex
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.data import cache_of, open_dataset, require_classes, some_images, training_images
from rcnn_helpers.cli.options import (
    LABELS,
    NETWORKS,
    add_parser,
    common_options,
    data_options,
    device_options,
    positive,
    proposal_options,
)
from rcnn_helpers.cli.output import save_json
from rcnn_helpers.errors import SettingsError


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
            network = load_network(options.network, weights=options.weights, device=device)
            proposals = _cached_proposals(options, train_set, here.is_first)
            val_proposals = _cached_proposals(options, val_set, here.is_first)
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
            image_memory=None if options.image_memory is None else options.image_memory * 10**9,
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
    save_json(
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
    from rcnn_helpers import finetuning

    return finetuning.settings_for(
        options.network,
        steps=options.steps,
        lr=options.lr,
        lr_drop_every=options.lr_drop_every,
        batch_size=options.batch_size,
        positives=positives_of(options.batch_size) if options.positives is None else options.positives,
        seed=options.seed,
        **finetuning.LABELS[options.labels],
    )


def _data_to_fine_tune_on(options, *, speak: bool):
    """Images to train on and, with ``--val-split``, images for the validation part of the curve."""
    train_set = open_dataset(options)
    if options.classes:
        require_classes(train_set)
    train_set = training_images(train_set, options.max_images, seed=options.seed)
    if options.val_split is None:
        return train_set, None
    val_set = open_dataset(options, classes=train_set.classes, split=options.val_split)
    val_set = some_images(val_set, options.max_images)
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
        cache=cache_of(options, dataset) / "proposals",
        progress=speak,
    )


def positives_of(batch_size: int | None) -> int | None:
    """The paper's share of positives, 32 of 128, in a batch of another size."""
    return None if batch_size is None else max(1, batch_size // 4)


def schedule_options(parser) -> None:
    """How long, how fast and on how many windows at a time a network is fine-tuned."""
    parser.add_argument("--steps", type=positive, metavar="N", help="batches (default: the network's)")
    parser.add_argument(
        "--lr",
        type=float,
        metavar="R",
        help="first learning rate (default: the network's, the paper's is 0.001)",
    )
    parser.add_argument(
        "--lr-drop-every",
        type=positive,
        metavar="N",
        help="steps until it falls to a tenth, again and again",
    )
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="windows a batch (default: the network's)"
    )


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(
        commands, "pretrain", pretrain, "pre-train the quarter T-Net on ToyVOC's auxiliary set"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--scenes", type=positive, metavar="N", help="auxiliary scenes to draw")
    parser.add_argument("--steps", type=positive, metavar="N", help="training steps")
    device_options(parser)
    common_options(parser)

    parser = add_parser(commands, "finetune", finetune, "fine-tune a network on warped proposals")
    data_options(parser, split="trainval")
    parser.add_argument(
        "--val-split",
        metavar="NAME",
        help="another list, for the validation part of the curve (default: none)",
    )
    parser.add_argument("--classes", metavar="A,B", help="learn these classes only")
    parser.add_argument(
        "--max-images", type=positive, metavar="N", help="train on N images, and validate on at most N"
    )
    parser.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="its pre-trained weights (default: those that come with it)"
    )
    proposal_options(parser)
    schedule_options(parser)
    parser.add_argument(
        "--positives",
        type=positive,
        metavar="N",
        help="how many of them show an object (default: a quarter)",
    )
    parser.add_argument(
        "--labels",
        default="overlap",
        choices=LABELS,
        help="overlap: a proposal of IoU 0.5 or more with an object is a positive; ground_truth: only the "
        "objects' own boxes are, and background lies below 0.3, as for the SVMs; overlap_far and "
        "ground_truth_near exchange the background of these two (default: overlap)",
    )
    parser.add_argument(
        "--image-memory",
        type=positive,
        metavar="GB",
        help="memory for decoded images; those beyond it are decoded again (default: half of what is free)",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="weights to write (.safetensors)")
    device_options(parser)
    common_options(parser)
