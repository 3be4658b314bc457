"""The script that MLflow runs to load a registered classifier ("models from code": nothing is unpickled).

Input: a column `image` with the bytes of image files (base64 text in JSON). Output: `label`, `probability` and
`probabilities` (one per class, in the order of the model's classes), a row for each image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from quorum.data.images import in_parts
from quorum.tracking.served_images import decoded
from quorum.voting.classifier import Classifier


class ServedClassifier(PythonModel):  # type: ignore[misc]
    """One network with its preprocessing and class names."""

    def load_context(self, context: PythonModelContext) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        parts = [self.classifier.probabilities(images) for images in in_parts(decoded(model_input))]
        probabilities = np.concatenate(parts)
        best = probabilities.argmax(axis=1)
        return pd.DataFrame(
            {
                "label": [self.classifier.classes[i] for i in best],
                "probability": probabilities.max(axis=1).astype(float),
                "probabilities": probabilities.astype(float).tolist(),
            }
        )


set_model(ServedClassifier())
