"""Give the site's search what it needs to rank pages and to show excerpts without a network."""

import json
from html.parser import HTMLParser
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = "_static/search_texts.js"
_INDEX = '<script src="searchindex.js"></script>'
_HEADINGS = {"h1", "h2", "h3", "h4"}
_SILENT = {"script", "style", "math"}
_ENDLESS = {"br", "img", "hr", "input", "meta", "link", "col", "wbr", "source", "area", "embed"}


class Sections(HTMLParser):
    """The sections of a page as [anchor, heading, text], each without the sections inside it.

    Attributes
    ----------
    found : list of [str, str, str]
    """

    def __init__(self, html: str):
        super().__init__()
        self.found: list[list[str]] = []
        self._open: list[tuple[str, list | None]] = []
        self.feed(html)
        for section in self.found:
            section[1:] = [" ".join(text.replace("#", " ").split()) for text in section[1:]]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Go down one element; a section with a name starts an entry."""
        section = None
        if tag == "section" and (anchor := dict(attrs).get("id")):
            section = [anchor, "", ""]
            self.found.append(section)
        if tag not in _ENDLESS:
            self._open.append((tag, section))

    def handle_endtag(self, tag: str) -> None:
        """Go up to the element that ends here."""
        while any(open_tag == tag for open_tag, _ in self._open) and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Add text to the innermost section, as its heading or its text."""
        tags = {tag for tag, _ in self._open}
        sections = [section for _, section in self._open if section]
        if sections and not tags & _SILENT:
            sections[-1][1 if tags & _HEADINGS else 2] += data


def add_texts(pages: Path) -> None:
    """Write the text of every page for the search page, and make the search page read it."""
    texts = {}
    for path in sorted(pages.rglob("*.html")):
        sections = Sections(path.read_text(encoding="utf-8")).found
        if sections:
            texts[path.relative_to(pages).with_suffix("").as_posix()] = sections
    script = f"const COURSE_TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
    (pages / SCRIPT).write_text(script + (HERE / "search.js").read_text(encoding="utf-8"), encoding="utf-8")
    search_page = pages / "search.html"
    html = search_page.read_text(encoding="utf-8")
    search_page.write_text(
        html.replace(_INDEX, f'<script src="{SCRIPT}"></script>\n{_INDEX}'), encoding="utf-8"
    )
