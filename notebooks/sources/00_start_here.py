# %% [markdown]
# # Start here: R-CNN in one sitting
#
# *R-CNN proposes regions without knowing what they hold, describes each with a network that learnt to see on
# something else, scores the descriptions with linear classifiers, straightens the boxes, and drops what overlaps
# something better.*
#
# **The paper:** Girshick, Donahue, Darrell and Malik, *Rich feature hierarchies for accurate object
# detection and semantic segmentation* ([arXiv 1311.2524v5](https://arxiv.org/abs/1311.2524)): Figure 1,
# sections 1 and 2.2, the last columns of Tables 1 and 2.
#
# **You will**
#
# - follow one picture through all stages, a few lines of code each;
# - redo Figure 1 with your own intermediate results;
# - write three of its small parts yourself: overlap, the box of a region, the scores;
# - see what the detector gets right and wrong, and what happens when one stage is taken away;
# - find out which notebook opens which box.
#
# **You need** Python, NumPy and a rough idea of what a convolutional network is. This notebook comes first.
# **Time:** about 60 minutes, 26 of them for the exercises. The first cell says what the cells take on your
# machine's kind, and what must be computed before (`make course` does it ahead of time); on a GPU nothing was
# measured yet.
#
# **How it works:**
#
# - **Predict.** Write your guess into the field, then run on: the result comes back with your guess beside it.
# - **Exercise.** Put your code in place of the `...` and run the cell. The verdict and three buttons appear: *Check
#   on new cases*, *Hint*, *Solution*.
# - **Nothing you write can break what follows:** where an answer does not pass, a reference takes its place. What you
#   did is kept on this machine; `rcnn progress` in a terminal lists it, `rcnn progress --reset` forgets it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from rcnn_helpers import boxes, plots, settings, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.evaluation import evaluate
from rcnn_helpers.nms import nms
from rcnn_helpers.proposals import propose, selective_search
from rcnn_helpers.proposals.recall import recall_at
from rcnn_helpers.warping import warp_reference

# %%
course = open_course("00")
test = course.test
detector = course.detector  # trained on course.trainval; from the cache if it has been trained before
n_learned = sum(len(course.trainval.annotation(i)) for i in course.trainval.ids)
print(f"{len(course.trainval.ids)} training images with {n_learned} objects of {len(test.classes)} classes")
print(f"{len(test.ids)} test images")

# %% [markdown]
# ## 1. The task
#
# A classifier says what a picture shows. A **detector** says what it shows *and where*: a list of boxes,
# each with a class and a score. The data set defines the classes. Here is ours, ToyVOC: pictures of
# three-dimensional toys, drawn on your machine from a seed. **It is synthetic.** It stands in for PASCAL
# VOC, whose photographs cannot be shipped with a course, and it has what makes detection hard: several
# objects a picture, of similar classes, seen from all sides, hidden behind each other, in clutter and bad
# light.

# %%
fullest = sorted(test.ids, key=lambda name: -len(set(test.annotation(name).names)))
pictures = [
    plots.draw_boxes(test.image(i), test.annotation(i).boxes, test.annotation(i).names, "truth")
    for i in fullest[:6]
]
plots.show(
    plots.montage(pictures, columns=3, cell=(300, 400)),
    quality=75,
    alt="Six test pictures of toys in clutter, with the true boxes and class names.",
)

# %% [markdown]
# *Reading:* the dotted boxes are the ground truth. The detector never sees it on test pictures.
#
# ### When is a box right?
#
# A box is two corners, (x1, y1, x2, y2), in pixels from the upper left corner of the picture. It is *half-open*: x2
# is the first column behind the box and y2 the first row below it, so the box is x2 - x1 pixels wide. No detector
# hits the true box to the pixel. How well two boxes agree is measured by their **intersection over union** (IoU):
#
# $$\mathrm{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|} = \frac{\text{pixels in both}}{\text{pixels in at least one}}$$
#
# From an IoU of 0.5 on, PASCAL VOC counts a detection as right.
#
# **By hand.** Three boxes, all ten pixels high: A = (0, 0, 10, 10), B = (5, 0, 15, 10), C = (5, 0, 25, 10).
#
# | pair | in both | in at least one | IoU |
# |---|---|---|---|
# | A, B | 5 · 10 = 50 | 100 + 100 - 50 = 150 | 0.33 |
# | A, C | 5 · 10 = 50 | 100 + 200 - 50 = 250 | 0.20 |
# | B, C | ? | ? | ? |
#
# **Predict.** If C is the true box, which of A and B is a right detection? And what is the IoU of B and C?

