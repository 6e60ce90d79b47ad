"""Pages of what was measured: their tables are made from ``data/results`` when the site is built, never typed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from rcnn_helpers import planning
from rcnn_helpers.course.site.chapters import SiteError

PAGES_FOLDER = Path(__file__).resolve().parent / "pages"
PAGES = ("how_fast.md", "how_far.md", "what_it_survives.md")
# The results that the pages show, and what makes them.
BENCHMARKS = "benchmarks.json"
MEMORY = "memory.json"
COSTS = "costs_tnet.json"
MADE_BY = {
    BENCHMARKS: "make benchmark",
    MEMORY: f"python tests/benchmarks/bench_memory.py --json data/results/{MEMORY}",
    COSTS: f"rcnn plan voc2007 --json data/results/{COSTS}",
}
# What each benchmark stands beside: whole images, what is possible, then the stages in their order; others follow
# under their own names.
NOTES = {
    "detection": ("One image, by stage", "From the JPEG file to the boxes, 2,000 proposals."),
    "detection_peers": (
        "One image, beside the plain way",
        "The *bare forward pass* reads ready-made crops and does nothing else. The *plain way* is what one would "
        "write first: a loop of `cv2.resize` over the same proposals, torchvision's network in float32, "
        "torchvision's `nms`. The paper: 13 s on its GPU, 53 s on a CPU.",
    ),
    "detection_in_a_row": (
        "Several images in a row",
        "As a data set, beside a search of one image after the other. With a GPU the proposals of the next images "
        "are found while the network works; a CPU is busy with the network already.",
    ),
    "roofline_machine": (
        "What the machine can do",
        "Large matrix products, a convolution, copies in memory, JPEG files and the disk.",
    ),
    "roofline": (
        "How near each stage comes",
        "The *floor* is what the operations or bytes of a stage would take at the rates above; the *share* is the "
        "floor divided by the time measured. 1 is the physical limit.",
    ),
    "selective_search": (
        "Region proposals",
        "Beside OpenCV contrib's selective search in its fast mode, with a base of 50, on the same photographs.",
    ),
    "warping": (
        "Warping",
        "Beside a loop of `cv2.resize`: bare, and with what makes the same batch (padding, mean, channels).",
    ),
    "extraction": (
        "Features",
        "Beside the bare forward pass of the same network on one ready-made batch, again and again.",
    ),
    "networks_response_norm": ("Local response normalization", "Beside torch's own."),
    "networks_half_precision": ("Half precision", "The same network in bfloat16 and in float32."),
    "feature_store": ("Features read again", "Beside computing them anew."),
    "finetuning": (
        "Fine-tuning",
        "A whole step beside the bare one, on one ready-made batch; and beside PIL and torchvision's "
        "`resized_crop` in a DataLoader of two workers.",
    ),
    "svm": ("Support vector machines", "Beside scikit-learn's LinearSVC, class by class, at equal accuracy."),
    "svm_mining": (
        "Mining for the SVMs",
        "Hard negatives, beside a loop by the same rules that trains a LinearSVC for each class when its cache "
        "has grown.",
    ),
    "svm_20000": ("Support vector machines, 20,000 rows", "The same on three times the rows."),
    "svm_20000_mining": ("Mining, features of fc7's size", "The same on four times the features."),
    "bbox_regression": ("Box regression", "Beside scikit-learn's `Ridge` with its Cholesky solver."),
    "nms": ("Suppression", "Beside torchvision's `nms`, class by class."),
    "evaluation": ("Average precision", "Beside pycocotools."),
    "diagnosis": ("Error diagnosis", "Beside plain NumPy, class by class."),
    "units": ("The units of pool5", "An index of all units beside the bare forward pass."),
    "units_lists": ("Its lists alone", "Beside one suppression for each unit and image."),
    "units_memory": ("Its memory", "It stays as it is, however many regions there are."),
    "segmentation": ("Segmentation", "One picture: its regions, their two crops, the pasting."),
    "baselines": ("Other features", "Beside plain code for the same descriptors."),
    "import": ("Imports", "In fresh processes, beside `import torch`."),
    "notebooks": ("Notebooks", "From the start of the kernel to the first picture."),
    "drawing": ("Drawing", "Beside Pillow and matplotlib."),
    "widgets_toyvoc": ("Explorers", "A redraw beside the same pixels written by matplotlib, on toys."),
    "widgets_voc": ("Explorers on photographs", "The same on photographs."),
}
# On the page "How far".
_ELSEWHERE = {"memory"}
# Wider tables are turned, if that makes them narrower.
_MOST_COLUMNS = 7
_CORES = {"1": "one core", "2": "two cores", "gpu": "a GPU"}


def measured_pages(repository: Path) -> dict[str, str]:
    """The pages by file name, as Markdown, their tables filled in.

    Raises
    ------
    SiteError
        If a file of results is missing or damaged; the message says what makes it.
    """
    results = {name: _read(repository / "data" / "results" / name) for name in MADE_BY}
    parts = {
        "benchmarks": lambda: benchmark_sections(results[BENCHMARKS]),
        "measured": lambda: _when(results[BENCHMARKS]),
        "memory": lambda: memory_table(results[MEMORY]),
        "memory_laws": lambda: memory_laws(results[MEMORY]),
        "memory_measured": lambda: _when(results[MEMORY]),
        "plans": lambda: plan_sections(results[COSTS]),
        "costs_measured": lambda: f"{results[COSTS]['costs']['network']} on {_when(results[COSTS])}",
    }
    return {
        name: re.sub(
            r"\{\{(\w+)\}\}",
            lambda found: parts[found[1]](),
            (PAGES_FOLDER / name).read_text(encoding="utf-8"),
        )
        for name in PAGES
    }


def _read(path: Path) -> dict:
    remedy = f"run: {MADE_BY[path.name]}"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SiteError(f"the results {path} are missing; {remedy}") from error
    except (OSError, ValueError) as error:
        raise SiteError(f"the results {path} cannot be read ({error}); {remedy}") from error


def _when(result: Mapping) -> str:
    return f"{result['machine']}, {result['date']}"


# -- tables --------------------------------------------------------------------------------------------------


def benchmark_sections(result: Mapping) -> str:
    """A section for each benchmark, with a table for each number of cores it ran on."""
    benchmarks = {name: rows for name, rows in result["benchmarks"].items() if name not in _ELSEWHERE}
    order = [name for name in NOTES if name in benchmarks]
    order += sorted(name for name in benchmarks if name not in NOTES)
    return "\n".join(_benchmark_section(name, benchmarks[name]) for name in order)


def _benchmark_section(name: str, by_cores: Mapping) -> str:
    heading, note = NOTES.get(name, (name.replace("_", " ").capitalize(), ""))
    lines = [f"## {heading}", "", note, ""]
    for cores, section in sorted(by_cores.items()):
        lines += [
            f"*{section['title']}; {_CORES.get(cores, f'{cores} cores')}.*",
            "",
            table(section["rows"]),
            "",
        ]
    commands = sorted({section["command"] for section in by_cores.values() if "command" in section})
    return "\n".join([*lines, *(f"`{command}`" for command in commands), ""])


def memory_table(result: Mapping) -> str:
    """What each stage takes beyond what it starts with, by number of images."""
    rows = [
        {
            "stage": row["stage"],
            **{
                f"MiB, {key.removeprefix('growth MiB, ')} images": value
                for key, value in row.items()
                if key.startswith("growth MiB")
            },
            "KiB an image": row["KiB an image"],
        }
        for row in result["rows"]
    ]
    return table(rows)


def memory_laws(result: Mapping) -> str:
    """What the memory of each stage depends on."""
    return table(
        [
            {"stage": row["stage"], "what grows, in bytes": row["grows"], "what bounds it": row["bound"]}
            for row in result["rows"]
        ]
    )


def plan_sections(result: Mapping) -> str:
    """The plan of each data set, from saved costs."""
    costs = planning.Costs.from_dict(result["costs"])
    return "\n".join(_plan_section(work, costs, result["batch"]) for work in planning.WORKLOADS.values())


def _plan_section(work: planning.Workload, costs: planning.Costs, batch: int) -> str:
    stages = planning.plan(work, costs, batch=batch)
    rows = [
        {
            "stage": stage.name,
            "hours": _hours(stage.hours),
            "hours on 16 machines": _hours(planning.hours_on(stage, 16)),
            "disk, GB": _hours(stage.disk_gb),
            "memory, GB": _hours(stage.memory_gb),
            "hours with a GPU, estimated": _hours(stage.gpu_hours),
        }
        for stage in stages
    ]
    whole = planning.total(stages)
    on_16 = sum(planning.hours_on(stage, 16) for stage in stages)
    rows.append(
        {
            "stage": "**total**",
            "hours": _hours(whole.hours),
            "hours on 16 machines": _hours(on_16),
            "disk, GB": _hours(whole.disk_gb),
            "memory, GB": _hours(whole.memory_gb),
            "hours with a GPU, estimated": _hours(whole.gpu_hours),
        }
    )
    counted = (
        f"{work.images:,} images to train on, {work.test_images:,} to test, {work.classes} classes, "
        f"{work.steps:,} batches of {batch} windows."
    )
    money = (
        f"At 0.10 EUR an hour of such a machine, an assumed price, {_euros(whole.hours * 0.10)}; at 0.40 EUR an "
        f"hour of one with the card, assumed as well, {_euros(whole.gpu_hours * 0.40)}. However many machines "
        f"share it: at most {planning.most_speedup(stages):.1f} times as fast."
    )
    return f"### {work.name}\n\n{counted}\n\n{table(rows)}\n\n{money}\n"


def _hours(value: float) -> str:
    """Two digits below ten, whole numbers above; a dash for nothing."""
    if value == 0:
        return "–"
    return "< 0.01" if value < 0.005 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _euros(value: float) -> str:
    return f"{value:,.2f} EUR" if value < 10 else f"{value:,.0f} EUR"


def table(rows: list[Mapping]) -> str:
    """Rows as a table in Markdown; columns as they first come up, numbers to three digits and to the right."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if len(columns) > _MOST_COLUMNS and len(rows) < len(columns) - 1:
        return table(_turned(rows, columns))
    right = {key for key in columns if all(_is_number(row.get(key)) for row in rows)}
    lines = [
        _line(columns),
        _line(["--:" if key in right else ":--" for key in columns]),
        *(_line([_cell(row.get(key)) for key in columns]) for row in rows),
    ]
    return "\n".join(lines)


def _turned(rows: list[Mapping], columns: list[str]) -> list[dict]:
    """Columns as rows, for a table that would be wider than its page; each row becomes a column of its own."""
    heads = [_cell(row.get(columns[0])) for row in rows]
    heads = [head if heads.count(head) == 1 else f"{head} ({n})" for n, head in enumerate(heads, start=1)]
    return [
        {columns[0]: column} | {head: row.get(column) for head, row in zip(heads, rows, strict=True)}
        for column in columns[1:]
    ]


def _line(cells) -> str:
    return "| " + " | ".join(cell.strip().replace("|", "\\|") for cell in cells) + " |"


def _is_number(value) -> bool:
    if isinstance(value, str):
        return bool(re.fullmatch(r"(< )?[\d.,]+|–", value))
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value) -> str:
    """A number to three digits, whole from 100 on; text as it is."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
