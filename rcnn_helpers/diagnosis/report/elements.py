"""HTML from Python: whatever is put into an element is escaped, unless it is an element itself."""

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is HTML already."""


def element(name: str, *children, **attributes) -> Markup:
    """An HTML element.

    Parameters
    ----------
    name : str
    *children
        Elements, or anything else, which becomes escaped text.
    **attributes
        An underscore at the end is dropped (``class_``), others become hyphens; None leaves the attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("img", "link", "meta"):
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable) -> Markup:
    """Elements and texts one after the other."""
    return Markup(
        "".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in children)
    )


def table(header: Iterable, rows: Iterable[Iterable], *, caption: str) -> Markup:
    """A table in a box that scrolls; the first cell of each row heads it."""
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    content = [element("caption", caption), element("thead", head), element("tbody", *body)]
    return element("div", element("table", *content), class_="wide")


def page(title: str, *content, style: str) -> str:
    """A whole document; `style` is the relative address of the style sheet."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="stylesheet", href=style),
    )
    body = element("body", element("main", element("h1", title), *content))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
