"""Contracts that every metric keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from quorum.engine.metrics import METRICS, measure

Labels = NDArray[np.int64]

# The same by scikit-learn, of labels and predictions.
REFERENCES: dict[str, Callable[[Labels, Labels], float]] = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": lambda labels, predictions: f1_score(labels, predictions, average="macro"),
}


def made_up(seed: int, images: int, classes: int, occurring: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and labels, the labels of the first classes only."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(images, classes, generator=draw), torch.randint(occurring, (images,), generator=draw)


def test_every_metric_has_a_reference() -> None:
    assert set(METRICS) == set(REFERENCES), "a new metric needs a line in this test"


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize(("images", "classes", "occurring"), [(1, 2, 1), (7, 12, 12), (200, 5, 5), (200, 5, 3)])
def test_it_equals_scikit_learns(name: str, images: int, classes: int, occurring: int) -> None:
    for seed in range(5):
        logits, labels = made_up(seed, images, classes, occurring)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes that were predicted and do not occur
            expected = REFERENCES[name](labels.numpy(), logits.argmax(dim=1).numpy())
        found = METRICS[name](logits, labels)
        assert isinstance(found, float)
        assert found == pytest.approx(expected, rel=1e-12)
        assert 0 <= found <= 1


@pytest.mark.parametrize("name", sorted(METRICS))
def test_it_is_one_where_every_answer_is_right_and_changes_nothing(name: str) -> None:
    logits, labels = made_up(0, 50, 6, 6)
    logits[torch.arange(50), labels] += 100
    before = logits.clone(), labels.clone()
    assert METRICS[name](logits, labels) == 1
    assert torch.equal(logits, before[0])
    assert torch.equal(labels, before[1])


def test_all_are_measured() -> None:
    assert list(measure(*made_up(0, 10, 3, 3))) == list(METRICS)
