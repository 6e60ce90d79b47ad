"""Exercises of notebook 06: a box's targets and their inverse, the pairs that teach, and ridge regression."""

import numpy as np

from rcnn_helpers import bbox_regression, plots
from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Exercise, Slip, difference
from rcnn_helpers.course.exercises.sketch import sketch

# --- regression targets and their inverse -----------------------------------------------------------------------


def _targets_reference(proposal, truth):
    return bbox_regression.regression_targets([proposal], [truth])[0].astype(np.float64)


def _apply_reference(proposal, targets):
    return bbox_regression.apply_regression([proposal], [targets])[0].astype(np.float64)


def _targets_cases(rng):
    by_hand = [
        ([10, 10, 50, 30], [0, 10, 80, 20]),
        ([0, 0, 10, 10], [5, 0, 15, 10]),
        ([3, 4, 9, 20], [3, 4, 9, 20]),
        ([0, 0, 1, 1], [0, 0, 2, 1]),  # a centre between two pixels
    ]
    corners, sides = rng.integers(0, 60, size=(20, 2, 2)), rng.integers(5, 60, size=(20, 2, 2))
    random = np.concatenate([corners, corners + sides], axis=-1)
    return by_hand + [tuple(pair.tolist()) for pair in random]


def _apply_cases(rng):
    double = float(np.log(2))
    by_hand = [
        ([10, 10, 50, 30], [0.0, 0.0, 0.0, 0.0]),
        ([0, 0, 10, 10], [0.5, 0.0, 0.0, 0.0]),
        ([10, 10, 50, 30], [0.0, 0.0, double, 0.0]),
        ([10, 10, 50, 30], [0.25, -0.25, double, -double]),
        ([0, 0, 3, 5], [0.0, 0.0, 0.0, double]),
    ]
    corners, sides = rng.integers(0, 60, size=(20, 2)), rng.integers(5, 60, size=(20, 2))
    proposals = np.concatenate([corners, corners + sides], axis=1)
    targets = rng.normal(0, 0.4, size=(20, 4))
    return by_hand + list(zip(proposals.tolist(), targets.tolist(), strict=True))


def _centre_and_size(box, half=lambda total: total / 2):
    x1, y1, x2, y2 = box
    return np.array([half(x1 + x2), half(y1 + y2)], float), np.array([x2 - x1, y2 - y1], float)


def _wrong_targets(shift, growth, **options):
    """Targets by other rules: ``shift(p, p_size, g, g_size)`` of centres and ``growth(p_size, g_size)``."""

    def wrong(proposal, truth):
        p, p_size = _centre_and_size(proposal, **options)
        g, g_size = _centre_and_size(truth, **options)
        return np.concatenate([shift(p, p_size, g, g_size), growth(p_size, g_size)])

    return wrong


def _right_shift(p, p_size, g, g_size):
    return (g - p) / p_size


def _right_growth(p_size, g_size):
    return np.log(g_size / p_size)


def _targets_of_corners(proposal, truth):
    targets = _targets_reference(proposal, truth)
    _, size = _centre_and_size(proposal)
    return np.concatenate([(np.array(truth[:2]) - proposal[:2]) / size, targets[2:]])


def _wrong_apply(move, stretch, **options):
    """A box by other rules: ``move(p, size, shift)`` gives its centre, ``stretch(size, growth)`` its size."""

    def wrong(proposal, targets):
        p, size = _centre_and_size(proposal, **options)
        shift, growth = np.array(targets[:2]), np.array(targets[2:])
        centre, new = move(p, size, shift), stretch(size, growth)
        return np.concatenate([centre - new / 2, centre + new / 2])

    return wrong


def _right_move(p, size, shift):
    return p + size * shift


def _right_stretch(size, growth):
    return size * np.exp(growth)


def _about_the_corner(proposal, targets):
    """Shift the upper left corner instead of the centre, then stretch from there."""
    p, size = np.array(proposal[:2], float), _centre_and_size(proposal)[1]
    corner = _right_move(p, size, np.array(targets[:2]))
    return np.concatenate([corner, corner + _right_stretch(size, np.array(targets[2:]))])


def _centre_as_corner(proposal, targets):
    box = _apply_reference(proposal, targets)
    centre, size = _centre_and_size(box)
    return np.concatenate([centre, centre + size])


def _as_centre_and_size(proposal, targets):
    return np.concatenate(_centre_and_size(_apply_reference(proposal, targets)))


def _draw_boxes_of(proposal, yours, wanted):
    labels, styles = ["proposal", "yours", ""], ["proposal", "fp", "truth"]
    return sketch([proposal, yours, wanted], labels, styles)


