# %% [markdown]
# # SVM training
#
# *A detector sees thousands of regions for each object, and most of the skill in training it lies in choosing
# which of them to learn from: those it gets wrong.*
#
# **The paper:** section 2.3 (object category classifiers), appendix B (positive and negative examples).
#
# **You will**
#
# - label regions, on paper and in code, as positives, negatives, and those that are neither;
# - write the objective that the SVMs minimise as a function, and check the solver against scikit-learn's;
# - choose hard negatives and watch, round by round, what they are;
# - measure what mining, the threshold of 0.3 and honest labels are worth;
# - see from which part of a crop an SVM draws its evidence.
#
# **You need** features ([notebook 03](03_feature_extraction.ipynb)), IoU ([notebook
# 01](01_region_proposals.ipynb)), and an idea of fine-tuning ([notebook 04](04_fine_tuning.ipynb)). What a linear
# classifier is should not be new. **Time:** about 45 minutes for reading and predicting, and 40 for the three
# exercises. The first cell says what the cells take on a machine like yours; on a GPU nothing was measured yet.
#
# The module behind it is `rcnn_helpers.svm`. The pictures are ToyVOC: rendered, synthetic toys. The features are
# those of the fine-tuned network. The SVMs here are trained on the split *train* and judged on *test*. To compare
# and choose settings, *val* would be the proper place; but the network was fine-tuned on train and val, and section
# 5 shows what that does to a judge. So nothing is chosen here: whatever we find, the detector keeps the values of
# the paper and of the released code.

# %%
import time
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from sklearn.svm import LinearSVC

from rcnn_helpers import plots, settings, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.evaluation import Detections, evaluate
from rcnn_helpers.nms import nms_per_class
from rcnn_helpers.svm import LinearSVMs, train_detector_svms
from rcnn_helpers.training_regions import TrainingRegions, region_labels
from rcnn_helpers.warping import warp_reference

# %%
course = open_course("05")

# %%
learn, judge, classes = course.dataset("train"), course.test, course.trainval.classes
course.features("test")
store = course.features("trainval")  # pool5 of all proposals and all true boxes; deeper layers follow from it
layer = course.profile.layer  # the one that the SVMs read
scale = store.feature_scale(learn.ids, layer=layer, seed=0)  # brings the mean norm to 20
images = list(TrainingRegions(learn, store, scale, layer=layer))
counts = pd.Series([name for i in learn.ids for name in learn.annotation(i).names]).value_counts()
target = counts.index[0]  # the class with most objects is our example
k = classes.index(target)
n_regions = sum(len(image.features) for image in images)
print(f"{len(images)} pictures to learn from, {n_regions:,} regions, {layer}; example class: {target}")

# %% [markdown]
# ## 1. Who teaches what?
#
# Each class gets a classifier of its own, which answers one question: *is this region a car?* To train it,
# every region must be called an example or a counterexample. A tight box around a car is an example. A box
# without any car is a counterexample. But what of a box with half a car?
#
# The paper decides (sec. 2.3, App. B):
#
# - **positive**: the true boxes of the class, and nothing else;
# - **negative**: an IoU **below 0.3** with every true box of the class;
# - what lies between is **ignored**. It is a poor example and a poor counterexample.
#
# **By hand.** There is a car in (10, 10, 50, 50) and a dog in (38, 10, 78, 50). Three more regions: A (10,
# 10, 50, 34), B (38, 12, 78, 52), C (10, 40, 60, 70).
#
# - A lies inside the car: it shares $40 \cdot 24 = 960$ of 1600 pixels, an IoU of 0.6. For the car's SVM it
#   is **ignored**.
# - B shares $12 \cdot 38 = 456$ with the car, of $1600 + 1600 - 456 = 2744$: IoU 0.17, a **negative** for
#   the car, although a part of the car is in it.
#
# **Predict.** What are A, B, C and the two true boxes for the **dog's** SVM? Do all five on paper; the field asks
# for B.

# %%
predict("05 region B", "B, for the dog's SVM", choices=["positive", "negative", "ignored"])

# %% [markdown]
# ### Exercise: who teaches what
#
# ●○○ · 10 minutes. The same rule for any number of regions, as one class sees them. `overlaps` holds each
# region's IoU with the object of class `k` that it overlaps most, 0 if there is none. `gt_class` holds, for
# a region that is itself a true box, the number of *its* class, and −1 for all others. Both are arrays. Return
# an array with a label for each region: 1 for a positive, −1 for a negative, 0 for ignored. For the car
# ($k = 0$), the five regions have overlaps 1, 0.18, 0.6, 0.17, 0.15 and classes 0, 1, −1, −1, −1. Their labels
# are 1, −1, 0, −1, −1.


# %% exercise="svm_labels"
def svm_labels(overlaps, gt_class, k):
    """Label of each region for the SVM of class k: 1, -1, or 0 for ignored.

    overlaps: array of IoUs, each with the object of class k that the region overlaps most; gt_class: array of
    class numbers, -1 for a region that is no true box.
    """
    # solution
    labels = np.zeros(len(overlaps), dtype=int)
    labels[overlaps < 0.3] = -1
    labels[gt_class == k] = 1
    return labels


# %% [markdown]
# Your function (or the reference) at work on the five regions:

