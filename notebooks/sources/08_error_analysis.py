# %% [markdown]
# # Error analysis
#
# *Average precision says how good a detector is; only its mistakes, sorted by kind, priced and looked at, say why,
# and what to do next.*
#
# **The paper:** section 3.4 with Figures 5 and 6 (detection error analysis), section 3.5 (what followed from it). The
# tool behind both figures is Hoiem, Chodpathumwan and Dai's (ECCV 2012); TIDE (Bolya et al., ECCV 2020) is a later one.
#
# **You will**
#
# - sort false positives into four kinds, on paper and in code, and look at the worst of each;
# - work out what each kind costs, and see why these costs do not add up;
# - compare three detectors as the paper does, and test its claim that box regression mends mistakes of place;
# - learn why average precision has to be normalised before classes or sizes can be compared;
# - measure what makes an object hard: occlusion, truncation, size, shape, viewpoint, parts; and how much of such a
#   measurement is chance;
# - set a second way of sorting beside the first, and see where the two disagree.
#
# **You need** the rules of detection and average precision ([notebook 07](07_detection_and_evaluation.ipynb)). For the
# three detectors it helps to know what fine-tuning ([notebook 04](04_fine_tuning.ipynb)) and box regression ([notebook
# 06](06_bounding_box_regression.ipynb)) are. **Time:** about 60 minutes for reading and predicting, and 55 for the four
# exercises. The first cell says what the cells take on a machine like yours; on a GPU nothing was measured yet.
#
# The module behind it is `rcnn_helpers.diagnosis`. The pictures are ToyVOC: rendered, synthetic toys. As they are
# rendered, everything about every object is known: how much of it is hidden, which of its parts can be seen.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from rcnn_helpers import boxes as geometry
from rcnn_helpers import diagnosis as dx
from rcnn_helpers import plots, settings, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.diagnosis import FP_TYPES, figures
from rcnn_helpers.diagnosis.examples import Examples
from rcnn_helpers.diagnosis.looks import LOOKS
from rcnn_helpers.diagnosis.normalized import OBJECTS_PER_IMAGE
from rcnn_helpers.evaluation import Detections, GroundTruth, collect_ground_truth, evaluate

# %%
course = open_course("08")

# %%
test, classes = course.test, course.test.classes
detectors = {
    "fc7": course.detections_before_fine_tuning,  # the pre-trained network
    "FT fc7": course.detections_without_regression,  # fine-tuned
    "FT fc7 BB": course.detections,  # fine-tuned, and boxes regressed
}
truth = collect_ground_truth(test)
print(f"{len(test.ids)} test images, {len(truth)} objects, {truth.difficult.sum()} of them difficult")
for name, found in detectors.items():
    print(f"{name:10s} {len(found):6,} detections, mAP {100 * evaluate(found, truth).mean_ap:.1f}%")

# %% [markdown]
# ## 1. How well is not why
#
# Three detectors, three numbers. Suppose that they are yours, and that you have a week. Would you look for better
# boxes? Better features? A remedy against detections on the wallpaper? The numbers do not say. Two rankings of a class
# with two objects, each with its mistakes in another place of the system:
#
# - right, *a loose box*, right;
# - right, *a plant*, right.
#
# Their average precision is the same to the last digit, as AP only asks whether a detection is right. A week spent on
# boxes would help the first detector, and would be lost on the second.
#
# Hoiem and his colleagues asked for more: **of what kind** is each false positive, **what would it be worth** not to
# make mistakes of that kind, and **which objects** does the detector find hard? The R-CNN paper calls their tool
# "excellent" and puts its whole error analysis into two figures made with it (sec. 3.4). We take them one after the
# other.
#
# ## 2. Four kinds of mistake
#
# A detection is a **false positive** by the rules of VOC: its IoU with every object of its class is below 0.5, or its
# object has been found by a better detection. The first line that fits gives its kind:
#
# | kind | in words | rule |
# |---|---|---|
# | `Loc` | poor localisation | IoU of 0.1 or more with an object of **its class**; duplicates are here, too |
# | `Sim` | similar class | IoU of 0.1 or more with an object of a **similar** class |
# | `Oth` | other class | IoU of 0.1 or more with an object of **any other** class |
# | `BG` | background | the rest |
#
# Which classes are similar is for people to say. In VOC these are, among others, the animals (with people among them), the
# vehicles, and chair, table and sofa. In ToyVOC the toys are built in three families:

# %%
similar = dx.similar_classes(classes)
pd.DataFrame({"classes": [", ".join(names) for names in similar.groups.values()]}, index=list(similar.groups))

# %% [markdown]
# **By hand.** One picture with a horse at (10, 10, 50, 50), a dog at (50, 10, 90, 50) and a table at (120, 10, 160, 50).
# A detector says "horse" six times:
#
# | | box | score |
# |---|---|---|
# | 1 | (10, 10, 50, 50) | 0.9 |
# | 2 | (10, 10, 50, 40) | 0.8 |
# | 3 | (60, 10, 100, 50) | 0.7 |
# | 4 | (40, 10, 90, 50) | 0.6 |
# | 5 | (130, 20, 150, 40) | 0.5 |
# | 6 | (170, 10, 200, 40) | 0.4 |
#
# Box 1 is right. The five others are wrong. Box 2 has an IoU of 0.75 with the horse, but that has been found: a
# duplicate, `Loc`. What are the others?
#
# **Predict.** Box 4 holds the whole dog and the hind legs of the horse, as it were: it shares 400 of 3,200 pixels with
# the horse, an IoU of 0.125, and all of the dog's 1,600 with the dog: 0.8. Of what kind is it?

# %%
predict("08 box 4", "The kind of box 4", choices=FP_TYPES)

# %% [markdown]
# ### Exercise: four kinds of mistake
#
# ●○○ · 10 minutes. Write the rule. It takes the `box` of a detection that is known to be a false positive, the class
# `name` that it claims, the `objects` of the picture (a list of corners, perhaps empty), their class `names`, and the
# list `similar` of the classes that are similar to `name`. It returns `"Loc"`, `"Sim"`, `"Oth"` or `"BG"`. An IoU of
# exactly 0.1 is enough. Box 3 above, a "horse" with an IoU of 0.6 with a dog and of 0 with the horse, gives `"Sim"` if
# `"dog"` is in `similar`.


# %% exercise="false_positive_type"
def false_positive_type(box, name, objects, names, similar):
    """The kind of a false positive: "Loc", "Sim", "Oth" or "BG".

    box: corners (x1, y1, x2, y2); name: the class it claims; objects, names: corners and classes of all objects of
    the picture; similar: names of the classes similar to `name`.
    """
    from rcnn_helpers.boxes import iou  # iou([box], [other])[0, 0] is the IoU of two boxes

    # solution
    near = [n for n, other in zip(names, objects, strict=True) if iou([box], [other])[0, 0] >= 0.1]
    if name in near:
        return "Loc"
    if any(n in similar for n in near):
        return "Sim"
    return "Oth" if near else "BG"


# %% [markdown]
# Your function (or the reference) on the five wrong boxes, beside what the package's `diagnose` says of all six:

