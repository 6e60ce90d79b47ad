"""Selective search: histograms, similarities and merge trees against slow references and by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from rcnn_helpers.boxes import iou
from rcnn_helpers.proposals.colour_spaces import COLOUR_SPACES, convert
from rcnn_helpers.proposals.graph_segmentation import segment
from rcnn_helpers.proposals.selective_search import (
    MODES,
    Settings,
    describe_segments,
    group,
    merge_trees,
    neighbour_pairs,
    search_regions,
    selective_search,
    texture_codes,
)

EVERY_PRESENT_BOX = Settings(("lab",), (50,), ("CTSF",))


@pytest.fixture(scope="module")
def picture():
    """Blobs of several colours and sizes with some texture, 70 x 90."""
    rng = np.random.default_rng(3)
    blurred = ndimage.gaussian_filter(rng.normal(size=(70, 90, 3)), (6, 6, 0))
    blobs = np.digitize(blurred / blurred.std(), [-1, 0, 1]) * 70.0
    return np.clip(blobs + rng.normal(scale=6, size=blobs.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def segments(picture):
    return segment(picture, scale=100, sigma=0.8, min_size=40)


def box_of(mask):
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


# ------------------------------------------------------------------------------------------------ descriptions


def slow_colour_histogram(channels, mask):
    counts = [
        np.bincount(np.floor(channels[mask][:, c] / 255 * 24 + 0.5).astype(int), minlength=25)
        for c in range(channels.shape[2])
    ]
    return np.concatenate(counts) / np.sum(counts)


def slow_texture_histogram(codes, mask):
    """Eight histograms of ten bins a channel; what is light to dark has strength 0 in the opposite direction."""
    counts = np.zeros((codes.shape[3], 8, 10))
    for pixel in codes[:, mask].transpose(1, 2, 0):
        for channel, axes in enumerate(pixel):
            for code in axes:
                direction, strength = divmod(int(code), 10)
                counts[channel, direction, strength] += 1
                counts[channel, (direction + 4) % 8, 0] += 1
    return counts.ravel() / counts.sum()


@pytest.mark.parametrize("space", COLOUR_SPACES)
def test_descriptions_equal_counting_pixel_by_pixel(picture, segments, space):
    channels = convert(picture, space)
    codes = texture_codes(channels)
    n = segments.max() + 1
    sizes, boxes, colours, textures = describe_segments(segments, n, channels, codes)
    for number in range(n):
        mask = segments == number
        assert sizes[number] == mask.sum()
        assert boxes[number].tolist() == box_of(mask)
        np.testing.assert_allclose(colours[number], slow_colour_histogram(channels, mask), atol=1e-6)
        np.testing.assert_allclose(textures[number], slow_texture_histogram(codes, mask), atol=1e-6)


def test_texture_of_a_ramp_by_hand():
    ramp = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[None, :, None], 6, axis=0)
    inner = texture_codes(ramp)[:, 3, 5, 0]
    # 20 / 255 a pixel = 0.078, in bins of 0.043: bin 1; at 45 degrees 0.055: bin 1; across the ramp 0.
    assert inner.tolist() == [10 * 0 + 1, 10 * 1 + 1, 10 * 2 + 0, 10 * (3 + 4) + 1]
    # Upside down and light to dark: the directions 90, 135, ... of the transposed, negated ramp.
    inner = texture_codes(255 - ramp.transpose(1, 0, 2))[:, 5, 3, 0]
    assert inner.tolist() == [10 * 0 + 0, 10 * (1 + 4) + 1, 10 * (2 + 4) + 1, 10 * (3 + 4) + 1]


def test_texture_agrees_with_scipys_gaussian_derivatives(picture):
    channel = picture[:, :, 0].astype(float) / 255
    along_x = ndimage.gaussian_filter(channel, 0.8, order=(0, 1), mode="nearest", radius=4)
    along_y = ndimage.gaussian_filter(channel, 0.8, order=(1, 0), mode="nearest", radius=4)
    half = np.sqrt(0.5)
    values = [along_x, (along_x + along_y) * half, along_y, (along_y - along_x) * half]
    expected = [
        10 * (axis + 4 * (v < 0)) + np.minimum(abs(v) / 0.043, 9).astype(int) for axis, v in enumerate(values)
    ]
    agree = texture_codes(picture[:, :, :1])[:, :, :, 0] == np.stack(expected)
    assert agree.mean() > 0.985  # values at a border between two bins may fall on either side


def test_strong_edges_fall_into_the_last_bin():
    image = np.zeros((9, 10, 1), dtype=np.uint8)
    image[:, 5:] = 255
    at_the_edge = texture_codes(image)[0, 4, 4:6]
    assert at_the_edge.max() == 9


def test_neighbours_share_a_side():
    labels = np.array([[0, 0, 1], [2, 3, 1], [2, 4, 4]], dtype=np.int32)
    expected = [(0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    assert sorted(tuple(pair) for pair in neighbour_pairs(labels).tolist()) == expected
    assert neighbour_pairs(np.zeros((3, 3), dtype=np.int32)).shape == (0, 2)


# ---------------------------------------------------------------------------------------------------- grouping


def strips():
    """Three strips 1, 2 and 3 pixels wide in an image of 4 x 6: half black and half white, black, white."""
    channels = np.zeros((4, 6, 1), dtype=np.uint8)
    channels[:2, 0] = 255
    channels[:, 3:] = 255
    return channels, np.repeat([0, 1, 2], [1, 2, 3])[None].repeat(4, axis=0).astype(np.int32)


@pytest.mark.parametrize(
    ("similarity", "compat", "expected"),
    [
        # S: strips 0 and 1 together 12 of 24 pixels, against 20 for strips 1 and 2; then everything.
        ("S", None, [1 - 12 / 24, 0]),
        ("S", "uijlings2013", [1 - 12 / 3 / 24, 1 - 24 / 3 / 24]),
        # F: strips fill their common box.
        ("F", None, [1, 1]),
        ("F", "uijlings2013", [1 - (12 - 12 / 3) / 24, 1 - (24 - 24 / 3) / 24]),
        # C: half of strip 0 is black, like strip 1. Joined they are black by 10 of 12, and strip 2 is white.
        ("C", None, [1 / 2, 2 / 12]),
        ("CSF", None, [(1 / 2 + 1 / 2 + 1) / 3, (2 / 12 + 0 + 1) / 3]),
    ],
)
def test_similarities_by_hand(similarity, compat, expected):
    channels, labels = strips()
    tree = group(channels, labels, similarity=similarity, compat=compat)
    assert tree.children.tolist() == [[0, 1], [2, 3]]
    np.testing.assert_allclose(tree.similarity, expected, atol=1e-6)
    assert tree.sizes.tolist() == [4, 8, 12, 12, 24]
    assert tree.boxes.tolist() == [[0, 0, 1, 4], [1, 0, 3, 4], [3, 0, 6, 4], [0, 0, 3, 4], [0, 0, 6, 4]]


def test_fill_by_hand():
    labels = np.array([[0, 0, 0], [0, 1, 2], [0, 1, 1]], dtype=np.int32)
    channels = np.zeros((3, 3, 1), dtype=np.uint8)
    tree = group(channels, labels, similarity="F")
    # 0 and 1 leave one pixel of their box empty, 0 and 2 three (1 - 3 / 9), 1 and 2 none.
    assert tree.children.tolist() == [[1, 2], [0, 3]]
    np.testing.assert_allclose(tree.similarity, [1, 1])


def slow_similarity(a, b, channels, codes, similarity):
    """The paper's similarity of two masks, from their pixels."""
    size = channels[:, :, 0].size
    x1, y1, x2, y2 = box_of(a | b)
    terms = {
        "C": np.minimum(slow_colour_histogram(channels, a), slow_colour_histogram(channels, b)).sum(),
        "T": np.minimum(slow_texture_histogram(codes, a), slow_texture_histogram(codes, b)).sum(),
        "S": 1 - (a.sum() + b.sum()) / size,
        "F": 1 - ((x2 - x1) * (y2 - y1) - a.sum() - b.sum()) / size,
    }
    return np.mean([terms[letter] for letter in similarity])


