"""The web view: pages from executed notebooks that need no network, with alternative texts and no dead links."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from test_measured_pages import write_results

from rcnn_helpers.course.site import SiteError, build_site, check_site, read_chapter
from rcnn_helpers.course.site.formulas import mathml
from rcnn_helpers.course.site.search import Sections

# Of the theme and the Markdown parser about Sphinx 11, which the lock file keeps away.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")

ALT = 'Two "boxes": one [right], one $wrong*'
OPENING = """# Warping

*A square is what the
network wants.*

**The paper:** section 2.1 (feature extraction), appendix A ([arXiv 1](https://arxiv.org)). More follows.

**You need** time. **Time:** about 35 minutes with the exercises; the cells take 1 minute."""


def _jpeg() -> str:
    file = io.BytesIO()
    Image.new("RGB", (1200, 40), "white").save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


def _executed(*cells) -> nbformat.NotebookNode:
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    return new_notebook(cells=list(cells))


def _first_notebook() -> nbformat.NotebookNode:
    outputs = [
        new_output("stream", name="stderr", text="UserWarning: do not show this\n"),
        new_output("stream", name="stdout", text="\r 50%|#####     | do not show this either"),
        new_output("stream", name="stdout", text="shown on the page\n"),
        new_output(
            "display_data",
            data={"image/jpeg": _jpeg(), "text/plain": ALT},
            metadata={"image/jpeg": {"alt": ALT, "width": 800}},
        ),
        new_output(
            "execute_result",
            data={
                "text/html": '<table class="dataframe"><tr><td>wide</td></tr></table>',
                "text/plain": "wide",
            },
            execution_count=1,
        ),
    ]
    text = (
        "Since $y = -1$ and $\\max(0, s)$:\n\n$$s = \\frac{227}{195}$$\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    return _executed(
        new_markdown_cell(OPENING),
        new_code_cell("work()", outputs=outputs),
        new_markdown_cell(f"## Hard negatives\n\n{text}\nSee [the next](03_features.ipynb#zebra-stripes)."),
    )


def _second_notebook(link: str = "02_warping.ipynb") -> nbformat.NotebookNode:
    return _executed(
        new_markdown_cell("# Features\n\n*Numbers for all.*"),
        new_markdown_cell(f"## Zebra stripes\n\nBefore it came [warping]({link})."),
        new_code_cell("1 + 1", outputs=[new_output("stream", name="stdout", text="2\n")]),
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "notebooks" / "sources").mkdir(parents=True)
    (folder / "notebooks" / "solutions").mkdir()
    (folder / "data" / "weights").mkdir(parents=True)
    nbformat.write(_first_notebook(), folder / "notebooks" / "02_warping.ipynb")
    nbformat.write(_second_notebook(), folder / "notebooks" / "03_features.ipynb")
    solved = _second_notebook("../02_warping.ipynb")
    nbformat.write(solved, folder / "notebooks" / "solutions" / "03_features.ipynb")
    (folder / "notebooks" / "sources" / "03_features.py").write_text("# %%\n")
    (folder / "notebooks" / "teachers_notes.md").write_text("# For teachers\n\n[Start](02_warping.ipynb)\n")
    (folder / "data" / "weights" / "README.md").write_text("# Weights\n\nA card.\n")
    write_results(folder)
    return folder


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    assert build_site(out, repository=repository) == len(list(out.rglob("*.html"))) == 11
    return out


@pytest.fixture(scope="module")
def warping(site) -> BeautifulSoup:
    return _soup(site / "notebooks" / "02_warping.html")


def _soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    """A repository of its own for a test that damages it."""
    return Path(shutil.copytree(repository, tmp_path / "repository"))


def test_pictures_carry_their_alternative_text_and_can_be_opened_alone(warping, site):
    (picture,) = warping.select("article img")
    assert picture["alt"] == ALT
    link = picture.parent
    assert link.name == "a" and (site / "notebooks" / link["href"]).resolve().read_bytes()[:2] == b"\xff\xd8"


def test_formulas_are_mathml(warping):
    formulas = warping.select("article math")
    assert [f["display"] for f in formulas] == ["inline", "inline", "block"]
    assert formulas[2].mfrac.get_text() == "227195"
    assert "formula" in formulas[2].parent["class"]


def test_tables_and_outputs_are_there_and_noise_is_not(warping):
    article = warping.select_one("article")
    assert article.select_one("table.dataframe td").get_text() == "wide"
    assert [cell.get_text() for cell in article.select("table:not(.dataframe) td")] == ["1", "2"]
    assert "shown on the page" in article.get_text()
    assert "do not show this" not in article.get_text()


def test_links_between_notebooks_lead_to_pages(warping, site):
    link = warping.find("a", string="the next")
    assert link["href"] == "03_features.html#zebra-stripes"
    solved = _soup(site / "notebooks" / "solutions" / "03_features.html")
    assert solved.find("article").find("a", string="warping")["href"] == "../02_warping.html"


def test_chapters_follow_each_other(warping):
    assert "03 Features" in warping.select_one("a.right-next").get_text()
    assert warping.select_one("a.left-prev")["href"] == "../index.html"


def test_the_front_page_tells_what_each_chapter_claims(site):
    rows = _soup(site / "index.html").select("table.chapters tbody tr")
    cells = [[cell.get_text(" ", strip=True) for cell in row.select("td")] for row in rows]
    assert cells == [
        ["02 Warping", "A square is what the network wants.", "section 2.1, appendix A", "35 minutes"],
        ["03 Features", "Numbers for all.", "", ""],
    ]


def test_the_front_page_leads_to_what_was_measured(site):
    front = _soup(site / "index.html").select_one("article")
    for name in ("how_fast", "how_far", "what_it_survives"):
        assert front.select_one(f'a[href="{name}.html"]')
        assert _soup(site / f"{name}.html").select("article table")
    cells = {cell.get_text() for cell in _soup(site / "how_fast.html").select("article td")}
    assert {"2000 x 20", "12.3", "4.32"} <= cells


def test_solutions_and_other_pages_are_in_the_contents(site):
    entries = [a.get_text(strip=True) for a in _soup(site / "index.html").select("nav.bd-links a")]
    wanted = ["02 Warping", "03 Features", "Solutions", "03 Features: solutions", "For teachers", "Weights"]
    assert [entry for entry in entries if entry in wanted] == wanted


def test_nothing_is_loaded_from_another_host(site):
    pattern = re.compile(r"""<(?:script|img|link|iframe|source)[^>]*(?:src|href)=["'](?:https?:)?//""")
    for path in site.rglob("*.html"):
        assert not pattern.search(path.read_text(encoding="utf-8")), path
    for path in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_nothing_can_be_wider_than_a_phone(site):
    style = (site / "_static" / "course.css").read_text()
    assert re.search(r"img \{[^}]*max-width: 100%", style)
    assert re.search(r"\.output, \.formula \{[^}]*overflow-x: auto", style)
    assert 'name="viewport"' in (site / "index.html").read_text()


def test_the_search_page_knows_the_text_of_every_section(site):
    html = (site / "search.html").read_text()
    assert html.index("search_texts.js") < html.index("searchindex.js")
    texts = (site / "_static" / "search_texts.js").read_text()
    assert '["hard-negatives", "Hard negatives", "Since' in texts
    assert '"zebra-stripes"' in texts


def test_solutions_do_not_turn_up_in_a_search(site):
    index = (site / "searchindex.js").read_text()
    indexed = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    chapter, solved = (
        indexed["docnames"].index(f"notebooks/{name}") for name in ("03_features", "solutions/03_features")
    )
    found = indexed["terms"]["befor"]
    assert chapter in np.atleast_1d(found) and solved not in np.atleast_1d(found)


def test_the_text_of_a_section_leaves_out_the_sections_inside_it():
    html = (
        '<main><section id="a"><h1>A<a class="headerlink">#</a></h1><p>one <b>two</b>, <img src="x">three</p>'
        '<section id="b"><h2>B</h2><script>no</script>four</section> five</section></main>'
    )
    assert Sections(html).found == [["a", "A", "one two, three five"], ["b", "B", "four"]]


def test_signs_belong_to_what_follows_them():
    prefix = '<mo form="prefix">&#x02212;</mo>'
    assert mathml("y = -1", display=False).count(prefix) == 1
    assert mathml("(a) - 1", display=False).count(prefix) == 0


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        ("about 80 minutes, 45 of them for the exercises. The cells take 5 minutes", 80),
        ("about 80 minutes with the three exercises, 35 without.", 80),
        ("about 45 minutes for reading and predicting, and 40 for the three exercises.", 85),
        ("a while", None),
    ],
)
def test_minutes_are_those_with_the_exercises(time, minutes):
    cell = new_markdown_cell(f"# Title\n\n**You need** nothing. **Time:** {time}")
    assert read_chapter("09_x", new_notebook(cells=[cell])).minutes == minutes


