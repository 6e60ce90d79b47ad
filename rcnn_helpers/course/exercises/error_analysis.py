"""Exercises of notebook 08: the type of a false positive, what a type costs, normalised AP, bins of size."""

import numpy as np

from rcnn_helpers import evaluation
from rcnn_helpers.boxes import iou
from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.course.exercises.sketch import sketch
from rcnn_helpers.diagnosis import SimilarClasses, diagnose, impact
from rcnn_helpers.diagnosis.normalized import normalized_ap
from rcnn_helpers.diagnosis.sensitivity import five_bins

# --- the type of a false positive -------------------------------------------------------------------------------


def _truth(image_ids, classes, image_index, names, boxes):
    """Objects as `diagnose` takes them, none of them difficult."""
    n = len(names)
    return evaluation.GroundTruth(
        image_ids=tuple(image_ids),
        classes=tuple(classes),
        image_index=np.asarray(image_index, np.int32).reshape(n),
        class_index=np.array([classes.index(name) for name in names], np.int32),
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        difficult=np.zeros(n, bool),
        object_index=np.arange(n, dtype=np.int32),
    )


def _type_reference(box, name, objects, names, similar):
    """The last type of a diagnosis in which a better detection has found each object of the class."""
    classes = tuple(dict.fromkeys([name, *names, *similar]))
    truth = _truth(["picture"], classes, [0] * len(names), names, objects)
    finders = [other for other, its_name in zip(objects, names, strict=True) if its_name == name]
    boxes = [*finders, box]
    n = len(boxes)
    scores = np.arange(n, 0, -1)
    found = evaluation.Detections(
        ("picture",), classes, [0] * n, [0] * n, scores, np.asarray(boxes, np.float32)
    )
    alike = SimilarClasses.from_sets(classes, [(name, other) for other in similar])
    return str(diagnose(found, truth, similar=alike).fp_type[-1])


_HORSE, _DOG, _TABLE = [10, 10, 50, 50], [50, 10, 90, 50], [120, 10, 160, 50]  # the picture of the notebook


def _type_cases(rng):
    scene = ([_HORSE, _DOG, _TABLE], ["horse", "dog", "table"], ["cat", "dog"])
    wide, flat = [0, 0, 10, 10], [0, 0, 10, 1]  # their IoU is exactly 0.1
    by_hand = [
        ([10, 10, 50, 40], "horse", *scene),
        ([60, 10, 100, 50], "horse", *scene),
        ([40, 10, 90, 50], "horse", *scene),  # 0.125 with the horse, 0.8 with the dog
        ([130, 20, 150, 40], "horse", *scene),
        ([170, 10, 200, 40], "horse", *scene),
        (flat, "cat", [wide], ["cat"], ["dog"]),
        (flat, "cat", [wide], ["dog"], ["dog"]),
        (flat, "cat", [wide], ["table"], ["dog"]),
        ([0, 0, 10, 20], "cat", [[0, 16, 10, 36], [0, 0, 10, 18]], ["dog", "table"], ["dog"]),
        ([0, 0, 20, 20], "cat", [[0, 0, 20, 20]], ["table"], []),
        ([0, 0, 40, 40], "cat", [[0, 0, 10, 10]], ["cat"], []),  # all of the object, and an IoU of 1/16
        ([0, 0, 10, 10], "cat", [[0, 0, 40, 40]], ["dog"], ["dog"]),
        ([0, 0, 20, 20], "cat", [], [], ["dog"]),
    ]
    return by_hand + [_type_scene(rng) for _ in range(24)]


def _type_scene(rng):
    """A box beside some objects of a few classes; no overlap is near the limit."""
    pool = ["cat", "dog", "horse", "table", "lamp"]
    n = int(rng.integers(1, 5))
    corners = rng.integers(0, 40, size=(n, 2))
    objects = np.concatenate([corners, corners + rng.integers(12, 30, size=(n, 2))], axis=1)
    box = objects[rng.integers(0, n)] + rng.integers(-9, 10, size=4)
    box[2:] = np.maximum(box[2:], box[:2] + 4)
    if rng.random() < 0.3:  # somewhere else
        box[[0, 2]] += 30
    overlaps = iou([box], objects)[0]
    if (np.abs(overlaps - 0.1) < 1e-3).any() or len(np.unique(overlaps)) < n:
        return _type_scene(rng)
    names = [pool[i] for i in rng.integers(0, len(pool), size=n)]
    return box.tolist(), "cat", objects.tolist(), names, pool[1 : int(rng.integers(1, 4))]


