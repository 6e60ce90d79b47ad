# %% [markdown]
# # Region proposals
#
# *A picture holds billions of boxes, about two thousand of them are enough to look at, and finding those needs no
# idea of what a toy, a dog or a chair is.*
#
# **The paper:** section 2.1 (region proposals), section 2.2 (how many, in which mode), section 4.2 (their
# recall). The method itself is selective search (Uijlings, van de Sande, Gevers and Smeulders, IJCV 2013),
# which starts from a graph segmentation (Felzenszwalb and Huttenlocher, IJCV 2004).
#
# **You will**
#
# - count the boxes of a picture and see why nobody runs a large network on all of them;
# - cut a row of six pixels into segments by hand, and then a picture;
# - compute the similarity of two regions on paper and watch a picture grow together;
# - measure what matters about a set of boxes, its *recall*, against random boxes and sliding windows;
# - write three functions: recall, the rule that joins pixels, and one step of merging.
#
# **You need** Python and NumPy. No other notebook comes before this one; if you have never met an exercise
# or a prediction of this course, [the first notebook](00_start_here.ipynb) says in three lines how they work.
# **Time:** about 80 minutes, 45 of them for the exercises. The first cell says what the cells take on your
# machine's kind; on a GPU nothing was measured yet.
#
# The module behind it is `rcnn_helpers.proposals`. The pictures are ToyVOC: rendered, synthetic toys, with
# exactly known boxes. What is measured here holds for them, and not for photographs.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from rcnn_helpers import boxes, plots, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.proposals import graph_segmentation, propose, propose_dataset, selective_search
from rcnn_helpers.proposals.colour_spaces import convert
from rcnn_helpers.proposals.recall import (
    IOU_THRESHOLDS,
    N_BOXES,
    average_best_overlap,
    best_overlaps,
    recall_at,
    recall_curves,
)
from rcnn_helpers.proposals.sliding_window import sliding_windows

# %%
course = open_course("01")
test = course.test.subset(min(25, len(course.test.ids)))  # enough for curves, and quick
image_id = max(test.ids, key=lambda name: len(test.annotation(name)))  # the fullest picture
image, annotation = test.image(image_id), test.annotation(image_id)
height, width = image.shape[:2]
print(
    f"{len(test.ids)} test images; example {image_id}, {width} x {height} pixels, {len(annotation)} objects"
)

# %% [markdown]
# ## 1. Why not look everywhere?
#
# A detector has to answer two questions: *what* is there, and *where*. A good classifier answers the first.
# The plain way to get the second from it is to ask it about every box of the picture. How many are there?
#
# A box is given by a left and a right edge, and by a top and a bottom edge. Among the $W + 1$ places where
# a vertical edge can lie, two must be chosen, and likewise for the horizontal ones:
#
# $$N = \binom{W+1}{2}\binom{H+1}{2} \approx \frac{W^2 H^2}{4}$$
#
# Check it on a picture of 2 x 1 pixels: three boxes, the left pixel, the right one, and both. We write a box as
# its corners (x1, y1, x2, y2) in pixels, *half-open*: x2 is the first column behind it and y2 the first row below
# it. The three boxes are (0, 0, 1, 1), (1, 0, 2, 1) and (0, 0, 2, 1).
#
# **Predict.** How many boxes does our picture have, to the nearest power of ten? And how long would the
# paper's network need for all of them?

# %%
predict("01 boxes", "The number of boxes is about 10 to the power of")

# %%
predict(
    "01 time",
    "For all of them it needs about",
    choices=["an hour", "a day", "a month", "a year", "a century"],
)

# %%
n_boxes = (width + 1) * width // 2 * (height + 1) * height // 2
paper_rate = 2000 / 13  # regions a second: around 2000 in 13 s on a GPU, finding them included (sec. 2.2)
days = n_boxes / paper_rate / (3600 * 24)
display(
    Markdown(
        f"The picture has **{n_boxes:,} boxes**, about $10^{{{np.log10(n_boxes):.0f}}}$. At the paper's "
        f"{paper_rate:.0f} regions a second they would take **{days:.0f} days**. For one picture."
    )
)
meet("01 boxes", round(np.log10(n_boxes)))
in_days = {"an hour": 1 / 24, "a day": 1, "a month": 30, "a year": 365, "a century": 36525}
meet("01 time", min(in_days, key=lambda words: abs(np.log(days / in_days[words]))))

# %% [markdown]
# Nobody needs every box, of course. Two boxes that differ by a pixel show the same thing. *Sliding windows* take a
# few shapes and sizes and move each over the picture in steps. The question is how coarse the steps may be.
#
# We measure how well two boxes agree by their **intersection over union** (IoU): the area they share,
# divided by the area they cover together. VOC counts a detection as right from an IoU of 0.5 on.
#
# **By hand.** An object is 64 x 64 pixels, and a window has exactly its size. The steps are 16 pixels, so
# the nearest window is off by up to 8 pixels each way. It then shares $56 \times 56 = 3136$ pixels with the
# object, and together they cover $2 \cdot 64^2 - 3136 = 5056$. The IoU is $3136 / 5056 = 0.62$, although
# nothing is wrong but the place. If the window's size is off as well, not much room is left above 0.5.

