"""From depth and part buffers to a photograph: patterns, light, shadow, lens and sensor."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from rcnn_helpers.datasets.toyvoc import materials
from rcnn_helpers.datasets.toyvoc.materials import Material
from rcnn_helpers.datasets.toyvoc.primitives import FAR, NO_PART, normal_at

STRIPES, DOTS, CHECKS, MOTTLED = materials.STRIPES, materials.DOTS, materials.CHECKS, materials.MOTTLED
WOOD, PATCHES, PLANKS, BRICKS = materials.WOOD, materials.PATCHES, materials.PLANKS, materials.BRICKS
BOOKS, CLOUDS = materials.BOOKS, materials.CLOUDS

# A fixed lattice of random values; every noise of every picture reads it at another offset.
LATTICE = np.random.default_rng(20131125).random((32, 32, 32), dtype=np.float32)
# Where the shadow map is read around a point, in radii of the blur: a sunflower of golden angles.
_TAPS = [(math.sqrt((k + 0.5) / 5), 2.39996 * k) for k in range(5)]
SHADOW_TAPS = tuple((r * math.cos(a), r * math.sin(a)) for r, a in _TAPS)


@dataclass(frozen=True)
class Light:
    """Light of a scene.

    Attributes
    ----------
    direction : float64 [3]
        Unit vector towards the key light.
    key, sky, bounce : float64 [3]
        Linear RGB of the key light, of what comes from above, and of what the ground throws back.
    softness : float
        Radius of the shadow's blur, in units of length.
    haze : float
        Share of the haze's colour at a distance of ten units.
    haze_colour : float64 [3]
    """

    direction: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    bounce: np.ndarray
    softness: float
    haze: float
    haze_colour: np.ndarray


@dataclass(frozen=True)
class Lens:
    """Lens and sensor: what happens to the light after it left the scene.

    Attributes
    ----------
    focus, aperture : float
        Depth in focus, and blur (pixels at twice the focal depth).
    softness : float
        Blur everywhere, standard deviation in pixels.
    vignette : float
        Loss of light in the corners.
    exposure, contrast : float
        Gain, and slope around mid grey.
    tint : tuple of 3 float
        White balance.
    noise : float
        Standard deviation of the sensor's noise, of 1.
    quality : int
        Of the JPEG.
    """

    focus: float
    aperture: float
    softness: float
    vignette: float
    exposure: float
    contrast: float
    tint: tuple[float, float, float]
    noise: float
    quality: int


def surface_row(
    normal, distance, along, material: Material, rug: Material | None = None, rug_zone=(0, 0, 0, 1)
):
    """One plane of the backdrop as 41 numbers.

    The plane holds the points with ``normal . x = distance``; `along` is the direction of its first texture
    coordinate. A `rug` is an ellipse of another material with `rug_zone` = (u, v, radius along u, along v).
    """
    normal, along = np.asarray(normal, dtype=np.float64), np.asarray(along, dtype=np.float64)
    upward = np.cross(normal, along)
    zone = (*rug_zone, 1.0) if rug else (0.0, 0.0, 1.0, 1.0, 0.0)
    inlay = rug or material
    return np.array([*normal, distance, *along, *upward, *material.as_row(), *inlay.as_row(), *zone])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _noise(lattice, x, y, z):
    """Smooth noise in 0..1 with one wave to the unit."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) & 31, int(fy) & 31, int(fz) & 31
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    i1, j1, k1 = (i + 1) & 31, (j + 1) & 31, (k + 1) & 31
    near = (lattice[i, j, k] * (1 - u) + lattice[i1, j, k] * u) * (1 - v)
    near += (lattice[i, j1, k] * (1 - u) + lattice[i1, j1, k] * u) * v
    far = (lattice[i, j, k1] * (1 - u) + lattice[i1, j, k1] * u) * (1 - v)
    far += (lattice[i, j1, k1] * (1 - u) + lattice[i1, j1, k1] * u) * v
    return near * (1 - w) + far * w


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _cell(lattice, i, j, k):
    """A random value that belongs to an integer cell."""
    return lattice[int(i * 7 + j * 3) & 31, int(j * 5 + k) & 31, int(k * 11 + i) & 31]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _step(value, width):
    """0 below zero, 1 above, with a ramp of `width` between: a printed edge."""
    return min(1.0, max(0.0, 0.5 + value / width))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def pattern_mix(lattice, pattern, x, y, z, s):
    """Share of the second colour, and a factor on brightness, at a point of a patterned solid.

    `s` is the coordinate along the pattern's axis, all in repeats of the pattern.
    """
    if pattern == STRIPES:
        return _step(abs(s - math.floor(s) - 0.5) - 0.25, 0.08), 1.0
    if pattern == DOTS:
        dx, dy, dz = x - math.floor(x) - 0.5, y - math.floor(y) - 0.5, z - math.floor(z) - 0.5
        return _step(0.38 - math.sqrt(dx * dx + dy * dy + dz * dz), 0.08), 1.0
    if pattern == CHECKS:
        odd = (int(math.floor(x)) + int(math.floor(y)) + int(math.floor(z))) & 1
        return float(odd), 1.0
    if pattern == MOTTLED:
        return _step(
            _noise(lattice, x, y, z) + 0.5 * _noise(lattice, 2.3 * x, 2.3 * y, 2.3 * z) - 0.75, 0.7
        ), 1.0
    if pattern == WOOD:
        warp = _noise(lattice, 0.5 * x, 0.5 * y, 0.5 * z)
        ring = 1.3 * s * 0.25 + math.sqrt((x - 0.3 * s) ** 2 + (y + z) ** 2) * 0.55 + 2.2 * warp
        fibre = _noise(lattice, 3 * x + 9 * s, 3 * y, 9 * z)
        return 0.65 * (0.5 + 0.5 * math.sin(6.28 * ring)) ** 2 + 0.35 * fibre, 1.0
    if pattern == PATCHES:
        return _step(_noise(lattice, 0.55 * x, 0.55 * y, 0.55 * z) - 0.55, 0.06), 1.0
    if pattern == PLANKS:
        board = math.floor(y)
        joint = math.floor(0.22 * x + 3.7 * _cell(lattice, board, 3, 1))
        gap = _step(0.03 - abs(y - board - 0.5) + 0.44, 0.04)
        tone = _cell(lattice, board, joint, 7)
        fibre = _noise(lattice, 0.7 * x + 31 * tone, 9 * y, 5 * tone)
        return 0.55 * tone + 0.45 * fibre, 0.55 + 0.45 * gap
    if pattern == BRICKS:
        row = math.floor(2 * y)
        column = math.floor(x + 0.5 * (row % 2))
        u, v = x + 0.5 * (row % 2) - column, 2 * y - row
        mortar = min(min(u, 1 - u) * 2, min(v, 1 - v))
        mix = _step(0.07 - mortar, 0.05)
        return mix, 0.75 + 0.5 * _cell(lattice, row, column, 5)
    if pattern == BOOKS:
        shelf = math.floor(0.45 * y)
        v = 0.45 * y - shelf
        wobble = 0.35 * math.sin(7.0 * math.floor(1.3 * x) + 3 * shelf)
        book = math.floor(2.6 * x + wobble)
        tone, tall = _cell(lattice, book, shelf, 2), 0.62 + 0.3 * _cell(lattice, shelf, book, 9)
        if v < 0.07:
            return 0.5, 1.1
        if v > tall:
            return 0.3, 0.16
        edge = abs(2.6 * x + wobble - book - 0.5)
        return tone, (0.35 + 0.9 * _cell(lattice, book, 4, shelf)) * (1.0 - 0.6 * _step(edge - 0.44, 0.08))
    if pattern == CLOUDS:
        wave = (
            _noise(lattice, 0.4 * x, 0.4 * y, z)
            + 0.5 * _noise(lattice, x, y, z)
            + 0.25 * _noise(lattice, 2.1 * x, 2.1 * y, z)
        )
        return _step(wave - 0.87, 0.8), 1.0
    return 0.0, 1.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _albedo(lattice, row, x, y, z, offset):
    """Colour of a material (a row of thirteen numbers) at a texture point."""
    scale = row[7]
    px, py, pz = scale * x + offset, scale * y + 0.37 * offset, scale * z + 0.61 * offset
    s = px * row[8] + py * row[9] + pz * row[10]
    mix, factor = pattern_mix(lattice, int(row[6]), px, py, pz, s)
    if row[12] > 0.0:
        fine = _noise(lattice, 37 * x, 37 * y, 37 * z) + 0.6 * _noise(lattice, 9 * x + 5, 9 * y, 9 * z)
        factor *= 1.0 + row[12] * (fine - 0.8)
    r = (row[0] + (row[3] - row[0]) * mix) * factor
    g = (row[1] + (row[4] - row[1]) * mix) * factor
    b = (row[2] + (row[5] - row[2]) * mix) * factor
    return r, g, b


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _lit(shadow_depth, shadow_eye, shadow_axes, shadow_focal, softness, x, y, z, spin):
    """Share of the key light that reaches a point: a few comparisons with the shadow map around it."""
    dx, dy, dz = x - shadow_eye[0], y - shadow_eye[1], z - shadow_eye[2]
    height, width = shadow_depth.shape
    u = (
        shadow_axes[0, 0] * dx + shadow_axes[0, 1] * dy + shadow_axes[0, 2] * dz
    ) * shadow_focal + 0.5 * width
    v = (
        shadow_axes[1, 0] * dx + shadow_axes[1, 1] * dy + shadow_axes[1, 2] * dz
    ) * shadow_focal + 0.5 * height
    depth = shadow_axes[2, 0] * dx + shadow_axes[2, 1] * dy + shadow_axes[2, 2] * dz
    # The pattern of taps is turned differently at every sample: banding becomes fine noise.
    radius = softness * shadow_focal
    c, s = radius * math.cos(6.2832 * spin), radius * math.sin(6.2832 * spin)
    lit = 0
    for a, b in SHADOW_TAPS:
        i, j = int(u + c * a - s * b), int(v + s * a + c * b)
        outside = i < 0 or j < 0 or i >= width or j >= height
        if outside or shadow_depth[j, i] > depth - 0.012:
            lit += 1
    return lit / len(SHADOW_TAPS)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def shade(
    depth, parts, kinds, centres, rotations, radii, shapes, owners, material_rows, toy_frames, toy_offsets,
    surfaces, eye, axes, focal, light_direction, key, sky, bounce, softness, haze, haze_colour,
    shadow_depth, shadow_eye, shadow_axes, shadow_focal,
    contact, contact_origin, contact_cell, lattice, image,
):  # fmt: skip
    """Shade every sample of the frame into `image`, float32 [H, W, 3], linear light; fill `depth` behind toys.

    `toy_frames` [N, 3, 4] map world points into each toy's frame (in its lengths), where patterns live.
    `contact` is the darkening of ambient light on the ground, on a grid from `contact_origin`.
    """
    height, width = depth.shape
    for j in range(height):
        b = (j + 0.5 - 0.5 * height) / focal
        for i in range(width):
            a = (i + 0.5 - 0.5 * width) / focal
            dx = axes[0, 0] * a + axes[1, 0] * b + axes[2, 0]
            dy = axes[0, 1] * a + axes[1, 1] * b + axes[2, 1]
            dz = axes[0, 2] * a + axes[1, 2] * b + axes[2, 2]
            norm = math.sqrt(dx * dx + dy * dy + dz * dz)
            p = parts[j, i]
            ambient = 1.0
            if p != NO_PART:
                t = depth[j, i]
                x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                q, owner = rotations[p], owners[p]
                lx, ly, lz = x - centres[p, 0], y - centres[p, 1], z - centres[p, 2]
                sx = q[0, 0] * lx + q[0, 1] * ly + q[0, 2] * lz
                sy = q[1, 0] * lx + q[1, 1] * ly + q[1, 2] * lz
                sz = q[2, 0] * lx + q[2, 1] * ly + q[2, 2] * lz
                mx, my, mz = normal_at(kinds[p], sx, sy, sz, radii[p], shapes[p])
                nx = q[0, 0] * mx + q[1, 0] * my + q[2, 0] * mz
                ny = q[0, 1] * mx + q[1, 1] * my + q[2, 1] * mz
                nz = q[0, 2] * mx + q[1, 2] * my + q[2, 2] * mz
                f = toy_frames[owner]
                u = f[0, 0] * x + f[0, 1] * y + f[0, 2] * z + f[0, 3]
                v = f[1, 0] * x + f[1, 1] * y + f[1, 2] * z + f[1, 3]
                w = f[2, 0] * x + f[2, 1] * y + f[2, 2] * z + f[2, 3]
                row = material_rows[p]
                red, green, blue = _albedo(lattice, row, u, v, w, toy_offsets[owner])
                gloss = row[11]
                ambient = 1.0 - 0.45 * math.exp(-z / 0.12) * (1.0 - max(0.0, nz))
            else:
                t, nearest = FAR, 0
                for s in range(len(surfaces)):
                    plane = surfaces[s]
                    facing = plane[0] * dx + plane[1] * dy + plane[2] * dz
                    if facing < -1e-9:
                        hit = (plane[3] - plane[0] * eye[0] - plane[1] * eye[1] - plane[2] * eye[2]) / facing
                        if 0.0 < hit < t:
                            t, nearest = hit, s
                depth[j, i] = t
                x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                plane = surfaces[nearest]
                nx, ny, nz = plane[0], plane[1], plane[2]
                u = plane[4] * x + plane[5] * y + plane[6] * z
                v = plane[7] * x + plane[8] * y + plane[9] * z
                zone = plane[36:41]
                reach = ((u - zone[0]) / zone[2]) ** 2 + ((v - zone[1]) / zone[3]) ** 2
                row = plane[23:36] if zone[4] > 0.0 and reach < 1.0 else plane[10:23]
                red, green, blue = _albedo(lattice, row, u, v, 0.5 / row[7], 0.0)
                gloss = row[11]
                if nearest == 0:
                    cx = int((x - contact_origin[0]) / contact_cell)
                    cy = int((y - contact_origin[1]) / contact_cell)
                    if 0 <= cx < contact.shape[1] and 0 <= cy < contact.shape[0]:
                        ambient = 1.0 - contact[cy, cx]
                else:
                    ambient = 1.0 - 0.35 * math.exp(-max(0.0, z) / 0.25)
            spin = lattice[i & 31, j & 31, (i >> 5) + 3 * (j >> 5) & 31]
            facing = nx * light_direction[0] + ny * light_direction[1] + nz * light_direction[2]
            lit = 0.0
            if facing > 0.0:
                lift = 0.012
                lit = _lit(shadow_depth, shadow_eye, shadow_axes, shadow_focal, softness,
                           x + lift * nx, y + lift * ny, z + lift * nz, spin)  # fmt: skip
            diffuse = lit * max(0.0, facing)
            up = 0.5 + 0.5 * nz
            vx, vy, vz = -dx / norm, -dy / norm, -dz / norm
            view = max(0.0, nx * vx + ny * vy + nz * vz)
            rx, ry, rz = 2 * view * nx - vx, 2 * view * ny - vy, 2 * view * nz - vz
            glint = max(0.0, rx * light_direction[0] + ry * light_direction[1] + rz * light_direction[2])
            glint = 1.6 * lit * gloss * glint ** (12.0 + 110.0 * gloss) if glint > 0.5 else 0.0
            grazing = (1.0 - view) * (1.0 - view)
            mirror = gloss * (0.06 + 0.5 * gloss * gloss + 0.55 * grazing * grazing)
            reflected_up = (
                0.5 + 0.5 * rz + 0.35 * (lattice[int(5 * rx + 40) & 31, int(5 * rz + 40) & 31, 3] - 0.5)
            )
            veil = 1.0 - (1.0 - haze) ** (0.1 * t * norm) if haze > 0.0 else 0.0
            for c in range(3):
                colour = red if c == 0 else (green if c == 1 else blue)
                around = (bounce[c] + (sky[c] - bounce[c]) * up) * ambient
                mirrored = bounce[c] + (1.6 * sky[c] - bounce[c]) * reflected_up
                value = colour * (key[c] * diffuse + around) * (1.0 - 0.7 * mirror)
                value += glint * key[c] + mirror * mirrored * ambient
                image[j, i, c] = value + (haze_colour[c] - value) * veil


