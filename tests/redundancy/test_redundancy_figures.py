"""Figures of planted copies show what the numbers say, also where there are none."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from rcnn_helpers.redundancy.figures import distances_by_kind, recall_by_threshold

SUMMARIES = [
    {
        "kind": "cropped",
        "median_distance": 0.1,
        "distance_99": 0.2,
        "stranger_lowest": 0.4,
        "stranger_median": 0.5,
    },
    {
        "kind": "mirrored",
        "median_distance": None,
        "distance_99": np.nan,
        "stranger_lowest": 0.3,
        "stranger_median": 0.6,
    },
]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_each_kind_has_its_line():
    (ax,) = distances_by_kind(SUMMARIES, threshold=0.3, title="a title").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cropped", "mirrored"]
    assert ax.patches[0].get_width() == 0.2 and np.isnan(ax.patches[1].get_width())
    lines = {line.get_label(): line.get_xdata() for line in ax.lines}
    assert lines["other pictures: the nearest"].tolist() == [0.4, 0.3]
    assert lines["copies: median"][0] == 0.1 and lines["threshold 0.3"] == [0.3, 0.3]
    assert ax.get_title() == "a title"


def test_recall_is_in_percent_and_alarms_have_their_own_axis():
    figure = recall_by_threshold([0.1, 0.2], {"a": [0.5, 1], "b": [0, 0.25]}, [0, 12])
    left, right = figure.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[50, 100], [0, 25]]
    assert len({line.get_marker() for line in left.lines}) == 2
    assert right.get_ylim() == (0, 24)
    assert len(recall_by_threshold([0.1], {"a": [0.5]}).axes) == 1
