"""Things that lie about and belong to no category: they hide toys, break up backgrounds and fool detectors."""

from collections.abc import Callable

import numpy as np

from rcnn_helpers.datasets.toyvoc.kit import Toy
from rcnn_helpers.datasets.toyvoc.materials import any_material
from rcnn_helpers.datasets.toyvoc.toys import chance

BUILDERS: dict[str, Callable] = {}


def thing(builder: Callable) -> Callable:
    """Register a builder of clutter under its own name."""
    BUILDERS[builder.__name__] = builder
    return builder


@thing
def ball(toy: Toy, rng):
    toy.ball("ball", (0, 0, 0), 1.0)


@thing
def block(toy: Toy, rng):
    toy.box("block", (0, 0, 0), rng.uniform(0.3, 1.0, 3), bevel=0.12)


@thing
def block_tower(toy: Toy, rng):
    for level in range(int(rng.integers(2, 5))):
        toy.paints["block"] = any_material(rng)
        x, y = rng.uniform(-0.1, 0.1, 2)
        turn = (0, 0, rng.uniform(0, 90))
        toy.box("block", (x, y, 0.6 * level), (0.3, 0.3, 0.3), turn=turn, bevel=0.05, paint="block")


@thing
def books(toy: Toy, rng):
    for level in range(int(rng.integers(1, 5))):
        toy.paints["cover"] = any_material(rng, printed=0.2)
        size = np.array((rng.uniform(0.6, 0.9), rng.uniform(0.4, 0.65), 0.09))
        with toy.joint((0, 0, 0.2 * level), (0, 0, rng.uniform(-25, 25))):
            toy.box("book", (0, 0, 0.09), size, bevel=0.02, paint="cover")
            toy.box("book", (0, 0.02, 0.09), size * (1.01, 0.985, 0.75), bevel=0.01, paint="white")


@thing
def pyramid(toy: Toy, rng):
    if chance(rng, 0.5):
        toy.rod("cone", (0, 0, 0), (0, 0, rng.uniform(0.8, 2.0)), 0.6, tip=0.02)
    else:
        toy.box("prism", (0, 0, 0), rng.uniform(0.4, 1.0, 3), taper=(1, 0.02))


@thing
def ring_tower(toy: Toy, rng):
    for level in range(5):
        toy.paints["ring"] = any_material(rng, printed=0.1)
        toy.rod(
            "ring",
            (0, 0, 0.22 * level),
            (0, 0, 0.22 * level + 0.2),
            0.65 - 0.09 * level,
            bevel=0.09,
            paint="ring",
        )
    toy.ball("ring", (0, 0, 1.2), 0.16)


@thing
def plant(toy: Toy, rng):
    toy.rod("pot", (0, 0, 0), (0, 0, 0.5), 0.28, tip=0.38)
    for angle in rng.uniform(0, 360, 9):
        with toy.joint((0, 0, 0.5), (0, -rng.uniform(20, 75), angle)):
            toy.ball("leaf", (0.45, 0, 0), (0.45, 0.13, 0.04), paint="green")


@thing
def vase(toy: Toy, rng):
    toy.ball("vase", (0, 0, 0.5), (0.4, 0.4, 0.5))
    toy.rod("vase", (0, 0, 0.8), (0, 0, 1.3), 0.16, tip=rng.uniform(0.16, 0.3))
    toy.rod("vase", (0, 0, 0.0), (0, 0, 0.12), 0.25)


@thing
def pencils(toy: Toy, rng):
    for k in range(int(rng.integers(1, 4))):
        toy.paints["pencil"] = any_material(rng, printed=0.2)
        with toy.joint((0, 0.16 * k, 0.06), (0, 0, rng.uniform(-14, 14))):
            toy.rod("pencil", (-0.8, 0, 0), (0.7, 0, 0), 0.06, paint="pencil")
            toy.rod("pencil", (0.7, 0, 0), (0.9, 0, 0), 0.06, tip=0.01, paint="wood")


@thing
def parcel(toy: Toy, rng):
    size = rng.uniform(0.35, 0.8, 3)
    toy.box("box", (0, 0, 0), size)
    toy.box("ribbon", (0, 0, 0), size * (0.15, 1.015, 1.015), paint="accent")
    toy.box("ribbon", (0, 0, 0), size * (1.015, 0.15, 1.015), paint="accent")
    toy.ball("ribbon", (0, 0.12, size[2] + 0.08), (0.07, 0.14, 0.08), paint="accent", pair=True)


@thing
def arch(toy: Toy, rng):
    toy.box("block", (0, 0.6, 0.5), (0.25, 0.25, 0.5), pair=True)
    toy.box("block", (0, 0, 1.15), (0.27, 0.9, 0.15), paint="accent")


@thing
def can(toy: Toy, rng):
    toy.rod("can", (0, 0, 0), (0, 0, rng.uniform(0.5, 1.6)), 0.42)
    toy.rod("can", (0, 0, 0.12), (0, 0, 0.4), 0.43, paint="accent")


@thing
def skittle(toy: Toy, rng):
    toy.rod("skittle", (0, 0, 0), (0, 0, 0.9), 0.3, tip=0.14)
    toy.ball("skittle", (0, 0, 1.05), 0.22, paint="accent")


@thing
def fence(toy: Toy, rng):
    for x in np.linspace(-1, 1, 6):
        toy.box("pale", (x, 0, 0.35), (0.08, 0.03, 0.35))
    toy.box("rail", (0, 0.04, 0.2), (1.1, 0.02, 0.05))
    toy.box("rail", (0, 0.04, 0.5), (1.1, 0.02, 0.05))


@thing
def stick(toy: Toy, rng):
    start, end = rng.uniform(-0.4, 0.4, 3), rng.uniform(-0.4, 0.4, 3)
    toy.limb("stick", start - (0.8, 0, 0), end + (0.8, 0, 0), rng.uniform(0.05, 0.14))
