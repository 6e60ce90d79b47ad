"""The comparison of descriptors: the pipeline around them, resuming, and how it is printed."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from rcnn_helpers import settings
from rcnn_helpers.baselines import (
    HANDMADE,
    HOG,
    BagOfWords,
    Contestant,
    NetworkLayer,
    RawPixels,
    class_columns,
    compare,
    comparing,
    describe_data,
    format_table,
    handmade,
    judge,
    judging,
    summary,
)
from rcnn_helpers.cli import main
from rcnn_helpers.cli.options import DESCRIPTORS
from rcnn_helpers.datasets.voc import Annotation
from rcnn_helpers.detector import RCNN
from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.features import FeatureStore, extract_dataset
from rcnn_helpers.networks import load_network

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


class Squares:
    """Pictures of a red and a blue square on noise, in memory."""

    classes = tuple(COLOURS)
    root = "squares"

    def __init__(self, first: int, n: int):
        self.ids = tuple(f"{first + i:03d}" for i in range(n))
        self.drawn = {image_id: self._draw(int(image_id)) for image_id in self.ids}
        self.proposals = {
            image_id: self._around(int(image_id), drawn[1]) for image_id, drawn in self.drawn.items()
        }

    @staticmethod
    def _draw(seed):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        boxes = []
        for number, colour in enumerate(COLOURS.values()):
            side = int(rng.integers(18, 28))
            x, y = 48 * number + int(rng.integers(0, 48 - side)), int(rng.integers(0, 64 - side))
            image[y : y + side, x : x + side] = colour
            boxes.append((x, y, x + side, y + side))
        return image, np.float32(boxes)

    @staticmethod
    def _around(seed, truth):
        """Boxes near the squares and anywhere."""
        rng = np.random.default_rng([seed, 1])
        near = np.repeat(truth, 6, axis=0) + rng.integers(-3, 4, (12, 4))
        corners = rng.integers(0, 60, (20, 2))
        anywhere = np.concatenate([corners, corners + rng.integers(8, 30, (20, 2))], axis=1)
        return np.clip(np.concatenate([near, anywhere]), 0, [96, 64, 96, 64]).astype(np.float32)

    def image(self, image_id):
        return self.drawn[image_id][0]

    def annotation(self, image_id):
        n = len(COLOURS)
        return Annotation(
            image_id=image_id,
            width=96,
            height=64,
            boxes=self.drawn[image_id][1],
            names=self.classes,
            difficult=np.zeros(n, bool),
            truncated=np.zeros(n, bool),
            occluded=np.zeros(n, bool),
            poses=("",) * n,
        )


@pytest.fixture(scope="module")
def squares():
    return Squares(0, 12), Squares(100, 6)


@pytest.fixture
def given_proposals(monkeypatch):
    """Selective search is not what these tests are about."""
    monkeypatch.setattr(comparing, "_proposals", lambda dataset, *_: dataset.proposals)


def judged(contestant, squares, **options):
    train, test = squares
    described = describe_data(contestant, train, test, (train.proposals, test.proposals))
    return judge(described, C=contestant.C, **options)


@pytest.mark.parametrize(
    "descriptor",
    [RawPixels(8, contrast=False), BagOfWords(8, patches=(12,), samples=500)],
    ids=lambda d: d.name,
)
def test_what_can_be_seen_is_found(descriptor, squares):
    found = judged(Contestant(descriptor, C=0.01), squares)
    if descriptor.name == "raw pixels":
        assert found["mAP"] == pytest.approx(100)  # colours are all that it takes
    assert (found["name"], found["dim"]) == (descriptor.name, descriptor.dim)
    assert list(found["ap"]) == ["red", "blue"]
    assert found["region_bytes"] == 4 * descriptor.dim
    assert found["detect_seconds"] >= found["describe_seconds"] > 0
    learnt_and_described = found["learn_seconds"] + 12 * found["describe_seconds"]
    assert found["train_seconds"] == pytest.approx(learnt_and_described + found["svm_seconds"])


def test_a_network_layer_gives_what_the_detector_gives(tmp_path):
    """The pieces are R-CNN's own: with fc6 in the place of a descriptor, its detector comes out."""
    squares = train, test = Squares(0, 4), Squares(100, 3)
    network = load_network("quarter_tnet", weights="random")
    detector = RCNN(network, layer="fc6", box_regression=False, precision="float32")
    detector.fit(train, proposals=train.proposals, cache=tmp_path / "detector", progress=False)
    wanted = evaluate(detector.detect_dataset(test, proposals=test.proposals, progress=False), test)

    options = {"network": network, "precision": "float32", "dtype": "float32"}
    stores = tuple(FeatureStore(tmp_path / name, **options) for name in ("train", "test"))
    for dataset, store in zip(squares, stores, strict=True):
        extract_dataset(network, dataset, dataset.proposals, store=store, progress=False)
    layer = NetworkLayer(network, "fc6", precision="float32")
    for contestant in (Contestant(layer), Contestant(layer, stores=stores)):
        found = judged(contestant, squares)
        # Features were stored as float16 for the one and not for the other.
        assert_allclose(
            [found["ap"][c] for c in train.classes], [100 * wanted.ap[c] for c in train.classes], atol=2
        )


