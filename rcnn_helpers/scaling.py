"""What a hundred thousand classes cost: one matrix product (sec. 2.2).

The regions of an image are warped and sent through the network once, whatever the number of classes. Only two
things grow with it: the product of the regions' features, 2,000 x 4,096, with the classes' weights, 4,096 x N, and
the suppression of each class. The paper puts the product at 10 s for 100,000 classes on a multi-core CPU, and the
weights at 1.5 GB; those of UVA's detector, of 360,000 features a region, would take 134 GB. Both figures are 2**30
bytes a GB, and 4 bytes a number; bfloat16 halves them.

Here the product is computed in chunks of classes, so that beside the weights only one chunk's scores stand in
memory, and of those only the best regions of each class are kept, as a detector does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from rcnn_helpers.errors import SettingsError
from rcnn_helpers.memory import peak_memory, release_freed_memory, reset_peak_memory

# Sec. 2.2: an image's regions, the features of each, and the numbers of classes that the paper speaks of.
REGIONS = 2000
FEATURES = 4096
CLASSES = (20, 200, 10_000, 100_000)
PRECISIONS = ("float32", "bfloat16")
# Classes at a time: 8 MB of scores for 2,000 regions. Larger chunks are no faster.
CHUNK = 1024
# Regions of an image that a class keeps (released code).
BEST = 100

GIB = 2**30
# Products shorter than this are repeated, and the median is reported.
_SHORT = 1.0
_REPEATS = 5


def memory_needed(n_classes: int, n_features: int = FEATURES, *, bytes_per_number: int = 4) -> float:
    """Return what the weights of so many linear classifiers take, in GiB.

    Examples
    --------
    >>> round(memory_needed(100_000), 1), round(memory_needed(100_000, 360_000))
    (1.5, 134)
    """
    return n_classes * n_features * bytes_per_number / GIB


def paper_figures() -> pd.DataFrame:
    """Return what sec. 2.2 says of many classes, beside the memory that follows from the number of features.

    Returns
    -------
    DataFrame with the columns method, features, classes, seconds, gib (the paper's figures), gib_computed
        NaN where the paper gives no figure. ``seconds`` is the time of one image: for R-CNN of the product alone
        (100,000 classes) or of everything on a CPU (10,000 classes, "about a minute"); for the DPMs with hashing
        of Dean et al. (2013) of everything.
    """
    rows = [
        ("R-CNN", FEATURES, 100_000, 10.0, 1.5),
        ("R-CNN", FEATURES, 10_000, 60.0, np.nan),
        ("UVA", 360_000, 100_000, np.nan, 134.0),
        ("DPM with hashing", np.nan, 10_000, 300.0, np.nan),
    ]
    frame = pd.DataFrame(rows, columns=["method", "features", "classes", "seconds", "gib"])
    frame["gib_computed"] = memory_needed(frame.classes, frame.features)
    return frame


def scores_in_chunks(
    features, weights, *, bias=None, chunk: int = CHUNK
) -> Iterator[tuple[slice, np.ndarray]]:
    """Score all regions for all classes, some classes at a time.

    Parameters
    ----------
    features : array [N, D]
        Of the regions.
    weights : array or torch.Tensor [C, D]
        One row a class. It is only ever sliced, so it may be a memory-mapped file. With a Tensor the product is
        torch's, in the Tensor's precision (bfloat16 rounds to 3 digits, and sums in float32); else NumPy's.
    bias : array [C], optional
    chunk : int
        Classes at a time.

    Yields
    ------
    slice, float32 [classes of the slice, N]
        Some classes and their scores, class by class. The next chunk may use the same memory.

    Raises
    ------
    SettingsError
        If shapes do not fit or the chunk is empty.
    """
    if chunk < 1:
        raise SettingsError(f"chunk is {chunk}; score at least one class at a time")
    if len(weights.shape) != 2 or np.ndim(features) != 2 or np.shape(features)[1] != weights.shape[1]:
        raise SettingsError(
            f"features of shape {list(np.shape(features))} and weights of shape {list(weights.shape)} do not fit; "
            "both need the same number of columns, the features of a region"
        )
    n_classes = len(weights)
    product = _numpy_product if isinstance(weights, np.ndarray) else _torch_product
    score = product(features, weights, min(chunk, n_classes))
    for start in range(0, n_classes, chunk):
        part = slice(start, min(start + chunk, n_classes))
        scores = score(part)
        if bias is not None:
            scores += np.asarray(bias, dtype=np.float32)[part, None]
        yield part, scores


def _numpy_product(features, weights, chunk):
    transposed = np.asarray(features, dtype=np.float32).T
    buffer = np.empty((chunk, transposed.shape[1]), dtype=np.float32)

    def score(part):
        out = buffer[: part.stop - part.start]
        return np.matmul(np.asarray(weights[part], dtype=np.float32), transposed, out=out)

    return score


def _torch_product(features, weights, chunk):
    import torch

    transposed = torch.as_tensor(features).to(weights.device, weights.dtype).T
    return lambda part: (weights[part] @ transposed).float().cpu().numpy()


def best_regions(features, weights, *, k: int = BEST, bias=None, chunk: int = CHUNK):
    """Find the best regions of each class; the scores of all are never in memory at once.

    Parameters
    ----------
    features, weights, bias, chunk : as for `scores_in_chunks`
    k : int
        Regions to keep of each class.

    Returns
    -------
    regions : int32 [C, min(k, N)]
        Indices of each class's best regions, best first, and of equal scores in the regions' order.
    scores : float32 [C, min(k, N)]
    """
    return _collect(
        scores_in_chunks(features, weights, bias=bias, chunk=chunk), len(weights), len(features), k
    )


def _collect(chunks, n_classes, n_regions, k):
    k = min(k, n_regions)
    regions = np.empty((n_classes, k), dtype=np.int32)
    best = np.empty((n_classes, k), dtype=np.float32)
    for part, scores in chunks:
        kept = _largest(scores, k)
        regions[part] = kept
        best[part] = np.take_along_axis(scores, kept, axis=1)
    return regions, best


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, largest first, int64 [rows, k]."""
    if k == 0:
        return np.zeros((len(scores), 0), dtype=np.int64)
    columns = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    columns.sort(axis=1)  # so that a stable sort puts the first of equals first
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def measure(
    n_classes=CLASSES,
    *,
    n_regions: int = REGIONS,
    n_features: int = FEATURES,
    precisions=PRECISIONS,
    chunk: int = CHUNK,
    k: int = BEST,
    threads: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the product of sec. 2.2 on random numbers: seconds and memory by number of classes.

    Parameters
    ----------
    n_classes : sequence of int
    n_regions, n_features : int
    precisions : sequence of {"float32", "bfloat16"}
        Of weights and features.
    chunk, k : as for `best_regions`
    threads : int, optional
        By default as many as NumPy and torch use by themselves.
    seed : int

    Returns
    -------
    DataFrame with a row for each precision and number of classes
        precision, classes, regions, features, threads; ``seconds`` of the product, and ``cpu_seconds``, the time
        that processors worked on it (less where the machine does other work, more with several threads);
        ``seconds_best`` of choosing each class's best regions after it; ``gflops``, multiplications and
        additions in 10^9 a second; ``weights_gib``; ``all_scores_gib``, what the scores would take if they stood
        in memory at once; and ``peak_gib``, the most that the process held beyond what it held before features
        and weights were drawn (NaN where the system does not tell).

    Raises
    ------
    SettingsError
        If a number is below 1 or a precision unknown.
    """
    for what, values in {"classes": n_classes, "regions": [n_regions], "features": [n_features]}.items():
        if min(values, default=0) < 1:
            raise SettingsError(f"the number of {what} is {min(values, default=0)}; it must be 1 or more")
    unknown = [precision for precision in precisions if precision not in PRECISIONS]
    if unknown:
        raise SettingsError(f"unknown precision {unknown[0]!r}; choose one of {', '.join(PRECISIONS)}")
    rows = []
    with _threads(threads) as used:
        for precision in precisions:
            for n in n_classes:
                measured = _measure_one(n, n_regions, n_features, precision, chunk, k, seed)
                rows.append({"precision": precision, "classes": n, "threads": used} | measured)
    return pd.DataFrame(rows)


def _measure_one(n_classes, n_regions, n_features, precision, chunk, k, seed) -> dict:
    release_freed_memory()
    reset_peak_memory()
    before = peak_memory()
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_regions, n_features), dtype=np.float32)
    weights = _random_weights(n_classes, n_features, precision, chunk, rng)
    next(scores_in_chunks(features[:1], weights[:1]))  # threads and libraries wake up

    times = [_time_best(features, weights, k, chunk)]
    while len(times) < _REPEATS and times[0][0] < _SHORT:
        times.append(_time_best(features, weights, k, chunk))
    seconds, cpu_seconds, seconds_best = np.median(times, axis=0).tolist()
    return {
        "regions": n_regions,
        "features": n_features,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "seconds_best": seconds_best,
        "gflops": 2 * n_classes * n_features * n_regions / seconds / 1e9,
        "weights_gib": memory_needed(
            n_classes, n_features, bytes_per_number=2 + 2 * (precision == "float32")
        ),
        "all_scores_gib": n_classes * n_regions * 4 / GIB,
        "peak_gib": (peak_memory() - before) / 1024,
    }


def _random_weights(n_classes, n_features, precision, chunk, rng):
    """Weights [C, D], drawn chunk by chunk so that no second copy of them is ever in memory."""
    if precision == "float32":
        weights = np.empty((n_classes, n_features), dtype=np.float32)
        rng.standard_normal(dtype=np.float32, out=weights)
        return weights
    import torch

    weights = torch.empty((n_classes, n_features), dtype=torch.bfloat16)
    for start in range(0, n_classes, chunk):
        part = weights[start : start + chunk]
        part.copy_(torch.from_numpy(rng.standard_normal(tuple(part.shape), dtype=np.float32)))
    return weights


def _time_best(features, weights, k, chunk) -> tuple[float, float, float]:
    """Seconds of the product, processor time of the product, and seconds of choosing the best regions."""
    in_product, of_processors = 0.0, 0.0

    def timed(chunks):
        nonlocal in_product, of_processors
        while True:
            started, processors = time.perf_counter(), time.process_time()
            found = next(chunks, None)
            in_product += time.perf_counter() - started
            of_processors += time.process_time() - processors
            if found is None:
                return
            yield found

    started = time.perf_counter()
    _collect(timed(scores_in_chunks(features, weights, chunk=chunk)), len(weights), len(features), k)
    return in_product, of_processors, time.perf_counter() - started - in_product


@contextmanager
def _threads(wanted: int | None) -> Iterator[int]:
    """Let NumPy and torch use so many threads; yields how many they use."""
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(wanted):
        torch.set_num_threads(wanted or before)
        try:
            pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
            yield max([torch.get_num_threads(), *pools])
        finally:
            torch.set_num_threads(before)
