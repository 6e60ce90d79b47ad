"""Rows of section 4: the two hundred classes of ILSVRC2013, and OverFeat."""

from rcnn_helpers import paired
from rcnn_helpers.claims.finding import (
    Difference,
    illustrated,
    not_run,
    points,
    rule,
    shown_beside,
    sign,
)
from rcnn_helpers.claims.model import HOLDS, REVERSE, UNDECIDED, Claim, Finding
from rcnn_helpers.claims.results import Missing, Results, by_seed, matching
from rcnn_helpers.claims.rows.commands import (
    DENSE,
    PROPOSALS,
    PROPOSALS_PHOTOGRAPHS,
    SPLIT,
    TABLE_2,
    TABLE_4,
)

_SECTION = "Section 4: two hundred classes"
_ILSVRC = "It takes ILSVRC2013's images; the reader, the split and the rows of Table 4 wait for them."
_SPLIT_ILSVRC = "rcnn split --ilsvrc ILSVRC2013 --out lists"


def _balance(results: Results) -> tuple[str, bool]:
    split = results.document("balanced_split")
    most, median = split["max_imbalance"], split["median_imbalance"]
    return (
        f"{100 * most:.1f}% at most, {100 * median:.1f}% median, on drawn counts of the same shape",
        most <= 0.11 and median <= 0.04,
    )


def _recall(results: Results) -> tuple[str, bool]:
    ours = 100 * results.document("proposals_toyvoc")["recall"]["0.5"]
    try:
        photographs = 100 * results.document("proposals_voc2007_sample")["recall"]["0.5"]
    except Missing:
        photographs = ours
    return f"{ours:.1f}%", min(ours, photographs) >= 96


def _recall_of_photographs(results: Results) -> str:
    document = results.document("proposals_voc2007_sample")
    return (
        f"{100 * document['recall']['0.5']:.1f}% with {document['boxes_per_image']:,.0f} boxes an image "
        f"({document['images']} images)"
    )


_TABLE_4 = "table4_toyvoc"


def _setting(svm: str, tuning: str = "n/a", regression: str = "n/a", *, layer: str = "fc7") -> dict:
    """A row of Table 4 that is judged on val2, by its training sets and its layer."""
    return {
        "test_set": "val2",
        "svm_training_set": svm,
        "cnn_fine_tuning_set": tuning,
        "bbox_reg_set": regression,
        "cnn_feature_layer": layer,
    }


_VAL1, _HALF, _FULL = (_setting(name, layer="fc6") for name in ("val1", "val1+train.5k", "val1+train1k"))
_TUNED_VAL1 = _setting("val1+train1k", "val1")
# Table 4 changes the layer where it begins to fine-tune; these two rows, which it has not, are between.
_FULL_FC7, _TUNED_VAL1_FC6 = _setting("val1+train1k"), _setting("val1+train1k", "val1", layer="fc6")
_TUNED = _setting("val1+train1k", "val1+train1k")
_REGRESSED = _setting("val1+train1k", "val1+train1k", "val1")


def _step(better: dict, worse: dict, **options) -> Difference:
    """A step down Table 4 on ToyVOC."""
    return Difference(_TABLE_4, ((1, better), (-1, worse)), **options)


def _paper_map(setting: dict):
    def read(results: Results) -> float:
        return matching(results.paper("table4_ilsvrc2013_ablation"), setting)[0]["mAP"]

    return read


def _paper_step(better: dict, worse: dict):
    def read(results: Results) -> float:
        return round(_paper_map(better)(results) - _paper_map(worse)(results), 1)

    return read


def _step_claim(name: str, says: str, better: dict, worse: dict, why, *, also=()) -> Claim:
    paper = _paper_step(better, worse)
    return Claim(
        name,
        _SECTION,
        ("sec. 4.5", "Table 4"),
        says,
        points(paper),
        (TABLE_4,),
        sign(_step(better, worse), paper=paper, also=also),
        why=why,
    )