# %%
object_box = [0, 0, 64, 64]
windows = {
    "right size, 8 pixels off each way": [8, 8, 72, 72],
    "48 pixels wide, in the middle": [8, 8, 56, 56],
    "48 pixels wide, 12 pixels right of the middle": [20, 8, 68, 56],
}
for description, window in windows.items():
    print(f"IoU {boxes.iou([object_box], [window])[0, 0]:.2f}  {description}")

# %% [markdown]
# So the steps must be small, and so must the gaps between sizes and between shapes. How small? For an answer
# we need a number that says how good a set of boxes is.
#
# An object that no box covers is lost. Nothing that comes later brings it back. So we ask for the **recall**: the
# share of the objects for which *some* box reaches a given IoU.
#
# **By hand.** Two objects and three boxes:
#
# | IoU | box (0, 0, 10, 8) | box (22, 0, 40, 10) | box (0, 0, 40, 10) | best |
# |---|---|---|---|---|
# | object (0, 0, 10, 10) | 80 / 100 = 0.8 | 0 | 100 / 400 = 0.25 | 0.8 |
# | object (20, 0, 40, 10) | 0 | 180 / 200 = 0.9 | ? | ? |
#
# **Predict.** What is the recall at an IoU of 0.85?

# %%
predict("01 recall by hand", "The recall at 0.85 is")

# %% [markdown]
# ### Exercise: recall of a set of boxes
#
# ●●○ · 12 minutes. Write the recall of a set of boxes in one picture: the share of its objects for which some
# proposal has an IoU of at least `threshold`. For the boxes of the table and a threshold of 0.5 it is 1.0. There is
# at least one object, but perhaps not a single proposal: then the recall is 0.


# %% exercise="recall"
def recall(objects, proposals, threshold):
    """Share of the objects that some proposal covers with an IoU of at least `threshold`, from 0 to 1.

    objects, proposals: lists of corners (x1, y1, x2, y2) in pixels.
    """
    from rcnn_helpers.boxes import iou  # iou(objects, proposals)[i, j]: object i with proposal j

    # solution
    overlaps = iou(objects, proposals)
    found = (overlaps >= threshold).any(axis=1)  # all False where there are no proposals
    return found.mean()


# %% [markdown]
# Your function (or the reference) at work, first on the table:

# %%
two_objects = [[0, 0, 10, 10], [20, 0, 40, 10]]
three_boxes = [[0, 0, 10, 8], [22, 0, 40, 10], [0, 0, 40, 10]]
for threshold in (0.5, 0.85, 0.95):
    print(f"recall at {threshold:.2f}: {recall(two_objects, three_boxes, threshold):.1f}")
meet("01 recall by hand", float(recall(two_objects, three_boxes, 0.85)))

# %% [markdown]
# The second object overlaps the third box by 200 of 400 pixels, 0.5, and the second one by 0.9. So at 0.85 one
# object of two is found. Now our picture, under a coarse grid of windows:

# %%
coarse = sliding_windows(height, width, stride=1)  # side by side
share = recall(annotation.boxes.tolist(), coarse.tolist(), 0.5)
print(f"{len(coarse)} windows side by side find {share:.0%} of the {len(annotation)} toys in our picture")

# %% [markdown]
# Now over all pictures, with denser and denser grids. The numbers multiply:

# %%
rows = []
for stride in (0.5, 0.25, 0.125, 0.0625):
    grid = {i: sliding_windows(*test.image(i).shape[:2], stride=stride) for i in test.ids}
    n_windows = np.mean([len(windows) for windows in grid.values()])
    rows.append(
        {
            "step, in window widths": stride,
            "windows a picture": n_windows,
            "recall at IoU 0.5": recall_at(grid, test, iou_threshold=0.5),
            "recall at IoU 0.7": recall_at(grid, test, iou_threshold=0.7),
            "seconds at the paper's rate": n_windows / paper_rate,
        }
    )
pd.DataFrame(rows).round(2)

