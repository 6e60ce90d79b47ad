"""What the figures of a diagnosis show: the numbers of the functions they draw, every kind named, nothing cut."""

import dataclasses

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.diagnosis import agreement, diagnose, figures, impact, tide, trends
from rcnn_helpers.diagnosis.false_positives import FP_TYPES
from rcnn_helpers.diagnosis.looks import LOOKS, TIDE_LOOKS
from rcnn_helpers.diagnosis.similar import SimilarClasses
from rcnn_helpers.diagnosis.tide import TIDE_TYPES
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.plots import use_style

matplotlib.use("Agg")

CLASSES = ("cat", "dog", "bus")


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        use_style()
        yield
    plt.close("all")


@pytest.fixture
def diagnoses(scene, rng):
    """Two detectors on 20 images with a cat, a dog and a bus each; the second is better."""
    corners = {"cat": 10, "dog": 50, "bus": 90}
    objects = [(f"{image}", name, (x, 10, x + 20, 30)) for image in range(20) for name, x in corners.items()]
    found = {}
    for detector, noise in (("rough", 9.0), ("fine", 3.0)):
        rows = []
        for image in range(20):
            for name in CLASSES:
                for other, x in corners.items():
                    dx, dy = rng.normal(0, noise, 2)
                    score = rng.normal(1.0 if name == other else 0.0, 0.7)
                    rows.append((f"{image}", name, score, (x + dx, 10 + dy, x + dx + 20, 30 + dy)))
                rows.append((f"{image}", name, rng.normal(-0.5, 0.5), (150, 150, 190, 190)))
        detections, truth = scene(CLASSES, objects, rows)
        found[detector] = diagnose(detections, truth)
    return found


def texts(figure):
    """All texts of a figure as they stand."""
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def check_nothing_is_cut(figure):
    """Every visible text lies within the figure, to a pixel."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    renderer = figure.canvas.get_renderer()
    beyond = set(map(id, ticks_beyond_the_limits(figure)))
    for text in figure.findobj(matplotlib.text.Text):
        is_shown = text.get_visible() and (text.axes is None or text.axes.get_visible())
        if not text.get_text() or not is_shown or id(text) in beyond:
            continue
        box = text.get_window_extent(renderer)
        assert box.x0 >= -1 and box.y0 >= -1, text.get_text()
        assert box.x1 <= width + 1 and box.y1 <= height + 1, text.get_text()


def ticks_beyond_the_limits(figure):
    """Labels that matplotlib keeps but does not draw."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)


def sensitivity_frame(names, pairs=False):
    """A frame as `sensitivity` returns it, of given subsets."""
    subsets = (
        ["wheel: visible", "wheel: hidden", "door: visible", "door: hidden"] if pairs else ["XS", "M", "XL"]
    )
    characteristic = "part visibility" if pairs else "box area"
    rows = [
        (name, characteristic, subset, 3 + 4 * i, 2, 0.1 + 0.2 * i, 0.05, 0.35)
        for name in names
        for i, subset in enumerate(subsets)
    ]
    columns = ["class", "characteristic", "subset", "n", "found", "ap_n", "standard_error", "class_ap_n"]
    return pd.DataFrame(rows, columns=columns)


def test_the_trend_has_a_panel_for_each_group_and_detector_with_the_shares(diagnoses):
    groups = {"pets": ("cat", "dog"), "vehicles": ("bus",)}
    figure = figures.false_positive_trend(diagnoses, groups=groups)
    assert [ax.get_title() for ax in figure.axes] == [
        "rough: pets",
        "fine: pets",
        "rough: vehicles",
        "fine: vehicles",
    ]
    shares = trends(diagnoses["fine"], ("cat", "dog"))
    lowest, *_, highest = figure.axes[1].collections
    top_of_loc = dict(lowest.get_paths()[0].vertices.tolist())
    assert top_of_loc[25.0] in (0.0, pytest.approx(100 * shares.loc[25, "Loc"]))
    assert highest.get_paths()[0].vertices[:, 1].max() == pytest.approx(100)
    assert {f"{kind}: {LOOKS[kind].word}" for kind in FP_TYPES} <= set(texts(figure))
    check_nothing_is_cut(figure)


def test_a_single_detector_has_its_groups_side_by_side_by_their_own_names(diagnoses):
    figure = figures.false_positive_trend({"fine": diagnoses["fine"]})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [f"fine: {group}" for group in diagnoses["fine"].similar.groups]
    tops = {round(ax.get_position().y1, 3) for ax in figure.axes}
    assert len(tops) == 1
    check_nothing_is_cut(figure)


def test_a_group_without_a_class_that_was_searched_for_is_refused(diagnoses):
    with pytest.raises(DisplayError, match="classes of group 'boats'"):
        figures.false_positive_trend(diagnoses, groups={"boats": ("ship",)})


def test_groups_that_no_detector_searched_for_are_left_out_unless_they_are_asked_for(scene):
    objects = [("a", "cat", (0, 0, 9, 9)), ("a", "bus", (20, 20, 40, 40))]
    detections, truth = scene(["cat", "bus"], objects, [("a", "cat", 1.0, (50, 50, 59, 59))])
    of_cats = dataclasses.replace(detections, classes=("cat",))
    similar = SimilarClasses.from_sets(truth.classes, groups={"pets": ["cat"], "vehicles": ["bus"]})
    figure = figures.false_positive_trend({"cats": diagnose(of_cats, truth, similar=similar)})
    assert [ax.get_title() for ax in figure.axes] == ["cats"]