# %%
truth = SimpleNamespace(
    boxes=np.array([[10, 10, 50, 50], [38, 10, 78, 50]], np.float32), names=("car", "dog")
)
boxes = np.concatenate([truth.boxes, [[10, 10, 50, 34], [38, 12, 78, 52], [10, 40, 60, 70]]])
overlaps, gt_class = region_labels(boxes, np.arange(5) < 2, truth, ("car", "dog"))
ROLES = {1: "positive", -1: "negative", 0: "ignored"}
five = pd.DataFrame(index=["the car", "the dog", "A", "B", "C"])
for c, name in enumerate(truth.names):
    five[f"IoU with {name}"] = overlaps[:, c].round(2)
    five[f"for the {name}'s SVM"] = [ROLES[int(label)] for label in svm_labels(overlaps[:, c], gt_class, c)]
five

# %%
meet("05 region B", five.loc["B", "for the dog's SVM"])

# %% [markdown]
# Was yours the same? B is a near perfect dog, IoU 0.90, and the dog's SVM may not learn from it. And the
# car is a counterexample of a dog: the **other classes' objects** are negatives, and good ones.
#
# Now on a real picture, and then over all.

# %%
example = max(images, key=lambda image: (image.gt_class == k).sum())
overlap = example.overlaps[:, k]
of_example = np.asarray(svm_labels(overlap, example.gt_class, k))
touching = np.flatnonzero((of_example == -1) & (overlap > 0.05))
panels = {
    "positive: the true boxes": (np.flatnonzero(of_example == 1), "tp"),
    "ignored: 0.3 or more": (np.flatnonzero(of_example == 0)[:6], "ignored"),
    "negative: less than 0.3": (touching[:6], "fp"),
}
pictures = [
    plots.draw_boxes(
        learn.image(example.image_id), example.boxes[rows], [f"{v:.2f}" for v in overlap[rows]], style
    )
    for rows, style in panels.values()
]
plots.show(
    plots.image_grid(pictures, [f"{target}, {title}" for title in panels], columns=3, width=13),
    alt="One picture three times: true boxes of a class, ignored regions, and negatives that touch an object.",
)


# %%
def labels_of(k):
    """Labels of all regions of all pictures for class k."""
    return np.concatenate([np.asarray(svm_labels(im.overlaps[:, k], im.gt_class, k)) for im in images])


census = pd.DataFrame(
    [[(labels_of(c) == label).sum() for label in (1, 0, -1)] for c in range(len(classes))],
    index=classes,
    columns=["positive", "ignored", "negative"],
)
census["negatives for each positive"] = (census.negative / census.positive.clip(lower=1)).round()
census

# %% [markdown]
# *Reading:* the number on a box is its IoU with the object of the class that it overlaps most. In the table, each row
# is one SVM's view of the same regions. Each positive stands against a great many negatives. Most of them
# are trivial: floor, backdrop, scraps. On VOC it is more extreme still, with around 2000 proposals on each
# of 5011 pictures.
#
# ## 2. What is minimised
#
# The score of a region with features $x$ is $s = w \cdot x + b$. With $y = +1$ for a positive and $y = -1$
# for a negative, an SVM wants $y s \ge 1$: the right sign, and a margin. What falls short costs its
# shortfall, the **hinge loss** $\max(0, 1 - y s)$. The whole objective is
#
# $$P(w, b) = \tfrac12 \lVert w \rVert^2 + \tfrac12 (b / B)^2 + C \Big( 2 \sum_{\text{positives}} \max(0, 1 - s) + \sum_{\text{negatives}} \max(0, 1 + s) \Big)$$
#
# with $C = 0.001$, positives counted twice, and $B = 10$. These three numbers are from the released code;
# the paper does not give them.
#
# Why $b / B$? The solver (LIBLINEAR) knows no bias. It is given one more feature, a column that is always
# $B$, and its weight times $B$ is the bias. So the bias is regularised like any other weight, but with
# $B = 10$ a bias of 1 costs only as much as a weight of 0.1.
#
# **By hand.** Three regions: a positive with score 1.5, a positive with score 0.2, a negative with score
# −0.4. Their hinge losses are 0, 0.8 and 0.6. So the second part is $C (2 \cdot 0.8 + 0.6) = 0.0022$. The
# positive at 1.5 could go to 1 and nothing would change: it has no say.
#
# **Predict.** And a negative with score −1.3?

# %%
predict("05 a safe negative", "Hinge loss of a negative with score -1.3")

# %% [markdown]
# ### Exercise: what training makes small
#
# ●●○ · 15 minutes. Write $P(w, b)$ as a function. `X` is an array with one region's features a row, `y` holds
# +1 and −1, and `w` is as long as a row of `X`. Return one number. For the three regions above take one
# feature, which is the score itself: with $w = (1)$ and $b = 0$ the first part is 0.5 and $P$ is 0.5022.


# %% exercise="hinge_objective"
def hinge_objective(w, b, X, y, C, positive_weight, B):
    """The number P(w, b) that training makes as small as it can.

    w: array [D]; b: number; X: array [N, D]; y: array [N] of +1 and -1; C, positive_weight, B: numbers.
    """
    # solution
    scores = X @ w + b
    losses = np.maximum(0, 1 - y * scores)
    weights = np.where(y > 0, positive_weight, 1)
    size = 0.5 * (w @ w) + 0.5 * (b / B) ** 2
    return size + C * (weights * losses).sum()


# %% [markdown]
# Your function (or the reference) on the three regions, with the constants of the released code:

