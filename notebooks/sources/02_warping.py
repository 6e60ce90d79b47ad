# %% [markdown]
# # Warping
#
# *The network reads squares of one size and a proposal has any shape: stretching it until it fits sounds crude,
# and is what worked best, provided that a rim of the surroundings comes along.*
#
# **The paper:** section 2.1 (feature extraction), Figure 2, appendix A with Figure 7.
#
# **You will**
#
# - work out by hand which pixels of a picture end up in a crop, and write the function that does it;
# - redo Figure 2 (warped training samples) and Figure 7 (the alternatives) with toys;
# - read a picture between its pixels, and check a fast, batched warp against a slow and obvious one;
# - measure how much a network can tell from the rim alone.
#
# **You need** the box convention of [notebook 00](00_start_here.ipynb): `(x1, y1, x2, y2)`, half-open, so a width is
# `x2 - x1`.
# **Time:** about 80 minutes with the three exercises, 35 without. The first cell says what the cells take on
# your machine's kind; on a GPU nothing was measured yet.
#
# The module behind it is `rcnn_helpers.warping`. The pictures are ToyVOC: rendered, synthetic toys.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from rcnn_helpers import boxes, plots, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.warping import MODES, crop_geometry, warp_boxes, warp_reference

# %%
course = open_course("02")
trainval, test = course.trainval, course.test
print(f"{len(trainval.ids)} training images, {len(trainval.classes)} classes: {', '.join(trainval.classes)}")

# %% [markdown]
# ## 1. Where a crop comes from
#
# The network's fully connected layers have a fixed number of weights, so its input has a fixed size: 227 x
# 227 pixels (sec. 2.1). A proposal may be 30 x 200. Something has to give: the shape, or what lies outside
# the box, or the use of all pixels of the input.
#
# The paper lets the shape go. Each box is **stretched to the square, whatever its aspect ratio**. Before
# that, the box is made larger, so that in the finished crop exactly $p = 16$ pixels of warped surroundings
# lie on each side of it. The box itself fills the inner $227 - 2 \cdot 16 = 195$ pixels. So it has to grow
# about its centre, in each direction, by
#
# $$s = \frac{S}{S - 2p} = \frac{227}{195} = 1.164$$
#
# The context is 16 pixels *in the crop*. In the picture that is more for a large box than for a small one,
# and more along its long side than along its short one.
#
# **By hand.** The box is (100, 60, 139, 138): 39 pixels wide, 78 high.
#
# - Sideways it is stretched by $195 / 39 = 5$. So 16 pixels of the crop are $16 / 5 = 3.2$ pixels of the
#   picture.
# - Downwards it is stretched by $195 / 78 = 2.5$. There they are $16 / 2.5 = 6.4$ pixels.
# - The crop shows x from $100 - 3.2 = 96.8$ to $139 + 3.2 = 142.2$, and y from $53.6$ to $144.4$.
#
# In general, a box of width $w$ gains on its left and on its right
#
# $$m_x = p \cdot \frac{w}{S - 2p}$$
#
# pixels of the picture each, and one of height $h$ gains $m_y = p \cdot h / (S - 2p)$ above and below.
# That is the factor $s$ once more: $w + 2 m_x = s \cdot w$.
#
# ### Exercise: what a crop shows
#
# ●●○ · 15 minutes. Write `context_box`. In go a box, the side of the crop and its padding, both in pixels
# of the crop. Out come the corners `(x1, y1, x2, y2)` of what the crop shows, in pixels of the picture:
# real numbers, neither rounded nor cut off at the picture's border. For instance,
# `context_box([100, 60, 139, 138], 227, 16)` is `[96.8, 53.6, 142.2, 144.4]`. Before you write a line, do
# the box (0, 0, 8, 8) on paper, for a crop of 10 pixels with one pixel of padding.


# %% exercise="context_box"
def context_box(box, size, padding):
    """What the crop of a box shows, in pixels of the picture, before rounding.

    box: corners (x1, y1, x2, y2). size: side of the crop. padding: context on each side, in pixels of the crop.
    """
    # solution
    x1, y1, x2, y2 = box
    inner = size - 2 * padding  # what the box itself fills, in the crop
    across = padding * (x2 - x1) / inner
    down = padding * (y2 - y1) / inner
    return [x1 - across, y1 - down, x2 + across, y2 + down]