def test_a_comparison_goes_on_where_it_was(squares, given_proposals, tmp_path, monkeypatch):
    taken = []

    def describe(self, prepared, boxes):
        taken.append(self.size)
        return RawPixels.__dict__["describe_prepared"](self, prepared, boxes)

    class Counted(RawPixels):
        describe_prepared = describe

    def contestants(*sizes):
        def make(seed, train, test):
            made = []
            for size, C in sizes:
                descriptor = Counted(size, contrast=False)
                descriptor.name = f"{size} {C:g}"
                made.append(Contestant(descriptor, C))
            return made

        return make

    options = {"data": lambda seed: squares, "cache": tmp_path, "progress": False}
    first = compare(contestants((4, 1e-3), (6, 1e-3)), seeds=(0, 1), **options)
    assert first["name"].tolist() == ["4 0.001", "4 0.001", "6 0.001", "6 0.001"]
    assert first["seed"].tolist() == [0, 1, 0, 1]
    assert class_columns(first) == ["red", "blue"]
    assert first["dim"].tolist() == [48, 48, 108, 108]

    taken.clear()
    again = compare(contestants((4, 1e-3), (6, 1e-3)), seeds=(0, 1), **options)
    pd.testing.assert_frame_equal(first, again)
    assert not taken
    # Only what is new is worked out, and contestants that differ in C alone are described once.
    compare(contestants((6, 1e-3), (5, 1e-2), (5, 1e-3)), **options)
    assert set(taken) == {5}
    once = len(taken)
    taken.clear()
    compare(contestants((7, 1e-2)), **options)
    timing = judging.TIMED_IMAGES  # more than the test images
    assert once < 2 * len(taken) and len(taken) >= len(squares[0].ids) + min(timing, len(squares[1].ids))


def test_images_are_not_judged_that_were_trained_on(squares, tmp_path):
    with pytest.raises(DatasetError, match="12 images are both trained on and judged, the first is 000"):
        compare(lambda *_: [], data=lambda seed: (squares[0], squares[0]), cache=tmp_path)


def test_contestants_have_names_of_their_own(squares, given_proposals, tmp_path):
    options = {"data": lambda seed: squares, "cache": tmp_path}
    with pytest.raises(SettingsError, match="two descriptors are called 'HOG'"):
        compare(lambda *_: [Contestant(HOG()), Contestant(HOG(4))], **options)
    with pytest.raises(SettingsError, match="nothing to compare"):
        compare(lambda *_: [], **options)


