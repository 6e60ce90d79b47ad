"""Imports run one way, floor by floor and never up; and the package is light to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rcnn_helpers

PACKAGE = Path(rcnn_helpers.__file__).parent

# Lowest floor first. A module may import from its own floor and from those below.
FLOORS = (
    (
        "errors",
        "lazy_imports",
        "boxes",
        "settings",
        "storage",
        "images",
        "memory",
        "kept_images",
        "columns",
        "paired",
        "streaming",
    ),
    (
        "datasets",
        "proposals",
        "training",
        "warping",
        "networks",
        "nms",
        "sift",
        "plots",
        "drawing",
        "redundancy",
        "scaling",
    ),
    (
        "features",
        "feature_store",
        "pool5",
        "finetuning",
        "pretraining",
        "evaluation",
        "voc_results",
        "coco_results",
    ),
    ("svm", "bbox_regression", "box_regressors", "ridge", "units", "diagnosis", "segmentation"),
    (
        "detector",
        "candidates",
        "training_regions",
        "model_files",
        "baselines",
        "sliding_window_detector",
        "widgets",
    ),
    ("course", "claims", "ablation", "planning", "cost_measurement"),
    ("cli",),
)
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS, start=1) for part in parts}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    """Module or subpackage right under `rcnn_helpers` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parts_imported(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and part of every import of `rcnn_helpers`, also of those inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # `from rcnn_helpers import boxes` names the part behind the word import.
            below = node.module == "rcnn_helpers"
            names = [f"rcnn_helpers.{alias.name}" for alias in node.names] if below else [node.module]
        else:
            continue
        found += [(node.lineno, name.split(".")[1]) for name in names if name.startswith("rcnn_helpers.")]
    return found


def test_imports_are_found_in_every_form():
    source = (
        "import os\n"
        "import rcnn_helpers.nms as n\n"
        "from rcnn_helpers import boxes, svm\n"
        "from rcnn_helpers.datasets.voc import VOCDataset\n"
        "def f():\n"
        "    from rcnn_helpers.cli import main\n"
    )
    assert parts_imported(ast.parse(source)) == [
        (2, "nms"),
        (3, "boxes"),
        (3, "svm"),
        (4, "datasets"),
        (6, "cli"),
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_goes_up(path):
    part = part_of(path)
    assert part in FLOOR_OF, f"{part} is on no floor; add it to FLOORS"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    upward = [
        f"{path.name}:{line} imports {other} (floor {FLOOR_OF[other]} from floor {FLOOR_OF[part]})"
        for line, other in parts_imported(tree)
        if FLOOR_OF[other] > FLOOR_OF[part]
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_absolute(path):
    relative = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if getattr(node, "level", 0)
    ]
    assert not relative, (
        f"{path.name}:{relative[0].lineno} imports relatively; the floors are read off full names"
    )


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("rcnn_helpers", {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas"}),
        ("rcnn_helpers.images", {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas"}),
        ("rcnn_helpers.settings", {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas"}),
        ("rcnn_helpers.datasets.voc", {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas"}),
        ("rcnn_helpers.datasets.download", {"torch", "sklearn", "matplotlib", "cv2", "numba", "pandas"}),
    ],
)
def test_importing_stays_light(module, heavy):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()


# Modules that load one of HEAVY as soon as they are imported, and why that cannot wait.
HEAVY = {"torch", "sklearn", "matplotlib", "IPython"}
LOADS_HEAVY = {
    "networks": "its networks are torch modules, and classes need their base",
    "pool5": "it runs the last layers of networks",
    "feature_store": "it keeps what networks compute",
    "features": "it runs networks",
    "training": "it trains networks",
    "pretraining": "it trains networks",
    "finetuning": "it trains networks",
    "units": "it traces networks",
    "box_regressors": "its class is one of scikit-learn's estimators",
    "course": "its exercises are IPython's magics",
}


def test_what_is_light_stays_so():
    """Every module but those above, imported together; OpenCV, numba and with it SciPy take 0.3 s and may come."""
    light = sorted({part_of(path) for path in MODULES} - set(LOADS_HEAVY))
    code = (
        "import importlib, sys\n"
        f"for part in {light}:\n"
        "    importlib.import_module('rcnn_helpers.' + part)\n"
        f"    loaded = {HEAVY} & set(sys.modules)\n"
        "    assert not loaded, f'{part} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
