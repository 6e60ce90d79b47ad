"""The explorer of SVM training: the negatives that are hard, round by round."""

import cv2
import numpy as np

from rcnn_helpers.boxes import as_boxes, iou
from rcnn_helpers.drawing import draw_boxes, montage, rgb, write
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.warping import warp_reference
from rcnn_helpers.widgets.controls import dropdown, int_slider, steps
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN, LONGEST, ImageCache, View, above, beside, pixels

_CORNERS = ["x1", "y1", "x2", "y2"]
_REGION = ["image_id", *_CORNERS]  # tells one region from another


class HardNegativeBrowser(Explorer):
    """The hard-negative rounds of a class: the negatives its SVM finds hardest, each in its image.

    Parameters
    ----------
    dataset : VOCDataset
    hardest : pandas frame
        One row a negative, hardest first within a class, with columns class, image_id, score, x1, y1, x2, y2,
        as in ``hardest_`` of the trained SVMs. With a column ``round`` there is a slider for it, a small plot of
        the scores in all rounds, and a word at those negatives that no earlier round of the class had.
    n_shown : int
        Crops shown at a time; a rank beyond the last negative of a class shows that last one.
    """

    def __init__(self, dataset, hardest, *, n_shown: int = 12):
        _check_frame(hardest)
        self.dataset, self.hardest, self.n_shown = dataset, hardest, n_shown
        self._images = ImageCache(dataset)
        classes = list(dict.fromkeys(hardest["class"]))
        controls = {"name": dropdown("class", classes), "rank": int_slider("rank", 1, 1, 1)}
        if "round" in hardest.columns:
            controls["round"] = steps("round", sorted(hardest["round"].unique().tolist()))
            first_round = hardest.groupby(["class", *_REGION])["round"].transform("min")
            hardest = hardest.assign(new=hardest["round"] == first_round)
            self._groups = dict(list(hardest.groupby(["class", "round"])))
        else:
            self._groups = {(name, None): rows for name, rows in hardest.groupby("class")}
        super().__init__(controls)

    def _maxima(self, state):
        return {"rank": len(self._rows(state["name"], state.get("round")))}

    def _rows(self, name, round):
        """The negatives of a class, in a round if there are rounds."""
        return self._groups.get((name, round), self.hardest.iloc[:0])

    def _draw(self, name, rank, round=None):
        rows = self._rows(name, round)
        in_round = "" if round is None else f" in round {round}"
        if len(rows) == 0:
            blank = np.full((120, LONGEST, 3), 255, np.uint8)
            return blank, f"There are no hard negatives of class {name}{in_round}."
        chosen = rows.iloc[rank - 1]
        picture, overlap = self._in_its_image(chosen)
        came_in = ""
        if round is not None:
            if round != self.controls["round"].options[0]:
                came_in = f" Of the {len(rows)} negatives {rows['new'].sum()} are new in this round."
            scores = {each: self._rows(name, each)["score"] for each in self.controls["round"].options}
            picture = above(picture, _plot_of_rounds(scores, round, chosen["score"], picture.shape[1]))
        return beside(picture, self._page(rows, rank)), (
            f"Hard negative {rank} of {len(rows)} for {name}{in_round}, in image {chosen['image_id']}: SVM score "
            f"{chosen['score']:.2f}, IoU {overlap:.2f} with the nearest {name}. Dotted: the objects.{came_in}"
        )

    def _in_its_image(self, chosen):
        """The image with a negative and the objects, and the best IoU with an object of its class."""
        annotation = self.dataset.annotation(chosen["image_id"])
        box, truth = chosen[_CORNERS].to_numpy(dtype=np.float32)[None], as_boxes(annotation.boxes)
        view = View(self._images[chosen["image_id"]], longest=480)
        labels = [f"✗ {chosen['class']} {chosen['score']:.2f}", *annotation.names]
        styles = ["fp"] + ["truth"] * len(truth)
        picture = draw_boxes(view.image, view.scaled(np.concatenate([box, truth])), labels, styles)
        same = np.array([name == chosen["class"] for name in annotation.names], dtype=bool)
        return picture, float(iou(box, truth[same]).max(initial=0.0))

    def _page(self, rows, rank):
        """Crops of the negatives around a rank, the chosen one framed; new ones of a round say so."""
        first = (rank - 1) // self.n_shown * self.n_shown
        page = rows.iloc[first : first + self.n_shown]
        crops = [
            pixels(warp_reference(self._images[image_id], box, size=96, padding=7, mean=IMAGENET_MEAN))
            for image_id, box in zip(page["image_id"], page[_CORNERS].to_numpy(np.float32), strict=True)
        ]
        captions = [f"{first + i + 1}: {score:.2f}" for i, score in enumerate(page["score"])]
        if "new" in page.columns:
            captions = [
                f"{caption}\n{'new' if new else ''}"
                for caption, new in zip(captions, page["new"], strict=True)
            ]
        styles = ["fp" if first + i + 1 == rank else "proposal" for i in range(len(page))]
        return montage(crops, captions, columns=4, styles=styles)


def _plot_of_rounds(scores, round, chosen, width):
    """Scores as dots, a column a round; this round's are red and the chosen one is ringed."""
    everything = np.concatenate([[0.0, -1.0], *scores.values()])
    low, high = everything.min() - 0.1, everything.max() + 0.1
    left, right, top, bottom = 60, width - 16, 30, 150
    step = (right - left) / len(scores)

    def place(number, score):
        y = bottom - (score - low) / (high - low) * (bottom - top)
        return int(left + (number + 0.5) * step), int(y)

    sheet = np.full((bottom + 26, width, 3), 255, np.uint8)
    write(sheet, "SVM scores of these negatives, round by round", 6, 4)
    for mark, score in (("0", 0), ("-1", -1)):  # taken for the class; on the margin
        y = place(0, score)[1]
        cv2.line(sheet, (left, y), (right, y), (170, 170, 170), 1)
        write(sheet, mark, 30, y - 9)
    for number, (each, values) in enumerate(scores.items()):
        this = each == round
        colour, radius = (rgb("vermillion"), 4) if this else ((120, 120, 120), 3)
        x = place(number, 0)[0]
        write(sheet, f"[{each}]" if this else str(each), x - (13 if this else 7), bottom + 4)
        for score in values:
            cv2.circle(sheet, place(number, score), radius, colour, -1, cv2.LINE_AA)
        if this:
            cv2.circle(sheet, place(number, chosen), 8, (0, 0, 0), 2, cv2.LINE_AA)
    return sheet


def _check_frame(hardest):
    missing = [name for name in ("class", "score", *_REGION) if name not in hardest.columns]
    if missing:
        raise DisplayError(
            f"the frame of hard negatives lacks {', '.join(missing)}; give one like svms.hardest_"
        )
    if len(hardest) == 0:
        raise DisplayError("the frame of hard negatives is empty: nothing to browse")
    if hardest["score"].isna().any():
        raise DisplayError("scores of hard negatives hold NaN, so they have no order; leave those rows out")
