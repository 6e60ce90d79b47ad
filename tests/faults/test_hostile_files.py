"""Files made to do harm, or damaged beyond use, given to the commands that read such files.

Each row of the table is a file and the command that is handed it. The command ends with status 1 and one message
that names the file and what is wrong with it; nothing in the file is executed, nothing is written outside of the
folder, and no file asks for more memory than it is worth.
"""

import gzip
import io
import json
import os
import pickle
import re
import resource
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from rcnn_helpers.cli import main
from rcnn_helpers.datasets.download import unpack
from rcnn_helpers.errors import DownloadError

# What a command may take beyond what the process has already, address space included.
MOST_MEMORY = 1 << 29


@pytest.fixture(scope="module")
def voc(tmp_path_factory, photo) -> Path:
    """One picture in VOC's layout."""
    folder = tmp_path_factory.mktemp("voc")
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    (folder / "JPEGImages" / "a.png").write_bytes(photo.read_bytes())
    (folder / "Annotations" / "a.xml").write_text(annotation())
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("a\n")
    return folder


def annotation(prolog: str = "", name: str = "car") -> str:
    box = "<xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>38</ymax>"
    return (
        f"{prolog}<annotation><size><width>50</width><height>40</height><depth>3</depth></size>"
        f"<object><name>{name}</name><bndbox>{box}</bndbox></object></annotation>"
    )


class Bomb:
    """A pickle that would make a file when it is opened."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def little_memory():
    """The process may grow by `MOST_MEMORY` only; a bomb that goes off then shows as a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(capsys, *arguments) -> str:
    """Run a command that must end with status 1 and words instead of a traceback; what it says."""
    status = main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert status == 1 and f"rcnn {arguments[0]}" in said and "Traceback" not in said, (status, said)
    return said


# -- models ------------------------------------------------------------------------------------------------


def rewritten(model: Path, *, header=None, tensors=None) -> dict:
    """The parts of a model file with some of them exchanged, for ``save_file``; without its checksum."""
    with safe_open(model, framework="pt") as file:
        content = {name: file.get_tensor(name) for name in file.keys()}
        about = json.loads(file.metadata()["rcnn"])
    content |= {name: change(content[name]) for name, change in (tensors or {}).items()}
    return {"tensors": content, "metadata": {"rcnn": json.dumps(about | (header or {}))}}


def with_nan(tensor):
    changed = tensor.clone()
    changed.view(-1)[-1] = torch.nan
    return changed


def lying_header(content: bytes) -> bytes:
    return (1 << 60).to_bytes(8, "little") + content[8:]


def flipped(content: bytes, place: float) -> bytes:
    damaged = bytearray(content)
    damaged[int(place * len(damaged))] ^= 1
    return bytes(damaged)