def test_the_bars_of_each_class_are_of_as_many_false_positives_as_it_has_objects(diagnoses):
    figure = figures.false_positive_bars(diagnoses)
    diagnosis = diagnoses["rough"]
    ranked = diagnosis.ranked("dog")
    false = ranked[diagnosis.outcome[ranked] == "fp"][:20]  # 20 dogs
    wanted = [100 * np.mean(diagnosis.fp_type[false] == kind) for kind in FP_TYPES]
    widths = [container[1].get_width() for container in figure.axes[0].containers]
    assert widths == pytest.approx(wanted) and sum(widths) == pytest.approx(100)
    check_nothing_is_cut(figure)


def test_a_class_without_false_positives_says_so(scene):
    detections, truth = scene(["cat"], [("a", "cat", (0, 0, 9, 9))], [("a", "cat", 1.0, (0, 0, 9, 9))])
    figure = figures.false_positive_bars({"perfect": diagnose(detections, truth)})
    assert "no false positives" in texts(figure)
    [ax] = figures.false_positive_trend(
        {"perfect": diagnose(detections, truth)}, groups={"pets": ("cat",)}
    ).axes
    assert ax.get_ylim() == (0, 100)


def test_the_impact_bars_are_the_gains_in_points(diagnoses):
    figure = figures.impact_bars(diagnoses)
    mean = 100 * impact(diagnoses["fine"]).loc["mean"]
    assert figure.axes[0].containers[1][0].get_width() == pytest.approx(mean["Loc fixed"] - mean["AP"])
    assert f"fine (mAP {mean['AP']:.1f})" in texts(figure)
    check_nothing_is_cut(figure)


def test_the_tide_bars_are_the_gains_in_points(diagnoses):
    results = {name: tide(each.detections, each.truth) for name, each in diagnoses.items()}
    figure = figures.tide_bars(results)
    widths = [bar.get_width() for bar in figure.axes[0].containers[0]]
    rough = results["rough"]
    gains = [*(rough.delta_ap[kind] for kind in TIDE_TYPES), rough.delta_fp, rough.delta_fn]
    assert widths == pytest.approx([100 * gain for gain in gains])
    assert set(TIDE_LOOKS) == set(TIDE_TYPES)
    check_nothing_is_cut(figure)


def test_the_summary_of_sensitivity_has_worst_best_and_all(diagnoses):
    frames = {name: sensitivity_frame(CLASSES) for name in ("one", "two")}
    figure = figures.sensitivity_summary_figure(frames)
    highest, lowest = (line.get_ydata() for line in figure.axes[0].lines[:2])
    # Of 3, 7 and 11 objects: the first subset has too few to enter.
    assert highest == pytest.approx([50]) and lowest == pytest.approx([30])
    assert {"best subset", "worst subset", "all objects", "50", "30"} <= set(texts(figure))
    check_nothing_is_cut(figure)


@pytest.mark.parametrize("pairs", [False, True])
def test_each_class_has_a_panel_with_its_subsets(pairs):
    frame = sensitivity_frame([f"class {number}" for number in range(7)], pairs)
    figure = figures.sensitivity_by_class(frame, frame["characteristic"][0])
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == list(dict.fromkeys(frame["class"]))
    bars = [bar for container in shown[0].containers for bar in getattr(container, "patches", [])]
    heights = sorted(bar.get_height() for bar in bars)
    assert heights == pytest.approx(100 * frame["ap_n"][: len(heights)])
    pale = [bar for bar in bars if bar.get_alpha() < 1]
    assert [bar.get_height() for bar in pale] == pytest.approx([10]), "only the subset of three objects"
    check_nothing_is_cut(figure)


def test_too_few_objects_for_a_summary_are_refused():
    frame = sensitivity_frame(CLASSES)
    with pytest.raises(DisplayError, match="diagnose more images"):
        figures.sensitivity_summary_figure({"one": frame[frame["n"] < 5]})


def test_classes_without_objects_gain_nothing(scene):
    detections, truth = scene(["cat"], [], [("a", "cat", 1.0, (0, 0, 9, 9))])
    figure = figures.impact_bars({"blind": diagnose(detections, truth)})
    assert "–" in texts(figure)


def test_an_unknown_characteristic_is_refused():
    with pytest.raises(DisplayError, match="choose one of box area"):
        figures.sensitivity_by_class(sensitivity_frame(CLASSES), "colour")


def test_the_agreement_shows_every_count(diagnoses):
    diagnosis = diagnoses["rough"]
    frame = agreement(diagnosis, tide(diagnosis.detections, diagnosis.truth))
    figure = figures.agreement_figure(frame)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == [f"{count:,}" for count in frame.to_numpy().ravel()]
    check_nothing_is_cut(figure)


def test_nothing_to_draw_is_refused():
    for draw in (figures.false_positive_trend, figures.impact_bars, figures.tide_bars):
        with pytest.raises(DisplayError, match="at least one detector"):
            draw({})
