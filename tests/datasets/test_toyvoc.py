"""ToyVOC: rays against slow references, truth against hand-checked scenes, files against VOC's reader."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnn_helpers.datasets import toyvoc
from rcnn_helpers.datasets.toyvoc import clutter, dataset, materials, primitives, truth
from rcnn_helpers.datasets.toyvoc.kit import Toy
from rcnn_helpers.datasets.toyvoc.primitives import BOX, CAPSULE, CONE, ELLIPSOID, FAR
from rcnn_helpers.datasets.toyvoc.scene import (
    Camera,
    Placement,
    Setting,
    assemble,
    build,
    draw,
    footprints_collide,
    look_at,
)
from rcnn_helpers.datasets.toyvoc.shading import Lens, Light, surface_row
from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.errors import DatasetError, StoreError
from rcnn_helpers.settings import PROFILES, Profile

# Rays ------------------------------------------------------------------------------------------------------


def inside(kind, p, radii, shape):
    """Whether the point is in the solid: the definition in words of `primitives`, written as a test of points."""
    (x, y, z), (rx, ry, rz), (a, b, c, _) = p, radii, shape
    if kind == ELLIPSOID:
        return (x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2 <= 1
    if kind == CAPSULE:
        return math.dist((x, y, z), (0, 0, min(max(z, -rz), rz))) <= rx
    u = (z / rz + 1) / 2
    if not 0 <= u <= 1:
        return False
    if kind == BOX:
        middle, half_x, half_y = c * rx * u, rx * (1 + (a - 1) * u), ry * (1 + (b - 1) * u)
        return abs(x - middle) <= half_x and abs(y) <= half_y
    return math.hypot(x / rx, y / ry) <= 1 + (a - 1) * u


def march(kind, origin, direction, radii, shape, step=2e-3, far=8.0):
    """First depth at which a ray is inside, found by walking."""
    for t in np.arange(step, far, step):
        if inside(kind, origin + t * direction, radii, shape):
            return t
    return FAR


def hit(kind, origin, direction, radii, shape):
    ray = map(float, (*origin, *direction))
    return primitives.intersect(kind, *ray, np.array(radii, float), np.array(shape, float))


sizes = st.tuples(*[st.floats(0.2, 1.0)] * 3)
shapes = st.tuples(st.floats(0.1, 1.6), st.floats(0.1, 1.6), st.floats(-0.8, 0.8), st.just(0.01))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([ELLIPSOID, BOX, CONE, CAPSULE]),
    radii=sizes,
    shape=shapes,
    angles=st.tuples(st.floats(0, 6.3), st.floats(-1.5, 1.5)),
    aim=st.tuples(*[st.floats(-0.6, 0.6)] * 3),
)
def test_rays_hit_where_walking_along_them_enters(kind, radii, shape, angles, aim):
    around, up = angles
    origin = 4 * np.array([math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)])
    direction = (np.array(aim) - origin) / np.linalg.norm(np.array(aim) - origin)
    found, walked = hit(kind, origin, direction, radii, shape), march(kind, origin, direction, radii, shape)
    if walked < FAR:
        assert found == pytest.approx(walked, abs=4e-3)
    elif found < FAR:  # a graze shorter than a step of the walk
        assert inside(kind, origin + (found + 1e-6) * direction, np.array(radii) * 1.001, shape)


@pytest.mark.parametrize(
    ("kind", "radii", "shape", "origin", "direction", "depth", "normal"),
    [
        (ELLIPSOID, (1, 2, 3), (1, 1, 0, 1), (5, 0, 0), (-1, 0, 0), 4, (1, 0, 0)),
        (ELLIPSOID, (1, 2, 3), (1, 1, 0, 1), (0, 0, 9), (0, 0, -2), 3, (0, 0, 1)),
        (BOX, (1, 1, 1), (1, 1, 0, 0.01), (0.3, 5, 0.2), (0, -1, 0), 4, (0, 1, 0)),
        # A roof: at half height its slopes stand half as far out, and look up and sideways.
        (BOX, (1, 1, 1), (1, 0, 0, 0.01), (0, -5, 0), (0, 1, 0), 4.5, (0, -2 / 5**0.5, 1 / 5**0.5)),
        # A top displaced by one half length: the middle of the front wall stands half a length further out.
        (BOX, (1, 1, 1), (1, 1, 1, 0.01), (5, 0, 0), (-1, 0, 0), 3.5, (2 / 5**0.5, 0, -1 / 5**0.5)),
        (CONE, (1, 1, 1), (1, 1, 0, 0.01), (0, 3, 0.5), (0, -1, 0), 2, (0, 1, 0)),
        (CONE, (1, 1, 1), (1, 1, 0, 0.01), (0.2, 0.1, 4), (0, 0, -1), 3, (0, 0, 1)),
        (CONE, (1, 1, 1), (0, 1, 0, 0.01), (3, 0, 0), (-1, 0, 0), 2.5, (2 / 5**0.5, 0, 1 / 5**0.5)),
        (CAPSULE, (0.5, 0.5, 1), (1, 1, 0, 1), (0, 0, 4), (0, 0, -1), 2.5, (0, 0, 1)),
        (CAPSULE, (0.5, 0.5, 1), (1, 1, 0, 1), (3, 0, 0.9), (-1, 0, 0), 2.5, (1, 0, 0)),
    ],
)
def test_depth_and_normal_of_known_rays(kind, radii, shape, origin, direction, depth, normal):
    found = hit(kind, origin, direction, radii, shape)
    assert found == pytest.approx(depth)
    point = np.add(origin, found * np.array(direction, float))
    n = primitives.normal_at(kind, *point, np.array(radii, float), np.array(shape, float))
    assert n == pytest.approx(normal, abs=1e-6)


def test_bevel_rounds_the_edge_of_a_box():
    radii, shape = np.ones(3), np.array([1, 1, 0, 0.1])
    assert primitives.normal_at(BOX, 1.0, 1.0, 0.0, radii, shape) == pytest.approx((0.5**0.5, 0.5**0.5, 0))
    assert primitives.normal_at(BOX, 1.0, 0.8, 0.0, radii, shape) == pytest.approx((1, 0, 0))


def test_rays_away_from_a_solid_miss():
    for kind in (ELLIPSOID, BOX, CONE, CAPSULE):
        assert hit(kind, (5, 0, 0), (1, 0, 0), (1, 1, 1), (1, 1, 0, 0.1)) >= FAR
        assert hit(kind, (5, 0, 9), (-1, 0, 0), (1, 1, 1), (1, 1, 0, 0.1)) >= FAR


def test_support_reaches_as_far_as_points_of_the_solid(rng):
    for kind in (ELLIPSOID, BOX, CONE, CAPSULE):
        radii, shape = (
            rng.uniform(0.3, 1, 3),
            np.array([rng.uniform(0.2, 1.5), rng.uniform(0.2, 1.5), 0.6, 0.01]),
        )
        points = rng.uniform(-2.2, 2.2, (60_000, 3))
        points = points[[inside(kind, p, radii, shape) for p in points]]
        solid = (np.array([kind]), np.zeros((1, 3)), np.eye(3)[None], radii[None], shape[None])
        for direction in (*np.eye(3), *-np.eye(3), np.array([0.6, -0.48, 0.64])):
            reach = primitives.support(*solid, direction)[0]
            furthest = (points @ direction).max()
            assert furthest <= reach + 1e-9
            assert furthest > reach - 0.15
        corners = primitives.corners(*solid)[0]
        assert (points >= corners.min(0) - 1e-9).all() and (points <= corners.max(0) + 1e-9).all()


# Scenes whose truth is known -------------------------------------------------------------------------------


def plate(paint="body", size=(0.005, 0.5, 0.5), name="plate"):
    """A thin upright square of one part, its front to +x."""
    toy = Toy(np.random.default_rng(0))
    toy.box(name, (0, 0, 0), size, paint=paint)
    return toy.finish()


def frontal_setting(distance=4.0):
    """A camera at the height 0.5 that looks along +y, and plain light."""
    eye = np.array([0.0, -distance, 0.5])
    light = Light(
        np.array([0, -0.6, 0.8]), np.ones(3), np.full(3, 0.5), np.full(3, 0.3), 0.02, 0.0, np.zeros(3)
    )
    lens = Lens(distance, 0.0, 0.4, 0.0, 1.0, 1.0, (1, 1, 1), 0.0, 90)
    floor = surface_row((0, 0, 1), 0.0, (1, 0, 0), materials.Material((0.5, 0.5, 0.5)))
    wall = surface_row((0, -1, 0), -5.0, (1, 0, 0), materials.Material((0.6, 0.6, 0.7)))
    return Setting(Camera(eye, look_at(eye, eye + [0, 1, 0]), 1.0), light, lens, np.array([floor, wall]))


def facing(model, name, x, y, *, z=0.0, size=1.0):
    """The toy's front (+x) turned to the camera (-y)."""
    return Placement(model, name, np.array([x, y, z]), -90.0, size)


