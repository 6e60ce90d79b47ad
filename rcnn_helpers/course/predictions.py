"""Predictions: the learner writes down what will come out, and meets it again when it has.

A prompt in the notebook's text puts the question. ``predict`` shows a field for the answer, ``meet`` sets it
beside the result. An answer is kept, so that it is still there after a restart; whoever runs all cells first and
answers later sees the comparison appear.
"""

import html
import math
import re
from numbers import Real

import ipywidgets
from IPython.display import Markdown, display

from rcnn_helpers.course import progress
from rcnn_helpers.errors import SettingsError

# What `meet` has shown in this kernel: name -> (display handle, actual, unit).
_met: dict[str, tuple] = {}


class Prediction(ipywidgets.VBox):
    """A field for one prediction.

    Parameters
    ----------
    name : str
        Unique in the course, with the notebook's number in front: ``"01 boxes in a picture"``.
    label : str
        What is asked for, in a few words.
    choices : sequence of str, optional
        Answers to choose from; without them, the answer is a number.
    """

    def __init__(self, name: str, label: str, choices=None):
        self.name, self.choices = name, None if choices is None else [str(choice) for choice in choices]
        before = (progress.recall("prediction", name) or {}).get("answer")
        layout = {"width": "max-content", "max_width": "100%"}
        if self.choices is None:
            self.field = ipywidgets.Text(
                value="" if before is None else f"{before:g}" if isinstance(before, Real) else "",
                placeholder="a number",
                continuous_update=False,
            )
        else:
            self.field = ipywidgets.RadioButtons(
                options=self.choices, value=before if before in self.choices else None, layout=layout
            )
        self.text = ipywidgets.HTML()
        title = ipywidgets.HTML(f"<b>Your prediction.</b> {html.escape(label)}")
        super().__init__([title, self.field, self.text])
        self.field.observe(self._write_down, names="value")

    def _write_down(self, change):
        try:
            answer = change["new"] if self.choices else parse_number(change["new"])
        except ValueError as error:
            self.text.value = f'<div role="status">{html.escape(str(error))}</div>'
            return
        progress.record("prediction", self.name, {"answer": answer})
        self.text.value = '<div role="status">Written down.</div>'
        if self.name in _met:
            handle, actual, unit = _met[self.name]
            handle.update(Markdown(_comparison(answer, actual, unit)))

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        bundle["text/plain"] = "(In JupyterLab, you write your prediction down here.)"
        return bundle


def predict(name: str, label: str, *, choices=None) -> Prediction:
    """Show a field for a prediction; see `Prediction`."""
    return Prediction(name, label, choices)


def meet(name: str, actual, *, unit: str = "") -> None:
    """Set the result beside what was predicted.

    Parameters
    ----------
    name : str
        Of the prediction.
    actual : number or str
        What came out: a number, or the right one of the choices.
    unit : str
        Written behind numbers, such as ``"%"`` or ``" s"``.

    Raises
    ------
    SettingsError
        If a number is to be met that is not finite.
    """
    if isinstance(actual, Real) and not math.isfinite(actual):
        raise SettingsError(f"prediction {name!r} meets {actual}, which is no result")
    answer = (progress.recall("prediction", name) or {}).get("answer")
    handle = display(Markdown(_comparison(answer, actual, unit)), display_id=True)
    _met[name] = (handle, actual, unit)


def parse_number(text: str) -> float:
    """Read a number the way people write it: ``1,000``, ``12 %``, ``1e9``, ``10^9``, ``3/4``.

    Raises
    ------
    ValueError
        If it is none; the message gives examples.
    """
    plain = text.strip().rstrip("%").replace(" ", "").replace("_", "")
    plain = re.sub(r",(?=\d{3}(\D|$))", "", plain).replace(",", ".")
    number = r"[-+]?[\d.]+(?:e[-+]?\d+)?"
    match = re.fullmatch(rf"(?P<base>{number})(?:(?P<sign>\^|\*\*|/)(?P<other>{number}))?", plain, re.I)
    try:
        value = float(match["base"])
        if match["sign"]:
            other = float(match["other"])
            value = value / other if match["sign"] == "/" else value**other
        if not math.isfinite(value):
            raise OverflowError
        return value
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{text!r} is not read as a number; write it like 250, 0.3, 1e9 or 10^9") from None


def _comparison(answer, actual, unit) -> str:
    came = f"**{_shown(actual)}{unit if isinstance(actual, Real) else ''}**"
    if answer is None or isinstance(answer, Real) != isinstance(actual, Real):
        return f"○ It is {came}. No prediction was written down."
    said = f"**{_shown(answer)}{unit if isinstance(answer, Real) else ''}**"
    if _shown(answer) == _shown(actual):
        return f"✓ You predicted {said}, and so it is."
    return f"→ You predicted {said}. It is {came}."


def _shown(value) -> str:
    if not isinstance(value, Real):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
