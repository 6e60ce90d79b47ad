"""Exercises of notebook svm_training."""

EXERCISES = ()
