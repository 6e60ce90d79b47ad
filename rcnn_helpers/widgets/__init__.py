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

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "detection": ["DetectionExplorer", "SuppressionExplorer"],
        "diagnosis": ["DiagnosisExplorer"],
        "excited_units": ["ExcitedUnitsExplorer"],
        "explorer": ["Explorer"],
        "features": ["FeatureExplorer"],
        "fine_tuning": ["FineTuningExplorer"],
        "precision_recall": ["PrecisionRecallExplorer"],
        "proposals": ["MergeScrubber", "ProposalBrowser"],
        "redundancy": ["DuplicateExplorer"],
        "regression": ["RegressionExplorer"],
        "replications": ["ReplicationExplorer"],
        "segmentation": ["PastingExplorer"],
        "svm": ["HardNegativeBrowser"],
        "units": ["UnitExplorer"],
        "warping": ["WarpExplorer"],
        "windows": ["WindowExplorer"],
    },
)
