"""What the regions that excite a unit lie on, in words."""

from rcnn_helpers.boxes import iou
from rcnn_helpers.settings import MATCH_IOU


def object_under(dataset, image_id: str, box) -> tuple[str, float]:
    """Tell on what object a region lies.

    Parameters
    ----------
    dataset : VOCDataset or the like
        One without ``annotation(id)`` knows of no objects.
    image_id : str
    box : four numbers

    Returns
    -------
    str
        Class of the object that overlaps the region most, if their IoU is at least 0.5; else "".
    float
        Their IoU, or 0.
    """
    if not hasattr(dataset, "annotation"):
        return "", 0.0
    annotation = dataset.annotation(image_id)
    overlaps = iou([box], annotation.boxes)[0]
    if not len(overlaps) or overlaps.max() < MATCH_IOU:
        return "", 0.0
    return annotation.names[int(overlaps.argmax())], float(overlaps.max())


def classes_under(dataset, regions) -> str:
    """Say how many of a unit's top regions lie on the class that most of them lie on.

    Parameters
    ----------
    dataset : see `object_under`
    regions : TopRegions
        At least one.
    """
    places = zip(regions.image_ids, regions.boxes, strict=True)
    found = [name for name, _ in (object_under(dataset, *place) for place in places) if name]
    n_images = len(set(regions.image_ids))
    whose = f"Of its top {len(regions)} regions, from {n_images} image{'s' * (n_images > 1)},"
    if not found:
        return f"{whose} none lies on a known object."
    most = max(sorted(set(found)), key=found.count)
    n_most, n_others = found.count(most), len(found) - found.count(most)
    others = f" and {n_others} on other objects" if n_others else ""
    return f"{whose} {n_most} lie{'s' * (n_most == 1)} on {with_article(most)}{others}."


def with_article(name: str) -> str:
    """Put "a" or "an" before the name of a class."""
    return f"an {name}" if name[:1] in "aeiou" else f"a {name}"