# %%
objects, names = [[10, 10, 50, 50], [50, 10, 90, 50], [120, 10, 160, 50]], ["horse", "dog", "table"]
six_boxes = [
    [10, 10, 50, 50],
    [10, 10, 50, 40],
    [60, 10, 100, 50],
    [40, 10, 90, 50],
    [130, 20, 150, 40],
    [170, 10, 200, 40],
]
one = ("picture",)
six_truth = GroundTruth(
    image_ids=one,
    classes=tuple(names),
    image_index=np.zeros(3, int),
    class_index=np.arange(3),
    boxes=np.float32(objects),
    difficult=np.zeros(3, bool),
    object_index=np.arange(3),
)
six = Detections(one, names, [0] * 6, [0] * 6, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], six_boxes)
judged = dx.diagnose(six, six_truth)
yours = [
    ""
    if judged.outcome[row] == "tp"
    else false_positive_type(six_boxes[row], "horse", objects, names, ["dog"])
    for row in range(6)
]
overlaps = pd.DataFrame(geometry.iou(six_boxes, objects), columns=[f"IoU {name}" for name in names])
overlaps.assign(outcome=judged.outcome, kind=judged.fp_type, yours=yours).set_axis(range(1, 7)).round(3)

# %%
sheet, scale = np.full((228, 760, 3), 240, np.uint8), 3.6
styles = [
    "tp" if kind == "" else plots.BoxStyle(LOOKS[kind].colour, "dashed") for kind in judged.fp_type.tolist()
]
plots.show(
    plots.draw_boxes(
        sheet,
        np.float32([*six_boxes, *objects]) * scale,
        [f"{number} {kind}" for number, kind in enumerate(judged.fp_type.tolist(), 1)] + names,
        [*styles, *["truth"] * 3],
        font_size=16,
    ),
    alt="The six boxes (solid: right, dashed: wrong, with their kinds) and the three objects (dotted).",
)
meet("08 box 4", str(judged.fp_type[3]))

# %% [markdown]
# *Reading:* the order of the rules decides. Box 4 lies on a dog, and a person would say that a dog was taken for a
# horse. But a bit of horse is in it, so the rules call it a badly placed horse. Kinds of mistakes are no facts of nature;
# they are **conventions**, useful as long as they are the same for all detectors that are compared.
#
# ## 3. What our detector gets wrong
#
# All detections of the detector with everything (FT fc7 BB), class by class. `missed` counts objects that no
# detection found, at any score.

# %%
diagnoses = {name: dx.diagnose(found, truth) for name, found in detectors.items()}
diagnosis = diagnoses["FT fc7 BB"]
table = dx.counts(diagnosis)
pd.concat([table, table.sum().to_frame("all").T])

# %% [markdown]
# Most of these rows are of no interest. A detector that reports everything with any score at all has thousands of
# false positives far down its list, where they cost nothing. So we look at the **top** of each list: of every class as
# many false positives, the best-scored ones, as it has objects. That is Hoiem's choice, too.
#
# **Predict.** The paper finds that R-CNN errs in place (`Loc`) far more often than an older detector did. Which kind is
# the most frequent in ours?

# %%
predict("08 commonest kind", "The most frequent kind among the best-scored", choices=FP_TYPES)


# %%
def top_wrong(of):
    """Rows of each class's best-scored false positives, as many as the class has objects."""
    return np.concatenate([of.rows(name, limit=truth.n_positives(name)) for name in classes])


def top_shares(of):
    """Share of each kind among these, in percent."""
    kinds = of.fp_type[top_wrong(of)]
    return pd.Series({kind: 100 * np.mean(kinds == kind) if len(kinds) else 0.0 for kind in FP_TYPES})


top = top_wrong(diagnosis)
same = 0
for row in top:
    claimed, here = classes[diagnosis.detections.class_index[row]], diagnosis.detections.image_index[row]
    note = test.annotation(test.ids[here])
    box = diagnosis.detections.boxes[row].tolist()
    kind = false_positive_type(box, claimed, note.boxes.tolist(), list(note.names), list(similar.of(claimed)))
    same += int(kind == diagnosis.fp_type[row])
print(
    f"{len(top)} of the best-scored false positives; your function (or the reference) sorts {same} the same way"
)
plots.show(
    figures.false_positive_bars({"FT fc7 BB": diagnosis}),
    quality=42,
    alt="Share of each kind among the best-scored false positives, by class. Over all classes: "
    + ", ".join(f"{kind} {share:.0f}%" for kind, share in top_shares(diagnosis).items()),
)

# %%
shares = top_shares(diagnosis)
meet("08 commonest kind", shares.idxmax())
confused = shares["Sim"] + shares["Oth"]
told = ", ".join(f"{kind} {share:.0f}%" for kind, share in shares.items())
display(
    Markdown(
        f"Over all classes: {told}; {diagnosis.duplicate[top].sum()} of the Loc are duplicates. "
        f"**{confused:.0f}%** of the mistakes are confusions with another object, similar or not"
        + (
            ". That is another picture than the paper's: our detector's trouble is not so much *where* as **what**. "
            "Its network is small, and was pre-trained on 77 kinds of toys instead of a million photographs."
            if confused > shares["Loc"]
            else ", and mistakes of place are more frequent, as in the paper."
        )
    )
)

# %% [markdown]
# Who is taken for whom? The pairs that occur most often among these mistakes:

# %%
claimed = np.array(classes)[diagnosis.detections.class_index[top]]
kinds = diagnosis.fp_type[top]
is_confusion = np.isin(kinds, ["Sim", "Oth"])
really = np.array(classes)[truth.class_index[diagnosis.nearest[top[is_confusion]]]]
pairs = pd.DataFrame({"said": claimed[is_confusion], "is": really, "kind": kinds[is_confusion]})
pairs.value_counts().head(10).rename("times").reset_index()

# %% [markdown]
# ### The worst of each kind
#
# Numbers are half of it. **Look at the pictures**: a quarter of an hour with the worst mistakes can save a week. For
# each kind, the best-scored false positives, at most one a class.


# %%
def worst_of(kind, n=4):
    """The best-scored false positive of a kind in each class; of these the n best."""
    rows = np.concatenate([diagnosis.rows(name, kind, limit=1) for name in classes])
    return rows[np.argsort(-diagnosis.detections.scores[rows], kind="stable")][:n]


def caption_of(row):
    """What was said, with which score, and what is there."""
    said = f"{classes[diagnosis.detections.class_index[row]]} {diagnosis.detections.scores[row]:.2f}"
    near = diagnosis.nearest[row]
    there = "nothing" if near < 0 else classes[truth.class_index[near]]
    return f"{diagnosis.fp_type[row]}: {said}\non {there}, IoU {diagnosis.nearest_iou[row]:.2f}"


examples = Examples(diagnosis)
worst = np.concatenate([worst_of(kind) for kind in FP_TYPES])
crops = []
for row in worst:
    example = examples.of_detection(row)
    example.labels[:] = [""] * len(example.labels)  # the caption says it
    crops.append(example.crop(test.image(example.image_id), longest=210))
plots.show(
    plots.montage(crops, [caption_of(row) for row in worst], columns=4, cell=(190, 220), font_size=14),
    quality=56,
    alt="The best-scored false positives of each kind, four of each. "
    + " ".join(diagnosis.reason(row) for row in worst[::4]),
)

# %% [markdown]
# *Reading:* dashed is the detection, dotted the object that explains it. Ask of each: would a person have erred as well?
# Would you rather have the box mended or the class? Is the annotation right, and is the kind the one that you would have
# chosen?
#
# Now all of them. Choose a detector and a class, click a bar (or press the arrow keys on it), and move along the ranking.

