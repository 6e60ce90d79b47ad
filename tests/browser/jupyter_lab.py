"""One notebook in JupyterLab as a learner sees and uses it."""

import json
import struct
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_server import START_SECONDS, LabServer

# Without it, the tests that import this module are skipped.
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; run: make setup")
Locator, Page = playwright.Locator, playwright.Page

RUN_SECONDS = 420  # for all cells of a notebook, on a slow machine with nothing cached
ANSWER_SECONDS = 20  # for a widget
STEP_MS = 50  # between two looks at what is waited for
TROUBLE_WORDS = ("Traceback (most recent call last)", "Exception in callback", "Exception in comm")
# Progress bars, and what the smoke profile must say of a class that its few pictures do not hold.
HARMLESS = ("%|", "has no positive region in these images")
WIDGET_FAILURES = (
    "Error displaying widget",
    "Error creating widget",
    "model not found",
    "Could not render",
    "This could not be drawn",  # what our own explorers say
)

# ------------------------------------------------------------------------------------------- what the kernel says


class KernelLog:
    """What went wrong in the kernel, cell or no cell: read from the messages that reach the page.

    JupyterLab shows nothing of an exception in a widget's callback. It arrives all the same: as an error or on the
    stream of errors, as an answer to the widget's message.
    """

    def __init__(self, page: Page):
        self.n_messages = 0
        self.troubles: list[str] = []  # so far; whoever expects some clears the list
        page.on("websocket", lambda socket: socket.on("framereceived", self._receive))

    def _receive(self, frame: bytes | str) -> None:
        message = _kernel_message(frame)
        if message is None:
            return
        self.n_messages += 1
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "error":
            self.troubles.append(
                f"{content['ename']}: {content['evalue']}\n" + "\n".join(content["traceback"])
            )
        elif kind == "stream" and any(words in content["text"] for words in TROUBLE_WORDS):
            self.troubles.append(content["text"])


