"""What the notebooks share: the data, and what each stage of the pipeline made of it.

Any notebook can be opened first. It asks `open_course` for what earlier stages produce; what an earlier notebook
(or ``make course``) has computed is read from the cache, the rest is computed with a progress bar and kept.
"""

import hashlib
import json
import warnings
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.errors import RCNNError, SettingsError

# The stages in their order, and those that each notebook builds on. Up to fine-tuning (04) the notebooks look at
# the pre-trained network, from there on at the fine-tuned one.
STAGES = (
    "pictures",
    "proposals",
    "fine-tuning",
    "features",
    "detector",
    "detections",
    "before fine-tuning",
    "units",
    "segmentation",
)
NEEDS = {
    "00": STAGES[:6],
    "01": STAGES[:1],
    "02": STAGES[:2],
    "03": STAGES[:2],
    "04": STAGES[:2],
    "05": STAGES[:4],
    "06": STAGES[:6],
    "07": STAGES[:6],
    "08": STAGES[:7],
    "09": STAGES[:8],
    "10": ("pictures", "fine-tuning", "segmentation"),
    "11": STAGES[:6],
    "12": STAGES[:1],
    "13": STAGES[:6],
}
# Networks whose pool5 units can be compared (sec. 3.1): as the course uses it, as it came, and an untrained one.
UNIT_NETWORKS = ("fine-tuned", "pre-trained", "random")


