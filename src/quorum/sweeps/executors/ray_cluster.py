"""Jobs side by side on the nodes of a Ray cluster.

Ray starts processes where there is room and carries messages; what runs next is decided here, and so is what becomes of
a job whose worker died. Ray's own retries are off: they lose results, and know nothing of states to go on from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

import ray
from ray.exceptions import ActorUnavailableError, ActorUnschedulableError, NodeDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from quorum.console import say
from quorum.errors import QuorumError, cut
from quorum.sweeps.executors import E, Failed, J, OnBatch, Work
from quorum.sweeps.executors.ray_nodes import Nodes
from quorum.sweeps.executors.ray_worker import Message, Worker
from quorum.sweeps.executors.serving import ATTEMPTS

MOVES = 20  # begins of a job on other nodes: that nodes go is nothing that the job has done
STARTS = 10  # workers in a row that die before they are ready
# A process that lives for a whole sweep keeps what its libraries leak, and the fragments of a GPU's memory. A new one
# costs the seconds of importing torch, which is little beside this many trainings.
TRAININGS = 50
WAIT_SECONDS = 1.0  # for messages, before it is looked for nodes again
PATIENCE = 600.0  # seconds without any node that can hold a job


@dataclass(eq=False)
class _Turn(Generic[J]):
    """A job that is not done, and what has become of its workers."""

    job: J
    deaths: int = 0
    moves: int = 0


@dataclass(eq=False)
class _Slot(Generic[J]):
    """A worker, as the driver sees it.

    Attributes:
        actor: its handle.
        node: where it is.
        heard_next: reference to what it will say next.
        ready: whether it is set up.
        turn: the job that it does.
        order: number of the order to do it.
        heard: number of the last message about that.
        ended: whether the job's result is known.
        trainings: jobs that it has done.
    """

    actor: Any
    node: str
    heard_next: Any
    ready: bool = False
    turn: _Turn[J] | None = None
    order: int = 0
    heard: int = 0
    ended: bool = False
    trainings: int = 0


@dataclass
class RayCluster(Generic[J, E]):
    """Jobs side by side on the cluster that this process is connected to.

    The death of a worker takes no other with it: its job is begun once more, and fails if that worker dies too. Where
    the whole node is gone the job is begun elsewhere, many times if need be. An error that a job raises ends all, as it
    does in one process.

    Attributes:
        work: does a job; has to be picklable, as jobs and events have to be.
        count: the largest number of workers; fewer are started where the nodes lack the room.
        set_up: called first in each of them.
        nodes: those that may be used.
        is_result: whether an event is a job's last one: then the job is done, whatever becomes of its worker.
        reads: the folder that a job begins from, if any. A worker of the node that wrote it is preferred.
        writes: folders that a job will have written for others.
    """

    work: Work[J, E]
    count: int
    set_up: Callable[[], object]
    nodes: Nodes[Any]
    is_result: Callable[[E], bool] = lambda _event: False
    reads: Callable[[J], Hashable | None] = lambda _job: None
    writes: Callable[[J], Collection[Hashable]] = lambda _job: ()
    _slots: list[_Slot[J]] = field(default_factory=list)
    _waiting: list[_Turn[J]] = field(default_factory=list)  # for a worker that is ready
    _written: dict[Hashable, str] = field(default_factory=dict)  # nodes by folder
    _orders: int = 0
    _failed_starts: int = 0
    _room: int = field(init=False)  # at the last look
    _room_since: float = 0.0

    def __post_init__(self) -> None:
        self._actor_class: Any = ray.remote(Worker)
        self._room = self.count

    def run(self, next_job: Callable[[], J | None], on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        """See Executor."""
        while True:
            rooms = self.nodes.rooms()
            room = self._look(sum(rooms.values()))
            self._take(next_job, room)
            if not self._waiting and not any(slot.turn for slot in self._slots):
                return
            self._hand_out()
            self._start_workers(rooms, room)
            yield from self._hear(on_batch)

    def close(self) -> None:
        """End all workers at once, whatever they are doing."""
        for slot in list(self._slots):
            self._drop(slot)
        self._waiting.clear()

    def _look(self, room: int) -> int:
        """How many jobs can be done at once. What has changed is said."""
        if (room := min(room, self.count)) != self._room:
            self._room, self._room_since = room, time.monotonic()
            if room:
                say(f"the Ray cluster has room for {room} of {self.count} trainings side by side")
            else:
                say("no node of the Ray cluster can hold a training now; waiting for one")
        elif not room and time.monotonic() - self._room_since > PATIENCE:
            minutes = PATIENCE / 60
            raise QuorumError(
                f"no node of the Ray cluster has come for {minutes:g} minutes; the same command goes on from here"
            )
        return room

    def _take(self, next_job: Callable[[], J | None], room: int) -> None:
        while len(self._waiting) + sum(slot.turn is not None for slot in self._slots) < room:
            if (job := next_job()) is None:
                return
            self._waiting.append(_Turn(job))

    def _hand_out(self) -> None:
        """Give jobs that wait to workers that are idle, those of the node that a job begins from first."""
        while self._waiting and (idle := [slot for slot in self._slots if slot.ready and slot.turn is None]):
            turn = self._waiting.pop(0)
            origin = self._written.get(self.reads(turn.job))
            slot = next((slot for slot in idle if slot.node == origin), idle[0])
            self._orders += 1
            slot.turn, slot.order, slot.heard, slot.ended = turn, self._orders, 0, False
            self._written.update(dict.fromkeys(self.writes(turn.job), slot.node))
            slot.actor.begin.remote(slot.order, ray.cloudpickle.dumps(turn.job))

    def _start_workers(self, rooms: dict[str, int], room: int) -> None:
        """Start a worker for each job that waits, as far as there is room, on the nodes that have most of it left."""
        for slot in self._slots:
            if slot.node in rooms:
                rooms[slot.node] -= 1
        starting = sum(not slot.ready for slot in self._slots)
        for _ in range(min(len(self._waiting) - starting, room - len(self._slots))):
            node = max(rooms, key=lambda node: rooms[node])
            if rooms[node] <= 0:
                return
            rooms[node] -= 1
            self._slots.append(self._start(node))

    def _start(self, node: str) -> _Slot[J]:
        demand = self.nodes.demand
        options = self._actor_class.options(
            num_cpus=demand.cpus,
            num_gpus=demand.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,  # one call listens, always; the other begins a job
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        actor = options.remote(self.work, self.set_up)
        return _Slot(actor, node, actor.listen.remote())

    def _hear(self, on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        """What one worker says next, or its death."""
        if not self._slots:
            time.sleep(WAIT_SECONDS)
            return
        slots = {slot.heard_next: slot for slot in self._slots}
        for reference in ray.wait(list(slots), timeout=WAIT_SECONDS)[0]:
            slot = slots[reference]
            try:
                messages = ray.get(reference)
            except RayTaskError:  # a defect, such as an event that cannot be pickled
                raise
            except RayError as error:
                yield from self._handle_lost_worker(slot, error)
                continue
            slot.heard_next = slot.actor.listen.remote()
            for message in messages:
                yield from self._receive(slot, message, on_batch)

    def _receive(self, slot: _Slot[J], message: Message, on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        kind, content = message.kind, message.content
        if kind == "raised":
            raise content
        if kind == "ready":
            slot.ready, self._failed_starts = True, 0
            return
        if slot.turn is None or message.order != slot.order or message.number <= slot.heard:
            return
        slot.heard, job = message.number, slot.turn.job
        if kind == "batch":
            on_batch(job, content)
        elif kind == "event":
            slot.ended = self.is_result(content)
            yield job, content
        else:
            slot.turn, slot.trainings = None, slot.trainings + 1
            if slot.trainings >= TRAININGS:
                self._drop(slot)
            if kind == "diverged":
                yield job, Failed(content, diverged=True)

    def _handle_lost_worker(self, slot: _Slot[J], error: RayError) -> Iterator[tuple[J, Failed]]:
        name, turn = self.nodes.name(slot.node), slot.turn
        # A worker that cannot be reached may be alive, on a node that is not, which Ray finds out seconds later.
        away = isinstance(error, ActorUnavailableError | ActorUnschedulableError | NodeDiedError)
        away = away or not self.nodes.is_alive(slot.node)
        self._drop(slot)
        if away:
            self.nodes.avoid(slot.node)
        elif not slot.ready:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                reason = cut(" ".join(str(error).split()), 300)
                raise QuorumError(f"{STARTS} workers in a row died while they started, the last on {name}: {reason}")
        if turn is None or slot.ended:
            return
        turn.moves, turn.deaths = turn.moves + away, turn.deaths + (not away)
        if turn.deaths >= ATTEMPTS:
            yield turn.job, Failed(f"its worker process died {ATTEMPTS} times, the last on node {name}", False)
        elif turn.moves >= MOVES:
            yield turn.job, Failed(f"{MOVES} nodes that it ran on were lost, the last of them {name}", False)
        else:
            self._waiting.insert(0, turn)

    def _drop(self, slot: _Slot[J]) -> None:
        """End a worker. One that is only out of reach ends when it hears of it."""
        self._slots.remove(slot)
        ray.kill(slot.actor, no_restart=True)
