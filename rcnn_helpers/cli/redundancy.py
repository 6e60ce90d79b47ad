"""``rcnn duplicates``."""

import argparse
import csv
import math
import re
import sys
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.cli.options import add_parser, positive
from rcnn_helpers.cli.output import provenance, save_json
from rcnn_helpers.errors import DatasetError, SettingsError

NEAR = 0.3  # as in rcnn_helpers.redundancy, written out so that --help needs no heavy import
_NAME_WIDTH = 34  # characters of a picture's name


def duplicates(options) -> None:
    """Look for pictures of A that are in B as well, by id, by file and by what is to be seen (App. F).

    A set is a folder with pictures, DIR:SPLIT for a split of a folder in VOC layout, or toyvoc:SPLIT. With A
    alone its pictures are compared with each other. Pairs are ranked; look at them (--out) before you believe
    them. With --planted, altered copies of the sets' own pictures are planted instead, and looked for; with
    --measure, random descriptors are searched.
    """
    tasks = {"planted": _planted, "measure": _measured}
    chosen = [name for name in tasks if getattr(options, name)]
    if len(chosen) > 1:
        raise SettingsError("--planted and --measure are two things; give one of them")
    if chosen:
        tasks[chosen[0]](options)
    else:
        _found(options)


# -- the search ----------------------------------------------------------------------------------------------


def _found(options) -> None:
    from rcnn_helpers.redundancy import fingerprints, near_duplicates

    if not options.sets or (len(options.sets) > 2 and not options.together):
        raise SettingsError(
            "name one set or two, such as toyvoc:train toyvoc:test, or take more --together; "
            f"got {len(options.sets)}"
        )
    sets = _opened(options)
    sets = [_joined(sets)] if options.together else sets
    cache = Path(options.cache) if options.cache else settings.cache_dir() / "fingerprints"
    prints = [fingerprints(pictures, cache=cache, progress=sys.stderr.isatty()) for pictures in sets]
    a, b = prints[0], prints[-1]
    frame = near_duplicates(*prints, k=options.neighbours, threshold=options.threshold, mirror=options.mirror)
    same = frame.filter(like="same_").sum()
    where = f"{b.pictures.name} ({len(b):,})" if len(prints) == 2 else "itself"
    print(f"{a.pictures.name} ({len(a):,} pictures) against {where}")
    print(
        f"  pairs within a distance of {options.threshold:g}: {len(frame)}, with {frame.a.nunique()} pictures of A"
    )
    print(f"  of them the same file: {same.same_file}, the same pixels: {same.same_pixels}, "
          f"the same id at the source: {same.same_source}")  # fmt: skip
    known = sum(map(bool, a.pictures.source_ids)), sum(map(bool, b.pictures.source_ids))
    if not all(known):
        print("  (ids at the source are not known for both sets; --source-ids FILE gives them)")
    _print_pairs(frame.head(options.show))
    if options.out:
        from rcnn_helpers.redundancy.report import write_report

        page = write_report(options.out, frame, a.pictures, b.pictures, top=max(options.show, 12))
        print(f"report: {page}")
    result = {"sets": [p.pictures.name for p in prints], "pictures": [len(p) for p in prints]}
    result |= {"threshold": options.threshold, "neighbours": options.neighbours, "mirror": options.mirror}
    result["pairs"] = _rounded(frame.drop(columns=["row_a", "row_b"]).to_dict(orient="records"))
    _save_section(options, "found", result)


def _print_pairs(frame) -> None:
    from rcnn_helpers.redundancy.report import in_words

    for rank, pair in enumerate(frame.itertuples(), start=1):
        names = "  ".join(f"{_shortened(name):{_NAME_WIDTH}s}" for name in (pair.a, pair.b))
        print(f"  {rank:4d}  {names}  {in_words(pair)}")


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else "…" + name[1 - _NAME_WIDTH :]


def _opened(options):
    from rcnn_helpers.redundancy import open_pictures

    given = _source_ids(options.source_ids) if options.source_ids else None
    return [open_pictures(where, source_ids=given) for where in options.sets]


