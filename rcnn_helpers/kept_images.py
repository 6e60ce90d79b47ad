"""The images that a training draws from: kept in memory as far as they fit, decoded again beyond that.

A training cuts each batch out of other images, drawn at random, so it wants all of them at hand. Decoded, a
photograph of VOC's size takes 560 KB: VOC 2007's trainval 2.8 GB, ILSVRC's val 11 GB, its whole training set more
than 200 GB. So there is a limit. The images that fit below it, the first ones, are decoded once and kept; the
others are decoded each time a batch asks for them, by several threads at once.

All images are about equally likely to be asked for again, so no rule of what to keep would find more of them in
memory than keeping the first ones does. In ILSVRC's val1+trainN these are val's, in which nearly all windows lie.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rcnn_helpers.memory import available_memory

# Threads that decode; more would only take the processor from the network.
_MOST_THREADS = 8
# Images decoded ahead of those whose size has been counted, for each thread.
_AHEAD = 4


class KeptImages(Sequence):
    """The images of a data set by their number; as many as fit are kept in memory.

    Parameters
    ----------
    read : callable
        ``read(number)`` decodes an image, uint8 [H, W, 3]. It is called from several threads.
    n : int
        Number of images.
    memory : int, optional
        Bytes that the decoded images may take; by default `memory_for_images`.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    kept : list of uint8 [H, W, 3]
        The first images.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        n: int,
        *,
        memory: int | None = None,
        progress: bool = False,
    ):
        from tqdm.auto import tqdm

        self.read = read
        self.n = n
        self.kept: list[np.ndarray] = []
        left = memory_for_images() if memory is None else memory
        with tqdm(total=n, desc="reading images", unit="image", disable=not progress, leave=False) as bar:
            for image in self._decoded_in_order():
                left -= image.nbytes
                if left < 0:
                    break
                self.kept.append(image)
                bar.update()

    @classmethod
    def of(cls, images: Iterable[np.ndarray]) -> "KeptImages":
        """Images that are in memory already."""
        kept = cls(_no_more, 0)
        kept.kept = list(images)
        kept.n = len(kept.kept)
        return kept

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: int) -> np.ndarray:
        number = range(self.n)[number]  # an IndexError beyond the last one ends a loop over all images
        return self.kept[number] if number < len(self.kept) else self.read(number)

    @property
    def nbytes(self) -> int:
        """Bytes that the kept images take."""
        return sum(image.nbytes for image in self.kept)

    @property
    def holds_all(self) -> bool:
        """Whether every image is kept."""
        return len(self.kept) == self.n

    def several(self, numbers: Iterable[int]) -> dict[int, np.ndarray]:
        """Some images by their numbers; those that are not kept are decoded side by side."""
        numbers = sorted(set(map(int, numbers)))
        found = {number: self.kept[number] for number in numbers if number < len(self.kept)}
        absent = [number for number in numbers if number not in found]
        if absent:
            with ThreadPoolExecutor(min(_threads(), len(absent))) as pool:
                found |= zip(absent, pool.map(self.read, absent), strict=True)
        return found

    def _decoded_in_order(self):
        """All images, decoded a few ahead of what has been asked for."""
        block = _AHEAD * _threads()
        with ThreadPoolExecutor(_threads()) as pool:
            for start in range(0, self.n, block):
                yield from pool.map(self.read, range(start, min(start + block, self.n)))


def memory_for_images() -> int:
    """Bytes for a training's images by default: half of what is free, shared by ``torchrun``'s processes."""
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return available_memory() // (2 * processes_here)


def _threads() -> int:
    return min(_MOST_THREADS, os.cpu_count() or 1)


def _no_more(number: int):
    raise IndexError(number)
