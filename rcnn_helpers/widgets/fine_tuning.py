"""The explorer of fine-tuning: which windows of a picture become positives, and what a batch draws from them."""

import numpy as np

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.drawing import BoxStyle, draw_boxes, montage
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.finetuning import label_windows
from rcnn_helpers.warping import warp_reference
from rcnn_helpers.widgets.controls import dropdown, fraction_slider, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN, ImageCache, View, beside, pixels

_DRAWN = (4, 12)  # positives and negatives shown: an eighth of a batch of 32 and 96
_BACKGROUND = BoxStyle("sky", "dashed")


class FineTuningExplorer(Explorer):
    """The windows of a picture as fine-tuning labels them, for any two limits, and a small batch drawn from them.

    Parameters
    ----------
    dataset : VOCDataset
    proposals : mapping of image id to float array [N, 4]
        The objects' own boxes are added to them, as in training.
    image_ids : sequence of str, optional
        Pictures to choose from; by default all of the data set.
    """

    def __init__(self, dataset, proposals, image_ids=None):
        image_ids = list(dataset.ids if image_ids is None else image_ids)
        missing = [image_id for image_id in image_ids if image_id not in proposals]
        if missing or not image_ids:
            what = f"picture {missing[0]} has no proposals" if missing else "there are no pictures"
            raise DisplayError(f"{what}; give a mapping of every image id to its boxes")
        self.dataset, self.proposals = dataset, proposals
        self._images = ImageCache(dataset)
        controls = {
            "image_id": dropdown("picture", image_ids),
            "positive_iou": fraction_slider("positive from IoU", 0.5),
            "negative_iou": fraction_slider("negative below IoU", 0.5),
            "draw": int_slider("draw", 1, 20, 1),
        }
        for name in ("positive_iou", "negative_iou"):
            controls[name].min = 0.1  # at 0 a window that touches nothing would show an object
        super().__init__(controls)

    def _draw(self, image_id, positive_iou, negative_iou, draw):
        negative_iou = min(negative_iou, positive_iou)  # no window is both
        annotation = self.dataset.annotation(image_id)
        truth = as_boxes(annotation.boxes)
        windows = np.concatenate([truth, as_boxes(self.proposals[image_id])])
        labels = label_windows(
            windows, annotation, self.dataset.classes, positive_iou=positive_iou, negative_iou=negative_iou
        )
        overlaps = iou(windows, truth).max(axis=1, initial=0.0)
        kinds = {
            "positive": np.flatnonzero(labels > 0),
            "ignored": np.flatnonzero(labels < 0),
            "negative": np.flatnonzero(labels == 0),
        }
        picture = self._outlined(image_id, windows, kinds, overlaps)
        sheet = self._batch(image_id, windows, labels, overlaps, kinds, draw)
        return beside(picture, sheet), _words(image_id, kinds, len(truth), positive_iou, negative_iou)

    def _outlined(self, image_id, windows, kinds, overlaps):
        """The picture with the positives, solid, above what is ignored, dotted; of many only the closest."""
        view = View(self._images[image_id], longest=560)
        picture = view.image
        for kind, style, most, line_width in (("ignored", "ignored", 15, 1), ("positive", "tp", 40, 2)):
            closest = kinds[kind][np.argsort(-overlaps[kinds[kind]], kind="stable")[:most]]
            picture = draw_boxes(picture, view.scaled(windows[closest]), styles=style, line_width=line_width)
        return picture

    def _batch(self, image_id, windows, labels, overlaps, kinds, draw):
        """Crops drawn with replacement from the positives, then from the negatives."""
        rng = np.random.default_rng(draw)
        drawn = [
            rng.choice(kinds[kind], size=n)
            for kind, n in zip(("positive", "negative"), _DRAWN, strict=True)
            if len(kinds[kind])
        ]
        rows = np.concatenate([np.empty(0, int), *drawn])
        image = self._images[image_id]
        crops = [
            pixels(warp_reference(image, windows[row], size=96, padding=7, mean=IMAGENET_MEAN))
            for row in rows
        ]
        names = ["background", *self.dataset.classes]
        captions = [f"{names[labels[row]]}\n{overlaps[row]:.2f}" for row in rows]
        styles = ["tp" if labels[row] > 0 else _BACKGROUND for row in rows]
        return montage(crops, captions, columns=4, styles=styles, font_size=13)


def _words(image_id, kinds, n_objects, positive_iou, negative_iou):
    n_positive, n_ignored, n_negative = (len(kinds[kind]) for kind in ("positive", "ignored", "negative"))
    share = f", {n_positive / n_objects:.1f} for each object" if n_objects else ""
    return (
        f"Picture {image_id}, IoU {positive_iou:.2f} or more: {n_positive} positives (solid){share}. Below "
        f"{negative_iou:.2f}: {n_negative} negatives. Between: {n_ignored} ignored (dotted). Of many only the "
        "closest are outlined. Right: crops drawn at random, one positive to three negatives (dashed), with "
        "label and IoU."
    )
