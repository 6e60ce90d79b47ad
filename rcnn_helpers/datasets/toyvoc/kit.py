"""The construction kit: a toy is a list of named, painted solids.

A toy's own frame has x to its front, y to its left and z up. Builders (see `toys` and `auxiliary_toys`) call the
methods of `Toy`; sizes are half sizes, angles are degrees, and nothing needs to stand at the right height,
because `Toy.finish` puts the toy on the ground, centres it and scales its longest side to one.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.datasets.toyvoc import primitives
from rcnn_helpers.datasets.toyvoc.materials import Material, palette
from rcnn_helpers.datasets.toyvoc.primitives import BOX, CAPSULE, CONE, ELLIPSOID

MIRROR = np.diag([1.0, -1.0, 1.0])


def rotation(roll=0.0, pitch=0.0, yaw=0.0) -> np.ndarray:
    """Rotation matrix [3, 3]: `roll` about x, then `pitch` about y (nose down), then `yaw` about z, in degrees."""
    (sx, cx), (sy, cy), (sz, cz) = [(np.sin(a), np.cos(a)) for a in np.radians([roll, pitch, yaw])]
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _along(direction) -> np.ndarray:
    """Rotation matrix whose z axis points along `direction`."""
    z = direction / np.linalg.norm(direction)
    x = np.cross([0.0, 1.0, 0.0], z)
    if np.linalg.norm(x) < 1e-6:
        x = np.array([1.0, 0.0, 0.0])
    x = x / np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z])


@dataclass(frozen=True)
class Model:
    """A finished toy as arrays over its P solids, standing on z = 0, its longest side 1.

    Attributes
    ----------
    kinds : int64 [P]
    centres, radii : float64 [P, 3]
    rotations : float64 [P, 3, 3]
        From the toy's frame to the solid's.
    shapes : float64 [P, 4]
    part_names : tuple of P str
    materials : tuple of P Material
    half_size : float64 [3]
        Half the extent along x, y and z.
    symmetric : bool
        Whether the toy has no front: its viewpoint then has no name.
    """

    kinds: np.ndarray
    centres: np.ndarray
    rotations: np.ndarray
    radii: np.ndarray
    shapes: np.ndarray
    part_names: tuple[str, ...]
    materials: tuple[Material, ...]
    half_size: np.ndarray
    symmetric: bool


class Toy:
    """A toy in the making: add solids by name, then `finish`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides the paints. ``toy.paints`` maps a role (body, accent, trim, dark, glass, metal, lamp, wood) to a
        `Material`; builders may replace any of them.
    """

    def __init__(self, rng: np.random.Generator):
        self.paints = palette(rng)
        self.symmetric = False
        self._solids = []
        self._origin = np.zeros(3)
        self._turn = np.eye(3)

    def _add(self, name, kind, at, turn, size, shape, paint, pair):
        at = np.asarray(at, dtype=np.float64)
        placements = [(at, turn), (MIRROR @ at, MIRROR @ turn @ MIRROR)] if pair else [(at, turn)]
        for centre, own_turn in placements:
            centre = self._origin + self._turn @ centre
            self._solids.append((name, kind, centre, self._turn @ own_turn, size, shape, self.paints[paint]))

    def box(
        self, name, at, size, *, turn=(0, 0, 0), taper=(1, 1), lean=0.0, bevel=0.05, paint="body", pair=False
    ):
        """A box; `taper` scales the top face in x and y, `lean` displaces it in x (in half lengths)."""
        bevel = max(1e-4, min(bevel, 0.6 * min(size)))
        self._add(name, BOX, at, rotation(*turn), size, (*taper, lean, bevel), paint, pair)

    def ball(self, name, at, size, *, turn=(0, 0, 0), paint="body", pair=False):
        """An ellipsoid with half axes `size`, or a sphere if `size` is a number."""
        size = (size, size, size) if np.isscalar(size) else size
        self._add(name, ELLIPSOID, at, rotation(*turn), size, (1, 1, 0, 1), paint, pair)

    def rod(self, name, start, end, radius, *, tip=None, bevel=0.02, paint="body", pair=False):
        """A cylinder from `start` to `end`, or a cone if the radius at the end, `tip`, is given."""
        start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        half = 0.5 * np.linalg.norm(end - start)
        ratio = 1.0 if tip is None else tip / radius
        bevel = max(1e-4, min(bevel, 0.5 * radius, half))
        size = (radius, radius, half)
        self._add(name, CONE, (start + end) / 2, _along(end - start), size, (ratio, 1, 0, bevel), paint, pair)

    def limb(self, name, start, end, radius, *, paint="body", pair=False):
        """A rod with round ends (capsule), from `start` to `end`."""
        start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        size = (radius, radius, 0.5 * np.linalg.norm(end - start))
        self._add(name, CAPSULE, (start + end) / 2, _along(end - start), size, (1, 1, 0, 1), paint, pair)

    def wheel(self, at, radius, width, *, name="wheel", hub="metal", pair=True):
        """A tyre with a hub, its axle along y."""
        x, y, z = at
        outer = y + width if y >= 0 else y - width
        self.rod(name, (x, y - width, z), (x, y + width, z), radius, bevel=0.05, paint="dark", pair=pair)
        rim = outer + (0.25 * width if y >= 0 else -0.25 * width)
        self.rod(name, (x, y, z), (x, rim, z), 0.58 * radius, paint=hub, pair=pair)

    @contextmanager
    def joint(self, at=(0, 0, 0), turn=(0, 0, 0)):
        """Within this context, positions and turns are relative to a frame at `at`, turned by `turn`."""
        origin, outer = self._origin, self._turn
        self._origin, self._turn = origin + outer @ np.asarray(at, dtype=np.float64), outer @ rotation(*turn)
        try:
            yield
        finally:
            self._origin, self._turn = origin, outer

    def finish(self, *, tilt=(0, 0, 0)) -> Model:
        """Turn the toy by `tilt`, stand it on z = 0, centre it and scale its longest side to one."""
        names, kinds, centres, turns, sizes, shapes, materials = zip(*self._solids, strict=True)
        tilted = rotation(*tilt)
        kinds, sizes = np.array(kinds, dtype=np.int64), np.array(sizes, dtype=np.float64)
        shapes, centres = np.array(shapes, dtype=np.float64), np.array(centres) @ tilted.T
        to_solid = np.array([(tilted @ turn).T for turn in turns])
        solids = (kinds, centres, to_solid, sizes, shapes)
        upper = np.array([primitives.support(*solids, axis).max() for axis in np.eye(3)])
        lower = np.array([-primitives.support(*solids, -axis).max() for axis in np.eye(3)])
        base = np.array([*(upper + lower)[:2] / 2, lower[2]])
        scale = 1.0 / (upper - lower).max()
        shapes[:, 3] *= scale
        return Model(
            kinds=kinds,
            centres=(centres - base) * scale,
            rotations=to_solid,
            radii=sizes * scale,
            shapes=shapes,
            part_names=names,
            materials=materials,
            half_size=(upper - lower) * scale / 2,
            symmetric=self.symmetric,
        )
