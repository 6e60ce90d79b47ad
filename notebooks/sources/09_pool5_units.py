# %% [markdown]
# # pool5 units
#
# *A single unit of the network can be used as a detector in its own right; the regions it picks show what it has
# learnt to look for, and a count beside a base rate says whether the eye is right.*
#
# **The paper:** section 3.1 (visualizing learned features) with Figure 4, and appendix D with Figure 12.
#
# **You will**
#
# - rank regions by what one unit says of them, and find out why suppression is needed before you look;
# - draw the white box of the paper's figures: what a unit sees of a picture;
# - see why one pass and short lists are enough for all units at once, and browse them;
# - measure whether "this unit likes wheels" is true, with a base rate, a lift and a bound on chance;
# - hold the findings against an untrained network, and against lists drawn at random;
# - compare the same unit before and after fine-tuning;
# - draw a box of your own and ask which units it excites.
#
# **You need** pool5 and its receptive fields ([notebook 03](03_feature_extraction.ipynb), sections 1 and 2), IoU
# and suppression ([07](07_detection_and_evaluation.ipynb), section 2). **Time:** about 45 minutes for reading,
# predicting and browsing, and 50 for the four exercises. The first cell says what the cells take on a machine like
# yours; on a GPU nothing was measured yet.
#
# The package behind it is `rcnn_helpers.units`; the shell has `rcnn units`. The pictures are ToyVOC: rendered,
# synthetic toys. So we know what every pixel shows, and can measure what the paper could only look at.

# %%
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from rcnn_helpers import plots, units, widgets
from rcnn_helpers.boxes import iou
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.units.montage import unit_rows
from rcnn_helpers.units.selectivity import attribute_selectivity, choose_six, class_selectivity, compare_units

# %%
course = open_course("09")

# %%
test, network, store = course.test, course.network, course.features("test")
pictures = course.pictures("trainval", "test")
index = course.unit_index("fine-tuned")  # section 3 tells what this is
before = course.unit_index("pre-trained")
untrained = course.unit_index("random")
K = 24  # regions by which a unit is judged: as many as Figure 12 and the explorer show
print(index)

# %% [markdown]
# ## 1. One unit as a detector
#
# The filters of the first layer are small pictures, and one can look at them (notebook 03 did). What a unit further
# up looks for is in no single set of weights. The paper's way out needs nothing but the network and many regions:
# "single out a particular unit (feature) in the network and use it as if it were an object detector in its own
# right" (sec. 3.1). A detector gives every region a score. So does a unit: its activation. Sort the regions by it,
# suppress, and look at those at the top. The unit speaks for itself by what it picks.
#
# First we have to find it. pool5 of this network has 64 channels, each a map of 6 x 6 cells; of the paper's T-Net,
# 256. In a row of features they stand channel by channel and row by row: the unit of channel $c$, row $y$ and column
# $x$ has the number $36 c + 6 y + x$.
#
# **By hand.** Channel 10, row 2, column 3: $360 + 12 + 3 = 375$. And which is unit 100? Two whole channels fit
# ($72$), 28 are left over; four whole rows ($24$), and 4 are left over: channel 2, row 4, column 4.
#
# ### Exercise: from a unit's number to its place
#
# ●○○ · 5 minutes. Return the channel, the row and the column of unit `number`, for a layer whose channels have
# `rows` x `columns` cells. All count from 0. For instance, `place_of_unit(375, 6, 6)` is `(10, 2, 3)`.


# %% exercise="place_of_unit"
def place_of_unit(number, rows, columns):
    """Channel, row and column of a unit, from its number in the flattened features.

    rows, columns: cells of each channel's map.
    """
    # solution
    channel, rest = divmod(number, rows * columns)
    row, column = divmod(rest, columns)
    return channel, row, column


# %% [markdown]
# We take unit 375, for no better reason than that notebook 03 met it. Here is what it says of all regions of some
# test pictures: all proposals, and the boxes of the objects, as in the original code. The network was fine-tuned on
# trainval; these pictures are new to it.
#
# **Predict.** In the twelve regions that excite it most, how many different pictures do you expect to see?

# %%
predict("09 pictures at the top", "Different pictures among the 12 best regions")

# %%
number = 375
channel, row, column = place_of_unit(number, *index.shape[1:])
some_ids = test.ids[:40]
albums = []  # of each picture: its regions, and what the unit says of them
for image_id in some_ids:
    entry = store.read(image_id)
    albums.append((entry.boxes.tolist(), entry.features[:, number].tolist()))
said = np.concatenate([values for _, values in albums])
print(f"unit {number}: channel {channel}, row {row}, column {column}")
print(f"{len(said):,} regions of {len(some_ids)} pictures; {100 * (said > 0).mean():.0f}% of them excite it")


# %%
def cut_out(picture, region):
    """The pixels of a region."""
    x1, y1, x2, y2 = np.rint(albums[picture][0][region]).astype(int)
    return test.image(some_ids[picture])[y1:y2, x1:x2]


def shown(places):
    """Regions side by side with their values."""
    captions = [f"{albums[p][1][r]:.1f}  ({some_ids[p].split('_')[-1].lstrip('0') or 0})" for p, r in places]
    crops = [cut_out(*place) for place in places]
    return plots.montage(crops, captions, columns=6, cell=(110, 140), font_size=14)


every = [(p, r) for p, (boxes, _) in enumerate(albums) for r in range(len(boxes))]
ranked = [every[i] for i in np.argsort(-said, kind="stable")[:12]]
n_pictures = len({picture for picture, _ in ranked})
plots.show(
    shown(ranked),
    alt=f"The twelve regions that excite unit {number} most, as they are: they come from {n_pictures} pictures.",
)
meet("09 pictures at the top", n_pictures)

