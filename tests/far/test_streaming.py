"""Images made ready ahead of the network: in order, within bounds, and without losing an error."""

import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rcnn_helpers import features, streaming
from rcnn_helpers.errors import ImageError
from rcnn_helpers.feature_store import FeatureStore
from rcnn_helpers.features import extract_dataset
from rcnn_helpers.streaming import in_turns, look_ahead, over_images, preparing_threads

sys.path.insert(0, str(Path(__file__).parent))
import shapes

BOTH = pytest.mark.parametrize("ahead", [look_ahead, in_turns])
THREADS = pytest.mark.parametrize("threads", [1, 3])


@BOTH
@THREADS
def test_everything_comes_in_order_however_long_it_takes(ahead, threads):
    def slow_first(number):
        time.sleep(0.02 if number % 3 == 0 else 0)
        return -number

    assert list(ahead(slow_first, range(10), threads=threads)) == [-n for n in range(10)]
    assert list(ahead(slow_first, [], threads=threads)) == []


@BOTH
@THREADS
def test_no_more_is_made_ready_than_the_bound(ahead, threads):
    made, taken = [], 0
    for _ in ahead(made.append, iter(range(50)), threads=threads):
        taken += 1
        assert len(made) <= taken + threads + 1
    assert len(made) == 50


@BOTH
def test_an_error_waits_for_its_turn(ahead):
    def make(number):
        if number == 3:
            raise ImageError("image 3 is no picture")
        return number

    seen = []
    with pytest.raises(ImageError, match="image 3"):
        for number in ahead(make, range(9), threads=2):
            seen.append(number)
    assert seen == [0, 1, 2]


@BOTH
def test_who_stops_in_between_leaves_no_thread_behind(ahead):
    before, made = threading.active_count(), []
    ready = ahead(made.append, range(1000), threads=2)
    next(ready)
    ready.close()
    assert threading.active_count() == before
    assert len(made) <= 5


def test_ctrl_c_ends_a_stage_within_the_images_at_hand(ctrl_c):
    class Stage:
        def __init__(self):
            self.prepared = 0

        def prepare(self, image_id):
            self.prepared += 1
            return image_id

        def finish(self, image_id):
            if image_id == 4:
                signal.raise_signal(signal.SIGINT)
            return image_id

    for device in ("cpu", "meta"):
        work, before = Stage(), threading.active_count()
        with pytest.raises(KeyboardInterrupt):
            list(over_images(work, range(1000), device=torch.device(device)))
        assert work.prepared <= 5 + preparing_threads() + 1
        assert threading.active_count() == before


def test_a_gpu_has_the_next_images_prepared_while_it_works(monkeypatch):
    """On any device but a CPU: the first image is finished only when the second is being prepared."""
    monkeypatch.setattr(streaming, "preparing_threads", lambda: 1)
    second_begun = threading.Event()

    class Stage:
        def prepare(self, image_id):
            if image_id == 1:
                second_begun.set()
            return image_id

        def finish(self, image_id):
            assert second_begun.wait(timeout=30)
            return image_id

    assert list(over_images(Stage(), range(3), device=torch.device("meta"))) == [0, 1, 2]


def test_processes_of_torchrun_share_the_cores(monkeypatch):
    monkeypatch.setattr(streaming.os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert preparing_threads() == 6
    for processes, threads in ((2, 3), (4, 1), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert preparing_threads() == threads
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(streaming.os, "sched_getaffinity", lambda process: set(range(96)), raising=False)
    assert preparing_threads() == 8


def test_overlap_changes_no_feature_and_reads_each_image_once(dataset, alone, tmp_path, monkeypatch):
    """The way of a GPU, on a CPU: `look_ahead` in place of `in_turns`."""
    monkeypatch.setattr(streaming, "in_turns", look_ahead)
    reads = []
    image = type(dataset).image
    monkeypatch.setattr(type(dataset), "image", lambda self, name: reads.append(name) or image(self, name))
    shapes.fill(dataset, tmp_path)
    assert shapes.files_below(tmp_path) == shapes.files_below(alone)
    assert sorted(reads) == dataset.ids


def test_a_bound_on_the_regions_stands_in_for_their_number(dataset, tmp_path, capsys):
    """Nothing is proposed to learn how much space is needed; without a bound that is said."""
    network = shapes.small_network()
    for most, said in ((40, "7 images' pool5 features: up to 0 MB"), (None, "an unknown number of regions")):
        proposals = features_of_none(dataset, most)
        store = FeatureStore(tmp_path / str(most), network=network, precision="float32")
        extract_dataset(network, dataset, proposals, store=store)
        shown = capsys.readouterr()
        assert said in shown.out + shown.err
    region = 32 * 2 + 17
    assert store.space_needed([40 + 2] * 7) == 7 * (1024 + 42 * region)


def features_of_none(dataset, most):
    """Lazy proposals that find nothing and promise no more than so many."""
    from rcnn_helpers.proposals import propose_dataset

    return propose_dataset(dataset, method=lambda image: np.zeros((0, 4)), max_boxes=most, lazy=True)


def test_an_unreadable_image_leaves_those_before_it_done(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "preparing_threads", lambda: 2)
    shapes.write_voc(tmp_path, 6)
    (tmp_path / "JPEGImages" / "000003.jpg").write_bytes(b"no picture")
    broken = shapes.open_voc(tmp_path)
    with pytest.raises(ImageError, match=r"000003\.jpg is not an image"):
        shapes.fill(broken, tmp_path / "cache")
    done = FeatureStore(tmp_path / "cache" / "features", network=shapes.small_network(), precision="float32")
    assert done.ids() == broken.ids[:3]


def test_the_network_is_asked_image_by_image(dataset, tmp_path, monkeypatch):
    """Batches never mix images: by that every engine computes the same bits."""
    asked, extract = [], features.extract

    def noted(network, image, boxes, **options):
        asked.append(image)
        return extract(network, image, boxes, **options)

    monkeypatch.setattr(features, "extract", noted)
    shapes.fill(dataset, tmp_path)
    assert [image.tobytes() for image in asked] == [dataset.image(name).tobytes() for name in dataset.ids]
