"""``rcnn diagnose``."""

import json
from pathlib import Path
from types import SimpleNamespace

from rcnn_helpers.cli.data import cache_of, class_list, open_dataset, some_images
from rcnn_helpers.cli.options import add_parser, data_options, device_options, positive
from rcnn_helpers.cli.output import percent, provenance, save_json
from rcnn_helpers.errors import SettingsError

METRICS = ("11point", "101point", "area")
_IMPACTS = ("Loc fixed", "Loc removed", "Sim removed", "Oth removed", "BG removed")
_NAME_WIDTH = 14  # characters of a class or a detector


def diagnose(options) -> None:
    """Say why detectors fail: mistakes by type, what each costs, and which kinds of object are missed.

    False positives are typed after Hoiem et al. (ECCV 2012), as in the paper's Figures 5 and 6, and after TIDE
    (ECCV 2020). Name detectors to compare them: --results A=DIR --results B=DIR.
    """
    from rcnn_helpers import diagnosis

    sources = _sources(options)
    if options.report:
        from rcnn_helpers.diagnosis.report import check_replaceable, write_report

        check_replaceable(options.report)
    # All classes of the data set, whichever are searched for: a detection may be confused with any of them.
    dataset = open_dataset(SimpleNamespace(voc=options.voc, split=options.split))
    dataset = some_images(dataset, options.max_images)
    found = {name: read(dataset) for name, read in sources.items()}
    attributes = diagnosis.object_attributes(dataset, extras=options.extras)
    diagnoses, tides, sensitivities = {}, {}, {}
    for name, detections in found.items():
        diagnoses[name] = diagnosis.diagnose(detections, dataset, metric=options.metric)
        tides[name] = diagnosis.tide(detections, diagnoses[name].truth, metric=options.metric)
        sensitivities[name] = diagnosis.sensitivity(diagnoses[name], attributes)
    print(f"{len(dataset.ids)} images of {dataset.root}, split {dataset.split}; metric {options.metric}")
    for name in diagnoses:
        print(f"\n{_counts_table(name, diagnoses[name])}")
    print(f"\n{_impact_table(diagnoses)}")
    print(f"\n{_tide_table(tides)}")
    for name, frame in sensitivities.items():
        print(f"\n{_sensitivity_table(name, frame)}")
    if options.report:
        page = write_report(
            options.report,
            dataset,
            diagnoses,
            tides=tides,
            sensitivities=sensitivities,
            attributes=attributes,
            top=options.top,
        )
        print(f"\nreport: {page}")
    save_json(
        options.json,
        provenance(options)
        | {
            "images": len(dataset.ids),
            "split": dataset.split,
            "metric": options.metric,
            "detectors": {
                name: _results(diagnoses[name], tides[name], sensitivities[name]) for name in diagnoses
            },
        },
    )


# -- where detections come from ------------------------------------------------------------------------------


def _sources(options) -> dict:
    """A function for each detector by name, in the order of the command line: data set in, detections out."""
    readers = {"model": _of_model, "results": _of_results, "coco": _of_coco}
    sources = {}
    for kind, text in options.detectors or ():
        name, path = _name_and_path(text)
        if name in sources:
            raise SettingsError(
                f"two detectors are called {name!r}; name them, such as --{kind} other={path}"
            )
        sources[name] = lambda dataset, kind=kind, path=path: readers[kind](path, dataset, options)
    if not sources:
        raise SettingsError("there is nothing to diagnose; give --model, --results or --coco")
    of_files = [f"--{kind}" for kind, _ in options.detectors if kind != "model"]
    if options.max_images and of_files:
        raise SettingsError(
            f"--max-images does not go with {of_files[0]}, whose files hold detections in all images of the "
            "split; leave it out, or give --split a shorter list"
        )
    return sources