def _draw_targets(arguments, answer, expected):
    proposal, truth = arguments
    reached = _apply_reference(proposal, answer)
    return _draw_boxes_of(proposal, reached, truth), (
        "The proposal, the true box (dotted), and where your targets would bring the proposal (dashed)."
    )


def _draw_apply(arguments, answer, expected):
    return _draw_boxes_of(arguments[0], answer, expected), (
        "The proposal, the box that the targets ask for (dotted), and yours (dashed)."
    )


REGRESSION_TARGETS = Exercise(
    name="regression_targets",
    title="What a repair would have to say",
    notebook="06",
    difficulty=1,
    minutes=10,
    reference=_targets_reference,
    cases=_targets_cases,
    slips=(
        Slip(
            _wrong_targets(lambda p, p_size, g, g_size: g - p, _right_growth),
            "Your shifts are in pixels. Divide them by the proposal's width and height, or the same mistake would "
            "have another target in a larger picture.",
        ),
        Slip(
            _wrong_targets(_right_shift, lambda p_size, g_size: g_size / p_size),
            "Your last two numbers are the factors themselves. Take their logarithm: then 0 means as it is, and "
            "twice as large is as far from it as half.",
        ),
        Slip(
            _wrong_targets(_right_shift, lambda p_size, g_size: np.log(p_size / g_size)),
            "Your logarithms have the wrong sign: the ratio is upside down. An object larger than the proposal "
            "has positive $t_w$ and $t_h$.",
        ),
        Slip(
            _targets_of_corners,
            "You compare the upper left corners. The shift is that of the **centres**.",
        ),
        Slip(
            _wrong_targets(_right_shift, _right_growth, half=lambda total: total // 2),
            "Your centres are whole numbers: `//` cuts off the half. A centre may lie between two pixels.",
        ),
        Slip(
            lambda proposal, truth: _targets_reference(truth, proposal),
            "You have the two boxes exchanged: your numbers lead from the truth to the proposal. The first "
            "argument is the proposal, and it must become the truth.",
        ),
        Slip(
            _wrong_targets(lambda p, p_size, g, g_size: (g - p) / g_size, _right_growth),
            "You divide by the size of the *true* box. At test time nobody knows that one; divide by the "
            "proposal's.",
        ),
        Slip(
            _wrong_targets(lambda p, p_size, g, g_size: (p - g) / p_size, _right_growth),
            "Your shifts point from the truth to the proposal. They must lead from the proposal to the truth.",
        ),
        Slip(
            _wrong_targets(_right_shift, lambda p_size, g_size: (g_size - p_size) / p_size),
            "Your last two numbers are the growth as a share. That is close to the logarithm for small changes, "
            "but not it.",
        ),
    ),
    hints=(
        "Work out four numbers for each box first: centre x, centre y, width, height.",
        "The centre is `(x1 + x2) / 2`. The first two targets are the way from centre to centre, in units of the "
        "proposal's width and height.",
        "The last two are `np.log(truth's width / proposal's width)`, and the same with heights.",
    ),
    draw=_draw_targets,
)

APPLY_REGRESSION = Exercise(
    name="apply_regression",
    title="Carrying the repair out",
    notebook="06",
    difficulty=2,
    minutes=10,
    reference=_apply_reference,
    cases=_apply_cases,
    slips=(
        Slip(
            _wrong_apply(_right_move, lambda size, growth: size * growth),
            "You multiply the size by $t_w$ and $t_h$ as they are. They are logarithms: with 0 the size must stay "
            "as it is. What undoes a logarithm?",
        ),
        Slip(
            _wrong_apply(_right_move, lambda size, growth: size * (1 + growth)),
            "Your box grows by $t_w$ as a share. $t_w$ is a logarithm; what undoes it is the exponential.",
        ),
        Slip(
            _wrong_apply(lambda p, size, shift: p + shift, _right_stretch),
            "You shift by $t_x$ pixels. It is counted in widths of the proposal.",
        ),
        Slip(
            lambda proposal, targets: _wrong_apply(
                lambda p, size, shift: p + _right_stretch(size, np.array(targets[2:])) * shift, _right_stretch
            )(proposal, targets),
            "You shift in units of the *new* width. The unit is the proposal's own.",
        ),
        Slip(
            _about_the_corner,
            "You move the upper left corner and let the box grow from there. Move the **centre**; the box grows "
            "on all sides of it.",
        ),
        Slip(
            _centre_as_corner,
            "You put the new centre where the corner belongs. The corner lies half a width and half a height "
            "before it.",
        ),
        Slip(
            _as_centre_and_size,
            "You return centre and size. Asked for is a box: (x1, y1, x2, y2).",
        ),
        Slip(
            _wrong_apply(_right_move, _right_stretch, half=lambda total: total // 2),
            "Your centres are whole numbers: `//` cuts off the half. A centre may lie between two pixels.",
        ),
        Slip(
            _wrong_apply(lambda p, size, shift: p - size * shift, _right_stretch),
            "Your box moves the wrong way: a positive $t_x$ leads to the right.",
        ),
    ),
    hints=(
        "Undo the four equations one by one. First the proposal's centre, width and height.",
        "The new centre is the old one plus `t_x` times the proposal's width (and `t_y` times its height). The "
        "new width is the old one times `np.exp(t_w)`.",
        "From centre and size back to corners: `x1 = centre - width / 2`, `x2 = centre + width / 2`.",
    ),
    draw=_draw_apply,
)

# --- the proposals that teach -----------------------------------------------------------------------------------


def _pairs_reference(proposals, objects, min_iou):
    return [
        (int(row), int(nearest))
        for row, nearest in zip(
            *bbox_regression.training_pairs(proposals, objects, min_iou=min_iou), strict=True
        )
    ]


def _pairs_cases(rng):
    two_dogs = [[0, 0, 10, 10], [2, 0, 12, 10]]
    by_hand = [
        # IoUs: 9/11 with both, so the first; 7/13 and 9/11, so the second; 0 with either
        ([[1, 0, 11, 10], [3, 0, 13, 10], [40, 40, 50, 50]], two_dogs, 0.6),
        ([[0, 0, 10, 5], [0, 0, 10, 6], [0, 0, 10, 10]], [[0, 0, 10, 10]], 0.5),  # the first has just 0.5
        ([[0, 0, 10, 9], [0, 1, 10, 10]], [[0, 0, 10, 10], [50, 0, 60, 10]], 0.6),
        ([[0, 0, 10, 10]], [], 0.6),
        ([], [[0, 0, 10, 10]], 0.6),
    ]
    return by_hand + [_crowded_scene(rng) for _ in range(20)]


def _crowded_scene(rng):
    """Two or three objects that overlap, and proposals around them; no proposal is near the border of the rule."""
    while True:
        corner = rng.integers(0, 8, size=(int(rng.integers(2, 4)), 2))
        objects = np.concatenate([corner, corner + rng.integers(18, 26, size=corner.shape)], axis=1)
        about = objects[rng.integers(0, len(objects), size=int(rng.integers(4, 9)))]
        proposals = about + rng.integers(-5, 6, size=about.shape)
        min_iou = float(rng.uniform(0.4, 0.7))
        overlaps = np.sort(iou(proposals, objects), axis=1)
        clear = np.abs(overlaps - min_iou).min() > 0.001 and (overlaps[:, -1] - overlaps[:, -2]).min() > 0.001
        if clear:
            return proposals.tolist(), objects.tolist(), min_iou


def _same_pairs(answer, expected):
    """As for any array, but no pairs at all are no pairs in whatever shape."""
    if len(expected) == 0 and hasattr(answer, "__len__") and len(answer) == 0:
        return None
    return difference(answer, expected)


def _wrong_pairs(choose):
    """Pairs by another rule: ``choose(overlaps, min_iou)`` gives them from the IoUs, one row a proposal."""

    def wrong(proposals, objects, min_iou):
        if len(proposals) == 0 or len(objects) == 0:
            return []
        return choose(iou(proposals, objects), min_iou)

    return wrong


def _nearest_where(is_near):
    return lambda overlaps, min_iou: [
        (i, int(row.argmax())) for i, row in enumerate(overlaps) if is_near(row.max(), min_iou)
    ]


def _best_of_each_object(overlaps, min_iou):
    best = [(int(column.argmax()), j) for j, column in enumerate(overlaps.T) if column.max() > min_iou]
    return sorted(best)


def _without_a_guard(proposals, objects, min_iou):
    if len(objects) == 0:
        raise ValueError("attempt to get argmax of an empty sequence")
    return _pairs_reference(proposals, objects, min_iou)


def _draw_pairs(arguments, answer, expected):
    proposals, objects, min_iou = arguments
    taught = [] if answer is None else [int(row) for row, _ in answer]
    labels = [str(i) for i in range(len(proposals))] + [""] * len(objects)
    styles = ["detection" if i in taught else "fp" for i in range(len(proposals))] + ["truth"] * len(objects)
    return sketch([*proposals, *objects], labels, styles), (
        f"The objects (dotted) and the numbered proposals: solid those in your pairs, dashed the others. "
        f"Asked for, above an IoU of {min_iou:.2f}, are the pairs {expected}."
    )


TRAINING_PAIRS = Exercise(
    name="training_pairs",
    title="Which proposals teach, and whom they belong to",
    notebook="06",
    difficulty=2,
    minutes=15,
    reference=_pairs_reference,
    cases=_pairs_cases,
    same=_same_pairs,
    slips=(
        Slip(
            _wrong_pairs(_nearest_where(lambda best, min_iou: best >= min_iou)),
            "A proposal with *exactly* the smallest IoU does not teach: greater, not greater or equal.",
        ),
        Slip(
            _wrong_pairs(_nearest_where(lambda best, min_iou: True)),
            "You pair every proposal, however far from any object. Leave out those whose best IoU is not above "
            "`min_iou`.",
        ),
        Slip(
            _wrong_pairs(
                lambda overlaps, min_iou: [(int(i), int(j)) for i, j in np.argwhere(overlaps > min_iou)]
            ),
            "A proposal that overlaps two objects appears twice in your pairs. It belongs to one: the object that "
            "it overlaps most.",
        ),
        Slip(
            _wrong_pairs(
                lambda overlaps, min_iou: [
                    (i, int((row > min_iou).argmax()))
                    for i, row in enumerate(overlaps)
                    if row.max() > min_iou
                ]
            ),
            "You take the *first* object above the threshold. A later one may overlap more; take the best.",
        ),
        Slip(
            _wrong_pairs(_best_of_each_object),
            "You keep one proposal for each object. All that lie near enough teach, not only the nearest.",
        ),
        Slip(
            _wrong_pairs(
                lambda overlaps, min_iou: [(j, i) for i, j in _nearest_where(np.greater)(overlaps, min_iou)]
            ),
            "Your pairs are turned round: the proposal's number comes first, then the object's.",
        ),
        Slip(
            lambda proposals, objects, min_iou: bbox_regression.training_pairs(
                proposals, objects, min_iou=min_iou
            ),
            "You return two lists. Asked for is one list of pairs, `(proposal, object)` each.",
        ),
        Slip(
            _without_a_guard,
            "A picture may have no objects. Then there is no best one to look for, and no pair: return an empty "
            "list.",
        ),
    ),
    hints=(
        "Go through the proposals. Each has a row of IoUs, one for each object. Which of them matters?",
        "`row.argmax()` is the number of the object that the proposal overlaps most, `row.max()` is how much.",
        "A pair `(i, row.argmax())` for each row `i` with `row.max() > min_iou`; before that, an empty list if "
        "there are no objects.",
    ),
    draw=_draw_pairs,
)

# --- ridge regression -------------------------------------------------------------------------------------------


def _ridge_reference(features, targets, penalty):
    coef, intercept = bbox_regression.ridge(
        np.asarray(features, np.float32), np.asarray(targets, np.float64), penalty
    )
    return coef.T.astype(np.float64), intercept.astype(np.float64)


def _ridge_cases(rng):
    by_hand = [
        # Centred, -1, 1 and -1, 1: w = 2 / (2 + 2), and the line passes through the means, 2 and 5.
        ([[1], [3]], [[4, 1], [6, 0]], 2.0),
        ([[0], [1], [2]], [[0, 1], [0, 1], [3, 1]], 4.0),
        ([[0, 1], [1, 0], [2, 2]], [[1, 0], [2, 1], [3, 5]], 1.0),
        ([[1, 2]], [[3, 4]], 0.5),  # one row: nothing to learn but the constant
    ]
    cases = [(np.array(x, float), np.array(t, float), penalty) for x, t, penalty in by_hand]
    return cases + [_noisy_plane(rng) for _ in range(20)]


def _noisy_plane(rng):
    """More rows than features or fewer, features that are never negative, and targets with a mean of their own."""
    n_rows, n_features = int(rng.integers(3, 15)), int(rng.integers(1, 7))
    features = rng.uniform(0, 3, (n_rows, n_features)).round(2)
    targets = features @ rng.normal(0, 1, (n_features, 4)) + rng.normal(0, 2, 4)
    targets = (targets + rng.normal(0, 0.3, targets.shape)).round(2)
    return features, targets, round(float(rng.uniform(1.5, 8)), 1)


def _solved(features, targets, penalty):
    """The weights without any constant: ``(X'X + P)^-1 X'T``; `penalty` is a number or a matrix."""
    penalty = penalty * np.eye(features.shape[1]) if np.ndim(penalty) == 0 else penalty
    return np.linalg.solve(features.T @ features + penalty, features.T @ targets)


def _through_the_means(weights, features, targets):
    return weights, targets.mean(axis=0) - features.mean(axis=0) @ weights


def _centred_ridge(penalty_of):
    """Ridge with a free constant, and another penalty: ``penalty_of(penalty, features)``."""

    def wrong(features, targets, penalty):
        centred, centred_targets = features - features.mean(axis=0), targets - targets.mean(axis=0)
        weights = _solved(centred, centred_targets, penalty_of(penalty, features))
        return _through_the_means(weights, features, targets)

    return wrong


def _penalised_constant(features, targets, penalty):
    with_ones = np.column_stack([features, np.ones(len(features))])
    weights = _solved(with_ones, targets, penalty)
    return weights[:-1], weights[-1]


def _features_not_centred(features, targets, penalty):
    return _solved(features, targets - targets.mean(axis=0), penalty), targets.mean(axis=0)


def _draw_ridge(arguments, answer, expected):
    import matplotlib.pyplot as plt

    features, targets, _ = arguments
    fig, ax = plt.subplots(figsize=(6.4, 4.8))
    for (weights, constants), marker, size, label in (
        (expected, "s", 120, "the reference"),
        (answer, "x", 60, "yours"),
    ):
        predicted = features @ np.asarray(weights) + constants
        ax.scatter(targets.ravel(), predicted.ravel(), marker=marker, s=size, label=label)
    reach = [targets.min(), targets.max()]
    ax.plot(reach, reach, color="black", linestyle=":", label="predicted = target")
    ax.set(xlabel="target", ylabel="predicted")
    ax.legend()
    return plots.figure_pixels(fig), (
        "What your weights predict for each row, over its target, beside the reference's predictions."
    )


RIDGE = Exercise(
    name="ridge",
    title="Ridge regression in closed form",
    notebook="06",
    difficulty=3,
    minutes=20,
    reference=_ridge_reference,
    cases=_ridge_cases,
    slips=(
        Slip(
            lambda features, targets, penalty: (
                _solved(features, targets, penalty),
                np.zeros(targets.shape[1]),
            ),
            "Your constants are 0. Then the weights have to bring about the targets' mean, too. Take the means "
            "away from features and targets first; the constants follow from them.",
        ),
        Slip(
            _penalised_constant,
            "You penalise the constant like a weight. (The released code does so, too.) Here it is free: the "
            "penalty is on the weights alone.",
        ),
        Slip(
            lambda features, targets, penalty: (
                _centred_ridge(lambda given, _: given)(features, targets, penalty)[0],
                targets.mean(axis=0),
            ),
            "Your weights are right, the constants are not: they are what the mean of the *features* leaves of "
            "the targets' mean.",
        ),
        Slip(
            _features_not_centred,
            "You take the mean away from the targets, but not from the features.",
        ),
        Slip(
            lambda features, targets, penalty: _through_the_means(
                np.linalg.lstsq(features - features.mean(axis=0), targets - targets.mean(axis=0), rcond=None)[
                    0
                ],
                features,
                targets,
            ),
            "That is plain least squares: the penalty has no part in it.",
        ),
        Slip(
            _centred_ridge(lambda penalty, features: penalty * len(features)),
            "Your penalty grows with the number of rows. In eq. 5 the errors are summed, not averaged, and the "
            "penalty is added once.",
        ),
        Slip(
            _centred_ridge(lambda penalty, _: penalty**2),
            "You square the penalty. Eq. 5 has it as it is; what is squared there is the weights.",
        ),
        Slip(
            _centred_ridge(lambda penalty, features: np.full((features.shape[1],) * 2, penalty)),
            "You add the penalty to every entry of the matrix. It belongs on the diagonal: `penalty * np.eye(D)`.",
        ),
    ),
    hints=(
        "First forget the constant. Setting the gradient of eq. 5 to zero gives "
        "$(X^\\top X + \\lambda I)\\, W = X^\\top T$; `np.linalg.solve` takes it from there.",
        "A free constant means: take the mean of each column away from features and targets, and solve with what "
        "is left.",
        "The fit passes through the means. So the constants are `targets.mean(axis=0) - features.mean(axis=0) @ "
        "weights`.",
    ),
    draw=_draw_ridge,
)

EXERCISES = (REGRESSION_TARGETS, APPLY_REGRESSION, TRAINING_PAIRS, RIDGE)
