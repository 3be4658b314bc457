"""Expressions: what they hold, and what is refused."""

from __future__ import annotations

import pytest

from quorum.errors import ConfigError
from quorum.expressions import Call, parse_call, parse_calls, with_argument


def test_calls_in_a_row() -> None:
    assert parse_calls("flip | rotate(15) | jitter(0.2, hue=-0.1) | x('a', (1, 2), None)", "augment") == (
        Call("flip"),
        Call("rotate", (15,)),
        Call("jitter", (0.2,), {"hue": -0.1}),
        Call("x", ("a", (1, 2), None)),
    )
    assert parse_calls("  flip()|\n flip ", "augment") == (Call("flip"), Call("flip"))


def test_an_expression_is_written_as_it_is_read() -> None:
    text = "flip | x('a', (1, 2), scale=None)"
    assert " | ".join(map(str, parse_calls(text, "augment"))) == text


def test_columns_are_those_of_the_characters() -> None:
    assert [call.column for call in parse_calls("  x('é') | y(1)", "augment")] == [3, 12]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "cannot be read"),
        ("flip |", 7, "cannot be read"),
        ("  flip rotate", 8, "cannot be read"),
        ("flip | 3", 8, "expected NAME"),
        ("flip + rotate", 1, "expected NAME"),
        ("a.b(1)", 1, "expected NAME"),
        ("x('é') | y(z)", 12, "an argument is a number"),
        ("x([1])", 3, "an argument is a number"),
        ("x(((1,),))", 3, "an argument is a number"),
        ("x(2 ** 9)", 3, "an argument is a number"),
        ("x(1j)", 3, "an argument is a number"),
        ("x(*(1, 2))", 3, "an argument is a number"),
        ("x(**{'a': 1})", 1, "is not taken"),
        ("x(a=1, a=2)", 10, "a is given twice"),
        ("x(" * 5000, 1, "cannot be read"),
        ("x\0", 1, "cannot be read"),
    ],
)
def test_what_is_no_expression_is_one_line_with_its_position(text: str, column: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_calls(text, "augment")
    line = str(caught.value)
    assert caught.value.setting == "augment"
    assert "\n" not in line and len(line) < 200
    if len(text) < 80 and "\0" not in text:
        assert f"at character {column}:" in line


def test_one_call() -> None:
    assert parse_call("adamw(betas=(0.9, 0.99))", "optimizer") == Call("adamw", (), {"betas": (0.9, 0.99)})
    with pytest.raises(ConfigError, match="at character 9: takes one"):
        parse_call("adamw | sgd", "optimizer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flip|rotate(degrees=15)", "flip | rotate(degrees=30)"),
        ("rotate", "rotate(degrees=30)"),
        ("rotate(fill='a') | flip", "rotate(fill='a', degrees=30) | flip"),
    ],
)
def test_one_argument_is_replaced_or_added(text: str, expected: str) -> None:
    assert with_argument(text, "rotate", "degrees", 30, "augment") == expected


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("flip | rotat(1)", 30, "no call 'rotate' \\(did you mean 'rotat'"),
        ("rotate | flip | rotate", 30, "at character 17: rotate occurs twice"),
        ("flip | rotate(15)", 30, "at character 8: .* by name: rotate\\(degrees=...\\)"),
        ("rotate", float("inf"), "an argument is a number"),
        ("rotate", [1], "an argument is a number"),
    ],
)
def test_an_argument_that_cannot_be_replaced(text: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_argument(text, "rotate", "degrees", value, "augment")
