"""The table of claims: its rules on results made by hand, and that it is complete and says what the files say."""

import csv
import json
import math
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers import claims, settings
from rcnn_helpers.claims import checks, finding, model
from rcnn_helpers.claims.finding import Difference, minus, sign
from rcnn_helpers.claims.measuring import MEASUREMENTS, measure
from rcnn_helpers.claims.results import (
    TOYVOC_CLASSES,
    VOC_ONLY_CLASSES,
    Missing,
    Results,
    by_class,
    by_seed,
    matching,
)
from rcnn_helpers.course.site.measured import MADE_BY
from rcnn_helpers.errors import DatasetError, DisplayError, SettingsError

CLASSES = ("horse", "car", "bus", "chair", "sofa", "cat")


@pytest.fixture
def folder(tmp_path):
    """A data folder with results made by hand: three seeds of two rows, one seed of two others."""
    write(
        tmp_path / "results" / "three.csv",
        [
            {"name": name, "seed": seed, "mAP": value}
            for name, values in {"A": (20, 22, 27), "B": (19, 21.5, 26), "C": (21, 21, 21)}.items()
            for seed, value in enumerate(values)
        ],
    )
    write(
        tmp_path / "results" / "one.csv",
        [
            {"name": "A", "seed": 0} | dict.fromkeys(CLASSES, 30.0) | {"mAP": 30.0},
            {"name": "B", "seed": 0} | dict.fromkeys(CLASSES, 28.0) | {"mAP": 28.0},
            {"name": "C", "seed": 0} | dict.fromkeys(CLASSES, 30.5) | {"horse": 0.0, "mAP": 25.4},
        ],
    )
    write(tmp_path / "paper" / "table.csv", [{"method": "X", "mAP": 54.2}, {"method": "Y", "mAP": 44.7}])
    return tmp_path


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def a_claim(find, **changes):
    fields = {
        "id": "a-claim",
        "section": "Here",
        "where": ("sec. 9.1",),
        "says": "A beats B.",
        "paper": "+9.5",
        "commands": ("rcnn claims",),
        "find": find,
        "why": {model.HOLDS: "because"},
    }
    return claims.Claim(**fields | changes)


# --- Reading ------------------------------------------------------------------------------------------------


def test_results_are_numbers_where_they_can_be(folder):
    rows = Results(folder).rows("three")
    assert rows[0] == {"name": "A", "seed": 0.0, "mAP": 20.0}
    assert by_seed(rows, {"name": "B"}) == {0: 19, 1: 21.5, 2: 26}
    assert by_class(Results(folder).rows("one"), {"name": "C"})["horse"] == 0
    (folder / "results" / "gaps.csv").write_text("name,seed,mAP,fine_tuned\nA,0,,True\n", encoding="utf-8")
    row = Results(folder).rows("gaps")[0]
    assert math.isnan(row["mAP"]) and row["fine_tuned"] == 1
    with pytest.raises(Missing, match="have no mAP"):
        by_seed([row], {"name": "A"})


def test_what_is_missing_is_named(folder):
    results = Results(folder)
    with pytest.raises(Missing, match=r"data/results/nothing\.csv"):
        results.rows("nothing")
    with pytest.raises(Missing, match="has name Z"):
        matching(results.rows("three"), {"name": "Z"})
    with pytest.raises(Missing, match="no line for 'detector'"):
        write(folder / "costs.csv", [{"profile": "smoke", "device": "cpu", "step": "detector", "seconds": 1}])
        results.seconds_of("detector")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("broken.json", b"{"),
        ("broken.json", b"[1]"),
        ("broken.json", b"\xff\xfe"),
        ("broken.csv", b"a,b\n\xff\xff,1\n"),
    ],
)
def test_damaged_results_are_refused_with_a_remedy(folder, name, content):
    (folder / "results" / name).write_bytes(content)
    read = Results(folder).document if name.endswith("json") else Results(folder).rows
    with pytest.raises(DatasetError, match="write it again"):
        read("broken")


def test_an_empty_result_counts_as_missing(folder):
    (folder / "results" / "empty.csv").write_text("name,seed,mAP\n", encoding="utf-8")
    with pytest.raises(Missing, match="is empty"):
        Results(folder).rows("empty")


# --- Rules --------------------------------------------------------------------------------------------------