# %% [markdown]
# *Reading:* one row is one density of the grid: three shapes (half as wide as high, square, twice as wide)
# at sizes from 32 pixels up, each $\sqrt 2$ times the one before. Halving the step makes four times as many
# windows. Matching tightly (IoU 0.7) is what costs. And an object much smaller than the smallest window stays
# out of reach, however dense the grid.
#
# With a cheap classifier, such as that of the deformable part models (DPM) in Table 1, a hundred thousand windows
# are no trouble. With a
# large network they are. There is a second reason. The upper units of the paper's network see 195 x 195
# pixels of their input and lie 32 pixels apart (sec. 1), so that placing a box by sliding the network over
# the picture was, in the authors' words, "an open technical challenge". R-CNN turns the order around: first
# decide *where* to look, with a method that knows no classes, then ask *what* is there.
#
# ## 2. Segments: pixels that belong together
#
# Where could an object be? Its pixels hang together, and they often look alike. So the search begins with
# small regions of even colour.
#
# Take every pixel as a node and join neighbours by an edge, whose weight $w$ is the difference of their
# colours. Go through the edges from the lightest to the heaviest. An edge between two regions $A$ and $B$
# joins them if
#
# $$w \le \min\left(\mathrm{Int}(A) + \frac{k}{|A|},\; \mathrm{Int}(B) + \frac{k}{|B|}\right)$$
#
# where $\mathrm{Int}(A)$ is the heaviest edge that was used to build $A$, and $|A|$ its number of pixels.
# In words: *an edge may join two regions if it is hardly heavier than what already lies inside them.* How
# much "hardly" allows is set by $k$, and it shrinks as a region grows. A small region is easily joined; a
# large one must be asked nicely.
#
# **By hand.** One row of six pixels, with their grey levels, and the edges between them:
#
# | pixel | a | | b | | c | | d | | e | | f |
# |---|---|---|---|---|---|---|---|---|---|---|---|
# | grey level | 10 | | 12 | | 13 | | 40 | | 41 | | 44 |
# | edge | | 2 | | 1 | | 27 | | 1 | | 3 | |
#
# The four light edges are used first, whatever $k$ is, as long as it is not tiny. That leaves $A = \{a, b,
# c\}$ with $\mathrm{Int}(A) = 2$ and $B = \{d, e, f\}$ with $\mathrm{Int}(B) = 3$. Now the edge of weight
# 27 comes up. It joins them if $27 \le \min(2 + k/3,\ 3 + k/3)$.
#
# **Predict.** From which $k$ on is the row one segment?

# %%
predict("01 one segment", "The row is one segment from k =")

# %% [markdown]
# ### Exercise: may an edge join two regions?
#
# ●○○ · 8 minutes. Write the rule. Given are the weight of the edge, the internal differences $\mathrm{Int}(A)$ and
# $\mathrm{Int}(B)$ and the sizes $|A|$ and $|B|$ in pixels, and $k$. The answer is `True` or `False`. For the edge
# between c and d and $k = 150$: `may_join(27, 2, 3, 3, 3, 150)` is `True`, because both regions accept edges up to
# more than 50.


# %% exercise="may_join"
def may_join(weight, internal_a, internal_b, size_a, size_b, k):
    """Whether an edge joins regions A and B, True or False.

    weight, internal_a, internal_b: differences in grey levels.
    size_a, size_b: numbers of pixels.
    """
    # solution
    heaviest_for_a = internal_a + k / size_a
    heaviest_for_b = internal_b + k / size_b
    return weight <= min(heaviest_for_a, heaviest_for_b)


# %% [markdown]
# Your function (or the reference) at work on the edge between c and d, beside the segments that the package
# finds in the whole row:

# %%
row = np.array([[10, 12, 13, 40, 41, 44]], dtype=np.uint8)
for k in (20, 50, 74, 75, 76, 150):
    segments = graph_segmentation.segment(row, scale=k, sigma=0, min_size=1)
    joined = "yes" if may_join(27, 2, 3, 3, 3, k) else "no"
    print(f"k = {k:3d}: joined? {joined:3s}  segments {segments[0].tolist()}")
meet("01 one segment", next(k for k in range(6, 200) if may_join(27, 2, 3, 3, 3, k)))

# %% [markdown]
# $2 + k/3$ reaches 27 at $k = 75$, and there the two halves become one.
#
# On a picture the same rule runs over some hundred thousand edges. Before it, the picture is blurred a
# little ($\sigma = 0.8$), and after it, segments with fewer than $k$ pixels are joined to a neighbour.

# %%
pictures, titles = [], []
for k in (50, 100, 300, 1000):
    segments = graph_segmentation.segment(image, scale=k, sigma=0.8, min_size=k)
    pictures.append(plots.paint_segments(image, segments))
    titles.append(f"k = {k}: {segments.max() + 1} segments")
plots.show(
    plots.image_grid(pictures, titles, columns=2, width=8),
    quality=70,
    alt="Four segmentations of one picture, from many small segments at k = 50 to few large ones at k = 1000.",
)

# %% [markdown]
# *Reading:* each segment has a colour of its own. Small $k$ keeps the toys' outlines and breaks them into
# parts; large $k$ makes whole surfaces, and here and there a toy has flowed into its background. **No
# single $k$ is right**: a toy is one thing, its wheel is one thing, and both are objects for someone.
# Selective search draws two conclusions. Start from small segments and *merge*, so that all sizes occur;
# and start several times.
#
# ## 3. Merging: from segments to a tree
#
# Now join the two neighbouring regions that are most similar. Then again, and again, until the picture is
# one region. Every region that ever existed gives a box. With $n$ segments there are $n - 1$ merges, so $2n
# - 1$ boxes.
#
# Similar in what? Four terms, each between 0 and 1, and their mean is the similarity:
#
# | term | formula | it says |
# |---|---|---|
# | colour | $\sum_i \min(c^a_i, c^b_i)$ over 25 bins a channel | they have the same colours |
# | texture | the same sum over histograms of edge directions and strengths | they have the same texture |
# | size | $1 - (\lvert a\rvert + \lvert b\rvert)\,/\,\lvert \mathrm{image}\rvert$ | both are small: small ones go first |
# | fill | $1 - (\lvert \mathrm{box}_{ab}\rvert - \lvert a\rvert - \lvert b\rvert)\,/\,\lvert \mathrm{image}\rvert$ | they fit together without a gap |
#
# **By hand.** A picture of 10 x 6 pixels with three regions and only two grey levels, 120 and 200:

