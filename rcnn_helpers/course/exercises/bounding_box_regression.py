"""Exercises of notebook 06: the targets of a box, their inverse."""

import numpy as np

from rcnn_helpers import bbox_regression
from rcnn_helpers.course.exercises.engine import Exercise, Slip
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

EXERCISES = (REGRESSION_TARGETS, APPLY_REGRESSION)
