"""Errors a user can mend.

Every error raised on purpose for bad input, missing files or damaged data is an `RCNNError`. Its message names
the thing, the value that was found and the remedy. The `rcnn` command prints that message without a traceback;
any other exception is a bug of ours and keeps its traceback.
"""


class RCNNError(Exception):
    """Base class of all errors caused by input or surroundings rather than by a bug."""


class ImageError(RCNNError):
    """An image file is missing, truncated, not an image, or too large to decode safely."""


class AnnotationError(RCNNError):
    """An annotation file is missing, malformed, or contradicts its image."""


class DatasetError(RCNNError):
    """A data set folder, split or class list is missing or inconsistent."""


class DownloadError(RCNNError):
    """A download failed or its checksum is wrong."""


class WeightsError(RCNNError):
    """Network weights are missing, damaged, or belong to another architecture."""


class StoreError(RCNNError):
    """A feature store or cache is damaged, incomplete, or cannot be written."""


class ModelError(RCNNError):
    """A saved detector is damaged or was not written by this package."""


class TrainingError(RCNNError, ValueError):
    """Examples, labels or options from which nothing can be trained."""


class SettingsError(RCNNError, ValueError):
    """A setting names something that is not there: a layer, a class, a device."""


class DisplayError(RCNNError, ValueError):
    """Pictures, boxes or scores that cannot be shown."""
