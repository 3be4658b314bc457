"""What a mistake of a user's may do: say so in one line, with exit status 2, and leave everything as it was."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bad_input.process import Commands
from tests.conftest import without_opening

LONG = "x" * 300
CUT = "x" * 75 + "...'"  # what a message shows of it, with its quote before

Words = str | tuple[str, ...]  # divided at blanks where they are one text
Case = tuple[Words, str]  # a command line, and what its line says


@dataclass(frozen=True)
class Place:
    """A folder with a tracking store, where commands run.

    Attributes:
        folder: the working folder.
        commands: runs them there.
    """

    folder: Path
    commands: Commands

    def check(self, words: Words, message: str, variables: Mapping[str, str | None] | None = None) -> None:
        """Assert that a command line is answered by one line that holds a message, and changes nothing."""
        before = self._files()
        answer = self.commands(divided(words), variables)
        assert answer.status == 2, answer
        assert message in answer.err, answer.err
        said = without_opening(answer.err)
        assert said.startswith("quorum: ")
        assert said.count("\n") == 1, answer.err  # nor is there a library's warning beside it
        assert LONG[:100] not in answer.err
        assert answer.out == ""
        assert self._files() == before
        assert self._running() == 0

    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file, and of no folder, but those of the tracking store, of caches and of locks."""
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir() and not path.is_symlink():
                continue
            if not name.startswith((".quorum/pixels/", "mlflow.db", "mlruns/")) and path.suffix != ".lock":
                status = path.lstat()
                found[name] = (status.st_size, status.st_mtime_ns)
        return found

    def _running(self) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as database:
            (count,) = database.execute("select count(*) from runs where status = 'RUNNING'").fetchone()
            return int(count)


def one_line(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Have a test, with the arguments `words` and `line`, called for each case."""
    return pytest.mark.parametrize(("words", "line"), cases, ids=[name_of(words) for words, _ in cases])


def divided(words: Words) -> Sequence[str]:
    """The words of a command line."""
    return words.split() if isinstance(words, str) else words


def name_of(words: Words) -> str:
    """What a case is called among pytest's tests."""
    return " ".join(divided(words))[:80].encode("ascii", "backslashreplace").decode()
