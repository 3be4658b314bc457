"""The script that MLflow runs to load a registered vote ("models from code": nothing is unpickled).

Input: a column `image` with the bytes of image files (base64 text in JSON). Output: `label`, `agreement` (fraction of
the members that voted for it) and `votes` (the members' labels, the best member's first), a row for each image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from quorum.data.images import decode
from quorum.voting.classifier import Classifier
from quorum.voting.vote import agreement, majority_vote, member_votes


class ServedVote(PythonModel):  # type: ignore[misc]
    """Several networks that vote."""

    def load_context(self, context: PythonModelContext) -> None:
        members = sorted(context.artifacts.items(), key=lambda item: int(item[0].removeprefix("member-")))
        self.members = [Classifier.load(Path(folder)) for _, folder in members]

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        images = [decode(content, f"image {i}") for i, content in enumerate(model_input["image"])]
        votes = member_votes([member.probabilities(images) for member in self.members])
        decided = majority_vote(votes)
        classes = self.members[0].classes
        return pd.DataFrame(
            {
                "label": [classes[i] for i in decided],
                "agreement": agreement(votes, decided),
                "votes": [[classes[i] for i in row] for row in votes.T],
            }
        )


set_model(ServedVote())
