"""What commands print and write."""

import json
import sys


def print_seconds(seconds: dict[str, float]) -> None:
    """One line a stage."""
    for stage, value in seconds.items():
        print(f"  {stage:24s} {value:8.1f} s")


def percent(fraction: float) -> float | None:
    """A fraction in percent; None for NaN, which JSON does not have."""
    return None if fraction != fraction else 100 * float(fraction)


def save_json(path, value) -> None:
    """Write a result to the file of ``--json``, if there is one."""
    if path:
        from rcnn_helpers.storage import write_json

        write_json(path, value)


def save_tables(options, rows, **parts) -> None:
    """Write data frames to the files of ``--csv`` and ``--json``, if there are any.

    The first holds `rows` alone; the second holds them with `parts`, frames or JSON values by name, and says where
    they are from.
    """
    if options.csv:
        from rcnn_helpers.storage import atomic_write

        atomic_write(options.csv, lambda file: file.write(rows.to_csv(index=False).encode()))
    frames = {"rows": rows} | parts
    save_json(
        options.json,
        provenance(options)
        | {
            name: json.loads(part.to_json(orient="records")) if hasattr(part, "to_json") else part
            for name, part in frames.items()
        },
    )


def provenance(options) -> dict[str, str]:
    """Where and when a result came about, and how to get it again."""
    import datetime

    from rcnn_helpers.course.costs import machine

    return {
        "command": options.command_line,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def progress_bar(items, description: str):
    """The items, with a bar where somebody looks on."""
    from tqdm.auto import tqdm

    return tqdm(items, desc=description, unit="image", leave=False, disable=not sys.stderr.isatty())
