"""Columns of numbers that grow block by block: in memory while they are short, in a file when they are long.

A table with a row for each window of each image is small for thousands of images (30 bytes a window, 60 KB an
image of 2,000) and too large for hundreds of thousands. Beyond a limit its columns move to files in the system's
temporary folder (``TMPDIR``) and are mapped: they are read as before, and the system decides which pages of them
stay in memory.
"""

import tempfile

import numpy as np


class Columns:
    """Columns of equal or unequal length, by name.

    Parameters
    ----------
    kinds : dict of name to (dtype, numbers in a row)
        0 numbers in a row make a column of single numbers.
    memory : int
        Bytes of all columns together beyond which they go to files.
    """

    def __init__(self, kinds: dict[str, tuple[type, int]], memory: int):
        self.columns = {name: _Column(np.dtype(dtype), width) for name, (dtype, width) in kinds.items()}
        self.memory = memory
        self.nbytes = 0

    def append(self, **blocks: np.ndarray) -> None:
        """Append a block of rows to each of the columns named."""
        for name, rows in blocks.items():
            self.nbytes += self.columns[name].append(rows)
        if self.nbytes > self.memory:
            for column in self.columns.values():
                column.move_to_file()

    def finish(self) -> dict[str, np.ndarray]:
        """The columns as arrays, [N] or [N, width]; those in files are mapped and cannot be written to."""
        return {name: column.finish() for name, column in self.columns.items()}


class _Column:
    def __init__(self, dtype: np.dtype, width: int):
        self.dtype, self.width = dtype, width
        self.n = 0
        self.blocks: list[np.ndarray] = []
        self.file = None

    def append(self, rows) -> int:
        rows = np.ascontiguousarray(rows, dtype=self.dtype).reshape(self._shape(len(rows)))
        self.n += len(rows)
        if self.file is None:
            self.blocks.append(rows)
        else:
            self.file.write(rows)
        return rows.nbytes

    def move_to_file(self) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile(prefix="rcnn-")
            for rows in self.blocks:
                self.file.write(rows)
            self.blocks = []

    def finish(self) -> np.ndarray:
        if self.file is None or self.n == 0:
            blocks, self.blocks = self.blocks, []
            return np.concatenate([np.empty(self._shape(0), self.dtype), *blocks])
        self.file.flush()
        return np.memmap(self.file, self.dtype, mode="r", shape=self._shape(self.n))

    def _shape(self, n: int) -> tuple[int, ...]:
        return (n, self.width) if self.width else (n,)