def test_three_seeds_decide_by_their_signs(folder):
    results = Results(folder)
    holds = sign(minus("A", "B", file="three"), paper=9.5)(results)
    assert holds.verdict == model.HOLDS and holds.values == (1, 0.5, 1)
    assert holds.difference == pytest.approx(2.5 / 3) and holds.paper_difference == 9.5
    assert holds.toyvoc == "+0.8 ± 0.3"
    assert sign(minus("B", "A", file="three"))(results).verdict == model.REVERSE
    assert sign(minus("A", "C", file="three"))(results).verdict == model.UNDECIDED
    assert sign(minus("A", "A", file="three", may_be_zero=True))(results).verdict == model.HOLDS
    assert sign(minus("A", "A", file="three"))(results).verdict == model.REVERSE


def test_with_one_seed_the_classes_decide(folder):
    results = Results(folder)
    better = sign(minus("A", "B", file="one"))(results)  # 6 of 6 classes: coins do that 1 time in 32
    assert better.verdict == model.HOLDS and better.toyvoc == "+2.0 (1 seed; better in 6 of 6 classes)"
    assert sign(minus("B", "A", file="one"))(results).verdict == model.REVERSE
    divided = sign(minus("C", "B", file="one"))(results)  # 5 of 6 better, and the mean is worse
    assert divided.verdict == model.UNDECIDED and divided.difference == pytest.approx(-2.6)


def test_a_difference_of_differences(folder):
    four = Difference("three", ((1, "A"), (-1, "B"), (-1, "C"), (1, "C")))
    assert four.of_seeds(Results(folder)) == {0: 1, 1: 0.5, 2: 1}


def test_only_seeds_that_have_all_rows_count(folder):
    rows = [
        {"name": "A", "seed": 0, "mAP": 2},
        {"name": "A", "seed": 5, "mAP": 9},
        {"name": "B", "seed": 5, "mAP": 4},
    ]
    write(folder / "results" / "some.csv", rows)
    assert minus("A", "B", file="some").of_seeds(Results(folder)) == {5: 5}
    write(folder / "results" / "none.csv", [rows[0], rows[2]])
    with pytest.raises(Missing, match="no seed"):
        minus("A", "B", file="none").of_seeds(Results(folder))


def test_further_runs_are_shown_if_they_are_there(folder):
    find = sign(
        minus("A", "B", file="three"),
        sample=(("few", minus("A", "B", file="one")), ("many", minus("A", "B", file="nowhere"))),
        also=(("with more", minus("A", "B", file="one")), ("with most", minus("A", "B", file="nowhere"))),
    )
    found = find(Results(folder))
    assert found.toyvoc == "+0.8 ± 0.3; with more +2.0 (1 seed; better in 6 of 6 classes)"
    assert found.sample == "few +2.0 (1 seed; better in 6 of 6 classes)"


def test_the_papers_figures_are_read(folder):
    results = Results(folder)
    assert finding.paper_minus("table", "X", "Y")(results) == 9.5
    assert finding.points(finding.paper_minus("table", "Y", "X"))(results) == "-9.5"
    assert finding.paper_gain_minus_gain("table", "X", "Y", "Y", "Y")(results) == 9.5


def test_a_row_without_its_result_is_not_run_and_says_so(folder):
    (line,) = claims.table([a_claim(sign(minus("A", "B", file="nowhere")))], Results(folder))
    assert line.finding.verdict == model.NOT_RUN and line.finding.toyvoc == "–"
    assert "data/results/nowhere.csv" in line.why


def test_a_reason_goes_with_its_verdict_alone(folder):
    for better, worse, why in (("A", "B", "because"), ("B", "A", "No explanation was looked for.")):
        (line,) = claims.table([a_claim(sign(minus(better, worse, file="three")))], Results(folder))
        assert line.why == why


def test_an_illustration_is_shown_if_its_file_is_there(folder):
    (folder / "data").mkdir()
    (folder / "picture.jpg").touch()
    results = Results(folder / "data")
    assert finding.illustrated("there", "picture.jpg")(results).verdict == model.SHOWN
    with pytest.raises(Missing, match=r"no other\.jpg"):
        finding.illustrated("there", "other.jpg")(results)


# --- The table that ships -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines():
    return claims.table()


def test_nothing_of_the_paper_is_without_a_row_and_no_row_is_empty(lines):
    assert claims.check(lines) == []
    assert len(checks.exhibits()) == 1 + 6 + 8 + 12 + 7


def test_verdicts_are_those_of_rcnn_ablate(lines):
    from rcnn_helpers.ablation import signs

    saved = pd.read_csv(settings.data_dir() / "results" / "ablation_toyvoc.csv")
    of_means = {round(row.mean, 9): row for row in signs(saved).itertuples()}
    compared = 0
    for line in lines:
        row = of_means.get(round(line.finding.difference, 9))
        if row is not None:
            assert line.finding.verdict == model.FROM_SIGN[row.verdict], line.claim.id
            assert line.finding.spread == pytest.approx(row.spread) and line.finding.seeds == row.seeds
            compared += 1
    assert compared >= 15


