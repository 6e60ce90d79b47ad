"""``rcnn toyvoc``, ``rcnn progress`` and ``rcnn course``."""

from rcnn_helpers import settings
from rcnn_helpers.cli.options import add_parser, common_options
from rcnn_helpers.cli.output import save_json


def toyvoc(options) -> None:
    """Render ToyVOC in PASCAL VOC layout and say where it lies."""
    from rcnn_helpers.datasets.toyvoc import open_toyvoc

    dataset = open_toyvoc("trainval", profile=options.profile, seed=options.seed)
    print(dataset.root)
    save_json(options.json, {"folder": str(dataset.root), "classes": list(dataset.classes)})


def course(options) -> None:
    """Run the whole course and print its result table, or only say what that would be."""
    from rcnn_helpers.course.run import print_plan, run_course

    if options.dry_run:
        print_plan(options.profile)
        return
    result = run_course(profile=options.profile, notebooks=not options.no_notebooks, record=options.record)
    save_json(options.json, result)


def progress(options) -> None:
    """Show or forget what the learner has done."""
    from rcnn_helpers.course import progress as learner
    from rcnn_helpers.course.exercises import exercises

    if options.reset:
        print(f"Forgotten: the exercises and predictions in {learner.reset()}")
        return
    outcomes = {entry["name"]: entry for entry in learner.entries("exercise")}
    print(f"{'notebook':10s}{'exercise':24s}{'level':8s}{'minutes':>7s}  outcome")
    for name, exercise in exercises().items():
        entry = outcomes.get(name, {"outcome": "not attempted"})
        outcome = "pass" if entry.get("passed") else entry["outcome"]
        level = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
        print(f"{exercise.notebook:10s}{name:24s}{level:8s}{exercise.minutes:7d}  {outcome}")
    passed = sum(outcomes.get(name, {}).get("passed", False) for name in exercises())
    n_predictions = len(learner.entries("prediction"))
    print(f"{passed} of {len(exercises())} exercises passed, {n_predictions} predictions written down")


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(commands, "toyvoc", toyvoc, "draw ToyVOC and say where it lies")
    parser.add_argument("--profile", choices=sorted(settings.PROFILES))
    common_options(parser)

    parser = add_parser(commands, "progress", progress, "show which exercises you have passed, or begin anew")
    parser.add_argument("--reset", action="store_true", help="forget all exercises and predictions")

    parser = add_parser(commands, "course", course, "run the whole course on embedded data")
    parser.add_argument("--profile", choices=sorted(settings.PROFILES))
    parser.add_argument("--no-notebooks", action="store_true", help="run the stages only")
    parser.add_argument("--dry-run", action="store_true", help="say what would be computed, and stop")
    parser.add_argument(
        "--record", action="store_true", help="write what stages and notebooks took into data/costs.csv"
    )
    common_options(parser)
