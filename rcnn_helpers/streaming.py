"""A stage that takes a data set image by image: the next images made ready meanwhile, or all of them spread out.

`over_images` is how features are extracted and images searched. By default it works in this process, and threads
make the next images ready, within a bound, so that memory does not grow with their number. With
``joblib.parallel_config`` around it the same call spreads the images over processes or machines::

    with joblib.parallel_config(backend="loky", n_jobs=4):
        extract_dataset(...)

What the images have in common, network and all, travels to each worker once, see `SentOnce`.
"""

import hashlib
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, Protocol

import numpy as np

# More threads than these would prepare images faster than any network of today takes them.
_MOST_THREADS = 8


class PerImage(Protocol):
    """A stage for `over_images`."""

    def prepare(self, image_id: str) -> Any:
        """What can be done ahead, on a processor: read, decode, propose. Called from several threads."""

    def finish(self, prepared: Any) -> Any:
        """The rest, with the network; called for one image after the other."""


def over_images(work: PerImage, image_ids: Iterable[str], *, device) -> Iterator[Any]:
    """Do a stage for every image.

    Parameters
    ----------
    work : PerImage
        Where ``joblib.parallel_config`` names processes or a cluster, something that can be pickled.
    image_ids : iterable of str
    device : torch.device
        Where `work` finishes its images. Beside a GPU all cores prepare the next images meanwhile. A CPU is busy
        with the network already: there some images are prepared, by as many threads as there are cores, and then
        finished, which wastes nothing.

    Yields
    ------
    object
        What ``work.finish`` returned, in the order of `image_ids`. An image that fails raises its error when its
        turn has come.
    """
    if is_spread():
        from joblib import Parallel, delayed

        sent = packed_for_engine(work)
        yield from Parallel(return_as="generator")(delayed(_whole)(sent, image_id) for image_id in image_ids)
        return
    threads = preparing_threads()
    ahead = look_ahead if device.type != "cpu" else in_turns
    with closing(ahead(work.prepare, image_ids, threads=threads)) as ready:
        for prepared in ready:
            yield work.finish(prepared)


def is_spread() -> bool:
    """Whether ``joblib.parallel_config`` asks for more than this process alone."""
    from joblib.parallel import get_active_backend

    engine, n_jobs = get_active_backend()
    return (engine.default_n_jobs if n_jobs is None else n_jobs) != 1


def preparing_threads() -> int:
    """Threads that prepare images: this process's share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's processes share the machine
    return max(1, min(_MOST_THREADS, cores // here))


def look_ahead(make: Callable, items: Iterable, *, threads: int) -> Iterator[Any]:
    """Yield ``make(item)`` of each item in order, while threads already make the next ones.

    Parameters
    ----------
    make : callable
    items : iterable
        Taken only so far ahead as there are threads, and one more.
    threads : int
    """
    items = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="look-ahead")
    try:
        pending = deque(pool.submit(make, item) for item in islice(items, threads + 1))
        while pending:
            ready = pending.popleft().result()
            pending.extend(pool.submit(make, item) for item in islice(items, 1))
            yield ready
    finally:
        # Also on Ctrl-C and when nobody wants the rest: only what has been begun is waited for.
        pool.shutdown(cancel_futures=True)


def in_turns(make: Callable, items: Iterable, *, threads: int) -> Iterator[Any]:
    """Yield ``make(item)`` of each item in order; made by all threads, then all yielded, and so on."""
    items = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="in-turns")
    try:
        while pending := deque(pool.submit(make, item) for item in islice(items, threads)):
            _ = [future.exception() for future in pending]
            while pending:
                yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class SentOnce:
    """A value that a worker process receives once, however many tasks come with it.

    joblib pickles the arguments of every task; a network of 230 MB must not travel with each image. In a pickle
    this object is its value as one array of bytes. joblib hands large arrays to processes of this machine in a
    file, which it writes once; for a Dask cluster it sends large arguments ahead, once a worker. The receiving
    process unpacks the value the first time and keeps it until another one comes.

    Parameters
    ----------
    value : object

    Attributes
    ----------
    value : object
    key : str or None
        Digest of the packed value, once it has been packed.
    """

    def __init__(self, value, key: str | None = None, n_bytes: int | None = None):
        self.value = value
        self.key = key
        self._n_bytes = n_bytes
        self._packed = None

    def __reduce__(self):
        packed = self._pack()
        return _received, (self.key, packed)

    def __sizeof__(self) -> int:
        """Bytes that travel: by this Dask decides to send the object ahead and not with every task."""
        if self._n_bytes is None:
            self._n_bytes = self._pack().nbytes
        return object.__sizeof__(self) + self._n_bytes

    def _pack(self) -> np.ndarray:
        """The value as bytes, uint8 [n]; the same array each time, by which joblib knows it again."""
        with _lock:
            if self._packed is None:
                self._packed = np.frombuffer(_cloudpickle().dumps(self.value), np.uint8)
                self.key = self.key or hashlib.sha256(self._packed).hexdigest()
            return self._packed


def packed_for_engine(value) -> SentOnce:
    """A value to hand to the tasks of the engine that ``joblib.parallel_config`` names.

    What cannot be pickled is found out here. Dask would find out in a thread of its own, and wait for ever.
    """
    from joblib.parallel import get_active_backend

    sent = SentOnce(value)
    engine, _ = get_active_backend()
    if is_spread() and not getattr(engine, "supports_sharedmem", False):
        sent._pack()
    return sent


def _cloudpickle():
    """The pickler that also takes what no module holds, such as a data set that a notebook defines."""
    try:
        import cloudpickle
    except ImportError:
        from joblib.externals import cloudpickle  # joblib below 1.6 brings one of its own
    return cloudpickle


_lock = threading.Lock()
_kept: dict[str, SentOnce] = {}


def _received(key: str, packed: np.ndarray) -> SentOnce:
    """The value of this key as it is in this process, unpacked if it is new here."""
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = SentOnce(pickle.loads(packed), key, packed.nbytes)
        return _kept[key]


def _whole(sent: SentOnce, image_id: str) -> Any:
    return sent.value.finish(sent.value.prepare(image_id))