_IN_ORDER = ("Loc", "Sim", "Oth")


def _kind_of(other, name, similar):
    """The type that an overlap with class `other` gives a false positive of class `name`."""
    return "Loc" if other == name else "Sim" if other in similar else "Oth"


def _type_by_rule(
    box, name, objects, names, similar, *, fits=lambda kind, overlap: overlap >= 0.1, order=_IN_ORDER
):
    """The rule, with parts to be got wrong: which overlaps count, and which type comes first."""
    there = {
        kind
        for other, overlap in zip(names, iou([box], objects)[0] if objects else [], strict=True)
        if fits(kind := _kind_of(other, name, similar), overlap)
    }
    return next((kind for kind in order if kind in there), "BG")


def _type_of_nearest(box, name, objects, names, similar):
    if not objects:
        return "BG"
    overlaps = iou([box], objects)[0]
    nearest = int(overlaps.argmax())
    return _kind_of(names[nearest], name, similar) if overlaps[nearest] >= 0.1 else "BG"


def _draw_type(arguments, answer, expected):
    box, name, objects, names, _ = arguments
    overlaps = iou([box], objects)[0] if objects else []
    labels = [f"{name}?", *(f"{n} {o:.2f}" for n, o in zip(names, overlaps, strict=True))]
    told = ", ".join(labels[1:]) or "no object"
    return sketch([box, *objects], labels, ["fp", *["truth"] * len(objects)]), (
        f"A false {name} (dashed) and the objects (dotted) with their IoU: {told}. "
        f"Yours: {answer}. The reference: {expected}."
    )


FALSE_POSITIVE_TYPE = Exercise(
    name="false_positive_type",
    title="Four kinds of mistake",
    notebook="08",
    difficulty=1,
    minutes=10,
    reference=_type_reference,
    cases=_type_cases,
    slips=(
        Slip(
            _type_of_nearest,
            "You ask the object that the box overlaps **most**. The rules are asked in their order: if *any* "
            "object of the class itself is near, the type is `Loc`, even where another object is nearer.",
        ),
        Slip(
            lambda *case: _type_by_rule(*case, fits=lambda kind, overlap: overlap > 0.1),
            "An IoU of exactly 0.1 is too little in your version; it is the least that counts.",
        ),
        Slip(
            lambda *case: _type_by_rule(
                *case, fits=lambda kind, overlap: 0.1 <= overlap < (0.5 if kind == "Loc" else 2)
            ),
            "A box that overlaps its own class by 0.5 or more is none of your `Loc`. It is a false positive "
            "because that object had been found before: a duplicate, and duplicates are `Loc`, too.",
        ),
        Slip(
            lambda *case: _type_by_rule(
                *case, fits=lambda kind, overlap: overlap >= (0.1 if kind == "Loc" else 0.5)
            ),
            "You ask for an IoU of 0.5 with objects of other classes. 0.1 is enough for these as well.",
        ),
        Slip(
            lambda *case: _type_by_rule(*case, order=("Sim", "Loc", "Oth")),
            "You ask for similar classes first. The class itself comes before them.",
        ),
        Slip(
            lambda box, name, objects, names, similar: _type_by_rule(box, name, objects, names, []),
            "Nothing is ever `Sim` in your version. An object counts as similar if its name is in `similar`.",
        ),
        Slip(
            lambda *case: _type_by_rule(*case, order=("Loc", "Sim")),
            "You call boxes on objects of other classes background. They are `Oth`; `BG` is what is left when no "
            "object at all is near.",
        ),
    ),
    hints=(
        "Collect the names of all objects that the box overlaps by 0.1 or more. After that no number is needed.",
        "Three questions in this order: is `name` among them? Is one of `similar` among them? Is anything?",
        "`near = [n for n, o in zip(names, objects) if iou([box], [o])[0, 0] >= 0.1]`, then "
        "`if name in near: return 'Loc'`, and so on.",
    ),
    draw=_draw_type,
)

# --- what a type costs ------------------------------------------------------------------------------------------

_SIDE = 10


