"""Numbers as a report's tables show them."""

from __future__ import annotations

import pandas as pd

from quorum.comparison.tables import as_text


def test_numbers_as_text() -> None:
    frame = pd.DataFrame({"seed": [0, 1], "p": [1.4128e-12, 0.25], "difference": [0.02061, None]})
    text = as_text(frame, exact=("p",))
    assert text.to_dict("list") == {"seed": [0, 1], "p": ["1.41e-12", "0.25"], "difference": ["0.0206", "–"]}
