"""Which process this is, and whether one of this machine is still alive."""

from __future__ import annotations

import functools
import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process of some machine.

    Attributes:
        host, user, pid: as people know it.
        machine: what its pid is unique in, see `machine`.
        started: start time in clock ticks since boot, which tells two processes with the same pid apart.
    """

    host: str
    user: str
    pid: int
    machine: str
    started: str

    @classmethod
    def current(cls) -> Process:
        """This process."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = str(os.getuid())
        return cls(socket.gethostname(), user, os.getpid(), machine(), _started(os.getpid()))

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None for one of another machine."""
        if not self.machine or self.machine != machine():
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


@functools.cache
def machine() -> str:
    """What a pid is unique in: the machine since its last start, and the namespace of pids; "" where that cannot be
    told."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return ""


def _started(pid: int) -> str:
    """Start time of a process of this machine, in clock ticks since boot; "" if there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # its name, in parentheses, may hold blanks
    return "" if fields[0] == "Z" else fields[19]