def test_descriptors_from_text():
    plain = handmade("hog")
    assert (plain.descriptor.name, plain.descriptor.identity()) == ("HOG", HOG().identity())
    own = handmade("bow:words=50,levels=1+2,C=0.1", seed=3)
    assert own.C == 0.1
    assert own.descriptor.identity() == BagOfWords(50, levels=(1, 2), seed=3).identity()
    assert own.descriptor.name == "bag of words words=50,levels=1+2,C=0.1"
    assert handmade("raw:contrast=no").descriptor.contrast is False
    assert HANDMADE == DESCRIPTORS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sift", "there is no descriptor 'sift'; choose among raw, hog, bow"),
        (
            "hog:words=3",
            "'words=3' in 'hog:words=3' is not KEY=VALUE; the keys of hog are cells, cell_size, C",
        ),
        ("hog:cells=many", "cells is 'many'; give a whole number"),
        ("raw:contrast=perhaps", "contrast is 'perhaps'; give yes or no"),
        ("bow:levels=1x2", "levels is '1x2'; give whole numbers such as 1\\+2\\+4"),
        ("hog:C=0", "C is '0'; give a number above 0"),
        ("hog:cells=0", "cells of HOG is 0"),
    ],
)
def test_bad_texts_are_named(text, message):
    with pytest.raises(SettingsError, match=message):
        handmade(text)


@pytest.fixture
def frame():
    def line(name, dim, seed, value, train_seconds):
        seconds = {"learn_seconds": 1.0, "describe_seconds": 0.5, "svm_seconds": 2.0}
        return {
            "name": name,
            "dim": dim,
            "C": 1e-3,
            "seed": seed,
            "red": value,
            "blue": value,
            "mAP": value,
        } | (seconds | {"train_seconds": train_seconds, "detect_seconds": 0.75, "region_bytes": 4 * dim})

    return pd.DataFrame(
        [
            line("HOG", 4096, 0, 10.0, 30.0),
            line("HOG", 4096, 1, 14.0, 50.0),
            line("FT fc7", 1024, 0, 40.0, np.nan),
        ]
    )


def test_summary_is_mean_and_spread_over_seeds(frame):
    lines = summary(frame).set_index("name")
    hog = lines.loc["HOG"]
    assert hog[["dim", "seeds", "mAP", "train_seconds"]].tolist() == [4096, 2, 12.0, 40.0]
    assert hog["spread"] == pytest.approx(np.sqrt(8))  # standard deviation of 10 and 14
    assert np.isnan(lines.loc["FT fc7", "spread"])
    # Sec. 2.2 has 1.5 GB for 4k figures, as many classes, and four bytes each.
    assert hog["many_classes_gib"] == pytest.approx(1.53, abs=0.005)


def test_the_table_says_it_all(frame):
    head, hog, tuned, uva, ours = format_table(frame).splitlines()
    assert "GiB for 100,000 classes" in head
    assert hog.split() == ["HOG", "4,096", "12.0", "±", "2.8", "40", "0.75", "16,384", "1.5"]
    assert tuned.split() == ["FT", "fc7", "1,024", "40.0", "-", "0.75", "4,096", "0.4"]
    assert uva.split() == ["paper:", "UVA", "360,000", "1,440,000", "134.0"]
    assert ours.split() == ["paper:", "R-CNN", "4,096", "16,384", "1.5"]


@pytest.mark.filterwarnings("ignore:class .* has no positive region")
def test_the_command_writes_rows(tmp_path, monkeypatch, capsys):
    tiny = settings.Profile("tiny", 3, 1, 2, "quarter_tnet", "fc7", 30)
    monkeypatch.setitem(settings.PROFILES, "smoke", tiny)
    csv, results = tmp_path / "b.csv", tmp_path / "b.json"
    features = ["--features", "raw", "--features", "fc6"]
    files = ["--csv", str(csv), "--json", str(results), "--cache", str(tmp_path / "cache")]
    assert main(["baselines", "--profile", "smoke", "--device", "cpu", *features, *files]) == 0
    printed = capsys.readouterr().out
    assert "raw, fc6; seeds 0; training on trainval, judging on test of ToyVOC" in printed
    frame = pd.read_csv(csv)
    assert frame["name"].tolist() == ["raw pixels", "fc6"]
    assert frame["dim"].tolist() == [768, 1024]
    saved = json.loads(results.read_text())
    assert saved["command"].startswith("rcnn baselines") and len(saved["rows"]) == 2
    assert saved["rows"][0]["mAP"] == pytest.approx(frame["mAP"][0])


def test_the_command_names_unknown_features(capsys):
    assert main(["baselines", "--features", "gist"]) == 1
    message = capsys.readouterr().err
    assert "there are no features 'gist'" in message and "raw, hog, bow" in message
    assert main(["baselines", "--features", "hog:cells=x"]) == 1