def touch(a, b):
    beside = (a[:, 1:] & b[:, :-1]).any() or (a[:, :-1] & b[:, 1:]).any()
    return beside or (a[1:] & b[:-1]).any() or (a[:-1] & b[1:]).any()


@pytest.mark.parametrize("similarity", ["CTSF", "TSF", "CSF", "SF", "S", "F", "C", "T"])
def test_every_merge_joins_the_most_similar_neighbours(picture, similarity):
    channels = convert(picture, "lab")[:36, :40].copy()
    labels = segment(channels, scale=100, min_size=40)
    codes = texture_codes(channels)
    tree = group(channels, labels, similarity=similarity)
    assert tree.n_segments == labels.max() + 1 > 6
    active = {number: labels == number for number in range(tree.n_segments)}
    for merge, (a, b) in enumerate(tree.children.tolist()):
        candidates = [
            slow_similarity(active[i], active[j], channels, codes, similarity)
            for i in active
            for j in active
            if i < j and touch(active[i], active[j])
        ]
        chosen = slow_similarity(active[a], active[b], channels, codes, similarity)
        assert touch(active[a], active[b])
        assert chosen == pytest.approx(max(candidates), abs=1e-5)
        assert tree.similarity[merge] == pytest.approx(chosen, abs=1e-5)
        active[tree.n_segments + merge] = active.pop(a) | active.pop(b)
    assert [mask.all() for mask in active.values()] == [True]


