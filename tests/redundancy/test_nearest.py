"""Nearest neighbours against brute force, whatever the chunks; from memory and from files."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers.errors import SettingsError, StoreError
from rcnn_helpers.memory import peak_memory
from rcnn_helpers.redundancy import merge_nearest, nearest, search, squared_distances


def by_brute_force(queries, database, k):
    """Every distance from its differences; of equal ones the lower row first."""
    distances, rows = [], []
    for query in np.asarray(queries, np.float64):
        each = [float(((query - row) ** 2).sum()) ** 0.5 for row in np.asarray(database, np.float64)]
        order = sorted(range(len(each)), key=lambda i: (each[i], i))[:k]
        distances.append([each[i] for i in order])
        rows.append(order)
    return np.array(distances).reshape(len(queries), -1), np.array(rows).reshape(len(queries), -1)


@given(st.data())
def test_whole_numbers_with_many_ties(data):
    """Small whole numbers: products are exact, and equal distances abound."""
    dimension = data.draw(st.integers(1, 4))
    draw = lambda n: data.draw(  # noqa: E731
        st.lists(
            st.lists(st.integers(-3, 3), min_size=dimension, max_size=dimension), min_size=n, max_size=30
        )
    )
    queries, database = np.array(draw(1), float), np.array(draw(1), float)
    k, chunk = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40))
    distances, rows = nearest(queries, database, k, chunk=chunk)
    expected, expected_rows = by_brute_force(queries, database, k)
    assert np.allclose(distances, expected, atol=1e-6)
    assert (rows == expected_rows).all()


@pytest.mark.parametrize("chunk", [1, 7, 100, 8192])
def test_unit_vectors(rng, chunk):
    database = rng.normal(size=(300, 40))
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries = database[::7] + 0.01 * rng.normal(size=(43, 40))
    distances, rows = nearest(queries, database, 5, chunk=chunk)
    expected, expected_rows = by_brute_force(queries.astype(np.float32), database.astype(np.float32), 5)
    assert np.allclose(distances, expected, atol=1e-6) and (rows == expected_rows).all()
    assert distances.dtype == np.float32 and rows.dtype == np.int64


def test_distances_near_zero_are_not_rounded_away(rng):
    database = rng.normal(size=(50, 960)).astype(np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries = database.copy()
    queries[:, 0] += 1e-4
    distances, rows = nearest(queries, database)
    assert (rows[:, 0] == np.arange(50)).all()
    assert np.allclose(distances[:, 0], 1e-4, rtol=1e-2)
    assert not nearest(database, database)[0].any()


def test_many_queries_go_in_chunks_too(rng, monkeypatch):
    monkeypatch.setattr(search, "QUERY_CHUNK", 4)
    queries, database = rng.integers(-9, 9, (11, 3)).astype(float), rng.integers(-9, 9, (25, 3)).astype(float)
    distances, rows = nearest(queries, database, 3, chunk=6)
    expected, expected_rows = by_brute_force(queries, database, 3)
    assert np.allclose(distances, expected) and (rows == expected_rows).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_file_gives_what_the_array_gives(rng, tmp_path, dtype):
    database, queries = rng.normal(size=(70, 8)).astype(dtype), rng.normal(size=(9, 8))
    np.save(tmp_path / "database.npy", database)
    expected = nearest(queries, database, 4)
    np.save(tmp_path / "by column.npy", np.asfortranarray(database))
    for source in (tmp_path / "database.npy", str(tmp_path / "database.npy"), tmp_path / "by column.npy"):
        for found, wanted in zip(nearest(queries, source, 4, chunk=16), expected, strict=True):
            assert np.allclose(found, wanted, atol=1e-6)


def test_more_neighbours_than_rows_are_all_rows():
    distances, rows = nearest([[0.0]], [[3.0], [1.0]], 10)
    assert distances.tolist() == [[1, 3]] and rows.tolist() == [[1, 0]]
    assert nearest(np.zeros((0, 1)), [[3.0], [1.0]], 1)[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("queries", "database", "options", "message"),
    [
        ([[1.0, 2.0]], [[1.0]], {}, r"shape \[Q, 1\]"),
        ([[1.0]], [1.0], {}, r"shape \[N, D\]"),
        ([[1.0]], np.zeros((0, 1)), {}, "at least one row"),
        ([[1.0]], [[1.0]], {"k": 0}, "k is 0"),
        ([[1.0]], [[1.0]], {"chunk": 0}, "chunk is 0"),
        ([[np.nan]], [[1.0]], {}, "queries hold NaN"),
        ([[1.0]], [[1.0], [np.inf]], {"chunk": 1}, "row 1 of the database"),
    ],
)
def test_bad_arguments_are_refused(queries, database, options, message):
    with pytest.raises(ValueError, match=message):
        nearest(queries, database, **options)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot read descriptors"):
        nearest([[1.0]], tmp_path / "missing.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(StoreError, match="no .npy file"):
        nearest([[1.0]], tmp_path / "text.npy")


def test_squared_distances_by_hand_and_by_brute_force(rng):
    # 3-4-5, and the same point
    assert squared_distances([[0, 0], [3, 4]], [[3, 4], [0, 1]]).tolist() == [[25, 1], [0, 18]]
    queries, database = rng.normal(size=(6, 9)), rng.normal(size=(8, 9))
    expected = ((queries[:, None] - database) ** 2).sum(axis=2)
    assert np.allclose(squared_distances(queries, database), expected, atol=1e-4)
    same = rng.normal(size=(20, 960))
    assert (squared_distances(same, same) >= 0).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 9))
def test_merging_block_by_block_is_sorting_all(values, k, size):
    distances, rows = [], []
    for first in range(0, len(values), size):
        distances, rows = merge_nearest(distances, rows, values[first : first + size], first, k)
    order = sorted(range(len(values)), key=lambda i: (values[i], i))[:k]
    assert list(rows) == order and list(distances) == [values[i] for i in order]


def test_memory_is_that_of_chunks_whatever_the_file():
    """A file of 80 MB, searched in a process of its own that may grow by much less."""
    if np.isnan(peak_memory()):
        pytest.skip("this system does not tell how much memory a process has needed")
    code = (
        "from rcnn_helpers.redundancy.search import measure_search;"
        "print(measure_search(300, 20_000, dimension=1000)['peak_mib'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1.2 * (2 * 31.25 + 2 * 300 * 8192 * 4 / 2**20), (
        "two chunks, and two tables of one"
    )


def test_a_search_without_anything_is_refused():
    with pytest.raises(SettingsError, match="0 queries"):
        search.measure_search(0, 10)
