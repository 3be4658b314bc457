"""Sweeps of a small network over a small folder of images."""

from tests.training.conftest import folders, preparer

__all__ = ["folders", "preparer"]
