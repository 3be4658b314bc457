"""A piece of work is done by one process, and passes on when that process dies."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from quorum.errors import QuorumError
from quorum.processes import Process
from quorum.tracking import run_log, schema
from quorum.tracking.leases import LeaseLostError, Leases, presences
from quorum.tracking.records import Record
from quorum.tracking.recovery import end_runs_of_dead_processes
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import close, connect
from tests.tracking.test_patience import away

PERIOD = 0.1
ELSEWHERE = dataclasses.replace(Process.current(), host="elsewhere", machine="another")
AT_WORK = """
import os, signal, sys
from quorum.tracking.records import Record
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
store = connect()
with store.leases.hold("key", "sweep"), begin_run(store, "a sweep", Record(kind="sweep")) as sweep:
    with begin_run(store, "a trial", Record(kind="trial"), parent=sweep.run_id) as trial:
        with begin_run(store, "a seed", Record(kind="seed"), parent=trial.run_id):
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store, which is this process's."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


Make = Callable[..., Leases]


@pytest.fixture
def leases(uri: str) -> Iterator[Make]:
    """Makes the leases of one process after another."""
    with contextlib.ExitStack() as stack:

        def make(process: Process | None = None, expires: float = 1.0) -> Leases:
            made = Leases(MlflowClient(uri), "0", PERIOD, expires, process or Process.current())
            stack.callback(made.close)
            return made

        yield make


def test_one_holds_and_the_other_says_who_and_since_when(leases: Make) -> None:
    one, other = leases(), leases()
    with one.hold("key", "sweep"):
        assert other.is_held("key")
        with pytest.raises(QuorumError, match=r"this sweep is being worked on by process \d+ of .+, since 20\d\d-"):
            other.hold("key", "sweep").__enter__()
        with other.hold("another key", "sweep"):
            pass
    with other.hold("key", "sweep"):
        assert one.is_held("key")


@pytest.mark.slow
def test_it_is_waited_for_where_there_is_patience(leases: Make) -> None:
    one, other = leases(), leases()
    order: list[str] = []

    def promote() -> None:
        with other.hold("key", "promotion", patience=30):
            order.append("other")

    with one.hold("key", "promotion"):
        waiting = threading.Thread(target=promote)
        waiting.start()
        time.sleep(3 * PERIOD)
        order.append("one")
    waiting.join()
    assert order == ["one", "other"]


