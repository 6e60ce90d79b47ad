"""Exercises of notebook 05: who is an example of what, the objective, and which negatives are worth keeping."""

import numpy as np

from rcnn_helpers import svm
from rcnn_helpers.course.exercises.engine import Exercise, Slip

# --- positive, negative, or neither -----------------------------------------------------------------------------


def _labels_reference(overlaps, gt_class, k):
    # One column of the package's table: the class itself against all others.
    of_class = np.where(np.asarray(gt_class) == k, 0, -1)
    return svm.region_roles(np.asarray(overlaps)[:, None], of_class)[:, 0]


def _labels_cases(rng):
    by_hand = [
        # notebook 05: a car, a dog, and three proposals, as the car's and the dog's SVM see them
        ([1.0, 0.18, 0.6, 0.17, 0.15], [0, 1, -1, -1, -1], 0),
        ([0.18, 1.0, 0.13, 0.9, 0.08], [0, 1, -1, -1, -1], 1),
        ([0.3, 0.29, 0.5, 0.0], [-1, -1, -1, -1], 2),  # just 0.3 is ignored
        ([0.45, 0.0, 1.0], [4, 4, 2], 2),  # another class's objects: one in the grey zone, one far off
        ([0.0, 0.0], [0, -1], 5),  # a picture without the class
    ]
    return [(np.array(o), np.array(g), k) for o, g, k in by_hand] + [_regions(rng) for _ in range(20)]


def _regions(rng):
    """Regions of one picture: objects of a few classes, and proposals around them."""
    n, k = int(rng.integers(4, 12)), int(rng.integers(0, 4))
    gt_class = np.where(rng.random(n) < 0.4, rng.integers(0, 4, size=n), -1)
    overlaps = np.round(rng.random(n) ** 1.5, 3)
    overlaps[gt_class == k] = 1.0
    return overlaps, gt_class, k


def _labels(overlaps, positive, negative):
    return np.where(positive, 1, np.where(negative, -1, 0))


SVM_LABELS = Exercise(
    name="svm_labels",
    title="Who teaches what",
    notebook="05",
    difficulty=1,
    minutes=10,
    reference=_labels_reference,
    cases=_labels_cases,
    slips=(
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, overlaps >= 0.5, overlaps < 0.3),
            "You take every region with an IoU of 0.5 or more as a positive. That is the rule of fine-tuning; an "
            "SVM learns from the true boxes of its class alone.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, overlaps >= 0.5, overlaps < 0.5),
            "These are the labels of fine-tuning: 0.5 divides positives from negatives. For the SVMs only the "
            "true boxes are positives, and between 0.3 and them lies a zone that is ignored.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, gt_class == k, overlaps <= 0.3),
            "A region with an IoU of just 0.3 is a negative in your version. The paper says: *below* 0.3.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, gt_class >= 0, overlaps < 0.3),
            "Objects of *other* classes are positives in your version. Only those with `gt_class == k` are.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, gt_class == k, (overlaps < 0.3) & (gt_class < 0)),
            "You leave out the objects of other classes. They are regions like all others: below 0.3 they are "
            "negatives, and the best there are.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(
                overlaps, gt_class == k, (overlaps < 0.3) | (gt_class >= 0)
            ),
            "You make every object of another class a negative. One that overlaps an object of this class by 0.3 "
            "or more is ignored, as any region would be.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, gt_class == k, gt_class != k),
            "Nothing is ignored in your version. A region of IoU 0.3 or more that is no true box gets a 0.",
        ),
        Slip(
            lambda overlaps, gt_class, k: _labels(overlaps, gt_class == k, (overlaps < 0.3) & (overlaps > 0)),
            "Regions that do not touch the class at all are ignored in your version. They are negatives, if easy "
            "ones.",
        ),
    ),
    hints=(
        "Two questions for each region: is it a true box of class `k`? If not, is its overlap below 0.3?",
        "`gt_class == k` finds the positives. `gt_class` of other objects does not matter at all.",
        "Begin with zeros for all. Set -1 where `overlaps < 0.3`, then 1 where `gt_class == k`.",
    ),
)

# --- the objective ----------------------------------------------------------------------------------------------


def _objective_reference(w, b, X, y, C, positive_weight, B):
    return svm.primal_objective(X, y, w, b, C=C, positive_weight=positive_weight, bias_scale=B)


