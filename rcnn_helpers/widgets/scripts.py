"""The browser's halves of the widgets, each one script that imports nothing: a page has no address to import from.

What all of them need stands once, in ``common.js``, and is put before a widget's own script.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def script(name: str) -> str:
    """The whole script of the widget whose own part is ``name.js``."""
    parts = (_HERE / f"{part}.js" for part in ("common", name))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def style(name: str) -> str:
    """The style sheet of a widget."""
    return (_HERE / f"{name}.css").read_text(encoding="utf-8")
