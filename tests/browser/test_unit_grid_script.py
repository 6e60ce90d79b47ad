"""The script of the unit grid in Chromium, without JupyterLab: clicks and keys in, cells and channels out."""

import io

import numpy as np
import pytest
from PIL import Image
from widget_script import empty_page, render

from rcnn_helpers.widgets.unit_grid import UnitGrid

pytestmark = pytest.mark.browser


def cells_of(n_cells):
    return [
        {"name": f"cell number {number}", "text": f"0.{number:02d}", "colour": "#003a66", "ink": "#ffffff"}
        for number in range(n_cells)
    ]


@pytest.fixture
def open_grid(browser):
    """Opens a page with a grid; its errors fail the test."""

    def show(n_cells=36, columns=6, rows=6, chosen=0, n_channels=64, picture=b""):
        values = {"cells": cells_of(n_cells), "columns": columns, "rows": rows, "chosen": chosen}
        values |= {
            "framed": True,
            "channel": 5,
            "n_channels": n_channels,
            "label": "Cells of a channel",
            "hint": "Click a cell.",
        }
        render(page, "unit_grid", values, picture)
        return page

    with empty_page(browser, width=700, height=600) as page:
        yield show


def chosen(page):
    return page.evaluate("model.get('chosen')")


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_it_says_that_it_is_alive_and_what_it_is(open_grid):
    page = open_grid(chosen=7)
    assert page.evaluate("model.get('alive')") is True
    grid = page.get_by_role("grid", name="Cells of a channel")
    assert grid.get_by_role("row").count() == 6
    assert grid.get_by_role("gridcell").count() == 36
    seventh = grid.get_by_role("gridcell", name="cell number 7", exact=True)
    assert seventh.get_attribute("aria-selected") == "true"
    assert seventh.inner_text() == "0.07"
    assert grid.locator("[aria-selected=true]").count() == 1
    described = page.evaluate(
        "document.getElementById(document.querySelector('[role=grid]').getAttribute('aria-describedby')).textContent"
    )
    assert described == "Click a cell."


def test_a_click_chooses_a_cell(open_grid):
    page = open_grid()
    page.get_by_role("gridcell", name="cell number 22", exact=True).click()
    assert chosen(page) == 22 and focused(page) == "cell number 22"
    assert page.evaluate("sent") == 2  # alive, and the cell


def test_arrow_keys_go_to_the_neighbours_and_no_further(open_grid):
    page = open_grid(chosen=8)
    page.get_by_text("before").focus()
    page.keyboard.press("Tab")
    assert focused(page) == "cell number 8"
    for key, wanted in (
        ("ArrowRight", 9),
        ("ArrowDown", 15),
        ("ArrowLeft", 14),
        ("ArrowUp", 8),
        ("ArrowUp", 2),
        ("ArrowUp", 2),
        ("End", 5),
        ("ArrowRight", 5),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("l", 1),
        ("k", 7),
        ("j", 6),
        ("i", 0),
    ):
        page.keyboard.press(key)
        assert (chosen(page), focused(page)) == (wanted, f"cell number {wanted}"), key
    assert page.evaluate("outside").count("ArrowDown") == 0, "JupyterLab would go to the next cell"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "after", "Tab leads on"


def test_page_keys_and_signs_turn_to_other_channels(open_grid):
    page = open_grid()
    page.locator("[role=gridcell]").first.focus()
    channels = []
    for key in ("PageDown", "+", "PageUp", "-", "-"):
        page.keyboard.press(key)
        channels.append(page.evaluate("model.get('channel')"))
    assert channels == [6, 7, 6, 5, 4]
    page.evaluate("model.set('channel', 63)")
    page.keyboard.press("PageDown")
    assert page.evaluate("model.get('channel')") == 63
    assert chosen(page) == 0


def test_keys_that_mean_nothing_here_are_left_alone(open_grid):
    page = open_grid(n_channels=1)
    page.locator("[role=gridcell]").first.focus()
    for key in ("PageDown", "x", "Control+ArrowRight"):
        page.keyboard.press(key)
    assert chosen(page) == 0 and page.evaluate("model.get('channel')") == 5
    assert page.evaluate("outside")[0] == "PageDown"