# %%
tiny = np.full((6, 10), 120, dtype=np.uint8)
tiny[:, :4] = 200  # region A: 4 x 6 = 24 pixels, all light
tiny[3:, 4:7] = 200  # region C: 6 x 3 = 18 pixels, half light and half dark
tiny_segments = np.zeros((6, 10), dtype=np.int32)
tiny_segments[:3, 4:] = 1  # region B: 6 x 3 = 18 pixels, all dark
tiny_segments[3:, 4:] = 2

# %%
fig, ax = plt.subplots(figsize=(5, 3.2))
ax.imshow(tiny, cmap="gray", vmin=0, vmax=255)
for name, x, y in [("A", 1.5, 2.5), ("B", 6.5, 1), ("C", 5, 4)]:
    ax.text(x, y, name, fontsize=22, ha="center", va="center", color="#D55E00", weight="bold")
ax.vlines(3.5, -0.5, 5.5, color="#D55E00", linewidth=3)
ax.hlines(2.5, 3.5, 9.5, color="#D55E00", linewidth=3)
ax.set(xticks=range(10), yticks=range(6), xlabel="x", ylabel="y")
ax.grid(visible=False)
plots.show(
    fig, alt="Three regions: A, light, on the left; B, dark, top right; C, half light and half dark, below B."
)

# %% [markdown]
# Texture is left out to keep the numbers small. A's histogram is (0 dark, 1 light), B's is (1, 0), C's is
# (½, ½).
#
# | pair | colour | size | fill | mean |
# |---|---|---|---|---|
# | A, B | 0 | $1 - 42/60 = 0.3$ | $1 - (60 - 42)/60 = 0.7$ | 0.333 |
# | A, C | ½ | $0.3$ | $0.7$ | 0.5 |
# | B, C | ? | ? | ? | ? |
#
# The box around A and B is the whole picture, 60 pixels, of which 18 belong to neither.
#
# **Predict.** Fill in the last row. (The box around B and C is 6 x 6 pixels.) Which pair is joined first, and
# what is its similarity?

# %%
predict("01 first pair", "Joined first:", choices=["A and B", "A and C", "B and C"])

# %%
predict("01 similarity", "Its similarity is")

# %% [markdown]
# ### Exercise: one step of region merging
#
# ●●● · 25 minutes. Write one step of the search: find the neighbours that are most similar by colour, size and fill
# (their mean; no texture), and say what region they make. A region is a number, its place in three lists:
#
# | region | `sizes` | `boxes` | `histograms` |
# |---|---|---|---|
# | 0, which is A | 24 | (0, 0, 4, 6) | (0, 1) |
# | 1, which is B | 18 | (4, 0, 10, 3) | (1, 0) |
# | 2, which is C | 18 | (4, 3, 10, 6) | (½, ½) |
#
# `pairs` lists who touches whom, here (0, 1), (0, 2) and (1, 2). The regions tile the picture, so its size is the
# sum of theirs.
#
# Return a tuple of four: the pair (its two numbers in any order), and the new region's size in pixels, its box and
# its histogram. No two pairs are equally similar. The new histogram is the mean of the two, *weighted by their
# sizes*: it is what one would count over the pixels of both. The checker's first case is this table.


# %% exercise="merge_step"
def merge_step(sizes, boxes, histograms, pairs):
    """Join the two most similar neighbours: return their pair (i, j), and the new region's size, box, histogram.

    sizes: pixels of each region.
    boxes: corners (x1, y1, x2, y2) of each region.
    histograms: of each region the shares of its colours, which sum to 1.
    pairs: the neighbours, as pairs of region numbers.
    """
    picture = sum(sizes)  # pixels
    # solution

    def box_around(i, j):
        a, b = boxes[i], boxes[j]
        return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]

    def similarity(pair):
        i, j = pair
        x1, y1, x2, y2 = box_around(i, j)
        both = sizes[i] + sizes[j]
        colour = np.minimum(histograms[i], histograms[j]).sum()
        size = 1 - both / picture
        fill = 1 - ((x2 - x1) * (y2 - y1) - both) / picture
        return (colour + size + fill) / 3

    i, j = max(pairs, key=similarity)
    both = sizes[i] + sizes[j]
    share = sizes[i] / both
    histogram = share * np.array(histograms[i]) + (1 - share) * np.array(histograms[j])
    return (i, j), both, box_around(i, j), histogram


# %% [markdown]
# Your function (or the reference) at work on A, B and C:

