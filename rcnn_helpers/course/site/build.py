"""Make the site: lay out what Sphinx reads, run it, check what came out."""

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat

from rcnn_helpers.course.site.chapters import (
    Chapter,
    SiteError,
    executed_notebooks,
    make_page,
    picture,
    read_chapter,
)
from rcnn_helpers.course.site.check import check_site
from rcnn_helpers.course.site.measured import measured_pages
from rcnn_helpers.course.site.search import add_texts
from rcnn_helpers.storage import atomic_folder

REPOSITORY = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
TITLE = "R-CNN: the paper as a course"
# Pages beside the notebooks, by their place in the repository.
PAGES = ("notebooks/teachers_notes.md", "data/weights/README.md")
# On the front page.
PICTURE = "data/pictures/detections.jpg"
PICTURE_ALT = (
    "Six test pictures, those with most right detections: solid boxes are right, dashed boxes are wrong; "
    "the number is the precision at the score"
)
# What Sphinx only warns of, and a reader would stumble over.
FATAL_WARNINGS = ("myst.xref_missing", "image.not_readable", "download.not_readable", "toc.", "rcnn.formula")

SETTINGS = {
    "project": TITLE,
    "html_title": TITLE,
    "language": "en",
    # githubpages: without the empty file it writes, GitHub would leave out the folders _static and _images.
    "extensions": ["myst_nb", "sphinx.ext.githubpages", "rcnn_helpers.course.site.formulas"],
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_render_markdown_format": "myst",
    "nb_ipywidgets_js": {},  # by default two scripts from other hosts
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 4,
    "suppress_warnings": ["myst.header"],
    "show_warning_types": True,
    "html_math_renderer": "mathml",
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        # The bar that the theme fills by default holds a second button for the contents, which on a phone takes
        # the place of the visible one: that one then opens nothing.
        "navbar_persistent": [],
        "use_download_button": False,
        "home_page_in_toc": True,
        "show_toc_level": 2,
        "footer_content_items": "",
    },
    "html_static_path": ["_static"],
    "html_css_files": ["course.css"],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_search_summary": False,  # search.py does it, without a network
    "html_use_index": False,
    "html_context": {"default_mode": "auto"},
}


def build_site(out: Path, *, repository: Path = REPOSITORY) -> int:
    """Build the site of the notebooks in `repository` into the folder `out` and return the number of pages.

    The new site takes the old one's place when all of it is made and checked; until then the old one stays.

    Raises
    ------
    SiteError
        If a notebook is missing, was not executed or failed, if results are missing, if a link leads nowhere, if a
        page would load something from another host, or if `out` holds something other than a site.
    """
    out = Path(out).resolve()
    if out.exists() and not (out / "searchindex.js").exists():
        raise SiteError(f"{out} is there and is not a site of this course; remove it or name another folder")
    with tempfile.TemporaryDirectory(prefix="rcnn-site-") as temporary:
        # MyST-NB also writes beside the pages, so they are made here and moved when they are good.
        sources, pages = Path(temporary) / "sources", Path(temporary) / "pages"
        lay_out(repository, sources)
        faults = _run_sphinx(sources, pages, Path(temporary) / "doctrees")
        if not faults:
            link_pictures(pages)
            add_texts(pages)
            faults = check_site(pages)
        if faults:
            raise SiteError("\n  ".join(["the site was not built:", *faults]))
        with atomic_folder(out) as finished:
            shutil.copytree(pages, finished, dirs_exist_ok=True)
            shutil.rmtree(out, ignore_errors=True)
    return len(list(out.rglob("*.html")))


def lay_out(repository: Path, sources: Path) -> None:
    """Fill the folder `sources` with all that Sphinx reads."""
    chapters = _copy_notebooks(repository / "notebooks", sources / "notebooks")
    solutions = []
    if (repository / "notebooks" / "solutions").is_dir():
        folder, target = repository / "notebooks" / "solutions", sources / "notebooks" / "solutions"
        solutions = _copy_notebooks(folder, target, suffix=": solutions", nosearch=True)
    measured = measured_pages(repository)
    for name, text in measured.items():
        (sources / name).write_text(text, encoding="utf-8")
    pages = [page for page in PAGES if (repository / page).exists()]
    for page in pages:
        (sources / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / page, sources / page)
    if solutions:
        listed = [f"- [{chapter.heading}](solutions/{chapter.name}.ipynb)" for chapter in solutions]
        text = "# Solutions\n\nThe same notebooks with every exercise worked out.\n\n" + "\n".join(listed)
        tree = _tree("", [f"solutions/{chapter.name}" for chapter in solutions])
        (sources / "notebooks" / "solutions.md").write_text(f"{text}\n\n{tree}", encoding="utf-8")
        pages.insert(0, "notebooks/solutions.md")
    shown = PICTURE if (repository / PICTURE).exists() else None
    if shown:
        (sources / shown).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / shown, sources / shown)
    (sources / "index.md").write_text(_front_page(chapters, list(measured), pages, shown), encoding="utf-8")
    (sources / "_static").mkdir()
    shutil.copy(HERE / "style.css", sources / "_static" / "course.css")