# %% [markdown]
# Pixels are whole, so this must be rounded. The released code rounds while it counts pixels from 1 and
# includes the last one. That makes a window a pixel wider to the right and below than you might expect; we
# keep to it.
#
# **Predict.** Unrounded, the crop's right end is at 142.2. What will be the window's `x2`, half-open as
# always?

# %%
predict("02 rounded window", "x2 of the window")

# %%
box = [100, 60, 139, 138]
geometry = crop_geometry([box], height=300, width=400, size=227, padding=16)
print("unrounded:", np.round(context_box(box, 227, 16), 1).tolist())  # your function, or the reference
print("window:   ", geometry.window[0].tolist())
meet("02 rounded window", int(geometry.window[0, 2]))

# %% [markdown]
# The right end, 142.2, is 143.2 when pixels are counted from 1. It is rounded to 143, and pixel 143 *belongs
# to* the window. Counted from 0 and half-open, the window ends at 143.
#
# ### At the border of the picture
#
# A box at the border has no surroundings on one side, and the window reaches out of the picture. What lies
# outside is filled with the mean colour. The mean is subtracted before the network, so filled pixels become
# zero: the network sees *nothing* there. Only the part inside the picture is read (`source`), and it is put
# where it belongs in the crop (`target`).
#
# **Predict.** The same box, moved to the left border: (0, 60, 39, 138). Its window begins 3 pixels left
# of the picture and is 46 pixels wide. How many of the crop's 227 columns stay empty?

# %%
predict("02 empty columns", "empty columns")

# %%
cases = {"inside": [100, 60, 139, 138], "left border": [0, 60, 39, 138], "corner": [0, 222, 39, 300]}
geometry = crop_geometry(list(cases.values()), height=300, width=400)
pd.DataFrame(
    {part: getattr(geometry, part).tolist() for part in ("window", "source", "target")}, index=list(cases)
)

# %% [markdown]
# Check all three lines with a pencil. The first is the one from above. The second says: the window begins
# 3 pixels left of the picture, so `source` begins at 0 and `target` further right. In the corner, it is
# the same on two sides.

# %%
meet("02 empty columns", int(geometry.target[1, 0]))

# %% [markdown]
# Three pixels of 46, times 227: $3 \cdot 227 / 46 = 14.8$, rounded. They are fewer than the 16 of padding,
# because the window was rounded first.
#
# Now three objects of the training set, of those that are neither cut off nor hidden: the smallest, the
# widest and the tallest (the two latter among the larger half, so that there is something to see).


# %%
def objects_of(dataset, *, whole=False):
    """All objects as (image id, number); on request only those neither cut off nor hidden."""
    found = []
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        hidden = annotation.truncated | annotation.occluded
        found += [(image_id, k) for k in range(len(annotation)) if not (whole and hidden[k])]
    return found


# %%
objects = objects_of(trainval, whole=True)
sides = np.array(
    [trainval.annotation(i).boxes[k, 2:] - trainval.annotation(i).boxes[k, :2] for i, k in objects]
)
area, aspect = sides.prod(axis=1), sides[:, 0] / sides[:, 1]  # width / height
large = area >= np.median(area)
chosen = {
    "smallest": area.argmin(),
    "widest": np.where(large, aspect, 1).argmax(),
    "tallest": np.where(large, aspect, 1).argmin(),
}

# %%
mean = tuple(course.pretrained.mean)  # the colour that becomes zero


def crop_of(dataset, image_id, k, **options):
    """Object k of an image, warped, as a picture [S, S, 3]."""
    crop = warp_reference(
        dataset.image(image_id), dataset.annotation(image_id).boxes[k], mean=mean, **options
    )
    return np.clip(crop, 0, 255).round().astype(np.uint8)


# %%
panels, captions = [], []
for description, index in chosen.items():
    image_id, k = objects[index]
    image, box = trainval.image(image_id), trainval.annotation(image_id).boxes[k]
    window = crop_geometry([box], *image.shape[:2]).window[0]
    panels.append(plots.draw_boxes(image, [box, window], colours=["orange", "sky"]))
    panels.append(plots.draw_boxes(crop_of(trainval, image_id, k), [[16, 16, 211, 211]], colours="orange"))
    captions.append(f"the {description}: {box[2] - box[0]:.0f} x {box[3] - box[1]:.0f} pixels")
    captions.append("its crop: 227 x 227")
