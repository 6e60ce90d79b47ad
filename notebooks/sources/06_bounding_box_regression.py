# %% [markdown]
# # Bounding-box regression
#
# *The class is right and the box is loose: four numbers, predicted from the very features that found the object,
# put it straight.*
#
# **The paper:** section 3.5 and appendix C.
#
# **Time:** about 45 minutes for reading and predicting, and 20 for the two exercises.

# %%
import numpy as np

from rcnn_helpers.course import open_course

# %%
course = open_course("06")

# %% [markdown]
# ## 1. What a repair would have to say
#
# Many mistakes of place are nearly right: the class is, and the box is off by a little. Could the detector
# move its box? It would have to be told *how*, in numbers that do not depend on where in the picture the
# box is, or how large. Appendix C of the paper has four of them. With centre $(x, y)$, width $w$ and height
# $h$ of the proposal $P$ and of the true box $G$:
#
# $$t_x = \frac{G_x - P_x}{P_w}, \quad t_y = \frac{G_y - P_y}{P_h}, \quad
# t_w = \log \frac{G_w}{P_w}, \quad t_h = \log \frac{G_h}{P_h}$$
#
# **By hand.** The proposal (10, 10, 50, 30) has its centre in (30, 20) and is 40 wide and 20 high. The
# truth (0, 10, 80, 20) has its centre in (40, 15) and is 80 wide and 10 high. So it lies 10 pixels further
# right, a quarter of the proposal's width, and 5 pixels higher, a quarter of its height: $t_x = 0.25$,
# $t_y = -0.25$. It is twice as wide and half as high: $t_w = \log 2 = 0.69$, $t_h = -0.69$.
#
# ### Exercise: what a repair would have to say
#
# ●○○ · 10 minutes. Return the four targets of one `proposal` and its `truth`, both (x1, y1, x2, y2), as a
# list or an array in the order $t_x, t_y, t_w, t_h$. The logarithm is the natural one. For the two boxes above
# it is about (0.25, −0.25, 0.69, −0.69). No box is empty.


# %% exercise="regression_targets"
def regression_targets(proposal, truth):
    """(t_x, t_y, t_w, t_h): how the proposal would have to move and stretch to become the truth.

    proposal, truth: corners (x1, y1, x2, y2) in pixels.
    """
    # solution
    px1, py1, px2, py2 = proposal
    gx1, gy1, gx2, gy2 = truth
    p_width, p_height = px2 - px1, py2 - py1
    g_width, g_height = gx2 - gx1, gy2 - gy1
    t_x = ((gx1 + gx2) / 2 - (px1 + px2) / 2) / p_width
    t_y = ((gy1 + gy2) / 2 - (py1 + py2) / 2) / p_height
    return [t_x, t_y, np.log(g_width / p_width), np.log(g_height / p_height)]


# %% [markdown]
# ### Exercise: carrying the repair out
#
# ●●○ · 10 minutes. The way back: from a `proposal` (x1, y1, x2, y2) and its `targets` to the corners of the
# box that they ask for. Targets of 0 change nothing. For the proposal (10, 10, 50, 30) and the targets
# above, the result is (0, 10, 80, 20).


# %% exercise="apply_regression"
def apply_regression(proposal, targets):
    """The box (x1, y1, x2, y2) that the proposal becomes: the inverse of regression_targets.

    proposal: corners (x1, y1, x2, y2) in pixels; targets: (t_x, t_y, t_w, t_h).
    """
    # solution
    x1, y1, x2, y2 = proposal
    t_x, t_y, t_w, t_h = targets
    x = (x1 + x2) / 2 + t_x * (x2 - x1)
    y = (y1 + y2) / 2 + t_y * (y2 - y1)
    width, height = (x2 - x1) * np.exp(t_w), (y2 - y1) * np.exp(t_h)
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


# %% [markdown]
# ### Exercise: which proposals teach
#
# ●●○ · 15 minutes. It takes `proposals` and `objects`, lists of corners of one picture, and `min_iou`. Return a
# list of pairs `(i, j)`: proposal `i` teaches, and object `j` is the one that it overlaps most. It teaches if
# that IoU is *greater* than `min_iou`. The pairs stand in the proposals' order; each proposal appears at most
# once. For the objects (0, 0, 10, 10) and (2, 0, 12, 10), the proposals (1, 0, 11, 10), (3, 0, 13, 10) and (40,
# 40, 50, 50), and 0.6, the answer is `[(0, 0), (1, 1)]`: the first overlaps both by $9/11$, and the first of equals
# counts. There may be no objects, or no proposals.


# %% exercise="training_pairs"
def training_pairs(proposals, objects, min_iou):
    """Pairs (proposal's number, object's number) to learn from.

    proposals, objects: lists of (x1, y1, x2, y2); min_iou: a pair's IoU is greater.
    """
    # iou(proposals, objects) gives all IoUs at once: one row a proposal, one column an object.
    from rcnn_helpers.boxes import iou

    # solution
    if len(objects) == 0:
        return []
    pairs = []
    for i, overlaps in enumerate(iou(proposals, objects)):
        nearest = int(overlaps.argmax())
        if overlaps[nearest] > min_iou:
            pairs.append((i, nearest))
    return pairs


# %% [markdown]
# ### Exercise: ridge regression in closed form
#
# ●●● · 20 minutes.


# %% exercise="ridge"
def ridge(features, targets, penalty):
    """Weights [D, K] and constants [K] of a ridge regression whose constants are free.

    features: array [N, D]; targets: array [N, K]; penalty: the number lambda.
    """
    # solution
    feature_mean, target_mean = features.mean(axis=0), targets.mean(axis=0)
    X, T = features - feature_mean, targets - target_mean
    weights = np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ T)
    return weights, target_mean - feature_mean @ weights
