"""A sliding-window detector that shares convolutions, as OverFeat does (sec. 4.6): R-CNN with other regions.

R-CNN warps every region to a square and sends each through the network by itself. If the regions are squares of
one size at regular places of a picture, the convolutions of neighbours are nearly all the same. So the whole
picture goes through them once, and every 6x6 window of pool5 is a region. Other sizes are found on a pyramid
of scaled pictures; other shapes on pictures scaled differently in width and height. What follows pool5 stays:
fc6, fc7, one SVM and one box regression a class, non-maximum suppression.
"""

from rcnn_helpers.sliding_window_detector.comparison import METHODS, compare
from rcnn_helpers.sliding_window_detector.detector import DenseDetector, detect_with
from rcnn_helpers.sliding_window_detector.features import dense_pool5, pool5_of_boxes
from rcnn_helpers.sliding_window_detector.windows import (
    Level,
    WindowGeometry,
    pyramid,
    window_boxes,
    window_geometry,
)

__all__ = [
    "METHODS",
    "DenseDetector",
    "Level",
    "WindowGeometry",
    "compare",
    "dense_pool5",
    "detect_with",
    "pool5_of_boxes",
    "pyramid",
    "window_boxes",
    "window_geometry",
]
