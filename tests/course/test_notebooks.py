"""The notebook builder: same source, same notebooks; stale, failed and unexecuted notebooks are found."""

import base64
import os
import re

import nbformat
import pytest

from rcnn_helpers.course import notebooks
from rcnn_helpers.course.exercises import exercises

SOURCE = """# %% [markdown]
# # A title

# %%
print(6 * 7)
"""
EXERCISE = """
# %%
from rcnn_helpers.course import open_course

course = open_course()

# %% exercise="iou"
def iou(box, other):
    '''Share of the pixels that two boxes have in common.'''
    # solution
    width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return width * height / (areas - width * height)

# %%
print(iou([0, 0, 2, 2], [0, 0, 2, 1]))
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


def _saved(folder, *, solved=False):
    return nbformat.read(notebooks.saved_as(_source(folder), solved=solved, folder=folder), as_version=4)


@pytest.mark.parametrize("solved", [False, True])
def test_building_twice_gives_the_same_notebook(folder, solved):
    source = _source(folder, SOURCE + EXERCISE)
    first, second = (notebooks.build(source, solved=solved) for _ in range(2))
    assert nbformat.writes(first) == nbformat.writes(second)
    nbformat.validate(first)


def test_the_student_finds_dots_and_the_teacher_the_solution(folder):
    source = _source(folder, SOURCE + EXERCISE)
    student, teacher = (
        next(c.source for c in notebooks.build(source, solved=solved).cells if "def iou" in c.source)
        for solved in (False, True)
    )
    head = (
        "%%exercise iou\ndef iou(box, other):\n    '''Share of the pixels that two boxes have in common.'''\n"
    )
    assert student == head + "    ...  # your code"
    assert teacher.startswith(head + "    width = ") and "# solution" not in teacher


def test_code_below_the_end_of_a_solution_stays(folder):
    cell = "def f(x):\n    # solution\n    y = x\n    # end of solution\n    return y"
    assert notebooks.without_solution(cell) == "def f(x):\n    ...  # your code\n    return y"
    assert notebooks.with_solution(cell) == "def f(x):\n    y = x\n    return y"


def test_a_written_notebook_is_executed_and_not_stale(folder):
    source = _source(folder)
    for solved in (False, True):
        assert "missing" in notebooks.stale(source, solved=solved, folder=folder)
    notebooks.run_all(write=True, folder=folder)
    for solved in (False, True):
        assert notebooks.stale(source, solved=solved, folder=folder) is None
        assert _saved(folder, solved=solved).cells[-1].outputs[0].text == "42\n"


def test_exercises_run_in_both_notebooks_and_never_stop_them(folder, capsys):
    _source(folder, SOURCE + EXERCISE)
    runs = notebooks.run_all(write=True, folder=folder)
    assert runs["01_example"].outcomes == {"iou": "not attempted"}
    assert runs["solutions/01_example"].outcomes == {"iou": "pass"}
    for solved, verdict in ((False, "○ **Not attempted.**"), (True, "✓ **Right.**")):
        *_, exercise, after = _saved(folder, solved=solved).cells
        (output,) = exercise.outputs  # the verdict; the buttons are for a live kernel
        assert output.data["text/markdown"].startswith(verdict)
        assert after.outputs[0].text == "0.5\n"  # the student's notebook goes on with the reference
    assert re.search(r"01_example +\d+\.\d +\d+ MB  1", capsys.readouterr().out)


def test_a_solution_that_does_not_pass_fails_the_run(folder, capsys):
    _source(folder, SOURCE + EXERCISE.replace("areas - width * height", "areas"))
    with pytest.raises(SystemExit, match="solutions/01_example"):
        notebooks.run_all(write=True, folder=folder)
    assert "exercise iou: wrong, not pass" in capsys.readouterr().out
    assert not notebooks.saved_as(_source(folder), solved=True, folder=folder).exists()


def test_a_changed_source_makes_its_notebooks_stale(folder):
    notebooks.run_all(write=True, folder=folder)
    source = _source(folder, SOURCE.replace("6 * 7", "6 * 8"))
    for solved in (False, True):
        assert "older 01_example.py" in notebooks.stale(source, solved=solved, folder=folder)


@pytest.mark.parametrize(
    "damage", ["not executed", "failed", "picture without alt text", "use smaller figures"]
)
def test_a_notebook_without_good_outputs_is_stale(folder, damage):
    source = _source(folder)
    notebooks.run_all(write=True, solutions=False, folder=folder)
    saved = _saved(folder)
    cell = saved.cells[1]
    if damage == "not executed":
        cell.execution_count = None
    elif damage == "failed":
        cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    else:
        size = 9 if "alt" in damage else notebooks.LARGEST_NOTEBOOK
        jpeg = base64.b64encode(bytes(size)).decode()
        cell.outputs = [nbformat.v4.new_output("display_data", data={"image/jpeg": jpeg})]
    nbformat.write(saved, folder / "01_example.ipynb")
    assert damage in notebooks.stale(source, folder=folder)


def test_a_failing_cell_fails_the_run_and_saves_nothing(folder, capsys):
    _source(folder, SOURCE + "\n# %%\nraise RuntimeError('broken on purpose')\n")
    with pytest.raises(SystemExit, match="01_example"):
        notebooks.run_all(write=True, folder=folder)
    assert "broken on purpose" in capsys.readouterr().out
    assert not (folder / "01_example.ipynb").exists()


def test_no_kernel_outlives_its_notebook(folder):
    source = _source(folder, SOURCE + "\n# %%\nimport os\n\nprint(os.getpid())\n")
    notebook = notebooks.build(source)
    notebooks.execute(notebook, folder=folder)
    process = int(notebook.cells[-1].outputs[0].text)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


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
        notebooks.run_all(write=False, solutions=False, folder=folder)


def _display(**data):
    return nbformat.v4.new_output(
        "display_data", data={key.replace("_", "/", 1): value for key, value in data.items()}
    )


def test_what_only_lives_with_a_kernel_is_not_kept():
    view = {notebooks.WIDGET_MIME: {"model_id": "1"}}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="\r 50%|#####     |"),
        nbformat.v4.new_output("display_data", data=view | {"text/plain": "x:   0%|    | 0/3"}),
        nbformat.v4.new_output("display_data", data=view | {"text/plain": ""}),
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning: look at this\n"),
        nbformat.v4.new_output("display_data", data=view | {"text/plain": "in words", "image/jpeg": "a"}),
        nbformat.v4.new_output(
            "display_data", data={"image/jpeg": "b", "text/html": "<img>", "text/plain": "c"}
        ),
        nbformat.v4.new_output("display_data", data={"text/html": "<table>", "text/plain": "table"}),
    ]
    cell = nbformat.v4.new_code_cell("work()", outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebooks.tidy_outputs(notebook)
    assert [output.get("text") or dict(output.data) for output in cell.outputs] == [
        "UserWarning: look at this\n",
        {"text/plain": "in words", "image/jpeg": "a"},
        {"image/jpeg": "b", "text/plain": "c"},
        {"text/html": "<table>", "text/plain": "table"},
    ]
    notebooks.drop_pictures(notebook)
    assert dict(cell.outputs[1].data) == {"text/plain": "in words"}


# -- the course's own notebooks ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[source.stem for source in notebooks.sources()])
def course_source(request):
    return next(source for source in notebooks.sources() if source.stem == request.param)


def test_the_anatomy_of_a_notebook(course_source):
    cells = notebooks.build(course_source).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    number = course_source.stem[:2]
    assert cells[0].source.startswith("# ")
    headings = re.findall(r"^(#+) ", prose, re.M)
    assert headings.count("#") == 1, "one title is enough"
    levels = [len(heading) for heading in headings]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False)), "a level of headings is skipped"
    assert re.search(r"^\*[^*].+?[^*]\*$", cells[0].source, re.M | re.S), "the claim, in italics"
    for part in ("**The paper:**", "**You will**", "**You need**", "**Time:**"):
        assert part in cells[0].source, part
    for part in (
        "## Checkpoint",
        "## Explore further",
        "## What you take away",
        "## Where this differs",
        "## Next",
    ):
        assert part in prose, part
    assert f'open_course("{number}")' in code
    assert "assert " in code, "a checkpoint checks"
    assert "widgets." in code and re.search(r"\.render\(|\.describe\(", code), "a widget and its static twin"
    assert re.search(r"random|shuffle", code), "a negative control"


def test_predictions_are_met_again(course_source):
    code = course_source.read_text(encoding="utf-8")
    predicted = re.findall(r'\bpredict\(\s*"([^"]+)"', code)
    met = re.findall(r'\bmeet\(\s*"([^"]+)"', code)
    assert len(predicted) >= 3
    assert sorted(predicted) == sorted(met) and len(set(predicted)) == len(predicted)
    assert all(name.startswith(course_source.stem[:2]) for name in predicted)
    for name in predicted:  # first mentioned where it is asked, last where it is met
        asked, met_at = code.index(f'"{name}"'), code.rindex(f'"{name}"')
        assert code.rindex("predict(", 0, asked) > code.rfind("meet(", 0, asked)
        assert asked < met_at and code.rindex("meet(", 0, met_at) > code.rindex("predict(", 0, met_at)


def test_every_notebook_has_its_exercises(course_source):
    placed = re.findall(r'^# %% exercise="(\w+)"', course_source.read_text(encoding="utf-8"), re.M)
    registered = [
        name for name, exercise in exercises().items() if exercise.notebook == course_source.stem[:2]
    ]
    assert sorted(placed) == sorted(registered)
    assert len(placed) >= 3
