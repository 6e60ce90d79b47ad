"""The exercises of notebook 10: pinned by hand, other right answers pass, other wrong ones do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import jaccard_score

from rcnn_helpers.course.exercises.engine import Outcome, judge
from rcnn_helpers.course.exercises.segmentation import (
    EXERCISES,
    FOREGROUND_CROP,
    MASK_OVERLAP,
    MEAN_ACCURACY,
    PASTE_REGIONS,
)

VOID = 255
HALF = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
SHIFTED = np.array([[0, 1, 1, 0], [0, 1, 1, 0]])
LEFT, MIDDLE = np.zeros((3, 6), bool), np.zeros((3, 6), bool)
LEFT[:, :3], MIDDLE[:, 2:5] = True, True

# --- References, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "arguments", "value"),
    [
        (MEAN_ACCURACY, ([HALF], [HALF], 1), 1),
        # class: 2 right, 2 wrong, 2 missed; background: 2 right, 2 wrong, 2 missed
        (MEAN_ACCURACY, ([SHIFTED], [HALF], 1), 1 / 3),
        # the second column is void: class 2 right, 2 missed; background 2 right, 2 wrong
        (MEAN_ACCURACY, ([SHIFTED], [np.where([0, 1, 0, 0], VOID, HALF)], 1), 1 / 2),
        # class 1: 8 right, 4 missed; background 0 right, 4 wrong
        (
            MEAN_ACCURACY,
            ([np.zeros((2, 2), int), np.ones((2, 4), int)], [np.ones((2, 2)), np.ones((2, 4))], 1),
            1 / 3,
        ),
        # background 5 of 6; class 2 missed; 1 and 3 nowhere
        (MEAN_ACCURACY, ([np.zeros((2, 3), int)], [np.array([[0, 0, 0], [0, 0, 2]])], 3), 5 / 12),
        (MASK_OVERLAP, (HALF == 1, HALF, 1), 1),
        (MASK_OVERLAP, (SHIFTED == 1, HALF, 1), 2 / 6),
        (MASK_OVERLAP, (SHIFTED == 1, np.where([0, 1, 0, 0], VOID, HALF), 1), 2 / 4),
        (MASK_OVERLAP, (np.ones((2, 4)), HALF, 1), 1 / 2),
        (MASK_OVERLAP, (np.zeros((2, 4), bool), HALF, 1), 0),
        (
            FOREGROUND_CROP,
            (np.full((2, 3, 3), 7), [[True, False, True], [True, True, True]], [1, 0, 3, 1], [1, 2, 3]),
            [[[1, 2, 3], [7, 7, 7]]],
        ),
        (PASTE_REGIONS, ([LEFT, MIDDLE], [1, 2], [0.8, 0.6], 0.5), [[1, 1, 1, 2, 2, 0]] * 3),
        (PASTE_REGIONS, ([LEFT, MIDDLE], [1, 2], [0.6, 0.8], 0.5), [[1, 1, 2, 2, 2, 0]] * 3),
        (PASTE_REGIONS, ([LEFT, MIDDLE], [1, 2], [0.6, 0.5], 0.5), [[1, 1, 1, 0, 0, 0]] * 3),
    ],
)
def test_references_by_hand(exercise, arguments, value):
    assert_allclose(exercise.reference(*arguments), value, atol=1e-6)


# --- Other right answers ------------------------------------------------------------------------------------


def accuracy_by_scikit_learn(predicted, truth, n_classes):
    p = np.concatenate([each.ravel() for each in predicted])
    t = np.concatenate([each.ravel() for each in truth])
    p, t = p[t != VOID], t[t != VOID]
    present = np.union1d(p, t)  # labels that are nowhere do not count
    return jaccard_score(t, p, labels=present, average="macro")


def accuracy_by_a_table(predicted, truth, n_classes):
    table = np.zeros((n_classes + 1, n_classes + 1))
    for p, t in zip(predicted, truth, strict=True):
        for predicted_label, true_label in zip(p.ravel().tolist(), t.ravel().tolist(), strict=True):
            if true_label != VOID:
                table[true_label, predicted_label] += 1
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table)))


def overlap_by_sets(mask, object_map, number):
    region = {place for place, inside in np.ndenumerate(mask) if inside and object_map[place] != VOID}
    own = {place for place, value in np.ndenumerate(object_map) if value == number}
    return len(region & own) / len(region | own) if region | own else 0


def foreground_by_where(image, mask, box, mean):
    x1, y1, x2, y2 = box
    return np.where(np.asarray(mask)[y1:y2, x1:x2, None], np.asarray(image)[y1:y2, x1:x2], np.float32(mean))


def foreground_by_loops(image, mask, box, mean):
    return [
        [[float(v) for v in (image[y][x] if mask[y][x] else mean)] for x in range(box[0], box[2])]
        for y in range(box[1], box[3])
    ]


def paste_by_asking_each_pixel(masks, labels, scores, threshold):
    painted = np.zeros(masks[0].shape, np.uint8)
    for place in np.ndindex(*painted.shape):
        here = [i for i in range(len(masks)) if masks[i][place] and scores[i] > threshold]
        if here:
            painted[place] = labels[max(here, key=lambda i: scores[i])]
    return painted.tolist()


def paste_first_come(masks, labels, scores, threshold):
    """From the surest on, each region takes what is still free."""
    painted, free = np.zeros(masks[0].shape), np.ones(masks[0].shape, bool)
    for i in np.argsort(scores)[::-1]:
        if scores[i] > threshold:
            painted[masks[i] & free] = labels[i]
            free &= ~masks[i]
    return painted


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (MEAN_ACCURACY, accuracy_by_scikit_learn),
        (MEAN_ACCURACY, accuracy_by_a_table),
        (MASK_OVERLAP, overlap_by_sets),
        (MASK_OVERLAP, lambda *arguments: np.float32(overlap_by_sets(*arguments))),
        (FOREGROUND_CROP, foreground_by_where),
        (FOREGROUND_CROP, foreground_by_loops),
        (PASTE_REGIONS, paste_by_asking_each_pixel),
        (PASTE_REGIONS, paste_first_come),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_other_right_answers_pass(exercise, answer, seed):
    verdict = judge(exercise, answer, seed=seed)
    assert verdict.outcome is Outcome.PASS, verdict.text


# --- Wrong answers that no slip names -----------------------------------------------------------------------


def fills_the_callers_picture(image, mask, box, mean):
    x1, y1, x2, y2 = box
    crop = image[y1:y2, x1:x2]
    crop[~mask[y1:y2, x1:x2]] = mean
    return crop


MUTANTS = [
    (MEAN_ACCURACY, lambda p, t, n: 100 * accuracy_by_a_table(p, t, n), Outcome.WRONG),  # in percent
    (MEAN_ACCURACY, lambda p, t, n: accuracy_by_a_table(p[:1], t[:1], n), Outcome.WRONG),  # one picture only
    (MEAN_ACCURACY, lambda p, t, n: 1 - accuracy_by_a_table(p, t, n), Outcome.WRONG),
    (MEAN_ACCURACY, lambda p, t, n: accuracy_by_a_table(p, t, 1), Outcome.ERROR),
    (
        MASK_OVERLAP,
        lambda m, o, n: 2 * overlap_by_sets(m, o, n) / (1 + overlap_by_sets(m, o, n)),
        Outcome.WRONG,
    ),
    (MASK_OVERLAP, lambda m, o, n: int(np.sum(m & (o == n))), Outcome.WRONG),  # a count
    (MASK_OVERLAP, lambda m, o, n: overlap_by_sets(m, o, n + 1), Outcome.WRONG),
    (MASK_OVERLAP, lambda m, o, n: overlap_by_sets(np.fliplr(m), o, n), Outcome.WRONG),
    (FOREGROUND_CROP, lambda i, m, b, mean: foreground_by_where(i, m, b, mean[::-1]), Outcome.WRONG),  # BGR
    (
        FOREGROUND_CROP,
        lambda i, m, b, mean: foreground_by_where(i, m, b, mean).transpose(1, 0, 2),
        Outcome.WRONG,
    ),
    (FOREGROUND_CROP, lambda i, m, b, mean: foreground_by_where(i, m, [b[1], b[0], b[3], b[2]], mean), None),
    (FOREGROUND_CROP, fills_the_callers_picture, Outcome.WRONG),
    (
        PASTE_REGIONS,
        lambda m, la, s, t: paste_first_come(m, la, s, 0.5),
        Outcome.WRONG,
    ),  # any threshold is 0.5
    (PASTE_REGIONS, lambda m, la, s, t: paste_first_come(m, s, s, t), Outcome.WRONG),  # scores painted
    (PASTE_REGIONS, lambda m, la, s, t: paste_first_come(m, la, s, t) == 0, Outcome.WRONG),
    (PASTE_REGIONS, lambda m, la, s, t: paste_first_come(m, np.array(la) - 1, s, t), Outcome.WRONG),
    (PASTE_REGIONS, lambda m, la, s, t: m.sort(key=s), Outcome.ERROR),
]


@pytest.mark.parametrize(("exercise", "mutant", "outcome"), MUTANTS)
def test_mutants_are_caught(exercise, mutant, outcome):
    verdict = judge(exercise, mutant)
    if outcome is None:
        assert verdict.outcome is not Outcome.PASS
    else:
        assert verdict.outcome is outcome, verdict.text
    assert not any(slip.message in verdict.message for slip in exercise.slips)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_slips_are_told_apart(exercise, seed):
    for slip in exercise.slips:
        verdict = judge(exercise, slip.wrong, seed=seed)
        assert verdict.outcome is Outcome.WRONG
        assert verdict.message.startswith(slip.message), verdict.message


@pytest.mark.parametrize("exercise", [FOREGROUND_CROP, PASTE_REGIONS])
def test_a_wrong_picture_is_drawn(exercise):
    verdict = judge(exercise, exercise.slips[0].wrong)
    assert verdict.picture.dtype == np.uint8 and verdict.picture.shape[1] > 400
    assert "the reference" in verdict.alt
