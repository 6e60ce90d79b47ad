"""The detection categories of ToyVOC: twelve toys in three families, each a builder of a few lines.

Builders receive an empty `Toy` and a generator; every call gives another specimen. The animals share one body
plan (`quadruped`), so do the vehicles with wheels: similar classes exist on purpose, to be confused.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rcnn_helpers.datasets.toyvoc.kit import Toy
from rcnn_helpers.datasets.toyvoc.materials import any_material, darker, fur, metal, wood

BUILDERS: dict[str, Callable] = {}
FAMILIES = {
    "vehicles": ("aeroplane", "bus", "car", "truck"),
    "animals": ("bird", "cat", "dog", "horse"),
    "furniture": ("chair", "lamp", "sofa", "table"),
}
CATEGORIES = tuple(sorted(name for family in FAMILIES.values() for name in family))


def category(builder: Callable) -> Callable:
    """Register a builder under its own name."""
    BUILDERS[builder.__name__] = builder
    return builder


def chance(rng, p) -> bool:
    """True with probability `p`."""
    return bool(rng.random() < p)


# Vehicles --------------------------------------------------------------------------------------------------


def _cabin(toy, at, size, *, taper, lean, paint="body"):
    """A glazed cabin: four windows that stand out a little from a tapered box."""
    x, y, z = at
    long, wide, high = size
    toy.box("cabin", at, size, taper=taper, lean=lean, bevel=0.08, paint=paint)
    toy.box(
        "window", (x, y, z), (1.03 * long, 0.84 * wide, 0.72 * high), taper=taper, lean=lean, paint="glass"
    )
    # Side panes lie in the slanted walls: same taper, a little wider, split by a pillar.
    for shift, share in ((0.42, 0.36), (-0.42, 0.36)):
        pane = (x + shift * long, y, z)
        toy.box(
            "window", pane, (share * long, 1.03 * wide, 0.66 * high), taper=(0.9, taper[1]), paint="glass"
        )


def _face_of_vehicle(toy, rng, front, width, z):
    """Lamps, grille and bumper at the front, red lamps at the rear."""
    size = rng.uniform(0.05, 0.085)
    if chance(rng, 0.6):
        toy.ball("headlight", (front, 0.68 * width, z), (0.5 * size, size, size), paint="lamp", pair=True)
    else:
        toy.box(
            "headlight", (front, 0.68 * width, z), (0.03, 1.2 * size, 0.8 * size), paint="lamp", pair=True
        )
    toy.box("grille", (front, 0, z - 0.02), (0.02, 0.38 * width, 0.06), paint="dark")
    toy.box("tail light", (-front, 0.75 * width, z), (0.025, 0.07, 0.06), paint="red", pair=True)
    for end in (front, -front):
        toy.box(
            "bumper",
            (end, 0, z - 0.17),
            (0.05, 0.95 * width, 0.045),
            paint=rng.choice(["metal", "dark", "trim"]),
        )


@category
def car(toy: Toy, rng):
    wide, high, wheel = rng.uniform(0.4, 0.52), rng.uniform(0.15, 0.2), rng.uniform(0.17, 0.23)
    style = rng.choice(["saloon", "hatchback", "beetle", "sports"], p=[0.35, 0.3, 0.2, 0.15])
    z = wheel + high
    top = z + high
    if style == "beetle":
        toy.box("body", (0, 0, z - 0.02), (0.98, wide, 0.8 * high), bevel=0.12)
        toy.ball("bonnet", (0.5, 0, z), (0.52, 0.9 * wide, 0.24))
        toy.ball("boot", (-0.5, 0, z), (0.52, 0.9 * wide, 0.26))
        _cabin(toy, (-0.05, 0, top + 0.15), (0.56, 0.88 * wide, 0.25), taper=(0.55, 0.78), lean=-0.05)
    else:
        toy.box("body", (0, 0, z), (1, wide, high), taper=(0.95, 0.93), bevel=0.12)
        long, cabin_high = rng.uniform(0.48, 0.58), rng.uniform(0.17, 0.23)
        if style == "hatchback":
            long, shift, taper, lean = rng.uniform(0.62, 0.72), -0.22, (0.75, 0.82), -0.1
        elif style == "sports":
            long, shift, taper, lean, cabin_high = 0.5, -0.2, (0.45, 0.75), -0.2, 0.15
            toy.box("spoiler", (-0.88, 0, top + 0.14), (0.12, 0.95 * wide, 0.02), paint="trim")
            toy.box("spoiler", (-0.88, 0.6 * wide, top + 0.06), (0.04, 0.02, 0.08), paint="trim", pair=True)
        else:
            shift, taper, lean = -0.12, (0.62, 0.82), -0.06
        _cabin(
            toy, (shift, 0, top + cabin_high - 0.01), (long, 0.9 * wide, cabin_high), taper=taper, lean=lean
        )
    for x in (0.6, -0.6):
        toy.wheel((x, wide, wheel), wheel, 0.08)
    _face_of_vehicle(toy, rng, 0.97, wide, z + 0.03)
    if chance(rng, 0.3):
        toy.box("stripe", (0, 0, z + 0.01), (1.006, 1.006 * wide, 0.04), paint="accent")
    if chance(rng, 0.25):
        toy.box("roof rack", (-0.12, 0, top + 0.44), (0.25, 0.6 * wide, 0.05), paint="accent")


@category
def truck(toy: Toy, rng):
    wide, wheel = rng.uniform(0.36, 0.44), rng.uniform(0.16, 0.21)
    load = rng.choice(["box", "tipper", "tank", "flat"], p=[0.35, 0.3, 0.2, 0.15])
    cab_high, cab_long = rng.uniform(0.3, 0.4), rng.uniform(0.2, 0.27)
    floor = wheel + 0.1
    toy.box("chassis", (0, 0, floor), (1, 0.7 * wide, 0.06), paint="dark")
    nose = chance(rng, 0.4)
    cab_x = 0.98 - cab_long - (0.28 if nose else 0)
    if nose:
        toy.box("bonnet", (0.83, 0, floor + 0.2), (0.17, 0.8 * wide, 0.17), taper=(0.95, 0.9), bevel=0.1)
    toy.box(
        "cab",
        (cab_x, 0, floor + cab_high),
        (cab_long, wide, cab_high),
        taper=(0.85, 0.95),
        lean=-0.08,
        bevel=0.08,
    )
    window_z, window_high = floor + 1.35 * cab_high, 0.38 * cab_high
    toy.box(
        "window", (cab_x, 0, window_z), (0.98 * cab_long, 0.84 * wide, window_high), lean=-0.05, paint="glass"
    )
    toy.box("window", (cab_x, 0, window_z), (0.62 * cab_long, 1.01 * wide, window_high), paint="glass")
    _face_of_vehicle(toy, rng, 0.99, 0.95 * wide, floor + 0.13)
    rear, front = -1.0, cab_x - cab_long - 0.05
    middle, half = (rear + front) / 2, (front - rear) / 2
    if load == "box":
        high = rng.uniform(0.38, 0.52)
        toy.box("load", (middle, 0, floor + 0.08 + high), (half, 1.08 * wide, high), paint="accent")
    elif load == "tank":
        r = 0.95 * wide
        toy.rod("load", (rear, 0, floor + r), (front, 0, floor + r), r, bevel=0.12, paint="accent")
        toy.rod("load", (middle - 0.1, 0, floor + r), (middle + 0.1, 0, floor + r), 1.03 * r, paint="metal")
    elif load == "tipper":
        lift = rng.choice([0.0, 0.0, 18.0, 30.0])
        with toy.joint((rear + 0.1, 0, floor + 0.1), (0, -lift, 0)):
            toy.box("load", (half - 0.1, 0, 0.06), (half, 1.05 * wide, 0.04), paint="accent")
            toy.box("load", (half - 0.1, wide, 0.22), (half, 0.04, 0.2), paint="accent", pair=True)
            toy.box("load", (2 * half - 0.14, 0, 0.25), (0.04, wide, 0.22), paint="accent")
            if chance(rng, 0.6):
                toy.ball("cargo", (half - 0.1, 0, 0.2), (0.85 * half, 0.85 * wide, 0.24), paint="wood")
    else:
        toy.box("load", (middle, 0, floor + 0.1), (half, 1.05 * wide, 0.04), paint="wood")
        for k in range(3):
            toy.rod(
                "cargo",
                (rear + 0.05, 0.6 * wide * (k - 1), floor + 0.28),
                (front, 0.6 * wide * (k - 1), floor + 0.28),
                0.13,
                paint="wood",
            )
    for x in (0.68, -0.42, -0.8):
        toy.wheel((x, wide, wheel), wheel, 0.08)


@category
def bus(toy: Toy, rng):
    wide, wheel = rng.uniform(0.29, 0.35), rng.uniform(0.12, 0.15)
    decks = 2 if chance(rng, 0.3) else 1
    high = rng.uniform(0.29, 0.35) if decks == 1 else rng.uniform(0.46, 0.52)
    floor = 0.8 * wheel
    middle = floor + high
    toy.box("body", (0, 0, middle), (1, wide, high), taper=(0.985, 0.95), bevel=0.12)
    toy.box(
        "roof", (0, 0, floor + 2 * high), (0.9, 0.8 * wide, 0.03), paint=rng.choice(["white", "trim", "body"])
    )
    n = int(rng.integers(4, 7))
    for deck in range(decks):
        z = floor + 2 * high - 0.2 - 0.42 * deck
        side = wide * (1 - 0.05 * (z - floor) / (2 * high)) + 0.012  # the walls lean in by a twentieth
        for x in np.linspace(0.72, -0.78, n):
            toy.box("window", (x, 0, z), (0.66 / n, side, 0.135), paint="glass", bevel=0.03)
        toy.box("window", (0, 0, z), (1.006, 0.84 * wide, 0.155), paint="glass", bevel=0.03)
    if chance(rng, 0.5):
        toy.box("stripe", (0, 0, floor + 0.16), (1.006, 1.006 * wide, 0.05), paint="accent")
    toy.box("door", (0.82, -wide, floor + 0.27), (0.09, 0.012, 0.22), paint="dark")
    _face_of_vehicle(toy, rng, 1.0, wide, floor + 0.14)
    for x in (0.6, -0.62):
        toy.wheel((x, wide - 0.03, wheel), wheel, 0.05)


@category
def aeroplane(toy: Toy, rng):
    r, span = rng.uniform(0.13, 0.19), rng.uniform(0.75, 1.05)
    jet = chance(rng, 0.55)
    z = rng.uniform(0.0, 0.1)
    sweep = rng.uniform(-1.6, -0.9) if jet else rng.uniform(-0.2, 0.1)
    chord = rng.uniform(0.17, 0.24)
    toy.limb("fuselage", (-0.55, 0, z), (0.75, 0, z), r)
    toy.rod("fuselage", (-0.5, 0, z), (-1.05, 0, z + 0.4 * r), 0.99 * r, tip=0.3 * r)
    toy.box("cockpit", (0.72, 0, z + 0.62 * r), (0.17, 0.55 * r, 0.4 * r), taper=(0.5, 0.7), paint="glass")
    wing_z = z + rng.choice([-0.5, 0.0, 0.9]) * r
    wing = rng.choice(["body", "accent"])
    toy.box(
        "wing",
        (0.08, span / 2, wing_z),
        (chord, 0.028, span / 2),
        turn=(-90, 0, 0),
        taper=(0.5, 0.6),
        lean=sweep,
        paint=wing,
        pair=True,
    )
    if not jet and chance(rng, 0.4):  # a biplane
        toy.box("wing", (0.08, 0, wing_z + 2.6 * r), (chord, 0.9 * span, 0.022), paint=wing)
        toy.limb(
            "strut",
            (0.1, 0.6 * span, wing_z),
            (0.1, 0.6 * span, wing_z + 2.6 * r),
            0.015,
            paint="dark",
            pair=True,
        )
    toy.box(
        "tail",
        (-0.95, 0.2, z + 0.4 * r),
        (0.12, 0.02, 0.22),
        turn=(-90, 0, 0),
        taper=(0.6, 0.7),
        lean=-0.5,
        paint=wing,
        pair=True,
    )
    toy.box("fin", (-0.95, 0, z + 0.28), (0.14, 0.02, 0.24), taper=(0.55, 0.7), lean=-0.7, paint="accent")
    if jet:
        for share in (0.38,) if chance(rng, 0.6) else (0.3, 0.62):
            x = 0.12 + sweep * chord * share
            toy.rod(
                "engine",
                (x - 0.14, span * share, wing_z - 0.1),
                (x + 0.14, span * share, wing_z - 0.1),
                0.075,
                tip=0.09,
                paint="metal",
                pair=True,
            )
        for x in np.linspace(0.5, -0.5, 6):
            toy.ball("window", (x, 0, z + 0.25 * r), (0.035, 1.0 * r, 0.04), paint="dark")
    else:
        toy.rod("engine", (0.75, 0, z), (0.75 + 1.15 * r, 0, z), 0.85 * r, tip=0.4 * r, paint="trim")
        with toy.joint((0.78 + 1.2 * r, 0, z), (rng.uniform(0, 180), 0, 0)):
            for angle in (0, 90) if chance(rng, 0.5) else (0,):
                toy.box("propeller", (0, 0, 0), (0.012, 0.035, 0.3), turn=(angle, 0, 0), paint="dark")
            toy.ball("propeller", (0, 0, 0), (0.06, 0.05, 0.05), paint="metal")
    if chance(rng, 0.6):
        toy.limb(
            "strut", (0.05, 0.2, z - 0.5 * r), (0.05, 0.22, z - r - 0.12), 0.02, paint="metal", pair=True
        )
        toy.wheel((0.05, 0.22, z - r - 0.13), 0.075, 0.03)
        toy.limb("strut", (0.75, 0, z - 0.5 * r), (0.75, 0, z - r - 0.12), 0.02, paint="metal")
        toy.wheel((0.75, 0.0, z - r - 0.13), 0.07, 0.03, pair=False)


# Animals ---------------------------------------------------------------------------------------------------


@dataclass
class BodyPlan:
    """Proportions of a four-legged animal, in units of half its trunk's length."""

    girth: float = 0.38
    legs: float = 0.6
    leg_radius: float = 0.11
    neck: float = 0.35
    neck_rise: float = 45.0
    neck_radius: float = 0.2
    head: tuple[float, float, float] = (0.34, 0.3, 0.3)
    snout: float = 0.3
    snout_radius: float = 0.15
    snout_drop: float = 20.0
    ears: str = "round"
    ear: float = 0.16
    tail: str = "thin"
    tail_length: float = 0.6
    feet: str = "body"
    head_turn: float = 45.0


