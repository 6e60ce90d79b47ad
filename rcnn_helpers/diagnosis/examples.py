"""The picture and the words behind one number of a diagnosis: a detection or missed object, what explains it.

Data sets without pictures can be diagnosed, too; their boxes are drawn on a grey canvas of the annotated size.
"""

from dataclasses import dataclass

import numpy as np

from rcnn_helpers.boxes import iou
from rcnn_helpers.diagnosis.looks import LOOKS
from rcnn_helpers.drawing import BoxStyle, draw_boxes, fit
from rcnn_helpers.errors import DatasetError

_CANVAS_GREY = 110
_MARGIN = 0.3  # of a crop around its boxes, in their size
_LEAST_CROP = 0.18  # of the image's longer side; less shows nothing of where it is


@dataclass(frozen=True, eq=False)
class Example:
    """Boxes in one image, with labels, and a sentence or two.

    Attributes
    ----------
    image_id : str
    boxes : float32 array of shape [K, 4]
        In pixels of the image; the detection or missed object comes first.
    labels : list of K str
    styles : list of K BoxStyle or names of them
    words : str
    """

    image_id: str
    boxes: np.ndarray
    labels: list[str]
    styles: list
    words: str

    def picture(self, image, *, longest: int = 640, labelled: bool = True) -> np.ndarray:
        """The whole image, at most doubled in size, with the boxes, uint8 [H, W, 3]."""
        return self._drawn(image, (0, 0, image.shape[1], image.shape[0]), longest, labelled=labelled)

    def crop(self, image, *, longest: int = 300) -> np.ndarray:
        """The part of the image around all boxes, scaled to `longest`, uint8 [H, W, 3]."""
        height, width = image.shape[:2]
        return self._drawn(image, _surroundings(self.boxes, height, width), longest, enlarge=4.0)

    def _drawn(self, image, window, longest, enlarge=2.0, labelled=True):
        left, top, right, bottom = window
        part = image[top:bottom, left:right]
        scale = min(enlarge, longest / max(part.shape[:2]))
        side = max(1, round(scale * max(part.shape[:2])))
        part = fit(part, side, side)
        boxes = (self.boxes - np.float32([left, top, left, top])) * np.float32(scale)
        return draw_boxes(part, boxes, self.labels if labelled else None, self.styles)


