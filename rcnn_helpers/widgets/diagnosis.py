"""The explorer of a diagnosis: click a bar and see the false positives, or the missed objects, behind it."""

from types import SimpleNamespace

import ipywidgets
import numpy as np

from rcnn_helpers.diagnosis.examples import Examples, picture_of
from rcnn_helpers.diagnosis.false_positives import FP_TYPES
from rcnn_helpers.diagnosis.looks import LOOKS
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.widgets.bar_chart import BarChart, draw_bars
from rcnn_helpers.widgets.controls import dropdown, int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import ImageCache, above, beside

KINDS = ("tp", *FP_TYPES, "missed")
_ALL = float("inf")
# How many of a class's best-scored detections are counted, in multiples of its objects; and in words.
_AMONG = {
    0.25: ("¼ x objects", "a quarter as many detections as there are objects"),
    0.5: ("½ x objects", "half as many detections as there are objects"),
    1.0: ("1 x objects", "as many detections as there are objects"),
    2.0: ("2 x objects", "twice as many detections as there are objects"),
    4.0: ("4 x objects", "four times as many detections as there are objects"),
    8.0: ("8 x objects", "eight times as many detections as there are objects"),
    _ALL: ("all detections", "all detections"),
}


class DiagnosisExplorer(Explorer):
    """Bars of what a detector's best-scored detections are, and the picture behind each one of them.

    A click on a bar, or an arrow key on the chart, chooses what is shown; where the browser cannot run the chart,
    a list does the same. The slider below goes through the examples, best score first.

    Parameters
    ----------
    dataset : VOCDataset
        Where it has no pictures, boxes are drawn on a grey canvas.
    diagnoses : mapping of str to Diagnosis
        Detectors by name, of this data set.
    name : str
        Class shown at first; by default all classes.
    kind : str, optional
        What is shown at first: ``"tp"``, one of the types of false positive, or ``"missed"``. By default the most
        frequent type of false positive.
    among : float
        Detections counted at first, in multiples of a class's objects; infinity for all.

    Raises
    ------
    DisplayError
        If there is no diagnosis.
    """

    def __init__(self, dataset, diagnoses, *, name: str = "", kind: str | None = None, among: float = 1.0):
        if not diagnoses:
            raise DisplayError(
                "there is nothing to explore; give at least one diagnosis by its detector's name"
            )
        self.diagnoses = dict(diagnoses)
        self._images = ImageCache(SimpleNamespace(image=lambda image_id: picture_of(dataset, image_id)))
        self._sorted = {each: _Sorted(diagnosis) for each, diagnosis in self.diagnoses.items()}
        detectors = list(self.diagnoses)
        classes = list(dict.fromkeys(c for diagnosis in self.diagnoses.values() for c in diagnosis.classes))
        if kind is None:
            numbers = self._sorted[detectors[0]].numbers(name, among)
            kind = max(FP_TYPES, key=numbers.get)
        controls = {
            "detector": dropdown("detector", detectors),
            "name": dropdown("class", [("all classes", ""), *((each, each) for each in classes)], name),
            "among": dropdown("among the best", [(text, n) for n, (text, _) in _AMONG.items()], among),
            "kind": dropdown("show", [(f"{each}: {LOOKS[each].word}", each) for each in KINDS], kind),
            "rank": int_slider("example", 1, 1, 1),
        }
        if len(detectors) == 1:
            controls["detector"].layout.display = "none"  # nothing to choose
        # Not shown until the browser says that it can draw it.
        self.chart = BarChart(
            selected=kind,
            label="Choose a bar by a click or with the arrow keys, and see what is behind it.",
            layout={"display": "none"},
        )
        super().__init__(controls)
        self._lay_out()
        self.chart.observe(self._moved, names=["selected", "alive"])

    def _lay_out(self):
        in_columns = {"flex_flow": "row wrap", "max_width": "980px"}
        for control in self.controls.values():
            control.layout.width, control.layout.flex, control.layout.max_width = "auto", "1 1 340px", "480px"
        rank = self.controls["rank"]
        others = [control for control in self.controls.values() if control is not rank]
        self.children = [
            ipywidgets.Box(others, layout=in_columns),
            self.chart,
            ipywidgets.Box([rank], layout=in_columns),
            self.text,
            self.picture,
        ]

    def _maxima(self, state):
        return {"rank": len(self._rows(state))}

    def _follow(self, change):
        """Bars and list choose the same thing; whatever is chosen, its first example is shown."""
        if change.owner is self.chart and change.name == "selected":
            self.controls["kind"].value = self.chart.selected
        elif change.owner is self.controls["kind"]:
            self.chart.selected = self.controls["kind"].value
        if change.owner not in (self.controls["rank"], self.chart) or change.name == "selected":
            self.controls["rank"].value = 1
        self._set_maxima()

    def _show(self):
        state = self._values()
        self.chart.bars = self._bars(state)
        if not self.chart.alive:
            super()._show()
            return
        self.chart.layout.display = None
        self._put(*self._example(**state))

    def _draw(self, **state):
        picture, text = self._example(**state)
        return above(draw_bars(self._bars(state), state["kind"]), picture), text

    def _rows(self, state):
        """Rows of the detections, or of the missed objects, that can be looked at."""
        return self._sorted[state["detector"]].rows(state["name"], state["among"], state["kind"])

    def _bars(self, state):
        numbers = self._sorted[state["detector"]].numbers(state["name"], state["among"])
        return [
            {
                "key": kind,
                "label": "right" if kind == "tp" else kind,
                "value": number,
                "text": f"{number:,}",
                "colour": LOOKS[kind].colour,
                "pattern": LOOKS[kind].pattern,
                "title": f"{kind}, {LOOKS[kind].word}: {number:,}",
            }
            for kind, number in numbers.items()
        ]

    def _example(self, *, detector, name, among, kind, rank):
        """The picture and the words of the chosen example."""
        known = self._sorted[detector]
        rows = known.rows(name, among, kind)
        whose = f"{detector}, {name or 'all classes'}, counting {_AMONG[among][1]}"
        if not len(rows):
            nothing = np.full((40, 400, 3), 255, np.uint8)
            return nothing, f"{whose}: no example of {kind} ({LOOKS[kind].word})."
        row = int(rows[rank - 1])
        if kind == "missed":
            example, score = known.examples.of_object(row), ""
            word = "not found by them"
        else:
            example, score = known.examples.of_detection(row), known.diagnosis.detections.scores[row]
            word, score = LOOKS[kind].word, f", score {score:.2f}"
        image = self._images[example.image_id]
        # Small objects need the one, and where they are the other.
        where, close_up = (
            example.picture(image, longest=440, labelled=False),
            example.crop(image, longest=380),
        )
        picture = beside(close_up, where)
        return picture, (
            f"{whose}: number {rank:,} of {len(rows):,} of {kind} ({word}). Image {example.image_id}{score}. "
            f"{example.words}"
        )


