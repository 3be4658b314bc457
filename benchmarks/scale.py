"""What the number of runs costs: `promote` and `report` in a large tracking store, and the memory of a long sweep.

A small sweep is run, and its rows are multiplied in the store with other ids, settings, fingerprints and results, until
there are as many finished runs as are asked for. Every tenth copy saw other data. Commands run in this process, so that
what is measured is the store and not the start of Python. A ratio of 1 is time in proportion to the runs.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import hashlib
import math
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from common import QUORUM, Case, Measured, Target, alternate, at_least, main, timed
from quorum.tracking import schema
from sandbox import STUDY, inside, quorum, sandbox, use_store, write_study

TRIALS = 3  # as many as are promoted
IDS = (schema.PARENT, schema.SWEEP, schema.SEED_RUNS, schema.BEST_RUN)  # tags whose values hold ids of runs
NAMES = (schema.FINGERPRINT, schema.TRIAL_FINGERPRINT)  # tags whose values are hashes of settings
COMMANDS = {
    "promote": ["promote", "-P", "dataset=digits"],
    "report": ["report", "-P", "dataset=digits", "-P", f"study={STUDY}"],
}


def multiply(file: Path, runs: int) -> int:
    """Add copies of all runs of a store until there are at least so many.

    Returns:
        The number of finished runs.
    """
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        old = [run for (run,) in database.execute("SELECT run_uuid FROM runs WHERE status = 'FINISHED'")]
        copies = math.ceil(runs / len(old)) - 1
        ids = {(run, copy): uuid.uuid4().hex for copy in range(1, copies + 1) for run in old}
        database.execute("CREATE TEMP TABLE copied (old, copy, new, PRIMARY KEY (old, copy))")
        database.executemany("INSERT INTO copied VALUES (?, ?, ?)", ((*key, new) for key, new in ids.items()))

        def relabel(text: str, copy: int) -> str:
            for run in old:
                text = text.replace(run, ids[run, copy])
            return text

        database.create_function("relabel", 2, relabel, deterministic=True)
        database.create_function("vary", 2, _vary, deterministic=True)
        database.create_function("score", 2, _score, deterministic=True)
        _copy(database, "runs", "run_uuid", {"start_time": "start_time - 60000 * copy"})
        _copy(database, "params", "run_uuid", {"value": "iif(key = 'lr', value + 1e-7 * copy, value)"})
        for table in ("metrics", "latest_metrics"):
            _copy(database, table, "run_uuid", {"value": "iif(key LIKE '%accuracy%', score(value, copy), value)"})
        _copy(database, "tags", "run_uuid", {"value": _tag_value()})
        _copy(database, "inputs", "destination_id", {"input_uuid": "hex(randomblob(16))"})
    return len(old) * (copies + 1)


def _copy(database: sqlite3.Connection, table: str, run: str, changes: dict[str, str]) -> None:
    """Insert a table's rows of all old runs once for each copy, with some columns as SQL expressions."""
    columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
    values = [{run: "new", **changes}.get(column, column) for column in columns]
    database.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} JOIN copied ON {run} = old"
    )


def _tag_value() -> str:
    """SQL for the value of a copied run's tag."""
    ids, names = (", ".join(f"'{name}'" for name in group) for group in (IDS, NAMES))
    return (
        f"CASE WHEN key IN ({ids}) THEN relabel(value, copy) WHEN key IN ({names}) THEN vary(value, copy) "
        f"WHEN key = '{schema.DATA_DIGEST}' AND copy % 10 = 0 THEN vary(value, 0) ELSE value END"
    )


def _vary(text: str, copy: int) -> str:
    return hashlib.sha256(f"{text}{copy}".encode()).hexdigest()[:16]


def _score(value: float, copy: int) -> float:
    """A lower accuracy; where other data was seen, one that may be higher: those have to be passed over."""
    share = (copy * 0.6180339887) % 1.0
    return min(1.0, value * (0.5 + share if copy % 10 == 0 else 0.5 + 0.49 * share))


@dataclass(frozen=True)
class Stores:
    """Two stores in one folder.

    Attributes:
        folder: that they and the artifacts are in. It is deleted with this object.
        runs: finished runs of each, by its name.
        uris: tracking URI of each.
    """

    folder: tempfile.TemporaryDirectory[str]
    runs: dict[str, int]
    uris: dict[str, str]


