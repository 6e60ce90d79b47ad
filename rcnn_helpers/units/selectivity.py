"""What units respond to, measured: "this unit likes wheels" as a number with a base rate beside it.

The paper shows units that seem to like people, dogs, red blobs or text (Figure 4) and leaves the rest to the eye.
Here the regions that excite a unit most are compared with regions drawn by chance from the same images, in two
ways:

- `attribute_selectivity`: of the pixels inside the unit's white boxes, the share that shows a part, a colour, ...
- `class_selectivity`: the share of its regions that hold an object of a class.

How surprising a share is, is told by the Kullback-Leibler divergence ``D(share || base)`` of two coins that show
heads with these probabilities. It grows with the lift and with the share itself, so that neither what is common
nor what fills a few pixels wins for that alone.

Whether a share could be chance is told by Hoeffding's bound for the mean of n independent numbers of which the
expectation, the variance and the maximum, 1, are known (W. Hoeffding, Probability inequalities for sums of bounded
random variables, 1963, theorem 3). Regions of one image are not independent; so for this bound what the regions
of an image show is averaged first, and n is the number of images.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.boxes import iou
from rcnn_helpers.errors import SettingsError
from rcnn_helpers.units.attributes import NO_CLASSES, Attribute, pixel_attributes
from rcnn_helpers.units.index import UnitIndex

TOP = 24  # regions of a unit that are looked at, as many as the explorer shows
N_RANDOM = 24  # regions drawn from every image
SURE = 0.05  # probability that a find is one of chance
# What `choose_six` looks for, one after the other.
SIX = ("class", "family", "part", "colour", "surface", "surface")


def attribute_selectivity(
    index: UnitIndex,
    dataset,
    k: int = TOP,
    *,
    proposals: Mapping[str, np.ndarray] | None = None,
    n_random: int = N_RANDOM,
    seed: int = 0,
    progress: bool = False,
):
    """Measure what fills the white boxes of units: classes, parts, surfaces, colours, highlights.

    Parameters
    ----------
    index : UnitIndex
    dataset : VOCDataset
        The images of the index, of whatever split. Of ToyVOC's pixels classes, parts and surfaces are known, of
        those of other data sets only colours and highlights.
    k : int
        Regions of each unit that are looked at, its best.
    proposals : mapping of image id to float32 [N, 4], optional
        Where the random regions are drawn from; by default from all regions that the index lists for any unit.
    n_random : int
        Random regions of each image, at most.
    seed : int
        Of that draw.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row for each unit and each attribute that is to be seen in its white boxes:

        unit, channel, row, column
            The unit.
        kind, attribute
            See `rcnn_helpers.units.attributes.Attribute`.
        share
            Of the pixels in the unit's receptive field, those that show it: the mean over its k best regions. A
            field ends where the image ends.
        base
            The same for the receptive field of the same cell in random regions.
        explained
            Of parts only: the share that the classes in the fields would bring with them if their parts filled
            them as in random regions. A unit that likes a part, and not just the toys that have it, shows more.
        lift
            ``share / base``.
        bits
            ``D(share || base)`` in bits, negative if the share is below the base: the surprise of one region.
        chance
            Upper bound on the probability that random regions of as many images show as much, every image counting
            once. It is that of a unit chosen beforehand: the best of U units is a sure find if its chance is below
            0.05 / U.
        images, regions
            How many regions there were, k or fewer for a unit that few excite, and of how many images.

    Raises
    ------
    SettingsError
        If `k` or `n_random` is less than 1.
    """
    top, drawn = _listed(index, k), _drawn(index, proposals, n_random, seed)
    cells = range(_n_cells(index))
    random = _Regions(
        row=np.repeat(cells, len(drawn.row)),
        image=np.tile(drawn.image, len(cells)),
        boxes=np.concatenate([index.fields(cell, drawn.boxes) for cell in cells]),
    )
    fields = np.empty_like(top.boxes)
    for cell in cells:
        here = top.row % len(cells) == cell
        fields[here] = index.fields(cell, top.boxes[here])

    def measure(image_id, boxes):
        return pixel_attributes(dataset, image_id).shares(boxes)

    fields_of_top = _Regions(top.row, top.image, fields)
    shown = _shown(index, fields_of_top, random, measure, len(cells), progress)
    unit, column = np.nonzero(shown.shares)
    what = {
        "kind": np.array([attribute.kind for attribute in shown.names])[column],
        "attribute": np.array([attribute.name for attribute in shown.names])[column],
        "share": shown.shares[unit, column],
        "base": shown.bases[unit % len(cells), column],
        "explained": _explained(shown)[unit, column],
    }
    return _frame(index, top, shown, what, n_random=len(drawn.row))


def class_selectivity(
    index: UnitIndex,
    dataset,
    k: int = TOP,
    iou_threshold: float = 0.5,
    *,
    proposals: Mapping[str, np.ndarray] | None = None,
    n_random: int = N_RANDOM,
    seed: int = 0,
):
    """Measure which share of the regions that excite a unit most hold an object of a class.

    A region holds an object if their IoU is at least `iou_threshold`; difficult objects count, too.

    Parameters
    ----------
    index : UnitIndex
    dataset : VOCDataset
        The images of the index, of whatever split, with annotations.
    k, proposals, n_random, seed
        See `attribute_selectivity`.
    iou_threshold : float

    Returns
    -------
    DataFrame
        A row for each unit and each class that any of its regions holds: unit, channel, row, column, class;
        precision, base: the share of its regions and of random regions that hold an object of the class; lift,
        bits, chance, images, regions as in `attribute_selectivity`.

    Raises
    ------
    SettingsError
        If `k` or `n_random` is less than 1.
    """
    top, drawn = _listed(index, k), _drawn(index, proposals, n_random, seed)

    def measure(image_id, boxes):
        annotation = dataset.annotation(image_id)
        held = iou(boxes, annotation.boxes) >= iou_threshold
        names = tuple(dict.fromkeys(annotation.names))
        of_class = [held[:, [found == name for found in annotation.names]].any(axis=1) for name in names]
        return names, np.array(of_class, np.float32).reshape(len(names), len(boxes)).T

    # What a region holds does not depend on the cell: one base for all.
    shown = _shown(index, top, drawn, measure, 1, progress=False)
    unit, column = np.nonzero(shown.shares)
    what = {
        "class": np.array(shown.names)[column],
        "precision": shown.shares[unit, column],
        "base": shown.bases[0, column],
    }
    return _frame(index, top, shown, what, n_random=len(drawn.row))


def best_units(frame, name: str | None = None, n: int = 10, *, kind: str | None = None, sure: float = SURE):
    """The units that like something most, best first.

    Parameters
    ----------
    frame : DataFrame
        As from `attribute_selectivity` or `class_selectivity`.
    name : str, optional
        An attribute or a class; by default each of them.
    n : int
        Units for each, at most.
    kind : str, optional
        Of attribute, if `name` stands for several: there may be a part and a class of that name.
    sure : float
        Leave out what might be a chance find: with U units to choose from, those whose `chance` is above
        ``sure / U``. Infinity leaves out nothing.

    Returns
    -------
    DataFrame
        Rows of `frame`, the smallest chance first, of several names one after the other. (Sorted by bits, units
        would win whose regions come from a few images that happen to look so. An untrained network has many.)

    Raises
    ------
    SettingsError
        If the frame knows no such attribute or class.
    """
    column = "attribute" if "attribute" in frame else "class"
    found = frame
    if kind is not None:
        found = found[found["kind"] == kind]
    if name is not None:
        found = found[found[column] == name]
        if found.empty:
            known = ", ".join(sorted(set(frame[column].astype(str))))
            raise SettingsError(f"no unit sees {name!r}; there are {known}")
    found = found[found["chance"] <= sure / max(1, frame["unit"].nunique())]
    by = [] if name is not None else ["kind", column] if "kind" in frame else [column]
    ascending = [True] * len(by) + [True, False, True]
    found = found.sort_values([*by, "chance", "bits", "unit"], ascending=ascending, kind="stable")
    return found.groupby(by, sort=False, observed=True).head(n) if by else found.head(n)


def choose_six(index: UnitIndex, dataset, k: int = TOP, *, frame=None, kinds: Sequence[str] = SIX):
    """Choose units to show by a rule, and not by taste: one after the other, each the most selective of its kind.

    The paper's Figure 4 shows units that like a class, such as people, a part, such as windows, a colour, or a
    texture, such as arrays of dots. So for every entry of `kinds` in turn the unit and the attribute of that kind
    are taken that go together with most surprise over all images, if it is a sure find (see `best_units`). Of a
    part, only the surprise beyond what the classes seen explain counts. A channel and an attribute are taken once.
    Clutter, backdrop and plain surfaces are left out; so are units on the border of the map, of whose fields the
    crop cuts off a good part, where there is one inside.

    Parameters
    ----------
    index, dataset, k
        As for `attribute_selectivity`.
    frame : DataFrame, optional
        What `attribute_selectivity` has found, if it is at hand.
    kinds : sequence of str
        Of attributes. Where the data set does not know a kind, or nothing of it is sure, fewer units are chosen.

    Returns
    -------
    DataFrame
        The rows of the chosen units, in the order of `kinds`.
    """
    frame = attribute_selectivity(index, dataset, k) if frame is None else frame
    candidates = frame[frame["chance"] <= SURE / index.n_units]
    candidates = candidates[~candidates["attribute"].isin((*NO_CLASSES, "plain"))]
    explained = np.maximum(candidates["base"], candidates["explained"].fillna(0))
    _, rows, columns = index.shape
    left = candidates.assign(
        inside=_off_border(candidates["row"], rows) & _off_border(candidates["column"], columns),
        beyond=candidates["images"] * divergence(candidates["share"], explained),
    ).sort_values(["inside", "beyond", "unit"], ascending=[False, False, True], kind="stable")
    chosen = []
    for kind in kinds:
        of_kind = left[left["kind"] == kind]
        if of_kind.empty:
            continue
        best = of_kind.iloc[0]
        chosen.append(best.name)
        left = left[(left["channel"] != best["channel"]) & (left["attribute"] != best["attribute"])]
    return frame.loc[chosen]


def _off_border(place, n: int):
    """Whether a cell is none of the outer ones of a row of `n`; small maps have no border to speak of."""
    return (place > 0) & (place < n - 1) if n > 3 else place >= 0


def compare_units(before: UnitIndex, after: UnitIndex, dataset=None, k: int = TOP):
    """What training has changed in units: the same unit of two networks, over the same images.

    Parameters
    ----------
    before, after : UnitIndex
        Of the same layer; made from the same images.
    dataset : VOCDataset, optional
        These images, with annotations; without it nothing is said about classes.
    k : int
        Regions of each unit that are looked at, its best.

    Returns
    -------
    DataFrame
        A row for each unit:

        unit, channel, row, column
            The unit.
        overlap
            Share of its regions after training that it had before: regions of the same image with IoU >= 0.5.
        mean_before, mean_after, active_before, active_after
            Mean activation over all regions; share of all regions that excite it at all.
        precision_before, class_before, precision_after, class_after
            The class that most of its regions hold, and how many do; see `class_selectivity`.
        moved
            By how much that precision has grown.

        ``frame["mean_before"].corr(frame["mean_after"])`` tells whether busy units have stayed busy.

    Raises
    ------
    SettingsError
        If the two have different layers or images, or `k` is less than 1.
    """
    import pandas as pd

    if before.shape != after.shape or set(before.image_ids) != set(after.image_ids):
        raise SettingsError(
            f"units can be compared over the same images and of layers of the same shape, but there are {before} "
            f"and {after}; build both indexes from the same images"
        )
    if k < 1:
        raise SettingsError(f"k is {k}; look at one region of each unit at least")
    unit = np.arange(after.n_units)
    place = np.unravel_index(unit, after.shape)
    frame = pd.DataFrame({"unit": unit, **dict(zip(("channel", "row", "column"), place, strict=True))})
    frame["overlap"] = _overlap(before, after, k)
    for name in ("mean", "active"):
        for when, index in (("before", before), ("after", after)):
            frame[f"{name}_{when}"] = getattr(index, name)
    if dataset is not None:
        for when, index in (("before", before), ("after", after)):
            found = class_selectivity(index, dataset, k).sort_values(
                "precision", ascending=False, kind="stable"
            )
            found = found.drop_duplicates("unit").set_index("unit")
            frame[f"precision_{when}"] = found["precision"].reindex(unit, fill_value=0.0).to_numpy()
            frame[f"class_{when}"] = found["class"].astype(object).reindex(unit).to_numpy()
        frame["moved"] = frame["precision_after"] - frame["precision_before"]
    return frame


def _overlap(before: UnitIndex, after: UnitIndex, k: int) -> np.ndarray:
    """Share of each unit's k best regions in `after` that are among those in `before`, float64 [U]."""
    position = {image_id: place for place, image_id in enumerate(before.image_ids)}
    in_before = np.array([position[image_id] for image_id in after.image_ids])
    shares = np.full(after.n_units, np.nan)
    for unit in range(after.n_units):
        new, old = (slice(0, np.count_nonzero(index.values[unit, :k])) for index in (after, before))
        if new.stop == 0:
            continue
        same_image = in_before[after.image_index[unit, new], None] == before.image_index[unit, None, old]
        overlap = iou(after.boxes[unit, new], before.boxes[unit, old])
        shares[unit] = (same_image & (overlap >= 0.5)).any(axis=1).mean()
    return shares


