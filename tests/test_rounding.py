"""Numbers as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from quorum.rounding import rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00044271, "0.000443"),
        (0.05, "0.05"),
        (np.float64(0.05), "0.05"),
        (0.0125, "0.0125"),
        (1.0, "1.0"),
        (20000.0, "20000.0"),
        (1e-05, "1e-05"),
        (123456, "123456"),
        (True, "True"),
        ("rotate(degrees=7.12345)", "rotate(degrees=7.12345)"),
    ],
)
def test_many_digits_are_three(value: object, text: str) -> None:
    assert rounded(value) == text
