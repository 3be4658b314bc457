"""Metrics by name. All that are registered are computed on the validation split after every epoch, and on the test
split once.

These are computed from counts in torch: scikit-learn's functions, which the tests compare them with, take ten times as
long, and that after every epoch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from quorum.registry import Registry

Metric = Callable[[torch.Tensor, torch.Tensor], float]

METRICS: Registry[Metric] = Registry("metric")


def register_metric(name: str) -> Callable[[Metric], Metric]:
    """A decorator that adds a metric.

    It decorates a function of logits float32 [n, classes] and labels int64 [n], both on the CPU, that returns a number.
    It is tracked as `val/NAME`, `best/val_NAME`, `last/val_NAME` and `test/NAME`.

    Raises:
        ConfigError: where the name is taken.
    """
    return METRICS.register(name)


def measure(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Every registered metric by name, of logits float32 [n, classes] and labels int64 [n] on the CPU."""
    return {name: float(metric(logits, labels)) for name, metric in METRICS.items()}


@register_metric("accuracy")
def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Fraction of labels that have the highest logit."""
    return float((logits.argmax(dim=1) == labels).double().mean())


@register_metric("balanced_accuracy")
def balanced_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean recall of the classes that occur among the labels."""
    counts = _confusion(logits, labels)
    images = counts.sum(dim=1)
    return float((counts.diag() / images)[images > 0].mean())


@register_metric("macro_f1")
def macro_f1(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean F1 score of the classes that occur among the labels or the predictions."""
    counts = _confusion(logits, labels)
    images = counts.sum(dim=0) + counts.sum(dim=1)
    return float((2 * counts.diag() / images)[images > 0].mean())


def _confusion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Number of images, float64 [true class, predicted class]."""
    classes = logits.shape[1]
    cells = labels * classes + logits.argmax(dim=1)
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes).double()
