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
_COLUMNS = ("class", "image_id", "score", *_CORNERS)


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
        super().__init__(controls)

    def _maxima(self, state):
        return {"rank": len(self._rows(state["name"], state.get("round")))}

    def _rows(self, name, round):
        chosen = self.hardest["class"] == name
        if round is not None:
            chosen &= self.hardest["round"] == round
        return self.hardest[chosen]

    def _draw(self, name, rank, round=None):
        rows = self._rows(name, round)
        in_round = "" if round is None else f" in round {round}"
        if len(rows) == 0:
            blank = np.full((120, LONGEST, 3), 255, np.uint8)
            return blank, f"There are no hard negatives of class {name}{in_round}."
        chosen = rows.iloc[rank - 1]
        picture, overlap = self._in_its_image(chosen)
        came_in = "" if round is None else self._newcomers(rows, name, round)
        if round is not None:
            picture = above(picture, self._plot_of_rounds(name, round, chosen["score"], picture.shape[1]))
        return beside(picture, self._page(rows, rank, name, round)), (
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

    def _page(self, rows, rank, name, round):
        """Crops of the negatives around a rank, the chosen one framed; new ones of a round say so."""
        first = (rank - 1) // self.n_shown * self.n_shown
        page = rows.iloc[first : first + self.n_shown]
        crops = [
            pixels(warp_reference(self._images[image_id], box, size=96, padding=7, mean=IMAGENET_MEAN))
            for image_id, box in zip(page["image_id"], page[_CORNERS].to_numpy(np.float32), strict=True)
        ]
        captions = [f"{first + i + 1}: {score:.2f}" for i, score in enumerate(page["score"])]
        if round is not None:
            new = self._is_new(page, name, round)
            captions = [f"{caption}\n{'new' if n else ''}" for caption, n in zip(captions, new, strict=True)]
        styles = ["fp" if first + i + 1 == rank else "proposal" for i in range(len(page))]
        return montage(crops, captions, columns=4, styles=styles)

    def _is_new(self, rows, name, round):
        """Whether each negative is in no earlier round of its class."""
        of_class = self.hardest[self.hardest["class"] == name]
        earlier = set(_regions(of_class[of_class["round"] < round]))
        return [region not in earlier for region in _regions(rows)]

    def _newcomers(self, rows, name, round):
        if (self.hardest["round"] >= round).all():
            return ""
        return f" {sum(self._is_new(rows, name, round))} of them are new in this round."

    def _plot_of_rounds(self, name, round, score, width):
        """The scores of all rounds as dots, this round's strong, the chosen one ringed."""
        of_class = self.hardest[self.hardest["class"] == name]
        rounds = self.controls["round"].options
        low = min(-1.0, float(of_class["score"].min())) - 0.1
        high = max(0.0, float(of_class["score"].max())) + 0.1
        left, right, top, bottom = 60, width - 16, 30, 150
        step = (right - left) / len(rounds)

        def place(number, value):
            y = bottom - (value - low) / (high - low) * (bottom - top)
            return int(left + (number + 0.5) * step), int(y)

        sheet = np.full((bottom + 26, width, 3), 255, np.uint8)
        write(sheet, f"SVM score of the hardest for {name}, by round", 6, 4)
        for line in (0, -1):
            y = place(0, line)[1]
            cv2.line(sheet, (left, y), (right, y), (170, 170, 170), 1)
            write(sheet, f"{line:+d}" if line else "0", 26, y - 9)
        for number, each in enumerate(rounds):
            this = each == round
            write(
                sheet,
                f"[{each}]" if this else f"{each}",
                place(number, 0)[0] - (12 if this else 5),
                bottom + 4,
            )
            colour = rgb("vermillion") if this else (120, 120, 120)
            for value in of_class.loc[of_class["round"] == each, "score"]:
                cv2.circle(sheet, place(number, value), 4 if this else 3, colour, -1, cv2.LINE_AA)
            if this:
                cv2.circle(sheet, place(number, score), 8, (0, 0, 0), 2, cv2.LINE_AA)
        return sheet


def _regions(rows):
    """What tells one region from another: its image and its box."""
    return zip(rows["image_id"], *(rows[side] for side in _CORNERS), strict=True)


def _check_frame(hardest):
    missing = [name for name in _COLUMNS if name not in hardest.columns]
    if missing:
        raise DisplayError(
            f"the frame of hard negatives lacks {', '.join(missing)}; give one like svms.hardest_"
        )
    if len(hardest) == 0:
        raise DisplayError("the frame of hard negatives is empty: nothing to browse")
    if hardest["score"].isna().any():
        raise DisplayError("scores of hard negatives hold NaN, so they have no order; leave those rows out")
