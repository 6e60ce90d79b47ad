"""The stages that are killed, starved and damaged here, each a function of the folder it keeps its work in.

They return what they found, as a dict of arrays, and are imported by the processes that die, so nothing here may
compute when imported.
"""

import os
from functools import cache
from pathlib import Path

COUNTS = {"train": 6, "val": 2, "test": 2}
PROPOSALS = 60


def draw(folder: Path) -> None:
    """Render ToyVOC."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    open_toyvoc("trainval", counts=COUNTS, root=folder, n_jobs=1)


@cache
def _dataset(split: str):
    """Pictures that were rendered once for all stages, in the folder named by the environment."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    return open_toyvoc(split, counts=COUNTS, root=os.environ["PICTURES"], n_jobs=1)


def _proposals(split: str, folder: Path) -> dict:
    from rcnn_helpers.proposals import propose_dataset

    return propose_dataset(
        _dataset(split), max_boxes=PROPOSALS, cache=folder / "proposals", n_jobs=1, progress=False
    )


def propose(folder: Path) -> dict:
    return _proposals("trainval", folder)


def finetune(folder: Path) -> dict:
    from rcnn_helpers import finetuning
    from rcnn_helpers.networks import load_network

    result = finetuning.finetune(
        load_network("quarter_tnet"),
        _dataset("trainval"),
        _proposals("trainval", folder),
        settings=finetuning.FinetuneSettings(steps=16, batch_size=8, positives=2, lr_drop_every=8),
        out=folder / "tuned.safetensors",
        checkpoint_seconds=0.0,
        progress=False,
    )
    return {name: tensor.numpy() for name, tensor in result.network.module.state_dict().items()}


def _detector():
    from rcnn_helpers.detector import RCNN

    return RCNN("quarter_tnet", max_proposals=PROPOSALS)


def extract(folder: Path) -> dict:
    store = _detector().extract(
        _dataset("trainval"), _proposals("trainval", folder), cache=folder / "features", progress=False
    )
    return {image_id: store.read(image_id).features for image_id in store.ids()}


def train(folder: Path) -> dict:
    detector = _detector().fit(_dataset("trainval"), cache=folder / "cache", progress=False)
    detector.save(folder / "model.safetensors")
    return {"svms": detector.svms_.coef_, "thresholds": detector.thresholds_}


def detect(folder: Path) -> dict:
    from rcnn_helpers.voc_results import write_voc_results

    detector = _detector().fit(_dataset("trainval"), cache=folder / "cache", progress=False)
    found = detector.detect_dataset(_dataset("test"), cache=folder / "cache", progress=False)
    write_voc_results(folder / "results", found, "test")
    return {"boxes": found.boxes, "scores": found.scores}


def index_units(folder: Path) -> dict:
    from rcnn_helpers.networks import load_network
    from rcnn_helpers.units import build_index

    index = build_index(
        _dataset("trainval"),
        _proposals("trainval", folder),
        network=load_network("quarter_tnet"),
        out=folder / "units.safetensors",
        checkpoint_images=1,
        progress=False,
    )
    return {"values": index.values, "boxes": index.boxes, "sums": index.sums}


def ablate(folder: Path) -> dict:
    from rcnn_helpers.ablation import Row
    from rcnn_helpers.ablation import ablate as run
    from rcnn_helpers.finetuning import FinetuneSettings

    frame = run(
        [Row(fine_tuned=False), Row(fine_tuned=True), Row(fine_tuned=True, box_regression=1)],
        data=lambda seed: (_dataset("trainval"), _dataset("test")),
        cache=folder / "ablation",
        finetune_settings=FinetuneSettings(steps=6, batch_size=8, positives=2),
        max_proposals=PROPOSALS,
        progress=False,
    )
    rows = frame.drop(columns="seconds")
    rows.to_csv(folder / "rows.csv", index=False)
    return {"mAP": rows["mAP"].to_numpy()}


STAGES = {
    stage.__name__: stage for stage in (draw, propose, finetune, extract, train, detect, index_units, ablate)
}


def run_stage(name: str, folder: str, pictures: str) -> dict | None:
    """Do one stage; the target of the processes that are killed."""
    os.environ["PICTURES"] = pictures
    return STAGES[name](Path(folder))
