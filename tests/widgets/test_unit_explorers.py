"""The explorers of units: what they show and say, how grid, sliders and box follow each other."""

import datetime
import io
import re
import threading
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rcnn_helpers import widgets
from rcnn_helpers.errors import DisplayError, SettingsError
from rcnn_helpers.units.index import TopRegions
from rcnn_helpers.warping import warp_reference
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN
from rcnn_helpers.widgets.thumbnails import LastUsed, Thumbnails, sheet
from rcnn_helpers.widgets.unit_grid import UnitGrid
from rcnn_helpers.widgets.unit_words import classes_under, object_under

SIDES = ("x1", "y1", "x2", "y2")


def encode(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    channels = [x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)]
    return np.stack(channels, axis=2).astype(np.uint8)


def regions_of(*places):
    """Top regions at these places, each an image id and a box."""
    boxes = np.array([box for _, box in places], dtype=np.float32)
    values = np.linspace(1, 0.5, len(places))
    return TopRegions(tuple(image_id for image_id, _ in places), boxes, values, values, boxes)


@pytest.fixture
def live(explorers):
    """A unit explorer of two networks that a browser shows, and the list of pictures it has sent since."""
    explorer = explorers["two networks"]
    explorer.grid.alive = True
    sent = []
    explorer.picture.observe(lambda change: sent.append(change.new), names="value")
    return explorer, sent


# ---------------------------------------------------------------------------------------------------- crops


@pytest.mark.parametrize("mode", ["warp", "square_context", "square", "original"])
@pytest.mark.parametrize("box", [[30, 20, 110, 90], [-20, 60, 70, 170], [150, 100, 199, 149]])
def test_a_crop_is_what_the_network_sees(dataset, mode, box):
    picture = cv2.GaussianBlur(dataset.image("a"), (0, 0), 4)  # resampling methods agree on smooth pictures
    thumbnails = Thumbnails(dataset, mode=mode, padding=16, input_size=227)
    crop = thumbnails.crop(picture, box, None, 100)
    seen = warp_reference(picture, box, size=227, mode=mode, padding=16, mean=IMAGENET_MEAN)
    wanted = cv2.resize(seen, (100, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(crop - wanted)[2:-2, 2:-2].mean() < 3


def test_a_crop_of_a_half_size_view_is_nearly_the_same(dataset):
    picture = cv2.GaussianBlur(dataset.image("a"), (0, 0), 4)
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    thumbnails = Thumbnails(dataset, mode="warp", padding=16, input_size=227)
    box, field = [30, 20, 170, 130], (40, 50, 200, 210)
    whole, view = (thumbnails.crop(p, box, field, 60, shrink=k) for p, k in ((picture, 1), (half, 2)))
    assert np.abs(whole.astype(int) - view).mean() < 6


def test_the_field_is_drawn_where_the_unit_looks_white_with_dark_edges(dataset):
    thumbnails = Thumbnails(dataset, mode="warp", padding=16, input_size=227)
    crop = thumbnails.crop(
        np.full((90, 90, 3), 120, np.uint8), [0, 0, 90, 90], (22.7, 45.4, 181.6, 204.3), 100
    )
    white = np.argwhere((crop == 255).all(axis=2))
    black = np.argwhere((crop == 0).all(axis=2))
    assert white.min(axis=0).tolist() == [21, 11] and white.max(axis=0).tolist() == [88, 78]
    assert black.min(axis=0).tolist() == [20, 10] and black.max(axis=0).tolist() == [89, 79]


def test_a_crop_in_its_own_shape_is_as_wide_as_its_window(dataset):
    thumbnails = Thumbnails(dataset, mode="warp", padding=16, input_size=227)
    found = thumbnails.crops([(regions_of(("a", [0, 0, 100, 50])), None, 80)], own_shape=True)[0][0]
    assert found.shape[1] == 80 and abs(found.shape[0] - 40) <= 1
    assert thumbnails.crops([(regions_of(("a", [0, 0, 100, 50])), None, 80)])[0][0].shape == (80, 80, 3)


class FolderDataset:
    """Pictures in a folder, and a list of what was decoded in full."""

    def __init__(self, folder, n_images):
        self.folder, self.ids, self.read = folder, [f"p{i}" for i in range(n_images)], []
        for image_id in self.ids:
            (folder / f"{image_id}.jpg").write_bytes(encode(smooth(300, 400)))

    def image_path(self, image_id):
        return self.folder / f"{image_id}.jpg"

    def image(self, image_id):
        self.read.append((image_id, threading.current_thread().name))
        return np.asarray(Image.open(self.image_path(image_id)))


def test_pictures_are_decoded_once_at_half_size_where_that_will_do_and_in_other_threads(tmp_path):
    dataset = FolderDataset(tmp_path, 3)
    thumbnails = Thumbnails(dataset, mode="warp", padding=16, input_size=227)
    thumbnails.crops([(regions_of(*((image_id, [0, 0, 300, 200]) for image_id in dataset.ids)), None, 60)])
    assert dataset.read == [], "large regions do with half-size views, which the data set does not read"
    small = regions_of(("p0", [10, 10, 40, 40]), ("p0", [50, 50, 250, 200]), ("p1", [5, 5, 50, 90]))
    thumbnails.crops([(small, None, 60)])
    thumbnails.crops([(small, None, 60)])
    assert sorted(image_id for image_id, _ in dataset.read) == ["p0", "p1"]
    assert all(name.startswith("thumbnails") for _, name in dataset.read)
    assert thumbnails.picture("p0").shape == (300, 400, 3)
    assert len(dataset.read) == 2, "at hand already"
    assert thumbnails.picture("p2").shape == (300, 400, 3), "so far only at half size"


def test_a_picture_that_is_missing_is_an_error_that_names_it(tmp_path):
    dataset = FolderDataset(tmp_path, 1)
    (tmp_path / "p0.jpg").unlink()
    thumbnails = Thumbnails(dataset, mode="warp", padding=16, input_size=227)
    with pytest.raises(Exception, match="p0"):
        thumbnails.crops([(regions_of(("p0", [0, 0, 300, 200])), None, 60)])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=60))