def test_figures_are_those_of_the_files(lines):
    saved = pd.read_csv(settings.data_dir() / "results" / "ablation_toyvoc.csv")
    by_seed = saved.pivot_table(index="name", columns="seed", values="mAP")
    figures = {line.claim.id: line.finding.toyvoc for line in lines}
    for name, better, worse in (
        ("fine-tuning-pool5", "FT pool5", "pool5"),
        ("svm-over-softmax", "FT fc7", "FT softmax"),
        ("tuning-labels", "FT fc7", "FT fc7 GT labels"),
    ):
        gain = by_seed.loc[better] - by_seed.loc[worse]
        assert figures[name].startswith(f"{gain.mean():+.1f} ± {gain.std():.1f}")
    best = by_seed.loc["FT fc7 BB"]
    assert f"FT fc7 BB {best.mean():.1f} ± {best.std():.1f}" in figures["table-2"]


def test_the_papers_differences_by_hand(lines):
    papers = {line.claim.id: line.paper for line in lines}
    assert papers["fine-tuning-fc7"] == "+9.5"  # 54.2 - 44.7
    assert papers["fine-tuning-fc7-more"] == "+6.4"  # 9.5 - (47.3 - 44.2)
    assert papers["deeper-network"] == "+7.5"  # 66.0 - 58.5
    assert papers["both-beat-foreground"] == "+4.2"  # 47.9 - 43.7
    assert papers["regression-on-val1"] == "+1.3"  # 31.0 - 29.7
    assert papers["features-matter"] == "+18.6"  # 53.7 - 35.1


def test_the_commands_named_are_those_that_made_the_results(lines):
    """But for the files that they write; change rows/commands.py when a result is made by another command."""

    def options(command):
        words = shlex.split(command)
        written = {k for k, word in enumerate(words) if word in ("--csv", "--json")}
        return sorted(word for k, word in enumerate(words) if k not in written and k - 1 not in written)

    named = [options(command) for line in lines for command in line.claim.commands]
    for path in (settings.data_dir() / "results").glob("*.json"):
        if path.name in MADE_BY:  # for the site's pages, not for a claim
            continue
        saved = json.loads(path.read_text(encoding="utf-8"))
        saved = saved.get("planted", saved) if path.stem == "redundancy" else saved
        assert options(saved["command"]) in named, path.name


def test_no_row_has_a_figure_of_ours_of_its_own():
    """With no results at all, every row with a figure falls silent: none is written in the code."""
    empty = Results("no/such/folder")
    for line in claims.table(results=empty):
        if line.claim.id != "memory-of-predictors":  # arithmetic
            assert line.finding.verdict == model.NOT_RUN, line.claim.id
            assert line.finding.toyvoc == "–" == line.finding.sample


def test_the_classes_of_toyvoc_and_voc_are_known():
    from rcnn_helpers.datasets.toyvoc import CATEGORIES
    from rcnn_helpers.datasets.voc import VOC_CLASSES

    assert set(TOYVOC_CLASSES) == set(CATEGORIES)
    assert set(VOC_ONLY_CLASSES) == set(VOC_CLASSES) - set(CATEGORIES)


def test_faults_of_a_table_are_named(folder):
    find = sign(minus("A", "B", file="three"))
    good = a_claim(find)
    table = claims.table(
        [
            good,
            good,
            a_claim(find, id="Bad Id", says=" "),
            a_claim(lambda results: claims.Finding("perhaps"), id="odd", why=""),
            a_claim(find, id="lost", where=(), commands=()),
        ],
        Results(folder),
    )

    def parse(command):
        raise ValueError("no such option")

    problems = "\n".join(claims.check(table, parse))
    for words in (
        "two rows are called a-claim",
        "Bad Id has no claim",
        "'Bad Id' is no id",
        "odd has no why",
        "odd has the unknown verdict 'perhaps'",
        "lost says of no place",
        "lost has no command",
        "Table 1 has no row",
        "Figure 12 has no row",
        "App. G has no row",
        "'rcnn claims' cannot be given: no such option",
    ):
        assert words in problems, words


def test_places_do_not_take_in_longer_numbers():
    assert checks._covered("Figure 1", {"Figure 1"}) and not checks._covered("Figure 1", {"Figure 12"})
    assert checks._covered("sec. 3", {"sec. 3.2"}) and not checks._covered("sec. 1", {"sec. 12"})