def render(placements, **options):
    return draw(placements, frontal_setting(), width=200, height=160, **options)


def test_toy_half_hidden_by_a_box():
    # The hiding plate's right edge lies on the optical axis, so exactly the left half of the toy is hidden.
    scene = render([facing(plate(), "target", 0, 0), facing(plate(size=(0.005, 1, 1)), None, -1, -1, size=2)])
    (detail,) = scene.details
    assert detail.occlusion == pytest.approx(0.5, abs=0.01)
    assert (detail.occlusion_level, detail.truncation) == ("M", 0.0)
    assert scene.occluded.tolist() == [True] and scene.truncated.tolist() == [False]
    # One unit at depth 4 under a focal length of 200 pixels: 50 pixels, from the middle of 200 to the right.
    assert scene.boxes.tolist() == [[100, 55, 125, 105]]
    assert detail.parts == {"plate": pytest.approx(0.5, abs=0.01)}


def test_toy_cut_in_half_by_the_edge_of_the_picture():
    half_width = 4 * 100 / 200  # x that lies on the right edge at depth 4
    scene = render([facing(plate(), "target", half_width, 0)])
    (detail,) = scene.details
    assert detail.truncation == pytest.approx(0.5, abs=0.02)
    assert detail.occlusion == pytest.approx(0.0, abs=1e-6)
    assert scene.truncated.tolist() == [True]
    assert scene.boxes[0, 2] == 200
    assert detail.parts["plate"] == pytest.approx(0.5, abs=0.02)


