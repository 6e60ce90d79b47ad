"""The images that a command works on."""

import sys
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.errors import RCNNError, SettingsError


def open_dataset(options, classes=None, split=None):
    """A split of the VOC folder of ``--voc`` or, by default, of ToyVOC; by default that of ``--split``."""
    classes, split = classes or class_list(options), split or options.split
    if options.voc is None:
        from rcnn_helpers.datasets.toyvoc import open_toyvoc

        dataset = open_toyvoc(split)
        return dataset if classes is None else type(dataset)(dataset.root, split, classes=classes)
    from rcnn_helpers.datasets.voc import VOCDataset

    return VOCDataset(options.voc, split, classes=classes)


def readable_pictures(options):
    """Path and image, uint8 [H, W, 3], of each picture named that can be read; of others stderr says why not."""
    from rcnn_helpers.images import read_image

    for path in options.images:
        try:
            image = read_image(path)
        except RCNNError as error:
            print(f"rcnn {options.command}: {error}", file=sys.stderr)
            continue
        yield Path(path), image


def class_list(options) -> tuple[str, ...] | None:
    """The classes of ``--classes A,B``; None without it."""
    names = getattr(options, "classes", None)
    return tuple(name.strip() for name in names.split(",") if name.strip()) if names else None


def require_classes(dataset) -> None:
    """Refuse a class that no annotation of the split names, as a mistyped one."""
    present = {name for image_id in dataset.ids for name in dataset.annotation(image_id).names}
    unknown = [name for name in dataset.classes if name not in present]
    if unknown:
        raise SettingsError(
            f"no object of {', '.join(unknown)} is annotated in split {dataset.split}; "
            f"--classes can be any of {', '.join(sorted(present))}"
        )


def compare_classes(dataset, known) -> None:
    """Refuse images that show no class that a model knows; say which of their classes it does not know."""
    if not (Path(dataset.root) / "Annotations" / f"{dataset.ids[0]}.xml").is_file():
        return  # as of VOC 2012's test images: whoever judges them knows
    shown = {name for image_id in dataset.ids for name in dataset.annotation(image_id).names}
    if not shown & set(known):
        raise SettingsError(
            f"the images of {dataset.root}, split {dataset.split}, show {', '.join(sorted(shown)) or 'nothing'}, "
            f"and the model was trained for {', '.join(known)}; take a model that was trained for these images"
        )
    others = sorted(shown - set(known))
    if others:
        print(f"not judged, as the model was not trained for it: {', '.join(others)}")


def some_images(dataset, n: int | None):
    """`n` images spread evenly over the split, in its order; all of them without `n`."""
    if n is None or n >= len(dataset.ids):
        return dataset
    return dataset.subset([dataset.ids[i * len(dataset.ids) // n] for i in range(n)])


def training_images(dataset, n: int | None, *, seed: int = 0):
    """`n` images to train on: up to three quarters show a chosen class, the rest do not, drawn at random.

    A handful of classes in a random subset would leave few positives; the images without any of them are kept
    because that is where negatives come from.
    """
    if n is None or n >= len(dataset.ids):
        return dataset
    import numpy as np

    wanted = set(dataset.classes)
    shows = [bool(wanted & set(dataset.annotation(image_id).names)) for image_id in dataset.ids]
    order = np.random.default_rng(seed).permutation(len(dataset.ids))
    showing = [i for i in order if shows[i]]
    others = [i for i in order if not shows[i]]
    n_showing = max(min(len(showing), (3 * n + 3) // 4), n - len(others))
    chosen = sorted(showing[:n_showing] + others[: n - n_showing])
    return dataset.subset([dataset.ids[i] for i in chosen])


def cache_of(options, dataset) -> Path:
    """Folder of a data set's proposals and features, so that an interrupted command goes on where it stopped."""
    import hashlib

    root = str(Path(dataset.root).resolve())
    base = Path(options.cache) if options.cache else settings.cache_dir() / "runs"
    return base / f"{Path(root).name}-{hashlib.sha256(root.encode()).hexdigest()[:12]}"
