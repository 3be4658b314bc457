"""The state after an epoch, kept so that training goes on from it exactly.

Because randomness is addressed by epoch, the state is the network, the average of its weights
if there is one, the optimizer, the epoch and what was measured.
It is two files: `last.pt`, and `best-E.pt` with the weights of the best epoch so far. Each is written beside its
place and renamed; `last.pt` names the best epoch it belongs to and is written after it, so a kill at any moment
leaves a state that can be used. Weights of the best epoch that are there are not written again, so whoever reads a
state removes those that do not belong to one.
"""

from __future__ import annotations

import copy
import errno
import os
import pickle  # for the name of its error alone
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quorum.console import say
from quorum.engine.history import History

_DAMAGES = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    pickle.UnpicklingError,
)  # what reading a damaged file may end in

Weights = dict[str, torch.Tensor]


@dataclass
class AverageState:
    """An average of weights.

    Attributes:
        weights: its state dict.
        count: how many times weights were added to it.
    """

    weights: Weights
    count: int


@dataclass
class TrainingState:
    """Everything that the next epoch depends on.

    Attributes:
        model, optimizer: their state dicts.
        history: the epochs that were trained; the last one's number is the state's.
        best_weights: the state dict after the best of them, the average's where there is one.
        average: of the network's weights; None where nothing has been averaged.
    """

    model: Weights
    optimizer: dict[str, Any]
    history: History
    best_weights: Weights
    average: AverageState | None = None


def copy_weights(weights: Weights) -> Weights:
    """A copy of a state dict that shares no memory with it.

    It keeps the versions of the layers, which a state dict has beside its tensors: some networks ask for them when they
    are loaded.
    """
    copied = copy.copy(weights)
    for name, tensor in weights.items():
        copied[name] = tensor.detach().clone()
    return copied


def save_state(state: TrainingState, folder: Path) -> None:
    """Write a state; the one before is kept until this one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    best = folder / _best_name(state.history)
    if not best.is_file():
        save_atomically(state.best_weights, best)
    last = {"model": state.model, "optimizer": state.optimizer, "history": state.history.rows()}
    if state.average is not None:
        last["average"] = vars(state.average)
    save_atomically(last, folder / "last.pt")
    _remove_best(folder, but=best.name)


def load_state(folder: Path) -> TrainingState | None:
    """The state in a folder, on the CPU, or None where there is none. A damaged one is reported and counts as none.

    What does not belong to it is removed, and so is a damaged one, so that `save_state` does not take it for its own.
    """
    state = _read(folder) if (folder / "last.pt").is_file() else None
    if state is None:
        (folder / "last.pt").unlink(missing_ok=True)
    _remove_best(folder, but="" if state is None else _best_name(state.history))
    return state


def _read(folder: Path) -> TrainingState | None:
    try:
        last = _load(folder / "last.pt")
        history = History.from_rows(last["history"])
        best = _load(folder / _best_name(history))
        average = AverageState(**last["average"]) if "average" in last else None
        return TrainingState(last["model"], last["optimizer"], history, best, average)
    except _DAMAGES as error:
        say(f"{folder}: this state is damaged ({' '.join(str(error).split())[:80]}), so its epochs are trained again")
        return None


def _load(file: Path) -> Any:
    """What torch.save wrote, after all checksums in the file were checked, which torch.load does not do."""
    with zipfile.ZipFile(file) as parts:
        damaged = parts.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{file.name}: {damaged} does not have its checksum")
    return torch.load(file, map_location="cpu", weights_only=True)


def save_atomically(value: Any, file: Path) -> None:
    """torch.save beside the file's place, then rename."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        torch.save(value, part)
        part.replace(file)
    except RuntimeError as error:  # torch's own words for a disk that takes no more
        raise OSError(errno.ENOSPC, f"cannot be written ({os.strerror(errno.ENOSPC)}?)", os.fspath(file)) from error
    finally:
        part.unlink(missing_ok=True)


def _remove_best(folder: Path, *, but: str) -> None:
    for best in folder.glob("best-*.pt"):
        if best.name != but:
            best.unlink(missing_ok=True)


def _best_name(history: History) -> str:
    return f"best-{history.best.epoch}.pt"
