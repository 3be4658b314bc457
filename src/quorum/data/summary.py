"""What a data set looks like: images of each class, and their average."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from quorum.data.pixel_store import PixelStore

MEAN_SIDE = 96  # pixels of a mean image; each image is squeezed to a square of it


def class_counts(pixels: PixelStore) -> pd.DataFrame:
    """Images of each class (rows) in train + val and in test, as the report shows them."""
    splits = {
        "train + val": np.concatenate([pixels.splits["train"], pixels.splits["val"]]),
        "test": pixels.splits["test"],
    }
    size = len(pixels.classes)
    return pd.DataFrame(
        {name: np.bincount(pixels.labels[positions], minlength=size) for name, positions in splits.items()},
        index=list(pixels.classes),
    )


def mean_images(pixels: PixelStore) -> dict[str, NDArray[np.float64]]:
    """Average of all images of each class, [side, side, 3], every image squeezed to a square first."""
    sums = np.zeros((len(pixels.classes), MEAN_SIDE, MEAN_SIDE, 3))
    for position, label in enumerate(pixels.labels):
        square = Image.fromarray(pixels.image(position)).resize((MEAN_SIDE, MEAN_SIDE), Image.Resampling.BILINEAR)
        sums[label] += np.asarray(square)
    counts = np.maximum(np.bincount(pixels.labels, minlength=len(pixels.classes)), 1)
    means = sums / counts[:, None, None, None]
    return dict(zip(pixels.classes, means, strict=True))
