"""Baselines on the same proposals: what a detector sees without a network, so that "features matter" can be seen.

Proposals, linear SVMs with hard negatives, suppression and evaluation are R-CNN's own; only what describes a region
is exchanged: its raw pixels, histograms of oriented gradients, or a bag of visual words.

>>> hog = HOG()
>>> features = hog.describe(image, boxes)     # float32 [N, hog.dim]
>>> words = BagOfWords(words=500).fit(dataset)
>>> features = words.describe(image, boxes)
"""

from rcnn_helpers.baselines.bag_of_words import BagOfWords
from rcnn_helpers.baselines.descriptors import Descriptor, NetworkLayer, RawPixels
from rcnn_helpers.baselines.hog import HOG

__all__ = ["HOG", "BagOfWords", "Descriptor", "NetworkLayer", "RawPixels"]
