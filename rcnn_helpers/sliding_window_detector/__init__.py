"""A sliding-window detector that shares convolutions, as OverFeat does (sec. 4.6): R-CNN with other regions.

R-CNN warps every region to a square and sends each through the network by itself. If the regions are squares of
one size at regular places of a picture, the convolutions of neighbours are nearly all the same. So the whole
picture goes through them once, and every 6x6 window of pool5 is a region. Other sizes are found on a pyramid
of scaled pictures; other shapes on pictures scaled differently in width and height. What follows pool5 stays:
fc6, fc7, one SVM and one box regression a class, non-maximum suppression.
"""

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "comparison": ["METHODS", "compare"],
        "detector": ["DenseDetector", "detect_with"],
        "features": ["dense_pool5", "pool5_of_boxes"],
        "windows": ["Level", "WindowGeometry", "pyramid", "window_boxes", "window_geometry"],
    },
)