# %%
predict("00 right detection", "Right is", choices=["only A", "only B", "both", "neither"])

# %%
predict("00 iou by hand", "The IoU of B and C is")

# %% [markdown]
# ### Exercise: intersection over union
#
# ●○○ · 10 minutes. Write the IoU of two boxes, a number from 0 to 1. `iou([0, 0, 10, 10], [5, 0, 15, 10])` is
# 50 / 150, about 0.33. No box is empty, but mind boxes that do not meet: their IoU is 0.


# %% exercise="iou"
def iou(box, other):
    """Share of the pixels of two boxes that lie in both, from 0 to 1.

    box, other: corners (x1, y1, x2, y2); x2 and y2 are the first column and row behind the box.
    """
    # solution
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)  # a negative side means that they do not meet
    area = (box[2] - box[0]) * (box[3] - box[1])
    other_area = (other[2] - other[0]) * (other[3] - other[1])
    return shared / (area + other_area - shared)


# %% [markdown]
# Your function (or the reference) at work:

# %%
A, B, C = [0, 0, 10, 10], [5, 0, 15, 10], [5, 0, 25, 10]
print(f"IoU of A and B: {iou(A, B):.2f}, of A and C: {iou(A, C):.2f}, of B and C: {iou(B, C):.2f}")
words = {(True, True): "both", (True, False): "only A", (False, True): "only B", (False, False): "neither"}
meet("00 right detection", words[bool(iou(A, C) >= 0.5), bool(iou(B, C) >= 0.5)])
meet("00 iou by hand", float(iou(B, C)))

# %% [markdown]
# ## 2. One picture, six stages
#
# The stages are those of the paper's Figure 1, and box regression, which came on top (sec. 3.5). To see them work,
# we take a picture on which the detector does well, and say so: of all its detections on the test set we look at
# the best ones, as many as there are objects, and take the picture in which most of them are right.

# %%
n_objects = sum(len(test.annotation(i)) for i in test.ids)
top = np.argsort(-course.detections.scores)[:n_objects]
right = top[course.evaluation.outcomes[top] == "tp"]
found_in = np.bincount(course.detections.image_index[right], minlength=len(test.ids))
image_id = test.ids[found_in.argmax()]
image, annotation = test.image(image_id), test.annotation(image_id)
print(f"{image_id}: {image.shape[1]} x {image.shape[0]} pixels; {', '.join(annotation.names)}")

# %% [markdown]
# **Stage 1: proposals.** Where could *anything* be? Selective search grows regions of similar colour and
# texture and draws a box around each. It knows no classes ([notebook 01](01_region_proposals.ipynb)).
#
# ### Exercise: the box of a region
#
# ●○○ · 8 minutes. A region is a *mask*: an array of True and False with a row for each row of the picture. Write its
# box, the smallest that holds all its True pixels. In this mask the first row is empty and so is the first column;
# its box is (1, 1, 3, 3):
#
# | | x = 0 | x = 1 | x = 2 |
# |---|---|---|---|
# | **y = 0** | False | False | False |
# | **y = 1** | False | True | True |
# | **y = 2** | False | False | True |
#
# A mask without any True pixel has no box: return `None`.


# %% exercise="box_of_mask"
def box_of_mask(mask):
    """The smallest box (x1, y1, x2, y2) around the True pixels of a mask, or None if there are none.

    mask: array of bool, [height, width]. The box is half-open.
    """
    # solution
    ys, xs = np.nonzero(mask)  # rows come first
    if len(xs) == 0:
        return None
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


# %% [markdown]
# Your function (or the reference) at work: three regions that selective search has grown in our picture, each with
# the box that you put around it. They are those that fit an object best.

