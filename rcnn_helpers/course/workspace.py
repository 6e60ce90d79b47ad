"""What the notebooks share: the data, and what each stage of the pipeline made of it.

Any notebook can be opened first. It asks `open_course` for what earlier stages produce; what an earlier notebook
(or ``make course``) has computed is read from the cache, the rest is computed with a progress bar and kept.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from rcnn_helpers import settings
from rcnn_helpers.errors import SettingsError

# The stages in their order, and those that each notebook builds on. Up to fine-tuning (04) the notebooks look at
# the pre-trained network, from there on at the fine-tuned one.
STAGES = ("pictures", "proposals", "fine-tuning", "features", "detector", "detections")
NEEDS = {
    "00": STAGES,
    "01": STAGES[:1],
    "02": STAGES[:2],
    "03": STAGES[:2],
    "04": STAGES[:2],
    "05": STAGES[:4],
    "06": STAGES,
    "07": STAGES,
}


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
            return _are_all_there(self._store().ids(), train=train, val=val, test=test)
        return any(self.folder.glob(f"{stage}-{self._settings_key()}-*"))

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

    def new_detector(self):
        """A detector with the profile's settings, not trained yet."""
        from rcnn_helpers.detector import RCNN

        return RCNN(self.network, layer=self.profile.layer, max_proposals=self.profile.max_proposals)

    def features(self, split: str):
        """The store that holds pool5 of every region of a split, filled; deeper layers follow from it."""
        return self.new_detector().extract(
            self.dataset(split), self.proposals(split), store=self._store(), progress=self.progress
        )

    def _store(self):
        """The store of all features, whatever is in it yet."""
        from rcnn_helpers.features import FeatureStore

        return FeatureStore(self.folder / "features", network=self.network)

    @cached_property
    def detector(self):
        """The detector, trained on trainval, box regression included."""
        from rcnn_helpers.detector import RCNN

        path = self._result("detector", "trainval")
        if path.exists():
            return RCNN.load(path, device=self.device)
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
        return self._detect("detections")

    @cached_property
    def detections_without_regression(self):
        """The same detector's output where it leaves every box at its proposal."""
        return self._detect("unregressed", box_regression=False)

    def _detect(self, name: str, **options):
        """Detections on the test images, read if they have been computed before."""
        from safetensors.numpy import load_file, save

        from rcnn_helpers.evaluation import Detections
        from rcnn_helpers.storage import atomic_write

        path = self._result(name, "trainval", "test")
        if path.exists():
            return Detections(self.test.ids, self.test.classes, **load_file(path))
        found = self.detector.detect_dataset(
            self.test,
            proposals=self.proposals("test"),
            store=self.features("test"),
            progress=self.progress,
            **options,
        )
        columns = {name: getattr(found, name) for name in ("image_index", "class_index", "scores", "boxes")}
        atomic_write(path, lambda file: file.write(save(columns)))
        return found

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

    def _result(self, name: str, *splits: str) -> Path:
        """File of a result that settings, weights and the proposals of some splits decide."""
        boxes = hashlib.sha256()
        for split in splits:
            for image_id, proposals in self.proposals(split).items():
                boxes.update(image_id.encode() + proposals.tobytes())
        return self.folder / f"{name}-{self._settings_key()}-{boxes.hexdigest()[:12]}.safetensors"

    def _settings_key(self) -> str:
        """Hash of the settings and weights that decide the trained detector, and of how it is stored."""
        from rcnn_helpers.model_files import MODEL_FORMAT

        return _hash([MODEL_FORMAT, asdict(self.profile), self.network.fingerprint])


def _hash(values: list) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


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
