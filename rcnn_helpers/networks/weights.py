"""Weights from files and downloads, without executing anything that is in them.

Three formats are read: safetensors, PyTorch state dicts (with ``weights_only=True``, so that a pickle can
build tensors and containers and nothing else), and Caffe's ``.caffemodel``.
"""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from rcnn_helpers.errors import WeightsError
from rcnn_helpers.networks.caffemodel import read_caffemodel
from rcnn_helpers.networks.network import NetworkSpec
from rcnn_helpers.settings import cache_dir, data_dir
from rcnn_helpers.storage import tensors_are_damaged

SAFETENSORS = (".safetensors",)
STATE_DICT = (".pth", ".pt", ".bin", ".ckpt")
CAFFE = (".caffemodel",)


def read_weights(path) -> dict[str, torch.Tensor]:
    """Read named tensors from a safetensors, state-dict or caffemodel file; the suffix says which it is.

    Raises
    ------
    WeightsError
        If the file is missing, of an unknown kind, damaged, or would have to execute code to be read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"there is no weights file {path}; check the path, or leave it out for the default weights"
        )
    suffix = path.suffix.lower()
    if suffix in SAFETENSORS:
        return _read_safetensors(path)
    if suffix in STATE_DICT:
        return _read_state_dict(path)
    if suffix in CAFFE:
        return {name: torch.from_numpy(array) for name, array in read_caffemodel(path).items()}
    known = ", ".join(SAFETENSORS + STATE_DICT + CAFFE)
    raise WeightsError(f"{path} has the suffix {suffix!r}; weights are read from files ending in {known}")


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        damaged = tensors_are_damaged(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} is damaged or no safetensors file ({_first_line(error)}); fetch or write it again"
        ) from None
    if damaged:
        raise WeightsError(f"{path} is damaged: its checksum is wrong; fetch or write it again")
    return tensors


def _read_state_dict(path):
    _refuse_compressed(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} was not opened: it is damaged, or it holds objects other than tensors, which could run "
            f"code ({_first_line(error)}). Save a plain state dict with torch.save(model.state_dict(), ...) "
            "or a safetensors file, from a program you trust"
        ) from None
    except Exception as error:  # whatever a damaged file makes PyTorch raise
        raise WeightsError(
            f"{path} is damaged or no PyTorch file ({_first_line(error)}); fetch or write it again"
        ) from None
    for wrapper in ("state_dict", "model"):  # the habit of many training programs
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    is_state_dict = (
        isinstance(content, Mapping)
        and content
        and all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()
        )
    )
    if not is_state_dict:
        raise WeightsError(
            f"{path} holds no state dict (names -> tensors) but a {type(content).__name__}; "
            "save model.state_dict() instead"
        )
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _refuse_compressed(path):
    """PyTorch never compresses what it saves; a file that is packed could unpack to any size."""
    try:
        # This, too, raises BadZipFile, for an archive that says to be one of several parts.
        if not zipfile.is_zipfile(path):
            return  # of PyTorch's older format, or no such file at all
        with zipfile.ZipFile(path) as archive:
            packed = [entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(
            f"{path} is damaged or no PyTorch file ({_first_line(error)}); fetch or write it again"
        ) from None
    if packed:
        megabytes = sum(entry.file_size for entry in packed) / 1e6
        raise WeightsError(
            f"{path} was not opened: it is compressed, which PyTorch's files never are, and would unpack to "
            f"{megabytes:.0f} MB. Save a plain state dict with torch.save(model.state_dict(), ...)"
        )


def _first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")


def rename(spec: NetworkSpec, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give tensors named by torchvision or Caffe our names; names that are ours already stay."""
    renamed = {}
    for name, tensor in weights.items():
        for pattern, replacement in spec.renames:
            new_name, count = re.subn(pattern, replacement, name)
            if count:
                name = new_name
                break
        renamed[name] = tensor
    return renamed


def classes_in(spec: NetworkSpec, weights: Mapping[str, torch.Tensor]) -> int:
    """Number of classes of the classifier in renamed `weights`, else the architecture's own number."""
    biases = [tensor for name, tensor in weights.items() if re.fullmatch(r"classifier\.(\d+\.)?bias", name)]
    return biases[0].numel() if len(biases) == 1 and biases[0].numel() else spec.n_classes


def put_weights(
    spec: NetworkSpec, module: torch.nn.Module, weights: Mapping[str, torch.Tensor], source: str
) -> None:
    """Copy renamed `weights` into `module` after checking names, shapes and values.

    Raises
    ------
    WeightsError
        Naming `source` and the first names that are missing, unexpected or of another shape.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    if missing or unexpected:
        raise WeightsError(
            f"{source} does not fit the architecture {spec.name}: "
            + "; ".join(
                f"{kind} {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
                for kind, names in (("missing tensors", missing), ("unexpected tensors", unexpected))
                if names
            )
            + ". Name the network that these weights were trained for"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise WeightsError(
                f"{source} does not fit the architecture {spec.name}: {name} has the shape "
                f"{list(weights[name].shape)}, and {list(tensor.shape)} was expected. "
                "Name the network that these weights were trained for"
            )
        if not torch.isfinite(weights[name]).all():
            raise WeightsError(
                f"{source}: {name} holds NaN or infinity; the file is damaged or training diverged"
            )
    module.load_state_dict({name: weights[name].to(tensor.dtype) for name, tensor in expected.items()})


def default_weights_file(spec: NetworkSpec) -> Path:
    """Path where the default weights of `spec` belong, whether they are there or not."""
    if spec.shipped:
        return data_dir() / "weights" / spec.shipped
    return cache_dir() / "weights" / spec.url.rsplit("/", 1)[1]


def default_weights_path(spec: NetworkSpec) -> Path:
    """Path of the default weights of `spec`; downloads them into the cache folder where they do not ship.

    Raises
    ------
    WeightsError
        If the shipped file is missing, or the download fails: the message says what to fetch and where to put
        it.
    """
    path = default_weights_file(spec)
    if path.is_file():
        return path
    if spec.shipped:
        raise WeightsError(
            f"the weights {path} that ship with the course are missing; check them out again, or "
            "make them with `rcnn pretrain`"
        )
    _download(spec, path)
    return path


def _download(spec, path):
    algorithm, wanted = spec.digest.split(":")
    partial = path.with_suffix(path.suffix + ".part")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(spec.url, str(partial), progress=True)
    except OSError as error:  # urllib's URLError and HTTPError are OSErrors
        partial.unlink(missing_ok=True)
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"the weights of {spec.name} could not be downloaded ({reason}). Fetch {spec.url} by hand and "
            f"put it at {path}, or name a file of your own as the weights"
        ) from None
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(wanted):
        partial.unlink()
        raise WeightsError(
            f"the download {spec.url} has the {algorithm} {found}, and {wanted} was expected; it was thrown "
            "away. Try again, or name a file of your own as the weights"
        )
    partial.replace(path)