def longer_tensor(content: bytes) -> bytes:
    """A header that promises a tensor larger than the file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["svm.coef"]["shape"] = [2, 1 << 40]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


MODEL_BYTES = {
    "empty": (lambda content: b"", "damaged or no model"),
    "cut off": (lambda content: content[: len(content) // 2], "damaged"),
    "cut off in the header": (lambda content: content[:100], "damaged"),
    "a bit turned in a weight": (lambda content: flipped(content, 0.6), "checksum is wrong"),
    "a bit turned in the last coefficient": (lambda content: flipped(content, 1 - 1e-9), "checksum"),
    "a class renamed": (lambda content: content.replace(b'\\"dog\\"', b'\\"cow\\"'), "checksum"),
    "text": (lambda content: b"this is no model\n" * 10, "damaged or no model"),
    "a header of 2**60 bytes": (lying_header, "damaged or no model"),
    "a tensor larger than the file": (longer_tensor, "damaged or no model"),
    "a pickle": (lambda content: pickle.dumps(Bomb(Path("executed"))), "damaged or no model"),
    "a zip archive": (lambda content: zipped(b"x"), "damaged or no model"),
}
MODEL_PARTS = {
    "not a number in a weight": (
        {"tensors": {"network.trunk.conv1.weight": with_nan}},
        "NaN or infinity",
    ),
    "not a number in an SVM": ({"tensors": {"svm.coef": with_nan}}, "svm.coef .*NaN"),
    "infinity in an SVM": (
        {"tensors": {"svm.intercept": lambda tensor: tensor + torch.inf}},
        "svm.intercept .*infinity",
    ),
    "not a number in a threshold": ({"tensors": {"thresholds": with_nan}}, "thresholds .*NaN"),
    "a class too many": ({"header": {"classes": ["a", "b", "c"]}}, "3 classes"),
    "coefficients of another layer": ({"tensors": {"svm.coef": lambda t: t[:, :-1].contiguous()}}, "shape"),
    "an unknown network": ({"header": {"network": "../../etc"}}, "network"),
    "another network's name": ({"header": {"network": "squeezenet1_1"}}, "does not fit"),
    "no settings": ({"header": {"settings": None}}, "not a complete detector"),
    "a setting nobody knows": ({"header": {"settings": {"shell": "ls"}}}, "not a complete detector"),
    "a layer nobody knows": ({"header": {"settings": {"layer": "fc9"}}}, "fc9"),
    "classes that are no names": ({"header": {"classes": 7}}, "not a complete detector"),
    "an older format": ({"header": {"format": "rcnn_helpers.model.1"}}, "older version"),
}


@pytest.mark.parametrize("kind", MODEL_BYTES)
def test_model_files(kind, model, photo, tmp_path, capsys, monkeypatch, little_memory):
    monkeypatch.chdir(tmp_path)
    change, words = MODEL_BYTES[kind]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(change(model.read_bytes()))
    for command in ("detect", "segment run"):
        said = refused(capsys, *command.split(), photo, "--model", path, "--out", tmp_path / "out")
        assert str(path) in said
        assert command != "detect" or words in said
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", MODEL_PARTS)
def test_models_that_do_not_hold_together(kind, model, photo, tmp_path, capsys):
    change, words = MODEL_PARTS[kind]
    path = tmp_path / "bad.safetensors"
    parts = rewritten(model, **change)
    save_file(parts["tensors"], path, metadata=parts["metadata"])
    said = refused(capsys, "detect", photo, "--model", path, "--out", tmp_path / "out")
    assert re.search(words, said), said


def test_the_model_itself_is_read(model, photo, tmp_path):
    assert main(["detect", str(photo), "--model", str(model), "--out", str(tmp_path), "--device", "cpu"]) == 0


def test_files_of_another_kind(model, photo, voc, tmp_path, capsys):
    weights = model.with_name("weights.safetensors")
    detect = ("detect", photo, "--out", tmp_path / "out", "--model")
    assert "was not written by rcnn train" in refused(capsys, *detect, weights)
    assert "no model file" in refused(capsys, *detect, tmp_path)
    assert "no model file" in refused(capsys, *detect, tmp_path / "missing")
    train = ("train", "--voc", voc, "--out", tmp_path / "out.safetensors", "--weights")
    assert "does not fit the architecture" in refused(capsys, *train, model)
    assert "suffix '.png'" in refused(capsys, *train, photo)
    assert "is not an image" in refused(capsys, "detect", model, "--out", tmp_path / "out", "--model", model)
    assert "not an index of units" in refused(capsys, "units", "show", "--unit", "0,0,0", model)


# -- weights -----------------------------------------------------------------------------------------------


def zipped(content: bytes, *, name: str = "a/data.pkl", method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def compressed_state_dict() -> bytes:
    """A state dict of 256 MB of zeros, packed into one."""
    state = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(4)}, state)
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(state) as plain,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for name in plain.namelist():
            if not name.endswith("data/0"):
                packed.writestr(name, plain.read(name))
                continue
            with packed.open(name, "w", force_zip64=True) as entry:
                for _ in range(256):
                    entry.write(bytes(1 << 20))
    return buffer.getvalue()


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes, length: int | None = None) -> bytes:
    return varint(number << 3 | 2) + varint(len(content) if length is None else length) + content


def caffe_blob(*shape: int) -> bytes:
    return field(7, field(7, field(1, b"".join(map(varint, shape)))) + field(5, bytes(16)))


def bomb_pickle(mark) -> bytes:
    return pickle.dumps({"conv1.weight": Bomb(mark)})


def bomb_archive(mark) -> bytes:
    buffer = io.BytesIO()
    torch.save({"conv1.weight": Bomb(mark)}, buffer)
    return buffer.getvalue()


WEIGHTS = {
    # kind: (suffix, content for a path that must not appear, words)
    "a pickle that runs code": (".pth", bomb_pickle, "could run code"),
    "the same in PyTorch's archive": (".pt", bomb_archive, "could run code"),
    "the same, called safetensors": (".safetensors", bomb_pickle, "damaged or no safetensors"),
    "the same, called a Caffe model": (".caffemodel", bomb_pickle, "damaged or no Caffe model"),
    "a state dict that unpacks to gigabytes": (
        ".pth",
        lambda mark: compressed_state_dict(),
        "compressed",
    ),
    "an archive without weights": (".pth", lambda mark: zipped(b"x"), "damaged|could run code"),
    "an archive that leads out": (".pth", lambda mark: zipped(b"x", name="../../a/data.pkl"), "damaged|code"),
    "a list instead of tensors": (".pth", lambda mark: saved([1, 2]), "no state dict"),
    "a Caffe field longer than the file": (
        ".caffemodel",
        lambda mark: field(100, b"abc", length=1 << 50),
        "beyond the end",
    ),
    "a Caffe blob that lies about its shape": (
        ".caffemodel",
        lambda mark: field(100, field(1, b"conv1") + caffe_blob(1 << 40, 1 << 20)),
        "holds 4 numbers",
    ),
    "a Caffe number without an end": (".caffemodel", lambda mark: b"\xff" * 4096, "damaged"),
    "a safetensors header of 2**60 bytes": (
        ".safetensors",
        lambda mark: lying_header(bytes(4096)),
        "damaged",
    ),
}


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights(kind, voc, tmp_path, capsys, little_memory):
    suffix, content, words = WEIGHTS[kind]
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content(tmp_path / "executed"))
    for command in ("train", "finetune"):
        out = tmp_path / "out.safetensors"
        said = refused(
            capsys, command, "--voc", voc, "--split", "trainval", "--weights", path, "--out", out,
            *(("--val-split", "trainval") if command == "finetune" else ()),
        )  # fmt: skip
        assert str(path) in said and re.search(words, said), said
    assert not (tmp_path / "executed").exists()


# -- pictures ----------------------------------------------------------------------------------------------


def png(width: int, height: int, rows: bytes = b"", extra: bytes = b"") -> bytes:
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def png_bomb() -> bytes:
    """30,000 x 30,000 grey pixels in less than a megabyte, the same thousand rows thirty times."""
    rows = bytes(1_000 * 30_001)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(30):
        checksum = zlib.adler32(rows, checksum)
    return png(30_000, 30_000, b"\x78\x9c" + 30 * packed + packer.flush() + struct.pack(">I", checksum))


def png_with_long_text() -> bytes:
    text = b"zTXt" + b"Comment\x00\x00" + zlib.compress(bytes(200 << 20), 1)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png(4, 4, zlib.compress(bytes(20)), extra=chunk)


def jpeg_that_lies() -> bytes:
    """A small JPEG whose header says 65,000 x 65,000."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 65_000, 65_000)
    return bytes(content)