# %%
names = ["A", "B", "C"]
pair, size, box, histogram = merge_step(
    [24, 18, 18],
    [[0, 0, 4, 6], [4, 0, 10, 3], [4, 3, 10, 6]],
    [[0, 1], [1, 0], [0.5, 0.5]],
    [(0, 1), (0, 2), (1, 2)],
)
joined = " and ".join(names[int(region)] for region in sorted(pair))
print(f"{joined}: {size:.0f} pixels, box {np.array(box).tolist()}, histogram {np.array(histogram).tolist()}")
meet("01 first pair", joined)

# %% [markdown]
# The package does the same, and goes on until one region is left:

# %%
tree = selective_search.group(tiny, tiny_segments, similarity="CSF")
names = ["A", "B", "C", "BC", "ABC"]
meet("01 similarity", float(tree.similarity[0]))
merges = pd.DataFrame(
    {
        "joined": [" and ".join(names[child] for child in pair) for pair in tree.children],
        "into": [names[tree.n_segments + i] for i in range(len(tree.children))],
        "similarity": tree.similarity.round(4),
        "box": [tree.boxes[tree.n_segments + i].astype(int).tolist() for i in range(len(tree.children))],
    }
)
merges

# %% [markdown]
# B and C: colour ½, size $1 - 36/60 = 0.4$, fill 1 because they leave no gap, so $(0.5 + 0.4 + 1)/3 =
# 0.6333$. The pair fits together better than A and C, whose colours are just as alike. After the merge,
# BC's histogram is (¾, ¼), and to know that no pixel had to be looked at again. That is why the whole search is
# fast. A and BC are left: colour ¼, size 0, fill 1, mean 0.4167.
#
# Now the real picture.

# %%
tree = selective_search.merge_trees(image, mode="single")[0]
n_merges = len(tree.children)
print(f"{tree.name}: {tree.n_segments} segments, {n_merges} merges, {len(tree.boxes)} regions")

# %% [markdown]
# The histograms are longer here than on paper, 25 bins for each of three channels, but your function takes them as
# they are. Here is its first merge, beside the package's with the same three terms. (Were two pairs equally similar
# but for rounding, the two could differ.)

# %%
channels = convert(image, "hsv")
textures = selective_search.texture_codes(channels)
described = selective_search.describe_segments(tree.segments, tree.n_segments, channels, textures)
sizes, region_boxes, colours, _ = [array.tolist() for array in described]
pairs = [tuple(pair) for pair in selective_search.neighbour_pairs(tree.segments).tolist()]
pair, size, box, _ = merge_step(sizes, region_boxes, colours, pairs)
by_package = selective_search.group(channels, tree.segments, similarity="CSF")
print(f"{len(sizes)} regions, {len(pairs)} pairs of neighbours")
print(f"yours:         joins {sorted(int(region) for region in pair)} into {size:.0f} pixels")
print(
    f"the package's: joins {by_package.children[0].tolist()} into {by_package.sizes[tree.n_segments]} pixels"
)

# %%
regions_left = [tree.n_segments, 60, 20, 10, 5, 2]
pictures = [plots.paint_segments(image, tree.labels_after(tree.n_segments - n)) for n in regions_left]
plots.show(
    plots.image_grid(pictures, [f"{n} regions left" for n in regions_left], columns=3, width=12),
    quality=75,
    alt="The regions of the picture grow together, from all first segments to the last two regions.",
)

# %% [markdown]
# *Reading:* the small and similar go first. Parts of a toy tend to find each other before they find the
# background, and somewhere on the way many toys are a region of their own, if only for a few merges. That
# is all that is asked of them: every region leaves its box behind.
#
# ### Move through the merges yourself
#
# Drag the slider. The two regions that are joined next are outlined, and their similarity is written above.

# %%
scrubber = widgets.MergeScrubber(image, tree)
scrubber

# %% [markdown]
# *Static twin of the widget:* an earlier moment of the same merging, thirty merges before the end.

# %%
n_done = max(0, n_merges - 30)
plots.show(scrubber.render(n_done), alt=scrubber.describe(n_done), quality=75)

# %% [markdown]
# ## 4. Many searches, one list
#
# One search can go wrong early. A shadow splits a toy in intensity and not in hue, a grey toy on a grey
# floor has no hue at all. So selective search **diversifies**: it runs again in other colour spaces, from
# other segment sizes, with other terms of the similarity, and pools the boxes of all.

# %%
modes = pd.DataFrame(
    [
        {
            "mode": name,
            "colour spaces": ", ".join(s.colour_spaces),
            "k": ", ".join(f"{k:g}" for k in s.scales),
            "similarities": ", ".join(s.similarities),
            "searches": len(s.colour_spaces) * len(s.scales) * len(s.similarities),
            "left out from IoU": s.duplicate_iou,
        }
        for name, s in selective_search.MODES.items()
    ]
)
modes

# %% [markdown]
# R-CNN uses the authors' fast mode in all experiments (sec. 2.2), here `fast_uijlings`. Our `fast` goes
# beyond it: merging is cheap beside segmenting, so the same segmentations are merged in six ways, and of
# boxes that are almost the same (last column) only the first is kept, at most 2000 in all. It also begins with
# smaller segments and keeps narrower boxes.
#
# The pooled boxes are ranked: regions made late in their tree, which are large, come early in the list, but
# a random factor shuffles each tree so that no single search fills the top. The seed of that factor is
# fixed.

