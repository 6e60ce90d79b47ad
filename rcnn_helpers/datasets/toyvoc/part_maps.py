"""Part maps: which part of which toy each pixel of a ToyVOC picture shows, and what its surface is made of.

A picture follows from its seed, so nothing needs to be stored with the data set: the scene is looked at once more,
without lighting it, and the solid behind every pixel is read off. The maps are kept in the cache.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from rcnn_helpers.datasets.toyvoc import materials
from rcnn_helpers.datasets.toyvoc.dataset import KIT_VERSION, view_of
from rcnn_helpers.datasets.toyvoc.primitives import NO_PART
from rcnn_helpers.datasets.toyvoc.scene import View
from rcnn_helpers.datasets.toyvoc.truth import instance_mask
from rcnn_helpers.errors import DatasetError, StoreError
from rcnn_helpers.settings import cache_dir
from rcnn_helpers.storage import atomic_write, read_json

# Raise it whenever the maps of a picture change.
MAPS_VERSION = 1
# Whom the solids belong to that are part of no object.
CLUTTER, BACKDROP = "clutter", "backdrop"
PATTERNS = {
    materials.PLAIN: "plain",
    materials.STRIPES: "stripes",
    materials.DOTS: "dots",
    materials.CHECKS: "checks",
    materials.MOTTLED: "mottled",
    materials.WOOD: "wood",
    materials.PATCHES: "patches",
    materials.PLANKS: "planks",
    materials.BRICKS: "bricks",
    materials.BOOKS: "books",
    materials.CLOUDS: "clouds",
}
# Only the paints "metal" and "glass" of the construction kit are as glossy as this.
METAL_FROM, GLASS_FROM = 0.75, 0.6
# Where a row of the backdrop (see `shading.surface_row`) holds its materials' numbers and the zone of its rug.
_MAIN, _RUG, _ZONE = slice(10, 23), slice(23, 36), slice(36, 41)
_PATTERN, _GLOSS = 6, 11  # columns of `Material.as_row`


@dataclass(frozen=True)
class PartMaps:
    """What each pixel of a picture shows.

    Attributes
    ----------
    parts : uint8 [H, W]
        Place in `part_names`.
    part_names : tuple of str
        ``"owner:part"``: ``"car:wheel"``, ``"dog:ear"``, ``"clutter:ball"``, ``"backdrop:wall"``.
    surfaces : uint8 [H, W]
        Place in `surface_names`.
    surface_names : tuple of str
        ``"metal"``, ``"glass"``, or the printed pattern: ``"stripes"``, ``"wood"``, ``"bricks"``, ``"plain"``, ...
    """

    parts: np.ndarray
    part_names: tuple[str, ...]
    surfaces: np.ndarray
    surface_names: tuple[str, ...]


def has_part_maps(dataset, image_id: str) -> bool:
    """Whether a picture is ToyVOC's, so that its scene can be looked at again."""
    return _details_path(dataset, image_id).is_file()


