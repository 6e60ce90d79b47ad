"""Exercises of notebook 04: what windows show, what goes into a batch, the loss, and a step of training."""

from types import SimpleNamespace

import numpy as np

from rcnn_helpers import finetuning
from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import TOLERANCE, Exercise, Slip, difference
from rcnn_helpers.course.exercises.sketch import sketch

# --- what a window shows ----------------------------------------------------------------------------------------


def _labels_reference(boxes, objects, classes):
    names = tuple(str(number) for number in range(max(classes) + 1))
    truth = SimpleNamespace(boxes=objects, names=tuple(names[c] for c in classes))
    return finetuning.label_windows(boxes, truth, names)


def _labels_cases(rng):
    objects = [[10, 10, 50, 50], [22, 10, 62, 50]]
    by_hand = [
        # notebook 04: a car and a dog; A is half of the car, B covers both, C is a bit less than half of the car
        ([[10, 10, 50, 30], [18, 10, 58, 50], [10, 10, 50, 28]], objects, [0, 1]),
        (objects, objects, [4, 2]),  # the objects themselves
        ([[0, 0, 30, 30], [60, 60, 90, 90]], [[60, 60, 100, 100], [0, 0, 40, 40]], [3, 3]),  # just above half
        ([[0, 0, 100, 100], [200, 200, 240, 240]], [[20, 20, 50, 50]], [1]),  # one too large, one far off
        (
            [[0, 0, 40, 20], [0, 0, 40, 40]],
            [[0, 0, 40, 40], [0, 0, 40, 30]],
            [0, 2],
        ),  # two thirds of the second
    ]
    drawn = [
        tuple(np.array(part, dtype=float) for part in case[:2]) + (np.array(case[2]),) for case in by_hand
    ]
    return drawn + [_windows(rng) for _ in range(20)]


def _windows(rng):
    """Two to four objects that overlap, and windows around them; no window lies equally well on two objects."""
    while True:
        corners = rng.integers(0, 60, size=(rng.integers(2, 5), 2))
        objects = np.hstack([corners, corners + rng.integers(30, 80, size=corners.shape)]).astype(float)
        near = objects[rng.integers(len(objects), size=8)]
        boxes = near + rng.integers(-14, 15, size=near.shape)
        two_best = np.sort(iou(boxes, objects), axis=1)[:, -2:]
        if (np.diff(two_best, axis=1) > 1e-3).all():
            return boxes, objects, rng.permutation(6)[: len(objects)]


def _labelled(boxes, objects, classes, *, enough=lambda best: best >= 0.5, choose=None):
    """The labels, with the rule for what is close enough and the choice of the object to be got wrong."""
    overlaps = iou(boxes, objects)
    chosen = overlaps.argmax(axis=1) if choose is None else choose(overlaps)
    return np.where(enough(overlaps.max(axis=1)), classes[chosen] + 1, 0)


def _last_that_is_near(overlaps):
    return overlaps.shape[1] - 1 - (overlaps >= 0.5)[:, ::-1].argmax(axis=1)


def _one_window_each(boxes, objects, classes):
    overlaps = iou(boxes, objects)
    is_best = np.zeros(len(boxes), dtype=bool)
    is_best[overlaps.argmax(axis=0)] = True
    return np.where(is_best, _labelled(boxes, objects, classes), 0)


def _with_grey_zone(boxes, objects, classes):
    best = iou(boxes, objects).max(axis=1)
    return np.where((best >= 0.3) & (best < 0.5), -1, _labelled(boxes, objects, classes))


def _background_is_minus_one(boxes, objects, classes):
    labels = _labelled(boxes, objects, classes)
    return np.where(labels == 0, -1, labels)


def _number_of_the_object(boxes, objects, classes):
    return _labelled(boxes, objects, np.arange(len(objects)))


def _without_the_one(boxes, objects, classes):
    return np.where(_labelled(boxes, objects, classes) > 0, _labelled(boxes, objects, classes) - 1, 0)


def _draw_labels(arguments, answer, expected):
    boxes, objects, classes = arguments
    wrong = int(np.flatnonzero(np.asarray(answer) != expected)[0])
    labels = [f"yours {answer[wrong]}, right {expected[wrong]}"] + [f"class {c}" for c in classes]
    picture = sketch([boxes[wrong], *objects], labels, ["fp"] + ["truth"] * len(objects))
    overlaps = ", ".join(f"{value:.2f}" for value in iou(boxes[[wrong]], objects)[0])
    return picture, (
        f"Window {wrong}, dashed, and the objects, dotted. Its IoU with each is {overlaps}; your label is "
        f"{answer[wrong]}, the reference's {expected[wrong]}."
    )


