"""Units of a network: where in the crop they look, and what excites them (sec. 3.1, App. D)."""

from rcnn_helpers.units.building import build_index, merge_indexes
from rcnn_helpers.units.index import TopRegions, UnitIndex
from rcnn_helpers.units.receptive_field import FieldGeometry, field_geometry, output_side, receptive_field

__all__ = [
    "FieldGeometry",
    "TopRegions",
    "UnitIndex",
    "build_index",
    "field_geometry",
    "merge_indexes",
    "output_side",
    "receptive_field",
]
