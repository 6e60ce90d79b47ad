"""Downloads against a server on this machine, and archives made to do harm."""

import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
from functools import partial

import pytest

from rcnn_helpers.datasets import download
from rcnn_helpers.datasets.download import download_file, download_voc, unpack
from rcnn_helpers.datasets.voc import VOCDataset
from rcnn_helpers.errors import DownloadError, StoreError

XML = """<annotation><size><width>4</width><height>3</height></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object>
</annotation>"""


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    requests: list[str] = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """Folder served on this machine, its address, and the requests it got."""
    served = tmp_path / "served"
    served.mkdir()
    CountingHandler.requests = []
    handler = partial(CountingHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield served, f"http://127.0.0.1:{httpd.server_port}", CountingHandler.requests
        httpd.shutdown()
        thread.join()


@pytest.fixture
def dead_address():
    """Address of this machine at which nobody answers."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def make_tar(path, files: dict[str, bytes], *, extra=()):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return path


def voc_files(folder: str, split: str, image_id: str) -> dict[str, bytes]:
    return {
        f"{folder}/ImageSets/Main/{split}.txt": f"{image_id}\n".encode(),
        f"{folder}/Annotations/{image_id}.xml": XML.encode(),
        f"{folder}/JPEGImages/{image_id}.jpg": b"a picture",
    }


def publish(
    monkeypatch, served, key: str, files: dict[str, bytes], base_dir: str = "VOCdevkit/VOC2007"
) -> str:
    """Serve an archive in the place of the real one; return its name."""
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    name = DATASET_YEAR_DICT[key]["url"].rsplit("/", 1)[1]
    make_tar(served / name, files)
    md5 = hashlib.md5((served / name).read_bytes()).hexdigest()
    entry = {**DATASET_YEAR_DICT[key], "md5": md5, "base_dir": base_dir}
    monkeypatch.setitem(DATASET_YEAR_DICT, key, entry)
    return name


def hidden_files(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    served, address, requests = server
    (served / "a.bin").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    target = tmp_path / "new" / "a.bin"
    assert download_file([f"{address}/a.bin"], target, sha256=digest) == target
    assert target.read_bytes() == b"content"
    count = len(requests)
    download_file([f"{address}/a.bin"], target, sha256=digest)
    assert len(requests) == count
    assert hidden_files(target.parent) == []


def test_next_mirror_serves_when_the_first_is_down_and_the_second_has_no_such_file(
    server, tmp_path, dead_address
):
    served, address, _ = server
    (served / "a.bin").write_bytes(b"content")
    urls = [f"{dead_address}/a.bin", f"{address}/missing.bin", f"{address}/a.bin"]
    download_file(urls, tmp_path / "a.bin", md5=hashlib.md5(b"content").hexdigest())
    assert (tmp_path / "a.bin").read_bytes() == b"content"


def test_wrong_checksum_leaves_no_file_and_says_what_came(server, tmp_path):
    served, address, _ = server
    (served / "a.bin").write_bytes(b"tampered")
    expected = hashlib.sha256(b"content").hexdigest()
    with pytest.raises(DownloadError, match=f"delivered 8 bytes with sha256 .*expected {expected}"):
        download_file([f"{address}/a.bin"], tmp_path / "a.bin", sha256=expected)
    assert not (tmp_path / "a.bin").exists()
    assert hidden_files(tmp_path) == []


def test_damaged_file_and_leftover_of_a_killed_run_are_replaced(server, tmp_path):
    served, address, _ = server
    (served / "a.bin").write_bytes(b"content")
    (tmp_path / "a.bin").write_bytes(b"cont")
    (tmp_path / ".a.bin.part").write_bytes(b"co")
    download_file([f"{address}/a.bin"], tmp_path / "a.bin", md5=hashlib.md5(b"content").hexdigest())
    assert (tmp_path / "a.bin").read_bytes() == b"content"
    assert hidden_files(tmp_path) == []


def test_truncated_answer_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(2):  # once for torchvision's look at redirects, once for the content
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(DownloadError):
            download_file(
                [f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"], tmp_path / "a.bin", md5="0" * 32
            )
        thread.join(timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_silent_server_is_given_up_and_the_time_limit_is_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"
        with pytest.raises(DownloadError, match="timed out"):
            download_file([url], tmp_path / "a.bin", md5="0" * 32)
    assert socket.getdefaulttimeout() is None


def test_offline_error_says_what_to_fetch_and_where_to_put_it(tmp_path, dead_address):
    with pytest.raises(DownloadError) as caught:
        download_voc(2007, "test", tmp_path, mirrors=[dead_address])
    message = str(caught.value)
    assert f"{dead_address}/VOCtest_06-Nov-2007.tar" in message
    assert str(tmp_path / "VOCtest_06-Nov-2007.tar") in message
    assert "b6e924de25625d8de591ea690078ad9f" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("checksums", [{}, {"md5": "0", "sha256": "0"}])
def test_exactly_one_checksum_is_required(tmp_path, checksums):
    with pytest.raises(ValueError, match="one checksum"):
        download_file(["http://127.0.0.1:1/a"], tmp_path / "a", **checksums)


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file/a.bin"):
        download_file(["http://127.0.0.1:1/a"], tmp_path / "file" / "a.bin", md5="0" * 32)


def test_two_archives_of_a_year_share_its_folder(server, tmp_path, monkeypatch):
    served, address, requests = server
    publish(monkeypatch, served, "2007", voc_files("VOCdevkit/VOC2007", "trainval", "000005"))
    publish(monkeypatch, served, "2007-test", voc_files("VOCdevkit/VOC2007", "test", "000001"))
    root = tmp_path / "data"
    folder = download_voc(2007, "trainval", root, mirrors=[address])
    assert download_voc("2007", "test", root, mirrors=[address]) == folder == root / "VOCdevkit" / "VOC2007"
    assert VOCDataset(root, "trainval").ids == ["000005"]
    assert VOCDataset(root, "test").annotation("000001").names == ("cat",)
    assert (folder / "JPEGImages" / "000005.jpg").read_bytes() == b"a picture"
    count = len(requests)
    download_voc(2007, "trainval", root, mirrors=[address])
    assert len(requests) == count
    assert hidden_files(root) == []


def test_year_whose_archive_nests_deeper_lands_in_the_same_layout(server, tmp_path, monkeypatch):
    served, address, _ = server
    base = "TrainVal/VOCdevkit/VOC2011"
    publish(monkeypatch, served, "2011", voc_files(base, "train", "2011_000001"), base)
    folder = download_voc(2011, "train", tmp_path, mirrors=[address + "/"])
    assert folder == tmp_path / "VOCdevkit" / "VOC2011"
    assert VOCDataset(folder, "train").ids == ["2011_000001"]


def test_archive_put_there_by_hand_is_used_offline(server, tmp_path, monkeypatch, dead_address):
    served, _, _ = server
    name = publish(
        monkeypatch, served, "2012", voc_files("VOCdevkit/VOC2012", "val", "a"), "VOCdevkit/VOC2012"
    )
    (served / name).rename(tmp_path / name)
    folder = download_voc(2012, "val", tmp_path, mirrors=[dead_address])
    assert VOCDataset(folder, "val").ids == ["a"]


def test_interrupted_move_is_finished_by_the_next_call(server, tmp_path, monkeypatch):
    served, address, _ = server
    publish(monkeypatch, served, "2007", voc_files("VOCdevkit/VOC2007", "train", "000005"))
    moved = []

    def break_off(source, target):
        if moved:
            raise KeyboardInterrupt
        if "VOCdevkit" in str(target):
            moved.append(target)
        original(source, target)

    original = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", break_off)
        with pytest.raises(KeyboardInterrupt):
            download_voc(2007, "train", tmp_path, mirrors=[address])
    assert not (tmp_path / "VOCdevkit/VOC2007/ImageSets").exists()
    folder = download_voc(2007, "train", tmp_path, mirrors=[address])
    assert VOCDataset(folder, "train").annotation("000005").width == 4


def test_archive_without_the_expected_folder(server, tmp_path, monkeypatch):
    served, address, _ = server
    publish(monkeypatch, served, "2007", {"something/else.txt": b"x"})
    with pytest.raises(DownloadError, match="does not hold VOC2007"):
        download_voc(2007, "train", tmp_path, mirrors=[address])


@pytest.mark.parametrize(
    ("year", "split", "remedy"),
    [
        (2006, "train", "2007 to 2012"),
        ("2007-test", "test", "2007 to 2012"),
        (2012, "test", "train, val, trainval$"),
    ],
)
def test_what_is_not_published_is_said_to_be_so(tmp_path, year, split, remedy):
    with pytest.raises(DownloadError, match=remedy):
        download_voc(year, split, tmp_path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped.txt"),
        member("inside/../../escaped.txt"),
        member("/escaped.txt"),
        member("..\\escaped.txt"),
        member("C:escaped.txt"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.LNKTYPE, "ok.txt"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda m: m.name,
)
def test_archive_that_reaches_out_is_refused_before_anything_is_written(tmp_path, bad):
    archive = make_tar(tmp_path / "evil.tar", {"ok.txt": b"fine"}, extra=[bad])
    with pytest.raises(DownloadError, match="not safe to unpack"):
        unpack(archive, tmp_path / "out" / "deep")
    assert [p.name for p in tmp_path.iterdir()] == ["evil.tar"]


def test_unpacked_files_hold_the_bytes_and_no_foreign_permissions(tmp_path):
    executable = member("bin/run.sh")
    executable.mode = 0o4777
    archive = make_tar(
        tmp_path / "a.tar", {"a/b.txt": b"bytes"}, extra=[member("empty", tarfile.DIRTYPE), executable]
    )
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"bytes"
    assert (tmp_path / "out/empty").is_dir()
    assert not (tmp_path / "out/bin/run.sh").stat().st_mode & 0o4111


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_archive(tmp_path, damage):
    archive = make_tar(tmp_path / "a.tar", {"a.txt": bytes(5000)})
    content = {
        "truncated": archive.read_bytes()[:3000],
        "text": b"<html>Not found</html>" * 50,
        "empty": b"",
    }[damage]
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="not a whole tar archive"):
        unpack(archive, tmp_path / "out")


def test_archive_larger_than_the_disk_is_refused_before_unpacking(tmp_path, monkeypatch):
    archive = make_tar(tmp_path / "a.tar", {"a.txt": bytes(5000)})
    monkeypatch.setattr(download, "free_space", lambda folder: 4999)
    with pytest.raises(StoreError, match="free"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