def test_a_toy_in_full_view_is_neither_occluded_nor_truncated():
    scene = render([facing(plate(), "target", 0, 0)])
    (detail,) = scene.details
    assert (detail.occlusion, detail.truncation, detail.occlusion_level) == (0.0, 0.0, "N")
    assert detail.visible_pixels == 50 * 50
    assert detail.parts == {"plate": 1.0}
    assert detail.visible_sides == ("front",)


def test_hidden_parts_and_sides():
    toy = Toy(np.random.default_rng(0))
    toy.box("shell", (0, 0, 0), (0.5, 0.5, 0.5))
    toy.ball("core", (0, 0, 0), 0.2)
    scene = render([facing(toy.finish(), "target", 0, 0)])
    assert scene.details[0].visible_parts == ("shell",)
    assert scene.details[0].parts["core"] == 0.0
    assert scene.details[0].sides["front"] > 0.9


@pytest.mark.parametrize(
    ("turn", "azimuth", "pose", "side"),
    [
        (-90, 0, "Frontal", "front"),
        (180, 90, "Left", "left"),
        (90, 180, "Rear", "rear"),
        (0, 270, "Right", "right"),
    ],
)
def test_viewpoint(turn, azimuth, pose, side):
    toy = Toy(np.random.default_rng(0))
    toy.box("body", (0, 0, 0), (0.5, 0.5, 0.5))
    scene = render([Placement(toy.finish(), "target", np.zeros(3), turn, 1.0)])
    detail = scene.details[0]
    assert math.cos(math.radians(detail.azimuth - azimuth)) == pytest.approx(1.0)
    assert (detail.pose, detail.visible_sides[0]) == (pose, side)


def test_toys_without_a_front_have_no_pose(rng):
    assert render([facing(build("table", rng), "table", 0, 0)]).details[0].pose == "Unspecified"


def test_pruning_leaves_out_what_nobody_can_see():
    hidden = facing(plate(), "hidden", 0, 1)
    scene = render(
        [hidden, facing(plate(), "target", 0, -1, size=1.5), facing(plate(), None, 1, 0)], prune=True
    )
    assert scene.names == ("target",)
    assert set(np.unique(scene.mask)) == {0, 1}


