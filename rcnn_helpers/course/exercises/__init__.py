"""Exercises with checkers: write a function, run the cell, read what is right or wrong with it.

`check`, `hint` and `solution` take an exercise's name. In a notebook, the cell magic ``%%exercise NAME`` runs the
learner's code, checks it and puts buttons below. Whatever the answer is, the notebook goes on: where it does not
pass, the reference takes its place, and the verdict says so.
"""

from rcnn_helpers.course.exercises.engine import Exercise, Outcome, Slip, Verdict
from rcnn_helpers.course.exercises.registry import check, exercises, get_exercise, hint, solution

__all__ = [
    "Exercise",
    "Outcome",
    "Slip",
    "Verdict",
    "check",
    "exercises",
    "get_exercise",
    "hint",
    "solution",
]
