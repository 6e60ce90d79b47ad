"""Figures: what is drawn, that nothing is cut off, that JPEGs stay small and carry a description."""

import base64
import io
import itertools
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rcnn_helpers import plots
from rcnn_helpers.warping import warp_reference

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def clean_figures():
    with matplotlib.rc_context():
        plots.use_style()
        yield
    plt.close("all")


@pytest.fixture
def photo(rng):
    ramp = np.linspace(0, 255, 400)[None, :, None] * np.ones((300, 1, 3))
    return np.clip(ramp + rng.normal(0, 20, (300, 400, 3)), 0, 255).astype(np.uint8)


def curve(recall, precision):
    return SimpleNamespace(recall=np.array(recall, float), precision=np.array(precision, float))


def test_importing_plots_loads_neither_matplotlib_nor_torch():
    code = "import sys, rcnn_helpers.plots; assert not {'matplotlib', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_text_is_smaller_than_eleven_points():
    ax = plots.precision_recall({f"class {i}": curve([0.5], [1]) for i in range(20)})
    ax.figure.canvas.draw()
    sizes = [text.get_fontsize() for text in ax.figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(sizes) >= 11


def test_everything_in_a_figure_lies_inside_it():
    curves = {f"a class with a long name {i}": curve([0.2, 0.8], [1, 0.5]) for i in range(20)}
    figure = plots.precision_recall(curves).figure
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.02 and box.y0 >= -0.02 and box.x1 <= width + 0.02 and box.y1 <= height + 0.02


def test_twenty_lines_differ_in_colour_and_dash():
    ax = plots.precision_recall({f"class {i}": curve([0.2, 0.8], [1, 0.5]) for i in range(20)})
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.lines}
    assert len(looks) == 20


def test_precision_recall_of_one_class_shows_the_eleven_recalls():
    ax = plots.precision_recall({"cat": curve([0.1, 0.1, 0.3], [1, 0.5, 2 / 3])}, ap={"cat": 0.3})
    assert ax.get_legend_handles_labels()[1][0] == "cat, AP 30.0"
    eleven = ax.lines[-1]
    assert eleven.get_ydata() == pytest.approx([1, 1, 2 / 3, 2 / 3] + [0] * 7)


def test_a_class_without_positives_or_detections_is_left_out():
    ax = plots.precision_recall({"none": curve([np.nan], [0]), "empty": curve([], [])})
    assert not ax.lines


def test_recall_curves():
    figure = plots.recall_curves(
        [10, 100, 1000], {"search": [0.2, 0.6, 0.9]}, [0.5, 0.7, 0.9], {"search": [0.9, 0.7, 0.2]}
    )
    left, right = figure.axes
    assert left.get_xscale() == "log" and left.lines[0].get_ydata().tolist() == [0.2, 0.6, 0.9]
    assert right.lines[0].get_xdata().tolist() == [0.5, 0.7, 0.9]