# %%
regions = selective_search.search_regions(image)
closest = boxes.iou(annotation.boxes, regions.boxes)  # [objects, regions]
best_three = closest.argmax(axis=1)[np.argsort(-closest.max(axis=1))[:3]]
pictures = [
    plots.draw_boxes(plots.tint(image, regions.mask(k), strength=0.75), [box_of_mask(regions.mask(k))])
    for k in best_three
]
plots.show(
    plots.montage(pictures, columns=3),
    quality=75,
    alt="Three regions of the picture tinted in orange, each with the box that just holds it.",
)

# %% [markdown]
# Every region gives such a box. The best ranked of them are the proposals:

# %%
proposals = detector.propose(image)
overlap = boxes.iou(annotation.boxes, proposals)  # [objects, proposals]
display(
    Markdown(
        f"{len(proposals)} boxes. For each object, the best of them has an IoU of "
        f"{', '.join(f'{v:.2f}' for v in overlap.max(axis=1))}."
    )
)

# %% [markdown]
# **Stage 2: warping.** Each box is cut out with a rim of context and stretched to the square that the
# network reads ([notebook 02](02_warping.ipynb)).
#
# **Stage 3: features.** The network turns each square into a list of numbers ([notebook
# 03](03_feature_extraction.ipynb)). It was *pre-trained* to tell *other* toys apart, of which there are many labelled
# pictures; none of them is a class we detect. Then it was *fine-tuned*: for a short while it went on learning, on
# regions of our few training pictures, to tell the classes we do detect from each other and from background
# ([notebook 04](04_fine_tuning.ipynb)).

# %%
features = detector.features(image, proposals)  # warps, runs the network, scales
print(
    f"{features.shape[0]} regions, {features.shape[1]} numbers each ({detector.layer} of {detector.network.name})"
)

# %% [markdown]
# **Stage 4: scores.** One linear *support vector machine* (SVM) for each class ([notebook
# 05](05_svm_training.ipynb)). Its score of a region is a weighted sum of the region's features, plus a constant. For
# all regions and all classes at once that is **one matrix product**: regions x features times features x classes.
# In the paper, about 2000 x 4096 times 4096 x N (sec. 2.2).
#
# **By hand.** Two regions with three features, and two classes:
#
# $$
# \begin{pmatrix} 1 & 0 & 2 \\ 0 & 3 & 1 \end{pmatrix}
# \begin{pmatrix} 1 & -1 \\ -1 & 1 \\ 0.5 & 0 \end{pmatrix}
# + \begin{pmatrix} -1 & 0 \end{pmatrix}
# = \begin{pmatrix} ? & ? \\ ? & ? \end{pmatrix}
# $$
#
# Each row of the first matrix is a region, each column of the second a class.
#
# **Predict.** Work out the four scores. What is the second region's score for the second class?

# %%
predict("00 score by hand", "Second region, second class:")

# %% [markdown]
# ### Exercise: scores of all regions for all classes
#
# ●●○ · 8 minutes. Write the product for N regions with D features each and K classes. `weights` has a row for each
# *class*, as the SVMs keep them: above, the rows are (1, -1, 0.5) and (-1, 1, 0). `biases` are the K constants. The
# result has a row for each region and a column for each class. For a single region (1, 2) and a single class with
# the weights (3, 4) and the constant 5, it is `[[16]]`.


# %% exercise="class_scores"
def class_scores(features, weights, biases):
    """Scores of N regions for K classes, an array [N, K].

    features: array [N, D]; weights: array [K, D]; biases: array [K].
    """
    # solution
    return features @ weights.T + biases  # the constants are added to every row


# %%
two_regions = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
two_classes = np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.0]])
by_hand = np.asarray(class_scores(two_regions, two_classes, np.array([-1.0, 0.0])))
print(by_hand)
meet("00 score by hand", float(by_hand[1, 1]))

# %% [markdown]
# The first region has a positive score for the first class only (1), the second for the second class only
# (3). Now your function (or the reference) at work on the picture's regions, with what the SVMs have learned:

# %%
scores = np.asarray(class_scores(features, detector.svms_.coef_, detector.svms_.intercept_))
assert np.allclose(scores, detector.score(image, proposals), atol=1e-3)
pd.DataFrame(
    {"best score": scores.max(axis=0), "mean score": scores.mean(axis=0)}, index=test.classes
).T.round(2)