def _name_and_path(text: str) -> tuple[str, str]:
    """The two sides of NAME=PATH; a path alone is called by its last part."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        return Path(text).resolve().name.split(".")[0], text
    if not name or not path:
        raise SettingsError(f"{text!r} is neither a path nor NAME=PATH")
    return name, path


def _of_model(path, dataset, options):
    from rcnn_helpers.detector import RCNN

    detector = RCNN.load(path, device=options.device)
    return _chosen(detector.detect_dataset(dataset, cache=cache_of(options, dataset)), options)


def _of_results(path, dataset, options):
    from rcnn_helpers.voc_results import read_voc_results

    return read_voc_results(path, class_list(options), image_ids=dataset.ids)


def _of_coco(path, dataset, options):
    from rcnn_helpers.coco_results import read_coco_results

    return read_coco_results(path, annotations=dataset, classes=class_list(options))


def _chosen(detections, options):
    """Only the classes of ``--classes``, if there are any."""
    import numpy as np

    from rcnn_helpers.evaluation import Detections

    names = class_list(options)
    if names is None:
        return detections
    unknown = [name for name in names if name not in detections.classes]
    if unknown:
        raise SettingsError(
            f"the detector was not trained for {unknown[0]!r}; it knows {', '.join(detections.classes)}"
        )
    place = np.array([names.index(name) if name in names else -1 for name in detections.classes])
    kept = detections.select(place[detections.class_index] >= 0)
    index = place[kept.class_index]
    return Detections(kept.image_ids, names, kept.image_index, index, kept.scores, kept.boxes)


# -- what is printed -----------------------------------------------------------------------------------------


def _counts_table(name, diagnosed) -> str:
    """Detections of each class by outcome, and all together."""
    from rcnn_helpers.diagnosis import counts

    frame = counts(diagnosed)
    header = ["AP %", *("right" if column == "tp" else column for column in frame)]
    rows = {row.Index: [_number(diagnosed.ap[row.Index]), *map(str, row[1:])] for row in frame.itertuples()}
    rows["all"] = [_number(diagnosed.mean_ap), *map(str, frame.sum())]
    title = f"{name}: detections by outcome and type (missed: objects that nothing found)"
    return _table(title, "class", header, rows)


def _impact_table(diagnoses) -> str:
    from rcnn_helpers.diagnosis import impact

    rows = {}
    for name, diagnosed in diagnoses.items():
        mean = impact(diagnosed).loc["mean"]
        rows[name] = [_number(mean["AP"]), *(_number(mean[change] - mean["AP"], "+") for change in _IMPACTS)]
    title = "What mean AP would gain, in points, without the false positives of a type"
    return _table(title, "detector", ["AP %", *_IMPACTS], rows)


def _tide_table(tides) -> str:
    rows = {}
    for name, result in tides.items():
        gains = [*result.delta_ap.values(), result.delta_fp, result.delta_fn]
        rows[name] = [_number(result.ap), *(_number(gain, "+") for gain in gains)]
    kinds = list(next(iter(tides.values())).delta_ap)
    title = "The same by TIDE: each type of error mended by itself; all false positives; all missed objects"
    return _table(title, "detector", ["AP %", *kinds, "FP", "FN"], rows)


def _sensitivity_table(name, frame) -> str:
    from rcnn_helpers.diagnosis import sensitivity_summary

    summary = sensitivity_summary(frame)
    if summary.empty:
        return f"{name}: too few objects for a summary of how normalised AP depends on what they look like"
    rows = {
        row.Index: [
            _number(row.lowest),
            _number(row.average),
            _number(row.highest),
            str(row.n_classes),
        ]
        for row in summary.itertuples()
    }
    title = (
        f"{name}: normalised AP (%) of the worst and best subset by what objects look like, mean over classes"
    )
    header = ["worst", "all objects", "best", "classes"]
    left_out = [f"  without {what}: {why}" for what, why in frame.attrs.get("left_out", {}).items()]
    return "\n".join([_table(title, "characteristic", header, rows), *left_out])


def _table(title, first, header, rows) -> str:
    """Columns of equal width, the first to the left and numbers to the right, within 100 characters."""
    name_width = max(_NAME_WIDTH, *(len(name) for name in (first, *rows)))
    name_width = min(name_width, 30)
    widths = [max(6, *(len(cells[i]) for cells in (header, *rows.values()))) for i in range(len(header))]
    lines = [title]
    for name, cells in ((first, header), *rows.items()):
        numbers = " ".join(f"{cell:>{width}s}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {name[:name_width]:{name_width}s} {numbers}")
    return "\n".join(lines)


def _number(fraction, sign="") -> str:
    """A fraction in percent, or a difference of two in points."""
    return "–" if fraction != fraction else f"{100 * fraction:{sign}.1f}"


# -- what is saved -------------------------------------------------------------------------------------------


def _results(diagnosed, tide_result, frame) -> dict:
    """Everything about one detector, as JSON has it: fractions in [0, 1], null for what is not defined."""
    from rcnn_helpers import diagnosis

    groups = diagnosed.similar.groups
    trends = {
        group: _records(diagnosis.trends(diagnosed, [name for name in names if name in diagnosed.classes]))
        for group, names in groups.items()
    }
    return {
        "AP": {name: _fraction(value) for name, value in diagnosed.ap.items()},
        "mAP": _fraction(diagnosed.mean_ap),
        "counts": _records(diagnosis.counts(diagnosed)),
        "trends": trends,
        "impact": _records(diagnosis.impact(diagnosed)),
        "tide": {
            "delta_AP": {kind: _fraction(gain) for kind, gain in tide_result.delta_ap.items()},
            "delta_AP_FP": _fraction(tide_result.delta_fp),
            "delta_AP_FN": _fraction(tide_result.delta_fn),
            "per_class": _records(tide_result.per_class),
            "counts": _records(tide_result.counts()),
        },
        "agreement": _records(diagnosis.agreement(diagnosed, tide_result)),
        "sensitivity": _records(frame.set_index("class")),
        "sensitivity_summary": _records(diagnosis.sensitivity_summary(frame)),
        "sensitivity_left_out": frame.attrs.get("left_out", {}),
    }


def _records(frame) -> list[dict]:
    return json.loads(frame.reset_index().to_json(orient="records"))


def _fraction(value) -> float | None:
    in_percent = percent(value)
    return None if in_percent is None else in_percent / 100


# -- options -------------------------------------------------------------------------------------------------


def add(commands) -> None:
    """Add the parser of this command."""
    parser = add_parser(commands, "diagnose", diagnose, "say why detectors fail")
    data_options(parser, split="test")
    for kind, metavar, what in (
        ("model", "MODEL", "a detector saved by rcnn train"),
        ("results", "DIR", "VOC result files comp*_det_*_CLASS.txt, plain or gzipped"),
        ("coco", "FILE", "a COCO result file (JSON)"),
    ):
        parser.add_argument(
            f"--{kind}",
            dest="detectors",
            action="append",
            type=lambda text, kind=kind: (kind, text),
            metavar=f"[NAME=]{metavar}",
            help=f"{what}; can be given several times",
        )
    parser.add_argument(
        "--max-images", type=positive, metavar="N", help="with --model: N images spread over the split"
    )
    parser.add_argument("--classes", metavar="A,B", help="diagnose the detections of these classes only")
    parser.add_argument(
        "--extras",
        metavar="DIR",
        help="the annotations of Hoiem et al. for VOC 2007's test set: CLASS.txt and Labels.txt",
    )
    parser.add_argument(
        "--metric",
        default="11point",
        choices=METRICS,
        help="11point is VOC 2007's, area that of later years, 101point COCO's (default: 11point)",
    )
    parser.add_argument(
        "--report", metavar="DIR", help="write web pages there, with the pictures behind every number"
    )
    parser.add_argument(
        "--top",
        type=positive,
        default=12,
        metavar="N",
        help="with --report: pictures on each page (default: 12)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all results there")
    device_options(parser)
