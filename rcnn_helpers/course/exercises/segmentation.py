"""Exercises of notebook 10: mean accuracy, overlap of masks, the foreground of a crop, the order of pasting."""

import numpy as np

from rcnn_helpers.course.exercises.engine import Exercise, Slip
from rcnn_helpers.drawing import montage, write
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy, confusion
from rcnn_helpers.segmentation.pasting import paste
from rcnn_helpers.segmentation.regions import mask_overlaps, regions_from_masks

_VOID = 255

# --- mean accuracy ----------------------------------------------------------------------------------------------


def _accuracy_reference(predicted, truth, n_classes):
    total = sum(confusion(p, t, n_classes) for p, t in zip(predicted, truth, strict=True))
    return SegmentationAccuracy([f"class {i}" for i in range(n_classes)], total).mean


def _accuracy_cases(rng):
    one = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    shifted = np.array([[0, 1, 1, 0], [0, 1, 1, 0]])  # the notebook's
    outlined = np.array([[0, _VOID, 1, 1], [0, _VOID, 1, 1]])
    by_hand = [
        ([one], [one], 1),
        ([shifted], [one], 1),
        ([one], [outlined], 1),  # wrong only where it is void
        ([shifted], [outlined], 1),
        ([np.zeros((2, 2), int), np.ones((2, 4), int)], [np.ones((2, 2), int), np.ones((2, 4), int)], 1),
        ([np.zeros((2, 3), int)], [np.array([[0, 0, 0], [0, 0, 2]])], 3),  # classes 1 and 3 are nowhere
        ([np.array([[0, 3, 0]])], [np.zeros((1, 3), int)], 3),  # 3 is predicted, but nowhere true
    ]
    return by_hand + [_random_maps(rng) for _ in range(20)]


def _random_maps(rng):
    n_classes, n_maps = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    predicted, truth = [], []
    for _ in range(n_maps):
        shape = rng.integers(2, 6, size=2)
        true = rng.integers(0, n_classes + 1, size=shape)
        predicted.append(np.where(rng.random(shape) < 0.5, true, rng.integers(0, n_classes + 1, size=shape)))
        truth.append(np.where(rng.random(shape) < 0.2, _VOID, true))
    return predicted, truth, n_classes


def _by_counts(predicted, truth, n_classes, *, void=False, ratio=None, first=0, absent="out"):
    """Mean accuracy from counts of pixels, with its turns that go wrong as options."""
    p = np.concatenate([np.ravel(each) for each in predicted])
    t = np.concatenate([np.ravel(each) for each in truth])
    if not void:
        p, t = p[t != _VOID], t[t != _VOID]
    values = []
    for label in range(first, n_classes + 1):
        right = int(((p == label) & (t == label)).sum())
        given, missed = int((p == label).sum()) - right, int((t == label).sum()) - right
        if right + given + missed == 0:
            values += {"out": [], "zero": [0.0], "one": [1.0]}[absent]
            continue
        values.append(ratio(right, given, missed) if ratio else right / (right + given + missed))
    return float(np.mean(values)) if values else float("nan")


def _share(right, others):
    return right / (right + others) if right + others else 0.0


def _picture_by_picture(predicted, truth, n_classes):
    values = [_by_counts([p], [t], n_classes) for p, t in zip(predicted, truth, strict=True)]
    return float(np.nanmean(values))


def _pixels_right(predicted, truth, n_classes):
    p = np.concatenate([np.ravel(each) for each in predicted])
    t = np.concatenate([np.ravel(each) for each in truth])
    return float((p == t)[t != _VOID].mean())