# %% [markdown]
# Do not be surprised if few scores are above zero. Each SVM has seen few objects of its class and very
# many regions that are none, so it is reluctant. For a ranking that does not matter, as long as the right
# regions come first. So we take our threshold from the ranking: it lets through as many detections on all test
# pictures together as there are objects.

# %%
by_score = np.sort(course.detections.scores)[::-1]  # of all test pictures, best first
threshold = float(by_score[min(n_objects, len(by_score) - 1)])
print(f"{n_objects} objects in {len(test.ids)} test pictures; threshold {threshold:.2f}")

# %% [markdown]
# **Stage 5: box regression.** The best region seldom fits: it cuts something off, or takes in too much. What it shows
# often tells in which direction. So for each class four numbers are predicted from the region's features, again by
# linear models, and the box is moved and stretched by them ([notebook 06](06_bounding_box_regression.ipynb)). Its
# score stays what it was.
#
# **Predict.** For each object of the picture we take the best-scored region of its class that lies on it (IoU of 0.3
# or more), and compare its overlap with the object before and after. Will more boxes come nearer, or fall back?

# %%
predict("00 box regression", "More boxes will", choices=["come nearer", "fall back", "neither"])

# %%
moved = detector.regress(image, proposals)  # where each class would move each region: [regions, classes, 4]
rows_of, before, after = [], [], []
for name, box, on_it in zip(annotation.names, annotation.boxes, overlap >= 0.3):
    c = test.classes.index(name)
    row = int(np.where(on_it, scores[:, c], -np.inf).argmax())
    rows_of.append((row, c))
    before.append(float(boxes.iou([box], proposals[[row]])[0, 0]))
    after.append(float(boxes.iou([box], moved[[row], c])[0, 0]))
nearer, back = (np.array(after) > before).sum(), (np.array(after) < before).sum()
meet("00 box regression", "come nearer" if nearer > back else "fall back" if back > nearer else "neither")
display(pd.DataFrame({"IoU before": before, "IoU after": after}, index=annotation.names).round(2))
chosen = {
    "before": proposals[[row for row, _ in rows_of]],
    "after": np.array([moved[row, c] for row, c in rows_of]),
}
sheets = [
    plots.draw_boxes(
        image,
        np.concatenate([there, annotation.boxes]),
        styles=["detection"] * len(there) + ["truth"] * len(annotation),
    )
    for there in chosen.values()
]
plots.show(
    plots.montage(sheets, list(chosen), columns=2, cell=(360, 480)),
    quality=75,
    alt=f"The picture twice: the best region of each object, and where box regression moves it. {nearer} of "
    f"{len(before)} come nearer to the dotted truth, {back} fall back.",
)

# %% [markdown]
# *Reading:* dotted, the truth. A nudge is small beside the box. It can put right what is nearly right; a region that
# hardly touches an object stays lost. One picture proves nothing: section 4 has the whole test set with and without.
#
# **Stage 6: suppression.** Many regions lie on the same object, and all of them score well. For each class,
# take the best box, drop all that overlap it by more than an IoU of 0.3 (the released code's threshold), take
# the best of what is left, and so on ([notebook 07](07_detection_and_evaluation.ipynb)).
#
# **By hand.** Three boxes: (0, 0, 10, 10) with score 0.9, (2, 0, 12, 10) with 0.8, (20, 0, 30, 10) with
# 0.7. The first two share 80 of 120 pixels, an IoU of 0.67; the third touches neither. So the second goes, and
# boxes 0 and 2 are kept:

# %%
three = [[0, 0, 10, 10], [2, 0, 12, 10], [20, 0, 30, 10]]
print("kept:", nms(three, [0.9, 0.8, 0.7], iou_threshold=settings.NMS_IOU).tolist())

# %% [markdown]
# **Predict.** Of all scores of our picture above the threshold, what share will be left after suppression?

# %%
shares = {"nearly all": 1.0, "half": 0.5, "a tenth": 0.1}


def in_words(share):
    """The words for the nearest of the three shares."""
    return min(shares, key=lambda words: abs(shares[words] - share))