# %% [markdown]
# *Reading:* below each region stand its value and the number of its picture. Proposals come in clumps: what excites
# the unit once does so again when the box is shifted by a few pixels. So the list tells of few things, many times.
# The remedy is that of notebook 07: of regions that overlap, keep the best. The authors' viewer is stricter than
# their detector, which suppresses from an IoU of 0.3 on. Here it is **0.1**. A detector must not lose the second of
# two objects that stand close together. Here nothing is lost if it does: we want to see *different* things.
#
# Suppression works within each picture. The same box in two pictures shows two things.
#
# ### Exercise: the regions that excite a unit most
#
# ●●● · 20 minutes. `pictures` is a list; of each picture it holds a pair: its `boxes`, a list of corners, and the
# unit's `values` for them, no two of them equal but for zeros. Return a list of the best `k` regions of all
# pictures, best first, each as a pair `(picture, region)` of positions in these lists. In each picture, a region
# is suppressed if its IoU with a kept, better one is *greater* than 0.1. Regions with the value 0 do not count:
# the list may be shorter than `k`. For instance, with the boxes (0, 0, 10, 10), (1, 0, 11, 10) and (40, 0, 50, 10)
# in the first picture, valued 0.9, 0.8 and 0.3, and one box valued 0.5 in the second, the best 3 are `[(0, 0), (1,
# 0), (0, 2)]`. A picture may have no regions.


# %% exercise="best_regions"
def best_regions(pictures, k):
    """The k regions that excite a unit most, best first: pairs (picture, region) of positions.

    pictures: list of pairs (boxes, values); boxes: list of (x1, y1, x2, y2); values: a number for each.
    """
    # nms(boxes, values, iou_threshold=...) gives the positions of the boxes that survive, best first.
    from rcnn_helpers.nms import nms

    # solution
    found = []
    for picture, (boxes, values) in enumerate(pictures):
        if len(boxes) == 0:
            continue
        for region in nms(boxes, values, iou_threshold=0.1):
            if values[region] > 0:
                found.append((values[region], picture, int(region)))
    found.sort(key=lambda each: -each[0])
    return [(picture, region) for _, picture, region in found[:k]]


# %% [markdown]
# Your function (or the reference) at work:

# %%
best = best_regions(albums, 12)
plots.show(
    shown(best),
    alt=f"The best twelve regions of unit {number} after suppression, from {len({p for p, _ in best})} pictures.",
)

# %% [markdown]
# *Reading:* what do they have in common? Write a word or two down before you read on. It may be a thing, a part, a
# shape, a colour, a pattern. And beware: people find something in common in any twelve pictures. Sections 5 and 6
# will test such words.
#
# ## 2. What the unit sees
#
# Perhaps you were looking at the wrong place. The unit sees neither the region alone nor all of it. The region is
# warped with 16 pixels of context on each side ([notebook 02](02_warping.ipynb)), and of the 227 x 227 pixels of
# this crop the unit sees at most **195 x 195**: its receptive field, which notebook 03 worked out layer by layer.
# A unit at the border of the map sees less, since the field ends where the crop ends.

# %%
field = units.receptive_field(network, "pool5", (row, column))
x1, y1, x2, y2 = field.astype(int)
print(f"unit {number} sees the columns {x1} to {x2} and the rows {y1} to {y2} of {network.input_size}")

# %% [markdown]
# This is a box in the crop. Where is it in the picture? There the paper's figures draw it, in white. Warping back is
# a matter of two questions, once sideways and once downwards: how much of the picture is a pixel of the crop? And
# where in the picture does the crop begin?
#
# **By hand.** The region (100, 60, 139, 138) is 39 pixels wide and 78 high. With 16 pixels of context it fills
# the inner $227 - 2 \cdot 16 = 195$ pixels of the crop. So a pixel of the crop is $39/195 = 0.2$ pixels wide and
# $78/195 = 0.4$ high. The crop begins 16 such pixels before the region: at $100 - 16 \cdot 0.2 = 96.8$ and
# $60 - 16 \cdot 0.4 = 53.6$. The field (32, 0, 227, 195) then goes from $96.8 + 32 \cdot 0.2 = 103.2$ to
# $96.8 + 227 \cdot 0.2 = 142.2$, and from $53.6$ to $53.6 + 195 \cdot 0.4 = 131.6$. On the right it reaches over
# the region.
#
# ### Exercise: what a unit sees of a picture
#
# ●●○ · 15 minutes. `box` is a region in the picture and `field` a receptive field in its crop, both (x1, y1, x2,
# y2). The crop has `size` x `size` pixels, `padding` of them context on each side. Return the field in pixels of
# the picture, without rounding. It may leave the region, and even the picture; do not cut it off. For the example
# above, `field_in_image([100, 60, 139, 138], [32, 0, 227, 195], 227, 16)` is `(103.2, 53.6, 142.2, 131.6)`.


# %% exercise="field_in_image"
def field_in_image(box, field, size, padding):
    """What a unit sees of a picture through the crop of a region: (x1, y1, x2, y2) in pixels of the picture.

    box: the region, in the picture; field: in the crop; size: the crop's side; padding: context, in the crop.
    """
    # solution
    inner = size - 2 * padding  # what the region fills, in the crop
    corners = []
    for low, high, start, end in ((box[0], box[2], field[0], field[2]), (box[1], box[3], field[1], field[3])):
        pixel = (high - low) / inner  # of the picture, for one of the crop
        begin = low - padding * pixel
        corners.append((begin + start * pixel, begin + end * pixel))
    (x1, x2), (y1, y2) = corners
    return x1, y1, x2, y2


# %% [markdown]
# The unit's best region in its picture. Around it, dashed: what the crop shows. White: what the unit sees, by your
# function (or the reference).

