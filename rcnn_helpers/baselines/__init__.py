"""Baselines on the same proposals: how well a detector does without a network, and so how much features matter.

Proposals, linear SVMs with hard negatives, suppression and evaluation are R-CNN's own; only what describes a
region is exchanged: its raw pixels, histograms of oriented gradients, or a bag of visual words.

>>> hog = HOG()
>>> features = hog.describe(image, boxes)     # float32 [N, hog.dim]
>>> words = BagOfWords(words=500).fit(dataset)
>>> features = words.describe(image, boxes)

`compare` trains and judges several of them with several seeds; `format_table` and `summary` show what came out.
"""

from rcnn_helpers.baselines.bag_of_words import BagOfWords
from rcnn_helpers.baselines.comparing import (
    HANDMADE,
    PAPER_COSTS,
    Contestant,
    DescribedData,
    DescribedImages,
    class_columns,
    compare,
    describe_data,
    format_table,
    handmade,
    judge,
    summary,
)
from rcnn_helpers.baselines.descriptors import Descriptor, NetworkLayer, RawPixels
from rcnn_helpers.baselines.hog import HOG

__all__ = [
    "HANDMADE",
    "HOG",
    "PAPER_COSTS",
    "BagOfWords",
    "Contestant",
    "DescribedData",
    "DescribedImages",
    "Descriptor",
    "NetworkLayer",
    "RawPixels",
    "class_columns",
    "compare",
    "describe_data",
    "format_table",
    "handmade",
    "judge",
    "summary",
]