def _ears(toy, plan):
    rx, ry, rz = plan.head
    e = plan.ear
    if plan.ears == "floppy":
        toy.ball(
            "ear",
            (-0.1 * rx, 0.95 * ry, 0.1 * rz),
            (0.5 * e, 0.3 * e, 1.3 * e),
            turn=(12, 10, 0),
            paint="ear",
            pair=True,
        )
    elif plan.ears == "pointed":
        foot = np.array((-0.15 * rx, 0.55 * ry, 0.6 * rz))
        toy.rod("ear", foot, foot + (0, 0.35 * e, 1.7 * e), 0.62 * e, tip=0.05 * e, paint="ear", pair=True)
    elif plan.ears == "round":
        toy.ball("ear", (-0.1 * rx, 0.8 * ry, 0.75 * rz), (0.4 * e, e, e), paint="ear", pair=True)
    elif plan.ears == "long":
        toy.ball(
            "ear",
            (-0.3 * rx, 0.5 * ry, rz + 1.4 * e),
            (0.35 * e, 0.55 * e, 2.0 * e),
            turn=(-10, 0, 0),
            paint="ear",
            pair=True,
        )
    elif plan.ears == "side":
        toy.ball(
            "ear",
            (-0.3 * rx, 1.2 * ry, 0.35 * rz),
            (0.35 * e, 1.1 * e, 0.55 * e),
            turn=(20, 0, 0),
            paint="ear",
            pair=True,
        )
    elif plan.ears == "fan":
        toy.ball(
            "ear",
            (-0.3 * rx, 1.35 * ry, 0.1 * rz),
            (0.25 * e, e, 1.25 * e),
            turn=(0, 0, 35),
            paint="ear",
            pair=True,
        )


