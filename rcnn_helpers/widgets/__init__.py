"""Explorers: pictures that answer to sliders, for the notebooks. One module for each stage of the course.

Every explorer is an ipywidgets container of plain controls (all of which work by keyboard), a line of text that
says in words what is to be seen, and one picture. Moving a control redraws the picture into a small JPEG, in well
under a tenth of a second. Redrawing hangs on ``observe``, so an error in it reaches whoever set the value.

What a widget shows must also be there without one, on paper or in an executed notebook::

    explorer = MergeScrubber(image, tree)
    explorer                                   # the widget; where none can run, its picture
    plots.show(explorer.render(120), alt=explorer.describe(120))   # its static twin

`render` and `describe` take values for the controls, in their order or by name; the others stay as they are.

`explorer` holds what they share, `controls` and `pictures` their parts; `box_canvas` is the one part that needs a
script in the browser.
"""

from rcnn_helpers.widgets.detection import DetectionExplorer, SuppressionExplorer
from rcnn_helpers.widgets.diagnosis import DiagnosisExplorer
from rcnn_helpers.widgets.excited_units import ExcitedUnitsExplorer
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.features import FeatureExplorer
from rcnn_helpers.widgets.fine_tuning import FineTuningExplorer
from rcnn_helpers.widgets.precision_recall import PrecisionRecallExplorer
from rcnn_helpers.widgets.proposals import MergeScrubber, ProposalBrowser
from rcnn_helpers.widgets.redundancy import DuplicateExplorer
from rcnn_helpers.widgets.regression import RegressionExplorer
from rcnn_helpers.widgets.replications import ReplicationExplorer
from rcnn_helpers.widgets.segmentation import PastingExplorer
from rcnn_helpers.widgets.svm import HardNegativeBrowser
from rcnn_helpers.widgets.units import UnitExplorer
from rcnn_helpers.widgets.warping import WarpExplorer
from rcnn_helpers.widgets.windows import WindowExplorer

__all__ = [
    "DetectionExplorer",
    "DiagnosisExplorer",
    "DuplicateExplorer",
    "ExcitedUnitsExplorer",
    "Explorer",
    "FeatureExplorer",
    "FineTuningExplorer",
    "HardNegativeBrowser",
    "MergeScrubber",
    "PastingExplorer",
    "PrecisionRecallExplorer",
    "ProposalBrowser",
    "RegressionExplorer",
    "ReplicationExplorer",
    "SuppressionExplorer",
    "UnitExplorer",
    "WarpExplorer",
    "WindowExplorer",
]
