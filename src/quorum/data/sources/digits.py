"""`digits`: scikit-learn's 1,797 scans of handwritten digits (8 x 8), which need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quorum.data.catalogue import Catalogue, build_catalogue, stratified
from quorum.data.datasets import register_dataset

SPLIT_SEED = 0  # the split is fixed: it does not follow `split_seed`
TEST = VAL = 270  # 15% each


@register_dataset("digits", input_size=64, one_size=True, needs_folder=False, source="sklearn.datasets.load_digits")
def catalogue(_root: Path, _split_seed: int) -> Catalogue:
    """The scans as RGB bytes with a fixed, class-stratified split of 1,257 / 270 / 270."""
    from sklearn.datasets import load_digits  # a second to import, for commands that do without

    bunch = load_digits()
    gray = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # the scans count ink from 0 to 16
    rgb = np.ascontiguousarray(np.broadcast_to(gray[..., None], (*gray.shape, 3)))
    labels = bunch.target.astype(np.int64)
    rest, test = stratified(np.arange(len(labels)), labels, TEST, SPLIT_SEED)
    train, val = stratified(rest, labels, VAL, SPLIT_SEED)
    splits = {"train": train, "val": val, "test": test}
    return build_catalogue("digits", rgb, [str(label) for label in labels], splits=splits)
