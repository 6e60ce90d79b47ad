"""README's table of benchmarks, made from ``data/results/benchmarks.json``.

``python -m rcnn_helpers.course.benchmark_summary`` writes it into README.md, after ``make benchmark``; a test
holds the two together. The site's page *How fast* has every row.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rcnn_helpers.errors import DatasetError
from rcnn_helpers.storage import atomic_write

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = "data/results/benchmarks.json"
BEGIN, END = "<!-- table of benchmarks -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes
    ----------
    stage, beside : str
        What was timed, and beside what.
    benchmark, cores : str
        Where its figures stand.
    figures : str
        What is said of them: ``<column:format>`` is the value of a column.
    where : dict
        Column -> value of the row that is meant.
    """

    stage: str
    beside: str
    benchmark: str
    cores: str
    figures: str
    where: dict = field(default_factory=dict)


_PLAIN = "a loop of `cv2.resize`, torchvision's network in float32 and its `nms`"
_SECONDS = "<ratio:.1f> (<in all s:.3g> s)"
_NUMPY = "plain NumPy, class by class"
LINES = (
    Line(
        "one image, quarter T-Net, two cores",
        _PLAIN,
        "detection_peers",
        "2",
        _SECONDS,
        {"network": "quarter_tnet"},
    ),
    Line("one image, AlexNet, two cores", _PLAIN, "detection_peers", "2", _SECONDS, {"network": "alexnet"}),
    Line(
        "one image, T-Net, two cores; the paper: 53 s",
        _PLAIN,
        "detection_peers",
        "2",
        _SECONDS,
        {"network": "tnet"},
    ),
    Line(
        "one image, VGG-16, two cores; 64 regions, scaled",
        _PLAIN,
        "detection_peers",
        "2",
        _SECONDS,
        {"network": "vgg16"},
    ),
    Line(
        "selective search, photographs",
        "OpenCV contrib's fast mode, base 50",
        "selective_search",
        "1",
        "<times as fast as OpenCV> (<s/image> s; recall at 0.5 IoU <recall at 0.5>, at 0.7 <recall at 0.7>)",
        {"search": "fast"},
    ),
    Line(
        "features of an image, quarter T-Net, two cores",
        "the bare forward pass",
        "extraction",
        "2",
        "<bare / extract:.2f> (<extract s:.2f> s)",
        {"network": "quarter_tnet"},
    ),
    Line(
        "features of an image, AlexNet, two cores",
        "the bare forward pass",
        "extraction",
        "2",
        "<bare / extract:.2f> (<extract s:.2f> s)",
        {"network": "alexnet"},
    ),
    Line(
        "fine-tuning the quarter T-Net, two cores",
        "the bare step on one batch",
        "finetuning",
        "2",
        "<of bare:.2f> (<fine-tune images/s:.0f> windows a second)",
        {"network": "quarter_tnet"},
    ),
    Line(
        "",
        "PIL and torchvision's `resized_crop` in a DataLoader",
        "finetuning",
        "2",
        "<ratio to peer:.1f>",
        {"network": "quarter_tnet"},
    ),
    Line(
        "warping 2,000 boxes, float32",
        "a loop of `cv2.resize` that gives the same batch",
        "warping",
        "1",
        "<ratio :.1f> (<ours s:.2f> s)",
        {"batch of": "float32", "our threads": 1},
    ),
    Line(
        "20 SVMs, to 0.1%",
        "scikit-learn's LinearSVC, class by class",
        "svm",
        "1",
        "<ratio:.1f>",
        {"accuracy": 1e-3},
    ),
    Line(
        "box regression, 5,000 x 2,304",
        "scikit-learn's `Ridge`, Cholesky",
        "bbox_regression",
        "1",
        "<ratio:.1f> (<ours s:.2f> s)",
        {"pairs x features": "5000 x 2304"},
    ),
    Line(
        "suppression, 2,000 boxes x 20 classes",
        "torchvision's `nms`",
        "nms",
        "1",
        "<ratio:.1f>",
        {"boxes x classes": "2000 x 20"},
    ),
    Line(
        "average precision, 500,000 detections",
        "pycocotools",
        "evaluation",
        "1",
        "<ratio:.0f>",
        {"detections": 500_000},
    ),
    Line(
        "diagnosis, 500,000 detections: types",
        _NUMPY,
        "diagnosis",
        "1",
        "<ratio:.0f> (<ours s:.2f> s)",
        {"what": "diagnose", "data": "synthetic"},
    ),
    Line(
        "the same: sensitivity",
        _NUMPY,
        "diagnosis",
        "1",
        "<ratio:.0f> (<ours s:.2f> s)",
        {"what": "sensitivity", "data": "synthetic"},
    ),
    Line(
        "the same: TIDE",
        _NUMPY,
        "diagnosis",
        "1",
        "<ratio:.0f> (<ours s:.2f> s)",
        {"what": "tide", "data": "synthetic"},
    ),
    Line(
        "`import rcnn_helpers`",
        "`import torch`",
        "import",
        "1",
        "<ratio:.0f> (<ours s:.2f> s)",
        {"what": "import rcnn_helpers"},
    ),
)


def missing(results: Mapping) -> list[str]:
    """Lines of the table whose figures are not in the results, by benchmark and cores."""
    absent = [f"{line.benchmark} ({line.cores})" for line in LINES if _row(results, line) is None]
    return list(dict.fromkeys(absent))


def summary(results: Mapping) -> str:
    """The table in Markdown, one row for each of `LINES`, and below it where and when it was measured.

    Raises
    ------
    DatasetError
        If figures are missing; the message names the benchmarks.
    """
    if absent := missing(results):
        raise DatasetError(f"no figures of {', '.join(absent)}; run: make benchmark")
    rows = [
        f"| {line.stage} | {line.beside} | {_filled(line.figures, _row(results, line))} |" for line in LINES
    ]
    measured = f"Measured on {results['machine']}, {results['date']}."
    return "\n".join(["| stage | beside | times as fast |", "|---|---|---|", *rows, "", measured])


def _row(results: Mapping, line: Line) -> Mapping | None:
    """The first row that is meant by a line; None if there is none."""
    rows = results["benchmarks"].get(line.benchmark, {}).get(line.cores, {}).get("rows", [])
    return next((row for row in rows if all(row.get(k) == v for k, v in line.where.items())), None)


def _filled(figures: str, row: Mapping) -> str:
    def value(found):
        column, form = found.groups()
        return format(row[column], form) if form else str(row[column])

    return re.sub(r"<([^<>:]+)(?::([^<>]*))?>", value, figures)


def put_into(text: str, table: str) -> str:
    """README's text with this table in the place of the one between its marks."""
    before, found, rest = text.partition(BEGIN)
    old, closed, after = rest.partition(END)
    if not found or not closed:
        raise DatasetError(f"README.md has lost the marks {BEGIN} and {END}; put them around its table")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    """Entry point of ``python -m rcnn_helpers.course.benchmark_summary``."""
    readme, results = REPOSITORY / "README.md", REPOSITORY / RESULTS
    try:
        table = summary(json.loads(results.read_text(encoding="utf-8")))
        text = put_into(readme.read_text(encoding="utf-8"), table)
    except (DatasetError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    atomic_write(readme, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main()