# %%
proposals = selective_search.search_regions(image, mode="fast")
overlap = boxes.iou(annotation.boxes, proposals.boxes)  # [objects, proposals]
best = overlap.argmax(axis=1)
labels = [f"{name} {value:.2f}" for name, value in zip(annotation.names, overlap.max(axis=1))]
share = recall(annotation.boxes.tolist(), proposals.boxes.tolist(), 0.5)
print(f"recall in this picture, by your function (or the reference): {share:.0%}")

# %%
pictures = [
    plots.draw_boxes(image, proposals.boxes[:50], styles="proposal"),
    plots.draw_boxes(
        plots.draw_boxes(image, annotation.boxes, styles="truth"), proposals.boxes[best], labels, "best"
    ),
]
plots.show(
    plots.image_grid(
        pictures, [f"the first 50 of {len(proposals)} proposals", "the best proposal for each object"]
    ),
    quality=75,
    alt="Left: fifty boxes all over the picture. Right: each object's true box and its best proposal.",
)

# %% [markdown]
# *Reading:* left, the first 50 proposals of the list, which are about everything and nothing. Right, each
# object's true box (dotted) and the best of all proposals for it (solid green, with the IoU). The search
# was never told what a toy is, let alone which.
#
# Behind every box stands a region with its exact outline. Segmentation (section 5 of the paper) needs it.

# %%
tightest = overlap.max(axis=1).argsort()[::-1][:3]
pictures = [plots.tint(image, proposals.mask(best[k]), strength=0.75) for k in tightest]
plots.show(
    plots.image_grid(pictures, [f"region behind: {labels[k]}" for k in tightest], width=12),
    quality=75,
    alt="The regions behind the best proposals of three objects, tinted in orange.",
)

# %% [markdown]
# *Reading:* a good box does not need a good region. It is enough that the outermost points of the region
# are those of the toy; it may have holes, or leak out somewhere inside the box.
#
# ### How many of them do you need?
#
# Move the slider and see how the best proposal of each object gets tighter with every box you allow.

# %%
browser = widgets.ProposalBrowser(image, proposals.boxes, annotation.boxes, annotation.names)
browser

# %% [markdown]
# *Static twin of the widget:* the first 30 only.

# %%
n = min(30, len(proposals))
plots.show(browser.render(n, False), alt=browser.describe(n, False), quality=75)

# %% [markdown]
# ## 5. Recall: the ceiling of every detector that follows
#
# Now the recall over all pictures: the share of all their objects for which some proposal has an IoU of at least 0.5
# (or another threshold). What is lost here, no network will bring back. The paper reports approximately
# 98% on PASCAL VOC, and 91.6% with 2403 boxes an image on the ILSVRC 2013 validation set, where it sees
# "significant room for improvement" (sec. 4.2).
#
# We compare these ways to get boxes:
#
# - selective search in our **fast** mode and in the authors' **fast** and **quality** modes;
# - **sliding windows** on a regular grid;
# - **random boxes**, the negative control: what does one get for nothing?
# - **another picture's proposals**, a sharper control: boxes with all the right sizes, shapes and places,
#   that know nothing of *this* picture.
#
# **Predict.** With 500 boxes a picture, which recall at IoU 0.5 do random boxes reach? And which two of the
# methods will lie closest together? (That one you check by eye.)

# %%
predict("01 random boxes", "The recall of 500 random boxes, in %, is")

# %%
cache = course.folder / "proposals"
numbers = (*N_BOXES, 5000)
found = {
    mode: propose_dataset(test, mode=mode, max_boxes=5000, cache=cache, progress=False)
    for mode in ("fast", "fast_uijlings", "quality")
}

# %%
neighbours = np.roll(test.ids, 1)
borrowed = {
    here: propose(test.image(here), found["fast"][there])  # cut off where the other picture was larger
    for here, there in zip(test.ids, neighbours)
}
random = propose_dataset(test, method="random", max_boxes=5000, progress=False)
ranked = {
    "selective search, fast": found["fast"],
    "the authors' fast mode": found["fast_uijlings"],
    "the authors' quality mode": found["quality"],
    "another picture's proposals": borrowed,
    "random boxes": random,
}
curves = {name: recall_curves(boxes_of, test, n_boxes=numbers) for name, boxes_of in ranked.items()}

# %% [markdown]
# A grid of windows has no best first, so it is laid out anew for each number of boxes.

# %%
grids = []
for n in numbers:
    grid = {i: sliding_windows(*test.image(i).shape[:2], stride=0.05, max_boxes=n) for i in test.ids}
    grids.append(recall_curves(grid, test, n_boxes=[n]))
curves["sliding windows"] = pd.concat(grids)


# %%
def recalls(curve, **at):
    """The recalls of a frame of curves where its columns have the values `at`."""
    for column, value in at.items():
        curve = curve[np.isclose(curve[column], value)]
    return curve.recall.to_numpy()


