"""Ray casting of four solids in closed form: ellipsoid, tapered box, cone and capsule.

Every solid is described in a frame of its own by half sizes ``(rx, ry, rz)`` and a shape ``(a, b, c, bevel)``:

- ``ELLIPSOID``: half axes.
- ``BOX``: half sizes of the bottom face; the top face is `a` times as long in x, `b` times as wide in y, and
  displaced by `c` half lengths in x. ``a = b = 1, c = 0`` is a plain box, ``b = 0`` a roof.
- ``CONE``: axis z, radii rx and ry at the bottom, `a` times that at the top. ``a = 1`` is a cylinder.
- ``CAPSULE``: axis z, radius rx around a segment of half length rz.

A ray is ``origin + t * direction``. The direction is scaled so that `t` is the depth along the camera's axis.
Normals are a function of the hit point alone, so that casting stores only depth and part, and edges of boxes
and cones look rounded (`bevel`) without costing the cast anything.
"""

import math

import numpy as np
from numba import njit

ELLIPSOID, BOX, CONE, CAPSULE = range(4)
FAR = 1e9
NO_PART = -1


@njit(cache=True, nogil=True)
def _hit_ellipsoid(ox, oy, oz, dx, dy, dz, rx, ry, rz):
    ox, oy, oz = ox / rx, oy / ry, oz / rz
    dx, dy, dz = dx / rx, dy / ry, dz / rz
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    discriminant = b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)
    if discriminant < 0.0:
        return FAR
    t = (-b - math.sqrt(discriminant)) / a
    return t if t > 0.0 else FAR


@njit(cache=True, nogil=True)
def _clip(entry, leave, inside, speed):
    """Clip the ray's span to one half space: `inside` is the distance left, `speed` how fast it shrinks."""
    if abs(speed) < 1e-12:
        return (entry, leave) if inside >= 0.0 else (FAR, -FAR)
    t = inside / speed
    if speed < 0.0:
        return max(entry, t), leave
    return entry, min(leave, t)


@njit(cache=True, nogil=True)
def _hit_box(ox, oy, oz, dx, dy, dz, rx, ry, rz, a, b, c):
    entry, leave = _clip(-FAR, FAR, rz - oz, dz)
    entry, leave = _clip(entry, leave, rz + oz, -dz)
    # The wall in +x stands at x = rx (1 + k u), where u runs from 0 at the bottom to 1 at the top.
    front, back, side = rx * (a - 1.0 + c), rx * (a - 1.0 - c), ry * (b - 1.0)
    u, du = 0.5 * (oz / rz + 1.0), 0.5 * dz / rz
    entry, leave = _clip(entry, leave, rx + front * u - ox, dx - front * du)
    entry, leave = _clip(entry, leave, rx + back * u + ox, -dx - back * du)
    entry, leave = _clip(entry, leave, ry + side * u - oy, dy - side * du)
    entry, leave = _clip(entry, leave, ry + side * u + oy, -dy - side * du)
    return entry if 0.0 < entry <= leave else FAR


@njit(cache=True, nogil=True)
def _hit_cone(ox, oy, oz, dx, dy, dz, rx, ry, rz, a):
    ox, oy, dx, dy = ox / rx, oy / ry, dx / rx, dy / ry
    best = FAR
    # x^2 + y^2 = (m + k z)^2 with m + k z = 1 at the bottom and a at the top.
    k = 0.5 * (a - 1.0) / rz
    radius, widening = 0.5 * (a + 1.0) + k * oz, k * dz
    qa = dx * dx + dy * dy - widening * widening
    qb = ox * dx + oy * dy - radius * widening
    qc = ox * ox + oy * oy - radius * radius
    discriminant = qb * qb - qa * qc
    if discriminant >= 0.0 and abs(qa) > 1e-14:
        root = math.sqrt(discriminant)
        for sign in (-1.0, 1.0):
            t = (-qb + sign * root) / qa
            if 0.0 < t < best and abs(oz + t * dz) <= rz and radius + t * widening >= 0.0:
                best = t
    if abs(dz) > 1e-12:
        for end in (-1.0, 1.0):
            t = (end * rz - oz) / dz
            limit = 1.0 if end < 0.0 else a
            x, y = ox + t * dx, oy + t * dy
            if 0.0 < t < best and x * x + y * y <= limit * limit:
                best = t
    return best


@njit(cache=True, nogil=True)
def _hit_capsule(ox, oy, oz, dx, dy, dz, radius, rz):
    best = FAR
    across = dx * dx + dy * dy
    b = ox * dx + oy * dy
    c = ox * ox + oy * oy - radius * radius
    discriminant = b * b - across * c
    if discriminant < 0.0:
        return FAR
    if across > 1e-14:
        t = (-b - math.sqrt(discriminant)) / across
        if t > 0.0 and abs(oz + t * dz) <= rz:
            best = t
    whole = across + dz * dz
    for end in (-1.0, 1.0):
        pz = oz - end * rz
        b_end = b + pz * dz
        discriminant = b_end * b_end - whole * (c + pz * pz)
        if discriminant >= 0.0:
            t = (-b_end - math.sqrt(discriminant)) / whole
            if 0.0 < t < best:
                best = t
    return best


