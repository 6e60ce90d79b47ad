"""ToyVOC on disk: rendered once into the cache, in true PASCAL VOC layout."""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from rcnn_helpers.datasets.toyvoc.auxiliary_toys import AUXILIARY_CATEGORIES
from rcnn_helpers.datasets.toyvoc.scene import Scene, View, render_scene, view_scene
from rcnn_helpers.datasets.toyvoc.toys import CATEGORIES
from rcnn_helpers.datasets.toyvoc.truth import ObjectDetails, segmentation
from rcnn_helpers.datasets.voc import Annotation, VOCDataset, write_annotation, write_image_set, write_mask
from rcnn_helpers.errors import DatasetError, StoreError
from rcnn_helpers.images import write_image
from rcnn_helpers.settings import cache_dir, get_profile
from rcnn_helpers.storage import atomic_folder, atomic_write, read_json, write_json

# Raise it whenever a picture changes: it is part of every seed and of the folder's name.
KIT_VERSION = 2
# Number of each split in the seeds of its pictures. Pictures of different splits never share a seed.
SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2, "auxiliary_train": 3, "auxiliary_val": 4}
TOYVOC_SPLITS = ("train", "val", "trainval", "test")

ABOUT = """{title}

These pictures are SYNTHETIC. They show three-dimensional toys that were put together from simple solids and
rendered by a program (rcnn_helpers.datasets.toyvoc, version {version}, seed {seed}); no photograph is among them.
Annotations and masks were read off the renderer's buffers and are exact; boxes are the tight bounds of what is
visible. Results measured here say nothing about photographs.

Layout: that of PASCAL VOC. Details/ID.json adds, for each object of Annotations/ID.xml in the same order, its
viewpoint, truncation, occlusion, visible parts and visible sides. In the segmentation masks, pixels on the border
of two objects and difficult objects are void (255); everything that belongs to no category is background.

Categories: {categories}
"""


def scene_of(split: str, index: int, *, seed: int = 0, supersample: int = 2) -> Scene:
    """Picture number `index` of a split: it depends on the kit's version, the seed, the split and the number.

    Parameters
    ----------
    split : {"train", "val", "test", "auxiliary_train", "auxiliary_val"}
    index : int
    seed : int
    supersample : int
        Samples to a pixel in each direction.
    """
    return render_scene(_seed_of(split, index, seed), kind=_kind_of(split), supersample=supersample)


def view_of(split: str, index: int, *, seed: int = 0, supersample: int = 2) -> View:
    """The solids behind the pixels of the picture that `scene_of` makes from the same arguments."""
    return view_scene(_seed_of(split, index, seed), kind=_kind_of(split), supersample=supersample)


def _seed_of(split: str, index: int, seed: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([KIT_VERSION, seed, SPLIT_NUMBERS[split], index])


def _kind_of(split: str) -> str:
    return "auxiliary" if split.startswith("auxiliary") else "detection"


def open_toyvoc(
    split: str = "trainval",
    *,
    profile: str | None = None,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    root=None,
    n_jobs: int | None = None,
) -> VOCDataset:
    """Open a split of ToyVOC, rendering it first if this machine does not have it yet.

    Parameters
    ----------
    split : {"train", "val", "trainval", "test"}
    profile : str, optional
        Name of the profile that sets the number of images (see `rcnn_helpers.settings.PROFILES`).
    seed : int
        Another seed gives other pictures.
    counts : mapping of str to int, optional
        Pictures of ``"train"``, ``"val"`` and ``"test"``, instead of the profile's. Fewer pictures of a split are
        the first of more: sets of different size have their pictures in common.
    root : path-like, optional
        Folder in which the data set's own folder is made; the cache by default.
    n_jobs : int, optional
        Worker processes, by default one for each core. The pictures do not depend on it.

    Returns
    -------
    VOCDataset
        With ``classes = CATEGORIES``.
    """
    if split not in TOYVOC_SPLITS:
        raise DatasetError(f"ToyVOC has no split {split!r}; choose one of {', '.join(TOYVOC_SPLITS)}")
    counts = _profile_counts(profile) if counts is None else _checked_counts(counts)
    name = f"toyvoc-v{KIT_VERSION}-seed{seed}-" + "-".join(str(count) for count in counts.values())
    folder = Path(cache_dir() if root is None else root) / name
    if not folder.is_dir():
        ids = {part: [f"{part}_{i:06d}" for i in range(count)] for part, count in counts.items()}
        lists = {**ids, "trainval": ids["train"] + ids["val"]}
        _render_into(
            folder, counts, lists, CATEGORIES, seed=seed, n_jobs=n_jobs, title="ToyVOC", with_masks=True
        )
    return VOCDataset(folder, split, classes=CATEGORIES)


def _profile_counts(profile: str | None) -> dict[str, int]:
    chosen = get_profile(profile)
    return {"train": chosen.train_images, "val": chosen.val_images, "test": chosen.test_images}


def _checked_counts(counts: Mapping[str, int]) -> dict[str, int]:
    parts = ("train", "val", "test")
    if set(counts) != set(parts) or not all(counts[part] >= 1 for part in parts):
        raise DatasetError(
            f"counts of pictures are {dict(counts)}; give a number from 1 on for each of {', '.join(parts)}"
        )
    return {part: int(counts[part]) for part in parts}


def open_auxiliary(
    split: str = "train", *, n_scenes: int, seed: int = 0, root=None, n_jobs: int | None = None
) -> VOCDataset:
    """Open pictures of the auxiliary categories, rendering them first if need be.

    Each picture shows about six to nine toys that hardly overlap, so that labelled crops can be cut from it.

    Parameters
    ----------
    split : {"train", "val"}
    n_scenes : int
        Number of pictures. Fewer pictures are the first of more.
    seed, root, n_jobs
        As for `open_toyvoc`.

    Returns
    -------
    VOCDataset
        With ``classes = AUXILIARY_CATEGORIES``, none of which is a detection category.
    """
    if split not in ("train", "val"):
        raise DatasetError(f"the auxiliary set has no split {split!r}; choose train or val")
    part = f"auxiliary_{split}"
    name = f"toyvoc-auxiliary-v{KIT_VERSION}-seed{seed}-{split}-{n_scenes}"
    folder = Path(cache_dir() if root is None else root) / name
    if not folder.is_dir():
        lists = {split: [f"{part}_{i:06d}" for i in range(n_scenes)]}
        title = "The auxiliary set of ToyVOC"
        _render_into(
            folder,
            {part: n_scenes},
            lists,
            AUXILIARY_CATEGORIES,
            seed=seed,
            n_jobs=n_jobs,
            title=title,
            with_masks=False,
        )
    return VOCDataset(folder, split, classes=AUXILIARY_CATEGORIES)


def read_details(dataset: VOCDataset, image_id: str) -> list[ObjectDetails]:
    """Viewpoint, truncation, occlusion, parts and sides of each object, in the annotation's order.

    Raises
    ------
    DatasetError
        If the data set has no details: it is not ToyVOC.
    """
    path = Path(dataset.root) / "Details" / f"{image_id}.json"
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing: only data sets rendered by open_toyvoc have details of objects"
        )
    wanted = [field.name for field in fields(ObjectDetails)]
    try:
        return [ObjectDetails(**{key: entry[key] for key in wanted}) for entry in read_json(path)["objects"]]
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}); delete the folder {dataset.root} to render it anew"
        ) from error


