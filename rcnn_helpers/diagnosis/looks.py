"""How each kind of outcome looks, in every figure, page and widget: a colour, a hatch, a word.

Colours are Okabe and Ito's; the hatch tells two kinds apart where colours do not.
"""

from dataclasses import dataclass

from rcnn_helpers.drawing import COLOURS


@dataclass(frozen=True)
class Look:
    """How one kind of outcome is drawn.

    Attributes
    ----------
    word : str
        What it is, in a few words.
    colour : str
        ``#rrggbb``.
    hatch : str
        As matplotlib names it; empty for a plain area.
    pattern : str
        The same hatch as a class of the style sheets: ``"plain"``, ``"stripes"``, ``"crosses"``, ``"dots"``,
        ``"lines"`` or ``"rungs"``.
    """

    word: str
    colour: str
    hatch: str
    pattern: str


# Hoiem's types, and what is neither right nor one of them.
LOOKS = {
    "tp": Look("right", COLOURS["green"], "", "plain"),
    "Loc": Look("poor location or duplicate", COLOURS["sky"], "", "plain"),
    "Sim": Look("confused with a similar class", COLOURS["orange"], "//", "stripes"),
    "Oth": Look("confused with another class", COLOURS["vermillion"], "xx", "crosses"),
    "BG": Look("on background", COLOURS["grey"], "..", "dots"),
    "missed": Look("objects never found", COLOURS["purple"], "--", "lines"),
    "ignored": Look("on a difficult object, not counted", "#FFFFFF", "", "plain"),
}
# TIDE's types; those that mean nearly the same as one of Hoiem's look the same.
TIDE_LOOKS = {
    "Cls": Look("wrong class", COLOURS["orange"], "//", "stripes"),
    "Loc": Look("poor location", COLOURS["sky"], "", "plain"),
    "Both": Look("wrong class and poor location", COLOURS["vermillion"], "xx", "crosses"),
    "Dupe": Look("found before", COLOURS["blue"], "||", "rungs"),
    "Bkg": Look("on background", COLOURS["grey"], "..", "dots"),
    "Miss": Look("object not found", COLOURS["purple"], "--", "lines"),
}