sheet = plots.montage(panels, captions, columns=2, cell=(227, 303))
plots.show(
    sheet, alt="The smallest, widest and tallest object, each with box and window, beside its warped crop."
)

# %% [markdown]
# *Reading:* left, the box (orange) and the window that the crop shows (blue); right, the crop, and the
# place of the box in it. A wide toy becomes narrow and a tall one becomes broad. The network is never told
# what the aspect ratio was.
#
# ## 2. Figure 2, redone
#
# This is what the SVMs' positive examples look like to the network: objects of each class, warped with $p =
# 16$.
#
# **Predict.** Which two classes will be hard to tell apart *after* warping, although their shapes differ
# before it? Keep your pair in mind; section 5 counts which classes are taken for which.

# %%
rng = np.random.default_rng(0)
columns = 8
crops, captions = [], []
for name in sorted({trainval.annotation(i).names[k] for i, k in objects}):
    of_class = [(i, k) for i, k in objects if trainval.annotation(i).names[k] == name]
    picked = [of_class[n] for n in rng.permutation(len(of_class))[:columns]]
    row = [crop_of(trainval, i, k) for i, k in picked]
    row += [np.full((227, 227, 3), 255, np.uint8)] * (columns - len(row))  # a class with few objects
    crops += row
    captions += [name] * len(picked) + [""] * (columns - len(picked))
plots.show(
    plots.montage(crops, captions, columns=columns, cell=(113, 113)),
    alt="Warped training samples, one row of eight for each class: Figure 2 of the paper with toys.",
)

# %% [markdown]
# *Reading:* one row for each class. Every toy fills the frame, whatever its size in the picture was, so the
# network need not cope with scale. Everything is a square, so it cannot use shape as a whole either. Parts,
# materials and the way they lie next to each other are what is left.
#
# ## 3. Figure 7, redone: the alternatives
#
# Appendix A weighs four ways to make a square of a box. In the package they are modes:
#
# | column | mode | what it does | what it costs |
# |---|---|---|---|
# | A | `original` | the box at its own scale, for comparison | size is not normalised |
# | B | `square_context` | the tightest square around the box, scaled | a thin object takes a small part of the crop; the neighbours take the rest |
# | C | `square` | the same square, what is outside the box is blanked | a thin object takes a small part of the crop; the rest is empty |
# | D | `warp` | the box, stretched | the aspect ratio is lost |
#
# Each can be padded by $p$ pixels of context, measured in the crop.
#
# ### Exercise: the tightest square
#
# ●○○ · 10 minutes. Write `tightest_square`: the smallest square that holds a box and has the same centre.
# In go the box's corners, out come the square's, as real numbers; the square may leave the picture. For
# instance, the box (10, 20, 50, 40) is 40 wide and 20 high, and its square is `[10, 10, 50, 50]`.


# %% exercise="tightest_square"
def tightest_square(box):
    """The smallest square around a box that has the same centre.

    box: corners (x1, y1, x2, y2); so is the result.
    """
    # solution
    x1, y1, x2, y2 = box
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    half = max(x2 - x1, y2 - y1) / 2
    return [x - half, y - half, x + half, y + half]


# %% [markdown]
# The square tells what modes B and C cost. Take the widest object once more:

# %%
widest_id, k = objects[chosen["widest"]]
widest = trainval.annotation(widest_id).boxes[k]
print(f"{widest[2] - widest[0]:.0f} x {widest[3] - widest[1]:.0f} pixels")

# %% [markdown]
# **Predict.** Which share of its tightest square does it fill? The rest of the crop goes to the
# neighbours (B) or stays empty (C).

# %%
predict("02 share of the square", "share of the square's area that its box fills, in %")

# %%
# Your function, or the reference, at work:
area_of = {"box": boxes.area([widest])[0], "square": boxes.area([tightest_square(widest)])[0]}
meet("02 share of the square", 100 * area_of["box"] / area_of["square"], unit="%")

# %% [markdown]
# It is the shorter side over the longer one, whatever the size. In a warped crop without padding the box
# always fills all of it. The figure shows what that does to the widest and the tallest object.

