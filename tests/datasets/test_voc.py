"""VOC files: hand-written ones, damaged ones, and all of the real sample."""

import dataclasses
import pickle
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rcnn_helpers.datasets.voc import (
    VOC_CLASSES,
    Annotation,
    VOCDataset,
    palette,
    read_annotation,
    read_image_set,
    write_annotation,
    write_image_set,
    write_mask,
)
from rcnn_helpers.errors import AnnotationError, DatasetError, ImageError
from rcnn_helpers.images import write_image

PERSON = """
	<object>
		<name>person</name>
		<pose>Frontal</pose>
		<truncated>1</truncated>
		<occluded>1</occluded>
		<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
		<difficult>1</difficult>
		<part>
			<name>head</name>
			<bndbox><xmin>12</xmin><ymin>22</ymin><xmax>18</xmax><ymax>28</ymax></bndbox>
		</part>
	</object>"""

DOG = """
	<object>
		<name>dog</name>
		<bndbox><xmax>100</xmax><xmin>1</xmin><ymin>1</ymin><ymax>80</ymax></bndbox>
	</object>"""


def document(*objects: str, width="100", height="80", head: str = "") -> str:
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"{head}<annotation><filename>other.jpg</filename>{size}{''.join(objects)}</annotation>"


def box_object(xmin, ymin, xmax, ymax, name: str = "cat") -> str:
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def annotation_of(image_id="a", *, height=80, width=100, boxes=(), names=()) -> Annotation:
    n = len(names)
    nothing = np.zeros(n, dtype=bool)
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return Annotation(
        image_id, height, width, boxes, tuple(names), nothing, nothing, nothing, ("Unspecified",) * n
    )


def assert_same(a: Annotation, b: Annotation):
    for field in dataclasses.fields(Annotation):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


@pytest.fixture
def read(tmp_path):
    """Read an annotation from its text or bytes."""

    def read_text(content):
        path = tmp_path / "000012.xml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_annotation(path)

    return read_text


