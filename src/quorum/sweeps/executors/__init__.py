"""Doing jobs: one after the other in this process, or side by side in worker processes.

A job is done by a function that yields events. What it yields is the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

J = TypeVar("J")
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

Work = Callable[[J, Callable[[int], None]], Iterator[E]]
"""Does a job and calls its second argument with the number of images of each batch. May raise DivergedError."""

OnBatch = Callable[[J, int], None]
"""Called with a job and the number of images of one or more of its batches."""


@dataclass(frozen=True)
class Failed:
    """The event of a job that failed.

    Attributes:
        reason: why, on one line.
        diverged: whether its loss was no longer finite, as it would be again.
    """

    reason: str
    diverged: bool


class Executor(Protocol[J, E_co]):
    """Does jobs."""

    def run(self, next_job: Callable[[], J | None], on_batch: OnBatch[J]) -> Iterator[tuple[J, E_co | Failed]]:
        """Do all jobs.

        Args:
            next_job: asked whenever there is room for a job. None: there is none that can be begun now, and if none is
                running either, none at all.
            on_batch: called as batches are done.

        Yields:
            Events of the jobs, each with its job, in the order in which they happen.
        """

    def close(self) -> None:
        """End what is running."""
