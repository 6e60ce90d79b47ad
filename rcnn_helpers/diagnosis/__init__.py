"""Why a detector fails: its mistakes by type, what each type costs, and what kinds of object it misses.

A single number, average precision, says how good a detector is and nothing about what to do next. This package
takes its false positives and missed objects apart, after Hoiem et al. (ECCV 2012), whose tool the R-CNN paper
uses for its Figures 5 and 6 (sec. 3.4), and after TIDE (Bolya et al., ECCV 2020).

It begins with `diagnose`: detections and truth go in; the outcome of each detection, the type of each false
positive and the object that explains it come out, as a `Diagnosis`. All else reads that: `counts`, `trends` over
the ranking, the `impact` of removing or mending each type. Rows are positions in the `Detections` and the
`GroundTruth` it was made from, so that the picture behind every number is at hand.

Then the other side, the objects: `object_attributes` says how large, hidden, cut off or turned each of them is,
`sensitivity` how well the detector finds those that are so, by an average precision that compares between rare and
common kinds (`normalized_aps`), and `missed_objects` which ones it never finds.

`tide` sorts the same detections by another taxonomy, and `agreement` lays the two side by side.

Proposals, features and detection can be spread over a cluster; this need not be. All detections are compared with
all objects at once, in arrays, which for half a million of them takes a fraction of a second, less than handing
them to another machine.
"""

from rcnn_helpers.diagnosis.attributes import object_attributes
from rcnn_helpers.diagnosis.false_positives import (
    FP_TYPES,
    Diagnosis,
    counts,
    detection_trend,
    diagnose,
    impact,
    trends,
)
from rcnn_helpers.diagnosis.normalized import NormalizedAP, normalized_ap, normalized_aps
from rcnn_helpers.diagnosis.sensitivity import (
    CHARACTERISTICS,
    PAPER_CHARACTERISTICS,
    characteristics_left_out,
    missed_objects,
    sensitivity,
    sensitivity_summary,
    subset_ap,
)
from rcnn_helpers.diagnosis.similar import SimilarClasses, similar_classes
from rcnn_helpers.diagnosis.tide import TIDE_TYPES, TideResult, agreement, tide

__all__ = [
    "CHARACTERISTICS",
    "FP_TYPES",
    "PAPER_CHARACTERISTICS",
    "TIDE_TYPES",
    "Diagnosis",
    "NormalizedAP",
    "SimilarClasses",
    "TideResult",
    "agreement",
    "characteristics_left_out",
    "counts",
    "detection_trend",
    "diagnose",
    "impact",
    "missed_objects",
    "normalized_ap",
    "normalized_aps",
    "object_attributes",
    "sensitivity",
    "sensitivity_summary",
    "similar_classes",
    "subset_ap",
    "tide",
    "trends",
]
