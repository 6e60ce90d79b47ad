"""Names of what is kept: digests of everything that decides a result, so that none is taken for another."""

import hashlib
import json
from pathlib import Path


def dataset_root(dataset) -> str:
    """The folder that a data set lies in, the same from wherever it is asked; empty where it has none."""
    root = getattr(dataset, "root", None)
    return "" if root is None else str(Path(root).resolve())


def digest_dataset(dataset) -> str:
    """Digest of where a data set lies, which images are used, and what is said to be in them."""
    annotations = [dataset.annotation(image_id) for image_id in dataset.ids]
    content = [
        [image_id, list(a.names), a.boxes.tolist(), a.difficult.tolist()]
        for image_id, a in zip(dataset.ids, annotations, strict=True)
    ]
    return digest([dataset_root(dataset), list(dataset.classes), content])


def digest(value) -> str:
    """Sixteen hexadecimal digits that stand for a value made of JSON's types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