# %%
WHITE, CROP = plots.BoxStyle("#ffffff"), plots.BoxStyle("orange", "dashed")
place = best[0] if best else (0, 0)
box = albums[place[0]][0][place[1]]
whole_crop = [0, 0, network.input_size, network.input_size]
boxes_drawn = [box] + [field_in_image(box, each, network.input_size, 16) for each in (whole_crop, field)]
photograph = test.image(some_ids[place[0]])
enlarged = plots.fit(photograph, 3 * photograph.shape[0] // 2, 3 * photograph.shape[1] // 2)
zoom = enlarged.shape[1] / photograph.shape[1]
plots.show(
    plots.draw_boxes(
        enlarged,
        zoom * np.array(boxes_drawn),
        ["region", "", ""],
        ["detection", CROP, WHITE],
        line_width=3,
    ),
    quality=80,
    alt="A picture with the region that excites the unit most, what its crop shows, and what the unit sees.",
)

# %% [markdown]
# Fields overlap widely, and a unit in the middle sees most of the crop. Within its field not all pixels count alike:
# those in the middle reach the unit on many ways, those at the rim on few. So the white box says where the unit
# *cannot* look beyond, and not what it looks at.
#
# ## 3. All units at once
#
# That was one unit. The paper's viewer has all 9,216. Must one keep the activations of all regions, then? In the
# paper's case, of all proposals of VOC 2007's test pictures, some ten million regions: 9,216 numbers each, 370 GB.
# No:
#
# - a **list of the best K** so far for each unit is enough. A region that is beaten by K others now will not come
#   back later; the K-th value only rises;
# - suppression looks at **one picture at a time**. So once a picture is done, nothing in it can suppress or be
#   suppressed any more;
# - and within a picture, only regions above the unit's present K-th value matter. Suppression visits the best first,
#   and whether a region is kept depends on *better* ones only. So it does no harm to leave out the worse ones.
#
# The lists are then exactly those that sorting everything would have given; nothing is approximated. One pass over
# the pictures fills the lists of all units, in memory that does not grow with the number of regions. We do it once
# for the test pictures. (What `course.unit_index` has read from the cache was made in the same way, from all
# pictures.)

# %%
started = time.perf_counter()
held_out = units.build_index(test, course.proposals("test"), store=store, progress=False)
seconds = time.perf_counter() - started
in_lists = held_out.n_units * held_out.top * 24  # value, image and four corners of a region
in_all = held_out.n_regions * held_out.n_units * 4
display(
    Markdown(
        f"{held_out.n_regions:,} regions of {held_out.n_images} pictures and {held_out.n_units:,} units in "
        f"{seconds:.1f} s. The lists take {in_lists / 1e6:.0f} MB; all activations would take "
        f"{in_all / 1e6:,.0f} MB, and with ten times the pictures ten times that."
    )
)

# %% [markdown]
# Is it true that the lists are exact? Two ways to check. Your `best_regions` has sorted *all* activations of one
# unit in some pictures, and the index should name the same regions. And an index over all pictures must contain
# that of the test pictures: as no picture has a say in another, one may cross out everything else.


# %%
def part_of(larger, image_ids):
    """An index without the regions of other pictures: its lists are as exact, but shorter."""
    left = [image_id for image_id in larger.image_ids if image_id in set(image_ids)]
    place = {image_id: at for at, image_id in enumerate(left)}
    places = np.array([place.get(image_id, -1) for image_id in larger.image_ids] + [-1], np.int32)
    image_index = places[larger.image_index]  # the last one stands for -1: nothing in this place of the list
    order = np.argsort(image_index < 0, axis=1, kind="stable")  # what stays comes first
    image_index = np.take_along_axis(image_index, order, axis=1)
    values = np.take_along_axis(larger.values, order, axis=1)
    boxes = np.take_along_axis(larger.boxes, order[:, :, None], axis=1)
    values = np.where(image_index < 0, np.float32(0), values)
    return replace(larger, image_ids=tuple(left), image_index=image_index, values=values, boxes=boxes)


# %%
mine = np.array([albums[p][1][r] for p, r in best])
theirs = part_of(held_out, some_ids).values[number, : len(mine)]
crossed_out = part_of(index, test.ids)
lengths = (crossed_out.values > 0).sum(axis=1)
same_lists = [
    np.array_equal(crossed_out.values[unit, :n], held_out.values[unit, :n])
    and np.array_equal(crossed_out.boxes[unit, :n], held_out.boxes[unit, :n])
    for unit, n in enumerate(lengths)
]
as_mine = np.allclose(mine[theirs > 0], theirs[theirs > 0])
print(f"unit {number}: the index has the same {(theirs > 0).sum()} values as best_regions: {as_mine}")
print(
    f"units whose list, crossed out, is the head of the test pictures' own: {100 * np.mean(same_lists):.1f}%"
)
print(f"such a list has {lengths.min()} to {lengths.max()} of {index.top} regions left")

# %% [markdown]
# ### How excited is excited?
#
# A value of 3 may be little for one channel and much for another: the layers above weigh it as they like. So values
# are shown **divided by the largest one of the unit's channel**, over all cells and regions, as in the authors'
# viewer. Why of the channel, and not of the unit? The cells of a channel share their weights. They look for the same
# thing at different places, so their values can be compared.

# %%
of_channels = held_out.channel_maximum
scaled = held_out.maximum.reshape(held_out.shape) / of_channels[:, None, None]
display(
    Markdown(
        f"The channels' largest values lie between {of_channels.min():.1f} and {of_channels.max():.1f}. Within a "
        f"channel, the best region of the weakest cell reaches {scaled.min(axis=(1, 2)).mean():.2f} of it, on average."
    )
)

# %% [markdown]
# ### The explorer
#
# Browse the units yourself. Click a cell of the grid, or use the arrow keys; Page Up and Page Down change the
# channel, and a button leads to the next most similar one. The regions are drawn as the network sees them, warped,
# with the white box and the value. Click on one, and below you see the picture that it comes from. Beside that
# stands what the neighbouring cells like best. This index is over all pictures; on trainval the network was
# fine-tuned.
#
# Three things to try. Go from cell to cell of one channel: what changes, what stays? Find a channel that you can
# name in one word. And find one for which you have no word at all.

# %%
explorer = widgets.UnitExplorer(index, pictures, unit=(channel, row, column))
explorer

# %% [markdown]
# *Static twin of the widget:* the cell in the lower left corner of the same channel, in words and in a picture.

# %%
state = {"channel": channel, "row": index.shape[1] - 1, "column": 0}
plots.show(explorer.render(**state), quality=50, alt=explorer.describe(**state))

# %% [markdown]
# ## 4. "This unit likes wheels"
#
# Such sentences are easily said. The paper's Figure 4 invites them: a unit for people, one for dogs or dots, one for
# specular reflections. But what is behind one?
#
# - How many of a unit's best regions must show a wheel, before one may say so?
# - How many would have shown one anyway? In a country of cars every second unit likes wheels.
# - How many units were looked at, before one was found that does?
#
# The first two questions together make the **lift**: the share among the unit's best regions, divided by the share
# among regions drawn at random, the **base rate**. A lift of 1 means nothing; 10 means ten times as often as by
# chance.
#
# **By hand.** Of the four best regions of a unit, two show a car: 0.5. Of eight random regions, one does: 0.125. The
# lift is $0.5 / 0.125 = 4$. And if none of the eight did? Then the lift would be infinite, on the strength of eight
# regions. The ninth might have been a car. So we take a base rate of $1/9$ at least, and the lift is 4.5.
#
# ### Exercise: does it like cars, or are there just many?
#
# ●○○ · 10 minutes. `top` and `random` are lists with what each region shows: the name of a class, or `None`. Return
# the lift of class `name`. The base rate is at least 1 in `len(random) + 1`. Regions that show nothing count as
# well. Neither list is empty. For instance,
# `lift_of_class(["car", "car", "bus", None], ["car", None, None, None, None, "bus", None, None], "car")` is `4`.


# %% exercise="lift_of_class"
def lift_of_class(top, random, name):
    """How many times as often a class is seen among a unit's best regions as among random ones.

    top, random: lists of class names, None where a region shows no object; name: of the class.
    """
    # solution
    share = sum(each == name for each in top) / len(top)
    base = sum(each == name for each in random) / len(random)
    return share / max(base, 1 / (len(random) + 1))


# %% [markdown]
# What does a region show? The detector's answer: the class of the object that it overlaps by an IoU of 0.5 or more.
# For the unit of section 1, and 24 regions of each test picture at random:


# %%
def name_of(image_id, region):
    """Class of the object that a region holds, or None."""
    annotation = test.annotation(image_id)
    overlaps = iou([region], annotation.boxes)[0]
    if not len(overlaps) or overlaps.max() < 0.5:
        return None
    return annotation.names[int(overlaps.argmax())]


rng = np.random.default_rng(9)
best_of_unit = held_out.regions(number, K)
its_names = [name_of(*each) for each in zip(best_of_unit.image_ids, best_of_unit.boxes, strict=True)]
drawn = [(i, box) for i in test.ids for box in rng.permutation(course.proposals("test")[i])[:24]]
names_by_chance = [name_of(*each) for each in drawn]
lifts = pd.Series({name: lift_of_class(its_names, names_by_chance, name) for name in test.classes})
display(
    Markdown(
        f"{100 * np.mean([name is not None for name in its_names]):.0f}% of the unit's {len(its_names)} best regions hold "
        f"an object, and {100 * np.mean([name is not None for name in names_by_chance]):.0f}% of {len(drawn):,} random ones. "
        f"Its highest lift is {lifts.max():.1f}, that of the class *{lifts.idxmax()}*; it comes from "
        f"{its_names.count(lifts.idxmax())} of the regions."
    )
)

# %% [markdown]
# Now all units and all classes, by the package. The third question comes up: **how many did we try?** Among
# thousands of units, some will look good by luck. The remedy is to choose in one place and to judge in another:
# for each class we choose the unit that has most hits among its 24 best regions of *trainval*. Then we count the
# hits of *that* unit on *test*.
#
# **Predict.** If a unit is a detector in its own right, how good is a good one? Of the units so chosen, one for each
# class, how many hits has the best among its 24 best regions of the test pictures?

# %%
predict("09 hits of the best unit", "Hits among 24 test regions, best of the chosen units")

# %%
seen = units.build_index(
    course.trainval, course.proposals("trainval"), store=course.features("trainval"), progress=False
)
of_trainval = class_selectivity(seen, course.trainval, K, proposals=course.proposals("trainval"))
of_test = class_selectivity(held_out, test, K, proposals=course.proposals("test"))
of_trainval, of_test = (frame.astype({"class": str}) for frame in (of_trainval, of_test))
of_classes = of_trainval.sort_values("precision", ascending=False, kind="stable").drop_duplicates("class")
of_classes = of_classes[["class", "unit", "precision"]].merge(
    of_test[["class", "unit", "precision", "lift"]],
    how="left",
    on=["class", "unit"],
    suffixes=(" on trainval", " on test"),
)
of_classes = of_classes.fillna(0.0).set_index("class")
meet("09 hits of the best unit", int(round(K * of_classes["precision on test"].max())))

# %%
detections, outcomes = course.detections_without_regression, course.evaluation_without_regression.outcomes
of_detector = {}
for name in test.classes:
    rows = np.flatnonzero(detections.class_index == test.classes.index(name))
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")[:K]]
    of_detector[name] = float(np.mean(outcomes[rows] == "tp")) if len(rows) else 0.0
of_classes["of the detector"] = pd.Series(of_detector)
precisions = of_classes[["precision on trainval", "precision on test", "of the detector"]].mean()
display(
    of_classes.round(3),
    Markdown(
        f"On average the chosen units have {100 * precisions.iloc[0]:.0f}% hits on trainval, "
        f"**{100 * precisions.iloc[1]:.0f}%** on test; of the detector's {K} best boxes for a class "
        f"**{100 * precisions.iloc[2]:.0f}%** are right."
    ),
)

# %% [markdown]
# *Reading:* even with a high lift a unit may be a poor detector, and the comparison is kind to it: the objects'
# own boxes are among its regions, which the detector never gets to see. Two reasons. It is one of many: the SVMs
# weigh all units together. And it does not care for boxes. What it wants is in its *field*, which is not the
# region. A region that shows half a car, enlarged, may please it more than one that fits.
#
# ### What fills the white box
#
# So let us look at the pixels that it sees. Of ToyVOC's pictures we know the scene: for each pixel, what toy it
# belongs to and of what family (animal, vehicle, furniture), what part of it, what surface and what colour. We
# measure, over a unit's best regions, which share of its field shows each of these, and the same for the fields of
# random regions. We take 48 regions here, as shares of pixels vary much. Of parts we measure more. If cars fill
# the field, wheels fill some of it, too: what the cars bring along is `explained`, and only a share well above
# that is a liking for wheels.
#
# Again we choose on *trainval*, for each attribute one unit, and judge on *test*. Chosen is the unit whose share is
# least likely chance; a share that comes from many pictures counts for more than the same share from few.
#
# **Predict.** The lift of the chosen units on the test pictures, compared with their lift on trainval: its median is

# %%
of_lifts = ["less than half", "half to nine tenths", "nine tenths or more"]
predict("09 lift on new pictures", "The lift on test pictures, compared with trainval", choices=of_lifts)

# %%
MANY = 48
on_trainval = attribute_selectivity(seen, course.trainval, MANY, proposals=course.proposals("trainval"))
on_test = attribute_selectivity(held_out, test, MANY, proposals=course.proposals("test"))
print(f"{len(on_trainval):,} pairs of a unit and an attribute on trainval, {len(on_test):,} on test")
KEYS, KINDS = ["unit", "kind", "attribute"], ["family", "class", "part", "surface", "colour"]


# %%
def things(frame):
    """Rows for attributes that fill 2 pixels in 1,000 at least, what is least likely chance first."""
    found = frame[frame["kind"].isin(KINDS) & (frame["base"] >= 0.002)]
    found = found[~found["attribute"].isin(["backdrop", "clutter"])]
    found = found.astype({"kind": str, "attribute": str})
    found = found.sort_values(["chance", "bits"], ascending=[True, False], kind="stable")
    return found.reset_index(drop=True)


def judged(selected, frame):
    """The rows of another frame for the same units and attributes; where there is none, the unit shows nothing."""
    columns = ["share", "base", "explained", "lift", "chance"]
    found = selected[KEYS].astype({"kind": str, "attribute": str})
    found = found.merge(frame[KEYS + columns].astype({"kind": str, "attribute": str}), how="left", on=KEYS)
    found.index = selected.index
    return found.fillna({"share": 0.0, "base": 0.0, "lift": 0.0, "chance": 1.0})


chosen = things(on_trainval).drop_duplicates(["kind", "attribute"])
then = judged(chosen, on_test)
kept_lift = (then["lift"] / chosen["lift"]).median()
sure = then["chance"] <= 0.05 / len(chosen)  # as many tests as attributes
meet("09 lift on new pictures", of_lifts[int(np.searchsorted([0.5, 0.9], kept_lift, side="right"))])

# %%
fig, ax = plt.subplots(figsize=(9, 6))
for kind, mark, colour in zip(KINDS, "vos^D", ["black", "blue", "vermillion", "green", "purple"]):
    rows = chosen["kind"] == kind
    heights = np.maximum(then["lift"][rows], 0.3)
    ax.scatter(
        chosen["lift"][rows],
        heights,
        marker=mark,
        s=60,
        alpha=0.7,
        color=plots.COLOURS.get(colour, colour),
        label=kind,
    )
annotated = []
for at in chosen.index[:20]:
    place = chosen["lift"][at], max(then["lift"][at], 0.3)
    if all(np.abs(np.log(place[0] / x)) > 0.25 or np.abs(np.log(place[1] / y)) > 0.15 for x, y in annotated):
        annotated.append(place)
        ax.annotate(chosen["attribute"][at], place, xytext=(7, 5), textcoords="offset points", fontsize=13)
reach = [0.25, 1.5 * max(chosen["lift"].max(), then["lift"].max())]
ax.plot(reach, reach, color="black", linestyle=":")
ax.axhline(1, color=plots.COLOURS["grey"], linewidth=1)
ax.set(xscale="log", yscale="log", xlim=(0.8, reach[1]), ylim=reach)
ax.set(xlabel="lift on trainval, where the unit was chosen", ylabel="lift on test (0.3 or less at 0.3)")
ax.legend(loc="upper left")
plots.show(
    fig,
    alt=f"Lift of each attribute's chosen unit on trainval and on test. Of {len(chosen)} units "
    f"{(then['lift'] > 1).sum()} have a lift above 1 on test; {(then['lift'] < chosen['lift']).sum()} lie below the "
    "diagonal.",
)

# %%
table = chosen[["attribute", "kind", "channel", "row", "column", "lift"]].rename(
    columns={"lift": "lift on trainval"}
)
table = table.join(then[["lift", "share", "base", "chance"]].rename(columns={"lift": "lift on test"}))
display(
    Markdown(
        f"{len(chosen)} attributes, a unit for each. Their median lift was {chosen['lift'].median():.1f} on trainval and "
        f"is {then['lift'].median():.1f} on test; {(then['lift'] > 1).sum()} units keep one above 1. Of {sure.sum()} we can be "
        "sure, at a risk of one in twenty that any of them is chance. The first twelve, in the order of the choice:"
    ),
    table.head(12).assign(chance=table["chance"].map("{:.0e}".format)).round(3),
)

# %%
told = [
    f"The unit chosen for **wheels** on trainval, number {each.unit}, has {100 * each.share:.1f}% of its field full of "
    f"wheels on test. In random fields it is {100 * each.base:.1f}%, and the toys in its own would explain "
    f"{100 * np.nan_to_num(each.explained):.1f}%."
    for each in then[(then["kind"] == "part") & (then["attribute"] == "wheel")].itertuples()
]
of_one = things(on_test[on_test["unit"] == number])
of_one = pd.concat([of_one.head(5), of_one[of_one["attribute"] == "wheel"]]).drop_duplicates()
display(
    Markdown("\n\n".join([*told, f"The unit of section 1, number {number}, over all test pictures:"])),
    of_one[["attribute", "kind", "share", "base", "explained", "lift", "bits"]].round(3),
)

# %% [markdown]
# *Reading:* whatever lies below the dotted line has lost something on the way to new pictures. Two things make for
# such a loss. The luckiest of many was chosen, and luck does not last; and the network was fine-tuned on trainval.
# The last column is an upper bound on the probability that random regions show as much (a bound by Chernoff and
# Hoeffding, in which each picture counts once, as regions of one picture are not independent). It is strict: that a
# find is not sure does not make it false.
#
# And the unit of section 1? The first five rows of its table are what is least likely chance in its field; the
# last is about wheels, if they are not among the five. Is your word there? If not, look at the regions again. The
# measure counts *pixels in the whole field*. A small thing fills few of them, whatever it means to the unit, and
# what regularly lies around it, a floor, say, fills many. The number does not see everything that an eye sees; nor
# the other way round.
#
# ## 5. Six units
#
# The paper shows six units in Figure 4 and twenty in Figure 12. Which ones to show is a choice, and a choice by
# taste shows taste. So `choose_six` goes by a rule. For the kinds of things that the paper's six like, a class or
# a family of classes, a part, a colour, a texture, it takes the unit that is least likely chance, among the sure
# finds on trainval; no channel and no attribute twice. Of a part, only what goes beyond `explained` counts, and
# units inside the map come before those on its border. The regions below are those of the **test** pictures, on
# which nothing was chosen.

# %%
six = choose_six(seen, course.trainval, MANY, frame=on_trainval).astype({"kind": str, "attribute": str})
six = six if len(six) else chosen.head(6)  # of a handful of pictures, nothing is sure
of_six = judged(six, on_test)
labels = [
    f"channel {each.channel}, cell ({each.row}, {each.column}): {each.attribute}, {100 * share:.0f}% of its field, "
    f"{100 * base:.0f}% by chance"
    for each, share, base in zip(six.itertuples(), of_six["share"], of_six["base"])
]
plots.show(
    unit_rows(held_out, test, six["unit"].tolist(), 16, labels=labels, side=80),
    quality=62,
    alt="Six units, a row each: their sixteen best test regions with the receptive field in white and the activation. "
    + "; ".join(labels),
)

# %% [markdown]
# *Reading:* as in the paper, each region is warped as the network saw it, the white box is the receptive field, and
# the white number the activation, divided by the channel's maximum. Look first at what has earned the unit its
# name. Then look for what has *not*: the regions in a row that do not fit. What do they share with the others, that
# is no class and no part? A light, a round shape, an edge at the same place?
#
# ## 6. Would any network do?
#
# Two controls. The first is **an untrained network** of the same build: random filters, the same pooling, over the
# same test pictures. The second has **no network at all**: each unit gets a list of random regions. Whatever we find
# there, we find by trying often.
#
# The untrained network was run over the test pictures alone, so we choose and judge within these, and treat all
# three alike: choose on every second picture, judge on the others, and the other way round. For each attribute we
# take the ten first units, which makes the result less of a gamble, and their mean lift on the pictures
# on which they were *not* chosen.
#
# **Predict.** There, the untrained network's units come closest to the trained one's (or go beyond them) for

# %%
predict("09 untrained units", "Untrained units come closest for", choices=KINDS)

# %%
position = {image_id: at for at, image_id in enumerate(held_out.image_ids)}
pick = np.array([rng.permutation(len(drawn))[: held_out.top] for _ in range(held_out.n_units)])
by_chance = replace(
    held_out,
    values=np.tile(np.linspace(1, 0.5, pick.shape[1], dtype=np.float32), (held_out.n_units, 1)),
    image_index=np.array([position[image_id] for image_id, _ in drawn], np.int32)[pick],
    boxes=np.array([box for _, box in drawn], np.float32)[pick],
)
lists = {"trained": held_out, "untrained": untrained, "random lists": by_chance}


# %%
def lasting_lift(of_units):
    """For each attribute: the mean lift of ten units where they were chosen, and on the other half of the pictures."""
    found = [
        attribute_selectivity(part_of(of_units, half), test, K, proposals=course.proposals("test"))
        for half in (test.ids[0::2], test.ids[1::2])
    ]
    lifts = []
    for one, other in (found, found[::-1]):
        ten = things(one).groupby(["kind", "attribute"]).head(10)
        ten = ten.assign(**{"on the others": judged(ten, other)["lift"]})
        lifts.append(ten.groupby(["kind", "attribute"])[["lift", "on the others"]].mean())
    return pd.concat(lifts).groupby(level=["kind", "attribute"]).mean()


lifts = pd.concat({name: lasting_lift(each) for name, each in lists.items()}, axis=1)
by_kind = lifts.groupby(level="kind").median().reindex(KINDS)
new = by_kind.xs("on the others", axis=1, level=1).fillna(0.0)
meet("09 untrained units", (new["untrained"] / new["trained"].clip(lower=1e-9)).idxmax())
by_kind.round(2)

# %%
fig, axes = plt.subplots(1, 5, figsize=(17, 5.6), sharex=True)
last = lifts.xs("on the others", axis=1, level=1)
for ax, kind in zip(axes, KINDS):
    of_kind = (
        last[last.index.get_level_values("kind") == kind].droplevel("kind").sort_values("trained").tail(14)
    )
    for name, mark, colour in zip(lists, "osx", ["blue", "orange", "grey"]):
        ax.plot(
            of_kind[name].clip(lower=0.1), range(len(of_kind)), mark, color=plots.COLOURS[colour], label=name
        )
    ax.axvline(1, color="black", linestyle=":")
    ax.set_yticks(range(len(of_kind)), of_kind.index, fontsize=11)
    ax.set(title=kind, xlabel="lift", xscale="log")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
told = "; ".join(
    f"{kind}: trained {each['trained']:.1f}, untrained {each['untrained']:.1f}, random lists {each['random lists']:.1f}"
    for kind, each in new.iterrows()
)
plots.show(
    fig,
    alt="Lift of ten chosen units on new pictures, for each attribute (of parts, the fourteen with the highest), of the "
    f"trained and the untrained network and of random lists. Medians: {told}.",
)

# %%
ahead = (last["trained"] > last["untrained"]).groupby(level="kind").mean().reindex(KINDS).fillna(0)
display(
    Markdown(
        f"Median lifts on new pictures. {told.capitalize()}. The trained units are ahead of the untrained ones for "
        + ", ".join(f"{100 * share:.0f}% of the attributes of kind *{kind}*" for kind, share in ahead.items())
        + "."
    )
)

# %% [markdown]
# *Reading:* the table's columns `lift` are those on the pictures on which the units were chosen. There, even
# random lists look selective, and an untrained network looks like a trained one: so much comes from trying often.
# The columns `on the others` tell what lasts. A random filter can well like what is bright, or of one colour: that
# shows in a weighted sum of pixels, and needs no training. Look for what an untrained unit finds hard. And beware
# of single attributes: with some fifty pictures a side, an attribute may hang on three of them.
#
# ## 7. What fine-tuning changed
#
# The network was trained on auxiliary categories and then fine-tuned on the detection classes ([notebook
# 04](04_fine_tuning.ipynb)), with all layers learning. The paper's units are those of a network that was
# fine-tuned on VOC 2007. It also notes that fine-tuning helps fc6 and fc7 much more than pool5, which suggests
# that pool5 was general before (sec. 3.2). Has it changed at all, then? A unit keeps its number through
# fine-tuning, so we can ask it twice: of its 24 best regions afterwards, over all pictures, how many were among
# its 24 best before?
#
# **Predict.** What share, on average?

# %%
predict("09 regions kept", "Share of the best regions that were among the best before, in %")

# %%
changed = compare_units(before, index, pictures, K)
meet("09 regions kept", 100 * changed["overlap"].mean(), unit="%")

# %%
fig, axes = plt.subplots(1, 2, figsize=(12, 4))
axes[0].hist(
    100 * changed["overlap"], bins=np.linspace(0, 100, 26), color=plots.COLOURS["sky"], edgecolor="white"
)
axes[0].set(xlabel="best regions kept, %", ylabel="units")
for when, style, colour in (("before", "--", "orange"), ("after", "-", "blue")):
    shares = np.sort(100 * changed[f"precision_{when}"])[::-1]
    axes[1].plot(np.arange(1, len(shares) + 1), shares, style, color=plots.COLOURS[colour], label=when)
axes[1].set(xscale="log", xlabel="units, best first", ylabel="best regions on one class, %")
axes[1].legend()
means = [100 * changed[f"precision_{when}"].mean() for when in ("before", "after")]
plots.show(
    fig,
    alt=f"Left: share of its best regions that a unit keeps, mean {100 * changed['overlap'].mean():.0f}%. Right: how many "
    f"of a unit's best regions hold objects of one class, mean {means[0]:.1f}% before and {means[1]:.1f}% after.",
)

# %%
active = [100 * float(each.active.mean()) for each in (before, index)]
n_gained = int((changed["moved"] > 0).sum())
display(
    Markdown(
        f"On average a unit has kept **{100 * changed['overlap'].mean():.0f}%** of its best regions. A region excites "
        f"{active[0]:.0f}% of the units before and {active[1]:.0f}% after. The class that a unit's best regions hold "
        f"most often has a share of {means[0]:.1f}% before and {means[1]:.1f}% after; it has grown in {n_gained:,} of "
        f"{len(changed):,} units."
    )
)

# %% [markdown]
# The same unit, after and before, side by side. It opens with the first of the six. Go to others: which have kept
# what they liked, which have only sharpened it, and which look for something else now?

# %%
first = six.iloc[0]
twins = widgets.UnitExplorer(
    index, pictures, other=before, unit=(int(first["channel"]), int(first["row"]), int(first["column"])), k=12
)
twins

# %% [markdown]
# ## 8. Neighbours
#
# The cells of a channel share their weights. Then a neighbour should look for the same thing, 32 pixels further on
# in the crop, and find it in other regions: those in which the thing lies further to that side. Is it so? We say
# that two units *agree* if the same attribute is the least likely chance in their fields (of families, classes,
# parts, surfaces and colours).

# %%
favourites = things(on_test).drop_duplicates("unit").set_index("unit")
words = favourites["kind"] + " " + favourites["attribute"]
words = words.reindex(range(held_out.n_units)).fillna("").to_numpy().reshape(held_out.shape)
shuffled = words[rng.permutation(len(words))]
likeness = {
    "next cell": np.mean(words[:, :, 1:] == words[:, :, :-1]),
    "opposite corner": np.mean(words[:, 0, 0] == words[:, -1, -1]),
    "same cell, most similar channel": np.mean(
        [
            words[c] == words[other[0]]
            for c in range(len(words))
            if len(other := held_out.similar_channels(c, 1))
        ]
    ),
    "same cell, any channel": np.mean(words == shuffled),
}
pd.Series({name: f"{100 * value:.0f}%" for name, value in likeness.items()}, name="agree").to_frame()

# %% [markdown]
# *Reading:* the last row is what chance makes, since some attributes are favourites of many units. Channels are
# called similar if, cell by cell, the same pictures excite them; the explorer's button walks through them.
#
# ## 9. Whom does this box excite?
#
# So far we asked a unit for regions. Now the other way round. Draw a box on a picture, or upload a photograph of
# your own: which units are excited most, each compared with the most that any region of the test pictures did to
# it? And what else excites these units? Pull the box a little wider, or move it so that a thing slides out of the
# white box.

# %%
crowded = sorted(test.ids, key=lambda image_id: -len(set(test.annotation(image_id).names)))[:12]
excited = widgets.ExcitedUnitsExplorer(network, test, held_out, image_ids=crowded)
excited

# %%
print(excited.describe(image_id=crowded[-1]))

# %% [markdown]
# ## 10. A mix of two kinds?
#
# The paper concludes that the network "appears to learn a representation that combines a small number of class-tuned
# features together with a distributed representation of shape, texture, color, and material properties" (sec. 3.1).
# With pictures of which we know everything, we can ask what speaks for it. First: of what kind is the attribute that
# stands out most in a unit's field?
#
# **Predict.** Call the attribute that is least likely chance the unit's favourite. Of which kind are the favourites
# of most units?

# %%
predict("09 kind of favourite", "The most frequent kind of favourite", choices=KINDS)

# %%
in_fields = {"trained": on_test} | {
    name: attribute_selectivity(lists[name], test, MANY, proposals=course.proposals("test"))
    for name in ("untrained", "random lists")
}
of_favourites = {
    name: things(frame)
    .drop_duplicates("unit")["kind"]
    .value_counts(normalize=True)
    .reindex(KINDS, fill_value=0.0)
    for name, frame in in_fields.items()
}
shares_of_kinds = pd.DataFrame(of_favourites)
meet("09 kind of favourite", shares_of_kinds["trained"].idxmax())
(100 * shares_of_kinds).round(1).rename_axis("share of units, %")

# %% [markdown]
# Second: a *distributed* representation means that one object excites many units, and one unit serves many
# classes. An SVM then needs a combination. How many units does an object excite, and of how many classes are the
# objects that one unit answers to?

# %%
answers, owners = [], []
for image_id in some_ids:
    entry, annotation = store.read(image_id), test.annotation(image_id)
    rows = np.flatnonzero(entry.is_gt)[: len(annotation)]
    answers.append(entry.features[rows] / np.maximum(held_out.maximum, 1e-9))
    owners += annotation.names[: len(rows)]
answers, owners = np.concatenate(answers), np.array(owners)
of_class = np.array([answers[owners == name].mean(axis=0) for name in test.classes if (owners == name).any()])
half_of_best = (of_class >= of_class.max(axis=0) / 2).sum(axis=0)
display(
    Markdown(
        f"{len(owners)} objects of {len(some_ids)} test pictures. On average an object excites "
        f"{100 * (answers > 0).mean():.0f}% of the {answers.shape[1]:,} units at all, and "
        f"{100 * (answers >= 0.5).mean():.1f}% to more than half of their highest value. Take of each unit its mean "
        f"answer to each of {len(of_class)} classes: the median unit answers to {np.median(half_of_best):.0f} classes at "
        f"least half as strongly as to its best one, and {100 * np.mean(half_of_best == 1):.1f}% of the units to one "
        "class alone."
    )
)

# %% [markdown]
# *Reading:* what would speak for the paper's sentence? A few units whose favourite is a class or a part, with
# lifts that last on new pictures and that no untrained network has: sections 4 to 6. And many units that share the
# rest among them: more classes than one for a unit, many units for an object, and single units that are poor
# detectors. What speaks against it, or is not shown? The kinds are ours. A unit whose favourite is "white" may
# look for something that happens to be white, and of *shape* we measured nothing beyond parts. And toys have few
# materials: that a unit likes bricks is much in this world, and might be little in another.
#
# ## Checkpoint
#
# These must hold on any pictures and with any weights.

# %%
assert [index.place(n) for n in (0, 375, index.n_units - 1)] == [
    place_of_unit(n, *index.shape[1:]) for n in (0, 375, index.n_units - 1)
]
assert np.array_equal(held_out.field(number), field), "the index and the network disagree about a field"
regions = held_out.regions(number, 5)
for region, seen_of_it in zip(regions.boxes.tolist(), regions.fields.tolist(), strict=True):
    by_hand = field_in_image(region, field, network.input_size, held_out.padding)
    # The crop's window is rounded to whole pixels, and in the original's arithmetic one pixel wider.
    assert np.abs(np.subtract(by_hand, seen_of_it)).max() < 2.5, "the white box is at another place"
assert as_mine, "the index misses a region"
assert all(same_lists), "an index over more pictures has lost one of these"
assert (np.diff(held_out.values, axis=1) <= 0).all() and (held_out.values >= 0).all()
for unit in (0, number, index.n_units - 1):  # no two regions of a picture overlap
    regions = held_out.regions(unit)
    for image_id in set(regions.image_ids):
        boxes = regions.boxes[[each == image_id for each in regions.image_ids]]
        assert np.triu(iou(boxes, boxes), 1).max() <= 0.1 + 1e-6
    assert not len(regions) or 0 < regions.scaled[-1] <= regions.scaled[0] <= 1
assert changed["overlap"].dropna().between(0, 1).all()
assert set(untrained.image_ids) == set(test.ids), "the control is over other pictures"
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Three questions without a checker. What you find is yours to judge.
#
# **1. Name them yourself** (●○○, 15 minutes). Choose ten units at random (`rng.integers`), look at each in the
# explorer and write down a word, before you look at `words`, the favourites of section 8. How often do you agree
# with the measurement? Where you do not, who is right?

# %%
# your code

# %% [markdown]
# **2. Earlier layers** (●●○, 20 minutes). `units.build_index(test.subset(10), course.proposals("test"),
# network=network, layer="conv3", top=24)` builds an index of another layer; it computes the features on its own.
# What do its units look for, and how large are their fields? Are parts and classes there already, by
# `attribute_selectivity`?

# %%
# your code

# %% [markdown]
# **3. Take it away** (●●●, 30 minutes). If a unit is a car detector, the class *car* should suffer without it. Set
# the features of the best channel for a class to 0, compute fc7 from what is left (`network.module` shows how) and
# score the regions with `course.detector`. Compare with a channel drawn at random. How many channels must go
# before the class is lost?

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - A unit is a detector: rank regions by its activation, suppress within each picture, and look.
# - The white box is what it can see: the receptive field, mapped back through the warp.
# - Short lists are enough and exact, since a picture is done when it is done. One pass serves all units.
# - "It likes wheels" is a measurement with a base rate; and what was chosen among many must be judged on new
#   pictures.
# - An untrained network's units have likings as well, for colours above all, and random lists *seem* to. Only what
#   lasts on new pictures, and goes beyond these controls, was learnt.
# - Single units are poor detectors. It takes many of them together, and that is what the SVM's weights are for.
#
# ## Where this differs from the paper
#
# - ToyVOC is synthetic, with a few dozen surfaces and colours; VOC's pictures have more than we have words for.
# - The paper ranks about ten million held-out regions; we measure on a hundred test pictures at most. The explorer's
#   index has trainval in it as well, on which the network was fine-tuned.
# - The quarter T-Net has 64 channels in pool5, not 256.
# - The paper and the original viewer show; there is no lift, base rate or control in them.
# - The viewer keeps the best 1,000 regions of a unit, the index of this course 100.
#
# ## Next
#
# [10 Segmentation](10_segmentation.ipynb) gives every pixel a class, with the same features.
