"""``rcnn duplicates``: the pairs it prints, the files it writes, and what it refuses."""

import json

import numpy as np
import pytest

from rcnn_helpers.cli import main, redundancy
from rcnn_helpers.images import write_image
from rcnn_helpers.redundancy import NEAR, planted


def picture(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return coarse.repeat(12, axis=0).repeat(12, axis=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for number in range(4):
        write_image(folder / "a" / f"{number}.png", picture(number))
        write_image(folder / "b" / f"other_{number}.png", picture(50 + number))
    write_image(folder / "b" / "copy.jpg", planted.resized(picture(2), 0.8), quality=60)
    (folder / "b" / "same.png").write_bytes((folder / "a" / "1.png").read_bytes())
    return folder


def test_the_default_threshold_is_that_of_the_package():
    assert redundancy.NEAR == NEAR


def test_two_folders(folders, tmp_path, capsys):
    sets = [str(folders / "a"), str(folders / "b")]
    out = ["--out", str(tmp_path / "report"), "--json", str(tmp_path / "r.json")]
    assert main(["duplicates", *sets, *out, "--cache", str(tmp_path / "cache")]) == 0
    printed = capsys.readouterr().out
    assert "a (4 pictures) against b (6)" in printed
    assert "within a distance of 0.3: 2, with 2 pictures of A" in printed
    assert "same file: 1, the same pixels: 1" in printed
    lines = [line.split() for line in printed.splitlines() if line.strip()[:1].isdigit()]
    assert [line[1:3] for line in lines] == [["1.png", "same.png"], ["2.png", "copy.jpg"]]
    found = json.loads((tmp_path / "r.json").read_text())["found"]
    assert found["pictures"] == [4, 6] and found["command"].startswith("rcnn duplicates")
    assert [pair["b"] for pair in found["pairs"]] == ["same.png", "copy.jpg"]
    assert (tmp_path / "report" / "index.html").is_file() and list((tmp_path / "cache").glob("*.npz"))


def test_one_folder_against_itself_and_ids_from_a_file(folders, tmp_path, capsys):
    (tmp_path / "ids.csv").write_text("0.png,99\nother_3.png,99\n")
    assert main(["duplicates", str(folders / "b"), "--threshold", "0.2"]) == 0
    assert "b (6 pictures) against itself" in capsys.readouterr().out
    both = [str(folders / "a"), str(folders / "b"), "--source-ids", str(tmp_path / "ids.csv"), "--show", "1"]
    assert main(["duplicates", *both]) == 0
    printed = capsys.readouterr().out
    assert "the same id at the source: 1" in printed and "not known for both" not in printed


def test_sets_taken_together_are_one(folders, capsys):
    assert main(["duplicates", str(folders / "a"), str(folders / "b"), "--together"]) == 0
    printed = capsys.readouterr().out
    assert "a and b (10 pictures) against itself" in printed and "0.3: 2," in printed


def test_planted_copies_and_the_search_share_a_file(folders, tmp_path, capsys, monkeypatch):
    kinds = {kind: planted.ALTERATIONS[kind] for kind in ("JPEG quality 90", "mirrored")}
    monkeypatch.setattr(planted, "ALTERATIONS", kinds)
    target = ["--json", str(tmp_path / "r.json")]
    assert main(["duplicates", "--planted", str(folders / "a"), str(folders / "b"), *target]) == 0
    assert "5 copies and 5 others of each kind" in capsys.readouterr().out
    assert main(["duplicates", "--measure", "7x50", *target]) == 0
    assert "7 descriptors against 50 random ones of 960 numbers" in capsys.readouterr().out
    saved = json.loads((tmp_path / "r.json").read_text())
    assert set(saved) == {"planted", "search"}
    assert saved["search"]["queries"] == 7 and saved["search"]["seconds"] > 0
    searches = saved["planted"]["searches"]
    assert [row["kind"] for row in searches["gist"]] == ["JPEG quality 90", "mirrored"]
    assert searches["gist"][0]["nearest_is_original"] == 1
    assert searches["gist, also mirrored"][1]["median_distance"] < 1e-4
    at = saved["planted"]["thresholds"].index(0.3)
    shares = [searches["gist"][0][name][at] for name in ("recall", "precision", "false_alarms")]
    assert shares == [1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one set or two"),
        (["a", "b", "c"], "got 3"),
        (["--planted"], "name the sets"),
        (["--planted", "--measure", "2x2"], "two things"),
        (["no such folder"], "there is no folder"),
        (["a", "--source-ids", "odd.csv"], "row 2 of odd.csv"),
        (["a", "--json", "list.json"], "no result of rcnn duplicates"),
    ],
)
def test_bad_input_is_refused(folders, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").symlink_to(folders / "a")
    (tmp_path / "odd.csv").write_text("0.png,1\n1.png\n")
    (tmp_path / "list.json").write_text("[]")
    assert main(["duplicates", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--measure", "5"], ["a", "--threshold", "3"], ["a", "--threshold", "x"]]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["duplicates", *arguments])
    assert "is not" in capsys.readouterr().err