@dataclass(frozen=True)
class _Regions:
    """N regions: what each counts for (a unit or a cell), the position of its image in the index, and a box."""

    row: np.ndarray
    image: np.ndarray
    boxes: np.ndarray


def _n_cells(index: UnitIndex) -> int:
    return index.shape[1] * index.shape[2]


def _listed(index: UnitIndex, k: int) -> _Regions:
    """The k best regions of every unit."""
    if k < 1:
        raise SettingsError(f"k is {k}; look at one region of each unit at least")
    unit, rank = np.nonzero(index.values[:, :k])
    return _Regions(unit, index.image_index[unit, rank], index.boxes[unit, rank])


def _drawn(index: UnitIndex, proposals, n_random: int, seed: int) -> _Regions:
    """Random regions of every image, without repetition."""
    if n_random < 1:
        raise SettingsError(f"n_random is {n_random}; draw one region from each image at least")
    rng = np.random.default_rng(seed)
    if proposals is None:
        pools = _listed_by_image(index)
    else:
        pools = [np.asarray(proposals[image_id], np.float32).reshape(-1, 4) for image_id in index.image_ids]
    chosen = [pool[rng.permutation(len(pool))[:n_random]] for pool in pools]
    image = np.repeat(np.arange(len(chosen)), [len(boxes) for boxes in chosen])
    return _Regions(np.zeros(len(image), np.int64), image, np.concatenate(chosen))


