"""Exercises of notebook warping."""

EXERCISES = ()
