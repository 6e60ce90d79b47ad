"""The auxiliary categories: many toys, none of them a detection category, to pre-train a network on.

Their names are the labels of the auxiliary pictures. They share solids, paints and the four-legged body plan
with the detection categories, as ImageNet's classes share parts with PASCAL's.
"""

from collections.abc import Callable

import numpy as np

from rcnn_helpers.datasets.toyvoc.kit import Toy
from rcnn_helpers.datasets.toyvoc.materials import (
    CHECKS,
    DOTS,
    PATCHES,
    Material,
    any_material,
    darker,
    fur,
    hsv,
    shade_of,
    wood,
)
from rcnn_helpers.datasets.toyvoc.toys import BodyPlan, chance, quadruped

BUILDERS: dict[str, Callable] = {}


def auxiliary(builder: Callable) -> Callable:
    """Register a builder under its own name."""
    BUILDERS[builder.__name__] = builder
    return builder


def _paint(hue, saturation, value, *, gloss=0.1) -> Material:
    return Material(hsv(hue, saturation, value), gloss=gloss)


# On wheels, rails, water and in the air --------------------------------------------------------------------


@auxiliary
def tractor(toy: Toy, rng):
    big = rng.uniform(0.38, 0.48)
    toy.box("bonnet", (0.4, 0, 0.55), (0.5, 0.2, 0.2), bevel=0.08)
    toy.box("cab", (-0.35, 0, 0.95), (0.32, 0.3, 0.35), taper=(0.85, 0.85), paint="glass")
    toy.box("roof", (-0.35, 0, 1.33), (0.36, 0.34, 0.05))
    toy.rod("exhaust", (0.5, 0.1, 0.7), (0.5, 0.1, 1.25), 0.04, paint="metal")
    toy.wheel((-0.4, 0.36, big), big, 0.12, hub="accent")
    toy.wheel((0.65, 0.28, 0.22), 0.22, 0.08, hub="accent")


@auxiliary
def locomotive(toy: Toy, rng):
    toy.box("frame", (0, 0, 0.25), (1, 0.3, 0.08), paint="dark")
    toy.rod("boiler", (-0.2, 0, 0.6), (0.95, 0, 0.6), 0.28)
    toy.box("cab", (-0.6, 0, 0.7), (0.38, 0.34, 0.4))
    toy.box("window", (-0.6, 0, 0.85), (0.2, 0.35, 0.13), paint="glass")
    toy.box("roof", (-0.6, 0, 1.13), (0.45, 0.4, 0.05), paint="accent")
    toy.rod("chimney", (0.7, 0, 0.8), (0.7, 0, 1.2), 0.09, tip=rng.uniform(0.1, 0.2), paint="dark")
    toy.ball("dome", (0.25, 0, 0.88), 0.13, paint="metal")
    for x in (-0.7, -0.2, 0.3, 0.75):
        toy.wheel((x, 0.3, 0.17), 0.17, 0.05, hub="red")


@auxiliary
def wagon(toy: Toy, rng):
    toy.box("bed", (0, 0, 0.4), (0.8, 0.42, 0.05))
    toy.box("side", (0, 0.42, 0.58), (0.8, 0.03, 0.16), pair=True)
    for x in (0.8, -0.8):
        toy.box("side", (x, 0, 0.58), (0.03, 0.42, 0.16))
        toy.wheel((0.7 * x, 0.42, 0.22), 0.22, 0.06, hub="accent")
    toy.limb("handle", (0.8, 0, 0.35), (1.4, 0, rng.uniform(0.4, 1.1)), 0.035, paint="dark")


@auxiliary
def tricycle(toy: Toy, rng):
    front = rng.uniform(0.3, 0.4)
    toy.wheel((0.6, 0.0, front), front, 0.05, hub="accent", pair=False)
    toy.wheel((-0.55, 0.4, 0.2), 0.2, 0.05, hub="accent")
    toy.limb("axle", (-0.55, -0.4, 0.2), (-0.55, 0.4, 0.2), 0.03, paint="metal")
    toy.limb("frame", (-0.55, 0, 0.2), (0.4, 0, 0.75), 0.06)
    toy.limb("fork", (0.6, 0.09, front), (0.35, 0.06, 1.05), 0.035, pair=True)
    toy.limb("handlebar", (0.33, -0.4, 1.1), (0.33, 0.4, 1.1), 0.035, paint="dark")
    toy.box("saddle", (-0.25, 0, 0.68), (0.22, 0.16, 0.06), paint="dark")


@auxiliary
def motorbike(toy: Toy, rng):
    r = rng.uniform(0.27, 0.33)
    for x in (0.7, -0.7):
        toy.wheel((x, 0, r), r, 0.07, pair=False)
    toy.limb("fork", (0.7, 0.11, r), (0.42, 0.11, 0.9), 0.035, paint="metal", pair=True)
    toy.limb("handlebar", (0.36, -0.38, 0.98), (0.36, 0.38, 0.98), 0.03, paint="dark")
    toy.ball("tank", (0.15, 0, 0.72), (0.3, 0.16, 0.17))
    toy.box("saddle", (-0.38, 0, 0.7), (0.33, 0.13, 0.06), bevel=0.05, paint="dark")
    toy.box("engine", (0, 0, 0.42), (0.25, 0.17, 0.2), paint="metal")
    toy.rod("exhaust", (0, 0.17, 0.3), (-0.85, 0.17, 0.34), 0.05, paint="metal")
    toy.ball("headlight", (0.52, 0, 0.82), 0.1, paint="lamp")


@auxiliary
def digger(toy: Toy, rng):
    toy.box("track", (0, 0.33, 0.17), (0.6, 0.12, 0.17), bevel=0.14, paint="dark", pair=True)
    toy.box("body", (-0.1, 0, 0.52), (0.5, 0.36, 0.15))
    toy.box("cab", (0.05, 0.15, 0.85), (0.22, 0.2, 0.25), paint="glass")
    lift = rng.uniform(25, 60)
    with toy.joint((0.35, -0.1, 0.6), (0, -lift, 0)):
        toy.box("arm", (0.4, 0, 0), (0.45, 0.06, 0.08))
        with toy.joint((0.85, 0, 0), (0, lift + rng.uniform(20, 70), 0)):
            toy.box("arm", (0.3, 0, 0), (0.35, 0.05, 0.06))
            toy.box("bucket", (0.7, 0, 0.08), (0.16, 0.18, 0.14), taper=(0.6, 1), paint="metal")


@auxiliary
def battle_tank(toy: Toy, rng):
    toy.box("track", (0, 0.42, 0.2), (0.85, 0.13, 0.2), bevel=0.18, paint="dark", pair=True)
    for x in (-0.5, 0, 0.5):
        toy.rod("wheel", (x, 0.5, 0.17), (x, 0.57, 0.17), 0.13, paint="metal", pair=True)
    toy.box("hull", (0, 0, 0.42), (0.8, 0.4, 0.14), taper=(0.85, 0.9))
    with toy.joint((0, 0, 0.65), (0, 0, rng.uniform(-60, 60))):
        toy.rod("turret", (0, 0, -0.12), (0, 0, 0.16), 0.38, tip=0.28)
        toy.rod("gun", (0.2, 0, 0.02), (1.2, 0, 0.1), 0.06)


@auxiliary
def helicopter(toy: Toy, rng):
    toy.ball("cabin", (0.2, 0, 0.6), (0.55, 0.33, 0.35))
    toy.ball("window", (0.42, 0, 0.66), (0.38, 0.29, 0.26), paint="glass")
    toy.rod("tail", (-0.2, 0, 0.68), (-1.15, 0, 0.8), 0.15, tip=0.05)
    toy.box("fin", (-1.12, 0, 0.95), (0.1, 0.02, 0.2), lean=-0.8)
    toy.rod("mast", (0.15, 0, 0.9), (0.15, 0, 1.1), 0.05, paint="dark")
    with toy.joint((0.15, 0, 1.1), (0, 0, rng.uniform(0, 90))):
        toy.box("rotor", (0, 0, 0), (1.05, 0.06, 0.015), paint="accent")
        toy.box("rotor", (0, 0, 0), (0.06, 1.05, 0.015), paint="accent")
    toy.limb("skid", (-0.35, 0.3, 0.05), (0.6, 0.3, 0.05), 0.035, paint="dark", pair=True)
    toy.limb("skid", (0.1, 0.3, 0.05), (0.1, 0.15, 0.4), 0.03, paint="dark", pair=True)


