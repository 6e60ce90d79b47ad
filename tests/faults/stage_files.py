"""What a stage leaves in its folder, in a form in which two runs can be compared."""

import hashlib
import json
from pathlib import Path

import numpy as np

# Written on the way and gone at the end.
ON_THE_WAY = (".checkpoint", ".part")
# The curves of fine-tuning, which get a line now and then.
GROWING = ".csv"
# These tell how long something took, so that no two runs write the same.
WITH_SECONDS = (".json", GROWING)


def finished_files(folder: Path) -> dict[str, str]:
    """Digest of the content of every file that will stay, by its path in the folder."""
    return {
        str(path.relative_to(folder)): digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and not is_on_the_way(path, folder)
    }


def is_on_the_way(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") or part.endswith(".tmp") for part in path.relative_to(folder).parts)
    return hidden or path.suffix in ON_THE_WAY


def digest(path: Path) -> str:
    """What two runs must agree in: the bytes, but for the seconds it took."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        tensors = load_file(path)
        content = b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors))
    elif path.suffix in WITH_SECONDS:
        content = without_seconds(path)
    elif path.suffix == ".npy":
        content = np.load(path).tobytes()
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def without_seconds(path: Path) -> bytes:
    if path.suffix == GROWING:
        import pandas as pd

        return pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv().encode()
    value = json.loads(path.read_text())
    if isinstance(value, dict):
        value.pop("seconds", None)
        value.pop("crc32", None)  # of the seconds, among others
    return json.dumps(value, sort_keys=True).encode()
