"""Which classes are easily taken for each other.

A false positive on a cat is less surprising for "dog" than for "bus". Hoiem et al. (ECCV 2012, sec. 2.1) tell the
two apart by sets of similar classes. The sets are data: JSON files in ``data/similar_classes``, and files of
one's own for one's own classes::

    {
      "source": "who says so",
      "classes": ["ant", "bee", "rose"],
      "similar": [["ant", "bee"]],
      "groups": {"insects": ["ant", "bee"]}
    }

Two classes are similar if a set of ``similar`` holds both. ``groups`` are what the figures average over (Fig. 5
of the R-CNN paper shows a panel for each). They need not be the sets: in VOC a person is similar to the animals,
but belongs to no group, and neither do the bottle, the potted plant and the tv monitor.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rcnn_helpers.errors import DatasetError, SettingsError
from rcnn_helpers.settings import data_dir

# Where two files know equally many of the classes, the first is taken.
SHIPPED = ("voc", "toyvoc")


@dataclass(frozen=True, eq=False)
class SimilarClasses:
    """Similarity and groups of some classes.

    Attributes
    ----------
    classes : tuple of str
    matrix : bool array of shape [C, C]
        Symmetric; ``matrix[i, j]`` says that ``classes[i]`` and ``classes[j]`` are similar. No class is similar to
        itself.
    groups : dict of str to tuple of str
        Classes to average over; only those in `classes`. A class may be in none of them.
    source : str
        Who says so.
    """

    classes: tuple[str, ...]
    matrix: np.ndarray = field(repr=False)
    groups: dict[str, tuple[str, ...]]
    source: str = ""

    @classmethod
    def from_sets(
        cls,
        classes: Sequence[str],
        sets: Iterable[Iterable[str]] = (),
        groups: Mapping[str, Iterable[str]] | None = None,
        source: str = "",
    ) -> "SimilarClasses":
        """Make the matrix from sets of classes that are similar to one another.

        Names that are not in `classes` are left out, and groups that become empty. Without any group left there
        is one, ``"all"``, of all classes.
        """
        classes = tuple(classes)
        position = {name: i for i, name in enumerate(classes)}
        matrix = np.zeros((len(classes), len(classes)), dtype=bool)
        for names in sets:
            members = [position[name] for name in names if name in position]
            matrix[np.ix_(members, members)] = True
        np.fill_diagonal(matrix, False)
        present = {
            group: tuple(name for name in classes if name in set(names))
            for group, names in (groups or {}).items()
        }
        present = {group: names for group, names in present.items() if names}
        return cls(classes, matrix, present or {"all": classes}, source)

    @classmethod
    def read(cls, path, classes: Sequence[str] | None = None) -> "SimilarClasses":
        """Read a JSON file (its form: see the module's text).

        Parameters
        ----------
        path : path
        classes : sequence of str, optional
            Classes wanted, in this order; by default those of the file. One that the file does not know is
            similar to none. As the file cannot have grouped it, all classes are then in one group, ``"all"``.

        Raises
        ------
        DatasetError
            If the file is missing, is not JSON of that form, or a set names a class that ``classes`` does not.
        """
        content = _read_json(Path(path))
        classes = content["classes"] if classes is None else tuple(classes)
        groups = content["groups"] if set(classes) <= set(content["classes"]) else None
        return cls.from_sets(classes, content["similar"], groups, content["source"])

    def of(self, name: str) -> tuple[str, ...]:
        """The classes similar to class `name`."""
        if name not in self.classes:
            raise SettingsError(
                f"there is no class {name!r} here; choose one of {', '.join(self.classes[:30])}"
            )
        return tuple(np.array(self.classes, dtype=object)[self.matrix[self.classes.index(name)]])

    def for_classes(self, classes: Sequence[str]) -> "SimilarClasses":
        """The same for other `classes`, in their order; those unknown here are similar to none."""
        classes = tuple(classes)
        if classes == self.classes:
            return self
        sets = [(name, other) for name in self.classes for other in self.of(name)]
        groups = self.groups if set(classes) <= set(self.classes) else None
        return SimilarClasses.from_sets(classes, sets, groups, self.source)


def similar_classes(classes: Sequence[str]) -> SimilarClasses:
    """Similarity and groups of `classes` from the file in ``data/similar_classes`` that knows most of them.

    Names are all there is to go by, so a class is similar to none if no file has its name; write a file of your
    own for your own classes and read it with `SimilarClasses.read`.

    Parameters
    ----------
    classes : sequence of str

    Examples
    --------
    >>> similar_classes(["cat", "dog", "train"]).of("dog")
    ('cat',)
    """
    paths = [data_dir() / "similar_classes" / f"{name}.json" for name in SHIPPED]
    n_known = [len(set(classes) & set(_read_json(path)["classes"])) for path in paths]
    if not any(n_known):
        return SimilarClasses.from_sets(classes)
    return SimilarClasses.read(paths[int(np.argmax(n_known))], classes)


def _read_json(path):
    """The checked content of a file: classes, similar (a list of tuples), groups and source."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON with sets of similar classes ({error})") from error
    try:
        classes = _names(content["classes"])
        similar = [_names(names) for names in content["similar"]]
        groups = {str(group): _names(names) for group, names in content.get("groups", {}).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} has not the form of a file of similar classes ({error!r}): it needs the list 'classes', "
            "the list of lists 'similar', and may have 'groups', lists by name"
        ) from error
    for names in [*similar, *groups.values()]:
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise DatasetError(
                f"{path} calls {unknown[0]!r} similar or grouped, but does not have it in its 'classes'; "
                "add it there or correct its spelling"
            )
    return {
        "classes": classes,
        "similar": similar,
        "groups": groups,
        "source": str(content.get("source", "")),
    }


def _names(value):
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{value!r} is not a list of names")
    return tuple(value)
