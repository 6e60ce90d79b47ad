"""The script of the box canvas in Chromium, without JupyterLab: pointer and keys in, boxes out."""

import io

import numpy as np
import pytest
from PIL import Image
from widget_script import empty_page, render

from rcnn_helpers.widgets.box_canvas import BoxCanvas

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 400, 300  # shown at this size, so that a pixel of the picture is one of the screen
START = [100, 80, 200, 180]


@pytest.fixture
def page(browser):
    """A page with a canvas of 400 x 300 pixels and a box on it."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(buffer, "PNG")
    values = {"width": WIDTH, "height": HEIGHT, "box": START, "label": "Draw a box."}
    values["outlines"] = [{"box": [90, 60, 210, 190], "look": "window", "label": "what the crop shows"}]
    with empty_page(browser, width=700, height=500) as page:
        render(page, "box_canvas", values, buffer.getvalue())
        page.wait_for_function("document.querySelector('img').naturalWidth > 0")
        yield page


def box(page):
    return page.evaluate("model.get('box')")


def drag(page, start, end):
    seen = page.locator(".rcnn-canvas").bounding_box()
    assert (seen["width"], seen["height"]) == (WIDTH, HEIGHT)
    page.mouse.move(seen["x"] + start[0], seen["y"] + start[1])
    page.mouse.down()
    page.mouse.move(seen["x"] + end[0], seen["y"] + end[1], steps=5)
    page.mouse.up()


def test_it_says_that_it_is_alive_and_what_it_is(page):
    assert page.evaluate("model.get('alive')") is True
    stage = page.locator(".rcnn-canvas")
    assert stage.get_attribute("role") == "application"
    assert "Draw a box." in stage.get_attribute("aria-label")
    assert page.locator(".outline").count() == 1
    assert page.get_by_text("what the crop shows").is_visible()


def test_a_drag_beside_the_box_draws_a_new_one_in_any_direction(page):
    drag(page, (300, 200), (380, 290))
    assert box(page) == [300, 200, 380, 290]
    drag(page, (250, 150), (150, 20))
    assert box(page) == [150, 20, 250, 150]
    drag(page, (20, 30), (21, 30))  # a click
    assert box(page) == [150, 20, 250, 150]


def test_a_drag_inside_moves_the_box_as_far_as_the_picture_goes(page):
    drag(page, (150, 100), (180, 90))
    assert box(page) == [130, 70, 230, 170]
    drag(page, (180, 100), (650, -200))
    assert box(page) == [300, 0, 400, 100]


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        ((100, 80), (90, 60), [90, 60, 200, 180]),
        ((200, 180), (210, 200), [100, 80, 210, 200]),
        ((150, 80), (190, 95), [100, 95, 200, 180]),
        ((200, 130), (250, 10), [100, 80, 250, 180]),
        ((200, 130), (60, 130), [60, 80, 100, 180]),  # the right side pulled past the left one
        ((100, 180), (100, 480), [100, 80, 200, 300]),
    ],
)
def test_handles_resize(page, start, end, wanted):
    drag(page, start, end)
    assert box(page) == wanted


def test_arrow_keys_move_and_with_shift_resize_and_go_no_further(page):
    page.get_by_text("before").focus()
    page.keyboard.press("Tab")
    for key in ("ArrowLeft", "ArrowDown", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert box(page) == [99, 82, 200, 181]
    assert page.evaluate("outside").count("ArrowDown") == 0, "JupyterLab would go to the next cell"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "after", "Tab leads on"


def test_a_key_held_down_goes_faster(page):
    page.locator(".rcnn-canvas").focus()
    for _ in range(3):
        page.keyboard.down("ArrowRight")
    page.keyboard.up("ArrowRight")
    assert box(page)[0] == START[0] + 1 + 4 + 4


def test_a_box_set_by_the_kernel_is_shown_and_nothing_is_sent_back(page):
    page.evaluate("window.sent = 0; model.set('box', [40, 30, 80, 90])")
    frame, stage = (
        page.locator(".rcnn-canvas .box").bounding_box(),
        page.locator(".rcnn-canvas").bounding_box(),
    )
    assert [frame["x"] - stage["x"], frame["y"] - stage["y"]] == pytest.approx([40, 30], abs=0.1)
    assert [frame["width"], frame["height"]] == pytest.approx([40, 60], abs=0.1)
    assert page.evaluate("sent") == 0


def test_a_finger_draws_too(browser, page):
    stage = page.locator(".rcnn-canvas").bounding_box()
    for kind, x, y in (("pointerdown", 300, 200), ("pointermove", 350, 260), ("pointerup", 350, 260)):
        page.evaluate(
            """([kind, x, y]) => {
                const stage = document.querySelector('.rcnn-canvas');
                stage.setPointerCapture = () => {};
                stage.dispatchEvent(new PointerEvent(kind, {
                    pointerType: 'touch', pointerId: 7, button: 0, clientX: x, clientY: y, bubbles: true,
                }));
            }""",
            [kind, stage["x"] + x, stage["y"] + y],
        )
    assert box(page) == [300, 200, 350, 260]
    assert page.locator(".rcnn-canvas").evaluate("node => getComputedStyle(node).touchAction") == "none"


def test_whatever_the_script_sends_is_a_box_that_the_kernel_takes_as_it_is(page, rng):
    canvas = BoxCanvas(width=WIDTH, height=HEIGHT)
    moves = rng.integers(-700, 700, (200, 2)).tolist()
    parts = rng.choice(["all", "n", "ne", "e", "se", "s", "sw", "w", "nw"], 200).tolist()
    sent = page.evaluate(
        """([start, parts, moves, width, height]) => {
            const boxes = [start];
            parts.forEach((part, i) => boxes.push(script.changed(boxes[i], part, ...moves[i], width, height)));
            return boxes;
        }""",
        [START, parts, moves, WIDTH, HEIGHT],
    )
    for each in sent:
        canvas.box = each
        assert canvas.box == each


def test_a_view_that_is_closed_listens_no_more(page):
    assert page.evaluate("model.listening()") == 4
    page.evaluate("cleanUp()")
    assert page.evaluate("model.listening()") == 0
