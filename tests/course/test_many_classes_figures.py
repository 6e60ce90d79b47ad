"""The figures of notebook 11: what they show, that nothing is cut off, and that bad input is refused."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from rcnn_helpers import plots
from rcnn_helpers.course import many_classes
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.settings import data_dir

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PAPER = data_dir() / "paper"


@pytest.fixture(autouse=True)
def clean_figures():
    with matplotlib.rc_context():
        plots.use_style()
        yield
    plt.close("all")


@pytest.fixture
def aps():
    return pd.read_csv(PAPER / "table8_ilsvrc2013_test_ap.csv")


@pytest.fixture
def figures(aps):
    """One of each."""
    classes = np.array([20, 200, 10_000])
    return {
        "competition": many_classes.competition(pd.read_csv(PAPER / "figure3_ilsvrc2013_map.csv"), aps),
        "ranked": many_classes.ranked_precisions(aps),
        "imbalances": many_classes.imbalances(
            {"at random": [0.5, 0.1, np.nan], "balanced": [0.1, 0.2, 0.05]}, limits={"the paper": 0.11}
        ),
        "cost": many_classes.cost_of_classes(
            {"measured": (classes, classes / 1e4)},
            {"float32": (classes, classes / 1e5)},
            paper=(1e5, 10, 1.5),
            given=0.5,
        ),
        "paired": many_classes.paired_bars(
            ["one\nof two lines", "two"], {"paper": [20.9, 31.4], "ours": [40.0, np.nan]}, label="mAP, %"
        ),
    }


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_nothing_is_cut_off_or_too_small_to_read(figures):
    for name, figure in figures.items():
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= -0.02 and box.y0 >= -0.02, name
        assert box.x1 <= width + 0.02 and box.y1 <= height + 0.02, name
        sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
        assert min(sizes) >= 8, name  # exponents of logarithmic axes; all else is 11 or more
        assert np.median(sizes) >= 11, name


def test_competition_ranks_methods_and_marks_outside_data(figures):
    figure = figures["competition"]
    left, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names[-1] == "* R-CNN BB" and names[0] == "UIUC-IFP"
    assert "31.4" in texts(figure) and "1.0" in texts(figure)
    late = [bar for bar in left.patches if bar.get_hatch()]
    assert len(late) == 1 and late[0].get_width() == pytest.approx(24.3)
    dots = [line for line in right.lines if line.get_marker() == "o"]
    assert 200 in [len(line.get_ydata()) for line in dots]


def test_the_median_is_written_as_in_the_papers_table_4(figures):
    """Table 8's is 30.25 exactly, which Python would round to 30.2; Table 4 says 30.3."""
    assert "median\n30.3" in texts(figures["competition"])
    assert "median 30.3" in texts(figures["ranked"]) and "mean 31.4" in texts(figures["ranked"])


def test_ranked_precisions_name_both_ends(figures):
    (best,) = [text for text in texts(figures["ranked"]) if text.startswith("best 6")]
    (worst,) = [text for text in texts(figures["ranked"]) if text.startswith("worst 6")]
    assert best.split("\n")[1] == "butterfly  88.5" and worst.split("\n")[-1] == "rubber eraser  2.5"
    heights = [bar.get_height() for bar in figures["ranked"].axes[0].patches[:200]]
    assert heights == sorted(heights, reverse=True)


def test_imbalances_descend_and_classes_without_objects_are_left_out(figures):
    (ax,) = figures["imbalances"].axes
    at_random, balanced = ax.lines[:2]
    assert at_random.get_ydata().tolist() == pytest.approx([50, 10])
    assert balanced.get_ydata().tolist() == pytest.approx([20, 10, 5])
    assert "balanced: largest 20.0%, median 10.0%" in texts(figures["imbalances"])
    assert "the paper" in texts(figures["imbalances"])
    with pytest.raises(DisplayError, match="no split"):
        many_classes.imbalances({})


def test_cost_shows_lines_the_paper_and_what_is_given(figures):
    left, right = figures["cost"].axes
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"
    star = [line for line in left.lines if line.get_marker() == "*"]
    assert (star[0].get_xdata()[0], star[0].get_ydata()[0]) == (1e5, 10)
    labels = left.get_legend_handles_labels()[1]
    assert labels == ["measured", "features, whatever the classes", "the paper"]
    assert right.get_legend_handles_labels()[1] == ["float32", "the paper"]


def test_paired_bars_say_what_was_not_run_and_differ_in_hatch(figures):
    (ax,) = figures["paired"].axes
    shown = texts(figures["paired"])
    assert "20.9" in shown and "31.4" in shown and "40.0" in shown and "not run" in shown
    assert {bar.get_hatch() for bar in ax.patches} == {None, "//"} or {
        bar.get_hatch() for bar in ax.patches
    } == {"", "//"}
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is on top"