MEAN_ACCURACY = Exercise(
    name="mean_accuracy",
    title="Mean segmentation accuracy",
    notebook="10",
    difficulty=2,
    minutes=15,
    reference=_accuracy_reference,
    cases=_accuracy_cases,
    slips=(
        Slip(
            lambda predicted, truth, n: _by_counts(predicted, truth, n, void=True),
            "You count void pixels. Where the truth is 255 nobody knows, so nothing predicted there is "
            "right or wrong: leave those pixels out before you count anything.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(predicted, truth, n, first=1),
            "You leave the background out. VOC's mean runs over the classes *and* the background, label 0.",
        ),
        Slip(
            _picture_by_picture,
            "You average over pictures. VOC counts the pixels of *all* pictures first and divides once for "
            "each class.",
        ),
        Slip(
            _pixels_right,
            "That is the share of right pixels. Background makes up most of it; ask for each class by "
            "itself.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(predicted, truth, n, absent="zero"),
            "A class that is neither in the truth nor in what was predicted gets 0 from you. Nothing can "
            "be said of it: leave it out of the mean.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(predicted, truth, n, absent="one"),
            "A class that is neither in the truth nor in what was predicted gets 1 from you. Nothing can "
            "be said of it: leave it out of the mean.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(
                predicted, truth, n, ratio=lambda right, given, missed: _share(right, missed)
            ),
            "You divide by the class's true pixels only. Whoever paints everything as that class would get "
            "1: pixels given to it wrongly belong into the denominator.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(
                predicted, truth, n, ratio=lambda right, given, missed: _share(right, given)
            ),
            "You divide by the pixels given to the class only. Its missed pixels belong into the "
            "denominator, too.",
        ),
        Slip(
            lambda predicted, truth, n: _by_counts(
                predicted, truth, n, ratio=lambda right, given, missed: right / (2 * right + given + missed)
            ),
            "You divide by true plus predicted pixels. Those in both are counted twice there; subtract "
            "them once.",
        ),
    ),
    hints=(
        "For one class, over all pictures together: how many pixels are right, how many are given to it "
        "wrongly, how many of its own are missed?",
        "Put the maps into two long arrays (`np.concatenate([p.ravel() for p in predicted])`), keep the "
        "places where the truth is not 255, and go through the labels 0 to `n_classes`.",
        "For a label: `right = ((p == label) & (t == label)).sum()` and `either = ((p == label) | (t == "
        "label)).sum()`. If `either` is 0, skip the label; else its accuracy is `right / either`. Return "
        "the mean.",
    ),
)

# --- the overlap of a region with an object ---------------------------------------------------------------------


def _overlap_reference(mask, object_map, number):
    if not np.any(mask):
        return 0.0
    overlaps = mask_overlaps(
        regions_from_masks([mask]), np.asarray(object_map, dtype=np.uint8), n_labels=number
    )
    return float(overlaps[0, number - 1])


def _overlap_cases(rng):
    two = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 0]])
    outlined = np.array([[1, 1, _VOID, 2], [1, 1, _VOID, 2], [_VOID, _VOID, _VOID, 0]])  # the notebook's
    left, top = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    left[:, :3], top[0] = True, True
    by_hand = [
        (two == 1, two, 1),
        (left, two, 1),
        (left, outlined, 1),  # all that is too much is void
        (top, two, 2),
        (top, outlined, 2),
        (two == 0, two, 1),
        (outlined == _VOID, outlined, 1),  # a region of void pixels alone
    ]
    return by_hand + [_random_overlap(rng) for _ in range(20)]


def _random_overlap(rng):
    shape = rng.integers(2, 7, size=2)
    objects = rng.integers(0, 4, size=shape)
    objects.flat[0] = 1
    near = np.where(rng.random(shape) < 0.7, objects == 1, rng.random(shape) < 0.5)
    return near, np.where((rng.random(shape) < 0.25) & (objects != 1), _VOID, objects), 1


def _overlap(mask, object_map, number, *, void=False, divide=np.logical_or):
    objects, mask = np.asarray(object_map), np.asarray(mask, bool)
    if not void:
        mask = mask & (objects != _VOID)
    inside = objects == number
    below = divide(mask, inside).sum()
    return float((mask & inside).sum() / below) if below else 0.0


