"""Exact nearest neighbours by Euclidean distance, in bounded memory: thousands against a million on one machine.

No index, no approximation: every query is compared with every row. A matrix product does the work, block by
block, and only the nearest so far are kept. So neither the table of all distances nor the database need fit
into memory.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

from rcnn_helpers.errors import SettingsError, StoreError
from rcnn_helpers.memory import peak_memory, reset_peak_memory
from rcnn_helpers.storage import free_space

QUERY_CHUNK, DATABASE_CHUNK = 1024, 8192
GIB = 2**30


def nearest(queries, database, k: int = 1, *, chunk: int = DATABASE_CHUNK) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest rows of a database for each query.

    Parameters
    ----------
    queries : float array of shape [Q, D]
    database : float array of shape [N, D], or path-like
        An array, also one mapped from a file, of float32 or float16; or the path of a ``.npy`` file, of which
        only one chunk at a time is in memory.
    k : int
        Where the database has fewer rows, all of them.
    chunk : int
        Rows of the database compared at once. 1,024 queries times `chunk` distances are held, 32 MB by
        default.

    Returns
    -------
    distances : float32 array of shape [Q, k]
        Ascending. They are computed from the differences, exact to the rounding of float32, also near 0.
    rows : int64 array of shape [Q, k]
        Of the database. Of equal distances the lower row comes first; the search itself takes squared
        distances whose difference is below 1e-6 of the squared lengths for equal.

    Raises
    ------
    ValueError
        If the arrays have other shapes, hold NaN, or `k` or `chunk` is below 1.
    StoreError
        If the file is not there or is no ``.npy`` file.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if not isinstance(database, str | os.PathLike):
        database = np.asanyarray(database)
    n_rows, dimension = _shape_of(database)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise ValueError(f"queries must have shape [Q, {dimension}], got {list(queries.shape)}")
    if k < 1 or chunk < 1:
        raise ValueError(f"k is {k} and chunk is {chunk}; both are 1 or more")
    if not np.isfinite(queries).all():
        raise ValueError("queries hold NaN or infinity, which is near nothing")
    k = min(k, n_rows)
    # A few more than asked for: squared distances from a matrix product are rounded, and the order of the
    # nearest is decided by their differences afterwards.
    n_kept = min(k + 8, n_rows)
    best = np.full((len(queries), n_kept), np.inf, np.float32)
    rows = np.zeros((len(queries), n_kept), np.int64)
    for first in range(0, n_rows, chunk):
        block = _rows(database, first, min(first + chunk, n_rows))
        lengths = _squared_lengths(block)
        if not np.isfinite(lengths).all():
            raise ValueError(
                f"row {first + int(np.isfinite(lengths).argmin())} of the database is not finite"
            )
        for start in range(0, len(queries), QUERY_CHUNK):
            part = slice(start, start + QUERY_CHUNK)
            # |q - d|^2 without |q|^2, which is the same for all rows.
            score = queries[part] @ block.T
            score *= -2
            score += lengths
            _keep_nearest(score, first, best[part], rows[part])
    return _by_difference(queries, database, rows, k)


def squared_distances(queries, database) -> np.ndarray:
    """All squared Euclidean distances at once: ``|q|^2 + |d|^2 - 2 q.d``, never below 0.

    Parameters
    ----------
    queries : float array of shape [Q, D]
    database : float array of shape [N, D]

    Returns
    -------
    float32 array of shape [Q, N]
    """
    queries, database = np.asarray(queries, np.float32), np.asarray(database, np.float32)
    products = queries @ database.T
    squared = _squared_lengths(queries)[:, None] + _squared_lengths(database) - 2 * products
    return np.maximum(squared, 0)


def merge_nearest(distances, rows, block, first: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bring the nearest rows so far up to date with one more block of the database, for one query.

    Parameters
    ----------
    distances, rows : array-like of shape [M]
        The nearest so far, ascending, and their rows; M is at most `k`.
    block : array-like of shape [B]
        Distances of the query to the next B rows.
    first : int
        Row of the first of them.
    k : int

    Returns
    -------
    distances : float array of shape [min(k, M + B)]
        Ascending; of equal ones the lower row comes first.
    rows : int64 array of the same shape
    """
    everything = np.concatenate([np.asarray(distances, float), np.asarray(block, float)])
    numbers = np.concatenate([np.asarray(rows, np.int64), first + np.arange(len(block))])
    order = np.lexsort([numbers, everything])[:k]
    return everything[order], numbers[order]


def _shape_of(database) -> tuple[int, int]:
    shape = _opened(database).shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"a database has shape [N, D] and at least one row, got {list(shape)}")
    return shape


def _rows(database, first: int, last: int) -> np.ndarray:
    """Some rows as float32; those of a file are mapped anew each time, so that the ones before can be let go."""
    return np.asarray(_opened(database)[first:last], dtype=np.float32)