def _listed_by_image(index: UnitIndex) -> list[np.ndarray]:
    """All regions of each image that are listed for any unit, each once."""
    listed = index.values > 0
    rows = np.column_stack([index.image_index[listed], index.boxes[listed]])
    rows = np.unique(rows, axis=0)
    ends = np.searchsorted(rows[:, 0], np.arange(1, index.n_images))
    return [part[:, 1:] for part in np.split(rows, ends)]


@dataclass(frozen=True)
class _Shown:
    """What regions show of A things, which are called `names`.

    `shares` [U, A] are the means over each unit's regions, `by_image` [U, A] the same with every image counting
    once, `n_images` [U] how many these are; `bases` and `squares` [1 or cells, A] are the means over random
    regions, of the numbers and of their squares.
    """

    names: list
    shares: np.ndarray
    by_image: np.ndarray
    n_images: np.ndarray
    bases: np.ndarray
    squares: np.ndarray


def _shown(
    index: UnitIndex,
    top: _Regions,
    random: _Regions,
    measure: Callable[[str, np.ndarray], tuple[Sequence[Hashable], np.ndarray]],
    n_bases: int,
    progress: bool,
) -> _Shown:
    """Measure all regions, image by image.

    ``measure(image_id, boxes [N, 4])`` names A things and tells how much of each every box shows, [N, A].
    """
    from tqdm.auto import tqdm

    of_units, by_image = _Means(index.n_units), _Means(index.n_units)
    of_random, squares = _Means(n_bases), _Means(n_bases)
    top_by_image, random_by_image = (_by_image(regions, index.n_images) for regions in (top, random))
    for image, image_id in enumerate(tqdm(index.image_ids, unit="image", disable=not progress)):
        listed, drawn = top_by_image[image], random_by_image[image]
        if len(listed) + len(drawn) == 0:
            continue
        names, found = measure(image_id, np.concatenate([top.boxes[listed], random.boxes[drawn]]))
        of_listed, of_drawn = found[: len(listed)], found[len(listed) :]
        unit, sums, counts = _sums_by_row(top.row[listed], of_listed)
        of_units.add(unit, names, sums, counts)
        by_image.add(unit, names, sums / counts[:, None], 1)
        for means, values in ((of_random, of_drawn), (squares, of_drawn**2)):
            cell, sums, counts = _sums_by_row(random.row[drawn], values)
            means.add(cell, names, sums, counts)
    names = sorted(set(of_units.columns) | set(of_random.columns))
    return _Shown(
        names=names,
        shares=of_units.means(names),
        by_image=by_image.means(names),
        n_images=by_image.counts,
        bases=of_random.means(names),
        squares=squares.means(names),
    )


