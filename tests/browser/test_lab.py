"""The notebooks in real JupyterLab, used as a learner uses them; run with ``make test-browser``.

The screenshots of every stage go to the folder named by RCNN_SCREENSHOTS: look at them after a change.
"""

import nbformat
import pytest
from jupyter_lab import CellHangs

from rcnn_helpers.course.sources import solution_of, sources

pytestmark = pytest.mark.browser

NOTEBOOKS = [source.stem for source in sources()]
PROJECTOR = (1280, 720)


def use_exercises(lab):
    """Press the buttons of every exercise that nobody has attempted yet."""
    exercises = lab.exercises()
    assert len(exercises) >= 3, f"{lab.name} has {len(exercises)} exercises"
    for exercise in exercises:
        assert "Not attempted." in exercise.verdict()
        assert "Not attempted." in exercise.press("Check on new cases")
        assert "Hint 1 of" in exercise.press("Hint")
    lab.screenshot("3-exercise", of=exercise.cell)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_its_widgets_answer(lab, name):
    lab.open(f"{name}.ipynb")
    lab.screenshot("1-opened")
    seconds = lab.run_all()
    lab.screenshot("2-ran")
    lab.check_health()
    use_exercises(lab)
    with lab.window(*PROJECTOR):
        lab.check_widths()
    explorers = lab.explorers()
    assert explorers, f"{name} shows no widget with a slider and a picture"
    for number, explorer in enumerate(explorers):
        first = explorer.sliders()[0]
        milliseconds = [explorer.move_by_key(first) for _ in range(5)]
        print(
            f"{name}, {explorer}: {min(milliseconds):.0f} to {max(milliseconds):.0f} ms from key to picture"
        )
        lab.screenshot(f"3-widget{number}-by-key", of=explorer.output)
        explorer.drag(first)
        lab.screenshot(f"3-widget{number}-by-mouse", of=explorer.output)
        if name == "02_warping":
            by_sliders = explorer.readouts()
            assert explorer.draw_box() != by_sliders, "the sliders follow the box that is drawn"
            explorer.move_box_by_key()
            lab.screenshot(f"3-widget{number}-box-drawn", of=explorer.output)
        explorer.use_every_control()
        with lab.window(*PROJECTOR):
            lab.screenshot(f"3-widget{number}-projector", of=explorer.output)
    lab.check_health()
    print(f"{name}: all cells in {seconds:.1f} s")


def test_exercises_and_predictions_answer_a_learner(lab):
    lab.open("02_warping.ipynb")
    lab.run_all()
    lab.predict_number("1e3")  # after the run: the comparison, further down, changes
    comparison = lab.page.locator(".jp-RenderedMarkdown", has_text="You predicted 1,000.")
    comparison.wait_for()
    lab.screenshot("4-prediction", of=comparison)

    exercise = lab.exercises()[0]
    name = exercise.name
    assert "Not attempted." in exercise.verdict()
    assert "Hint 1 of" in exercise.press("Hint")
    assert "Hint 2 of" in exercise.press("Hint")
    lab.screenshot("4-exercise-hint", of=exercise.cell)
    assert "A solution" in exercise.press("Solution")
    lab.screenshot("4-exercise-solution", of=exercise.cell)

    assert "Right." in exercise.answer(solution_of(name))
    lab.screenshot("4-exercise-right", of=exercise.cell)
    assert "Right." in exercise.press("Check on new cases")
    assert "Not yet." in exercise.answer(f"def {name}(*arguments):\n    return 123.456")
    lab.screenshot("4-exercise-wrong", of=exercise.cell)
    assert "Not yet." in exercise.press("Check on new cases")
    lab.check_health()

    broken = exercise.answer(f"def {name}(:\n    return 0")
    lab.screenshot("4-exercise-broken", of=exercise.cell)
    assert "An error." in broken and "invalid syntax" in broken
    seconds = lab.run_all()
    print(f"02_warping with a syntax error in {name}: all cells in {seconds:.1f} s")
    lab.kernel.troubles.clear()  # the syntax error is shown, as it should be
    lab.check_log()


def test_the_first_start_asks_nothing(lab):
    # The browser and the home folder are fresh, as on the day on which the course is installed.
    lab.open("00_start_here.ipynb")
    lab.page.wait_for_timeout(3000)  # the question came some time after the page
    shown = lab.page.locator("body").inner_text()
    lab.screenshot("first-start")
    assert "Jupyter news" not in shown
    assert lab.page.locator(".jp-Dialog").count() == 0


# Tests of the tests: what must not pass unseen does not.


def write_notebook(folder, name, *cells):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        },
    )
    nbformat.write(notebook, folder / name)


FAILING_SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(description="number")
def react(change):
    raise RuntimeError("the callback failed")
slider.observe(react, names="value")
slider
"""
FAILING_BUTTON = """
import ipywidgets
button = ipywidgets.Button(description="Press")
def react(button):
    raise RuntimeError("the callback failed")
button.on_click(react)
button
"""
FAILING_INTERACT = """
import ipywidgets
@ipywidgets.interact(number=(0, 10))
def react(number=5):
    if number != 5:
        raise RuntimeError("the callback failed")
"""


@pytest.mark.parametrize("code", [FAILING_SLIDER, FAILING_BUTTON, FAILING_INTERACT])
def test_an_exception_in_a_callback_is_noticed(lab, notebooks, code):
    write_notebook(notebooks, "failing_callback.ipynb", code)
    lab.open("failing_callback.ipynb")
    lab.run_all(60)
    lab.check_health()
    if code == FAILING_BUTTON:
        lab.page.get_by_role("button", name="Press").click()
    else:
        lab.page.locator(".noUi-handle").focus()
        lab.page.keyboard.press("ArrowRight")
    lab.wait_for_trouble()
    with pytest.raises(AssertionError, match="the callback failed"):
        lab.check_log()


def test_a_cell_that_hangs_is_named(lab, notebooks):
    write_notebook(notebooks, "hanging.ipynb", "1 + 1", "import time; time.sleep(60)  # hangs here", "2 + 2")
    lab.open("hanging.ipynb")
    with pytest.raises(CellHangs, match=r"code cell 2 of 3(.|\n)*hangs here"):
        lab.run_all(4)


def test_an_error_stops_the_run(lab, notebooks):
    write_notebook(notebooks, "wrong.ipynb", "1 / 0", "2 + 2")
    lab.open("wrong.ipynb")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_all(60)
