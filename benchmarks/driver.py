"""What the one process of a sweep that talks to everybody can do in a second, whatever number of machines trains.

`epoch`: an epoch written to a run behind MLflow's server on PostgreSQL, and in a SQLite file. `lease`: the renewal of a
lease there, beside the five seconds between two of them. `event`: an event of a worker of Ray's, and one of a worker
process.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from mlflow.tracking import MlflowClient

from common import Case, Measured, Target, UnavailableError, alternate, at_least, main, timed
from quorum.engine.history import EpochRecord
from quorum.sweeps.executors import Executor
from quorum.sweeps.executors.pool import WorkerPool
from quorum.tracking.leases import PERIOD, Leases
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import close, connect
from sandbox import sandbox, use_store
from served import serve
from tracking import EPOCH_METRICS

EVENTS = 2_000


@contextlib.contextmanager
def served() -> Iterator[tuple[str, str]]:
    """URIs of a new SQLite store, and of a copy of it behind MLflow's server on PostgreSQL."""
    with sandbox() as folder, contextlib.ExitStack() as servers:
        file = folder / "mlflow.db"
        MlflowClient(f"sqlite:///{file}").search_experiments()
        yield f"sqlite:///{file}", serve(file, folder / "server", servers, http=True)


def epoch(options: argparse.Namespace) -> Measured:
    """Seconds of one epoch's call, without the waiting that keeps it to its share of a training's time."""
    with served() as (file, server):
        comparison = alternate(
            lambda: _epoch(server, options.calls), lambda: _epoch(file, options.calls), options.rounds
        )
    seconds = statistics.median(comparison.first)
    return Measured.of(comparison, epochs_a_second=1 / seconds, metrics=len(EPOCH_METRICS))


def _epoch(uri: str, calls: int) -> float:
    use_store(uri)
    store = connect()
    with begin_run(store, "benchmark", Record(kind="train")) as log:
        started = time.perf_counter()
        for number in range(1, calls + 1):
            log.epoch(EpochRecord(number, dict.fromkeys(EPOCH_METRICS, 0.5)))
            log.flush()
        seconds = (time.perf_counter() - started) / calls
    close(store)
    return seconds


def lease(options: argparse.Namespace) -> Measured:
    """Share of a period that the renewal takes, by MLflow's server on PostgreSQL."""
    with served() as (_, server):
        leases = Leases(MlflowClient(server), "0", period=3600)
        with leases.hold("benchmark", "benchmark"):
            taken = [timed(leases.renew)() for _ in range(options.calls)]
        leases.close()
    shares = [seconds / PERIOD for seconds in taken]
    return Measured(
        statistics.median(shares), min(shares), max(shares), {"renewals_a_second": 1 / statistics.median(taken)}
    )


def events(job: int, _on_batch: Callable[[int], None]) -> Iterator[int]:
    """As many events as a job says, without any work between them."""
    yield from range(job)


def nothing() -> None:
    """What the workers need."""


def event(options: argparse.Namespace) -> Measured:
    """Seconds of one event, from a worker of a local Ray and from a worker process of this one."""
    try:
        from quorum.sweeps.executors.ray_cluster import RayCluster
        from quorum.sweeps.executors.ray_nodes import Demand, Nodes, connected
    except ImportError as error:
        raise UnavailableError("Ray is not installed") from error
    pool: Executor[int, int] = WorkerPool(events, 1, nothing, ("driver",))
    with connected(None), contextlib.closing(pool):
        nodes: Nodes[None] = Nodes(Demand(1), nothing, lambda _name, _answer: None)
        nodes.survey()
        cluster: Executor[int, int] = RayCluster(events, 1, nothing, nodes)
        with contextlib.closing(cluster):
            comparison = alternate(lambda: _event(cluster), lambda: _event(pool), options.rounds)
    return Measured.of(comparison, events_a_second=1 / statistics.median(comparison.first))


def _event(executor: Executor[int, int]) -> float:
    jobs, begun = [1, EVENTS], 0.0  # the first waits until the worker is there

    def next_job() -> int | None:
        nonlocal begun
        begun = time.perf_counter() if jobs else begun
        return jobs.pop(0) if jobs else None

    for _ in executor.run(next_job, lambda _job, _images: None):
        pass
    return (time.perf_counter() - begun) / EVENTS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--calls", type=at_least(1), default=100, help="in a row (default: 100)")


CASES = [
    Case("epoch", "an epoch's call to MLflow's server on PostgreSQL / to a SQLite file", epoch),
    Case("lease", "the renewal of a lease, by that server / the time between two", lease, Target(at_most=0.01)),
    Case("event", "an event of a worker of Ray's / of a worker process", event),
]

if __name__ == "__main__":
    sys.exit(main("driver", __doc__, CASES, add_options))