def test_rows_are_chosen_by_id_place_section_or_verdict(lines):
    def ids(*words):
        return [claim.id for claim in claims.chosen(words, lines=lines)]

    assert ids("jitter") == ["jitter"]
    assert "table-2" in ids("table 2") and "fine-tuning-fc7" in ids("Table 2")
    assert set(ids("sec. 3.2")) <= set(ids("sec. 3"))
    assert "figure-12" not in ids("Figure 1")
    assert set(ids("the reverse")) == {
        line.claim.id for line in lines if line.finding.verdict == model.REVERSE
    }
    with pytest.raises(SettingsError, match="no claim is called 'Table 9'"):
        ids("Table 9")


# --- Printing and pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_table_fits_the_screen(lines, width):
    text = claims.format_table(lines, width=width)
    assert max(map(len, text.splitlines())) <= width
    for line in lines:
        assert line.claim.id in "".join(text.split())
    longest = max(map(len, claims.format_commands(lines, width=width).splitlines()))
    assert longest <= max(width, 80)  # a word of a command is not broken


def test_commands_survive_being_wrapped(lines):
    text = claims.format_commands(lines, width=80)
    given = [part for part in text.replace("\\\n", " ").splitlines() if part.startswith("$ ")]
    assert {shlex.join(shlex.split(part[2:])) for part in given} == {
        shlex.join(shlex.split(command)) for line in lines for command in line.claim.commands
    }


def test_counts_add_up(lines):
    counts = [int(row.split()[0]) for row in claims.format_counts(lines).splitlines()]
    assert sum(counts) == len(lines) and len(counts) == len(claims.VERDICTS)


def test_pictures_of_the_table(lines):
    import matplotlib.pyplot as plt

    from rcnn_helpers.claims import figures

    ax = figures.verdict_bars(lines)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(claims.SECTIONS)
    drawn = sum(patch.get_width() for patch in ax.patches)
    assert drawn == len(lines)
    kept = figures.with_differences(lines)
    ax = figures.difference_plot(lines)
    assert len(ax.get_yticklabels()) == len(kept) >= 15
    strokes = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "|"])
    assert sorted(strokes) == pytest.approx(sorted(value for line in kept for value in line.finding.values))
    plt.close("all")
    with pytest.raises(DisplayError):
        figures.difference_plot([])
    with pytest.raises(DisplayError):
        figures.verdict_bars([])


def test_lines_can_be_saved(lines):
    saved = json.loads(json.dumps([line.as_dict() for line in lines], allow_nan=False))
    assert saved[0]["id"] == lines[0].claim.id and {"paper", "toyvoc", "real_sample", "why"} <= set(saved[0])


def test_the_table_needs_no_heavy_library():
    code = "import sys; from rcnn_helpers import claims; claims.table(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas", "numpy", "scipy"}
    assert heavy & set(done.stdout.split()) == set()


# --- Measurements -------------------------------------------------------------------------------------------


def test_an_unknown_measurement_is_refused():
    with pytest.raises(SettingsError, match="no measurement 'weather'; choose among networks"):
        measure("weather", None)
    assert set(MEASUREMENTS) == {"networks", "jitter", "mining", "penalty", "diagnosis", "units"}


def test_jitter_counts_proposals_near_objects():
    class Course:
        trainval = type(
            "Dataset",
            (),
            {
                "annotation": lambda self, image_id: type(
                    "Note",
                    (),
                    {"boxes": np.float32({"one": [[0, 0, 10, 10]], "two": []}[image_id]).reshape(-1, 4)},
                )()
            },
        )()

        def proposals(self, split):
            assert split == "trainval"
            near, half, far = [0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 10, 4]  # IoU 0.9, 0.5, 0.4
            return {"one": np.float32([near, half, far]), "two": np.float32([near])}

    assert measure("jitter", Course()) == {"objects": 1, "positive_proposals": 2, "proposals_an_image": 2.0}


def test_parameters_are_counted_with_and_without_groups():
    from torch import nn

    from rcnn_helpers.claims.measuring import _n_parameters

    module = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Linear(5, 2))
    assert _n_parameters(module) == (6 * 2 * 9 + 6) + (5 * 2 + 2)
    assert _n_parameters(module, without_groups=True) == (6 * 4 * 9 + 6) + (5 * 2 + 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jitter", "mining", "penalty", "diagnosis", "units"])
def test_measurements_on_the_smallest_course(name, small_course):
    """Each runs, and the rows that read it can."""
    measured = json.loads(json.dumps(measure(name, small_course)))
    results = Results()
    results._read[str(results.folder / "results" / f"claims_{name}.json")] = measured
    lines = claims.table(results=results)
    assert claims.check(lines) == []


@pytest.fixture(scope="module")
def small_course(tmp_path_factory):
    from rcnn_helpers.course.workspace import Course

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Course("smoke", progress=False)
