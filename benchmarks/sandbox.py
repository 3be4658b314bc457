"""A folder to run commands in: with a tracking store and study files of its own, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from quorum.cli import main

STUDY = "bench"
TEMPLATE = """\
dataset: digits
base: {{model: scratch-simple, batch_size: {batch_size}, epochs: {epochs}}}
stages:
  - name: lr
    vary: {{lr: {rates}}}
    published:
      - {{id: first, at: {{lr: {first}}}, val_accuracy: 0.5}}
"""


@contextlib.contextmanager
def sandbox() -> Iterator[Path]:
    """Go into a new folder, whose `mlflow.db` is the tracking store of this process and of those that it starts."""
    with tempfile.TemporaryDirectory(prefix="quorum-benchmark-") as temporary, inside(Path(temporary)) as folder:
        yield folder


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """Go into a folder and use its `mlflow.db`, whatever MLflow's variables say. Yields its absolute path."""
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        os.environ.pop(name, None)
    use_store(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    try:
        yield Path.cwd()
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)


def use_store(uri: str) -> None:
    """Have commands use a tracking store."""
    os.environ["MLFLOW_TRACKING_URI"] = uri


def write_study(folder: Path, trials: int, epochs: int = 1, batch_size: int = 1024, skip: int = 0) -> list[str]:
    """Write a study of the digits that trains one small network at several learning rates.

    Args:
        folder: that the command will run in.
        trials: learning rates.
        epochs: of each.
        batch_size: images.
        skip: number of the first learning rate, so that a second study repeats nothing of a first.

    Returns:
        The arguments of the command that runs it, but for the seeds.
    """
    rates = [round(0.02 + 0.001 * number, 4) for number in range(skip, skip + trials)]
    file = folder / "sweeps" / "digits" / f"{STUDY}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEMPLATE.format(batch_size=batch_size, epochs=epochs, rates=rates, first=rates[0]))
    return ["sweep", "-P", f"study={STUDY}"]


def quorum(arguments: Sequence[str]) -> None:
    """Run a command in this process. Raises RuntimeError where it fails."""
    status = main(list(arguments))
    if status:
        raise RuntimeError(f"quorum {' '.join(arguments)}: exit status {status}")
