"""The explorer of seeds: its shares are those that coins and the bell curve give."""

import math
import re

import numpy as np
import pytest

from rcnn_helpers import paired
from rcnn_helpers.drawing import rgb
from rcnn_helpers.widgets import ReplicationExplorer


@pytest.fixture(scope="module")
def explorer():
    return ReplicationExplorer()


def shares(explorer, **state):
    verdicts = explorer.verdicts(**state)
    return {name: verdicts.count(name) / len(verdicts) for name in set(verdicts)}


@pytest.mark.parametrize("seeds", [1, 2, 3, 6])
def test_without_a_gain_it_is_coins(explorer, seeds):
    found = shares(explorer, gain=0.0, spread=2.0, seeds=seeds)
    assert found[paired.HOLDS] == pytest.approx(0.5**seeds, abs=0.04)
    assert found[paired.FAILS] == pytest.approx(0.5**seeds, abs=0.04)


def test_a_gain_holds_as_often_as_the_bell_curve_says(explorer):
    above = 0.5 * math.erfc(-(1.0 / 1.5) / math.sqrt(2))  # of one seed
    found = shares(explorer, gain=1.0, spread=1.5, seeds=3)
    assert found[paired.HOLDS] == pytest.approx(above**3, abs=0.04)


def test_words_and_picture_say_the_same(explorer):
    words = explorer.describe(gain=6.0, spread=0.1, seeds=3)
    assert "100% of 2,000 replications say that it holds" in words
    picture = explorer.render(gain=6.0, spread=0.1, seeds=3)
    assert (picture == rgb("green")).all(axis=2).sum() > 2000
    assert not (picture == rgb("vermillion")).all(axis=2).any()
    assert "1 seed:" in explorer.describe(gain=0.0, spread=1.0, seeds=1)
    told = [int(n) for n in re.findall(r"(\d+)%", explorer.describe(gain=1.0, spread=2.0, seeds=3))]
    assert 99 <= sum(told) <= 101


def test_controls_move_the_picture(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["gain"].value = -2.0
    assert bytes(explorer.picture.value) != before and "A true gain of -2.0" in explorer.text.value
    explorer.controls["gain"].value = 1.0
    assert bytes(explorer.picture.value) == before


def test_far_values_stay_in_the_picture(explorer):
    picture = explorer.render(gain=6.0, spread=5.0, seeds=12)
    assert picture.dtype == np.uint8 and picture.ndim == 3