def _relative_gain(results: Results) -> tuple[str, bool | None]:
    """Box regression's gain as a share of the mAP before it: in the roles of ILSVRC, and in those of PASCAL."""
    rows = results.rows(_TABLE_4)
    before, after = (by_seed(rows, setting) for setting in (_TUNED, _REGRESSED))
    seed = min(set(before) & set(after), default=None)
    if seed is None:
        raise Missing("no seed of data/results/table4_toyvoc.csv has both rows of box regression")
    here = after[seed] / before[seed] - 1
    main = results.rows("ablation_toyvoc")
    plain, regressed = (by_seed(main, {"name": name}) for name in ("FT fc7", "FT fc7 BB"))
    there = sum(regressed[s] / plain[s] - 1 for s in plain) / len(plain)
    return f"{100 * here:+.1f}% (1 seed) against {100 * there:+.1f}% in Table 2 here", (
        here < there if here > 0 else None
    )


def _on_val2_and_test(results: Results) -> str:
    rows = results.rows(_TABLE_4)
    on_test = _REGRESSED | {"test_set": "test", "svm_training_set": "val+train1k", "bbox_reg_set": "val"}
    means = [paired.mean_and_spread(list(by_seed(rows, row).values()))[0] for row in (_REGRESSED, on_test)]
    return f"{means[0]:.1f} on val2, {means[1]:.1f} on test"


_POOR_TRAIN = (
    "ToyVOC in the same roles, one seed, few pictures and a short fine-tuning (the command says how short). "
    "In ILSVRC the pictures of train are of another kind than those of val; here only their annotations are "
    "incomplete."
)