class _Sorted:
    """The rows of a diagnosis by class, kind and rank."""

    def __init__(self, diagnosis):
        self.diagnosis, self.examples = diagnosis, Examples(diagnosis)
        # Numbers of the kinds, as comparing names would take too long; -1 for what is ignored.
        self._kind = np.full(len(diagnosis.detections), -1, dtype=np.int8)
        self._kind[diagnosis.outcome == "tp"] = KINDS.index("tp")
        for kind in FP_TYPES:
            self._kind[diagnosis.fp_type == kind] = KINDS.index(kind)
        self._ranked = {name: diagnosis.ranked(name) for name in diagnosis.classes}
        self._by_score = np.argsort(-diagnosis.detections.scores, kind="stable")
        self._counted = {}

    def rows(self, name, among, kind):
        """Detections of a kind, the best-scored first, or missed objects; all classes without a name."""
        if name and name not in self._ranked:
            return np.zeros(0, dtype=np.int64)
        counted = self._best(name, among)
        if kind == "missed":
            return self._missed(name, among)
        return counted[self._kind[counted] == KINDS.index(kind)]

    def numbers(self, name, among):
        """How many there are of each kind."""
        return {kind: len(self.rows(name, among, kind)) for kind in KINDS}

    def _best(self, name, among):
        """The best detections of a class, as many as are counted."""
        if name:
            return self._ranked[name][: self._limit(name, among)]
        if among not in self._counted:
            is_counted = np.zeros(len(self._kind), dtype=bool)
            for each in self._ranked:
                is_counted[self._best(each, among)] = True
            self._counted[among] = self._by_score[is_counted[self._by_score]]
        return self._counted[among]

    def _limit(self, name, among):
        if among == _ALL:
            return None
        return max(1, round(among * self.diagnosis.truth.n_positives(name)))

    def _missed(self, name, among):
        """Objects never found, the surprising ones first; then those found too late, the latest first."""
        never = self.diagnosis.missed(name or None)
        beyond = [
            ranked[self._limit(each, among) :] if among != _ALL else ranked[:0]
            for each, ranked in self._ranked.items()
            if not name or each == name
        ]
        late = np.concatenate(beyond)
        late = late[self._kind[late] == KINDS.index("tp")]
        latest_first = np.argsort(self.diagnosis.detections.scores[late], kind="stable")
        return np.concatenate([never, self.diagnosis.nearest[late[latest_first]]])