def gif_that_lies() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "GIF")
    content = bytearray(buffer.getvalue())
    content[6:10] = struct.pack("<HH", 65_535, 65_535)
    return bytes(content)


def bmp_that_lies() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = struct.pack("<ii", 2_000_000, 2_000_000)
    return bytes(content)


PICTURES = {
    "a PNG of 900 million pixels": (png_bomb, "million pixels"),
    "a JPEG that says it has four thousand million": (jpeg_that_lies, "million pixels"),
    "a GIF that says so": (gif_that_lies, "million pixels"),
    "a BMP that says so": (bmp_that_lies, "million pixels"),
    "a PNG with two hundred megabytes of text": (png_with_long_text, "damaged|not an image"),
    "a PNG without a picture": (lambda: png(100, 100), "damaged"),
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"no picture\n", "not an image"),
    "an SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not an image"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nquit\n", "not an image"),
    "a pickle": (lambda: pickle.dumps(Bomb(Path("executed"))), "not an image"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(kind, model, voc, tmp_path, capsys, monkeypatch, little_memory):
    monkeypatch.chdir(tmp_path)
    make, words = PICTURES[kind]
    content = make()
    assert len(content) < 2e6
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    for command in (
        ("detect", path, "--model", model, "--out", tmp_path / "out", "--device", "cpu"),
        ("proposals", "--image", path, "--out", tmp_path / "out.jpg"),
        ("duplicates", tmp_path),
    ):
        said = refused(capsys, *command)
        assert str(path) in said and re.search(words, said), said
    assert not (tmp_path / "executed").exists()


# -- annotations and results -------------------------------------------------------------------------------


def laughs() -> str:
    """Ten entities, each ten times the one before: ten thousand million letters."""
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 11))
    return annotation(f'<!DOCTYPE annotation [<!ENTITY e0 "ha">{levels}]>', name="&e10;")


