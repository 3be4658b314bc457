"""`make random-kills`: sweeps are killed at random moments, by random signals, and given again until they end.

What is left must be what an undisturbed sweep leaves. Draws are seeded; when a signal arrives is up to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mlflow.tracking import MlflowClient

from tests.conftest import write_digits
from tests.faults.killing import begin, contents, differences, in_child, start_sweep, sweep_finished

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FRESH = 0.2  # share of the kills that fall within the first command of a folder that has no store yet
MOST = 3  # kills of one sweep
EPOCH = "epoch "  # how a line of progress can be told


@dataclass(frozen=True)
class Kill:
    """One sweep's misfortune.

    Attributes:
        number: of the draw.
        jobs: of the sweep.
        victim: `driver`, or `worker` for a process that it has started.
        fresh: whether the folder has no store yet, and the kill falls anywhere in the command; otherwise it falls
            after the first epoch that the command has trained.
        signals: one after the other, each for the command given once more.
        moments: when they are sent, as shares of an undisturbed sweep's time.
    """

    number: int
    jobs: int
    victim: str
    fresh: bool
    signals: tuple[int, ...]
    moments: tuple[float, ...]


def draw(number: int) -> Kill:
    """The kill of a number, always the same."""
    random_ = random.Random(number)
    jobs = random_.choice((1, 2))
    victim = "worker" if jobs == 2 and random_.random() < 0.3 else "driver"
    count = 1 if victim == "worker" else random_.randint(1, MOST)
    signals = (signal.SIGKILL,) if victim == "worker" else tuple(random_.choice(SIGNALS) for _ in range(count))
    fresh = random_.random() < FRESH
    return Kill(number, jobs, victim, fresh, signals, tuple(random_.random() for _ in signals))


@contextlib.contextmanager
def _all_gone_at_the_end() -> Iterator[list[int]]:
    """A list of process groups. A server that forks workers may just be starting when its sweep is killed."""
    groups: list[int] = []
    yield groups
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def strike(kill: Kill, folder: Path, images: Path, seconds: float, store: Path, groups: list[int]) -> list[str]:
    """Sweep in a new folder, kill as drawn, and give the command again.

    Args:
        kill: the draw.
        folder: to work in.
        images: that are trained on.
        seconds: of an undisturbed sweep.
        store: an empty one.
        groups: takes the process groups that were begun.

    Returns:
        What is otherwise than it should be, except for what the sweep has left.
    """
    begin(folder, store)
    if kill.fresh:
        (folder / "mlflow.db").unlink()
    for sent, moment in zip(kill.signals, kill.moments, strict=True):
        child = start_sweep(folder, images, kill.jobs)
        groups.append(child)
        told = folder / "told.txt"
        before = told.stat().st_size if told.exists() else 0
        deadline = time.monotonic() + 120
        while not kill.fresh and time.monotonic() < deadline:
            if told.exists() and EPOCH in told.read_text()[before:]:
                break
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break  # it had nothing left to train
            time.sleep(0.01)
        time.sleep(moment * seconds)
        _send(child, sent, kill.victim)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0 or sweep_finished(folder):
            return []  # it came too late
        if status not in (-sent, 130, 143):
            return [f"after signal {sent} it ended with status {status}: {told.read_text()[-300:]}"]
    child = start_sweep(folder, images, kill.jobs)
    groups.append(child)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return [f"given again, it ended with status {status}: {(folder / 'told.txt').read_text()[-300:]}"] if status else []


def _send(child: int, sent: int, victim: str) -> None:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        # Workers are forked by a server process, so they are the grandchildren.
        workers = [worker for server in _children(child) for worker in _children(server)]
        if victim == "driver":
            os.kill(child, sent)
        elif workers:
            os.kill(workers[-1], sent)


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def run(numbers: Sequence[int], minutes: float) -> int:
    """Do the kills of these numbers, as many as are begun within some minutes. Returns how many left something else
    than an undisturbed sweep."""
    deadline, done = time.monotonic() + 60 * minutes, 0
    torch.set_num_threads(1)  # this process is forked
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="random-kills-") as temporary:
        folder = Path(temporary)
        write_digits(folder / "pictures")
        store = folder / "empty.db"
        in_child(lambda: MlflowClient(f"sqlite:///{store}").search_experiments())
        expected, seconds = {}, {}
        for kind in itertools.product((1, 2), (False, True)):
            jobs, fresh = kind
            place = begin(folder / f"undisturbed-{jobs}-{fresh}", store)
            if fresh:
                (place / "mlflow.db").unlink()
            started = time.monotonic()
            assert not os.waitpid(start_sweep(place, folder / "pictures", jobs), 0)[1], (place / "told.txt").read_text()
            expected[kind], seconds[kind] = contents(place), time.monotonic() - started
        for kill in map(draw, numbers):
            if time.monotonic() > deadline:
                break
            done += 1
            place = folder / str(kill.number)
            with _all_gone_at_the_end() as groups:
                problems = strike(kill, place, folder / "pictures", seconds[kill.jobs, kill.fresh], store, groups)
            problems += [] if problems else differences(contents(place), expected[kill.jobs, kill.fresh])
            counted += Counter(signal.Signals(sent).name for sent in kill.signals)
            counted += Counter([f"{kill.victim}, jobs={kill.jobs}", *(["in the first command"] if kill.fresh else [])])
            if problems:
                wrong.append(f"{kill}: {'; '.join(problems)}")
                print(wrong[-1], flush=True)
            shutil.rmtree(place)
    print(f"{done} sweeps, {dict(counted)}; {len(wrong)} with another result than an undisturbed sweep's")
    return len(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--count", type=int, default=500, help="how many sweeps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further sweep after so many")
    options = parser.parse_args()
    sys.exit(run(range(options.first, options.first + options.count), options.minutes) > 0)