class Examples:
    """Makes an `Example` of each row of a diagnosis.

    Parameters
    ----------
    diagnosis : Diagnosis
    """

    def __init__(self, diagnosis):
        self._diagnosis = diagnosis
        found, truth = diagnosis.detections, diagnosis.truth
        position = {image_id: i for i, image_id in enumerate(found.image_ids)}
        # Image of each object as the detections count images; -1 where they searched for nothing.
        image_of = np.array([position.get(image_id, -1) for image_id in truth.image_ids], dtype=np.int32)
        self._image_of_object = image_of[truth.image_index]
        self._by_image = np.argsort(found.image_index, kind="stable")
        self._starts = np.searchsorted(found.image_index[self._by_image], np.arange(len(found.image_ids) + 1))

    def of_detection(self, row: int) -> Example:
        """A detection, the object that explains it and, for a duplicate, the detection that came before."""
        diagnosis, found, truth = self._diagnosis, self._diagnosis.detections, self._diagnosis.truth
        name = found.classes[found.class_index[row]]
        boxes = [found.boxes[row]]
        labels = [f"{name} {found.scores[row]:.2f}"]
        styles = [_style_of(diagnosis, row)]
        nearest = int(diagnosis.nearest[row])
        if nearest >= 0:
            boxes.append(truth.boxes[nearest])
            labels.append(f"truth: {truth.classes[truth.class_index[nearest]]}")
            styles.append("truth")
            first = int(diagnosis.found_by[nearest])
            if diagnosis.duplicate[row] and first >= 0:
                boxes.append(found.boxes[first])
                labels.append(f"found before {found.scores[first]:.2f}")
                styles.append("tp")
        return Example(
            found.image_ids[found.image_index[row]],
            np.stack(boxes).astype(np.float32),
            labels,
            styles,
            diagnosis.reason(row),
        )

    def of_object(self, row: int) -> Example:
        """An object that was missed or found too late, and the detection of its class that comes nearest to it."""
        diagnosis, found, truth = self._diagnosis, self._diagnosis.detections, self._diagnosis.truth
        name = truth.classes[truth.class_index[row]]
        boxes, labels, styles = [truth.boxes[row]], [f"missed {name}"], ["missed"]
        nearest, overlap = self._nearest_detection(row, name)
        if nearest < 0:
            words = f"No detection of {name} in this image touches it."
        else:
            boxes.append(found.boxes[nearest])
            labels.append(f"{name} {found.scores[nearest]:.2f}")
            styles.append(_style_of(diagnosis, nearest))
            words = self._how_near(row, nearest, overlap)
        image_id = truth.image_ids[truth.image_index[row]]
        return Example(image_id, np.stack(boxes).astype(np.float32), labels, styles, words)

    def _how_near(self, row, nearest, overlap):
        """What kept the nearest detection from finding an object."""
        diagnosis, score = self._diagnosis, self._diagnosis.detections.scores[nearest]
        if diagnosis.found_by[row] == nearest:
            return f"It is found with an IoU of {overlap:.2f}, but only at a score of {score:.2f}."
        words = f"The nearest detection of its class: IoU {overlap:.2f}, score {score:.2f}."
        if diagnosis.outcome[nearest] == "tp":
            words += " That one is right, for another object."
        return words

    def _nearest_detection(self, row, name):
        """Row and IoU of the detection that finds an object or, if none does, of the one that overlaps it best.

        Only detections of class `name`; (-1, 0) if none touches the object.
        """
        found = self._diagnosis.detections
        image = self._image_of_object[row]
        if image < 0 or name not in found.classes:
            return -1, 0.0
        rows = self._by_image[self._starts[image] : self._starts[image + 1]]
        rows = rows[found.class_index[rows] == found.classes.index(name)]
        if not len(rows):
            return -1, 0.0
        overlaps = iou(found.boxes[rows], self._diagnosis.truth.boxes[[row]])[:, 0]
        best = int(np.argmax(overlaps + 2 * (rows == self._diagnosis.found_by[row])))
        return (int(rows[best]), float(overlaps[best])) if overlaps[best] > 0 else (-1, 0.0)


def picture_of(dataset, image_id: str) -> np.ndarray:
    """An image of a data set, uint8 [H, W, 3], or a grey canvas of the annotated size where there is none."""
    try:
        return dataset.image(image_id)
    except DatasetError:
        annotation = dataset.annotation(image_id)
        return np.full((annotation.height, annotation.width, 3), _CANVAS_GREY, np.uint8)


def _style_of(diagnosis, row):
    """Right, wrong in the colour of its type, or ignored."""
    outcome = str(diagnosis.outcome[row])
    if outcome == "fp":
        return BoxStyle(LOOKS[str(diagnosis.fp_type[row])].colour, "dashed")
    return outcome


def _surroundings(boxes, height, width):
    """Whole pixels (left, top, right, bottom) of the image around all boxes, with a margin."""
    x1, y1 = boxes[:, :2].min(axis=0)
    x2, y2 = boxes[:, 2:].max(axis=0)
    least = _LEAST_CROP * max(height, width)
    half_width = max(x2 - x1, least) * (0.5 + _MARGIN)
    half_height = max(y2 - y1, least) * (0.5 + _MARGIN)
    left, right = _clipped((x1 + x2) / 2, half_width, width)
    top, bottom = _clipped((y1 + y2) / 2, half_height, height)
    return left, top, right, bottom


def _clipped(middle, half, length):
    start = int(min(max(np.floor(middle - half), 0), length - 1))
    return start, int(max(min(np.ceil(middle + half), length), start + 1))
