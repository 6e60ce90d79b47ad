# %% [markdown]
# # Feature extraction
#
# *Turning every region into a row of numbers is the costly part of R-CNN, and it is paid once a picture, because
# the same numbers serve all classes, ten or a hundred thousand.*
#
# **The paper:** section 2.1 (feature extraction), section 2.2 (run-time analysis), the parameter counts of
# section 3.2 and the receptive field of section 3.1.
#
# **You will**
#
# - follow a crop through the network, and write the two rules that give the side of every map and what each
#   of its cells can see;
# - find the place of any number of pool5, and the pixels it can see, and prove both;
# - time the extraction of a picture's proposals, and what one more class costs;
# - store features so that a flat battery loses nothing;
# - ask the features for look-alikes, and compare them with pixels and with a network that was never
#   trained.
#
# **You need** the crops of [notebook 02](02_warping.ipynb), and to know what a convolution is. **Time:**
# about 80 minutes with the three exercises, 45 without. The first cell says what the cells take on your
# machine's kind; on a GPU nothing was measured yet.
#
# The modules behind it are `rcnn_helpers.networks`, `rcnn_helpers.units.receptive_field`,
# `rcnn_helpers.features` and `rcnn_helpers.feature_store`. The pictures are ToyVOC: rendered, synthetic toys.

# %%
import tempfile
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from rcnn_helpers import plots, units, widgets
from rcnn_helpers.course import meet, open_course, predict
from rcnn_helpers.errors import StoreError
from rcnn_helpers.features import FeatureStore, choose_precision, extract, extract_dataset, in_precision
from rcnn_helpers.networks import NETWORKS, Network, load_network
from rcnn_helpers.networks.tnet import build_tnet
from rcnn_helpers.warping import crop_buffer, warp_boxes

# %%
course = open_course("03")
trainval, test = course.trainval, course.test
network = course.pretrained  # notebook 04 will adapt it to the detection classes
# The picture with the most classes:
image_id = max(test.ids, key=lambda name: len(set(test.annotation(name).names)))
image, annotation = test.image(image_id), test.annotation(image_id)
proposals = course.proposals("test")[image_id]
print(f"{network.name}, input {network.input_size}; example {image_id}, {len(proposals)} proposals")

# %% [markdown]
# ## 1. The network, layer by layer
#
# The paper takes the network that had won the ImageNet challenge of 2012 (Krizhevsky et al.), in the form
# that came with Caffe: five convolutional layers and three fully connected ones. We call it T-Net, for
# Toronto, as the paper does in section 3.3. On a laptop we use the **quarter T-Net**: the same layers at
# the same places, with a quarter of the channels.
#
# Two rules tell all about its geometry. A layer with kernel $k$, stride $s$ and padding $p$ turns a map of
# $n$ cells a side into one of
#
# $$n' = \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1$$
#
# and if neighbouring cells lay $j$ input pixels apart and saw $r$ pixels each, then afterwards
#
# $$r' = r + (k - 1)\,j, \qquad j' = s\,j$$
#
# **By hand.** The input has 227 pixels, which see one pixel each: $n = 227, r = 1, j = 1$.
#
# | layer | $k, s, p$ | cells a side | sees $r$ | apart $j$ |
# |---|---|---|---|---|
# | conv1 | 11, 4, 0 | $\lfloor 216/4 \rfloor + 1 = 55$ | $1 + 10 \cdot 1 = 11$ | 4 |
# | pool1 | 3, 2, 0 | $\lfloor 52/2 \rfloor + 1 = 27$ | $11 + 2 \cdot 4 = 19$ | 8 |
# | conv2 | 5, 1, 2 | ? | ? | ? |
#
# The first rule is a matter of counting. Put the window at the left end of the padded map. On its right
# $n + 2p - k$ cells are left, and each step uses up $s$ of them. And it stood somewhere before the first
# step: plus one. If the steps do not come out even, a convolution leaves the rest over. Caffe's poolings
# take one step more, with a window that sticks out: they round up. In the T-Net all steps come out even,
# so there it makes no difference. In other networks it does.
#
# ### Exercise: the side of a map
#
# ●○○ · 10 minutes. Write `output_size`. In go the side of the map below, kernel, stride and padding of a
# layer, and whether it rounds up (`ceil`). Out comes the side of its own map, a whole number. For
# instance, `output_size(227, 11, 4, 0, False)` is `55`. And `output_size(224, 3, 2, 0, False)` is `111`,
# but with `True` it is `112`.