# %%
titles = ["A  original", "B  context", "C  no context", "D  warp"]
figure_7 = dict(zip(titles, ["original", "square_context", "square", "warp"]))
crops, captions = [], []
for description in ("widest", "tallest"):
    for padding in (0, 16):
        for title, mode in figure_7.items():
            crops.append(crop_of(trainval, *objects[chosen[description]], mode=mode, padding=padding))
            captions.append(f"{title}, p = {padding}")
plots.show(
    plots.montage(crops, captions, columns=4, cell=(227, 227)),
    alt="Figure 7 redone: columns A to D for the widest and the tallest object, with p = 0 and p = 16.",
)

# %% [markdown]
# *Reading:* rows one and three have $p = 0$, rows two and four $p = 16$. Compare B and C with D: the
# squares keep the shape and spend much of the crop on something else. The paper's pilot experiments found
# that warping with $p = 16$ "outperformed the alternatives by a large margin (3-5 mAP points)" (App. A).
#
# Look at the second and the fourth row of D: the context is warped with the object, so it is squeezed in
# the one direction and stretched in the other.
#
# ### Try it on any object
#
# Choose an object, a mode and a padding. Then draw a box of your own with the mouse, or move the box by the
# sliders, and see what the network would get of a sloppy proposal. How far may the box be off before you no
# longer recognise the toy?

# %%
image_id = max(test.ids, key=lambda name: len(test.annotation(name)))  # the fullest test picture
annotation = test.annotation(image_id)
explorer = widgets.WarpExplorer(test.image(image_id), annotation.boxes, annotation.names, mean=mean)
explorer

# %% [markdown]
# *Static twin of the widget:* a proposal that covers only half of the largest object. Compare the crops: the
# padding brings back a strip of the half that was cut off.

