"""What messages show of values and URIs."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from quorum.config import Closed, parse_config
from quorum.errors import ConfigError, cut, masked, printable, shown, unknown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("a" * 78, repr("a" * 78)),
        ("a" * 300, "'" + "a" * 75 + "...'"),
        ([7] * 300, "[" + "7, " * 25 + "...]"),
        ("\0\n", r"'\x00\n'"),
    ],
)
def test_values_are_cut_at_80_characters(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(text) <= 80


def test_a_text_is_cut_at_a_width() -> None:
    assert cut("abcdefgh", 8) == "abcdefgh"
    assert cut("abcdefghi", 8) == "abcd...i"


def test_refused_values_and_unknown_names_are_cut() -> None:
    class Settings(Closed):
        """One setting."""

        size: Annotated[int, Field(ge=8)]

    with pytest.raises(ConfigError) as caught:
        parse_config(Settings, {"size": "x" * 300}, "here")
    assert str(caught.value) == f"here: size: {shown('x' * 300)} must be a valid integer"
    with pytest.raises(ConfigError) as caught:
        parse_config(Settings, {"y" * 300: "1"}, "here")
    assert str(caught.value) == f"here: no setting {shown('y' * 300)}; choose from size"
    assert unknown("model", "resnt", ["resnet"]) == "no model 'resnt' (did you mean 'resnet'?); choose from resnet"


@pytest.mark.parametrize(
    ("text", "text_masked"),
    [
        ("postgresql://me:secret@host:5432/db is down", "postgresql://me:***@host:5432/db is down"),
        ("postgresql+psycopg2://me:se/c@r:et@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("https://:token@host", "https://:***@host"),
        ("'http://a:b@c' and 'http://d:e@f'", "'http://a:***@c' and 'http://d:***@f'"),
        ("http://host:5000/path", "http://host:5000/path"),
        ("https://me@host", "https://me@host"),
        ("postgresql:///db?password=se:c&host=/run", "postgresql:///db?password=***&host=/run"),
        ("postgresql://me:pa'ss@host/db is down", "postgresql://me:***@host/db is down"),
        ("postgresql://me:p\"a s's@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@a's s@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:pa s/s@host/db", "postgresql://me:***@host/db"),
        ("http://me:1234@host and http://me:12345'6@host", "http://me:***@host and http://me:***@host"),
        ("mysql://host/db?user=me&passwd=se'c&charset=x", "mysql://host/db?user=me&passwd=***&charset=x"),
        ("sqlite:////tmp/a:b/mlflow.db", "sqlite:////tmp/a:b/mlflow.db"),
        ("models:/quorum-digits-vote@current", "models:/quorum-digits-vote@current"),
    ],
)
def test_passwords_are_masked(text: str, text_masked: str) -> None:
    assert masked(text) == text_masked


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:5000 does not answer; ask me@example.org",
        "tracking store http://localhost:5000: ask me@example.org",
        "'http://localhost:5000', ask me@example.org",
        "http://localhost:5000/path: ask me@example.org",
        "http://[::1]:5000 does not answer; ask me@example.org",
        "http://localhost: no route; ask me@example.org",
        "s3://bucket/a:b is not there; ask me@example.org",
        "sqlite:///mlflow.db: locked; ask me@example.org",
        "http://localhost:abc\n@decorated",
    ],
)
def test_an_at_further_on_in_the_line_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_what_cannot_be_printed_is_written_as_python_writes_it() -> None:
    assert printable("one\ntwo\t three") == "one two three"
    assert printable("\x1b[31mred\x1b[0m, \udce9, ü") == r"\x1b[31mred\x1b[0m, \udce9, ü"