# %% exercise="output_size"
def output_size(side, kernel, stride, padding, ceil):
    """Cells along a side of the map that a convolution or a pooling makes.

    side: of its input. padding: on each side. ceil: whether to round up, as Caffe's poolings do.
    """
    # solution
    left_over = side + 2 * padding - kernel  # beside the window in its first place
    if ceil:
        return -(-left_over // stride) + 1
    return left_over // stride + 1


# %% [markdown]
# The second rule is the **receptive field recursion**. From the first cell of a window to its last there are
# $k - 1$ steps, each $j$ pixels long: so much is added to what one cell saw. And when the window moves by $s$
# cells, it moves by $s\,j$ pixels. Mind the order: the field grows by the *old* distance.
#
# **Predict.** Fill in the row of conv2 on paper. How many pixels does one of its cells see, along a side?

# %%
predict("03 conv2 sees", "pixels along a side that a cell of conv2 sees")

# %% [markdown]
# ### Exercise: the receptive field recursion
#
# ●●○ · 15 minutes. Write `receptive_field`. In goes a list of layers from the first to the last, each a
# pair `(kernel, stride)`. Out come two numbers: the side of the input that a cell behind the last layer
# sees, and how far neighbouring cells are apart, both in pixels. For instance,
# `receptive_field([(11, 4), (3, 2)])` is `(19, 8)`: conv1 and pool1 in the table. No layers at all give
# `(1, 1)`.


# %% exercise="receptive_field"
def receptive_field(layers):
    """What a cell sees behind some layers, and how far neighbouring cells are apart: two numbers of pixels.

    layers: pairs (kernel, stride), first layer first.
    """
    # solution
    field, apart = 1, 1  # a pixel sees itself, and the next one is one further
    for kernel, stride in layers:
        field = field + (kernel - 1) * apart
        apart = apart * stride
    return field, apart


# %% [markdown]
# Your two functions (or the references) now go through all layers of the network. The table also counts the
# parameters.
#
# **Predict.** Which layer holds most of the network's parameters?

# %%
predict("03 most parameters", "the layer with the most", choices=["conv1", "conv3", "conv5", "fc6", "fc7"])


# %%
def walk(module, cells=227, channels=3):
    """One row a layer: its output, what a cell sees, parameters, and millions of multiplications."""
    rows, so_far = [], []
    for name, layer in [*module.trunk.named_children(), ("pool5", module.pool5)]:
        if hasattr(layer, "kernel_size"):
            k, s, p = (int(np.max(v)) for v in (layer.kernel_size, layer.stride, layer.padding))
            cells = output_size(cells, k, s, p, False)
            so_far.append((k, s))
            field, apart = receptive_field(so_far)
            channels = getattr(layer, "out_channels", channels)
            weights = layer.weight.numel() if hasattr(layer, "weight") else 0
            n_parameters = sum(v.numel() for v in layer.parameters())
            shape = f"{channels} x {cells} x {cells}"
            rows.append((name, shape, field, apart, n_parameters, weights * cells**2 / 1e6))
    for name in ("fc6", "fc7"):
        layer = getattr(module, name)
        n_parameters = sum(v.numel() for v in layer.parameters())
        rows.append((name, str(layer.out_features), 227, "", n_parameters, layer.weight.numel() / 1e6))
    names = ["layer", "output", "sees", "apart", "parameters", "million products"]
    return pd.DataFrame(rows, columns=names).set_index("layer")


# %%
with torch.device("meta"):  # shapes only, no numbers
    full_tnet = build_tnet(1000)
full, layers = walk(full_tnet), walk(network.module)
meet("03 conv2 sees", int(layers.sees["conv2"]))
meet("03 most parameters", layers.parameters.idxmax())
beside = {network.name: layers, "T-Net (the paper's)": full.drop(columns=["sees", "apart"])}
pd.concat(beside, axis=1).round(1)

# %% [markdown]
# *Reading:* "products" are the multiplications for one crop. A cell of pool5 sees 195 x 195 of the 227 x
# 227 pixels, and its neighbour sees the same 32 pixels further on: the numbers of sections 1 and 3.1. So a
# unit in the middle looks at nearly the whole crop. conv2 has 27 cells, and they are 8 pixels apart.
#
# Nearly all parameters lie in the fully connected layers. The paper makes much of this (sec. 3.2): take fc7
# away, and "29%, or about 16.8 million, of the CNN's parameters" are gone and, without fine-tuning, no mAP is
# lost; take fc6 away too, and pool5 still does well with "only 6%" of them. Do the numbers add up?

# %%
total, fc7 = full.parameters.sum(), full.parameters["fc7"]
convolutional = full.parameters[:"pool5"].sum()
grouped = full.parameters[["conv2", "conv4", "conv5"]].sum()  # each cell sees half of the channels below
ungrouped = convolutional + grouped - (256 + 384 + 256)  # all channels: twice the weights, as many biases
rest = total - convolutional
display(
    Markdown(
        f"fc7 has {fc7 / 1e6:.1f} million parameters, {100 * fc7 / total:.1f}% of {total / 1e6:.1f} million. "
        f"The convolutions have {100 * convolutional / total:.1f}%. Without the two groups of channels they "
        f"would have {100 * ungrouped / (rest + ungrouped):.1f}%, and fc7 {100 * fc7 / (rest + ungrouped):.1f}%."
    )
)

# %% [markdown]
# The 16.8 million are right. The 6% and the 29% fit a network whose convolutions are not split into groups;
# Caffe's are, so that pool5 needs even less than the paper claims. It pays to redo such sums.
#
# ### What a crop turns into
#
# A crop of the picture's largest object, and the maps it leaves behind. Each small square is one channel.

# %%
largest = np.argmax(np.prod(annotation.boxes[:, 2:] - annotation.boxes[:, :2], axis=1))
warp_options = {"size": network.input_size, "mean": network.mean, "std": network.std, "bgr": network.bgr}
crop = warp_boxes(image, annotation.boxes[[largest]], **warp_options)
maps, signal = {}, crop.float().to(network.device)
with torch.inference_mode():
    for name, layer in [*network.module.trunk.named_children(), ("pool5", network.module.pool5)]:
        signal = layer(signal)
        maps[name] = signal[0].cpu().numpy()
shown = (crop[0].permute(1, 2, 0).numpy() * network.std + network.mean)[:, :, :: -1 if network.bgr else 1]
shown = np.clip(shown, 0, 255).astype(np.uint8)


# %%
def tiles(channels, columns):
    """Channels [C, h, w] side by side, each brought to 0..1, with a gap between them."""
    scaled = channels / np.maximum(channels.max(axis=(1, 2), keepdims=True), 1e-9)
    cells = np.pad(scaled, [(0, -len(scaled) % columns), (0, 1), (0, 1)], constant_values=0.35)
    rows = cells.reshape(-1, columns, *cells.shape[1:])
    return rows.transpose(0, 2, 1, 3).reshape(rows.shape[0] * rows.shape[2], -1)


fig, axes = plt.subplots(1, 4, figsize=(16, 4.6))
axes[0].imshow(shown)
axes[0].set_title(f"the crop: {annotation.names[largest]}")
for ax, (title, name, columns) in zip(
    axes[1:], [("conv1", "relu1", 5), ("conv3", "relu3", 10), ("pool5", "pool5", 8)]
):
    ax.imshow(tiles(maps[name], columns), cmap="magma")
    ax.set_title(f"{title}: {len(maps[name])} channels of {maps[name].shape[1]} x {maps[name].shape[2]}")
for ax in axes:
    ax.axis("off")
plots.show(fig, alt="A crop and the channels of conv1, conv3 and pool5: from edges to a few bright cells.")

# %% [markdown]
# *Reading:* after conv1 you still recognise the object; its channels answer to edges and colours. In pool5
# each channel has 36 cells, most of them dark. What is bright there says *something of my kind is about
# here*, and no longer what it looks like.
#
# What does conv1 look for? Its filters are small pictures, so we can see. Next to them are those of a
# network of the same build that was never trained. Such networks will serve as a negative control below.

# %%
untrained = load_network(network.name, weights="random", seed=0, device=course.device)


def filters(which):
    weights = which.module.trunk.conv1.weight.detach().float().cpu().numpy()  # [24, 3, 11, 11]
    weights = weights[:, :: -1 if which.bgr else 1] - weights.min((1, 2, 3), keepdims=True)
    return np.stack([tiles(weights[:, c], 12) for c in range(3)], axis=-1)


pictures = [plots.fit(np.uint8(255 * filters(which)), 180, 600) for which in (network, untrained)]
plots.show(
    plots.image_grid(pictures, ["conv1, trained on auxiliary toys", "conv1, untrained"], columns=2, width=14),
    alt="The filters of conv1: edges and colour contrasts when trained, noise when not.",
)

# %% [markdown]
# ## 2. Where a number of pool5 comes from
#
# pool5 is flattened channel by channel, row by row. The unit of channel $c$ at row $y$ and column $x$
# stands at
#
# $$i = 36\,c + 6\,y + x$$
#
# and it can see the pixels from $32x - 64$ to $32x - 64 + 195$, and likewise for $y$; what lies outside the
# crop does not exist (start from 0 and subtract each layer's padding times the spacing below it:
# $2 \cdot 8 + 3 \cdot 16 = 64$).
#
# **By hand.** Where do you find channel 10, row 2, column 3, and what does it see?
# $i = 360 + 12 + 3 = 375$. Columns: $96 - 64 = 32$ to $227$. Rows: $64 - 64 = 0$ to $195$. And the other
# way: $i = 100$ is $c = 2$ (72), rest 28, $y = 4$, $x = 4$. Work out the boxes of the units in the first
# corner, $(y, x) = (0, 0)$, and in the last, $(5, 5)$, before you read on.
#
# The package works the fields out for any unit of any layer, and is exact at the borders too: it goes
# back from the unit to the cells it sees in the layer below, then to those that they see, down to the
# pixels.

# %%
some_units = [(0, 0), (2, 3), (5, 5)]
fields = [units.receptive_field(network, "pool5", unit) for unit in some_units]
print("\n".join(f"unit {unit} sees {field.astype(int).tolist()}" for unit, field in zip(some_units, fields)))
twice = shown.repeat(2, axis=0).repeat(2, axis=1)
styles, labels = ["proposal", "best", "truth"], [f"unit {unit}" for unit in some_units]
plots.show(
    plots.draw_boxes(twice, 2 * np.array(fields), labels, styles, font_size=16),
    alt="The crop with the fields of three pool5 units, two in corners and one in the middle: they overlap widely.",
)

# %% [markdown]
# Did you have the corners right? What lies outside the crop is cut off: unit (0, 0) would see 195 x 195
# pixels from -64 on, and 131 x 131 of them exist. Neighbouring fields share most of their pixels, so a
# unit says only roughly *where* something is.
#
# Other networks see other pieces. Their geometry needs no weights, so nothing has to be downloaded:

# %%
rows = {}
for name, spec in NETWORKS.items():
    with torch.device("meta"):  # shapes only
        geometry = units.field_geometry(Network(spec, spec.build(1000)))
    rows[name] = (geometry.input_size, f"{geometry.cells} x {geometry.cells}", geometry.size, geometry.stride)
pd.DataFrame.from_dict(rows, orient="index", columns=["input", "pool5", "a unit sees", "neighbours apart"])

# %% [markdown]
# *Reading:* VGG-16, the paper's O-Net, sees more than the T-Net although none of its kernels is larger
# than 3: thirteen convolutions add up. SqueezeNet's units reach further than their crop of 224 pixels.
#
# Believing is good, proving is better. If the unit sees exactly these pixels, then noise **outside** the
# box cannot change it, not even in the last digit.
#
# **Predict.** And noise in the outermost 8 pixels **inside** the box: will it change the unit much, a
# little, or not at all?

# %%
changes = {"not at all": 0, "a little: by less than a tenth": 0.1, "much": np.inf}
predict("03 noise at the border", "how noise in the outermost 8 pixels changes it", choices=list(changes))

# %%
y, x = 2, 3
c = int(maps["pool5"][:, y, x].argmax())  # the channel that answers most there
index = 36 * c + 6 * y + x
x1, y1, x2, y2 = units.receptive_field(network, "pool5", (y, x)).astype(int)
noise = torch.randn(crop.shape, generator=torch.Generator().manual_seed(0))


def unit_with_noise_outside(margin):
    """The unit's value when everything but its receptive field, less a margin, is noise."""
    rows, columns = slice(y1 + margin, y2 - margin), slice(x1 + margin, x2 - margin)
    spoilt = noise.clone()
    spoilt[:, :, rows, columns] = crop[:, :, rows, columns].float()
    return network.features(spoilt, ["pool5"])["pool5"][0, index].item()


clean = network.features(crop, ["pool5"])["pool5"][0, index].item()
for margin in (0, 8, 32, 64):
    print(
        f"noise from {margin:2d} pixels inside the box's border outwards: {unit_with_noise_outside(margin):.6f}"
    )
print(f"clean crop: {clean:.6f}   (channel {c}, number {index} of pool5)")
change = abs(unit_with_noise_outside(8) / clean - 1)
meet("03 noise at the border", next(text for text, limit in changes.items() if change <= limit))

# %% [markdown]
# With a margin of 0 the value is the same in every digit: the box is right. Compare the other margins. Few paths
# lead to the unit from the border inside its box, and many from the middle. So a *receptive field* says what a
# unit could see; what moves it lies mostly near the centre.
#
# ## 3. All proposals of one picture
#
# Now in bulk. Crops are warped batch by batch into one buffer, and each batch goes through the network.
#
# **Predict.** Which share of the time goes into warping, and which into the network?

# %%
predict("03 share of warping", "share of the time that warping takes, in %")

# %%
precision = choose_precision("auto", network.device)
fast = in_precision(network, precision)  # bfloat16 where the processor has it
buffer = crop_buffer(64, network.input_size, fast.dtype)
seconds = {"warp": 0.0, "forward": 0.0}
for start in range(0, len(proposals), 64):
    batch = proposals[start : start + 64]
    started = time.perf_counter()
    crops = warp_boxes(image, batch, **warp_options, out_dtype=fast.dtype, out=buffer)
    warped = time.perf_counter()
    fast.features(crops, ["fc7"])
    seconds["warp"] += warped - started
    seconds["forward"] += time.perf_counter() - warped

# %%
total_seconds = sum(seconds.values())
rate, share = len(proposals) / total_seconds, seconds["warp"] / total_seconds
products = full["million products"].sum() / layers["million products"].sum()
display(
    Markdown(
        f"{len(proposals)} regions in {total_seconds:.2f} s ({rate:,.0f} a second, {precision}): warping took "
        f"**{100 * share:.0f}%**, the network the rest. The paper's T-Net took 13 s a picture on a GPU and "
        f"53 s on a CPU, proposals included (sec. 2.2); it has {products:.1f} times as many multiplications."
    )
)
meet("03 share of warping", 100 * share, unit="%")

# %% [markdown]
# Why batches? The weights have to be fetched from memory for each batch, whether it holds one crop or
# sixty-four.

# %%
sizes = (1, 2, 4, 8, 16, 32, 64)
some = np.resize(proposals, (64, 4))
rates = []
for size in sizes:
    times = []
    for _ in range(3):  # the fastest of three: other programs only ever slow one down
        started = time.perf_counter()
        extract(network, image, some, batch_size=size)
        times.append(time.perf_counter() - started)
    rates.append(len(some) / min(times))
fig, ax = plt.subplots(figsize=(8, 4))
ax.plot(sizes, rates, marker="o")
ax.set_xscale("log", base=2)
ax.set(xticks=sizes, xticklabels=sizes, xlabel="regions at a time", ylabel="regions a second", ylim=(0, None))
plots.show(
    fig, alt=f"Regions a second: {rates[0]:.0f} one by one, {rates[-1]:.0f} in batches of {sizes[-1]}."
)

# %% [markdown]
# *Reading:* where the curve rises, the weights' way from memory is the bottleneck; where it is level, the
# arithmetic is.
#
# ## 4. What does one more class cost?
#
# So far nobody has said which classes we look for. Proposals and features know none. All that a class adds
# is a vector of weights, and scoring is one matrix product: for the paper's network, features 2000 x 4096
# times weights 4096 x N (sec. 2.2).
#
# **By hand.** Each of the $2000 \cdot N$ scores takes 4096 multiplications and as many additions. For 20
# classes that is $2000 \cdot 20 \cdot 4096 \cdot 2 = 0.33$ billion operations. A processor core does fifty
# to a hundred billion in a second.
#
# **Predict.** How long for 200 classes? And for 100,000?

# %%
guesses = {"about a second": 1, "about ten seconds": 10, "about two minutes": 120, "about half an hour": 1800}
predict("03 hundred thousand classes", "scoring 2000 regions for 100,000 classes", choices=list(guesses))

# %%
rng = np.random.default_rng(0)
many_features = rng.standard_normal((2000, 4096), dtype=np.float32)
product_seconds = {}
for n_classes in (10, 200, 2000):
    weights = rng.standard_normal((4096, n_classes), dtype=np.float32)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        many_features @ weights
        times.append(time.perf_counter() - started)
    product_seconds[n_classes] = min(times)
product_seconds[100_000] = 50 * product_seconds[2000]  # in 50 parts; nobody keeps 2000 x 100,000 scores
for n_classes, value in product_seconds.items():
    print(f"{n_classes:7,d} classes: {1000 * value:9.1f} ms")
nearest_guess = min(guesses, key=lambda text: abs(np.log(product_seconds[100_000] / guesses[text])))
meet("03 hundred thousand classes", nearest_guess)

# %%
fig, ax = plt.subplots(figsize=(8, 4.6))
ax.loglog(list(product_seconds), list(product_seconds.values()), marker="o", label="one matrix product, here")
ax.axhline(
    13, color=plots.COLOURS["vermillion"], linestyle="--", label="proposals and features, paper, GPU: 13 s"
)
ax.axhline(53, color=plots.COLOURS["green"], linestyle="-.", label="proposals and features, paper, CPU: 53 s")
ax.plot([100_000], [10], "k*", markersize=15, label="100,000 classes, paper: 10 s")
ax.set(xlabel="classes", ylabel="seconds a picture (2000 regions)")
ax.legend(loc="lower right", fontsize=11)
plots.show(
    fig, alt="Seconds of the matrix product grow with the number of classes; lines mark the paper's features."
)

# %% [markdown]
# *Reading:* the last point is computed from the one before, 50 parts of 2000. Up to thousands of classes
# the product is little beside the paper's time for proposals and features. The paper gives 10 s for
# 100,000 classes on a processor of its time, and points out why it can: its features are short. Check its
# figures for the memory of 100,000 linear predictors, with 4k numbers each and with the 360k of the
# detector it compares with:

# %%
for name, length in (("R-CNN, fc7", 4096), ("bag of visual words (UVA), 360k", 360_000)):
    print(f"{name:32s} {100_000 * length * 4 / 2**30:6.1f} GiB")

# %% [markdown]
# The paper says 1.5 GB and 134 GB.
#
# ## 5. What do the features look like?

# %%
found = extract(network, image, proposals, layers=network.layers)
norms = {layer: np.linalg.norm(values, axis=1) for layer, values in found.items()}
pd.DataFrame(
    {
        layer: {
            "numbers a region": values.shape[1],
            "of them zero, %": 100 * (values == 0).mean(),
            "shortest norm": norms[layer].min(),
            "mean norm": norms[layer].mean(),
            "longest norm": norms[layer].max(),
        }
        for layer, values in found.items()
    }
).round(2)

# %% [markdown]
# *Reading:* a ReLU turns what is negative into zero. pool5 takes the largest of nine values, which leaves fewer
# zeros than there were below it. The norms
# of the layers differ, and those of another network would differ again. That matters, because the SVMs of
# [notebook 05](05_svm_training.ipynb) weigh their errors against the length of their weight vector:
# features twice as long would make the same $C$ mean something else. So the released code multiplies all
# features by one factor that makes the **mean norm 20**. (The paper does not mention it.)
#
# **By hand.** Three features: (3, 4, 0), (0, 0, 10), (12, 9, 0). Their norms are 5, 10 and 15, and the mean
# is 10, so the factor is two. Afterwards the norms are 10, 20 and 30: the *mean* is 20; a single feature
# stays as much shorter or longer than the others as it was.
#
# ### Exercise: one factor for all features
#
# ●○○ · 10 minutes. Write `feature_scale`. In go features, an array with a row for each region. Out comes
# one number: the factor that brings the mean of the rows' L2 norms to 20. Some rows may be all zero, but not all
# of them. For the three features above, the factor is `2.0`.


# %% exercise="feature_scale"
def feature_scale(features):
    """The one factor that brings the mean L2 norm of the features to 20.

    features: floats [regions, numbers].
    """
    # solution
    norms = np.sqrt((features**2).sum(axis=1))
    return 20 / norms.mean()


# %% [markdown]
# Your function (or the reference) at work, twice: on the regions of our picture, and on 100 regions each of some
# training pictures. Nothing may be learnt from test pictures, not even a factor, so the second one counts. (The
# released code draws 200 regions of each of 200 training pictures, and so does our detector; for a mean, fewer
# will do here.)

# %%
layer = course.profile.layer  # the one that the SVMs read
own = feature_scale(found[layer])
rng, of_training = np.random.default_rng(0), []
for name in trainval.ids[:20]:
    drawn = rng.permutation(course.proposals("trainval")[name])[:100]
    of_training.append(extract(network, trainval.image(name), drawn, layers=(layer,))[layer])
factor = feature_scale(np.concatenate(of_training))
print(f"{layer}: {own:.3f} from this picture, {factor:.3f} from {len(of_training)} training pictures")
fig, axes = plt.subplots(1, 2, figsize=(13, 4.2))
axes[0].hist(factor * norms[layer], bins=30, color=plots.COLOURS["blue"])
axes[0].axvline(20, color=plots.COLOURS["vermillion"], linestyle="--", label="20")
axes[0].set(xlabel=f"norm of {layer}, scaled", ylabel="regions of the example")
axes[0].legend()
values = np.sort(found[layer], axis=1)[:, ::-1]
axes[1].plot(np.arange(1, values.shape[1] + 1), factor * values.mean(axis=0))
axes[1].set(xlabel=f"{layer}'s numbers of a region, largest first", ylabel="mean value, scaled", xscale="log")
plots.show(fig, alt="Left: the norms scatter. Right: a region's numbers fall off from the largest to zero.")

# %% [markdown]
# *Reading:* left, the factor comes from the training pictures, and the norms of this test picture scatter
# near 20. Right, a region is described by some of its numbers; the rest is small or zero.
#
# ## 6. Never compute it twice
#
# At the paper's 13 s a picture, the 5011 training pictures of VOC 2007 take 18 hours. And everything that
# follows reads the features again: training, mining, detection, analysis. So they are kept, one file a
# picture, written whole or not at all. Let us pull the plug.
#
# **Predict.** The battery is empty at the third of four pictures. How many are in the store, and how many
# must be computed when the laptop is plugged in again?

# %%
predict("03 in the store", "pictures in the store after the failure")


# %%
class FlatBattery:
    """A data set that fails at its third picture."""

    def __init__(self, dataset):
        self.ids, self.classes = dataset.ids, dataset.classes
        self.annotation, self._image = dataset.annotation, dataset.image

    def image(self, image_id):
        if image_id == self.ids[2]:
            raise OSError("the battery is empty")
        return self._image(image_id)


folder = tempfile.TemporaryDirectory()
store = FeatureStore(folder.name, network=network, layer="pool5")
four = test.subset(4)
few = {i: course.proposals("test")[i][:60] for i in four.ids}
try:
    extract_dataset(network, FlatBattery(four), few, store=store, progress=False)
except OSError as error:
    print(f"{error}; pictures in the store: {store.ids()}")
meet("03 in the store", len(store.ids()))

# %%
written = {i: store.path(i).stat().st_mtime_ns for i in store.ids()}
extract_dataset(network, four, few, store=store, progress=False)  # plugged in again
untouched = [i for i, moment in written.items() if store.path(i).stat().st_mtime_ns == moment]
print(f"pictures in the store: {store.ids()}; not computed again: {untouched}")

# %% [markdown]
# A file that was damaged, by a disk or by a person, must not slip into the training. So every file carries
# a checksum. We flip one bit:

# %%
path = store.path(four.ids[0])
content = bytearray(path.read_bytes())
content[-1] ^= 1
path.write_bytes(content)
try:
    store.read(four.ids[0])
except StoreError as error:
    print(str(error).replace(str(store.folder), "..."))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns, names the file, and computes it anew
    extract_dataset(network, four, few, store=store, progress=False)
print(f"read again: {len(store.read(four.ids[0]))} regions")

# %% [markdown]
# This store holds **pool5**, and so do all stores of this course. From it fc6 and fc7 can be computed at any time:
# two matrix products, no convolution. The original code did the same, so that one extraction served all layers. Is
# the result the same?

# %%
regions = store.read(four.ids[0], layer="fc7")
direct = extract(network, four.image(four.ids[0]), regions.boxes, precision=store.precision)["fc7"]
difference = np.linalg.norm(regions.features - direct, axis=1) / np.linalg.norm(direct, axis=1)
n_regions = sum(len(store.read(i)) for i in four.ids)
per_region = sum(store.path(i).stat().st_size for i in four.ids) / n_regions
of_voc = 5011 * 2000 * per_region * 9216 / store.dim  # pictures, regions, and the paper's pool5
display(
    Markdown(
        f"fc7 from stored pool5 differs from fc7 computed at once by {100 * difference.mean():.2f}% of its "
        f"norm (rounding: {store.precision} in the network, 16 bits in the store). A region takes "
        f"{per_region:,.0f} bytes instead of {4 * store.dim:,}. At this rate the paper's pool5, 9216 numbers, "
        f"of VOC 2007 trainval, 5011 pictures with 2000 regions each, would take {of_voc / 1e9:.0f} GB."
    )
)
folder.cleanup()

# %% [markdown]
# ## 7. Do the features know what things are?
#
# Training has not begun: no detection class has been learnt. Yet the network has seen many other toys, and
# if its features are any good, then regions with similar features should show similar things. We take
# objects of the test pictures, those of at least 40 pixels each way, and look for their nearest neighbours
# among the objects of the training pictures, by the cosine of the angle between their features.
#
# Two negative controls: the **pixels** themselves (the crops at 32 x 32), and the **untrained network**,
# which has the same layers, the same pooling, and random weights.


# %%
def crops_of_objects(dataset, most):
    """Crops uint8 [N, S, S, 3] of a random sample of a data set's objects, and their class names."""
    crops, names = [], []
    for image_id in np.random.default_rng(0).permutation(dataset.ids):
        truth, options = dataset.annotation(image_id), {"size": network.input_size, "mean": network.mean}
        large = ((truth.boxes[:, 2:] - truth.boxes[:, :2]) >= 40).all(axis=1)
        batch = warp_boxes(dataset.image(image_id), truth.boxes[large], **options)
        batch = batch.permute(0, 2, 3, 1).numpy() + np.float32(network.mean)
        crops.append(np.clip(batch, 0, 255).astype(np.uint8))
        names += np.array(truth.names)[large].tolist()
        if len(names) >= most:
            break
    return np.concatenate(crops)[:most], np.array(names[:most])


# %%
def describe(crops, which):
    """Features [N, D] of crops, for each layer of a network."""
    parts = []
    mean = np.float32(which.mean[::-1] if which.bgr else which.mean)
    for start in range(0, len(crops), 64):
        batch = crops[start : start + 64, :, :, :: -1 if which.bgr else 1].astype(np.float32)
        batch = torch.from_numpy((batch - mean) / np.float32(which.std)).permute(0, 3, 1, 2)
        parts.append(which.features(batch, which.layers))
    return {layer: torch.cat([part[layer] for part in parts]).cpu().numpy() for layer in which.layers}


# %%
gallery, gallery_names = crops_of_objects(trainval, 600)
queries, query_names = crops_of_objects(test, 300)


def pixels(crops):
    """Mean colours of 32 x 32 blocks of 7 x 7 pixels, less the crop's mean."""
    small = crops[:, 1:225, 1:225].reshape(-1, 32, 7, 32, 7, 3).mean(axis=(2, 4))
    return (small - small.mean(axis=(1, 2), keepdims=True)).reshape(len(crops), -1)


def neighbours(described_queries, described_gallery, n=5):
    """Positions [Q, n] in the gallery of each query's nearest neighbours, best first, by cosine."""
    a, b = (
        v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
        for v in (described_queries, described_gallery)
    )
    return np.argsort(-(a @ b.T), axis=1, kind="stable")[:, :n]


# %% [markdown]
# **Predict.** A neighbour drawn at random shares the query's class in about one case out of twelve, since
# there are twelve classes. What do you expect of pixels, of an untrained network and of the trained one?

# %%
display(predict("03 neighbours by pixels", "of the same class, by pixels, in %"))
display(predict("03 neighbours by an untrained network", "of the same class, by an untrained network, in %"))
display(predict("03 neighbours by the trained network", "of the same class, by the trained network, in %"))

# %%
of_queries, of_gallery = describe(queries, network), describe(gallery, network)
nearest, layer = {}, course.profile.layer
for each in network.layers:
    nearest[f"trained, {each}"] = neighbours(of_queries[each], of_gallery[each])
for number in (1, 2):
    other = load_network(network.name, weights="random", seed=number, device=course.device)
    of_queries, of_gallery = describe(queries, other), describe(gallery, other)
    nearest[f"untrained {number}, {layer}"] = neighbours(of_queries[layer], of_gallery[layer])
nearest["pixels, 32 x 32"] = neighbours(pixels(queries), pixels(gallery))
nearest["drawn at random"] = np.random.default_rng(0).integers(len(gallery), size=(len(queries), 5))
agreement = {name: (gallery_names[rows] == query_names[:, None]).mean() for name, rows in nearest.items()}
meet("03 neighbours by pixels", 100 * agreement["pixels, 32 x 32"], unit="%")
meet("03 neighbours by an untrained network", 100 * agreement[f"untrained 1, {layer}"], unit="%")
meet("03 neighbours by the trained network", 100 * agreement[f"trained, {layer}"], unit="%")

# %%
fig, ax = plt.subplots(figsize=(9, 4))
order = list(agreement)[::-1]
hatches = ["" if name.startswith("trained") else "//" for name in order]
bars = ax.barh(
    order,
    [100 * agreement[name] for name in order],
    hatch=hatches,
    edgecolor="white",
    color=[plots.COLOURS["blue" if name.startswith("trained") else "orange"] for name in order],
)
ax.bar_label(bars, fmt="%.0f", padding=4)
ax.set(xlabel="of the 5 nearest neighbours, share of the same class, %", xlim=(0, 100))
ax.grid(axis="y", visible=False)
percent = {name: f"{100 * value:.0f}%" for name, value in agreement.items()}
said = ", ".join(f"{name}: {value}" for name, value in percent.items())
plots.show(fig, alt=f"Of the five nearest neighbours, the share of the same class. {said}.")

# %%
doubt = 200 * np.sqrt(0.25 / len(queries))  # two standard errors, at most
display(
    Markdown(
        f"Trained {layer}: **{percent[f'trained, {layer}']}**; pixels: {percent['pixels, 32 x 32']}; untrained: "
        f"{percent[f'untrained 1, {layer}']} and {percent[f'untrained 2, {layer}']}; at random: "
        f"{percent['drawn at random']}. With {len(queries)} queries, differences below about {doubt:.0f} "
        "points mean little."
    )
)

# %% [markdown]
# What the trained network has above the untrained one was *learnt*, on toys of other categories. What the
# untrained one has above chance comes with its build and with the pictures' colours. Here are neighbours to
# look at.

# %%
look = {"cell": (104, 104), "gap": 6, "font_size": 14}
asked = [int(np.flatnonzero(query_names == name)[0]) for name in dict.fromkeys(query_names)][:6]


def neighbours_of(asked, how):
    """A row for each query: its five nearest neighbours, framed by whether the class agrees."""
    shown = [(q, g) for q in asked for g in nearest[how][q]]
    styles = ["tp" if gallery_names[g] == query_names[q] else "fp" for q, g in shown]
    crops, names = [gallery[g] for _, g in shown], [gallery_names[g] for _, g in shown]
    return plots.montage(crops, names, columns=5, styles=styles, **look)


left = plots.montage([queries[q] for q in asked], query_names[asked], columns=1, **look)
white = np.full((len(left), 30, 3), 255, np.uint8)
middle, right = (neighbours_of(asked, how) for how in (f"trained, {layer}", "pixels, 32 x 32"))
plots.show(
    np.hstack([left, white, middle, white, right]),
    quality=75,
    alt="Six queries, each with its five nearest neighbours by features and by pixels, framed by class agreement.",
)

# %% [markdown]
# *Reading:* left, the query; in the middle, its five neighbours by the trained network's **features**;
# right, its five neighbours by **pixels**. Solid frame: same class; dashed: another one. Neighbours by
# pixels tend to share the light, the background and the layout of the crop. Neighbours by features may differ
# in all of these. Look at the wrong ones among them: what do they have in common with the query?
#
# ### What does a channel of pool5 like?
#
# Choose a channel. The explorer shows the regions of our picture that excite it most, and lights up where
# in each crop the excitement is. Is it always the same kind of thing? ([Notebook 09](09_pool5_units.ipynb) does
# this over a whole data set.)

# %%
maps_of_regions = found["pool5"].reshape(-1, *network.feature_shape("pool5"))
explorer = widgets.FeatureExplorer(image, proposals, maps_of_regions)
explorer

# %% [markdown]
# *Static twin of the widget:* the channel whose activity varies most over the proposals.

# %%
strongest = maps_of_regions.max(axis=(2, 3))  # [regions, channels]
channel = int(strongest.std(axis=0).argmax())
plots.show(explorer.render(channel), quality=75, alt=explorer.describe(channel))

# %% [markdown]
# ## Checkpoint
#
# These must hold on any pictures and with any weights.

# %%
assert layers.loc["pool5", ["sees", "apart"]].tolist() == [195, 32], (
    "the geometry of pool5 is that of the paper"
)
geometry = units.field_geometry(network, "pool5")
assert [geometry.size, geometry.stride] == layers.loc["pool5", ["sees", "apart"]].tolist()
assert (x1, y1, x2, y2) == (32 * x - 64, 32 * y - 64, 32 * x + 131, 32 * y + 131), "the rule of section 2"
assert full.parameters["fc7"] == 4096 * 4097, "weights and biases of the paper's fc7"
assert np.isclose(unit_with_noise_outside(0), clean, rtol=1e-5, atol=1e-6), (
    "a unit saw beyond its receptive field"
)
assert np.isclose(maps["pool5"][c, y, x], clean, rtol=1e-4, atol=1e-5), "36c + 6y + x points at another unit"
for layer, values in found.items():
    assert values.shape == (len(proposals), network.feature_dim(layer)) and np.isfinite(values).all()
    assert (values >= 0).all(), f"{layer} comes after a ReLU"
assert difference.max() < 0.1, "fc7 from stored pool5 went astray"
print("All checks passed.")

# %% [markdown]
# ## Explore further
#
# Open questions: nobody checks them, and some have no single answer.
#
# **1. Sums** (●○○, 10 minutes). How many parameters has fc6 of the paper's network, and why so many?
# Which unit of pool5 has the number 8,000 there, and which pixels can it see? And if conv1 took steps of
# 2 instead of 4: how large would pool5 become, and how much would a unit see? Let your `output_size` and
# `receptive_field` tell.

# %%
# your code

# %% [markdown]
# **2. A mirror and a step** (●●○, 15 minutes). Mirror the queries left to right, or shift them by 8 or 32
# pixels (`np.roll`). How far do fc7, pool5 and the pixels move, as a cosine with what they were before? And
# do the neighbours stay the same? Which of the layers would you trust to recognise a toy that faces the
# other way?

# %%
# your code

# %% [markdown]
# **3. What is the angle good for?** (●●●, 25 minutes). We compared by cosine. Try the Euclidean distance
# instead, with and without the mean feature subtracted, and compress fc7 to 16, 64 and 256 numbers by PCA
# (`sklearn.decomposition.PCA`, fitted on the gallery). How short may a feature become before the agreement
# suffers? What would that do to the 100,000 classes of section 4?

# %%
# your code

# %% [markdown]
# ## What you take away
#
# - A region of any shape becomes a fixed list of numbers, by one pass through a network that was trained
#   for another task.
# - Two rules give the side of every map and what its cells see. So a number of pool5 belongs to a place:
#   $i = 36c + 6y + x$, 195 x 195 pixels, 32 apart.
# - Features are dear and know no class. A class adds one dot product a region, which is almost free.
# - Keep what is dear: whole files, checksums, and a name that says what they were made with.
# - Training on *other* toys has put something into the features that the network's build alone does not
#   give.
#
# ## Where this differs from the paper
#
# - The quarter T-Net has a quarter of the channels, no response normalisation and no groups, and was
#   trained on some tens of rendered categories, not on the 1000 of ImageNet. `load_network("tnet")` is the
#   paper's network, with Caffe's weights.
# - Where the processor allows it, the network computes in bfloat16, with two to three decimal digits. The
#   paper used float32.
# - Features are stored as 16-bit numbers, and only those that are not zero where that saves space.
#
# ## Next
#
# [04 Fine-tuning](04_fine_tuning.ipynb): the network, which has learnt to name other toys, learns the detection
# classes from warped proposals.
