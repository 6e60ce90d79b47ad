"""What all explorers share: controls on top, a line of words, a picture; and what happens when a control moves."""

import base64
import html

import ipywidgets
import numpy as np

from rcnn_helpers.drawing import with_caption
from rcnn_helpers.widgets.pictures import jpeg, small_jpeg, within


class Explorer(ipywidgets.VBox):
    """Base of all explorers: controls above, text and picture below.

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
        self._following = False
        super().__init__([*controls.values(), self.text, self.picture])
        self._set_maxima()
        for control in controls.values():
            control.observe(self._moved, names="value")
        self._show()

    def render(self, *values, **state) -> np.ndarray:
        """The picture with its text below, uint8 [H, W, 3], for the given values of the controls."""
        picture, text = self._draw(**self._state(values, state))
        return with_caption(picture, text)

    def describe(self, *values, **state) -> str:
        """The text for the given values of the controls; it serves as the picture's alt text."""
        return self._draw(**self._state(values, state))[1]

    def _repr_mimebundle_(self, **options):
        """The live view, and beside it the present picture with its text, for wherever no widget can run."""
        picture, text = self._draw(**self._values())
        still = small_jpeg(with_caption(within(picture, 900), text))
        content = super()._repr_mimebundle_(**options)
        content |= {"image/jpeg": base64.b64encode(still).decode(), "text/plain": text}
        return content, {"image/jpeg": {"alt": text}}

    def _draw(self, **state):
        """Return the picture and the text for the given values of all controls."""
        raise NotImplementedError

    def _maxima(self, state) -> dict[str, int]:
        """Return the highest value of each slider whose range depends on other controls."""
        return {}

    def _follow(self, change):
        """Bring other controls in line with the one that has moved; nothing is drawn meanwhile."""
        self._set_maxima()

    def _show(self):
        """Draw picture and text for the present values of the controls."""
        self._put(*self._draw(**self._values()))

    def _put(self, picture, text):
        self.picture.value = jpeg(picture)
        # role="status": screen readers speak the text when it changes.
        self.text.value = f'<div role="status">{html.escape(text)}</div>'

    def _moved(self, change):
        """A control has moved: let the others follow, then draw once. What goes wrong is shown, and raised.

        Raising alone would do in a script or a test. But while a person moves the control, the error of a message
        from the browser only reaches a log that nobody looks at.
        """
        if self._following:
            return
        try:
            self._following = True
            try:
                self._follow(change)
            finally:
                self._following = False
            self._show()
        except Exception as error:
            told = f"This could not be drawn, the picture is an earlier one. {type(error).__name__}: {error}"
            self.text.value = f'<div role="alert"><b>{html.escape(told)}</b></div>'
            raise

    def _values(self):
        return {name: control.value for name, control in self.controls.items()}

    def _highest(self, state):
        """What `_maxima` says, but never below a slider's lowest value."""
        return {name: max(highest, self.controls[name].min) for name, highest in self._maxima(state).items()}

    def _set_maxima(self):
        for name, highest in self._highest(self._values()).items():
            self.controls[name].max = highest

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
            _check_choice(name, value, self.controls[name])
        state = self._values() | given
        highest = self._highest(state)
        for name, most in highest.items():  # beyond the last is the last
            state[name] = min(state[name], most)
        for name in given:
            _check_range(name, state[name], self.controls[name], highest.get(name))
        return state


def _check_choice(name, value, control):
    if hasattr(control, "options"):
        allowed = [option[1] if isinstance(option, tuple) else option for option in control.options]
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; choose one of {allowed[:30]}")


def _check_range(name, value, control, highest=None):
    if hasattr(control, "min"):
        highest = control.max if highest is None else highest
        if not control.min <= value <= highest:
            raise ValueError(f"{name} is {value}; it goes from {control.min} to {highest}")
