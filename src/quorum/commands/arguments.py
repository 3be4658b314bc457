"""Words of a command line into settings by name, and the help that lists them."""

from __future__ import annotations

import argparse
import functools
import types
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from quorum import __version__
from quorum.commands.wiring import Command
from quorum.errors import ConfigError, cut, shown, unknown

ENVIRONMENT = """\
environment variables:
  MLFLOW_TRACKING_URI     the tracking store, for example sqlite:///mlflow.db
  MLFLOW_EXPERIMENT_NAME  the experiment of new runs; by default quorum/DATASET
  MLFLOW_EXPERIMENT_ID    the same by its id
  MLFLOW_RUN_ID           a run to take over, as `mlflow run` sets it
  QUORUM_TUNING           0 leaves the C library, SQLite and Python as they are (slower, same results)"""
SHORT = {"verbose": "-v", "quiet": "-q"}
# Settings that take names, of which there are more than help has room for.
EXAMPLES = {
    "dataset": ("digits", "caltech101", "cifar10", "folder"),
    "model": ("alexnet", "resnet18", "mobilenet_v2"),
    "weights": ("none", "imagenet"),
    "mix": ("none", "mixup", "cutmix"),
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("step", "multistep", "constant", "cosine", "polynomial", "one_cycle"),
    "loss": ("cross_entropy",),
    "average": ("none", "ema", "swa"),
    "device": ("auto", "cpu", "cuda"),
}
KINDS = {bool: "BOOL", int: "INT", float: "FLOAT", Path: "PATH"}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def parse(words: Sequence[str], commands: Mapping[str, Command]) -> tuple[str, dict[str, str]]:
    """The command and the settings as text, by name.

    Args:
        words: the command, then settings as `--name value`, `--name=value` or `-P name=value`; dashes in a name are
            the same as underscores.
        commands: by name.

    Raises:
        ConfigError: for an unknown command or setting, one that is empty, or one that is given twice.
        SystemExit: after `--help` or `--version`.
    """
    for word in words:
        _check_characters(word)
    if not words:
        raise ConfigError(f"no command; choose from {', '.join(commands)}, or see quorum --help")
    if words[0] not in (*commands, "-h", "--help", "--version"):
        raise ConfigError(unknown("command", words[0], commands))
    parsed, rest = make_parser(commands)[0].parse_known_args([_underscored(word) for word in words])
    command = commands[parsed.command]
    fields = command.fields()
    given = list(zip(command.words, rest, strict=False))
    wrong = [word for word in rest if word.startswith("-")] or rest[len(given) :]
    if wrong:
        raise ConfigError(f"{parsed.command}: {_not_a_setting(wrong[0], fields)}")
    named = [(key, value) for key in fields for value in getattr(parsed, key) or ()]
    values: dict[str, str] = {}
    for key, value in [*given, *map(_pair, parsed.P), *named]:
        if key not in fields:
            raise ConfigError(f"{parsed.command}: {unknown('setting', key, fields)}")
        if values.setdefault(key, value) != value:
            raise ConfigError(f"{key}: is given twice, as {shown(values[key])} and {shown(value)}")
        if not value.strip() and fields[key].get_default() not in ("", ()):
            raise ConfigError(f"{key}: is empty; give {metavar(fields[key].annotation)}, or leave it out")
    return parsed.command, values


def _check_characters(word: str) -> None:
    """Raise ConfigError for control characters, and for bytes that are not UTF-8, which Python reads as surrogates."""
    for character in word:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ConfigError(f"{shown(word)}: {character!a} is not allowed; settings are UTF-8 text on one line")


def _underscored(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else word


def _not_a_setting(word: str, fields: Mapping[str, FieldInfo]) -> str:
    if word.startswith("-"):
        return unknown("setting", word.partition("=")[0].lstrip("-"), fields)
    return f"{shown(word)} is not a setting; settings are given as -P name=value or --name value"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"-P {cut(text)}: is not name=value")
    return name.replace("-", "_"), value


def make_parser(
    commands: Mapping[str, Command],
) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and those of its commands by name."""
    parser = _Parser(
        prog="quorum",
        description="Published image-classification studies as files to run, compare, promote and vote with.",
        epilog="quorum COMMAND --help lists what a command takes.",
        allow_abbrev=False,
    )
    parser.add_argument("--print-completion", metavar="SHELL", help="print a script that completes in bash or zsh")
    parser.add_argument("--version", action="version", version=f"quorum {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in commands.items():
        _fill(
            subparsers.add_parser(
                name,
                help=command.summary,
                usage=" ".join(["quorum", name, *map(str.upper, command.words), "[--NAME VALUE | -P NAME=VALUE] ..."]),
                description=f"{command.summary[0].upper()}{command.summary[1:]}.",
                epilog=f"example:\n  {command.example}\n\n{ENVIRONMENT}",
                formatter_class=functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
                add_help=False,
                allow_abbrev=False,
            ),
            command,
        )
    return parser, subparsers.choices


def _fill(parser: argparse.ArgumentParser, command: Command) -> None:
    """Add everything that a command takes, in groups: most used first, those of all commands last."""
    first = parser.add_argument_group("most used")
    trial = parser.add_argument_group("settings of the trial") if command.trial else first
    options = parser.add_argument_group("options")
    fields, own = command.fields(), command.own_fields()
    for name in command.most_used:
        _add(first, name, fields[name])
    for name in fields:
        if name not in command.most_used:
            _add(options if name in own else trial, name, fields[name])
    options.add_argument("-P", action="append", default=[], metavar="NAME=VALUE", help="give any of these by name")
    options.add_argument("-h", "--help", action="help", help="show this help and exit")


def _add(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    text = f"{field.description}{_default(field.get_default())}".replace("%", "%%")
    kind = f"{{{','.join(EXAMPLES[name])},...}}" if name in EXAMPLES else metavar(field.annotation)
    names = [f"--{name}"] if name not in SHORT else [SHORT[name], f"--{name}"]
    if field.annotation is bool or bool in get_args(field.annotation):
        group.add_argument(*names, action="append", metavar=kind, help=text, nargs="?", const="true")
    else:
        group.add_argument(*names, action="append", metavar=kind, help=text)


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        return f" (default: {','.join(map(str, value))})"
    return f" (default: {str(value).lower() if isinstance(value, bool) else value})"


def metavar(annotation: Any) -> str:
    """What values of a type look like, for help and errors: `INT`, `{sgd,adam}`, `{INT,auto}`, `A,B,C`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return metavar(inner[0])
    if origin is Literal:
        return f"{{{','.join(map(str, inner))}}}"
    if origin in (Union, types.UnionType):
        kinds = [metavar(kind) for kind in inner if kind is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else f"{{{','.join(kind.strip('{}') for kind in kinds)}}}"
    return "A,B,C" if origin is tuple else KINDS.get(annotation, "TEXT")
