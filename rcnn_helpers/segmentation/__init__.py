"""Segmentation: every pixel gets a class, by classifying regions of any shape and pasting the best (sec. 5)."""