def _opened(database) -> np.ndarray:
    """An array as it is, and one in a file mapped."""
    if not isinstance(database, str | os.PathLike):
        return database
    try:
        return np.load(database, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise StoreError(f"cannot read descriptors from {database}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise StoreError(
            f"{database} is no .npy file of descriptors ({error}); write it with numpy.save"
        ) from error


def _reader(database):
    """A function from some rows' numbers to the rows.

    From a file they are read, not mapped: each row that is looked up in a mapped file brings its
    neighbourhood into memory, and thousands of them nearly all of it.
    """
    whole = _opened(database)
    if whole is database or not whole.flags.c_contiguous:
        return lambda numbers: whole[numbers]
    n_columns, dtype, start = whole.shape[1], whole.dtype, whole.offset

    def look_up(numbers):
        places = start + np.asarray(numbers) * n_columns * dtype.itemsize
        return np.stack([np.fromfile(database, dtype, n_columns, offset=place) for place in places.tolist()])

    return look_up


def _squared_lengths(rows) -> np.ndarray:
    return np.einsum("nd,nd->n", rows, rows)


@njit(cache=True, nogil=True)
def _keep_nearest(scores, first, best, rows):  # pragma: no cover (compiled)
    """Insert each row's lowest scores [Q, B] into its ascending list of the best [Q, K], in place."""
    n_kept = best.shape[1]
    for query in range(scores.shape[0]):
        worst = best[query, n_kept - 1]
        for column in range(scores.shape[1]):
            score = scores[query, column]
            if score < worst:
                place = n_kept - 1
                while place > 0 and best[query, place - 1] > score:
                    best[query, place] = best[query, place - 1]
                    rows[query, place] = rows[query, place - 1]
                    place -= 1
                best[query, place] = score
                rows[query, place] = first + column
                worst = best[query, n_kept - 1]


def _by_difference(queries, database, rows, k):
    """Distances of the kept rows from their differences, and the `k` nearest of them in order."""
    look_up = _reader(database)
    distances = np.empty(rows.shape, np.float32)
    for query, numbers in enumerate(rows):
        differences = look_up(numbers).astype(np.float32) - queries[query]
        distances[query] = np.sqrt(_squared_lengths(differences))
    by_row = np.argsort(rows, axis=1)
    distances, rows = (np.take_along_axis(values, by_row, axis=1) for values in (distances, rows))
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)


def measure_search(
    n_queries: int, n_rows: int, *, dimension: int = 960, k: int = 1, folder=None, seed: int = 0
) -> dict[str, float]:
    """Search random descriptors for the nearest of others, and measure time and memory.

    The time does not depend on what the descriptors are, so random ones of length 1 do. The database is a
    file, as it would be after all its pictures have been described; writing it is not counted.

    Parameters
    ----------
    n_queries, n_rows : int
        Descriptors to look for, and to look among.
    dimension : int
    k : int
    folder : path-like, optional
        Where the file lies meanwhile, 4 bytes a number; by default the system's temporary folder.
    seed : int

    Returns
    -------
    dict
        ``queries``, ``database``, ``dimension``, ``k``; ``seconds`` on the clock and ``cpu_seconds`` (of all
        cores together; less than on the clock where others use the machine, too); ``peak_mib`` (resident
        memory of the process at its highest during the search, above what it was before); ``file_gib`` (of
        the database) and ``table_gib`` (what the table of all distances would take, which is never there).

    Raises
    ------
    SettingsError
        If the file does not fit into the folder.
    """
    if min(n_queries, n_rows, dimension) < 1:
        raise SettingsError(f"there must be something to search: {n_queries} queries, {n_rows} rows")
    rng = np.random.default_rng(seed)
    size = 4 * n_rows * dimension
    with tempfile.TemporaryDirectory(dir=folder) as name:
        if size > free_space(name):
            raise SettingsError(
                f"{n_rows} descriptors take {size / GIB:.1f} GiB, and {name} has {free_space(name) / GIB:.1f}; "
                "choose fewer, or another folder by TMPDIR"
            )
        path = Path(name) / "database.npy"
        _write_random(path, n_rows, dimension, rng)
        queries = _random_rows(rng, n_queries, dimension)
        nearest(queries[:1], queries[:1])  # compiles
        reset_peak_memory()
        before, started, worked = peak_memory(), time.perf_counter(), time.process_time()
        nearest(queries, path, k)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        peak = peak_memory() - before
    return {
        "queries": n_queries,
        "database": n_rows,
        "dimension": dimension,
        "k": k,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "file_gib": size / GIB,
        "table_gib": 4 * n_queries * n_rows / GIB,
    }


def _write_random(path: Path, n_rows: int, dimension: int, rng) -> None:
    with open(path, "xb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, dimension)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, n_rows, DATABASE_CHUNK):
            _random_rows(rng, min(DATABASE_CHUNK, n_rows - first), dimension).tofile(file)


def _random_rows(rng, n: int, dimension: int) -> np.ndarray:
    """Rows of length 1 without negative numbers, as GIST's are."""
    rows = np.abs(rng.standard_normal((n, dimension), dtype=np.float32))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
