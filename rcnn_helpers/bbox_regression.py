"""Bounding-box regression: how a proposal would have to move and stretch to fit an object (sec. 3.5 and App. C).

With a box's centre ``(x, y)``, width ``w`` and height ``h``, a proposal ``P`` and an object's true box ``G`` have
the targets

    t_x = (G_x - P_x) / P_w        t_y = (G_y - P_y) / P_h        (eqs. 6 and 7)
    t_w = log(G_w / P_w)           t_h = log(G_h / P_h)           (eqs. 8 and 9)

and applying them moves the proposal onto the object again (eqs. 1 to 4). They are measured in the proposal's own
size, so they stay as they are when a picture is scaled or shifted. So does what the network sees: a crop that
always has the same size.

`BoxRegressors`, in `rcnn_helpers.box_regressors`, predicts the targets from a proposal's features, by one ridge
regression a class (eq. 5), learned from the proposals that lie near an object (`training_pairs`). `regress_within`
moves boxes as predicted and keeps them in their image.

The released code measures a width as ``x2 - x1`` on boxes that *include* their last pixel, and so a pixel short
(plus a tiny constant against division by zero). Here boxes are half-open and widths are exact. For the numbers of
the released code, take 1 from `x2` and `y2` of both boxes.
"""

import numpy as np

from rcnn_helpers.boxes import area, as_boxes, clip, iou
from rcnn_helpers.errors import TrainingError
from rcnn_helpers.settings import BOX_REGRESSION_IOU

__all__ = [
    "apply_regression",
    "regress_within",
    "regression_targets",
    "training_pairs",
]

# Predictions are cut off here: 10 widths away, or e^10 times as large. Pairs of IoU above 0.6 have targets within
# 0.7, so nothing sound is lost, and a wild prediction cannot overflow.
_WILDEST_TARGET = 10.0


def __getattr__(name: str):
    """What predicts targets, loaded when first used: geometry alone needs neither scikit-learn nor SciPy."""
    if name == "BoxRegressors":
        from rcnn_helpers.box_regressors import BoxRegressors

        return BoxRegressors
    if name == "ridge":
        from rcnn_helpers.ridge import ridge

        return ridge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def regression_targets(proposals, truth) -> np.ndarray:
    """Return what would bring each proposal onto its true box, float32 [N, 4].

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    truth : array-like of shape [N, 4]
        The true box that belongs to each proposal.

    Returns
    -------
    float32 array of shape [N, 4]
        ``(t_x, t_y, t_w, t_h)`` of eqs. 6 to 9: shifts in units of the proposal's width and height, and logarithms
        of the factors by which both grow. All 0 where the boxes are equal.

    Raises
    ------
    TrainingError
        If there are not as many boxes of either kind, or one has no width or no height.

    Examples
    --------
    >>> regression_targets([[0, 0, 10, 10]], [[5, 0, 15, 10]]).tolist()  # half a width to the right
    [[0.5, 0.0, 0.0, 0.0]]
    """
    proposals, truth = as_boxes(proposals), as_boxes(truth)
    if len(proposals) != len(truth):
        raise TrainingError(
            f"{len(proposals)} proposals but {len(truth)} true boxes; give each proposal the box it belongs to"
        )
    centres, sizes = _centres_and_sizes(proposals, "proposal")
    true_centres, true_sizes = _centres_and_sizes(truth, "true box")
    shifts = (true_centres - centres) / sizes
    growth = np.log(true_sizes / sizes)
    return np.concatenate([shifts, growth], axis=1).astype(np.float32)


def apply_regression(proposals, targets) -> np.ndarray:
    """Move and stretch each proposal as its targets say, float32 [N, 4]: the inverse of `regression_targets`.

    The boxes are not clipped; `rcnn_helpers.boxes.clip` does that, before suppression in the released code.

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    targets : array-like of shape [N, 4]
        ``(t_x, t_y, t_w, t_h)``, true ones or what a regression predicts (eqs. 1 to 4).

    Raises
    ------
    TrainingError
        If there are not as many targets as proposals, a proposal has no width or no height, or a target is not
        finite or so large that the box would have no finite size.

    Examples
    --------
    >>> apply_regression([[0, 0, 10, 10]], [[0.5, 0, 0, 0]]).tolist()
    [[5.0, 0.0, 15.0, 10.0]]
    """
    proposals = as_boxes(proposals)
    targets = np.asarray(targets, dtype=np.float64)
    targets = targets.reshape(0, 4) if targets.size == 0 else targets
    if targets.shape != proposals.shape:
        raise TrainingError(
            f"targets must have shape [{len(proposals)}, 4], one row for each proposal; got {list(targets.shape)}"
        )
    centres, sizes = _centres_and_sizes(proposals, "proposal")
    with np.errstate(over="ignore", invalid="ignore"):
        moved, stretched = centres + sizes * targets[:, :2], sizes * np.exp(targets[:, 2:])
        boxes = np.concatenate([moved - stretched / 2, moved + stretched / 2], axis=1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(bad):
        raise TrainingError(
            f"targets {targets[bad[0]].tolist()} of proposal {bad[0]} give no finite box; the last two are "
            "logarithms, and a size a thousand times the proposal's has only 6.9"
        )
    return boxes


def regress_within(proposals, targets, height: int, width: int) -> np.ndarray:
    """Apply predicted targets and clip to the image, float32 [N, 4], as the released code does before suppression.

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
        Boxes ``(x1, y1, x2, y2)`` in pixels, half-open.
    targets : array-like of shape [N, 4]
        As `BoxRegressors.predict` gives them. Values beyond 10 either way are cut off there.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    float32 array of shape [N, 4]
        A proposal without a width or height stays where it is, and so does one of which nothing would be left
        inside the image.
    """
    proposals = as_boxes(proposals)
    targets = np.clip(np.asarray(targets, dtype=np.float64), -_WILDEST_TARGET, _WILDEST_TARGET)
    boxes = clip(proposals, height, width)
    movable = np.flatnonzero((proposals[:, 2:] > proposals[:, :2]).all(axis=1))
    moved = clip(apply_regression(proposals[movable], targets[movable]), height, width)
    left = area(moved) > 0
    boxes[movable[left]] = moved[left]
    return boxes


def _centres_and_sizes(boxes, what):
    """Centres (x, y) and sizes (width, height), float64 [N, 2] each; no size is 0."""
    corners = boxes.astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    flat = np.flatnonzero((sizes <= 0).any(axis=1))
    if len(flat):
        raise TrainingError(
            f"{what} {flat[0]} is {boxes[flat[0]].tolist()}: it has no width or no height, by which shifts are "
            "measured; leave such boxes out"
        )
    return corners[:, :2] + sizes / 2, sizes


def training_pairs(
    proposals, objects, *, min_iou: float = BOX_REGRESSION_IOU
) -> tuple[np.ndarray, np.ndarray]:
    """Pair proposals with the objects they lie near (App. C).

    Parameters
    ----------
    proposals : array-like of shape [N, 4]
    objects : array-like of shape [M, 4]
        True boxes of one image, of all classes.
    min_iou : float
        A proposal is used if its largest IoU with an object lies above this.

    Returns
    -------
    proposal_index, object_index : int64 arrays of shape [K]
        Each proposal at most once, with the object of largest overlap (the first of equals). The pair's class is
        the object's.
    """
    proposals, objects = as_boxes(proposals), as_boxes(objects)
    if len(objects) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    overlaps = iou(proposals, objects)
    nearest = overlaps.argmax(axis=1)
    near = np.flatnonzero(overlaps[np.arange(len(proposals)), nearest] > min_iou)
    return near, nearest[near]
