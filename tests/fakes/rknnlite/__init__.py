"""Stands in for the package of rknn-toolkit-lite2 when its parent folder is on the path."""
