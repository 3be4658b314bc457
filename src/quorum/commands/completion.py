"""Completion of commands, settings, choices and files in a shell."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Literal, get_args

from quorum.commands.arguments import make_parser
from quorum.commands.wiring import Command
from quorum.errors import ConfigError

Shell = Literal["bash", "zsh"]
SHELLS: tuple[str, ...] = get_args(Shell)


def completion(shell: str, commands: Mapping[str, Command]) -> str:
    """A script that completes `quorum` in a shell.

    Raises:
        ConfigError: for an unknown shell, or without the package shtab.
    """
    if shell not in SHELLS:
        raise ConfigError(f"--print-completion: {shell[:80]!r} is no shell that is known; {', '.join(SHELLS)}")
    try:
        shtab = importlib.import_module("shtab")
    except ImportError as error:
        raise ConfigError("--print-completion needs the package shtab: pip install 'quorum[completion]'") from error
    parser, inner = make_parser(commands)
    for command in inner.values():
        for action in command._actions:
            _offer(action, shtab.FILE)
    return str(shtab.complete(parser, shell))


def _offer(action: argparse.Action, files: object) -> None:
    """Let shtab know what an option takes: argparse itself does not, since it checks no value here."""
    metavar = str(action.metavar or "")
    if metavar == "PATH":
        action.complete = files  # type: ignore[attr-defined]
    elif metavar == "BOOL":
        action.choices = ("true", "false")
    elif metavar.startswith("{"):
        names = metavar.strip("{}").split(",")
        action.choices = [name for name in names if name.islower() or "/" in name]
