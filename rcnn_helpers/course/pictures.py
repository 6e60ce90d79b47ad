"""The pictures in the README, made from the course's own results.

python -m rcnn_helpers.course.pictures    # writes data/pictures

None is picked by hand: each function says by what rule it chooses what it shows.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from rcnn_helpers.course.workspace import Course
from rcnn_helpers.drawing import draw_boxes, draw_detections, montage, paint_segments, with_caption
from rcnn_helpers.errors import ImageError
from rcnn_helpers.proposals.selective_search import merge_trees
from rcnn_helpers.settings import SVM_NEGATIVE_IOU, data_dir
from rcnn_helpers.storage import atomic_write
from rcnn_helpers.training_regions import TrainingRegions
from rcnn_helpers.warping import warp_reference
from rcnn_helpers.widgets.pictures import within

LEAST_PRECISION = 0.5
WIDEST = 860  # pixels
LARGEST_FILE = 120_000  # bytes; the README shows all of them
WARP_COLUMNS = {
    "original": "A  original",
    "square_context": "B  context",
    "square": "C  no context",
    "warp": "D  warp",
}


def merging_picture(course: Course) -> np.ndarray:
    """Selective search at six moments, from the first segments to the last two regions, uint8 [H, W, 3].

    Shown is the test image with most right detections (the first of `detections_picture`) and its first search.
    """
    image = course.test.image(course.test.ids[int(images_by_right_detections(course)[0])])
    tree = merge_trees(image, mode="single")[0]
    left = [tree.n_segments, 60, 20, 10, 5, 2]
    stages = [paint_segments(image, tree.labels_after(max(0, tree.n_segments - n))) for n in left]
    return montage(stages, [f"{n} regions" for n in left], columns=3, cell=(195, 260))


def warps_picture(course: Course) -> np.ndarray:
    """Two boxes and their crops in all four modes, with 16 pixels of context, uint8 [H, W, 3].

    Shown are the widest and the tallest of trainval's objects, see `extreme_objects`.
    """
    panels, captions = [], []
    for image_id, box in extreme_objects(course.trainval):
        image = course.trainval.image(image_id)
        panels.append(draw_boxes(image, [box], colours="orange", line_width=6))
        captions.append("the box")
        for mode, caption in WARP_COLUMNS.items():
            panels.append(_crop(course, image, box, mode=mode))
            captions.append(caption)
    return montage(panels, captions, columns=1 + len(WARP_COLUMNS), cell=(150, 150))


def extreme_objects(dataset) -> list[tuple[str, np.ndarray]]:
    """Image and box of the widest and of the tallest object for its other side.

    Only objects that are neither cut off nor hidden take part, and of those only the larger half.
    """
    objects = []
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        whole = ~(annotation.truncated | annotation.occluded)
        objects += [(image_id, box) for box in annotation.boxes[whole]]
    sides = np.array([box[2:] - box[:2] for _, box in objects])
    area, aspect = sides.prod(axis=1), sides[:, 0] / sides[:, 1]
    large = area >= np.median(area)
    widest, tallest = np.where(large, aspect, 0).argmax(), np.where(large, aspect, np.inf).argmin()
    return [objects[widest], objects[tallest]]


def hard_negatives_picture(course: Course, *, number: int = 8) -> np.ndarray:
    """Regions without the class: some drawn at random above, the hardest below, each with its score.

    The class is the one with most objects in trainval. The hardest are those that the trained SVM scores highest,
    at most one an image; the random ones come from all its negatives, with seed 0. A score above
    0 would take the region for the class.
    """
    name = most_frequent_class(course.trainval)
    store, dataset = course.features("trainval"), course.trainval
    detector = course.detector
    column = detector.classes_.index(name)
    images = TrainingRegions(dataset, store, detector.feature_scale_, layer=detector.layer)
    everything, hardest = [], []
    for index in range(len(images)):
        image = images[index]
        scores = detector.svms_.decision_function(image.features)[:, column]
        negative = np.flatnonzero((image.overlaps[:, column] < SVM_NEGATIVE_IOU) & (image.gt_class != column))
        found = [(scores[row], image.image_id, image.boxes[row]) for row in negative]
        everything += found
        hardest += [max(found, key=lambda region: region[0])] if found else []
    drawn = np.random.default_rng(0).choice(len(everything), number, replace=False)
    rows = {
        f"{name}: {number} regions without it, drawn at random, and their scores": [
            everything[i] for i in drawn
        ],
        f"{name}: the {number} hardest": sorted(hardest, key=lambda region: -region[0])[:number],
    }
    sheets = []
    for caption, regions in rows.items():
        crops = [_crop(course, dataset.image(image_id), box) for _, image_id, box in regions]
        scores = [f"{score:.2f}" for score, *_ in regions]
        sheets.append(with_caption(montage(crops, scores, columns=number, cell=(92, 92)), caption))
    return np.concatenate(sheets)


def most_frequent_class(dataset) -> str:
    """The class with most objects; of several, the first in the data set's order."""
    names = [name for image_id in dataset.ids for name in dataset.annotation(image_id).names]
    return max(dataset.classes, key=names.count)