@functools.cache
def stores(large: int, small: int, seeds: int, kind: str) -> Stores:
    """A large store and a small one of a kind, made from one sweep."""
    folder = tempfile.TemporaryDirectory(prefix="quorum-benchmark-")
    runs, uris = {}, {}
    with inside(Path(folder.name)) as path:
        study = write_study(path, TRIALS, epochs=3, batch_size=256)
        quorum([*study, "-P", f"seeds={','.join(map(str, range(seeds)))}"])
        for name, size in (("large", large), ("small", small)):
            file = Path(shutil.copy("mlflow.db", f"{name}.db"))
            runs[name] = multiply(file, size)
            uris[name] = _uri(kind, file.absolute(), path / name)
    return Stores(folder, runs, uris)


def _uri(kind: str, file: Path, folder: Path) -> str:
    """Tracking URI of a SQLite store, or of a copy of it on a server that runs until this process ends."""
    if kind == "sqlite":
        return f"sqlite:///{file}"
    from served import serve

    servers = contextlib.ExitStack()
    atexit.register(servers.close)
    return serve(file, folder, servers, http=kind == "http")


def grows(command: str, options: argparse.Namespace) -> Measured:
    """Time of a command in a large store / in a small one, by the ratio of their runs."""
    made = stores(options.large, options.small, options.seeds, options.store)
    large, small = made.runs["large"], made.runs["small"]
    with inside(Path(made.folder.name)):

        def side(name: str) -> None:
            use_store(made.uris[name])
            quorum(COMMANDS[command])

        comparison = alternate(timed(lambda: side("large")), timed(lambda: side("small")), options.rounds)
    added = statistics.median(comparison.first) - statistics.median(comparison.second)
    each = 1000 * added / (large - small) if large > small else None
    details = {"store": options.store, "runs": made.runs, "milliseconds_of_a_further_run": each}
    return Measured.of(comparison, scale=small / large, **details)


def peak_memory(trials: int) -> int:
    """Peak resident memory of a process that runs a sweep of so many trials of one epoch, in KiB on Linux."""
    with sandbox() as folder:
        command = [*QUORUM, *write_study(folder, trials), "-P", "seeds=0", "-P", "threads=1"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_maxrss


def memory(options: argparse.Namespace) -> Measured:
    """Peak memory of a sweep of many trials / of one of few. One round: it hardly varies, and a sweep takes a while."""
    comparison = alternate(lambda: peak_memory(options.many), lambda: peak_memory(options.few), rounds=1, warm_up=False)
    [many], [few] = comparison.first, comparison.second
    each = (many - few) / (options.many - options.few) if options.many > options.few else None
    trials = {"many": options.many, "few": options.few}
    return Measured.of(comparison, unit="kib", trials=trials, kib_of_a_further_trial=each)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--large", type=at_least(1), default=10_000, help="runs of the large store (default: 10000)")
    parser.add_argument("--small", type=at_least(1), default=1_000, help="runs of the small store (default: 1000)")
    parser.add_argument(
        "--store",
        choices=("sqlite", "postgresql", "http"),
        default="sqlite",
        help="a SQLite file, PostgreSQL, or MLflow's server on PostgreSQL (default: sqlite)",
    )
    parser.add_argument("--seeds", type=at_least(1), default=3, help="of the sweep that is multiplied (default: 3)")
    parser.add_argument("--many", type=at_least(1), default=64, help="trials of the long sweep (default: 64)")
    parser.add_argument("--few", type=at_least(1), default=8, help="trials of the short sweep (default: 8)")


CASES = [
    Case(
        "promote",
        "time of quorum promote in the large store / in the small one, divided by how many times the runs there are",
        lambda options: grows("promote", options),
        Target(at_most=1.0),
    ),
    Case("report", "the same of quorum report", lambda options: grows("report", options), Target(at_most=1.0)),
    Case("memory", "peak memory of a sweep of many trials / of few", memory, Target(at_most=1.05)),
]

if __name__ == "__main__":
    sys.exit(main("scale", __doc__, CASES, add_options))
