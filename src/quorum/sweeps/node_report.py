"""What the nodes of a cluster have to have in common, so that a sweep on all of them is the sweep of one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from quorum.engine.device import Machine, resolve_device
from quorum.errors import ConfigError
from quorum.sweeps.worker import set_up_worker
from quorum.versions import COMPUTING_PACKAGES, NETWORK_PACKAGES, code_version, package_versions

MIXED = "mixed"  # numerics class of a sweep whose trainings are computed by machines of several


@dataclass(frozen=True)
class NodeReport:
    """What a node says of itself.

    Attributes:
        numerics: its class, see `quorum.engine.device.numerics_class`.
        auto_precision: what `precision=auto` is there.
        code_version: of its copy of quorum and the plugins.
        packages: versions of those that compute.
        sees_marker: whether a file that the driver has written is there.
    """

    numerics: str
    auto_precision: str
    code_version: str
    packages: Mapping[str, str]
    sees_marker: bool


def report_node(device: str, threads: int, tuned: bool, plugins: Sequence[str], marker: Path) -> NodeReport:
    """The report of the node that this is called on.

    Args:
        device: that trainings compute on, `cpu` or `cuda`.
        threads: of torch in a training.
        tuned: whether the driver uses `quorum.tuning`.
        plugins: that the driver has loaded.
        marker: absolute path of a file that the driver has written.

    Raises:
        ConfigError: where the device or a plugin is not there.
    """
    set_up_worker(threads, tuned, plugins, "normal")
    machine = Machine.here(resolve_device(device), threads)
    return NodeReport(machine.numerics, machine.auto_precision, code_version(), computing_packages(), marker.is_file())


def computing_packages() -> dict[str, str]:
    """Versions by name of the packages that compute."""
    return {name: package_versions()[name] for name in (*COMPUTING_PACKAGES, *NETWORK_PACKAGES.values())}


def check_node(name: str, report: NodeReport, *, shared: bool) -> None:
    """Check what every node has to have as the driver has it.

    Args:
        name: of the node.
        report: its report.
        shared: whether it has to see the driver's `work_dir`.

    Raises:
        ConfigError: where its packages, its code or its folders are others.
    """
    for package, version in computing_packages().items():
        if report.packages[package] != version:
            raise ConfigError(f"node {name}: has {package} {report.packages[package]}, the driver has {version}")
    if report.code_version != code_version():
        raise ConfigError(
            f"node {name}: has another version of quorum or of a plugin (code {report.code_version}, the driver has "
            f"{code_version()})"
        )
    if shared and not report.sees_marker:
        raise ConfigError(
            f"node {name}: does not see the driver's work_dir; put work_dir= on a folder that all nodes share, or give "
            "storage="
        )


def machine_of(reports: Mapping[str, NodeReport], device: torch.device, *, mixed: bool) -> Machine:
    """The machine that the nodes are together.

    Args:
        reports: by name of the node; at least one.
        device: that trainings compute on.
        mixed: whether they may be of several numerics classes.

    Raises:
        ConfigError: where they are and may not be.
    """
    classes = {report.numerics: name for name, report in reports.items()}
    precisions = {report.auto_precision for report in reports.values()}
    if len(classes) > 1 and not mixed:
        raise ConfigError(
            f"the nodes compute in {len(classes)} ways, so the results would not be those of one machine: "
            f"{', '.join(f'{what} on {name}' for what, name in sorted(classes.items()))}; mixed=true allows it and "
            "marks rows"
        )
    numerics = MIXED if mixed else next(iter(classes))
    return Machine(device, numerics, precisions.pop() if len(precisions) == 1 else "")


def check_joined(name: str, report: NodeReport, machine: Machine) -> None:
    """Check that a node that comes later belongs to a machine. Raises ConfigError where it does not."""
    if machine.numerics not in (MIXED, report.numerics):
        raise ConfigError(f"node {name}: computes as {report.numerics}, the sweep is of {machine.numerics}")
