"""What a machine does while a run is open: MLflow's monitor of processor, memory, disk, network and GPU, and energy."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

from quorum.console import say
from quorum.errors import ConfigError
from quorum.tracking.run_log import RunLog

POWERCAP = Path("/sys/class/powercap")  # where Linux counts the energy of processors
MICROJOULES = 1e6  # in a joule
NEEDED = "psutil"


def check_system_metrics() -> None:
    """Raise ConfigError where the package is missing that reads them."""
    if importlib.util.find_spec(NEEDED) is None:
        raise ConfigError(f"system_metrics: needs the package {NEEDED}; pip install 'quorum[system-metrics]'")


class EnergyMonitor(BaseMetricsMonitor):  # type: ignore[misc]
    """Energy of this machine's processors since the monitor was made, in joules."""

    def __init__(self, folder: Path) -> None:
        """A monitor of the counters of whole processors below a folder, `intel-rapl:N/energy_uj` in microjoules
        (so named whoever made the processor), each with a `name` beside it."""
        super().__init__()
        # A zone of another name is part of a package (core, dram), or holds packages (psys); `intel-rapl-mmio` counts
        # packages once more.
        names = sorted(folder.glob("intel-rapl:*/name"))
        self._files = [name.with_name("energy_uj") for name in names if _text(name).startswith("package")]
        self._last = [_read(file) for file in self._files]
        self._joules = 0.0

    @property
    def readable(self) -> bool:
        """Whether there is any counter, and all of them can be read."""
        return bool(self._last) and None not in self._last

    def collect_metrics(self) -> None:
        """Add what was used since the last time."""
        for place, file in enumerate(self._files):
            now, last = _read(file), self._last[place]
            if now is None or last is None:
                continue
            # A counter begins anew at its range.
            span = (_read(file.with_name("max_energy_range_uj")) or 0) if now < last else 0
            self._joules += (now - last + span) / MICROJOULES
            self._last[place] = now
        self._metrics["cpu_energy_joules"].append(self._joules)

    def aggregate_metrics(self) -> dict[str, float]:
        """The energy until now."""
        return {name: values[-1] for name, values in self._metrics.items() if values}


@contextlib.contextmanager
def system_metrics(log: RunLog, wanted: bool) -> Iterator[None]:
    """Log this machine's system metrics in a run while the context is open, if they are wanted."""
    if not wanted:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # needs psutil

    monitor = SystemMetricsMonitor(log.run_id, resume_logging=True, tracking_uri=log.store.uri)
    energy = EnergyMonitor(POWERCAP)
    if energy.readable:
        monitor.monitors.append(energy)
    else:
        say("system_metrics: the energy of the processors cannot be read here; the other metrics are logged")
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _read(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
