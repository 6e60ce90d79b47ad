"""Ridge regression of one class's boxes beside scikit-learn's, on features of pool5's size.

Run: python tests/benchmarks/bench_bbox_regression.py
"""

import numpy as np
from _report import alternate, report
from sklearn.linear_model import Ridge

from rcnn_helpers.bbox_regression import ridge
from rcnn_helpers.settings import BOX_REGRESSION_PENALTY, FEATURE_NORM


def sparse_features(rng, n_rows, n_features):
    """Features like pool5's: none negative, most of them zero, of mean norm 20."""
    features = np.maximum(rng.normal(-1, 1, (n_rows, n_features)), 0).astype(np.float32)
    return features * np.float32(FEATURE_NORM / np.linalg.norm(features, axis=1).mean())


def main():
    rng = np.random.default_rng(0)
    rows = []
    for network, n_features, n_rows in (
        ("quarter T-Net", 2304, 800),
        ("quarter T-Net", 2304, 5000),
        ("T-Net", 9216, 2000),
    ):
        features = sparse_features(rng, n_rows, n_features)
        targets = features @ rng.normal(0, 0.02, (n_features, 4)).astype(np.float32)

        def ours(features=features, targets=targets):
            return ridge(features, targets, BOX_REGRESSION_PENALTY)

        def peer(features=features, targets=targets):
            return Ridge(alpha=BOX_REGRESSION_PENALTY, solver="cholesky").fit(features, targets)

        own, other = alternate(ours, peer, repeats=3)
        apart = np.abs(ours()[0] - peer().coef_).max() / np.abs(peer().coef_).max()
        rows.append(
            {
                "pool5 of": network,
                "pairs x features": f"{n_rows} x {n_features}",
                "ours s": own,
                "scikit-learn s": other,
                "ratio": other / own,
                "largest difference": f"{apart:.0e} of the largest weight",
            }
        )
    report("Ridge regression, 4 targets, penalty 1000, scikit-learn's Cholesky solver", rows)


if __name__ == "__main__":
    main()