# %%
fig, axes = plt.subplots(1, 3, figsize=(16, 5.6))
for ax, threshold in zip(axes, (0.5, 0.7)):
    of_methods = {name: recalls(curve, iou_threshold=threshold) for name, curve in curves.items()}
    plots.recall_by_number(numbers, of_methods, title=f"IoU of at least {threshold}", ax=ax)
of_methods = {name: recalls(curve, n_boxes=1000) for name, curve in curves.items()}
plots.recall_by_iou(IOU_THRESHOLDS, of_methods, title="1000 boxes a picture", ax=axes[2])
compared = ("selective search, fast", "another picture's proposals", "random boxes")
searched, of_another, by_chance = (recalls(curves[n], n_boxes=1000, iou_threshold=0.7)[0] for n in compared)
for ax in axes:
    ax.legend().remove()
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plots.show(
    fig,
    alt="Recall against the number of boxes and against the IoU threshold, for six ways to get boxes. With 1000 boxes "
    f"at an IoU of 0.7, selective search reaches {searched:.0%}, another picture's proposals "
    f"{of_another:.0%} and random boxes {by_chance:.0%}.",
)

# %% [markdown]
# *Reading:* the height of a curve at its right end is what the detector can hope for; its slope says how
# good the ranking is. A curve is flat where a method has no more boxes to give. The third panel asks for
# tighter and tighter boxes: sizes and places that are merely plausible are not good enough for a high IoU. Where
# our fast mode falls below the authors' there, it pays for the boxes it left out as almost the same: the tightest
# of them may be gone.
#
# Compare the modes of selective search at equal numbers of boxes, too. The quality mode pools 80 searches
# instead of 8, and its list is many times as long. That can pay at the far right, and need not pay in the
# first thousand: there, many of its boxes are almost the same.
#
# Look at the two controls. Even random boxes find objects: at an IoU of 0.5 a loose box is enough, and a
# thousand tries are many. So a recall at 0.5 says little until you know what the control gets. The other
# control is sharper: its boxes have the right sizes and shapes and lie where things tend to be. What selective
# search has above *it* comes from having looked at this picture.

# %%
of_random = 100 * recalls(curves["random boxes"], n_boxes=500, iou_threshold=0.5)[0]
meet("01 random boxes", round(of_random), unit="%")

# %%
table = pd.DataFrame(
    {
        name: [recalls(curve, n_boxes=1000, iou_threshold=t)[0] for t in (0.5, 0.7)]
        for name, curve in curves.items()
    },
    index=["recall at 0.5, %", "recall at 0.7, %"],
).T
(100 * table).round(1)

# %% [markdown]
# A single number that needs no threshold is the **average best overlap** (ABO): for each object the best
# IoU any proposal reaches, averaged over the objects.

# %%
abo = pd.DataFrame(
    {
        name: average_best_overlap(boxes_of, test, n_boxes=[100, 500, 1000]).set_index("n_boxes").abo
        for name, boxes_of in ranked.items()
    }
).T
abo.columns = [f"ABO, {n} boxes, %" for n in abo.columns]
(100 * abo).round(1)

# %% [markdown]
# ## 6. What does diversification buy?
#
# Now take the authors' fast mode apart. The first rows add one source of diversity at a time to a single
# search; the next take something away from the whole; the last is our own fast mode. (C, T, S and F are the
# terms of the similarity.)
#
# **Predict.** Which costs more of the ABO: giving up colour altogether (grey levels only), or giving up the
# terms for size and fill?

# %%
predict("01 colour or shape", "It costs more to give up", choices=["colour", "size and fill"])

# %%
Search = selective_search.Settings
searches = {
    "one search: HSV, k = 100, CTSF": Search(("hsv",), (100,), ("CTSF",)),
    "... and TSF": Search(("hsv",), (100,), ("CTSF", "TSF")),
    "... and Lab": Search(("hsv", "lab"), (100,), ("CTSF",)),
    "... and k = 50": Search(("hsv",), (50, 100), ("CTSF",)),
    "all three: the authors' fast mode": Search(("hsv", "lab"), (50, 100), ("CTSF", "TSF")),
    "without size and fill": Search(("hsv", "lab"), (50, 100), ("CT", "T")),
    "without the colour term": Search(("hsv", "lab"), (50, 100), ("TSF", "SF")),
    "in grey levels only": Search(("intensity",), (50, 100), ("CTSF", "TSF")),
    "our fast mode": selective_search.MODES["fast"],
}

# %%
rows = []
for name, settings in searches.items():
    started = time.perf_counter()
    boxes_of = propose_dataset(test, mode=settings, progress=False)
    milliseconds = 1000 * (time.perf_counter() - started) / len(test.ids)
    overlap = best_overlaps(boxes_of, test).best_iou.astype(float)
    n_boxes = np.mean([len(found_boxes) for found_boxes in boxes_of.values()])
    recalled = [100 * (overlap >= threshold).mean() for threshold in (0.5, 0.7)]
    rows.append((name, n_boxes, *recalled, 100 * overlap.mean(), milliseconds))
