"""The pages behind the numbers: one for each detector, class and type, with pictures of its first examples."""

import re
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from rcnn_helpers.diagnosis.examples import Examples, picture_of
from rcnn_helpers.diagnosis.false_positives import FP_TYPES, counts
from rcnn_helpers.diagnosis.looks import LOOKS
from rcnn_helpers.diagnosis.report.elements import element, page

KINDS = (*FP_TYPES, "missed")
_LONGEST = 300  # pixels of a picture's longer side
_QUALITY = 80  # of the pictures, as JPEG


def write_pages(folder: Path, dataset, diagnoses, *, attributes, top: int) -> dict[tuple[str, str, str], str]:
    """Write all pages and their pictures below `folder`.

    Returns
    -------
    dict
        From (detector, class, kind) to the page's address relative to `folder`; a key of each page there is.
    """
    addresses = _addresses(diagnoses)
    gallery = _Gallery(folder, dataset)
    for detector, diagnosis in diagnoses.items():
        examples = Examples(diagnosis)
        surprising = _surprising_misses(diagnosis, attributes)
        totals = counts(diagnosis)
        for name in diagnosis.classes:
            for kind in KINDS:
                key = (detector, name, kind)
                if key not in addresses:
                    continue
                cards = []
                if kind == "missed":
                    for row in surprising[name][:top]:
                        cards.append(_missed_card(gallery, examples.of_object(row), row, attributes))
                else:
                    for rank, row in enumerate(diagnosis.rows(name, kind, limit=top), start=1):
                        score = float(diagnosis.detections.scores[row])
                        cards.append(_card(gallery, examples.of_detection(row), f"{rank}. score {score:.2f}"))
                text = _page(key, totals.loc[name], cards, addresses)
                path = folder / addresses[key]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    return addresses


def slugs(names) -> dict[str, str]:
    """A name for files for each of `names`: plain letters and digits, no two alike."""
    found = {}
    for name in names:
        base = re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")[:40] or "x"
        slug, number = base, 2
        while slug in found.values():
            slug, number = f"{base}-{number}", number + 1
        found[name] = slug
    return found


def _addresses(diagnoses):
    """Addresses of the pages of all counts that are not zero."""
    found = {}
    for detector, folder in slugs(diagnoses).items():
        totals = counts(diagnoses[detector])
        for name, slug in slugs(diagnoses[detector].classes).items():
            for kind in KINDS:
                if totals.loc[name, kind]:
                    found[detector, name, kind] = f"{folder}/{slug}-{kind.lower()}.html"
    return found


def _surprising_misses(diagnosis, attributes):
    """Rows of the missed objects of each class, the most surprising first."""
    if attributes is None:
        return {name: diagnosis.missed(name).tolist() for name in diagnosis.classes}
    from rcnn_helpers.diagnosis.sensitivity import missed_objects

    frame = missed_objects(diagnosis, attributes)
    frame = frame[frame["detection"] < 0]  # those found too late are on no list of what is missed
    return {name: frame.index[frame["class"] == name].tolist() for name in diagnosis.classes}


class _Gallery:
    """Writes pictures; keeps the images that were read last, as examples come back to the same ones."""

    def __init__(self, folder, dataset, size=64):
        self._folder, self._dataset, self._size = folder / "pictures", dataset, size
        self._images, self._written = OrderedDict(), 0
        self._folder.mkdir()

    def add(self, example) -> tuple[str, int, int]:
        """Address of the example's picture relative to a page, its width and its height."""
        picture = example.crop(self._image(example.image_id), longest=_LONGEST)
        self._written += 1
        path = self._folder / f"{self._written:05d}.jpg"
        Image.fromarray(picture).save(path, "JPEG", quality=_QUALITY)
        return f"../pictures/{path.name}", picture.shape[1], picture.shape[0]

    def _image(self, image_id):
        if image_id not in self._images:
            self._images[image_id] = picture_of(self._dataset, image_id)
        self._images.move_to_end(image_id)
        while len(self._images) > self._size:
            self._images.popitem(last=False)
        return self._images[image_id]


def _card(gallery, example, heading, more=""):
    address, width, height = gallery.add(example)
    alt = f"Image {example.image_id}, boxes: {'; '.join(example.labels)}. {example.words}"
    return element(
        "li",
        element("img", src=address, alt=alt, width=width, height=height, loading="lazy"),
        element("p", element("b", heading), f", image {example.image_id}"),
        element("p", example.words, more),
    )


def _missed_card(gallery, example, row, attributes):
    x1, y1, x2, y2 = example.boxes[0]
    heading = f"{x2 - x1:.0f} x {y2 - y1:.0f} pixels"
    told = "" if attributes is None else _told(attributes.iloc[row])
    return _card(gallery, example, heading, f" {told}" if told else "")


def _told(attributes):
    """What is known about an object that could explain why it was missed, as a sentence."""
    levels = {"N": "not occluded", "L": "a little occluded", "M": "half occluded", "H": "heavily occluded"}
    known = [levels[attributes["occlusion"]]] if attributes["occlusion"] in levels else []
    known += ["truncated"] if attributes["truncated"] else []
    known += [str(attributes["pose"]).lower()] if attributes["pose"] not in (None, "Unspecified") else []
    return f"The object: {', '.join(known)}." if known else ""


def _page(key, totals, cards, addresses):
    detector, name, kind = key
    what = "objects never found" if kind == "missed" else f"false positives of type {kind}"
    order = "the most surprising first" if kind == "missed" else "best score first"
    shown = f"{len(cards)} of {totals[kind]:,}" if len(cards) < totals[kind] else f"all {totals[kind]:,}"
    return page(
        f"{name}: {what}, {detector}",
        element(
            "p", f"{LOOKS[kind].word.capitalize()}. Shown: {shown}, {order}. ", _HOW_TO_READ[kind == "missed"]
        ),
        _other_types(key, totals, addresses),
        _neighbours(key, addresses),
        element("ol", *cards, class_="cards"),
        style="../style.css",
    )


_HOW_TO_READ = {
    False: "The dashed box is the detection, the dotted one the object that explains it.",
    True: "The dotted box is the object, the other one the detection of its class that comes nearest.",
}


def _other_types(key, totals, addresses):
    detector, name, kind = key
    links = [element("a", "All results", href="../index.html")]
    for other in KINDS:
        text = f"{other} ({totals[other]:,})"
        if other == kind:
            links.append(element("a", text, aria_current="page"))
        elif (detector, name, other) in addresses:
            links.append(element("a", text, href=_beside(addresses[detector, name, other])))
    return element("nav", *links, aria_label="types")


def _neighbours(key, addresses):
    """The same kind of another class, and of another detector."""
    detector, name, kind = key
    links = []
    for other_detector, other_name, other_kind in addresses:
        if other_kind == kind and (other_detector == detector) != (other_name == name):
            text = other_name if other_detector == detector else other_detector
            address = addresses[other_detector, other_name, other_kind]
            links.append(element("a", text, href=f"../{address}"))
    return element("nav", "The same for ", *links, aria_label="classes and detectors") if links else ""


def _beside(address):
    return address.rsplit("/", 1)[1]
