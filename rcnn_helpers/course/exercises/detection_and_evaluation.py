"""Exercises of notebook detection_and_evaluation."""

EXERCISES = ()