predict("00 left after suppression", "Left will be", choices=shares)

# %%
ranked = detector.detect(image, score_threshold=-2)  # best first
detections = ranked.select(ranked.scores > threshold)
n_above = int((scores > threshold).sum())
display(
    Markdown(
        f"{n_above} scores above the threshold, **{len(detections)} detections** after suppression, "
        f"{len(annotation)} objects."
    )
)
meet("00 left after suppression", in_words(len(detections) / max(n_above, 1)))

# %% [markdown]
# Suppression works class by class, so two boxes of different classes may stay on
# the same toy; and a box it drops was not wrong, only second best.
#
# ## 3. Figure 1, redone
#
# The paper's first figure shows the system with a horse and its rider. Here is the same with what you have
# just computed.

# %%
names = [test.classes[c] for c in detections.class_index]
panels = {
    "1  input image": image,
    f"2  proposals: 40 of {len(proposals)} (notebook 01)": plots.draw_boxes(
        image, proposals[:40], styles="proposal"
    ),
    "5, 6  detections (06 and 07)": plots.draw_detections(image, detections.boxes, names, detections.scores),
}
plots.show(
    plots.image_grid(list(panels.values()), list(panels), width=15),
    quality=75,
    alt="Figure 1 redone, upper half: the picture, its proposals, and the detections with class and score.",
)

# %%
# The three best after suppression, here of the boxes as they were proposed, and three proposals taken at random.
found = detector.detect(image, score_threshold=-2, box_regression=False).select(slice(0, 3))
of_found = boxes.iou(found.boxes, proposals).argmax(axis=1)
others = np.random.default_rng(1).choice(len(proposals), 3, replace=False)
rows = np.concatenate([of_found, others])
warped = [warp_reference(image, proposals[row], mean=detector.network.mean) for row in rows]
plots.show(
    plots.region_rows(
        [crop.clip(0, 255).astype(np.uint8) for crop in warped],
        features[rows],
        scores[rows],
        test.classes,
        threshold=threshold,
        limits=(threshold - 0.5, scores.max() + 0.1),
        titles=["3  region (02)", f"{features.shape[1]} features (notebook 03)", "4  scores (notebook 05)"],
    ),
    quality=75,
    alt="Figure 1 redone, lower half: six warped regions, each with its features as a strip and its scores.",
)

# %% [markdown]
# *Reading:* each line of the lower figure is one region on its way through the system, and no line knows of
# the others. A score above the dashed line, our threshold, is green. The first three regions are the best
# ones left after suppression (without regression, so that they are proposals), the last three are proposals taken at
# random. Most proposals are like those: background, parts, halves of two toys. **Saying no to them is most of the
# work.**
#
# ## 4. How good is it?
#
# On one picture anything can look good, above all on a chosen one. So the detector runs on all test
# pictures, and each class is given its **average precision** (AP): all its detections are put in order of
# their score, and the AP asks how many of those at the top are right and how many objects are found. It
# lies between 0 and 100%; the mean over the classes is the **mAP**. [Notebook
# 07](07_detection_and_evaluation.ipynb) works it out by hand.
#
# **Predict.** The detector has learned from the few labelled toys counted at the top, and its network from others
# before. Guess the mAP, and which class does worst.

# %%
predict("00 mAP", "The mAP, in %, is")

# %%
predict("00 worst class", "The worst class is", choices=test.classes)

# %%
evaluation = course.evaluation
ap = pd.Series(evaluation.ap).dropna().sort_values()
plots.show(
    plots.average_precision_bars(evaluation.ap, title="R-CNN on ToyVOC test"),
    alt=f"Average precision of each class on the test pictures, from {ap.index[-1]} down to {ap.index[0]}.",
)
display(
    Markdown(
        f"The mAP is **{100 * evaluation.mean_ap:.1f}%**; best is *{ap.index[-1]}*, worst *{ap.index[0]}*. "
        "Where every box stays as it was proposed, without box regression, it is "
        f"{100 * course.evaluation_without_regression.mean_ap:.1f}%. Trained on {len(course.trainval.ids)} pictures (profile `{course.profile.name}`)."
    )
)
meet("00 mAP", round(100 * evaluation.mean_ap), unit="%")
meet("00 worst class", ap.index[0])