def _by_image(regions: _Regions, n_images: int) -> list[np.ndarray]:
    """Positions of the regions of each image."""
    order = np.argsort(regions.image, kind="stable")
    return np.split(order, np.searchsorted(regions.image[order], np.arange(1, n_images)))


def _sums_by_row(row: np.ndarray, values: np.ndarray):
    """Add up N measurements [N, A] by their row: the R rows that occur, sums [R, A], counts [R].

    A measurement of NaN does not count.
    """
    sound = ~np.isnan(values).any(axis=1)
    row, values = row[sound], values[sound].astype(np.float64)
    order = np.argsort(row, kind="stable")
    present, first, counts = np.unique(row[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(values[order], first) if len(present) else np.zeros((0, values.shape[1]))
    return present, sums, counts


class _Means:
    """Means of things by row, where new things turn up on the way."""

    def __init__(self, n_rows: int):
        self.columns: dict[Hashable, int] = {}
        self.sums = np.zeros((n_rows, 0))
        self.counts = np.zeros(n_rows, np.int64)

    def add(self, row: np.ndarray, names: Sequence[Hashable], sums: np.ndarray, counts) -> None:
        """Add sums [R, A] of so many measurements of A things to R rows."""
        column = [self.columns.setdefault(name, len(self.columns)) for name in names]
        self.sums = np.pad(self.sums, ((0, 0), (0, len(self.columns) - self.sums.shape[1])))
        self.sums[np.ix_(row, column)] += sums
        self.counts[row] += counts

    def means(self, names: Sequence[Hashable]) -> np.ndarray:
        """The means [rows, A], 0 for what has never turned up."""
        found = self.sums / np.maximum(1, self.counts)[:, None]
        found = np.pad(found, ((0, 0), (0, 1)))
        return found[:, [self.columns.get(name, -1) for name in names]]


def _explained(shown: _Shown) -> np.ndarray:
    """Share of each part that the classes seen bring with them [U, A]; NaN for what is no part."""
    names, shares, bases = shown.names, shown.shares, shown.bases
    column = {attribute: place for place, attribute in enumerate(names)}
    cell = np.arange(len(shares)) % len(bases)
    explained = np.full(shares.shape, np.nan)
    for attribute, place in column.items():
        if attribute.kind == "class part":
            explained[:, place] = 0
            owner, part = attribute.name.split(":", 1)
            whole = column[Attribute("class", owner)]
            fills = np.divide(
                bases[:, place], bases[:, whole], out=np.zeros(len(bases)), where=bases[:, whole] > 0
            )
            brought = shares[:, whole] * fills[cell]
            explained[:, place] = brought
            of_any_class = column.get(Attribute("part", part))
            if of_any_class is not None and owner not in NO_CLASSES:
                explained[:, of_any_class] = np.nan_to_num(explained[:, of_any_class]) + brought
    return explained


def _frame(index: UnitIndex, top: _Regions, shown: _Shown, what: dict, *, n_random: int):
    """The table of what units show, from its own columns and those that follow from them."""
    import pandas as pd

    unit, column = np.nonzero(shown.shares)
    place = np.unravel_index(unit, index.shape)
    frame = pd.DataFrame(
        {"unit": unit, **dict(zip(("channel", "row", "column"), place, strict=True)), **what}
    )
    for name in ("kind", "attribute", "class"):
        if name in frame:
            frame[name] = frame[name].astype("category")
    share, base = shown.shares[unit, column], frame["base"].to_numpy()
    base = np.maximum(base, 1 / (n_random + 1))  # what no random region shows might be shown by the next one
    frame["lift"] = share / base
    frame["bits"] = np.sign(share - base) * divergence(share, base) / np.log(2)
    frame["chance"] = _chance(shown, n_random)[unit, column]
    frame["images"] = shown.n_images[unit]
    frame["regions"] = np.bincount(top.row, minlength=index.n_units)[unit]
    return frame


def _chance(shown: _Shown, n_random: int) -> np.ndarray:
    """Bound on the probability that random regions show as much as each unit's [U, A].

    To the random regions one is added that shows nothing but the attribute: of what is rare, few regions tell the
    variance.
    """
    cell = np.arange(len(shown.shares)) % len(shown.bases)
    mean = (n_random * shown.bases + 1) / (n_random + 1)
    variance = (n_random * shown.squares + 1) / (n_random + 1) - mean**2
    return chance_bound(shown.by_image, mean[cell], variance[cell], shown.n_images[:, None])


def chance_bound(share, mean, variance, n) -> np.ndarray:
    """Bound the probability that the mean of n independent numbers is `share` or more (Hoeffding, theorem 3).

    Parameters
    ----------
    share : array-like
    mean, variance : array-like
        Of the numbers, which are at most 1 and between 0 and 1 in the mean.
    n : array-like

    Returns
    -------
    float64 array
        1 where the share is not above the mean.

    Examples
    --------
    >>> float(chance_bound(1.0, 0.5, 0.25, 10))  # ten coins show heads: 1 / 1024
    0.0009765625
    """
    share, mean, variance = (np.asarray(values, np.float64) for values in (share, mean, variance))
    room = 1 - mean
    whole = room**2 + variance
    above = np.clip(share - mean, 0, room)
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = divergence((variance + room * above) / whole, variance / whole)
    return np.where(above > 0, np.exp(-np.asarray(n) * surprise), 1.0)


def divergence(share, base) -> np.ndarray:
    """The Kullback-Leibler divergence ``D(share || base)`` of two coins, in nats, elementwise.

    Examples
    --------
    >>> divergence([0.5, 1.0, 0.0], [0.5, 0.5, 0.5]).round(4).tolist()
    [0.0, 0.6931, 0.6931]
    """
    share, base = np.clip(np.asarray(share, np.float64), 0, 1), np.asarray(base, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(share > 0, share * np.log(share / base), 0.0)
        tails = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - base)), 0.0)
    return np.maximum(heads + tails, 0.0)