def develop(linear, depth, lens: Lens, supersample: int, rng) -> np.ndarray:
    """Turn linear light [H s, W s, 3] into the picture a small camera would give, uint8 [H, W, 3].

    Depth blur, lens softness, vignetting, white balance, exposure, tone curve and sensor noise.
    """
    height, width = linear.shape[0] // supersample, linear.shape[1] // supersample
    if supersample > 1:
        linear = cv2.resize(linear, (width, height), interpolation=cv2.INTER_AREA)
        depth = depth[supersample // 2 :: supersample, supersample // 2 :: supersample]
    linear = np.minimum(linear, 4.0)
    if lens.aperture > 0.15:
        blur = lens.aperture * np.abs(1.0 - lens.focus / np.minimum(depth, 50.0)).astype(np.float32)
        strong = cv2.GaussianBlur(linear, (0, 0), max(0.4, lens.aperture))
        share = cv2.GaussianBlur(np.clip(blur / lens.aperture * 1.6, 0, 1), (0, 0), 1.5)[..., None]
        linear = linear + (strong - linear) * share
    linear = cv2.GaussianBlur(linear, (0, 0), lens.softness)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    corner = 1.0 - lens.vignette * (0.5 * (x * x + y * y)) ** 1.5
    linear = linear * corner[..., None] * np.asarray(lens.tint, dtype=np.float32) * np.float32(lens.exposure)
    shoulder = (
        linear * (1.0 + linear * 0.1) / (1.0 + 0.55 * linear)
    )  # film-like: highlights fade to white slowly
    display = np.power(np.maximum(shoulder, 0.0), np.float32(1 / 2.2))
    display = 0.5 + (display - 0.5) * np.float32(lens.contrast)
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    grain = 0.6 * grain + 0.4 * grain.mean(axis=2, keepdims=True) * 1.7
    display += grain * np.float32(lens.noise)
    return (np.clip(display, 0, 1) * 255 + 0.5).astype(np.uint8)
