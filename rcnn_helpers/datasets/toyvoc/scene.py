"""A scene: which toys stand where, camera, light and backdrop; and how it becomes a picture with its truth."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from rcnn_helpers.datasets.toyvoc import auxiliary_toys, clutter, materials, primitives, shading, toys, truth
from rcnn_helpers.datasets.toyvoc.kit import Model, Toy, rotation
from rcnn_helpers.datasets.toyvoc.materials import Material, any_colour, any_material, hsv, shade_of
from rcnn_helpers.datasets.toyvoc.primitives import FAR, NO_PART
from rcnn_helpers.datasets.toyvoc.shading import Lens, Light, surface_row
from rcnn_helpers.datasets.toyvoc.truth import ObjectDetails

# Size of a picture (width, height) and how often it occurs.
FORMATS = (((400, 300), 0.7), ((300, 400), 0.1), ((400, 267), 0.12), ((360, 360), 0.08))
NEAREST = 0.5  # closest depth of any corner of a toy
SHADOW_SAMPLES = 560
CONTACT_SAMPLES = 128
# An object is left out of the scene if less of it is to be seen than this: share, pixels.
LEAST_VISIBLE, LEAST_PIXELS, LEAST_SIDE = 0.1, 90, 12


@dataclass(frozen=True)
class Camera:
    """Pinhole camera: position, rows (right, down, forward), and focal length in picture widths."""

    eye: np.ndarray
    axes: np.ndarray
    focal: float


@dataclass(frozen=True)
class Placement:
    """A toy in the scene. `name` is None for clutter; `turn` is its yaw in degrees, `size` its longest side."""

    model: Model
    name: str | None
    position: np.ndarray
    turn: float
    size: float


@dataclass(frozen=True)
class Setting:
    """Everything of a scene but its toys. The first of the `surfaces` is the ground (see `surface_row`)."""

    camera: Camera
    light: Light
    lens: Lens
    surfaces: np.ndarray


@dataclass(frozen=True)
class Scene:
    """A rendered picture with its exact truth.

    Attributes
    ----------
    image : uint8 [H, W, 3]
    mask : int32 [H, W]
        k + 1 where object k is seen, 0 elsewhere.
    boxes : float32 [N, 4]
        Tight bounds of what is visible of each object.
    details : tuple of N ObjectDetails
    quality : int
        Quality of the JPEG this picture is meant to be stored with.
    """

    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    details: tuple[ObjectDetails, ...]
    quality: int

    @property
    def names(self) -> tuple[str, ...]:
        """Category of each object."""
        return tuple(detail.name for detail in self.details)

    @property
    def truncated(self) -> np.ndarray:
        """Whether a part of the object lies outside the picture, bool [N]."""
        return np.array([detail.truncation >= truth.TRUNCATED_FROM for detail in self.details], dtype=bool)

    @property
    def occluded(self) -> np.ndarray:
        """Whether something hides a part of the object, bool [N]."""
        return np.array([detail.occlusion_level != "N" for detail in self.details], dtype=bool)

    @property
    def difficult(self) -> np.ndarray:
        """Whether an object is tiny or hardly to be seen, bool [N]."""
        thin = (self.boxes[:, 2:] - self.boxes[:, :2]).min(axis=1, initial=np.inf) < truth.DIFFICULT_SIDE
        share = np.array([(1 - d.occlusion) * (1 - d.truncation) for d in self.details])
        return thin | (share < truth.DIFFICULT_VISIBLE)


@dataclass(frozen=True)
class Solids:
    """All solids of a scene in world coordinates, as arrays over the P solids or the N objects."""

    kinds: np.ndarray
    centres: np.ndarray
    rotations: np.ndarray
    radii: np.ndarray
    shapes: np.ndarray
    owners: np.ndarray
    materials: np.ndarray
    frames: np.ndarray  # [N, 3, 4], world to toy, in lengths of the toy
    turns: np.ndarray  # [N, 3, 3], world to toy, rotation alone
    count: int  # N

    @property
    def geometry(self):
        """The arguments that most functions of `primitives` share."""
        return self.kinds, self.centres, self.rotations, self.radii, self.shapes


def assemble(placements) -> Solids:
    """Put the solids of all placements into the world."""
    parts = {key: [] for key in ("kinds", "centres", "rotations", "radii", "shapes", "owners", "materials")}
    frames, turns = [], []
    for owner, placement in enumerate(placements):
        model, size, turn = placement.model, placement.size, rotation(yaw=placement.turn)
        parts["kinds"].append(model.kinds)
        parts["centres"].append(model.centres @ turn.T * size + placement.position)
        parts["rotations"].append(model.rotations @ turn.T)
        parts["radii"].append(model.radii * size)
        parts["shapes"].append(model.shapes * (1, 1, 1, size))
        parts["owners"].append(np.full(len(model.kinds), owner))
        parts["materials"].append(np.array([material.as_row() for material in model.materials]))
        to_toy = turn.T / size
        frames.append(np.column_stack([to_toy, -to_toy @ placement.position]))
        turns.append(turn.T)
    joined = {key: np.ascontiguousarray(np.concatenate(values)) for key, values in parts.items()}
    return Solids(**joined, frames=np.array(frames), turns=np.ascontiguousarray(turns), count=len(placements))


def look_at(eye, target, *, roll=0.0) -> np.ndarray:
    """Rows right, down and forward of a camera at `eye` that looks at `target`, rolled by `roll` degrees."""
    forward = np.asarray(target, dtype=np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    s, c = np.sin(np.radians(roll)), np.cos(np.radians(roll))
    return np.array([c * right + s * down, c * down - s * right, forward])


def _windows(solids: Solids, eye, axes, focal, orthographic, width, height) -> np.ndarray:
    """Columns and rows that each solid can touch, int64 [P, 4]."""
    seen = (primitives.corners(*solids.geometry) - eye) @ axes.T
    scale = focal if orthographic else focal / np.maximum(seen[..., 2], 0.05)
    u = seen[..., 0] * scale + 0.5 * width
    v = seen[..., 1] * scale + 0.5 * height
    low = np.floor(np.column_stack([u.min(1), v.min(1)]) - 0.5)
    high = np.ceil(np.column_stack([u.max(1), v.max(1)]) + 0.5)
    return np.clip(np.column_stack([low, high]), -1e6, 1e6).astype(np.int64)


@dataclass(frozen=True)
class Cast:
    """What `primitives.cast` found: buffers and areas in samples."""

    depth: np.ndarray
    parts: np.ndarray
    object_area: np.ndarray
    frame_area: np.ndarray
    part_area: np.ndarray


def _cast(solids: Solids, eye, axes, focal, orthographic, width, height, *, margin=0) -> Cast:
    depth = np.full((height, width), FAR)
    parts = np.full((height, width), NO_PART, dtype=np.int32)
    seen = np.full((height + 2 * margin * height, width + 2 * margin * width), -1, dtype=np.int32)
    object_area, frame_area = np.zeros((2, solids.count), dtype=np.int64)
    part_area = np.zeros(len(solids.kinds), dtype=np.int64)
    windows = _windows(solids, eye, axes, focal, orthographic, width, height)
    primitives.cast(
        *solids.geometry, solids.owners, windows, eye, axes, focal, orthographic,
        depth, parts, seen, object_area, frame_area, part_area,
    )  # fmt: skip
    return Cast(depth, parts, object_area, frame_area, part_area)


def _cast_view(solids: Solids, camera: Camera, width: int, height: int, supersample: int) -> Cast:
    focal = camera.focal * width * supersample
    return _cast(
        solids, camera.eye, camera.axes, focal, False, width * supersample, height * supersample, margin=1
    )


def _shadow_map(solids: Solids, direction):
    """Depths seen from the light: buffer, position, axes and samples to the unit of length."""
    points = primitives.corners(*solids.geometry).reshape(-1, 3)
    centre = (points.min(0) + points.max(0)) / 2
    axes = look_at(centre + direction, centre)
    spread = (points - centre) @ axes.T
    reach = np.abs(spread).max(0) + 0.05
    eye = centre - (reach[2] + 1.0) * axes[2]
    focal = 0.5 * SHADOW_SAMPLES / max(reach[0], reach[1])
    size = np.maximum(8, np.ceil(2 * reach[:2] * focal)).astype(int)
    cast = _cast(solids, eye, axes, focal, True, int(size[0]), int(size[1]))
    return cast.depth, eye, axes, focal


def _contact_map(solids: Solids):
    """Darkening of ambient light on the ground around and below things: map, origin, length of a cell."""
    points = primitives.corners(*solids.geometry).reshape(-1, 3)
    low, high = points.min(0) - 0.4, points.max(0) + 0.4
    focal = CONTACT_SAMPLES / max(high[0] - low[0], high[1] - low[1])
    # Looking up from below the ground: rows are right, "down" (here +y) and forward (here +z).
    axes = np.eye(3)
    eye = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, -1.0])
    width, height = (max(8, int(np.ceil((high[k] - low[k]) * focal))) for k in (0, 1))
    clearance = _cast(solids, eye, axes, focal, True, width, height).depth - 1.0
    hidden = np.exp(-np.clip(clearance, 0.0, 20.0) / 0.3).astype(np.float32)
    near = cv2.GaussianBlur(hidden, (0, 0), max(0.6, 0.05 * focal))
    wide = cv2.GaussianBlur(hidden, (0, 0), max(0.8, 0.16 * focal))
    origin = eye[:2] - 0.5 * np.array([width, height]) / focal
    return np.minimum(0.85, 0.5 * near + 0.4 * wide), origin, 1.0 / focal


def _details(placements, solids: Solids, camera: Camera, cast: Cast, focal, pixels) -> list[ObjectDetails]:
    part_count = np.zeros(len(solids.kinds), dtype=np.int64)
    side_count = np.zeros((solids.count, 6), dtype=np.int64)
    solid_to_toy = solids.turns[solids.owners] @ solids.rotations.transpose(0, 2, 1)
    truth.count_visible(
        cast.depth, cast.parts, *solids.geometry, solids.owners, solid_to_toy, camera.eye, camera.axes, focal,
        part_count, side_count,
    )  # fmt: skip
    visible = np.bincount(solids.owners, part_count, minlength=solids.count)
    found = []
    for k, placement in enumerate(placements):
        if placement.name is None:
            continue
        middle = placement.position + (0, 0, placement.size * placement.model.half_size[2])
        x, y, z = rotation(yaw=placement.turn).T @ (camera.eye - middle)
        azimuth = float(np.degrees(np.arctan2(y, x)) % 360.0)
        share = {}
        names = np.array(placement.model.part_names)
        own = np.flatnonzero(solids.owners == k)
        for name in dict.fromkeys(placement.model.part_names):
            chosen = own[names == name]
            share[name] = round(float(part_count[chosen].sum() / max(1, cast.part_area[chosen].sum())), 4)
        occlusion = float(1.0 - visible[k] / max(1, cast.frame_area[k]))
        sides = side_count[k] / max(1, side_count[k].sum())
        found.append(
            ObjectDetails(
                name=placement.name,
                azimuth=round(azimuth, 2),
                elevation=round(float(np.degrees(np.arctan2(z, np.hypot(x, y)))), 2),
                pose="Unspecified" if placement.model.symmetric else truth.pose_name(azimuth),
                truncation=round(float(1.0 - cast.frame_area[k] / max(1, cast.object_area[k])), 4),
                occlusion=round(occlusion, 4),
                occlusion_level=truth.occlusion_level(occlusion),
                visible_pixels=int(pixels[k]),
                parts=share,
                sides={side: round(float(s), 4) for side, s in zip(truth.SIDES, sides, strict=True)},
            )
        )
    return found


@dataclass(frozen=True)
class View:
    """What the camera sees of toys in a setting, before any light falls on them.

    Attributes
    ----------
    placements : list of Placement
        Objects first, then clutter.
    setting : Setting
    solids : Solids
    cast : Cast
        Depth and solid of every sample, [H s, W s].
    supersample : int
        Samples s to a pixel in each direction.
    mask : int32 [H, W]
        k + 1 where object k is seen, 0 elsewhere.
    boxes : int64 [N, 4]
        Tight bounds of the objects.
    pixels : int64 [N]
        Pixels of each object's mask.
    """

    placements: list[Placement]
    setting: Setting
    solids: Solids
    cast: Cast
    supersample: int
    mask: np.ndarray
    boxes: np.ndarray
    pixels: np.ndarray

    @property
    def focal(self) -> float:
        """Focal length in samples."""
        return self.setting.camera.focal * self.cast.parts.shape[1]


def view(placements, setting: Setting, *, width: int, height: int, supersample: int = 2, prune=False) -> View:
    """Look at toys in a setting; the parameters are those of `draw`."""
    placements = sorted(placements, key=lambda placement: placement.name is None)
    for last in (not prune, True):
        solids = assemble(placements)
        cast = _cast_view(solids, setting.camera, width, height, supersample)
        n_objects = sum(placement.name is not None for placement in placements)
        mask = truth.instance_mask(cast.parts, solids.owners, supersample)
        mask[mask > n_objects] = 0
        boxes, pixels = truth.mask_boxes(mask, n_objects)
        if last:
            break
        side = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=10**6)
        share = pixels * supersample**2 / np.maximum(1, cast.object_area[:n_objects])
        keep = (share >= LEAST_VISIBLE) & (pixels >= LEAST_PIXELS) & (side >= LEAST_SIDE)
        if keep.all():
            break
        placements = [p for k, p in enumerate(placements) if k >= n_objects or keep[k]]
    return View(placements, setting, solids, cast, supersample, mask, boxes, pixels)


def draw(
    placements, setting: Setting, *, width: int, height: int, supersample: int = 2, seed=0, prune=False
) -> Scene:
    """Render toys in a setting and read the truth off the buffers.

    Parameters
    ----------
    placements : sequence of Placement
        Objects (those with a name) and clutter, in any order; objects keep their order in the result.
    setting : Setting
    width, height : int
        Size of the picture in pixels.
    supersample : int
        Samples to a pixel in each direction.
    seed : int or numpy.random.SeedSequence
        Of the sensor's noise and the offsets of printed patterns.
    prune : bool
        Leave out objects of which next to nothing is to be seen.
    """
    seen = view(placements, setting, width=width, height=height, supersample=supersample, prune=prune)
    return _develop(seen, np.random.default_rng(seed))


def _develop(seen: View, rng) -> Scene:
    """Light a view and take the photograph."""
    solids, cast, setting, focal = seen.solids, seen.cast, seen.setting, seen.focal
    camera, light = setting.camera, setting.light
    details = _details(seen.placements, solids, camera, cast, focal, seen.pixels)
    linear = np.empty((*cast.parts.shape, 3), dtype=np.float32)
    contact, contact_origin, contact_cell = _contact_map(solids)
    shading.shade(
        cast.depth, cast.parts, *solids.geometry, solids.owners, solids.materials, solids.frames,
        rng.uniform(0, 30, solids.count), setting.surfaces, camera.eye, camera.axes, focal,
        light.direction, light.key, light.sky, light.bounce, light.softness, light.haze, light.haze_colour,
        *_shadow_map(solids, light.direction), contact, contact_origin, contact_cell, shading.LATTICE, linear,
    )  # fmt: skip
    image = shading.develop(linear, cast.depth, setting.lens, seen.supersample, rng)
    boxes = seen.boxes.astype(np.float32).reshape(-1, 4)
    return Scene(image, seen.mask, boxes, tuple(details), setting.lens.quality)


# Chance ----------------------------------------------------------------------------------------------------


def _muted(rng, colour) -> tuple[float, float, float]:
    """A colour of walls and floors: the given one, greyed."""
    grey, share = float(np.mean(colour)), rng.uniform(0.1, 0.7)
    return tuple(float(c * (1 - share) + grey * share) for c in colour)


def _backdrop_material(rng, patterns, weights) -> Material:
    colour = _muted(rng, any_colour(rng))
    second = _muted(rng, any_colour(rng)) if rng.random() < 0.5 else shade_of(colour, rng.uniform(0.4, 0.85))
    pattern = int(rng.choice(patterns, p=weights))
    axis = tuple(float(v) for v in np.eye(3)[rng.integers(2)])
    scale = float(np.exp(rng.uniform(np.log(0.8), np.log(4.5))))
    if pattern == materials.WOOD or (pattern == materials.PLANKS and rng.random() < 0.7):
        colour = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.65), rng.uniform(0.35, 0.85))
        second = shade_of(colour, rng.uniform(0.4, 0.7))
    if pattern == materials.BRICKS and rng.random() < 0.6:
        colour = hsv(rng.uniform(0.0, 0.08), rng.uniform(0.3, 0.65), rng.uniform(0.4, 0.75))
        second = hsv(0.1, 0.08, rng.uniform(0.6, 0.85))
    gloss = float(rng.choice([0.0, 0.03, 0.15], p=[0.5, 0.35, 0.15]))
    return Material(colour, second, pattern, scale, axis, gloss, float(rng.uniform(0.05, 0.4)))


def _ground(rng) -> Material:
    m = materials
    patterns = (m.PLAIN, m.MOTTLED, m.CHECKS, m.PLANKS, m.STRIPES, m.CLOUDS, m.DOTS, m.PATCHES, m.WOOD)
    return _backdrop_material(rng, patterns, (0.1, 0.16, 0.13, 0.2, 0.08, 0.13, 0.07, 0.06, 0.07))


def _wall(rng) -> Material:
    m = materials
    patterns = (m.PLAIN, m.STRIPES, m.BRICKS, m.BOOKS, m.PLANKS, m.CLOUDS, m.DOTS, m.CHECKS, m.MOTTLED)
    return _backdrop_material(rng, patterns, (0.13, 0.14, 0.12, 0.19, 0.08, 0.13, 0.09, 0.04, 0.08))


def _temperature(rng, warm) -> np.ndarray:
    """Colour of a light: orange for `warm` = 1, blue for -1."""
    warm = warm + rng.normal(0, 0.15)
    return np.clip(np.array([1 + 0.28 * warm, 1 + 0.03 * warm, 1 - 0.34 * warm]), 0.35, 1.5)


def _random_light(rng) -> Light:
    mood = rng.choice(["sun", "overcast", "evening", "dusk", "studio"], p=[0.34, 0.2, 0.18, 0.1, 0.18])
    height = np.radians(rng.uniform(28, 75))
    # Mostly from behind the camera or the side, now and then against it.
    around = np.radians(rng.uniform(-100, 100) if rng.random() < 0.8 else rng.uniform(100, 260))
    direction = np.array([np.sin(around) * np.cos(height), -np.cos(around) * np.cos(height), np.sin(height)])
    strength, warmth, sky_strength, sky_warmth, softness = {
        "sun": (rng.uniform(1.7, 2.5), 0.25, rng.uniform(0.3, 0.55), -0.35, rng.uniform(0.01, 0.04)),
        "overcast": (rng.uniform(0.4, 0.8), 0.0, rng.uniform(0.7, 0.95), -0.1, rng.uniform(0.12, 0.22)),
        "evening": (rng.uniform(1.4, 2.2), 0.85, rng.uniform(0.22, 0.4), 0.3, rng.uniform(0.03, 0.1)),
        "dusk": (rng.uniform(0.8, 1.4), -0.6, rng.uniform(0.25, 0.45), -0.6, rng.uniform(0.04, 0.12)),
        "studio": (rng.uniform(1.2, 1.9), 0.1, rng.uniform(0.4, 0.7), 0.0, rng.uniform(0.05, 0.14)),
    }[str(mood)]
    sky = sky_strength * _temperature(rng, sky_warmth)
    haze = float(rng.uniform(0.15, 0.5)) if rng.random() < 0.12 else 0.0
    return Light(
        direction=direction,
        key=strength * _temperature(rng, warmth),
        sky=sky,
        bounce=sky * rng.uniform(0.35, 0.65) * _temperature(rng, 0.3),
        softness=float(softness),
        haze=haze,
        haze_colour=sky * rng.uniform(0.8, 1.3),
    )


def _random_lens(rng, distance) -> Lens:
    return Lens(
        focus=distance * rng.uniform(0.7, 1.2),
        aperture=float(rng.choice([0.0, rng.uniform(0.5, 2.2)], p=[0.5, 0.5])),
        softness=rng.uniform(0.3, 0.65),
        vignette=rng.uniform(0.0, 0.4),
        exposure=float(np.exp(rng.normal(0.12, 0.24))),
        contrast=float(np.clip(rng.normal(1.04, 0.12), 0.7, 1.3)),
        tint=tuple(np.clip(rng.normal(1.0, 0.04, 3), 0.9, 1.1)),
        noise=float(np.exp(rng.uniform(np.log(0.004), np.log(0.035)))),
        quality=int(rng.integers(70, 96)),
    )


def random_setting(rng) -> Setting:
    """Camera, light, lens, floor and walls by chance."""
    target = np.array([0.0, 0.0, rng.uniform(0.1, 0.5)])
    distance, height = rng.uniform(3.4, 6.5), np.radians(rng.triangular(7, 22, 55))
    eye = target + distance * np.array([0.0, -np.cos(height), np.sin(height)])
    camera = Camera(eye, look_at(eye, target, roll=rng.normal(0, 2.0)), focal=rng.uniform(0.9, 1.45))

    turn = np.radians(rng.uniform(-32, 32))
    wall_normal = np.array([np.sin(turn), -np.cos(turn), 0.0])
    wall_along = np.array([np.cos(turn), np.sin(turn), 0.0])
    spin = np.radians(rng.uniform(0, 180))
    ground_along = np.array([np.cos(spin), np.sin(spin), 0.0])
    rug = None
    if rng.random() < 0.35:
        rug = any_material(rng, printed=0.8)
        rug = replace(rug, scale=rng.uniform(1.0, 4.0), gloss=0.0, grain=0.35)
    zone = (*rng.uniform(-0.8, 0.8, 2), rng.uniform(0.9, 2.4), rng.uniform(0.9, 2.4))
    rows = [
        surface_row((0, 0, 1), 0.0, ground_along, _ground(rng), rug, zone),
        surface_row(wall_normal, -rng.uniform(1.6, 5.5), wall_along, _wall(rng)),
    ]
    if rng.random() < 0.35:
        side = rng.choice([-1.0, 1.0])
        rows.append(surface_row(-side * wall_along, -rng.uniform(2.0, 4.0), side * wall_normal, _wall(rng)))
    return Setting(camera, _random_light(rng), _random_lens(rng, distance), np.array(rows))


def _footprint(placement: Placement, grow=1.0) -> np.ndarray:
    """Corners [4, 2] of the rectangle a toy stands on."""
    half = placement.model.half_size[:2] * placement.size * grow
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half
    return corners @ rotation(yaw=placement.turn)[:2, :2].T + placement.position[:2]


def footprints_collide(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles [4, 2] overlap: no side of either separates them."""
    for rectangle in (a, b):
        for k in (0, 1):
            axis = rectangle[k + 1] - rectangle[k]
            pa, pb = a @ axis, b @ axis
            if pa.max() <= pb.min() or pb.max() <= pa.min():
                return False
    return True


