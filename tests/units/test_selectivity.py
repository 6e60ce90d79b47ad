"""Selectivity: cases worked out by hand, a slow reference on ToyVOC, and a unit planted among others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.boxes import iou
from rcnn_helpers.datasets.toyvoc import open_toyvoc
from rcnn_helpers.datasets.toyvoc.part_maps import part_map
from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.units.selectivity import (
    attribute_selectivity,
    best_units,
    chance_bound,
    choose_six,
    class_selectivity,
    compare_units,
    divergence,
)

RED, BLUE = (220, 20, 30), (30, 60, 220)


class TwoPictures:
    """Two pictures of 40 x 20 pixels, red on the left and blue on the right; a dog left in a, a cat right in b."""

    classes = ("cat", "dog")

    def __init__(self, root):
        self.root = root

    def image(self, image_id):
        image = np.empty((20, 40, 3), np.uint8)
        image[:, :20], image[:, 20:] = RED, BLUE
        return image

    def annotation(self, image_id):
        boxes = {"a": [[0, 0, 20, 20]], "b": [[20, 0, 40, 20]]}[image_id]
        one = np.array([False])
        name = {"a": "dog", "b": "cat"}[image_id]
        return Annotation(image_id, 20, 40, np.array(boxes, np.float32), (name,), one, one, one, ("",))


@pytest.fixture
def pictures(tmp_path):
    return TwoPictures(tmp_path)


LEFT, RIGHT, MIDDLE = (0, 0, 20, 20), (20, 0, 40, 20), (10, 0, 30, 20)


@pytest.fixture
def two_units(index_by_hand):
    """Unit 0 sees red alone, unit 1 three quarters of blue; unit 2 is silent."""
    lists = {0: [(3.0, "a", LEFT), (2.0, "b", LEFT)], 1: [(5.0, "b", RIGHT), (4.0, "a", MIDDLE)]}
    return index_by_hand(lists, shape=(3, 1, 1), image_ids=["a", "b"])


def row_of(frame, **wanted):
    (row,) = frame[np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])].to_dict(
        "records"
    )
    return row


def test_shares_of_colours_worked_out_by_hand(two_units, pictures):
    # Random regions of a: all left, of b: left and right. Two thirds of what they show is red.
    proposals = {"a": [LEFT], "b": [LEFT, RIGHT]}
    frame = attribute_selectivity(two_units, pictures, proposals=proposals)
    red = row_of(frame, unit=0, attribute="red")
    assert red["share"] == 1 and red["base"] == pytest.approx(2 / 3) and red["lift"] == pytest.approx(1.5)
    assert red["bits"] == pytest.approx(np.log2(1.5))  # D(1 || p) = -log p
    # With a fourth that is red, as a precaution: two regions, one an image, are both red with probability (3/4)^2.
    assert red["chance"] == pytest.approx(9 / 16) and red["regions"] == 2
    blue = row_of(frame, unit=1, attribute="blue")
    assert blue["share"] == pytest.approx(0.75) and blue["base"] == pytest.approx(1 / 3)
    below = row_of(frame, unit=1, attribute="red")
    assert below["share"] == pytest.approx(0.25) and below["bits"] < 0 and below["chance"] == 1
    assert set(frame["unit"]) == {0, 1}
    assert frame["explained"].isna().all()


def test_only_the_best_k_regions_count(two_units, pictures):
    frame = attribute_selectivity(two_units, pictures, 1)
    assert row_of(frame, unit=1, attribute="blue")["share"] == 1
    assert set(frame["regions"]) == {1}


def test_the_white_box_decides_and_not_the_region(index_by_hand, pictures):
    # The only cell sees the left half of its crop, the region is the whole picture.
    whole = [(1.0, "a", (0, 0, 40, 20))]
    index = index_by_hand({0: whole}, shape=(1, 1, 1), image_ids=["a", "b"])
    half = replace(index, spans=np.array([[0, 50]]))
    shares = [
        row_of(attribute_selectivity(i, pictures), unit=0, attribute="red")["share"] for i in (index, half)
    ]
    assert shares == pytest.approx([0.5, 1.0])


def test_regions_of_one_image_are_not_taken_for_independent(index_by_hand, pictures):
    lists = {0: [(3.0, "a", LEFT), (2.0, "a", LEFT), (1.0, "b", MIDDLE)]}
    index = index_by_hand(lists, shape=(1, 1, 1), image_ids=["a", "b"])
    frame = attribute_selectivity(index, pictures, proposals={"a": [LEFT], "b": [RIGHT]})
    red = row_of(frame, unit=0, attribute="red")
    assert red["share"] == pytest.approx(5 / 6) and red["base"] == 0.5
    # Not three coins with 5/6 heads, but two, one an image, with 3/4. With a third random region that is red, as a
    # precaution, the bound is exp(-2 D(3/4 || 2/3)).
    assert red["chance"] == pytest.approx(((9 / 8) ** 0.75 * (3 / 4) ** 0.25) ** -2)
    assert (red["images"], red["regions"]) == (2, 3)


def test_precision_of_classes_worked_out_by_hand(two_units, pictures):
    frame = class_selectivity(two_units, pictures, proposals={"a": [LEFT, RIGHT], "b": [LEFT, RIGHT]})
    dog = row_of(frame, unit=0, **{"class": "dog"})
    assert dog["precision"] == 0.5 and dog["base"] == 0.25 and dog["lift"] == 2
    cat = row_of(frame, unit=1, **{"class": "cat"})
    assert cat["precision"] == 0.5 and cat["base"] == 0.25
    # The middle overlaps the dog by a third.
    assert not ((frame["unit"] == 1) & (frame["class"] == "dog")).any()
    loose = class_selectivity(two_units, pictures, iou_threshold=0.3)
    assert row_of(loose, unit=1, **{"class": "dog"})["precision"] == 0.5


@given(st.floats(0, 1), st.floats(0.001, 0.999))
def test_divergence_is_scipys_relative_entropy(share, base):
    expected = scipy.stats.entropy([share, 1 - share], [base, 1 - base])
    assert divergence(share, base) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.01, 0.99), st.floats(0.1, 1))
def test_chance_bounds_the_exact_probability_of_coins(n, heads, p, worth):
    """Coins that are worth 0 or `worth` at most 1: their sum is binomial."""
    share = worth * min(heads, n) / n
    bound = chance_bound(share, worth * p, worth**2 * p * (1 - p), n)
    exact = scipy.stats.binom.sf(min(heads, n) - 1, n, p)
    assert exact <= bound * (1 + 1e-9) or share <= worth * p
    assert 0 <= bound <= 1


@given(st.integers(1, 40), st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_chance_of_coins_is_chernoffs_bound_and_a_smaller_variance_makes_it_smaller(n, p, share):
    bound = chance_bound(share, p, p * (1 - p), n)
    expected = np.exp(-n * divergence(share, p)) if share > p else 1
    assert bound == pytest.approx(expected, rel=1e-6)
    assert chance_bound(share, p, p * (1 - p) / 2, n) <= bound * (1 + 1e-9)


# ToyVOC ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    counts = {"train": 6, "val": 1, "test": 1}
    return open_toyvoc("train", counts=counts, root=tmp_path_factory.mktemp("toyvoc"), n_jobs=1)


def some_boxes(rng, dataset, image_id, n):
    height, width = dataset.annotation(image_id).height, dataset.annotation(image_id).width
    corner = rng.integers(0, [width - 30, height - 30], (n, 2))
    side = np.minimum(rng.integers(20, 160, (n, 2)), [width, height] - corner)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def toy_index(toys, index_by_hand):
    """Units of 2 channels and 2 x 2 cells that list random regions, 20 each."""
    rng = np.random.default_rng(1)
    lists = {
        unit: [(20.0 - i, image_id, some_boxes(rng, toys, image_id, 1)[0]) for i, image_id in enumerate(ids)]
        for unit, ids in enumerate(rng.choice(toys.ids, (8, 20)).tolist())
    }
    return index_by_hand(
        lists, shape=(2, 2, 2), image_ids=toys.ids, spans=[[0, 195], [32, 227]], padding=16, input_size=227
    )


def cut(labels, field):
    x1, y1, x2, y2 = np.rint(field).astype(int)
    return labels[max(0, y1) : y2, max(0, x1) : x2]


def test_parts_agree_with_a_slow_reference(toy_index, toys):
    rng = np.random.default_rng(2)
    proposals = {image_id: some_boxes(rng, toys, image_id, 5) for image_id in toys.ids}
    frame = attribute_selectivity(toy_index, toys, 12, proposals=proposals, n_random=99)
    maps = {image_id: part_map(toys, image_id) for image_id in toys.ids}

    def mean_share(image_ids, fields, names):
        shares = []
        for image_id, field in zip(image_ids, fields, strict=True):
            labels, known = maps[image_id]
            wanted = [label for label, name in enumerate(known) if names(name)]
            shares.append(np.isin(cut(labels, field), wanted).mean())
        return np.mean(shares)

    parts = frame[frame["kind"].isin(["class", "class part", "part"])]
    assert len(parts) > 100
    for row in parts.sample(40, random_state=0).to_dict("records"):
        names = {
            "class": lambda name, row=row: name.split(":")[0] == row["attribute"],
            "class part": lambda name, row=row: name == row["attribute"],
            "part": lambda name, row=row: (
                name.split(":")[1] == row["attribute"] and name.split(":")[0] in toys.classes
            ),
        }[row["kind"]]
        top = toy_index.regions(row["unit"], 12)
        assert row["share"] == pytest.approx(mean_share(top.image_ids, top.fields, names), abs=1e-6)
        drawn = [(image_id, box) for image_id in toys.ids for box in proposals[image_id]]
        fields = toy_index.fields(row["unit"], [box for _, box in drawn])
        base = mean_share([image_id for image_id, _ in drawn], fields, names)
        assert row["base"] == pytest.approx(base, abs=1e-6)


def test_what_classes_bring_with_them_explains_their_parts(toy_index, toys):
    frame = attribute_selectivity(toy_index, toys, 12)
    parts = frame[frame["kind"] == "class part"]
    row = parts[parts["explained"] > 0].iloc[0]
    whole = row_of(frame, unit=row["unit"], kind="class", attribute=row["attribute"].split(":")[0])
    assert row["explained"] == pytest.approx(whole["share"] * row["base"] / whole["base"])
    # Over all of a class's parts, what is explained is what is seen of the class.
    unit, owner = row["unit"], whole["attribute"]
    own = parts[(parts["unit"] == unit) & parts["attribute"].str.startswith(f"{owner}:")]
    assert own["share"].sum() == pytest.approx(whole["share"])
    assert own["explained"].sum() <= whole["share"] + 1e-9
    assert frame[~frame["kind"].isin(["part", "class part"])]["explained"].isna().all()


def test_a_unit_that_was_made_to_like_a_part_is_found_and_others_are_not(index_by_hand, toys):
    rng = np.random.default_rng(3)
    pools, shown = {}, {}
    for image_id in toys.ids:
        pools[image_id] = some_boxes(rng, toys, image_id, 400)
        labels, names = part_map(toys, image_id)
        wanted = [label for label, name in enumerate(names) if name.startswith("backdrop")]
        shown[image_id] = [1 - np.isin(cut(labels, box), wanted).mean() for box in pools[image_id]]
    objects = [
        (shown[image_id][i], image_id, pools[image_id][i])
        for image_id in toys.ids
        for i in np.argsort(shown[image_id])[-4:]
    ]
    lists = {0: sorted(objects, key=lambda entry: -entry[0])}
    for unit in range(1, 30):
        image_ids = rng.permutation(np.repeat(toys.ids, 4))
        lists[unit] = [(30.0 - i, name, pools[name][rng.integers(400)]) for i, name in enumerate(image_ids)]
    index = index_by_hand(lists, shape=(30, 1, 1), image_ids=toys.ids)
    frame = attribute_selectivity(index, toys, proposals=pools, n_random=400)
    backdrop = frame[frame["attribute"] == "backdrop"].set_index("unit")["share"]
    assert backdrop.get(0, 0.0) < backdrop.drop(0, errors="ignore").min()
    classes = frame[(frame["kind"] == "class") & frame["attribute"].isin(toys.classes)]
    assert classes.loc[classes["bits"].idxmax(), "unit"] == 0
    others = frame[frame["unit"] != 0]
    assert (others["chance"] > 0.05 / 30).all()  # no chance finds among random units


# Choosing --------------------------------------------------------------------------------------------------


def test_best_units_are_sorted_sure_and_of_the_name(two_units, pictures):
    frame = attribute_selectivity(two_units, pictures, proposals={"a": [LEFT], "b": [LEFT, RIGHT]})
    assert best_units(frame, "red").empty  # two regions prove nothing
    assert best_units(frame, "red", sure=np.inf)["unit"].tolist() == [0, 1]
    assert best_units(frame, "red", 1, kind="colour", sure=np.inf)["unit"].tolist() == [0]
    each = best_units(frame, n=1, sure=np.inf)
    assert dict(zip(each["attribute"], each["unit"], strict=True)) == {"red": 0, "blue": 1}
    with pytest.raises(SettingsError, match="no unit sees 'wheel'; there are blue, red"):
        best_units(frame, "wheel")
    classes = class_selectivity(two_units, pictures)
    assert best_units(classes, "dog", sure=np.inf)["unit"].tolist() == [0]


def table(index, entries):
    """What `attribute_selectivity` returns, made up: place, kind, attribute, share, base, explained, chance."""
    rows = []
    for place, kind, attribute, share, base, explained, chance in entries:
        channel, row, column = place
        rows.append(
            {"unit": index.unit(*place), "channel": channel, "row": row, "column": column, "kind": kind}
            | {"attribute": attribute, "share": share, "base": base, "explained": explained, "chance": chance}
            | {"images": 20}
        )
    return pd.DataFrame(rows)


def test_six_units_are_chosen_by_rule(index_by_hand, pictures):
    index = index_by_hand({0: []}, shape=(9, 6, 6), image_ids=["a"], spans=[[0, 100]] * 6)
    nan, sure = np.nan, 1e-9
    frame = table(
        index,
        [
            ((0, 0, 3), "class", "dog", 0.9, 0.1, nan, sure),  # on the border
            ((1, 2, 2), "class", "backdrop", 0.9, 0.1, nan, sure),  # nothing to tell
            ((1, 2, 3), "class", "dog", 0.5, 0.1, nan, sure),
            ((1, 3, 3), "family", "vehicles", 0.4, 0.1, nan, sure),  # of a channel that is taken
            ((2, 3, 3), "class", "dog", 0.4, 0.1, nan, sure),
            ((2, 4, 4), "family", "vehicles", 0.3, 0.1, nan, sure),
            ((3, 1, 1), "part", "trunk", 0.5, 0.05, 0.4, sure),  # explained by the dogs
            ((4, 1, 1), "part", "wheel", 0.3, 0.05, 0.06, sure),
            ((5, 1, 1), "colour", "red", 0.9, 0.1, nan, 0.01),  # might be chance
            ((6, 5, 5), "colour", "blue", 0.5, 0.1, nan, sure),  # none inside
            ((7, 1, 1), "surface", "plain", 0.9, 0.2, nan, sure),
            ((8, 1, 1), "surface", "dots", 0.4, 0.2, nan, sure),
            ((3, 2, 1), "surface", "wood", 0.4, 0.3, nan, sure),
        ],
    )
    for shuffled in (frame, frame.sample(frac=1, random_state=1)):
        six = choose_six(index, pictures, frame=shuffled)
        assert six["attribute"].tolist() == ["dog", "vehicles", "wheel", "blue", "dots", "wood"]
        assert six["channel"].tolist() == [1, 2, 4, 6, 8, 3]
    twice = choose_six(index, pictures, frame=frame, kinds=("light", "class", "class"))
    assert twice["attribute"].tolist() == ["dog"]  # of lights none is sure, and an attribute is taken once


def test_units_before_and_after(index_by_hand, pictures, two_units):
    lists = {0: [(9.0, "b", (20, 0, 40, 20)), (1.0, "b", (1, 0, 20, 20))], 2: [(1.0, "a", LEFT)]}
    after = index_by_hand(lists, shape=(3, 1, 1), image_ids=["b", "a"])
    frame = compare_units(two_units, after, pictures).set_index("unit")
    # Unit 0 keeps one of its regions, nearly the same box in the same image; unit 1 falls silent; 2 wakes up.
    assert frame["overlap"].tolist() == pytest.approx([0.5, np.nan, 0.0], nan_ok=True)
    assert frame.loc[0, "class_before"] == "dog" and frame.loc[0, "class_after"] == "cat"
    assert frame.loc[2, ["precision_before", "precision_after", "moved"]].tolist() == [0, 1, 1]
    assert frame["mean_after"].tolist() == pytest.approx([0.01, 0, 0.001])
    assert "moved" not in compare_units(two_units, after)
    with pytest.raises(SettingsError, match="same images"):
        compare_units(two_units, replace(after, image_ids=("b", "c")))


@pytest.mark.parametrize("call", [attribute_selectivity, class_selectivity])
def test_senseless_numbers_are_refused(call, two_units, pictures):
    with pytest.raises(SettingsError, match="k is 0"):
        call(two_units, pictures, 0)
    with pytest.raises(SettingsError, match="n_random is 0"):
        call(two_units, pictures, n_random=0)
    with pytest.raises(SettingsError, match="k is 0"):
        compare_units(two_units, two_units, k=0)


def test_an_index_without_any_region_has_no_rows(index_by_hand, pictures):
    silent = index_by_hand({0: []}, shape=(1, 1, 1), image_ids=["a", "b"])
    frame = attribute_selectivity(silent, pictures)
    assert len(frame) == 0 and "share" in frame
    assert len(class_selectivity(silent, pictures)) == 0


def test_random_regions_are_drawn_by_seed(toy_index, toys):
    rng = np.random.default_rng(5)
    proposals = {image_id: some_boxes(rng, toys, image_id, 50) for image_id in toys.ids}
    bases = [
        class_selectivity(toy_index, toys, iou_threshold=0.1, proposals=proposals, n_random=5, seed=seed)[
            "base"
        ]
        for seed in (0, 0, 1)
    ]
    assert bases[0].equals(bases[1]) and not bases[0].equals(bases[2])
    exact = class_selectivity(toy_index, toys, iou_threshold=0.1, proposals=proposals, n_random=50)
    name = exact["class"].iloc[0]
    holds = [
        (iou(box[None], toys.boxes_of(image_id, name)) >= 0.1).any()
        for image_id in toys.ids
        for box in proposals[image_id]
    ]
    assert exact["base"].iloc[0] == pytest.approx(np.mean(holds))
