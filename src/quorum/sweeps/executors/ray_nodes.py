"""A Ray cluster: connecting to it or starting one, and which of its nodes may do jobs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from quorum.console import say
from quorum.errors import QuorumError, cut

R = TypeVar("R")

CONNECT_SECONDS = 10.0  # ray.init itself would try for two minutes
ANSWER_SECONDS = 120.0  # importing torch on a busy node takes tens of seconds
LOOK_SECONDS = 1.0  # at least so long between two looks at the list of nodes
AVOID_SECONDS = 30.0  # Ray itself takes some ten seconds to find that a node is gone
OBJECT_STORE_BYTES = 2**27  # of a local cluster: jobs and events are small, everything else is in files


@dataclass(frozen=True)
class Demand:
    """What a job holds on its node.

    Attributes:
        cpus: number of Ray's CPUs.
        gpus: number of GPUs: 0, a whole number, or 1/k.
    """

    cpus: int
    gpus: float = 0.0

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many such jobs a node with some resources holds at once."""
        by_cpu = int(resources.get("CPU", 0.0) // self.cpus)
        if not self.gpus:
            return by_cpu
        gpus = int(resources.get("GPU", 0.0))
        return min(by_cpu, gpus * round(1 / self.gpus) if self.gpus < 1 else gpus // int(self.gpus))

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU{'s' * (self.cpus > 1)}"
        return f"{cpus} and {self.gpus:g} GPU{'s' * (self.gpus > 1)}" if self.gpus else cpus


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster. A process that is connected already stays so, whatever the address.

    Args:
        address: `auto` or host:port of a cluster; None: one of this machine, for as long as the context lasts.

    Raises:
        QuorumError: where there is none at the address, or none can be started.
    """
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _check_reachable(address)
    try:
        _connect(address)
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(
                "local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
        else:
            ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        what = f"ray_address: {address} cannot be used" if address else "Ray cannot be started on this machine"
        raise QuorumError(f"{what}: {_first_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process without a word
    # Reports of nodes and workers that died, with pages of their logs, are printed whatever log_to_driver says; this is
    # the only switch for them. RayCluster reports what matters of it.
    ray._private.worker._worker_logs_enabled = False


# The command does not look for a token, as ray.init does: where this user has one, clusters ask for it.
_HEALTH_CHECK = """
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.scripts.scripts import main
maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
main()
"""


def _check_reachable(address: str) -> None:
    command = [sys.executable, "-c", _HEALTH_CHECK, "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False)
        healthy, told = done.returncode == 0, done.stderr
    except subprocess.TimeoutExpired:
        healthy, told = False, ""
    if "AuthenticationError" in told:
        raise QuorumError(
            f"ray_address: the Ray cluster at {address} asks for another token than this user's; copy its "
            "~/.ray/auth_token, or set RAY_AUTH_MODE on all nodes"
        )
    if not healthy:
        where = "no Ray cluster is found from here" if address == "auto" else f"no Ray cluster answers at {address}"
        raise QuorumError(f"ray_address: {where}; without ray_address= one of this machine is started")


def _first_line(error: BaseException) -> str:
    return cut(next(iter(str(error).strip().splitlines()), type(error).__name__), 160)


def has_gpus() -> bool:
    """Whether any node of the cluster has a GPU."""
    return any(entry["Alive"] and entry["Resources"].get("GPU", 0.0) >= 1 for entry in ray.nodes())


@dataclass
class Nodes(Generic[R]):
    """The nodes of the cluster that may do jobs. Each is asked first, those that come later when they come.

    Attributes:
        demand: what a job holds.
        ask: called on each node, in a process of its own; has to be picklable.
        check: called with a node's name and its answer, raises QuorumError where it may not be used.
    """

    demand: Demand
    ask: Callable[[], R]
    check: Callable[[str, R], None] = lambda _name, _answer: None
    _asked: dict[str, Any] = field(default_factory=dict)  # references to answers by node
    _good: set[str] = field(default_factory=set)
    _avoided: dict[str, float] = field(default_factory=dict)  # until when
    _listed: dict[str, dict[str, Any]] = field(default_factory=dict)  # those that are alive
    _looked: float = -LOOK_SECONDS

    def survey(self) -> dict[str, R]:
        """Ask all nodes that can hold a job, and wait for their answers.

        Returns:
            Answers by name of the node.

        Raises:
            QuorumError: where no node can hold a job, or one does not answer or may not be used.
        """
        self._look()
        able = [node for node, entry in self._listed.items() if self.demand.fits(entry["Resources"])]
        if not able:
            raise QuorumError(self._infeasible())
        for node in able:
            self._asked[node] = self._question(node)
        answers = {self.name(node): self._answer(node, ANSWER_SECONDS) for node in able}
        for name, answer in answers.items():
            self.check(name, answer)
        self._good |= set(able)
        return answers

    def rooms(self) -> dict[str, int]:
        """How many jobs each node that may be used now holds at once, by id."""
        self._look()
        return {
            node: self.demand.fits(entry["Resources"])
            for node, entry in self._listed.items()
            if node in self._good and self._avoided.get(node, 0.0) < time.monotonic()
        }

    def is_alive(self, node: str) -> bool:
        """Whether a node is there, as far as Ray knows."""
        self._look(at_once=True)
        return node in self._listed

    def avoid(self, node: str) -> None:
        """Have a node not used for a while."""
        self._avoided[node] = time.monotonic() + AVOID_SECONDS

    def name(self, node: str) -> str:
        """What a person knows a node by."""
        return f"{self._listed[node]['NodeManagerHostname']} ({node[:8]})" if node in self._listed else node[:8]

    def _look(self, at_once: bool = False) -> None:
        """Read the list of nodes, ask those that are new, and admit or refuse those that have answered."""
        if not at_once and time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._listed = {entry["NodeID"]: entry for entry in ray.nodes() if entry["Alive"]}
        self._looked = time.monotonic()
        if not self._asked:  # before the survey
            return
        for node, entry in self._listed.items():
            if node not in self._asked and self.demand.fits(entry["Resources"]):
                self._asked[node] = self._question(node)
        for node in self._asked.keys() & self._listed.keys() - self._good - self._avoided.keys():
            if ray.wait([self._asked[node]], timeout=0)[0]:
                self._admit(node)

    def _admit(self, node: str) -> None:
        try:
            self.check(self.name(node), self._answer(node, 0))
        except QuorumError as error:
            say(f"{error}; it is not used")
            self._avoided[node] = float("inf")
        else:
            self._good.add(node)

    def _question(self, node: str) -> Any:
        # It holds no CPU, so that it need not wait for other people's jobs; without its share it would see no GPU.
        task: Any = ray.remote(num_cpus=0, num_gpus=self.demand.gpus, max_retries=0)(_call)
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return task.options(scheduling_strategy=there).remote(self.ask)

    def _answer(self, node: str, seconds: float) -> R:
        try:
            answer: R = ray.get(self._asked[node], timeout=seconds)
        except RayTaskError as error:
            raise QuorumError(f"node {self.name(node)}: {_first_line(error.cause)}") from error
        except TimeoutError as error:
            raise QuorumError(f"node {self.name(node)}: gave no answer for {seconds:g} seconds") from error
        except RayError as error:
            raise QuorumError(f"node {self.name(node)}: {_first_line(error)}") from error
        return answer

    def _infeasible(self) -> str:
        largest: Mapping[str, float] = max(
            (entry["Resources"] for entry in self._listed.values()),
            key=lambda has: (has.get("GPU", 0.0) if self.demand.gpus else 0.0, has.get("CPU", 0.0)),
            default={},
        )
        has = f"{largest.get('CPU', 0.0):g} CPUs and {largest.get('GPU', 0.0):g} GPUs"
        return f"a training asks for {self.demand}, and the largest node of the Ray cluster has {has}"


def _call(ask: Callable[[], R]) -> R:
    return ask()