def _picture_box(placement: Placement, camera: Camera, width: int, height: int):
    """Bounds (x1, y1, x2, y2) of a toy's bounding block in the picture, and its least depth."""
    ground = _footprint(placement)
    tall = 2 * placement.model.half_size[2] * placement.size
    base = placement.position[2]
    points = np.vstack([np.column_stack([ground, np.full(4, z)]) for z in (base, base + tall)])
    seen = (points - camera.eye) @ camera.axes.T
    scale = camera.focal * width / np.maximum(seen[:, 2], 0.05)
    u, v = seen[:, 0] * scale + width / 2, seen[:, 1] * scale + height / 2
    return np.array([u.min(), v.min(), u.max(), v.max()]), seen[:, 2].min()


def _overlap_share(box, others) -> float:
    """Largest share of the smaller box that another box covers."""
    worst = 0.0
    for other in others:
        corner = np.maximum(box[:2], other[:2])
        opposite = np.minimum(box[2:], other[2:])
        shared = np.clip(opposite - corner, 0, None).prod()
        smaller = min((box[2:] - box[:2]).prod(), (other[2:] - other[:2]).prod())
        worst = max(worst, shared / max(smaller, 1e-9))
    return worst


class _Layout:
    """Places toys one by one where there is room, on the ground and in front of the walls."""

    def __init__(self, setting: Setting, width: int, height: int, rng, *, max_overlap=1.0, least_inside=0.3):
        self.setting, self.width, self.height, self.rng = setting, width, height, rng
        self.max_overlap, self.least_inside = max_overlap, least_inside
        self.placements: list[Placement] = []
        self._picture_boxes = []

    def _spot(self):
        """A point of the ground that the camera sees, or None."""
        camera, rng = self.setting.camera, self.rng
        a = rng.uniform(-0.52, 0.52) / camera.focal
        b = rng.uniform(-0.2, 0.52) * self.height / self.width / camera.focal
        ray = a * camera.axes[0] + b * camera.axes[1] + camera.axes[2]
        if ray[2] > -0.02:
            return None
        return camera.eye - ray * (camera.eye[2] / ray[2])

    def _fits(self, candidate: Placement) -> bool:
        ground = _footprint(candidate)
        for plane in self.setting.surfaces[1:]:
            if (ground @ plane[:2]).min() < plane[3] + 0.03:
                return False
        box, nearest = _picture_box(candidate, self.setting.camera, self.width, self.height)
        if nearest < NEAREST:
            return False
        inside = np.minimum(box[2:], (self.width, self.height)) - np.maximum(box[:2], 0)
        if (inside <= self.least_inside * np.minimum(box[2:] - box[:2], (self.width, self.height))).any():
            return False
        if self.max_overlap < 1 and _overlap_share(box, self._picture_boxes) > self.max_overlap:
            return False
        return not any(footprints_collide(ground, _footprint(p)) for p in self.placements)

    def add(self, model: Model, name, pixels: float, *, near: Placement | None = None, lift=0.0, tries=40):
        """Try to place a toy about `pixels` long in the picture; `near` asks for a place before that toy.

        Each try that fails asks for a little less room.
        """
        camera, rng = self.setting.camera, self.rng
        for attempt in range(tries):
            spot = self._spot()
            if near is not None:
                towards = camera.eye[:2] - near.position[:2]
                towards /= np.linalg.norm(towards)
                spread = rng.uniform(0.3, 0.95) * near.size * towards
                spread = spread + rng.uniform(-0.6, 0.6) * near.size * np.array([-towards[1], towards[0]])
                spot = np.array([*(near.position[:2] + spread), 0.0])
            if spot is None:
                continue
            depth = (spot - camera.eye) @ camera.axes[2]
            size = np.clip(0.98**attempt * pixels * depth / (camera.focal * self.width), 0.35, 2.6)
            turn = rng.uniform(0, 360)
            candidate = Placement(model, name, np.array([spot[0], spot[1], lift * size]), turn, float(size))
            if self._fits(candidate):
                self.placements.append(candidate)
                self._picture_boxes.append(_picture_box(candidate, camera, self.width, self.height)[0])
                return candidate
        return None

    def raise_on_block(self, placement: Placement):
        """Push a block below a toy that was just placed."""
        toy = Toy(self.rng)
        long, wide = placement.model.half_size[:2] * self.rng.uniform(1.0, 1.25)
        toy.box("block", (0, 0, 0), (long, wide, self.rng.uniform(0.08, 0.3)))
        model = toy.finish()
        size = placement.size * 2 * max(long, wide)
        block = replace(placement, model=model, name=None, size=size)
        top = placement.position + (0, 0, 2 * model.half_size[2] * size)
        raised = replace(placement, position=top)
        if _picture_box(raised, self.setting.camera, self.width, self.height)[0][1] > -20:
            self.placements[-1] = raised
            self.placements.append(block)


