"""The web view as a reader meets it: opened from a folder, on a phone and on a projector, without any network."""

from pathlib import Path

import pytest

from rcnn_helpers.course.site import build_site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]
SIZES = {
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "projector": {"viewport": {"width": 1500, "height": 1000}},
}
# Elements of the text that stick out to the right and lie in no box that scrolls.
STICKING_OUT = """() => [...document.querySelectorAll('.bd-article *')].filter(element => {
    if (element.getBoundingClientRect().right <= window.innerWidth + 1) return false;
    for (let box = element; box; box = box.parentElement)
        if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(box).overflowX)) return false;
    return true;
}).map(element => element.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site of the course's own notebooks."""
    out = tmp_path_factory.mktemp("web") / "site"
    build_site(out)
    return out


@pytest.fixture(params=SIZES)
def page(request, browser):
    """A page that notes what goes wrong on it and what it asks other hosts for."""
    context = browser.new_context(**SIZES[request.param])
    page = context.new_page()
    page.size, page.errors, page.requests = request.param, [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
    page.on("request", lambda asked: page.requests.append(asked.url))
    yield page
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_no_page_is_wider_than_the_screen(page, site):
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        assert (
            page.evaluate("document.documentElement.scrollWidth") <= SIZES[page.size]["viewport"]["width"]
        ), path
        assert page.evaluate(STICKING_OUT) == [], path


def test_hard_negatives_are_found_in_notebook_05(page, site):
    page.goto((site / "index.html").as_uri())
    page.locator(".search-button__button:visible, .search-button:visible").first.click()
    field = page.locator("dialog[open] input[name=q]")
    field.fill("hard negative")
    field.press("Enter")
    results = page.locator("#search-results li")
    results.first.wait_for()
    assert results.first.locator("a").inner_text().startswith("05 ")
    assert "hard negative" in results.first.locator("span").first.inner_text().lower()
    results.first.locator("a").click()
    page.wait_for_url("**/05_svm_training.html*")


def test_the_contents_open_and_lead_on(page, site):
    page.goto((site / "notebooks" / "01_region_proposals.html").as_uri())
    page.wait_for_load_state("load")
    contents = page.locator("nav.bd-links:visible")
    if page.size == "phone":
        assert contents.count() == 0
        page.locator(".primary-toggle:visible").click()
        contents = page.locator("dialog[open] nav.bd-links")
    contents.get_by_text("02 Warping", exact=True).click()
    page.wait_for_url("**/02_warping.html*")
    page.locator("a.right-next").click()
    page.wait_for_url("**/03_feature_extraction.html*")


def test_formulas_have_a_size(page, site):
    page.goto((site / "notebooks" / "05_svm_training.html").as_uri())
    heights = page.evaluate(
        "[...document.querySelectorAll('.formula math')].map(f => f.getBoundingClientRect().height)"
    )
    assert heights and min(heights) > 15