# %%
constants = settings.SVM_C, settings.SVM_POSITIVE_WEIGHT, settings.SVM_BIAS_SCALE
by_hand = hinge_objective(np.ones(1), 0, np.array([[1.5], [0.2], [-0.4]]), np.array([1, 1, -1]), *constants)
print(f"objective of the three regions: {by_hand:.4f}, of which 0.5 is the weight's own")
of_one = hinge_objective(np.ones(1), 0, np.array([[-1.3]]), np.array([-1]), 1, 2, 10) - 0.5
meet("05 a safe negative", round(float(of_one), 6))

# %% [markdown]
# The examples that decide are those inside the margin or on the wrong side, the **support vectors**. Points
# beyond the margin can be taken away and the solution stays the same. Keep this in mind, because mining
# lives from it. On a plane you can see it:

# %%
rng = np.random.default_rng(4)
points = np.concatenate([rng.normal([3.2, 2.6], 0.7, (8, 2)), rng.normal([1.2, 1.0], 0.8, (30, 2))])
signs = np.repeat([1, -1], [8, 30])
options = {"C": 1, "tol": 1e-6, "max_iter": 2000}
planes = {B: LinearSVMs(bias_scale=B, **options).fit(points, signs) for B in (10, 0.3)}


def draw_plane(ax, svm):
    """The points, the support vectors, and the lines where the score is -1, 0 and 1."""
    reach = np.linspace(-1, 5, 200)
    for sign, marker, colour in ((1, "P", "blue"), (-1, "o", "orange")):
        shown = points[signs == sign]
        ax.scatter(*shown.T, marker=marker, s=70, color=plots.COLOURS[colour], label=f"y = {sign:+d}")
    support = points[svm.alphas_[:, 0] > 1e-6]
    ax.scatter(*support.T, s=190, facecolors="none", edgecolors="black", label="support vectors")
    grid = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
    height = svm.decision_function(grid).reshape(len(reach), -1)
    styles = ["dashed", "solid", "dashed"]
    lines = ax.contour(reach, reach, height, [-1, 0, 1], colors="black", linestyles=styles)
    ax.clabel(lines, fontsize=12)
    return len(support)


# %%
fig, axes = plt.subplots(1, 2, figsize=(13, 5.2))
for ax, (B, svm) in zip(axes, planes.items()):
    n_support = draw_plane(ax, svm)
    ax.set(title=f"B = {B}: {n_support} support vectors, bias {svm.intercept_[0]:.2f}", ylim=(-1, 4.5))
axes[1].legend(loc="upper left")
plots.show(
    fig, alt="A linear SVM on a plane with its margins and support vectors, for a cheap and a dear bias."
)

# %% [markdown]
# *Reading:* the lines are scores of −1, 0 and 1; only circled points have a say. Left, the bias is cheap
# and the boundary stands between the clouds. Right, with $B = 0.3$, a bias is dear, so the line is drawn
# towards the origin, which is wrong here. That is why $B$ should be large.
#
# ## 3. Mining by hand
#
# Why not train on all negatives? The paper could not: millions of regions with 4096 numbers each do not fit
# into memory. And there is no need, since nearly all of them lie beyond the margin and have no say. The
# trick (sec. 2.3, "standard hard negative mining method") is to go and look for those that have:
#
# 1. train on the positives and some negatives;
# 2. score **all** negatives; the ones that violate the margin are *hard*;
# 3. add the hard ones to the training set, and start again.
#
# ### Exercise: which negatives join
#
# ●●○ · 15 minutes. Step 2 and half of step 3. Regions have been scored by the present SVM; `scores`, `labels`
# (1, −1 or 0, as above) and `cached` are arrays with one entry for each. `cached` is true where a region
# has been picked before. Return the places of the regions that join: the negatives, not cached yet, that
# score **above −1.0001**, the highest score first. This limit is the released code's. It lies a hair below
# the margin, so that a negative right on it joins, too. With scores −1.6, −0.4, 0.3, 0.9, of which the last
# is a positive and the others negatives, and nothing cached, the answer is `[2, 1]`. No two scores are equal.
# If nothing joins, the answer is empty.


# %% exercise="hard_negatives"
def hard_negatives(scores, labels, cached):
    """Places of the regions that join the cache, the hardest first.

    scores: array of SVM scores; labels: array of 1, -1 and 0; cached: array of bools.
    """
    # solution
    joining = np.flatnonzero((labels == -1) & (scores > -1.0001) & ~cached)
    hardest_first = np.argsort(-scores[joining])
    return joining[hardest_first]


# %% [markdown]
# With it, mining fits into one function: your labels, your choice (or the reference's), and a solver. First
# two helpers that keep the books.


# %%
places = np.concatenate(  # (picture, region) of every region, in one long list
    [
        np.stack([np.full(len(im.features), i), np.arange(len(im.features))], axis=1)
        for i, im in enumerate(images)
    ]
)


def described(rows, scores, k, number):
    """A frame of regions with their scores, for montages and the explorer below."""
    columns = ["class", "round", "image_id", "region", "score", "x1", "y1", "x2", "y2"]
    found = [(classes[k], number, images[i].image_id, r, *images[i].boxes[r]) for i, r in rows]
    return pd.DataFrame([(*f[:4], s, *f[4:]) for f, s in zip(found, scores)], columns=columns)