def _tilt(rng) -> tuple[float, float, float]:
    """How a toy stands: straight as a rule, at times askew, now and then toppled."""
    fate = rng.random()
    if fate < 0.84:
        return (0, 0, 0)
    if fate < 0.96:
        return (rng.uniform(-14, 14), rng.uniform(-14, 14), 0)
    return (rng.choice([-90, 90, 180]), rng.uniform(-10, 10), 0)


def build(name: str, rng, *, tilt=(0, 0, 0)) -> Model:
    """Build one specimen of a category, of the auxiliary set or of the clutter, by name."""
    for builders in (toys.BUILDERS, auxiliary_toys.BUILDERS, clutter.BUILDERS):
        if name in builders:
            toy = Toy(rng)
            builders[name](toy, rng)
            return toy.finish(tilt=tilt)
    raise ValueError(f"unknown toy {name!r}; see CATEGORIES and AUXILIARY_CATEGORIES")


def _add_clutter(layout: _Layout, rng, count: int, objects):
    names = sorted(clutter.BUILDERS)
    for _ in range(count):
        model = build(str(rng.choice(names)), rng)
        in_front_of = objects[rng.integers(len(objects))] if objects and rng.random() < 0.65 else None
        pixels = np.exp(rng.uniform(np.log(22), np.log(120)))
        layout.add(model, None, pixels, near=in_front_of, tries=15)