# %% [markdown]
# Look for the pattern: which classes look like another one, which are small or thin?
#
# And what it looks like. A number behind a class name is the **precision at that score**, as in the paper's
# Figures 8 to 11: of all detections of the class on the test set that score at least as high, the share
# that is right. As there, only those above 0.5 are drawn. A check mark and a solid line: right. A cross and
# a dashed line: wrong. Dotted: the truth. The four pictures are those with the most classes, and so among the hardest.

# %%
everything = course.detections
names = np.array([test.classes[c] for c in everything.class_index])
precision = np.array([evaluation.precision_at(n, s) for n, s in zip(names, everything.scores)])


def picture_of(image_id, least_precision=0.5):
    """A test picture with its detections, right and wrong ones told apart, and the truth."""
    here = everything.image_index == test.ids.index(image_id)
    rows = np.flatnonzero(here & (precision > least_precision))
    options = {"outcomes": evaluation.outcomes[rows], "truth": test.annotation(image_id).boxes}
    return plots.draw_detections(
        test.image(image_id), everything.boxes[rows], names[rows], precision[rows], **options
    )


# %%
plots.show(
    plots.montage([picture_of(i) for i in fullest[:4]], columns=2, cell=(420, 560)),
    quality=75,
    alt="Detections on four test pictures with class and precision; right ones solid, wrong ones dashed.",
)

# %% [markdown]
# ### Move the threshold
#
# A detector gives scores; it is you who decides from which score on to believe it. Move the threshold down,
# and more objects are found, and more nonsense with them.

# %%
image_ids = [image_id, *(i for i in fullest if i != image_id)]  # our picture first, then the fullest ones
explorer = widgets.DetectionExplorer(
    test, course.detections, course.evaluation, image_ids=image_ids, score=threshold
)
explorer

# %% [markdown]
# *Static twin of the widget:* the same picture at a threshold that lets through three times as many detections as
# there are objects, counted over all test pictures.

# %%
score = float(by_score[min(3 * n_objects, len(by_score) - 1)])
plots.show(explorer.render(score, image_id), alt=explorer.describe(score, image_id), quality=75)

# %% [markdown]
# ## 5. Take one stage away
#
# How much of this is owed to the proposals? A negative control: give the same detector, with the same
# network and the same SVMs, the proposals **of another picture**. They have the right sizes and shapes and
# are as many, but know nothing of *this* picture. R-CNN scores boxes and may nudge them; it cannot carry them to an
# object that they miss.
#
# **Predict.** How much of the mAP is left?

# %%
predict("00 another picture's proposals", "Left will be", choices=shares)

# %%
subset = test.subset(min(12, len(test.ids)))
n_boxes = 300
own = {i: course.proposals("test")[i][:n_boxes] for i in subset.ids}
# Given boxes are cut off at the border of the picture, where the other one was larger.
borrowed = {
    here: propose(test.image(here), own[there]) for here, there in zip(subset.ids, np.roll(subset.ids, 1))
}
left = {}
for name, given in {"its own proposals": own, "another picture's": borrowed}.items():
    result = evaluate(detector.detect_dataset(subset, proposals=given, progress=False), subset)
    left[name] = (100 * result.mean_ap, 100 * recall_at(given, subset))
own_map, borrowed_map = left["its own proposals"][0], left["another picture's"][0]
meet("00 another picture's proposals", in_words(borrowed_map / max(own_map, 1)))
pd.DataFrame(left, index=["mAP, %", "recall of the proposals at IoU 0.5, %"]).T.round(1)

# %% [markdown]
# *Reading:* these are few pictures, so the numbers are rough. Read the two columns together: an object that no
# proposal comes near is lost, whatever the network can do. That is why notebook 01 comes before the network.
#
# ## 6. What the paper showed
#
# In 2013 the best detectors worked with hand-made features (HOG, bags of visual words), and progress had
# become slow. That large convolutional networks classify *pictures* well was known since 2012. Whether that
# would carry over to detection, where labels are few, was debated. The paper's answer, from its Tables 1
# and 2:

