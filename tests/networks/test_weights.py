"""Weights from files and downloads: round trips, and what damaged, unsafe or unfit ones get."""

import http.server
import pickle
import struct
import threading

import pytest
import torch
from safetensors.torch import save_file

from rcnn_helpers.errors import WeightsError
from rcnn_helpers.networks import NETWORKS, load_network
from rcnn_helpers.networks.weights import read_weights


@pytest.fixture(scope="module")
def quarter():
    return load_network("quarter_tnet", weights="random", n_classes=12, seed=9, device="cpu")


def load(path):
    return load_network("quarter_tnet", weights=path, device="cpu")


def test_saved_weights_load_with_the_same_fingerprint(quarter, tmp_path):
    quarter.save(tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors")
    assert loaded.fingerprint == quarter.fingerprint
    assert loaded.n_classes == 12


def test_float16_storage_halves_the_file_and_hardly_moves_the_features(quarter, tmp_path):
    quarter.save(tmp_path / "full.safetensors")
    quarter.save(tmp_path / "half.safetensors", precision="float16")
    sizes = [(tmp_path / name).stat().st_size for name in ("half.safetensors", "full.safetensors")]
    assert sizes[0] < 0.51 * sizes[1]
    half = load(tmp_path / "half.safetensors")
    assert half.dtype == torch.float32
    x = torch.randn(2, 3, 227, 227)
    torch.testing.assert_close(half.features(x)["fc7"], quarter.features(x)["fc7"], rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}], ids=["plain", "wrapped"]
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_load_plain_and_as_training_programs_save_them(quarter, tmp_path, wrap, prefix):
    state = {prefix + name: tensor for name, tensor in quarter.module.state_dict().items()}
    torch.save(wrap(state), tmp_path / "net.pth")
    assert load(tmp_path / "net.pth").fingerprint == quarter.fingerprint


