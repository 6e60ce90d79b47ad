"""What holds for every explorer: controls redraw once, static twins agree, errors surface, saved files show it."""

import ast
import base64
import io
from collections import Counter
from pathlib import Path

import ipywidgets
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import rcnn_helpers
from rcnn_helpers.widgets import Explorer

KINDS = (
    "merge",
    "proposals",
    "warp",
    "own picture",
    "features",
    "fine-tuning",
    "negatives",
    "rounds",
    "regression",
    "detections",
    "suppression",
    "units",
    "two networks",
    "excited units",
    "diagnosis",
    "duplicates",
    "pasting",
    "replications",
    "windows",
    "curve",
)
PACKAGE = Path(rcnn_helpers.__file__).parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

each_kind = pytest.mark.parametrize("kind", KINDS)


def another_value(control):
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
        return next((value for value in values if value != control.value), None)
    if isinstance(control.value, bool):
        return not control.value
    return control.min if control.value != control.min else control.max


def everything_in(container):
    parts = [part for child in getattr(container, "children", ()) for part in everything_in(child)]
    return [container, *parts]


def seen(explorer):
    return explorer.picture.value, explorer.text.value


def test_there_is_a_test_for_every_explorer(explorers):
    assert set(KINDS) == set(explorers)
    assert {type(explorer) for explorer in explorers.values()} == set(Explorer.__subclasses__())


@each_kind
def test_it_shows_a_jpeg_and_says_in_words_what_it_shows(explorers, kind):
    explorer = explorers[kind]
    assert Image.open(io.BytesIO(explorer.picture.value)).format == "JPEG"
    assert 'role="status"' in explorer.text.value
    assert len(explorer.describe()) > 20
    assert {explorer.picture, explorer.text, *explorer.controls.values()} <= set(everything_in(explorer))


@each_kind
def test_every_control_redraws_and_agrees_with_the_static_twin(explorers, kind):
    explorer = explorers[kind]
    for name, control in explorer.controls.items():
        value = another_value(control)
        if value is None:
            continue
        old, before = control.value, seen(explorer)
        twin = explorer.render(**{name: value})
        words = explorer.describe(**{name: value})
        assert seen(explorer) == before, "a static twin moves nothing"
        control.value = value
        assert seen(explorer) != before, name
        assert explorer.describe() == words
        assert (explorer.render() == twin).all()
        assert twin.dtype == np.uint8 and twin.ndim == 3
        control.value = old
        assert seen(explorer) == before, name


@each_kind
def test_every_control_draws_once(explorers, kind, monkeypatch):
    explorer = explorers[kind]
    drawn = Counter()
    draw = explorer._draw

    def counted(**state):
        drawn["times"] += 1
        return draw(**state)

    monkeypatch.setattr(explorer, "_draw", counted)
    for name, control in explorer.controls.items():
        value = another_value(control)
        if value not in (None, control.value):
            drawn.clear()
            control.value = value
            assert drawn["times"] == 1, name


@each_kind
def test_controls_are_plain_and_work_by_keyboard(explorers, kind):
    plain = (
        ipywidgets.IntSlider,
        ipywidgets.FloatSlider,
        ipywidgets.SelectionSlider,
        ipywidgets.Dropdown,
        ipywidgets.Checkbox,
    )
    for control in explorers[kind].controls.values():
        assert isinstance(control, plain)
        assert control.description


@each_kind
def test_an_error_while_drawing_is_raised_and_told_until_it_is_mended(explorers, kind, monkeypatch):
    explorer = explorers[kind]
    control, value = next(
        (control, value)
        for control in explorer.controls.values()
        if (value := another_value(control)) is not None
    )
    old, before = control.value, seen(explorer)
    with monkeypatch.context() as broken:

        def draw(**state):
            raise RuntimeError("no <ink>")

        broken.setattr(explorer, "_draw", draw)
        with pytest.raises(RuntimeError, match="no <ink>"):
            control.value = value
        assert 'role="alert"' in explorer.text.value
        assert "RuntimeError: no &lt;ink&gt;" in explorer.text.value
    control.value = old
    assert seen(explorer) == before


