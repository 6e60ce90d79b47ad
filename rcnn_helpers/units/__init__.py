"""Units of a network: where in the crop they look (sec. 3.1, App. D)."""

from rcnn_helpers.units.receptive_field import FieldGeometry, field_geometry, output_side, receptive_field

__all__ = ["FieldGeometry", "field_geometry", "output_side", "receptive_field"]