def _gain_reference(outcomes, n_objects, kind):
    """`impact` on pictures made for the purpose: one a detection, with whatever makes it what it is."""
    classes = ("wanted", "similar", "other")
    whole, shifted = [0, 0, _SIDE, _SIDE], [6, 0, 6 + _SIDE, _SIDE]  # IoU 40 / 160
    picture_ids = [f"{i}" for i in range(len(outcomes) + n_objects)]
    n_right = outcomes.count("tp")
    unfound = range(len(outcomes), len(outcomes) + n_objects - n_right)
    right = [i for i, outcome in enumerate(outcomes) if outcome == "tp"]
    loose_at = unfound[0] if unfound else right[0]
    places, boxes = [], []
    objects = [(i, "wanted", whole) for i in (*right, *unfound)]
    for i, outcome in enumerate(outcomes):
        places.append(loose_at if outcome == "Loc" else i)
        boxes.append(shifted if outcome == "Loc" else whole)
        if outcome in ("Sim", "Oth"):
            objects.append((i, "similar" if outcome == "Sim" else "other", whole))
    order = sorted(range(len(objects)), key=lambda i: objects[i][0])
    truth = _truth(
        picture_ids,
        classes,
        [objects[i][0] for i in order],
        [objects[i][1] for i in order],
        [objects[i][2] for i in order],
    )
    n = len(outcomes)
    found = evaluation.Detections(picture_ids, classes, places, [0] * n, np.arange(n, 0, -1), boxes)
    alike = SimilarClasses.from_sets(classes, [("wanted", "similar")])
    worth = impact(diagnose(found, truth, similar=alike)).loc["wanted"]
    return float(worth[f"{kind} removed"] - worth["AP"])


_KINDS = ("Loc", "Sim", "Oth", "BG")


def _gain_cases(rng):
    by_hand = [
        (["tp", "BG", "Loc", "tp"], 2, "BG"),
        (["tp", "BG", "Loc", "tp"], 2, "Loc"),
        (["tp", "BG", "Loc", "tp"], 2, "Sim"),  # there is none
        (["tp", "tp", "BG", "BG"], 2, "BG"),  # all behind the last right one
        (["Loc", "Loc", "tp"], 3, "Loc"),
        (["BG", "Loc"], 1, "BG"),
        ([], 4, "BG"),
    ]
    return by_hand + [_ranking(rng) for _ in range(20)]


def _ranking(rng):
    """Outcomes by rank of a class whose recalls meet no tenth but 0, 1/2 and 1, and a kind to remove."""
    n_objects = int(rng.choice([3, 4, 6, 7, 8, 9, 11, 12, 13]))
    shares = rng.dirichlet(np.ones(5))
    outcomes = rng.choice(["tp", *_KINDS], size=int(rng.integers(3, 30)), p=shares).tolist()
    right = [i for i, outcome in enumerate(outcomes) if outcome == "tp"]
    for i in right[n_objects:]:  # more cannot be found than there are
        outcomes[i] = "BG"
    wrong = [outcome for outcome in outcomes if outcome != "tp"]
    return outcomes, n_objects, str(rng.choice(wrong or _KINDS))


def _ap(right, n_objects, ranks=None):
    """11-point AP of a ranking of right and wrong detections."""
    right = np.asarray(right, bool)
    ranks = np.arange(1, len(right) + 1) if ranks is None else np.asarray(ranks)
    found = np.cumsum(right)
    return evaluation.average_precision(found / n_objects, found / ranks)


def _gain(outcomes, n_objects, kind, *, kept=None, right=lambda outcome: outcome == "tp", of=None):
    """The gain, with parts to be got wrong: which detections are kept, which count as right, recall of what."""
    n_objects = n_objects if of is None else of(outcomes)
    kept = (lambda outcome: outcome != kind) if kept is None else kept
    before = _ap([outcome == "tp" for outcome in outcomes], n_objects)
    return _ap([right(outcome) for outcome in outcomes if kept(outcome)], n_objects) - before


def _gain_with_old_ranks(outcomes, n_objects, kind):
    kept = [i for i, outcome in enumerate(outcomes) if outcome != kind]
    before = _ap([outcome == "tp" for outcome in outcomes], n_objects)
    return _ap([outcomes[i] == "tp" for i in kept], n_objects, [i + 1 for i in kept]) - before