def test_what_was_used_last_is_kept_within_the_weight(uses):
    kept, wanted = LastUsed(60, weight=lambda value: value), []
    for key, weight in uses:
        kept[key] = weight
        wanted = [pair for pair in wanted if pair[0] != key] + [(key, weight)]
        while sum(each for _, each in wanted) > 60:
            wanted.pop(0)
    assert {key: kept.get(key) for key in range(10) if kept.get(key)} == dict(wanted)


def test_a_sheet_has_cells_of_one_size_and_leaves_the_rest_white():
    crops = [np.full((40, 20, 3), 9, np.uint8), np.full((40, 40, 3), 99, np.uint8)]
    drawn = sheet(crops, ["one", "two"], columns=3, rows=2, side=40)
    height, width = drawn.shape[0] // 2, drawn.shape[1] // 3
    assert (drawn[height:] == 255).all() and (drawn[:, 2 * width :] == 255).all()
    assert (drawn[:height, :width] == 9).all(axis=2).sum() == 800
    assert (drawn[:height, width : 2 * width] == 99).all(axis=2).sum() == 1600


# ---------------------------------------------------------------------------------------------------- words


def test_a_region_lies_on_the_object_that_it_overlaps_by_half(dataset):
    assert object_under(dataset, "a", [20, 30, 90, 80]) == ("cat", 1.0)
    assert object_under(dataset, "a", [20, 30, 55, 80]) == ("cat", pytest.approx(0.5))
    assert object_under(dataset, "a", [20, 30, 54, 80]) == ("", 0.0)
    assert object_under(object(), "a", [20, 30, 90, 80]) == ("", 0.0)


