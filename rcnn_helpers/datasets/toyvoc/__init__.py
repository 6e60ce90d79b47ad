"""ToyVOC: pictures of three-dimensional toys with exact ground truth, rendered on the spot.

The way from a toy to a picture: `kit` assembles it from the solids of `primitives` and paints of `materials`;
`toys`, `auxiliary_toys` and `clutter` hold the blueprints; `scene` places toys, camera and light; `shading` turns
the cast into a photograph, `truth` into annotations; `dataset` writes both in PASCAL VOC layout.
"""

from rcnn_helpers.datasets.toyvoc.auxiliary_toys import AUXILIARY_CATEGORIES
from rcnn_helpers.datasets.toyvoc.dataset import (
    KIT_VERSION,
    open_auxiliary,
    open_toyvoc,
    read_details,
    scene_of,
)
from rcnn_helpers.datasets.toyvoc.scene import Scene, render_scene
from rcnn_helpers.datasets.toyvoc.toys import CATEGORIES, FAMILIES
from rcnn_helpers.datasets.toyvoc.truth import ObjectDetails

__all__ = [
    "AUXILIARY_CATEGORIES",
    "CATEGORIES",
    "FAMILIES",
    "KIT_VERSION",
    "ObjectDetails",
    "Scene",
    "open_auxiliary",
    "open_toyvoc",
    "read_details",
    "render_scene",
    "scene_of",
]