def _source_ids(path) -> dict[str, str]:
    """Lines of a picture's id and its id at the source."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    wrong = next((number for number, row in enumerate(rows, start=1) if len(row) != 2), None)
    if wrong is not None:
        raise DatasetError(f"row {wrong} of {path} is not PICTURE,ID; two columns are wanted")
    return {picture.strip(): source.strip() for picture, source in rows}


# -- planted copies ------------------------------------------------------------------------------------------


def _planted(options) -> None:
    import numpy as np

    from rcnn_helpers.redundancy import DIMENSION, planted
    from rcnn_helpers.redundancy.gist import gist

    if not options.sets:
        raise SettingsError("name the sets to plant copies of, such as --planted toyvoc:trainval")
    pictures = _joined(_opened(options))

    def describe(images):
        images = list(images)
        return np.concatenate([gist(images), planted.thumbnails(images)], axis=1)

    progress = sys.stderr.isatty()
    originals, altered = planted.describe_altered(
        pictures,
        kinds=tuple(planted.ALTERATIONS),
        describe=describe,
        seed=options.seed,
        progress=progress,
    )
    of_gist, of_pixels = slice(0, DIMENSION), slice(DIMENSION, None)
    searches = {
        "gist": (of_gist, False),
        "gist, also mirrored": (of_gist, True),
        "pixels": (of_pixels, False),
    }
    result = {"pictures": len(pictures), "database": len(pictures) // 2, "seed": options.seed}
    result |= {"thresholds": list(planted.THRESHOLDS), "searches": {}}
    for name, (columns, mirror) in searches.items():
        queries = {kind: descriptors[:, columns] for kind, descriptors in altered.items()}
        found = planted.search_planted(originals[:, columns], queries, mirror=mirror, seed=options.seed)
        result["searches"][name] = [_described(each) for each in found]
        _print_planted(name, found, NEAR)
    _save_section(options, "planted", result)


def _joined(sets):
    from rcnn_helpers.redundancy import PictureSet

    parts = [sum((getattr(each, name) for each in sets), ()) for name in ("ids", "paths", "source_ids")]
    return PictureSet(" and ".join(each.name for each in sets), *parts)


def _described(found) -> dict:
    """One kind of change, as JSON has it: the summary, and lists with a value for each of `THRESHOLDS`."""
    from rcnn_helpers.redundancy.planted import THRESHOLDS

    at = [found.at(threshold) for threshold in THRESHOLDS]
    values = {"kind": found.kind, **found.summary()}
    values |= {name: [each[name] for each in at] for name in ("recall", "precision", "false_alarms")}
    return _rounded(values)


def _rounded(value):
    """Numbers to four places; none for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def _print_planted(name, found, near) -> None:
    first = found[0].summary()
    print(
        f"\n{name}: {first['copies']} copies and {first['strangers']} others of each kind; a copy is what lies "
        f"within {near:g}"
    )
    header = ("median", "99% in", "others", "recall", "precision", "no alarm")
    print(f"  {'':18s}" + "".join(f"{text:>10s}" for text in header))
    for each in found:
        summary, at = each.summary(), each.at(near)
        numbers = [f"{summary[key]:10.3f}" for key in ("median_distance", "distance_99", "stranger_lowest")]
        shares = (at["recall"], at["precision"], summary["recall_no_alarm"])
        print(f"  {each.kind:18s}" + "".join(numbers + [f"{100 * share:9.1f}%" for share in shares]))


# -- how long it takes ---------------------------------------------------------------------------------------


def _measured(options) -> None:
    from rcnn_helpers.redundancy.search import measure_search

    n_queries, n_rows = options.measure
    result = measure_search(n_queries, n_rows, seed=options.seed)
    print(f"{n_queries:,} descriptors against {n_rows:,} random ones of {result['dimension']} numbers, exact")
    print(f"  seconds                          {result['seconds']:10.1f}")
    print(f"  seconds of work, all cores       {result['cpu_seconds']:10.1f}")
    print(f"  memory at its highest            {result['peak_mib']:10.0f} MiB more than before")
    print(f"  the database, in a file          {result['file_gib']:10.2f} GiB")
    print(f"  the table that is never there    {result['table_gib']:10.2f} GiB")
    _save_section(options, "search", result)


# -- what is saved -------------------------------------------------------------------------------------------


def _save_section(options, name: str, result: dict) -> None:
    """Put a result into the file of ``--json``; what other tasks have put there stays."""
    if not options.json:
        return
    from rcnn_helpers.storage import read_json

    kept = read_json(options.json) if Path(options.json).is_file() else {}
    if not isinstance(kept, dict):
        raise SettingsError(f"{options.json} is no result of rcnn duplicates; name another file")
    save_json(options.json, kept | {name: provenance(options) | result})


# -- options -------------------------------------------------------------------------------------------------


def _sizes(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not QUERIESxDATABASE, such as 4952x1000000")
    return int(match[1]), int(match[2])


def _distance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a distance from 0 to 2")
    return value


def add(commands) -> None:
    """Add the parser of this command."""
    summary = "find pictures of one set in another (App. F)"
    parser = add_parser(commands, "duplicates", duplicates, summary)
    parser.add_argument("sets", nargs="*", metavar="SET", help="DIR, DIR:SPLIT or toyvoc:SPLIT")
    parser.add_argument(
        "--threshold",
        type=_distance,
        default=NEAR,
        metavar="T",
        help="distance of descriptors up to which pairs are listed (default: %(default)s)",
    )
    parser.add_argument(
        "--neighbours",
        type=positive,
        default=5,
        metavar="K",
        help="pictures of B looked at for each of A (default: %(default)s)",
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="take all sets as one, and compare its pictures with each other",
    )
    parser.add_argument("--mirror", action="store_true", help="find mirrored copies as well")
    parser.add_argument(
        "--source-ids", metavar="FILE", help="CSV of PICTURE,ID: pictures of one id are one photograph"
    )
    parser.add_argument(
        "--show", type=positive, default=10, metavar="N", help="pairs printed (default: %(default)s)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write pairs.csv, pairs.jpg and index.html there, with the pictures"
    )
    parser.add_argument("--cache", metavar="DIR", help="folder for descriptors that may be used again")
    parser.add_argument("--planted", action="store_true", help="plant altered copies, and count those found")
    parser.add_argument(
        "--measure", type=_sizes, metavar="QxN", help="time Q descriptors against N, such as 4952x1000000"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides everything random (default: 0)")
    parser.add_argument(
        "--json", metavar="FILE", help="write the results there as well; those of other tasks in it stay"
    )
