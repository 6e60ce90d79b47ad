"""Exercises of notebook feature_extraction."""

EXERCISES = ()
