"""Exercises of notebook region_proposals."""

EXERCISES = ()
