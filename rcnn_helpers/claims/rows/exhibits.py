"""Rows of the eight tables and the twelve figures as such: what stands beside each of them here."""

import math

from rcnn_helpers import paired
from rcnn_helpers.claims.finding import illustrated, not_run, paper_value, shown_beside
from rcnn_helpers.claims.model import Claim
from rcnn_helpers.claims.results import Missing, Results, by_class, by_seed
from rcnn_helpers.claims.rows.commands import (
    BASELINES,
    SEGMENT,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    VOC_2007,
    VOC_SERVER,
    measure,
)
from rcnn_helpers.claims.rows.detection import kinds_of

_TABLES, _FIGURES = "Tables", "Figures"
_ROWS_OF_TABLE_2 = ("pool5", "fc6", "fc7", "FT pool5", "FT fc6", "FT fc7", "FT fc7 BB")


def _means(file: str, selections: dict[str, dict], column: str = "mAP") -> str:
    """Mean over the seeds of some rows, by name."""

    def read(results: Results) -> str:
        rows = results.rows(file)
        told = []
        for name, selection in selections.items():
            mean, spread = paired.mean_and_spread(list(by_seed(rows, selection, column).values()))
            told.append(f"{name} {mean:.1f}" + ("" if math.isnan(spread) else f" ± {spread:.1f}"))
        return ", ".join(told)

    return read


def _all_rows(file: str, key: str, column: str = "mAP"):
    """The same of all rows of a file, by one of its columns."""

    def read(results: Results) -> str:
        names = dict.fromkeys(row[key] for row in results.rows(file))
        return _means(file, {str(name): {key: name} for name in names}, column)(results)

    return read


def _paper_row(file: str, methods: dict[str, str], column: str = "mAP"):
    def read(results: Results) -> str:
        return ", ".join(
            f"{name} {paper_value(file, method, column)(results):.1f}" for name, method in methods.items()
        )

    return read


def _kinds(results: Results) -> str:
    told = []
    for name in ("fc7", "FT fc7", "FT fc7 BB"):
        kinds = kinds_of(results, name)
        total = sum(kinds.values())
        told.append(f"{name}: " + ", ".join(f"{kind} {100 * n / total:.0f}%" for kind, n in kinds.items()))
    return "; ".join(told)


def _sensitivity(results: Results) -> str:
    told = []
    for name in ("fc7", "FT fc7", "FT fc7 BB"):
        each = results.document("claims_diagnosis")["detectors"][name]["sensitivity"]
        if not each:
            raise Missing("data/results/claims_diagnosis.json has too few objects for Figure 6")
        low, high = (
            100 * math.fsum(row[end] for row in each.values()) / len(each) for end in ("lowest", "highest")
        )
        told.append(f"{name} {low:.0f} to {high:.0f}")
    return "worst to best subset, mean: " + ", ".join(told)


def _sample_row(results: Results) -> str:
    names = ("pool5", "FT pool5", "FT pool5 BB")
    return _means("ablation_voc2007_sample_20_classes", {name: {"name": name} for name in names})(results)


def _easiest(results: Results) -> str:
    ap = by_class(results.rows("ablation_toyvoc"), {"name": "FT fc7 BB"})
    low, high = min(ap, key=ap.get), max(ap, key=ap.get)
    return f"{len(ap)} classes from {low} {ap[low]:.1f} to {high} {ap[high]:.1f}"


def _paper_extremes(results: Results) -> str:
    ap = {row["class"]: row["AP"] for row in results.paper("table8_ilsvrc2013_test_ap")}
    low, high = min(ap, key=ap.get), max(ap, key=ap.get)
    return f"{len(ap)} classes from {low} {ap[low]:.1f} to {high} {ap[high]:.1f}"


