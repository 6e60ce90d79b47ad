"""Read a finished site and say what is wrong with it, whatever made it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches for a page by itself, when `rel` of a link element says so.
_FETCHED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)")


class Page(HTMLParser):
    """What one page links to, loads and shows.

    Attributes
    ----------
    links, loads : list of str
        Targets of its links; addresses of the scripts, style sheets, pictures, fonts and frames it loads.
    anchors : set of str
        Places on the page that a link can lead to.
    pictures : list of dict
        Attributes of each ``img``.
    """

    def __init__(self, html: str):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[dict[str, str]] = []
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Note what an element links to, loads, or marks as a place."""
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        self.loads += _IN_STYLES.findall(values.get("style", ""))
        if tag == "img":
            self.pictures.append(values)
        if tag == "a":
            self.links += [values["href"]] if "href" in values else []
        elif tag == "link":
            self.loads += [values["href"]] if _FETCHED & set(values.get("rel", "").split()) else []
        else:
            self.loads += [values[name] for name in ("src", "data", "poster") if name in values]

    def handle_data(self, data: str) -> None:
        """Note what a style element loads."""
        if self._in_style:
            self.loads += _IN_STYLES.findall(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave a style element."""
        self._in_style = False


def check_site(folder: Path) -> list[str]:
    """Say what is wrong with the site in `folder`, one line for each fault.

    Found are links to pages or places that are not there, anything a page loads from another host or that is not
    there, and pictures without alternative text. Links to other hosts are left alone: a reader follows them on
    purpose.
    """
    folder = Path(folder).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for shown in page.pictures:
            if not shown.get("alt", "").strip():
                faults.append(f"{name} shows {shown.get('src', 'a picture')[:80]} without alternative text")
        faults += [f"{name} loads {a}: {why}" for a in page.loads if (why := _not_loadable(path, a))]
        faults += [f"{name} links to {a}: {why}" for a in page.links if (why := _dead(path, a, pages))]
    for path in sorted(folder.rglob("*.css")):
        for address in _IN_STYLES.findall(path.read_text(encoding="utf-8")):
            if why := _not_loadable(path, address):
                faults.append(f"{path.relative_to(folder)} loads {address}: {why}")
    return faults


def _not_loadable(path: Path, address: str) -> str | None:
    parts = urlsplit(address)
    if parts.scheme == "data" or address.startswith("#"):
        return None
    if parts.scheme or parts.netloc:
        return "it lies on another host"
    return None if (path.parent / unquote(parts.path)).is_file() else "there is no such file"


def _dead(path: Path, address: str, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "there is no such page"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "there is no such place on that page"
    return None