# %%
paper = settings.data_dir() / "paper"
table_1 = pd.read_csv(paper / "table1_voc2010_test.csv", index_col="method")
table_2 = pd.read_csv(paper / "table2_voc2007_test.csv", index_col="method")
fig, axes = plt.subplots(1, 2, figsize=(14, 5))
for ax, table, title in zip(axes, (table_1, table_2), ("Table 1: VOC 2010 test", "Table 2: VOC 2007 test")):
    is_rcnn = table.index.str.startswith("R-CNN")
    bars = ax.barh(table.index, table.mAP, color=np.where(is_rcnn, "#0072B2", "#BBBBBB"))
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.set(title=title, xlabel="mAP, %", xlim=(0, 70))
    ax.invert_yaxis()
plots.show(
    fig,
    alt="Mean AP of each method in Tables 1 and 2. R-CNN's bars, in blue, are longer than all others beside them.",
)

# %%
uva, rcnn, dpm = table_1.mAP["UVA"], table_1.mAP["R-CNN"], table_1.mAP["DPM v5"]
ft, plain = table_2.mAP["R-CNN FT fc7"], table_2.mAP["R-CNN fc7"]
bb = table_2.mAP["R-CNN FT fc7 BB"]
display(
    Markdown(
        f"- **Same proposals, other features.** UVA uses the same selective search boxes, with bags of visual words: "
        f"{uva} against R-CNN's {rcnn} on VOC 2010.\n"
        f"- **Against the popular deformable part models (DPM):** {dpm} on VOC 2010; R-CNN adds "
        f"{rcnn - dpm:.1f} points, and with bounding-box regression (BB) {table_1.mAP['R-CNN BB'] - dpm:.1f}.\n"
        f"- **Pre-training carries over.** Without any training of the network on VOC, fc7 reaches {plain} on VOC 2007; "
        f"fine-tuning (FT) lifts it to {ft}, and box regression to {bb}."
    )
)

# %% [markdown]
# Our toys are not those photographs, and our network has a quarter of the paper's channels. The numbers of
# section 4 and the paper's must not be compared. What can be compared are *differences*: whether a change
# helps or hurts here as it did there. That is what the course is about, and [notebook
# 07](07_detection_and_evaluation.ipynb) ends with a table of them.
#
# ## 7. The map
#
# | step | what happens | notebook | module | the paper |
# |---|---|---|---|---|
# | picture → boxes | selective search | [01 Region proposals](01_region_proposals.ipynb) | `proposals` | 2.1, 4.2 |
# | boxes → squares | warping with context | [02 Warping](02_warping.ipynb) | `warping` | 2.1, App. A |
# | squares → features | the network | [03 Feature extraction](03_feature_extraction.ipynb) | `networks`, `features` | 2.1, 2.2 |
# | other toys → our classes | fine-tuning | [04 Fine-tuning](04_fine_tuning.ipynb) | `finetuning` | 2.3, App. B |
# | features → scores | SVMs with hard negatives | [05 SVM training](05_svm_training.ipynb) | `svm` | 2.3, App. B |
# | features → better boxes | box regression | [06 Bounding-box regression](06_bounding_box_regression.ipynb) | `bbox_regression` | 3.5, App. C |
# | scores → detections → mAP | suppression, evaluation | [07 Detection and evaluation](07_detection_and_evaluation.ipynb) | `nms`, `evaluation` | 2.2, 3 |
# | what is each part worth? | the paper's Table 2, redone | the end of [07](07_detection_and_evaluation.ipynb) | `ablation` | 3.2, App. A to C |
#
# | what goes wrong, and why? | false positives, hard objects | [08 Error analysis](08_error_analysis.ipynb) | `diagnosis` | 3.4 |
# | what did the network learn? | units as detectors | [09 pool5 units](09_pool5_units.ipynb) | `units` | 3.1, App. D |
# | a class for every pixel | regions with outlines | [10 Segmentation](10_segmentation.ipynb) | `segmentation` | 5 |
# | two hundred classes | shared features, fair halves | [11 Many classes](11_many_classes.ipynb) | `baselines`, `scaling` | 2.2, 4 |
# | is the test a test? | near-duplicates | [12 Dataset redundancy](12_dataset_redundancy.ipynb) | `redundancy` | App. F |
# | what holds? | every claim, measured | [13 Does it replicate?](13_does_it_replicate.ipynb) | `claims` | all |
#
# Every notebook can be opened first: what earlier stages make is computed when it is missing.
#
# ## 8. Your own pictures
#
# Save the detector and give it a picture. It knows toys and nothing else, so photographs of your street
# will disappoint you; train it on a folder of your own in PASCAL VOC layout for that:
#
# ```
# rcnn train  --voc DIR --split trainval --network alexnet --out model.safetensors
# rcnn detect my_photo.jpg another.jpg --model model.safetensors
# ```
#
# The annotated pictures are written to the folder `detections`; `--json FILE` writes the boxes and scores
# as well, and `--threshold` sets the least score. From Python:
#
# ```python
# from rcnn_helpers.detector import RCNN
# from rcnn_helpers.images import read_image
#
# detector = RCNN.load("model.safetensors")
# print(detector.detect(read_image("my_photo.jpg")).to_frame())
# ```
#
# ## Checkpoint