def _detection_names(rng) -> list[str]:
    """Two to seven categories: any, or mostly of one family, or several of one kind."""
    count = int(rng.choice([2, 3, 4, 5, 6, 7], p=[0.08, 0.16, 0.22, 0.22, 0.18, 0.14]))
    theme = rng.random()
    pool = list(toys.CATEGORIES)
    if theme < 0.35:
        pool = list(toys.FAMILIES[str(rng.choice(sorted(toys.FAMILIES)))])
    names = [str(name) for name in rng.choice(pool, count)]
    if theme > 0.85:
        names[: count // 2 + 1] = [names[0]] * (count // 2 + 1)
    return names


def _detection_placements(setting, width, height, rng) -> list[Placement]:
    layout = _Layout(setting, width, height, rng)
    objects = []
    for name in _detection_names(rng):
        pixels = np.exp(rng.uniform(np.log(32), np.log(340)))
        flying = name == "aeroplane" and rng.random() < 0.5
        near = objects[rng.integers(len(objects))] if objects and rng.random() < 0.45 else None
        model = build(name, rng, tilt=_tilt(rng))
        placed = layout.add(model, name, pixels, near=near, lift=rng.uniform(0.2, 0.9) if flying else 0.0)
        if placed is None:
            continue
        objects.append(placed)
        if not flying and rng.random() < 0.12:
            layout.raise_on_block(placed)
    _add_clutter(layout, rng, int(rng.integers(1, 7)), objects)
    return layout.placements


def _auxiliary_placements(setting, width, height, rng) -> list[Placement]:
    layout = _Layout(setting, width, height, rng, max_overlap=0.22, least_inside=0.85)
    names = rng.choice(auxiliary_toys.AUXILIARY_CATEGORIES, int(rng.integers(6, 10)), replace=False)
    for name in names:
        pixels = np.exp(rng.uniform(np.log(55), np.log(150)))
        layout.add(build(str(name), rng, tilt=_tilt(rng)), str(name), pixels, tries=60)
    _add_clutter(layout, rng, int(rng.integers(0, 3)), [])
    return layout.placements


def render_scene(seed, *, kind: str = "detection", supersample: int = 2) -> Scene:
    """Make up a scene and render it.

    Parameters
    ----------
    seed : int, sequence of int or numpy.random.SeedSequence
        The same seed gives the same scene.
    kind : {"detection", "auxiliary"}
        Two to seven toys of the detection categories amid clutter, or six to nine auxiliary ones that hardly
        overlap.
    supersample : int
        Samples to a pixel in each direction.
    """
    seen, noise_seed = _seen_and_noise(seed, kind, supersample)
    return _develop(seen, np.random.default_rng(noise_seed))


def view_scene(seed, *, kind: str = "detection", supersample: int = 2) -> View:
    """What the camera sees in the scene that `render_scene` renders from the same seed."""
    return _seen_and_noise(seed, kind, supersample)[0]


def _seen_and_noise(seed, kind: str, supersample: int) -> tuple[View, int]:
    """Make up a scene in which an object is to be seen, look at it, and draw the seed of its picture's noise."""
    choose = {"detection": _detection_placements, "auxiliary": _auxiliary_placements}
    if kind not in choose:
        raise ValueError(f"unknown kind of scene {kind!r}; choose one of {', '.join(choose)}")
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    rng = np.random.default_rng(sequence)
    while True:
        setting = random_setting(rng)
        sizes, weights = zip(*FORMATS, strict=True)
        width, height = sizes[rng.choice(len(sizes), p=weights)]
        placements = choose[kind](setting, width, height, rng)
        if any(placement.name for placement in placements):
            noise_seed = int(rng.integers(2**63))
            seen = view(placements, setting, width=width, height=height, supersample=supersample, prune=True)
            if len(seen.boxes):
                return seen, noise_seed
