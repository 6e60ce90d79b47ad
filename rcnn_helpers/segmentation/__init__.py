"""Segmentation: every pixel gets a class, by classifying regions of any shape and pasting the best (sec. 5).

>>> segmenter = Segmenter("quarter_tnet", features="full+fg", layer="fc6").fit(train)
>>> label_map = segmenter.segment(image)      # uint8 [H, W]: 0 is background, i + 1 the class classes_[i]
>>> print(segmenter.evaluate(val).mean)

Masks from elsewhere go in by `regions_from_masks`; each stage can be used alone, see `segmenter`.
"""

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "accuracy": ["SegmentationAccuracy", "segmentation_accuracy"],
        "features": ["FEATURES", "RegionFolder", "extract_segmentation", "region_features"],
        "o2p": ["SecondOrderPooling"],
        "painting": ["outline_mask", "paint_labels"],
        "pasting": ["Pasting", "PastingChoice", "paste"],
        "regions": [
            "SegmentRegions",
            "add_masks",
            "best_overlaps",
            "class_overlaps",
            "mask_overlaps",
            "regions_from_masks",
            "segment_regions",
        ],
        "segmenter": ["Segmenter"],
        "svr": ["SupportVectorRegressors"],
    },
)
