"""Regions against masks pixel by pixel; the ranking's measures against loops over masks; odd images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.proposals.selective_search import merge_trees
from rcnn_helpers.segmentation import ranking
from rcnn_helpers.segmentation.regions import (
    add_masks,
    best_overlaps,
    class_overlaps,
    mask_overlaps,
    regions_from_masks,
    segment_regions,
)

VOID = 255


def toys(height=120, width=160):
    """Flat shapes on a dim gradient with noise, and the object map that is true of them."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.linspace(60, 110, width)[None, :, None], height, axis=0).repeat(3, axis=2)
    rows, columns = np.mgrid[:height, :width]
    objects = np.zeros((height, width), np.uint8)
    objects[20:60, 20:70] = 1
    objects[(columns - 115) ** 2 + (rows - 70) ** 2 < 27**2] = 2
    objects[85:105, 15:75] = 3
    for number, colour in enumerate([(210, 40, 40), (40, 60, 220), (240, 220, 60)], start=1):
        image[objects == number] = colour
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8), objects


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


some_masks = st.integers(1, 6).flatmap(
    lambda n: arrays(bool, (n, 9, 13)).filter(lambda masks: masks.any(axis=(1, 2)).all())
)
some_labels = arrays(np.uint8, (9, 13), elements=st.sampled_from([0, 1, 2, 3, VOID]))


@settings(max_examples=40)
@given(some_masks)
def test_masks_come_back_as_they_were_given(masks):
    regions = regions_from_masks(masks)
    assert len(regions) == len(masks) and (regions.height, regions.width) == (9, 13)
    for index, mask in enumerate(masks):
        assert (regions.mask(index) == mask).all()
        assert (regions.pixels(index) == np.flatnonzero(mask)).all()
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert regions.boxes[index].tolist() == box
    assert regions.sizes.tolist() == masks.sum(axis=(1, 2)).tolist()
    assert len(regions.select(slice(2))) == min(2, len(masks))


def test_masks_are_put_before_regions_and_change_none():
    grid = np.arange(20).reshape(4, 5)
    found = regions_from_masks([grid < 7, grid % 2 == 0])
    added = [grid > 3, grid == 12]
    both = add_masks(found, added)
    wanted = [*added, grid < 7, grid % 2 == 0]
    assert [both.mask(i).tolist() for i in range(4)] == [mask.tolist() for mask in wanted]
    assert both.boxes.tolist() == [[0, 0, 5, 4], [2, 2, 3, 3], *found.boxes.tolist()]
    with pytest.raises(SettingsError, match="masks of the same image"):
        add_masks(found, [grid[:3] > 3])
    with pytest.raises(SettingsError, match="mask 0 is empty"):
        add_masks(found, [grid > 99])


@settings(max_examples=40)
@given(some_masks, some_labels)
def test_overlaps_are_those_of_masks_without_their_void_pixels(masks, labels):
    found = mask_overlaps(regions_from_masks(masks), labels, n_labels=3)
    certain = labels != VOID
    for i, mask in enumerate(masks):
        for label in (1, 2, 3):
            true = labels == label
            union = ((mask | true) & certain).sum()
            expected = (mask & true).sum() / union if union else 0
            assert found[i, label - 1] == pytest.approx(expected, abs=1e-6)


def test_overlap_with_a_class_is_that_with_its_best_object():
    classes = np.zeros((4, 8), np.uint8)
    objects = np.zeros((4, 8), np.uint8)
    classes[:, :2], objects[:, :2] = 2, 1  # two objects of class 2
    classes[:, 4:6], objects[:, 4:6] = 2, 2
    classes[:, 7], objects[:, 7] = VOID, VOID
    masks = np.zeros((2, 4, 8), bool)
    masks[0, :, :3] = True  # 8 of 12 pixels
    masks[1, :, 4:] = True  # 8 of 12, as void is left out of 16
    found = class_overlaps(regions_from_masks(masks), classes, objects, 3)
    assert found.tolist() == [[0, pytest.approx(2 / 3), 0], [0, pytest.approx(2 / 3), 0]]
    assert best_overlaps(regions_from_masks(masks), objects) == pytest.approx([2 / 3, 2 / 3])
    with pytest.raises(SettingsError, match="class number 2, but there are 1"):
        class_overlaps(regions_from_masks(masks), classes, objects, 1)


def test_the_first_regions_cover_the_objects():
    image, objects = toys()
    regions = segment_regions(image, max_regions=12)
    assert best_overlaps(regions, objects).min() > 0.9


def test_regions_differ_and_are_large_enough():
    regions = segment_regions(toys()[0], max_regions=40, min_pixels=150)
    masks = [regions.mask(i) for i in range(len(regions))]
    assert 10 < len(masks) <= 40 and min(mask.sum() for mask in masks) >= 150
    assert max(iou(a, b) for i, a in enumerate(masks) for b in masks[:i]) <= ranking.DUPLICATE_IOU


def test_equal_images_have_equal_regions_and_fewer_are_the_first():
    image, _ = toys()
    first, second = segment_regions(image, max_regions=30), segment_regions(image, max_regions=10)
    for i in range(10):
        assert (first.mask(i) == second.mask(i)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 5), (400, 8)])