WINDOW_LABELS = Exercise(
    name="window_labels",
    title="What a window shows",
    notebook="04",
    difficulty=1,
    minutes=10,
    reference=_labels_reference,
    cases=_labels_cases,
    slips=(
        Slip(
            lambda *given: _labelled(*given, enough=lambda best: best > 0.5),
            "A window with an IoU of exactly 0.5 is background in your version. The paper says *at least* 0.5.",
        ),
        Slip(
            lambda *given: _labelled(*given, enough=lambda best: best >= 0.3),
            "You take 0.3 for the limit. That is where the *SVMs'* negatives begin; fine-tuning divides at 0.5.",
        ),
        Slip(
            _with_grey_zone,
            "You ignore what lies between 0.3 and 0.5. The SVMs do; for fine-tuning all below 0.5 is background.",
        ),
        Slip(
            lambda *given: _labelled(*given, enough=lambda best: best >= 1 - 1e-6),
            "Only the true boxes themselves are positives in your version. Those are the SVMs' positives; for "
            "fine-tuning every window that lies well enough on an object is one.",
        ),
        Slip(
            lambda *given: _labelled(*given, choose=lambda overlaps: (overlaps >= 0.5).argmax(axis=1)),
            "Where a window lies on two objects you take the first. Take the one that it overlaps *most*.",
        ),
        Slip(
            lambda *given: _labelled(*given, choose=_last_that_is_near),
            "Where a window lies on two objects, the last one decides in your version. It must be the one that "
            "the window overlaps *most*.",
        ),
        Slip(
            _without_the_one,
            "Your labels are one too small: class 0 and background both have a 0. Background is 0, so class `c` "
            "must be `c + 1`.",
        ),
        Slip(
            _number_of_the_object,
            "You return which *object* it is. Asked for is the object's class: `classes` tells it.",
        ),
        Slip(
            _background_is_minus_one,
            "Your background is -1. Here it is a class of the network like any other, and has the number 0.",
        ),
        Slip(
            _one_window_each,
            "Each object has only one window in your version, the best. *All* that reach 0.5 are positives; it is "
            "their number that fine-tuning needs.",
        ),
    ),
    hints=(
        "Two questions for each window: which object does it overlap most, and is that overlap enough?",
        "`overlaps.argmax(axis=1)` is the object that each window overlaps most, and `overlaps.max(axis=1)` by "
        "how much. `classes[...]` turns objects into classes.",
        "Begin with `labels = classes[overlaps.argmax(axis=1)] + 1`, then set to 0 what lies below 0.5.",
    ),
    draw=_draw_labels,
)

# --- what goes into a batch -------------------------------------------------------------------------------------


class _Given:
    """Stands in for a random generator: hands out places according to numbers drawn before."""

    def __init__(self, draws):
        self.draws = list(draws)

    def integers(self, n, size):
        mine, self.draws = self.draws[:size], self.draws[size:]
        return np.floor(np.array(mine) * n).astype(np.int64)


def _batch_reference(labels, draws, n_positive):
    labels = np.asarray(labels)
    windows = SimpleNamespace(positives=np.flatnonzero(labels > 0), background=np.flatnonzero(labels == 0))
    return finetuning.TrainingWindows.draw(windows, len(draws), n_positive, _Given(draws))


def _batch_cases(rng):
    by_hand = [
        (
            [0, 3, 0, 0, 1, 0, 0],
            [0.9, 0.1, 0.0, 0.45, 0.99, 0.99],
            2,
        ),  # notebook 04; the last one comes twice
        ([0, 3, 0, 0, 1, 0, 0], [0.2, 0.7, 0.3, 0.65, 0.85, 0.5], 3),
        ([0, -1, 2, -1, 0, 5, 0], [0.7, 0.5, 0.5, 0.0], 1),  # ignored ones, as the SVMs have
        ([4, 0], [0.3, 0.9, 0.6, 0.1], 2),  # one of each kind, again and again
    ]
    cases = by_hand + [_labels_and_draws(rng) for _ in range(20)]
    return [(np.array(labels), np.array(draws), n_positive) for labels, draws, n_positive in cases]


