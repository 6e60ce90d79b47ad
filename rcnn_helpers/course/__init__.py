"""The course around the package: what every notebook opens with, and the tools that build the notebooks."""

from rcnn_helpers.course.workspace import Course, open_course

__all__ = ["Course", "open_course"]
