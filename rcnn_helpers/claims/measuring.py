"""Small measurements that claims need and that no other command makes, saved as ``data/results/claims_*.json``.

Most work on what the course has computed (profile laptop, ToyVOC of seed 0); where something is missing it is
computed first. ``rcnn claims --measure NAME`` runs one.
"""

import time
from collections.abc import Callable

import numpy as np

from rcnn_helpers.errors import SettingsError


def measure_networks(course) -> dict:
    """Sizes, fields and costs of the paper's two networks; their weights do not matter and are random.

    Returns
    -------
    dict
        Parameters of the T-Net by part (without the last layer, which changes with the classes), with the two
        groups that its convolutions have and as if they had none; its pool5; what a unit of pool5 sees; seconds
        of a forward pass of both networks on this machine, and of a whole image.
    """
    from rcnn_helpers import settings
    from rcnn_helpers.networks import load_network
    from rcnn_helpers.units import field_geometry

    tnet, onet = (load_network(name, weights="random", device="cpu") for name in ("tnet", "vgg16"))
    module = tnet.module
    parts = {name: _n_parameters(getattr(module, name)) for name in ("trunk", "fc6", "fc7")}
    geometry = field_geometry(tnet, "pool5")
    return {
        "tnet_parameters": parts,
        "tnet_trunk_without_groups": _n_parameters(module.trunk, without_groups=True),
        "pool5_shape": list(tnet.feature_shape("pool5")),
        "pool5_units": tnet.feature_dim("pool5"),
        "field": int(geometry.size),
        "field_stride": int(geometry.stride),
        "multiplications": {network.name: _n_multiplications(network) for network in (tnet, onet)},
        "cpu_seconds_a_region": {network.name: _cpu_seconds_a_region(network) for network in (tnet, onet)},
        "cpu_seconds_of_proposals": _cpu_seconds_of_proposals(course),
        "proposals": settings.MAX_PROPOSALS,
    }


def measure_jitter(course) -> dict:
    """How many proposals are positives in fine-tuning, for each object (App. B)."""
    from rcnn_helpers.boxes import iou
    from rcnn_helpers.settings import MATCH_IOU

    proposals, n_objects, n_positives = course.proposals("trainval"), 0, 0
    for image_id, boxes in proposals.items():
        truth = course.trainval.annotation(image_id).boxes
        n_objects += len(truth)
        if len(truth):
            n_positives += int((iou(boxes, truth).max(axis=1) >= MATCH_IOU).sum())
    return {
        "objects": n_objects,
        "positive_proposals": n_positives,
        "proposals_an_image": float(np.mean([len(boxes) for boxes in proposals.values()])),
    }


def measure_mining(course) -> dict:
    """AP without mining, after one pass over the images and after two (sec. 2.3), and seconds of each."""
    from rcnn_helpers.svm import train_detector_svms
    from rcnn_helpers.training_regions import TrainingRegions

    detector = _copy(course.detector)
    store = course.features("trainval")
    regions = TrainingRegions(course.trainval, store, detector.feature_scale_, layer=detector.layer)
    ways = {"random negatives": {"mine": False}, "one pass": {"passes": 1}, "two passes": {"passes": 2}}
    found = {}
    for name, way in ways.items():
        started = time.perf_counter()
        detector.svms_ = train_detector_svms(regions, detector.classes_, seed=detector.seed, **way)
        seconds = time.perf_counter() - started
        found[name] = _ap(course, detector, box_regression=False) | {"seconds": seconds}
    return {"ways": found}


def measure_penalty(course) -> dict:
    """AP with box regressors of several penalties (App. C), and without any."""
    from rcnn_helpers.bbox_regression import BoxRegressors
    from rcnn_helpers.training_regions import regression_chunks

    detector = _copy(course.detector)
    store = course.features("trainval")
    found = {"none": _ap(course, detector, box_regression=False)}
    for penalty in (1.0, 1e3, 1e6):
        chunks = regression_chunks(course.trainval, store, detector.pool5_scale_)
        detector.regressors_ = BoxRegressors(penalty).fit_chunks(chunks, n_classes=len(detector.classes_))
        found[f"{penalty:g}"] = _ap(course, detector)
    return {"penalties": found}


def measure_diagnosis(course) -> dict:
    """Kinds of the best-scored false positives of three detectors, and how objects' looks matter (Figs. 5, 6)."""
    from rcnn_helpers import diagnosis
    from rcnn_helpers.evaluation import collect_ground_truth

    detectors = {
        "fc7": course.detections_before_fine_tuning,
        "FT fc7": course.detections_without_regression,
        "FT fc7 BB": course.detections,
    }
    truth = collect_ground_truth(course.test)
    attributes = diagnosis.object_attributes(course.test)
    found = {}
    for name, detections in detectors.items():
        judged = diagnosis.diagnose(detections, truth)
        summary = diagnosis.sensitivity_summary(diagnosis.sensitivity(judged, attributes))
        found[name] = {
            "mAP": 100 * judged.mean_ap,
            "best_scored": _best_scored(judged, truth),
            "gains": _gains(judged),
            "sensitivity": {
                str(row.Index): {"lowest": row.lowest, "average": row.average, "highest": row.highest}
                for row in summary.itertuples()
            },
        }
    return {"detectors": found, "test_images": len(course.test.ids), "objects": len(truth)}