def test_areas_agree_with_a_pixel_by_pixel_cast(rng):
    setting = frontal_setting()
    placements = [
        facing(build("dog", rng), "dog", 0.2, 0, size=2),
        facing(build("ball", rng), None, -0.2, -1.2, size=0.4),
    ]
    solids = assemble(placements)
    scene = draw(placements, setting, width=48, height=36, supersample=1)
    covered = np.zeros((36, 48), dtype=int)
    for j in range(36):
        for i in range(48):
            ray = np.array([(i + 0.5 - 24) / 48, 1.0, -(j + 0.5 - 18) / 48])
            nearest, owner = FAR, 0
            for p in range(len(solids.kinds)):
                turn = solids.rotations[p]
                origin, direction = turn @ (setting.camera.eye - solids.centres[p]), turn @ ray
                t = hit(solids.kinds[p], origin, direction, solids.radii[p], solids.shapes[p])
                if t < nearest:
                    nearest, owner = t, solids.owners[p] + 1
            covered[j, i] = 1 if owner == 1 else 0
    assert covered.sum() > 50
    assert (scene.mask != covered).sum() <= 1  # a sample on the very edge may fall to either side


def test_pixels_go_to_the_object_with_most_samples():
    owners = np.array([0, 1])
    parts = np.array([[0, 0, -1, 1], [0, 1, -1, 1], [-1, -1, 1, 0], [-1, 0, 0, 1]], dtype=np.int32)
    mask = truth.instance_mask(parts, owners, 2)
    assert mask.tolist() == [[1, 0], [0, 2]]  # ties go to whom reading order meets first


def test_segmentation_is_void_between_objects_and_on_difficult_ones():
    mask = np.array([[1, 1, 2, 2, 0, 3]])
    classes, objects = truth.segmentation(mask, [7, 9, 5], [False, False, True])
    assert classes.tolist() == [[7, 255, 255, 9, 0, 255]]
    assert objects.tolist() == [[1, 255, 255, 2, 0, 255]]


def test_levels_and_poses():
    assert [truth.occlusion_level(x) for x in (0, 0.04, 0.05, 0.29, 0.3, 0.6, 1.0)] == list("NNLLMHH")
    assert [truth.pose_name(x) for x in (0, 44, 46, 180, 270, 316)] == [
        "Frontal", "Frontal", "Left", "Rear", "Right", "Frontal",
    ]  # fmt: skip


def test_footprints_collide_only_if_no_line_parts_them():
    square = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=float)
    turned = square @ (np.array([[1, 1], [-1, 1]]) / 2**0.5)  # reaches 1.41 along the axes
    assert footprints_collide(square, square + [1.9, 0])
    assert not footprints_collide(square, square + [2.0, 0])
    assert footprints_collide(square, turned + [2.3, 0])
    assert not footprints_collide(square, turned + [2.3, 2.3])  # their bounding boxes do overlap


# The kit ---------------------------------------------------------------------------------------------------


def test_categories_are_many_and_disjoint():
    assert len(toyvoc.CATEGORIES) >= 10 and len(toyvoc.FAMILIES) == 3
    assert sorted(name for family in toyvoc.FAMILIES.values() for name in family) == list(toyvoc.CATEGORIES)
    assert len(toyvoc.AUXILIARY_CATEGORIES) >= 40
    groups = [set(toyvoc.CATEGORIES), set(toyvoc.AUXILIARY_CATEGORIES), set(clutter.BUILDERS)]
    assert sum(map(len, groups)) == len(set.union(*groups))


@pytest.mark.parametrize(
    "name", [*toyvoc.CATEGORIES, *toyvoc.AUXILIARY_CATEGORIES, *sorted(clutter.BUILDERS)]
)
def test_every_toy_stands_on_the_ground_and_can_be_seen(name):
    for seed in range(2):
        model = build(name, np.random.default_rng(seed))
        solid = (model.kinds, model.centres, model.rotations, model.radii, model.shapes)
        reach = [primitives.support(*solid, direction).max() for direction in (*np.eye(3), *-np.eye(3))]
        assert reach[5] == pytest.approx(0.0, abs=1e-9)
        assert max(np.add(reach[:3], reach[3:])) == pytest.approx(1.0)
        assert reach[0] == pytest.approx(reach[3]) and reach[1] == pytest.approx(reach[4])
        scene = draw([facing(model, name, 0, 0)], frontal_setting(), width=120, height=90, supersample=1)
        assert scene.details[0].visible_pixels > 12
        assert scene.image.std() > 1


