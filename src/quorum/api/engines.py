"""What does the trainings of a command: this process, worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from quorum import tuning
from quorum.api.computing import device_of
from quorum.api.options import JobOptions
from quorum.console import verbosity
from quorum.engine.device import Machine, set_up
from quorum.engine.training import Progress
from quorum.errors import ConfigError
from quorum.plugins import loaded_plugins
from quorum.sweeps import node_report
from quorum.sweeps.executors import Executor
from quorum.sweeps.executors.in_process import InProcess
from quorum.sweeps.executors.pool import WorkerPool
from quorum.sweeps.node_report import NodeReport
from quorum.sweeps.worker import WORK, set_up_worker, train_and_free
from quorum.training.job import Job, Trained, train

if TYPE_CHECKING:
    from quorum.sweeps.executors.ray_nodes import Demand, Nodes

JobOptionsT = TypeVar("JobOptionsT", bound=JobOptions)


@dataclass(frozen=True)
class Engine:
    """What does trainings.

    Attributes:
        machine: that they are computed on.
        make_executor: makes what does them.
        elsewhere: whether that may be other machines than this one.
    """

    machine: Machine
    make_executor: Callable[[], Executor[Job, Progress | Trained]]
    elsewhere: bool = False


@contextlib.contextmanager
def engine_of(options: JobOptions) -> Iterator[Engine]:
    """The engine that the options name, for as long as the context lasts.

    Raises:
        QuorumError: where a device, Ray or its cluster is not there, or the nodes do not fit one another.
    """
    if options.engine == "ray":
        with _ray_engine(options) as engine:
            yield engine
    else:
        machine = Machine.here(device_of(options), worker_threads(options))
        yield Engine(machine, functools.partial(executor_of, options))


def placed(options: JobOptionsT) -> JobOptionsT:
    """The options with `work_dir` as other machines know it, an absolute path, where those train."""
    return options.model_copy(update={"work_dir": options.work_dir.absolute()}) if options.engine == "ray" else options


def executor_of(options: JobOptions) -> Executor[Job, Progress | Trained]:
    """What does trainings on this machine: this process, or as many workers as there are jobs."""
    if options.jobs == 1:
        return InProcess(train)
    return WorkerPool(train, options.jobs, _set_up(options), WORK, is_trained)


def is_trained(event: Progress | Trained) -> bool:
    """Whether an event of a training is its result."""
    return isinstance(event, Trained)


def worker_threads(options: JobOptions) -> int:
    """Threads of torch in the processes that train; 0 for as many as this one has, which then trains itself."""
    if options.threads:
        return options.threads
    if options.engine == "ray":
        return 1  # not by the cores of this machine, which may be another one than trains
    return 0 if options.jobs == 1 else max(1, (os.cpu_count() or 1) // options.jobs)


def _set_up(options: JobOptions) -> Callable[[], None]:
    return functools.partial(set_up_worker, worker_threads(options), tuning.used(), loaded_plugins(), verbosity())


@contextlib.contextmanager
def _ray_engine(options: JobOptions) -> Iterator[Engine]:
    """A Ray cluster whose nodes have been asked whether they fit one another."""
    try:
        from quorum.sweeps.executors.ray_cluster import RayCluster
        from quorum.sweeps.executors.ray_nodes import connected
    except ImportError as error:
        raise ConfigError("engine=ray needs the package ray: pip install 'quorum[ray]'") from error
    set_up(options.threads)
    work_dir = options.work_dir.absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    with connected(options.ray_address), tempfile.NamedTemporaryFile(dir=work_dir, prefix="seen-by-nodes-") as marker:
        # Without a storage, states, pixels and results travel through work_dir.
        nodes, machine = _survey(options, Path(marker.name), shared=options.storage is None)
        make_executor = functools.partial(
            RayCluster,
            train_and_free,
            options.jobs,
            _set_up(options),
            nodes,
            is_trained,
            lambda job: job.states.start,
            lambda job: job.states.keep.values(),
        )
        yield Engine(machine, make_executor, elsewhere=True)


def _survey(options: JobOptions, marker: Path, *, shared: bool) -> tuple[Nodes[NodeReport], Machine]:
    """The nodes that may train, and the machine that they are together."""
    from quorum.sweeps.executors.ray_nodes import Nodes

    demand, threads = _demand(options), worker_threads(options)
    device = "cuda" if demand.gpus else "cpu"
    ask = functools.partial(node_report.report_node, device, threads, tuning.used(), loaded_plugins(), marker)

    def check(name: str, report: NodeReport) -> None:
        node_report.check_node(name, report, shared=shared)

    nodes = Nodes(demand, ask, check)
    reports = nodes.survey()
    machine = node_report.machine_of(reports, torch.device(device), mixed=options.mixed)

    def check_joined(name: str, report: NodeReport) -> None:
        check(name, report)
        node_report.check_joined(name, report, machine)

    nodes.check = check_joined
    return nodes, machine


def _demand(options: JobOptions) -> Demand:
    from quorum.sweeps.executors.ray_nodes import Demand, has_gpus

    gpus = options.gpus_per_job
    if gpus is None:
        gpus = float(options.device == "cuda" or (options.device == "auto" and has_gpus()))
    return Demand(worker_threads(options), gpus)