class Bomb:
    """A pickle that would create a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path, save):
    mark = tmp_path / "executed"
    save({"conv1.weight": Bomb(mark)}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match="could run code"):
        load(tmp_path / "bomb.pth")
    assert not mark.exists()


def test_a_whole_pickled_model_is_refused(quarter, tmp_path):
    torch.save(quarter.module, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="state_dict"):
        load(tmp_path / "model.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".caffemodel"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 4096, b"\x80\x02}q\x00", b"PK\x03\x04junk"])
def test_garbage_of_every_kind_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"net{suffix}"):
        load(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_files_are_refused(quarter, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(quarter.module.state_dict(), path)
    else:
        quarter.save(path)
    whole = path.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="damaged"):
            load(path)


def test_missing_files_and_unknown_suffixes_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no weights file .*absent.pth"):
        load(tmp_path / "absent.pth")
    (tmp_path / "net.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"suffix '\.h5'.*\.safetensors"):
        load(tmp_path / "net.h5")


def test_a_state_dict_that_says_to_be_one_part_of_several_is_refused(tmp_path):
    path = tmp_path / "part.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    content = bytearray(path.read_bytes())
    locator = len(content) - 22 - 20  # in front of the archive's last record, which takes 22 bytes
    content[locator : locator + 20] = struct.pack("<4sLQL", b"PK\x06\x07", 3, 0, 4)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"part\.pth is damaged or no PyTorch file"):
        read_weights(path)


def test_weights_of_another_architecture_are_refused_with_the_first_names(tmp_path):
    squeezenet = load_network("squeezenet1_1", weights="random", device="cpu")
    squeezenet.save(tmp_path / "other.safetensors")
    with pytest.raises(
        WeightsError, match=r"not fit the architecture quarter_tnet: missing tensors \d+ \(trunk"
    ):
        load(tmp_path / "other.safetensors")


def test_weights_of_another_width_are_refused_with_both_shapes(quarter):
    state = dict(quarter.module.state_dict())
    state["trunk.conv1.weight"] = torch.zeros(96, 3, 11, 11)
    with pytest.raises(
        WeightsError, match=r"trunk.conv1.weight has the shape \[96, 3, 11, 11\], and \[24, 3, 11, 11\]"
    ):
        load(state)


def test_a_mapping_of_tensors_is_taken_as_it_is(quarter):
    assert load(quarter.module.state_dict()).fingerprint == quarter.fingerprint


def test_weights_that_are_not_finite_are_refused(quarter):
    state = {name: tensor.clone() for name, tensor in quarter.module.state_dict().items()}
    state["fc6.bias"][3] = float("nan")
    with pytest.raises(WeightsError, match="fc6.bias holds NaN"):
        load(state)


def test_a_safetensors_file_without_weights_is_refused(tmp_path):
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(WeightsError, match="missing tensors"):
        load(tmp_path / "empty.safetensors")


def test_shipped_weights_that_are_missing_say_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("RCNN_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match="rcnn pretrain"):
        load_network("quarter_tnet", device="cpu")


# -- downloads, from a server on this machine -------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path`/served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def downloadable(quarter, server, monkeypatch, tmp_path):
    """A network whose default weights lie on the server, with their true checksum."""
    import dataclasses
    import hashlib

    monkeypatch.setenv("RCNN_CACHE", str(tmp_path / "cache"))
    folder, address = server
    quarter.save(folder / "net.safetensors")
    digest = hashlib.sha256((folder / "net.safetensors").read_bytes()).hexdigest()

    def register(**changes):
        spec = dataclasses.replace(
            NETWORKS["quarter_tnet"],
            shipped=None,
            url=f"{address}/net.safetensors",
            digest=f"sha256:{digest[:8]}",
        )
        monkeypatch.setitem(NETWORKS, "remote", dataclasses.replace(spec, **changes))

    return register


def test_default_weights_are_downloaded_once_and_checked(quarter, downloadable, server, tmp_path):
    downloadable()
    state = quarter.module.state_dict()
    assert torch.equal(
        load_network("remote", device="cpu").module.state_dict()["fc6.weight"], state["fc6.weight"]
    )
    (server[0] / "net.safetensors").unlink()
    load_network("remote", weights="default", device="cpu")
    assert [path.name for path in (tmp_path / "cache" / "weights").iterdir()] == ["net.safetensors"]


def test_a_download_with_a_wrong_checksum_is_thrown_away(downloadable, tmp_path):
    downloadable(digest="sha1:0123")
    with pytest.raises(WeightsError, match="sha1 .* 0123 was expected"):
        load_network("remote", device="cpu")
    assert not list((tmp_path / "cache" / "weights").iterdir())


@pytest.mark.parametrize("path", ["absent.safetensors", None], ids=["not found", "offline"])
def test_a_failed_download_says_what_to_fetch_and_where_to_put_it(downloadable, server, path, tmp_path):
    url = f"{server[1]}/{path}" if path else "http://127.0.0.1:9/net.safetensors"
    downloadable(url=url)
    with pytest.raises(WeightsError) as caught:
        load_network("remote", device="cpu")
    assert f"Fetch {url} by hand" in str(caught.value)
    assert str(tmp_path / "cache" / "weights" / url.rsplit("/", 1)[1]) in str(caught.value)
    assert not list((tmp_path / "cache" / "weights").iterdir())


# -- real weights -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squeezenet_file(real_data):
    return real_data / "weights" / "squeezenet1_1_imagenet.safetensors"


@pytest.mark.real_data
def test_real_squeezenet_weights_give_torchvisions_activations(squeezenet_file):
    import torchvision

    original = torchvision.models.squeezenet1_1().eval()
    original.load_state_dict({name: tensor.float() for name, tensor in read_weights(squeezenet_file).items()})
    network = load_network("squeezenet1_1", weights=squeezenet_file, device="cpu")
    x = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        last_fire = original.features(x)
        pooled = torch.nn.functional.max_pool2d(last_fire, 3, stride=2).flatten(1)
        scores = original(x)
    assert last_fire.shape == (4, 512, 13, 13)
    torch.testing.assert_close(network.features(x, ["pool5"])["pool5"], pooled, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(network.probabilities(x), scores.softmax(dim=1), rtol=1e-4, atol=1e-6)
    # In the same memory format the same kernels run, and not a bit differs.
    original.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(network.module.trunk(x), original.features(x))
        assert torch.equal(network.module(x), original(x))


# ImageNet's category numbers that name a VOC class.
IMAGENET_NUMBERS = {
    "dog": {*range(151, 269)},
    "cat": {*range(281, 286)},
    "bird": {*range(7, 25), *range(80, 101), *range(127, 147)},
    "train": {466, 547, 565, 705, 820, 829},
    "aeroplane": {404, 895, 908},
}


@pytest.mark.real_data
def test_real_squeezenet_names_large_objects_on_real_photographs(real_data, squeezenet_file):
    """Input size, colour order, mean and scale are right if most large VOC animals and vehicles get their name."""
    from rcnn_helpers.datasets.voc import VOCDataset
    from rcnn_helpers.warping import warp_boxes

    network = load_network("squeezenet1_1", weights=squeezenet_file, device="cpu")
    dataset = VOCDataset(real_data / "voc2007_sample" / "VOCdevkit" / "VOC2007", "test")
    right = total = 0
    for image_id in dataset.ids:
        annotation = dataset.annotation(image_id)
        for box, name, difficult in zip(
            annotation.boxes, annotation.names, annotation.difficult, strict=True
        ):
            if name not in IMAGENET_NUMBERS or difficult or min(box[2:] - box[:2]) < 150:
                continue
            crop = warp_boxes(
                dataset.image(image_id), box[None], size=224, mean=network.mean, std=network.std
            )
            best = int(network.probabilities(crop).argmax())
            right += best in IMAGENET_NUMBERS[name]
            total += 1
    assert total >= 50
    assert right / total > 0.6