# %%
def mine(k, rounds=5, start=300, most=1000):
    """Train class k's SVM in rounds; return what happened, the hardest negatives, and the last examples."""
    labels = labels_of(k)
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == -1)
    cached = np.zeros(len(labels), bool)
    cached[np.random.default_rng(0).permutation(negatives)[:start]] = True  # random ones at first
    history, hardest = [], []
    for number in range(1, rounds + 1):
        rows = np.concatenate([positives, np.flatnonzero(cached)])
        X, y = np.stack([images[i].features[r] for i, r in places[rows]]), labels[rows]
        svm = LinearSVMs().fit(X, y)
        scores = np.concatenate([svm.decision_function(image.features)[:, 0] for image in images])
        joining = np.asarray(hard_negatives(scores, labels, cached), dtype=int)
        taken_for_it = (scores[negatives] > 0).sum()
        history.append((number, cached.sum(), len(joining), taken_for_it, svm.objective_[0]))
        worst = negatives[np.argsort(-scores[negatives])[:12]]
        hardest.append(described(places[worst], scores[worst], k, number))
        cached[joining[:most]] = True  # the hardest come first
    names = ["round", "negatives trained on", "unseen hard ones", "score above 0", "objective"]
    return pd.DataFrame(history, columns=names).set_index("round"), pd.concat(hardest), (X, y)


# %% [markdown]
# **Predict.** It starts from 300 random negatives. Of all negatives, how many will the first SVM take for
# the class (score above 0)? And which of its five rounds is the first to find fewer than ten new violations?

# %%
predict("05 false alarms", "Negatives that the first SVM scores above 0")

# %%
few_left = ["1", "2", "3", "4", "5", "later"]
predict("05 rounds", "The first round with fewer than ten unseen hard ones", choices=few_left)

# %%
history, hardest, (X, y) = mine(k)
history.round(4)

# %%
meet("05 false alarms", int(history["score above 0"].iloc[0]))
settled = [str(number) for number in history.index if history["unseen hard ones"][number] < 10]
meet("05 rounds", settled[0] if settled else "later")

# %% [markdown]
# *Reading:* follow "unseen hard ones" down the table. Once no region violates the margin unseen, the SVM is *the
# same* as if it had been trained on all negatives at once. In the paper mining converges quickly, and in
# practice mAP stops rising after a single pass over all images (sec. 2.3).
#
# The objective **never falls** from round to round. That is as it should be: it is a sum over ever more examples.
# An SVM trained on easy negatives thinks too well of itself.
#
# And what are they? Each row is a round: the twelve negatives with the highest scores.


# %%
def montage_of(frame, **options):
    crops = []
    for row in frame.itertuples():
        crop = warp_reference(
            learn.image(row.image_id), [row.x1, row.y1, row.x2, row.y2], mean=course.network.mean
        )
        crops.append(np.clip(crop, 0, 255).astype(np.uint8))
    return plots.montage(crops, [f"{score:.2f}" for score in frame.score], **options)


first_and_last = hardest[hardest["round"].isin([1, 2, history.index[-1]])]
plots.show(
    montage_of(first_and_last, columns=12, cell=(96, 96), gap=5),
    quality=80,
    alt=f"The twelve negatives that the SVM of {target} scores highest, in rounds 1, 2 and the last.",
)

# %% [markdown]
# *Reading:* the numbers are scores; above 0 the SVM takes the region for the class. Rows: round 1, round 2,
# and the last one. What are the mistakes of the first? And what is left at the end, when all of these have
# been trained on? Where the scores of the last row crowd around −1, nothing is left that the SVM takes for the
# class. Look for three kinds: **other classes** that look alike, **parts** of an object of the class or
# boxes with much around it (IoU below 0.3), and **clutter**.
#
# ### Look at each of them in its picture
#
# The same for three classes. Choose a class, a round and a rank; the picture shows where the region is and
# what the true objects are.

# %%
three = [name for name in counts.index[:3]]
frames = [hardest] + [mine(classes.index(name))[1] for name in three[1:]]
browser = widgets.HardNegativeBrowser(learn, pd.concat(frames, ignore_index=True))
browser

# %% [markdown]
# *Static twin of the widget:* the hardest negative of the second class after the first round.

# %%
state = {"name": three[min(1, len(three) - 1)], "rank": 1, "round": 1}
plots.show(browser.render(**state), quality=70, alt=browser.describe(**state))

# %% [markdown]
# ## 4. All classes, in one pass
#
# The released code has no rounds. It goes through the pictures **once**. After each picture a class takes
# up what is hard for its present SVM (score above −1.0001); when it has taken up 2000, it is trained again;
# what has become easy (score below −1.2) is thrown out. `train_detector_svms` follows these rules, for all
# classes together, so that the features are read only once. Each training is a line in `history_`.

# %%
started = time.perf_counter()
svms = train_detector_svms(images, classes)
seconds = time.perf_counter() - started
display(Markdown(f"{len(classes)} SVMs in **{seconds:.1f} s**, {len(svms.history_)} trainings."))
svms.history_[svms.history_["class"].isin(three)].drop(columns=["pass", "gap", "rows_in_memory"]).round(4)

# %%
trainings = svms.history_[svms.history_["class"].isin(counts.index[:5])]
plots.show(
    plots.svm_history(trainings, columns=["negatives", "added", "evicted", "objective"], x="image"),
    alt="Negatives in the caches, added, evicted, and the objective of five classes, picture by picture.",
)

# %% [markdown]
# *Reading:* each point is one training of one class. The first happens after the first picture, whose
# negatives are all there is. The cache grows by what is hard and shrinks by what has become easy.
#
# The distribution of scores shows what has been reached:

