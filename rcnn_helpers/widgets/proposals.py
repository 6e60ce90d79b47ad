"""Explorers of region proposals: how selective search merges, and which boxes come out of it."""

import cv2
import numpy as np

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.drawing import STYLES, draw_boxes, paint_segments
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.segmentation.painting import outline_mask
from rcnn_helpers.settings import MATCH_IOU
from rcnn_helpers.widgets.controls import checkbox, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import View, as_picture, names_for


class MergeScrubber(Explorer):
    """Selective search's merging, from the first segments to the whole image.

    The two regions that are joined next are outlined, and the box of the new region is drawn.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    tree : MergeTree
        As from `rcnn_helpers.proposals.selective_search.merge_trees`.
    n_merges : int, optional
        Merges done at first; by default all but the last dozen.
    """

    def __init__(self, image, tree, n_merges: int | None = None):
        self.tree = tree
        height, width = tree.segments.shape
        self._image = cv2.resize(as_picture(image), (width, height), interpolation=cv2.INTER_AREA)
        total = len(tree.children)
        n_merges = max(0, total - 12) if n_merges is None else n_merges
        super().__init__({"n_merges": int_slider("merges done", 0, total, n_merges)})

    def _draw(self, n_merges):
        tree = self.tree
        labels = tree.labels_after(n_merges)
        view = View(paint_segments(self._image, labels))
        left = tree.n_segments - n_merges
        regions = "regions" if left > 1 else "region"
        text = f"{left} {regions} after {n_merges} of {len(tree.children)} merges. "
        if n_merges == len(tree.children):
            return view.image, text + "All is one."
        first, second = tree.children[n_merges].tolist()
        joined = tree.n_segments + n_merges
        picture = draw_boxes(view.image, view.scaled(tree.boxes[[joined]]), styles="best")
        outlines = sorted([(first, "yellow"), (second, "sky")], key=lambda outline: -tree.sizes[outline[0]])
        for node, colour in outlines:  # the smaller one on top
            picture = outline_mask(picture, labels == node, colour)
        return picture, text + (
            f"Joined next: regions of {tree.sizes[first]} and {tree.sizes[second]} pixels (outlined in yellow and "
            f"blue), similarity {tree.similarity[n_merges]:.2f}."
        )


class ProposalBrowser(Explorer):
    """The first N proposals of an image, and the best of them for each object.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    proposals : array-like of shape [N, 4]
        Best first.
    truth : array-like of shape [M, 4]
        Ground-truth boxes.
    names : sequence of str, optional
        Classes of the objects.
    """

    def __init__(self, image, proposals, truth, names=None):
        self._view = View(as_picture(image))
        self.proposals, self.truth = as_boxes(proposals), as_boxes(truth)
        if len(self.proposals) == 0:
            raise DisplayError("there are no proposals to browse; give at least one box")
        self.names = names_for(self.truth, names)
        self._overlap = iou(self.proposals, self.truth)
        total = len(self.proposals)
        controls = {
            "n_boxes": int_slider("first N boxes", 1, total, min(200, total)),
            "show_all": checkbox("draw all of them", True),
        }
        super().__init__(controls)

    def _draw(self, n_boxes, show_all):
        picture = self._with_lines(n_boxes) if show_all else self._view.image
        if len(self.truth) == 0:
            return picture, f"The first {n_boxes} of {len(self.proposals)} proposals. There are no objects."
        best = self._overlap[:n_boxes].argmax(axis=0)
        overlaps = self._overlap[best, np.arange(len(self.truth))]
        styles = ["tp" if value >= MATCH_IOU else "fp" for value in overlaps]
        labels = [
            f"{STYLES[style].mark}{f'{name} {value:.2f}'.strip()}"
            for style, name, value in zip(styles, self.names, overlaps, strict=True)
        ]
        boxes = np.concatenate([self.proposals[best], self.truth])
        n_truth = len(self.truth)
        picture = draw_boxes(
            picture, self._view.scaled(boxes), labels + [""] * n_truth, styles + ["truth"] * n_truth
        )
        found = int((overlaps >= MATCH_IOU).sum())
        return picture, (
            f"Among the first {n_boxes} of {len(self.proposals)} proposals, the best ones cover {found} of "
            f"{n_truth} objects (dotted) with an IoU of 0.5 or more; their average best overlap is "
            f"{overlaps.mean():.2f}."
        )

    def _with_lines(self, n_boxes):
        """The picture under thin white outlines, faint where there are many, so that they do not hide it."""
        boxes = self._view.scaled(self.proposals[:n_boxes])
        lines = draw_boxes(self._view.image, boxes, colours="white", line_width=1)
        strength = 0.6 if n_boxes <= 100 else 0.35
        return cv2.addWeighted(self._view.image, 1 - strength, lines, strength, 0)