def test_bars_carry_their_numbers_and_a_class_without_objects_says_so():
    ax = plots.average_precision_bars({"cat": 0.5, "dog": np.nan, "cow": 0.25})
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["no objects", "25.0", "50.0"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dog", "cow", "cat"]
    ax = plots.average_precision_bars({"fc7": {"cat": 0.5, "cow": 0.2}, "pool5": {"cat": 0.3, "cow": 0.1}})
    assert len(ax.patches) == 4
    assert len({bar.get_hatch() for bar in ax.patches}) == 2


def test_table_of_average_precision():
    table = plots.average_precision_table({"cat": 0.5, "dog": np.nan, "cow": 0.25})
    assert table.loc["AP", "mAP"] == 37.5
    table = plots.average_precision_table({"fc7": {"cat": 0.5}, "pool5": {"cat": 0.3}})
    assert table["cat"].tolist() == [50, 30]


def test_merge_step_counts_the_regions(photo):
    before = np.arange(300 * 400).reshape(300, 400) // 30_000
    after = np.where(before == 1, 0, before)
    figure = plots.merge_step(
        photo, before, after, outlined=[[0, 0, 400, 75], [0, 75, 400, 150], [0, 0, 400, 150]]
    )
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["image", "before: 4 regions", "after: 3 regions"]


def test_svm_history_has_a_plot_for_each_column_and_a_line_for_each_class():
    rows = [
        {"round": r, "class": c, "negatives": 10 * r, "objective": 1 / r}
        for r in (1, 2)
        for c in ("cat", "cow")
    ]
    figure = plots.svm_history(pd.DataFrame(rows))
    assert [ax.get_title() for ax in figure.axes] == ["negatives", "objective"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
    figure = plots.svm_history(pd.DataFrame(rows)[["objective"]])
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]


def test_region_rows_show_crop_features_and_scores_of_each_region(photo):
    scores = np.array([[-1.0, 0.5, -3.0], [1.0, -0.2, -0.1]])
    figure = plots.region_rows([photo[:50, :50]] * 2, np.eye(2, 8), scores, ["a", "b", "c"])
    rows = np.array(figure.axes).reshape(2, 3)
    for (_, strip, bars), values in zip(rows, scores, strict=True):
        assert strip.images[0].get_array().shape == (1, 8)
        np.testing.assert_allclose([bar.get_y() + bar.get_height() for bar in bars.patches], values)
        assert [label.get_text() for label in rows[-1, 2].get_xticklabels()] == ["a", "b", "c"]
    greens = [bar.get_facecolor() == rows[0, 2].patches[1].get_facecolor() for bar in rows[1, 2].patches]
    assert greens == [True, False, False]
    assert plots.figure_pixels(figure).std() > 0


def test_warp_grid_is_laid_out_as_figure_seven(photo):
    figure = plots.warp_grid(
        photo, [[50, 60, 200, 120], [10, 10, 60, 250]], warp_reference, names=["wide", "tall"]
    )
    assert len(figure.axes) == 2 * 2 * 5
    assert figure.axes[0].get_ylabel() == "wide\npadding 0"
    assert [ax.get_title().split(" ")[0] for ax in figure.axes[1:5]] == ["(A)", "(B)", "(C)", "(D)"]
    warped = figure.axes[4].images[0].get_array()
    expected = warp_reference(photo, [50, 60, 200, 120], mode="warp", padding=0)
    assert np.abs(warped.astype(float) - expected).max() <= 0.5


def test_images_are_shown_as_they_are(photo):
    ax = plots.show_image(photo, title="a photo")
    assert (ax.images[0].get_array() == photo).all()
    figure = plots.image_grid([photo] * 5, list("abcde"), columns=3)
    assert sum(len(ax.images) for ax in figure.axes) == 5


def test_a_jpeg_is_small_and_carries_its_description(photo):
    picture = plots.jpeg_figure(plots.average_precision_bars({"cat": 0.5}), alt='AP of "cat" & co')
    assert Image.open(io.BytesIO(picture.data)).format == "JPEG"
    assert len(picture.data) < 60_000
    content, metadata = picture._repr_mimebundle_()
    assert base64.b64decode(content["image/jpeg"]) == picture.data
    assert metadata["image/jpeg"]["alt"] == content["text/plain"] == 'AP of "cat" & co'
    assert "AP of" in repr(picture)
    assert metadata["rcnn_course"] == {"picture": True}
    assert not plt.get_fignums()  # closed, or notebooks would show it twice
    small, large = (plots.jpeg_figure(photo, alt="a ramp", quality=q, width=300) for q in (30, 90))
    assert len(small.data) < len(large.data)
    assert small._repr_mimebundle_()[1]["image/jpeg"]["width"] == 300
    decoded = np.asarray(Image.open(io.BytesIO(large.data))).astype(float)
    assert decoded.shape == photo.shape and np.abs(decoded - photo).mean() < 20


class Images(HTMLParser):
    """The attributes of the images in a piece of HTML."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        assert tag == "img"
        self.found.append(dict(attributes))


def test_jupyterlab_gets_the_description_as_html_too(photo):
    alt = 'AP of "cat" & <dog> rises'
    picture = plots.jpeg_figure(photo, alt=alt, width=300)
    [image] = Images(picture._repr_mimebundle_()[0]["text/html"]).found
    assert image["alt"] == alt and image["width"] == "300"
    head, data = image["src"].split(",")
    assert head == "data:image/jpeg;base64" and base64.b64decode(data) == picture.data
    assert "max-width: 100%" in image["style"]


def test_what_a_box_is_can_be_told_without_its_colour(photo):
    for (name, style), (other_name, other) in itertools.combinations(plots.STYLES.items(), 2):
        if style != other:  # a proposal looks like a detection on purpose
            assert (style.line, style.mark) != (other.line, other.mark), (name, other_name)
    assert (plots.STYLES["tp"].line, plots.STYLES["tp"].mark) == ("solid", "✓ ")
    assert (plots.STYLES["fp"].line, plots.STYLES["fp"].mark) == ("dashed", "✗ ")


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations(("tp", "fp", "duplicate", "missed"), 2))
)
def test_right_wrong_duplicate_and_missed_differ_in_a_grey_print(photo, one, other):
    black = [
        plots.draw_boxes(photo, [[20, 30, 200, 250]], styles=name, colours="black") for name in (one, other)
    ]
    labelled = [
        plots.draw_detections(photo, [[20, 30, 200, 250]], ["cat"], outcomes=[name], colours="black")
        for name in (one, other)
    ]
    lines_differ = plots.STYLES[one].line != plots.STYLES[other].line
    assert (black[0] != black[1]).any() == lines_differ
    assert (labelled[0] != labelled[1]).any()


def test_show_displays_once_and_returns_nothing(monkeypatch, photo):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert plots.show(photo, alt="a ramp") is None
    assert [picture.alt for picture in shown] == ["a ramp"]


def test_a_figure_without_a_description_is_refused(photo):
    with pytest.raises(ValueError, match="alt is empty"):
        plots.jpeg_figure(photo, alt=" ")