def test_the_first_cell_must_hold_a_title():
    with pytest.raises(SiteError, match=r"09_x\.ipynb does not open with a title"):
        read_chapter("09_x", new_notebook(cells=[new_markdown_cell("No title")]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", r"03_features\.ipynb is missing; run: make notebooks"),
        ("not executed", r"03_features\.ipynb holds a cell that was not executed; run: make notebooks"),
        ("failed", r"03_features\.ipynb holds a cell that failed; run: make notebooks"),
        ("not a notebook", r"03_features\.ipynb cannot be read .*make notebooks"),
        ("dead link", r"03_features\.ipynb, cell 2: .*99_nowhere\.ipynb"),
        ("dead place", r"03_features.*no-such-place"),
        ("unknown formula", r"formula .*nosuchthing"),
    ],
)
def test_what_is_wrong_is_named_and_the_old_site_stays(copy, tmp_path, site, damage, message):
    path = copy / "notebooks" / "03_features.ipynb"
    notebook = _second_notebook()
    if damage == "not executed":
        notebook.cells[2].execution_count = None
    elif damage == "failed":
        notebook.cells[2].outputs = [new_output("error", ename="E", evalue="", traceback=[])]
    elif damage == "dead link":
        notebook = _second_notebook("99_nowhere.ipynb")
    elif damage == "dead place":
        notebook = _second_notebook("02_warping.ipynb#no-such-place")
    elif damage == "unknown formula":
        notebook.cells[1].source += "\n\n$\\nosuchthing{x}$"
    nbformat.write(notebook, path)
    if damage == "missing":
        path.unlink()
    elif damage == "not a notebook":
        path.write_text("{")
    old = Path(shutil.copytree(site, tmp_path / "site"))
    before = {file: file.read_bytes() for file in old.rglob("*.html")}
    with pytest.raises(SiteError, match=message):
        build_site(old, repository=copy)
    assert {file: file.read_bytes() for file in old.rglob("*.html")} == before
    assert {path.name for path in tmp_path.iterdir()} == {"repository", "site"}


