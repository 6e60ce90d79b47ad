"""Part maps: against scenes placed by hand, the data set's own masks, and what the details of objects say."""

import json
import shutil

import numpy as np
import pytest

from rcnn_helpers.datasets import toyvoc
from rcnn_helpers.datasets.toyvoc import materials, part_maps
from rcnn_helpers.datasets.toyvoc.dataset import view_of
from rcnn_helpers.datasets.toyvoc.kit import Toy
from rcnn_helpers.datasets.toyvoc.materials import Material
from rcnn_helpers.datasets.toyvoc.scene import Camera, Placement, Setting, look_at, view
from rcnn_helpers.datasets.toyvoc.shading import surface_row
from rcnn_helpers.errors import DatasetError, StoreError

TINY = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return toyvoc.open_toyvoc("trainval", counts=TINY, root=tmp_path_factory.mktemp("toyvoc"), n_jobs=1)


def plain(gloss=0.1, pattern=materials.PLAIN) -> Material:
    return Material((0.5, 0.5, 0.5), pattern=pattern, gloss=gloss)


def setting(surfaces) -> Setting:
    """A camera 4 in front of the origin and 3 above the ground, looking at the origin; no light is needed."""
    eye = np.array([0.0, -4.0, 3.0])
    return Setting(Camera(eye, look_at(eye, np.zeros(3)), focal=1.0), None, None, np.array(surfaces))


def named(labels, names):
    return np.array(names)[labels]


def test_toys_clutter_and_backdrop_of_a_scene_placed_by_hand():
    rng = np.random.default_rng(0)
    toy = Toy(rng)
    toy.paints |= {
        "body": plain(pattern=materials.STRIPES),
        "accent": plain(gloss=0.8),
        "dark": plain(gloss=0.7),
    }
    toy.box("cab", (0, 0, 0.5), (0.5, 0.5, 0.5))
    toy.box("roof", (0, 0, 1.25), (0.5, 0.5, 0.25), paint="accent")
    thing = Toy(rng)
    thing.paints["body"] = plain(gloss=0.7)
    thing.ball("ball", (0, 0, 0), 1.0)
    placements = [
        Placement(thing.finish(), None, np.array([1.3, 0.0, 0.0]), 0.0, 0.6),
        Placement(toy.finish(), "car", np.array([0.0, 0.0, 0.0]), 0.0, 1.0),
    ]
    # A rug of radius 0.9 around the origin, and a wall far behind that begins at y = 3.
    ground = surface_row(
        (0, 0, 1),
        0.0,
        (1, 0, 0),
        plain(pattern=materials.WOOD),
        plain(pattern=materials.DOTS),
        (0, 0, 0.9, 0.9),
    )
    wall = surface_row((0, -1, 0), -3.0, (1, 0, 0), plain(pattern=materials.BRICKS))
    seen = view(placements, setting([ground, wall]), width=200, height=200)
    maps = part_maps.maps_of_view(seen)
    parts = named(maps.parts, maps.part_names)
    surfaces = named(maps.surfaces, maps.surface_names)

    assert sorted(maps.part_names) == [
        "backdrop:ground", "backdrop:rug", "backdrop:wall", "car:cab", "car:roof", "clutter:ball",
    ]  # fmt: skip
    made_of = dict(zip(parts.ravel().tolist(), surfaces.ravel().tolist(), strict=True))
    assert made_of == {
        "backdrop:ground": "wood",
        "backdrop:rug": "dots",
        "backdrop:wall": "bricks",
        "car:cab": "stripes",
        "car:roof": "metal",
        "clutter:ball": "glass",
    }
    # The camera looks at the origin, below the toy: the picture's middle shows the cab, its front edge the rug.
    assert parts[100, 100] == "car:cab"
    assert parts[60, 100] == "car:roof"
    assert parts[0, 100] == "backdrop:wall" and parts[199, 0] == "backdrop:ground"

    def pixel_of(point):
        right, down, forward = seen.setting.camera.axes @ (np.array(point) - seen.setting.camera.eye)
        return int(100 + 200 * down / forward), int(100 + 200 * right / forward)

    assert parts[pixel_of((0.0, -0.85, 0.0))] == "backdrop:rug"
    assert parts[pixel_of((0.0, -0.95, 0.0))] == "backdrop:ground"
    assert parts[pixel_of((-2.0, 2.9, 0.0))] == "backdrop:ground"
    assert parts[pixel_of((-2.0, 3.0, 0.1))] == "backdrop:wall"
    assert parts[pixel_of((1.3, 0.0, 0.3))] == "clutter:ball"


def test_maps_agree_with_the_masks_and_the_details_on_disk(tiny):
    for image_id in tiny.ids:
        labels, names = part_maps.part_map(tiny, image_id)
        owners = named(labels, [name.split(":")[0] for name in names])
        classes, _ = tiny.segmentation(image_id)
        assert labels.shape == classes.shape
        for number, name in enumerate(tiny.classes, start=1):
            # The masks' void covers borders and difficult objects; elsewhere both say the same.
            sure = classes != 255
            tied = (owners == name)[sure] != (classes == number)[sure]
            assert tied.mean() < 0.002, (image_id, name)
        visible = {
            f"{detail.name}:{part}"
            for detail in toyvoc.read_details(tiny, image_id)
            for part, share in detail.parts.items()
            if share > 0.1 and detail.visible_pixels > 2000
        }
        assert visible <= set(names)


def test_maps_are_kept_and_a_damaged_one_is_made_again(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("RCNN_CACHE", str(tmp_path))
    image_id = tiny.ids[0]
    first = part_maps.part_maps(tiny, image_id)
    (kept,) = tmp_path.rglob("*.png")
    calls = []
    monkeypatch.setattr(part_maps, "view_of", lambda *a, **k: calls.append(a) or view_of(*a, **k))
    again = part_maps.part_maps(tiny, image_id)
    assert not calls
    assert again.part_names == first.part_names and again.surface_names == first.surface_names
    assert (again.parts == first.parts).all() and (again.surfaces == first.surfaces).all()
    for damage in (b"", kept.read_bytes()[:200], kept.read_bytes().replace(b"names", b"nomes")):
        kept.write_bytes(damage)
        mended = part_maps.part_maps(tiny, image_id)
        assert calls and (mended.parts == first.parts).all() and mended.part_names == first.part_names
        calls.clear()


def test_pictures_of_elsewhere_are_refused(tiny, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny.root, other)
    image_id = tiny.ids[0]
    details = other / "Details" / f"{image_id}.json"
    dataset = type(tiny)(other, "trainval", classes=tiny.classes)
    about = json.loads(details.read_text())
    details.write_text(json.dumps({**about, "kit_version": 1}))
    with pytest.raises(DatasetError, match="version 1 of the construction kit"):
        part_maps.part_map(dataset, image_id)
    details.write_text(json.dumps({"kit_version": 2}))
    with pytest.raises(StoreError, match="damaged"):
        part_maps.part_map(dataset, image_id)
    assert part_maps.has_part_maps(dataset, image_id)
    details.unlink()
    assert not part_maps.has_part_maps(dataset, image_id)
    with pytest.raises(DatasetError, match="only pictures rendered by open_toyvoc"):
        part_maps.part_map(dataset, image_id)
