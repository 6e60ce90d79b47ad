"""``rcnn extract``: the dear part of a training, on as many machines as there are."""

import time
from contextlib import nullcontext

from rcnn_helpers import settings
from rcnn_helpers.cli.data import cache_of, open_dataset
from rcnn_helpers.cli.options import (
    NETWORKS,
    add_parser,
    common_options,
    data_options,
    device_options,
    positive,
    proposal_options,
    shard,
)
from rcnn_helpers.cli.output import save_json


def extract(options) -> None:
    """Bring proposals and features of a split into the cache, where rcnn train finds them.

    What is there is not computed again, so an interrupted run goes on. To share the work out over machines with
    a common file system, start each with another --shard, such as 3/16, and the same --cache. To use several
    GPUs of one machine: torchrun --nproc-per-node N --no-python rcnn extract ...
    """
    from rcnn_helpers.training import processes

    device = settings.choose_device(options.device)
    with processes(device.partition(":")[0]) as here:
        if here.count > 1 and device == "cuda":
            device = f"cuda:{here.local_rank}"
        with here.first_alone():  # the others then find pictures and downloads in their caches
            dataset = open_dataset(options)
            detector = _detector(options, device)
        number, count = options.shard
        own = dataset.ids[(number - 1) + count * here.rank :: count * here.count]
        if here.is_first:
            print(
                f"{len(dataset.ids)} images of {dataset.root}, split {dataset.split}, "
                f"{len(own)} of them here; {detector.network.name} on {device}",
                flush=True,
            )
        started = time.perf_counter()
        if own:
            store = _extract(detector, dataset.subset(own), options, show=here.is_first)
        seconds = time.perf_counter() - started
        if not here.is_first:
            return
    if own:
        print(f"{len(own)} images in {seconds:.0f} s; features in {store.folder}")
    save_json(options.json, {"images": len(own), "processes": here.count, "seconds": seconds})


def _detector(options, device: str):
    """The detector that ``rcnn train`` would train: it decides what its regions and features are."""
    from rcnn_helpers.detector import RCNN

    return RCNN(
        options.network,
        weights=options.weights,
        mode=options.mode,
        max_proposals=options.proposals,
        precision=options.precision,
        device=device,
        seed=options.seed,
    )


def _extract(detector, dataset, options, *, show: bool):
    """Fill the cache, in this process or, with ``--jobs``, in several; returns the store of features."""
    import joblib

    engine = nullcontext() if options.jobs == 1 else joblib.parallel_config("loky", n_jobs=options.jobs)
    with engine:
        return detector.extract(dataset, cache=cache_of(options, dataset), progress=show)


def add(commands) -> None:
    """Add the parser of this command."""
    parser = add_parser(commands, "extract", extract, "proposals and features, on one machine or on many")
    data_options(parser, split="trainval")
    parser.add_argument(
        "--network", default="quarter_tnet", choices=NETWORKS, help="backbone (default: quarter_tnet)"
    )
    parser.add_argument("--weights", metavar="FILE", help="its weights, as for rcnn train")
    proposal_options(parser)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument(
        "--shard",
        type=shard,
        default=(1, 1),
        metavar="K/N",
        help="do every N-th image alone, from the K-th on; shards 1/N to N/N do them all",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="processes on this machine, each with a part of the cores (default: 1, with all of them)",
    )
    device_options(parser)
    common_options(parser)