@auxiliary
def sailing_boat(toy: Toy, rng):
    toy.box("hull", (0, 0, 0.18), (0.6, 0.22, 0.18), taper=(1.55, 1.4), bevel=0.05)
    toy.box("deck", (-0.15, 0, 0.4), (0.3, 0.2, 0.08), paint="wood")
    toy.rod("mast", (0.05, 0, 0.3), (0.05, 0, 1.9), 0.035, paint="wood")
    toy.box("sail", (-0.38, 0, 1.1), (0.38, 0.012, 0.62), taper=(0.08, 1), lean=0.9, paint="accent")
    toy.box("sail", (0.36, 0, 0.95), (0.27, 0.012, 0.5), taper=(0.08, 1), lean=-0.9, paint="white")


@auxiliary
def steamer(toy: Toy, rng):
    toy.box("hull", (0, 0, 0.2), (0.85, 0.28, 0.2), taper=(1.2, 1.25), bevel=0.06)
    toy.box("deck", (-0.1, 0, 0.52), (0.6, 0.24, 0.13), paint="white")
    toy.box("deck", (-0.05, 0, 0.73), (0.35, 0.18, 0.1), paint="white")
    for x in (-0.35, 0.0, 0.3)[: rng.integers(1, 4)]:
        toy.rod("funnel", (x, 0, 0.8), (x - 0.06, 0, 1.25), 0.1, paint="red")
    for x in np.linspace(-0.5, 0.35, 5):
        toy.ball("window", (x, 0.24, 0.53), (0.05, 0.03, 0.05), paint="dark", pair=True)


@auxiliary
def submarine(toy: Toy, rng):
    toy.ball("hull", (0, 0, 0.4), (1, 0.34, 0.36))
    toy.box("tower", (0.1, 0, 0.8), (0.25, 0.13, 0.2), bevel=0.1)
    toy.limb("periscope", (0.1, 0, 0.9), (0.1, 0, 1.25), 0.035, paint="metal")
    toy.limb("periscope", (0.1, 0, 1.25), (0.25, 0, 1.25), 0.035, paint="metal")
    for x in (-0.35, 0.0, 0.35):
        toy.ball("window", (x, 0.31 - 0.1 * abs(x), 0.45), (0.09, 0.05, 0.09), paint="glass", pair=True)
    toy.box("fin", (-0.9, 0, 0.4), (0.1, 0.4, 0.025), paint="accent")
    toy.box("fin", (-0.9, 0, 0.4), (0.1, 0.025, 0.38), paint="accent")


@auxiliary
def rocket(toy: Toy, rng):
    toy.symmetric = True
    r, tall = rng.uniform(0.22, 0.32), rng.uniform(1.0, 1.5)
    toy.rod("hull", (0, 0, 0.3), (0, 0, tall), r)
    toy.rod("nose", (0, 0, tall), (0, 0, tall + 0.55), r, tip=0.02, paint="accent")
    toy.ball("window", (r, 0, 0.75 * tall), (0.05, 0.12, 0.12), paint="glass")
    for angle in (0, 90, 180, 270):
        with toy.joint((0, 0, 0), (0, 0, angle)):
            toy.box("fin", (r + 0.1, 0, 0.3), (0.17, 0.02, 0.3), taper=(0.3, 1), lean=-0.7, paint="accent")
    toy.rod("nozzle", (0, 0, 0.12), (0, 0, 0.3), 0.24, tip=0.14, paint="dark")


@auxiliary
def balloon(toy: Toy, rng):
    toy.symmetric = True
    toy.ball("envelope", (0, 0, 1.6), (0.7, 0.7, 0.75))
    toy.rod("envelope", (0, 0, 0.75), (0, 0, 1.3), 0.2, tip=0.62)
    toy.box("basket", (0, 0, 0.2), (0.2, 0.2, 0.18), paint="wood")
    for x in (-0.18, 0.18):
        toy.limb("rope", (x, 0.18, 0.3), (x, 0.16, 0.85), 0.015, paint="dark", pair=True)


@auxiliary
def flying_saucer(toy: Toy, rng):
    toy.symmetric = True
    toy.ball("disc", (0, 0, 0.45), (1, 1, 0.2))
    toy.ball("dome", (0, 0, 0.55), (0.45, 0.45, 0.38), paint="glass")
    for angle in range(0, 360, 45):
        with toy.joint((0, 0, 0.45), (0, 0, angle)):
            toy.ball("light", (0.85, 0, 0.06), 0.08, paint="lamp")
    for angle in (0, 120, 240):
        with toy.joint((0, 0, 0), (0, 0, angle)):
            toy.limb("leg", (0.3, 0, 0.4), (0.55, 0, 0), 0.04, paint="metal")


# Animals ---------------------------------------------------------------------------------------------------


@auxiliary
def elephant(toy: Toy, rng):
    toy.paints["body"] = (
        _paint(rng.uniform(0.5, 0.7), 0.08, rng.uniform(0.4, 0.7)) if chance(rng, 0.7) else any_material(rng)
    )
    plan = BodyPlan(
        girth=0.52,
        legs=0.5,
        leg_radius=0.18,
        neck=0.2,
        head=(0.38, 0.36, 0.4),
        snout=0.25,
        snout_radius=0.14,
        snout_drop=60,
        ears="fan",
        ear=0.36,
        tail="thin",
        head_turn=25,
    )
    _, _, head = quadruped(toy, rng, plan)
    root = head + (0.5, 0, -0.2)
    bend = root + (0.15, 0, -0.45)
    toy.limb("trunk of nose", root - (0.15, 0, 0), bend, 0.12)
    toy.limb("trunk of nose", bend, bend + (0.3, 0, rng.uniform(-0.25, 0.3)), 0.095)
    toy.rod(
        "tusk", root + (0, 0.16, -0.1), root + (0.4, 0.2, -0.12), 0.06, tip=0.02, paint="white", pair=True
    )


@auxiliary
def giraffe(toy: Toy, rng):
    colour = hsv(rng.uniform(0.1, 0.14), rng.uniform(0.4, 0.7), 0.9)
    toy.paints["body"] = Material(
        colour, hsv(0.06, 0.7, 0.45), DOTS if chance(rng, 0.5) else PATCHES, rng.uniform(7, 10), gloss=0.05
    )
    plan = BodyPlan(
        girth=0.32,
        legs=1.1,
        leg_radius=0.075,
        neck=1.45,
        neck_rise=rng.uniform(62, 75),
        neck_radius=0.13,
        head=(0.2, 0.15, 0.16),
        snout=0.26,
        snout_radius=0.09,
        snout_drop=25,
        ears="side",
        ear=0.12,
        head_turn=25,
    )
    _, _, head = quadruped(toy, rng, plan)
    toy.limb("horn", head + (0, 0.07, 0.15), head + (-0.02, 0.08, 0.38), 0.025, paint="dark", pair=True)


@auxiliary
def cow(toy: Toy, rng):
    toy.paints["body"] = Material(
        hsv(0.1, 0.05, 0.92), hsv(0.06, 0.4, rng.uniform(0.08, 0.4)), PATCHES, rng.uniform(4, 7), grain=0.2
    )
    toy.paints["snout"] = _paint(0.98, 0.3, 0.9)
    plan = BodyPlan(
        girth=0.44,
        legs=0.55,
        leg_radius=0.11,
        neck=0.25,
        neck_rise=25,
        head=(0.3, 0.25, 0.27),
        snout=0.32,
        snout_radius=0.17,
        ears="side",
        ear=0.15,
        feet="dark",
    )
    rump, _, head = quadruped(toy, rng, plan)
    toy.rod(
        "horn", head + (0, 0.18, 0.25), head + (0.05, 0.33, 0.5), 0.06, tip=0.01, paint="white", pair=True
    )
    toy.ball("udder", rump + (0.15, 0, -0.42), (0.18, 0.16, 0.14), paint="snout")


@auxiliary
def pig(toy: Toy, rng):
    toy.paints["body"] = _paint(rng.uniform(0.95, 1.02), rng.uniform(0.2, 0.45), rng.uniform(0.8, 0.95))
    plan = BodyPlan(
        girth=0.52,
        legs=0.25,
        leg_radius=0.12,
        neck=0.12,
        neck_rise=10,
        neck_radius=0.3,
        head=(0.35, 0.33, 0.33),
        snout=0.18,
        snout_radius=0.15,
        snout_drop=10,
        ears="pointed",
        ear=0.15,
        tail="stub",
    )
    quadruped(toy, rng, plan, posture="stand" if chance(rng, 0.7) else "lie")