def measure_units(course) -> dict:
    """Whether single pool5 units stand for concepts (sec. 3.1): chosen on training pictures, judged on test.

    Returns
    -------
    dict
        Number of concepts (classes, families, parts, surfaces and colours of toys) for which a unit was chosen;
        how many of these show more of it than random regions do, on test; for how many chance is excluded, at a
        risk of one in twenty that any is chance.
    """
    from rcnn_helpers.units import build_index
    from rcnn_helpers.units.selectivity import attribute_selectivity

    frames = {}
    for split in ("trainval", "test"):
        dataset, proposals = course.dataset(split), course.proposals(split)
        index = build_index(dataset, proposals, store=course.features(split), progress=False)
        frames[split] = attribute_selectivity(index, dataset, 48, proposals=proposals)
    chosen = _units_of_concepts(frames["trainval"])
    keys = ["unit", "kind", "attribute"]
    on_test = frames["test"][[*keys, "lift", "chance"]].astype({"kind": str, "attribute": str})
    then = chosen[keys].merge(on_test, how="left", on=keys).fillna({"lift": 0.0, "chance": 1.0})
    return {
        "concepts": len(chosen),
        "median_lift_where_chosen": float(chosen["lift"].median()),
        "median_lift": float(then["lift"].median()),
        "above_random": int((then["lift"] > 1).sum()),
        "beyond_chance": int((then["chance"] <= 0.05 / len(chosen)).sum()),
    }


MEASUREMENTS: dict[str, Callable] = {
    "networks": measure_networks,
    "jitter": measure_jitter,
    "mining": measure_mining,
    "penalty": measure_penalty,
    "diagnosis": measure_diagnosis,
    "units": measure_units,
}


def measure(name: str, course) -> dict:
    """Run one of `MEASUREMENTS` on a `Course`.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    if name not in MEASUREMENTS:
        raise SettingsError(f"there is no measurement {name!r}; choose among {', '.join(MEASUREMENTS)}")
    return MEASUREMENTS[name](course)


def _n_parameters(module, *, without_groups: bool = False) -> int:
    """Weights and biases of a module; a convolution in groups counts as one without if asked for."""
    from torch import nn

    total = 0
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            groups = layer.groups if without_groups and isinstance(layer, nn.Conv2d) else 1
            total += groups * layer.weight.numel() + layer.bias.numel()
    return total


def _n_multiplications(network) -> int:
    """Multiplications of one region's way to the last layer, as a machine makes them that leaves groups apart."""
    import torch
    from torch import nn

    counted = []

    def count(layer, _, output):
        of_an_output = layer.weight.numel() // layer.weight.shape[0]
        counted.append(output.numel() * of_an_output)

    layers = [layer for layer in network.module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network.module.eval()(torch.zeros(1, 3, network.input_size, network.input_size))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _cpu_seconds_a_region(network, n: int = 16) -> float:
    """Seconds that processors work on a region on its way to fc7: all threads together, best of three.

    Unlike the time on the wall, these hardly grow when the machine has other work to do.
    """
    import torch

    crops = torch.zeros(n, 3, network.input_size, network.input_size)
    crops = crops.to(memory_format=torch.channels_last)
    network.features(crops[:1], ["fc7"])
    seconds = []
    for _ in range(3):
        started = time.process_time()
        network.features(crops, ["fc7"])
        seconds.append(time.process_time() - started)
    return min(seconds) / n


def _cpu_seconds_of_proposals(course, n: int = 10) -> float:
    """The same of selective search on a picture, mean of some test pictures."""
    from rcnn_helpers.proposals import propose

    images = [course.test.image(image_id) for image_id in course.test.ids[:n]]
    propose(images[0])  # compiled first
    started = time.process_time()
    for image in images:
        propose(image)
    return (time.process_time() - started) / len(images)


def _copy(detector):
    """A detector of its own that shares the other's network and parts, so that a part can be exchanged."""
    import copy

    return copy.copy(detector)


def _ap(course, detector, **options) -> dict:
    """AP of a detector on the test pictures, in percent."""
    from rcnn_helpers.evaluation import evaluate

    found = detector.detect_dataset(
        course.test,
        proposals=course.proposals("test"),
        store=course.features("test"),
        progress=False,
        **options,
    )
    result = evaluate(found, course.test)
    return {name: 100 * value for name, value in result.ap.items()} | {"mAP": 100 * result.mean_ap}


def _best_scored(judged, truth) -> dict:
    """False positives of each kind by class, of each class as many of the best-scored as it has objects."""
    from rcnn_helpers.diagnosis import FP_TYPES

    found = {}
    for name in truth.classes:
        kinds = judged.fp_type[judged.rows(name, limit=truth.n_positives(name))]
        found[name] = {kind: int(np.sum(kinds == kind)) for kind in FP_TYPES}
    return found


def _gains(judged) -> dict:
    """What mean AP would gain without each kind of mistake, in points."""
    from rcnn_helpers.diagnosis import impact

    mean = impact(judged).loc["mean"]
    return {name: 100 * float(mean[name] - mean["AP"]) for name in mean.index if name != "AP"}


def _units_of_concepts(frame):
    """For each concept the unit that is least likely to show it by chance, of those that are not rare."""
    kinds = ["family", "class", "part", "surface", "colour"]
    kept = frame[frame["kind"].isin(kinds) & (frame["base"] >= 0.002)]
    kept = kept[~kept["attribute"].isin(["backdrop", "clutter"])].astype({"kind": str, "attribute": str})
    kept = kept.sort_values(["chance", "bits"], ascending=[True, False], kind="stable")
    return kept.drop_duplicates(["kind", "attribute"])
