"""`rcnn claims` as a user meets it."""

import json
import subprocess
import sys

import pytest

from rcnn_helpers.claims.measuring import MEASUREMENTS
from rcnn_helpers.cli import claims as command
from rcnn_helpers.cli import main


def test_the_measurements_on_offer_are_those_there_are():
    assert tuple(MEASUREMENTS) == command.MEASUREMENTS


def test_the_whole_table_is_printed_with_the_commands_below(capsys, tmp_path):
    out = tmp_path / "claims.json"
    assert main(["claims", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "Section 3: what the parts are worth",
        "paper: +9.5",
        "Verdicts of",
        "$ rcnn ablate --tables",
    ):
        assert words in printed
    assert max(map(len, printed.splitlines())) <= 100
    saved = json.loads(out.read_text())
    assert saved["command"].startswith("rcnn claims") and len(saved["claims"]) >= 80


def test_a_part_of_it_with_its_commands(capsys):
    assert main(["claims", "--only", "App. B", "--commands"]) == 0
    printed = capsys.readouterr().out
    assert "svm-over-softmax" in printed and "Table 8" not in printed
    assert "                $ rcnn ablate" in printed


def test_nothing_is_missing_and_every_command_can_be_given(capsys):
    assert main(["claims", "--check"]) == 0, capsys.readouterr().out
    assert "nothing missing" in capsys.readouterr().out


def test_a_table_without_results_says_so(capsys, tmp_path):
    assert main(["claims", "--results", str(tmp_path), "--only", "box-regression"]) == 0
    assert "Not run yet: there is no data/results/ablation_toyvoc.csv" in " ".join(
        capsys.readouterr().out.split()
    )


def test_an_unknown_word_is_refused(capsys):
    assert main(["claims", "--only", "Table 9"]) == 1
    assert "no claim is called 'Table 9'" in capsys.readouterr().err
    for arguments in (["--only", ","], ["--measure", "weather"], ["--measure", ""]):
        with pytest.raises(SystemExit) as stopped:
            main(["claims", *arguments])
        assert stopped.value.code == 2


def test_a_measurement_is_saved_beside_the_results(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("rcnn_helpers.claims.measuring.measure", lambda name, course: {"measured": name})
    assert (
        main(["claims", "--measure", "jitter,mining", "--profile", "smoke", "--results", str(tmp_path)]) == 0
    )
    for name in ("jitter", "mining"):
        saved = json.loads((tmp_path / "results" / f"claims_{name}.json").read_text())
        assert saved["measured"] == name and saved["profile"] == "smoke"
        assert {"command", "machine", "date"} <= set(saved)


@pytest.mark.parametrize("text", ["ls", "rcnn nonsense", "rcnn claims --nonsense", "make a cake", ""])
def test_what_is_no_command_is_told_from_one(text):
    with pytest.raises(ValueError):
        command.parse_command(text)


def test_real_commands_parse():
    command.parse_command("rcnn claims --only 'Table 2'")
    command.parse_command("make benchmark")


def test_a_reader_that_has_seen_enough_is_no_fault():
    command = [sys.executable, "-m", "rcnn_helpers.cli", "claims"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
