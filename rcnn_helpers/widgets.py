"""Explorers: pictures that answer to sliders, for the notebooks.

Every explorer is an ipywidgets container of plain controls (all of which work by keyboard), one picture and a line
of text that says in words what the picture shows. Moving a control redraws the picture into a small JPEG, in well
under a tenth of a second. Redrawing hangs on ``observe``, so an error in it reaches whoever set the value.

What a widget shows must also be there without one, on paper or in an executed notebook::

    explorer = MergeScrubber(image, tree)
    explorer                                   # the widget
    plots.show(explorer.render(120), alt=explorer.describe(120))   # its static twin

`render` and `describe` take values for the controls, in their order or by name; the others stay as they are.
"""

import html
import io
from collections import OrderedDict

import cv2
import ipywidgets
import numpy as np
from PIL import Image

from rcnn_helpers.boxes import as_boxes, clip, iou
from rcnn_helpers.drawing import (
    STYLES,
    draw_boxes,
    draw_detections,
    fit,
    montage,
    paint_segments,
    rgb,
    with_caption,
    write,
)
from rcnn_helpers.nms import nms
from rcnn_helpers.settings import CONTEXT_PADDING, MATCH_IOU, NMS_IOU
from rcnn_helpers.warping import FILLS, MODES, crop_geometry, warp_reference

# Pictures are shown with their longer side about this long, in pixels, but never more than doubled in size.
_LONGEST = 640
_IMAGENET_MEAN = (124.0, 117.0, 104.0)
_LAYOUT = {"width": "480px"}
_LABELS = {"description_width": "130px"}


class Explorer(ipywidgets.VBox):
    """Base of all explorers: controls above, picture and text below.

    A subclass calls ``super().__init__(controls)`` last and has a method ``_draw(**state)`` that returns a picture
    (uint8 [H, W, 3]) and a text for the values of its controls.

    Parameters
    ----------
    controls : dict of str to ipywidgets widget
    """

    def __init__(self, controls):
        self.controls = controls
        # In its own size: a box would stretch it over the whole page and push it off the screen.
        shown = {"align_self": "flex-start", "max_width": "100%", "height": "auto"}
        self.picture = ipywidgets.Image(format="jpeg", layout=shown)
        self.text = ipywidgets.HTML()
        super().__init__([*controls.values(), self.text, self.picture])
        for control in controls.values():
            control.observe(self._redraw, names="value")
        self._redraw()

    def render(self, *values, **state) -> np.ndarray:
        """The picture with its text below, uint8 [H, W, 3], for the given values of the controls."""
        image, text = self._draw(**self._state(values, state))
        return with_caption(image, text)

    def describe(self, *values, **state) -> str:
        """The text for the given values of the controls; it serves as the picture's alt text."""
        return self._draw(**self._state(values, state))[1]

    def _draw(self, **state):
        raise NotImplementedError

    def _redraw(self, change=None):
        image, text = self._draw(**{name: control.value for name, control in self.controls.items()})
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=85)
        self.picture.value = buffer.getvalue()
        # role="status": screen readers speak the text when it changes.
        self.text.value = f'<div role="status">{html.escape(text)}</div>'

    def _state(self, values, named):
        """Values of all controls: the given ones, checked, and the present ones."""
        if len(values) > len(self.controls):
            raise TypeError(
                f"{len(values)} values given, but there are only the controls {list(self.controls)}"
            )
        given = dict(zip(self.controls, values, strict=False))
        for name, value in named.items():
            if name not in self.controls or name in given:
                raise TypeError(
                    f"control {name!r} is unknown or given twice; there are {list(self.controls)}"
                )
            given[name] = value
        for name, value in given.items():
            _check_value(name, self.controls[name], value)
        return {name: control.value for name, control in self.controls.items()} | given


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
        self._image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        total = len(tree.children)
        n_merges = max(0, total - 12) if n_merges is None else n_merges
        super().__init__({"n_merges": _int_slider("merges done", 0, total, n_merges)})

    def _draw(self, n_merges):
        tree = self.tree
        labels = tree.labels_after(n_merges)
        view = _View(paint_segments(self._image, labels))
        left = tree.n_segments - n_merges
        text = (
            f"{left} {'regions' if left > 1 else 'region'} after {n_merges} of {len(tree.children)} merges. "
        )
        if n_merges == len(tree.children):
            return view.image, text + "All is one."
        first, second = tree.children[n_merges].tolist()
        joined = tree.n_segments + n_merges
        picture = draw_boxes(view.image, view.scaled(tree.boxes[[joined]]), styles="best")
        outlines = sorted([(first, "yellow"), (second, "sky")], key=lambda outline: -tree.sizes[outline[0]])
        for node, colour in outlines:  # the smaller one on top
            _outline_region(picture, labels == node, colour)
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
        self._view = _View(image)
        self.proposals, self.truth = as_boxes(proposals), as_boxes(truth)
        if len(self.proposals) == 0:
            raise ValueError("there are no proposals to browse")
        self.names = [""] * len(self.truth) if names is None else list(names)
        self._overlap = iou(self.proposals, self.truth)
        controls = {
            "n_boxes": _int_slider("first N boxes", 1, len(self.proposals), min(200, len(self.proposals))),
            "show_all": ipywidgets.Checkbox(True, description="draw all of them", style=_LABELS),
        }
        super().__init__(controls)

    def _draw(self, n_boxes, show_all):
        picture = self._view.image
        if show_all:
            boxes = self._view.scaled(self.proposals[:n_boxes])
            lines = draw_boxes(picture, boxes, colours="white", line_width=1)
            strength = 0.6 if n_boxes <= 100 else 0.35  # many boxes must not hide the picture
            picture = cv2.addWeighted(picture, 1 - strength, lines, strength, 0)
        if len(self.truth) == 0:
            return picture, f"The first {n_boxes} of {len(self.proposals)} proposals. There are no objects."
        best = self._overlap[:n_boxes].argmax(axis=0)
        overlaps = self._overlap[best, np.arange(len(self.truth))]
        labels = [f"{name} {value:.2f}".strip() for name, value in zip(self.names, overlaps, strict=True)]
        styles = ["tp" if value >= MATCH_IOU else "fp" for value in overlaps]
        boxes = np.concatenate([self.proposals[best], self.truth])
        labels = [STYLES[s].mark + label for s, label in zip(styles, labels, strict=True)]
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


