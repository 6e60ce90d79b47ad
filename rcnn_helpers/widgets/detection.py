"""Explorers of detection: what a detector finds in each image, and what suppression makes of its scores."""

import numpy as np

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.drawing import draw_boxes, draw_detections
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.nms import nms
from rcnn_helpers.settings import NMS_IOU
from rcnn_helpers.widgets.controls import dropdown, fraction_slider, score_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import ImageCache, View, as_picture, names_for

_MOST_LABELLED = 20  # more labels would hide the picture


class SuppressionExplorer(Explorer):
    """Scores of all regions of one image, before and after non-maximum suppression.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    boxes : array-like of shape [N, 4]
    scores : array-like of shape [N, C]
    classes : sequence of str
    truth, names : array-like of shape [M, 4] and sequence of str, optional
        The objects; those of the chosen class are drawn dotted.
    score : float
        Threshold at first.
    """

    _MOST_DRAWN = 300

    def __init__(self, image, boxes, scores, classes, *, truth=None, names=None, score: float = 0.0):
        self._view = View(as_picture(image))
        self.boxes, self.scores = as_boxes(boxes), np.asarray(scores, dtype=np.float32)
        if self.scores.shape != (len(self.boxes), len(classes)) or self.scores.size == 0:
            raise DisplayError(
                f"scores must have shape [{len(self.boxes)}, {len(classes)}] and not be empty, "
                f"got {list(self.scores.shape)}"
            )
        self.classes = list(classes)
        self.truth = as_boxes([] if truth is None else truth)
        self.names = names_for(self.truth, names)
        best_class = self.classes[int(self.scores.max(axis=0).argmax())]
        controls = {
            "name": dropdown("class", self.classes, best_class),
            "score": score_slider("score at least", self.scores, score),
            "iou_threshold": fraction_slider("NMS: IoU above", NMS_IOU),
        }
        super().__init__(controls)

    def _draw(self, name, score, iou_threshold):
        scores = self.scores[:, self.classes.index(name)]
        candidates = np.flatnonzero(scores >= score)
        kept = candidates[nms(self.boxes[candidates], scores[candidates], iou_threshold=iou_threshold)]
        dropped = np.setdiff1d(candidates, kept)
        dropped = dropped[np.argsort(-scores[dropped], kind="stable")]
        below = self._view.scaled(self.boxes[dropped[: self._MOST_DRAWN]])
        picture = draw_boxes(self._view.image, below, styles="ignored", line_width=1)
        truth = self.truth[[each in (name, "") for each in self.names]]
        kept_drawn = kept[: self._MOST_DRAWN]
        boxes = np.concatenate([self.boxes[kept_drawn], truth])
        labels = [f"{name} {scores[i]:.2f}" for i in kept[:_MOST_LABELLED]]
        labels += [""] * (len(boxes) - len(labels))
        styles = ["detection"] * len(kept_drawn) + ["truth"] * len(truth)
        picture = draw_boxes(picture, self._view.scaled(boxes), labels, styles)
        some = f"; the best {_MOST_LABELLED} with their scores" if len(kept) > _MOST_LABELLED else ""
        return picture, (
            f"{len(candidates)} of {len(scores)} regions score {score:.2f} or more for {name}. Suppression above "
            f"an IoU of {iou_threshold:.2f} keeps {len(kept)} (solid{some}) and drops {len(dropped)} (dotted)."
        )


class DetectionExplorer(Explorer):
    """Detections of a data set, image by image, above a score; right ones and wrong ones told apart.

    Labels show the class and the precision at the detection's score, as in the paper's Figures 8 to 11.

    Parameters
    ----------
    dataset : VOCDataset
    detections : Detections
    evaluation : EvaluationResult
        Of these very detections.
    image_ids : sequence of str, optional
        Images to choose from; by default all that were searched.
    score : float
        Threshold at first. 0 is where an SVM changes its mind.
    """

    def __init__(self, dataset, detections, evaluation, *, image_ids=None, score: float = 0.0):
        check_same(detections, evaluation)
        self.dataset, self.detections, self.evaluation = dataset, detections, evaluation
        self._images = ImageCache(dataset)
        image_ids = list(detections.image_ids if image_ids is None else image_ids)
        if not image_ids:
            raise DisplayError("there are no images to choose from; give at least one in image_ids")
        classes = [("all classes", ""), *[(name, name) for name in detections.classes]]
        controls = {
            "score": score_slider("score at least", detections.scores, score),
            "image_id": dropdown("image", image_ids),
            "name": dropdown("class", classes),
        }
        super().__init__(controls)

    def _draw(self, score, image_id, name):
        rows = self._rows(score, image_id, name)
        annotation = self.dataset.annotation(image_id)
        outcomes = self.evaluation.outcomes[rows]
        wanted = self._wanted(annotation, name)
        missed = wanted.copy()
        missed[self.evaluation.match_object[rows[outcomes == "tp"]]] = False
        picture = self._picture(image_id, rows, annotation, missed)
        some = f"; only the best {_MOST_LABELLED} are labelled" if len(rows) > _MOST_LABELLED else ""
        right, wrong = int((outcomes == "tp").sum()), int(np.isin(outcomes, ["fp", "duplicate"]).sum())
        return picture, (
            f"Image {image_id}, score {score:.2f} or more: {right} right and {wrong} wrong detections; "
            f"{int(wanted.sum() - missed.sum())} of {int(wanted.sum())} objects found. The number behind a class "
            f"is the precision at that score{some}."
        )

    def _rows(self, score, image_id, name):
        """Detections to be shown, best first."""
        found = self.detections
        if image_id not in found.image_ids:
            return np.zeros(0, dtype=int)
        shown = (found.image_index == found.image_ids.index(image_id)) & (found.scores >= score)
        if name:
            shown &= found.class_index == found.classes.index(name)
        rows = np.flatnonzero(shown)
        return rows[np.argsort(-found.scores[rows], kind="stable")]

    def _wanted(self, annotation, name):
        """Objects that ought to be found: of the chosen class, and not marked difficult."""
        classes = self.detections.classes
        of_class = [each in classes and name in ("", each) for each in annotation.names]
        return np.array(of_class, dtype=bool) & ~np.asarray(annotation.difficult, dtype=bool)

    def _picture(self, image_id, rows, annotation, missed):
        """The detections with the precision at their score, and the objects that were missed."""
        found, result = self.detections, self.evaluation
        names = [found.classes[i] for i in found.class_index[rows]]
        precisions = [
            result.precision_at(name, score) for name, score in zip(names, found.scores[rows], strict=True)
        ]
        labelled = [name if rank < _MOST_LABELLED else "" for rank, name in enumerate(names)]
        lost = np.flatnonzero(missed)
        view = View(self._images[image_id])
        return draw_detections(
            view.image,
            view.scaled(np.concatenate([found.boxes[rows], as_boxes(annotation.boxes)[lost]])),
            labelled + [annotation.names[i] for i in lost],
            precisions + [np.nan] * len(lost),
            outcomes=[*result.outcomes[rows].tolist(), *["missed"] * len(lost)],
        )


def check_same(detections, evaluation) -> None:
    """Refuse an evaluation of other detections than these."""
    if len(evaluation.outcomes) != len(detections):
        raise DisplayError(
            f"the evaluation is of {len(evaluation.outcomes)} detections, but {len(detections)} are given; "
            "evaluate these detections"
        )