def test_the_class_under_most_regions_is_told(dataset):
    cat, dog, nothing = [20, 30, 90, 80], [110, 40, 180, 130], [0, 0, 9, 9]
    told = classes_under(dataset, regions_of(("a", dog), ("b", dog), ("a", cat), ("a", nothing)))
    assert told == "Of its top 4 regions, from 2 images, 2 lie on a dog and 1 on other objects."
    assert classes_under(dataset, regions_of(("a", cat))).endswith("from 1 image, 1 lies on a cat.")
    assert "none lies on a known object" in classes_under(dataset, regions_of(("a", nothing)))


# ------------------------------------------------------------------------------------------------- the grid


@given(st.integers(-9, 60), st.integers(0, 12), st.integers(-3, 20), st.integers(1, 9))
def test_the_chosen_cell_and_channel_exist(chosen, n_cells, channel, n_channels):
    grid = UnitGrid(cells=[{"name": ""}] * n_cells, n_channels=n_channels)
    grid.chosen, grid.channel = chosen, channel
    assert grid.chosen == np.clip(chosen, 0, max(n_cells - 1, 0))
    assert grid.channel == np.clip(channel, 0, n_channels - 1)


# --------------------------------------------------------------------------------------------- any one unit


def test_the_unit_is_described_by_the_numbers_of_the_index(explorers):
    explorer = explorers["units"]
    index = explorer.indexes["after fine-tuning"]
    told = explorer.describe(channel=2, row=1, column=0)
    unit = 2 * 9 + 1 * 3
    share = index.values[unit, 0] / index.values[18:27].max()
    assert told.startswith(f"Unit {unit} of pool5, channel 2, row 1, column 0: its highest value is ")
    assert f"{index.values[unit, 0]:.3g}, {share:.2f} of its channel's highest" in told
    assert f"{100 * index.counts[unit] / 2000:.1f}% of 2,000 regions excite it" in told
    assert "Of its top 7 regions" in told
    third = explorer.describe(channel=2, row=1, column=0, region=3)
    scaled = index.values[unit, 2] / index.values[18:27].max()
    image_id = "ab"[index.image_index[unit, 2]]
    assert f"Region 3, in image {image_id}, reaches {scaled:.2f}" in third


def test_a_silent_unit_and_one_with_few_regions(explorers):
    explorer = explorers["units"]
    assert "none of 2,000 regions excites it" in explorer.describe(channel=0, row=0, column=0)
    assert explorer.render(channel=0, row=0, column=0).size > 0
    assert "Of its top 3 regions" in explorer.describe(channel=0, row=0, column=1)
    told = explorer.describe(channel=0, row=0, column=1, region=7)
    assert "Region 3, in image" in told, "beyond the last is the last"


def test_the_region_slider_ends_where_the_unit_ends(explorers):
    controls = explorers["units"].controls
    controls["region"].value = 7
    controls["row"].value, controls["column"].value = 0, 1
    assert (controls["region"].value, controls["region"].max) == (3, 3)
    controls["column"].value = 0  # silent
    assert (controls["region"].value, controls["region"].max) == (1, 1)
    controls["column"].value = 2
    assert controls["region"].max == 7


def test_the_other_networks_unit_is_told_of_too(explorers):
    explorer = explorers["two networks"]
    told = explorer.describe(channel=3, network="before fine-tuning")
    assert re.search(r"column 1, after fine-tuning: .* The same unit, before fine-tuning: its highest", told)
    assert "Region 1, before fine-tuning, in image" in told
    silent = explorer.describe(channel=0, row=0, column=0)
    assert "The same unit, before fine-tuning: none of 2,000 regions excites it." in silent