MASK_OVERLAP = Exercise(
    name="mask_overlap",
    title="Overlap of a region with an object",
    notebook="10",
    difficulty=1,
    minutes=10,
    reference=_overlap_reference,
    cases=_overlap_cases,
    slips=(
        Slip(
            lambda mask, objects, number: _overlap(mask, objects, number, void=True),
            "You count void pixels against the region. They belong to nothing for sure: take them out of "
            "the region first.",
        ),
        Slip(
            lambda mask, objects, number: _overlap(mask, objects, number, divide=lambda a, b: b),
            "You divide by the object's pixels. A region that covers the whole picture would get 1; divide "
            "by the pixels in *either*.",
        ),
        Slip(
            lambda mask, objects, number: _overlap(mask, objects, number, divide=lambda a, b: a),
            "You divide by the region's pixels. A region of a single pixel inside the object would get 1; "
            "divide by the pixels in *either*.",
        ),
        Slip(
            lambda mask, objects, number: _overlap(mask, np.asarray(objects) > 0, 1, void=True),
            "You count pixels of any object. Only those of object `number` are meant.",
        ),
        Slip(
            lambda mask, objects, number: float((np.asarray(mask) == (np.asarray(objects) == number)).mean()),
            "That is the share of pixels on which the two agree, background included. Count those in both, "
            "and divide by those in either.",
        ),
        Slip(
            lambda mask, objects, number: int((_overlap(mask, objects, number)) > 0.5),
            "You return whether it is a good region. The overlap itself is asked for, a number from 0 to 1.",
        ),
    ),
    hints=(
        "Three sets of pixels: those of the region, those of the object, and the void ones. Which of them "
        "may count?",
        "`inside = object_map == number`, and `mask & (object_map != 255)` is the region without void "
        "pixels. The overlap is the size of the intersection over that of the union.",
    ),
)

# --- the foreground of a crop -----------------------------------------------------------------------------------


def _foreground_reference(image, mask, box, mean):
    x1, y1, x2, y2 = box
    crop = np.array(image, dtype=float)[y1:y2, x1:x2]
    crop[~np.asarray(mask, bool)[y1:y2, x1:x2]] = mean
    return crop


def _foreground_cases(rng):
    image = 4 * np.arange(4 * 5 * 3).reshape(4, 5, 3)
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    cross = mask.copy()
    cross[1, 1] = cross[2, 3] = False
    mean = [124.0, 117.0, 104.0]
    by_hand = [
        (image, mask, [1, 1, 4, 3], mean),  # the whole box is the region
        (image, cross, [1, 1, 4, 3], mean),
        (image, cross, [0, 0, 5, 4], mean),  # the whole picture
        (image, mask, [2, 0, 5, 2], mean),  # a box that cuts the region
    ]
    return by_hand + [_random_foreground(rng) for _ in range(15)]


def _random_foreground(rng):
    height, width = rng.integers(4, 9, size=2)
    image = rng.integers(0, 256, size=(height, width, 3))
    x1, y1 = int(rng.integers(0, width - 2)), int(rng.integers(0, height - 2))
    x2, y2 = int(rng.integers(x1 + 2, width + 1)), int(rng.integers(y1 + 2, height + 1))
    return image, rng.random((height, width)) < 0.5, [x1, y1, x2, y2], rng.uniform(90, 130, size=3).tolist()


def _filled(image, mask, box, fill, *, keep=lambda inside: inside, cut=True):
    x1, y1, x2, y2 = box
    crop, inside = np.array(image, dtype=float), keep(np.asarray(mask, bool))
    if cut:
        crop, inside = crop[y1:y2, x1:x2], inside[y1:y2, x1:x2]
    crop[~inside] = fill(crop, inside) if callable(fill) else fill
    return crop


def _draw_foreground(arguments, answer, expected):
    image, _, box, _ = arguments
    pictures = [_as_pixels(each) for each in (image, answer, expected)]
    captions = ["the picture", "yours", "the reference"]
    return (
        montage(pictures, captions, columns=3, cell=(200, 200), font_size=15),
        f"The picture, what you make of the box {list(box)}, and what the reference makes of it.",
    )