# %%
scores = np.concatenate([svms.decision_function(image.features)[:, k] for image in images])
labels = labels_of(k)
fig, ax = plt.subplots(figsize=(9, 4.4))
bins = np.linspace(scores.min(), scores.max(), 70)
for label, colour, hatch in ((-1, "orange", ""), (0, "grey", ".."), (1, "blue", "//")):
    ax.hist(
        scores[labels == label],
        bins,
        log=True,
        alpha=0.75,
        color=plots.COLOURS[colour],
        hatch=hatch,
        label=f"{ROLES[label]} ({(labels == label).sum():,})",
    )
for margin in (-1, 1):
    ax.axvline(margin, color="black", linestyle="--", linewidth=1.5)
ax.set(xlabel=f"score of the {target} SVM", ylabel="regions (log scale)")
ax.legend()
plots.show(
    fig,
    alt=f"Scores of negatives, ignored regions and positives; the median negative is at "
    f"{np.median(scores[labels == -1]):.2f}, the median positive at {np.median(scores[labels == 1]):.2f}.",
)

# %% [markdown]
# *Reading:* dashed, the margins at −1 and 1. Training pushes negatives below −1 and positives above 1. Look at
# how far the ignored regions reach from the one to the other: to call them either would have torn at the boundary.

# %%
of_positives = scores[labels == 1]
last = svms.history_[svms.history_["class"] == target].iloc[-1]
display(
    Markdown(
        f"Of {len(of_positives)} positives, {(of_positives > 0).sum()} score above 0; the median is "
        f"{np.median(of_positives):.2f}. Their losses make up {100 * last.positive_loss / last.objective:.0f}% of "
        "the objective."
    )
)

# %% [markdown]
# Two things pull at these scores. The network was fine-tuned on these very pictures, so it tells their objects from
# their background better than it will on others. And the losses are *summed*: $C = 0.001$ was set on VOC 2007, where
# a class has hundreds of positives; with some dozens the same $C$ lets the term $\frac12 \lVert w \rVert^2$ win, and
# short weights with low scores are the better bargain. The scores still put regions in order, and AP asks for nothing
# else. Keep it in mind when you read scores in [notebook 07](07_detection_and_evaluation.ipynb): here 0 is not the
# point where a detector says yes, and each class gets a threshold from the training pictures instead. Section 6
# tries other values.
#
# ## 5. What is it worth?
#
# Now the controls, all trained on *train* and judged by average precision on *test*:
#
# - **200 random negatives**, and **2000**: no mining, only luck;
# - **shuffled labels**: each object gets the class name of another one. The SVMs still see objects against
#   background, so what they reach tells how much is owed to *being an object*, and the rest to knowing
#   which.

# %%
judged = [store.read(image_id, layer) for image_id in judge.ids]


def detect(svms, pictures=judged):
    """Detections on test pictures: scores, then suppression class by class."""
    found = []
    for regions in pictures:
        boxes, features = regions.boxes[~regions.is_gt], regions.features[~regions.is_gt] * np.float32(scale)
        scores = svms.decision_function(features)
        rows, of_class = nms_per_class(boxes, scores, max_per_class=50)
        index = np.zeros(len(rows), int)
        found.append(
            Detections((regions.image_id,), classes, index, of_class, scores[rows, of_class], boxes[rows])
        )
    return Detections.concatenate(found)


# %%
class ShuffledNames:
    """The same pictures and boxes, each object with the class name of some other object."""

    def __init__(self, dataset, seed=0):
        self.ids, self.classes, self._annotation = dataset.ids, dataset.classes, dataset.annotation
        names = [name for i in dataset.ids for name in dataset.annotation(i).names]
        shuffled = iter(np.random.default_rng(seed).permutation(names).tolist())
        self._names = {i: tuple(next(shuffled) for _ in dataset.annotation(i).names) for i in dataset.ids}

    def annotation(self, image_id):
        return replace(self._annotation(image_id), names=self._names[image_id])


# %% [markdown]
# **Predict.** Put these three and the mined SVMs in order. Which of the three comes last, and what mAP do shuffled
# labels leave?

# %%
controls = ["2000 random negatives", "200 random negatives", "shuffled labels, mined"]
predict("05 last control", "The lowest mAP of the three", choices=controls)

# %%
predict("05 shuffled labels", "mAP with shuffled labels, in percent")

# %%
trained = {
    "mined": svms,
    controls[0]: train_detector_svms(images, classes, mine=False, n_random=2000),
    controls[1]: train_detector_svms(images, classes, mine=False, n_random=200),
    controls[2]: train_detector_svms(
        TrainingRegions(ShuffledNames(learn), store, scale, layer=layer), classes
    ),
}
results = {name: evaluate(detect(each), judge) for name, each in trained.items()}
means = {name: 100 * result.mean_ap for name, result in results.items()}
fig, ax = plt.subplots(figsize=(9, 3.2))
bars = ax.barh(
    list(means)[::-1],
    list(means.values())[::-1],
    hatch=["//"] * 3 + [""],
    edgecolor="white",
    color=[plots.COLOURS["orange"]] * 3 + [plots.COLOURS["blue"]],
)
ax.bar_label(bars, fmt="%.1f", padding=4)
ax.set(xlabel="mAP on test, %", xlim=(0, 1.15 * max(means.values()) + 1))
ax.grid(axis="y", visible=False)
plots.show(fig, alt=f"mAP on test: {', '.join(f'{name} {value:.1f}%' for name, value in means.items())}.")
meet("05 last control", min(controls, key=means.get))
meet("05 shuffled labels", means[controls[2]], unit="%")

