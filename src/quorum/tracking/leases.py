"""Leases: which process is at work on what, kept in the store, where every machine that uses it sees them.

A process keeps one tag, on the experiment that its runs go to, and renews it while it lives. The tag says which pieces
of work it claims, which it holds, and which runs it writes. To hold a piece of work a process writes that it claims it,
then reads what the others say, and holds it if nobody else claims or holds it; otherwise it withdraws. Of two that
claim the same, whoever reads last sees the other, so never both hold it. Nobody's clock matters: another machine's
process is dead when its tag does not change for `EXPIRES` seconds by the clock of the one that watches; a process of
this machine is simply looked up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from quorum.console import say
from quorum.errors import QuorumError
from quorum.processes import Process
from quorum.tracking import schema
from quorum.tracking.experiments import all_experiments
from quorum.tracking.patience import Patiently, at_once

PERIOD = 5.0  # seconds between two renewals
EXPIRES = 30.0  # seconds without one after which a process counts as dead
SUSPECT = 120.0  # seconds since the last one, by the clocks of two machines, after which it is worth watching
TURN = 120.0  # seconds to wait for one's turn, where processes do something one after the other
_POLL = 1.0  # seconds between two looks at a process that is watched


@dataclass(frozen=True)
class Presence:
    """What the tag of a process says.

    Attributes:
        process: the process.
        since: when it began, ISO 8601 with the zone.
        renewed: when the tag was last written, seconds since 1970 by that machine's clock.
        beat: number of the renewal.
        work: what it claims or holds: by key, what it is in words and whether it holds it.
        runs: ids of the runs that it writes, without those below them.
        tag, experiment_id: where this is kept.
    """

    process: Process
    since: str
    renewed: float
    beat: int
    work: dict[str, tuple[str, bool]]
    runs: tuple[str, ...]
    tag: str
    experiment_id: str

    def data(self) -> str:
        """It as the tag keeps it."""
        kept = dataclasses.asdict(self)
        return json.dumps({name: value for name, value in kept.items() if name not in ("tag", "experiment_id")})

    @classmethod
    def of(cls, tag: str, experiment_id: str, text: str) -> Presence:
        """What a tag says."""
        kept: dict[str, Any] = json.loads(text)
        work = {key: (what, held) for key, (what, held) in kept.pop("work").items()}
        process, runs = Process(**kept.pop("process")), tuple(kept.pop("runs"))
        return cls(process=process, work=work, runs=runs, tag=tag, experiment_id=experiment_id, **kept)


class LeaseLostError(QuorumError):
    """This process did not renew its lease for so long that another one took over."""


@dataclass
class Leases:
    """What this process is at work on, in one store.

    Attributes:
        client: MLflow's client for the store.
        experiment_id: the experiment that its runs go to.
        period, expires: seconds between two renewals, and without one until a process counts as dead.
        process: this one.
        patiently: makes the calls that write what this process does.
        on_dead: called with what a process has left that is dead; it has to end in `forget`, which it is by default.
    """

    client: MlflowClient
    experiment_id: str
    period: float = PERIOD
    expires: float = EXPIRES
    process: Process = field(default_factory=Process.current)
    patiently: Patiently = at_once
    on_dead: Callable[[Presence], object] = field(init=False)
    _presence: Presence | None = None
    _lost: bool = False
    _changing: threading.RLock = field(default_factory=threading.RLock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.on_dead = self.forget

    @contextlib.contextmanager
    def hold(self, key: str, what: str, patience: float = 0.0) -> Iterator[None]:
        """Hold a piece of work, so that it is done by one process, whatever machine and folder it is in.

        Args:
            key: of the work.
            what: it is, in words.
            patience: seconds to wait for another process that holds it.

        Raises:
            QuorumError: where another process holds it still.
        """
        deadline = time.monotonic() + patience
        while holders := self._claim(key, what):
            holding = [holder for holder in holders if holder.work[key][1]]
            if holding and time.monotonic() >= deadline:
                raise QuorumError(f"this {what} is being worked on by {holding[0].process}, since {holding[0].since}")
            # Two that claim the same withdraw for one another, and try again at different times.
            time.sleep(_POLL if holding else random.uniform(0.05, 0.5))
        try:
            yield
        finally:
            with contextlib.suppress(MlflowException):  # of a store that is gone; then the lease expires
                self._withdraw(key)

    def is_held(self, key: str) -> bool:
        """Whether another process claims or holds a piece of work."""
        return bool(self._others_at(key))

    def cover(self, run_id: str, *, wait: bool = True) -> None:
        """Say that this process writes a run, so that others end it if this one dies.

        Args:
            run_id: of the run.
            wait: for a store that is away.
        """
        if self._presence is None or run_id not in self._presence.runs:
            self._write(lambda mine: {"runs": (*mine.runs, run_id)}, wait=wait)

    def uncover(self, *run_ids: str) -> None:
        """Say that this process has ended runs."""
        presence = self._presence
        if presence is not None and not set(run_ids).isdisjoint(presence.runs):
            self._write(lambda mine: {"runs": tuple(run for run in mine.runs if run not in run_ids)})

    def check(self) -> None:
        """Raise LeaseLostError where another process has taken over: nothing more may be written."""
        if self._lost:
            raise LeaseLostError(
                f"this process could not renew its lease for {self.expires:g} seconds, and another one has taken over"
            )

    def renew(self) -> None:
        """Write the tag anew; where another process has removed it, this one's work is lost. A thread does this."""
        with self._changing:
            if self._presence is None:
                return
            tags = self.client.get_experiment(self._presence.experiment_id).tags
            self._lost = self._presence.tag not in tags
            if not self._lost:
                self._put(self._presence)

    def dead(self) -> list[Presence]:
        """Processes that ended without a word. One of another machine that was not heard of for two minutes is watched
        for two renewals."""
        others = self._others()
        dead = [other for other in others if other.process.alive is False]
        silent = [other for other in others if other.process.alive is None and time.time() - other.renewed > SUSPECT]
        return dead + (self._unchanged(silent, 2 * self.period) if silent else [])

    def forget(self, presence: Presence) -> None:
        """Remove what a dead process said."""
        with contextlib.suppress(MlflowException):  # somebody else has
            self.client.delete_experiment_tag(presence.experiment_id, presence.tag)

    def close(self) -> None:
        """This process is done. Where it was interrupted while it ended its runs, its tag stays and says which: once it
        is dead, the next command ends them."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=self.period)  # it may wait for a store that does not answer
        with self._changing:
            if self._presence is not None and not self._lost:
                if self._presence.runs:
                    with contextlib.suppress(MlflowException):
                        self._write(lambda _mine: {"work": {}}, wait=False)
                else:
                    self.forget(self._presence)
            self._presence = None

    def _claim(self, key: str, what: str) -> list[Presence]:
        """Hold a piece of work, unless others claim or hold it: then they are returned, and it is not claimed."""
        try:
            self._write(lambda mine: {"work": {**mine.work, key: (what, False)}})
            others = self._others_at(key)
            while others and self._follow_dead(others, what):
                others = self._others_at(key)
            if not others:
                self._write(lambda mine: {"work": {**mine.work, key: (what, True)}})
                return []
        except BaseException:
            self._withdraw(key)
            raise
        self._withdraw(key)
        return others

    def _withdraw(self, key: str) -> None:
        def without(mine: Presence) -> dict[str, Any]:
            return {"work": {name: work for name, work in mine.work.items() if name != key}}

        self._write(without, wait=False)

    def _others(self) -> list[Presence]:
        mine = self._presence.tag if self._presence else ""
        return [one for one in presences(self.client) if one.tag != mine]

    def _others_at(self, key: str) -> list[Presence]:
        return [other for other in self._others() if key in other.work]

    def _follow_dead(self, others: list[Presence], what: str) -> bool:
        """End what dead ones of these processes have left. Whether there were any. Those of another machine are watched
        for that."""
        dead = [other for other in others if other.process.alive is False]
        unknown = [other for other in others if other.process.alive is None]
        if unknown:
            say(f"{unknown[0].process} was at work on this {what}; waiting up to {self.expires:g} s for a sign of it")
            dead += self._unchanged(unknown, self.expires)
        for other in dead:
            self.on_dead(other)
        return bool(dead)

    def _unchanged(self, watched: list[Presence], seconds: float) -> list[Presence]:
        """Those whose tag stays as it is for so long. Ends as soon as none does."""
        deadline = time.monotonic() + seconds
        silent = watched
        while silent and time.monotonic() < deadline:
            time.sleep(min(_POLL, self.period))
            now = {(one.tag, one.beat) for one in self._others()}
            silent = [one for one in silent if (one.tag, one.beat) in now]
        return silent

    def _write(self, change: Callable[[Presence], dict[str, Any]], *, wait: bool = True) -> None:
        """Write the tag with something changed, waiting for a store that is away. The first time, begin to renew it."""
        with self._changing:
            self.check()
            mine = self._presence or self._first()
            # First: what could not be written is written with the next renewal.
            self._presence = dataclasses.replace(mine, **change(mine))
            (self.patiently if wait else at_once)(lambda: self._put(self._presence))
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
                self._thread.start()

    def _put(self, presence: Presence | None) -> None:
        assert presence is not None
        written = dataclasses.replace(presence, beat=presence.beat + 1, renewed=time.time())
        self._presence = written
        self.client.set_experiment_tag(written.experiment_id, written.tag, written.data())

    def _first(self) -> Presence:
        since, tag = time.strftime("%Y-%m-%dT%H:%M:%S%z"), f"{schema.PROCESS}{uuid.uuid4().hex[:12]}"
        return Presence(self.process, since, 0.0, 0, {}, (), tag, self.experiment_id)

    def _renew(self) -> None:
        """Write the tag anew now and then. Where the store does not answer, nobody can read the tag either."""
        while not self._stopped.wait(self.period) and not self._lost:
            with contextlib.suppress(Exception):
                self.renew()


def presences(client: MlflowClient) -> list[Presence]:
    """What all processes say that use a store, but for those in deleted experiments, which can no longer be changed."""
    found = []
    for experiment in all_experiments(client):
        for tag, text in experiment.tags.items():
            if tag.startswith(schema.PROCESS):
                with contextlib.suppress(ValueError, TypeError, KeyError):  # of a version that keeps it otherwise
                    found.append(Presence.of(tag, experiment.experiment_id, text))
    return found