def _labels_and_draws(rng):
    labels = rng.choice([0, 0, 0, -1, 1, 2, 3], size=rng.integers(8, 20))
    labels[:2] = 0, 1  # at least one of each kind
    n = int(rng.integers(4, 10))
    return rng.permutation(labels), rng.integers(1, 200, size=n) / 200.3, int(rng.integers(1, n))


def _chosen(labels, draws, n_positive, *, is_positive=None, is_background=None, place=np.floor):
    """A batch, with the two kinds or the choice among them to be got wrong."""
    positives = np.flatnonzero(labels > 0 if is_positive is None else is_positive(labels))
    background = np.flatnonzero(labels == 0 if is_background is None else is_background(labels))
    kinds = [positives] * n_positive + [background] * (len(draws) - n_positive)
    places = [int(place(u * len(kind))) for u, kind in zip(draws, kinds, strict=True)]
    return np.array([kind[where] for kind, where in zip(kinds, places, strict=True)])


def _labels_of_the_batch(labels, draws, n_positive):
    return labels[_chosen(labels, draws, n_positive)]


def _places_in_the_lists(labels, draws, n_positive):
    sizes = np.where(np.arange(len(draws)) < n_positive, (labels > 0).sum(), (labels == 0).sum())
    return np.floor(draws * sizes).astype(int)


def _drawn_from_all(labels, draws, n_positive):
    return np.floor(draws * len(labels)).astype(int)


def _background_first(labels, draws, n_positive):
    n = len(draws) - n_positive
    return _chosen(labels, draws, n, is_positive=lambda each: each == 0, is_background=lambda each: each > 0)


BATCH_WINDOWS = Exercise(
    name="batch_windows",
    title="What goes into a batch",
    notebook="04",
    difficulty=2,
    minutes=15,
    reference=_batch_reference,
    cases=_batch_cases,
    slips=(
        Slip(
            _drawn_from_all,
            "You draw from all windows alike. So few are positives that a batch would hold hardly any: draw "
            "`n_positive` from the positives and the others from the background.",
        ),
        Slip(
            lambda *given: _chosen(*given, is_background=lambda labels: labels <= 0),
            "Windows with the label -1 are in your background. They are not used at all.",
        ),
        Slip(
            lambda *given: _chosen(*given, is_positive=lambda labels: labels != 0),
            "Windows with the label -1 are among your positives. Only labels above 0 are.",
        ),
        Slip(
            lambda *given: _chosen(*given, is_positive=lambda labels: labels == 1),
            "You take the windows of class 1 for *the* positives. Every label above 0 is one.",
        ),
        Slip(
            _background_first,
            "The background comes first in your batch. The first `n_positive` draws are for the positives.",
        ),
        Slip(
            _places_in_the_lists,
            "You return places in the list of positives and in that of the background. Asked for are places in "
            "`labels`: look them up in the lists.",
        ),
        Slip(
            _labels_of_the_batch,
            "You return the labels of the windows. Asked for are their places in `labels`.",
        ),
        Slip(
            lambda *given: _chosen(*given, place=np.rint),
            "You round to the nearest place. A draw near 1 then lies behind the end of the list: round *down*.",
        ),
    ),
    hints=(
        "Make two lists of places first: those with a label above 0, and those with the label 0.",
        "`np.flatnonzero(labels > 0)` is the first list. A draw `u` picks from a list of `n` the entry "
        "`int(u * n)`.",
        "`positives[(draws[:n_positive] * len(positives)).astype(int)]`, the same for the background with the "
        "other draws, and `np.concatenate` of the two.",
    ),
)

# --- the loss ---------------------------------------------------------------------------------------------------