def test_unknown_names_are_refused(rng):
    with pytest.raises(ValueError, match="unknown toy 'unicorn'"):
        build("unicorn", rng)
    with pytest.raises(ValueError, match="unknown kind of scene"):
        toyvoc.render_scene(0, kind="still life")


# Whole scenes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "auxiliary_train"])
def test_boxes_are_the_bounds_of_the_masks(split):
    for index in range(4):
        scene = toyvoc.scene_of(split, index, supersample=1)
        assert scene.image.dtype == np.uint8 and scene.image.shape[:2] == scene.mask.shape
        assert set(np.unique(scene.mask)) - {0} == set(range(1, len(scene.boxes) + 1))
        for k, box in enumerate(scene.boxes):
            rows, columns = np.nonzero(scene.mask == k + 1)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert scene.details[k].visible_pixels == len(rows)
        known = toyvoc.CATEGORIES if split == "train" else toyvoc.AUXILIARY_CATEGORIES
        assert set(scene.names) <= set(known)
        for detail in scene.details:
            assert 0 <= detail.occlusion < 1 and 0 <= detail.truncation < 1
            assert sum(detail.sides.values()) == pytest.approx(1, abs=1e-3)
            assert all(0 <= share <= 1 for share in detail.parts.values())
            assert detail.visible_sides and detail.visible_parts


def test_a_scene_depends_on_its_seed_split_and_number_alone():
    first = toyvoc.scene_of("train", 3, supersample=1)
    toyvoc.scene_of("test", 0, supersample=1)
    again = toyvoc.scene_of("train", 3, supersample=1)
    assert np.array_equal(first.image, again.image) and first.details == again.details
    for other in (
        toyvoc.scene_of("val", 3, supersample=1),
        toyvoc.scene_of("train", 4, supersample=1),
        toyvoc.scene_of("train", 3, seed=1, supersample=1),
    ):
        assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


# Files -----------------------------------------------------------------------------------------------------


