"""Every stage on a cache in which a file is damaged: it ends with the same result, or names the file."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from pipeline_stages import STAGES, run_stage

from rcnn_helpers.errors import RCNNError

pytestmark = pytest.mark.slow


def flip(content: bytes, place: float) -> bytes:
    damaged = bytearray(content)
    damaged[min(int(place * len(damaged)), len(damaged) - 1)] ^= 0x11
    return bytes(damaged)


DAMAGES = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "a byte turned in the middle": lambda content: flip(content, 0.5),
    "a byte turned near the end": lambda content: flip(content, 0.99),
    "made text": lambda content: b"This is something else.\n",
    "deleted": None,
}
# Nobody reads these again: they tell people how a run went and what a folder holds.
FOR_PEOPLE = (".csv", "settings.json", ".txt")


def damage_one_after_the_other(name: str, whole: str, folder: str, pictures: str, report: str) -> None:
    """Run a stage with each kind of cached file damaged in each way, and write what happened."""
    expected = digest(run_stage(name, whole, pictures))
    outcomes = {}
    for path in one_of_each_kind(Path(whole)):
        for kind, change in DAMAGES.items():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            damaged = Path(folder) / path
            if change is None:
                damaged.unlink()
            else:
                damaged.write_bytes(change(damaged.read_bytes()))
            outcomes[f"{path}: {kind}"] = outcome(name, folder, pictures, damaged, expected)
    Path(report).write_text(json.dumps(outcomes))


def outcome(name: str, folder: str, pictures: str, damaged: Path, expected: str) -> str:
    try:
        found = digest(run_stage(name, folder, pictures))
    except RCNNError as error:
        return "refused" if damaged.name in str(error) else f"refused without the file's name: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "the same" if found == expected else "another result"


def digest(result: dict) -> str:
    content = b"".join(str(name).encode() + result[name].tobytes() for name in sorted(result))
    return hashlib.sha256(content).hexdigest()


def one_of_each_kind(folder: Path) -> list[Path]:
    """The first file of each folder and suffix, relative to the folder."""
    kinds = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(FOR_PEOPLE):
            kinds.setdefault((path.parent, path.suffix), path.relative_to(folder))
    return list(kinds.values())


@pytest.mark.filterwarnings("ignore:.*Computing it anew:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in STAGES if name != "draw"])
def test_a_damaged_file_is_named_or_made_anew(name, processes, pictures, tmp_path):
    whole, report = tmp_path / "whole", tmp_path / "report.json"
    whole.mkdir()
    for target, folders in (
        (run_stage, (whole,)),
        (damage_one_after_the_other, (whole, tmp_path / "damaged")),
    ):
        end = (report,) if target is damage_one_after_the_other else ()
        arguments = (name, *map(str, folders), str(pictures), *map(str, end))
        process = processes.Process(target=target, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == 0
    outcomes = json.loads(report.read_text())
    assert outcomes
    wrong = {what: how for what, how in outcomes.items() if how not in ("the same", "refused")}
    assert not wrong
