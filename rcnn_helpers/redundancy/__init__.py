"""Redundancy between two sets of pictures: are test pictures among those a network was trained on (App. F)?

`fingerprints` reads a set of pictures once; `near_duplicates` ranks pairs of two sets, or of one. Below them
lie `gist` (the descriptor) and `search` (exact nearest neighbours of any number of them, in bounded memory).
`planted` measures how well copies that were altered in known ways are found.
"""

from rcnn_helpers.redundancy.gist import BLOCKS, DIMENSION, ORIENTATIONS, SIDE, gist, mirrored
from rcnn_helpers.redundancy.pairs import IDENTITIES, NEAR, identical_pairs, near_duplicates
from rcnn_helpers.redundancy.pictures import (
    Fingerprints,
    PictureSet,
    fingerprints,
    open_pictures,
    pictures_of,
    pixel_hash,
)
from rcnn_helpers.redundancy.search import merge_nearest, nearest, squared_distances

__all__ = [
    "BLOCKS",
    "DIMENSION",
    "IDENTITIES",
    "NEAR",
    "ORIENTATIONS",
    "SIDE",
    "Fingerprints",
    "PictureSet",
    "fingerprints",
    "gist",
    "identical_pairs",
    "merge_nearest",
    "mirrored",
    "near_duplicates",
    "nearest",
    "open_pictures",
    "pictures_of",
    "pixel_hash",
    "squared_distances",
]
