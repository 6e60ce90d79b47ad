"""The script of the bar chart in Chromium, without JupyterLab: clicks and keys in, the chosen bar out."""

import pytest
from widget_script import empty_page, render

pytestmark = pytest.mark.browser

KINDS = ("tp", "Loc", "Sim", "BG")
NUMBERS = (40, 20, 0, 1234)
PATTERNS = ("plain", "plain", "stripes", "dots")


def bars(numbers=NUMBERS):
    return [
        {
            "key": kind,
            "label": kind,
            "value": number,
            "text": f"{number:,}",
            "colour": "#56B4E9",
            "pattern": pattern,
            "title": f"{kind}: {number} <b>",
        }
        for kind, number, pattern in zip(KINDS, numbers, PATTERNS, strict=True)
    ]


@pytest.fixture
def page(browser):
    """A page with a chart of four bars, of which the second is chosen."""
    values = {"bars": bars(), "selected": "Loc", "label": "Choose a bar."}
    with empty_page(browser, width=700, height=400) as page:
        render(page, "bar_chart", values)
        yield page


def selected(page):
    marked = page.locator("[aria-selected=true]")
    assert marked.count() == 1
    key = page.evaluate("model.get('selected')")
    assert marked.get_attribute("data-key") == key
    return key


def test_it_says_what_it_is_and_what_each_bar_is(page, screenshots):
    page.screenshot(path=screenshots / "bar-chart.png")
    assert page.evaluate("model.get('alive')") is True
    chart = page.get_by_role("listbox")
    assert chart.get_attribute("aria-label") == "Choose a bar."
    options = page.get_by_role("option").all()
    assert [option.get_attribute("aria-label") for option in options] == [bar["title"] for bar in bars()]
    assert selected(page) == "Loc"


def test_bars_are_as_high_as_their_values(page):
    heights = [column.bounding_box()["height"] for column in page.locator(".column").all()]
    most = max(heights)
    assert 100 < most < 150
    for height, number in zip(heights, NUMBERS, strict=True):
        assert abs(height - max(most * number / max(NUMBERS), 1)) <= 1.5
    inside = page.locator(".space").first.bounding_box()
    for text in page.locator(".text").all():
        assert text.bounding_box()["y"] >= inside["y"] - 0.5


def test_a_click_anywhere_on_a_bar_chooses_it(page):
    page.locator(".option").nth(3).click()
    assert selected(page) == "BG"
    page.locator(".option").nth(2).click(position={"x": 30, "y": 20})  # high above a bar of height 0
    assert selected(page) == "Sim"
    sent = page.evaluate("sent")
    page.locator(".option").nth(2).click()
    assert page.evaluate("sent") == sent, "choosing it again sends nothing"


def test_keys_go_from_bar_to_bar_and_no_further(page):
    page.get_by_role("button", name="before").focus()
    page.keyboard.press("Tab")
    steps = [("ArrowRight", "Sim"), ("ArrowDown", "BG"), ("ArrowRight", "BG"), ("Home", "tp")]
    steps += [("ArrowLeft", "tp"), ("End", "BG"), ("ArrowUp", "Sim")]
    for key, wanted in steps:
        page.keyboard.press(key)
        assert selected(page) == wanted, key
        active = page.get_by_role("listbox").get_attribute("aria-activedescendant")
        assert page.locator(f"#{active}").get_attribute("data-key") == wanted
    assert page.evaluate("outside") == ["Tab"], "the page does not scroll, nor does JupyterLab leave the cell"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "after"


def test_new_values_and_a_choice_from_elsewhere_are_shown(page):
    page.evaluate("bars => model.set('bars', bars)", bars((1, 2, 3, 4)))
    assert page.locator(".text").all_text_contents() == ["1", "2", "3", "4"]
    assert selected(page) == "Loc"
    page.evaluate("model.set('selected', 'tp')")
    assert selected(page) == "tp"
    page.evaluate("bars => model.set('bars', bars)", bars((0, 0, 0, 0)))
    assert page.locator(".text").all_text_contents() == ["0"] * 4
    page.evaluate("model.set('bars', [])")
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("option").count() == 0


def test_a_view_that_is_closed_listens_no_more(page):
    assert page.evaluate("model.listening()") == 3
    page.evaluate("cleanUp()")
    assert page.evaluate("model.listening()") == 0