def test_an_older_site_is_replaced(repository, tmp_path, site):
    old = Path(shutil.copytree(site, tmp_path / "site"))
    (old / "of_yesterday.html").write_text("old")
    build_site(old, repository=repository)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert not (old / "of_yesterday.html").exists() and (old / "index.html").exists()


def test_a_folder_that_is_no_site_is_left_alone(repository, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SiteError, match="is not a site of this course"):
        build_site(tmp_path, repository=repository)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<img src="a.jpg">', "without alternative text"),
        ('<img src="https://elsewhere.org/a.jpg" alt="a">', "another host"),
        ('<script src="//elsewhere.org/a.js"></script>', "another host"),
        ('<link rel="stylesheet" href="https://fonts.elsewhere.org/css">', "another host"),
        ("<style>@import 'https://elsewhere.org/a.css';</style>", "another host"),
        ('<p style="background: url(https://elsewhere.org/a.png)">', "another host"),
        ('<a href="gone.html">', "no such page"),
        ('<a href="#gone">', "no such place"),
        ('<img src="gone.jpg" alt="a">', "no such file"),
    ],
)
def test_every_fault_of_a_page_is_found(tmp_path, html, fault):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "index.html").write_text(f"<p>{html}")
    (message,) = check_site(tmp_path)
    assert message.startswith("index.html") and fault in message


def test_a_sound_page_has_no_faults(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "index.html").write_text(
        '<p id="here"><img src="a.jpg" alt="a"><a href="#here">h</a><a href="https://arxiv.org">paper</a>'
        '<img src="data:image/png;base64,AAAA" alt="b"><a href="index.html#here">i</a>'
    )
    assert check_site(tmp_path) == []


def test_the_courses_own_notebooks_say_what_the_front_page_needs():
    sources = Path(__file__).resolve().parents[2] / "notebooks" / "sources"
    jupytext = pytest.importorskip("jupytext")
    for source in sorted(sources.glob("[0-9][0-9]_*.py")):
        chapter = read_chapter(source.stem, jupytext.read(source))
        assert chapter.claim and chapter.paper and chapter.minutes, f"{source.name}: {chapter}"
