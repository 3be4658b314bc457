"""One job after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

from quorum.errors import DivergedError
from quorum.sweeps.executors import E, Failed, J, OnBatch, Work


@dataclass
class InProcess(Generic[J, E]):
    """See Executor.

    Attributes:
        work: does a job.
    """

    work: Work[J, E]

    def run(self, next_job: Callable[[], J | None], on_batch: OnBatch[J]) -> Iterator[tuple[J, E | Failed]]:
        """See Executor."""
        while (job := next_job()) is not None:
            try:
                yield from self._do(job, on_batch)
            except DivergedError as error:
                yield job, Failed(str(error), diverged=True)

    def _do(self, job: J, on_batch: OnBatch[J]) -> Iterator[tuple[J, E]]:
        for event in self.work(job, lambda images: on_batch(job, images)):
            yield job, event

    def close(self) -> None:
        """Nothing is left running."""
