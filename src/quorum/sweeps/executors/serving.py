"""What a worker does with a job and says of it, whatever kind of worker it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from quorum.errors import DivergedError
from quorum.sweeps.executors import E, J, Work

BATCH_SECONDS = 0.2  # at least so long between two messages of a worker about batches
ATTEMPTS = 2  # at a job whose worker dies

Kind = Literal["batch", "event", "done", "diverged", "raised"]
"""What a worker says: a number of images, an event, that the job has ended, why it diverged, an error that it raised.
All but the first two are the last that is said of a job."""

Send = Callable[[Kind, Any], object]


def do(job: J, work: Work[J, E], send: Send) -> None:
    """Do a job.

    Args:
        job: what is to be done.
        work: does it.
        send: told what happens.
    """
    try:
        for event in work(job, _BatchCounter(send).add):
            send("event", event)
        send("done", None)
    except DivergedError as error:
        send("diverged", str(error))
    except Exception as error:  # noqa: BLE001 (it is raised again in the process that is served)
        send("raised", error)


class _BatchCounter:
    """Sends the number of images now and then, not for each batch: an epoch may have thousands in a second."""

    def __init__(self, send: Send) -> None:
        self.send, self.images, self.sent = send, 0, time.monotonic()

    def add(self, images: int) -> None:
        self.images += images
        if time.monotonic() - self.sent >= BATCH_SECONDS:
            self.send("batch", self.images)
            self.images, self.sent = 0, time.monotonic()
