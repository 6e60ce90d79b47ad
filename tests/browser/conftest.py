"""Fixtures of the browser tests: Chromium, a folder of fresh notebooks, a JupyterLab of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_VARIABLE = "RCNN_CHROMIUM"
# Read before a test's fixtures give it a cache of its own: a filled cache spares minutes.
GIVEN_CACHE = os.environ.get("RCNN_CACHE")


def find_chromium() -> str:
    """Path of the Chromium to use; skips the test, and says why, if there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed; run: make setup")
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named:
        if not shutil.which(named):
            pytest.fail(f"{CHROMIUM_VARIABLE}={named} is not a program")
        return named
    for name in CHROMIUM_NAMES:
        path = shutil.which(name)
        if path and runs(path):
            return path
    pytest.skip(
        f"no Chromium: none of {', '.join(CHROMIUM_NAMES)} is on the PATH and runs. Install the system's package, "
        f"or name a browser by {CHROMIUM_VARIABLE}."
    )


def runs(path: str) -> bool:
    """Whether a program answers at all; some systems put a stub in the place of a browser."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    options = ["--disable-dev-shm-usage"]  # containers have little shared memory
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory) -> Path:
    """A folder with the student notebooks, generated from their sources and not executed."""
    from rcnn_helpers.course.notebooks import build, sources

    folder = tmp_path_factory.mktemp("notebooks")
    for source in sources():
        nbformat.write(build(source), folder / f"{source.stem}.ipynb")
    return folder


@pytest.fixture(scope="session")
def server(browser, notebooks, tmp_path_factory):
    """A running JupyterLab on the smoke profile."""
    from lab_server import LabServer

    scratch = tmp_path_factory.mktemp("jupyter")
    cache = GIVEN_CACHE or str(tmp_path_factory.mktemp("cache"))
    environment = {"RCNN_PROFILE": "smoke", "RCNN_CACHE": cache, "RCNN_PROGRESS": str(scratch / "progress")}
    with LabServer(notebooks, scratch, environment) as running:
        yield running


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory) -> Path:
    """Folder for screenshots, RCNN_SCREENSHOTS if it is set."""
    named = os.environ.get("RCNN_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots: {folder}")
    return folder


@pytest.fixture
def lab(browser, server, screenshots):
    """A fresh page on the server; its kernels are ended afterwards."""
    from jupyter_lab import NotebookPage

    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    opened = NotebookPage(context.new_page(), server, screenshots)
    yield opened
    context.close()
    server.shut_down_kernels()


@pytest.fixture
def explorers_of(lab, notebooks):
    """Writes cells to a notebook, runs it, and returns the explorers on its page."""

    def run(name: str, cells) -> list:
        code_cells = [nbformat.v4.new_code_cell(code.strip()) for code in cells]
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=code_cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, notebooks / name)
        lab.open(name)
        lab.run_all()
        lab.check_health()
        return lab.explorers()

    yield run
    lab.check_health()