def _as_pixels(picture, longest=200):
    """A small picture of numbers as large pixels, uint8."""
    picture = np.clip(np.rint(np.asarray(picture, dtype=float)), 0, 255).astype(np.uint8)
    times = max(1, longest // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


FOREGROUND_CROP = Exercise(
    name="foreground_crop",
    title="The foreground of a crop",
    notebook="10",
    difficulty=1,
    minutes=10,
    reference=_foreground_reference,
    cases=_foreground_cases,
    slips=(
        Slip(
            lambda image, mask, box, mean: _filled(image, mask, box, 0.0),
            "You fill with 0, that is black. To the network black is a strong signal; nothing is what "
            "becomes 0 when the *mean* is subtracted.",
        ),
        Slip(
            lambda image, mask, box, mean: _filled(image, mask, box, mean, keep=np.logical_not),
            "You fill the region and keep what is around it. It is the other way round: the *background* "
            "is filled.",
        ),
        Slip(
            lambda image, mask, box, mean: _filled(image, mask, box, mean, cut=False),
            "You fill the whole picture but do not crop it. Return only the rows and columns of the box.",
        ),
        Slip(
            lambda image, mask, box, mean: _filled(
                image, mask, box, lambda crop, inside: crop.reshape(-1, 3).mean(axis=0)
            ),
            "You fill with the mean of this crop. The network subtracts one fixed colour from all "
            "pictures: fill with `mean`.",
        ),
        Slip(
            lambda image, mask, box, mean: _filled(image, mask, box, mean) - np.asarray(mean),
            "You subtract the mean as well. That is the network's own first step; fill only.",
        ),
        Slip(
            lambda image, mask, box, mean: np.asarray(image, dtype=float)[box[1] : box[3], box[0] : box[2]],
            "You crop, but what is around the region is still there. Fill it.",
        ),
    ),
    hints=(
        "Crop the picture and the mask in the same way: `[y1:y2, x1:x2]`, rows first.",
        "Make a copy of real numbers (`np.array(image, dtype=float)`), crop it, and write `mean` to all "
        "places where the cropped mask is False. `crop[~inside] = mean` fills the three colours at once.",
    ),
    draw=_draw_foreground,
)

# --- the order of pasting ---------------------------------------------------------------------------------------


def _paste_reference(masks, labels, scores, threshold):
    of_classes = np.full((len(masks), max(labels)), min(*scores, threshold) - 1)
    of_classes[np.arange(len(masks)), np.asarray(labels) - 1] = scores
    return paste(regions_from_masks(masks), of_classes, threshold=threshold, nms_iou=1).astype(int)


def _paste_cases(rng):
    left, middle, all_of_it = (np.zeros((3, 6), bool) for _ in range(3))
    left[:, :3], middle[:, 2:5], all_of_it[:] = True, True, True
    by_hand = [
        ([left, middle], [1, 2], [0.8, 0.6], 0.5),  # the notebook's
        ([left, middle], [1, 2], [0.6, 0.8], 0.5),
        ([left, middle], [1, 2], [0.6, 0.4], 0.5),
        ([left, middle], [1, 2], [0.3, 0.4], 0.5),  # nothing is sure enough
        ([left, middle, all_of_it], [1, 2, 3], [0.9, 0.5, 0.7], 0.5),
        ([left, middle, all_of_it], [1, 2, 3], [0.7, 0.9, 0.5], 0.5),  # 0.5 is not above 0.5
    ]
    return by_hand + [_random_regions(rng) for _ in range(20)]


def _random_regions(rng):
    height, width, n = int(rng.integers(4, 9)), int(rng.integers(4, 9)), int(rng.integers(2, 6))
    masks = []
    for _ in range(n):
        mask = np.zeros((height, width), bool)
        x, y = rng.integers(0, width - 1), rng.integers(0, height - 1)
        mask[y : y + rng.integers(2, height + 1), x : x + rng.integers(2, width + 1)] = True
        masks.append(mask)
    scores = rng.permutation(np.linspace(0.1, 0.9, 9))[:n].round(2).tolist()  # no two are equal
    return masks, rng.integers(1, 5, size=n).tolist(), scores, 0.3


def _pasted(masks, labels, scores, threshold, *, order=None, enough=lambda s, t: s > t):
    painted = np.zeros(np.shape(masks[0]), dtype=int)
    for i in np.argsort(scores) if order is None else order:
        if enough(scores[i], threshold):
            painted[np.asarray(masks[i], bool)] = labels[i]
    return painted


def _smallest_on_top(masks, labels, scores, threshold):
    order = np.argsort([-np.sum(mask) for mask in masks], kind="stable")
    return _pasted(masks, labels, scores, threshold, order=order)


def _added_up(masks, labels, scores, threshold):
    kept = [np.asarray(m, int) * la for m, la, s in zip(masks, labels, scores, strict=True) if s > threshold]
    return sum(kept) if kept else np.zeros(np.shape(masks[0]), int)


def _winner_only(masks, labels, scores, threshold):
    best = int(np.argmax(scores))
    return _pasted(masks, labels, scores, threshold, order=[best])


def _draw_pasted(arguments, answer, expected):
    pictures = [_label_sheet(each) for each in (answer, expected)]
    scores = ", ".join(f"{label} ({score})" for label, score in zip(arguments[1], arguments[2], strict=True))
    return (
        montage(pictures, ["yours", "the reference"], columns=2, cell=(240, 300), font_size=15),
        f"Your label map and the reference's. Labels and scores of the regions: {scores}.",
    )


def _label_sheet(label_map, side=36):
    """A small label map as a sheet with its numbers."""
    from rcnn_helpers.datasets.voc import palette

    label_map = np.asarray(label_map).astype(int)
    colours = np.where(label_map[..., None] == 0, 245, palette()[label_map % 256])
    sheet = np.ascontiguousarray(colours.astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1))
    for (row, column), label in np.ndenumerate(label_map):
        write(sheet, str(label), column * side + 11, row * side + 9, ground=colours[row, column])
    return sheet


