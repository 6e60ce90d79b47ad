"""The explorer of evaluation: what lies behind a point of a precision-recall curve."""

import cv2
import numpy as np

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.drawing import draw_detections, rgb, write
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets.controls import dropdown, int_slider
from rcnn_helpers.widgets.detection import check_same
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import ImageCache, View, beside


class PrecisionRecallExplorer(Explorer):
    """A point on a precision-recall curve and the detection behind it: box, object and verdict.

    Parameters
    ----------
    dataset : VOCDataset
    detections : Detections
    evaluation : EvaluationResult
        Of these very detections.
    """

    _VERDICTS = {
        "tp": "right",
        "fp": "wrong",
        "duplicate": "wrong, a duplicate of a better detection",
    }

    def __init__(self, dataset, detections, evaluation):
        check_same(detections, evaluation)
        self.dataset, self.detections, self.evaluation = dataset, detections, evaluation
        self._images = ImageCache(dataset)
        names = [name for name, curve in evaluation.curves.items() if len(curve) and curve.n_positives]
        if not names:
            raise DisplayError("no class has both objects and detections: there is no curve to explore")
        super().__init__({"name": dropdown("class", names), "rank": int_slider("detection", 1, 1, 1)})

    def _maxima(self, state):
        return {"rank": len(self.evaluation.curves[state["name"]])}

    def _draw(self, name, rank):
        found, result = self.detections, self.evaluation
        curve = result.curves[name]
        row = int(curve.detection[rank - 1])
        image_id = found.image_ids[found.image_index[row]]
        outcome, overlap = str(result.outcomes[row]), float(result.match_iou[row])
        view = View(self._images[image_id], longest=480)
        matched = result.match_object[row]
        truth = as_boxes(self.dataset.annotation(image_id).boxes)[[matched] if matched >= 0 else []]
        picture = draw_detections(
            view.image,
            view.scaled(found.boxes[[row]]),
            [name],
            [curve.precision[rank - 1]],
            outcomes=[outcome],
            truth=view.scaled(truth),
        )
        verdict = self._VERDICTS[outcome]
        nearest = f"IoU {overlap:.2f} with the nearest {name}" if matched >= 0 else f"it touches no {name}"
        return beside(_curve_picture(curve, rank - 1), picture), (
            f"Detection {rank} of {len(curve)} for {name}, score {found.scores[row]:.2f}, in image {image_id}: "
            f"{verdict}; {nearest}. Up to here precision is {curve.precision[rank - 1]:.2f} and recall "
            f"{curve.recall[rank - 1]:.2f}; AP {100 * result.ap[name]:.1f}%."
        )


def _curve_picture(curve, point, size=320):
    """A plain precision-recall plot with one point marked; drawn by hand since matplotlib takes 0.2 s."""
    margin, above = 46, 34
    sheet = np.full((above + size + 50, margin + size + 20, 3), 255, np.uint8)

    def pixel(recall, precision):
        x = margin + np.asarray(recall, dtype=np.float64) * size
        y = above + (1 - np.asarray(precision, dtype=np.float64)) * size
        return np.rint(np.stack([x, y], axis=-1)).astype(np.int32)

    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        for ends in (([tick, tick], [0, 1]), ([0, 1], [tick, tick])):
            cv2.polylines(sheet, [pixel(*ends)], False, (225, 225, 225), 1)
    cv2.polylines(sheet, [pixel([0, 0, 1], [1, 0, 0])], False, (0, 0, 0), 1)
    cv2.polylines(sheet, [pixel(curve.recall, curve.precision)], False, rgb("blue"), 2, cv2.LINE_AA)
    centre = tuple(pixel(curve.recall[point], curve.precision[point]).tolist())
    cv2.circle(sheet, centre, 8, (0, 0, 0), -1, cv2.LINE_AA)
    cv2.circle(sheet, centre, 6, rgb("vermillion"), -1, cv2.LINE_AA)
    for tick in (0.0, 0.5, 1.0):
        x, y = pixel(tick, tick).tolist()
        write(sheet, f"{tick:.1f}", x - 14, above + size + 4)
        write(sheet, f"{tick:.1f}", margin - 36, y - 9)
    write(sheet, "recall", margin + size // 2 - 26, above + size + 24)
    write(sheet, "precision", 4, 4)
    return sheet