def test_odd_shapes_are_no_trouble(shape, rng):
    regions = segment_regions(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), min_pixels=1)
    assert regions.atoms.shape == shape
    for i in range(len(regions)):
        assert regions.mask(i).any()


def test_an_image_without_outlines_has_no_regions():
    regions = segment_regions(np.full((60, 70, 3), 128, np.uint8))
    assert len(regions) == 0 and regions.boxes.shape == (0, 4)
    assert mask_overlaps(regions, np.ones((60, 70), np.uint8)).shape == (0, 1)
    assert best_overlaps(regions, np.ones((60, 70), np.uint8)).tolist() == [0]


def test_a_large_image_is_searched_small_and_its_masks_are_of_its_own_size():
    image, objects = toys()
    large = image.repeat(8, axis=0).repeat(8, axis=1)
    regions = segment_regions(large, max_regions=12)
    assert regions.mask(0).shape == large.shape[:2]
    assert best_overlaps(regions, objects.repeat(8, axis=0).repeat(8, axis=1)).min() > 0.85
    rows, columns = np.nonzero(regions.mask(3))
    assert regions.boxes[3].tolist() == [
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    ]


def test_bad_input_is_named():
    image, objects = toys()
    with pytest.raises(ValueError, match=r"uint8 of shape \[H, W, 3\]"):
        segment_regions(image.astype(float))
    with pytest.raises(SettingsError, match="max_regions is 0"):
        segment_regions(image, max_regions=0)
    with pytest.raises(SettingsError, match="no mask is given"):
        regions_from_masks([])
    with pytest.raises(SettingsError, match="mask 1 is empty"):
        regions_from_masks([np.ones((3, 3)), np.zeros((3, 3))])
    with pytest.raises(SettingsError, match="mask 1 is of"):
        regions_from_masks([np.ones((3, 3)), np.ones((3, 4))])
    with pytest.raises(SettingsError, match="give masks"):
        regions_from_masks([np.ones((3, 3, 3))])
    regions = regions_from_masks([np.ones((3, 3))])
    with pytest.raises(SettingsError, match="do they belong together"):
        mask_overlaps(regions, objects)
    with pytest.raises(SettingsError, match="label maps are uint8"):
        mask_overlaps(regions, np.zeros((3, 3), int))


# --- what the ranking measures ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grown():
    image = toys(50, 64)[0]
    return image, merge_trees(image, "fast")


def outline_by_pixels(mask, edges):
    """Sides between a pixel of the mask and one outside, their strength, and sides at the image's border."""
    n_sides, strength = 0, 0.0
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy < height and x + dx < width and mask[y, x] != mask[y + dy, x + dx]:
                    n_sides += 1
                    strength += max(edges[y, x], edges[y + dy, x + dx])
    border = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
    return n_sides, strength, border


def test_outlines_of_nodes_are_those_of_their_masks(grown):
    image, trees = grown
    edges = ranking.edge_strength(image)
    for tree in (trees[0], trees[-1]):
        codes = np.arange(tree.n_segments).astype(np.uint64)
        names, *measures = ranking._measure_nodes(
            tree.children, codes, *ranking._segment_outlines(tree.segments, edges)
        )
        for node in np.linspace(0, len(tree.boxes) - 1, 12).astype(int):
            mask = tree.mask(node)
            assert [m[node] for m in measures] == pytest.approx(outline_by_pixels(mask, edges), rel=1e-4)
            assert names[node] == codes[np.unique(tree.segments[mask])].sum()


def test_atoms_of_candidates_make_up_their_masks(grown):
    image, trees = grown
    found = ranking.candidates(image, trees, min_pixels=20)
    atoms, members = ranking.atoms_and_members(trees, found)
    masks = [tree.mask(node) for tree, node in zip((trees[t] for t in found.tree), found.node, strict=True)]
    for mask, inside in zip(masks, members, strict=True):
        assert (inside[atoms] == mask).all()
    assert (np.diff(found.scores) <= 0).all()


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_order_is_that_of_taking_the_best_less_its_overlap(seed):
    rng = np.random.default_rng(seed)
    members, sizes, scores = rng.random((12, 15)) < 0.5, rng.integers(1, 9, 15), rng.normal(0, 0.05, 12)
    members[3] = members[7]
    members[:, 0] = True
    pixels = members.repeat(sizes, axis=1)
    taken, left = [], list(range(12))
    while left:
        overlaps = {i: max((iou(pixels[i], pixels[j]) for j in taken), default=0) for i in left}
        left = [i for i in left if overlaps[i] <= ranking.DUPLICATE_IOU]
        if not left:
            break
        taken.append(max(left, key=lambda i: scores[i] - ranking.DIVERSITY * overlaps[i]))
        left.remove(taken[-1])
    assert ranking.diverse_order(scores, members, sizes).tolist() == taken
    assert ranking.diverse_order(scores, members, sizes, n=4).tolist() == taken[:4]
    assert not {3, 7} <= set(taken)