def _copy_notebooks(folder: Path, target: Path, *, suffix: str = "", **metadata) -> list[Chapter]:
    """Copy notebooks as pages; `metadata` is for Sphinx, such as nosearch to keep a page out of the search."""
    chapters = []
    for name, notebook in executed_notebooks(folder).items():
        chapter = read_chapter(name, notebook)
        make_page(notebook, chapter.heading + suffix, target / f"{name}_figures")
        notebook.metadata.update(metadata)
        nbformat.write(notebook, target / f"{name}.ipynb")
        chapters.append(chapter)
    return chapters


def _front_page(chapters: list[Chapter], measured: list[str], pages: list[str], shown: str | None) -> str:
    rows = [["Chapter", "What it claims", "The paper", "Time"]]
    for chapter in chapters:
        link = f"[{chapter.heading}](notebooks/{chapter.name}.ipynb)"
        time = f"{chapter.minutes} minutes" if chapter.minutes else ""
        rows.append([link, chapter.claim, chapter.paper, time])
    items = "\n".join("* - " + "\n  - ".join(row) for row in rows)
    table = f"```{{list-table}}\n:header-rows: 1\n:class: chapters\n:widths: 22 43 23 12\n\n{items}\n```"
    text = (HERE / "front_page.md").read_text(encoding="utf-8").replace("{chapters}", table)
    text = text.replace("{picture}", picture(shown, {"alt": PICTURE_ALT}) if shown else "")
    trees = [_tree("Chapters", [f"notebooks/{chapter.name}" for chapter in chapters])]
    for caption, documents in {"What was measured": measured, "Beside the chapters": pages}.items():
        if documents:
            trees.append(_tree(caption, [document.removesuffix(".md") for document in documents]))
    return "\n".join([text, *trees])


def _tree(caption: str, documents: list[str]) -> str:
    options = [":hidden:"] + ([f":caption: {caption}"] if caption else [])
    return "\n".join(["```{toctree}", *options, "", *documents, "```", ""])


def link_pictures(pages: Path) -> None:
    """Make each picture a link to itself alone, so that on a phone one tap shows it for enlarging."""
    shown = re.compile(r'<img [^>]*src="([^":]*_images/[^"]+)"[^>]*>')
    for path in pages.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        path.write_text(shown.sub(r'<a class="picture" href="\1">\g<0></a>', html), encoding="utf-8")


def _run_sphinx(sources: Path, pages: Path, doctrees: Path) -> list[str]:
    """Make the pages; print Sphinx's harmless warnings and return the others."""
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    warnings = io.StringIO()
    try:
        app = Sphinx(sources, None, pages, doctrees, "html", SETTINGS, status=None, warning=warnings)
        app.build(force_all=True)
    except SphinxError as error:
        raise SiteError(f"Sphinx could not make the pages: {error}") from error
    # What only Sphinx itself and developers of the theme have a use for.
    shutil.rmtree(pages / "_sources", ignore_errors=True)
    for left_over in [pages / ".buildinfo", *pages.rglob("*-macros.html"), *pages.rglob("*.map")]:
        left_over.unlink(missing_ok=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{sources}/", "")
    # MyST-NB counts 10,000 lines a cell, from cell 1 on.
    plain = re.sub(r"\.ipynb:(\d+)\d{4}: ", r".ipynb, cell \1: ", plain)
    lines = [line for line in plain.splitlines() if line.strip()]
    faults = [line for line in lines if any(f"[{kind}" in line for kind in FATAL_WARNINGS)]
    if not faults and lines:
        print("\n".join(lines), file=sys.stderr)
    return faults
