"""What a worker of a Ray cluster does: job after job, saying what happens."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal

from ray import cloudpickle

from quorum.sweeps.executors import E, J, Work
from quorum.sweeps.executors.serving import Kind, do


@dataclass(frozen=True)
class Message:
    """What a worker says.

    Attributes:
        order: which order it is about; 0 for none.
        number: it has among what is said of the order, from 1.
        kind, content: see `quorum.sweeps.executors.serving.Kind`; `ready` once the worker is set up.
    """

    order: int
    number: int
    kind: Kind | Literal["ready"]
    content: Any


class Worker(Generic[J, E]):
    """An actor. It works in a thread of its own, while another one waits to hand on what it says."""

    def __init__(self, work: Work[J, E], set_up: Callable[[], object]) -> None:
        self._orders: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._serve, args=(work, set_up), daemon=True).start()

    def begin(self, order: int, pickled: bytes) -> None:
        """Have a job done. It comes as bytes: what a job needs and this node lacks is fetched as it is unpickled, and
        what goes wrong then has to be said like anything else."""
        self._orders.put((order, pickled))

    def listen(self) -> list[Message]:
        """Wait until there is something to say, and say it all."""
        said = [self._said.get()]
        while not self._said.empty():
            said.append(self._said.get())
        return said

    def _serve(self, work: Work[J, E], set_up: Callable[[], object]) -> None:
        """Set up, in the thread that works: torch's number of threads is that of a thread. Then job after job."""
        try:
            set_up()
        except Exception as error:  # noqa: BLE001 (it is raised again in the process that is served)
            self._said.put(Message(0, 1, "raised", error))
            return
        self._said.put(Message(0, 1, "ready", None))
        while True:
            order, pickled = self._orders.get()
            speaker = _Speaker(order, self._said)
            try:
                job: J = cloudpickle.loads(pickled)
            except Exception as error:  # noqa: BLE001 (it is raised again in the process that is served)
                speaker.say("raised", error)
            else:
                do(job, work, speaker.say)


@dataclass
class _Speaker:
    """Numbers what is said about an order."""

    order: int
    said: queue.SimpleQueue[Message]
    number: int = 0

    def say(self, kind: Kind, content: Any) -> None:
        self.number += 1
        self.said.put(Message(self.order, self.number, kind, content))