# %%
plots.average_precision_table({name: result.ap for name, result in results.items()})

# %%
n_objects = sum(len(judge.annotation(i)) for i in judge.ids)
display(
    Markdown(
        f"There are {n_objects} objects in test, about {n_objects / len(classes):.0f} a class. So single classes "
        f"may be off by ten points and more, and the mean by a few. Mining stands "
        f"{means['mined'] - means[controls[0]]:+.1f} points from 2000 random negatives, and "
        f"{means['mined'] - means[controls[1]]:+.1f} from 200. 2000 random ones are one in "
        f"{n_regions / 2000:.0f} of our regions; of the ten million on VOC 2007 trainval they would be one in 5000."
    )
)

# %% [markdown]
# *Reading:* compare with your order. What shuffled labels leave is owed to knowing *that* there is an object; the
# rest of the mined SVMs' mAP, to knowing *which*. A gap of a point or two between mining and random draws means
# nothing here, whatever its sign. From so small a set, 2000 random negatives bring home many of the hard ones by
# luck. And the fine-tuned network has had its turn at the background before any SVM: three in four of the windows it
# was trained on were background, those of our pictures. Fine-tuning and mining share the work. The larger the set,
# the rarer the hard ones among random draws; whether mining then pays off in mAP, pictures as few as ours cannot show.
#
# ### A judge that was on the jury
#
# Why not *val*? No SVM here has seen it. But the network has: it was fine-tuned on train and val.
#
# **Predict.** The same mined SVMs, judged on *val*: will their mAP be about that on test (within five points), higher,
# or lower?

# %%
sides = ["lower", "about the same", "higher"]
predict("05 judged on val", "mAP on val beside that on test", choices=sides)

# %%
val = course.dataset("val")
of_val = evaluate(detect(svms, (store.read(image_id, layer) for image_id in val.ids)), val)
lead = 100 * of_val.mean_ap - means["mined"]
display(
    Markdown(
        f"mAP of the mined SVMs: **{means['mined']:.1f}%** on {len(judge.ids)} test pictures, "
        f"**{100 * of_val.mean_ap:.1f}%** on {len(val.ids)} val pictures ({lead:+.1f})."
    )
)
meet("05 judged on val", sides[1 if abs(lead) < 5 else 2 if lead > 0 else 0])

# %% [markdown]
# Whatever val has above test was lent by the network, which has been trained on these very objects. A setting that
# was chosen on such pictures would be chosen for them. The paper keeps its judge apart, too: what it reports on VOC
# 2007 test comes from a network that was fine-tuned on VOC 2007 trainval (sec. 3.2).
#
# ## 6. Why 0.3? And which C?
#
# The threshold below which a region counts as negative was chosen by a grid search over 0, 0.1, ..., 0.5 on
# a validation set. "Setting it to 0.5 ... decreased mAP by 5 points", setting it to 0 by 4 (sec. 2.3). We look at
# three of these values, and at other $C$ as well. (All six, with more than one seed, are in the table at the end of
# [notebook 07](07_detection_and_evaluation.ipynb).)
#
# **Predict.** With 0.5, half an object is a counterexample. What kind of detection will this make rarer,
# and what will it do to the scores of good but imperfect boxes? With 0, only regions without any pixel of
# the class are negatives. What will then score too high? And which of the three gives the best mAP here?

# %%
thresholds = (0.0, 0.3, 0.5)  # with 0, a negative is what touches no object of the class
predict("05 threshold", "The threshold with the best mAP on test", choices=thresholds)


# %%
def mean_ap_with(**options):
    """Train with other settings than the detector's, and judge on test."""
    return evaluate(detect(train_detector_svms(images, classes, **options)), judge)


by_threshold = {t: results["mined"] if t == 0.3 else mean_ap_with(negative_iou=t) for t in thresholds}
by_C = {C: results["mined"] if C == settings.SVM_C else mean_ap_with(C=C) for C in (1e-4, 1e-3, 1e-2, 1e-1)}

# %%
fig, axes = plt.subplots(1, 2, figsize=(13, 4.2), sharey=True)
axis_labels = ("negatives lie below this IoU", "C, weight of the losses")
for ax, searched, label in zip(axes, (by_threshold, by_C), axis_labels):
    ax.plot(list(searched), [100 * result.mean_ap for result in searched.values()], marker="o")
    ax.set(xlabel=label, ylabel="mAP on test, %", xticks=list(searched))
axes[0].set_ylim(0, 1.15 * 100 * max(r.mean_ap for r in [*by_threshold.values(), *by_C.values()]) + 1)
axes[1].set_xscale("log")
thresholds_said = ", ".join(f"{100 * r.mean_ap:.1f}% at {t}" for t, r in by_threshold.items())
C_said = ", ".join(f"{100 * r.mean_ap:.1f}% at {C:g}" for C, r in by_C.items())
plots.show(fig, alt=f"mAP on test. By the threshold of the negatives: {thresholds_said}. By C: {C_said}.")
meet("05 threshold", str(max(by_threshold, key=lambda t: by_threshold[t].mean_ap)))


