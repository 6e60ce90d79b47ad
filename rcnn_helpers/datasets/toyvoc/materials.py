"""Materials: two colours, a printed pattern and a gloss."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

PLAIN, STRIPES, DOTS, CHECKS, MOTTLED, WOOD, PATCHES, PLANKS, BRICKS, BOOKS, CLOUDS = range(11)
PRINTS = (STRIPES, DOTS, CHECKS, MOTTLED, WOOD, PATCHES)


@dataclass(frozen=True)
class Material:
    """What a surface is made of.

    Attributes
    ----------
    colour, second : tuple of 3 float
        Linear RGB in 0..1; the pattern runs from the first to the second.
    pattern : int
        One of the pattern constants of this module.
    scale : float
        Repeats of the pattern to the toy's length (to the unit of length on floors and walls).
    axis : tuple of 3 float
        Unit vector the stripes follow.
    gloss : float
        Strength of the mirror reflection, 0 (cloth) to 1 (chrome).
    grain : float
        Strength of fine irregularity of the colour.
    """

    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pattern: int = PLAIN
    scale: float = 6.0
    axis: tuple[float, float, float] = (1.0, 0.0, 0.0)
    gloss: float = 0.1
    grain: float = 0.1

    def as_row(self) -> tuple[float, ...]:
        """The thirteen numbers that the shader reads."""
        return (*self.colour, *self.second, self.pattern, self.scale, *self.axis, self.gloss, self.grain)


def hsv(hue, saturation, value) -> tuple[float, float, float]:
    """Linear RGB of a display colour."""
    return tuple(float(c) ** 2.2 for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def any_colour(rng) -> tuple[float, float, float]:
    """A colour toys come in: mostly bright, some pastel, some muted, some black, grey or white."""
    style = rng.random()
    if style < 0.5:
        return hsv(rng.random(), rng.uniform(0.55, 0.95), rng.uniform(0.5, 0.95))
    if style < 0.68:
        return hsv(rng.random(), rng.uniform(0.2, 0.5), rng.uniform(0.65, 0.97))
    if style < 0.85:
        return hsv(rng.random(), rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.6))
    return hsv(rng.random(), rng.uniform(0.0, 0.1), rng.uniform(0.12, 0.97))


def shade_of(colour, factor) -> tuple[float, float, float]:
    """The colour made lighter (`factor` > 1) or darker."""
    return tuple(min(1.0, float(c) * factor) for c in colour)


def _axis(rng):
    return tuple(float(v) for v in np.eye(3)[rng.integers(3)])


def any_material(rng, *, printed=0.4) -> Material:
    """Paint, plastic, cloth or wood, with a printed pattern in a share `printed` of the cases."""
    colour = any_colour(rng)
    gloss = float(rng.choice([0.02, 0.1, 0.3, 0.5], p=[0.35, 0.3, 0.25, 0.1]))
    pattern, second, scale = PLAIN, colour, 6.0
    if rng.random() < printed:
        pattern = int(rng.choice(PRINTS, p=[0.24, 0.16, 0.14, 0.16, 0.2, 0.1]))
        second = any_colour(rng) if rng.random() < 0.6 else shade_of(colour, rng.uniform(0.3, 0.65))
        scale = float(rng.uniform(4.0, 13.0))
    if pattern == WOOD:
        return wood(rng)
    return Material(colour, second, pattern, scale, _axis(rng), gloss, float(rng.uniform(0.03, 0.25)))


def wood(rng) -> Material:
    """Natural or stained wood with grain."""
    colour = hsv(rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.75), rng.uniform(0.35, 0.88))
    darker = shade_of(colour, rng.uniform(0.45, 0.75))
    scale = float(rng.uniform(5.0, 11.0))
    return Material(colour, darker, WOOD, scale, _axis(rng), float(rng.choice([0.03, 0.2])), 0.12)


def metal(rng) -> Material:
    """Steel, brass or copper."""
    hue, saturation = [(0.6, 0.05), (0.12, 0.5), (0.06, 0.5)][rng.choice(3, p=[0.6, 0.25, 0.15])]
    return Material(hsv(hue, saturation, rng.uniform(0.55, 0.85)), gloss=0.8, grain=0.05)


def fur(rng) -> Material:
    """Coat of an animal: natural in four cases of five, else a toy's colour or print."""
    if rng.random() < 0.2:
        return any_material(rng, printed=0.5)
    coats = [
        (rng.uniform(0.04, 0.09), rng.uniform(0.4, 0.75), rng.uniform(0.25, 0.75)),  # brown to ginger
        (rng.uniform(0.08, 0.12), rng.uniform(0.15, 0.45), rng.uniform(0.65, 0.92)),  # sand to cream
        (rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.08), rng.uniform(0.12, 0.95)),  # black to white
    ]
    colour = hsv(*coats[rng.choice(3, p=[0.45, 0.25, 0.3])])
    pattern = int(rng.choice([PLAIN, MOTTLED, PATCHES, STRIPES], p=[0.35, 0.3, 0.2, 0.15]))
    second = hsv(0.08, rng.uniform(0, 0.4), rng.choice([0.12, 0.35, 0.9]))
    if pattern == MOTTLED:
        second = shade_of(colour, rng.uniform(0.5, 0.8))
    return Material(colour, second, pattern, float(rng.uniform(4.0, 9.0)), _axis(rng), 0.02, 0.3)


def palette(rng) -> dict[str, Material]:
    """Paints of one toy by role."""
    body = any_material(rng)
    trim_colour = shade_of(body.colour, rng.uniform(0.3, 0.6)) if rng.random() < 0.5 else any_colour(rng)
    glass_hue = rng.uniform(0.5, 0.62)
    return {
        "body": body,
        "accent": any_material(rng, printed=0.25),
        "trim": Material(trim_colour, gloss=body.gloss),
        "dark": Material(hsv(0.0, 0.0, rng.uniform(0.1, 0.25)), gloss=0.1),
        "white": Material(hsv(0.1, 0.05, rng.uniform(0.8, 0.97)), gloss=0.15),
        "glass": Material(
            hsv(glass_hue, rng.uniform(0.15, 0.45), rng.uniform(0.15, 0.6)), gloss=0.7, grain=0.0
        ),
        "metal": metal(rng),
        "lamp": Material(hsv(rng.uniform(0.1, 0.16), rng.uniform(0.1, 0.5), 1.0), gloss=0.5, grain=0.0),
        "red": Material(hsv(rng.uniform(-0.03, 0.03), 0.85, rng.uniform(0.6, 0.95)), gloss=0.3),
        "green": Material(
            hsv(rng.uniform(0.25, 0.4), rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.75)), gloss=0.05
        ),
        "wood": wood(rng),
    }


def darker(material: Material, factor: float) -> Material:
    """The same material with both colours scaled by `factor`."""
    return replace(
        material, colour=shade_of(material.colour, factor), second=shade_of(material.second, factor)
    )
