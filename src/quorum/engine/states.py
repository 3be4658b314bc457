"""Where states of trainings are: those that a training begins from, and those that it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quorum.engine.state import TrainingState, load_state, save_state
from quorum.shared_folder import SharedFolder

SAVING_SHARE = 0.05  # of the time, at most, goes into writing states
FIRST_COST = 0.05  # seconds that writing one is taken to need, until one has been written
WORTH_ASKING = 1.0  # seconds of writing, from which it is asked whether they pay; below, the same is kept each time


@dataclass(frozen=True)
class States:
    """Folders of the states that a training begins from and leaves behind.

    Attributes:
        own: its state while it is not finished; what is there already is gone on from.
        start: a state of another training that shares its first epochs, to begin from if `own` is not further.
        keep: where to keep the state after some epochs, for others to begin from. The state after an epoch is that of
            the last one trained, where `patience` has ended the training before.
    """

    own: SharedFolder | None = None
    start: SharedFolder | None = None
    keep: Mapping[int, SharedFolder] = field(default_factory=dict)

    def load(self) -> TrainingState | None:
        """The furthest state to begin from, or None for the first epoch."""
        found: list[TrainingState] = []
        for folder in (self.own, self.start):
            if folder is not None:
                with folder.reading() as path:
                    if path is not None and (state := load_state(path)) is not None:
                        found.append(state)
        return max(found, key=lambda state: len(state.history.records), default=None)


NO_STATES = States()


class Saver:
    """Writes states: the training's own after every epoch, or after every few where writing would cost more than its
    share; those for others to begin from unless that costs more than they are spared."""

    def __init__(self, folder: SharedFolder | None) -> None:
        self.folder = folder
        self.cost = FIRST_COST
        self.saved = time.perf_counter()

    def save(self, state: Callable[[], TrainingState], *, at_once: bool) -> None:
        started = time.perf_counter()
        if self.folder is None or (not at_once and started - self.saved < self.cost / SAVING_SHARE):
            return
        self._write(self.folder, state)
        self.saved = time.perf_counter()

    def keep(self, folder: SharedFolder, state: Callable[[], TrainingState], spared: float) -> bool:
        """Write a state for others to begin from, who are spared some seconds of training each. False where writing
        one takes longer than that."""
        if self.cost > max(WORTH_ASKING, spared):
            return False
        self._write(folder, state)
        return True

    def _write(self, place: SharedFolder, state: Callable[[], TrainingState]) -> None:
        started = time.perf_counter()
        with place.writing() as folder:
            save_state(state(), folder)
        self.cost = time.perf_counter() - started