TABLES = (
    Claim(
        "table-1",
        _TABLES,
        ("Table 1",),
        "VOC 2010 test: R-CNN against DPM, UVA, Regionlets and SegDPM.",
        _paper_row(
            "table1_voc2010_test", {"R-CNN": "R-CNN", "BB": "R-CNN BB", "SegDPM": "SegDPM", "UVA": "UVA"}
        ),
        (BASELINES, *VOC_SERVER),
        shown_beside(_all_rows("baselines_toyvoc", "name")),
        why="VOC 2010's test annotations are on a server. Beside it: features made by hand on our proposals.",
    ),
    Claim(
        "table-2",
        _TABLES,
        ("Table 2",),
        "VOC 2007 test: layer by layer, without and with fine-tuning, with box regression.",
        _paper_row(
            "table2_voc2007_test",
            {name: f"R-CNN {name}" for name in _ROWS_OF_TABLE_2},
        ),
        (TABLE_2, VOC_2007),
        shown_beside(
            _means("ablation_toyvoc", {name: {"name": name} for name in _ROWS_OF_TABLE_2}), sample=_sample_row
        ),
        why="Other pictures, a quarter of the network: only signs can be compared, and each is a row of "
        "section 3.",
    ),
    Claim(
        "table-3",
        _TABLES,
        ("Table 3",),
        "VOC 2007 test: T-Net and O-Net.",
        _paper_row(
            "table3_voc2007_test_networks",
            {
                "T-Net": "R-CNN T-Net",
                "T-Net BB": "R-CNN T-Net BB",
                "O-Net": "R-CNN O-Net",
                "O-Net BB": "R-CNN O-Net BB",
            },
        ),
        (TABLE_3,),
        not_run,
        why="It takes ImageNet weights of both networks, VOC 2007, and a GPU. The command runs all four "
        "rows.",
    ),
    Claim(
        "table-4",
        _TABLES,
        ("Table 4",),
        "ILSVRC2013: which training sets for SVMs, fine-tuning and regression.",
        lambda results: ", ".join(
            f"{row['mAP']:.1f}"
            for row in results.paper("table4_ilsvrc2013_ablation")
            if row["test_set"] == "val2"
        ),
        (TABLE_4,),
        shown_beside(_all_rows("table4_toyvoc", "name")),
        why="ToyVOC in the roles of ILSVRC; its signs are rows of section 4.",
    ),
    Claim(
        "table-5",
        _TABLES,
        ("Table 5",),
        "VOC 2011 val, segmentation: full, fg and full+fg, fc6 and fc7, and O2P.",
        lambda results: ", ".join(
            f"{row['features']} {row['fc6']:.1f}" + ("" if math.isnan(row["fc7"]) else f"/{row['fc7']:.1f}")
            for row in results.paper("table5_voc2011_val_segmentation_mean")
        ),
        (SEGMENT,),
        lambda results: shown_beside(_table_5)(results),
        why="ToyVOC's masks, our merge trees' regions, a network fine-tuned for detection; its signs are "
        "rows of section 5.",
    ),
    Claim(
        "table-6",
        _TABLES,
        ("Table 6",),
        "VOC 2011 test, segmentation: against Regions and Parts, and O2P.",
        _paper_row(
            "table6_voc2011_test_segmentation",
            {"R&P": "R&P", "O2P": "O2P", "full+fg fc6": "R-CNN full+fg fc6"},
            "mean",
        ),
        (SEGMENT,),
        not_run,
        why="VOC 2011's test masks are on a server; Regions and Parts was not built. Table 5 has the rest.",
    ),
    Claim(
        "table-7",
        _TABLES,
        ("Table 7",),
        "VOC 2011 val, segmentation class by class.",
        _paper_row(
            "table7_voc2011_val_segmentation",
            {"full fc6": "full fc6", "full+fg fc6": "full+fg fc6"},
            "aeroplane",
        ),
        (SEGMENT,),
        shown_beside(
            _means(
                "segmentation_toyvoc",
                {
                    "full fc6": {"features": "full", "layer": "fc6"},
                    "full+fg fc6": {"features": "full+fg", "layer": "fc6"},
                },
                "aeroplane",
            )
        ),
        why="One class of it (aeroplane) as an example; data/results has all.",
    ),
    Claim(
        "table-8",
        _TABLES,
        ("Table 8",),
        "AP of each of ILSVRC2013's 200 classes.",
        _paper_extremes,
        (TABLE_2,),
        shown_beside(_easiest),
        why="It takes ILSVRC's server. Beside it: the range over ToyVOC's classes (FT fc7 BB).",
    ),
)