# %%
def share_of_loose_boxes(result):
    """Among each class's best detections, one for each object, the share that is on an object but too loose."""
    loose = total = 0
    for curve in result.curves.values():
        rows = curve.detection[: curve.n_positives]
        loose += ((result.outcomes[rows] == "fp") & (result.match_iou[rows] >= 0.1)).sum()
        total += len(rows)
    return loose / max(total, 1)


pd.DataFrame(
    {
        "mAP, %": {t: 100 * result.mean_ap for t, result in by_threshold.items()},
        "loose boxes among the best detections, %": {
            t: 100 * share_of_loose_boxes(r) for t, r in by_threshold.items()
        },
    }
).round(1)

# %% [markdown]
# *Reading:* a *loose box* lies on an object of its class, with an IoU between 0.1 and 0.5. Whoever is never
# told that half a car is no car has no reason to score it lower than a whole one. So a low threshold makes
# loose boxes. A high one makes the positives fight with regions that look almost like them. How does our
# curve compare with the paper's 5 and 4 points? If it is flatter than your prediction, remember the noise
# of so few pictures: a point or two mean nothing. And the paper made its search before it fine-tuned anything; here
# fine-tuning has taught the network its own idea of background, everything below an IoU of 0.5. On the right, compare
# a tenth of the released code's $C$ with ten and with a hundred times as much. The larger $C$, the nearer the training
# scores come to −1 and 1. Does mAP rise with them?
#
# ## 7. Is the solver right?
#
# `LinearSVMs` is our own solver. scikit-learn's `LinearSVC` is LIBLINEAR, the library that the released
# code used. On the regions of the last mining round both must find the same minimum.

# %%
rows = []
for name, solver in {
    "ours": LinearSVMs(tol=1e-4),
    "scikit-learn": LinearSVC(
        loss="hinge",
        C=settings.SVM_C,
        intercept_scaling=settings.SVM_BIAS_SCALE,
        tol=1e-5,
        class_weight={1: settings.SVM_POSITIVE_WEIGHT, -1: 1},
        max_iter=20_000,
        random_state=0,
    ),
}.items():
    started = time.perf_counter()
    solver.fit(X, y)
    elapsed = time.perf_counter() - started
    w, b = np.ravel(solver.coef_).astype(float), float(solver.intercept_[0])
    rows.append(
        {"solver": name, "objective": hinge_objective(w, b, X, y, *constants), "bias": b, "seconds": elapsed}
    )
agreement = pd.DataFrame(rows).set_index("solver")
agreement.round({"objective": 7, "bias": 3, "seconds": 2})

# %% [markdown]
# ## 8. Where does the evidence lie?
#
# fc7 has no places any more, so its weights cannot be looked at. pool5 has: 36 cells for each channel. A
# linear SVM on pool5 adds up, over channels and cells, weight times activation. So its score can be **taken
# apart by cell**, exactly: 36 contributions and a constant. (Every region excites pool5 somewhere. So we
# count what a crop has *above the average region*, and the constant is the average region's score.)
#
# We train SVMs on pool5, with the true boxes and a few proposals of each picture; the store holds it.
#
# **Predict.** Where in the crop will the evidence *for* the class lie: in the inner 4 x 4 cells, or in the
# ring of 20 cells around them? The inner ones are 44% of the area.

# %%
rings = ["the inner 16 cells", "the outer 20 cells"]
predict("05 evidence", "Where most of the evidence for the class lies", choices=rings)


# %%
some, rng = images[:40], np.random.default_rng(0)
picked = [
    np.concatenate([np.flatnonzero(im.gt_class >= 0), rng.permutation(np.flatnonzero(im.gt_class < 0))[:60]])
    for im in some
]
P = np.concatenate([store.read(im.image_id).features[rows] for im, rows in zip(some, picked)])
pool5_scale = settings.FEATURE_NORM / np.linalg.norm(P, axis=1).mean()
Y = np.concatenate(
    [
        np.stack(
            [svm_labels(im.overlaps[rows, c], im.gt_class[rows], c) for c in range(len(classes))], axis=1
        )
        for im, rows in zip(some, picked)
    ]
)
usable = np.flatnonzero((Y == 1).any(axis=0))
on_pool5 = LinearSVMs().fit(P * pool5_scale, Y[:, usable])
average = P.mean(axis=0) * pool5_scale
weights = on_pool5.coef_.reshape(
    len(usable), *course.network.feature_shape("pool5")
)  # [classes, channels, 6, 6]


# %%
def evidence_for(name, activation):
    """What each of the 36 cells adds to the average region's score for a class, [6, 6]; and the score."""
    svm = int(np.flatnonzero(usable == classes.index(name))[0])
    of_cell = (weights[svm] * (activation - average).reshape(weights.shape[1:])).sum(axis=0)
    score, constant = on_pool5.decision_function(np.stack([activation, average]))[:, svm]
    assert np.isclose(of_cell.sum() + constant, score, atol=1e-3)
    return of_cell, score


surest = {}  # of each class, the object in test that the SVM is surest of
for image_id in judge.ids:
    regions, names = store.read(image_id), judge.annotation(image_id).names
    for name, box, activation in zip(names, regions.boxes, regions.features):  # true boxes come first
        if classes.index(name) in usable:
            of_cell, score = evidence_for(name, activation * pool5_scale)
            if name not in surest or score > surest[name][0]:
                surest[name] = (score, of_cell, image_id, box)
shown = [name for name in counts.index if name in surest][:5]

