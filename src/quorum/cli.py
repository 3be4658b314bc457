"""The command line: parse, open the store, run, print. The only reader of the arguments and the environment.

Every setting can be given as `--name value` (dashes or underscores) or as `-P name=value`. `mlflow run` passes
parameters in the first form.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from quorum import signals, tuning
from quorum.api.run_options import WORK_DIR, Options, RunOptions
from quorum.commands import arguments
from quorum.commands.caller import enter_folder_of
from quorum.commands.wiring import COMMANDS, Command
from quorum.config import Closed, TrialConfig, describe
from quorum.errors import ConfigError, OutOfTimeError, QuorumError, cut, masked, printable, shown
from quorum.plugins import load_plugins

if TYPE_CHECKING:
    from quorum.tracking.store import TrackingStore

USER_ERROR, INTERNAL_ERROR, OUT_OF_TIME, INTERRUPTED, PIPE_CLOSED, TERMINATED = 2, 70, 75, 130, 141, 143
# What the file system refuses is for the user to mend. A missing file is not: commands look before they read.
REFUSED = {
    getattr(errno, name)
    for name in ("EACCES", "EDQUOT", "EEXIST", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENOSPC", "ENOTDIR", "EPERM", "EROFS")
}

C = TypeVar("C", bound=Closed)


def main(words: Sequence[str] | None = None, commands: Mapping[str, Command] = COMMANDS) -> int:
    """Run a command.

    Args:
        words: of the command line after the program's name; by default those of this process.
        commands: that there are, by name.

    Returns:
        Exit status: 0; 2 for a mistake of the user's; 70 for one of this program's; 75 when `max_hours` are over before
        all is done; 130 or 143 when interrupted or terminated; 141 when nobody reads the answer. All but the first and
        last say why on one line of standard error.
    """
    signals.listen()
    # A child that sees this variable would reopen the run and mark it finished: take it out, adopt the run once.
    call = _Call(os.environ.pop("MLFLOW_RUN_ID", None))
    tuning.use(os.environ.get("QUORUM_TUNING") != "0")
    if (caller := os.environ.pop("QUORUM_CALLER", None)) is not None:  # set in MLproject
        enter_folder_of(caller, os.environ)
    try:
        answer = call.answer(sys.argv[1:] if words is None else words, commands)
    except KeyboardInterrupt as error:
        status, reason = (
            (TERMINATED, "terminated") if isinstance(error, signals.Terminated) else (INTERRUPTED, "interrupted")
        )
        call.stop(reason)
    except OutOfTimeError as error:
        status, reason = OUT_OF_TIME, str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one line
        status, reason = call.explain(error)
        call.fail(reason)
    else:
        return _print(answer)
    finally:
        call.close()
    print(f"quorum: {reason}", file=sys.stderr)
    return status


def parse(words: Sequence[str], commands: Mapping[str, Command] = COMMANDS) -> tuple[str, dict[str, str]]:
    """The command and the settings as text, by name; see `quorum.commands.arguments.parse`."""
    return arguments.parse(words, commands)


@dataclass
class _Call:
    """A command that runs, and what has to be known of it where it fails.

    Attributes:
        adopted: the run that `mlflow run` made, until the store is opened, which takes it over.
        work_dir: where the traceback of an unknown error is written.
        store: once it is open.
        values: settings as they were given.
    """

    adopted: str | None
    work_dir: Path = WORK_DIR
    store: TrackingStore | None = None
    values: dict[str, str] = field(default_factory=dict)

    def answer(self, words: Sequence[str], commands: Mapping[str, Command]) -> str:
        """Run the command and return what it has to print."""
        if words[:1] == ["--print-completion"]:
            from quorum.commands.completion import completion

            return completion(" ".join(words[1:]), commands)
        name, self.values = parse(words, commands)
        command = commands[name]
        own = {key: value for key, value in self.values.items() if key in command.own_fields()}
        given = {key: value for key, value in self.values.items() if key not in own}
        options = _validated(command.options, own)
        self.work_dir = options.work_dir
        if command.trial:
            _validated(TrialConfig, given)
        _begin(command, options)
        load_plugins(options.plugins)
        if command.tracked:
            self.open(options)
        with _standard_output_to_error():
            result = command.run(options, given, self.store)
        return json.dumps(result.data) if options.json_ else result.text

    def open(self, options: Options | None = None) -> None:
        from quorum.tracking.recovery import end_runs_of_dead_processes
        from quorum.tracking.store import connect

        adopted, self.adopted = self.adopted, None
        own = (options.own_tags, options.note) if isinstance(options, RunOptions) else ({}, "")
        self.store = connect(adopted, *own)
        end_runs_of_dead_processes(self.store)

    def explain(self, error: Exception) -> tuple[int, str]:
        """The exit status for an error, and what to say of it on one line."""
        message = masked(printable(str(error)))
        for part in (part for value in self.values.values() for part in (value, *re.split("[,/]", value))):
            message = message.replace(part, cut(part)) if cut(part) != part else message
        if isinstance(error, QuorumError):
            return USER_ERROR, message
        if isinstance(error, OSError) and error.errno in REFUSED and error.filename is not None:
            return USER_ERROR, f"{shown(os.fsdecode(error.filename))}: {error.strerror}"
        if self.store is not None and (reason := _of_store(error)):
            return USER_ERROR, f"tracking store {masked(self.store.uri)}: {reason}"
        file = _write_traceback(error, self.work_dir)
        kind = type(error).__name__
        return INTERNAL_ERROR, f"this is a mistake of quorum's: {kind}: {cut(message, 200)}; the traceback is in {file}"

    def fail(self, reason: str) -> None:
        """Mark the adopted run as FAILED, as far as the store can be reached: the reason itself matters more."""
        with contextlib.suppress(Exception):
            if self.adopted:
                self.open()
            if self.store is not None:
                from quorum.tracking.runs import fail_adopted

                fail_adopted(self.store, reason)

    def stop(self, reason: str) -> None:
        """Mark the adopted run as KILLED, where the store is open and answers."""
        if self.store is not None:
            from quorum.tracking.runs import stop_adopted

            with contextlib.suppress(Exception):
                stop_adopted(self.store, reason)

    def close(self) -> None:
        if self.store is not None:
            from quorum.tracking.store import close

            close(self.store)


def _begin(command: Command, options: Options) -> None:
    """Say what is done first: torch, MLflow and the images take seconds, in which nothing else would be seen."""
    from quorum.console import say, use

    use(options.verbosity)
    if command.reads:
        say(command.opening)


def _of_store(error: Exception) -> str:
    """What a store that is away, or refuses a file, says; "" for an error that comes of something else."""
    from quorum.tracking.patience import lost, refused

    if reason := lost(error):
        return f"{reason}; the same command goes on from here"
    return masked(refused(error))


def _validated(kind: type[C], values: Mapping[str, str]) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from error


def _write_traceback(error: Exception, work_dir: Path) -> Path:
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = masked("".join(traceback.format_exception(error)))
    for folder in (work_dir / "errors", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            return folder / name
    return Path(os.devnull)


def _print(answer: str) -> int:
    try:
        print(answer, flush=True)
    except BrokenPipeError:
        # Python would flush again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return 0


@contextlib.contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """Send what a command, MLflow and worker processes print to standard error: standard output is the answer's."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
