"""The exercises of notebook 08: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest

from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.error_analysis import (
    FALSE_POSITIVE_TYPE,
    GAIN_WITHOUT,
    NORMALIZED_AVERAGE_PRECISION,
    SIZE_BINS,
)

SCENE = ([[10, 10, 50, 50], [50, 10, 90, 50], [120, 10, 160, 50]], ["horse", "dog", "table"], ["cat", "dog"])

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "name", "scene", "kind"),
    [
        ([10, 10, 50, 40], "horse", SCENE, "Loc"),  # 0.75: found before
        ([60, 10, 100, 50], "horse", SCENE, "Sim"),  # 0.6 with the dog
        ([40, 10, 90, 50], "horse", SCENE, "Loc"),  # 0.125 with the horse comes before 0.8 with the dog
        ([40, 10, 90, 50], "dog", SCENE, "Loc"),
        ([40, 10, 90, 50], "cat", SCENE, "Sim"),
        ([130, 20, 150, 40], "horse", SCENE, "Oth"),  # 0.25 with the table
        ([170, 10, 200, 40], "horse", SCENE, "BG"),
        ([0, 0, 10, 1], "cat", ([[0, 0, 10, 10]], ["cat"], []), "Loc"),  # exactly 0.1
        ([0, 0, 100, 9], "cat", ([[0, 0, 100, 100]], ["cat"], []), "BG"),  # 0.09
        ([0, 0, 10, 10], "cat", ([], [], ["dog"]), "BG"),
    ],
)
def test_types_by_hand(box, name, scene, kind):
    assert FALSE_POSITIVE_TYPE.reference(box, name, *scene) == kind


@pytest.mark.parametrize(
    ("outcomes", "n_objects", "kind", "gain"),
    [
        # six points at 1, five at 1/2; without the background five at 2/3
        (["tp", "BG", "Loc", "tp"], 2, "BG", (6 + 5 * 2 / 3) / 11 - 8.5 / 11),
        (["tp", "BG", "Loc", "tp"], 2, "Oth", 0),
        (["Sim", "tp"], 1, "Sim", 1 / 2),
        (["Loc", "Loc", "tp"], 3, "Loc", 4 / 11 - 4 / 33),  # recalls 0, 0.1, 0.2 and 0.3 are reached
        (["tp", "tp", "BG", "BG"], 2, "BG", 0),
        ([], 4, "Loc", 0),
    ],
)
def test_gains_by_hand(outcomes, n_objects, kind, gain):
    assert GAIN_WITHOUT.reference(outcomes, n_objects, kind) == pytest.approx(gain)


@pytest.mark.parametrize(
    ("right", "n_objects", "normal", "value"),
    [
        ([True, False, True], 4, 100, (1 + 50 / 51) / 4),
        ([True, False, True], 4, 4, (1 + 2 / 3) / 4),
        ([False, True, True, True], 4, 100, 3 * (75 / 76) / 4),  # the last is the best for all three
        ([True, True], 2, 50, 1),
        ([False, False], 3, 15, 0),
        ([], 3, 15, 0),
    ],
)
def test_normalised_ap_by_hand(right, n_objects, normal, value):
    assert NORMALIZED_AVERAGE_PRECISION.reference(right, n_objects, normal) == pytest.approx(value)


def test_bins_by_hand():
    one_of_ten = ["XS", "S", "S", "M", "M", "M", "M", "L", "L", "XL"]
    assert SIZE_BINS.reference([10 * i for i in range(1, 11)]) == one_of_ten
    assert SIZE_BINS.reference([100, 20, 70, 40, 10, 60, 30, 80, 90, 50])[:5] == ["XL", "S", "M", "M", "XS"]
    twenty = SIZE_BINS.reference([2**i for i in range(20)])
    assert [twenty.count(name) for name in ("XS", "S", "M", "L", "XL")] == [2, 4, 8, 4, 2]


# --- Other right answers ------------------------------------------------------------------------------------


def type_by_loops(box, name, objects, names, similar):
    found = "BG"
    rank = {"BG": 0, "Oth": 1, "Sim": 2, "Loc": 3}
    for other, its_name in zip(objects, names, strict=True):
        x1, y1, x2, y2 = (f(a, b) for f, a, b in zip((max, max, min, min), box, other, strict=True))
        shared = max(x2 - x1, 0) * max(y2 - y1, 0)
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
        if 10 * shared >= sum(areas) - shared:
            kind = "Loc" if its_name == name else "Sim" if its_name in similar else "Oth"
            found = max(found, kind, key=rank.get)
    return found


def type_with_numpy(box, name, objects, names, similar):
    if not names:
        return np.str_("BG")
    near = np.array(names)[iou([box], objects)[0] >= 0.1]
    tests = [name in near, np.isin(near, similar).any(), len(near) > 0]
    return np.select(tests, ["Loc", "Sim", "Oth"], default="BG")[()]


def gain_by_recalls(outcomes, n_objects, kind):
    def ap(ranked):
        total = 0.0
        for tenth in range(11):
            best, found = 0.0, 0
            for rank, outcome in enumerate(ranked, 1):
                found += outcome == "tp"
                if 10 * found >= tenth * n_objects:
                    best = max(best, found / rank)
            total += best
        return total / 11

    kept = list(outcomes)
    while kind in kept:
        kept.remove(kind)
    return np.float32(ap(kept) - ap(outcomes))


def normalised_by_loop(right, n_objects, normal):
    total, best = 0.0, 0.0
    found, wrong = sum(right), len(right) - sum(right)
    for each in reversed(right):  # from the end, the best so far is the best from here on
        if each:
            recall = found / n_objects
            best = max(best, recall * normal / (recall * normal + wrong))
            total += best
        found, wrong = found - each, wrong - (not each)
    return total / n_objects


def bins_by_rank(areas):
    order = np.argsort(np.argsort(areas))
    tenth = order * 10 // len(areas)
    return np.array(["XS", "S", "S", "M", "M", "M", "M", "L", "L", "XL"])[tenth]


def bins_by_percentile(areas):
    cuts = np.percentile(areas, [10, 30, 70, 90])
    return tuple("XS S M L XL".split()[i] for i in np.searchsorted(cuts, areas))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (FALSE_POSITIVE_TYPE, type_by_loops),
        (FALSE_POSITIVE_TYPE, type_with_numpy),
        (GAIN_WITHOUT, gain_by_recalls),
        (NORMALIZED_AVERAGE_PRECISION, normalised_by_loop),
        (SIZE_BINS, bins_by_rank),
        (SIZE_BINS, bins_by_percentile),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert verdict.function is answer


# --- Other wrong answers ------------------------------------------------------------------------------------


def type_of_touching(box, name, objects, names, similar):
    touching = [n for n, o in zip(names, objects, strict=True) if iou([box], [o])[0, 0] > 0]
    if name in touching:
        return "Loc"
    return "Sim" if set(touching) & set(similar) else "Oth" if touching else "BG"


def type_by_share_of_object(box, name, objects, names, similar):
    near = []
    for other, its_name in zip(objects, names, strict=True):
        sides = [min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1)]
        area = (other[2] - other[0]) * (other[3] - other[1])
        if max(sides[0], 0) * max(sides[1], 0) >= 0.1 * area:
            near.append(its_name)
    return "Loc" if name in near else "Sim" if set(near) & set(similar) else "Oth" if near else "BG"


def type_that_fails_on_empty_pictures(box, name, objects, names, similar):
    iou([box], objects)[0].argmax()
    return FALSE_POSITIVE_TYPE.reference(box, name, objects, names, similar)


def type_in_words(box, name, objects, names, similar):
    return FALSE_POSITIVE_TYPE.reference(box, name, objects, names, similar).lower()


def gain_by_area(outcomes, n_objects, kind):
    def ap(ranked):
        found = np.cumsum([outcome == "tp" for outcome in ranked])
        precision = found / np.arange(1, len(found) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float((best * np.diff(found, prepend=0)).sum() / n_objects) if len(ranked) else 0.0

    return ap([outcome for outcome in outcomes if outcome != kind]) - ap(outcomes)


def gain_in_points(outcomes, n_objects, kind):
    return 100 * GAIN_WITHOUT.reference(outcomes, n_objects, kind)


def gain_that_strikes_one(outcomes, n_objects, kind):
    if kind not in outcomes:
        return 0.0
    left = list(outcomes)
    left.remove(kind)
    return gain_by_recalls(outcomes, n_objects, kind) - gain_by_recalls(left, n_objects, kind)


def gain_that_empties_its_list(outcomes, n_objects, kind):
    gain = GAIN_WITHOUT.reference(outcomes, n_objects, kind)
    outcomes.clear()
    return gain


def normalised_in_percent(right, n_objects, normal):
    return 100 * normalised_by_loop(right, n_objects, normal)


def normalised_precision_at_the_end(right, n_objects, normal):
    recall = sum(right) / n_objects
    return recall * normal / (recall * normal + len(right) - sum(right)) if sum(right) else 0.0


def normalised_over_eleven_points(right, n_objects, normal):
    recall = np.cumsum(right) / n_objects
    precision = recall * normal / (recall * normal + np.cumsum(np.logical_not(right)) + 1e-12)
    return np.mean([max(precision[recall >= t], default=0) for t in np.linspace(0, 1, 11)])


def normalised_without_care_for_nothing(right, n_objects, normal):
    return normalised_by_loop(right, n_objects, normal) / (1 if any(right) else 0)


def bins_of_an_eighth(areas):
    cuts = np.percentile(areas, [12.5, 37.5, 62.5, 87.5])
    return [("XS", "S", "M", "L", "XL")[i] for i in np.searchsorted(cuts, areas)]


def bins_by_halving(areas):
    return ["S" if area <= np.median(areas) else "L" for area in areas]


def bins_as_numbers(areas):
    return np.searchsorted(np.percentile(areas, [10, 30, 70, 90]), areas)


def bins_that_sort_what_they_are_given(areas):
    right = SIZE_BINS.reference(areas)
    areas.sort()
    return right


@pytest.mark.parametrize(
    ("exercise", "answer", "outcome"),
    [
        (FALSE_POSITIVE_TYPE, type_of_touching, Outcome.WRONG),
        (FALSE_POSITIVE_TYPE, type_by_share_of_object, Outcome.WRONG),
        (FALSE_POSITIVE_TYPE, type_that_fails_on_empty_pictures, Outcome.ERROR),
        (FALSE_POSITIVE_TYPE, type_in_words, Outcome.WRONG),
        (GAIN_WITHOUT, gain_by_area, Outcome.WRONG),
        (GAIN_WITHOUT, gain_in_points, Outcome.WRONG),
        (GAIN_WITHOUT, gain_that_strikes_one, Outcome.WRONG),
        (GAIN_WITHOUT, gain_that_empties_its_list, Outcome.WRONG),
        (NORMALIZED_AVERAGE_PRECISION, normalised_in_percent, Outcome.WRONG),
        (NORMALIZED_AVERAGE_PRECISION, normalised_precision_at_the_end, Outcome.WRONG),
        (NORMALIZED_AVERAGE_PRECISION, normalised_over_eleven_points, Outcome.WRONG),
        (NORMALIZED_AVERAGE_PRECISION, normalised_without_care_for_nothing, Outcome.ERROR),
        (SIZE_BINS, bins_of_an_eighth, Outcome.WRONG),
        (SIZE_BINS, bins_by_halving, Outcome.WRONG),
        (SIZE_BINS, bins_as_numbers, Outcome.WRONG),
        (SIZE_BINS, bins_that_sort_what_they_are_given, Outcome.WRONG),
    ],
)
def test_other_wrong_answers_are_caught_by_the_cases(exercise, answer, outcome):
    verdict = judge(exercise, answer)
    assert verdict.outcome is outcome, verdict.text
    assert verdict.function is exercise.reference
    assert not any(verdict.message.startswith(slip.message) for slip in exercise.slips)


def test_no_random_case_hangs_on_rounding():
    """Overlaps keep off the limit, recalls off the tenths, and no two areas are equal."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for box, _, objects, _, _ in FALSE_POSITIVE_TYPE.cases(rng)[13:]:
            assert (np.abs(iou([box], objects) - 0.1) > 1e-4).all()
        for outcomes, n_objects, _ in GAIN_WITHOUT.cases(rng)[7:]:
            assert outcomes.count("tp") <= n_objects
            recalls = 10 * np.arange(n_objects + 1) / n_objects
            at_tenths = recalls[np.abs(recalls - np.round(recalls)) < 1e-6]
            assert np.isin(np.round(at_tenths), (0, 5, 10)).all()
        for (areas,) in SIZE_BINS.cases(rng):
            assert len(set(areas)) == len(areas) and len(areas) % 10 == 0
