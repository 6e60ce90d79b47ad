"""The whole course in one command: every stage on the embedded data, every notebook, one table at the end."""

import time

from rcnn_helpers.course import costs
from rcnn_helpers.course.workspace import STAGES, Course
from rcnn_helpers.errors import StoreError
from rcnn_helpers.finetuning import settings_for
from rcnn_helpers.networks import NETWORKS
from rcnn_helpers.networks.weights import default_weights_file, default_weights_path
from rcnn_helpers.storage import write_json


def run_course(*, profile: str | None = None, notebooks: bool = True, record: bool = False) -> dict:
    """Run all stages, then all notebooks, and print the result table and where to look.

    Parameters
    ----------
    profile : str, optional
        By default ``RCNN_PROFILE``, else ``laptop``.
    notebooks : bool
        Execute the notebooks as well. They are not saved: ``make notebooks`` does that.
    record : bool
        Write what the notebooks took, and the stages that were not in the cache, into ``data/costs.csv``.

    Returns
    -------
    dict
        ``rows`` (``"R-CNN fc7"``, ``"R-CNN FT fc7"`` and ``"R-CNN FT fc7 BB"``, as in the paper's Table 2; each
        with ``ap``, class to percent, and ``mAP``, percent), ``recall`` (of the proposals on test at 0.5 IoU) and
        ``seconds`` (stage to seconds); also written to ``result.json`` in the course's cache folder.
    """
    course = Course(profile)
    print(_title(course))
    default_weights_path(
        NETWORKS[course.profile.network]
    )  # a download that fails does so before hours of work
    seconds, measured = {}, {}
    for stage in STAGES:
        was_missing = course.missing([stage])
        costs.reset_peak_memory()
        started = time.perf_counter()
        course.compute(stage)
        seconds[stage] = time.perf_counter() - started
        if was_missing:
            measured[stage] = (seconds[stage], costs.peak_memory())
        print(f"  {stage:34s} {seconds[stage]:7.1f} s{'' if was_missing else '  (done before)'}", flush=True)
    recall = _recall(course)
    if notebooks:
        from rcnn_helpers.course.notebooks import run_all

        runs = run_all(write=False, solutions=False)
        seconds["notebooks"] = sum(run.seconds for run in runs.values())
        measured |= {f"notebook {name[:2]}": (run.seconds, run.memory) for name, run in runs.items()}
    if record:
        costs.record(course.profile.name, course.device, measured)
    result = {
        "profile": course.profile.name,
        "device": course.device,
        "rows": {
            f"R-CNN {course.profile.layer}": _in_percent(course.evaluation_before_fine_tuning),
            f"R-CNN FT {course.profile.layer}": _in_percent(course.evaluation_without_regression),
            f"R-CNN FT {course.profile.layer} BB": _in_percent(course.evaluation),
        },
        "recall": recall,
        "seconds": seconds,
    }
    try:
        write_json(course.folder / "result.json", result)
    except StoreError as error:  # as in a cache that is shared for reading: all was found there, and is shown
        print(f"The table is not kept: {error}")
    _print_result(course, result)
    return result


def print_plan(profile: str | None = None) -> None:
    """Print what `run_course` would do, stage by stage, and compute nothing.

    Parameters
    ----------
    profile : str, optional
        By default ``RCNN_PROFILE``, else ``laptop``.
    """
    course = Course(profile)
    print(_title(course))
    for name, text in _settings(course).items():
        print(f"  {name:14s} {text}")
    print("Stages, and what they took where it was measured:")
    missing = course.missing()
    for stage in STAGES:
        state = "to be computed" if stage in missing else "in the cache or shipped"
        row = costs.of(course.profile.name, course.device, stage)
        took = "not measured" if row is None else f"{costs.duration(row.seconds)} ({row.machine})"
        print(f"  {stage:20s} {state:25s} {took}")
    print("Nothing was computed.")


def _title(course: Course) -> str:
    return f"The course on ToyVOC, profile {course.profile.name}, device {course.device}"


def _settings(course: Course) -> dict[str, str]:
    """What a profile asks for, in words."""
    profile, spec = course.profile, NETWORKS[course.profile.network]
    weights = default_weights_file(spec)
    where = weights if weights.is_file() else f"to be downloaded from {spec.url}"
    tuning = settings_for(profile.network)
    schedule = (
        f"{tuning.steps:,} batches of {tuning.batch_size} windows, {tuning.positives} of them positives; "
        f"learning rate {tuning.lr:g}, times {tuning.lr_drop:g} every {tuning.lr_drop_every:,}"
    )
    return {
        "pictures": f"{profile.train_images} train, {profile.val_images} val, {profile.test_images} test",
        "proposals": f"{profile.max_proposals:,} an image at most",
        "network": f"{profile.network}, weights {where}",
        "fine-tuning": schedule if profile.finetuned is None else f"shipped: {profile.finetuned}",
        "SVMs": f"on {profile.layer}",
    }


def _recall(course: Course) -> float:
    from rcnn_helpers.proposals.recall import recall_at

    return recall_at(course.proposals("test"), course.test, iou_threshold=0.5)


def _in_percent(evaluation) -> dict:
    ap = {name: 100 * value for name, value in evaluation.ap.items()}
    return {"ap": ap, "mAP": 100 * evaluation.mean_ap}


def _print_result(course: Course, result: dict) -> None:
    print(
        f"\nAverage precision on ToyVOC test ({len(course.test.ids)} images), %, VOC 2007's 11-point metric"
    )
    names, rows = list(result["rows"]), result["rows"].values()
    print(f"  {'':16s}" + "".join(f" {name:>16s}" for name in names))
    for name in course.test.classes:
        print(f"  {name:16s}" + "".join(f" {row['ap'][name]:16.1f}" for row in rows))
    print(f"  {'mean':16s}" + "".join(f" {row['mAP']:16.1f}" for row in rows))
    print(
        "FT: SVMs on features of the fine-tuned network. BB: box regression moves each box before suppression.\n"
        "The two rows with FT are the same network, SVMs and scores; the names are those of the paper's Table 2."
    )
    print(f"Recall of the proposals at 0.5 IoU: {100 * result['recall']:.1f} %")
    print(f"All stages and notebooks: {sum(result['seconds'].values()) / 60:.1f} min")
    print(f"Pictures and annotations: {course.test.root}")
    print("Next: make lab, and open 00_start_here.ipynb")