# %%
k = int(boxes.area(annotation.boxes).argmax())  # the largest object
x1, y1, x2, y2 = annotation.boxes[k].round().astype(int).tolist()
sloppy = {"object": k, "padding": 16, "x1": x1, "y1": y1, "x2": (x1 + x2) // 2, "y2": y2}
plots.show(explorer.render(**sloppy), alt=explorer.describe(**sloppy), quality=75)

# %% [markdown]
# ## 4. From pixels to crops
#
# We know *which* part of the picture a crop shows. Now for the values. Pixel $i$ of a crop row has its centre
# at $i + 0.5$. If the window begins at $x_1$ and is $w$ pixels wide, that is the place
#
# $$x = x_1 + (i + 0.5) \cdot \frac{w}{S}$$
#
# in the picture, and it will seldom be the centre of a pixel. So the four pixels whose centres are around
# it are mixed: the nearer, the more. Column 0 of a picture reaches from 0 to 1; its value holds at its
# centre, 0.5.
#
# **By hand.** A picture has two pixels, with the values 10 and 30. At $x = 0.5$ it is 10, at $x = 1.5$ it
# is 30, and at $x = 0.75$, a quarter of the way, $0.75 \cdot 10 + 0.25 \cdot 30 = 15$. At $x = 0.2$ there
# is only one neighbour, so it is 10. Now make it ten pixels wide: where does crop pixel 3 look? At
# $3.5 \cdot 2 / 10 = 0.7$, and the value is $0.8 \cdot 10 + 0.2 \cdot 30 = 14$.
#
# ### Exercise: a value between pixels
#
# ●●● · 20 minutes. Write `bilinear`. In go a grey picture (an array of floats, indexed
# `image[row, column]`) and a place `x`, `y` in it. Out comes the value there, mixed from the four pixels
# around. Beyond the outermost centres the border's pixels are repeated. For instance,
# `bilinear(np.array([[10.0, 30.0]]), 0.75, 0.5)` is `15.0`.


# %% exercise="bilinear"
def bilinear(image, x, y):
    """Value of a grey picture at a place between the centres of its pixels.

    image: floats [height, width]. x: from 0 to width. y: from 0 to height. The first pixel's centre is (0.5, 0.5).
    """
    # solution
    height, width = image.shape
    column = np.clip(x - 0.5, 0, width - 1)  # on a scale where the first centre is 0
    row = np.clip(y - 0.5, 0, height - 1)
    left, above = int(column), int(row)
    right, below = min(left + 1, width - 1), min(above + 1, height - 1)
    to_right, to_below = column - left, row - above
    upper = (1 - to_right) * image[above, left] + to_right * image[above, right]
    lower = (1 - to_right) * image[below, left] + to_right * image[below, right]
    return (1 - to_below) * upper + to_below * lower


# %% [markdown]
# With this function and the formula above you can make a crop. Your `bilinear` (or the reference) makes a
# small one, pixel by pixel, of the largest object of our picture; `warp_reference`, which made all the
# crops so far, makes the same.

# %%
x1, y1, x2, y2 = annotation.boxes[k].round().astype(int).tolist()
patch = test.image(image_id)[y1:y2, x1:x2].astype(float)
side = 48
places = (np.arange(side) + 0.5) / side
yours = np.array(
    [
        [[bilinear(patch[:, :, c], x * (x2 - x1), y * (y2 - y1)) for c in range(3)] for x in places]
        for y in places
    ]
)
theirs = warp_reference(test.image(image_id), [x1, y1, x2, y2], size=side, padding=0)
pair = [np.clip(crop, 0, 255).round().astype(np.uint8) for crop in (yours, theirs)]
plots.show(
    plots.montage(pair, ["by bilinear", "by warp_reference"], columns=2, cell=(240, 240)),
    alt="The largest object as a crop of 48 x 48 pixels, made pixel by pixel and by the package: the two agree.",
)
print(f"largest difference: {np.abs(yours - theirs).max():.6f} of 255 grey levels")

# %% [markdown]
# ### Two thousand at a time
#
# `warp_reference` is the definition: one box, plain NumPy, easy to read and slow. The detector needs
# thousands of crops a picture, so `warp_boxes` makes them in one call: it normalises them on the way,
# uses all cores, and writes into a buffer that is used again and again. (On a GPU the same function works
# there.) It must do *the same thing*, and that can be checked.
#
# **Predict.** The grey levels go from 0 to 255, and both compute with real numbers. Over all boxes, modes and
# pixels, how large will the largest difference between the two be?

# %%
amounts = {"exactly 0": 0, "below 0.01": 0.01, "below 1": 1, "1 or more": np.inf}
predict("02 batch and reference", "the largest difference, in grey levels", choices=list(amounts))

# %%
image = test.image(image_id)
proposals = course.proposals("test")[image_id]
sample = proposals[:: max(1, len(proposals) // 40)]
rows = []
for mode in MODES:
    for padding in (0, 16):
        exact = np.stack([warp_reference(image, b, mode=mode, padding=padding, mean=mean) for b in sample])
        batch = warp_boxes(
            image, sample, mode=mode, padding=padding, mean=mean
        )  # the mean is subtracted here
        batch = batch.permute(0, 2, 3, 1).numpy() + np.float32(mean)
        difference = np.abs(exact - batch)
        rows.append((mode, padding, difference.mean(), difference.max()))
differences = pd.DataFrame(rows, columns=["mode", "padding", "mean difference", "largest difference"])
largest = differences["largest difference"].max()
meet("02 batch and reference", next(text for text, limit in amounts.items() if largest <= limit))
differences

# %% [markdown]
# What is left is the rounding of numbers with 24 bits; the checkpoint below holds it under a hundredth of a grey
# level.
#
# **Predict.** And the speed: how many times as many crops a second does the batch make?

# %%
predict("02 speed of the batch", "times as many crops a second")

# %%
many = np.resize(proposals, (256, 4))  # the same boxes again, where there are fewer
batch = warp_boxes(image, many, mean=mean)
started = time.perf_counter()
for box in sample:
    warp_reference(image, box, mean=mean)
one_by_one = (time.perf_counter() - started) / len(sample)
started = time.perf_counter()
warp_boxes(image, many, mean=mean, out=batch)  # into memory that is there already
batched = (time.perf_counter() - started) / len(many)
display(
    Markdown(
        f"{1 / one_by_one:,.0f} crops a second one by one, **{1 / batched:,.0f} a second** in a batch of "
        f"{len(many)} on this machine: {one_by_one / batched:.0f} times as many. The batch takes {batch.nbytes / 1e6:.0f} MB."
    )
)
meet("02 speed of the batch", one_by_one / batched)

# %% [markdown]
# ## 5. What does the network like?
#
# To see what a transformation is worth for detection, one would train and test a whole detector for each.
# That is the proper experiment, and the last one under "Explore further". Here is a quicker one: take the
# objects themselves, cut out by their true boxes, and ask how well their **class** can be told from the
# network's features. A linear classifier is trained on the objects of the training set and tested on
# those of the test set. The network is the *pre-trained* one: it knows other toys and has not met these classes,
# so that nothing was fitted to one of the transformations on the objects we judge by.
#
# Three controls go with it:
#
# - **the rim only:** the box itself is blanked and only the 16 pixels of context are left. What can be told
#   from that has nothing to do with the object's looks.
# - **the aspect ratio only:** no network at all, a classifier that is told just width over height. This is
#   what the warp throws away.
# - **shuffled labels:** the training labels are dealt out at random. What is left is chance.

# %%
network = course.pretrained
reads = {"size": network.input_size, "mean": network.mean, "std": network.std, "bgr": network.bgr}


# %%
def describe(dataset, *, blank_box=False, **options):
    """fc7 features [N, D] and class names [N] of all objects of a data set."""
    features, names = [np.zeros((0, network.feature_dim("fc7")), np.float32)], []
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        if len(annotation):
            crops = warp_boxes(dataset.image(image_id), annotation.boxes, **reads, **options)
            if blank_box:
                crops[:, :, 16:-16, 16:-16] = 0
            features.append(network.features(crops, ["fc7"])["fc7"].cpu().numpy())
            names += annotation.names
    return np.concatenate(features), np.array(names)


def box_shapes(dataset):
    """Logarithm of width / height, and its square [N, 2], and class names [N] of all objects."""
    annotations = [dataset.annotation(i) for i in dataset.ids]
    sides = np.concatenate([a.boxes[:, 2:] - a.boxes[:, :2] for a in annotations])
    aspect = np.log(sides[:, 0] / sides[:, 1])
    return np.stack([aspect, aspect**2], axis=1), np.array([name for a in annotations for name in a.names])


# %%
learn, judge = trainval.subset(min(150, len(trainval.ids))), test.subset(min(100, len(test.ids)))


def tell_classes(shuffle=False, **options):
    """True and told class [N] of all test objects, by a linear classifier on their features."""
    features, names = describe(learn, **options)
    if shuffle:
        names = np.random.default_rng(0).permutation(names)
    classifier = make_pipeline(Normalizer(), LogisticRegression(C=30, max_iter=500)).fit(features, names)
    features, truth = describe(judge, **options)
    return truth, classifier.predict(features)


def accuracy(**options):
    """Share of test objects whose class is told rightly."""
    truth, told = tell_classes(**options)
    return (truth == told).mean()


# %% [markdown]
# **Predict.** Which will do best? And of how many objects in a hundred can the class be told from the rim
# alone, with the object blanked out? (There are twelve classes, so blind guessing gets about eight.)

# %%
ways = ["warp, p = 16", "warp, p = 0", "square_context, p = 16", "square, p = 16", "original, p = 16"]
predict("02 best way to warp", "the best of these", choices=ways)

# %%
predict("02 rim only", "classes told from the rim only, in %")

# %%
results = {
    f"{mode}, p = {padding}": accuracy(mode=mode, padding=padding) for mode in MODES for padding in (0, 16)
}
results["control: the rim only"] = accuracy(blank_box=True)
results["control: the aspect ratio only"] = (
    LogisticRegression(C=30).fit(*box_shapes(learn)).score(*box_shapes(judge))
)
results["control: shuffled labels"] = accuracy(shuffle=True)
meet("02 best way to warp", max(ways, key=results.get))
meet("02 rim only", 100 * results["control: the rim only"], unit="%")

# %%
ranking = pd.Series(results).sort_values()
fig, ax = plt.subplots(figsize=(9, 5))
is_control = ranking.index.str.startswith("control")
bars = ax.barh(ranking.index, 100 * ranking, color=np.where(is_control, "#BBBBBB", "#0072B2"))
ax.bar_label(bars, fmt="%.0f", padding=3)
ax.set(xlabel="test objects whose class is told, %", xlim=(0, 100))
said = ", ".join(f"{name} {100 * value:.0f}%" for name, value in ranking[::-1].items())
plots.show(fig, alt=f"Test objects whose class is told, best first: {said}.")

# %%
n_judged = sum(len(test.annotation(i)) for i in judge.ids)
error = 100 * np.sqrt(0.25 / n_judged)
display(
    Markdown(
        f"{n_judged} test objects; one standard error is up to {error:.1f} points, so smaller gaps mean nothing."
    )
)

# %% [markdown]
# *Reading:* how far a bar stands from the shuffled labels is what can be known. Compare the rim with them:
# where it is better, the scene around a toy gives hints, such as how large it is or what it stands on, and
# that part of the accuracy would not survive in another world with another scenery. Compare the aspect
# ratio with them, too: that much is lost by warping, and the network has to earn it back with the pixels it
# gains.
#
# Be careful with the order of the blue bars. **This comparison is not fair:** our network was pre-trained
# on crops warped with $p = 16$, so it is at home with them. And true boxes are not proposals: a proposal is
# often a bit off, and context helps most where the box has cut something off. The table at the end of [notebook
# 07](07_detection_and_evaluation.ipynb) compares whole detectors.
#
# And your pair of section 2? These classes are confused most often after warping:

# %%
truth, told = tell_classes()
wrong = [" and ".join(sorted(pair)) for pair in zip(truth[truth != told], told[truth != told])]
pd.Series(wrong, name="times confused").value_counts().head(5).to_frame()

# %% [markdown]
# ## Checkpoint

# %%
box = [100, 60, 139, 138]
unpadded, padded = (crop_geometry([box], 300, 400, padding=p).window[0] for p in (0, 16))
assert unpadded.tolist() == box, "a plain warp takes the box as it is"
assert np.abs(padded - context_box(box, 227, 16)).max() <= 1.5, "rounding moves an end by a pixel or so"
assert np.abs(yours - theirs).max() < 0.01, "a crop made pixel by pixel is the package's crop"
assert differences["largest difference"].max() < 0.01, "the batched warp is the reference"
whole = warp_reference(image, [0, 0, image.shape[1], image.shape[0]], mean=mean)
assert np.allclose(whole[0], mean) and np.allclose(whole[:, -1], mean), (
    "around a whole picture there is nothing"
)
assert batch.shape == (256, 3, 227, 227) and np.isfinite(batch.numpy()).all()
assert all(0 <= value <= 1 for value in results.values())
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Open questions: nobody checks them, and some have no single answer.
#
# **1. By hand** (●○○, 5 minutes). A box is 78 x 19.5 pixels. How many pixels of the picture are the 16
# pixels of context, to the left and above? For which size of box are they exactly 16 pixels of the
# picture?

# %%
# your code

# %% [markdown]
# **2. Replicate or mean?** (●●○, 15 minutes). Appendix A leaves it open whether missing pixels should
# better repeat the border (`fill="replicate"`) than be the mean. Which objects of the test set does this
# concern at all? Count those whose window leaves the picture, look at four of them both ways, and compare
# `accuracy(fill="replicate")` with what you had.

# %%
# your code

# %% [markdown]
# **3. The proper experiment** (●●●, 40 minutes, some of them waiting). Train two detectors that differ in
# nothing but the warp, `RCNN(course.pretrained, warp_mode="warp", padding=16, box_regression=False)` and one with
# `padding=0`, on the same subset of the training set and with the same 300 proposals a picture, and compare their
# mAP on test. Is the sign that of the paper? How large is the difference beside the one between two halves of the
# test set, and beside the spread that section 10 of [notebook 07](07_detection_and_evaluation.ipynb) prints?

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - A proposal is stretched to 227 x 227 pixels, with 16 of them on each side for what surrounds it.
# - Context is counted in the crop, so a box grows by the factor 227/195 along each of its sides.
# - A crop's pixels look between those of the picture: at $(i + 0.5) \cdot w / S$, mixed from four.
# - What lies outside the picture becomes the mean, and after subtracting it, nothing.
# - A rim of context can give the class away by itself; only a control tells how much.
# - The warp throws the aspect ratio away and keeps every pixel of the input for the object.
#
# ## Where this differs from the paper
#
# - The pictures are synthetic, and section 5 measures the classification of cut-out objects, not mAP.
# - The window is rounded as in the released code, which is more exact than the paper's text. That code has
#   no "tightest square without context"; ours follows appendix A, with the same rounding.
# - The released code subtracts the mean *image* of its training set; where a network of ours has a mean *colour*,
#   that is subtracted.
#
# ## Next
#
# [03 Feature extraction](03_feature_extraction.ipynb): what the network makes of the squares.
