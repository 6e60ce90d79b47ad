"""Baselines on the same proposals: how well a detector does without a network, and so how much features matter.

Proposals, linear SVMs with hard negatives, suppression and evaluation are R-CNN's own; only what describes a
region is exchanged: its raw pixels, histograms of oriented gradients, or a bag of visual words.

>>> hog = HOG()
>>> features = hog.describe(image, boxes)     # float32 [N, hog.dim]
>>> words = BagOfWords(words=500).fit(dataset)
>>> features = words.describe(image, boxes)

`compare` trains and judges several of them with several seeds; `format_table` and `summary` show what came out.
"""

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bag_of_words": ["BagOfWords"],
        "comparing": ["compare"],
        "contestants": ["HANDMADE", "Contestant", "handmade"],
        "described_images": ["DescribedData", "DescribedImages", "describe_data"],
        "descriptors": ["Descriptor", "NetworkLayer", "RawPixels"],
        "hog": ["HOG"],
        "judging": ["judge"],
        "tables": ["PAPER_COSTS", "class_columns", "format_table", "summary"],
    },
)
