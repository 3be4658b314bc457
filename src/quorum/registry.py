"""Things that have a name: networks, data sets, augmentation operations, optimizers, schedules, losses, averages of
weights, metrics.

Every kind is one `Registry`. The package fills it with one decorator a thing, and so does a user's own file (see
`quorum.plugins`).
"""

from __future__ import annotations

import linecache
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from quorum.errors import ConfigError, QuorumError, shown, unknown

T = TypeVar("T")

_interactive: set[str] = set()  # source of scripts and notebook cells that have registered something


def interactive_sources() -> tuple[str, ...]:
    """Source of the scripts and notebook cells that have registered something, sorted. It is part of the code version,
    as that of plugins is."""
    return tuple(sorted(_interactive))


def _interactive_source() -> str | None:
    """Source of the script or notebook cell that is registering something; None where it is a module that does."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("quorum."):
        frame = frame.f_back
    if frame.f_globals.get("__name__") != "__main__":
        return None
    # Without a source, as in Python's own prompt, nothing that was trained before is taken for the same.
    return "".join(linecache.getlines(frame.f_code.co_filename)) or secrets.token_hex()


class Registry(Mapping[str, T]):
    """Things of one kind by name, in the order in which they were added.

    Attributes:
        kind: what they are, for messages: "optimizer".
        setting: the trial's setting that names one, or "".
        error: the class of error for a name that is unknown.
    """

    def __init__(self, kind: str, setting: str = "", error: type[QuorumError] = ConfigError) -> None:
        self.kind, self.setting, self.error = kind, setting, error
        self._things: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def add(self, name: str, thing: T) -> T:
        """Add a thing.

        Raises:
            ConfigError: where the name is taken by another thing or is no name.
        """
        if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):
            raise ConfigError(f"{self.kind} {shown(name)}: is not a name (letters, digits, _, -, . and /)")
        if self._things.setdefault(name, thing) is not thing:
            raise ConfigError(f"{self.kind} {name!r}: is registered already")
        if (source := _interactive_source()) is not None:
            _interactive.add(source)
        return thing

    def alias(self, name: str, thing: T) -> T:
        """Let a name stand for a thing that has another one already, in this process. It brings no code along.

        Raises:
            ConfigError: where the name is taken by another thing.
        """
        if self._things.setdefault(name, thing) is not thing:
            raise ConfigError(f"{self.kind} {name!r}: is registered already")
        return thing

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a thing and leaves it as it is."""
        return lambda thing: self.add(name, thing)

    def named(self, name: str) -> T:
        """The thing of a name.

        Raises:
            QuorumError: of the kind `error`, for a name that is unknown, with the nearest one.
        """
        if name not in self._things:
            raise self.error(unknown(self.kind, name, self._things), setting=self.setting)
        return self._things[name]

    def remove(self, name: str) -> None:
        """Take a thing out. Raises KeyError for a name that is unknown."""
        del self._things[name]