ILSVRC = (
    Claim(
        "ilsvrc-data",
        _SECTION,
        ("sec. 4.1", "sec. 4"),
        "395,918 images to train on, 20,121 val, 40,152 test; val and test are annotated in full, train is "
        "not; the rarest class of val has 31 objects, half of the classes fewer than 110.",
        "395,918 / 20,121 / 40,152",
        (_SPLIT_ILSVRC,),
        not_run,
        why=_ILSVRC,
    ),
    Claim(
        "balanced-split",
        _SECTION,
        ("sec. 4.1",),
        "A random search finds halves of val that are balanced: about 11% relative imbalance at most, 4% "
        "median.",
        "11% at most, 4% median",
        (SPLIT, _SPLIT_ILSVRC),
        rule(_balance),
        rule="no worse than the paper in both",
        why="On counts drawn in the paper's shape (20,121 images, 200 classes, 31 objects in the rarest), as "
        "the real ones take ILSVRC's annotations.",
    ),
    Claim(
        "proposal-recall",
        _SECTION,
        ("sec. 4.2",),
        "On PASCAL, selective search covers about 98% of the objects at an IoU of 0.5.",
        "about 98%",
        (PROPOSALS, PROPOSALS_PHOTOGRAPHS),
        rule(_recall, sample=_recall_of_photographs),
        rule="at least 96% on ToyVOC, and on the photographs if they were run",
        why="Our own selective search, with a little fewer boxes.",
    ),
    Claim(
        "proposal-recall-ilsvrc",
        _SECTION,
        ("sec. 4.2",),
        "On ILSVRC, with images made 500 pixels wide, it is notably lower.",
        "91.6% with 2,403 boxes an image",
        ("rcnn proposals --voc ILSVRC2013 --split val",),
        not_run,
        why=_ILSVRC,
    ),
    Claim(
        "fewer-mining-images",
        _SECTION,
        ("sec. 4.3",),
        "Mining negatives in 5,000 images of val1 instead of all halves the SVMs' training time and costs "
        "0.5 points.",
        "-0.5",
        (TABLE_4,),
        not_run,
        why=_ILSVRC + " ToyVOC has too few pictures for a subset of them to say anything.",
    ),
    Claim(
        "val2-speaks-for-test",
        _SECTION,
        ("sec. 4.4", "sec. 4.5", "Table 4"),
        "mAP on val2 is close to mAP on test.",
        "31.0 against 31.4",
        (TABLE_4,),
        shown_beside(_on_val2_and_test),
        why="ToyVOC's parts are drawn alike, so little can be learnt here; as in the paper, the SVMs of the "
        "row on test learn from val2 as well. On ILSVRC it takes the evaluation server.",
    ),
    _step_claim(
        "more-positives",
        "Positives from train added to val1 help the SVMs.",
        _HALF,
        _VAL1,
        _POOR_TRAIN,
    ),
    Claim(
        "half-is-enough",
        _SECTION,
        ("sec. 4.5", "Table 4"),
        "Whether up to 500 or up to 1,000 a class makes no difference.",
        points(_paper_step(_FULL, _HALF)),
        (TABLE_4,),
        lambda results: _no_difference(results),
        rule="holds if the difference is below one point and the classes are not divided clearly; the "
        "reverse if they are (sign test at 5%)",
        why=_POOR_TRAIN,
    ),
    _step_claim(
        "tuning-on-val1",
        "Fine-tuning on val1 alone gives a modest gain (with fc7 instead of fc6).",
        _TUNED_VAL1,
        _FULL,
        _POOR_TRAIN
        + " The paper changes from fc6 to fc7 in this step; beside it, both layers by themselves.",
        also=(
            ("fc6 on both sides", _step(_TUNED_VAL1_FC6, _FULL)),
            ("fc7 on both sides", _step(_TUNED_VAL1, _FULL_FC7)),
        ),
    ),
    _step_claim(
        "tuning-on-more",
        "Fine-tuning on val1 and the positives of train gives much more.",
        _TUNED,
        _TUNED_VAL1,
        _POOR_TRAIN,
    ),
    _step_claim(
        "regression-on-val1",
        "Box regression, learnt on val1, gains again.",
        _REGRESSED,
        _TUNED,
        _POOR_TRAIN,
    ),
    Claim(
        "smaller-relative-gain",
        _SECTION,
        ("sec. 4.5", "Table 4"),
        "Its relative gain is smaller than on PASCAL.",
        "+4.4% against +7.9%",
        (TABLE_4, TABLE_2),
        rule(_relative_gain),
        rule="the relative gain in the roles of Table 4 is below that in Table 2; undecided if there is none",
        why="Two small numbers on small data, one seed on one side; not much hangs on it.",
    ),
    Claim(
        "overfeat-special-case",
        _SECTION,
        ("sec. 4.6",),
        "OverFeat can be seen as a special case of R-CNN: a pyramid of windows in place of proposals.",
        "an argument",
        (DENSE,),
        illustrated(
            "runs: a dense detector of the same parts (notebook 11)", "notebooks/sources/11_many_classes.py"
        ),
        why="Our dense detector shares network, SVMs, suppression and evaluation with the one on proposals.",
    ),
    Claim(
        "overfeat-faster",
        _SECTION,
        ("sec. 4.6",),
        "OverFeat is about 9 times faster, as its windows share their convolutions.",
        "about 9 times; 2 s an image",
        (DENSE,),
        rule(lambda results: _dense_is_faster(results)),
        rule="our dense detector takes less time an image than ours on proposals",
        why="How many times depends on network, image size and number of windows.",
    ),
)


def _no_difference(results: Results) -> Finding:
    """Whether two rows are as good as the same; such a difference speaks neither left nor right of zero."""
    found = sign(_step(_FULL, _HALF))(results)
    if found.verdict != UNDECIDED:
        return Finding(REVERSE, toyvoc=found.toyvoc)
    return Finding(HOLDS if abs(found.difference) < 1 else UNDECIDED, toyvoc=found.toyvoc)


def _dense_is_faster(results: Results) -> tuple[str, bool]:
    rows = results.rows("sliding_window_toyvoc")
    seconds = {
        name: by_seed(rows, {"method": name}, "cpu_seconds") for name in ("proposals", "dense retrained")
    }
    ratios = [
        value / seconds["dense retrained"][seed]
        for seed, value in seconds["proposals"].items()
        if seed in seconds["dense retrained"]
    ]
    if not ratios:
        raise Missing("no seed of data/results/sliding_window_toyvoc.csv has both detectors")
    ratio = sum(ratios) / len(ratios)
    return f"{ratio:.1f} times (processor time an image)", ratio > 1
