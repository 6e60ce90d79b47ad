"""Table 5: its rows, what is computed once, the signs it decides, and the text it prints."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rcnn_helpers.ablation import segmentation_table as module
from rcnn_helpers.ablation.foreground import foreground_differences
from rcnn_helpers.ablation.segmentation_table import (
    TABLE5,
    FeatureRow,
    format_table5,
    segmentation_signs,
    segmentation_summary,
    table5,
)
from rcnn_helpers.datasets.toyvoc import open_toyvoc
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.finetuning import settings_for

ROWS = (FeatureRow("full", "fc6"), FeatureRow("full+fg", "fc6"), FeatureRow("O2P"))


def frame_of(means: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "features": features,
            "layer": layer,
            "seed": seed,
            "background": 90.0,
            "car": np.nan if seed else 40.0,
            "mean": mean,
            "seconds": 60.0,
            "svr_seconds": 2.0,
            "threshold": 0.3,
        }
        for (features, layer), values in means.items()
        for seed, mean in enumerate(values)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table5")


def run(folder, **options):
    def data(seed):
        return tuple(
            open_toyvoc(split, profile="smoke", seed=seed, root=folder) for split in ("trainval", "test")
        )

    quick = replace(settings_for("quarter_tnet"), steps=2, batch_size=8, positives=2)
    options = {
        "rows": ROWS,
        "max_proposals": 30,
        "max_regions": 6,
        "max_images": 4,
        "max_test_images": 3,
    } | options
    return table5(
        data=data,
        cache=folder / "cache",
        finetune_settings=quick,
        device="cpu",
        progress=False,
        **options,
    )


def test_rows_are_measured_once_and_read_again(folder, monkeypatch):
    frame = run(folder)
    assert list(zip(frame.features, frame.layer, strict=True)) == [(r.features, r.layer) for r in ROWS]
    labels = module.label_columns(frame)
    assert labels[0] == "background" and len(labels) == 13
    assert np.allclose(frame[labels].mean(axis=1), frame["mean"])
    assert len(list((folder / "cache" / "finetuned").glob("*.safetensors"))) == 1

    def never(*arguments, **options):
        raise AssertionError("trained anew")

    monkeypatch.setattr(module.Segmenter, "fit", never)
    again = run(folder)
    pd.testing.assert_frame_equal(frame, again)
    with pytest.raises(AssertionError, match="trained anew"):
        run(folder, max_regions=5)


def test_true_outlines_are_first_among_the_regions_and_objects_named_by_them_counted(folder):
    dataset = open_toyvoc("test", profile="smoke", seed=0, root=folder)
    image_id = next(i for i in dataset.ids if len(dataset.annotation(i)) > 1)
    masks, classes = module.true_outlines(dataset, image_id)
    class_map, object_map = dataset.segmentation(image_id)
    for mask, label in zip(masks, classes, strict=True):
        assert set(class_map[mask]) <= {label + 1, 255} and len(set(object_map[mask])) == 1

    class Oracle:
        """Scores the true class highest, in pictures where `knows` says so."""

        def __init__(self, knows):
            self.knows = knows

        def scores(self, image, regions):
            for i in dataset.ids:
                masks, classes = module.true_outlines(dataset, i)
                if len(masks) == len(regions) and all(
                    np.array_equal(mask, regions.mask(k)) for k, mask in enumerate(masks)
                ):
                    shift = 0 if self.knows(i) else 1
                    return np.eye(12)[[(label + shift) % 12 for label in classes]]

    n_objects = [len(module.true_outlines(dataset, i)[1]) for i in dataset.ids]
    last = dataset.ids[-1]
    assert module.named_objects(Oracle(lambda i: True), dataset) == 100
    wanted = 100 * (1 - n_objects[-1] / sum(n_objects))
    assert module.named_objects(Oracle(lambda i: i != last), dataset) == pytest.approx(wanted)


def test_outlines_and_network_have_results_of_their_own(folder):
    row = (FeatureRow("full", "fc6"),)
    found = run(folder, rows=row)
    true = run(folder, rows=row, outlines="true", fine_tuned=False)
    assert "named" not in found and 0 <= true["named"][0] <= 100
    assert run(folder, rows=row)["mean"][0] == found["mean"][0]
    assert module.label_columns(true) == module.label_columns(found)
    with pytest.raises(SettingsError, match="choose one of found, true"):
        run(folder, outlines="drawn")


def test_no_rows_are_refused(folder):
    with pytest.raises(SettingsError, match="no rows"):
        table5((), data=None, cache=folder)


def test_signs_are_differences_within_a_seed(tmp_path):
    frame = frame_of(
        {
            ("O2P", ""): [30.0, 20.0],
            ("full", "fc6"): [28.0, 18.0],
            ("fg", "fc6"): [29.0, 17.0],
            ("full+fg", "fc6"): [31.0, 22.0],
            ("full", "fc7"): [29.0, 20.0],
        }
    )
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    for given in (frame, pd.read_csv(path)):
        found = segmentation_signs(given).set_index("compared")
        assert set(found.index) == {
            "full+fg fc6 - full fc6",
            "full+fg fc6 - fg fc6",
            "fg fc6 - full fc6",
            "full fc6 - full fc7",
            "full+fg fc6 - O2P",
        }
        both = found.loc["full+fg fc6 - full fc6"]
        assert (both["mean"], both.smallest, both.largest, both.seeds) == (3.5, 3.0, 4.0, 2)
        assert both.verdict == "holds" and both.paper == "+4.9"
        assert found.loc["fg fc6 - full fc6"].verdict == "undecided"
        assert found.loc["full fc6 - full fc7"].verdict == "does not hold"
        assert found.loc["full+fg fc6 - O2P"].paper == "+1.5"


def test_the_table_shows_means_spread_and_the_papers_figures():
    frame = frame_of({("O2P", ""): [30.0, 20.0], ("full+fg", "fc6"): [31.0, 22.0]})
    summary = segmentation_summary(frame)
    assert summary.loc["O2P", "mean"] == 25 and summary.loc["O2P", "spread"] == pytest.approx(50**0.5)
    assert summary.loc["O2P", "car"] == 40 and summary.loc["O2P", "seeds"] == 2
    lines = format_table5(frame).splitlines()
    assert lines[1].split() == ["O2P", "90.0", "40.0", "25.0", "±", "7.1", "46.4", "60", "2.0"]
    assert lines[2].split()[:2] == ["full+fg", "fc6"] and "47.9" in lines[2]


def test_the_rows_are_the_papers():
    assert {row.name for row in TABLE5} == {
        "O2P",
        *(f"{kind} {layer}" for kind in ("full", "fg", "full+fg") for layer in ("fc6", "fc7")),
    }
    assert set(TABLE5) == set(module._paper())


def test_differences_tell_whether_the_foreground_still_loses():
    frame = pd.DataFrame(
        {
            "fine_tuned": tuned,
            "outlines": outlines,
            "features": kind,
            "seed": seed,
            "mean": mean,
            "named": named,
        }
        for tuned, outlines, full, fg, names in (
            (True, "found", 20.0, 18.0, (np.nan, np.nan)),
            (False, "true", 15.0, 16.0, (50.0, 40.0)),
        )
        for seed in (0, 1)
        for kind, mean, named in (
            ("full", full + seed, names[0]),
            ("fg", fg + seed, names[1]),
            ("full+fg", 9, 1),
        )
    )
    found = foreground_differences(frame)
    assert found[["fine_tuned", "outlines", "measure", "mean", "verdict"]].values.tolist() == [
        [True, "found", "mean", -2.0, "does not hold"],
        [False, "true", "mean", 1.0, "holds"],
        [False, "true", "named", -10.0, "does not hold"],
    ]
    assert (found["spread"] == 0).all() and (found["seeds"] == 2).all()
