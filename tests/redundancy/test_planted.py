"""Planted copies: what each change does to a picture, and how finding them is counted."""

import numpy as np
import pytest
from drawn_pictures import drawn

from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.images import write_image
from rcnn_helpers.redundancy import NEAR, gist, open_pictures, planted
from rcnn_helpers.redundancy.planted import ALTERATIONS, Planted, find_planted, precision_recall, thumbnails


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        write_image(folder / f"{number:02d}.png", drawn(number, 90, 120))
    return open_pictures(folder)


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_every_change_gives_another_picture_and_leaves_the_first_alone(kind):
    image = drawn(7, 60, 80)
    before = image.copy()
    altered = ALTERATIONS[kind](image, np.random.default_rng(0))
    assert altered.dtype == np.uint8 and altered.ndim == 3 and altered.shape[2] == 3
    assert altered.shape != image.shape or (altered != image).any()
    assert (image == before).all()


def test_changes_do_what_their_names_say():
    image, rng = drawn(7, 60, 80), np.random.default_rng(0)
    assert ALTERATIONS["resized to 50%"](image, rng).shape == (30, 40, 3)
    assert ALTERATIONS["resized to 150%"](image, rng).shape == (90, 120, 3)
    assert ALTERATIONS["cropped by 10%"](image, rng).shape == (54, 72, 3)
    assert (ALTERATIONS["mirrored"](image, rng)[:, 0] == image[:, -1]).all()
    without_colour = ALTERATIONS["greyscale"](image, rng)
    assert (without_colour.max(axis=2) == without_colour.min(axis=2)).all()
    with_frame = ALTERATIONS["framed by 5%"](image, rng)
    assert (with_frame[:2] == 255).all() and (with_frame[2:-2, 2:-2] == image[2:-2, 2:-2]).all()
    coarse, fine = (planted.recompressed(image, quality).astype(int) for quality in (30, 90))
    assert np.abs(coarse - image).mean() > np.abs(fine - image).mean() > 0
    plain = np.full((4, 4, 3), 100, np.uint8)
    plain[:2] = 60
    assert (
        planted.relit(plain, brightness=1.3)[0, 0, 0] == 78
        and planted.relit(plain, brightness=1.3).max() == 130
    )
    assert np.unique(planted.relit(plain, contrast=0.5)).tolist() == [70, 90]
    assert planted.relit(plain, brightness=3).max() == 255


def test_crops_are_windows_of_the_picture():
    image = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3)
    seen = set()
    for seed in range(20):
        part = planted.cropped(image, 0.1, np.random.default_rng(seed))
        top, left = divmod(int(part[0, 0, 0]) // 3, 50)
        assert (part == image[top : top + 36, left : left + 45]).all()
        seen.add((top, left))
    assert len(seen) > 5 and max(seen)[0] <= 4


def test_precision_and_recall_by_hand():
    distances, right = [0.1, 0.2, 0.3, 0.4], [True, False, True, True]
    assert precision_recall(distances, right, 0.3) == (2 / 3, 2 / 3)
    assert precision_recall(distances, right, 0.3, n_copies=5) == (2 / 3, 2 / 5)
    assert precision_recall(distances, right, 0.05) == (1.0, 0.0)
    assert precision_recall(distances, [False] * 4, 0.2) == (0.0, 1.0)


def test_counts_by_hand():
    """Three copies, one of which finds another picture, and two strangers."""
    found = Planted(
        "a kind",
        distances=np.array([0.1, 0.3, 0.2, 0.25, 0.6]),
        rows=np.array([0, 1, 0, 1, 2]),
        originals=np.arange(5),
        is_copy=np.array([True, True, True, False, False]),
    )
    assert found.right.tolist() == [True, True, False, False, False]
    summary = found.summary()
    assert summary["copies"] == 3 and summary["strangers"] == 2
    assert summary["nearest_is_original"] == pytest.approx(2 / 3)
    assert summary["median_distance"] == pytest.approx(0.2)
    assert summary["stranger_lowest"] == 0.25 and summary["stranger_median"] == pytest.approx(0.425)
    assert summary["recall_no_alarm"] == pytest.approx(1 / 3)
    assert found.at(0.3) == {
        "threshold": 0.3,
        "recall": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 4),
        "false_alarms": 2,
    }
    assert found.at(0.05) == {"threshold": 0.05, "recall": 0, "precision": 1, "false_alarms": 0}


def test_planted_copies_are_found_and_half_have_nothing_to_find(pictures):
    results = find_planted(pictures, kinds=("JPEG quality 50", "cropped by 2%", "mirrored"))
    assert [each.kind for each in results] == ["JPEG quality 50", "cropped by 2%", "mirrored"]
    for each in results[:2]:
        assert each.is_copy.sum() == 6 and each.right.sum() == 6
        assert each.distances[each.is_copy].max() < 0.3 < each.distances[~each.is_copy].min()
        assert set(each.rows) <= set(np.flatnonzero(each.is_copy))
    again = find_planted(pictures, kinds=("mirrored",), mirror=True)[0]
    assert again.right.sum() == 6 and again.distances[again.is_copy].max() < 1e-4
    assert results[2].distances[results[2].is_copy].min() > 0.3
    other = find_planted(pictures, kinds=("cropped by 2%",), seed=1)[0]
    assert (other.is_copy != results[1].is_copy).any()


def test_the_baseline_is_the_pixels_without_their_mean(pictures):
    image = drawn(0, 32, 32)
    flat = image.astype(float).reshape(-1)
    flat -= flat.mean()
    assert np.allclose(thumbnails([image])[0], flat / np.linalg.norm(flat), atol=1e-5)
    assert thumbnails([]).shape == (0, 3072)
    assert not thumbnails([np.full((9, 9, 3), 7, np.uint8)]).any()
    found = find_planted(pictures, kinds=("JPEG quality 50",), describe=thumbnails)[0]
    assert found.right.sum() == 6


def test_bad_arguments_are_refused(pictures):
    with pytest.raises(SettingsError, match="no change 'blurred'"):
        find_planted(pictures, kinds=("blurred",))
    with pytest.raises(DatasetError, match="takes two"):
        find_planted(pictures.subset([0]), kinds=("mirrored",))
    with pytest.raises(SettingsError, match="only GIST"):
        find_planted(pictures, kinds=("mirrored",), describe=thumbnails, mirror=True)
    assert gist([]).shape == (0, 960)


def test_copies_of_photographs_are_found(real_data):
    photographs = open_pictures(f"{real_data / 'voc2007_sample' / 'VOCdevkit' / 'VOC2007'}:test").subset(
        range(30)
    )
    for each in find_planted(photographs, kinds=("JPEG quality 50", "resized to 50%", "cropped by 5%")):
        assert each.at(NEAR) == {"threshold": NEAR, "recall": 1, "precision": 1, "false_alarms": 0}
