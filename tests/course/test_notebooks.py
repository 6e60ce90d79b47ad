"""The notebook builder: same source, same notebook; stale, failed and unexecuted notebooks are found."""

import nbformat
import pytest

from rcnn_helpers.course import notebooks

SOURCE = """# %% [markdown]
# # A title

# %%
print(6 * 7)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "01_example.py").write_text(SOURCE)
    (tmp_path / "sources" / "notes.py").write_text("not a notebook")
    return tmp_path


def _source(folder, text=None):
    (source,) = notebooks.sources(folder)
    if text is not None:
        source.write_text(text)
    return source


def test_building_twice_gives_the_same_notebook(folder):
    source = _source(folder)
    first, second = notebooks.build(source), notebooks.build(source)
    assert nbformat.writes(first) == nbformat.writes(second)
    nbformat.validate(first)
    assert [cell.cell_type for cell in first.cells] == ["markdown", "code"]


def test_a_written_notebook_is_executed_and_not_stale(folder):
    source = _source(folder)
    assert "missing" in notebooks.stale(source, folder)
    notebooks.run_all(write=True, folder=folder)
    assert notebooks.stale(source, folder) is None
    written = nbformat.read(folder / "01_example.ipynb", as_version=4)
    assert written.cells[1].outputs[0].text == "42\n"


def test_a_changed_source_makes_its_notebook_stale(folder):
    notebooks.run_all(write=True, folder=folder)
    source = _source(folder, SOURCE.replace("6 * 7", "6 * 8"))
    assert "older 01_example.py" in notebooks.stale(source, folder)


@pytest.mark.parametrize("damage", ["not executed", "failed"])
def test_a_notebook_without_good_outputs_is_stale(folder, damage):
    source = _source(folder)
    notebooks.run_all(write=True, folder=folder)
    path = folder / "01_example.ipynb"
    written = nbformat.read(path, as_version=4)
    if damage == "not executed":
        written.cells[1].execution_count = None
    else:
        written.cells[1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(written, path)
    assert damage in notebooks.stale(source, folder)


def test_a_failing_cell_fails_the_run_and_saves_nothing(folder, capsys):
    _source(folder, SOURCE + "\n# %%\nraise RuntimeError('broken on purpose')\n")
    with pytest.raises(SystemExit, match="01_example"):
        notebooks.run_all(write=True, folder=folder)
    assert "broken on purpose" in capsys.readouterr().out
    assert not (folder / "01_example.ipynb").exists()


def test_an_exception_in_a_widget_callback_fails_the_run(folder):
    _source(
        folder,
        SOURCE
        + """
# %%
import ipywidgets

slider = ipywidgets.IntSlider(0, 0, 10)
slider.observe(lambda change: 1 / 0, names="value")
slider.value = 3
""",
    )
    with pytest.raises(SystemExit):
        notebooks.run_all(write=False, folder=folder)


def test_progress_bars_and_live_views_are_not_kept():
    bar = nbformat.v4.new_output("stream", name="stderr", text="\r 50%|#####     |")
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: look at this\n")
    view = nbformat.v4.new_output(
        "display_data", data={notebooks.WIDGET_MIME: {"model_id": "1"}, "text/plain": "VBox()"}
    )
    widget_bar = nbformat.v4.new_output(
        "display_data", data={notebooks.WIDGET_MIME: {"model_id": "2"}, "text/plain": "x:   0%|    | 0/3"}
    )
    cell = nbformat.v4.new_code_cell("work()", outputs=[bar, warning, widget_bar, view])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebooks.tidy_outputs(notebook)
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data"]
    assert cell.outputs[0].text == warning.text
    assert cell.outputs[1].data == {"text/plain": notebooks.WIDGET_PLACEHOLDER}


def test_the_courses_own_notebooks_are_well_formed():
    for source in notebooks.sources():
        notebook = notebooks.build(source)
        first = notebook.cells[0].source
        titles = [line for cell in notebook.cells if cell.cell_type == "markdown"
                  for line in cell.source.splitlines() if line.startswith("# ")]  # fmt: skip
        assert first.startswith("# "), f"{source.name} must open with its title"
        assert len(titles) == 1, f"{source.name} has {len(titles)} titles; one is enough"
