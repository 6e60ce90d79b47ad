"""environment.yml, pyproject.toml, requirements.lock and the oldest versions describe one environment."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OLDEST = ROOT / "tests" / "requirements-oldest.txt"

# The packages the course was asked to be built on.
REQUIRED = (
    "jupyterlab",
    "torch",
    "torchvision",
    "opencv-python",
    "matplotlib",
    "ipywidgets",
    "numpy",
    "scikit-learn",
    "pandas",
)
# conda-forge calls these two otherwise; both come with pip's metadata under pip's name.
PIP_NAME = {"pytorch": "torch", "opencv": "opencv-python"}


def split_range(requirement: str) -> tuple[str, str]:
    """``"numpy>=2.0"`` -> ``("numpy", "2.0")``: every range in use is one lower bound."""
    match = re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", requirement)
    assert match, f"{requirement!r} is not a name with one lower bound"
    return match[1], match[2]


def version(text: str) -> tuple[int, ...]:
    """Comparable form of a version of numbers and dots, without trailing zeros."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def of_pip(environment: dict) -> list[str]:
    """What conda leaves to pip."""
    (entry,) = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]
    return entry["pip"]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def ranges(project) -> dict[str, str]:
    requirements = project["dependencies"] + project["optional-dependencies"]["dev"]
    return dict(split_range(requirement) for requirement in requirements)


@pytest.fixture(scope="module")
def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pins() -> dict[str, list[str]]:
    return read_pins(LOCK)


def read_pins(path: Path) -> dict[str, list[str]]:
    """Versions that a file pins, some packages once for each range of Python."""
    pinned: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            match = re.match(r"([A-Za-z0-9-]+)==([0-9.]+)(?: ;|$)", line)
            assert match, f"{path.name}: {line!r} is not a pin"
            pinned.setdefault(match[1], []).append(match[2])
    return pinned


def test_what_was_asked_for_is_everywhere(project, environment, pins):
    conda = {re.split(">=", entry)[0] for entry in environment["dependencies"] if isinstance(entry, str)}
    in_conda = {PIP_NAME.get(name, name) for name in conda}
    in_project = {split_range(requirement)[0] for requirement in project["dependencies"]}
    for name in REQUIRED:
        assert name in in_project and name in in_conda and name in pins, name


def test_conda_ranges_are_those_of_the_project(project, ranges, environment):
    assert environment["name"] == "rcnn"
    assert environment["channels"] == ["conda-forge"]
    entries = [entry for entry in environment["dependencies"] if isinstance(entry, str) and entry != "pip"]
    conda = {PIP_NAME.get(name, name): bound for name, bound in map(split_range, entries)}
    assert ">=" + conda.pop("python") == project["requires-python"]
    assert conda | dict(map(split_range, of_pip(environment)[1:])) == ranges


def test_pip_installs_this_package_and_what_conda_lacks(environment):
    this, *lacking = of_pip(environment)
    assert this == "-e ."
    assert [split_range(requirement)[0] for requirement in lacking] == ["playwright"]


def test_the_cluster_extra_is_tested_at_the_range_it_states(project, ranges):
    extra = dict(map(split_range, project["optional-dependencies"]["cluster"]))
    assert list(extra) == ["distributed"]
    assert extra.items() <= ranges.items()


def test_every_pin_is_in_its_range(ranges, pins):
    for name, bound in ranges.items():
        assert name in pins, f"{name} is not in requirements.lock; run `make lock`"
        for pin in pins[name]:
            assert version(pin) >= version(bound), f"{name}=={pin} is below {bound}; run `make lock`"


def test_the_oldest_versions_are_the_bounds(ranges):
    """``make test-oldest`` tries what the ranges promise, not something newer that happened to fit."""
    oldest = read_pins(OLDEST)
    for name, bound in ranges.items():
        assert name in oldest, f"{name} is not in {OLDEST.name}; run `make lock`"
        pin = min(oldest[name], key=version)
        # 4.9.0.80 is the first 4.9, and 1.11.1 the first 1.11 on offer.
        assert f"{pin}.".startswith(f"{bound}."), f"{name}=={pin} is not the oldest {bound}; run `make lock`"


@pytest.mark.parametrize("path", [LOCK, OLDEST], ids=lambda path: path.name)
def test_pins_name_no_registry(path):
    text = path.read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text