GAIN_WITHOUT = Exercise(
    name="gain_without",
    title="What a kind of mistake costs",
    notebook="08",
    difficulty=2,
    minutes=15,
    reference=_gain_reference,
    cases=_gain_cases,
    slips=(
        Slip(
            lambda outcomes, n, kind: _ap([o == "tp" for o in outcomes if o != kind], n),
            "That is the AP after the removal. Asked for is the **gain**: take the AP before it away.",
        ),
        Slip(
            lambda outcomes, n, kind: -_gain(outcomes, n, kind),
            "Your gain has the wrong sign: AP *without* the kind, minus AP *with* it. Removing a mistake never "
            "hurts.",
        ),
        Slip(
            _gain_with_old_ranks,
            "You leave the kind out of the curve, but its detections still count in the precision. When a "
            "detection is gone, all behind it move up one rank.",
        ),
        Slip(
            lambda outcomes, n, kind: _gain(
                outcomes, n, kind, kept=lambda outcome: True, right=lambda outcome: outcome in ("tp", kind)
            ),
            "You turn the mistakes into right detections. Here they are taken out of the list; nothing more is "
            "found than before.",
        ),
        Slip(
            lambda outcomes, n, kind: _gain(outcomes, n, kind, kept=lambda outcome: outcome in ("tp", kind)),
            "You keep this kind and remove all others. It should be the other way round.",
        ),
        Slip(
            lambda outcomes, n, kind: _gain(
                outcomes, n, kind, of=lambda outcomes: max(outcomes.count("tp"), 1)
            ),
            "Your recall is a share of the objects that were found. It is the share of **all** objects: divide by "
            "`n_objects`.",
        ),
    ),
    hints=(
        "Two lists, the whole one and the one without `kind`. The same few lines turn either into an AP.",
        "For a list: `right = np.array([o == 'tp' for o in outcomes])`, `found = np.cumsum(right)`. Recall is "
        "`found / n_objects`, precision `found / np.arange(1, len(right) + 1)`.",
        "Write a helper `ap(outcomes)` inside the function, and return `ap([o for o in outcomes if o != kind]) - "
        "ap(outcomes)`.",
    ),
)

# --- normalised average precision -------------------------------------------------------------------------------


def _normalized_reference(right, n_objects, normal):
    outcomes = ["tp" if each else "fp" for each in right]
    return normalized_ap(outcomes, n_positives=n_objects, normalisation=normal).ap


def _normalized_cases(rng):
    by_hand = [
        ([True, False, True], 4, 100),
        ([True, False, True], 4, 4),  # plain precision
        ([True, True], 2, 50),
        ([False, True, True, True], 4, 100),  # rises with the recall
        ([True, False, False, True, False], 10, 15),
        ([False, False], 3, 15),
        ([], 3, 15),
    ]
    return by_hand + [_flags(rng) for _ in range(20)]


def _flags(rng):
    right = (rng.random(int(rng.integers(2, 30))) < rng.uniform(0.1, 0.9)).tolist()
    return right, sum(right) + int(rng.integers(1, 12)), int(rng.integers(10, 200))


def _normalized(right, n_objects, normal, *, recall=None, wrong=None, best=True, over=None, at=None):
    """The rule, with parts to be got wrong."""
    right = np.asarray(right, bool)
    found = np.cumsum(right)
    recalls = found / n_objects if recall is None else recall(found, n_objects)
    false = np.cumsum(~right) if wrong is None else wrong(right)
    with np.errstate(invalid="ignore"):
        precision = recalls * normal / (recalls * normal + false)
    precision = precision[right] if at is None else precision[at(right)]
    if best:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    divisor = n_objects if over is None else over(right)
    return float(precision.sum() / divisor) if divisor else 0.0


