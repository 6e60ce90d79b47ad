"""The notebooks as chapters of the site: what each says about itself, and its cells as a page."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from rcnn_helpers.errors import RCNNError


class SiteError(RCNNError):
    """The site cannot be built: a notebook is missing or was not executed, or a link leads nowhere."""


@dataclass(frozen=True)
class Chapter:
    """What the front page says about a notebook, in the notebook's own words.

    Attributes
    ----------
    name : str
        File name without its ending, such as ``01_region_proposals``.
    title, claim, paper : str
        Its heading, the sentence in italics below it, and the sections of the paper; empty where it has none.
    minutes : int or None
        What it says to take, with its exercises.
    """

    name: str
    title: str
    claim: str
    paper: str
    minutes: int | None

    @property
    def heading(self) -> str:
        """The title with the notebook's number before it."""
        return f"{self.name[:2]} {self.title}"


def read_chapter(name: str, notebook: nbformat.NotebookNode) -> Chapter:
    """Read title, claim, sections of the paper and minutes off a notebook's first cell.

    Raises
    ------
    SiteError
        If the notebook does not open with a title.
    """
    text = notebook.cells[0].source if notebook.cells else ""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    if not paragraphs[0].startswith("# "):
        raise SiteError(
            f"{name}.ipynb does not open with a title (# ...); mend its source and run: make notebooks"
        )
    claims = [p.strip("*") for p in paragraphs if re.fullmatch(r"\*[^*].*[^*]\*", p)]
    papers = [p for p in paragraphs if p.startswith("**The paper:**")]
    return Chapter(
        name,
        paragraphs[0].removeprefix("# "),
        claims[0] if claims else "",
        _sections_named(papers[0]) if papers else "",
        _minutes(" ".join(paragraphs)),
    )


def _minutes(text: str) -> int | None:
    """The minutes in "**Time:** about 80 minutes ..."; of "about 45 minutes ..., and 40 for ..." their sum."""
    found = re.search(r"\*\*Time[^*]*\*\*\D{0,20}(\d+) minutes(?:[^.;]*, and (\d+) for)?", text)
    return int(found.group(1)) + int(found.group(2) or 0) if found else None


def _sections_named(paragraph: str) -> str:
    """The sections in the first sentence of "**The paper:** ...", without the remarks in brackets."""
    without_links = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph.removeprefix("**The paper:**").strip())
    first_sentence = re.split(r"\.(?:\s|$)", without_links)[0]
    return re.sub(r"\s*\([^()]*\)", "", first_sentence.split(": ")[-1])


def executed_notebooks(folder: Path) -> dict[str, nbformat.NotebookNode]:
    """Read the numbered notebooks of `folder` and make sure that each of them has run.

    Where the folder holds ``sources``, every source must have its notebook.

    Raises
    ------
    SiteError
        If a notebook is missing, cannot be read, or holds a cell that was not executed or failed.
    """
    patterns = ("sources/[0-9][0-9]_*.py", "[0-9][0-9]_*.ipynb")
    names = {path.stem for pattern in patterns for path in folder.glob(pattern)}
    if not names:
        raise SiteError(f"{folder} holds no notebooks; run: make notebooks")
    return {name: _read_executed(folder / f"{name}.ipynb") for name in sorted(names)}


def _read_executed(path: Path) -> nbformat.NotebookNode:
    remedy = "run: make notebooks"
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError as error:
        raise SiteError(f"the notebook {path} is missing; {remedy}") from error
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise SiteError(f"the notebook {path} cannot be read ({error}); {remedy}") from error
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            raise SiteError(f"the notebook {path} holds a cell that was not executed; {remedy}")
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise SiteError(f"the notebook {path} holds a cell that failed; {remedy}")
    return notebook


def make_page(notebook: nbformat.NotebookNode, heading: str, figures: Path) -> None:
    """Make a notebook a page, in place: give it its heading, and its pictures files and alternative text.

    MyST-NB drops the description that `rcnn_helpers.plots.Picture` keeps beside a picture, so each picture is
    written into the folder `figures` and put into the page by a directive that carries the description.
    Progress bars and whatever went to the error stream are left out.
    """
    opening = notebook.cells[0]
    opening.source = "\n".join([f"# {heading}", *opening.source.lstrip().split("\n")[1:]])
    figures.mkdir(parents=True)
    count = 0
    for cell in notebook.cells:
        kept = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and (output.name == "stderr" or "\r" in output.text):
                continue
            if "image/jpeg" in output.get("data", {}):
                count += 1
                file = figures / f"{count:02d}.jpg"
                file.write_bytes(base64.b64decode(output.data["image/jpeg"]))
                described = output.metadata.get("image/jpeg", {})
                output.data = {"text/markdown": picture(f"{figures.name}/{file.name}", described)}
                output.metadata = {}
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept


def picture(path: str, described: dict) -> str:
    """The MyST directive for a picture with the ``alt`` and ``width`` of its description."""
    lines = [f":alt: {json.dumps(described.get('alt', ''), ensure_ascii=False)}"]
    if "width" in described:
        lines.append(f":width: {described['width']}px")
    return "\n".join([f"```{{image}} {path}", *lines, "```", ""])
