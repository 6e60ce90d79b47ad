"""The whole course in one command: every stage on the embedded data, every notebook, one table at the end."""

import time

from rcnn_helpers.course import costs
from rcnn_helpers.course.workspace import STAGES, Course
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
    print(f"The course on ToyVOC, profile {course.profile.name}, device {course.device}")
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
    write_json(course.folder / "result.json", result)
    _print_result(course, result)
    return result


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
