"""YAML 1.2 files as plain values, each with its line. A wrong file is one line that says where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from quorum.errors import StudyError, cut, shown

Location = tuple[str | int, ...]  # the keys and indices that lead to an entry, from the root
Lines = dict[Location, int]  # from 1

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
CORE = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAGS = {f"{CORE}{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}


def read_yaml(file: Path) -> tuple[Any, Lines]:
    """The content of a file and the line of every entry.

    Mappings have text keys, each once. Dates, anchors, aliases, merge keys and tags are refused.

    Returns:
        Dictionaries, lists, texts, numbers, booleans and None; the line of each by its location.

    Raises:
        StudyError: one line with the file, the line where there is one, and what is wrong.
    """
    text = _read(file)
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    try:
        root = yaml.compose(text)
        reader = _Reader(file, yaml)
        return (None if root is None else reader.value(root, ())), reader.lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        too_deep = type(error).__name__ == "MaxDepthExceededError"
        problem = f"nested more than {MAX_DEPTH} levels deep" if too_deep else error.problem or error.context
        raise _refusal(file, mark.line + 1 if mark else None, f"not YAML ({problem})") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refusal(file, line, f"not YAML (the character {chr(error.character)!r})") from error
    except (YAMLError, RecursionError, ValueError) as error:  # ValueError: "\\U00110000" is no character
        raise _refusal(file, None, f"not YAML ({error})") from error


def _read(file: Path) -> str:
    try:
        if file.is_dir():
            raise _refusal(file, None, "is a folder, not a file")
        if file.exists() and not file.is_file():  # reading a pipe would wait for a writer
            raise _refusal(file, None, "is not a regular file")
        if (size := file.stat().st_size) > MAX_BYTES:
            raise _refusal(file, None, f"has {size:,} bytes; a study has at most {MAX_BYTES:,}")
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        raise _refusal(file, None, f"cannot be read ({error})") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _refusal(file, content.count(b"\n", 0, error.start) + 1, "cannot be read (not UTF-8)") from error


class _Reader:
    """Makes plain values of YAML's nodes and writes down their lines."""

    def __init__(self, file: Path, yaml: YAML) -> None:
        self.file, self.yaml = file, yaml
        self.lines: Lines = {}

    def value(self, node: Node, location: Location) -> Any:
        self.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        if isinstance(node, SequenceNode):
            self._check(node)
            return [self.value(item, (*location, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _check(self, node: Node) -> None:
        # An anchor comes before its aliases, which are the same node: none of them is followed.
        if node.anchor is not None:
            raise self._wrong(node, f"anchors and aliases (&{node.anchor}) are not taken")
        tag = str(node.tag)
        if tag == f"{CORE}timestamp":
            raise self._wrong(node, f"{shown(node.value)} is a date; write it in quotes to have it as text")
        if tag not in _TAGS:
            raise self._wrong(node, f"the tag {cut(tag)} is not taken")

    def _scalar(self, node: Node) -> Any:
        self._check(node)
        try:
            value = self.yaml.constructor.construct_object(node)
        except (ValueError, KeyError) as error:
            kind = "true or false" if str(node.tag) == f"{CORE}bool" else "a number that can be read"
            raise self._wrong(node, f"{shown(node.value)} is not {kind}") from error
        if isinstance(value, str) and _SURROGATE.search(value):
            raise self._wrong(node, f"{shown(value)} is not text that can be written as UTF-8")
        return value

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        self._check(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == f"{CORE}merge":
                raise self._wrong(key_node, "merge keys (<<) are not taken")
            key = self._scalar(key_node) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                found_instead = shown(key_node.value) if isinstance(key_node, ScalarNode) else "a list or a mapping"
                raise self._wrong(key_node, f"a key has to be text, not {found_instead}")
            if key in found:
                raise self._wrong(key_node, f"{shown(key)} is given twice")
            self.lines[(*location, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*location, key))
        return found

    def _wrong(self, node: Node, reason: str) -> StudyError:
        return _refusal(self.file, node.start_mark.line + 1, reason)


def _refusal(file: Path, line: int | None, reason: str) -> StudyError:
    where = str(file) if line is None else f"{file}:{line}"
    return StudyError(f"{where}: {' '.join(reason.split())}")
