"""The command line: parse, wire, call. The only reader of the arguments and the environment.

Every setting can be given as `--name value` (dashes or underscores) or as `-P name=value`. `mlflow run` passes
parameters in the first form.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from quorum import __version__, tuning
from quorum.commands.options import Options, SweepOptions
from quorum.commands.wiring import COMMANDS, Command
from quorum.config import TrialConfig, describe, parse_config
from quorum.errors import ConfigError, QuorumError, unknown

if TYPE_CHECKING:
    from quorum.commands.result import Result
    from quorum.tracking.store import Store

USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        Exit status: 0; 2 for a mistake of the user's, said in one line; 130 or 143 when interrupted or terminated.
    """
    signal.signal(signal.SIGTERM, _terminate)
    # A child that sees this variable would reopen the run and mark it finished: take it out, adopt the run once.
    adopted = os.environ.pop("MLFLOW_RUN_ID", None)
    tuning.use(os.environ.get("QUORUM_TUNING") != "0")
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments), adopted)
    except QuorumError as error:
        print(f"quorum: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as error:
        terminated = isinstance(error, _Terminated)
        print("quorum: terminated" if terminated else "quorum: interrupted", file=sys.stderr)
        return TERMINATED if terminated else INTERRUPTED


def _main(arguments: list[str], adopted: str | None) -> int:
    try:
        name, values = parse(arguments)
        command = COMMANDS[name]
        own, trial = _divide(command, values)
        options = _options(command.options, own)
        if command.trial:
            parse_config(TrialConfig, trial, "the command line")
    except QuorumError as error:
        if adopted:
            _fail(_connect(adopted), error)
        raise
    result = _run_tracked(command, options, trial, adopted) if command.tracked else command.run(options, trial, None)
    print(json.dumps(result.data) if options.json_ else result.text)
    return 0


def _run_tracked(command: Command, options: Options, trial: dict[str, str], adopted: str | None) -> Result:
    store = _connect(adopted)
    try:
        return command.run(options, trial, store)
    except QuorumError as error:
        _fail(store, error)
        raise
    finally:
        _settle(store)


def parse(arguments: list[str]) -> tuple[str, dict[str, str]]:
    """The command and the settings as text, by name.

    Raises:
        ConfigError: for a command or setting that there is none of, or one that is given twice.
    """
    parsed, rest = _parser().parse_known_args(arguments)
    if parsed.command is None:
        raise ConfigError(f"no command; choose from {', '.join(COMMANDS)}, or see quorum --help")
    known = _fields(COMMANDS[parsed.command])
    if rest:
        word = rest[0]
        if word.startswith("--"):
            raise ConfigError(f"quorum {parsed.command}: {unknown('setting', _name(word), known)}")
        raise ConfigError(
            f"quorum {parsed.command}: what is {word!r}? Settings are given as -P name=value or --name value"
        )
    values: dict[str, str] = {}
    for key, value in [
        *_pairs(parsed.P),
        *((k, v) for k, v in vars(parsed).items() if k in known and v is not None),
    ]:
        if key not in known:
            raise ConfigError(f"quorum {parsed.command}: {unknown('setting', key, known)}")
        if values.setdefault(key, value) != value:
            raise ConfigError(f"{key}: is given twice, as {values[key]!r} and {value!r}")
    return parsed.command, values


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"-P {text}: is not name=value")
        pairs.append((name.replace("-", "_"), value))
    return pairs


def _name(word: str) -> str:
    return word.lstrip("-").partition("=")[0].replace("-", "_")


def _fields(command: Command) -> dict[str, FieldInfo]:
    """Everything that a command can be told, by the name that a user gives it."""
    own = {field.alias or name: field for name, field in command.options.model_fields.items()}
    hidden = ("weights_digest", "seed") if command.options is SweepOptions else ("weights_digest",)
    trial = {name: f for name, f in TrialConfig.model_fields.items() if name not in hidden} if command.trial else {}
    return {**trial, **own}


def _divide(command: Command, values: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The command's own options and the trial's settings."""
    own = {field.alias or name for name, field in command.options.model_fields.items()}
    return {k: v for k, v in values.items() if k in own}, {k: v for k, v in values.items() if k not in own}


def _options(kind: type[Options], values: dict[str, str]) -> Options:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="quorum",
        description="Published image-classification studies as files to run, compare, promote and vote with.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"quorum {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=f"example: {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("-P", action="append", default=[], metavar="NAME=VALUE", help="give a setting by name")
        own = set(command.options.model_fields) | {"json"}
        groups = {
            True: sub.add_argument_group("options"),
            False: sub.add_argument_group("settings of the trial"),
        }
        for key, field in _fields(command).items():
            _add(groups[key in own], key, field)
    return parser


def _add(group: argparse._ArgumentGroup, key: str, field: FieldInfo) -> None:
    names = list(dict.fromkeys([f"--{key}", f"--{key.replace('_', '-')}"]))
    is_flag = field.annotation is bool
    default = field.get_default()
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    text = f"{field.description}" + ("" if shown in (None, "", False) else f" (default: {shown})")
    wrapped = "\n".join(textwrap.wrap(text.replace("%", "%%"), 78))
    if is_flag:
        group.add_argument(*names, dest=key, metavar="BOOL", help=wrapped, nargs="?", const="true")
    else:
        group.add_argument(*names, dest=key, metavar="VALUE", help=wrapped)


def _connect(adopted: str | None) -> Store:
    from quorum.tracking.store import connect

    return connect(adopted, os.environ.get("MLFLOW_EXPERIMENT_NAME"))


def _fail(store: Store, error: QuorumError) -> None:
    from quorum.tracking.runs import fail_adopted

    fail_adopted(store, " ".join(str(error).split()))


def _settle(store: Store) -> None:
    from quorum.tracking.store import settle

    settle(store)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled wherever Ctrl-C is."""


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _Terminated
