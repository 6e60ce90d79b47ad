"""One linear SVM per class on CNN features, with hard negatives mined in one pass (sec. 2.3 and App. B).

Read it in this order:

1. `solver`: the optimisation problem and dual coordinate descent on it, for many classes at once;
2. `estimator`: `LinearSVMs`, the solver with scikit-learn's manners;
3. `mining`: which regions are positives and negatives, and the cache of hard negatives that makes tens of
   millions of regions fit into memory.
"""

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "estimator": ["LinearSVMs"],
        "mining": ["TrainingImage", "is_hard", "region_roles", "train_detector_svms"],
        "solver": ["primal_objective"],
    },
)
