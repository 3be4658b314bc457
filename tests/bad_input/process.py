"""One process that answers command lines: with real file descriptors, Python's own filter of warnings, and a limit on
the time, none of which pytest's process has."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from quorum.cli import main
from tests.conftest import Answer

PATIENCE = 120.0  # seconds for a command, the start of the process included; a hang fails, it does not wait for ever


@dataclass
class Commands:
    """Runs commands in a process of their own, which is started anew after one that hung or died.

    Attributes:
        folder: the working folder.
        variables: of the environment.
    """

    folder: Path
    variables: Mapping[str, str]
    process: BaseProcess | None = None
    connection: Connection | None = None

    def __call__(self, words: Sequence[str], variables: Mapping[str, str | None] | None = None) -> Answer:
        """The answer to a command line, with some environment variables set, and without those that are None. Raises
        where it takes too long, or dies."""
        connection = self._started()
        connection.send((list(words), dict(variables or {})))
        try:
            if connection.poll(PATIENCE):
                answer: Answer = connection.recv()
                return answer
        except EOFError:
            self.stop()
            raise AssertionError(f"the process died: {words}") from None
        self.stop()
        raise AssertionError(f"no answer within {PATIENCE:g} seconds: {words}")

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = self.connection = None

    def _started(self) -> Connection:
        if self.connection is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs, self.folder, self.variables), daemon=True)
            self.process.start()
            theirs.close()
        return self.connection


def _serve(connection: Connection, folder: Path, variables: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(variables)
    with contextlib.suppress(EOFError):
        while True:
            connection.send(_answer(*connection.recv()))


def _answer(words: list[str], variables: dict[str, str | None]) -> Answer:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before = dict(os.environ)
        os.environ.update({name: value for name, value in variables.items() if value is not None})
        for name in (name for name, value in variables.items() if value is None):
            os.environ.pop(name, None)
        try:
            with _redirected(1, out.fileno()), _redirected(2, err.fileno()):
                status = main(words)
        finally:
            os.environ.clear()
            os.environ.update(before)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace"))
        return Answer(status, *texts)


@contextlib.contextmanager
def _redirected(descriptor: int, target: int) -> Iterator[None]:
    stream = {1: sys.stdout, 2: sys.stderr}[descriptor]
    stream.flush()
    saved = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        yield
    finally:
        stream.flush()
        os.dup2(saved, descriptor)
        os.close(saved)
