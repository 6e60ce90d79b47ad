"""A Sphinx extension: formulas as MathML, which browsers draw without any script."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
# A sign right after an operator or an opening bracket, but not after a closing one, belongs to what follows it.
_SIGN = re.compile(
    r"(<mo[^>]*>(?!&#x00029;|&#x0005D;|&#x0007D;|&#x0007C;)[^<]+</mo>)<mo>(&#x0002B;|&#x02212;)</mo>"
)


def mathml(latex: str, *, display: bool, location=None) -> str:
    """Return a LaTeX formula as a MathML element; warn of what the converter does not know."""
    try:
        element = convert(latex, display="block" if display else "inline")
    except Exception as error:
        LOGGER.warning("formula %r: %s", latex, error, type="rcnn", subtype="formula", location=location)
        return ""
    if "\\" in element:  # an unknown command is passed through as text
        LOGGER.warning(
            "formula %r: unknown command", latex, type="rcnn", subtype="formula", location=location
        )
    return _space(element)


def _space(element: str) -> str:
    """Set signs and the names of functions as close to what follows as in print."""
    element = re.sub(r"<mo>([a-z]{2,})</mo>", r"<mi>\1</mi>", element)
    return _SIGN.sub(r'\1<mo form="prefix">\2</mo>', element)


def visit_inline(translator, node: nodes.math) -> None:
    """Write a formula that stands in a sentence."""
    translator.body.append(mathml(node.astext(), display=False, location=node))
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    """Write a formula that stands alone, in a box that scrolls where the screen is narrow."""
    element = mathml(node.astext(), display=True, location=node)
    translator.body.append(f'<div class="formula">{element}</div>\n')
    raise nodes.SkipNode


def setup(app) -> dict:
    """Called by Sphinx: offer ``mathml`` as a renderer of formulas."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