columns = ["search", "boxes", "recall at 0.5, %", "recall at 0.7, %", "ABO, %", "ms a picture"]
by_search = pd.DataFrame(rows, columns=columns).set_index("search")
by_search.round(1)

# %%
without = {"colour": "in grey levels only", "size and fill": "without size and fill"}
meet("01 colour or shape", min(without, key=lambda given_up: by_search["ABO, %"][without[given_up]]))

# %% [markdown]
# *Reading:* compare the ABO of rows with similar numbers of boxes; more boxes alone already raise it. What does
# each added search cost in time, and what does it find that the others broke up? With so few pictures,
# differences of a point or two in recall are noise.

# %%
n_objects = len(overlap)
display(Markdown(f"There are {n_objects} objects; each is worth {100 / n_objects:.1f} percentage points."))

# %% [markdown]
# ## Checkpoint
#
# These must hold on any pictures. If you changed something above and a line fails, it tells you what broke.

# %%
for name, curve in curves.items():
    by_threshold = curve.pivot(index="n_boxes", columns="iou_threshold", values="recall").to_numpy()
    assert np.isfinite(by_threshold).all(), f"{name}: a recall is not a number"
    assert (np.diff(by_threshold, axis=1) <= 1e-9).all(), f"{name}: recall rose with a stricter threshold"
    if name in ranked:
        assert (np.diff(by_threshold, axis=0) >= -1e-9).all(), f"{name}: recall fell with more boxes"
for image_boxes in found["fast"].values():
    assert len(np.unique(image_boxes, axis=0)) == len(image_boxes), "a box is listed twice"
with_toys = [i for i in test.ids if len(test.annotation(i))]
by_picture = [recall(test.annotation(i).boxes.tolist(), found["fast"][i].tolist(), 0.5) for i in with_toys]
counts = [len(test.annotation(i)) for i in with_toys]
of_all = recall_at(found["fast"], test, include_difficult=True)
together = np.average(by_picture, weights=counts)
assert np.isclose(together, of_all), "the recalls of the pictures do not add up to that of all"
assert len(tree.boxes) == 2 * tree.n_segments - 1, "n segments make n - 1 merges"
assert tree.boxes[-1].tolist() == [0, 0, width, height], "the last region is the whole picture"
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Open questions: nobody checks them, and some have no single answer.
#
# **1. The whole tree** (●●○, 20 minutes). Call your `merge_step` until one region is left: put the new region at the
# end of the lists, give the two old ones a size of 0 (the sizes must go on summing to the picture), and replace both by
# the new one wherever they stand in the pairs. On A, B and C that gives two merges. Then do it for our picture
# (`sizes`, `region_boxes`, `colours` and `pairs` are still there) and compare with `by_package.children`. Where does the
# time go, and what would you remember from one step to the next?

# %%
# your code

# %% [markdown]
# **2. A search of your own** (●●○, 15 minutes). `selective_search.Settings` takes any colour spaces out of
# `rgb`, `hsv`, `lab`, `rgi`, `hue` and `intensity`, any scales, and any letters out of C, T, S and F. Find
# a search that makes at most 500 boxes a picture and has a better ABO than the first 500 boxes of the fast
# mode. Then try it on pictures it was not chosen on (`course.trainval.subset(30)`). Does it still win?

# %%
# your code

# %% [markdown]
# **3. Where does it fail?** (●●●, 25 minutes). `best_overlaps(found["fast"], test)` has one row for
# each object. Sort it by `best_iou`, draw the five worst objects with their best box, and find out what
# they share: are they small, cut off by the border, hidden behind another toy, or of the colour of their
# background? Put a number on your answer: compare the mean `best_iou` of objects below and above the median
# area.

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - Looking at every box is out of the question for a large network; some thousand proposals are not.
# - Selective search merges small segments of even colour into ever larger regions. It knows no classes and
#   learns nothing.
# - It runs several times, in different colour spaces and with different similarities, because each search
#   fails somewhere else.
# - Recall, the share of the objects that some box covers, is the ceiling of everything that follows, and it means
#   nothing without a control.
#
# ## Where this differs from the paper
#
# - The pictures are synthetic toys, about 400 pixels wide. The paper's 98% is for PASCAL VOC photographs;
#   `rcnn proposals --voc DIR --split test` measures it on a folder of yours.
# - Our default, `fast`, groups in more ways than the authors' fast mode and drops boxes that are almost the
#   same; `fast_uijlings` is theirs.
# - Our segmentation rounds edge weights to 1/16 of a grey level, and our selective search is written from
#   the two papers, not from their code. Two quirks of that code can be switched on with
#   `compat="uijlings2013"`.
# - The R-CNN paper resized ILSVRC pictures to a width of 500 pixels before the search (sec. 4.2). We shrink
#   larger pictures to the area of 500 x 500 and leave smaller ones alone.
#
# ## Next
#
# [02 Warping](02_warping.ipynb): a proposal has any shape, and the network wants a square.