def test_an_error_while_following_is_told_as_well_and_the_explorer_lives_on(explorers, monkeypatch):
    explorer = explorers["curve"]
    with monkeypatch.context() as broken:
        broken.setattr(explorer, "_maxima", lambda state: {"rank": "many"})
        with pytest.raises(TypeError):
            explorer.controls["name"].value = "dog"
        assert 'role="alert"' in explorer.text.value
    explorer.controls["rank"].value = 2
    assert "Detection 2 of 2 for dog" in explorer.text.value


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook that shows an explorer and then makes it fail; executed, and saved without live views."""
    code = (
        "import numpy as np\n"
        "from rcnn_helpers.widgets import WarpExplorer\n"
        "image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)\n"
        "explorer = WarpExplorer(image, [[20, 30, 90, 80]])\n"
        "explorer"
    )
    broken = "explorer.mean = 'grey'\nexplorer.controls['x1'].value = 9"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (code, broken)])
    NotebookClient(notebook, allow_errors=True, store_widget_state=False, timeout=120).execute()
    del notebook.cells[0].outputs[0].data[WIDGET_VIEW]
    path = tmp_path_factory.mktemp("executed") / "saved.ipynb"
    nbformat.write(notebook, path)
    return nbformat.read(path, as_version=4)


def test_an_executed_notebook_shows_the_picture_where_no_widget_runs(executed):
    [output] = executed.cells[0].outputs
    picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/jpeg"])))
    assert picture.format == "JPEG" and picture.width > 400
    assert output.metadata["image/jpeg"]["alt"] == output.data["text/plain"]
    assert output.data["text/plain"].startswith("Box of 70 x 50 pixels, IoU 1.00")


def test_an_error_in_an_executed_notebook_fails_its_cell(executed):
    [output] = executed.cells[1].outputs
    assert output.output_type == "error" and output.ename == "ValueError"


@each_kind
def test_the_output_holds_a_small_picture_beside_the_live_view(explorers, kind):
    explorer = explorers[kind]
    content, metadata = explorer._repr_mimebundle_()
    assert content[WIDGET_VIEW]["model_id"] == explorer.model_id
    assert content["text/plain"] == metadata["image/jpeg"]["alt"] == explorer.describe()
    data = base64.b64decode(content["image/jpeg"])
    assert len(data) <= 90_000
    still = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    live = explorer.render()
    assert still.shape[1] == min(live.shape[1], 900)
    if still.shape == live.shape:
        assert np.abs(still - live).mean() < 25


@each_kind
def test_values_of_static_twins_are_checked(explorers, kind):
    explorer = explorers[kind]
    names = list(explorer.controls)
    with pytest.raises(TypeError, match="control 'flavour' is unknown"):
        explorer.render(flavour=1)
    with pytest.raises(TypeError, match=f"{len(names) + 1} values given"):
        explorer.render(*[1] * (len(names) + 1))
    with pytest.raises(TypeError, match="given twice"):
        explorer.render(1, **{names[0]: 1})
    for name, control in explorer.controls.items():
        if hasattr(control, "options"):
            with pytest.raises(ValueError, match=f"{name} is 'neither'; choose one of"):
                explorer.render(**{name: "neither"})
        elif hasattr(control, "min"):
            with pytest.raises(ValueError, match=f"{name} is -99; it goes from"):
                explorer.render(**{name: -99})


def names_in(path):
    """All names, attributes and imports of a script; notebook sources hold magics, which are no Python."""
    lines = path.read_text("utf-8").splitlines()
    tree = ast.parse("\n".join("pass" if line.startswith(("%", "!")) else line for line in lines))
    return {getattr(node, kind, None) for node in ast.walk(tree) for kind in ("id", "attr", "name")}


def test_nothing_uses_interact_which_swallows_errors():
    """An exception inside interact and its kin only prints, so that a notebook with it passes as sound."""
    forbidden = {"interact", "interactive", "interactive_output", "interact_manual"}
    scripts = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "notebooks" / "sources").glob("*.py")]
    assert len(scripts) > 40
    suspects = [path for path in scripts if "interact" in path.read_text("utf-8")]
    assert [path.name for path in suspects if forbidden & names_in(path)] == []