# %%
explorer = widgets.DiagnosisExplorer(test, diagnoses)
explorer.controls["detector"].value = "FT fc7 BB"
explorer

# %% [markdown]
# *Static twin of the widget:* the first object that the same detections leave out.

# %%
state = {"detector": "FT fc7 BB", "kind": "missed", "rank": 1}
plots.show(explorer.render(**state), quality=62, alt=explorer.describe(**state))

# %% [markdown]
# ## 4. Down the ranking
#
# The top of the list was a choice. What happens further down? We go through the detections of each class and count them
# in multiples of its objects; a perfect detector would have found all of them at 1.
#
# Two kinds of recall tell how much there is to gain from boxes alone: **strong** recall counts the objects that a
# detection has found, with an IoU of 0.5; **weak** recall those that a detection of the right class at least points at,
# with 0.1.

# %%
by_class = [dx.detection_trend(diagnosis, name) for name in classes if truth.n_positives(name)]
ranking = pd.concat(by_class).groupby(level=0).mean()
fig, ax = plt.subplots(figsize=(9, 4.4))
for column, marker, line in (("strong recall", "o", "-"), ("weak recall", "s", "--"), ("correct", "^", ":")):
    label = "precision" if column == "correct" else column
    ax.plot(ranking.index, 100 * ranking[column], line, marker=marker, label=label)