def _loss_reference(scores, label):
    import torch
    from torch.nn import functional as F

    scores = torch.tensor(np.asarray(scores), dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(scores[None], torch.tensor([label]))
    loss.backward()
    return float(loss.detach()), scores.grad.numpy()


def _loss_cases(rng):
    by_hand = [
        ([0.0, 0.0, 0.0], 0),  # knows nothing: ln 3
        ([2.0, 0.0, 0.0], 0),
        ([0.0, 2.0, 0.0], 0),
        ([1000.0, 0.0], 1),  # sure and wrong; the exponential of 1000 is more than a computer can hold
        ([1000.0, 1000.0], 0),
        ([-1000.0, -1000.0], 1),  # all powers become 0
        ([0.0, -3000.0], 1),  # too far apart for any number but the highest score to be subtracted
    ]
    random = [(rng.normal(0, 2, size=n).round(2), int(rng.integers(n))) for n in rng.integers(2, 7, size=20)]
    return [(np.array(scores), label) for scores, label in by_hand] + random


def _shares(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _one_hot(scores, label):
    return (np.arange(len(scores)) == label).astype(float)


def _loss(scores, label, *, log=np.log, gradient=lambda shares, truth: shares - truth):
    shifted = scores - scores.max()
    value = (np.log(np.exp(shifted).sum()) - shifted[label]) * (log(2) / np.log(2))
    return value, gradient(_shares(scores), _one_hot(scores, label))


def _overflowing(scores, label):
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares = np.exp(scores) / np.exp(scores).sum()
        return -np.log(shares[label]), shares - _one_hot(scores, label)


def _log_of_a_vanished_share(scores, label):
    shares = _shares(scores)
    with np.errstate(divide="ignore"):
        return -np.log(shares[label]), shares - _one_hot(scores, label)


def _squared(scores, label):
    error = _shares(scores) - _one_hot(scores, label)
    return (error**2).sum(), error


SOFTMAX_LOSS = Exercise(
    name="softmax_loss",
    title="The loss, and which way it pulls",
    notebook="04",
    difficulty=2,
    minutes=15,
    reference=_loss_reference,
    cases=_loss_cases,
    slips=(
        Slip(
            _overflowing,
            "It overflows where a score is large: $e^{1000}$ is more than a computer can hold. Subtract the "
            "highest score from all first; the shares stay the same.",
        ),
        Slip(
            _log_of_a_vanished_share,
            "Your shares are right, but a very small one becomes 0, and 0 has no logarithm. Take the logarithm of "
            "the fraction on paper first: that of a power is its exponent.",
        ),
        Slip(
            lambda scores, label: (-_loss(scores, label)[0], _loss(scores, label)[1]),
            "Your loss is negative. The logarithm of a share is, so the loss needs the minus sign.",
        ),
        Slip(
            lambda *given: _loss(*given, gradient=lambda shares, truth: truth - shares),
            "Your gradient points the wrong way: it is the direction in which the loss *falls*. The gradient "
            "points to where it rises: shares minus truth.",
        ),
        Slip(
            lambda *given: _loss(*given, gradient=lambda shares, truth: shares),
            "Your gradient lacks the truth: subtract 1 at the right class. Otherwise even a perfect answer is "
            "pushed.",
        ),
        Slip(
            lambda *given: _loss(*given, gradient=lambda shares, truth: (shares - truth) * truth),
            "Only the right class is pushed in your version. The others are, too, each by its own share.",
        ),
        Slip(
            lambda *given: _loss(*given, log=np.log2),
            "You take the logarithm to base 2. It is the natural one, `np.log`.",
        ),
        Slip(
            _squared,
            "That is the squared error. The loss here is minus the logarithm of the right class's share.",
        ),
        Slip(
            lambda scores, label: (1 - _shares(scores)[label], _loss(scores, label)[1]),
            "You take 1 minus the share. Take minus its *logarithm*: a share near 0 must cost far more than 1.",
        ),
    ),
    hints=(
        "First the shares: subtract the highest score, then `np.exp`, then divide by the sum.",
        "The loss is `-np.log(shares[label])`. Where that share is so small that it becomes 0, use the "
        "logarithm's rule instead: `np.log(powers.sum()) - shifted[label]`.",
        "The gradient is a copy of the shares, with 1 subtracted at `label`.",
    ),
)

# --- one step of training ---------------------------------------------------------------------------------------


def _step_reference(w, gradient, v, rate, momentum, decay):
    """One step of `torch.optim.SGD`, which keeps v divided by minus the rate."""
    import torch

    weights = torch.nn.Parameter(torch.tensor(np.asarray(w), dtype=torch.float64))
    weights.grad = torch.tensor(np.asarray(gradient), dtype=torch.float64)
    optimizer = torch.optim.SGD([weights], lr=rate, momentum=momentum, weight_decay=decay)
    optimizer.state[weights]["momentum_buffer"] = torch.tensor(-np.asarray(v) / rate, dtype=torch.float64)
    optimizer.step()
    velocity = -rate * optimizer.state[weights]["momentum_buffer"]
    return weights.detach().numpy(), velocity.numpy()


def _step_cases(rng):
    by_hand = [
        ([2.0], [1.0], [0.0], 0.1, 0.9, 0.0),  # from rest: 2 - 0.1
        ([2.0], [1.0], [-0.1], 0.1, 0.9, 0.0),  # already moving: 2 - 0.09 - 0.1
        ([2.0], [0.0], [0.0], 0.1, 0.9, 0.5),  # no slope, only decay
        ([2.0, -1.0], [1.0, -4.0], [-0.1, 0.2], 0.1, 0.9, 0.5),
    ]
    cases = by_hand + [_random_step(rng) for _ in range(20)]
    return [(*(np.array(part) for part in case[:3]), *case[3:]) for case in cases]


def _random_step(rng):
    arrays = rng.normal(size=(3, int(rng.integers(1, 5)))).round(2)
    rate, momentum, decay = rng.choice([0.5, 0.1, 0.02]), rng.choice([0.9, 0.5]), rng.choice([0.5, 0.1])
    return *arrays, float(rate), float(momentum), float(decay)


def _moved(w, gradient, v, rate, momentum, decay, *, pull=None, old=None):
    """A step, with the pull or what is kept of the old motion to be got wrong."""
    pull = gradient + decay * w if pull is None else pull(w, gradient, decay)
    kept = momentum * v if old is None else old(v, momentum)
    v = kept - rate * pull
    return w + v, v


def _decay_outside_the_rate(w, gradient, v, rate, momentum, decay):
    v = momentum * v - rate * gradient - decay * w
    return w + v, v


def _average_of_gradients(w, gradient, v, rate, momentum, decay):
    v = momentum * v - (1 - momentum) * rate * (gradient + decay * w)
    return w + v, v


def _uphill(w, gradient, v, rate, momentum, decay):
    v = momentum * v + rate * (gradient + decay * w)
    return w + v, v


def _with_the_old_motion(w, gradient, v, rate, momentum, decay):
    return w + v, _moved(w, gradient, v, rate, momentum, decay)[1]


SGD_STEP = Exercise(
    name="sgd_step",
    title="One step of training",
    notebook="04",
    difficulty=2,
    minutes=10,
    reference=_step_reference,
    cases=_step_cases,
    slips=(
        Slip(
            lambda *given: _moved(*given, pull=lambda w, gradient, decay: gradient),
            "Nothing decays in your version: the pull is the gradient *plus* `decay * w`.",
        ),
        Slip(
            lambda *given: _moved(*given, pull=lambda w, gradient, decay: gradient - decay * w),
            "Your weights grow where they should decay. `decay * w` has the sign of the gradient: both are "
            "followed *downhill*.",
        ),
        Slip(
            lambda *given: _moved(*given, old=lambda v, momentum: 0 * v),
            "Your step forgets the motion so far. Keep `momentum * v` of it.",
        ),
        Slip(
            lambda *given: _moved(*given, old=lambda v, momentum: v),
            "You keep the whole old motion. Without friction it never comes to rest: keep `momentum * v`.",
        ),
        Slip(
            _decay_outside_the_rate,
            "Your decay does not depend on the learning rate. The rate multiplies the gradient *and* the decay.",
        ),
        Slip(
            _uphill,
            "You go uphill: the gradient points to where the loss rises. Subtract it.",
        ),
        Slip(
            _with_the_old_motion,
            "You move the weights by the *old* `v`. First find the new one, then add that.",
        ),
        Slip(
            _average_of_gradients,
            "You count the new pull with `1 - momentum`. In this rule it counts in full.",
        ),
    ),
    hints=(
        "Two lines: first the new `v` from the old one, then the new `w` from the old one and the new `v`.",
        "The pull is `gradient + decay * w`, and `v` loses `rate` times the pull.",
        "`v = momentum * v - rate * (gradient + decay * w)`, and return `w + v, v`. Not `w += v`: that would "
        "change what you were given.",
    ),
)

# --- how fast which parameter learns ----------------------------------------------------------------------------


def _rate_reference(step, is_new, is_bias, lr, drop_every):
    import torch

    settings = finetuning.FinetuneSettings(lr=lr, lr_drop_every=drop_every)
    two_layers = torch.nn.ModuleDict({"fc7": torch.nn.Linear(1, 1), "classifier": torch.nn.Linear(1, 1)})
    wanted = two_layers["classifier" if is_new else "fc7"]
    wanted = wanted.bias if is_bias else wanted.weight
    [group] = [
        group
        for group in finetuning.parameter_groups(two_layers, settings)
        if any(parameter is wanted for parameter in group["params"])
    ]
    return finetuning.learning_rate(step, settings) * group["multiplier"]


def _rate_cases(rng):
    by_hand = [
        (0, False, False, 0.001, 20_000),
        (0, True, False, 0.001, 20_000),
        (0, False, True, 0.001, 20_000),
        (0, True, True, 0.001, 20_000),
        (19_999, True, False, 0.001, 20_000),
        (20_000, True, False, 0.001, 20_000),  # the first step of the second part
        (60_001, True, True, 0.001, 20_000),
    ]
    return by_hand + [
        (
            int(rng.integers(0, 300)),
            bool(rng.integers(2)),
            bool(rng.integers(2)),
            float(rng.choice([0.001, 0.01, 0.03])),
            int(rng.choice([50, 100, 150])),
        )
        for _ in range(20)
    ]


def _same_rate(answer, expected):
    """As for any number, but however small it is, only a small *share* of it may be missing."""
    problem = difference(answer, expected)
    if problem and np.ndim(answer) > 0:
        return problem
    if abs(float(answer) - expected) <= TOLERANCE * abs(expected):
        return None
    return f"it gives `{float(answer):.4g}`, expected is `{expected:.4g}`."


def _rate(step, is_new, is_bias, lr, drop_every, *, drops=None, factor=None):
    n_drops = step // drop_every if drops is None else drops(step, drop_every)
    faster = (10 if is_new else 1) * (2 if is_bias else 1) if factor is None else factor(is_new, is_bias)
    return lr * 0.1**n_drops * faster


LEARNING_RATE_OF = Exercise(
    name="learning_rate_of",
    title="How fast which parameter learns",
    notebook="04",
    difficulty=1,
    minutes=10,
    reference=_rate_reference,
    cases=_rate_cases,
    same=_same_rate,
    slips=(
        Slip(
            lambda *given: _rate(*given, drops=lambda step, every: step / every),
            "Your rate falls a little with every step. It falls at once, by a factor of ten, when `drop_every` "
            "steps have passed: divide with `//`.",
        ),
        Slip(
            lambda *given: _rate(*given, drops=lambda step, every: max(step - 1, 0) // every),
            "Your rate falls one step too late. Steps count from 0: when step `drop_every` begins, so many have "
            "passed.",
        ),
        Slip(
            lambda *given: _rate(*given, drops=lambda step, every: (step + 1) // every),
            "Your rate falls one step too early. Steps count from 0, so `drop_every` steps have passed only when "
            "step `drop_every` begins.",
        ),
        Slip(
            lambda *given: _rate(*given, drops=lambda step, every: min(step // every, 1)),
            "Your rate falls only once. It falls again after each `drop_every` steps.",
        ),
        Slip(
            lambda *given: _rate(*given, drops=lambda step, every: 0),
            "Your rate never falls.",
        ),
        Slip(
            lambda *given: _rate(*given, factor=lambda new, bias: 10 if new else 2 if bias else 1),
            "The biases of the new layer have both factors: 10 times 2.",
        ),
        Slip(
            lambda *given: _rate(
                *given, factor=lambda new, bias: 12 if new and bias else 10 if new else 1 + bias
            ),
            "You add the two factors where a bias of the new layer has both. They multiply: 20, not 12.",
        ),
        Slip(
            lambda *given: _rate(*given, factor=lambda new, bias: (0.1 if new else 1) * (2 if bias else 1)),
            "Your new layer learns ten times *slower*. It knows nothing yet, so it may learn ten times faster; it "
            "is the old layers that must be spared.",
        ),
        Slip(
            lambda *given: _rate(*given, factor=lambda new, bias: 1),
            "All parameters learn alike in your version. Biases learn twice as fast, the new layer ten times.",
        ),
    ),
    hints=(
        "How often has the rate fallen by now? And which factors does this parameter have?",
        "`step // drop_every` counts the falls; each multiplies the rate by 0.1.",
        "`lr * 0.1 ** (step // drop_every)`, times 10 if `is_new`, times 2 if `is_bias`.",
    ),
)

EXERCISES = (WINDOW_LABELS, BATCH_WINDOWS, SOFTMAX_LOSS, LEARNING_RATE_OF, SGD_STEP)