@pytest.fixture
def folder(tmp_path):
    """A data set of three images in VOC layout, one image without objects."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
    made = {
        "000001": annotation_of("000001", boxes=[[0, 0, 10, 20], [5, 5, 9, 9]], names=["cat", "dog"]),
        "000002": annotation_of("000002"),
        "000003": annotation_of("000003", boxes=[[1, 2, 3, 4]], names=["cat"]),
    }
    for image_id, annotation in made.items():
        write_annotation(root / "Annotations" / f"{image_id}.xml", annotation)
        write_image(root / "JPEGImages" / f"{image_id}.jpg", np.full((80, 100, 3), 7, dtype=np.uint8))
    write_image_set(root / "ImageSets" / "Main" / "train.txt", ["000003", "000001"])
    write_image_set(root / "ImageSets" / "Main" / "trainval.txt", list(made))
    return root


class TestReadAnnotation:
    def test_every_field_of_a_hand_written_file(self, read):
        a = read(document(PERSON, DOG))
        assert (a.image_id, a.height, a.width, len(a)) == ("000012", 80, 100, 2)
        assert a.boxes.tolist() == [[10, 20, 30, 40], [0, 0, 100, 80]]
        assert a.boxes.dtype == np.float32
        assert a.names == ("person", "dog")
        assert a.poses == ("Frontal", "Unspecified")
        for flags in (a.difficult, a.truncated, a.occluded):
            assert flags.tolist() == [True, False] and flags.dtype == bool

    def test_no_objects(self, read):
        a = read(document())
        assert len(a) == 0 and a.boxes.shape == (0, 4) and a.difficult.dtype == bool

    def test_fractions_are_kept(self, read):
        a = read(document(box_object("12.0", "12.4", " 20 ", "3e1")))
        np.testing.assert_allclose(a.boxes, [[11, 11.4, 20, 30]], rtol=1e-6)

    @pytest.mark.parametrize(
        "content",
        [
            document(PERSON).replace("\n", "\r\n").encode(),
            b"\xef\xbb\xbf" + document(PERSON).encode(),
            document(PERSON, head='<?xml version="1.0" encoding="utf-16"?>').encode("utf-16"),
            document(PERSON, head="<!-- made by hand -->").encode(),
            document(PERSON, head="<!DOCTYPE annotation>").encode(),
        ],
        ids=["windows line ends", "byte order mark", "utf-16", "comment", "doctype without entities"],
    )
    def test_harmless_variants(self, read, content):
        assert read(content).boxes.tolist() == [[10, 20, 30, 40]]

    def test_text_in_another_encoding_needs_a_declaration(self, read):
        text = document(box_object(1, 1, 5, 5, name="Küchenuhr"))
        declared = '<?xml version="1.0" encoding="latin-1"?>' + text
        assert read(declared.encode("latin-1")).names == ("Küchenuhr",)
        with pytest.raises(AnnotationError, match="encoding"):
            read(text.encode("latin-1"))
        with pytest.raises(AnnotationError, match="encoding"):
            read('<?xml version="1.0" encoding="klingon"?>' + text)

    def test_a_pixel_over_the_border_is_cut_off(self, read):
        a = read(document(box_object(0, 0, 101, 80.5)))
        assert a.boxes.tolist() == [[0, 0, 100, 80]]

    @pytest.mark.parametrize(
        ("box", "problem"),
        [
            ((1, 1, 102, 80), "outside the image of 100 x 80"),
            ((1, 1, 100, 82), "outside the image"),
            ((-1, 1, 50, 50), "outside the image"),
            ((200, 200, 300, 300), "outside the image"),
            ((1, 1, "1e300", 5), "outside the image"),
            ((50, 1, 20, 30), "corners swapped"),
            ((1, 50, 20, 30), "corners swapped"),
            ((10, 1, 9, 30), "no area"),
            ((1, 10, 30, 9), "no area"),
            ((0, 1, 0, 30), "no area"),
            ((101, 1, 101, 30), "no area"),
        ],
    )
    def test_wrong_box_is_named(self, read, box, problem):
        with np.errstate(over="ignore"), pytest.raises(AnnotationError) as caught:
            read(document(DOG, box_object(*box)))
        message = str(caught.value)
        assert "000012.xml, object 2 of 2 (cat)" in message and problem in message
        if "1e300" not in box:
            assert "({}, {}, {}, {})".format(*box) in message

    @pytest.mark.parametrize(
        ("broken", "problem"),
        [
            (DOG.replace("<name>dog</name>", ""), "object 1 of 1: <name> is missing"),
            (DOG.replace("dog", "  "), "<name> is missing or empty"),
            (DOG.replace("bndbox", "box"), r"\(dog\): <bndbox> is missing"),
            (DOG.replace("<ymax>80</ymax>", ""), "<ymax> is missing"),
            (DOG.replace("80", "eighty"), "<ymax> is 'eighty', not a number"),
            (DOG.replace("80", "nan"), "not a number"),
            (DOG.replace("80", "inf"), "not a number"),
            (DOG.replace("80", ""), "not a number"),
            (PERSON.replace("<difficult>1", "<difficult>maybe"), "<difficult> is 'maybe'; write 0 or 1"),
        ],
    )
    def test_broken_object(self, read, broken, problem):
        with pytest.raises(AnnotationError, match=problem):
            read(document(broken))

    @pytest.mark.parametrize("width", ["", "0", "-3", "99.5", "wide", "nan", "1e300"])
    def test_broken_size(self, read, width):
        with pytest.raises(AnnotationError, match="<width>"):
            read(document(DOG, width=width))

    def test_size_is_missing(self, read):
        with pytest.raises(AnnotationError, match="<height> is missing"):
            read("<annotation></annotation>")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"   ",
            b"not xml",
            document(DOG).encode()[:-20],
            b"\xff\xd8\xff\xe0JFIF",
            b"<annotation>&unknown;",
        ],
        ids=["empty", "blank", "text", "truncated", "jpeg", "unknown entity"],
    )
    def test_not_well_formed(self, read, content):
        with pytest.raises(AnnotationError, match=r"000012\.xml is not well-formed XML"):
            read(content)

    def test_another_kind_of_xml(self, read):
        with pytest.raises(AnnotationError, match="<svg>.*<annotation>"):
            read("<svg/>")

    def test_entity_bomb(self, read):
        levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 20))
        bomb = f'<!DOCTYPE annotation [<!ENTITY e0 "ha">{levels}]>'
        began = time.perf_counter()
        with pytest.raises(AnnotationError, match="declares XML entities"):
            read(bomb + document(box_object(1, 1, 5, 5, name="&e19;")))
        assert time.perf_counter() - began < 5  # expanded, it would be 20 million million million letters

    def test_entity_bomb_in_utf16(self, read):
        bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY e "ha">]>' + document(DOG)
        with pytest.raises(AnnotationError, match="declares XML entities"):
            read(bomb.encode("utf-16"))

    @pytest.mark.parametrize(
        "declaration",
        ['<!ENTITY leak SYSTEM "file://{}">', '<!ENTITY % leak SYSTEM "file://{}"> %leak;'],
    )
    def test_file_is_not_read_through_an_external_entity(self, read, tmp_path, declaration):
        secret = tmp_path / "secret.txt"
        secret.write_text("secret")
        doctype = f"<!DOCTYPE annotation [{declaration.format(secret)}]>"
        with pytest.raises(AnnotationError) as caught:
            read(doctype + document(box_object(1, 1, 5, 5, name="&leak;")))
        assert "secret</name>" not in str(caught.value)

    def test_deep_nesting(self, read):
        assert len(read("<annotation>" + "<a>" * 50_000 + "</a>" * 50_000 + document(DOG)[12:])) == 1

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(AnnotationError, match=r"no annotation .*missing\.xml"):
            read_annotation(tmp_path / "missing.xml")
        with pytest.raises(AnnotationError, match="cannot read"):
            read_annotation(tmp_path)


class TestWriteAnnotation:
    @given(st.data())
    def test_reader_gets_back_what_the_writer_got(self, tmp_path_factory, data):
        width, height = data.draw(st.integers(1, 5000)), data.draw(st.integers(1, 5000))
        n = data.draw(st.integers(0, 4))
        corners = []
        for _ in range(n):
            x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
            corners.append(
                (x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height)))
            )
        flags = st.lists(st.booleans(), min_size=n, max_size=n)
        text = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)
        annotation = Annotation(
            image_id="2008_000001",
            height=height,
            width=width,
            boxes=np.array(corners, dtype=np.float32).reshape(-1, 4),
            names=tuple(data.draw(text) for _ in range(n)),
            difficult=np.array(data.draw(flags), dtype=bool),
            truncated=np.array(data.draw(flags), dtype=bool),
            occluded=np.array(data.draw(flags), dtype=bool),
            poses=tuple(data.draw(text) for _ in range(n)),
        )
        path = tmp_path_factory.mktemp("written") / "2008_000001.xml"
        write_annotation(path, annotation)
        assert_same(read_annotation(path), annotation)

    def test_whole_numbers_are_written_as_the_devkit_writes_them(self, tmp_path):
        annotation = annotation_of(boxes=[[47, 239, 195, 371]], names=["dog"], height=500, width=353)
        write_annotation(tmp_path / "a.xml", annotation, folder="VOC2012")
        text = re.sub(r"\s", "", (tmp_path / "a.xml").read_text())
        box = "<bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>"
        assert box in text and "<folder>VOC2012</folder><filename>a.jpg</filename>" in text

    def test_fractions_come_back_to_rounding(self, tmp_path):
        annotation = annotation_of(boxes=[[1 / 3, 0.1, 99.9, 77.7]], names=["dog"])
        write_annotation(tmp_path / "a.xml", annotation)
        np.testing.assert_allclose(read_annotation(tmp_path / "a.xml").boxes, annotation.boxes, atol=1e-5)

    def test_torchvision_reads_it(self, folder):
        from torchvision.datasets import VOCDetection

        peer = VOCDetection(folder.parent.parent, year="2007", image_set="train")
        _, parsed = peer[1]
        assert [o["name"] for o in parsed["annotation"]["object"]] == ["cat", "dog"]
        assert parsed["annotation"]["object"][0]["bndbox"] == {
            "xmin": "1",
            "ymin": "1",
            "xmax": "10",
            "ymax": "20",
        }


class TestImageSet:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"000005\n000007\n", ["000005", "000007"]),
            (b"000005\r\n000007\r\n\r\n", ["000005", "000007"]),
            (b"\xef\xbb\xbf000005\n  000007  ", ["000005", "000007"]),
            (b"000005 -1\n000007  1\n000009  0\n", ["000005", "000007", "000009"]),
            (b"my photo\nmy photo 2\n", ["my photo", "my photo 2"]),
            (b"set_a/0001\n", ["set_a/0001"]),
        ],
        ids=["plain", "windows", "byte order mark", "class list", "blanks", "subfolder"],
    )
    def test_lists(self, tmp_path, content, expected):
        (tmp_path / "list.txt").write_bytes(content)
        assert read_image_set(tmp_path / "list.txt") == expected

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "is empty"),
            (b"\n \r\n", "is empty"),
            (b"a\nb\na\n", "names 'a' twice"),
            (b"\xff\xfe\x00", "not UTF-8"),
            (b"../../etc/passwd\n", "leads out"),
            (b"/etc/passwd\n", "leads out"),
            (b"..\\secret\n", "leads out"),
            (b"C:secret\n", "leads out"),
            (b"a\0b\n", "leads out"),
        ],
    )
    def test_broken_lists(self, tmp_path, content, problem):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(DatasetError, match=problem):
            read_image_set(tmp_path / "list.txt")

    def test_missing_list(self, tmp_path):
        with pytest.raises(DatasetError, match=r"missing\.txt"):
            read_image_set(tmp_path / "missing.txt")

    def test_written_list_is_read_back(self, tmp_path):
        write_image_set(tmp_path / "new" / "list.txt", ["b", "a"])
        assert read_image_set(tmp_path / "new" / "list.txt") == ["b", "a"]


class TestRoot:
    def test_folder_or_one_above_will_do(self, folder):
        for root in (folder, folder.parent, folder.parent.parent, str(folder)):
            dataset = VOCDataset(root, "train")
            assert dataset.root == folder and dataset.ids == ["000003", "000001"]

    def test_two_years_below_are_ambiguous(self, folder):
        write_image_set(folder.parent / "VOC2012" / "ImageSets" / "Main" / "train.txt", ["a"])
        with pytest.raises(DatasetError, match=r"several data sets.*VOC2007.*VOC2012"):
            VOCDataset(folder.parent, "train")

    def test_wrong_folder_says_what_was_expected_and_found(self, tmp_path):
        (tmp_path / "holiday").mkdir()
        with pytest.raises(DatasetError, match="expected .*JPEGImages.*found holiday"):
            VOCDataset(tmp_path, "train")
        with pytest.raises(DatasetError, match="found nothing"):
            VOCDataset(tmp_path / "holiday", "train")

    def test_part_of_the_data_set_points_to_the_whole(self, folder):
        with pytest.raises(DatasetError, match=f"part of the data set {re.escape(str(folder))}"):
            VOCDataset(folder / "JPEGImages", "train")

    def test_no_such_folder_and_a_file(self, folder):
        with pytest.raises(DatasetError, match="there is no folder"):
            VOCDataset(folder / "missing", "train")
        with pytest.raises(DatasetError, match="there is no folder"):
            VOCDataset(folder / "Annotations" / "000001.xml", "train")

    @pytest.mark.parametrize("split", ["trian", "", "../Main/train", "/etc/passwd"])
    def test_unknown_split_names_those_that_are_there(self, folder, split):
        with pytest.raises(DatasetError, match="there are: train, trainval"):
            VOCDataset(folder, split)

    def test_no_lists_at_all(self, folder):
        (folder / "ImageSets").rename(folder / "Lists")
        with pytest.raises(DatasetError, match="there are: none"):
            VOCDataset(folder, "train")
        assert VOCDataset(folder, "mine", ids=["000001"]).annotation("000001").names == ("cat", "dog")


class TestVOCDataset:
    def test_images_and_annotations(self, folder):
        dataset = VOCDataset(folder)
        assert len(dataset) == 3
        assert repr(dataset) == f"VOCDataset({str(folder)!r}, 'trainval'): 3 images"
        assert dataset.image("000001").shape == (80, 100, 3)
        assert dataset.annotation("000001").boxes.tolist() == [[0, 0, 10, 20], [5, 5, 9, 9]]

    def test_annotation_is_parsed_once(self, folder):
        dataset = VOCDataset(folder)
        first = dataset.annotation("000001")
        (folder / "Annotations" / "000001.xml").unlink()
        assert dataset.annotation("000001") is first

    def test_worker_processes_get_the_data_set_without_its_cache(self, folder):
        dataset = VOCDataset(folder)
        size = len(pickle.dumps(dataset))
        assert dataset.classes == VOC_CLASSES
        copy = pickle.loads(pickle.dumps(dataset))
        assert len(pickle.dumps(dataset)) < size + 500
        assert copy.ids == dataset.ids and copy.classes == dataset.classes
        assert_same(copy.annotation("000001"), dataset.annotation("000001"))

    def test_classes_by_default(self, folder):
        assert VOCDataset(folder).classes == VOC_CLASSES
        made = annotation_of("000002", boxes=[[0, 0, 2, 2]], names=["unicorn"])
        write_annotation(folder / "Annotations" / "000002.xml", made)
        assert VOCDataset(folder).classes == ("cat", "dog", "unicorn")
        assert VOCDataset(folder, "train").classes == VOC_CLASSES

    def test_own_classes(self, folder):
        dataset = VOCDataset(folder, classes=["dog", "cat"])
        assert dataset.classes == ("dog", "cat")
        assert dataset.class_index("cat") == 1
        with pytest.raises(DatasetError, match="'cow' is not a class.*dog, cat"):
            dataset.class_index("cow")

    @pytest.mark.parametrize("classes", [[], "cat", ["cat", "dog", "cat"]])
    def test_broken_class_lists(self, folder, classes):
        with pytest.raises(DatasetError, match="class"):
            VOCDataset(folder, classes=classes)

    def test_boxes_of_a_class(self, folder):
        hard = dataclasses.replace(
            annotation_of("000002", boxes=[[0, 0, 5, 5], [1, 1, 2, 2]], names=["cat", "cat"]),
            difficult=np.array([True, False]),
        )
        write_annotation(folder / "Annotations" / "000002.xml", hard)
        dataset = VOCDataset(folder)
        assert dataset.boxes_of("000002", "cat").tolist() == [[0, 0, 5, 5], [1, 1, 2, 2]]
        assert dataset.boxes_of("000002", "cat", include_difficult=False).tolist() == [[1, 1, 2, 2]]
        assert dataset.boxes_of("000002", "dog").shape == (0, 4)

    def test_subsets(self, folder):
        dataset = VOCDataset(folder, classes=["cat", "dog"])
        assert dataset.subset(2).ids == ["000001", "000002"]
        assert dataset.subset(99).ids == dataset.ids
        assert dataset.subset(["000003", "000001"]).ids == ["000003", "000001"]
        assert dataset.subset(1).classes == ("cat", "dog")
        with pytest.raises(DatasetError, match="'000009' is not among"):
            dataset.subset(["000009"])
        for none in (0, -1, []):
            with pytest.raises(DatasetError, match="at least one"):
                dataset.subset(none)

    @pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".JPEG", ".png", ".PNG"])
    def test_suffixes(self, folder, suffix):
        (folder / "JPEGImages" / "000001.jpg").unlink()
        path = folder / "JPEGImages" / f"000001{suffix}"
        write_image(path, np.zeros((80, 100, 3), dtype=np.uint8))
        assert VOCDataset(folder).image_path("000001").samefile(path)

    def test_missing_image_is_named(self, folder):
        (folder / "JPEGImages" / "000001.jpg").unlink()
        with pytest.raises(DatasetError, match=r"no image '000001'.*remove it from the list 'trainval'"):
            VOCDataset(folder).image("000001")

    def test_annotations_alone_are_enough_for_all_but_pictures(self, folder):
        (folder / "JPEGImages").rename(folder / "Elsewhere")
        dataset = VOCDataset(folder)
        assert dataset.classes == VOC_CLASSES and len(dataset.annotation("000001")) == 2
        with pytest.raises(DatasetError, match="no folder JPEGImages"):
            dataset.image("000001")

    def test_images_alone_are_enough_for_detecting(self, folder):
        (folder / "Annotations").rename(folder / "Elsewhere")
        dataset = VOCDataset(folder)
        assert dataset.image("000001").shape == (80, 100, 3) and dataset.classes == VOC_CLASSES
        with pytest.raises(AnnotationError, match="no annotation"):
            dataset.annotation("000001")

    def test_missing_annotation_of_a_listed_image(self, folder):
        write_image_set(folder / "ImageSets" / "Main" / "train.txt", ["000001.jpg"])
        with pytest.raises(AnnotationError, match=r"000001\.jpg\.xml; lists hold ids without suffix"):
            _ = VOCDataset(folder, "train").classes

    def test_ids_may_name_a_subfolder(self, folder):
        write_annotation(folder / "Annotations" / "set_a" / "1.xml", annotation_of("1"))
        write_image(folder / "JPEGImages" / "set_a" / "1.png", np.zeros((80, 100, 3), dtype=np.uint8))
        write_image_set(folder / "ImageSets" / "Main" / "mine.txt", ["set_a/1"])
        dataset = VOCDataset(folder, "mine")
        assert dataset.annotation("set_a/1").image_id == "set_a/1"
        assert dataset.image("set_a/1").shape == (80, 100, 3)

    def test_broken_picture_is_named(self, folder):
        path = folder / "JPEGImages" / "000001.jpg"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(ImageError, match=r"000001\.jpg"):
            VOCDataset(folder).image("000001")

    def test_picture_labelled_before_it_was_turned_upright(self, folder):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (100, 80)).save(folder / "JPEGImages" / "000001.jpg", exif=exif)
        with pytest.raises(AnnotationError, match="100 x 80 pixels, but .* 80 x 100 when upright.*EXIF"):
            VOCDataset(folder).image("000001")


class TestSegmentation:
    def test_masks_are_indices(self, folder):
        classes = np.array([[0, 8], [255, 12]], dtype=np.uint8)
        objects = np.array([[0, 1], [255, 2]], dtype=np.uint8)
        write_mask(folder / "SegmentationClass" / "000001.png", classes)
        write_mask(folder / "SegmentationObject" / "000001.png", objects)
        found = VOCDataset(folder).segmentation("000001")
        np.testing.assert_array_equal(found[0], classes)
        np.testing.assert_array_equal(found[1], objects)

    def test_missing_and_unequal_masks(self, folder):
        dataset = VOCDataset(folder)
        write_mask(folder / "SegmentationClass" / "000001.png", np.zeros((2, 3), dtype=np.uint8))
        with pytest.raises(DatasetError, match="no mask .*SegmentationObject"):
            dataset.segmentation("000001")
        write_mask(folder / "SegmentationObject" / "000001.png", np.zeros((2, 2), dtype=np.uint8))
        with pytest.raises(DatasetError, match="differ in size"):
            dataset.segmentation("000001")

    def test_palette_is_the_devkits(self):
        # The first colours of the devkit's colour map, and the cream of its void pixels.
        colours = palette()
        expected = [
            [0, 0, 0],
            [128, 0, 0],
            [0, 128, 0],
            [128, 128, 0],
            [0, 0, 128],
            [128, 0, 128],
            [0, 128, 128],
        ]
        assert colours[:7].tolist() == expected
        assert colours[8].tolist() == [64, 0, 0] and colours[20].tolist() == [0, 64, 128]
        assert colours[255].tolist() == [224, 224, 192]
        assert len(np.unique(colours, axis=0)) == 256


@pytest.mark.real_data
class TestRealData:
    SAMPLE = "voc2007_sample"
    TEST = "voc2007_test_annotations"

    @pytest.mark.parametrize(
        ("root", "split", "n_images"),
        [(SAMPLE, "trainval", 1000), (SAMPLE, "test", 500), (TEST, "test", 4952)],
    )
    def test_every_annotation_agrees_with_a_search_of_its_text(self, real_data, root, split, n_images):
        dataset = VOCDataset(real_data / root, split)
        assert len(dataset) == n_images
        assert dataset.classes == VOC_CLASSES
        for image_id in dataset.ids:
            text = (dataset.root / "Annotations" / f"{image_id}.xml").read_text()
            annotation = dataset.annotation(image_id)
            assert list(annotation.names) == re.findall(r"<name>(\w+)</name>", text)
            assert annotation.difficult.tolist() == [f == "1" for f in re.findall(r"<difficult>(.)<", text)]
            corners = [
                [int(v) for v in re.findall(rf"<{tag}>(\d+)<", text)]
                for tag in ("xmin", "ymin", "xmax", "ymax")
            ]
            written = np.array(corners, dtype=np.float32).T.reshape(-1, 4) - (1, 1, 0, 0)
            np.testing.assert_array_equal(annotation.boxes, written)

    def test_official_counts_of_the_test_set(self, real_data):
        # VOC 2007 test: 12,032 objects that are not difficult, 14,976 in all, as the organisers publish.
        dataset = VOCDataset(real_data / self.TEST, "test")
        difficult = np.concatenate([dataset.annotation(i).difficult for i in dataset.ids])
        assert len(difficult) == 14976 and (~difficult).sum() == 12032

    def test_written_annotations_are_the_same(self, real_data, tmp_path):
        dataset = VOCDataset(real_data / self.TEST, "test")
        for image_id in dataset.ids[::25]:
            path = tmp_path / f"{image_id}.xml"
            write_annotation(path, dataset.annotation(image_id))
            assert_same(read_annotation(path), dataset.annotation(image_id))

    def test_images_are_of_the_size_their_annotations_say(self, real_data):
        for split in ("trainval", "test"):
            dataset = VOCDataset(real_data / self.SAMPLE, split)
            for image_id in dataset.ids[::20]:
                with Image.open(dataset.image_path(image_id)) as peer:
                    np.testing.assert_array_equal(dataset.image(image_id), np.asarray(peer.convert("RGB")))

    def test_annotations_without_images(self, real_data):
        with pytest.raises(DatasetError, match="no folder JPEGImages"):
            VOCDataset(real_data / self.TEST, "test").image("000001")
