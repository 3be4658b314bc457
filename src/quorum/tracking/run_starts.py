"""When runs begin, such that the newest is the one begun last, whatever the clocks of the machines say.

Runs are ordered by their start, the one time by which a store finds the newest of thousands at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mlflow.tracking import MlflowClient

SKEW = 60_000  # milliseconds by which two clocks may differ and both count as right


@dataclass
class RunStarts:
    """Starts of the runs that this process begins, each after that of every run that it found in the store.

    A start is the time, but at least a millisecond after the start before (the hybrid logical clock of Kulkarni and
    others, OPODIS 2014, without messages). So a wrong clock orders wrongly only what commands begin that run side by
    side. Where no clock was wrong, starts are times.

    Attributes:
        client: of the store.
        experiments: gives the ids of all its experiments.
    """

    client: MlflowClient
    experiments: Callable[[], list[str]]
    _last: int | None = None
    _taking: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> int:
        """The start of a run that begins now, in milliseconds since 1970."""
        with self._taking:
            self._last = max(self._newest() + 1, _now())
            return self._last

    def behind(self) -> bool:
        """Whether the clock of this machine is behind the start of the newest run, so that a run that something else
        began now does not count as the newest."""
        with self._taking:
            return self._newest() > _now() + SKEW

    def _newest(self) -> int:
        if self._last is None:
            found = self.client.search_runs(self.experiments(), max_results=1, order_by=["attributes.start_time DESC"])
            self._last = found[0].info.start_time if found else 0
        return self._last


def _now() -> int:
    return int(time.time() * 1000)