@pytest.mark.slow
def test_of_several_at_the_same_time_one_holds(leases: Make) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(mine: Leases) -> None:
        with mine.hold("key", "promotion", patience=60):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work, args=(leases(),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_living_process_of_another_machine_is_seen_by_its_renewals(
    leases: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    far, near = leases(ELSEWHERE), leases(expires=30)
    with far.hold("key", "sweep"), pytest.raises(QuorumError, match="on elsewhere, since"):
        near.hold("key", "sweep").__enter__()
    assert "on elsewhere was at work on this sweep; waiting up to 30 s for a sign of it" in capfd.readouterr().err


@pytest.mark.slow
def test_a_dead_process_of_another_machine_is_followed_whatever_its_clock(leases: Make) -> None:
    far, near = leases(ELSEWHERE), leases()
    held = far.hold("key", "sweep")
    held.__enter__()
    far._stopped.set()  # its machine lost its power
    with near.hold("key", "sweep"):
        assert [one.process for one in presences(near.client)] == [near.process]


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not done() and time.monotonic() < deadline:
        time.sleep(PERIOD)


def test_who_was_followed_writes_no_more(uri: str) -> None:
    store = connect()
    store.leases.period = PERIOD
    with pytest.raises(LeaseLostError), begin_run(store, "a run", Record(kind="train")) as log:
        (mine,) = presences(store.client)
        store.leases.forget(mine)  # as another process does
        wait_until(lambda: store.leases._lost)
        log.metrics({"lr": 0.1})
    assert MlflowClient(uri).get_run(log.run_id).data.metrics == {}
    assert presences(store.client) == []


@pytest.mark.slow
def test_runs_of_a_dead_process_are_killed_by_the_next_command(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", AT_WORK], check=False)
    assert done.returncode == -signal.SIGKILL
    client = MlflowClient(uri)
    assert {run.info.status for run in client.search_runs(["0"])} == {"RUNNING"}
    store = connect()
    end_runs_of_dead_processes(store)
    runs = {run.info.run_name: run for run in client.search_runs(["0"])}
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(runs, "KILLED")
    assert runs["a seed"].data.tags[schema.REASON].endswith("ended without a word; the same command goes on from here")
    assert runs["a sweep"].info.run_id in capfd.readouterr().err
    close(store)
    assert presences(client) == []


def test_nothing_is_left_in_the_store_of_a_process_that_ended(uri: str) -> None:
    store = connect()
    with begin_run(store, "a run", Record(kind="train")) as log:
        assert [one.runs for one in presences(store.client)] == [(log.run_id,)]
    close(store)
    assert MlflowClient(uri).get_experiment("0").tags == {}


def test_a_process_is_alive_or_not_or_of_another_machine() -> None:
    me = Process.current()
    assert me.alive is True
    assert dataclasses.replace(me, started="1").alive is False
    assert ELSEWHERE.alive is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    its = dataclasses.replace(me, pid=child.pid, started=process_start(child.pid))
    assert its.alive is True
    child.kill()
    child.wait()
    assert its.alive is False


def process_start(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.slow
def test_patience_lasts_as_long_as_it_says(leases: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the one that waits looks."""
    monkeypatch.setattr("quorum.tracking.leases._POLL", 0.001)
    one, other = leases(), leases()
    done: list[float] = []

    def promote() -> None:
        with other.hold("key", "promotion", patience=60):
            done.append(time.monotonic())

    with one.hold("key", "promotion"):
        waiting = threading.Thread(target=promote)
        waiting.start()
        time.sleep(3)
    waiting.join()
    assert done


@pytest.mark.slow
def test_whoever_follows_a_dead_machine_ends_its_runs(uri: str) -> None:
    """Also those of other commands than the one that is followed."""
    gone = connect()
    gone.leases.process, gone.leases.period = ELSEWHERE, PERIOD
    held = gone.leases.hold("key", "promotion")
    held.__enter__()
    log = begin_run(gone, "a promotion", Record(kind="promote"))
    gone.leases._stopped.set()  # its machine lost its power
    store = connect()
    store.leases.period, store.leases.expires = PERIOD, 1.0
    end_runs_of_dead_processes(store)
    with store.leases.hold("key", "promotion"):
        assert MlflowClient(uri).get_run(log.run_id).info.status == "KILLED"
    close(store)


def next_command() -> None:
    """What any command does first."""
    store = connect()
    end_runs_of_dead_processes(store)
    close(store)


@pytest.mark.parametrize("gone", ["deleted", "never there"])
def test_a_run_of_a_dead_process_that_was_deleted_stops_nobody(uri: str, gone: str) -> None:
    client = MlflowClient(uri)
    dead = Leases(client, "0", process=dataclasses.replace(Process.current(), started="1"))
    run = client.create_run("0")
    dead.cover(run.info.run_id if gone == "deleted" else "0" * 32)
    dead._stopped.set()
    client.delete_run(run.info.run_id)
    next_command()
    assert presences(client) == []


def test_a_lease_is_written_when_the_store_is_back(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = connect()
    monkeypatch.setattr("quorum.tracking.patience._FIRST_WAIT", 0.01)
    with away("set_experiment_tag", 2, done=False), begin_run(store, "a run", Record(kind="train")):
        assert len(presences(MlflowClient(uri))) == 1
    close(store)


DEAD = dataclasses.replace(Process.current(), started="1")


@contextlib.contextmanager
def interrupted_closing() -> Iterator[None]:
    """A second Ctrl-C comes when the first run is ended that did not finish."""
    end, ended = run_log.end_run, list[str]()

    def interrupted(log: RunLog, status: str, reason: str) -> None:
        ended.append(log.run_id)
        if len(ended) == 1:
            raise KeyboardInterrupt
        end(log, status, reason)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_log, "end_run", interrupted)
        yield


def test_a_run_that_could_not_be_ended_is_ended_by_the_next_command(uri: str) -> None:
    gone, client = connect(), MlflowClient(uri)
    gone.leases.process = DEAD
    with (
        interrupted_closing(),
        pytest.raises(KeyboardInterrupt),
        gone.leases.hold("key", "training"),
        begin_run(gone, "a training", Record(kind="train")) as log,
    ):
        raise KeyboardInterrupt
    close(gone)
    assert client.get_run(log.run_id).info.status == "RUNNING"
    assert [(one.runs, one.work) for one in presences(client)] == [((log.run_id,), {})]
    next_command()
    assert client.get_run(log.run_id).info.status == "KILLED"
    assert presences(client) == []


def test_a_run_below_another_that_could_not_be_ended_is_too(uri: str) -> None:
    gone, client = connect(), MlflowClient(uri)
    gone.leases.process = DEAD
    with (
        interrupted_closing(),
        pytest.raises(KeyboardInterrupt),
        begin_run(gone, "a sweep", Record(kind="sweep")) as sweep,
        begin_run(gone, "a trial", Record(kind="trial"), parent=sweep.run_id) as trial,
    ):
        raise KeyboardInterrupt
    close(gone)
    assert [client.get_run(log.run_id).info.status for log in (sweep, trial)] == ["KILLED", "RUNNING"]
    next_command()
    assert client.get_run(trial.run_id).info.status == "KILLED"


@pytest.mark.parametrize("left", ["sweep", "trial"])
def test_what_another_process_goes_on_with_is_not_ended(uri: str, left: str) -> None:
    gone, store, client = connect(), connect(), MlflowClient(uri)
    gone.leases.process = DEAD
    sweep = begin_run(store, "a sweep", Record(kind="sweep"))
    trial = begin_run(store, "a trial", Record(kind="trial"), parent=sweep.run_id)
    gone.leases.cover({"sweep": sweep, "trial": trial}[left].run_id)
    close(gone)
    end_runs_of_dead_processes(store)
    assert [client.get_run(log.run_id).info.status for log in (sweep, trial)] == ["RUNNING", "RUNNING"]
    assert [one.process.alive for one in presences(client)] == [True]
    close(store)


def test_a_note_of_ones_own_stays_in_a_run_of_a_dead_process(uri: str) -> None:
    gone, client = connect(own_note="mine"), MlflowClient(uri)
    gone.leases.process = DEAD
    log = begin_run(gone, "a training", Record(kind="train"))
    close(gone)
    next_command()
    tags = client.get_run(log.run_id).data.tags
    assert tags[schema.NOTE] == f"mine\n\n{tags[schema.REASON]}"


def test_the_half_of_a_model_that_a_dead_process_has_logged_is_removed(uri: str) -> None:
    gone, client = connect(), MlflowClient(uri)
    gone.leases.process = DEAD
    log = begin_run(gone, "a vote", Record(kind="ensemble"))
    whole, half = (client.create_logged_model(log.record.experiment_id, source_run_id=log.run_id) for _ in range(2))
    client.finalize_logged_model(whole.model_id, "READY")
    close(gone)
    next_command()
    [left] = client.search_logged_models([log.record.experiment_id])
    assert left.model_id == whole.model_id != half.model_id


def test_the_run_of_mlflow_run_ends_with_the_one_it_points_at_since_mlflow_run_may_be_gone(uri: str) -> None:
    client = MlflowClient(uri)
    adopted, experiment = client.create_run("0").info.run_id, client.create_experiment("another")
    store = dataclasses.replace(connect(adopted), experiment_id=experiment)
    with begin_run(store, "a run", Record(kind="train")) as log:
        assert [set(one.runs) for one in presences(client)] == [{adopted, log.run_id}]
    close(store)
    assert presences(client) == []
    assert client.get_run(adopted).info.status == "FINISHED"
