"""Data sets in PASCAL VOC layout: reading, writing, downloading and rendering them."""