def precision_recall_picture(course: Course) -> np.ndarray:
    """Precision over recall of the best, the median and the worst class, uint8 [H, W, 3]."""
    import matplotlib.pyplot as plt

    from rcnn_helpers.plots import figure_pixels, precision_recall, use_style

    use_style()
    evaluation = course.evaluation
    shown = best_median_worst(evaluation.ap)
    _, ax = plt.subplots(figsize=(8, 4))
    precision_recall({name: evaluation.curves[name] for name in shown}, ap=evaluation.ap, ax=ax)
    return figure_pixels(ax)


def best_median_worst(ap: Mapping[str, float]) -> list[str]:
    """The classes with the highest, the middle (the better of two) and the lowest average precision."""
    ranked = sorted((name for name in ap if np.isfinite(ap[name])), key=lambda name: -ap[name])
    return [ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]]


def detections_picture(course: Course, *, images: int = 6, columns: int = 3) -> np.ndarray:
    """Detections on the test images where the most are right: a flattering choice, uint8 [H, W, 3].

    Every detection is drawn whose class is right more often than not at its score; it is labelled with class and
    precision at that score, as in the paper's Figures 8 to 11.
    """
    found, evaluation = course.detections, course.evaluation
    names = np.array(found.classes)[found.class_index]
    precision = precision_of_detections(course)
    drawn = []
    for index in images_by_right_detections(course)[:images]:
        rows = np.flatnonzero((precision >= LEAST_PRECISION) & (found.image_index == index))
        drawn.append(
            draw_detections(
                course.test.image(course.test.ids[index]),
                found.boxes[rows],
                names[rows],
                precision[rows],
                outcomes=evaluation.outcomes[rows],
                line_width=4,
                font_size=19,
            )
        )
    return montage(drawn, columns=columns, cell=(210, 280))


def precision_of_detections(course: Course) -> np.ndarray:
    """Precision of each detection's class at its score, float [N]."""
    found, evaluation = course.detections, course.evaluation
    names = np.array(found.classes)[found.class_index]
    pairs = zip(names, found.scores, strict=True)
    return np.array([evaluation.precision_at(name, score) for name, score in pairs])


def images_by_right_detections(course: Course) -> np.ndarray:
    """Test images by their number of right detections among those worth drawing, most first, int [M]."""
    shown = precision_of_detections(course) >= LEAST_PRECISION
    right = shown & (course.evaluation.outcomes == "tp")
    counts = np.bincount(course.detections.image_index[right], minlength=len(course.test.ids))
    return np.argsort(-counts, kind="stable")


def impact_picture(course: Course) -> np.ndarray:
    """What mAP would be without each type of error, for the three detectors of the course, uint8 [H, W, 3]."""
    from rcnn_helpers.diagnosis import diagnose
    from rcnn_helpers.diagnosis.figures import impact_bars
    from rcnn_helpers.plots import figure_pixels, use_style

    use_style()
    layer = course.profile.layer
    detections = {
        layer: course.detections_before_fine_tuning,
        f"FT {layer}": course.detections_without_regression,
        f"FT {layer} BB": course.detections,
    }
    figure = impact_bars({name: diagnose(found, course.test) for name, found in detections.items()})
    return within(figure_pixels(figure), WIDEST)


def units_picture(course: Course, *, regions: int = 9) -> np.ndarray:
    """Six pool5 units and the regions that excite each most, as in the paper's Figure 4, uint8 [H, W, 3].

    The units are those that `choose_six` finds most selective.
    """
    from rcnn_helpers.units.montage import describe, unit_rows
    from rcnn_helpers.units.selectivity import choose_six

    index, dataset = course.unit_index("fine-tuned"), course.pictures("trainval", "test")
    chosen = choose_six(index, dataset)
    labels = [describe(index, row) for _, row in chosen.iterrows()]
    return unit_rows(index, dataset, chosen["unit"].tolist(), regions, labels=labels, side=86)


def write_small(path: Path, picture: np.ndarray) -> None:
    """Write a JPEG of at most `LARGEST_FILE` bytes, of the best quality that fits.

    Raises
    ------
    ImageError
        If the picture does not fit at any quality that is fit to be seen.
    """
    for quality in range(90, 45, -5):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        jpeg = file.getvalue()
        if len(jpeg) <= LARGEST_FILE:
            break
    else:
        raise ImageError(f"{path.name} needs more than {LARGEST_FILE:,} bytes; show less or smaller pictures")
    atomic_write(path, lambda file: file.write(jpeg))


def _crop(course: Course, image: np.ndarray, box, **options) -> np.ndarray:
    crop = warp_reference(image, box, mean=tuple(course.network.mean), **options)
    return np.clip(crop, 0, 255).round().astype(np.uint8)


PICTURES = {
    "merging.jpg": merging_picture,
    "warps.jpg": warps_picture,
    "hard_negatives.jpg": hard_negatives_picture,
    "precision_recall.jpg": precision_recall_picture,
    "detections.jpg": detections_picture,
    "errors.jpg": impact_picture,
    "units.jpg": units_picture,
}


def main() -> None:
    """Write the README's pictures into ``data/pictures``."""
    folder = data_dir() / "pictures"
    course = Course("laptop")
    for name, draw in PICTURES.items():
        write_small(folder / name, draw(course))
        print(f"{folder / name}: {(folder / name).stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