def test_the_cells_show_values_means_or_shares_of_regions(explorers):
    explorer = explorers["units"]
    index = explorer.indexes["after fine-tuning"]
    highest = explorer._map_cells(channel=1, colours="maximum")
    assert [cell["text"] for cell in highest].count("1.00") == 1
    shares = index.values[9:18, 0] / index.values[9:18].max()
    assert [cell["text"] for cell in highest] == [f"{share:.2f}" for share in shares]
    assert highest[4]["name"] == f"row 1, column 1: {shares[4]:.2f} of the channel's highest value"
    brightness = [sum(bytes.fromhex(cell["colour"][1:])) for cell in highest]
    assert np.argsort(brightness).tolist() == np.argsort(-shares, kind="stable").tolist()
    active = explorer._map_cells(channel=0, colours="active")
    assert active[0]["text"] == "0.0%" and "of all regions excite it" in active[0]["name"]
    means = explorer._map_cells(channel=1, colours="mean")
    assert [cell["text"] for cell in means].count("1.00") == 1


def test_fully_connected_units_have_no_cells_and_no_field(make_index, dataset):
    index = make_index((5, 1, 1), spans=[(0, 227)])
    explorer = widgets.UnitExplorer(index, dataset, k=4)
    assert list(explorer.controls) == ["channel", "region", "shape"]
    told = explorer.describe(channel=2)
    assert told.startswith("Unit 2 of pool5, channel 2: its highest value") and "row" not in told
    explorer.grid.alive = True
    assert explorer.grid.cells[0]["name"].startswith("row 0, column 0")
    explorer.controls["channel"].value = 3
    assert explorer.grid.channel == 3


def test_the_first_unit_can_be_chosen(make_index, dataset):
    explorer = widgets.UnitExplorer(make_index(), dataset, unit=(3, 0, 2))
    assert "channel 3, row 0, column 2" in explorer.describe()
    with pytest.raises(SettingsError, match="no row 3"):
        widgets.UnitExplorer(make_index(), dataset, unit=(3, 3, 2))


def test_indexes_that_cannot_stand_side_by_side_are_refused(make_index, dataset):
    with pytest.raises(DisplayError, match=r"\(4, 3, 3\) of one network and \(5, 3, 3\)"):
        widgets.UnitExplorer(make_index(), dataset, other=make_index((5, 3, 3)))
    with pytest.raises(DisplayError, match="both networks are called 'x'"):
        widgets.UnitExplorer(make_index(), dataset, other=make_index(), name="x", other_name="x")
    with pytest.raises(DisplayError, match="k is 0"):
        widgets.UnitExplorer(make_index(), dataset, k=0)


def test_a_data_set_without_annotations_will_do(make_index, dataset):
    class Bare:
        ids, image = dataset.ids, dataset.image

    assert "none lies on a known object" in widgets.UnitExplorer(make_index(), Bare()).describe()


def test_most_similar_channels_one_after_the_other(explorers):
    explorer = explorers["units"]
    channel = explorer.controls["channel"]
    ranked = explorer.indexes["after fine-tuning"].similar_channels(0).tolist()
    visited = []
    for _ in range(4):
        explorer.similar.click()
        visited.append(channel.value)
        assert f"number {(len(visited) - 1) % 3 + 1} in likeness to channel 0" in explorer.similar_said.value
    assert visited == [*ranked, ranked[0]], "each press goes on in the order of likeness to where one began"
    channel.value = 2
    assert explorer.similar_said.value == ""
    explorer.similar.click()
    assert channel.value == explorer.indexes["after fine-tuning"].similar_channels(2)[0]


# ------------------------------------------------------------------------------------- as a browser shows it


def test_without_a_browser_there_is_one_picture_with_everything_and_no_grid(explorers):
    explorer = explorers["two networks"]
    grids = [explorer.grid, *explorer.sheets.values()]
    assert all(grid.layout.display == "none" for grid in grids)
    everything = explorer.picture.value
    explorer.grid.alive = True
    assert all(grid.layout.display is None for grid in grids)
    assert len(explorer.picture.value) < 0.7 * len(everything)
    assert all(Image.open(io.BytesIO(grid.image)).format == "JPEG" for grid in grids[1:])


