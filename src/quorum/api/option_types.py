"""Kinds of options: how the text of the command line becomes a value."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from quorum.voting.abstention import Abstention

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _boolean(value: object) -> object:
    if isinstance(value, str):
        if value.lower() not in TRUTH:
            raise ValueError("must be true or false (or yes, no, 1, 0)")
        return TRUTH[value.lower()]
    return value


def _divided(value: object) -> object:
    """The parts of a list that is written with commas; empty text is the empty list."""
    if not isinstance(value, str) or not value:
        return () if value == "" else value
    parts = [part.strip() for part in value.split(",")]
    if not all(parts):
        raise ValueError("has an empty entry; entries are separated by one comma")
    return parts


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):  # torch has others, such as meta, that do not train
        raise ValueError("is not available here; auto, cpu or cuda")
    return name


def _boolean_or_any(value: object) -> object:
    try:
        return value if value == "any" else _boolean(value)
    except ValueError as error:
        raise ValueError("must be true, false or any") from error


def _run_id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{6,32}", text):
        raise ValueError("is no id of a run: 32 hex digits, or at least the first six of them")
    return text


def _tags(text: str) -> str:
    """Tags as they were given, blanks around them taken away."""
    pairs = [tuple(part.strip() for part in pair.partition("=")) for pair in text.split(",")] if text else []
    for name, equals, value in pairs:
        if not equals or not value or not re.fullmatch(r"[\w.:/-][\w.:/ -]{0,249}", name):
            raise ValueError("is not NAME=VALUE,NAME=VALUE; names are letters, digits, blanks and _ - . : /")
        if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
            raise ValueError(f"sets {name[:80]!r}; MLflow takes no name that begins with / or .., or has an empty part")
        if name.startswith(("mlflow.", "quorum.")):
            raise ValueError(f"sets {name[:80]!r}; names that begin with mlflow. or quorum. are taken")
    if len({name for name, *_ in pairs}) < len(pairs):
        raise ValueError("gives a tag twice")
    return ",".join(map("".join, pairs))


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Reuse = Annotated[bool | Literal["any"], BeforeValidator(_boolean_or_any)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_divided)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_divided)]
Abstain = Annotated[str, AfterValidator(lambda text: str(Abstention.parse(text)))]
Device = Annotated[str, AfterValidator(_device)]
SweepsDir = Annotated[Path, Field(description="folder of study files; behind sweeps/ are those that quorum brings")]
Tags = Annotated[str, AfterValidator(_tags)]
RunId = Annotated[str, AfterValidator(_run_id)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], BeforeValidator(_divided)]
