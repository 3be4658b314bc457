"""The script that MLflow runs to load a registered network or vote ("models from code": nothing is unpickled).

Input: a column `image` with image files, as base64 text or, in Python, as bytes. Output, a row for each image: `label`
(empty where a vote leaves it undecided), `probability` (of that class; of a vote, the mean of the members') and
`probabilities` (one per class, in the order of the model's classes). A vote also has `agreement` (fraction of the
members that voted for the label) and `votes` (the members' labels, the best member's first).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from quorum.tracking.model_files import read_files
from quorum.tracking.served_images import decoded
from quorum.voting.answers import answer
from quorum.voting.classifier import Classifier


class ServedModel(PythonModel):  # type: ignore[misc]
    """One network with its preprocessing and class names, or several that vote."""

    def load_context(self, context: PythonModelContext) -> None:
        bundles, self.rule = read_files({name: Path(path) for name, path in context.artifacts.items()})
        self.members = [Classifier.load(bundle) for bundle in bundles]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        return answer(self.members, self.rule, decoded(model_input))


set_model(ServedModel())
