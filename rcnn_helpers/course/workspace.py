"""What the notebooks share: the data, and what each stage of the pipeline made of it.

Any notebook can be opened first. It asks `open_course` for what earlier stages produce; what an earlier notebook
(or ``make course``) has computed is read from the cache, the rest is computed with a progress bar and kept.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cached_property

from rcnn_helpers import settings
from rcnn_helpers.errors import SettingsError

# The stages in their order, and those that each notebook builds on.
STAGES = ("pictures", "proposals", "features", "detector", "detections")
NEEDS = {"00": STAGES, "01": STAGES[:1], "02": STAGES[:2], "03": STAGES[:3], "05": STAGES[:3], "07": STAGES}


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
        elif stage == "features":
            self.features("trainval")
        elif stage == "detector":
            _ = self.detector
        elif stage == "detections":
            _ = self.detections
        else:
            raise SettingsError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")

    def missing(self, stages=STAGES) -> list[str]:
        """Return those of `stages` whose results are not in the cache, as far as its files tell."""
        train, val, test = self.profile.train_images, self.profile.val_images, self.profile.test_images

        def holds(folder, *splits_and_counts):
            names = {path.stem for path in (self.folder / folder).glob("*/*")}
            return all(
                sum(name.startswith(f"{split}_") for name in names) >= count
                for split, count in splits_and_counts
            )

        there = {
            "pictures": any(settings.cache_dir().glob(f"toyvoc-*-{train}-{val}-{test}")),
            "proposals": holds("proposals", ("train", train), ("val", val), ("test", test)),
            "features": holds("features", ("train", train), ("val", val)),
            "detector": any(self.folder.glob("detector-*")),
            "detections": holds("features", ("test", test)),
        }
        return [stage for stage in stages if not there[stage]]

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
    def network(self):
        """The profile's backbone with its pre-trained weights."""
        from rcnn_helpers.networks import load_network

        return load_network(self.profile.network, device=self.device)

    def new_detector(self):
        """A detector with the profile's settings, not trained yet."""
        from rcnn_helpers.detector import RCNN

        return RCNN(self.network, layer=self.profile.layer, max_proposals=self.profile.max_proposals)

    def features(self, split: str):
        """The store that holds the features of every region of a split, filled."""
        return self.new_detector().extract(
            self.dataset(split), self.proposals(split), cache=self.folder, progress=self.progress
        )

    @cached_property
    def detector(self):
        """The detector, trained on trainval."""
        from rcnn_helpers.detector import RCNN

        path = self.folder / f"detector-{self._key()}.safetensors"
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
        return self.detector.detect_dataset(
            self.test, proposals=self.proposals("test"), store=self.features("test"), progress=self.progress
        )

    @cached_property
    def evaluation(self):
        """Average precision of `detections`, by VOC 2007's 11-point metric."""
        from rcnn_helpers.evaluation import evaluate

        return evaluate(self.detections, self.test)

    def _key(self) -> str:
        """Hash of what decides the trained detector and how it is stored."""
        from rcnn_helpers.detector import MODEL_FORMAT

        digest = hashlib.sha256(MODEL_FORMAT.encode())
        digest.update(json.dumps(asdict(self.profile), sort_keys=True).encode())
        digest.update(self.network.fingerprint.encode())
        for image_id, boxes in self.proposals("trainval").items():
            digest.update(image_id.encode() + boxes.tobytes())
        return digest.hexdigest()[:12]


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