ANNOTATIONS = {
    "a thousand million laughs": (laughs, "declares XML entities"),
    "an entity that reads a file": (
        lambda: annotation('<!DOCTYPE annotation [<!ENTITY e SYSTEM "file:///etc/hostname">]>', name="&e;"),
        "declares XML entities",
    ),
    "a DTD from the network": (
        lambda: annotation('<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/a.dtd">', name="&e;"),
        "a.xml",
    ),
    "nothing": (lambda: "", "a.xml"),
    "a box of a million pixels": (lambda: annotation().replace("<xmax>30", "<xmax>1000000"), "a.xml"),
    "a picture of another size": (lambda: annotation().replace("<width>50", "<width>500000"), "a.xml|a.png"),
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations(kind, voc, tmp_path, capsys, little_memory):

    make, words = ANNOTATIONS[kind]
    folder = tmp_path / "voc"
    shutil.copytree(voc, folder)
    (folder / "Annotations" / "a.xml").write_text(make())
    for command in (
        (
            "train",
            "--out",
            tmp_path / "out.safetensors",
            "--weights",
            "random",
            "--cache",
            tmp_path / "cache",
        ),
        ("proposals",),
    ):
        said = refused(capsys, *command, "--voc", folder, "--split", "trainval")
        assert re.search(words, said), said


def test_results_that_unpack_to_gigabytes(voc, tmp_path, capsys, little_memory):
    folder = tmp_path / "results"
    folder.mkdir()
    part = gzip.compress(b"a 0.5 1 1 9 9\n" * (1 << 20))  # parts of a gzip file are simply joined
    (folder / "comp3_det_trainval_car.txt.gz").write_bytes(part * 200)
    said = refused(capsys, "evaluate", "--voc", voc, "--split", "trainval", "--results", folder)
    assert "comp3_det_trainval_car.txt.gz" in said and "unpacks" in said


# -- archives ----------------------------------------------------------------------------------------------


def tar(*members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVES = {
    "a member above the folder": tar(("../escaped", tarfile.REGTYPE, "", b"x")),
    "a member at the root": tar(("/escaped", tarfile.REGTYPE, "", b"x")),
    "a link out, and a file through it": tar(
        ("out", tarfile.SYMTYPE, "..", b""), ("out/escaped", tarfile.REGTYPE, "", b"x")
    ),
    "a hard link": tar(("a", tarfile.REGTYPE, "", b"x"), ("escaped", tarfile.LNKTYPE, "a", b"")),
    "a device": tar(("escaped", tarfile.CHRTYPE, "", b"")),
    "a zip archive that leads out": zipped(b"x", name="../escaped"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives(kind, tmp_path):
    (tmp_path / "bad.tar").write_bytes(ARCHIVES[kind])
    with pytest.raises(DownloadError, match=r"bad\.tar is not (safe to unpack|a whole tar archive)"):
        unpack(tmp_path / "bad.tar", tmp_path / "deep" / "folder")
    assert not list(tmp_path.rglob("escaped"))