FIGURES = (
    Claim(
        "figure-1",
        _FIGURES,
        ("Figure 1",),
        "The system in four steps: image, proposals, features, classification.",
        "a picture",
        ("rcnn course", "rcnn detect photo.jpg --model model.safetensors"),
        illustrated("the four steps on one picture (notebook 00)", "notebooks/sources/00_start_here.py"),
        why="It runs from end to end.",
    ),
    Claim(
        "figure-2",
        _FIGURES,
        ("Figure 2",),
        "Warped training samples.",
        "a picture",
        ("rcnn course",),
        illustrated("warped samples by class (notebook 02)", "notebooks/sources/02_warping.py"),
        why="The same warp, other pictures.",
    ),
    Claim(
        "figure-3",
        _FIGURES,
        ("Figure 3",),
        "Bars of mAP and box plots of AP of ILSVRC2013's entries.",
        lambda results: ", ".join(
            f"{row['method']} {row['mAP']:.1f}" for row in results.paper("figure3_ilsvrc2013_map")[:3]
        ),
        (TABLE_4,),
        illustrated("redrawn from the paper's numbers (notebook 11)", "notebooks/sources/11_many_classes.py"),
        why="A competition cannot be run again; per-class results of other entries were not published with "
        "the paper.",
    ),
    Claim(
        "figure-4",
        _FIGURES,
        ("Figure 4",),
        "Six units of pool5 and the 16 regions that excite each most.",
        "six rows of pictures",
        (
            "rcnn units build --out units.index",
            "rcnn units show units.index --unit 0,2,2 --top 16 --picture units.jpg",
            measure("units"),
        ),
        illustrated("six units, chosen by a rule (notebook 09)", "data/pictures/units.jpg"),
        why="Whether they stand for concepts is the row units-are-concepts.",
    ),
    Claim(
        "figure-5",
        _FIGURES,
        ("Figure 5",),
        "Kinds of false positives over the ranking, for three detectors.",
        "six panels",
        (
            measure("diagnosis"),
            "rcnn diagnose --voc VOC2007 --split test --model model.safetensors --report why",
        ),
        shown_beside(_kinds),
        why="As many of the best-scored as a class has objects; the whole curves are in notebook 08.",
    ),
    Claim(
        "figure-6",
        _FIGURES,
        ("Figure 6",),
        "Normalised AP of the worst and best subset by six characteristics.",
        lambda results: _paper_sensitivity(results),
        (measure("diagnosis"),),
        shown_beside(_sensitivity),
        why="Other pictures; its claims are rows of section 3.",
    ),
    Claim(
        "figure-7",
        _FIGURES,
        ("Figure 7",),
        "Four ways to make a square of a box, without and with context.",
        "a picture",
        ("rcnn course",),
        illustrated("the same four on a wide and a tall object (notebook 02)", "data/pictures/warps.jpg"),
        why="What they are worth are rows of App. A.",
    ),
    *(
        Claim(
            f"figure-{number}",
            _FIGURES,
            (f"Figure {number}",),
            f"{kind} detections on ILSVRC's val2, those with a precision above 0.5.",
            "a page of pictures",
            ("rcnn course", "rcnn detect photo.jpg --model model.safetensors"),
            illustrated(text, "data/pictures/detections.jpg"),
            why=why,
        )
        for number, kind, text, why in (
            (
                8,
                "Random",
                "any test picture of ToyVOC (notebook 07)",
                "Choose the picture, or let chance choose it: nobody has picked for you. ToyVOC's.",
            ),
            (
                9,
                "More random",
                "any test picture of ToyVOC (notebook 07)",
                "Choose the picture, or let chance choose it: nobody has picked for you. ToyVOC's.",
            ),
            (
                10,
                "Picked",
                "six pictures with most right detections",
                "Picked, and by a rule that is written down.",
            ),
            (
                11,
                "More picked",
                "six pictures with most right detections",
                "Picked, and by a rule that is written down.",
            ),
        )
    ),
    Claim(
        "figure-12",
        _FIGURES,
        ("Figure 12",),
        "Twenty more units of pool5 with 24 regions each.",
        "a page of pictures",
        (
            "rcnn units build --out units.index",
            "rcnn units show units.index --unit 0,2,2 --top 16 --picture units.jpg",
        ),
        illustrated("any unit, any number of regions (notebook 09)", "notebooks/sources/09_pool5_units.py"),
        why="Twenty is an option of the command.",
    ),
)


def _table_5(results: Results) -> str:
    means: dict[str, dict[str, list[float]]] = {}
    for row in results.rows("segmentation_toyvoc"):
        means.setdefault(row["features"], {}).setdefault(str(row["layer"]), []).append(row["mean"])
    return ", ".join(
        f"{features} " + "/".join(f"{paired.mean_and_spread(values)[0]:.1f}" for values in of_layers.values())
        for features, of_layers in means.items()
    )


def _paper_sensitivity(results: Results) -> str:
    rows = results.paper("figure6_normalized_ap")
    told = []
    for name in dict.fromkeys(row["detector"] for row in rows):
        of_one = [row for row in rows if row["detector"] == name]
        low, high = (
            100 * math.fsum(row[end] for row in of_one) / len(of_one) for end in ("lowest", "highest")
        )
        told.append(f"{name} {low:.0f} to {high:.0f}")
    return ", ".join(told)