def _tail(toy, rng, plan, at):
    long, (x, y, z) = plan.tail_length, at
    swing = rng.uniform(-0.25, 0.25)
    if plan.tail == "up":
        toy.limb("tail", at, (x - 0.4 * long, swing, z + 0.9 * long), 0.07)
    elif plan.tail == "curl":
        joints = [
            (x, y, z),
            (x - 0.55 * long, swing, z + 0.1),
            (x - 0.75 * long, 2 * swing, z + 0.6 * long),
            (x - 0.45 * long, 2.5 * swing, z + 1.05 * long),
        ]
        for start, end in zip(joints, joints[1:], strict=False):
            toy.limb("tail", start, end, 0.06)
    elif plan.tail == "hair":
        toy.rod("tail", (x - 0.02, y, z), (x - 0.35 * long, swing, z - long), 0.06, tip=0.14, paint="mane")
    elif plan.tail == "bushy":
        toy.ball(
            "tail", (x - 0.5 * long, swing / 2, z + 0.45 * long), (0.16, 0.16, 0.62 * long), turn=(0, -40, 0)
        )
    elif plan.tail == "stub":
        toy.ball("tail", (x - 0.06, y, z + 0.08), 0.3 * plan.girth, paint="ear")
    elif plan.tail == "thin":
        toy.limb("tail", at, (x - 0.25 * long, swing, z - 0.8 * long), 0.035)