def _objective_cases(rng):
    three, signs = np.array([[1.5], [0.2], [-0.4]]), np.array([1, 1, -1])
    by_hand = [
        (np.array([1.0]), 0.0, three, signs, 0.1, 2, 10),  # 0.5 + 0.1 (2 * 0.8 + 0.6)
        (np.array([1.0]), -2.0, three, signs, 0.1, 2, 10),
        (np.array([0.0]), 5.0, three, signs, 0.0, 2, 10),  # nothing but the bias
        (np.array([2.0]), 0.0, np.array([[-0.65], [0.5]]), np.array([-1, 1]), 1.0, 2, 10),  # no loss at all
    ]
    return by_hand + [_problem(rng) for _ in range(20)]


def _problem(rng):
    """Weights, some rows with both signs, and constants other than those of R-CNN."""
    n, d = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    w, b, X = rng.normal(size=d).round(2), round(rng.normal(), 2), rng.normal(size=(n, d)).round(2)
    y = np.where(np.arange(n) < rng.integers(1, n), 1, -1)
    C, positive_weight, B = rng.choice([0.1, 0.5, 2.0]), rng.choice([1.0, 2.0, 5.0]), rng.choice([1.0, 10.0])
    return w, b, X, y, float(C), float(positive_weight), float(B)


def _objective(
    w,
    b,
    X,
    y,
    C,
    positive_weight,
    B,
    *,
    size=lambda w, b, B: w @ w / 2 + (b / B) ** 2 / 2,
    loss=lambda margin: np.maximum(0, 1 - margin),
    heavy=1,
    total=np.sum,
    with_bias=True,
):
    """The objective, with some of its parts to be got wrong."""
    margin = y * (X @ w + b * with_bias)
    weight = np.where(y == heavy, positive_weight, 1)
    return size(w, b, B) + C * total(weight * loss(margin))


def _slip(message, **options):
    return Slip(lambda *arguments: _objective(*arguments, **options), message)


HINGE_OBJECTIVE = Exercise(
    name="hinge_objective",
    title="What training makes small",
    notebook="05",
    difficulty=2,
    minutes=15,
    reference=_objective_reference,
    cases=_objective_cases,
    slips=(
        _slip(
            "The bias is free in your version. Here it is regularised as well: add $\\frac12 (b / B)^2$.",
            size=lambda w, b, B: w @ w / 2,
        ),
        _slip(
            "You regularise the bias like a weight. It is the weight of a column that holds $B$ everywhere, so it "
            "is $b / B$ that is squared.",
            size=lambda w, b, B: w @ w / 2 + b**2 / 2,
        ),
        _slip(
            "You multiply the bias by $B$ where it has to be divided: with a large $B$ a bias is *cheap*.",
            size=lambda w, b, B: w @ w / 2 + (b * B) ** 2 / 2,
        ),
        _slip(
            "You square the losses. The hinge loss is the shortfall itself (LIBLINEAR has both; R-CNN uses this "
            "one).",
            loss=lambda margin: np.maximum(0, 1 - margin) ** 2,
        ),
        _slip(
            "You take the mean of the losses. They are *summed* here, so more examples weigh more against $w$.",
            total=np.mean,
        ),
        _slip(
            "You count the negatives more. `positive_weight` multiplies the losses of the positives.",
            heavy=-1,
        ),
        _slip(
            "An example beyond its margin earns you something: its loss goes below 0. It must end at 0.",
            loss=lambda margin: 1 - margin,
        ),
        _slip(
            "Your scores lack the bias: $s = w \\cdot x + b$.",
            with_bias=False,
        ),
        _slip(
            "The first part lacks its factor of ½.",
            size=lambda w, b, B: w @ w + (b / B) ** 2,
        ),
        Slip(
            lambda w, b, X, y, C, positive_weight, B: _objective(w, b, X, y, C, 1, B),
            "All losses count alike in your version. Those of positives count `positive_weight` times.",
        ),
        Slip(
            lambda w, b, X, y, C, positive_weight, B: _objective(w, b, X, y, 0.001, 2, 10),
            "You have written 0.001, 2 and 10 into the function. Take `C`, `positive_weight` and `B` as they are "
            "given; they may be others.",
        ),
    ),
    hints=(
        "First the scores of all rows: `X @ w + b`. Then the shortfall of each: how much is `y * score` below 1?",
        "`np.maximum(0, 1 - y * scores)` are the hinge losses. `np.where(y > 0, positive_weight, 1)` is what each "
        "counts.",
        "Two parts: half of `w @ w` and of `(b / B) ** 2`; and `C` times the sum of weight times loss.",
    ),
)

