"""Small studies, and running and reading them as a user does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from quorum.tracking import schema
from tests.conftest import Quorum, words

STUDY = """\
description: two stages
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 2, lr: 0.05}
stages:
  - name: lr
    vary: {lr: [0.02, 0.05]}
    published:
      - {id: made-up, at: {lr: 0.05}, val_accuracy: 0.5, std: 0.01}
  - name: epochs
    vary: {epochs: [1, 2]}
"""
TREE = """\
dataset: folder
base: {model: scratch-simple, resize: 32, batch_size: 16, epochs: 4, lr: 0.05, step_size: 0}
stages:
  - name: lr
    vary: {lr: [0.02, 0.05]}
  - name: epochs
    set: {lr: 0.05}
    vary: {epochs: [2, 4, 6]}
  - name: step-size
    set: {lr: 0.05, epochs: 6}
    vary: {step_size: [3, 5]}
"""


@dataclass(frozen=True)
class Swept:
    """A sweep that was done once, for tests that read it or compare with it.

    Attributes:
        quorum: the command line in a folder with a copy of its store.
        result: what it printed as JSON.
        folder: where it was done.
    """

    quorum: Quorum
    result: dict[str, Any]
    folder: Path


def sweep_words(images: Path, **settings: object) -> list[str]:
    """The command line that sweeps study.yaml over a folder of images, with two seeds, on one thread."""
    return words("sweep", **{"study": "study.yaml", "path": images, "seeds": "0,1", "threads": 1, **settings})


def sweep(quorum: Quorum, images: Path, text: str = STUDY, **settings: object) -> dict[str, Any]:
    """Write a study file, sweep it and return what is printed."""
    (quorum.folder / "study.yaml").write_text(text)
    answer = quorum(*sweep_words(images, **settings), "--json")
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


def runs(kind: str) -> list[Run]:
    """Runs of a kind, oldest first."""
    return list(MlflowClient().search_runs(["1"], f"tags.`{schema.KIND}` = '{kind}'", order_by=["start_time ASC"]))


def means(result: dict[str, Any]) -> list[list[float]]:
    """The mean validation accuracy of each trial of each stage."""
    return [[trial["mean"] for trial in stage["trials"]] for stage in result["stages"]]