def test_a_tree_is_consistent(picture):
    for tree in merge_trees(picture, "fast"):
        assert len(tree.children) == tree.n_segments - 1
        assert (tree.sizes[tree.children].sum(axis=1) == tree.sizes[tree.n_segments :]).all()
        assert tree.boxes[-1].tolist() == [0, 0, 90, 70]
        for node in {0, tree.n_segments - 1, tree.n_segments, len(tree.boxes) - 2, len(tree.boxes) - 1}:
            mask = tree.mask(node)
            assert mask.sum() == tree.sizes[node]
            assert box_of(mask) == tree.boxes[node].tolist()


def test_labels_walk_through_the_merging(picture):
    tree = merge_trees(picture, "single")[0]
    np.testing.assert_array_equal(tree.labels_after(0), tree.segments)
    assert (tree.labels_after(len(tree.children)) == len(tree.boxes) - 1).all()
    steps = [tree.labels_after(n) for n in range(len(tree.children) + 1)]
    for n, (before, after) in enumerate(pairwise(steps)):
        node = tree.n_segments + n
        np.testing.assert_array_equal(after == node, np.isin(before, tree.children[n]))
        np.testing.assert_array_equal(after == node, tree.mask(node))
        assert (before == after)[after != node].all()
    with pytest.raises(ValueError, match="n_merges"):
        tree.labels_after(len(tree.children) + 1)


def test_a_mode_searches_every_combination(picture):
    names = [tree.name for tree in merge_trees(picture, "fast_uijlings")]
    assert names == [
        f"{space}, k = {k}, {similarity}"
        for space in ("hsv", "lab")
        for k in (50, 100)
        for similarity in ("CTSF", "TSF")
    ]
    assert len(merge_trees(picture, "single")) == 1
    assert len(merge_trees(picture, "quality")) == 80


def test_the_authors_texture_quirk_takes_the_first_channel_for_all(picture):
    codes = texture_codes(picture, compat="uijlings2013")
    first = texture_codes(picture[:, :, :1])
    for channel in range(3):
        np.testing.assert_array_equal(codes[:, :, :, channel], first[:, :, :, 0])
    ours = selective_search(picture, mode="fast_uijlings")
    theirs = selective_search(picture, mode="fast_uijlings", compat="uijlings2013")
    assert set(map(tuple, ours.tolist())) != set(map(tuple, theirs.tolist()))


# ----------------------------------------------------------------------------------------- ranking and selection


def test_ranking_mixes_priority_and_chance(picture):
    """The order equals a slow ranking: distance from the root times a random number, ascending."""
    settings = replace(EVERY_PRESENT_BOX, similarities=("CTSF", "S"))
    trees = merge_trees(picture, settings)
    rng = np.random.default_rng(11)
    pool = []
    for index, tree in enumerate(trees):
        for node in range(len(tree.boxes)):
            is_segment = node < tree.n_segments
            if is_segment and index > 0:
                continue  # the second tree starts from the same segments
            priority = tree.n_segments if is_segment else len(tree.boxes) - node
            pool.append((priority * rng.random(), tuple(tree.boxes[node].tolist())))
    expected = list(dict.fromkeys(box for _, box in sorted(pool, key=lambda entry: entry[0])))
    found = selective_search(picture, mode=settings, min_width=1, seed=11)
    assert [tuple(box) for box in found.tolist()] == expected


