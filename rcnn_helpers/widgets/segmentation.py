"""The explorer of segmentation: paste region after region, and watch the label map grow beside the truth."""

from collections.abc import Mapping, Sequence

import numpy as np

from rcnn_helpers.errors import DisplayError
from rcnn_helpers.segmentation.accuracy import SegmentationAccuracy, confusion
from rcnn_helpers.segmentation.painting import outline_mask, paint_labels
from rcnn_helpers.widgets.controls import dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import ImageCache, beside

_WIDTH = 480  # pixels of each of the two pictures


class PastingExplorer(Explorer):
    """The label map of a picture after the first few regions are pasted, the weakest first, and the truth.

    The region pasted last is outlined.

    Parameters
    ----------
    dataset : VOCDataset or the like, with masks
    steps : mapping from image id to sequence of (mask, label, score)
        What is pasted into each picture, in this order: bool [H, W], 1 to C, and a number.

    Raises
    ------
    DisplayError
        If there is no picture, or a label is of no class.
    """

    def __init__(self, dataset, steps: Mapping[str, Sequence]):
        if not steps:
            raise DisplayError("there is no picture to paste into; give the steps of at least one")
        self._images, self._dataset, self.classes = ImageCache(dataset), dataset, tuple(dataset.classes)
        self.steps = {image_id: list(pasted) for image_id, pasted in steps.items()}
        for image_id, pasted in self.steps.items():
            strange = [label for _, label, _ in pasted if not 1 <= label <= len(self.classes)]
            if strange:
                raise DisplayError(
                    f"a region of {image_id!r} has label {strange[0]}; labels are 1 to {len(self.classes)}, for "
                    f"{', '.join(self.classes)}"
                )
        first = next(iter(self.steps))
        total = len(self.steps[first])
        controls = {
            "picture": dropdown("picture", list(self.steps)),
            "n_pasted": int_slider("regions pasted", 0, total, total),
        }
        super().__init__(controls)

    def _maxima(self, state):
        return {"n_pasted": len(self.steps[state["picture"]])}

    def _follow(self, change):
        super()._follow(change)
        if change.owner is self.controls["picture"]:
            self.controls["n_pasted"].value = self.controls["n_pasted"].max

    def _draw(self, picture, n_pasted):
        image, pasted = self._images[picture], self.steps[picture][:n_pasted]
        truth = self._dataset.segmentation(picture)[0]
        found = np.zeros(truth.shape, np.uint8)
        for mask, label, _ in pasted:
            found[mask] = label
        zoom = _WIDTH / image.shape[1]
        ours = paint_labels(image, found, self.classes, zoom=zoom)
        if pasted:
            ours = outline_mask(ours, pasted[-1][0], "yellow")
        picture_of_truth = paint_labels(image, truth, self.classes, zoom=zoom)
        return beside(ours, picture_of_truth), self._words(picture, pasted, found, truth)

    def _words(self, picture, pasted, found, truth):
        table = confusion(found, truth, len(self.classes))
        accuracy = SegmentationAccuracy(self.classes, table)
        far = f"{len(pasted)} of {len(self.steps[picture])} regions are pasted. "
        if pasted:
            mask, label, score = pasted[-1]
            far += (
                f"The last one (outlined): {self.classes[label - 1]}, score {score:.2f}, "
                f"{100 * np.mean(mask):.1f}% of the picture. "
            )
        return far + (
            f"{100 * accuracy.pixel_accuracy:.1f}% of the pixels are right; mean accuracy in this picture "
            f"{100 * accuracy.mean:.1f}%. To the right: the truth, void hatched."
        )