def quadruped(toy: Toy, rng, plan: BodyPlan, *, posture="stand"):
    """Build a four-legged animal: trunk, legs, neck, head, ears, eyes, snout and tail.

    Returns the rump, the chest and the place of the head in the toy's frame, for whatever else a builder adds.
    `posture` is "stand", "sit" or "lie".
    """
    toy.paints.setdefault("ear", darker(toy.paints["body"], rng.uniform(0.5, 1.0)))
    toy.paints.setdefault("mane", darker(toy.paints["body"], rng.uniform(0.15, 0.5)))
    g, r = plan.girth, plan.leg_radius
    stance = 0.62 * g
    if posture == "stand":
        rump, chest = np.array((-1 + g, 0, plan.legs + 0.75 * g)), np.array((1 - g, 0, plan.legs + 0.8 * g))
    elif posture == "sit":
        steep = np.radians(rng.uniform(45, 58))
        rump = np.array((-0.6, 0, 0.95 * g))
        chest = rump + (2 - 2 * g) * np.array((np.cos(steep), 0, np.sin(steep)))
    else:
        rump, chest = np.array((-1 + g, 0, 0.92 * g)), np.array((1 - g, 0, 0.98 * g))
    toy.limb("trunk", rump, chest, 0.94 * g)
    toy.ball("trunk", chest, (g, g, 1.06 * g))
    toy.ball("trunk", rump, 1.02 * g)
    for side in (-1, 1):
        for end, forward in ((chest, 1), (rump, -1)):
            hip = end + (0.15 * g * forward, side * stance, -0.25 * g)
            swing = rng.uniform(-0.16, 0.16)
            if posture == "stand" or (posture == "sit" and forward == 1):
                foot = np.array((hip[0] + swing + (0.1 if posture == "sit" else 0), 1.05 * hip[1], r))
                toy.limb("leg", hip, foot, r)
            else:
                toy.ball(
                    "leg", hip + (0.1 * forward, 0.25 * g * side, -0.1 * g), (0.75 * g, 0.3 * g, 0.6 * g)
                )
                foot = np.array((hip[0] + 0.75 * g, hip[1] + 0.3 * g * side, 0.9 * r))
                toy.limb("leg", foot - (0.5 * g, 0, 0), foot, r)
            toy.ball(
                "foot", (foot[0] + 0.35 * r, foot[1], 0.8 * r), (1.35 * r, 1.1 * r, 0.8 * r), paint=plan.feet
            )
    rise = np.radians(plan.neck_rise + (15 if posture == "sit" else 0))
    neck_root = chest + (0.25 * g, 0, 0.45 * g)
    head = neck_root + plan.neck * np.array((np.cos(rise), 0, np.sin(rise)))
    toy.limb("neck", neck_root - (0.2 * g, 0, 0.2 * g), head, plan.neck_radius)
    rx, ry, rz = plan.head
    turn = (0, rng.uniform(-8, 15), rng.uniform(-plan.head_turn, plan.head_turn))
    with toy.joint(head + (0.25 * rx, 0, 0.25 * rz), turn):
        toy.ball("head", (0, 0, 0), plan.head)
        drop = np.radians(plan.snout_drop)
        nose = np.array((0.55 * rx + plan.snout * np.cos(drop), 0, -plan.snout * np.sin(drop)))
        toy.limb(
            "snout",
            (0.4 * rx, 0, -0.15 * rz),
            nose,
            plan.snout_radius,
            paint="snout" if "snout" in toy.paints else "body",
        )
        toy.ball(
            "nose",
            nose + (0.8 * plan.snout_radius, 0, 0.35 * plan.snout_radius),
            0.42 * plan.snout_radius,
            paint="dark",
        )
        toy.ball("eye", (0.72 * rx, 0.5 * ry, 0.42 * rz), 0.17 * rz, paint="dark", pair=True)
        _ears(toy, plan)
    _tail(toy, rng, plan, rump + (-0.9 * g, 0, 0.45 * g))
    return rump, chest, head