def part_map(dataset, image_id: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which part of which toy each pixel of a picture shows.

    Parameters
    ----------
    dataset : VOCDataset
        As from `open_toyvoc` or `open_auxiliary`.
    image_id : str

    Returns
    -------
    labels : uint8 [H, W]
    names : tuple of str
        ``names[labels[y, x]]`` is ``"owner:part"``; see `PartMaps`.

    Raises
    ------
    DatasetError
        If the picture is not ToyVOC's, or another version of the construction kit made it.
    """
    maps = part_maps(dataset, image_id)
    return maps.parts, maps.part_names


def part_maps(dataset, image_id: str) -> PartMaps:
    """Parts and surfaces of a picture, from the cache or by looking at its scene again; see `part_map`."""
    split, index, seed = _origin(dataset, image_id)
    path = _cached(split, index, seed)
    maps = _read(path)
    if maps is None:
        maps = maps_of_view(view_of(split, index, seed=seed))
        _write(path, maps)
    return maps


def maps_of_view(view: View) -> PartMaps:
    """Read parts and surfaces off what the camera sees.

    A pixel shows what most of its samples show; of two equally frequent ones the upper left one counts.

    Raises
    ------
    DatasetError
        If more than 255 different parts are to be seen.
    """
    part_of_solid = [
        f"{placement.name or CLUTTER}:{part}"
        for placement in view.placements
        for part in placement.model.part_names
    ]
    surface_of_solid = [_surface_name(row) for row in view.solids.materials]
    part_of_plane, surface_of_plane = _backdrop_names(view.setting.surfaces)

    seen = view.cast.parts.copy()  # the number of a solid, or behind those the number of ground, rug or wall
    seen[seen == NO_PART] = len(view.solids.kinds) + _backdrop(view)
    parts, part_names = _majority(seen, part_of_solid + part_of_plane, view.supersample)
    surfaces, surface_names = _majority(seen, surface_of_solid + surface_of_plane, view.supersample)
    return PartMaps(parts, part_names, surfaces, surface_names)


def _majority(seen: np.ndarray, names: list[str], supersample: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Label every pixel with a name [H, W], given what each sample shows and the name of each such thing."""
    all_names, label = np.unique(names, return_inverse=True)
    most = instance_mask(seen, label.astype(np.int64), supersample) - 1
    present, labels = np.unique(most, return_inverse=True)
    if len(present) > 255:
        raise DatasetError(f"the picture shows {len(present)} different parts; a map holds at most 255")
    return labels.reshape(most.shape).astype(np.uint8), tuple(str(all_names[i]) for i in present)


def _surface_name(row) -> str:
    """What a material is called that is given by the numbers of `Material.as_row`."""
    if row[_GLOSS] >= METAL_FROM:
        return "metal"
    return "glass" if row[_GLOSS] >= GLASS_FROM else PATTERNS[int(row[_PATTERN])]


def _backdrop_names(surfaces) -> tuple[list[str], list[str]]:
    """Parts and surfaces of ground, rug and walls, in the order in which `_backdrop` numbers them."""
    parts = [f"{BACKDROP}:{name}" for name in ("ground", "rug")] + [f"{BACKDROP}:wall"] * (len(surfaces) - 1)
    rows = [surfaces[0, _MAIN], surfaces[0, _RUG], *surfaces[1:, _MAIN]]
    return parts, [_surface_name(row) for row in rows]


def _backdrop(view: View) -> np.ndarray:
    """Which of ground (0), rug (1) and walls (2, 3, ...) the samples show that show no toy, int64 [M]."""
    height, width = view.cast.parts.shape
    eye, axes, surfaces = view.setting.camera.eye, view.setting.camera.axes, view.setting.surfaces
    y, x = np.nonzero(view.cast.parts == NO_PART)
    across, down = (x + 0.5 - 0.5 * width) / view.focal, (y + 0.5 - 0.5 * height) / view.focal
    rays = np.stack([across, down, np.ones(len(x))], axis=1) @ axes  # [M, 3]

    facing = surfaces[:, :3] @ rays.T  # [planes, M]
    distance = surfaces[:, 3, None] - surfaces[:, :3] @ eye[:, None]
    depth = np.divide(distance, facing, out=np.full_like(facing, np.inf), where=facing < -1e-9)
    depth[depth <= 0] = np.inf
    nearest = depth.argmin(axis=0)

    # A ray that meets no plane counts as ground, but passes beyond any rug.
    on_ground = (nearest == 0) & np.isfinite(depth[0])
    points = eye + np.where(on_ground, depth[0], 0.0)[:, None] * rays
    u_middle, v_middle, u_radius, v_radius, has_rug = surfaces[0, _ZONE]
    u = (points @ surfaces[0, 4:7] - u_middle) / u_radius
    v = (points @ surfaces[0, 7:10] - v_middle) / v_radius
    on_rug = on_ground & (u**2 + v**2 < 1) & (has_rug > 0)
    return np.where(nearest > 0, nearest + 1, on_rug)


def _details_path(dataset, image_id: str) -> Path:
    return Path(dataset.root) / "Details" / f"{image_id}.json"


def _origin(dataset, image_id: str) -> tuple[str, int, int]:
    """Split, number and seed of a picture, which tell its scene."""
    path = _details_path(dataset, image_id)
    if not path.is_file():
        raise DatasetError(f"{path} is missing: only pictures rendered by open_toyvoc have part maps")
    about = read_json(path)
    try:
        version, origin = about["kit_version"], (str(about["split"]), int(about["index"]), int(about["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}); delete the folder {dataset.root} to render it anew"
        ) from error
    if version != KIT_VERSION:
        raise DatasetError(
            f"{image_id} in {dataset.root} was made by version {version} of the construction kit, but this is "
            f"version {KIT_VERSION}: its scenes differ; render the data set anew with open_toyvoc"
        )
    return origin


def _cached(split: str, index: int, seed: int) -> Path:
    return cache_dir() / f"part-maps-v{KIT_VERSION}-{MAPS_VERSION}-seed{seed}" / f"{split}_{index:06d}.png"


def _write(path: Path, maps: PartMaps) -> None:
    """Keep maps as a PNG: parts in red, surfaces in green, their names as its text."""
    text = PngImagePlugin.PngInfo()
    text.add_text("names", json.dumps({"parts": maps.part_names, "surfaces": maps.surface_names}))
    pixels = np.stack([maps.parts, maps.surfaces, np.zeros_like(maps.parts)], axis=-1)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=text)
    atomic_write(path, lambda file: file.write(encoded.getvalue()))


def _read(path: Path) -> PartMaps | None:
    """Maps that were kept; None where there are none or the file is damaged, which is then written anew."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = np.array(image)
            names = json.loads(image.text["names"])
        parts, surfaces = pixels[..., 0], pixels[..., 1]
        part_names, surface_names = tuple(names["parts"]), tuple(names["surfaces"])
        if parts.max() >= len(part_names) or surfaces.max() >= len(surface_names):
            return None
    except (OSError, UnidentifiedImageError, ValueError, KeyError, IndexError, SyntaxError, AttributeError):
        return None
    return PartMaps(np.ascontiguousarray(parts), part_names, np.ascontiguousarray(surfaces), surface_names)
