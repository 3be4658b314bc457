"""Calibration against scikit-learn, by hand, and on probabilities whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from quorum.voting.calibration import (
    accuracy_by_coverage,
    at_temperature,
    calibration,
    fit_temperature,
    reliability,
)
from quorum.voting.vote import Probabilities

LABELS = np.array([0, 1, 2, 2, 1])


def softmax(logits: np.ndarray) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(n: int, sharpness: float, seed: int = 0) -> tuple[Probabilities, np.ndarray]:
    """Probabilities, and labels drawn from them; the probabilities are then given with logits times `sharpness`."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=(n, 4)) * 1.5
    true = softmax(logits)
    labels = np.array([draws.choice(4, p=row / row.sum()) for row in true.astype(np.float64)])
    return softmax(logits * sharpness), labels


def test_scores_are_those_of_scikit_learn() -> None:
    probabilities = softmax(np.random.default_rng(1).normal(size=(5, 3)))
    found = calibration(probabilities, LABELS, probabilities.argmax(axis=1))
    assert found.nll == pytest.approx(log_loss(LABELS, probabilities.astype(np.float64)), abs=1e-6)
    assert found.brier == pytest.approx(brier_score_loss(LABELS, probabilities, scale_by_half=False), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], dtype=np.float32)
    labels, answers = np.array([0, 1, 0, 0]), np.array([0, 0, 0, 1])
    # 0.9 is right once in two, 0.6 once in two
    assert calibration(probabilities, labels, answers).ece == pytest.approx((0.4 * 2 + 0.1 * 2) / 4)
    bins = reliability(probabilities, labels, answers)
    assert list(bins["images"]) == [2, 2]
    assert list(bins["accuracy"]) == [0.5, 0.5]
    assert list(bins["confidence"]) == pytest.approx([0.6, 0.9])


def test_a_certain_mistake_has_a_finite_likelihood() -> None:
    certain = np.array([[1.0, 0.0]], dtype=np.float32)
    assert np.isfinite(calibration(certain, np.array([1]), np.array([0])).nll)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_done_to_the_logits(sharpness: float) -> None:
    probabilities, labels = drawn(4000, sharpness)
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(sharpness, rel=0.1)
    before, after = (
        calibration(one, labels, one.argmax(axis=1))
        for one in (probabilities, at_temperature(probabilities, temperature))
    )
    assert after.nll <= before.nll
    assert after.ece < 0.03


def test_a_temperature_changes_no_answer() -> None:
    probabilities, _ = drawn(200, 1.0)
    for temperature in (0.3, 1, 5):
        scaled = at_temperature(probabilities, temperature)
        np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(at_temperature(probabilities, 1), probabilities)


def test_accuracy_by_coverage_takes_equal_confidence_together() -> None:
    curve = accuracy_by_coverage(np.array([0.5, 0.9, 0.5, 1.0]), np.array([False, True, True, True]))
    assert list(curve["coverage"]) == [0.25, 0.5, 1.0]
    assert list(curve["accuracy"]) == [1.0, 1.0, 0.75]
    assert list(curve["bound"]) == [1.0, 0.9, 0.5]