def test_a_click_on_a_cell_moves_the_sliders_and_draws_once(live):
    explorer, sent = live
    explorer.grid.chosen = 5
    assert (explorer.controls["row"].value, explorer.controls["column"].value) == (1, 2)
    assert "row 1, column 2" in explorer.text.value
    assert len(sent) <= 2, "row and column may each draw, no more"


def test_a_slider_moves_the_chosen_cell(live):
    explorer, sent = live
    explorer.controls["row"].value = 2
    assert explorer.grid.chosen == 2 * 3 + 1 and len(sent) == 1
    explorer.controls["channel"].value = 3
    assert explorer.grid.channel == 3 and len(sent) == 2
    assert {grid.channel for grid in explorer.sheets.values()} == {3}


def test_a_key_on_any_grid_changes_the_channel(live):
    explorer, sent = live
    for number, grid in enumerate((explorer.grid, *explorer.sheets.values()), start=1):
        grid.channel = number
        assert explorer.controls["channel"].value == explorer.grid.channel == number
        assert len(sent) == number


def test_a_click_on_a_region_shows_the_image_it_comes_from(live):
    explorer, sent = live
    explorer.sheets["after fine-tuning"].chosen = 4
    assert explorer.controls["region"].value == 5 and len(sent) == 1
    assert "Region 5, after fine-tuning" in explorer.text.value
    with explorer.sheets["before fine-tuning"].hold_trait_notifications():  # as they come from the browser
        explorer.sheets["before fine-tuning"].chosen = 2
        explorer.sheets["before fine-tuning"].framed = True
    assert explorer.controls["network"].value == "before fine-tuning"
    assert explorer.controls["region"].value == 3
    assert "Region 3, before fine-tuning" in explorer.text.value
    framed = {name: each.framed for name, each in explorer.sheets.items()}
    assert framed == {"after fine-tuning": False, "before fine-tuning": True}
    explorer.sheets["after fine-tuning"].framed = True  # as a click on the region of the same number does
    assert "Region 3, after fine-tuning" in explorer.text.value
    assert not explorer.sheets["before fine-tuning"].framed


def test_regions_are_named_for_screen_readers(live):
    explorer, _ = live
    cells = explorer.sheets["after fine-tuning"].cells
    assert len(cells) == 8
    assert all(re.fullmatch(r"region \d: \d\.\d\d, in image [ab]", cell["name"]) for cell in cells)
    explorer.controls["channel"].value, explorer.controls["row"].value = 0, 0
    assert len(explorer.sheets["after fine-tuning"].cells) == 3, "as many as the unit has"
    explorer.controls["column"].value = 0
    assert explorer.sheets["after fine-tuning"].cells == []


def test_a_sheet_is_not_drawn_again_for_another_region(live, monkeypatch):
    explorer, _ = live
    drawn = Counter()
    draw = explorer._sheet
    monkeypatch.setattr(explorer, "_sheet", lambda name, *a, **k: drawn.update([name]) or draw(name, *a, **k))
    explorer.controls["region"].value = 2
    assert not drawn
    explorer.controls["row"].value = 0
    assert set(drawn.values()) == {1}


def test_an_error_while_a_cell_is_clicked_is_raised_and_told(live, monkeypatch):
    explorer, _ = live
    monkeypatch.setattr(explorer, "_beside_it", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explorer.grid.chosen = 0
    assert 'role="alert"' in explorer.text.value


@pytest.mark.parametrize("kind", ["units", "two networks"])
def test_the_static_twin_is_the_same_with_and_without_a_browser(explorers, kind):
    explorer = explorers[kind]
    before = explorer.render()
    explorer.grid.alive = True
    assert (explorer.render() == before).all()


# ------------------------------------------------------------------------------------------- excited units


def sides(explorer):
    return [explorer.controls[side].value for side in SIDES]


@torch.inference_mode()
def pool5_of(network, image, box):
    """Features of one box the plain way."""
    crop = warp_reference(image, box, size=network.input_size, mean=network.mean)
    crop = (crop - np.array(network.mean)) / np.array(network.std)
    if network.bgr:
        crop = crop[:, :, ::-1]
    batch = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)[None], dtype=np.float32))
    return network.features(batch, ("pool5",))["pool5"][0].numpy()


