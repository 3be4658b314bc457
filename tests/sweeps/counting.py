"""Jobs that count, for tests of executors."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quorum.errors import DivergedError
from quorum.sweeps.executors import Executor, Failed


@dataclass(frozen=True)
class Sum:
    """Count up to a number; a file says how often that has been begun."""

    to: int
    folder: Path
    dies: int = 0  # attempts that end in the death of the process
    raises: bool = False


def count(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    file = job.folder / str(job.to)
    attempt = len(file.read_text()) + 1 if file.is_file() else 1
    file.write_text("x" * attempt)
    for number in range(1, job.to + 1):
        if attempt <= job.dies and number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.raises:
            raise RuntimeError("a defect")
        if job.to == 13:
            raise DivergedError("no luck")
        on_batch(1)
        yield number


def nothing() -> None:
    pass


def ignore(_job: Sum, _images: int) -> None:
    pass


def events(executor: Executor[Sum, int], jobs: list[Sum]) -> dict[int, list[int | Failed]]:
    left = list(jobs)
    answers: dict[int, list[int | Failed]] = {job.to: [] for job in jobs}
    for job, answer in executor.run(lambda: left.pop(0) if left else None, ignore):
        answers[job.to].append(answer)
    return answers


def die_at_the_end(job: Sum, on_batch: Callable[[int], None]) -> Iterator[int]:
    yield from count(job, on_batch)
    os.kill(os.getpid(), signal.SIGKILL)
