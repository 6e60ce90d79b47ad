"""The site's pages of what was measured: every row of the results is on them, and nothing is typed by hand."""

import json
from dataclasses import asdict, replace

import pytest

from rcnn_helpers import planning
from rcnn_helpers.course.site import SiteError
from rcnn_helpers.course.site.measured import MADE_BY, PAGES_FOLDER, measured_pages, plan_sections, table

COSTS = planning.Costs(
    network="tnet",
    device="cpu",
    precision="bfloat16",
    machine="a machine",
    date="2026-11-23",
    pool5=9216,
    deepest=4096,
    decode=0.002,
    propose=0.1,
    forward=0.004,
    deeper=0.0002,
    write=1e-4,
    read=5e-5,
    score=1e-7,
    search=1e-6,
    solve=2e-5,
    train_window=0.015,
    gflops=100.0,
    stored=18_449.0,
    resident=0.9,
    forward_memory=1.2,
    train_memory=2.5,
    forward_gflop=1.37,
    deeper_gflop=0.11,
)
SECTION = {
    "title": "Suppression of boxes",
    "command": "python tests/benchmarks/bench_nms.py",
    "rows": [
        {"boxes x classes": "2000 x 20", "ours ms": 12.3456, "ratio": 4.321},
        {"boxes x classes": "500 x 20", "ours ms": 1234.5, "ratio": None},
    ],
}
RESULTS = {
    "benchmarks.json": {
        "date": "2026-11-23",
        "machine": "a processor",
        "benchmarks": {
            "nms": {"1": SECTION, "2": SECTION},
            "something_new": {"1": SECTION | {"title": "Something else"}},
        },
    },
    "memory.json": {
        "machine": "a machine",
        "date": "2026-11-22",
        "rows": [
            {
                "stage": stage,
                "peak MiB, 10": 500,
                "peak MiB, 1,000": 510,
                "growth MiB, 10": 1.5,
                "growth MiB, 1,000": 11.5,
                "KiB an image": 0.25,
                "seconds": 3.0,
                "grows": "28 a detection",
                "bound": "nothing",
            }
            for stage in ("proposals", "detection")
        ],
    },
    "costs_tnet.json": {
        "machine": "a machine",
        "date": "2026-11-21",
        "batch": 128,
        "costs": asdict(COSTS),
    },
}


def write_results(repository, **changes):
    folder = repository / "data" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (RESULTS | changes).items():
        (folder / name).write_text(json.dumps(content))


@pytest.fixture
def pages(tmp_path):
    write_results(tmp_path)
    return measured_pages(tmp_path)


def rows_of(text):
    """The rows of all tables of a page, their cells stripped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_nothing_is_left_to_fill_in(pages):
    assert list(pages) == ["how_fast.md", "how_far.md", "what_it_survives.md"]
    for text in pages.values():
        assert "{{" not in text and text.startswith("# ")


def test_every_row_of_the_benchmarks_is_on_the_page(pages):
    page = pages["how_fast.md"]
    rows = rows_of(page)
    assert rows.count(["2000 x 20", "12.3", "4.32"]) == 3
    assert rows.count(["500 x 20", "1,234", "–"]) == 3
    assert "## Suppression" in page and "torchvision" in page
    assert "one core" in page and "two cores" in page
    assert "## Something new" in page
    assert page.count("`python tests/benchmarks/bench_nms.py`") == 2


def test_every_stage_is_in_the_table_of_memory(pages):
    rows = rows_of(pages["how_far.md"])
    assert ["stage", "MiB, 10 images", "MiB, 1,000 images", "KiB an image"] == rows[0]
    for stage in ("proposals", "detection"):
        assert [stage, "1.5", "11.5", "0.25"] in rows
        assert [stage, "28 a detection", "nothing"] in rows


def test_every_data_set_has_its_plan(pages):
    page = pages["how_far.md"]
    for work in planning.WORKLOADS.values():
        assert f"### {work.name}" in page
        whole = planning.total(planning.plan(work, COSTS))
        assert f"{whole.hours:,.0f}" in page
        for stage in planning.plan(work, COSTS):
            assert any(row[0] == stage.name for row in rows_of(page))
    assert "estimated" in page and "assumed" in page


def test_a_plan_takes_the_batch_that_was_saved():
    small = RESULTS["costs_tnet.json"] | {"batch": 24, "costs": asdict(replace(COSTS, network="vgg16"))}
    assert "70,000 batches of 24 windows" in plan_sections(small)


def test_dates_and_machines_are_those_of_the_results(pages):
    assert "a processor, 2026-11-23" in pages["how_fast.md"]
    assert "2026-11-22" in pages["how_far.md"] and "2026-11-21" in pages["how_far.md"]


@pytest.mark.parametrize("name", MADE_BY)
def test_missing_results_are_named_with_what_makes_them(name, tmp_path):
    write_results(tmp_path)
    (tmp_path / "data" / "results" / name).unlink()
    with pytest.raises(SiteError, match="are missing; run: ") as raised:
        measured_pages(tmp_path)
    assert name in str(raised.value) and MADE_BY[name] in str(raised.value)


def test_damaged_results_are_named(tmp_path):
    write_results(tmp_path)
    (tmp_path / "data" / "results" / "memory.json").write_text("{")
    with pytest.raises(SiteError, match=r"memory\.json cannot be read"):
        measured_pages(tmp_path)


def test_tables_have_a_column_for_every_key():
    text = table([{"a": 1, "b": "x|y"}, {"a": 20_000, "c": 0.000123}])
    assert text.splitlines() == [
        "| a | b | c |",
        "| --: | :-- | --: |",
        "| 1 | x\\|y | – |",
        "| 20,000 | – | 0.000123 |",
    ]


def test_a_wide_table_of_few_rows_is_turned():
    wide = [{"network": name} | {f"stage {n}": n + 0.5 for n in range(9)} for name in ("small", "large")]
    lines = table(wide).splitlines()
    assert lines[:3] == ["| network | small | large |", "| :-- | --: | --: |", "| stage 0 | 0.5 | 0.5 |"]
    assert len(lines) == 2 + 9
    assert table([wide[0], wide[0]]).splitlines()[0] == "| network | small (1) | small (2) |"
    assert len(table(wide * 5).splitlines()) == 2 + 10  # turned, it would be wider still


def test_the_pages_name_the_card_by_its_figures():
    """What stands in the text of the page is what the estimate is made of."""
    page = (PAGES_FOLDER / "how_far.md").read_text()
    card = planning.RTX_3090
    assert f"{card.forward_tflops:.1f} TFLOP/s, in training at {card.train_tflops:.1f}" in page
    assert card.name in page
    assert f"{planning.PAIRS_PER_OBJECT} pairs an object" in page
    assert planning.SVM_TRAININGS == 10 and f"{planning.SVM_ROWS:,} rows" in page
