"""Settings: the paper's constants, the profiles, the device, and where files live.

The constants stand here once, each with its source, and are the defaults of the functions that use them.
A profile bundles what differs between a quick check, a laptop and a GPU machine; the code path is the same.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rcnn_helpers.errors import DatasetError, SettingsError

# Warping (App. A): pixels of context around the box, measured in the warped crop.
CONTEXT_PADDING = 16
# Proposals (sec. 2.2): "around 2000" boxes an image from selective search's fast mode.
MAX_PROPOSALS = 2000
# Features (released code): mean L2 norm of a feature after scaling.
FEATURE_NORM = 20.0
# SVMs (sec. 2.3 and the released code): regularisation, weight of positives, scale of the bias column.
SVM_C = 1e-3
SVM_POSITIVE_WEIGHT = 2.0
SVM_BIAS_SCALE = 10.0
# SVMs (sec. 2.3): a region is a negative below this IoU with every ground-truth box of the class.
SVM_NEGATIVE_IOU = 0.3
# SVMs: score of every region for a class that could not be trained, below any threshold in use, and finite.
NEVER_FIRES = -1e4
# Bounding-box regression (App. C): weight of the ridge penalty; a proposal teaches above this IoU with an object.
BOX_REGRESSION_PENALTY = 1000.0
BOX_REGRESSION_IOU = 0.6
# Detection (sec. 2.2): greedy suppression above an IoU; the paper learns it, this is the released code's.
NMS_IOU = 0.3
# Detection (released code): regions kept for a class, per image, and on average over all images.
MAX_PER_IMAGE = 100
MEAN_PER_IMAGE = 40
# Evaluation (sec. 3): a detection is right from this IoU on.
MATCH_IOU = 0.5


@dataclass(frozen=True)
class Profile:
    """What differs between a quick check, a laptop and a GPU machine.

    Attributes
    ----------
    name : str
    train_images, val_images, test_images : int
        Images of ToyVOC in each split.
    network : str
        Name of the backbone in `rcnn_helpers.networks`.
    layer : str
        Feature layer the SVMs are trained on.
    max_proposals : int
        Boxes kept of each image's ranked proposals.
    finetuned : str, optional
        File in ``data/weights`` with the network fine-tuned on ToyVOC's classes; without one the course fine-tunes
        it itself.
    """

    name: str
    train_images: int
    val_images: int
    test_images: int
    network: str
    layer: str
    max_proposals: int
    finetuned: str | None = None


_QUARTER_TNET = "quarter_tnet_toyvoc.safetensors"
# fc7 of the fine-tuned network is the paper's choice (sec. 2.3 and Table 2).
PROFILES = {
    "smoke": Profile("smoke", 12, 4, 8, "quarter_tnet", "fc7", 150, _QUARTER_TNET),
    "laptop": Profile("laptop", 130, 70, 100, "quarter_tnet", "fc7", 1000, _QUARTER_TNET),
    "paper": Profile("paper", 1000, 1000, 2000, "tnet", "fc7", MAX_PROPOSALS),
    # Table 3: the deeper network that the paper calls O-Net.
    "paper_onet": Profile("paper_onet", 1000, 1000, 2000, "vgg16", "fc7", MAX_PROPOSALS),
}


def get_profile(name: str | None = None) -> Profile:
    """Return the profile called `name`, by default the one in ``RCNN_PROFILE``, else ``laptop``."""
    name = name or os.environ.get("RCNN_PROFILE") or "laptop"
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def choose_device(name: str | None = None) -> str:
    """Return ``"cuda"``, ``"mps"`` or ``"cpu"``: `name`, else ``RCNN_DEVICE``, else the best one present.

    Raises
    ------
    SettingsError
        If the device asked for is not on this machine.
    """
    wanted = name or os.environ.get("RCNN_DEVICE")
    if wanted == "cpu":
        return wanted
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not wanted:
        return next(device for device, there in present.items() if there)
    if not present.get(wanted.split(":")[0]):
        there = ", ".join(device for device in present if present[device])
        raise SettingsError(f"there is no device {wanted!r} on this machine; choose {there}")
    return wanted


def cache_dir() -> Path:
    """Folder for rendered data, proposals and features: ``RCNN_CACHE``, else the user's cache folder."""
    configured = os.environ.get("RCNN_CACHE")
    if configured:
        return Path(configured).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rcnn_helpers"))


def data_dir() -> Path:
    """Folder of the files that ship with the course (weights, the paper's tables).

    It is ``RCNN_DATA`` where that is set, else the ``data`` folder of the checkout the package runs from.

    Raises
    ------
    DatasetError
        If there is no such folder, as after an installation without the checkout.
    """
    folder = Path(os.environ.get("RCNN_DATA") or Path(__file__).resolve().parent.parent / "data")
    if not folder.is_dir():
        raise DatasetError(
            f"the course's data folder {folder} is missing; run from a checkout of the repository "
            "or set RCNN_DATA to its data folder"
        )
    return folder