# %%
assert np.isclose(iou(A, B), boxes.iou([A], [B])[0, 0], atol=1e-3), "your IoU is not the package's"
assert np.array_equal(box_of_mask(regions.mask(0)), regions.boxes[0]), "a proposal is the box of its region"
assert scores.shape == (len(proposals), len(test.classes)) and np.isfinite(scores).all()
assert (detections.scores[:-1] >= detections.scores[1:]).all(), "detections come best first"
assert (detections.scores > threshold).all(), "the threshold holds"
for name in test.classes:
    of_class = detections.of_class(name).boxes
    pairwise = boxes.iou(of_class, of_class) - np.eye(len(of_class))
    assert (pairwise <= settings.NMS_IOU + 1e-6).all(), f"two {name} boxes overlap after suppression"
assert all(0 <= value <= 1 for value in evaluation.ap.values() if np.isfinite(value))
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Open questions: nobody checks them, and some have no single answer.
#
# **1. Suppression by hand** (●○○, 5 minutes). Four boxes of one class: (0, 0, 10, 10) with score 0.6, (1,
# 0, 11, 10) with 0.9, (6, 0, 16, 10) with 0.8, (30, 0, 40, 10) with 0.1. Which are kept at an IoU threshold
# of 0.3, and which at 0.6? In which order? Check with `nms`.

# %%
# your code

# %% [markdown]
# **2. Fewer proposals** (●●○, 15 minutes). Proposals are ranked. Run `detector.detect_dataset` on `subset`
# with the first 50, 100, 200 and 300 proposals of each picture, and plot the mAP over their number. Where
# would you stop if each region cost you 5 milliseconds?

# %%
# your code

# %% [markdown]
# **3. The same toy, moved** (●●○, 20 minutes). Cut a picture off by ten pixels on the left (`image[:,
# 10:]`) and detect again. Which detections come back, moved by ten pixels, and which change their score or
# vanish? The network and the SVMs are the same. What is it that changes?

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - R-CNN is a chain of six stages: propose, warp, describe, score, straighten, suppress. Each can be looked at,
#   measured and replaced by itself.
# - Each region is judged alone, and its box is nudged by what it shows itself.
# - Most of the network's knowledge comes from another task with many labels. A short fine-tuning and small linear
#   models fit it to this one.
# - A detection is right from an IoU of 0.5 with an object of its class. The mAP sums up how well the right ones
#   are ranked, and an object that no proposal comes near is not found.
#
# ## Where this differs from the paper
#
# - The pictures are synthetic (ToyVOC), the network has a quarter of the channels of the paper's (its *T-Net*) and no
#   local response normalisation, and it was pre-trained on toys of other categories instead of ImageNet.
# - The network was fine-tuned on some hundred pictures with few objects of each class (the first cells count them);
#   the paper's on the 5,011 of VOC 2007 trainval. `data/weights/README.md` says how.
# - The number of proposals is cut on a laptop (`course.profile.max_proposals`); the paper keeps around
#   2000.
#
# ## Next
#
# [01 Region proposals](01_region_proposals.ipynb): where could *anything* be?
