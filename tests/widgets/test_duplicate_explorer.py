"""What the explorer of near-duplicates shows and says."""

import numpy as np
import pytest

from rcnn_helpers import widgets
from rcnn_helpers.errors import DisplayError


@pytest.fixture
def explorer(explorers):
    return explorers["duplicates"]


def test_it_walks_down_the_ranking(explorer, pairs):
    assert explorer.controls["rank"].max == len(pairs[0]) == 9
    words = explorer.describe(rank=1)
    assert words.startswith("Pair 1 of 9: 1.png (left) and 1.png (right), distance 0.000, same file.")
    nearest = pairs[0].distance.iloc[1]
    assert f"distance {nearest:.3f}" in explorer.describe(rank=2)
    assert f"distance {pairs[0].distance.max():.3f}" in explorer.describe(rank=9)


def test_the_threshold_counts_pairs(explorer, pairs):
    assert "It lies within 0.00" in explorer.describe(threshold=0, rank=1)
    assert "It lies beyond 0.00; 1 pair lies within." in explorer.describe(threshold=0, rank=2)
    assert "9 pairs lie within." in explorer.describe(threshold=1, rank=2)


def test_the_same_picture_is_drawn_on_both_sides(explorer):
    same, other = (explorer.render(rank=rank)[:380] for rank in (1, 2))
    for sheet, alike in ((same, True), (other, False)):
        left, right = sheet[:, :360].astype(int), sheet[:, 370:730].astype(int)
        assert (np.abs(left - right).max() == 0) == alike


def test_no_pair_is_refused(pairs):
    frame, a, b = pairs
    with pytest.raises(DisplayError, match="no pair"):
        widgets.DuplicateExplorer(frame.head(0), a, b)