ax.fill_between(
    ranking.index, 100 * ranking["strong recall"], 100 * ranking["weak recall"], color="black", alpha=0.08
)
ax.set_xscale("log", base=2)
ax.set_xticks(list(ranking.index), ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
ax.set(xlabel="detections looked at, in objects of the class", ylabel="mean over classes, %", ylim=(0, 102))
ax.legend()
at_one = 100 * ranking.loc[1.0]
plots.show(
    fig,
    quality=60,
    alt=f"With as many detections as objects, precision is {at_one['correct']:.0f}%, strong recall "
    f"{at_one['strong recall']:.0f}% and weak recall {at_one['weak recall']:.0f}%.",
)

# %%
last = 100 * ranking.iloc[-1]
display(
    Markdown(
        f"With as many detections as objects, {at_one['correct']:.0f}% are right. They find {at_one['strong recall']:.0f}% "
        f"of the objects and point at {at_one['weak recall']:.0f}%. The grey band between the two, "
        f"**{at_one['weak recall'] - at_one['strong recall']:.0f} points** wide, is what perfect boxes could add there; "
        f"what lies above it no box regression can reach. Eight times as many detections find "
        f"{last['strong recall']:.0f}%, and {last['correct']:.0f}% of them are right."
    )
)

# %% [markdown]
# ## 5. What a kind is worth
#
# Frequent is not the same as expensive. A mistake costs more the more right detections stand below it. So ask: what
# would AP be **without** the mistakes of one kind? They are struck from the list; everything behind them moves up.
#
# **By hand.** A class with two objects, ranked: right, background, loose box, right. The recalls are ½, ½, ½, 1, the
# precisions 1, ½, ⅓, ½. So the eleven points have 1 six times (recalls 0 to 0.5) and ½ five times: 8.5 / 11 = 0.773.
# Without the background the last precision is ⅔, and AP is (6 + 5 · ⅔) / 11 = 0.848. The background costs 0.076.
#
# ### Exercise: what a kind of mistake costs
#
# ●●○ · 15 minutes. It takes the `outcomes` of one class, best score first: a list of `"tp"`, `"Loc"`, `"Sim"`, `"Oth"`
# and `"BG"`; the number `n_objects` of its objects; and a `kind`. It returns the **gain** in 11-point AP, from 0 to 1,
# if all mistakes of that kind are struck from the list. The ranking above, `["tp", "BG", "Loc", "tp"]` with 2 objects,
# gives 0.076 for `"BG"`. An empty list gives 0.


# %% exercise="gain_without"
def gain_without(outcomes, n_objects, kind):
    """How much 11-point AP, from 0 to 1, rises if the mistakes of one kind are removed.

    outcomes: list of "tp", "Loc", "Sim", "Oth", "BG", best score first; n_objects: objects of the class; kind: one
    of the last four.
    """
    # average_precision(recall, precision) is 11-point AP; both are arrays, one entry a detection.
    from rcnn_helpers.evaluation import average_precision

    # solution
    def ap(ranked):
        right = np.array([outcome == "tp" for outcome in ranked], dtype=bool)
        found = np.cumsum(right)
        return average_precision(found / n_objects, found / np.arange(1, len(right) + 1))

    return ap([outcome for outcome in outcomes if outcome != kind]) - ap(outcomes)


# %% [markdown]
# Removing a `Loc` says what it costs to have it in the way. But a loose box could also be **fixed**: moved onto its
# object, where it becomes a right detection, or is dropped as a duplicate if that object has been found. That brings
# more: a mistake less and an object more. For the other kinds there is nothing to fix without inventing what the
# detection should have been.
#
# **Predict.** Which of the five raises the mAP most?

# %%
changes = ["Loc removed", "Loc fixed", "Sim removed", "Oth removed", "BG removed"]
predict("08 worth most", "The change that is worth most", choices=changes)

# %% [markdown]
# **Predict.** And if *all* false positives are struck at once, all four kinds: is that worth more or less than the four
# single gains together?

# %%
predict("08 all at once", "All four at once, compared with their sum", choices=["less", "more"])

# %%
impacts = {name: 100 * dx.impact(each).loc["mean"] for name, each in diagnoses.items()}
plots.show(
    figures.impact_bars(diagnoses),
    quality=50,
    alt="Gain in mean AP for each change and detector. "
    + "; ".join(
        f"{name}: " + ", ".join(f"{change} {mean[change] - mean['AP']:+.1f}" for change in changes)
        for name, mean in impacts.items()
    ),
)
gains = impacts["FT fc7 BB"][changes] - impacts["FT fc7 BB"]["AP"]
meet("08 worth most", gains.idxmax())

# %%
outcomes_of = {
    name: [diagnosis.fp_type[row] or "tp" for row in diagnosis.ranked(name)]
    for name in classes
    if truth.n_positives(name)
}
yours = {
    kind: 100
    * np.mean([gain_without(ranked, truth.n_positives(c), kind) for c, ranked in outcomes_of.items()])
    for kind in FP_TYPES
}
only_right = diagnosis.detections.select(diagnosis.outcome == "tp")
at_once = 100 * (evaluate(only_right, truth).mean_ap - diagnosis.mean_ap)
meet("08 all at once", "more" if at_once > sum(yours.values()) else "less")
display(
    Markdown(
        "Your function (or the reference), mean over the classes: "
        + ", ".join(f"{kind} {gain:+.1f}" for kind, gain in yours.items())
        + f"; the package differs by {max(abs(yours[k] - gains[f'{k} removed']) for k in FP_TYPES):.2f} at most. The four "
        f"add up to {sum(yours.values()):.1f} points; all four at once are worth **{at_once:.1f}**."
    )
)

# %% [markdown]
# *Reading:* why do the gains not add up? Mistakes stand in each other's shadow. Before a right detection there may be a
# confusion *and* a piece of wallpaper; take away either, and the other still stands there. Only when both go does the
# right one come first. So a single gain says what **one** repair would be worth to **this** detector; after it, all
# other gains are others. And 100% is not reached even without a single false positive: what was never found is still
# missing.
#
# And do not hold "fixed" against "removed". A fix also gives an object that had not been found; confusions are removed
# and give nothing. A rare kind that can be fixed may so look dearer than a frequent one that can only be removed. TIDE
# (section 11) fixes both.
#
# ## 6. Three detectors, and the paper's Figure 5
#
# The paper draws the kinds over the ranking: among the first 25, 50, 100, ... false positives of a class, which share
# is of which kind? A column for each detector, a row for each group of classes. From it the paper reads, in the caption
# of Figure 5:
#
# - that compared with an older detector (DPM, on HOG features) "significantly more of our errors result from poor
#   localization, rather than confusion with background or other object classes": so the features tell classes apart;
# - that "our simple bounding-box regression method fixes many localization errors".
#
# The second claim can be tested here, with the same detector before and after. (In the paper the first column is fc6
# without fine-tuning; ours is fc7.)
#
# **Predict.** Among the best-scored false positives, as many as there are objects: does box regression bring the number
# of `Loc` down?

# %%
predict(
    "08 regression and place", "With box regression, the number of Loc", choices=["falls", "does not fall"]
)

# %%
shown_groups = {group: similar.groups[group] for group in ("animals", "furniture")}  # those of the paper
plots.show(
    figures.false_positive_trend(diagnoses, groups=shown_groups),
    quality=35,
    alt="Shares of the kinds over the number of false positives looked at: a column for each detector, a row for each "
    "group of classes. Among the first 25, mean over all classes: "
    + "; ".join(
        f"{name} "
        + ", ".join(f"{kind} {100 * share:.0f}%" for kind, share in dx.trends(each).iloc[0].items())
        for name, each in diagnoses.items()
    ),
)

# %% [markdown]
# *Reading:* from left to right in a panel, more of the ranking is looked at. The first false positives are those that
# cost; far down the list, every detector fires on background. From panel to panel: what has changed with the
# detector?

# %%
wrong_rows = {name: top_wrong(each) for name, each in diagnoses.items()}
top_counts = pd.DataFrame(
    {
        name: {kind: int((diagnoses[name].fp_type[rows] == kind).sum()) for kind in FP_TYPES}
        | {"mAP, %": 100 * diagnoses[name].mean_ap}
        for name, rows in wrong_rows.items()
    }
).T
meet(
    "08 regression and place",
    "falls" if top_counts.Loc["FT fc7 BB"] < top_counts.Loc["FT fc7"] else "does not fall",
)
top_counts.astype({kind: int for kind in FP_TYPES}).round(1)

# %% [markdown]
# A share can fall because other mistakes have grown. So we follow the objects. Some were not found before regression,
# though one of the best-scored detections pointed at them with a loose box. How many of these are found after it? And
# the other way round, to be fair: how many that had been found are lost?

# %%
before, after = diagnoses["FT fc7"], diagnoses["FT fc7 BB"]
loose = wrong_rows["FT fc7"][before.fp_type[wrong_rows["FT fc7"]] == "Loc"]
pointed_at = np.unique(before.nearest[loose])
pointed_at = pointed_at[(before.found_by[pointed_at] < 0) & ~truth.difficult[pointed_at]]
mended = int((after.found_by[pointed_at] >= 0).sum())
found_before, found_after = before.found_by >= 0, after.found_by >= 0
strict = {name: dx.diagnose(detectors[name], truth, match_iou=0.7) for name in ("FT fc7", "FT fc7 BB")}
strict_loc = {name: top_shares(each)["Loc"] for name, each in strict.items()}
strict_map = {name: 100 * each.mean_ap for name, each in strict.items()}
display(
    Markdown(
        f"{len(pointed_at)} objects were pointed at and not found; **{mended}** of them are found after regression. Of "
        f"all objects {int((~found_before & found_after).sum())} are found that were not, and "
        f"{int((found_before & ~found_after).sum())} are lost. The mAP goes from {100 * before.mean_ap:.1f} to "
        f"{100 * after.mean_ap:.1f}; in the paper, from 54.2 to 58.5.\n\n"
        f"For a stricter judge, who asks for an IoU of 0.7, many a right box becomes a Loc: its share among the "
        f"best-scored mistakes is {strict_loc['FT fc7']:.0f}% before and {strict_loc['FT fc7 BB']:.0f}% after (at 0.5 "
        f"{top_shares(before)['Loc']:.0f}% and {top_shares(after)['Loc']:.0f}%), and the mAP goes from "
        f"{strict_map['FT fc7']:.1f} to {strict_map['FT fc7 BB']:.1f}."
    )
)

# %% [markdown]
# How does that compare with mending *every* `Loc`, the bar "Loc fixed" of section 5? A `Loc` may have an IoU of 0.1 only.
# The regressors have learned from pairs above 0.6 ([notebook 06](06_bounding_box_regression.ipynb)) and carry a box a
# little way. Mistakes of place are not all within their reach:

# %%
could = impacts["FT fc7"]["Loc fixed"] - impacts["FT fc7"]["AP"]
won = 100 * (after.mean_ap - before.mean_ap)
loose_iou = before.nearest_iou[loose[~before.duplicate[loose]]]
near_enough = 100 * np.mean(loose_iou >= 0.4) if len(loose_iou) else 0.0
display(
    Markdown(
        f"Mending *every* Loc would have been worth {could:.1f} points. Regression has won **{won:+.1f}**. Of the loose "
        f"boxes among the best-scored, {near_enough:.0f}% have an IoU of 0.4 or more with their object, a small move away "
        "from being right."
    )
)

# %% [markdown]
# So a diagnosis can say *beforehand* what a remedy may bring: as much as the mistakes cost that it can reach. Where place
# is the main trouble, as the paper found, that is a lot, and where things are taken for each other, little.
#
# ## 7. Negative controls
#
# A diagnosis always has an answer: the shares add up to 100%, whatever it is given. What does it say of detections that
# make no sense? Four ways to break them:
#
# - **shuffled scores**: within each class, every detection has the score of another one;
# - **shuffled classes**: every detection claims the class of another one;
# - **next picture**: the detections of each picture are laid over the next;
# - **random places**: every box is put anywhere in its picture, in its size.
#
# **Predict.** Which kind will be most frequent when all boxes are at random places?

# %%
predict("08 random places", "The most frequent kind with boxes at random places", choices=FP_TYPES)

# %%
rng, honest = np.random.default_rng(0), diagnosis.detections
columns = ("image_ids", "classes", "image_index", "class_index", "scores", "boxes")


def changed(**replaced):
    """The detections with some columns replaced."""
    return Detections(**({name: getattr(honest, name) for name in columns} | replaced))


shuffled_scores = honest.scores.copy()
for c in range(len(classes)):
    rows = np.flatnonzero(honest.class_index == c)
    shuffled_scores[rows] = shuffled_scores[rng.permutation(rows)]
notes = [test.annotation(image_id) for image_id in test.ids]
sides = np.array([(note.width, note.height) for note in notes])[honest.image_index]
extent = honest.boxes[:, 2:] - honest.boxes[:, :2]
corner = (rng.random(extent.shape) * np.clip(sides - extent, 0, None)).astype(np.float32)
broken = {
    "the detector": honest,
    "shuffled scores": changed(scores=shuffled_scores),
    "shuffled classes": changed(class_index=rng.permutation(honest.class_index)),
    "next picture": changed(image_index=(honest.image_index + 1) % len(test.ids)),
    "random places": changed(boxes=np.concatenate([corner, corner + extent], axis=1)),
}
controls = {name: dx.diagnose(found, truth) for name, found in broken.items()}
control_shares = pd.DataFrame({name: top_shares(each) for name, each in controls.items()}).T
meet("08 random places", control_shares.loc["random places"].idxmax())

# %%
fig, ax = plt.subplots(figsize=(10, 3.8))
start = np.zeros(len(control_shares))
for kind in FP_TYPES:
    look, width = LOOKS[kind], control_shares[kind].to_numpy()
    bars = ax.barh(
        control_shares.index,
        width,
        left=start,
        label=kind,
        color=look.colour,
        hatch=look.hatch,
        edgecolor="#222222",
    )
    texts = [f"{value:.0f}" if value >= 6 else "" for value in width]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
    ax.bar_label(bars, texts, label_type="center", bbox=box)
    start += width
for position, each in enumerate(controls.values()):
    ax.text(102, position, f"mAP {100 * each.mean_ap:.1f}", va="center")
ax.set(xlabel="share of the best-scored false positives, %", xlim=(0, 118), xticks=range(0, 101, 20))
ax.invert_yaxis()
ax.grid(visible=False)
ax.legend(loc="lower center", bbox_to_anchor=(0.42, 1), ncols=4)
plots.show(
    fig,
    quality=55,
    alt="Kinds of the best-scored false positives of the detector and of four broken ones. "
    + "; ".join(
        f"{name}: " + ", ".join(f"{kind} {value:.0f}%" for kind, value in row.items())
        for name, row in control_shares.iterrows()
    ),
)

# %%
n_similar = np.mean([len(similar.of(name)) for name in classes])
by_chance = 100 * n_similar / (len(classes) - 1)
parts = {name: row.Sim / max(row.Sim + row.Oth, 1e-9) for name, row in control_shares.iterrows()}
display(
    Markdown(
        f"Of the confusions of our detector, **{100 * parts['the detector']:.0f}%** are with a similar class. A class "
        f"has {n_similar:.0f} similar ones among {len(classes) - 1} others: if confusions were blind, it would be about "
        f"{by_chance:.0f}%. With shuffled classes it is {100 * parts['shuffled classes']:.0f}%, with the next picture's "
        f"boxes {100 * parts['next picture']:.0f}%. At random places, {100 - control_shares.BG['random places']:.0f}% of "
        "the boxes still count as something else than background. "
        + (
            "So the detector's confusions are those of somebody who sees something: alike things are mixed up more often."
            if parts["the detector"] > max(parts["shuffled classes"], by_chance / 100)
            else "So its confusions are hardly better than blind ones."
        )
    )
)

# %% [markdown]
# *Reading:* no share means much by itself. Each has a **chance level**, and that depends on the pictures: on how many
# objects they hold, and how large. A box at a random place in a full picture overlaps something, and is called a
# confusion. Shuffled scores keep every box and class and only lose the order, so the top of the list looks like its far
# end. What carries information is the *difference* to these bars, or between detectors on the same pictures. For the same
# reason shares of two data sets must not be compared, ours and VOC's included.
#
# ## 8. A fairer average precision
#
# Which class is hardest? One is tempted to compare their APs. But precision depends on how many objects there are. Two
# classes, of each of which half the objects are found at the price of ten false positives:
#
# - 20 objects: 10 right of 20 detections, a precision of **0.5**;
# - 100 objects: 50 right of 60, a precision of **0.83**.
#
# Nobody would say that the detector is better at the second one: it finds the same share of the objects and makes as many
# mistakes in as many pictures. The more objects, the easier precision is to be had. So Hoiem et al. pretend that every
# class has the same number $N$ of objects. With a recall of $R$ and $F$ false positives so far, the **normalised
# precision** is
#
# $$P_N = \frac{R \cdot N}{R \cdot N + F}$$
#
# With $N = 50$, both classes have $25 / 35 = 0.71$. The tool takes $N$ to be 0.15 objects a picture, and this paper's
# Figure 6 is made with that.
#
# **Normalised average precision** is the mean of $P_N$ over **all objects** of the class: an object that was found has
# the best $P_N$ from its place in the ranking on; one that never was has 0. As it is a mean over objects, it has a
# standard error, and it can be taken over *some* of the objects, such as the small ones: that is what it is for.
#
# **By hand.** Four objects, $N = 100$, ranked: right, wrong, right. At the first right one $R = ¼$ and $F = 0$:
# $25 / 25 = 1$. At the second $R = ½$ and $F = 1$: $50 / 51 = 0.980$. Two objects are never found. So it is
# $(1 + 0.980 + 0 + 0) / 4 = 0.495$.
#
# ### Exercise: normalised average precision
#
# ●●● · 20 minutes. It takes `right`, a list of True and False, best score first; the number `n_objects`; and $N$ as
# `normal`. It returns the normalised average precision, from 0 to 1. Mind "the best from its place on": if the first
# detection is wrong and three are right after it, the precision rises down the list, and all three count with the last
# and highest value. `[True, False, True]` with 4 objects and $N = 100$ gives 0.495. If nothing is right, it is 0.


# %% exercise="normalized_average_precision"
def normalized_average_precision(right, n_objects, normal):
    """Mean over all objects of the normalised precision at which they were found, from 0 to 1.

    right: list of bool, best score first; n_objects: objects of the class; normal: the number N to reckon with.
    """
    # solution
    right = np.array(right, dtype=bool)
    recall = np.cumsum(right) / n_objects
    false_ones = np.cumsum(~right)
    precision = recall[right] * normal / (recall[right] * normal + false_ones[right])
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return best_from_here.sum() / n_objects


# %% [markdown]
# Your function (or the reference) on all classes, beside the package's. Which has changed its place?

# %%
normal = OBJECTS_PER_IMAGE * len(test.ids)
fair = dx.normalized_aps(diagnosis)
with_objects = [name for name in classes if truth.n_positives(name)]
yours = {
    name: normalized_average_precision(
        (diagnosis.outcome[diagnosis.ranked(name)] == "tp").tolist(), truth.n_positives(name), normal
    )
    for name in with_objects
}
both = pd.DataFrame(
    {
        "objects": fair.n,
        "AP, %": 100 * pd.Series(diagnosis.ap),
        "normalised AP, %": 100 * fair.ap_n,
        "its standard error": 100 * fair.standard_error,
        "yours": 100 * pd.Series(yours),
    }
).loc[with_objects]
both.insert(2, "place by AP", both["AP, %"].rank(ascending=False).astype(int))
both.insert(4, "place, normalised", both["normalised AP, %"].rank(ascending=False).astype(int))
both.sort_values("normalised AP, %", ascending=False).round(1)

# %%
mean_objects = fair.n[with_objects].mean()
mean_fair = 100 * fair.ap_n.mean()
display(
    Markdown(
        f"Here $N$ is {normal:.1f}, while a class has {mean_objects:.0f} objects on average. So the normalised AP is "
        f"{'lower' if mean_fair < 100 * diagnosis.mean_ap else 'higher'} than AP: {mean_fair:.1f}% against "
        f"{100 * diagnosis.mean_ap:.1f}% on average. In the paper it is higher, 63.3% against 58.5%: VOC's "
        "test set has 4,952 pictures, so $N$ is 743, more than the objects that most of its classes have. Only numbers "
        "with the same $N$ compare."
    )
)

# %% [markdown]
# ## 9. What makes an object hard: Figure 6
#
# Now the other half of the diagnosis: not the false positives, but the objects. Does the detector find large ones better
# than small ones, whole ones better than those cut off? For each class, the objects are sorted into subsets by one
# characteristic at a time:
#
# - **occlusion**: none (N), low (L), medium (M), high (H);
# - **truncation**: cut off by the edge of the picture, or not;
# - **box area**: XS, S, M, L, XL; and **aspect ratio** (width by height): XT, extra tall, to XW, extra wide;
# - **viewpoint**: which of the toy's sides can be seen; **part visibility**: which of its parts.
#
# Hoiem and his colleagues annotated occlusion, sides and parts of seven VOC classes by hand. Our renderer knows them of
# every object, so all twelve classes take part. For each subset, normalised AP is computed as if there were only these
# objects: right detections of others are ignored, false positives all stay.
#
# What is a *small* object? Small for its class. The cuts lie in the ranking of the class's own areas.
#
# ### Exercise: five bins of size
#
# ●○○ · 10 minutes. It takes the `areas` of a class's objects, all different; their number is a multiple of ten. It returns
# a list with the bin of each, in the order of `areas`: the smallest tenth of the objects is `"XS"`, the next two tenths
# are `"S"`, the next four `"M"`, the next two `"L"`, and the largest tenth is `"XL"`. The areas 10, 20, ..., 100 give
# `["XS", "S", "S", "M", "M", "M", "M", "L", "L", "XL"]`.


# %% exercise="size_bins"
def size_bins(areas):
    """The bin of each area: "XS", "S", "M", "L" or "XL", in the order given.

    areas: list of 10, 20, 30, ... different numbers.
    """
    # solution
    ordered = sorted(areas)
    cuts = [ordered[len(areas) * tenths // 10 - 1] for tenths in (1, 3, 7, 9)]
    names = ["XS", "S", "M", "L", "XL"]
    return [names[sum(area > cut for cut in cuts)] for area in areas]


# %% [markdown]
# Your function (or the reference) on the class with most objects (as many of them as make a multiple of ten), with the
# share that was found at any score:

# %%
attributes = dx.object_attributes(test)
largest_class = max(classes, key=truth.n_positives)
rows = np.flatnonzero((attributes["class"] == largest_class) & ~attributes.difficult)
rows = rows[np.unique(attributes.area.to_numpy()[rows], return_index=True)[1]]
rows = rows[: len(rows) // 10 * 10]
if len(rows):
    of_largest = attributes.iloc[rows].assign(
        bin=size_bins(attributes.area.iloc[rows].tolist()), found=100.0 * (diagnosis.found_by[rows] >= 0)
    )
    shown = of_largest.groupby("bin").agg(
        objects=("area", "size"), smallest=("area", "min"), largest=("area", "max"), found=("found", "mean")
    )
    print(largest_class)
    display(shown.loc[["XS", "S", "M", "L", "XL"]].round(0).astype(int).rename(columns={"found": "found, %"}))

# %% [markdown]
# One class on one characteristic is a small table. The figure sums all of them up: for each class take the subset with
# the highest and the one with the lowest normalised AP, then the mean over the classes. The further apart, the more
# **sensitive** the detector is to the characteristic. Subsets of fewer than five objects are left out.
#
# **Predict.** To which of the six is our detector most sensitive?

# %%
predict("08 most sensitive", "The longest range of the six", choices=dx.PAPER_CHARACTERISTICS)

# %% [markdown]
# **Predict.** "Overall, fine-tuning does not reduce sensitivity (the difference between max and min), but does
# substantially improve both the highest and lowest performing subsets" (Fig. 6). Here: does fine-tuning make the ranges
# shorter or longer, on average over the six?

# %%
predict("08 fine-tuning and ranges", "With fine-tuning the mean range is", choices=["shorter", "longer"])

# %%
sensitivities = {name: dx.sensitivity(each, attributes) for name, each in diagnoses.items()}
summaries = {
    name: dx.sensitivity_summary(frame).reindex(dx.PAPER_CHARACTERISTICS).dropna()
    for name, frame in sensitivities.items()
}
ranges = pd.DataFrame({name: 100 * (s.highest - s.lowest) for name, s in summaries.items()})
if len(ranges):
    of_paper = [
        frame[frame.characteristic.isin(dx.PAPER_CHARACTERISTICS)] for frame in sensitivities.values()
    ]
    plots.show(
        figures.sensitivity_summary_figure(dict(zip(sensitivities, of_paper, strict=True))),
        quality=58,
        alt="Mean normalised AP of the worst and the best subset for six characteristics, and of all objects, for three "
        "detectors. Ranges of FT fc7 BB: "
        + ", ".join(f"{name} {value:.0f} points" for name, value in ranges["FT fc7 BB"].items()),
    )
    meet("08 most sensitive", ranges["FT fc7 BB"].idxmax())
    meet(
        "08 fine-tuning and ranges", "shorter" if ranges["FT fc7"].mean() < ranges["fc7"].mean() else "longer"
    )

# %% [markdown]
# Beside the paper's Figure 6 (its numbers stand in the figure). Its first column is fc6 without fine-tuning, ours fc7;
# and $N$ is another one, so look at ranges in relation to the level, not at the level itself.

# %%
paper = pd.read_csv(settings.data_dir() / "paper" / "figure6_normalized_ap.csv")
paper = paper[paper.detector != "DPM v5"].set_index(["characteristic", "detector"])
paper_ranges = (100 * (paper.highest - paper.lowest)).unstack()
paper_means = 100 * paper.average.groupby(level="detector").first()
together = pd.concat(
    {
        "ours: range, points": ranges,
        "paper: range, points": paper_ranges.loc[
            list(dx.PAPER_CHARACTERISTICS), ["R-CNN fc6", "R-CNN FT fc7", "R-CNN FT fc7 BB"]
        ],
    },
    axis=1,
)
together.round(0)

# %%
if len(ranges):
    levels = {name: 100 * dx.normalized_aps(each).ap_n.mean() for name, each in diagnoses.items()}
    sides_of_range = {
        name: (100 * summaries["FT fc7"][name] - 100 * summaries["fc7"][name])
        for name in ("lowest", "highest")
    }
    better = {name: int((change > 0).sum()) for name, change in sides_of_range.items()}
    display(
        Markdown(
            f"*The paper:* fine-tuning (with fc7 for fc6) lifts the average from {paper_means['R-CNN fc6']:.0f} to "
            f"{paper_means['R-CNN FT fc7']:.0f}, and the mean range goes from {paper_ranges['R-CNN fc6'].mean():.0f} to "
            f"{paper_ranges['R-CNN FT fc7'].mean():.0f} points. *Here:* the average goes from {levels['fc7']:.1f} to "
            f"{levels['FT fc7']:.1f}, the mean range from {ranges['fc7'].mean():.0f} to {ranges['FT fc7'].mean():.0f}. The "
            f"worst subset gets better for {better['lowest']} of {len(ranges)} characteristics, the best one for "
            f"{better['highest']}. "
            + (
                "So fine-tuning does not make the detector less sensitive, as the paper says"
                if ranges["FT fc7"].mean() >= ranges["fc7"].mean()
                else "So fine-tuning makes the detector less sensitive, other than in the paper"
            )
            + f"; as a share of the average, the range is {ranges['fc7'].mean() / max(levels['fc7'], 1e-9):.1f} before and "
            f"{ranges['FT fc7'].mean() / max(levels['FT fc7'], 1e-9):.1f} after."
        )
    )

# %% [markdown]
# ### How much of a range is chance?
#
# A warning that neither figure gives. The best of several subsets is always better than the worst, even if the
# characteristic means nothing at all. So once more a **negative control**: within each class we *shuffle* who has which
# attributes. A "small" object is then any object. All subsets keep their sizes, all detections stay.
#
# **Predict.** How long are the ranges then, as a share of those measured?

# %%
of_measured = ["below a third", "a third to two thirds", "above two thirds"]
predict("08 ranges by chance", "Ranges with shuffled attributes", choices=of_measured)


# %%
def shuffled_attributes(rng):
    """The table with the rows of each class's objects, difficult ones apart, in another order."""
    order = np.arange(len(attributes))
    for name in classes:
        rows = np.flatnonzero((attributes["class"] == name) & ~attributes.difficult)
        order[rows] = rng.permutation(rows)
    mixed = attributes.iloc[order].reset_index(drop=True)
    return mixed.assign(image=attributes.image.to_numpy())


rng = np.random.default_rng(1)
draws = []
for _ in range(10):
    drawn = dx.sensitivity_summary(dx.sensitivity(diagnosis, shuffled_attributes(rng)))
    draws.append(100 * (drawn.highest - drawn.lowest))
by_chance = pd.DataFrame(draws).reindex(columns=list(ranges.index))
against_chance = pd.DataFrame(
    {
        "measured": ranges["FT fc7 BB"],
        "by chance": by_chance.mean(),
        "chance, smallest": by_chance.min(),
        "chance, largest": by_chance.max(),
    }
)
if len(ranges):
    share = float((against_chance["by chance"] / against_chance.measured).mean())
    meet("08 ranges by chance", of_measured[0 if share < 1 / 3 else 1 if share <= 2 / 3 else 2])
against_chance.round(1)

# %%
beyond = against_chance.index[against_chance.measured > against_chance["chance, largest"]]
if len(ranges):
    display(
        Markdown(
            f"Beyond all ten shuffles lie **{len(beyond)} of {len(against_chance)}** ranges"
            + (f": {', '.join(beyond)}." if len(beyond) else ".")
            + f" A class has {mean_objects:.0f} objects on average, so its smallest subsets hold {mean_objects / 10:.0f} or "
            "little more. VOC's test set has some hundred objects a class, and its ranges are that much surer. The more "
            "subsets there are to choose the best and the worst from, the longer a range tends to be by chance."
        )
    )

# %% [markdown]
# Class by class, with the standard errors, for the characteristic that lies furthest beyond chance (viewpoint and parts
# apart, which have too many subsets for one figure):

# %%
if len(ranges):
    with_few = against_chance.drop(["viewpoint", "part visibility"], errors="ignore")
    clearest = (with_few.measured - with_few["chance, largest"]).idxmax()
    plots.show(
        figures.sensitivity_by_class(sensitivities["FT fc7 BB"], clearest),
        quality=55,
        alt=f"Normalised AP by {clearest}, a panel for each class, with standard errors.",
    )

# %% [markdown]
# *Reading:* where the error bars of two subsets overlap widely, do not tell a story about them. Below each bar stands its
# number of objects.
#
# ## 10. What was missed
#
# Last, the objects that no detection found, or only so far down the list that hardly one in twenty detections there is
# right. That a tiny, hidden lamp is missed surprises nobody. So they are ordered by **surprise**: by how much better
# objects of their class with the same size, shape, occlusion and truncation fare.

# %%
missed = dx.missed_objects(diagnosis, attributes)
n_countable = int((~truth.difficult).sum())
shown = list(missed.index[~missed["class"].duplicated()][:6])  # one a class
crops, captions = [], []
for row in shown:
    example = examples.of_object(row)
    example.labels[:] = [""] * len(example.labels)
    crops.append(example.crop(test.image(example.image_id), longest=260))
    captions.append(
        f"{missed['class'][row]}: expected {missed.expected[row]:.2f},\nreached {missed.precision[row]:.2f}"
    )
if shown:
    plots.show(
        plots.montage(crops, captions, columns=3, cell=(230, 280), font_size=15),
        quality=62,
        alt="The most surprising misses, one a class, with the detection of their class that comes nearest. "
        + " ".join(examples.of_object(row).words for row in shown[:3]),
    )
never = int((missed.detection < 0).sum())
print(
    f"{len(missed)} of {n_countable} objects are missed: {never} were never found, {len(missed) - never} too late. "
    "Shown: those of which most was expected, one a class."
)

# %% [markdown]
# *Reading:* dotted is the missed object; the other box is the detection of its class that comes nearest, dashed if it is
# wrong, and solid if it is right but comes too late. What have they in common? If you find something that they share, you
# have found what to do next, and perhaps what to add to the training set.
#
# ## 11. A second opinion: TIDE
#
# Eight years later TIDE sorted again, with other rules. It wants types that can each be **mended**, so that each has a
# price, and it needs no list of similar classes:
#
# | type | rule (the first that fits) | mended by |
# |---|---|---|
# | `Loc` | IoU 0.1 to 0.5 with its own class | moving the box onto its object |
# | `Cls` | IoU of 0.5 or more with another class | correcting the class |
# | `Dupe` | its object has been found before | striking it |
# | `Bkg` | IoU of 0.1 at most with everything | striking it |
# | `Both` | the rest: another class, and a loose box | striking it |
# | `Miss` | an object not found that no `Loc` or `Cls` points at | not counting it |
#
# Where do the two agree? Rows: Hoiem's kinds. Columns: TIDE's. All false positives of our detector:

# %%
tides = {name: dx.tide(found, truth) for name, found in detectors.items()}
meeting = dx.agreement(diagnosis, tides["FT fc7 BB"])
plots.show(
    figures.agreement_figure(meeting),
    quality=70,
    alt="Numbers of false positives by Hoiem's kinds (rows) and TIDE's types (columns): "
    + "; ".join(
        f"{row} " + ", ".join(f"{column} {value}" for column, value in values.items() if value)
        for row, values in meeting.iterrows()
    ),
)

# %%
n_wrong = int(meeting.to_numpy().sum())
straight = int(
    meeting.loc["Loc", ["Loc", "Dupe"]].sum()
    + meeting.loc["BG", "Bkg"]
    + meeting.loc[["Sim", "Oth"], "Cls"].sum()
)
as_both = int(meeting.loc[["Sim", "Oth"], "Both"].sum())
display(
    Markdown(
        f"Of {n_wrong:,} false positives, {100 * straight / max(n_wrong, 1):.0f}% have the same name, or nearly, in both: "
        f"place, background, or another class with a good box. The great difference is **{as_both:,}** detections that "
        "Hoiem calls a confusion (Sim or Oth) and TIDE calls Both: they overlap an object of another class by 0.1 to "
        "0.5. Is that a confusion, or a box that happens to touch something? Hoiem says the one, TIDE that it is too far "
        "gone to say. Small differences stem from objects marked difficult: for Hoiem a box beside one is badly placed, "
        "for TIDE these objects are not there."
    )
)

# %% [markdown]
# And what would mending be worth? Each type alone, all else left as it is, in points of mAP:

# %%
plots.show(
    figures.tide_bars(tides),
    quality=50,
    alt="Gain in mAP for mending each of TIDE's types alone. "
    + "; ".join(
        f"{name}: " + ", ".join(f"{kind} {100 * value:+.1f}" for kind, value in each.delta_ap.items())
        for name, each in tides.items()
    ),
)

# %%
ours = tides["FT fc7 BB"]
six_prices = 100 * sum(ours.delta_ap.values())
dearest = max(ours.delta_ap, key=ours.delta_ap.get)
display(
    Markdown(
        f"The mAP is {100 * ours.ap:.1f}%, so {100 - 100 * ours.ap:.1f} points are missing to 100. The six prices add up "
        f"to **{six_prices:.1f}**. The dearest type is {dearest}, with {100 * ours.delta_ap[dearest]:.1f}; by Hoiem's "
        f"count, section 5, it was {gains.idxmax()}, with {gains.max():.1f}. Striking *all* false positives would be worth "
        f"{100 * ours.delta_fp:.1f} (section 5 has found {at_once:.1f}), and not counting the objects that were never found "
        f"{100 * ours.delta_fn:.1f}.\n\n"
        f"Mending the loose boxes is worth {gains['Loc fixed']:.1f} by Hoiem's rule and {100 * ours.delta_ap['Loc']:.1f} by "
        "TIDE's. Hoiem's moves every loose box onto its object, and the best-scored box there counts. TIDE's strikes a "
        "loose box if another detection finds its object anyway, or if one of type Cls with a better score claims it. "
        "Even a price is a convention."
    )
)

# %% [markdown]
# People often ask why TIDE's prices do not add up to 100. You know the answer from section 5: each is measured alone, with
# all other mistakes still in the list, and mistakes stand in each other's shadow. The authors say so as well. The prices
# are for **comparing** types and detectors, not for adding.
#
# Which of the two should you use? Both are conventions. Hoiem's kinds name the *cause* (what was it taken for?), and come
# with the characteristics of objects; TIDE's name the *remedy*, count missed objects, and need no knowledge of the
# classes. Where they agree, you may be rather sure.
#
# ## 12. Your own detector
#
# Nothing here asks who made the detections. With annotations in PASCAL VOC layout, from the shell, for our models,
# for VOC result files or for COCO result files, one or several side by side:
#
# ```
# rcnn diagnose --voc DIR --split test --results mine=RESULTS --results yours=OTHERS --report report
# ```
#
# The report is a folder of plain web pages: every bar leads to its pictures.
#
# ## Checkpoint
#
# These must hold on any pictures and with any weights.

# %%
assert judged.fp_type.tolist() == ["", "Loc", "Sim", "Loc", "Oth", "BG"] and judged.duplicate[1]
for name, each in diagnoses.items():
    adds_up = dx.counts(each)
    assert adds_up.drop(columns="missed").sum().sum() == len(each.detections), f"{name}: detections got lost"
    assert (adds_up.tp + adds_up.missed == [truth.n_positives(c) for c in classes]).all()
    result = evaluate(each.detections, test)
    assert np.isclose(each.mean_ap, result.mean_ap), "the diagnosis speaks of another AP than the evaluation"
    assert np.allclose(dx.trends(each).dropna().sum(axis=1), 1)
    worth = dx.impact(each).dropna()
    assert (worth.sub(worth.AP, axis=0) >= -1e-12).all().all(), "removing a mistake has hurt"
    assert np.isclose(tides[name].ap, each.mean_ap)
    assert all(
        value >= -1e-12 for key, value in tides[name].delta_ap.items() if key in ("Dupe", "Bkg", "Both")
    )
assert at_once >= gains[[f"{kind} removed" for kind in FP_TYPES]].max() - 1e-9, "one kind outweighs all"
assert n_wrong == (diagnosis.outcome == "fp").sum(), "both sort all false positives"
assert np.allclose(control_shares.sum(axis=1), 100)
assert (missed.precision < 0.05).all() and set(np.flatnonzero(diagnosis.found_by >= 0)) & set(
    missed.index[missed.detection < 0]
) == set()
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Three questions without a checker. What you find is yours to judge.
#
# **1. By hand** (●○○, 15 minutes). In the picture of section 2, move box 4 to the right, pixel by pixel. From where on is
# it a `Sim`? What does TIDE call it at each step? Is there a place where Hoiem's tool and TIDE disagree? Check with
# `dx.diagnose` and `dx.tide`.

# %%
# your code

# %% [markdown]
# **2. Who is similar?** (●●○, 20 minutes). Make sets of your own with `dx.SimilarClasses.from_sets(classes, [...])`, for
# instance lamp and table apart, or by the table of confusions in section 3, and pass them to
# `dx.diagnose(..., similar=...)`. The detector stays the same. How much of its "diagnosis" changes? Then raise
# `background_iou` to 0.3.

# %%
# your code

# %% [markdown]
# **3. How sure is a share?** (●●●, 30 minutes). Draw the test pictures with replacement 200 times (the *bootstrap*;
# `Detections.select` and a table of which detection lies in which picture will do, as the kinds need not be computed
# anew). Between which values lies the share of `Loc` in 95% of the draws, before and after box regression? And their
# difference, in the *same* draws? Is the claim of section 6 safe?

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - The same AP can hide quite different mistakes. Sort them, price them, look at them, in this order.
# - `Loc`, `Sim`, `Oth`, `BG`: the first rule that fits. Kinds are conventions; use the same for all detectors.
# - Frequent is not expensive. A kind's price is what AP gains without it, and prices do not add up.
# - A remedy can win no more than the mistakes cost that it reaches. The diagnosis says so beforehand.
# - Precision grows with the number of objects. To compare classes or subsets, normalise it.
# - The range between the best and the worst subset is never zero, not even by chance. Shuffle the labels to see what chance
#   gives.
#
# ## Where this differs from the paper
#
# - ToyVOC instead of VOC 2007: twelve classes with some dozen objects each. The kinds of mistakes are distributed otherwise
#   than in the paper, and section 7 shows why shares on different pictures do not compare.
# - The paper's first detector is fc6 without fine-tuning; ours is fc7 without. It has DPM beside them; we have no such
#   baseline here.
# - Occlusion, sides and parts are measured by the renderer, of all classes; in the paper they were annotated by hand, of
#   seven. The levels of occlusion end at other shares.
# - A detection asks for the object that it overlaps best of all, as in VOC. The published tool gives it the best object
#   *not found before*, so its AP can differ from VOC's. It also counts background twice on one of its axes, and drops
#   subsets in which nothing was found, the hardest ones, from the summary; here they count with 0.
# - TIDE's own AP takes 101 points; here both diagnoses use the paper's eleven, so that they speak of one number. Objects
#   marked difficult are ignored.
#
# ## Next
#
# What a detector gets wrong is one half of seeing why. The other half is what its units look at: notebook
# [09, pool5 units](09_pool5_units.ipynb).