NORMALIZED_AVERAGE_PRECISION = Exercise(
    name="normalized_average_precision",
    title="Normalised average precision",
    notebook="08",
    difficulty=3,
    minutes=20,
    reference=_normalized_reference,
    cases=_normalized_cases,
    slips=(
        Slip(
            lambda right, n_objects, normal: _normalized(right, n_objects, n_objects),
            "You use precision as it is. Put `normal` objects in the place of those that there are: "
            "$R N / (R N + F)$.",
        ),
        Slip(
            lambda *case: _normalized(*case, best=False),
            "You take the precision at each right detection as it stands. As in notebook 07, a recall gets the "
            "**best** precision at this recall or beyond.",
        ),
        Slip(
            lambda *case: _normalized(*case, over=lambda right: max(right.sum(), 1)),
            "You average over the objects that were found. Those that were not count as well, with 0: divide by "
            "`n_objects`.",
        ),
        Slip(
            lambda *case: _normalized(*case, recall=lambda found, n_objects: found),
            "In your version each object found counts as `normal` objects. It is the **recall**, a share, that is "
            "multiplied by `normal`.",
        ),
        Slip(
            lambda *case: _normalized(*case, recall=lambda found, n_objects: np.ones(len(found))),
            "You leave the recall out and take all `normal` objects as found. So far only $R N$ of them are.",
        ),
        Slip(
            lambda *case: _normalized(*case, wrong=lambda right: np.arange(1, len(right) + 1)),
            "Below the line stand all detections so far in your version, beside $R N$. It should be the **false** "
            "ones only.",
        ),
    ),
    hints=(
        "Two running sums over the ranking: right ones so far, wrong ones so far. The first divided by "
        "`n_objects` is the recall $R$, the second is $F$.",
        "Take $R N / (R N + F)$ at the right detections only, and let each have the best value from there on: "
        "`np.maximum.accumulate(p[::-1])[::-1]`.",
        "The sum of these values, divided by `n_objects`. No right detection at all gives 0.",
    ),
)

# --- bins of size -----------------------------------------------------------------------------------------------

_SIZES = ("XS", "S", "M", "L", "XL")


def _bins_reference(areas):
    return [_SIZES[bin_] for bin_ in five_bins(areas)]


def _bins_cases(rng):
    by_hand = [
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100],),
        ([100, 20, 70, 40, 10, 60, 30, 80, 90, 50],),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 9000],),  # one giant
        ([2**i for i in range(20)],),
    ]
    sizes = rng.choice([10, 20, 30], size=16)
    random = [(np.unique(rng.lognormal(7, 1, 200).astype(int))[:n],) for n in sizes]
    return by_hand + [(rng.permutation(areas).tolist(),) for (areas,) in random]


def _bins(areas, *, tenths=(1, 3, 7, 9), offset=-1, names=_SIZES):
    """The rule, with parts to be got wrong."""
    ordered = np.sort(areas)
    cuts = ordered[np.array([len(areas) * tenth // 10 for tenth in tenths]) + offset]
    return [names[int((area > cuts).sum())] for area in areas]


def _bins_of_range(areas):
    """Cuts at shares of the way from the smallest to the largest."""
    low, high = min(areas), max(areas)
    cuts = low + (high - low) * np.array([0.1, 0.3, 0.7, 0.9])
    return [_SIZES[int((area > cuts).sum())] for area in areas]


SIZE_BINS = Exercise(
    name="size_bins",
    title="Five bins of size",
    notebook="08",
    difficulty=1,
    minutes=10,
    reference=_bins_reference,
    cases=_bins_cases,
    slips=(
        Slip(
            lambda areas: _bins(areas, tenths=(2, 4, 6, 8)),
            "Your bins hold a fifth of the objects each. Asked for are a tenth, two tenths, four, two and one: "
            "the ends are what is of interest.",
        ),
        Slip(
            _bins_of_range,
            "You cut the way from the smallest to the largest area. One giant then leaves all others in `XS`. Cut "
            "the **ranking**: the smallest tenth of the objects is `XS`, however large they are.",
        ),
        Slip(
            lambda areas: _bins(areas, names=_SIZES[::-1]),
            "Your sizes are upside down: the smallest tenth is `XS`.",
        ),
        Slip(
            lambda areas: _bins(sorted(areas)),
            "You return the bins in the order of the sorted areas. They belong in the order in which `areas` "
            "came.",
        ),
        Slip(
            lambda areas: _bins(areas, offset=0),
            "Your bins are shifted by one object. Of ten objects only the smallest is `XS`; the first cut is its "
            "own area, and what is greater than that lies above.",
        ),
    ),
    hints=(
        "Sort a copy of the areas. Which of the sorted areas is the largest that is still `XS`?",
        "With `n` objects the four cuts are `ordered[n * t // 10 - 1]` for `t` in 1, 3, 7, 9. The bin of an area "
        "is the number of cuts that it is greater than.",
        "`['XS', 'S', 'M', 'L', 'XL'][sum(area > cut for cut in cuts)]`, for every area of the list as it came.",
    ),
)

EXERCISES = (FALSE_POSITIVE_TYPE, GAIN_WITHOUT, NORMALIZED_AVERAGE_PRECISION, SIZE_BINS)
