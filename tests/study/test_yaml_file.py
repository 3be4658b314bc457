"""YAML as plain values with their lines; what a study has no use for is refused with its line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from quorum.errors import StudyError
from quorum.study.yaml_file import MAX_BYTES, read_yaml


def written(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "study.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "[1e-3, 0.001, yes, on, no, 1:30, true, 010, 0x10, ~, 'quoted', '2024-01-01']"
    content, _ = read_yaml(written(tmp_path, text))
    expected = [0.001, 0.001, "yes", "on", "no", "1:30", True, 10, 16, None, "quoted", "2024-01-01"]
    assert content == expected
    assert [type(value) for value in content] == [type(value) for value in expected]


def test_every_entry_has_its_line(tmp_path: Path) -> None:
    content, lines = read_yaml(written(tmp_path, "a: 1\nkey:\n  - x\n  - {b: 2,\n     c: 3}\n"))
    assert content == {"a": 1, "key": ["x", {"b": 2, "c": 3}]}
    assert lines == {
        (): 1,
        ("a",): 1,
        ("key",): 2,
        ("key", 0): 3,
        ("key", 1): 4,
        ("key", 1, "b"): 4,
        ("key", 1, "c"): 5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", ":2: 'a' is given twice"),
        ("a: 1\n1: 2", ":2: a key has to be text, not '1'"),
        ("a: 1\ntrue: 2", ":2: a key has to be text"),
        ("a: 1\n? [b]\n: 2", ":2: a key has to be text"),
        ("a: 1\nb: 2024-01-01", ":2: '2024-01-01' is a date; write it in quotes"),
        ("a: &x 1\nb: 2", ":1: anchors and aliases (&x) are not taken"),
        ("a: &x [1]\nb: *x", ":1: anchors and aliases (&x) are not taken"),
        ("a: 1\nb: *x", ":2: not YAML (found undefined alias"),
        ("a: 1\nb: {<<: {c: 1}}", ":2: merge keys (<<) are not taken"),
        ("a: !!python/object/apply:os.system [ls]", ":1: the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !mine 1", ":1: the tag !mine is not taken"),
        ("a: 1\nb: !!int x", ":2: 'x' is not a number that can be read"),
        (f"a: {'9' * 5000}", ":1: '9999"),
        ("a: 1\n---\nb: 2", ":2: not YAML (but found another document"),
        ("a: 1\nb: [", "not YAML"),
        ("a: 1\nb: \0", ":2: not YAML (the character '\\x00')"),
        (b"a: 1\nb: \xff", ":2: cannot be read (not UTF-8)"),
        ("a: " + "[" * 3000, ":1: not YAML (nested more than 20 levels deep)"),
        ("a: " + "{b: " * 3000, ":1: not YAML (nested more than 20 levels deep)"),
        ("#" * (MAX_BYTES + 1), ": has 1,000,001 bytes; a study has at most 1,000,000"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        read_yaml(file)
    assert f"{file}{message}" in str(caught.value) or (message == "not YAML" and message in str(caught.value))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 200


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is a folder, not a file"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(StudyError, match="is not a regular file"):
        read_yaml(tmp_path / "pipe.yaml")
    for name in ("absent.yaml", "a\0b.yaml", "x" * 300):
        with pytest.raises(StudyError, match="cannot be read"):
            read_yaml(tmp_path / name)


def test_time_is_linear_in_the_number_of_values(tmp_path: Path) -> None:
    def seconds(n: int) -> float:
        file = written(tmp_path, f"a: [{', '.join(map(str, range(n)))}]")
        start = time.process_time()
        read_yaml(file)
        return time.process_time() - start

    seconds(500)
    assert seconds(4000) < 30 * seconds(500) + 0.05
