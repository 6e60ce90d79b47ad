"""The course around the package: what every notebook opens with, exercises, predictions, the builder."""

from rcnn_helpers.course.exercises import check, hint, solution
from rcnn_helpers.course.predictions import meet, predict
from rcnn_helpers.course.workspace import Course, open_course

__all__ = ["Course", "check", "hint", "meet", "open_course", "predict", "solution"]
