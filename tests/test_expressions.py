"""Expressions: what they hold, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import Field

from quorum.errors import ConfigError
from quorum.expressions import Call, construct, parse_call, parse_calls, with_argument


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


@dataclass(frozen=True)
class Turn:
    degrees: Annotated[float, Field(ge=0, le=180)]
    fill: Literal["edge", "zeros"] = "edge"
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise ValueError("the smaller factor comes first")


def total(*numbers: int, **named: int) -> int:
    return sum(numbers) + sum(named.values())


def test_a_call_makes_what_its_class_or_function_makes() -> None:
    turn = construct(Call("turn", (15,), {"scale": (1, 2)}), Turn, "turn", "augment")
    assert turn == Turn(15.0, "edge", (1.0, 2.0))
    assert isinstance(turn.degrees, float)
    assert construct(Call("total", (1, 2), {"three": 3}), total, "total", "augment") == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip | turn", "at character 8: missing a required argument: 'degrees'; it is turn\\(degrees, fill='edge'"),
        ("turn(1, 'edge', (1, 1), 2)", "too many positional arguments"),
        ("turn(1, degrees=2)", "multiple values for argument 'degrees'"),
        ("turn(degres=1)", "no argument 'degres' \\(did you mean 'degrees'\\?\\); choose from degrees, fill, scale"),
        ("turn(181)", "turn: degrees=181 must be less than or equal to 180"),
        ("turn(1e999)", "degrees=inf must be a finite number"),
        ("turn(True)", "degrees=True must be a valid number"),
        ("turn('a')", "degrees='a' must be a valid number"),
        ("turn(1, fill='x')", "fill='x' must be 'edge' or 'zeros'"),
        ("turn(1, scale=(1,))", "scale=\\(1,\\) does not fit"),
        ("turn(1, scale=(2, 1))", "turn: the smaller factor comes first"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(text: str, message: str) -> None:
    call = parse_calls(text, "augment")[-1]
    with pytest.raises(ConfigError, match=message) as caught:
        construct(call, Turn, text, "augment")
    assert caught.value.setting == "augment"
    assert "\n" not in str(caught.value)


def test_a_long_expression_is_shown_about_the_position() -> None:
    text = " | ".join(["flip"] * 40) + " | turn(200)"
    with pytest.raises(ConfigError, match=r"'\.\.\..*turn\(200\)' at character 281: turn: degrees=200") as caught:
        construct(parse_calls(text, "augment")[-1], Turn, text, "augment")
    assert len(str(caught.value)) < 200