# %%
fig, axes = plt.subplots(2, len(shown), figsize=(3.2 * len(shown), 6.4), squeeze=False)
for (top, bottom), name in zip(axes.T, shown):
    score, of_cell, image_id, box = surest[name]
    crop = warp_reference(judge.image(image_id), box, mean=course.network.mean)
    crop = np.clip(crop, 0, 255).astype(np.uint8)
    top.imshow(crop)
    top.set_title(name)
    bottom.imshow(crop.mean(axis=2), cmap="gray")
    reach = np.abs(of_cell).max()
    bottom.imshow(of_cell, cmap="PuOr_r", vmin=-reach, vmax=reach, alpha=0.65, extent=(0, 227, 227, 0))
    bottom.set_title(f"score {score:.2f}\ncells {of_cell.min():+.2f} to {of_cell.max():+.2f}")
for ax in axes.flat:
    ax.axis("off")
plots.show(
    fig,
    alt="Objects of test, and the contribution of each of the 36 cells to the score of their class's SVM.",
)
speaking_for = [np.maximum(of_cell, 0) for _, of_cell, _, _ in surest.values()]
inner = np.mean([cells[1:5, 1:5].sum() / max(cells.sum(), 1e-9) for cells in speaking_for])
print(
    f"share of the inner cells in the evidence for the class: {100 * inner:.0f}%, over {len(surest)} objects"
)
meet("05 evidence", rings[0] if inner > 0.5 else rings[1])

# %% [markdown]
# *Reading:* orange cells speak for the class, purple ones against it. Is the evidence on the object's most
# typical part, on its outline, or on what it stands on? With the constant the 36 add up to the score. The map lies over the crop by cell number; each cell really
# sees 195 x 195 pixels, so read it as *about here*.
#
# ## Checkpoint
#
# These must hold on any pictures and with any weights.

# %%
assert np.isclose(by_hand, 0.5 + 0.0022), "the objective of the three regions"
assert census.sum(axis=1).eq(census.sum(axis=1).iloc[0]).any() and (census.positive >= 0).all()
assert abs(agreement.objective["ours"] / agreement.objective["scikit-learn"] - 1) < 1e-3, (
    "the two solvers disagree"
)
assert (np.diff(history.objective) > -1e-3 * history.objective.iloc[-1]).all(), (
    "more examples, lower objective"
)
assert np.isfinite(svms.coef_).all() and svms.coef_.shape == (len(classes), images[0].features.shape[1])
assert (svms.history_.gap <= 1e-3).all(), "a training stopped before it was done"
for result in results.values():
    assert all(0 <= ap <= 1 for ap in result.ap.values() if not np.isnan(ap))
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Three questions without a checker. What you find is yours to judge.
#
# **1. Losses by hand** (●○○, 10 minutes). Scores 2, 0.5 and −0.5 of positives, and −2, −0.9 and 0.3 of
# negatives. Which are support vectors? Compute the hinge losses and the second part of the objective with
# $C = 0.001$, and check with `hinge_objective`. By how much does it change if the positives' weight is 1 instead
# of 2?

# %%
# your code

# %% [markdown]
# **2. Scales** (●●○, 15 minutes). Multiply all features by 10 (`scale=10` in `train_detector_svms`). Before
# you run it: which `C` gives the same SVM as before, up to a factor? Derive it from the objective, then
# check that the scores agree (why not exactly?). Then raise `positive_weight` from 2 to 20. What happens to
# the positives' scores, and to mAP?

# %%
# your code

# %% [markdown]
# **3. More positives** (●●●, 25 minutes). For fine-tuning the paper takes every proposal with an IoU of at
# least 0.5 as a positive, thirty times as many (App. B). `train_detector_svms(..., positive_iou=0.5)` does
# the same for the SVMs. What happens to mAP, and to the loose boxes? The appendix conjectures that
# fine-tuning needs the many examples to avoid overfitting, and notes that such positives do not stress
# precise localisation. Do your numbers fit? (The table at the end of [notebook
# 07](07_detection_and_evaluation.ipynb) has both, without and with fine-tuning.)

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - Positives are the true boxes only; negatives lie below 0.3; the rest is ignored.
# - Only examples at or inside the margin have a say. So nearly all negatives can be left out, if you find
#   the others.
# - Hard negatives are found by looking for mistakes, and there are few beside the easy ones: other classes,
#   parts, clutter.
# - The objective of an SVM trained on easy negatives looks better than it is. Judge by AP, on pictures that neither
#   the SVM nor its network has seen.
# - Losses are summed: a good $C$ depends on how many examples there are and how long their features are.
#
# ## Where this differs from the paper
#
# - Few pictures and twelve classes of toys, instead of 5011 photographs and twenty classes; few enough that
#   all negatives would fit into memory.
# - Our grid search has three thresholds and looks at test pictures, and so chooses nothing; the paper's had six, and
#   a validation set.
# - $C$, the positives' weight, $B$ and the rules of the one pass are those of the released code, for which
#   the paper gives no numbers. LIBLINEAR stopped there at a tolerance of 0.1; ours stops when the objective
#   is within a thousandth of its minimum.
# - The SVMs of the detector itself ([notebook 07](07_detection_and_evaluation.ipynb)) learn from train and val, as the
#   fine-tuning did; those of this notebook from train alone.
#
# ## Next
#
# [06 Bounding-box regression](06_bounding_box_regression.ipynb): the class is right and the box is loose. From the same
# features follows how it should move.