class Course:
    """The data and the artefacts of every stage, computed when first asked for.

    Parameters
    ----------
    profile : str, optional
        ``smoke``, ``laptop`` or ``paper``; by default ``RCNN_PROFILE``, else ``laptop``.
    device : str, optional
        By default the best one present.
    progress : bool
        Show progress bars.
    """

    def __init__(self, profile: str | None = None, *, device: str | None = None, progress: bool = True):
        self.profile = settings.get_profile(profile)
        self.device = settings.choose_device(device)
        self.progress = progress
        self.folder = settings.cache_dir() / "course" / self.profile.name
        self._proposals: dict[str, dict] = {}

    def compute(self, stage: str) -> None:
        """Bring one of `STAGES` about, for training and test pictures."""
        if stage == "pictures":
            _ = self.trainval, self.test
        elif stage == "proposals":
            _ = self.proposals("trainval"), self.proposals("test")
        elif stage == "fine-tuning":
            _ = self.network
        elif stage == "features":
            _ = self.features("trainval"), self.features("test")
        elif stage == "detector":
            _ = self.detector
        elif stage == "detections":
            _ = self.detections, self.detections_without_regression
        elif stage == "before fine-tuning":
            _ = self.detections_before_fine_tuning
        elif stage == "units":
            for name in UNIT_NETWORKS:
                self.unit_index(name)
        elif stage == "segmentation":
            _ = self.segmentations
        else:
            raise SettingsError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")

    def missing(self, stages=STAGES) -> list[str]:
        """Return those of `stages` whose results are not in the cache, as far as its files tell."""
        return [stage for stage in stages if not self._holds(stage)]

    def _holds(self, stage: str) -> bool:
        """Whether the results of a stage are in the cache."""
        train, val, test = self.profile.train_images, self.profile.val_images, self.profile.test_images
        if stage == "pictures":
            return any(settings.cache_dir().glob(f"toyvoc-*-{train}-{val}-{test}"))
        if stage == "proposals":
            names = [path.stem for path in (self.folder / "proposals").glob("*/*")]
            return _are_all_there(names, train=train, val=val, test=test)
        is_finetuned = self._finetuned_path().is_file()
        if stage == "fine-tuning":
            return is_finetuned or self.profile.finetuned is not None
        if not is_finetuned:
            return False
        if stage == "features":
            return _are_all_there(self._store(self.network).ids(), train=train, val=val, test=test)
        if stage == "segmentation":
            return any(self.folder.glob(f"segmentations-{self._settings_key(self.network)}-*"))
        if stage == "before fine-tuning":
            return any(self.folder.glob(f"untuned-{self._settings_key(self.pretrained)}-*"))
        if stage == "units":
            return all(
                any(self.folder.glob(f"units-{self._settings_key(self._unit_network(name))}-*"))
                for name in UNIT_NETWORKS
            )
        return any(self.folder.glob(f"{stage}-{self._settings_key(self.network)}-*"))

    def dataset(self, split: str):
        """ToyVOC's `split`: train, val, trainval or test."""
        from rcnn_helpers.datasets.toyvoc import open_toyvoc

        return open_toyvoc(split, profile=self.profile.name)

    @cached_property
    def trainval(self):
        """The images the detector learns from."""
        return self.dataset("trainval")

    @cached_property
    def test(self):
        """The images the detector is judged on."""
        return self.dataset("test")

    def proposals(self, split: str) -> dict:
        """Selective search's boxes for every image of a split, a dict from image id to float32 [N, 4]."""
        if split not in self._proposals:
            from rcnn_helpers.proposals import propose_dataset

            self._proposals[split] = propose_dataset(
                self.dataset(split),
                max_boxes=self.profile.max_proposals,
                cache=self.folder / "proposals",
                progress=self.progress,
            )
        return self._proposals[split]

    @cached_property
    def pretrained(self):
        """The profile's backbone as pre-training left it; it has not met the detection classes."""
        from rcnn_helpers.networks import load_network

        return load_network(self.profile.network, device=self.device)

    @cached_property
    def network(self):
        """The same, fine-tuned on trainval; its outputs are background and the detection classes.

        The embedded profiles find its weights in ``data/weights``; for the others the course fine-tunes it.
        """
        from rcnn_helpers.networks import load_network

        path = self._finetuned_path()
        if self.profile.finetuned is None and not path.is_file():
            from rcnn_helpers.finetuning import finetune

            proposals = self.proposals("trainval")
            return finetune(
                self.pretrained, self.trainval, proposals, out=path, progress=self.progress
            ).network
        return load_network(self.profile.network, weights=path, device=self.device)

    def _finetuned_path(self) -> Path:
        if self.profile.finetuned is not None:
            return settings.data_dir() / "weights" / self.profile.finetuned
        from rcnn_helpers.finetuning import settings_for
        from rcnn_helpers.networks import NETWORKS

        name = self.profile.network
        key = _hash([asdict(self.profile), asdict(settings_for(name)), NETWORKS[name].digest])
        return self.folder / f"{name}-{key}.safetensors"

    def new_detector(self, network=None, **options):
        """A detector with the profile's settings, not trained yet; by default on the fine-tuned network."""
        from rcnn_helpers.detector import RCNN

        settings = {"layer": self.profile.layer, "max_proposals": self.profile.max_proposals}
        return RCNN(network or self.network, **settings | options)

    def features(self, split: str, network=None):
        """The store that holds pool5 of every region of a split, filled; deeper layers follow from it.

        By default it is that of the fine-tuned network.
        """
        network = network or self.network
        return self.new_detector(network).extract(
            self.dataset(split), self.proposals(split), store=self._store(network), progress=self.progress
        )

    def _store(self, network):
        """The store of all features of a network, whatever is in it yet."""
        from rcnn_helpers.features import FeatureStore

        return FeatureStore(self.folder / "features", network=network)

    @cached_property
    def detector(self):
        """The detector, trained on trainval, box regression included."""
        from rcnn_helpers.detector import RCNN

        path = self._result("detector", "trainval")
        kept = _kept(path, lambda path: RCNN.load(path, device=self.device))
        if kept is not None:
            return kept
        detector = self.new_detector()
        detector.fit(
            self.trainval,
            proposals=self.proposals("trainval"),
            store=self.features("trainval"),
            progress=self.progress,
        )
        detector.save(path)
        return detector

    @cached_property
    def detections(self):
        """The detector's output on the test images."""
        return self._kept_detections(
            self._result("detections", "trainval", "test"), lambda: self._detect(self.detector)
        )

    @cached_property
    def detections_without_regression(self):
        """The same detector's output where it leaves every box at its proposal."""
        return self._kept_detections(
            self._result("unregressed", "trainval", "test"),
            lambda: self._detect(self.detector, box_regression=False),
        )

    @cached_property
    def detections_before_fine_tuning(self):
        """The output of SVMs on the pre-trained network, without box regression: the paper's row R-CNN fc7."""
        return self._kept_detections(
            self._result("untuned", "trainval", "test", network=self.pretrained), self._detect_untuned
        )

    def _detect_untuned(self):
        detector = self.new_detector(self.pretrained, box_regression=False)
        detector.fit(
            self.trainval,
            proposals=self.proposals("trainval"),
            store=self.features("trainval", self.pretrained),
            progress=self.progress,
        )
        return self._detect(detector)

    def _detect(self, detector, **options):
        """What a detector finds on the test images."""
        return detector.detect_dataset(
            self.test,
            proposals=self.proposals("test"),
            store=self.features("test", detector.network),
            progress=self.progress,
            **options,
        )

    def _kept_detections(self, path: Path, compute):
        """Detections on the test images, read if they have been computed before."""
        from safetensors.numpy import save

        from rcnn_helpers.evaluation import Detections
        from rcnn_helpers.storage import read_tensors, write_tensors

        kept = _kept(path, read_tensors)
        if kept is not None:
            return Detections(self.test.ids, self.test.classes, **kept)
        found = compute()
        columns = {name: getattr(found, name) for name in ("image_index", "class_index", "scores", "boxes")}
        write_tensors(path, save(columns))
        return found

    def unit_index(self, name: str = "fine-tuned"):
        """The top regions of every pool5 unit of a network (sec. 3.1), over the pictures of all splits.

        Parameters
        ----------
        name : {"fine-tuned", "pre-trained", "random"}
            The untrained network is run over the test pictures alone.
        """
        from rcnn_helpers.units import UnitIndex, build_index

        network = self._unit_network(name)
        splits = ("test",) if name == "random" else ("trainval", "test")
        path = self._result("units", *splits, network=network)
        kept = _kept(path, UnitIndex.load)
        if kept is not None:
            return kept
        if name == "random":
            regions = {"network": network}
        else:
            for split in splits:
                regions = {"store": self.features(split, network)}
        proposals = {k: boxes for split in splits for k, boxes in self.proposals(split).items()}
        return build_index(self.pictures(*splits), proposals, **regions, out=path, progress=self.progress)

    def _unit_network(self, name: str):
        """The network behind one of `UNIT_NETWORKS`."""
        if name not in UNIT_NETWORKS:
            raise SettingsError(
                f"there are no units of a {name!r} network; choose {', '.join(UNIT_NETWORKS)}"
            )
        return {"fine-tuned": self.network, "pre-trained": self.pretrained}.get(name) or self.untrained

    def regions(self, split: str):
        """Regions with outlines for every image of a split, a mapping from image id to SegmentRegions (sec. 5).

        They are found when an image is first asked for, and then kept.
        """
        from rcnn_helpers.segmentation.features import RegionFolder

        return RegionFolder(
            self.dataset(split), self._segmentation_folder / "regions", max_regions=self._max_regions
        )

    def region_features(self, split: str):
        """The store of the features of these regions, full and fg, filled."""
        from rcnn_helpers.segmentation.features import extract_segmentation

        regions = self.regions(split)
        return extract_segmentation(
            self.dataset(split),
            regions,
            self.network,
            cache=self._segmentation_folder / "features" / regions.folder.name,
            progress=self.progress,
        )

    @cached_property
    def segmenter(self):
        """Regressors of overlap on full+fg features of fc6, trained on trainval (sec. 5)."""
        from rcnn_helpers.segmentation.segmenter import Segmenter

        path = self._segmentation_path("segmenter")
        kept = _kept(path, lambda path: Segmenter.load(path, device=self.device))
        if kept is not None:
            return kept
        segmenter = Segmenter(self.network, max_regions=self._max_regions)
        segmenter.fit(
            self.trainval,
            regions=self.regions("trainval"),
            cache=self._segmentation_folder,
            progress=self.progress,
        )
        segmenter.save(path)
        return segmenter

    @cached_property
    def segmentations(self) -> dict:
        """The segmenter's label maps of the test images, a dict from image id to uint8 [H, W]."""
        from safetensors.numpy import save

        from rcnn_helpers.storage import read_tensors, write_tensors

        path = self._segmentation_path("segmentations")
        kept = _kept(path, read_tensors)
        if kept is None:
            found = self.segmenter.segment_dataset(
                self.test,
                regions=self.regions("test"),
                cache=self._segmentation_folder,
                progress=self.progress,
            )
            kept = dict(found)
            write_tensors(path, save(kept))
        return kept

    @cached_property
    def segmentation_accuracy(self):
        """Accuracy of `segmentations` by VOC's rules: intersection over union of pixels, class by class."""
        from rcnn_helpers.segmentation.accuracy import segmentation_accuracy

        return segmentation_accuracy(self.segmentations, self.test)

    @property
    def _segmentation_folder(self) -> Path:
        return self.folder / "segmentation"

    @property
    def _max_regions(self) -> int:
        """The paper's number of regions; fewer in a profile for quick checks."""
        from rcnn_helpers.segmentation.regions import MAX_REGIONS

        return min(MAX_REGIONS, self.profile.max_proposals // 5)

    def _segmentation_path(self, name: str) -> Path:
        """File of a result that settings, weights and the regions decide."""
        key = f"{self._settings_key(self.network)}-{self.regions('trainval').folder.name[:12]}"
        return self.folder / f"{name}-{key}.safetensors"

    @cached_property
    def untrained(self):
        """The profile's backbone with weights drawn at random: a control for what training does."""
        from rcnn_helpers.networks import load_network

        return load_network(self.profile.network, weights="random", device=self.device)

    def pictures(self, *splits: str):
        """The pictures of several splits as one data set."""
        first = self.dataset(splits[0])
        ids = [image_id for split in splits for image_id in self.dataset(split).ids]
        return type(first)(first.root, "+".join(splits), classes=first.classes, ids=ids)

    @cached_property
    def evaluation(self):
        """Average precision of `detections`, by VOC 2007's 11-point metric."""
        from rcnn_helpers.evaluation import evaluate

        return evaluate(self.detections, self.test)

    @cached_property
    def evaluation_without_regression(self):
        """Average precision of `detections_without_regression`."""
        from rcnn_helpers.evaluation import evaluate

        return evaluate(self.detections_without_regression, self.test)

    @cached_property
    def evaluation_before_fine_tuning(self):
        """Average precision of `detections_before_fine_tuning`."""
        from rcnn_helpers.evaluation import evaluate

        return evaluate(self.detections_before_fine_tuning, self.test)

    def _result(self, name: str, *splits: str, network=None) -> Path:
        """File of a result that settings, weights and the proposals of some splits decide."""
        boxes = hashlib.sha256()
        for split in splits:
            for image_id, proposals in self.proposals(split).items():
                boxes.update(image_id.encode() + proposals.tobytes())
        key = self._settings_key(network or self.network)
        return self.folder / f"{name}-{key}-{boxes.hexdigest()[:12]}.safetensors"

    def _settings_key(self, network) -> str:
        """Hash of the settings and weights that decide a trained detector, and of how it is stored."""
        from rcnn_helpers.model_files import MODEL_FORMAT

        return _hash([MODEL_FORMAT, asdict(self.profile), network.fingerprint])


def _hash(values: list) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _kept(path: Path, read):
    """What `read` makes of the file of a result; None if there is none, or it is damaged, with a warning."""
    if not path.exists():
        return None
    try:
        return read(path)
    except RCNNError as error:
        warnings.warn(f"{error}. Computing it anew.", RuntimeWarning, stacklevel=3)
        with suppress(OSError):
            path.unlink()
        return None


def _are_all_there(names, **splits: int) -> bool:
    """Whether so many image names of each split are among `names`."""
    return all(
        sum(name.startswith(f"{split}_") for name in names) >= count for split, count in splits.items()
    )


def open_course(
    notebook: str | None = None, *, profile: str | None = None, device: str | None = None
) -> Course:
    """Open the course for a notebook: style the figures and print what this kernel runs on.

    Parameters
    ----------
    notebook : str, optional
        Number of the notebook, such as ``"07"``.
    profile, device : str, optional
        As in `Course`.
    """
    import platform

    import torch
    import torchvision
    from IPython import get_ipython

    from rcnn_helpers.course import costs
    from rcnn_helpers.course.exercises import magic
    from rcnn_helpers.plots import use_style

    use_style()
    if get_ipython() is not None:
        magic.register(get_ipython())
    course = Course(profile, device=device)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}; "
        f"device {course.device}; profile {course.profile.name}"
    )
    if notebook is not None:
        missing = course.missing(NEEDS.get(notebook, ()))
        print(costs.forecast(course.profile.name, course.device, notebook, missing))
    return course
