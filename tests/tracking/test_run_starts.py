"""Which of two runs is the newer does not depend on the clocks of the machines that began them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from quorum.tracking import schema
from quorum.tracking.queries import search
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum

DAY = 86_400.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets this machine's clock so many seconds ahead, or behind."""
    now = time.time
    yield lambda seconds: monkeypatch.setattr(time, "time", lambda: now() + seconds)


def begun(store: TrackingStore, *names: str) -> None:
    for name in names:
        with begin_run(store, name, Record(kind="train", key="k")):
            pass


def newest_first(store: TrackingStore) -> list[str]:
    return [run.name for run in search(store, Record, key="k")]


@pytest.mark.parametrize("days", [2, -2])
def test_a_run_is_newer_than_those_that_its_command_found(quorum: Quorum, clock: Any, days: float) -> None:
    begun(connect(), "first", "second")
    clock(days * DAY)
    begun(connect(), "third", "fourth")
    clock(0)
    begun(connect(), "fifth", "sixth")
    assert newest_first(connect()) == ["sixth", "fifth", "fourth", "third", "second", "first"]


def test_a_clock_that_is_set_back_meanwhile(quorum: Quorum, clock: Any) -> None:
    store = connect()
    begun(store, "first")
    clock(-DAY)
    begun(store, "second")
    assert newest_first(store) == ["second", "first"]


def test_no_run_ends_before_it_begins(quorum: Quorum, clock: Any) -> None:
    clock(2 * DAY)
    begun(connect(), "ahead")
    clock(0)
    begun(connect(), "right")
    runs = MlflowClient().search_runs([connect().experiment_of("")])
    assert len(runs) == 2
    for run in runs:
        assert run.info.end_time >= run.info.start_time


@pytest.mark.parametrize(("ahead", "taken"), [(0.0, True), (30.0, True), (2 * DAY, False)])
def test_a_run_that_mlflow_made_is_taken_unless_it_would_count_as_an_older_one(
    quorum: Quorum, clock: Any, ahead: float, taken: bool
) -> None:
    clock(ahead)
    begun(connect(), "first")
    clock(0)
    made = MlflowClient().create_run(connect().experiment_of(""), run_name="second").info.run_id
    begun(connect(made), "second")
    [second] = [run for run in search(connect(), Record, key="k") if run.name == "second"]
    assert (second.run_id == made) is taken
    if not taken:
        assert newest_first(connect()) == ["second", "first"]
        assert MlflowClient().get_run(made).data.tags[schema.CONTINUES] == second.run_id


def test_runs_that_are_begun_at_once_have_starts_of_their_own(quorum: Quorum) -> None:
    store = connect()
    with ThreadPoolExecutor(4) as threads:
        starts = list(threads.map(lambda _: store.starts.next(), range(200)))
    assert len(set(starts)) == 200


def test_one_query_in_a_process_finds_the_newest_run(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked, ask = connect(), [], MlflowClient.search_runs

    def counted(client: MlflowClient, *args: Any, **words: Any) -> Any:
        asked.append(args)
        return ask(client, *args, **words)

    monkeypatch.setattr(MlflowClient, "search_runs", counted)
    begun(store, "first", "second", "third")
    assert len(asked) == 1