def test_the_most_excited_units_are_those_nearest_to_their_own_maximum(
    dataset, untrained, index_of_untrained
):
    explorer = widgets.ExcitedUnitsExplorer(untrained, dataset, index_of_untrained, k=5)
    box = [20, 30, 90, 80]  # the first object, where the box starts
    assert sides(explorer) == box
    index = index_of_untrained
    known = (index.values > 0).sum(axis=1) >= 5
    shares = np.where(
        known, pool5_of(untrained, dataset.image("a"), box) / np.maximum(index.values[:, 0], 1e-9), 0
    )
    best = shares.reshape(64, 36).max(axis=1)
    channels = np.argsort(-best)[:6]
    places = [divmod(int(shares.reshape(64, 36)[channel].argmax()), 6) for channel in channels]
    told = explorer.describe()
    names = re.findall(r"channel (\d+), row (\d), column (\d)", told)
    assert [int(name[0]) for name in names] == channels.tolist()
    assert [(int(row), int(column)) for _, row, column in names] == places
    # Where the processor has it, the network computes in bfloat16.
    reached = float(re.search(r"to (\d+\.\d\d) of the most that any of 2,000 regions does", told)[1])
    assert reached == pytest.approx(best[channels[0]], rel=0.02)
    half = int(re.search(r"(\d+) of 2,302 units reach half", told)[1])
    assert half == pytest.approx((shares >= 0.5).sum(), rel=0.02) and known.sum() == 2302
    repeated = re.findall(r"channel (\d+)", explorer.describe(once=False))
    assert [int(each) for each in repeated] == (np.argsort(-shares, kind="stable")[:6] // 36).tolist()


def test_a_drawn_box_moves_the_sliders_and_draws_once(explorers):
    explorer = explorers["excited units"]
    explorer.canvas.alive = True
    sent = []
    explorer.picture.observe(lambda change: sent.append(change.new), names="value")
    explorer.canvas.box = [50, 60, 120, 130]
    assert sides(explorer) == [50, 60, 120, 130] and len(sent) == 1
    assert "Box of 70 x 70 pixels in a" in explorer.text.value
    explorer.controls["x2"].value = 110
    assert explorer.canvas.box == [50, 60, 110, 130] and len(sent) == 2
    [outline] = explorer.canvas.outlines
    assert outline["look"] == "window" and len(outline["box"]) == 4


def test_another_image_brings_its_own_box(explorers):
    explorer = explorers["excited units"]
    explorer.canvas.box = [50, 60, 120, 130]
    explorer.controls["image_id"].value = "b"
    assert sides(explorer) == explorer.canvas.box == [20, 30, 90, 80]
    assert "in b" in explorer.describe()
    assert "Box of 70 x 50 pixels in a" in explorer.describe("a")
    assert "Box of 30 x 40 pixels in a" in explorer.describe("a", 50, 60, 80, 100)


def upload(explorer, content, name="mine.jpg"):
    now = datetime.datetime.now(datetime.UTC)
    explorer.upload.value = [
        {"name": name, "type": "image/jpeg", "size": len(content), "content": content, "last_modified": now}
    ]


def test_an_uploaded_photograph_is_shown_and_searched(explorers):
    explorer = explorers["excited units"]
    explorer.canvas.alive = True
    upload(explorer, encode(smooth(300, 400)))
    choice = explorer.controls["image_id"]
    assert choice.value == "your photograph 1: mine.jpg"
    assert sides(explorer) == explorer.canvas.box == [100, 75, 300, 225]
    assert (explorer.canvas.width, explorer.canvas.height) == (400, 300)
    assert explorer.upload.value == (), "so that the same file can come again"
    assert "mine.jpg: 400 x 300 pixels." in explorer.upload_said.value
    assert "Box of 200 x 150 pixels in your photograph 1: mine.jpg" in explorer.text.value
    upload(explorer, encode(smooth(120, 90)))
    assert choice.value == "your photograph 2: mine.jpg"
    choice.value = "a"
    assert sides(explorer) == [20, 30, 90, 80]
    choice.value = "your photograph 1: mine.jpg"
    assert explorer.canvas.width == 400


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (encode(smooth(60, 80)[:, :, 0]), "grey"),
        (encode(np.repeat(smooth(60, 80)[:, :, :1], 4, axis=2), "TIFF"), "with transparency"),
    ],
)
def test_photographs_of_all_kinds_are_taken(explorers, content, kind):
    explorer = explorers["excited units"]
    upload(explorer, content, f"{kind}.jpg")
    assert "80 x 60 pixels" in explorer.upload_said.value
    assert explorer.canvas.width == 80


