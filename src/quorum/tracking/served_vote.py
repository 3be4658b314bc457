"""The script that MLflow runs to load a registered vote ("models from code": nothing is unpickled).

Input: a column `image` with the bytes of image files (base64 text in JSON). Output, a row for each image: `label`
(empty where the vote leaves it undecided), `probability` (of that class, the mean of the members') and `probabilities`
(one per class, in the order of the model's classes), `agreement` (fraction of the members that voted for the label) and
`votes` (the members' labels, the best member's first).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from quorum.data.images import in_parts
from quorum.tracking.served_images import decoded
from quorum.voting.classifier import Classifier
from quorum.voting.rules import VotingRule


class ServedVote(PythonModel):  # type: ignore[misc]
    """Several networks that vote."""

    def load_context(self, context: PythonModelContext) -> None:
        files = dict(context.artifacts)
        self.rule = VotingRule.of(Path(files.pop("rule")).read_text())
        members = sorted(files.items(), key=lambda item: int(item[0].removeprefix("member-")))
        self.members = [Classifier.load(Path(folder)) for _, folder in members]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        parts = [
            self.rule.decide([member.probabilities(images) for member in self.members]).frame(self.members[0].classes)
            for images in in_parts(decoded(model_input))
        ]
        return pd.concat(parts, ignore_index=True)


set_model(ServedVote())
