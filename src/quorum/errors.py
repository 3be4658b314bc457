"""The errors that a user can cause or meet. Each message is one line that says what, where and what would do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class QuorumError(Exception):
    """Base of every error that is the user's to mend: one line on standard error, exit status 2.

    Attributes:
        setting: name of the trial's setting that is at fault, where it is one; a study file is searched for it.
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class ConfigError(QuorumError):
    """A setting that is unknown, of the wrong kind or out of range."""


class StudyError(QuorumError):
    """A study file that cannot be run as it stands."""


class DataError(QuorumError):
    """A data set, archive or image that is missing, incomplete or unreadable."""


class ModelError(QuorumError):
    """A model, its weights or its parameter groups that cannot be had."""


class RegistryError(QuorumError):
    """A run, registered model, version or alias that is missing or does not fit."""


class StorageError(QuorumError):
    """A storage that cannot be reached, written or read, or files that are missing in it."""


class TrainingError(QuorumError):
    """A training that failed. It ends the run of its seed, not the sweep."""


class OutOfTimeError(QuorumError):
    """Work that has stopped, in order, since `max_hours` are over. The same command goes on with it."""


class DivergedError(TrainingError):
    """A training whose loss is no longer finite."""


def cut(text: str, width: int = 80) -> str:
    """The text shortened to `width` characters. Its last character, such as a closing quote, is kept."""
    return text if len(text) <= width else f"{text[: width - 4]}...{text[-1]}"


def shown(value: object) -> str:
    """A value as messages show it: as Python writes it, at most 80 characters of it."""
    return cut(repr(value))


# A password may have any character in it, so too much is masked rather than too little: to the last @ before a slash,
# or in the same word, or to the first one. After what looks like a port only the same word may hold a password.
_NO_PORT = r"(?!\s|\d+\W)"
_PASSWORD = re.compile(rf"(://[^:/@\s\[]*):(?:{_NO_PORT}[^/\n]*@|\S*@|{_NO_PORT}[^@\n]*@)")


def masked(text: str) -> str:
    """A text with `***` in the place of every password in a URI: `http://user:***@host`, `...?password=***`."""
    text = _PASSWORD.sub(r"\1:***@", text)
    return re.sub(r"([?&]\w*(?:password|passwd)=)[^&\s]*", r"\1***", text)


def printable(text: str) -> str:
    """A text on one line, as any terminal shows it: what cannot be printed, such as an escape or a byte that is not
    UTF-8, is written as Python writes it."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def unknown(kind: str, name: str, choices: Iterable[str], shown: Iterable[str] | None = None) -> str:
    """The message for a name that is not among its choices, with the nearest one if there is one.

    Args:
        kind: what it should have named.
        name: as it was given; at most 80 characters of it are shown.
        choices: all valid names.
        shown: those that the message lists, where all would be too many.
    """
    known, name = sorted(choices), name[:80]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = ", ".join(known if shown is None else shown) or "nothing: there is none yet"
    return f"no {kind} {cut(repr(name))}{hint}; choose from {listed}"
