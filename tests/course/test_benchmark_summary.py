"""README's table of benchmarks says what the saved results say."""

import json
import re

import pytest

from rcnn_helpers.course.benchmark_summary import (
    BEGIN,
    END,
    LINES,
    REPOSITORY,
    RESULTS,
    Line,
    _filled,
    missing,
    put_into,
    summary,
)
from rcnn_helpers.errors import DatasetError


def made_up(*, leave_out=None):
    """Results that hold a row for every line, with 2.5 in every column that the line shows."""
    benchmarks = {}
    for line in LINES:
        if line.benchmark == leave_out:
            continue
        columns = re.findall(r"<([^<>:]+)(?::[^<>]*)?>", line.figures)
        rows = benchmarks.setdefault(line.benchmark, {}).setdefault(line.cores, {"rows": []})["rows"]
        row = next((row for row in rows if row.items() >= line.where.items()), None)
        if row is None:
            rows.append(row := dict(line.where))
        row.update(dict.fromkeys(columns, 2.5))
    return {"machine": "a machine", "date": "2026-11-23", "benchmarks": benchmarks}


def test_the_table_has_a_row_for_every_line():
    lines = summary(made_up()).splitlines()
    assert len(lines) == 2 + len(LINES) + 2
    assert "| average precision, 500,000 detections | pycocotools | 2 |" in lines
    assert "| features of an image, AlexNet, two cores | the bare forward pass | 2.50 (2.50 s) |" in lines
    assert lines[-1] == "Measured on a machine, 2026-11-23."


def test_missing_figures_are_named():
    assert missing(made_up(leave_out="nms")) == ["nms (1)"]
    with pytest.raises(DatasetError, match=r"no figures of nms \(1\); run: make benchmark"):
        summary(made_up(leave_out="nms"))


def test_columns_are_found_by_their_whole_name():
    row = {"ratio": 1.26, "ratio ": 8.31, "recall at 0.5": "0.984", "bare / extract": 0.876}
    assert _filled("<ratio :.1f> (<recall at 0.5>, <bare / extract:.2f>)", row) == "8.3 (0.984, 0.88)"
    assert Line("a", "b", "c", "1", "<x>").where == {}


def test_only_what_is_between_the_marks_is_replaced():
    assert put_into(f"before\n{BEGIN}\nold\n{END}\nafter", "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter"
    with pytest.raises(DatasetError, match="lost the marks"):
        put_into("no marks", "new")


def test_readme_says_what_the_results_say():
    """After `make benchmark`, `python -m rcnn_helpers.course.benchmark_summary` writes the table anew."""
    results = json.loads((REPOSITORY / RESULTS).read_text(encoding="utf-8"))
    assert missing(results) == []
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme == put_into(readme, summary(results))


def test_readme_leads_to_the_plan_and_the_pages():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    for text in ("rcnn plan voc2012", "make benchmark", "How far", "What it survives", "make site"):
        assert text in readme