def test_the_seed_decides_the_order_and_nothing_else(picture):
    a, again, b = (selective_search(picture, mode="fast_uijlings", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, again)
    assert a.dtype == np.float32
    assert not np.array_equal(a, b)
    assert set(map(tuple, a.tolist())) == set(map(tuple, b.tolist()))


def allowed_overlap(boxes):
    """From 0.6 for the smallest boxes to 0.8 for boxes of 160 x 160 pixels and more."""
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    return 0.6 + 0.2 * np.minimum(sides / 160, 1)


def test_fast_mode_leaves_out_exactly_what_nearly_agrees_with_a_better_box(picture):
    large = picture.repeat(3, axis=0).repeat(3, axis=1)
    everything = selective_search(large, mode=replace(MODES["fast"], duplicate_iou=(1, 1)), max_boxes=10**6)
    kept = set(map(tuple, selective_search(large, mode="fast", max_boxes=10**6).tolist()))
    better = []
    for box, allowed in zip(everything, allowed_overlap(everything), strict=True):
        overlap = iou(box[None], np.array(better).reshape(-1, 4)).max(initial=0)
        if abs(overlap - allowed) > 1e-5:
            assert (tuple(box.tolist()) in kept) == (overlap < allowed)
        if tuple(box.tolist()) in kept:
            better.append(box)
    assert 100 < len(better) == len(kept) < len(everything) / 2


def test_max_boxes_keeps_the_best(picture):
    everything = selective_search(picture)
    np.testing.assert_array_equal(selective_search(picture, max_boxes=20), everything[:20])
    assert len(selective_search(picture, mode=replace(MODES["fast"], max_boxes=7))) == 7
    assert selective_search(picture, max_boxes=0).shape == (0, 4)


def test_boxes_are_wide_enough(picture):
    boxes = selective_search(picture, min_width=30)
    assert len(boxes) and (boxes[:, 2:] - boxes[:, :2] >= 30).all()


def test_regions_have_masks(picture):
    found = search_regions(picture, mode="fast", max_boxes=30)
    np.testing.assert_array_equal(found.boxes, selective_search(picture, mode="fast", max_boxes=30))
    assert len(found) == len(found.boxes)
    for i, box in enumerate(found.boxes.tolist()):
        assert box_of(found.mask(i)) == box


# ------------------------------------------------------------------------------------------------- any picture


def test_large_images_are_shrunk_and_boxes_scaled_back(picture):
    large = picture.repeat(4, axis=0).repeat(4, axis=1)
    found = search_regions(large, max_size=80, min_width=8)
    assert found.trees[0].segments.size <= 82**2
    boxes = found.boxes
    assert (boxes >= 0).all() and boxes[:, 2].max() == pytest.approx(360) and boxes[:, 3].max() <= 280
    assert found.mask(0).shape == (280, 360)
    x1, y1, x2, y2 = boxes[0]
    assert box_of(found.mask(0)) == pytest.approx([x1, y1, x2, y2], abs=5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (200, 3), (15, 300)])
def test_images_smaller_than_a_box_have_no_boxes(shape, rng):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert selective_search(image).shape == (0, 4)
    assert len(selective_search(image, min_width=1)) >= 1


def test_an_image_of_one_colour_is_one_box():
    image = np.full((60, 80, 3), 128, dtype=np.uint8)
    assert selective_search(image).tolist() == [[0, 0, 80, 60]]


def test_a_very_wide_image(rng):
    image = np.repeat(rng.integers(0, 256, (40, 12000, 1), dtype=np.uint8), 3, axis=2)
    boxes = selective_search(image, max_boxes=100)
    assert len(boxes) and boxes[:, 2].max() <= 12000 and boxes[:, 3].max() <= 40


def test_grey_images_work_in_every_colour_space(picture):
    grey = np.repeat(picture[:, :, :1], 3, axis=2)
    assert len(selective_search(grey, mode="quality", min_width=10)) > 20


def test_images_that_are_not_views_in_order_give_the_same_boxes(picture):
    flipped = np.ascontiguousarray(picture[:, ::-1])
    np.testing.assert_array_equal(selective_search(picture[:, ::-1]), selective_search(flipped))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="uint8 of shape"):
        selective_search(image)


def test_unknown_names_are_refused(picture):
    with pytest.raises(ValueError, match="mode 'slow'.*fast"):
        selective_search(picture, mode="slow")
    with pytest.raises(ValueError, match="colour space 'cmyk'"):
        selective_search(picture, mode=Settings(("cmyk",), (50,), ("C",)))
    with pytest.raises(ValueError, match="letters"):
        selective_search(picture, mode=Settings(("lab",), (50,), ("X",)))
    with pytest.raises(ValueError, match="compat"):
        selective_search(picture, compat="opencv")


@pytest.mark.real_data
def test_recall_on_real_photographs(real_data):
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.proposals import propose_dataset
    from rcnn_helpers.proposals.recall import recall_at

    dataset = VOCDataset(real_data / "voc2007_sample/VOCdevkit/VOC2007", "test").subset(12)
    proposals = propose_dataset(dataset, progress=False)
    assert max(map(len, proposals.values())) <= 2000
    assert recall_at(proposals, dataset, iou_threshold=0.5) > 0.9
    assert recall_at(proposals, dataset, iou_threshold=0.7) > 0.65