@pytest.mark.parametrize(("n_cells", "columns"), [(36, 6), (7, 4), (1, 1), (24, 6)])
def test_whatever_key_is_pressed_the_cell_exists(open_grid, n_cells, columns):
    page = open_grid(n_cells=n_cells, columns=columns)
    reached = page.evaluate(
        """([count, columns]) => ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End'].map(
            key => Array.from({ length: count }, (_, now) => script.reached(key, now, columns, count)))""",
        [n_cells, columns],
    )
    grid = UnitGrid(cells=cells_of(n_cells), columns=columns)
    now = np.arange(n_cells)
    up, down, left, right, home, end = (np.array(each) for each in reached)
    assert (up == np.where(now >= columns, now - columns, now)).all()
    assert (down == np.where(now + columns < n_cells, now + columns, now)).all()
    assert (left == np.where(now % columns > 0, now - 1, now)).all()
    assert (right == np.where(((now + 1) % columns > 0) & (now + 1 < n_cells), now + 1, now)).all()
    assert (home == now - now % columns).all()
    assert (end == np.minimum(home + columns, n_cells) - 1).all()
    for cell in {*up.tolist(), *down.tolist(), *left.tolist(), *right.tolist(), *end.tolist()}:
        grid.chosen = cell
        assert grid.chosen == cell


def test_what_the_kernel_sets_is_shown_and_nothing_is_sent_back(open_grid):
    page = open_grid()
    page.get_by_text("before").focus()
    page.evaluate("window.sent = 0; model.set('chosen', 9)")
    assert page.locator("[aria-selected=true]").get_attribute("aria-label") == "cell number 9"
    assert page.evaluate("document.activeElement.textContent") == "before", "the focus stays where it was"
    page.evaluate("model.set('cells', [{ name: 'the only one' }]); model.set('chosen', 0)")
    assert page.get_by_role("gridcell").count() == 1
    assert page.get_by_role("gridcell", name="the only one").get_attribute("aria-selected") == "true"
    page.evaluate("model.set('cells', [])")
    assert page.get_by_role("gridcell").count() == 0
    assert page.evaluate("sent") == 0


def test_a_cell_without_a_frame_gets_one_when_it_is_clicked(open_grid):
    page = open_grid(chosen=3)
    page.evaluate("model.set('framed', false)")
    assert page.locator("[aria-selected=true]").count() == 0
    page.get_by_role("gridcell", name="cell number 3", exact=True).click()
    assert page.evaluate("model.get('framed')") is True
    assert page.locator("[aria-selected=true]").get_attribute("aria-label") == "cell number 3"


def test_the_focus_stays_on_the_grid_when_its_cells_change(open_grid):
    page = open_grid(chosen=3)
    page.locator("[aria-selected=true]").focus()
    page.evaluate(
        "model.set('cells', model.get('cells').map(cell => ({ ...cell, name: 'new ' + cell.name })))"
    )
    assert focused(page) == "new cell number 3"
    page.evaluate("model.set('chosen', 1); model.set('cells', model.get('cells').slice(0, 2))")
    assert focused(page) == "new cell number 1"


def test_cells_divide_a_picture_evenly(open_grid):
    buffer = io.BytesIO()
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(buffer, "PNG")
    page = open_grid(n_cells=5, columns=3, rows=2, picture=buffer.getvalue())
    page.wait_for_function("document.querySelector('.rcnn-units img').naturalWidth > 0")
    stage = page.locator(".rcnn-units").bounding_box()
    assert (stage["width"], stage["height"]) == (300, 200)
    page.mouse.click(stage["x"] + 150, stage["y"] + 150)  # the middle of the second row
    assert chosen(page) == 4
    last = page.get_by_role("gridcell").last.bounding_box()
    assert [last[side] for side in ("width", "height")] == pytest.approx([100, 100], abs=0.1)


def test_a_view_that_is_closed_listens_no_more(open_grid):
    page = open_grid()
    assert page.evaluate("model.listening()") == 8
    page.evaluate("cleanUp()")
    assert page.evaluate("model.listening()") == 0
