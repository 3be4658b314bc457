"""Waiting for a tracking store that is away for a while: its server or database restarts, or somebody locks it."""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, ErrorCode
from mlflow.tracking import MlflowClient
from requests.exceptions import HTTPError, RequestException
from sqlalchemy.exc import InterfaceError, OperationalError

from quorum.console import say

LIMIT = 900.0  # seconds that a store may be away
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between two tries
# What a server says when waiting does not help.
_PERMANENT = (
    "authentication",
    "does not exist",
    "permission denied",
    "no pg_hba.conf entry",
    "no space left",
    "disk full",
)
_LATER = (408, 429)  # of a client's mistakes by HTTP: it was too slow, or asked too often
_LOCKED = ("database is locked", "database table is locked")  # what passes of all that SQLite says
# Calls that may be made twice: what they write is the same the second time. `log_batch` counts, because MLflow drops a
# metric that has the same value, step and time.
REPEATABLE = (
    "get_run",
    "search_runs",
    "get_metric_history",
    "log_batch",
    "log_inputs",
    "log_outputs",
    "set_tag",
    "set_terminated",
    "update_run",
    "get_experiment",
    "set_experiment_tag",
    "search_experiments",
    "get_logged_model",
    "search_logged_models",
    "log_model_artifacts",
    "finalize_logged_model",
    "get_registered_model",
    "search_registered_models",
    "update_registered_model",
    "set_registered_model_tag",
    "set_registered_model_alias",
    "get_model_version",
    "get_model_version_by_alias",
    "search_model_versions",
    "set_model_version_tag",
)
A = TypeVar("A")


class Patiently(Protocol):
    """Makes a call, and makes it again where what it is for is away for a while."""

    def __call__(self, call: Callable[[], A], again: Callable[[], A] | None = None) -> A:
        """The answer of `call`; after a first try of which it is not known whether it was done, that of `again`."""


def at_once(call: Callable[[], A], again: Callable[[], A] | None = None) -> A:
    """Patience that is none."""
    return call()


class PatientClient(MlflowClient):  # type: ignore[misc]  # MLflow has no types
    """MLflow's client, which tries a call again while the store is away, if it may be made twice.

    Attributes:
        limit: seconds that the store may be away; 0: not at all.
    """

    def __init__(self, uri: str, limit: float = LIMIT) -> None:
        super().__init__(uri)
        self.limit = limit

    def patiently(self, call: Callable[[], A], again: Callable[[], A] | None = None) -> A:
        """The answer of a call, made again while the store is away.

        Args:
            call: makes it.
            again: makes it after a first try of which it is not known whether it was done; by default as the first.

        Raises:
            Exception: what the last try raised.
        """
        started, wait = time.monotonic(), _FIRST_WAIT
        while True:
            try:
                answer = call()
            except Exception as error:
                reason = passing(error)
                if not reason or time.monotonic() - started >= self.limit:
                    raise
                if wait == _FIRST_WAIT:
                    minutes = f"{self.limit / 60:g} minutes"
                    say(f"the tracking store does not answer ({reason}); it is asked again for {minutes}")
                time.sleep(wait * random.uniform(0.8, 1.2))
                wait, call = min(2 * wait, _LONGEST_WAIT), again or call
            else:
                if wait > _FIRST_WAIT:
                    say(f"the tracking store answers again, after {time.monotonic() - started:.0f} s")
                return answer

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Make calls once, whether the store is away or not."""
        limit, self.limit = self.limit, 0.0
        try:
            yield
        finally:
            self.limit = limit

    def create_run(self, experiment_id: str, start_time: int | None = None, *args: Any, **kwargs: Any) -> Run:
        """As MLflow's. A run whose making was not heard of is found by its start and its tags."""
        start = start_time or int(time.time() * 1000)
        create = functools.partial(super().create_run, experiment_id, start, *args, **kwargs)

        def again() -> Run:
            tags: Mapping[str, str] = kwargs.get("tags") or {}
            for run in super(PatientClient, self).search_runs([experiment_id], f"attributes.start_time = {start}"):
                if run.info.run_name == kwargs.get("run_name") and tags.items() <= run.data.tags.items():
                    return run
            return create()

        return self.patiently(create, again)


def _patient(name: str) -> Callable[..., Any]:
    @functools.wraps(getattr(MlflowClient, name))
    def patient(client: PatientClient, *args: Any, **kwargs: Any) -> Any:
        call = getattr(super(PatientClient, client), name)
        return client.patiently(lambda: call(*args, **kwargs))

    return patient


for _name in REPEATABLE:
    setattr(PatientClient, _name, _patient(_name))


def passing(error: BaseException) -> str:
    """Why a store cannot be reached now, if that may pass, else ""."""
    reason = lost(error)
    if any(isinstance(getattr(one, "orig", one), sqlite3.Error) for one in _causes(error)):
        return reason if any(words in reason for words in _LOCKED) else ""
    return "" if any(words in reason.lower() for words in _PERMANENT) else reason


def lost(error: BaseException) -> str:
    """Why a store cannot be reached, if an error comes of that, else ""."""
    if refused(error):
        return ""
    for found in _causes(error):
        if isinstance(found, OperationalError | InterfaceError | sqlite3.OperationalError | RequestException):
            return " ".join(str(getattr(found, "orig", found)).split())[:160]
    if not isinstance(error, MlflowException):
        return ""
    text = " ".join(str(error).split())
    away = error.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE) or "failed with exception" in text
    return text[:160] if away or "failed with timeout" in text else ""


def refused(error: BaseException) -> str:
    """Why a store that answers will not take or give a file, such as one that is too large, else ""."""
    for found in _causes(error):
        if isinstance(found, RequestException):
            status = getattr(found.response, "status_code", 500) if isinstance(found, HTTPError) else 500
            return " ".join(str(found).split())[:160] if status < 500 and status not in _LATER else ""
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it comes of."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
