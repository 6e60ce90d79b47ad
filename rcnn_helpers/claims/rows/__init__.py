"""The rows: all claims of the paper in its order, then its tables and figures."""

from rcnn_helpers.claims.rows.appendices import APPENDICES
from rcnn_helpers.claims.rows.detection import ABLATIONS, INTRODUCTION, METHOD
from rcnn_helpers.claims.rows.exhibits import FIGURES, TABLES
from rcnn_helpers.claims.rows.many_classes import ILSVRC
from rcnn_helpers.claims.rows.segmentation import CONCLUSION, SEGMENTATION

CLAIMS = (
    *INTRODUCTION,
    *METHOD,
    *ABLATIONS,
    *ILSVRC,
    *SEGMENTATION,
    *CONCLUSION,
    *APPENDICES,
    *TABLES,
    *FIGURES,
)
# Groups of the table, in its order.
SECTIONS = tuple(dict.fromkeys(claim.section for claim in CLAIMS))