def to_annotation(scene: Scene, image_id: str) -> Annotation:
    """The scene's truth in VOC's terms."""
    height, width = scene.mask.shape
    return Annotation(
        image_id=image_id,
        height=height,
        width=width,
        boxes=scene.boxes,
        names=scene.names,
        difficult=scene.difficult,
        truncated=scene.truncated,
        occluded=scene.occluded,
        poses=tuple(detail.pose for detail in scene.details),
    )


def _write_scene(folder: Path, split: str, index: int, seed: int, with_masks: bool) -> Annotation:
    """Render one picture and write all its files; the unit of work of a worker process."""
    scene = scene_of(split, index, seed=seed)
    image_id = f"{split}_{index:06d}"
    annotation = to_annotation(scene, image_id)
    write_image(folder / "JPEGImages" / f"{image_id}.jpg", scene.image, quality=scene.quality)
    write_annotation(folder / "Annotations" / f"{image_id}.xml", annotation, folder="ToyVOC")
    details = {"synthetic": True, "kit_version": KIT_VERSION, "seed": seed, "split": split, "index": index}
    details["objects"] = [asdict(detail) for detail in scene.details]
    write_json(folder / "Details" / f"{image_id}.json", details)
    if with_masks:
        numbers = [CATEGORIES.index(name) + 1 for name in scene.names]
        classes, objects = segmentation(scene.mask, numbers, scene.difficult)
        write_mask(folder / "SegmentationClass" / f"{image_id}.png", classes)
        write_mask(folder / "SegmentationObject" / f"{image_id}.png", objects)
    return annotation


def _render_into(folder: Path, counts, lists, categories, *, seed, n_jobs, title, with_masks):
    """Render all pictures of `counts` (split to number) and write the image sets `lists` (name to ids)."""
    from joblib import Parallel, cpu_count, delayed
    from tqdm.auto import tqdm

    workers = cpu_count() if n_jobs is None else n_jobs
    jobs = [(split, index) for split, count in counts.items() for index in range(count)]
    with atomic_folder(folder) as building:
        subfolders = ["JPEGImages", "Annotations", "Details", "ImageSets/Main"]
        subfolders += (
            ["ImageSets/Segmentation", "SegmentationClass", "SegmentationObject"] if with_masks else []
        )
        for name in subfolders:
            os.makedirs(building / name)
        if workers > 1:
            # Compile here once: the workers then load the machine code from numba's cache.
            scene_of(*jobs[0], seed=seed, supersample=1)
        rendered = Parallel(n_jobs=workers, return_as="generator")(
            delayed(_write_scene)(building, split, index, seed, with_masks) for split, index in jobs
        )
        annotations = {
            a.image_id: a for a in tqdm(rendered, total=len(jobs), desc=f"rendering {title}", unit="image")
        }
        for name, ids in lists.items():
            write_image_set(building / "ImageSets" / "Main" / f"{name}.txt", ids)
            if with_masks:
                write_image_set(building / "ImageSets" / "Segmentation" / f"{name}.txt", ids)
            for category in categories:
                lines = "".join(
                    f"{image_id} {_flag(annotations[image_id], category):2d}\n" for image_id in ids
                )
                path = building / "ImageSets" / "Main" / f"{category}_{name}.txt"
                atomic_write(path, lambda file, text=lines: file.write(text.encode()))
        about = ABOUT.format(title=title, version=KIT_VERSION, seed=seed, categories=", ".join(categories))
        atomic_write(building / "README.txt", lambda file: file.write(about.encode()))


def _flag(annotation: Annotation, category: str) -> int:
    """VOC's flag of an image in a class's list: 1 shows it, 0 shows difficult ones alone, -1 does not."""
    difficult = [
        d for name, d in zip(annotation.names, annotation.difficult, strict=True) if name == category
    ]
    if not difficult:
        return -1
    return 0 if all(difficult) else 1
