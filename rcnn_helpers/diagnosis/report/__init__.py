"""A diagnosis as a folder of web pages, to be read without a network, a server or a script.

`index.html` has the numbers and the figures of all detectors. Each number of false positives or missed objects
leads to a page that shows them, best-scored first, with box, truth and reason.
"""

import shutil
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from rcnn_helpers.diagnosis.report.examples_pages import write_pages
from rcnn_helpers.diagnosis.report.index_page import Material, write_index
from rcnn_helpers.errors import DisplayError, StoreError
from rcnn_helpers.plots import use_style
from rcnn_helpers.storage import atomic_folder, write_json

# A folder with this file is a report, and may be replaced by another.
MARK = "diagnosis_report.json"


def write_report(
    folder,
    dataset,
    diagnoses: Mapping,
    *,
    tides: Mapping | None = None,
    sensitivities: Mapping | None = None,
    attributes=None,
    top: int = 12,
) -> Path:
    """Write the report; the folder appears complete or not at all, and replaces an earlier report.

    Parameters
    ----------
    folder : path-like
    dataset : VOCDataset
        Whose images are shown. Where it has none, boxes are drawn on a grey canvas of the annotated size.
    diagnoses : mapping of str to Diagnosis
        Detectors by name.
    tides : mapping of str to TideResult, optional
    sensitivities : mapping of str to pandas frame, optional
        From `rcnn_helpers.diagnosis.sensitivity.sensitivity`.
    attributes : pandas frame, optional
        From `rcnn_helpers.diagnosis.attributes.object_attributes`; missed objects are then ordered by how
        surprising their attributes make it, and their attributes are told.
    top : int
        Examples on each page.

    Returns
    -------
    Path
        Of ``index.html``.

    Raises
    ------
    DisplayError
        If there is no diagnosis, `top` is below 1, or `tides` or `sensitivities` name other detectors.
    StoreError
        If `folder` exists and is not an earlier report, or cannot be written.
    """
    if not diagnoses or top < 1:
        raise DisplayError(f"a report needs at least one detector and one example a page; top is {top}")
    for extra in (tides, sensitivities):
        unknown = [name for name in extra or {} if name not in diagnoses]
        if unknown:
            raise DisplayError(f"{unknown[0]!r} is not among the diagnoses {', '.join(map(repr, diagnoses))}")
    from matplotlib import rc_context

    folder = Path(folder)
    check_replaceable(folder)
    with atomic_folder(folder) as fresh:
        style = resources.files("rcnn_helpers.diagnosis.report") / "style.css"
        (fresh / "style.css").write_bytes(style.read_bytes())
        write_json(
            fresh / MARK, {"what": "report of a detection error diagnosis", "detectors": list(diagnoses)}
        )
        links = write_pages(fresh, dataset, diagnoses, attributes=attributes, top=top)
        with rc_context():
            use_style()
            write_index(fresh, Material(dataset, diagnoses, tides or {}, sensitivities or {}, links))
        earlier = _move_aside(folder)
    if earlier is not None:
        shutil.rmtree(earlier, ignore_errors=True)
    return folder / "index.html"


def check_replaceable(folder) -> None:
    """Refuse a folder that holds anything but an earlier report, by a StoreError."""
    folder = Path(folder)
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / MARK).is_file()):
        return
    if folder.exists():
        raise StoreError(
            f"{folder} exists and is not an earlier report; name a folder that does not exist yet"
        )


def _move_aside(folder):
    """Where an earlier report has gone, so that the fresh one can take its place."""
    if not folder.exists():
        return None
    aside = folder.with_name(f".{folder.name[:40]}.{uuid.uuid4().hex}.old")
    return folder.rename(aside)
