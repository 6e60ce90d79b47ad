"""Pairs of pictures that may be the same photograph, the likeliest first (paper, App. F).

Two checks, as in the paper: by id and by what is to be seen. Pictures with the same id at their source
(Flickr's, for VOC 2007) are the same photograph. GIST descriptors that lie close together also find copies
that were saved again, resized or slightly cropped, and for which no id is known.
"""

from collections import defaultdict

import numpy as np

from rcnn_helpers.redundancy.gist import mirrored
from rcnn_helpers.redundancy.pictures import Fingerprints
from rcnn_helpers.redundancy.search import nearest

# Pairs closer than this are worth a look. Chosen on planted copies of real photographs: see
# data/results/redundancy.json, which `rcnn duplicates --planted` makes.
NEAR = 0.3
IDENTITIES = ("source", "file", "pixels")


def near_duplicates(
    a: Fingerprints,
    b: Fingerprints | None = None,
    *,
    k: int = 5,
    threshold: float = np.inf,
    mirror: bool = False,
):
    """Rank pairs of pictures of two sets, or of one, by how alike they are.

    Parameters
    ----------
    a, b : Fingerprints
        Without `b`, pictures of `a` are compared with each other, each pair once.
    k : int
        Neighbours in `b` looked at for each picture of `a`.
    threshold : float
        Pairs further apart are left out. Pairs that are identical by an id or a hash are in the frame at any
        distance.
    mirror : bool
        Look also for copies that were mirrored left to right.

    Returns
    -------
    pandas.DataFrame
        One line a pair, identical ones first, then by ascending distance. Columns: ``a`` and ``b`` (ids),
        ``row_a`` and ``row_b`` (their numbers), ``distance`` (of the descriptors, from 0 to the root of 2),
        ``mirrored`` (whether it is the mirrored picture of `a` that lies at this distance), and for each way
        of being identical a bool: ``same_source``, ``same_file`` and ``same_pixels``.
    """
    import pandas as pd

    within = b is None
    b = a if within else b
    found = _identical_pairs(a, b)
    pairs = {pair: (np.inf, False) for pair in found}
    for flipped in (False, True) if mirror else (False,):
        queries = mirrored(a.descriptors) if flipped else a.descriptors
        if len(a) and len(b):
            distances, rows = nearest(queries, b.descriptors, k + within)
            for row_a, (row_distances, row_bs) in enumerate(zip(distances, rows, strict=True)):
                for distance, row_b in zip(row_distances.tolist(), row_bs.tolist(), strict=True):
                    pair = (row_a, row_b)
                    if distance <= threshold and distance < pairs.get(pair, (np.inf, False))[0]:
                        pairs[pair] = (distance, flipped)
    if within:
        pairs = _each_once(pairs)
    pairs = _with_distances(pairs, a, b, mirror)
    frame = pd.DataFrame(
        [(row_a, row_b, distance, flipped) for (row_a, row_b), (distance, flipped) in pairs.items()],
        columns=["row_a", "row_b", "distance", "mirrored"],
    ).astype({"row_a": int, "row_b": int, "distance": float, "mirrored": bool})
    frame.insert(0, "a", [a.pictures.ids[i] for i in frame.row_a])
    frame.insert(1, "b", [b.pictures.ids[i] for i in frame.row_b])
    for what in IDENTITIES:
        frame[f"same_{what}"] = [
            what in found.get(pair, ()) for pair in zip(frame.row_a, frame.row_b, strict=True)
        ]
    identical = frame[[f"same_{what}" for what in IDENTITIES]].any(axis=1)
    order = np.lexsort([frame.row_b, frame.row_a, frame.distance, ~identical])
    return frame.iloc[order].reset_index(drop=True)


def identical_pairs(a: Fingerprints, b: Fingerprints | None = None) -> dict[tuple[int, int], set[str]]:
    """Pairs of pictures with an id or a hash in common.

    Parameters
    ----------
    a, b : Fingerprints
        Without `b`, pictures of `a` are compared with each other, each pair once.

    Returns
    -------
    dict from (row of a, row of b) to the ways in which they are identical, among `IDENTITIES`
    """
    if b is not None:
        return _identical_pairs(a, b)
    return {pair: ways for pair, ways in _identical_pairs(a, a).items() if pair[0] < pair[1]}


def _identical_pairs(a, b):
    pairs = defaultdict(set)
    for what, keys_a, keys_b in zip(IDENTITIES, _keys(a), _keys(b), strict=True):
        rows_of = defaultdict(list)
        for row, key in enumerate(keys_b):
            rows_of[key].append(row)
        for row_a, key in enumerate(keys_a):
            if key:
                for row_b in rows_of.get(key, ()):
                    pairs[row_a, row_b].add(what)
    return dict(pairs)


def _keys(prints):
    return prints.pictures.source_ids, prints.file_hashes, prints.pixel_hashes


def _each_once(pairs):
    """Pairs within one set: not with itself, and of (i, j) and (j, i) the nearer."""
    once = {}
    for (i, j), value in pairs.items():
        pair = (min(i, j), max(i, j))
        if i != j and value[0] <= once.get(pair, (np.inf, False))[0]:
            once[pair] = value
    return once


def _with_distances(pairs, a, b, mirror):
    """Give identical pairs that are not among each other's nearest their distance."""
    complete = {}
    for (row_a, row_b), (distance, flipped) in pairs.items():
        if np.isinf(distance):
            straight = a.descriptors[row_a : row_a + 1]
            both = np.concatenate([straight, mirrored(straight)]) if mirror else straight
            each = np.linalg.norm(both - b.descriptors[row_b], axis=1)
            distance, flipped = float(each.min()), bool(each.argmin())
        complete[row_a, row_b] = (distance, flipped)
    return complete