@auxiliary
def sheep(toy: Toy, rng):
    wool = Material(hsv(0.1, rng.uniform(0, 0.2), rng.uniform(0.75, 0.95)), gloss=0.0, grain=0.4)
    toy.paints["body"] = darker(wool, rng.choice([0.05, 0.9]))
    plan = BodyPlan(
        girth=0.36,
        legs=0.45,
        leg_radius=0.07,
        neck=0.2,
        head=(0.25, 0.19, 0.22),
        snout=0.22,
        snout_radius=0.12,
        snout_drop=35,
        ears="side",
        ear=0.13,
        tail="stub",
    )
    rump, chest, head = quadruped(toy, rng, plan)
    toy.paints["wool"] = wool
    for x in np.linspace(-0.15, 1.1, 5):
        for angle in (-75, -25, 25, 75):
            spot = rump + x * (chest - rump)
            around = np.array((0, np.sin(np.radians(angle)), np.cos(np.radians(angle)))) * 0.3
            toy.ball("wool", spot + around, 0.23, paint="wool")
    toy.ball("wool", head + (0, 0, 0.2), 0.16, paint="wool")


@auxiliary
def rabbit(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    plan = BodyPlan(
        girth=0.45,
        legs=0.25,
        leg_radius=0.1,
        neck=0.18,
        head=(0.33, 0.29, 0.3),
        snout=0.12,
        snout_radius=0.13,
        ears="long",
        ear=rng.uniform(0.2, 0.28),
        tail="stub",
    )
    quadruped(toy, rng, plan, posture=rng.choice(["sit", "lie"]))


@auxiliary
def bear(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    toy.paints["snout"] = darker(toy.paints["body"], 1.5)
    z = 0.55
    toy.ball("belly", (0, 0, z), (0.4, 0.45, 0.52))
    toy.ball("belly", (0.14, 0, z - 0.02), (0.31, 0.35, 0.4), paint="snout")
    toy.ball("head", (0.05, 0, 1.3), (0.36, 0.4, 0.36))
    toy.ball("snout", (0.36, 0, 1.22), (0.16, 0.17, 0.13), paint="snout")
    toy.ball("nose", (0.5, 0, 1.27), 0.055, paint="dark")
    toy.ball("eye", (0.34, 0.15, 1.42), 0.05, paint="dark", pair=True)
    toy.ball("ear", (0, 0.32, 1.6), (0.08, 0.14, 0.14), pair=True)
    toy.limb("arm", (0.05, 0.42, 0.85), (0.25, 0.6, rng.uniform(0.4, 1.1)), 0.14, pair=True)
    toy.limb("leg", (0.05, 0.25, 0.18), (0.6, 0.38, 0.17), 0.17, pair=True)


@auxiliary
def mouse(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    toy.paints["pink"] = _paint(0.97, 0.35, 0.9)
    toy.ball("body", (0, 0, 0.32), (0.62, 0.36, 0.34))
    toy.rod("head", (0.3, 0, 0.32), (0.98, 0, 0.2), 0.28, tip=0.06)
    toy.ball("nose", (1.0, 0, 0.2), 0.07, paint="pink")
    toy.ball("ear", (0.4, 0.27, 0.62), (0.06, 0.22, 0.24), paint="pink", pair=True)
    toy.ball("eye", (0.72, 0.13, 0.36), 0.05, paint="dark", pair=True)
    tail = [(-0.55, 0, 0.15), (-1.0, rng.uniform(-0.3, 0.3), 0.06), (-1.5, rng.uniform(-0.5, 0.5), 0.06)]
    toy.limb("tail", tail[0], tail[1], 0.04, paint="pink")
    toy.limb("tail", tail[1], tail[2], 0.03, paint="pink")
    toy.ball("foot", (0.35, 0.22, 0.05), (0.13, 0.07, 0.05), paint="pink", pair=True)


@auxiliary
def lion(toy: Toy, rng):
    toy.paints["body"] = _paint(rng.uniform(0.08, 0.13), rng.uniform(0.45, 0.7), rng.uniform(0.65, 0.9))
    toy.paints["mane"] = _paint(0.06, 0.7, rng.uniform(0.25, 0.5))
    plan = BodyPlan(
        girth=0.35,
        legs=0.5,
        leg_radius=0.11,
        neck=0.3,
        head=(0.31, 0.29, 0.3),
        snout=0.2,
        snout_radius=0.15,
        ears="round",
        ear=0.1,
        tail="thin",
        head_turn=15,
    )
    rump, _, head = quadruped(toy, rng, plan, posture=rng.choice(["stand", "lie"]))
    for angle in range(0, 360, 40):
        spot = np.array((-0.05, np.sin(np.radians(angle)), np.cos(np.radians(angle)))) * (1, 0.36, 0.36)
        toy.ball("mane", head + spot + (0, 0, 0.05), 0.2, paint="mane")


@auxiliary
def camel(toy: Toy, rng):
    toy.paints["body"] = _paint(rng.uniform(0.07, 0.12), rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.85))
    plan = BodyPlan(
        girth=0.38,
        legs=0.95,
        leg_radius=0.09,
        neck=0.8,
        neck_rise=rng.uniform(35, 55),
        neck_radius=0.14,
        head=(0.25, 0.16, 0.18),
        snout=0.28,
        snout_radius=0.12,
        ears="round",
        ear=0.07,
        head_turn=20,
    )
    rump, chest, _ = quadruped(toy, rng, plan)
    for share in (0.2, 0.8) if chance(rng, 0.6) else (0.5,):
        toy.ball("hump", rump + share * (chest - rump) + (0, 0, 0.38), (0.27, 0.2, 0.32))


@auxiliary
def crocodile(toy: Toy, rng):
    toy.paints["body"] = toy.paints["green"]
    toy.ball("body", (0, 0, 0.2), (0.6, 0.26, 0.17))
    toy.rod("tail", (-0.35, 0, 0.18), (-1.3, rng.uniform(-0.3, 0.3), 0.08), 0.2, tip=0.02)
    opening = rng.uniform(0, 22)
    with toy.joint((0.5, 0, 0.22), (0, -opening, 0)):
        toy.box("jaw", (0.4, 0, 0.04), (0.45, 0.16, 0.06), taper=(0.9, 0.7))
        toy.ball("eye", (0.08, 0.12, 0.13), 0.07, paint="white", pair=True)
    toy.box("jaw", (0.88, 0, 0.14), (0.42, 0.14, 0.04))
    for x in np.linspace(-1.0, 0.4, 9):
        toy.rod(
            "scale", (x, 0, 0.28 - 0.1 * abs(x)), (x, 0, 0.45 - 0.1 * abs(x)), 0.07, tip=0.01, paint="accent"
        )
    for x in (-0.35, 0.35):
        toy.limb("leg", (x, 0.22, 0.15), (x + 0.1, 0.38, 0.05), 0.065, pair=True)


@auxiliary
def turtle(toy: Toy, rng):
    toy.paints["skin"] = toy.paints["green"]
    toy.ball("shell", (0, 0, 0.32), (0.62, 0.52, 0.36))
    toy.rod("shell", (0, 0, 0.2), (0, 0, 0.28), 0.6, paint="accent")
    stretch = rng.uniform(0, 0.25)
    toy.limb("neck", (0.45, 0, 0.25), (0.7 + stretch, 0, 0.42), 0.1, paint="skin")
    toy.ball("head", (0.8 + stretch, 0, 0.47), (0.2, 0.15, 0.15), paint="skin")
    toy.ball("eye", (0.9 + stretch, 0.1, 0.53), 0.04, paint="dark", pair=True)
    for x in (-0.4, 0.4):
        toy.ball(
            "leg",
            (1.15 * x, 0.45, 0.1),
            (0.19, 0.16, 0.11),
            turn=(0, 0, 30 if x > 0 else -30),
            paint="skin",
            pair=True,
        )
    toy.rod("tail", (-0.55, 0, 0.16), (-0.8, 0, 0.1), 0.07, tip=0.01, paint="skin")


@auxiliary
def snail(toy: Toy, rng):
    toy.paints["skin"] = fur(rng)
    toy.rod("shell", (-0.05, -0.2, 0.55), (-0.05, 0.2, 0.55), 0.48, bevel=0.2)
    toy.rod("shell", (-0.05, -0.26, 0.55), (-0.05, 0.26, 0.55), 0.3, bevel=0.1, paint="accent")
    toy.rod("shell", (-0.05, -0.3, 0.55), (-0.05, 0.3, 0.55), 0.13, paint="trim")
    toy.ball("foot", (0.05, 0, 0.1), (0.9, 0.2, 0.11), paint="skin")
    toy.limb("neck", (0.65, 0, 0.12), (0.9, 0, 0.5), 0.13, paint="skin")
    toy.limb("feeler", (0.92, 0.06, 0.55), (1.05, 0.14, 0.85), 0.025, paint="skin", pair=True)
    toy.ball("eye", (1.05, 0.14, 0.87), 0.05, paint="dark", pair=True)


@auxiliary
def fish(toy: Toy, rng):
    tall = rng.uniform(0.35, 0.5)
    toy.ball("body", (0, 0, 0.6), (0.75, 0.2, tall))
    toy.box("tail", (-0.88, 0, 0.6), (0.25, 0.03, 0.2), turn=(0, 90, 0), taper=(2.0, 1), paint="accent")
    toy.box("fin", (-0.05, 0, 0.6 + tall), (0.25, 0.025, 0.14), taper=(0.5, 1), lean=-0.6, paint="accent")
    toy.ball("fin", (0.1, 0.24, 0.5), (0.17, 0.1, 0.07), turn=(30, 30, 0), paint="accent", pair=True)
    toy.ball("eye", (0.5, 0.13, 0.7), 0.08, paint="white", pair=True)
    toy.ball("eye", (0.54, 0.17, 0.71), 0.045, paint="dark", pair=True)
    toy.rod("stand", (0, 0, 0), (0, 0, 0.3), 0.2, tip=0.05, paint="wood")


@auxiliary
def whale(toy: Toy, rng):
    toy.paints["body"] = _paint(rng.uniform(0.52, 0.65), rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.8))
    toy.ball("body", (0.15, 0, 0.42), (0.75, 0.45, 0.42))
    toy.ball("belly", (0.18, 0, 0.34), (0.7, 0.42, 0.36), paint="white")
    toy.rod("tail", (-0.35, 0, 0.45), (-1.0, 0, 0.8), 0.3, tip=0.06)
    toy.ball("fluke", (-1.1, 0.2, 0.85), (0.16, 0.27, 0.05), turn=(0, -20, 30), pair=True)
    toy.ball("fin", (0.2, 0.5, 0.25), (0.15, 0.3, 0.05), turn=(-25, 0, -20), pair=True)
    toy.ball("eye", (0.65, 0.3, 0.5), 0.05, paint="dark", pair=True)


@auxiliary
def crab(toy: Toy, rng):
    toy.paints["body"] = toy.paints["red"] if chance(rng, 0.6) else toy.paints["body"]
    toy.ball("shell", (0, 0, 0.38), (0.45, 0.6, 0.24))
    for x in (-0.3, -0.08, 0.14):
        toy.limb("leg", (x, 0.45, 0.35), (1.3 * x, 0.85, 0.5), 0.045, pair=True)
        toy.limb("leg", (1.3 * x, 0.85, 0.5), (1.5 * x, 1.0, 0.03), 0.035, pair=True)
    toy.limb("arm", (0.3, 0.45, 0.38), (0.65, 0.7, 0.42), 0.06, pair=True)
    toy.ball("claw", (0.82, 0.68, 0.45), (0.24, 0.12, 0.14), turn=(0, 0, -25), pair=True)
    toy.ball("claw", (0.85, 0.5, 0.45), (0.17, 0.06, 0.08), turn=(0, 0, -10), pair=True)
    toy.limb("eye", (0.35, 0.15, 0.5), (0.4, 0.16, 0.72), 0.035, pair=True)
    toy.ball("eye", (0.42, 0.16, 0.74), 0.06, paint="dark", pair=True)


@auxiliary
def penguin(toy: Toy, rng):
    toy.paints["body"] = toy.paints["dark"] if chance(rng, 0.6) else toy.paints["body"]
    toy.ball("body", (0, 0, 0.6), (0.35, 0.4, 0.56))
    toy.ball("belly", (0.1, 0, 0.56), (0.29, 0.33, 0.48), paint="white")
    with toy.joint((0.02, 0, 1.22), (0, 0, rng.uniform(-40, 40))):
        toy.ball("head", (0, 0, 0), 0.27)
        toy.rod("beak", (0.2, 0, -0.02), (0.5, 0, -0.05), 0.08, tip=0.01, paint="lamp")
        toy.ball("eye", (0.2, 0.12, 0.08), 0.05, paint="white", pair=True)
    toy.ball("wing", (0, 0.42, 0.65), (0.15, 0.05, 0.38), turn=(rng.uniform(8, 40), 0, 0), pair=True)
    toy.ball("foot", (0.15, 0.18, 0.05), (0.22, 0.12, 0.05), paint="lamp", pair=True)


@auxiliary
def duck(toy: Toy, rng):
    toy.paints["body"] = _paint(0.14, 0.8, 0.95) if chance(rng, 0.6) else toy.paints["body"]
    toy.paints["beak"] = _paint(0.07, 0.9, 0.95)
    toy.ball("body", (0, 0, 0.36), (0.68, 0.44, 0.36))
    toy.rod("tail", (-0.45, 0, 0.45), (-0.85, 0, 0.75), 0.25, tip=0.04)
    toy.ball("wing", (-0.05, 0.4, 0.45), (0.38, 0.1, 0.22), turn=(0, 12, 0), pair=True)
    with toy.joint((0.42, 0, 0.92), (0, 0, rng.uniform(-35, 35))):
        toy.ball("head", (0, 0, 0), 0.31)
        toy.ball("beak", (0.34, 0, -0.05), (0.22, 0.16, 0.055), paint="beak")
        toy.ball("eye", (0.22, 0.16, 0.1), 0.055, paint="dark", pair=True)


@auxiliary
def owl(toy: Toy, rng):
    toy.paints["body"] = fur(rng)
    toy.ball("body", (0, 0, 0.55), (0.38, 0.44, 0.55))
    toy.ball("belly", (0.12, 0, 0.5), (0.3, 0.34, 0.42), paint="accent")
    toy.ball("head", (0.03, 0, 1.1), (0.36, 0.42, 0.32))
    toy.ball("eye", (0.3, 0.17, 1.14), (0.08, 0.16, 0.16), paint="white", pair=True)
    toy.ball("eye", (0.37, 0.17, 1.14), 0.07, paint="dark", pair=True)
    toy.rod("beak", (0.34, 0, 1.06), (0.46, 0, 0.92), 0.07, tip=0.01, paint="lamp")
    toy.rod("ear", (0, 0.26, 1.3), (0, 0.36, 1.56), 0.11, tip=0.01, pair=True)
    toy.ball("wing", (-0.05, 0.43, 0.58), (0.26, 0.08, 0.42), paint="trim", pair=True)


@auxiliary
def caterpillar(toy: Toy, rng):
    x, y, turn = 0.0, 0.0, rng.uniform(-15, 15)
    for k in range(6):
        toy.ball("segment", (x, y, 0.26), 0.26, paint="body" if k % 2 else "accent")
        toy.ball("foot", (x, y + 0.12, 0.05), (0.09, 0.1, 0.05), paint="dark")
        x -= 0.36 * np.cos(np.radians(turn * k))
        y -= 0.36 * np.sin(np.radians(turn * k))
    toy.ball("head", (0.4, 0, 0.42), 0.32, paint="accent")
    toy.ball("eye", (0.65, 0.13, 0.52), 0.07, paint="white", pair=True)
    toy.limb("feeler", (0.4, 0.1, 0.7), (0.5, 0.2, 0.98), 0.025, paint="dark", pair=True)


@auxiliary
def spider(toy: Toy, rng):
    toy.ball("body", (-0.3, 0, 0.42), (0.4, 0.34, 0.3))
    toy.ball("head", (0.22, 0, 0.38), (0.24, 0.22, 0.2), paint="trim")
    toy.ball("eye", (0.4, 0.09, 0.47), 0.06, paint="white", pair=True)
    for angle in (25, 60, 100, 140):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        knee, foot = (
            (0.05 + 0.6 * c, 0.6 * s + 0.05, rng.uniform(0.6, 0.8)),
            (0.05 + 1.05 * c, 1.05 * s, 0.02),
        )
        toy.limb("leg", (0.1, 0.1, 0.38), knee, 0.045, paint="dark", pair=True)
        toy.limb("leg", knee, foot, 0.035, paint="dark", pair=True)


@auxiliary
def ladybird(toy: Toy, rng):
    toy.paints["body"] = Material(
        toy.paints["red"].colour, hsv(0, 0, 0.05), DOTS, rng.uniform(3.5, 5.5), gloss=0.4
    )
    toy.ball("wing case", (0, 0, 0.25), (0.58, 0.5, 0.38))
    toy.box("wing case", (-0.05, 0, 0.3), (0.5, 0.015, 0.34), paint="dark")
    toy.ball("head", (0.52, 0, 0.24), (0.22, 0.26, 0.2), paint="dark")
    toy.ball("eye", (0.66, 0.14, 0.3), 0.055, paint="white", pair=True)
    toy.limb("feeler", (0.62, 0.08, 0.38), (0.85, 0.2, 0.55), 0.02, paint="dark", pair=True)
    for x in (-0.3, 0.0, 0.3):
        toy.limb("leg", (x, 0.4, 0.12), (1.2 * x, 0.62, 0.02), 0.04, paint="dark", pair=True)


@auxiliary
def dinosaur(toy: Toy, rng):
    toy.paints["body"] = toy.paints["green"] if chance(rng, 0.5) else any_material(rng)
    z = 0.75
    toy.ball("body", (0, 0, z), (0.5, 0.32, 0.36))
    toy.rod("tail", (-0.3, 0, z), (-1.3, rng.uniform(-0.3, 0.3), 0.25), 0.3, tip=0.03)
    toy.limb("neck", (0.3, 0, z + 0.15), (0.55, 0, z + 0.65), 0.17)
    toy.ball("head", (0.72, 0, z + 0.78), (0.34, 0.2, 0.2))
    toy.ball("eye", (0.8, 0.15, z + 0.88), 0.05, paint="white", pair=True)
    toy.limb("leg", (-0.05, 0.24, z - 0.1), (0.08, 0.26, 0.35), 0.17, pair=True)
    toy.limb("leg", (0.08, 0.26, 0.35), (0.0, 0.26, 0.1), 0.1, pair=True)
    toy.ball("foot", (0.1, 0.26, 0.07), (0.24, 0.13, 0.07), pair=True)
    toy.limb("arm", (0.4, 0.22, z + 0.05), (0.62, 0.24, z - 0.1), 0.06, pair=True)
    for x in np.linspace(-0.9, 0.2, 6):
        toy.rod(
            "spike",
            (x, 0, z + 0.32 - 0.45 * max(0, -x - 0.1)),
            (x, 0, z + 0.52 - 0.45 * max(0, -x - 0.1)),
            0.08,
            tip=0.01,
            paint="accent",
        )


# Furniture and household -----------------------------------------------------------------------------------


@auxiliary
def stool(toy: Toy, rng):
    toy.symmetric = True
    tall, r = rng.uniform(0.5, 1.2), rng.uniform(0.3, 0.42)
    toy.rod("seat", (0, 0, tall), (0, 0, tall + rng.uniform(0.08, 0.2)), r, bevel=0.06)
    n = int(rng.integers(3, 5))
    for k in range(n):
        with toy.joint((0, 0, 0), (0, 0, 360 * k / n)):
            toy.limb("leg", (r * 1.1, 0, 0.03), (0.65 * r, 0, tall), 0.05, paint="wood")
            if n == 4:
                toy.limb("bar", (0.9 * r, 0, 0.4 * tall), (-0.9 * r, 0, 0.4 * tall), 0.03, paint="wood")


@auxiliary
def bed(toy: Toy, rng):
    wide = rng.uniform(0.42, 0.7)
    toy.box("frame", (0, 0, 0.22), (1, wide, 0.08), paint="wood")
    toy.box("mattress", (0, 0, 0.37), (0.95, 0.94 * wide, 0.1), bevel=0.06, paint="white")
    toy.box("blanket", (0.25, 0, 0.4), (0.7, 0.98 * wide, 0.11), bevel=0.06)
    toy.box("head", (-1, 0, 0.5), (0.05, wide, rng.uniform(0.35, 0.5)), paint="wood")
    toy.box("foot", (1, 0, 0.3), (0.05, wide, 0.3), paint="wood")
    toy.box("pillow", (-0.7, 0, 0.52), (0.18, 0.7 * wide, 0.08), bevel=0.07, paint="accent")


@auxiliary
def bookshelf(toy: Toy, rng):
    wide, tall, n = rng.uniform(0.4, 0.6), rng.uniform(0.75, 1.05), int(rng.integers(3, 5))
    toy.paints["body"] = wood(rng) if chance(rng, 0.6) else toy.paints["body"]
    toy.box("side", (0, wide, tall), (0.2, 0.03, tall), pair=True)
    toy.box("back", (-0.18, 0, tall), (0.02, wide, tall))
    for k in range(n + 1):
        toy.box("shelf", (0, 0, 0.03 + k * (2 * tall - 0.06) / n), (0.2, wide, 0.03))
    for k in range(n):
        z = 0.06 + k * (2 * tall - 0.06) / n
        y = -0.85 * wide
        while y < 0.75 * wide:
            thick, high = rng.uniform(0.03, 0.07), rng.uniform(0.55, 0.85) * tall / n
            toy.paints["book"] = any_material(rng, printed=0)
            if chance(rng, 0.85):
                toy.box("book", (0.02, y + thick, z + high), (0.14, thick, high), bevel=0.01, paint="book")
            y += 2 * thick + 0.01


@auxiliary
def wardrobe(toy: Toy, rng):
    wide, tall = rng.uniform(0.5, 0.65), rng.uniform(0.85, 1.0)
    toy.box("body", (0, 0, tall + 0.1), (0.32, wide, tall), bevel=0.03)
    toy.box(
        "door", (0.32, 0.5 * wide, tall + 0.1), (0.025, 0.46 * wide, 0.92 * tall), paint="accent", pair=True
    )
    toy.ball("knob", (0.37, 0.09, tall + 0.1), 0.04, paint="metal", pair=True)
    toy.box("top", (0, 0, 2 * tall + 0.12), (0.38, 1.06 * wide, 0.05))
    toy.box("foot", (0.2, 0.85 * wide, 0.05), (0.06, 0.06, 0.06), paint="dark", pair=True)
    toy.box("foot", (-0.2, 0.85 * wide, 0.05), (0.06, 0.06, 0.06), paint="dark", pair=True)


@auxiliary
def chest_of_drawers(toy: Toy, rng):
    wide, n = rng.uniform(0.5, 0.75), int(rng.integers(2, 5))
    tall = 0.22 * n
    toy.box("body", (0, 0, tall + 0.12), (0.35, wide, tall), bevel=0.03)
    for k in range(n):
        z = 0.12 + (2 * k + 1) * tall / n
        out = 0.2 if chance(rng, 0.15) else 0.0
        toy.box(
            "drawer", (0.36 + out / 2, 0, z), (0.03 + out / 2, 0.92 * wide, 0.85 * tall / n), paint="accent"
        )
        toy.ball("knob", (0.42 + out, 0.45 * wide, z), 0.045, paint="metal", pair=True)
    for x in (-0.28, 0.28):
        toy.rod("foot", (x, 0.85 * wide, 0), (x, 0.85 * wide, 0.12), 0.05, paint="dark", pair=True)


@auxiliary
def bench(toy: Toy, rng):
    wide = rng.uniform(0.8, 1.1)
    for x in (-0.24, 0.0, 0.24):
        toy.box("plank", (x, 0, 0.45), (0.1, wide, 0.035))
    for z in (0.68, 0.9):
        toy.box("plank", (-0.36 - 0.2 * (z - 0.6), 0, z), (0.03, wide, 0.085), turn=(0, -10, 0))
    toy.box("leg", (0, 0.8 * wide, 0.21), (0.3, 0.05, 0.21), taper=(0.9, 1), paint="dark", pair=True)
    toy.limb("leg", (-0.3, 0.8 * wide, 0.4), (-0.46, 0.8 * wide, 0.95), 0.045, paint="dark", pair=True)


@auxiliary
def piano(toy: Toy, rng):
    toy.paints["body"] = toy.paints["dark"] if chance(rng, 0.5) else toy.paints["wood"]
    toy.box("case", (-0.2, 0, 0.62), (0.22, 0.75, 0.6), bevel=0.03)
    toy.box("keyboard", (0.18, 0, 0.62), (0.25, 0.75, 0.07))
    toy.box("keys", (0.24, 0, 0.7), (0.16, 0.68, 0.02), paint="white")
    for y in np.linspace(-0.6, 0.6, 12):
        toy.box("keys", (0.18, y, 0.73), (0.09, 0.018, 0.02), paint="dark")
    toy.box("leg", (0.35, 0.68, 0.28), (0.05, 0.05, 0.28), pair=True)
    toy.box("stand", (0.06, 0, 0.95), (0.02, 0.35, 0.15), turn=(0, -15, 0), paint="accent")


@auxiliary
def mug(toy: Toy, rng):
    r, tall = rng.uniform(0.4, 0.5), rng.uniform(0.8, 1.1)
    toy.rod("cup", (0, 0, 0), (0, 0, tall), 0.92 * r, tip=r)
    toy.rod(
        "drink",
        (0, 0, tall - 0.1),
        (0, 0, tall + 0.012),
        0.86 * r,
        paint="wood" if chance(rng, 0.6) else "dark",
    )
    points = [(0.9 * r, 0.8), (r + 0.25, 0.75), (r + 0.3, 0.45), (0.9 * r, 0.25)]
    for (x1, z1), (x2, z2) in zip(points, points[1:], strict=False):
        toy.limb("handle", (0, x1, z1 * tall), (0, x2, z2 * tall), 0.07)


@auxiliary
def teapot(toy: Toy, rng):
    toy.ball("pot", (0, 0, 0.45), (0.52, 0.52, 0.44))
    toy.rod("pot", (0, 0, 0), (0, 0, 0.1), 0.32, paint="accent")
    toy.ball("lid", (0, 0, 0.8), (0.27, 0.27, 0.12), paint="accent")
    toy.ball("lid", (0, 0, 0.96), 0.08, paint="accent")
    toy.rod("spout", (0.35, 0, 0.35), (0.9, 0, 0.8), 0.15, tip=0.06)
    points = [(-0.42, 0.7), (-0.8, 0.75), (-0.88, 0.4), (-0.48, 0.25)]
    for (x1, z1), (x2, z2) in zip(points, points[1:], strict=False):
        toy.limb("handle", (x1, 0, z1), (x2, 0, z2), 0.055)


@auxiliary
def bottle(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["body"] = (
        Material(shade_of(toy.paints["body"].colour, 0.7), gloss=0.7)
        if chance(rng, 0.6)
        else toy.paints["body"]
    )
    tall, r = rng.uniform(0.8, 1.2), rng.uniform(0.26, 0.36)
    toy.rod("body", (0, 0, 0), (0, 0, tall), r, bevel=0.06)
    toy.rod("shoulder", (0, 0, tall), (0, 0, tall + 0.25), r, tip=0.11)
    toy.rod("neck", (0, 0, tall + 0.2), (0, 0, tall + 0.5), 0.11)
    toy.rod("cap", (0, 0, tall + 0.48), (0, 0, tall + 0.6), 0.13, paint="accent")
    toy.rod("label", (0, 0, 0.25 * tall), (0, 0, 0.75 * tall), 1.015 * r, paint="white")


@auxiliary
def saucepan(toy: Toy, rng):
    r, tall = rng.uniform(0.45, 0.55), rng.uniform(0.35, 0.65)
    toy.rod("pan", (0, 0, 0), (0, 0, tall), r, paint=rng.choice(["metal", "body"]))
    toy.rod(
        "lid", (0, 0, tall), (0, 0, tall + 0.12), 1.04 * r, tip=0.4 * r, paint=rng.choice(["metal", "accent"])
    )
    toy.ball("lid", (0, 0, tall + 0.17), 0.08, paint="dark")
    toy.limb("handle", (r, 0, 0.8 * tall), (r + rng.uniform(0.6, 0.9), 0, 0.95 * tall), 0.065, paint="dark")


@auxiliary
def clock(toy: Toy, rng):
    toy.rod("case", (-0.15, 0, 0.65), (0.15, 0, 0.65), 0.55)
    toy.rod("face", (0.1, 0, 0.65), (0.17, 0, 0.65), 0.47, paint="white")
    for angle, long in ((rng.uniform(0, 360), 0.26), (rng.uniform(0, 360), 0.38)):
        with toy.joint((0.18, 0, 0.65), (angle, 0, 0)):
            toy.box("hand", (0.01, 0, long / 2), (0.012, 0.03, long / 2), paint="dark")
    for angle in range(0, 360, 30):
        with toy.joint((0.17, 0, 0.65), (angle, 0, 0)):
            toy.box("mark", (0.005, 0, 0.41), (0.012, 0.015, 0.035), paint="dark")
    toy.limb("foot", (0, 0.25, 0.2), (0, 0.42, 0.0), 0.06, paint="metal", pair=True)
    toy.ball("bell", (0, 0.33, 1.2), 0.19, paint="metal", pair=True)


@auxiliary
def umbrella(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("canopy", (0, 0, 1.1), (0, 0, 1.55), 0.95, tip=0.1)
    toy.limb("stick", (0, 0, 0.15), (0, 0, 1.75), 0.035, paint="wood")
    toy.limb("handle", (0, 0, 0.15), (0.12, 0, 0.03), 0.045, paint="dark")
    toy.limb("handle", (0.12, 0, 0.03), (0.24, 0, 0.15), 0.045, paint="dark")


@auxiliary
def hammer(toy: Toy, rng):
    toy.limb("handle", (-0.9, 0, 0.16), (0.7, 0, 0.16), 0.075, paint="wood")
    toy.rod("head", (0.7, -0.1, 0.18), (0.7, 0.42, 0.18), 0.17, paint=rng.choice(["metal", "accent"]))
    toy.box(
        "head", (0.7, -0.28, 0.18), (0.13, 0.2, 0.07), taper=(0.9, 0.9), paint=rng.choice(["metal", "dark"])
    )


@auxiliary
def television(toy: Toy, rng):
    toy.box("case", (-0.05, 0, 0.62), (0.3, 0.68, 0.5), bevel=0.06)
    toy.box("screen", (0.24, -0.12, 0.64), (0.03, 0.48, 0.4), bevel=0.1, paint="glass")
    toy.ball("knob", (0.27, 0.53, 0.8), (0.04, 0.06, 0.06), paint="metal")
    toy.ball("knob", (0.27, 0.53, 0.6), (0.04, 0.06, 0.06), paint="metal")
    toy.limb("aerial", (0, 0.03, 1.1), (0, rng.uniform(0.2, 0.5), 1.6), 0.02, paint="metal", pair=True)
    toy.limb("leg", (0, 0.45, 0.15), (0, 0.55, 0), 0.045, paint="wood", pair=True)


@auxiliary
def bathtub(toy: Toy, rng):
    toy.box("tub", (0, 0, 0.38), (0.75, 0.36, 0.28), taper=(1.2, 1.2), bevel=0.12)
    toy.box("water", (0, 0, 0.62), (0.8, 0.36, 0.06), paint="glass")
    for x in (-0.55, 0.55):
        toy.ball("foot", (x, 0.28, 0.08), 0.1, paint="metal", pair=True)
    toy.limb("tap", (-0.95, 0, 0.6), (-0.95, 0, 0.95), 0.045, paint="metal")
    toy.limb("tap", (-0.95, 0, 0.95), (-0.72, 0, 0.9), 0.045, paint="metal")


# Buildings and things outside ------------------------------------------------------------------------------


@auxiliary
def house(toy: Toy, rng):
    long, wide, tall = rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.55), rng.uniform(0.35, 0.6)
    toy.box("wall", (0, 0, tall), (long, wide, tall), bevel=0.02)
    toy.box(
        "roof",
        (0, 0, 2 * tall + 0.28),
        (1.12 * long, 1.2 * wide, 0.28),
        taper=(1, 0.03),
        bevel=0.03,
        paint="accent",
    )
    toy.box("door", (long, 0, 0.25), (0.02, 0.13, 0.25), paint="wood")
    for y in (-0.6, 0.6):
        toy.box("window", (long, y * wide, 1.2 * tall), (0.02, 0.1, 0.11), paint="glass")
    for x in (-0.5, 0.4):
        toy.box("window", (x * long, wide, tall), (0.13, 0.02, 0.13), paint="glass", pair=True)
    toy.box("chimney", (-0.4 * long, 0.25, 2 * tall + 0.45), (0.09, 0.09, 0.25), paint="red")


@auxiliary
def castle(toy: Toy, rng):
    toy.box("wall", (0, 0, 0.35), (0.6, 0.6, 0.35), bevel=0.02)
    roof = rng.choice(["cone", "flat"])
    for x in (-0.6, 0.6):
        toy.rod("tower", (x, 0.6, 0), (x, 0.6, 1.0), 0.24, pair=True)
        if roof == "cone":
            toy.rod("roof", (x, 0.6, 1.0), (x, 0.6, 1.5), 0.3, tip=0.01, paint="accent", pair=True)
        else:
            toy.rod("roof", (x, 0.6, 1.0), (x, 0.6, 1.15), 0.3, paint="accent", pair=True)
    toy.box("gate", (0.61, 0, 0.22), (0.02, 0.17, 0.22), paint="wood")
    for y in (-0.24, 0, 0.24):
        toy.box("battlement", (0.57, y, 0.77), (0.04, 0.07, 0.08))
        toy.box("battlement", (-0.57, y, 0.77), (0.04, 0.07, 0.08))


@auxiliary
def windmill(toy: Toy, rng):
    toy.rod("tower", (0, 0, 0), (0, 0, 1.2), 0.45, tip=0.28)
    toy.ball("cap", (0, 0, 1.22), (0.33, 0.3, 0.24), paint="accent")
    toy.box("door", (0.4, 0, 0.2), (0.06, 0.12, 0.2), paint="dark")
    with toy.joint((0.42, 0, 1.22), (rng.uniform(0, 90), 0, 0)):
        for angle in range(0, 360, 90):
            with toy.joint((0, 0, 0), (angle, 0, 0)):
                toy.box("sail", (0, 0.09, 0.55), (0.015, 0.11, 0.4), paint="white")
                toy.limb("sail", (0, 0, 0), (0, 0, 0.95), 0.03, paint="wood")
        toy.ball("hub", (0, 0, 0), 0.09, paint="dark")


@auxiliary
def lighthouse(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("tower", (0, 0, 0), (0, 0, 1.5), 0.4, tip=0.24)
    toy.rod("band", (0, 0, 0.45), (0, 0, 0.8), 0.36, tip=0.325, paint="red")
    toy.rod("gallery", (0, 0, 1.48), (0, 0, 1.56), 0.34, paint="dark")
    toy.rod("lantern", (0, 0, 1.56), (0, 0, 1.85), 0.18, paint="lamp")
    toy.rod("roof", (0, 0, 1.85), (0, 0, 2.05), 0.25, tip=0.02, paint="red")


@auxiliary
def tree(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("trunk", (0, 0, 0), (0, 0, 0.9), 0.12, tip=0.09, paint="wood")
    crown = "green" if chance(rng, 0.8) else "body"
    for _ in range(7):
        toy.ball(
            "crown",
            (*rng.uniform(-0.32, 0.32, 2), rng.uniform(0.9, 1.4)),
            rng.uniform(0.25, 0.4),
            paint=crown,
        )


@auxiliary
def fir(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("trunk", (0, 0, 0), (0, 0, 0.4), 0.1, paint="wood")
    for k in range(int(rng.integers(3, 5))):
        toy.rod(
            "branches",
            (0, 0, 0.3 + 0.38 * k),
            (0, 0, 0.95 + 0.38 * k),
            0.62 - 0.12 * k,
            tip=0.03,
            paint="green",
        )


@auxiliary
def mushroom(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["body"] = (
        Material(toy.paints["red"].colour, hsv(0, 0, 0.95), DOTS, 6.0, gloss=0.3)
        if chance(rng, 0.6)
        else toy.paints["body"]
    )
    toy.rod("stalk", (0, 0, 0), (0, 0, 0.7), 0.2, tip=0.16, paint="white")
    toy.rod("cap", (0, 0, 0.6), (0, 0, 0.75), 0.58, tip=0.6, bevel=0.06)
    toy.ball("cap", (0, 0, 0.74), (0.6, 0.6, rng.uniform(0.3, 0.5)))


@auxiliary
def flower(toy: Toy, rng):
    toy.limb("stem", (0, 0, 0), (0, 0, 1.1), 0.045, paint="green")
    toy.ball("leaf", (0, 0.22, 0.4), (0.1, 0.24, 0.03), turn=(35, 0, 0), paint="green", pair=True)
    with toy.joint((0.02, 0, 1.2), (0, rng.uniform(20, 75), 0)):
        for angle in range(0, 360, 60):
            with toy.joint((0, 0, 0), (0, 0, angle)):
                toy.ball("petal", (0.27, 0, 0), (0.2, 0.15, 0.05))
        toy.ball("heart", (0, 0, 0.02), (0.15, 0.15, 0.09), paint="lamp")
    toy.rod("stand", (0, 0, 0), (0, 0, 0.06), 0.3, paint="wood")


@auxiliary
def traffic_light(toy: Toy, rng):
    toy.rod("pole", (0, 0, 0), (0, 0, 0.9), 0.06, paint="dark")
    toy.rod("foot", (0, 0, 0), (0, 0, 0.07), 0.27, paint="dark")
    toy.box("case", (0, 0, 1.35), (0.17, 0.2, 0.5), paint=rng.choice(["dark", "body"]))
    for z, paint in ((1.67, "red"), (1.35, "lamp"), (1.03, "green")):
        toy.ball("light", (0.16, 0, z), (0.08, 0.13, 0.13), paint=paint)


@auxiliary
def letter_box(toy: Toy, rng):
    toy.box("post", (0, 0, 0.4), (0.07, 0.07, 0.4), paint="wood")
    toy.box("box", (0, 0, 0.98), (0.45, 0.24, 0.2), bevel=0.03)
    toy.rod("box", (-0.45, 0, 1.18), (0.45, 0, 1.18), 0.24)
    toy.box("flag", (0.1, 0.27, 1.3), (0.04, 0.015, 0.2), paint="red")
    toy.box("slot", (0.455, 0, 1.08), (0.012, 0.15, 0.03), paint="dark")


@auxiliary
def barrel(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("barrel", (0, 0, 0), (0, 0, 0.55), 0.38, tip=0.47, paint=rng.choice(["wood", "body"]))
    toy.rod("barrel", (0, 0, 0.55), (0, 0, 1.1), 0.47, tip=0.38, paint=rng.choice(["wood", "body"]))
    for z, r in ((0.12, 0.41), (0.4, 0.46), (0.66, 0.46), (0.94, 0.42)):
        toy.rod("hoop", (0, 0, z), (0, 0, z + 0.06), r, paint="metal")


# Food, music, play -----------------------------------------------------------------------------------------


@auxiliary
def cake(toy: Toy, rng):
    toy.symmetric = True
    toy.rod("layer", (0, 0, 0.06), (0, 0, 0.45), 0.65)
    toy.rod("layer", (0, 0, 0.45), (0, 0, 0.8), 0.42, paint="accent")
    toy.rod("plate", (0, 0, 0), (0, 0, 0.06), 0.8, paint="white")
    for angle in range(0, 360, 72):
        with toy.joint((0, 0, 0.8), (0, 0, angle)):
            toy.rod("candle", (0.25, 0, 0), (0.25, 0, 0.3), 0.035, paint="white")
            toy.ball("flame", (0.25, 0, 0.36), (0.04, 0.04, 0.07), paint="lamp")


@auxiliary
def ice_cream(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["waffle"] = Material(hsv(0.09, 0.6, 0.8), hsv(0.08, 0.7, 0.55), CHECKS, 14.0)
    toy.rod("cone", (0, 0, 0), (0, 0, 0.95), 0.06, tip=0.36, paint="waffle")
    toy.ball("scoop", (0, 0, 1.1), 0.38)
    toy.ball("scoop", (0.02, 0.03, 1.55), 0.31, paint="accent")
    toy.ball("cherry", (0, 0, 1.9), 0.1, paint="red")


@auxiliary
def hamburger(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["bun"] = _paint(rng.uniform(0.07, 0.1), 0.65, rng.uniform(0.65, 0.85))
    toy.rod("bun", (0, 0, 0), (0, 0, 0.18), 0.52, bevel=0.1, paint="bun")
    toy.rod("patty", (0, 0, 0.18), (0, 0, 0.32), 0.55, bevel=0.07, paint="wood")
    toy.box("cheese", (0, 0, 0.34), (0.45, 0.45, 0.02), turn=(0, 0, rng.uniform(0, 90)), paint="lamp")
    toy.rod("salad", (0, 0, 0.35), (0, 0, 0.41), 0.58, paint="green")
    toy.ball("bun", (0, 0, 0.42), (0.53, 0.53, rng.uniform(0.28, 0.4)), paint="bun")


@auxiliary
def pear(toy: Toy, rng):
    toy.symmetric = True
    toy.paints["body"] = (
        toy.paints["green"] if chance(rng, 0.5) else _paint(rng.uniform(0.0, 0.16), 0.75, 0.85)
    )
    toy.ball("fruit", (0, 0, 0.42), (0.43, 0.43, 0.42))
    toy.rod("fruit", (0, 0, 0.55), (0, 0, 0.98), 0.37, tip=0.19)
    toy.ball("fruit", (0, 0, 0.97), 0.195)
    toy.limb("stalk", (0, 0, 1.1), (0.07, 0, 1.35), 0.03, paint="wood")
    toy.ball("leaf", (0.2, 0.1, 1.27), (0.2, 0.09, 0.025), turn=(0, -15, 20), paint="green")


@auxiliary
def drum(toy: Toy, rng):
    toy.symmetric = True
    r, tall = rng.uniform(0.5, 0.65), rng.uniform(0.45, 0.8)
    toy.rod("drum", (0, 0, 0), (0, 0, tall), r)
    for z in (0.0, tall - 0.08):
        toy.rod("rim", (0, 0, z), (0, 0, z + 0.09), 1.05 * r, paint="accent")
    toy.rod("skin", (0, 0, tall), (0, 0, tall + 0.015), 0.97 * r, paint="white")
    toy.limb("stick", (-0.3, 0.1, tall + 0.05), (0.75, 0.5, tall + 0.05), 0.04, paint="wood")
    toy.limb("stick", (-0.3, -0.2, tall + 0.05), (0.8, -0.1, tall + 0.05), 0.04, paint="wood")


@auxiliary
def guitar(toy: Toy, rng):
    lean = rng.uniform(-15, 0)
    with toy.joint((0, 0, 0), (0, lean, 0)):
        toy.ball("body", (0, 0, 0.42), (0.1, 0.42, 0.42), paint=rng.choice(["wood", "body"]))
        toy.ball("body", (0, 0, 0.95), (0.1, 0.31, 0.31), paint=rng.choice(["wood", "body"]))
        toy.ball("hole", (0.07, 0, 0.75), (0.04, 0.13, 0.13), paint="dark")
        toy.box("neck", (0.06, 0, 1.55), (0.035, 0.06, 0.75), paint="dark")
        toy.box("head", (0.05, 0, 2.35), (0.04, 0.11, 0.15), paint="wood")
        toy.box("bridge", (0.1, 0, 0.35), (0.03, 0.16, 0.03), paint="dark")
    toy.limb("stand", (-0.05, 0.15, 0.5), (-0.45, 0.2, 0.0), 0.03, paint="dark", pair=True)


@auxiliary
def robot(toy: Toy, rng):
    toy.box("body", (0, 0, 0.85), (0.22, 0.32, 0.35), bevel=0.05)
    toy.box("panel", (0.22, 0, 0.92), (0.02, 0.2, 0.14), paint="accent")
    toy.box("head", (0, 0, 1.45), (0.2, 0.24, 0.19), bevel=0.05, paint="metal")
    toy.ball("eye", (0.2, 0.1, 1.5), 0.06, paint="lamp", pair=True)
    toy.limb("aerial", (0, 0, 1.6), (0, 0, 1.85), 0.02, paint="dark")
    toy.ball("aerial", (0, 0, 1.87), 0.06, paint="red")
    toy.limb(
        "arm",
        (0, 0.36, 1.1),
        (rng.uniform(0.0, 0.4), 0.52, rng.uniform(0.6, 1.3)),
        0.07,
        paint="metal",
        pair=True,
    )
    toy.rod("leg", (0, 0.16, 0.08), (0, 0.16, 0.55), 0.09, paint="metal", pair=True)
    toy.box("foot", (0.06, 0.17, 0.07), (0.2, 0.13, 0.07), paint="dark", pair=True)


@auxiliary
def doll(toy: Toy, rng):
    toy.paints["skin"] = _paint(rng.uniform(0.05, 0.08), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.95))
    toy.paints["hair"] = fur(rng)
    toy.rod("dress", (0, 0, 0.35), (0, 0, 1.05), 0.4, tip=0.17)
    toy.ball("head", (0.02, 0, 1.33), (0.23, 0.22, 0.26), paint="skin")
    toy.ball("hair", (-0.06, 0, 1.4), (0.24, 0.26, 0.26), paint="hair")
    if chance(rng, 0.6):
        toy.limb("hair", (-0.1, 0.24, 1.35), (-0.1, 0.32, 1.0), 0.07, paint="hair", pair=True)
    toy.ball("eye", (0.22, 0.08, 1.37), 0.03, paint="dark", pair=True)
    toy.limb(
        "arm",
        (0, 0.18, 1.0),
        (rng.uniform(-0.1, 0.3), 0.5, rng.uniform(0.6, 1.2)),
        0.06,
        paint="skin",
        pair=True,
    )
    toy.limb("leg", (0, 0.12, 0.05), (0, 0.12, 0.4), 0.07, paint="skin", pair=True)
    toy.ball("shoe", (0.05, 0.12, 0.05), (0.13, 0.08, 0.06), paint="dark", pair=True)


@auxiliary
def snowman(toy: Toy, rng):
    toy.ball("body", (0, 0, 0.42), 0.45, paint="white")
    toy.ball("body", (0, 0, 1.0), 0.33, paint="white")
    toy.ball("head", (0, 0, 1.45), 0.24, paint="white")
    toy.rod("nose", (0.2, 0, 1.45), (0.5, 0, 1.43), 0.06, tip=0.01, paint="red")
    toy.ball("eye", (0.2, 0.09, 1.53), 0.04, paint="dark", pair=True)
    toy.rod("hat", (0, 0, 1.63), (0, 0, 1.67), 0.3, paint="dark")
    toy.rod("hat", (0, 0, 1.65), (0, 0, 1.95), 0.19, paint="dark")
    toy.rod("scarf", (0, 0, 1.2), (0, 0, 1.29), 0.24, paint="body")
    toy.limb("arm", (0, 0.3, 1.05), (0.1, 0.75, rng.uniform(0.9, 1.4)), 0.03, paint="wood", pair=True)


@auxiliary
def telescope(toy: Toy, rng):
    lift = rng.uniform(10, 45)
    for angle in (0, 120, 240):
        with toy.joint((0, 0, 0), (0, 0, angle)):
            toy.limb("leg", (0.45, 0, 0), (0.03, 0, 0.85), 0.04, paint="wood")
    with toy.joint((0, 0, 0.95), (0, -lift, 0)):
        toy.rod("tube", (-0.2, 0, 0), (0.8, 0, 0), 0.16)
        toy.rod("tube", (-0.7, 0, 0), (-0.2, 0, 0), 0.11, paint="accent")
        toy.rod("rim", (0.75, 0, 0), (0.85, 0, 0), 0.19, paint="dark")
        toy.rod("eyepiece", (-0.85, 0, 0), (-0.7, 0, 0), 0.06, paint="dark")


@auxiliary
def cannon(toy: Toy, rng):
    with toy.joint((0, 0, 0.5), (0, -rng.uniform(0, 30), 0)):
        toy.rod(
            "barrel", (-0.4, 0, 0), (0.95, 0, 0), 0.2, tip=0.13, paint=rng.choice(["metal", "dark", "body"])
        )
        toy.ball("barrel", (-0.42, 0, 0), 0.2, paint="metal")
        toy.rod("barrel", (0.85, 0, 0), (1.0, 0, 0), 0.18, paint="metal")
    toy.wheel((0.1, 0.28, 0.4), 0.4, 0.06, hub="wood")
    toy.box("trail", (-0.55, 0, 0.25), (0.6, 0.12, 0.07), turn=(0, -18, 0), paint="wood")


@auxiliary
def dice(toy: Toy, rng):
    toy.box("die", (0, 0, 0.5), (0.5, 0.5, 0.5), bevel=0.12)
    r, q = 0.09, 0.26
    spots = [
        ((0, 0), "x"),
        ((q, q), "y"),
        ((-q, -q), "y"),
        ((0, 0), "z"),
        ((q, q), "z"),
        ((-q, q), "z"),
        ((q, -q), "z"),
        ((-q, -q), "z"),
        ((q, q), "-x"),
        ((-q, q), "-x"),
        ((0, 0), "-x"),
        ((q, -q), "-y"),
        ((-q, q), "-y"),
        ((q, q), "-y"),
        ((-q, -q), "-y"),
    ]
    for (u, v), face in spots:
        sign = -1 if face.startswith("-") else 1
        axis = "xyz".index(face[-1])
        at, size = (
            np.insert(np.array((u, v), dtype=float), axis, 0.5 * sign),
            np.insert(np.array((r, r)), axis, 0.02),
        )
        toy.ball(
            "spot",
            at + (0, 0, 0.5),
            tuple(size),
            paint="dark" if np.mean(toy.paints["body"].colour) > 0.2 else "white",
        )


@auxiliary
def cradle(toy: Toy, rng):
    toy.box("tray", (0, 0, 0.5), (0.7, 0.35, 0.25), taper=(1.1, 1.25))
    toy.box("bedding", (0, 0, 0.75), (0.68, 0.36, 0.08), bevel=0.07, paint="white")
    toy.box("hood", (-0.62, 0, 0.95), (0.18, 0.4, 0.3), taper=(0.9, 0.5), paint="accent")
    for x in (-0.5, 0.5):
        for angle in (-40, 0, 40):
            with toy.joint((x, 0, 0.75), (angle, 0, 0)):
                toy.box("rocker", (0, 0, -0.68), (0.05, 0.26, 0.04), paint="wood")


AUXILIARY_CATEGORIES = tuple(sorted(BUILDERS))