def test_a_cmyk_photograph_is_taken(explorers):
    explorer = explorers["excited units"]
    buffer = io.BytesIO()
    Image.fromarray(smooth(60, 80)).convert("CMYK").save(buffer, "JPEG")
    upload(explorer, buffer.getvalue(), "print.jpg")
    assert "print.jpg: 80 x 60 pixels." in explorer.upload_said.value


def test_a_large_photograph_is_shrunk(explorers):
    explorer = explorers["excited units"]
    upload(explorer, encode(smooth(1500, 3000)))
    assert "3000 x 1500 pixels, shrunk to 1000 x 500." in explorer.upload_said.value
    assert explorer.canvas.width == 1000


def bomb():
    """A PNG that says it has 20,000 x 20,000 pixels."""
    content = bytearray(encode(smooth(4, 4), "PNG"))
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no picture", "mine.jpg is not an image this program can read"),
        (b"", "mine.jpg is empty"),
        (encode(smooth(300, 400))[:2000], "mine.jpg is damaged or truncated"),
        (bomb(), "million pixels|is not an image"),
    ],
)
def test_a_file_that_is_no_photograph_is_refused_in_the_widget_and_nothing_else_changes(
    explorers, content, said
):
    explorer = explorers["excited units"]
    before = explorer.picture.value, explorer.text.value, explorer.controls["image_id"].options
    upload(explorer, content)
    assert re.search(said, explorer.upload_said.value)
    assert 'role="alert"' in explorer.upload_said.value
    assert before == (explorer.picture.value, explorer.text.value, explorer.controls["image_id"].options)
    upload(explorer, encode(smooth(30, 40)))
    assert "40 x 30 pixels" in explorer.upload_said.value


def test_a_file_name_is_shown_as_text(explorers):
    explorer = explorers["excited units"]
    upload(explorer, b"no picture", "<img src=x>.jpg")
    assert "<img" not in explorer.upload_said.value and "&lt;img" in explorer.upload_said.value


def test_units_of_another_network_or_layer_are_refused(dataset, untrained, index_of_untrained, make_index):
    with pytest.raises(DisplayError, match="made with other weights"):
        widgets.ExcitedUnitsExplorer(untrained, dataset, make_index((64, 6, 6), 8, None, [(0, 9)] * 6))
    with pytest.raises(DisplayError, match="no images to draw on"):
        widgets.ExcitedUnitsExplorer(untrained, dataset, index_of_untrained, image_ids=[])
    object.__setattr__(index_of_untrained, "layer", "conv3")
    with pytest.raises(DisplayError, match="the index is of conv3, but only units of pool5, fc6, fc7"):
        widgets.ExcitedUnitsExplorer(untrained, dataset, index_of_untrained)