def _kernel_message(frame: bytes | str) -> dict | None:
    """Header and content of a message in Jupyter's binary form (v1.kernel.websocket), or of one in JSON."""
    if isinstance(frame, str):
        try:
            message = json.loads(frame)
        except ValueError:
            return None
        return message if isinstance(message, dict) and "header" in message and "content" in message else None
    try:
        (n_offsets,) = struct.unpack_from("<Q", frame)
        offsets = struct.unpack_from(f"<{n_offsets}Q", frame, 8)
        # The parts are the channel, header, parent's header, metadata, content, and what else is sent along.
        parts = [frame[start:end] for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
        return {"header": json.loads(parts[1]), "content": json.loads(parts[4])}
    except (struct.error, ValueError, IndexError):
        return None


# ------------------------------------------------------------------------------------------------ one notebook

# In the page: what each code cell shows; a cell that waits or runs has a star for its number. textContent here and
# below, for innerText leaves out what is scrolled off the page.
CELL_STATES = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(cell => ({
    prompt: cell.querySelector('.jp-InputPrompt')?.textContent.trim() ?? '',
    code: [...cell.querySelectorAll('.cm-line')].map(line => line.textContent).join('\\n'),
}))"""

# In the page: note when a key was pressed last, and when a picture that came after it had been loaded.
WATCH_PICTURE = """picture => {
    const clock = window.pictureClock ??= { pressed: null, shown: null };
    const press = () => { clock.pressed = performance.now(); clock.shown = null; };
    if (!window.watchesKeys) document.addEventListener('keydown', press, { capture: true });
    window.watchesKeys = true;
    picture.addEventListener('load', () => { clock.shown ??= performance.now(); });
}"""

PICTURE_BYTES = """async picture => {
    const bytes = new Uint8Array(await (await fetch(picture.src)).arrayBuffer());
    let hash = 5381;
    for (const byte of bytes) hash = (hash * 33 + byte) >>> 0;
    return [bytes.length, hash];
}"""

# In the page: what stands around each visible picture that has neither alt text nor a widget's text beside it.
NAMELESS_PICTURES = """() => [...document.querySelectorAll('.jp-Notebook img')]
    .filter(picture => picture.getClientRects().length && !picture.closest('.jupyter-widgets'))
    .filter(picture => !(picture.getAttribute('alt') ?? '').trim())
    .map(picture => picture.closest('.jp-Cell').textContent.slice(0, 300))"""

# In the page: the beginnings of all outputs that are wider than their place, so that a part cannot be seen.
CUT_OUTPUTS = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')]
    .filter(output => output.querySelector('table, img, .jupyter-widgets'))
    .filter(output => output.scrollWidth > output.clientWidth + 1)
    .map(output => `${output.scrollWidth} pixels in ${output.clientWidth}: `
        + (output.querySelector('thead') ?? output).textContent.replace(/\\s+/g, ' ').slice(0, 200))"""


class CellHangs(AssertionError):
    """The cells were not done in time."""


class NotebookPage:
    """A notebook in JupyterLab, and what a learner does in it.

    Parameters
    ----------
    page : Page
        A fresh page of the browser.
    server : LabServer
    screenshots : Path
        Folder for the pictures of every stage.
    """

    def __init__(self, page: Page, server: LabServer, screenshots: Path):
        self.page, self.server, self.screenshots = page, server, screenshots
        self.kernel = KernelLog(page)
        self.page_errors: list[str] = []
        self.name, self._log_start = "", 0
        self.fetched_elsewhere: list[str] = []
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        page.on("request", lambda request: self._note_if_elsewhere(request.url))
        page.set_default_timeout(ANSWER_SECONDS * 1000)

    def _note_if_elsewhere(self, address: str) -> None:
        if not address.startswith((f"{self.server.address}/", "data:", "blob:", "about:")):
            self.fetched_elsewhere.append(address)

    def open(self, name: str) -> None:
        """Open a notebook of the server, alone, and wait until its kernel can work."""
        self.name = name
        self._log_start = self.server.log.stat().st_size  # kernels that were ended may have complained
        cells = json.loads((self.server.notebooks / name).read_text(encoding="utf-8"))["cells"]
        n_code = sum(cell["cell_type"] == "code" for cell in cells)
        self.page.goto(f"{self.server.address}/lab/tree/{name}?reset&token={self.server.token}")
        there = self.wait(lambda: self.cells.count() == n_code, START_SECONDS)
        assert there, f"{name}: {self.cells.count()} of {n_code} code cells after {START_SECONDS} s"
        # The status bar says so only when a kernel has answered.
        assert self.wait(self._is_idle, START_SECONDS), f"{name}: no kernel after {START_SECONDS} s"

    @property
    def cells(self):
        """All code cells."""
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def cell_states(self) -> list[dict]:
        """Prompt and code of each code cell."""
        return self.page.evaluate(CELL_STATES)

    def run_all(self, seconds: float = RUN_SECONDS) -> float:
        """Choose "Run All Cells" from the menu, wait until every cell is done, and return the seconds it took."""
        started = time.monotonic()
        before = [state["prompt"] for state in self.cell_states()]
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        if not self.wait(lambda: self._all_done(before), seconds):
            self.screenshot("hangs")
            raise CellHangs(f"{self.name}: not done after {seconds:.0f} s; {self._first_unfinished()}")
        return time.monotonic() - started

    def _all_done(self, before: list[str]) -> bool:
        """Whether each cell has a new number; an error before the last cell ends the waiting."""
        now = [state["prompt"] for state in self.cell_states()]
        done = [_has_number(prompt) and prompt != old for prompt, old in zip(now, before, strict=True)]
        if all(done):
            return self._is_idle()
        stopped = self._is_idle() and not any("*" in prompt for prompt in now)
        if stopped and self.error_outputs():
            raise AssertionError(f"{self.name}: Run All stopped at\n{self.error_outputs()[0]}")
        return False

    def _first_unfinished(self) -> str:
        states = self.cell_states()
        for number, state in enumerate(states, start=1):
            if not _has_number(state["prompt"]):
                return (
                    f"code cell {number} of {len(states)} shows {state['prompt']!r} and is\n{state['code']}"
                )
        return "all cells have run, but the kernel is still busy"

    def _is_idle(self) -> bool:
        return self.page.locator("#jp-main-statusbar >> text=/\\| Idle/").count() > 0

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` holds, at most for `seconds`, and return whether it does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.page.wait_for_timeout(STEP_MS)  # and not time.sleep: the page's events arrive meanwhile
        return True

    def wait_until_idle(self, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the kernel has answered all widgets."""
        heard, quiet = -1, 0

        def silent() -> bool:  # for a while: between two messages it is idle for a moment
            nonlocal heard, quiet
            quiet = quiet + 1 if heard == self.kernel.n_messages and self._is_idle() else 0
            heard = self.kernel.n_messages
            return quiet > 1000 / STEP_MS

        assert self.wait(silent, seconds), f"{self.name}: the kernel is still busy after {seconds} s"

    def wait_for_trouble(self, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the kernel has reported something, at most for `seconds`."""
        self.wait(lambda: bool(self.kernel.troubles), seconds)

    def run_cell(self, number: int, seconds: float = 60) -> None:
        """Run one code cell by Shift and Enter, and wait for it."""
        cell = self.cells.nth(number)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.text_content()

        def done() -> bool:
            now = prompt.text_content()
            return now != before and _has_number(now) and self._is_idle()

        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        if not self.wait(done, seconds):
            raise CellHangs(f"{self.name}: code cell {number + 1} is not done after {seconds:.0f} s")

    def write_cell(self, number: int, code: str) -> None:
        """Replace the code of a cell, as by select all and paste."""
        self.cells.nth(number).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(code)

    def predict_number(self, answer: str) -> None:
        """Write an answer into the first prediction that asks for a number, and press Enter."""
        output = self.page.locator(".jp-OutputArea-output", has_text="Your prediction.")
        field = output.locator("input[type=text]").first
        field.fill(answer)
        field.press("Enter")

    # What can be seen

    def error_outputs(self) -> list[str]:
        """What stands on red ground below cells: errors and warnings."""
        shown = self.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
        return [text for text in shown if text.strip() and not any(words in text for words in HARMLESS)]

    def check_health(self) -> None:
        """No error or warning below a cell, no failed widget or callback, no picture without a description."""
        assert not self.error_outputs(), f"{self.name}: {self.error_outputs()[0]}"
        shown = self.page.locator(".jp-Notebook").text_content()
        for words in WIDGET_FAILURES:
            assert words not in shown, f"{self.name} shows {words!r}"
        nameless = self.page.evaluate(NAMELESS_PICTURES)
        assert not nameless, (
            f"{self.name}: {len(nameless)} pictures without alt text, the first in\n{nameless[0]}"
        )
        self.check_log()

    def check_widths(self) -> None:
        """No table, picture or widget that reaches beyond the window."""
        cut = self.page.evaluate(CUT_OUTPUTS)
        assert not cut, f"{self.name}: {len(cut)} outputs are cut off at the right, the first is\n{cut[0]}"

    def check_log(self) -> None:
        """Nothing went wrong behind the scenes, in kernel, server or page, and the page needed no network."""
        assert not self.fetched_elsewhere, f"{self.name}: the page asked for\n{self.fetched_elsewhere[0]}"
        assert not self.kernel.troubles, f"{self.name}: the kernel reported\n{self.kernel.troubles[0]}"
        assert not self.page_errors, f"{self.name}: the page reported\n{self.page_errors[0]}"
        log = self.server.log.read_bytes()[self._log_start :].decode(errors="replace")
        for words in TROUBLE_WORDS:
            assert words not in log, f"{self.name}: the server's log holds {words!r}:\n{log[-4000:]}"

    def screenshot(self, stage: str, of: Locator | None = None) -> Path:
        """Save what the browser shows as ``NOTEBOOK-STAGE.png``, with `of` in the middle of the page."""
        if of is not None:
            of.evaluate("node => node.scrollIntoView({ block: 'center' })")
            self.page.wait_for_timeout(200)
        path = self.screenshots / f"{Path(self.name).stem}-{stage}.png"
        self.page.screenshot(path=path)
        return path

    @contextmanager
    def window(self, width: int, height: int):
        """Another size of the window for a while."""
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_timeout(300)
        yield
        self.page.set_viewport_size(before)
        self.page.wait_for_timeout(300)

    # Widgets

    def explorers(self) -> list["ExplorerOnPage"]:
        """Every widget with a slider and a picture, in the order of the page."""
        # An output of a cell, and not the boxes inside it.
        outputs = self.page.locator(".jp-OutputArea-output").filter(has=self.page.locator("img.widget-image"))
        with_slider = outputs.filter(has=self.page.locator(".noUi-handle"))
        return [ExplorerOnPage(self, output) for output in with_slider.all()]

    def exercises(self) -> list["ExerciseOnPage"]:
        """Every exercise, in the order of the page."""
        numbers = [n for n, state in enumerate(self.cell_states()) if state["code"].startswith("%%exercise")]
        return [ExerciseOnPage(self, number) for number in numbers]


class ExplorerOnPage:
    """A widget with controls and a picture: its controls are moved with the keyboard and with the mouse."""

    def __init__(self, notebook: NotebookPage, output: Locator):
        self.notebook, self.page, self.output = notebook, notebook.page, output
        self.picture = output.locator("img.widget-image").last
        self.picture.evaluate(WATCH_PICTURE)

    def __str__(self) -> str:
        labels = self.output.locator(".widget-label").all_text_contents()
        return f"the widget with {', '.join(filter(None, labels))}"

    def words(self) -> str:
        """What it says last to whoever cannot see it."""
        return self.output.locator("[role=status]").last.text_content()

    def wait_for_words(self, wanted: str) -> None:
        assert self.notebook.wait(lambda: wanted in self.words(), ANSWER_SECONDS), (
            f"{wanted!r} is not said, but {self.words()!r}"
        )

    def move_by_key(self, handle: Locator) -> float:
        """Press an arrow key until the picture changes; return the milliseconds from key to picture."""
        handle.focus()
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        # A small step of a threshold need not change what is drawn.
        arrow, page = ("ArrowLeft", "PageDown") if at_end else ("ArrowRight", "PageUp")
        keys = [*[arrow] * 4, *[page] * 4, "Home", "End"]
        for key in keys:
            before = picture_bytes(self.picture)
            self.page.keyboard.press(key)
            if self._has_changed(before, seconds=1.5):
                return self.page.evaluate("() => pictureClock.shown - pictureClock.pressed")
        raise AssertionError(f"{self}: {', '.join(keys)} pressed, and the picture is the same")

    def drag(self, handle: Locator) -> None:
        """Drag a slider's handle to the other side with the mouse, and see the picture change."""
        handle.scroll_into_view_if_needed()
        before = picture_bytes(self.picture)
        track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
        start = handle.bounding_box()
        x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
        in_left_half = x < track["x"] + track["width"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(track["x"] + track["width"] * (0.8 if in_left_half else 0.2), y, steps=8)
        self.page.mouse.up()
        assert self._has_changed(before, seconds=ANSWER_SECONDS), (
            f"{self}: dragged, and the picture is the same"
        )

    def sliders(self) -> list[Locator]:
        return self.output.locator(".noUi-handle:visible").all()

    def use_every_control(self) -> None:
        """Move each control through its extremes: whatever a callback raises is then in the kernel's log."""
        for handle in self.sliders():
            handle.focus()
            for key in ("Home", "End", "PageDown"):
                self.page.keyboard.press(key)
        for choice in self.output.locator("select:visible").all():
            for number in range(choice.locator("option").count()):
                choice.select_option(index=number)
        for box in self.output.locator("input[type=checkbox]:visible").all():
            box.click()
            box.click()
        self.notebook.wait_until_idle()

    def draw_box(self) -> list[str]:
        """Draw a box with the mouse on the picture of a canvas; return what the sliders show then."""
        canvas = self.output.locator(".rcnn-canvas")
        canvas.scroll_into_view_if_needed()
        before = picture_bytes(self.picture)
        area = canvas.bounding_box()

        def at(across, down):
            return area["x"] + across * area["width"], area["y"] + down * area["height"]

        self.page.mouse.move(*at(0.03, 0.03))  # in a corner: outside of the present box
        self.page.mouse.down()
        self.page.mouse.move(*at(0.3, 0.4), steps=6)
        self.page.mouse.up()
        assert self._has_changed(before, seconds=ANSWER_SECONDS), f"{self}: a box drawn, and no new picture"
        self.notebook.wait_until_idle()
        return self.readouts()

    def readouts(self) -> list[str]:
        """The numbers beside the sliders."""
        return self.output.locator(".widget-readout:visible").all_inner_texts()

    def move_box_by_key(self) -> None:
        """Move the box on a canvas by an arrow key: the picture changes, and JupyterLab stays at its cell."""
        before, active = picture_bytes(self.picture), ".jp-Notebook .jp-Cell.jp-mod-active"
        cell = self.page.locator(active).element_handle()
        self.output.locator(".rcnn-canvas").focus()
        self.page.keyboard.press("ArrowDown")
        assert self._has_changed(before, seconds=ANSWER_SECONDS), f"{self}: a key pressed, and no new picture"
        assert self.page.locator(active).evaluate("(node, before) => node === before", cell)

    def _has_changed(self, before: list[int], seconds: float) -> bool:
        return self.notebook.wait(lambda: picture_bytes(self.picture) != before, seconds)


class ExerciseOnPage:
    """An exercise cell: the learner writes into it, runs it, reads the verdict and presses its buttons.

    Parameters
    ----------
    notebook : NotebookPage
    number : int
        Of its code cell.
    """

    def __init__(self, notebook: NotebookPage, number: int):
        self.notebook, self.number = notebook, number
        self.cell = notebook.cells.nth(number)
        self.name = notebook.cell_states()[number]["code"].split("\n")[0].split()[1]

    def answer(self, code: str) -> str:
        """Put `code` in place of the function, run the cell, and return the verdict."""
        self.notebook.write_cell(self.number, f"%%exercise {self.name}\n{code}")
        written = self.notebook.cell_states()[self.number]["code"]
        assert written == f"%%exercise {self.name}\n{code}", f"the editor holds\n{written}"
        self.notebook.run_cell(self.number)
        return self.verdict()

    def verdict(self) -> str:
        """The verdict below the cell."""
        return self.cell.locator(".jp-RenderedMarkdown").first.text_content()

    def press(self, button: str) -> str:
        """Press a button of the exercise and return the text that appears."""
        said = self.cell.locator(".jupyter-widgets [role=status]")
        before = said.text_content() if said.count() else ""
        self.cell.get_by_role("button", name=button, exact=True).click()

        def answered() -> bool:
            return said.count() > 0 and said.text_content() not in ("", before)

        assert self.notebook.wait(answered, ANSWER_SECONDS), (
            f"{self.name}: {button!r} pressed, and nothing is said"
        )
        return said.text_content()


def _has_number(prompt: str) -> bool:
    return prompt.strip("[]: ").isdigit()


def picture_bytes(picture: Locator) -> list[int]:
    """Length and hash of the picture that is shown now."""
    for _ in range(20):
        try:
            return picture.evaluate(PICTURE_BYTES)
        except playwright.Error:  # replaced while it was read
            picture.page.wait_for_timeout(20)
    return picture.evaluate(PICTURE_BYTES)
