"""Whether probabilities mean what they say: calibration error, proper scores, and temperature scaling.

Pure functions of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.voting.vote import Probabilities

BINS = 15  # of equal width, as in Guo et al. (2017)
HOTTEST = 20.0  # temperatures lie between its inverse and it
SMALLEST = float(np.finfo(np.float32).tiny)  # probabilities that float32 has rounded to 0 are not impossible

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """How well probabilities are calibrated; all are better when lower.

    Attributes:
        ece: expected calibration error: mean distance of accuracy and confidence over bins of the confidence, weighted
            by their images. Guo, C. et al. (2017), On calibration of modern neural networks, ICML.
        nll: negative log-likelihood of the true class, in nats, the mean over the images.
        brier: squared distance of the probabilities and the true class (1 for it and 0 for all others), summed over the
            classes, the mean over the images; 0 to 2. Brier, G. W. (1950), Monthly Weather Review 78.
    """

    ece: float
    nll: float
    brier: float


def calibration(probabilities: Probabilities, labels: Labels, answers: Labels) -> Calibration:
    """How well probabilities are calibrated.

    Args:
        probabilities: float32 [n, classes].
        labels: int64 [n], the true classes.
        answers: int64 [n], the classes that were decided for: those of the highest probability, unless a vote decided.
    """
    true = np.eye(probabilities.shape[1])[labels]
    bins = reliability(probabilities, labels, answers)
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return Calibration(
        ece=float((gaps * bins["images"]).sum() / len(labels)),
        nll=negative_log_likelihood(_of_class(probabilities, labels)),
        brier=float(((probabilities - true) ** 2).sum(axis=1).mean()),
    )


def negative_log_likelihood(of_truth: NDArray[np.floating]) -> float:
    """Mean of -log of the probabilities of the true classes, [n]."""
    return float(-np.log(np.maximum(of_truth, SMALLEST)).mean())


def reliability(probabilities: Probabilities, labels: Labels, answers: Labels) -> pd.DataFrame:
    """Accuracy by confidence.

    Args:
        probabilities: float32 [n, classes].
        labels: int64 [n], the true classes.
        answers: int64 [n], the classes that were decided for.

    Returns:
        A row for each of BINS bins of the confidence that has images: `confidence` and `accuracy`, means over them, and
        `images`, how many.
    """
    confidence = _of_class(probabilities, answers)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    frame = pd.DataFrame({"confidence": confidence.astype(float), "accuracy": answers == labels, "images": 1})
    means = frame.groupby(place)[["confidence", "accuracy"]].mean()
    return means.assign(images=frame.groupby(place)["images"].sum()).reset_index(drop=True)


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The temperature under which probabilities have the least negative log-likelihood. Guo et al. (2017).

    Args:
        probabilities: float32 [n, classes] of images that were not trained on, at temperature 1.
        labels: int64 [n], the true classes.

    Returns:
        A temperature between 1 / HOTTEST and HOTTEST; above 1 where the network is too sure of itself.
    """
    from scipy import optimize

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(_of_class(at_temperature(probabilities, np.exp(log_temperature)), labels))

    bound = np.log(HOTTEST)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def at_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Probabilities float32 [n, classes] with the logits divided by a temperature: softmax(log p / T)."""
    if temperature == 1:
        return probabilities
    scaled = np.log(np.maximum(probabilities, SMALLEST, dtype=np.float64)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def accuracy_by_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> pd.DataFrame:
    """Accuracy on the images that are the surest, by how many of all they are.

    Args:
        confidence: [n], by which images are taken, the highest first.
        right: [n], whether the answer is.

    Returns:
        `coverage` and `accuracy`, fractions, and `bound`, the least confidence among those taken: a row for each value
        of the confidence, since images of equal confidence cannot be told apart.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, count = confidence[order], np.arange(1, len(order) + 1)
    last = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)
    curve = {"coverage": count / len(order), "accuracy": right[order].cumsum() / count, "bound": sorted_confidence}
    return pd.DataFrame(curve)[last].reset_index(drop=True)


def _of_class(probabilities: Probabilities, classes: Labels) -> NDArray[np.float32]:
    return np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