PASTE_REGIONS = Exercise(
    name="paste_regions",
    title="The order of pasting",
    notebook="10",
    difficulty=2,
    minutes=15,
    reference=_paste_reference,
    cases=_paste_cases,
    slips=(
        Slip(
            lambda masks, labels, scores, t: _pasted(
                masks, labels, scores, t, order=np.argsort(scores)[::-1]
            ),
            "You paste the surest region first, so that weaker ones cover it. What is pasted *last* lies "
            "on top.",
        ),
        Slip(
            lambda masks, labels, scores, t: _pasted(masks, labels, scores, t, order=range(len(masks))),
            "You paste the regions in the order in which they are given. Sort them by score.",
        ),
        Slip(
            lambda masks, labels, scores, t: _pasted(masks, labels, scores, -np.inf),
            "You paste all regions. Those that are not above the threshold stay out.",
        ),
        Slip(
            lambda masks, labels, scores, t: _pasted(masks, labels, scores, t, enough=lambda s, t: s >= t),
            "A score that is exactly the threshold is not above it.",
        ),
        Slip(
            _smallest_on_top,
            "You paste by size. What lies on top is decided by the score.",
        ),
        Slip(
            _added_up,
            "You add labels up where regions meet: 1 and 2 make 3, which is another class. The surer one "
            "*replaces* the other.",
        ),
        Slip(
            _winner_only,
            "You paste the surest region alone. A picture may hold several objects: paste all that are above the "
            "threshold.",
        ),
        Slip(
            lambda masks, labels, scores, t: _pasted(masks, [1] * len(masks), scores, t),
            "You write 1 for every region. Write its label.",
        ),
    ),
    hints=(
        "Start with a map of zeros, all background. If you paste two regions that meet, which one is seen "
        "there?",
        "`np.argsort(scores)` gives the regions from the weakest to the surest. In that order, the surest "
        "is pasted last.",
        "For each `i` of that order whose `scores[i] > threshold`: `painted[masks[i]] = labels[i]`.",
    ),
    draw=_draw_pasted,
)

EXERCISES = (MEAN_ACCURACY, MASK_OVERLAP, FOREGROUND_CROP, PASTE_REGIONS)
