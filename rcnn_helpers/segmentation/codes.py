"""Telling sets apart by one number: each member has a random one, and a set's number is their sum."""

import numpy as np


def random_codes(n: int) -> np.ndarray:
    """Random numbers, uint64 [n], the same every time: sums of different sets of them practically never agree."""
    return np.random.default_rng(0).integers(0, 2**63, n, dtype=np.uint64)
