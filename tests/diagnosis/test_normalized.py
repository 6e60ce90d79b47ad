"""Normalised average precision: cases computed by hand, and a slow plain-Python reference."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.diagnosis import diagnose, normalized_ap, normalized_aps
from rcnn_helpers.diagnosis.normalized import ap_from_counts
from rcnn_helpers.evaluation import average_precision

CLASSES = ("cat", "dog")
A, B, C = [0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10]
NOWHERE = [300, 300, 310, 310]

rankings = st.lists(st.sampled_from(["tp", "fp", "duplicate", "ignored"]), max_size=40)


def reference(outcomes, n_positives, normalisation):
    """The definition, step by step: AP and its standard error."""
    precision, true_positives, false_positives = [], 0, 0
    for outcome in outcomes:
        true_positives += outcome == "tp"
        false_positives += outcome in ("fp", "duplicate")
        found = true_positives * normalisation / n_positives
        precision.append(found / (found + false_positives) if found + false_positives else 0.0)
    values = [max(precision[i:]) for i, outcome in enumerate(outcomes) if outcome == "tp"]
    recall = len(values) / n_positives
    ap = statistics.fmean(values) * recall if values else 0.0
    values += [0.0] * (n_positives - len(values))
    error = statistics.stdev(values) / math.sqrt(n_positives) if n_positives > 1 else math.nan
    return ap, error


def test_by_hand():
    # Four objects reckoned as two: recalls 1/4 and 2/4 count as 0.5 and 1 objects found.
    result = normalized_ap(["tp", "fp", "tp"], n_positives=4, normalisation=2)
    assert result.precision.tolist() == [0.5 / 0.5, 1 / (1 + 1)]
    assert result.ap == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    squares = (1 - 0.375) ** 2 + (0.5 - 0.375) ** 2 + 2 * 0.375**2
    assert result.standard_error == pytest.approx(math.sqrt(squares / 3) / 2)
    assert result.final_recall == 0.5
    assert result.n_positives == 4


def test_precision_is_interpolated():
    # After 1 and 2 of two objects: 1 / 2, then 2 / 3. The first takes the better one at the higher recall.
    result = normalized_ap(["fp", "tp", "tp"], n_positives=2, normalisation=2)
    assert result.precision == pytest.approx([2 / 3, 2 / 3])
    assert result.ap == pytest.approx(2 / 3)
    assert result.standard_error == pytest.approx(0)


def test_rare_objects_are_not_punished_for_being_rare():
    # The same recall above the same 9 false positives: plain precision is 1/10 for one object and 10/19 for ten.
    rare = ap_from_counts([9], 1, normalisation=30)
    common = ap_from_counts([9] * 10, 10, normalisation=30)
    assert rare.precision[-1] == pytest.approx(common.precision[-1]) == pytest.approx(30 / 39)


@given(rankings, st.integers(0, 10), st.floats(0.5, 1000))
def test_equals_the_slow_reference(outcomes, n_missed, normalisation):
    n_positives = outcomes.count("tp") + n_missed
    result = normalized_ap(outcomes, n_positives=n_positives, normalisation=normalisation)
    if n_positives == 0:
        assert math.isnan(result.ap) and math.isnan(result.standard_error)
        return
    ap, error = reference(outcomes, n_positives, normalisation)
    assert result.ap == pytest.approx(ap)
    assert result.standard_error == pytest.approx(error, nan_ok=True, abs=1e-12)


@given(rankings, st.integers(1, 10))
def test_reckoned_with_the_true_number_it_is_the_area_under_the_curve(outcomes, n_missed):
    n_positives = outcomes.count("tp") + n_missed
    counted = [outcome for outcome in outcomes if outcome != "ignored"]
    found = np.cumsum([outcome == "tp" for outcome in counted])
    expected = average_precision(found / n_positives, found / np.arange(1, len(counted) + 1), metric="area")
    result = normalized_ap(outcomes, n_positives=n_positives, normalisation=n_positives)
    assert result.ap == pytest.approx(expected)


@given(rankings, st.integers(0, 5))
def test_ignored_detections_change_nothing(outcomes, n_missed):
    n_positives = outcomes.count("tp") + n_missed + 1
    without = [outcome for outcome in outcomes if outcome != "ignored"]
    assert normalized_ap(outcomes, n_positives=n_positives, normalisation=7).ap == pytest.approx(
        normalized_ap(without, n_positives=n_positives, normalisation=7).ap
    )


def test_nothing_found_is_zero_and_nothing_to_find_is_unknown():
    nothing_found = normalized_ap(["fp", "fp"], n_positives=3, normalisation=5)
    assert (nothing_found.ap, nothing_found.standard_error, nothing_found.final_recall) == (0, 0, 0)
    nothing_there = normalized_ap(["fp"], n_positives=0, normalisation=5)
    assert math.isnan(nothing_there.ap) and math.isnan(nothing_there.final_recall)
    assert math.isnan(normalized_ap(["tp"], n_positives=1, normalisation=5).standard_error)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="2 true positives, but n_positives is 1"):
        normalized_ap(["tp", "tp"], n_positives=1, normalisation=5)
    with pytest.raises(ValueError, match="unknown outcome 'hit'"):
        normalized_ap(["tp", "hit"], n_positives=1, normalisation=5)
    with pytest.raises(ValueError, match="normalisation is 0"):
        normalized_ap(["tp"], n_positives=1, normalisation=0)


def test_of_each_class(scene):
    images = [str(i) for i in range(20)]  # N is 0.15 * 20 = 3
    objects = [("0", "dog", A), ("0", "dog", B), ("0", "dog", C, True)]
    rows = [
        ("0", "dog", 0.9, C),  # ignored
        ("0", "dog", 0.8, NOWHERE),
        ("0", "dog", 0.7, B),
        ("0", "dog", 0.6, B),  # duplicate
        ("0", "dog", 0.5, A),
        ("0", "cat", 0.9, A),
    ]
    frame = normalized_aps(diagnose(*scene(CLASSES, objects, rows, images=images)))
    assert frame.index.tolist() == ["cat", "dog"]
    assert frame.loc["dog", "ap_n"] == pytest.approx((1.5 / (1.5 + 1) + 3 / (3 + 2)) / 2)
    assert frame.loc["dog", "n"] == 2
    assert frame.loc["dog", "recall"] == 1
    assert frame.loc["cat", ["ap_n", "standard_error", "recall"]].isna().all()