@category
def dog(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    toy.paints["ear"] = darker(toy.paints["body"], rng.uniform(0.25, 0.9))
    plan = BodyPlan(
        girth=rng.uniform(0.36, 0.46),
        legs=rng.uniform(0.35, 0.75),
        leg_radius=rng.uniform(0.1, 0.14),
        neck=rng.uniform(0.3, 0.42),
        neck_rise=rng.uniform(40, 60),
        head=(0.4, 0.35, 0.34),
        snout=rng.uniform(0.24, 0.4),
        snout_radius=rng.uniform(0.15, 0.19),
        ears=rng.choice(["floppy", "floppy", "pointed"]),
        ear=rng.uniform(0.2, 0.28),
        tail=rng.choice(["up", "up", "bushy"]),
        tail_length=rng.uniform(0.5, 0.7),
    )
    _, chest, head = quadruped(
        toy, rng, plan, posture=rng.choice(["stand", "sit", "lie"], p=[0.6, 0.25, 0.15])
    )
    if chance(rng, 0.5):
        middle = 0.55 * head + 0.45 * chest + (0.02, 0, 0.06)
        along = (head - chest) / np.linalg.norm(head - chest)
        toy.rod("collar", middle - 0.05 * along, middle + 0.05 * along, 0.265, paint="red")


@category
def cat(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    toy.paints["ear"] = darker(toy.paints["body"], rng.uniform(0.5, 1.0))
    plan = BodyPlan(
        girth=rng.uniform(0.34, 0.42),
        legs=rng.uniform(0.38, 0.52),
        leg_radius=0.105,
        neck=rng.uniform(0.18, 0.28),
        neck_rise=50,
        head=(0.37, 0.43, 0.37),
        snout=0.08,
        snout_radius=rng.uniform(0.13, 0.16),
        ears="pointed",
        ear=rng.uniform(0.22, 0.29),
        tail="curl",
        tail_length=rng.uniform(0.7, 0.95),
        head_turn=60,
    )
    quadruped(toy, rng, plan, posture=rng.choice(["stand", "sit", "lie"], p=[0.45, 0.35, 0.2]))


@category
def horse(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    plan = BodyPlan(
        girth=rng.uniform(0.33, 0.4),
        legs=rng.uniform(0.85, 1.1),
        leg_radius=rng.uniform(0.08, 0.1),
        neck=rng.uniform(0.75, 0.95),
        neck_rise=rng.uniform(48, 65),
        neck_radius=0.2,
        head=(0.27, 0.19, 0.21),
        snout=rng.uniform(0.34, 0.44),
        snout_radius=0.14,
        snout_drop=rng.uniform(35, 50),
        ears="pointed",
        ear=0.11,
        tail="hair",
        tail_length=rng.uniform(0.7, 0.95),
        feet="dark",
        head_turn=20,
    )
    _, chest, head = quadruped(toy, rng, plan)
    for share in np.linspace(0.25, 1.1, 6):
        spot = chest + share * (head - chest) + (-0.2, 0, 0.18)
        toy.ball("mane", spot, (0.14, 0.06, 0.16), paint="mane")
    if chance(rng, 0.35):
        toy.box(
            "saddle",
            (0.0, 0, chest[2] + 0.95 * plan.girth),
            (0.25, 0.3, 0.08),
            taper=(0.8, 0.6),
            bevel=0.05,
            paint="accent",
        )


@category
def bird(toy: Toy, rng):
    toy.paints["body"] = any_material(rng, printed=0.35)
    toy.paints["beak"] = (
        darker(any_material(rng, printed=0.0), 1.0) if chance(rng, 0.3) else toy.paints["lamp"]
    )
    lean, fat, legs = rng.uniform(15, 45), rng.uniform(0.36, 0.48), rng.uniform(0.25, 0.6)
    z = legs + 0.35
    beak = rng.uniform(0.25, 0.45)
    with toy.joint((0, 0, z), (0, -lean, 0)):
        toy.ball("body", (0, 0, 0), (0.68, fat, 0.4))
        toy.ball("breast", (0.12, 0, -0.06), (0.5, 0.9 * fat, 0.38), paint="accent")
        toy.box(
            "tail", (-0.85, 0, 0.05), (0.35, 0.16, 0.035), taper=(0.95, 0.9), turn=(0, 8, 0), paint="trim"
        )
        if chance(rng, 0.4):
            flap = rng.uniform(-20, 35)
            with toy.joint((0.05, 0.2, 0.12), (flap, 0, 0)):
                toy.ball("wing", (-0.05, 0.6, 0), (0.32, 0.65, 0.06), paint="trim")
            with toy.joint((0.05, -0.2, 0.12), (-flap, 0, 0)):
                toy.ball("wing", (-0.05, -0.6, 0), (0.32, 0.65, 0.06), paint="trim")
        else:
            toy.ball(
                "wing",
                (-0.15, 0.95 * fat, 0.05),
                (0.52, 0.09, 0.24),
                turn=(8, 8, -4),
                paint="trim",
                pair=True,
            )
    with toy.joint(
        (0.48 * np.cos(np.radians(lean)) + 0.1, 0, z + 0.55 * np.sin(np.radians(lean)) + 0.3),
        (0, rng.uniform(-5, 10), rng.uniform(-50, 50)),
    ):
        toy.ball("head", (0, 0, 0), (0.28, 0.26, 0.27))
        toy.rod("beak", (0.2, 0, -0.02), (0.25 + beak, 0, -0.06), 0.11, tip=0.012, paint="beak")
        toy.ball("eye", (0.16, 0.19, 0.08), 0.055, paint="dark", pair=True)
        if chance(rng, 0.25):
            toy.ball("crest", (-0.08, 0, 0.28), (0.16, 0.04, 0.15), turn=(0, -30, 0), paint="red")
    toy.limb("leg", (-0.02, 0.16, z - 0.25), (0.04, 0.17, 0.04), 0.035, paint="beak", pair=True)
    for spread in (-25, 0, 25):
        with toy.joint((0.04, 0.17, 0.03), (0, 0, spread)):
            toy.limb("foot", (0, 0, 0), (0.2, 0, 0), 0.03, paint="beak")
        with toy.joint((0.04, -0.17, 0.03), (0, 0, spread)):
            toy.limb("foot", (0, 0, 0), (0.2, 0, 0), 0.03, paint="beak")


# Furniture -------------------------------------------------------------------------------------------------


def _furniture_paint(toy, rng):
    """Frames of wood, metal or paint."""
    toy.paints["frame"] = [wood, metal, any_material][rng.choice(3, p=[0.5, 0.2, 0.3])](rng)


def _legs(toy, rng, half_long, half_wide, height, radius, *, paint="frame"):
    """Four legs: round, square or splayed."""
    style = rng.choice(["round", "square", "splayed"])
    out = 1.15 if style == "splayed" else 1.0
    for x in (-half_long, half_long):
        if style == "square":
            toy.box(
                "leg",
                (x, half_wide, height / 2),
                (radius, radius, height / 2),
                bevel=0.02,
                paint=paint,
                pair=True,
            )
        else:
            foot, top = (out * x, out * half_wide, 0), (x, half_wide, height)
            toy.rod("leg", foot, top, 0.75 * radius, tip=1.1 * radius, paint=paint, pair=True)


@category
def chair(toy: Toy, rng):
    _furniture_paint(toy, rng)
    deep, wide = rng.uniform(0.4, 0.5), rng.uniform(0.4, 0.5)
    seat, back, tilt = rng.uniform(0.65, 0.9), rng.uniform(0.4, 0.65), rng.uniform(2, 14)
    radius = rng.uniform(0.04, 0.065)
    if chance(rng, 0.25):
        toy.rod("seat", (0, 0, seat - 0.05), (0, 0, seat + 0.05), 1.08 * wide)
    else:
        toy.box("seat", (0, 0, seat), (deep, wide, rng.uniform(0.04, 0.09)))
    if chance(rng, 0.2):
        toy.rod("leg", (0, 0, 0.08), (0, 0, seat), 0.06, paint="metal")
        for angle in range(0, 360, 72):
            with toy.joint((0, 0, 0.1), (0, 0, angle)):
                toy.limb("leg", (0, 0, 0), (0.45, 0, -0.05), 0.045, paint="dark")
    else:
        _legs(toy, rng, 0.85 * deep, 0.85 * wide, seat, radius)
        if chance(rng, 0.4):
            toy.limb(
                "bar",
                (-0.85 * deep, 0.85 * wide, 0.4 * seat),
                (0.85 * deep, 0.85 * wide, 0.4 * seat),
                0.03,
                paint="frame",
                pair=True,
            )
    style = rng.choice(["panel", "slats", "bars", "top"], p=[0.4, 0.2, 0.2, 0.2])
    with toy.joint((-0.93 * deep, 0, seat), (0, -tilt, 0)):
        toy.rod("post", (0, 0.88 * wide, 0), (0, 0.88 * wide, 2 * back), radius, paint="frame", pair=True)
        if style == "panel":
            toy.box("back", (0, 0, 1.15 * back), (0.045, 0.95 * wide, 0.85 * back))
        elif style == "slats":
            for share in (0.7, 1.2, 1.7):
                toy.box("back", (0, 0, share * back), (0.03, 0.9 * wide, 0.13 * back))
        elif style == "bars":
            toy.box("back", (0, 0, 1.9 * back), (0.045, 0.97 * wide, 0.12 * back))
            for y in np.linspace(-0.55, 0.55, 4):
                toy.limb("back", (0, y * wide, 0), (0, y * wide, 1.9 * back), 0.03, paint="frame")
        else:
            toy.box("back", (0, 0, 1.55 * back), (0.05, 0.97 * wide, 0.42 * back), bevel=0.08)
    if chance(rng, 0.3):
        toy.box("arm", (-0.05, wide, seat + 0.36), (0.9 * deep, 0.05, 0.035), paint="frame", pair=True)
        toy.rod(
            "arm", (0.65 * deep, wide, seat), (0.65 * deep, wide, seat + 0.36), 0.04, paint="frame", pair=True
        )


@category
def sofa(toy: Toy, rng):
    wide, deep = rng.uniform(0.75, 1.05), rng.uniform(0.38, 0.46)
    seat, back, arm = rng.uniform(0.2, 0.28), rng.uniform(0.28, 0.42), rng.uniform(0.09, 0.15)
    feet = rng.uniform(0.05, 0.14)
    toy.rod(
        "foot", (0.8 * deep, 0.88 * wide, 0), (0.8 * deep, 0.88 * wide, feet), 0.045, paint="wood", pair=True
    )
    toy.rod(
        "foot",
        (-0.8 * deep, 0.88 * wide, 0),
        (-0.8 * deep, 0.88 * wide, feet),
        0.045,
        paint="wood",
        pair=True,
    )
    toy.box("base", (0, 0, feet + 0.5 * seat), (deep, wide, 0.5 * seat), bevel=0.06)
    top = feet + seat
    toy.box("back", (-deep + 0.04, 0, top + back - 0.1), (0.13, wide, back), lean=-0.4, bevel=0.1)
    if chance(rng, 0.6):
        toy.box("arm", (0.02, wide, top + 0.02), (0.98 * deep, arm, 0.5 * seat + 0.16), bevel=0.09, pair=True)
    else:
        toy.box(
            "arm", (0.02, wide, top - 0.1), (0.95 * deep, 0.8 * arm, 0.5 * seat + 0.1), bevel=0.05, pair=True
        )
        ends = (-0.93 * deep, wide, top + 0.16), (0.97 * deep, wide, top + 0.16)
        toy.rod("arm", *ends, 1.1 * arm, bevel=0.05, pair=True)
    n = int(rng.integers(2, 4))
    cushion = "body" if chance(rng, 0.6) else "accent"
    half = (wide - arm) / n
    for y in (np.arange(n) - (n - 1) / 2) * 2 * half:
        toy.box("cushion", (0.1, y, top + 0.06), (deep - 0.1, 0.96 * half, 0.07), bevel=0.06, paint=cushion)
        toy.box(
            "cushion",
            (-0.5 * deep, y, top + 0.12 + 0.6 * back),
            (0.08, 0.95 * half, 0.6 * back),
            turn=(0, -12, 0),
            bevel=0.07,
            paint=cushion,
        )
    for y in rng.uniform(-0.7, 0.7, rng.integers(0, 3)):
        toy.box(
            "pillow",
            (-0.15, y * wide, top + 0.3),
            (0.06, 0.17, 0.17),
            turn=(rng.uniform(-20, 20), -25, 0),
            bevel=0.05,
            paint="trim",
        )


@category
def table(toy: Toy, rng):
    _furniture_paint(toy, rng)
    toy.symmetric = True
    long, wide, high = rng.uniform(0.7, 1.0), rng.uniform(0.45, 0.65), rng.uniform(0.4, 0.95)
    thick = rng.uniform(0.03, 0.06)
    style = rng.choice(["four", "pedestal", "trestle"], p=[0.6, 0.22, 0.18])
    if style == "pedestal" or chance(rng, 0.2):
        long = wide = rng.uniform(0.6, 0.8)
        toy.rod("top", (0, 0, high - thick), (0, 0, high + thick), long)
        inset = 0.62
    else:
        toy.box("top", (0, 0, high), (long, wide, thick))
        inset = 0.9
    if style == "pedestal":
        toy.rod("leg", (0, 0, 0.06), (0, 0, high), 0.09, paint="frame")
        toy.rod("foot", (0, 0, 0), (0, 0, 0.1), 0.42, tip=0.16, paint="frame")
    elif style == "trestle":
        for x in (-0.72 * inset * long, 0.72 * inset * long):
            toy.box(
                "leg", (x, 0, high / 2), (0.05, 0.75 * inset * wide, high / 2), taper=(1, 0.5), paint="frame"
            )
        toy.box("bar", (0, 0, 0.4 * high), (0.7 * inset * long, 0.03, 0.05), paint="frame")
    else:
        _legs(toy, rng, inset * long, inset * wide, high, rng.uniform(0.045, 0.075))
        if chance(rng, 0.55):
            toy.box("apron", (0, 0, high - 0.11), (inset * long, inset * wide, 0.07), paint="frame")
        if chance(rng, 0.25):
            toy.box("shelf", (0, 0, 0.3 * high), (inset * long, inset * wide, 0.025), paint="frame")


@category
def lamp(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["shade"] = any_material(rng, printed=0.5)
    toy.paints["frame"] = metal(rng) if chance(rng, 0.5) else any_material(rng, printed=0.2)
    if chance(rng, 0.28):  # a desk lamp with a jointed arm
        elbow, head = (-0.35, 0, 0.75), (0.3, 0, 1.15)
        toy.rod("base", (0, 0, 0), (0, 0, 0.09), 0.36, tip=0.3, paint="frame")
        toy.limb("pole", (0, 0, 0.08), elbow, 0.04, paint="frame")
        toy.limb("pole", elbow, head, 0.04, paint="frame")
        toy.ball("pole", elbow, 0.07, paint="dark")
        toy.rod("shade", (0.52, 0, 0.87), (0.26, 0, 1.2), 0.32, tip=0.12, paint="shade")
        toy.ball("bulb", (0.5, 0, 0.9), 0.17, paint="lamp")
        return
    tall, r = rng.uniform(0.6, 1.9), rng.uniform(0.34, 0.5)
    foot = rng.choice(["disc", "tripod", "vase"], p=[0.45, 0.25, 0.3])
    if foot == "tripod":
        for angle in (0, 120, 240):
            with toy.joint((0, 0, 0), (0, 0, angle)):
                toy.limb("pole", (0.38, 0, 0), (0, 0, 0.8 * tall), 0.035, paint="frame")
    elif foot == "vase":
        tall = min(tall, 0.85)
        toy.ball("base", (0, 0, 0.42 * tall), (0.28, 0.28, 0.42 * tall), paint="frame")
        toy.rod("base", (0, 0, 0), (0, 0, 0.06), 0.22, paint="frame")
    else:
        toy.rod("base", (0, 0, 0), (0, 0, 0.08), 0.32, tip=0.26, paint="frame")
    toy.rod("pole", (0, 0, 0.0), (0, 0, tall + 0.2), 0.04, paint="frame")
    if chance(rng, 0.75):
        toy.rod(
            "shade",
            (0, 0, tall),
            (0, 0, tall + rng.uniform(0.42, 0.6)),
            r,
            tip=rng.uniform(0.35, 0.95) * r,
            paint="shade",
        )
    else:
        toy.ball("shade", (0, 0, tall + 0.2), (r, r, 0.8 * r), paint="lamp")
    toy.ball("bulb", (0, 0, tall + 0.03), (0.14, 0.14, 0.16), paint="lamp")