@njit(cache=True, nogil=True)
def intersect(kind, ox, oy, oz, dx, dy, dz, radii, shape):
    """Depth at which a ray (in the solid's own frame) enters the solid, or `FAR` if it misses."""
    if kind == ELLIPSOID:
        return _hit_ellipsoid(ox, oy, oz, dx, dy, dz, radii[0], radii[1], radii[2])
    if kind == BOX:
        rx, ry, rz = radii[0], radii[1], radii[2]
        return _hit_box(ox, oy, oz, dx, dy, dz, rx, ry, rz, shape[0], shape[1], shape[2])
    if kind == CONE:
        return _hit_cone(ox, oy, oz, dx, dy, dz, radii[0], radii[1], radii[2], shape[0])
    return _hit_capsule(ox, oy, oz, dx, dy, dz, radii[0], radii[2])


@njit(cache=True, nogil=True)
def _face(nx, ny, nz, x, y, z, limit, bevel, total):
    """Add one face's unit normal to `total`, weighted by how near the point is to that face."""
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    distance = abs(limit - nx * x - ny * y - nz * z) / length
    weight = max(0.0, 1.0 - distance / bevel)
    weight = weight * weight / length
    return total[0] + weight * nx, total[1] + weight * ny, total[2] + weight * nz


@njit(cache=True, nogil=True)
def normal_at(kind, x, y, z, radii, shape):
    """Outward unit normal of the solid at a point of its surface, all in the solid's own frame."""
    rx, ry, rz = radii[0], radii[1], radii[2]
    bevel = shape[3]
    if kind == ELLIPSOID:
        n = (x / (rx * rx), y / (ry * ry), z / (rz * rz))
    elif kind == BOX:
        front, back = 0.5 * rx * (shape[0] - 1.0 + shape[2]), 0.5 * rx * (shape[0] - 1.0 - shape[2])
        side = 0.5 * ry * (shape[1] - 1.0)
        n = _face(1.0, 0.0, -front / rz, x, y, z, rx + front, bevel, (0.0, 0.0, 0.0))
        n = _face(-1.0, 0.0, -back / rz, x, y, z, rx + back, bevel, n)
        n = _face(0.0, 1.0, -side / rz, x, y, z, ry + side, bevel, n)
        n = _face(0.0, -1.0, -side / rz, x, y, z, ry + side, bevel, n)
        n = _face(0.0, 0.0, 1.0, x, y, z, rz, bevel, n)
        n = _face(0.0, 0.0, -1.0, x, y, z, rz, bevel, n)
    elif kind == CONE:
        u, v = x / rx, y / ry
        from_axis = math.sqrt(u * u + v * v)
        slope = 0.5 * (shape[0] - 1.0) / rz
        radius = 0.5 * (shape[0] + 1.0) + slope * z
        mean_radius = 0.5 * (rx + ry)
        weight = max(0.0, 1.0 - abs(radius - from_axis) * mean_radius / bevel) ** 2
        scale = weight / max(from_axis, 1e-9)
        n = (scale * u * mean_radius / rx, scale * v * mean_radius / ry, -weight * slope * mean_radius)
        up = max(0.0, 1.0 - abs(rz - z) / bevel) ** 2
        down = max(0.0, 1.0 - abs(rz + z) / bevel) ** 2
        n = (n[0], n[1], n[2] + up - down)
    else:
        n = (x, y, z - min(max(z, -rz), rz))
    length = math.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + 1e-12
    return n[0] / length, n[1] / length, n[2] / length


