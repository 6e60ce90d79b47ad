"""Files are whole or absent, whatever happens while they are written."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rcnn_helpers import storage
from rcnn_helpers.errors import StoreError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "a.bin"
    storage.atomic_write(path, lambda file: file.write(b"first"))
    storage.atomic_write(path, lambda file: file.write(b"second"))
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()])
def test_old_file_stays_when_writing_breaks_off(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half of the n")
        raise error

    with pytest.raises(type(error)):
        storage.atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_full_disk_names_file_and_space(tmp_path, monkeypatch):
    def write(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "free_space", lambda path: 3_000_000)
    with pytest.raises(StoreError, match=r"a\.bin: No space left on device; 3 MB are free"):
        storage.atomic_write(tmp_path / "a.bin", write)
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full of Linux")
def test_full_device_is_reported_by_a_real_write(tmp_path):
    def write(file):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(StoreError, match="No space left"):
        storage.atomic_write(tmp_path / "a.bin", write)


def test_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="check that its folder exists"):
        storage.atomic_write(tmp_path / "file" / "a.bin", lambda file: file.write(b"x"))


def test_file_killed_half_way_is_not_there(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from rcnn_helpers.storage import atomic_write\n"
        "def write(file):\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write(sys.argv[1], write)\n"
    )
    path = tmp_path / "a.bin"
    done = subprocess.run([sys.executable, "-c", script, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()


def test_many_writers_leave_one_whole_file(tmp_path):
    path = tmp_path / "a.bin"
    contents = [bytes([i]) * 50_000 for i in range(8)]
    threads = [
        threading.Thread(target=storage.atomic_write, args=(path, lambda file, c=c: file.write(c)))
        for c in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["a.bin"]


def test_permissions_follow_the_users_mask(tmp_path):
    before = os.umask(0o027)
    try:
        storage.atomic_write(tmp_path / "a.bin", lambda file: file.write(b"x"))
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


def test_folder_appears_when_it_is_finished(tmp_path):
    target = tmp_path / "deep" / "folder"
    with storage.atomic_folder(target) as building:
        (building / "a.txt").write_text("a")
        assert not target.exists()
        assert building.parent == target.parent
    assert names(target) == ["a.txt"]
    assert names(target.parent) == ["folder"]


def test_unfinished_folder_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), storage.atomic_folder(tmp_path / "folder") as building:
        (building / "a.txt").write_text("a")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_folder_of_another_process_is_kept(tmp_path):
    target = tmp_path / "folder"
    with storage.atomic_folder(target) as building:
        (building / "a.txt").write_text("ours")
        target.mkdir()
        (target / "a.txt").write_text("theirs")
    assert (target / "a.txt").read_text() == "theirs"
    assert names(tmp_path) == ["folder"]


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(StoreError, match="folder"), storage.atomic_folder(tmp_path / "folder") as building:
        (building / "a.txt").write_text("a")
    assert names(tmp_path) == ["folder"]


def test_sha256_is_hashlibs(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc" * 100_000)
    assert storage.sha256(tmp_path / "a.bin") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_json_round_trip_keeps_text_readable(tmp_path):
    value = {"Größe": [1, 2.5, None, True], "b": {"c": "d"}}
    storage.write_json(tmp_path / "a.json", value)
    assert storage.read_json(tmp_path / "a.json") == value
    assert "Größe" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.json is not valid JSON"):
        storage.read_json(tmp_path / "a.json")


def test_missing_json(tmp_path):
    with pytest.raises(StoreError, match=r"missing\.json"):
        storage.read_json(tmp_path / "missing.json")


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path):
    assert storage.free_space(tmp_path / "a" / "b") > 0


@pytest.mark.parametrize("code", sorted(storage.NOT_WRITABLE))
def test_a_folder_of_somebody_else_names_the_remedy(tmp_path, monkeypatch, code):
    def refuse(path, *arguments, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(StoreError, match=r"a\.bin: .*RCNN_CACHE \(or --cache"):
        storage.atomic_write(tmp_path / "a.bin", lambda file: file.write(b"x"))


def test_a_folder_is_made_or_named(tmp_path):
    assert storage.make_folder(tmp_path / "a" / "b").is_dir()
    assert storage.make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        storage.make_folder(tmp_path / "file")


# -- checksums ---------------------------------------------------------------------------------------------


def tensor_file(path, metadata):
    tensors = {"b": np.arange(7, dtype=np.float16), "a": np.eye(3, dtype=np.float32)}
    storage.write_tensors(path, save(tensors, metadata=metadata))
    return tensors


@pytest.mark.parametrize("metadata", [None, {"z": "ü", "a": '{"classes": []}'}])
def test_tensors_and_metadata_are_those_of_safetensors(tmp_path, metadata):
    tensors = tensor_file(tmp_path / "a.safetensors", metadata)
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        assert {name: value for name, value in file.metadata().items() if name != "crc32"} == (metadata or {})
        for name, value in tensors.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
    assert not storage.tensors_are_damaged(tmp_path / "a.safetensors")


def test_equal_tensors_are_equal_files(tmp_path):
    for name in ("a", "b"):
        tensor_file(tmp_path / name, {str(i): str(i) for i in range(20)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_checksum_is_zlibs_over_header_and_numbers(tmp_path):
    path = tmp_path / "a.safetensors"
    tensor_file(path, {"x": "y"})
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0
    header = json.loads(content[8:start])
    expected = header["__metadata__"].pop("crc32")
    assert f"{zlib.crc32(json.dumps(header, sort_keys=True).encode() + content[start:]):08x}" == expected


def test_every_changed_byte_is_noticed_or_makes_no_difference(tmp_path):
    path = tmp_path / "a.safetensors"
    expected = tensor_file(path, {"classes": '["a", "b"]'})
    content = path.read_bytes()
    unnoticed = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        try:
            with safe_open(path, framework="np") as file:
                found, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
            if storage.tensors_are_damaged(path):
                continue
        except (SafetensorError, OSError, ValueError):
            continue
        unnoticed += 1  # the name of the checksum itself, or white space
        assert metadata["classes"] == '["a", "b"]'
        assert all(np.array_equal(found[name], value) for name, value in expected.items())
    assert unnoticed < 20


def test_files_without_a_checksum_are_taken_as_they_are(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": np.ones(3, np.float32)}))
    assert not storage.tensors_are_damaged(path)


def test_results_with_a_checksum_come_back_without_it(tmp_path):
    path = tmp_path / "a.json"
    value = {"ap": {"dog": 1 / 3, "cat": float("nan")}, "sides": (1, 2), 5: None, "name": "Größe"}
    storage.write_json(path, value, checksum=True)
    found = storage.read_json(path)
    assert json.dumps(found) == json.dumps(json.loads(json.dumps(value)))
    path.write_text(path.read_text().replace("0.333", "0.334"))
    with pytest.raises(StoreError, match=r"a\.json is damaged: its checksum is wrong; delete it"):
        storage.read_json(path)


def test_tensors_are_read_or_their_file_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    expected = tensor_file(path, None)
    found = storage.read_tensors(path)
    assert sorted(found) == sorted(expected)
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:-1] + b"\x7f", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"a\.safetensors is .*damaged.*delete it"):
            storage.read_tensors(path)
    with pytest.raises(StoreError, match=r"b\.safetensors is missing"):
        storage.read_tensors(tmp_path / "b.safetensors")


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:40], lambda c: c[:130] + b"\x7f" + c[131:]])
def test_damaged_arrays_count_as_none(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(5.0), b=np.zeros((2, 3)))
    assert storage.read_arrays(path, ["a"])["a"].tolist() == [0, 1, 2, 3, 4]
    assert storage.read_arrays(path, ["a", "c"]) is None
    assert storage.read_arrays(tmp_path / "none.npz", ["a"]) is None
    path.write_bytes(damage(path.read_bytes()))
    assert storage.read_arrays(path, ["a", "b"]) is None