class WarpExplorer(Explorer):
    """A box, moved by sliders, and what each way of cropping makes of it (App. A, Fig. 7).

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    boxes : array-like of shape [M, 4]
        Ground-truth boxes; the list of objects sets the sliders to one of them.
    names : sequence of str, optional
        Classes of the objects.
    size : int
        Side of the crops.
    mean : three floats
        The colour of the fill.
    """

    _SIDES = ("x1", "y1", "x2", "y2")

    def __init__(self, image, boxes, names=None, *, size: int = 227, mean=_IMAGENET_MEAN):
        self._full_image, self._view = image, _View(image, longest=560)
        self.truth, self.size, self.mean = as_boxes(boxes), size, mean
        if len(self.truth) == 0:
            raise ValueError("there is no box to begin with; give at least one")
        names = ["object"] * len(self.truth) if names is None else names
        height, width = image.shape[:2]
        start = self._box_of(0)
        objects = [(f"{number + 1}: {name}", number) for number, name in enumerate(names)]
        controls = {
            "object": _dropdown("object", objects),
            "mode": _dropdown("mode", [(mode.replace("_", " "), mode) for mode in MODES], "warp"),
            "padding": _int_slider("padding", 0, size // 4, min(CONTEXT_PADDING, size // 4)),
            "fill": _dropdown("fill", FILLS),
            "x1": _int_slider("left", 0, width - 1, start["x1"]),
            "y1": _int_slider("top", 0, height - 1, start["y1"]),
            "x2": _int_slider("right", 1, width, start["x2"]),
            "y2": _int_slider("bottom", 1, height, start["y2"]),
        }
        self._moving = False
        super().__init__(controls)
        controls["object"].unobserve(self._redraw, names="value")
        controls["object"].observe(self._jump, names="value")

    def _box_of(self, number):
        height, width = self._full_image.shape[:2]
        x1, y1, x2, y2 = np.rint(clip(self.truth[[number]], height, width))[0].astype(int).tolist()
        x1, y1 = min(x1, width - 1), min(y1, height - 1)
        return {"x1": x1, "y1": y1, "x2": max(x2, x1 + 1), "y2": max(y2, y1 + 1)}

    def _jump(self, change):
        self._moving = True  # four sliders move, one picture is drawn
        try:
            for side, value in self._box_of(change["new"]).items():
                self.controls[side].value = value
        finally:
            self._moving = False
        self._redraw()

    def _redraw(self, change=None):
        if not self._moving:
            super()._redraw(change)

    def _state(self, values, named):
        state = super()._state(values, named)
        chosen_object = bool(values) or "object" in named
        if chosen_object and len(values) <= 4 and not set(named) & set(self._SIDES):
            state |= self._box_of(state["object"])
        return state

    def _draw(self, object, mode, padding, fill, x1, y1, x2, y2):
        left, right = sorted((x1, x2))
        top, bottom = sorted((y1, y2))
        box = np.array([left, top, max(right, left + 1), max(bottom, top + 1)], dtype=np.float32)
        options = {"size": self.size, "padding": padding}
        height, width = self._full_image.shape[:2]
        window = crop_geometry([box], height, width, mode=mode, **options).window[0]
        truth = self.truth[object]
        marked = draw_boxes(
            self._view.image,
            self._view.scaled([box, window, truth]),
            ["box", "what the crop shows", ""],
            ["best", "detection", "truth"],
        )
        crops = [
            warp_reference(self._full_image, box, mode=each, fill=fill, mean=self.mean, **options)
            for each in MODES
        ]
        sheet = montage(
            [np.clip(np.rint(crop), 0, 255).astype(np.uint8) for crop in crops],
            [each.replace("_", " ") for each in MODES],
            columns=2,
            cell=(210, 210),
            styles=["best" if each == mode else "proposal" for each in MODES],
        )
        overlap = float(iou([box], [truth])[0, 0])
        return _beside(marked, sheet), (
            f"Box of {box[2] - box[0]:.0f} x {box[3] - box[1]:.0f} pixels, IoU {overlap:.2f} with the object "
            f"(dotted). The crop '{mode.replace('_', ' ')}' with padding {padding} (framed in green) shows "
            f"{window[2] - window[0]} x {window[3] - window[1]} pixels of the image in {self.size} x {self.size}."
        )


class FeatureExplorer(Explorer):
    """One channel of pool5: the regions of an image that excite it most, and where in them.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    boxes : array-like of shape [N, 4]
        The regions.
    pool5 : float array of shape [N, C, h, w]
        Their activations.
    n_top : int
        Regions shown; of regions that overlap much, only the best.
    padding : int
        Context in the crops, in pixels of a 227-pixel crop.
    """

    def __init__(self, image, boxes, pool5, *, n_top: int = 8, padding: int = CONTEXT_PADDING):
        self._full_image, self._view = image, _View(image, longest=560)
        self.boxes, self.pool5 = as_boxes(boxes), np.asarray(pool5)
        if self.pool5.ndim != 4 or len(self.pool5) != len(self.boxes) or len(self.boxes) == 0:
            raise ValueError(
                f"pool5 must have shape [{len(self.boxes)}, channels, h, w] and not be empty, "
                f"got {list(self.pool5.shape)}; reshape features with network.feature_shape('pool5')"
            )
        self.n_top, self.padding = n_top, padding
        n_channels = self.pool5.shape[1]
        super().__init__({"channel": _int_slider("channel", 0, n_channels - 1, 0)})

    def _draw(self, channel):
        maps = self.pool5[:, channel].astype(np.float32)
        strongest = maps.max(axis=(1, 2))
        top = nms(self.boxes, strongest, iou_threshold=0.4)[: self.n_top]
        marked = draw_boxes(
            self._view.image, self._view.scaled(self.boxes[top]), [str(i + 1) for i in range(len(top))]
        )
        peak = max(float(strongest.max()), 1e-12)
        crops = [self._spotlight(self.boxes[region], maps[region] / peak) for region in top]
        captions = [f"{i + 1}: {strongest[region]:.2f}" for i, region in enumerate(top)]
        sheet = montage(crops, captions, columns=4, cell=(136, 136))
        active = float((strongest > 0).mean())
        return _beside(marked, sheet), (
            f"Channel {channel}: the {len(top)} regions that excite it most, with their highest activation; "
            f"bright is where. {100 * active:.0f}% of {len(self.boxes)} regions excite it at all."
        )

    def _spotlight(self, box, activation):
        """The crop, dark where the channel is silent."""
        size = 136
        padding = round(self.padding * size / 227)
        crop = warp_reference(self._full_image, box, size=size, padding=padding, mean=_IMAGENET_MEAN)
        light = cv2.resize(np.clip(activation, 0, 1), (size, size), interpolation=cv2.INTER_CUBIC)
        return np.clip(np.rint(crop * (0.25 + 0.75 * np.clip(light, 0, 1))[:, :, None]), 0, 255).astype(
            np.uint8
        )


class HardNegativeBrowser(Explorer):
    """The negatives that a class's SVM finds hardest, each in its image.

    Parameters
    ----------
    dataset : VOCDataset
    hardest : pandas frame
        One row a negative, hardest first within a class, with columns class, image_id, score, x1, y1, x2, y2,
        as in ``hardest_`` of the trained SVMs. With a column ``round`` there is a slider for it.
    n_shown : int
        Crops shown at a time; a rank beyond the last negative of a class shows that last one.
    """

    def __init__(self, dataset, hardest, *, n_shown: int = 12):
        self.dataset, self.hardest, self.n_shown = dataset, hardest, n_shown
        self._images = _ImageCache(dataset)
        if len(hardest) == 0:
            raise ValueError("the frame of hard negatives is empty: nothing to browse")
        classes = list(dict.fromkeys(hardest["class"]))
        most = int(hardest.groupby([c for c in ("class", "round") if c in hardest.columns]).size().max())
        controls = {"name": _dropdown("class", classes), "rank": _int_slider("rank", 1, most, 1)}
        if "round" in hardest.columns:
            rounds = sorted(hardest["round"].unique().tolist())
            controls["round"] = ipywidgets.SelectionSlider(
                options=rounds, value=rounds[-1], description="round", layout=_LAYOUT, style=_LABELS
            )
        super().__init__(controls)

    def _draw(self, name, rank, round=None):
        rows = self.hardest[self.hardest["class"] == name]
        if round is not None:
            rows = rows[rows["round"] == round]
        if len(rows) == 0:
            blank = np.full((120, _LONGEST, 3), 255, np.uint8)
            return blank, f"There are no hard negatives of class {name} in round {round}."
        rank = min(rank, len(rows))
        first = (rank - 1) // self.n_shown * self.n_shown
        page = rows.iloc[first : first + self.n_shown]
        boxes = page[["x1", "y1", "x2", "y2"]].to_numpy(dtype=np.float32)
        crops = [
            warp_reference(self._images[image_id], box, size=96, padding=7, mean=_IMAGENET_MEAN)
            for image_id, box in zip(page["image_id"], boxes, strict=True)
        ]
        sheet = montage(
            [np.clip(np.rint(crop), 0, 255).astype(np.uint8) for crop in crops],
            [f"{first + i + 1}: {score:.2f}" for i, score in enumerate(page["score"])],
            columns=4,
            styles=["fp" if first + i + 1 == rank else "proposal" for i in range(len(page))],
        )
        chosen = page.iloc[rank - 1 - first]
        annotation = self.dataset.annotation(chosen["image_id"])
        view = _View(self._images[chosen["image_id"]], longest=480)
        marked = draw_boxes(
            view.image,
            view.scaled(np.concatenate([boxes[[rank - 1 - first]], as_boxes(annotation.boxes)])),
            [f"✗ {name} {chosen['score']:.2f}", *annotation.names],
            ["fp"] + ["truth"] * len(annotation.names),
        )
        same = np.array([other == name for other in annotation.names], dtype=bool)
        overlaps = iou(boxes[[rank - 1 - first]], as_boxes(annotation.boxes)[same])
        overlap = float(overlaps.max()) if overlaps.size else 0.0
        return _beside(marked, sheet), (
            f"Hard negative {rank} of {len(rows)} for {name}, in image {chosen['image_id']}: SVM score "
            f"{chosen['score']:.2f}, IoU {overlap:.2f} with the nearest {name}. Dotted: the objects."
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
        _check_same(detections, evaluation)
        self.dataset, self.detections, self.evaluation = dataset, detections, evaluation
        self._images = _ImageCache(dataset)
        image_ids = list(detections.image_ids if image_ids is None else image_ids)
        controls = {
            "score": _score_slider("score at least", detections.scores, score),
            "image_id": _dropdown("image", image_ids),
            "name": _dropdown("class", [("all classes", ""), *[(name, name) for name in detections.classes]]),
        }
        super().__init__(controls)

    def _draw(self, score, image_id, name):
        found, result = self.detections, self.evaluation
        if image_id in found.image_ids:
            shown = (found.image_index == found.image_ids.index(image_id)) & (found.scores >= score)
        else:
            shown = np.zeros(len(found), dtype=bool)
        if name:
            shown &= found.class_index == found.classes.index(name)
        rows = np.flatnonzero(shown)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        names = [found.classes[i] for i in found.class_index[rows]]
        precisions = [
            result.precision_at(each, value) for each, value in zip(names, found.scores[rows], strict=True)
        ]
        outcomes = result.outcomes[rows]
        annotation = self.dataset.annotation(image_id)
        wanted = np.array(
            [each in found.classes and name in ("", each) for each in annotation.names], dtype=bool
        )
        wanted &= ~np.asarray(annotation.difficult, dtype=bool)
        missed = wanted.copy()
        missed[result.match_object[rows[outcomes == "tp"]]] = False
        view = _View(self._images[image_id])
        styles = [*outcomes.tolist(), *["missed"] * int(missed.sum())]
        names += [annotation.names[i] for i in np.flatnonzero(missed)]
        picture = draw_detections(
            view.image,
            view.scaled(np.concatenate([found.boxes[rows], as_boxes(annotation.boxes)[missed]])),
            names,
            precisions + [np.nan] * int(missed.sum()),
            outcomes=styles,
        )
        right, wrong = int((outcomes == "tp").sum()), int(np.isin(outcomes, ["fp", "duplicate"]).sum())
        return picture, (
            f"Image {image_id}, score {score:.2f} or more: {right} right and {wrong} wrong detections; "
            f"{int(wanted.sum() - missed.sum())} of {int(wanted.sum())} objects found. The number behind a class "
            "is the precision at that score."
        )


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
        self._view = _View(image)
        self.boxes, self.scores = as_boxes(boxes), np.asarray(scores, dtype=np.float32)
        if self.scores.shape != (len(self.boxes), len(classes)) or self.scores.size == 0:
            raise ValueError(
                f"scores must have shape [{len(self.boxes)}, {len(classes)}] and not be empty, "
                f"got {list(self.scores.shape)}"
            )
        self.classes = list(classes)
        self.truth = as_boxes([] if truth is None else truth)
        self.names = [""] * len(self.truth) if names is None else list(names)
        best_class = self.classes[int(self.scores.max(axis=0).argmax())]
        controls = {
            "name": _dropdown("class", self.classes, best_class),
            "score": _score_slider("score at least", self.scores, score),
            "iou_threshold": ipywidgets.FloatSlider(
                value=NMS_IOU,
                min=0,
                max=1,
                step=0.05,
                description="NMS: IoU above",
                layout=_LAYOUT,
                style=_LABELS,
            ),
        }
        super().__init__(controls)

    def _draw(self, name, score, iou_threshold):
        scores = self.scores[:, self.classes.index(name)]
        candidates = np.flatnonzero(scores >= score)
        kept = candidates[nms(self.boxes[candidates], scores[candidates], iou_threshold=iou_threshold)]
        dropped = np.setdiff1d(candidates, kept)
        dropped = dropped[np.argsort(-scores[dropped], kind="stable")]
        picture = draw_boxes(
            self._view.image,
            self._view.scaled(self.boxes[dropped[: self._MOST_DRAWN]]),
            styles="ignored",
            line_width=1,
        )
        truth = self.truth[[each in (name, "") for each in self.names]]
        kept_drawn = kept[: self._MOST_DRAWN]
        boxes = np.concatenate([self.boxes[kept_drawn], truth])
        labels = [f"{name} {scores[i]:.2f}" for i in kept_drawn] + [""] * len(truth)
        styles = ["detection"] * len(kept_drawn) + ["truth"] * len(truth)
        picture = draw_boxes(picture, self._view.scaled(boxes), labels, styles)
        return picture, (
            f"{len(candidates)} of {len(scores)} regions score {score:.2f} or more for {name}. Suppression above "
            f"an IoU of {iou_threshold:.2f} keeps {len(kept)} (solid) and drops {len(dropped)} (dotted)."
        )


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
        _check_same(detections, evaluation)
        self.dataset, self.detections, self.evaluation = dataset, detections, evaluation
        self._images = _ImageCache(dataset)
        names = [name for name, curve in evaluation.curves.items() if len(curve) and curve.n_positives]
        if not names:
            raise ValueError("no class has both objects and detections: there is no curve to explore")
        most = max(len(evaluation.curves[name]) for name in names)
        super().__init__({"name": _dropdown("class", names), "rank": _int_slider("detection", 1, most, 1)})

    def _draw(self, name, rank):
        curve = self.evaluation.curves[name]
        rank = min(rank, len(curve))
        row = int(curve.detection[rank - 1])
        found, result = self.detections, self.evaluation
        image_id = found.image_ids[found.image_index[row]]
        outcome, overlap = str(result.outcomes[row]), float(result.match_iou[row])
        view = _View(self._images[image_id], longest=480)
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
        return _beside(_curve_picture(curve, rank - 1), picture), (
            f"Detection {rank} of {len(curve)} for {name}, score {found.scores[row]:.2f}, in image {image_id}: "
            f"{verdict}; {nearest}. Up to here precision is {curve.precision[rank - 1]:.2f} and recall "
            f"{curve.recall[rank - 1]:.2f}; AP {100 * result.ap[name]:.1f}%."
        )


class _View:
    """An image scaled for showing, with its boxes."""

    def __init__(self, image, *, longest=_LONGEST):
        self.scale = min(2.0, longest / max(image.shape[:2]))
        height, width = round(image.shape[0] * self.scale), round(image.shape[1] * self.scale)
        self.image = fit(image, max(height, 1), max(width, 1))

    def scaled(self, boxes):
        return as_boxes(boxes) * np.float32(self.scale)


class _ImageCache:
    """The last few images of a data set, since sliders come back to the same ones."""

    def __init__(self, dataset, size=32):
        self._dataset, self._size, self._images = dataset, size, OrderedDict()

    def __getitem__(self, image_id):
        if image_id not in self._images:
            self._images[image_id] = self._dataset.image(image_id)
        self._images.move_to_end(image_id)
        while len(self._images) > self._size:
            self._images.popitem(last=False)
        return self._images[image_id]


def _int_slider(description, low, high, value):
    return ipywidgets.IntSlider(
        value=value, min=low, max=high, description=description, layout=_LAYOUT, style=_LABELS
    )


def _dropdown(description, options, value=None):
    options = list(options)
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return ipywidgets.Dropdown(
        options=options,
        value=first if value is None else value,
        description=description,
        layout=_LAYOUT,
        style=_LABELS,
    )


def _score_slider(description, scores, value):
    """A slider over the range of the scores, in steps of 0.05."""
    low, high = (float(np.min(scores)), float(np.max(scores))) if np.size(scores) else (-1.0, 1.0)
    low, high = np.floor(low * 20) / 20, np.ceil(high * 20) / 20
    return ipywidgets.FloatSlider(
        value=min(max(value, low), high),
        min=low,
        max=high,
        step=0.05,
        description=description,
        layout=_LAYOUT,
        style=_LABELS,
    )


def _check_value(name, control, value):
    if hasattr(control, "options"):
        allowed = [option[1] if isinstance(option, tuple) else option for option in control.options]
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; choose one of {allowed[:30]}")
    elif hasattr(control, "min") and not control.min <= value <= control.max:
        raise ValueError(f"{name} is {value}; it goes from {control.min} to {control.max}")


def _check_same(detections, evaluation):
    if len(evaluation.outcomes) != len(detections):
        raise ValueError(
            f"the evaluation is of {len(evaluation.outcomes)} detections, but {len(detections)} are given; "
            "evaluate these detections"
        )


def _beside(left, right, gap=10):
    """Two pictures side by side, at the same height or padded with white."""
    height = max(left.shape[0], right.shape[0])
    sheet = np.full((height, left.shape[1] + gap + right.shape[1], 3), 255, np.uint8)
    sheet[: left.shape[0], : left.shape[1]] = left
    sheet[: right.shape[0], left.shape[1] + gap :] = right
    return sheet


def _outline_region(picture, mask, colour):
    """Draw the border of a mask, given at any resolution, over a picture."""
    height, width = picture.shape[:2]
    mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (0, 0, 0), 5)
    cv2.drawContours(picture, contours, -1, rgb(colour), 3)


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
    line = rgb("blue")
    cv2.polylines(sheet, [pixel(curve.recall, curve.precision)], False, line, 2, cv2.LINE_AA)
    mark = rgb("vermillion")
    centre = tuple(pixel(curve.recall[point], curve.precision[point]).tolist())
    cv2.circle(sheet, centre, 8, (0, 0, 0), -1, cv2.LINE_AA)
    cv2.circle(sheet, centre, 6, mark, -1, cv2.LINE_AA)
    for tick in (0.0, 0.5, 1.0):
        x, y = pixel(tick, tick).tolist()
        write(sheet, f"{tick:.1f}", x - 14, above + size + 4)
        write(sheet, f"{tick:.1f}", margin - 36, y - 9)
    write(sheet, "recall", margin + size // 2 - 26, above + size + 24)
    write(sheet, "precision", 4, 4)
    return sheet