@njit(cache=True, nogil=True)
def cast(
    kinds, centres, rotations, radii, shapes, owners, windows, eye, axes, focal, orthographic,
    depth, parts, seen, object_area, frame_area, part_area,
):  # fmt: skip
    """Cast all solids into depth and part buffers, and count what each covers with nothing in its way.

    Parameters
    ----------
    kinds, centres, rotations, radii, shapes, owners : arrays over the P solids
        Kind, centre [P, 3], rotation world-to-solid [P, 3, 3], half sizes [P, 3], shape [P, 4], and number of
        the object it belongs to. Solids of one object stand next to each other.
    windows : int64 array [P, 4]
        Columns and rows ``(x1, y1, x2, y2)`` that the solid can touch, in samples of the frame; they may reach
        into the margin outside it.
    eye, axes, focal, orthographic
        Camera: position, rows (right, down, forward), focal length in samples; an orthographic camera has
        `focal` samples to the unit of length.
    depth, parts : float64 and int32 arrays [H, W]
        Filled in place with the nearest depth and its solid; `FAR` and `NO_PART` where nothing was hit.
    seen : int32 array [H + 2 my, W + 2 mx]
        Scratch memory, -1 throughout; its margin makes truncated objects countable.
    object_area, frame_area, part_area : int64 arrays
        Filled in place: samples of each object (as if alone, margin included), of each object inside the frame,
        and of each solid (as if alone, margin included).
    """
    height, width = depth.shape
    margin_y, margin_x = (seen.shape[0] - height) // 2, (seen.shape[1] - width) // 2
    for p in range(len(kinds)):
        to_solid = rotations[p]
        # Camera axes and position in the solid's frame: a ray then costs nine products.
        m = to_solid @ np.ascontiguousarray(axes.T)
        origin = to_solid @ (eye - centres[p])
        owner = owners[p]
        x1, y1 = max(windows[p, 0], -margin_x), max(windows[p, 1], -margin_y)
        x2, y2 = min(windows[p, 2], width + margin_x), min(windows[p, 3], height + margin_y)
        for j in range(y1, y2):
            b = (j + 0.5 - 0.5 * height) / focal
            for i in range(x1, x2):
                a = (i + 0.5 - 0.5 * width) / focal
                sx = m[0, 0] * a + m[0, 1] * b
                sy = m[1, 0] * a + m[1, 1] * b
                sz = m[2, 0] * a + m[2, 1] * b
                if orthographic:
                    ox, oy, oz = origin[0] + sx, origin[1] + sy, origin[2] + sz
                    dx, dy, dz = m[0, 2], m[1, 2], m[2, 2]
                else:
                    ox, oy, oz = origin[0], origin[1], origin[2]
                    dx, dy, dz = sx + m[0, 2], sy + m[1, 2], sz + m[2, 2]
                t = intersect(kinds[p], ox, oy, oz, dx, dy, dz, radii[p], shapes[p])
                if t >= FAR:
                    continue
                part_area[p] += 1
                in_frame = 0 <= j < height and 0 <= i < width
                if seen[j + margin_y, i + margin_x] != owner:
                    seen[j + margin_y, i + margin_x] = owner
                    object_area[owner] += 1
                    if in_frame:
                        frame_area[owner] += 1
                if in_frame and t < depth[j, i]:
                    depth[j, i] = t
                    parts[j, i] = p


def local_bounds(kinds, radii, shapes) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner [P, 3] of the box around each solid, in the solid's own frame."""
    upper = radii.copy()
    lower = -radii
    box = kinds == BOX
    reach_front = 1.0 + np.maximum(0.0, shapes[:, 0] - 1.0 + shapes[:, 2])
    reach_back = 1.0 + np.maximum(0.0, shapes[:, 0] - 1.0 - shapes[:, 2])
    reach_side = np.maximum(1.0, shapes[:, 1])
    upper[box, 0] *= reach_front[box]
    lower[box, 0] *= reach_back[box]
    upper[box, 1] *= reach_side[box]
    lower[box, 1] *= reach_side[box]
    cone = kinds == CONE
    widest = np.maximum(1.0, shapes[cone, 0])[:, None]
    upper[cone, :2] *= widest
    lower[cone, :2] *= widest
    capsule = kinds == CAPSULE
    upper[capsule, 2] += radii[capsule, 0]
    lower[capsule, 2] -= radii[capsule, 0]
    upper[capsule, 1] = radii[capsule, 0]
    lower[capsule, 1] = -radii[capsule, 0]
    return lower, upper


def corners(kinds, centres, rotations, radii, shapes) -> np.ndarray:
    """World corners [P, 8, 3] of the box around each solid."""
    lower, upper = local_bounds(kinds, radii, shapes)
    picks = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=bool)
    local = np.where(picks[None], upper[:, None], lower[:, None])
    return (
        np.einsum("pkc,pkd->pcd", rotations, local.transpose(0, 2, 1)).transpose(0, 2, 1) + centres[:, None]
    )


def support(kinds, centres, rotations, radii, shapes, direction) -> np.ndarray:
    """Furthest reach [P] of each solid along a world `direction`, exact for every kind."""
    d = rotations @ np.asarray(direction, dtype=np.float64)  # the direction in each solid's frame [P, 3]
    reach = np.empty(len(kinds))
    for p, kind in enumerate(kinds):
        (rx, ry, rz), (a, b, c, _), (dx, dy, dz) = radii[p], shapes[p], d[p]
        if kind == ELLIPSOID:
            reach[p] = math.sqrt((rx * dx) ** 2 + (ry * dy) ** 2 + (rz * dz) ** 2)
        elif kind == BOX:
            bottom = abs(rx * dx) + abs(ry * dy) - rz * dz
            top = max((c + a) * rx * dx, (c - a) * rx * dx) + abs(b * ry * dy) + rz * dz
            reach[p] = max(bottom, top)
        elif kind == CONE:
            disc = math.hypot(rx * dx, ry * dy)
            reach[p] = max(disc - rz * dz, a * disc + rz * dz)
        else:
            reach[p] = rx * math.sqrt(dx * dx + dy * dy + dz * dz) + abs(rz * dz)
    return reach + centres @ np.asarray(direction, dtype=np.float64)
