"""The product of regions and classes, chunk by chunk, against the plain product."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnn_helpers import scaling
from rcnn_helpers.cli import main
from rcnn_helpers.errors import SettingsError


def numbers(n_regions=40, n_features=16, n_classes=30, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_regions, n_features)).astype(np.float32)
    return features, rng.normal(size=(n_classes, n_features)).astype(np.float32), rng.normal(size=n_classes)


def test_memory_is_the_papers():
    frame = scaling.paper_figures().dropna(subset=["gib"]).set_index("method")
    assert frame.gib_computed.round(1)["R-CNN"] == 1.5  # sec. 2.2
    assert frame.gib_computed.round()["UVA"] == 134
    assert scaling.memory_needed(2**18, 2**10, bytes_per_number=2) == 0.5


@given(chunk=st.integers(1, 40), with_bias=st.booleans())
def test_chunks_together_are_the_product(chunk, with_bias):
    features, weights, bias = numbers()
    expected = features.astype(float) @ weights.T + (bias if with_bias else 0)
    found = np.full(expected.shape, np.nan)
    for part, scores in scaling.scores_in_chunks(
        features, weights, bias=bias if with_bias else None, chunk=chunk
    ):
        assert part.stop - part.start <= chunk
        found[:, part] = scores.T
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(max_examples=50)
@given(k=st.integers(0, 50), chunk=st.integers(1, 40), ties=st.booleans())
def test_best_regions_are_those_of_a_full_sort(k, chunk, ties):
    features, weights, bias = numbers()
    if ties:
        features, weights = np.round(features), np.sign(weights)
    expected = features @ weights.T
    order = np.argsort(-expected, axis=0, kind="stable")[:k].T
    regions, scores = scaling.best_regions(features, weights, k=k, chunk=chunk)
    assert regions.shape == scores.shape == (30, min(k, 40))
    np.testing.assert_allclose(scores, np.take_along_axis(expected.T, order, axis=1), atol=1e-4)
    assert all(len(set(kept)) == len(kept) for kept in regions)
    if not ties:
        assert np.array_equal(regions, order)


def test_weights_may_lie_in_a_file_or_in_bfloat16(tmp_path):
    features, weights, _ = numbers(n_features=64)
    np.save(tmp_path / "weights.npy", weights)
    expected = scaling.best_regions(features, weights, k=5)
    of_file = scaling.best_regions(features, np.load(tmp_path / "weights.npy", mmap_mode="r"), k=5, chunk=7)
    assert np.array_equal(of_file[0], expected[0])
    half = scaling.best_regions(features, torch.from_numpy(weights).bfloat16(), k=5, chunk=7)
    exact = (features @ weights.T).T
    np.testing.assert_allclose(half[1], np.take_along_axis(exact, half[0], axis=1), atol=0.3)
    whole = torch.from_numpy(features).bfloat16() @ torch.from_numpy(weights).bfloat16().T
    np.testing.assert_allclose(
        half[1], np.take_along_axis(whole.float().numpy().T, half[0], axis=1), atol=0.1
    )


def test_all_scores_are_never_in_memory_at_once():
    """1,000 regions and 40,000 classes: 160 MB of scores, of which a chunk holds 4 MB."""
    from rcnn_helpers.memory import peak_memory, release_freed_memory, reset_peak_memory

    if peak_memory() != peak_memory():
        pytest.skip("this system does not tell a process's memory")
    features, weights, _ = numbers(1000, 4, 40_000)
    release_freed_memory()
    reset_peak_memory()
    before = peak_memory()
    scaling.best_regions(features, weights, k=10)
    assert peak_memory() - before < 60


def test_measured_rows_add_up():
    frame = scaling.measure((20, 2000), n_regions=50, n_features=32, threads=1)
    assert list(frame.precision) == ["float32"] * 2 + ["bfloat16"] * 2
    assert list(frame.classes) == [20, 2000] * 2
    np.testing.assert_allclose(frame.weights_gib * 2**30, frame.classes * 32 * np.array([4, 4, 2, 2]))
    np.testing.assert_allclose(frame.gflops * frame.seconds, 2 * frame.classes * 32 * 50 / 1e9)
    assert (frame.threads == 1).all() and (frame.seconds > 0).all()


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    import pandas as pd

    csv, json = tmp_path / "scaling.csv", tmp_path / "scaling.json"
    arguments = f"scaling --classes 20,40 --regions 10 --features 8 --csv {csv} --json {json}"
    assert main(arguments.split()) == 0
    assert list(pd.read_csv(csv).classes) == [20, 40, 20, 40]
    assert "134 GB" in capsys.readouterr().out
    assert '"command": "rcnn scaling' in json.read_text()


@pytest.mark.parametrize(
    "call",
    [
        lambda f, w: list(scaling.scores_in_chunks(f, w[:, :3])),
        lambda f, w: list(scaling.scores_in_chunks(f, w, chunk=0)),
        lambda f, w: scaling.measure((0,)),
        lambda f, w: scaling.measure((20,), precisions=("int8",)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    features, weights, _ = numbers()
    with pytest.raises(SettingsError):
        call(features, weights)
