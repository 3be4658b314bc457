"""A trained network with everything it needs to answer: architecture, weights, preprocessing and class names."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from quorum.config import TrialConfig, parse_config
from quorum.data.batches import EVALUATION_BATCH
from quorum.data.images import Pixels
from quorum.data.preprocess import Preprocess, preprocess_of
from quorum.errors import ModelError
from quorum.models import build
from quorum.voting.vote import Probabilities

WEIGHTS, DESCRIPTION = "weights.pt", "classifier.json"


@dataclass(frozen=True)
class Classifier:
    """A network that takes images as they come.

    Attributes:
        config: the settings that it was trained with.
        classes: class names by output.
        data_digest: of the data set that it was trained on.
        model: the network, in evaluation mode.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    data_digest: str
    model: nn.Module

    @property
    def preprocess(self) -> Preprocess:
        """What makes input of images."""
        return preprocess_of(self.config)

    @staticmethod
    def save(
        folder: Path, config: TrialConfig, classes: Sequence[str], data_digest: str, weights: dict[str, torch.Tensor]
    ) -> None:
        """Write a bundle: the description, and last the weights."""
        folder.mkdir(parents=True, exist_ok=True)
        description = {"config": config.model_dump(), "classes": list(classes), "data_digest": data_digest}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2))
        part = folder / f"{WEIGHTS}.part"
        kept = copy.copy(weights)  # with the versions of its layers, which some networks ask for
        for name, tensor in weights.items():
            kept[name] = tensor.cpu()
        torch.save(kept, part)
        part.replace(folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle.

        Raises:
            ModelError: where the folder is not one.
        """
        try:
            description = json.loads((folder / DESCRIPTION).read_text())
            config = parse_config(TrialConfig, description["config"], str(folder / DESCRIPTION))
            classes, data_digest = tuple(description["classes"]), str(description["data_digest"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder}: not a classifier of quorum's ({error})") from error
        model = build(config.model, len(classes), seed=config.seed, weights=folder / WEIGHTS)
        return cls(config, classes, data_digest, model.eval())

    def probabilities(self, images: Sequence[Pixels]) -> Probabilities:
        """Class probabilities float32 [n, classes] of images of any sizes."""
        starts = range(0, len(images), EVALUATION_BATCH)
        return self.of_batches(self.preprocess.images(images[i : i + EVALUATION_BATCH]) for i in starts)

    @torch.inference_mode()
    def of_batches(self, batches: Iterable[torch.Tensor]) -> Probabilities:
        """Class probabilities float32 [n, classes] of input that is already preprocessed.

        In the arithmetic that the network was trained and tested in, so its accuracy here is the one it was tested at.
        """
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits = [self.model(batch.to(device)).float() for batch in batches]
        return torch.cat(logits).softmax(dim=1).cpu().numpy()