# --- hard negatives ---------------------------------------------------------------------------------------------


def _hard_reference(scores, labels, cached):
    scores = np.asarray(scores)
    joining = np.flatnonzero(svm.is_hard(scores, labels) & ~np.asarray(cached))
    return joining[np.argsort(-scores[joining], kind="stable")]


def _hard_cases(rng):
    by_hand = [
        # an easy negative, a hard one, a harder one, a positive, an ignored region
        ([-1.6, -0.4, 0.3, 0.9, 0.5], [-1, -1, -1, 1, 0], [False] * 5),
        ([-1.6, -0.4, 0.3, 0.9, 0.5], [-1, -1, -1, 1, 0], [False, False, True, False, False]),
        ([-1.0, -1.1, -0.9], [-1, -1, -1], [False] * 3),  # right on the margin: it counts
        ([-2.0, -1.5], [-1, -1], [False, True]),
        ([], [], []),
    ]
    return [_mining_case(*case) for case in by_hand] + [_scored(rng) for _ in range(20)]


def _mining_case(scores, labels, cached):
    return np.array(scores, float), np.array(labels, int), np.array(cached, bool)


def _scored(rng):
    """Scores of which no two are equal and none is near -1.0001, labels, and a cache that holds some negatives."""
    n = int(rng.integers(6, 16))
    scores = (rng.choice(120, size=n, replace=False) - 80) / 40 + 0.005  # -1.995 to 0.98
    labels = rng.choice([-1, -1, -1, -1, 1, 0], size=n)
    return _mining_case(scores, labels, (labels == -1) & (rng.random(n) < 0.3))


def _picked(scores, joining, *, sign=-1):
    rows = np.flatnonzero(joining)
    return rows[np.argsort(sign * scores[rows], kind="stable")]


HARD_NEGATIVES = Exercise(
    name="hard_negatives",
    title="Which negatives join the cache",
    notebook="05",
    difficulty=2,
    minutes=15,
    reference=_hard_reference,
    cases=_hard_cases,
    slips=(
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > -1.0001) & (labels != 0) & ~cached),
            "Positives are among your hard *negatives*. A positive with a high score is no mistake.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > -1.0001) & (labels != 1) & ~cached),
            "You take ignored regions as well. They are no negatives: their label is 0, and they stay out.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > -1.0001) & ~cached),
            "You look at the scores only. Of the three kinds of regions, negatives alone may join.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > -1.0001) & (labels == -1)),
            "Some of yours are in the cache already. Each region may be in it once: leave out what is `cached`.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(
                scores, (scores > -1.0001) & (labels == -1) & ~cached, sign=1
            ),
            "Yours come in the wrong order: the easiest first. The highest score is the worst mistake.",
        ),
        Slip(
            lambda scores, labels, cached: np.flatnonzero((scores > -1.0001) & (labels == -1) & ~cached),
            "You have the right regions, but in the order given. The hardest comes first.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > 0) & (labels == -1) & ~cached),
            "You take only what scores above 0. A negative wants a score of -1 or less; everything above violates "
            "its margin and has a say.",
        ),
        Slip(
            lambda scores, labels, cached: _picked(scores, (scores > -1) & (labels == -1) & ~cached),
            "A negative with a score of exactly -1 stays out in your version. It lies on the margin and may hold "
            "the boundary in place. That is why the limit is -1.0001.",
        ),
        Slip(
            lambda scores, labels, cached: scores[
                _picked(scores, (scores > -1.0001) & (labels == -1) & ~cached)
            ],
            "You return the scores. Asked for are the regions: their places in `scores`.",
        ),
    ),
    hints=(
        "Three conditions must hold at once: it is a negative, it scores above -1.0001, it is not cached.",
        "`np.flatnonzero((labels == -1) & (scores > -1.0001) & ~cached)` gives the places of those that join.",
        "Sort these places by their scores, from the highest down: `places[np.argsort(-scores[places])]`.",
    ),
)

EXERCISES = (SVM_LABELS, HINGE_OBJECTIVE, HARD_NEGATIVES)