TINY = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A tiny ToyVOC and a tiny auxiliary set, each rendered by one process and by two."""
    roots = {jobs: tmp_path_factory.mktemp(f"jobs{jobs}") for jobs in (1, 2)}
    opened = {
        jobs: toyvoc.open_toyvoc("trainval", counts=TINY, root=roots[jobs], n_jobs=jobs) for jobs in roots
    }
    extra = {jobs: toyvoc.open_auxiliary("val", n_scenes=2, root=roots[jobs], n_jobs=jobs) for jobs in roots}
    return SimpleNamespace(roots=roots, toyvoc=opened, auxiliary=extra)


def test_files_do_not_depend_on_the_number_of_workers(rendered):
    for one, two in (
        (rendered.toyvoc[1], rendered.toyvoc[2]),
        (rendered.auxiliary[1], rendered.auxiliary[2]),
    ):
        files = sorted(path.relative_to(one.root) for path in one.root.rglob("*") if path.is_file())
        assert len(files) > 8
        assert files == sorted(path.relative_to(two.root) for path in two.root.rglob("*") if path.is_file())
        for path in files:
            assert (one.root / path).read_bytes() == (two.root / path).read_bytes(), path


def test_voc_reader_reads_back_the_scene(rendered):
    data = rendered.toyvoc[1]
    assert data.ids == ["train_000000", "train_000001", "val_000000"]
    assert data.classes == toyvoc.CATEGORIES
    for image_id, (split, index) in zip(data.ids, [("train", 0), ("train", 1), ("val", 0)], strict=True):
        scene = toyvoc.scene_of(split, index)
        annotation = data.annotation(image_id)
        assert np.array_equal(annotation.boxes, scene.boxes)
        assert annotation.names == scene.names
        assert annotation.poses == tuple(detail.pose for detail in scene.details)
        for flag in ("difficult", "truncated", "occluded"):
            assert np.array_equal(getattr(annotation, flag), getattr(scene, flag))
        assert toyvoc.read_details(data, image_id) == list(scene.details)
        stored = data.image(image_id)
        assert stored.shape == scene.image.shape
        assert np.abs(stored.astype(float) - scene.image).mean() < 8  # JPEG
        classes, objects = data.segmentation(image_id)
        sure = (objects > 0) & (objects < 255)
        assert np.array_equal(objects[sure], scene.mask[sure])
        assert (classes[scene.mask == 0] == 0).all()
        for k, name in enumerate(scene.names):
            if not scene.difficult[k]:
                of_object = set(classes[scene.mask == k + 1])
                assert of_object <= {toyvoc.CATEGORIES.index(name) + 1, 255}


def test_image_sets_and_notice(rendered):
    data = rendered.toyvoc[1]
    lists = {path.stem for path in (data.root / "ImageSets" / "Main").iterdir()}
    assert {"train", "val", "trainval", "test", "car_train", "sofa_test"} <= lists
    assert "SYNTHETIC" in (data.root / "README.txt").read_text()
    shown = {name for image_id in data.ids for name in data.annotation(image_id).names}
    lines = (data.root / "ImageSets" / "Main" / f"{min(shown)}_trainval.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == data.ids
    assert any(line.split()[1] in ("0", "1") for line in lines)
    absent = min(set(toyvoc.CATEGORIES) - shown)
    flags = (data.root / "ImageSets" / "Main" / f"{absent}_trainval.txt").read_text().split()[1::2]
    assert set(flags) == {"-1"}


def test_auxiliary_toys_hardly_overlap(rendered):
    data = rendered.auxiliary[1]
    assert data.classes == toyvoc.AUXILIARY_CATEGORIES and len(data) == 2
    for image_id in data.ids:
        assert 3 <= len(data.annotation(image_id)) <= 9
        assert all(detail.occlusion < 0.4 for detail in toyvoc.read_details(data, image_id))


def test_a_rendered_set_is_opened_not_rendered_anew(rendered, monkeypatch):
    monkeypatch.setattr(dataset, "_render_into", lambda *_, **__: pytest.fail("rendered again"))
    again = toyvoc.open_toyvoc("test", counts=TINY, root=rendered.roots[1])
    assert again.ids == ["test_000000"]


def test_a_larger_set_begins_with_the_pictures_of_a_smaller_one(rendered, tmp_path):
    fewer = toyvoc.open_toyvoc("trainval", counts={**TINY, "train": 1}, root=tmp_path, n_jobs=1)
    assert fewer.ids == ["train_000000", "val_000000"]
    for image_id in fewer.ids:
        for name in (f"JPEGImages/{image_id}.jpg", f"Annotations/{image_id}.xml"):
            assert (fewer.root / name).read_bytes() == (rendered.toyvoc[1].root / name).read_bytes()


def test_a_profile_says_how_many_pictures_there_are(tmp_path, monkeypatch):
    monkeypatch.setitem(PROFILES, "tiny", Profile("tiny", 5, 3, 2, "quarter_tnet", "fc7", 10))
    asked = []

    def stop(folder, counts, *_, **__):
        asked.append(counts)
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_render_into", stop)
    with pytest.raises(KeyboardInterrupt):
        toyvoc.open_toyvoc("train", profile="tiny", root=tmp_path)
    assert asked == [{"train": 5, "val": 3, "test": 2}]


def test_killed_rendering_leaves_nothing(tmp_path, monkeypatch):

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_write_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toyvoc.open_toyvoc("train", counts=TINY, root=tmp_path, n_jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests_name_the_remedy(rendered, tmp_path):
    with pytest.raises(DatasetError, match="choose one of train, val, trainval, test"):
        toyvoc.open_toyvoc("training")
    with pytest.raises(DatasetError, match="from 1 on for each of train, val, test"):
        toyvoc.open_toyvoc("train", counts={"train": 5, "val": 0, "test": 1})
    with pytest.raises(DatasetError, match="choose train or val"):
        toyvoc.open_auxiliary("test", n_scenes=1)
    with pytest.raises(DatasetError, match="rendered by open_toyvoc"):
        toyvoc.read_details(rendered.toyvoc[1], "train_999999")
    root = rendered.toyvoc[2].root
    (root / "Details" / "val_000000.json").write_text('{"objects": [{"name": "car"}]}')
    with pytest.raises(StoreError, match="is damaged"):
        toyvoc.read_details(VOCDataset(root, "val"), "val_000000")
