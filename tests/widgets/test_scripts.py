"""The browser's halves of the widgets: shipped, short, one script each, and loading nothing."""

import re
from pathlib import Path

import pytest

from rcnn_helpers.widgets import bar_chart, box_canvas, scripts, unit_grid

WIDGETS = {
    "bar_chart": bar_chart.BarChart,
    "box_canvas": box_canvas.BoxCanvas,
    "unit_grid": unit_grid.UnitGrid,
}
FOLDER = Path(scripts.__file__).parent


def test_no_script_is_left_out():
    assert {path.stem for path in FOLDER.glob("*.js")} == {*WIDGETS, "common"}


@pytest.mark.parametrize("name", WIDGETS)
def test_a_script_is_whole_short_and_loads_nothing(name):
    script = scripts.script(name)
    assert len(script.splitlines()) < 160
    assert str(WIDGETS[name]._esm) == script and str(WIDGETS[name]._css) == scripts.style(name)
    assert script.count("export default") == 1
    for word in ("http", "import "):
        assert word not in script, "nothing is loaded from elsewhere"
    declared = re.findall(r"^(?:export )?(?:function|const|let) (\w+)", script, re.MULTILINE)
    assert len(set(declared)) == len(declared), "names of the common part are taken"
